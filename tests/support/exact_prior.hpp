#pragma once

#include <gtest/gtest.h>

#include <armadillo>
#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/metrics.hpp>
#include <chest/observation.hpp>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace chest {

inline double nmse_db(const arma::cx_mat& h_hat, const arma::cx_mat& h) {
  return to_db(arma::accu(arma::square(arma::abs(h_hat - h))) /
               arma::accu(arma::square(arma::abs(h))));
}

/// Writes what a test saw into its report (--gtest_output=xml).
inline void seen(const char* what, double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  testing::Test::RecordProperty(what, text);
}

/// The Gaussian prior CN(0, C) as a mixture of one.
inline GaussianMixture one_component(const arma::cx_mat& C) {
  return {{1.0}, arma::cx_mat(C.n_rows, 1, arma::fill::zeros), {C}};
}

/// Whatever an operator does, as a matrix.
inline arma::cx_mat dense(const ObservationOperator& A) {
  return A.apply(arma::cx_mat(A.n_h(), A.n_h(), arma::fill::eye));
}

/// h given one z = h + sigma eps under a mixture, by dense inverses: another path than the
/// denoiser's own.
struct MixturePosterior {
  arma::cx_vec mean;
  arma::cx_mat covariance;         ///< E[(h - mean)(h - mean)^H | z]
  arma::cx_mat pseudo_covariance;  ///< E[(h - mean)(h - mean)^T | z]
  double log_density;              ///< ln p(z)

  MixturePosterior(const GaussianMixture& prior, const arma::cx_vec& z, double sigma2) {
    const arma::uword n = prior.n_h(), n_components = prior.n_components();
    const arma::cx_mat I(n, n, arma::fill::eye);
    arma::vec shares(n_components);
    arma::cx_mat means(n, n_components);
    std::vector<arma::cx_mat> covariances;
    for (arma::uword k = 0; k < n_components; ++k) {
      const arma::cx_mat& C = prior.covariances[k];
      const arma::cx_mat S = C + sigma2 * I;
      const arma::cx_vec d = z - prior.means.col(k), Sd = arma::solve(S, d);
      shares(k) = std::log(prior.weights(k)) - std::real(arma::cdot(d, Sd)) -
                  std::real(arma::log_det(S)) - static_cast<double>(n) * std::log(arma::datum::pi);
      means.col(k) = prior.means.col(k) + C * Sd;
      covariances.push_back(C - C * arma::solve(S, C));
    }
    const double most = shares.max();
    log_density = most + std::log(arma::accu(arma::exp(shares - most)));
    shares = arma::exp(shares - log_density);
    mean = means * arma::conv_to<arma::cx_vec>::from(shares);
    covariance.zeros(n, n);
    pseudo_covariance.zeros(n, n);
    for (arma::uword k = 0; k < n_components; ++k) {
      const arma::cx_vec d = means.col(k) - mean;
      covariance += shares(k) * (covariances[k] + d * d.t());
      pseudo_covariance += shares(k) * (d * d.st());
    }
  }
};

/// Guidance that tests write: what solvers need besides guide().
class TestGuidance : public Guidance {
 public:
  explicit TestGuidance(std::shared_ptr<const ObservationOperator> A) : A_(std::move(A)) {}
  std::string name() const override { return "test guidance"; }
  arma::uword n_h() const override { return A_->n_h(); }
  const ObservationOperator& A() const override { return *A_; }
  std::optional<std::pair<double, double>> sigma2_range() const override { return {}; }

 protected:
  std::shared_ptr<const ObservationOperator> A_;
};

/// m = D: the prior alone. Remembers the states it was asked about; for one thread.
class NoGuidance final : public TestGuidance {
 public:
  NoGuidance(std::shared_ptr<const ObservationOperator> A, std::shared_ptr<const Denoiser> denoiser)
      : TestGuidance(std::move(A)), denoiser_(std::move(denoiser)) {}
  void guide(const arma::cx_mat& z, double tau2, const Observation&, Guided& out) const override {
    denoiser_->denoise(z, tau2, out.m);
    out.push.reset();
    out.calls = 1;
    states.push_back(z);
    levels.push_back(tau2);
  }
  mutable std::vector<arma::cx_mat> states;
  mutable std::vector<double> levels;

 private:
  std::shared_ptr<const Denoiser> denoiser_;
};

/// m = E[h | z, y] under a mixture: z and y, both whitened, seen through one dense matrix.
class ExactGuidance final : public TestGuidance {
 public:
  ExactGuidance(std::shared_ptr<const ObservationOperator> A, GaussianMixture prior)
      : TestGuidance(std::move(A)), matrix_(dense(*A_)), prior_(std::move(prior)) {}
  void guide(const arma::cx_mat& z, double tau2, const Observation& observation,
             Guided& out) const override {
    const double tau = std::sqrt(tau2), sigma = std::sqrt(observation.sigma2);
    out.m = at(tau2, observation.sigma2)
                .estimate({arma::join_cols(z / tau, observation.y / sigma), 1.0, 0, {}})
                .h;
    out.push.reset();
    out.calls = 1;
  }

 private:
  const Estimator& at(double tau2, double sigma2) const {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<Estimator>& estimator = estimators_[{tau2, sigma2}];
    if (!estimator) {
      const arma::cx_mat I(n_h(), n_h(), arma::fill::eye);
      estimator = make_gmm(
          make_dense_observation(arma::join_cols(I / std::sqrt(tau2), matrix_ / std::sqrt(sigma2))),
          prior_);
    }
    return *estimator;
  }

  arma::cx_mat matrix_;
  GaussianMixture prior_;
  mutable std::mutex mutex_;
  mutable std::map<std::pair<double, double>, std::unique_ptr<Estimator>> estimators_;
};

/// h given y for the prior CN(0, C): mean = filter y.
struct GaussianPosterior {
  arma::cx_mat filter, covariance;
  GaussianPosterior(const arma::cx_mat& A, const arma::cx_mat& C, double sigma2) {
    const arma::cx_mat S =
        A * C * A.t() + sigma2 * arma::cx_mat(A.n_rows, A.n_rows, arma::fill::eye);
    filter = arma::solve(S, arma::cx_mat(A * C)).t();
    covariance = C - filter * A * C;
  }
  /// What reverse-mean forwarding from z = 0 at level tau2 gives, on any grid:
  /// mean - P (P + tau2 I)^-1 mean.
  arma::cx_mat mean_forward(const arma::cx_mat& y, double tau2) const {
    const arma::cx_mat mean = filter * y;
    return tau2 *
           arma::solve(covariance + tau2 * arma::cx_mat(mean.n_rows, mean.n_rows, arma::fill::eye),
                       mean);
  }
};

}  // namespace chest
