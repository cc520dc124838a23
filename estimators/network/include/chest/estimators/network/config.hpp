#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace chest {
inline namespace v0 {

/// A named array of a network, float32, C order.
struct NamedTensor {
  std::string name;  ///< the name that PyTorch gives it: "cnn_pre.conv_pre0.weight"
  std::vector<std::int64_t> dims;
  std::vector<float> values;
};

/// Rows and columns of a convolution's kernel: receive antennas, and transmit antennas or subcarriers.
struct KernelSize {
  int rows = 1, columns = 1;
};

/// Layers of a network: 3x3 convolutions with ReLU between them, modulated by the noise level,
///
///   features -> conv -> x (1 + scale) + shift -> ReLU -> ... -> conv -> o,   (scale, shift) linear
///   in sinusoidal features of the noise level.
///
/// The defaults are chest's own prior (docs/model.md says what each part is for, and
/// bench/prior_parts.sh what it is worth); published() is the network of [Fesl2024a].
struct NetworkConfig {
  std::vector<int> hidden{32, 58, 41, 22};  ///< channels between the convolutions
  std::vector<int> modulated{0, 1, 2, 3};   ///< hidden layers that the noise level modulates
  int kernel = 3;                           ///< odd
  /// Kernels along one axis at a time: kernel x 1 for the layers 0, 2, .. and 1 x kernel for 1, 3, .. They see far along
  /// the angles for as many multiplications: 9 of them as 3x3 does.
  bool axial = false;
  int embedding = 16;                 ///< features of the noise level, even
  bool relu_after_modulation = true;  ///< published(): none there
  /// The noise level enters as its log SNR; otherwise as the index in the noise schedule.
  bool log_snr = true;
  /// The angular domain is periodic, also where a kernel reaches around it more than once; otherwise zeros around it.
  bool circular = true;
  /// Four more input planes, cos and sin of 2 pi k / N on either side: the prior may differ from
  /// angle to angle, which periodic edges alone would hide.
  bool position = true;
  bool magnitude = true;  ///< a third input plane: log(1 + |z|^2 / sigma2)
  /// For planes of grids (antennas x subcarriers) at any distance of the columns: the position of a
  /// delay is told in full circles of the delays that columns `circle` subcarriers apart tell apart,
  /// the same for all distances. 0: the columns are transmit antennas, once around the circle.
  int circle = 0;
  bool gate = false;  ///< o = g x + c with complex outputs g, c; otherwise o = c
  /// One more output plane: the predicted error of each angular entry.
  bool variance = true;
  /// The error comes as two planes in place of one: where the variances of both parts of a step back in the schedule lie
  /// between the least and the most that they can be (variance_range()). Of imported networks; with variance alone.
  bool reverse_variance = false;
  /// No additive constants and no noise level: D(c z) = c D(z), a blind denoiser for any level.
  /// Goes with no modulated layers, no planes beside the channel's, no gate and no variance, and
  /// with Prediction::epsilon.  Source: [Mohan2020], [Kadkhodaie2024]
  bool bias_free = false;
  /// Kinds of channels, such as line of sight or not, that the network is told or tells; 0: none.
  int classes = 0;
  /// It may be told the class: one weight of each class for every scale and shift of the modulation. The class is left
  /// out of a part of the fit, so that the same network also serves where it is not known.
  bool told_class = false;
  /// It tells the probability of each class: further output planes, whose means are the log-odds.
  bool tells_class = false;
  /// It tells so many numbers of a channel, such as a delay spread: the means of further output planes.
  int numbers = 0;
  /// It is told another matrix of each channel's size, such as its estimate in the slot before: the angular domain of it as
  /// two more input planes, with `magnitude` a third, log(1 + side_power_gain |s|^2). All 0 where there is none, as in a
  /// part of the fit.  Source: [Dong2024]
  bool side = false;
  /// Range of SNRs that the network is fitted for, when it is told the log SNR.
  double snr_low_db = -20.0, snr_high_db = 40.0;

  /// The magnitude plane is of the size of the others with this.
  static constexpr double magnitude_scale = 0.3;
  /// The noise of a side matrix is not known: magnitudes differ down to 20 dB below the mean power of channels.
  static constexpr double side_power_gain = 100.0;
  /// Less is not taken for the logarithm of a deviation.
  static constexpr double least_log_deviation = -15.0;

  /// The layers of [Fesl2024a] (55 025 parameters at any array size).
  static NetworkConfig published();
  /// Of a matrix: its parts and its magnitude.
  int n_matrix_inputs() const { return 2 + (magnitude ? 1 : 0); }
  /// In the order: what is denoised, the side matrix, the position.
  int n_inputs() const { return (side ? 2 : 1) * n_matrix_inputs() + (position ? 4 : 0); }
  /// Of which the last n_heads() are those whose means tell of the channel as a whole.
  int n_outputs() const { return 2 + (gate ? 2 : 0) + n_variances() + n_heads(); }
  int n_variances() const { return variance ? (reverse_variance ? 2 : 1) : 0; }
  int n_heads() const { return (tells_class ? classes : 0) + numbers; }
  /// Of the convolution `layer`, counted from 0.
  KernelSize kernel_size(std::size_t layer) const;
  std::int64_t n_parameters() const;
  std::string why_invalid() const;
};

/// Hidden layers of chest's own network by size: tiny (7 thousand parameters), base (54 thousand, the default) or large
/// (152 thousand). bench/frontier.sh says what each reaches and costs.
/// @throws Error(invalid_argument) naming the sizes that there are
std::vector<int> hidden_of_size(const std::string& size);

/// Reads "chest" (the default) or "letter" (published()) with options that change it:
/// chest:hidden=48-64-32,kernel=5 or chest:gate,zero-padding.
/// @throws Error(invalid_argument) naming what is wrong and what there is
NetworkConfig parse_network(const std::string& text);

}  // namespace v0
}  // namespace chest
