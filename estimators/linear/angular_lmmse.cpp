#include <chest/estimators/linear/angular_lmmse.hpp>

#include <utility>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace {

// m <- m + W (y - B m) and c <- diag(C - W B C) for columns m, c.
void filter(const arma::cx_mat& B, const arma::cx_vec& y, double sigma2, arma::cx_vec& m,
            arma::vec& c) {
  arma::cx_mat BC = B;
  BC.each_row() %= arma::conv_to<arma::cx_rowvec>::from(c.t());
  arma::cx_mat S = BC * B.t();
  S.diag() += sigma2;
  arma::cx_mat L;
  if (!arma::chol(L, S, "lower")) {
    throw Error(ErrorKind::numeric,
                "LMMSE per channel: A C A^H + sigma2 I is not positive definite at sigma2 = " +
                    std::to_string(sigma2) + ": sigma2 is far below the covariance");
  }
  const arma::cx_mat V = arma::solve(arma::trimatl(L), BC, arma::solve_opts::fast);
  const arma::cx_vec d = y - B * m;
  m += V.t() * arma::solve(arma::trimatl(L), d, arma::solve_opts::fast);
  c -= arma::sum(arma::square(arma::abs(V)), 0).t();
}

}  // namespace

AngularLmmse::AngularLmmse(std::shared_ptr<const ObservationOperator> A, arma::uword n_rx,
                           arma::uword n_tx)
    : A_(std::move(A)), transform_(n_rx, n_tx), gram_scale_(A_->gram_scale()) {
  if (gram_scale_) return;
  if (const arma::cx_mat* P = A_->pilots()) {
    F_rx_ = dft_matrix(n_rx);
    B_ = P->st() * dft_matrix(n_tx).t();
  } else {
    B_ = A_->apply(transform_.inverse(arma::cx_mat(A_->n_h(), A_->n_h(), arma::fill::eye)));
  }
}

void AngularLmmse::estimate(const Observation& observation, const arma::cx_mat& m,
                            const arma::mat& c, Estimate& out) const {
  const arma::cx_mat& y = observation.y;
  const double sigma2 = observation.sigma2;
  arma::mat variance = c;
  if (gram_scale_) {
    transform_.forward(A_->pseudo_inverse(y), out.h);
    const double noise = sigma2 / *gram_scale_;
    const arma::mat gain = c / (c + noise);
    out.h = m + gain % (out.h - m);
    variance = noise * gain;
  } else {
    out.h = m;
    const arma::uword n_rows = F_rx_.is_empty() ? 1 : F_rx_.n_rows;
    for (arma::uword k = 0; k < y.n_cols; ++k) {
      arma::cx_mat H(out.h.colptr(k), n_rows, B_.n_cols, false, true);
      arma::mat c_k(variance.colptr(k), n_rows, B_.n_cols, false, true);
      arma::cx_mat Y = arma::reshape(y.col(k), n_rows, B_.n_rows);
      if (!F_rx_.is_empty()) Y = F_rx_ * Y;
      for (arma::uword i = 0; i < n_rows; ++i) {
        arma::cx_vec row = H.row(i).st();
        arma::vec c_row = c_k.row(i).t();
        filter(B_, Y.row(i).st(), sigma2, row, c_row);
        H.row(i) = row.st();
        c_k.row(i) = c_row.t();
      }
    }
  }
  transform_.inverse(out.h, out.h);
  out.mse = arma::sum(variance, 0).t();
  if (observation.per_angle) {
    out.angular_mse = std::move(variance);
  } else {
    out.angular_mse.reset();
  }
}

}  // namespace v0
}  // namespace chest
