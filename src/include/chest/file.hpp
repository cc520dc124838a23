#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace chest {
inline namespace v0 {

/// 128-bit XXH3 hash of a file's bytes, as 32 hexadecimal digits: tells whether a result belongs to
/// these channels and this model. Not cryptographic.
/// @throws Error(io) if the file cannot be read
std::string hash_file(const std::filesystem::path& file);
/// The same of bytes in memory.
std::string hash_bytes(const void* bytes, std::size_t n);

/// Appends a line with the hash of all bytes before it, so that damage is found before a reader
/// trips over it. HDF5 takes no notice of bytes behind its own, and drops them when the file is
/// changed. Files above 256 MiB are left as they are: reading a block of them should not read them
/// all.
/// @param name  of the file in messages
/// @throws Error(io)
void append_checksum(const std::filesystem::path& file, const std::filesystem::path& name);
/// Whether the bytes before the line are those it was made for; true when there is no such line.
/// @throws Error(io) if the file cannot be read
bool checksum_holds(const std::filesystem::path& file);

/// Where a symbolic link leads, over further links, whether or not there is a file; `file` itself
/// when it is none.
std::filesystem::path link_target(const std::filesystem::path& file);

/// Writes a text file and renames it into place.  @throws Error(io)
void write_text_file(const std::filesystem::path& file, const std::string& text);

/// A file under construction: beside its target, so that putting it in place is one step, and
/// removed by the destructor if that did not happen.
///
/// It is created exclusively under a name with a random part, so that no two threads, containers or
/// machines that share a disk write to one file. The name also tells the process, and making a
/// TemporaryFile removes those of the same target whose process ran on this machine and is gone.
/// What a machine left that was switched off stays: another one cannot know.
///
/// A target that is a symbolic link stays one: the file that it leads to is replaced, and its
/// permissions are kept.
class TemporaryFile {
 public:
  /// Creates the file, empty.
  /// @throws Error(io), also if `target` is a folder, a device or a pipe
  explicit TemporaryFile(const std::filesystem::path& target);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  /// "<target>.part-..."; empty once it is in place.
  const std::filesystem::path& path() const { return path_; }
  /// Flushes it to the device and renames it to the target; once.  @throws Error(io)
  void put_in_place();

 private:
  std::filesystem::path name_, target_, path_;
};

}  // namespace v0
}  // namespace chest
