#include "torch_chain.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>

#include <chest/estimators/network/layout.hpp>

#include "device.hpp"

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

/// Noise levels whose networks are kept: those of the longest chains, fewer where they are large.
std::size_t n_kept_levels(const std::vector<NamedTensor>& weights) {
  constexpr std::size_t most_values = std::size_t{1} << 24;  // 64 MiB
  std::size_t n_values = 1;
  for (const NamedTensor& tensor : weights) n_values += tensor.values.size();
  return std::clamp<std::size_t>(most_values / n_values, 4, 128);
}

}  // namespace

TorchChain::TorchChain(const NetworkModel& model, const NetworkRunOptions& options)
    : config_(model.network),
      prediction_(model.prediction),
      of_pilots_(!model.P.is_empty()),
      schedule_(model.schedule),
      step_(options.step > 0.0 ? options.step : static_cast<double>(model.grid.plane_step)),
      device_(device_from_string(options.device, "network denoiser")),
      precision_(options.precision == NetworkPrecision::bfloat16 ? at::kBFloat16 : at::kFloat),
      levels_(n_kept_levels(model.weights)) {
  with_torch("network denoiser", device_, [&] {
    const c10::InferenceMode off(false);
    const at::NoGradGuard no_gradients;
    network_ =
        network_of(config_, flat_weights(network_layout(config_), model.weights).to(device_));
  });
}

PreparedStep TorchChain::prepare(const ReverseStep& step) const {
  const PredictionGains gains = prediction_gains(prediction_, step.sigma2);
  return {levels_.at(step.sigma2, [&] { return network_at(step.sigma2); }),
          1.0 / std::sqrt(1.0 + step.sigma2), gains.z_gain + step.keep * (1.0 - gains.z_gain),
          (1.0 - step.keep) * gains.o_gain, of_pilots_ ? 1.0 : step.sigma2 / (1.0 + step.sigma2)};
}

NetworkOutput TorchChain::advance(const PreparedStep& step, at::Tensor& z_ang,
                                  const at::Tensor& side) {
  NetworkOutput output = step.network->forward(z_ang * step.x_gain, side);
  z_ang.mul_(step.z_gain).add_(output.o, step.o_gain);
  return output;
}

LevelNetwork TorchChain::network_at(double sigma2) const {
  // Not inference tensors: linearise() keeps them for its derivative.
  const c10::InferenceMode off(false);
  const at::NoGradGuard no_gradients;
  return LevelNetwork(config_, network_, noise_embedding(config_, schedule_, sigma2), sigma2,
                      precision_, step_, range_of(config_, schedule_, sigma2));
}

}  // namespace nn
}  // namespace v0
}  // namespace chest
