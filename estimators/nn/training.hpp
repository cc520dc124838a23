#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <armadillo>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/run_control.hpp>
#include <chest/samples.hpp>

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

/// State before the first batch; weights are also the first average.
FitState initial_state(const at::Tensor& weights);

/// What a fit makes small. Micro-batches are added in their order, so a fit does not depend on the
/// number of threads.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual std::int64_t n_train() const = 0;     ///< fitting channels
  virtual std::int64_t batch_size() const = 0;  ///< channels per step
  /// Batch state.batch of epoch state.epoch: the loss times its channels, and the gradient.
  virtual double batch(FitState& state, at::Tensor& gradient) = 0;
  /// Mean loss on the validation channels; what is drawn for it is always the same.
  virtual double validate(const at::Tensor& flat) const = 0;

  std::int64_t n_batches() const { return (n_train() + batch_size() - 1) / batch_size(); }
  std::int64_t n_in(std::int64_t n_batches) const {
    return std::min(n_train(), n_batches * batch_size());
  }
};

/// How an objective is made small: the fields of NetworkFitOptions of the same names.
struct FitLoop {
  double learning_rate;
  bool anneal;
  double ema_decay;
  arma::uword max_epochs;
  double max_minutes;
  arma::uword patience;
  std::string unit;            ///< of the loss, for reports
  std::function<void()> save;  ///< called every epoch and when stopped; may be empty
};

/// Adam from `state` until the epochs, the time or the patience are used up. Progress names the
/// loss; state.best holds the weights to keep.
/// @throws Error(numeric) if the loss is not finite
void run_fit(const FitLoop& loop, Objective& objective, FitState& state, const RunControl& control);

/// All samples as planes of the angular domain, [n, 2, n_rx, n_tx].
at::Tensor angular_planes(const SampleReader& samples);
/// Planes times exp(j phase).
at::Tensor rotated(const at::Tensor& h, const at::Tensor& phase);
/// 0 .. n - 1 in the order of an epoch.
std::vector<std::int64_t> shuffled(std::int64_t n, std::uint64_t seed, std::int64_t epoch);
/// @throws Error(invalid_argument) if one has no channels or their sizes differ
void check_samples(const SampleReader& train, const SampleReader& validation);

/// `identity` names options and data: a checkpoint continues the run of the same identity only.
void save_checkpoint(const std::filesystem::path& file, const std::string& identity,
                     const FitState& state);
/// @throws Error(format) if the file is damaged;  Error(invalid_argument) if it belongs to another
/// run
void load_checkpoint(const std::filesystem::path& file, const std::string& identity,
                     FitState& state);

}  // namespace chest::nn
