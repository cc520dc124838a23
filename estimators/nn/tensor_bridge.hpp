#pragma once

#include <ATen/ATen.h>

#include <armadillo>

namespace chest {
inline namespace v0 {
namespace nn {

// Channels as a network sees them ("planes"): float32 [n, 2, n_rx, n_tx], plane 0 = re, plane 1 =
// im, channels_last in memory, so that the same bytes are complex numbers [n, n_rx, n_tx].

/// Columns vec(H), [n_rx n_tx, n], as antenna-domain planes on `device`.
at::Tensor planes_from_columns(const arma::cx_mat& columns, arma::uword n_rx, arma::uword n_tx,
                               const at::Device& device);
/// The reverse; `columns` already has the size.
void columns_from_planes(const at::Tensor& planes, arma::cx_mat& columns);
/// The same of one real plane, [n, 1, n_rx, n_tx], to n columns of n_rx n_tx values at `columns`.
void columns_from_plane(const at::Tensor& plane, double* columns);

/// Planes as complex numbers [n, n_rx, n_tx], and the reverse.
at::Tensor complex_of(const at::Tensor& planes);
at::Tensor planes_of(const at::Tensor& complex);

/// AngularTransform::forward and ::inverse on the device of the planes.
at::Tensor to_angular(const at::Tensor& planes);
at::Tensor to_antenna(const at::Tensor& planes);
/// The transform along the receive antennas alone, and along the columns alone.
at::Tensor to_angles(const at::Tensor& planes);
at::Tensor to_delays(const at::Tensor& planes);

}  // namespace nn
}  // namespace v0
}  // namespace chest
