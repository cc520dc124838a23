#include <chest/estimators/linear/genie.hpp>

#include <cmath>
#include <utility>

#include <chest/covariance.hpp>
#include <chest/error.hpp>

#include <chest/estimators/common/contract.hpp>

namespace chest {
inline namespace v0 {
namespace {

// A Hermitian Toeplitz C is centro-Hermitian, so Q^H C Q is real symmetric for the fixed unitary
//   Q = [I 0 jI; 0 sqrt(2) 0; J 0 -jJ] / sqrt(2)   (J reverses; the middle only for odd n),
// and its eigendecomposition costs about a quarter of the complex one.  Source: [Lee1980]

/// Q^H C Q for C = toeplitz(t), [n, n].
arma::mat real_toeplitz(const arma::cx_vec& t) {
  const arma::uword n = t.n_elem, m = n / 2, low = n - m;
  arma::mat R(n, n);
  for (arma::uword j = 0; j < m; ++j) {
    for (arma::uword i = 0; i < m; ++i) {
      const arma::cx_double a = i >= j ? t(i - j) : std::conj(t(j - i));
      const arma::cx_double k = t(n - 1 - i - j);
      R(i, j) = a.real() + k.real();
      R(low + i, low + j) = a.real() - k.real();
      R(low + i, j) = a.imag() - k.imag();
      R(j, low + i) = R(low + i, j);
    }
  }
  if (n % 2 == 1) {
    R(m, m) = t(0).real();
    for (arma::uword i = 0; i < m; ++i) {
      const arma::cx_double a = std::sqrt(2.0) * std::conj(t(m - i));
      R(i, m) = R(m, i) = a.real();
      R(low + i, m) = R(m, low + i) = a.imag();
    }
  }
  return R;
}

/// Q^H X as [Re, Im], [n, 2 p].
void to_real_basis(const arma::cx_mat& X, arma::mat& out) {
  const arma::uword n = X.n_rows, p = X.n_cols, m = n / 2, low = n - m;
  const double scale = std::sqrt(0.5);
  out.set_size(n, 2 * p);
  for (arma::uword j = 0; j < p; ++j) {
    const arma::cx_double* x = X.colptr(j);
    double* re = out.colptr(j);
    double* im = out.colptr(p + j);
    for (arma::uword i = 0; i < m; ++i) {
      const arma::cx_double sum = scale * (x[i] + x[n - 1 - i]);
      const arma::cx_double difference = scale * (x[i] - x[n - 1 - i]);
      re[i] = sum.real();
      im[i] = sum.imag();
      re[low + i] = difference.imag();  // -j times the difference
      im[low + i] = -difference.real();
    }
    if (n % 2 == 1) {
      re[m] = x[m].real();
      im[m] = x[m].imag();
    }
  }
}

/// Q W for W given as [Re, Im].
void from_real_basis(const arma::mat& W, arma::cx_mat& out) {
  const arma::uword n = W.n_rows, p = W.n_cols / 2, m = n / 2, low = n - m;
  const double scale = std::sqrt(0.5);
  out.set_size(n, p);
  for (arma::uword j = 0; j < p; ++j) {
    const double* re = W.colptr(j);
    const double* im = W.colptr(p + j);
    arma::cx_double* x = out.colptr(j);
    for (arma::uword i = 0; i < m; ++i) {
      const arma::cx_double u(re[i], im[i]);
      const arma::cx_double jv(-im[low + i], re[low + i]);
      x[i] = scale * (u + jv);
      x[n - 1 - i] = scale * (u - jv);
    }
    if (n % 2 == 1) x[m] = arma::cx_double(re[m], im[m]);
  }
}

class Genie final : public Estimator {
 public:
  explicit Genie(std::shared_ptr<const ObservationOperator> A)
      : A_(std::move(A)), P_(*A_->pilots()), P_conj_(arma::conj(P_)) {}

  std::string name() const override { return "genie"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const ToeplitzKroneckerCovariances& known = observation.genie;
    const arma::uword n_tx = P_.n_rows, n_pilots = P_.n_cols, n_rx = A_->n_h() / n_tx;
    const arma::uword n_samples = observation.y.n_cols;
    if (known.empty() && n_samples > 0) {
      throw Error(ErrorKind::invalid_argument,
                  "genie: the channels come without the covariances that they were drawn with; "
                  "generate them with covariances (chest generate scm) or leave genie out");
    }
    if (known.t_rx.n_cols != n_samples || known.t_tx.n_cols != n_samples ||
        known.t_rx.n_rows != n_rx || known.t_tx.n_rows != n_tx) {
      throw Error(ErrorKind::invalid_argument,
                  "genie: the covariances are [" + std::to_string(known.t_rx.n_rows) + ", " +
                      std::to_string(known.t_rx.n_cols) + "] and [" +
                      std::to_string(known.t_tx.n_rows) + ", " + std::to_string(known.t_tx.n_cols) +
                      "], expected [" + std::to_string(n_rx) + ", " + std::to_string(n_samples) +
                      "] and [" + std::to_string(n_tx) + ", " + std::to_string(n_samples) + "]");
    }
    out.h.set_size(A_->n_h(), n_samples);

    arma::vec l, m;
    arma::mat E, W, EW;
    arma::cx_mat V, X, Z;
    for (arma::uword k = 0; k < n_samples; ++k) {
      // Qualified: Armadillo has a toeplitz of its own, symmetric, that fits a column better.
      const arma::cx_mat C_tx = chest::toeplitz(known.t_tx.col(k));
      const arma::cx_mat CP = C_tx * P_conj_;
      const arma::cx_mat T = P_.st() * CP;
      hermitian_eigen(T, m, V);
      if (!arma::eig_sym(l, E, real_toeplitz(known.t_rx.col(k)))) {
        throw Error(ErrorKind::numeric,
                    "genie: the eigendecomposition of the covariance of column " +
                        std::to_string(k) + " failed");
      }
      // Eigenvalues below zero are rounding: the SCM's covariances are nearly singular.
      l.transform([](double value) { return value > 0.0 ? value : 0.0; });
      m.transform([](double value) { return value > 0.0 ? value : 0.0; });
      const arma::cx_mat R = CP * V;

      const arma::cx_mat Y(const_cast<arma::cx_double*>(observation.y.colptr(k)), n_rx, n_pilots,
                           false, true);
      X = Y * arma::conj(V);
      to_real_basis(X, W);
      EW = E.t() * W;
      double explained = 0.0;
      for (arma::uword j = 0; j < n_pilots; ++j) {
        const double q = arma::accu(arma::square(arma::abs(R.col(j))));
        for (arma::uword i = 0; i < n_rx; ++i) {
          const double gain = l(i) / (l(i) * m(j) + observation.sigma2);
          EW(i, j) *= gain;
          EW(i, n_pilots + j) *= gain;
          explained += l(i) * gain * q;
        }
      }
      W = E * EW;
      from_real_basis(W, Z);
      arma::cx_mat H(out.h.colptr(k), n_rx, n_tx, false, true);
      H = Z * R.st();
      const double power =
          static_cast<double>(A_->n_h()) * known.t_rx(0, k).real() * known.t_tx(0, k).real();
      out.mse(k) = power - explained;
    }
  }

  std::shared_ptr<const ObservationOperator> A_;
  arma::cx_mat P_, P_conj_;  ///< [n_tx, n_pilots]
};

}  // namespace

std::unique_ptr<Estimator> make_genie(std::shared_ptr<const ObservationOperator> A) {
  check_given("genie", A.get());
  if (A->pilots() == nullptr) {
    throw Error(ErrorKind::invalid_argument,
                "genie: A (" + A->name() + ") is not made of pilots, A = P^T kron I is expected");
  }
  return std::make_unique<Genie>(std::move(A));
}

}  // namespace v0
}  // namespace chest
