#include <chest/estimators/diffusion/walk.hpp>

#include <gtest/gtest.h>

#include <limits>

#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/parallel.hpp>
#include <chest/testing/estimator_contract.hpp>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/exact_prior.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

using OperatorPtr = std::shared_ptr<const ObservationOperator>;
using DenoiserPtr = std::shared_ptr<const Denoiser>;

arma::cx_mat identity(arma::uword n) { return arma::cx_mat(n, n, arma::fill::eye); }

std::shared_ptr<const Guidance> proximal(const OperatorPtr& A, const DenoiserPtr& denoiser,
                                         VarianceKind kind) {
  ProximalOptions options;
  options.variance.kind = kind;
  return make_proximal_guidance(A, denoiser, options);
}

/// Gives the same matrix for every y.
class Constant final : public Estimator {
 public:
  Constant(OperatorPtr A, arma::cx_mat h) : A_(std::move(A)), h_(std::move(h)) {}
  std::string name() const override { return "constant"; }
  const ObservationOperator& A() const override { return *A_; }

 private:
  void do_estimate(const Observation&, Estimate& out) const override {
    out.h = h_;
    out.nfe = 3;
  }

  OperatorPtr A_;
  arma::cx_mat h_;
};

/// y = A h + n for a Gaussian prior, A dense.
struct GaussianScene : Scene {
  arma::cx_mat matrix;
  DenoiserPtr denoiser;
  GaussianScene(arma::uword n_h, arma::uword n_obs, arma::uword n_samples, double sigma2,
                std::uint64_t seed = 1) {
    Rng rng = test_rng(seed);
    C = random_covariance(n_h, rng);
    matrix = rng.cx_normal(n_obs, n_h, 1.0 / static_cast<double>(n_h));
    A = make_dense_observation(matrix);
    h = covariance_factor(C) * rng.cx_normal(n_h, n_samples);
    observe(*this, sigma2, rng);
    denoiser = make_gaussian_denoiser(C);
  }
};

// One step multiplies the error z - E[h | y] by (P + s2) (P + tau2)^-1: the product telescopes, so
// the grid does not matter.
TEST(Walk, ByItsMeanIsLmmseOnAnyGrid) {
  const GaussianScene scene(10, 6, 20, 0.1);
  const GaussianPosterior posterior(scene.matrix, scene.C, 0.1);
  const arma::cx_mat lmmse = posterior.filter * scene.observation.y;
  WalkOptions options;
  options.tau2_first = 4e4;
  const double largest = arma::eig_sym(arma::cx_mat(posterior.covariance)).max();
  for (const VarianceKind kind : {VarianceKind::tweedie, VarianceKind::tweedie_proper}) {
    for (const arma::uword n_levels : {5, 50, 500}) {
      options.n_levels = n_levels;
      const Estimate estimate =
          make_walk(proximal(scene.A, scene.denoiser, kind), options)->estimate(scene.observation);
      EXPECT_LT(max_difference(estimate.h,
                               posterior.mean_forward(scene.observation.y, options.tau2_first)),
                1e-11);
      const double left = arma::norm(estimate.h - lmmse, "fro") / arma::norm(lmmse, "fro");
      EXPECT_LT(left, 1.5 * largest / (largest + options.tau2_first)) << n_levels;
      seen(("left_" + std::to_string(n_levels)).c_str(), left);
      EXPECT_GE(estimate.nfe, n_levels);
    }
  }
}

// The same with the gradient of PiGDM, which is exact for a white prior.
TEST(Walk, WithPigdmIsLmmseForAWhitePrior) {
  GaussianScene scene(8, 5, 10, 0.1);
  scene.denoiser = make_gaussian_denoiser(identity(8));
  WalkOptions options;
  options.tau2_first = 4e4;
  options.n_levels = 5;
  EXPECT_LT(
      max_difference(
          make_walk(make_gradient_guidance(scene.A, scene.denoiser), options)
              ->estimate(scene.observation)
              .h,
          GaussianPosterior(scene.matrix, identity(8), 0.1).mean_forward(scene.observation.y, 4e4)),
      1e-11);
}

// In the eigenvectors of P, with eigenvalue l, the error of z is multiplied by
// (l + s2) / (l + tau2) and gains s2 (1 - s2 / tau2) of noise at each step; the last m is
// l / (l + tau2) of it.
double ancestral_variance(double l, const arma::vec& levels) {
  double variance = 1.0 + levels.front();
  for (arma::uword i = 0; i + 1 < levels.n_elem; ++i) {
    const double factor = (l + levels(i + 1)) / (l + levels(i));
    variance = factor * factor * variance + levels(i + 1) * (1.0 - levels(i + 1) / levels(i));
  }
  const double last = l / (l + levels.back());
  return last * last * variance;
}

TEST(Walk, OfAncestorsHasTheMeanAndCovarianceOfThePosterior) {
  const GaussianScene scene(5, 3, 4000, 0.1);
  const GaussianPosterior posterior(scene.matrix, scene.C, 0.1);
  arma::vec l;
  arma::cx_mat U;
  ASSERT_TRUE(arma::eig_sym(l, U, posterior.covariance));
  WalkOptions options;
  options.update = WalkUpdate::ancestral;
  options.n_levels = 40;
  options.tau2_first = 4e4;
  const arma::cx_mat h =
      make_walk(proximal(scene.A, scene.denoiser, VarianceKind::tweedie), options)
          ->estimate(scene.observation)
          .h;
  const arma::cx_mat e =
      U.t() * (h - posterior.mean_forward(scene.observation.y, options.tau2_first));
  const arma::vec levels = walk_levels(options);
  for (arma::uword i = 0; i < l.n_elem; ++i) {
    const double variance = ancestral_variance(l(i), levels);
    // Risk 1e-6 each, 35 of them.
    const arma::cx_vec row = e.row(i).st();
    EXPECT_TRUE(mean_is(arma::real(row), 0.0, 1e-6));
    EXPECT_TRUE(mean_is(arma::imag(row), 0.0, 1e-6));
    EXPECT_TRUE(mean_is(arma::square(arma::abs(row)), variance, 1e-6));
    for (arma::uword j = 0; j < i; ++j) {
      const arma::cx_vec product = row % arma::conj(e.row(j).st());
      EXPECT_TRUE(mean_is(arma::real(product), 0.0, 1e-6));
      EXPECT_TRUE(mean_is(arma::imag(product), 0.0, 1e-6));
    }
    // Many levels leave 5 % of the covariance, as an ancestral step adds no noise for h itself.
    options.n_levels = 400;
    EXPECT_NEAR(ancestral_variance(l(i), walk_levels(options)) / l(i), 1.0, 0.05);
  }
}

// dz / dtau = (z - D) / tau has the solution z = sqrt((l + tau2) / (l + tau2_0)) z_0 for a prior of
// eigenvalue l. Halving the steps halves Euler's error and quarters Heun's.
TEST(Walk, AlongTheOdeHasTheOrderOfItsRule) {
  Rng rng = test_rng(1);
  const arma::cx_mat C = cluster_covariance(8, 0.3, 0.1) + 1e-3 * identity(8);
  const OperatorPtr A = make_identity_observation(8, 1);
  const DenoiserPtr denoiser = make_gaussian_denoiser(C);
  arma::vec l;
  arma::cx_mat U;
  ASSERT_TRUE(arma::eig_sym(l, U, C));
  const Observation observation{rng.cx_normal(8, 20), 0.1};
  for (const WalkUpdate update : {WalkUpdate::ode, WalkUpdate::heun}) {
    double last = 0.0;
    for (const arma::uword n_levels : {20, 40, 80, 160}) {
      WalkOptions options;
      options.update = update;
      options.grid = WalkGrid::karras;
      options.n_levels = n_levels;
      options.tau2_first = 80.0 * 80.0;
      options.tau2_last = 0.01;
      const auto guidance = std::make_shared<NoGuidance>(A, denoiser);
      make_walk(guidance, options)->estimate(observation);
      const arma::cx_mat first = U.t() * guidance->states.front();
      const arma::cx_mat reached = U.t() * guidance->states.back();
      const arma::vec gains = arma::sqrt((l + options.tau2_last) / (l + options.tau2_first));
      const arma::cx_mat exact = arma::diagmat(arma::conv_to<arma::cx_vec>::from(gains)) * first;
      const double error = arma::norm(reached - exact, "fro") / arma::norm(exact, "fro");
      if (n_levels > 20) {
        const bool euler = update == WalkUpdate::ode;
        EXPECT_NEAR(last / error, euler ? 2.0 : 4.0, euler ? 0.2 : 1.0) << n_levels;
        seen((std::string(euler ? "euler_" : "heun_") + std::to_string(n_levels)).c_str(),
             last / error);
      }
      last = error;
    }
  }
}

// A step of no length leaves DDIM.
TEST(Walk, OfFlowchefWithoutAStepIsDdim) {
  Rng rng = test_rng(2);
  const GaussianMixture prior = cluster_mixture(8, 4, 4, rng);
  const DenoiserPtr denoiser = make_gaussian_mixture_denoiser(prior);
  const OperatorPtr A = make_dense_observation(qpsk_rows(4, 8, rng));
  const Observation observation{rng.cx_normal(4, 5), 0.1};
  WalkOptions options;
  options.update = WalkUpdate::ode;
  options.n_levels = 50;
  const arma::cx_mat ddim =
      make_walk(std::make_shared<NoGuidance>(A, denoiser), options)->estimate(observation).h;
  EXPECT_LT(max_difference(make_walk(make_skip_gradient_guidance(A, denoiser, 1e-300), options)
                               ->estimate(observation)
                               .h,
                           ddim),
            1e-12);
  EXPECT_GT(
      max_difference(
          make_walk(make_skip_gradient_guidance(A, denoiser), options)->estimate(observation).h,
          ddim),
      0.1);
}

// The published recursion runs in w = z / (1 + tau), t = tau / (1 + tau) with the velocity
// v = eps - D: w += c A^H (y - A D), then w += (t' - t) v.
TEST(Walk, OfFlowchefIsItsRecursionInTheCoordinatesOfARectifiedFlow) {
  Rng rng = test_rng(3);
  const arma::cx_mat C = random_covariance(8, rng), matrix = qpsk_rows(4, 8, rng);
  const GaussianMixture mixture = cluster_mixture(8, 4, 4, rng);
  const OperatorPtr A = make_dense_observation(matrix);
  const Observation observation{rng.cx_normal(4, 5), 0.1};
  const double c = 0.2;
  for (const DenoiserPtr& denoiser : {DenoiserPtr(make_gaussian_denoiser(C)),
                                      DenoiserPtr(make_gaussian_mixture_denoiser(mixture))}) {
    SCOPED_TRACE(denoiser->name());
    WalkOptions options;
    options.update = WalkUpdate::ode;
    options.n_levels = 30;
    const auto plain = std::make_shared<NoGuidance>(A, denoiser);
    make_walk(plain, options)->estimate(observation);
    arma::cx_mat z = plain->states.front(), D;
    const arma::vec tau = arma::sqrt(walk_levels(options));
    for (arma::uword i = 0; i < tau.n_elem; ++i) {
      D = denoiser->denoise(z, tau(i) * tau(i));
      if (i + 1 == tau.n_elem) break;
      const double t = tau(i) / (1.0 + tau(i)), next = tau(i + 1) / (1.0 + tau(i + 1));
      const arma::cx_mat v = (z - D) / tau(i) - D;
      arma::cx_mat w = z / (1.0 + tau(i));
      w += c * matrix.t() * (observation.y - matrix * (w - t * v));
      z = (w + (next - t) * v) / (1.0 - next);
    }
    EXPECT_LT(max_difference(make_walk(make_skip_gradient_guidance(A, denoiser, c), options)
                                 ->estimate(observation)
                                 .h,
                             D),
              1e-10);
  }
}

// Started in p_tau, Langevin steps e leave the variance s of an eigenvector of C + tau2 I where it
// is, but for their own length: v <- (1 - e / s)^2 v + 2 e.
TEST(Walk, ByLangevinStaysInTheNoisyPrior) {
  Rng rng = test_rng(4);
  constexpr arma::uword n = 6, n_samples = 4000;
  const double tau2 = 0.5;
  const arma::cx_mat C = random_covariance(n, rng), S = C + tau2 * identity(n);
  const OperatorPtr A = make_identity_observation(n, 1);
  const arma::cx_mat h = covariance_factor(C) * rng.cx_normal(n, n_samples);
  WalkOptions options;
  options.update = WalkUpdate::langevin;
  options.n_levels = 1;
  options.tau2_first = options.tau2_last = tau2;
  options.inner = 60;
  options.start = std::make_shared<Constant>(A, h);
  const auto guidance = std::make_shared<NoGuidance>(A, make_gaussian_denoiser(C));
  make_walk(guidance, options)->estimate({rng.cx_normal(n, n_samples), 0.1});
  const arma::cx_mat first = guidance->states.front(), last = guidance->states.back();
  arma::vec s;
  arma::cx_mat U;
  ASSERT_TRUE(arma::eig_sym(s, U, S));
  const double e = options.langevin_step * tau2;
  const arma::cx_mat before = U.t() * first, after = U.t() * last;
  for (arma::uword i = 0; i < n; ++i) {
    double v = s(i);
    for (arma::uword j = 0; j < options.inner; ++j) v = std::pow(1.0 - e / s(i), 2.0) * v + 2.0 * e;
    EXPECT_TRUE(mean_is(arma::square(arma::abs(before.row(i).st())), s(i), 1e-6));
    EXPECT_TRUE(mean_is(arma::square(arma::abs(after.row(i).st())), v, 1e-6));
  }
  // Twice what as many fresh draws deviate.
  const auto deviation = [&](const arma::cx_mat& z) {
    return arma::norm(z * z.t() / double(n_samples) - S, "fro") / arma::norm(S, "fro");
  };
  const double floor = deviation(covariance_factor(S) * rng.cx_normal(n, n_samples));
  seen("deviation", deviation(last));
  seen("floor", floor);
  EXPECT_LT(deviation(last), 2.0 * floor);
}

// E[h | z, y] of the mixture itself as guidance: from pure noise the first call is E[h | y].
TEST(Walk, WithTheExactConditionalMeanBeginsAtTheAnswer) {
  Rng rng = test_rng(5);
  const GaussianMixture prior = cluster_mixture(16, 16, 16, rng);
  const OperatorPtr A = make_dense_observation(qpsk_rows(8, 16, rng));
  const auto exact = std::make_shared<ExactGuidance>(A, prior);
  for (const double snr_db : {0.0, 20.0}) {
    Scene scene;
    scene.A = A;
    scene.h = draw(prior, 200, rng);
    observe(scene, from_db(-snr_db), rng);
    WalkOptions options;
    options.update = WalkUpdate::ancestral;
    options.n_levels = 1;
    options.tau2_first = options.tau2_last = 4e4;
    const double distance = nmse_db(make_walk(exact, options)->estimate(scene.observation).h,
                                    make_gmm(A, prior)->estimate(scene.observation).h);
    seen(snr_db > 0.0 ? "at_20_db" : "at_0_db", distance);
    EXPECT_LT(distance, -40.0) << snr_db;
  }
}

// Exact samples: one has twice the error of E[h | y], the average of n has 1 + 1 / n of it.
TEST(Walk, AveragesSamples) {
  Rng rng = test_rng(6);
  const GaussianMixture prior = cluster_mixture(8, 8, 0, rng, 0.1);
  Scene scene;
  scene.A = make_dense_observation(qpsk_rows(5, 8, rng));
  scene.h = draw(prior, 100, rng);
  observe(scene, 0.1, rng);
  const auto exact = std::make_shared<ExactGuidance>(scene.A, prior);
  WalkOptions options;
  options.update = WalkUpdate::ancestral;
  options.n_levels = 30;
  const double best = nmse_db(make_gmm(scene.A, prior)->estimate(scene.observation).h, scene.h);
  const double one = nmse_db(make_walk(exact, options)->estimate(scene.observation).h, scene.h);
  options.n_runs = 16;
  const double many = nmse_db(make_walk(exact, options)->estimate(scene.observation).h, scene.h);
  seen("cme", best);
  seen("one", one);
  seen("sixteen", many);
  EXPECT_NEAR(many, best + to_db(1.0 + 1.0 / 16.0), 0.5);
  EXPECT_NEAR(one, best + to_db(2.0), 1.0);

  // The estimate is the mean of the runs' last m, and the calls add up.
  const DenoiserPtr denoiser = make_gaussian_mixture_denoiser(prior);
  const auto plain = std::make_shared<NoGuidance>(scene.A, denoiser);
  options.n_runs = 3;
  options.n_levels = 4;
  const Estimate estimate = make_walk(plain, options)->estimate(scene.observation);
  ASSERT_EQ(plain->states.size(), 12u);
  EXPECT_EQ(estimate.nfe, 12u);
  arma::cx_mat mean(arma::size(scene.h), arma::fill::zeros);
  for (const std::size_t i : {3u, 7u, 11u}) {
    mean += denoiser->denoise(plain->states[i], options.tau2_last) / 3.0;
  }
  EXPECT_LT(max_difference(estimate.h, mean), 1e-12);
  EXPECT_GT(max_difference(plain->states[0], plain->states[4]), 1.0);
}

TEST(Walk, StartsWhereItIsTold) {
  Rng rng = test_rng(7);
  const OperatorPtr A = make_identity_observation(50, 1);
  const Observation observation{rng.cx_normal(50, 40), 0.1};
  const arma::cx_mat h = rng.cx_normal(50, 40);
  WalkOptions options;
  options.n_levels = 3;
  options.tau2_first = 0.3;
  options.start = std::make_shared<Constant>(A, h);
  for (const WalkUpdate update :
       {WalkUpdate::ancestral, WalkUpdate::ode, WalkUpdate::heun, WalkUpdate::mean,
        WalkUpdate::fresh, WalkUpdate::none, WalkUpdate::langevin}) {
    SCOPED_TRACE(to_string(update));
    const auto plain = std::make_shared<NoGuidance>(A, make_gaussian_denoiser(identity(50)));
    options.update = update;
    const Estimate estimate = make_walk(plain, options)->estimate(observation);
    EXPECT_EQ(plain->levels.front(), 0.3);
    const arma::vec noise = arma::square(arma::abs(arma::vectorise(plain->states.front() - h)));
    if (update == WalkUpdate::mean || update == WalkUpdate::none) {
      EXPECT_EQ(noise.max(), 0.0);
    } else {
      EXPECT_TRUE(mean_is(noise, 0.3, 1e-6));
    }
    // Calls of the start count.
    EXPECT_EQ(estimate.nfe, plain->states.size() + 3);
  }
  // Without a start h counts as noise of variance 1.
  options.start = nullptr;
  options.update = WalkUpdate::ode;
  const auto plain = std::make_shared<NoGuidance>(A, make_gaussian_denoiser(identity(50)));
  make_walk(plain, options)->estimate(observation);
  EXPECT_TRUE(mean_is(arma::square(arma::abs(arma::vectorise(plain->states.front()))), 1.3, 1e-6));
}

TEST(Walk, TakesTheStepsOfItsRule) {
  Rng rng = test_rng(8);
  const OperatorPtr A = make_identity_observation(60, 1);
  const DenoiserPtr denoiser = make_gaussian_denoiser(identity(60));
  const Observation observation{rng.cx_normal(60, 50), 0.1};
  WalkOptions options;
  options.n_levels = 2;
  options.tau2_first = 1.0;
  options.tau2_last = 0.2;
  options.start = std::make_shared<Constant>(A, rng.cx_normal(60, 50));
  const auto states = [&](WalkUpdate update) {
    const auto plain = std::make_shared<NoGuidance>(A, denoiser);
    options.update = update;
    make_walk(plain, options)->estimate(observation);
    return plain->states;
  };
  const auto power = [](const arma::cx_mat& x) {
    return arma::vec(arma::square(arma::abs(arma::vectorise(x))));
  };
  const double root = std::sqrt(0.2);
  std::vector<arma::cx_mat> z = states(WalkUpdate::mean);
  EXPECT_LT(max_difference(z[1], 0.2 * z[0] + 0.8 * 0.5 * z[0]), 1e-14);
  z = states(WalkUpdate::none);
  EXPECT_LT(max_difference(z[1], 0.5 * z[0]), 1e-14);
  z = states(WalkUpdate::ode);
  EXPECT_LT(max_difference(z[1], 0.5 * (1.0 + root) * z[0]), 1e-14);
  z = states(WalkUpdate::ancestral);
  EXPECT_TRUE(mean_is(power(z[1] - (0.2 + 0.8 * 0.5) * z[0]), 0.2 * 0.8, 1e-6));
  z = states(WalkUpdate::fresh);
  EXPECT_TRUE(mean_is(power(z[1] - 0.5 * z[0]), 0.2, 1e-6));
  options.zeta = 0.36;
  z = states(WalkUpdate::fresh);
  EXPECT_TRUE(mean_is(power(z[1] - (0.5 + 0.8 * root * 0.5) * z[0]), 0.2 * 0.36, 1e-6));
  options.inner = 2;
  z = states(WalkUpdate::none);
  ASSERT_EQ(z.size(), 4u);
  EXPECT_LT(max_difference(z[1], 0.5 * z[0]), 1e-14);
  options.inner = 1;
  options.n_corrector = 2;
  options.corrector_step = 0.15;
  z = states(WalkUpdate::mean);
  ASSERT_EQ(z.size(), 4u);
  // e = 0.15 * 0.2, m = z / 1.2.
  EXPECT_TRUE(mean_is(power(z[2] - (1.0 + 0.15 * (1.0 / 1.2 - 1.0)) * z[1]), 0.06, 1e-6));
  options.n_corrector = 0;
  options.langevin_noise = 0.0;
  z = states(WalkUpdate::langevin);
  ASSERT_EQ(z.size(), 3u);
  EXPECT_LT(max_difference(z[1], (1.0 - 0.15 * 0.5) * z[0]), 1e-14);
}

TEST(Walk, LevelsFallAlongTheirGrid) {
  WalkOptions options;
  options.n_levels = 7;
  options.tau2_first = 100.0;
  options.tau2_last = 1e-4;
  const arma::vec log = walk_levels(options);
  EXPECT_LT(arma::abs(arma::log10(log) - arma::linspace(2.0, -4.0, 7)).max(), 1e-12);
  options.grid = WalkGrid::karras;
  const arma::vec karras = walk_levels(options);
  for (arma::uword i = 0; i < 7; ++i) {
    const double a = std::pow(10.0, 1.0 / 7.0), b = std::pow(0.01, 1.0 / 7.0);
    EXPECT_NEAR(std::sqrt(karras(i)), std::pow(a + double(i) / 6.0 * (b - a), 7.0), 1e-12);
  }
  options.n_levels = 1;
  EXPECT_NEAR(walk_levels(options)(0), 100.0, 1e-11);
}

/// A guidance that loses its way.
class LostGuidance final : public TestGuidance {
 public:
  using TestGuidance::TestGuidance;
  void guide(const arma::cx_mat& z, double, const Observation&, Guided& out) const override {
    out.m = 0.1 * z;
    out.push = z;
    out.push.col(0).fill(arma::datum::nan);
    out.calls = 1;
  }
  double push_gain(double) const override { return 1.0; }
};

TEST(Walk, StartsLostColumnsAnew) {
  Rng rng = test_rng(9);
  WalkOptions options;
  options.update = WalkUpdate::ode;
  EXPECT_TRUE(make_walk(std::make_shared<LostGuidance>(make_identity_observation(4, 1)), options)
                  ->estimate({rng.cx_normal(4, 3), 0.1})
                  .h.is_finite());
}

TEST(Walk, KeepsTheContractOfEstimators) {
  const OneBlasThread one_blas_thread;
  Rng rng = test_rng(10);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const DenoiserPtr denoiser = make_gaussian_mixture_denoiser(prior);
  const OperatorPtr A = make_dense_observation(rng.cx_normal(4, 6));
  Scene scene;
  scene.A = A;
  scene.h = draw(prior, 4, rng);
  observe(scene, 0.2, rng);
  WalkOptions options;
  options.n_levels = 6;
  options.n_runs = 2;
  options.n_corrector = 1;
  const auto scaled = proximal(A, denoiser, VarianceKind::scaled);
  for (const WalkUpdate update :
       {WalkUpdate::ancestral, WalkUpdate::ode, WalkUpdate::heun, WalkUpdate::mean,
        WalkUpdate::fresh, WalkUpdate::none, WalkUpdate::langevin}) {
    SCOPED_TRACE(to_string(update));
    options.update = update;
    options.inner = update == WalkUpdate::langevin ? 3 : 2;
    options.churn = update == WalkUpdate::heun ? 2.0 : 0.0;
    expect_estimator_contract(*make_walk(scaled, options), *A, scene.observation, 1e-9);
  }
  // And every guidance; conjugate gradients end at a residual of 1e-12.
  options = {};
  options.n_levels = 6;
  ProximalOptions noise_free, dds;
  noise_free.noise_free = true;
  dds.dds_steps = 2;
  const std::vector<std::shared_ptr<const Guidance>> guidances{
      make_proximal_guidance(A, denoiser, noise_free),
      make_proximal_guidance(A, denoiser, dds),
      make_gradient_guidance(A, denoiser),
      make_dps_guidance(A, denoiser, 0.4),
      make_flat_guidance(A, denoiser),
      make_flat_guidance(A, denoiser, true),
      make_skip_gradient_guidance(A, denoiser)};
  for (const auto& guidance : guidances) {
    expect_estimator_contract(*make_walk(guidance, options), *A, scene.observation, 1e-9);
  }
}

TEST(Walk, RefusesOptionsThatHaveNoMeaning) {
  const OperatorPtr A = make_identity_observation(2, 1);
  const auto guidance = std::make_shared<LostGuidance>(A);
  const auto with = [&](auto&& change) {
    WalkOptions options;
    change(options);
    make_walk(guidance, options);
  };
  const double nan = arma::datum::nan;
  EXPECT_TRUE(refused([&] { make_walk(nullptr); }, "the guidance is not given"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.n_levels = 0; }); }, "levels is 0"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.tau2_last = 0.0; }); }, "to is 0"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.tau2_first = 1e-5; }); }, "first level"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.zeta = 1.1; }); }, "zeta is 1.1"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.inner = 0; }); }, "inner is 0"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.n_runs = 0; }); }, "runs is 0"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.langevin_step = 0.0; }); }, "langevin_step is 0"));
  EXPECT_TRUE(
      refused([&] { with([&](auto& o) { o.langevin_noise = nan; }); }, "langevin_noise is"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.churn = -1.0; }); }, "churn is -1"));
}

}  // namespace
}  // namespace chest
