#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace chest {
inline namespace v0 {

/// What a file is by its first bytes, whatever its name.
enum class FileKind {
  hdf5,      ///< the signature at byte 0, 512, 1024, 2048 ...
  npy,       ///< NumPy, one array
  zip,       ///< .npz and every other zip archive
  matlab_5,  ///< MATLAB v5, v6 and v7, also Octave's
  matlab_4,  ///< MATLAB v4
  other
};

/// @throws Error(io) if the file cannot be read
FileKind file_kind(const std::filesystem::path& file);

/// What a file of kind `other` is and what to do with it: "is a gzip archive; unpack it with gunzip"; empty when its
/// bytes do not tell.
/// @throws Error(io) if the file cannot be read
std::string describe_foreign_file(const std::filesystem::path& file);

/// Where an HDF5 file says how it was written and closed.
struct Superblock {
  std::uint64_t at = 0;         ///< byte of the signature
  unsigned version = 0;         ///< 0 .. 3 so far
  bool open_for_write = false;  ///< version 3: its writer has not closed it
};
/// Reads it without the HDF5 library.
/// @throws Error(io) if the file cannot be read;  Error(format) if there is none
Superblock read_superblock(const std::filesystem::path& file);

}  // namespace v0
}  // namespace chest
