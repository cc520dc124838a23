#pragma once

#include <ATen/ATen.h>

#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {
namespace nn {

/// What a micro-batch at one noise level says of the weights.
struct LevelErrors {
  at::Tensor squared;  ///< sum over all entries of (network output - target)^2
  at::Tensor
      log_likelihood;  ///< minus that of the errors h - D, summed; undefined without variance
  /// Cross entropies of the classes in nats, and half the squared errors of the numbers, summed; undefined without
  /// heads.
  at::Tensor heads;
};

/// What a network is told of the channels of a micro-batch, and what it should tell.
struct LevelLabels {
  std::vector<std::int64_t> told;  ///< the class of each, -1: not told; empty: of none
  at::Tensor classes;              ///< int64 [n], -1: not known; undefined without
  at::Tensor numbers;              ///< [n, n_numbers], NaN: not known; undefined without
  at::Tensor side;                 ///< angular planes of the side matrices; undefined without
};

/// What the channels are seen through, for the estimator of given pilots: z = H P P^+ + N P^+.
struct SeenThrough {
  at::Tensor projection;  ///< P P^+, complex [n_tx, n_tx]
  at::Tensor inverse;     ///< P^+, complex [n_pilots, n_tx]
};
SeenThrough seen_through(const arma::cx_mat& P, const at::Device& device);

/// For noisy inputs x = (h + sigma eps) / sqrt(1 + sigma2).
/// @param flat    weights, [n_parameters]
/// @param h, eps  planes of the angular domain, [n, 2, n_rx, n_tx]
/// @param step  subcarriers from one column to the next, for a network with a circle
/// @param bfloat16  convolve in bfloat16; weights, targets and the sum stay as they are
/// @param pilots  then h and the noise [n, 2, n_rx, n_pilots] are those of the antenna domain, and the errors relative
///                to a prior of power 1 at all levels
LevelErrors level_errors(const NetworkConfig& config, Prediction prediction,
                         const NoiseSchedule& schedule, const at::Tensor& flat, const at::Tensor& h,
                         const at::Tensor& eps, double sigma2, bool bfloat16 = false,
                         double step = 0.0, const LevelLabels& labels = {},
                         const SeenThrough* pilots = nullptr);

/// The same of an estimate of `n_calls` calls (log_snr_chain()), through all of them, from z = h + sigma eps: `squared` as
/// if the one call at sigma2 had made its error, what is beside it of the first call.
LevelErrors unrolled_errors(const NetworkConfig& config, Prediction prediction,
                            const NoiseSchedule& schedule, const at::Tensor& flat,
                            const at::Tensor& h, const at::Tensor& eps, double sigma2,
                            std::size_t n_calls, bool bfloat16 = false,
                            const LevelLabels& labels = {});

/// Angular planes [n, 2, n_rx, n_tx] of the mirrored channels; bits of `mirrors`: 1 the receive and
/// 2 the transmit antennas in reverse order, 4 the conjugate of what is then there.
at::Tensor mirrored(const at::Tensor& planes, unsigned mirrors);

/// Angular planes [n, 2, n_rx, n_tx] of the channels with a phase ramp over the antennas of either side, which turns
/// their directions by so many angular bins, [n, 2] (receive, transmit).
at::Tensor turned(const at::Tensor& planes, const at::Tensor& bins);

/// All samples as planes of the angular domain, [n, 2, n_rx, n_tx].
at::Tensor angular_planes(const SampleReader& samples);
/// The same of the antenna domain.
at::Tensor antenna_planes(const SampleReader& samples);
/// The same of planes of grids: angles x subcarriers, transformed along the antennas alone.
at::Tensor angle_planes(const SampleReader& samples);
/// Planes times exp(j phase).
at::Tensor rotated(const at::Tensor& h, const at::Tensor& phase);
/// @throws Error(invalid_argument) if one has no channels or their sizes differ
void check_samples(const SampleReader& train, const SampleReader& validation);

}  // namespace nn
}  // namespace v0
}  // namespace chest
