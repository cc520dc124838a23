#include <chest/estimators/diffusion/guidance.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/angular.hpp>
#include <chest/conjugate_gradients.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>

#include <chest/estimators/common/enum_names.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/solver_contract.hpp>

#include "assumed_covariance.hpp"

namespace chest {
inline namespace v0 {
namespace {

bool needs_gradient(VarianceKind kind) {
  return kind == VarianceKind::tweedie || kind == VarianceKind::tweedie_proper;
}

/// Whether Sigma is a multiple of I at every level.
bool isotropic(const VarianceModel& variance) {
  const auto is = [](VarianceKind kind) {
    return kind == VarianceKind::zero || kind == VarianceKind::unit ||
           kind == VarianceKind::scaled || kind == VarianceKind::analytic;
  };
  return is(variance.kind) && (!std::isfinite(variance.switch_tau2) || is(variance.above));
}

/// Keeps what a fitted prior's derivative makes of w, g = J^H w + K^T conj(w), to what a covariance over tau2 with
/// eigenvalues 0 .. 1 could make of it: not against w, where it becomes 0, and not longer than w.
void clip_gain(const arma::cx_mat& w, arma::cx_mat& g) {
  for (arma::uword k = 0; k < w.n_cols; ++k) {
    const double longest = arma::norm(w.col(k)), length = arma::norm(g.col(k));
    const double along = std::real(arma::cdot(w.col(k), g.col(k)));
    // The negation also meets what is not a number.
    if (!(along > 0.0)) {
      g.col(k).zeros();
    } else if (length > longest) {
      g.col(k) *= longest / length;
    }
  }
}

/// Shortens steps from D that would leave more of the residual r = y - A D than there is least of it on the way, so that
/// no step raises it.
void stop_at_least_residual(const ObservationOperator& A, const arma::cx_mat& r,
                            arma::cx_mat& step) {
  const arma::cx_mat seen = A.apply(step);
  for (arma::uword k = 0; k < r.n_cols; ++k) {
    const double power = std::pow(arma::norm(seen.col(k)), 2.0);
    const double best = std::real(arma::cdot(seen.col(k), r.col(k)));
    if (!(best > 0.0)) {
      step.col(k).zeros();
    } else if (best < power) {
      step.col(k) *= best / power;
    }
  }
}

/// What all guidance has in common.
class GuidanceBase : public Guidance {
 public:
  GuidanceBase(std::string name, std::shared_ptr<const ObservationOperator> A,
               std::shared_ptr<const Denoiser> denoiser)
      : name_(std::move(name)), A_(std::move(A)), denoiser_(std::move(denoiser)) {
    check_solver(name_, A_.get(), denoiser_.get());
  }

  std::string name() const override { return name_; }
  arma::uword n_h() const override { return A_->n_h(); }
  const ObservationOperator& A() const override { return *A_; }
  std::optional<std::pair<double, double>> sigma2_range() const override {
    return denoiser_->sigma2_range();
  }

 protected:
  void need_gradient() const { check_gradient(name_, *denoiser_); }
  arma::cx_mat residual(const Observation& observation, const arma::cx_mat& x) const {
    return observation.y - A_->apply(x);
  }
  /// Whether the derivative is that of something fitted, which need not be a covariance.
  bool is_fitted() const { return denoiser_->sigma2_range().has_value(); }

  std::string name_;
  std::shared_ptr<const ObservationOperator> A_;
  std::shared_ptr<const Denoiser> denoiser_;
};

/// Guidance with a covariance.
class CovarianceGuidance : public GuidanceBase {
 public:
  CovarianceGuidance(std::string name, std::shared_ptr<const ObservationOperator> A,
                     std::shared_ptr<const Denoiser> denoiser, const VarianceModel& variance)
      : GuidanceBase(std::move(name), std::move(A), std::move(denoiser)), variance_(variance) {
    if (const std::string why = variance.why_invalid(); !why.empty()) refuse(name_ + ": " + why);
    const auto uses = [&](VarianceKind kind) {
      return variance.kind == kind ||
             (std::isfinite(variance.switch_tau2) && variance.above == kind);
    };
    if (uses(VarianceKind::tweedie) || uses(VarianceKind::tweedie_proper)) need_gradient();
    if (uses(VarianceKind::head) && !denoiser_->predicts_angular_error()) {
      refuse(name_ + ": " + denoiser_->name() +
             " does not predict its error per angle, variance=head needs that");
    }
    if (uses(VarianceKind::analytic) && variance.errors.empty()) {
      refuse(name_ + ": the denoiser's errors are not given, variance analytic needs them");
    }
    if (uses(VarianceKind::angular) && variance.errors.angular.n_rows != n_h()) {
      refuse(name_ + ": the denoiser's angular errors are not given, variance angular needs them");
    }
    if (uses(VarianceKind::spatial) && variance.errors.spatial.n_rows != n_h()) {
      refuse(name_ +
             ": the denoiser's errors per antenna are not given, variance spatial needs them");
    }
    if (uses(VarianceKind::full) &&
        (variance.errors.full.empty() || variance.errors.full.front().n_rows != n_h())) {
      refuse(name_ + ": the denoiser's error covariances are not given, variance full needs them");
    }
    if (uses(VarianceKind::angular) || uses(VarianceKind::head)) {
      arma::uword n_rx = variance.n_rx, n_tx = variance.n_tx;
      if (n_rx == 0 && A_->pilots()) {
        n_tx = A_->pilots()->n_rows;
        n_rx = n_h() / n_tx;
      }
      if (n_rx * n_tx != n_h()) {
        refuse(name_ + ": n_rx x n_tx is " + std::to_string(n_rx) + "x" + std::to_string(n_tx) +
               ", expected a product of " + std::to_string(n_h()));
      }
      angular_ = std::make_unique<AngularTransform>(n_rx, n_tx);
    }
  }

 protected:
  /// D, its derivative where it is wanted, and Sigma.
  struct State {
    arma::cx_mat D;
    std::unique_ptr<DenoiserLinearization> derivative;
    std::unique_ptr<Covariance> Sigma;
  };

  /// Fills D, its derivative where `gradient` or Sigma asks for it, and Sigma at level tau2.
  void evaluate(const arma::cx_mat& z, double tau2, bool gradient, State& state,
                arma::uword& n_calls) const {
    const VarianceKind kind = tau2 > variance_.switch_tau2 ? variance_.above : variance_.kind;
    n_calls = 1;
    DenoiserError error;
    if (gradient || needs_gradient(kind)) {
      state.derivative = denoiser_->linearise(z, tau2);
      state.D = state.derivative->D();
    }
    if (kind == VarianceKind::head) {
      error.per_angle = true;
      denoiser_->denoise_with_error(z, tau2, state.D, error);
      if (state.derivative) ++n_calls;
    } else if (!state.derivative) {
      denoiser_->denoise(z, tau2, state.D);
    }
    switch (kind) {
      case VarianceKind::zero:
        state.Sigma = std::make_unique<IsotropicCovariance>(0.0);
        break;
      case VarianceKind::unit:
        state.Sigma = std::make_unique<IsotropicCovariance>(tau2 / (1.0 + tau2));
        break;
      case VarianceKind::scaled:
        state.Sigma = std::make_unique<IsotropicCovariance>(tau2 / variance_.lambda);
        break;
      case VarianceKind::analytic:
        state.Sigma = std::make_unique<IsotropicCovariance>(variance_.errors.at(tau2));
        break;
      case VarianceKind::angular:
        state.Sigma =
            std::make_unique<AngularCovariance>(*angular_, variance_.errors.angular_at(tau2));
        break;
      case VarianceKind::spatial:
        state.Sigma = std::make_unique<SpatialCovariance>(variance_.errors.spatial_at(tau2));
        break;
      case VarianceKind::full:
        state.Sigma = std::make_unique<FullCovariance>(variance_.errors.full_at(tau2));
        break;
      case VarianceKind::head:
        state.Sigma = std::make_unique<AngularCovariance>(
            *angular_, arma::clamp(error.angular, 1e-9, arma::datum::inf));
        break;
      case VarianceKind::tweedie:
      case VarianceKind::tweedie_proper:
        state.Sigma = std::make_unique<TweedieCovariance>(
            *state.derivative, tau2, kind == VarianceKind::tweedie_proper, n_calls);
        break;
    }
  }

  /// w = A^H (sigma2 I + A Sigma A^H)^-1 r.
  arma::cx_mat weigh(const Covariance& Sigma, const arma::cx_mat& r, double sigma2) const {
    const double r2 = Sigma.isotropic();
    if (r2 == 0.0) return A_->adjoint(r) / sigma2;
    if (r2 > 0.0) return A_->ridge(r, sigma2 / r2) / r2;
    arma::cx_mat u;
    const arma::uword n_steps = variance_.cg_steps ? variance_.cg_steps : 4 * A_->n_obs() + 10;
    conjugate_gradients(
        [&](const arma::cx_mat& v) {
          return arma::cx_mat(sigma2 * v + A_->apply(Sigma.times(A_->adjoint(v))));
        },
        r, u, n_steps, 1e-12);
    return A_->adjoint(u);
  }

  VarianceModel variance_;
  std::unique_ptr<AngularTransform> angular_;
};

/// A in the basis of its singular vectors, A = U diag(s) V^H; of pilots by those of P, so that A is not formed.
class SingularBasis {
 public:
  SingularBasis(const std::string& who, const ObservationOperator& A) {
    arma::cx_mat Q;
    if (const arma::cx_mat* P = A.pilots()) {
      n_rx_ = A.n_h() / P->n_rows;
      Q = P->st();
    } else {
      constexpr arma::uword most = 4096;
      if (A.n_h() > most) {
        refuse(who + ": plus takes A apart, and A has " + std::to_string(A.n_h()) +
               " columns; expected at most " + std::to_string(most) + ", or pilots");
      }
      Q = A.apply(arma::cx_mat(A.n_h(), A.n_h(), arma::fill::eye));
    }
    if (!arma::svd_econ(U_, s_, V_, Q)) {
      throw Error(ErrorKind::numeric, who + ": A has no singular value decomposition");
    }
    const arma::uvec seen = arma::find(s_ > 1e-10 * s_.max());
    U_ = U_.cols(seen);
    V_ = V_.cols(seen);
    s_ = s_(seen);
  }
  const arma::vec& s() const { return s_; }

  /// V diag(f) U^H r
  arma::cx_mat from_observation(const arma::cx_mat& r, const arma::vec& f) const {
    return in_basis(
        r, arma::cx_mat(V_ * arma::diagmat(arma::conv_to<arma::cx_vec>::from(f)) * U_.t()));
  }
  /// V diag(f) V^H e
  arma::cx_mat of_channels(const arma::cx_mat& e, const arma::vec& f) const {
    return in_basis(
        e, arma::cx_mat(V_ * arma::diagmat(arma::conv_to<arma::cx_vec>::from(f)) * V_.t()));
  }

 private:
  /// M kron I_{n_rx}, applied.
  arma::cx_mat in_basis(const arma::cx_mat& x, const arma::cx_mat& M) const {
    if (n_rx_ == 1) return M * x;
    arma::cx_mat out(M.n_rows * n_rx_, x.n_cols);
    for (arma::uword k = 0; k < x.n_cols; ++k) {
      const arma::cx_mat X(const_cast<arma::cx_double*>(x.colptr(k)), n_rx_, M.n_cols, false, true);
      out.col(k) = arma::vectorise(X * M.st());
    }
    return out;
  }

  arma::uword n_rx_ = 1;
  arma::cx_mat U_, V_;
  arma::vec s_;
};

/// DDNM+: ProximalOptions::noise_aware.
class NoiseAwareGuidance final : public GuidanceBase {
 public:
  NoiseAwareGuidance(std::shared_ptr<const ObservationOperator> A,
                     std::shared_ptr<const Denoiser> denoiser)
      : GuidanceBase("ddnm", std::move(A), std::move(denoiser)), basis_(name_, *A_) {}

  void guide(const arma::cx_mat& z, double tau2, const Observation& observation,
             Guided& out) const override {
    denoiser_->denoise(z, tau2, out.D);
    out.calls = 1;
    out.push.reset();
    // As for a step that forgets z and goes nowhere: what is left where no step follows.
    out.m = corrected(out.D, tau2, observation);
  }

  bool shapes_noise() const override { return true; }
  void shape_step(double a, double variance, const Observation& observation, Guided& at,
                  arma::cx_mat& noise) const override {
    at.m = corrected(at.D, variance / (a * a), observation);
    const arma::vec left =
        variance - a * a * arma::square(weights(variance / (a * a), observation.sigma2)) *
                       observation.sigma2 / arma::square(basis_.s());
    const arma::vec gain = arma::sqrt(arma::clamp(left, 0.0, variance) / variance) - 1.0;
    noise += basis_.of_channels(noise, gain);
  }

 private:
  arma::vec weights(double kappa2, double sigma2) const {
    return arma::clamp(basis_.s() * std::sqrt(kappa2 / sigma2), 0.0, 1.0);
  }
  arma::cx_mat corrected(const arma::cx_mat& D, double kappa2,
                         const Observation& observation) const {
    return D + basis_.from_observation(residual(observation, D),
                                       weights(kappa2, observation.sigma2) / basis_.s());
  }

  SingularBasis basis_;
};

class ProximalGuidance final : public CovarianceGuidance {
 public:
  ProximalGuidance(std::shared_ptr<const ObservationOperator> A,
                   std::shared_ptr<const Denoiser> denoiser, const ProximalOptions& options)
      : CovarianceGuidance(options.noise_free      ? "ddnm"
                           : options.dds_steps > 0 ? "dds"
                                                   : "proximal guidance",
                           std::move(A), std::move(denoiser), options.variance),
        options_(options) {
    if (!(options.dds_gamma >= 0.0) || !std::isfinite(options.dds_gamma)) {
      refuse("dds: gamma is " + std::to_string(options.dds_gamma) +
             ", it must be finite and not negative");
    }
    if (options.dds_steps > 0 && !isotropic(options.variance)) {
      refuse("dds: the variance must be a multiple of I");
    }
  }

  void guide(const arma::cx_mat& z, double tau2, const Observation& observation,
             Guided& out) const override {
    State state;
    out.push.reset();
    if (options_.noise_free) {
      denoiser_->denoise(z, tau2, state.D);
      out.calls = 1;
      out.m = state.D + A_->pseudo_inverse(residual(observation, state.D));
      return;
    }
    evaluate(z, tau2, false, state, out.calls);
    if (options_.dds_steps > 0) {
      const double r2 = state.Sigma->isotropic();
      const double gamma = options_.dds_gamma > 0.0 ? options_.dds_gamma : r2 / observation.sigma2;
      out.m = state.D;
      conjugate_gradients(
          [&](const arma::cx_mat& x) {
            return arma::cx_mat(x + gamma * A_->adjoint(A_->apply(x)));
          },
          state.D + gamma * A_->adjoint(observation.y), out.m, options_.dds_steps, 0.0);
      return;
    }
    const arma::cx_mat r = residual(observation, state.D);
    const arma::cx_mat w = weigh(*state.Sigma, r, observation.sigma2);
    out.m = state.Sigma->times(w);
    if (state.derivative && is_fitted()) {
      out.m /= tau2;
      clip_gain(w, out.m);
      out.m *= tau2;
      stop_at_least_residual(*A_, r, out.m);
    }
    out.m += state.D;
  }

  std::string warning(double sigma2) const override {
    if (!options_.noise_free || sigma2 < from_db(-15.0)) return {};
    return "ddnm takes the observation as free of noise: expect more than the least-squares error "
           "below 15 dB";
  }

 private:
  ProximalOptions options_;
};

class GradientGuidance final : public CovarianceGuidance {
 public:
  GradientGuidance(std::shared_ptr<const ObservationOperator> A,
                   std::shared_ptr<const Denoiser> denoiser, const GradientOptions& options)
      : CovarianceGuidance("gradient guidance", std::move(A), std::move(denoiser),
                           options.variance),
        legacy_weight_(options.legacy_weight) {
    need_gradient();
    if (legacy_weight_ && !isotropic(options.variance)) {
      refuse("gradient guidance: the legacy weight needs a variance that is a multiple of I");
    }
  }

  void guide(const arma::cx_mat& z, double tau2, const Observation& observation,
             Guided& out) const override {
    State state;
    out.push.reset();
    evaluate(z, tau2, true, state, out.calls);
    const arma::cx_mat r = residual(observation, state.D);
    const arma::cx_mat w = weigh(*state.Sigma, r, observation.sigma2);
    state.derivative->pull_back(w, out.m);
    ++out.calls;
    if (is_fitted()) clip_gain(w, out.m);
    out.m *= legacy_weight_ ? tau2 * state.Sigma->isotropic() : tau2;
    if (is_fitted()) stop_at_least_residual(*A_, r, out.m);
    out.m += state.D;
  }

 private:
  bool legacy_weight_;
};

class DpsGuidance final : public GuidanceBase {
 public:
  DpsGuidance(std::shared_ptr<const ObservationOperator> A,
              std::shared_ptr<const Denoiser> denoiser, double zeta)
      : GuidanceBase("dps", std::move(A), std::move(denoiser)), zeta_(zeta) {
    if (!(zeta > 0.0) || !std::isfinite(zeta)) {
      refuse("dps: zeta is " + std::to_string(zeta) + ", it must be positive and finite");
    }
    need_gradient();
  }

  void guide(const arma::cx_mat& z, double tau2, const Observation& observation,
             Guided& out) const override {
    const auto at = denoiser_->linearise(z, tau2);
    out.m = at->D();
    const arma::cx_mat r = residual(observation, out.m);
    const arma::cx_mat v = A_->adjoint(r);
    at->pull_back(v, out.push);
    if (is_fitted()) clip_gain(v, out.push);
    for (arma::uword k = 0; k < z.n_cols; ++k) {
      out.push.col(k) *= zeta_ * std::sqrt(1.0 + tau2) / (arma::norm(r.col(k)) + 1e-12);
    }
    out.calls = 2;
  }
  double push_gain(double tau2_next) const override { return std::sqrt(1.0 + tau2_next); }

 private:
  double zeta_;
};

class FlatGuidance final : public GuidanceBase {
 public:
  FlatGuidance(std::shared_ptr<const ObservationOperator> A,
               std::shared_ptr<const Denoiser> denoiser, bool scalar)
      : GuidanceBase(scalar ? "score" : "dmps", std::move(A), std::move(denoiser)),
        scalar_(scalar) {}

  void guide(const arma::cx_mat& z, double tau2, const Observation& observation,
             Guided& out) const override {
    denoiser_->denoise(z, tau2, out.m);
    out.calls = 1;
    out.push.reset();
    const arma::cx_mat r = residual(observation, z);
    const double sigma2 = observation.sigma2;
    if (scalar_) {
      out.m += (tau2 / (sigma2 + tau2)) * A_->adjoint(r);
    } else {
      out.m += A_->ridge(r, sigma2 / tau2);
    }
  }

 private:
  bool scalar_;
};

class SkipGradientGuidance final : public GuidanceBase {
 public:
  SkipGradientGuidance(std::shared_ptr<const ObservationOperator> A,
                       std::shared_ptr<const Denoiser> denoiser, double c)
      : GuidanceBase("flowchef", std::move(A), std::move(denoiser)),
        c_(c),
        largest_(A_->squared_singular_values().max()) {
    if (!(c >= 0.0) || c * largest_ >= 2.0) {
      refuse("flowchef: step is " + std::to_string(c) +
             ", it must lie between 0 and 2 / s_max^2 = " + std::to_string(2.0 / largest_));
    }
  }

  void guide(const arma::cx_mat& z, double tau2, const Observation& observation,
             Guided& out) const override {
    denoiser_->denoise(z, tau2, out.m);
    out.calls = 1;
    const double c = c_ > 0.0 ? c_ : 0.9 / (largest_ * (1.0 + 5.0 * observation.sigma2));
    out.push = c * A_->adjoint(residual(observation, out.m));
  }
  double push_gain(double tau2_next) const override { return 1.0 + std::sqrt(tau2_next); }

 private:
  double c_, largest_;
};

}  // namespace

const char* to_string(VarianceKind kind) { return name_of(variance_names, kind); }

std::string VarianceModel::why_invalid() const {
  if (!(lambda > 0.0) || !std::isfinite(lambda)) {
    return "lambda is " + std::to_string(lambda) + ", it must be positive and finite";
  }
  if (!(switch_tau2 >= 0.0)) {
    return "switch_tau2 is " + std::to_string(switch_tau2) + ", it must not be negative";
  }
  return errors.why_invalid();
}

double Guidance::push_gain(double) const { return 0.0; }
void Guidance::shape_step(double, double, const Observation&, Guided&, arma::cx_mat&) const {}
std::string Guidance::warning(double) const { return {}; }

std::unique_ptr<Guidance> make_proximal_guidance(std::shared_ptr<const ObservationOperator> A,
                                                 std::shared_ptr<const Denoiser> denoiser,
                                                 const ProximalOptions& options) {
  if (options.noise_aware) {
    return std::make_unique<NoiseAwareGuidance>(std::move(A), std::move(denoiser));
  }
  return std::make_unique<ProximalGuidance>(std::move(A), std::move(denoiser), options);
}

std::unique_ptr<Guidance> make_gradient_guidance(std::shared_ptr<const ObservationOperator> A,
                                                 std::shared_ptr<const Denoiser> denoiser,
                                                 const GradientOptions& options) {
  return std::make_unique<GradientGuidance>(std::move(A), std::move(denoiser), options);
}

std::unique_ptr<Guidance> make_dps_guidance(std::shared_ptr<const ObservationOperator> A,
                                            std::shared_ptr<const Denoiser> denoiser, double zeta) {
  return std::make_unique<DpsGuidance>(std::move(A), std::move(denoiser), zeta);
}

std::unique_ptr<Guidance> make_flat_guidance(std::shared_ptr<const ObservationOperator> A,
                                             std::shared_ptr<const Denoiser> denoiser,
                                             bool scalar) {
  return std::make_unique<FlatGuidance>(std::move(A), std::move(denoiser), scalar);
}

std::unique_ptr<Guidance> make_skip_gradient_guidance(std::shared_ptr<const ObservationOperator> A,
                                                      std::shared_ptr<const Denoiser> denoiser,
                                                      double c) {
  return std::make_unique<SkipGradientGuidance>(std::move(A), std::move(denoiser), c);
}

}  // namespace v0
}  // namespace chest
