#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <utility>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/observation.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// How an estimate is brought to what was received.
enum class DataConsistency {
  none,
  soft,  ///< h + r2 A^H (r2 A A^H + sigma2 I)^-1 (y - A h), r2 the error variance that the network predicts
  hard  ///< h + A^+ (y - A h): what was received is believed
};
inline constexpr std::pair<DataConsistency, const char*> data_consistency_names[] = {
    {DataConsistency::none, "none"},
    {DataConsistency::soft, "soft"},
    {DataConsistency::hard, "hard"}};

/// Whether both are the same pilots, up to rounding.
bool same_pilots(const arma::cx_mat& P, const arma::cx_mat& other);

/// The estimator of a network that was fitted for the pilots of A, fewer than antennas: one call,
/// h = D(A^+ y, sigma2), and a step towards the data.
///
/// @param D  E[h | y] of z = A^+ y, and of the noise variance of y
/// @param calibration  of D with these pilots: calibrate(D, A, ...)
/// @throws Error(invalid_argument) if a part is null or sizes differ
/// Source: [Schlemper2018] for the steps towards the data
std::unique_ptr<Estimator> make_few_pilots(std::shared_ptr<const ObservationOperator> A,
                                           std::shared_ptr<const Denoiser> D,
                                           const Calibration& calibration,
                                           DataConsistency consistency = DataConsistency::none);

/// The estimator of a network that is told a side matrix of each channel (Observation::side), for pilots that decorrelate:
/// one call, h = D(A^+ y, sigma2 / c, side) = E[h | y, side].
///
/// @param D  Denoiser::takes_side()
/// @param calibration  of D with side matrices: calibrate_few_pilots()
/// @throws Error(invalid_argument) if a part is null, sizes differ, A does not decorrelate or D takes no side matrices
/// Source: [Dong2024] for what is known as further input planes
std::unique_ptr<Estimator> make_side_informed(std::shared_ptr<const ObservationOperator> A,
                                              std::shared_ptr<const Denoiser> D,
                                              const Calibration& calibration);

/// Measures such a D as calibrate() does a denoiser: one call at every SNR, and its error. Levels are the noise
/// variances of y.
/// @param side  for a D that takes it, the side matrices of the channels; with A the identity
/// @throws Error(invalid_argument) if sizes differ;  Error(numeric) if an error is not finite
Calibration calibrate_few_pilots(const Denoiser& denoiser, const ObservationOperator& A,
                                 const SampleReader& validation, std::uint64_t seed,
                                 unsigned n_threads, const SampleReader& side = {});

}  // namespace v0
}  // namespace chest
