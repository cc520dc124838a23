// Linear MMSE on a grid, all axes at once and one after another, against dense algebra.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <complex>
#include <string>
#include <utility>
#include <vector>

#include <chest/channels/generator.hpp>
#include <chest/estimators/grid/grid_genie.hpp>
#include <chest/estimators/grid/grid_lmmse.hpp>
#include <chest/ofdm.hpp>
#include <chest/sim/pilots.hpp>

#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

/// Lags of a few paths.
arma::cx_vec lags(arma::uword n, const std::vector<double>& turns) {
  arma::cx_vec r(n, arma::fill::zeros);
  for (arma::uword k = 0; k < n; ++k) {
    for (std::size_t l = 0; l < turns.size(); ++l) {
      r(k) += std::polar(1.0 / double(turns.size()), -6.283185307179586 * turns[l] * double(k));
    }
  }
  return r;
}

struct GridScene {
  GridStatistics statistics;
  std::shared_ptr<const ObservationOperator> A;
  Observation observation;
  arma::uword n_rx, n_tx;
  GridAxes grid;
};

GridScene grid_scene(arma::uword n_rx, arma::uword n_tx, const GridAxes& grid,
                     const std::string& pilots, double sigma2) {
  GridScene out;
  out.n_rx = n_rx;
  out.n_tx = n_tx;
  out.grid = grid;
  Rng rng = test_rng(11);
  out.statistics.R_rx = random_covariance(n_rx, rng);
  out.statistics.r_f = lags(grid.n_subcarriers, {0.0, 0.011, 0.03, 0.052});
  out.statistics.r_t = lags(grid.n_symbols, {-0.01, 0.004, 0.015});
  out.A = sim::make_observation(
      sim::make_grid_pilots(sim::parse_pilots(pilots), n_tx, grid, 3, 2.0), n_rx);
  out.observation.y = rng.cx_normal(out.A->n_obs(), 2);
  out.observation.sigma2 = sigma2;
  out.observation.per_element = true;
  return out;
}

arma::vec all_of(arma::uword n) { return arma::regspace(0.0, double(n) - 1.0); }

/// The filters of one port in dense form: every row of an axis has a matrix of its own, made from the
/// errors that it has, and its output is brought to unit gain from the variance of what it gives.
void one_after_another(const std::string& order, const GridStatistics& statistics,
                       const GridAxes& grid, const PilotPlanes::Port& port, arma::cx_cube& z,
                       arma::cube& errors) {
  for (std::size_t i = 0; i < order.size(); ++i) {
    const char axis = order[i];
    const bool is_last = i + 1 == order.size();
    const arma::vec all = all_of(axis == 's'   ? z.n_rows
                                 : axis == 'f' ? grid.n_subcarriers
                                               : grid.n_symbols);
    const arma::vec at = axis == 's' ? all : axis == 'f' ? port.subcarriers : port.symbols;
    const arma::cx_vec& r = axis == 'f' ? statistics.r_f : statistics.r_t;
    const arma::cx_mat R_pp = axis == 's' ? statistics.R_rx : toeplitz_covariance(r, at, at);
    const arma::cx_mat R_ap = axis == 's' ? statistics.R_rx : toeplitz_covariance(r, all, at);
    const arma::vec power = axis == 's' ? arma::vec(arma::real(statistics.R_rx.diag()))
                                        : arma::vec(all.n_elem, arma::fill::ones);
    arma::cx_cube z_out(axis == 's' ? all.n_elem : z.n_rows, axis == 'f' ? all.n_elem : z.n_cols,
                        axis == 't' ? all.n_elem : z.n_slices);
    arma::cube e_out(arma::size(z_out));
    for (arma::uword a = 0; a < (axis == 's' ? z.n_cols : z.n_rows); ++a) {
      for (arma::uword b = 0; b < (axis == 't' ? z.n_cols : z.n_slices); ++b) {
        const auto place = [&](arma::uword k) {
          return axis == 's'   ? std::array<arma::uword, 3>{k, a, b}
                 : axis == 'f' ? std::array<arma::uword, 3>{a, k, b}
                               : std::array<arma::uword, 3>{a, b, k};
        };
        arma::cx_vec in(at.n_elem);
        arma::vec e(at.n_elem);
        for (arma::uword k = 0; k < at.n_elem; ++k) {
          const auto [r_at, f_at, s_at] = place(k);
          in(k) = z(r_at, f_at, s_at);
          e(k) = errors(r_at, f_at, s_at);
        }
        arma::cx_mat S = R_pp;
        S.diag() += arma::conv_to<arma::cx_vec>::from(e);
        const arma::cx_mat W = R_ap * arma::inv(S);
        const arma::cx_vec found = W * in;
        const arma::vec left = power - arma::real(arma::cx_mat(W * R_ap.t()).eval().diag());
        const arma::vec variance = arma::real(arma::cx_mat(W * S * W.t()).eval().diag());
        for (arma::uword k = 0; k < all.n_elem; ++k) {
          const auto [r_at, f_at, s_at] = place(k);
          const double c = is_last ? 1.0 : 2.0 * power(k) / (power(k) - left(k) + variance(k));
          z_out(r_at, f_at, s_at) = c * found(k);
          e_out(r_at, f_at, s_at) =
              is_last ? left(k) : c * (c - 1.0) * variance(k) + (1.0 - c) * power(k) + c * left(k);
        }
      }
    }
    z = z_out;
    errors = e_out;
  }
}

TEST(GridLmmse, AllAxesAtOnceIsTheDenseFilter) {
  const GridScene scene = grid_scene(2, 2, {10, 4}, "comb:2,symbols=0-3", 0.2);
  const arma::vec subcarriers = all_of(10), symbols = all_of(4);
  const arma::cx_mat C =
      arma::kron(toeplitz_covariance(scene.statistics.r_t, symbols, symbols),
                 arma::kron(toeplitz_covariance(scene.statistics.r_f, subcarriers, subcarriers),
                            arma::kron(arma::eye<arma::cx_mat>(2, 2), scene.statistics.R_rx)));
  const arma::cx_mat A = scene.A->apply(arma::eye<arma::cx_mat>(C.n_rows, C.n_cols));
  arma::cx_mat S = A * C * A.t();
  S.diag() += scene.observation.sigma2;
  const arma::cx_mat W = C * A.t() * arma::inv(S);
  const arma::vec left = arma::real((C - W * A * C).eval().diag());
  const Estimate estimate = make_grid_lmmse(scene.A, scene.statistics)->estimate(scene.observation);
  EXPECT_LT(arma::abs(estimate.h - W * scene.observation.y).max(), 1e-6);
  const arma::vec element_mse = arma::mean(arma::reshape(left, 2, left.n_elem / 2), 0).t();
  EXPECT_LT(arma::abs(estimate.element_mse.col(0) - element_mse).max(), 1e-7);
}

TEST(GridLmmse, OneAxisAfterAnotherIsTheDenseFilters) {
  const std::vector<std::pair<GridLmmseOrder, std::string>> orders = {
      {GridLmmseOrder::ft, "ft"},   {GridLmmseOrder::tf, "tf"},   {GridLmmseOrder::fts, "fts"},
      {GridLmmseOrder::fst, "fst"}, {GridLmmseOrder::tfs, "tfs"}, {GridLmmseOrder::tsf, "tsf"},
      {GridLmmseOrder::sft, "sft"}, {GridLmmseOrder::stf, "stf"}};
  const GridScene scene = grid_scene(3, 2, {12, 6}, "comb:2,symbols=1-4", 0.2);
  const PilotPlanes planes("test", scene.A);
  for (const auto& [order, text] : orders) {
    const Estimate estimate =
        make_grid_lmmse(scene.A, scene.statistics, {order})->estimate(scene.observation);
    for (arma::uword t = 0; t < scene.n_tx; ++t) {
      arma::cx_cube z;
      planes.extract(scene.observation.y.colptr(1), t, z);
      arma::cube errors(arma::size(z));
      errors.fill(scene.observation.sigma2 * planes.port(t).noise);
      one_after_another(text, scene.statistics, scene.grid, planes.port(t), z, errors);
      for (arma::uword s = 0; s < scene.grid.n_symbols; ++s) {
        for (arma::uword f = 0; f < scene.grid.n_subcarriers; ++f) {
          const arma::uword column = (s * scene.grid.n_subcarriers + f) * scene.n_tx + t;
          for (arma::uword r = 0; r < scene.n_rx; ++r) {
            // Modes below 1e-9 of the largest are left out.
            ASSERT_LT(std::abs(estimate.h(column * scene.n_rx + r, 1) - z(r, f, s)), 1e-6) << text;
          }
          ASSERT_NEAR(estimate.element_mse(column, 1), arma::mean(errors.slice(s).col(f)), 1e-7)
              << text;
        }
      }
    }
    EXPECT_NEAR(estimate.mse(0), double(scene.n_rx) * arma::accu(estimate.element_mse.col(0)),
                1e-9);
  }
}

TEST(GridLmmse, OneAxisAloneIsTheJointFilter) {
  const GridScene scene = grid_scene(1, 1, {24, 1}, "comb:3,symbols=0", 0.1);
  const Estimate joint = make_grid_lmmse(scene.A, scene.statistics)->estimate(scene.observation);
  for (const GridLmmseOrder order : {GridLmmseOrder::f, GridLmmseOrder::ft, GridLmmseOrder::fs}) {
    const Estimate other =
        make_grid_lmmse(scene.A, scene.statistics, {order})->estimate(scene.observation);
    if (order == GridLmmseOrder::f) {
      EXPECT_LT(arma::abs(joint.h - other.h).max(), 1e-9);
      EXPECT_LT(arma::abs(joint.element_mse - other.element_mse).max(), 1e-9);
    } else {
      // A last filter over an axis of length 1 shrinks what was made unbiased: the same again.
      EXPECT_LT(arma::abs(joint.h - other.h).max(), 1e-9);
    }
  }
}

TEST(GridLmmse, AnOrderMustReachAllSymbols) {
  const GridScene scene = grid_scene(1, 1, {12, 4}, "comb:2,symbols=1", 0.1);
  for (const GridLmmseOrder order : {GridLmmseOrder::f, GridLmmseOrder::fs, GridLmmseOrder::sf}) {
    EXPECT_TRUE(refused([&] { make_grid_lmmse(scene.A, scene.statistics, {order}); },
                        "leaves symbols without an estimate"));
  }
}

/// Correlation of a known profile over f subcarriers.
std::complex<double> known_over(const std::string& pdp, double spread_ns, double f) {
  GridLmmseOptions options;
  options.pdp = pdp;
  options.delay_spread_ns = spread_ns;
  return known_covariances(options, ofdm_grid(8, 2, 30e3))
      .frequency(arma::vec{f}, arma::vec{0.0})(0);
}

TEST(GridLmmse, OfAKnownProfileIsTheGenieOfUncorrelatedTaps) {
  for (const char* name : {"TDLC300-600", "TDLA30", "B"}) {
    TdlOptions tdl;
    tdl.profile = name;
    tdl.delay_spread_s = 200e-9;
    if (std::string(name) == "B") tdl.doppler_hz = 250.0;
    tdl.n_rx = 2;
    tdl.grid = ofdm_grid(36, 14, 15e3);  // symbol 7 comes later than the others
    const std::shared_ptr<const ObservationOperator> A = sim::make_observation(
        sim::make_grid_pilots(sim::parse_pilots("comb:3,symbols=2-11"), 1, tdl.grid, 3), 2);
    Rng rng = test_rng(21);
    Observation observation;
    observation.y = rng.cx_normal(A->n_obs(), 3);
    observation.sigma2 = 0.05;
    observation.per_element = true;
    GridLmmseOptions options;
    options.pdp = name;
    if (std::string(name) == "B") {
      options.delay_spread_ns = 200.0;
      options.doppler_hz = 250.0;
      options.knows_delay_spread = options.knows_doppler = true;
    }
    const Estimate known =
        make_grid_lmmse(A, known_covariances(options, tdl.grid))->estimate(observation);
    const Estimate genie =
        make_grid_genie(A, make_tdl(tdl)->grid_covariance()->on(tdl.grid))->estimate(observation);
    EXPECT_LT(arma::abs(known.h - genie.h).max(), 1e-5) << name;
    EXPECT_LT(arma::abs(known.element_mse - genie.element_mse).max(), 1e-6) << name;
    EXPECT_NEAR(known.mse(0) / genie.mse(0), 1.0, 1e-6) << name;
  }
}

TEST(GridLmmse, KnownProfilesHaveTheirTransform) {
  // Both by midpoints of their density: exp(-t / s) / s, and 1 / w on 0 .. w, w^2 / 12 = s^2.
  constexpr double s = 150e-9, two_pi = 6.283185307179586;
  for (const double f : {0.0, 1.0, 7.0, -3.0}) {
    const double hz = 30e3 * f;
    std::complex<double> exponential = 0.0, uniform = 0.0;
    constexpr int n = 200'000;
    for (int i = 0; i < n; ++i) {
      const double u = (i + 0.5) / n;
      exponential += std::polar(1.0 / n, two_pi * hz * s * std::log(1.0 - u));
      uniform += std::polar(1.0 / n, -two_pi * hz * s * std::sqrt(12.0) * u);
    }
    EXPECT_LT(std::abs(known_over("exponential", 150.0, f) - exponential), 1e-4) << f;
    EXPECT_LT(std::abs(known_over("uniform", 150.0, f) - uniform), 1e-8) << f;
  }
}

TEST(GridLmmse, WhatIsKnownMustFit) {
  const GridAxes grid = ofdm_grid(12, 1, 30e3);
  const auto with = [&](const auto& change) {
    GridLmmseOptions options;
    change(options);
    known_covariances(options, grid);
  };
  EXPECT_TRUE(refused([&] { with([](auto&) {}); }, "no profile is known"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.pdp = "TDLC30"; }); },
                      "pdp is 'TDLC30', there is no such file and no such profile; did you mean"));
  EXPECT_TRUE(
      refused([&] { with([](auto& o) { o.pdp = "TDLC300", o.knows_delay_spread = true; }); },
              "delay-spread is for exponential, uniform and A to E, TDLC300 has its own delays"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.pdp = "TDLC300-100", o.knows_doppler = true; }); },
                      "pdp=TDLC300-100 names its Doppler"));
  GridLmmseOptions options;
  options.pdp = "uniform";
  GridAxes unknown = grid;
  unknown.spacing_hz = 0.0;
  EXPECT_TRUE(refused([&] { known_covariances(options, unknown); }, "name it as in --grid @30"));
}

TEST(GridLmmse, AModelOfOneAntennaServesEachOfSeveral) {
  GridScene scene = grid_scene(3, 1, {12, 4}, "comb:2,symbols=0-3", 0.2);
  GridStatistics one = scene.statistics;
  one.R_rx.ones(1, 1);
  scene.statistics.R_rx.eye(3, 3);
  const Estimate a = make_grid_lmmse(scene.A, one)->estimate(scene.observation);
  const Estimate b = make_grid_lmmse(scene.A, scene.statistics)->estimate(scene.observation);
  EXPECT_EQ(arma::abs(a.h - b.h).max(), 0.0);
  one.R_rx.eye(2, 2);
  EXPECT_TRUE(refused([&] { make_grid_lmmse(scene.A, one); }, "2 receive antennas, the pilots 3"));
}

}  // namespace
}  // namespace chest
