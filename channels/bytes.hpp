#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace chest {
inline namespace v0 {

/// Bytes that can be read from anywhere: a file, or a member of an archive. Safe from threads.
class Bytes {
 public:
  virtual ~Bytes() = default;
  /// @throws Error(io), Error(format) when there are fewer
  virtual void read(std::uint64_t offset, void* out, std::size_t n_bytes) const = 0;
  std::uint64_t size = 0;
  std::string name;  ///< of the file, for messages: "FILE" or "FILE:MEMBER"
};

std::unique_ptr<Bytes> open_file_bytes(const std::filesystem::path& file);

/// Whether this build reads .npz.
bool reads_zip();
/// Names of the members of a zip archive.
std::vector<std::string> list_zip(const std::filesystem::path& file);
/// A member: where it is stored as it is, it is read as asked; a compressed one is unpacked to memory, at most 4 GiB.
std::unique_ptr<Bytes> open_zip_member(const std::filesystem::path& file,
                                       const std::string& member);

}  // namespace v0
}  // namespace chest
