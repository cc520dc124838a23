#include <algorithm>
#include <ostream>

#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

#include "commands.hpp"
#include "flags.hpp"
#include "terminal.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

struct EstimateOptions {
  std::string observations, axes, snr, out, estimator = "dmse", pilots = "identity";
  std::vector<std::string> models;
  double pilot_power = 1.0;
  std::optional<arma::uword> n_tx;
  CommonFlags common;
  bool per_angle = false, compress = false, force = false;

  bool blind() const { return snr == "unknown"; }
  /// Not read by an estimator that finds its own.
  double sigma2() const { return blind() ? 1.0 : from_db(-to_number(snr, "--snr")); }
};

void declare(CommandLine& line, EstimateOptions& o) {
  line.section("received pilots");
  line.flag("observations", &o.observations, "FILE[:DATASET]", "received pilots");
  line.flag("axes", &o.axes, "LETTERS",
            "order of the stored dimensions, as for --channels of chest sweep");
  line.flag("snr", &o.snr, "DB|unknown",
            "-10 log10(noise variance per received entry); unknown: estimated for each channel");
  line.flag("pilots", &o.pilots, "PILOTS", "what was sent: identity, dft:16, file=P.h5 ...");
  line.flag("pilot-power", &o.pilot_power, "X", "||p||^2 per pilot slot");
  line.flag("n-tx", &o.n_tx, "N",
            "transmit antennas; left out: as many as pilots, or those of the model");
  line.section("estimator");
  line.flag("estimator", &o.estimator, "ESTIMATOR",
            "which, with options; chest estimators lists them");
  line.flag("model", &o.models, "FILE", "model file; may be repeated");
  line.section("output");
  line.output("out", &o.out, "file to write (HDF5)");
  line.flag("per-angle", &o.per_angle,
            "also the error variance of every angular entry, /err_var_angular [n, n_rx, n_tx]");
  line.flag("compress", &o.compress, "gzips the estimates");
  line.flag("force", &o.force, "replaces an existing file");
  o.common.add(line, "of qpsk pilots, as in chest sweep");
}

/// Observations are stored as channels are: [n, n_rx, n_pilots]. Their power is their own.
Dataset open_observations(const EstimateOptions& options) {
  const auto [file, dataset] = split_dataset_name(options.observations);
  DatasetOptions stored;
  stored.dataset = dataset;
  stored.axes = options.axes;
  stored.normalisation = Normalisation::factor;
  return open_dataset(file, stored);
}

/// The pilots that the observations were received from.
sim::Pilots sent_pilots(const EstimateOptions& options, arma::uword n_tx, arma::uword n_pilots) {
  sim::PilotSpec spec = sim::parse_pilots(options.pilots);
  if (spec.n_pilots == 0 && spec.kind != sim::PilotKind::identity) spec.n_pilots = n_pilots;
  sim::Pilots pilots = sim::make_pilots(spec, n_tx, options.common.seed, options.pilot_power);
  if (pilots.n_pilots() != n_pilots) {
    refuse("the observations have " + std::to_string(n_pilots) + " pilot slots, " + pilots.name +
           " has " + std::to_string(pilots.n_pilots()) +
           "; give --pilots and --n-tx as they were sent");
  }
  return pilots;
}

/// What the estimator knows of pilots, sizes and models.
EstimatorContext knowledge(const EstimateOptions& options, const DatasetInfo& observations) {
  EstimatorContext known;
  known.models = std::make_shared<ModelStore>(
      std::vector<std::filesystem::path>(options.models.begin(), options.models.end()));
  const auto models = known.models->files();
  known.n_rx = observations.n_rx;
  known.n_tx = options.n_tx.value_or(models.empty() ? observations.n_tx : models.front().n_tx);
  known.device = options.common.device;
  known.A = sim::make_observation(sent_pilots(options, known.n_tx, observations.n_tx), known.n_rx);
  return known;
}

std::shared_ptr<const Estimator> estimator_of(const EstimateOptions& options,
                                              const EstimatorContext& known,
                                              const Catalog& catalog) {
  NamedOptions named = parse_named_options(options.estimator);
  if (options.blind() && !named.options.emplace("snr", "unknown").second) {
    refuse(named.text + " and --snr unknown both say which SNR to use");
  }
  std::shared_ptr<const Estimator> estimator = make_for(catalog, named, known, known.A);
  if (options.blind()) return estimator;
  if (const std::string text = estimator->warning(options.sigma2()); !text.empty()) warn(text);
  return estimator;
}

/// Estimates the columns from `first` on, one block of the observations per thread.
std::vector<Estimate> estimate_blocks(const EstimateOptions& options, const Dataset& dataset,
                                      const Estimator& estimator, arma::uword first) {
  // Fixed blocks: the estimates do not depend on the number of threads.
  constexpr arma::uword block = 64;
  const arma::uword n_samples = dataset.info().n_samples;
  const unsigned threads = options.common.n_threads();
  const arma::uword n_left = (n_samples - first + block - 1) / block;
  std::vector<Estimate> estimates(std::min<arma::uword>(threads, n_left));
  parallel_for(estimates.size(), threads, [&](std::size_t i) {
    const arma::uword at = first + i * block;
    Observation observation;
    observation.y = dataset.read(at, std::min(block, n_samples - at));
    observation.sigma2 = options.sigma2();
    observation.seed = options.common.seed;
    observation.first_sample = at;
    observation.per_angle = options.per_angle;
    estimator.estimate(observation, estimates[i]);
  });
  return estimates;
}

/// What the file will hold, by what the first estimate has.
ChannelFileOptions file_options(const EstimateOptions& options, const EstimatorContext& known,
                                const Estimate& estimate, const CommandLine& line) {
  ChannelFileOptions file;
  file.n_rx = known.n_rx;
  file.n_tx = known.n_tx;
  file.compress = options.compress;
  file.with_err_var = !estimate.mse.is_empty();
  file.with_err_var_angular = !estimate.angular_mse.is_empty();
  file.with_sigma2 = !estimate.sigma2.is_empty();
  file.provenance = line.provenance(options.common.seed);
  return file;
}

ChannelBlock block_of(Estimate& estimate) {
  ChannelBlock block;
  block.h = std::move(estimate.h);
  block.err_var = estimate.mse / static_cast<double>(block.h.n_rows);
  block.err_var_angular = std::move(estimate.angular_mse);
  block.sigma2 = std::move(estimate.sigma2);
  return block;
}

}  // namespace

int estimate(const Args& args, Context& context) {
  EstimateOptions options;
  CommandLine line("estimate",
                   "--observations FILE --snr DB --out FILE [--estimator NAME] [options]",
                   "Estimates channels from received pilots Y = H P + N, stored as "
                   "[n, n_rx, n_pilots] complex at the scale E||h||^2 = n_rx n_tx. Writes "
                   "/channels [n, n_rx, n_tx] and, where the estimator predicts it, /err_var [n], "
                   "the error variance per entry; with --snr unknown also /sigma2 [n].");
  declare(line, options);
  if (!line.parse(args, context)) return 0;
  line.require("observations", "a file with received pilots");
  line.require("snr", "the SNR in dB that belongs to the noise of the observations, or unknown");
  options.sigma2();
  line.require("out", "the file to write");
  check_output(options.out, options.force);

  const Dataset dataset = open_observations(options);
  const arma::uword n_samples = dataset.info().n_samples;
  const EstimatorContext known = knowledge(options, dataset.info());
  const auto estimator = estimator_of(options, known, context.catalog);
  std::unique_ptr<ChannelFileWriter> writer;
  const TerminalControl terminal(context.quiet);
  for (arma::uword first = 0; first < n_samples;) {
    std::vector<Estimate> estimates = estimate_blocks(options, dataset, *estimator, first);
    if (!writer) {
      ChannelFileOptions file = file_options(options, known, estimates[0], line);
      file.n_samples = n_samples;
      if (options.per_angle && !file.with_err_var_angular) {
        warn(estimator->name() +
             " does not know the error of single angles; /err_var_angular is left out");
      }
      writer = std::make_unique<ChannelFileWriter>(options.out, file);
    }
    for (Estimate& each : estimates) {
      const ChannelBlock block = block_of(each);
      writer->append(block);
      first += block.h.n_cols;
    }
    if (terminal.interrupted()) {
      throw Error(ErrorKind::interrupted, "interrupted; nothing was written");
    }
    terminal.report_channels(first, n_samples);
  }
  writer->finish();
  context.out << options.out << ": " << n_samples << " estimates " << known.n_rx << "x"
              << known.n_tx << " by " << estimator->name() << '\n';
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
