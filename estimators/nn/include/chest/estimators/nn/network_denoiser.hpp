#pragma once

#include <armadillo>
#include <memory>
#include <string>

#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// Where a network runs.
struct NetworkRunOptions {
  std::string device = "cpu";   ///< "auto", "cpu", "cuda", "cuda:N"
  arma::uword micro_batch = 0;  ///< channels per network call; 0: a good one for the device
  /// Convolutions in bfloat16: several times the speed where the processor has such instructions
  /// (AVX512_BF16, AMX, GPUs), slower elsewhere. Estimates change by about 0.3 % of sigma.
  bool bfloat16 = false;
  /// Of a model of planes of grids: columns of the planes, and the subcarriers from one to the next. 0:
  /// as many as the model was calibrated with.
  arma::uword n_columns = 0;
  double step = 0.0;
};

/// The network as a denoiser of antenna-domain channels; the transform to the angular domain and
/// the VP scaling of its input happen inside. One intra-op thread: run several estimates side by
/// side.
/// @throws Error(invalid_argument) if there is no such device, or chest was built without LibTorch
std::unique_ptr<Denoiser> make_network_denoiser(const NetworkModel& model,
                                                const NetworkRunOptions& options = {});

}  // namespace v0
}  // namespace chest
