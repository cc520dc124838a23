#include <chest/observation.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <chest/conjugate_gradients.hpp>
#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
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

void check_lambda(const ObservationOperator& A, double lambda) {
  if (!(lambda >= 0.0)) {
    throw Error(ErrorKind::invalid_argument, "observation (" + A.name() + "): lambda is " +
                                                 number_text(lambda) + ", it must not be negative");
  }
}

/// M = U diag(s) V^H without the singular values that are zero to rounding.
struct ThinSvd {
  arma::cx_mat U, V;
  arma::vec s;

  explicit ThinSvd(const arma::cx_mat& M) {
    if (!arma::svd_econ(U, s, V, M)) {
      throw Error(ErrorKind::numeric, "observation: the singular value decomposition failed");
    }
    const double least = s.max() * static_cast<double>(std::max(M.n_rows, M.n_cols)) *
                         std::numeric_limits<double>::epsilon();
    const arma::uword rank = arma::accu(s > least);
    U.resize(U.n_rows, rank);
    V.resize(V.n_rows, rank);
    s.resize(rank);
  }
  /// V diag(s / (s^2 + lambda)) U^H.
  arma::cx_mat ridge(double lambda) const {
    const arma::vec gains = s / (arma::square(s) + lambda);
    return V * arma::diagmat(arma::conv_to<arma::cx_vec>::from(gains)) * U.t();
  }
};

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
  void ridge(const arma::cx_mat& y, double lambda, arma::cx_mat& out) const override {
    check_lambda(*this, lambda);
    copy("y", y, out);
    out /= 1.0 + lambda;
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
      : P_(P), P_adjoint_(P.t()), P_inverse_(arma::pinv(P)), svd_(P), n_rx_(n_rx) {
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
  void ridge(const arma::cx_mat& y, double lambda, arma::cx_mat& out) const override {
    check_lambda(*this, lambda);
    check_rows(*this, "y", y.n_rows, n_obs());
    right_multiply(y, svd_.ridge(lambda), out);
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
  ThinSvd svd_;
  arma::uword n_rx_;
  std::optional<double> gram_scale_;
  std::string name_;
};

class DenseObservation final : public ObservationOperator {
 public:
  explicit DenseObservation(const arma::cx_mat& A) : A_(A), svd_(A) {
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
    ridge(y, 0.0, out);
  }
  void ridge(const arma::cx_mat& y, double lambda, arma::cx_mat& out) const override {
    check_lambda(*this, lambda);
    check_rows(*this, "y", y.n_rows, n_obs());
    const arma::vec gains = svd_.s / (arma::square(svd_.s) + lambda);
    arma::cx_mat c = svd_.U.t() * y;
    c.each_col() %= arma::conv_to<arma::cx_vec>::from(gains);
    out = svd_.V * c;
  }
  arma::vec squared_singular_values() const override {
    arma::vec s2 = arma::square(svd_.s);
    s2.resize(std::min(A_.n_rows, A_.n_cols));
    return s2;
  }
  std::optional<double> gram_scale() const override { return gram_scale_; }

 private:
  arma::cx_mat A_;
  ThinSvd svd_;
  std::optional<double> gram_scale_;
};

class MaskObservation final : public ObservationOperator {
 public:
  MaskObservation(arma::uvec kept, arma::uword n_h) : kept_(std::move(kept)), n_h_(n_h) {}
  arma::uword n_h() const override { return n_h_; }
  arma::uword n_obs() const override { return kept_.n_elem; }
  std::string name() const override {
    return "mask " + std::to_string(n_obs()) + " of " + std::to_string(n_h_);
  }
  void apply(const arma::cx_mat& h, arma::cx_mat& out) const override {
    check_rows(*this, "h", h.n_rows, n_h_);
    out = h.rows(kept_);
  }
  void adjoint(const arma::cx_mat& y, arma::cx_mat& out) const override {
    check_rows(*this, "y", y.n_rows, n_obs());
    out.zeros(n_h_, y.n_cols);
    out.rows(kept_) = y;
  }
  void pseudo_inverse(const arma::cx_mat& y, arma::cx_mat& out) const override { adjoint(y, out); }
  void ridge(const arma::cx_mat& y, double lambda, arma::cx_mat& out) const override {
    check_lambda(*this, lambda);
    adjoint(y, out);
    out /= 1.0 + lambda;
  }
  arma::vec squared_singular_values() const override {
    return arma::vec(n_obs(), arma::fill::ones);
  }
  std::optional<double> gram_scale() const override {
    return n_obs() == n_h_ ? std::optional<double>(1.0) : std::nullopt;
  }

 private:
  arma::uvec kept_;
  arma::uword n_h_;
};

class StackedObservation final : public ObservationOperator {
 public:
  explicit StackedObservation(std::vector<std::shared_ptr<const ObservationOperator>> parts)
      : parts_(std::move(parts)) {
    for (const auto& part : parts_) n_h_ += part->n_h();
  }
  arma::uword n_h() const override { return n_h_; }
  arma::uword n_obs() const override { return parts_.front()->n_obs(); }
  std::string name() const override {
    std::string text;
    for (const auto& part : parts_) text += (text.empty() ? "" : " beside ") + part->name();
    return text;
  }
  void apply(const arma::cx_mat& h, arma::cx_mat& out) const override {
    check_rows(*this, "h", h.n_rows, n_h_);
    out.zeros(n_obs(), h.n_cols);
    arma::uword first = 0;
    for (const auto& part : parts_) {
      out += part->apply(arma::cx_mat(h.rows(first, first + part->n_h() - 1)));
      first += part->n_h();
    }
  }
  void adjoint(const arma::cx_mat& y, arma::cx_mat& out) const override {
    check_rows(*this, "y", y.n_rows, n_obs());
    out.set_size(n_h_, y.n_cols);
    arma::uword first = 0;
    for (const auto& part : parts_) {
      out.rows(first, first + part->n_h() - 1) = part->adjoint(y);
      first += part->n_h();
    }
  }
  void pseudo_inverse(const arma::cx_mat& y, arma::cx_mat& out) const override {
    ridge(y, 0.0, out);
  }
  using ObservationOperator::ridge;
  arma::vec squared_singular_values() const override {
    const arma::cx_mat rows =
        ObservationOperator::adjoint(arma::cx_mat(n_obs(), n_obs(), arma::fill::eye));
    return arma::square(arma::svd(rows));
  }
  std::optional<double> gram_scale() const override { return {}; }

 private:
  std::vector<std::shared_ptr<const ObservationOperator>> parts_;
  arma::uword n_h_ = 0;
};

class CoupledSlicesObservation final : public ObservationOperator {
 public:
  CoupledSlicesObservation(std::shared_ptr<const ObservationOperator> A, arma::uword n_slices,
                           double coupling)
      : A_(std::move(A)), n_slices_(n_slices), coupling_(coupling) {
    // B^H B of the differences: the modes along the slices in which the coupling is a number.
    arma::mat B(n_slices - 1, n_slices, arma::fill::zeros);
    for (arma::uword l = 0; l + 1 < n_slices; ++l) {
      B(l, l) = -1.0;
      B(l, l + 1) = 1.0;
    }
    if (!arma::eig_sym(stiffness_, modes_, arma::mat(B.t() * B))) {
      throw Error(ErrorKind::numeric, "observation: the modes along the slices were not found");
    }
  }
  arma::uword n_h() const override { return n_slices_ * A_->n_h(); }
  arma::uword n_obs() const override {
    return n_slices_ * A_->n_obs() + (n_slices_ - 1) * A_->n_h();
  }
  std::string name() const override {
    return std::to_string(n_slices_) + " coupled slices of " + A_->name();
  }
  void apply(const arma::cx_mat& h, arma::cx_mat& out) const override {
    check_rows(*this, "h", h.n_rows, n_h());
    out.set_size(n_obs(), h.n_cols);
    const arma::uword n = A_->n_h(), m = A_->n_obs();
    for (arma::uword k = 0; k < h.n_cols; ++k) {
      const arma::cx_mat slices = arma::reshape(h.col(k), n, n_slices_);
      out.col(k).head(n_slices_ * m) = arma::vectorise(A_->apply(slices));
      if (n_slices_ > 1) {
        out.col(k).tail((n_slices_ - 1) * n) =
            coupling_ * arma::vectorise(arma::diff(slices, 1, 1));
      }
    }
  }
  void adjoint(const arma::cx_mat& y, arma::cx_mat& out) const override {
    check_rows(*this, "y", y.n_rows, n_obs());
    out.set_size(n_h(), y.n_cols);
    const arma::uword n = A_->n_h(), m = A_->n_obs();
    for (arma::uword k = 0; k < y.n_cols; ++k) {
      arma::cx_mat g = A_->adjoint(arma::reshape(y.col(k).head(n_slices_ * m), m, n_slices_));
      if (n_slices_ > 1) {
        const arma::cx_mat d = arma::reshape(y.col(k).tail((n_slices_ - 1) * n), n, n_slices_ - 1);
        g.tail_cols(n_slices_ - 1) += coupling_ * d;
        g.head_cols(n_slices_ - 1) -= coupling_ * d;
      }
      out.col(k) = arma::vectorise(g);
    }
  }
  void pseudo_inverse(const arma::cx_mat& y, arma::cx_mat& out) const override {
    ObservationOperator::ridge(y, 0.0, out);
  }
  void ridge(const arma::cx_mat& y, double lambda, arma::cx_mat& out) const override {
    check_lambda(*this, lambda);
    if (lambda == 0.0) return ObservationOperator::ridge(y, lambda, out);
    // (A^H A + kappa I)^-1 g = (g - ridge(A g, kappa)) / kappa in every mode.
    adjoint(y, out);
    for (arma::uword k = 0; k < out.n_cols; ++k) {
      arma::cx_mat g = arma::reshape(out.col(k), A_->n_h(), n_slices_) * modes_;
      for (arma::uword l = 0; l < n_slices_; ++l) {
        const double kappa = lambda + coupling_ * coupling_ * std::max(stiffness_(l), 0.0);
        const arma::cx_mat mode = g.col(l);
        g.col(l) -= A_->ridge(A_->apply(mode), kappa);
        g.col(l) /= kappa;
      }
      out.col(k) = arma::vectorise(g * modes_.t());
    }
  }
  arma::vec squared_singular_values() const override {
    const arma::cx_mat columns =
        ObservationOperator::apply(arma::cx_mat(n_h(), n_h(), arma::fill::eye));
    return arma::square(arma::svd(columns));
  }
  std::optional<double> gram_scale() const override { return {}; }

 private:
  std::shared_ptr<const ObservationOperator> A_;
  arma::uword n_slices_;
  double coupling_;
  arma::vec stiffness_;
  arma::mat modes_;
};

}  // namespace

void ObservationOperator::ridge(const arma::cx_mat& y, double lambda, arma::cx_mat& out) const {
  check_lambda(*this, lambda);
  check_rows(*this, "y", y.n_rows, n_obs());
  arma::cx_mat w, g;
  out.reset();
  conjugate_gradients(
      [&](const arma::cx_mat& x) {
        apply(x, w);
        adjoint(w, g);
        return arma::cx_mat(g + lambda * x);
      },
      adjoint(y), out, 10 * n_h(), 1e-12);
}

arma::cx_mat ObservationOperator::ridge(const arma::cx_mat& y, double lambda) const {
  arma::cx_mat out;
  ridge(y, lambda, out);
  return out;
}

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

std::unique_ptr<ObservationOperator> make_mask_observation(const arma::uvec& kept,
                                                           arma::uword n_h) {
  if (kept.is_empty()) {
    throw Error(ErrorKind::invalid_argument, "observation: the mask keeps no entry");
  }
  if (kept.max() >= n_h) {
    throw Error(ErrorKind::invalid_argument, "observation: the mask keeps entry " +
                                                 std::to_string(kept.max()) + " of " +
                                                 std::to_string(n_h));
  }
  if (arma::unique(kept).eval().n_elem != kept.n_elem) {
    throw Error(ErrorKind::invalid_argument, "observation: the mask keeps an entry twice");
  }
  return std::make_unique<MaskObservation>(kept, n_h);
}

std::unique_ptr<ObservationOperator> make_stacked_observation(
    std::vector<std::shared_ptr<const ObservationOperator>> parts) {
  if (parts.empty()) {
    throw Error(ErrorKind::invalid_argument, "observation: there are no parts to stack");
  }
  for (const auto& part : parts) {
    if (!part) throw Error(ErrorKind::invalid_argument, "observation: a part is not given");
    if (part->n_obs() != parts.front()->n_obs()) {
      throw Error(ErrorKind::invalid_argument,
                  "observation: parts of " + std::to_string(parts.front()->n_obs()) + " and " +
                      std::to_string(part->n_obs()) + " rows cannot be received together");
    }
  }
  return std::make_unique<StackedObservation>(std::move(parts));
}

std::unique_ptr<ObservationOperator> make_coupled_slices_observation(
    std::shared_ptr<const ObservationOperator> A, arma::uword n_slices, double coupling) {
  if (!A) throw Error(ErrorKind::invalid_argument, "observation: A is not given");
  if (n_slices == 0) {
    throw Error(ErrorKind::invalid_argument, "observation: n_slices is 0, expected at least 1");
  }
  if (!(coupling >= 0.0) || !std::isfinite(coupling)) {
    throw Error(ErrorKind::invalid_argument, "observation: the coupling is " +
                                                 number_text(coupling) +
                                                 ", it must be finite and not negative");
  }
  return std::make_unique<CoupledSlicesObservation>(std::move(A), n_slices, coupling);
}

}  // namespace v0
}  // namespace chest
