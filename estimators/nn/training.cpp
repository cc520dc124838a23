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
#include <chest/parallel.hpp>
#include <chest/random.hpp>

#include "../network_layout.hpp"
#include "device.hpp"
#include "network.hpp"
#include "tensor_bridge.hpp"

namespace chest {
namespace nn {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t fewest_validation_draws = 1024;

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

std::string hash_of(const at::Tensor& planes) {
  const at::Tensor bytes = planes.permute({0, 2, 3, 1}).contiguous();
  return hash_bytes(bytes.data_ptr<float>(), bytes.nbytes());
}

// What a fit sees: a loss and its gradient per batch, and the validation loss. Micro-batches are
// added in their order, so a fit does not depend on the number of threads.
class Objective {
 public:
  Objective(const NetworkFitOptions& options, const NoiseSchedule& schedule, at::Tensor train,
            at::Tensor validation, at::Device device)
      : options_(options),
        n_levels_(schedule.n_steps()),
        levels_(schedule, device),
        train_(std::move(train)),
        validation_(std::move(validation)),
        device_(device),
        micro_batch_(device.is_cuda() ? static_cast<std::int64_t>(options.batch)
                                      : cpu_micro_batch(train_.size(2) * train_.size(3))),
        n_threads_(device.is_cuda() ? 1 : options.n_threads) {}

  std::int64_t n_batches() const {
    const auto batch = static_cast<std::int64_t>(options_.batch);
    return (train_.size(0) + batch - 1) / batch;
  }

  /// The squared error summed over a batch; `gradient` is that of its mean over all entries.
  double batch(const at::Tensor& flat, std::int64_t epoch, std::int64_t batch,
               at::Tensor& gradient) {
    if (epoch != shuffled_epoch_) shuffle(epoch);
    const auto size = static_cast<std::int64_t>(options_.batch);
    const std::int64_t first = batch * size;
    const std::int64_t count = std::min(size, train_.size(0) - first);
    const std::int64_t n_parts = (count + micro_batch_ - 1) / micro_batch_;
    std::vector<at::Tensor> gradients(n_parts);
    std::vector<double> errors(n_parts);
    parallel_for(n_parts, n_threads_, [&](std::size_t i) {
      use_one_torch_thread();
      const at::AutoGradMode with_gradients(true);
      const std::int64_t begin = first + static_cast<std::int64_t>(i) * micro_batch_;
      const std::int64_t end = std::min(begin + micro_batch_, first + count);
      std::vector<std::int64_t> order(order_.begin() + begin, order_.begin() + end);
      const Draws draws = draw(Purpose::training, epoch, begin, end - begin);
      const at::Tensor leaf = flat.detach().requires_grad_();
      const at::Tensor error =
          squared_error(options_.network, options_.prediction, levels_, leaf,
                        train_.index_select(0, at::tensor(order).to(device_)), draws.eps,
                        at::tensor(draws.index).to(device_), options_.bfloat16);
      gradients[i] = torch::autograd::grad({error}, {leaf})[0];
      errors[i] = error.item<double>();
    });
    gradient = gradients[0];
    for (std::int64_t i = 1; i < n_parts; ++i) gradient += gradients[i];
    gradient /= static_cast<double>(count * entries());
    return std::accumulate(errors.begin(), errors.end(), 0.0);
  }

  /// Mean loss per entry on the validation channels for each of the weights, noise and indices
  /// always the same.
  std::vector<double> validate(const std::vector<at::Tensor>& flats) const {
    const std::int64_t n = validation_.size(0);
    const std::int64_t n_repeats = (fewest_validation_draws + n - 1) / n;
    const std::int64_t n_draws = n * n_repeats;
    const std::int64_t n_parts = (n_draws + micro_batch_ - 1) / micro_batch_;
    std::vector<std::vector<double>> errors(n_parts, std::vector<double>(flats.size()));
    parallel_for(n_parts, n_threads_, [&](std::size_t i) {
      use_one_torch_thread();
      const at::NoGradGuard no_gradients;
      const std::int64_t begin = static_cast<std::int64_t>(i) * micro_batch_;
      const std::int64_t end = std::min(begin + micro_batch_, n_draws);
      Draws draws = draw(Purpose::validation, 0, begin, end - begin);
      std::vector<std::int64_t> order;
      draws.index.clear();
      for (std::int64_t d = begin; d < end; ++d) {
        order.push_back(d % n);
        // All indices equally often, and others for the same channel in the next repetition.
        draws.index.push_back((d % n + d / n * n_levels_ / n_repeats) % n_levels_);
      }
      const at::Tensor h = validation_.index_select(0, at::tensor(order).to(device_));
      const at::Tensor index = at::tensor(draws.index).to(device_);
      for (std::size_t k = 0; k < flats.size(); ++k) {
        errors[i][k] = squared_error(options_.network, options_.prediction, levels_, flats[k], h,
                                     draws.eps, index)
                           .item<double>();
      }
    });
    std::vector<double> losses(flats.size());
    for (const std::vector<double>& part : errors) {
      for (std::size_t k = 0; k < flats.size(); ++k) losses[k] += part[k];
    }
    for (double& loss : losses) loss /= static_cast<double>(n_draws * entries());
    return losses;
  }

  std::int64_t entries() const { return train_[0].numel(); }
  std::int64_t n_train() const { return train_.size(0); }
  std::int64_t n_in(std::int64_t n_batches) const {
    return std::min(n_train(), n_batches * static_cast<std::int64_t>(options_.batch));
  }

 private:
  struct Draws {
    std::vector<std::int64_t> index;
    at::Tensor eps;
  };

  void shuffle(std::int64_t epoch) {
    order_.resize(train_.size(0));
    std::iota(order_.begin(), order_.end(), 0);
    Rng rng(options_.seed, {Purpose::training, static_cast<std::uint64_t>(epoch), 0});
    for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[rng.index(i)]);
    shuffled_epoch_ = epoch;
  }

  // Index and noise of positions begin .. begin + count - 1 of an epoch, each from its own stream.
  Draws draw(Purpose purpose, std::int64_t epoch, std::int64_t begin, std::int64_t count) const {
    Draws draws;
    const std::int64_t n_rx = train_.size(2), n_tx = train_.size(3);
    arma::cx_mat eps;
    if (!device_.is_cuda()) eps.set_size(n_rx * n_tx, count);
    std::uint64_t device_seed = 0;
    for (std::int64_t k = 0; k < count; ++k) {
      Rng rng(options_.seed, {purpose, static_cast<std::uint64_t>(epoch),
                              static_cast<std::uint64_t>(begin + k + 1)});
      draws.index.push_back(static_cast<std::int64_t>(rng.index(n_levels_)));
      if (k == 0 && device_.is_cuda()) device_seed = rng();
      if (!device_.is_cuda()) rng.fill_cx_normal(eps.colptr(k), eps.n_rows);
    }
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
  std::int64_t n_levels_;
  NoiseLevels levels_;
  at::Tensor train_, validation_;
  at::Device device_;
  std::int64_t micro_batch_;
  unsigned n_threads_;
  std::vector<std::int64_t> order_;
  std::int64_t shuffled_epoch_ = -1;
};

// Options of what is computed, and the data: what a checkpoint must agree with. Where and how fast
// it is computed (threads, device, bfloat16) may change, and so may the limits.
Json identity_of(const NetworkFitOptions& options) {
  return {{"network", Json::parse(to_json(options.network))},
          {"prediction", to_string(options.prediction)},
          {"learning_rate", options.learning_rate},
          {"batch", options.batch},
          {"ema_decay", options.ema_decay},
          {"seed", options.seed}};
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

void check(const SampleReader& train, const SampleReader& validation,
           const NetworkFitOptions& options) {
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, why);
  }
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

class Fit {
 public:
  Fit(const NetworkFitOptions& options, const RunControl& control, Objective& objective,
      FitState& state, std::string identity)
      : options_(options),
        control_(control),
        objective_(objective),
        state_(state),
        identity_(std::move(identity)) {}

  void run() {
    while (!finished()) {
      if (!run_epoch()) {
        // Stopped within an epoch: the checkpoint goes on from here, and what was reached counts.
        save();
        keep_if_best(state_.epoch + 1);
        return;
      }
      state_.train_losses.push_back(
          state_.loss_sum / static_cast<double>(objective_.n_train() * objective_.entries()));
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
    return state_.epoch >= static_cast<std::int64_t>(options_.max_epochs) ||
           state_.epoch - state_.best_epoch >= static_cast<std::int64_t>(options_.patience) ||
           out_of_time();
  }

  bool out_of_time() const {
    return options_.max_minutes > 0.0 && seconds() >= 60.0 * options_.max_minutes;
  }

  // False when stopped before the end of the epoch.
  bool run_epoch() {
    at::Tensor gradient;
    while (state_.batch < objective_.n_batches()) {
      if (control_.stopped() || out_of_time()) return false;
      const double error = objective_.batch(state_.weights, state_.epoch, state_.batch, gradient);
      if (!std::isfinite(error)) {
        throw Error(ErrorKind::numeric,
                    "fit: the loss is not finite in epoch " + std::to_string(state_.epoch + 1) +
                        "; lower the learning rate, now " + std::to_string(options_.learning_rate) +
                        ", or look at the channels' power");
      }
      state_.adam.step(state_.weights, gradient, options_.learning_rate);
      update_average();
      state_.loss_sum += error;
      ++state_.batch;
      ++n_batches_done_;
      report(state_.loss_sum /
             static_cast<double>(objective_.n_in(state_.batch) * objective_.entries()));
    }
    return true;
  }

  // Short memory at first, so that the random start is soon forgotten.
  void update_average() {
    const auto step = static_cast<double>(state_.adam.n_steps);
    const double decay = std::min(options_.ema_decay, step / (step + 9.0));
    state_.average.mul_(decay).add_(state_.weights, 1.0 - decay);
  }

  double keep_if_best(std::int64_t epoch) {
    const std::vector<double> losses = objective_.validate({state_.weights, state_.average});
    const double loss = std::min(losses[0], losses[1]);
    if (std::isfinite(loss) && (state_.best_epoch == 0 || loss < state_.best_loss)) {
      state_.best.copy_(losses[0] < losses[1] ? state_.weights : state_.average);
      state_.best_loss = loss;
      state_.best_epoch = epoch;
    }
    return loss;
  }

  void save() const {
    if (!options_.checkpoint.empty()) save_checkpoint(options_.checkpoint, identity_, state_);
  }

  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  void report(double loss) const {
    if (!control_.on_progress) return;
    const auto n_batches = static_cast<double>(objective_.n_batches());
    const double n_done =
        static_cast<double>(state_.epoch) * n_batches + static_cast<double>(state_.batch);
    const double n_all = static_cast<double>(options_.max_epochs) * n_batches;
    Progress progress;
    progress.seconds = seconds();
    progress.fraction = n_done / n_all;
    progress.seconds_left =
        n_batches_done_ > 0 ? progress.seconds / n_batches_done_ * (n_all - n_done) : -1.0;
    if (const double limit = 60.0 * options_.max_minutes; limit > 0.0) {
      progress.fraction = std::max(progress.fraction, std::min(1.0, progress.seconds / limit));
      progress.seconds_left = std::min(progress.seconds_left, limit - progress.seconds);
    }
    std::ostringstream text;
    text.precision(4);
    const std::int64_t epoch = state_.batch > 0 ? state_.epoch + 1 : state_.epoch;
    text << "epoch " << epoch << ", loss " << loss;
    if (!state_.validation_losses.empty()) {
      text << ", validation " << state_.validation_losses.back();
      if (state_.best_epoch == state_.epoch) {
        text << " (best)";
      } else {
        text << " (best " << state_.best_loss << " in epoch " << state_.best_epoch << ")";
      }
    }
    progress.text = text.str();
    control_.on_progress(progress);
  }

  const NetworkFitOptions& options_;
  const RunControl& control_;
  Objective& objective_;
  FitState& state_;
  std::string identity_;
  Clock::time_point start_ = Clock::now();
  double n_batches_done_ = 0.0;
};

}  // namespace

NoiseLevels::NoiseLevels(const NoiseSchedule& schedule, const at::Device& device) {
  signal = at::empty({static_cast<std::int64_t>(schedule.n_steps())}, at::kFloat);
  noise = at::empty_like(signal);
  for (arma::uword i = 0; i < schedule.n_steps(); ++i) {
    signal.data_ptr<float>()[i] = static_cast<float>(std::sqrt(schedule.abar()(i)));
    noise.data_ptr<float>()[i] = static_cast<float>(std::sqrt(1.0 - schedule.abar()(i)));
  }
  signal = signal.to(device);
  noise = noise.to(device);
}

at::Tensor squared_error(const NetworkConfig& config, Prediction prediction,
                         const NoiseLevels& levels, const at::Tensor& flat, const at::Tensor& h,
                         const at::Tensor& eps, const at::Tensor& index, bool bfloat16) {
  const at::Tensor signal = levels.signal.index_select(0, index).view({-1, 1, 1, 1});
  const at::Tensor noise = levels.noise.index_select(0, index).view({-1, 1, 1, 1});
  at::Tensor x = (h * signal + eps * noise).contiguous(at::MemoryFormat::ChannelsLast);
  if (bfloat16) x = x.to(at::kBFloat16);
  at::Tensor target = eps;
  if (prediction == Prediction::sample) target = h;
  if (prediction == Prediction::velocity) target = eps * signal - h * noise;
  const at::Tensor output = forward(
      network_of(config, flat), x, noise_embedding(index.to(flat.scalar_type()), config.embedding));
  return at::mse_loss(output.to(target.scalar_type()), target, at::Reduction::Sum);
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
  use_one_torch_thread();
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

  FitState state;
  state.weights = initial_weights(options.network, options.seed).to(device);
  state.average = state.weights.clone();
  state.best = at::zeros_like(state.weights);
  state.adam.mean = at::zeros_like(state.weights);
  state.adam.mean_square = at::zeros_like(state.weights);
  if (!options.checkpoint.empty() && std::filesystem::exists(options.checkpoint)) {
    load_checkpoint(options.checkpoint, identity.dump(), state);
  }
  Objective objective(options, model.schedule, train_planes.to(device),
                      validation_planes.to(device), device);
  Fit(options, control, objective, state, identity.dump()).run();

  if (state.best_epoch == 0) {
    throw Error(ErrorKind::numeric,
                "fit: no epoch gave a finite validation loss; lower the "
                "learning rate or look at the channels' power");
  }
  model.weights = named_weights(options.network, state.best);
  model.train_losses = arma::vec(state.train_losses);
  model.validation_losses = arma::vec(state.validation_losses);
  model.provenance.seed = options.seed;
  model.provenance.options = all_of(options).dump();
  return model;
}

}  // namespace nn

NetworkModel fit_network(const SampleReader& train, const SampleReader& validation,
                         const NetworkFitOptions& options, const RunControl& control) {
  nn::check(train, validation, options);
  NetworkModel model;
  nn::with_torch_errors("fit",
                        [&] { model = nn::fit_checked(train, validation, options, control); });
  return model;
}

}  // namespace chest
