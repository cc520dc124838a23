#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/estimators/nn/network_adapt.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/metrics.hpp>

#include "device.hpp"
#include "fit_loop.hpp"
#include "held_out.hpp"
#include "level_denoiser.hpp"
#include "network.hpp"
#include "noisy_channels.hpp"
#include "tensor_bridge.hpp"

namespace chest {
inline namespace v0 {
namespace nn {

namespace {

/// Draws of an epoch, at least.
constexpr std::int64_t fewest_draws = 1024;
/// Noise levels that share a running mean of their error.
constexpr std::size_t n_adapt_means = 40;
constexpr double adapt_mean_decay = 0.98;
/// A running mean of noisy estimates is no less than this part of the error before.
constexpr double least_mean_part = 0.05;
/// Part of the micro-batches whose levels can be judged, where there are others.
constexpr double judged_part = 0.75;
/// Of the predicted errors' distance in nats, squared, beside the error; of every fourth micro-batch, four times.
constexpr double head_weight = 0.02;
constexpr std::size_t head_stride = 4;

class AdaptationObjective final : public Objective {
 public:
  AdaptationObjective(const NetworkModel& model, const AdaptOptions& options,
                      const NoisyChannels& channels, const HeldOut& held_out, at::Tensor original,
                      const at::Device& device)
      : Objective(sample_numbers(channels.n()),
                  {.size = static_cast<std::int64_t>(options.batch),
                   .micro_batch = std::clamp<std::int64_t>(
                       static_cast<std::int64_t>(options.batch) / 8, 1,
                       cpu_micro_batch(static_cast<std::int64_t>(channels.n_h()))),
                   .seed = options.seed,
                   .n_threads = device.is_cuda() ? 1 : options.n_threads}),
        model_(model),
        options_(options),
        channels_(channels),
        held_out_(held_out),
        original_(std::move(original)),
        mask_(adapted_weights(model.network, options.layers).to(device)),
        device_(device) {
    if (!channels.decorrelated()) basis_ = basis_tensor(channels.basis()).to(device);
    const auto range = model.sigma2_range();
    low_ = to_db(range.first);
    high_ = to_db(range.second);
    own_ = std::max(to_db(channels.least_level()), low_);
  }

  void start(FitState& state) const {
    state.level_means.resize(n_adapt_means);
    for (std::size_t i = 0; i < n_adapt_means; ++i) {
      const double position = (static_cast<double>(i) + 0.5) / n_adapt_means;
      state.level_means[i] = held_out_.reference(from_db(own_ + position * (high_ - own_)));
    }
  }

  double batch(FitState& state, at::Tensor& gradient) override {
    const std::int64_t n_parts = n_micro_batches(state), count = batch_size(state);
    std::vector<double> losses(n_parts), errors(n_parts, arma::datum::nan);
    std::vector<std::size_t> means(n_parts);
    gradient = sum_gradients(state, [&](const MicroBatch& part, const at::Tensor& weights) {
      const std::size_t i = part.index;
      ColumnNoise noise = keyed_noise(state.epoch, part);
      const double position =
          (static_cast<double>(i) + noise.of(0).uniform()) / static_cast<double>(n_parts);
      const double level = from_db(level_db(position));
      means[i] = mean_of(level);
      return loss(part, weights, level, state.level_means[means[i]], noise, count, losses[i],
                  errors[i]);
    });
    gradient.mul_(mask_);
    double sum = 0.0;
    for (std::int64_t i = 0; i < n_parts; ++i) {
      sum += losses[i];
      if (!std::isfinite(errors[i])) continue;
      double& mean = state.level_means[means[i]];
      mean = std::max(adapt_mean_decay * mean + (1.0 - adapt_mean_decay) * errors[i],
                      least_mean_part * held_out_.reference(level_of_mean(means[i])));
    }
    return sum;
  }

  double validate(const at::Tensor& flat) const override {
    return held_out_.loss(held_out_.errors(*denoiser_of(flat)));
  }

  /// 1 for the weights that may change, else 0.
  const at::Tensor& mask() const { return mask_; }

  std::unique_ptr<Denoiser> denoiser_of(const at::Tensor& flat) const {
    NetworkModel adapted = model_;
    adapted.weights = named_weights(network_layout(model_.network), flat);
    NetworkRunOptions run;
    run.device = options_.device;
    run.precision = NetworkPrecision::float32;
    return make_network_denoiser(adapted, run);
  }

 private:
  /// Every number as often as it takes for an epoch of enough draws, as planes of one value.
  static at::Tensor sample_numbers(arma::uword n) {
    const auto count = static_cast<std::int64_t>(n);
    const std::int64_t repeats = std::max<std::int64_t>(1, (fewest_draws + count - 1) / count);
    return at::arange(count, at::kDouble).repeat({repeats}).view({-1, 1, 1, 1});
  }

  /// 1 for the weights that may change.
  static at::Tensor adapted_weights(const NetworkConfig& config, AdaptedLayers layers) {
    std::int64_t n_all = 0;
    for (const NamedTensor& tensor : network_layout(config)) n_all += n_values(tensor.dims);
    if (layers == AdaptedLayers::all) return at::ones({n_all});
    at::Tensor mask = at::zeros({n_all});
    const Network network = network_of(config, mask);
    for (const Layer& layer : {network.convolutions.back(), network.modulation}) {
      if (layer.weight.defined()) layer.weight.fill_(1.0);
      if (layer.bias.defined()) layer.bias.fill_(1.0);
    }
    return mask;
  }

  static at::Tensor basis_tensor(const arma::cx_mat& U) {
    const auto n = static_cast<std::int64_t>(U.n_rows);
    return at::from_blob(const_cast<arma::cx_double*>(U.memptr()), {n, n}, at::kComplexDouble)
        .t()
        .to(at::kComplexFloat)
        .contiguous();
  }

  ColumnNoise keyed_noise(std::int64_t epoch, const MicroBatch& part) const {
    Observation keys;
    keys.y.set_size(1, static_cast<arma::uword>(part.h.size(0)));
    keys.seed = options_.seed;
    keys.first_sample = static_cast<std::uint64_t>(part.begin);
    // Not those of the judged levels.
    return ColumnNoise(keys, (std::uint64_t{1} << 32) + static_cast<std::uint64_t>(epoch));
  }

  double level_db(double position) const {
    if (own_ <= low_) return low_ + position * (high_ - low_);
    return position < judged_part
               ? own_ + position / judged_part * (high_ - own_)
               : low_ + (position - judged_part) / (1.0 - judged_part) * (own_ - low_);
  }
  std::size_t mean_of(double level) const {
    const double position = std::clamp((to_db(level) - own_) / (high_ - own_), 0.0, 1.0);
    return std::min(n_adapt_means - 1, static_cast<std::size_t>(position * n_adapt_means));
  }
  double level_of_mean(std::size_t i) const {
    return from_db(own_ + (static_cast<double>(i) + 0.5) / n_adapt_means * (high_ - own_));
  }

  /// Planes of vec(H U), in which errors are taken; of decorrelated pilots the angular ones.
  at::Tensor in_basis(const at::Tensor& angular) const {
    if (!basis_.defined()) return angular;
    return planes_of(at::matmul(complex_of(to_antenna(angular)), basis_));
  }

  at::Tensor planes(const arma::cx_mat& columns) const {
    return planes_from_columns(columns, channels_.n_rx(), channels_.n_tx(), device_);
  }

  at::Tensor loss(const MicroBatch& part, const at::Tensor& weights, double level, double mean,
                  ColumnNoise& noise, std::int64_t count, double& loss_sum, double& error) const {
    const at::Tensor numbers = part.h.flatten().contiguous();
    const std::int64_t n = numbers.numel();
    arma::uvec which(static_cast<arma::uword>(n));
    std::transform(numbers.data_ptr<double>(), numbers.data_ptr<double>() + n, which.begin(),
                   [](double v) { return static_cast<arma::uword>(v); });
    const Examples examples = channels_.draw(which, level, noise, true);
    const auto n_h = static_cast<double>(channels_.n_h());
    const double n_seen = arma::accu(examples.n_entries);
    const double reference = held_out_.reference(level);

    const at::Tensor x = to_angular(planes(examples.x));
    // A difference of D wants more digits than bfloat16 has.
    const at::ScalarType precision =
        options_.bfloat16 && arma::all(examples.c <= 0.0) ? at::kBFloat16 : at::kFloat;
    const LevelDenoiser denoiser(model_, weights, level, precision);
    const NetworkOutput D = denoiser(x);
    const at::Tensor D_basis = in_basis(D.o);
    const at::Tensor target =
        basis_.defined() ? planes(examples.target) : to_angular(planes(examples.target));
    const at::Tensor seen =
        at::from_blob(const_cast<double*>(examples.seen.memptr()),
                      {n, 1, 1, static_cast<std::int64_t>(channels_.n_tx())}, at::kDouble)
            .to(at::kFloat)
            .to(device_);

    const bool holds_head = D.deviation.defined() && part.index % head_stride == 0;
    const bool needs_original = n_seen < n_h * static_cast<double>(n) || holds_head;
    NetworkOutput before;
    if (needs_original) {
      const at::NoGradGuard no_gradients;
      before = LevelDenoiser(model_, original_, level, precision)(x);
    }
    at::Tensor sum = at::zeros({}, x.options());
    const double entries = n_h * static_cast<double>(count);
    if (n_seen > 0.0) {
      at::Tensor squared = ((D_basis - target).square() * seen).sum();
      squared = squared + divergence(examples, x, D.o, level, denoiser, noise);
      error = (squared.item<double>() - arma::accu(examples.offset)) / n_seen;
      sum = sum + squared / (entries * mean);
      loss_sum += n_seen / n_h * to_db(std::max(error, 1e-30) / reference);
    }
    if (n_seen < n_h * static_cast<double>(n)) {
      const at::Tensor drift = ((D_basis - in_basis(before.o)).square() * (1.0 - seen)).sum();
      sum = sum + drift / (entries * reference);
      const double n_unseen = n_h * static_cast<double>(n) - n_seen;
      loss_sum += n_unseen / n_h * to_db(1.0 + drift.item<double>() / (n_unseen * reference));
    }
    if (holds_head) {
      sum = sum + (D.deviation.log() - before.deviation.log()).square().sum() *
                      (head_stride * head_weight / entries);
    }
    return sum;
  }

  /// sum_k c_k b^T J b, from a difference of D.
  at::Tensor divergence(const Examples& examples, const at::Tensor& x, const at::Tensor& D,
                        double level, const LevelDenoiser& denoiser, ColumnNoise& noise) const {
    const arma::uvec needs = arma::find(examples.c > 0.0);
    if (needs.is_empty()) return at::zeros({}, x.options());
    arma::cx_mat b(channels_.n_h(), needs.n_elem);
    std::vector<std::int64_t> rows;
    std::vector<float> c;
    for (arma::uword i = 0; i < needs.n_elem; ++i) {
      for (arma::cx_double& v : b.col(i)) {
        const std::uint64_t bits = noise.of(needs(i))();
        v = {bits & 1 ? 1.0 : -1.0, bits & 2 ? 1.0 : -1.0};
      }
      rows.push_back(static_cast<std::int64_t>(needs(i)));
      c.push_back(static_cast<float>(examples.c(needs(i))));
    }
    // As unbiased_errors().
    const double step = 0.03 * std::sqrt(level);
    const at::Tensor index = at::tensor(rows).to(device_);
    const at::Tensor directions = to_angular(planes(b));
    const at::Tensor moved = denoiser(x.index_select(0, index) + directions * step).o;
    const at::Tensor weights = at::tensor(c).to(device_).view({-1, 1, 1, 1});
    return ((moved - D.index_select(0, index)) * directions * weights).sum() / step;
  }

  const NetworkModel& model_;
  const AdaptOptions& options_;
  const NoisyChannels& channels_;
  const HeldOut& held_out_;
  at::Tensor original_, mask_, basis_;
  at::Device device_;
  double low_, own_,
      high_;  ///< lowest level of the network, that of the best observation, highest; dB of sigma2
};

nlohmann::json adapt_record(const AdaptOptions& options) {
  return {{"layers", options.layers == AdaptedLayers::all ? "all" : "last"},
          {"learning_rate", options.learning_rate},
          {"batch", options.batch},
          {"ema_decay", options.ema_decay},
          {"max_epochs", options.max_epochs},
          {"max_minutes", options.max_minutes},
          {"patience", options.patience},
          {"seed", options.seed},
          {"n_threads", options.n_threads},
          {"device", options.device},
          {"bfloat16", options.bfloat16}};
}

Adaptation adapt_checked(const NetworkModel& model,
                         const std::shared_ptr<const ObservationOperator>& A,
                         const ReceivedPilots& fit, const ReceivedPilots& held,
                         const AdaptOptions& options, const at::Device& device,
                         const RunControl& control) {
  const at::NoGradGuard no_gradients;
  NetworkRunOptions run;
  run.device = options.device;
  run.precision = NetworkPrecision::float32;
  const std::shared_ptr<const Denoiser> original = make_network_denoiser(model, run);
  const unsigned n_threads = options.n_threads;
  check_slots(*A, held, original, options.seed, n_threads);
  const NoisyChannels channels(A, fit, original, options.seed, n_threads);
  // Other draws than those of the fit.
  const NoisyChannels held_channels(A, held, original, options.seed + 1, n_threads);
  const HeldOut held_out(held_channels, original, model.sigma2_range(), options.seed, n_threads);

  const at::Tensor flat = flat_weights(network_layout(model.network), model.weights).to(device);
  AdaptationObjective objective(model, options, channels, held_out, flat, device);
  FitState state = initial_state(flat.clone());
  objective.start(state);
  const FitLoop loop{.learning_rate = options.learning_rate,
                     .anneal = true,
                     .ema_decay = options.ema_decay,
                     .max_epochs = options.max_epochs,
                     .max_minutes = options.max_minutes,
                     .patience = options.patience,
                     .unit = "dB",
                     .save = {}};
  run_fit(loop, objective, state, control);
  // Averages of weights that did not change are theirs up to rounding.
  const at::Tensor weights = at::where(objective.mask() > 0.0, state.best, flat);

  Adaptation out;
  out.model = model;
  out.model.weights = named_weights(network_layout(model.network), weights);
  out.model.train_losses = arma::vec(state.train_losses);
  out.model.validation_losses = arma::vec(state.validation_losses);
  out.model.precision = {};  // measured with other weights
  out.model.provenance.seed = options.seed;
  out.model.provenance.options = adapt_record(options).dump();
  const std::shared_ptr<const Denoiser> adapted = objective.denoiser_of(weights);
  held_out.judge(held_out.errors(*adapted), out);
  judge_slots(*A, held, original, adapted, options.seed, n_threads, out);
  if (out.refusal.empty()) {
    out.recalibrated =
        recalibrate(out.model, *adapted, *original, held_channels, options.seed, n_threads);
  }
  return out;
}

}  // namespace
}  // namespace nn

Adaptation adapt_network(const NetworkModel& model,
                         const std::shared_ptr<const ObservationOperator>& A,
                         const ReceivedPilots& fit, const ReceivedPilots& held_out,
                         const AdaptOptions& options, const RunControl& control) {
  nn::check_adaptation(model, A, fit, held_out, options, control);
  const at::Device device = nn::device_from_string(options.device, "adapt");
  Adaptation out;
  nn::with_torch("adapt", device, [&] {
    out = nn::adapt_checked(model, A, fit, held_out, options, device, control);
  });
  return out;
}

}  // namespace v0
}  // namespace chest
