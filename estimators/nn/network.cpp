#include "network.hpp"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/metrics.hpp>
#include <chest/random.hpp>

#include <chest/estimators/inference/convolution_gradient.hpp>
#include <chest/estimators/inference/precision.hpp>

#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/layout.hpp>

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

at::Tensor pad_circular(const at::Tensor& x, std::int64_t rows, std::int64_t columns) {
  const std::int64_t n_rows = x.size(2), n_cols = x.size(3);
  at::Tensor y = at::empty({x.size(0), x.size(1), n_rows + 2 * rows, n_cols + 2 * columns},
                           x.options(), at::MemoryFormat::ChannelsLast);
  const at::Tensor middle = y.narrow(3, columns, n_cols);
  middle.narrow(2, rows, n_rows).copy_(x);
  if (rows > 0) {
    middle.narrow(2, 0, rows).copy_(x.narrow(2, n_rows - rows, rows));
    middle.narrow(2, n_rows + rows, rows).copy_(x.narrow(2, 0, rows));
  }
  if (columns > 0) {
    y.narrow(3, 0, columns).copy_(y.narrow(3, n_cols, columns));
    y.narrow(3, n_cols + columns, columns).copy_(y.narrow(3, columns, columns));
  }
  return y;
}

// The gradient that autograd would derive passes over whole tensors for every narrow().
class CircularPadding : public torch::autograd::Function<CircularPadding> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            std::int64_t rows, std::int64_t columns) {
    context->saved_data["rows"] = rows;
    context->saved_data["columns"] = columns;
    return pad_circular(x, rows, columns);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const std::int64_t rows = context->saved_data["rows"].toInt(),
                       columns = context->saved_data["columns"].toInt();
    return {fold(fold(gradients[0], 3, columns), 2, rows), at::Tensor(), at::Tensor()};
  }

 private:
  static at::Tensor fold(const at::Tensor& g, std::int64_t dim, std::int64_t by) {
    if (by == 0) return g;
    const std::int64_t n = g.size(dim) - 2 * by;
    at::Tensor folded = g.narrow(dim, by, n).clone(at::MemoryFormat::ChannelsLast);
    folded.narrow(dim, 0, by).add_(g.narrow(dim, n + by, by));
    folded.narrow(dim, n - by, by).add_(g.narrow(dim, 0, by));
    return folded;
  }
};

PlaneView view_of(const at::Tensor& x) {
  return {x.data_ptr<float>(), x.stride(0), x.stride(1), x.stride(2), x.stride(3)};
}

std::size_t size_of(const at::Tensor& x, std::int64_t dim) {
  return static_cast<std::size_t>(x.size(dim));
}

/// All convolutions of a network at once, on a processor with tile instructions, for the gradient of weights and
/// biases.
class TileConvolutions : public torch::autograd::Function<TileConvolutions> {
 public:
  /// Between a pass and its gradient; the memory serves the next pass of the thread.
  struct Pass : torch::CustomClassHolder {
    explicit Pass(const StackShape& shape) {
      auto& kept = free_stacks();
      const auto found = std::find_if(kept.begin(), kept.end(),
                                      [&](const auto& each) { return each->shape() == shape; });
      if (found == kept.end()) {
        stack = make_convolution_gradient(shape, true);
      } else {
        stack = std::move(*found);
        kept.erase(found);
      }
    }
    ~Pass() override {
      constexpr std::size_t most_kept = 4;
      auto& kept = free_stacks();
      if (kept.size() == most_kept) kept.erase(kept.begin());
      kept.push_back(std::move(stack));
    }
    static std::vector<std::unique_ptr<ConvolutionGradient>>& free_stacks() {
      thread_local std::vector<std::unique_ptr<ConvolutionGradient>> stacks;
      return stacks;
    }
    std::unique_ptr<ConvolutionGradient> stack;
  };

  /// @param flat  weight and bias of each layer in turn
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& flat, const StackShape& shape) {
    const auto pass = c10::make_intrusive<Pass>(shape);
    at::Tensor out = at::empty(
        {x.size(0), static_cast<std::int64_t>(shape.channels.back()), x.size(2), x.size(3)},
        x.options(), at::MemoryFormat::Contiguous);
    const auto layers = parts<const float*>(shape, flat.data_ptr<float>());
    pass->stack->forward(view_of(x), layers.first, layers.second, out.data_ptr<float>());
    context->saved_data["pass"] = c10::IValue::make_capsule(pass);
    context->saved_data["size"] = flat.numel();
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto pass =
        c10::static_intrusive_pointer_cast<Pass>(context->saved_data["pass"].toCapsule());
    at::Tensor flat = at::empty({context->saved_data["size"].toInt()}, at::kFloat);
    const auto layers = parts<float*>(pass->stack->shape(), flat.data_ptr<float>());
    pass->stack->backward(view_of(gradients[0]), layers.first, layers.second);
    return {at::Tensor(), flat, at::Tensor()};
  }

 private:
  template <class Pointer>
  static std::pair<std::vector<Pointer>, std::vector<Pointer>> parts(const StackShape& shape,
                                                                     Pointer values) {
    std::pair<std::vector<Pointer>, std::vector<Pointer>> out;
    for (std::size_t l = 0; l + 1 < shape.channels.size(); ++l) {
      out.first.push_back(values);
      values +=
          shape.channels[l] * shape.channels[l + 1] * shape.kernel_rows * shape.kernel_columns;
      out.second.push_back(values);
      values += shape.channels[l + 1];
    }
    return out;
  }
};

// cos and sin of 2 pi k / N for the bins k of each side, [n, 4, n_rx, n_tx]; those of the columns,
// -N/2 .. N/2 - 1, take `turns` of the circle.
at::Tensor position_planes(const at::Tensor& like, double turns) {
  std::vector<at::Tensor> planes;
  for (const std::int64_t dim : {2, 3}) {
    const std::int64_t n = like.size(dim);
    at::Tensor angle = at::arange(n, like.options()) * (2.0 * M_PI / static_cast<double>(n));
    if (dim == 3 && turns != 1.0) {
      angle = at::where(angle >= M_PI, angle - 2.0 * M_PI, angle) * turns;
    }
    for (const at::Tensor& values : {angle.cos(), angle.sin()}) {
      planes.push_back((dim == 2 ? values.view({1, 1, n, 1}) : values.view({1, 1, 1, n}))
                           .expand({like.size(0), 1, like.size(2), like.size(3)}));
    }
  }
  return at::cat(planes, 1);
}

/// Planes with log(1 + gain |x|^2), scaled, as one more; as they are where gain is 0.
at::Tensor with_magnitude(const at::Tensor& x, double gain) {
  if (gain == 0.0) return x;
  const at::Tensor power = x.square().sum(1, /*keepdim=*/true);
  return at::cat({x, power.mul_(gain).log1p_().mul_(NetworkConfig::magnitude_scale)}, 1);
}

}  // namespace

at::Tensor flat_weights(const std::vector<NamedTensor>& layout,
                        const std::vector<NamedTensor>& weights) {
  std::vector<at::Tensor> parts;
  for (const NamedTensor& tensor :
       arranged_weights(layout, weights, ErrorKind::invalid_argument, "network")) {
    parts.push_back(at::empty({n_values(tensor.dims)}, at::kFloat));
    std::copy(tensor.values.begin(), tensor.values.end(), parts.back().data_ptr<float>());
  }
  return at::cat(parts);
}

std::vector<NamedTensor> named_weights(std::vector<NamedTensor> layout, const at::Tensor& flat) {
  const at::Tensor values = flat.detach().to(at::kCPU, at::kFloat).contiguous();
  const float* next = values.data_ptr<float>();
  for (NamedTensor& tensor : layout) {
    tensor.values.assign(next, next + n_values(tensor.dims));
    next += n_values(tensor.dims);
  }
  return layout;
}

at::Tensor initial_weights(std::vector<NamedTensor> layout, std::uint64_t seed) {
  double bound = 0.0;
  for (std::size_t i = 0; i < layout.size(); ++i) {
    NamedTensor& tensor = layout[i];
    // A bias follows its weight and has the same fan-in.
    if (tensor.dims.size() > 1) {
      bound = 1.0 / std::sqrt(static_cast<double>(n_values(tensor.dims) / tensor.dims.front()));
    }
    // What a class adds grows from nothing.
    if (tensor.name == "class.weight") bound = 0.0;
    Rng rng(seed, {Purpose::initial_weights, i});
    tensor.values.resize(n_values(tensor.dims));
    for (float& value : tensor.values) {
      value = static_cast<float>(bound * (2.0 * rng.uniform() - 1.0));
    }
  }
  return flat_weights(layout, layout);
}

std::vector<Layer> layers_of(const std::vector<NamedTensor>& layout, const at::Tensor& flat) {
  std::vector<Layer> layers;
  std::int64_t first = 0;
  const auto next = [&](const std::vector<std::int64_t>& dims) {
    const std::int64_t n = n_values(dims);
    first += n;
    return flat.narrow(0, first - n, n).view(dims);
  };
  for (std::size_t i = 0; i < layout.size(); ++i) {
    Layer layer;
    layer.weight = next(layout[i].dims);
    if (i + 1 < layout.size() && layout[i + 1].name.ends_with(".bias")) {
      layer.bias = next(layout[++i].dims);
    }
    layers.push_back(layer);
  }
  return layers;
}

Network network_of(const NetworkConfig& config, const at::Tensor& flat) {
  Network network;
  network.convolutions = layers_of(network_layout(config), flat);
  if (config.told_class) {
    network.classes = network.convolutions.back().weight;
    network.convolutions.pop_back();
  }
  if (!config.bias_free) {
    network.modulation = network.convolutions.back();
    network.convolutions.pop_back();
  }
  return network;
}

at::Tensor pad_periodic(const at::Tensor& x, std::int64_t rows, std::int64_t columns) {
  const std::int64_t some_rows = std::min(rows, x.size(2)),
                     some_columns = std::min(columns, x.size(3));
  if (some_rows < rows || some_columns < columns) {
    // What went around once goes around again.
    return pad_periodic(pad_periodic(x, some_rows, some_columns), rows - some_rows,
                        columns - some_columns);
  }
  return x.requires_grad() ? CircularPadding::apply(x, rows, columns)
                           : pad_circular(x, rows, columns);
}

at::Tensor noise_embedding(const NetworkConfig& config, const NoiseSchedule& schedule,
                           double sigma2) {
  const std::int64_t n = config.embedding / 2;
  at::Tensor phase;
  if (config.log_snr) {
    const double snr_db = sigma2 > 0.0 ? -to_db(sigma2) : config.snr_high_db;
    phase = at::arange(1, n + 1, at::kFloat) *
            (std::clamp(snr_db, config.snr_low_db, config.snr_high_db) * M_PI / 160.0);
  } else {
    const double index = sigma2 > 0.0 ? schedule.fractional_index(sigma2) : 0.0;
    const double rate = -std::log(1e4) / static_cast<double>(n - 1);
    phase = at::arange(n, at::kFloat).mul_(rate).exp_().mul_(index);
  }
  return at::cat({phase.sin(), phase.cos()}).unsqueeze(0);
}

std::optional<VarianceRange> range_of(const NetworkConfig& config, const NoiseSchedule& schedule,
                                      double sigma2) {
  if (!config.reverse_variance) return {};
  return variance_range(schedule, sigma2);
}

LevelNetwork::LevelNetwork(const NetworkConfig& config, const Network& network,
                           const at::Tensor& embedding, double sigma2, at::ScalarType precision,
                           double step, const std::optional<VarianceRange>& range,
                           std::int64_t which)
    : circular_(config.circular),
      is_grid_(config.circle > 0),
      gate_(config.gate),
      position_(config.position),
      variance_(config.variance),
      side_(config.side),
      n_heads_(config.n_heads()),
      precision_(precision),
      turns_(config.circle > 0 && step > 0.0 ? static_cast<double>(config.circle) / step : 1.0),
      range_(range),
      layers_(network.convolutions),
      relu_(layers_.size(), true) {
  if (config.magnitude) {
    const double level =
        std::clamp(sigma2, from_db(-config.snr_high_db), from_db(-config.snr_low_db));
    magnitude_gain_ = (1.0 + sigma2) / level;
  }
  relu_.back() = false;
  if (config.bias_free) {
    // o is the noise, of variance 1 at every level.
    const double level = std::max(sigma2, 1e-12);
    o_gain_ = std::sqrt((1.0 + level) / level);
  } else {
    modulate(config, network, embedding, which);
  }
  const at::Tensor& weight = layers_.front().weight;
  fits_on_tiles_ = precision == at::kBFloat16 && weight.scalar_type() == at::kFloat &&
                   weight.device().is_cpu() && weight.requires_grad() && !config.bias_free &&
                   !config.axial && at::GradMode::is_enabled() && has_fast_reduced_precision();
  if (!fits_on_tiles_) convert();
}

void LevelNetwork::convert() {
  for (Layer& layer : layers_) {
    layer.weight = layer.weight.to(precision_).contiguous(at::MemoryFormat::ChannelsLast);
    if (layer.bias.defined()) layer.bias = layer.bias.to(precision_);
  }
}

void LevelNetwork::modulate(const NetworkConfig& config, const Network& network,
                            const at::Tensor& embedding, std::int64_t which) {
  at::Tensor film = at::linear(embedding.to(network.modulation.weight.options()),
                               network.modulation.weight, network.modulation.bias)
                        .squeeze(0);
  if (which >= 0) film = film + network.classes.select(1, which);
  std::int64_t first = 0;
  for (const int i : config.modulated) {
    const std::int64_t n = config.hidden[i];
    const at::Tensor gain = film.narrow(0, first, n) + 1.0;
    layers_[i].weight = layers_[i].weight * gain.view({-1, 1, 1, 1});
    layers_[i].bias = layers_[i].bias * gain + film.narrow(0, first + n, n);
    relu_[i] = config.relu_after_modulation;
    first += 2 * n;
  }
}

NetworkOutput LevelNetwork::forward(const at::Tensor& input, const at::Tensor& side) const {
  const at::Tensor& kernel = layers_.front().weight;
  const bool goes_around_again =
      circular_ && (kernel.size(2) / 2 > input.size(2) || kernel.size(3) / 2 > input.size(3));
  if (fits_on_tiles_ && (input.requires_grad() || goes_around_again)) {
    LevelNetwork by_torch = *this;
    by_torch.fits_on_tiles_ = false;
    by_torch.convert();
    return by_torch.forward(input, side);
  }
  at::Tensor x = with_magnitude(input, magnitude_gain_);
  if (side_) {
    const double gain = magnitude_gain_ > 0.0 ? NetworkConfig::side_power_gain : 0.0;
    x = at::cat({x, side.defined() ? with_magnitude(side, gain) : at::zeros_like(x)}, 1);
  }
  if (position_) x = at::cat({x, position_planes(x, turns_)}, 1);
  x = fits_on_tiles_ ? convolved_on_tiles(x) : convolved(x);
  x = x.to(input.scalar_type());
  NetworkOutput output;
  output.o = x.narrow(1, 0, 2);
  if (o_gain_ != 1.0) output.o = output.o * o_gain_;
  std::int64_t next = 2;
  if (gate_) {
    const at::Tensor g_re = x.narrow(1, 2, 1), g_im = x.narrow(1, 3, 1);
    const at::Tensor re = input.narrow(1, 0, 1), im = input.narrow(1, 1, 1);
    output.o = output.o + at::cat({g_re * re - g_im * im, g_re * im + g_im * re}, 1);
    next += 2;
  }
  // Small values on a log scale, large ones in proportion to the channel's entries.
  if (range_) {
    // VarianceRange::variance() of either part, each half of the variance.
    const double log_ratio = range_->log_ratio, offset = 1.0 - range_->k;
    const at::Tensor shares =
        (((x.narrow(1, next, 2) + 1.0) * (log_ratio / 2.0)).expm1() + offset) /
        (std::expm1(log_ratio) + offset);
    output.deviation = shares.clamp_min(std::min(1.0, VarianceRange::least / range_->most))
                           .mean(1, /*keepdim=*/true)
                           .sqrt();
    next += 2;
  } else if (variance_) {
    output.deviation =
        at::softplus(x.narrow(1, next, 1).clamp_min(NetworkConfig::least_log_deviation));
    ++next;
  }
  if (n_heads_ > 0) output.heads = x.narrow(1, next, n_heads_).mean({2, 3});
  return output;
}

at::Tensor LevelNetwork::convolved_on_tiles(const at::Tensor& x) const {
  const bool is_one_row = is_grid_ && circular_ && x.size(2) == 1;
  const at::Tensor& first = layers_.front().weight;
  StackShape shape{
      size_of(x, 0),     size_of(x, 2), size_of(x, 3),   is_one_row ? 1 : size_of(first, 2),
      size_of(first, 3), circular_,     {size_of(x, 1)}, {}};
  std::vector<at::Tensor> flat;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const at::Tensor& weight = layers_[i].weight;
    flat.push_back((is_one_row ? weight.sum(2) : weight).reshape({-1}));
    flat.push_back(layers_[i].bias);
    shape.channels.push_back(size_of(weight, 0));
    shape.relu.push_back(relu_[i] != 0);
  }
  return TileConvolutions::apply(x, at::cat(flat), shape);
}

at::Tensor LevelNetwork::convolved(at::Tensor x) const {
  x = x.to(precision_).contiguous(at::MemoryFormat::ChannelsLast);
  // Around the circle of one row a kernel meets that row alone: its rows add up.
  const bool is_one_row = is_grid_ && circular_ && x.size(2) == 1;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    at::Tensor weight = layers_[i].weight.to(precision_).contiguous(at::MemoryFormat::ChannelsLast);
    if (is_one_row) weight = weight.sum(2, /*keepdim=*/true);
    const std::int64_t rows = weight.size(2) / 2, columns = weight.size(3) / 2;
    if (circular_ && rows + columns > 0) x = pad_periodic(x, rows, columns);
    x = circular_ ? at::conv2d(x, weight, layers_[i].bias)
                  : at::conv2d(x, weight, layers_[i].bias, 1, {rows, columns});
    if (relu_[i]) x = x.relu_();
  }
  return x;
}

}  // namespace nn
}  // namespace v0
}  // namespace chest
