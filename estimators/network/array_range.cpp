#include <chest/estimators/network/array_range.hpp>

#include <algorithm>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

std::string side_text(arma::uword least, arma::uword most) {
  return std::to_string(least) + (least == most ? "" : "-" + std::to_string(most));
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

SampleReader first_antennas(const SampleReader& samples, arma::uword n_rx, arma::uword n_tx) {
  if (samples.grid.is_grid() || n_rx > samples.n_rx || n_tx > samples.n_tx || n_rx == 0 ||
      n_tx == 0) {
    throw Error(ErrorKind::invalid_argument,
                "the first " + std::to_string(n_rx) + "x" + std::to_string(n_tx) +
                    " antennas: expected matrices of at least as many, these are of " +
                    std::to_string(samples.n_rx) + "x" + std::to_string(samples.n_tx));
  }
  SampleReader out = samples;
  out.n_rx = n_rx;
  out.n_tx = n_tx;
  out.read = [samples, n_rx, n_tx](arma::uword first, arma::uword count) {
    const arma::cx_mat all = samples.read(first, count);
    arma::cx_mat h(n_rx * n_tx, count);
    for (arma::uword k = 0; k < count; ++k) {
      for (arma::uword t = 0; t < n_tx; ++t) {
        std::copy_n(all.colptr(k) + t * samples.n_rx, n_rx, h.colptr(k) + t * n_rx);
      }
    }
    return h;
  };
  return out;
}

}  // namespace v0
}  // namespace chest
