#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace chest {
inline namespace v0 {

/// The convolutions of a network on a batch of planes.
struct StackShape {
  std::size_t n_images = 0, n_rows = 0, n_columns = 0;
  std::size_t kernel_rows = 0, kernel_columns = 0;  ///< odd
  bool circular = true;               ///< periodic edges; otherwise zeros around the planes
  std::vector<std::size_t> channels;  ///< before and after each layer, [n_layers + 1]
  std::vector<bool> relu;             ///< after each layer, [n_layers]
  bool operator==(const StackShape& other) const {
    return n_images == other.n_images && n_rows == other.n_rows && n_columns == other.n_columns &&
           kernel_rows == other.kernel_rows && kernel_columns == other.kernel_columns &&
           circular == other.circular && channels == other.channels && relu == other.relu;
  }
};

/// Floats [n_images, n_channels, n_rows, n_columns] at any strides.
struct PlaneView {
  const float* data = nullptr;
  std::ptrdiff_t image = 0, channel = 0, row = 0, column = 0;
};

/// A stack of convolutions with ReLUs, and the gradient of its weights, for fitting: values and gradients between
/// layers in bfloat16, sums in float32. Remembers its last forward(); for one thread at a time.
class ConvolutionGradient {
 public:
  virtual ~ConvolutionGradient() = default;
  virtual const StackShape& shape() const = 0;
  /// @param weights  of each layer, [n_out][n_in][kernel_rows][kernel_columns]
  /// @param biases   of each layer, [n_out]
  /// @param out      [n_images][n_out of the last layer][n_rows][n_columns]
  virtual void forward(const PlaneView& x, const std::vector<const float*>& weights,
                       const std::vector<const float*>& biases, float* out) = 0;
  /// What `d_out`, the gradient of `out`, is for the weights and biases of the last forward().
  virtual void backward(const PlaneView& d_out, const std::vector<float*>& d_weights,
                        const std::vector<float*>& d_biases) = 0;
};

/// @param instructions  with tile instructions where has_fast_reduced_precision() finds them; false: one number
///                      after the other, slowly
std::unique_ptr<ConvolutionGradient> make_convolution_gradient(const StackShape& shape,
                                                               bool instructions);

}  // namespace v0
}  // namespace chest
