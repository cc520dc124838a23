// Estimators of matrices as estimators of grids: what the inner one is given, and what becomes of it.
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <memory>
#include <string>
#include <vector>

#include <chest/angular.hpp>
#include <chest/archive.hpp>
#include <chest/covariance.hpp>
#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/estimators/grid/filters.hpp>
#include <chest/estimators/grid/grid_lmmse.hpp>
#include <chest/estimators/grid/plane_estimator.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/metrics.hpp>
#include <chest/pilot_pattern.hpp>
#include <chest/sim/pilots.hpp>

#include "tests/support/channel_fixtures.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

GridAxes grid_of(arma::uword n_subcarriers, arma::uword n_symbols) {
  GridAxes grid;
  grid.n_subcarriers = n_subcarriers;
  grid.n_symbols = n_symbols;
  return grid;
}

/// Correlation over subcarriers of an even spread of delays from 0 to `delay` over the symbol length.
arma::cx_vec spread_lags(arma::uword n, double delay) {
  arma::cx_vec r(n, arma::fill::zeros);
  constexpr int n_paths = 40;
  for (arma::uword k = 0; k < n; ++k) {
    for (int l = 0; l < n_paths; ++l) {
      r(k) += std::polar(1.0 / n_paths, -2.0 * M_PI * delay * l / n_paths * double(k));
    }
  }
  return r;
}

GridStatistics statistics_of(arma::uword n_rx, arma::uword n_subcarriers, arma::cx_vec r_t) {
  GridStatistics statistics;
  Rng rng = test_rng(5);
  statistics.R_rx = random_covariance(n_rx, rng);
  statistics.r_f = spread_lags(n_subcarriers, 0.05);
  statistics.r_t = std::move(r_t);
  return statistics;
}

std::shared_ptr<const ObservationOperator> observation_of(const std::string& pilots,
                                                          arma::uword n_rx, arma::uword n_tx,
                                                          const GridAxes& grid) {
  return sim::make_observation(sim::make_grid_pilots(sim::parse_pilots(pilots), n_tx, grid, 3),
                               n_rx);
}

/// Keeps what it is given, and gives it back.
class Recorder final : public Estimator {
 public:
  explicit Recorder(std::shared_ptr<const ObservationOperator> A) : A_(std::move(A)) {}
  std::string name() const override { return "recorder"; }
  const ObservationOperator& A() const override { return *A_; }

  mutable std::vector<Observation> seen;

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    seen.push_back(observation);
    out.h = observation.y;
  }
  std::shared_ptr<const ObservationOperator> A_;
};

struct Recorded {
  std::shared_ptr<const Recorder> inner;
  std::unique_ptr<Estimator> estimator;
};

Recorded record(std::shared_ptr<const ObservationOperator> A, const GridStatistics& statistics) {
  Recorded out;
  out.estimator = make_plane_estimator(std::make_shared<const PilotPlanes>("recorder", A),
                                       statistics, [&](auto A_plane) {
                                         out.inner = std::make_shared<const Recorder>(A_plane);
                                         return out.inner;
                                       });
  return out;
}

TEST(PlaneEstimator, SymbolsOfAChannelThatStandsStillAreOnePlaneOfTheirMean) {
  const GridAxes grid = grid_of(24, 4);
  const auto A = observation_of("comb:2,symbols=0-3", 3, 1, grid);
  const Recorded recorded = record(A, statistics_of(3, 24, arma::cx_vec(4, arma::fill::ones)));
  Observation observation;
  Rng rng = test_rng(1);
  observation.y = rng.cx_normal(A->n_obs(), 2);
  observation.sigma2 = 0.3;
  const Estimate estimate = recorded.estimator->estimate(observation);
  ASSERT_EQ(recorded.inner->seen.size(), 1u);
  const Observation& plane = recorded.inner->seen.front();
  EXPECT_NEAR(plane.sigma2, 0.15, 1e-12);
  // z of each symbol: y over the pilots.
  const arma::cx_mat z = A->pseudo_inverse(observation.y);
  for (arma::uword k = 0; k < 2; ++k) {
    for (arma::uword i = 0; i < 12; ++i) {
      for (arma::uword r = 0; r < 3; ++r) {
        const arma::uword first = (2 * i) * 3 + r, second = (3 * 24 + 2 * i) * 3 + r;
        const std::complex<double> mean = 0.5 * (z(first, k) + z(second, k));
        EXPECT_LT(std::abs(plane.y(i * 3 + r, k) - mean), 1e-12);
      }
    }
  }
  // All symbols have the same estimate.
  for (arma::uword s = 1; s < 4; ++s) {
    const arma::cx_mat here = estimate.h.rows(s * 72, s * 72 + 71), first = estimate.h.rows(0, 71);
    EXPECT_LT(arma::abs(here - first).max(), 1e-12);
  }
}

TEST(PlaneEstimator, PlanesOfAMovingChannelAreUncorrelatedWithPowerOne) {
  const arma::cx_vec r_t{1.0, 0.9, 0.7, 0.4};
  const GridAxes grid = grid_of(8, 4);
  const auto A = observation_of("comb:1,symbols=0-3", 1, 1, grid);
  const Recorded recorded = record(A, statistics_of(1, 8, r_t));
  // Time courses of covariance toeplitz(r_t), constant over subcarriers, without noise.
  const arma::vec at = arma::regspace(0.0, 3.0);
  const arma::cx_mat L = covariance_factor(toeplitz_covariance(r_t, at, at));
  Rng rng = test_rng(2);
  constexpr arma::uword n = 4000;
  const arma::cx_mat courses = L * rng.cx_normal(4, n);
  const arma::cx_mat h = arma::kron(courses, arma::cx_mat(8, 1, arma::fill::ones));
  Observation observation;
  observation.y = A->apply(h);
  observation.sigma2 = 0.1;
  recorded.estimator->estimate(observation);
  ASSERT_EQ(recorded.inner->seen.size(), 2u);
  const arma::cx_rowvec first = recorded.inner->seen[0].y.row(0);
  const arma::cx_rowvec second = recorded.inner->seen[1].y.row(0);
  // Six standard deviations of a mean of n products of unit variance: a risk below 1e-8.
  const double bound = 6.0 / std::sqrt(double(n));
  EXPECT_NEAR(arma::norm(first) * arma::norm(first) / n, 1.0, bound);
  EXPECT_NEAR(arma::norm(second) * arma::norm(second) / n, 1.0, bound);
  EXPECT_LT(std::abs(arma::cdot(first, second)) / n, bound);
  // Eigenvalues of [1 0.4; 0.4 1] are 1.4 and 0.6.
  EXPECT_NEAR(recorded.inner->seen[0].sigma2, 0.1 / 1.4, 1e-12);
  EXPECT_NEAR(recorded.inner->seen[1].sigma2, 0.1 / 0.6, 1e-12);
}

TEST(PlaneEstimator, OnAGaussianPriorItIsTheJointLinearEstimator) {
  const arma::uword n_rx = 4;
  const GridAxes grid = grid_of(48, 1);
  const auto A = observation_of("comb:4", n_rx, 2, grid);
  const GridStatistics statistics = statistics_of(n_rx, 48, arma::cx_vec(1, arma::fill::ones));
  const auto planes = std::make_shared<const PilotPlanes>("lmmse", A);
  const auto plane = make_plane_estimator(planes, statistics, [&](auto A_plane) {
    const arma::vec& at = planes->port(0).subcarriers;
    const arma::cx_mat C = arma::kron(toeplitz_covariance(statistics.r_f, at, at), statistics.R_rx);
    return std::shared_ptr<const Estimator>(make_lmmse(A_plane, C));
  });
  const auto joint = make_grid_lmmse(A, statistics);
  const arma::vec all = arma::regspace(0.0, 47.0);
  const arma::cx_mat C_f = toeplitz_covariance(statistics.r_f, all, all);
  const arma::cx_mat C =
      arma::kron(C_f, arma::kron(arma::cx_mat(2, 2, arma::fill::eye), statistics.R_rx));
  Rng rng = test_rng(3);
  const arma::cx_mat h = covariance_factor(C) * rng.cx_normal(C.n_rows, 300);
  for (const double sigma2 : {1.0, 0.01}) {
    Observation observation;
    observation.sigma2 = sigma2;
    observation.y = A->apply(h) + std::sqrt(sigma2) * rng.cx_normal(A->n_obs(), 300);
    observation.per_element = true;
    const Estimate a = plane->estimate(observation), b = joint->estimate(observation);
    const double nmse_a = arma::accu(squared_errors(a.h, h)) / arma::accu(squared_norms(h));
    const double nmse_b = arma::accu(squared_errors(b.h, h)) / arma::accu(squared_norms(h));
    // The filter over frequency takes a part of the error for white, which costs a little.
    EXPECT_LT(nmse_a, 1.03 * nmse_b) << sigma2;
    EXPECT_GT(nmse_a, 0.97 * nmse_b) << sigma2;
    const double predicted = arma::mean(a.mse) / double(h.n_rows);
    EXPECT_NEAR(predicted / nmse_a, 1.0, 0.12) << sigma2;
    EXPECT_EQ(a.element_mse.n_rows, h.n_rows / n_rx);
    EXPECT_NEAR(n_rx * arma::accu(a.element_mse.col(0)), a.mse(0), 1e-9 * a.mse(0));
  }
}

TEST(PlaneEstimator, StatisticsOfOneAntennaMakeAPlaneOfEach) {
  const GridAxes grid = grid_of(24, 1);
  const auto A = observation_of("comb:2", 3, 2, grid);
  const auto A_one = observation_of("comb:2", 1, 2, grid);
  const Recorded recorded = record(A, statistics_of(1, 24, arma::cx_vec(1, arma::fill::ones)));
  const Recorded alone = record(A_one, statistics_of(1, 24, arma::cx_vec(1, arma::fill::ones)));
  Observation observation;
  Rng rng = test_rng(8);
  observation.y = rng.cx_normal(A->n_obs(), 2);
  observation.sigma2 = 0.3;
  const Estimate estimate = recorded.estimator->estimate(observation);
  EXPECT_EQ(recorded.inner->seen.front().y.n_rows, 12u);
  EXPECT_EQ(recorded.inner->seen.front().y.n_cols, 12u);  // 2 samples, 2 ports, 3 antennas
  for (arma::uword a = 0; a < 3; ++a) {
    Observation part = observation;
    part.y = observation.y.rows(arma::regspace<arma::uvec>(a, 3, observation.y.n_rows - 1));
    const arma::cx_mat h = estimate.h.rows(arma::regspace<arma::uvec>(a, 3, estimate.h.n_rows - 1));
    EXPECT_LT(arma::abs(alone.estimator->estimate(part).h - h).max(), 1e-13) << a;
  }
  EXPECT_TRUE(refused([&] { record(A, statistics_of(2, 24, arma::cx_vec(1, arma::fill::ones))); },
                      "the model has 2 receive antennas, the pilots 3"));
}

/// A comb of which some pilots are left out, one port.
std::shared_ptr<const ObservationOperator> comb_with_holes(const arma::uvec& subcarriers,
                                                           arma::uword n_rx, const GridAxes& grid) {
  PilotPattern pattern;
  pattern.grid = grid;
  pattern.subcarrier = subcarriers;
  pattern.symbol.zeros(subcarriers.n_elem);
  pattern.group = arma::regspace<arma::uvec>(0, subcarriers.n_elem - 1);
  pattern.x.ones(1, subcarriers.n_elem);
  return make_grid_observation(pattern, n_rx);
}

TEST(PlaneEstimator, HolesOfARasterAreFilled) {
  // A comb of 2 over 48 subcarriers without the five pilots from 20 to 28.
  const arma::uvec at =
      arma::join_cols(arma::regspace<arma::uvec>(0, 2, 18), arma::regspace<arma::uvec>(30, 2, 46));
  const GridAxes grid = grid_of(48, 1);
  const auto A = comb_with_holes(at, 2, grid);
  const GridStatistics statistics = statistics_of(2, 48, arma::cx_vec(1, arma::fill::ones));
  const auto planes = std::make_shared<const PilotPlanes>("lmmse", A);
  const PilotRaster raster = raster_of(planes->port(0).subcarriers);
  EXPECT_EQ(raster.step, 2.0);
  EXPECT_EQ(raster.positions.n_elem, 24u);
  EXPECT_FALSE(raster.is_whole());
  arma::uword n_columns = 0;
  const auto plane = make_plane_estimator(planes, statistics, [&](auto A_plane) {
    n_columns = A_plane->n_h() / 2;
    const arma::cx_mat C = arma::kron(
        toeplitz_covariance(statistics.r_f, raster.positions, raster.positions), statistics.R_rx);
    return std::shared_ptr<const Estimator>(make_lmmse(A_plane, C));
  });
  EXPECT_EQ(n_columns, 24u);
  // The fixed point is the joint linear estimate, which four fillings come close to.
  const auto joint = make_grid_lmmse(A, statistics);
  const arma::vec all = arma::regspace(0.0, 47.0);
  const arma::cx_mat C = arma::kron(toeplitz_covariance(statistics.r_f, all, all), statistics.R_rx);
  Rng rng = test_rng(9);
  const arma::cx_mat h = covariance_factor(C) * rng.cx_normal(C.n_rows, 300);
  for (const double sigma2 : {1.0, 0.1, 0.01}) {
    Observation observation;
    observation.sigma2 = sigma2;
    observation.y = A->apply(h) + std::sqrt(sigma2) * rng.cx_normal(A->n_obs(), 300);
    const Estimate a = plane->estimate(observation), b = joint->estimate(observation);
    const double ratio = arma::accu(squared_errors(a.h, h)) / arma::accu(squared_errors(b.h, h));
    EXPECT_LT(ratio, 1.08) << sigma2;
    EXPECT_GT(ratio, 0.97) << sigma2;
  }
}

TEST(PilotRaster, IsFoundWhereHalfOfItIsThere) {
  const PilotRaster whole = raster_of({1.5, 5.5, 9.5});
  EXPECT_EQ(whole.step, 4.0);
  EXPECT_TRUE(whole.is_whole());
  const PilotRaster half = raster_of({0.0, 2.0, 6.0, 8.0});
  EXPECT_EQ(half.step, 2.0);
  EXPECT_TRUE(arma::all(half.observed == arma::uvec{0, 1, 3, 4}));
  EXPECT_EQ(raster_of({0.0, 1.0, 100.0}).step, 0.0);
  EXPECT_EQ(raster_of({0.0, 1.0 / 3.0}).step, 0.0);
  EXPECT_EQ(raster_of({7.0}).step, 0.0);
}

TEST(PlaneEstimator, ChangesMayBeEstimatedLinearly) {
  const arma::cx_vec r_t{1.0, 0.9, 0.7, 0.4};
  const GridAxes grid = grid_of(24, 4);
  const auto A = observation_of("comb:2,symbols=0-3", 2, 1, grid);
  const GridStatistics statistics = statistics_of(2, 24, r_t);
  const auto planes = std::make_shared<const PilotPlanes>("recorder", A);
  std::shared_ptr<const Recorder> recorder;
  const auto estimator = make_plane_estimator(
      planes, statistics,
      [&](auto A_plane) {
        recorder = std::make_shared<const Recorder>(A_plane);
        return std::shared_ptr<const Estimator>(recorder);
      },
      /*has_linear_differences=*/true);
  Observation observation;
  Rng rng = test_rng(10);
  observation.y = rng.cx_normal(A->n_obs(), 2);
  observation.sigma2 = 0.3;
  const arma::cx_mat h = estimator->estimate(observation).h;
  EXPECT_EQ(recorder->seen.size(), 1u);  // the plane of the mean alone
  // The other plane alone: what is left where the first one is taken away.
  const Recorded both = record(A, statistics);
  both.estimator->estimate(observation);
  ASSERT_EQ(both.inner->seen.size(), 2u);
  const Observation& difference = both.inner->seen[1];
  const arma::vec& at = planes->port(0).subcarriers;
  const arma::cx_mat C = arma::kron(toeplitz_covariance(statistics.r_f, at, at), statistics.R_rx);
  const auto by_hand = make_plane_estimator(planes, statistics, [&](auto A_plane) {
    struct One final : Estimator {
      std::shared_ptr<const ObservationOperator> A_plane;
      std::unique_ptr<Estimator> linear;
      double of_difference = 0.0;
      std::string name() const override { return "one"; }
      const ObservationOperator& A() const override { return *A_plane; }
      void do_estimate(const Observation& seen, Estimate& out) const override {
        if (std::abs(seen.sigma2 - of_difference) < 1e-9) {
          out.h = linear->estimate(seen).h;
        } else {
          out.h = seen.y;
        }
      }
    };
    auto one = std::make_shared<One>();
    one->A_plane = A_plane;
    one->linear = make_lmmse(A_plane, C);
    one->of_difference = difference.sigma2;
    return std::shared_ptr<const Estimator>(one);
  });
  EXPECT_LT(arma::abs(by_hand->estimate(observation).h - h).max(), 1e-6);
}

TEST(PlaneEstimator, TheErrorIsMultipliedByWhatWasMeasured) {
  const GridAxes grid = grid_of(16, 1);
  const auto A = observation_of("comb:2", 2, 1, grid);
  GridStatistics statistics = statistics_of(2, 16, arma::cx_vec(1, arma::fill::ones));
  const auto predicted = [&] {
    const auto estimator = make_plane_estimator(
        std::make_shared<const PilotPlanes>("lmmse", A), statistics, [](auto A_plane) {
          return std::shared_ptr<const Estimator>(
              make_lmmse(A_plane, arma::cx_mat(16, 16, arma::fill::eye)));
        });
    Observation observation;
    observation.y.zeros(A->n_obs(), 1);
    observation.sigma2 = 0.1;
    return estimator->estimate(observation).mse(0);
  };
  const double before = predicted();
  statistics.error_snr_db = {0.0, 20.0};
  statistics.error_steps = {1.0};
  statistics.error_subcarriers = {1.0};
  statistics.error_ratio = arma::vec{1.0, 4.0};
  EXPECT_NEAR(predicted() / before, 2.0, 1e-12);  // 10 dB: the logarithm in the middle
}

TEST(PlaneEstimator, APanelIsMixedOnTheWayInAndOut) {
  const PanelShape panel{2, 3, 2};
  const arma::cx_mat W = panel_mix(panel, 12);
  EXPECT_LT(arma::abs(W * W.t() - arma::cx_mat(12, 12, arma::fill::eye)).max(), 1e-12);
  // A plane wave on one polarisation, at angles of the transform, is one bin.
  arma::cx_vec wave(12, arma::fill::zeros);
  for (arma::uword c = 0; c < 3; ++c) {
    for (arma::uword r = 0; r < 2; ++r) {
      wave((1 * 3 + c) * 2 + r) = std::polar(1.0, 2.0 * M_PI * (double(c) / 3.0 + double(r) / 2.0));
    }
  }
  const arma::vec bins = arma::abs(dft_matrix(12) * W * wave);
  EXPECT_NEAR(bins((1 * 2 + 1) * 3 + 1), std::sqrt(6.0), 1e-12);
  EXPECT_NEAR(arma::norm(bins), std::sqrt(6.0), 1e-12);

  const GridAxes grid = grid_of(8, 1);
  const auto A = observation_of("comb:2", 12, 1, grid);
  GridStatistics statistics = statistics_of(12, 8, arma::cx_vec(1, arma::fill::ones));
  const Recorded line = record(A, statistics);
  statistics.rx_panel = panel;
  const Recorded mixed = record(A, statistics);
  Observation observation;
  Rng rng = test_rng(4);
  observation.y = rng.cx_normal(A->n_obs(), 1);
  observation.sigma2 = 0.1;
  const arma::cx_mat h = line.estimator->estimate(observation).h;
  EXPECT_LT(arma::abs(mixed.estimator->estimate(observation).h - h).max(), 1e-12);
  const arma::cx_mat z = arma::reshape(line.inner->seen.front().y, 12, 4);
  const arma::cx_mat z_mixed = arma::reshape(mixed.inner->seen.front().y, 12, 4);
  EXPECT_LT(arma::abs(z_mixed - W * z).max(), 1e-12);
  EXPECT_TRUE(refused([] { panel_mix({2, 3, 1}, 12); }, "the panel 2x3x1 has 6 antennas"));
}

TEST(PlaneEstimator, AModelForOffsetsInterpolatesChannelsThatComeEarly) {
  // One path half a cyclic prefix before the symbol, where the fitted profile has no power.
  const GridAxes grid = grid_of(240, 1);
  const auto A = observation_of("comb:4", 1, 1, grid);
  GridStatistics statistics = statistics_of(1, 240, arma::cx_vec(1, arma::fill::ones));
  arma::cx_mat h(240, 1);
  for (arma::uword f = 0; f < 240; ++f) h(f) = std::polar(1.0, 2.0 * M_PI * 0.0352 * double(f));
  Observation observation;
  observation.y = A->apply(h);
  observation.sigma2 = 0.01;
  const auto nmse = [&] {
    const Recorded recorded = record(A, statistics);
    return arma::accu(squared_errors(recorded.estimator->estimate(observation).h, h)) / 240.0;
  };
  EXPECT_GT(nmse(), 0.1);
  statistics.least_step = 2;
  statistics.most_step = 6;
  EXPECT_LT(nmse(), 0.004);
}

TEST(GridStatistics, AreThoseOfTheChannelsWithinTheirSpread) {
  // Two paths of power 1/2 at delays of 1/32 and 5/32 of the symbol, Doppler of 1/40 and -1/25 a symbol.
  const arma::uword n_rx = 2, n_f = 16, n_s = 5, n = 3000;
  Rng rng = test_rng(6);
  arma::cx_mat h(n_rx * n_f * n_s, n, arma::fill::zeros);
  const double delays[] = {1.0 / 32.0, 5.0 / 32.0}, dopplers[] = {1.0 / 40.0, -1.0 / 25.0};
  for (arma::uword k = 0; k < n; ++k) {
    const arma::cx_mat gains = rng.cx_normal(n_rx, 2) * std::sqrt(0.5);
    for (arma::uword s = 0, i = 0; s < n_s; ++s) {
      for (arma::uword f = 0; f < n_f; ++f) {
        for (arma::uword r = 0; r < n_rx; ++r, ++i) {
          for (int l = 0; l < 2; ++l) {
            h(i, k) +=
                gains(r, l) *
                std::polar(1.0, 2.0 * M_PI * (dopplers[l] * double(s) - delays[l] * double(f)));
          }
        }
      }
    }
  }
  const GridStatistics found =
      fit_grid_statistics(samples_in_memory(h, n_rx, 1, grid_of(n_f, n_s)));
  // Path powers, of 6000 exponential variables each, are within 6 standard deviations: a risk below 1e-8.
  const double bound = 6.0 * std::sqrt(2.0) * 0.5 / std::sqrt(6000.0) * 2.0;
  for (arma::uword k = 0; k < n_f; ++k) {
    std::complex<double> expected = 0.0;
    for (const double delay : delays) expected += std::polar(0.5, -2.0 * M_PI * delay * double(k));
    EXPECT_LT(std::abs(found.r_f(k) - expected), bound) << k;
  }
  for (arma::uword k = 0; k < n_s; ++k) {
    std::complex<double> expected = 0.0;
    for (const double f : dopplers) expected += std::polar(0.5, 2.0 * M_PI * f * double(k));
    EXPECT_LT(std::abs(found.r_t(k) - expected), bound) << k;
  }
  EXPECT_NEAR(arma::trace(found.R_rx).real(), 2.0, 1e-12);
}

TEST(GridStatistics, FittedDelaysAreNotNegative) {
  // Paths between the points of any raster; few channels, so that the averages alone are indefinite.
  const arma::uword n_f = 96, n = 12;
  Rng rng = test_rng(12);
  const arma::vec delays{0.0, 0.0071, 0.0103, 0.0287, 0.051};
  arma::cx_mat h(2 * n_f, n, arma::fill::zeros);
  for (arma::uword k = 0; k < n; ++k) {
    const arma::cx_mat gains = rng.cx_normal(2, delays.n_elem) * std::sqrt(1.0 / 5.0);
    for (arma::uword f = 0; f < n_f; ++f)
      for (arma::uword l = 0; l < delays.n_elem; ++l)
        for (arma::uword r = 0; r < 2; ++r)
          h(f * 2 + r, k) += gains(r, l) * std::polar(1.0, -2.0 * M_PI * delays(l) * double(f));
  }
  const GridStatistics found = fit_grid_statistics(samples_in_memory(h, 2, 1, grid_of(n_f, 1)));
  // The averages of all pairs at one distance.
  arma::cx_vec r(n_f, arma::fill::zeros);
  for (arma::uword lag = 0; lag < n_f; ++lag) {
    for (arma::uword f = 0; f + lag < n_f; ++f)
      for (arma::uword k = 0; k < n; ++k)
        for (arma::uword a = 0; a < 2; ++a)
          r(lag) += h((f + lag) * 2 + a, k) * std::conj(h(f * 2 + a, k)) / double(n_f - lag);
  }
  r /= r(0).real();
  const arma::vec at = arma::regspace(0.0, double(n_f) - 1.0);
  arma::vec values, averaged;
  arma::cx_mat vectors;
  hermitian_eigen(toeplitz_covariance(r, at, at), averaged, vectors);
  hermitian_eigen(toeplitz_covariance(found.r_f, at, at), values, vectors);
  EXPECT_LT(averaged.min(), -1e-2);
  EXPECT_GT(values.min(), -1e-10);
  // Near lags, of which there are many pairs, stay what they are.
  EXPECT_LT(arma::abs(found.r_f.head(24) - r.head(24)).max(), 0.01);
}

TEST(GridStatistics, DelaysOnTheRasterAreFoundExactly) {
  // Delays n / 512 of the symbol lie on the raster of 64 lags; no noise.
  arma::cx_vec r(64, arma::fill::zeros);
  for (arma::uword k = 0; k < 64; ++k)
    for (const double n : {500.0, 0.0, 10.0, 31.0})
      r(k) += std::polar(0.25, -2.0 * M_PI * n / 512.0 * double(k));
  const arma::cx_vec found = nonnegative_delays(r);
  EXPECT_LT(arma::abs(found - r).max(), 2e-3);
  EXPECT_EQ(nonnegative_delays(arma::cx_vec(1, arma::fill::ones)).n_elem, 1u);
}

TEST(GridStatistics, OfAnotherSpacingAreThoseOfEverySecondSubcarrier) {
  GridStatistics statistics;
  statistics.spacing_hz = 15e3;
  statistics.symbol_s = 1e-3 / 14.0;
  statistics.R_rx.ones(1, 1);
  statistics.r_f = spread_lags(21, 0.03);
  statistics.r_t.set_size(14);
  const auto slow = [](double s) { return std::polar(::j0(0.3 * s), 0.05 * s); };
  for (arma::uword k = 0; k < 14; ++k) statistics.r_t(k) = slow(double(k));
  statistics.error_snr_db = {0.0};
  // The second step does not resolve twice the prefix of 15 kHz.
  statistics.error_steps = {4.0, 8.0};
  statistics.error_subcarriers = {48.0, 48.0};
  statistics.error_ratio.ones(1, 2);
  const GridStatistics wide = statistics.at_spacing(30e3);
  ASSERT_EQ(wide.r_f.n_elem, 11u);
  ASSERT_EQ(wide.r_t.n_elem, 27u);
  EXPECT_EQ(wide.r_f(7), statistics.r_f(14));
  EXPECT_EQ(wide.error_subcarriers(0), 24.0);
  EXPECT_EQ(wide.error_steps(0), 2.0);
  EXPECT_EQ(wide.error_ratio.n_cols, 1u);
  EXPECT_NEAR(wide.symbol_s, 1e-3 / 28.0, 1e-15);
  // Cubics through lags a fifth of a radian apart.
  for (arma::uword k = 0; k < 27; ++k)
    EXPECT_LT(std::abs(wide.r_t(k) - slow(0.5 * double(k))), 3e-4) << k;
  EXPECT_EQ(statistics.spacing_ratio(45e3), 3u);
  EXPECT_EQ(statistics.spacing_ratio(20e3), 0u);
  EXPECT_EQ(statistics.spacing_ratio(0.0), 1u);
  EXPECT_TRUE(refused([&] { statistics.at_spacing(20e3); }, "expected a multiple"));
}

TEST(GridStatistics, ErrorsOfBandsAreInterpolatedAndKept) {
  const test::TemporaryFolder folder;
  GridStatistics statistics = statistics_of(2, 16, arma::cx_vec(1, arma::fill::ones));
  statistics.plane_step = 4;
  statistics.error_snr_db = {0.0, 20.0};
  statistics.error_steps = {2.0, 4.0, 4.0};
  statistics.error_subcarriers = {100.0, 100.0, 400.0};
  statistics.error_ratio = arma::mat{{5.0, 1.0, 4.0}, {5.0, 2.0, 8.0}};
  EXPECT_EQ(statistics.linear_ratio_at(1.0, 4.0, 200.0), arma::datum::inf);
  statistics.linear_ratio = 0.1 * statistics.error_ratio;
  EXPECT_NEAR(statistics.error_ratio_at(1.0, 4.0, 200.0), 2.0, 1e-12);
  EXPECT_NEAR(statistics.error_ratio_at(0.1, 6.0, 400.0), std::sqrt(32.0), 1e-12);
  EXPECT_NEAR(statistics.error_ratio_at(1e-9, 4.0, 1.0), 2.0, 1e-12);
  EXPECT_NEAR(statistics.error_ratio_at(1.0, 2.0, 1e5), 5.0, 1e-12);
  EXPECT_NEAR(statistics.linear_ratio_at(1.0, 4.0, 200.0), 0.2, 1e-12);
  EXPECT_EQ(statistics.sparse_weight_at(1.0, 4.0, 200.0), 0.0);
  statistics.sparse_weight = arma::mat{{0.0, 0.0, 0.4}, {0.9, 0.5, 1.0}};
  // Halfway between the bands, on their logarithm, and between the SNRs.
  EXPECT_NEAR(statistics.sparse_weight_at(1.0, 4.0, 200.0), 0.2, 1e-12);
  EXPECT_NEAR(statistics.sparse_weight_at(0.1, 4.0, 400.0), 0.7, 1e-12);
  EXPECT_NEAR(statistics.sparse_weight_at(1e-5, 2.0, 100.0), 0.9, 1e-12);
  EXPECT_EQ(statistics.sparse_weight_at(1e-7, 2.0, 100.0), 0.0);
  const auto file = folder.path() / "statistics.h5";
  {
    ArchiveWriter archive(file);
    write_grid_statistics(archive, statistics);
    archive.commit();
  }
  const GridStatistics again = read_grid_statistics(ArchiveReader(file), 2);
  EXPECT_EQ(again.error_ratio_at(0.1, 4.0, 300.0), statistics.error_ratio_at(0.1, 4.0, 300.0));
  EXPECT_EQ(again.linear_ratio_at(0.1, 2.0, 300.0), statistics.linear_ratio_at(0.1, 2.0, 300.0));
  EXPECT_EQ(again.sparse_weight_at(0.1, 4.0, 300.0), statistics.sparse_weight_at(0.1, 4.0, 300.0));
  statistics.sparse_weight(0, 0) = 1.5;
  {
    ArchiveWriter archive(folder.path() / "damaged.h5");
    write_grid_statistics(archive, statistics);
    archive.commit();
  }
  EXPECT_THROW(read_grid_statistics(ArchiveReader(folder.path() / "damaged.h5"), 2), Error);
}

TEST(PlaneEstimator, LinearMmseRunsWhereItWasMeasuredToBeBetter) {
  const GridAxes grid = grid_of(48, 1);
  const auto A = observation_of("comb:4", 3, 1, grid);
  GridStatistics statistics = statistics_of(3, 48, arma::cx_vec(1, arma::fill::ones));
  statistics.error_snr_db = {0.0, 20.0};
  statistics.error_steps = {4.0};
  statistics.error_subcarriers = {48.0};
  statistics.error_ratio = arma::vec{1.0, 1.0};
  statistics.linear_ratio = arma::vec{0.5, 2.0};
  const Recorded recorded = record(A, statistics);
  Observation observation;
  Rng rng = test_rng(13);
  observation.y = rng.cx_normal(A->n_obs(), 2);
  observation.sigma2 = 0.8;
  const Estimate linear = make_grid_lmmse(A, statistics)->estimate(observation);
  const Estimate estimate = recorded.estimator->estimate(observation);
  EXPECT_TRUE(recorded.inner->seen.empty());
  EXPECT_EQ(arma::abs(estimate.h - linear.h).max(), 0.0);
  EXPECT_EQ(estimate.mse(1), linear.mse(1));
  EXPECT_EQ(recorded.estimator->method(0.8), "lmmse");
  observation.sigma2 = 0.02;
  recorded.estimator->estimate(observation);
  EXPECT_EQ(recorded.inner->seen.size(), 1u);
  EXPECT_EQ(recorded.estimator->method(0.02), "");
}

TEST(PlaneSamples, HoldTheColumnsOfTheGrid) {
  const arma::uword n_rx = 2, n_tx = 2, n_f = 10, n_s = 3, n = 7, step = 4;
  Rng rng = test_rng(7);
  const arma::cx_mat h = rng.cx_normal(n_rx * n_tx * n_f * n_s, n);
  const SampleReader planes =
      plane_samples(samples_in_memory(h, n_rx, n_tx, grid_of(n_f, n_s)), step);
  ASSERT_EQ(planes.n_samples, n * n_tx);
  ASSERT_EQ(planes.n_tx, 2u);
  const arma::cx_mat all = planes.read(0, n * n_tx);
  for (arma::uword i = 0; i < n * n_tx; ++i) {
    // Somewhere in its sample and port, both columns stand a step apart.
    const arma::cx_cube H(const_cast<std::complex<double>*>(h.colptr(i / n_tx)), n_rx, n_tx,
                          n_f * n_s, true);
    bool found = false;
    for (arma::uword at = 0; at + step < n_f * n_s; ++at) {
      const arma::cx_vec first = H.slice(at).col(i % n_tx),
                         second = H.slice(at + step).col(i % n_tx);
      found |= arma::approx_equal(arma::join_cols(first, second), all.col(i), "absdiff", 0.0) &&
               at / n_f == (at + step) / n_f;
    }
    EXPECT_TRUE(found) << i;
    EXPECT_TRUE(arma::approx_equal(planes.read(i, 1), all.col(i), "absdiff", 0.0));
  }
}

TEST(AxisFilter, TheTransformInterpolatesWhatIsWithinItsTaps) {
  // A delay on the grid of the pilots' transform is carried exactly.
  const arma::vec inputs = arma::regspace(1.0, 4.0, 61.0);  // 16 pilots
  const AxisFilter filter = dft_filter(inputs, 4.0, 64, 8);
  for (const double tap : {-2.0, 0.0, 5.0}) {
    arma::cx_mat z(1, 16), h(1, 64), found;
    for (arma::uword i = 0; i < 16; ++i)
      z(0, i) = std::polar(1.0, -2.0 * M_PI * tap * inputs(i) / 64.0);
    for (arma::uword f = 0; f < 64; ++f)
      h(0, f) = std::polar(1.0, -2.0 * M_PI * tap * double(f) / 64.0);
    filter.apply(z, found);
    EXPECT_LT(arma::abs(found - h).max(), 1e-10) << tap;
  }
}

}  // namespace
}  // namespace chest
