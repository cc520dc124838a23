#include <gtest/gtest.h>

#include <chest/error.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/metrics.hpp>
#include <filesystem>

#include "tests/support/golden.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

GaussianMixture golden_prior(const EstimatorsGolden& golden) {
  return load_gaussian_mixture(golden.archive, "/prior");
}

TEST(Gmm, AgreesWithASecondImplementation) {
  const EstimatorsGolden golden;
  const GaussianMixture prior = golden_prior(golden);
  for (const std::string name : {"identity", "dft", "few", "many", "dense"}) {
    const auto gmm = make_gmm(golden.observation(name), prior);
    for (arma::uword i = 0; i < golden.sigma2.n_elem; ++i) {
      const std::string group = "/" + name + "/" + std::to_string(i) + "/";
      const Estimate estimate = gmm->estimate({golden.cx(group + "y"), golden.sigma2(i)});
      EXPECT_LT(max_difference(estimate.h, golden.cx(group + "gmm")), 1e-9) << group;
      EXPECT_LT(max_difference(estimate.mse, golden.real(group + "gmm_mse")), 1e-9) << group;
    }
  }
}

TEST(Gmm, OneComponentIsLmmse) {
  const Scene scene = correlated_scene({.n_pilots = 2});
  const GaussianMixture prior{{1.0}, arma::cx_mat(12, 1, arma::fill::zeros), {scene.C}};
  const Estimate gmm = make_gmm(scene.A, prior)->estimate(scene.observation);
  const Estimate lmmse = make_lmmse(scene.A, scene.C)->estimate(scene.observation);
  EXPECT_LT(max_difference(gmm.h, lmmse.h), 1e-12);
  EXPECT_LT(max_difference(gmm.mse, lmmse.mse), 1e-12);
}

TEST(Gmm, SplittingAComponentOrPermutingThemChangesNothing) {
  Rng rng = test_rng(2);
  const GaussianMixture prior = random_mixture(12, 3, rng);
  const Scene scene = mixture_scene(prior, {.n_pilots = 2});
  const arma::uvec order{2, 0, 1, 1};
  GaussianMixture split{prior.weights.elem(order), prior.means.cols(order), {}};
  split.weights(2) *= 0.25;
  split.weights(3) *= 0.75;
  for (const arma::uword k : order) split.covariances.push_back(prior.covariances[k]);
  const Estimate a = make_gmm(scene.A, prior)->estimate(scene.observation);
  const Estimate b = make_gmm(scene.A, split)->estimate(scene.observation);
  EXPECT_LT(max_difference(a.h, b.h), 1e-12);
  EXPECT_LT(max_difference(a.mse, b.mse), 1e-11);
}

TEST(Gmm, PredictedErrorIsTheMeasuredOneAndBelowThatOfLmmse) {
  Rng rng = test_rng(2);
  const GaussianMixture prior = random_mixture(12, 3, rng);
  const Scene scene = mixture_scene(prior, {.n_pilots = 2, .n_samples = 20'000});
  const Estimate gmm = make_gmm(scene.A, prior)->estimate(scene.observation);
  const arma::vec errors = squared_errors(gmm.h, scene.h);
  // Each error minus its own prediction has mean zero. Fails for one seed in a million.
  EXPECT_TRUE(mean_is(errors - gmm.mse, 0.0, 1e-6));
  arma::cx_mat C = prior.means * arma::diagmat(arma::conv_to<arma::cx_vec>::from(prior.weights)) *
                   prior.means.t();
  for (arma::uword k = 0; k < 3; ++k) C += prior.weights(k) * prior.covariances[k];
  const Estimate lmmse = make_lmmse(scene.A, C)->estimate(scene.observation);
  EXPECT_LT(arma::mean(errors), arma::mean(squared_errors(lmmse.h, scene.h)));
}

TEST(Gmm, ComponentsFarAwayNeitherOverflowNorCount) {
  GaussianMixture prior{{0.5, 0.5},
                        arma::cx_mat(2, 2, arma::fill::zeros),
                        {arma::cx_mat(2, 2, arma::fill::eye), arma::cx_mat(2, 2, arma::fill::eye)}};
  prior.means.col(1).fill(1e6);
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(2, 1);
  const Observation observation{arma::cx_mat(2, 1, arma::fill::ones), 1e-6};
  const Estimate estimate = make_gmm(A, prior)->estimate(observation);
  EXPECT_LT(max_difference(estimate.h, observation.y), 2e-6);
}

TEST(Gmm, RefusesWhatDoesNotFit) {
  const Scene scene = correlated_scene({});
  GaussianMixture prior{{1.0}, arma::cx_mat(12, 1, arma::fill::zeros), {scene.C}};
  EXPECT_THROW(make_gmm(nullptr, prior), Error);
  EXPECT_THROW(make_gmm(make_identity_observation(2, 2), prior), Error);
  GaussianMixture indefinite = prior;
  indefinite.covariances[0] -= 2.0 * arma::cx_mat(12, 12, arma::fill::eye);
  try {
    make_gmm(scene.A, indefinite);
    ADD_FAILURE() << "did not refuse";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::numeric);
    EXPECT_EQ(std::string(error.what()).find("gmm: the covariance of component 0 has the eigenv"),
              0u)
        << error.what();
  }
  prior.weights(0) = 0.5;
  EXPECT_THROW(make_gmm(scene.A, prior), Error);
}

TEST(GmmModel, SurvivesItsFile) {
  Rng rng = test_rng(4);
  GmmModel model{3, 2, random_mixture(6, 2, rng), 1.5, "{}", {}};
  const auto file = std::filesystem::temp_directory_path() / "chest_gmm_test.h5";
  save(file, model);
  const GmmModel read = load_gmm_model(file);
  std::filesystem::remove(file);
  EXPECT_EQ(max_difference(read.prior.means, model.prior.means), 0.0);
  EXPECT_EQ(max_difference(read.prior.covariances[1], model.prior.covariances[1]), 0.0);
  EXPECT_EQ(max_difference(read.prior.weights, model.prior.weights), 0.0);
  EXPECT_EQ(read.channel_scale, 1.5);
}

TEST(MixturePosterior, IsTheOneOfGmmAndComposes) {
  Rng rng = test_rng(5);
  const GaussianMixture prior = random_mixture(6, 3, rng);
  const Scene scene = mixture_scene(prior, {2, 3, 2, 1, 0.2, 6});
  const arma::cx_vec y = scene.observation.y.col(0);
  const GaussianMixture posterior = mixture_posterior(prior, *scene.A, y, 0.2);
  EXPECT_EQ(posterior.why_invalid(), "");
  const Estimate estimate = make_gmm(scene.A, prior)->estimate(scene.observation);
  const arma::cx_vec mean = posterior.means * posterior.weights;
  EXPECT_LT(max_difference(mean, arma::cx_vec(estimate.h.col(0))), 1e-12);
  EXPECT_NEAR(arma::trace(second_moment(posterior)).real() - std::pow(arma::norm(mean), 2),
              estimate.mse(0), 1e-11);

  const arma::cx_mat& P = *scene.A->pilots();
  const auto one = make_kronecker_observation(P.col(0), 2);
  const auto two = make_kronecker_observation(P.col(1), 2);
  const GaussianMixture steps =
      mixture_posterior(mixture_posterior(prior, *one, y.head(2), 0.2), *two, y.tail(2), 0.2);
  EXPECT_LT(arma::abs(steps.weights - posterior.weights).max(), 1e-12);
  EXPECT_LT(max_difference(steps.means, posterior.means), 1e-12);
  EXPECT_LT(max_difference(steps.covariances[1], posterior.covariances[1]), 1e-12);
}

}  // namespace
}  // namespace chest
