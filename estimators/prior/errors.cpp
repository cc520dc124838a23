#include <chest/estimators/prior/errors.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/estimators/common/interpolation.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// Log-log interpolation between the columns of positive values.
arma::vec columns_at(const arma::mat& values, const arma::vec& sigma2, double level) {
  const Between at(arma::log(sigma2), std::log(level));
  return arma::exp((1.0 - at.share) * arma::log(values.col(at.lower)) +
                   at.share * arma::log(values.col(at.upper)));
}

bool positive(const arma::mat& values) {
  return values.is_empty() || (values.min() > 0.0 && values.is_finite());
}

}  // namespace

double DenoiserErrors::at(double level) const {
  return Between(arma::log(sigma2), std::log(level)).of(mse);
}

arma::vec DenoiserErrors::angular_at(double level) const {
  return columns_at(angular, sigma2, level);
}

arma::vec DenoiserErrors::spatial_at(double level) const {
  return columns_at(spatial, sigma2, level);
}

arma::cx_mat DenoiserErrors::full_at(double level) const {
  const Between at(arma::log(sigma2), std::log(level));
  // The shape in proportion, the size log-log as mse.
  const arma::cx_mat shape =
      (1.0 - at.share) / mse(at.lower) * full[at.lower] + at.share / mse(at.upper) * full[at.upper];
  return at.of(mse) * shape;
}

std::string DenoiserErrors::why_invalid() const {
  const arma::uword n = sigma2.n_elem;
  if (mse.n_elem != n || (!angular.is_empty() && angular.n_cols != n) ||
      (!spatial.is_empty() && spatial.n_cols != n) || (!full.empty() && full.size() != n)) {
    return "the denoiser's errors hold " + std::to_string(n) + " levels and " +
           std::to_string(mse.n_elem) + " errors, the numbers must be equal";
  }
  if (n == 0) return {};
  if (!sigma2.is_sorted("strictascend") || !(sigma2.min() > 0.0) || !sigma2.is_finite()) {
    return "the levels of the denoiser's errors are not positive and ascending";
  }
  if (!positive(mse) || !positive(angular) || !positive(spatial) ||
      std::any_of(full.begin(), full.end(), [](const auto& each) { return !each.is_finite(); })) {
    return "the denoiser's errors are not positive and finite";
  }
  return {};
}

DenoiserErrors measure_errors(const Denoiser& denoiser, const SampleReader& channels,
                              const arma::vec& levels, std::uint64_t seed, ErrorDetail detail,
                              unsigned n_threads) {
  const arma::uword n_h = denoiser.n_h(), n = channels.n_samples;
  if (n == 0) refuse("denoiser errors: there are no channels");
  if (levels.is_empty()) refuse("denoiser errors: there are no levels");
  if (channels.n_h() != n_h) {
    refuse("denoiser errors: the channels have " + std::to_string(channels.n_h()) +
           " entries, the denoiser is made for " + std::to_string(n_h));
  }
  if (detail == ErrorDetail::full && n_h > most_entries_of_full_errors) {
    refuse("denoiser errors: the channels have " + std::to_string(n_h) +
           " entries; covariances of errors are kept of at most " +
           std::to_string(most_entries_of_full_errors));
  }
  DenoiserErrors errors{arma::sort(levels), arma::vec(levels.n_elem)};
  const bool per_entry = detail != ErrorDetail::mse;
  if (per_entry) {
    errors.angular.set_size(n_h, levels.n_elem);
    errors.spatial.set_size(n_h, levels.n_elem);
  }
  if (detail == ErrorDetail::full) errors.full.resize(levels.n_elem);
  const AngularTransform angular(channels.n_rx, channels.n_tx);
  constexpr arma::uword block = 64;
  parallel_for(levels.n_elem, n_threads, [&](std::size_t i) {
    const double level = errors.sigma2(i);
    double sum = 0.0;
    arma::vec per_angle(n_h, arma::fill::zeros), per_antenna = per_angle;
    arma::cx_mat covariance(detail == ErrorDetail::full ? n_h : 0,
                            detail == ErrorDetail::full ? n_h : 0, arma::fill::zeros);
    for (arma::uword first = 0; first < n; first += block) {
      const arma::uword count = std::min(block, n - first);
      arma::cx_mat e = channels.read(first, count);
      Rng rng(seed, {Purpose::validation, 1000 + i, first});
      e -= denoiser.denoise(e + rng.cx_normal(n_h, count, level), level);
      sum += arma::accu(arma::square(arma::abs(e)));
      if (per_entry) {
        per_angle += arma::sum(arma::square(arma::abs(angular.forward(e))), 1);
        per_antenna += arma::sum(arma::square(arma::abs(e)), 1);
      }
      if (detail == ErrorDetail::full) covariance += e * e.t();
    }
    errors.mse(i) = sum / static_cast<double>(n * n_h);
    if (per_entry) {
      errors.angular.col(i) = per_angle / static_cast<double>(n);
      errors.spatial.col(i) = per_antenna / static_cast<double>(n);
    }
    if (detail == ErrorDetail::full) errors.full[i] = covariance / static_cast<double>(n);
  });
  if (!errors.mse.is_finite()) {
    throw Error(ErrorKind::numeric,
                "denoiser errors: they are not finite; the denoiser is unusable");
  }
  return errors;
}

}  // namespace v0
}  // namespace chest
