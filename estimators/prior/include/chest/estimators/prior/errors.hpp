#pragma once

#include <armadillo>
#include <cstdint>
#include <string>
#include <vector>

#include <chest/estimators/prior/denoiser.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// Errors of a denoiser over noise levels, seen on channels: the optimal covariances of h given z
/// in the likelihood sense.  Source: [Bao2022], [Peng2024]
struct DenoiserErrors {
  arma::vec sigma2;     ///< levels, ascending
  arma::vec mse;        ///< E||h - D||^2 / n_h at each level
  arma::mat angular{};  ///< E|h_n - D_n|^2 in the angular domain, [n_h, n_levels]; may be empty
  std::vector<arma::cx_mat> full{};  ///< E[(h - D)(h - D)^H] at each level; may be empty
  arma::mat spatial{};  ///< E|h_n - D_n|^2 per antenna entry, [n_h, n_levels]; may be empty

  bool empty() const { return sigma2.n_elem == 0; }
  /// Log-log interpolation of mse over the levels, clamped at the ends.
  double at(double level) const;
  arma::vec angular_at(double level) const;
  arma::vec spatial_at(double level) const;
  arma::cx_mat full_at(double level) const;
  /// Empty when usable; otherwise one sentence naming what does not fit.
  std::string why_invalid() const;
};

/// Entries of h up to which the covariances of errors are kept: 26 MB at 25 levels.
inline constexpr arma::uword most_entries_of_full_errors = 256;

/// What measure_errors() keeps; angular also what is spatial, and full all.
enum class ErrorDetail { mse, angular, full };

/// Measures them at these levels with noise from the seed, on all channels of the reader.
/// @throws Error(invalid_argument) if there are no channels or levels, sizes differ, or ErrorDetail::full is asked for
///         channels of more than most_entries_of_full_errors
DenoiserErrors measure_errors(const Denoiser& denoiser, const SampleReader& channels,
                              const arma::vec& levels, std::uint64_t seed, ErrorDetail detail,
                              unsigned n_threads = 1);

}  // namespace v0
}  // namespace chest
