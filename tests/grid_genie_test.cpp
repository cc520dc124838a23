// LMMSE with the covariance that the channels of a grid were drawn with.
#include <gtest/gtest.h>

#include <complex>
#include <memory>

#include <chest/channels/generator.hpp>
#include <chest/estimators/grid/grid_genie.hpp>
#include <chest/ofdm.hpp>
#include <chest/pilot_pattern.hpp>
#include <chest/random.hpp>

#include "tests/support/channel_fixtures.hpp"
#include "tests/support/grid_channels.hpp"
#include "tests/support/grid_covariance.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 2, n_tx = 2, n_f = 6, n_s = 3;

/// Ports by turns on every second element of symbols 0 and 2, and both at once in one element.
PilotPattern pilots(const GridAxes& grid) {
  std::vector<arma::uword> f, s;
  for (const arma::uword symbol : {0u, 2u}) {
    for (arma::uword k = 0; k < grid.n_subcarriers; k += 2) {
      f.push_back(k);
      s.push_back(symbol);
    }
  }
  PilotPattern pattern;
  pattern.grid = grid;
  pattern.subcarrier = arma::uvec(f);
  pattern.symbol = arma::uvec(s);
  pattern.group = arma::regspace<arma::uvec>(0, 1, f.size() - 1);
  pattern.x.zeros(n_tx, f.size());
  for (arma::uword p = 0; p < f.size(); ++p)
    pattern.x(p % n_tx, p) = std::polar(1.0, 0.7 * static_cast<double>(p));
  return pattern;
}

/// The covariance of a TDL, and the same with a second one over the receive antennas for some paths.
std::vector<GridCovariance> covariances() {
  TdlOptions options;
  options.profile = "D";
  options.delay_spread_s = 400e-9;
  options.doppler_hz = 1500.0;
  options.n_rx = n_rx;
  options.n_tx = n_tx;
  options.grid = ofdm_grid(n_f, n_s, 60e3);
  options.correlation = MimoCorrelation::medium;
  GridCovariance shared = make_tdl(options)->grid_covariance()->on(options.grid), apart = shared;
  Rng rng(2, {Purpose::test});
  apart.rx.push_back(rng.cx_normal(n_rx, 1));
  for (std::size_t l = 0; l < apart.paths.size(); l += 3) apart.paths[l].rx = 1;
  return {shared, apart};
}

arma::cx_mat matrix_of(const ObservationOperator& A) {
  return A.apply(arma::cx_mat(A.n_h(), A.n_h(), arma::fill::eye));
}

TEST(GridGenie, IsLmmseWithTheWholeCovariance) {
  for (const GridCovariance& covariance : covariances()) {
    SCOPED_TRACE(covariance.rx.size());
    const std::shared_ptr<const ObservationOperator> A =
        make_grid_observation(pilots(covariance.grid), n_rx);
    const arma::cx_mat C = test::dense(covariance), A_full = matrix_of(*A);
    Rng rng(1, {Purpose::test});
    Observation observation;
    observation.sigma2 = 0.2;
    observation.per_element = true;
    observation.y = rng.cx_normal(A->n_obs(), 3);
    const Estimate estimate = make_grid_genie(A, covariance)->estimate(observation);
    arma::cx_mat S = A_full * C * A_full.t();
    S.diag() += observation.sigma2;
    const arma::cx_mat filter = C * A_full.t() * arma::inv(S);
    EXPECT_LT(max_difference(estimate.h, filter * observation.y), 1e-9);
    const arma::cx_mat error = C - filter * A_full * C;
    EXPECT_NEAR(estimate.mse(1), arma::trace(error).real(), 1e-9);
    // The mean over the receive antennas of each port and element.
    const arma::vec each = arma::real(error.diag());
    const arma::vec means = arma::mean(arma::reshape(each, n_rx, each.n_elem / n_rx), 0).t();
    EXPECT_LT(max_difference(estimate.element_mse.col(2), means), 1e-9);
  }
}

TEST(GridGenie, MeasuredErrorIsThePredictedOne) {
  TdlOptions options;
  options.profile = "B";
  options.delay_spread_s = 300e-9;
  options.doppler_hz = 1500.0;
  options.n_rx = n_rx;
  options.n_tx = n_tx;
  options.grid = ofdm_grid(n_f, n_s, 60e3);
  options.correlation = MimoCorrelation::high;
  const auto generator = make_tdl(options);
  const arma::uword n = 2000;
  const arma::cx_mat h = test::draw_grids(*generator, 5, 0, n);
  const std::shared_ptr<const ObservationOperator> A =
      make_grid_observation(pilots(options.grid), n_rx);
  Observation observation;
  observation.sigma2 = 0.1;
  Rng rng(6, {Purpose::test});
  observation.y = A->apply(h) + rng.cx_normal(A->n_obs(), n, observation.sigma2);
  const Estimate estimate =
      make_grid_genie(A, generator->grid_covariance()->on(options.grid))->estimate(observation);
  const arma::vec errors = arma::sum(arma::square(arma::abs(estimate.h - h)), 0).t();
  // Correct code fails for one seed in a million.
  EXPECT_TRUE(mean_is(errors, estimate.mse(0), 1e-6));
}

TEST(GridGenie, OtherSizesAreRefused) {
  const GridCovariance covariance = covariances()[0];
  const std::shared_ptr<const ObservationOperator> A =
      make_grid_observation(pilots(covariance.grid), n_rx + 1);
  EXPECT_TRUE(
      refused([&] { make_grid_genie(A, covariance); }, "genie: the covariance is for 2x2x6x3"));
  const std::shared_ptr<const ObservationOperator> identity = make_identity_observation(2, 2);
  EXPECT_TRUE(
      refused([&] { make_grid_genie(identity, covariance); }, "is not the observation of a grid"));
}

TEST(GridCovariances, AreKeptInFiles) {
  const test::TemporaryFolder folder;
  for (const GridCovariance& covariance : covariances()) {
    const auto file = folder.path() / "covariance.h5";
    ArchiveWriter writer(file);
    save(writer, covariance);
    writer.commit();
    const GridCovariance back = load_grid_covariance(ArchiveReader(file)).on(covariance.grid);
    EXPECT_EQ(max_difference(test::dense(back), test::dense(covariance)), 0.0);
    EXPECT_LT(max_difference(test::dense(back.scaled(2.0)), 4.0 * test::dense(covariance)), 1e-14);
  }
}

}  // namespace
}  // namespace chest
