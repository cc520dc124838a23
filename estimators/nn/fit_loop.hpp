#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <armadillo>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <chest/run_control.hpp>

#include "processes.hpp"

namespace chest {
inline namespace v0 {
namespace nn {

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

/// How the channels of a fit are dealt out.
struct Batches {
  std::int64_t size;         ///< channels per step of Adam
  std::int64_t micro_batch;  ///< channels per pass through the network
  std::uint64_t seed;        ///< of their order, a new one each epoch
  unsigned n_threads;        ///< micro-batches side by side
  /// That share the micro-batches out.
  std::shared_ptr<const Processes> processes = meet({});
};

/// Part of a batch that passes through the network at once.
struct MicroBatch {
  std::size_t index;   ///< in its batch
  std::int64_t begin;  ///< position of its first channel in the epoch
  at::Tensor h;        ///< planes [n, 2, n_rx, n_tx]
  at::Tensor which;    ///< their numbers among the channels of the fit, [n]
};

/// What a fit makes small. Gradients of micro-batches are added in their order, so a fit does not
/// depend on the number of threads.
class Objective {
 public:
  /// @param train  channels to fit on, planes [n_train, 2, n_rx, n_tx]
  Objective(at::Tensor train, const Batches& batches);
  virtual ~Objective() = default;
  /// Batch state.batch of epoch state.epoch: the loss times its channels, and the gradient.
  virtual double batch(FitState& state, at::Tensor& gradient) = 0;
  /// Mean loss on the validation channels; what is drawn for it is always the same.
  virtual double validate(const at::Tensor& flat) const = 0;

  const Processes& processes() const { return *batches_.processes; }
  std::int64_t n_train() const { return train_.size(0); }
  std::int64_t n_batches() const { return (n_train() + batches_.size - 1) / batches_.size; }
  /// Channels in the first n_batches of an epoch.
  std::int64_t n_in(std::int64_t n_batches) const {
    return std::min(n_train(), n_batches * batches_.size);
  }

 protected:
  /// Loss of a micro-batch as a function of the weights; called from threads.
  using MicroBatchLoss = std::function<at::Tensor(const MicroBatch&, const at::Tensor& weights)>;

  std::int64_t micro_batch() const { return batches_.micro_batch; }
  std::int64_t batch_size(const FitState& state) const;       ///< channels in batch state.batch
  std::int64_t n_micro_batches(const FitState& state) const;  ///< in batch state.batch
  /// The gradient of the sum of `loss` over the micro-batches of batch state.batch, [n_parameters]; `loss` is called
  /// for those of this process.
  at::Tensor sum_gradients(const FitState& state, const MicroBatchLoss& loss);
  /// body(i) for those of i = 0 .. n - 1 that are this process's, on the threads of the fit, without gradients.
  void in_workers(std::size_t n, const std::function<void(std::size_t)>& body) const;

 private:
  at::Tensor train_;
  Batches batches_;
  at::Tensor order_;  // of the channels in epoch shuffled_epoch_
  std::int64_t shuffled_epoch_ = -1;
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
  bool from_start = false;     ///< the first weights are kept where no epoch is better
};

/// Adam from `state` until the epochs, the time or the patience are used up, by the clock of process 0; all processes
/// stop where one is asked to. Progress names the loss; state.best holds the weights to keep.
/// @throws Error(numeric) if the loss is not finite
void run_fit(const FitLoop& loop, Objective& objective, FitState& state, const RunControl& control);

/// `identity` names options and data: a checkpoint continues the run of the same identity only.
void save_checkpoint(const std::filesystem::path& file, const std::string& identity,
                     const FitState& state);
/// @throws Error(format) if the file is damaged;  Error(invalid_argument) if it belongs to another
/// run
void load_checkpoint(const std::filesystem::path& file, const std::string& identity,
                     FitState& state);

}  // namespace nn
}  // namespace v0
}  // namespace chest
