#include <chest/estimators/common/model_file.hpp>

#include <cmath>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {

void write_model_header(ArchiveWriter& archive, const std::string& kind, int version,
                        const ModelHeader& header) {
  write_provenance(archive, "chest-model", version, header.provenance);
  archive.attribute("/", "kind", kind);
  archive.attribute("/", "n_rx", static_cast<std::int64_t>(header.n_rx));
  archive.attribute("/", "n_tx", static_cast<std::int64_t>(header.n_tx));
  archive.attribute("/", "channel_scale", header.channel_scale);
  archive.attribute("/", "training_data", header.training_data);
  write_grid_statistics(archive, header.grid);
}

ModelHeader read_model_header(const ArchiveReader& archive, const std::string& kind,
                              int newest_version) {
  ModelHeader header;
  header.provenance = read_provenance(archive, "chest-model", newest_version);
  header.version = static_cast<int>(archive.integer_attribute("/", "format_version").value_or(0));
  const std::string file = archive.file().string();
  const std::string found = archive.text_attribute("/", "kind").value_or("(none)");
  if (found != kind) {
    throw Error(ErrorKind::format,
                file + ": is a model of kind " + found + ", expected one of kind " + kind);
  }
  const auto size = [&](const char* name) {
    const double value = archive.number_attribute("/", name).value_or(0.0);
    if (!(value >= 1.0 && value <= 1e6) || value != std::floor(value)) {
      throw Error(ErrorKind::format,
                  file + ": attribute " + name + " is missing or not a size; fit the model again");
    }
    return static_cast<arma::uword>(value);
  };
  header.n_rx = size("n_rx");
  header.n_tx = size("n_tx");
  header.channel_scale = archive.number_attribute("/", "channel_scale").value_or(1.0);
  header.training_data = archive.text_attribute("/", "training_data").value_or("");
  header.grid = read_grid_statistics(archive, header.n_rx);
  return header;
}

}  // namespace v0
}  // namespace chest
