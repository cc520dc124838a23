#include <chest/estimators/mixture/components.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>

namespace chest {
inline namespace v0 {
namespace {

[[noreturn]] void refuse_indefinite(arma::uword k, double sigma2) {
  throw Error(ErrorKind::numeric, "gmm: A C A^H + sigma2 I of component " + std::to_string(k) +
                                      " is not positive definite at sigma2 = " +
                                      std::to_string(sigma2) + ": its covariance is not one");
}

// S = L L^H, in place.
void factorise(arma::cx_mat& S, arma::uword k, double sigma2) {
  arma::cx_mat L;
  if (!arma::chol(L, S, "lower")) refuse_indefinite(k, sigma2);
  S = std::move(L);
}

arma::cx_mat solve_lower(const arma::cx_mat& L, const arma::cx_mat& B) {
  return arma::solve(arma::trimatl(L), B, arma::solve_opts::fast);
}

arma::cx_mat solve_lower_adjoint(const arma::cx_mat& L, const arma::cx_mat& B) {
  return arma::solve(arma::trimatu(L.t()), B, arma::solve_opts::fast);
}

// diag(factors) X, in place.
void scale_rows(arma::cx_mat& X, const arma::vec& factors) {
  for (arma::uword j = 0; j < X.n_cols; ++j) {
    std::transform(factors.begin(), factors.end(), X.begin_col(j), X.begin_col(j),
                   std::multiplies<>());
  }
}

// Any covariances, any A.
class DenseComponents final : public GmmComponents {
 public:
  DenseComponents(std::shared_ptr<const ObservationOperator> A, const GaussianMixture& prior)
      : A_(std::move(A)), means_(prior.means) {
    A_->apply(means_, A_means_);
    for (arma::uword k = 0; k < prior.n_components(); ++k) {
      const arma::cx_mat C = prior.covariance(k);
      C_.push_back(0.5 * (C + C.t()));
    }
  }

  arma::cx_mat observations(const arma::cx_mat& y) const override { return y; }
  void to_channels(arma::cx_mat&) const override {}
  std::unique_ptr<GmmLevel> at(double sigma2, unsigned n_threads) const override {
    return std::make_unique<Level>(*this, sigma2, n_threads);
  }

 private:
  class Level final : public GmmLevel {
   public:
    Level(const DenseComponents& components, double sigma2, unsigned n_threads)
        : c_(components), L_(c_.C_.size()), log_dets_(c_.C_.size()) {
      parallel_for(L_.size(), n_threads, [&](std::size_t k) {
        L_[k] = c_.A_->apply(c_.A_->apply(c_.C_[k]).t());
        L_[k].diag() += sigma2;
        factorise(L_[k], k, sigma2);
        log_dets_(k) = 2.0 * arma::accu(arma::log(arma::real(L_[k].diag())));
      });
    }

    arma::mat log_densities(const arma::cx_mat& y) const override {
      arma::mat out(L_.size(), y.n_cols);
      for (arma::uword k = 0; k < L_.size(); ++k) {
        out.row(k) = -log_dets_(k) - squared_norms(whitened(k, centred(k, y))).t();
      }
      return out;
    }

    arma::cx_mat filter(arma::uword k, const arma::cx_mat& d) const override {
      return c_.C_[k] * c_.A_->adjoint(solve_lower_adjoint(L_[k], whitened(k, d)));
    }

    arma::cx_mat conditional_means(arma::uword k, const arma::cx_mat& y) const override {
      arma::cx_mat h = filter(k, centred(k, y));
      h.each_col() += c_.means_.col(k);
      return h;
    }

    arma::vec errors() const override {
      arma::vec out(L_.size());
      for (arma::uword k = 0; k < L_.size(); ++k) {
        const arma::cx_mat& C = c_.C_[k];
        out(k) = arma::trace(C).real() - squared_norm(solve_lower(L_[k], c_.A_->apply(C)));
      }
      return out;
    }

   private:
    arma::cx_mat centred(arma::uword k, const arma::cx_mat& y) const {
      return y.each_col() - c_.A_means_.col(k);
    }
    arma::cx_mat whitened(arma::uword k, const arma::cx_mat& d) const {
      return solve_lower(L_[k], d);
    }

    const DenseComponents& c_;
    std::vector<arma::cx_mat> L_;  // S = L L^H
    arma::vec log_dets_;
  };

  std::shared_ptr<const ObservationOperator> A_;
  arma::cx_mat means_, A_means_;
  std::vector<arma::cx_mat> C_;
};

// Any covariances, A = I: C = U diag(l) U^H once, then S = U diag(l + sigma2) U^H at every level.
class EigenComponents final : public GmmComponents {
 public:
  explicit EigenComponents(const GaussianMixture& prior)
      : means_(prior.means), l_(prior.n_h(), prior.n_components()), U_(prior.n_components()) {
    for (arma::uword k = 0; k < U_.size(); ++k) {
      arma::vec l;
      hermitian_eigen(prior.covariance(k), l, U_[k]);
      if (l.min() < -rounding * l.max()) {
        throw Error(ErrorKind::numeric, "gmm: the covariance of component " + std::to_string(k) +
                                            " has the eigenvalue " + std::to_string(l.min()) +
                                            ", expected none below zero");
      }
      l_.col(k) = arma::clamp(l, 0.0, arma::datum::inf);
    }
  }

  arma::cx_mat observations(const arma::cx_mat& y) const override { return y; }
  void to_channels(arma::cx_mat&) const override {}
  std::unique_ptr<GmmLevel> at(double sigma2, unsigned) const override {
    return std::make_unique<Level>(*this, sigma2);
  }

 private:
  // An eigenvalue below zero by less than this part of the largest is one of zero, as in
  // covariance_factor().
  static constexpr double rounding = 1e-8;

  class Level final : public GmmLevel {
   public:
    Level(const EigenComponents& components, double sigma2) : c_(components), sigma2_(sigma2) {
      for (arma::uword k = 0; k < c_.U_.size(); ++k) {
        if (!(c_.l_.col(k).min() + sigma2 > 0.0)) refuse_indefinite(k, sigma2);
      }
    }

    arma::mat log_densities(const arma::cx_mat& y) const override {
      arma::mat out(c_.U_.size(), y.n_cols);
      for (arma::uword k = 0; k < c_.U_.size(); ++k) {
        const arma::vec variances = c_.l_.col(k) + sigma2_;
        out.row(k) = -arma::accu(arma::log(variances)) -
                     (1.0 / variances).t() * squared_magnitudes(c_.U_[k].t() * centred(k, y));
      }
      return out;
    }

    arma::cx_mat filter(arma::uword k, const arma::cx_mat& d) const override {
      arma::cx_mat w = c_.U_[k].t() * d;
      scale_rows(w, gains(k));
      return c_.U_[k] * w;
    }

    arma::cx_mat conditional_means(arma::uword k, const arma::cx_mat& y) const override {
      arma::cx_mat h = filter(k, centred(k, y));
      h.each_col() += c_.means_.col(k);
      return h;
    }

    arma::vec errors() const override {
      arma::vec out(c_.U_.size());
      for (arma::uword k = 0; k < out.n_elem; ++k) out(k) = sigma2_ * arma::accu(gains(k));
      return out;
    }

   private:
    arma::cx_mat centred(arma::uword k, const arma::cx_mat& y) const {
      return y.each_col() - c_.means_.col(k);
    }
    arma::vec gains(arma::uword k) const { return c_.l_.col(k) / (c_.l_.col(k) + sigma2_); }

    const EigenComponents& c_;
    double sigma2_;
  };

  arma::cx_mat means_;
  arma::mat l_;  // [n_h, n_components]
  std::vector<arma::cx_mat> U_;
};

// C = V + W W^H in the angular domain, V = diag(v). Y = H P is F_rx Y = H_ang (F_tx^* P) there:
// the same small matrix for every receive angle, so that D = A V A^H + sigma2 I is made of blocks
// of size n_pilots, or diagonal where A = I, and S^-1 = D^-1 - Q Q^H with a Q of rank columns. There
// C S^-1 = I - sigma2 S^-1 = V D^-1 + sigma2 Q Q^H.
class SpectralComponents final : public GmmComponents {
 public:
  SpectralComponents(const arma::cx_mat* P, const SpectralCovariances& s)
      : n_rx_(s.n_rx), transform_(s.n_rx, s.n_tx), v_(s.spectra), W_(s.factors) {
    if (!P) return;
    F_rx_ = dft_matrix(s.n_rx);
    A_block_ = P->st() * dft_matrix(s.n_tx).t();
    // Transmit angle fastest: the entries of one receive angle lie together.
    arma::uvec order(s.n_rx * s.n_tx);
    for (arma::uword i = 0; i < order.n_elem; ++i) {
      order(i) = i / s.n_tx + s.n_rx * (i % s.n_tx);
    }
    v_ = v_.rows(order);
    for (arma::cx_mat& W : W_) W = arma::cx_mat(W.rows(order));
  }

  arma::cx_mat observations(const arma::cx_mat& y) const override {
    if (diagonal()) return transform_.forward(y);
    arma::cx_mat out(arma::size(y));
    for (arma::uword j = 0; j < y.n_cols; ++j) {
      out.col(j) = arma::vectorise((F_rx_ * arma::reshape(y.col(j), n_rx_, A_block_.n_rows)).st());
    }
    return out;
  }

  void to_channels(arma::cx_mat& h) const override {
    if (!diagonal()) {
      for (arma::uword j = 0; j < h.n_cols; ++j) {
        h.col(j) = arma::vectorise(arma::reshape(h.col(j), A_block_.n_cols, n_rx_).st());
      }
    }
    transform_.inverse(h, h);
  }

  std::unique_ptr<GmmLevel> at(double sigma2, unsigned n_threads) const override {
    return std::make_unique<Level>(*this, sigma2, n_threads);
  }

 private:
  bool diagonal() const { return A_block_.is_empty(); }
  // A and A^H in the angular domain: the same block for every receive angle.
  arma::cx_mat apply(const arma::cx_mat& h) const { return diagonal() ? h : blocks(A_block_, h); }
  arma::cx_mat adjoint(const arma::cx_mat& y) const {
    return diagonal() ? y : blocks(A_block_.t(), y);
  }
  arma::cx_mat blocks(const arma::cx_mat& M, const arma::cx_mat& X) const {
    return arma::reshape(M * arma::reshape(X, M.n_cols, n_rx_ * X.n_cols), M.n_rows * n_rx_,
                         X.n_cols);
  }

  class Level final : public GmmLevel {
   public:
    Level(const SpectralComponents& components, double sigma2, unsigned n_threads)
        : c_(components), sigma2_(sigma2), log_dets_(c_.v_.n_cols) {
      const arma::uword n = c_.v_.n_cols;
      if (c_.diagonal()) {
        for (arma::uword k = 0; k < n; ++k) {
          if (!(c_.v_.col(k).min() + sigma2 > 0.0)) refuse_indefinite(k, sigma2);
        }
        D_inverse_ = 1.0 / (c_.v_ + sigma2);
      } else {
        whiteners_.resize(n);
      }
      if (!c_.W_.empty()) Q_.set_size(n_obs(), n * rank());
      parallel_for(n, n_threads, [&](std::size_t k) { prepare(k); });
    }

    arma::mat log_densities(const arma::cx_mat& y) const override {
      const arma::uword n = log_dets_.n_elem;
      arma::mat out;
      if (c_.diagonal()) {
        out = -(D_inverse_.t() * squared_magnitudes(y));
      } else {
        out.set_size(n, y.n_cols);
        for (arma::uword k = 0; k < n; ++k) out.row(k) = -squared_norms(whitened(k, y)).t();
      }
      if (!Q_.is_empty()) {
        const arma::mat explained = squared_magnitudes(Q_.t() * y);
        for (arma::uword k = 0; k < n; ++k) {
          out.row(k) += arma::sum(explained.rows(k * rank(), (k + 1) * rank() - 1), 0);
        }
      }
      out.each_col() -= log_dets_;
      return out;
    }

    arma::cx_mat filter(arma::uword k, const arma::cx_mat& d) const override {
      if (c_.diagonal()) {
        arma::cx_mat h = d;
        scale_rows(h, gains(k));
        if (!Q_.is_empty()) h += Q(k) * (sigma2_ * (Q(k).t() * d));
        return h;
      }
      arma::cx_mat x = D_solve(k, d);
      if (!Q_.is_empty()) x -= Q(k) * (Q(k).t() * d);
      x = c_.adjoint(x);
      arma::cx_mat h = x;
      scale_rows(h, c_.v_.col(k));
      if (!Q_.is_empty()) h += c_.W_[k] * (c_.W_[k].t() * x);
      return h;
    }

    arma::vec errors() const override {
      arma::vec out(log_dets_.n_elem);
      for (arma::uword k = 0; k < out.n_elem; ++k) {
        out(k) = c_.diagonal() ? diagonal_error(k) : error(k);
      }
      return out;
    }

   private:
    arma::uword n_obs() const {
      return c_.diagonal() ? c_.v_.n_rows : c_.n_rx_ * c_.A_block_.n_rows;
    }
    arma::uword rank() const { return c_.W_.front().n_cols; }
    arma::cx_mat Q(arma::uword k) const { return Q_.cols(k * rank(), (k + 1) * rank() - 1); }

    // V D^-1 where D is diagonal.
    arma::vec gains(arma::uword k) const { return c_.v_.col(k) % D_inverse_.col(k); }

    void prepare(arma::uword k) {
      if (c_.diagonal()) {
        log_dets_(k) = -arma::accu(arma::log(D_inverse_.col(k)));
      } else {
        const arma::uword n_pilots = c_.A_block_.n_rows, n_tx = c_.A_block_.n_cols;
        whiteners_[k].set_size(n_pilots, n_pilots, c_.n_rx_);
        log_dets_(k) = 0.0;
        for (arma::uword i = 0; i < c_.n_rx_; ++i) {
          arma::cx_mat A_v = c_.A_block_;
          A_v.each_row() %= arma::conv_to<arma::cx_rowvec>::from(
              c_.v_.col(k).rows(i * n_tx, (i + 1) * n_tx - 1).t());
          arma::cx_mat S = A_v * c_.A_block_.t();
          S.diag() += sigma2_;
          factorise(S, k, sigma2_);
          log_dets_(k) += 2.0 * arma::accu(arma::log(arma::real(S.diag())));
          whiteners_[k].slice(i) = arma::inv(arma::trimatl(S));
        }
      }
      if (c_.W_.empty()) return;
      const arma::cx_mat A_W = c_.apply(c_.W_[k]), D_A_W = D_solve(k, A_W);
      arma::cx_mat M = A_W.t() * D_A_W;
      M = 0.5 * (M + M.t());
      M.diag() += 1.0;
      factorise(M, k, sigma2_);
      log_dets_(k) += 2.0 * arma::accu(arma::log(arma::real(M.diag())));
      Q_.cols(k * rank(), (k + 1) * rank() - 1) = solve_lower(M, D_A_W.t()).t();
    }

    // tr(C - C S^-1 C) = sigma2 tr(C S^-1): no difference of large numbers where sigma2 is small.
    double diagonal_error(arma::uword k) const {
      double out = arma::accu(gains(k));
      if (!Q_.is_empty()) out += sigma2_ * squared_norm(Q(k));
      return sigma2_ * out;
    }

    // tr C - tr(C A^H D^-1 A C) + |Q^H A C|^2, C = V + W W^H.
    double error(arma::uword k) const {
      const arma::vec& v = c_.v_.col(k);
      double out = arma::accu(v);
      const arma::uword n_tx = c_.A_block_.n_cols;
      for (arma::uword i = 0; i < c_.n_rx_; ++i) {
        arma::cx_mat F = whiteners_[k].slice(i) * c_.A_block_;
        F.each_row() %=
            arma::conv_to<arma::cx_rowvec>::from(v.rows(i * n_tx, (i + 1) * n_tx - 1).t());
        out -= squared_norm(F);
      }
      if (c_.W_.empty()) return out;
      const arma::cx_mat& W = c_.W_[k];
      const arma::cx_mat B_W = c_.adjoint(D_solve(k, c_.apply(W)));  // A^H D^-1 A W
      arma::cx_mat V_W = W;
      scale_rows(V_W, v);
      const arma::cx_mat gram = W.t() * W, T = c_.adjoint(Q(k));
      arma::cx_mat C_T = T;
      scale_rows(C_T, v);
      C_T += W * (W.t() * T);
      return out + arma::trace(gram).real() - 2.0 * arma::trace(V_W.t() * B_W).real() -
             arma::trace(W.t() * B_W * gram).real() + squared_norm(C_T);
    }

    // L^-1 y for D = L L^H, where D has blocks.
    arma::cx_mat whitened(arma::uword k, const arma::cx_mat& y) const {
      return each_block(k, y, [](const arma::cx_mat& L_inverse, const arma::cx_mat& block) {
        return arma::cx_mat(L_inverse * block);
      });
    }
    arma::cx_mat D_solve(arma::uword k, const arma::cx_mat& y) const {
      if (c_.diagonal()) {
        arma::cx_mat out = y;
        scale_rows(out, D_inverse_.col(k));
        return out;
      }
      return each_block(k, y, [](const arma::cx_mat& L_inverse, const arma::cx_mat& block) {
        return arma::cx_mat(L_inverse.t() * (L_inverse * block));
      });
    }
    template <class Body>
    arma::cx_mat each_block(arma::uword k, const arma::cx_mat& y, const Body& body) const {
      const arma::uword n_pilots = c_.A_block_.n_rows;
      arma::cx_mat out(arma::size(y), arma::fill::none);
      for (arma::uword i = 0; i < c_.n_rx_; ++i) {
        const arma::uword first = i * n_pilots, last = first + n_pilots - 1;
        out.rows(first, last) = body(whiteners_[k].slice(i), y.rows(first, last));
      }
      return out;
    }

    const SpectralComponents& c_;
    double sigma2_;
    arma::mat D_inverse_;                   // diagonal D: [n_h, n_components]
    std::vector<arma::cx_cube> whiteners_;  // otherwise L^-1 of each block of D = L L^H
    arma::cx_mat Q_;                        // of all components side by side
    arma::vec log_dets_;
  };

  arma::uword n_rx_;
  AngularTransform transform_;
  arma::mat v_;
  std::vector<arma::cx_mat> W_;
  arma::cx_mat F_rx_, A_block_;  // P^T F_tx^H; empty where A = I
};

// C = C_tx kron C_rx and Y = H P: with C_rx = U diag(l) U^H and P^T C_tx P^* = V diag(m) V^H,
//   S^-1 y = vec(U G V^T), G = (U^H Y V^*) / (l m^T + sigma2), H_hat = U (l G) V^T P^H C_tx^T,
// as for the genie.
class KroneckerComponents final : public GmmComponents {
 public:
  KroneckerComponents(const arma::cx_mat* pilots, const KroneckerCovariances& s)
      : identity_(pilots == nullptr) {
    const arma::uword n_tx = s.tx.front().n_rows;
    const arma::cx_mat P = pilots ? *pilots : arma::cx_mat(n_tx, n_tx, arma::fill::eye);
    for (const arma::cx_mat& C : s.rx) {
      rx_.push_back(decompose(C));
      rx_.back().trace = arma::trace(C).real();
    }
    for (const arma::cx_mat& C : s.tx) {
      Side side = decompose(P.st() * C * arma::conj(P));
      side.trace = arma::trace(C).real();
      side.to_channel = side.U.st() * P.t() * C.st();
      tx_.push_back(std::move(side));
    }
  }

  arma::cx_mat observations(const arma::cx_mat& y) const override { return y; }
  void to_channels(arma::cx_mat&) const override {}
  std::unique_ptr<GmmLevel> at(double sigma2, unsigned) const override {
    return std::make_unique<Level>(*this, sigma2);
  }

 private:
  struct Side {
    arma::vec l;
    arma::cx_mat U;
    double trace = 0.0;
    arma::cx_mat to_channel;  // V^T P^H C_tx^T
  };

  static Side decompose(const arma::cx_mat& C) {
    Side side;
    hermitian_eigen(C, side.l, side.U);
    side.l.clamp(0.0, arma::datum::inf);
    return side;
  }

  class Level final : public GmmLevel {
   public:
    Level(const KroneckerComponents& components, double sigma2) : c_(components), sigma2_(sigma2) {}

    arma::mat log_densities(const arma::cx_mat& y) const override {
      const arma::uword n_rx = c_.rx_.front().l.n_elem, n_pilots = c_.tx_.front().l.n_elem;
      const arma::cx_mat side_by_side = arma::reshape(y, n_rx, n_pilots * y.n_cols);
      arma::mat out(c_.rx_.size() * c_.tx_.size(), y.n_cols);
      for (arma::uword i = 0; i < c_.rx_.size(); ++i) {
        // [n_rx, n_pilots, n_samples] to [n_pilots, n_rx n_samples]
        const arma::cx_mat left = c_.rx_[i].U.t() * side_by_side;
        arma::cx_mat turned(n_pilots, n_rx * y.n_cols);
        for (arma::uword s = 0; s < y.n_cols; ++s) {
          turned.cols(s * n_rx, (s + 1) * n_rx - 1) =
              left.cols(s * n_pilots, (s + 1) * n_pilots - 1).st();
        }
        for (arma::uword j = 0; j < c_.tx_.size(); ++j) {
          const arma::mat powers = squared_magnitudes(c_.tx_[j].U.t() * turned);
          const arma::mat variances = c_.tx_[j].l * c_.rx_[i].l.t() + sigma2_;
          out.row(i + c_.rx_.size() * j) = -arma::accu(arma::log(variances)) -
                                           arma::vectorise(1.0 / variances).t() *
                                               arma::reshape(powers, n_pilots * n_rx, y.n_cols);
        }
      }
      return out;
    }

    arma::cx_mat filter(arma::uword k, const arma::cx_mat& d) const override {
      const Side &rx = c_.rx_[k % c_.rx_.size()], &tx = c_.tx_[k / c_.rx_.size()];
      arma::mat gains = 1.0 / (rx.l * tx.l.t() + sigma2_);
      gains.each_col() %= rx.l;
      arma::cx_mat h(rx.l.n_elem * tx.to_channel.n_cols, d.n_cols);
      for (arma::uword s = 0; s < d.n_cols; ++s) {
        const arma::cx_mat Y = arma::reshape(d.col(s), rx.l.n_elem, tx.l.n_elem);
        const arma::cx_mat G = gains % arma::cx_mat(rx.U.t() * Y * arma::conj(tx.U));
        h.col(s) = arma::vectorise(rx.U * (G * tx.to_channel));
      }
      return h;
    }

    arma::vec errors() const override {
      arma::vec out(c_.rx_.size() * c_.tx_.size());
      for (arma::uword k = 0; k < out.n_elem; ++k) {
        const Side &rx = c_.rx_[k % c_.rx_.size()], &tx = c_.tx_[k / c_.rx_.size()];
        if (c_.identity_) {  // sigma2 tr(C S^-1), as for diagonal covariances
          const arma::mat l = rx.l * tx.l.t();
          out(k) = sigma2_ * arma::accu(l / (l + sigma2_));
          continue;
        }
        const arma::vec b = arma::sum(squared_magnitudes(tx.to_channel), 1);
        out(k) = rx.trace * tx.trace -
                 arma::accu((arma::square(rx.l) * b.t()) / (rx.l * tx.l.t() + sigma2_));
      }
      return out;
    }

   private:
    const KroneckerComponents& c_;
    double sigma2_;
  };

  bool identity_;  // A = I
  std::vector<Side> rx_, tx_;
};

}  // namespace

std::unique_ptr<GmmComponents> make_gmm_components(std::shared_ptr<const ObservationOperator> A,
                                                   const GaussianMixture& prior,
                                                   NoiseLevels levels) {
  const arma::cx_mat* P = A ? A->pilots() : nullptr;
  if (!A || P) {
    const auto* spectral = std::get_if<SpectralCovariances>(&prior.structure);
    if (spectral && spectral->oversampling == 1) {
      return std::make_unique<SpectralComponents>(P, *spectral);
    }
    if (const auto* kronecker = std::get_if<KroneckerCovariances>(&prior.structure)) {
      return std::make_unique<KroneckerComponents>(P, *kronecker);
    }
  }
  if (!A && levels == NoiseLevels::many) return std::make_unique<EigenComponents>(prior);
  if (!A) A = make_identity_observation(prior.n_h(), 1);
  return std::make_unique<DenseComponents>(std::move(A), prior);
}

}  // namespace v0
}  // namespace chest
