#include "structured_lmmse.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

#include <chest/estimators/common/level_cache.hpp>

namespace chest {
inline namespace v0 {
namespace {

[[noreturn]] void refuse_indefinite(double sigma2) {
  throw Error(ErrorKind::numeric,
              "lmmse: A C A^H + sigma2 I is not positive definite at sigma2 = " +
                  number_text(sigma2) + ": the covariance is not one, or far below it");
}

const arma::cx_mat column_as_matrix(const arma::cx_mat& x, arma::uword k, arma::uword n_rows) {
  return arma::cx_mat(const_cast<arma::cx_double*>(x.colptr(k)), n_rows, x.n_rows / n_rows, false,
                      true);
}

/// C_tx kron C_rx: S = (V kron U)(diag(m) kron diag(l) + sigma2 I)(V kron U)^H with C_rx = U diag(l) U^H and
/// P^T C_tx P^* = V diag(m) V^H.
class KroneckerLmmse final : public Estimator {
 public:
  KroneckerLmmse(std::shared_ptr<const ObservationOperator> A, const ChannelCovariance& C)
      : A_(std::move(A)), n_rx_(C.n_rx()), trace_(C.trace()) {
    const arma::cx_mat& P = *A_->pilots();
    const arma::cx_mat CP = C.C_tx() * arma::conj(P);
    arma::cx_mat V;
    hermitian_eigen(C.C_rx(), l_, U_);
    hermitian_eigen(P.st() * CP, m_, V);
    l_ = arma::clamp(l_, 0.0, arma::datum::inf);
    m_ = arma::clamp(m_, 0.0, arma::datum::inf);
    V_conj_ = arma::conj(V);
    const arma::cx_mat R = CP * V;
    power_ = arma::sum(arma::square(arma::abs(R)), 0).t();
    R_transposed_ = R.st();
  }

  std::string name() const override { return "lmmse"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    arma::mat gains = l_ * m_.t() + observation.sigma2;
    for (arma::uword j = 0; j < gains.n_cols; ++j) gains.col(j) = l_ / gains.col(j);
    const arma::cx_mat complex_gains(gains, arma::mat(arma::size(gains), arma::fill::zeros));
    for (arma::uword k = 0; k < observation.y.n_cols; ++k) {
      arma::cx_mat X = U_.t() * (column_as_matrix(observation.y, k, n_rx_) * V_conj_);
      X %= complex_gains;
      arma::cx_mat H(out.h.colptr(k), n_rx_, R_transposed_.n_cols, false, true);
      H = U_ * (X * R_transposed_);
    }
    out.mse.fill(trace_ - arma::dot(l_, gains * power_));
  }

  std::shared_ptr<const ObservationOperator> A_;
  arma::uword n_rx_;
  double trace_;
  arma::vec l_, m_, power_;
  arma::cx_mat U_, V_conj_, R_transposed_;
};

/// What LMMSE works on: y, or A^+ y = h + noise where A^H A = c I.
class View {
 public:
  explicit View(std::shared_ptr<const ObservationOperator> A)
      : A_(std::move(A)), gram_scale_(A_->gram_scale()) {}

  const ObservationOperator& A() const { return *A_; }
  bool is_whole() const { return gram_scale_.has_value(); }
  double noise(double sigma2) const { return gram_scale_ ? sigma2 / *gram_scale_ : sigma2; }
  arma::cx_mat of(const arma::cx_mat& y) const { return is_whole() ? A_->pseudo_inverse(y) : y; }
  arma::cx_mat apply(const arma::cx_mat& h) const { return is_whole() ? h : A_->apply(h); }
  arma::cx_mat adjoint(const arma::cx_mat& y) const { return is_whole() ? y : A_->adjoint(y); }

 private:
  std::shared_ptr<const ObservationOperator> A_;
  std::optional<double> gram_scale_;
};

/// C = F^H diag(c) F and pilots: S is diagonal over angles where A^H A = c I, and else made of a block
/// of size n_pilots for every receive angle i, S_i = B diag(c_i) B^H + sigma2 I, B = P^T F_tx^H.
class CirculantFilter {
 public:
  /// @param c  powers of the angles, [n_rx, n_tx]
  CirculantFilter(const View& view, const arma::mat& c, double sigma2)
      : n_rx_(c.n_rows), n_tx_(c.n_cols) {
    const double noise = view.noise(sigma2);
    if (view.is_whole()) {
      if (!(c.min() + noise > 0.0)) refuse_indefinite(sigma2);
      const arma::mat gains = c / (c + noise), weights = 1.0 / (c + noise);
      mse_ = noise * arma::accu(gains);
      gains_ = complex_of(gains.t());
      weights_ = complex_of(weights.t());
      return;
    }
    const arma::cx_mat F_tx = dft_matrix(n_tx_);
    const arma::cx_mat B = view.A().pilots()->st() * F_tx.t();
    filters_.set_size(n_tx_, B.n_rows, n_rx_);
    inverses_.set_size(B.n_rows, B.n_rows, n_rx_);
    mse_ = arma::accu(c);
    for (arma::uword i = 0; i < n_rx_; ++i) {
      arma::cx_mat Bc = B;
      Bc.each_row() %= complex_of(c.row(i));
      arma::cx_mat S = Bc * B.t();
      S.diag() += sigma2;
      arma::cx_mat inverse;
      if (!arma::inv_sympd(inverse, arma::cx_mat(0.5 * (S + S.t())))) refuse_indefinite(sigma2);
      const arma::cx_mat W = Bc.t() * inverse;
      mse_ -= arma::accu(arma::real(W % Bc.st()));
      filters_.slice(i) = F_tx.t() * W;
      inverses_.slice(i) = std::move(inverse);
    }
  }

  /// H of what the view shows of one channel.
  arma::cx_mat estimate(const arma::cx_mat& Y) const { return run(Y, gains_, filters_); }
  /// S^-1 y.
  arma::cx_mat solve(const arma::cx_mat& Y) const { return run(Y, weights_, inverses_); }
  double mse() const { return mse_; }

 private:
  static arma::cx_mat complex_of(const arma::mat& X) {
    return arma::cx_mat(X, arma::mat(arma::size(X), arma::fill::zeros));
  }
  arma::cx_mat run(const arma::cx_mat& Y, const arma::cx_mat& diagonal,
                   const arma::cx_cube& blocks) const {
    if (blocks.is_empty()) {
      arma::cx_mat Z = transposed_fft2(Y, n_rx_, n_tx_);
      Z %= diagonal;
      return inverse_of_transposed_fft2(Z, n_rx_, n_tx_);
    }
    const arma::cx_mat rows = fft_of_columns(Y, n_rx_).st();
    arma::cx_mat out(blocks.n_rows, n_rx_, arma::fill::none);
    for (arma::uword i = 0; i < n_rx_; ++i) out.col(i) = blocks.slice(i) * rows.col(i);
    return ifft_of_columns(out.st());
  }

  arma::uword n_rx_, n_tx_;
  double mse_ = 0.0;
  arma::cx_mat gains_, weights_;      ///< transposed; where A^H A = c I
  arma::cx_cube filters_, inverses_;  ///< else, one slice per receive angle
};

class CirculantLmmse final : public Estimator {
 public:
  CirculantLmmse(std::shared_ptr<const ObservationOperator> A, arma::mat c)
      : view_(std::move(A)), c_(std::move(c)) {}

  std::string name() const override { return "lmmse"; }
  const ObservationOperator& A() const override { return view_.A(); }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const auto filter = filters_.at(observation.sigma2,
                                    [&] { return CirculantFilter(view_, c_, observation.sigma2); });
    const arma::cx_mat y = view_.of(observation.y);
    for (arma::uword k = 0; k < y.n_cols; ++k) {
      arma::cx_mat H(out.h.colptr(k), c_.n_rows, c_.n_cols, false, true);
      H = filter->estimate(column_as_matrix(y, k, c_.n_rows));
    }
    out.mse.fill(filter->mse());
  }

  View view_;
  arma::mat c_;
  LevelCache<CirculantFilter> filters_{4};
};

class IterativeLmmse final : public Estimator {
 public:
  IterativeLmmse(std::shared_ptr<const ObservationOperator> A, ChannelCovariance C,
                 double tolerance)
      : view_(std::move(A)), C_(std::move(C)), tolerance_(tolerance) {
    if (view_.A().pilots() && C_.n_rx() > 0) {
      // Of a covariance of few samples some may lie below zero.
      near_powers_ = arma::clamp(C_.angular_powers(), 0.0, arma::datum::inf);
    }
  }

  std::string name() const override { return "lmmse"; }
  const ObservationOperator& A() const override { return view_.A(); }
  bool predicts_mse(double) const override { return true; }

 private:
  struct Level {
    double sigma2 = 0.0, noise = 0.0;
    std::optional<CirculantFilter> near;  ///< LMMSE of the block-circulant part
    double mse = 0.0;
  };

  void do_estimate(const Observation& observation, Estimate& out) const override {
    const auto level =
        levels_.at(observation.sigma2, [&] { return make_level(observation.sigma2); });
    const arma::cx_mat y = view_.of(observation.y);
    for (arma::uword k = 0; k < y.n_cols; ++k) {
      out.h.col(k) = C_.times(view_.adjoint(solve(*level, y.col(k), tolerance_)));
    }
    out.mse.fill(level->mse);
  }

  Level make_level(double sigma2) const {
    Level level;
    level.sigma2 = sigma2;
    level.noise = view_.noise(sigma2);
    if (!near_powers_.is_empty()) level.near.emplace(view_, near_powers_, sigma2);
    level.mse = probed_mse(level);
    return level;
  }

  /// tr E with E = C - C A^H S^-1 A C: along the directions that E draws a few random vectors to, and
  /// from vectors of angles with entries on the unit circle in the rest, which is exact in the mean and
  /// without error where E is diagonal there. As many as it takes for a standard error of 1 %, 8 to
  /// 64.  Source: [Meyer2021]
  double probed_mse(const Level& level) const {
    constexpr arma::uword n_directions = 8, fewest = 8, most = 64;
    constexpr double enough = 0.01;
    Rng rng(1, {Purpose::validation, 3001});
    const auto directions = [&](arma::uword n) -> arma::cx_mat {
      arma::cx_mat z = rng.cx_normal(C_.n_h(), n);
      z /= arma::cx_mat(arma::abs(z), arma::mat(arma::size(z), arma::fill::zeros));
      if (C_.n_rx() > 0) AngularTransform(C_.n_rx(), C_.n_tx()).inverse(z, z);
      return z;
    };
    arma::cx_mat Q, R;
    if (!arma::qr_econ(Q, R, errors_along(level, directions(std::min(n_directions, C_.n_h()))))) {
      throw Error(ErrorKind::numeric, "lmmse: the directions of the error were not found");
    }
    const double along = std::real(arma::trace(Q.t() * errors_along(level, Q)));
    arma::running_stat<double> rest;
    for (arma::uword i = 0; i < most; ++i) {
      arma::cx_mat z = directions(1);
      z -= Q * (Q.t() * z);
      rest(std::real(arma::cdot(z, errors_along(level, z))));
      const double deviation = rest.stddev() / std::sqrt(static_cast<double>(i + 1));
      if (i + 1 >= fewest && deviation <= enough * (along + rest.mean())) break;
    }
    return along + rest.mean();
  }

  /// E z.
  arma::cx_mat errors_along(const Level& level, const arma::cx_mat& z) const {
    const arma::cx_mat Cz = C_.times(z), b = view_.apply(Cz);
    arma::cx_mat x(arma::size(b), arma::fill::none);
    for (arma::uword k = 0; k < b.n_cols; ++k) {
      x.col(k) = solve(level, b.col(k), std::max(tolerance_, probe_tolerance));
    }
    return Cz - C_.times(view_.adjoint(x));
  }

  arma::cx_mat precondition(const Level& level, const arma::cx_mat& r) const {
    if (!level.near) return r;
    return arma::vectorise(level.near->solve(column_as_matrix(r, 0, C_.n_rx())));
  }

  /// S^-1 b of one column.  Source: [Chan1996]
  arma::cx_mat solve(const Level& level, const arma::cx_mat& b, double tolerance) const {
    constexpr arma::uword most_steps = 5000;
    arma::cx_mat x(arma::size(b), arma::fill::zeros), r = b, q;
    const double enough = tolerance * arma::norm(b);
    double product = 0.0;
    for (arma::uword i = 0; i < most_steps && arma::norm(r) > enough; ++i) {
      const arma::cx_mat p = precondition(level, r);
      const double next = std::real(arma::cdot(r, p));
      q = i == 0 ? p : arma::cx_mat(p + (next / product) * q);
      product = next;
      const arma::cx_mat Sq = view_.apply(C_.times(view_.adjoint(q))) + level.noise * q;
      const double curvature = std::real(arma::cdot(q, Sq));
      if (!(curvature > 0.0) || !(product > 0.0)) refuse_indefinite(level.sigma2);
      x += (product / curvature) * q;
      r -= (product / curvature) * Sq;
    }
    if (!(arma::norm(r) <= enough)) {
      throw Error(ErrorKind::numeric,
                  "lmmse: " + std::to_string(most_steps) + " steps of conjugate gradients reach " +
                      number_text(arma::norm(r) / arma::norm(b)) + " at sigma2 = " +
                      number_text(level.sigma2) + ", tolerance is " + number_text(tolerance));
    }
    return x;
  }

  /// Less is lost in the noise of the probes.
  static constexpr double probe_tolerance = 1e-7;

  View view_;
  ChannelCovariance C_;
  double tolerance_;
  arma::mat near_powers_;  ///< empty where A is not made of pilots
  LevelCache<Level> levels_{4};
};

}  // namespace

std::unique_ptr<Estimator> make_closed_form_lmmse(std::shared_ptr<const ObservationOperator> A,
                                                  const ChannelCovariance& C) {
  if (C.kind() == CovarianceKind::kronecker) {
    return std::make_unique<KroneckerLmmse>(std::move(A), C);
  }
  return std::make_unique<CirculantLmmse>(std::move(A), C.powers());
}

std::unique_ptr<Estimator> make_iterative_lmmse(std::shared_ptr<const ObservationOperator> A,
                                                ChannelCovariance C, double tolerance) {
  return std::make_unique<IterativeLmmse>(std::move(A), std::move(C), tolerance);
}

}  // namespace v0
}  // namespace chest
