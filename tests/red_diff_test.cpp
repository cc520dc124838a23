#include <chest/estimators/diffusion/red_diff.hpp>

#include <gtest/gtest.h>

#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/parallel.hpp>
#include <chest/testing/estimator_contract.hpp>

#include "tests/support/exact_prior.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

/// The filter of a Gaussian prior for one level, whatever level it is told.
class FixedLevel final : public Denoiser {
 public:
  FixedLevel(const arma::cx_mat& C, double tau2) : of_(make_gaussian_denoiser(C)), tau2_(tau2) {}
  using Denoiser::denoise;
  std::string name() const override { return "fixed level"; }
  arma::uword n_h() const override { return of_->n_h(); }
  void denoise(const arma::cx_mat& z, double, arma::cx_mat& out) const override {
    of_->denoise(z, tau2_, out);
  }

 private:
  std::unique_ptr<Denoiser> of_;
  double tau2_;
};

// A^H (A mu - y) + lambda (mu - D(mu)) = 0 with lambda = sigma2 / tau2 and the filter of level
// tau2: the estimate for the prior C + tau2 I.
TEST(RedDiff, EndsAtLmmse) {
  Rng rng = test_rng(1);
  const arma::cx_mat C = random_covariance(6, rng), matrix = rng.cx_normal(4, 6, 1.0 / 6.0);
  const double sigma2 = 0.1, tau2 = 0.05;
  RedDiffOptions options;
  options.lambda = sigma2 / tau2;
  options.tau2_first = options.tau2_last = 1e-24;  // the noise of the iteration is nothing
  options.n_iterations = 4000;
  const Observation observation{rng.cx_normal(4, 5), sigma2};
  const Estimate estimate =
      make_red_diff(make_dense_observation(matrix), std::make_shared<FixedLevel>(C, tau2), options)
          ->estimate(observation);
  const arma::cx_mat noisy = C + tau2 * arma::cx_mat(6, 6, arma::fill::eye);
  const double off =
      max_difference(estimate.h, GaussianPosterior(matrix, noisy, sigma2).filter * observation.y);
  seen("off", off);
  EXPECT_LT(off, 1e-8);
  EXPECT_EQ(estimate.nfe, 4000u);
}

TEST(RedDiff, WeighsThePriorByTheNoiseUnlessTold) {
  const Scene scene = correlated_scene({.n_pilots = 2, .sigma2 = 0.04});
  const std::shared_ptr<const Denoiser> denoiser = make_gaussian_denoiser(scene.C);
  RedDiffOptions options;
  const arma::cx_mat h = make_red_diff(scene.A, denoiser, options)->estimate(scene.observation).h;
  options.lambda = 0.2;
  EXPECT_LT(
      max_difference(make_red_diff(scene.A, denoiser, options)->estimate(scene.observation).h, h),
      1e-12);
  options.lambda = 0.3;
  EXPECT_GT(
      max_difference(make_red_diff(scene.A, denoiser, options)->estimate(scene.observation).h, h),
      1e-3);
}

TEST(RedDiff, KeepsTheContractOfEstimators) {
  const OneBlasThread one_blas_thread;
  Rng rng = test_rng(2);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const std::shared_ptr<const Denoiser> denoiser = make_gaussian_mixture_denoiser(prior);
  Scene scene;
  scene.A = make_dense_observation(rng.cx_normal(4, 6));
  scene.h = draw(prior, 4, rng);
  observe(scene, 0.2, rng);
  RedDiffOptions options;
  options.n_iterations = 20;
  expect_estimator_contract(*make_red_diff(scene.A, denoiser, options), *scene.A, scene.observation,
                            1e-9);
  options.n_iterations = 0;
  EXPECT_TRUE(refused([&] { make_red_diff(scene.A, denoiser, options); }, "iterations is 0"));
  options = {};
  options.lambda = -1.0;
  EXPECT_TRUE(refused([&] { make_red_diff(scene.A, denoiser, options); }, "lambda is -1"));
  options = {};
  options.learning_rate = 0.0;
  EXPECT_TRUE(refused([&] { make_red_diff(scene.A, denoiser, options); }, "rate is 0"));
  options = {};
  options.tau2_last = 20.0;
  EXPECT_TRUE(refused([&] { make_red_diff(scene.A, denoiser, options); }, "first level"));
}

}  // namespace
}  // namespace chest
