// Weights and schedules in the files of others: tests/golden/exchange/, which PyTorch, safetensors, diffusers and diffusers-dmse
// wrote (tests/golden/exchange.py), and what chest writes for them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>

#include <chest/archive.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/catalog/model_store.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/inference/engine_denoiser.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/network/exchange.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/scheduler_config.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/network.hpp"
#include "tests/support/program.hpp"
#include "tests/support/run.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

using nlohmann::json;
using sim::content_without_timings;
using sim::error_of;

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(CHEST_SOURCE_DIR) / "tests/golden/exchange" / name;
}

bool says(const std::string& message, const std::string& text) {
  return message.find(text) != std::string::npos;
}

void write_bytes(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

/// A network with a value in every place of a model file, and a noise level that is told by index or log SNR.
NetworkModel full_model(const NetworkConfig& config) {
  NetworkModel model = random_network_model(4, 3, config);
  model.channel_scale = 1.0 / 3.0;
  model.calibration = {{-10.0, 0.0, 10.1}, {3, 2, 1}, {0.9, 0.3, 0.1 / 3.0}, {1.1, 1.0, 0.9}};
  model.errors.sigma2 = {0.1, 1.0};
  model.errors.mse = {0.05, 1.0 / 3.0};
  model.errors.angular = arma::mat(12, 2, arma::fill::value(0.3));
  model.solvers.choices = {{"qpsk:2",
                            arma::cx_mat(3, 2, arma::fill::value(arma::cx_double(0.6, -0.8 / 3.0))),
                            {0.0, 10.0},
                            {"ep", "diffpir:levels=8"},
                            {0.5, 0.2}}};
  model.train_losses = {1.0, 0.5};
  model.training_data = R"({"file": "a.h5"})";
  model.tuning_data = "[]";
  model.provenance.seed = 1234567890123456789u;
  model.provenance.options = R"({"x": 1})";
  return model;
}

/// Whether this build reads .pt files, which takes libzip.
bool reads_torch_files() {
  return !says(error_of([] { import_network(golden("checkpoint.pt")); }), "built without");
}

// A checkpoint is a dictionary of the epoch, the optimiser and the state dictionary, whose names begin with "model.".
TEST(Exchange, TorchAndSafetensorsHoldTheSameNetwork) {
  if (!reads_torch_files()) GTEST_SKIP() << "built without libzip";
  const NetworkModel model = import_network(golden("checkpoint.pt"));
  EXPECT_EQ(model.n_rx, 4u);
  EXPECT_EQ(model.n_tx, 3u);
  EXPECT_EQ(model.network.hidden, (std::vector<int>{3, 4, 3}));
  EXPECT_EQ(model.prediction, Prediction::epsilon);
  EXPECT_EQ(model.schedule.n_steps(), 10u);
  EXPECT_EQ(model.schedule.betas()(9), 0.5);  // in double precision, as sim_params has it
  // The formula of exchange.py: the first layer is the third entry of its dictionary, and lies there with channels last.
  const NamedTensor& first = model.weights.front();
  EXPECT_EQ(first.name, "conv0.weight");
  EXPECT_EQ(first.dims, (std::vector<std::int64_t>{3, 2, 3, 3}));
  for (std::size_t o = 0; o < 3; ++o) {
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t tap = 0; tap < 9; ++tap) {
        const auto k = static_cast<double>((o * 9 + tap) * 2 + i);
        EXPECT_NEAR(first.values[(o * 2 + i) * 9 + tap], 0.3 * std::sin(0.37 * k + 2.0), 1e-7);
      }
    }
  }
  for (const char* other : {"state_protocol5.pt", "weights.safetensors"}) {
    const NetworkModel same = import_network(golden(other));
    EXPECT_TRUE(arma::all(same.schedule.betas() == model.schedule.betas())) << other;
    ASSERT_EQ(same.weights.size(), model.weights.size()) << other;
    for (std::size_t i = 0; i < model.weights.size(); ++i) {
      EXPECT_EQ(same.weights[i].name, model.weights[i].name) << other;
      EXPECT_EQ(same.weights[i].values, model.weights[i].values) << other;
    }
  }
}

TEST(Exchange, ASchedulerReplacesScheduleAndPrediction) {
  const TemporaryFolder folder;
  write_bytes(
      folder / "scheduler_config.json",
      R"({"_class_name": "DMSEScheduler", "beta_schedule": "scaled_linear", "clip_sample": false,
                  "num_train_timesteps": 20, "prediction_type": "v_prediction", "own": [1, {"a": null}]})");
  const NetworkModel model =
      import_network(golden("weights.safetensors"), {{}, folder / "scheduler_config.json"});
  EXPECT_EQ(model.prediction, Prediction::velocity);
  EXPECT_EQ(model.schedule.n_steps(), 20u);
  save(folder / "m.h5", model);
  const NetworkModel loaded = load_network_model(folder / "m.h5");
  // What came with the weights goes back as it was, also what chest has no use for.
  EXPECT_EQ(json::parse(scheduler_config_of(loaded)),
            json::parse(text_of(folder / "scheduler_config.json")));
}

TEST(Exchange, SafetensorsGiveBackEveryModelBitForBit) {
  const TemporaryFolder folder;
  const auto model = folder / "m.h5", between = folder / "m.safetensors", back = folder / "b.h5";
  const auto comes_back = [&](const std::string& what) {
    save_safetensors(between, model);
    EXPECT_TRUE(is_model_in_safetensors(between));
    restore_from_safetensors(between, back);
    EXPECT_EQ(content_without_timings(back), content_without_timings(model)) << what;
    const ArchiveReader one(model), other(back);
    for (const char* name : {"made_by", "made_at", "command_line"}) {
      EXPECT_EQ(one.text_attribute("/", name), other.text_attribute("/", name)) << what;
    }
    EXPECT_EQ(one.integer_attribute("/", "seed"), other.integer_attribute("/", "seed")) << what;
  };
  for (const NetworkConfig& config :
       {NetworkConfig{}, NetworkConfig::published(), parse_network("chest:bias-free")}) {
    save(model, full_model(config));
    comes_back("dmse");
    const NetworkModel loaded = import_network(between);
    EXPECT_EQ(loaded.solvers.choices.front().solvers,
              (std::vector<std::string>{"ep", "diffpir:levels=8"}));
    EXPECT_TRUE(arma::all(arma::vectorise(loaded.solvers.choices.front().P) ==
                          arma::cx_double(0.6, -0.8 / 3.0)));
    EXPECT_EQ(loaded.weights.back().values, load_network_model(model).weights.back().values);
  }
  LmmseModel lmmse;
  lmmse.n_rx = 4;
  lmmse.n_tx = 2;
  lmmse.C = arma::cx_mat(arma::cx_mat(8, 8, arma::fill::eye) / 3.0);
  save(model, lmmse);
  comes_back("lmmse");
  EXPECT_TRUE(says(error_of([&] { import_network(between); }),
                   "is a model of kind lmmse, expected one of kind dmse"));
}

// Figures of diffusers: betas in float32, indices and the start of diffusers-dmse, and its loop on a Gaussian prior of
// variance 0.7, from y = 1.
TEST(Exchange, SchedulersAreThoseOfDiffusers) {
  const json cases = json::parse(text_of(golden("schedulers.json")));
  for (const json& each : cases) {
    const std::string text = each.at("config").dump();
    const SchedulerConfig config = parse_scheduler_config(text, "config");
    const arma::uword n = each.at("n_levels");
    ASSERT_EQ(config.schedule.n_steps(), n) << text;
    for (const auto& [i, beta] : each.at("betas").items()) {
      const double expected = beta;
      if (expected == 1.0) continue;  // no signal left: not representable with z = x / sqrt(abar)
      // float32 differences of abar near 1e-4 in rescale_betas_zero_snr lose 1e-5.
      EXPECT_NEAR(config.schedule.betas()(std::stoul(i)), expected,
                  each.at("config").value("rescale_betas_zero_snr", false) ? 5e-5 : 1e-6)
          << text << " beta " << i;
    }
    for (const auto& [steps, indices] : each.at("timesteps").items()) {
      const arma::uvec found =
          inference_indices(n, std::stoul(steps), config.spacing, config.steps_offset);
      EXPECT_EQ(arma::conv_to<std::vector<arma::uword>>::from(found),
                indices.get<std::vector<arma::uword>>())
          << text << ", " << steps << " steps";
    }
    if (!each.contains("loops")) continue;
    const std::shared_ptr<const Denoiser> prior =
        make_gaussian_denoiser(arma::cx_mat(arma::cx_mat(1, 1, arma::fill::eye) * 0.7));
    for (const json& loop : each.at("loops")) {
      DmseOptions options;
      options.rule = ReverseRule::scheduler;
      options.schedule = config.schedule;
      options.spacing = config.spacing;
      options.steps_offset = config.steps_offset;
      options.n_steps = loop.at("n");
      const auto estimator = make_dmse(make_identity_observation(1, 1), prior, options);
      Observation observation;
      observation.y = arma::cx_mat(1, 1, arma::fill::ones);
      observation.sigma2 = from_db(-loop.at("snr_db").get<double>());
      // Products of 100 values in float32 there: 100 roundings of 6e-8.
      EXPECT_NEAR(estimator->estimate(observation).h(0).real(), loop.at("h").get<double>(), 6e-6)
          << text << loop.dump();
    }
  }
}

// Linear and dB distances agree on the schedule of [Fesl2024a].
TEST(Exchange, TheLoopStartsAtTheLevelOfTheSnr) {
  const auto schedule = NoiseSchedule::linear(100, 9.999000099991662e-5, 0.1);
  const arma::uvec all = inference_indices(100, 100, TimestepSpacing::leading, 0);
  const std::map<int, std::size_t> starts{{-10, 68}, {-5, 52}, {0, 36}, {5, 23}, {10, 13},
                                          {15, 7},   {20, 4},  {30, 1}, {40, 0}};
  for (const auto& [snr_db, start] : starts) {
    EXPECT_EQ(scheduler_chain(schedule, from_db(-snr_db), all).steps.size(), start + 1) << snr_db;
  }
}

TEST(Exchange, ConfigurationsComeBackAsTheyWere) {
  const NetworkModel own = random_network_model(4, 3);
  const json written = json::parse(scheduler_config_of(own));
  EXPECT_EQ(written.at("_class_name"), "DDPMScheduler");
  EXPECT_EQ(written.at("prediction_type"), "v_prediction");
  EXPECT_EQ(written.at("clip_sample"), false);
  EXPECT_EQ(written.at("beta_schedule"), "linear");
  EXPECT_TRUE(written.at("trained_betas").is_null());
  const SchedulerConfig read = parse_scheduler_config(written.dump(), "config");
  EXPECT_TRUE(arma::all(read.schedule.betas() == own.schedule.betas()));
  EXPECT_TRUE(read.doubts.empty());
  // Betas without a name.
  NetworkModel odd = own;
  odd.schedule = NoiseSchedule(arma::vec{0.01, 0.1 / 3.0, 0.5});
  const SchedulerConfig listed = parse_scheduler_config(scheduler_config_of(odd), "config");
  EXPECT_TRUE(arma::all(listed.schedule.betas() == odd.schedule.betas()));
}

TEST(Exchange, ConfigurationsThatCannotBeFollowedAreRefusedOrDoubted) {
  const auto refusal = [](const std::string& text) {
    return error_of([&] { parse_scheduler_config(text, "cfg"); });
  };
  const auto with = [](const std::string& entries) {
    return R"({"_class_name": "DDPMScheduler", )" + entries + "}";
  };
  EXPECT_TRUE(says(refusal("[1]"), "cfg: is not a JSON object"));
  EXPECT_TRUE(says(refusal("{}"), "has no _class_name; there are DDPMScheduler"));
  EXPECT_TRUE(says(refusal(R"({"_class_name": "FlowMatchEulerDiscreteScheduler"})"),
                   "its _class_name is FlowMatchEulerDiscreteScheduler; there are"));
  EXPECT_TRUE(says(refusal(with(R"("prediction_type": "flow_prediction")")),
                   "its prediction_type is \"flow_prediction\"; expected epsilon, sample or"));
  EXPECT_TRUE(says(refusal(with(R"("beta_schedule": "log")")), "its beta_schedule is \"log\""));
  EXPECT_TRUE(says(refusal(with(R"("num_train_timesteps": 1e9)")), "expected 1 to 100000"));
  EXPECT_TRUE(says(refusal(with(R"("beta_end": 2)")), "the noise schedule is damaged"));
  EXPECT_TRUE(says(refusal(with(R"("trained_betas": [0.1, "x"])")), "expected a list of numbers"));
  EXPECT_TRUE(
      says(refusal(with(R"("timestep_spacing": "even")")), "leading, trailing or linspace"));
  const SchedulerConfig config = parse_scheduler_config(with(R"("thresholding": true)"), "cfg");
  ASSERT_EQ(config.doubts.size(), 2u);
  EXPECT_TRUE(
      says(config.doubts[0], "clip_sample is on, as diffusers has it where it is not named"));
  EXPECT_TRUE(says(config.doubts[1], "thresholding is on; chest does without"));
  EXPECT_TRUE(says(error_of([] { inference_indices(10, 11, TimestepSpacing::leading, 0); }),
                   "11 steps; expected 1 to the 10 trained levels"));
  EXPECT_TRUE(says(error_of([] { inference_indices(10, 10, TimestepSpacing::leading, 1); }),
                   "steps_offset is 1"));
}

TEST(Exchange, FilesThatAreSomethingElseAreRefused) {
  if (!reads_torch_files()) GTEST_SKIP() << "built without libzip";
  const TemporaryFolder folder;
  const auto file = folder / "weights";
  const auto refusal = [&] {
    return error_of([&] { import_network(file, {golden("sim_params.json"), {}}); });
  };
  EXPECT_TRUE(says(error_of([&] { import_network(golden("before_1_6.pt")); }), "Python pickle"));
  write_bytes(file, "# not weights\n");
  EXPECT_TRUE(says(refusal(), "expected weights as HDF5, .pt (torch.save) or safetensors"));
  write_bytes(file, "PK\x05\x06" + std::string(18, '\0'));
  EXPECT_TRUE(says(refusal(), "zip archive"));
  // Whole but foreign: no layer of that name.
  std::string header = R"({"other":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const auto safetensors = [](const std::string& text, const std::string& data) {
    const std::uint64_t n = text.size();
    return std::string(reinterpret_cast<const char*>(&n), sizeof n) + text + data;
  };
  write_bytes(file, safetensors(header, "1234"));
  EXPECT_TRUE(says(refusal(), "no array is called cnn_pre.conv_pre0.weight"));
  EXPECT_TRUE(says(refusal(), "there are other"));
  write_bytes(file, safetensors(header, "12345"));
  EXPECT_TRUE(says(refusal(), "expected them to fill the 5 bytes"));
  write_bytes(file, safetensors(header, "123"));
  EXPECT_TRUE(says(refusal(), "does not fit its shape or the file"));
  header =
      R"({"__metadata__":{"chest":"{}"},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  write_bytes(file, safetensors(header, "1234"));
  EXPECT_FALSE(refusal().empty());
  const TemporaryFolder alone;
  std::filesystem::copy_file(golden("checkpoint.pt"), alone / "c.pt");
  EXPECT_TRUE(
      says(error_of([&] { import_network(alone / "c.pt"); }), "there is no sim_params.json"));
}

// Each copy is refused with a sentence or read, and nothing else happens.
TEST(Exchange, DamagedFilesAreRefusedOrRead) {
  if (!reads_torch_files()) GTEST_SKIP() << "built without libzip";
  const TemporaryFolder folder;
  save(folder / "m.h5", full_model(NetworkConfig{}));
  save_safetensors(folder / "m.safetensors", folder / "m.h5");
  const auto file = folder / "damaged";
  std::mt19937_64 random(1);
  int n_refused = 0, n_read = 0;
  for (const auto& whole : {golden("checkpoint.pt"), golden("state_protocol5.pt"),
                            golden("weights.safetensors"), folder / "m.safetensors"}) {
    const std::string bytes = text_of(whole);
    for (int copy = 0; copy < 70; ++copy) {
      std::string damaged = bytes;
      if (copy < 20) {
        damaged.resize(random() % bytes.size());
      } else {
        for (std::uint64_t n = 1 + random() % 4; n > 0; --n) {
          char& byte = damaged[random() % std::min<std::size_t>(bytes.size(), 2500)];
          byte = static_cast<char>(byte ^ (1 << random() % 8));
        }
      }
      write_bytes(file, damaged);
      const std::string message = error_of([&] {
        import_network(file, {golden("sim_params.json"), {}});
      });
      message.empty() ? ++n_read : ++n_refused;
      EXPECT_TRUE(copy >= 20 || !message.empty()) << whole << " " << copy;
    }
  }
  EXPECT_GT(n_refused, 100);
  EXPECT_GT(n_read, 10);
}

/// The weights of a model as its authors' code names them, and sim_params of its layers.
void write_published(const std::filesystem::path& weights, const std::filesystem::path& params,
                     const NetworkModel& model) {
  json header;
  std::string data;
  for (const NamedTensor& tensor : model.weights) {
    const std::size_t first = data.size();
    data.append(reinterpret_cast<const char*>(tensor.values.data()),
                tensor.values.size() * sizeof(float));
    header[published_name(model.network, tensor.name)] = {
        {"dtype", "F32"}, {"shape", tensor.dims}, {"data_offsets", {first, data.size()}}};
  }
  const std::string text = header.dump();
  const std::uint64_t n = text.size();
  write_bytes(weights, std::string(reinterpret_cast<const char*>(&n), sizeof n) + text + data);
  json sim_params = json::parse(text_of(golden("sim_params.json")));
  const std::vector<int>& hidden = model.network.hidden;
  const auto split = hidden.begin() + model.network.modulated.front() + 1;
  std::vector<int> pre(hidden.begin(), split), post(split - 1, hidden.end());
  pre.insert(pre.begin(), 2);
  post.push_back(model.network.n_outputs());
  sim_params["unet_dict"]["ch_layers_pre"] = pre;
  sim_params["unet_dict"]["ch_layers_post"] = post;
  sim_params["unet_dict"]["ch_init_time"] = model.network.embedding;
  sim_params["diff_model_dict"]["data_shape"] = {2, model.n_rx, model.n_tx};
  write_bytes(params, sim_params.dump());
}

NetworkConfig with_reverse_variance() {
  NetworkConfig config = NetworkConfig::published();
  config.hidden = {3, 4, 3};
  config.modulated = {1};
  config.embedding = 4;
  config.variance = config.reverse_variance = true;
  return config;
}

constexpr const char* learned_range = R"({"_class_name": "DDPMScheduler", "num_train_timesteps": 30,
    "beta_end": 0.3, "prediction_type": "v_prediction", "clip_sample": false, "variance_type": "learned_range"})";

// Four planes: o, and where the variances of a step back lie. With o = 0 in terms of the velocity and all variances the
// largest, such a network is the denoiser of CN(0, I), with its covariance, so that every estimate has a closed form.
TEST(Exchange, NetworksWithVariancesOfTheStepBackServeSolvers) {
  const TemporaryFolder folder;
  const auto path = [&](const std::string& name) { return (folder / name).string(); };
  NetworkModel exact = random_network_model(4, 3, with_reverse_variance());
  for (NamedTensor& tensor : exact.weights) {
    std::fill(tensor.values.begin(), tensor.values.end(), 0.0F);
    if (tensor.name == "conv3.bias") tensor.values = {0.0F, 0.0F, 1.0F, 1.0F};
  }
  write_published(folder / "w.safetensors", folder / "params.json", exact);
  write_bytes(folder / "scheduler.json", learned_range);
  EXPECT_TRUE(says(answer_of({"import", path("w.safetensors"), "--params", path("params.json"),
                              "--scheduler", path("scheduler.json"), "--out", path("m.h5")}),
                   "0 "));
  const NetworkModel model = load_network_model(folder / "m.h5");
  EXPECT_TRUE(model.network.reverse_variance);
  EXPECT_EQ(json::parse(scheduler_config_of(model)), json::parse(learned_range));

  const std::shared_ptr<const Denoiser> prior = make_engine_denoiser(model);
  ASSERT_TRUE(prior->predicts_angular_error());
  Rng rng(7, {Purpose::test});
  const arma::cx_mat A = rng.cx_normal(5, 12), z = rng.cx_normal(12, 4, 1.5);
  Observation observation;
  observation.sigma2 = 0.2;
  observation.y = rng.cx_normal(5, 4, 3.0);
  ProximalOptions options;
  options.variance.kind = VarianceKind::head;
  options.variance.n_rx = 4;
  options.variance.n_tx = 3;
  const auto guidance = make_proximal_guidance(make_dense_observation(A), prior, options);
  // Levels that the schedule has and others.
  for (const double tau2 : {model.schedule.sigma2(3), 0.5, model.schedule.sigma2(29)}) {
    Guided at;
    guidance->guide(z, tau2, observation, at);
    const double v = tau2 / (1.0 + tau2);
    const arma::cx_mat D = z / (1.0 + tau2);
    const arma::cx_mat S = v * A * A.t() + observation.sigma2 * arma::cx_mat(5, 5, arma::fill::eye);
    const arma::cx_mat m = D + v * A.t() * arma::solve(S, observation.y - A * D);
    EXPECT_LT(arma::abs(at.m - m).max(), 1e-5) << tau2;  // float32 in the network
  }

  answer_of({"generate", "scm", "--n-rx", "4", "--n-tx", "3", "--n-samples", "10", "--out",
             path("h.h5")});
  EXPECT_TRUE(
      says(answer_of({"sweep", "--channels", path("h.h5"), "--snr", "10", "--pilots", "dft:2",
                      "--model", path("m.h5"), "--estimators", "opc:variance=head", "--quiet"}),
           "opc:variance=head"));
}

TEST(Exchange, VariancesOfTheStepBackComeWithTheirSchedule) {
  const TemporaryFolder folder;
  const NetworkModel written = random_network_model(4, 3, with_reverse_variance());
  write_published(folder / "w.safetensors", folder / "sim_params.json", written);
  // The layers alone say it; then the schedule is that of sim_params.
  const NetworkModel model = import_network(folder / "w.safetensors");
  EXPECT_TRUE(model.network.variance && model.network.reverse_variance);
  ASSERT_EQ(model.weights.size(), written.weights.size());
  EXPECT_EQ(model.weights[6].values, written.weights[6].values);
  EXPECT_EQ(json::parse(scheduler_config_of(model)).at("variance_type"), "learned_range");
  save(folder / "m.h5", model);
  save_safetensors(folder / "m.safetensors", folder / "m.h5");
  const NetworkModel back = import_network(folder / "m.safetensors");
  EXPECT_TRUE(back.network.reverse_variance);
  EXPECT_EQ(back.weights[6].values, written.weights[6].values);
  const auto refusal = [&](const std::filesystem::path& weights, const std::string& type) {
    json config = json::parse(learned_range);
    config["variance_type"] = type;
    write_bytes(folder / "scheduler.json", config.dump());
    return error_of([&] { import_network(weights, {{}, folder / "scheduler.json"}); });
  };
  EXPECT_EQ(refusal(folder / "w.safetensors", "learned_range"), "");
  EXPECT_TRUE(says(refusal(folder / "w.safetensors", "learned"),
                   "its variance_type is learned, but the network has planes of variances"));
  EXPECT_TRUE(says(refusal(folder / "w.safetensors", "fixed_small"), "expected learned_range"));
  EXPECT_TRUE(says(refusal(golden("weights.safetensors"), "learned_range"),
                   "has no planes of variances of the step back"));
  EXPECT_EQ(refusal(golden("weights.safetensors"), "fixed_small"), "");
  write_bytes(folder / "one.json", R"({"_class_name": "DDPMScheduler", "trained_betas": [0.1]})");
  EXPECT_TRUE(says(error_of([&] {
                     import_network(folder / "w.safetensors", {{}, folder / "one.json"});
                   }),
                   "of one noise level"));
}

/// Fields of a protobuf message: numbers, or bytes.
struct Field {
  std::uint64_t number = 0;
  std::string bytes;
};
std::multimap<unsigned, Field> fields_of(const std::string& message) {
  std::multimap<unsigned, Field> fields;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(message.at(at++));
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.size()) {
    const std::uint64_t key = varint();
    Field field;
    if ((key & 7) == 0) {
      field.number = varint();
    } else {
      const std::uint64_t n = varint();
      field.bytes = message.substr(at, n);
      EXPECT_EQ(field.bytes.size(), n);
      at += n;
    }
    fields.emplace(static_cast<unsigned>(key >> 3), field);
  }
  return fields;
}

// What the values are is compared with chest's by scripts/compare_exchange.py, through ONNX Runtime.
TEST(Exchange, OnnxIsAGraphThatHoldsTogether) {
  const TemporaryFolder folder;
  for (const char* network : {"chest", "chest:gate,no-variance", "letter", "chest:bias-free",
                              "chest:axial,kernel=5", "chest:axial,kernel=15",
                              "chest:index,zero-padding,no-position,no-magnitude", "variances"}) {
    const NetworkModel model = random_network_model(
        4, 3,
        std::string(network) == "variances" ? with_reverse_variance() : parse_network(network));
    save_onnx(folder / "m.onnx", model);
    const auto whole = fields_of(text_of(folder / "m.onnx"));
    EXPECT_EQ(whole.find(2)->second.bytes, "chest");
    const auto graph = fields_of(whole.find(7)->second.bytes);
    std::set<std::string> known;
    std::size_t n_weights = 0;
    for (auto [it, end] = graph.equal_range(11); it != end; ++it)
      known.insert(fields_of(it->second.bytes).find(1)->second.bytes);
    EXPECT_EQ(known, (std::set<std::string>{"z", "sigma2"}));
    for (auto [it, end] = graph.equal_range(5); it != end; ++it) {
      const auto tensor = fields_of(it->second.bytes);
      std::uint64_t n = tensor.find(2)->second.number == 1 ? 4 : 8;  // float; int64 and double
      for (auto [dim, last] = tensor.equal_range(1); dim != last; ++dim) n *= dim->second.number;
      EXPECT_EQ(tensor.find(9)->second.bytes.size(), n);
      known.insert(tensor.find(8)->second.bytes);
      if (tensor.count(1) == 4) n_weights += n / 4;
    }
    // Each node takes what is there before it.
    for (auto [it, end] = graph.equal_range(1); it != end; ++it) {
      const auto node = fields_of(it->second.bytes);
      for (auto [input, last] = node.equal_range(1); input != last; ++input)
        EXPECT_TRUE(known.count(input->second.bytes)) << network << " " << input->second.bytes;
      EXPECT_TRUE(known.insert(node.find(2)->second.bytes).second);
    }
    for (auto [it, end] = graph.equal_range(12); it != end; ++it)
      EXPECT_TRUE(known.count(fields_of(it->second.bytes).find(1)->second.bytes));
    EXPECT_EQ(graph.count(12), model.network.variance ? 2u : 1u);
    // All kernels are in it.
    std::size_t n_kernels = 0;
    for (const NamedTensor& weight : model.weights)
      if (weight.dims.size() == 4) n_kernels += weight.values.size();
    EXPECT_EQ(n_weights, n_kernels + (model.network.position ? 4 * 4 * 3 : 0)) << network;
  }
}

TEST(Exchange, TheProgramExportsAndImports) {
  if (!reads_torch_files()) GTEST_SKIP() << "built without libzip";
  const TemporaryFolder folder;
  const auto path = [&](const std::string& name) { return (folder / name).string(); };
  EXPECT_TRUE(says(answer_of({"import", golden("checkpoint.pt"), "--out", path("m.h5")}), "0 "));
  EXPECT_TRUE(says(answer_of({"export", path("m.h5"), "--out", path("m.safetensors")}), "0 "));
  EXPECT_TRUE(says(answer_of({"export", path("m.h5"), "--out", path("m.onnx")}), "dmse, 4x3"));
  EXPECT_TRUE(says(answer_of({"export", path("m.h5"), "--out", path("s.json")}), "0 "));
  EXPECT_TRUE(says(answer_of({"import", path("m.safetensors"), "--out", path("b.h5")}),
                   "b.h5: dmse, 4x3, as it was exported"));
  EXPECT_EQ(content_without_timings(path("b.h5")), content_without_timings(path("m.h5")));
  EXPECT_TRUE(says(
      answer_of({"import", path("m.h5"), "--scheduler", path("s.json"), "--out", path("n.h5")}),
      "0 "));
  EXPECT_FALSE(load_network_model(path("n.h5")).scheduler.empty());
  // Refusals, with nothing written.
  EXPECT_TRUE(says(answer_of({"export", path("m.h5"), "--out", path("m.onnx")}), "--force"));
  EXPECT_TRUE(says(answer_of({"export", path("m.h5"), "--out", path("m.pt")}),
                   "expected an ending of .onnx, .safetensors or .json"));
  EXPECT_TRUE(
      says(answer_of({"export", golden("checkpoint.pt"), "--out", path("x.onnx")}), "HDF5"));
  LmmseModel lmmse;
  lmmse.n_rx = lmmse.n_tx = 2;
  lmmse.C = arma::cx_mat(4, 4, arma::fill::eye);
  save(path("l.h5"), lmmse);
  EXPECT_TRUE(says(answer_of({"export", path("l.h5"), "--out", path("l.onnx")}),
                   "is a model of kind lmmse; .onnx is for networks"));
  EXPECT_FALSE(std::filesystem::exists(path("x.onnx")) || std::filesystem::exists(path("l.onnx")));
  // The scheduler's loop, by its own spacing.
  EXPECT_TRUE(says(answer_of({"generate", "rayleigh", "--n-rx", "4", "--n-tx", "3", "--n-samples",
                              "20", "--out", path("h.h5")}),
                   "0 "));
  EXPECT_TRUE(says(answer_of({"sweep", "--channels", path("h.h5"), "--model", path("n.h5"), "--snr",
                              "0", "--estimators", "dmse:scheduler=5", "--quiet"}),
                   "dmse:scheduler=5"));
  EXPECT_TRUE(says(answer_of({"sweep", "--channels", path("h.h5"), "--model", path("n.h5"), "--snr",
                              "0", "--estimators", "dmse:scheduler=11", "--quiet"}),
                   "11 steps; expected 1 to the 10 trained levels"));
}

}  // namespace
}  // namespace chest
