#include <chest/sim/pilots.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include <chest/channels/dataset.hpp>
#include <chest/error.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

constexpr arma::uword most_pilots = 4096;
const std::string file_start = "file=";

struct KindName {
  PilotKind kind;
  const char* name;
};
constexpr KindName kind_names[] = {
    {PilotKind::identity, "identity"}, {PilotKind::dft, "dft"},
    {PilotKind::hadamard, "hadamard"}, {PilotKind::zadoff_chu, "zadoff-chu"},
    {PilotKind::qpsk, "qpsk"},         {PilotKind::comb, "comb"},
    {PilotKind::block, "block"},       {PilotKind::dmrs, "dmrs"}};

const char* name_of(PilotKind kind) {
  for (const KindName& entry : kind_names)
    if (entry.kind == kind) return entry.name;
  return "file";
}

std::complex<double> unit(double cycles) {
  return std::polar(1.0, 2.0 * std::numbers::pi * cycles);
}

/// Column of an n_tx-point transform that slot j of n_pilots < n_tx takes: spread over all of them.
arma::uword spread_column(arma::uword j, arma::uword n_tx, arma::uword n_pilots) {
  return n_pilots < n_tx ? j * n_tx / n_pilots : j;
}

arma::cx_mat dft_pilots(arma::uword n_tx, arma::uword n_pilots) {
  const arma::uword n = std::max(n_tx, n_pilots);
  arma::cx_mat P(n_tx, n_pilots);
  for (arma::uword j = 0; j < n_pilots; ++j)
    for (arma::uword i = 0; i < n_tx; ++i)
      P(i, j) = unit(-double(i * spread_column(j, n_tx, n_pilots) % n) / double(n));
  return P;
}

arma::cx_mat hadamard_pilots(arma::uword n_tx, arma::uword n_pilots) {
  // Sylvester's matrix: (-1)^(common bits of row and column). All its leading minors are non-zero,
  // so a cut of it has full rank whatever the sizes.
  arma::cx_mat P(n_tx, n_pilots);
  for (arma::uword j = 0; j < n_pilots; ++j)
    for (arma::uword i = 0; i < n_tx; ++i) P(i, j) = __builtin_parityll(i & j) ? -1.0 : 1.0;
  return P;
}

arma::cx_mat zadoff_chu_pilots(arma::uword n_tx, arma::uword n_pilots) {
  const arma::uword n = std::max(n_tx, n_pilots);
  const arma::uword shift = n / n_tx;
  // Root 1: ideal periodic autocorrelation at any length. n^2 and 2 n are kept as integers.
  auto root = [n](arma::uword k) {
    return unit(-double(k * (k + n % 2) % (2 * n)) / double(2 * n));
  };
  arma::cx_mat P(n_tx, n_pilots);
  for (arma::uword j = 0; j < n_pilots; ++j)
    for (arma::uword i = 0; i < n_tx; ++i)
      P(i, j) = root((spread_column(j, n_tx, n_pilots) + i * shift) % n);
  return P;
}

arma::cx_mat qpsk_pilots(arma::uword n_tx, arma::uword n_pilots, std::uint64_t seed) {
  Rng rng(seed, {Purpose::pilots});
  arma::cx_mat P(n_tx, n_pilots);
  P.imbue([&rng] { return unit((2.0 * double(rng.index(4)) + 1.0) / 8.0); });
  return P;
}

arma::cx_mat stored_pilots(const PilotSpec& spec, arma::uword n_tx) {
  const std::string what =
      "pilots: " + (spec.dataset.empty() ? "" : spec.dataset + " in ") + spec.file.string();
  arma::cx_mat P;
  try {
    P = read_matrix(spec.file, spec.dataset);
  } catch (const Error& error) {
    throw Error(error.kind(), "pilots: " + std::string(error.what()));
  }
  // Without a second axis, one transmit antenna has a row.
  if (n_tx == 1 && P.n_cols == 1) P = P.st();
  if (P.n_rows != n_tx || P.n_cols > most_pilots)
    throw Error(ErrorKind::invalid_argument,
                what + " has dimensions [" + std::to_string(P.n_rows) + ", " +
                    std::to_string(P.n_cols) +
                    "], expected [n_tx, n_pilots] with n_tx = " + std::to_string(n_tx) +
                    " as in the channels and at most " + std::to_string(most_pilots) + " pilots" +
                    (P.n_cols == n_tx ? "; it looks transposed" : ""));
  if (arma::norm(P, "fro") == 0.0) throw Error(ErrorKind::numeric, what + " is all zero");
  return P;
}

/// Whether "file=FILE" or "file=FILE:DATASET" names a file that exists.
bool is_there(const std::string& item) {
  std::error_code error;
  return std::filesystem::exists(split_dataset_name(item.substr(file_start.size())).first, error);
}

}  // namespace

PilotSpec parse_pilots(const std::string& text) {
  PilotSpec spec;
  if (text.rfind(file_start, 0) == 0) {
    spec.kind = PilotKind::file;
    std::string name = text.substr(file_start.size());
    if (const std::size_t end = name.find('"', 1); !name.empty() && name[0] == '"') {
      if (end == std::string::npos) refuse("pilots: '" + text + "': a quotation is not closed");
      name = name.substr(1, end - 1) + name.substr(end + 1);
    }
    std::tie(spec.file, spec.dataset) = split_dataset_name(name);
    if (spec.file.empty())
      throw Error(ErrorKind::invalid_argument,
                  "pilots: '" + text + "' names no file, expected file=FILE or file=FILE:DATASET");
    return spec;
  }
  const std::size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  const KindName* found = nullptr;
  std::vector<std::string> names;
  for (const KindName& entry : kind_names) {
    names.push_back(entry.name);
    if (name == entry.name) found = &entry;
  }
  if (!found) {
    const std::string near = nearest(name, names);
    names.push_back("file=FILE");
    throw Error(ErrorKind::invalid_argument,
                "pilots: unknown kind '" + name + "'" +
                    (near.empty() ? "" : ", did you mean " + near + "?") + " Known are " +
                    enumerate(names) + "." +
                    (name.find('.') == std::string::npos
                         ? ""
                         : " A comma separates pilots; a file name that holds one stands in "
                           "quotes, file=\"a,b.h5\"."));
  }
  spec.kind = found->kind;
  if (spec.is_grid()) {
    spec.text = text;
    return spec;
  }
  if (colon != std::string::npos) {
    spec.n_pilots = to_count(text.substr(colon + 1), "number of pilots in '" + text + "'");
    if (spec.n_pilots == 0 || spec.n_pilots > most_pilots)
      throw Error(ErrorKind::invalid_argument, "pilots: '" + text + "' asks for " +
                                                   std::to_string(spec.n_pilots) +
                                                   " pilots, expected 1 .. 4096");
  }
  return spec;
}

std::vector<PilotSpec> parse_pilots_list(const std::string& text) {
  std::vector<std::string> items;
  for (const std::string& part : split(text, ',')) {
    // A quotation that is open, or a file that is there only with what follows the comma.
    const bool goes_on = !items.empty() && items.back().rfind(file_start, 0) == 0 &&
                         (std::count(items.back().begin(), items.back().end(), '"') % 2 == 1 ||
                          (!is_there(items.back()) && is_there(items.back() + "," + part)));
    // "symbols=2-11", not "block:symbols=2-11".
    const std::size_t mark = part.find_first_of(":=");
    const bool is_option = !items.empty() && mark != std::string::npos && part[mark] == '=' &&
                           part.rfind(file_start, 0) != 0;
    if (goes_on || is_option) {
      items.back() += "," + part;
    } else {
      items.push_back(part);
    }
  }
  std::vector<PilotSpec> specs;
  for (const std::string& item : items) specs.push_back(parse_pilots(item));
  return specs;
}

double Pilots::gain() const {
  if (pattern) return pattern->energy();
  return arma::accu(arma::square(arma::abs(P))) / double(P.n_rows);
}

Pilots make_pilots(const PilotSpec& spec, arma::uword n_tx, std::uint64_t seed,
                   double pilot_power) {
  if (!(pilot_power > 0.0) || !std::isfinite(pilot_power))
    throw Error(ErrorKind::invalid_argument,
                "pilots: pilot power is " + number_text(pilot_power) + ", expected > 0");
  const arma::uword n_pilots = spec.n_pilots ? spec.n_pilots : n_tx;
  Pilots pilots;
  pilots.name = name_of(spec.kind) + (":" + std::to_string(n_pilots));
  double column_power = double(n_tx);
  switch (spec.kind) {
    case PilotKind::comb:
    case PilotKind::block:
    case PilotKind::dmrs:
      refuse(
          "pilots: " + spec.text +
          " are for channels on a grid of subcarriers and symbols, these are matrices; use dft:N");
    case PilotKind::identity:
      if (n_pilots != n_tx)
        throw Error(ErrorKind::invalid_argument,
                    "pilots: identity:" + std::to_string(n_pilots) +
                        " does not fit channels of n_tx = " + std::to_string(n_tx) +
                        "; identity sends n_tx pilots, use dft:" + std::to_string(n_pilots));
      pilots.name = "identity";
      pilots.identity = pilot_power == 1.0;
      pilots.P.eye(n_tx, n_tx);
      column_power = 1.0;
      break;
    case PilotKind::dft:
      pilots.P = dft_pilots(n_tx, n_pilots);
      break;
    case PilotKind::hadamard:
      pilots.P = hadamard_pilots(n_tx, n_pilots);
      break;
    case PilotKind::zadoff_chu:
      pilots.P = zadoff_chu_pilots(n_tx, n_pilots);
      break;
    case PilotKind::qpsk:
      pilots.P = qpsk_pilots(n_tx, n_pilots, seed);
      break;
    case PilotKind::file:
      pilots.P = stored_pilots(spec, n_tx);
      pilots.name = "file=" + spec.file.filename().string() +
                    (spec.dataset.empty() ? "" : ":" + spec.dataset);
      column_power = 1.0;
      break;
  }
  pilots.P *= std::sqrt(pilot_power / column_power);
  return pilots;
}

std::unique_ptr<ObservationOperator> make_observation(const Pilots& pilots, arma::uword n_rx) {
  if (pilots.pattern) return make_grid_observation(*pilots.pattern, n_rx, pilots.name);
  if (pilots.identity) return make_identity_observation(n_rx, pilots.P.n_rows);
  return make_kronecker_observation(pilots.P, n_rx);
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
