// A network adapted to a site from received pilots alone.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_adapt.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/estimators/prior/unbiased.hpp>
#include <chest/metrics.hpp>
#include <chest/samples.hpp>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/network.hpp"
#include "tests/support/npy.hpp"
#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

/// Of three standard errors either way.
constexpr double three_standard_errors = 0.0027;

/// 8x4 channels from four places: clusters at angles that are turned by `shift`.
GaussianMixture places(double shift) {
  std::vector<arma::cx_mat> covariances;
  for (int k = 0; k < 4; ++k) {
    const double rx = -0.75 + 0.25 * k + shift, tx = -0.5 + 0.25 * k + shift;
    covariances.push_back(
        arma::kron(cluster_covariance(4, tx, 0.05), cluster_covariance(8, rx, 0.03)));
  }
  return equal_mixture(covariances);
}
GaussianMixture site_prior() { return places(0.37); }

struct SitePilotsDrawn {
  arma::cx_mat h;
  ReceivedPilots pilots;
};

SitePilotsDrawn observed(const GaussianMixture& prior, arma::uword n, double snr_db,
                         std::uint64_t stream) {
  Rng rng = test_rng(22, stream);
  SitePilotsDrawn out;
  out.h = draw(prior, n, rng);
  const double sigma2 = from_db(-snr_db);
  out.pilots.y = out.h + rng.cx_normal(out.h.n_rows, n, sigma2);
  out.pilots.sigma2 = arma::vec(n, arma::fill::value(sigma2));
  return out;
}

std::shared_ptr<const ObservationOperator> identity() { return make_identity_observation(8, 4); }

/// A small network fitted to some places, and calibrated there.
NetworkModel fitted_to(const GaussianMixture& prior) {
  Rng rng = test_rng(20);
  const SampleReader train = samples_in_memory(draw(prior, 6000, rng), 8, 4);
  const SampleReader held = samples_in_memory(draw(prior, 400, rng), 8, 4);
  NetworkFitOptions options;
  options.network.hidden = {12, 16, 12};
  options.network.modulated = {0, 1, 2};
  options.network.embedding = 8;
  options.max_epochs = 20;
  options.batch = 32;
  NetworkModel model = fit_network(train, held, options);
  const auto denoiser = make_network_denoiser(model);
  model.calibration = calibrate(*denoiser, held, 1, 1);
  model.errors = measure_errors(*denoiser, held, arma::vec{1e-3, 1e-2, 0.1, 1.0, 10.0}, 1,
                                ErrorDetail::angular);
  return model;
}

/// Models that tests/golden/adapt/make.sh wrote: of the places before they turned, and after.
constexpr const char* foreign_file = CHEST_SOURCE_DIR "/tests/golden/adapt/foreign.h5";
constexpr const char* clean_file = CHEST_SOURCE_DIR "/tests/golden/adapt/clean.h5";

const NetworkModel& foreign_model() {
  static const NetworkModel model = load_network_model(foreign_file);
  return model;
}

double nmse_at(const Denoiser& denoiser, const arma::cx_mat& h, double snr_db) {
  Rng rng = test_rng(23);
  const arma::cx_mat y = h + rng.cx_normal(h.n_rows, h.n_cols, from_db(-snr_db));
  return nmse(denoiser.denoise(y, from_db(-snr_db)), h);
}

AdaptOptions short_fit() {
  AdaptOptions options;
  options.max_epochs = 4;
  options.batch = 64;
  options.learning_rate = 1e-2;
  return options;
}

// By hand: tests/golden/adapt/make.sh.
TEST(Adapt, DISABLED_MakesItsModels) {
  std::filesystem::create_directories(std::filesystem::path(foreign_file).parent_path());
  save(foreign_file, fitted_to(places(0.0)));
  save(clean_file, fitted_to(site_prior()));
}

TEST(Adapt, ErrorsOfANetworkAreUnbiased) {
  const NetworkModel& model = foreign_model();
  const auto denoiser = make_network_denoiser(model);
  const SitePilotsDrawn site = observed(site_prior(), 600, 10.0, 1);
  for (const double level : {0.1, 0.13, 0.2, 1.0, 10.0}) {
    Observation keys;
    keys.y.set_size(1, 600);
    ColumnNoise noise(keys, 1), same(keys, 1);
    const arma::vec unbiased =
        unbiased_errors(*denoiser, site.pilots.y, site.pilots.sigma2, level, noise);
    const Recorrupted pair = recorrupt(site.pilots.y, site.pilots.sigma2, level, same);
    const arma::vec truth = squared_errors(denoiser->denoise(pair.x, level), site.h);
    EXPECT_TRUE(mean_is(unbiased - truth, 0.0, three_standard_errors)) << level;
  }
}

TEST(Adapt, ProbesAgreeWithTheExactTraceOfANetwork) {
  NetworkConfig config;
  config.hidden = {6, 8};
  config.modulated = {0, 1};
  config.embedding = 4;
  const NetworkModel model = random_network_model(4, 3, config);
  const auto denoiser = make_network_denoiser(model);
  Rng rng = test_rng(2);
  const arma::cx_mat x = rng.cx_normal(12, 1, 1.2);
  constexpr double level = 0.2;
  // Row by row: the gradient of each real coordinate of D.
  const auto at_x = denoiser->linearise(x, level);
  double exact = 0.0;
  for (arma::uword i = 0; i < 12; ++i) {
    for (const arma::cx_double unit : {arma::cx_double(1.0, 0.0), arma::cx_double(0.0, 1.0)}) {
      arma::cx_mat w(12, 1, arma::fill::zeros), gradient;
      w(i) = unit;
      at_x->pull_back(w, gradient);
      exact += std::real(std::conj(unit) * gradient(i));
    }
  }
  constexpr arma::uword n = 4000;
  const arma::cx_mat repeated = arma::repmat(x, 1, n);
  Observation keys;
  keys.y.set_size(1, n);
  ColumnNoise noise(keys, 1);
  const arma::vec traces =
      probed_traces(*denoiser, repeated, level, denoiser->denoise(repeated, level),
                    arma::regspace<arma::uvec>(0, n - 1), noise);
  // A difference over 0.03 of the noise crosses kinks of the ReLUs: a percent of the trace.
  const double se = arma::stddev(traces) / std::sqrt(static_cast<double>(n));
  EXPECT_NEAR(arma::mean(traces), exact, 3.0 * se + 0.01 * std::abs(exact));
}

TEST(Adapt, RecoversWhatAForeignPriorLoses) {
  const NetworkModel& model = foreign_model();
  const GaussianMixture prior = site_prior();
  const SitePilotsDrawn fit = observed(prior, 1000, 10.0, 1), held = observed(prior, 100, 10.0, 2);
  AdaptOptions options = short_fit();
  options.max_epochs = 12;
  const Adaptation found = adapt_network(model, identity(), fit.pilots, held.pilots, options);
  ASSERT_TRUE(found.refusal.empty()) << found.refusal;
  EXPECT_LT(found.change, -2.0 * found.change_error);
  EXPECT_TRUE(found.recalibrated);
  const auto before = make_network_denoiser(model), after = make_network_denoiser(found.model);
  const auto clean = make_network_denoiser(load_network_model(clean_file));
  const auto exact = make_gaussian_mixture_denoiser(prior);
  const arma::cx_mat h = observed(prior, 1000, 10.0, 3).h;
  for (const auto& [snr_db, least_recovered] :
       {std::pair{-10.0, 0.65}, std::pair{0.0, 0.75}, std::pair{10.0, 0.5}}) {
    const double loss = nmse_at(*before, h, snr_db), left = nmse_at(*after, h, snr_db);
    const double least = nmse_at(*clean, h, snr_db);
    const double recovered = (loss - left) / (loss - least);
    // Of what the network loses that was fitted elsewhere, against one fitted to the channels themselves.
    // A longer fit in smaller batches: the next test.
    EXPECT_GT(recovered, least_recovered) << snr_db << " dB";
    EXPECT_GT(left, nmse_at(*exact, h, snr_db)) << snr_db << " dB";
  }
  // Where the observations say nothing it is what it was, or better.
  for (const double snr_db : {20.0, 30.0}) {
    EXPECT_LT(nmse_at(*after, h, snr_db), 1.02 * nmse_at(*before, h, snr_db)) << snr_db << " dB";
  }
  // The estimates of the error are those of channels.
  for (arma::uword i = 0; i < found.snr_db.n_elem; ++i) {
    const double truth = nmse_at(*after, h, found.snr_db(i));
    EXPECT_NEAR(found.after(i), truth, 0.2 * truth + 0.004) << found.snr_db(i);
  }
  // And so is the calibration, of which the prediction is made.
  const Calibration& calibration = found.model.calibration;
  for (arma::uword i = 0; i < calibration.snr_db.n_elem; ++i) {
    const double snr_db = calibration.snr_db(i);
    if (snr_db > 7.0) continue;
    const double sigma2 = from_db(-snr_db);
    Rng rng = test_rng(24, i);
    arma::cx_mat D;
    DenoiserError error;
    after->denoise_with_error(h + rng.cx_normal(h.n_rows, h.n_cols, sigma2), sigma2, D, error);
    const double measured = arma::accu(squared_errors(D, h)) / arma::accu(error.mse);
    EXPECT_NEAR(to_db(calibration.mse_ratio(i)), to_db(measured), 1.0) << snr_db;
  }
}

// By hand, two minutes: the figures of docs/adapt.md.
TEST(Adapt, DISABLED_RecoversNineTenthsInALongFit) {
  const GaussianMixture prior = site_prior();
  const SitePilotsDrawn fit = observed(prior, 1000, 10.0, 1), held = observed(prior, 200, 10.0, 2);
  AdaptOptions options;
  options.max_epochs = options.patience = 60;
  const Adaptation found =
      adapt_network(foreign_model(), identity(), fit.pilots, held.pilots, options);
  ASSERT_TRUE(found.refusal.empty()) << found.refusal;
  const auto before = make_network_denoiser(foreign_model()),
             after = make_network_denoiser(found.model),
             clean = make_network_denoiser(load_network_model(clean_file));
  const arma::cx_mat h = observed(prior, 4000, 10.0, 3).h;
  for (const auto& [snr_db, least_recovered] :
       {std::pair{-10.0, 0.9}, std::pair{0.0, 0.9}, std::pair{5.0, 0.9}, std::pair{10.0, 0.7}}) {
    const double loss = nmse_at(*before, h, snr_db), left = nmse_at(*after, h, snr_db);
    const double recovered = (loss - left) / (loss - nmse_at(*clean, h, snr_db));
    std::printf("%g dB: %.2f\n", snr_db, recovered);
    EXPECT_GT(recovered, least_recovered) << snr_db << " dB";
  }
}

TEST(Adapt, GivesTheSameBitsForAnyNumberOfThreads) {
  const NetworkModel& model = foreign_model();
  const SitePilotsDrawn fit = observed(site_prior(), 40, 5.0, 1),
                        held = observed(site_prior(), 20, 5.0, 2);
  AdaptOptions options = short_fit();
  options.max_epochs = 2;
  options.batch = 64;
  options.n_threads = 1;
  const auto weights = [&] {
    return adapt_network(model, identity(), fit.pilots, held.pilots, options).model.weights;
  };
  const std::vector<NamedTensor> one = weights();
  options.n_threads = 3;
  const std::vector<NamedTensor> three = weights();
  options.seed = 2;
  const std::vector<NamedTensor> other = weights();
  ASSERT_EQ(one.size(), three.size());
  bool differs = false;
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].values, three[i].values) << one[i].name;
    differs = differs || one[i].values != other[i].values;
  }
  EXPECT_TRUE(differs);
}

TEST(Adapt, ChangesTheLastLayersAloneWhereAsked) {
  const NetworkModel& model = foreign_model();
  const SitePilotsDrawn fit = observed(site_prior(), 40, 5.0, 1),
                        held = observed(site_prior(), 20, 5.0, 2);
  AdaptOptions options = short_fit();
  options.max_epochs = 1;
  options.layers = AdaptedLayers::last;
  const NetworkModel adapted =
      adapt_network(model, identity(), fit.pilots, held.pilots, options).model;
  ASSERT_EQ(adapted.weights.size(), model.weights.size());
  const std::string last = "conv" + std::to_string(model.network.hidden.size());
  for (std::size_t i = 0; i < model.weights.size(); ++i) {
    const std::string& name = model.weights[i].name;
    const bool may = name.rfind(last, 0) == 0 || name.rfind("modulation", 0) == 0;
    EXPECT_EQ(adapted.weights[i].values != model.weights[i].values, may) << name;
  }
}

TEST(Adapt, LearnsFromNoiseThatDiffersAndFromFewPilots) {
  const NetworkModel& model = foreign_model();
  const GaussianMixture prior = site_prior();
  SitePilotsDrawn fit = observed(prior, 300, 10.0, 1), held = observed(prior, 60, 10.0, 2);
  Rng rng = test_rng(25);
  for (SitePilotsDrawn* drawn : {&fit, &held}) {
    for (arma::uword k = 0; k < drawn->h.n_cols; ++k) {
      drawn->pilots.sigma2(k) = from_db(-15.0 * rng.uniform());
      drawn->pilots.y.col(k) = drawn->h.col(k) + rng.cx_normal(32, 1, drawn->pilots.sigma2(k));
    }
  }
  const Adaptation mixed = adapt_network(model, identity(), fit.pilots, held.pilots, short_fit());
  EXPECT_TRUE(mixed.refusal.empty()) << mixed.refusal;
  const arma::cx_mat h = observed(prior, 400, 10.0, 3).h;
  const auto before = make_network_denoiser(model), after = make_network_denoiser(mixed.model);
  EXPECT_LT(nmse_at(*after, h, 0.0), 0.8 * nmse_at(*before, h, 0.0));

  const std::shared_ptr<const ObservationOperator> A =
      make_kronecker_observation(qpsk_rows(3, 4, rng).st(), 8);
  for (SitePilotsDrawn* drawn : {&fit, &held}) {
    const arma::uword n = drawn->h.n_cols;
    drawn->pilots.sigma2.fill(0.03);
    drawn->pilots.y = A->apply(drawn->h) + rng.cx_normal(A->n_obs(), n, 0.03);
  }
  const Adaptation few = adapt_network(model, A, fit.pilots, held.pilots, short_fit());
  EXPECT_TRUE(few.refusal.empty()) << few.refusal;
  EXPECT_FALSE(few.recalibrated);
  EXPECT_LT(nmse_at(*make_network_denoiser(few.model), h, 0.0), nmse_at(*before, h, 0.0));
}

TEST(Adapt, RefusesWhatDoesNotHelp) {
  const NetworkModel& model = foreign_model();
  const SitePilotsDrawn fit = observed(site_prior(), 100, 5.0, 1),
                        held = observed(site_prior(), 50, 5.0, 2);
  AdaptOptions wild = short_fit();
  wild.max_epochs = 2;
  wild.learning_rate = 1.0;
  std::string warning;
  const auto found = [&](const AdaptOptions& options, double told_db) {
    ReceivedPilots to_fit = fit.pilots, to_judge = held.pilots;
    to_fit.sigma2.fill(from_db(-told_db));
    to_judge.sigma2.fill(from_db(-told_db));
    RunControl control;
    control.on_warning = [&](const std::string& text) { warning += text; };
    return adapt_network(model, identity(), to_fit, to_judge, options, control);
  };
  EXPECT_FALSE(found(wild, 5.0).refusal.empty());
  EXPECT_EQ(warning, "");
  wild.max_epochs = 1;
  found(wild, 20.0);
  EXPECT_NE(warning.find("dB above the noise that is said of them"), std::string::npos) << warning;
  EXPECT_TRUE(refused([&] { found(short_fit(), 0.0); }, "less noise than is said"));
}

TEST(Adapt, RefusesWhatItCannotTake) {
  NetworkModel model = foreign_model();
  const SitePilotsDrawn fit = observed(site_prior(), 20, 5.0, 1),
                        held = observed(site_prior(), 8, 5.0, 2);
  const auto with = [&](const std::shared_ptr<const ObservationOperator>& A,
                        const ReceivedPilots& to_fit, const ReceivedPilots& to_judge,
                        const AdaptOptions& options = {}) {
    adapt_network(model, A, to_fit, to_judge, options);
  };
  AdaptOptions options;
  options.learning_rate = -1.0;
  EXPECT_TRUE(refused([&] { with(identity(), fit.pilots, held.pilots, options); },
                      "adapt: learning_rate is -1"));
  ReceivedPilots few = held.pilots;
  few.y.shed_col(0);
  few.sigma2.shed_row(0);
  EXPECT_TRUE(refused([&] { with(identity(), fit.pilots, few); },
                      "there are 7 kept back, expected at least 8"));
  EXPECT_TRUE(refused(
      [&] {
        with(identity(), {fit.pilots.y, few.sigma2}, held.pilots);
      },
      "sigma2 has 7 values for 20"));
  EXPECT_TRUE(refused([&] { with(make_identity_observation(4, 8), fit.pilots, held.pilots); },
                      "the model is for 8x4"));
  EXPECT_TRUE(refused(
      [&] {
        with(make_mask_observation(arma::uvec{0, 1}, 32), fit.pilots, held.pilots);
      },
      "expected the identity or pilots"));
  EXPECT_TRUE(refused(
      [&] {
        with(make_kronecker_observation(arma::cx_mat(4, 1, arma::fill::ones), 8), fit.pilots,
             held.pilots);
      },
      "y has 32 rows, A has 8"));
  model.grid.R_rx = arma::cx_mat(8, 8, arma::fill::eye);
  EXPECT_TRUE(refused([&] { with(identity(), fit.pilots, held.pilots); }, "model is for grids"));
  EXPECT_TRUE(refused([&] { adapted_layers_from_string("first"); }, "use all or last"));
}

// The program, from files.
class AdaptProgram : public testing::Test {
 protected:
  void SetUp() override { save(file("foreign.h5"), foreign_model()); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(const std::string& name, const arma::cx_mat& y, arma::uword n_slots = 4) const {
    test::write_npy(folder_ / name, y, 8, n_slots);
    return file(name);
  }
  std::string answer(const std::vector<std::string>& more) const {
    std::vector<std::string> words{"adapt", file("foreign.h5"), "--out", file("out.h5"), "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    return answer_of(words);
  }
  bool written() const { return std::filesystem::exists(file("out.h5")); }
  TemporaryFolder folder_;
};

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(AdaptProgram, WritesAModelThatSaysWhatItIs) {
  const SitePilotsDrawn site = observed(site_prior(), 250, 5.0, 1);
  // Another power, an outlier and a sample that is not there.
  arma::cx_mat y = 30.0 * site.pilots.y;
  y.col(3).fill(arma::datum::nan);
  y.col(4) *= 1e3;
  const std::string observations = write("y.npy", y);
  const std::string said =
      answer({"--observations", observations, "--snr", "5", "--normalise", "dataset", "--skip-bad",
              "--epochs", "4", "--batch", "32", "--learning-rate", "0.006"});
  ASSERT_EQ(said.substr(0, 2), "0 ") << said;
  EXPECT_TRUE(holds(said, "adapted from")) << said;
  EXPECT_TRUE(holds(said, "with 198 observations")) << said;
  EXPECT_TRUE(holds(said, "1 observations are more than 20 dB stronger")) << said;
  const NetworkModel model = load_network_model(file("out.h5"));
  EXPECT_NEAR(model.channel_scale, 1.0 / 30.0, 0.1 / 30.0);
  const std::string info = answer_of({"info", file("out.h5")});
  EXPECT_TRUE(
      holds(info, "adapted   from foreign.h5 with 198 observations, pilots identity at 5 dB"))
      << info;
  EXPECT_TRUE(holds(info, "from noisy observations")) << info;
  // It estimates as any model does, and its own observations are known to it.
  const std::string estimated =
      answer_of({"estimate", "--observations", observations, "--snr", "5", "--normalise", "dataset",
                 "--skip-bad", "--model", file("out.h5"), "--out", file("h.h5"), "--quiet"});
  EXPECT_EQ(estimated.substr(0, 2), "0 ") << estimated;
  EXPECT_TRUE(holds(estimated, "fitted on samples")) << estimated;
  EXPECT_TRUE(
      holds(answer({"--observations", observations, "--snr", "5"}), "exists; give --force"));
}

// What comes out of a prior for many arrays is one of the site's arrays.
TEST_F(AdaptProgram, TakesTheSizeOfTheSiteFromAModelOfMany) {
  Rng rng = test_rng(9);
  // One cluster of the kind that the prior knows, always at the same place.
  arma::cx_mat C = arma::kron(cluster_covariance(3, 0.2, 0.3), cluster_covariance(10, 0.1, 0.03));
  C.diag() += 1e-6;
  arma::cx_mat y = arma::chol(C, "lower") * rng.cx_normal(10 * 3, 300);
  y += rng.cx_normal(y.n_rows, y.n_cols, 0.3);
  const TemporaryFolder site;
  test::write_npy(site / "y.npy", y, 10, 3);
  const std::string out = (site / "site.h5").string();
  const std::string said = answer_of({"adapt", CHEST_SOURCE_DIR "/models/scm_arrays.h5",
                                      "--observations", (site / "y.npy").string(), "--snr", "5.23",
                                      "--epochs", "2", "--out", out, "--quiet"});
  EXPECT_NE(said.find("dmse, 10x3, adapted from"), std::string::npos) << said;
  const NetworkModel model = load_network_model(out);
  EXPECT_TRUE(model.arrays.empty() && model.n_rx == 10 && model.n_tx == 3);
}

TEST_F(AdaptProgram, WritesNothingWhereTheGuardSpeaks) {
  const SitePilotsDrawn site = observed(site_prior(), 120, 5.0, 1);
  const std::string observations = write("y.npy", site.pilots.y);
  const std::string wild = answer(
      {"--observations", observations, "--snr", "5", "--learning-rate", "3", "--epochs", "1"});
  EXPECT_EQ(wild.substr(0, 2), "1 ") << wild;
  EXPECT_TRUE(holds(wild, "nothing was written")) << wild;
  const std::string loud =
      answer({"--observations", observations, "--snr", "0", "--normalise", "1"});
  EXPECT_EQ(loud.substr(0, 2), "2 ") << loud;
  EXPECT_TRUE(holds(loud, "less noise than is said")) << loud;
  EXPECT_FALSE(written());
}

TEST_F(AdaptProgram, TakesAnSnrForEachObservation) {
  const SitePilotsDrawn site = observed(site_prior(), 60, 5.0, 1);
  const std::string observations = write("y.npy", site.pilots.y);
  test::write_npy(folder_ / "snr.npy", arma::vec(60, arma::fill::value(5.0)));
  const std::vector<std::string> rest{"--epochs", "2",  "--seed",          "3",
                                      "--batch",  "64", "--learning-rate", "0.006"};
  const auto weights = [&](const std::string& snr) {
    std::vector<std::string> words{"--observations", observations, "--snr", snr, "--force"};
    words.insert(words.end(), rest.begin(), rest.end());
    const std::string said = answer(words);
    EXPECT_EQ(said.substr(0, 2), "0 ") << said;
    return load_network_model(file("out.h5")).weights.front().values;
  };
  const std::vector<float> one = weights("5");
  EXPECT_EQ(weights(file("snr.npy")), one);
}

}  // namespace
}  // namespace chest
