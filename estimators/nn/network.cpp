#include "network.hpp"

#include <cmath>

#include <chest/random.hpp>

#include "../network_layout.hpp"

namespace chest::nn {
namespace {

// In the precision of x.
at::Tensor convolve(const at::Tensor& x, const Layer& layer) {
  const at::ScalarType type = x.scalar_type();
  return at::conv2d(x, layer.weight.to(type), layer.bias.to(type), 1, layer.weight.size(2) / 2);
}

}  // namespace

at::Tensor flat_weights(const NetworkConfig& config, const std::vector<NamedTensor>& weights) {
  std::vector<at::Tensor> parts;
  for (const NamedTensor& tensor :
       arranged_weights(config, weights, ErrorKind::invalid_argument, "network")) {
    parts.push_back(at::empty({n_values(tensor.dims)}, at::kFloat));
    std::copy(tensor.values.begin(), tensor.values.end(), parts.back().data_ptr<float>());
  }
  return at::cat(parts);
}

std::vector<NamedTensor> named_weights(const NetworkConfig& config, const at::Tensor& flat) {
  const at::Tensor values = flat.detach().to(at::kCPU, at::kFloat).contiguous();
  const float* next = values.data_ptr<float>();
  std::vector<NamedTensor> weights = network_layout(config);
  for (NamedTensor& tensor : weights) {
    tensor.values.assign(next, next + n_values(tensor.dims));
    next += n_values(tensor.dims);
  }
  return weights;
}

at::Tensor initial_weights(const NetworkConfig& config, std::uint64_t seed) {
  std::vector<NamedTensor> weights = network_layout(config);
  double bound = 0.0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    NamedTensor& tensor = weights[i];
    // A bias follows its weight and has the same fan-in.
    if (tensor.dims.size() > 1) {
      bound = 1.0 / std::sqrt(static_cast<double>(n_values(tensor.dims) / tensor.dims.front()));
    }
    Rng rng(seed, {Purpose::initial_weights, i});
    tensor.values.resize(n_values(tensor.dims));
    for (float& value : tensor.values) {
      value = static_cast<float>(bound * (2.0 * rng.uniform() - 1.0));
    }
  }
  return flat_weights(config, weights);
}

Network network_of(const NetworkConfig& config, const at::Tensor& flat) {
  Network network;
  std::int64_t first = 0;
  const auto next = [&](const std::vector<std::int64_t>& dims) {
    const std::int64_t n = n_values(dims);
    first += n;
    return flat.narrow(0, first - n, n).view(dims);
  };
  const std::vector<NamedTensor> layout = network_layout(config);
  for (std::size_t i = 0; i < layout.size(); i += 2) {
    Layer layer;
    layer.weight = next(layout[i].dims);
    layer.bias = next(layout[i + 1].dims);
    if (layout[i].name.starts_with("cnn_pre")) {
      network.pre.push_back(layer);
    } else if (layout[i].name.starts_with("cnn_post")) {
      network.post.push_back(layer);
    } else {
      network.time = layer;
    }
  }
  return network;
}

at::Tensor noise_embedding(const at::Tensor& index, std::int64_t n_features) {
  const std::int64_t n = n_features / 2;
  const double rate = -std::log(1e4) / static_cast<double>(n - 1);
  const at::Tensor f = at::arange(n, index.options()).mul_(rate).exp_();
  const at::Tensor phase = index.unsqueeze(1) * f.unsqueeze(0);
  return at::cat({phase.sin(), phase.cos()}, 1);
}

at::Tensor forward(const Network& network, at::Tensor x, const at::Tensor& embedding) {
  for (std::size_t i = 0; i < network.pre.size(); ++i) {
    x = convolve(x, network.pre[i]);
    if (i + 1 < network.pre.size()) x = x.relu_();
  }
  const at::Tensor film =
      at::linear(embedding, network.time.weight, network.time.bias).to(x.scalar_type());
  const std::int64_t n_channels = film.size(1) / 2;
  const at::Tensor scale = film.narrow(1, 0, n_channels).unsqueeze(-1).unsqueeze(-1);
  const at::Tensor shift = film.narrow(1, n_channels, n_channels).unsqueeze(-1).unsqueeze(-1);
  x = at::addcmul(shift, x, scale + 1.0);
  for (std::size_t i = 0; i < network.post.size(); ++i) {
    x = convolve(x, network.post[i]);
    if (i + 1 < network.post.size()) x = x.relu_();
  }
  return x;
}

FixedLevelNetwork::FixedLevelNetwork(const Network& network, const at::Tensor& embedding,
                                     at::ScalarType precision)
    : layers_(network.pre), i_modulated_(network.pre.size() - 1) {
  const at::Tensor film = at::linear(embedding, network.time.weight, network.time.bias).squeeze(0);
  const std::int64_t n_channels = film.size(0) / 2;
  const at::Tensor gain = film.narrow(0, 0, n_channels) + 1.0;
  Layer& modulated = layers_.back();
  modulated.weight = modulated.weight * gain.view({-1, 1, 1, 1});
  modulated.bias = modulated.bias * gain + film.narrow(0, n_channels, n_channels);
  layers_.insert(layers_.end(), network.post.begin(), network.post.end());
  for (Layer& layer : layers_) {
    layer.weight = layer.weight.to(precision).contiguous(at::MemoryFormat::ChannelsLast);
    layer.bias = layer.bias.to(precision);
  }
}

at::Tensor FixedLevelNetwork::forward(const at::Tensor& input) const {
  at::Tensor x = input.to(layers_.front().weight.scalar_type());
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    x = convolve(x, layers_[i]);
    if (i != i_modulated_ && i + 1 < layers_.size()) x = x.relu_();
  }
  return x.to(input.scalar_type());
}

}  // namespace chest::nn
