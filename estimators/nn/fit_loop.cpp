#include "fit_loop.hpp"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <sstream>

#include <chest/error.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>

#include "device.hpp"

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double warm_up_steps = 200.0;

// 0 .. n - 1 in the order of an epoch.
std::vector<std::int64_t> shuffled(std::int64_t n, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  Rng rng(seed, {Purpose::training, static_cast<std::uint64_t>(epoch), 0});
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.index(i)]);
  return order;
}

class Fit {
 public:
  Fit(const FitLoop& loop, const RunControl& control, Objective& objective, FitState& state)
      : loop_(loop), control_(control), objective_(objective), state_(state) {}

  void run() {
    if (loop_.from_start && state_.adam.n_steps == 0) {
      state_.best.copy_(state_.weights);
      state_.best_loss = objective_.validate(state_.best);
    }
    agree(false);
    while (!finished()) {
      if (!run_epoch()) {
        // Stopped within an epoch: the checkpoint goes on from here, and what was reached counts.
        save();
        keep_if_best(state_.epoch + 1);
        return;
      }
      state_.train_losses.push_back(state_.loss_sum / static_cast<double>(objective_.n_train()));
      ++state_.epoch;
      state_.batch = 0;
      state_.loss_sum = 0.0;
      state_.validation_losses.push_back(keep_if_best(state_.epoch));
      save();
      report(state_.train_losses.back());
      agree(false);
    }
  }

 private:
  bool finished() const {
    return state_.epoch >= static_cast<std::int64_t>(loop_.max_epochs) ||
           state_.epoch - state_.best_epoch >= static_cast<std::int64_t>(loop_.patience) ||
           out_of_time();
  }

  bool out_of_time() const {
    return loop_.max_minutes > 0.0 && agreed_seconds_ >= 60.0 * loop_.max_minutes;
  }

  // What all processes go by until the next time.
  void agree(bool may_stop) {
    std::vector<double> values{objective_.processes().rank() == 0 ? seconds() : 0.0,
                               may_stop && control_.stopped() ? 1.0 : 0.0};
    objective_.processes().add_up(values);
    agreed_seconds_ = values[0];
    agreed_stop_ = values[1] > 0.0;
  }

  // False when stopped before the end of the epoch.
  bool run_epoch() {
    at::Tensor gradient;
    while (state_.batch < objective_.n_batches()) {
      agree(true);
      if (agreed_stop_ || out_of_time()) return false;
      const double error = objective_.batch(state_, gradient);
      if (!std::isfinite(error)) {
        throw Error(ErrorKind::numeric,
                    "fit: the loss is not finite in epoch " + std::to_string(state_.epoch + 1) +
                        "; lower the learning rate, now " + std::to_string(loop_.learning_rate) +
                        ", or look at the channels' power");
      }
      state_.adam.step(state_.weights, gradient, learning_rate());
      update_average();
      state_.loss_sum += error;
      ++state_.batch;
      ++n_batches_done_;
      report(state_.loss_sum / static_cast<double>(objective_.n_in(state_.batch)));
    }
    return true;
  }

  double learning_rate() const {
    if (!loop_.anneal) return loop_.learning_rate;
    double done = static_cast<double>(state_.epoch * objective_.n_batches() + state_.batch) /
                  static_cast<double>(loop_.max_epochs * objective_.n_batches());
    if (loop_.max_minutes > 0.0)
      done = std::max(done, agreed_seconds_ / (60.0 * loop_.max_minutes));
    const double warm_up =
        std::min(1.0, static_cast<double>(state_.adam.n_steps + 1) / warm_up_steps);
    return loop_.learning_rate * warm_up * 0.5 * (1.0 + std::cos(M_PI * std::min(done, 1.0)));
  }

  // Short memory at first, so that the random start is soon forgotten.
  void update_average() {
    const auto step = static_cast<double>(state_.adam.n_steps);
    const double decay = std::min(loop_.ema_decay, step / (step + 9.0));
    state_.average.mul_(decay).add_(state_.weights, 1.0 - decay);
  }

  double keep_if_best(std::int64_t epoch) {
    const double loss = objective_.validate(state_.average);
    const bool is_first = state_.best_epoch == 0 && !loop_.from_start;
    if (std::isfinite(loss) && (is_first || loss < state_.best_loss)) {
      state_.best.copy_(state_.average);
      state_.best_loss = loss;
      state_.best_epoch = epoch;
    }
    return loss;
  }

  void save() const {
    if (loop_.save) loop_.save();
  }

  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  void report(double loss) const {
    if (!control_.on_progress) return;
    const auto n_batches = static_cast<double>(objective_.n_batches());
    const double n_done =
        static_cast<double>(state_.epoch) * n_batches + static_cast<double>(state_.batch);
    const double n_all = static_cast<double>(loop_.max_epochs) * n_batches;
    Progress progress;
    progress.seconds = seconds();
    progress.fraction = n_done / n_all;
    progress.seconds_left =
        n_batches_done_ > 0 ? progress.seconds / n_batches_done_ * (n_all - n_done) : -1.0;
    if (const double limit = 60.0 * loop_.max_minutes; limit > 0.0) {
      progress.fraction = std::max(progress.fraction, std::min(1.0, progress.seconds / limit));
      progress.seconds_left = std::min(progress.seconds_left, limit - progress.seconds);
    }
    std::ostringstream text;
    text.precision(4);
    const std::int64_t epoch = state_.batch > 0 ? state_.epoch + 1 : state_.epoch;
    const std::string unit = loop_.unit.empty() ? "" : " " + loop_.unit;
    text << "epoch " << epoch << ", loss " << loss << unit;
    if (!state_.validation_losses.empty()) {
      text << ", validation " << state_.validation_losses.back() << unit;
      if (state_.best_epoch == state_.epoch) {
        text << " (best)";
      } else {
        text << " (best " << state_.best_loss << " in epoch " << state_.best_epoch << ")";
      }
    }
    progress.text = text.str();
    control_.on_progress(progress);
  }

  const FitLoop& loop_;
  const RunControl& control_;
  Objective& objective_;
  FitState& state_;
  Clock::time_point start_ = Clock::now();
  double agreed_seconds_ = 0.0;
  bool agreed_stop_ = false;
  double n_batches_done_ = 0.0;
};

}  // namespace

void Adam::step(at::Tensor& flat, const at::Tensor& gradient, double learning_rate) {
  constexpr double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  ++n_steps;
  const double correction1 = 1.0 - std::pow(beta1, n_steps);
  const double correction2 = 1.0 - std::pow(beta2, n_steps);
  mean.mul_(beta1).add_(gradient, 1.0 - beta1);
  mean_square.mul_(beta2).addcmul_(gradient, gradient, 1.0 - beta2);
  const at::Tensor deviation = mean_square.sqrt().div_(std::sqrt(correction2)).add_(epsilon);
  flat.addcdiv_(mean, deviation, -learning_rate / correction1);
}

FitState initial_state(const at::Tensor& weights) {
  FitState state;
  state.weights = weights;
  state.average = weights.clone();
  state.best = at::zeros_like(weights);
  state.adam.mean = at::zeros_like(weights);
  state.adam.mean_square = at::zeros_like(weights);
  return state;
}

Objective::Objective(at::Tensor train, const Batches& batches)
    : train_(std::move(train)), batches_(batches) {}

void Objective::in_workers(std::size_t n, const std::function<void(std::size_t)>& body) const {
  const Processes& shared = processes();
  const std::size_t n_here = (n + shared.count() - 1 - shared.rank()) / shared.count();
  parallel_for(n_here, batches_.n_threads, [&](std::size_t i) {
    const OneTorchThread one_thread;
    const at::NoGradGuard no_gradients;
    body(shared.rank() + i * shared.count());
  });
}

std::int64_t Objective::batch_size(const FitState& state) const {
  return std::min(batches_.size, n_train() - state.batch * batches_.size);
}

std::int64_t Objective::n_micro_batches(const FitState& state) const {
  return (batch_size(state) + micro_batch() - 1) / micro_batch();
}

at::Tensor Objective::sum_gradients(const FitState& state, const MicroBatchLoss& loss) {
  if (state.epoch != shuffled_epoch_) {
    order_ = at::tensor(shuffled(n_train(), batches_.seed, state.epoch));
    shuffled_epoch_ = state.epoch;
  }
  const std::int64_t first = state.batch * batches_.size, end = first + batch_size(state);
  std::vector<at::Tensor> gradients(n_micro_batches(state));
  in_workers(gradients.size(), [&](std::size_t i) {
    const std::int64_t begin = first + static_cast<std::int64_t>(i) * micro_batch();
    const at::Tensor which = order_.narrow(0, begin, std::min(micro_batch(), end - begin));
    const MicroBatch part{i, begin, train_.index_select(0, which.to(train_.device())), which};
    const at::AutoGradMode with_gradients(true);
    const at::Tensor weights = state.weights.detach().requires_grad_();
    gradients[i] = torch::autograd::grad({loss(part, weights)}, {weights})[0];
  });
  at::Tensor sum;
  for (const at::Tensor& part : gradients) {
    if (!part.defined()) continue;
    if (sum.defined()) {
      sum += part;
    } else {
      sum = part;
    }
  }
  if (!sum.defined()) sum = at::zeros_like(state.weights);
  processes().add_up(sum);
  return sum;
}

void run_fit(const FitLoop& loop, Objective& objective, FitState& state,
             const RunControl& control) {
  Fit(loop, control, objective, state).run();
  if (state.best_epoch == 0 && !loop.from_start) {
    throw Error(ErrorKind::numeric,
                "fit: no epoch gave a finite validation loss; lower the "
                "learning rate or look at the channels' power");
  }
}

}  // namespace nn
}  // namespace v0
}  // namespace chest
