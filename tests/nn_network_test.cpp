#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>

#include <chest/estimators/network/layout.hpp>
#include "estimators/nn/network.hpp"
#include "estimators/nn/tensor_bridge.hpp"
#include "tests/support/naive_network.hpp"
#include "tests/support/network.hpp"

namespace chest {
namespace {

NetworkModel small_model(Prediction prediction = Prediction::epsilon, bool gated = false) {
  NetworkModel model;
  model.n_rx = 6;
  model.n_tx = 5;
  if (!gated) model.network = NetworkConfig::published();
  model.network.hidden = {4, 7, 6, 5};
  model.network.modulated = gated ? std::vector<int>{0, 1, 2, 3} : std::vector<int>{2};
  model.network.kernel = 5;
  model.network.embedding = 8;
  model.prediction = prediction;
  model.schedule = NoiseSchedule::linear(20, 1e-3, 0.3);
  model.weights = nn::named_weights(network_layout(model.network),
                                    nn::initial_weights(network_layout(model.network), 5));
  return model;
}

arma::cx_mat channels(const NetworkModel& model, arma::uword n, std::uint64_t stream = 0) {
  return Rng(3, {Purpose::test, stream}).cx_normal(model.n_rx * model.n_tx, n);
}

NetworkRunOptions on(NetworkEngine engine, arma::uword micro_batch = 0) {
  NetworkRunOptions run;
  run.engine = engine;
  run.micro_batch = micro_batch;
  return run;
}

// Values of order 1, float32.
constexpr double rounding = 1e-5;

TEST(Network, EqualsTheNaiveOneForEveryPredictionType) {
  for (Prediction prediction : {Prediction::epsilon, Prediction::sample, Prediction::velocity}) {
    const NetworkModel model = small_model(prediction);
    for (const NetworkEngine engine : {NetworkEngine::onednn, NetworkEngine::torch}) {
      const auto denoiser = make_network_denoiser(model, on(engine));
      const arma::cx_mat z = channels(model, 3);
      for (double sigma2 : {0.01, 0.3, 2.0}) {
        EXPECT_LT(arma::abs(denoiser->denoise(z, sigma2) - naive_denoise(model, z, sigma2)).max(),
                  rounding)
            << to_string(prediction) << ", sigma2 " << sigma2 << ", " << to_string(engine);
      }
    }
  }
}

TEST(Network, EqualsTheNaiveOneWithEveryPart) {
  for (const std::string text :
       {"chest", "chest:gate", "chest:no-magnitude", "chest:zero-padding", "chest:index",
        "chest:no-variance", "chest:no-position", "chest:modulated=1-2", "chest:axial",
        "chest:axial,zero-padding", "chest:axial,kernel=15"}) {
    NetworkModel model = small_model(Prediction::velocity, true);
    const NetworkConfig parts = parse_network(text);
    model.network.gate = parts.gate;
    model.network.magnitude = parts.magnitude;
    model.network.position = parts.position;
    model.network.circular = parts.circular;
    model.network.log_snr = parts.log_snr;
    model.network.variance = parts.variance;
    model.network.modulated = parts.modulated;
    model.network.axial = parts.axial;
    if (parts.axial) model.network.kernel = parts.kernel;
    model.weights = nn::named_weights(network_layout(model.network),
                                      nn::initial_weights(network_layout(model.network), 5));
    const auto denoiser = make_network_denoiser(model, on(NetworkEngine::torch));
    EXPECT_EQ(denoiser->predicts_error(), parts.variance);
    const arma::cx_mat z = channels(model, 3);
    for (double sigma2 : {0.01, 0.3, 2.0}) {
      arma::mat angular;
      const arma::cx_mat expected =
          naive_denoise(model, z, sigma2, parts.variance ? &angular : nullptr);
      arma::cx_mat found;
      DenoiserError error;
      error.per_angle = true;
      denoiser->denoise_with_error(z, sigma2, found, error);
      EXPECT_LT(arma::abs(found - expected).max(), rounding) << text << ", sigma2 " << sigma2;
      if (!parts.variance) {
        EXPECT_TRUE(error.mse.is_empty() && error.angular.is_empty()) << text;
        continue;
      }
      EXPECT_LT(arma::abs(error.angular / angular - 1.0).max(), 10 * rounding) << text;
      EXPECT_LT(arma::abs(error.mse / arma::sum(angular, 0).t() - 1.0).max(), 10 * rounding);
    }
  }
}

TEST(Network, ReadsVariancesOfTheStepBackAsTheEngineDoes) {
  NetworkConfig config = parse_network("letter:hidden=8-9-4,modulated=1");
  config.variance = config.reverse_variance = true;
  const NetworkModel model = random_network_model(8, 4, config);
  const arma::cx_mat z = channels(model, 3);
  const double trained = model.schedule.sigma2(20);
  for (const double sigma2 : {0.0, trained, 1.01 * trained, 2.0}) {
    arma::cx_mat D[2];
    DenoiserError error[2];
    for (const int i : {0, 1}) {
      error[i].per_angle = true;
      make_network_denoiser(model, on(i == 0 ? NetworkEngine::onednn : NetworkEngine::torch))
          ->denoise_with_error(z, sigma2, D[i], error[i]);
    }
    EXPECT_LT(arma::abs(D[0] - D[1]).max(), rounding) << sigma2;
    EXPECT_LT(arma::abs(error[0].angular - error[1].angular).max(), 10 * rounding) << sigma2;
    EXPECT_LT(arma::abs(error[0].mse - error[1].mse).max(), 100 * rounding) << sigma2;
    if (sigma2 != trained) continue;
    arma::mat angular;
    naive_denoise(model, z, sigma2, &angular);
    EXPECT_LT(arma::abs(error[1].angular - angular).max(), 10 * rounding);
  }
}

// The angular domain is periodic, and so is the network where it is not told the position.
TEST(Network, CommutesWithCyclicShiftsOfTheAngularDomain) {
  NetworkModel model = small_model(Prediction::velocity, true);
  model.network.position = false;
  model.weights = nn::named_weights(network_layout(model.network),
                                    nn::initial_weights(network_layout(model.network), 5));
  const AngularTransform transform(model.n_rx, model.n_tx);
  const auto shifted = [&](const arma::cx_mat& h) {
    arma::cx_mat angular = transform.forward(h);
    for (arma::uword k = 0; k < h.n_cols; ++k) {
      const arma::cx_mat H = arma::reshape(angular.col(k), model.n_rx, model.n_tx);
      angular.col(k) = arma::vectorise(arma::shift(arma::shift(H, 2, 0), 1, 1));
    }
    return transform.inverse(angular);
  };
  const auto denoiser = make_network_denoiser(model);
  const arma::cx_mat z = channels(model, 3);
  EXPECT_LT(
      arma::abs(denoiser->denoise(shifted(z), 0.3) - shifted(denoiser->denoise(z, 0.3))).max(),
      rounding);
}

TEST(Network, RunsAChainAsItsStepsOneByOne) {
  const NetworkModel model = small_model();
  const auto denoiser = make_network_denoiser(model);
  const arma::cx_mat z = channels(model, 4);
  const std::vector<ReverseStep> steps{{1.0, 0.4}, {0.4, 0.1}, {0.04, 0.0}};
  arma::cx_mat on_device = z, step_by_step = z;
  denoiser->run(steps, on_device);
  denoiser->Denoiser::run(steps, step_by_step);
  EXPECT_LT(arma::abs(on_device - step_by_step).max(), rounding);
  arma::cx_mat untouched = z;
  denoiser->run({}, untouched);
  EXPECT_EQ(arma::abs(untouched - z).max(), 0.0);
}

TEST(Network, TreatsABatchAsItsColumns) {
  const NetworkModel model = small_model();
  const arma::cx_mat z = channels(model, 11);
  const arma::cx_mat together =
      make_network_denoiser(model, on(NetworkEngine::torch))->denoise(z, 0.2);
  // Other batch sizes may sum in another order.
  const auto one_by_one = make_network_denoiser(model, on(NetworkEngine::torch, 1));
  const auto by_four = make_network_denoiser(model, {.device = "auto", .micro_batch = 4});
  EXPECT_LT(arma::abs(together - one_by_one->denoise(z, 0.2)).max(), rounding);
  EXPECT_LT(arma::abs(together - by_four->denoise(z, 0.2)).max(), rounding);
}

TEST(Network, EstimatesNearlyTheSameInBfloat16) {
  const NetworkModel model = small_model();
  const arma::cx_mat z = channels(model, 11);
  const auto exact = make_network_denoiser(model);
  NetworkRunOptions run = on(NetworkEngine::torch, 0);
  run.precision = NetworkPrecision::bfloat16;
  const auto rounded = make_network_denoiser(model, run);
  const arma::cx_mat difference = rounded->denoise(z, 0.25) - exact->denoise(z, 0.25);
  // eps of order 1 with 8 bits through six layers, times sigma = 0.5.
  EXPECT_LT(arma::norm(difference, "fro") / std::sqrt(difference.n_elem), 0.01 * 0.5);
  EXPECT_GT(arma::norm(difference, "fro"), 0.0);
}

TEST(Network, GivesTheSameBitsFromAnyThread) {
  const NetworkModel model = small_model();
  const auto denoiser = make_network_denoiser(model);
  const arma::cx_mat z = channels(model, 9);
  const arma::cx_mat expected = denoiser->denoise(z, 0.2);
  std::vector<arma::cx_mat> found(8);
  parallel_for(found.size(), 4, [&](std::size_t i) { denoiser->denoise(z, 0.2, found[i]); });
  for (const arma::cx_mat& h : found) EXPECT_TRUE(arma::approx_equal(h, expected, "absdiff", 0.0));
}

// Networks of levels that were asked for before are kept, and shared with linearise().
TEST(Network, GivesTheSameBitsFromALevelThatIsKept) {
  const NetworkModel model = small_model();
  const NetworkRunOptions by_torch = on(NetworkEngine::torch);
  const auto denoiser = make_network_denoiser(model, by_torch);
  const arma::cx_mat z = channels(model, 5);
  const auto same = [](const arma::cx_mat& a, const arma::cx_mat& b) {
    return arma::approx_equal(a, b, "absdiff", 0.0);
  };
  const arma::cx_mat D = denoiser->denoise(z, 0.2), linear = denoiser->linearise(z, 0.3)->D();
  // More levels than are kept, then the first again.
  for (int i = 0; i < 200; ++i) {
    const double sigma2 = 1.0 + 0.01 * i;
    EXPECT_TRUE(same(denoiser->denoise(z, sigma2), denoiser->denoise(z, sigma2)));
  }
  EXPECT_TRUE(same(denoiser->denoise(z, 0.2), D));
  EXPECT_TRUE(same(make_network_denoiser(model, by_torch)->denoise(z, 0.2), D));
  // A level prepared for denoise() has a derivative, and the other way round.
  const arma::cx_mat w = channels(model, 5);
  arma::cx_mat first, again;
  make_network_denoiser(model, by_torch)->linearise(z, 0.2)->pull_back(w, first);
  denoiser->linearise(z, 0.2)->pull_back(w, again);
  EXPECT_TRUE(same(first, again));
  const arma::cx_mat after = denoiser->denoise(z, 0.3);
  EXPECT_TRUE(same(denoiser->linearise(z, 0.3)->D(), linear));
  EXPECT_TRUE(same(make_network_denoiser(model, by_torch)->denoise(z, 0.3), after));
}

TEST(Network, LeavesNoiselessInputWithEpsilonPredictionAsItIs) {
  const NetworkModel model = small_model();
  const arma::cx_mat z = channels(model, 2);
  EXPECT_LT(arma::abs(make_network_denoiser(model)->denoise(z, 0.0) - z).max(), rounding);
}

TEST(Network, BridgesToTheAngularTransformOfTheCore) {
  const c10::InferenceMode no_gradients;
  const arma::cx_mat h = channels(small_model(), 3);
  const at::Tensor planes = nn::planes_from_columns(h, 6, 5, at::kCPU);
  ASSERT_EQ(planes.sizes(), (std::vector<std::int64_t>{3, 2, 6, 5}));
  EXPECT_FLOAT_EQ(planes[1][0][4][2].item<float>(), static_cast<float>(h(4 + 6 * 2, 1).real()));
  EXPECT_FLOAT_EQ(planes[1][1][4][2].item<float>(), static_cast<float>(h(4 + 6 * 2, 1).imag()));
  arma::cx_mat angular(30, 3), back(30, 3);
  nn::columns_from_planes(nn::to_angular(planes), angular);
  EXPECT_LT(arma::abs(angular - AngularTransform(6, 5).forward(h)).max(), rounding);
  nn::columns_from_planes(nn::to_antenna(nn::to_angular(planes)), back);
  EXPECT_LT(arma::abs(back - h).max(), rounding);
}

TEST(Network, BeginsWithThePublishedSizeAndPyTorchsSpread) {
  const NetworkConfig config = NetworkConfig::published();
  const at::Tensor flat = nn::initial_weights(network_layout(config), 1);
  EXPECT_EQ(flat.numel(), 55'025);
  const nn::Network network = nn::network_of(config, flat);
  for (const auto& [layer, fan_in] :
       {std::pair(network.convolutions[1], 32 * 9), std::pair(network.modulation, 16)}) {
    const double bound = 1.0 / std::sqrt(fan_in);
    EXPECT_LE(layer.weight.abs().max().item<double>(), bound);
    EXPECT_GT(layer.weight.abs().max().item<double>(), 0.99 * bound);
    // Mean of 2048 uniform values: 0 within 6 standard errors.
    EXPECT_LT(std::abs(layer.weight.mean().item<double>()),
              6.0 * bound / std::sqrt(3.0 * static_cast<double>(layer.weight.numel())));
  }
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    return error.what();
  }
  return "no error";
}

TEST(Network, RejectsWhatDoesNotFit) {
  const NetworkModel model = small_model();
  EXPECT_NE(message_of([&] {
              make_network_denoiser(model, {.device = "tpu", .micro_batch = 0});
            }).find("there is no device 'tpu'; expected auto or one of those here: cpu"),
            std::string::npos);
  NetworkModel broken = model;
  broken.weights.pop_back();
  EXPECT_NE(message_of([&] { make_network_denoiser(broken); }).find("modulation.bias"),
            std::string::npos);
  const auto denoiser = make_network_denoiser(model);
  EXPECT_NE(message_of([&] {
              denoiser->denoise(arma::cx_mat(29, 1, arma::fill::zeros), 1.0);
            }).find("z has 29 rows, the network is made for 30"),
            std::string::npos);
  EXPECT_NE(message_of([&] { denoiser->denoise(channels(model, 1), -1.0); }).find("sigma2 is -1"),
            std::string::npos);
}

}  // namespace
}  // namespace chest
