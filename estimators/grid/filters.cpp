#include <chest/estimators/grid/filters.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <utility>

#include <chest/estimators/common/grid_statistics.hpp>

namespace chest {
inline namespace v0 {
namespace {

AxisFilter sized(arma::uword n_window, arma::uword n_out) {
  AxisFilter filter;
  filter.first.zeros(n_out);
  filter.weights.zeros(n_window, n_out);
  return filter;
}

AxisFilter finished(AxisFilter filter) {
  filter.noise_gain = arma::sum(arma::square(arma::abs(filter.weights)), 0).t();
  return filter;
}

/// Index of the last input at or before a position; 0 where there is none.
arma::uword last_before(const arma::vec& inputs, double position) {
  const auto after = std::upper_bound(inputs.begin(), inputs.end(), position);
  return after == inputs.begin() ? 0 : static_cast<arma::uword>(after - inputs.begin()) - 1;
}

}  // namespace

void AxisFilter::apply(const arma::cx_mat& in, arma::cx_mat& out) const {
  out.set_size(in.n_rows, n_out());
  if (weights.n_rows == in.n_cols) {
    out = in * weights;
    return;
  }
  for (arma::uword f = 0; f < n_out(); ++f) {
    std::complex<double>* to = out.colptr(f);
    std::fill_n(to, in.n_rows, 0.0);
    for (arma::uword m = 0; m < weights.n_rows; ++m) {
      const std::complex<double>* from = in.colptr(first(f) + m);
      const std::complex<double> w = weights(m, f);
      for (arma::uword r = 0; r < in.n_rows; ++r) to[r] += w * from[r];
    }
  }
}

AxisFilter nearest_filter(const arma::vec& inputs, arma::uword n_out) {
  AxisFilter filter = sized(1, n_out);
  for (arma::uword f = 0; f < n_out; ++f) {
    filter.first(f) = arma::index_min(arma::abs(inputs - static_cast<double>(f)));
    filter.weights(0, f) = 1.0;
  }
  return finished(std::move(filter));
}

AxisFilter linear_filter(const arma::vec& inputs, arma::uword n_out) {
  if (inputs.n_elem < 2) return nearest_filter(inputs, n_out);
  AxisFilter filter = sized(2, n_out);
  for (arma::uword f = 0; f < n_out; ++f) {
    const auto at = static_cast<double>(f);
    const arma::uword i = std::min(last_before(inputs, at), inputs.n_elem - 2);
    const double part = (at - inputs(i)) / (inputs(i + 1) - inputs(i));
    filter.first(f) = i;
    filter.weights(0, f) = 1.0 - part;
    filter.weights(1, f) = part;
  }
  return finished(std::move(filter));
}

AxisFilter dft_filter(const arma::vec& inputs, double step, arma::uword n_out, arma::uword taps) {
  const arma::uword n = inputs.n_elem;
  AxisFilter filter = sized(n, n_out);
  // A geometric sum over the taps of the window.
  const double first = -std::floor(static_cast<double>(taps) / 4.0);
  for (arma::uword f = 0; f < n_out; ++f) {
    for (arma::uword i = 0; i < n; ++i) {
      const double cycles = (static_cast<double>(f) - inputs(i)) / (step * static_cast<double>(n));
      std::complex<double> sum = 0.0;
      const double half = std::numbers::pi * cycles;
      const double middle = first + (static_cast<double>(taps) - 1.0) / 2.0;
      const double kernel =
          std::abs(std::sin(half)) < 1e-12
              ? static_cast<double>(taps) * (std::cos(half * (static_cast<double>(taps) - 1.0)))
              : std::sin(half * static_cast<double>(taps)) / std::sin(half);
      sum = std::polar(1.0, -2.0 * half * middle) * kernel;
      filter.weights(i, f) = sum / static_cast<double>(n);
    }
  }
  return finished(std::move(filter));
}

AxisFilter wiener_filter(const arma::vec& inputs, arma::uword n_out, const arma::cx_vec& r,
                         double error, arma::uword n_window) {
  const arma::uword n = std::min(n_window, inputs.n_elem);
  AxisFilter filter = sized(n, n_out);
  filter.variance.zeros(n_out);
  // Rounding alone would make a covariance of many inputs singular.
  constexpr double least_error = 1e-7;
  // Windows that look alike share their factor: positions relative to the first input.
  std::map<std::vector<double>, arma::cx_mat> factors;
  std::map<std::pair<std::vector<double>, double>, arma::uword> known;
  for (arma::uword f = 0; f < n_out; ++f) {
    const auto at = static_cast<double>(f);
    const arma::uword below = last_before(inputs, at);
    const arma::uword first =
        std::min(below + 1 > n / 2 ? below + 1 - n / 2 : 0, inputs.n_elem - n);
    filter.first(f) = first;
    const arma::vec window = inputs.subvec(first, first + n - 1) - inputs(first);
    const std::vector<double> key(window.begin(), window.end());
    const auto [same, is_new] = known.try_emplace({key, at - inputs(first)}, f);
    if (!is_new) {
      filter.weights.col(f) = filter.weights.col(same->second);
      filter.variance(f) = filter.variance(same->second);
      continue;
    }
    auto factor = factors.find(key);
    if (factor == factors.end()) {
      arma::cx_mat R = toeplitz_covariance(r, window, window);
      R.diag() += std::max(error, least_error);
      arma::cx_mat L;
      // A covariance estimated lag by lag need not be positive definite.
      for (double more = std::max(error, least_error); !arma::chol(L, R, "lower"); more *= 4.0) {
        R.diag() += more;
      }
      factor = factors.emplace(key, std::move(L)).first;
    }
    const arma::cx_mat& L = factor->second;
    const arma::cx_vec c = toeplitz_covariance(r, window, arma::vec{at - inputs(first)});
    const arma::cx_vec u = arma::solve(arma::trimatl(L), c, arma::solve_opts::fast);
    const arma::cx_vec w = arma::solve(arma::trimatu(L.t()), u, arma::solve_opts::fast);
    // h_hat = c^H R^-1 z: the weights are conj(R^-1 c).
    filter.weights.col(f) = arma::conj(w);
    const double gain = arma::cdot(w, w).real();
    filter.variance(f) = std::max(0.0, r(0).real() - arma::cdot(u, u).real() - error * gain);
  }
  return finished(std::move(filter));
}

}  // namespace v0
}  // namespace chest
