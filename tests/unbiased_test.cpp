// Errors from noisy channels alone, against the true ones.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/estimators/nn/network_adapt.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/estimators/prior/unbiased.hpp>
#include <chest/metrics.hpp>

#include "estimators/nn/held_out.hpp"
#include "estimators/nn/noisy_channels.hpp"
#include "tests/support/cluster_mixture.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

/// Of three standard errors either way.
constexpr double three_standard_errors = 0.0027;

ColumnNoise noise_of(arma::uword n, std::uint64_t run, arma::uword first = 0) {
  Observation keys;
  keys.y.set_size(1, n);
  keys.seed = 5;
  keys.first_sample = first;
  return ColumnNoise(keys, run);
}

/// Channels of one covariance with noise, and what is known of them.
struct Noisy {
  arma::cx_mat C, h, z;
  arma::vec sigma2;
};

Noisy noisy(arma::uword n, arma::uword n_h = 12) {
  Rng rng = test_rng(3);
  Noisy out;
  out.C = random_covariance(n_h, rng);
  out.h = covariance_factor(out.C) * rng.cx_normal(n_h, n);
  out.z = out.h;
  out.sigma2.set_size(n);
  for (arma::uword k = 0; k < n; ++k) {
    out.sigma2(k) = k % 2 == 0 ? 0.1 : 0.05;
    out.z.col(k) += rng.cx_normal(n_h, 1, out.sigma2(k));
  }
  return out;
}

/// Unbiased errors less true ones, of the same x.
arma::vec excess(const Denoiser& denoiser, const Noisy& scene, double level,
                 double claimed_factor = 1.0) {
  const arma::vec claimed = claimed_factor * scene.sigma2;
  const arma::uword n = scene.z.n_cols;
  ColumnNoise noise = noise_of(n, 1), same = noise_of(n, 1);
  const arma::vec unbiased = unbiased_errors(denoiser, scene.z, claimed, level, noise);
  const Recorrupted pair = recorrupt(scene.z, claimed, level, same);
  return unbiased - squared_errors(denoiser.denoise(pair.x, level), scene.h);
}

TEST(UnbiasedErrors, HaveTheMeanOfTheTrueErrorsOfExactPriors) {
  const Noisy scene = noisy(4000);
  Rng rng = test_rng(4);
  const auto right = make_gaussian_denoiser(scene.C);
  // Another site's prior, and a mixture, whose Jacobian depends on z.
  const auto wrong = make_gaussian_denoiser(random_covariance(12, rng));
  const auto mixture = make_gaussian_mixture_denoiser(cluster_mixture(12, 6, 0, rng));
  for (const Denoiser* denoiser : {right.get(), wrong.get(), mixture.get()}) {
    // SURE, between, the first level without a derivative, and far above.
    for (const double level : {0.1, 0.15, 0.2, 1.0, 10.0}) {
      EXPECT_TRUE(mean_is(excess(*denoiser, scene, level), 0.0, three_standard_errors)) << level;
    }
  }
  // The test would see noise variances that are wrong.
  EXPECT_FALSE(mean_is(excess(*right, scene, 0.12, 1.1), 0.0, three_standard_errors));
  EXPECT_FALSE(mean_is(excess(*right, scene, 0.3, 1.5), 0.0, three_standard_errors));
}

TEST(UnbiasedErrors, TakeTheDivergenceFromOneDirection) {
  // A Gaussian prior is linear: its real trace is 2 tr C (C + level I)^-1.
  const Noisy scene = noisy(3000);
  const auto denoiser = make_gaussian_denoiser(scene.C);
  const arma::cx_mat D = denoiser->denoise(scene.z, 0.2);
  ColumnNoise noise = noise_of(3000, 2);
  const arma::uvec all = arma::regspace<arma::uvec>(0, 2999);
  const arma::vec traces = probed_traces(*denoiser, scene.z, 0.2, D, all, noise);
  const arma::cx_mat I(12, 12, arma::fill::eye);
  const double exact = 2.0 * std::real(arma::trace(scene.C * arma::inv(scene.C + 0.2 * I)));
  EXPECT_TRUE(mean_is(traces, exact, three_standard_errors));
}

TEST(UnbiasedErrors, RefuseWhatIsNoNoiseBelowTheLevel) {
  const Noisy scene = noisy(4);
  const auto denoiser = make_gaussian_denoiser(scene.C);
  ColumnNoise noise = noise_of(4, 1);
  const auto at = [&](double level) {
    unbiased_errors(*denoiser, scene.z, scene.sigma2, level, noise);
  };
  EXPECT_TRUE(refused([&] { at(0.07); }, "noise variance of channel 0 is 0.1"));
  EXPECT_TRUE(refused([&] { recorrupt(scene.z, arma::vec(4, arma::fill::zeros), 1.0, noise); },
                      "expected above 0"));
  EXPECT_TRUE(refused([&] { recorrupt(scene.z, arma::vec{1.0}, 1.0, noise); }, "must be equal"));
}

/// A scene of pilots, with the examples that an adaptation draws from it.
struct Site {
  std::shared_ptr<const ObservationOperator> A;
  arma::cx_mat C, h;
  ReceivedPilots pilots;
  std::shared_ptr<const Denoiser> denoiser;
};

Site site(const arma::cx_mat& P, arma::uword n_rx, arma::uword n, double sigma2) {
  Rng rng = test_rng(8);
  Site out;
  const arma::uword n_h = n_rx * P.n_rows;
  out.A = make_kronecker_observation(P, n_rx);
  out.C = random_covariance(n_h, rng);
  out.h = covariance_factor(out.C) * rng.cx_normal(n_h, n);
  out.pilots.sigma2 = arma::vec(n, arma::fill::value(sigma2));
  out.pilots.y = out.A->apply(out.h) + rng.cx_normal(out.A->n_obs(), n, sigma2);
  out.denoiser = make_gaussian_denoiser(random_covariance(n_h, rng));
  return out;
}

TEST(NoisyChannels, OfFewPilotsJudgeWhatThePilotsSee) {
  constexpr arma::uword n_rx = 4, n = 3000;
  Rng rng = test_rng(9);
  const Site scene = site(qpsk_rows(2, 4, rng).st(), n_rx, n, 0.05);
  const nn::NoisyChannels channels(scene.A, scene.pilots, scene.denoiser, 1, 1);
  EXPECT_FALSE(channels.decorrelated());
  const arma::uvec all = arma::regspace<arma::uvec>(0, n - 1);
  const arma::cx_mat h = channels.in_basis(scene.h);
  // Twice the noise over the largest gain is the first level at which something is seen.
  for (const double factor : {1.0, 3.0, 100.0}) {
    const double level = factor * channels.least_level();
    ColumnNoise noise = noise_of(n, 3);
    const nn::Examples examples = channels.draw(all, level, noise, false);
    const arma::cx_mat D = channels.in_basis(scene.denoiser->denoise(examples.x, level));
    const arma::mat seen = arma::kron(examples.seen, arma::vec(n_rx, arma::fill::ones));
    EXPECT_GE(arma::accu(examples.seen), n);
    EXPECT_LE(arma::accu(examples.seen), 2 * n);
    const arma::vec unbiased =
        arma::sum(squared_magnitudes(D - examples.target) % seen, 0).t() - examples.offset;
    const arma::vec truth = arma::sum(squared_magnitudes(D - h) % seen, 0).t();
    EXPECT_TRUE(mean_is(unbiased - truth, 0.0, three_standard_errors)) << factor;
    EXPECT_TRUE(arma::all(examples.c == 0.0));
  }
  EXPECT_NEAR(channels.power(), arma::mean(arma::mean(squared_magnitudes(h))), 0.5);
}

TEST(NoisyChannels, BelowTheNoiseSayNothingAndAreNearTheirEstimates) {
  const Site scene = site(arma::cx_mat(3, 3, arma::fill::eye), 4, 50, 0.1);
  const nn::NoisyChannels channels(scene.A, scene.pilots, scene.denoiser, 1, 1);
  EXPECT_TRUE(channels.decorrelated());
  EXPECT_DOUBLE_EQ(channels.least_level(), 0.1);
  const arma::uvec all = arma::regspace<arma::uvec>(0, 49);
  ColumnNoise noise = noise_of(50, 3);
  const nn::Examples examples = channels.draw(all, 1e-8, noise, false);
  EXPECT_EQ(arma::accu(examples.seen), 0.0);
  EXPECT_EQ(arma::accu(examples.n_entries), 0.0);
  const arma::cx_mat estimates = scene.denoiser->denoise(scene.pilots.y, 0.1);
  for (arma::uword k = 0; k < 50; ++k) {
    // On the line from the estimate to y, stored in float32.
    const arma::cx_vec line = scene.pilots.y.col(k) - estimates.col(k);
    const arma::cx_vec at = examples.x.col(k) - estimates.col(k);
    const double part = std::real(arma::cdot(line, at)) / squared_norm(line);
    EXPECT_LT(arma::norm(at - part * line), 0.01) << k;
    EXPECT_GT(part, -0.01);
    EXPECT_LT(part, 1.01);
  }
}

TEST(NoisyChannels, RefuseLessNoiseThanIsSaid) {
  Site scene = site(arma::cx_mat(3, 3, arma::fill::eye), 16, 100, 0.1);
  const auto check = [&](double factor) {
    ReceivedPilots pilots = scene.pilots;
    pilots.sigma2 *= factor;
    return nn::check_noise(*scene.A, 16, pilots);
  };
  // Channels of one angle only leave entries that are noise alone.
  arma::cx_mat flat(48, 100);
  Rng rng = test_rng(2);
  for (arma::uword k = 0; k < 100; ++k) flat.col(k).fill(rng.cx_normal());
  scene.pilots.y = flat + rng.cx_normal(48, 100, 0.1);
  EXPECT_NEAR(check(1.0), 1.0, 0.1);
  EXPECT_NEAR(check(0.1), 10.0, 1.0);
  EXPECT_TRUE(refused([&] { check(2.0); }, "less noise than is said"));
  EXPECT_TRUE(refused([&] { check(2.0); }, "dB above what was given"));
}

TEST(HeldOut, TellsABetterPriorFromAWorseOne) {
  const Site scene = site(arma::cx_mat(3, 3, arma::fill::eye), 4, 200, 0.1);
  const nn::NoisyChannels channels(scene.A, scene.pilots, scene.denoiser, 1, 2);
  const nn::HeldOut held_out(channels, scene.denoiser, {1e-4, 100.0}, 1, 2);
  const std::shared_ptr<const Denoiser> better = make_gaussian_denoiser(scene.C);
  Adaptation found;
  held_out.judge(held_out.errors(*better), found);
  EXPECT_TRUE(found.refusal.empty()) << found.refusal;
  EXPECT_LT(found.change, -10.0 * found.change_error);
  EXPECT_LT(held_out.loss(held_out.errors(*better)), held_out.loss(held_out.before()));
  // Errors are those of the true channels.
  for (arma::uword i = 0; i < found.snr_db.n_elem; ++i) {
    const double level = from_db(-found.snr_db(i));
    Rng rng = test_rng(31, i);
    const arma::cx_mat x = scene.h + rng.cx_normal(12, 200, level);
    EXPECT_NEAR(found.after(i), nmse(better->denoise(x, level), scene.h),
                0.15 * found.after(i) + 0.02)
        << level;
  }
  // The same network is not better, and a third one is worse.
  Adaptation same, worse;
  held_out.judge(held_out.errors(*scene.denoiser), same);
  EXPECT_NE(same.refusal.find("not estimated better"), std::string::npos) << same.refusal;
  const nn::HeldOut from_better(channels, better, {1e-4, 100.0}, 1, 1);
  from_better.judge(from_better.errors(*scene.denoiser), worse);
  EXPECT_NE(worse.refusal.find("estimated worse than before"), std::string::npos) << worse.refusal;
}

TEST(HeldOut, PredictsSlotsThatWereKeptBack) {
  const Site scene = site(dft_pilots(4, 4), 3, 60, 0.01);
  const std::shared_ptr<const Denoiser> right = make_gaussian_denoiser(scene.C);
  const arma::vec wrong_errors = nn::slot_errors(*scene.A, scene.pilots, scene.denoiser, 1, 1);
  const arma::vec right_errors = nn::slot_errors(*scene.A, scene.pilots, right, 1, 2);
  ASSERT_EQ(wrong_errors.n_elem, 60);
  EXPECT_LT(arma::mean(right_errors), 0.8 * arma::mean(wrong_errors));
  // No less than the noise of the slots themselves.
  EXPECT_GT(arma::mean(right_errors), 0.01);
  // Told too little noise it predicts them worse than when told more.
  Site loud = site(dft_pilots(4, 4), 3, 300, 0.1);
  const std::shared_ptr<const Denoiser> its = make_gaussian_denoiser(loud.C);
  nn::check_slots(*loud.A, loud.pilots, its, 1, 1);
  Rng rng = test_rng(6);
  loud.pilots.y += rng.cx_normal(loud.pilots.y.n_rows, loud.pilots.y.n_cols, 2.0);
  EXPECT_TRUE(refused([&] { nn::check_slots(*loud.A, loud.pilots, its, 1, 1); },
                      "seem to hold more noise than is said"));
  const Site one = site(dft_pilots(4, 1), 3, 10, 0.01);
  EXPECT_TRUE(nn::slot_errors(*one.A, one.pilots, one.denoiser, 1, 1).is_empty());
}

}  // namespace
}  // namespace chest
