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

namespace chest {
namespace {

// A second implementation of the networks, in double, loops as the formulas read.
using Planes = std::vector<arma::mat>;

Planes naive_convolution(const Planes& x, const NamedTensor& weight, const NamedTensor& bias,
                         bool circular) {
  const auto n_out = weight.dims[0], n_in = weight.dims[1], kernel = weight.dims[2];
  const auto n_rows = static_cast<std::int64_t>(x[0].n_rows);
  const auto n_cols = static_cast<std::int64_t>(x[0].n_cols);
  Planes y(n_out, arma::mat(n_rows, n_cols));
  for (std::int64_t o = 0; o < n_out; ++o) {
    for (std::int64_t r = 0; r < n_rows; ++r) {
      for (std::int64_t c = 0; c < n_cols; ++c) {
        double sum = bias.values[o];
        for (std::int64_t i = 0; i < n_in; ++i) {
          for (std::int64_t u = 0; u < kernel; ++u) {
            for (std::int64_t v = 0; v < kernel; ++v) {
              std::int64_t row = r + u - kernel / 2, col = c + v - kernel / 2;
              if (circular) {
                row = (row + n_rows) % n_rows;
                col = (col + n_cols) % n_cols;
              }
              if (row < 0 || row >= n_rows || col < 0 || col >= n_cols) continue;
              sum += weight.values[((o * n_in + i) * kernel + u) * kernel + v] * x[i](row, col);
            }
          }
        }
        y[o](r, c) = sum;
      }
    }
  }
  return y;
}

struct NaiveOutput {
  arma::cx_mat o;
  arma::mat deviation;  // empty without variance
};

NaiveOutput naive_network(const NetworkModel& model, const arma::cx_mat& X, double sigma2) {
  const NetworkConfig& config = model.network;
  const auto tensor = [&](const std::string& name) -> const NamedTensor& {
    for (const NamedTensor& candidate : model.weights) {
      if (candidate.name == name) return candidate;
    }
    throw std::logic_error(name);
  };
  std::vector<double> features;
  const int n = config.embedding / 2;
  for (int k = 0; k < n; ++k) {
    features.push_back(config.log_snr ? -to_db(sigma2) * (k + 1) * M_PI / 160.0
                                      : model.schedule.fractional_index(sigma2) *
                                            std::exp(-k * std::log(1e4) / (n - 1)));
  }
  const NamedTensor& weight = tensor("modulation.weight");
  const NamedTensor& bias = tensor("modulation.bias");
  const auto modulation = [&](std::size_t row) {
    double sum = bias.values[row];
    for (int k = 0; k < n; ++k) {
      sum += weight.values[row * 2 * n + k] * std::sin(features[k]);
      sum += weight.values[row * 2 * n + n + k] * std::cos(features[k]);
    }
    return sum;
  };
  Planes x{arma::real(X), arma::imag(X)};
  if (config.magnitude) {
    x.push_back(0.3 * arma::log1p(arma::square(arma::abs(X)) * (1.0 + sigma2) / sigma2));
  }
  if (config.position) {
    for (int side : {0, 1}) {
      for (int sine : {0, 1}) {
        arma::mat plane(arma::size(X));
        for (arma::uword r = 0; r < X.n_rows; ++r) {
          for (arma::uword c = 0; c < X.n_cols; ++c) {
            const double angle = side == 0 ? 2.0 * M_PI * double(r) / double(X.n_rows)
                                           : 2.0 * M_PI * double(c) / double(X.n_cols);
            plane(r, c) = sine ? std::sin(angle) : std::cos(angle);
          }
        }
        x.push_back(plane);
      }
    }
  }
  std::size_t first = 0;
  for (std::size_t i = 0; i <= config.hidden.size(); ++i) {
    const std::string layer = "conv" + std::to_string(i);
    x = naive_convolution(x, tensor(layer + ".weight"), tensor(layer + ".bias"), config.circular);
    const bool modulated = std::count(config.modulated.begin(), config.modulated.end(), i) > 0;
    if (modulated) {
      for (std::size_t c = 0; c < x.size(); ++c) {
        x[c] = x[c] * (1.0 + modulation(first + c)) + modulation(first + x.size() + c);
      }
      first += 2 * x.size();
    }
    if (i == config.hidden.size() || (modulated && !config.relu_after_modulation)) continue;
    for (arma::mat& plane : x) plane = arma::clamp(plane, 0.0, arma::datum::inf);
  }
  NaiveOutput output{arma::cx_mat(x[0], x[1]), {}};
  if (config.gate) output.o += arma::cx_mat(x[2], x[3]) % X;
  if (config.variance) output.deviation = arma::log1p(arma::exp(x.back()));
  return output;
}

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

// D by the naive network: x = F z / sqrt(1 + sigma2), D = F^H (z_gain F z + o_gain o), and its
// predicted error per angular entry.
arma::cx_mat naive_denoise(const NetworkModel& model, const arma::cx_mat& z, double sigma2,
                           arma::mat* angular = nullptr) {
  const AngularTransform transform(model.n_rx, model.n_tx);
  arma::cx_mat out = transform.forward(z);
  if (angular) angular->set_size(arma::size(z));
  const PredictionGains gains = prediction_gains(model.prediction, sigma2);
  for (arma::uword k = 0; k < z.n_cols; ++k) {
    const arma::cx_mat Z = arma::reshape(out.col(k), model.n_rx, model.n_tx);
    const NaiveOutput found = naive_network(model, Z / std::sqrt(1.0 + sigma2), sigma2);
    out.col(k) = arma::vectorise(gains.z_gain * Z + gains.o_gain * found.o);
    if (angular) {
      angular->col(k) = arma::vectorise(arma::square(found.deviation)) * (sigma2 / (1.0 + sigma2));
    }
  }
  return transform.inverse(out);
}

// Values of order 1, float32.
constexpr double rounding = 1e-5;

TEST(Network, EqualsTheNaiveOneForEveryPredictionType) {
  for (Prediction prediction : {Prediction::epsilon, Prediction::sample, Prediction::velocity}) {
    const NetworkModel model = small_model(prediction);
    const auto denoiser = make_network_denoiser(model);
    const arma::cx_mat z = channels(model, 3);
    for (double sigma2 : {0.01, 0.3, 2.0}) {
      EXPECT_LT(arma::abs(denoiser->denoise(z, sigma2) - naive_denoise(model, z, sigma2)).max(),
                rounding)
          << to_string(prediction) << ", sigma2 " << sigma2;
    }
  }
}

TEST(Network, EqualsTheNaiveOneWithEveryPart) {
  for (const std::string text :
       {"chest", "chest:gate", "chest:no-magnitude", "chest:zero-padding", "chest:index",
        "chest:no-variance", "chest:no-position", "chest:modulated=1-2"}) {
    NetworkModel model = small_model(Prediction::velocity, true);
    const NetworkConfig parts = parse_network(text);
    model.network.gate = parts.gate;
    model.network.magnitude = parts.magnitude;
    model.network.position = parts.position;
    model.network.circular = parts.circular;
    model.network.log_snr = parts.log_snr;
    model.network.variance = parts.variance;
    model.network.modulated = parts.modulated;
    model.weights = nn::named_weights(network_layout(model.network),
                                      nn::initial_weights(network_layout(model.network), 5));
    const auto denoiser = make_network_denoiser(model);
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
  const arma::cx_mat together = make_network_denoiser(model)->denoise(z, 0.2);
  // Other batch sizes may sum in another order.
  const auto one_by_one = make_network_denoiser(model, {.device = "cpu", .micro_batch = 1});
  const auto by_four = make_network_denoiser(model, {.device = "auto", .micro_batch = 4});
  EXPECT_LT(arma::abs(together - one_by_one->denoise(z, 0.2)).max(), rounding);
  EXPECT_LT(arma::abs(together - by_four->denoise(z, 0.2)).max(), rounding);
}

TEST(Network, EstimatesNearlyTheSameInBfloat16) {
  const NetworkModel model = small_model();
  const arma::cx_mat z = channels(model, 11);
  const auto exact = make_network_denoiser(model);
  const auto rounded =
      make_network_denoiser(model, {.device = "cpu", .micro_batch = 0, .bfloat16 = true});
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
  const auto denoiser = make_network_denoiser(model);
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
  EXPECT_TRUE(same(make_network_denoiser(model)->denoise(z, 0.2), D));
  // A level prepared for denoise() has a derivative, and the other way round.
  const arma::cx_mat w = channels(model, 5);
  arma::cx_mat first, again;
  make_network_denoiser(model)->linearise(z, 0.2)->pull_back(w, first);
  denoiser->linearise(z, 0.2)->pull_back(w, again);
  EXPECT_TRUE(same(first, again));
  const arma::cx_mat after = denoiser->denoise(z, 0.3);
  EXPECT_TRUE(same(denoiser->linearise(z, 0.3)->D(), linear));
  EXPECT_TRUE(same(make_network_denoiser(model)->denoise(z, 0.3), after));
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
