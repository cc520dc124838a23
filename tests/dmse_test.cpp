#include <gtest/gtest.h>

#include <chest/error.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/metrics.hpp>
#include <cmath>

#include "tests/support/golden.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

DmseOptions fixed_steps(arma::uword n_steps) {
  DmseOptions options;
  options.rule = ReverseRule::fixed_steps;
  options.n_steps = n_steps;
  return options;
}

DmseOptions published(bool full) {
  DmseOptions options;
  options.rule = full ? ReverseRule::published_full : ReverseRule::published;
  return options;
}

// The NumPy script runs the letter's loop in the letter's own variables x, alpha and beta.
TEST(Dmse, IsTheLettersLoopAndTheLogSnrGridOfASecondImplementation) {
  const EstimatorsGolden golden;
  const std::shared_ptr<const ObservationOperator> A = golden.observation("identity");
  const std::shared_ptr<const Denoiser> denoiser =
      make_gaussian_mixture_denoiser(load_gaussian_mixture(golden.archive, "/prior"));
  const arma::vec snr_db = golden.real("/dmse/snr_db"), start = golden.real("/dmse/start");
  const arma::cx_mat y = golden.cx("/dmse/y");
  for (arma::uword i = 0; i < snr_db.n_elem; ++i) {
    const auto expect = [&](const DmseOptions& options, const std::string& name, double nfe) {
      const Estimate estimate =
          make_dmse(A, denoiser, options)->estimate({y, from_db(-snr_db(i))});
      EXPECT_LT(max_difference(estimate.h, golden.cx("/dmse/" + name + "/" + std::to_string(i))),
                1e-9)
          << name << " at " << snr_db(i) << " dB";
      EXPECT_EQ(static_cast<double>(estimate.nfe), nfe) << name << " at " << snr_db(i) << " dB";
    };
    expect(published(false), "published", start(i));
    expect(published(true), "published_full", start(i) + 1);
    expect(fixed_steps(1), "steps1", 1);
    expect(fixed_steps(3), "steps3", snr_db(i) < 40 ? 3 : 1);
  }
}

TEST(Dmse, OneStepWithTheExactMixtureIsTheConditionalMean) {
  Rng rng = test_rng(1);
  const GaussianMixture prior = random_mixture(12, 4, rng);
  const std::shared_ptr<const Denoiser> denoiser = make_gaussian_mixture_denoiser(prior);
  // Orthogonal pilots of 5 slots: A^H A = (5 / 3) I.
  const arma::cx_mat P = dft_pilots(3, 5);
  for (const bool with_pilots : {false, true}) {
    for (const double sigma2 : {10.0, 1.0, 0.1, 1e-3}) {
      Scene scene;
      scene.A = with_pilots ? make_kronecker_observation(P, 4) : make_identity_observation(4, 3);
      scene.h = draw(prior, 40, rng);
      observe(scene, sigma2, rng);
      EXPECT_LT(max_difference(
                    make_dmse(scene.A, denoiser, fixed_steps(1))->estimate(scene.observation).h,
                    make_gmm(scene.A, prior)->estimate(scene.observation).h),
                1e-10)
          << sigma2;
    }
  }
}

TEST(Dmse, EveryStepCountIsLmmseForAGaussianPrior) {
  const Scene scene = correlated_scene({});
  const std::shared_ptr<const Denoiser> denoiser = make_gaussian_denoiser(scene.C);
  Observation observation = scene.observation;
  for (const double sigma2 : {10.0, 1.0, 0.1, 1e-3}) {
    observation.sigma2 = sigma2;
    const arma::cx_mat lmmse = make_lmmse(scene.A, scene.C)->estimate(observation).h;
    for (const arma::uword n_steps : {1, 2, 3, 5, 10, 100}) {
      EXPECT_LT(
          max_difference(
              make_dmse(scene.A, denoiser, fixed_steps(n_steps))->estimate(observation).h, lmmse),
          1e-10)
          << n_steps << " steps at sigma2 = " << sigma2;
    }
  }
}

// Started at a level of the schedule and called there too, the letter's chain is the LMMSE filter.
TEST(Dmse, TheLettersChainIsLmmseForAGaussianPriorWhenItsStartMatches) {
  const Scene scene = correlated_scene({});
  const std::shared_ptr<const Denoiser> denoiser = make_gaussian_denoiser(scene.C);
  const DmseOptions options = published(true);
  Observation observation = scene.observation;
  for (const arma::uword i : {0, 4, 36, 99}) {
    observation.sigma2 = options.schedule.sigma2(i);
    const Estimate estimate = make_dmse(scene.A, denoiser, options)->estimate(observation);
    EXPECT_EQ(estimate.nfe, i + 1);
    EXPECT_LT(max_difference(estimate.h, make_lmmse(scene.A, scene.C)->estimate(observation).h),
              1e-10)
        << i;
  }
}

// h = +-1 and complex noise of variance 2, that is 1 per real component (0 dB of the real problem):
// many steps end at sign(y) with MSE 4 Q(1) = 0.6345, one step at tanh(y) with 0.4496.
TEST(Dmse, ManyStepsTurnATwoPointPriorIntoAHardDecision) {
  GaussianMixture prior{{0.5, 0.5},
                        arma::cx_mat(1, 2, arma::fill::ones),
                        {arma::cx_mat(1, 1, arma::fill::zeros), arma::cx_mat(1, 1)}};
  prior.covariances[1].zeros();
  prior.means(0, 1) = -1.0;
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(1, 1);
  const std::shared_ptr<const Denoiser> denoiser = make_gaussian_mixture_denoiser(prior);
  const arma::vec noise = arma::linspace(-8.0, 8.0, 8001);
  const arma::vec density = arma::normpdf(noise) * (noise(1) - noise(0));
  const Observation observation{arma::cx_mat(1.0 + noise.t(), 0.0 * noise.t()), 2.0};
  const auto mse = [&](arma::uword n_steps) {
    const Estimate estimate = make_dmse(A, denoiser, fixed_steps(n_steps))->estimate(observation);
    return arma::dot(density, arma::square(arma::abs(estimate.h - 1.0)).t());
  };
  const double hard = 2.0 * std::erfc(1.0 / std::sqrt(2.0));  // 4 Q(1)
  EXPECT_NEAR(hard, 0.6345, 1e-3);
  EXPECT_NEAR(mse(1), 0.4496, 1e-3);
  EXPECT_NEAR(mse(100), hard, 2e-3);
}

// Angular clusters: 8 half-wavelength linear arrays of 32 elements, 5 degrees of spread.
GaussianMixture angular_clusters() {
  constexpr arma::uword n = 32, n_clusters = 8;
  GaussianMixture prior{arma::vec(n_clusters).fill(1.0 / n_clusters),
                        arma::cx_mat(n, n_clusters, arma::fill::zeros),
                        {}};
  const arma::vec angles = arma::linspace(-90.0, 90.0, 4001);
  for (const double centre : arma::vec(arma::linspace(-60.0, 60.0, n_clusters))) {
    const arma::vec power = arma::normalise(
        arma::vec(arma::exp(-std::sqrt(2.0) * arma::abs(angles - centre) / 5.0)), 1);
    arma::cx_vec t(n, arma::fill::zeros);
    for (arma::uword i = 0; i < n; ++i) {
      for (arma::uword k = 0; k < angles.n_elem; ++k) {
        const double phase = arma::datum::pi * static_cast<double>(i) *
                             std::sin(angles(k) * arma::datum::pi / 180.0);
        t(i) += std::polar(power(k), phase);
      }
    }
    prior.covariances.push_back(chest::toeplitz(t));
  }
  return prior;
}

// With an exact score more steps are worse, and the loss does not vanish: known from an independent
// NumPy study of this prior at -10 dB (percent of the minimum): 0.72, 1.91, 3.32, 4.61, 5.77 for 2,
// 3, 5, 10, 30 steps, 1500 other channels.
TEST(Dmse, ExcessOverTheConditionalMeanGrowsWithTheNumberOfSteps) {
  const GaussianMixture prior = angular_clusters();
  const Scene scene =
      mixture_scene(prior, {.n_rx = 32, .n_tx = 1, .n_samples = 1500, .sigma2 = 10.0});
  const std::shared_ptr<const Denoiser> denoiser = make_gaussian_mixture_denoiser(prior);
  const Estimate cme = make_gmm(scene.A, prior)->estimate(scene.observation);
  const double minimum = arma::accu(cme.mse);
  const arma::vec known{0.72, 1.91, 3.32, 4.61, 5.77};
  double before = 0.0;
  for (arma::uword i = 0; i < known.n_elem; ++i) {
    const arma::uword n_steps = arma::uvec{2, 3, 5, 10, 30}(i);
    const Estimate estimate =
        make_dmse(scene.A, denoiser, fixed_steps(n_steps))->estimate(scene.observation);
    // MSE = MMSE + E||h_hat - CME||^2 without the Monte Carlo noise of the common part.
    const double excess = 100.0 * arma::accu(squared_errors(estimate.h, cme.h)) / minimum;
    EXPECT_GT(excess, before);
    // The excess comes from the few channels near a border of two clusters: 20 % is four standard
    // errors at 1500 channels.
    EXPECT_NEAR(excess, known(i), 0.2 * known(i)) << n_steps << " steps";
    before = excess;
  }
}

// A denoiser that knows the range it was fitted for.
class RangedDenoiser final : public Denoiser {
 public:
  std::string name() const override { return "ranged"; }
  arma::uword n_h() const override { return 12; }
  void denoise(const arma::cx_mat& z, double, arma::cx_mat& out) const override { out = z; }
  std::optional<std::pair<double, double>> sigma2_range() const override {
    return std::pair{1e-4, 100.0};
  }
};

TEST(Dmse, CalibratedRuleTakesCountAndErrorFromTheCalibrationAtTheEffectiveSnr) {
  const auto denoiser = std::make_shared<RangedDenoiser>();
  DmseOptions options;
  options.calibration = {{0.0, 10.0}, {2, 5}, {0.5, 0.1}, {}};
  // Ten slots for three antennas gain 10 log10(10 / 3) = 5.2 dB: 5 dB become 10.2 dB.
  const std::shared_ptr<const ObservationOperator> A =
      make_kronecker_observation(dft_pilots(3, 10), 4);
  const Observation observation{arma::cx_mat(40, 2, arma::fill::ones), from_db(-5.0)};
  const Estimate estimate = make_dmse(A, denoiser, options)->estimate(observation);
  EXPECT_EQ(estimate.nfe, 5u);
  ASSERT_EQ(estimate.mse.n_elem, 2u);
  EXPECT_DOUBLE_EQ(estimate.mse(0), 12 * 0.1);
  options.calibration = {};
  const Estimate plain = make_dmse(A, denoiser, options)->estimate(observation);
  EXPECT_EQ(plain.nfe, 3u);
  EXPECT_TRUE(plain.mse.is_empty());
}

TEST(Dmse, PredictsTheErrorOfItsDenoiserTimesTheCalibrationsRatio) {
  const Scene scene = correlated_scene({});
  const std::shared_ptr<const Denoiser> denoiser = make_gaussian_denoiser(scene.C);
  const arma::vec exact = make_lmmse(scene.A, scene.C)->estimate(scene.observation).mse;
  EXPECT_LT(arma::abs(make_dmse(scene.A, denoiser)->estimate(scene.observation).mse - exact).max(),
            1e-10);
  DmseOptions options;
  options.calibration = {{0.0, 20.0}, {1, 1}, {0.5, 0.1}, {1.0, 4.0}};  // 2 at 10 dB
  EXPECT_LT(arma::abs(make_dmse(scene.A, denoiser, options)->estimate(scene.observation).mse -
                      2.0 * exact)
                .max(),
            1e-10);
}

TEST(Dmse, ProbesPredictTheErrorOfADenoiserThatDoesNot) {
  DmseOptions options = fixed_steps(1);
  options.n_probes = 2;
  const Observation observation{arma::cx_mat(12, 3, arma::fill::ones), 0.1};
  const Estimate estimate =
      make_dmse(make_identity_observation(4, 3), std::make_shared<RangedDenoiser>(), options)
          ->estimate(observation);
  EXPECT_EQ(estimate.nfe, 4u);
  // D(z) = z has J = I: (sigma2 / 2) 2 n_h, without spread.
  ASSERT_EQ(estimate.mse.n_elem, 3u);
  EXPECT_LT(arma::abs(estimate.mse - 0.1 * 12).max(), 1e-9);
}

TEST(Dmse, WarnsOutsideTheFittedRangeOfNoiseLevels) {
  const auto dmse =
      make_dmse(make_identity_observation(4, 3), std::make_shared<RangedDenoiser>(), {});
  EXPECT_EQ(dmse->warning(1e-4), "");
  EXPECT_EQ(dmse->warning(1.0), "");
  EXPECT_EQ(dmse->warning(100.0), "");
  EXPECT_EQ(dmse->warning(1e-5),
            "the effective SNR of 50 dB lies outside the -20 dB to 40 dB that the prior was fitted "
            "for: expect a larger error");
  EXPECT_NE(dmse->warning(1000.0), "");
}

TEST(Dmse, RefusesPilotsThatDoNotDecorrelateAndNamesThoseThatDo) {
  Rng rng = test_rng(1);
  const std::shared_ptr<const Denoiser> denoiser =
      make_gaussian_denoiser(arma::cx_mat(12, 12, arma::fill::eye));
  const std::shared_ptr<const ObservationOperator> few =
      make_kronecker_observation(dft_pilots(3, 2), 4);
  try {
    make_dmse(few, denoiser, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    EXPECT_STREQ(
        error.what(),
        "dmse: A (pilots 3x2 for 4 receive antennas) does not decorrelate, A^H A must be a "
        "multiple of I: use 3 or more orthogonal pilots (dft, hadamard, zadoff-chu), or the "
        "estimator lmmse, which takes any pilots");
  }
  EXPECT_THROW(make_dmse(make_kronecker_observation(rng.cx_normal(3, 5), 4), denoiser, {}), Error);
  EXPECT_THROW(make_dmse(make_identity_observation(2, 2), denoiser, {}), Error);
  EXPECT_THROW(make_dmse(nullptr, denoiser, {}), Error);
  EXPECT_THROW(make_dmse(make_identity_observation(4, 3), nullptr, {}), Error);
  EXPECT_THROW(make_dmse(make_identity_observation(4, 3), denoiser, fixed_steps(0)), Error);
}

}  // namespace
}  // namespace chest
