#include <chest/estimators/sparse/sbl.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>

#include <chest/estimators/common/contract.hpp>

#include "toeplitz.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// Variances below this part of the largest are taken as zero: they do not change an estimate.
constexpr double negligible = 1e-12;

class Sbl final : public Estimator {
 public:
  Sbl(std::shared_ptr<const ObservationOperator> A, arma::uword n_rx, arma::uword n_tx,
      const SblOptions& options)
      : A_(std::move(A)),
        options_(options),
        n_tx_(n_tx),
        n_angles_tx_(options.oversampling * n_tx),
        U_(steering_vectors(n_rx, 1)),
        K_(arma::square(
            arma::abs(U_.t() * panel_steering_vectors(options.rx_panel, n_rx, options.oversampling,
                                                      options.is_mixed)))) {
    if (A_->gram_scale()) {
      gain_ = *A_->gram_scale();
      return;  // products with atoms are transforms
    }
    G_tx_ = steering_vectors(n_tx, options.oversampling);
    if (A_->pilots()) {
      D_ = G_tx_;
      B_ = A_->pilots()->st() * G_tx_;
    } else {
      // Angles of transmission run first, as in the variances.
      D_.set_size(A_->n_h(), G_tx_.n_cols * n_rx);
      for (arma::uword i = 0; i < n_rx; ++i) {
        D_.cols(i * G_tx_.n_cols, (i + 1) * G_tx_.n_cols - 1) = arma::kron(G_tx_, U_.col(i));
      }
      B_ = A_->apply(D_);
    }
  }

  std::string name() const override { return "sbl"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    out.h.set_size(A_->n_h(), observation.y.n_cols);
    Work work;
    for (arma::uword k = 0; k < observation.y.n_cols; ++k) {
      arma::cx_mat H(out.h.colptr(k), U_.n_rows, n_tx_, false, true);
      const double sigma2 = observation.sigma2 / (is_decorrelated() ? gain_ : 1.0);
      out.mse(k) = infer(observation.y.unsafe_col(k), sigma2, work, H);
    }
  }

  /// Independent problems x = B w + n, one per column of X. For pilots a problem is a row of U^H Y
  /// with the transmit angles as atoms; for a dense A there is one, with all pairs of angles. Where A
  /// decorrelates, x is a row of U^H A^+ Y, and its covariance is Toeplitz.
  struct Work {
    arma::cx_mat X;
    arma::mat V;            ///< variances of w, [n_angles_tx, n_rx]: [n_atoms, n_problems]
    arma::mat fit, spread;  ///< |b^H S^-1 x|^2 and b^H S^-1 b, like V
    // Of the problem last factored, atoms of positive variance only, S = L L^H:
    arma::uvec active;
    arma::vec v;
    arma::cx_mat B, LB;  ///< L^-1 B
    arma::cx_vec Lx;     ///< L^-1 x
    // Of all problems, where A decorrelates:
    arma::cx_mat lags, solutions, diagonals;
    ToeplitzSolution solved;
  };

  /// A^H A = gain_ I: A^H y / gain_ is h and white noise.
  bool is_decorrelated() const { return gain_ > 0.0; }

  double infer(const arma::cx_vec& y, double sigma2, Work& work, arma::cx_mat& H) const {
    split(y, work.X);
    // Of the transmit angles that still have power, [n_present, n_angles_rx].
    arma::mat v = periodogram(work.X) * K_;
    v.each_row() /= arma::sum(arma::square(K_), 0);
    arma::uvec present = arma::regspace<arma::uvec>(0, v.n_rows - 1);
    work.V.zeros(v.n_rows, K_.n_rows);
    for (arma::uword i = 0; i < options_.iterations; ++i) {
      work.V.rows(present) = v * K_.t();
      statistics(sigma2, work);
      const arma::mat fit = work.fit.rows(present) * K_, spread = work.spread.rows(present) * K_;
      for (arma::uword m = 0; m < v.n_elem; ++m) {
        const double slope = spread(m) * v(m) + options_.penalty;  // times v
        v(m) *= std::sqrt(fit(m) * v(m) / std::max(slope, std::numeric_limits<double>::min()));
      }
      v.clean(negligible * v.max());
      const arma::uvec kept = arma::find(arma::max(v, 1) > 0.0);
      if (kept.n_elem == present.n_elem) continue;
      work.V.zeros();
      if (kept.is_empty()) return posterior(sigma2, work, H);
      v = arma::mat(v.rows(kept));
      present = arma::uvec(present(kept));
    }
    work.V.rows(present) = v * K_.t();
    return posterior(sigma2, work, H);
  }

  void split(const arma::cx_vec& y, arma::cx_mat& X) const {
    if (is_decorrelated()) {
      const arma::cx_mat h = A_->pseudo_inverse(y);
      X = arma::reshape(h, U_.n_rows, n_tx_).st() * arma::conj(U_);
    } else if (A_->pilots()) {
      const arma::cx_mat Y(const_cast<arma::cx_double*>(y.memptr()), U_.n_rows, B_.n_rows, false,
                           true);
      X = Y.st() * arma::conj(U_);
    } else {
      X = y;
    }
  }

  /// |b^H x|^2 / ||b||^4, [n_angles_tx, n_rx]; 0 for an atom that A does not see.
  arma::mat periodogram(const arma::cx_mat& X) const {
    if (is_decorrelated()) return correlations(X);
    arma::mat out = arma::square(arma::abs(B_.t() * X));
    const arma::vec power = arma::sum(arma::square(arma::abs(B_)), 0).t();
    const double least = 1e-20 * power.max();
    const arma::vec scale =
        arma::vec(power).transform([&](double p) { return p > least ? 1.0 / (p * p) : 0.0; });
    out.each_col() %= scale;
    out.reshape(n_angles_tx_, U_.n_rows);
    return out;
  }

  [[noreturn]] static void refuse_level(double sigma2) {
    throw Error(ErrorKind::numeric,
                "sbl: the covariance of y is not positive definite at sigma2 = " +
                    std::to_string(sigma2) + ", too small beside the power of y");
  }

  /// |g^H x|^2 of all columns g of G_tx, for columns x of X.
  arma::mat correlations(const arma::cx_mat& X) const {
    return squared_magnitudes(arma::fft(X, n_angles_tx_)) / static_cast<double>(n_tx_);
  }

  /// S^-1 x and the sums along the diagonals of S^-1, of all problems.
  void solve_toeplitz_problems(double sigma2, Work& work) const {
    const arma::uword n = n_tx_;
    work.lags = arma::ifft(arma::conv_to<arma::cx_mat>::from(work.V));
    work.lags *= static_cast<double>(options_.oversampling);
    work.lags.row(0) += sigma2;
    work.solutions.set_size(n, work.X.n_cols);
    work.diagonals.set_size(n, work.X.n_cols);
    for (arma::uword i = 0; i < work.X.n_cols; ++i) {
      if (!solve_toeplitz(work.lags.colptr(i), work.X.colptr(i), n, work.solved)) {
        refuse_level(sigma2);
      }
      work.solutions.col(i) = work.solved.solution;
      work.diagonals.col(i) = work.solved.diagonals;
    }
  }

  /// Factors S of problem i_problem; false when it has no atom left.
  bool factor(arma::uword i_problem, double sigma2, Work& work) const {
    const arma::uword n_atoms = B_.n_cols;
    const arma::vec all(work.V.memptr() + i_problem * n_atoms, n_atoms, false, true);
    work.active = arma::find(all > 0.0);
    if (work.active.is_empty()) return false;
    work.v = all.elem(work.active);
    work.B = B_.cols(work.active);
    arma::cx_mat scaled = work.B;
    for (arma::uword m = 0; m < work.v.n_elem; ++m) scaled.col(m) *= std::sqrt(work.v(m));
    arma::cx_mat S = scaled * scaled.t();
    S.diag() += sigma2;
    arma::cx_mat L;
    if (!arma::chol(L, S, "lower")) {
      refuse_level(sigma2);
    }
    // Faster for many small problems than two substitutions; S is no worse than sigma2 I.
    const arma::cx_mat L_inverse = arma::inv(arma::trimatl(L));
    work.LB = L_inverse * work.B;
    work.Lx = L_inverse * work.X.col(i_problem);
    return true;
  }

  void statistics(double sigma2, Work& work) const {
    if (is_decorrelated()) {
      solve_toeplitz_problems(sigma2, work);
      work.fit = correlations(work.solutions);
      work.diagonals.row(0) *= 0.5;
      work.spread =
          arma::real(arma::fft(work.diagonals, n_angles_tx_)) * (2.0 / static_cast<double>(n_tx_));
      return;
    }
    work.fit.zeros(work.V.n_rows, work.V.n_cols);
    work.spread.zeros(work.V.n_rows, work.V.n_cols);
    for (arma::uword i = 0; i < work.X.n_cols; ++i) {
      if (!factor(i, sigma2, work)) continue;
      const arma::cx_vec product = work.LB.t() * work.Lx;
      for (arma::uword m = 0; m < work.active.n_elem; ++m) {
        double power = 0.0;
        for (const arma::cx_double& b : work.LB.col(m)) power += std::norm(b);
        const arma::uword at = i * B_.n_cols + work.active(m);
        work.fit(at) = std::norm(product(m));
        work.spread(at) = power;
      }
    }
  }

  /// H = E[H | Y] and the trace of its covariance.
  double posterior(double sigma2, Work& work, arma::cx_mat& H) const {
    if (is_decorrelated()) {
      // C S^-1 x and the trace of C - C S^-1 C, C = S - sigma2 I.
      solve_toeplitz_problems(sigma2, work);
      H = U_ * (work.X - sigma2 * work.solutions).st();
      return sigma2 * (static_cast<double>(H.n_elem) -
                       sigma2 * arma::accu(arma::real(work.diagonals.row(0))));
    }
    arma::cx_mat W(work.V.n_rows, work.V.n_cols, arma::fill::zeros);
    double mse = arma::accu(work.V);  // atoms have unit norm
    for (arma::uword i = 0; i < work.X.n_cols; ++i) {
      if (!factor(i, sigma2, work)) continue;
      work.LB.each_row() %= arma::conv_to<arma::cx_rowvec>::from(work.v.t());
      const arma::cx_vec w = work.LB.t() * work.Lx;
      for (arma::uword m = 0; m < w.n_elem; ++m) W(i * B_.n_cols + work.active(m)) = w(m);
      mse -= arma::accu(arma::square(arma::abs(D_.cols(work.active) * work.LB.t())));
    }
    H = U_ * (G_tx_ * W).st();
    return mse;
  }

  std::shared_ptr<const ObservationOperator> A_;
  SblOptions options_;
  arma::uword n_tx_, n_angles_tx_;
  double gain_ = 0.0;
  arma::cx_mat U_;  ///< [n_rx, n_rx]
  arma::mat K_;     ///< [n_rx, n_angles_rx]
  // Where A does not decorrelate:
  arma::cx_mat G_tx_;   ///< [n_tx, n_angles_tx]
  arma::cx_mat D_, B_;  ///< atoms of a problem in the antenna domain, and as observed
};

}  // namespace

std::string SblOptions::why_invalid() const { return sbl_options.why_invalid(*this); }

std::unique_ptr<Estimator> make_sbl(std::shared_ptr<const ObservationOperator> A, arma::uword n_rx,
                                    arma::uword n_tx, const SblOptions& options) {
  check_arrays("sbl", A.get(), n_rx, n_tx);
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "sbl: " + why);
  }
  return std::make_unique<Sbl>(std::move(A), n_rx, n_tx, options);
}

}  // namespace v0
}  // namespace chest
