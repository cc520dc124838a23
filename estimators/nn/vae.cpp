#include "vae.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/linear/angular_lmmse.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/vae_layout.hpp>
#include <chest/estimators/network/vae_model.hpp>
#include <chest/estimators/nn/vae.hpp>
#include "device.hpp"
#include "fit_loop.hpp"
#include "tensor_bridge.hpp"
#include "training.hpp"

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

// Input planes are of about the same size with these.
constexpr double vae_magnitude_scale = 0.3, snr_scale = 0.1 / 3.0;
constexpr double least_log_c = -15.0, most_log_c = 10.0, most_log_variance = 10.0;
constexpr double ema_decay = 0.998;
constexpr std::int64_t fewest_vae_validation_draws = 2048;

at::Tensor convolved(const at::Tensor& x, const Layer& layer, std::int64_t stride) {
  return at::conv2d(pad_periodic(x, 1, 1), layer.weight, layer.bias, stride);
}

/// A micro-batch: channels, what the encoder is told of them, and the noise of its latent.
struct Draws {
  at::Tensor h, inputs, eps;
};

class ElboObjective final : public Objective {
 public:
  ElboObjective(const VaeFitOptions& options, at::Tensor train, at::Tensor validation)
      : Objective(train, {.size = static_cast<std::int64_t>(options.batch),
                          .micro_batch = cpu_micro_batch(train.size(2) * train.size(3)),
                          .seed = options.seed,
                          .n_threads = options.n_threads}),
        options_(options),
        n_rx_(train.size(2)),
        n_tx_(train.size(3)),
        validation_(std::move(validation)) {}

  double batch(FitState& state, at::Tensor& gradient) override {
    std::vector<double> losses(n_micro_batches(state));
    gradient = sum_gradients(state, [&](const MicroBatch& part, const at::Tensor& weights) {
      const Draws draws = draw(part.h, {Purpose::training, static_cast<std::uint64_t>(state.epoch),
                                        static_cast<std::uint64_t>(part.begin + 1)});
      const at::Tensor loss = loss_of(weights, draws);
      losses[part.index] = loss.item<double>();
      return loss;
    });
    gradient.div_(static_cast<double>(batch_size(state)));
    return std::accumulate(losses.begin(), losses.end(), 0.0);
  }

  double validate(const at::Tensor& flat) const override {
    const std::int64_t n = validation_.size(0);
    const std::int64_t n_parts =
        (std::max(n, fewest_vae_validation_draws) + micro_batch() - 1) / micro_batch();
    std::vector<double> losses(n_parts);
    in_workers(losses.size(), [&](std::size_t i) {
      const std::int64_t begin = static_cast<std::int64_t>(i) * micro_batch();
      const at::Tensor which = at::arange(begin, begin + micro_batch()).remainder(n);
      losses[i] = loss_of(flat, draw(validation_.index_select(0, which),
                                     {Purpose::validation, 0, static_cast<std::uint64_t>(i)}))
                      .item<double>();
    });
    return std::accumulate(losses.begin(), losses.end(), 0.0) /
           static_cast<double>(n_parts * micro_batch());
  }

 private:
  // Minus the ELBO per entry of h, summed over channels.
  at::Tensor loss_of(const at::Tensor& flat, const Draws& draws) const {
    const Vae vae(options_.network, n_rx_, n_tx_, flat);
    return elbo(vae, draws.inputs, draws.h, draws.eps).sum() / -static_cast<double>(n_rx_ * n_tx_);
  }

  // Random phases, SNRs, noise and, for every other stream, pilots. Pilots that are Gaussian are as
  // likely in the angular domain as in that of the antennas.
  Draws draw(const at::Tensor& h, Stream stream) const {
    Rng rng(options_.seed, stream);
    const at::Generator generator = at::detail::createCPUGenerator(rng());
    const std::int64_t n = h.size(0), n_rx = h.size(2), n_tx = h.size(3);
    const at::TensorOptions real(at::kFloat), complex(at::kComplexFloat);
    Draws draws;
    draws.h = rotated(h, at::rand({n, 1, 1, 1}, generator, real) * (2.0 * M_PI));
    const at::Tensor snr_db =
        at::rand({n}, generator, real) * (VaeConfig::snr_high_db - VaeConfig::snr_low_db) +
        VaeConfig::snr_low_db;
    const at::Tensor sigma2 = (snr_db * (-M_LN10 / 10.0)).exp();
    const at::Tensor deviation = sigma2.sqrt().view({n, 1, 1});
    at::Tensor z = complex_of(draws.h);
    double observed = 1.0;
    if (rng.index(2) == 0) {
      z = z + at::randn({n, n_rx, n_tx}, generator, complex) * deviation;
    } else {
      const auto n_pilots = static_cast<std::int64_t>(rng.index(n_tx_)) + 1;
      const at::Tensor P = at::randn({n_tx, n_pilots}, generator, complex);
      const at::Tensor P_inverse = at::linalg_pinv(P, 1e-6);
      const double gain =
          at::view_as_real(P_inverse).square().sum().item<double>() / double(n_pilots);
      const at::Tensor noise = at::randn({n, n_rx, n_pilots}, generator, complex) * deviation;
      z = at::matmul(at::matmul(z, P) + noise / std::sqrt(gain), P_inverse);
      observed = static_cast<double>(n_pilots) / static_cast<double>(n_tx);
    }
    draws.inputs = encoder_inputs(planes_of(z), sigma2, observed);
    draws.eps = at::randn({n, options_.network.latent}, generator, real);
    return draws;
  }

  const VaeFitOptions& options_;
  arma::uword n_rx_, n_tx_;
  at::Tensor validation_;
};

class VaeEstimator final : public Estimator {
 public:
  VaeEstimator(std::shared_ptr<const ObservationOperator> A, const VaeModel& model)
      : A_(std::move(A)),
        n_rx_(model.n_rx),
        n_tx_(model.n_tx),
        lmmse_(A_, model.n_rx, model.n_tx),
        vae_(model.network, model.n_rx, model.n_tx,
             flat_weights(vae_layout(model.network, model.n_rx, model.n_tx), model.weights)) {
    const arma::vec s2 = A_->squared_singular_values();
    const arma::vec seen = s2(arma::find(s2 > 1e-10 * s2.max()));
    noise_gain_ = arma::mean(1.0 / seen);
    observed_ = static_cast<double>(seen.n_elem) / static_cast<double>(A_->n_h());
  }

  std::string name() const override { return "vae"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

  std::string warning(double sigma2) const override {
    return outside_fitted_range(noise_gain_ * sigma2, from_db(-VaeConfig::snr_high_db),
                                from_db(-VaeConfig::snr_low_db));
  }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const arma::cx_mat z = A_->pseudo_inverse(observation.y);
    arma::cx_mat m(z.n_rows, z.n_cols);
    arma::mat c(z.n_rows, z.n_cols);
    with_torch("vae", at::kCPU, [&] { decode(z, noise_gain_ * observation.sigma2, m, c); });
    lmmse_.estimate(observation, m, c, out);
    out.nfe = 1;
  }

  void decode(const arma::cx_mat& z, double sigma2, arma::cx_mat& m, arma::mat& c) const {
    const c10::InferenceMode no_gradients;
    const auto micro_batch = static_cast<arma::uword>(cpu_micro_batch(A_->n_h()));
    for (arma::uword first = 0; first < z.n_cols; first += micro_batch) {
      const arma::uword last = std::min(first + micro_batch, z.n_cols) - 1;
      const at::Tensor planes =
          to_angular(planes_from_columns(z.cols(first, last), n_rx_, n_tx_, at::kCPU));
      const at::Tensor levels = at::full({planes.size(0)}, sigma2, at::kFloat);
      const AngularGaussian prior =
          vae_.decode(vae_.encode(encoder_inputs(planes, levels, observed_)).mean);
      arma::cx_mat columns(m.colptr(first), m.n_rows, last - first + 1, false, true);
      columns_from_planes(prior.mean, columns);
      columns_from_plane(prior.log_c.exp(), c.colptr(first));
    }
  }

  std::shared_ptr<const ObservationOperator> A_;
  arma::uword n_rx_, n_tx_;
  AngularLmmse lmmse_;
  Vae vae_;
  double noise_gain_ = 1.0;  ///< noise variance of A^+ y over sigma2, mean over what A sees
  double observed_ = 1.0;    ///< share of the directions of h
};

}  // namespace

at::Tensor encoder_inputs(const at::Tensor& planes, const at::Tensor& sigma2, double observed) {
  const at::Tensor level =
      sigma2.clamp(from_db(-VaeConfig::snr_high_db), from_db(-VaeConfig::snr_low_db))
          .view({-1, 1, 1, 1});
  const at::Tensor power = planes.square().sum(1, /*keepdim=*/true);
  const at::Tensor snr_db = level.log10() * (-10.0 * snr_scale);
  return at::cat({planes / (1.0 + sigma2.view({-1, 1, 1, 1})).sqrt(),
                  (power / level).log1p() * vae_magnitude_scale, snr_db.expand_as(power),
                  at::full_like(power, observed)},
                 1);
}

Vae::Vae(const VaeConfig& config, arma::uword n_rx, arma::uword n_tx, const at::Tensor& flat)
    : zero_mean_(config.zero_mean), layers_(layers_of(vae_layout(config, n_rx, n_tx), flat)) {
  auto n_rows = static_cast<std::int64_t>(n_rx), n_cols = static_cast<std::int64_t>(n_tx);
  for (std::size_t i = 0; i < config.hidden.size(); ++i) {
    n_rows_.push_back(n_rows);
    n_cols_.push_back(n_cols);
    n_rows = (n_rows + 1) / 2;
    n_cols = (n_cols + 1) / 2;
  }
}

Latent Vae::encode(const at::Tensor& inputs) const {
  const std::size_t n = n_rows_.size();
  at::Tensor x = inputs;
  for (std::size_t i = 0; i < n; ++i) x = convolved(x, layers_[i], i > 0 ? 2 : 1).relu_();
  const at::Tensor parts = at::linear(x.flatten(1), layers_[n].weight, layers_[n].bias);
  const std::int64_t n_latent = parts.size(1) / 2;
  return {parts.narrow(1, 0, n_latent),
          parts.narrow(1, n_latent, n_latent).clamp(-most_log_variance, most_log_variance)};
}

AngularGaussian Vae::decode(const at::Tensor& z) const {
  const std::size_t n = n_rows_.size();
  const Layer& linear = layers_[n + 1];
  at::Tensor x = at::linear(z, linear.weight, linear.bias)
                     .relu_()
                     .view({z.size(0), -1, n_rows_.back(), n_cols_.back()});
  for (std::size_t i = n - 1; i > 0; --i) {
    const std::int64_t size[] = {n_rows_[i - 1], n_cols_[i - 1]};
    x = convolved(at::upsample_nearest2d(x, size), layers_[2 * n + 1 - i], 1).relu_();
  }
  x = convolved(x, layers_.back(), 1);
  AngularGaussian prior;
  prior.log_c = x.narrow(1, x.size(1) - 1, 1).clamp(least_log_c, most_log_c);
  prior.mean =
      zero_mean_ ? at::zeros({x.size(0), 2, x.size(2), x.size(3)}, x.options()) : x.narrow(1, 0, 2);
  return prior;
}

at::Tensor kl_divergence(const Latent& q) {
  return 0.5 * (q.mean.square() + q.log_variance.exp() - 1.0 - q.log_variance).sum(1);
}

at::Tensor log_likelihood(const AngularGaussian& prior, const at::Tensor& h) {
  const at::Tensor distance = (h - prior.mean).square().sum(1, /*keepdim=*/true);
  return -(distance * (-prior.log_c).exp() + prior.log_c + std::log(M_PI)).sum({1, 2, 3});
}

at::Tensor elbo(const Vae& vae, const at::Tensor& inputs, const at::Tensor& h,
                const at::Tensor& eps) {
  const Latent q = vae.encode(inputs);
  const AngularGaussian prior = vae.decode(q.mean + (0.5 * q.log_variance).exp() * eps);
  return log_likelihood(prior, h) - kl_divergence(q);
}

static VaeModel fit_checked(const SampleReader& train, const SampleReader& validation,
                            const VaeFitOptions& options, const RunControl& control) {
  const at::NoGradGuard no_gradients;
  VaeModel model;
  model.n_rx = train.n_rx;
  model.n_tx = train.n_tx;
  model.network = options.network;
  const std::vector<NamedTensor> layout = vae_layout(options.network, train.n_rx, train.n_tx);
  FitState state = initial_state(initial_weights(layout, options.seed));
  ElboObjective objective(options, angular_planes(train), angular_planes(validation));
  run_fit({.learning_rate = options.learning_rate,
           .anneal = true,
           .ema_decay = ema_decay,
           .max_epochs = options.max_epochs,
           .max_minutes = options.max_minutes,
           .patience = options.patience,
           .unit = "nats",
           .save = {}},
          objective, state, control);
  model.weights = named_weights(layout, state.best);
  model.train_losses = arma::vec(state.train_losses);
  model.validation_losses = arma::vec(state.validation_losses);
  model.provenance.seed = options.seed;
  return model;
}

}  // namespace nn

VaeModel fit_vae(const SampleReader& train, const SampleReader& validation,
                 const VaeFitOptions& options, const RunControl& control) {
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, why);
  }
  nn::check_samples(train, validation);
  VaeModel model;
  nn::with_torch("fit", at::kCPU,
                 [&] { model = nn::fit_checked(train, validation, options, control); });
  return model;
}

std::unique_ptr<Estimator> make_vae(std::shared_ptr<const ObservationOperator> A,
                                    const VaeModel& model) {
  check_given("vae", A.get());
  const bool fits = A->n_h() == model.n_rx * model.n_tx && model.n_rx > 0 &&
                    (A->pilots() == nullptr || A->pilots()->n_rows == model.n_tx);
  if (!fits) {
    throw Error(ErrorKind::invalid_argument, "vae: the model is for " + std::to_string(model.n_rx) +
                                                 "x" + std::to_string(model.n_tx) +
                                                 " channels, A (" + A->name() + ") is not");
  }
  if (const std::string why = model.network.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, why);
  }
  return std::make_unique<nn::VaeEstimator>(std::move(A), model);
}

}  // namespace v0
}  // namespace chest
