#include <gtest/gtest.h>

#include <cmath>

#include <chest/random.hpp>
#include <chest/sim/statistics.hpp>

#include "tests/support/statistics.hpp"

namespace chest::sim {
namespace {

TEST(Statistics, SumsGiveTheRatioAndItsDeltaMethodInterval) {
  const arma::vec e{1.0, 2.0, 4.0}, p{10.0, 8.0, 12.0};
  ErrorSums sums;
  add_errors(e.head(1), p.head(1), sums);
  add_errors(e.tail(2), p.tail(2), sums);
  const double r = 7.0 / 30.0;
  const arma::vec rest = e - r * p;
  const double se = std::sqrt(arma::dot(rest, rest) / 2.0 / 3.0) / 10.0;
  EXPECT_NEAR(nmse(sums), r, 1e-15);
  EXPECT_NEAR(nmse_interval(sums).high, r + 1.959963984540054 * se, 1e-14);
  EXPECT_NEAR(nmse_interval(sums).low, std::max(0.0, r - 1.959963984540054 * se), 1e-14);
  EXPECT_NEAR(nmse_relative_half_width(sums), 1.959963984540054 * se / r, 1e-13);
  EXPECT_NEAR(sums.ratio, 0.1 + 0.25 + 1.0 / 3.0, 1e-15);
}

TEST(Statistics, SumsKeepTheirOrderInFiles) {
  double values[ErrorSums::count], again[ErrorSums::count];
  for (std::size_t i = 0; i < ErrorSums::count; ++i) values[i] = double(i);
  const ErrorSums sums = ErrorSums::read(values);
  sums.write(again);
  EXPECT_TRUE(std::equal(values, values + ErrorSums::count, again));
  EXPECT_EQ(sums.ep, 5.0);
  EXPECT_STREQ(ErrorSums::names[5], "ep");
  EXPECT_EQ(sums.nfe, 11.0);
}

TEST(Statistics, BinomialIntervalsSolveWilsonsEquation) {
  // The ends p of the interval are 1.96 of their own standard errors from what was seen.
  for (const double hits : {1.0, 7.0, 30.0}) {
    const double n = 40.0, seen = hits / n;
    const Interval interval = binomial_interval(n, hits);
    for (const double p : {interval.low, interval.high})
      EXPECT_NEAR(std::abs(seen - p), 1.959963984540054 * std::sqrt(p * (1.0 - p) / n), 1e-12);
    EXPECT_LT(interval.low, seen);
    EXPECT_GT(interval.high, seen);
  }
  EXPECT_EQ(binomial_interval(10, 0).low, 0.0);
  EXPECT_EQ(binomial_interval(10, 10).high, 1.0);
  EXPECT_TRUE(std::isnan(binomial_interval(0, 0).low));
}

TEST(Statistics, OneChannelHasNoInterval) {
  ErrorSums sums;
  add_errors(arma::vec{1.0}, arma::vec{2.0}, sums);
  EXPECT_TRUE(std::isnan(nmse_interval(sums).low));
  EXPECT_TRUE(std::isinf(nmse_relative_half_width(sums)));
  EXPECT_TRUE(std::isnan(mean_interval(1, 2, 4).high));
}

TEST(Statistics, IntervalsCoverTheTruthNineteenTimesInTwenty) {
  // Errors and powers of channels of 4 entries whose error is a random part of their power: a
  // skewed, correlated pair with E e / E p = 0.1.
  constexpr int n_trials = 4000;
  constexpr arma::uword n = 300;
  Rng rng(11, {Purpose::test});
  int covered = 0, mean_covered = 0;
  for (int trial = 0; trial < n_trials; ++trial) {
    arma::vec e(n), p(n);
    for (arma::uword k = 0; k < n; ++k) {
      p(k) = 0.0;
      for (int i = 0; i < 4; ++i) p(k) += std::norm(rng.cx_normal());
      e(k) = 0.1 * p(k) * std::norm(rng.cx_normal());
    }
    ErrorSums sums;
    add_errors(e, p, sums);
    const Interval interval = nmse_interval(sums);
    covered += interval.low <= 0.1 && 0.1 <= interval.high;
    const Interval mean = mean_interval(double(n), sums.p, sums.pp);
    mean_covered += mean.low <= 4.0 && 4.0 <= mean.high;
  }
  // 0.95 less the bias of the normal approximation at n = 300 (below 0.012 for these tails), within
  // 4.9 standard deviations of a binomial: correct code fails for one seed in a million.
  const double slack = 4.9 * std::sqrt(0.95 * 0.05 / n_trials);
  EXPECT_NEAR(covered / double(n_trials), 0.944, slack + 0.006);
  EXPECT_NEAR(mean_covered / double(n_trials), 0.948, slack + 0.004);
}

}  // namespace
}  // namespace chest::sim
