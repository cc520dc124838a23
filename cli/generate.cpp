#include <algorithm>
#include <ostream>

#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/parallel.hpp>
#include <chest/text.hpp>

#include "args.hpp"

namespace chest::cli {
namespace {

struct GenerateOptions {
  std::string kind, out;
  arma::uword n_rx = 64, n_tx = 16, n_samples = 10000;
  arma::uword n_paths = 3, n_components = 8;
  double spread_rx_deg = 2.0, spread_tx_deg = 35.0, rho_rx = 0.9, rho_tx = 0.5;
  std::uint64_t seed = 1;
  unsigned threads = 0;
  bool double_precision = false, compress = false, force = false;
};

std::unique_ptr<ChannelGenerator> make_generator(const GenerateOptions& o) {
  if (o.kind == "scm") {
    return make_scm({o.n_rx, o.n_tx, o.n_paths, o.spread_rx_deg, o.spread_tx_deg});
  }
  if (o.kind == "rayleigh") return make_rayleigh(o.n_rx, o.n_tx);
  if (o.kind == "kronecker") return make_kronecker({o.n_rx, o.n_tx, o.rho_rx, o.rho_tx});
  if (o.kind == "gmm") {
    return make_cluster_mixture(
        {o.n_rx, o.n_tx, o.n_components, o.spread_rx_deg, o.spread_tx_deg, o.seed});
  }
  const std::string near = nearest(o.kind, {"scm", "rayleigh", "kronecker", "gmm"});
  throw Error(ErrorKind::invalid_argument,
              "chest generate: there is no channel model '" + o.kind + "'" +
                  (near.empty() ? "; there are scm, rayleigh, kronecker and gmm"
                                : "; did you mean " + near + "?"));
}

}  // namespace

int generate(const Args& args, std::ostream& out) {
  GenerateOptions options;
  CommandLine line("generate", "chest generate scm|rayleigh|kronecker|gmm --out FILE [options]",
                   "Writes channels of a model, scaled to E||h||^2 = n_rx n_tx, with what a genie "
                   "knows of them\n(the covariance of each, or the mixture).");
  auto flag = line.flags().add_options();
  flag("kind", optional_field(options.kind), "the channel model; the word after generate");
  flag("out", optional_field(options.out), "file to write (HDF5)");
  flag("n-rx", field(options.n_rx), "receive antennas (base station), rows of H");
  flag("n-tx", field(options.n_tx), "transmit antennas (mobile station), columns of H");
  flag("n-samples", field(options.n_samples), "channels");
  flag("n-paths", field(options.n_paths), "scm: clusters per channel");
  flag("spread-rx-deg", field(options.spread_rx_deg), "scm, gmm: angular spread, receive side");
  flag("spread-tx-deg", field(options.spread_tx_deg), "scm, gmm: angular spread, transmit side");
  flag("rho-rx", field(options.rho_rx), "kronecker: correlation of neighbours, receive side");
  flag("rho-tx", field(options.rho_tx), "kronecker: correlation of neighbours, transmit side");
  flag("n-components", field(options.n_components), "gmm: components of the mixture");
  flag("seed", field(options.seed), "same seed, same channels, for any number of threads");
  flag("threads", field(options.threads), "worker threads; 0: all processors");
  flag("double", po::bool_switch(&options.double_precision), "store complex128, not complex64");
  flag("compress", po::bool_switch(&options.compress), "gzip the channels");
  flag("force", po::bool_switch(&options.force), "replace an existing file");
  line.positional("kind", 1);
  if (!line.parse(args, out)) return 0;
  line.require("kind", "write chest generate scm, rayleigh, kronecker or gmm");
  line.require("out", "the file to write");
  if (options.n_samples == 0) {
    throw Error(ErrorKind::invalid_argument,
                "chest generate: --n-samples is 0, expected 1 or more");
  }
  check_output(options.out, options.force);

  const auto generator = make_generator(options);
  const arma::uword n_h = options.n_rx * options.n_tx;
  const arma::uword block = std::clamp<arma::uword>((1 << 18) / n_h, 1, 1024);
  const unsigned threads = n_threads(options.threads);

  ChannelFileOptions file;
  file.n_rx = options.n_rx;
  file.n_tx = options.n_tx;
  file.n_samples = options.n_samples;
  file.single_precision = !options.double_precision;
  file.compress = options.compress;
  file.model = generator->describe();
  file.prior = generator->prior();
  file.with_covariances = !generator->generate(options.seed, 0, 1).covariances.empty();
  file.provenance = line.provenance(options.seed);
  ChannelFileWriter writer(options.out, file);

  const TerminalControl terminal;
  for (arma::uword first = 0; first < options.n_samples;) {
    const arma::uword left = options.n_samples - first;
    std::vector<ChannelBlock> blocks(std::min<arma::uword>(threads, (left + block - 1) / block));
    parallel_for(blocks.size(), threads, [&](std::size_t i) {
      const arma::uword at = first + i * block;
      blocks[i] = generator->generate(options.seed, at, std::min(block, options.n_samples - at));
    });
    for (const ChannelBlock& b : blocks) {
      writer.append(b);
      first += b.h.n_cols;
    }
    if (terminal.interrupted()) {
      throw Error(ErrorKind::interrupted, "generate: interrupted; nothing was written");
    }
    terminal.report_channels(first, options.n_samples);
  }
  writer.finish();
  out << options.out << ": " << options.n_samples << " channels " << options.n_rx << "x"
      << options.n_tx << ", " << options.kind << '\n';
  return 0;
}

}  // namespace chest::cli
