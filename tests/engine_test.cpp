#include <gtest/gtest.h>

#include <hwy/targets.h>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/estimators/inference/engine_denoiser.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/estimators/network/run_options.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>

#include "estimators/inference/plane_transform.hpp"
#include "tests/support/naive_network.hpp"
#include "tests/support/network.hpp"

namespace chest {
namespace {

// Values of order 1, float32.
constexpr double rounding = 1e-5;

NetworkModel model_of(arma::uword n_rx, arma::uword n_tx, const std::string& network) {
  NetworkModel model = random_network_model(n_rx, n_tx, parse_network(network));
  model.schedule = NoiseSchedule::linear(20, 1e-3, 0.3);
  return model;
}

arma::cx_mat channels(const NetworkModel& model, arma::uword n) {
  return Rng(3, {Purpose::test}).cx_normal(model.n_rx * model.n_tx, n);
}

bool same(const arma::cx_mat& a, const arma::cx_mat& b) {
  return arma::approx_equal(a, b, "absdiff", 0.0);
}

/// Runs with the instructions of one kind of processor alone.
class OnTarget {
 public:
  explicit OnTarget(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  ~OnTarget() {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

// Sizes whose rows fill vectors, leave a part of one, are shorter than any, and are worked on as one run.
TEST(Engine, EqualsTheNaiveNetworkAtAnySizeWithEveryPart) {
  const std::vector<std::pair<arma::uword, arma::uword>> sizes{
      {64, 3}, {16, 4}, {5, 37}, {4, 4}, {3, 20}, {2, 2}, {1, 30}, {40, 1}, {33, 2}};
  for (const auto& [n_rx, n_tx] : sizes) {
    for (const std::string network :
         {"chest:hidden=7-13-6", "chest:hidden=5-4,gate,kernel=5",
          "chest:hidden=9-6,zero-padding,kernel=1", "chest:hidden=4-8,no-magnitude,index",
          "chest:hidden=6-5,no-position,no-variance,zero-padding",
          "chest:hidden=6-5-9,axial,kernel=5", "chest:hidden=5-4,axial,kernel=31",
          "chest:hidden=6-5,axial,kernel=3", "chest:hidden=5-4,axial,zero-padding",
          "letter:hidden=8-9-4,modulated=1"}) {
      const NetworkConfig config = parse_network(network);
      const NetworkModel model = model_of(n_rx, n_tx, network);
      const auto denoiser = make_engine_denoiser(model);
      const arma::cx_mat z = channels(model, 2);
      for (const double sigma2 : {0.01, 2.0}) {
        arma::mat angular;
        const arma::cx_mat expected =
            naive_denoise(model, z, sigma2, config.variance ? &angular : nullptr);
        DenoiserError error;
        error.per_angle = true;
        arma::cx_mat found;
        denoiser->denoise_with_error(z, sigma2, found, error);
        const std::string what = network + " " + std::to_string(n_rx) + "x" + std::to_string(n_tx);
        EXPECT_LT(arma::abs(found - expected).max(), rounding) << what;
        ASSERT_EQ(error.mse.is_empty(), !config.variance) << what;
        if (!config.variance) continue;
        EXPECT_LT(arma::abs(error.angular / angular - 1.0).max(), 10 * rounding) << what;
        EXPECT_LT(arma::abs(error.mse / arma::sum(angular, 0).t() - 1.0).max(), 10 * rounding);
      }
    }
  }
}

// Planes of variances are read level by level, at the trained ones as the naive network converts them.
TEST(Engine, EqualsTheNaiveNetworkWithVariancesOfTheStepBack) {
  NetworkConfig config = parse_network("letter:hidden=8-9-4,modulated=1");
  config.variance = config.reverse_variance = true;
  for (const auto& [n_rx, n_tx] :
       std::vector<std::pair<arma::uword, arma::uword>>{{5, 37}, {16, 4}}) {
    const NetworkModel model = random_network_model(n_rx, n_tx, config);
    const auto denoiser = make_engine_denoiser(model);
    const arma::cx_mat z = channels(model, 2);
    for (const arma::uword level : {0u, 1u, 30u, 99u}) {
      const double sigma2 = model.schedule.sigma2(level);
      arma::mat angular;
      const arma::cx_mat expected = naive_denoise(model, z, sigma2, &angular);
      DenoiserError error;
      error.per_angle = true;
      arma::cx_mat found;
      denoiser->denoise_with_error(z, sigma2, found, error);
      EXPECT_LT(arma::abs(found - expected).max(), rounding) << level;
      // An output of 1e-6 is multiplied by the logarithm of the ratio, at most 1, and the floor is 1e-6.
      EXPECT_LT(arma::abs(error.angular - angular).max(), 10 * rounding) << level;
      EXPECT_LT(arma::abs(error.mse / arma::sum(angular, 0).t() - 1.0).max(), 10 * rounding);
      // The range of the step to level 0 is narrow where the next step is a large one.
      EXPECT_GT(angular.max(), (level == 0 ? 1.01 : 1.1) * angular.min()) << level;
    }
  }
}

TEST(Engine, GivesTheSameEstimatesWithTheInstructionsOfAnyProcessor) {
  const NetworkModel model = model_of(13, 9, "chest:hidden=7-13-6");
  const arma::cx_mat z = channels(model, 3);
  const arma::cx_mat expected = make_engine_denoiser(model)->denoise(z, 0.3);
  int n_targets = 0;
  for (std::int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
    const OnTarget only(left & -left);
    const arma::cx_mat found = make_engine_denoiser(model)->denoise(z, 0.3);
    EXPECT_LT(arma::abs(found - expected).max(), rounding) << engine_target();
    ++n_targets;
  }
  EXPECT_GE(n_targets, 1);
}

// Lengths with and without factors, on either side of the longest that is not split.
TEST(Engine, TransformsAsTheAngularTransform) {
  for (const auto& [n_rx, n_tx] : std::vector<std::pair<arma::uword, arma::uword>>{
           {4, 1}, {5, 24}, {16, 29}, {16, 156}, {3, 96}}) {
    const arma::cx_mat h = Rng(1, {Purpose::test}).cx_normal(n_rx * n_tx, 1);
    const inference::PlaneTransform transform(n_tx, n_rx);
    inference::Buffer re(transform.plane()), im(transform.plane()), scratch_re(transform.plane()),
        scratch_im(transform.plane());
    const auto at = [&](arma::uword i) { return i / n_rx * transform.width() + i % n_rx; };
    for (arma::uword i = 0; i < h.n_rows; ++i) {
      re[at(i)] = static_cast<float>(h(i).real());
      im[at(i)] = static_cast<float>(h(i).imag());
    }
    const auto difference = [&](const arma::cx_mat& expected) {
      double most = 0.0;
      for (arma::uword i = 0; i < h.n_rows; ++i) {
        most = std::max(most, std::abs(arma::cx_double(re[at(i)], im[at(i)]) - expected(i)));
      }
      return most;
    };
    const inference::Planes z{re.data(), im.data()}, scratch{scratch_re.data(), scratch_im.data()};
    transform.forward(z, scratch);
    EXPECT_LT(difference(AngularTransform(n_rx, n_tx).forward(h)), rounding) << n_tx;
    transform.inverse(z, scratch);
    EXPECT_LT(difference(h), rounding) << n_tx;
  }
}

TEST(Engine, GivesABatchAsItsColumnsToTheBitFromAnyThread) {
  const NetworkModel model = model_of(16, 4, "chest");
  const auto denoiser = make_engine_denoiser(model);
  const arma::cx_mat z = channels(model, 7);
  const std::vector<ReverseStep> chain{{1.0, 0.4}, {0.4, 0.1}, {0.04, 0.0}};
  arma::cx_mat together = z;
  DenoiserError errors;
  denoiser->run(chain, together, &errors);
  for (arma::uword k = 0; k < z.n_cols; ++k) {
    arma::cx_mat alone = z.col(k);
    DenoiserError error;
    denoiser->run(chain, alone, &error);
    EXPECT_TRUE(same(alone, together.col(k)));
    EXPECT_EQ(error.mse(0), errors.mse(k));
  }
  std::vector<arma::cx_mat> found(8, z);
  parallel_for(found.size(), 4, [&](std::size_t i) { denoiser->run(chain, found[i]); });
  for (const arma::cx_mat& h : found) EXPECT_TRUE(same(h, together));
}

TEST(Engine, IsBlindWithoutConstants) {
  const NetworkModel model = model_of(8, 4, "chest:bias-free,hidden=6-5");
  const auto denoiser = make_engine_denoiser(model);
  const arma::cx_mat z = channels(model, 2);
  arma::cx_mat D, scaled;
  denoiser->denoise_blind(z, D);
  denoiser->denoise_blind(4.0 * z, scaled);
  EXPECT_TRUE(denoiser->blind());
  EXPECT_LT(arma::abs(scaled - 4.0 * D).max(), 4.0 * rounding);
  EXPECT_GT(arma::abs(D - z).max(), 100.0 * rounding);
}

TEST(Engine, SaysWhatRunsAndRefusesWhatCannot) {
  NetworkRunOptions run;
  EXPECT_EQ(engine_in_use(run), "onednn float32");
  run.precision = NetworkPrecision::bfloat16;
  EXPECT_EQ(engine_in_use(run), "onednn bfloat16");
  run.engine = NetworkEngine::torch;
  EXPECT_EQ(engine_in_use(run), "torch bfloat16");
  run.precision = NetworkPrecision::int8;
  EXPECT_THROW(engine_in_use(run), Error);
  run.engine = NetworkEngine::onednn;
  EXPECT_EQ(engine_in_use(run), "onednn int8");
  // No model says how to spread values over bytes before it was calibrated.
  EXPECT_THROW(make_engine_denoiser(random_network_model(4, 4), run), Error);
  run.precision = NetworkPrecision::automatic;
  run.device = "cuda";
  EXPECT_THROW(engine_in_use(run), Error);
  run.engine = NetworkEngine::torch;
  EXPECT_EQ(engine_in_use(run), "torch float32");
  EXPECT_THROW(engine_from_string("onednm"), Error);
  NetworkModel broken = random_network_model(4, 4);
  broken.weights.pop_back();
  EXPECT_THROW(make_engine_denoiser(broken), Error);
  const auto denoiser = make_engine_denoiser(random_network_model(4, 4));
  EXPECT_FALSE(denoiser->differentiable());
  EXPECT_THROW(denoiser->denoise(arma::cx_mat(15, 1), 0.1), Error);
  EXPECT_THROW(denoiser->denoise(arma::cx_mat(16, 1), -0.1), Error);
}

}  // namespace
}  // namespace chest
