// Least squares on a grid: the interpolation is linear in the pilots, so all of it can be written down.
#include <gtest/gtest.h>

#include <complex>
#include <string>

#include <chest/estimators/grid/grid_ls.hpp>
#include <chest/sim/pilots.hpp>

#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

std::shared_ptr<const ObservationOperator> observation_of(const std::string& pilots,
                                                          arma::uword n_rx, arma::uword n_tx,
                                                          const GridAxes& grid,
                                                          double energy = 1.0) {
  return sim::make_observation(
      sim::make_grid_pilots(sim::parse_pilots(pilots), n_tx, grid, 7, energy), n_rx);
}

// Beyond the outermost pilots the lines through the last two go on.
TEST(GridLs, PlanesOverSubcarriersAndSymbolsAreFoundEverywhere) {
  const GridAxes grid{24, 14};
  const arma::uword n_rx = 2, n_tx = 4;
  Rng rng = test_rng(1);
  const arma::cx_mat a = rng.cx_normal(n_rx * n_tx, 4);
  arma::cx_mat h(n_rx * n_tx * grid.n_elements(), 1);
  for (arma::uword s = 0; s < 14; ++s) {
    for (arma::uword f = 0; f < 24; ++f) {
      const arma::uword first = (s * 24 + f) * n_rx * n_tx;
      h.rows(first, first + n_rx * n_tx - 1) =
          a.col(0) + a.col(1) * double(f) + a.col(2) * double(s) + a.col(3) * double(f * s);
    }
  }
  for (const char* pilots : {"comb:4,symbols=2-11", "comb:6,symbols=0-5-6,offset=3"}) {
    const auto A = observation_of(pilots, n_rx, n_tx, grid, 2.0);
    Observation observation;
    observation.y = A->apply(h);
    observation.sigma2 = 0.1;
    const Estimate estimate = make_grid_ls(A)->estimate(observation);
    EXPECT_LT(arma::abs(estimate.h - h).max(), 1e-11 * arma::abs(h).max()) << pilots;
  }
}

TEST(GridLs, OfTwoNearestPilotsTheEarlierCounts) {
  const GridAxes grid{9, 7};
  const auto A = observation_of("comb:4,symbols=1-5", 1, 1, grid);  // subcarriers 0, 4, 8
  Rng rng = test_rng(2);
  const arma::cx_mat h = rng.cx_normal(grid.n_elements(), 1);
  Observation observation;
  observation.y = A->apply(h);
  observation.sigma2 = 0.1;
  GridLsOptions options;
  options.frequency = FrequencyInterpolation::nearest;
  options.time = TimeInterpolation::nearest;
  const Estimate estimate = make_grid_ls(A, options)->estimate(observation);
  const arma::uvec pilot_f = {0, 0, 0, 4, 4, 4, 4, 8, 8}, pilot_s = {1, 1, 1, 1, 5, 5, 5};
  for (arma::uword s = 0; s < 7; ++s) {
    for (arma::uword f = 0; f < 9; ++f) {
      EXPECT_LT(std::abs(estimate.h(s * 9 + f) - h(pilot_s(s) * 9 + pilot_f(f))), 1e-14);
    }
  }
}

// h_hat = W y, so the error that noise causes is sigma2 sum |W|^2 of each row.
TEST(GridLs, HoldsNothingOfAnEarlierCall) {
  const GridAxes grid{8, 1};
  const auto A = observation_of("comb:2", 2, 1, grid);
  const auto ls = make_grid_ls(A);
  Observation observation;
  observation.y.ones(A->n_obs(), 2);
  observation.sigma2 = 0.1;
  observation.per_element = true;
  Estimate estimate;
  ls->estimate(observation, estimate);
  EXPECT_EQ(estimate.element_mse.n_cols, 2u);
  ls->estimate(observation.columns({1}), estimate);
  EXPECT_EQ(estimate.element_mse.n_cols, 1u);
  observation.per_element = false;
  ls->estimate(observation, estimate);
  EXPECT_TRUE(estimate.element_mse.is_empty());
}

TEST(GridLs, PredictsTheErrorThatTheNoiseCauses) {
  const GridAxes grid{12, 5};
  const auto A = observation_of("dmrs:type=1,symbols=1-3", 1, 2, grid, 2.0);
  for (const TimeInterpolation time :
       {TimeInterpolation::linear, TimeInterpolation::nearest, TimeInterpolation::average}) {
    GridLsOptions options;
    options.time = time;
    Observation observation;
    observation.y.eye(A->n_obs(), A->n_obs());
    observation.sigma2 = 0.3;
    observation.per_element = true;
    const Estimate estimate = make_grid_ls(A, options)->estimate(observation);
    const arma::vec expected = 0.3 * arma::sum(arma::square(arma::abs(estimate.h)), 1);
    EXPECT_LT(arma::abs(estimate.element_mse.col(0) - expected).max(), 1e-12);
    EXPECT_NEAR(estimate.mse(0), arma::accu(expected), 1e-11);
  }
}

}  // namespace
}  // namespace chest
