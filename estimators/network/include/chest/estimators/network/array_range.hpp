#pragma once

#include <armadillo>
#include <string>
#include <vector>

#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// Sizes of arrays, lines or panels at the receiver, that one model serves.
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

/// Parts of a panel, some of its rows, columns and polarisations, that have n antennas.
std::vector<PanelShape> parts_of(const PanelShape& panel, arma::uword n);
/// The part whose number of antennas is nearest to n, in octaves; of several the one nearest to a square.
PanelShape nearest_part(const PanelShape& panel, arma::uword n);
/// The antennas of a part of a panel, in the order of that part, from row, column and polarisation `first` on.
std::vector<arma::uword> antennas_of(const PanelShape& panel, const PanelShape& part,
                                     const PanelShape& first = {0, 0, 0});
/// Numbers of receive antennas of a range that every one of some arrays has a part of, ascending. A line, PanelShape{},
/// has parts of any number.
std::vector<arma::uword> common_sizes(const std::vector<PanelShape>& arrays,
                                      const ArrayRange& range);

/// Channels of the first n_rx and n_tx antennas of larger arrays; of a panel (rx_panel) those of nearest_part(), which
/// is then rx_panel.
/// @throws Error(invalid_argument) if they are not larger, or are grids
SampleReader first_antennas(const SampleReader& samples, arma::uword n_rx, arma::uword n_tx);

}  // namespace v0
}  // namespace chest
