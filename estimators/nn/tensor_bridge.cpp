#include "tensor_bridge.hpp"

#include <algorithm>

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

// arma's [n_rx n_tx, n] column-major, complex double, is [n, n_tx, n_rx] in C order.
at::Tensor view_of(const arma::cx_mat& columns, std::int64_t n_rx, std::int64_t n_tx) {
  const auto memory = const_cast<std::complex<double>*>(columns.memptr());
  return at::from_blob(memory, {static_cast<std::int64_t>(columns.n_cols), n_tx, n_rx},
                       at::kComplexDouble);
}

}  // namespace

at::Tensor complex_of(const at::Tensor& planes) {
  return at::view_as_complex(planes.permute({0, 2, 3, 1}).contiguous());
}

at::Tensor planes_of(const at::Tensor& complex) {
  return at::view_as_real(complex.contiguous()).permute({0, 3, 1, 2});
}

at::Tensor planes_from_columns(const arma::cx_mat& columns, arma::uword n_rx, arma::uword n_tx,
                               const at::Device& device) {
  const at::Tensor complex = view_of(columns, n_rx, n_tx).to(at::kComplexFloat);
  return planes_of(complex.to(device).transpose(1, 2));
}

void columns_from_planes(const at::Tensor& planes, arma::cx_mat& columns) {
  view_of(columns, planes.size(2), planes.size(3)).copy_(complex_of(planes).transpose(1, 2).cpu());
}

void columns_from_plane(const at::Tensor& plane, double* columns) {
  const at::Tensor values = plane.squeeze(1).transpose(1, 2).to(at::kCPU, at::kDouble).contiguous();
  std::copy_n(values.data_ptr<double>(), values.numel(), columns);
}

at::Tensor to_angular(const at::Tensor& planes) {
  return planes_of(at::fft_fft2(complex_of(planes), at::nullopt, {1, 2}, "ortho"));
}

at::Tensor to_angles(const at::Tensor& planes) {
  return planes_of(at::fft_fft(complex_of(planes), at::nullopt, 1, "ortho"));
}

at::Tensor to_delays(const at::Tensor& planes) {
  return planes_of(at::fft_fft(complex_of(planes), at::nullopt, 2, "ortho"));
}

at::Tensor to_antenna(const at::Tensor& planes) {
  return planes_of(at::fft_ifft2(complex_of(planes), at::nullopt, {1, 2}, "ortho"));
}

}  // namespace nn
}  // namespace v0
}  // namespace chest
