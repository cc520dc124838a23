#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <armadillo>
#include <chest/angular.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/random.hpp>
#include <cmath>

#include "estimators/nn/drawing.hpp"
#include "estimators/nn/network.hpp"
#include "estimators/nn/tensor_bridge.hpp"
#include "tests/support/network.hpp"
#include "tests/support/refusal.hpp"

namespace chest {
namespace {

at::Tensor planes(arma::uword n, std::uint64_t stream, double power = 1.0) {
  return nn::planes_from_columns(
      Rng(1, {Purpose::test, stream}).cx_normal(12, n) * std::sqrt(power), 4, 3, at::kCPU);
}

// Of CN(0, v I_d) and CN(0, w I_d): E exp(-||x - y||^2 / b) = (1 + (v + w) / b)^-d.
TEST(Drawing, DiscrepancyOfGaussiansIsThatOfTheFormula) {
  constexpr double b = 20.0, v = 1.0, w = 2.0;
  const auto kernel = [](double sum) { return std::pow(1.0 + sum / b, -12.0); };
  const double expected = kernel(2.0 * v) + kernel(2.0 * w) - 2.0 * kernel(v + w);
  constexpr arma::uword n_sets = 200;
  arma::vec differ(n_sets), same(n_sets);
  for (arma::uword i = 0; i < n_sets; ++i) {
    const at::Tensor x = planes(16, 3 * i, v);
    differ(i) = nn::squared_discrepancy(x, planes(24, 3 * i + 1, w), b).item<double>();
    same(i) = nn::squared_discrepancy(x, planes(24, 3 * i + 2, v), b).item<double>();
  }
  // Five standard errors: one run in a million.
  const auto error_of = [](const arma::vec& a) { return arma::stddev(a) / std::sqrt(n_sets); };
  EXPECT_NEAR(arma::mean(differ), expected, 5.0 * error_of(differ));
  EXPECT_NEAR(arma::mean(same), 0.0, 5.0 * error_of(same));
  EXPECT_GT(expected, 20.0 * error_of(differ));
}

TEST(Drawing, DrawsWithTheDenoiserOfTheNetwork) {
  for (const Prediction prediction :
       {Prediction::epsilon, Prediction::sample, Prediction::velocity}) {
    NetworkModel model = random_network_model(4, 3, parse_network("chest:hidden=5-4"));
    model.prediction = prediction;
    const auto denoiser = make_network_denoiser(model);
    const arma::vec levels{50.0, 2.0, 0.1};
    const arma::cx_mat noise = Rng(2, {Purpose::test}).cx_normal(12, 3);
    arma::cx_mat z = noise * std::sqrt(51.0), D;
    for (arma::uword i = 0; i < 3; ++i) {
      D = denoiser->denoise(z, levels(i));
      if (i < 2) z = D + std::sqrt(levels(i + 1) / levels(i)) * (z - D);
    }
    const at::Tensor drawn =
        nn::drawn_channels(model, nn::flat_weights(network_layout(model.network), model.weights),
                           levels, nn::to_angular(nn::planes_from_columns(noise, 4, 3, at::kCPU)));
    arma::cx_mat found(12, 3);
    nn::columns_from_planes(nn::to_antenna(drawn), found);
    EXPECT_LT(arma::abs(found - D).max(), 1e-4 * arma::abs(D).max()) << to_string(prediction);
  }
}

TEST(Drawing, GradientsAgreeWithDifferences) {
  NetworkModel model;
  model.network = parse_network("chest:hidden=3-4,embedding=4");
  model.prediction = Prediction::velocity;
  model.schedule = NoiseSchedule::linear(10, 1e-3, 0.3);
  const at::Tensor flat = nn::initial_weights(network_layout(model.network), 3).to(at::kDouble);
  const at::Tensor noise = planes(5, 1).to(at::kDouble), h = planes(6, 2).to(at::kDouble);
  const auto loss = [&](const at::Tensor& weights) {
    return nn::squared_discrepancy(nn::drawn_channels(model, weights, {30.0, 1.0, 0.05}, noise), h,
                                   20.0);
  };
  const at::Tensor leaf = flat.clone().requires_grad_();
  const at::Tensor gradient = torch::autograd::grad({loss(leaf)}, {leaf})[0];
  at::manual_seed(1);
  for (int i = 0; i < 4; ++i) {
    const at::Tensor direction = at::randn_like(flat);
    constexpr double step = 1e-5;
    const double difference =
        ((loss(flat + step * direction) - loss(flat - step * direction)) / (2.0 * step))
            .item<double>();
    const double slope = (gradient * direction).sum().item<double>();
    EXPECT_NEAR(slope, difference, 1e-4 * std::abs(difference) + 1e-8);
  }
}

/// Channels of two paths.
SampleReader two_paths(arma::uword n, std::uint64_t stream) {
  const AngularTransform angular(4, 3);
  arma::cx_mat h(12, n, arma::fill::zeros);
  for (arma::uword k = 0; k < n; ++k) {
    Rng rng(5, {Purpose::test, stream, k});
    for (int path = 0; path < 2; ++path) h(rng.index(4), k) += rng.cx_normal(1, 1)(0) * 2.4;
  }
  return samples_in_memory(angular.inverse(h), 4, 3);
}

TEST(Drawing, GoesOnFromAPriorTowardsChannelsThatAreAlike) {
  const SampleReader train = two_paths(512, 1), validation = two_paths(200, 2);
  NetworkFitOptions options;
  options.network = parse_network("chest:hidden=8-8");
  options.max_epochs = 6;
  const NetworkModel prior = fit_network(train, validation, options);
  options.start = prior.weights;
  options.objective = FitObjective::discrepancy;
  options.unroll = 3;
  options.batch = 64;
  options.learning_rate = 3e-3;
  options.max_epochs = 40;
  options.n_threads = 2;
  const NetworkModel drawing = fit_network(train, validation, options);
  const arma::vec& losses = drawing.validation_losses;
  // Of the same 200 draws; the standard deviation of the discrepancy of sets that are alike is below 0.005.
  EXPECT_LT(losses.min(), 0.7 * losses.front());
  EXPECT_GT(losses.front(), 0.02);
  options.n_threads = 1;
  EXPECT_EQ(fit_network(train, validation, options).weights.front().values,
            drawing.weights.front().values);
}

TEST(Drawing, IsRefusedWithoutAPriorAndWithLabels) {
  const SampleReader train = two_paths(32, 1);
  NetworkFitOptions options;
  options.network = parse_network("chest:hidden=3");
  options.objective = FitObjective::discrepancy;
  EXPECT_TRUE(refused([&] { fit_network(train, train, options); }, "goes on from a prior"));
  options.start = nn::named_weights(network_layout(options.network),
                                    nn::initial_weights(network_layout(options.network), 1));
  options.contamination = 0.5;
  EXPECT_TRUE(refused([&] { fit_network(train, train, options); }, "without labels"));
  options.contamination = 0.0;
  EXPECT_TRUE(refused([&] { fit_network(train, two_paths(1, 2), options); }, "at least 2"));
}

}  // namespace
}  // namespace chest
