#include <gtest/gtest.h>

#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/estimators/prior/compositions.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/exact.hpp>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/exact_prior.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

using OperatorPtr = std::shared_ptr<const ObservationOperator>;
using DenoiserPtr = std::shared_ptr<const Denoiser>;

arma::cx_mat identity(arma::uword n) { return arma::cx_mat(n, n, arma::fill::eye); }

std::unique_ptr<Estimator> tweedie_walk(const OperatorPtr& A, const DenoiserPtr& denoiser,
                                        arma::uword n_levels, double tau2_first) {
  ProximalOptions options;
  options.variance.kind = VarianceKind::tweedie;
  WalkOptions walk;
  walk.n_levels = n_levels;
  walk.tau2_first = tau2_first;
  return make_walk(make_proximal_guidance(A, denoiser, options), walk);
}

arma::cx_mat block_diagonal(const arma::cx_mat& a, const arma::cx_mat& b) {
  arma::cx_mat out(a.n_rows + b.n_rows, a.n_cols + b.n_cols, arma::fill::zeros);
  out.submat(0, 0, arma::size(a)) = a;
  out.submat(a.n_rows, a.n_cols, arma::size(b)) = b;
  return out;
}

// y = A h + B i + n with two Gaussian priors: LMMSE of [h; i] for [A B], whatever the grid.
TEST(TwoSignals, OfGaussianPriorsAreEstimatedByTheStackedLmmse) {
  Rng rng = test_rng(1);
  const arma::cx_mat C = random_covariance(8, rng), Q = random_covariance(6, rng);
  const arma::cx_mat A = qpsk_rows(7, 8, rng), B = qpsk_rows(7, 6, rng);
  const OperatorPtr both =
      make_stacked_observation({make_dense_observation(A), make_dense_observation(B)});
  const DenoiserPtr denoiser =
      make_product_denoiser({make_gaussian_denoiser(C), make_gaussian_denoiser(Q)});
  const Observation observation{rng.cx_normal(7, 20, 2.0), 0.1};
  const GaussianPosterior posterior(arma::join_rows(A, B), block_diagonal(C, Q), 0.1);
  const arma::cx_mat lmmse = posterior.filter * observation.y;
  const double largest = arma::eig_sym(arma::cx_mat(posterior.covariance)).max();
  for (const arma::uword n_levels : {5, 20}) {
    const arma::cx_mat x = tweedie_walk(both, denoiser, n_levels, 4e4)->estimate(observation).h;
    EXPECT_LT(max_difference(x, posterior.mean_forward(observation.y, 4e4)), 1e-10);
    const double left = arma::norm(x - lmmse, "fro") / arma::norm(lmmse, "fro");
    seen("left", left);
    EXPECT_LT(left, 1.5 * largest / (largest + 4e4));
  }
}

/// The prior of [h; i] for two independent mixtures.
GaussianMixture joint(const GaussianMixture& p, const GaussianMixture& q) {
  GaussianMixture out;
  out.weights = arma::kron(p.weights, q.weights);
  out.means.set_size(p.n_h() + q.n_h(), out.weights.n_elem);
  for (arma::uword a = 0; a < p.n_components(); ++a) {
    for (arma::uword b = 0; b < q.n_components(); ++b) {
      out.means.col(a * q.n_components() + b) =
          arma::join_cols(p.means.col(a), q.means.col(b)).eval();
      out.covariances.push_back(block_diagonal(p.covariances[a], q.covariances[b]));
    }
  }
  return out;
}

// Two mixtures: the denoiser is that of their joint mixture, and no rule beats its conditional
// mean.
TEST(TwoSignals, OfMixturesAreNotEstimatedBetterThanByTheJointConditionalMean) {
  Rng rng = test_rng(2);
  const GaussianMixture p = cluster_mixture(8, 6, 2, rng, 0.08),
                        q = cluster_mixture(8, 4, 0, rng, 0.03);
  const GaussianMixture both_prior = joint(p, q);
  const DenoiserPtr denoiser =
      make_product_denoiser({make_gaussian_mixture_denoiser(p), make_gaussian_mixture_denoiser(q)});
  const arma::cx_mat z = rng.cx_normal(16, 5, 1.5);
  EXPECT_LT(max_difference(denoiser->denoise(z, 0.3),
                           make_gaussian_mixture_denoiser(both_prior)->denoise(z, 0.3)),
            1e-12);

  const OperatorPtr A = make_dense_observation(qpsk_rows(6, 8, rng)),
                    B = make_dense_observation(qpsk_rows(6, 8, rng)),
                    both = make_stacked_observation({A, B});
  const arma::cx_mat h = draw(p, 150, rng), i = draw(q, 150, rng);
  for (const double sigma2 : {1.0, 0.1}) {
    const Observation observation{
        both->apply(arma::join_cols(h, i)) + rng.cx_normal(6, 150, sigma2), sigma2};
    const arma::cx_mat exact = make_gmm(both, both_prior)->estimate(observation).h.head_rows(8);
    const arma::cx_mat found =
        tweedie_walk(both, denoiser, 15, 400.0)->estimate(observation).h.head_rows(8);
    // Interference as noise of the same power.
    const arma::cx_mat alone = make_gmm(A, p)->estimate({observation.y, sigma2 + 1.0}).h;
    seen(sigma2 == 1.0 ? "exact_0_db" : "exact_10_db", nmse_db(exact, h));
    seen(sigma2 == 1.0 ? "found_0_db" : "found_10_db", nmse_db(found, h));
    seen(sigma2 == 1.0 ? "alone_0_db" : "alone_10_db", nmse_db(alone, h));
    const auto errors = [&](const arma::cx_mat& x) {
      return arma::vec(arma::sum(arma::square(arma::abs(x - h)), 0).t());
    };
    const arma::vec excess = errors(found) - errors(exact);
    // Three standard errors of the paired difference.
    EXPECT_GT(arma::mean(excess), -3.0 * arma::stddev(excess) / std::sqrt(150.0));
    EXPECT_LT(nmse_db(exact, h), nmse_db(alone, h));
  }
}

// Slices with a Gaussian prior and coupling mu sum ||h_{l+1} - h_l||^2, as zeros observed for the
// differences: LMMSE with the prior precision I kron C^-1 + mu B^H B kron I.
TEST(CoupledSlices, OfAGaussianPriorAreEstimatedByTheStackedLmmse) {
  Rng rng = test_rng(3);
  constexpr arma::uword n_h = 8, n_obs = 4, n_slices = 3, n_samples = 6;
  const double mu = 2.0, sigma2 = 0.1;
  const arma::cx_mat C = random_covariance(n_h, rng), A = qpsk_rows(n_obs, n_h, rng);
  const OperatorPtr coupled =
      make_coupled_slices_observation(make_dense_observation(A), n_slices, std::sqrt(mu * sigma2));
  const DenoiserPtr denoiser = make_slice_denoiser(make_gaussian_denoiser(C), n_slices);
  const arma::cx_mat pilots = rng.cx_normal(n_slices * n_obs, n_samples, 2.0);
  const arma::cx_mat none((n_slices - 1) * n_h, n_samples, arma::fill::zeros);

  arma::mat B(n_slices - 1, n_slices, arma::fill::zeros);
  for (arma::uword l = 0; l + 1 < n_slices; ++l) {
    B(l, l) = -1.0;
    B(l, l + 1) = 1.0;
  }
  const arma::cx_mat stiffness = arma::conv_to<arma::cx_mat>::from(arma::mat(B.t() * B));
  const arma::cx_mat prior_precision = arma::kron(identity(n_slices), arma::cx_mat(C.i())) +
                                       mu * arma::kron(stiffness, identity(n_h));
  const arma::cx_mat P =
      (prior_precision + arma::kron(identity(n_slices), arma::cx_mat(A.t() * A)) / sigma2).i();
  const arma::cx_mat lmmse =
      P * arma::kron(identity(n_slices), arma::cx_mat(A.t())) * pilots / sigma2;
  const double largest = arma::eig_sym(arma::cx_mat(0.5 * (P + P.t()))).max();
  for (const arma::uword n_levels : {5, 50}) {
    const arma::cx_mat x = tweedie_walk(coupled, denoiser, n_levels, 4e4)
                               ->estimate({arma::join_cols(pilots, none), sigma2})
                               .h;
    const double left = arma::norm(x - lmmse, "fro") / arma::norm(lmmse, "fro");
    seen(n_levels == 5 ? "left_5" : "left_50", left);
    EXPECT_LT(left, 1.5 * largest / (largest + 4e4));
    EXPECT_LT(max_difference(x, 4e4 * arma::solve(P + 4e4 * identity(P.n_rows), lmmse)), 1e-9);
  }
}

// Two clusters with a label: without guidance it is the LMMSE of the cluster, which nothing betters.
TEST(Guidance, OtherThanNoneIsNoEstimate) {
  Rng rng = test_rng(21);
  const GaussianMixture both = cluster_mixture(16, 2, 0, rng, 0.1);
  const arma::cx_mat C = both.covariances[0];
  const DenoiserPtr of_class = make_gaussian_denoiser(C),
                    of_all = make_gaussian_mixture_denoiser(both);
  const double sigma2 = 1.0;
  const arma::cx_mat h = draw(one_component(C), 4000, rng);
  const arma::cx_mat z = h + rng.cx_normal(16, 4000, sigma2);
  const arma::cx_mat lmmse = C * arma::solve(arma::cx_mat(C + sigma2 * identity(16)), z);
  const auto guided = [&](double weight) {
    return make_guided_denoiser(of_class, of_all, weight)->denoise(z, sigma2);
  };
  EXPECT_LT(max_difference(guided(0.0), lmmse), 1e-10);
  const double least = nmse_db(guided(0.0), h);
  for (const double weight : {-1.0, -0.5, 0.5, 1.0, 3.0}) {
    seen("beyond the least", nmse_db(guided(weight), h) - least);
    EXPECT_GT(nmse_db(guided(weight), h), least) << weight;
  }
  EXPECT_LT(max_difference(guided(-1.0), of_all->denoise(z, sigma2)), 1e-12);
  // Its derivative is that of the sum.
  const auto step = make_guided_denoiser(of_class, of_all, 2.0)->linearise(z.head_cols(1), sigma2);
  const arma::cx_mat w = rng.cx_normal(16, 1), d = 1e-6 * rng.cx_normal(16, 1);
  arma::cx_mat back;
  step->pull_back(w, back);
  const auto D = [&](const arma::cx_mat& at) {
    return make_guided_denoiser(of_class, of_all, 2.0)->denoise(at, sigma2);
  };
  const arma::cx_mat change = D(z.head_cols(1) + d) - D(z.head_cols(1) - d);
  EXPECT_NEAR(std::real(arma::cdot(w, change)), 2.0 * std::real(arma::cdot(back, d)), 1e-10);
}

}  // namespace
}  // namespace chest
