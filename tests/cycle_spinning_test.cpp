#include <chest/estimators/diffusion/cycle_spinning.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include <chest/angular.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/metrics.hpp>
#include <chest/observation.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>

#include "tests/support/refusal.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 16, n_tx = 4;

/// Soft thresholds in the angular domain: what a path between two angles leaks into others is lost.
class Thresholds final : public Denoiser {
 public:
  std::string name() const override { return "thresholds"; }
  arma::uword n_h() const override { return n_rx * n_tx; }
  bool predicts_error() const override { return true; }
  using Denoiser::denoise;
  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    transform_.forward(z, out);
    const arma::mat gain =
        arma::clamp(1.0 - 1.5 * std::sqrt(sigma2) / (arma::abs(out) + 1e-12), 0.0, 1.0);
    const arma::cx_mat shrunk = gain % out;
    transform_.inverse(shrunk, out);
  }
  void denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                          DenoiserError& error) const override {
    denoise(z, sigma2, out);
    error.mse = squared_norms(z) * 0.01 * sigma2;
  }

 private:
  AngularTransform transform_{n_rx, n_tx};
};

/// One plane wave each, of any angles.
arma::cx_mat single_paths(arma::uword n, std::uint64_t seed) {
  Rng rng(seed, {Purpose::test});
  arma::cx_mat h(n_rx * n_tx, n);
  for (arma::uword k = 0; k < n; ++k) {
    const double rx = rng.uniform(), tx = rng.uniform();
    for (arma::uword i = 0; i < h.n_rows; ++i) {
      const auto r = static_cast<double>(i % n_rx), t = static_cast<double>(i / n_rx);
      h(i, k) = std::polar(1.0, arma::datum::tau * (rx * r + tx * t));
    }
  }
  return h;
}

TEST(PhaseRamps, TurnAChannelByPartsOfAnAngle) {
  const arma::cx_mat g = phase_ramps(n_rx, n_tx, 4);
  ASSERT_EQ(g.n_cols, 4u);
  EXPECT_EQ(arma::abs(g.col(0) - 1.0).max(), 0.0);
  EXPECT_LT(arma::abs(arma::abs(g) - 1.0).max(), 1e-15);
  // Receive antenna 3 of transmit antenna 2, a quarter: e^{j 2 pi / 4 (3 / 16 + 2 / 4)}.
  EXPECT_LT(std::abs(g(2 * n_rx + 3, 1) - std::polar(1.0, arma::datum::pi / 2 * (3.0 / 16 + 0.5))),
            1e-15);
  // Along the columns alone.
  const arma::cx_mat columns = phase_ramps(n_rx, n_tx, 2, false);
  for (arma::uword r = 1; r < n_rx; ++r) {
    EXPECT_EQ(columns(n_rx + r, 1), columns(n_rx, 1));
  }
}

TEST(RunSpun, IsTheMeanOfTheChainsAndKnowsTheirSpread) {
  const Thresholds D;
  const arma::cx_mat h = single_paths(20, 2);
  const double sigma2 = 0.2;
  const arma::cx_mat y = h + Rng(3, {Purpose::test}).cx_normal(h.n_rows, h.n_cols, sigma2);
  const ReverseChain chain = log_snr_chain(sigma2, 1e-4, 2);
  const arma::cx_mat g = phase_ramps(n_rx, n_tx, 3);

  arma::cx_mat mean(arma::size(y), arma::fill::zeros);
  arma::vec of_chains(y.n_cols, arma::fill::zeros), predicted = of_chains;
  for (arma::uword k = 0; k < 3; ++k) {
    arma::cx_mat x = chain.start_scale * y;
    x.each_col() %= arma::cx_vec(g.col(k));
    DenoiserError error;
    D.run(chain.steps, x, &error);
    x.each_col() %= arma::cx_vec(arma::conj(g.col(k)));
    mean += x / 3.0;
    of_chains += squared_errors(x, h) / 3.0;
    predicted += error.mse / 3.0;
  }
  arma::cx_mat z = chain.start_scale * y;
  DenoiserError error;
  const arma::vec spread = run_spun(D, chain.steps, g, z, &error);
  EXPECT_LT(arma::abs(z - mean).max(), 1e-13);
  EXPECT_LT(arma::abs(of_chains - spread - squared_errors(z, h)).max(), 1e-11);
  EXPECT_LT(arma::abs(error.mse - predicted).max(), 1e-13);
  EXPECT_GT(spread.min(), 0.0);
}

TEST(RunSpun, OfOneRampIsTheChainBitForBit) {
  const Thresholds D;
  const arma::cx_mat y = single_paths(3, 4);
  const ReverseChain chain = log_snr_chain(0.1, 1e-4, 3);
  arma::cx_mat alone = y, spun = y;
  D.run(chain.steps, alone);
  const arma::vec spread = run_spun(D, chain.steps, phase_ramps(n_rx, n_tx, 1), spun);
  EXPECT_TRUE(arma::approx_equal(spun, alone, "absdiff", 0.0));
  EXPECT_EQ(arma::abs(spread).max(), 0.0);
}

TEST(ErrorOfMean, IsLessByTheSpreadAndNeverNothing) {
  EXPECT_DOUBLE_EQ(error_of_mean(2.0, 0.5), 1.5);
  EXPECT_DOUBLE_EQ(error_of_mean(2.0, 3.0), 0.2);
}

// Two turns of half an angle leave no path farther than a quarter from the nearest.
TEST(Calibrate, AveragesWhereThatIsBetterForItsCalls) {
  const Thresholds D;
  const SampleReader channels = samples_in_memory(single_paths(256, 5), n_rx, n_tx);
  CalibrationChoices one;
  one.max_spins = 1;
  const Calibration alone = calibrate(D, channels, 1, 1, one), both = calibrate(D, channels, 1, 1);
  EXPECT_TRUE(alone.n_spins.is_empty());
  ASSERT_EQ(both.n_spins.n_elem, both.snr_db.n_elem);
  for (arma::uword i = 0; i < both.snr_db.n_elem; ++i) {
    if (both.snr_db(i) < 5.0 || both.snr_db(i) > 20.0) continue;
    EXPECT_EQ(both.n_spins(i), 2u) << both.snr_db(i);
    EXPECT_LT(to_db(both.mse(i) / alone.mse(i)), -0.1) << both.snr_db(i);
  }
  EXPECT_EQ(both.spins_at(from_db(-11.0)), 2u);
  EXPECT_EQ(alone.spins_at(from_db(-11.0)), 1u);
  EXPECT_GE(both.most_calls(), 2u);

  // The estimator runs what was chosen, and predicts what is seen: the ratio is that of the chains, the spread is its own.
  DmseOptions options;
  options.calibration = both;
  const auto estimator =
      make_dmse(make_identity_observation(n_rx, n_tx), std::make_shared<Thresholds>(), options);
  Observation observation;
  observation.sigma2 = from_db(-10.0);
  const arma::cx_mat h = single_paths(400, 6);
  observation.y = h + Rng(7, {Purpose::test}).cx_normal(h.n_rows, h.n_cols, observation.sigma2);
  const Estimate found = estimator->estimate(observation);
  const double seen = arma::mean(squared_errors(found.h, h));
  EXPECT_NEAR(arma::mean(found.mse) / seen, 1.0, 0.06);
  EXPECT_EQ(found.nfe % 2, 0u);
  EXPECT_EQ(estimator->method(observation.sigma2), std::to_string(found.nfe) + " calls");

  options.n_spins = 1;
  const Estimate single =
      make_dmse(make_identity_observation(n_rx, n_tx), std::make_shared<Thresholds>(), options)
          ->estimate(observation);
  EXPECT_EQ(single.nfe * 2, found.nfe);
  EXPECT_LT(to_db(seen / arma::mean(squared_errors(single.h, h))), -0.1);
}

TEST(Dmse, AveragesOverArraysItKnowsTheSizeOf) {
  DmseOptions options;
  options.n_spins = 2;
  const arma::cx_mat A(n_rx * n_tx, n_rx * n_tx, arma::fill::eye);
  EXPECT_TRUE(refused(
      [&] { make_dmse(make_dense_observation(A), std::make_shared<Thresholds>(), options); },
      "the observation does not say the size of the array"));
  // As calibrated it is then one chain.
  options.n_spins = 0;
  options.calibration = {arma::vec{0.0}, arma::uvec{2}, arma::vec{0.5}, {}, arma::uvec{2}};
  const auto thresholds = std::make_shared<Thresholds>();
  EXPECT_EQ(make_dmse(make_dense_observation(A), thresholds, options)->method(1.0), "2 calls");
  EXPECT_EQ(make_dmse(make_identity_observation(n_rx, n_tx), thresholds, options)->method(1.0),
            "4 calls");
}

}  // namespace
}  // namespace chest
