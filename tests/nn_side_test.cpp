// Networks that are told another matrix of each channel.
#include <gtest/gtest.h>

#include <cmath>

#include <chest/angular.hpp>
#include <chest/archive.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/diffusion/few_pilots.hpp>
#include <chest/estimators/inference/planned_estimator.hpp>
#include <chest/estimators/network/exchange.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/device_estimator.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/metrics.hpp>
#include <chest/observation.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>

#include "tests/support/exact_prior.hpp"
#include "tests/support/network.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 8, n_tx = 4, n_h = n_rx * n_tx;

/// Gaussian channels whose angles are independent, and the slot before each: s of the same variance v per angle,
/// h = a s + sqrt(1 - a^2) w.
struct TwoSlots {
  double a = 0.9;
  arma::vec variance = arma::vec(n_h, arma::fill::ones);

  struct Drawn {
    arma::cx_mat h, side;
  };
  Drawn draw(arma::uword n, std::uint64_t stream) const {
    const AngularTransform transform(n_rx, n_tx);
    Rng rng(5, {Purpose::test, stream});
    const arma::cx_vec deviation = arma::conv_to<arma::cx_vec>::from(arma::sqrt(variance));
    arma::cx_mat side = rng.cx_normal(n_h, n), h = rng.cx_normal(n_h, n);
    side.each_col() %= deviation;
    h.each_col() %= deviation;
    h = a * side + std::sqrt(1.0 - a * a) * h;
    return {transform.inverse(h), transform.inverse(side)};
  }
  /// E|h - E[h | h + sigma n, s]|^2 over E|h|^2, in dB.
  double least_db(double sigma2, bool knows_side) const {
    const arma::vec v = (knows_side ? 1.0 - a * a : 1.0) * variance;
    return to_db(arma::mean(arma::vec(v * sigma2 / (v + sigma2))) / arma::mean(variance));
  }
};

NetworkConfig small(bool magnitude = true) {
  NetworkConfig config;
  config.hidden = {12, 8};
  config.modulated = {0, 1};
  config.magnitude = magnitude;
  config.side = true;
  return config;
}

NetworkModel fit(const TwoSlots& slots, NetworkFitOptions options) {
  options.network = small();
  options.batch = 64;
  options.learning_rate = 1e-2;
  options.max_epochs = 12;  // of 31 steps
  options.n_threads = 2;
  const auto [h, side] = slots.draw(2000, 1);
  const auto [held, held_side] = slots.draw(200, 2);
  ChannelLabels labels, held_labels;
  labels.side = samples_in_memory(side, n_rx, n_tx);
  held_labels.side = samples_in_memory(held_side, n_rx, n_tx);
  return fit_network(samples_in_memory(h, n_rx, n_tx), samples_in_memory(held, n_rx, n_tx), options,
                     {}, labels, held_labels);
}

TEST(Side, IsTheSameInBothEnginesAndZerosAreNone) {
  for (const bool magnitude : {true, false}) {
    for (const auto& [rows, columns] : {std::pair<arma::uword, arma::uword>{8, 4}, {3, 16}}) {
      const NetworkModel model = random_network_model(rows, columns, small(magnitude));
      ASSERT_EQ(model.network.why_invalid(), "");
      Rng rng(1, {Purpose::test});
      const arma::cx_mat z = rng.cx_normal(rows * columns, 5), side = rng.cx_normal(z.n_rows, 5);
      arma::cx_mat of_torch, of_own, without;
      DenoiserError torch, own, none;
      for (const NetworkEngine engine : {NetworkEngine::torch, NetworkEngine::onednn}) {
        NetworkRunOptions run;
        run.engine = engine;
        const auto denoiser = make_network_denoiser(model, run);
        ASSERT_TRUE(denoiser->takes_side());
        const bool is_own = engine == NetworkEngine::onednn;
        denoiser->denoise_beside(z, side, 0.3, is_own ? of_own : of_torch, is_own ? own : torch);
        denoiser->denoise_beside(z, 0.0 * side, 0.3, without, none);
        EXPECT_EQ(max_difference(without, denoiser->denoise(z, 0.3)), 0.0);
      }
      EXPECT_LT(max_difference(of_own, of_torch), 2e-5);
      EXPECT_LT(max_difference(own.mse, torch.mse), 1e-3);
      EXPECT_GT(max_difference(of_own, without), 1e-2);
    }
  }
}

// Of jointly Gaussian slots the conditional mean is known.
TEST(Side, BringsTheConditionalMeanOfBoth) {
  TwoSlots slots;
  for (arma::uword i = 0; i < n_h; ++i) slots.variance(i) = i % n_rx < n_rx / 2 ? 1.7 : 0.3;
  const NetworkModel model = fit(slots, {});
  const std::shared_ptr<const Denoiser> D = make_network_denoiser(model);
  const auto [held, held_side] = slots.draw(256, 3);
  const Calibration calibration = calibrate_few_pilots(
      *D, *make_kronecker_observation(arma::cx_mat(n_tx, n_tx, arma::fill::eye), n_rx),
      samples_in_memory(held, n_rx, n_tx), 1, 2, samples_in_memory(held_side, n_rx, n_tx));
  // Pilots of twice the energy: the noise of the decorrelated observation is half of that of y.
  const arma::cx_mat P = std::sqrt(2.0) * arma::cx_mat(n_tx, n_tx, arma::fill::eye);
  const auto estimator = make_side_informed(make_kronecker_observation(P, n_rx), D, calibration);
  const auto [h, side] = slots.draw(2000, 4);
  for (const double level : {1.0, 0.1}) {
    Observation observation;
    observation.sigma2 = 2.0 * level;
    observation.y =
        std::sqrt(2.0) * h + Rng(9, {Purpose::test}).cx_normal(n_h, h.n_cols, 2 * level);
    const Estimate untold = estimator->estimate(observation);
    observation.side = side;
    const Estimate told = estimator->estimate(observation);
    observation.side = arma::shift(side, 1, 1);
    const double wrong = nmse_db(estimator->estimate(observation).h, h);
    const double best = slots.least_db(level, true), best_untold = slots.least_db(level, false);
    seen("least", best);
    seen("told", nmse_db(told.h, h));
    seen("least without", best_untold);
    seen("untold", nmse_db(untold.h, h));
    seen("wrong", wrong);
    EXPECT_LT(nmse_db(told.h, h), best + 0.5);
    EXPECT_GT(nmse_db(told.h, h), best - 0.05);
    EXPECT_LT(nmse_db(told.h, h), best_untold - 0.5);
    // A tenth of the fit is without.
    EXPECT_LT(nmse_db(untold.h, h), best_untold + 0.7);
    EXPECT_GT(wrong, nmse_db(told.h, h) + 0.5);
    EXPECT_EQ(told.nfe, 1u);
    EXPECT_NEAR(to_db(arma::accu(told.mse) / arma::accu(arma::square(arma::abs(h)))),
                nmse_db(told.h, h), 0.3);
    // Columns bring theirs.
    observation.side = side;
    const arma::uvec some{7, 3};
    EXPECT_LT(max_difference(estimator->estimate(observation.columns(some)).h, told.h.cols(some)),
              1e-12);
  }
}

// What augmentation did to the channel alone would leave nothing to learn.
TEST(Side, IsAugmentedAsTheChannelIs) {
  TwoSlots slots;
  slots.a = 0.95;
  NetworkFitOptions options;
  options.augmentation = Augmentation::mirror;
  options.turn_bins = 0.5;
  const auto D = make_network_denoiser(fit(slots, options));
  const auto [h, side] = slots.draw(1000, 4);
  arma::cx_mat h_hat;
  DenoiserError error;
  D->denoise_beside(h + Rng(9, {Purpose::test}).cx_normal(n_h, h.n_cols), side, 1.0, h_hat, error);
  seen("least", slots.least_db(1.0, true));
  seen("told", nmse_db(h_hat, h));
  EXPECT_LT(nmse_db(h_hat, h), slots.least_db(1.0, true) + 1.0);
}

TEST(Side, ModelsComeBackAndAreNoPriors) {
  const TemporaryFolder folder;
  const NetworkModel model = random_network_model(n_rx, n_tx, small());
  save(folder / "side.h5", model);
  // Programs that know version 2 would misread the planes.
  EXPECT_EQ(ArchiveReader(folder / "side.h5").integer_attribute("/", "format_version"), 3);
  const NetworkModel read = load_network_model(folder / "side.h5");
  EXPECT_TRUE(read.network.side);
  EXPECT_EQ(read.network.n_inputs(), 10);
  const arma::cx_mat P(n_tx, n_tx, arma::fill::eye);
  const std::string says = "is told a side matrix of each channel and is no prior";
  EXPECT_TRUE(refused([&] { save_onnx(folder / "side.onnx", read); }, says));
  EXPECT_TRUE(refused([&] { make_planned_dmse(P, n_rx, read); }, says));
  EXPECT_TRUE(refused([&] { make_device_dmse(P, n_rx, read); }, says));
  NetworkRunOptions run;
  run.engine = NetworkEngine::onednn;
  run.precision = NetworkPrecision::bfloat16;
  EXPECT_TRUE(refused([&] { make_network_denoiser(read, run); }, "runs in float32"));
}

TEST(Side, ThatDoesNotFitIsRefused) {
  const std::shared_ptr<const Denoiser> D =
      make_network_denoiser(random_network_model(n_rx, n_tx, small()));
  const std::shared_ptr<const Denoiser> plain =
      make_network_denoiser(random_network_model(n_rx, n_tx));
  const std::shared_ptr<const ObservationOperator> A =
      make_kronecker_observation(arma::cx_mat(n_tx, n_tx, arma::fill::eye), n_rx);
  const arma::cx_mat z(n_h, 3, arma::fill::ones), few(n_h, 2, arma::fill::ones);
  arma::cx_mat out;
  DenoiserError error;
  EXPECT_TRUE(
      refused([&] { plain->denoise_beside(z, z, 1.0, out, error); }, "takes no side matrices"));
  EXPECT_TRUE(refused([&] { D->denoise_beside(z, few, 1.0, out, error); }, "side is 32x2, z is"));
  EXPECT_TRUE(refused([&] { make_side_informed(A, plain, {}); }, "takes no side matrices"));
  EXPECT_TRUE(refused(
      [&] {
        make_side_informed(
            make_kronecker_observation(arma::cx_mat(n_tx, 2, arma::fill::ones), n_rx), D, {});
      },
      "does not decorrelate"));
  Observation observation;
  observation.sigma2 = 1.0;
  observation.y = z;
  observation.side = few;
  EXPECT_TRUE(refused([&] { make_side_informed(A, D, {})->estimate(observation); },
                      "side is 32x2, expected 32x3"));
  NetworkConfig both = small();
  both.numbers = 1;
  EXPECT_NE(both.why_invalid().find("side goes with no classes"), std::string::npos);
  NetworkFitOptions options;
  options.network = small();
  const SampleReader h = samples_in_memory(z, n_rx, n_tx);
  ChannelLabels labels;
  labels.side = samples_in_memory(few, n_rx, n_tx);
  EXPECT_TRUE(refused([&] { fit_network(h, h, options, {}, labels, labels); },
                      "there are 2 of 8x4 side matrices"));
  EXPECT_TRUE(refused([&] { fit_network(h, h, options); }, "there are 0 of 0x0 side matrices"));
  options.unroll = 2;
  EXPECT_NE(options.why_invalid().find("side matrices are for one call"), std::string::npos);
}

}  // namespace
}  // namespace chest
