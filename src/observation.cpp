#include <chest/observation.hpp>

#include <cmath>

#include <chest/error.hpp>

namespace chest {
namespace {

void check_rows(const ObservationOperator& A, const char* what, arma::uword found,
                arma::uword expected) {
  if (found != expected) {
    throw Error(ErrorKind::invalid_argument, "observation (" + A.name() + "): " + what + " has " +
                                                 std::to_string(found) + " rows, expected " +
                                                 std::to_string(expected));
  }
}

void check_matrix(const char* what, const arma::cx_mat& M) {
  const std::string size = std::to_string(M.n_rows) + "x" + std::to_string(M.n_cols);
  if (M.is_empty()) {
    throw Error(ErrorKind::invalid_argument, std::string(what) + " are empty (" + size + ")");
  }
  if (!M.is_finite()) {
    throw Error(ErrorKind::invalid_argument, std::string(what) + " (" + size + ") are not finite");
  }
  if (!(arma::norm(M, "fro") > 0.0)) {
    throw Error(ErrorKind::invalid_argument, std::string(what) + " (" + size + ") are all zero");
  }
}

// c with G = c I to rounding, for a Gram matrix G.
std::optional<double> scale_of_identity(const arma::cx_mat& G) {
  const double c = arma::trace(G).real() / static_cast<double>(G.n_rows);
  const arma::cx_mat rest = G - c * arma::cx_mat(G.n_rows, G.n_cols, arma::fill::eye);
  if (c > 0.0 && arma::abs(rest).max() <= 1e-10 * c) return c;
  return {};
}

class IdentityObservation final : public ObservationOperator {
 public:
  IdentityObservation(arma::uword n_rx, arma::uword n_tx)
      : n_h_(n_rx * n_tx), P_(n_tx, n_tx, arma::fill::eye) {
    name_ = "identity " + std::to_string(n_rx) + "x" + std::to_string(n_tx);
  }
  arma::uword n_h() const override { return n_h_; }
  arma::uword n_obs() const override { return n_h_; }
  std::string name() const override { return name_; }
  void apply(const arma::cx_mat& h, arma::cx_mat& out) const override { copy("h", h, out); }
  void adjoint(const arma::cx_mat& y, arma::cx_mat& out) const override { copy("y", y, out); }
  void pseudo_inverse(const arma::cx_mat& y, arma::cx_mat& out) const override {
    copy("y", y, out);
  }
  arma::vec squared_singular_values() const override { return arma::vec(n_h_, arma::fill::ones); }
  std::optional<double> gram_scale() const override { return 1.0; }
  const arma::cx_mat* pilots() const override { return &P_; }

 private:
  void copy(const char* what, const arma::cx_mat& in, arma::cx_mat& out) const {
    check_rows(*this, what, in.n_rows, n_h_);
    out = in;
  }

  arma::uword n_h_;
  arma::cx_mat P_;
  std::string name_;
};

class KroneckerObservation final : public ObservationOperator {
 public:
  KroneckerObservation(const arma::cx_mat& P, arma::uword n_rx)
      : P_(P), P_adjoint_(P.t()), P_inverse_(arma::pinv(P)), n_rx_(n_rx) {
    name_ = "pilots " + std::to_string(P.n_rows) + "x" + std::to_string(P.n_cols) + " for " +
            std::to_string(n_rx) + " receive antennas";
    if (P.n_cols >= P.n_rows) gram_scale_ = scale_of_identity(P * P.t());
  }
  arma::uword n_h() const override { return n_rx_ * P_.n_rows; }
  arma::uword n_obs() const override { return n_rx_ * P_.n_cols; }
  std::string name() const override { return name_; }
  void apply(const arma::cx_mat& h, arma::cx_mat& out) const override {
    check_rows(*this, "h", h.n_rows, n_h());
    right_multiply(h, P_, out);
  }
  void adjoint(const arma::cx_mat& y, arma::cx_mat& out) const override {
    check_rows(*this, "y", y.n_rows, n_obs());
    right_multiply(y, P_adjoint_, out);
  }
  void pseudo_inverse(const arma::cx_mat& y, arma::cx_mat& out) const override {
    check_rows(*this, "y", y.n_rows, n_obs());
    right_multiply(y, P_inverse_, out);
  }
  arma::vec squared_singular_values() const override {
    return arma::repelem(arma::square(arma::svd(P_)), n_rx_, 1);
  }
  std::optional<double> gram_scale() const override { return gram_scale_; }
  const arma::cx_mat* pilots() const override { return &P_; }

 private:
  // out_k = vec(X_k M) for every column k, X_k [n_rx, M.n_rows].
  void right_multiply(const arma::cx_mat& in, const arma::cx_mat& M, arma::cx_mat& out) const {
    out.set_size(n_rx_ * M.n_cols, in.n_cols);
    for (arma::uword k = 0; k < in.n_cols; ++k) {
      const arma::cx_mat X(const_cast<arma::cx_double*>(in.colptr(k)), n_rx_, M.n_rows, false,
                           true);
      arma::cx_mat Y(out.colptr(k), n_rx_, M.n_cols, false, true);
      Y = X * M;
    }
  }

  arma::cx_mat P_, P_adjoint_, P_inverse_;
  arma::uword n_rx_;
  std::optional<double> gram_scale_;
  std::string name_;
};

class DenseObservation final : public ObservationOperator {
 public:
  explicit DenseObservation(const arma::cx_mat& A) : A_(A), A_inverse_(arma::pinv(A)) {
    if (A.n_rows >= A.n_cols) gram_scale_ = scale_of_identity(A.t() * A);
  }
  arma::uword n_h() const override { return A_.n_cols; }
  arma::uword n_obs() const override { return A_.n_rows; }
  std::string name() const override {
    return "dense " + std::to_string(A_.n_rows) + "x" + std::to_string(A_.n_cols);
  }
  void apply(const arma::cx_mat& h, arma::cx_mat& out) const override {
    check_rows(*this, "h", h.n_rows, n_h());
    out = A_ * h;
  }
  void adjoint(const arma::cx_mat& y, arma::cx_mat& out) const override {
    check_rows(*this, "y", y.n_rows, n_obs());
    out = A_.t() * y;
  }
  void pseudo_inverse(const arma::cx_mat& y, arma::cx_mat& out) const override {
    check_rows(*this, "y", y.n_rows, n_obs());
    out = A_inverse_ * y;
  }
  arma::vec squared_singular_values() const override { return arma::square(arma::svd(A_)); }
  std::optional<double> gram_scale() const override { return gram_scale_; }

 private:
  arma::cx_mat A_, A_inverse_;
  std::optional<double> gram_scale_;
};

}  // namespace

arma::cx_mat ObservationOperator::apply(const arma::cx_mat& h) const {
  arma::cx_mat out;
  apply(h, out);
  return out;
}

arma::cx_mat ObservationOperator::adjoint(const arma::cx_mat& y) const {
  arma::cx_mat out;
  adjoint(y, out);
  return out;
}

arma::cx_mat ObservationOperator::pseudo_inverse(const arma::cx_mat& y) const {
  arma::cx_mat out;
  pseudo_inverse(y, out);
  return out;
}

std::unique_ptr<ObservationOperator> make_identity_observation(arma::uword n_rx, arma::uword n_tx) {
  if (n_rx == 0 || n_tx == 0) {
    throw Error(ErrorKind::invalid_argument, "observation: the array sizes are " +
                                                 std::to_string(n_rx) + "x" + std::to_string(n_tx) +
                                                 ", expected at least 1x1");
  }
  return std::make_unique<IdentityObservation>(n_rx, n_tx);
}

std::unique_ptr<ObservationOperator> make_kronecker_observation(const arma::cx_mat& P,
                                                                arma::uword n_rx) {
  check_matrix("the pilots", P);
  if (n_rx == 0) {
    throw Error(ErrorKind::invalid_argument, "observation: n_rx is 0, expected at least 1");
  }
  return std::make_unique<KroneckerObservation>(P, n_rx);
}

std::unique_ptr<ObservationOperator> make_dense_observation(const arma::cx_mat& A) {
  check_matrix("the observation matrix's entries", A);
  return std::make_unique<DenseObservation>(A);
}

}  // namespace chest
