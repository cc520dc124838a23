#include <chest/estimators/network/layout.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/network/config.hpp>

#include "settings.hpp"

namespace chest {
inline namespace v0 {

namespace {

// "[64, 32, 3, 3]"
std::string shape(const std::vector<std::int64_t>& dims) {
  std::string text = "[";
  for (std::size_t i = 0; i < dims.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(dims[i]);
  }
  return text + "]";
}

NamedTensor read_tensor(const ArchiveReader& archive, const std::string& dataset,
                        const NamedTensor& expected) {
  if (!archive.has(dataset)) throw_format(archive.file(), "no weights " + dataset);
  const StoredDataset info = archive.info(dataset);
  const std::vector<std::int64_t> dims(info.dims.begin(), info.dims.end());
  if (dims != expected.dims) {
    throw_format(archive.file(), "weights " + dataset + " have the shape " + shape(dims) +
                                     ", but the network's configuration asks for " +
                                     shape(expected.dims));
  }
  return {expected.name, dims, archive.read_all<float>(dataset)};
}

}  // namespace

std::int64_t n_values(const std::vector<std::int64_t>& dims) {
  std::int64_t n = 1;
  for (std::int64_t dim : dims) n *= dim;
  return n;
}

std::vector<NamedTensor> network_layout(const NetworkConfig& config) {
  std::vector<NamedTensor> layout;
  const auto layer = [&](const std::string& name, std::vector<std::int64_t> dims) {
    layout.push_back({name + ".weight", dims, {}});
    if (!config.bias_free) layout.push_back({name + ".bias", {dims.front()}, {}});
  };
  std::int64_t n_in = config.n_inputs(), n_modulated = 0;
  for (std::size_t i = 0; i <= config.hidden.size(); ++i) {
    const std::int64_t n_out = i < config.hidden.size() ? config.hidden[i] : config.n_outputs();
    const KernelSize kernel = config.kernel_size(i);
    layer("conv" + std::to_string(i), {n_out, n_in, kernel.rows, kernel.columns});
    n_in = n_out;
  }
  for (int i : config.modulated) n_modulated += config.hidden[i];
  if (!config.bias_free) layer("modulation", {2 * n_modulated, config.embedding});
  if (config.told_class) layout.push_back({"class.weight", {2 * n_modulated, config.classes}, {}});
  return layout;
}

std::string published_name(const NetworkConfig& config, const std::string& name) {
  const std::string layer = name.substr(0, name.find('.'));
  const std::string rest = name.substr(layer.size());
  if (layer == "modulation") return "time_mlp.time_linear1" + rest;
  const int i = std::stoi(layer.substr(4)), n_pre = config.modulated.front() + 1;
  return i < n_pre ? "cnn_pre.conv_pre" + std::to_string(i) + rest
                   : "cnn_post.conv_post" + std::to_string(i - n_pre) + rest;
}

std::vector<NamedTensor> arranged_weights(const std::vector<NamedTensor>& layout,
                                          const std::vector<NamedTensor>& weights, ErrorKind kind,
                                          const std::string& who) {
  std::vector<NamedTensor> arranged;
  for (const NamedTensor& expected : layout) {
    const auto found = std::find_if(weights.begin(), weights.end(), [&](const NamedTensor& tensor) {
      return tensor.name == expected.name;
    });
    if (found == weights.end()) throw Error(kind, who + ": no weights " + expected.name);
    if (found->dims != expected.dims ||
        static_cast<std::int64_t>(found->values.size()) != n_values(expected.dims)) {
      throw Error(kind, who + ": weights " + expected.name + " have the shape " +
                            shape(found->dims) + " and " + std::to_string(found->values.size()) +
                            " values; expected " + shape(expected.dims));
    }
    if (!std::all_of(found->values.begin(), found->values.end(),
                     [](float value) { return std::isfinite(value); })) {
      throw Error(kind, who + ": weights " + expected.name + " are not finite");
    }
    arranged.push_back(*found);
  }
  if (weights.size() != arranged.size()) {
    throw Error(kind, who + ": " + std::to_string(weights.size()) + " arrays of weights, but the " +
                          "network's configuration asks for " + std::to_string(arranged.size()));
  }
  return arranged;
}

void write_weights(ArchiveWriter& archive, const std::vector<NamedTensor>& weights) {
  for (const NamedTensor& tensor : weights) {
    archive.write("/weights/" + tensor.name, {tensor.dims.begin(), tensor.dims.end()},
                  tensor.values.data());
  }
}

std::vector<NamedTensor> read_weights(const ArchiveReader& archive, const std::string& prefix,
                                      const std::vector<NamedTensor>& layout) {
  std::vector<NamedTensor> weights;
  for (const NamedTensor& expected : layout) {
    weights.push_back(read_tensor(archive, prefix + expected.name, expected));
  }
  return arranged_weights(layout, weights, ErrorKind::format, archive.file().string());
}

}  // namespace v0
}  // namespace chest
