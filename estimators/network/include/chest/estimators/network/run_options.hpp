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

/// What a network's convolutions are computed in.
enum class NetworkPrecision {
  automatic,  ///< the fastest that the model's calibration allows (PrecisionLosses), else float32
  float32,
  bfloat16,  ///< products of bfloat16, sums of float32
  int8       ///< products of bytes after the first layer; needs a model that was calibrated for it
};
const char* to_string(NetworkPrecision precision);

/// Where a network runs.
struct NetworkRunOptions {
  std::string device = "cpu";  ///< "auto", "cpu", "cuda", "cuda:N"
  arma::uword micro_batch =
      0;  ///< channels per network call of LibTorch; 0: a good one for the device
  /// Less than float32 is several times as fast where the processor has such instructions (AMX; LibTorch:
  /// AVX512_BF16, GPUs), and slower elsewhere.
  NetworkPrecision precision = NetworkPrecision::automatic;
  /// Of a model of planes of grids: columns of the planes, and the subcarriers from one to the next. 0:
  /// as many as the model was calibrated with.
  arma::uword n_columns = 0;
  double step = 0.0;
  NetworkEngine engine = NetworkEngine::automatic;
};

/// Whether `options` come to chest's own engine.
/// @throws Error(invalid_argument) if the engine cannot do what they ask for
bool runs_on_own_engine(const NetworkRunOptions& options);
/// What `options` come to: "onednn float32", "torch bfloat16"; the same with and without LibTorch. A
/// precision that is left open is float32: choose_precision() knows better.
/// @throws Error(invalid_argument) if the engine cannot do what they ask for
std::string engine_in_use(const NetworkRunOptions& options);

}  // namespace v0
}  // namespace chest
