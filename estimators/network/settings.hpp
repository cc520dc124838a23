#pragma once

#include <algorithm>
#include <armadillo>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/text.hpp>

namespace chest {

using Json = nlohmann::json;

std::string shape(const std::vector<std::int64_t>& dims);
[[noreturn]] void throw_format(const std::filesystem::path& file, const std::string& what);

// What a model file may ask for, so that a damaged one cannot ask for all memory.
constexpr std::int64_t most_parameters = std::int64_t{1} << 26;
constexpr arma::uword most_noise_levels = 100'000;

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
                               const std::string& what);
arma::vec read_vec(const ArchiveReader& archive, const std::string& dataset, std::uint64_t most);
void write_vec(ArchiveWriter& archive, const std::string& dataset, const arma::vec& values);
NoiseSchedule schedule_from(const std::filesystem::path& file, const arma::vec& betas);
/// The weights of a network under chest's names, or under those of the authors' code.
std::vector<NamedTensor> read_network_weights(const ArchiveReader& archive, const std::string& prefix, const NetworkConfig& config, bool published);
NetworkConfig letter_config(const std::filesystem::path& file, const std::vector<int>& pre,
                            const std::vector<int>& post, int kernel, int embedding);
NetworkConfig read_config(const std::filesystem::path& file, const Settings& network);

}  // namespace chest
