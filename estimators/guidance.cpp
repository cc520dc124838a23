#include <chest/estimators/guidance.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/angular.hpp>
#include <chest/conjugate_gradients.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>

#include "contract.hpp"
#include "enum_names.hpp"
#include "interpolation.hpp"
#include "proper_derivative.hpp"

namespace chest {
namespace {

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::invalid_argument, message);
}

constexpr std::pair<VarianceKind, const char*> variance_names[] = {
    {VarianceKind::zero, "zero"},
    {VarianceKind::unit, "unit"},
    {VarianceKind::scaled, "scaled"},
    {VarianceKind::analytic, "analytic"},
    {VarianceKind::angular, "angular"},
    {VarianceKind::full, "full"},
    {VarianceKind::head, "head"},
    {VarianceKind::tweedie, "tweedie"},
    {VarianceKind::tweedie_proper, "tweedie-proper"}};

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

/// Sigma at one state, and what it takes to solve with it.
class Covariance {
 public:
  virtual ~Covariance() = default;
  /// r2 when Sigma = r2 I; negative otherwise.
  virtual double isotropic() const { return -1.0; }
  /// Sigma w; real-linear.
  virtual arma::cx_mat times(const arma::cx_mat& w) const = 0;
};

class IsotropicCovariance final : public Covariance {
 public:
  explicit IsotropicCovariance(double r2) : r2_(r2) {}
  double isotropic() const override { return r2_; }
  arma::cx_mat times(const arma::cx_mat& w) const override { return r2_ * w; }

 private:
  double r2_;
};

class AngularCovariance final : public Covariance {
 public:
  /// @param v  one column for all samples, or one each
  AngularCovariance(const AngularTransform& transform, arma::mat v)
      : transform_(transform), v_(std::move(v)) {}
  arma::cx_mat times(const arma::cx_mat& w) const override {
    arma::cx_mat angular = transform_.forward(w);
    for (arma::uword k = 0; k < w.n_cols; ++k) {
      const auto v = v_.col(v_.n_cols == 1 ? 0 : k);
      angular.col(k) %= arma::conv_to<arma::cx_vec>::from(v);
    }
    return transform_.inverse(angular);
  }

 private:
  const AngularTransform& transform_;
  arma::mat v_;
};

class FullCovariance final : public Covariance {
 public:
  explicit FullCovariance(arma::cx_mat S) : S_(std::move(S)) {}
  arma::cx_mat times(const arma::cx_mat& w) const override { return S_ * w; }

 private:
  arma::cx_mat S_;
};

class TweedieCovariance final : public Covariance {
 public:
  TweedieCovariance(const DenoiserLinearization& at, double tau2, bool proper, arma::uword& n_calls)
      : at_(at), tau2_(tau2), proper_(proper), n_calls_(n_calls) {}
  arma::cx_mat times(const arma::cx_mat& w) const override {
    arma::cx_mat g;
    if (proper_) {
      g = proper_pull_back(at_, w);
    } else {
      at_.pull_back(w, g);
    }
    n_calls_ += proper_ ? 2 : 1;
    return tau2_ * g;
  }

 private:
  const DenoiserLinearization& at_;
  double tau2_;
  bool proper_;
  arma::uword& n_calls_;
};

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
    if (uses(VarianceKind::head) && !denoiser_->predicts_error()) {
      refuse(name_ + ": " + denoiser_->name() + " does not predict its error, variance head does");
    }
    if (uses(VarianceKind::analytic) && variance.errors.empty()) {
      refuse(name_ + ": the denoiser's errors are not given, variance analytic needs them");
    }
    if (uses(VarianceKind::angular) && variance.errors.angular.n_rows != n_h()) {
      refuse(name_ + ": the denoiser's angular errors are not given, variance angular needs them");
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

  void look(const arma::cx_mat& z, double tau2, bool gradient, State& state,
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
      case VarianceKind::full:
        state.Sigma = std::make_unique<FullCovariance>(variance_.errors.full_at(tau2));
        break;
      case VarianceKind::head:
        if (error.angular.n_rows != n_h()) {
          refuse(name_ + ": " + denoiser_->name() +
                 " does not predict its error per angle, variance head does");
        }
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
    look(z, tau2, false, state, out.calls);
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
    const arma::cx_mat w = weigh(*state.Sigma, residual(observation, state.D), observation.sigma2);
    out.m = state.D + state.Sigma->times(w);
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
    look(z, tau2, true, state, out.calls);
    const arma::cx_mat w = weigh(*state.Sigma, residual(observation, state.D), observation.sigma2);
    state.derivative->pull_back(w, out.m);
    ++out.calls;
    out.m *= legacy_weight_ ? tau2 * state.Sigma->isotropic() : tau2;
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
    at->pull_back(A_->adjoint(r), out.push);
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

double DenoiserErrors::at(double level) const {
  return Between(arma::log(sigma2), std::log(level)).of(mse);
}

arma::vec DenoiserErrors::angular_at(double level) const {
  const Between at(arma::log(sigma2), std::log(level));
  return arma::exp((1.0 - at.share) * arma::log(angular.col(at.lower)) +
                   at.share * arma::log(angular.col(at.upper)));
}

arma::cx_mat DenoiserErrors::full_at(double level) const {
  const Between at(arma::log(sigma2), std::log(level));
  // The shape in proportion, the size log-log as mse.
  const arma::cx_mat shape =
      (1.0 - at.share) / mse(at.lower) * full[at.lower] + at.share / mse(at.upper) * full[at.upper];
  return at.of(mse) * shape;
}

std::string DenoiserErrors::why_invalid() const {
  const arma::uword n = sigma2.n_elem;
  if (mse.n_elem != n || (!angular.is_empty() && angular.n_cols != n) ||
      (!full.empty() && full.size() != n)) {
    return "the denoiser's errors hold " + std::to_string(n) + " levels and " +
           std::to_string(mse.n_elem) + " errors, the numbers must be equal";
  }
  if (n == 0) return {};
  if (!sigma2.is_sorted("strictascend") || !(sigma2.min() > 0.0) || !sigma2.is_finite()) {
    return "the levels of the denoiser's errors are not positive and ascending";
  }
  if (!(mse.min() > 0.0) || !mse.is_finite() ||
      (!angular.is_empty() && (!(angular.min() > 0.0) || !angular.is_finite()))) {
    return "the denoiser's errors are not positive and finite";
  }
  return {};
}

DenoiserErrors measure_errors(const Denoiser& denoiser, const SampleReader& channels,
                              const arma::vec& levels, std::uint64_t seed, ErrorDetail detail,
                              unsigned n_threads) {
  const arma::uword n_h = denoiser.n_h(), n = channels.n_samples;
  if (n == 0) refuse("denoiser errors: there are no channels");
  if (levels.is_empty()) refuse("denoiser errors: there are no levels");
  if (channels.n_h() != n_h) {
    refuse("denoiser errors: the channels have " + std::to_string(channels.n_h()) +
           " entries, the denoiser is made for " + std::to_string(n_h));
  }
  DenoiserErrors errors{arma::sort(levels), arma::vec(levels.n_elem)};
  if (detail == ErrorDetail::angular) errors.angular.set_size(n_h, levels.n_elem);
  if (detail == ErrorDetail::full) errors.full.resize(levels.n_elem);
  const AngularTransform angular(channels.n_rx, channels.n_tx);
  constexpr arma::uword block = 64;
  parallel_for(levels.n_elem, n_threads, [&](std::size_t i) {
    const double level = errors.sigma2(i);
    double sum = 0.0;
    arma::vec per_angle(n_h, arma::fill::zeros);
    arma::cx_mat covariance(detail == ErrorDetail::full ? n_h : 0,
                            detail == ErrorDetail::full ? n_h : 0, arma::fill::zeros);
    for (arma::uword first = 0; first < n; first += block) {
      const arma::uword count = std::min(block, n - first);
      arma::cx_mat e = channels.read(first, count);
      Rng rng(seed, {Purpose::validation, 1000 + i, first});
      e -= denoiser.denoise(e + rng.cx_normal(n_h, count, level), level);
      sum += arma::accu(arma::square(arma::abs(e)));
      if (detail == ErrorDetail::angular) {
        per_angle += arma::sum(arma::square(arma::abs(angular.forward(e))), 1);
      }
      if (detail == ErrorDetail::full) covariance += e * e.t();
    }
    errors.mse(i) = sum / static_cast<double>(n * n_h);
    if (detail == ErrorDetail::angular) {
      errors.angular.col(i) = per_angle / static_cast<double>(n);
    }
    if (detail == ErrorDetail::full) errors.full[i] = covariance / static_cast<double>(n);
  });
  if (!errors.mse.is_finite()) {
    throw Error(ErrorKind::numeric,
                "denoiser errors: they are not finite; the denoiser is unusable");
  }
  return errors;
}

const char* to_string(VarianceKind kind) { return name_of(variance_names, kind); }

VarianceKind variance_kind_from_string(const std::string& text) {
  return value_of(variance_names, "variance", text);
}

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
std::string Guidance::warning(double) const { return {}; }

std::unique_ptr<Guidance> make_proximal_guidance(std::shared_ptr<const ObservationOperator> A,
                                                 std::shared_ptr<const Denoiser> denoiser,
                                                 const ProximalOptions& options) {
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

}  // namespace chest
