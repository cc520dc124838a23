#pragma once

#include <ATen/ATen.h>

#include <chest/estimators/network.hpp>

namespace chest::nn {

/// What a micro-batch at one noise level says of the weights.
struct LevelErrors {
  at::Tensor squared;  ///< sum over all entries of (network output - target)^2
  at::Tensor
      log_likelihood;  ///< minus that of the errors h - D, summed; undefined without variance
};

/// For noisy inputs x = (h + sigma eps) / sqrt(1 + sigma2).
/// @param flat    weights, [n_parameters]
/// @param h, eps  planes of the angular domain, [n, 2, n_rx, n_tx]
/// @param bfloat16  convolve in bfloat16; weights, targets and the sum stay as they are
LevelErrors level_errors(const NetworkConfig& config, Prediction prediction,
                         const NoiseSchedule& schedule, const at::Tensor& flat, const at::Tensor& h,
                         const at::Tensor& eps, double sigma2, bool bfloat16 = false);

/// Angular planes [n, 2, n_rx, n_tx] of the mirrored channels; bits of `mirrors`: 1 the receive and
/// 2 the transmit antennas in reverse order, 4 the conjugate of what is then there.
at::Tensor mirrored(const at::Tensor& planes, unsigned mirrors);

/// Adam with PyTorch's defaults: beta 0.9 and 0.999, epsilon 1e-8.
/// Source: [Kingma2015]
struct Adam {
  at::Tensor mean, mean_square;  ///< of the gradient, [n_parameters]
  std::int64_t n_steps = 0;
  void step(at::Tensor& flat, const at::Tensor& gradient, double learning_rate);
};

/// All that a fit remembers between two batches.
struct FitState {
  at::Tensor weights;  ///< [n_parameters], like the others
  at::Tensor average;  ///< moving average of the weights
  at::Tensor best;     ///< the better of the two at the best epoch; zeros before the first
  Adam adam;
  std::int64_t epoch = 0;       ///< epochs finished
  std::int64_t batch = 0;       ///< batches finished in the current epoch
  double loss_sum = 0.0;        ///< losses of those batches, times their channels
  std::int64_t best_epoch = 0;  ///< number of epochs finished when it was the best; 0: none yet
  double best_loss = 0.0;
  std::vector<double> train_losses, validation_losses;  ///< per finished epoch
  /// Running mean of the squared error per entry around each noise level; 0: not seen yet.
  std::vector<double> level_means;
};

/// `identity` names options and data: a checkpoint continues the run of the same identity only.
void save_checkpoint(const std::filesystem::path& file, const std::string& identity,
                     const FitState& state);
/// @throws Error(format) if the file is damaged;  Error(invalid_argument) if it belongs to another
/// run
void load_checkpoint(const std::filesystem::path& file, const std::string& identity,
                     FitState& state);

}  // namespace chest::nn
