#pragma once

#include <memory>

#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/run_options.hpp>
#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

bool built_with_torch();
/// The network on LibTorch, with derivatives. One intra-op thread.
/// @throws Error(invalid_argument) if there is no such device, or chest was built without LibTorch
std::unique_ptr<Denoiser> make_torch_denoiser(const NetworkModel& model,
                                              const NetworkRunOptions& options);

}  // namespace v0
}  // namespace chest
