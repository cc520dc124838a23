#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <chest/angular.hpp>
#include <chest/spec.hpp>
#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/vae_model.hpp>
#include <chest/estimators/nn/vae.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/metrics.hpp>

#include <chest/estimators/linear/angular_lmmse.hpp>
#include "estimators/nn/network.hpp"
#include "estimators/nn/vae.hpp"
#include <chest/estimators/network/vae_layout.hpp>
#include <chest/testing/estimator_contract.hpp>
#include "tests/support/run.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

VaeConfig tiny_config() {
  VaeConfig config;
  config.latent = 2;
  config.hidden = {3, 4};
  return config;
}

VaeModel random_model(arma::uword n_rx, arma::uword n_tx, const VaeConfig& config) {
  VaeModel model;
  model.n_rx = n_rx;
  model.n_tx = n_tx;
  model.network = config;
  const std::vector<NamedTensor> layout = vae_layout(config, n_rx, n_tx);
  model.weights = nn::named_weights(layout, nn::initial_weights(layout, 5));
  return model;
}

// 4x4 channels whose angular power lies in the upper or in the lower half of the receive angles:
// all together they are nearly white, each of them is not.
SampleReader two_spectra(arma::uword n, std::uint64_t stream) {
  Rng rng = test_rng(7, stream);
  arma::cx_mat h = rng.cx_normal(16, n);
  for (arma::uword k = 0; k < n; ++k) {
    const arma::uword kind = rng.index(2);
    for (arma::uword i = 0; i < 16; ++i) h(i, k) *= (i % 4) / 2 == kind ? 1.4 : 0.1;
  }
  return samples_in_memory(AngularTransform(4, 4).inverse(h), 4, 4);
}

VaeFitOptions toy_fit() {
  VaeFitOptions options;
  options.network.latent = 2;
  options.network.hidden = {8, 8};
  options.max_epochs = 15;
  options.learning_rate = 1e-2;
  return options;
}

TEST(AngularLmmse, EqualsTheDenseFilterForAnyObservation) {
  constexpr arma::uword n_rx = 4, n_tx = 3, n_h = 12, n = 5;
  Rng rng = test_rng(1);
  const AngularTransform transform(n_rx, n_tx);
  const arma::cx_mat eye(n_h, n_h, arma::fill::eye), F = transform.forward(eye);
  const arma::cx_mat m = rng.cx_normal(n_h, n);
  const arma::mat c = arma::exp(4.0 * arma::real(rng.cx_normal(n_h, n)));
  const std::vector<std::shared_ptr<const ObservationOperator>> observations{
      make_identity_observation(n_rx, n_tx), make_kronecker_observation(dft_pilots(n_tx, 5), n_rx),
      make_kronecker_observation(rng.cx_normal(n_tx, 2), n_rx),
      make_kronecker_observation(rng.cx_normal(n_tx, 4), n_rx),
      make_dense_observation(rng.cx_normal(7, n_h))};
  for (const auto& A : observations) {
    SCOPED_TRACE(A->name());
    Observation observation{rng.cx_normal(A->n_obs(), n), 0.2, 1, 0, {}, {}, true};
    const AngularLmmse lmmse(A, n_rx, n_tx);
    Estimate found;
    lmmse.estimate(observation, m, c, found);
    const arma::cx_mat dense = A->apply(eye);
    for (arma::uword k = 0; k < n; ++k) {
      const arma::cx_mat C = F.t() * arma::diagmat(arma::conv_to<arma::cx_vec>::from(c.col(k))) * F;
      arma::cx_mat S = dense * C * dense.t();
      S.diag() += observation.sigma2;
      const arma::cx_mat W = C * dense.t() * arma::inv(S);
      const arma::cx_vec mean = F.t() * m.col(k);
      const arma::cx_vec h = mean + W * (observation.y.col(k) - dense * mean);
      const arma::cx_mat error = F * (C - W * dense * C) * F.t();
      // Variances from e^-12 to e^12 over noise of 0.2: rounding is far below.
      EXPECT_LT(max_difference(arma::cx_vec(found.h.col(k)), h), 1e-9);
      EXPECT_LT(arma::abs(found.angular_mse.col(k) - arma::real(error.diag())).max(), 1e-9);
      EXPECT_NEAR(found.mse(k), arma::trace(error).real(), 1e-9);
    }
    observation.per_angle = false;
    lmmse.estimate(observation, m, c, found);
    EXPECT_TRUE(found.angular_mse.is_empty());
  }
}

TEST(Vae, DivergenceAndLikelihoodEqualTheirClosedForms) {
  const at::Tensor mean = at::tensor({0.5, -1.0, 2.0, 0.0}, at::kDouble).view({2, 2});
  const at::Tensor log_variance = at::tensor({0.0, 1.0, -2.0, 0.3}, at::kDouble).view({2, 2});
  const at::Tensor kl = nn::kl_divergence({mean, log_variance});
  for (int k = 0; k < 2; ++k) {
    double expected = 0.0;
    for (int i = 0; i < 2; ++i) {
      const double m = mean[k][i].item<double>(), v = std::exp(log_variance[k][i].item<double>());
      expected += 0.5 * (m * m + v - 1.0 - std::log(v));
    }
    EXPECT_NEAR(kl[k].item<double>(), expected, 1e-12);
  }
  // h = 1 + 2 j of mean 3 and c = 4 in each of 6 entries: |h - m|^2 = 8.
  const at::Tensor h =
      at::stack({at::ones({2, 3}, at::kDouble), at::full({2, 3}, 2.0, at::kDouble)}).unsqueeze(0);
  const at::Tensor m =
      at::stack({at::full({2, 3}, 3.0, at::kDouble), at::zeros({2, 3}, at::kDouble)}).unsqueeze(0);
  const at::Tensor log_c = at::full({1, 1, 2, 3}, std::log(4.0), at::kDouble);
  EXPECT_NEAR(nn::log_likelihood({m, log_c}, h)[0].item<double>(),
              -6.0 * (std::log(4.0 * M_PI) + 2.0), 1e-12);
}

TEST(Vae, GradientsOfTheBoundAgreeWithDifferences) {
  at::manual_seed(1);
  for (const bool zero_mean : {false, true}) {
    VaeConfig config = tiny_config();
    config.zero_mean = zero_mean;
    const at::Tensor flat = nn::initial_weights(vae_layout(config, 4, 3), 3).to(at::kDouble);
    const at::Tensor h = at::randn({2, 2, 4, 3}, at::kDouble);
    const at::Tensor inputs = nn::encoder_inputs(h + at::randn({2, 2, 4, 3}, at::kDouble),
                                                 at::tensor({0.5, 2.0}, at::kDouble), 0.75);
    const at::Tensor eps = at::randn({2, config.latent}, at::kDouble);
    const auto bound = [&](const at::Tensor& weights) {
      return nn::elbo(nn::Vae(config, 4, 3, weights), inputs, h, eps).sum();
    };
    const at::Tensor leaf = flat.clone().requires_grad_();
    const at::Tensor gradient = torch::autograd::grad({bound(leaf)}, {leaf})[0];
    constexpr double step = 1e-6;
    for (std::int64_t i = 0; i < flat.numel(); i += 5) {
      const at::Tensor above = flat.clone(), below = flat.clone();
      above[i] += step;
      below[i] -= step;
      const double difference =
          (bound(above).item<double>() - bound(below).item<double>()) / (2.0 * step);
      // Central differences: error of order step^2 beside 1e-16 times the bound / step.
      EXPECT_NEAR(gradient[i].item<double>(), difference, 1e-5) << "weight " << i;
    }
  }
}

TEST(Vae, LearnsWhatTheCovarianceOfAllChannelsDoesNotSay) {
  const VaeModel model = fit_vae(two_spectra(1500, 1), two_spectra(300, 2), toy_fit());
  EXPECT_EQ(model.validation_losses.n_elem, 15u);
  const arma::cx_mat C = fit_lmmse(two_spectra(1500, 1)).C.C();
  Rng rng = test_rng(9);
  const std::vector<std::shared_ptr<const ObservationOperator>> observations{
      make_identity_observation(4, 4), make_kronecker_observation(dft_pilots(4, 4), 4),
      make_kronecker_observation(rng.cx_normal(4, 3, 0.25), 4)};
  for (const auto& A : observations) {
    Scene scene;
    scene.A = A;
    scene.h = two_spectra(1000, 3).read(0, 1000);
    observe(scene, 1.0, rng);
    const Estimate vae = make_vae(A, model)->estimate(scene.observation);
    const double of_vae = nmse(vae.h, scene.h);
    const double of_lmmse = nmse(make_lmmse(A, C)->estimate(scene.observation).h, scene.h);
    // Who knows the spectrum has 0.68 times the error of LMMSE, 0.8 times with three pilots.
    EXPECT_LT(of_vae, 0.95 * of_lmmse) << A->name();
    // What it predicts is the error of its own Gaussian, which is near the truth here.
    EXPECT_NEAR(arma::accu(vae.mse) / arma::accu(squared_norms(scene.h)) / of_vae, 1.0, 0.2)
        << A->name();
    EXPECT_EQ(vae.nfe, 1u);
  }
}

TEST(Vae, GivesTheSameModelForAnyNumberOfThreads) {
  VaeFitOptions options = toy_fit();
  options.batch = 70;  // three micro-batches
  options.max_epochs = 2;
  const SampleReader train = two_spectra(150, 1), validation = two_spectra(30, 2);
  const auto weights_of = [&] {
    std::vector<std::vector<float>> values;
    for (const NamedTensor& tensor : fit_vae(train, validation, options).weights) {
      values.push_back(tensor.values);
    }
    return values;
  };
  const auto one = weights_of();
  options.n_threads = 3;
  EXPECT_EQ(weights_of(), one);
  options.seed = 2;
  EXPECT_NE(weights_of(), one);
}

TEST(Vae, EstimatesTheSameAfterSavingAndLoading) {
  const TemporaryFolder folder;
  for (const bool zero_mean : {false, true}) {
    VaeConfig config = tiny_config();
    config.zero_mean = zero_mean;
    VaeModel model = random_model(5, 3, config);
    model.channel_scale = 0.5;
    model.training_data = "{}";
    model.validation_losses = {2.0, 1.0};
    save(folder / "vae.h5", model);
    const VaeModel loaded = load_vae_model(folder / "vae.h5");
    EXPECT_EQ(loaded.channel_scale, 0.5);
    EXPECT_EQ(loaded.validation_losses.n_elem, 2u);
    EXPECT_TRUE(loaded.train_losses.is_empty());
    EXPECT_EQ(loaded.n_parameters(), model.n_parameters());
    const auto A = std::shared_ptr<const ObservationOperator>(make_identity_observation(5, 3));
    const Observation observation{test_rng(2).cx_normal(15, 4), 0.3};
    const Estimate before = make_vae(A, model)->estimate(observation);
    const Estimate after = make_vae(A, loaded)->estimate(observation);
    EXPECT_EQ(max_difference(before.h, after.h), 0.0);
    EXPECT_EQ(max_difference(before.mse, after.mse), 0.0);
  }
}

TEST(EstimatorContract, HoldsForVae) {
  constexpr arma::uword n_rx = 6, n_tx = 4;
  const TemporaryFolder folder;
  save(folder / "vae.h5", random_model(n_rx, n_tx, {}));
  EstimatorContext context;
  context.n_rx = n_rx;
  context.n_tx = n_tx;
  context.models =
      std::make_shared<ModelStore>(std::vector<std::filesystem::path>{folder / "vae.h5"});
  Rng rng = test_rng(1);
  const std::vector<std::shared_ptr<const ObservationOperator>> observations{
      make_identity_observation(n_rx, n_tx), make_kronecker_observation(dft_pilots(n_tx, 6), n_rx),
      make_kronecker_observation(rng.cx_normal(n_tx, 2), n_rx),
      make_dense_observation(rng.cx_normal(7, n_rx * n_tx))};
  for (const auto& A : observations) {
    context.A = A;
    Scene scene;
    scene.A = A;
    scene.h = rng.cx_normal(n_rx * n_tx, 20);
    observe(scene, 0.5, rng);
    const auto estimator = make_estimator(parse_named_options("vae"), context);
    EXPECT_EQ(estimator->name(), "vae");
    // The network works in single precision on values of order 1.
    expect_estimator_contract(*estimator, *A, scene.observation, 1e-4);
    EXPECT_EQ(estimator->warning(0.5), "");
    EXPECT_NE(estimator->warning(1e-6).find("outside the -20 dB to 40 dB"), std::string::npos)
        << estimator->warning(1e-6);
  }
}

TEST(Vae, RejectsBadInputBeforeItWorks) {
  const SampleReader train = two_spectra(20, 1);
  const auto fit_error = [&](auto&& change) {
    VaeFitOptions options = toy_fit();
    change(options);
    return sim::error_of([&] { fit_vae(train, train, options); });
  };
  EXPECT_EQ(fit_error([](auto& o) { o.network.latent = 0; }),
            "vae: latent is 0; expected 1 to 1024");
  EXPECT_EQ(fit_error([](auto& o) { o.network.hidden = {}; }),
            "vae: hidden names 0 layers; expected 1 to 16");
  EXPECT_EQ(fit_error([](auto& o) {
              o.network.hidden = {8, 0};
            }),
            "vae: hidden has the entry 0; expected 1 to 1024");
  EXPECT_NE(fit_error([](auto& o) { o.learning_rate = 0.0; }).find("learning_rate is 0.0"),
            std::string::npos);
  EXPECT_EQ(fit_error([](auto& o) { o.batch = 0; }), "fit: batch is 0; expected at least 1");
  EXPECT_NE(fit_error([](auto& o) { o.learning_rate = 1e30; }).find("not finite"),
            std::string::npos);
  EXPECT_NE(sim::error_of([&] {
              fit_vae(train, subrange(train, 0, 0), toy_fit());
            }).find("0 to validate with"),
            std::string::npos);

  VaeModel model = random_model(4, 4, tiny_config());
  EXPECT_EQ(sim::error_of([&] { make_vae(make_identity_observation(8, 2), model); }),
            "vae: the model is for 4x4 channels, A (identity 8x2) is not");
  EXPECT_EQ(sim::error_of([&] { make_vae(nullptr, model); }), "vae: A is not given");
  model.weights.pop_back();
  EXPECT_NE(sim::error_of([&] {
              make_vae(make_identity_observation(4, 4), model);
            }).find("no weights decoder.conv0.bias"),
            std::string::npos);

  const TemporaryFolder folder;
  model = random_model(4, 4, tiny_config());
  model.network.latent = 3;
  EXPECT_NE(sim::error_of([&] {
              save(folder / "vae.h5", model);
            }).find("weights encoder.linear.weight have the shape [4, 16]"),
            std::string::npos);
  EXPECT_THROW(load_vae_model(folder / "vae.h5"), Error);
}

}  // namespace
}  // namespace chest
