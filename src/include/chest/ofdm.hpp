#pragma once

#include <armadillo>

#include <chest/grid.hpp>

namespace chest {
inline namespace v0 {

// Times of OFDM with the normal cyclic prefix.  Source: [3GPP38211, 5.3.1]

/// From the first symbol to symbols first .. first + count - 1, in s. At 15 kHz 2^mu the first prefix
/// of every half millisecond is longer, so that a slot takes 1 ms / 2^mu exactly; at other
/// spacings all symbols are alike.
arma::vec symbol_times(double spacing_hz, arma::uword first, arma::uword count);

/// From one symbol to the next on average, in s: 1 ms / 14 at 15 kHz.
inline double mean_symbol_s(double spacing_hz) { return 15.0 / 14.0 / spacing_hz; }

/// The shorter cyclic prefix over the length of a symbol without it.
inline constexpr double cyclic_prefix_part = 144.0 / 2048.0;
/// The shorter cyclic prefix, in s.
inline double cyclic_prefix_s(double spacing_hz) { return cyclic_prefix_part / spacing_hz; }

/// A grid of symbols with the normal cyclic prefix.
inline GridAxes ofdm_grid(arma::uword n_subcarriers, arma::uword n_symbols, double spacing_hz) {
  GridAxes grid;
  grid.n_subcarriers = n_subcarriers;
  grid.n_symbols = n_symbols;
  grid.spacing_hz = spacing_hz;
  grid.symbol_s = mean_symbol_s(spacing_hz);
  return grid;
}

}  // namespace v0
}  // namespace chest
