#pragma once

#include <armadillo>
#include <string>

namespace chest {
inline namespace v0 {

/// What a network's convolutions run on.
enum class NetworkEngine {
  automatic,  ///< onednn on a processor, torch on another device; gradients by torch, where it is built in
  onednn,  ///< chest's own engine: float32 on the processor, without LibTorch
  torch    ///< LibTorch
};
const char* to_string(NetworkEngine engine);
/// @throws Error(invalid_argument) naming what there is
NetworkEngine engine_from_string(const std::string& text);

/// Where a network runs.
struct NetworkRunOptions {
  std::string device = "cpu";  ///< "auto", "cpu", "cuda", "cuda:N"
  arma::uword micro_batch =
      0;  ///< channels per network call of LibTorch; 0: a good one for the device
  /// Convolutions in bfloat16, by LibTorch: several times the speed where the processor has such
  /// instructions (AVX512_BF16, AMX, GPUs), slower elsewhere. Estimates change by about 0.3 % of sigma.
  bool bfloat16 = false;
  /// Of a model of planes of grids: columns of the planes, and the subcarriers from one to the next. 0:
  /// as many as the model was calibrated with.
  arma::uword n_columns = 0;
  double step = 0.0;
  NetworkEngine engine = NetworkEngine::automatic;
};

/// What `options` come to: "onednn float32", "torch float32", "torch bfloat16"; the same with and without
/// LibTorch.
/// @throws Error(invalid_argument) if the engine cannot do what they ask for
std::string engine_in_use(const NetworkRunOptions& options);

}  // namespace v0
}  // namespace chest
