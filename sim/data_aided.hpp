#pragma once

#include <armadillo>
#include <complex>
#include <memory>
#include <vector>

#include <chest/estimators/common/estimator.hpp>
#include <chest/sim/pusch.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// Means and variances of symbols whose bits are independent with these LLRs.
/// @param llrs  log P(0) - log P(1), [n_symbols bits_per_symbol]
void soft_symbols(const NrQam& qam, const float* llrs, std::size_t n_symbols,
                  std::complex<double>* mean, double* variance);

/// The observation of one port that sends 1 in every element.
std::shared_ptr<const ObservationOperator> whole_grid(const GridAxes& grid, arma::uword n_rx);

/// What one round of estimation with data starts from, and what it finds.
struct PortEstimates {
  std::complex<double>* h;  ///< [n_rx, n_tx, n_elements]
  double* err_var;          ///< [n_tx, n_elements]
};

/// Estimation with data symbols as further pilots: a step of expectation maximisation [Dempster1977], for the layers in turn. With symbols of
/// mean x and variance v, given what was received, layer t is seen in every element that pilots or data take,
///
///   z = x_t^* (y - sum_{u != t} h_u x_u) / (|x_t|^2 + v_t),   of variance w = sigma2 / (|x_t|^2 + v_t)
///
/// (x holds of the noise in y what the decoder took for signal; over |x|^2 alone z would be too large.) An estimator of one
/// port over the whole grid takes one variance w_0, so where w differs it is asked again and again,
///
///   h_t <- estimate of h_t + (w_0 / w) (z - h_t) at the noise variance w_0,   w_0 = min(harmonic mean of w, 1.9 min w)
///
/// For linear MMSE that converges to the estimate with unequal variances: it is the step of majorisation for w_0 = min w, and with
/// a step below twice that one it still is a contraction. Its error variance is raised by what is not known of the symbols.
/// @param whole     of whole_grid()
/// @param x, v      of the data, [n_layers, n_data]: symbols of power 1, which are sent with 1 / n_layers of it
/// Source: arXiv 2602.15187 has the idea of data as information for a diffusion prior; the step is our own
void estimate_with_data(const Estimator& whole, const PuschAllocation& allocation, arma::uword n_rx,
                        arma::uword n_tx, const ReceivedSlot& received,
                        const std::complex<double>* x, const double* v, std::uint64_t seed,
                        std::uint64_t sample, const PortEstimates& estimates);

}  // namespace sim
}  // namespace v0
}  // namespace chest
