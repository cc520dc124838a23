#include "grid_info.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdio>
#include <numbers>
#include <ostream>
#include <string>
#include <vector>

#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

/// Channels whose statistics are taken, and their entries.
constexpr arma::uword least_samples = 16, most_samples = 256, most_values = arma::uword{1} << 26;

std::string three_digits(double value, const char* unit) {
  char text[48];
  std::snprintf(text, sizeof text, "%.3g %s", value, unit);
  return text;
}

std::string seconds_text(double seconds) {
  const double size = std::abs(seconds);
  return size == 0.0   ? "0 ns"
         : size < 1e-6 ? three_digits(1e9 * seconds, "ns")
         : size < 1e-3 ? three_digits(1e6 * seconds, "us")
                       : three_digits(1e3 * seconds, "ms");
}

std::string hertz_text(double hz) {
  return hz < 1e3   ? three_digits(hz, "Hz")
         : hz < 1e6 ? three_digits(hz / 1e3, "kHz")
                    : three_digits(hz / 1e6, "MHz");
}

/// Power over delay.
struct DelayPowers {
  arma::vec delays, powers;
  bool is_exact = false;  ///< from stored delays, not from the grid
};

/// From stored paths, of a few samples.
DelayPowers powers_of_paths(const Dataset& dataset, const SampleRange& range) {
  DelayPowers out;
  out.is_exact = true;
  const arma::uword n = std::min(most_samples, range.size());
  std::vector<double> delays, powers;
  for (arma::uword i = 0; i < n; ++i) {
    for (const Paths& paths : dataset.read_paths(range.first + i * range.size() / n, 1)) {
      const arma::mat power = arma::sum(arma::square(arma::abs(paths.gains)), 2);
      const double total = arma::accu(power);
      if (!(total > 0.0 && std::isfinite(total))) continue;
      for (arma::uword p = 0; p < power.n_cols; ++p) {
        for (arma::uword j = 0; j < paths.delays.n_rows; ++j) {
          const double part = paths.delays.n_rows == 1 ? arma::accu(power.col(p)) : power(j, p);
          if (part <= 0.0) continue;
          delays.push_back(paths.delays(j, p));
          powers.push_back(part / total);
        }
      }
    }
  }
  out.delays = arma::vec(delays);
  out.powers = arma::vec(powers);
  return out;
}

/// From the correlation over subcarriers, with a window against leakage. Delays that do not fit into
/// an eighth before 0 and what follows wrap.
DelayPowers powers_of_correlation(const arma::cx_vec& r_f, double spacing_hz) {
  const arma::uword n = r_f.n_elem, n_fft = 4 * n;
  arma::cx_vec lags(n_fft, arma::fill::zeros);
  for (arma::uword k = 0; k < n; ++k) {
    const double at = static_cast<double>(k) / static_cast<double>(n);
    const std::complex<double> value =
        r_f(k) * (1.0 - at) * (0.5 + 0.5 * std::cos(std::numbers::pi * at));
    lags(k) += std::conj(value);  // exp(-j 2 pi f tau) becomes a peak at +tau
    if (k > 0) lags(n_fft - k) += value;
  }
  const arma::vec spectrum = arma::real(arma::fft(lags));
  DelayPowers out;
  out.delays.set_size(n_fft);
  out.powers.set_size(n_fft);
  const double floor = 1e-4 * spectrum.max();
  for (arma::uword i = 0; i < n_fft; ++i) {
    const arma::uword at = (i + n_fft - n_fft / 8) % n_fft;
    out.delays(i) = (static_cast<double>(i) - static_cast<double>(n_fft / 8)) /
                    (static_cast<double>(n_fft) * spacing_hz);
    out.powers(i) = spectrum(at) > floor ? spectrum(at) : 0.0;
  }
  return out;
}

void print_delays(const DelayPowers& given, const GridAxes& grid, std::ostream& out) {
  if (given.delays.is_empty() || arma::accu(given.powers) <= 0.0) return;
  const arma::uvec order = arma::sort_index(given.delays);
  const arma::vec delays = given.delays(order);
  const arma::vec powers = given.powers(order) / arma::accu(given.powers);
  const arma::vec sum = arma::cumsum(powers);
  const auto at = [&](double part) {
    const arma::uvec above = arma::find(sum >= part, 1);
    return delays(above.is_empty() ? delays.n_elem - 1 : above(0));
  };
  const double mean = arma::dot(powers, delays);
  const double spread = std::sqrt(std::max(0.0, arma::dot(powers, arma::square(delays - mean))));
  out << "  delays    rms spread " << seconds_text(spread) << ", 99.8 % of the power from "
      << seconds_text(at(0.001)) << " to " << seconds_text(at(0.999));
  if (!given.is_exact)
    out << " (from the grid, which resolves "
        << seconds_text(1.0 / (grid.spacing_hz * static_cast<double>(grid.n_subcarriers))) << ")";
  out << '\n';
}

/// Lag at which |r| falls below a level, between two lags linearly; negative: it does not.
double lag_of(const arma::cx_vec& r, double level) {
  for (arma::uword k = 1; k < r.n_elem; ++k) {
    const double before = std::abs(r(k - 1)), here = std::abs(r(k));
    if (here < level) return static_cast<double>(k - 1) + (before - level) / (before - here);
  }
  return -1.0;
}

void print_coherence(const arma::cx_vec& r_f, double spacing_hz, std::ostream& out) {
  out << "  coherence ";
  bool first = true;
  for (const double level : {0.5, 0.9}) {
    const double lag = lag_of(r_f, level);
    out << (first ? "" : ", ") << "|R_f| is " << level
        << (lag < 0.0 ? " beyond the grid" : " at " + hertz_text(lag * spacing_hz));
    first = false;
  }
  out << '\n';
}

/// The Doppler whose J0(2 pi f_D t) is |r| at the last lag before it falls below one half.
void print_doppler(const arma::cx_vec& r_t, double symbol_s, std::ostream& out) {
  arma::uword lag = 0;
  while (lag + 1 < r_t.n_elem && std::abs(r_t(lag + 1)) > 0.5) ++lag;
  out << "  Doppler   ";
  if (lag == 0) {
    out << "the channel changes from one symbol to the next\n";
    return;
  }
  const double r = std::abs(r_t(lag));
  if (r > 1.0 - 1e-9) {
    out << "none: the channel stands still\n";
    return;
  }
  double low = 0.0, high = 2.4;  // up to its first zero J0 falls
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (::j0(middle) > r ? low : high) = middle;
  }
  const double seconds = static_cast<double>(lag) * symbol_s;
  out << "up to " << hertz_text(low / (2.0 * std::numbers::pi * seconds))
      << ", if it comes from all directions (|R_t| is " << three_digits(r, "after ")
      << seconds_text(seconds) << ")\n";
}

/// Spread of the angles that a uniform linear array of half a wavelength sees.
void print_angles(const arma::cx_mat& R_rx, std::ostream& out) {
  const arma::uword n = R_rx.n_rows;
  if (n < 4) return;
  const arma::uword n_beams = 16 * n;
  double power = 0.0;
  std::complex<double> sum = 0.0;
  for (arma::uword i = 0; i < n_beams; ++i) {
    const double u = 2.0 * (static_cast<double>(i) + 0.5) / static_cast<double>(n_beams) - 1.0;
    arma::cx_vec beam(n);
    for (arma::uword r = 0; r < n; ++r)
      beam(r) = std::polar(std::sin(std::numbers::pi * (double(r) + 0.5) / double(n)),
                           std::numbers::pi * u * static_cast<double>(r));
    const double p = std::max(0.0, arma::as_scalar(beam.t() * R_rx * beam).real());
    power += p;
    sum += p * std::polar(1.0, std::asin(u));
  }
  const double length = std::min(1.0, std::abs(sum) / power);
  const double degrees = std::sqrt(-2.0 * std::log(length)) * 180.0 / std::numbers::pi;
  out << "  angles    rms spread " << three_digits(degrees, "degrees")
      << " over the receive antennas, taken for a line of half a wavelength\n";
}

}  // namespace

void print_grid(const Dataset& dataset, const SampleReader& samples, std::ostream& out) {
  const GridAxes& grid = dataset.info().grid;
  const bool has_spacing = grid.spacing_hz > 0.0;
  out << "  grid      " << grid.n_subcarriers << " subcarriers"
      << (has_spacing ? " " + hertz_text(grid.spacing_hz) + " apart" : "") << ", " << grid.n_symbols
      << (grid.n_symbols == 1 ? " symbol" : " symbols");
  if (grid.symbol_s > 0.0 && grid.n_symbols > 1)
    out << " " << seconds_text(grid.symbol_s) << " apart";
  out << (has_spacing ? "\n" : "; --grid @KHZ names the spacing\n");
  if (!has_spacing) return;
  const GridStatistics statistics = fit_grid_statistics(
      spread(samples, std::clamp(most_values / samples.n_h(), least_samples, most_samples)));
  if (grid.n_subcarriers > 1) {
    print_delays(dataset.info().has_paths ? powers_of_paths(dataset, dataset.info().asked)
                                          : powers_of_correlation(statistics.r_f, grid.spacing_hz),
                 grid, out);
    print_coherence(statistics.r_f, grid.spacing_hz, out);
  }
  if (grid.n_symbols > 1) print_doppler(statistics.r_t, grid.symbol_s, out);
  print_angles(statistics.R_rx, out);
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
