#include <chest/estimators/linear/power_profile.hpp>

#include <gtest/gtest.h>

#include <chest/estimators/prior/exact.hpp>

#include "tests/support/exact_prior.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

arma::mat random_real_covariance(arma::uword n, Rng& rng) {
  arma::mat B(n, n);
  B.imbue([&] { return rng.normal(); });
  return B * B.t() / static_cast<double>(n);
}

// Reference: check_samplers.py misc. ln p ~ N(0.3, 0.8), noise 0.5: the mean of the posterior has a squared error
// of 2.40 and its median exp(m) one of 2.53.
TEST(LogNormal, PosteriorMeanIsUnbiasedAndBetterThanTheMedian) {
  Rng rng = test_rng(1);
  const arma::uword n = 400'000;
  arma::mat p(1, n), q(1, n);
  for (arma::uword k = 0; k < n; ++k) {
    const double u = 0.3 + std::sqrt(0.8) * rng.normal();
    p(k) = std::exp(u);
    q(k) = std::exp(u + std::sqrt(0.5) * rng.normal());
  }
  const LogNormal posterior =
      denoise_log_normal({{0.3}, arma::mat(1, 1, arma::fill::value(0.8))}, q, 0.5);
  const arma::vec error = (posterior.mean() - p).t();
  EXPECT_TRUE(mean_is(error, 0.0, 1e-6));
  const double of_mean = arma::mean(arma::square(error));
  const double of_median =
      arma::mean(arma::square(arma::exp(posterior.log_mean.row(0)) - p.row(0)));
  seen("mse_mean", of_mean);
  seen("mse_median", of_median);
  // E Var[p | q] = E p^2 (1 - exp(-v)), E p^2 = exp(2 (0.3 + 0.8)); a standard error of 0.05 of a square with heavy
  // tails.
  const double v = 0.8 * 0.5 / 1.3;
  EXPECT_NEAR(std::exp(2.2) * (1.0 - std::exp(-v)), 2.39, 0.01);
  EXPECT_NEAR(of_mean, 2.40, 0.2);
  EXPECT_NEAR(of_median, 2.53, 0.2);
  EXPECT_LT(of_mean, of_median);
  EXPECT_GT(posterior.mean().min(), 0.0);
}

// A real signal is the real part of a complex one of twice the covariance and noise: the denoiser of chest on
// ln q, walked in any number of steps.
TEST(LogNormal, IsTheGaussianDenoiserOfTheLogarithm) {
  Rng rng = test_rng(2);
  LogNormalPrior prior{arma::vec(5), random_real_covariance(5, rng)};
  prior.mean.imbue([&] { return rng.normal(); });
  arma::mat q(5, 8);
  q.imbue([&] { return std::exp(rng.normal()); });
  const double noise = 0.4;
  const LogNormal posterior = denoise_log_normal(prior, q, noise);
  const auto D = make_gaussian_denoiser(arma::conv_to<arma::cx_mat>::from(2.0 * prior.C));
  arma::mat u = arma::log(q);
  u.each_col() -= prior.mean;
  arma::cx_mat z = arma::conv_to<arma::cx_mat>::from(u);
  D->run({{2.0 * noise, 0.25}, {0.5 * noise, 0.0}}, z);
  u = arma::real(z);
  u.each_col() += prior.mean;
  EXPECT_LT(arma::abs(u - posterior.log_mean).max(), 1e-12);
  const arma::mat v =
      prior.C - prior.C * arma::solve(prior.C + noise * arma::mat(5, 5, arma::fill::eye), prior.C);
  EXPECT_LT(arma::abs(posterior.log_variance.col(3) - v.diag()).max(), 1e-12);
}

TEST(LogNormal, FitIsMeanAndCovarianceOfManySamples) {
  Rng rng = test_rng(3);
  const arma::mat C = random_real_covariance(4, rng), L = arma::chol(C, "lower");
  arma::mat w(4, 40'000);
  w.imbue([&] { return rng.normal(); });
  const LogNormalPrior prior = fit_log_normal(arma::exp(L * w + 0.5));
  // Six standard errors of entries whose variance is at most 2 C_ii C_jj / n.
  EXPECT_LT(arma::abs(prior.mean - 0.5).max(), 6.0 * std::sqrt(C.diag().max() / 40'000.0));
  EXPECT_LT(arma::abs(prior.C - C).max(), 6.0 * C.diag().max() * std::sqrt(2.0 / 40'000.0));
  // Of few samples it stays positive definite.
  EXPECT_GT(arma::eig_sym(fit_log_normal(arma::exp(L * w.cols(0, 2))).C).min(), 0.0);
}

// The gradient of the logarithm of the posterior, by differences, vanishes at the mode.
TEST(PowerProfile, IsTheModeOfItsPosterior) {
  Rng rng = test_rng(4);
  LogNormalPrior prior{arma::vec(6, arma::fill::zeros),
                       random_real_covariance(6, rng) + 0.1 * arma::mat(6, 6, arma::fill::eye)};
  arma::mat q(6, 3);
  q.imbue([&] { return 1.5 * std::exp(rng.normal()); });
  q(2, 1) = 0.0;
  const double sigma2 = 0.3, n = 4.0;
  const LogNormal found = power_profile(prior, q, 4, sigma2);
  for (arma::uword k = 0; k < 3; ++k) {
    const auto objective = [&](const arma::vec& u) {
      const arma::vec total = arma::exp(u) + sigma2;
      return -n * arma::accu(arma::log(total) + q.col(k) / total) -
             0.5 * arma::dot(u - prior.mean, arma::solve(prior.C, arma::vec(u - prior.mean)));
    };
    for (arma::uword i = 0; i < 6; ++i) {
      arma::vec up = found.log_mean.col(k), down = up;
      up(i) += 1e-4;
      down(i) -= 1e-4;
      EXPECT_NEAR((objective(up) - objective(down)) / 2e-4, 0.0, 1e-5);
    }
  }
  EXPECT_GT(found.mean().min(), 0.0);
}

TEST(PowerProfile, OfManySnapshotsIsTheirMeanPower) {
  const LogNormalPrior prior{{0.0, 0.0}, arma::mat(2, 2, arma::fill::eye)};
  const LogNormal found = power_profile(prior, arma::vec{2.0, 0.5}, 1'000'000, 0.1);
  EXPECT_NEAR(found.mean()(0), 1.9, 1e-4);
  EXPECT_NEAR(found.mean()(1), 0.4, 1e-4);
  // Of noise alone the prior is left, a little lower.
  const double of_noise = power_profile(prior, arma::vec{100.0, 100.0}, 1, 100.0).log_mean(0);
  EXPECT_NEAR(of_noise, 0.0, 0.02);
}

TEST(PowerProfile, RefusesWhatIsNoPower) {
  const LogNormalPrior prior{{0.0, 0.0}, arma::mat(2, 2, arma::fill::eye)};
  EXPECT_TRUE(refused([&] { power_profile(prior, arma::vec{1.0}, 1, 0.1); },
                      "there are 1 rows, the prior has 2"));
  EXPECT_TRUE(refused(
      [&] {
        power_profile(prior, arma::vec{1.0, -1.0}, 1, 0.1);
      },
      "a value is -1, expected positive ones"));
  EXPECT_TRUE(refused(
      [&] {
        power_profile(prior, arma::vec{1.0, 1.0}, 0, 0.1);
      },
      "0 snapshots, expected at least 1"));
  EXPECT_TRUE(refused(
      [&] {
        denoise_log_normal(prior, arma::vec{1.0, 0.0}, 0.1);
      },
      "expected positive ones"));
  EXPECT_TRUE(refused([] { fit_log_normal(arma::mat(2, 1, arma::fill::ones)); },
                      "1 samples, expected at least 2"));
}

}  // namespace
}  // namespace chest
