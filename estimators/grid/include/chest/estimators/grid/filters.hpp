#pragma once

#include <armadillo>

namespace chest {
inline namespace v0 {

/// Values along one axis from those at some of its positions: out(f) = sum_m w(m, f) in(first(f) + m).
struct AxisFilter {
  arma::uvec first;      ///< of the window of each output, [n_out]
  arma::cx_mat weights;  ///< [n_window, n_out]
  arma::vec noise_gain;  ///< sum |w|^2, what white errors of the inputs are multiplied by, [n_out]
  /// Error of an output of power 1 where the inputs have none, [n_out]; empty: not known.
  arma::vec variance;

  arma::uword n_out() const { return weights.n_cols; }
  /// out = in filtered along its columns: [n, n_in] -> [n, n_out].
  void apply(const arma::cx_mat& in, arma::cx_mat& out) const;
};

/// The value at the nearest input.
AxisFilter nearest_filter(const arma::vec& inputs, arma::uword n_out);
/// Straight lines between neighbours, and beyond the ends those through the last two.
AxisFilter linear_filter(const arma::vec& inputs, arma::uword n_out);
/// The taps of the inputs' transform that lie within `taps` of the strongest window [-taps / 4, 3 taps
/// / 4), evaluated everywhere; for inputs at one distance.
/// @param step  distance of the inputs, > 0
AxisFilter dft_filter(const arma::vec& inputs, double step, arma::uword n_out, arma::uword taps);
/// Linear MMSE of an axis with covariance toeplitz(r), from inputs with white errors, each output from
/// the n_window nearest inputs.
/// @param error  variance of the inputs' errors over the power of the channel, >= 0
AxisFilter wiener_filter(const arma::vec& inputs, arma::uword n_out, const arma::cx_vec& r,
                         double error, arma::uword n_window);

}  // namespace v0
}  // namespace chest
