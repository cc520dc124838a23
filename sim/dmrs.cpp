#include <chest/sim/dmrs.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <string>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

constexpr arma::uword symbols_per_slot = 14;
constexpr arma::uword subcarriers_per_block = 12;

/// What the two types have in common, as numbers. (Table 6.4.1.1.3-1 and -2)
struct DmrsLayout {
  arma::uword n_groups;     ///< code-division groups side by side
  arma::uword period;       ///< subcarriers from a pair to the next of the same group
  arma::uword in_pair;      ///< subcarriers from k' = 0 to k' = 1
  arma::uword group_shift;  ///< subcarriers from a group to the next

  arma::uword n_ports(arma::uword length) const { return 2 * n_groups * length; }
  arma::uword group(arma::uword port) const { return port / 2 % n_groups; }
  arma::uword group_of_subcarrier(arma::uword k) const {
    return k % (group_shift * n_groups) / group_shift;
  }
  /// Covers: ports of a pair differ over frequency, those of the second half over time.
  bool negated(arma::uword port, arma::uword k_prime, arma::uword l_prime) const {
    return (port % 2 == 1 && k_prime == 1) != (port >= 2 * n_groups && l_prime == 1);
  }
};

DmrsLayout layout_of(arma::uword type) {
  return type == 1 ? DmrsLayout{2, 4, 2, 1} : DmrsLayout{3, 6, 1, 2};
}

void check_range(const char* name, arma::uword value, arma::uword least, arma::uword most) {
  if (value >= least && value <= most) return;
  refuse("dmrs: " + std::string(name) + " is " + std::to_string(value) + ", expected " +
         std::to_string(least) + " .. " + std::to_string(most));
}

/// Rows behind the first, by the duration. (Tables 6.4.1.1.3-3 and -4, mapping type A)
std::vector<arma::uword> additional_rows(const DmrsOptions& options, arma::uword duration) {
  const arma::uword n = options.additional;
  if (n == 0) return {};
  if (options.length == 2) {
    if (duration < 10) return {};
    return {duration < 13 ? arma::uword{8} : arma::uword{10}};
  }
  if (duration < 8) return {};
  if (duration < 10) return {7};
  if (n == 3 && duration >= 12) return {5, 8, 11};
  const arma::uword last = duration < 13 ? 9 : 11;
  if (n == 1) return {last};
  return {duration < 13 ? arma::uword{6} : arma::uword{7}, last};
}

/// The first symbol of each row.
std::vector<arma::uword> rows_of(const DmrsOptions& options, const GridAxes& grid) {
  std::vector<arma::uword> rows = options.symbols;
  if (rows.empty()) {
    const arma::uword n = grid.n_symbols;
    if (n > symbols_per_slot && n % symbols_per_slot != 0) {
      refuse("dmrs: the grid has " + std::to_string(n) +
             " symbols, which are no whole slots of 14; name the pilots' with symbols=");
    }
    const arma::uword duration =
        options.duration > 0 ? options.duration : std::min(n, symbols_per_slot);
    if (duration < 4 || duration > std::min(n, symbols_per_slot)) {
      refuse("dmrs: the tables are for a duration of 4 .. 14 symbols within the grid, here it is " +
             std::to_string(duration) + " of " + std::to_string(n) +
             "; name the pilots' symbols, as in symbols=0");
    }
    check_range("position", options.position, 2, 3);
    check_range("additional", options.additional, 0, options.length == 2 ? 1 : 3);
    if (options.additional == 3 && options.position == 3) {
      refuse("dmrs: additional=3 is for position=2, here it is 3");
    }
    for (arma::uword slot = 0; slot * symbols_per_slot < n; ++slot) {
      rows.push_back(slot * symbols_per_slot + options.position);
      for (const arma::uword row : additional_rows(options, duration)) {
        rows.push_back(slot * symbols_per_slot + row);
      }
    }
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const arma::uword end = rows[i] + options.length;
    if (end > grid.n_symbols) {
      refuse("dmrs: symbol " + std::to_string(end - 1) + " is outside the grid of " +
             std::to_string(grid.n_symbols) + " symbols (counted from 0)");
    }
    if (i > 0 && rows[i] < rows[i - 1] + options.length) {
      refuse("dmrs: symbols " + std::to_string(rows[i - 1]) + " and " + std::to_string(rows[i]) +
             " overlap or are not ascending; with length=2 each named symbol is the first of two");
    }
    if (rows[i] % symbols_per_slot + options.length > symbols_per_slot) {
      refuse("dmrs: the two symbols from " + std::to_string(rows[i]) +
             " on are in two slots, expected one");
    }
  }
  return rows;
}

std::vector<arma::uword> ports_of(const DmrsOptions& options, arma::uword n_tx) {
  const DmrsLayout layout = layout_of(options.type);
  const arma::uword n_ports = layout.n_ports(options.length);
  std::vector<arma::uword> ports = options.ports;
  for (arma::uword t = 0; t < n_tx && options.ports.empty(); ++t) ports.push_back(t);
  if (ports.size() != n_tx) {
    refuse("dmrs: " + std::to_string(ports.size()) + " ports are named, the channels have " +
           std::to_string(n_tx) + " transmit antennas; name one for each");
  }
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (ports[i] >= n_ports) {
      const bool helps = options.length == 1 && ports[i] < layout.n_ports(2);
      refuse("dmrs: port " + std::to_string(ports[i]) + " is beyond the " +
             std::to_string(n_ports) + " ports (counted from 0) of type " +
             std::to_string(options.type) + " with length " + std::to_string(options.length) +
             (helps ? "; length=2 has twice as many" : "; use fewer transmit antennas"));
    }
    if (options.groups > 0 && layout.group(ports[i]) >= options.groups) {
      refuse("dmrs: port " + std::to_string(ports[i]) + " is in group " +
             std::to_string(layout.group(ports[i])) +
             ", of which groups=" + std::to_string(options.groups) + " says that it carries data");
    }
    if (std::find(ports.begin(), ports.begin() + std::ptrdiff_t(i), ports[i]) !=
        ports.begin() + std::ptrdiff_t(i)) {
      refuse("dmrs: port " + std::to_string(ports[i]) + " is named twice");
    }
  }
  return ports;
}

/// r(0) .. r(n - 1) of a symbol.
arma::cx_vec sequence_of(const DmrsOptions& options, arma::uword symbol, arma::uword n) {
  const std::uint64_t slot = options.slot + symbol / symbols_per_slot;
  const std::uint64_t l = symbol % symbols_per_slot;
  const std::uint64_t c_init =
      (((symbols_per_slot * slot + l + 1) * (2 * options.n_id + 1)) << 17) + 2 * options.n_id +
      options.n_scid;
  const std::vector<std::uint8_t> c =
      gold_sequence(static_cast<std::uint32_t>(c_init & 0x7fffffffu), 2 * n);
  arma::cx_vec r(n);
  for (arma::uword i = 0; i < n; ++i) {
    r(i) = std::complex<double>(1.0 - 2.0 * c[2 * i], 1.0 - 2.0 * c[2 * i + 1]) * std::sqrt(0.5);
  }
  return r;
}

}  // namespace

PilotPattern make_dmrs_pattern(const DmrsOptions& options, arma::uword n_tx, const GridAxes& grid,
                               double energy) {
  check_range("type", options.type, 1, 2);
  check_range("length", options.length, 1, 2);
  const DmrsLayout layout = layout_of(options.type);
  check_range("groups", options.groups, 0, layout.n_groups);
  check_range("id", options.n_id, 0, 65535);
  check_range("scid", options.n_scid, 0, 1);
  check_range("slot", options.slot, 0, 159);
  check_range("start", options.start, 0, 274);
  const std::vector<arma::uword> rows = rows_of(options, grid);
  const std::vector<arma::uword> ports = ports_of(options, n_tx);
  std::vector<bool> is_used(layout.n_groups, false);
  for (const arma::uword port : ports) is_used[layout.group(port)] = true;

  const double amplitude =
      std::sqrt(energy * static_cast<double>(std::max<arma::uword>(options.groups, 1)));
  // The first pair of the grid, counted from common resource block 0.
  const arma::uword first_pair = options.start * subcarriers_per_block / layout.period;
  const arma::uword n_pairs = grid.n_subcarriers / layout.period + 1;
  struct Element {
    arma::uword subcarrier, group, pair, k_prime;
  };
  std::vector<Element> elements;  // of one symbol
  for (arma::uword pair = 0; pair < n_pairs; ++pair) {
    for (arma::uword group = 0; group < layout.n_groups; ++group) {
      const arma::uword k = pair * layout.period + group * layout.group_shift;
      if (!is_used[group] || k + layout.in_pair >= grid.n_subcarriers) continue;
      elements.push_back({k, group, pair, 0});
      elements.push_back({k + layout.in_pair, group, pair, 1});
    }
  }
  std::sort(elements.begin(), elements.end(),
            [](const Element& a, const Element& b) { return a.subcarrier < b.subcarrier; });
  if (elements.empty()) {
    refuse("dmrs: no pair of pilots fits the " + std::to_string(grid.n_subcarriers) +
           " subcarriers of the grid");
  }

  PilotPattern pattern;
  pattern.grid = grid;
  const arma::uword n = rows.size() * options.length * elements.size();
  pattern.subcarrier.set_size(n);
  pattern.symbol.set_size(n);
  pattern.group.set_size(n);
  pattern.x.zeros(n_tx, n);
  std::vector<arma::uword> silent;
  arma::uword p = 0;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (arma::uword l_prime = 0; l_prime < options.length; ++l_prime) {
      const arma::uword symbol = rows[row] + l_prime;
      for (arma::uword k = 0; k < grid.n_subcarriers; ++k) {
        if (layout.group_of_subcarrier(k) < options.groups) {
          silent.push_back(symbol * grid.n_subcarriers + k);
        }
      }
      const arma::cx_vec r = sequence_of(options, symbol, 2 * (first_pair + n_pairs));
      for (const Element& element : elements) {
        pattern.subcarrier(p) = element.subcarrier;
        pattern.symbol(p) = symbol;
        pattern.group(p) = (row * n_pairs + element.pair) * layout.n_groups + element.group;
        for (arma::uword t = 0; t < n_tx; ++t) {
          if (layout.group(ports[t]) != element.group) continue;
          const std::complex<double> x =
              amplitude * r(2 * (first_pair + element.pair) + element.k_prime);
          pattern.x(t, p) = layout.negated(ports[t], element.k_prime, l_prime) ? -x : x;
        }
        ++p;
      }
    }
  }
  pattern.silent = arma::uvec(silent);
  return pattern;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
