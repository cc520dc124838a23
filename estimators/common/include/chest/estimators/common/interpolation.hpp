#pragma once

#include <algorithm>
#include <armadillo>
#include <cmath>

namespace chest {
inline namespace v0 {

/// Where a value lies on an ascending axis: the points around it, and the share of the upper one.
/// Outside, the end.
struct Between {
  arma::uword lower = 0, upper = 0;
  double share = 0.0;

  Between(const arma::vec& axis, double at) {
    if (at <= axis.front()) return;
    if (at >= axis.back()) {
      lower = upper = axis.n_elem - 1;
      return;
    }
    upper = static_cast<arma::uword>(std::upper_bound(axis.begin(), axis.end(), at) - axis.begin());
    lower = upper - 1;
    share = (at - axis(lower)) / (axis(upper) - axis(lower));
  }
  /// Interpolation of the logarithm of positive values.
  double of(const arma::vec& values) const {
    return std::exp((1.0 - share) * std::log(values(lower)) + share * std::log(values(upper)));
  }
};

}  // namespace v0
}  // namespace chest
