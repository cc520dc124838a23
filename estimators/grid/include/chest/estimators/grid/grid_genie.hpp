#pragma once

#include <memory>

#include <chest/estimators/common/estimator.hpp>
#include <chest/grid_covariance.hpp>

namespace chest {
inline namespace v0 {

/// LMMSE with the covariance that the channels of a grid were drawn with: a bound, not a method.
///
/// With h = U g, g ~ CN(0, I), and G = A U,
///
///   h_hat = U (G^H G + sigma2 I)^-1 G^H y
///
/// in the space of the paths, whose size is the sum of the ranks of the factors. Where all paths share
/// the covariance over the receive antennas, its eigenvectors are taken one by one.
///
/// @param A  observation of a grid (make_grid_observation())
/// @return   an estimator that predicts its mse
/// @throws   Error(invalid_argument) if A is not of a grid, or the covariance of another size
std::unique_ptr<Estimator> make_grid_genie(std::shared_ptr<const ObservationOperator> A,
                                           const GridCovariance& covariance);

}  // namespace v0
}  // namespace chest
