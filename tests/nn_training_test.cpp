#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <torch/csrc/autograd/autograd.h>

#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

#include <chest/estimators/network/layout.hpp>
#include "estimators/nn/network.hpp"
#include "estimators/nn/tensor_bridge.hpp"
#include "estimators/nn/training.hpp"

namespace chest {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "chest_fit_XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// Correlated Gaussian channels, 4x2, so that LMMSE is the conditional mean.
arma::cx_mat correlation(arma::uword n, double rho) {
  arma::cx_mat C(n, n);
  for (arma::uword i = 0; i < n; ++i) {
    for (arma::uword j = 0; j < n; ++j) {
      C(i, j) =
          std::polar(std::pow(rho, std::abs(double(i) - double(j))), 0.4 * (double(i) - double(j)));
    }
  }
  return C;
}

arma::cx_mat gaussian_covariance() { return arma::kron(correlation(2, 0.7), correlation(4, 0.95)); }

SampleReader gaussian_channels(arma::uword n, std::uint64_t stream) {
  Rng rng(7, {Purpose::test, stream});
  return samples_in_memory(covariance_factor(gaussian_covariance()) * rng.cx_normal(8, n), 4, 2);
}

NetworkFitOptions small_fit() {
  NetworkFitOptions options;
  options.network.hidden = {8, 16, 8};
  options.network.modulated = {0, 1, 2};
  options.network.embedding = 8;
  options.learning_rate = 1e-3;
  options.batch = 50;
  options.max_epochs = 3;
  return options;
}

bool equal(const NetworkModel& a, const NetworkModel& b) {
  if (a.weights.size() != b.weights.size()) return false;
  for (std::size_t i = 0; i < a.weights.size(); ++i) {
    if (a.weights[i].values != b.weights[i].values) return false;
  }
  return arma::approx_equal(a.train_losses, b.train_losses, "absdiff", 0.0) &&
         arma::approx_equal(a.validation_losses, b.validation_losses, "absdiff", 0.0);
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

#define EXPECT_ERROR(expression, expected)                             \
  do {                                                                 \
    const std::string found = message_of([&] { (void)(expression); }); \
    EXPECT_NE(found.find(expected), std::string::npos) << found;       \
  } while (false)

TEST(Training, ComesCloseToTheConditionalMeanOfAGaussianPrior) {
  NetworkFitOptions options = small_fit();
  options.network.hidden = {16, 32, 16};
  options.learning_rate = 4e-3;
  options.max_epochs = 15;
  options.batch = 20;
  options.n_threads = 2;
  const NetworkModel model =
      fit_network(gaussian_channels(4000, 1), gaussian_channels(1000, 2), options);
  EXPECT_EQ(model.validation_losses.n_elem, 15);

  const auto network = make_network_denoiser(model);
  const auto exact = make_gaussian_denoiser(gaussian_covariance());
  const arma::cx_mat h = gaussian_channels(2000, 3).read(0, 2000);
  for (double snr_db : {-5.0, 0.0, 5.0, 10.0}) {
    const double sigma2 = from_db(-snr_db);
    Rng rng(7, {Purpose::noise, 0});
    const arma::cx_mat y = h + rng.cx_normal(8, 2000, sigma2);
    const double ratio = nmse(network->denoise(y, sigma2), h) / nmse(exact->denoise(y, sigma2), h);
    // Nothing beats the conditional mean by more than the noise of 2000 paired channels.
    EXPECT_GT(ratio, 0.98) << snr_db << " dB";
    EXPECT_LT(ratio, 1.10) << snr_db << " dB";
  }
}

TEST(Training, GivesTheSameModelForAnyNumberOfThreads) {
  NetworkFitOptions options = small_fit();
  const SampleReader train = gaussian_channels(330, 1), validation = gaussian_channels(70, 2);
  const NetworkModel one = fit_network(train, validation, options);
  options.n_threads = 3;
  EXPECT_TRUE(equal(one, fit_network(train, validation, options)));
  options.seed = 2;
  EXPECT_FALSE(equal(one, fit_network(train, validation, options)));
}

TEST(Training, LearnsTheSameInBfloat16) {
  NetworkFitOptions options = small_fit();
  const SampleReader train = gaussian_channels(330, 1), validation = gaussian_channels(70, 2);
  const NetworkModel exact = fit_network(train, validation, options);
  options.bfloat16 = true;
  const NetworkModel rounded = fit_network(train, validation, options);
  EXPECT_FALSE(equal(rounded, exact));
  // 8 bits in the activations, unbiased over a batch: the validation loss (float32) hardly moves.
  EXPECT_TRUE(
      arma::approx_equal(rounded.validation_losses, exact.validation_losses, "reldiff", 0.005));
}

TEST(Training, ResumedEqualsUninterrupted) {
  const Folder folder;
  const SampleReader train = gaussian_channels(330, 1), validation = gaussian_channels(70, 2);
  NetworkFitOptions options = small_fit();
  const NetworkModel uninterrupted = fit_network(train, validation, options);

  // Stopped three times: within the first epoch, within the second, and within the third.
  options.checkpoint = folder / "checkpoint.h5";
  for (int n_batches : {3, 9, 5}) {
    RunControl control;
    control.stop_requested = [&] { return n_batches-- == 0; };
    const NetworkModel partial = fit_network(train, validation, options, control);
    EXPECT_EQ(partial.weights.size(), uninterrupted.weights.size());
    EXPECT_FALSE(equal(partial, uninterrupted));
  }
  EXPECT_TRUE(equal(fit_network(train, validation, options), uninterrupted));
  // A finished run has nothing to do.
  EXPECT_TRUE(equal(fit_network(train, validation, options), uninterrupted));
}

TEST(Training, RefusesACheckpointOfAnotherRun) {
  const Folder folder;
  NetworkFitOptions options = small_fit();
  options.max_epochs = 1;
  options.checkpoint = folder / "checkpoint.h5";
  const SampleReader train = gaussian_channels(100, 1), validation = gaussian_channels(50, 2);
  fit_network(train, validation, options);

  NetworkFitOptions other = options;
  other.learning_rate = 1e-2;
  EXPECT_ERROR(fit_network(train, validation, other), "learning_rate is 0.001 there and 0.01 now");
  EXPECT_ERROR(fit_network(gaussian_channels(100, 4), validation, options), "fitting channels is");

  std::filesystem::resize_file(options.checkpoint,
                               std::filesystem::file_size(options.checkpoint) / 2);
  EXPECT_THROW(fit_network(train, validation, options), Error);
}

TEST(Training, StopsWhenValidationNoLongerImproves) {
  NetworkFitOptions options = small_fit();
  options.learning_rate =
      1e-12;  // nothing is learnt, the first epoch stays the best within rounding
  options.max_epochs = 50;
  options.patience = 2;
  options.ema_decay = 0.0;
  const NetworkModel model =
      fit_network(gaussian_channels(50, 1), gaussian_channels(20, 2), options);
  EXPECT_LT(model.validation_losses.n_elem, 50);
}

TEST(Training, StopsInTimeWithTheBestSoFar) {
  NetworkFitOptions options = small_fit();
  options.max_epochs = 1'000'000;
  options.max_minutes = 0.5 / 60.0;
  Progress last;
  RunControl control;
  control.on_progress = [&](const Progress& progress) { last = progress; };
  const auto start = std::chrono::steady_clock::now();
  const NetworkModel model =
      fit_network(gaussian_channels(100, 1), gaussian_channels(20, 2), options, control);
  // Generous: a machine under load must not fail this.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  EXPECT_FALSE(model.weights.empty());
  EXPECT_LE(last.fraction, 1.0);
  EXPECT_NE(last.text.find("validation"), std::string::npos) << last.text;
}

TEST(Training, RejectsBadInputBeforeItWorks) {
  const SampleReader train = gaussian_channels(20, 1);
  NetworkFitOptions options = small_fit();
  options.batch = 0;
  EXPECT_ERROR(fit_network(train, train, options), "batch is 0");
  options = small_fit();
  options.network.kernel = 4;
  EXPECT_ERROR(fit_network(train, train, options), "kernel is 4; expected an odd number");
  options = small_fit();
  options.device = "cuda:99";
  EXPECT_ERROR(fit_network(train, train, options), "no device 'cuda:99'");
  options = small_fit();
  const SampleReader wide = samples_in_memory(arma::cx_mat(8, 2, arma::fill::ones), 2, 4);
  EXPECT_ERROR(fit_network(train, wide, options), "4x2, the validation channels 2x4");
  EXPECT_ERROR(fit_network(train, samples_in_memory(arma::cx_mat(8, 0), 4, 2), options),
               "0 to validate with");
  options.learning_rate = 1e30;
  options.max_epochs = 5;
  EXPECT_ERROR(fit_network(train, train, options), "not finite");
}

TEST(Training, MirrorsChannelsInTheAngularDomain) {
  const arma::cx_mat h = Rng(1, {Purpose::test}).cx_normal(30, 2);
  const at::Tensor angular = nn::to_angular(nn::planes_from_columns(h, 6, 5, at::kCPU));
  for (unsigned mirrors = 0; mirrors < 8; ++mirrors) {
    arma::cx_mat expected = h, found(30, 2);
    for (arma::uword k = 0; k < 2; ++k) {
      arma::cx_mat H = arma::reshape(h.col(k), 6, 5);
      if (mirrors & 1) H = arma::flipud(H);
      if (mirrors & 2) H = arma::fliplr(H);
      if (mirrors & 4) H = arma::conj(H);
      expected.col(k) = arma::vectorise(H);
    }
    nn::columns_from_planes(nn::to_antenna(nn::mirrored(angular, mirrors)), found);
    EXPECT_LT(arma::abs(found - expected).max(), 1e-5) << mirrors;
  }
}

TEST(Training, TurnsDirectionsByAngularBins) {
  const arma::cx_mat h = Rng(1, {Purpose::test}).cx_normal(30, 2);
  const at::Tensor angular = nn::to_angular(nn::planes_from_columns(h, 6, 5, at::kCPU));
  const auto difference = [](const at::Tensor& a, const at::Tensor& b) {
    return (a - b).abs().max().item<double>();
  };
  // By whole bins: the angles of channel 0 move by 2 and -1, those of channel 1 by 0 and 3.
  const at::Tensor whole = nn::turned(angular, at::tensor({2.0F, -1.0F, 0.0F, 3.0F}).view({2, 2}));
  const at::Tensor moved = at::stack({angular[0].roll({2, -1}, {1, 2}), angular[1].roll(3, 2)});
  EXPECT_LT(difference(whole, moved), 1e-5);
  // By parts of bins and back: the same power in between, and the same channel at the end.
  const at::Tensor bins = at::tensor({0.3F, -0.4F, 0.5F, 0.1F}).view({2, 2});
  const at::Tensor between = nn::turned(angular, bins);
  EXPECT_GT(difference(between, angular), 0.1);
  EXPECT_LT(difference(between.square().sum({1, 2, 3}), angular.square().sum({1, 2, 3})), 1e-4);
  EXPECT_LT(difference(nn::turned(between, -bins), angular), 1e-5);
}

// The loss in double against differences of itself, for every prediction type.
TEST(Training, GradientsAgreeWithDifferences) {
  NetworkConfig small = NetworkConfig::published();
  small.hidden = {3, 4, 3};
  small.embedding = 4;
  NetworkConfig gated;
  gated.hidden = {3, 4};
  gated.modulated = {0, 1};
  gated.embedding = 4;
  const NoiseSchedule schedule = NoiseSchedule::linear(10, 1e-3, 0.3);
  at::manual_seed(1);
  const at::Tensor h = at::randn({3, 2, 5, 4}, at::kDouble);
  const at::Tensor eps = at::randn({3, 2, 5, 4}, at::kDouble);
  NetworkConfig axial;
  axial.axial = true;
  axial.hidden = {3, 4};
  axial.modulated = {0, 1};
  axial.embedding = 4;
  for (const NetworkConfig& config : {small, gated, axial}) {
    const at::Tensor flat = nn::initial_weights(network_layout(config), 3).to(at::kDouble);
    for (Prediction prediction : {Prediction::epsilon, Prediction::sample, Prediction::velocity}) {
      const auto loss = [&](const at::Tensor& weights) {
        return nn::level_errors(config, prediction, schedule, weights, h, eps, 0.2).squared;
      };
      const at::Tensor leaf = flat.clone().requires_grad_();
      const at::Tensor gradient = torch::autograd::grad({loss(leaf)}, {leaf})[0];
      constexpr double step = 1e-6;
      for (std::int64_t i = 0; i < flat.numel(); i += 7) {
        const at::Tensor above = flat.clone(), below = flat.clone();
        above[i] += step;
        below[i] -= step;
        const double difference =
            (loss(above).item<double>() - loss(below).item<double>()) / (2.0 * step);
        // Central differences: error of order step^2 beside 1e-16 loss / step; a ReLU that switches
        // within the step would show as more.
        EXPECT_NEAR(gradient[i].item<double>(), difference, 1e-5) << "weight " << i;
      }
    }
  }
}

}  // namespace
}  // namespace chest
