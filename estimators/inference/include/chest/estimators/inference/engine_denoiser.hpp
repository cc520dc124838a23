#pragma once

#include <functional>
#include <memory>

#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/run_options.hpp>
#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// The network as a denoiser of antenna-domain channels on chest's own engine: on the processor,
/// without LibTorch, in the precision of choose_precision(). Weights are packed once; threads share them,
/// each call works in memory of its own that is kept for later calls. A batch gives the same bits as
/// its columns one by one.
/// @param make_derivatives  makes the denoiser that linearise() asks, when the first derivative is asked
///                          for; empty: there are none
/// @throws Error(invalid_argument) if the weights do not fit the configuration or the sizes
std::unique_ptr<Denoiser> make_engine_denoiser(
    const NetworkModel& model, const NetworkRunOptions& options = {},
    std::function<std::unique_ptr<Denoiser>()> make_derivatives = {});

/// The instructions that the engine's kernels run with on this processor: "AVX3", "AVX2" ...
const char* engine_target();

}  // namespace v0
}  // namespace chest
