#include <gtest/gtest.h>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/metrics.hpp>

#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

TEST(Ls, IsTheObservationItselfForIdentityPilots) {
  const Scene scene = correlated_scene({});
  const Estimate estimate = make_ls(scene.A)->estimate(scene.observation);
  EXPECT_EQ(max_difference(estimate.h, scene.observation.y), 0.0);
  EXPECT_NEAR(estimate.mse(0), 12 * 0.1, 1e-14);
}

TEST(Ls, RecoversTheChannelWithoutNoiseWhenThereAreEnoughPilots) {
  Scene scene = correlated_scene({.n_pilots = 5});
  scene.observation.y = scene.A->apply(scene.h);
  EXPECT_LT(max_difference(make_ls(scene.A)->estimate(scene.observation).h, scene.h), 1e-12);
}

TEST(Ls, MeasuredErrorMatchesThePredictedOne) {
  const Scene scene = correlated_scene({.n_pilots = 5, .n_samples = 20'000});
  const Estimate estimate = make_ls(scene.A)->estimate(scene.observation);
  ASSERT_EQ(estimate.mse.n_elem, 20'000u);
  // Correct code fails for one seed in a million; sigma2 wrong by 2 % is caught.
  EXPECT_TRUE(mean_is(squared_errors(estimate.h, scene.h), estimate.mse(0), 1e-6));
}

TEST(Ls, HasMinimumNormAndPredictsNothingWithFewPilots) {
  const Scene scene = correlated_scene({.n_pilots = 2});
  const Estimate estimate = make_ls(scene.A)->estimate(scene.observation);
  EXPECT_TRUE(estimate.mse.is_empty());
  // It explains y, and lies in the row space of A: A^+ A h_hat = h_hat.
  EXPECT_LT(max_difference(scene.A->apply(estimate.h), scene.observation.y), 1e-12);
  EXPECT_LT(max_difference(scene.A->pseudo_inverse(scene.A->apply(estimate.h)), estimate.h), 1e-12);
}

TEST(Ls, RefusesAMissingA) { EXPECT_THROW(make_ls(nullptr), Error); }

}  // namespace
}  // namespace chest
