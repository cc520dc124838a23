#include <gtest/gtest.h>

#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/estimators/diffusion/ep.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/parallel.hpp>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/exact_prior.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

// Half as many pilots as antennas, 10 dB, a prior of one and two clusters, its denoiser exact: the
// order in which rules come, and by how much. The channels are the same for all, so differences are
// known to a few tenths of a dB.
TEST(SolverOrder, OnTheClusterMixtureIsThatOfTheReference) {
  const OneBlasThread one_blas_thread;
  Rng rng = test_rng(2026);
  const GaussianMixture prior = cluster_mixture(16, 16, 16, rng);
  const std::shared_ptr<const Denoiser> denoiser = make_gaussian_mixture_denoiser(prior);
  Scene scene;
  scene.A = make_dense_observation(qpsk_rows(8, 16, rng));
  scene.h = draw(prior, 100, rng);
  observe(scene, 0.1, rng);
  const auto nmse = [&](const char* name, const Estimator& estimator) {
    const double db = nmse_db(estimator.estimate(scene.observation).h, scene.h);
    seen(name, db);
    return db;
  };
  const std::shared_ptr<const Guidance> type2 = make_proximal_guidance(scene.A, denoiser);
  const auto walk = [&](WalkUpdate update) {
    WalkOptions options;
    options.update = update;
    options.n_levels = 50;
    if (update == WalkUpdate::fresh) {
      options.n_levels = 15;
      options.tau2_first = 25.0;
      options.tau2_last = 1e-3;
      options.inner = 8;
      options.n_runs = 8;
    }
    return make_walk(type2, options);
  };
  EpOptions ep;
  ep.errors = measure_errors(*denoiser, samples_in_memory(draw(prior, 500, rng), 16, 1),
                             arma::logspace(-5.0, 2.0, 20), 1, ErrorDetail::mse);

  const double best = nmse("conditional_mean", *make_gmm(scene.A, prior));
  const double by_ep = nmse("ep", *make_ep(scene.A, denoiser, ep));
  const double fresh = nmse("fresh_8_averaged", *walk(WalkUpdate::fresh));
  const double mean = nmse("type_2_mean", *walk(WalkUpdate::mean));
  const double sample = nmse("one_ancestral_sample", *walk(WalkUpdate::ancestral));
  // Seen: -9.4 | -8.3 and -7.7 | -5.7 | -1.4 dB.
  EXPECT_GT(std::min(by_ep, fresh) - best, 0.5);
  EXPECT_GT(mean - std::max(by_ep, fresh), 1.0);
  EXPECT_GT(sample - mean, 2.0);
}

}  // namespace
}  // namespace chest
