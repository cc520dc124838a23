#pragma once

#include <cstddef>
#include <cstdint>

namespace chest {
inline namespace v0 {
namespace inference {

/// Convolutions as products of small matrices, 16 entries of a plane by 16 outputs at a time, which is what
/// the tile instructions of a processor (AMX) do. Channels of an entry lie side by side, as bfloat16 or as
/// unsigned bytes, so that a row of a kernel is one run of memory.
enum class TileElement { bfloat16, byte };

constexpr std::size_t tile_entries = 16, tile_outputs = 16, tile_bytes = 64;

/// One layer at work.
struct TileConvolution {
  TileElement in = TileElement::bfloat16, out = TileElement::bfloat16;
  std::size_t in_stride = 0;   ///< bytes of an entry
  std::size_t out_stride = 0;  ///< 0: floats in planes, for the last layer
  /// Products that add up: where each begins, in bytes relative to the output's entry, [n_blocks].
  const std::ptrdiff_t* blocks = nullptr;
  std::size_t n_blocks = 0;
  std::size_t block_bytes = 0;  ///< of each, at most tile_bytes; a multiple of 4
  /// [n_tiles][n_blocks][block_bytes / 4][tile_outputs][4 bytes]
  const std::uint8_t* weights = nullptr;
  std::size_t n_out = 0, n_tiles = 0;
  /// Column k + 8 of the one tile holds what is left of the weights of output k: they are added.
  bool split_weights = false;
  /// out = relu(gain (scale sum + map) + offset), a byte times out_scale; gain and offset [n_out], scale
  /// [16 n_tiles], map [.., 16 n_tiles] of each entry. scale and map may be null: 1, 0.
  const float *gain = nullptr, *offset = nullptr, *scale = nullptr, *map = nullptr;
  bool relu = false;
  float out_scale = 1;  ///< of bytes
  const std::uint8_t* in_data = nullptr;
  void* out_data = nullptr;
  std::size_t plane = 0;  ///< floats of a plane, for the last layer
};

/// The entries [begin, end) of a plane; those up to the next multiple of 16 from `begin` are overwritten too.
using TileKernel = void (*)(const TileConvolution&, std::size_t begin, std::size_t end);

/// Whether the processor has instructions for tiles, and this process may use them.
bool has_tile_instructions();
/// With those instructions, or one number after the other.
TileKernel tile_kernel(bool instructions = has_tile_instructions());

/// Sums over entries of products of two of their channels, which is the gradient of a layer's weights: of each
/// tap sums(i, o) += sum_p in(i, p + tap) out(p, o), in bfloat16 with sums in float32.
struct TileCorrelation {
  const std::uint16_t* in = nullptr;   ///< channel after channel (transpose_entries())
  std::size_t in_plane = 0;            ///< entries from one channel to the next
  std::size_t n_in = 0;                ///< a multiple of 16
  const std::uint16_t* out = nullptr;  ///< [n_entries / 2][n_out][2] (pair_entries())
  std::size_t n_out = 0;               ///< a multiple of 16
  const std::ptrdiff_t* taps = nullptr;
  std::size_t n_taps = 0;
  std::size_t n_entries = 0;  ///< a multiple of 32
  float* sums = nullptr;      ///< [n_taps][n_in][n_out], aligned to 64 bytes
};

/// The work on entries that fitting needs beside TileKernel; sizes in entries are multiples of 32, in channels of 16.
struct TileGradientKernels {
  void (*correlate)(const TileCorrelation&);
  /// [n_entries][stride] to [n_channels][plane]
  void (*transpose_entries)(const std::uint16_t* entries, std::size_t stride, std::size_t n_entries,
                            std::size_t n_channels, std::uint16_t* planes, std::size_t plane);
  /// [n_entries][n_channels] to [n_entries / 2][n_channels][2]
  void (*pair_entries)(const std::uint16_t* entries, std::size_t n_entries, std::size_t n_channels,
                       std::uint16_t* pairs);
  /// gradient = 0 where value <= 0
  void (*mask)(const std::uint16_t* values, std::size_t n, std::uint16_t* gradients);
  /// sums_c += sum over entries
  void (*add_up)(const std::uint16_t* entries, std::size_t n_entries, std::size_t n_channels,
                 float* sums);
};
const TileGradientKernels& tile_gradient_kernels(bool instructions = has_tile_instructions());

}  // namespace inference
}  // namespace v0
}  // namespace chest
