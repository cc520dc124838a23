#pragma once

#include <filesystem>

#include <chest/estimators/network/model_file.hpp>

namespace chest {
inline namespace v0 {

/// The files beside weights that say what they are.
struct ImportOptions {
  /// sim_params.json of the published code; empty: the file of that name beside the weights, or one folder up.
  std::filesystem::path params;
  /// scheduler_config.json of diffusers: schedule and prediction are its, not those of the weights; empty: none.
  std::filesystem::path scheduler;
};

/// A network out of whatever file holds its weights, told by its first bytes:
///
///   HDF5         the published checkpoint converted, /state_dict/model.* and the attribute sim_params; or a model
///   .pt          a checkpoint or state dictionary of the published code, as torch.save() wrote it
///   safetensors  the same arrays; or a model that save_safetensors() wrote
///
/// Nothing in a .pt file is executed.
/// @throws Error(io); Error(format) naming what is missing, foreign or of a wrong shape
NetworkModel import_network(const std::filesystem::path& weights,
                            const ImportOptions& options = {});

/// A model file as safetensors and back, of any kind: every array under its path in the model file, complex ones with
/// a last axis of 2, attributes as JSON in the metadata "chest". What comes back holds the same bits.
/// @throws Error(io); Error(format) if the file is not what it should be
void save_safetensors(const std::filesystem::path& file, const std::filesystem::path& model);
void restore_from_safetensors(const std::filesystem::path& file,
                              const std::filesystem::path& model);
/// Whether save_safetensors() wrote the file.  @throws Error(io)
bool is_model_in_safetensors(const std::filesystem::path& file);

/// The network as a denoiser in ONNX (opset 13), whole: DFT, input planes, embedding, convolutions, and the way from
/// output to estimate.
///
///   z       float32 [n, 2, n_rx, n_tx]  h + noise in the antenna domain, plane 0 = re, 1 = im
///   sigma2  float32 []                  noise variance per complex entry, > 0
///   h       float32 [n, 2, n_rx, n_tx]  D(z, sigma2)
///   error   float32 [n]                 predicted E||h - D||^2; of a network with a variance output
///
/// @throws Error(io), Error(invalid_argument) if the weights do not fit the configuration
void save_onnx(const std::filesystem::path& file, const NetworkModel& model);

}  // namespace v0
}  // namespace chest
