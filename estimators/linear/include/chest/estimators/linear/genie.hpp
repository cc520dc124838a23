#pragma once

#include <memory>

#include <chest/estimators/common/estimator.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// LMMSE with the covariance that each channel was drawn with, Observation::genie: a lower bound
/// that no estimator without that knowledge reaches, not a method.
///
///   C_k = C_tx kron C_rx,   C_rx = U diag(l) U^H,   P^T C_tx P^* = V diag(m) V^H
///   H_hat = U [l_i g_ij] V^T P^H C_tx^T,   g_ij = (U^H Y V^*)_ij / (l_i m_j + sigma2)
///
/// Two small eigendecompositions per channel instead of one inverse of size n_obs. Predicts its
/// mse.
///
/// @throws Error(invalid_argument) if A is null or was given as a dense matrix; from estimate()
/// also
///         if the observation holds no covariances, or not one per column
/// Source: [Neumann2018]; reference values in tests/golden/estimators.h5
std::unique_ptr<Estimator> make_genie(std::shared_ptr<const ObservationOperator> A);

}  // namespace v0
}  // namespace chest
