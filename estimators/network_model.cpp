#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/network.hpp>
#include <chest/file.hpp>
#include <chest/text.hpp>

#include "model_file.hpp"
#include "network_layout.hpp"

namespace chest {
namespace {

using Json = nlohmann::json;

// Version 1 held the letter's network alone, under the names of the authors' code.
constexpr int newest_model_version = 2;
// What a model file may ask for, so that a damaged one cannot ask for all memory.
constexpr std::int64_t most_parameters = std::int64_t{1} << 26;
constexpr arma::uword most_noise_levels = 100'000;

std::string shape(const std::vector<std::int64_t>& dims) {
  std::string text = "[";
  for (std::size_t i = 0; i < dims.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(dims[i]);
  }
  return text + "]";
}

[[noreturn]] void throw_format(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorKind::format, file.string() + ": " + what);
}

// Values below a JSON object with messages that name the file and the key.
class Settings {
 public:
  Settings(const std::filesystem::path& file, const std::string& attribute, const std::string& text)
      : file_(file), attribute_(attribute), json_(Json::parse(text, nullptr, false)) {
    if (!json_.is_object()) {
      throw_format(file_, "attribute " + attribute_ + " is not a JSON object; the file is damaged");
    }
  }

  const Json& at(const std::string& path) const {
    const Json* node = &json_;
    for (const std::string& key : split(path, '.')) {
      const auto found = node->is_object() ? node->find(key) : node->end();
      if (!node->is_object() || found == node->end()) {
        throw_format(file_, "attribute " + attribute_ + " has no entry " + path);
      }
      node = &*found;
    }
    return *node;
  }

  bool has(const std::string& key) const { return json_.contains(key); }

  template <class T>
  T get(const std::string& path) const {
    try {
      return at(path).get<T>();
    } catch (const Json::exception&) {
      throw_format(file_, "attribute " + attribute_ + ", entry " + path + ": " + at(path).dump() +
                              " is not of the expected type");
    }
  }

  /// A whole number within bounds.
  std::int64_t count(const std::string& path, std::int64_t most) const {
    const Json& value = at(path);
    if (!value.is_number_integer() || value.get<double>() < 1 ||
        value.get<double>() > static_cast<double>(most)) {
      throw_format(file_, "attribute " + attribute_ + ", entry " + path + " is " + value.dump() +
                              "; expected 1 to " + std::to_string(most));
    }
    return value.get<std::int64_t>();
  }

  std::vector<int> counts(const std::string& path) const {
    const Json& values = at(path);
    const bool fits = values.is_array() && std::all_of(values.begin(), values.end(), [](auto& v) {
                        return v.is_number_integer() && std::abs(v.template get<double>()) < 1e9;
                      });
    if (!fits) {
      throw_format(file_, "attribute " + attribute_ + ", entry " + path + ": " + values.dump() +
                              " is not a list of whole numbers");
    }
    return values.get<std::vector<int>>();
  }

 private:
  const std::filesystem::path& file_;
  std::string attribute_;
  Json json_;
};

std::string required_attribute(const ArchiveReader& archive, const std::string& name,
                               const std::string& expected) {
  const auto text = archive.text_attribute("/", name);
  if (!text) throw_format(archive.file(), "no attribute " + name + "; expected " + expected);
  return *text;
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

/// The weights of a network under chest's names, or under those of the authors' code.
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

/// The letter's layers from those before and after the modulation, as its code lists them.
NetworkConfig letter_config(const std::filesystem::path& file, const std::vector<int>& pre,
                            const std::vector<int>& post, int kernel, int embedding) {
  const bool fits = pre.size() >= 2 && post.size() >= 2 && pre.front() == 2 && post.back() == 2 &&
                    pre.back() == post.front();
  if (!fits) {
    throw_format(file, "the layers before and after the modulation, " + Json(pre).dump() + " and " +
                           Json(post).dump() +
                           ", do not lead from 2 planes over a common layer to 2 planes");
  }
  NetworkConfig config = NetworkConfig::letter();
  config.hidden.assign(pre.begin() + 1, pre.end());
  config.modulated = {static_cast<int>(config.hidden.size()) - 1};
  config.hidden.insert(config.hidden.end(), post.begin() + 1, post.end() - 1);
  config.kernel = kernel;
  config.embedding = embedding;
  return config;
}

NetworkConfig read_config(const std::filesystem::path& file, const Settings& network) {
  const auto yes = [&](const char* name) { return network.get<bool>(name); };
  NetworkConfig config;
  config.hidden = network.counts("hidden");
  config.modulated = network.counts("modulated");
  config.kernel = static_cast<int>(network.count("kernel", 31));
  config.embedding = static_cast<int>(network.count("embedding", 1024));
  config.relu_after_modulation = yes("relu_after_modulation");
  config.log_snr = yes("log_snr");
  config.circular = yes("circular");
  config.magnitude = yes("magnitude");
  config.position = network.has("position") && yes("position");
  config.gate = yes("gate");
  config.variance = yes("variance");
  config.bias_free = network.has("bias_free") && yes("bias_free");
  config.snr_low_db = network.get<double>("snr_low_db");
  config.snr_high_db = network.get<double>("snr_high_db");
  if (const std::string why = config.why_invalid(); !why.empty()) throw_format(file, why);
  return config;
}

DenoiserErrors read_errors(const ArchiveReader& archive, arma::uword n_h) {
  DenoiserErrors errors;
  if (!archive.has("/errors/sigma2")) return errors;
  errors.sigma2 = read_vec(archive, "/errors/sigma2", 10'000);
  errors.mse = read_vec(archive, "/errors/mse", 10'000);
  if (archive.has("/errors/angular")) errors.angular = archive.read_mat("/errors/angular");
  const std::string why = errors.why_invalid();
  if (!why.empty() || (!errors.angular.is_empty() && errors.angular.n_rows != n_h)) {
    throw_format(archive.file(), "/errors is damaged; calibrate the model again");
  }
  return errors;
}

SolverTable read_solvers(const ArchiveReader& archive, arma::uword n_tx) {
  SolverTable table;
  if (!archive.has("/solvers")) return table;
  for (const std::string& name : archive.list("/solvers")) {
    const std::string group = "/solvers/" + name;
    SolverChoice choice;
    choice.P = archive.read_cx_mat(group + "/P");
    choice.snr_db = read_vec(archive, group + "/snr_db", 10'000);
    choice.mse = read_vec(archive, group + "/mse", 10'000);
    choice.pilots = archive.text_attribute(group, "pilots").value_or("");
    const Json solvers =
        Json::parse(archive.text_attribute(group, "solvers").value_or(""), nullptr, false);
    if (!solvers.is_array()) {
      throw_format(archive.file(), group + " is damaged; calibrate the model again");
    }
    for (const Json& solver : solvers) {
      choice.solvers.push_back(solver.is_string() ? solver.get<std::string>() : std::string());
    }
    if (choice.P.n_rows != n_tx) {
      throw_format(archive.file(), group + " is for " + std::to_string(choice.P.n_rows) +
                                       " transmit antennas; calibrate the model again");
    }
    table.choices.push_back(std::move(choice));
  }
  if (const std::string why = table.why_invalid(); !why.empty()) throw_format(archive.file(), why);
  return table;
}

void check_size(const NetworkModel& model) {
  if (model.n_rx == 0 || model.n_tx == 0) {
    throw Error(ErrorKind::invalid_argument,
                "network model: n_rx and n_tx are " + std::to_string(model.n_rx) + " and " +
                    std::to_string(model.n_tx) + "; expected at least 1");
  }
  if (const std::string why = model.network.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, why);
  }
}

}  // namespace

NetworkConfig NetworkConfig::letter() {
  NetworkConfig config;
  config.hidden = {32, 64, 43, 22};
  config.modulated = {1};
  config.relu_after_modulation = config.log_snr = config.circular = false;
  config.magnitude = config.position = config.gate = config.variance = false;
  return config;
}

std::int64_t NetworkConfig::n_parameters() const {
  std::int64_t n = 0;
  for (const NamedTensor& tensor : network_layout(*this)) n += n_values(tensor.dims);
  return n;
}

std::string NetworkConfig::why_invalid() const {
  if (hidden.empty() || hidden.size() > 64) {
    return "network: hidden names " + std::to_string(hidden.size()) + " layers; expected 1 to 64";
  }
  for (int n : hidden) {
    if (n < 1 || n > 4096) {
      return "network: hidden has the entry " + std::to_string(n) + "; expected 1 to 4096";
    }
  }
  const auto n_hidden = static_cast<int>(hidden.size());
  const bool ascending = std::adjacent_find(modulated.begin(), modulated.end(),
                                            std::greater_equal<>()) == modulated.end();
  if (bias_free) {
    if (!modulated.empty() || magnitude || position || gate || variance) {
      return "network: bias_free goes with no modulated layers, magnitude, position, gate and "
             "variance";
    }
  } else if (modulated.empty() || !ascending || modulated.front() < 0 ||
             modulated.back() >= n_hidden) {
    return "network: modulated is " + Json(modulated).dump() +
           "; expected ascending indices of hidden layers, 0 to " + std::to_string(n_hidden - 1);
  }
  if (kernel < 1 || kernel > 31 || kernel % 2 == 0) {
    return "network: kernel is " + std::to_string(kernel) + "; expected an odd number, 1 to 31";
  }
  if (embedding < 4 || embedding > 1024 || embedding % 2 != 0) {
    return "network: embedding is " + std::to_string(embedding) +
           "; expected an even number, 4 to 1024";
  }
  if (!(snr_low_db < snr_high_db) || snr_low_db < -100.0 || snr_high_db > 100.0) {
    return "network: the range of SNRs is " + std::to_string(snr_low_db) + " to " +
           std::to_string(snr_high_db) + " dB; expected an ascending one within -100 to 100 dB";
  }
  if (const std::int64_t n = n_parameters(); n > most_parameters) {
    return "network: " + std::to_string(n) + " parameters; expected at most " +
           std::to_string(most_parameters);
  }
  return {};
}

std::string NetworkConfig::why_invalid(arma::uword n_rx, arma::uword n_tx) const {
  const auto reach = static_cast<arma::uword>(kernel / 2);
  if (circular && reach > std::min(n_rx, n_tx)) {
    return "network: kernel is " + std::to_string(kernel) +
           "; with periodic edges and channels of " + std::to_string(n_rx) + "x" +
           std::to_string(n_tx) + " expected at most " +
           std::to_string(2 * std::min(n_rx, n_tx) + 1);
  }
  return why_invalid();
}

NetworkConfig parse_network(const std::string& text) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::invalid_argument, "network '" + text + "': " + what);
  };
  const NamedOptions spec = parse_named_options(text);
  if (spec.name != "letter" && spec.name != "chest") {
    refuse("there is no network '" + spec.name + "'; there are letter and chest");
  }
  NetworkConfig config = spec.name == "letter" ? NetworkConfig::letter() : NetworkConfig{};
  const auto counts = [&](const std::string& list) {
    std::vector<int> values;
    for (const std::string& part : split(list, '-')) {
      values.push_back(static_cast<int>(
          std::min<unsigned long long>(to_count(part, "network: hidden"), 1u << 20)));
    }
    return values;
  };
  const std::map<std::string, std::function<void(const std::string&)>> options{
      {"hidden",
       [&](const std::string& value) {
         config.hidden = counts(value);
         if (spec.name == "letter" || spec.options.contains("modulated") ||
             spec.options.contains("bias-free")) {
           return;
         }
         config.modulated.resize(config.hidden.size());
         std::iota(config.modulated.begin(), config.modulated.end(), 0);
       }},
      {"modulated", [&](const std::string& value) { config.modulated = counts(value); }},
      {"kernel", [&](const std::string& value) { config.kernel = counts(value).front(); }},
      {"embedding", [&](const std::string& value) { config.embedding = counts(value).front(); }},
      {"index", [&](const std::string&) { config.log_snr = false; }},
      {"zero-padding", [&](const std::string&) { config.circular = false; }},
      {"no-position", [&](const std::string&) { config.position = false; }},
      {"no-magnitude", [&](const std::string&) { config.magnitude = false; }},
      {"gate", [&](const std::string&) { config.gate = true; }},
      {"bias-free",
       [&](const std::string&) {
         config.bias_free = true;
         config.modulated.clear();
         config.magnitude = config.position = config.gate = config.variance = false;
       }},
      {"no-variance", [&](const std::string&) { config.variance = false; }}};
  std::vector<std::string> names;
  for (const auto& [name, set] : options) names.push_back(name);
  for (const auto& [name, value] : spec.options) {
    const auto option = options.find(name);
    if (option == options.end()) {
      const std::string near = nearest(name, names);
      refuse("there is no option '" + name + "'" +
             (near.empty() ? "" : " (did you mean " + near + "?)") + "; there are " +
             enumerate(names));
    }
    option->second(value);
  }
  if (const std::string why = config.why_invalid(); !why.empty()) refuse(why);
  return config;
}

FitObjective fit_objective_from_string(const std::string& text) {
  if (text == "nmse") return FitObjective::nmse;
  if (text == "prediction") return FitObjective::prediction;
  throw Error(ErrorKind::invalid_argument,
              "objective '" + text + "' is unknown: use nmse or prediction");
}

const char* to_string(Augmentation augmentation) {
  switch (augmentation) {
    case Augmentation::none:
      return "none";
    case Augmentation::phase:
      return "phase";
    case Augmentation::mirror:
      break;
  }
  return "mirror";
}

Augmentation augmentation_from_string(const std::string& text) {
  for (const Augmentation a : {Augmentation::none, Augmentation::phase, Augmentation::mirror}) {
    if (text == to_string(a)) return a;
  }
  throw Error(ErrorKind::invalid_argument,
              "augmentation '" + text + "' is unknown: use none, phase or mirror");
}

NetworkFitOptions NetworkFitOptions::letter() {
  NetworkFitOptions options;
  options.network = NetworkConfig::letter();
  options.prediction = Prediction::epsilon;
  options.objective = FitObjective::prediction;
  options.learning_rate = 1e-4;
  options.anneal = false;
  options.augmentation = Augmentation::none;
  options.batch = 128;
  options.ema_decay = 0.999;
  options.max_epochs = 500;
  options.patience = 20;
  return options;
}

std::string NetworkFitOptions::why_invalid() const {
  if (const std::string why = network.why_invalid(); !why.empty()) return why;
  if (network.bias_free && prediction != Prediction::epsilon) {
    return std::string("fit: prediction is ") + to_string(prediction) +
           "; expected epsilon for a network that is bias-free";
  }
  if (!(learning_rate > 0.0) || !std::isfinite(learning_rate)) {
    return "fit: learning_rate is " + std::to_string(learning_rate) + "; expected above 0";
  }
  if (batch == 0) return "fit: batch is 0; expected at least 1";
  if (!(ema_decay >= 0.0 && ema_decay < 1.0)) {
    return "fit: ema_decay is " + std::to_string(ema_decay) + "; expected 0 (off) to below 1";
  }
  if (max_epochs == 0) return "fit: max_epochs is 0; expected at least 1";
  if (!(max_minutes >= 0.0)) {
    return "fit: max_minutes is " + std::to_string(max_minutes) + "; expected 0 (none) or more";
  }
  if (patience == 0) return "fit: patience is 0; expected at least 1 epoch";
  if (n_threads == 0) return "fit: n_threads is 0; expected at least 1";
  return {};
}

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
    layer("conv" + std::to_string(i), {n_out, n_in, config.kernel, config.kernel});
    n_in = n_out;
  }
  for (int i : config.modulated) n_modulated += config.hidden[i];
  if (!config.bias_free) layer("modulation", {2 * n_modulated, config.embedding});
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

std::string to_json(const NetworkConfig& config) {
  return Json{{"hidden", config.hidden},
              {"modulated", config.modulated},
              {"kernel", config.kernel},
              {"embedding", config.embedding},
              {"relu_after_modulation", config.relu_after_modulation},
              {"log_snr", config.log_snr},
              {"circular", config.circular},
              {"magnitude", config.magnitude},
              {"position", config.position},
              {"gate", config.gate},
              {"variance", config.variance},
              {"bias_free", config.bias_free},
              {"snr_low_db", config.snr_low_db},
              {"snr_high_db", config.snr_high_db}}
      .dump();
}

void save(const std::filesystem::path& file, const NetworkModel& model) {
  check_size(model);
  const auto weights = arranged_weights(network_layout(model.network), model.weights,
                                        ErrorKind::invalid_argument, "network model");
  ArchiveWriter archive(file);
  write_model_header(archive, "dmse", newest_model_version, header_of(model));
  archive.attribute("/", "network", to_json(model.network));
  archive.attribute("/", "prediction", std::string(to_string(model.prediction)));
  write_weights(archive, weights);
  write_vec(archive, "/schedule/betas", model.schedule.betas());
  if (!model.calibration.empty()) {
    const arma::vec n_steps = arma::conv_to<arma::vec>::from(model.calibration.n_steps);
    write_vec(archive, "/calibration/snr_db", model.calibration.snr_db);
    write_vec(archive, "/calibration/n_steps", n_steps);
    write_vec(archive, "/calibration/mse", model.calibration.mse);
    if (!model.calibration.mse_ratio.is_empty()) {
      write_vec(archive, "/calibration/mse_ratio", model.calibration.mse_ratio);
    }
  }
  if (!model.errors.empty()) {
    write_vec(archive, "/errors/sigma2", model.errors.sigma2);
    write_vec(archive, "/errors/mse", model.errors.mse);
    if (!model.errors.angular.is_empty()) archive.write("/errors/angular", model.errors.angular);
  }
  for (std::size_t i = 0; i < model.solvers.choices.size(); ++i) {
    const SolverChoice& choice = model.solvers.choices[i];
    const std::string group = "/solvers/" + std::to_string(i);
    archive.write(group + "/P", choice.P);
    write_vec(archive, group + "/snr_db", choice.snr_db);
    write_vec(archive, group + "/mse", choice.mse);
    archive.attribute(group, "pilots", choice.pilots);
    archive.attribute(group, "solvers", Json(choice.solvers).dump());
  }
  if (!model.train_losses.empty()) write_vec(archive, "/losses/train", model.train_losses);
  if (!model.validation_losses.empty()) {
    write_vec(archive, "/losses/validation", model.validation_losses);
  }
  archive.commit();
}

NetworkModel load_network_model(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  NetworkModel model;
  const ModelHeader header = read_model_header(archive, "dmse", newest_model_version);
  set_header(model, header);
  const Settings network(file, "network",
                         required_attribute(archive, "network", "the layers of the network"));
  model.network =
      header.version == 1
          ? letter_config(file, network.counts("channels_pre"), network.counts("channels_post"),
                          static_cast<int>(network.count("kernel", 31)),
                          static_cast<int>(network.count("embedding", 1024)))
          : read_config(file, network);
  try {
    model.prediction = prediction_from_string(
        required_attribute(archive, "prediction", "what the network's output means"));
  } catch (const Error& error) {
    throw_format(file, error.what());
  }
  model.weights = read_network_weights(archive, "/weights/", model.network, header.version == 1);
  model.schedule = schedule_from(file, read_vec(archive, "/schedule/betas", most_noise_levels));
  if (archive.has("/calibration/snr_db")) {
    Calibration& calibration = model.calibration;
    calibration.snr_db = read_vec(archive, "/calibration/snr_db", 10'000);
    const arma::vec n_steps = read_vec(archive, "/calibration/n_steps", 10'000);
    calibration.mse = read_vec(archive, "/calibration/mse", 10'000);
    if (archive.has("/calibration/mse_ratio")) {
      calibration.mse_ratio = read_vec(archive, "/calibration/mse_ratio", 10'000);
    }
    const arma::uword n = calibration.snr_db.n_elem;
    const arma::vec& ratio = calibration.mse_ratio;
    const bool fits =
        (ratio.is_empty() || (ratio.n_elem == n && ratio.is_finite() && arma::all(ratio > 0.0))) &&
        n_steps.n_elem == n && calibration.mse.n_elem == n && calibration.snr_db.is_finite() &&
        calibration.snr_db.is_sorted() && arma::all(n_steps >= 1.0) &&
        arma::all(n_steps <= 10'000.0) && calibration.mse.is_finite() &&
        arma::all(calibration.mse > 0.0);
    if (!fits) throw_format(file, "the calibration is damaged; calibrate the model again");
    calibration.n_steps = arma::conv_to<arma::uvec>::from(n_steps);
  }
  model.errors = read_errors(archive, model.n_rx * model.n_tx);
  model.solvers = read_solvers(archive, model.n_tx);
  constexpr std::uint64_t most_epochs = 10'000'000;
  if (archive.has("/losses/train")) {
    model.train_losses = read_vec(archive, "/losses/train", most_epochs);
  }
  if (archive.has("/losses/validation")) {
    model.validation_losses = read_vec(archive, "/losses/validation", most_epochs);
  }
  return model;
}

NetworkModel import_published_weights(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  const Settings params(
      file, "sim_params",
      required_attribute(archive, "sim_params", "the authors' checkpoint converted to HDF5"));
  const auto require = [&](const std::string& path, const Json& expected, const std::string& why) {
    if (const Json& found = params.at(path); found != expected) {
      throw_format(file, "sim_params." + path + " is " + found.dump() + "; chest runs only " +
                             expected.dump() + " (" + why + ")");
    }
  };
  require("unet_dict.mode", "2D", "two-dimensional convolutions");
  require("unet_dict.batch_norm", false, "no batch normalisation");
  require("unet_dict.downsamp_fac", 1, "no down-sampling");
  require("unet_dict.n_layers_time", 1, "one linear layer for the noise level");
  require("trainer_dict.fft_pre", true, "a network of the angular domain");
  require("diff_model_dict.complex_data", true, "complex channels");

  NetworkModel model;
  const std::vector<int> data_shape = params.counts("diff_model_dict.data_shape");
  if (data_shape.size() != 3 || data_shape[0] != 2 || data_shape[1] < 1 || data_shape[2] < 1) {
    throw_format(file, "sim_params.diff_model_dict.data_shape is " +
                           params.at("diff_model_dict.data_shape").dump() +
                           "; expected [2, n_rx, n_tx]");
  }
  model.n_rx = data_shape[1];
  model.n_tx = data_shape[2];
  const std::vector<int> kernel = params.counts("unet_dict.kernel_size");
  if (kernel.size() != 2 || kernel[0] != kernel[1]) {
    throw_format(file, "sim_params.unet_dict.kernel_size is " +
                           params.at("unet_dict.kernel_size").dump() +
                           "; expected two equal numbers");
  }
  model.network = letter_config(file, params.counts("unet_dict.ch_layers_pre"),
                                params.counts("unet_dict.ch_layers_post"), kernel[0],
                                static_cast<int>(params.count("unet_dict.ch_init_time", 1024)));
  const auto objective = params.get<std::string>("diff_model_dict.objective");
  const std::map<std::string, Prediction> objectives{{"pred_noise", Prediction::epsilon},
                                                     {"pred_x_0", Prediction::sample}};
  if (!objectives.contains(objective)) {
    throw_format(file, "sim_params.diff_model_dict.objective is " + objective +
                           "; expected pred_noise or pred_x_0");
  }
  model.prediction = objectives.at(objective);

  const auto n_steps = static_cast<arma::uword>(
      params.count("diff_model_dict.num_timesteps", static_cast<std::int64_t>(most_noise_levels)));
  const arma::vec betas = read_vec(archive, "/state_dict/betas", most_noise_levels);
  if (betas.n_elem != n_steps) {
    throw_format(file, "/state_dict/betas has " + std::to_string(betas.n_elem) +
                           " values, but sim_params names " + std::to_string(n_steps));
  }
  model.schedule = schedule_from(file, betas);
  if (params.get<std::string>("diff_model_dict.which_schedule") == "linear") {
    // The checkpoint holds float32 copies of these.
    const auto linear =
        NoiseSchedule::linear(n_steps, params.get<double>("diff_model_dict.beta_start"),
                              params.get<double>("diff_model_dict.beta_end"));
    if (arma::abs(linear.betas() - betas).max() > 1e-6) {
      throw_format(file, "/state_dict/betas is not the linear schedule that sim_params names");
    }
    model.schedule = linear;
  }

  model.weights = read_network_weights(archive, "/state_dict/model.", model.network, true);
  for (const std::string& name : archive.list("/state_dict")) {
    const auto known = [&](const NamedTensor& tensor) {
      return "model." + published_name(model.network, tensor.name) == name;
    };
    if (name.starts_with("model.") &&
        std::none_of(model.weights.begin(), model.weights.end(), known)) {
      throw_format(file, "weights " + name + " belong to no layer of the network; expected those " +
                             "that sim_params.unet_dict names");
    }
  }
  constexpr std::uint64_t most_epochs = 10'000'000;
  if (archive.has("/train_results/train_losses")) {
    model.train_losses = read_vec(archive, "/train_results/train_losses", most_epochs);
  }
  if (archive.has("/train_results/val_losses")) {
    model.validation_losses = read_vec(archive, "/train_results/val_losses", most_epochs);
  }
  Json options{{"imported_from", file.filename().string()}, {"imported_hash", hash_file(file)}};
  for (const char* name : {"source", "license", "checkpoint_epoch"}) {
    if (const auto text = archive.text_attribute("/", name)) options[name] = *text;
    if (const auto number = archive.number_attribute("/", name)) options[name] = *number;
  }
  model.provenance.options = options.dump();
  return model;
}

}  // namespace chest
