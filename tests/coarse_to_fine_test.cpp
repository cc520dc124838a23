#include <chest/estimators/diffusion/coarse_to_fine.hpp>

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

/// Knows nothing but noise: D = 0. Remembers the size of what it was given; for one thread.
class ZeroDenoiser final : public Denoiser {
 public:
  explicit ZeroDenoiser(arma::uword n) : n_(n) {}
  using Denoiser::denoise;
  std::string name() const override { return "zero"; }
  arma::uword n_h() const override { return n_; }
  void denoise(const arma::cx_mat& z, double, arma::cx_mat& out) const override {
    out.zeros(arma::size(z));
  }
  bool blind() const override { return true; }
  void denoise_blind(const arma::cx_mat& z, arma::cx_mat& out) const override {
    out.zeros(arma::size(z));
    sizes.push_back(arma::norm(z, "fro"));
  }
  mutable std::vector<double> sizes;

 private:
  arma::uword n_;
};

// Without data and with D = 0, step t takes 1 - beta h_t of the size, h_t = h0 t / (1 + h0 (t -
// 1)).
TEST(CoarseToFine, FollowsItsSchedule) {
  constexpr arma::uword n = 100'000;
  const auto denoiser = std::make_shared<ZeroDenoiser>(n);
  CoarseToFineOptions options;
  options.most_iterations = 40;
  options.last_tau = 1e-9;
  const Estimate estimate = make_coarse_to_fine(make_mask_observation({0}, n), denoiser, options)
                                ->estimate({arma::cx_mat(1, 1, arma::fill::zeros), 1e-18});
  ASSERT_EQ(denoiser->sizes.size(), 41u);
  EXPECT_EQ(estimate.nfe, 41u);
  EXPECT_EQ(arma::norm(estimate.h), 0.0);
  const double start = denoiser->sizes.front() / std::sqrt(n);
  EXPECT_NEAR(start, 1.0, 5.0 / std::sqrt(n));
  double expected = denoiser->sizes.front();
  for (int t = 1; t <= 40; ++t) {
    const double share = options.step * t / (1.0 + options.step * (t - 1));
    const double kept = 1.0 - options.noise * share;
    expected *= kept;
    // A step deviates by at most 0.5 / sqrt(n), 40 of them by 3.2 / sqrt(n) = 1 %. Five times
    // that is allowed, a risk of 1e-6 each; a rule that is 0.2 % off in each step is 8 % off in the
    // end.
    EXPECT_NEAR(denoiser->sizes[t] / denoiser->sizes[t - 1] / kept, 1.0, 2.5 / std::sqrt(n)) << t;
    EXPECT_NEAR(denoiser->sizes[t] / expected, 1.0, 2.5 * std::sqrt(t) / std::sqrt(n)) << t;
  }
  seen("over_predicted_after_40_steps", denoiser->sizes.back() / expected);
}

TEST(CoarseToFine, EndsAtTheDataWhenTheyAreClean) {
  Rng rng = test_rng(1);
  const GaussianMixture prior = cluster_mixture(16, 8, 4, rng, 0.08);
  Scene scene;
  scene.A = make_dense_observation(qpsk_rows(8, 16, rng));
  scene.h = draw(prior, 10, rng);
  observe(scene, 1e-6, rng);
  const CoarseToFineOptions options;
  const Estimate estimate =
      make_coarse_to_fine(scene.A, make_gaussian_mixture_denoiser(prior), options)
          ->estimate(scene.observation);
  EXPECT_LT(estimate.nfe, options.most_iterations);
  const arma::cx_mat off = scene.A->apply(estimate.h) - scene.observation.y;
  for (arma::uword k = 0; k < 10; ++k) {
    EXPECT_LT(arma::norm(off.col(k)), 3.0 * options.last_tau * std::sqrt(8.0)) << k;
  }
  seen("largest", arma::abs(off).max());
}

// At the level of the noise the last step is proximal: the data are not copied.
TEST(CoarseToFine, DoesNotCopyTheNoise) {
  Rng rng = test_rng(2);
  const GaussianMixture prior = cluster_mixture(16, 8, 4, rng, 0.08);
  Scene scene;
  scene.A = make_identity_observation(16, 1);
  scene.h = draw(prior, 50, rng);
  observe(scene, 0.1, rng);
  const double nmse = nmse_db(make_coarse_to_fine(scene.A, make_gaussian_mixture_denoiser(prior))
                                  ->estimate(scene.observation)
                                  .h,
                              scene.h);
  seen("nmse_db", nmse);
  EXPECT_LT(nmse, -11.5);
}

TEST(CoarseToFine, KeepsTheContractOfEstimators) {
  const OneBlasThread one_blas_thread;
  Rng rng = test_rng(3);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const DenoiserPtr denoiser = make_gaussian_mixture_denoiser(prior);
  Scene scene;
  scene.A = make_dense_observation(rng.cx_normal(4, 6));
  scene.h = draw(prior, 4, rng);
  observe(scene, 0.2, rng);
  expect_estimator_contract(*make_coarse_to_fine(scene.A, denoiser), *scene.A, scene.observation,
                            1e-9);
  const auto with = [&](auto&& change) {
    CoarseToFineOptions options;
    change(options);
    make_coarse_to_fine(scene.A, denoiser, options);
  };
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.step = 0.0; }); }, "step is 0"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.noise = 1.5; }); }, "noise is 1.5"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.last_tau = 0.0; }); }, "last is 0"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.most_iterations = 0; }); }, "iterations is 0"));
  EXPECT_TRUE(
      refused([&] { make_coarse_to_fine(scene.A, make_gaussian_denoiser(prior.covariances[0])); },
              "must be told the noise level"));
}

}  // namespace
}  // namespace chest
