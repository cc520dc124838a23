#include <chest/estimators/inference/convolution_gradient.hpp>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include <chest/bfloat16.hpp>

#include "buffer.hpp"
#include "tiles.hpp"

namespace chest {
inline namespace v0 {
namespace inference {
namespace {

constexpr std::size_t entry_step = 32, input_step = 8, channel_step = 32;

std::size_t up_to(std::size_t n, std::size_t step) { return (n + step - 1) / step * step; }

/// Where the weights of a layer, or of its transpose, go: of each value that tiles read its place in the layer's
/// weights, or the place behind them, where a zero is.
struct TilePacking {
  std::size_t block_bytes = 0, n_per_run = 0, n_tiles = 0;
  std::vector<std::int32_t> source;

  /// @param n_in, in_stride  channels of an entry, and the places that it has for them
  /// @param run              taps that follow each other in memory
  /// @param source           place of the weight of an output, an input and a tap
  template <class Source>
  void plan(std::size_t n_in, std::size_t in_stride, std::size_t n_out, std::size_t out_channels,
            std::size_t n_taps, std::size_t run, std::int32_t zero, const Source& source_of) {
    const std::size_t run_bytes = run * in_stride * 2;
    n_per_run = (run_bytes + tile_bytes - 1) / tile_bytes;
    block_bytes = up_to((run_bytes + n_per_run - 1) / n_per_run, 4);
    n_tiles = out_channels / tile_outputs;
    const std::size_t n_blocks = n_taps / run * n_per_run, size = block_bytes / 2 * tile_outputs;
    source.assign(n_tiles * n_blocks * size, zero);
    for (std::size_t column = 0; column < n_out; ++column) {
      for (std::size_t b = 0; b < n_blocks; ++b) {
        std::int32_t* block = source.data() + (column / tile_outputs * n_blocks + b) * size;
        for (std::size_t k = 0; k < block_bytes / 2; ++k) {
          const std::size_t at = b % n_per_run * block_bytes / 2 + k;
          const std::size_t slot = at % in_stride, tap = b / n_per_run * run + at / in_stride;
          if (at >= run * in_stride || slot >= n_in) continue;
          block[k / 2 * 2 * tile_outputs + column % tile_outputs * 2 + k % 2] =
              source_of(column, slot, tap);
        }
      }
    }
  }
};

/// What the layers of a network have in common for planes of any size.
struct StackPlan {
  struct Layer {
    std::size_t n_in = 0, n_out = 0;            ///< channels
    std::size_t in_stride = 0, out_stride = 0;  ///< bfloat16 of an entry
    TilePacking forward, backward;
  };
  std::size_t kernel_slow = 0, kernel_fast = 0;
  std::vector<std::size_t> channels;
  std::vector<std::size_t> kernel_of_tap;  ///< its place in a kernel of the weights
  std::vector<Layer> layers;

  StackPlan(std::vector<std::size_t> all_channels, std::size_t slow, std::size_t fast,
            bool rows_are_fast)
      : kernel_slow(slow), kernel_fast(fast), channels(std::move(all_channels)) {
    for (std::size_t s = 0; s < slow; ++s) {
      for (std::size_t f = 0; f < fast; ++f) {
        kernel_of_tap.push_back(rows_are_fast ? f * slow + s : s * fast + f);
      }
    }
    const std::size_t n_taps = slow * fast, n_layers = channels.size() - 1;
    for (std::size_t l = 0; l < n_layers; ++l) {
      Layer layer;
      const std::size_t n_in = layer.n_in = channels[l], n_out = layer.n_out = channels[l + 1];
      layer.in_stride = up_to(n_in, l == 0 ? input_step : channel_step);
      layer.out_stride = up_to(n_out, channel_step);
      const auto zero = static_cast<std::int32_t>(n_in * n_out * n_taps);
      const auto place = [&](std::size_t out, std::size_t in, std::size_t tap) {
        return static_cast<std::int32_t>((out * n_in + in) * n_taps + kernel_of_tap[tap]);
      };
      layer.forward.plan(n_in, layer.in_stride, n_out,
                         l + 1 == n_layers ? up_to(n_out, tile_outputs) : layer.out_stride, n_taps,
                         fast, zero, place);
      // Around what goes in, the taps of what comes out are the other way round.
      if (l > 0) {
        layer.backward.plan(n_out, layer.out_stride, n_in, layer.in_stride, n_taps, fast, zero,
                            [&](std::size_t in, std::size_t out, std::size_t tap) {
                              return place(out, in, n_taps - 1 - tap);
                            });
      }
      layers.push_back(std::move(layer));
    }
  }
};

/// Plans are costly, and networks few: the last ones are kept.
std::shared_ptr<const StackPlan> plan_of(const StackShape& shape, bool rows_are_fast) {
  struct Kept {
    bool rows_are_fast;
    std::shared_ptr<const StackPlan> plan;
  };
  static std::mutex mutex;
  static std::vector<Kept> kept;
  const std::size_t slow = rows_are_fast ? shape.kernel_columns : shape.kernel_rows;
  const std::size_t fast = rows_are_fast ? shape.kernel_rows : shape.kernel_columns;
  const std::lock_guard lock(mutex);
  for (const Kept& each : kept) {
    if (each.rows_are_fast == rows_are_fast && each.plan->channels == shape.channels &&
        each.plan->kernel_slow == slow && each.plan->kernel_fast == fast) {
      return each.plan;
    }
  }
  constexpr std::size_t most_kept = 8;
  if (kept.size() == most_kept) kept.erase(kept.begin());
  kept.push_back({rows_are_fast,
                  std::make_shared<const StackPlan>(shape.channels, slow, fast, rows_are_fast)});
  return kept.back().plan;
}

class TileGradient final : public ConvolutionGradient {
 public:
  TileGradient(StackShape shape, bool instructions);
  const StackShape& shape() const override { return shape_; }
  void forward(const PlaneView& x, const std::vector<const float*>& weights,
               const std::vector<const float*>& biases, float* out) override;
  void backward(const PlaneView& d_out, const std::vector<float*>& d_weights,
                const std::vector<float*>& d_biases) override;

 private:
  static std::uint16_t* entries(Buffer& buffer) {
    return reinterpret_cast<std::uint16_t*>(buffer.data());
  }
  void pack(const StackPlan::Layer& layer, const float* weights, std::size_t l);
  void fill_edges(std::uint16_t* entries, std::size_t stride, bool circular) const;
  void convolve(const TilePacking& packing, const std::vector<std::uint16_t>& weights,
                const std::uint16_t* in, std::size_t in_stride, std::size_t n_out,
                std::size_t out_stride, const float* offset, bool relu, void* out) const;
  /// visit(entry, image, row, column) of what is inside.
  template <class Visit>
  void for_inside(const Visit& visit) const;

  StackShape shape_;
  bool instructions_, rows_are_fast_;
  std::shared_ptr<const StackPlan> plan_;
  std::size_t n_slow_, n_fast_, pad_slow_, pad_fast_, row_, image_, first_, length_, n_entries_;
  std::vector<std::ptrdiff_t> taps_;
  std::vector<std::uint16_t> halves_;  ///< weights of one layer, and a zero
  std::vector<std::vector<std::uint16_t>> forward_, backward_;  ///< of each layer, packed
  std::vector<Buffer> values_;  ///< what goes into each layer, entries
  Buffer gradients_[2];         ///< of what comes out, and of what goes in
  Buffer planes_, pairs_, sums_, last_, ones_, zeros_;
};

TileGradient::TileGradient(StackShape shape, bool instructions)
    : shape_(std::move(shape)),
      instructions_(instructions),
      rows_are_fast_(shape_.n_rows >= shape_.n_columns),
      plan_(plan_of(shape_, rows_are_fast_)),
      forward_(plan_->layers.size()),
      backward_(plan_->layers.size()) {
  n_slow_ = rows_are_fast_ ? shape_.n_columns : shape_.n_rows;
  n_fast_ = rows_are_fast_ ? shape_.n_rows : shape_.n_columns;
  pad_slow_ = plan_->kernel_slow / 2;
  pad_fast_ = plan_->kernel_fast / 2;
  row_ = n_fast_ + 2 * pad_fast_;
  image_ = (n_slow_ + 2 * pad_slow_) * row_;
  first_ = pad_slow_ * row_ + pad_fast_;
  // One run over all images, with the edges between them.
  length_ = up_to((shape_.n_images - 1) * image_ + (n_slow_ - 1) * row_ + n_fast_, entry_step);
  n_entries_ = up_to(2 * first_ + length_ + entry_step, entry_step);
  for (std::size_t slow = 0; slow < plan_->kernel_slow; ++slow) {
    for (std::size_t fast = 0; fast < plan_->kernel_fast; ++fast) {
      taps_.push_back(static_cast<std::ptrdiff_t>(slow * row_ + fast) -
                      static_cast<std::ptrdiff_t>(first_));
    }
  }
  std::size_t most_stride = 0, most_sums = 0;
  for (const StackPlan::Layer& layer : plan_->layers) {
    // What is read as a tile of channels reaches into the next entry.
    values_.emplace_back((n_entries_ + 1) * layer.in_stride / 2);
    most_stride = std::max({most_stride, layer.in_stride, layer.out_stride});
    most_sums =
        std::max(most_sums, taps_.size() * up_to(layer.in_stride, tile_outputs) * layer.out_stride);
  }
  for (Buffer& each : gradients_) each = Buffer(n_entries_ * most_stride / 2);
  planes_ = Buffer(n_entries_ * most_stride / 2);
  pairs_ = Buffer(length_ * most_stride / 2);
  sums_ = Buffer(most_sums);
  last_ = Buffer(n_entries_ * shape_.channels.back());
  ones_ = Buffer(most_stride);
  std::fill_n(ones_.data(), most_stride, 1.0F);
  zeros_ = Buffer(most_stride);
}

void TileGradient::pack(const StackPlan::Layer& layer, const float* weights, std::size_t l) {
  const std::size_t n = layer.n_in * layer.n_out * taps_.size();
  halves_.resize(n + 1);
  std::transform(weights, weights + n, halves_.begin(), to_bfloat16);
  halves_[n] = 0;
  const auto put = [&](const TilePacking& packing, std::vector<std::uint16_t>& to) {
    to.resize(packing.source.size());
    for (std::size_t k = 0; k < to.size(); ++k) {
      to[k] = halves_[static_cast<std::size_t>(packing.source[k])];
    }
  };
  put(layer.forward, forward_[l]);
  put(layer.backward, backward_[l]);
}

template <class Visit>
void TileGradient::for_inside(const Visit& visit) const {
  for (std::size_t n = 0; n < shape_.n_images; ++n) {
    for (std::size_t s = 0; s < n_slow_; ++s) {
      const std::size_t at = n * image_ + first_ + s * row_;
      for (std::size_t f = 0; f < n_fast_; ++f) {
        visit(at + f, n, rows_are_fast_ ? f : s, rows_are_fast_ ? s : f);
      }
    }
  }
}

void TileGradient::fill_edges(std::uint16_t* entries, std::size_t stride, bool circular) const {
  const std::size_t bytes = stride * sizeof(std::uint16_t);
  const auto put = [&](std::uint16_t* to, const std::uint16_t* from, std::size_t n) {
    if (circular) {
      std::memcpy(to, from, n * bytes);
    } else {
      std::memset(to, 0, n * bytes);
    }
  };
  for (std::size_t n = 0; n < shape_.n_images; ++n) {
    std::uint16_t* first = entries + (n * image_ + first_) * stride;
    for (std::size_t s = 0; s < n_slow_; ++s) {
      std::uint16_t* row = first + s * row_ * stride;
      put(row + n_fast_ * stride, row, pad_fast_);
      put(row - pad_fast_ * stride, row + (n_fast_ - pad_fast_) * stride, pad_fast_);
    }
    std::uint16_t* corner = first - pad_fast_ * stride;
    const std::size_t row = row_ * stride;
    for (std::size_t k = 0; k < pad_slow_; ++k) {
      put(corner + k * row - pad_slow_ * row, corner + (n_slow_ - pad_slow_ + k) * row, row_);
      put(corner + (n_slow_ + k) * row, corner + k * row, row_);
    }
  }
}

void TileGradient::convolve(const TilePacking& packing, const std::vector<std::uint16_t>& weights,
                            const std::uint16_t* in, std::size_t in_stride, std::size_t n_out,
                            std::size_t out_stride, const float* offset, bool relu,
                            void* out) const {
  std::vector<std::ptrdiff_t> blocks;
  for (std::size_t tap = 0; tap < taps_.size(); tap += plan_->kernel_fast) {
    for (std::size_t b = 0; b < packing.n_per_run; ++b) {
      blocks.push_back(taps_[tap] * static_cast<std::ptrdiff_t>(2 * in_stride) +
                       static_cast<std::ptrdiff_t>(b * packing.block_bytes));
    }
  }
  TileConvolution work;
  work.in_stride = in_stride * sizeof(std::uint16_t);
  work.out_stride = out_stride * sizeof(std::uint16_t);
  work.blocks = blocks.data();
  work.n_blocks = blocks.size();
  work.block_bytes = packing.block_bytes;
  work.weights = reinterpret_cast<const std::uint8_t*>(weights.data());
  work.n_out = n_out;
  work.n_tiles = packing.n_tiles;
  work.gain = ones_.data();
  work.offset = offset;
  work.relu = relu;
  work.in_data = reinterpret_cast<const std::uint8_t*>(in);
  work.out_data = out;
  work.plane = n_entries_;
  tile_kernel(instructions_)(work, first_, first_ + length_);
}

void TileGradient::forward(const PlaneView& x, const std::vector<const float*>& weights,
                           const std::vector<const float*>& biases, float* out) {
  const std::size_t n_inputs = shape_.channels.front();
  std::uint16_t* in = entries(values_.front());
  for_inside([&](std::size_t at, std::size_t n, std::size_t row, std::size_t column) {
    const float* from = x.data + static_cast<std::ptrdiff_t>(n) * x.image +
                        static_cast<std::ptrdiff_t>(row) * x.row +
                        static_cast<std::ptrdiff_t>(column) * x.column;
    std::uint16_t* to = in + at * plan_->layers.front().in_stride;
    for (std::size_t c = 0; c < n_inputs; ++c) {
      to[c] = to_bfloat16(from[static_cast<std::ptrdiff_t>(c) * x.channel]);
    }
  });
  for (std::size_t l = 0; l < plan_->layers.size(); ++l) {
    const StackPlan::Layer& layer = plan_->layers[l];
    pack(layer, weights[l], l);
    std::uint16_t* values = entries(values_[l]);
    fill_edges(values, layer.in_stride, shape_.circular);
    const bool last = l + 1 == plan_->layers.size();
    convolve(layer.forward, forward_[l], values, layer.in_stride, layer.n_out,
             last ? 0 : layer.out_stride, biases[l], shape_.relu[l],
             last ? static_cast<void*>(last_.data()) : entries(values_[l + 1]));
  }
  const std::size_t n_outputs = shape_.channels.back();
  for_inside([&](std::size_t at, std::size_t n, std::size_t row, std::size_t column) {
    float* to = out + (n * n_outputs * shape_.n_rows + row) * shape_.n_columns + column;
    for (std::size_t c = 0; c < n_outputs; ++c) {
      to[c * shape_.n_rows * shape_.n_columns] = last_[c * n_entries_ + at];
    }
  });
}

void TileGradient::backward(const PlaneView& d_out, const std::vector<float*>& d_weights,
                            const std::vector<float*>& d_biases) {
  const TileGradientKernels& kernels = tile_gradient_kernels(instructions_);
  const std::size_t n_outputs = shape_.channels.back(), n_taps = taps_.size();
  int from = 0;
  std::uint16_t* gradient = entries(gradients_[from]);
  const std::size_t last_stride = plan_->layers.back().out_stride;
  std::memset(gradient, 0, n_entries_ * last_stride * sizeof(std::uint16_t));
  for_inside([&](std::size_t at, std::size_t n, std::size_t row, std::size_t column) {
    const float* value = d_out.data + static_cast<std::ptrdiff_t>(n) * d_out.image +
                         static_cast<std::ptrdiff_t>(row) * d_out.row +
                         static_cast<std::ptrdiff_t>(column) * d_out.column;
    for (std::size_t c = 0; c < n_outputs; ++c) {
      gradient[at * last_stride + c] =
          to_bfloat16(value[static_cast<std::ptrdiff_t>(c) * d_out.channel]);
    }
  });
  for (std::size_t l = plan_->layers.size(); l-- > 0;) {
    const StackPlan::Layer& layer = plan_->layers[l];
    const std::size_t n_in = up_to(layer.in_stride, tile_outputs), n_out = layer.out_stride;
    // The edges around what comes out count for nothing.
    fill_edges(gradient, n_out, false);
    const std::size_t end = shape_.n_images * image_;
    std::memset(gradient + end * n_out, 0, (n_entries_ - end) * n_out * sizeof(std::uint16_t));
    float* sums = sums_.data();
    std::memset(sums, 0, n_out * sizeof(float));
    kernels.add_up(gradient + first_ * n_out, length_, n_out, sums);
    std::copy_n(sums, layer.n_out, d_biases[l]);

    // Channels of an entry of the first layer are fewer than a tile of them, the next entry's follow.
    std::uint16_t* planes = entries(planes_);
    kernels.transpose_entries(entries(values_[l]), layer.in_stride, n_entries_, n_in, planes,
                              n_entries_);
    kernels.pair_entries(gradient + first_ * n_out, length_, n_out, entries(pairs_));
    std::memset(sums, 0, n_taps * n_in * n_out * sizeof(float));
    TileCorrelation work;
    work.in = planes + first_;
    work.in_plane = n_entries_;
    work.n_in = n_in;
    work.out = entries(pairs_);
    work.n_out = n_out;
    work.taps = taps_.data();
    work.n_taps = n_taps;
    work.n_entries = length_;
    work.sums = sums;
    kernels.correlate(work);
    for (std::size_t t = 0; t < n_taps; ++t) {
      for (std::size_t i = 0; i < layer.n_in; ++i) {
        const float* row = sums + (t * n_in + i) * n_out;
        for (std::size_t o = 0; o < layer.n_out; ++o) {
          d_weights[l][(o * layer.n_in + i) * n_taps + plan_->kernel_of_tap[t]] = row[o];
        }
      }
    }
    if (l == 0) return;
    if (shape_.circular) fill_edges(gradient, n_out, true);
    std::uint16_t* next = entries(gradients_[1 - from]);
    convolve(layer.backward, backward_[l], gradient, n_out, layer.n_in, layer.in_stride,
             zeros_.data(), false, next);
    if (shape_.relu[l - 1]) {
      kernels.mask(entries(values_[l]) + first_ * layer.in_stride, length_ * layer.in_stride,
                   next + first_ * layer.in_stride);
    }
    from = 1 - from;
    gradient = next;
  }
}

}  // namespace
}  // namespace inference

std::unique_ptr<ConvolutionGradient> make_convolution_gradient(const StackShape& shape,
                                                               bool instructions) {
  return std::make_unique<inference::TileGradient>(
      shape, instructions && inference::has_tile_instructions());
}

}  // namespace v0
}  // namespace chest
