#pragma once

#include <armadillo>
#include <memory>

#include <chest/estimators/prior/denoiser.hpp>
#include <chest/gaussian_mixture.hpp>

namespace chest {

/// D of a Gaussian prior CN(0, C): the LMMSE filter of h + noise.
/// @throws Error(invalid_argument) if C is not square
std::unique_ptr<Denoiser> make_gaussian_denoiser(const arma::cx_mat& C);

/// D of a Gaussian mixture in closed form: responsibilities times component LMMSE filters. One
/// eigendecomposition per component serves every noise level. Blind, it averages over 24 levels
/// from 6 to -60 dB, each as likely as the others.
/// @throws Error(invalid_argument) if the prior is invalid
std::unique_ptr<Denoiser> make_gaussian_mixture_denoiser(const GaussianMixture& prior);

}  // namespace chest
