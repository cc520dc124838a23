#pragma once

#include <chest/estimators/network.hpp>
#include <chest/random.hpp>
#include <cmath>
#include <string>
#include <vector>

namespace chest {

/// A network of the letter's layers, or of fewer, with random weights: for speed and for laws that
/// do not need a good prior.
inline NetworkModel random_network_model(arma::uword n_rx, arma::uword n_tx,
                                         const NetworkConfig& config = {}) {
  NetworkModel model;
  model.n_rx = n_rx;
  model.n_tx = n_tx;
  model.network = config;
  Rng rng(1, {Purpose::test});
  const auto layer = [&](const std::string& name, std::vector<std::int64_t> dims) {
    std::int64_t fan_in = 1;
    for (std::size_t i = 1; i < dims.size(); ++i) fan_in *= dims[i];
    const double spread = 1.0 / std::sqrt(static_cast<double>(fan_in));
    NamedTensor weight{name + ".weight", dims, {}};
    weight.values.resize(static_cast<std::size_t>(dims[0] * fan_in));
    for (float& value : weight.values) value = static_cast<float>(spread * rng.normal());
    NamedTensor bias{name + ".bias", {dims[0]}, {}};
    bias.values.resize(static_cast<std::size_t>(dims[0]));
    for (float& value : bias.values) value = static_cast<float>(0.1 * rng.normal());
    model.weights.push_back(std::move(weight));
    model.weights.push_back(std::move(bias));
  };
  const auto convolutions = [&](const std::string& name, const std::vector<int>& channels) {
    for (std::size_t i = 0; i + 1 < channels.size(); ++i) {
      layer(name + std::to_string(i), {channels[i + 1], channels[i], config.kernel, config.kernel});
    }
  };
  convolutions("cnn_pre.conv_pre", config.channels_pre);
  layer("time_mlp.time_linear1", {2 * config.channels_pre.back(), config.embedding});
  convolutions("cnn_post.conv_post", config.channels_post);
  return model;
}

}  // namespace chest
