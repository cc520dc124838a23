#pragma once

#include <filesystem>
#include <string>

namespace chest {

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
/// @throws Error(io)
void append_checksum(const std::filesystem::path& file);
/// Whether the bytes before the line are those it was made for; true when there is no such line.
/// @throws Error(io) if the file cannot be read
bool checksum_holds(const std::filesystem::path& file);

/// Writes a text file and renames it into place.  @throws Error(io)
void write_text_file(const std::filesystem::path& file, const std::string& text);

/// The name under which a file is written until it is complete: beside it, so that renaming is one
/// step; with the process id, so that two runs do not meet.
std::filesystem::path temporary_beside(const std::filesystem::path& file);

}  // namespace chest
