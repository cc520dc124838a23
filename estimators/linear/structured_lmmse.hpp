#pragma once

#include <memory>

#include <chest/channel_covariance.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// LMMSE where the structure of C gives it in closed form: kronecker and dft with A = P^T kron I.
std::unique_ptr<Estimator> make_closed_form_lmmse(std::shared_ptr<const ObservationOperator> A,
                                                  const ChannelCovariance& C);
/// LMMSE by conjugate gradients on A C A^H + sigma2 I, preconditioned by the block-circulant part of
/// C where A = P^T kron I and C knows its antennas.
std::unique_ptr<Estimator> make_iterative_lmmse(std::shared_ptr<const ObservationOperator> A,
                                                ChannelCovariance C, double tolerance);

}  // namespace v0
}  // namespace chest
