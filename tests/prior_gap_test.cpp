#include <gtest/gtest.h>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/estimators/prior/prior_gap.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

namespace chest {
namespace {

TEST(PriorGap, IsZeroForWhiteGaussianChannels) {
  Rng rng(1, {Purpose::test});
  const SampleReader samples = samples_in_memory(rng.cx_normal(32, 5000), 8, 4);
  const PriorGap gap = measure_prior_gap(samples, {-10.0, 0.0, 10.0});
  EXPECT_EQ(gap.n_fit, 128u);
  EXPECT_EQ(gap.n_test, 512u);
  for (arma::uword i = 0; i < 3; ++i) {
    // Both know less than the truth (power 1): from 128 channels, and from eight neighbours.
    const double exact = to_db(1.0 / (1.0 + from_db(gap.snr_db(i))));
    EXPECT_GT(to_db(gap.nmse_lmmse(i)), exact - 0.1);
    EXPECT_NEAR(to_db(gap.nmse_lmmse(i)), to_db(gap.nmse_local(i)), 0.5) << gap.snr_db(i);
  }
}

TEST(PriorGap, SeesThatSingleChannelsAreSparse) {
  // One 2 x 2 group of angular bins per channel, anywhere: white on average, four dimensions each.
  Rng rng(1, {Purpose::test});
  arma::cx_mat angular(128, 4000, arma::fill::zeros);
  for (arma::uword k = 0; k < angular.n_cols; ++k) {
    const arma::uword rx = rng.index(16), tx = rng.index(8);
    for (arma::uword i = 0; i < 4; ++i) {
      const arma::uword bin = (rx + i % 2) % 16 + 16 * ((tx + i / 2) % 8);
      arma::cx_mat g = rng.cx_normal(1, 1, 32.0);
      angular(bin, k) = g(0, 0);
    }
  }
  const SampleReader samples = samples_in_memory(AngularTransform(16, 8).inverse(angular), 16, 8);
  const PriorGap gap = measure_prior_gap(samples, {0.0});
  EXPECT_NEAR(to_db(gap.nmse_lmmse(0)), -3.0, 0.4);
  EXPECT_LT(to_db(gap.nmse_local(0)), -8.0);
  EXPECT_LT(gap.dimension_local(0), 16.1);
  EXPECT_NEAR(gap.dimension_lmmse(0), 64.0, 6.0);
  EXPECT_THROW(measure_prior_gap(subrange(samples, 0, 9), {0.0}), Error);
}

TEST(PriorGap, KnowsOneAntennaOnASide) {
  Rng rng(1, {Purpose::test});
  const arma::cx_mat h = rng.cx_normal(16, 4000);
  for (const arma::uword n_rx : {16, 1}) {
    const PriorGap gap = measure_prior_gap(samples_in_memory(h, n_rx, 16 / n_rx), {0.0});
    // Power 1 is halved, but for a covariance of 64 channels; the power of two neighbours, of a gamma
    // distribution, knows less of it.
    EXPECT_NEAR(gap.nmse_lmmse(0), 0.53, 0.02);
    EXPECT_NEAR(gap.nmse_local(0), 0.562, 0.02) << n_rx;
  }
  EXPECT_THROW(measure_prior_gap(samples_in_memory(h.head_rows(1), 1, 1), {0.0}), Error);
  EXPECT_THROW(measure_prior_gap(samples_in_memory(arma::cx_mat(1025, 10), 1025, 1), {0.0}), Error);
}

TEST(PriorGap, KnowsEachSideOfLargeArrays) {
  // C = C_tx kron C_rx with power in one quarter of the angles of each side: 1/16 of 2048 entries.
  Rng rng(1, {Purpose::test});
  arma::cx_mat angular(2048, 300, arma::fill::zeros);
  for (arma::uword tx = 0; tx < 8; ++tx)
    angular.rows(64 * tx, 64 * tx + 15) = rng.cx_normal(16, 300, 16.0);
  const PriorGap gap = measure_prior_gap(
      samples_in_memory(AngularTransform(64, 32).inverse(angular), 64, 32), {0.0});
  EXPECT_TRUE(gap.kronecker);
  EXPECT_EQ(gap.n_fit, 240u);
  EXPECT_NEAR(gap.nmse_lmmse(0), 1.0 / 17.0, 0.002);
  EXPECT_NEAR(gap.dimension_lmmse(0), 128.0 * 16.0 / 17.0, 1.0);
}

}  // namespace
}  // namespace chest
