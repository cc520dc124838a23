#include <chest/estimators/diffusion/particles.hpp>

#include <gtest/gtest.h>

#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/parallel.hpp>
#include <chest/testing/estimator_contract.hpp>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/exact_prior.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

using OperatorPtr = std::shared_ptr<const ObservationOperator>;
using DenoiserPtr = std::shared_ptr<const Denoiser>;

/// ln p(y) of a mixture: sum_k w_k CN(y; A m_k, A C_k A^H + sigma2 I).
double log_evidence(const GaussianMixture& prior, const arma::cx_mat& A, const arma::cx_vec& y,
                    double sigma2) {
  GaussianMixture seen_prior;
  seen_prior.weights = prior.weights;
  seen_prior.means = A * prior.means;
  for (const arma::cx_mat& C : prior.covariances) seen_prior.covariances.push_back(A * C * A.t());
  return MixturePosterior(seen_prior, y, sigma2).log_density;
}

struct MixtureScene : Scene {
  GaussianMixture prior;
  DenoiserPtr denoiser;
  arma::cx_mat exact;
  arma::vec evidence;
  MixtureScene(arma::uword n_h, arma::uword n_obs, arma::uword n_samples, double sigma2,
               std::uint64_t seed) {
    Rng rng = test_rng(seed);
    prior = cluster_mixture(n_h, 6, 2, rng, 0.08);
    denoiser = make_gaussian_mixture_denoiser(prior);
    const arma::cx_mat matrix = qpsk_rows(n_obs, n_h, rng);
    A = make_dense_observation(matrix);
    h = draw(prior, n_samples, rng);
    observe(*this, sigma2, rng);
    exact = make_gmm(A, prior)->estimate(observation).h;
    evidence.set_size(n_samples);
    for (arma::uword k = 0; k < n_samples; ++k) {
      evidence(k) = log_evidence(prior, matrix, observation.y.col(k), sigma2);
    }
  }
};

double rms(const arma::vec& x) { return std::sqrt(arma::mean(arma::square(x))); }

// More particles, nearer to E[h | y] and ln p(y).
TEST(Particles, TendToTheConditionalMeanAndTheEvidence) {
  const MixtureScene scene(8, 4, 16, 0.3, 1);
  ParticleOptions options;
  options.n_levels = 40;
  for (const auto& [n_particles, n_channels, nats, distance_db] :
       {std::tuple(32u, 16u, 1.5, -12.0), std::tuple(256u, 8u, 1.2, -18.0)}) {
    options.n_particles = n_particles;
    const arma::uvec which = arma::regspace<arma::uvec>(0, n_channels - 1);
    const Estimate estimate = make_particles(scene.A, scene.denoiser, options)
                                  ->estimate(scene.observation.columns(which));
    const double error = rms(estimate.log_evidence - scene.evidence.elem(which));
    const double distance = nmse_db(estimate.h, scene.exact.cols(which));
    seen(("nats_" + std::to_string(n_particles)).c_str(), error);
    seen(("distance_db_" + std::to_string(n_particles)).c_str(), distance);
    EXPECT_LT(error, nats);
    EXPECT_LT(distance, distance_db);
  }
}

// Potentials without a gradient ask for more particles. The flat one leaves the prior out: its
// evidence comes in from below with particles and levels (30 levels: 2.5 nat off with 400
// particles, 1.7 with 3000; 120 levels: 1.8 with 400).
TEST(Particles, WorkWithEveryPotential) {
  const MixtureScene scene(8, 4, 12, 0.3, 2);
  for (const ParticlePotential potential :
       {ParticlePotential::tweedie, ParticlePotential::isotropic, ParticlePotential::flat}) {
    const std::string name = name_of(particle_potential_names, potential);
    SCOPED_TRACE(name);
    ParticleOptions options;
    options.n_levels = 30;
    const bool tweedie = potential == ParticlePotential::tweedie,
               flat = potential == ParticlePotential::flat;
    options.n_particles = tweedie ? 32 : flat ? 3000 : 400;
    options.potential = potential;
    const Estimate estimate =
        make_particles(scene.A, scene.denoiser, options)->estimate(scene.observation);
    const double error = rms(estimate.log_evidence - scene.evidence);
    const double distance = nmse_db(estimate.h, scene.exact);
    seen(("nats_" + name).c_str(), error);
    seen(("distance_db_" + name).c_str(), distance);
    EXPECT_LT(error, flat ? 3.0 : 1.5);
    EXPECT_LT(distance, -8.0);
    EXPECT_EQ(estimate.nfe, options.n_levels * options.n_particles * (tweedie ? 1 + 2 * 4 : 1));
  }
}

// With a Gaussian prior E[h | z, y] is known exactly, so particles differ by discretisation alone.
TEST(Particles, GiveTheEvidenceOfAGaussianPrior) {
  Rng rng = test_rng(3);
  const arma::cx_mat C = random_covariance(6, rng), matrix = rng.cx_normal(3, 6, 1.0 / 6.0);
  const OperatorPtr A = make_dense_observation(matrix);
  const Observation observation{
      matrix * covariance_factor(C) * rng.cx_normal(6, 5) + rng.cx_normal(3, 5, 0.2), 0.2};
  ParticleOptions options;
  options.n_particles = 100;
  const Estimate estimate =
      make_particles(A, make_gaussian_denoiser(C), options)->estimate(observation);
  for (arma::uword k = 0; k < 5; ++k) {
    EXPECT_NEAR(estimate.log_evidence(k),
                log_evidence(one_component(C), matrix, observation.y.col(k), 0.2), 0.3);
  }
}

TEST(Particles, KeepTheContractOfEstimators) {
  const OneBlasThread one_blas_thread;
  Rng rng = test_rng(4);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const DenoiserPtr denoiser = make_gaussian_mixture_denoiser(prior);
  Scene scene;
  scene.A = make_dense_observation(rng.cx_normal(4, 6));
  scene.h = draw(prior, 4, rng);
  observe(scene, 0.2, rng);
  ParticleOptions options;
  options.n_levels = 8;
  options.n_particles = 6;
  for (const ParticlePotential potential :
       {ParticlePotential::tweedie, ParticlePotential::isotropic, ParticlePotential::flat}) {
    options.potential = potential;
    expect_estimator_contract(*make_particles(scene.A, denoiser, options), *scene.A,
                              scene.observation, 1e-9);
  }
  struct Plain final : Denoiser {
    using Denoiser::denoise;
    std::string name() const override { return "plain prior"; }
    arma::uword n_h() const override { return 6; }
    void denoise(const arma::cx_mat& z, double, arma::cx_mat& out) const override { out = z; }
  };
  EXPECT_EQ(make_particles(scene.A, std::make_shared<Plain>())->estimate(scene.observation).nfe,
            50u * 16u);  // what needs no gradient is the choice there
  options.potential = ParticlePotential::tweedie;
  EXPECT_TRUE(refused([&] { make_particles(scene.A, std::make_shared<Plain>(), options); },
                      "plain prior has no gradient"));
  EXPECT_TRUE(refused([&] { make_particles(nullptr, denoiser); }, "A is not given"));
  options.n_particles = 0;
  EXPECT_TRUE(refused([&] { make_particles(scene.A, denoiser, options); }, "particles is 0"));
  options.n_particles = 1;
  options.n_levels = 0;
  EXPECT_TRUE(refused([&] { make_particles(scene.A, denoiser, options); }, "levels is 0"));
}

}  // namespace
}  // namespace chest
