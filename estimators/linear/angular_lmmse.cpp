#include <chest/estimators/linear/angular_lmmse.hpp>

#include <utility>
#include <vector>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace {

// m <- m + W (y - B m) and c <- diag(C - W B C) for columns m of the same variances c.
void filter(const arma::cx_mat& B, const arma::cx_mat& y, double sigma2, arma::cx_mat& m,
            arma::vec& c) {
  arma::cx_mat BC = B;
  BC.each_row() %= arma::conv_to<arma::cx_rowvec>::from(c.t());
  arma::cx_mat S = BC * B.t();
  S.diag() += sigma2;
  arma::cx_mat L;
  S = 0.5 * (S + S.t());
  if (!arma::chol(L, S, "lower")) {
    throw Error(ErrorKind::numeric,
                "LMMSE per channel: A C A^H + sigma2 I is not positive definite at sigma2 = " +
                    std::to_string(sigma2) + ": sigma2 is far below the covariance");
  }
  const arma::cx_mat V = arma::solve(arma::trimatl(L), BC, arma::solve_opts::fast);
  const arma::cx_mat d = y - B * m;
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
    variance = c / (c + noise);
    for (arma::uword k = 0; k < y.n_cols; ++k) {
      out.h.col(k) = m.col(k) + variance.col(c.n_cols == 1 ? 0 : k) % (out.h.col(k) - m.col(k));
    }
    variance *= noise;
  } else {
    out.h = m;
    const arma::uword n_rows = F_rx_.is_empty() ? 1 : F_rx_.n_rows;
    // The channels that one column of variances is for.
    const arma::uword n_each = c.n_cols == 1 ? y.n_cols : 1;
    std::vector<arma::cx_mat> Y;
    for (arma::uword k = 0; k < y.n_cols; ++k) {
      Y.push_back(arma::reshape(y.col(k), n_rows, B_.n_rows));
      if (!F_rx_.is_empty()) Y.back() = F_rx_ * Y.back();
    }
    for (arma::uword first = 0; first < y.n_cols; first += n_each) {
      arma::mat c_k(variance.colptr(c.n_cols == 1 ? 0 : first), n_rows, B_.n_cols, false, true);
      for (arma::uword i = 0; i < n_rows; ++i) {
        // Row i of all of them, as columns.
        arma::cx_mat rows(B_.n_cols, n_each), seen(B_.n_rows, n_each);
        for (arma::uword k = 0; k < n_each; ++k) {
          const arma::cx_mat H(out.h.colptr(first + k), n_rows, B_.n_cols, false, true);
          rows.col(k) = H.row(i).st();
          seen.col(k) = Y[first + k].row(i).st();
        }
        arma::vec c_row = c_k.row(i).t();
        filter(B_, seen, sigma2, rows, c_row);
        c_k.row(i) = c_row.t();
        for (arma::uword k = 0; k < n_each; ++k) {
          arma::cx_mat H(out.h.colptr(first + k), n_rows, B_.n_cols, false, true);
          H.row(i) = rows.col(k).st();
        }
      }
    }
  }
  transform_.inverse(out.h, out.h);
  out.mse = arma::sum(variance, 0).t();
  if (variance.n_cols != y.n_cols) {
    out.mse = arma::vec(y.n_cols, arma::fill::value(out.mse(0)));
    if (observation.per_angle) variance = arma::repmat(variance, 1, y.n_cols);
  }
  if (observation.per_angle) {
    out.angular_mse = std::move(variance);
  } else {
    out.angular_mse.reset();
  }
}

}  // namespace v0
}  // namespace chest
