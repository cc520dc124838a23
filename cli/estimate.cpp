#include <algorithm>
#include <ostream>

#include <chest/error.hpp>
#include <chest/spec.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/text.hpp>

#include "args.hpp"
#include "run_flags.hpp"

namespace chest::cli {
namespace {

struct EstimateOptions {
  std::string observations, axes, out, estimator = "dmse", pilots = "identity", device = "cpu";
  std::vector<std::string> models;
  std::string snr;
  double pilot_power = 1.0;
  arma::uword n_tx = 0;
  std::uint64_t seed = 1;
  unsigned threads = 0;
  bool per_angle = false, compress = false, force = false;
};

/// Observations are stored as channels are: [n, n_rx, n_pilots]. Their power is their own.
Dataset open_observations(const EstimateOptions& options) {
  const auto [file, dataset] = split_dataset_name(options.observations);
  DatasetOptions stored;
  stored.dataset = dataset;
  stored.axes = options.axes;
  stored.normalisation = Normalisation::factor;
  return Dataset(file, stored);
}

}  // namespace

int estimate(const Args& args, std::ostream& out) {
  EstimateOptions options;
  CommandLine line(
      "estimate",
      "chest estimate --observations FILE --snr DB --out FILE [--estimator NAME] [options]",
      "Estimates channels from received pilots Y = H P + N, stored as [n, n_rx, n_pilots] "
      "complex at the scale\nE||h||^2 = n_rx n_tx. Writes /channels [n, n_rx, n_tx] and, "
      "where predicted, /err_var [n], the error variance per entry; with --snr unknown, "
      "/sigma2 [n]." +
          estimator_help());
  auto flag = line.flags().add_options();
  flag("observations", optional_field(options.observations), "FILE[:DATASET] with received pilots");
  flag("axes", optional_field(options.axes), "order of the stored dimensions, as for --channels");
  flag("snr", optional_field(options.snr),
       "-10 log10(noise variance per received entry), dB; or unknown: estimated for each channel");
  flag("per-angle", po::bool_switch(&options.per_angle),
       "also write the error variance of every angular entry, /err_var_angular [n, n_rx, n_tx]");
  flag("out", optional_field(options.out), "file to write (HDF5)");
  flag("estimator", field(options.estimator), "which, with options; one of those listed above");
  flag("model", optional_field(options.models), "model file; repeatable");
  flag("pilots", field(options.pilots), "what was sent: identity, dft:16, file=P.h5 ...");
  flag("pilot-power", field(options.pilot_power), "||p||^2 per pilot slot");
  flag("n-tx", optional_field(options.n_tx),
       "transmit antennas; left out: as many as pilots, or those of the model");
  flag("seed", field(options.seed), "of qpsk pilots, as in the sweep");
  flag("threads", field(options.threads), "worker threads; 0: all processors");
  flag("device", field(options.device), "of networks: cpu, cuda, cuda:N or auto");
  flag("compress", po::bool_switch(&options.compress), "gzip the estimates");
  flag("force", po::bool_switch(&options.force), "replace an existing file");
  if (!line.parse(args, out)) return 0;
  line.require("observations", "a file with received pilots");
  line.require("snr", "the SNR in dB that belongs to the noise of the observations, or unknown");
  const bool blind = options.snr == "unknown";
  // Not read by an estimator that finds its own.
  const double sigma2 = blind ? 1.0 : from_db(-to_number(options.snr, "chest estimate: --snr"));
  line.require("out", "the file to write");
  check_output(options.out, options.force);

  const Dataset dataset = open_observations(options);
  const arma::uword n_rx = dataset.info().n_rx, n_pilots = dataset.info().n_tx;
  const auto models = std::make_shared<ModelStore>(
      std::vector<std::filesystem::path>(options.models.begin(), options.models.end()));
  arma::uword n_tx = options.n_tx;
  if (n_tx == 0) n_tx = models->files().empty() ? n_pilots : models->files().front().n_tx;

  sim::PilotSpec spec = sim::parse_pilots(options.pilots);
  if (spec.n_pilots == 0 && spec.kind != sim::PilotKind::identity) spec.n_pilots = n_pilots;
  const sim::Pilots pilots = sim::make_pilots(spec, n_tx, options.seed, options.pilot_power);
  if (pilots.n_pilots() != n_pilots) {
    throw Error(ErrorKind::invalid_argument,
                "chest estimate: the observations have " + std::to_string(n_pilots) +
                    " pilot slots, " + pilots.name + " has " + std::to_string(pilots.n_pilots()) +
                    "; give --pilots and --n-tx as they were sent");
  }
  EstimatorContext context;
  context.A = sim::make_observation(pilots, n_rx);
  context.n_rx = n_rx;
  context.n_tx = n_tx;
  context.models = models;
  context.device = options.device;
  NamedOptions named = parse_named_options(options.estimator);
  if (blind && !named.options.emplace("snr", "unknown").second) {
    throw Error(ErrorKind::invalid_argument,
                "chest estimate: " + named.text + " and --snr unknown both say which SNR to use");
  }
  const auto estimator = make_estimator(named, context);
  if (const std::string text = blind ? "" : estimator->warning(sigma2); !text.empty()) warn(text);

  // Fixed blocks: the estimates do not depend on the number of threads.
  constexpr arma::uword block = 64;
  const arma::uword n_samples = dataset.info().n_samples;
  const unsigned threads = n_threads(options.threads);
  std::unique_ptr<ChannelFileWriter> writer;
  const TerminalControl terminal;
  for (arma::uword first = 0; first < n_samples;) {
    const arma::uword left = n_samples - first;
    const arma::uword n_blocks = std::min<arma::uword>(threads, (left + block - 1) / block);
    std::vector<Estimate> estimates(n_blocks);
    parallel_for(n_blocks, threads, [&](std::size_t i) {
      const arma::uword at = first + i * block;
      Observation observation;
      observation.y = dataset.read(at, std::min(block, n_samples - at));
      observation.sigma2 = sigma2;
      observation.first_sample = at;
      observation.per_angle = options.per_angle;
      estimator->estimate(observation, estimates[i]);
    });
    if (!writer) {
      ChannelFileOptions file;
      file.n_rx = n_rx;
      file.n_tx = n_tx;
      file.n_samples = n_samples;
      file.compress = options.compress;
      file.with_err_var = estimator->predicts_mse(sigma2);
      file.with_err_var_angular = !estimates[0].angular_mse.is_empty();
      file.with_sigma2 = !estimates[0].sigma2.is_empty();
      if (options.per_angle && !file.with_err_var_angular) {
        warn(estimator->name() +
             " does not know the error of single angles; /err_var_angular is "
             "left out");
      }
      file.provenance = line.provenance(options.seed);
      writer = std::make_unique<ChannelFileWriter>(options.out, file);
    }
    for (Estimate& estimate : estimates) {
      ChannelBlock channels;
      channels.h = std::move(estimate.h);
      channels.err_var = estimate.mse / static_cast<double>(n_rx * n_tx);
      channels.err_var_angular = std::move(estimate.angular_mse);
      channels.sigma2 = std::move(estimate.sigma2);
      first += channels.h.n_cols;
      writer->append(channels);
    }
    if (terminal.interrupted()) {
      throw Error(ErrorKind::interrupted, "estimate: interrupted; nothing was written");
    }
    terminal.report_channels(first, n_samples);
  }
  writer->finish();
  out << options.out << ": " << n_samples << " estimates " << n_rx << "x" << n_tx << " by "
      << estimator->name() << '\n';
  return 0;
}

}  // namespace chest::cli
