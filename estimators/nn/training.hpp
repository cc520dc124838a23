#pragma once

#include <ATen/ATen.h>

#include <chest/estimators/network.hpp>

namespace chest::nn {

/// sqrt(abar_i) and sqrt(1 - abar_i) of every index, float32 [n_steps].
struct NoiseLevels {
  NoiseLevels(const NoiseSchedule& schedule, const at::Device& device);
  at::Tensor signal, noise;
};

/// Sum over all entries of (network output - target)^2 for noisy inputs
/// x = sqrt(abar_i) h + sqrt(1 - abar_i) eps.
/// @param flat    weights, [n_parameters]
/// @param h, eps  planes of the angular domain, [n, 2, n_rx, n_tx]
/// @param index   noise index per sample, int64 [n]
/// @param bfloat16  convolve in bfloat16; weights, targets and the sum stay as they are
at::Tensor squared_error(const NetworkConfig& config, Prediction prediction,
                         const NoiseLevels& levels, const at::Tensor& flat, const at::Tensor& h,
                         const at::Tensor& eps, const at::Tensor& index, bool bfloat16 = false);

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
  double loss_sum = 0.0;        ///< squared errors of those batches
  std::int64_t best_epoch = 0;  ///< number of epochs finished when it was the best; 0: none yet
  double best_loss = 0.0;
  std::vector<double> train_losses, validation_losses;  ///< per finished epoch
};

/// `identity` names options and data: a checkpoint continues the run of the same identity only.
void save_checkpoint(const std::filesystem::path& file, const std::string& identity,
                     const FitState& state);
/// @throws Error(format) if the file is damaged;  Error(invalid_argument) if it belongs to another
/// run
void load_checkpoint(const std::filesystem::path& file, const std::string& identity,
                     FitState& state);

}  // namespace chest::nn
