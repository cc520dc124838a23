#pragma once

#include <armadillo>
#include <memory>

#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// The prior of h = mean + sqrt(power) x, of the x that a denoiser knows (mean reversion):
///
///   D(z, sigma2) = mean + sqrt(power) D_x((z - mean) / sqrt(power), sigma2 / power)
///
/// With mean = 0 and power = 1 the same values, bit for bit.
/// @param mean  [n_h]
/// @throws Error(invalid_argument) if the denoiser is null, the mean has another size or is not finite, or the
///         power is not positive
/// Source: [Li2025b]
std::unique_ptr<Denoiser> make_shifted_denoiser(std::shared_ptr<const Denoiser> denoiser,
                                                const arma::cx_vec& mean, double power = 1.0);

}  // namespace v0
}  // namespace chest
