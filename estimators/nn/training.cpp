#include "training.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>

#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/estimators/network/layout.hpp>
#include "device.hpp"
#include "network.hpp"
#include "tensor_bridge.hpp"

namespace chest {
namespace nn {

namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t fewest_validation_draws = 512;
constexpr std::int64_t most_validation_levels = 32;
/// Levels that share a running mean of their error.
constexpr std::size_t n_level_means = 40;
constexpr double level_mean_decay = 0.98;
/// Of the variance's log likelihood beside the error: small, so that it does not cost accuracy.
constexpr double variance_weight = 0.02;
constexpr double warm_up_steps = 200.0;

std::string hash_of(const at::Tensor& planes) {
  const at::Tensor bytes = planes.permute({0, 2, 3, 1}).contiguous();
  return hash_bytes(bytes.data_ptr<float>(), bytes.nbytes());
}

/// One noise level of a fit.
struct Level {
  double sigma2;
  double position;  ///< 0 (cleanest) .. 1 in the range of the fit
};

class DenoisingObjective final : public Objective {
 public:
  DenoisingObjective(const NetworkFitOptions& options, const NoiseSchedule& schedule,
                     at::Tensor train, at::Tensor validation, at::Device device)
      : options_(options),
        schedule_(schedule),
        train_(std::move(train)),
        validation_(std::move(validation)),
        device_(device),
        n_threads_(device.is_cuda() ? 1 : options.n_threads) {
    const std::int64_t most =
        device.is_cuda() ? 512 : cpu_micro_batch(train_.size(2) * train_.size(3));
    // Eight levels in a batch, or more.
    micro_batch_ = std::clamp<std::int64_t>(static_cast<std::int64_t>(options.batch) / 8, 1, most);
    for (std::int64_t first = 0; first < validation_.size(0); first += micro_batch_) {
      power_ += validation_.narrow(0, first, std::min(micro_batch_, validation_.size(0) - first))
                    .square()
                    .sum()
                    .item<double>();
    }
    power_ /= static_cast<double>(validation_.numel());
  }

  std::int64_t n_train() const override { return train_.size(0); }
  std::int64_t batch_size() const override { return static_cast<std::int64_t>(options_.batch); }

  double batch(FitState& state, at::Tensor& gradient) override {
    const std::int64_t epoch = state.epoch;
    std::vector<double>& level_means = state.level_means;
    if (epoch != shuffled_epoch_) {
      order_ = shuffled(n_train(), options_.seed, epoch);
      shuffled_epoch_ = epoch;
    }
    const std::int64_t first = state.batch * batch_size();
    const std::int64_t count = std::min(batch_size(), n_train() - first);
    const std::int64_t n_parts = (count + micro_batch_ - 1) / micro_batch_;
    std::vector<at::Tensor> gradients(n_parts);
    std::vector<double> errors(n_parts);
    std::vector<Level> levels(n_parts);
    parallel_for(n_parts, n_threads_, [&](std::size_t i) {
      const OneTorchThread one_thread;
      const at::AutoGradMode with_gradients(true);
      const auto part = static_cast<std::int64_t>(i);
      const std::int64_t begin = first + part * micro_batch_;
      const std::int64_t end = std::min(begin + micro_batch_, first + count);
      std::vector<std::int64_t> order(order_.begin() + begin, order_.begin() + end);
      Draws draws = draw(Purpose::training, epoch, begin, end - begin);
      levels[i] = level((static_cast<double>(part) + draws.level) / static_cast<double>(n_parts));
      at::Tensor h = train_.index_select(0, at::tensor(order).to(device_));
      if (options_.augmentation != Augmentation::none) h = changed(h, draws);
      const at::Tensor leaf = state.weights.detach().requires_grad_();
      const LevelErrors found = level_errors(options_.network, options_.prediction, schedule_, leaf,
                                             h, draws.eps, levels[i].sigma2, options_.bfloat16);
      const double n = static_cast<double>(end - begin);
      errors[i] = found.squared.item<double>() / (n * entries());
      // Of a part's mean per entry; parts count by their channels.
      double weight = 1.0;
      if (options_.objective == FitObjective::nmse) {
        const double mean = level_means[mean_of(levels[i])];
        weight = 1.0 / std::max(mean > 0.0 ? mean : errors[i], 1e-30);
      }
      at::Tensor loss = found.squared * (weight / (static_cast<double>(count) * entries()));
      if (found.log_likelihood.defined()) {
        loss = loss + found.log_likelihood *
                          (2.0 * variance_weight / (static_cast<double>(count) * entries()));
      }
      gradients[i] = torch::autograd::grad({loss}, {leaf})[0];
    });
    gradient = gradients[0];
    for (std::int64_t i = 1; i < n_parts; ++i) gradient += gradients[i];
    double loss = 0.0;
    for (std::int64_t i = 0; i < n_parts; ++i) {
      const auto n = static_cast<double>(std::min(micro_batch_, count - i * micro_batch_));
      loss += n * loss_of(errors[i], levels[i]);
      double& mean = level_means[mean_of(levels[i])];
      mean =
          mean > 0.0 ? level_mean_decay * mean + (1.0 - level_mean_decay) * errors[i] : errors[i];
    }
    return loss;
  }

  double validate(const at::Tensor& flat) const override {
    const std::int64_t n = validation_.size(0);
    const std::int64_t n_repeats = (fewest_validation_draws + n - 1) / n;
    const std::int64_t n_parts = (n * n_repeats + micro_batch_ - 1) / micro_batch_;
    const std::int64_t n_levels = std::min(most_validation_levels, n_parts);
    std::vector<double> errors(n_parts);
    parallel_for(n_parts, n_threads_, [&](std::size_t i) {
      const OneTorchThread one_thread;
      const at::NoGradGuard no_gradients;
      const auto part = static_cast<std::int64_t>(i);
      const std::int64_t begin = part * micro_batch_;
      const Draws draws = draw(Purpose::validation, 0, begin, micro_batch_);
      std::vector<std::int64_t> order;
      for (std::int64_t d = begin; d < begin + micro_batch_; ++d) order.push_back(d % n);
      const at::Tensor h = validation_.index_select(0, at::tensor(order).to(device_));
      errors[i] = level_errors(options_.network, options_.prediction, schedule_, flat, h, draws.eps,
                               validation_level(part, n_levels).sigma2)
                      .squared.item<double>() /
                  (static_cast<double>(micro_batch_) * entries());
    });
    std::vector<double> sums(n_levels), counts(n_levels);
    for (std::int64_t i = 0; i < n_parts; ++i) {
      sums[i % n_levels] += errors[i];
      counts[i % n_levels] += 1.0;
    }
    double loss = 0.0;
    for (std::int64_t i = 0; i < n_levels; ++i) {
      loss += loss_of(sums[i] / counts[i], validation_level(i, n_levels)) /
              static_cast<double>(n_levels);
    }
    return loss;
  }

 private:
  double entries() const { return static_cast<double>(train_[0].numel()); }

  struct Draws {
    double level = 0.0;    ///< 0 .. 1
    at::Tensor phase;      ///< radians, [n]
    unsigned mirrors = 0;  ///< bits: rx reversed, tx reversed, conjugate
    at::Tensor eps;
  };

  // A level of the range, at 0 (cleanest) .. 1 of it: uniform in dB, or in the index.
  Level level(double position) const {
    const NetworkConfig& network = options_.network;
    if (network.log_snr) {
      return {from_db(-network.snr_high_db + position * (network.snr_high_db - network.snr_low_db)),
              position};
    }
    const auto n = schedule_.n_steps();
    return {schedule_.sigma2(std::min(n - 1, static_cast<arma::uword>(position * double(n)))),
            position};
  }
  Level validation_level(std::int64_t part, std::int64_t n_levels) const {
    return level((static_cast<double>(part % n_levels) + 0.5) / static_cast<double>(n_levels));
  }
  static std::size_t mean_of(const Level& level) {
    return std::min(n_level_means - 1, static_cast<std::size_t>(level.position * n_level_means));
  }
  // In dB of NMSE, or the mean square itself.
  double loss_of(double error, const Level& level) const {
    if (options_.objective == FitObjective::prediction) return error;
    const double gain = prediction_gains(options_.prediction, level.sigma2).o_gain;
    return to_db(gain * gain * error / power_);
  }

  at::Tensor changed(const at::Tensor& channels, const Draws& draws) const {
    const at::Tensor phase = draws.phase.to(device_).view({-1, 1, 1, 1});
    return rotated(options_.augmentation == Augmentation::mirror ? mirrored(channels, draws.mirrors)
                                                                 : channels,
                   phase);
  }

  // Level, phases and noise of positions begin .. begin + count - 1 of an epoch, each from its own
  // stream.
  Draws draw(Purpose purpose, std::int64_t epoch, std::int64_t begin, std::int64_t count) const {
    Draws draws;
    const std::int64_t n_rx = train_.size(2), n_tx = train_.size(3);
    arma::cx_mat eps;
    if (!device_.is_cuda()) eps.set_size(n_rx * n_tx, count);
    std::uint64_t device_seed = 0;
    std::vector<float> phases;
    for (std::int64_t k = 0; k < count; ++k) {
      Rng rng(options_.seed, {purpose, static_cast<std::uint64_t>(epoch),
                              static_cast<std::uint64_t>(begin + k + 1)});
      phases.push_back(static_cast<float>(2.0 * M_PI * rng.uniform()));
      if (k == 0) {
        draws.level = rng.uniform();
        draws.mirrors = static_cast<unsigned>(rng.index(8));
      }
      if (k == 0 && device_.is_cuda()) device_seed = rng();
      if (!device_.is_cuda()) rng.fill_cx_normal(eps.colptr(k), eps.n_rows);
    }
    draws.phase = at::tensor(phases);
    if (device_.is_cuda()) {
      // A GPU would wait for noise drawn here.
      at::Generator generator = at::globalContext().defaultGenerator(device_).clone();
      generator.set_current_seed(device_seed);
      draws.eps = at::randn({count, 2, n_rx, n_tx}, generator, train_.options()).mul_(M_SQRT1_2);
    } else {
      draws.eps = planes_from_columns(eps, n_rx, n_tx, device_);
    }
    return draws;
  }

  const NetworkFitOptions& options_;
  const NoiseSchedule& schedule_;
  at::Tensor train_, validation_;
  at::Device device_;
  std::int64_t micro_batch_ = 0;
  unsigned n_threads_;
  double power_ = 0.0;  // of the validation channels, per entry
  std::vector<std::int64_t> order_;
  std::int64_t shuffled_epoch_ = -1;
};

// Options of what is computed, and the data: what a checkpoint must agree with. Where and how fast
// it is computed (threads, device, bfloat16) may change, and so may the limits.
Json identity_of(const NetworkFitOptions& options) {
  Json json{{"network", Json::parse(to_json(options.network))},
            {"prediction", to_string(options.prediction)},
            {"objective", options.objective == FitObjective::nmse ? "nmse" : "prediction"},
            {"learning_rate", options.learning_rate},
            {"anneal", options.anneal},
            {"augmentation", to_string(options.augmentation)},
            {"batch", options.batch},
            {"ema_decay", options.ema_decay},
            {"seed", options.seed}};
  // The learning rate depends on where the run ends.
  if (options.anneal) json["max_epochs"] = options.max_epochs;
  return json;
}

Json all_of(const NetworkFitOptions& options) {
  Json json = identity_of(options);
  json["max_epochs"] = options.max_epochs;
  json["max_minutes"] = options.max_minutes;
  json["patience"] = options.patience;
  json["n_threads"] = options.n_threads;
  json["device"] = options.device;
  json["bfloat16"] = options.bfloat16;
  return json;
}

class Fit {
 public:
  Fit(const FitLoop& loop, const RunControl& control, Objective& objective, FitState& state)
      : loop_(loop), control_(control), objective_(objective), state_(state) {}

  void run() {
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
    }
  }

 private:
  bool finished() const {
    return state_.epoch >= static_cast<std::int64_t>(loop_.max_epochs) ||
           state_.epoch - state_.best_epoch >= static_cast<std::int64_t>(loop_.patience) ||
           out_of_time();
  }

  bool out_of_time() const {
    return loop_.max_minutes > 0.0 && seconds() >= 60.0 * loop_.max_minutes;
  }

  // False when stopped before the end of the epoch.
  bool run_epoch() {
    at::Tensor gradient;
    while (state_.batch < objective_.n_batches()) {
      if (control_.stopped() || out_of_time()) return false;
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
    if (loop_.max_minutes > 0.0) done = std::max(done, seconds() / (60.0 * loop_.max_minutes));
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
    if (std::isfinite(loss) && (state_.best_epoch == 0 || loss < state_.best_loss)) {
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
  double n_batches_done_ = 0.0;
};

}  // namespace

at::Tensor angular_planes(const SampleReader& samples) {
  constexpr arma::uword block = 1024;
  at::Tensor planes;
  for (arma::uword first = 0; first < samples.n_samples; first += block) {
    const arma::uword count = std::min(block, samples.n_samples - first);
    const arma::cx_mat h = samples.read(first, count);
    const at::Tensor part =
        to_angular(planes_from_columns(h, samples.n_rx, samples.n_tx, at::kCPU));
    if (!planes.defined()) {
      planes = at::empty(
          {static_cast<std::int64_t>(samples.n_samples), part.size(1), part.size(2), part.size(3)},
          part.options(), at::MemoryFormat::ChannelsLast);
    }
    planes.narrow(0, static_cast<std::int64_t>(first), part.size(0)).copy_(part);
  }
  return planes;
}

at::Tensor rotated(const at::Tensor& h, const at::Tensor& phase) {
  const at::Tensor c = phase.cos(), s = phase.sin();
  const at::Tensor re = h.narrow(1, 0, 1), im = h.narrow(1, 1, 1);
  return at::cat({re * c - im * s, re * s + im * c}, 1);
}

std::vector<std::int64_t> shuffled(std::int64_t n, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  Rng rng(seed, {Purpose::training, static_cast<std::uint64_t>(epoch), 0});
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.index(i)]);
  return order;
}

void check_samples(const SampleReader& train, const SampleReader& validation) {
  if (train.n_samples == 0 || validation.n_samples == 0) {
    throw Error(ErrorKind::invalid_argument, "fit: " + std::to_string(train.n_samples) +
                                                 " channels to fit on and " +
                                                 std::to_string(validation.n_samples) +
                                                 " to validate with; expected at least 1 of each");
  }
  if (train.n_rx != validation.n_rx || train.n_tx != validation.n_tx || train.n_h() == 0) {
    throw Error(ErrorKind::invalid_argument,
                "fit: the fitting channels are " + std::to_string(train.n_rx) + "x" +
                    std::to_string(train.n_tx) + ", the validation channels " +
                    std::to_string(validation.n_rx) + "x" + std::to_string(validation.n_tx));
  }
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

void run_fit(const FitLoop& loop, Objective& objective, FitState& state,
             const RunControl& control) {
  Fit(loop, control, objective, state).run();
  if (state.best_epoch == 0) {
    throw Error(ErrorKind::numeric,
                "fit: no epoch gave a finite validation loss; lower the "
                "learning rate or look at the channels' power");
  }
}

at::Tensor mirrored(const at::Tensor& planes, unsigned mirrors) {
  // The conjugate is that of the bins -k on both sides; antennas in reverse order are the bins -k
  // times exp(j 2 pi k / N).
  at::Tensor h = planes;
  const bool conjugate = mirrors & 4;
  if (conjugate) h = at::cat({h.narrow(1, 0, 1), -h.narrow(1, 1, 1)}, 1);
  for (const std::int64_t dim : {2, 3}) {
    const bool reversed = mirrors >> (dim - 2) & 1;
    if (reversed != conjugate) h = h.flip(dim).roll(1, dim);
    if (!reversed) continue;
    const std::int64_t n = h.size(dim);
    const at::Tensor ramp = at::arange(n, h.options()) * (2.0 * M_PI / static_cast<double>(n));
    h = rotated(h, dim == 2 ? ramp.view({1, 1, n, 1}) : ramp.view({1, 1, 1, n}));
  }
  return h;
}

LevelErrors level_errors(const NetworkConfig& config, Prediction prediction,
                         const NoiseSchedule& schedule, const at::Tensor& flat, const at::Tensor& h,
                         const at::Tensor& eps, double sigma2, bool bfloat16) {
  const double signal = std::sqrt(1.0 / (1.0 + sigma2)), noise = std::sqrt(sigma2 / (1.0 + sigma2));
  const at::Tensor x = (h * signal + eps * noise).contiguous(at::MemoryFormat::ChannelsLast);
  at::Tensor target = eps;
  if (prediction == Prediction::sample) target = h;
  if (prediction == Prediction::velocity) target = eps * signal - h * noise;
  const LevelNetwork network(config, network_of(config, flat),
                             noise_embedding(config, schedule, sigma2), sigma2,
                             bfloat16 ? at::kBFloat16 : flat.scalar_type());
  const NetworkOutput output = network.forward(x);
  const at::Tensor squares = (output.o - target).square();
  LevelErrors errors;
  errors.squared = squares.sum();
  if (output.deviation.defined()) {
    // h - D = o_gain (o - target); the variance is relative to that of a prior of power 1.
    const double gain = prediction_gains(prediction, sigma2).o_gain;
    const at::Tensor relative =
        squares.detach().sum(1, /*keepdim=*/true) * (gain * gain * (1.0 + sigma2) / sigma2);
    errors.log_likelihood =
        (2.0 * output.deviation.log() + relative / output.deviation.square()).sum();
  }
  return errors;
}

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

static NetworkModel fit_checked(const SampleReader& train, const SampleReader& validation,
                                const NetworkFitOptions& options, const RunControl& control) {
  const at::Device device = device_from_string(options.device, "fit");
  if (device.is_cuda()) at::globalContext().setAllowTF32CuDNN(false);
  const OneTorchThread one_thread;
  const at::NoGradGuard no_gradients;

  NetworkModel model;
  model.n_rx = train.n_rx;
  model.n_tx = train.n_tx;
  model.network = options.network;
  model.prediction = options.prediction;

  const at::Tensor train_planes = angular_planes(train);
  const at::Tensor validation_planes = angular_planes(validation);
  Json identity = identity_of(options);
  identity["fitting channels"] = hash_of(train_planes);
  identity["validation channels"] = hash_of(validation_planes);

  FitState state =
      initial_state(initial_weights(network_layout(options.network), options.seed).to(device));
  state.level_means.assign(n_level_means, 0.0);
  if (!options.checkpoint.empty() && std::filesystem::exists(options.checkpoint)) {
    load_checkpoint(options.checkpoint, identity.dump(), state);
  }
  DenoisingObjective objective(options, model.schedule, train_planes.to(device),
                               validation_planes.to(device), device);
  FitLoop loop{.learning_rate = options.learning_rate,
               .anneal = options.anneal,
               .ema_decay = options.ema_decay,
               .max_epochs = options.max_epochs,
               .max_minutes = options.max_minutes,
               .patience = options.patience,
               .unit = options.objective == FitObjective::nmse ? "dB" : "",
               .save = {}};
  if (!options.checkpoint.empty()) {
    loop.save = [&] { save_checkpoint(options.checkpoint, identity.dump(), state); };
  }
  run_fit(loop, objective, state, control);

  model.weights = named_weights(network_layout(options.network), state.best);
  model.train_losses = arma::vec(state.train_losses);
  model.validation_losses = arma::vec(state.validation_losses);
  model.provenance.seed = options.seed;
  model.provenance.options = all_of(options).dump();
  return model;
}

}  // namespace nn

NetworkModel fit_network(const SampleReader& train, const SampleReader& validation,
                         const NetworkFitOptions& options, const RunControl& control) {
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, why);
  }
  nn::check_samples(train, validation);
  if (const std::string why = options.network.why_invalid(train.n_rx, train.n_tx); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, why);
  }
  NetworkModel model;
  nn::with_torch_errors("fit",
                        [&] { model = nn::fit_checked(train, validation, options, control); });
  return model;
}

}  // namespace chest
