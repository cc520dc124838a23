#pragma once

#include <cstdint>
#include <string>

#include <chest/archive.hpp>

namespace chest {
inline namespace v0 {

/// "0.1.0".
const char* version();
/// Commit that this build was made from, with "-dirty" where the tree had changes; "unknown"
/// outside git.
const char* commit();

/// Who made a file and how. Written as attributes of the root of every file that chest writes.
struct Provenance {
  std::string command_line;  ///< as typed; empty when the library was called
  std::uint64_t seed = 0;
  std::string options;  ///< JSON object of all options, defaults included
  std::string made_by;  ///< "chest 0.1.0 (commit)"; filled by write_provenance when empty
  std::string made_at;  ///< UTC, ISO 8601; filled by write_provenance when empty
};

/// Marks the file as ours: attributes `format` ("chest-channels", "chest-model", "chest-results" ...),
/// `format_version`, and the provenance.
void write_provenance(ArchiveWriter& archive, const std::string& format, int format_version,
                      const Provenance& provenance);
/// Checks `format` and `format_version` and reads the provenance.
/// @throws Error(format) if the file is of another format or of a later version
Provenance read_provenance(const ArchiveReader& archive, const std::string& format,
                           int newest_format_version);

}  // namespace v0
}  // namespace chest
