#pragma once

#include <armadillo>
#include <complex>
#include <memory>

#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/run_options.hpp>

namespace chest {
inline namespace v0 {

/// Estimates of buffers that lie on a device, into buffers that lie there, on a stream of the caller's.
///
///   const auto estimator = make_device_dmse(P, 64, load_network_model("scm_64x16.h5"), {.run = {.device = "cuda"}});
///   estimator->estimate(y, n_batch, 0.1, h, nullptr, stream);     // returns before it is done
///
/// One call at a time.
class DeviceEstimator {
 public:
  virtual ~DeviceEstimator() = default;
  /// @param y       [n_batch] matrices [n_rx, n_pilots], columns one after the other, at the scale
  ///                E||h||^2 = n_h, on the device
  /// @param sigma2  noise variance per entry of y, > 0
  /// @param h       [n_batch] matrices [n_rx, n_tx], columns one after the other, on the device
  /// @param mse     predicted E||h_hat - h||^2, [n_batch], on the device; null: not wanted
  /// @param stream  a cudaStream_t, on which the work is queued; null: the default stream. On "cpu" null
  /// @throws Error(invalid_argument) if a pointer is null, sigma2 is not > 0, or mse is wanted of a model that does
  ///         not predict it; Error(io) if LibTorch fails
  virtual void estimate(const std::complex<float>* y, arma::uword n_batch, double sigma2,
                        std::complex<float>* h, float* mse, void* stream = nullptr) = 0;
};

struct DeviceOptions {
  NetworkRunOptions run;
  /// On a GPU: from its second call on, a batch size and noise level runs as a CUDA graph, one launch. The last eight
  /// are kept, each with buffers of its own.
  bool graphs = true;
};

/// The DMSE estimator with the model's calibration, as make_dmse() on LibTorch.
/// @param P  pilots that decorrelate, [n_tx, n_pilots], P P^H = c I
/// @throws Error(invalid_argument) if they do not, the model is for other arrays, there is no such device, or chest was
///         built without LibTorch
std::unique_ptr<DeviceEstimator> make_device_dmse(const arma::cx_mat& P, arma::uword n_rx,
                                                  const NetworkModel& model,
                                                  const DeviceOptions& options = {});
/// Whether streams and graphs were compiled in: LibTorch came with CUDA, and its headers were there.
bool built_with_cuda();

}  // namespace v0
}  // namespace chest
