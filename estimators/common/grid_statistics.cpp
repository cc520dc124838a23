#include <chest/estimators/common/grid_statistics.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <vector>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/estimators/common/interpolation.hpp>
#include <chest/metrics.hpp>
#include <chest/ofdm.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr const char* group = "/grid";

arma::uword power_of_two_above(arma::uword n) {
  arma::uword size = 1;
  while (size < n) size *= 2;
  return size;
}

/// Symbols whose subcarriers are looked at: a few, the others say nearly the same.
std::vector<arma::uword> few_symbols(arma::uword n_symbols) {
  constexpr arma::uword most = 3;
  std::vector<arma::uword> out;
  const arma::uword n = std::min(most, n_symbols);
  for (arma::uword i = 0; i < n; ++i) out.push_back(n == 1 ? 0 : i * (n_symbols - 1) / (n - 1));
  return out;
}

/// The delays of a correlation r over subcarriers, as indices of a transform of `size`, and what least
/// squares of their powers s needs: sum_k w_k |r_k - sum_m s_m exp(j 2 pi k m / size)|^2 over lags of both
/// signs, w_k = (n - |k|) / n.
struct DelayRaster {
  arma::uword size;
  arma::uvec delays;
  arma::vec b;  ///< transform of w r at the delays
  arma::vec G;  ///< transform of w at their differences, 1 - n_delays .. n_delays - 1

  explicit DelayRaster(const arma::cx_vec& r) : size(8 * power_of_two_above(r.n_elem)) {
    const arma::uword n = r.n_elem;
    // Tapered by Blackman and Harris the transform is free of side lobes.
    constexpr double taper[] = {0.35875, 0.48829, 0.14128, 0.01168};
    arma::cx_vec tapered(size, arma::fill::zeros), weighted = tapered, weights = tapered;
    for (arma::uword k = 0; k < n; ++k) {
      const double part = static_cast<double>(k) / static_cast<double>(n);
      double w = 0.0;
      for (int i = 0; i < 4; ++i) w += taper[i] * std::cos(arma::datum::pi * i * part);
      const auto put = [&](arma::cx_vec& to, std::complex<double> value) {
        to(k) = value;
        if (k > 0) to(size - k) = std::conj(value);
      };
      put(tapered, w * r(k));
      put(weighted, (1.0 - part) * r(k));
      put(weights, 1.0 - part);
    }
    choose(arma::real(arma::fft(tapered)), 4 * size / n);
    const arma::vec all_b = arma::real(arma::fft(weighted)), all_G = arma::real(arma::fft(weights));
    b = all_b(delays);
    const arma::uword n_delays = delays.n_elem;
    G.set_size(2 * n_delays - 1);
    for (arma::uword i = 0; i < n_delays; ++i) {
      G(n_delays - 1 + i) = G(n_delays - 1 - i) = all_G(i);
    }
  }

 private:
  /// All delays but the widest run of those where there is nothing but noise.
  /// @param margin  half the width of one delay in the spectrum
  void choose(const arma::vec& spectrum, arma::uword margin) {
    const double noise = arma::median(arma::abs(spectrum));
    const arma::uvec strong = arma::find(spectrum > std::max(6.0 * noise, 1e-6 * spectrum.max()));
    arma::uword widest = 0, first = 0;  // the gap, and the delay behind it
    for (arma::uword i = 0; i < strong.n_elem; ++i) {
      const arma::uword next = strong((i + 1) % strong.n_elem);
      const arma::uword gap = strong.n_elem == 1 ? size : (next + size - strong(i)) % size;
      if (gap > widest) {
        widest = gap;
        first = next;
      }
    }
    const bool has_gap = widest > 2 * margin + 1;
    delays.set_size(has_gap ? size - widest + 1 + 2 * margin : size);
    for (arma::uword i = 0; i < delays.n_elem; ++i) {
      delays(i) = (first + i + (has_gap ? size - margin : 0)) % size;
    }
  }
};

/// A smooth correlation at a lag >= 0 that need not be whole: the cubic through the four lags around it.
std::complex<double> between_lags(const arma::cx_vec& r, double lag) {
  const auto below = static_cast<arma::sword>(lag);
  const auto last = static_cast<arma::sword>(r.n_elem) - 1;
  if (lag == static_cast<double>(below)) return r(static_cast<arma::uword>(below));
  // Too few lags for a cubic: as many as there are, from both sides of lag 0.
  const arma::sword first = std::max(std::min(below - 1, last - 3), -last);
  const arma::sword n = std::min<arma::sword>(4, last - first + 1);
  std::complex<double> sum = 0.0;
  for (arma::sword i = first; i < first + n; ++i) {
    double weight = 1.0;
    for (arma::sword j = first; j < first + n; ++j) {
      if (j != i) weight *= (lag - static_cast<double>(j)) / static_cast<double>(i - j);
    }
    sum += weight *
           (i < 0 ? std::conj(r(static_cast<arma::uword>(-i))) : r(static_cast<arma::uword>(i)));
  }
  return sum;
}

}  // namespace

GridStatistics fit_grid_statistics(const SampleReader& samples) {
  if (samples.n_samples == 0 || samples.n_h() == 0) {
    throw Error(ErrorKind::invalid_argument, "fit: there are no channels");
  }
  const arma::uword n_rx = samples.n_rx, n_tx = samples.n_tx;
  const arma::uword n_f = samples.grid.n_subcarriers, n_s = samples.grid.n_symbols;
  GridStatistics out;
  out.spacing_hz = samples.grid.spacing_hz;
  out.symbol_s = samples.grid.symbol_s;
  out.n_samples = samples.n_samples;
  out.rx_panel = samples.rx_panel;
  out.R_rx.zeros(n_rx, n_rx);
  out.r_t.zeros(n_s);
  // |transform|^2 of zero-padded rows adds up to the transform of their autocorrelation.
  const arma::uword n_fft = power_of_two_above(2 * n_f);
  arma::vec spectrum(n_fft, arma::fill::zeros);
  const std::vector<arma::uword> symbols = few_symbols(n_s);
  const arma::uword block = std::max<arma::uword>(1, (arma::uword{1} << 22) / samples.n_h());
  arma::cx_mat padded(n_fft, n_rx);
  for (arma::uword first = 0; first < samples.n_samples; first += block) {
    const arma::cx_mat h = samples.read(first, std::min(block, samples.n_samples - first));
    for (arma::uword k = 0; k < h.n_cols; ++k) {
      const arma::cx_mat H(const_cast<std::complex<double>*>(h.colptr(k)), n_rx, n_tx * n_f * n_s,
                           false, true);
      out.R_rx += H * H.t();
      for (const arma::uword s : symbols) {
        for (arma::uword t = 0; t < n_tx; ++t) {
          padded.zeros();
          for (arma::uword f = 0; f < n_f; ++f)
            padded.row(f) = H.col((s * n_f + f) * n_tx + t).st();
          spectrum += arma::sum(arma::square(arma::abs(arma::fft(padded))), 1);
        }
      }
      const arma::cx_mat by_symbol(const_cast<std::complex<double>*>(h.colptr(k)),
                                   n_rx * n_tx * n_f, n_s, false, true);
      const arma::cx_mat products = by_symbol.t() * by_symbol;
      for (arma::uword lag = 0; lag < n_s; ++lag) {
        out.r_t(lag) += arma::sum(products.diag(static_cast<arma::sword>(lag))) /
                        static_cast<double>(n_s - lag);
      }
    }
  }
  out.R_rx *= static_cast<double>(n_rx) / arma::trace(out.R_rx).real();
  out.r_t /= out.r_t(0).real();
  const arma::cx_vec correlation =
      arma::ifft(arma::cx_vec(spectrum, arma::vec(n_fft, arma::fill::zeros)));
  out.r_f = correlation.head(n_f);
  for (arma::uword lag = 0; lag < n_f; ++lag) out.r_f(lag) /= static_cast<double>(n_f - lag);
  out.r_f = nonnegative_delays(out.r_f);
  return out;
}

arma::cx_vec nonnegative_delays(const arma::cx_vec& r) {
  const arma::uword n = r.n_elem;
  if (n < 2) return arma::cx_vec(n, arma::fill::ones);
  const DelayRaster raster(r);
  // Coordinate descent on the powers s: the gradient is G s - b with G Toeplitz.
  const arma::uword n_delays = raster.delays.n_elem;
  constexpr double least_change = 1e-10, most_work = 1e10;
  constexpr arma::uword most_sweeps = 30'000;
  arma::vec powers(n_delays, arma::fill::zeros), gradient = -raster.b;
  double work = 0.0;
  for (arma::uword sweep = 0; sweep < most_sweeps && work < most_work; ++sweep) {
    double most = 0.0;
    for (arma::uword m = 0; m < n_delays; ++m) {
      const double next = std::max(0.0, powers(m) - gradient(m) / raster.G(n_delays - 1));
      const double change = next - powers(m);
      if (change == 0.0) continue;
      most = std::max(most, std::abs(change));
      work += static_cast<double>(n_delays);
      powers(m) = next;
      const double* from = raster.G.memptr() + (n_delays - 1 - m);
      for (arma::uword i = 0; i < n_delays; ++i) gradient(i) += change * from[i];
    }
    if (most < least_change) break;
  }
  arma::cx_vec spectrum(raster.size, arma::fill::zeros);
  for (arma::uword i = 0; i < n_delays; ++i) spectrum(raster.delays(i)) = powers(i);
  const arma::cx_vec lags = arma::ifft(spectrum);
  return lags.head(n) / lags(0).real();
}

double GridStatistics::of_cells(const arma::mat& values, double sigma2, double step,
                                double n_subcarriers) const {
  const arma::vec distances = arma::abs(arma::log(error_steps / std::max(step, 1.0)));
  const arma::uvec nearest = arma::find(distances <= distances.min() + 1e-9);
  const Between snr(error_snr_db, -to_db(sigma2));
  arma::vec of_bands(nearest.n_elem);
  for (arma::uword i = 0; i < nearest.n_elem; ++i) of_bands(i) = snr.of(values.col(nearest(i)));
  return Between(arma::log(error_subcarriers(nearest)), std::log(n_subcarriers)).of(of_bands);
}

double GridStatistics::error_ratio_at(double sigma2, double step, double n_subcarriers) const {
  return error_ratio.is_empty() ? 1.0 : of_cells(error_ratio, sigma2, step, n_subcarriers);
}

double GridStatistics::linear_ratio_at(double sigma2, double step, double n_subcarriers) const {
  return linear_ratio.is_empty() ? arma::datum::inf
                                 : of_cells(linear_ratio, sigma2, step, n_subcarriers);
}

double GridStatistics::sparse_weight_at(double sigma2, double step, double n_subcarriers) const {
  // Where rounding begins to count in covariances of the observation.
  constexpr double far_above_db = 40.0;
  if (sparse_weight.is_empty() || -to_db(sigma2) > error_snr_db.max() + far_above_db) return 0.0;
  // Between() takes the logarithm of what it interpolates.
  return std::log(of_cells(arma::exp(sparse_weight), sigma2, step, n_subcarriers));
}

arma::uword GridStatistics::spacing_ratio(double hz) const {
  if (!(spacing_hz > 0.0 && hz > 0.0)) return 1;
  const double ratio = hz / spacing_hz, whole = std::round(ratio);
  return std::abs(ratio - whole) <= 1e-6 * ratio ? static_cast<arma::uword>(whole) : 0;
}

GridStatistics GridStatistics::at_spacing(double hz) const {
  const arma::uword ratio = spacing_ratio(hz);
  if (ratio == 0) {
    throw Error(ErrorKind::invalid_argument,
                "statistics of subcarriers " + number_text(spacing_hz) +
                    " Hz apart, asked for at " + number_text(hz) + " Hz; expected a multiple");
  }
  GridStatistics out = *this;
  if (ratio == 1) return out;
  out.spacing_hz = hz;
  // Pilots too far apart for the delays of the prefix at the model's spacing were measured with the errors
  // of filters that allow for these delays; a shorter prefix has none.
  const arma::uvec kept = arma::find(2.0 * cyclic_prefix_part * error_steps <= 1.0);
  if (!kept.is_empty()) {
    out.error_steps = error_steps(kept) / static_cast<double>(ratio);
    out.error_subcarriers = error_subcarriers(kept) / static_cast<double>(ratio);
    out.error_ratio = error_ratio.cols(kept);
    if (!linear_ratio.is_empty()) out.linear_ratio = linear_ratio.cols(kept);
    if (!sparse_weight.is_empty()) out.sparse_weight = sparse_weight.cols(kept);
  } else {
    out.error_ratio.reset();
    out.linear_ratio.reset();
    out.sparse_weight.reset();
  }
  out.symbol_s = symbol_s / static_cast<double>(ratio);
  out.r_f = r_f(arma::regspace<arma::uvec>(0, ratio, r_f.n_elem - 1));
  out.r_t.set_size((r_t.n_elem - 1) * ratio + 1);
  for (arma::uword m = 0; m < out.r_t.n_elem; ++m) {
    out.r_t(m) = between_lags(r_t, static_cast<double>(m) / static_cast<double>(ratio));
  }
  return out;
}

SampleReader plane_samples(const SampleReader& samples, arma::uword step) {
  const arma::uword n_f = samples.grid.n_subcarriers, n_s = samples.grid.n_symbols;
  if (step == 0 || step > n_f) {
    throw Error(ErrorKind::invalid_argument,
                "the plane takes every " + std::to_string(step) + "th of " + std::to_string(n_f) +
                    " subcarriers, expected 1 .. " + std::to_string(n_f));
  }
  SampleReader planes;
  planes.n_rx = samples.n_rx;
  planes.n_tx = n_f / step;
  planes.n_samples = samples.n_samples * samples.n_tx;
  const arma::cx_mat mix =
      samples.rx_panel.is_line() ? arma::cx_mat() : panel_mix(samples.rx_panel, samples.n_rx);
  planes.read = [samples, step, n_f, n_s, mix](arma::uword first, arma::uword count) {
    const arma::uword n_rx = samples.n_rx, n_tx = samples.n_tx, n_columns = n_f / step;
    const arma::uword spare = n_f - n_columns * step;
    arma::cx_mat out(n_rx * n_columns, count);
    arma::cx_mat h;
    arma::uword in_h = samples.n_samples;  // the sample that h holds
    for (arma::uword k = 0; k < count; ++k) {
      const arma::uword i = (first + k) / n_tx, t = (first + k) % n_tx;
      if (i != in_h) h = samples.read(i, 1);
      in_h = i;
      // The last column stays on the grid: (n_columns - 1) step + offset < n_f.
      const arma::uword s = i % n_s, offset = i % (spare + step);
      for (arma::uword c = 0; c < n_columns; ++c) {
        const arma::uword column = (s * n_f + offset + c * step) * n_tx + t;
        std::copy_n(h.colptr(0) + column * n_rx, n_rx, out.colptr(k) + c * n_rx);
      }
      if (mix.is_empty()) continue;
      arma::cx_mat plane(out.colptr(k), n_rx, n_columns, false, true);
      plane = arma::cx_mat(mix * plane);
    }
    return out;
  };
  return planes;
}

void write_grid_statistics(ArchiveWriter& archive, const GridStatistics& statistics) {
  if (statistics.empty()) return;
  const std::string in = group;
  archive.write(in + "/R_rx", statistics.R_rx);
  archive.write(in + "/r_f", arma::cx_mat(statistics.r_f));
  archive.write(in + "/r_t", arma::cx_mat(statistics.r_t));
  archive.attribute(in, "spacing_hz", statistics.spacing_hz);
  archive.attribute(in, "symbol_s", statistics.symbol_s);
  archive.attribute(in, "n_samples", static_cast<std::int64_t>(statistics.n_samples));
  archive.attribute(in, "plane_step", static_cast<std::int64_t>(statistics.plane_step));
  if (statistics.most_step > 0) {
    archive.attribute(in, "least_step", static_cast<std::int64_t>(statistics.least_step));
    archive.attribute(in, "most_step", static_cast<std::int64_t>(statistics.most_step));
  }
  if (!statistics.error_ratio.is_empty()) {
    archive.write(in + "/error_snr_db", arma::mat(statistics.error_snr_db));
    archive.write(in + "/error_steps", arma::mat(statistics.error_steps));
    archive.write(in + "/error_subcarriers", arma::mat(statistics.error_subcarriers));
    archive.write(in + "/error_ratio", statistics.error_ratio);
    if (!statistics.linear_ratio.is_empty()) {
      archive.write(in + "/linear_ratio", statistics.linear_ratio);
    }
    if (!statistics.sparse_weight.is_empty()) {
      archive.write(in + "/sparse_weight", statistics.sparse_weight);
    }
  }
  const PanelShape& panel = statistics.rx_panel;
  if (panel.is_line()) return;
  archive.attribute(in, "rx_rows", static_cast<std::int64_t>(panel.rows));
  archive.attribute(in, "rx_columns", static_cast<std::int64_t>(panel.columns));
  archive.attribute(in, "rx_polarisations", static_cast<std::int64_t>(panel.polarisations));
}

GridStatistics read_grid_statistics(const ArchiveReader& archive, arma::uword n_rx) {
  GridStatistics out;
  const std::string in = group;
  if (!archive.is_group(in)) return out;
  const auto damaged = [&](const std::string& what) {
    return Error(ErrorKind::format, archive.file().string() + ": " + what + " of the group " + in +
                                        " is damaged; fit the model again");
  };
  const auto number = [&](const char* name) {
    const double value = archive.number_attribute(in, name).value_or(-1.0);
    if (!(value >= 0.0 && value < 1e15)) throw damaged(std::string("attribute ") + name);
    return value;
  };
  out.spacing_hz = number("spacing_hz");
  out.symbol_s = number("symbol_s");
  out.n_samples = static_cast<arma::uword>(number("n_samples"));
  out.plane_step = static_cast<arma::uword>(number("plane_step"));
  if (archive.number_attribute(in, "most_step")) {
    out.least_step = static_cast<arma::uword>(number("least_step"));
    out.most_step = static_cast<arma::uword>(number("most_step"));
  }
  if (archive.has(in + "/error_ratio")) {
    out.error_snr_db = archive.read_mat(in + "/error_snr_db").as_col();
    out.error_ratio = archive.read_mat(in + "/error_ratio");
    // A model of before cells were told apart has one.
    out.error_steps.ones(1);
    out.error_subcarriers.ones(1);
    if (archive.has(in + "/error_subcarriers")) {
      out.error_steps = archive.read_mat(in + "/error_steps").as_col();
      out.error_subcarriers = archive.read_mat(in + "/error_subcarriers").as_col();
    }
    if (archive.has(in + "/linear_ratio")) {
      out.linear_ratio = archive.read_mat(in + "/linear_ratio");
    }
    if (archive.has(in + "/sparse_weight")) {
      out.sparse_weight = archive.read_mat(in + "/sparse_weight");
    }
    const arma::uword n_cells = out.error_subcarriers.n_elem;
    const auto usable = [&](const arma::mat& values) {
      return values.n_rows == out.error_snr_db.n_elem && values.n_cols == n_cells &&
             values.is_finite() && values.min() >= 0.0;
    };
    const arma::mat& weight = out.sparse_weight;
    const bool fits = n_cells > 0 && out.error_steps.n_elem == n_cells &&
                      !out.error_snr_db.is_empty() && out.error_snr_db.is_sorted() &&
                      out.error_steps.min() > 0.0 && out.error_subcarriers.min() > 0.0 &&
                      usable(out.error_ratio) && out.error_ratio.min() > 0.0 &&
                      (out.linear_ratio.is_empty() ||
                       (usable(out.linear_ratio) && out.linear_ratio.min() > 0.0)) &&
                      (weight.is_empty() || (usable(weight) && weight.max() <= 1.0));
    if (!fits) throw damaged("error_ratio");
  }
  if (archive.number_attribute(in, "rx_rows")) {
    out.rx_panel.rows = static_cast<arma::uword>(number("rx_rows"));
    out.rx_panel.columns = static_cast<arma::uword>(number("rx_columns"));
    out.rx_panel.polarisations = static_cast<arma::uword>(number("rx_polarisations"));
    if (out.rx_panel.n() != n_rx) throw damaged("the panel");
  }
  out.R_rx = archive.read_cx_mat(in + "/R_rx");
  const auto lags = [&](const std::string& name) {
    const arma::cx_mat values = archive.read_cx_mat(in + "/" + name);
    const bool fits = !values.is_empty() && values.is_finite() &&
                      (values.n_cols == 1 || values.n_rows == 1) &&
                      std::abs(values(0) - 1.0) < 1e-6;
    if (!fits) throw damaged(name);
    return arma::cx_vec(values.as_col());
  };
  out.r_f = lags("r_f");
  out.r_t = lags("r_t");
  if (out.R_rx.n_rows != n_rx || out.R_rx.n_cols != n_rx || !out.R_rx.is_finite()) {
    throw damaged("R_rx");
  }
  return out;
}

arma::cx_mat toeplitz_covariance(const arma::cx_vec& r, const arma::vec& a, const arma::vec& b) {
  arma::cx_mat C(a.n_elem, b.n_elem, arma::fill::none);
  const auto at = [&](double lag) -> std::complex<double> {
    const auto below = static_cast<arma::uword>(lag);
    const double part = lag - static_cast<double>(below);
    if (below >= r.n_elem) return 0.0;
    if (part == 0.0) return r(below);
    const std::complex<double> above = below + 1 < r.n_elem ? r(below + 1) : 0.0;
    return (1.0 - part) * r(below) + part * above;
  };
  for (arma::uword j = 0; j < b.n_elem; ++j) {
    for (arma::uword i = 0; i < a.n_elem; ++i) {
      const double lag = a(i) - b(j);
      C(i, j) = lag >= 0.0 ? at(lag) : std::conj(at(-lag));
    }
  }
  return C;
}

}  // namespace v0
}  // namespace chest
