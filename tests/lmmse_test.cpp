#include <gtest/gtest.h>

#include <chest/error.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <filesystem>

#include "tests/support/golden.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

TEST(Lmmse, AgreesWithASecondImplementation) {
  const EstimatorsGolden golden;
  const arma::cx_mat C = golden.cx("/C");
  for (const std::string name : {"identity", "dft", "few", "many", "dense"}) {
    const auto A = golden.observation(name);
    const auto lmmse = make_lmmse(A, C);
    const auto ls = make_ls(A);
    for (arma::uword i = 0; i < golden.sigma2.n_elem; ++i) {
      const std::string group = "/" + name + "/" + std::to_string(i) + "/";
      const Observation observation{golden.cx(group + "y"), golden.sigma2(i)};
      const Estimate estimate = lmmse->estimate(observation);
      // Condition numbers up to 1e4 at the lowest noise.
      EXPECT_LT(max_difference(estimate.h, golden.cx(group + "lmmse")), 1e-10) << group;
      EXPECT_LT(max_difference(estimate.mse, golden.real(group + "lmmse_mse")), 1e-10) << group;
      EXPECT_LT(max_difference(ls->estimate(observation).h, golden.cx(group + "ls")), 1e-11);
    }
  }
}

TEST(Lmmse, MeasuredErrorMatchesTheClosedForm) {
  for (const arma::uword n_pilots : {0, 2, 5}) {
    const Scene scene = correlated_scene({.n_pilots = n_pilots, .n_samples = 20'000});
    const Estimate estimate = make_lmmse(scene.A, scene.C)->estimate(scene.observation);
    // Correct code fails for one seed in a million. A filter built with 2 sigma2 is always caught;
    // one with 1.1 sigma2 is not, which is why the mse has an exact test above.
    EXPECT_TRUE(mean_is(squared_errors(estimate.h, scene.h), estimate.mse(0), 1e-6)) << n_pilots;
  }
}

TEST(Lmmse, ErrorIsOrthogonalToTheObservation) {
  const Scene scene = correlated_scene({.n_pilots = 2, .n_samples = 20'000});
  const Estimate estimate = make_lmmse(scene.A, scene.C)->estimate(scene.observation);
  const arma::cx_mat error = estimate.h - scene.h;
  const arma::vec product =
      arma::real(arma::sum(error.rows(0, 5) % arma::conj(scene.observation.y.rows(0, 5)), 0).st());
  // Correct code fails for one seed in a million.
  EXPECT_TRUE(mean_is(product, 0.0, 1e-6));
}

TEST(Lmmse, BecomesLeastSquaresAsTheNoiseVanishesAndZeroAsItGrows) {
  Scene scene = correlated_scene({.n_pilots = 3});
  const auto lmmse = make_lmmse(scene.A, scene.C);
  const auto distance_to_ls = [&](double sigma2) {
    scene.observation.sigma2 = sigma2;
    return max_difference(lmmse->estimate(scene.observation).h,
                          make_ls(scene.A)->estimate(scene.observation).h);
  };
  // The difference is of first order in sigma2.
  EXPECT_LT(distance_to_ls(1e-7), 1e-2);
  EXPECT_NEAR(distance_to_ls(1e-8) / distance_to_ls(1e-7), 0.1, 0.001);
  scene.observation.sigma2 = 1e12;
  EXPECT_LT(arma::abs(lmmse->estimate(scene.observation).h).max(), 1e-10);
}

TEST(Lmmse, DiagonalLoadingIsACovarianceWithAddedIdentity) {
  const Scene scene = correlated_scene({.n_pilots = 2});
  arma::cx_mat loaded = scene.C;
  loaded.diag() += 0.3 * arma::trace(scene.C).real() / 12.0;
  LmmseOptions options;
  options.diagonal_loading = 0.3;
  const Estimate a = make_lmmse(scene.A, scene.C, options)->estimate(scene.observation);
  const Estimate b = make_lmmse(scene.A, loaded)->estimate(scene.observation);
  EXPECT_LT(max_difference(a.h, b.h), 1e-13);
}

TEST(Lmmse, ThreadsThatMeetAtNewNoiseLevelsGetTheSameEstimates) {
  const Scene scene = correlated_scene({.n_pilots = 2});
  const auto shared = make_lmmse(scene.A, scene.C);
  std::vector<int> wrong(64, 0);
  parallel_for(wrong.size(), 4, [&](std::size_t i) {
    Observation observation = scene.observation;
    observation.sigma2 = 0.01 * static_cast<double>(1 + i / 4);  // more levels than are kept
    const arma::cx_mat expected = make_lmmse(scene.A, scene.C)->estimate(observation).h;
    wrong[i] = max_difference(shared->estimate(observation).h, expected) != 0.0;
  });
  EXPECT_EQ(std::count(wrong.begin(), wrong.end(), 1), 0);
}

TEST(Lmmse, RefusesWhatDoesNotFitAndSaysWhy) {
  const Scene scene = correlated_scene({});
  EXPECT_THROW(make_lmmse(nullptr, scene.C), Error);
  LmmseOptions options;
  options.diagonal_loading = -1.0;
  try {
    make_lmmse(scene.A, scene.C, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "lmmse: loading is -1, it must be >= 0");
  }
  try {
    make_lmmse(scene.A, arma::cx_mat(3, 3, arma::fill::eye));
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "lmmse: C is 3x3, A expects n_h = 12");
  }
  // Far from a covariance: an eigenvalue of -1.
  try {
    make_lmmse(scene.A, -arma::cx_mat(12, 12, arma::fill::eye))->estimate(scene.observation);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::numeric);
  }
}

/// Channels of a known covariance: 16 antennas that see a few directions and little else.
arma::cx_mat draw_few_directions(arma::uword n, std::uint64_t seed, arma::cx_mat& C) {
  arma::vec power(16, arma::fill::value(0.02));
  power.head(4) = {8.0, 5.0, 2.0, 0.8};
  power *= 16.0 / arma::accu(power);
  Rng rng = test_rng(seed);
  arma::cx_mat F(16, 16);
  for (arma::uword i = 0; i < 16; ++i)
    for (arma::uword k = 0; k < 16; ++k)
      F(i, k) = std::polar(0.25, -2.0 * arma::datum::pi * double(i * k) / 16.0);
  C = F * arma::diagmat(arma::conv_to<arma::cx_vec>::from(power)) * F.t();
  return F * (arma::diagmat(arma::conv_to<arma::cx_vec>::from(arma::sqrt(power))) *
              rng.cx_normal(16, n));
}

/// NMSE of LMMSE with C_hat on channels of covariance C, in closed form.
double expected_nmse(const arma::cx_mat& C_hat, const arma::cx_mat& C, double sigma2) {
  const arma::cx_mat I(16, 16, arma::fill::eye);
  const arma::cx_mat W = C_hat * arma::inv(arma::cx_mat(C_hat + sigma2 * I));
  const arma::cx_mat missed = I - W;
  return (arma::trace(missed * C * missed.t()).real() + sigma2 * arma::trace(W * W.t()).real()) /
         arma::trace(C).real();
}

TEST(LmmseModel, OfFewSamplesIsShrunkAndBetterOnOthers) {
  arma::cx_mat C;
  for (const arma::uword n : {6, 12, 30}) {
    double raw_sum = 0.0, shrunk_sum = 0.0;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      const SampleReader few = samples_in_memory(draw_few_directions(n, seed, C), 16, 1);
      const LmmseModel raw = fit_lmmse(few, CovarianceKind::full, Shrinkage::none);
      const LmmseModel shrunk = fit_lmmse(few);
      EXPECT_EQ(raw.shrinkage, 0.0);
      EXPECT_GT(shrunk.shrinkage, 0.0);
      EXPECT_LT(shrunk.shrinkage, 1.0);
      EXPECT_NEAR(shrunk.C.trace(), raw.C.trace(), 1e-12);
      // What the weight is made for, up to its own error: nearer to the truth.
      raw_sum += std::pow(arma::norm(raw.C.C() - C, "fro"), 2);
      shrunk_sum += std::pow(arma::norm(shrunk.C.C() - C, "fro"), 2);
      // At 20 dB, where a direction that was not seen costs most.
      const double part = n == 6 ? 0.5 : n == 12 ? 0.9 : 1.05;
      EXPECT_LT(expected_nmse(shrunk.C.C(), C, 0.01), part * expected_nmse(raw.C.C(), C, 0.01))
          << n;
      EXPECT_GT(expected_nmse(shrunk.C.C(), C, 0.01), expected_nmse(C, C, 0.01));
    }
    EXPECT_LT(shrunk_sum, raw_sum) << n;
  }
}

TEST(LmmseModel, TheWeightIsThatOfLedoitAndWolf) {
  arma::cx_mat C;
  const arma::cx_mat h = draw_few_directions(12, 3, C);
  const LmmseModel model = fit_lmmse(samples_in_memory(h, 16, 1));
  // As the paper writes it, a sample at a time.
  const arma::cx_mat S = h * h.t() / 12.0;
  const double mu = arma::trace(S).real() / 16.0;
  const arma::cx_mat I(16, 16, arma::fill::eye);
  double b = 0.0;
  for (arma::uword k = 0; k < 12; ++k)
    b += std::pow(arma::norm(arma::cx_mat(h.col(k) * h.col(k).t() - S), "fro"), 2) / 144.0;
  const double rho = std::min(1.0, b / std::pow(arma::norm(arma::cx_mat(S - mu * I), "fro"), 2));
  EXPECT_NEAR(model.shrinkage, rho, 1e-12);
  EXPECT_LT(max_difference(model.C.C(), arma::cx_mat((1.0 - rho) * S + rho * mu * I)), 1e-12);
  // White channels: nothing but noise in S, and all of it is taken out.
  Rng rng = test_rng(4);
  EXPECT_GT(fit_lmmse(samples_in_memory(rng.cx_normal(16, 20), 16, 1)).shrinkage, 0.7);
  // Enough samples: as they are, unless asked for.
  const SampleReader many = samples_in_memory(draw_few_directions(64, 5, C), 16, 1);
  EXPECT_EQ(fit_lmmse(many).shrinkage, 0.0);
  EXPECT_GT(fit_lmmse(many, CovarianceKind::full, Shrinkage::ledoit_wolf).shrinkage, 0.0);
  EXPECT_THROW(fit_lmmse(many, CovarianceKind::toeplitz, Shrinkage::ledoit_wolf), Error);
}

TEST(LmmseModel, IsFittedFromSamplesAndSurvivesItsFile) {
  Rng rng = test_rng(3);
  const arma::cx_mat h = rng.cx_normal(6, 1000);
  const SampleReader samples = samples_in_memory(h, 3, 2);
  LmmseModel model = fit_lmmse(samples);
  EXPECT_LT(max_difference(model.C.C(), arma::cx_mat(h * h.t() / 1000.0)), 1e-13);
  EXPECT_LT(max_difference(fit_lmmse(samples, CovarianceKind::toeplitz).C.dense(),
                           block_toeplitz_average(model.C.C(), 3, 2)),
            1e-14);
  model.channel_scale = 2.5;
  model.shrinkage = 0.25;
  model.training_data = R"({"file": "x.mat"})";
  model.provenance.seed = 7;
  model.kind = CovarianceKind::toeplitz;
  const auto file = std::filesystem::temp_directory_path() / "chest_lmmse_test.h5";
  save(file, model);
  const LmmseModel read = load_lmmse_model(file);
  std::filesystem::remove(file);
  EXPECT_EQ(max_difference(read.C.C(), model.C.C()), 0.0);
  EXPECT_EQ(read.n_rx, 3u);
  EXPECT_EQ(read.n_tx, 2u);
  EXPECT_EQ(read.kind, CovarianceKind::toeplitz);
  EXPECT_EQ(read.n_samples, 1000u);
  EXPECT_EQ(read.channel_scale, 2.5);
  EXPECT_EQ(read.shrinkage, 0.25);
  EXPECT_EQ(read.training_data, model.training_data);
  EXPECT_EQ(read.provenance.seed, 7u);
}

}  // namespace
}  // namespace chest
