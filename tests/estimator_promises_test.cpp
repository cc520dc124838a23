// What estimators promise beyond the laws of a single one (chest/testing/estimator_contract.hpp).
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/diffusion/ep.hpp>
#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/diffusion/named_methods.hpp>
#include <chest/estimators/diffusion/particles.hpp>
#include <chest/estimators/diffusion/red_diff.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/snr_unknown.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/metrics.hpp>

#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

using DenoiserPtr = std::shared_ptr<const Denoiser>;

/// Errors of a Gaussian denoiser, exact at each level.
DenoiserErrors errors_of_gaussian(const arma::cx_mat& C) {
  DenoiserErrors errors;
  errors.sigma2 = arma::logspace(-5.0, 2.6, 40);
  errors.mse = arma::zeros(40);
  const arma::vec l = arma::eig_sym(C);
  for (arma::uword i = 0; i < 40; ++i) {
    errors.mse(i) = arma::mean(errors.sigma2(i) * l / (l + errors.sigma2(i)));
  }
  return errors;
}

/// A denoiser with a range, and one that can be made to diverge.
class Ranged final : public Denoiser {
 public:
  Ranged(DenoiserPtr inner, double low, double high)
      : inner_(std::move(inner)), low_(low), high_(high) {}
  using Denoiser::denoise;
  std::string name() const override { return "ranged"; }
  arma::uword n_h() const override { return inner_->n_h(); }
  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    lowest = std::min(lowest, sigma2);
    highest = std::max(highest, sigma2);
    inner_->denoise(z, sigma2, out);
    if (diverges_at_column >= 0 && z.n_cols > 1) {
      out.col(static_cast<arma::uword>(diverges_at_column)).fill(arma::datum::nan);
    }
  }
  std::optional<std::pair<double, double>> sigma2_range() const override {
    return std::pair(low_, high_);
  }
  mutable double lowest = 1e300, highest = 0.0;
  int diverges_at_column = -1;

 private:
  DenoiserPtr inner_;
  double low_, high_;
};

TEST(Draws, AreKeyedBySeedAndSampleAndNotByTheBytesOfY) {
  const Scene scene = correlated_scene({.n_pilots = 2, .n_samples = 3});
  const DenoiserPtr denoiser = make_gaussian_denoiser(scene.C);
  PigdmOptions options;
  options.walk.n_levels = 8;
  const auto walk = make_pigdm(scene.A, denoiser, options);
  const Estimate estimate = walk->estimate(scene.observation);
  // Another rounding of y is another rounding of h_hat, not another walk.
  Observation rounded = scene.observation;
  rounded.y *= 1.0 + 1e-14;
  EXPECT_LT(max_difference(walk->estimate(rounded).h, estimate.h), 1e-11);
  // Another seed and another sample draw anew.
  Observation other = scene.observation;
  other.seed = 2;
  EXPECT_GT(max_difference(walk->estimate(other).h, estimate.h), 1e-3);
  other = scene.observation;
  other.first_sample = 1;
  EXPECT_GT(max_difference(walk->estimate(other).h, estimate.h), 1e-3);
  // One y under several sample numbers: several draws of the posterior.
  other.y = arma::repmat(scene.observation.y.col(0), 1, 3);
  const arma::cx_mat h = walk->estimate(other).h;
  EXPECT_GT(max_difference(h.col(0), h.col(1)), 1e-3);
}

TEST(Ep, PredictsAnErrorPerColumnWhateverIsBesideIt) {
  // Few pilots: some channels settle, others do not.
  Rng rng = test_rng(3);
  const GaussianMixture prior = random_mixture(24, 6, rng);
  const Scene scene = mixture_scene(prior, {.n_rx = 4, .n_tx = 6, .n_pilots = 2, .n_samples = 40});
  const DenoiserPtr denoiser = make_gaussian_mixture_denoiser(prior);
  EpOptions options;
  options.n_iterations = 6;
  options.damping = 1.0;
  options.errors = errors_of_gaussian(random_covariance(24, rng));
  options.fallback = make_diffpir(scene.A, denoiser);
  const auto ep = make_ep(scene.A, denoiser, options);
  ASSERT_TRUE(ep->predicts_mse(0.1));
  const Estimate whole = ep->estimate(scene.observation);
  ASSERT_EQ(whole.mse.n_elem, 40u);
  arma::uword n_known = 0;
  for (arma::uword k = 0; k < 40; ++k) {
    const Estimate alone = ep->estimate(scene.observation.columns({k}));
    ASSERT_EQ(alone.mse.n_elem, 1u);
    EXPECT_EQ(std::isnan(alone.mse(0)), std::isnan(whole.mse(k))) << k;
    if (std::isnan(whole.mse(k))) continue;
    ++n_known;
    EXPECT_NEAR(alone.mse(0), whole.mse(k), 1e-9);
  }
  // The case in question: a batch that holds both.
  EXPECT_GT(n_known, 0u);
  EXPECT_LT(n_known, 40u);
}

TEST(Estimate, HoldsNothingOfAnEarlierCall) {
  const Scene scene = correlated_scene({});
  Estimate out;
  out.angular_mse.ones(5, 2);
  out.sigma2.ones(3);
  out.log_evidence.ones(3);
  out.n_reset = 4;
  out.nfe = 9;
  make_lmmse(scene.A, scene.C)->estimate(scene.observation, out);
  EXPECT_TRUE(out.angular_mse.is_empty());
  EXPECT_TRUE(out.sigma2.is_empty());
  EXPECT_TRUE(out.log_evidence.is_empty());
  EXPECT_EQ(out.n_reset, 0u);
  EXPECT_EQ(out.nfe, 0u);
}

TEST(Decorators, HandOnWhatRuns) {
  EstimatorContext context;
  context.A = make_identity_observation(2, 2);
  context.n_rx = context.n_tx = 2;
  Rng rng = test_rng(5);
  context.prior = std::make_shared<const GaussianMixture>(random_mixture(4, 2, rng));
  for (const char* text : {"dmse:prior=gmm,steps=2", "dmse:prior=gmm,steps=2,snr=+3",
                           "dmse:prior=gmm,steps=2,snr=unknown"}) {
    EXPECT_EQ(make_estimator(parse_named_options(text), context)->method(0.1), "2 calls") << text;
  }
}

TEST(Particles, TakeEqualLevels) {
  const Scene scene = correlated_scene({.n_rx = 2, .n_tx = 2, .n_pilots = 1, .n_samples = 2});
  ParticleOptions options;
  options.n_levels = 4;
  options.n_particles = 8;
  options.tau2_first = options.tau2_last = 0.5;
  const Estimate estimate = make_particles(scene.A, make_gaussian_denoiser(scene.C), options)
                                ->estimate(scene.observation);
  EXPECT_TRUE(estimate.h.is_finite());
  EXPECT_TRUE(estimate.mse.is_finite());
  EXPECT_TRUE(estimate.log_evidence.is_finite());
}

TEST(RedDiff, StaysInTheRangeOfItsPrior) {
  const Scene scene = correlated_scene({.n_samples = 2});
  const auto ranged = std::make_shared<Ranged>(make_gaussian_denoiser(scene.C), 1e-2, 1.0);
  RedDiffOptions options;
  options.n_iterations = 20;
  make_red_diff(scene.A, ranged, options)->estimate(scene.observation);
  EXPECT_GE(ranged->lowest, 1e-2 * (1 - 1e-12));
  EXPECT_LE(ranged->highest, 1.0 + 1e-12);
}

TEST(Ep, TakesAPriorWhoseRangeLiesBeyondItsOwn) {
  const Scene scene = correlated_scene({.n_samples = 2});
  for (const auto& [low, high] : {std::pair(100.0, 1000.0), std::pair(1e-9, 1e-7)}) {
    const auto ranged = std::make_shared<Ranged>(make_gaussian_denoiser(scene.C), low, high);
    EpOptions options;
    options.errors = errors_of_gaussian(scene.C);
    make_ep(scene.A, ranged, options)->estimate(scene.observation);
    EXPECT_GE(ranged->lowest, low);
    EXPECT_LE(ranged->highest, high);
  }
}

TEST(Walk, CountsTheChannelsThatItResets) {
  const Scene scene = correlated_scene({.n_samples = 4});
  const auto broken = std::make_shared<Ranged>(make_gaussian_denoiser(scene.C), 1e-4, 400.0);
  broken->diverges_at_column = 2;
  const Estimate estimate = make_diffpir(scene.A, broken)->estimate(scene.observation);
  EXPECT_TRUE(estimate.h.is_finite());
  EXPECT_EQ(estimate.n_reset, 1u);
  EXPECT_EQ(arma::abs(estimate.h.col(2)).max(), 0.0);
}

TEST(NoiseBlind, AsksForAPredictedErrorBeforeItWorks) {
  const Scene scene = correlated_scene({.n_pilots = 2});
  const std::shared_ptr<const Estimator> silent =
      make_diffpir(scene.A, make_gaussian_denoiser(scene.C));
  EXPECT_TRUE(refused([&] { make_noise_blind(scene.A, silent); }, "it predicts no error"));
}

// Every named method of the program is the library's function with its defaults, or with options.
TEST(NamedMethods, AreTheEstimatorsOfTheProgram) {
  const Scene scene = correlated_scene({.n_pilots = 2, .n_samples = 3});
  EstimatorContext context;
  context.A = scene.A;
  context.n_rx = 4;
  context.n_tx = 3;
  GaussianMixture prior{arma::vec{1.0}, arma::cx_mat(12, 1, arma::fill::zeros), {scene.C}};
  context.prior = std::make_shared<const GaussianMixture>(prior);
  const DenoiserPtr denoiser = make_gaussian_mixture_denoiser(prior);
  const auto same = [&](const std::string& text, const std::unique_ptr<Estimator>& library) {
    const auto program = make_estimator(parse_named_options(text), context);
    const Estimate a = program->estimate(scene.observation);
    const Estimate b = library->estimate(scene.observation);
    EXPECT_EQ(max_difference(a.h, b.h), 0.0) << text;
    EXPECT_EQ(a.nfe, b.nfe) << text;
  };
  same("diffpir:prior=gmm", make_diffpir(scene.A, denoiser));
  same("ddnm:prior=gmm", make_ddnm(scene.A, denoiser));
  same("dds:prior=gmm", make_dds(scene.A, denoiser));
  same("dmps:prior=gmm", make_dmps(scene.A, denoiser));
  same("pigdm:prior=gmm", make_pigdm(scene.A, denoiser));
  same("dps:prior=gmm", make_dps(scene.A, denoiser));
  same("flowchef:prior=gmm", make_flowchef(scene.A, denoiser));
  same("score:prior=gmm", make_score(scene.A, denoiser));
  OpcOptions opc;
  opc.variance = VarianceKind::tweedie;
  opc.above = VarianceKind::unit;
  opc.type = OpcType::gradient;
  opc.walk.update = WalkUpdate::ode;
  same("opc:prior=gmm,variance=tweedie,above=unit,type=1,walk=ode",
       make_opc(scene.A, denoiser, opc));
  DiffpirOptions diffpir;
  diffpir.lambda = 2.0;
  diffpir.walk.update = WalkUpdate::fresh;
  diffpir.walk.zeta = 0.5;
  diffpir.walk.n_runs = 2;
  same("diffpir(prior=gmm,lambda=2,walk=fresh,zeta=0.5,runs=2)",
       make_diffpir(scene.A, denoiser, diffpir));
}

}  // namespace
}  // namespace chest
