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
#include "tests/support/refusal.hpp"

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

double nmse_db(const NetworkModel& model, const SampleReader& channels, double snr_db) {
  const arma::uword n_rx = channels.n_rx, n_tx = channels.n_tx;
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
  const arma::cx_mat h = channels.read(0, channels.n_samples);
  Observation observation;
  observation.sigma2 = from_db(-snr_db);
  observation.y = h + std::sqrt(observation.sigma2) *
                          Rng(6, {Purpose::test, n_rx}).cx_normal(h.n_rows, h.n_cols);
  const double error = arma::accu(arma::square(arma::abs(dmse->estimate(observation).h - h)));
  std::filesystem::remove(file);
  return to_db(error / arma::accu(arma::square(arma::abs(h))));
}

double nmse_db(const NetworkModel& model, arma::uword n_rx, arma::uword n_tx, double snr_db) {
  return nmse_db(model, one_path(n_rx, n_tx, 200, 9), snr_db);
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

TEST(Arrays, PartsOfAPanelArePanels) {
  // Polarisation 1 begins at 12, column 1 of it at 16, row 1 at 17.
  EXPECT_EQ(antennas_of({4, 3, 2}, {2, 2, 1}, {1, 1, 1}),
            (std::vector<arma::uword>{17, 18, 21, 22}));
  EXPECT_EQ(parts_of({4, 4, 2}, 8).size(), 5U);  // 2x4, 4x2, 1x4x2, 4x1x2, 2x2x2
  EXPECT_EQ(nearest_part({4, 4, 2}, 8).text(), "2x2x2");
  EXPECT_EQ(nearest_part({8, 8, 1}, 16).text(), "4x4x1");
  EXPECT_EQ(nearest_part({8, 8, 1}, 1000).text(), "8x8x1");
  EXPECT_EQ(common_sizes({{4, 3, 1}}, {4, 12, 1, 1}), (std::vector<arma::uword>{4, 6, 8, 9, 12}));
  EXPECT_EQ(common_sizes({{4, 3, 1}, {}}, {4, 12, 1, 1}).size(), 5U);
  EXPECT_EQ(common_sizes({{4, 3, 1}, {2, 6, 1}}, {4, 12, 1, 1}),
            (std::vector<arma::uword>{4, 6, 8, 12}));
}

TEST(Arrays, AFitOnPanelsCutsTheirParts) {
  SampleReader train = one_path(12, 4, 200, 1), held_out = one_path(12, 4, 20, 2);
  NetworkFitOptions options = small_fit();
  options.arrays = {4, 12, 2, 4};
  options.max_epochs = 1;
  const auto fitted = [&] { return fit_network(train, held_out, options).weights.back().values; };
  const std::vector<float> of_lines = fitted();
  train.rx_panel = {4, 3, 1};
  EXPECT_TRUE(refused(fitted, "have not the same panel"));
  held_out.rx_panel = train.rx_panel;
  const std::vector<float> of_panels = fitted();
  EXPECT_NE(of_panels, of_lines);
  // The same panel said twice is one; another one is cut in its own way.
  options.later_panels = {{100, {4, 3, 1}}};
  EXPECT_EQ(fitted(), of_panels);
  options.later_panels = {{100, {}}};
  const std::vector<float> of_both = fitted();
  EXPECT_NE(of_both, of_panels);
  options.later_panels = {{100, {}}, {150, {4, 3, 1}}};
  EXPECT_NE(fitted(), of_both);
  // The best epoch is the same, what says so is not.
  const arma::vec loss = fit_network(train, held_out, options).validation_losses;
  options.later_validation_panels = {{10, {}}};
  EXPECT_NE(fit_network(train, held_out, options).validation_losses(0), loss(0));
  options.contamination = 0.5;
  fitted();
  options.later_validation_panels = {{20, {}}};
  EXPECT_TRUE(refused(fitted, "there is no channel 20"));
  options.later_validation_panels.clear();

  options.later_panels = {{200, {}}};
  EXPECT_TRUE(refused(fitted, "there is no channel 200"));
  options.later_panels = {{100, {3, 3, 1}}};
  EXPECT_TRUE(refused(fitted, "the panel 3x3x1 is not that of 12 antennas"));
  options.later_panels.clear();
  options.arrays.most_rx = 11;
  EXPECT_TRUE(refused(fitted, "no part of every panel has 11 antennas"));
  options.arrays = {};
  options.later_panels = {{100, {}}};
  EXPECT_TRUE(refused(fitted, "several panels are for arrays of many sizes"));
}

TEST(Arrays, TheFirstAntennasOfAPanelAreAPanel) {
  arma::cx_mat h(2 * 12, 1);
  for (arma::uword i = 0; i < h.n_elem; ++i) h(i) = double(i);
  SampleReader all = samples_in_memory(h, 12, 2);
  all.rx_panel = {4, 3, 1};
  const SampleReader part = first_antennas(all, 4, 2);
  EXPECT_EQ(part.rx_panel.text(), "2x2x1");
  const arma::vec found = arma::real(part.read(0, 1).col(0));
  EXPECT_EQ(arma::max(arma::abs(found - arma::vec{0, 1, 4, 5, 12, 13, 16, 17})), 0.0);
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
