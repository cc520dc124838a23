#include <gtest/gtest.h>

#include <cmath>

#include <chest/estimators/diffusion/residual.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/estimators/prior/shifted.hpp>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/exact_prior.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

/// Eight clusters of 5 degrees between -60 and 60, seen by 32 antennas half a wavelength apart.
GaussianMixture angular_clusters() {
  std::vector<arma::cx_mat> covariances;
  constexpr arma::uword n = 32, n_angles = 4001;
  for (int k = 0; k < 8; ++k) {
    const double centre = -60.0 + 120.0 * k / 7.0;
    arma::cx_vec t(n, arma::fill::zeros);
    double total = 0.0;
    for (arma::uword i = 0; i < n_angles; ++i) {
      const double angle = -90.0 + 180.0 * static_cast<double>(i) / (n_angles - 1);
      const double weight = std::exp(-std::sqrt(2.0) * std::abs(angle - centre) / 5.0);
      total += weight;
      const double step = arma::datum::pi * std::sin(angle * arma::datum::pi / 180.0);
      for (arma::uword m = 0; m < n; ++m) {
        t(m) += weight * std::polar(1.0, step * static_cast<double>(m));
      }
    }
    covariances.push_back(chest::toeplitz(t / total));
  }
  return equal_mixture(std::move(covariances));
}

struct WhiteNoise {
  std::shared_ptr<const Denoiser> D;
  double sigma2;
  arma::cx_mat y, cme;
  double mmse;
  ColumnNoise noise;

  WhiteNoise(double snr_db, arma::uword n)
      : D(make_gaussian_mixture_denoiser(angular_clusters())),
        sigma2(std::pow(10.0, -0.1 * snr_db)),
        noise(key(n)) {
    Rng rng = test_rng(8);
    y = draw(angular_clusters(), n, rng) + rng.cx_normal(32, n, sigma2);
    DenoiserError error;
    D->denoise_with_error(y, sigma2, cme, error);
    mmse = arma::mean(error.mse);
  }
  static Observation key(arma::uword n) {
    Observation out;
    out.y.zeros(1, n);
    return out;
  }
  /// E||h_hat - CME||^2 in percent of the MMSE: what a walk costs; 100 is a draw of the posterior.
  double excess(const ResidualPath& path, const ResidualWalk& walk) {
    const arma::cx_mat h = walk_residual_path(*D, path, y, sigma2, walk, noise);
    return 100.0 * arma::accu(arma::square(arma::abs(h - cme))) /
           (static_cast<double>(y.n_cols) * mmse);
  }
};

constexpr ResidualWalk means{1.0, false, false}, draws{1.0, true, true}, flow{0.0, false, false},
    flow_from_noise{0.0, false, true};

TEST(ResidualPath, OneStepIsTheConditionalMean) {
  WhiteNoise scene(-5.0, 50);
  const double kappa = std::sqrt(scene.sigma2);
  EXPECT_LT(scene.excess({{1.0}, {kappa}}, means), 1e-20);
  // And from every later state with the exact E[h | x_t, y]: on a Gaussian, that is LMMSE of the stacked observation.
  Rng rng = test_rng(1);
  const arma::cx_mat C = random_covariance(6, rng), I(6, 6, arma::fill::eye);
  const arma::cx_mat x = rng.cx_normal(6, 10), y = rng.cx_normal(6, 10);
  const double sigma2 = 0.4, a = 0.6, b = 0.5;
  // x - a y = (1 - a) h + b eps, white beside y.
  const GaussianPosterior posterior(arma::join_cols(I / std::sqrt(sigma2), I * ((1.0 - a) / b)), C,
                                    1.0);
  const arma::cx_mat lmmse =
      posterior.filter * arma::join_cols(y / std::sqrt(sigma2), (x - a * y) / b);
  EXPECT_LT(max_difference(residual_mean(*make_gaussian_denoiser(C), x, y, sigma2, a, b), lmmse),
            1e-10);
}

TEST(ResidualPath, StepsAreThoseOfTheirSources) {
  Rng rng = test_rng(2);
  const arma::cx_mat x = rng.cx_normal(5, 4), h = rng.cx_normal(5, 4), y = rng.cx_normal(5, 4);
  const arma::cx_mat zero(5, 4, arma::fill::zeros);
  // Variance exploding, means: r^2 z + (1 - r^2) D, the step of DMSE.
  const double t = 1.3, s = 0.7;
  EXPECT_LT(
      max_difference(residual_step(x, h, y, 0.0, t, 0.0, s, 1.0), h + (s * s / (t * t)) * (x - h)),
      1e-12);
  // RDDM of no input with a = 1 - alpha, b = sqrt(1 - alpha^2) is DDIM.
  const double al_t = 0.4, al_s = 0.7;
  const double sg_t = std::sqrt(1.0 - al_t * al_t), sg_s = std::sqrt(1.0 - al_s * al_s);
  EXPECT_LT(max_difference(residual_step(x, h, zero, 1.0 - al_t, sg_t, 1.0 - al_s, sg_s, 0.0),
                           al_s * h + (sg_s / sg_t) * (x - al_t * h)),
            1e-12);
  // Mean reverting, data prediction, first order; and the same as a shift by the mean.
  const double d = std::exp(-std::log(al_s / sg_s * sg_t / al_t));
  const arma::cx_mat mean_reverting = (sg_s / sg_t) * x + al_s * (1.0 - d) * h +
                                      (1.0 - sg_s / sg_t + sg_s / sg_t * al_t - al_s) * y;
  EXPECT_LT(max_difference(residual_step(x, h, y, 1.0 - al_t, sg_t, 1.0 - al_s, sg_s, 0.0),
                           mean_reverting),
            1e-12);
  EXPECT_LT(
      max_difference(y + (sg_s / sg_t) * (x - y) + al_s * (1.0 - d) * (h - y), mean_reverting),
      1e-12);
  // ResShift.
  const double kappa = 2.0, eta_t = 0.7, eta_s = 0.4;
  EXPECT_LT(max_difference(residual_step(x, h, y, eta_t, kappa * std::sqrt(eta_t), eta_s,
                                         kappa * std::sqrt(eta_s), 1.0),
                           (eta_s / eta_t) * x + (1.0 - eta_s / eta_t) * h),
            1e-12);
  // And with its noise: variance kappa^2 eta_s (eta_t - eta_s) / eta_t.
  const arma::cx_mat w(5, 4, arma::fill::ones);
  const arma::cx_mat noisy = residual_step(x, h, y, eta_t, kappa * std::sqrt(eta_t), eta_s,
                                           kappa * std::sqrt(eta_s), 1.0, w);
  EXPECT_NEAR(std::norm(noisy(0, 0) - (eta_s / eta_t) * x(0, 0) - (1.0 - eta_s / eta_t) * h(0, 0)),
              kappa * kappa * eta_s * (eta_t - eta_s) / eta_t, 1e-12);
}

TEST(ResidualPath, OfResfusionIsItsStateAndItsMean) {
  const NoiseSchedule schedule = NoiseSchedule::linear(100, 1e-4, 0.05);
  const arma::vec ab = schedule.abar();
  const ResidualPath path = resfusion_path(ab);
  const arma::uword n = path.a.n_elem;
  // It starts at the first sqrt(ab) nearest 1 / 2, at noise variance 3 however good y is.
  arma::uword nearest = 0;
  while (nearest + 1 < ab.n_elem &&
         std::abs(std::sqrt(ab(nearest + 1)) - 0.5) < std::abs(std::sqrt(ab(nearest)) - 0.5)) {
    ++nearest;
  }
  EXPECT_EQ(n, nearest + 1);
  EXPECT_NEAR(path.a(0), 1.0, 1e-12);
  EXPECT_NEAR(path.b(0) * path.b(0), 3.0, 1e-12);
  Rng rng = test_rng(3);
  const arma::cx_mat h = rng.cx_normal(5, 4), R = rng.cx_normal(5, 4), eps = rng.cx_normal(5, 4);
  for (const arma::uword t : {3U, 20U, 40U}) {
    const double root = std::sqrt(ab(t)), sg = std::sqrt(1.0 - ab(t));
    const arma::cx_mat state = root * h + (1.0 - root) * R + sg * eps;
    const double a = path.a(n - 1 - t), b = path.b(n - 1 - t);
    EXPECT_LT(max_difference(state / root, h + a * R + b * eps), 1e-12);
    // The mean by "resnoise" is that of q(x_{t-1} | x_t, h, R).
    const double al = ab(t) / ab(t - 1), be = 1.0 - al;
    const arma::cx_mat resnoise = eps + (1.0 - std::sqrt(al)) * sg / be * R;
    const arma::cx_mat by_noise = (state - be / sg * resnoise) / std::sqrt(al);
    const arma::cx_mat exact = R + (std::sqrt(al) * (1.0 - ab(t - 1)) * (state - R) +
                                    std::sqrt(ab(t - 1)) * be * (h - R)) /
                                       (1.0 - ab(t));
    EXPECT_LT(max_difference(by_noise, exact), 1e-12);
  }
  EXPECT_TRUE(refused([&] { resfusion_path(ab.head(3)); },
                      "the schedule must come down to a signal of 1 / 2"));
}

// With y = h in place of the estimate's residual, the state stays on the path.
TEST(ResidualPath, OfNoResidualIsVarianceExploding) {
  Rng rng = test_rng(4);
  const arma::cx_mat x = rng.cx_normal(5, 4), h = rng.cx_normal(5, 4);
  EXPECT_LT(max_difference(residual_step(x, h, h, 0.8, 1.1, 0.3, 0.6, 0.5),
                           residual_step(x, h, h, 0.0, 1.1, 0.0, 0.6, 0.5)),
            1e-12);
}

// Reference: check_samplers.py residual, 1500 channels at -5 dB. The excess of 250 has a standard error of
// 4 to 6 % of itself.
TEST(ResidualPath, CostsWhatTheReferenceSays) {
  WhiteNoise scene(-5.0, 250);
  const double kappa = std::sqrt(scene.sigma2);
  struct Case {
    const char* name;
    double seen, expected;
  };
  const std::vector<Case> cases{
      {"resshift_4_means", scene.excess(resshift_path(4, kappa), means), 2.9},
      {"resshift_15_means", scene.excess(resshift_path(15, kappa), means), 4.1},
      {"resshift_4_draws", scene.excess(resshift_path(4, kappa), draws), 37.0},
      {"resshift_15_draws", scene.excess(resshift_path(15, kappa), draws), 75.0},
      {"rddm_10_flow_from_noise", scene.excess(rddm_path(10, scene.sigma2), flow_from_noise), 70.6},
      {"rddm_10_flow", scene.excess(rddm_path(10, scene.sigma2), flow), 3.1},
  };
  for (const Case& each : cases) {
    seen(each.name, each.seen);
    EXPECT_NEAR(each.seen, each.expected, 0.2 * each.expected + 0.3) << each.name;
  }
  // Draws come near one MMSE with the number of levels, and not beyond.
  const double many = scene.excess(resshift_path(40, kappa), draws);
  seen("resshift_40_draws", many);
  EXPECT_GT(many, cases[3].seen);
  EXPECT_LT(many, 110.0);
}

TEST(ResidualPath, EndsAndLevelsAreThoseOfTheSources) {
  const ResidualPath shift = resshift_path(4, 2.0);
  EXPECT_EQ(shift.a(0), 1.0);
  EXPECT_NEAR(std::sqrt(shift.a(3)), 0.1, 1e-12);
  EXPECT_NEAR(shift.b(3), 0.2, 1e-12);
  const ResidualPath rddm = rddm_path(4, 0.5);
  EXPECT_NEAR(rddm.a(3), 0.4, 1e-12);
  EXPECT_NEAR(rddm.a(0), 1.0, 1e-12);
  EXPECT_NEAR(rddm.b(3) * rddm.b(3), 0.05, 1e-12);
  EXPECT_NEAR(rddm.b(0) * rddm.b(0), 0.5, 1e-12);
  EXPECT_TRUE(refused([] { rddm_path(0, 1.0); }, "rddm path"));
  EXPECT_TRUE(refused([] { resshift_path(1, 1.0); }, "resshift path"));
}

}  // namespace
}  // namespace chest
