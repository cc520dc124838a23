#include <chest/metrics.hpp>

#include <algorithm>
#include <cmath>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {

namespace {

double sum_of_squares(const arma::cx_double* x, arma::uword n) {
  double sum = 0.0;
  for (arma::uword i = 0; i < n; ++i) sum += std::norm(x[i]);
  return sum;
}

}  // namespace

arma::vec squared_norms(const arma::cx_mat& h) {
  arma::vec out(h.n_cols, arma::fill::none);
  for (arma::uword k = 0; k < h.n_cols; ++k) out(k) = sum_of_squares(h.colptr(k), h.n_rows);
  return out;
}

double squared_norm(const arma::cx_mat& X) { return sum_of_squares(X.memptr(), X.n_elem); }

arma::mat squared_magnitudes(const arma::cx_mat& X) {
  arma::mat out(arma::size(X), arma::fill::none);
  std::transform(X.begin(), X.end(), out.begin(), [](arma::cx_double x) { return std::norm(x); });
  return out;
}

arma::vec squared_errors(const arma::cx_mat& h_hat, const arma::cx_mat& h) {
  if (h_hat.n_rows != h.n_rows || h_hat.n_cols != h.n_cols) {
    throw Error(ErrorKind::invalid_argument,
                "squared_errors: h_hat is " + std::to_string(h_hat.n_rows) + "x" +
                    std::to_string(h_hat.n_cols) + ", h is " + std::to_string(h.n_rows) + "x" +
                    std::to_string(h.n_cols));
  }
  arma::vec out(h.n_cols, arma::fill::none);
  for (arma::uword k = 0; k < h.n_cols; ++k) {
    const arma::cx_double* a = h_hat.colptr(k);
    const arma::cx_double* b = h.colptr(k);
    double sum = 0.0;
    for (arma::uword i = 0; i < h.n_rows; ++i) sum += std::norm(a[i] - b[i]);
    out(k) = sum;
  }
  return out;
}

double nmse(const arma::cx_mat& h_hat, const arma::cx_mat& h) {
  const double error = arma::accu(squared_errors(h_hat, h));
  const double power = arma::accu(squared_norms(h));
  if (!(power > 0.0)) {
    throw Error(ErrorKind::numeric, "nmse: the channels are zero, expected some power");
  }
  return error / power;
}

double to_db(double linear) { return 10.0 * std::log10(linear); }
double from_db(double db) { return std::pow(10.0, db / 10.0); }

}  // namespace v0
}  // namespace chest
