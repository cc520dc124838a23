#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <ostream>
#include <sstream>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/vae_model.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/estimators/nn/vae.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

#include "calibration.hpp"
#include "commands.hpp"
#include "flags.hpp"
#include "side.hpp"
#include "terminal.hpp"
#include "trust.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

struct FitOptions {
  std::string kind, out, validation, checkpoint, covariance, shrinkage = "auto";
  std::string layers = "chest", prediction = "velocity", objective = "nmse";
  ChannelFlags channels;
  NetworkFitOptions network;
  VaeConfig vae;
  GmmFitOptions mixture;
  CommonFlags common;
  std::string augmentation = "phase";
  bool constant_rate = false, force = false;
  std::vector<std::string> also;
  std::string comb, arrays, size = "base", labels, numbers, pilots, start, side;

  /// Subcarriers between pilots that a model of grids is for.
  std::vector<arma::uword> combs() const {
    if (comb.empty())
      return kind == "dmse" ? std::vector<arma::uword>{2, 4, 6} : std::vector<arma::uword>{4};
    std::vector<arma::uword> steps;
    for (const std::string& part : split(comb, ',')) steps.push_back(to_count(part, "--comb"));
    return steps;
  }
  /// That of the planes on which a model is fitted or calibrated: the one in the middle.
  arma::uword plane_step() const {
    std::vector<arma::uword> all = combs();
    std::sort(all.begin(), all.end());
    return all[all.size() / 2];
  }
};

/// What a model was fitted on, as JSON. `validation` is empty where there was none.
/// @param also  further files, a list
std::string training_data(const DatasetInfo& info, const SampleRange& range,
                          const SampleRange& validation = {},
                          const nlohmann::json& also = nlohmann::json::array()) {
  nlohmann::json json = channel_record(info, range, hash_file(info.file));
  json["axes"] = info.axes;
  json["left_out"] = info.bad.all.size();
  if (validation.size() > 0) json["validation"] = validation.text();
  if (!also.empty()) json["also"] = also;
  return json.dump();
}

/// --validation, which must share no sample with `range`.
SampleRange validation_range(const FitOptions& options, const Dataset& dataset,
                             const SampleRange& range) {
  const SampleRange validation =
      parse_samples(options.validation, dataset.info().n_samples, "--validation");
  if (validation.overlaps(range)) {
    refuse("--samples " + range.text() + " and --validation " + validation.text() +
           " overlap; give ranges that share no sample");
  }
  return validation;
}

/// Which channels --arrays is for.
void check_arrays(const FitOptions& options, const DatasetInfo& info) {
  if (!options.arrays.empty() && info.grid.is_grid()) {
    refuse("--arrays is for matrices, these channels are grids");
  }
}

/// @throws Error(invalid_argument) if a flag was given beside one of others that it does not go with
void check_alone(const CommandLine& line, const std::string& flag,
                 const std::vector<std::string>& others) {
  for (const std::string& other : others) {
    if (line.given(flag) && line.given(other)) {
      refuse("--" + flag + " and --" + other + " exclude each other");
    }
  }
}

/// What --labels, --numbers and --side say of the samples of a file.
struct AllLabels {
  std::vector<std::int64_t> classes;
  arma::mat numbers;  ///< [n_numbers, n_samples]
  std::int64_t n_classes = 0;
  SampleReader side;

  AllLabels(const FitOptions& options, const Dataset& dataset) {
    const DatasetInfo& info = dataset.info();
    const auto read = [&](const std::string& text, const std::string& flag) {
      const auto [file, name] = split_dataset_name(text);
      arma::mat values = arma::real(read_matrix(file, name));
      if (values.n_rows == 1) values = values.t();
      if (values.n_rows != info.n_samples) {
        refuse(flag + " " + text + ": of " + std::to_string(values.n_rows) +
               " channels, the file has " + std::to_string(info.n_samples));
      }
      if (!info.bad.all.empty()) refuse(flag + " does not go with channels that are left out");
      return values;
    };
    if (!options.labels.empty()) {
      const arma::mat values = read(options.labels, "--labels");
      for (const double value : values) {
        if (values.n_cols != 1 || value != std::round(value) || value < -1.0 || value > 999.0) {
          refuse("--labels " + options.labels +
                 ": expected one whole number for each channel, 0 to 999, -1 where the class is "
                 "not known");
        }
        classes.push_back(static_cast<std::int64_t>(value));
        n_classes = std::max(n_classes, classes.back() + 1);
      }
      if (n_classes < 2) refuse("--labels " + options.labels + ": there are no two classes");
    }
    if (!options.numbers.empty()) numbers = read(options.numbers, "--numbers").t();
    if (options.side.empty()) return;
    if (!info.bad.all.empty()) refuse("--side does not go with channels that are left out");
    side = open_side(options.side, dataset);
  }

  ChannelLabels of(const SampleRange& range) const {
    ChannelLabels out;
    if (n_classes > 0) {
      out.classes.assign(classes.begin() + std::ptrdiff_t(range.first),
                         classes.begin() + std::ptrdiff_t(range.end));
    }
    if (numbers.n_rows > 0) out.numbers = numbers.cols(range.first, range.end - 1);
    if (side.n_samples > 0) out.side = subrange(side, range.first, range.size());
    return out;
  }
};

/// What --comb says of the plane of a model of grids.
void check_comb(const FitOptions& options, const DatasetInfo& info) {
  if (!info.grid.is_grid() && !options.comb.empty()) {
    refuse("--comb says which subcarriers form the planes of grids, these channels are matrices");
  }
  if (options.kind != "dmse" && options.combs().size() > 1) {
    refuse("--comb " + options.comb + ": several are for dmse, a model of " + options.kind +
           " is for one");
  }
}

/// Samples to fit on: the channels, or the planes of their grids.
SampleReader to_fit(const FitOptions& options, const SampleReader& samples) {
  return samples.grid.is_grid() ? plane_samples(samples, options.plane_step()) : samples;
}

/// What a model of planes says of the grids that they are from.
template <class Model>
void add_grid(const FitOptions& options, const SampleReader& samples, Model& model) {
  if (!samples.grid.is_grid()) return;
  model.grid = fit_grid_statistics(samples);
  model.grid.plane_step = options.plane_step();
  if constexpr (std::is_same_v<Model, NetworkModel>) {
    const std::vector<arma::uword> steps = options.combs();
    model.grid.least_step = *std::min_element(steps.begin(), steps.end());
    model.grid.most_step = *std::max_element(steps.begin(), steps.end());
    model.n_tx = samples.grid.n_subcarriers / options.plane_step();
  }
}

int fit_lmmse_model(const FitOptions& options, const CommandLine& line, Context& context) {
  const CovarianceKind kind = options.covariance.empty()
                                  ? CovarianceKind::full
                                  : covariance_kind_from_string(options.covariance);
  const Shrinkage shrinkage = shrinkage_from_string(options.shrinkage);
  const Dataset dataset = options.channels.open();
  const SampleRange range = options.channels.range(dataset);
  if (kind == CovarianceKind::full) check_covariance_size(dataset.info(), options.channels);
  const SampleReader samples = options.channels.samples_of(dataset, range);
  LmmseModel model = fit_lmmse(samples, kind, shrinkage);
  check_comb(options, dataset.info());
  if (model.grid.empty() && kind == CovarianceKind::full && samples.n_samples < samples.n_h()) {
    warn("fewer samples than dimensions: " + std::to_string(samples.n_samples) + " channels of " +
         std::to_string(samples.n_h()) + " entries; " +
         (model.shrinkage > 0.0 ? "the covariance is shrunk, fit more where there are any"
                                : "this covariance is too sure of what it has not seen, fit more "
                                  "channels, --covariance toeplitz, kronecker or dft, or "
                                  "--shrinkage ledoit-wolf"));
  }
  model.channel_scale = dataset.info().scale;
  model.training_data = training_data(dataset.info(), range);
  model.provenance = line.provenance(0);
  save(options.out, model);
  context.out << options.out << ": lmmse, "
              << size_text(model.n_rx, model.n_tx, dataset.info().grid) << ", "
              << (model.grid.empty() ? to_string(kind) : "separable") << " covariance of "
              << model.n_samples << " channels";
  if (model.shrinkage > 0.0) {
    context.out << (kind == CovarianceKind::full ? ", shrunk by " : ", towards sums by ")
                << number_text(std::round(1e4 * model.shrinkage) / 1e4);
  }
  context.out << '\n';
  return 0;
}

int fit_gmm_model(const FitOptions& options, const CommandLine& line, Context& context) {
  GmmFitOptions fit = options.mixture;
  if (!options.covariance.empty()) {
    fit.covariance = mixture_covariance_from_string(options.covariance);
  }
  fit.seed = options.common.seed;
  fit.n_threads = options.common.n_threads();
  if (const std::string reason = fit.why_invalid(); !reason.empty()) refuse(reason);
  const Dataset dataset = options.channels.open();
  const SampleRange range = options.channels.range(dataset);
  const SampleRange validation =
      options.validation.empty() ? SampleRange{} : validation_range(options, dataset, range);
  check_comb(options, dataset.info());
  if (fit.covariance == MixtureCovariance::full) {
    check_covariance_size(dataset.info(), options.channels);
  }

  const TerminalControl terminal(context.quiet);
  const SampleReader samples = options.channels.samples_of(dataset, range);
  GmmModel model = fit_gmm(to_fit(options, samples), fit, terminal.control());
  add_grid(options, samples, model);
  model.channel_scale = dataset.info().scale;
  model.training_data = training_data(dataset.info(), range);
  model.provenance = line.provenance(fit.seed);
  save(options.out, model);
  // On what it was fitted on where nothing else was given.
  const SampleRange held = validation.size() > 0 ? validation : range;
  calibrate_grid_errors("gmm", options.out, model,
                        Bands(options.channels.samples_of(dataset, held)),
                        CalibrationRun::of(options.common, {}), context.catalog);

  context.out << options.out << ": gmm, " << model.n_rx << "x" << model.n_tx << ", "
              << describe(model.prior) << ", from " << model.n_samples << " channels\n"
              << model.log_likelihoods.n_elem - 1 << " steps of EM, mean log-likelihood "
              << model.log_likelihoods.back();
  if (!options.validation.empty()) {
    const SampleReader held_out = to_fit(options, options.channels.samples_of(dataset, validation));
    context.out << ", of channels " << validation.text() << " "
                << mean_log_likelihood(model.prior, held_out, fit.n_threads);
  }
  context.out << '\n';
  if (terminal.interrupted()) context.out << "interrupted; the mixture reached so far is saved\n";
  return 0;
}

/// "mirror,turn=0.5,gain=6,contamination=0.5"
void read_augmentation(const std::string& text, NetworkFitOptions& fit) {
  std::string named = text;
  if (const std::size_t comma = named.find(','); comma != std::string::npos) named[comma] = ':';
  const NamedOptions spec = parse_named_options(named);
  fit.augmentation = augmentation_from_string(spec.name);
  for (const auto& [name, value] : spec.options) {
    if (name == "gain") {
      fit.gain_db = to_number(value, "--augment: gain");
    } else if (name == "contamination") {
      fit.contamination = to_number(value, "--augment: contamination");
    } else if (name == "turn") {
      fit.turn_bins = to_number(value, "--augment: turn");
    } else {
      refuse("--augment " + text + ": there is no '" + name +
             "'; there are turn=BINS, gain=DB and contamination=X");
    }
  }
}

/// The recipe of the network that --network names, with what was said otherwise.
NetworkFitOptions recipe(const FitOptions& options, const CommandLine& line) {
  const NetworkFitOptions& asked = options.network;
  const NetworkConfig network = parse_network(options.layers);
  const bool published = parse_named_options(options.layers).name == "letter";
  NetworkFitOptions fit = published ? NetworkFitOptions::published() : NetworkFitOptions{};
  fit.network = network;
  if (line.given("size")) {
    if (published || parse_named_options(options.layers).options.contains("hidden")) {
      refuse("--size " + options.size + ": --network " + options.layers +
             " says the layers already");
    }
    fit.network.hidden = hidden_of_size(options.size);
  }
  check_alone(line, "side", {"start", "labels", "numbers"});
  fit.network.side = !options.side.empty();
  if (!options.start.empty()) {
    if (line.given("network") || line.given("size") || line.given("prediction")) {
      refuse("--start " + options.start + ": the model has its layers and prediction already");
    }
    NetworkModel model = load_network_model(options.start);
    if (!model.P.is_empty() || !model.grid.empty() || model.network.side) {
      refuse("--start " + options.start + ": expected a prior of matrices");
    }
    fit.network = model.network;
    fit.prediction = model.prediction;
    fit.start = std::move(model.weights);
  }
  if (!options.arrays.empty()) fit.arrays = parse_array_range(options.arrays, "--arrays");
  if (fit.network.bias_free) fit.prediction = Prediction::epsilon;
  if (!options.pilots.empty()) fit.prediction = Prediction::sample;
  if (line.given("prediction")) fit.prediction = prediction_from_string(options.prediction);
  if (line.given("objective")) fit.objective = fit_objective_from_string(options.objective);
  if (line.given("learning-rate")) fit.learning_rate = asked.learning_rate;
  if (line.given("batch")) fit.batch = asked.batch;
  if (line.given("ema")) fit.ema_decay = asked.ema_decay;
  if (line.given("epochs")) fit.max_epochs = asked.max_epochs;
  if (line.given("patience")) fit.patience = asked.patience;
  if (options.constant_rate) fit.anneal = false;
  if (line.given("augment")) read_augmentation(options.augmentation, fit);
  fit.max_minutes = asked.max_minutes;
  fit.seed = options.common.seed;
  fit.device = options.common.device;
  fit.bfloat16 = asked.bfloat16;
  fit.unroll = asked.unroll;
  return fit;
}

/// Samples to fit on and to validate with: --samples and --validation, or the last 5 % of
/// --samples.
struct Split {
  SampleRange fitting, validation;
};

/// The last 5 % to validate with.
Split last_part(const SampleRange& range) {
  // The end of the range, not a random choice: neighbours in a file are often correlated.
  const arma::uword n = std::max<arma::uword>(range.size() / 20, 1);
  if (range.size() < 2) refuse("one sample cannot be split into fitting and validation samples");
  return {{range.first, range.end - n}, {range.end - n, range.end}};
}

Split split_samples(const FitOptions& options, const Dataset& dataset) {
  const SampleRange range = options.channels.range(dataset);
  if (options.validation.empty()) return last_part(range);
  return {range, validation_range(options, dataset, range)};
}

/// The channels of --also, read as those of --channels: the last 5 % of each file validate, all others are fitted on.
struct FurtherChannels {
  std::deque<Dataset> datasets;  // which readers point into: they stay where they are
  std::vector<SampleReader> fitted, held_out;

  explicit FurtherChannels(const FitOptions& options) {
    for (const std::string& file : options.also) {
      ChannelFlags flags = options.channels;
      flags.channels = file;
      flags.samples = ":";
      flags.rx_panel.clear();  // each file says its own
      datasets.push_back(flags.open());
      const auto [fitting, validation] = last_part(flags.range(datasets.back()));
      fitted.push_back(flags.samples_of(datasets.back(), fitting));
      held_out.push_back(flags.samples_of(datasets.back(), validation));
    }
  }

  /// Samples with some of these after them.
  static SampleReader after(const SampleReader& samples, const std::vector<SampleReader>& further) {
    std::vector<SampleReader> all{samples};
    all.insert(all.end(), further.begin(), further.end());
    return joined(all);
  }
  /// What their antennas are, for a fit of many arrays.
  static NetworkFitOptions::LaterPanels panels(arma::uword first,
                                               const std::vector<SampleReader>& further) {
    NetworkFitOptions::LaterPanels out;
    for (const SampleReader& reader : further) {
      out.emplace_back(first, reader.rx_panel);
      first += reader.n_samples;
    }
    return out;
  }
  /// JSON: a list of channel_record().
  nlohmann::json record() const {
    nlohmann::json out = nlohmann::json::array();
    for (const Dataset& dataset : datasets) {
      const DatasetInfo& info = dataset.info();
      out.push_back(channel_record(info, {0, info.n_samples}, hash_file(info.file)));
    }
    return out;
  }
};

/// What a fit of epochs reached, for people.
std::string epochs_text(const arma::vec& validation_losses) {
  if (validation_losses.is_empty()) return "stopped within the first epoch";
  std::ostringstream text;
  const arma::uword best = validation_losses.index_min();
  text << validation_losses.n_elem << " epochs, best " << best + 1 << " with validation loss "
       << validation_losses(best);
  return text.str();
}

int fit_vae_model(const FitOptions& options, const CommandLine& line, Context& context) {
  const NetworkFitOptions& asked = options.network;
  VaeFitOptions fit;
  fit.network = options.vae;
  if (line.given("learning-rate")) fit.learning_rate = asked.learning_rate;
  if (line.given("batch")) fit.batch = asked.batch;
  if (line.given("epochs")) fit.max_epochs = asked.max_epochs;
  if (line.given("patience")) fit.patience = asked.patience;
  fit.max_minutes = asked.max_minutes;
  fit.seed = options.common.seed;
  fit.n_threads = options.common.n_threads();
  if (const std::string reason = fit.why_invalid(); !reason.empty()) refuse(reason);
  const Dataset dataset = options.channels.open();
  const auto [fitting, validation] = split_samples(options, dataset);
  const TerminalControl terminal(context.quiet);
  check_comb(options, dataset.info());
  const SampleReader samples = options.channels.samples_of(dataset, fitting);
  VaeModel model = fit_vae(to_fit(options, samples),
                           to_fit(options, options.channels.samples_of(dataset, validation)), fit,
                           terminal.control());
  add_grid(options, samples, model);
  model.channel_scale = dataset.info().scale;
  model.training_data = training_data(dataset.info(), fitting, validation);
  model.provenance = line.provenance(fit.seed);
  save(options.out, model);
  context.out << options.out << ": vae, " << model.n_rx << "x" << model.n_tx << ", "
              << epochs_text(model.validation_losses) << '\n';
  return 0;
}

int fit_dmse_model(const FitOptions& options, const CommandLine& line, Context& context) {
  NetworkFitOptions fit = recipe(options, line);
  fit.n_threads = options.common.n_threads();
  fit.checkpoint = options.checkpoint.empty() ? options.out + ".checkpoint" : options.checkpoint;
  fit.process = fit_process_of_environment();
  const bool is_first = fit.process.rank == 0;
  if (const std::string reason = fit.why_invalid(); !reason.empty()) refuse(reason);

  const Dataset dataset = options.channels.open();
  const auto [range, validation] = split_samples(options, dataset);
  check_comb(options, dataset.info());
  check_arrays(options, dataset.info());
  check_alone(line, "also", {"labels", "numbers", "side"});
  const AllLabels labels(options, dataset);
  const NetworkConfig before = fit.network;
  fit.network.classes = static_cast<int>(labels.n_classes);
  fit.network.tells_class = labels.n_classes > 0 && !fit.network.told_class;
  fit.network.numbers = static_cast<int>(labels.numbers.n_rows);
  if (!fit.start.empty() &&
      (before.classes != fit.network.classes || before.numbers != fit.network.numbers ||
       before.told_class != fit.network.told_class)) {
    refuse("--start " + options.start + ": the model knows " + std::to_string(before.classes) +
           " classes and " + std::to_string(before.numbers) +
           " numbers; --labels and --numbers say " + std::to_string(fit.network.classes) + " and " +
           std::to_string(fit.network.numbers));
  }
  if (fit.network.told_class && labels.n_classes == 0) {
    refuse("--network " + options.layers + ": told-class needs --labels FILE");
  }
  if (!options.pilots.empty()) {
    const DatasetInfo& info = dataset.info();
    const sim::PilotSpec spec = sim::parse_pilots(options.pilots);
    if (info.grid.is_grid() || spec.is_grid()) {
      refuse("--pilots: an estimator of given pilots is for matrices");
    }
    fit.P = sim::make_pilots(spec, info.n_tx, options.common.seed).P;
  }
  if (const std::string reason = fit.why_invalid(); !reason.empty()) refuse(reason);
  const FurtherChannels further(options);
  const SampleReader own = options.channels.samples_of(dataset, range);
  const SampleReader samples = further.after(own, further.fitted);
  const SampleReader held_samples = options.channels.samples_of(dataset, validation);
  const SampleReader all_held = further.after(held_samples, further.held_out);
  if (!fit.arrays.empty()) {
    fit.later_panels = further.panels(own.n_samples, further.fitted);
    fit.later_validation_panels = further.panels(held_samples.n_samples, further.held_out);
  }
  const SampleReader held_out = to_fit(options, held_samples);
  SampleReader fitting = samples, validating = to_fit(options, all_held);
  if (samples.grid.is_grid()) {
    fit.cuts.steps = options.combs();
    fit.network.circle =
        static_cast<int>(*std::min_element(fit.cuts.steps.begin(), fit.cuts.steps.end()));
    fitting = plane_samples(samples, 1);
    validating = plane_samples(all_held, 1);
    if (const std::string reason = fit.why_invalid(); !reason.empty()) refuse(reason);
  }

  const TerminalControl terminal(context.quiet || !is_first);
  const ChannelLabels held_labels = labels.of(validation);
  NetworkModel model =
      fit_network(fitting, validating, fit, terminal.control(), labels.of(range), held_labels);
  if (!is_first) return 0;
  add_grid(options, samples, model);
  const arma::uword n_epochs = model.validation_losses.n_elem;
  // No epoch when stopped within the first one: the weights reached then are those of the model.
  const arma::uword best = n_epochs == 0 ? 0 : model.validation_losses.index_min() + 1;
  const bool finished = n_epochs >= fit.max_epochs || n_epochs - best >= fit.patience;

  const bool was_interrupted = terminal.interrupted();
  // Calibration is short: it runs to its end also after Ctrl-C, so that the model is complete.
  CalibrationRun calibration = CalibrationRun::of(options.common, {});
  if (fit.bfloat16 && runs_fast_in_bfloat16(fit.device)) {
    calibration.networks.precision = NetworkPrecision::bfloat16;
  }
  calibrate_model(model,
                  fit.arrays.empty() ? held_out : first_antennas(held_out, model.n_rx, model.n_tx),
                  calibration, held_labels.side);
  if (!samples.grid.is_grid() && fit.arrays.empty() && fit.P.is_empty() && !fit.network.side) {
    model.second_moments = fit_structured_covariance(samples, CovarianceKind::kronecker);
  }
  model.channel_scale = dataset.info().scale;
  model.training_data = training_data(dataset.info(), range, validation, further.record());
  model.provenance = line.provenance(fit.seed);
  save(options.out, model);
  if (samples.grid.is_grid()) {
    calibrate_grid_errors("dmse", options.out, model,
                          Bands(options.channels, validation, held_samples), calibration,
                          context.catalog);
  }
  if (finished) {
    std::error_code ignored;
    std::filesystem::remove(fit.checkpoint, ignored);
  }

  context.out << options.out << ": dmse, "
              << (model.arrays.empty() ? size_text(model.n_rx, model.n_tx) : model.arrays.text())
              << ", " << epochs_text(model.validation_losses);
  if (fit.process.count > 1) context.out << ", in " << fit.process.count << " processes";
  context.out << '\n';
  context.out << "calls per estimate, from validation channels " << validation.text() << ":\n";
  print(model.calibration, context.out);
  if (!finished) {
    context.out
        << (was_interrupted ? "interrupted" : "time is up")
        << "; the best so far is saved, and the same command with a later limit and --force "
           "continues from "
        << fit.checkpoint.string() << '\n';
  }
  return 0;
}

void declare_mixture(CommandLine& line, GmmFitOptions& mixture) {
  line.flag("components", &mixture.n_components, "N", "components of the mixture; not kronecker");
  line.flag("components-rx", &mixture.n_components_rx, "N",
            "kronecker: covariances of the receive side");
  line.flag("components-tx", &mixture.n_components_tx, "N",
            "kronecker: covariances of the transmit side");
  line.flag("rank", &mixture.rank, "N", "factors: rank beside the diagonal");
  line.flag("regularisation", &mixture.regularisation, "X",
            "least eigenvalue of a covariance over the mean power");
  line.flag("iterations", &mixture.max_iterations, "N", "most steps of EM");
  line.flag("tolerance", &mixture.tolerance, "X",
            "least rise of the log-likelihood per step and entry of H");
}

void declare_training(CommandLine& line, NetworkFitOptions& network) {
  const VaeFitOptions vae;
  line.section("dmse and vae");
  line.flag("epochs", &network.max_epochs, "N", "most passes over the channels").default_text +=
      "; vae: " + std::to_string(vae.max_epochs);
  line.flag("minutes", &network.max_minutes, "X",
            "time limit, towards which the learning rate falls; 0: none");
  line.flag("patience", &network.patience, "N", "stops after N epochs without a better loss")
      .default_text += "; vae: " + std::to_string(vae.patience);
  line.flag("batch", &network.batch, "N", "channels per step of Adam").default_text +=
      "; vae: " + std::to_string(vae.batch);
  line.flag("learning-rate", &network.learning_rate, "X", "of Adam").default_text +=
      "; vae: " + number_text(vae.learning_rate);
}

void declare_network(CommandLine& line, FitOptions& options) {
  NetworkFitOptions& network = options.network;
  line.section("dmse");
  line.flag("size", &options.size, "tiny|base|large", "7, 54 or 152 thousand parameters");
  line.flag("arrays", &options.arrays, "RXxTX",
            "one model of all their parts with so many antennas, as in 8-128x1-32");
  line.flag("also", &options.also, "FILE[:DATASET]", "further channels to fit on; may be repeated");
  line.flag("pilots", &options.pilots, "PILOTS",
            "an estimator of these alone, fewer than antennas, in place of a prior");
  line.flag("start", &options.start, "MODEL", "a fitted prior whose weights it begins with");
  line.flag("unroll", &network.unroll, "N",
            "calls of an estimate or a drawing that are fitted, through all");
  line.flag("labels", &options.labels, "FILE[:DATASET]",
            "class of each channel, 0 .., that it tells or is told");
  line.flag("numbers", &options.numbers, "FILE[:DATASET]",
            "numbers of each channel that it tells, as a delay spread");
  line.flag("side", &options.side, "FILE[:DATASET]",
            "another matrix of each channel that it is told, as of the slot before");
  line.flag(
      "network", &options.layers, "NAME",
      "chest:hidden=32-58-41-22,kernel=3,embedding=16 (axial, modulated=0-1-2, index, "
      "zero-padding, no-position, no-magnitude, gate, no-variance, bias-free, told-class), or "
      "letter: arXiv 2403.03545");
  line.flag("prediction", &options.prediction, "epsilon|sample|velocity",
            "the noise, the channel, or a mix of both");
  line.flag("objective", &options.objective, "nmse|prediction|discrepancy",
            "error in dB, of the output, of drawings");
  line.flag("ema", &network.ema_decay, "X", "decay of the moving average of the weights; 0: off");
  line.flag("constant-rate", &options.constant_rate,
            "learning rate without warm-up and without cosine");
  line.flag("augment", &options.augmentation, "KIND[,OPTIONS]",
            "none|phase|mirror; turn=BINS, gain=DB, contamination=X");
  line.output("checkpoint", &options.checkpoint,
              "written every epoch, and continued from; left out: MODEL.checkpoint");
  line.flag("bfloat16", &network.bfloat16,
            "convolves in bfloat16, up to 3 times faster where the processor can");
}

void declare(CommandLine& line, FitOptions& options) {
  line.flag("kind", &options.kind, "lmmse|gmm|dmse|vae", "the kind of model; the word after fit");
  line.output("out", &options.out, "model file to write (HDF5)");
  line.flag("force", &options.force, "replaces an existing model");
  options.channels.add(line);
  line.flag("validation", &options.validation, "FIRST:END",
            "for dmse and vae (left out: the last 5 %), or for the likelihood of gmm");
  line.flag("comb", &options.comb, "N", "grids: subcarriers between pilots").default_text =
      "4; dmse: 2,4,6";
  line.section("gmm; lmmse takes --shrinkage and --covariance alone");
  line.flag("shrinkage", &options.shrinkage, "auto|none|ledoit-wolf",
            "lmmse: towards white; auto: of few channels");
  line.flag("covariance", &options.covariance, "full|kronecker|toeplitz|dft|factors",
            "what is kept of a covariance; lmmse: full (default), kronecker, toeplitz or dft; gmm: "
            "any (default dft)");
  declare_mixture(line, options.mixture);
  declare_training(line, options.network);
  line.flag("latent", &options.vae.latent, "N", "vae: entries of the latent vector");
  line.flag("zero-mean", &options.vae.zero_mean,
            "vae: the latent vector gives the spectrum alone, and no mean");
  declare_network(line, options);
  options.common.add(line, "of weights, batches and noise, and of where gmm starts",
                     CommonFlags::Networks::fits);
  line.positional("kind", 1);
}

}  // namespace

int fit(const Args& args, Context& context) {
  FitOptions options;
  CommandLine line("fit", "lmmse|gmm|dmse|vae --channels FILE --out MODEL [options]",
                   "Fits a model on channels. dmse continues from the checkpoint that it writes "
                   "every epoch.");
  declare(line, options);
  if (!line.parse(args, context)) return 0;
  line.require("kind", "lmmse, gmm, dmse or vae");
  const std::map<std::string, int (*)(const FitOptions&, const CommandLine&, Context&)> fits{
      {"lmmse", fit_lmmse_model},
      {"gmm", fit_gmm_model},
      {"dmse", fit_dmse_model},
      {"vae", fit_vae_model}};
  line.require("channels", "the channels to fit on");
  line.require("out", "the model file to write");
  for (const char* flag :
       {"arrays", "also", "size", "start", "unroll", "pilots", "labels", "numbers", "side"}) {
    if (line.given(flag) && options.kind != "dmse") {
      refuse("--" + std::string(flag) + " is for dmse, not for " + options.kind);
    }
  }
  // A checkpoint beside the model marks it as this command's own unfinished run only where no model
  // was written yet; otherwise --force says that it may be replaced.
  check_output(options.out, options.force);
  if (const FitProcess process = fit_process_of_environment();
      process.count > 1 && options.kind != "dmse") {
    refuse("fit " + options.kind + " runs in one process, and WORLD_SIZE is " +
           std::to_string(process.count) + "; several fit dmse alone");
  }
  return fits.at(options.kind)(options, line, context);
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
