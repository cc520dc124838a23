#pragma once

#include <armadillo>
#include <optional>
#include <string>

namespace chest {
inline namespace v0 {

/// The axes of a channel beside its antennas: h is [n_rx, n_tx, n_subcarriers, n_symbols], kept as
/// a column with n_rx fastest. A matrix per channel is the case of one subcarrier and one symbol.
struct GridAxes {
  arma::uword n_subcarriers = 1, n_symbols = 1;
  double spacing_hz = 0.0;  ///< between subcarriers; 0: not known
  double symbol_s = 0.0;    ///< from the start of a symbol to that of the next, in s; 0: not known

  arma::uword n_elements() const { return n_subcarriers * n_symbols; }
  bool is_grid() const { return n_elements() > 1; }
  /// "624x14"
  std::string text() const {
    return std::to_string(n_subcarriers) + "x" + std::to_string(n_symbols);
  }
};

/// A panel of antennas, counted along the rows first, then the columns, then the polarisations; no rows:
/// one uniform line of antennas.
struct PanelShape {
  arma::uword rows = 0, columns = 0, polarisations = 1;

  bool is_line() const { return rows == 0; }
  arma::uword n() const { return rows * columns * polarisations; }
  /// "2x4x2"
  std::string text() const {
    return std::to_string(rows) + "x" + std::to_string(columns) + "x" +
           std::to_string(polarisations);
  }
  bool operator==(const PanelShape& other) const {
    return rows == other.rows && columns == other.columns && polarisations == other.polarisations;
  }
};

/// Reads "2x4x2"; empty where that is not three counts.
std::optional<PanelShape> panel_from_text(const std::string& text);

/// "64x16", or "16x1x624x14" on a grid.
inline std::string size_text(arma::uword n_rx, arma::uword n_tx, const GridAxes& grid = {}) {
  return std::to_string(n_rx) + "x" + std::to_string(n_tx) +
         (grid.is_grid() ? "x" + grid.text() : "");
}

}  // namespace v0
}  // namespace chest
