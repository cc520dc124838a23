#include <chest/estimators/analysis/compare.hpp>

#include <gtest/gtest.h>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/exact_prior.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

/// E k(x, y) of independent x and y whose difference is CN(d, S).
double mean_kernel(const arma::cx_vec& d, const arma::cx_mat& S, double b) {
  const arma::cx_mat I(S.n_rows, S.n_rows, arma::fill::eye);
  return std::exp(-std::real(arma::cdot(d, arma::solve(S + b * I, d)))) /
         std::real(arma::det(I + S / b));
}

// The estimate is unbiased: its mean over 60 pairs of sets is the closed form. Risk 1e-6.
TEST(Compare, SquaredMmdOfGaussiansHasItsClosedForm) {
  Rng rng = test_rng(1);
  const arma::uword n = 4;
  const arma::cx_mat C1 = random_covariance(n, rng), C2 = random_covariance(n, rng);
  const arma::cx_vec d = rng.cx_normal(n, 1, 0.5);
  const double b = 3.0;
  const arma::cx_vec zero(n, arma::fill::zeros);
  const double expected = mean_kernel(zero, 2.0 * C1, b) + mean_kernel(zero, 2.0 * C2, b) -
                          2.0 * mean_kernel(d, C1 + C2, b);
  ASSERT_GT(expected, 0.02);
  const arma::cx_mat L1 = covariance_factor(C1), L2 = covariance_factor(C2);
  arma::vec seen_values(60);
  for (double& value : seen_values) {
    arma::cx_mat y = L2 * rng.cx_normal(n, 60);
    y.each_col() += d;
    value = squared_mmd(L1 * rng.cx_normal(n, 60), y, b);
  }
  EXPECT_TRUE(mean_is(seen_values, expected, 1e-6));
}

TEST(Compare, SquaredMmdIsThePlainDoubleSum) {
  Rng rng = test_rng(2);
  const arma::cx_mat x = rng.cx_normal(3, 5), y = rng.cx_normal(3, 4);
  const auto k = [](const arma::cx_vec& u, const arma::cx_vec& v) {
    return std::exp(-std::pow(arma::norm(u - v), 2.0) / 2.0);
  };
  double xx = 0.0, yy = 0.0, xy = 0.0;
  for (arma::uword i = 0; i < 5; ++i) {
    for (arma::uword j = 0; j < 5; ++j) xx += i == j ? 0.0 : k(x.col(i), x.col(j)) / 20.0;
    for (arma::uword j = 0; j < 4; ++j) xy += k(x.col(i), y.col(j)) / 20.0;
  }
  for (arma::uword i = 0; i < 4; ++i) {
    for (arma::uword j = 0; j < 4; ++j) yy += i == j ? 0.0 : k(y.col(i), y.col(j)) / 12.0;
  }
  EXPECT_NEAR(squared_mmd(x, y, 2.0), xx + yy - 2.0 * xy, 1e-13);
}

TEST(Compare, WassersteinOfShiftedAndOfUnequalSets) {
  EXPECT_NEAR(wasserstein({1.0, 2.0, 5.0}, {2.5, 3.5, 6.5}), 1.5, 1e-14);
  // {0, 1} against {0, 0, 1}: the distribution functions differ by 1/6 from 0 to 1.
  EXPECT_NEAR(wasserstein({0.0, 1.0}, {0.0, 0.0, 1.0}), 1.0 / 6.0, 1e-14);
}

TEST(Compare, EffectiveRankOfKnownMatrices) {
  EXPECT_NEAR(effective_rank(arma::cx_mat(4, 4, arma::fill::eye)), 4.0, 1e-12);
  EXPECT_NEAR(effective_rank(arma::cx_mat(4, 3, arma::fill::ones)), 1.0, 1e-12);
  EXPECT_EQ(effective_rank(arma::cx_mat(4, 3, arma::fill::zeros)), 0.0);
}

CompareOptions quick(arma::uword n_permutations) {
  CompareOptions options;
  options.n_permutations = n_permutations;
  options.n_projections = 16;
  options.estimator = CompareEstimator::none;
  return options;
}

// p of sets of one distribution is uniform on 1/40 .. 1, up to ties: of 60 runs the number with p <= 0.25 is
// binomial, and outside 3 .. 30 with a risk below 1e-6 for each of the eight statistics.
TEST(Compare, OfOneDistributionHasUniformPValues) {
  Rng rng = test_rng(3);
  const GaussianMixture prior = random_mixture(8, 3, rng);
  const arma::uword n_runs = 60;
  std::map<std::string, arma::uword> small;
  for (arma::uword run = 0; run < n_runs; ++run) {
    CompareOptions options = quick(39);
    options.seed = run + 1;
    const arma::cx_mat a = draw(prior, 30, rng), b = draw(prior, 30, rng);
    for (const ComparisonRow& row : compare_channels(a, b, 4, 2, {}, options).rows) {
      if (std::isnan(row.p)) continue;
      EXPECT_GE(row.p, 1.0 / 40.0);
      EXPECT_LE(row.p, 1.0);
      small[row.name] += row.p <= 0.25 ? 1 : 0;
    }
  }
  EXPECT_EQ(small.size(), 8u);
  for (const auto& [name, count] : small) {
    // Neighbours take few values: ties make their p larger.
    EXPECT_GE(count, name == "neighbours" ? 1u : 3u) << name;
    EXPECT_LE(count, 31u) << name;
  }
}

const ComparisonRow& row_of(const Comparison& comparison, const std::string& name) {
  return *std::find_if(comparison.rows.begin(), comparison.rows.end(),
                       [&](const ComparisonRow& row) { return row.name == name; });
}

TEST(Compare, DetectsWhatDiffers) {
  Rng rng = test_rng(4);
  const arma::cx_mat a = rng.cx_normal(16, 150);
  // A mean, which power, angles and rank hardly show.
  arma::cx_mat shifted = rng.cx_normal(16, 150);
  shifted += arma::cx_double(0.35, 0.0);
  const Comparison by_mean = compare_channels(a, shifted, 4, 4, {}, quick(99));
  EXPECT_EQ(row_of(by_mean, "mmd2").p, 0.01);
  EXPECT_LT(by_mean.corrected_p(), 0.1);
  // 1 dB more power.
  const Comparison by_power =
      compare_channels(a, std::sqrt(1.26) * rng.cx_normal(16, 150), 4, 4, {}, quick(99));
  EXPECT_EQ(row_of(by_power, "power").p, 0.01);
  EXPECT_NEAR(row_of(by_power, "power").value, 0.26, 0.1);
  // Matrices of rank 1.
  arma::cx_mat low(16, 150);
  for (arma::uword k = 0; k < 150; ++k) {
    low.col(k) = arma::vectorise(rng.cx_normal(4, 1) * rng.cx_normal(1, 4));
  }
  const Comparison by_rank = compare_channels(a, low, 4, 4, {}, quick(99));
  EXPECT_EQ(row_of(by_rank, "rank").p, 0.01);
  EXPECT_NEAR(arma::mean(by_rank.rank_b), 1.0, 1e-9);
  // Power in one receive angle.
  arma::cx_mat narrow(16, 150);
  const arma::cx_vec beam = steering_vectors(4, 1).col(2);
  for (arma::uword k = 0; k < 150; ++k) {
    narrow.col(k) = arma::vectorise(2.0 * beam * rng.cx_normal(1, 4));
  }
  const Comparison by_angle = compare_channels(a, narrow, 4, 4, {}, quick(99));
  EXPECT_EQ(row_of(by_angle, "rx_angles").p, 0.01);
  EXPECT_NEAR(row_of(by_angle, "rx_angles").value, 0.75, 0.03);
  EXPECT_NEAR(by_angle.rx_angles.col(1).max(), 1.0, 1e-12);
  EXPECT_EQ(row_of(by_angle, "mmd2_angular").p, 0.01);
}

TEST(Compare, FindsCopiesUpToACommonPhase) {
  Rng rng = test_rng(5);
  const arma::cx_mat a = rng.cx_normal(16, 60);
  arma::cx_mat copied = a.head_cols(40);
  for (arma::uword k = 0; k < 40; ++k) copied.col(k) *= std::polar(1.0, 0.1 * double(k));
  copied += 0.02 * rng.cx_normal(16, 40);
  EXPECT_EQ(row_of(compare_channels(a, copied, 4, 4, {}, quick(0)), "copies").value, 1.0);
  EXPECT_EQ(row_of(compare_channels(a, rng.cx_normal(16, 40), 4, 4, {}, quick(0)), "copies").value,
            0.0);
}

// LMMSE fitted on the wrong covariance: E||h_hat - h||^2 = tr (W C W^H + ...) by its filter.
TEST(Compare, CrossErrorIsThatOfTheFilterOfTheOtherSet) {
  Rng rng = test_rng(6);
  const arma::uword n = 600;
  arma::vec l_a{3.0, 0.6, 0.3, 0.1}, l_b{0.1, 0.3, 0.6, 3.0};
  const auto channels = [&](const arma::vec& l) {
    arma::cx_mat h = rng.cx_normal(4, n);
    h.each_col() %= arma::conv_to<arma::cx_vec>::from(arma::sqrt(l));
    return h;
  };
  CompareOptions options = quick(0);
  options.estimator = CompareEstimator::lmmse;
  options.snr_db = {0.0};
  const arma::cx_mat a = channels(l_a), b = channels(l_b);
  const Comparison comparison = compare_channels(a, b, 4, 1, {}, options);
  ASSERT_EQ(comparison.cross.size(), 1u);
  const auto error = [](const arma::vec& fitted, const arma::vec& l) {
    const arma::vec w = fitted / (fitted + 1.0);
    return arma::accu(arma::square(1.0 - w) % l + arma::square(w)) / arma::accu(l);
  };
  // 300 channels: 20 % is beyond 5 standard errors.
  EXPECT_NEAR(comparison.cross[0].nmse(0, 0) / error(l_a, l_a), 1.0, 0.2);
  EXPECT_NEAR(comparison.cross[0].nmse(0, 1) / error(l_a, l_b), 1.0, 0.2);
  EXPECT_NEAR(comparison.cross[0].nmse(1, 0) / error(l_b, l_a), 1.0, 0.2);
  EXPECT_GT(comparison.cross[0].nmse(0, 1), 2.0 * comparison.cross[0].nmse(1, 1));
}

TEST(Compare, DelaysAreThoseOfTheSubcarriers) {
  Rng rng = test_rng(7);
  GridAxes grid;
  grid.n_subcarriers = 8;
  arma::cx_mat a(16, 40), b(16, 40);
  for (arma::uword k = 0; k < 40; ++k) {
    for (arma::uword f = 0; f < 8; ++f) {
      const double turn = -2.0 * arma::datum::pi * double(f) / 8.0;
      a.col(k).subvec(2 * f, 2 * f + 1) = rng.cx_normal(2, 1);
      b.col(k).subvec(2 * f, 2 * f + 1).fill(std::polar(1.0, 3.0 * turn));
    }
  }
  const Comparison comparison = compare_channels(a, b, 2, 1, grid, quick(19));
  EXPECT_NEAR(comparison.delays(3, 1), 1.0, 1e-12);
  EXPECT_EQ(row_of(comparison, "delays").p, 0.05);
}

TEST(Compare, DoesNotDependOnThreads) {
  Rng rng = test_rng(8);
  const arma::cx_mat a = rng.cx_normal(6, 40), b = rng.cx_normal(6, 30);
  CompareOptions one = quick(50), three = quick(50);
  three.n_threads = 3;
  const Comparison x = compare_channels(a, b, 3, 2, {}, one),
                   y = compare_channels(a, b, 3, 2, {}, three);
  for (std::size_t i = 0; i + 1 < x.rows.size(); ++i) EXPECT_EQ(x.rows[i].p, y.rows[i].p);
}

TEST(Compare, RefusesSetsThatDoNotFit) {
  Rng rng = test_rng(9);
  const arma::cx_mat a = rng.cx_normal(6, 10);
  EXPECT_TRUE(refused([&] { compare_channels(a, rng.cx_normal(5, 10), 3, 2); }, "6 and 5 entries"));
  EXPECT_TRUE(refused([&] { compare_channels(a, a.head_cols(3), 3, 2); }, "3 channels in a set"));
  EXPECT_TRUE(refused([&] { compare_channels(a, a, 3, 3); }, "expected 3x3"));
  EXPECT_TRUE(refused([&] { squared_mmd(a, a, -1.0); }, "width"));
}

}  // namespace
}  // namespace chest
