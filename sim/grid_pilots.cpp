// Pilots on a grid of subcarriers and symbols.
#include <cmath>
#include <map>
#include <memory>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/random.hpp>
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
  /// "2-11": symbols 2 and 11.
  std::vector<arma::uword> symbols(const GridAxes& grid) {
    const auto it = options_.find("symbols");
    if (it == options_.end()) return {0};
    std::vector<arma::uword> out;
    for (const std::string& item : split(it->second, '-')) {
      const arma::uword s = to_count(item, "symbols in '" + text_ + "'");
      if (s >= grid.n_symbols) {
        refuse("pilots: " + text_ + " names symbol " + std::to_string(s) + ", the grid has " +
               std::to_string(grid.n_symbols) + " (counted from 0)");
      }
      if (!out.empty() && s <= out.back()) {
        refuse("pilots: " + text_ + ": symbols are named in ascending order, as in symbols=2-11");
      }
      out.push_back(s);
    }
    options_.erase(it);
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

}  // namespace

Pilots make_grid_pilots(const PilotSpec& spec, arma::uword n_tx, const GridAxes& grid,
                        std::uint64_t seed, double pilot_energy) {
  if (!spec.is_grid()) {
    refuse("pilots: these channels are grids of " + grid.text() +
           " subcarriers and symbols, whose pilots are for example comb:" +
           std::to_string(std::max<arma::uword>(n_tx, 4)) +
           (grid.n_symbols > 11 ? ",symbols=2-11" : ""));
  }
  if (!(pilot_energy > 0.0) || !std::isfinite(pilot_energy)) {
    refuse("pilots: pilot power is " + number_text(pilot_energy) + ", expected > 0");
  }
  Rng rng(seed, {Purpose::pilots});
  PatternOptions options(spec);
  auto pattern = std::make_shared<PilotPattern>(
      spec.kind == PilotKind::comb ? comb_pattern(options, spec, n_tx, grid, rng, pilot_energy)
                                   : block_pattern(options, spec, n_tx, grid, rng, pilot_energy));
  if (const std::string why = pattern->why_invalid(); !why.empty()) {
    refuse("pilots: " + spec.text + ": " + why);
  }
  Pilots pilots;
  pilots.name = spec.text;
  pilots.P = pattern->x;
  pilots.pattern = std::move(pattern);
  return pilots;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
