#pragma once

#include <armadillo>
#include <string>

#include <chest/archive.hpp>
#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/provenance.hpp>

namespace chest {
inline namespace v0 {

/// What every model file says of itself, as attributes of its root.
struct ModelHeader {
  arma::uword n_rx = 0, n_tx = 0;
  double channel_scale = 1.0;
  std::string training_data;
  Provenance provenance;
  GridStatistics grid;  ///< empty for a model of matrices
  int version = 0;      ///< of the file, when read
};

/// The fields that every model has, from and to it.
template <class Model>
ModelHeader header_of(const Model& model) {
  return {model.n_rx,          model.n_tx,       model.channel_scale,
          model.training_data, model.provenance, model.grid};
}
template <class Model>
void set_header(Model& model, const ModelHeader& header) {
  model.n_rx = header.n_rx;
  model.n_tx = header.n_tx;
  model.channel_scale = header.channel_scale;
  model.training_data = header.training_data;
  model.provenance = header.provenance;
  model.grid = header.grid;
}

void write_model_header(ArchiveWriter& archive, const std::string& kind, int version,
                        const ModelHeader& header);
/// @throws Error(format) if the file is not a model of this kind, is of a later version, or is
/// damaged
ModelHeader read_model_header(const ArchiveReader& archive, const std::string& kind,
                              int newest_version);

}  // namespace v0
}  // namespace chest
