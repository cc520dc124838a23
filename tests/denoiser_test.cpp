#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>

#include <chest/error.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/prior/compositions.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/metrics.hpp>
#include <cstdlib>

#include "tests/support/exact_prior.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/structured_mixture.hpp"

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
               squared_norm(w);
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

class StructuredMixtureDenoiser : public testing::TestWithParam<MixtureCovariance> {};

// Rounding: h_k - D of size sqrt(sigma2) is a difference of two numbers near 1.
TEST_P(StructuredMixtureDenoiser, EqualsThatOfTheWholeCovariances) {
  const GaussianMixture prior = far_apart(GetParam());
  const auto fast = make_gaussian_mixture_denoiser(prior),
             slow = make_gaussian_mixture_denoiser(expanded(prior));
  Rng rng = test_rng(8);
  for (const double sigma2 : {30.0, 0.3, 1e-3, 1e-6}) {
    SCOPED_TRACE(sigma2);
    const arma::cx_mat z = draw(prior, 20, rng) + rng.cx_normal(prior.n_h(), 20, sigma2);
    const arma::cx_mat w = rng.cx_normal(prior.n_h(), 20);
    arma::cx_mat D, D_slow;
    DenoiserError error, error_slow;
    fast->denoise_with_error(z, sigma2, D, error);
    slow->denoise_with_error(z, sigma2, D_slow, error_slow);
    EXPECT_LT(max_difference(D, D_slow), 1e-12);
    EXPECT_EQ(max_difference(fast->denoise(z, sigma2), D), 0.0);
    EXPECT_LT(max_difference(error.mse / error_slow.mse, arma::ones(20)), 1e-10);
    const auto at = fast->linearise(z, sigma2), at_slow = slow->linearise(z, sigma2);
    EXPECT_LT(max_difference(at->D(), D_slow), 1e-12);
    arma::cx_mat pulled, pulled_slow;
    at->pull_back(w, pulled);
    at_slow->pull_back(w, pulled_slow);
    EXPECT_LT(max_difference(pulled, pulled_slow), 1e-9);
  }
  const arma::cx_mat z = draw(prior, 20, rng) + rng.cx_normal(prior.n_h(), 20, 0.1);
  arma::cx_mat D, D_slow;
  fast->denoise_blind(z, D);
  slow->denoise_blind(z, D_slow);
  EXPECT_LT(max_difference(D, D_slow), 1e-12);
  EXPECT_EQ(max_difference(fast->denoise(z, 0.0), z), 0.0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, StructuredMixtureDenoiser, testing::ValuesIn(mixture_covariances()),
                         [](const auto& kind) { return to_string(kind.param); });

// One [n_h, n_h] matrix is 16.8 MB here, and whole covariances would be 64 of them.
TEST(StructuredMixtureDenoiserDeathTest, FormsNoMatrixOfTheSizeOfACovariance) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer keeps what is freed";
#endif
  const arma::uword n_rx = 64, n_tx = 16, n_h = n_rx * n_tx, n_components = 64;
  GaussianMixture prior;
  prior.weights.set_size(n_components);
  prior.weights.fill(1.0 / n_components);
  prior.means.zeros(n_h, n_components);
  Rng rng = test_rng(9);
  arma::mat spectra(n_h, n_components);
  spectra.imbue([&] { return rng.uniform() < 0.1 ? 9.0 : 0.1; });
  prior.structure = SpectralCovariances{n_rx, n_tx, 1, spectra, {}};
  const auto peak_bytes = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return 1024.0 * static_cast<double>(usage.ru_maxrss);
  };
  const auto run = [&] {
    malloc_trim(0);
    const double before = peak_bytes();
    const auto denoiser = make_gaussian_mixture_denoiser(prior);
    const arma::cx_mat h = draw(prior, 4, rng), z = h + rng.cx_normal(n_h, 4, 0.1);
    arma::cx_mat D, pulled;
    DenoiserError error;
    denoiser->denoise_with_error(z, 0.1, D, error);
    denoiser->linearise(z, 0.1)->pull_back(z, pulled);
    const bool small =
        peak_bytes() - before < static_cast<double>(n_h * n_h * sizeof(arma::cx_double));
    std::_Exit(small && nmse_db(D, h) < nmse_db(z, h) ? 0 : 1);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(0), "");
}

TEST(GaussianMixtureDenoiser, KeepsColumnsApart) {
  Rng rng = test_rng(10);
  const auto denoiser = make_gaussian_mixture_denoiser(random_mixture(6, 3, rng));
  arma::cx_mat z = rng.cx_normal(6, 3);
  const arma::cx_mat expected = denoiser->denoise(z, 0.2);
  z(2, 1) = arma::datum::nan;
  const arma::cx_mat D = denoiser->denoise(z, 0.2);
  EXPECT_LT(max_difference(D.cols(arma::uvec{0, 2}), expected.cols(arma::uvec{0, 2})), 1e-14);
  EXPECT_TRUE(D.col(1).has_nan());
  EXPECT_EQ(arma::size(denoiser->denoise(arma::cx_mat(6, 0), 0.2)), arma::size(6, 0));
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
  EXPECT_NEAR(0.5 * sigma2 * trace, make_gmm(A, prior)->estimate({z, sigma2}).mse(0), 1e-7);
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
    ColumnNoise noise(scene.observation, i);
    probes.col(i) = probed_error(*denoiser, scene.observation.y, 0.3, 1, noise, D);
  }
  const arma::vec mean = arma::mean(probes, 1);
  const arma::vec error = arma::stddev(probes, 0, 1) / std::sqrt(double(n));
  // Five standard errors of four values (risk 2e-6), and the curvature of D within a step.
  for (arma::uword k = 0; k < 4; ++k) {
    EXPECT_LT(std::abs(mean(k) - exact.mse(k)), 5.0 * error(k) + 1e-3 * exact.mse(k)) << k;
  }
  // The mean of n probes is that of one probe n times, D need not be given.
  ColumnNoise noise(scene.observation);
  EXPECT_EQ(probed_error(*denoiser, scene.observation.y, 0.3, 3, noise).n_elem, 4u);
  EXPECT_THROW(probed_error(*denoiser, scene.observation.y, 0.3, 0, noise), Error);
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

/// dD/dz and dD/dconj(z) at one z by central differences: step^2 and rounding / step, both 1e-10.
std::pair<arma::cx_mat, arma::cx_mat> wirtinger(const Denoiser& denoiser, const arma::cx_vec& z,
                                                double sigma2) {
  const double step = 1e-5;
  const arma::uword n = z.n_elem;
  arma::cx_mat J(n, n), K(n, n);
  for (arma::uword i = 0; i < n; ++i) {
    const auto slope = [&](arma::cx_double direction) {
      arma::cx_vec up = z, down = z;
      up(i) += step * direction;
      down(i) -= step * direction;
      return arma::cx_vec((denoiser.denoise(up, sigma2) - denoiser.denoise(down, sigma2)) /
                          (2.0 * step));
    };
    const arma::cx_double i_unit(0.0, 1.0);
    const arma::cx_vec x = slope(1.0), y = slope(i_unit);
    J.col(i) = 0.5 * (x - i_unit * y);
    K.col(i) = 0.5 * (x + i_unit * y);
  }
  return {J, K};
}

// Second-order Tweedie: Cov[h | z] = sigma2 dD/dz, pseudo-covariance sigma2 dD/dconj(z).
TEST(GaussianMixtureDenoiser, DerivativeIsTheCovarianceGivenZ) {
  Rng rng = test_rng(4);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const double sigma2 = 0.3;
  const auto denoiser = make_gaussian_mixture_denoiser(prior);
  for (int i = 0; i < 5; ++i) {
    const arma::cx_vec z = draw(prior, 1, rng).col(0) + rng.cx_normal(6, 1, sigma2).col(0);
    const auto [J, K] = wirtinger(*denoiser, z, sigma2);
    const MixturePosterior posterior(prior, z, sigma2);
    EXPECT_LT(max_difference(denoiser->denoise(z, sigma2), arma::cx_mat(posterior.mean)), 1e-12);
    EXPECT_LT(max_difference(sigma2 * J, posterior.covariance), 1e-9);
    EXPECT_LT(max_difference(sigma2 * K, posterior.pseudo_covariance), 1e-9);
    EXPECT_GT(arma::norm(posterior.pseudo_covariance, "fro"), 1e-3);
  }
}

TEST(Denoiser, PullBackIsTheTransposedDerivative) {
  Rng rng = test_rng(5);
  const std::shared_ptr<const Denoiser> gaussian =
                                            make_gaussian_denoiser(random_covariance(5, rng)),
                                        mixture = make_gaussian_mixture_denoiser(
                                            random_mixture(6, 3, rng)),
                                        product = make_product_denoiser({gaussian, mixture}),
                                        slices = make_slice_denoiser(mixture, 3);
  for (const auto& denoiser : {gaussian, mixture, product, slices}) {
    SCOPED_TRACE(denoiser->name());
    ASSERT_TRUE(denoiser->differentiable());
    const double sigma2 = 0.4;
    const arma::cx_mat z = rng.cx_normal(denoiser->n_h(), 3, 1.5);
    const arma::cx_mat w = rng.cx_normal(denoiser->n_h(), 3);
    const auto at = denoiser->linearise(z, sigma2);
    EXPECT_LT(max_difference(at->D(), denoiser->denoise(z, sigma2)), 1e-13);
    arma::cx_mat pulled;
    at->pull_back(w, pulled);
    for (arma::uword k = 0; k < z.n_cols; ++k) {
      const auto [J, K] = wirtinger(*denoiser, z.col(k), sigma2);
      EXPECT_LT(max_difference(pulled.col(k), J.t() * w.col(k) + K.st() * arma::conj(w.col(k))),
                1e-9);
    }
  }
}

TEST(Denoiser, ProductsAndSlicesAreTheirParts) {
  Rng rng = test_rng(6);
  const std::shared_ptr<const Denoiser> gaussian =
                                            make_gaussian_denoiser(random_covariance(5, rng)),
                                        mixture = make_gaussian_mixture_denoiser(
                                            random_mixture(6, 3, rng));
  const arma::cx_mat z = rng.cx_normal(11, 3);
  const auto product = make_product_denoiser({gaussian, mixture});
  ASSERT_EQ(product->n_h(), 11u);
  EXPECT_EQ(max_difference(product->denoise(z, 0.2),
                           arma::join_cols(gaussian->denoise(z.head_rows(5), 0.2),
                                           mixture->denoise(z.tail_rows(6), 0.2))),
            0.0);
  const arma::cx_mat x = rng.cx_normal(18, 2);
  const arma::cx_mat D = make_slice_denoiser(mixture, 3)->denoise(x, 0.2);
  for (arma::uword l = 0; l < 3; ++l) {
    EXPECT_LT(
        max_difference(D.rows(6 * l, 6 * l + 5), mixture->denoise(x.rows(6 * l, 6 * l + 5), 0.2)),
        1e-14);
  }
  EXPECT_TRUE(refused([] { make_product_denoiser({}); }, "no parts"));
  EXPECT_TRUE(refused([&] { make_product_denoiser({gaussian, nullptr}); }, "a part is not given"));
  EXPECT_TRUE(refused([] { make_slice_denoiser(nullptr, 2); }, "the denoiser is not given"));
  EXPECT_TRUE(refused([&] { make_slice_denoiser(gaussian, 0); }, "n_slices is 0"));
  EXPECT_TRUE(refused([&] { product->denoise(x, 0.2); }, "z has 18 rows, the prior has 11"));
}

// E[h | z] = sum over levels of p(level | z) E[h | z, level], the levels equally likely.
TEST(GaussianMixtureDenoiser, BlindAveragesOverTheLevels) {
  Rng rng = test_rng(7);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const auto denoiser = make_gaussian_mixture_denoiser(prior);
  ASSERT_TRUE(denoiser->blind());
  const arma::cx_mat h = draw(prior, 4, rng);
  const arma::cx_mat z = h + rng.cx_normal(6, 4) * arma::diagmat(arma::cx_vec{1.0, 0.3, 0.1, 1e-2});
  arma::cx_mat D;
  denoiser->denoise_blind(z, D);
  const arma::vec levels = arma::exp10(arma::linspace(std::log10(4.0), -6.0, 24));
  for (arma::uword k = 0; k < z.n_cols; ++k) {
    arma::vec shares(levels.n_elem);
    arma::cx_mat means(6, levels.n_elem);
    for (arma::uword i = 0; i < levels.n_elem; ++i) {
      const MixturePosterior posterior(prior, z.col(k), levels(i));
      shares(i) = posterior.log_density;
      means.col(i) = posterior.mean;
    }
    shares = arma::exp(shares - shares.max());
    shares /= arma::accu(shares);
    EXPECT_LT(max_difference(D.col(k), means * arma::conv_to<arma::cx_vec>::from(shares)), 1e-9);
  }
}

TEST(Denoiser, SaysWhatItCannotDo) {
  struct Plain final : Denoiser {
    using Denoiser::denoise;
    std::string name() const override { return "plain prior"; }
    arma::uword n_h() const override { return 2; }
    void denoise(const arma::cx_mat& z, double, arma::cx_mat& out) const override { out = z; }
  };
  const Plain plain;
  const arma::cx_mat z(2, 1, arma::fill::ones);
  arma::cx_mat out;
  EXPECT_FALSE(plain.differentiable() || plain.blind() || plain.predicts_error());
  EXPECT_TRUE(refused([&] { plain.linearise(z, 1.0); }, "plain prior has no gradient"));
  EXPECT_TRUE(
      refused([&] { plain.denoise_blind(z, out); }, "plain prior must be told the noise level"));
  Rng rng = test_rng(1);
  EXPECT_TRUE(
      refused([&] { make_gaussian_mixture_denoiser(random_mixture(2, 2, rng))->linearise(z, 0.0); },
              "linearised at sigma2 = 0"));
}

TEST(Denoiser, RefusesWrongSizesAndNegativeNoise) {
  Rng rng = test_rng(1);
  const auto gaussian = make_gaussian_denoiser(random_covariance(6, rng));
  EXPECT_THROW(gaussian->denoise(arma::cx_mat(5, 1, arma::fill::ones), 1.0), Error);
  EXPECT_THROW(gaussian->denoise(arma::cx_mat(6, 1, arma::fill::ones), -1.0), Error);
  EXPECT_THROW(make_gaussian_denoiser(arma::cx_mat(2, 3, arma::fill::ones)), Error);
  EXPECT_THROW(make_gaussian_mixture_denoiser({}), Error);
  GaussianMixture prior = random_mixture(6, 2, rng);
  prior.covariances[1] -= 2.0 * arma::cx_mat(6, 6, arma::fill::eye);
  EXPECT_THROW(make_gaussian_mixture_denoiser(prior), Error);
}

}  // namespace
}  // namespace chest
