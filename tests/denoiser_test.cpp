#include <gtest/gtest.h>

#include <chest/error.hpp>
#include <chest/estimators/denoiser.hpp>
#include <chest/estimators/gmm.hpp>
#include <chest/estimators/lmmse.hpp>

#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

// ln of the density of h + sigma eps, by one Cholesky factor per component: another path than the
// denoiser's own.
double log_density(const GaussianMixture& prior, const arma::cx_vec& z, double sigma2) {
  arma::vec terms(prior.n_components());
  for (arma::uword k = 0; k < prior.n_components(); ++k) {
    arma::cx_mat S = prior.covariances[k];
    S.diag() += sigma2;
    const arma::cx_mat L = arma::chol(S, "lower");
    const arma::cx_vec w = arma::solve(arma::trimatl(L), z - prior.means.col(k));
    terms(k) = std::log(prior.weights(k)) - 2.0 * arma::accu(arma::log(arma::real(L.diag()))) -
               arma::accu(arma::square(arma::abs(w)));
  }
  return terms.max() + std::log(arma::accu(arma::exp(terms - terms.max())));
}

TEST(GaussianDenoiser, IsTheLmmseFilter) {
  const Scene scene = correlated_scene({});
  const auto denoiser = make_gaussian_denoiser(scene.C);
  const auto lmmse = make_lmmse(scene.A, scene.C);
  Observation observation = scene.observation;
  for (const double sigma2 : {100.0, 1.0, 1e-2, 1e-4}) {
    observation.sigma2 = sigma2;
    EXPECT_LT(
        max_difference(denoiser->denoise(observation.y, sigma2), lmmse->estimate(observation).h),
        1e-10)
        << sigma2;
  }
}

TEST(GaussianMixtureDenoiser, IsTheConditionalMeanOfTheMixtureEstimator) {
  Rng rng = test_rng(1);
  const GaussianMixture prior = random_mixture(12, 4, rng);
  const auto denoiser = make_gaussian_mixture_denoiser(prior);
  for (const double sigma2 : {100.0, 1.0, 1e-2, 1e-4}) {
    const Scene scene = mixture_scene(prior, {.n_samples = 50, .sigma2 = sigma2});
    EXPECT_LT(max_difference(denoiser->denoise(scene.observation.y, sigma2),
                             make_gmm(scene.A, prior)->estimate(scene.observation).h),
              1e-10)
        << sigma2;
  }
}

TEST(GaussianMixtureDenoiser, OfOneComponentIsTheGaussianDenoiser) {
  const Scene scene = correlated_scene({});
  const auto mixture =
      make_gaussian_mixture_denoiser({{1.0}, arma::cx_mat(12, 1, arma::fill::zeros), {scene.C}});
  EXPECT_LT(max_difference(mixture->denoise(scene.observation.y, 0.1),
                           make_gaussian_denoiser(scene.C)->denoise(scene.observation.y, 0.1)),
            1e-12);
}

// Tweedie's formula D = z + sigma2 dln p / dz^*, the derivative by central differences.
TEST(GaussianMixtureDenoiser, FollowsTheScoreOfTheNoisyDensity) {
  Rng rng = test_rng(1);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const double sigma2 = 0.7, step = 1e-5;
  const arma::cx_vec z = draw(prior, 1, rng).col(0) + rng.cx_normal(6, 1, sigma2).col(0);
  arma::cx_vec tweedie = z;
  for (arma::uword i = 0; i < 6; ++i) {
    const auto slope = [&](arma::cx_double direction) {
      arma::cx_vec up = z, down = z;
      up(i) += step * direction;
      down(i) -= step * direction;
      return (log_density(prior, up, sigma2) - log_density(prior, down, sigma2)) / (2.0 * step);
    };
    tweedie(i) += sigma2 * 0.5 * arma::cx_double(slope({1.0, 0.0}), slope({0.0, 1.0}));
  }
  // Central differences: step^2 and rounding / step, both about 1e-10.
  EXPECT_LT(max_difference(make_gaussian_mixture_denoiser(prior)->denoise(z, sigma2), tweedie),
            1e-8);
}

// E||h - D||^2 given z = (sigma2 / 2) tr J over the 2 n_h real coordinates.
TEST(GaussianMixtureDenoiser, JacobianTraceIsThePredictedErrorOfTheMixtureEstimator) {
  Rng rng = test_rng(1);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const double sigma2 = 0.7, step = 1e-5;
  const auto denoiser = make_gaussian_mixture_denoiser(prior);
  const arma::cx_mat z = draw(prior, 1, rng) + rng.cx_normal(6, 1, sigma2);
  double trace = 0.0;
  for (arma::uword i = 0; i < 6; ++i) {
    for (const arma::cx_double direction : {arma::cx_double(1, 0), arma::cx_double(0, 1)}) {
      arma::cx_mat moved = arma::join_rows(z, z);
      moved(i, 0) += step * direction;
      moved(i, 1) -= step * direction;
      const arma::cx_mat D = denoiser->denoise(moved, sigma2);
      trace += std::real(std::conj(direction) * (D(i, 0) - D(i, 1))) / (2.0 * step);
    }
  }
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(6, 1);
  EXPECT_NEAR(0.5 * sigma2 * trace, make_gmm(A, prior)->estimate({z, sigma2, 0, {}}).mse(0), 1e-7);
}

TEST(Denoiser, PredictsTheErrorOfTheConditionalMean) {
  Rng rng = test_rng(2);
  const GaussianMixture prior = random_mixture(12, 4, rng);
  const Scene gaussian = correlated_scene({}), mixture = mixture_scene(prior, {});
  const auto check = [](const Denoiser& denoiser, const Scene& scene, const Estimator& estimator) {
    EXPECT_TRUE(denoiser.predicts_error());
    arma::cx_mat D;
    DenoiserError error;
    denoiser.denoise_with_error(scene.observation.y, scene.observation.sigma2, D, error);
    const Estimate expected = estimator.estimate(scene.observation);
    EXPECT_LT(max_difference(D, expected.h), 1e-10);
    EXPECT_LT(arma::abs(error.mse - expected.mse).max(), 1e-10);
    EXPECT_TRUE(error.angular.is_empty());
  };
  check(*make_gaussian_denoiser(gaussian.C), gaussian, *make_lmmse(gaussian.A, gaussian.C));
  check(*make_gaussian_mixture_denoiser(prior), mixture, *make_gmm(mixture.A, prior));
}

TEST(Denoiser, ProbesTellThePredictedErrorInTheMean) {
  Rng rng = test_rng(3);
  const GaussianMixture prior = random_mixture(12, 4, rng);
  const Scene scene = mixture_scene(prior, {.n_samples = 4, .sigma2 = 0.3});
  const auto denoiser = make_gaussian_mixture_denoiser(prior);
  arma::cx_mat D;
  DenoiserError exact;
  denoiser->denoise_with_error(scene.observation.y, 0.3, D, exact);
  constexpr arma::uword n = 400;
  arma::mat probes(4, n);
  for (arma::uword i = 0; i < n; ++i) {
    probes.col(i) = probed_error(*denoiser, scene.observation.y, 0.3, 1, i, D);
  }
  const arma::vec mean = arma::mean(probes, 1);
  const arma::vec error = arma::stddev(probes, 0, 1) / std::sqrt(double(n));
  // Five standard errors of four values (risk 2e-6), and the curvature of D within a step.
  for (arma::uword k = 0; k < 4; ++k) {
    EXPECT_LT(std::abs(mean(k) - exact.mse(k)), 5.0 * error(k) + 1e-3 * exact.mse(k)) << k;
  }
  // The mean of n probes is that of one probe n times, D need not be given.
  EXPECT_EQ(probed_error(*denoiser, scene.observation.y, 0.3, 3, 9).n_elem, 4u);
  EXPECT_THROW(probed_error(*denoiser, scene.observation.y, 0.3, 0, 0), Error);
}

TEST(Denoiser, WithoutNoiseReturnsItsInput) {
  Rng rng = test_rng(1);
  const arma::cx_mat z = rng.cx_normal(6, 2);
  EXPECT_EQ(max_difference(make_gaussian_denoiser(random_covariance(6, rng))->denoise(z, 0.0), z),
            0.0);
  EXPECT_EQ(
      max_difference(make_gaussian_mixture_denoiser(random_mixture(6, 2, rng))->denoise(z, 0.0), z),
      0.0);
}

TEST(Denoiser, RunIsTheStepFormulaOneByOne) {
  Rng rng = test_rng(1);
  const auto denoiser = make_gaussian_mixture_denoiser(random_mixture(6, 3, rng));
  const arma::cx_mat start = rng.cx_normal(6, 4);
  arma::cx_mat z = start;
  denoiser->run({{0.9, 0.4}, {0.2, 0.0}}, z);
  const arma::cx_mat D = denoiser->denoise(start, 0.9);
  const arma::cx_mat expected = denoiser->denoise(arma::cx_mat(D + 0.4 * (start - D)), 0.2);
  EXPECT_LT(max_difference(z, expected), 1e-14);
  z = start;
  denoiser->run({}, z);
  EXPECT_EQ(max_difference(z, start), 0.0);
}

TEST(Denoiser, RefusesWrongSizesAndNegativeNoise) {
  Rng rng = test_rng(1);
  const auto gaussian = make_gaussian_denoiser(random_covariance(6, rng));
  EXPECT_THROW(gaussian->denoise(arma::cx_mat(5, 1, arma::fill::ones), 1.0), Error);
  EXPECT_THROW(gaussian->denoise(arma::cx_mat(6, 1, arma::fill::ones), -1.0), Error);
  EXPECT_THROW(make_gaussian_denoiser(arma::cx_mat(2, 3, arma::fill::ones)), Error);
  EXPECT_THROW(make_gaussian_mixture_denoiser({}), Error);
}

}  // namespace
}  // namespace chest
