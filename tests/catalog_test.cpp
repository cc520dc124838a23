#include <gtest/gtest.h>

#include <chest/angular.hpp>
#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/spec.hpp>

#include "tests/support/network.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/structured_covariance.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 4, n_tx = 3;

/// Model files of 4x3 channels and what an estimator is made from.
class CatalogTest : public testing::Test {
 protected:
  CatalogTest() {
    context.A = make_identity_observation(n_rx, n_tx);
    context.n_rx = n_rx;
    context.n_tx = n_tx;
  }

  std::filesystem::path lmmse_file(const std::string& name, arma::uword rx = n_rx,
                                   arma::uword tx = n_tx) {
    Rng rng = test_rng(1);
    LmmseModel model;
    model.n_rx = rx;
    model.n_tx = tx;
    model.C = random_covariance(rx * tx, rng);
    save(folder / name, model);
    return folder / name;
  }
  std::filesystem::path gmm_file(const std::string& name) {
    Rng rng = test_rng(1);
    save(folder / name, GmmModel{n_rx, n_tx, random_mixture(n_rx * n_tx, 2, rng), 1.0, "", {}});
    return folder / name;
  }
  void give(const std::vector<std::filesystem::path>& files) {
    context.models = std::make_shared<ModelStore>(files);
  }
  std::unique_ptr<Estimator> make(const std::string& text) {
    return make_estimator(parse_named_options(text), context);
  }
  /// Message of the error that making it raises.
  std::string error_of(const std::string& text) {
    try {
      make(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument) << error.what();
      return error.what();
    }
    return "(no error)";
  }

  TemporaryFolder folder;
  EstimatorContext context;
};

TEST_F(CatalogTest, SuggestsTheNearestNameOrOption) {
  const auto says = [&](const std::string& spec, const std::string& part) {
    EXPECT_NE(error_of(spec).find(part), std::string::npos) << error_of(spec);
  };
  says("lmse", "estimator 'lmse' is unknown; did you mean lmmse?");
  says("banana", "estimator 'banana' is unknown; there are ls, lmmse, ");
  says("dmse:step=3", "option 'step' of dmse is unknown; did you mean steps?");
  says("dmse:banana=3", "option 'banana' of dmse is unknown; there are steps, ");
  says("dmse:published,lmmmse", "option 'lmmmse' of dmse is unknown; did you mean lmmse?");
  says("m,1.h5", "a comma separates estimators");
  EXPECT_EQ(error_of("ls:steps=3"),
            "ls:steps=3: option 'steps' of ls is unknown; did you mean taps?");
}

TEST_F(CatalogTest, SparseEstimatorsKnowThePanelOfMatrices) {
  // One path off every angle of a line of 16 antennas, on one of the panel's.
  const arma::cx_mat side = steering_vectors(4, 2);
  const arma::cx_mat h =
      8.0 * arma::kron(steering_vectors(n_tx, 2).col(1), arma::kron(side.col(3), side.col(6)));
  context.n_rx = 16;
  context.A = make_identity_observation(16, n_tx);
  Rng rng = test_rng(7);
  Observation observation;
  observation.sigma2 = 0.5;
  observation.y = h + std::sqrt(observation.sigma2) * rng.cx_normal(h.n_rows, 1);
  const auto error = [&](const std::string& spec, const PanelShape& panel) {
    context.rx_panel = panel;
    return squared_norm(make(spec)->estimate(observation).h - h);
  };
  EXPECT_LT(error("omp", {4, 4, 1}), 0.5 * error("omp", {}));
  // Where none is asked for: 4 on a line, 2 along the sides of a panel.
  EXPECT_NE(error("sbl:oversampling=2", {4, 4, 1}), error("sbl:oversampling=2", {}));
  EXPECT_EQ(error("sbl", {4, 4, 1}), error("sbl:oversampling=2", {4, 4, 1}));
  EXPECT_EQ(error("sbl", {}), error("sbl:oversampling=4", {}));
  EXPECT_EQ(error("sbl", {1, 16, 1}), error("sbl", {}));
  context.rx_panel = {4, 3, 1};
  EXPECT_EQ(error_of("omp"), "the panel 4x3x1 has 12 antennas, expected 16");
}

TEST_F(CatalogTest, RefusesOptionValuesThatMakeNoSense) {
  EXPECT_EQ(error_of("dmse:steps=0"), "dmse:steps=0: steps is 0, it must be 1 .. 100000");
  EXPECT_EQ(error_of("dmse:steps=two"),
            "dmse:steps=two: steps: 'two' is not a whole number, 0 or more");
  EXPECT_EQ(error_of("dmse:published=half"),
            "dmse:published=half: published is 'half', there are no value and full");
  EXPECT_EQ(error_of("dmse:published,steps=2"),
            "dmse:published,steps=2: published, steps and scheduler exclude each other");
  EXPECT_EQ(error_of("dmse:prior=gmn"),
            "dmse:prior=gmn: prior is 'gmn', there are network, gmm and lmmse (did you mean gmm?)");
  EXPECT_EQ(error_of("dmse:bfloat16,prior=gmm"),
            "dmse:bfloat16,prior=gmm: bfloat16 has no effect here, it is for prior=network; an "
            "exact prior is computed in double");
  EXPECT_EQ(error_of("lmmse:loading=-1"), "lmmse:loading=-1: loading is -1, it must be >= 0");
  EXPECT_EQ(error_of("lmmse:loading=x"), "lmmse:loading=x: loading: 'x' is not a number");
  EXPECT_EQ(error_of("omp:oversampling=65"),
            "omp:oversampling=65: oversampling is 65, it must be 1 .. 64");
  EXPECT_EQ(error_of("omp:false_discovery=0"),
            "omp:false_discovery=0: false_discovery is 0, it must be > 0 and < 1");
  EXPECT_EQ(error_of("omp:sparsity=3,false_discovery=0.5"),
            "omp:sparsity=3,false_discovery=0.5: false_discovery has no effect here, it is for "
            "sparsity=0");
  EXPECT_EQ(error_of("sbl:iterations=100001"),
            "sbl:iterations=100001: iterations is 100001, it must be 0 .. 100000");
  EXPECT_EQ(error_of("sbl:penalty=-1"), "sbl:penalty=-1: penalty is -1, it must be >= 0");
  EXPECT_EQ(error_of("ls@model.h5"), "ls@model.h5: ls takes no model file");
  EXPECT_EQ(error_of("dmse:probes=10001"),
            "dmse:probes=10001: probes is 10001, it must be 0 .. 10000");
}

TEST_F(CatalogTest, LmmseWithoutAModelOfItsOwnTakesTheMomentsOfADiffusionModel) {
  Rng rng = test_rng(5);
  NetworkModel network = random_network_model(n_rx, n_tx, parse_network("chest:hidden=4"));
  const std::filesystem::path bare = folder / "bare.h5", file = folder / "dmse.h5";
  save(bare, network);
  network.second_moments = structured_covariance(CovarianceKind::toeplitz, n_rx, n_tx, rng);
  save(file, network);
  EXPECT_EQ(max_difference(load_network_model(file).second_moments.dense(),
                           network.second_moments.dense()),
            0.0);
  EXPECT_TRUE(load_network_model(bare).second_moments.empty());

  context.A = make_kronecker_observation(rng.cx_normal(n_tx, 2), n_rx);
  const Observation observation{rng.cx_normal(context.A->n_obs(), 3), 0.1};
  const arma::cx_mat expected =
      make_lmmse(context.A, network.second_moments)->estimate(observation).h;
  const auto distance = [&](const std::string& text) {
    return max_difference(make(text)->estimate(observation).h, expected);
  };
  give({file});
  EXPECT_EQ(distance("lmmse"), 0.0);
  EXPECT_EQ(distance("lmmse@" + file.string()), 0.0);
  // A start of a solver takes those of the solver's network, whatever else was given.
  const std::filesystem::path own = lmmse_file("lmmse.h5");
  give({bare, file, own});
  const auto walk = [&](const std::string& start) {
    return make("diffpir(levels=2,start=" + start + ")@" + file.string())->estimate(observation).h;
  };
  EXPECT_EQ(max_difference(walk("lmmse"), walk("lmmse@" + file.string())), 0.0);
  EXPECT_GT(max_difference(walk("lmmse"), walk("lmmse@" + own.string())), 0.0);
  give({bare});
  EXPECT_NE(error_of("lmmse").find("is a diffusion model without second moments"),
            std::string::npos);
  EXPECT_NE(error_of("diffpir:start=lmmse,levels=2").find("second moments"), std::string::npos);
  // By itself, a model of its own comes first.
  give({own, file});
  EXPECT_LT(max_difference(make("lmmse")->estimate(observation).h,
                           make_lmmse(context.A, load_lmmse_model(own).C)->estimate(observation).h),
            1e-15);
  // Of other antennas: damaged.
  network.second_moments = structured_covariance(CovarianceKind::dft, n_tx, n_rx, rng);
  save(file, network);
  EXPECT_THROW(load_network_model(file), Error);
}

TEST_F(CatalogTest, TakesAnSnrThatIsUnknownOrOff) {
  give({lmmse_file("lmmse.h5")});
  EXPECT_EQ(error_of("lmmse:snr=3"),
            "lmmse:snr=3: snr is '3', it must be unknown, or an error in dB with its sign: +3, -3");
  EXPECT_EQ(error_of("lmmse:snr=+x"), "lmmse: snr: 'x' is not a number");
  const arma::cx_mat y = test_rng(2).cx_normal(n_rx * n_tx, 3, 2.0);
  EXPECT_EQ(make("lmmse:snr=unknown")->estimate({y, 1.0}).sigma2.n_elem, 3u);
  EXPECT_TRUE(make("lmmse:snr=+3")->estimate({y, 1.0}).sigma2.is_empty());
}

TEST_F(CatalogTest, SaysWhichCommandMakesAMissingModel) {
  EXPECT_EQ(
      error_of("lmmse"),
      "lmmse: no model of kind lmmse was given; make one with 'chest fit lmmse --channels FILE "
      "--out MODEL' and name it with --model MODEL");
  EXPECT_EQ(
      error_of("dmse:steps=1"),
      "dmse:steps=1: no model of kind dmse was given; make one with 'chest fit dmse --channels "
      "FILE --out MODEL' or 'chest import WEIGHTS --out MODEL' and name it with --model MODEL");
  EXPECT_NE(error_of("gmm").find("no mixture is known"), std::string::npos);
  EXPECT_NE(error_of("genie").find("without the covariances"), std::string::npos);
}

TEST_F(CatalogTest, NamesTheModelsWhenSeveralOfAKindWereGiven) {
  const auto a = lmmse_file("a.h5"), b = lmmse_file("b.h5");
  give({a, b});
  EXPECT_EQ(error_of("lmmse"), "lmmse: 2 models of kind lmmse were given (" + a.string() + " and " +
                                   b.string() + "); name the one to use, as in lmmse@" +
                                   a.string());
  EXPECT_EQ(make("lmmse@" + b.string())->name(), "lmmse@" + b.string());
  give({a, a});  // one file named twice is one model
  EXPECT_EQ(make("lmmse")->name(), "lmmse");
}

TEST_F(CatalogTest, RefusesModelsOfOtherChannelSizesAndKinds) {
  const auto other = lmmse_file("other.h5", 8, 2);
  give({other});
  EXPECT_EQ(error_of("lmmse"), "lmmse: the model " + other.string() +
                                   " is for 8x2 channels, these are 4x3; fit a model on such "
                                   "channels");
  EXPECT_EQ(error_of("gmm@" + other.string()), "gmm@" + other.string() + ": " + other.string() +
                                                   " is a model of kind lmmse, expected one of "
                                                   "kind gmm");
}

TEST_F(CatalogTest, RefusesPilotsBeforeItLooksForAModel) {
  context.A = make_kronecker_observation(dft_pilots(n_tx, 2), n_rx);
  for (const char* text : {"dmse:steps=2", "dmse:published", "dmse:probes=2"}) {
    EXPECT_NE(error_of(text).find("use 3 or more orthogonal pilots"), std::string::npos) << text;
  }
}

TEST_F(CatalogTest, RefusesAnObservationOfAnotherSize) {
  context.n_rx = 5;
  EXPECT_EQ(error_of("ls"), "ls: the channels are 5x3, A (identity 4x3) is for n_h = 12");
}

TEST_F(CatalogTest, RefusesFilesThatAreNoModels) {
  EXPECT_THROW(ModelStore({folder / "missing.h5"}), Error);
  write_text_file(folder / "text.h5", "not HDF5");
  EXPECT_THROW(ModelStore({folder / "text.h5"}), Error);
  {
    ArchiveWriter archive(folder / "channels.h5");
    write_provenance(archive, "chest-channels", 1, {});
    archive.commit();
  }
  try {
    ModelStore({folder / "channels.h5"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::format);
    EXPECT_NE(std::string(error.what()).find("expected a chest-model file"), std::string::npos);
  }
}

TEST_F(CatalogTest, ReadsAModelOnceForAllSpecsThatShareIt) {
  const auto file = lmmse_file("lmmse.h5");
  give({file});
  const auto first = make("lmmse");
  std::filesystem::remove(file);
  const auto second = make("lmmse:loading=0.5");
  const auto third = make("dmse:prior=lmmse");
  Rng rng = test_rng(2);
  const Observation observation{rng.cx_normal(12, 3), 0.2};
  EXPECT_LT(max_difference(first->estimate(observation).h, third->estimate(observation).h), 1e-12);
  ASSERT_EQ(context.models->files().size(), 1u);
  EXPECT_EQ(context.models->files()[0].kind, "lmmse");
  EXPECT_EQ(context.models->files()[0].n_rx, 4u);
}

TEST_F(CatalogTest, MixtureOfAModelGoesBeforeThatOfTheChannels) {
  Rng rng = test_rng(5);
  const Observation observation{rng.cx_normal(12, 3), 0.2};
  context.prior = std::make_shared<GaussianMixture>(random_mixture(12, 4, rng));
  const auto of_channels = make("gmm");
  const auto of_channels_dmse = make("dmse:prior=gmm");
  const Estimate estimate = of_channels_dmse->estimate(observation);
  EXPECT_LT(max_difference(of_channels->estimate(observation).h, estimate.h), 1e-10);
  EXPECT_EQ(estimate.nfe, 1u);  // an exact prior needs no second call
  give({gmm_file("gmm.h5")});
  EXPECT_GT(max_difference(make("gmm")->estimate(observation).h, estimate.h), 1e-3);
  EXPECT_EQ(make("dmse:prior=gmm,steps=4")->estimate(observation).nfe, 4u);
}

TEST_F(CatalogTest, DescribesEveryRow) {
  for (const CatalogEntry& entry : built_in().entries()) {
    EXPECT_FALSE(entry.summary.empty()) << entry.name;
    for (const OptionInfo& option : entry.options) {
      EXPECT_FALSE(option.help.empty()) << entry.name << ":" << option.name;
    }
  }
}

}  // namespace
}  // namespace chest
