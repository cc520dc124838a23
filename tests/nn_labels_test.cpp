// What a network may be told of a channel or tell of it, noise that is another channel, and estimators of few pilots.
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include <chest/angular.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/few_pilots.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/inference/engine_denoiser.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/metrics.hpp>
#include <chest/observation.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>

#include "estimators/nn/network.hpp"
#include "estimators/nn/tensor_bridge.hpp"
#include "estimators/nn/training.hpp"
#include "tests/support/exact_prior.hpp"
#include "tests/support/network.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 8, n_tx = 4, n_h = n_rx * n_tx;

/// Two kinds of channels, Gaussian and white: strong ones, and weak ones.
struct TwoKinds {
  arma::vec variance{1.6, 0.4};

  /// @param powers  of each channel, the mean over its entries, [1, n]
  arma::cx_mat draw(arma::uword n, std::uint64_t stream, std::vector<std::int64_t>& classes,
                    arma::mat& powers) const {
    Rng rng(3, {Purpose::test, stream});
    arma::cx_mat h = rng.cx_normal(n_h, n);
    classes.resize(n);
    for (arma::uword k = 0; k < n; ++k) {
      classes[k] = static_cast<std::int64_t>(rng.index(2));
      h.col(k) *= std::sqrt(variance(static_cast<arma::uword>(classes[k])));
    }
    powers = arma::mean(arma::square(arma::abs(h)), 0);
    return h;
  }
  /// P(class 1 | z).
  double second(const arma::cx_vec& z, double sigma2) const {
    const arma::vec sum = variance + sigma2;
    const double power = arma::accu(arma::square(arma::abs(z)));
    const arma::vec log = -double(n_h) * arma::log(sum) - power / sum;
    return 1.0 / (1.0 + std::exp(log(0) - log(1)));
  }
};

/// Gaussian channels whose power lies on half of the receive angles, and on two of four transmit angles.
struct OneKind {
  AngularTransform transform{n_rx, n_tx};
  arma::vec variance = arma::vec(n_h);

  OneKind() {
    for (arma::uword i = 0; i < n_h; ++i) {
      variance(i) = (i % n_rx < n_rx / 2 ? 1.7 : 0.3) * (i / n_rx < 2 ? 1.7 : 0.3);
    }
  }
  arma::cx_mat draw(arma::uword n, std::uint64_t stream) const {
    arma::cx_mat angular = Rng(6, {Purpose::test, stream}).cx_normal(n_h, n);
    angular.each_col() %= arma::conv_to<arma::cx_vec>::from(arma::sqrt(variance));
    return transform.inverse(angular);
  }
  SampleReader samples(arma::uword n, std::uint64_t stream) const {
    return samples_in_memory(draw(n, stream), n_rx, n_tx);
  }
  double lmmse_error(double sigma2) const {
    return arma::mean(arma::vec(variance * sigma2 / (variance + sigma2)));
  }
};

NetworkFitOptions small_fit() {
  NetworkFitOptions options;
  options.network.hidden = {12, 16, 8};
  options.network.modulated = {0, 1, 2};
  options.batch = 64;
  options.learning_rate = 1e-2;
  options.max_epochs = 7;  // of 31 steps
  options.n_threads = 2;
  return options;
}

/// The plain fit of OneKind.
const NetworkModel& plain_fit() {
  static const NetworkModel model =
      fit_network(OneKind().samples(2000, 1), OneKind().samples(200, 2), small_fit());
  return model;
}

NetworkModel random_model(const NetworkConfig& config) {
  NetworkModel model = random_network_model(n_rx, n_tx, config);
  if (config.told_class) {
    const std::int64_t n_film = model.weights.back().dims[0];
    NamedTensor of_class{"class.weight", {n_film, config.classes}, {}};
    Rng rng(2, {Purpose::test});
    for (std::int64_t i = 0; i < n_film * config.classes; ++i) {
      of_class.values.push_back(static_cast<float>(0.3 * rng.normal()));
    }
    model.weights.push_back(of_class);
  }
  return model;
}

// The network that is told a class, its constants folded into a network that is told none, and the engine's.
TEST(ToldClass, IsAConstantOfTheModulation) {
  NetworkConfig config;
  config.hidden = {6, 5};
  config.modulated = {0, 1};
  config.classes = 3;
  config.told_class = true;
  const NetworkModel model = random_model(config);
  ASSERT_EQ(config.why_invalid(), "");
  const arma::cx_mat z = Rng(1, {Purpose::test}).cx_normal(n_h, 5);
  const double sigma2 = 0.3;
  const at::Tensor flat = nn::flat_weights(network_layout(config), model.weights);
  const nn::Network network = nn::network_of(config, flat);
  const at::Tensor x =
      nn::to_angular(nn::planes_from_columns(z, n_rx, n_tx, at::kCPU)) / std::sqrt(1.0 + sigma2);
  const PredictionGains gains = prediction_gains(model.prediction, sigma2);
  for (int which = -1; which < 3; ++which) {
    const at::Tensor o =
        nn::LevelNetwork(config, network, nn::noise_embedding(config, model.schedule, sigma2),
                         sigma2, at::kFloat, 0.0, {}, which)
            .forward(x)
            .o;
    arma::cx_mat told(arma::size(z));
    nn::columns_from_planes(nn::to_antenna(o), told);
    told = gains.z_gain * z + gains.o_gain * told;
    const std::optional<arma::uword> of =
        which < 0 ? std::nullopt : std::optional<arma::uword>(static_cast<arma::uword>(which));
    const NetworkModel folded = for_class(model, of);
    EXPECT_EQ(folded.network.classes, 0);
    for (const NetworkEngine engine : {NetworkEngine::onednn, NetworkEngine::torch}) {
      NetworkRunOptions run;
      run.engine = engine;
      EXPECT_LT(max_difference(make_network_denoiser(folded, run)->denoise(z, sigma2), told), 2e-5)
          << which;
      if (which >= 0) continue;
      // The model itself is that of a class that is not known.
      EXPECT_LT(max_difference(make_network_denoiser(model, run)->denoise(z, sigma2), told), 2e-5);
    }
  }
  EXPECT_TRUE(refused([&] { for_class(model, 3); }, "it knows the classes 0 to 2"));
  EXPECT_TRUE(
      refused([&] { for_class(random_model({}), 0); }, "it was not fitted to be told the class"));
  // It comes back from a file as it was.
  const TemporaryFolder folder;
  save(folder / "told.h5", model);
  const NetworkModel read = load_network_model(folder / "told.h5");
  EXPECT_TRUE(read.network.told_class && read.network.classes == 3);
  EXPECT_EQ(read.weights.back().values, model.weights.back().values);
}

// What the heads tell is the mean of their planes, in both engines; the estimate does not depend on them.
TEST(Heads, AreMeansOfPlanes) {
  NetworkConfig config;
  config.hidden = {6, 5};
  config.modulated = {0, 1};
  config.classes = 2;
  config.tells_class = true;
  config.numbers = 1;
  const NetworkModel model = random_model(config);
  const arma::cx_mat z = Rng(1, {Purpose::test}).cx_normal(n_h, 5);
  DenoiserError torch, own;
  arma::cx_mat D_torch, D_own;
  NetworkRunOptions run;
  run.engine = NetworkEngine::torch;
  make_network_denoiser(model, run)->denoise_with_error(z, 0.3, D_torch, torch);
  run.engine = NetworkEngine::onednn;
  make_network_denoiser(model, run)->denoise_with_error(z, 0.3, D_own, own);
  ASSERT_EQ(arma::size(own.heads), arma::size(3, 5));
  EXPECT_LT(max_difference(own.heads, torch.heads), 2e-5);
  EXPECT_LT(max_difference(D_own, D_torch), 2e-5);
  EXPECT_LT(arma::abs(arma::sum(own.heads.rows(0, 1), 0) - 1.0).max(), 1e-12);
  EXPECT_GT(arma::stddev(own.heads.row(2)), 1e-3);
  NetworkConfig both = config;
  both.told_class = true;
  EXPECT_NE(both.why_invalid().find("expected one of both"), std::string::npos);
}

// The gradient of all that a fit adds up, through classes that are mixed in a micro-batch, against differences in
// double; and of the estimator of given pilots.
TEST(Labels, GradientsAgreeWithDifferences) {
  NetworkConfig told;
  told.hidden = {3, 4};
  told.modulated = {0, 1};
  told.embedding = 4;
  NetworkConfig tells = told;
  told.classes = tells.classes = 2;
  told.told_class = true;
  tells.tells_class = true;
  tells.numbers = 1;
  const NoiseSchedule schedule = NoiseSchedule::linear(10, 1e-3, 0.3);
  at::manual_seed(1);
  const at::Tensor h = at::randn({4, 2, 5, 4}, at::kDouble);
  const at::Tensor eps = at::randn({4, 2, 5, 4}, at::kDouble);
  nn::LevelLabels labels;
  labels.told = {1, -1, 0, 1};
  labels.classes = at::tensor(std::vector<std::int64_t>{1, -1, 0, 1});
  labels.numbers = at::tensor(std::vector<double>{0.3, NAN, -1.0, 2.0}, at::kDouble).view({4, 1});
  for (const NetworkConfig& config : {told, tells}) {
    nn::LevelLabels used = labels;
    if (!config.told_class) used.told.clear();
    at::Tensor flat = nn::initial_weights(network_layout(config), 3).to(at::kDouble);
    // Those of classes begin at 0.
    flat = flat + 0.05 * at::randn(flat.sizes(), at::kDouble);
    const auto loss = [&](const at::Tensor& weights) {
      const nn::LevelErrors errors = nn::level_errors(config, Prediction::velocity, schedule,
                                                      weights, h, eps, 0.2, false, 0.0, used);
      return errors.heads.defined() ? errors.squared + 3.0 * errors.heads : errors.squared;
    };
    const at::Tensor leaf = flat.clone().requires_grad_();
    const at::Tensor gradient = torch::autograd::grad({loss(leaf)}, {leaf})[0];
    constexpr double step = 1e-6;
    for (std::int64_t i = 0; i < flat.numel(); i += 5) {
      const at::Tensor above = flat.clone(), below = flat.clone();
      above[i] += step;
      below[i] -= step;
      const double difference =
          (loss(above).item<double>() - loss(below).item<double>()) / (2.0 * step);
      EXPECT_NEAR(gradient[i].item<double>(), difference, 1e-5) << "weight " << i;
    }
  }
}

// Of a labelled mixture the probabilities are known.
TEST(Heads, TellTheClassAsBayesDoesAndANumberInItsUnits) {
  const TwoKinds kinds;
  NetworkFitOptions options = small_fit();
  options.network.classes = 2;
  options.network.tells_class = true;
  options.network.numbers = 1;
  ChannelLabels train, validation;
  const arma::cx_mat h = kinds.draw(2000, 1, train.classes, train.numbers);
  const arma::cx_mat held = kinds.draw(200, 2, validation.classes, validation.numbers);
  train.numbers = 40.0 + 10.0 * train.numbers;
  validation.numbers = 40.0 + 10.0 * validation.numbers;
  const NetworkModel model =
      fit_network(samples_in_memory(h, n_rx, n_tx), samples_in_memory(held, n_rx, n_tx), options,
                  {}, train, validation);
  std::vector<std::int64_t> classes;
  arma::mat powers;
  const arma::cx_mat test = kinds.draw(2000, 3, classes, powers);
  const double sigma2 = 3.0;
  arma::cx_mat z = test + Rng(4, {Purpose::test}).cx_normal(n_h, test.n_cols, sigma2);
  DenoiserError told;
  arma::cx_mat D;
  const auto network_of_all = make_network_denoiser(model);
  network_of_all->denoise_with_error(z, sigma2, D, told);
  double bayes = 0.0, network = 0.0;
  for (arma::uword k = 0; k < z.n_cols; ++k) {
    const double second = kinds.second(z.col(k), sigma2);
    const bool is_second = classes[k] == 1;
    bayes -= std::log(is_second ? second : 1.0 - second) / static_cast<double>(z.n_cols);
    network -= std::log(told.heads(is_second ? 1 : 0, k)) / static_cast<double>(z.n_cols);
  }
  // A number that is seen well.
  z = test + Rng(4, {Purpose::test}).cx_normal(n_h, test.n_cols, 0.1);
  network_of_all->denoise_with_error(z, 0.1, D, told);
  const arma::rowvec off = told.heads.row(2) - (40.0 + 10.0 * powers);
  const double rms = std::sqrt(arma::mean(arma::square(off)));
  seen("cross entropy of Bayes", bayes);
  seen("of the network", network);
  seen("rms error of the number", rms);
  EXPECT_LT(network, bayes + 0.12);
  EXPECT_GT(network, bayes - 0.01);
  // The numbers spread by 6 about their mean of 50.
  EXPECT_LT(rms, 3.0);
}

TEST(ToldClass, ReachesTheLmmseOfTheClass) {
  const TwoKinds kinds;
  NetworkFitOptions options = small_fit();
  options.network.hidden = {12};
  options.network.modulated = {0};
  options.network.classes = 2;
  options.network.told_class = true;
  options.max_epochs = 20;
  ChannelLabels train, validation;
  arma::mat ignored;
  const arma::cx_mat h = kinds.draw(2000, 1, train.classes, ignored);
  const arma::cx_mat held = kinds.draw(200, 2, validation.classes, ignored);
  const NetworkModel model =
      fit_network(samples_in_memory(h, n_rx, n_tx), samples_in_memory(held, n_rx, n_tx), options,
                  {}, train, validation);
  std::vector<std::int64_t> classes;
  const arma::cx_mat all = kinds.draw(4000, 3, classes, ignored);
  std::vector<arma::uword> second;
  for (arma::uword k = 0; k < all.n_cols; ++k) {
    if (classes[k] == 1) second.push_back(k);
  }
  const arma::cx_mat test = all.cols(arma::uvec(second));
  const double sigma2 = 3.0, variance = kinds.variance(1);
  const arma::cx_mat z = test + Rng(4, {Purpose::test}).cx_normal(n_h, test.n_cols, sigma2);
  const double best = to_db(sigma2 / (variance + sigma2));
  const double told = nmse_db(make_class_denoiser(model, 1, 0.0)->denoise(z, sigma2), test);
  const double untold = nmse_db(make_network_denoiser(model)->denoise(z, sigma2), test);
  const double wrong = nmse_db(make_class_denoiser(model, 0, 0.0)->denoise(z, sigma2), test);
  const double guided = nmse_db(make_class_denoiser(model, 1, 2.0)->denoise(z, sigma2), test);
  seen("LMMSE of the class", best);
  seen("told", told);
  seen("untold", untold);
  seen("wrong", wrong);
  seen("guided", guided);
  EXPECT_LT(told, best + 0.15);
  EXPECT_GT(untold, told + 0.3);
  EXPECT_GT(wrong, untold + 0.3);
  EXPECT_GT(guided, told);
}

// Noise that is another channel has the covariance C: with so much of it the best estimate is
// C (C + sigma2 ((1 - a) I + a C))^-1 z.
TEST(Contamination, OfAllNoiseIsLearnedAndCostsInWhiteNoise) {
  const OneKind kind;
  NetworkFitOptions options = small_fit();
  const SampleReader train = kind.samples(2000, 1), held = kind.samples(200, 2);
  const NetworkModel& plain = plain_fit();
  options.contamination = 1.0;
  const NetworkModel model = fit_network(train, held, options);
  const arma::cx_mat h = kind.draw(2000, 3), other = kind.draw(2000, 4);
  const arma::cx_mat white = h + Rng(4, {Purpose::test}).cx_normal(n_h, h.n_cols, 1.0);
  const auto error = [&](const NetworkModel& of, const arma::cx_mat& z) {
    return nmse_db(make_network_denoiser(of)->denoise(z, 1.0), h);
  };
  seen("contaminated, fitted with it", error(model, h + other));
  seen("contaminated, plain", error(plain, h + other));
  seen("white, fitted with it", error(model, white));
  seen("white, plain", error(plain, white));
  // Channels of one covariance, told apart by nothing: half of what comes in is the best.
  EXPECT_LT(error(model, h + other), error(plain, h + other) - 0.1);
  EXPECT_GT(error(model, h + other), to_db(0.5) - 0.05);
  EXPECT_GT(error(model, white), error(plain, white) - 0.03);
}

// A receiver whose gain is off by some dB, signal and noise alike.
TEST(Gain, OfAnyFittedSizeCostsLess) {
  const OneKind kind;
  NetworkFitOptions options = small_fit();
  const SampleReader train = kind.samples(2000, 1), held = kind.samples(200, 2);
  const NetworkModel& plain = plain_fit();
  options.gain_db = 6.0;
  options.max_epochs = 14;
  const NetworkModel model = fit_network(train, held, options);
  const arma::cx_mat h = kind.draw(2000, 3);
  const arma::cx_mat z = h + Rng(4, {Purpose::test}).cx_normal(n_h, h.n_cols, 1.0);
  const auto error = [&](const NetworkModel& of, double gain_db) {
    const double gain = std::sqrt(from_db(gain_db));
    return nmse_db(make_network_denoiser(of)->denoise(gain * z, gain * gain) / gain, h);
  };
  for (const double gain_db : {-6.0, 0.0, 6.0}) {
    seen("fitted with it", error(model, gain_db));
    seen("plain", error(plain, gain_db));
  }
  EXPECT_LT(error(model, 6.0), error(plain, 6.0) - 0.3);
}

// Gaussian channels through two pilots for four antennas: the best estimate is LMMSE.
TEST(FewPilots, AreWorthWhatLmmseSays) {
  const OneKind kind;
  NetworkFitOptions options = small_fit();
  options.prediction = Prediction::sample;
  options.P = arma::normalise(Rng(8, {Purpose::test}).cx_normal(n_tx, 2));
  options.max_epochs = 10;
  const NetworkModel model = fit_network(kind.samples(2000, 1), kind.samples(200, 2), options);
  const std::shared_ptr<const ObservationOperator> A = make_kronecker_observation(options.P, n_rx);
  const std::shared_ptr<const Denoiser> D = make_network_denoiser(model);
  const Calibration calibration = calibrate_few_pilots(*D, *A, kind.samples(256, 3), 1, 2);
  const arma::cx_mat h = kind.draw(2000, 4);
  Observation observation;
  observation.sigma2 = 0.1;
  observation.y = A->apply(h);
  observation.y += Rng(9, {Purpose::test}).cx_normal(A->n_obs(), h.n_cols, observation.sigma2);
  const arma::cx_mat F = kind.transform.inverse(arma::cx_mat(n_h, n_h, arma::fill::eye));
  const arma::cx_mat C =
      F * arma::diagmat(arma::conv_to<arma::cx_vec>::from(kind.variance)) * F.t();
  const arma::cx_mat a = dense(*A), I(A->n_obs(), A->n_obs(), arma::fill::eye);
  const arma::cx_mat lmmse =
      C * a.t() * arma::solve(arma::cx_mat(a * C * a.t() + observation.sigma2 * I), observation.y);
  const double best = nmse_db(lmmse, h);
  const Estimate plain = make_few_pilots(A, D, calibration)->estimate(observation);
  seen("LMMSE", best);
  seen("network", nmse_db(plain.h, h));
  EXPECT_LT(nmse_db(plain.h, h), best + 0.3);
  EXPECT_GT(nmse_db(plain.h, h), best - 0.05);
  // The error that it predicts, calibrated on other channels.
  EXPECT_NEAR(to_db(arma::accu(plain.mse) / arma::accu(arma::square(arma::abs(h)))),
              nmse_db(plain.h, h), 0.3);
  // Hard: what was received is met. Soft: the ridge of a white error about the network's estimate.
  const Estimate hard =
      make_few_pilots(A, D, calibration, DataConsistency::hard)->estimate(observation);
  EXPECT_LT(max_difference(A->apply(hard.h), observation.y), 1e-10);
  const Estimate soft =
      make_few_pilots(A, D, calibration, DataConsistency::soft)->estimate(observation);
  for (arma::uword k = 0; k < 3; ++k) {
    const double r2 = plain.mse(k) / static_cast<double>(n_h);
    const arma::cx_vec expected =
        plain.h.col(k) + r2 * a.t() *
                             arma::solve(arma::cx_mat(r2 * a * a.t() + observation.sigma2 * I),
                                         arma::cx_vec(observation.y.col(k) - a * plain.h.col(k)));
    EXPECT_LT(max_difference(soft.h.col(k), expected), 1e-9);
  }
  seen("soft", nmse_db(soft.h, h));
  seen("hard", nmse_db(hard.h, h));
  const TemporaryFolder folder;
  save(folder / "pilots.h5", model);
  EXPECT_TRUE(same_pilots(load_network_model(folder / "pilots.h5").P, options.P));
  EXPECT_FALSE(same_pilots(arma::cx_mat(1.01 * options.P), options.P));
}

// An estimate of several calls as a function of the weights.
TEST(Unrolled, GradientsAgreeWithDifferencesAndOneCallIsTheLevelsError) {
  NetworkConfig config;
  config.hidden = {3, 4};
  config.modulated = {0, 1};
  config.embedding = 4;
  const NoiseSchedule schedule = NoiseSchedule::linear(10, 1e-3, 0.3);
  at::manual_seed(1);
  const at::Tensor h = at::randn({3, 2, 5, 4}, at::kDouble);
  const at::Tensor eps = at::randn({3, 2, 5, 4}, at::kDouble);
  const at::Tensor flat = nn::initial_weights(network_layout(config), 3).to(at::kDouble);
  const auto loss = [&](const at::Tensor& weights, std::size_t n_calls) {
    return nn::unrolled_errors(config, Prediction::velocity, schedule, weights, h, eps, 0.2,
                               n_calls);
  };
  const nn::LevelErrors level =
      nn::level_errors(config, Prediction::velocity, schedule, flat, h, eps, 0.2);
  const nn::LevelErrors one = loss(flat, 1);
  EXPECT_NEAR(one.squared.item<double>() / level.squared.item<double>(), 1.0, 1e-10);
  EXPECT_NEAR(one.log_likelihood.item<double>() / level.log_likelihood.item<double>(), 1.0, 1e-10);
  const at::Tensor leaf = flat.clone().requires_grad_();
  const at::Tensor gradient = torch::autograd::grad({loss(leaf, 3).squared}, {leaf})[0];
  constexpr double step = 1e-6;
  for (std::int64_t i = 0; i < flat.numel(); i += 7) {
    const at::Tensor above = flat.clone(), below = flat.clone();
    above[i] += step;
    below[i] -= step;
    const double difference =
        (loss(above, 3).squared.item<double>() - loss(below, 3).squared.item<double>()) /
        (2.0 * step);
    EXPECT_NEAR(gradient[i].item<double>(), difference, 1e-4) << "weight " << i;
  }
}

// Fine-tuning keeps the weights that it began with unless it finds better ones, and with a Gaussian prior ends where
// linear MMSE is.
TEST(Unrolled, FineTuningNeverRaisesTheValidationError) {
  const OneKind kind;
  const SampleReader train = kind.samples(2000, 1), held = kind.samples(200, 2);
  NetworkFitOptions options = small_fit();
  const NetworkModel& before = plain_fit();
  options.start = before.weights;
  options.unroll = 3;
  options.max_epochs = 2;
  options.learning_rate = 1e-3;
  const NetworkModel after = fit_network(train, held, options);
  // A rate that ruins the weights: nothing is kept of it.
  options.learning_rate = 0.5;
  options.anneal = false;
  options.ema_decay = 0.0;
  options.max_epochs = 1;
  const NetworkModel ruined = fit_network(train, held, options);
  for (std::size_t i = 0; i < before.weights.size(); ++i) {
    EXPECT_EQ(ruined.weights[i].values, before.weights[i].values);
  }
  const arma::cx_mat h = kind.draw(2000, 3);
  const double sigma2 = from_db(5.0);
  const arma::cx_mat z = h + Rng(4, {Purpose::test}).cx_normal(n_h, h.n_cols, sigma2);
  const auto three_calls = [&](const NetworkModel& model) {
    arma::cx_mat x = z;
    make_network_denoiser(model)->run(log_snr_chain(sigma2, DmseOptions{}.sigma2_end, 3).steps, x);
    return nmse_db(x, h);
  };
  const double best = to_db(kind.lmmse_error(sigma2));
  seen("LMMSE", best);
  seen("three calls before", three_calls(before));
  seen("three calls after", three_calls(after));
  EXPECT_LT(three_calls(after), three_calls(before) + 0.01);
  EXPECT_GT(three_calls(after), best - 0.05);
}

TEST(Labels, ThatDoNotFitAreRefused) {
  const TwoKinds kinds;
  ChannelLabels labels;
  arma::mat ignored;
  const SampleReader samples =
      samples_in_memory(kinds.draw(8, 1, labels.classes, ignored), n_rx, n_tx);
  NetworkFitOptions options = small_fit();
  EXPECT_TRUE(refused([&] { fit_network(samples, samples, options, {}, labels, labels); },
                      "classes of 8 channels and 0 numbers of 0; expected 0 and 0 of 0"));
  options.network.classes = 2;
  options.network.tells_class = true;
  EXPECT_TRUE(refused([&] { fit_network(samples, samples, options); }, "expected 8 and 0 of 0"));
  labels.classes[3] = 2;
  EXPECT_TRUE(refused([&] { fit_network(samples, samples, options, {}, labels, labels); },
                      "there is a channel of class 2; expected 0 to 1"));
  labels.classes[3] = 0;
  labels.numbers = arma::mat(1, 8, arma::fill::ones);
  options.network.numbers = 1;
  EXPECT_TRUE(refused([&] { fit_network(samples, samples, options, {}, labels, labels); },
                      "the same for all"));
  options = small_fit();
  options.P = arma::cx_mat(3, 2, arma::fill::ones);
  EXPECT_TRUE(
      refused([&] { fit_network(samples, samples, options); }, "expected sample for an estimator"));
  options.prediction = Prediction::sample;
  EXPECT_TRUE(refused([&] { fit_network(samples, samples, options); },
                      "the pilots are for 3 transmit antennas"));
  options.contamination = 0.5;
  EXPECT_TRUE(refused([&] { fit_network(samples, samples, options); },
                      "without mirrors, turns and contamination"));
}

}  // namespace
}  // namespace chest
