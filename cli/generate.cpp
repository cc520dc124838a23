#include <algorithm>
#include <cmath>
#include <filesystem>
#include <ostream>

#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/parallel.hpp>
#include <chest/text.hpp>

#include "commands.hpp"
#include "flags.hpp"
#include "terminal.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

/// A side of an array; n_rx n_tx stays a number that fits.
constexpr std::uint64_t most_antennas = 65'536;

struct GenerateOptions {
  std::string kind, out;
  arma::uword n_rx = 64, n_tx = 16, n_samples = 10000;
  arma::uword n_paths = 3, n_components = 8;
  double spread_rx_deg = 2.0, spread_tx_deg = 35.0, rho_rx = 0.9, rho_tx = 0.5;
  CommonFlags common;
  bool double_precision = false, compress = false, force = false;
};

std::unique_ptr<ChannelGenerator> make_generator(const GenerateOptions& o) {
  if (o.kind == "scm") {
    return make_scm({o.n_rx, o.n_tx, o.n_paths, o.spread_rx_deg, o.spread_tx_deg});
  }
  if (o.kind == "rayleigh") return make_rayleigh(o.n_rx, o.n_tx);
  if (o.kind == "kronecker") return make_kronecker({o.n_rx, o.n_tx, o.rho_rx, o.rho_tx});
  return make_cluster_mixture(
      {o.n_rx, o.n_tx, o.n_components, o.spread_rx_deg, o.spread_tx_deg, o.common.seed});
}

std::string gigabytes(double bytes) { return number_text(std::ceil(bytes / 1e8) / 10) + " GB"; }

void declare(CommandLine& line, GenerateOptions& o) {
  line.flag("kind", &o.kind, "scm|rayleigh|kronecker|gmm",
            "the channel model; the word after generate");
  line.flag("n-rx", &o.n_rx, "N", "receive antennas (base station), rows of H").most =
      most_antennas;
  line.flag("n-tx", &o.n_tx, "N", "transmit antennas (mobile station), columns of H").most =
      most_antennas;
  line.flag("n-samples", &o.n_samples, "N", "channels").most = 1'000'000'000'000;
  line.section("channel models");
  line.flag("n-paths", &o.n_paths, "N", "scm: clusters per channel").most = 10'000;
  line.flag("spread-rx-deg", &o.spread_rx_deg, "DEGREES", "scm, gmm: angular spread, receive side");
  line.flag("spread-tx-deg", &o.spread_tx_deg, "DEGREES",
            "scm, gmm: angular spread, transmit side");
  line.flag("rho-rx", &o.rho_rx, "X", "kronecker: correlation of neighbours, receive side");
  line.flag("rho-tx", &o.rho_tx, "X", "kronecker: correlation of neighbours, transmit side");
  line.flag("n-components", &o.n_components, "N", "gmm: components of the mixture").most = 100'000;
  line.section("output");
  line.output("out", &o.out, "file to write (HDF5)");
  line.flag("double", &o.double_precision, "stores complex128, not complex64");
  line.flag("compress", &o.compress, "gzips the channels");
  line.flag("force", &o.force, "replaces an existing file");
  o.common.add(line, "same seed, same channels, for any number of threads",
               CommonFlags::Networks::no);
  line.positional("kind", 1);
}

/// @throws Error(io) if the channels will not fit on the disk
void check_space(const GenerateOptions& o) {
  std::error_code error;
  const auto folder = link_target(o.out).parent_path();
  const auto space = std::filesystem::space(folder.empty() ? "." : folder, error);
  const double bytes =
      double(o.n_samples) * double(o.n_rx) * double(o.n_tx) * (o.double_precision ? 16.0 : 8.0);
  if (error || bytes < double(space.available)) return;
  throw Error(ErrorKind::io, o.out + ": " + std::to_string(o.n_samples) + " channels take " +
                                 gigabytes(bytes) + ", the disk has " +
                                 gigabytes(double(space.available)) + " left");
}

}  // namespace

int generate(const Args& args, Context& context) {
  GenerateOptions options;
  CommandLine line("generate", "scm|rayleigh|kronecker|gmm --out FILE [options]",
                   "Writes channels of a model, scaled to E||h||^2 = n_rx n_tx, with what a genie "
                   "knows of them: the covariance of each, or the mixture.");
  declare(line, options);
  if (!line.parse(args, context)) return 0;
  line.require("kind", "scm, rayleigh, kronecker or gmm");
  line.require("out", "the file to write");
  if (options.n_samples == 0) refuse("--n-samples is 0, expected 1 or more");
  check_output(options.out, options.force);

  const auto generator = make_generator(options);
  const arma::uword n_h = options.n_rx * options.n_tx;
  const arma::uword block = std::clamp<arma::uword>((1 << 18) / n_h, 1, 1024);
  const unsigned threads = options.common.n_threads();
  if (!options.compress) check_space(options);

  ChannelFileOptions file;
  file.n_rx = options.n_rx;
  file.n_tx = options.n_tx;
  file.n_samples = options.n_samples;
  file.single_precision = !options.double_precision;
  file.compress = options.compress;
  file.model = generator->describe();
  file.prior = generator->prior();
  file.with_covariances = !generator->generate(options.common.seed, 0, 1).covariances.empty();
  file.provenance = line.provenance(options.common.seed);
  ChannelFileWriter writer(options.out, file);

  const TerminalControl terminal(context.quiet);
  for (arma::uword first = 0; first < options.n_samples;) {
    const arma::uword left = options.n_samples - first;
    std::vector<ChannelBlock> blocks(std::min<arma::uword>(threads, (left + block - 1) / block));
    parallel_for(blocks.size(), threads, [&](std::size_t i) {
      const arma::uword at = first + i * block;
      blocks[i] =
          generator->generate(options.common.seed, at, std::min(block, options.n_samples - at));
    });
    for (const ChannelBlock& b : blocks) {
      writer.append(b);
      first += b.h.n_cols;
    }
    if (terminal.interrupted()) {
      throw Error(ErrorKind::interrupted, "interrupted; nothing was written");
    }
    terminal.report_channels(first, options.n_samples);
  }
  writer.finish();
  context.out << options.out << ": " << options.n_samples << " channels " << options.n_rx << "x"
              << options.n_tx << ", " << options.kind << '\n';
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
