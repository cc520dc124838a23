#include "tile_network.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include <chest/bfloat16.hpp>

namespace chest {
inline namespace v0 {
namespace inference {
namespace {

// Of an entry that goes in: re, im, magnitude; what bfloat16 leaves of re and im; and re, im, magnitude once
// more for what it leaves of their weights.
constexpr std::size_t n_input_slots = 8;
constexpr int input_of_slot[n_input_slots] = {0, 1, 2, 0, 1, 0, 1, 2};
constexpr bool rest_of_weight[n_input_slots] = {false, false, false, false,
                                                false, true,  true,  true};

constexpr std::size_t most_split_outputs = tile_outputs / 2;
constexpr float most_byte = 255.0F, most_weight = 127.0F;
/// A rest of at most half a step in 127 steps.
constexpr float rest_steps = 2.0F * most_weight;

std::size_t rounded_to(std::size_t n, std::size_t step) { return (n + step - 1) / step * step; }
float rest(float value) { return value - from_bfloat16(to_bfloat16(value)); }

}  // namespace

TileNetwork::TileNetwork(const PlaneShape& shape, bool circular, TileElement element,
                         const std::vector<TileLayer>& layers, const float* map)
    : shape_(shape), circular_(circular), element_(element) {
  std::size_t n_outputs = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    Layer layer;
    pack(layers[i], i == 0, i + 1 == layers.size(), layer);
    layer.first_output = n_outputs;
    n_outputs += layer.work.n_out;
    if (layer.work.in == TileElement::byte) {
      layer.first_scale = n_scales_;
      n_scales_ += layer.work.n_tiles * tile_outputs;
    }
    entry_bytes_ = std::max({entry_bytes_, layer.work.in_stride, layer.work.out_stride});
    layers_.push_back(std::move(layer));
  }
  n_scales_ += layers_.size();  // of bytes
  if (!map) return;
  const std::size_t width = layers_.front().work.n_tiles * tile_outputs;
  map_ = Buffer((shape_.plane + tile_entries) * width);
  for (std::size_t k = 0; k < layers_.front().work.n_out; ++k) {
    for (std::size_t at = 0; at < shape_.plane; ++at) {
      map_[at * width + k] = map[k * shape_.plane + at];
    }
  }
}

void TileNetwork::pack(const TileLayer& from, bool first, bool last, Layer& to) const {
  TileConvolution& work = to.work;
  work.in = first ? TileElement::bfloat16 : element_;
  work.out = element_;
  work.relu = from.relu;
  work.n_out = static_cast<std::size_t>(from.n_out);
  to.reach = from.reach;
  const std::size_t size = work.in == TileElement::bfloat16 ? 2 : 1;
  constexpr std::size_t channel_step = 32;
  const std::size_t n_slots =
      first ? n_input_slots : rounded_to(static_cast<std::size_t>(from.n_in), channel_step);
  work.in_stride = n_slots * size;
  const std::size_t n_channels = rounded_to(work.n_out, channel_step);
  work.out_stride = last ? 0 : n_channels * (element_ == TileElement::bfloat16 ? 2 : 1);
  work.n_tiles = last ? (work.n_out + tile_outputs - 1) / tile_outputs : n_channels / tile_outputs;
  work.split_weights = last && work.n_out <= most_split_outputs;

  // Taps that follow each other are one run of memory, cut into blocks of one size.
  const std::vector<std::ptrdiff_t>& taps = from.taps;
  std::size_t run = 1;
  while (run < taps.size() && taps[run] == taps[run - 1] + 1) ++run;
  const std::size_t run_bytes = run * work.in_stride;
  const std::size_t n_per_run = (run_bytes + tile_bytes - 1) / tile_bytes;
  work.block_bytes = rounded_to((run_bytes + n_per_run - 1) / n_per_run, 4);
  for (std::size_t tap = 0; tap < taps.size(); tap += run) {
    for (std::size_t b = 0; b < n_per_run; ++b) {
      to.blocks.push_back(taps[tap] * static_cast<std::ptrdiff_t>(work.in_stride) +
                          static_cast<std::ptrdiff_t>(b * work.block_bytes));
    }
  }
  work.n_blocks = to.blocks.size();

  if (work.in == TileElement::byte) {
    to.weight_scale.assign(work.n_tiles * tile_outputs, 0.0F);
    for (int o = 0; o < from.n_out; ++o) {
      float largest = 0.0F;
      for (int i = 0; i < from.n_in; ++i) {
        for (int t = 0; t < static_cast<int>(taps.size()); ++t) {
          largest = std::max(largest, std::abs(from.weight(o, i, t)));
        }
      }
      const auto k = static_cast<std::size_t>(o);
      to.weight_scale[k] = largest / most_weight;
      if (work.split_weights)
        to.weight_scale[k + most_split_outputs] = to.weight_scale[k] / rest_steps;
    }
  }
  to.weights.assign(work.n_tiles * work.n_blocks * work.block_bytes * tile_outputs, 0);
  for (std::size_t column = 0; column < work.n_tiles * tile_outputs; ++column) {
    const bool is_rest = work.split_weights && column >= most_split_outputs;
    const std::size_t output = is_rest ? column - most_split_outputs : column;
    if (output >= work.n_out) continue;
    for (std::size_t b = 0; b < work.n_blocks; ++b) {
      std::uint8_t* block = to.weights.data() + ((column / tile_outputs) * work.n_blocks + b) *
                                                    work.block_bytes * tile_outputs;
      for (std::size_t byte = 0; byte < work.block_bytes; byte += size) {
        const std::size_t at = b % n_per_run * work.block_bytes + byte;
        if (at >= run_bytes) continue;
        const std::size_t slot = at % work.in_stride / size;
        const int input = first ? input_of_slot[slot] : static_cast<int>(slot);
        if (input >= from.n_in) continue;
        const auto tap = static_cast<int>(b / n_per_run * run + at / work.in_stride);
        const float weight = from.weight(static_cast<int>(output), input, tap);
        std::uint8_t* to_byte =
            block + byte / 4 * tile_bytes + column % tile_outputs * 4 + byte % 4;
        if (work.in == TileElement::bfloat16) {
          const bool left = is_rest || (first && rest_of_weight[slot]);
          const std::uint16_t half = to_bfloat16(left ? rest(weight) : weight);
          std::memcpy(to_byte, &half, sizeof(half));
        } else {
          const float scale = to.weight_scale[output];
          const float whole = scale > 0.0F ? std::nearbyint(weight / scale) : 0.0F;
          const float steps = !is_rest || scale <= 0.0F
                                  ? whole
                                  : std::nearbyint((weight / scale - whole) * rest_steps);
          *to_byte = static_cast<std::uint8_t>(
              static_cast<std::int8_t>(std::clamp(steps, -most_weight, most_weight)));
        }
      }
    }
  }
}

TileWorkspace TileNetwork::make_workspace() const {
  TileWorkspace out;
  for (Buffer& entries : out.entries) {
    // Entries of a last tile, and what its kernel reaches beyond, lie in what is added.
    entries =
        Buffer((shape_.plane + 2 * shape_.row + 2 * tile_entries) * entry_bytes_ / sizeof(float));
  }
  return out;
}

void TileNetwork::set_scales(const float* largest, float* scales) const {
  float* of_bytes = scales + n_scales_ - layers_.size();
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    if (i + 1 < layers_.size()) of_bytes[i] = most_byte / largest[i];
    if (layer.work.in != TileElement::byte) continue;
    for (std::size_t k = 0; k < layer.weight_scale.size(); ++k) {
      scales[layer.first_scale + k] = layer.weight_scale[k] * largest[i - 1] / most_byte;
    }
  }
}

void TileNetwork::fill_edges(std::uint8_t* entries, std::size_t stride,
                             const EdgeReach& reach) const {
  const std::size_t n_slow = shape_.n_slow, n_fast = shape_.n_fast;
  const auto put = [&](std::uint8_t* to, const std::uint8_t* from, std::size_t n) {
    if (circular_) {
      std::memcpy(to, from, n * stride);
    } else {
      std::memset(to, 0, n * stride);
    }
  };
  std::uint8_t* first = entries + shape_.first * stride;
  const std::size_t around = n_fast * stride, row = shape_.row * stride;
  // Outwards, so that a reach of more than a plane goes around it again.
  for (std::size_t s = 0; s < n_slow; ++s) {
    std::uint8_t* begin = first + s * row;
    for (std::size_t done = 0; done < reach.fast; done += n_fast) {
      const std::size_t n = std::min(n_fast, reach.fast - done);
      std::uint8_t *after = begin + (n_fast + done) * stride, *before = begin - (done + n) * stride;
      put(after, after - around, n);
      put(before, before + around, n);
    }
  }
  std::uint8_t* corner = first - reach.fast * stride;
  const std::size_t line = n_fast + 2 * reach.fast;
  for (std::size_t k = 0; k < reach.slow; ++k) {
    std::uint8_t *above = corner - (k + 1) * row, *below = corner + (n_slow + k) * row;
    put(above, above + n_slow * row, line);
    put(below, below - n_slow * row, line);
  }
}

void TileNetwork::put_input(const float* re, const float* im, const float* magnitude, float gain,
                            std::size_t width, TileWorkspace& workspace) const {
  auto* entries = reinterpret_cast<std::uint8_t*>(workspace.entries[0].data());
  constexpr std::size_t stride = n_input_slots * sizeof(std::uint16_t);
  for (std::size_t s = 0; s < shape_.n_slow; ++s) {
    std::uint8_t* to = entries + (shape_.first + s * shape_.row) * stride;
    for (std::size_t k = s * width; k < s * width + shape_.n_fast; ++k, to += stride) {
      const float x = gain * re[k], y = gain * im[k];
      const std::uint16_t a = to_bfloat16(x), b = to_bfloat16(y),
                          m = magnitude ? to_bfloat16(magnitude[k]) : std::uint16_t{0};
      const std::uint16_t slots[n_input_slots] = {
          a, b, m, to_bfloat16(x - from_bfloat16(a)), to_bfloat16(y - from_bfloat16(b)), a, b, m};
      std::memcpy(to, slots, sizeof(slots));
    }
  }
}

void TileNetwork::run(const float* gain, const float* offset, const float* scales,
                      TileWorkspace& workspace, float* out) const {
  const TileKernel kernel = tile_kernel();
  const float* of_bytes = scales + n_scales_ - layers_.size();
  int from = 0;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    TileConvolution work = layer.work;
    auto* in = reinterpret_cast<std::uint8_t*>(workspace.entries[from].data());
    fill_edges(in, work.in_stride, layer.reach);
    work.blocks = layer.blocks.data();
    work.weights = layer.weights.data();
    work.gain = gain + layer.first_output;
    work.offset = offset + layer.first_output;
    if (work.in == TileElement::byte) work.scale = scales + layer.first_scale;
    if (work.out == TileElement::byte) work.out_scale = of_bytes[i];
    work.map = i == 0 && map_.size() > 0 ? map_.data() : nullptr;
    work.in_data = in;
    const bool last = i + 1 == layers_.size();
    work.out_data = last ? out : workspace.entries[1 - from].data();
    work.plane = shape_.plane;
    const std::size_t n_runs = shape_.flat ? 1 : shape_.n_slow;
    const std::size_t length =
        shape_.flat ? (shape_.n_slow - 1) * shape_.row + shape_.n_fast : shape_.n_fast;
    for (std::size_t r = 0; r < n_runs; ++r) {
      const std::size_t begin = shape_.first + r * shape_.row;
      kernel(work, begin, begin + length);
    }
    from = 1 - from;
  }
}

}  // namespace inference
}  // namespace v0
}  // namespace chest
