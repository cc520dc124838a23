#pragma once

#include <ATen/ATen.h>

#include <vector>

#include <chest/estimators/network.hpp>

namespace chest::nn {

// All weights of a network live in one vector, [n_parameters], in the order of network_layout():
// optimiser, average, checkpoint and gradient are then single operations.

struct Layer {
  at::Tensor weight, bias;
};

/// The letter's network: convolutions, a modulation x (1 + scale) + shift by the noise level, and
/// convolutions again, ReLU between them and none beside the modulation.
struct Network {
  std::vector<Layer> pre;
  Layer time;  ///< embedding -> (scale, shift)
  std::vector<Layer> post;
};

at::Tensor flat_weights(const NetworkConfig& config, const std::vector<NamedTensor>& weights);
std::vector<NamedTensor> named_weights(const NetworkConfig& config, const at::Tensor& flat);
/// PyTorch's default, U(-1, 1) / sqrt(fan_in) for weights and biases; depends on the seed alone.
at::Tensor initial_weights(const NetworkConfig& config, std::uint64_t seed);

/// Views into the flat vector: gradients of what they compute arrive there.
Network network_of(const NetworkConfig& config, const at::Tensor& flat);

/// Sinusoidal features of noise indices: sin(i f_k), then cos(i f_k), f_k = exp(-k ln(1e4) /
/// (n_features / 2 - 1)).  @param index  float32 [n];  @return [n, n_features]
at::Tensor noise_embedding(const at::Tensor& index, std::int64_t n_features);

/// @param x          planes [n, 2, n_rx, n_tx]; the convolutions run in its precision
/// @param embedding  one row per sample, [n, n_features]
at::Tensor forward(const Network& network, at::Tensor x, const at::Tensor& embedding);

/// The network at one noise level, the modulation multiplied into the convolution before it.
class FixedLevelNetwork {
 public:
  /// @param embedding  [1, n_features]
  /// @param precision  of the convolutions; inputs and outputs of forward() keep theirs
  FixedLevelNetwork(const Network& network, const at::Tensor& embedding,
                    at::ScalarType precision = at::kFloat);
  at::Tensor forward(const at::Tensor& input) const;

 private:
  std::vector<Layer> layers_;
  std::size_t i_modulated_ = 0;
};

}  // namespace chest::nn
