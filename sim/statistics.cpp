#include <chest/sim/statistics.hpp>

#include <algorithm>
#include <armadillo>
#include <bit>
#include <cmath>
#include <limits>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// Quantile of N(0, 1) for a two-sided 95 % interval.
constexpr double z_95 = 1.959963984540054;

}  // namespace

ErrorSums ErrorSums::read(const double* values) {
  std::array<double, count> all;
  std::copy_n(values, count, all.begin());
  return std::bit_cast<ErrorSums>(all);
}

void ErrorSums::write(double* values) const {
  const auto all = std::bit_cast<std::array<double, count>>(*this);
  std::copy(all.begin(), all.end(), values);
}

void add_errors(const arma::vec& e, const arma::vec& p, ErrorSums& sums) {
  sums.n += double(e.n_elem);
  sums.e += arma::accu(e);
  sums.p += arma::accu(p);
  sums.ee += arma::dot(e, e);
  sums.pp += arma::dot(p, p);
  sums.ep += arma::dot(e, p);
  sums.ratio += arma::accu(e / p);
}

double nmse(const ErrorSums& sums) { return sums.e / sums.p; }

Interval nmse_interval(const ErrorSums& sums) {
  if (sums.n < 2) return {arma::datum::nan, arma::datum::nan};
  const double r = nmse(sums);
  const double squares = std::max(0.0, sums.ee - 2.0 * r * sums.ep + r * r * sums.pp);
  const double mean_p = sums.p / sums.n;
  const double half = z_95 * std::sqrt(squares / (sums.n - 1.0) / sums.n) / mean_p;
  return {std::max(0.0, r - half), r + half};
}

double nmse_relative_half_width(const ErrorSums& sums) {
  const double r = nmse(sums);
  if (sums.n < 2 || !(r > 0.0)) return std::numeric_limits<double>::infinity();
  return (nmse_interval(sums).high - r) / r;
}

Interval mean_interval(double n, double sum, double sum_of_squares) {
  if (n < 2) return {arma::datum::nan, arma::datum::nan};
  const double mean = sum / n;
  const double variance = std::max(0.0, sum_of_squares - n * mean * mean) / (n - 1.0);
  const double half = z_95 * std::sqrt(variance / n);
  return {mean - half, mean + half};
}

Interval binomial_interval(double n, double n_hits) {
  if (n <= 0) return {arma::datum::nan, arma::datum::nan};
  const double p = n_hits / n, zz = z_95 * z_95 / n;
  const double centre = (p + zz / 2.0) / (1.0 + zz);
  const double half = std::sqrt(zz * (p * (1.0 - p) + zz / 4.0)) / (1.0 + zz);
  return {n_hits <= 0 ? 0.0 : centre - half, n_hits >= n ? 1.0 : centre + half};
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
