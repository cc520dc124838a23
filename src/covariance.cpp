#include <chest/covariance.hpp>

#include <cmath>
#include <complex>
#include <string>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {

arma::cx_mat toeplitz(const arma::cx_vec& t) {
  const arma::uword n = t.n_elem;
  arma::cx_mat C(n, n, arma::fill::none);
  for (arma::uword j = 0; j < n; ++j) {
    for (arma::uword i = 0; i < n; ++i) C(i, j) = i >= j ? t(i - j) : std::conj(t(j - i));
  }
  return C;
}

void hermitian_eigen(const arma::cx_mat& C, arma::vec& l, arma::cx_mat& U) {
  // A column to spare behind U, which OpenBLAS reads.
  const arma::uword n = C.n_rows;
  arma::cx_mat spare(n, n + 1, arma::fill::zeros);
  arma::cx_mat vectors(spare.memptr(), n, n, false, true);
  if (!arma::eig_sym(l, vectors, arma::cx_mat(0.5 * (C + C.t())))) {
    throw Error(ErrorKind::numeric, "covariance: the eigenvalue decomposition failed");
  }
  U = vectors;
}

arma::cx_mat covariance_factor(const arma::cx_mat& C) {
  if (C.n_rows != C.n_cols || C.is_empty()) {
    throw Error(ErrorKind::invalid_argument,
                "covariance: the matrix is " + std::to_string(C.n_rows) + "x" +
                    std::to_string(C.n_cols) + ", expected a square one");
  }
  arma::vec eigenvalues;
  arma::cx_mat V;
  hermitian_eigen(C, eigenvalues, V);
  const double largest = eigenvalues.max();
  if (eigenvalues.min() < -1e-8 * largest) {
    throw Error(ErrorKind::numeric, "covariance: the smallest eigenvalue is " +
                                        number_text(eigenvalues.min()) +
                                        ", expected none below zero");
  }
  eigenvalues.transform([](double value) { return value > 0.0 ? std::sqrt(value) : 0.0; });
  V.each_row() %= arma::conv_to<arma::cx_rowvec>::from(eigenvalues.t());
  return V;
}

arma::cx_mat block_toeplitz_average(const arma::cx_mat& C, arma::uword n_rx, arma::uword n_tx) {
  const arma::uword n_h = n_rx * n_tx;
  if (C.n_rows != n_h || C.n_cols != n_h || n_h == 0) {
    throw Error(ErrorKind::invalid_argument, "block_toeplitz_average: the covariance is " +
                                                 std::to_string(C.n_rows) + "x" +
                                                 std::to_string(C.n_cols) + ", expected " +
                                                 std::to_string(n_h) + "x" + std::to_string(n_h));
  }
  // mean(d_rx, d_tx) over all pairs of that offset; offsets are shifted to start at 0.
  arma::cx_mat sum(2 * n_rx - 1, 2 * n_tx - 1, arma::fill::zeros);
  const auto at = [&](arma::uword i, arma::uword j) -> arma::cx_double& {
    return sum(i % n_rx + n_rx - 1 - j % n_rx, i / n_rx + n_tx - 1 - j / n_rx);
  };
  for (arma::uword j = 0; j < n_h; ++j) {
    for (arma::uword i = 0; i < n_h; ++i) at(i, j) += C(i, j);
  }
  for (arma::uword d_tx = 0; d_tx < sum.n_cols; ++d_tx) {
    for (arma::uword d_rx = 0; d_rx < sum.n_rows; ++d_rx) {
      const auto pairs = [](arma::uword d, arma::uword n) {
        return static_cast<double>(d < n ? d + 1 : 2 * n - 1 - d);
      };
      sum(d_rx, d_tx) /= pairs(d_rx, n_rx) * pairs(d_tx, n_tx);
    }
  }
  arma::cx_mat out(n_h, n_h, arma::fill::none);
  for (arma::uword j = 0; j < n_h; ++j) {
    for (arma::uword i = 0; i < n_h; ++i) out(i, j) = at(i, j);
  }
  return 0.5 * (out + out.t());
}

}  // namespace v0
}  // namespace chest
