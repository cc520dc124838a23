#include <gtest/gtest.h>
#include <stdlib.h>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>
#include <cstring>
#include <fstream>
#include <functional>

#include "tests/support/network.hpp"

namespace chest {
namespace {

class NetworkModelFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "chest_model_XXXXXX").string();
    folder_ = mkdtemp(name.data());
    file_ = folder_ / "model.h5";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_, file_;
};

// The letter's kind with one hidden layer of 3, kernel 3, embedding 4.
NetworkModel small_model() {
  NetworkModel model;
  model.n_rx = 8;
  model.n_tx = 4;
  model.network = NetworkConfig::published();
  model.network.hidden = {3};
  model.network.modulated = {0};
  model.network.embedding = 4;
  model.prediction = Prediction::velocity;
  model.schedule = NoiseSchedule::linear(10, 1e-3, 0.2);
  model.weights = {{"conv0.weight", {3, 2, 3, 3}, {}}, {"conv0.bias", {3}, {}},
                   {"conv1.weight", {2, 3, 3, 3}, {}}, {"conv1.bias", {2}, {}},
                   {"modulation.weight", {6, 4}, {}},  {"modulation.bias", {6}, {}}};
  Rng rng(1, {Purpose::test});
  for (NamedTensor& tensor : model.weights) {
    std::int64_t n = 1;
    for (std::int64_t dim : tensor.dims) n *= dim;
    for (std::int64_t i = 0; i < n; ++i) {
      tensor.values.push_back(static_cast<float>(rng.normal()));
    }
  }
  model.calibration = {{-10.0, 0.0, 10.0}, {3, 2, 1}, {0.5, 0.1, 0.02}, {0.9, 1.0, 1.1}, {1, 2, 4}};
  model.channel_scale = 1.5;
  model.train_losses = {0.4, 0.3};
  model.validation_losses = {0.41, 0.31};
  model.training_data = R"({"file": "channels.h5"})";
  model.tuning_data = R"([{"file": "others.h5"}])";
  model.provenance.seed = 17;
  model.provenance.options = R"({"batch": 128})";
  return model;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(NetworkModelFile, KeepsEverything) {
  const NetworkModel model = small_model();
  save(file_, model);
  const NetworkModel loaded = load_network_model(file_);
  EXPECT_EQ(loaded.n_rx, 8);
  EXPECT_EQ(loaded.n_tx, 4);
  EXPECT_EQ(loaded.network.hidden, model.network.hidden);
  EXPECT_EQ(loaded.network.modulated, model.network.modulated);
  EXPECT_FALSE(loaded.network.log_snr || loaded.network.circular || loaded.network.magnitude ||
               loaded.network.gate || loaded.network.variance ||
               loaded.network.relu_after_modulation);
  EXPECT_EQ(loaded.network.kernel, 3);
  EXPECT_EQ(loaded.network.embedding, 4);
  EXPECT_EQ(loaded.prediction, Prediction::velocity);
  EXPECT_EQ(loaded.channel_scale, 1.5);
  EXPECT_EQ(loaded.training_data, model.training_data);
  EXPECT_EQ(loaded.tuning_data, model.tuning_data);
  EXPECT_EQ(loaded.provenance.seed, 17u);
  EXPECT_EQ(loaded.provenance.options, model.provenance.options);
  EXPECT_FALSE(loaded.provenance.made_by.empty());
  ASSERT_EQ(loaded.weights.size(), model.weights.size());
  for (std::size_t i = 0; i < model.weights.size(); ++i) {
    EXPECT_EQ(loaded.weights[i].name, model.weights[i].name);
    EXPECT_EQ(loaded.weights[i].dims, model.weights[i].dims);
    EXPECT_EQ(loaded.weights[i].values, model.weights[i].values);
  }
  const auto same = [](const auto& a, const auto& b) {
    return arma::approx_equal(a, b, "absdiff", 0);
  };
  EXPECT_TRUE(same(loaded.schedule.betas(), model.schedule.betas()));
  EXPECT_TRUE(same(loaded.calibration.snr_db, model.calibration.snr_db));
  EXPECT_TRUE(same(loaded.calibration.n_steps, model.calibration.n_steps));
  EXPECT_TRUE(same(loaded.calibration.mse, model.calibration.mse));
  EXPECT_TRUE(same(loaded.calibration.mse_ratio, model.calibration.mse_ratio));
  EXPECT_TRUE(same(loaded.calibration.n_spins, model.calibration.n_spins));
  EXPECT_TRUE(same(loaded.train_losses, model.train_losses));
  EXPECT_TRUE(same(loaded.validation_losses, model.validation_losses));
}

TEST_F(NetworkModelFile, RefusesToSaveWhatItCouldNotLoad) {
  NetworkModel model = small_model();
  model.weights[0].values[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(message_of([&] { save(file_, model); }).find("conv0.weight are not finite"),
            std::string::npos);
  model = small_model();
  model.weights[4].dims = {4, 6};
  EXPECT_NE(message_of([&] {
              save(file_, model);
            }).find("modulation.weight have the shape [4, 6] and 24 values; expected [6, 4]"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(NetworkModelFile, NamesWhatIsWrongWithAFile) {
  save(file_, small_model());
  // Damage of one attribute at a time, on a copy whose text is edited in place.
  const auto with = [&](const std::string& from, const std::string& to) {
    std::ifstream in(file_, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    EXPECT_EQ(from.size(), to.size());
    const std::size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    bytes.replace(at, to.size(), to);
    bytes.resize(bytes.rfind("\nchest xxh3-128 "));  // it would tell that something was changed
    const std::filesystem::path damaged = folder_ / "damaged.h5";
    std::ofstream(damaged, std::ios::binary) << bytes;
    return message_of([&] { load_network_model(damaged); });
  };
  EXPECT_NE(with("\"kernel\":3", "\"kernel\":5").find("conv0.weight have the shape"),
            std::string::npos);
  EXPECT_NE(with("\"kernel\":3", "\"kernel\":4").find("kernel is 4; expected an odd number"),
            std::string::npos);
  EXPECT_NE(with("\"kernel\":3", "\"kernel\":x").find("not a JSON object"), std::string::npos);
  EXPECT_NE(with("\"kernel\":3", "\"cornel\":3").find("no entry kernel"), std::string::npos);
  EXPECT_NE(with("\"modulated\":[0]", "\"modulated\":[1]").find("indices of hidden layers"),
            std::string::npos);
  EXPECT_NE(with("velocity", "velosity").find("velosity"), std::string::npos);
  EXPECT_NE(with("dmse", "gmms").find("gmms"), std::string::npos);

  EXPECT_NE(message_of([&] { load_network_model(folder_ / "none.h5"); }).find("none.h5"),
            std::string::npos);
  for (double part : {0.1, 0.5, 0.9}) {
    const std::filesystem::path cut = folder_ / "cut.h5";
    std::filesystem::copy_file(file_, cut, std::filesystem::copy_options::overwrite_existing);
    const auto size = static_cast<double>(std::filesystem::file_size(file_));
    std::filesystem::resize_file(cut, static_cast<std::uintmax_t>(part * size));
    EXPECT_THROW(load_network_model(cut), Error) << part;
  }
}

TEST(NetworkConfig, SaysWhatIsInvalid) {
  EXPECT_EQ(NetworkConfig{}.why_invalid(), "");
  NetworkConfig config;
  config.hidden = {};
  EXPECT_NE(config.why_invalid().find("hidden names 0 layers"), std::string::npos);
  config = {};
  config.modulated = {1, 1};
  EXPECT_NE(config.why_invalid().find("modulated is [1,1]"), std::string::npos);
  config = {};
  config.snr_high_db = -30.0;
  EXPECT_NE(config.why_invalid().find("range of SNRs"), std::string::npos);
  config = {};
  config.embedding = 7;
  EXPECT_NE(config.why_invalid().find("embedding is 7"), std::string::npos);
  config = {};
  config.hidden = {4096, 4096, 4096};
  config.modulated = {0};
  EXPECT_NE(config.why_invalid().find("parameters; expected at most"), std::string::npos);
}

TEST_F(NetworkModelFile, KeepsAxialLayersInAFormThatOlderProgramsRefuse) {
  const NetworkModel model = random_network_model(4, 3, parse_network("chest:hidden=5-4,axial"));
  save(file_, model);
  const NetworkModel loaded = load_network_model(file_);
  EXPECT_TRUE(loaded.network.axial);
  EXPECT_EQ(loaded.network.kernel, 9);
  EXPECT_EQ(loaded.weights[2].dims, (std::vector<std::int64_t>{4, 5, 1, 9}));
  const ArchiveReader archive(file_);
  EXPECT_EQ(archive.integer_attribute("/", "format_version"), 3);
}

TEST(NetworkConfig, HasNoMoreParametersThanTheLetter) {
  EXPECT_EQ(NetworkConfig::published().n_parameters(), 55'025);
  EXPECT_LE(NetworkConfig{}.n_parameters(), 55'025);
}

TEST(NetworkConfig, IsReadFromText) {
  EXPECT_EQ(parse_network("letter").n_parameters(), 55'025);
  const NetworkConfig config = parse_network("chest:hidden=8-6,kernel=5,gate,zero-padding");
  EXPECT_EQ(config.hidden, (std::vector<int>{8, 6}));
  EXPECT_EQ(config.modulated, (std::vector<int>{0, 1}));
  EXPECT_EQ(config.kernel, 5);
  EXPECT_TRUE(config.gate);
  EXPECT_FALSE(config.circular);
  EXPECT_TRUE(config.magnitude && config.variance && config.log_snr);
  const NetworkConfig axial = parse_network("chest:axial");
  EXPECT_TRUE(axial.axial);
  EXPECT_EQ(axial.kernel, 9);
  EXPECT_EQ(axial.n_parameters(), NetworkConfig{}.n_parameters());
  EXPECT_EQ(parse_network("chest:axial,kernel=7").kernel, 7);
  EXPECT_NE(message_of([] { parse_network("unet"); }).find("there are letter and chest"),
            std::string::npos);
  EXPECT_NE(message_of([] { parse_network("chest:gat"); }).find("did you mean gate"),
            std::string::npos);
  EXPECT_NE(message_of([] { parse_network("chest:kernel=4"); }).find("kernel is 4"),
            std::string::npos);
}

TEST(PublishedWeights, AreImportedWithTheirOrigin) {
  const char* const reference = std::getenv("CHEST_REFERENCE_DIR");
  if (reference == nullptr) {
    GTEST_SKIP() << "CHEST_REFERENCE_DIR is not set: no published weights to import";
  }
  const std::filesystem::path golden = std::filesystem::path(reference) / "golden";
  const NetworkModel model = import_published_weights(golden / "dmse_3gpp_path3_weights.h5");
  EXPECT_EQ(model.n_rx, 64);
  EXPECT_EQ(model.n_tx, 16);
  EXPECT_EQ(model.schedule.n_steps(), 100);
  EXPECT_EQ(model.schedule.betas()(99), 0.1);
  EXPECT_EQ(model.train_losses.n_elem, 446);
  std::size_t n_parameters = 0;
  for (const NamedTensor& tensor : model.weights) n_parameters += tensor.values.size();
  EXPECT_EQ(n_parameters, 55'025);
  EXPECT_NE(model.provenance.options.find("benediktfesl/Diffusion_channel_est"), std::string::npos);
  EXPECT_NE(message_of([&] {
              import_published_weights(golden / "golden_io.h5");
            }).find("no attribute sim_params"),
            std::string::npos);
}

// One step is exact and more steps are as good: of equals the fewest calls win.
TEST(Calibrate, ChoosesFewCallsForAGaussianPriorAndRecordsTheError) {
  const arma::vec power{4.0, 2.0, 1.0, 0.5, 0.25, 0.15, 0.06, 0.04};
  Rng rng(5, {Purpose::test});
  const arma::cx_mat h = arma::diagmat(arma::sqrt(power)) * rng.cx_normal(8, 512);
  const auto denoiser = make_gaussian_denoiser(arma::cx_mat(arma::diagmat(power), arma::mat(8, 8)));
  const SampleReader validation = samples_in_memory(h, 4, 2);
  const Calibration calibration = calibrate(*denoiser, validation, 1, 1);
  ASSERT_EQ(calibration.snr_db.n_elem, 12);
  EXPECT_EQ(calibration.snr_db(0), -15.0);
  EXPECT_EQ(calibration.snr_db(11), 40.0);
  for (arma::uword i = 0; i < 12; ++i) {
    EXPECT_EQ(calibration.calls(i), "1") << calibration.snr_db(i);
    const double sigma2 = from_db(-calibration.snr_db(i));
    const double expected = arma::mean(power * sigma2 / (power + sigma2));
    // 256 channels of 8 entries: 2 % to 5 % is one standard error.
    EXPECT_NEAR(calibration.mse(i) / expected, 1.0, 0.2) << calibration.snr_db(i);
  }
  const Calibration again = calibrate(*denoiser, validation, 1, 3);
  EXPECT_TRUE(arma::approx_equal(again.mse, calibration.mse, "absdiff", 0.0));
}

TEST(Calibrate, FurtherCallsMustBringThreeHundredthsOfADecibel) {
  EXPECT_EQ(fewest_calls({0.1}), 1u);
  EXPECT_EQ(fewest_calls({1.006, 1.003, 1.0}), 1u);  // 0.026 dB
  EXPECT_EQ(fewest_calls({1.008, 1.0, 1.0}), 2u);    // 0.035 dB
  // Against the best, not the one before: two small gains are one of 0.05 dB.
  EXPECT_EQ(fewest_calls({1.012, 1.006, 1.0}), 2u);
  EXPECT_EQ(fewest_calls({2.0, 1.5, 1.0}), 3u);
  EXPECT_EQ(fewest_calls({1.0, 0.999, 5.0}), 1u);
}

// Losses in dB of one call and of two, which are as good as four: 0.5, 0.01, 0.2, 0.1.
TEST(Calibrate, SpendsAMeanOfCallsWhereTheyGainMost) {
  const arma::uvec calls{1, 2, 4};
  arma::mat mse(3, 4, arma::fill::ones);
  for (arma::uword i = 0; i < 4; ++i) mse(0, i) = from_db(arma::vec{0.5, 0.01, 0.2, 0.1}(i));
  mse(1, 3) = from_db(0.06);
  const auto chosen = [&](double mean) {
    const arma::uvec c = choose_calls(mse, calls, mean);
    return std::vector<arma::uword>(c.begin(), c.end());
  };
  using Chosen = std::vector<arma::uword>;
  EXPECT_EQ(chosen(0.0), (Chosen{1, 0, 1, 2}));
  EXPECT_EQ(chosen(2.25), (Chosen{1, 0, 1, 2}));
  // Two calls less at the last level lose 0.03 dB each, three 0.033 each; then one more 0.04.
  EXPECT_EQ(chosen(2.0), (Chosen{1, 0, 1, 1}));
  EXPECT_EQ(chosen(1.74), (Chosen{1, 0, 1, 0}));
  EXPECT_EQ(chosen(1.25), (Chosen{1, 0, 0, 0}));
  EXPECT_EQ(chosen(1.0), (Chosen{0, 0, 0, 0}));
}

TEST(Calibrate, RejectsWhatDoesNotFitAndStopsOnRequest) {
  const auto denoiser = make_gaussian_denoiser(arma::cx_mat(8, 8, arma::fill::eye));
  const SampleReader validation = samples_in_memory(arma::cx_mat(6, 4, arma::fill::ones), 3, 2);
  EXPECT_NE(message_of([&] {
              calibrate(*denoiser, validation, 1, 1);
            }).find("have 6 entries, the denoiser is made for 8"),
            std::string::npos);
  const SampleReader good = samples_in_memory(arma::cx_mat(8, 4, arma::fill::ones), 4, 2);
  RunControl control;
  control.stop_requested = [] { return true; };
  EXPECT_NE(message_of([&] { calibrate(*denoiser, good, 1, 1, {}, control); }).find("stopped"),
            std::string::npos);
}

}  // namespace
}  // namespace chest
