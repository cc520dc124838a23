#include <chest/estimators/diffusion.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/error.hpp>
#include <chest/metrics.hpp>

#include "contract.hpp"
#include "interpolation.hpp"

namespace chest {
namespace {

void check_level(const char* who, const char* what, double sigma2) {
  if (!(sigma2 > 0.0) || !std::isfinite(sigma2)) {
    throw Error(ErrorKind::invalid_argument, std::string(who) + ": " + what + " is " +
                                                 std::to_string(sigma2) +
                                                 ", it must be positive and finite");
  }
}

class Dmse final : public Estimator {
 public:
  Dmse(std::shared_ptr<const ObservationOperator> A, std::shared_ptr<const Denoiser> denoiser,
       const DmseOptions& options, double gram_scale)
      : A_(std::move(A)),
        denoiser_(std::move(denoiser)),
        options_(options),
        gram_scale_(gram_scale) {}

  using Estimator::estimate;

  std::string name() const override { return "dmse"; }

  void estimate(const Observation& observation, Estimate& out) const override {
    check_observation("dmse", *A_, observation);
    const double sigma2 = observation.sigma2 / gram_scale_;
    const ReverseChain chain = chain_for(sigma2);
    A_->pseudo_inverse(observation.y, out.h);
    if (chain.start_scale != 1.0) out.h *= chain.start_scale;
    out.nfe = chain.steps.size();
    DenoiserError error;
    error.per_angle = observation.per_angle;
    const bool predicts = denoiser_->predicts_error() && !chain.steps.empty();
    if (!predicts && options_.n_probes > 0) {
      error.mse = probed_error(*denoiser_, out.h, sigma2, options_.n_probes, observation.stream);
      out.nfe += options_.n_probes + 1;
    }
    denoiser_->run(chain.steps, out.h, predicts ? &error : nullptr);
    const double mean = options_.calibration.mse_at(sigma2);
    if (error.mse.is_empty() && mean > 0.0) {
      error.mse.set_size(observation.y.n_cols);
      error.mse.fill(mean * static_cast<double>(A_->n_h()));
    } else if (predicts) {
      const double ratio = options_.calibration.mse_ratio_at(sigma2);
      error.mse *= ratio;
      error.angular *= ratio;
    }
    out.mse = std::move(error.mse);
    out.angular_mse = std::move(error.angular);
  }

  std::string method(double sigma2) const override {
    const std::size_t n = chain_for(sigma2 / gram_scale_).steps.size();
    return std::to_string(n) + (n == 1 ? " call" : " calls");
  }

  std::string warning(double sigma2) const override {
    const auto range = denoiser_->sigma2_range();
    if (!range) return {};
    return outside_fitted_range(sigma2 / gram_scale_, range->first, range->second);
  }

 private:
  ReverseChain chain_for(double sigma2) const {
    switch (options_.rule) {
      case ReverseRule::published:
        return published_chain(options_.schedule, sigma2, false);
      case ReverseRule::published_full:
        return published_chain(options_.schedule, sigma2, true);
      case ReverseRule::fixed_steps:
        return log_snr_chain(sigma2, options_.sigma2_end, options_.n_steps);
      case ReverseRule::calibrated:
        break;
    }
    return log_snr_chain(sigma2, options_.sigma2_end,
                         options_.calibration.steps_at(sigma2, options_.n_steps));
  }

  std::shared_ptr<const ObservationOperator> A_;
  std::shared_ptr<const Denoiser> denoiser_;
  DmseOptions options_;
  double gram_scale_;
};

}  // namespace

NoiseSchedule NoiseSchedule::linear(arma::uword n_steps, double beta_first, double beta_last) {
  return NoiseSchedule(arma::linspace<arma::vec>(beta_first, beta_last, n_steps));
}

NoiseSchedule::NoiseSchedule(arma::vec betas) : betas_(std::move(betas)) {
  if (betas_.is_empty()) {
    throw Error(ErrorKind::invalid_argument, "noise schedule: there are no betas");
  }
  for (arma::uword i = 0; i < betas_.n_elem; ++i) {
    if (!(betas_(i) > 0.0 && betas_(i) < 1.0)) {
      throw Error(ErrorKind::invalid_argument, "noise schedule: beta " + std::to_string(i) +
                                                   " is " + std::to_string(betas_(i)) +
                                                   ", it must lie between 0 and 1");
    }
  }
  abar_ = arma::cumprod(1.0 - betas_);
}

arma::uword NoiseSchedule::nearest(double snr) const {
  return arma::index_min(arma::abs(abar_ / (1.0 - abar_) - snr));
}

double NoiseSchedule::fractional_index(double level) const {
  check_level("noise schedule", "sigma2", level);
  arma::uword upper = 0;  // first index that is not cleaner than the level
  while (upper < n_steps() && sigma2(upper) < level) ++upper;
  if (upper == 0) return 0.0;
  if (upper == n_steps()) return static_cast<double>(n_steps() - 1);
  const double from = std::log(sigma2(upper - 1)), to = std::log(sigma2(upper));
  return static_cast<double>(upper - 1) + (std::log(level) - from) / (to - from);
}

const char* to_string(Prediction prediction) {
  switch (prediction) {
    case Prediction::epsilon:
      return "epsilon";
    case Prediction::sample:
      return "sample";
    case Prediction::velocity:
      break;
  }
  return "velocity";
}

Prediction prediction_from_string(const std::string& text) {
  for (const Prediction p : {Prediction::epsilon, Prediction::sample, Prediction::velocity}) {
    if (text == to_string(p)) return p;
  }
  throw Error(ErrorKind::invalid_argument,
              "prediction '" + text + "' is unknown: use epsilon, sample or velocity");
}

PredictionGains prediction_gains(Prediction prediction, double sigma2) {
  switch (prediction) {
    case Prediction::epsilon:
      return {1.0, -std::sqrt(sigma2)};
    case Prediction::sample:
      return {0.0, 1.0};
    case Prediction::velocity:
      break;
  }
  const double abar = 1.0 / (1.0 + sigma2);
  return {abar, -std::sqrt(1.0 - abar)};
}

ReverseChain published_chain(const NoiseSchedule& schedule, double sigma2, bool include_start) {
  check_level("published chain", "sigma2", sigma2);
  const double snr = 1.0 / sigma2;
  const arma::uword start = schedule.nearest(snr);
  const arma::uword n_calls = start + (include_start ? 1 : 0);
  // The letter scales the observation to x = sqrt(SNR / (1 + SNR)) y and calls that x at its first
  // index; in VE coordinates z = x / sqrt(abar). Without a call x itself is returned.
  ReverseChain chain;
  chain.start_scale = std::sqrt(snr / (1.0 + snr));
  if (n_calls > 0) chain.start_scale /= std::sqrt(schedule.abar()(n_calls - 1));
  for (arma::uword i = n_calls; i-- > 0;) {
    // x <- (x - beta eps / sqrt(1 - abar)) / sqrt(alpha) with eps = (z - D) / sigma; at i = 0 the
    // factor is zero up to rounding, and zero is meant.
    const double keep = i == 0 ? 0.0 : schedule.sigma2(i - 1) / schedule.sigma2(i);
    chain.steps.push_back({schedule.sigma2(i), keep});
  }
  return chain;
}

ReverseChain log_snr_chain(double sigma2, double sigma2_end, arma::uword n_steps) {
  check_level("log-SNR chain", "sigma2", sigma2);
  check_level("log-SNR chain", "sigma2_end", sigma2_end);
  if (n_steps == 0) {
    throw Error(ErrorKind::invalid_argument, "log-SNR chain: n_steps is 0, it must be at least 1");
  }
  ReverseChain chain;
  if (n_steps == 1 || sigma2 <= sigma2_end) {
    chain.steps.push_back({sigma2, 0.0});
    return chain;
  }
  const double ratio = std::pow(sigma2_end / sigma2, 1.0 / static_cast<double>(n_steps - 1));
  for (arma::uword i = 0; i < n_steps; ++i) {
    const bool last = i + 1 == n_steps;
    const double level = last ? sigma2_end : sigma2 * std::pow(ratio, static_cast<double>(i));
    chain.steps.push_back({level, last ? 0.0 : ratio});
  }
  return chain;
}

arma::uword Calibration::steps_at(double sigma2, arma::uword otherwise) const {
  if (empty()) return otherwise;
  return n_steps(arma::index_min(arma::abs(snr_db + to_db(sigma2))));
}

double Calibration::mse_at(double sigma2) const {
  return empty() ? -1.0 : Between(snr_db, -to_db(sigma2)).of(mse);
}

double Calibration::mse_ratio_at(double sigma2) const {
  return mse_ratio.is_empty() ? 1.0 : Between(snr_db, -to_db(sigma2)).of(mse_ratio);
}

std::string DmseOptions::why_invalid() const {
  if (n_steps == 0) return "n_steps is 0, it must be at least 1";
  if (!(sigma2_end > 0.0) || !std::isfinite(sigma2_end)) {
    return "sigma2_end is " + std::to_string(sigma2_end) + ", it must be positive and finite";
  }
  if (calibration.n_steps.n_elem != calibration.snr_db.n_elem ||
      calibration.mse.n_elem != calibration.snr_db.n_elem ||
      (!calibration.mse_ratio.is_empty() &&
       calibration.mse_ratio.n_elem != calibration.snr_db.n_elem)) {
    return "calibration holds " + std::to_string(calibration.snr_db.n_elem) + " SNRs, " +
           std::to_string(calibration.n_steps.n_elem) + " step counts and " +
           std::to_string(calibration.mse.n_elem) + " errors, the numbers must be equal";
  }
  if (!calibration.empty()) {
    if (!calibration.snr_db.is_sorted("strictascend")) {
      return "calibration has SNRs that do not ascend";
    }
    if (calibration.n_steps.min() == 0) return "calibration has a step count of 0, it must be >= 1";
    if (!(calibration.mse.min() > 0.0) || !calibration.mse.is_finite()) {
      return "calibration has an error that is not positive and finite";
    }
  }
  return {};
}

std::unique_ptr<Estimator> make_dmse(std::shared_ptr<const ObservationOperator> A,
                                     std::shared_ptr<const Denoiser> denoiser,
                                     const DmseOptions& options) {
  check_solver("dmse", A.get(), denoiser.get());
  const double gain = decorrelation_gain("dmse", A.get());
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "dmse: " + why);
  }
  return std::make_unique<Dmse>(std::move(A), std::move(denoiser), options, gain);
}

}  // namespace chest
