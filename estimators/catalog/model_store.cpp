#include <chest/estimators/catalog/model_store.hpp>

#include <algorithm>
#include <limits>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/provenance.hpp>

namespace chest {
inline namespace v0 {
namespace {

ModelStore::Info read_info(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  // The version is judged by the reader of the kind.
  read_provenance(archive, "chest-model", std::numeric_limits<int>::max());
  ModelStore::Info info{file, archive.text_attribute("/", "kind").value_or(""), 0, 0, {}};
  const auto size = [&](const char* name) {
    const double value = archive.number_attribute("/", name).value_or(0.0);
    if (!(value >= 1.0 && value <= 1e6)) {
      throw Error(ErrorKind::format,
                  file.string() + ": attribute " + name + " is missing or not a size");
    }
    return static_cast<arma::uword>(value);
  };
  if (info.kind.empty()) {
    throw Error(ErrorKind::format, file.string() + ": attribute kind is missing");
  }
  info.n_rx = size("n_rx");
  info.n_tx = size("n_tx");
  GridStatistics grid = read_grid_statistics(archive, info.n_rx);
  if (const auto arrays = archive.text_attribute("/", "arrays")) {
    info.arrays = parse_array_range(*arrays, file.string() + ": attribute arrays");
  }
  if (!grid.empty()) info.grid = std::make_shared<const GridStatistics>(std::move(grid));
  return info;
}

}  // namespace

ModelStore::ModelStore(const std::vector<std::filesystem::path>& files) {
  for (const std::filesystem::path& file : files) look_at(file);
}

std::vector<ModelStore::Info> ModelStore::files() const {
  const std::lock_guard lock(mutex_);
  return files_;
}

ModelStore::Info ModelStore::look_at(const std::filesystem::path& file) {
  const std::lock_guard lock(mutex_);
  const auto it = std::find_if(files_.begin(), files_.end(),
                               [&](const Info& info) { return info.file == file; });
  if (it != files_.end()) return *it;
  files_.push_back(read_info(file));
  return files_.back();
}

}  // namespace v0
}  // namespace chest
