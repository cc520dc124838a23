#pragma once

#include <memory>

#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/run_options.hpp>
#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// The network as a denoiser of antenna-domain channels; the transform to the angular domain and
/// the VP scaling of its input happen inside. It runs on what engine_in_use() says; derivatives, which
/// LibTorch alone has, need the engine torch or auto. One thread: run several estimates side by side.
/// @throws Error(invalid_argument) if there is no such device, or LibTorch is asked of a build without it
std::unique_ptr<Denoiser> make_network_denoiser(const NetworkModel& model,
                                                const NetworkRunOptions& options = {});

/// The network of channels of one class (for_class()), or with a guidance other than 0 that of
/// make_guided_denoiser() against the network that is told no class.
/// @throws Error(invalid_argument) as make_network_denoiser() and for_class()
std::unique_ptr<Denoiser> make_class_denoiser(const NetworkModel& model, arma::uword which,
                                              double guidance,
                                              const NetworkRunOptions& options = {});

}  // namespace v0
}  // namespace chest
