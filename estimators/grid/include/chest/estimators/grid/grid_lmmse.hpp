#pragma once

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
  std::string why_invalid() const;
};
inline constexpr auto grid_lmmse_options = options_of<GridLmmseOptions>(
    option("order", &GridLmmseOptions::order, grid_lmmse_order_names,
           "all axes at once, or one after another (f subcarriers, t symbols, s antennas)"));

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
/// @throws Error(invalid_argument) as PilotPlanes, or if the grid has more subcarriers or symbols than
///         the statistics, or several symbols and an order without t
/// Source: the orders are those of LMMSEChannelEstimator in [Hoydis2022], which
///         scripts/compare_sionna_grid.py compares
std::unique_ptr<Estimator> make_grid_lmmse(std::shared_ptr<const ObservationOperator> A,
                                           const GridStatistics& statistics,
                                           const GridLmmseOptions& options = {});

}  // namespace v0
}  // namespace chest
