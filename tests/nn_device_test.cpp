// The door for buffers of a device, on the processor; streams and graphs where there is a GPU.
#include <gtest/gtest.h>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/nn/device_estimator.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/random.hpp>

#include "tests/support/network.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 6, n_tx = 4, n_batch = 5;

NetworkModel calibrated_model(bool predicts) {
  NetworkConfig config;
  config.variance = predicts;
  NetworkModel model = random_network_model(n_rx, n_tx, config);
  model.calibration = {arma::vec{-10.0, 10.0}, arma::uvec{3, 1}, arma::vec{0.9, 0.1},
                       arma::vec{0.7, 1.3}};
  model.calibration.n_spins = {2, 3};
  return model;
}

TEST(DeviceEstimator, IsDmse) {
  const arma::cx_mat orthogonal = 1.5 * dft_matrix(6).rows(0, n_tx - 1);
  for (const bool predicts : {false, true}) {
    const NetworkModel model = calibrated_model(predicts);
    for (const arma::cx_mat& P : {arma::cx_mat(n_tx, n_tx, arma::fill::eye), orthogonal}) {
      const std::shared_ptr<const ObservationOperator> A = make_kronecker_observation(P, n_rx);
      DmseOptions options;
      options.calibration = model.calibration;
      NetworkRunOptions run;
      run.engine = NetworkEngine::torch;
      const auto expected = make_dmse(A, make_network_denoiser(model, run), options);
      const auto estimator = make_device_dmse(P, n_rx, model);
      for (const double sigma2 : {0.05, 1.0, 20.0}) {
        Observation observation;
        observation.y = Rng(4, {Purpose::test}).cx_normal(A->n_obs(), n_batch, 1.0 + sigma2);
        observation.sigma2 = sigma2;
        const Estimate told = expected->estimate(observation);
        const arma::cx_fmat y = arma::conv_to<arma::cx_fmat>::from(observation.y);
        arma::cx_fmat h(n_rx * n_tx, n_batch);
        arma::fvec mse(n_batch);
        estimator->estimate(y.memptr(), n_batch, sigma2, h.memptr(), mse.memptr());
        EXPECT_LT(max_difference(arma::conv_to<arma::cx_mat>::from(h), told.h), 2e-5) << sigma2;
        EXPECT_LT(arma::abs(arma::conv_to<arma::vec>::from(mse) / told.mse - 1.0).max(), 1e-4)
            << sigma2;
        // Without the error, and part of the batch, the same.
        arma::cx_fmat part(n_rx * n_tx, 2);
        estimator->estimate(y.memptr(), 2, sigma2, part.memptr(), nullptr);
        EXPECT_LT(arma::abs(part - h.cols(0, 1)).max(), 1e-5F);
      }
    }
  }
}

TEST(DeviceEstimator, RefusesWhatDoesNotFit) {
  const NetworkModel model = calibrated_model(true);
  const arma::cx_mat I(n_tx, n_tx, arma::fill::eye);
  EXPECT_TRUE(
      refused([&] { make_device_dmse(I.cols(0, 1), n_rx, model); }, "does not decorrelate"));
  EXPECT_TRUE(refused([&] { make_device_dmse(I, n_rx + 1, model); }, "the model is not for"));
  const auto estimator = make_device_dmse(I, n_rx, model);
  std::complex<float> value;
  EXPECT_TRUE(refused([&] { estimator->estimate(nullptr, 1, 1.0, &value, nullptr); }, "is null"));
  EXPECT_TRUE(
      refused([&] { estimator->estimate(&value, 1, 0.0, &value, nullptr); }, "sigma2 is 0"));
  EXPECT_TRUE(refused([&] { estimator->estimate(&value, 1, 1.0, &value, nullptr, &value); },
                      "streams are of a GPU"));
  NetworkModel bare = calibrated_model(false);
  bare.calibration = {};
  float mse = 0.0F;
  EXPECT_TRUE(
      refused([&] { make_device_dmse(I, n_rx, bare)->estimate(&value, 1, 1.0, &value, &mse); },
              "does not predict its error"));
}

}  // namespace
}  // namespace chest
