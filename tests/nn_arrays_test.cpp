// One diffusion prior for arrays of many sizes.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/catalog/model_store.hpp>
#include <chest/estimators/network/array_range.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/metrics.hpp>
#include <chest/observation.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>
#include <chest/spec.hpp>

#include "tests/support/program.hpp"

namespace chest {
namespace {

/// Channels of one path from a random direction, at power 1: every part of an array has them too.
SampleReader one_path(arma::uword n_rx, arma::uword n_tx, arma::uword n, std::uint64_t stream) {
  Rng rng(5, {Purpose::test, stream});
  arma::cx_mat h(n_rx * n_tx, n);
  for (arma::uword k = 0; k < n; ++k) {
    const double rx = 2.0 * M_PI * rng.uniform(), tx = 2.0 * M_PI * rng.uniform(),
                 phase = 2.0 * M_PI * rng.uniform();
    for (arma::uword t = 0; t < n_tx; ++t) {
      for (arma::uword r = 0; r < n_rx; ++r) {
        h(r + n_rx * t, k) = std::polar(1.0, phase + rx * double(r) + tx * double(t));
      }
    }
  }
  return samples_in_memory(std::move(h), n_rx, n_tx);
}

NetworkFitOptions small_fit() {
  NetworkFitOptions options;
  options.network.hidden = {8, 12, 8};
  options.network.modulated = {0, 1, 2};
  options.arrays = {4, 16, 2, 8};
  options.batch = 64;
  options.learning_rate = 8e-3;
  options.max_epochs = 10;
  options.n_threads = 2;
  return options;
}

double nmse_db(const NetworkModel& model, arma::uword n_rx, arma::uword n_tx, double snr_db) {
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() /
      ("chest_arrays_" + std::to_string(n_rx) + "x" + std::to_string(n_tx) + ".h5");
  save(file, model);
  EstimatorContext context;
  context.n_rx = n_rx;
  context.n_tx = n_tx;
  context.A = make_identity_observation(n_rx, n_tx);
  context.models = std::make_shared<ModelStore>(std::vector<std::filesystem::path>{file});
  const auto dmse = make_estimator(parse_named_options("dmse:steps=1"), context);
  const arma::cx_mat h = one_path(n_rx, n_tx, 200, 9).read(0, 200);
  Observation observation;
  observation.sigma2 = from_db(-snr_db);
  observation.y = h + std::sqrt(observation.sigma2) *
                          Rng(6, {Purpose::test, n_rx}).cx_normal(h.n_rows, h.n_cols);
  const double error = arma::accu(arma::square(arma::abs(dmse->estimate(observation).h - h)));
  std::filesystem::remove(file);
  return to_db(error / arma::accu(arma::square(arma::abs(h))));
}

TEST(Arrays, OneFitServesSizesThatItSawAndDidNotSee) {
  const NetworkModel model =
      fit_network(one_path(16, 8, 2500, 1), one_path(16, 8, 50, 2), small_fit());
  EXPECT_EQ(model.n_rx, 16U);
  EXPECT_EQ(model.n_tx, 8U);
  EXPECT_EQ(model.arrays.text(), "4-16x2-8");
  // One path at 0 dB: least squares has 0 dB, and more antennas that see the path leave less of it.
  const double small = nmse_db(model, 5, 3, 0.0), middle = nmse_db(model, 11, 5, 0.0),
               large = nmse_db(model, 16, 8, 0.0);
  EXPECT_LT(small, -2.5);
  EXPECT_LT(middle, small - 1.0);
  EXPECT_LT(large, small - 1.0);
  try {
    nmse_db(model, 17, 8, 0.0);
    FAIL() << "17 receive antennas are more than 16";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("is for 4-16x2-8 channels, these are 17x8"),
              std::string::npos)
        << error.what();
  }
}

TEST(Arrays, TheNearestCalibrationIsTaken) {
  NetworkModel model;
  model.n_rx = 64;
  model.n_tx = 16;
  model.arrays = {4, 64, 1, 16};
  const auto calibration = [](double mse) {
    return Calibration{{0.0, 10.0}, {1, 2}, {mse, mse}, {}};
  };
  model.calibration = calibration(0.1);
  model.sizes = {{4, 1, calibration(0.4)}, {16, 4, calibration(0.2)}};
  model.solvers.choices.resize(1);
  EXPECT_EQ(for_array(model, 5, 1).calibration.mse(0), 0.4);
  EXPECT_EQ(for_array(model, 20, 3).calibration.mse(0), 0.2);
  EXPECT_EQ(for_array(model, 60, 16).calibration.mse(0), 0.1);
  EXPECT_EQ(for_array(model, 60, 16).n_rx, 60U);
  // Pilots of another number of antennas were not chosen for.
  EXPECT_TRUE(for_array(model, 60, 16).solvers.choices.empty());
  EXPECT_EQ(for_array(model, 64, 16).solvers.choices.size(), 1U);
  EXPECT_THROW(for_array(model, 65, 16), Error);
}

TEST(Arrays, RangesAreRead) {
  const ArrayRange range = parse_array_range("8-128x1-32", "--arrays");
  EXPECT_TRUE(range.holds(8, 32) && range.holds(128, 1) && range.holds(77, 5));
  EXPECT_FALSE(range.holds(7, 1) || range.holds(129, 1) || range.holds(8, 33) || range.holds(8, 0));
  EXPECT_EQ(parse_array_range("64x16", "").text(), "64x16");
  for (const char* wrong : {"", "8", "8x", "x8", "9-8x4", "0-8x4", "8x0", "8-9-10x4", "8x4x2",
                            "axb", "8x9999", "-8x4"}) {
    EXPECT_THROW(parse_array_range(wrong, "--arrays"), Error) << wrong;
  }
}

TEST(Arrays, ChannelsOfFewerAntennasThanTheModelAreRefused) {
  NetworkFitOptions options = small_fit();
  options.arrays.most_rx = 17;
  EXPECT_THROW(fit_network(one_path(16, 8, 20, 1), one_path(16, 8, 4, 2), options), Error);
}

}  // namespace
}  // namespace chest
