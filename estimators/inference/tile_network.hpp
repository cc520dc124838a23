#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "buffer.hpp"
#include "kernels.hpp"
#include "tiles.hpp"

namespace chest {
inline namespace v0 {
namespace inference {

/// What a network hands over to run on tiles.
struct TileLayer {
  int n_in = 0, n_out = 0;
  bool relu = true;
  /// Of a kernel, relative to its middle, in entries.
  std::vector<std::ptrdiff_t> taps;
  EdgeReach reach;
  /// Weight of an output, an input and a tap.
  std::function<float(int output, int input, int tap)> weight;
};

/// Memory of one call.
struct TileWorkspace {
  Buffer entries[2];
};

/// The layers of a network in bfloat16, or in bytes after the first: channels of an entry side by side. What
/// goes in, and the weights of the last layer, are carried as two numbers each, so that only what lies
/// between is rounded.
class TileNetwork {
 public:
  /// @param map  planes that add to the first layer, as a Convolution has it; null: none
  TileNetwork(const PlaneShape& shape, bool circular, TileElement element,
              const std::vector<TileLayer>& layers, const float* map);

  TileWorkspace make_workspace() const;
  /// Floats that a level needs beside gains and offsets: scales of the sums and of the bytes.
  std::size_t n_scales() const { return n_scales_; }
  /// @param largest  value of each hidden layer that a byte of 255 stands for
  void set_scales(const float* largest, float* scales) const;

  /// Three planes of n_slow rows of n_fast floats, `width` from row to row; magnitude may be null.
  void put_input(const float* re, const float* im, const float* magnitude, float gain,
                 std::size_t width, TileWorkspace& workspace) const;
  /// @param gain, offset  of all layers in turn
  /// @param out           planes of the last layer, as a Convolution writes them
  void run(const float* gain, const float* offset, const float* scales, TileWorkspace& workspace,
           float* out) const;

 private:
  struct Layer {
    TileConvolution work;
    std::vector<std::ptrdiff_t> blocks;
    std::vector<std::uint8_t> weights;
    std::vector<float> weight_scale;  ///< of bytes, [16 n_tiles]
    std::size_t first_output = 0, first_scale = 0;
    EdgeReach reach;
  };

  void pack(const TileLayer& from, bool first, bool last, Layer& to) const;
  void fill_edges(std::uint8_t* entries, std::size_t stride, const EdgeReach& reach) const;

  PlaneShape shape_;
  bool circular_;
  TileElement element_;
  std::vector<Layer> layers_;
  Buffer map_;
  std::size_t n_scales_ = 0, entry_bytes_ = 0;
};

}  // namespace inference
}  // namespace v0
}  // namespace chest
