#include <chest/estimators/diffusion/ep.hpp>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/metrics.hpp>

#include <chest/estimators/common/contract.hpp>
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
  }

  std::string name() const override { return "ep"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
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
  return std::make_unique<Ep>(std::move(A), std::move(denoiser), options);
}

}  // namespace v0
}  // namespace chest
