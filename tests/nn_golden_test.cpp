// The published network against arrays that the authors' code produced
// (CHEST_REFERENCE_DIR/golden).
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <chest/angular.hpp>
#include <chest/archive.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/metrics.hpp>
#include <cstdlib>
#include <numeric>

#include <chest/estimators/network/layout.hpp>
#include "estimators/nn/fit_loop.hpp"
#include "estimators/nn/network.hpp"
#include "estimators/nn/tensor_bridge.hpp"
#include "estimators/nn/training.hpp"

namespace chest {
namespace {

// float32 rounding of the reference itself: 3e-6 between its batch sizes, 8e-6 to float64.
constexpr double output_tolerance = 1e-5;
constexpr double estimate_tolerance = 5e-5;

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

double largest_difference(const arma::cx_mat& a, const arma::cx_mat& b) {
  return arma::abs(a - b).max();
}

class GoldenNetwork : public testing::Test {
 protected:
  void SetUp() override {
    const char* const folder = std::getenv("CHEST_REFERENCE_DIR");
    if (folder == nullptr) {
      GTEST_SKIP() << "CHEST_REFERENCE_DIR is not set: no reference arrays to compare with";
    }
    golden_ = std::filesystem::path(folder) / "golden";
    io_ = std::make_unique<ArchiveReader>(golden_ / "golden_io.h5");
    model_ = import_published_weights(golden_ / "dmse_3gpp_path3_weights.h5");
    denoiser_ = make_network_denoiser(model_);
  }

  at::Tensor tensor(const std::string& dataset) const {
    const StoredDataset info = io_->info(dataset);
    const std::vector<float> values = io_->read_all<float>(dataset);
    at::Tensor out = at::empty(std::vector<std::int64_t>(info.dims.begin(), info.dims.end()));
    std::copy(values.begin(), values.end(), out.data_ptr<float>());
    return out;
  }

  // Planes [n, 2, n_rx, n_tx] as columns vec(H).
  arma::cx_mat columns(const std::string& dataset) const {
    const at::Tensor planes = tensor(dataset);
    arma::cx_mat out(model_.n_rx * model_.n_tx, planes.size(0));
    nn::columns_from_planes(planes, out);
    return out;
  }

  /// The noise level of an index, between the trained ones on a log scale.
  static double level(const NoiseSchedule& schedule, double index) {
    const auto below = static_cast<arma::uword>(index);
    const double share = index - static_cast<double>(below);
    if (share == 0.0) return schedule.sigma2(below);
    return std::exp((1.0 - share) * std::log(schedule.sigma2(below)) +
                    share * std::log(schedule.sigma2(below + 1)));
  }

  at::Tensor run_network(const NetworkModel& model, const at::Tensor& x,
                         const at::Tensor& index) const {
    const c10::InferenceMode no_gradients;
    const nn::Network network = nn::network_of(
        model.network, nn::flat_weights(network_layout(model.network), model.weights));
    std::vector<at::Tensor> outputs;
    for (std::int64_t k = 0; k < x.size(0); ++k) {
      const double sigma2 = level(model.schedule, index[k].item<double>());
      const at::Tensor embedding = nn::noise_embedding(model.network, model.schedule, sigma2);
      outputs.push_back(nn::LevelNetwork(model.network, network, embedding, sigma2, at::kFloat, 0.0)
                            .forward(x.narrow(0, k, 1))
                            .o);
    }
    return at::cat(outputs);
  }

  std::filesystem::path golden_;
  std::unique_ptr<ArchiveReader> io_;
  NetworkModel model_;
  std::unique_ptr<Denoiser> denoiser_;
};

TEST_F(GoldenNetwork, EmbedsTheNoiseIndexLikeTheReference) {
  std::vector<at::Tensor> levels;
  for (arma::uword i = 0; i < 100; ++i) {
    levels.push_back(
        nn::noise_embedding(model_.network, model_.schedule, model_.schedule.sigma2(i)));
  }
  const at::Tensor embedding = at::cat(levels);
  EXPECT_LT(largest_difference(embedding, tensor("net/pos_embedding")), output_tolerance);
  const nn::Network network = nn::network_of(
      model_.network, nn::flat_weights(network_layout(model_.network), model_.weights));
  const at::Tensor film = at::linear(embedding, network.modulation.weight, network.modulation.bias);
  EXPECT_LT(largest_difference(film, tensor("net/film")), output_tolerance);
}

TEST_F(GoldenNetwork, OutputsWhatTheReferenceOutputs) {
  const at::Tensor x = tensor("net/x");
  EXPECT_LT(largest_difference(run_network(model_, x, tensor("net/t")), tensor("net/eps")),
            output_tolerance);
  EXPECT_LT(
      largest_difference(run_network(model_, x, tensor("net/t_frac")), tensor("net/eps_frac")),
      output_tolerance);
  const NetworkModel quadriga = import_published_weights(golden_ / "dmse_quadriga_los_weights.h5");
  EXPECT_LT(
      largest_difference(run_network(quadriga, x, tensor("net/t")), tensor("net/eps_quadriga")),
      output_tolerance);
}

TEST_F(GoldenNetwork, ComputesTheConvolutionsOfTheReference) {
  const c10::InferenceMode no_gradients;
  const nn::Network network = nn::network_of(
      model_.network, nn::flat_weights(network_layout(model_.network), model_.weights));
  const at::Tensor x = tensor("net/x").narrow(0, 1, 1);
  const auto convolve = [](const at::Tensor& in, const nn::Layer& layer) {
    return at::conv2d(in, layer.weight, layer.bias, 1, 1);
  };
  const at::Tensor pre0 = convolve(x, network.convolutions[0]);
  EXPECT_LT(largest_difference(pre0[0], tensor("net/act_sample1/cnn_pre.conv_pre0")),
            output_tolerance);
  const at::Tensor pre1 = convolve(pre0.relu(), network.convolutions[1]);
  EXPECT_LT(largest_difference(pre1[0], tensor("net/act_sample1/cnn_pre.conv_pre1")),
            output_tolerance);
}

TEST_F(GoldenNetwork, TransformsToTheAngularDomainOfTheReference) {
  const c10::InferenceMode no_gradients;
  // |h_ang| reaches 20, float32.
  EXPECT_LT(largest_difference(nn::to_angular(tensor("h")), tensor("h_ang")), estimate_tolerance);
  EXPECT_LT(largest_difference(nn::to_antenna(tensor("h_ang")), tensor("h")), estimate_tolerance);
  arma::cx_mat by_core = columns("h");
  AngularTransform(model_.n_rx, model_.n_tx).forward(by_core, by_core);
  EXPECT_LT(largest_difference(by_core, columns("h_ang")), estimate_tolerance);
}

TEST_F(GoldenNetwork, EstimatesWhatThePublishedChainEstimates) {
  const std::shared_ptr<const ObservationOperator> A =
      make_identity_observation(model_.n_rx, model_.n_tx);
  const std::shared_ptr<const Denoiser> denoiser = make_network_denoiser(model_);
  const arma::cx_mat h = columns("h");
  for (const auto& [name, calls] :
       std::map<std::string, arma::uword>{{"-10", 68}, {"0", 36}, {"10", 13}, {"20", 4}}) {
    const std::string group = "snr_" + name + "dB/";
    Observation observation;
    observation.y = columns(group + "y");
    observation.sigma2 = from_db(-std::stod(name));
    const auto estimate = [&](ReverseRule rule) {
      DmseOptions options;
      options.rule = rule;
      options.schedule = model_.schedule;
      return make_dmse(A, denoiser, options)->estimate(observation);
    };
    const Estimate published = estimate(ReverseRule::published);
    EXPECT_EQ(published.nfe, calls);
    EXPECT_LT(largest_difference(published.h, columns(group + "est_dmse")), estimate_tolerance)
        << name << " dB";
    const arma::cx_mat reference = columns(group + "est_dmse");
    EXPECT_NEAR(nmse(published.h, h) / nmse(reference, h), 1.0, 1e-5) << name << " dB";

    const AngularTransform transform(model_.n_rx, model_.n_tx);
    const Estimate full = estimate(ReverseRule::published_full);
    EXPECT_EQ(full.nfe, calls + 1);
    EXPECT_LT(
        largest_difference(transform.forward(full.h), columns(group + "est_ang_dmse_start_istar")),
        estimate_tolerance)
        << name << " dB";
  }
}

TEST_F(GoldenNetwork, FollowsTheTrajectoryOfTheReference) {
  const AngularTransform transform(model_.n_rx, model_.n_tx);
  const c10::InferenceMode no_gradients;
  for (const std::string name : {"-10", "0", "10", "20"}) {
    const std::string group = "snr_" + name + "dB/";
    const ReverseChain chain = published_chain(model_.schedule, from_db(-std::stod(name)));
    const auto index = io_->read_all<std::int64_t>(group + "trajectory_index");
    const arma::cx_mat x = columns(group + "trajectory_ch0");
    const arma::cx_mat eps = columns(group + "trajectory_eps_ch0");
    ASSERT_EQ(chain.steps.size(), index.size());
    const arma::cx_mat y = columns(group + "y");
    arma::cx_mat z = chain.start_scale * y.col(0);
    denoiser_->run(chain.steps, z);
    EXPECT_LT(largest_difference(transform.forward(z), x.col(index.size())), estimate_tolerance);
    // Every step by itself, from the reference's state before it: x = z / sqrt(1 + sigma2).
    for (std::size_t k = 0; k < index.size(); ++k) {
      const double sigma2 = chain.steps[k].sigma2;
      ASSERT_EQ(model_.schedule.fractional_index(sigma2), static_cast<double>(index[k]));
      z = transform.inverse(x.col(k)) * std::sqrt(1.0 + sigma2);
      const arma::cx_mat D = denoiser_->denoise(z, sigma2);
      const arma::cx_mat eps_hat = transform.forward((z - D).eval()) / std::sqrt(sigma2);
      // Division by sigma >= 0.01 amplifies the rounding of D to float32, |D| <= 20.
      EXPECT_LT(largest_difference(eps_hat, eps.col(k)),
                output_tolerance + 5e-6 / std::sqrt(sigma2))
          << name << " dB, step " << k;
      denoiser_->run({chain.steps[k]}, z);
      const bool last = k + 1 == index.size();
      const double next_sigma2 = last ? 0.0 : chain.steps[k + 1].sigma2;
      EXPECT_LT(
          largest_difference(transform.forward(z) / std::sqrt(1.0 + next_sigma2), x.col(k + 1)),
          output_tolerance)
          << name << " dB, step " << k;
    }
  }
}

TEST_F(GoldenNetwork, MakesTheOneStepEstimateOfTheReference) {
  const AngularTransform transform(model_.n_rx, model_.n_tx);
  for (const std::string name : {"-10", "0", "10", "20"}) {
    const std::string group = "snr_" + name + "dB/";
    const double sigma2 = from_db(-std::stod(name));
    // The reference scales by the true SNR and divides by the abar of the nearest index.
    const arma::uword i = model_.schedule.nearest(1.0 / sigma2);
    const double level = model_.schedule.sigma2(i);
    const arma::cx_mat z = columns(group + "y") * std::sqrt((1.0 + level) / (1.0 + sigma2));
    EXPECT_LT(largest_difference(transform.forward(denoiser_->denoise(z, level)),
                                 columns(group + "est_ang_onestep_istar")),
              estimate_tolerance)
        << name << " dB";
  }
}

TEST_F(GoldenNetwork, LearnsLikeTheReference) {
  at::Tensor flat = nn::flat_weights(network_layout(model_.network), model_.weights);
  const at::Tensor h = tensor("h_ang"), eps = tensor("noise_ang");
  const at::Tensor index = tensor("train/t").to(at::kLong);
  const std::vector<double> losses = io_->read_all<double>("train/losses");
  const auto n = static_cast<double>(h.numel());
  nn::Adam adam{at::zeros_like(flat), at::zeros_like(flat)};
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const at::Tensor leaf = flat.detach().requires_grad_();
    at::Tensor error = at::zeros({});
    for (std::int64_t k = 0; k < h.size(0); ++k) {
      const double sigma2 =
          model_.schedule.sigma2(static_cast<arma::uword>(index[k].item<std::int64_t>()));
      error = error + nn::level_errors(model_.network, model_.prediction, model_.schedule, leaf,
                                       h.narrow(0, k, 1), eps.narrow(0, k, 1), sigma2)
                          .squared;
    }
    EXPECT_NEAR(error.item<double>() / n / losses[step], 1.0, 1e-5) << "step " << step;
    if (step + 1 == losses.size()) break;
    const at::NoGradGuard no_gradients;
    const at::Tensor gradient = torch::autograd::grad({error}, {leaf})[0] / n;
    if (step == 0) {
      for (const NamedTensor& part : nn::named_weights(network_layout(model_.network), gradient)) {
        const at::Tensor expected =
            tensor("train/grad_step0/model." + published_name(model_.network, part.name)).flatten();
        const at::Tensor found =
            at::from_blob(const_cast<float*>(part.values.data()), {expected.numel()}, at::kFloat);
        // Sums over 16 * 1024 positions in float32, in another order.
        EXPECT_LT(largest_difference(found, expected), 1e-4 * expected.abs().max().item<double>())
            << part.name;
      }
    }
    adam.step(flat, gradient, 1e-4);
  }
  for (const NamedTensor& part : nn::named_weights(network_layout(model_.network), flat)) {
    const at::Tensor expected =
        tensor("train/params_after_3_adam/model." + published_name(model_.network, part.name))
            .flatten();
    const at::Tensor found =
        at::from_blob(const_cast<float*>(part.values.data()), {expected.numel()}, at::kFloat);
    // Adam divides by sqrt of the squared gradient: rounding of a tiny gradient moves a weight by
    // up to the step of 1e-4, so nearly all weights agree to 1e-6 and none differs by more than a
    // step.
    const at::Tensor difference = (found - expected).abs();
    EXPECT_LT(difference.max().item<double>(), 1e-4) << part.name;
    EXPECT_LT(difference.mean().item<double>(), 1e-6) << part.name;
  }
}

}  // namespace
}  // namespace chest
