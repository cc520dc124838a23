#include <algorithm>
#include <map>
#include <ostream>
#include <sstream>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/spec.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/vae_model.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/estimators/nn/vae.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/text.hpp>

#include "args.hpp"
#include "calibration.hpp"

namespace chest::cli {
namespace {

struct FitOptions {
  std::string kind, out, validation, checkpoint, covariance;
  std::string layers = "chest", prediction = "velocity", objective = "nmse";
  ChannelFlags channels;
  NetworkFitOptions network;
  VaeConfig vae;
  GmmFitOptions mixture;
  unsigned threads = 0;
  std::string augmentation = "phase";
  bool constant_rate = false, force = false;
};

std::string training_data(const ChannelFlags& flags, const DatasetInfo& info,
                          const std::string& samples) {
  return nlohmann::json{{"file", info.file.filename().string()},
                        {"dataset", info.dataset},
                        {"samples", samples},
                        {"normalise", flags.normalise},
                        {"scale", info.scale},
                        {"hash", hash_file(info.file)}}
      .dump();
}

using Range = std::pair<arma::uword, arma::uword>;

std::string range_text(const Range& range) {
  return std::to_string(range.first) + ":" + std::to_string(range.second);
}

SampleReader samples_of(const Dataset& dataset, Range range) {
  return subrange(dataset.samples(), range.first, range.second - range.first);
}

/// --validation, which must share no sample with `range`.
Range validation_range(const FitOptions& options, const SampleReader& samples, const Range& range) {
  const Range validation = parse_samples(options.validation, samples.n_samples, "--validation");
  if (validation.first < range.second && range.first < validation.second) {
    throw Error(ErrorKind::invalid_argument, "chest fit: --samples " + range_text(range) +
                                                 " and --validation " + range_text(validation) +
                                                 " overlap; give ranges that share no sample");
  }
  return validation;
}

int fit_lmmse_model(const FitOptions& options, const CommandLine& line, std::ostream& out) {
  const CovarianceKind kind = options.covariance.empty()
                                  ? CovarianceKind::full
                                  : covariance_kind_from_string(options.covariance);
  const Dataset dataset = options.channels.open();
  const auto range = options.channels.range(dataset);
  LmmseModel model = fit_lmmse(samples_of(dataset, range), kind);
  model.channel_scale = dataset.info().scale;
  model.training_data = training_data(options.channels, dataset.info(), range_text(range));
  model.provenance = line.provenance(0);
  save(options.out, model);
  out << options.out << ": lmmse, " << model.n_rx << "x" << model.n_tx << ", " << to_string(kind)
      << " covariance of " << model.n_samples << " channels\n";
  return 0;
}

int fit_gmm_model(const FitOptions& options, const CommandLine& line, std::ostream& out) {
  GmmFitOptions fit = options.mixture;
  if (!options.covariance.empty()) {
    fit.covariance = mixture_covariance_from_string(options.covariance);
  }
  fit.seed = options.network.seed;
  fit.n_threads = n_threads(options.threads);
  if (const std::string reason = fit.why_invalid(); !reason.empty()) {
    throw Error(ErrorKind::invalid_argument, "chest fit: " + reason);
  }
  const Dataset dataset = options.channels.open();
  const SampleReader samples = dataset.samples();
  const Range range = options.channels.range(dataset);
  const Range validation =
      options.validation.empty() ? Range{} : validation_range(options, samples, range);

  TerminalControl terminal;
  GmmModel model = fit_gmm(samples_of(dataset, range), fit, terminal.control());
  model.channel_scale = dataset.info().scale;
  model.training_data = training_data(options.channels, dataset.info(), range_text(range));
  model.provenance = line.provenance(fit.seed);
  save(options.out, model);

  out << options.out << ": gmm, " << model.n_rx << "x" << model.n_tx << ", "
      << describe(model.prior) << ", from " << model.n_samples << " channels\n"
      << model.log_likelihoods.n_elem - 1 << " steps of EM, mean log-likelihood "
      << model.log_likelihoods.back();
  if (!options.validation.empty()) {
    const SampleReader held_out = samples_of(dataset, validation);
    out << ", of channels " << range_text(validation) << " "
        << mean_log_likelihood(model.prior, held_out, fit.n_threads);
  }
  out << '\n';
  if (terminal.interrupted()) out << "interrupted; the mixture reached so far is saved\n";
  return 0;
}

/// The recipe of the network that --network names, with what was said otherwise.
NetworkFitOptions recipe(const FitOptions& options, const CommandLine& line) {
  const NetworkFitOptions& asked = options.network;
  const NetworkConfig network = parse_network(options.layers);
  const bool letter = parse_named_options(options.layers).name == "letter";
  NetworkFitOptions fit = letter ? NetworkFitOptions::letter() : NetworkFitOptions{};
  fit.network = network;
  if (network.bias_free) fit.prediction = Prediction::epsilon;
  if (line.given("prediction")) fit.prediction = prediction_from_string(options.prediction);
  if (line.given("objective")) fit.objective = fit_objective_from_string(options.objective);
  if (line.given("learning-rate")) fit.learning_rate = asked.learning_rate;
  if (line.given("batch")) fit.batch = asked.batch;
  if (line.given("ema")) fit.ema_decay = asked.ema_decay;
  if (line.given("epochs")) fit.max_epochs = asked.max_epochs;
  if (line.given("patience")) fit.patience = asked.patience;
  if (options.constant_rate) fit.anneal = false;
  if (line.given("augment")) fit.augmentation = augmentation_from_string(options.augmentation);
  fit.max_minutes = asked.max_minutes;
  fit.seed = asked.seed;
  fit.device = asked.device;
  fit.bfloat16 = asked.bfloat16;
  return fit;
}

/// Samples to fit on and to validate with: --samples and --validation, or the last 5 % of
/// --samples.
struct Split {
  Range fitting, validation;
};

Split split_samples(const FitOptions& options, const Dataset& dataset) {
  Split split{options.channels.range(dataset), {}};
  Range& range = split.fitting;
  if (!options.validation.empty()) {
    split.validation = validation_range(options, dataset.samples(), range);
    return split;
  }
  // The end of the range, not a random choice: neighbours in a file are often correlated.
  const arma::uword n = std::max<arma::uword>((range.second - range.first) / 20, 1);
  split.validation = {range.second - n, range.second};
  range.second -= n;
  if (range.first >= range.second) {
    throw Error(ErrorKind::invalid_argument,
                "chest fit: one sample cannot be split into fitting and validation samples");
  }
  return split;
}

/// What a fit of epochs reached, for people.
std::string epochs_text(const arma::vec& validation_losses) {
  if (validation_losses.is_empty()) return "stopped within the first epoch";
  std::ostringstream text;
  const arma::uword best = validation_losses.index_min();
  text << validation_losses.n_elem << " epochs, best " << best + 1 << " with validation loss "
       << validation_losses(best);
  return text.str();
}

int fit_vae_model(const FitOptions& options, const CommandLine& line, std::ostream& out) {
  const NetworkFitOptions& asked = options.network;
  VaeFitOptions fit;
  fit.network = options.vae;
  if (line.given("learning-rate")) fit.learning_rate = asked.learning_rate;
  if (line.given("batch")) fit.batch = asked.batch;
  if (line.given("epochs")) fit.max_epochs = asked.max_epochs;
  if (line.given("patience")) fit.patience = asked.patience;
  fit.max_minutes = asked.max_minutes;
  fit.seed = asked.seed;
  fit.n_threads = n_threads(options.threads);
  if (const std::string reason = fit.why_invalid(); !reason.empty()) {
    throw Error(ErrorKind::invalid_argument, "chest fit: " + reason);
  }
  const Dataset dataset = options.channels.open();
  const auto [fitting, validation] = split_samples(options, dataset);
  const TerminalControl terminal;
  VaeModel model = fit_vae(samples_of(dataset, fitting), samples_of(dataset, validation), fit,
                           terminal.control());
  model.channel_scale = dataset.info().scale;
  model.training_data = training_data(options.channels, dataset.info(), range_text(fitting));
  model.provenance = line.provenance(fit.seed);
  save(options.out, model);
  out << options.out << ": vae, " << model.n_rx << "x" << model.n_tx << ", "
      << epochs_text(model.validation_losses) << '\n';
  return 0;
}

int fit_dmse_model(const FitOptions& options, const CommandLine& line, std::ostream& out) {
  NetworkFitOptions fit = recipe(options, line);
  fit.n_threads = n_threads(options.threads);
  fit.checkpoint = options.checkpoint.empty() ? options.out + ".checkpoint" : options.checkpoint;
  if (const std::string reason = fit.why_invalid(); !reason.empty()) {
    throw Error(ErrorKind::invalid_argument, "chest fit: " + reason);
  }

  const Dataset dataset = options.channels.open();
  const auto [range, validation] = split_samples(options, dataset);
  const SampleReader fitting = samples_of(dataset, range);
  const SampleReader held_out = samples_of(dataset, validation);

  TerminalControl terminal;
  NetworkModel model = fit_network(fitting, held_out, fit, terminal.control());
  const arma::uword n_epochs = model.validation_losses.n_elem;
  // No epoch when stopped within the first one: the weights reached then are those of the model.
  const arma::uword best = n_epochs == 0 ? 0 : model.validation_losses.index_min() + 1;
  const bool finished = n_epochs >= fit.max_epochs || n_epochs - best >= fit.patience;

  const bool was_interrupted = terminal.interrupted();
  // Calibration is short: it runs to its end also after Ctrl-C, so that the model is complete.
  calibrate_model(model, held_out, fit.device, fit.bfloat16, fit.seed, fit.n_threads, {});
  model.channel_scale = dataset.info().scale;
  model.training_data = training_data(options.channels, dataset.info(), range_text(range));
  model.provenance = line.provenance(fit.seed);
  save(options.out, model);
  if (finished) {
    std::error_code ignored;
    std::filesystem::remove(fit.checkpoint, ignored);
  }

  out << options.out << ": dmse, " << model.n_rx << "x" << model.n_tx << ", "
      << epochs_text(model.validation_losses) << '\n';
  out << "calls per estimate, from validation channels " << range_text(validation) << ":\n";
  print(model.calibration, out);
  if (!finished) {
    out << (was_interrupted ? "interrupted" : "time is up")
        << "; the best so far is saved, and the same command with a later limit and --force "
           "continues from "
        << fit.checkpoint.string() << '\n';
  }
  return 0;
}

}  // namespace

int fit(const Args& args, std::ostream& out) {
  FitOptions options;
  NetworkFitOptions& network = options.network;
  GmmFitOptions& mixture = options.mixture;
  CommandLine line(
      "fit", "chest fit lmmse|gmm|dmse|vae --channels FILE --out MODEL [options]",
      "Fits an estimator's model on channels. A dmse fit writes a checkpoint every epoch "
      "and continues from it;\nCtrl-C and the limits keep the best so far.");
  auto flag = line.flags().add_options();
  flag("kind", optional_field(options.kind), "lmmse, gmm, dmse or vae; the word after fit");
  flag("out", optional_field(options.out), "model file to write (HDF5)");
  flag("force", po::bool_switch(&options.force), "replace an existing model");
  options.channels.add(line.flags());
  flag("covariance", optional_field(options.covariance),
       "lmmse: full (the default) or toeplitz (block-Toeplitz average, for uniform linear arrays); "
       "gmm: dft (the default), factors, kronecker, toeplitz or full");
  flag("components", field(mixture.n_components), "gmm: components of the mixture, but kronecker");
  flag("components-rx", field(mixture.n_components_rx),
       "gmm, kronecker: covariances of the receive side");
  flag("components-tx", field(mixture.n_components_tx),
       "gmm, kronecker: covariances of the transmit side");
  flag("rank", field(mixture.rank), "gmm, factors: rank beside the diagonal");
  flag("regularisation", optional_field(mixture.regularisation)->default_value(1e-4, "0.0001"),
       "gmm: least eigenvalue of a covariance, relative to the mean power");
  flag("iterations", field(mixture.max_iterations), "gmm: most steps of EM");
  flag("tolerance", optional_field(mixture.tolerance)->default_value(1e-5, "0.00001"),
       "gmm: least rise of the log-likelihood per step and entry of H");
  flag("validation", optional_field(options.validation),
       "first:end of the validation samples; dmse, vae: left out, the last 5 % of --samples; gmm: "
       "their log-likelihood is printed");
  flag("network", field(options.layers),
       "dmse: chest, our own, with options as in chest:hidden=32-58-41-22,kernel=3,embedding=16 "
       "(modulated=0-1-2, index, zero-padding, no-position, no-magnitude, gate, no-variance, "
       "bias-free); or "
       "letter, the network and recipe of the letter, which changes the defaults below");
  flag("epochs", field(network.max_epochs), "dmse, vae: most passes over the channels (vae: 60)");
  flag("minutes", field(network.max_minutes),
       "dmse, vae: wall-clock limit, towards which the learning rate falls; 0: none");
  flag("patience", field(network.patience),
       "dmse, vae: epochs without a better validation loss (vae: 15)");
  flag("batch", field(network.batch), "dmse, vae: channels per Adam step (vae: 32)");
  flag("learning-rate", optional_field(network.learning_rate)->default_value(4e-3, "0.004"),
       "dmse, vae: of Adam (vae: 0.002)");
  flag("ema", field(network.ema_decay), "dmse: decay of the moving average of the weights; 0: off");
  flag("prediction", field(options.prediction), "dmse: epsilon, sample or velocity");
  flag("objective", field(options.objective),
       "dmse: nmse (mean dB over SNRs) or prediction (mean square of the output's error)");
  flag("constant-rate", po::bool_switch(&options.constant_rate),
       "dmse: no warm-up and no cosine of the learning rate");
  flag("augment", field(options.augmentation),
       "dmse: none, phase (a random phase per channel) or mirror (also antennas in reverse order "
       "and "
       "conjugates: uniform linear arrays in symmetric surroundings)");
  flag("checkpoint", optional_field(options.checkpoint), "dmse: left out: MODEL.checkpoint");
  flag("seed", field(network.seed),
       "dmse, vae: initial weights, batches and noise; gmm: the channels that the components start "
       "from");
  flag("latent", field(options.vae.latent), "vae: entries of the latent vector");
  flag("zero-mean", po::bool_switch(&options.vae.zero_mean),
       "vae: the latent vector says the spectrum alone, no mean");
  flag("threads", field(options.threads), "worker threads; 0: all processors");
  flag("device", field(network.device), "dmse: cpu, cuda, cuda:N or auto");
  flag("bfloat16", po::bool_switch(&network.bfloat16),
       "dmse: convolve in bfloat16, up to 3 times faster where the processor can");
  line.positional("kind", 1);
  if (!line.parse(args, out)) return 0;
  line.require("kind", "write chest fit lmmse, chest fit gmm, chest fit dmse or chest fit vae");
  const std::map<std::string, int (*)(const FitOptions&, const CommandLine&, std::ostream&)> fits{
      {"lmmse", fit_lmmse_model},
      {"gmm", fit_gmm_model},
      {"dmse", fit_dmse_model},
      {"vae", fit_vae_model}};
  const auto chosen = fits.find(options.kind);
  if (chosen == fits.end()) {
    throw Error(ErrorKind::invalid_argument, "chest fit: there is no fit of kind '" + options.kind +
                                                 "'; there are lmmse, gmm, dmse and vae");
  }
  line.require("channels", "the channels to fit on");
  line.require("out", "the model file to write");
  // A checkpoint beside the model marks it as this command's own unfinished run only where no model
  // was written yet; otherwise --force says that it may be replaced.
  check_output(options.out, options.force);
  return chosen->second(options, line, out);
}

}  // namespace chest::cli
