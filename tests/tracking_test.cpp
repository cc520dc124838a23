#include <chest/estimators/linear/tracking.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include <chest/archive.hpp>
#include <chest/channels/dataset.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/estimators/prior/shifted.hpp>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/exact_prior.hpp"
#include "tests/support/npy.hpp"
#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

arma::cx_mat identity(arma::uword n) { return arma::cx_mat(n, n, arma::fill::eye); }

/// h_k = a h_{k-1} + sqrt(1 - |a|^2) w_k, w ~ CN(0, L L^H), [n_h, n_slots].
arma::cx_mat gauss_markov(const arma::cx_mat& L, arma::cx_double a, arma::uword n_slots, Rng& rng) {
  arma::cx_mat h = L * rng.cx_normal(L.n_cols, n_slots);
  for (arma::uword k = 1; k < n_slots; ++k) {
    h.col(k) = a * h.col(k - 1) + std::sqrt(1.0 - std::norm(a)) * h.col(k);
  }
  return h;
}

/// The conditional mean of each slot by the covariance of all of them up to it.
arma::cx_mat batch_means(const arma::cx_mat& A, const arma::cx_mat& C, const arma::cx_vec& r,
                         const Observation& link) {
  arma::cx_mat out(C.n_rows, link.y.n_cols);
  for (arma::uword k = 0; k < link.y.n_cols; ++k) {
    arma::cx_mat R(k + 1, k + 1);
    for (arma::uword i = 0; i <= k; ++i) {
      for (arma::uword j = 0; j <= k; ++j) R(i, j) = i >= j ? r(i - j) : std::conj(r(j - i));
    }
    const arma::cx_mat all =
        arma::kron(R, A * C * A.t()) + link.sigma2 * identity((k + 1) * A.n_rows);
    const arma::cx_mat cross = arma::kron(R.row(k), C * A.t());
    out.col(k) = cross * arma::solve(all, arma::vectorise(link.y.cols(0, k)));
  }
  return out;
}

TEST(Kalman, FilterIsTheConditionalMeanByTheCovarianceOfAllSlots) {
  Rng rng = test_rng(1);
  const arma::cx_double a = std::polar(0.9, 0.3);
  const arma::cx_mat C = random_covariance(6, rng), A = rng.cx_normal(4, 6);
  Observation link;
  link.sigma2 = 0.2;
  link.y = A * gauss_markov(covariance_factor(C), a, 7, rng) + rng.cx_normal(4, 7, 0.2);
  const auto op = make_dense_observation(A);
  const Estimate estimate = kalman_filter(*op, C, a, link);
  EXPECT_LT(max_difference(estimate.h, batch_means(A, C, gauss_markov_correlation(a, 7), link)),
            1e-10);
  // The first slot has nothing before it.
  const GaussianPosterior first(A, C, 0.2);
  EXPECT_NEAR(estimate.mse(0), std::real(arma::trace(first.covariance)), 1e-10);
  EXPECT_LT(estimate.mse(6), estimate.mse(0));
}

// Mean reversion: the last estimate as the mean, the exact covariance of the innovation.
TEST(ShiftedDenoiser, WithTheLastEstimateAsMeanIsTheKalmanFilter) {
  Rng rng = test_rng(2);
  const double a = 0.95, sigma2 = 0.3;
  const arma::cx_mat C = random_covariance(12, rng);
  const auto A = std::shared_ptr<const ObservationOperator>(make_identity_observation(4, 3));
  Observation link;
  link.sigma2 = sigma2;
  link.y = gauss_markov(covariance_factor(C), a, 30, rng) + rng.cx_normal(12, 30, sigma2);
  const Estimate kalman = kalman_filter(*A, C, a, link);
  arma::cx_mat P = C, h(12, 1, arma::fill::zeros);
  for (arma::uword k = 0; k < 30; ++k) {
    const arma::cx_mat Q = k == 0 ? C : arma::cx_mat(a * a * P + (1.0 - a * a) * C);
    const std::shared_ptr<const Denoiser> prior =
        make_shifted_denoiser(make_gaussian_denoiser(Q), a * h.col(0));
    Observation slot;
    slot.y = link.y.col(k);
    slot.sigma2 = sigma2;
    const Estimate estimate = make_dmse(A, prior)->estimate(slot);  // 3 calls: any number is exact
    h = estimate.h;
    P = Q - Q * arma::solve(Q + sigma2 * identity(12), Q);
    EXPECT_LT(max_difference(h, kalman.h.col(k)), 1e-8) << "slot " << k;
    EXPECT_NEAR(estimate.mse(0), kalman.mse(k), 1e-8) << "slot " << k;
  }
}

TEST(ShiftedDenoiser, OfNoMeanAndPowerOneIsTheSameBitForBit) {
  Rng rng = test_rng(3);
  const std::shared_ptr<const Denoiser> plain =
      make_gaussian_mixture_denoiser(random_mixture(8, 3, rng));
  const auto same = make_shifted_denoiser(plain, arma::cx_vec(8, arma::fill::zeros));
  const arma::cx_mat z = rng.cx_normal(8, 20, 2.0);
  arma::cx_mat D, S;
  DenoiserError of_D, of_S;
  plain->denoise_with_error(z, 0.4, D, of_D);
  same->denoise_with_error(z, 0.4, S, of_S);
  EXPECT_TRUE(arma::approx_equal(D, S, "absdiff", 0.0));
  EXPECT_TRUE(arma::approx_equal(of_D.mse, of_S.mse, "absdiff", 0.0));
}

// h = m + g x of a mixture x is the mixture with means m + g mu_k and covariances g^2 C_k.
TEST(ShiftedDenoiser, IsTheDenoiserOfTheMovedMixture) {
  Rng rng = test_rng(4);
  const GaussianMixture x = random_mixture(6, 3, rng);
  const arma::cx_vec m = rng.cx_normal(6, 1);
  GaussianMixture moved = x;
  moved.means = std::sqrt(0.3) * x.means;
  moved.means.each_col() += m;
  for (arma::cx_mat& C : moved.covariances) C *= 0.3;
  const auto shifted = make_shifted_denoiser(
      std::shared_ptr<const Denoiser>(make_gaussian_mixture_denoiser(x)), m, 0.3);
  const auto direct = make_gaussian_mixture_denoiser(moved);
  const arma::cx_mat z = rng.cx_normal(6, 20, 2.0), w = rng.cx_normal(6, 20);
  arma::cx_mat D, S, back_D, back_S;
  DenoiserError of_D, of_S;
  direct->denoise_with_error(z, 0.5, D, of_D);
  shifted->denoise_with_error(z, 0.5, S, of_S);
  EXPECT_LT(max_difference(D, S), 1e-12);
  EXPECT_LT(arma::abs(of_D.mse - of_S.mse).max(), 1e-12);
  direct->linearise(z, 0.5)->pull_back(w, back_D);
  shifted->linearise(z, 0.5)->pull_back(w, back_S);
  EXPECT_LT(max_difference(back_D, back_S), 1e-12);
  shifted->denoise(z, 0.5, S);
  EXPECT_LT(max_difference(D, S), 1e-12);
}

TEST(ShiftedDenoiser, RefusesWhatIsNoMean) {
  const std::shared_ptr<const Denoiser> plain = make_gaussian_denoiser(identity(4));
  EXPECT_TRUE(refused([&] { make_shifted_denoiser(plain, arma::cx_vec(3, arma::fill::zeros)); },
                      "shifted denoiser: the mean has 3 entries, expected 4 finite ones"));
  EXPECT_TRUE(
      refused([&] { make_shifted_denoiser(plain, arma::cx_vec(4, arma::fill::zeros), 0.0); },
              "shifted denoiser: the power is 0, it must be positive and finite"));
}

// Of channels without structure the sum of the slots is all that they say.
TEST(Tracking, OfWhiteChannelsIsTheKalmanFilter) {
  Rng rng = test_rng(5);
  const arma::cx_double a = std::polar(0.6, 0.4);
  const arma::uword n_slots = 25;
  const std::shared_ptr<const ObservationOperator> A =
      make_kronecker_observation(2.0 * dft_pilots(3, 3), 4);
  Observation link;
  link.sigma2 = 0.5;
  link.y = A->apply(gauss_markov(identity(12), a, n_slots, rng)) + rng.cx_normal(12, n_slots, 0.5);
  const Estimate kalman = kalman_filter(*A, identity(12), a, link);
  const auto lmmse = make_lmmse(A, identity(12));
  const Estimate tracked = track(*lmmse, link, gauss_markov_correlation(a, n_slots));
  EXPECT_LT(max_difference(tracked.h, kalman.h), 1e-8);
  EXPECT_LT(arma::abs(tracked.mse - kalman.mse).max(), 1e-8);
}

TEST(Tracking, OfWhiteChannelsTakesAnyCorrelationAndMissingSlots) {
  Rng rng = test_rng(6);
  // Of a sum of two rotations with power 0.7 and 0.3.
  arma::cx_vec r(9);
  for (arma::uword j = 0; j < 9; ++j) {
    const auto t = static_cast<double>(j);
    r(j) = 0.7 * std::polar(1.0, 0.3 * t) + 0.3 * std::polar(1.0, -0.5 * t);
  }
  Observation link;
  link.sigma2 = 0.4;
  link.y = rng.cx_normal(4, 9);
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(4, 1);
  const auto lmmse = make_lmmse(A, identity(4));
  const arma::cx_mat all = batch_means(identity(4), identity(4), r, link);
  EXPECT_LT(max_difference(track(*lmmse, link, r, TrackingRule::sum).h, all), 1e-8);
  // Slots 0, 2, 4 .. of twice the correlation's step.
  Observation half = link;
  half.y = link.y.cols(arma::uvec{0, 2, 4, 6, 8});
  half.samples = {10, 12, 14, 16, 18};
  const arma::cx_vec r2 = r.elem(arma::uvec{0, 2, 4, 6, 8});
  Observation steps = half;
  steps.samples.clear();
  EXPECT_LT(max_difference(track(*lmmse, half, r, TrackingRule::sum).h,
                           batch_means(identity(4), identity(4), r2, steps)),
            1e-8);
}

TEST(Tracking, WithoutCorrelationIsTheEstimatorBitForBit) {
  Rng rng = test_rng(7);
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(4, 2);
  const auto dmse = make_dmse(A, make_gaussian_mixture_denoiser(random_mixture(8, 3, rng)));
  Observation link;
  link.sigma2 = 0.3;
  link.y = rng.cx_normal(8, 6, 1.3);
  for (const TrackingRule rule : {TrackingRule::sum, TrackingRule::mean}) {
    for (const arma::uword n_lags : {1, 4}) {
      const Estimate tracked = track(*dmse, link, gauss_markov_correlation(0.0, n_lags), rule);
      for (arma::uword k = 0; k < 6; ++k) {
        const Estimate alone = dmse->estimate(link.columns(arma::uvec{k}));
        EXPECT_TRUE(arma::approx_equal(tracked.h.col(k), alone.h, "absdiff", 0.0));
        EXPECT_EQ(tracked.mse(k), alone.mse(0));
      }
    }
  }
}

TEST(Tracking, UsesNoLaterSlot) {
  Rng rng = test_rng(8);
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(4, 2);
  const auto dmse = make_dmse(A, make_gaussian_mixture_denoiser(random_mixture(8, 3, rng)));
  Observation link;
  link.sigma2 = 0.3;
  link.y = rng.cx_normal(8, 6, 1.3);
  Observation first = link;
  first.y = link.y.cols(0, 3);
  const arma::cx_vec r = gauss_markov_correlation(0.9, 4);
  for (const TrackingRule rule : {TrackingRule::sum, TrackingRule::mean}) {
    EXPECT_TRUE(arma::approx_equal(track(*dmse, link, r, rule).h.cols(0, 3),
                                   track(*dmse, first, r, rule).h, "absdiff", 0.0));
  }
}

/// NMSE in dB and predicted over measured error of slots 4 .., over links of a cluster mixture.
struct Tracked {
  double alone, sum, kalman, ratio;
  Tracked(double a, double sigma2, double told_a) {
    Rng rng = test_rng(9);
    const GaussianMixture prior = cluster_mixture(16, 8, 8, rng);
    const std::shared_ptr<const ObservationOperator> A = make_identity_observation(16, 1);
    const auto dmse = make_dmse(A, make_gaussian_mixture_denoiser(prior), one_call());
    arma::cx_mat C(16, 16, arma::fill::zeros);
    for (const arma::cx_mat& each : prior.covariances) C += each / 16.0;
    double e_alone = 0.0, e_sum = 0.0, e_kalman = 0.0, predicted = 0.0, power = 0.0;
    for (arma::uword link = 0; link < 160; ++link) {
      Observation observation;
      observation.sigma2 = sigma2;
      const arma::cx_mat h =
          gauss_markov(covariance_factor(prior.covariances[link % 16]), a, 12, rng);
      observation.y = h + rng.cx_normal(16, 12, sigma2);
      const Estimate tracked = track(*dmse, observation, gauss_markov_correlation(told_a, 12));
      const auto error = [&](const arma::cx_mat& h_hat) {
        return arma::accu(arma::square(arma::abs(h_hat.tail_cols(8) - h.tail_cols(8))));
      };
      e_sum += error(tracked.h);
      e_alone += error(dmse->estimate(observation).h);
      e_kalman += error(kalman_filter(*A, C, a, observation).h);
      predicted += arma::accu(tracked.mse.tail(8));
      power += arma::accu(arma::square(arma::abs(h.tail_cols(8))));
    }
    alone = to_db(e_alone / power);
    sum = to_db(e_sum / power);
    kalman = to_db(e_kalman / power);
    ratio = predicted / e_sum;
    seen("alone", alone);
    seen("sum", sum);
    seen("kalman", kalman);
    seen("ratio", ratio);
  }
  static DmseOptions one_call() {
    DmseOptions options;
    options.rule = ReverseRule::fixed_steps;
    options.n_steps = 1;
    return options;
  }
};

// Distances are a third of what was seen, and ten standard errors or more.
TEST(Tracking, OfSlowClustersIsBetterThanEachSlotAndThanOneCovariance) {
  const Tracked slow(0.99, 1.0, 0.99);
  EXPECT_LT(slow.sum, slow.alone - 1.0);
  EXPECT_LT(slow.sum, slow.kalman - 1.0);
  EXPECT_NEAR(slow.ratio, 1.0, 0.25);
}

TEST(Tracking, OfFastChannelsLosesNothing) {
  const Tracked fast(0.3, 0.1, 0.3);
  EXPECT_LT(fast.sum, fast.alone + 0.05);
}

TEST(Correlation, IsThatOfTheLinks) {
  Rng rng = test_rng(10);
  const arma::cx_double a = std::polar(0.9, 0.5);
  SlotProducts all;
  for (int i = 0; i < 200; ++i) {
    Observation link;
    link.y = gauss_markov(identity(16), a, 20, rng) + rng.cx_normal(16, 20, 1.0);
    const SlotProducts products = slot_products(link, 4);
    if (i == 0) all = products;
    if (i > 0) all.add(products);
  }
  const arma::cx_vec r = measured_correlation(all, 1.0);
  ASSERT_EQ(r.n_elem, 4U);
  EXPECT_EQ(r(0), 1.0);
  for (arma::uword j = 1; j < 4; ++j) {
    // About 60800 products of unit power with noise of the same power, correlated over some ten slots: a standard
    // error below 0.015; the margin of 3800 pairs is far below.
    EXPECT_NEAR(std::abs(r(j) - std::pow(a, static_cast<double>(j))), 0.0, 0.05) << j;
  }
}

TEST(Correlation, OfAChannelThatStandsStillIsOneWhateverItsPower) {
  Observation link;
  link.y = arma::repmat(arma::cx_vec(8, arma::fill::value(3.0)), 1, 12);
  const arma::cx_vec r = measured_correlation(slot_products(link, 5), 1e-9);
  EXPECT_LT(arma::abs(r - arma::cx_vec(5, arma::fill::ones)).max(), 1e-8);
  // Slots 0 and 7 have no lag below 5 in common.
  link.y = link.y.cols(0, 1);
  link.samples = {0, 7};
  EXPECT_EQ(arma::abs(measured_correlation(slot_products(link, 5), 1e-9).tail(4)).max(), 0.0);
}

TEST(Correlation, OfNoiseIsNothing) {
  Rng rng = test_rng(12);
  Observation link;
  link.y = rng.cx_normal(16, 500, 1.0);
  const arma::cx_vec r = measured_correlation(slot_products(link, 3), 1.05);
  EXPECT_EQ(arma::abs(r.tail(2)).max(), 0.0);
}

TEST(Tracking, RefusesWhatIsNoSeries) {
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(2, 1);
  const auto ls = make_ls(A);
  Observation link;
  link.sigma2 = 0.1;
  link.y = identity(2);
  link.samples = {3, 2};
  const arma::cx_vec r = gauss_markov_correlation(0.9, 2);
  EXPECT_TRUE(refused([&] { track(*ls, link, r); },
                      "tracking: slot 2 comes after slot 3, expected time order"));
  link.samples = {2, 3};
  EXPECT_TRUE(refused([&] { track(*ls, link, 0.5 * r); },
                      "tracking: the correlation must start with 1 and stay within it"));
  EXPECT_TRUE(refused([&] { gauss_markov_correlation(1.1, 2); },
                      "tracking: the correlation from slot to slot is 1.1, expected 0 .. 1"));
}

/// Observations of 5 channels, 12 slots of each, and the program on them.
struct TrackingProgram {
  TemporaryFolder folder;
  Observation all;
  arma::cx_mat h;

  TrackingProgram() {
    Rng rng = test_rng(20);
    for (int link = 0; link < 5; ++link) {
      h = arma::join_rows(h, gauss_markov(identity(8), 0.99, 12, rng));
    }
    all.sigma2 = 1.0;
    all.y = h + rng.cx_normal(8, 60, 1.0);
    test::write_npy(folder / "y.npy", all.y, 4, 2);
  }
  std::string answer(const std::vector<std::string>& more, const std::string& out = "h.h5") const {
    std::vector<std::string> words{"estimate",
                                   "--observations",
                                   (folder / "y.npy").string(),
                                   "--snr",
                                   "0",
                                   "--estimator",
                                   "ls",
                                   "--force",
                                   "--out",
                                   (folder / out).string()};
    words.insert(words.end(), more.begin(), more.end());
    return answer_of(words);
  }
  arma::cx_mat estimates(const std::string& file = "h.h5") const {
    return Dataset(folder / file).read(0, 60);
  }
};

TEST(TrackingProgram, FollowsEachChannelAsTheLibraryDoes) {
  const TrackingProgram program;
  const std::string answer = program.answer({"--track", "0.99", "--slots", "12"});
  EXPECT_NE(answer.find("by ls, tracked over 5 channels with correlation 0.990 from slot to slot"),
            std::string::npos)
      << answer;
  const auto ls =
      make_ls(std::shared_ptr<const ObservationOperator>(make_identity_observation(4, 2)));
  arma::cx_mat expected;
  for (arma::uword link = 0; link < 5; ++link) {
    Observation slots = program.all;
    slots.y = program.all.y.cols(12 * link, 12 * link + 11);
    expected = arma::join_rows(expected, track(*ls, slots, gauss_markov_correlation(0.99, 16)).h);
  }
  EXPECT_LT(max_difference(program.estimates(), expected), 1e-5);
  // 12 slots that hardly change: an error of some 0.2 in place of 1.
  EXPECT_LT(nmse_db(program.estimates(), program.h), -4.0);
  EXPECT_NE(program.answer({"--track", "auto", "--slots", "12", "--threads", "1"})
                .find("the correlation is measured from 55 pairs of slots alone"),
            std::string::npos);
  const arma::cx_mat measured = program.estimates();
  EXPECT_LT(nmse_db(measured, program.h), -3.5);
  program.answer({"--track", "auto", "--slots", "12", "--threads", "3"});
  EXPECT_EQ(max_difference(program.estimates(), measured), 0.0);
  const std::string attribute =
      ArchiveReader(program.folder / "h.h5").text_attribute("/", "observations").value_or("");
  EXPECT_NE(attribute.find("\"tracking\":{\"correlation\":0.9"), std::string::npos) << attribute;
}

TEST(TrackingProgram, WarnsOfACorrelationThatIsNotThere) {
  const TrackingProgram program;
  // All observations as one channel: five jumps.
  EXPECT_EQ(program.answer({"--track", "0.9", "--slots", "12"}).find("lag behind"),
            std::string::npos);
  TrackingProgram fast;
  Rng rng = test_rng(21);
  test::write_npy(fast.folder / "y.npy", rng.cx_normal(8, 60, 2.0), 4, 2);
  EXPECT_NE(
      fast.answer({"--track", "0.9"}).find("warning: --track 0.9: the observations correlate"),
      std::string::npos);
}

TEST(TrackingProgram, RefusesWhatDoesNotGoTogether) {
  const TrackingProgram program;
  const auto refuses = [&](const std::vector<std::string>& words, const char* text) {
    const std::string answer = program.answer(words);
    EXPECT_NE(answer.find(text), std::string::npos) << answer;
    EXPECT_NE(answer[0], '0') << answer;
  };
  refuses({"--slots", "12"}, "--slots says how long --track follows a channel; give --track too");
  refuses({"--track", "1.5"}, "--track is 1.5, expected auto or a correlation in 0 .. 1");
  refuses({"--track", "auto", "--slots", "1"}, "--slots is 1, expected at least 2");
  refuses({"--track", "auto", "--normalise", "sample"}, "slots of one channel have one scale");
}

}  // namespace
}  // namespace chest
