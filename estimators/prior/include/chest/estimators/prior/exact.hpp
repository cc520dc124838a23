#pragma once

#include <armadillo>
#include <memory>

#include <chest/estimators/prior/denoiser.hpp>
#include <chest/gaussian_mixture.hpp>

namespace chest {
inline namespace v0 {

/// D of a Gaussian prior CN(0, C): the LMMSE filter of h + noise.
/// @throws Error(invalid_argument) if C is not square
std::unique_ptr<Denoiser> make_gaussian_denoiser(const arma::cx_mat& C);

/// D of a Gaussian mixture in closed form: what make_gmm() computes where A = I, and at its cost,
/// which follows from the structure of the covariances. Blind, it averages over 24 levels from 6 to
/// -60 dB, each as likely as the others.
/// @throws Error(invalid_argument) if the prior is invalid
/// @throws Error(numeric) if a covariance that is decomposed has a negative eigenvalue
std::unique_ptr<Denoiser> make_gaussian_mixture_denoiser(const GaussianMixture& prior);

}  // namespace v0
}  // namespace chest
