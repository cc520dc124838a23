#include <chest/ofdm.hpp>

#include <cmath>

namespace chest {
inline namespace v0 {

arma::vec symbol_times(double spacing_hz, arma::uword first, arma::uword count) {
  const double numerology = std::log2(spacing_hz / 15e3);
  const bool is_standard =
      numerology >= 0.0 && numerology < 7.0 && numerology == std::round(numerology);
  arma::vec times(count, arma::fill::none);
  for (arma::uword k = 0; k < count; ++k) {
    const arma::uword l = first + k;
    if (!is_standard) {
      times(k) = static_cast<double>(l) * mean_symbol_s(spacing_hz);
      continue;
    }
    // In 2048ths of the useful part.
    const double longer = 16.0 * std::exp2(numerology);
    const arma::uword per_half_ms = arma::uword{7} << static_cast<unsigned>(numerology);
    times(k) = (static_cast<double>(l) * (2048.0 + 144.0) +
                static_cast<double>(l / per_half_ms) * longer) /
               (2048.0 * spacing_hz);
  }
  return times;
}

}  // namespace v0
}  // namespace chest
