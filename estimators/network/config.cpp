#include <chest/estimators/network/config.hpp>
#include <chest/spec.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <string>

#include <chest/error.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/text.hpp>

#include "model_parts.hpp"

namespace chest {
inline namespace v0 {

NetworkConfig NetworkConfig::published() {
  NetworkConfig config;
  config.hidden = {32, 64, 43, 22};
  config.modulated = {1};
  config.relu_after_modulation = config.log_snr = config.circular = false;
  config.magnitude = config.position = config.gate = config.variance = false;
  return config;
}

KernelSize NetworkConfig::kernel_size(std::size_t layer) const {
  if (!axial) return {kernel, kernel};
  return layer % 2 == 0 ? KernelSize{kernel, 1} : KernelSize{1, kernel};
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
  if (reverse_variance && !variance) {
    return "network: reverse_variance goes with variance alone";
  }
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
  constexpr int most_classes = 1000;
  if (classes < 0 || classes == 1 || classes > most_classes || numbers < 0 ||
      numbers > most_classes) {
    return "network: " + std::to_string(classes) + " classes and " + std::to_string(numbers) +
           " numbers; expected 0, or 2 to " + std::to_string(most_classes) + ", classes and 0 to " +
           std::to_string(most_classes) + " numbers";
  }
  if (classes > 0 ? told_class == tells_class : told_class || tells_class) {
    return "network: it is told the class, or tells it; expected one of both where there are "
           "classes, and none without";
  }
  if (n_heads() > 0 && !variance) {
    return "network: what tells a class or numbers goes with the variance";
  }
  if (told_class && bias_free) return "network: bias_free goes with no class that it is told";
  if (side && (classes > 0 || numbers > 0 || circle > 0 || bias_free)) {
    return "network: side goes with no classes, numbers, circle and bias_free";
  }
  if (kernel < 1 || kernel > 31 || kernel % 2 == 0) {
    return "network: kernel is " + std::to_string(kernel) + "; expected an odd number, 1 to 31";
  }
  if (circle < 0 || circle > 1024) {
    return "network: circle is " + std::to_string(circle) + "; expected 0 to 1024";
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

std::vector<int> hidden_of_size(const std::string& size) {
  if (size == "tiny") return {10, 18, 12, 8};
  if (size == "base") return NetworkConfig{}.hidden;
  if (size == "large") return {56, 100, 72, 36};
  throw Error(ErrorKind::invalid_argument,
              "size '" + size + "' is unknown: use tiny, base or large");
}

NetworkConfig parse_network(const std::string& text) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::invalid_argument, "network '" + text + "': " + what);
  };
  const NamedOptions spec = parse_named_options(text);
  if (spec.name != "letter" && spec.name != "chest") {
    refuse("there is no network '" + spec.name + "'; there are letter and chest");
  }
  NetworkConfig config = spec.name == "letter" ? NetworkConfig::published() : NetworkConfig{};
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
      {"axial",
       [&](const std::string&) {
         config.axial = true;
         constexpr int as_many_as_3x3 = 9;
         if (!spec.options.contains("kernel")) config.kernel = as_many_as_3x3;
       }},
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
      {"no-variance", [&](const std::string&) { config.variance = false; }},
      // How many classes the labels have is seen in the fit.
      {"told-class", [&](const std::string&) {
         config.told_class = true;
         config.classes = 2;
       }}};
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

}  // namespace v0
}  // namespace chest
