#include <chest/estimators/nn/network_adapt.hpp>
#include <chest/estimators/nn/network_fit.hpp>

#include <cmath>
#include <cstdlib>
#include <string>

#include <chest/error.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/nn/vae.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {

const char* to_string(FitObjective objective) {
  switch (objective) {
    case FitObjective::nmse:
      return "nmse";
    case FitObjective::prediction:
      return "prediction";
    case FitObjective::discrepancy:
      break;
  }
  return "discrepancy";
}

FitObjective fit_objective_from_string(const std::string& text) {
  for (const FitObjective o :
       {FitObjective::nmse, FitObjective::prediction, FitObjective::discrepancy}) {
    if (text == to_string(o)) return o;
  }
  throw Error(ErrorKind::invalid_argument,
              "objective '" + text + "' is unknown: use nmse, prediction or discrepancy");
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

FitProcess fit_process_of_environment(const std::function<const char*(const char*)>& variable) {
  const auto text_of = [&](const char* name) {
    const char* text = variable ? variable(name) : std::getenv(name);
    return std::string(text ? text : "");
  };
  // A number from least to most.
  const auto number_of = [&](const char* name, unsigned long long least, unsigned long long most) {
    const std::string text = text_of(name);
    if (text.empty()) {
      throw Error(
          ErrorKind::invalid_argument,
          std::string("fit: WORLD_SIZE is set and ") + name +
              " is not; expected RANK, LOCAL_RANK, MASTER_ADDR and MASTER_PORT beside it, as "
              "torchrun sets them");
    }
    const unsigned long long number = to_count(text, name);
    if (number < least || number > most) {
      throw Error(ErrorKind::invalid_argument, std::string("fit: ") + name + " is " + text +
                                                   "; expected " + std::to_string(least) + " to " +
                                                   std::to_string(most));
    }
    return static_cast<unsigned>(number);
  };
  FitProcess process;
  if (text_of("WORLD_SIZE").empty()) return process;
  process.count = number_of("WORLD_SIZE", 1, 4096);
  if (process.count == 1) return process;
  process.rank = number_of("RANK", 0, process.count - 1);
  process.local_rank = number_of("LOCAL_RANK", 0, process.count - 1);
  process.port = number_of("MASTER_PORT", 1, 65535);
  process.address = text_of("MASTER_ADDR");
  if (process.address.empty()) {
    throw Error(
        ErrorKind::invalid_argument,
        "fit: WORLD_SIZE is set and MASTER_ADDR is not; expected the name of the machine of "
        "process 0");
  }
  process.joins_agent = text_of("TORCHELASTIC_USE_AGENT_STORE") == "True";
  process.run = text_of("TORCHELASTIC_RESTART_COUNT");
  return process;
}

NetworkFitOptions NetworkFitOptions::published() {
  NetworkFitOptions options;
  options.network = NetworkConfig::published();
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
  for (const arma::uword step : cuts.steps) {
    if (step == 0 || step > 1024) {
      return "fit: a cut takes every " + std::to_string(step) + "th subcarrier; expected 1 to 1024";
    }
  }
  if (const std::string why = arrays.why_invalid(); !why.empty()) return "fit: " + why;
  if (!cuts.steps.empty() && !arrays.empty()) {
    return "fit: arrays of many sizes are matrices; on a grid expected none";
  }
  if (!cuts.steps.empty() && augmentation == Augmentation::mirror) {
    return "fit: augmentation is mirror; on a grid expected none or phase";
  }
  if (!(gain_db >= 0.0 && gain_db <= 60.0)) {
    return "fit: the gain varies by " + number_text(gain_db) + " dB; expected 0 to 60";
  }
  if (!(turn_bins >= 0.0 && turn_bins <= 1e3)) {
    return "fit: directions are turned by " + number_text(turn_bins) +
           " angular bins; expected 0 to 1000";
  }
  if (turn_bins > 0.0 && !cuts.steps.empty()) {
    return "fit: turning directions is for matrices, not for grids";
  }
  if (!(contamination >= 0.0 && contamination <= 1.0)) {
    return "fit: contamination is " + number_text(contamination) +
           " of the noise power; expected 0 to 1";
  }
  constexpr arma::uword most_calls = 10;
  if (unroll < 1 || unroll > most_calls) {
    return "fit: unroll is " + std::to_string(unroll) + "; expected 1 to 10 calls";
  }
  if (objective == FitObjective::discrepancy) {
    if (start.empty() || batch < 2) {
      return "fit: the objective discrepancy goes on from a prior, with batches of at least 2";
    }
    if (!cuts.steps.empty() || !arrays.empty() || !P.is_empty() || network.classes > 0 ||
        network.numbers > 0 || augmentation == Augmentation::mirror || turn_bins > 0.0 ||
        gain_db > 0.0 || contamination > 0.0) {
      return "fit: the objective discrepancy is for priors of matrices of one size, without "
             "labels, mirrors, turns, gain and contamination";
    }
  }
  if (unroll > 1 &&
      (!cuts.steps.empty() || !P.is_empty() || objective == FitObjective::prediction)) {
    return "fit: several calls are unrolled for priors of matrices, on their NMSE";
  }
  if (network.side && (!cuts.steps.empty() || !arrays.empty() || !P.is_empty() || unroll > 1 ||
                       objective == FitObjective::discrepancy)) {
    return "fit: side matrices are for one call of matrices of one size, without pilots of their "
           "own and the objective discrepancy";
  }
  if (!(untold >= 0.0 && untold <= 1.0)) {
    return "fit: what is told is left out for " + number_text(untold) +
           " of the channels; expected 0 to 1";
  }
  if (!P.is_empty()) {
    if (!P.is_finite()) return "fit: the pilots are not finite";
    if (!cuts.steps.empty() || !arrays.empty() || augmentation == Augmentation::mirror ||
        contamination > 0.0 || turn_bins > 0.0) {
      return "fit: an estimator of given pilots is for matrices of one size, without mirrors, "
             "turns and contamination";
    }
    if (prediction != Prediction::sample) {
      return std::string("fit: prediction is ") + to_string(prediction) +
             "; expected sample for an estimator of given pilots";
    }
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

std::string VaeFitOptions::why_invalid() const {
  if (const std::string why = network.why_invalid(); !why.empty()) return why;
  NetworkFitOptions common;
  common.learning_rate = learning_rate;
  common.batch = batch;
  common.max_epochs = max_epochs;
  common.max_minutes = max_minutes;
  common.patience = patience;
  common.n_threads = n_threads;
  return common.why_invalid();
}

AdaptedLayers adapted_layers_from_string(const std::string& text) {
  for (const auto& [layers, name] : adapted_layers_names) {
    if (text == name) return layers;
  }
  refuse("layers '" + text + "' are unknown: use all or last");
}

std::string AdaptOptions::why_invalid() const {
  NetworkFitOptions common;
  common.learning_rate = learning_rate;
  common.batch = batch;
  common.ema_decay = ema_decay;
  common.max_epochs = max_epochs;
  common.max_minutes = max_minutes;
  common.patience = patience;
  common.n_threads = n_threads;
  std::string why = common.why_invalid();
  if (why.rfind("fit: ", 0) == 0) why.replace(0, 3, "adapt");
  return why;
}

}  // namespace v0
}  // namespace chest
