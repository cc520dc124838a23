#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <vector>

#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>

namespace chest {
inline namespace v0 {
namespace nn {

// All weights of a network live in one vector, [n_parameters], in the order of its layout (names
// and dimensions): optimiser, average, checkpoint and gradient are then single operations.

struct Layer {
  at::Tensor weight, bias;
};

/// The arrays of a network as views into the flat vector: gradients of what they compute arrive
/// there.
struct Network {
  std::vector<Layer> convolutions;
  Layer modulation;  ///< embedding -> (scale, shift) of each modulated layer in turn
  at::Tensor
      classes;  ///< what each class adds to it, [2 n_modulated, n_classes]; undefined: it is told none
};

at::Tensor flat_weights(const std::vector<NamedTensor>& layout,
                        const std::vector<NamedTensor>& weights);
std::vector<NamedTensor> named_weights(std::vector<NamedTensor> layout, const at::Tensor& flat);
/// PyTorch's default, U(-1, 1) / sqrt(fan_in) for weights and biases, and 0 for those of classes; depends on the seed
/// alone.
at::Tensor initial_weights(std::vector<NamedTensor> layout, std::uint64_t seed);
/// The weights and biases of a layout, in turn, as views into the flat vector.
std::vector<Layer> layers_of(const std::vector<NamedTensor>& layout, const at::Tensor& flat);
Network network_of(const NetworkConfig& config, const at::Tensor& flat);

/// Planes with so many rows and columns of the opposite edges on either side. Differentiable.
at::Tensor pad_periodic(const at::Tensor& x, std::int64_t rows, std::int64_t columns);

/// What a network is told of the noise level, float32 [1, n_features]. An index i gives sin(i f_k),
/// then cos(i f_k), f_k = exp(-k ln(1e4) / (n_features / 2 - 1)), k = 0 ..; a log SNR gives the
/// same of k pi snr_db / 160, k = 1 ... Levels outside the fitted range count as its ends.
at::Tensor noise_embedding(const NetworkConfig& config, const NoiseSchedule& schedule,
                           double sigma2);

/// How the variances of a network with reverse_variance are read at a level; otherwise empty.
std::optional<VarianceRange> range_of(const NetworkConfig& config, const NoiseSchedule& schedule,
                                      double sigma2);

struct NetworkOutput {
  at::Tensor o;  ///< planes [n, 2, n_rx, n_tx]: see Prediction
  /// [n, 1, n_rx, n_tx], > 0: root mean square of h - D, relative to sqrt(sigma2 / (1 + sigma2)) of
  /// a white prior; undefined for a network without variance.
  at::Tensor deviation;
  at::Tensor heads;  ///< [n, n_heads], classes as log-odds; undefined without heads
};

/// A network at one noise level, the modulation multiplied into the convolutions before it.
/// Differentiable in the weights.
class LevelNetwork {
 public:
  /// @param precision  of the convolutions; inputs and outputs of forward() keep theirs
  /// @param step  subcarriers from one column to the next, for a network with a circle
  /// @param range  range_of(), of a network with reverse_variance
  /// @param which  class of the channels, for a network that is told it; -1: not known
  LevelNetwork(const NetworkConfig& config, const Network& network, const at::Tensor& embedding,
               double sigma2, at::ScalarType precision, double step,
               const std::optional<VarianceRange>& range = {}, std::int64_t which = -1);
  /// @param x  planes z / sqrt(1 + sigma2), [n, 2, n_rx, n_tx], channels last
  /// @param side  planes of the side matrices, as x, of a network that is told them; undefined: not known
  NetworkOutput forward(const at::Tensor& x, const at::Tensor& side = {}) const;

 private:
  void modulate(const NetworkConfig& config, const Network& network, const at::Tensor& embedding,
                std::int64_t which);

  void convert();  // weights to precision_
  at::Tensor convolved(at::Tensor x) const;
  at::Tensor convolved_on_tiles(const at::Tensor& x) const;

  bool circular_, is_grid_, gate_, position_, variance_, side_;
  std::int64_t n_heads_;
  bool fits_on_tiles_ = false;
  at::ScalarType precision_;
  double turns_ = 1.0;  // of the circle that the columns take
  double o_gain_ = 1.0;
  double magnitude_gain_ = 0.0;  // |z|^2 / sigma2 over |x|^2; 0: no magnitude plane
  std::optional<VarianceRange> range_;
  std::vector<Layer> layers_;
  std::vector<char> relu_;
};

}  // namespace nn
}  // namespace v0
}  // namespace chest
