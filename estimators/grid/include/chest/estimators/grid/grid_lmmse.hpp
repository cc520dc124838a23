#pragma once

#include <armadillo>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/grid/pilot_planes.hpp>

namespace chest {
inline namespace v0 {

/// Over which axes filters run at a time: all at once, or one after the other (f subcarriers, t symbols,
/// s receive antennas).
enum class GridLmmseOrder { joint, f, fs, sf, ft, tf, fts, fst, tfs, tsf, sft, stf };
inline constexpr std::pair<GridLmmseOrder, const char*> grid_lmmse_order_names[] = {
    {GridLmmseOrder::joint, "joint"}, {GridLmmseOrder::f, "f"},
    {GridLmmseOrder::fs, "f-s"},      {GridLmmseOrder::sf, "s-f"},
    {GridLmmseOrder::ft, "f-t"},      {GridLmmseOrder::tf, "t-f"},
    {GridLmmseOrder::fts, "f-t-s"},   {GridLmmseOrder::fst, "f-s-t"},
    {GridLmmseOrder::tfs, "t-f-s"},   {GridLmmseOrder::tsf, "t-s-f"},
    {GridLmmseOrder::sft, "s-f-t"},   {GridLmmseOrder::stf, "s-t-f"}};

struct GridLmmseOptions {
  GridLmmseOrder order = GridLmmseOrder::joint;
  /// A known power-delay profile, in place of a fitted model: exponential, uniform, a name that
  /// delay_profile() knows, or a file that read_delay_profile() reads. Empty: not known.
  std::string pdp = {};
  double delay_spread_ns = 100.0;  ///< rms, of exponential, uniform and A to E
  bool knows_delay_spread = false;
  double doppler_hz = 0.0;  ///< largest, in place of the model's correlation over symbols
  bool knows_doppler = false;

  bool knows_profile() const { return !pdp.empty() || knows_delay_spread; }
  std::string why_invalid() const;
};
inline constexpr auto grid_lmmse_options = options_of<GridLmmseOptions>(
    option("order", &GridLmmseOptions::order, grid_lmmse_order_names,
           "all axes at once, or one after another (f subcarriers, t symbols, s antennas)"),
    option(
        "pdp", &GridLmmseOptions::pdp, "NAME|FILE",
        "known power over delay, without a model: exponential, uniform, A .. E, TDLC300 .., or a "
        "file of delays in ns and powers in dB")
        .default_is("the model's"),
    option("delay-spread", &GridLmmseOptions::delay_spread_ns, within(0, 1e6),
           "known rms delay spread in ns, of exponential, uniform and A .. E")
        .also([](GridLmmseOptions& o) { o.knows_delay_spread = true; })
        .default_is("the model's; 100 with pdp"),
    option("doppler", &GridLmmseOptions::doppler_hz, within(0, 1e6), "known largest Doppler in Hz")
        .also([](GridLmmseOptions& o) { o.knows_doppler = true; })
        .default_is("the model's; 0 or that of the name with pdp"));

/// Covariances of a grid along its axes, between elements at any positions a and b along one: subcarriers
/// and symbols, counted from 0, also between two. [n_a, n_b]
struct AxisCovariances {
  using Along = std::function<arma::cx_mat(const arma::vec& a, const arma::vec& b)>;
  arma::cx_mat R_rx;  ///< [n_rx, n_rx]; 1x1: uncorrelated antennas, of any number
  Along frequency, time;
};
/// Those that were fitted. They end with the grid of the fit.
AxisCovariances axis_covariances(const GridStatistics& statistics);
/// Those of a known profile: its correlations over frequency and time, antennas uncorrelated.
/// @throws Error(invalid_argument) if the options name no profile, one that there is not, or a delay
///         spread of one that has delays of its own, or the spacing is not known;  Error(io),
///         Error(format) as read_delay_profile()
AxisCovariances known_covariances(const GridLmmseOptions& options, const GridAxes& grid);
/// Of a channel whose largest Doppler is known, without a line of sight.
AxisCovariances::Along doppler_covariance(double doppler_hz, const GridAxes& grid);

/// Linear MMSE on a grid whose covariance is taken for R_rx kron R_f kron R_t. Over all axes at once
/// (`joint`) it is exact for that, at the cost of filters over one axis at a time (in the eigenvectors
/// of each,
///
///   h = sum_aji  (R_fp v_j) (R_tp w_i) u_a  l_a / (l_a d_j m_i + sigma2)  (u_a v_j w_i)^H z
///
/// with l, d, m the eigenvalues of R_rx, R_pp and R_t of the pilot symbols).
///
/// In the other orders each axis has a filter of its own that takes the errors of the one before for
/// white, of variance e, as in practice:
///
///   x = R_ap (R_pp + e I)^-1 z,   g = diag(R_ap (R_pp + e I)^-1 R_pa),   r = diag(R_aa)
///
/// Before the next axis x is made unbiased, x r / g, with errors of variance e' = r (r - g) / g; what
/// the last filter leaves is r - g. Predicts its error, in these orders as far as errors are white.
/// R_rx of one antenna alone is for any number, taken for uncorrelated.
/// @throws Error(invalid_argument) as PilotPlanes, or for other receive antennas than R_rx, or several
///         symbols and an order without t
/// Source: the orders are those of LMMSEChannelEstimator in [Hoydis2022], which
///         scripts/compare_sionna_grid.py compares
std::unique_ptr<Estimator> make_grid_lmmse(std::shared_ptr<const ObservationOperator> A,
                                           const AxisCovariances& covariances,
                                           GridLmmseOrder order = GridLmmseOrder::joint);
/// The same with what was fitted, or with what options say is known in its place.
/// @throws also Error(invalid_argument) if the grid has more subcarriers or symbols than the statistics
std::unique_ptr<Estimator> make_grid_lmmse(std::shared_ptr<const ObservationOperator> A,
                                           const GridStatistics& statistics,
                                           const GridLmmseOptions& options = {});

}  // namespace v0
}  // namespace chest
