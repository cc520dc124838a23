#include <chest/estimators/nn/network_denoiser.hpp>

#include <utility>

#include <chest/estimators/inference/engine_denoiser.hpp>
#include <chest/estimators/prior/compositions.hpp>

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

std::unique_ptr<Denoiser> make_class_denoiser(const NetworkModel& model, arma::uword which,
                                              double guidance, const NetworkRunOptions& options) {
  std::unique_ptr<Denoiser> D = make_network_denoiser(for_class(model, which), options);
  if (guidance == 0.0) return D;
  return make_guided_denoiser(std::move(D), make_network_denoiser(for_class(model, {}), options),
                              guidance);
}

}  // namespace v0
}  // namespace chest
