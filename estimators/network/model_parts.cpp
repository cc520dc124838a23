#include "model_parts.hpp"

#include <string>
#include <type_traits>

#include <chest/error.hpp>
#include <chest/estimators/network/layout.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// Name and member of each field, once for both directions; for a count also the most, and for a
/// switch that older files lack, where it was off, `since_later`.
constexpr bool since_later = true;

template <class Config, class Field>
void for_each_field(Config& config, Field&& field) {
  field("hidden", config.hidden);
  field("modulated", config.modulated);
  field("kernel", config.kernel, 31);
  field("embedding", config.embedding, 1024);
  field("relu_after_modulation", config.relu_after_modulation);
  field("log_snr", config.log_snr);
  field("circular", config.circular);
  field("magnitude", config.magnitude);
  field("position", config.position, since_later);
  field("gate", config.gate);
  field("variance", config.variance);
  field("bias_free", config.bias_free, since_later);
  field("snr_low_db", config.snr_low_db);
  field("snr_high_db", config.snr_high_db);
}

}  // namespace

arma::vec read_vec(const ArchiveReader& archive, const std::string& dataset, std::uint64_t most) {
  return arma::vec(archive.read_all<double>(dataset, most));
}

void write_vec(ArchiveWriter& archive, const std::string& dataset, const arma::vec& values) {
  archive.write(dataset, {values.n_elem}, values.memptr());
}

NoiseSchedule schedule_from(const std::filesystem::path& file, const arma::vec& betas) {
  try {
    return NoiseSchedule(betas);
  } catch (const Error& error) {
    throw_format(file, std::string("the noise schedule is damaged: ") + error.what());
  }
}

std::string to_json(const NetworkConfig& config) {
  Json json;
  for_each_field(config, [&](const char* name, const auto& value, auto...) { json[name] = value; });
  if (config.axial) json["axial"] = true;
  // Files of networks of matrices are as they were before there were grids.
  if (config.circle != 0) json["circle"] = config.circle;
  if (config.classes != 0) {
    json["classes"] = config.classes;
    json["told_class"] = config.told_class;
    json["tells_class"] = config.tells_class;
  }
  if (config.numbers != 0) json["numbers"] = config.numbers;
  if (config.reverse_variance) json["reverse_variance"] = true;
  if (config.side) json["side"] = true;
  return json.dump();
}

NetworkConfig read_config(const std::filesystem::path& file, const Settings& network) {
  NetworkConfig config;
  for_each_field(config, [&](const char* name, auto& value, auto... bound) {
    using Value = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, std::vector<int>>) {
      value = network.counts(name);
    } else if constexpr (std::is_same_v<Value, int>) {
      value = static_cast<int>(network.count(name, bound...));
    } else {
      const bool off = sizeof...(bound) > 0 && !network.has(name);
      value = off ? Value{} : network.get<Value>(name);
    }
  });
  if (network.has("axial")) config.axial = network.get<bool>("axial");
  if (network.has("circle")) config.circle = static_cast<int>(network.count("circle", 1024));
  if (network.has("classes")) {
    config.classes = static_cast<int>(network.count("classes", 1024));
    config.told_class = network.get<bool>("told_class");
    config.tells_class = network.get<bool>("tells_class");
  }
  if (network.has("numbers")) config.numbers = static_cast<int>(network.count("numbers", 1024));
  if (network.has("reverse_variance")) {
    config.reverse_variance = network.get<bool>("reverse_variance");
  }
  if (network.has("side")) config.side = network.get<bool>("side");
  if (const std::string why = config.why_invalid(); !why.empty()) throw_format(file, why);
  return config;
}

NetworkConfig published_config(const std::filesystem::path& file, const std::vector<int>& pre,
                               const std::vector<int>& post, int kernel, int embedding) {
  const bool fits = pre.size() >= 2 && post.size() >= 2 && pre.front() == 2 &&
                    (post.back() == 2 || post.back() == 4) && pre.back() == post.front();
  if (!fits) {
    throw_format(
        file, "the layers before and after the modulation, " + Json(pre).dump() + " and " +
                  Json(post).dump() +
                  ", do not lead from 2 planes over a common layer to 2 planes, or to 4 with the "
                  "variances of the step back");
  }
  NetworkConfig config = NetworkConfig::published();
  config.hidden.assign(pre.begin() + 1, pre.end());
  config.modulated = {static_cast<int>(config.hidden.size()) - 1};
  config.hidden.insert(config.hidden.end(), post.begin() + 1, post.end() - 1);
  config.kernel = kernel;
  config.embedding = embedding;
  config.variance = config.reverse_variance = post.back() == 4;
  return config;
}

std::vector<NamedTensor> read_network_weights(const ArchiveReader& archive,
                                              const std::string& prefix,
                                              const NetworkConfig& config, bool published_names) {
  if (const std::string why = config.why_invalid(); !why.empty()) throw_format(archive.file(), why);
  const std::vector<NamedTensor> layout = network_layout(config);
  std::vector<NamedTensor> stored = layout;
  for (NamedTensor& tensor : stored) {
    if (published_names) tensor.name = published_name(config, tensor.name);
  }
  std::vector<NamedTensor> weights = read_weights(archive, prefix, stored);
  for (std::size_t i = 0; i < layout.size(); ++i) weights[i].name = layout[i].name;
  return weights;
}

}  // namespace v0
}  // namespace chest
