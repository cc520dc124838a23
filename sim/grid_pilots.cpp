// Pilots on a grid of subcarriers and symbols.
#include <cmath>
#include <map>
#include <memory>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include <chest/channels/dataset.hpp>
#include <chest/error.hpp>
#include <chest/random.hpp>
#include <chest/sim/dmrs.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// The options of one kind of pilots, read in turn; what is left at the end was not known.
class PatternOptions {
 public:
  explicit PatternOptions(const PilotSpec& spec)
      : text_(spec.text), options_(parse_named_options(spec.text).options) {}

  /// The option that has no name, "comb:4".
  arma::uword leading_count(arma::uword otherwise) {
    for (const auto& [name, value] : options_) {
      if (!value.empty() || name.find_first_not_of("0123456789") != std::string::npos) continue;
      const arma::uword n = to_count(name, "number in '" + text_ + "'");
      options_.erase(name);
      return n;
    }
    return otherwise;
  }
  arma::uword count(const std::string& name, arma::uword otherwise) {
    const auto it = options_.find(name);
    if (it == options_.end()) return otherwise;
    const arma::uword n = to_count(it->second, name + " in '" + text_ + "'");
    options_.erase(it);
    return n;
  }
  bool has(const std::string& name) const { return options_.count(name) > 0; }
  /// "2-11": 2 and 11; empty where it is not given.
  std::vector<arma::uword> list(const std::string& name) {
    const auto it = options_.find(name);
    if (it == options_.end()) return {};
    std::vector<arma::uword> out;
    for (const std::string& item : split(it->second, '-')) {
      out.push_back(to_count(item, name + " in '" + text_ + "'"));
    }
    options_.erase(it);
    return out;
  }
  /// Symbols of the grid, ascending.
  std::vector<arma::uword> symbols(const GridAxes& grid) {
    if (!has("symbols")) return {0};
    const std::vector<arma::uword> out = list("symbols");
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (out[i] >= grid.n_symbols) {
        refuse("pilots: " + text_ + " names symbol " + std::to_string(out[i]) + ", the grid has " +
               std::to_string(grid.n_symbols) + " (counted from 0)");
      }
      if (i > 0 && out[i] <= out[i - 1]) {
        refuse("pilots: " + text_ + ": symbols are named in ascending order, as in symbols=2-11");
      }
    }
    return out;
  }
  void finish(const std::vector<std::string>& known) const {
    for (const auto& [name, value] : options_) {
      refuse("pilots: option '" + name + "' of " + text_ + " is unknown" +
             did_you_mean(name, known));
    }
  }

 private:
  std::string text_;
  std::map<std::string, std::string> options_;
};

/// The port that sends in an element; n_tx: none.
using PortOf = std::function<arma::uword(arma::uword subcarrier, arma::uword i_symbol)>;

PilotPattern one_port_each(const GridAxes& grid, arma::uword n_tx,
                           const std::vector<arma::uword>& symbols, const PortOf& port_of, Rng& rng,
                           double energy) {
  std::vector<arma::uword> at_f, at_s, ports;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    for (arma::uword f = 0; f < grid.n_subcarriers; ++f) {
      const arma::uword port = port_of(f, i);
      if (port >= n_tx) continue;
      at_f.push_back(f);
      at_s.push_back(symbols[i]);
      ports.push_back(port);
    }
  }
  PilotPattern pattern;
  pattern.grid = grid;
  pattern.subcarrier = arma::uvec(at_f);
  pattern.symbol = arma::uvec(at_s);
  pattern.group = arma::regspace<arma::uvec>(0, 1, at_f.empty() ? 0 : at_f.size() - 1);
  pattern.x.zeros(n_tx, ports.size());
  for (arma::uword p = 0; p < ports.size(); ++p) {
    const double cycles = (2.0 * static_cast<double>(rng.index(4)) + 1.0) / 8.0;
    pattern.x(ports[p], p) = std::polar(std::sqrt(energy), 2.0 * std::numbers::pi * cycles);
  }
  return pattern;
}

PilotPattern comb_pattern(PatternOptions& options, const PilotSpec& spec, arma::uword n_tx,
                          const GridAxes& grid, Rng& rng, double energy) {
  const arma::uword step = options.leading_count(n_tx);
  const arma::uword offset = options.count("offset", 0);
  const std::vector<arma::uword> symbols = options.symbols(grid);
  options.finish({"offset", "symbols"});
  if (step < n_tx || step == 0) {
    refuse("pilots: " + spec.text + ": a comb of " + std::to_string(step) +
           " subcarriers is for as many ports, these channels have " + std::to_string(n_tx) +
           "; use comb:" + std::to_string(n_tx));
  }
  if (step + offset > grid.n_subcarriers) {
    refuse("pilots: " + spec.text + " needs more than the " + std::to_string(grid.n_subcarriers) +
           " subcarriers that there are");
  }
  return one_port_each(
      grid, n_tx, symbols,
      [&](arma::uword f, arma::uword) { return f < offset ? n_tx : (f - offset) % step; }, rng,
      energy);
}

PilotPattern block_pattern(PatternOptions& options, const PilotSpec& spec, arma::uword n_tx,
                           const GridAxes& grid, Rng& rng, double energy) {
  const std::vector<arma::uword> symbols = options.symbols(grid);
  options.finish({"symbols"});
  if (symbols.size() % n_tx != 0) {
    refuse("pilots: " + spec.text + " names " + std::to_string(symbols.size()) +
           " symbols, which " + std::to_string(n_tx) +
           " ports take in turn; name a multiple of that");
  }
  return one_port_each(
      grid, n_tx, symbols, [&](arma::uword, arma::uword i) { return i % n_tx; }, rng, energy);
}

PilotPattern dmrs_pattern(PatternOptions& options, arma::uword n_tx, const GridAxes& grid,
                          double energy) {
  for (const char* table : {"position", "additional", "duration"}) {
    if (options.has("symbols") && options.has(table)) {
      refuse("dmrs: symbols and " + std::string(table) + " both say where pilots are; give one");
    }
  }
  DmrsOptions dmrs;
  dmrs.symbols = options.list("symbols");
  dmrs.ports = options.list("ports");
  const std::vector<std::pair<const char*, arma::uword DmrsOptions::*>> counts = {
      {"type", &DmrsOptions::type},         {"length", &DmrsOptions::length},
      {"position", &DmrsOptions::position}, {"additional", &DmrsOptions::additional},
      {"duration", &DmrsOptions::duration}, {"groups", &DmrsOptions::groups},
      {"id", &DmrsOptions::n_id},           {"scid", &DmrsOptions::n_scid},
      {"slot", &DmrsOptions::slot},         {"start", &DmrsOptions::start}};
  std::vector<std::string> known = {"symbols", "ports"};
  for (const auto& [name, member] : counts) {
    dmrs.*member = options.count(name, dmrs.*member);
    known.push_back(name);
  }
  options.finish(known);
  return make_dmrs_pattern(dmrs, n_tx, grid, energy);
}

/// What the ports send, from an array [n_tx, n_subcarriers, n_symbols].
PilotPattern stored_pattern(const PilotSpec& spec, arma::uword n_tx, const GridAxes& grid,
                            double energy) {
  DatasetOptions options;
  options.dataset = spec.dataset;
  options.axes = "tfs";
  options.normalisation = Normalisation::factor;
  arma::cx_mat sent;
  try {
    const Dataset dataset(spec.file, options);
    const DatasetInfo& info = dataset.info();
    if (info.n_tx != n_tx || info.grid.n_subcarriers != grid.n_subcarriers ||
        info.grid.n_symbols != grid.n_symbols) {
      refuse(spec.file.string() + " has pilots for " + std::to_string(info.n_tx) +
             " ports on a grid of " + info.grid.text() + ", the channels have " +
             std::to_string(n_tx) + " transmit antennas on " + grid.text() +
             "; expected [n_tx, n_subcarriers, n_symbols] as in the channels");
    }
    sent = arma::reshape(dataset.read(0, 1), n_tx, grid.n_elements());
  } catch (const Error& error) {
    throw Error(error.kind(), "pilots: " + std::string(error.what()));
  }
  return sent_pattern(std::sqrt(energy) * sent, grid);
}

PilotPattern pattern_of(const PilotSpec& spec, arma::uword n_tx, const GridAxes& grid, Rng& rng,
                        double energy) {
  if (spec.kind == PilotKind::file) return stored_pattern(spec, n_tx, grid, energy);
  PatternOptions options(spec);
  if (spec.kind == PilotKind::comb) return comb_pattern(options, spec, n_tx, grid, rng, energy);
  if (spec.kind == PilotKind::block) return block_pattern(options, spec, n_tx, grid, rng, energy);
  return dmrs_pattern(options, n_tx, grid, energy);
}

}  // namespace

Pilots make_grid_pilots(const PilotSpec& spec, arma::uword n_tx, const GridAxes& grid,
                        std::uint64_t seed, double pilot_energy) {
  const bool is_file = spec.kind == PilotKind::file;
  if (!spec.is_grid() && !is_file) {
    refuse("pilots: these channels are grids of " + grid.text() +
           " subcarriers and symbols, whose pilots are for example comb:" +
           std::to_string(std::max<arma::uword>(n_tx, 4)) +
           (grid.n_symbols > 11 ? ",symbols=2-11" : ""));
  }
  if (!(pilot_energy > 0.0) || !std::isfinite(pilot_energy)) {
    refuse("pilots: pilot power is " + number_text(pilot_energy) + ", expected > 0");
  }
  Rng rng(seed, {Purpose::pilots});
  auto pattern = std::make_shared<PilotPattern>(pattern_of(spec, n_tx, grid, rng, pilot_energy));
  if (const std::string why = pattern->why_invalid(); !why.empty()) {
    refuse("pilots: " + (is_file ? spec.file.string() : spec.text) + ": " + why);
  }
  Pilots pilots;
  pilots.name = is_file ? "file=" + spec.file.filename().string() +
                              (spec.dataset.empty() ? "" : ":" + spec.dataset)
                        : spec.text;
  pilots.P = pattern->x;
  pilots.pattern = std::move(pattern);
  return pilots;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
