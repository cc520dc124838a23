#include <chest/estimators/diffusion/coarse_to_fine.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/error.hpp>

#include <chest/estimators/common/column_noise.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/solver_contract.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// An ascent whose residual per entry passes this has diverged, and ends.
constexpr double blow_up = 2.0;

class CoarseToFine final : public Estimator {
 public:
  CoarseToFine(std::shared_ptr<const ObservationOperator> A,
               std::shared_ptr<const Denoiser> denoiser, const CoarseToFineOptions& options)
      : A_(std::move(A)),
        denoiser_(std::move(denoiser)),
        options_(options),
        largest_(std::sqrt(A_->squared_singular_values().max())) {}

  std::string name() const override { return "coarse-to-fine"; }
  const ObservationOperator& A() const override { return *A_; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    ColumnNoise noise(observation);
    for (arma::uword k = 0; k < observation.y.n_cols; ++k) {
      arma::cx_mat h;
      out.nfe = std::max(out.nfe, ascend(observation.y.col(k), observation.sigma2, noise.of(k), h));
      out.h.col(k) = h;
    }
  }

  arma::uword ascend(const arma::cx_mat& y, double sigma2, Rng& rng, arma::cx_mat& h) const {
    const arma::uword n_h = A_->n_h();
    const double stop = std::max(options_.last_tau, std::sqrt(sigma2) / largest_);
    const arma::cx_mat from_data = A_->pseudo_inverse(y);
    arma::cx_mat z = from_data + rng.cx_normal(n_h, 1), D, d;
    arma::uword n_calls = 0;
    double tau = 1.0;
    for (arma::uword i = 0; i < options_.most_iterations; ++i) {
      const double t = static_cast<double>(i);
      const double share = options_.step * (t + 1.0) / (1.0 + options_.step * t);
      denoiser_->denoise_blind(z, D);
      ++n_calls;
      // The residual in the null space of A, the way to the data in its row space.
      d = D - z;
      d += from_data - A_->pseudo_inverse(A_->apply(D));
      tau = arma::norm(d, "fro") / std::sqrt(static_cast<double>(n_h));
      if (!(tau < blow_up)) break;
      const double kept = 1.0 - options_.noise * share;
      const double gain = std::sqrt(std::max(kept * kept - (1.0 - share) * (1.0 - share), 0.0));
      z += share * d + rng.cx_normal(n_h, 1, gain * gain * tau * tau);
      if (tau < stop) break;
    }
    denoiser_->denoise_blind(z, D);
    h = D + A_->ridge(y - A_->apply(D), sigma2 / (tau * tau));
    return n_calls + 1;
  }

  std::shared_ptr<const ObservationOperator> A_;
  std::shared_ptr<const Denoiser> denoiser_;
  CoarseToFineOptions options_;
  double largest_;  ///< singular value of A
};

}  // namespace

std::string CoarseToFineOptions::why_invalid() const {
  return coarse_to_fine_options.why_invalid(*this);
}

std::unique_ptr<Estimator> make_coarse_to_fine(std::shared_ptr<const ObservationOperator> A,
                                               std::shared_ptr<const Denoiser> denoiser,
                                               const CoarseToFineOptions& options) {
  check_solver("coarse-to-fine", A.get(), denoiser.get());
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "coarse-to-fine: " + why);
  }
  if (!denoiser->blind()) {
    throw Error(ErrorKind::invalid_argument,
                "coarse-to-fine: " + denoiser->name() +
                    " must be told the noise level; use a network fitted with bias-free");
  }
  return std::make_unique<CoarseToFine>(std::move(A), std::move(denoiser), options);
}

}  // namespace v0
}  // namespace chest
