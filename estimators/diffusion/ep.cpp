#include <chest/estimators/diffusion/ep.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/metrics.hpp>

#include <chest/angular.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/linear/angular_lmmse.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/solver_contract.hpp>

namespace chest {
inline namespace v0 {
namespace {

class Ep final : public Estimator {
 public:
  Ep(std::shared_ptr<const ObservationOperator> A, std::shared_ptr<const Denoiser> denoiser,
     const EpOptions& options)
      : A_(std::move(A)),
        denoiser_(std::move(denoiser)),
        options_(options),
        s2_(A_->squared_singular_values()) {
    if (const auto range = denoiser_->sigma2_range()) {
      least_ = std::min(std::max(least_, range->first), range->second);
      most_ = std::max(std::min(most_, range->second), least_);
    }
    if (options_.variance == EpVariance::analytic) return;
    angles_.emplace(options_.n_rx, options_.n_tx);
    linear_.emplace(A_, options_.n_rx, options_.n_tx);
    options_.errors.angular = angular_errors();
  }

  std::string name() const override { return "ep"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    if (options_.variance == EpVariance::analytic) {
      with_one_variance(observation, out);
    } else if (options_.variance != EpVariance::head) {
      with_variances(observation, out);
    } else {
      // Every channel has levels of its own.
      Estimate one;
      for (arma::uword k = 0; k < observation.y.n_cols; ++k) {
        const Observation of_one = observation.columns(arma::uvec{k});
        one.h.set_size(A_->n_h(), 1);
        one.mse.set_size(1);
        one.nfe = one.n_reset = 0;
        with_variances(of_one, one);
        out.h.col(k) = one.h;
        out.mse(k) = one.mse(0);
        out.nfe = std::max(out.nfe, one.nfe);
        out.n_reset += one.n_reset;
      }
    }
  }

  void with_one_variance(const Observation& observation, Estimate& out) const {
    const double sigma2 = observation.sigma2;
    const double n_h = static_cast<double>(A_->n_h());
    const arma::uword n = observation.y.n_cols;
    // Messages: h = r1 + CN(0, I / g1) from the denoiser, h = r2 + CN(0, I / g2) from the data.
    arma::cx_mat r1(A_->n_h(), n, arma::fill::zeros), r2, x1, x2, next;
    double g1 = 1.0;
    std::vector<char> settled(n, 1);
    for (arma::uword i = 0;; ++i) {
      // Linear block.
      A_->ridge(observation.y - A_->apply(r1), sigma2 * g1, x2);
      x2 += r1;
      double v2 = 0.0;
      for (const double s2 : s2_) v2 += 1.0 / (s2 / sigma2 + g1);
      v2 = (v2 + (n_h - static_cast<double>(s2_.n_elem)) / g1) / n_h;
      out.mse.fill(v2 * n_h);
      if (i == options_.n_iterations) break;
      const double g2 = std::clamp(1.0 / v2 - g1, 0.02 * g1, 1e5);
      r2 = x2 + (g1 / g2) * (x2 - r1);
      // Denoiser block.
      const double tau2 = std::clamp(1.0 / g2, least_, most_);
      denoiser_->denoise(r2, tau2, x1);
      ++out.nfe;
      const double v1 = std::min(options_.errors.at(tau2), 0.98 / g2);
      const double g1_next = std::clamp(1.0 / v1 - g2, 1e-3, 1e5);
      next = x1 + (g2 / g1_next) * (x1 - r2);
      const double share = i == 0 ? 1.0 : options_.damping;
      if (i + 1 == options_.n_iterations) {
        for (arma::uword k = 0; k < n; ++k) {
          const double step = arma::norm(next.col(k) - r1.col(k));
          settled[k] = share * share * step * step < n_h / g1;
        }
      }
      r1 = share * next + (1.0 - share) * r1;
      g1 = std::exp(share * std::log(g1_next) + (1.0 - share) * std::log(g1));
    }
    out.h = x2;
    replace_unsettled(observation, settled, out);
  }

  /// The errors per angle, of rows their means.
  arma::mat angular_errors() const {
    arma::mat angular = options_.errors.angular;
    if (options_.variance != EpVariance::rows) return angular;
    for (arma::uword i = 0; i < angular.n_cols; ++i) {
      arma::mat v(angular.colptr(i), options_.n_rx, options_.n_tx, false, true);
      v.each_col() = arma::vec(arma::mean(v, 1));
    }
    return angular;
  }

  /// Precision of the denoiser's message: what its error v1 at noise of precision g2 adds to that.
  static arma::vec message_precision(const arma::vec& v1, double g2) {
    constexpr double least = 1e-5, most = 1e5, least_gain = 1e-3;
    return arma::clamp(
        1.0 / arma::min(v1, arma::vec(v1.n_elem, arma::fill::value((1.0 - least_gain) / g2))) - g2,
        least, most);
  }

  /// g2 of mean(1 / (g1 + g2)) = v2.
  static double white_precision(const arma::vec& g1, double v2) {
    double low = std::log(1e-5), high = std::log(1e5);
    for (int i = 0; i < 60; ++i) {
      const double middle = 0.5 * (low + high);
      (arma::mean(1.0 / (g1 + std::exp(middle))) > v2 ? low : high) = middle;
    }
    return std::exp(0.5 * (low + high));
  }

  /// As with_one_variance(), with g1 and r1 per angle.
  void with_variances(const Observation& observation, Estimate& out) const {
    const arma::uword n = observation.y.n_cols;
    const bool by_head = options_.variance == EpVariance::head;
    arma::cx_mat r1(A_->n_h(), n, arma::fill::zeros), r2, x1, x2, next;
    // Second moments of the prior: no message knows less, which keeps errors that are not white, as with
    // few pilots, from growing.
    const arma::vec of_prior = message_precision(options_.errors.angular_at(most_), 1.0 / most_);
    arma::vec g1 = of_prior;
    std::vector<char> settled(n, 1);
    Observation per_angle = observation;
    per_angle.per_angle = true;
    Estimate linear;
    DenoiserError error;
    error.per_angle = true;
    for (arma::uword i = 0;; ++i) {
      linear_->estimate(per_angle, r1, 1.0 / g1, linear);
      if (n == 0) break;
      out.mse = linear.mse;
      if (i == options_.n_iterations) break;
      const double g2 = white_precision(g1, arma::mean(linear.angular_mse.col(0)));
      angles_->forward(linear.h, x2);
      r2 = x2 + scaled_rows(g1 / g2, x2 - r1);
      const double tau2 = std::clamp(1.0 / g2, least_, most_);
      const arma::cx_mat z = angles_->inverse(r2);
      arma::vec v1;
      if (by_head) {
        denoiser_->denoise_with_error(z, tau2, x1, error);
        v1 = arma::clamp(error.angular.col(0), 1e-8, arma::datum::inf);
      } else {
        denoiser_->denoise(z, tau2, x1);
        v1 = options_.errors.angular_at(tau2);
      }
      ++out.nfe;
      angles_->forward(x1, x1);
      const arma::vec g1_next = arma::max(message_precision(v1, g2), of_prior);
      next = x1 + scaled_rows(g2 / g1_next, x1 - r2);
      const double share = options_.damping;
      if (i + 1 == options_.n_iterations) {
        for (arma::uword k = 0; k < n; ++k) {
          const arma::vec moves = arma::square(arma::abs(next.col(k) - r1.col(k)));
          settled[k] = share * share * arma::dot(g1, moves) < static_cast<double>(A_->n_h());
        }
      }
      r1 = share * next + (1.0 - share) * r1;
      g1 = arma::exp(share * arma::log(g1_next) + (1.0 - share) * arma::log(g1));
    }
    out.h = linear.h;
    replace_unsettled(observation, settled, out);
  }

  static arma::cx_mat scaled_rows(const arma::vec& factors, arma::cx_mat X) {
    X.each_col() %= arma::cx_vec(factors, arma::vec(factors.n_elem, arma::fill::zeros));
    return X;
  }

  /// Channels whose messages did not settle get the estimate of the fallback, and an error that is
  /// known only where the fallback knows it.
  void replace_unsettled(const Observation& observation, const std::vector<char>& settled,
                         Estimate& out) const {
    std::vector<arma::uword> lost;
    const arma::vec powers = squared_norms(out.h);
    for (arma::uword k = 0; k < out.h.n_cols; ++k) {
      if (!settled[k] || !(powers(k) < 1e6 * static_cast<double>(out.h.n_rows))) lost.push_back(k);
    }
    if (lost.empty()) return;
    const arma::uvec columns(lost);
    out.mse(columns).fill(arma::datum::nan);
    if (!options_.fallback) {
      for (const arma::uword k : columns) {
        if (std::isfinite(powers(k))) continue;
        out.h.col(k).zeros();
        ++out.n_reset;
      }
      return;
    }
    const Estimate instead = options_.fallback->estimate(observation.columns(columns));
    out.h.cols(columns) = instead.h;
    if (!instead.mse.is_empty()) out.mse(columns) = instead.mse;
    out.nfe += instead.nfe;
    out.n_reset += instead.n_reset;
  }

  std::shared_ptr<const ObservationOperator> A_;
  std::shared_ptr<const Denoiser> denoiser_;
  EpOptions options_;
  arma::vec s2_;
  double least_ = 1e-5, most_ = 50.0;  ///< levels
  // Of variances per angle.
  std::optional<AngularTransform> angles_;
  std::optional<AngularLmmse> linear_;
};

}  // namespace

std::string EpOptions::why_invalid() const {
  if (const std::string why = ep_options.why_invalid(*this); !why.empty()) return why;
  if (errors.empty()) return "the denoiser's errors are not given";
  return errors.why_invalid();
}

std::unique_ptr<Estimator> make_ep(std::shared_ptr<const ObservationOperator> A,
                                   std::shared_ptr<const Denoiser> denoiser,
                                   const EpOptions& options) {
  check_solver("ep", A.get(), denoiser.get());
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "ep: " + why);
  }
  if (options.variance == EpVariance::analytic) {
    return std::make_unique<Ep>(std::move(A), std::move(denoiser), options);
  }
  EpOptions by_angle = options;
  if (by_angle.n_rx == 0 && A->pilots()) {
    by_angle.n_tx = A->pilots()->n_rows;
    by_angle.n_rx = A->n_h() / by_angle.n_tx;
  }
  check_arrays("ep", A.get(), by_angle.n_rx, by_angle.n_tx);
  if (options.errors.angular.n_rows != A->n_h()) {
    throw Error(ErrorKind::invalid_argument,
                "ep: the denoiser's errors per angle are not given, variances per angle need them");
  }
  if (options.variance == EpVariance::head && !denoiser->predicts_angular_error()) {
    throw Error(ErrorKind::invalid_argument,
                "ep: " + denoiser->name() +
                    " does not predict its error per angle, variance=head needs that");
  }
  return std::make_unique<Ep>(std::move(A), std::move(denoiser), by_angle);
}

}  // namespace v0
}  // namespace chest
