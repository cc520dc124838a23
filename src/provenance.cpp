#include <chest/provenance.hpp>

#include <ctime>

#include <chest/error.hpp>
#include <chest/newer_file.hpp>

namespace chest {
inline namespace v0 {

const char* version() { return CHEST_VERSION; }
const char* commit() { return CHEST_COMMIT; }

void write_provenance(ArchiveWriter& archive, const std::string& format, int format_version,
                      const Provenance& provenance) {
  char now[32];
  const std::time_t seconds = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &utc);

  archive.attribute("/", "format", format);
  archive.attribute("/", "format_version", std::int64_t{format_version});
  archive.attribute("/", "command_line", provenance.command_line);
  archive.attribute("/", "seed", static_cast<std::int64_t>(provenance.seed));
  archive.attribute("/", "rng", std::string("Philox4x64-10"));
  archive.attribute("/", "options", provenance.options);
  archive.attribute("/", "made_by",
                    provenance.made_by.empty()
                        ? "chest " + std::string(version()) + " (" + commit() + ")"
                        : provenance.made_by);
  archive.attribute("/", "made_at", provenance.made_at.empty() ? now : provenance.made_at);
}

Provenance read_provenance(const ArchiveReader& archive, const std::string& format,
                           int newest_format_version) {
  const std::string file = archive.file().string();
  const auto found = archive.text_attribute("/", "format");
  if (!found || *found != format) {
    throw Error(ErrorKind::format, file + ": is " +
                                       (found ? "a " + *found + " file" : "not a file of chest") +
                                       ", expected a " + format + " file");
  }
  const auto file_version = archive.integer_attribute("/", "format_version");
  if (!file_version || *file_version < 1) {
    throw Error(ErrorKind::format, file + ": format version " +
                                       (file_version ? std::to_string(*file_version) : "missing") +
                                       ", expected 1 to " + std::to_string(newest_format_version));
  }
  if (*file_version > newest_format_version) {
    throw NewerFile(file + ": format version " + std::to_string(*file_version) + ", written by " +
                    archive.text_attribute("/", "made_by").value_or("an unknown program") +
                    "; this chest " + version() + " reads up to " +
                    std::to_string(newest_format_version) + ": use a newer one");
  }
  Provenance out;
  out.command_line = archive.text_attribute("/", "command_line").value_or("");
  out.seed = static_cast<std::uint64_t>(archive.integer_attribute("/", "seed").value_or(0));
  out.options = archive.text_attribute("/", "options").value_or("");
  out.made_by = archive.text_attribute("/", "made_by").value_or("");
  out.made_at = archive.text_attribute("/", "made_at").value_or("");
  return out;
}

}  // namespace v0
}  // namespace chest
