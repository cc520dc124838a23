#pragma once

#include <armadillo>
#include <complex>
#include <cstddef>
#include <optional>
#include <vector>

#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>

#include <chest/estimators/network/run_options.hpp>

#include "buffer.hpp"
#include "kernels.hpp"
#include "plane_transform.hpp"
#include "tile_network.hpp"

namespace chest {
inline namespace v0 {
namespace inference {

/// What one step of a chain needs beside the weights: the modulation as a gain and an offset of each
/// output, and the scales of z <- z_gain z + o_gain network(x_gain z).
struct Level {
  float x_gain = 1, z_gain = 1, o_gain = 1, prior_variance = 0;
  VarianceRange range;       ///< of a network with reverse_variance
  float magnitude_gain = 0;  ///< of |x|^2; 0: no magnitude plane
  Buffer gain, offset;       ///< of all layers in turn
  Buffer scales;             ///< of int8: TileNetwork::set_scales()
};

/// Memory of one call.
struct Workspace {
  Buffer layers[2];   ///< planes of a layer, and of the one after it
  Buffer z_re, z_im;  ///< angular planes of one channel
  Buffer re, im;      ///< scratch of the transform
  Buffer side;        ///< of a network that takes it: input planes of the side matrix, as z
  Buffer error;       ///< predicted error of each angular entry, as z
  Buffer embedding, film;
  std::vector<double> heads;  ///< means of the planes that tell of the channel
  TileWorkspace tiles;        ///< for less than float32
};

/// A network for planes of one size: weights packed once and shared by all noise levels and threads.
class PlaneNetwork {
 public:
  /// @param step  subcarriers from one column to the next, for a network with a circle
  /// @param precision  not automatic
  /// @throws Error(invalid_argument) if the weights do not fit the configuration or the size, or the model
  ///         was not calibrated for int8
  PlaneNetwork(const NetworkModel& model, arma::uword n_rx, arma::uword n_tx, double step,
               NetworkPrecision precision = NetworkPrecision::float32);

  arma::uword n_rx() const { return n_rx_; }
  arma::uword n_tx() const { return n_tx_; }
  /// Receive antennas are the fast axis; otherwise the columns are.
  bool rx_is_fast() const { return rx_is_fast_; }
  std::size_t n_slow() const { return shape_.n_slow; }
  std::size_t n_fast() const { return shape_.n_fast; }
  const PlaneTransform& transform() const { return transform_; }
  bool predicts_error() const { return config_.variance; }
  double multiplications() const;  ///< of one call, in the convolutions

  /// Every entry of a channel: visit(where it lies in a plane, and in a column of antennas).
  template <class Visit>
  void for_entries(const Visit& visit) const {
    const std::size_t width = transform_.width();
    for (arma::uword column = 0; column < n_tx_; ++column) {
      for (arma::uword rx = 0; rx < n_rx_; ++rx) {
        visit(rx_is_fast_ ? column * width + rx : rx * width + column, column * n_rx_ + rx);
      }
    }
  }

  Workspace make_workspace() const;
  Level make_level() const;
  /// Allocates nothing.
  void set_level(const ReverseStep& step, Workspace& workspace, Level& level) const;
  /// A channel of n_rx n_tx entries becomes the angular planes in workspace.z.
  void put_channel(const std::complex<double>* h, Workspace& workspace) const;
  /// The same of the side matrix of a network that takes it, in workspace.side; null: not known.
  void put_side(const std::complex<double>* side, Workspace& workspace) const;
  /// One step on the angular planes in workspace.z.
  /// @param error  also fills workspace.error: the variance that the network predicts of each entry, and
  ///               workspace.heads
  /// @return the sum of that error, 0 where it is not asked for
  double step(const Level& level, bool error, Workspace& workspace) const;
  std::size_t n_hidden() const { return layers_.size() - 1; }
  /// In float32: as step() with largest_k = max(largest_k, values of hidden layer k).
  void see_largest(const Level& level, Workspace& workspace, float* largest) const;

 private:
  struct Taps {
    std::vector<std::ptrdiff_t> offsets;  ///< relative to the output's entry
    /// Of each the entries of a kernel of the file, [rows, columns], that add up to it: around the circle of one row a
    /// kernel meets that row alone.
    std::vector<std::vector<int>> entries;
    EdgeReach reach;
  };

  struct Layer {
    int n_in = 0, n_out = 0, first_output = 0;
    Taps taps;
    Buffer weights;
    std::vector<float> bias;
    int modulation = -1;  ///< its first row of `film`, -1: none
    bool relu = true;
  };

  void plan(arma::uword n_rx, arma::uword n_tx);
  Taps taps_of(const KernelSize& kernel) const;
  static Buffer packed(const NamedTensor& weight, int first_in, int n_in, const Taps& taps);
  void put_angular(const std::complex<double>* h, const Planes& to, Workspace& workspace) const;
  void make_position_map(const NamedTensor& weight, double turns);
  void fill_edges(float* planes, int n_planes, const EdgeReach& reach) const;
  double put_reverse_variance(const Level& level, const float* out, Workspace& workspace) const;
  const float* magnitude_of(const Level& level, Workspace& workspace) const;
  void put_input(const Level& level, Workspace& workspace) const;
  void make_tiles(const std::vector<NamedTensor>& weights, const NetworkModel& model,
                  NetworkPrecision precision);
  /// @return the planes of the last layer
  const float* run_layers(const Level& level, Workspace& workspace, float* largest) const;

  NetworkConfig config_;
  Prediction prediction_;
  bool of_pilots_;  ///< NetworkModel::P
  NoiseSchedule schedule_;
  arma::uword n_rx_, n_tx_;
  bool rx_is_fast_ = true;
  PlaneShape shape_;
  PlaneTransform transform_;
  std::vector<Layer> layers_;
  std::vector<float> modulation_weight_, modulation_bias_;
  Buffer position_map_;               ///< what the position planes add to the first layer
  std::optional<TileNetwork> tiles_;  ///< in place of layers_, for less than float32
  PrecisionLosses losses_;            ///< of int8
  int n_outputs_ = 0;                 ///< of all layers
  int most_planes_ = 0;
};

}  // namespace inference
}  // namespace v0
}  // namespace chest
