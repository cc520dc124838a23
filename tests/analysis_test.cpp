#include <gtest/gtest.h>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/estimators/analysis/flow.hpp>
#include <chest/estimators/analysis/jacobian.hpp>
#include <chest/estimators/analysis/memorise.hpp>
#include <chest/estimators/analysis/score.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/metrics.hpp>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/exact_prior.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

/// D = M z in 2 n_h real coordinates, without a gradient of its own.
class RealLinear final : public Denoiser {
 public:
  explicit RealLinear(arma::mat M) : M_(std::move(M)) {}
  std::string name() const override { return "real linear"; }
  arma::uword n_h() const override { return M_.n_rows / 2; }
  using Denoiser::denoise;
  void denoise(const arma::cx_mat& z, double, arma::cx_mat& out) const override {
    const arma::mat y = M_ * arma::join_cols(arma::real(z), arma::imag(z));
    out = arma::cx_mat(y.head_rows(n_h()), y.tail_rows(n_h()));
  }

 private:
  arma::mat M_;
};

/// The same with its derivative.
class DifferentiableLinear final : public Denoiser {
 public:
  explicit DifferentiableLinear(arma::mat M) : M_(std::move(M)) {}
  std::string name() const override { return "differentiable linear"; }
  arma::uword n_h() const override { return M_.n_rows / 2; }
  using Denoiser::denoise;
  void denoise(const arma::cx_mat& z, double, arma::cx_mat& out) const override {
    out = times(M_, z);
  }
  bool differentiable() const override { return true; }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z, double) const override {
    return std::make_unique<At>(M_, times(M_, z));
  }
  static arma::cx_mat times(const arma::mat& M, const arma::cx_mat& z) {
    const arma::mat y = M * arma::join_cols(arma::real(z), arma::imag(z));
    return arma::cx_mat(y.head_rows(y.n_rows / 2), y.tail_rows(y.n_rows / 2));
  }

 private:
  class At final : public DenoiserLinearization {
   public:
    At(const arma::mat& M, arma::cx_mat D) : M_(M), D_(std::move(D)) {}
    const arma::cx_mat& D() const override { return D_; }
    void pull_back(const arma::cx_mat& w, arma::cx_mat& out) const override {
      out = times(M_.t(), w);
    }

   private:
    const arma::mat& M_;
    arma::cx_mat D_;
  };
  arma::mat M_;
};

arma::mat random_real(arma::uword n, Rng& rng) {
  arma::mat out(n, n);
  out.imbue([&] { return rng.normal(); });
  return out;
}

/// h = g a(u) with u even on the circle and g ~ CN(0, 1): so many directions that their sum is the integral.
GaussianMixture single_path(arma::uword n, arma::uword n_directions) {
  GaussianMixture prior;
  prior.weights.set_size(n_directions);
  prior.weights.fill(1.0 / double(n_directions));
  prior.means.zeros(n, n_directions);
  for (arma::uword k = 0; k < n_directions; ++k) {
    arma::cx_vec a(n);
    for (arma::uword m = 0; m < n; ++m) {
      a(m) = std::polar(1.0, 2.0 * arma::datum::pi * double(m * k) / double(n_directions));
    }
    prior.covariances.push_back(a * a.t());
  }
  return prior;
}

// J of a Gaussian prior is U diag(l / (l + sigma2)) U^H, each eigenvalue twice [T17].
TEST(Jacobian, OfAGaussianPriorHasTheShrinkageOfWiener) {
  Rng rng = test_rng(1);
  const arma::cx_mat C = random_covariance(6, rng);
  const auto denoiser = make_gaussian_denoiser(C);
  arma::vec l;
  arma::cx_mat U;
  hermitian_eigen(C, l, U);
  const arma::vec expected = arma::sort(arma::vec(l / (l + 0.2)), "descend");
  const arma::cx_vec h = rng.cx_normal(6, 1), z = h + rng.cx_normal(6, 1, 0.2);
  const JacobianReport report = analyse_jacobian(*denoiser, h, z, 0.2, 3, 2);
  ASSERT_EQ(report.shrinkage.n_elem, 12u);
  for (arma::uword k = 0; k < 12; ++k) EXPECT_NEAR(report.shrinkage(k), expected(k / 2), 1e-9);
  EXPECT_LT(report.asymmetry, 1e-12);
  EXPECT_NEAR(report.effective_rank, arma::accu(expected), 1e-10);
  EXPECT_NEAR(report.energy(11), 1.0, 1e-10);
  const double leading = std::pow(arma::norm(U.col(5).t() * h), 2.0) / squared_norm(h);
  EXPECT_NEAR(report.energy(1), leading, 1e-9);
}

// Stationary: the eigenvectors are single angles.
TEST(Jacobian, OfACirculantPriorIsOneAngleAVector) {
  const arma::uword n = 8;
  const arma::cx_mat F = dft_matrix(n);
  const arma::vec power = arma::linspace(0.2, 3.0, n);
  const arma::cx_mat C = F.t() * arma::diagmat(arma::conv_to<arma::cx_vec>::from(power)) * F;
  Rng rng = test_rng(2);
  const arma::cx_vec h = rng.cx_normal(n, 1);
  const JacobianReport report =
      analyse_jacobian(*make_gaussian_denoiser(0.5 * (C + C.t())), h, h, 0.3, n, 1);
  EXPECT_LT(arma::max(report.spread_angles), 1.0 + 1e-6);
  EXPECT_GT(arma::min(report.spread_antennas), 0.4 * double(n));
  EXPECT_EQ(report.angular.col(0).index_max(), n - 1);
}

// A mixture's J is Cov / sigma2 by other means: here by dense inverses.
TEST(Jacobian, OfAMixtureIsItsPosteriorCovariance) {
  Rng rng = test_rng(3);
  const GaussianMixture prior = random_mixture(5, 3, rng);
  const auto denoiser = make_gaussian_mixture_denoiser(prior);
  const arma::cx_vec h = draw(prior, 1, rng), z = h + rng.cx_normal(5, 1, 0.4);
  const MixturePosterior posterior(prior, z, 0.4);
  const DenoiserDerivative at(*denoiser, z, 0.4);
  const arma::mat J = at.matrix();
  const arma::cx_mat J_plus = posterior.covariance / 0.4, K = posterior.pseudo_covariance / 0.4;
  const arma::mat expected =
      arma::join_cols(arma::join_rows(arma::real(J_plus + K), arma::imag(K - J_plus)),
                      arma::join_rows(arma::imag(J_plus + K), arma::real(J_plus - K)));
  EXPECT_LT(max_difference(J, expected), 1e-9);
  // The same by differences.
  const arma::cx_mat V = rng.cx_normal(5, 3);
  const arma::mat pushed = expected * arma::join_cols(arma::real(V), arma::imag(V));
  const arma::cx_mat seen_push = at.push(V);
  EXPECT_LT(max_difference(arma::join_cols(arma::real(seen_push), arma::imag(seen_push)), pushed),
            1e-3);
}

// Eigenvalues of a Gaussian prior come in pairs, each pair apart from the next.
TEST(Jacobian, ByIterationFindsTheLeadingVectorsOfTheWhole) {
  Rng rng = test_rng(4);
  arma::vec l;
  arma::cx_mat U;
  hermitian_eigen(random_covariance(24, rng), l, U);
  l = arma::logspace(-2.0, 1.0, 24);
  const arma::cx_mat C = U * arma::diagmat(arma::conv_to<arma::cx_vec>::from(l)) * U.t();
  const auto denoiser = make_gaussian_denoiser(0.5 * (C + C.t()));
  const arma::cx_vec h = covariance_factor(C) * rng.cx_normal(24, 1), z = h + rng.cx_normal(24, 1);
  JacobianOptions options;
  const JacobianReport whole = analyse_jacobian(*denoiser, h, z, 1.0, 6, 4, 1, options);
  options.most_whole = 4;
  options.n_leading = 4;
  options.n_iterations = 12;
  options.n_probes = 400;
  const JacobianReport part = analyse_jacobian(*denoiser, h, z, 1.0, 6, 4, 1, options);
  ASSERT_EQ(part.shrinkage.n_elem, 8u);
  for (arma::uword k = 0; k < 8; ++k) {
    EXPECT_NEAR(part.shrinkage(k) / whole.shrinkage(k), 1.0, 1e-2) << k;
    // Within a pair any direction is an eigenvector.
    if (k % 2 == 1) {
      EXPECT_NEAR(part.energy(k), whole.energy(k), 0.03) << k;
    }
  }
  EXPECT_LT(part.asymmetry, 1e-9);
  // 400 probes: the trace within 6 standard errors, which are below sqrt(2 ||J||^2 / 400).
  const double error = std::sqrt(arma::accu(arma::square(whole.shrinkage)) / 400.0);
  EXPECT_NEAR(part.effective_rank, whole.effective_rank, 6.0 * error);
}

// One path has three real parameters: tr J_r -> 3 as the noise goes, of 16 [T17].
TEST(Jacobian, OfASinglePathPassesThreeRealDimensions) {
  const GaussianMixture prior = single_path(8, 1000);
  const auto denoiser = make_gaussian_mixture_denoiser(prior);
  Rng rng = test_rng(5);
  arma::cx_mat h(8, 12);
  for (arma::uword k = 0; k < 12; ++k) {
    const double u = 2.0 * arma::datum::pi * rng.uniform(), phase = rng.uniform() * 6.28;
    for (arma::uword m = 0; m < 8; ++m) h(m, k) = std::polar(1.0, phase + u * double(m));
  }
  const DimensionReport report = measure_dimension(*denoiser, h, 0.003);
  seen("trace", report.trace);
  EXPECT_NEAR(report.trace, 1.5, 0.02);
  EXPECT_EQ(report.count, 1.5);
}

// J - J^T of a linear field is known, and so is its integral around a parallelogram.
TEST(Conservativity, OfALinearFieldIsItsAntisymmetricPart) {
  Rng rng = test_rng(6);
  const arma::mat M = 0.1 * random_real(12, rng);
  const RealLinear field(M);
  ScoreCheckOptions options;
  options.n_probes = 400;
  const arma::cx_mat h = rng.cx_normal(6, 5);
  const ConservativityReport report = measure_conservativity(field, h, 0.5, options);
  const double expected = arma::norm(M - M.t(), "fro") / arma::norm(M + M.t(), "fro");
  // 2000 pairs: 5 % is more than 4 standard errors.
  EXPECT_NEAR(report.asymmetry / expected, 1.0, 0.08);
  EXPECT_NEAR(report.circulation, report.stokes, 1e-9 * report.stokes + 1e-10);
  EXPECT_GT(report.circulation, 0.01);
}

// What is conservative of D = M z is (M + M^T) z / 2.
TEST(Conservativity, TheConservativePartOfALinearFieldIsItsSymmetricPart) {
  Rng rng = test_rng(16);
  const arma::mat M = 0.2 * random_real(12, rng);
  const arma::cx_mat h = rng.cx_normal(6, 5);
  const ScoreCheckOptions options;
  const ConservativityReport report =
      measure_conservativity(DifferentiableLinear(M), h, 0.5, options);
  const arma::cx_mat z = h + report_noise(6, 5, 0.5, options);
  const auto share = [&](const arma::cx_mat& e) { return squared_norm(e) / squared_norm(h); };
  EXPECT_NEAR(report.nmse, share(DifferentiableLinear::times(M, z) - h), 1e-12);
  EXPECT_NEAR(report.nmse_conservative,
              share(DifferentiableLinear::times(0.5 * (M + M.t()), z) - h), 1e-12);
  EXPECT_NEAR(report.difference, share(DifferentiableLinear::times(0.5 * (M - M.t()), z)), 1e-12);
  EXPECT_TRUE(std::isnan(measure_conservativity(RealLinear(M), h, 0.5, options).nmse_conservative));
}

TEST(Conservativity, OfExactPriorsIsThatOfAGradient) {
  Rng rng = test_rng(7);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const auto denoiser = make_gaussian_mixture_denoiser(prior);
  ScoreCheckOptions options;
  options.n_points = 16;
  const ConservativityReport report =
      measure_conservativity(*denoiser, draw(prior, 6, rng), 0.5, options);
  EXPECT_LT(report.asymmetry, 1e-10);
  EXPECT_LT(report.stokes, 1e-10);
  EXPECT_LT(report.circulation, 1e-7);
  seen("circulation", report.circulation);
  // And D is that gradient, up to the rule of 16 points.
  EXPECT_LT(report.difference, 1e-8);
  seen("difference", report.difference);
}

// Laws of a score on the exact prior, and a denoiser that breaks each.
TEST(Score, OfAnExactPriorKeepsItsLaws) {
  Rng rng = test_rng(8);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const auto denoiser = make_gaussian_mixture_denoiser(prior);
  const arma::cx_mat h = draw(prior, 4000, rng);
  const ScoreReport report = test_score(*denoiser, h, 0.5);
  EXPECT_NEAR(report.stein, 1.0, 0.03);
  EXPECT_LT(report.mean, 6.0);
  EXPECT_NEAR(report.predicted / report.measured, 1.0, 0.05);
  const arma::mat twice = 1.8 * arma::mat(12, 12, arma::fill::eye);
  const ScoreReport wrong = test_score(RealLinear(twice), h, 0.5);
  EXPECT_GT(std::abs(wrong.stein - 1.0), 0.5);
  EXPECT_GT(std::abs(wrong.predicted / wrong.measured - 1.0), 0.1);
}

// Components of low rank: as many complex dimensions pass as they have, at high SNR.
TEST(Dimension, OfLowRankPriorsIsTheirRank) {
  Rng rng = test_rng(9);
  for (const arma::uword rank : {2, 5, 9}) {
    const arma::cx_mat W = rng.cx_normal(16, rank);
    const arma::cx_mat C = W * W.t() * (16.0 / arma::accu(squared_magnitudes(W)));
    const auto denoiser = make_gaussian_denoiser(0.5 * (C + C.t()));
    const arma::cx_mat h = covariance_factor(C) * rng.cx_normal(16, 400);
    const DimensionReport report = measure_dimension(*denoiser, h, 1e-4);
    EXPECT_NEAR(report.trace, double(rank), 0.02) << rank;
    // 400 channels of rank complex errors: 5 standard errors.
    EXPECT_NEAR(report.error / double(rank), 1.0, 5.0 / std::sqrt(400.0 * double(rank)));
    EXPECT_EQ(report.count, double(rank));
  }
}

// Error of the density by Heun on a mixture: a quarter for twice the steps, and below 0.05 nat at 200 [T26].
TEST(Flow, DensityOfAMixtureConvergesToItsClosedForm) {
  Rng rng = test_rng(10);
  const GaussianMixture prior = cluster_mixture(8, 3, 2, rng, 0.15);
  const auto denoiser = make_gaussian_mixture_denoiser(prior);
  FlowOptions options;
  options.tau2_low = 0.02;
  options.tau2_high = 4e4;
  options.trace = TraceRule::predicted;
  options.C = second_moment(prior);
  const arma::cx_mat z = flow_start(draw(prior, 40, rng), options, *denoiser);
  const arma::vec exact = mixture_log_density(prior, z, 0.02);
  arma::vec errors(3);
  for (arma::uword i = 0; i < 3; ++i) {
    options.n_steps = 100 << i;
    errors(i) = arma::mean(arma::abs(flow_log_density(*denoiser, z, options) - exact));
    seen(("error at " + std::to_string(options.n_steps)).c_str(), errors(i));
  }
  EXPECT_LT(errors(1), 0.05);
  EXPECT_NEAR(errors(0) / errors(1), 4.0, 1.2);
  EXPECT_NEAR(errors(1) / errors(2), 4.0, 1.2);
  // The other rules see the same trace, whole or on average.
  options.n_steps = 60;
  const arma::cx_mat few = z.head_cols(3);
  const arma::vec predicted = flow_log_density(*denoiser, few, options);
  options.trace = TraceRule::whole;
  EXPECT_LT(max_difference(flow_log_density(*denoiser, few, options), predicted), 1e-8);
  options.trace = TraceRule::probes;
  options.n_probes = 200;
  EXPECT_LT(max_difference(flow_log_density(*denoiser, few, options), predicted), 1.5);
}

TEST(Flow, DensityOfAMixtureAgreesWithDenseInverses) {
  Rng rng = test_rng(11);
  const GaussianMixture prior = random_mixture(4, 3, rng);
  const arma::cx_mat z = rng.cx_normal(4, 2);
  const arma::vec seen_density = mixture_log_density(prior, z, 0.3);
  for (arma::uword k = 0; k < 2; ++k) {
    EXPECT_NEAR(seen_density(k), MixturePosterior(prior, z.col(k), 0.3).log_density, 1e-10);
  }
}

// BDIA inverts its steps: the round trip is exact up to rounding, DDIM's is not; the noise is white [T29].
TEST(Flow, BdiaInvertsExactly) {
  Rng rng = test_rng(12);
  const GaussianMixture prior = cluster_mixture(8, 3, 2, rng, 0.15);
  const auto denoiser = make_gaussian_mixture_denoiser(prior);
  const arma::cx_mat h = draw(prior, 200, rng);
  FlowOptions options;
  options.tau2_low = 0.01;
  options.n_steps = 40;
  const InversionReport report = measure_inversion(*denoiser, h, 1.0, options);
  EXPECT_LT(report.bdia, 1e-11);
  EXPECT_GT(report.ddim, 1e-3);
  EXPECT_NEAR(report.latent_bdia, 1.0, 0.08);
  seen("ddim", report.ddim);
  seen("latent", report.latent_bdia);
  options.n_steps = 160;
  EXPECT_LT(measure_inversion(*denoiser, h, 1.0, options).ddim, 0.5 * report.ddim);
  options.n_steps = 10;
  EXPECT_LT(measure_inversion(*denoiser, h, 0.5, options).bdia, 1e-9);
}

/// The empirical prior: every channel of training, as likely.
std::unique_ptr<Denoiser> kernel_denoiser(const arma::cx_mat& train) {
  GaussianMixture prior;
  prior.weights.set_size(train.n_cols);
  prior.weights.fill(1.0 / double(train.n_cols));
  prior.means = train;
  prior.covariances.assign(train.n_cols,
                           1e-9 * arma::cx_mat(train.n_rows, train.n_rows, arma::fill::eye));
  return make_gaussian_mixture_denoiser(prior);
}

// The kernel denoiser is the exact memoriser, the prior itself the exact generaliser [T18].
TEST(Memorise, TellsTheMemoriserFromTheGeneraliser) {
  Rng rng = test_rng(13);
  const GaussianMixture prior = cluster_mixture(16, 4, 4, rng);
  const arma::cx_mat a = draw(prior, 100, rng), b = draw(prior, 100, rng);
  const arma::cx_mat test = draw(prior, 300, rng);
  MemoriseOptions options;
  options.snr_db = {0.0, 10.0};
  options.n_samples = 40;
  const auto kernel_a = kernel_denoiser(a), kernel_b = kernel_denoiser(b);
  const MemoriseReport copied = compare_fits({*kernel_a, *kernel_b, a, b, test}, 16, 1, options);
  EXPECT_TRUE(copied.memorised());
  EXPECT_FALSE(copied.generalised());
  EXPECT_EQ(copied.copies, 1.0);
  EXPECT_GT(copied.cosine_train, 0.999);
  const auto exact = make_gaussian_mixture_denoiser(prior);
  const MemoriseReport learned = compare_fits({*exact, *exact, a, b, test}, 16, 1, options);
  EXPECT_FALSE(learned.memorised());
  EXPECT_TRUE(learned.generalised());
  EXPECT_LT(learned.copies, 0.05);
  EXPECT_NEAR(learned.cosine_samples, 1.0, 1e-9);
  EXPECT_EQ(learned.levels[0].disagreement, 0.0);
  EXPECT_NEAR(learned.cosine_train, learned.cosine_fresh, 0.1);
  seen("cosine_train", learned.cosine_train);
}

TEST(Analysis, RefusesWhatDoesNotFit) {
  Rng rng = test_rng(14);
  const auto denoiser = make_gaussian_denoiser(random_covariance(4, rng));
  const arma::cx_mat h = rng.cx_normal(4, 3);
  EXPECT_TRUE(refused([&] { DenoiserDerivative(*denoiser, h.col(0), 0.0); }, "sigma2 is 0"));
  EXPECT_TRUE(
      refused([&] { DenoiserDerivative(*denoiser, rng.cx_normal(3, 1), 1.0); }, "3 entries"));
  EXPECT_TRUE(refused([&] { analyse_jacobian(*denoiser, h.col(0), h.col(0), 1.0, 3, 1); }, "3x1"));
  EXPECT_TRUE(
      refused([&] { measure_dimension(*denoiser, arma::cx_mat(4, 0), 1.0); }, "no channels"));
  EXPECT_TRUE(refused([&] { measure_inversion(*denoiser, h, 2.0); }, "g is 2"));
  FlowOptions flow;
  flow.tau2_low = 500.0;
  EXPECT_TRUE(refused([&] { flow_log_density(*denoiser, h, flow); }, "low < high"));
  flow = {};
  flow.trace = TraceRule::predicted;
  const RealLinear plain(arma::mat(8, 8, arma::fill::eye));
  EXPECT_TRUE(refused([&] { flow_log_density(plain, h, flow); }, "use probes"));
  const arma::cx_mat none(4, 0);
  EXPECT_TRUE(refused([&] { compare_fits({*denoiser, *denoiser, h, none, h}, 4, 1); }, "is empty"));
}

}  // namespace
}  // namespace chest
