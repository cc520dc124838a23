#include <chest/estimators/sparse/omp.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include <chest/angular.hpp>
#include <chest/error.hpp>

#include <chest/estimators/common/contract.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// Atoms d_m of the channel, [n_h], and what is seen of them: phi_m = A d_m / ||A d_m||, [n_obs].
class Dictionary {
 public:
  virtual ~Dictionary() = default;
  /// phi_m^H r for all atoms, in their order; 0 for an atom that A does not see.
  virtual void correlate(const arma::cx_vec& r, arma::cx_mat& out) const = 0;
  virtual void observed_atom(arma::uword m, arma::cx_vec& out) const = 0;
  /// h += w d_m / ||A d_m||.
  virtual void add_atom(arma::uword m, arma::cx_double w, arma::cx_mat& H) const = 0;
  arma::uword n_atoms() const { return n_atoms_; }

 protected:
  /// Scales the columns of Phi to unit norm; the inverse norms, 0 with its column for an atom that
  /// is not seen but for rounding.
  static arma::rowvec normalise(arma::cx_mat& Phi) {
    arma::rowvec scale(Phi.n_cols);
    for (arma::uword m = 0; m < Phi.n_cols; ++m) scale(m) = arma::norm(Phi.col(m));
    const double least = 1e-10 * scale.max();
    for (double& s : scale) s = s > least ? 1.0 / s : 0.0;
    Phi.each_row() %= arma::conv_to<arma::cx_rowvec>::from(scale);
    return scale;
  }

  arma::uword n_atoms_ = 0;  ///< that A sees
};

/// A = P^T kron I: phi = (P^T g_tx) kron g_rx, so correlations are two small products.
class PilotDictionary final : public Dictionary {
 public:
  /// @param G_rx  responses of the receive antennas, [n_rx, n_angles_rx]
  PilotDictionary(const arma::cx_mat& P, arma::cx_mat G_rx, arma::uword oversampling)
      : G_rx_(std::move(G_rx)),
        G_tx_(steering_vectors(P.n_rows, oversampling)),
        G_rx_adjoint_(G_rx_.t()),
        B_(P.st() * G_tx_) {
    scale_ = normalise(B_);
    B_conj_ = arma::conj(B_);
    n_atoms_ = G_rx_.n_cols * arma::uvec(arma::find(scale_ > 0.0)).n_elem;
  }

  void correlate(const arma::cx_vec& r, arma::cx_mat& out) const override {
    const arma::cx_mat R(const_cast<arma::cx_double*>(r.memptr()), G_rx_.n_rows, B_.n_rows, false,
                         true);
    out = (G_rx_adjoint_ * R) * B_conj_;
  }
  void observed_atom(arma::uword m, arma::cx_vec& out) const override {
    out = arma::vectorise(G_rx_.col(m % G_rx_.n_cols) * B_.col(m / G_rx_.n_cols).st());
  }
  void add_atom(arma::uword m, arma::cx_double w, arma::cx_mat& H) const override {
    const arma::uword i_tx = m / G_rx_.n_cols;
    H += (w * scale_(i_tx)) * G_rx_.col(m % G_rx_.n_cols) * G_tx_.col(i_tx).st();
  }

 private:
  arma::cx_mat G_rx_, G_tx_;       ///< [n_rx, n_angles_rx], [n_tx, n_angles_tx]
  arma::cx_mat G_rx_adjoint_, B_;  ///< B_: unit columns along P^T G_tx, [n_pilots, n_angles_tx]
  arma::cx_mat B_conj_;
  arma::rowvec scale_;
};

class DenseDictionary final : public Dictionary {
 public:
  DenseDictionary(const ObservationOperator& A, const arma::cx_mat& G_rx, arma::uword n_tx,
                  arma::uword oversampling)
      : D_(arma::kron(steering_vectors(n_tx, oversampling), G_rx)), Phi_(A.apply(D_)) {
    scale_ = normalise(Phi_);
    n_atoms_ = arma::uvec(arma::find(scale_ > 0.0)).n_elem;
  }

  void correlate(const arma::cx_vec& r, arma::cx_mat& out) const override { out = Phi_.t() * r; }
  void observed_atom(arma::uword m, arma::cx_vec& out) const override { out = Phi_.col(m); }
  void add_atom(arma::uword m, arma::cx_double w, arma::cx_mat& H) const override {
    H += arma::reshape(arma::cx_mat((w * scale_(m)) * D_.col(m)), H.n_rows, H.n_cols);
  }

 private:
  arma::cx_mat D_, Phi_;  ///< [n_h, n_atoms], [n_obs, n_atoms]
  arma::rowvec scale_;
};

class Omp final : public Estimator {
 public:
  Omp(std::shared_ptr<const ObservationOperator> A, arma::uword n_rx, arma::uword n_tx,
      const OmpOptions& options)
      : A_(std::move(A)), n_rx_(n_rx), n_tx_(n_tx) {
    const arma::cx_mat G_rx =
        panel_steering_vectors(options.rx_panel, n_rx, options.oversampling, options.is_mixed);
    if (A_->pilots()) {
      atoms_ = std::make_unique<PilotDictionary>(*A_->pilots(), G_rx, options.oversampling);
    } else {
      atoms_ = std::make_unique<DenseDictionary>(*A_, G_rx, n_tx, options.oversampling);
    }
    most_atoms_ = std::min(A_->n_obs(), atoms_->n_atoms());
    if (options.sparsity > 0) {
      most_atoms_ = std::min(most_atoms_, options.sparsity);
    } else {
      false_discovery_ = options.false_discovery;
    }
  }

  std::string name() const override { return "omp"; }
  const ObservationOperator& A() const override { return *A_; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    out.h.set_size(A_->n_h(), observation.y.n_cols);
    Workspace work;
    work.Q.set_size(A_->n_obs(), most_atoms_);  // pages that no atom needs are never touched
    work.R.set_size(most_atoms_, most_atoms_);
    for (arma::uword k = 0; k < observation.y.n_cols; ++k) {
      arma::cx_mat H(out.h.colptr(k), n_rx_, n_tx_, false, true);
      pursue(observation.y.col(k), observation.sigma2, work, H);
    }
  }

  /// The atoms taken are the columns of Q R.
  struct Workspace {
    arma::cx_mat Q, R;  ///< orthonormal, [n_obs, n_taken ..]; upper triangular
    arma::cx_mat correlations;
    arma::cx_vec atom;
  };

  /// What |phi^H r|^2 / sigma2 of the k-th atom must exceed, k = 1, 2 ..
  double threshold(arma::uword k) const {
    if (!false_discovery_) return 0.0;
    return std::max(0.0, std::log(static_cast<double>(atoms_->n_atoms()) /
                                  (*false_discovery_ * static_cast<double>(k))));
  }

  void pursue(arma::cx_vec r, double sigma2, Workspace& work, arma::cx_mat& H) const {
    std::vector<arma::uword> taken;
    arma::cx_vec b(most_atoms_);
    while (taken.size() < most_atoms_) {
      const arma::uword k = taken.size();
      atoms_->correlate(r, work.correlations);
      arma::uword best = 0;
      double best_power = 0.0;
      for (arma::uword m = 0; m < work.correlations.n_elem; ++m) {
        const double power = std::norm(work.correlations(m));
        if (power > best_power) {
          best = m;
          best_power = power;
        }
      }
      if (!(best_power > sigma2 * threshold(k + 1))) break;

      arma::cx_vec& q = work.atom;
      atoms_->observed_atom(best, q);
      if (k > 0) {
        const arma::cx_mat Q(work.Q.memptr(), work.Q.n_rows, k, false, true);
        const arma::cx_vec along = Q.t() * q;
        q -= Q * along;
        work.R.col(k).head(k) = along;
      }
      const double length = arma::norm(q);
      if (length < 1e-6) break;  // in the span of the atoms taken: what is left is rounding
      q /= length;
      work.R(k, k) = length;
      work.Q.col(k) = q;
      b(k) = arma::cdot(q, r);
      r -= b(k) * q;
      taken.push_back(best);
    }

    H.zeros();
    const arma::uword n_taken = taken.size();
    if (n_taken == 0) return;
    arma::cx_vec shrunk = b.head(n_taken);
    for (arma::cx_double& value : shrunk) {
      const double power = std::norm(value);
      value *= power > sigma2 ? 1.0 - sigma2 / power : 0.0;
    }
    const arma::cx_mat R = work.R.submat(0, 0, n_taken - 1, n_taken - 1);
    const arma::cx_vec w = arma::solve(arma::trimatu(R), shrunk, arma::solve_opts::fast);
    for (arma::uword k = 0; k < n_taken; ++k) atoms_->add_atom(taken[k], w(k), H);
  }

  std::shared_ptr<const ObservationOperator> A_;
  arma::uword n_rx_, n_tx_;
  std::unique_ptr<const Dictionary> atoms_;
  arma::uword most_atoms_ = 0;
  std::optional<double> false_discovery_;  ///< empty: most_atoms_ are taken
};

}  // namespace

std::string OmpOptions::why_invalid() const { return omp_options.why_invalid(*this); }

std::unique_ptr<Estimator> make_omp(std::shared_ptr<const ObservationOperator> A, arma::uword n_rx,
                                    arma::uword n_tx, const OmpOptions& options) {
  check_arrays("omp", A.get(), n_rx, n_tx);
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "omp: " + why);
  }
  return std::make_unique<Omp>(std::move(A), n_rx, n_tx, options);
}

}  // namespace v0
}  // namespace chest
