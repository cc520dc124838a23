#include <chest/angular.hpp>
#include <chest/estimators/diffusion/ep.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/parallel.hpp>
#include <chest/testing/estimator_contract.hpp>

#include <gtest/gtest.h>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/exact_prior.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

using OperatorPtr = std::shared_ptr<const ObservationOperator>;
using DenoiserPtr = std::shared_ptr<const Denoiser>;

/// Errors of the denoiser of a Gaussian prior with eigenvalues l.
DenoiserErrors gaussian_errors(const arma::vec& l, const arma::vec& levels) {
  DenoiserErrors errors;
  errors.sigma2 = levels;
  errors.mse.set_size(levels.n_elem);
  for (arma::uword i = 0; i < levels.n_elem; ++i) {
    errors.mse(i) = arma::mean(l * levels(i) / (l + levels(i)));
  }
  return errors;
}

Scene gaussian_scene(const arma::cx_mat& C, arma::uword n_obs, arma::uword n_samples, double sigma2,
                     Rng& rng) {
  Scene scene;
  scene.C = C;
  scene.A = make_dense_observation(qpsk_rows(n_obs, C.n_rows, rng));
  scene.h = covariance_factor(C) * rng.cx_normal(C.n_rows, n_samples);
  observe(scene, sigma2, rng);
  return scene;
}

// The denoiser's message about a white prior is the prior again: nothing to iterate.
TEST(Ep, IsLmmseAtOnceForAWhitePrior) {
  Rng rng = test_rng(1);
  const arma::cx_mat I(16, 16, arma::fill::eye);
  const Scene scene = gaussian_scene(I, 8, 20, 0.1, rng);
  const GaussianPosterior posterior(dense(*scene.A), I, 0.1);
  // The level of the message from the data, at which the table must be exact.
  const double v2 = arma::trace(posterior.covariance).real() / 16.0;
  EpOptions options;
  options.errors =
      gaussian_errors(arma::vec(16, arma::fill::ones), {1e-3, 1.0 / (1.0 / v2 - 1.0), 9.0});
  for (const arma::uword n_iterations : {1, 2, 20}) {
    options.n_iterations = n_iterations;
    options.damping = 1.0;
    const Estimate estimate =
        make_ep(scene.A, make_gaussian_denoiser(I), options)->estimate(scene.observation);
    EXPECT_LT(max_difference(estimate.h, posterior.filter * scene.observation.y), 1e-12);
    EXPECT_LT(arma::abs(estimate.mse - 16.0 * v2).max(), 1e-12);
    EXPECT_EQ(estimate.nfe, n_iterations);
  }
}

TEST(Ep, IsNearlyLmmseForAColouredGaussianPrior) {
  Rng rng = test_rng(2);
  arma::vec l = arma::exp(-arma::regspace(0.0, 15.0) / 3.0);
  l *= 16.0 / arma::accu(l);
  const arma::cx_mat F = arma::fft(arma::cx_mat(16, 16, arma::fill::eye)) / 4.0;
  const arma::cx_mat C = F.t() * arma::diagmat(arma::conv_to<arma::cx_vec>::from(l)) * F;
  const Scene scene = gaussian_scene(C, 8, 300, 0.1, rng);
  const GaussianPosterior posterior(dense(*scene.A), C, 0.1);
  EpOptions options;
  options.errors = gaussian_errors(l, arma::logspace(-5.0, 2.0, 200));
  const Estimate estimate =
      make_ep(scene.A, make_gaussian_denoiser(C), options)->estimate(scene.observation);
  const double distance = nmse_db(estimate.h, posterior.filter * scene.observation.y);
  seen("distance_db", distance);
  EXPECT_LT(distance, -50.0);
  // One variance stands for all entries in its messages: the error is predicted less well.
  const double mse = arma::trace(posterior.covariance).real();
  seen("predicted_over_exact", estimate.mse(0) / mse);
  EXPECT_NEAR(to_db(estimate.mse(0) / mse), 0.0, 0.5);
}

TEST(Ep, PredictsItsErrorOnAMixture) {
  Rng rng = test_rng(3);
  const GaussianMixture prior = cluster_mixture(16, 8, 4, rng, 0.08);
  const DenoiserPtr denoiser = make_gaussian_mixture_denoiser(prior);
  EpOptions options;
  options.errors = measure_errors(*denoiser, samples_in_memory(draw(prior, 500, rng), 16, 1),
                                  arma::logspace(-5.0, 2.0, 20), 1, ErrorDetail::mse);
  Scene scene;
  scene.A = make_dense_observation(qpsk_rows(12, 16, rng));
  scene.h = draw(prior, 300, rng);
  observe(scene, 0.1, rng);
  const Estimate estimate = make_ep(scene.A, denoiser, options)->estimate(scene.observation);
  const double mse = arma::accu(arma::square(arma::abs(estimate.h - scene.h))) / 300.0;
  seen("predicted_over_measured", estimate.mse(0) / mse);
  EXPECT_NEAR(to_db(estimate.mse(0) / mse), 0.0, 1.5);
  EXPECT_EQ(estimate.mse.min(), estimate.mse.max());
}

/// Pushes away what it is given.
class Repulsive final : public Denoiser {
 public:
  using Denoiser::denoise;
  std::string name() const override { return "repulsive"; }
  arma::uword n_h() const override { return 6; }
  void denoise(const arma::cx_mat& z, double, arma::cx_mat& out) const override { out = -4.0 * z; }
};

// A channel whose messages part is estimated by the fallback, and only that.
TEST(Ep, FallsBackWhereMessagesPart) {
  Rng rng = test_rng(4);
  const OperatorPtr A = make_dense_observation(rng.cx_normal(4, 6));
  const Observation observation{rng.cx_normal(4, 3), 0.1};
  EpOptions options;
  options.errors.sigma2 = {1e-3, 10.0};
  options.errors.mse = {1e-3, 0.5};
  const std::shared_ptr<const Estimator> ls = make_ls(A);
  const auto run = [&](const DenoiserPtr& denoiser, bool falls_back) {
    options.fallback = falls_back ? ls : nullptr;
    return make_ep(A, denoiser, options)->estimate(observation).h;
  };
  const DenoiserPtr repulsive = std::make_shared<Repulsive>();
  EXPECT_GT(arma::norm(run(repulsive, false), "fro"), 1e3);
  EXPECT_EQ(max_difference(run(repulsive, true), ls->estimate(observation).h), 0.0);
  // Messages of a white prior settle.
  const DenoiserPtr white = make_gaussian_denoiser(arma::cx_mat(6, 6, arma::fill::eye));
  options.errors.sigma2 = arma::logspace(-5.0, 2.0, 30);
  options.errors.mse = options.errors.sigma2 / (1.0 + options.errors.sigma2);
  EXPECT_EQ(max_difference(run(white, true), run(white, false)), 0.0);
}

TEST(Ep, KeepsTheContractOfEstimators) {
  const OneBlasThread one_blas_thread;
  Rng rng = test_rng(5);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const DenoiserPtr denoiser = make_gaussian_mixture_denoiser(prior);
  Scene scene;
  scene.A = make_dense_observation(rng.cx_normal(4, 6));
  scene.h = draw(prior, 4, rng);
  observe(scene, 0.2, rng);
  EpOptions options;
  options.errors = measure_errors(*denoiser, samples_in_memory(draw(prior, 200, rng), 6, 1),
                                  arma::logspace(-4.0, 2.0, 10), 1, ErrorDetail::mse);
  expect_estimator_contract(*make_ep(scene.A, denoiser, options), *scene.A, scene.observation,
                            1e-9);
  EpOptions wrong = options;
  EXPECT_TRUE(refused([&] { make_ep(nullptr, denoiser, options); }, "A is not given"));
  EXPECT_TRUE(refused([&] { make_ep(scene.A, nullptr, options); }, "the denoiser is not given"));
  EXPECT_TRUE(refused([&] { make_ep(scene.A, denoiser, {}); }, "errors are not given"));
  wrong.n_iterations = 0;
  EXPECT_TRUE(refused([&] { make_ep(scene.A, denoiser, wrong); }, "iterations is 0"));
  wrong = options;
  wrong.damping = 0.0;
  EXPECT_TRUE(refused([&] { make_ep(scene.A, denoiser, wrong); }, "damping is 0"));
  wrong = options;
  wrong.errors.mse(0) = -1.0;
  EXPECT_TRUE(refused([&] { make_ep(scene.A, denoiser, wrong); }, "not positive and finite"));
}

/// Exact errors of a prior with these powers of angles.
DenoiserErrors angular_errors(const arma::mat& powers) {
  const arma::vec c = arma::vectorise(powers);
  DenoiserErrors errors = gaussian_errors(c, arma::logspace(-6.0, 3.0, 600));
  errors.angular.set_size(c.n_elem, errors.sigma2.n_elem);
  for (arma::uword i = 0; i < errors.sigma2.n_elem; ++i) {
    errors.angular.col(i) = c * errors.sigma2(i) / (c + errors.sigma2(i));
  }
  return errors;
}

/// The Gaussian denoiser of powers of angles, which knows its error per angle.
class AngularDenoiser final : public Denoiser {
 public:
  using Denoiser::denoise;
  explicit AngularDenoiser(arma::mat powers)
      : c_(arma::vectorise(powers)), transform_(powers.n_rows, powers.n_cols) {}
  std::string name() const override { return "angular"; }
  arma::uword n_h() const override { return c_.n_elem; }
  bool predicts_error() const override { return true; }
  bool predicts_angular_error() const override { return true; }
  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    out = transform_.forward(z);
    const arma::vec gains = c_ / (c_ + sigma2);
    out.each_col() %= arma::cx_vec(gains, arma::zeros(gains.n_elem));
    transform_.inverse(out, out);
  }
  void denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                          DenoiserError& error) const override {
    denoise(z, sigma2, out);
    error.angular = arma::repmat(c_ * sigma2 / (c_ + sigma2), 1, z.n_cols);
    error.mse = arma::sum(error.angular, 0).t();
  }

 private:
  arma::vec c_;
  AngularTransform transform_;
};

// The denoiser's message about a prior that is white over angles is the prior again, per angle.
TEST(Ep, WithVariancesPerAngleIsLmmseForAPriorOfAnglesAndAnyPilots) {
  Rng rng = test_rng(6);
  const arma::uword n_rx = 6, n_tx = 4;
  arma::mat powers =
      arma::exp(-arma::regspace(0.0, 5.0) / 1.5) * arma::exp(-arma::regspace(0.0, 3.0) / 2.0).t();
  powers *= double(n_rx * n_tx) / arma::accu(powers);
  // Of a message per row: all transmit angles alike.
  const arma::mat by_row = arma::repmat(arma::mean(powers, 1), 1, n_tx);
  const std::vector<OperatorPtr> observations{
      make_kronecker_observation(rng.cx_normal(n_tx, 2), n_rx),
      make_kronecker_observation(rng.cx_normal(n_tx, 4), n_rx),
      make_dense_observation(rng.cx_normal(9, n_rx * n_tx)), make_identity_observation(n_rx, n_tx)};
  for (const EpVariance variance : {EpVariance::rows, EpVariance::angular, EpVariance::head}) {
    const arma::mat& c = variance == EpVariance::rows ? by_row : powers;
    EpOptions options;
    options.variance = variance;
    options.errors = angular_errors(c);
    options.n_rx = n_rx;
    options.n_tx = n_tx;
    for (const OperatorPtr& A : observations) {
      for (const double sigma2 : {0.01, 1.0}) {
        const Observation observation{rng.cx_normal(A->n_obs(), 5), sigma2};
        const Estimate estimate =
            make_ep(A, std::make_shared<AngularDenoiser>(c), options)->estimate(observation);
        const Estimate expected = make_lmmse(A, ChannelCovariance::dft(c))->estimate(observation);
        const double distance = nmse_db(estimate.h, expected.h);
        seen((A->name() + " distance_db").c_str(), distance);
        // What interpolation between 600 levels and the limit of a message's precision leave.
        EXPECT_LT(distance, -60.0) << A->name() << ", variance " << int(variance);
        EXPECT_NEAR(estimate.mse(0) / expected.mse(0), 1.0, 1e-3) << A->name();
      }
    }
  }
}

// One variance is told the mean of all angles: with few pilots it trusts what it should not.
TEST(Ep, WithVariancesPerAngleIsNearerToLmmseThanWithOne) {
  Rng rng = test_rng(7);
  const arma::uword n_rx = 8, n_tx = 4;
  arma::mat powers = arma::square(arma::square(arma::abs(rng.cx_normal(n_rx, n_tx))));
  powers *= double(n_rx * n_tx) / arma::accu(powers);
  const ChannelCovariance C = ChannelCovariance::dft(powers);
  const OperatorPtr A = make_kronecker_observation(rng.cx_normal(n_tx, 1), n_rx);
  const Observation observation{rng.cx_normal(n_rx, 100), 0.01};
  const arma::cx_mat expected = make_lmmse(A, C)->estimate(observation).h;
  EpOptions options;
  options.errors = angular_errors(powers);
  const DenoiserPtr denoiser = make_gaussian_denoiser(C.dense());
  const double one = nmse_db(make_ep(A, denoiser, options)->estimate(observation).h, expected);
  options.variance = EpVariance::angular;
  const double each = nmse_db(make_ep(A, denoiser, options)->estimate(observation).h, expected);
  seen("one_db", one);
  seen("each_db", each);
  EXPECT_LT(each, one - 20.0);
}

TEST(Ep, WithVariancesKeepsTheContractOfEstimators) {
  const OneBlasThread one_blas_thread;
  Rng rng = test_rng(8);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const DenoiserPtr denoiser = make_gaussian_mixture_denoiser(prior);
  Scene scene;
  scene.A = make_kronecker_observation(rng.cx_normal(2, 1), 3);
  scene.h = draw(prior, 4, rng);
  observe(scene, 0.2, rng);
  EpOptions options;
  options.errors = measure_errors(*denoiser, samples_in_memory(draw(prior, 200, rng), 3, 2),
                                  arma::logspace(-4.0, 2.0, 10), 1, ErrorDetail::angular);
  for (const EpVariance variance : {EpVariance::rows, EpVariance::angular}) {
    options.variance = variance;
    expect_estimator_contract(*make_ep(scene.A, denoiser, options), *scene.A, scene.observation,
                              1e-9);
  }
  options.variance = EpVariance::head;
  EXPECT_TRUE(refused([&] { make_ep(scene.A, denoiser, options); },
                      "does not predict its error per angle, variance=head needs that"));
  options.variance = EpVariance::angular;
  options.errors.angular.reset();
  EXPECT_TRUE(refused([&] { make_ep(scene.A, denoiser, options); },
                      "the denoiser's errors per angle are not given"));
}

}  // namespace
}  // namespace chest
