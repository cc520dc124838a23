#include <chest/estimators/diffusion/red_diff.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/solver_contract.hpp>

#include <chest/estimators/common/column_noise.hpp>

namespace chest {
inline namespace v0 {
namespace {

class RedDiff final : public Estimator {
 public:
  RedDiff(std::shared_ptr<const ObservationOperator> A, std::shared_ptr<const Denoiser> denoiser,
          const RedDiffOptions& options)
      : A_(std::move(A)), denoiser_(std::move(denoiser)), options_(options) {
    WalkOptions grid;
    grid.n_levels = options.n_iterations;
    grid.tau2_first = options.tau2_first;
    grid.tau2_last = options.tau2_last;
    levels_ = walk_levels(grid, denoiser_->sigma2_range());
  }

  std::string name() const override { return "red-diff"; }
  const ObservationOperator& A() const override { return *A_; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const double lambda = options_.lambda > 0.0 ? options_.lambda : 5.0 * observation.sigma2;
    A_->pseudo_inverse(observation.y, out.h);
    out.nfe = levels_.n_elem;
    ColumnNoise noise(observation);
    // Adam with the real and imaginary parts as variables of their own.
    constexpr double decay = 0.9, decay_squares = 0.99;
    arma::cx_mat& mu = out.h;
    arma::cx_mat average(arma::size(mu), arma::fill::zeros), squares = average, D, noisy;
    for (arma::uword i = 0; i < levels_.n_elem; ++i) {
      noisy = mu;
      noise.add_to(noisy, levels_(i));
      denoiser_->denoise(noisy, levels_(i), D);
      const arma::cx_mat g = A_->adjoint(A_->apply(mu) - observation.y) + lambda * (mu - D);
      const double t = static_cast<double>(i + 1);
      const double rate =
          options_.learning_rate * (1.0 - (t - 1.0) / static_cast<double>(levels_.n_elem));
      const double unbias = 1.0 / (1.0 - std::pow(decay, t));
      const double unbias_squares = 1.0 / (1.0 - std::pow(decay_squares, t));
      average = decay * average + (1.0 - decay) * g;
      for (arma::uword k = 0; k < mu.n_elem; ++k) {
        const auto update = [&](double a, double& s, double gradient) {
          s = decay_squares * s + (1.0 - decay_squares) * gradient * gradient;
          return rate * unbias * a / (std::sqrt(unbias_squares * s) + 1e-8);
        };
        double re = squares(k).real(), im = squares(k).imag();
        const double step_re = update(average(k).real(), re, g(k).real());
        const double step_im = update(average(k).imag(), im, g(k).imag());
        squares(k) = {re, im};
        mu(k) -= arma::cx_double(step_re, step_im);
      }
    }
  }

  std::shared_ptr<const ObservationOperator> A_;
  std::shared_ptr<const Denoiser> denoiser_;
  RedDiffOptions options_;
  arma::vec levels_;
};

}  // namespace

std::string RedDiffOptions::why_invalid() const {
  if (const std::string why = red_diff_options.why_invalid(*this); !why.empty()) return why;
  WalkOptions grid;
  grid.tau2_first = tau2_first;
  grid.tau2_last = tau2_last;
  return grid.why_invalid();
}

std::unique_ptr<Estimator> make_red_diff(std::shared_ptr<const ObservationOperator> A,
                                         std::shared_ptr<const Denoiser> denoiser,
                                         const RedDiffOptions& options) {
  check_solver("red-diff", A.get(), denoiser.get());
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "red-diff: " + why);
  }
  return std::make_unique<RedDiff>(std::move(A), std::move(denoiser), options);
}

}  // namespace v0
}  // namespace chest
