#include <chest/estimators/network/scheduler_config.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include <chest/error.hpp>
#include <chest/text.hpp>

#include "model_parts.hpp"
#include "settings.hpp"

namespace chest {
inline namespace v0 {
namespace {

const std::map<std::string, Prediction>& prediction_types() {
  static const std::map<std::string, Prediction> types{{"epsilon", Prediction::epsilon},
                                                       {"sample", Prediction::sample},
                                                       {"v_prediction", Prediction::velocity}};
  return types;
}

constexpr const char* learned_range = "learned_range";
constexpr const char* dpm_solver = "DPMSolverMultistepScheduler";

/// Entries of the configuration, or the defaults that diffusers has for them.
class SchedulerEntries {
 public:
  SchedulerEntries(const Json& json, const std::string& who) : json_(json), who_(who) {}

  [[noreturn]] void refuse(const std::string& what) const { throw_format(who_, what); }
  bool given(const char* key) const { return json_.contains(key) && !json_.at(key).is_null(); }
  std::string text(const char* key, const std::string& otherwise) const {
    if (!given(key)) return otherwise;
    if (!json_.at(key).is_string()) wrong(key, "text");
    return json_.at(key).get<std::string>();
  }
  bool flag(const char* key, bool otherwise) const {
    if (!given(key)) return otherwise;
    if (!json_.at(key).is_boolean()) wrong(key, "true or false");
    return json_.at(key).get<bool>();
  }
  double number(const char* key, double otherwise) const {
    if (!given(key)) return otherwise;
    if (!json_.at(key).is_number()) wrong(key, "a number");
    return json_.at(key).get<double>();
  }
  arma::uword count(const char* key, arma::uword otherwise, arma::uword least,
                    arma::uword most) const {
    const double value = number(key, static_cast<double>(otherwise));
    if (!(value >= static_cast<double>(least) && value <= static_cast<double>(most)) ||
        value != std::floor(value)) {
      wrong(key, std::to_string(least) + " to " + std::to_string(most));
    }
    return static_cast<arma::uword>(value);
  }
  [[noreturn]] void wrong(const char* key, const std::string& expected) const {
    refuse(std::string("its ") + key + " is " + json_.at(key).dump() + "; expected " + expected);
  }

 private:
  const Json& json_;
  std::string who_;
};

/// beta_i = 1 - g((i + 1) / T) / g(i / T), at most 0.999.
template <class Level>
arma::vec betas_of_levels(arma::uword n, const Level& g) {
  constexpr double most_beta = 0.999;
  arma::vec betas(n);
  const auto at = [&](arma::uword i) { return g(static_cast<double>(i) / static_cast<double>(n)); };
  for (arma::uword i = 0; i < n; ++i) betas(i) = std::min(1.0 - at(i + 1) / at(i), most_beta);
  return betas;
}

double cosine_level(double u) { return std::pow(std::cos((u + 0.008) / 1.008 * M_PI / 2.0), 2.0); }

double laplace_level(double u) {
  const double log_snr =
      -0.5 * std::copysign(1.0, 0.5 - u) * std::log(1.0 - 2.0 * std::abs(0.5 - u) + 1e-6);
  const double snr = std::exp(log_snr);
  return std::sqrt(snr / (1.0 + snr));
}

arma::vec betas_by_name(const SchedulerEntries& entries, const std::string& name, arma::uword n) {
  const double first = entries.number("beta_start", 1e-4), last = entries.number("beta_end", 0.02);
  if (name == "linear") return arma::linspace<arma::vec>(first, last, n);
  if (name == "scaled_linear") {
    return arma::square(arma::linspace<arma::vec>(std::sqrt(first), std::sqrt(last), n));
  }
  if (name == "squaredcos_cap_v2") return betas_of_levels(n, cosine_level);
  if (name == "laplace") return betas_of_levels(n, laplace_level);
  if (name == "sigmoid") {
    return first + (last - first) / (1.0 + arma::exp(-arma::linspace<arma::vec>(-6.0, 6.0, n)));
  }
  entries.wrong("beta_schedule",
                "linear, scaled_linear, squaredcos_cap_v2, sigmoid or laplace, or trained_betas");
}

/// Algorithm 1 of [Lin2024].
arma::vec without_signal_at_the_end(const arma::vec& betas) {
  constexpr double least_abar = 1.0 / (1 << 24);
  arma::vec root = arma::sqrt(arma::cumprod(1.0 - betas));
  const double first = root.front(), last = root.back();
  root = (root - last) * (first / (first - last));
  arma::vec abar = arma::square(root);
  abar.back() = least_abar;
  arma::vec alpha = abar;
  for (arma::uword i = 1; i < abar.n_elem; ++i) alpha(i) = abar(i) / abar(i - 1);
  return 1.0 - alpha;
}

}  // namespace

SchedulerConfig parse_scheduler_config(const std::string& text, const std::string& who) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object())
    throw_format(who, "is not a JSON object; expected a scheduler_config.json of diffusers");
  const SchedulerEntries entries(json, who);
  const std::string name = entries.text("_class_name", "");
  const std::vector<std::string> classes{"DDPMScheduler", "DMSEScheduler", "DDIMScheduler",
                                         dpm_solver};
  if (std::find(classes.begin(), classes.end(), name) == classes.end()) {
    entries.refuse(
        (name.empty() ? std::string("has no _class_name") : "its _class_name is " + name) +
        "; there are " + enumerate(classes));
  }

  SchedulerConfig config;
  config.json = json.dump();
  arma::vec betas;
  if (entries.given("trained_betas")) {
    for (const Json& beta : json.at("trained_betas")) {
      if (!beta.is_number()) entries.wrong("trained_betas", "a list of numbers");
    }
    betas = arma::vec(json.at("trained_betas").get<std::vector<double>>());
    if (betas.n_elem > most_noise_levels) {
      entries.refuse("its trained_betas are " + std::to_string(betas.n_elem) +
                     "; expected at most " + std::to_string(most_noise_levels));
    }
  } else {
    betas = betas_by_name(entries, entries.text("beta_schedule", "linear"),
                          entries.count("num_train_timesteps", 1000, 1, most_noise_levels));
  }
  if (entries.flag("rescale_betas_zero_snr", false) && betas.n_elem > 1) {
    betas = without_signal_at_the_end(betas);
  }
  config.schedule = schedule_from(who, betas);
  const std::string prediction = entries.text("prediction_type", "epsilon");
  const auto type = prediction_types().find(prediction);
  if (type == prediction_types().end()) {
    entries.wrong("prediction_type", "epsilon, sample or v_prediction");
  }
  config.prediction = type->second;
  const std::string spacing =
      entries.text("timestep_spacing", name == dpm_solver ? "linspace" : "leading");
  const auto* const found =
      std::find_if(std::begin(timestep_spacing_names), std::end(timestep_spacing_names),
                   [&](const auto& each) { return spacing == each.second; });
  if (found == std::end(timestep_spacing_names)) {
    entries.wrong("timestep_spacing", "leading, trailing or linspace");
  }
  config.spacing = found->first;
  config.variance_type = entries.text("variance_type", "");
  config.steps_offset = entries.count("steps_offset", 0, 0, most_noise_levels);

  const auto doubt = [&](const std::string& what) { config.doubts.push_back(who + ": " + what); };
  if (name != dpm_solver && entries.flag("clip_sample", true)) {
    doubt(std::string("clip_sample is on") +
          (entries.given("clip_sample") ? "" : ", as diffusers has it where it is not named") +
          "; chest does not clip, which would cut channels off");
  }
  for (const char* key : {"thresholding", "use_karras_sigmas", "use_exponential_sigmas",
                          "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas"}) {
    if (entries.flag(key, false)) doubt(std::string(key) + " is on; chest does without");
  }
  if (!entries.flag("set_alpha_to_one", true)) {
    doubt("set_alpha_to_one is off; chest's last step goes to no noise");
  }
  return config;
}

void check_variances(const SchedulerConfig& config, const NetworkConfig& network,
                     const std::string& who) {
  const std::string& type = config.variance_type;
  const bool learned = type.starts_with("learned");
  if (network.reverse_variance && !type.empty() && type != learned_range) {
    throw_format(who, "its variance_type is " + type +
                          ", but the network has planes of variances; expected " + learned_range);
  }
  if (!network.reverse_variance && learned) {
    throw_format(who, "its variance_type is " + type +
                          ", but the network has no planes of variances of the step back");
  }
}

SchedulerConfig read_scheduler_config(const std::filesystem::path& file) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in)
    throw Error(ErrorKind::io, file.string() + ": cannot be opened: " + std::strerror(errno));
  const std::string text(std::istreambuf_iterator<char>(in), {});
  if (in.bad()) throw Error(ErrorKind::io, file.string() + ": reading failed");
  return parse_scheduler_config(text, file.string());
}

std::string scheduler_config_of(const NetworkModel& model) {
  const arma::vec& betas = model.schedule.betas();
  Json json;
  bool same_betas = false, same_prediction = false;
  if (!model.scheduler.empty()) {
    const SchedulerConfig came = parse_scheduler_config(model.scheduler, "scheduler");
    json = Json::parse(model.scheduler);
    const arma::vec& those = came.schedule.betas();
    same_betas = those.n_elem == betas.n_elem && arma::all(those == betas);
    same_prediction = came.prediction == model.prediction;
  } else {
    json = {{"_class_name", "DDPMScheduler"},
            {"_diffusers_version", "0.30.0"},
            {"variance_type", model.network.reverse_variance ? learned_range : "fixed_small"},
            {"timestep_spacing", "leading"},
            {"steps_offset", 0},
            {"thresholding", false},
            {"clip_sample", false},
            {"clip_sample_range", 1.0},
            {"sample_max_value", 1.0},
            {"dynamic_thresholding_ratio", 0.995},
            {"rescale_betas_zero_snr", false}};
  }
  if (!same_betas) {
    const arma::vec linear = arma::linspace<arma::vec>(betas.front(), betas.back(), betas.n_elem);
    json["num_train_timesteps"] = betas.n_elem;
    json["beta_start"] = betas.front();
    json["beta_end"] = betas.back();
    json["beta_schedule"] = "linear";
    json["trained_betas"] = nullptr;
    json["rescale_betas_zero_snr"] = false;
    if (arma::any(linear != betas)) {
      json["trained_betas"] = arma::conv_to<std::vector<double>>::from(betas);
    }
  }
  for (const auto& [name, prediction] : prediction_types()) {
    if (!same_prediction && prediction == model.prediction) json["prediction_type"] = name;
  }
  return json.dump(2) + "\n";
}

}  // namespace v0
}  // namespace chest
