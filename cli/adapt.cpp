#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <ostream>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_adapt.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/text.hpp>

#include "calibration.hpp"
#include "commands.hpp"
#include "flags.hpp"
#include "terminal.hpp"
#include "trust.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

struct AdaptFlags {
  std::string model, out, snr, pilots = "identity", validation, layers = "all";
  ChannelFlags observations;
  double pilot_power = 1.0;
  std::optional<arma::uword> n_tx;
  AdaptOptions fit;
  CommonFlags common;
  bool force = false;
};

void declare(CommandLine& line, AdaptFlags& o) {
  line.flag("model", &o.model, "FILE", "model of kind dmse; the word after adapt");
  line.output("out", &o.out, "model file to write (HDF5)");
  line.flag("force", &o.force, "replaces an existing model");
  line.section("received pilots");
  line.flag("observations", &o.observations.channels, "FILE[:DATASET]", "received pilots");
  line.flag("samples", &o.observations.samples, "FIRST:END",
            "observations to use; either end may be left out")
      .default_text = "all";
  line.flag("validation", &o.validation, "FIRST:END", "observations that the result is judged by")
      .default_text = "the last fifth of --samples, at most 400";
  line.flag("skip-bad", &o.observations.skip_bad,
            "leaves out those that are zero or not finite, instead of stopping");
  line.flag("axes", &o.observations.axes, "LETTERS",
            "order of the stored dimensions, as for --channels of chest sweep");
  line.flag("normalise", &o.observations.normalise, "none|dataset|sample|X",
            "power: as stored (refused where it contradicts E||h||^2 = n_h and --snr), brought "
            "there by one factor for all or by one for each, or y times X");
  line.flag("scale", &o.observations.scale, "X", "y times X, as --normalise X");
  line.flag(
      "snr", &o.snr, "DB|FILE",
      "-10 log10(noise variance per received entry, at E||h||^2 = n_h): one number, or a file "
      "with one for each stored observation");
  line.flag("pilots", &o.pilots, "PILOTS", "what was sent: identity, dft:16, file=P.h5 ...");
  line.flag("pilot-power", &o.pilot_power, "X", "||p||^2 per pilot slot");
  line.flag("n-tx", &o.n_tx, "N",
            "transmit antennas, of a model for many arrays; left out: as many as pilots");
  line.section("fit");
  line.flag("layers", &o.layers, "all|last",
            "what may change: every weight, or the last convolution and what the noise level does");
  line.flag("epochs", &o.fit.max_epochs, "N",
            "most passes over the observations, of 1024 draws at least");
  line.flag("minutes", &o.fit.max_minutes, "X",
            "time limit, towards which the learning rate falls; 0: none");
  line.flag("patience", &o.fit.patience, "N", "stops after N epochs without a better loss");
  line.flag("batch", &o.fit.batch, "N", "observations per step of Adam");
  line.flag("learning-rate", &o.fit.learning_rate, "X", "of Adam");
  line.flag("bfloat16", &o.fit.bfloat16,
            "convolves in bfloat16, up to 3 times faster where the processor can");
  o.common.add(line, "of batches, of noise that is added, and of qpsk pilots",
               CommonFlags::Networks::fits);
  line.positional("model", 1);
}

/// --snr of each stored observation, in dB.
arma::vec snr_of_each(const std::string& text, arma::uword n_samples) {
  double number = 0.0;
  try {
    number = to_number(text, "--snr");
  } catch (const Error&) {
    const auto [file, dataset] = split_dataset_name(text);
    if (!std::filesystem::exists(file)) throw;
    const arma::vec values = arma::vectorise(arma::real(read_matrix(file, dataset)));
    if (values.n_elem != n_samples) {
      refuse("--snr " + text + ": holds " + std::to_string(values.n_elem) +
             " values, expected one for each of the " + std::to_string(n_samples) +
             " stored observations");
    }
    return values;
  }
  return arma::vec(n_samples, arma::fill::value(number));
}

/// The observations of a range that are kept: finite, not zero, and not far stronger than the others.
struct Kept {
  ReceivedPilots pilots;
  arma::uword n_strong = 0;  ///< left out as far stronger
};

Kept read_pilots(const Dataset& dataset, const SampleRange& range, const arma::vec& snr_db) {
  // 20 dB above the median is no channel of the same site, and would outweigh all of them.
  constexpr double strongest = 100.0;
  std::vector<arma::uword> samples;
  for (const SampleRange& part : dataset.info().bad.all.outside(range)) {
    for (arma::uword k = part.first; k < part.end; ++k) samples.push_back(k);
  }
  const arma::uvec which(samples);
  Kept kept;
  kept.pilots.y.set_size(dataset.info().n_h(), which.n_elem);
  constexpr arma::uword block = 256;
  for (arma::uword i = 0; i < which.n_elem;) {
    arma::uword end = i + 1;
    while (end < which.n_elem && end - i < block && which(end) == which(end - 1) + 1) ++end;
    kept.pilots.y.cols(i, end - 1) = dataset.read(which(i), end - i);
    i = end;
  }
  const arma::vec powers = squared_norms(kept.pilots.y);
  if (powers.is_empty()) return kept;
  const arma::uvec usual = arma::find(powers <= strongest * arma::median(powers));
  kept.n_strong = which.n_elem - usual.n_elem;
  if (kept.n_strong > 0) kept.pilots.y = arma::cx_mat(kept.pilots.y.cols(usual));
  kept.pilots.sigma2.set_size(usual.n_elem);
  for (arma::uword i = 0; i < usual.n_elem; ++i) {
    kept.pilots.sigma2(i) = from_db(-snr_db(which(usual(i))));
  }
  return kept;
}

struct Ranges {
  SampleRange fitting, validation;
};

Ranges ranges_of(const AdaptFlags& o, const Dataset& dataset) {
  constexpr arma::uword part = 5, most = 400;
  Ranges ranges{o.observations.range(dataset), {}};
  if (!o.validation.empty()) {
    ranges.validation = parse_samples(o.validation, dataset.info().n_samples, "--validation");
    if (ranges.validation.overlaps(ranges.fitting)) {
      refuse("--samples " + ranges.fitting.text() + " and --validation " +
             ranges.validation.text() + " overlap; give ranges that share no sample");
    }
    return ranges;
  }
  // The end of the range, not a random choice: neighbours in a file are often correlated.
  const arma::uword n = std::min(most, ranges.fitting.size() / part);
  ranges.validation = {ranges.fitting.end - n, ranges.fitting.end};
  ranges.fitting.end -= n;
  return ranges;
}

/// What was sent, for a model of so many transmit antennas.
sim::Pilots pilots_sent(const AdaptFlags& o, arma::uword n_tx, arma::uword n_slots) {
  sim::PilotSpec spec = sim::parse_pilots(o.pilots);
  if (spec.is_grid()) {
    refuse(spec.text + " are pilots of a grid; chest adapt takes models of matrices");
  }
  if (spec.n_pilots == 0 && spec.kind != sim::PilotKind::identity) spec.n_pilots = n_slots;
  sim::Pilots pilots = sim::make_pilots(spec, n_tx, o.common.seed, o.pilot_power);
  if (pilots.n_pilots() != n_slots) {
    refuse("the observations have " + std::to_string(n_slots) + " pilot slots, " + pilots.name +
           " of the model's " + std::to_string(n_tx) + " transmit antennas has " +
           std::to_string(pilots.n_pilots()) + "; give --pilots as they were sent");
  }
  return pilots;
}

/// "10 dB", "3 to 12 dB"
std::string range_text(const arma::vec& sigma2) {
  const auto text = [](double value) {
    return number_text(std::round(-100.0 * to_db(value)) / 100.0);
  };
  const std::string low = text(sigma2.max()), high = text(sigma2.min());
  return low == high ? low + " dB" : low + " to " + high + " dB";
}

void tell(const Adaptation& found, std::ostream& out) {
  char text[160];
  out << "  NMSE of one call on observations that were kept back, by an unbiased estimate:\n";
  for (arma::uword i = 0; i < found.snr_db.n_elem; ++i) {
    std::snprintf(text, sizeof text, "  %6.2f dB: %7.2f dB before, %7.2f dB after\n",
                  found.snr_db(i), to_db(found.before(i)), to_db(found.after(i)));
    out << text;
  }
  std::snprintf(text, sizeof text, "  mean change of the error %+.2f %%, standard error %.2f %%\n",
                100.0 * found.change, 100.0 * found.change_error);
  out << text;
  if (std::isfinite(found.slots_before)) {
    std::snprintf(
        text, sizeof text,
        "  half of the pilot slots from the other half: mean square left %.4f before, %.4f "
        "after, standard error of the difference %.4f\n",
        found.slots_before, found.slots_after, found.slots_error);
    out << text;
  }
}

}  // namespace

int adapt(const Args& args, Context& context) {
  AdaptFlags o;
  CommandLine line(
      "adapt", "MODEL --observations FILE --snr DB|FILE --out FILE [options]",
      "Fits a diffusion model to a site from received pilots Y = H P + N alone, stored as [n, "
      "n_rx, n_pilots] complex, without any channel. The loss is an unbiased estimate of the error "
      "(SURE); below the noise the model stays as it is. Observations that were kept back judge "
      "the result: where it is not better on them, nothing is written.");
  declare(line, o);
  if (!line.parse(args, context)) return 0;
  line.require("model", "the model to adapt");
  line.require("observations", "a file with received pilots");
  line.require("snr", "the SNR in dB that belongs to the noise of the observations");
  line.require("out", "the model file to write");
  check_output(o.out, o.force);
  AdaptOptions fit = o.fit;
  fit.layers = adapted_layers_from_string(o.layers);
  fit.seed = o.common.seed;
  fit.n_threads = o.common.n_threads();
  fit.device = o.common.device;
  if (const std::string why = fit.why_invalid(); !why.empty()) refuse(why);

  NetworkModel model = load_network_model(o.model);
  check_is_prior(model, o.model);
  if (!model.grid.empty()) refuse(o.model + ": is a model of grids, expected one of matrices");
  Dataset dataset = o.observations.open_file();
  tell_doubts(dataset.info());
  if (!model.arrays.empty()) {
    // The site has arrays of one size, and so has what comes out.
    model = for_array(model, dataset.info().n_rx, o.n_tx.value_or(dataset.info().n_tx));
    model.arrays = {};
    model.sizes.clear();
  } else if (o.n_tx && *o.n_tx != model.n_tx) {
    refuse("--n-tx " + std::to_string(*o.n_tx) + ": the model is for " +
           std::to_string(model.n_tx) + " transmit antennas");
  }
  if (dataset.info().n_rx != model.n_rx) {
    refuse("the observations are of " + std::to_string(dataset.info().n_rx) +
           " receive antennas, the model is for " + std::to_string(model.n_rx));
  }
  const sim::Pilots pilots = pilots_sent(o, model.n_tx, dataset.info().n_tx);
  const std::shared_ptr<const ObservationOperator> A = sim::make_observation(pilots, model.n_rx);
  const auto [fitting, validation] = ranges_of(o, dataset);
  const arma::vec snr_db = snr_of_each(o.snr, dataset.info().n_samples);

  SampleChoice choice = o.observations.choice(dataset);
  choice.first = std::min(fitting.first, validation.first);
  choice.end = std::max(fitting.end, validation.end);
  const arma::vec used = snr_db.subvec(choice.first, choice.end - 1);
  if (!used.is_finite()) refuse("--snr " + o.snr + ": holds values that are not finite");
  const double noise = arma::mean(arma::exp10(-used / 10.0));
  choice.expected_power =
      pilots.gain() * static_cast<double>(model.n_tx) / static_cast<double>(pilots.n_pilots()) +
      noise;
  dataset.choose(choice);
  tell_left_out(dataset.info());
  Kept kept = read_pilots(dataset, fitting, snr_db),
       held = read_pilots(dataset, validation, snr_db);
  if (const arma::uword n = kept.n_strong + held.n_strong; n > 0) {
    warn(dataset.info().file.string() + ": " + std::to_string(n) +
         " observations are more than 20 dB stronger than the median; they are left out");
  }
  double scale = dataset.info().scale;
  if (dataset.info().normalisation == Normalisation::dataset) {
    // The power of those that are kept.
    const double power = (squared_norm(kept.pilots.y) + squared_norm(held.pilots.y)) /
                         static_cast<double>(kept.pilots.y.n_elem + held.pilots.y.n_elem);
    const double factor = std::sqrt(choice.expected_power / power);
    kept.pilots.y *= factor;
    held.pilots.y *= factor;
    scale *= factor;
  }

  const TerminalControl terminal(context.quiet);
  RunControl control = terminal.control();
  control.on_warning = &warn;
  Adaptation found = adapt_network(model, A, kept.pilots, held.pilots, fit, control);
  if (!found.refusal.empty()) {
    tell(found, context.out);
    throw Error(ErrorKind::numeric, found.refusal +
                                        "; nothing was written. Give more observations, the SNR "
                                        "that they have, or a lower --learning-rate");
  }
  nlohmann::json data = channel_record(dataset.info(), fitting, hash_file(dataset.info().file));
  data["scale"] = scale;
  data["axes"] = dataset.info().axes;
  data["validation"] = validation.text();
  data["left_out"] = dataset.info().bad.all.size() + kept.n_strong + held.n_strong;
  data["adapted"] = {
      {"from", std::filesystem::path(o.model).filename().string()},
      {"hash", hash_file(o.model)},
      {"fitted_on", nlohmann::json::parse(model.training_data, nullptr, false)},
      {"observations", kept.pilots.y.n_cols},
      {"pilots", pilots.name},
      {"snr", range_text(kept.pilots.sigma2)},
      {"layers", o.layers},
      {"errors", found.recalibrated ? "from noisy observations" : "of the model before"}};
  if (data["adapted"]["fitted_on"].is_discarded()) data["adapted"]["fitted_on"] = nullptr;
  found.model.training_data = data.dump();
  found.model.channel_scale = scale;
  found.model.provenance = line.provenance(fit.seed);
  save(o.out, found.model);

  const arma::vec& losses = found.model.validation_losses;
  context.out << o.out << ": dmse, " << model.n_rx << "x" << model.n_tx << ", adapted from "
              << o.model << " with " << kept.pilots.y.n_cols << " observations, pilots "
              << pilots.name << " at " << range_text(kept.pilots.sigma2) << ", y times "
              << number_text(std::round(1e4 * scale) / 1e4) << '\n';
  if (!losses.is_empty()) {
    context.out << "  " << losses.n_elem << " epochs, best " << losses.index_min() + 1 << '\n';
  }
  tell(found, context.out);
  if (found.recalibrated) {
    context.out << "  calls and errors, from these observations down to twice their noise:\n";
    print(found.model.calibration, context.out);
  } else {
    context.out << "  calls and predicted errors are those of the model before\n";
  }
  if (terminal.interrupted()) context.out << "interrupted; the best so far is saved\n";
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
