#pragma once

#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/random.hpp>
#include <cmath>
#include <string>
#include <vector>

namespace chest {

/// A network with random weights: for speed and for laws that
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
    if (config.bias_free) {
      model.weights.push_back(std::move(weight));
      return;
    }
    NamedTensor bias{name + ".bias", {dims[0]}, {}};
    bias.values.resize(static_cast<std::size_t>(dims[0]));
    for (float& value : bias.values) value = static_cast<float>(0.1 * rng.normal());
    model.weights.push_back(std::move(weight));
    model.weights.push_back(std::move(bias));
  };
  int n_in = config.n_inputs(), n_modulated = 0;
  for (std::size_t i = 0; i <= config.hidden.size(); ++i) {
    const int n_out = i < config.hidden.size() ? config.hidden[i] : config.n_outputs();
    const KernelSize kernel = config.kernel_size(static_cast<std::size_t>(i));
    layer("conv" + std::to_string(i), {n_out, n_in, kernel.rows, kernel.columns});
    n_in = n_out;
  }
  for (const int i : config.modulated) n_modulated += config.hidden[static_cast<std::size_t>(i)];
  if (config.bias_free) {
    model.prediction = Prediction::epsilon;
    return model;
  }
  layer("modulation", {2 * n_modulated, config.embedding});
  return model;
}

}  // namespace chest
