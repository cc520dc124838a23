#include <nlohmann/json.hpp>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/vae_model.hpp>

#include <chest/estimators/common/model_file.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/estimators/network/vae_layout.hpp>

#include "model_parts.hpp"

namespace chest {
inline namespace v0 {
namespace {

using Json = nlohmann::json;

constexpr int newest_version = 1;

std::int64_t halved(arma::uword n, std::size_t times) {
  for (; times > 0; --times) n = (n + 1) / 2;
  return static_cast<std::int64_t>(n);
}

}  // namespace

std::string VaeConfig::why_invalid() const {
  if (latent < 1 || latent > 1024) {
    return "vae: latent is " + std::to_string(latent) + "; expected 1 to 1024";
  }
  if (hidden.empty() || hidden.size() > 16) {
    return "vae: hidden names " + std::to_string(hidden.size()) + " layers; expected 1 to 16";
  }
  for (const int n : hidden) {
    if (n < 1 || n > 1024) {
      return "vae: hidden has the entry " + std::to_string(n) + "; expected 1 to 1024";
    }
  }
  return {};
}

std::vector<NamedTensor> vae_layout(const VaeConfig& config, arma::uword n_rx, arma::uword n_tx) {
  std::vector<NamedTensor> layout;
  const auto layer = [&](const std::string& name, std::vector<std::int64_t> dims) {
    layout.push_back({name + ".weight", dims, {}});
    layout.push_back({name + ".bias", {dims.front()}, {}});
  };
  const std::size_t n = config.hidden.size();
  const std::int64_t n_flat = config.hidden.back() * halved(n_rx, n - 1) * halved(n_tx, n - 1);
  std::int64_t n_in = n_vae_inputs;
  for (std::size_t i = 0; i < n; ++i) {
    layer("encoder.conv" + std::to_string(i), {config.hidden[i], n_in, 3, 3});
    n_in = config.hidden[i];
  }
  layer("encoder.linear", {2 * config.latent, n_flat});
  layer("decoder.linear", {n_flat, config.latent});
  for (std::size_t i = n; i-- > 0;) {
    const std::int64_t n_out = i > 0 ? config.hidden[i - 1] : config.zero_mean ? 1 : 3;
    layer("decoder.conv" + std::to_string(i), {n_out, config.hidden[i], 3, 3});
  }
  return layout;
}

std::int64_t VaeModel::n_parameters() const {
  std::int64_t n = 0;
  for (const NamedTensor& tensor : vae_layout(network, n_rx, n_tx)) n += n_values(tensor.dims);
  return n;
}

void save(const std::filesystem::path& file, const VaeModel& model) {
  if (const std::string why = model.network.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, why);
  }
  const auto weights = arranged_weights(vae_layout(model.network, model.n_rx, model.n_tx),
                                        model.weights, ErrorKind::invalid_argument, "vae model");
  ArchiveWriter archive(file);
  write_model_header(archive, "vae", newest_version, header_of(model));
  const Json network{{"latent", model.network.latent},
                     {"hidden", model.network.hidden},
                     {"zero_mean", model.network.zero_mean}};
  archive.attribute("/", "network", network.dump());
  write_weights(archive, weights);
  for (const auto& [name, losses] : {std::pair("/losses/train", &model.train_losses),
                                     std::pair("/losses/validation", &model.validation_losses)}) {
    if (!losses->is_empty()) archive.write(name, {losses->n_elem}, losses->memptr());
  }
  archive.commit();
}

VaeModel load_vae_model(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  const ModelHeader header = read_model_header(archive, "vae", newest_version);
  VaeModel model;
  set_header(model, header);
  try {
    const Json network = Json::parse(archive.text_attribute("/", "network").value_or(""));
    model.network.latent = network.at("latent").get<int>();
    model.network.hidden = network.at("hidden").get<std::vector<int>>();
    model.network.zero_mean = network.at("zero_mean").get<bool>();
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::format,
                file.string() + ": attribute network is damaged: " + error.what());
  }
  if (const std::string why = model.network.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::format, file.string() + ": " + why);
  }
  model.weights =
      read_weights(archive, "/weights/", vae_layout(model.network, model.n_rx, model.n_tx));
  for (const auto& [name, losses] : {std::pair("/losses/train", &model.train_losses),
                                     std::pair("/losses/validation", &model.validation_losses)}) {
    if (archive.has(name)) *losses = arma::vec(archive.read_all<double>(name, most_epochs));
  }
  return model;
}

}  // namespace v0
}  // namespace chest
