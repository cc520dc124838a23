#include <chest/estimators/diffusion/guidance.hpp>

#include <gtest/gtest.h>

#include <chest/angular.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/metrics.hpp>
#include <limits>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/exact_prior.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

using OperatorPtr = std::shared_ptr<const ObservationOperator>;
using DenoiserPtr = std::shared_ptr<const Denoiser>;

constexpr arma::uword n_h = 8, n_obs = 5;

arma::cx_mat identity(arma::uword n) { return arma::cx_mat(n, n, arma::fill::eye); }

VarianceModel variance(VarianceKind kind, double lambda = 1.0) {
  VarianceModel model;
  model.kind = kind;
  model.lambda = lambda;
  model.n_rx = 4;
  model.n_tx = 2;
  return model;
}

std::unique_ptr<Guidance> proximal(const OperatorPtr& A, const DenoiserPtr& D,
                                   const VarianceModel& model) {
  ProximalOptions options;
  options.variance = model;
  return make_proximal_guidance(A, D, options);
}

std::unique_ptr<Guidance> gradient(const OperatorPtr& A, const DenoiserPtr& D,
                                   const VarianceModel& model) {
  GradientOptions options;
  options.variance = model;
  return make_gradient_guidance(A, D, options);
}

arma::cx_mat guided(const Guidance& guidance, const arma::cx_mat& z, double tau2,
                    const Observation& observation) {
  Guided out;
  out.push.ones(3, 3);
  guidance.guide(z, tau2, observation, out);
  return out.m;
}

/// A prior, pilots, an observation and a state at level tau2.
struct State {
  GaussianMixture prior;
  DenoiserPtr denoiser;
  OperatorPtr A;
  arma::cx_mat matrix;
  arma::cx_mat h, z;
  double tau2 = 0.25;
  Observation observation;

  explicit State(GaussianMixture of, std::uint64_t seed = 1, arma::uword n_rows = n_obs)
      : prior(std::move(of)), denoiser(make_gaussian_mixture_denoiser(prior)) {
    Rng rng = test_rng(seed);
    matrix = rng.cx_normal(n_rows, prior.n_h(), 1.0 / static_cast<double>(prior.n_h()));
    A = make_dense_observation(matrix);
    h = draw(prior, 4, rng);
    z = h + rng.cx_normal(prior.n_h(), 4, tau2);
    observation.sigma2 = 0.1;
    observation.y = matrix * h + rng.cx_normal(n_rows, 4, 0.1);
  }
};

State gaussian_state(std::uint64_t seed = 1) {
  Rng rng = test_rng(seed, 1);
  return State(one_component(random_covariance(n_h, rng)), seed);
}

State mixture_state(std::uint64_t seed = 1) {
  Rng rng = test_rng(seed, 1);
  return State(random_mixture(n_h, 3, rng), seed);
}

arma::mat real_stacked(const arma::cx_mat& C, const arma::cx_mat& P) {
  return arma::join_cols(arma::join_rows(arma::real(C + P), -arma::imag(C - P)),
                         arma::join_rows(arma::imag(C + P), arma::real(C - P)));
}

arma::vec real_stacked(const arma::cx_vec& x) {
  return arma::join_cols(arma::real(x), arma::imag(x));
}

arma::cx_vec complex(const arma::vec& x) {
  return arma::cx_vec(x.head(x.n_elem / 2), x.tail(x.n_elem / 2));
}

/// w = A^H (sigma2 I + A Sigma A^H)^-1 r with Sigma w = C w + P conj(w), in real coordinates.
arma::cx_vec weigh(const arma::cx_mat& A, const arma::cx_mat& C, const arma::cx_mat& P,
                   const arma::cx_vec& r, double sigma2) {
  const arma::mat S = real_stacked(arma::cx_mat(sigma2 * identity(A.n_rows) + A * C * A.t()),
                                   arma::cx_mat(A * P * A.st()));
  return A.t() * complex(arma::solve(S, real_stacked(r)));
}

/// Both types of guidance against their formulas with a Sigma that is known column by column.
void expect_formulas(const State& s, const VarianceModel& model, const std::vector<arma::cx_mat>& C,
                     const std::vector<arma::cx_mat>& P, double tolerance) {
  const arma::cx_mat m2 = guided(*proximal(s.A, s.denoiser, model), s.z, s.tau2, s.observation);
  const arma::cx_mat m1 = guided(*gradient(s.A, s.denoiser, model), s.z, s.tau2, s.observation);
  for (arma::uword k = 0; k < s.z.n_cols; ++k) {
    const arma::uword i = C.size() == 1 ? 0 : k;
    const MixturePosterior at(s.prior, s.z.col(k), s.tau2);
    const arma::cx_vec r = s.observation.y.col(k) - s.matrix * at.mean;
    const arma::cx_vec w = weigh(s.matrix, C[i], P[i], r, s.observation.sigma2);
    EXPECT_LT(max_difference(m2.col(k), at.mean + C[i] * w + P[i] * arma::conj(w)), tolerance);
    EXPECT_LT(max_difference(m1.col(k),
                             at.mean + at.covariance * w + at.pseudo_covariance * arma::conj(w)),
              tolerance);
  }
}

DenoiserErrors tabulated(const State& s) {
  Rng rng = test_rng(77);
  DenoiserErrors errors;
  errors.sigma2 = {0.1, s.tau2, 2.0};
  errors.mse = {0.05, 0.11, 0.4};
  errors.angular = arma::mat(n_h, 3, arma::fill::ones);
  for (double& v : errors.angular) v = 0.05 + rng.uniform();
  for (int i = 0; i < 3; ++i) {
    const arma::cx_mat C = random_covariance(n_h, rng);
    errors.full.push_back(errors.mse(i) * C);
  }
  return errors;
}

/// The mixture's denoiser, which also says how wrong it is per angle.
class TellingDenoiser final : public Denoiser {
 public:
  TellingDenoiser(DenoiserPtr of, arma::mat angular)
      : of_(std::move(of)), angular_(std::move(angular)) {}
  using Denoiser::denoise;
  std::string name() const override { return "telling prior"; }
  arma::uword n_h() const override { return of_->n_h(); }
  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    of_->denoise(z, sigma2, out);
  }
  bool predicts_error() const override { return true; }
  bool predicts_angular_error() const override { return !angular_.is_empty(); }
  void denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                          DenoiserError& error) const override {
    of_->denoise_with_error(z, sigma2, out, error);
    if (error.per_angle) error.angular = angular_;
  }
  bool differentiable() const override { return of_->differentiable(); }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    return of_->linearise(z, sigma2);
  }

 private:
  DenoiserPtr of_;
  arma::mat angular_;
};

/// A denoiser with nothing but denoise().
class PlainDenoiser final : public Denoiser {
 public:
  explicit PlainDenoiser(arma::uword n) : n_(n) {}
  using Denoiser::denoise;
  std::string name() const override { return "plain prior"; }
  arma::uword n_h() const override { return n_; }
  void denoise(const arma::cx_mat& z, double, arma::cx_mat& out) const override { out = 0.5 * z; }

 private:
  arma::uword n_;
};

/// F^H diag(v) F for channels [4, 2].
arma::cx_mat from_angles(const arma::vec& v) {
  const arma::cx_mat F = arma::kron(dft_matrix(2), dft_matrix(4));
  return F.t() * arma::diagmat(arma::conv_to<arma::cx_vec>::from(v)) * F;
}

TEST(Guidance, FollowsItsFormulaForEveryVariance) {
  const State s = mixture_state();
  const arma::cx_mat I = identity(n_h), none(n_h, n_h, arma::fill::zeros);
  const DenoiserErrors errors = tabulated(s);
  const auto check = [&](VarianceKind kind, const arma::cx_mat& C, double lambda = 1.0) {
    SCOPED_TRACE(to_string(kind));
    VarianceModel model = variance(kind, lambda);
    model.errors = errors;
    expect_formulas(s, model, {C}, {none}, 1e-11);
  };
  check(VarianceKind::zero, none);
  check(VarianceKind::unit, s.tau2 / (1.0 + s.tau2) * I);
  check(VarianceKind::scaled, s.tau2 / 3.0 * I, 3.0);
  check(VarianceKind::analytic, 0.11 * I);
  check(VarianceKind::angular, from_angles(errors.angular.col(1)));
  check(VarianceKind::full, errors.full[1]);

  std::vector<arma::cx_mat> C, P;
  for (arma::uword k = 0; k < s.z.n_cols; ++k) {
    const MixturePosterior at(s.prior, s.z.col(k), s.tau2);
    C.push_back(at.covariance);
    P.push_back(at.pseudo_covariance);
  }
  expect_formulas(s, variance(VarianceKind::tweedie), C, P, 1e-11);
  expect_formulas(s, variance(VarianceKind::tweedie_proper), C, {none, none, none, none}, 1e-11);
}

TEST(Guidance, TakesThePredictedErrorOfEverySample) {
  State s = mixture_state();
  arma::mat angular(n_h, s.z.n_cols);
  Rng rng = test_rng(5);
  std::vector<arma::cx_mat> C, P;
  for (arma::uword k = 0; k < s.z.n_cols; ++k) {
    for (double& v : angular.col(k)) v = 0.02 + rng.uniform();
    C.push_back(from_angles(angular.col(k)));
    P.emplace_back(n_h, n_h, arma::fill::zeros);
  }
  s.denoiser = std::make_shared<TellingDenoiser>(s.denoiser, angular);
  expect_formulas(s, variance(VarianceKind::head), C, P, 1e-11);
}

TEST(Guidance, InterpolatesErrorsInLogarithms) {
  DenoiserErrors errors = tabulated(mixture_state());
  const double level = std::sqrt(0.25 * 2.0);
  EXPECT_NEAR(errors.at(level), std::sqrt(0.11 * 0.4), 1e-14);
  EXPECT_LT(arma::abs(errors.angular_at(level) -
                      arma::sqrt(errors.angular.col(1) % errors.angular.col(2)))
                .max(),
            1e-14);
  EXPECT_NEAR(arma::trace(errors.full_at(level)).real(), n_h * std::sqrt(0.11 * 0.4), 1e-13);
  EXPECT_NEAR(errors.at(1e-9), 0.05, 1e-15);
  EXPECT_NEAR(errors.at(1e9), 0.4, 1e-15);
  EXPECT_EQ(errors.why_invalid(), "");
  DenoiserErrors wrong = errors;
  wrong.mse.resize(2);
  EXPECT_NE(wrong.why_invalid(), "");
  wrong = errors;
  wrong.sigma2(0) = 5.0;
  EXPECT_NE(wrong.why_invalid(), "");
  wrong = errors;
  wrong.angular(2, 2) = 0.0;
  EXPECT_NE(wrong.why_invalid(), "");
}

// With a Gaussian prior and the Tweedie covariance both types are E[h | z, y].
TEST(Guidance, OfBothTypesIsExactForAGaussianPrior) {
  const State s = gaussian_state();
  const arma::cx_mat exact = guided(ExactGuidance(s.A, s.prior), s.z, s.tau2, s.observation);
  for (const VarianceKind kind : {VarianceKind::tweedie, VarianceKind::tweedie_proper}) {
    const arma::cx_mat m2 =
        guided(*proximal(s.A, s.denoiser, variance(kind)), s.z, s.tau2, s.observation);
    const arma::cx_mat m1 =
        guided(*gradient(s.A, s.denoiser, variance(kind)), s.z, s.tau2, s.observation);
    EXPECT_LT(max_difference(m1, exact), 1e-12);
    EXPECT_LT(max_difference(m2, exact), 1e-12);
  }
}

// With a mixture it is not; the full (real-stacked) covariance is nearer than the proper part.
TEST(Guidance, IsNearlyExactForAMixtureAtLowNoise) {
  Rng rng = test_rng(3);
  State s(cluster_mixture(16, 16, 16, rng), 3, 8);
  const arma::cx_mat exact = guided(ExactGuidance(s.A, s.prior), s.z, s.tau2, s.observation);
  for (const VarianceKind kind : {VarianceKind::tweedie, VarianceKind::tweedie_proper}) {
    EXPECT_LT(
        nmse_db(guided(*proximal(s.A, s.denoiser, variance(kind)), s.z, s.tau2, s.observation),
                exact),
        -15.0);
  }
}

TEST(Guidance, SwitchedAtEitherEndIsOneOfItsRules) {
  const State s = mixture_state();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto with = [&](double switch_tau2) {
    VarianceModel model = variance(VarianceKind::tweedie);
    model.switch_tau2 = switch_tau2;
    model.above = VarianceKind::unit;
    return model;
  };
  const auto tweedie = variance(VarianceKind::tweedie), unit = variance(VarianceKind::unit);
  const auto expect_same = [&](const VarianceModel& a, const VarianceModel& b) {
    EXPECT_EQ(max_difference(guided(*proximal(s.A, s.denoiser, a), s.z, s.tau2, s.observation),
                             guided(*proximal(s.A, s.denoiser, b), s.z, s.tau2, s.observation)),
              0.0);
    EXPECT_EQ(max_difference(guided(*gradient(s.A, s.denoiser, a), s.z, s.tau2, s.observation),
                             guided(*gradient(s.A, s.denoiser, b), s.z, s.tau2, s.observation)),
              0.0);
  };
  expect_same(with(0.0), unit);
  expect_same(with(infinity), tweedie);
  expect_same(with(s.tau2), tweedie);
  expect_same(with(0.999 * s.tau2), unit);
}

// DDS: after rank + 1 steps conjugate gradients are done, and each step is nearer.
TEST(Guidance, DdsEndsAtTheClosedForm) {
  const State s = mixture_state();
  const double gamma = 4.0;
  // gamma = r2 / sigma2 with r2 = tau2 / lambda.
  const arma::cx_mat closed =
      guided(*proximal(s.A, s.denoiser,
                       variance(VarianceKind::scaled, s.tau2 / (gamma * s.observation.sigma2))),
             s.z, s.tau2, s.observation);
  double last = std::numeric_limits<double>::infinity();
  for (arma::uword n_steps = 1; n_steps <= n_obs + 1; ++n_steps) {
    ProximalOptions options;
    options.dds_steps = n_steps;
    options.dds_gamma = gamma;
    const arma::cx_mat m =
        guided(*make_proximal_guidance(s.A, s.denoiser, options), s.z, s.tau2, s.observation);
    const double error = arma::norm(m - closed, "fro");
    if (last > 1e-12) {
      EXPECT_LT(error, last) << n_steps;
    }
    last = error;
  }
  EXPECT_LT(last, 1e-10);
  // Without a constant, gamma follows the level.
  ProximalOptions options;
  options.dds_steps = n_obs + 1;
  EXPECT_LT(max_difference(guided(*make_proximal_guidance(s.A, s.denoiser, options), s.z, s.tau2,
                                  s.observation),
                           guided(*proximal(s.A, s.denoiser, variance(VarianceKind::scaled)), s.z,
                                  s.tau2, s.observation)),
            1e-10);
}

// -zeta times the gradient of ||y - A D(sqrt(1 + tau2) x)|| with respect to x.
TEST(Guidance, DpsPushesAlongTheGradientOfTheResidual) {
  const State s = mixture_state();
  const double zeta = 0.7, step = 1e-6, scale = std::sqrt(1.0 + s.tau2);
  const auto guidance = make_dps_guidance(s.A, s.denoiser, zeta);
  Guided out;
  guidance->guide(s.z, s.tau2, s.observation, out);
  EXPECT_LT(max_difference(out.m, s.denoiser->denoise(s.z, s.tau2)), 1e-13);
  EXPECT_EQ(out.calls, 2u);
  for (arma::uword k = 0; k < s.z.n_cols; ++k) {
    const auto residual = [&](const arma::cx_vec& x) {
      return arma::norm(s.observation.y.col(k) -
                        s.matrix * s.denoiser->denoise(arma::cx_mat(scale * x), s.tau2));
    };
    arma::cx_vec expected(n_h);
    for (arma::uword i = 0; i < n_h; ++i) {
      const auto slope = [&](arma::cx_double direction) {
        arma::cx_vec up = s.z.col(k) / scale, down = up;
        up(i) += step * direction;
        down(i) -= step * direction;
        return (residual(up) - residual(down)) / (2.0 * step);
      };
      expected(i) = -zeta * arma::cx_double(slope({1.0, 0.0}), slope({0.0, 1.0}));
    }
    // Rounding / step is 1e-10 of a residual near 1.
    EXPECT_LT(max_difference(out.push.col(k), expected), 1e-7);
  }
  EXPECT_NEAR(guidance->push_gain(3.0), 2.0, 1e-14);
}

TEST(Guidance, PigdmIsExactForAWhitePriorAndTheLegacyWeightIsNot) {
  const State s(one_component(identity(n_h)));
  const arma::cx_mat exact = guided(ExactGuidance(s.A, s.prior), s.z, s.tau2, s.observation);
  const VarianceModel unit = variance(VarianceKind::unit);
  EXPECT_LT(
      max_difference(guided(*gradient(s.A, s.denoiser, unit), s.z, s.tau2, s.observation), exact),
      1e-12);
  EXPECT_LT(
      max_difference(guided(*proximal(s.A, s.denoiser, unit), s.z, s.tau2, s.observation), exact),
      1e-12);
  GradientOptions legacy;
  legacy.legacy_weight = true;
  EXPECT_GT(max_difference(guided(*make_gradient_guidance(s.A, s.denoiser, legacy), s.z, s.tau2,
                                  s.observation),
                           exact),
            0.05);
}

/// A denoiser under the name of a fitted one, whose derivative is off by S where that is given.
class FittedDenoiser final : public Denoiser {
 public:
  explicit FittedDenoiser(DenoiserPtr of, arma::cx_mat S = {}, bool fitted = true)
      : of_(std::move(of)), S_(std::move(S)), fitted_(fitted) {}
  std::string name() const override { return "fitted"; }
  arma::uword n_h() const override { return of_->n_h(); }
  using Denoiser::denoise;
  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    of_->denoise(z, sigma2, out);
  }
  std::optional<std::pair<double, double>> sigma2_range() const override {
    if (!fitted_) return {};
    return std::pair{1e-6, 1e6};
  }
  bool differentiable() const override { return true; }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    return std::make_unique<At>(of_->linearise(z, sigma2), S_);
  }

 private:
  class At final : public DenoiserLinearization {
   public:
    At(std::unique_ptr<DenoiserLinearization> of, const arma::cx_mat& S)
        : of_(std::move(of)), S_(S) {}
    const arma::cx_mat& D() const override { return of_->D(); }
    void pull_back(const arma::cx_mat& w, arma::cx_mat& out) const override {
      of_->pull_back(w, out);
      if (!S_.is_empty()) out += S_.t() * w;
    }

   private:
    std::unique_ptr<DenoiserLinearization> of_;
    const arma::cx_mat& S_;
  };

  DenoiserPtr of_;
  arma::cx_mat S_;
  bool fitted_;
};

// Steps that a covariance makes are not shortened: J has its eigenvalues in 0 .. 1, and Sigma = tau2 J leaves less of
// the residual in every direction.
TEST(Guidance, LeavesAFittedPriorsStepsAloneWhereItsDerivativeIsACovariance) {
  const State s = gaussian_state();
  const auto fitted = std::make_shared<FittedDenoiser>(s.denoiser);
  for (const double tau2 : {100.0, 1.0, 0.01}) {
    for (const VarianceKind kind : {VarianceKind::tweedie, VarianceKind::tweedie_proper}) {
      for (const auto make : {proximal, gradient}) {
        EXPECT_LT(max_difference(
                      guided(*make(s.A, fitted, variance(kind)), s.z, tau2, s.observation),
                      guided(*make(s.A, s.denoiser, variance(kind)), s.z, tau2, s.observation)),
                  1e-12);
      }
    }
    Guided of_fitted, of_exact;
    make_dps_guidance(s.A, fitted, 1.0)->guide(s.z, tau2, s.observation, of_fitted);
    make_dps_guidance(s.A, s.denoiser, 1.0)->guide(s.z, tau2, s.observation, of_exact);
    EXPECT_LT(max_difference(of_fitted.push, of_exact.push), 1e-12);
  }
  const State white(one_component(identity(n_h)));
  const VarianceModel unit = variance(VarianceKind::unit);
  EXPECT_LT(
      max_difference(
          guided(*gradient(white.A, std::make_shared<FittedDenoiser>(white.denoiser), unit),
                 white.z, white.tau2, white.observation),
          guided(*gradient(white.A, white.denoiser, unit), white.z, white.tau2, white.observation)),
      1e-12);
}

// A derivative that is neither symmetric nor between 0 and 1.
TEST(Guidance, NeverRaisesTheResidualOfAFittedPrior) {
  const State s = mixture_state();
  Rng rng = test_rng(3);
  const arma::cx_mat S = rng.cx_normal(n_h, n_h);
  const auto fitted = std::make_shared<FittedDenoiser>(s.denoiser, S);
  const auto unguarded = std::make_shared<FittedDenoiser>(s.denoiser, S, false);
  const auto residual = [&](const arma::cx_mat& x) {
    return arma::norm(s.observation.y - s.matrix * x, "fro");
  };
  bool raised = false;
  for (const double tau2 : {100.0, 1.0, 0.01}) {
    const arma::cx_mat D = s.denoiser->denoise(s.z, tau2);
    for (const VarianceKind kind : {VarianceKind::unit, VarianceKind::tweedie}) {
      for (const auto make : {proximal, gradient}) {
        const arma::cx_mat m = guided(*make(s.A, fitted, variance(kind)), s.z, tau2, s.observation);
        for (arma::uword k = 0; k < m.n_cols; ++k) {
          EXPECT_LE(arma::norm(s.observation.y.col(k) - s.matrix * m.col(k)),
                    arma::norm(s.observation.y.col(k) - s.matrix * D.col(k)) * (1.0 + 1e-12));
        }
        raised = raised || residual(guided(*make(s.A, unguarded, variance(kind)), s.z, tau2,
                                           s.observation)) > residual(D);
      }
    }
    // DPS goes no farther than v = A^H r is long, and not against it.
    Guided at;
    make_dps_guidance(s.A, fitted, 1.0)->guide(s.z, tau2, s.observation, at);
    const arma::cx_mat r = s.observation.y - s.matrix * D, v = s.matrix.t() * r;
    for (arma::uword k = 0; k < r.n_cols; ++k) {
      EXPECT_GE(std::real(arma::cdot(v.col(k), at.push.col(k))), 0.0);
      EXPECT_LE(arma::norm(at.push.col(k)), std::sqrt(1.0 + tau2) * arma::norm(v.col(k)) /
                                                arma::norm(r.col(k)) * (1.0 + 1e-12));
    }
  }
  EXPECT_TRUE(raised) << "the derivative is not one that needs a guard";
}

TEST(Guidance, OfAFittedPriorDoesNotDiverge) {
  Rng rng = test_rng(4);
  const State s = mixture_state();
  const arma::cx_mat S = 0.5 * rng.cx_normal(n_h, n_h);
  WalkOptions options;
  options.update = WalkUpdate::ancestral;
  options.n_levels = 50;
  const auto error_db = [&](bool fitted) {
    return nmse_db(make_walk(std::shared_ptr<const Guidance>(make_gradient_guidance(
                                 s.A, std::make_shared<FittedDenoiser>(s.denoiser, S, fitted), {})),
                             options)
                       ->estimate(s.observation)
                       .h,
                   s.h);
  };
  const double with = error_db(true), without = error_db(false);
  seen("with the guard", with);
  seen("without", without);
  EXPECT_LT(with, 3.0);
  EXPECT_GT(without, 20.0);
}

// z = m repeated at one level: the estimate for the prior C + tau2 I.
TEST(Guidance, ProximalStepsAtOneLevelEndAtLmmse) {
  const State s = gaussian_state();
  const double tau2 = 0.2;
  const auto guidance = proximal(s.A, s.denoiser, variance(VarianceKind::scaled));
  arma::cx_mat m(n_h, s.z.n_cols, arma::fill::zeros);
  for (int i = 0; i < 3000; ++i) m = guided(*guidance, m, tau2, s.observation);
  const arma::cx_mat C = s.prior.covariances[0] + tau2 * identity(n_h);
  EXPECT_LT(max_difference(
                m, GaussianPosterior(s.matrix, C, s.observation.sigma2).filter * s.observation.y),
            1e-10);
}

TEST(Guidance, DdnmKeepsTheDataExactly) {
  const State s = mixture_state();
  ProximalOptions options;
  options.noise_free = true;
  const auto guidance = make_proximal_guidance(s.A, s.denoiser, options);
  const arma::cx_mat m = guided(*guidance, s.z, s.tau2, s.observation);
  EXPECT_LT(max_difference(s.matrix * m, s.observation.y), 1e-12);
  // What A does not see is the prior's.
  const arma::cx_mat unseen = arma::null(s.matrix);
  EXPECT_LT(max_difference(unseen.t() * m, unseen.t() * s.denoiser->denoise(s.z, s.tau2)), 1e-12);
  EXPECT_NE(guidance->warning(from_db(-14.9)), "");
  EXPECT_EQ(guidance->warning(from_db(-15.1)), "");
  EXPECT_EQ(proximal(s.A, s.denoiser, variance(VarianceKind::scaled))->warning(1.0), "");
}

TEST(Guidance, OfAFlatPriorIsItsFormula) {
  const State s = mixture_state();
  const arma::cx_mat D = s.denoiser->denoise(s.z, s.tau2), r = s.observation.y - s.matrix * s.z;
  const double sigma2 = s.observation.sigma2;
  const arma::cx_mat S = sigma2 * identity(n_obs) + s.tau2 * s.matrix * s.matrix.t();
  EXPECT_LT(max_difference(guided(*make_flat_guidance(s.A, s.denoiser), s.z, s.tau2, s.observation),
                           D + s.tau2 * s.matrix.t() * arma::solve(S, r)),
            1e-12);
  EXPECT_LT(
      max_difference(guided(*make_flat_guidance(s.A, s.denoiser, true), s.z, s.tau2, s.observation),
                     D + s.tau2 / (sigma2 + s.tau2) * s.matrix.t() * r),
      1e-12);
}

TEST(Guidance, WithoutAGradientTakesAStepAlongTheResidual) {
  const State s = mixture_state();
  Guided out;
  const double largest = arma::norm(s.matrix, 2) * arma::norm(s.matrix, 2);
  const arma::cx_mat D = s.denoiser->denoise(s.z, s.tau2);
  const arma::cx_mat g = s.matrix.t() * (s.observation.y - s.matrix * D);
  for (const auto& [given, used] :
       {std::pair(0.3, 0.3), std::pair(0.0, 0.9 / (largest * (1.0 + 5.0 * 0.1)))}) {
    const auto guidance = make_skip_gradient_guidance(s.A, s.denoiser, given);
    guidance->guide(s.z, s.tau2, s.observation, out);
    EXPECT_EQ(max_difference(out.m, D), 0.0);
    EXPECT_LT(max_difference(out.push, used * g), 1e-12);
    EXPECT_NEAR(guidance->push_gain(4.0), 3.0, 1e-14);
  }
}

// A circulant covariance is diagonal over angles, so diagonal guidance is the full one.
TEST(Guidance, OverAnglesIsExactForACirculantPrior) {
  arma::vec l = arma::exp(-arma::regspace(0.0, n_h - 1.0) / 3.0);
  l *= n_h / arma::accu(l);
  const arma::cx_mat F = dft_matrix(n_h);
  const State s(one_component(F.t() * arma::diagmat(arma::conv_to<arma::cx_vec>::from(l)) * F));
  VarianceModel angular = variance(VarianceKind::angular);
  angular.n_rx = n_h;
  angular.n_tx = 1;
  angular.errors.sigma2 = {s.tau2};
  angular.errors.angular = l * s.tau2 / (l + s.tau2);
  angular.errors.mse = arma::vec{arma::mean(angular.errors.angular.col(0))};
  const arma::cx_mat tweedie = guided(*proximal(s.A, s.denoiser, variance(VarianceKind::tweedie)),
                                      s.z, s.tau2, s.observation);
  EXPECT_LT(max_difference(guided(*proximal(s.A, s.denoiser, angular), s.z, s.tau2, s.observation),
                           tweedie),
            1e-10);
  EXPECT_LT(max_difference(guided(*gradient(s.A, s.denoiser, angular), s.z, s.tau2, s.observation),
                           tweedie),
            1e-10);
}

// E||h - D||^2 / n = mean of l tau2 / (l + tau2).
TEST(DenoiserErrors, MeasuredOnAGaussianPriorAreTheClosedForm) {
  Rng rng = test_rng(9);
  constexpr arma::uword n_rx = 4, n_tx = 2, n = 20'000;
  const arma::cx_mat C = random_covariance(n_h, rng);
  const auto denoiser = make_gaussian_denoiser(C);
  const SampleReader channels =
      samples_in_memory(covariance_factor(C) * rng.cx_normal(n_h, n), n_rx, n_tx);
  const arma::vec levels{1.0, 0.1};
  const DenoiserErrors plain = measure_errors(*denoiser, channels, levels, 3, ErrorDetail::mse, 2);
  const DenoiserErrors angular =
      measure_errors(*denoiser, channels, levels, 3, ErrorDetail::angular);
  const DenoiserErrors full = measure_errors(*denoiser, channels, levels, 3, ErrorDetail::full);
  const arma::cx_mat F = arma::kron(dft_matrix(n_tx), dft_matrix(n_rx));
  EXPECT_TRUE(plain.angular.is_empty() && plain.full.empty() && angular.full.empty());
  ASSERT_EQ(plain.sigma2.n_elem, 2u);
  for (arma::uword i = 0; i < 2; ++i) {
    const double level = plain.sigma2(i);
    EXPECT_EQ(level, i == 0 ? 0.1 : 1.0);
    const arma::cx_mat expected = C - C * arma::solve(C + level * identity(n_h), C);
    const double mse = arma::trace(expected).real() / n_h;
    // Relative deviation of the average 1 / sqrt(n n_h) or a little more, 0.3 %.
    EXPECT_NEAR(plain.mse(i), mse, 0.01 * mse);
    EXPECT_EQ(angular.mse(i), plain.mse(i));
    EXPECT_NEAR(full.mse(i), plain.mse(i), 1e-12);
    // |CN|^2 deviates by its mean: 5 standard deviations of 16 values, risk 1e-5.
    const arma::vec per_angle = arma::real(arma::diagvec(F * expected * F.t()));
    EXPECT_LT(arma::abs(angular.angular.col(i) / per_angle - 1.0).max(), 5.0 / std::sqrt(n));
    EXPECT_NEAR(arma::mean(angular.angular.col(i)), plain.mse(i), 1e-12);
    const arma::vec spread = arma::sqrt(arma::real(arma::diagvec(expected)));
    EXPECT_LT(arma::abs((full.full[i] - expected) /
                        arma::cx_mat(spread * spread.t(), arma::mat(n_h, n_h, arma::fill::zeros)))
                  .max(),
              5.0 / std::sqrt(n));
  }
}

TEST(DenoiserErrors, RefuseNothingToMeasure) {
  const auto D = make_gaussian_denoiser(identity(4));
  const auto measure = [&](arma::uword n_rx, arma::uword n, const arma::vec& levels) {
    measure_errors(*D, samples_in_memory(arma::cx_mat(n_rx, n, arma::fill::ones), n_rx, 1), levels,
                   1, ErrorDetail::mse);
  };
  EXPECT_TRUE(refused([&] { measure(4, 0, {1.0}); }, "there are no channels"));
  EXPECT_TRUE(refused([&] { measure(4, 2, {}); }, "there are no levels"));
  EXPECT_TRUE(refused([&] { measure(3, 2, {1.0}); },
                      "the channels have 3 entries, the denoiser is made for 4"));
}

TEST(Guidance, RefusesWhatItsPartsCannotDo) {
  const State s = mixture_state();
  const DenoiserPtr plain = std::make_shared<PlainDenoiser>(n_h),
                    other = std::make_shared<PlainDenoiser>(n_h + 1);
  const VarianceModel scaled = variance(VarianceKind::scaled);
  EXPECT_TRUE(refused([&] { proximal(nullptr, plain, scaled); }, "A is not given"));
  EXPECT_TRUE(refused([&] { proximal(s.A, nullptr, scaled); }, "the denoiser is not given"));
  EXPECT_TRUE(
      refused([&] { proximal(s.A, other, scaled); }, "the denoiser is for n_h = 9, A for 8"));
  EXPECT_TRUE(refused([&] { gradient(s.A, plain, scaled); }, "plain prior has no gradient"));
  EXPECT_TRUE(refused([&] { make_dps_guidance(s.A, plain, 1.0); }, "plain prior has no gradient"));
  for (const VarianceKind kind : {VarianceKind::tweedie, VarianceKind::tweedie_proper}) {
    EXPECT_TRUE(refused([&] { proximal(s.A, plain, variance(kind)); }, "has no gradient"));
  }
  EXPECT_TRUE(refused([&] { proximal(s.A, plain, variance(VarianceKind::head)); },
                      "plain prior does not predict its error"));
  EXPECT_TRUE(refused(
      [&] {
        guided(*proximal(s.A, s.denoiser, variance(VarianceKind::head)), s.z, 1, s.observation);
      },
      "does not predict its error per angle"));
  EXPECT_TRUE(refused([&] { proximal(s.A, plain, variance(VarianceKind::analytic)); },
                      "the denoiser's errors are not given"));
  EXPECT_TRUE(refused([&] { proximal(s.A, plain, variance(VarianceKind::angular)); },
                      "the denoiser's angular errors are not given"));
  EXPECT_TRUE(refused([&] { proximal(s.A, plain, variance(VarianceKind::full)); },
                      "the denoiser's error covariances are not given"));
  VarianceModel switched = scaled;
  switched.switch_tau2 = 1.0;
  switched.above = VarianceKind::tweedie;
  EXPECT_TRUE(refused([&] { proximal(s.A, plain, switched); }, "has no gradient"));
  switched.switch_tau2 = -1.0;
  EXPECT_TRUE(refused([&] { proximal(s.A, plain, switched); }, "switch_tau2 is -1"));
  EXPECT_TRUE(
      refused([&] { proximal(s.A, plain, variance(VarianceKind::scaled, 0.0)); }, "lambda is 0"));
  VarianceModel unknown_arrays = variance(VarianceKind::angular);
  unknown_arrays.errors = tabulated(s);
  unknown_arrays.n_rx = 0;
  EXPECT_TRUE(refused([&] { proximal(s.A, plain, unknown_arrays); }, "expected a product of 8"));
  EXPECT_TRUE(refused([&] { make_dps_guidance(s.A, s.denoiser, 0.0); }, "zeta is 0"));
  EXPECT_TRUE(refused([&] { make_skip_gradient_guidance(s.A, plain, -1.0); }, "step is -1"));
  EXPECT_TRUE(refused([&] { make_skip_gradient_guidance(s.A, plain, 100.0); }, "2 / s_max^2"));
  ProximalOptions dds;
  dds.dds_steps = 3;
  dds.dds_gamma = -1.0;
  EXPECT_TRUE(refused([&] { make_proximal_guidance(s.A, plain, dds); }, "gamma is -1"));
  dds.dds_gamma = 0.0;
  dds.variance = variance(VarianceKind::tweedie);
  EXPECT_TRUE(refused([&] { make_proximal_guidance(s.A, s.denoiser, dds); }, "a multiple of I"));
  GradientOptions legacy;
  legacy.legacy_weight = true;
  legacy.variance = variance(VarianceKind::tweedie);
  EXPECT_TRUE(refused([&] { make_gradient_guidance(s.A, s.denoiser, legacy); }, "a multiple of I"));
}

// Angles are those of the arrays behind the pilots, where A has pilots.
TEST(Guidance, FindsTheArraysInThePilots) {
  State s = mixture_state();
  Rng rng = test_rng(8);
  const arma::cx_mat P = rng.cx_normal(2, 1);
  s.A = make_kronecker_observation(P, 4);
  s.matrix = dense(*s.A);
  s.observation.y = s.matrix * s.h;
  VarianceModel model = variance(VarianceKind::angular);
  model.errors = tabulated(s);
  const arma::cx_mat told = guided(*proximal(s.A, s.denoiser, model), s.z, s.tau2, s.observation);
  model.n_rx = model.n_tx = 0;
  EXPECT_EQ(
      max_difference(guided(*proximal(s.A, s.denoiser, model), s.z, s.tau2, s.observation), told),
      0.0);
}

TEST(Guidance, VariancesHaveNames) {
  for (const auto& [kind, name] : variance_names) EXPECT_STREQ(to_string(kind), name);
}

}  // namespace
}  // namespace chest
