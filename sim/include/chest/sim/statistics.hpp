#pragma once

#include <armadillo>
#include <array>
#include <cstddef>

namespace chest {
inline namespace v0 {
namespace sim {

/// Sums over channels that one point of an NMSE curve is made of; e = ||h_hat - h||^2, p = ||h||^2.
/// Only doubles, in the order of `names`: results files store them block by block.
struct ErrorSums {
  double n = 0;            ///< channels
  double e = 0, p = 0;     ///< sum e, sum p
  double ee = 0, pp = 0;   ///< sum e^2, sum p^2
  double ep = 0;           ///< sum e p
  double ratio = 0;        ///< sum e / p
  double signal = 0;       ///< sum ||A h||^2
  double noise = 0;        ///< sum ||n||^2
  double n_predicted = 0;  ///< channels whose error the estimator predicted
  double predicted = 0;    ///< sum of predicted E||h_hat - h||^2
  double nfe = 0;          ///< sum of denoiser calls
  double n_reset = 0;      ///< channels that an estimator set to 0 on the way (Estimate::n_reset)

  static constexpr std::size_t count = 13;
  static constexpr std::array<const char*, count> names{
      "n",      "e",     "p",           "ee",        "pp",  "ep",     "ratio",
      "signal", "noise", "n_predicted", "predicted", "nfe", "n_reset"};
  /// From and to `count` doubles in that order.
  static ErrorSums read(const double* values);
  void write(double* values) const;
};

/// On a grid, after ErrorSums: the same sums over the entries that carry pilots.
struct PilotSums {
  double e = 0, p = 0;
  static constexpr std::size_t count = 2;
};

/// Adds channels to the sums of e, p and their products.
/// @param e, p  [n_samples]
void add_errors(const arma::vec& e, const arma::vec& p, ErrorSums& sums);

/// 95 % confidence interval.
struct Interval {
  double low, high;
};

/// NMSE of all channels of the sums, linear: sum e / sum p.
double nmse(const ErrorSums& sums);
/// 95 % interval of the NMSE by the delta method for a ratio of means,
///
///   r = sum e / sum p,   var r = sum (e - r p)^2 / (n - 1) / n / mean(p)^2,   r +- 1.96 sqrt(var
///   r),
///
/// not below 0. Channels are taken as independent; NaN for fewer than two.
Interval nmse_interval(const ErrorSums& sums);
/// Half the width of nmse_interval over the NMSE; infinite when the interval is unknown.
double nmse_relative_half_width(const ErrorSums& sums);

/// Mean of n values from their sum and sum of squares, and its 95 % interval (normal
/// approximation), NaN for n < 2.
Interval mean_interval(double n, double sum, double sum_of_squares);

/// 95 % interval of a probability of which n_hits of n independent trials were seen, by Wilson's
/// score; NaN for n = 0. It holds 0 or 1 where nothing else was seen.  Source: [Wilson1927]
Interval binomial_interval(double n, double n_hits);

}  // namespace sim
}  // namespace v0
}  // namespace chest
