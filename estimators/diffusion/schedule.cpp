#include <chest/estimators/diffusion/schedule.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/error.hpp>
#include <chest/metrics.hpp>

namespace chest {
inline namespace v0 {
namespace {

void check_level(const char* who, const char* what, double sigma2) {
  if (!(sigma2 > 0.0) || !std::isfinite(sigma2)) {
    throw Error(ErrorKind::invalid_argument, std::string(who) + ": " + what + " is " +
                                                 std::to_string(sigma2) +
                                                 ", it must be positive and finite");
  }
}

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

arma::mat converted_variance(const arma::mat& reverse_variance, const NoiseSchedule& schedule,
                             arma::uword i, double floor) {
  if (i >= schedule.n_steps()) {
    throw Error(ErrorKind::invalid_argument, "converted variance: the level is " +
                                                 std::to_string(i) + ", the schedule has " +
                                                 std::to_string(schedule.n_steps()));
  }
  const double before = i == 0 ? 1.0 : schedule.abar()(i - 1);
  const double share = schedule.betas()(i) / (1.0 - schedule.abar()(i));
  return arma::clamp((reverse_variance - share * (1.0 - before)) / (share * share * before), floor,
                     arma::datum::inf);
}

double VarianceRange::variance(double o) const {
  const double share = std::expm1(log_ratio * (1.0 + o) / 2.0) + (1.0 - k);
  return std::max(most * share / (std::expm1(log_ratio) + (1.0 - k)), std::min(least, most));
}

VarianceRange variance_range(const NoiseSchedule& schedule, double sigma2) {
  if (schedule.n_steps() < 2) {
    throw Error(ErrorKind::invalid_argument,
                "variance range: the schedule has one level, expected 2 or more");
  }
  const arma::vec& abar = schedule.abar();
  const auto log_ratio = [&](arma::uword i) {
    if (i > 0) return std::log((1.0 - abar(i)) / (1.0 - abar(i - 1)));
    const arma::vec& betas = schedule.betas();
    return std::log(betas(0) * (1.0 - abar(1)) / (betas(1) * (1.0 - abar(0))));
  };
  const double index = sigma2 > 0.0 ? schedule.fractional_index(sigma2) : 0.0;
  const double below = std::floor(index);
  const auto i = static_cast<arma::uword>(below);
  VarianceRange range{sigma2 / (1.0 + sigma2), log_ratio(i), i == 0 ? 0.0 : 1.0};
  if (const double share = index - below; share > 0.0) {
    range.log_ratio += share * (log_ratio(i + 1) - range.log_ratio);
    range.k += share * (1.0 - range.k);
  }
  return range;
}

ReverseChain published_chain(const NoiseSchedule& schedule, double sigma2, bool include_start) {
  check_level("published chain", "sigma2", sigma2);
  const double snr = 1.0 / sigma2;
  const arma::uword start = schedule.nearest(snr);
  const arma::uword n_calls = start + (include_start ? 1 : 0);
  // [Fesl2024a] scales the observation to x = sqrt(SNR / (1 + SNR)) y and calls that x at its first
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

arma::uvec inference_indices(arma::uword n_levels, arma::uword n, TimestepSpacing spacing,
                             arma::uword offset) {
  if (n == 0 || n > n_levels) {
    throw Error(ErrorKind::invalid_argument, "scheduler: " + std::to_string(n) +
                                                 " steps; expected 1 to the " +
                                                 std::to_string(n_levels) + " trained levels");
  }
  arma::uvec indices(n);
  const auto levels = static_cast<double>(n_levels), steps = static_cast<double>(n);
  for (arma::uword i = 0; i < n; ++i) {
    const auto k = static_cast<double>(n - 1 - i);  // ascending
    switch (spacing) {
      case TimestepSpacing::leading:
        indices(i) = (n - 1 - i) * (n_levels / n) + offset;
        break;
      case TimestepSpacing::trailing:
        indices(i) = static_cast<arma::uword>(
            std::nearbyint(levels - static_cast<double>(i) * (levels / steps)) - 1.0);
        break;
      case TimestepSpacing::linspace:
        // One step of numpy.linspace is its first value.
        indices(i) = static_cast<arma::uword>(
            n == 1 ? 0.0 : std::nearbyint(k * ((levels - 1.0) / (steps - 1.0))));
        break;
    }
  }
  if (indices(0) >= n_levels) {
    throw Error(ErrorKind::invalid_argument,
                "scheduler: the first of " + std::to_string(n) + " steps has the index " +
                    std::to_string(indices(0)) + "; the last trained level is " +
                    std::to_string(n_levels - 1) + " (steps_offset is " + std::to_string(offset) +
                    ")");
  }
  return indices;
}

ReverseChain scheduler_chain(const NoiseSchedule& schedule, double sigma2,
                             const arma::uvec& indices) {
  check_level("scheduler chain", "sigma2", sigma2);
  const double snr = 1.0 / sigma2;
  arma::uword nearest = 0, first = 0;
  for (arma::uword i = 1; i < schedule.n_steps(); ++i) {
    const auto distance = [&](arma::uword k) { return std::abs(to_db(schedule.snr(k) / snr)); };
    if (distance(i) < distance(nearest)) nearest = i;
  }
  for (arma::uword i = 1; i < indices.n_elem; ++i) {
    const auto distance = [&](arma::uword k) {
      return std::abs(static_cast<double>(indices(k)) - static_cast<double>(nearest));
    };
    if (distance(i) < distance(first)) first = i;
  }
  ReverseChain chain;
  chain.start_scale = std::sqrt(snr / (1.0 + snr) / schedule.abar()(indices(first)));
  for (arma::uword i = first; i < indices.n_elem; ++i) {
    const double level = schedule.sigma2(indices(i));
    const bool last = i + 1 == indices.n_elem;
    chain.steps.push_back({level, last ? 0.0 : schedule.sigma2(indices(i + 1)) / level});
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
  const arma::uword n = log_snr_length(sigma2, sigma2_end, n_steps);
  for (arma::uword i = 0; i < n; ++i) chain.steps.push_back(log_snr_step(sigma2, sigma2_end, n, i));
  return chain;
}

arma::uword log_snr_length(double sigma2, double sigma2_end, arma::uword n_steps) {
  return sigma2 <= sigma2_end ? 1 : n_steps;
}

ReverseStep log_snr_step(double sigma2, double sigma2_end, arma::uword n_steps, arma::uword i) {
  if (n_steps == 1) return {sigma2, 0.0};
  const double ratio = std::pow(sigma2_end / sigma2, 1.0 / static_cast<double>(n_steps - 1));
  const bool last = i + 1 == n_steps;
  const double level = last ? sigma2_end : sigma2 * std::pow(ratio, static_cast<double>(i));
  return {level, last ? 0.0 : ratio};
}

}  // namespace v0
}  // namespace chest
