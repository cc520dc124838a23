#pragma once

#include <memory>

#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/grid/pilot_planes.hpp>

namespace chest {
inline namespace v0 {

/// Linear MMSE on a grid whose covariance is taken for R_rx kron R_f kron R_t: exact for that, over all
/// axes at once, at the cost of filters over one axis at a time (in the eigenvectors of each,
///
///   h = sum_aji  (R_fp v_j) (R_tp w_i) u_a  l_a / (l_a d_j m_i + sigma2)  (u_a v_j w_i)^H z
///
/// with l, d, m the eigenvalues of R_rx, R_pp and R_t of the pilot symbols). Predicts its error.
/// @throws Error(invalid_argument) as PilotPlanes, or if the grid has more subcarriers or symbols than
///         the statistics, or another spacing
std::unique_ptr<Estimator> make_grid_lmmse(std::shared_ptr<const ObservationOperator> A,
                                           const GridStatistics& statistics);

}  // namespace v0
}  // namespace chest
