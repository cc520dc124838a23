#include <chest/estimators/network/array_range.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <numeric>
#include <utility>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

std::string side_text(arma::uword least, arma::uword most) {
  return std::to_string(least) + (least == most ? "" : "-" + std::to_string(most));
}

/// With the rows, columns and polarisations of a panel or fewer.
std::vector<PanelShape> parts_of(const PanelShape& panel) {
  std::vector<PanelShape> parts;
  for (arma::uword p = 1; p <= panel.polarisations; ++p) {
    for (arma::uword c = 1; c <= panel.columns; ++c) {
      for (arma::uword r = 1; r <= panel.rows; ++r) parts.push_back({r, c, p});
    }
  }
  return parts;
}

}  // namespace

std::string ArrayRange::text() const {
  return side_text(least_rx, most_rx) + "x" + side_text(least_tx, most_tx);
}

std::string ArrayRange::why_invalid() const {
  constexpr arma::uword most_antennas = 4096;
  if (empty()) return {};
  if (least_rx > 0 && least_tx > 0 && least_rx <= most_rx && least_tx <= most_tx &&
      most_rx <= most_antennas && most_tx <= most_antennas) {
    return {};
  }
  return "arrays " + text() + ": expected ascending sizes, 1 to " + std::to_string(most_antennas);
}

ArrayRange parse_array_range(const std::string& text, const std::string& what) {
  const std::vector<std::string> sides = split(text, 'x');
  if (sides.size() != 2) {
    throw Error(ErrorKind::invalid_argument,
                what + " " + text + ": expected receive x transmit antennas, as in 8-128x1-32");
  }
  const auto side = [&](const std::string& part, arma::uword& least, arma::uword& most) {
    const std::vector<std::string> ends = split(part, '-');
    if (ends.empty() || ends.size() > 2) {
      throw Error(ErrorKind::invalid_argument,
                  what + " " + text + ": '" + part + "' is no range of antennas; expected 8-128");
    }
    least = to_count(ends.front(), what);
    most = to_count(ends.back(), what);
  };
  ArrayRange range;
  side(sides[0], range.least_rx, range.most_rx);
  side(sides[1], range.least_tx, range.most_tx);
  const std::string why =
      range.empty() ? "arrays " + text + ": expected at least one antenna" : range.why_invalid();
  if (!why.empty()) throw Error(ErrorKind::invalid_argument, what + ": " + why);
  return range;
}

std::vector<PanelShape> parts_of(const PanelShape& panel, arma::uword n) {
  std::vector<PanelShape> out;
  for (const PanelShape& part : parts_of(panel)) {
    if (part.n() == n) out.push_back(part);
  }
  return out;
}

std::vector<arma::uword> antennas_of(const PanelShape& panel, const PanelShape& part,
                                     const PanelShape& first) {
  std::vector<arma::uword> out;
  for (arma::uword p = 0; p < part.polarisations; ++p) {
    for (arma::uword c = 0; c < part.columns; ++c) {
      for (arma::uword r = 0; r < part.rows; ++r) {
        out.push_back(((first.polarisations + p) * panel.columns + first.columns + c) * panel.rows +
                      first.rows + r);
      }
    }
  }
  return out;
}

std::vector<arma::uword> common_sizes(const std::vector<PanelShape>& arrays,
                                      const ArrayRange& range) {
  std::vector<arma::uword> out;
  for (arma::uword n = range.least_rx; n <= range.most_rx; ++n) {
    const bool fits = std::all_of(arrays.begin(), arrays.end(), [n](const PanelShape& panel) {
      return panel.is_line() || !parts_of(panel, n).empty();
    });
    if (fits) out.push_back(n);
  }
  return out;
}

PanelShape nearest_part(const PanelShape& panel, arma::uword n) {
  const auto distance = [n](const PanelShape& part) {
    const auto octaves = [](arma::uword a, arma::uword b) {
      return std::abs(std::log2(static_cast<double>(a) / static_cast<double>(b)));
    };
    return std::pair(octaves(part.n(), n), octaves(part.rows, part.columns));
  };
  const std::vector<PanelShape> parts = parts_of(panel);
  return *std::min_element(
      parts.begin(), parts.end(),
      [&](const PanelShape& a, const PanelShape& b) { return distance(a) < distance(b); });
}

SampleReader first_antennas(const SampleReader& samples, arma::uword n_rx, arma::uword n_tx) {
  if (samples.grid.is_grid() || n_rx > samples.n_rx || n_tx > samples.n_tx || n_rx == 0 ||
      n_tx == 0) {
    throw Error(ErrorKind::invalid_argument,
                "the first " + std::to_string(n_rx) + "x" + std::to_string(n_tx) +
                    " antennas: expected matrices of at least as many, these are of " +
                    std::to_string(samples.n_rx) + "x" + std::to_string(samples.n_tx));
  }
  SampleReader out = samples;
  const PanelShape& panel = samples.rx_panel;
  std::vector<arma::uword> kept(n_rx);  // receive antennas
  if (panel.is_line()) {
    std::iota(kept.begin(), kept.end(), arma::uword{0});
  } else {
    out.rx_panel = nearest_part(panel, n_rx);
    kept = antennas_of(panel, out.rx_panel);
  }
  out.n_rx = kept.size();
  out.n_tx = n_tx;
  out.read = [samples, kept, n_tx](arma::uword first, arma::uword count) {
    const arma::cx_mat all = samples.read(first, count);
    arma::cx_mat h(kept.size() * n_tx, count);
    for (arma::uword k = 0; k < count; ++k) {
      std::complex<double>* next = h.colptr(k);
      for (arma::uword t = 0; t < n_tx; ++t) {
        for (const arma::uword r : kept) *next++ = all(t * samples.n_rx + r, k);
      }
    }
    return h;
  };
  return out;
}

}  // namespace v0
}  // namespace chest
