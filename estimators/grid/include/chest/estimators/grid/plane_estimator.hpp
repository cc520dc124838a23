#pragma once

#include <functional>
#include <memory>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/grid/pilot_planes.hpp>

namespace chest {
inline namespace v0 {

/// Any estimator of matrices as one of grids. The channel of a port at its pilots is a plane,
/// antennas x subcarriers, that the inner estimator sees as a matrix with A = I; what it finds is
/// carried to all subcarriers and symbols by linear MMSE filters.
///
/// Statistics of one antenna alone (R_rx is 1x1) are for antennas that know nothing of each other: each
/// is then a plane of its own, of one row.
///
/// Pilots on several symbols: with R_t = U L U^H of the pilot symbols, the planes U^H z / sqrt(l_i)
/// are uncorrelated, of power 1 and noise sigma2 / l_i; each is estimated by itself. Symbols of a
/// channel that stands still so become one plane with the noise of their mean.
///
/// Pilots of one raster of which some are left out, in a guard band or at zero frequency: the inner
/// estimator sees the whole raster, whose holes linear MMSE fills at first and then, four times, what it
/// found there itself.
///
/// Where linear MMSE was measured to be better (GridStatistics::linear_ratio), it is what runs, and
/// method() says so.
///
/// Predicts the error where the inner estimator does: its own at the pilots, carried to the other
/// elements, and what the filters add.
///
/// @param planes      of A
/// @param statistics  over frequency and time, as the inner estimator's model has them
/// @param make_inner  makes the inner estimator for A = I, channels [n_rx, n_columns], n_rx of the
///                    statistics
/// @param has_linear_differences  planes but the strongest, the changes between the pilot symbols, are
///                    estimated by linear MMSE: for a prior of channels that their changes do not follow
/// @throws Error(invalid_argument) if the ports' pilots differ in more than their place, or the grid
///         has more symbols than the statistics, or other receive antennas
std::unique_ptr<Estimator> make_plane_estimator(
    std::shared_ptr<const PilotPlanes> planes, const GridStatistics& statistics,
    const std::function<
        std::shared_ptr<const Estimator>(std::shared_ptr<const ObservationOperator>)>& make_inner,
    bool has_linear_differences = false);

struct PlaneOptions {
  double doppler_hz = 0.0;  ///< largest, in place of the model's correlation over symbols
  bool knows_doppler = false;
};
inline constexpr auto plane_options = options_of<PlaneOptions>(
    option("doppler", &PlaneOptions::doppler_hz, within(0, 1e6), "known largest Doppler in Hz")
        .also([](PlaneOptions& o) { o.knows_doppler = true; })
        .default_is("the model's"));
/// r_t of a channel of this largest Doppler, [n_symbols].
arma::cx_vec doppler_lags(double doppler_hz, const GridAxes& grid);

/// Statistics for want of fitted ones: all delays within the cyclic prefix and a tenth of it before,
/// equally strong, and a channel that stands still over the grid.
GridStatistics unfitted_statistics(arma::uword n_rx, const GridAxes& grid);

}  // namespace v0
}  // namespace chest
