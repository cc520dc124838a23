#pragma once

#include <gtest/gtest.h>

#include <armadillo>
#include <cmath>

namespace chest {

/// z with P(|N(0, 1)| > z) = p.
inline double normal_quantile_two_sided(double p) {
  double low = 0.0, high = 40.0;
  for (int i = 0; i < 200; ++i) {
    const double middle = 0.5 * (low + high);
    (std::erfc(middle / std::sqrt(2.0)) > p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

/// Whether independent values have this mean: fails for correct code with probability p_fail, by
/// the normal approximation of their average.
inline testing::AssertionResult mean_is(const arma::vec& values, double expected, double p_fail) {
  const double mean = arma::mean(values);
  const double standard_error =
      arma::stddev(values) / std::sqrt(static_cast<double>(values.n_elem));
  const double allowed = normal_quantile_two_sided(p_fail) * standard_error;
  if (std::abs(mean - expected) <= allowed) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "mean " << mean << " of " << values.n_elem
                                     << " values, expected " << expected << " +- " << allowed;
}

/// Largest absolute difference of two matrices of one size; infinity when the sizes differ.
template <class A, class B>
double max_difference(const A& left, const B& right) {
  const auto &a = left.eval(), &b = right.eval();
  if (a.n_rows != b.n_rows || a.n_cols != b.n_cols) return INFINITY;
  return a.is_empty() ? 0.0 : arma::abs(a - b).max();
}

}  // namespace chest
