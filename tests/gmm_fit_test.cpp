#include <gtest/gtest.h>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/metrics.hpp>
#include <filesystem>

#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/structured_mixture.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 4, n_tx = 3, n_h = n_rx * n_tx;

SampleReader drawn(const GaussianMixture& prior, arma::uword n_samples, std::uint64_t seed) {
  Rng rng = test_rng(seed);
  return samples_in_memory(draw(expanded(prior), n_samples, rng), n_rx, n_tx);
}

GmmFitOptions options_for(MixtureCovariance kind, arma::uword n_components = 3) {
  GmmFitOptions options;
  options.covariance = kind;
  options.n_components = n_components;
  options.n_components_rx = n_components;
  options.n_components_tx = 1;
  options.rank = 2;
  options.regularisation = 1e-6;
  options.tolerance = 1e-7;
  options.seed = 3;
  return options;
}

class GmmFit : public testing::TestWithParam<MixtureCovariance> {};

TEST_P(GmmFit, NeverLosesLikelihood) {
  // More components than there are, some with few channels: the floor on eigenvalues is met.
  const SampleReader samples = drawn(far_apart(GetParam()), 300, 1);
  GmmFitOptions options = options_for(GetParam(), 8);
  options.n_components_tx = 3;
  options.regularisation = 1e-2;
  options.max_iterations = 50;
  const GmmModel model = fit_gmm(samples, options);
  const arma::vec rises = arma::diff(model.log_likelihoods);
  ASSERT_GE(rises.n_elem, 2u);
  EXPECT_GE(rises.min(), -1e-9);
  EXPECT_NEAR(mean_log_likelihood(model.prior, samples), model.log_likelihoods.back(), 1e-9);
}

TEST_P(GmmFit, RecoversAMixture) {
  const GaussianMixture truth = far_apart(GetParam());
  GmmFitOptions options = options_for(GetParam());
  options.tolerance = 1e-5;
  // 200 steps of EM leave factors on a plateau, where rounding decides how far they came.
  if (GetParam() == MixtureCovariance::factors) {
    options.max_iterations = 2000;
    options.tolerance = 1e-7;
  }
  const GmmModel model = fit_gmm(drawn(truth, 8000, 2), options);
  EXPECT_EQ(model.prior.kind(), GetParam());
  EXPECT_EQ(model.n_samples, 8000u);
  for (arma::uword k = 0; k < 3; ++k) {
    double nearest = arma::datum::inf;
    arma::uword found = 0;
    for (arma::uword j = 0; j < 3; ++j) {
      const double distance = arma::norm(model.prior.covariance(j) - truth.covariance(k), "fro") /
                              arma::norm(truth.covariance(k), "fro");
      if (distance < nearest) nearest = distance, found = j;
    }
    // The error of a sample covariance from 1600 channels is about sqrt(12 / 1600) in this norm,
    // and some channels could be of two components.
    // The two sides of kronecker take each column for a sample of its own, which costs sharpness.
    const bool kronecker = GetParam() == MixtureCovariance::kronecker;
    EXPECT_LT(nearest, kronecker ? 0.3 : 0.2) << k;
    EXPECT_NEAR(model.prior.weights(found), truth.weights(k), kronecker ? 0.1 : 0.03) << k;
  }
  Rng rng = test_rng(8);
  for (const arma::uword n_pilots : {0, 2}) {
    Scene scene;
    scene.A = scene_observation({.n_rx = n_rx, .n_tx = n_tx, .n_pilots = n_pilots}, rng);
    scene.h = drawn(truth, 4000, 9).read(0, 4000);
    observe(scene, 0.1, rng);
    const double exact = nmse(make_gmm(scene.A, truth)->estimate(scene.observation).h, scene.h);
    const double fitted =
        nmse(make_gmm(scene.A, model.prior)->estimate(scene.observation).h, scene.h);
    EXPECT_LT(to_db(fitted / exact), 0.2);
  }
}

TEST_P(GmmFit, EstimatesAsTheWholeCovariancesDo) {
  const GaussianMixture prior = far_apart(GetParam());
  const GaussianMixture whole = expanded(prior);
  Rng rng = test_rng(10);
  const std::vector<std::shared_ptr<const ObservationOperator>> observations{
      make_identity_observation(n_rx, n_tx),
      make_kronecker_observation(dft_pilots(n_tx, 4), n_rx),
      make_kronecker_observation(rng.cx_normal(n_tx, 2), n_rx),
      make_kronecker_observation(rng.cx_normal(n_tx, 5), n_rx),
      make_dense_observation(rng.cx_normal(7, n_h)),
      make_dense_observation(2.0 * arma::cx_mat(n_h, n_h, arma::fill::eye))};
  for (const auto& A : observations) {
    const Observation observation{rng.cx_normal(A->n_obs(), 5), 0.3};
    const Estimate fast = make_gmm(A, prior)->estimate(observation);
    const Estimate slow = make_gmm(A, whole)->estimate(observation);
    EXPECT_LT(max_difference(fast.h, slow.h), 1e-11) << A->name();
    EXPECT_LT(max_difference(fast.mse, slow.mse), 1e-10) << A->name();
  }
  const SampleReader samples = drawn(prior, 20, 11);
  EXPECT_NEAR(mean_log_likelihood(prior, samples), mean_log_likelihood(whole, samples), 1e-9);
}

TEST_P(GmmFit, DrawsHaveTheCovariances) {
  Rng rng = test_rng(12);
  GaussianMixture prior = far_apart(GetParam());
  for (arma::uword k = 0; k < 3; ++k) {
    prior.weights.zeros();
    prior.weights(k) = 1.0;
    const arma::cx_mat h = draw(prior, 20'000, rng), C = prior.covariance(k);
    for (int i = 0; i < 5; ++i) {
      const arma::cx_vec u = rng.cx_normal(n_h, 1);
      // 75 of them: one seed in a hundred thousand fails.
      EXPECT_TRUE(mean_is(squared_magnitudes(u.t() * h).t(), arma::cdot(u, C * u).real(), 1e-7));
    }
  }
}

TEST_P(GmmFit, DoesNotDependOnThreads) {
  const SampleReader samples = drawn(far_apart(GetParam()), 700, 3);
  GmmFitOptions options = options_for(GetParam());
  options.max_iterations = 5;
  const GmmModel one = fit_gmm(samples, options);
  options.n_threads = 3;
  const GmmModel three = fit_gmm(samples, options);
  EXPECT_EQ(max_difference(one.log_likelihoods, three.log_likelihoods), 0.0);
  EXPECT_EQ(max_difference(one.prior.covariance(1), three.prior.covariance(1)), 0.0);
  options.seed = 4;
  EXPECT_GT(max_difference(fit_gmm(samples, options).prior.covariance(1), one.prior.covariance(1)),
            0.0);
}

TEST_P(GmmFit, SurvivesItsFile) {
  GmmFitOptions options = options_for(GetParam());
  options.max_iterations = 2;
  GmmModel model = fit_gmm(drawn(far_apart(GetParam()), 100, 4), options);
  model.channel_scale = 1.5;
  model.training_data = "{}";
  const auto file = std::filesystem::temp_directory_path() /
                    (std::string("chest_gmm_fit_test_") + to_string(GetParam()) + ".h5");
  save(file, model);
  const GmmModel read = load_gmm_model(file);
  std::filesystem::remove(file);
  EXPECT_EQ(read.prior.kind(), GetParam());
  EXPECT_EQ(read.n_samples, 100u);
  EXPECT_EQ(read.channel_scale, 1.5);
  EXPECT_EQ(max_difference(read.prior.weights, model.prior.weights), 0.0);
  EXPECT_EQ(max_difference(read.log_likelihoods, model.log_likelihoods), 0.0);
  for (arma::uword k = 0; k < 3; ++k) {
    EXPECT_EQ(max_difference(read.prior.covariance(k), model.prior.covariance(k)), 0.0);
  }
  EXPECT_EQ(describe(read.prior), describe(model.prior));
}

INSTANTIATE_TEST_SUITE_P(Kinds, GmmFit, testing::ValuesIn(mixture_covariances()),
                         [](const auto& kind) { return to_string(kind.param); });

TEST(GmmFitOneComponent, IsTheSampleCovariance) {
  const SampleReader samples = drawn(far_apart(MixtureCovariance::factors), 500, 5);
  const arma::cx_mat C = sample_covariance(samples);
  const auto fitted = [&](MixtureCovariance kind) {
    return fit_gmm(samples, options_for(kind, 1)).prior.covariance(0);
  };
  EXPECT_LT(max_difference(fitted(MixtureCovariance::full), C), 1e-12);

  const AngularTransform F(n_rx, n_tx);
  const auto angular = [&](const arma::cx_mat& M) {
    return arma::cx_mat(F.forward(F.forward(M).t()).t());
  };
  const arma::cx_mat dft = angular(fitted(MixtureCovariance::dft));
  EXPECT_LT(max_difference(dft, arma::cx_mat(arma::diagmat(angular(C).eval().diag()))), 1e-12);

  // Each side: the mean over the other one.
  arma::cx_mat C_rx(n_rx, n_rx, arma::fill::zeros);
  for (arma::uword t = 0; t < n_tx; ++t) C_rx += C.submat(t * n_rx, t * n_rx, arma::size(C_rx));
  arma::cx_mat C_tx(n_tx, n_tx);
  for (arma::uword i = 0; i < n_tx; ++i) {
    for (arma::uword j = 0; j < n_tx; ++j) {
      C_tx(i, j) = arma::trace(C.submat(i * n_rx, j * n_rx, arma::size(C_rx)));
    }
  }
  EXPECT_LT(max_difference(fitted(MixtureCovariance::kronecker),
                           arma::cx_mat(arma::kron(C_tx, C_rx) / arma::trace(C))),
            1e-12);
}

TEST(GmmFitOneComponent, ToeplitzIsLikelierThanTheAverageAndOfItsForm) {
  const SampleReader samples = drawn(far_apart(MixtureCovariance::toeplitz), 500, 5);
  GmmFitOptions options = options_for(MixtureCovariance::toeplitz, 1);
  const GmmModel model = fit_gmm(samples, options);
  const arma::cx_mat C = model.prior.covariance(0);
  EXPECT_LT(max_difference(C, block_toeplitz_average(C, n_rx, n_tx)), 1e-12);
  const GaussianMixture average{{1.0},
                                arma::cx_mat(n_h, 1, arma::fill::zeros),
                                {block_toeplitz_average(sample_covariance(samples), n_rx, n_tx)}};
  EXPECT_GT(model.log_likelihoods.back(), mean_log_likelihood(average, samples));
}

TEST(GmmFitOneComponent, FactorsOfFullRankAreAsLikelyAsTheSampleCovariance) {
  const SampleReader samples = drawn(far_apart(MixtureCovariance::factors), 300, 6);
  GmmFitOptions options = options_for(MixtureCovariance::factors, 1);
  options.rank = n_h;
  options.max_iterations = 3000;
  options.tolerance = 1e-9;
  const double factors = fit_gmm(samples, options).log_likelihoods.back();
  const double full =
      fit_gmm(samples, options_for(MixtureCovariance::full, 1)).log_likelihoods.back();
  EXPECT_LE(factors, full + 1e-9);
  EXPECT_GT(factors, full - 1e-3);
}

TEST(GmmFitScale, FollowsTheChannels) {
  const SampleReader samples = drawn(far_apart(MixtureCovariance::dft), 200, 7);
  const SampleReader louder = samples_in_memory(10.0 * samples.read(0, 200), n_rx, n_tx);
  for (const MixtureCovariance kind : mixture_covariances()) {
    const GmmModel one = fit_gmm(samples, options_for(kind)),
                   other = fit_gmm(louder, options_for(kind));
    const arma::cx_mat C = 100.0 * one.prior.covariance(0);
    EXPECT_LT(max_difference(other.prior.covariance(0), C), 1e-6) << to_string(kind);
    EXPECT_NEAR(mean_log_likelihood(other.prior, louder), other.log_likelihoods.back(), 1e-9);
  }
}

std::string error_of(const GmmFitOptions& options, arma::uword n_samples = 10) {
  try {
    fit_gmm(samples_in_memory(arma::cx_mat(n_h, n_samples, arma::fill::ones), n_rx, n_tx), options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(GmmFitErrors, NameTheFieldItsValueAndItsRange) {
  GmmFitOptions options;
  options.n_components = 0;
  EXPECT_EQ(error_of(options), "fit_gmm: n_components is 0, it must be at least 1");
  options.n_components = 11;
  EXPECT_EQ(error_of(options),
            "fit_gmm: n_components is 11, it must be at most 10 for 10 channels 4x3");
  options.n_components = 2;
  EXPECT_EQ(error_of(options, 0), "fit_gmm: there are no samples");
  options.covariance = MixtureCovariance::factors;
  options.rank = 13;
  EXPECT_EQ(error_of(options), "fit_gmm: rank is 13, it must be at most 12 for 10 channels 4x3");
  options.rank = 0;
  EXPECT_EQ(error_of(options), "fit_gmm: rank is 0, it must be at least 1");
  options.covariance = MixtureCovariance::kronecker;
  options.n_components_tx = 0;
  EXPECT_EQ(error_of(options), "fit_gmm: n_components_tx is 0, it must be at least 1");
  options = {};
  options.n_components = 2;
  options.regularisation = 0.0;
  EXPECT_EQ(error_of(options),
            "fit_gmm: regularisation is 0.000000, it must be above 0 and below 1");
  options.regularisation = 1e-3;
  options.tolerance = -1.0;
  EXPECT_EQ(error_of(options),
            "fit_gmm: tolerance is -1.000000, it must be finite and not negative");
  options.tolerance = 0.0;
  options.max_iterations = 0;
  EXPECT_EQ(error_of(options), "fit_gmm: max_iterations is 0, it must be at least 1");
  EXPECT_THROW(mixture_covariance_from_string("circulant"), Error);
}

TEST(GmmFitControl, StopsWithWhatIsDone) {
  int n_reports = 0;
  RunControl control;
  control.on_progress = [&](const Progress&) { ++n_reports; };
  control.stop_requested = [] { return true; };
  const GmmModel model = fit_gmm(drawn(far_apart(MixtureCovariance::dft), 100, 8),
                                 options_for(MixtureCovariance::dft), control);
  EXPECT_EQ(model.log_likelihoods.n_elem, 1u);
  EXPECT_EQ(n_reports, 1);
  EXPECT_EQ(model.prior.why_invalid(), "");
}

}  // namespace
}  // namespace chest
