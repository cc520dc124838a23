#pragma once

#include <armadillo>
#include <memory>
#include <vector>

#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// Independent priors of several signals, x = [x_1; x_2; ...]: the denoiser for
/// make_stacked_observation().
/// @throws Error(invalid_argument) if there are no parts or one is null
std::unique_ptr<Denoiser> make_product_denoiser(std::vector<std::shared_ptr<const Denoiser>> parts);

/// One prior for each of n_slices channels, x = [h_1; ...; h_L]: the denoiser for
/// make_coupled_slices_observation().
/// @throws Error(invalid_argument) if the denoiser is null or n_slices is 0
std::unique_ptr<Denoiser> make_slice_denoiser(std::shared_ptr<const Denoiser> denoiser,
                                              arma::uword n_slices);

}  // namespace v0
}  // namespace chest
