// What solvers ask of a network: gradients, blindness, and the errors that a model file keeps.
#include <gtest/gtest.h>

#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/diffusion/coarse_to_fine.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/spec.hpp>
#include <chest/testing/estimator_contract.hpp>
#include <filesystem>
#include <tuple>

#include "tests/support/network.hpp"
#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 6, n_tx = 4, n_h = n_rx * n_tx;

// The gradient of Re<w, D(z)> by central differences; float32 networks want large steps.
arma::cx_vec differences(const Denoiser& denoiser, const arma::cx_vec& z, double sigma2,
                         const arma::cx_vec& w) {
  const double step = 3e-3;
  arma::cx_vec g(z.n_elem);
  for (arma::uword i = 0; i < z.n_elem; ++i) {
    const auto along = [&](arma::cx_double direction) {
      arma::cx_mat up = z, down = z;
      up(i, 0) += step * direction;
      down(i, 0) -= step * direction;
      const arma::cx_mat change = denoiser.denoise(up, sigma2) - denoiser.denoise(down, sigma2);
      return std::real(arma::cdot(w, change.col(0))) / (2.0 * step);
    };
    g(i) = {along({1.0, 0.0}), along({0.0, 1.0})};
  }
  return g;
}

TEST(NetworkGradient, PullBackIsTheGradient) {
  for (const char* text :
       {"chest:hidden=8-8", "chest:bias-free,hidden=8-8", "letter:hidden=8-8,modulated=0"}) {
    SCOPED_TRACE(text);
    const NetworkModel model = random_network_model(n_rx, n_tx, parse_network(text));
    const auto denoiser = make_network_denoiser(model);
    ASSERT_TRUE(denoiser->differentiable());
    Rng rng = test_rng(1);
    const double sigma2 = 0.5;
    // More columns than a micro-batch would hide an order of columns that is wrong.
    const arma::cx_mat z = rng.cx_normal(n_h, 70), w = rng.cx_normal(n_h, 70);
    const auto at = denoiser->linearise(z, sigma2);
    EXPECT_LT(max_difference(at->D(), denoiser->denoise(z, sigma2)), 1e-5);
    arma::cx_mat g;
    at->pull_back(w, g);
    for (const arma::uword k : {arma::uword{0}, arma::uword{69}}) {
      const arma::cx_vec expected = differences(*denoiser, z.col(k), sigma2, w.col(k));
      // ReLU kinks inside the steps cost the differences some digits.
      EXPECT_LT(arma::norm(g.col(k) - expected), 0.02 * arma::norm(expected));
    }
    // The graph is kept: a second pass gives the same, and the pass is real-linear.
    arma::cx_mat twice;
    at->pull_back(2.0 * w, twice);
    EXPECT_LT(max_difference(twice, arma::cx_mat(2.0 * g)), 1e-4);
  }
}

TEST(BiasFree, ScalesWithItsInput) {
  const NetworkModel model =
      random_network_model(n_rx, n_tx, parse_network("chest:bias-free,hidden=8-8"));
  const auto denoiser = make_network_denoiser(model);
  ASSERT_TRUE(denoiser->blind());
  Rng rng = test_rng(2);
  const arma::cx_mat z = rng.cx_normal(n_h, 5);
  arma::cx_mat D, scaled;
  denoiser->denoise_blind(z, D);
  for (const double c : {0.1, 10.0}) {
    denoiser->denoise_blind(c * z, scaled);
    EXPECT_LT(max_difference(scaled, arma::cx_mat(c * D)), 1e-5 * c * arma::norm(D, "fro"));
  }
  // No level is told, so every level gives the same.
  for (const double sigma2 : {1e-3, 0.2, 30.0}) {
    EXPECT_LT(max_difference(denoiser->denoise(z, sigma2), D), 1e-4);
  }
  // D(z) = J z: the derivative along z itself.
  const auto at = denoiser->linearise(z, 1.0);
  arma::cx_mat g;
  const arma::cx_mat w = rng.cx_normal(n_h, 5);
  at->pull_back(w, g);
  for (arma::uword k = 0; k < 5; ++k) {
    EXPECT_NEAR(std::real(arma::cdot(g.col(k), z.col(k))),
                std::real(arma::cdot(w.col(k), D.col(k))), 1e-4 * static_cast<double>(n_h));
  }
}

TEST(BiasFree, OthersMustBeToldTheLevel) {
  const auto denoiser = make_network_denoiser(random_network_model(n_rx, n_tx));
  EXPECT_FALSE(denoiser->blind());
  const auto A = std::shared_ptr<const ObservationOperator>(make_identity_observation(n_rx, n_tx));
  try {
    make_coarse_to_fine(A, std::shared_ptr<const Denoiser>(
                               make_network_denoiser(random_network_model(n_rx, n_tx))));
    FAIL() << "took a denoiser that is not blind";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("bias-free"), std::string::npos) << error.what();
  }
  EXPECT_THROW(parse_network("chest:bias-free,gate"), Error);
  NetworkFitOptions fit;
  fit.network = parse_network("chest:bias-free");
  EXPECT_NE(fit.why_invalid().find("epsilon"), std::string::npos) << fit.why_invalid();
}

TEST(ModelFile, KeepsErrorsAndSolvers) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "model.h5";
  NetworkModel model = random_network_model(n_rx, n_tx);
  Rng rng = test_rng(3);
  model.errors.sigma2 = {0.01, 0.1, 1.0};
  model.errors.mse = {0.005, 0.05, 0.4};
  model.errors.angular = 0.1 + arma::abs(rng.cx_normal(n_h, 3));
  model.solvers.put(
      {"qpsk:2", rng.cx_normal(n_tx, 2), {0.0, 10.0}, {"ep:iterations=10", "diffpir"}, {0.5, 0.1}});
  save(file, model);
  const NetworkModel loaded = load_network_model(file);
  EXPECT_TRUE(arma::approx_equal(loaded.errors.angular, model.errors.angular, "absdiff", 0.0));
  EXPECT_TRUE(arma::approx_equal(loaded.errors.mse, model.errors.mse, "absdiff", 0.0));
  ASSERT_EQ(loaded.solvers.choices.size(), 1u);
  EXPECT_EQ(loaded.solvers.choices[0].solvers, model.solvers.choices[0].solvers);
  EXPECT_EQ(loaded.solvers.choices[0].at(0.1), "diffpir");

  // dmse on other pilots of the same kind runs, and names, what the model chose.
  EstimatorContext context;
  context.A = make_kronecker_observation(rng.cx_normal(n_tx, 2), n_rx);
  context.n_rx = n_rx;
  context.n_tx = n_tx;
  context.models = std::make_shared<ModelStore>(std::vector<std::filesystem::path>{file});
  const auto dmse = make_estimator(parse_named_options("dmse"), context);
  EXPECT_EQ(dmse->method(0.1), "diffpir");
  EXPECT_EQ(dmse->method(1.0), "ep:iterations=10");
  Observation observation;
  observation.sigma2 = 0.1;
  observation.y = rng.cx_normal(context.A->n_obs(), 4);
  const Estimate chosen = dmse->estimate(observation);
  const Estimate named =
      make_estimator(parse_named_options("diffpir"), context)->estimate(observation);
  EXPECT_EQ(max_difference(chosen.h, named.h), 0.0);
  expect_estimator_contract(*dmse, *context.A, observation, 1e-4);
}

/// A model that says what pigdm and dps were tuned to on pilots P.
NetworkModel tuned_model(const arma::cx_mat& P) {
  NetworkModel model = random_network_model(n_rx, n_tx);
  model.errors.sigma2 = {0.01, 0.1, 1.0};
  model.errors.mse = {0.005, 0.05, 0.4};
  model.tuned.at("pigdm", TuningBudget::ours)
      .put({"qpsk:2", P, {0.0, 10.0}, {"pigdm:levels=4", "pigdm:levels=3,walk=fresh"}, {0.5, 0.1}});
  model.tuned.at("pigdm", TuningBudget::published)
      .put({"qpsk:2", P, {0.0}, {"pigdm:levels=6"}, {0.4}});
  model.tuned.at("dps", TuningBudget::ours)
      .put({"qpsk:2", P, {0.0}, {"dps:levels=3,step=2"}, {0.4}});
  return model;
}

// One table per method and budget; dmse's own is another.
TEST(ModelFile, KeepsTunedMethods) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "model.h5";
  Rng rng = test_rng(3);
  NetworkModel model = tuned_model(rng.cx_normal(n_tx, 2));
  save(file, model);
  EXPECT_TRUE(load_network_model(file).solvers.empty());
  model.solvers.put({"qpsk:2", rng.cx_normal(n_tx, 2), {0.0}, {"ep"}, {0.5}});
  save(file, model);
  const NetworkModel loaded = load_network_model(file);
  ASSERT_EQ(loaded.solvers.choices.size(), 1u);
  EXPECT_EQ(loaded.solvers.choices[0].solvers, (std::vector<std::string>{"ep"}));
  ASSERT_EQ(loaded.tuned.methods.size(), 3u);
  for (const TunedMethod& each : model.tuned.methods) {
    const SolverTable* found = loaded.tuned.find(each.method, each.budget);
    ASSERT_NE(found, nullptr) << each.method;
    ASSERT_EQ(found->choices.size(), 1u);
    const SolverChoice &have = found->choices[0], &want = each.table.choices[0];
    EXPECT_EQ(have.solvers, want.solvers);
    EXPECT_EQ(have.pilots, want.pilots);
    EXPECT_TRUE(arma::approx_equal(have.P, want.P, "absdiff", 0.0));
    EXPECT_TRUE(arma::approx_equal(have.mse, want.mse, "absdiff", 0.0));
    EXPECT_TRUE(arma::approx_equal(have.snr_db, want.snr_db, "absdiff", 0.0));
  }
  EXPECT_EQ(loaded.tuned.find("dps", TuningBudget::published), nullptr);
}

TEST(Tuned, RunsWhatTheModelSays) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "model.h5";
  Rng rng = test_rng(5);
  const arma::cx_mat P = rng.cx_normal(n_tx, 2);
  NetworkModel model = tuned_model(P);
  save(file, model);
  EstimatorContext context;
  context.A = make_kronecker_observation(P, n_rx);
  context.n_rx = n_rx;
  context.n_tx = n_tx;
  context.models = std::make_shared<ModelStore>(std::vector<std::filesystem::path>{file});
  const auto make = [&](const std::string& text) {
    return make_estimator(parse_named_options(text), context);
  };
  Observation observation;
  observation.y = rng.cx_normal(context.A->n_obs(), 3);
  const std::vector<std::tuple<std::string, double, std::string>> expected{
      {"pigdm:tuned=ours", 1.0, "pigdm:levels=4"},
      {"pigdm:tuned=ours", 0.1, "pigdm:levels=3,walk=fresh"},
      {"pigdm:tuned=published", 0.1, "pigdm:levels=6"},
      {"dps:tuned=ours", 1.0, "dps:levels=3,step=2"}};
  for (const auto& [text, sigma2, method] : expected) {
    SCOPED_TRACE(text);
    observation.sigma2 = sigma2;
    const auto tuned = make(text);
    EXPECT_EQ(tuned->name(), text);
    EXPECT_EQ(tuned->method(sigma2), method);
    EXPECT_EQ(max_difference(tuned->estimate(observation).h, make(method)->estimate(observation).h),
              0.0);
  }
  observation.sigma2 = 0.1;
  expect_estimator_contract(*make("pigdm:tuned=ours"), *context.A, observation, 1e-3);
  // What the prior takes is handed on.
  EXPECT_EQ(
      max_difference(make("pigdm:tuned=ours,precision=float32")->estimate(observation).h,
                     make("pigdm:levels=3,walk=fresh,precision=float32")->estimate(observation).h),
      0.0);

  EXPECT_TRUE(refused([&] { make("dps:tuned=published"); }, "chest calibrate MODEL --method dps"));
  EXPECT_TRUE(refused([&] { make("score:tuned=ours"); }, "no tuned parameters of score"));
  EXPECT_TRUE(refused([&] { make("pigdm:tuned=ours,levels=3"); }, "levels cannot be given"));
  EXPECT_TRUE(refused([&] { make("pigdm:tuned=our"); }, "published"));
  EXPECT_TRUE(refused([&] { make("pigdm:tuned=ours,prior=gmm"); }, "prior=network"));
  EXPECT_TRUE(refused([&] { make("diffpir:start=sbl,from=1,tuned=ours"); }, "cannot be given"));
  context.A = make_dense_observation(rng.cx_normal(12, n_h));
  EXPECT_TRUE(refused([&] { make("pigdm:tuned=ours"); }, "pilots like these"));
  // A file may say what would never end.
  model.tuned.at("dps", TuningBudget::ours).put({"qpsk:2", P, {0.0}, {"dps:tuned=ours"}, {0.4}});
  save(file, model);
  context.A = make_kronecker_observation(P, n_rx);
  context.models = std::make_shared<ModelStore>(std::vector<std::filesystem::path>{file});
  EXPECT_TRUE(refused([&] { make("dps:tuned=ours"); }, "choose again"));
}

TEST(NetworkSolvers, GradientMethodsRun) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "model.h5";
  NetworkModel model = random_network_model(n_rx, n_tx);
  model.errors.sigma2 = {0.01, 1.0};
  model.errors.mse = {0.005, 0.4};
  save(file, model);
  Rng rng = test_rng(4);
  EstimatorContext context;
  context.A = make_kronecker_observation(rng.cx_normal(n_tx, 2), n_rx);
  context.n_rx = n_rx;
  context.n_tx = n_tx;
  context.models = std::make_shared<ModelStore>(std::vector<std::filesystem::path>{file});
  Observation observation;
  observation.sigma2 = 0.1;
  observation.y = rng.cx_normal(context.A->n_obs(), 3);
  for (const char* text :
       {"pigdm:levels=5", "dps:levels=5", "opc:type=1,levels=4", "opc:variance=head,levels=4",
        "score:levels=4", "flowchef:levels=4", "red-diff:iterations=4", "dds:levels=4", "dmps",
        "smc:particles=3,levels=4", "diffpir:start=ls,from=0.5,levels=3", "ep:iterations=4"}) {
    SCOPED_TRACE(text);
    const auto estimator = make_estimator(parse_named_options(text), context);
    expect_estimator_contract(*estimator, *context.A, observation, 1e-3);
    EXPECT_GE(estimator->estimate(observation).nfe, 3u);
  }
  // Conjugate gradients end when the last channel of a batch does, so calls depend on the batch.
  for (const char* text :
       {"opc:variance=tweedie,levels=4", "opc:variance=tweedie-proper,above=unit,levels=4"}) {
    const Estimate estimate =
        make_estimator(parse_named_options(text), context)->estimate(observation);
    EXPECT_TRUE(estimate.h.is_finite());
    EXPECT_GT(estimate.nfe, 4u);
  }
}

TEST(Program, CalibratesAndRunsTheChoice) {
  const TemporaryFolder folder;
  const std::string model = (folder / "model.h5").string();
  const std::string channels = (folder / "channels.h5").string();
  save(model, random_network_model(n_rx, n_tx));
  Program generate(
      {"generate", "scm", "--n-rx", "6", "--n-tx", "4", "--n-samples", "40", "--out", channels});
  ASSERT_EQ(generate.status(), 0) << generate.err();
  Program calibrate({"calibrate", model, "--channels", channels, "--pilots", "qpsk:2", "--snr=0,10",
                     "--candidates", "sbl,diffpir:levels=3", "--n-channels", "16"});
  ASSERT_EQ(calibrate.status(), 0) << calibrate.err();
  EXPECT_NE(calibrate.out().find("solvers for pilots qpsk:2"), std::string::npos)
      << calibrate.out();
  const NetworkModel calibrated = load_network_model(model);
  ASSERT_EQ(calibrated.solvers.choices.size(), 1u);
  // A network of random weights is no prior.
  EXPECT_EQ(calibrated.solvers.choices[0].solvers, (std::vector<std::string>{"sbl", "sbl"}));
  EXPECT_EQ(calibrated.errors.angular.n_rows, n_h);
  const std::string csv = (folder / "out.csv").string();
  Program sweep({"sweep", "--channels", channels, "--model", model, "--pilots", "qpsk:2",
                 "--estimators", "dmse", "--snr=0", "--csv", csv});
  ASSERT_EQ(sweep.status(), 0) << sweep.err();
  EXPECT_NE(text_of(csv).find(",sbl,"), std::string::npos) << text_of(csv);
  Program itself({"calibrate", model, "--channels", channels, "--candidates", "dmse"});
  EXPECT_EQ(itself.status(), 2);
  Program wrong({"sweep", "--channels", channels, "--model", model, "--pilots", "qpsk:2",
                 "--estimators", "diffpir:walk=feesh"});
  EXPECT_EQ(wrong.status(), 2);
  EXPECT_NE(wrong.err().find("fresh"), std::string::npos) << wrong.err();
}

TEST(Program, TunesOtherMethodsAndLeavesTheRest) {
  const TemporaryFolder folder;
  const std::string model = (folder / "model.h5").string();
  const std::string tuned = (folder / "tuned.h5").string();
  const std::string channels = (folder / "channels.h5").string();
  NetworkModel before = random_network_model(n_rx, n_tx);
  Rng rng = test_rng(6);
  before.errors.sigma2 = {0.01, 1.0};
  before.errors.mse = {0.005, 0.4};
  before.solvers.put({"qpsk:2", rng.cx_normal(n_tx, 2), {0.0}, {"ep"}, {0.5}});
  save(model, before);
  Program generate(
      {"generate", "scm", "--n-rx", "6", "--n-tx", "4", "--n-samples", "40", "--out", channels});
  ASSERT_EQ(generate.status(), 0) << generate.err();
  const std::vector<std::string> common{"calibrate", model,    "--channels", channels,
                                        "--pilots",  "qpsk:2", "--snr=0",    "--n-channels",
                                        "2",         "--out",  tuned};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> args = common;
    args.insert(args.end(), more.begin(), more.end());
    return args;
  };
  Program calibrate(with({"--method", "red-diff,score", "--budget", "ours"}));
  ASSERT_EQ(calibrate.status(), 0) << calibrate.err();
  EXPECT_NE(calibrate.out().find("red-diff:tuned=ours"), std::string::npos) << calibrate.out();
  const NetworkModel after = load_network_model(tuned);
  EXPECT_EQ(after.solvers.choices.at(0).solvers, before.solvers.choices[0].solvers);
  EXPECT_TRUE(arma::approx_equal(after.errors.mse, before.errors.mse, "absdiff", 0.0));
  EXPECT_TRUE(after.calibration.empty());
  ASSERT_EQ(after.tuned.methods.size(), 2u);
  const SolverTable* score = after.tuned.find("score", TuningBudget::ours);
  ASSERT_NE(score, nullptr);
  ASSERT_EQ(score->choices.size(), 1u);
  const std::string csv = (folder / "out.csv").string();
  Program sweep({"sweep", "--channels", channels, "--model", tuned, "--pilots", "qpsk:2",
                 "--estimators", "score:tuned=ours", "--snr=0", "--csv", csv});
  ASSERT_EQ(sweep.status(), 0) << sweep.err();
  EXPECT_NE(text_of(csv).find(score->choices[0].solvers[0]), std::string::npos) << text_of(csv);
  Program info({"info", tuned});
  ASSERT_EQ(info.status(), 0) << info.err();
  EXPECT_NE(info.out().find("score:tuned=ours"), std::string::npos) << info.out();
  // What makes no sense is said before anything is searched.
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong{
      {{"--method", "difpir"}, "did you mean diffpir?"},
      {{"--method", "dps", "--budget", "mine"}, "published"},
      {{"--method", "dps", "--precision-only"}, "precision-only"},
      {{"--budget", "ours"}, "--method"},
      {{"--method", "dps", "--candidates", "ep"}, "candidates"}};
  for (const auto& [args, says] : wrong) {
    std::vector<std::string> all = with(args);
    all.push_back("--force");
    Program refused(all);
    EXPECT_EQ(refused.status(), 2) << refused.err();
    EXPECT_NE(refused.err().find(says), std::string::npos) << refused.err();
  }
}

}  // namespace
}  // namespace chest
