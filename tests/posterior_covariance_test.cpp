// Covariances of h given z beyond those of guidance_test: full and per antenna out of a model file, converted reverse variances, and
// DDNM+, whose steps leave each component with the variance of its level.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include <chest/covariance.hpp>
#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/diffusion/named_methods.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/metrics.hpp>
#include <chest/samples.hpp>
#include <chest/text.hpp>

#include "tests/support/exact_prior.hpp"
#include "tests/support/network.hpp"
#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

std::shared_ptr<const Denoiser> zero_denoiser(arma::uword n_h) {
  return make_gaussian_denoiser(arma::cx_mat(1e-30 * arma::cx_mat(n_h, n_h, arma::fill::eye)));
}

ProximalOptions noise_aware() {
  ProximalOptions options;
  options.noise_aware = true;
  return options;
}

// T10. h = 0 and D = 0: all that z' has is the noise of y, weighted, and what the step puts in. In a component that lambda < 1
// holds back, nothing is put in; in one that is not seen, all of it.
TEST(NoiseAwareDdnm, EachComponentHasTheVarianceOfItsLevel) {
  constexpr arma::uword n_h = 5, n_obs = 3, n = 100'000;
  Rng rng = test_rng(31);
  arma::cx_mat U, V;
  arma::vec ignored;
  arma::svd_econ(U, ignored, V, rng.cx_normal(n_obs, n_h));
  const arma::vec s{2.0, 0.7, 0.1};
  const arma::cx_mat A = U * arma::diagmat(arma::conv_to<arma::cx_vec>::from(s)) * V.t();
  const auto guidance =
      make_proximal_guidance(make_dense_observation(A), zero_denoiser(n_h), noise_aware());
  Observation observation;
  observation.sigma2 = 0.25;
  observation.y = rng.cx_normal(n_obs, n, observation.sigma2);
  // A step of fresh from 1.0 to 0.5, and of ancestral.
  for (const auto& [a, variance] : {std::pair{1.0, 0.5}, std::pair{0.5, 0.25}}) {
    Guided at;
    guidance->guide(rng.cx_normal(n_h, n), 1.0, observation, at);
    arma::cx_mat noise = rng.cx_normal(n_h, n, variance);
    guidance->shape_step(a, variance, observation, at, noise);
    const arma::cx_mat z = a * at.m + noise, seen = V.t() * z;
    const double sigma = std::sqrt(observation.sigma2);
    for (arma::uword i = 0; i < n_obs; ++i) {
      const double lambda = std::min(1.0, s(i) * std::sqrt(variance) / (a * sigma));
      const double from_y = a * a * lambda * lambda * observation.sigma2 / (s(i) * s(i));
      EXPECT_LE(from_y, variance * (1.0 + 1e-12));
      // A mean of n squares: standard deviation 0.3 %; 14 of them at 1 %: correct code fails for one seed in fifty.
      EXPECT_NEAR(arma::mean(arma::square(arma::abs(seen.row(i)))) / variance, 1.0, 0.01) << i;
      // And the part of it that is the observation's.
      const arma::cx_mat of_y = V.t() * (a * at.m);
      EXPECT_NEAR(arma::mean(arma::square(arma::abs(of_y.row(i)))) / from_y, 1.0, 0.01) << i;
    }
    const arma::cx_mat hidden = z - V * seen;
    EXPECT_NEAR(squared_norm(hidden) / (double(n) * (n_h - n_obs)) / variance, 1.0, 0.01);
  }
}

// Noise that is nothing beside the level: DDNM, A m = y. And pilots are taken apart without forming A.
TEST(NoiseAwareDdnm, WithoutNoiseIsDdnmAndPilotsAreAsTheirMatrix) {
  Rng rng = test_rng(32);
  const arma::cx_mat C = random_covariance(12, rng), P = rng.cx_normal(4, 2);
  const std::shared_ptr<const Denoiser> prior = make_gaussian_denoiser(C);
  const std::shared_ptr<const ObservationOperator> pilots = make_kronecker_observation(P, 3);
  Observation observation;
  observation.sigma2 = 1e-14;
  observation.y = rng.cx_normal(6, 20);
  const arma::cx_mat z = rng.cx_normal(12, 20, 2.0);
  Guided at, as_matrix;
  const auto guidance = make_proximal_guidance(pilots, prior, noise_aware());
  guidance->guide(z, 1.0, observation, at);
  EXPECT_LT(max_difference(pilots->apply(at.m), observation.y), 1e-10);
  observation.sigma2 = 0.8;
  const auto formed =
      make_proximal_guidance(make_dense_observation(dense(*pilots)), prior, noise_aware());
  guidance->guide(z, 1.0, observation, at);
  formed->guide(z, 1.0, observation, as_matrix);
  EXPECT_LT(max_difference(at.m, as_matrix.m), 1e-11);
  arma::cx_mat noise = rng.cx_normal(12, 20, 0.4), same = noise;
  guidance->shape_step(0.6, 0.4, observation, at, noise);
  formed->shape_step(0.6, 0.4, observation, as_matrix, same);
  EXPECT_LT(max_difference(noise, same), 1e-11);
}

// Where DDNM copies the noise of the data, DDNM+ does not.
TEST(NoiseAwareDdnm, IsBetterThanDdnmOnNoisyData) {
  Rng rng = test_rng(33);
  const arma::cx_mat C = random_covariance(8, rng);
  const std::shared_ptr<const ObservationOperator> A =
      make_dense_observation(rng.cx_normal(5, 8) / std::sqrt(8.0));
  const arma::cx_mat h = draw(one_component(C), 400, rng);
  Observation observation;
  observation.sigma2 = 1.0;
  observation.y = A->apply(h) + rng.cx_normal(5, 400, 1.0);
  const std::shared_ptr<const Denoiser> prior = make_gaussian_denoiser(C);
  DdnmOptions options;
  options.walk.update = WalkUpdate::fresh;
  options.walk.n_runs = 4;
  const double plain = nmse_db(make_ddnm(A, prior, options)->estimate(observation).h, h);
  options.plus = true;
  const double plus = nmse_db(make_ddnm(A, prior, options)->estimate(observation).h, h);
  seen("plain_db", plain);
  seen("plus_db", plus);
  EXPECT_LT(plus, plain - 2.0);
  options.walk.update = WalkUpdate::mean;
  EXPECT_TRUE(refused([&] { make_ddnm(A, prior, options); }, "ancestral"));
}

// T12. Of a Gaussian prior of variance v0 the variance of x_{i-1} given x_i follows from their joint covariance.
TEST(ConvertedVariance, IsThatOfTheChannel) {
  const auto schedule = NoiseSchedule::linear(50, 1e-4, 0.2);
  for (const arma::uword i : {0u, 1u, 20u, 49u}) {
    const double abar = schedule.abar()(i), before = i == 0 ? 1.0 : schedule.abar()(i - 1);
    const double alpha = 1.0 - schedule.betas()(i);
    for (const double v0 : {0.01, 0.7, 5.0}) {
      const double s11 = before * v0 + 1.0 - before, s22 = abar * v0 + 1.0 - abar;
      const arma::mat reverse(1, 1, arma::fill::value(s11 - alpha * s11 * s11 / s22));
      const double expected = v0 * (1.0 - abar) / s22;
      EXPECT_NEAR(converted_variance(reverse, schedule, i)(0), expected, 1e-10) << i << " " << v0;
    }
  }
  // Less than the forward process leaves is an error of the network: floored.
  EXPECT_EQ(converted_variance(arma::mat(2, 1, arma::fill::zeros), schedule, 20)(1), 1e-6);
  EXPECT_TRUE(
      refused([&] { converted_variance(arma::mat(1, 1), schedule, 50); }, "the level is 50"));
}

// One formula for the conversion of what lies between the least and the most, on a log scale.
TEST(VarianceRange, IsTheConvertedVarianceOfALearnedRange) {
  const auto schedule = NoiseSchedule::linear(50, 1e-4, 0.2);
  const arma::vec &betas = schedule.betas(), &abar = schedule.abar();
  for (const arma::uword i : {0u, 1u, 2u, 20u, 49u}) {
    // The step to level 0 has no variance: the least is that of the one before, as [Nichol2021] clips it.
    const arma::uword of_least = std::max<arma::uword>(i, 1);
    const double least = betas(of_least) * (1.0 - abar(of_least - 1)) / (1.0 - abar(of_least));
    const VarianceRange range = variance_range(schedule, schedule.sigma2(i));
    for (const double o : {-1.5, -1.0, -0.4, 0.0, 0.7, 1.0, 1.3}) {
      const arma::mat reverse(
          1, 1, arma::fill::value(std::pow(betas(i), (1 + o) / 2) * std::pow(least, (1 - o) / 2)));
      const double expected = std::max(converted_variance(reverse, schedule, i, 0.0)(0),
                                       std::min(VarianceRange::least, 1.0 - abar(i)));
      EXPECT_NEAR(range.variance(o) / expected, 1.0, 1e-9) << i << " " << o;
    }
  }
  // Between levels: of a white prior of power 1 at any, and no jump at one.
  for (const double sigma2 : {1e-5, 0.02, 0.3, 1.7}) {
    EXPECT_NEAR(variance_range(schedule, sigma2).variance(1.0), sigma2 / (1.0 + sigma2), 1e-15);
  }
  const double at = schedule.sigma2(7), o = 0.3;
  const double below = variance_range(schedule, at * (1 - 1e-9)).variance(o);
  const double above = variance_range(schedule, at * (1 + 1e-9)).variance(o);
  EXPECT_NEAR(below / above, 1.0, 1e-7);
  EXPECT_EQ(variance_range(schedule, 0.0).variance(o), 0.0);
  EXPECT_TRUE(refused([&] { variance_range(NoiseSchedule(arma::vec{0.1}), 1.0); }, "one level"));
}

// Of a prior with independent antennas both are diagonal, and measured on the same channels the same.
TEST(SpatialVariance, IsTheDiagonalOfTheFullOne) {
  Rng rng = test_rng(34);
  const arma::vec power{0.1, 0.5, 1.0, 2.0, 1.4, 1.0};
  const arma::cx_mat C = arma::diagmat(arma::conv_to<arma::cx_vec>::from(power));
  const std::shared_ptr<const Denoiser> prior = make_gaussian_denoiser(C);
  const arma::vec levels{0.1, 1.0, 10.0};
  const SampleReader channels = samples_in_memory(draw(one_component(C), 300, rng), 3, 2);
  DenoiserErrors errors = measure_errors(*prior, channels, levels, 1, ErrorDetail::full);
  ASSERT_EQ(errors.full.size(), 3u);
  for (arma::uword i = 0; i < 3; ++i) {
    EXPECT_LT(arma::abs(arma::real(errors.full[i].diag()) - errors.spatial.col(i)).max(), 1e-12);
    errors.full[i] = arma::diagmat(errors.full[i].diag());
  }
  const std::shared_ptr<const ObservationOperator> A = make_dense_observation(rng.cx_normal(4, 6));
  Observation observation;
  observation.sigma2 = 0.1;
  observation.y = rng.cx_normal(4, 7);
  const arma::cx_mat z = rng.cx_normal(6, 7, 2.0);
  const auto guided = [&](VarianceKind kind) {
    ProximalOptions options;
    options.variance.kind = kind;
    options.variance.errors = errors;
    Guided out;
    make_proximal_guidance(A, prior, options)->guide(z, 1.0, observation, out);
    return out.m;
  };
  EXPECT_LT(max_difference(guided(VarianceKind::spatial), guided(VarianceKind::full)), 1e-9);
  errors.spatial.reset();
  EXPECT_TRUE(refused([&] { guided(VarianceKind::spatial); }, "errors per antenna are not given"));
}

TEST(FullErrors, AreKeptInTheModelFileAndLimited) {
  const TemporaryFolder folder;
  NetworkModel model = random_network_model(3, 2);
  Rng rng = test_rng(35);
  model.errors.sigma2 = {0.1, 1.0};
  model.errors.mse = {0.05, 0.3};
  model.errors.spatial = arma::mat(6, 2, arma::fill::randu) + 0.1;
  model.errors.full = {random_covariance(6, rng), random_covariance(6, rng)};
  save(folder / "m.h5", model);
  const NetworkModel loaded = load_network_model(folder / "m.h5");
  EXPECT_TRUE(arma::approx_equal(loaded.errors.spatial, model.errors.spatial, "absdiff", 0.0));
  ASSERT_EQ(loaded.errors.full.size(), 2u);
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(max_difference(loaded.errors.full[i], model.errors.full[i]), 0.0);
  const arma::uword n_h = most_entries_of_full_errors + 1;
  const SampleReader channels = samples_in_memory(rng.cx_normal(n_h, 2), n_h, 1);
  EXPECT_TRUE(refused(
      [&] { measure_errors(*zero_denoiser(n_h), channels, arma::vec{1.0}, 1, ErrorDetail::full); },
      "257 entries; covariances of errors are kept of at most 256"));
}

TEST(FullErrors, ServeTheProgram) {
  const TemporaryFolder folder;
  const auto path = [&](const std::string& name) { return (folder / name).string(); };
  const auto says = [](const std::string& message, const std::string& text) {
    return message.find(text) != std::string::npos;
  };
  save(path("m.h5"), random_network_model(4, 2));
  answer_of({"generate", "scm", "--n-rx", "4", "--n-tx", "2", "--n-samples", "400", "--out",
             path("h.h5")});
  const std::vector<std::string> sweep{"sweep",
                                       "--channels",
                                       path("h.h5"),
                                       "--snr",
                                       "10",
                                       "--pilots",
                                       "dft:1",
                                       "--model",
                                       path("m.h5"),
                                       "--estimators",
                                       "opc:variance=full",
                                       "--quiet",
                                       "--samples",
                                       "0:20"};
  EXPECT_TRUE(says(answer_of(sweep), "the model does not know the covariances of its errors"));
  EXPECT_TRUE(says(answer_of({"calibrate", path("m.h5"), "--channels", path("h.h5"), "--pilots",
                              "none", "--full", "--quiet"}),
                   "0 "));
  const NetworkModel model = load_network_model(path("m.h5"));
  ASSERT_FALSE(model.errors.full.empty());
  EXPECT_NEAR(arma::trace(model.errors.full[0]).real() / 8.0, model.errors.mse(0), 1e-9);
  EXPECT_TRUE(says(answer_of(sweep), "opc:variance=full"));
  save(path("large.h5"), random_network_model(32, 16));
  EXPECT_TRUE(says(answer_of({"calibrate", path("large.h5"), "--channels", path("h.h5"), "--full"}),
                   "--full is for matrices of at most 256 entries, the model is for 32x16"));
  // An exact prior measures them when it is asked to. From far away h is known by its covariance alone, so that one level is
  // LMMSE, up to the 1000 channels that the covariance is measured on.
  answer_of({"fit", "lmmse", "--channels", path("h.h5"), "--out", path("l.h5")});
  answer_of({"sweep", "--channels", path("h.h5"), "--snr", "10", "--pilots", "dft:1", "--model",
             path("l.h5"), "--estimators", "lmmse,opc(prior=lmmse,variance=full,levels=1)", "--csv",
             path("both.csv")});
  std::vector<double> nmse_db;
  for (const std::string& line : split(text_of(path("both.csv")), '\n')) {
    // Names with commas stand in quotes: counted from behind, where there are none.
    const std::size_t at = line.find(",dft:1,");
    if (at != std::string::npos) nmse_db.push_back(std::stod(split(line.substr(at + 1), ',')[7]));
  }
  ASSERT_EQ(nmse_db.size(), 2u) << text_of(path("both.csv"));
  EXPECT_NEAR(nmse_db[0], nmse_db[1], 0.3);
}

}  // namespace
}  // namespace chest
