#include <algorithm>
#include <cmath>
#include <filesystem>
#include <ostream>
#include <vector>

#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/ofdm.hpp>
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
  double spread_rx_deg = 2.0, spread_tx_deg = 35.0, rho_rx = 0.9, rho_tx = 0.5, alpha = 1.0;
  std::string profile = "C", grid = "624x14@30", correlation = "low", doppler, speed;
  std::string rx_panel, tx_panel, direction = "away";
  std::string delay_spread = "100";
  double carrier_ghz = 3.5;
  arma::uword n_slots = 1;
  CommonFlags common;
  bool double_precision = false, compress = false, force = false;
};

/// Numbers between commas.
std::vector<double> numbers(const std::string& list, const std::string& flag) {
  std::vector<double> out;
  for (const std::string& part : split(list, ',')) out.push_back(to_number(part, flag));
  return out;
}

/// The largest Doppler in Hz, from --doppler or --speed; one or several.
std::vector<double> dopplers_of(const GenerateOptions& o) {
  if (!o.doppler.empty() && !o.speed.empty())
    refuse("--doppler and --speed both say how fast channels change; give one");
  if (!o.doppler.empty()) return numbers(o.doppler, "--doppler");
  if (o.speed.empty()) return {0.0};
  if (!(o.carrier_ghz > 0.0))
    refuse("--carrier is " + number_text(o.carrier_ghz) + ", expected > 0");
  std::vector<double> out = numbers(o.speed, "--speed");
  for (double& value : out) value *= o.carrier_ghz * 1e9 / arma::datum::c_0 / 3.6;
  return out;
}

GridAxes grid_of(const GenerateOptions& o) {
  const GridChoice choice = parse_grid(o.grid);
  if (choice.n_subcarriers == 0 || choice.spacing_hz == 0.0)
    refuse("--grid: '" + o.grid + "' must name subcarriers and spacing, as in 624x14@30");
  return ofdm_grid(choice.n_subcarriers, std::max<arma::uword>(choice.n_symbols, 1),
                   choice.spacing_hz);
}

/// One tapped delay line, or all combinations of what is listed in turn: profiles with the delay
/// spreads, where they are scaled, and with the Dopplers, where they name none.
std::unique_ptr<ChannelGenerator> make_tdl_generator(const GenerateOptions& o) {
  TdlOptions tdl;
  tdl.n_rx = o.n_rx;
  tdl.n_tx = o.n_tx;
  tdl.grid = grid_of(o);
  tdl.correlation = o.correlation == "low"      ? MimoCorrelation::low
                    : o.correlation == "medium" ? MimoCorrelation::medium
                                                : MimoCorrelation::high;
  tdl.n_slots = o.n_slots;
  const std::vector<double> spreads = numbers(o.delay_spread, "--delay-spread");
  const std::vector<double> dopplers = dopplers_of(o);
  const std::vector<std::string> profiles = split(o.profile, ',');
  std::vector<TdlOptions> all;
  for (const std::string& profile : profiles) {
    tdl.profile = profile;
    const bool is_scaled = profile.size() == 1;
    const bool names_doppler = profiles.size() > 1 && delay_profile(profile).doppler_hz > 0.0;
    for (const double spread : is_scaled ? spreads : std::vector<double>{spreads.front()}) {
      tdl.delay_spread_s = 1e-9 * spread;
      for (const double doppler : names_doppler ? std::vector<double>{0.0} : dopplers) {
        tdl.doppler_hz = doppler;
        all.push_back(tdl);
      }
    }
  }
  return all.size() == 1 ? make_tdl(all.front()) : make_tdl_mix(all);
}

/// Leaves the sizes of the panels in n_rx and n_tx.
std::unique_ptr<ChannelGenerator> make_cdl_generator(GenerateOptions& o) {
  CdlOptions cdl;
  cdl.profile = o.profile;
  const std::vector<double> dopplers = dopplers_of(o);
  if (dopplers.size() > 1) refuse("--doppler and --speed: cdl takes one, tdl a list");
  cdl.doppler_hz = dopplers.front();
  cdl.any_direction = o.direction == "any";
  cdl.delay_spread_s = 1e-9 * to_number(o.delay_spread, "--delay-spread");
  cdl.grid = grid_of(o);
  cdl.n_slots = o.n_slots;
  cdl.rx.n_columns = o.n_rx;
  cdl.tx.n_columns = o.n_tx;
  if (!o.rx_panel.empty()) cdl.rx = parse_panel(o.rx_panel, cdl.rx);
  if (!o.tx_panel.empty()) cdl.tx = parse_panel(o.tx_panel, cdl.tx);
  o.n_rx = cdl.rx.n();
  o.n_tx = cdl.tx.n();
  return make_cdl(cdl);
}

std::unique_ptr<ChannelGenerator> make_generator(GenerateOptions& o) {
  if (o.kind == "scm") {
    const PanelShape panel = parse_panel(o.rx_panel, "--rx-panel");
    if (!panel.is_line()) o.n_rx = panel.n();
    return make_scm({o.n_rx, o.n_tx, o.n_paths, o.spread_rx_deg, o.spread_tx_deg, panel});
  }
  if (o.kind == "rayleigh") return make_rayleigh(o.n_rx, o.n_tx);
  if (o.kind == "tdl") return make_tdl_generator(o);
  if (o.kind == "cdl") return make_cdl_generator(o);
  if (o.kind == "kronecker") return make_kronecker({o.n_rx, o.n_tx, o.rho_rx, o.rho_tx});
  if (o.kind == "power-law") return make_power_law({o.n_rx, o.n_tx, o.alpha});
  if (o.kind == "regions")
    return make_regions({o.n_rx, o.n_tx, o.n_components, o.alpha, o.common.seed});
  if (o.kind == "paths") return make_paths({o.n_rx, o.n_tx, o.n_paths});
  return make_cluster_mixture(
      {o.n_rx, o.n_tx, o.n_components, o.spread_rx_deg, o.spread_tx_deg, o.common.seed});
}

std::string gigabytes(double bytes) { return number_text(std::ceil(bytes / 1e8) / 10) + " GB"; }

void declare(CommandLine& line, GenerateOptions& o) {
  line.flag("kind", &o.kind, "scm|rayleigh|kronecker|gmm|power-law|regions|paths|tdl|cdl",
            "the channel model; the word after generate");
  line.flag("n-rx", &o.n_rx, "N", "receive antennas (base station), rows of H").most =
      most_antennas;
  line.flag("n-tx", &o.n_tx, "N", "transmit antennas (mobile station), columns of H").most =
      most_antennas;
  line.flag("n-samples", &o.n_samples, "N", "channels").most = 1'000'000'000'000;
  line.section("channel models");
  line.flag("n-paths", &o.n_paths, "N", "scm, paths: clusters or paths per channel").most = 10'000;
  line.flag("spread-rx-deg", &o.spread_rx_deg, "DEGREES", "scm, gmm: angular spread, receive side");
  line.flag("spread-tx-deg", &o.spread_tx_deg, "DEGREES",
            "scm, gmm: angular spread, transmit side");
  line.flag("rho-rx", &o.rho_rx, "X", "kronecker: correlation of neighbours, receive side");
  line.flag("rho-tx", &o.rho_tx, "X", "kronecker: correlation of neighbours, transmit side");
  line.flag("n-components", &o.n_components, "N", "gmm, regions: components of the mixture").most =
      100'000;
  line.flag("alpha", &o.alpha, "X",
            "power-law, regions: smoothness of the spectrum or of the border");
  line.section("channel models on grids: files of gains and delays");
  line.flag(
      "profile", &o.profile, "NAME",
      "tdl, cdl: A to E of TR 38.901; tdl: TDLA30, TDLB100, TDLC300, TDLB100-400 of 38.101-4, "
      "or a list: channels of each in turn");
  line.flag("grid", &o.grid, "FxS@KHZ", "F subcarriers and S symbols at a spacing in kHz");
  line.flag("delay-spread", &o.delay_spread, "NS", "rms delay spread, of A to E; tdl: or a list");
  line.flag("doppler", &o.doppler, "HZ",
            "largest Doppler, tdl: or a list; left out: the channel stands still");
  line.flag("speed", &o.speed, "KMH", "the same as a speed, at the carrier");
  line.flag("carrier", &o.carrier_ghz, "GHZ", "carrier, for --speed");
  line.flag("direction", &o.direction, "away|any",
            "cdl: the terminal moves straight away, or in a direction drawn for each channel");
  line.flag("correlation", &o.correlation, "low|medium|high",
            "tdl: of neighbouring antennas, by TS 38.101-4");
  line.flag(
      "rx-panel", &o.rx_panel, "RxCxP",
      "scm, cdl: rows, columns and polarisations; left out: a row of --n-rx, of cdl vertical");
  line.flag("tx-panel", &o.tx_panel, "RxCxP",
            "cdl: the same of the terminal, with omnidirectional elements (docs/grid.md)");
  line.flag("slots", &o.n_slots, "N", "consecutive samples that continue one channel in time")
      .most = 1'000'000'000;
  line.section("output");
  line.output("out", &o.out, "file to write (HDF5)");
  line.flag("double", &o.double_precision, "stores complex128, not complex64");
  line.flag("compress", &o.compress, "gzips the channels");
  line.flag("force", &o.force, "replaces an existing file");
  o.common.add(line, "same seed, same channels, for any number of threads",
               CommonFlags::Networks::none);
  line.positional("kind", 1);
}

/// @throws Error(invalid_argument) if a flag has no meaning for this kind of channels
void check_meaning(const CommandLine& line, const GenerateOptions& o) {
  const bool is_tdl = o.kind == "tdl", is_cdl = o.kind == "cdl";
  const auto only_for = [&](bool fits, const std::string& whose,
                            const std::vector<std::string>& flags) {
    for (const std::string& flag : flags)
      if (!fits && line.given(flag))
        refuse("--" + flag + " is for " + whose + ", not for " + o.kind);
  };
  only_for(is_tdl || is_cdl, "tdl and cdl",
           {"profile", "grid", "delay-spread", "doppler", "speed", "carrier", "slots"});
  only_for(o.kind == "power-law" || o.kind == "regions", "power-law and regions", {"alpha"});
  only_for(is_tdl, "tdl", {"correlation"});
  only_for(is_cdl, "cdl", {"tx-panel", "direction"});
  only_for(is_cdl || o.kind == "scm", "scm and cdl", {"rx-panel"});
  const std::vector<std::string> profiles = split(o.profile, ',');
  const bool is_scaled = std::any_of(profiles.begin(), profiles.end(),
                                     [](const std::string& name) { return name.size() == 1; });
  if (is_tdl && !is_scaled && line.given("delay-spread"))
    refuse("--delay-spread is for the profiles A to E, " + o.profile + " has its own delays");
}

/// @throws Error(io) if the channels, of `n` complex values each, will not fit on the disk
void check_space(const GenerateOptions& o, arma::uword n) {
  std::error_code error;
  const auto folder = link_target(o.out).parent_path();
  const auto space = std::filesystem::space(folder.empty() ? "." : folder, error);
  const double bytes = double(o.n_samples) * double(n) * (o.double_precision ? 16.0 : 8.0);
  if (error || bytes < double(space.available)) return;
  throw Error(ErrorKind::io, o.out + ": " + std::to_string(o.n_samples) + " channels take " +
                                 gigabytes(bytes) + ", the disk has " +
                                 gigabytes(double(space.available)) + " left");
}

}  // namespace

int generate(const Args& args, Context& context) {
  GenerateOptions options;
  CommandLine line(
      "generate", "KIND --out FILE [options]",
      "Writes channels of a model, scaled to power 1 per entry, with what a genie "
      "knows of them: the covariance of each or all, the mixture, or the least error.");
  declare(line, options);
  if (!line.parse(args, context)) return 0;
  line.require("kind", "scm, rayleigh, kronecker, gmm, power-law, regions, paths, tdl or cdl");
  line.require("out", "the file to write");
  if (options.n_samples == 0) refuse("--n-samples is 0, expected 1 or more");
  check_output(options.out, options.force);
  if (options.kind == "tdl" || options.kind == "cdl") {
    if (!line.given("n-rx")) options.n_rx = TdlOptions{}.n_rx;
    if (!line.given("n-tx")) options.n_tx = TdlOptions{}.n_tx;
  }

  check_meaning(line, options);
  const auto generator = make_generator(options);
  const ChannelBlock one = generator->generate(options.common.seed, 0, 1);
  const arma::uword n_h =
      one.paths.empty() ? options.n_rx * options.n_tx : one.paths[0].gains.n_elem;
  const arma::uword block = std::clamp<arma::uword>((1 << 18) / n_h, 1, 1024);
  const unsigned threads = options.common.n_threads();
  if (!options.compress) check_space(options, n_h);

  ChannelFileOptions file;
  file.n_rx = options.n_rx;
  file.n_tx = options.n_tx;
  file.n_samples = options.n_samples;
  file.single_precision = !options.double_precision;
  file.compress = options.compress;
  file.model = generator->describe();
  file.prior = generator->prior();
  file.optimum = generator->optimum();
  file.with_covariances = !one.covariances.empty();
  file.rx_panel = generator->rx_panel();
  if (options.kind == "scm" && !file.with_covariances) {
    warn("genie will not work on " + options.out + ": covariances of a panel are not kept");
  }
  if (!one.paths.empty()) {
    file.grid = generator->grid();
    file.n_paths = one.paths[0].gains.n_cols;
    file.n_path_symbols = one.paths[0].gains.n_slices;
    file.grid_covariance = generator->grid_covariance();
    if (!file.grid_covariance)
      warn("genie will not work on " + options.out + ": " +
           (options.kind == "tdl" ? "channels of several kinds have no covariance in common"
            : options.direction == "any" && dopplers_of(options).front() > 0.0
                ? "directions of movement that are drawn have no covariance in closed form"
                : "the line of sight between two panels of two polarisations has "
                  "no covariance in closed form"));
  }
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
      first += std::max<arma::uword>(b.h.n_cols, b.paths.size());
    }
    if (terminal.interrupted()) {
      throw Error(ErrorKind::interrupted, "interrupted; nothing was written");
    }
    terminal.report_channels(first, options.n_samples);
  }
  writer.finish();
  context.out << options.out << ": " << options.n_samples << " channels "
              << size_text(options.n_rx, options.n_tx, file.grid) << ", " << options.kind << '\n';
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
