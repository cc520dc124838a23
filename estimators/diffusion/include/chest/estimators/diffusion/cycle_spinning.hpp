#pragma once

#include <armadillo>
#include <vector>

#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// Phase ramps that turn a channel [n_rx, n_tx] by k / n_spins of the distance between two angles (of delays, where the
/// columns are subcarriers), k = 0 .. n_spins - 1: g_k(r, t) = e^{j 2 pi (k / n_spins) (r / n_rx + t / n_tx)}.
/// @param turns_rx  false: along the columns alone, for receive antennas that are no line
/// @return [n_rx n_tx, n_spins], entries of magnitude 1, the first column 1
arma::cx_mat phase_ramps(arma::uword n_rx, arma::uword n_tx, arma::uword n_spins,
                         bool turns_rx = true);

/// Cycle spinning: runs a reverse chain for every column g of `ramps` on g z, and averages what is turned back,
///
///   x = mean_k conj(g_k) chain(g_k z).
///
/// A path between two angles leaks into many of them, a network shrinks what is weak there, and where a path lies between
/// them differs from ramp to ramp: the errors are only in part the same. For any h, ||x - h||^2 = mean_k ||x_k - h||^2 -
/// spread.
/// @param z      of the chain's start, [n_h, n_samples]; becomes x
/// @param error  means of what the denoiser predicts of each x_k; heads are those of the first
/// @return spread: mean_k ||x_k - x||^2 of every sample, [n_samples]; 0 with one ramp, whose values are those of run()
/// Source: [Coifman1995]; docs/model.md
arma::vec run_spun(const Denoiser& denoiser, const std::vector<ReverseStep>& steps,
                   const arma::cx_mat& ramps, arma::cx_mat& z, DenoiserError* error = nullptr);

/// The error of a mean of chains: that of the chains, less their spread; at least this part, should that be predicted
/// too small.
constexpr double least_part_of_mean = 0.1;
double error_of_mean(double error_of_chains, double spread);

}  // namespace v0
}  // namespace chest
