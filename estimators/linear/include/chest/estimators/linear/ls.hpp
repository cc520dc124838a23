#pragma once

#include <memory>

#include <chest/estimators/common/estimator.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// Least squares, the minimum-norm solution when there are fewer pilots than antennas.
///
///   h_hat = A^+ y
///
/// Predicts its mse, sigma2 sum_i 1 / s_i^2 over the singular values of A, when A has full column
/// rank; otherwise the error depends on h.
///
/// @throws Error(invalid_argument) if A is null
/// Source: [Kay1993, ch. 8]
std::unique_ptr<Estimator> make_ls(std::shared_ptr<const ObservationOperator> A);

}  // namespace v0
}  // namespace chest
