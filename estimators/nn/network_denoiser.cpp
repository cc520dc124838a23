#include <chest/estimators/nn/network_denoiser.hpp>

#include <chest/estimators/inference/engine_denoiser.hpp>

#include "torch_denoiser.hpp"

namespace chest {
inline namespace v0 {
std::unique_ptr<Denoiser> make_network_denoiser(const NetworkModel& model,
                                                const NetworkRunOptions& options) {
  if (!runs_on_own_engine(options)) return make_torch_denoiser(model, options);
  if (options.engine != NetworkEngine::automatic || !built_with_torch()) {
    return make_engine_denoiser(model, options);
  }
  return make_engine_denoiser(model, options,
                              [model, options] { return make_torch_denoiser(model, options); });
}

}  // namespace v0
}  // namespace chest
