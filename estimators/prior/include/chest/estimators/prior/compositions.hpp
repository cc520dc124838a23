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

/// D + weight (D - D_without): classifier-free guidance. D knows more than D_without, such as the class of the channel;
/// a weight of 0 is D, the conditional mean, and any other is no estimate but makes samples more typical of the class.
/// The error is that which D predicts.
/// @throws Error(invalid_argument) if one is null, their sizes differ or the weight is not finite
/// Source: [Ho2022]
std::unique_ptr<Denoiser> make_guided_denoiser(std::shared_ptr<const Denoiser> D,
                                               std::shared_ptr<const Denoiser> without,
                                               double weight);

}  // namespace v0
}  // namespace chest
