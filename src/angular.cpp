#include <chest/angular.hpp>

#include <cmath>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {

arma::cx_mat dft_matrix(arma::uword n) {
  arma::cx_mat F(n, n, arma::fill::none);
  const double scale = 1.0 / std::sqrt(static_cast<double>(n));
  for (arma::uword k = 0; k < n; ++k) {
    for (arma::uword m = 0; m < n; ++m) {
      // The product is reduced first: the angle keeps full precision for large n.
      const double angle = -2.0 * M_PI * static_cast<double>((m * k) % n) / static_cast<double>(n);
      F(m, k) = std::polar(scale, angle);
    }
  }
  return F;
}

arma::cx_mat steering_vectors(arma::uword n, arma::uword oversampling) {
  // The first rows of a longer transform, conjugated and scaled to unit columns.
  const arma::cx_mat F = dft_matrix(oversampling * n);
  return std::sqrt(static_cast<double>(oversampling)) * arma::conj(F.head_rows(n));
}

static void check_panel(const PanelShape& panel, arma::uword n) {
  if (panel.n() == n) return;
  throw Error(ErrorKind::invalid_argument, "the panel " + panel.text() + " has " +
                                               std::to_string(panel.n()) + " antennas, expected " +
                                               std::to_string(n));
}

arma::cx_mat panel_mix(const PanelShape& panel, arma::uword n) {
  if (panel.is_line()) return arma::cx_mat(n, n, arma::fill::eye);
  check_panel(panel, n);
  const arma::cx_mat polarisations(panel.polarisations, panel.polarisations, arma::fill::eye);
  const arma::cx_mat transform =
      arma::kron(polarisations, arma::kron(dft_matrix(panel.columns), dft_matrix(panel.rows)));
  arma::uvec order(n);
  arma::uword i = 0;
  for (arma::uword p = 0; p < panel.polarisations; ++p) {
    for (arma::uword r = 0; r < panel.rows; ++r) {
      for (arma::uword c = 0; c < panel.columns; ++c) {
        order(i++) = (p * panel.columns + c) * panel.rows + r;
      }
    }
  }
  return dft_matrix(n).t() * transform.rows(order);
}

arma::cx_mat panel_steering_vectors(const PanelShape& panel, arma::uword n,
                                    arma::uword oversampling, bool mixed) {
  if (panel.is_line()) return steering_vectors(n, oversampling);
  check_panel(panel, n);
  const auto along = [&](arma::uword length) {
    return steering_vectors(length, length == 1 ? 1 : oversampling);
  };
  const arma::cx_mat polarisations(panel.polarisations, panel.polarisations, arma::fill::eye);
  const arma::cx_mat G =
      arma::kron(polarisations, arma::kron(along(panel.columns), along(panel.rows)));
  return mixed ? arma::cx_mat(panel_mix(panel, n) * G) : G;
}

AngularTransform::AngularTransform(arma::uword n_rx, arma::uword n_tx) {
  if (n_rx == 0 || n_tx == 0) {
    throw Error(ErrorKind::invalid_argument, "angular transform: the array sizes are " +
                                                 std::to_string(n_rx) + "x" + std::to_string(n_tx) +
                                                 ", expected at least 1x1");
  }
  F_rx_ = dft_matrix(n_rx);
  F_tx_ = dft_matrix(n_tx);
}

namespace {

// out_k = L H_k R for every column k; R symmetric, so no transposition is needed.
void two_sided(const arma::cx_mat& L, const arma::cx_mat& R, const arma::cx_mat& in,
               arma::cx_mat& out) {
  if (in.n_rows != L.n_rows * R.n_rows) {
    throw Error(ErrorKind::invalid_argument,
                "angular transform: the channels have " + std::to_string(in.n_rows) +
                    " rows, expected n_rx n_tx = " + std::to_string(L.n_rows * R.n_rows));
  }
  // L times all columns of all channels is one product; R then acts within each channel.
  const arma::cx_mat side_by_side(const_cast<arma::cx_double*>(in.memptr()), L.n_rows,
                                  R.n_rows * in.n_cols, false, true);
  const arma::cx_mat left = L * side_by_side;
  out.set_size(in.n_rows, in.n_cols);
  for (arma::uword k = 0; k < in.n_cols; ++k) {
    arma::cx_mat channel(out.colptr(k), L.n_rows, R.n_rows, false, true);
    channel = left.cols(k * R.n_rows, (k + 1) * R.n_rows - 1) * R;
  }
}

}  // namespace

void AngularTransform::forward(const arma::cx_mat& in, arma::cx_mat& out) const {
  two_sided(F_rx_, F_tx_, in, out);
}

void AngularTransform::inverse(const arma::cx_mat& in, arma::cx_mat& out) const {
  two_sided(arma::conj(F_rx_), arma::conj(F_tx_), in, out);
}

arma::cx_mat AngularTransform::forward(const arma::cx_mat& in) const {
  arma::cx_mat out;
  forward(in, out);
  return out;
}

arma::cx_mat AngularTransform::inverse(const arma::cx_mat& in) const {
  arma::cx_mat out;
  inverse(in, out);
  return out;
}

}  // namespace v0
}  // namespace chest
