#pragma once

#include <armadillo>
#include <string>

#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// Sizes of uniform linear arrays that one model serves.
struct ArrayRange {
  arma::uword least_rx = 0, most_rx = 0, least_tx = 0, most_tx = 0;

  bool empty() const { return most_rx == 0; }
  bool holds(arma::uword n_rx, arma::uword n_tx) const {
    return n_rx >= least_rx && n_rx <= most_rx && n_tx >= least_tx && n_tx <= most_tx;
  }
  /// "8-128x1-32"
  std::string text() const;
  /// Empty, or what is wrong with it.
  std::string why_invalid() const;
};

/// Reads text(); a number alone is a range of one.
/// @throws Error(invalid_argument) naming `what`
ArrayRange parse_array_range(const std::string& text, const std::string& what);

/// Channels of the first n_rx and n_tx antennas of larger arrays.
/// @throws Error(invalid_argument) if they are not larger, or are grids
SampleReader first_antennas(const SampleReader& samples, arma::uword n_rx, arma::uword n_tx);

}  // namespace v0
}  // namespace chest
