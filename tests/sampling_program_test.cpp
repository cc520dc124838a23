// chest sample, compare and analyze, and the families of chest generate, as a user runs them.
#include <gtest/gtest.h>

#include <fstream>

#include <nlohmann/json.hpp>

#include <chest/archive.hpp>
#include <chest/channels/dataset.hpp>
#include <chest/estimators/diffusion/sampler.hpp>
#include <chest/metrics.hpp>
#include <chest/text.hpp>

#include "tests/support/program.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

using Words = std::vector<std::string>;

/// Channels 4x3 of a mixture, and models of both exact kinds, made once.
class SamplingProgram : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    done({"generate", "gmm", "--n-rx", "4", "--n-tx", "3", "--n-components", "3", "--n-samples",
          "600", "--out", file("h.h5")});
    done({"fit", "gmm", "--components", "3", "--covariance", "full", "--channels", file("h.h5"),
          "--out", file("gmm.h5")});
    done({"fit", "lmmse", "--channels", file("h.h5"), "--out", file("lmmse.h5")});
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string file(const std::string& name) { return (*folder_ / name).string(); }
  /// stdout of a run that must succeed.
  static std::string done(const Words& words) {
    Program program(words);
    EXPECT_EQ(program.status(), 0) << program.err();
    return program.out();
  }
  /// stderr of a run that must be refused.
  static std::string refused(const Words& words, int status = 2) {
    Program program(words);
    EXPECT_EQ(program.status(), status) << program.err();
    return program.err();
  }
  static bool holds(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
  static std::vector<std::vector<std::string>> csv(const std::string& name) {
    std::vector<std::vector<std::string>> rows;
    std::ifstream in(file(name));
    for (std::string line; std::getline(in, line);) rows.push_back(split(line, ','));
    return rows;
  }

 private:
  static TemporaryFolder* folder_;
};
TemporaryFolder* SamplingProgram::folder_ = nullptr;

TEST_F(SamplingProgram, SamplesAreAChannelFileOfTheirOwn) {
  for (const std::string model : {"gmm.h5", "lmmse.h5"}) {
    const std::string out = file("drawn_" + model);
    EXPECT_TRUE(holds(done({"sample", file(model), "--n-samples", "300", "--calls", "12", "--out",
                            out, "--threads", "3"}),
                      "300 channels 4x3 by "));
    const Dataset dataset(out);
    EXPECT_EQ(dataset.info().n_samples, 300u);
    const auto told = nlohmann::json::parse(dataset.info().model);
    EXPECT_EQ(told["generator"], "sample");
    EXPECT_EQ(told["model"], model);
    EXPECT_EQ(told["calls"], 12);
    EXPECT_FALSE(told["model_hash"].get<std::string>().empty());
    done({"sample", file(model), "--n-samples", "300", "--calls", "12", "--out", file("again.h5"),
          "--threads", "1", "--force"});
    EXPECT_EQ(max_difference(Dataset(file("again.h5")).read(0, 300), dataset.read(0, 300)), 0.0);
    // The first of many are those of few.
    done({"sample", file(model), "--n-samples", "5", "--calls", "12", "--out", file("again.h5"),
          "--force"});
    EXPECT_LT(max_difference(Dataset(file("again.h5")).read(0, 5), dataset.read(0, 5)), 1e-5);
    EXPECT_TRUE(holds(done({"info", out}), "\"generator\":\"sample\""));
  }
}

TEST_F(SamplingProgram, EverySamplerRunsByItsName) {
  const std::string list = done({"sample", "--list"});
  for (const NamedSampler& sampler : samplers()) {
    EXPECT_TRUE(holds(list, sampler.name + ": " + sampler.summary));
    Words words{"sample",  file("gmm.h5"), "--n-samples", "6",
                "--calls", "12",           "--sampler",   sampler.name,
                "--out",   file("one.h5"), "--force"};
    if (sampler.name == "mrs" || sampler.name == "boundary") {
      words.insert(words.end(), {"--mean", file("h.h5")});
    }
    if (sampler.name == "boundary") words.insert(words.end(), {"--reference", file("h.h5")});
    EXPECT_TRUE(holds(done(words), "by " + sampler.name)) << sampler.name;
  }
}

TEST_F(SamplingProgram, SampleDrawsItsLevelsAsAFigure) {
  done({"sample", file("gmm.h5"), "--n-samples", "4", "--out", file("fig.h5"), "--plot",
        file("levels.gp")});
  const std::string script = text_of(file("levels.gp"));
  EXPECT_TRUE(holds(script, "$image_17 << EOD"));  // 3 samples at 6 levels
  EXPECT_TRUE(holds(script, "sigma2 "));
}

TEST_F(SamplingProgram, SampleRefusesWhatHasNoMeaning) {
  const Words base{"sample", file("gmm.h5"), "--out", file("none.h5"), "--n-samples", "3"};
  const auto with = [&](const Words& more) {
    Words all = base;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  EXPECT_TRUE(
      holds(refused({"sample", "--out", file("none.h5")}), "the word after sample is missing"));
  EXPECT_TRUE(holds(refused(with({"--sampler", "dpn"})), "did you mean dpm"));
  EXPECT_TRUE(holds(refused(with({"--sampler", "ddim:order=2"})), "there is no option 'order'"));
  EXPECT_TRUE(holds(refused(with({"--mean", file("h.h5")})),
                    "--mean is for the samplers mrs and boundary"));
  EXPECT_TRUE(holds(refused(with({"--sampler", "mrs"})), "no channels to start from"));
  EXPECT_TRUE(holds(refused(with({"--samples", "0:5"})), "--n-samples says how many"));
  EXPECT_TRUE(holds(refused(with({"--calls", "0"})), "0 calls"));
  EXPECT_TRUE(holds(refused(with({"--plot", file("a.jpg")})), "expected .svg"));
  EXPECT_TRUE(holds(refused({"sample", file("h.h5"), "--out", file("none.h5")}, 1), "h.h5"));
  EXPECT_FALSE(std::filesystem::exists(file("none.h5")));
}

TEST_F(SamplingProgram, CompareTellsAlikeFromDifferent) {
  const std::string alike =
      done({"compare", file("h.h5"), file("h.h5"), "--samples", "0:300", "--samples-b", "300:600",
            "--permutations", "99", "--csv", file("alike.csv"), "--plot", file("alike.gp")});
  EXPECT_TRUE(holds(alike, "no difference was found")) << alike;
  EXPECT_TRUE(holds(text_of(file("alike.gp")), "receive angles"));
  const auto rows = csv("alike.csv");
  EXPECT_EQ(rows.front(), (std::vector<std::string>{"statistic", "value", "value_if_alike", "p"}));
  EXPECT_EQ(rows.size(), 1u + 9u + 12u);  // 8 statistics with p, copies, and 4 errors at 3 SNRs
  done({"generate", "rayleigh", "--n-rx", "4", "--n-tx", "3", "--n-samples", "300", "--out",
        file("other.h5")});
  const std::string apart = done({"compare", file("h.h5"), file("other.h5"), "--n", "200",
                                  "--permutations", "199", "--estimator", "gmm"});
  EXPECT_TRUE(holds(apart, "the sets differ")) << apart;
}

TEST_F(SamplingProgram, CompareRefusesFilesThatDoNotGoTogether) {
  done({"generate", "rayleigh", "--n-rx", "4", "--n-tx", "4", "--n-samples", "9", "--out",
        file("4x4.h5")});
  EXPECT_TRUE(holds(refused({"compare", file("h.h5"), file("4x4.h5")}), "holds channels 4x3"));
  EXPECT_TRUE(holds(refused({"compare", file("h.h5")}), "takes two files"));
  EXPECT_TRUE(holds(refused({"compare"}), "the word after compare is missing"));
  EXPECT_TRUE(holds(refused({"compare", file("h.h5"), file("h.h5"), "--n", "2"}), "at least 4"));
}

TEST_F(SamplingProgram, AnalyzeOfEveryKindHasATableAFileAndAFigure) {
  const std::map<std::string, std::pair<Words, std::size_t>> kinds{
      {"jacobian", {{"--n", "2", "--snr", "0,10"}, 2}},
      {"conservativity", {{"--n", "3", "--snr", "0,10"}, 2}},
      {"dimension", {{"--n", "20", "--snr", "0,10,40"}, 3}},
      {"likelihood", {{"--n", "4", "--steps", "50,100"}, 2}},
      {"invert", {{"--n", "8", "--steps", "10,20"}, 2}},
      {"score", {{"--n", "100", "--snr", "10"}, 1}},
      {"memorise", {{"--counts", "20,200", "--snr", "10", "--drawn", "8"}, 2}}};
  for (const std::string model : {"gmm.h5", "lmmse.h5"}) {
    for (const auto& [kind, more] : kinds) {
      Words words{"analyze",          kind,     file(model),         "--channels",
                  file("h.h5"),       "--csv",  file(kind + ".csv"), "--plot",
                  file(kind + ".gp"), "--force"};
      words.insert(words.end(), more.first.begin(), more.first.end());
      const std::string out = done(words);
      EXPECT_TRUE(holds(out, kind + " of ")) << out;
      const auto rows = csv(kind + ".csv");
      ASSERT_EQ(rows.size(), 1 + more.second) << kind;
      for (const auto& row : rows) EXPECT_EQ(row.size(), rows[0].size()) << kind;
      EXPECT_TRUE(holds(text_of(file(kind + ".gp")), "plot $curve_0_0")) << kind;
    }
  }
  // Known answers arrive at the user: what is exact, is; 200 channels agree where 20 do not.
  EXPECT_LT(to_number(csv("conservativity.csv")[1][1], "asymmetry"), 1e-9);
  EXPECT_LT(to_number(csv("invert.csv")[1][2], "error_bdia"), 1e-9);
  EXPECT_LT(to_number(csv("likelihood.csv")[2][5], "rms_difference"), 0.5);
  EXPECT_LT(to_number(csv("memorise.csv")[2][4], "disagreement"),
            to_number(csv("memorise.csv")[1][4], "disagreement") - 5.0);
}

TEST_F(SamplingProgram, AnalyzeRefusesWhatHasNoMeaning) {
  const auto message = [&](const Words& more) {
    Words all{"analyze"};
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), {"--channels", file("h.h5")});
    return refused(all);
  };
  EXPECT_TRUE(holds(message({"jacobean", file("gmm.h5")}), "jacobian"));
  EXPECT_TRUE(holds(message({"jacobian"}), "model is missing"));
  EXPECT_TRUE(holds(message({"jacobian", file("gmm.h5"), "--steps", "9"}),
                    "--steps is for likelihood and invert, not for jacobian"));
  EXPECT_TRUE(holds(message({"invert", file("gmm.h5"), "--snr", "9"}), "not for invert"));
  EXPECT_TRUE(holds(message({"invert", file("gmm.h5"), "--g", "2"}), "g is 2"));
  EXPECT_TRUE(holds(message({"memorise", file("gmm.h5"), "--counts", "400"}), "there are 600"));
  EXPECT_TRUE(
      holds(refused({"analyze", "score", file("gmm.h5"), "--channels", file("4x4_b.h5")}, 1),
            "4x4_b.h5"));
  done({"generate", "rayleigh", "--n-rx", "4", "--n-tx", "4", "--n-samples", "9", "--out",
        file("4x4_b.h5")});
  EXPECT_TRUE(holds(refused({"analyze", "score", file("gmm.h5"), "--channels", file("4x4_b.h5")}),
                    "is for 4x3"));
}

TEST_F(SamplingProgram, DocumentsNameEverySamplerAndKind) {
  const std::string sampling = text_of(CHEST_SOURCE_DIR "/docs/sampling.md");
  for (const NamedSampler& sampler : samplers()) {
    EXPECT_TRUE(holds(sampling, "`" + sampler.name + "`")) << sampler.name;
  }
  const std::string analysis = text_of(CHEST_SOURCE_DIR "/docs/analysis.md");
  const std::string help = done({"analyze", "--help"});
  for (const std::string kind :
       {"jacobian", "memorise", "conservativity", "dimension", "likelihood", "invert", "score"}) {
    EXPECT_TRUE(holds(analysis, "| `" + kind + "` |")) << kind;
    EXPECT_TRUE(holds(help, kind)) << kind;
  }
}

TEST_F(SamplingProgram, FamiliesTellTheirOptimum) {
  for (const std::string kind : {"power-law", "regions", "paths"}) {
    Words words{"generate", kind,          "--n-rx", "16",    "--n-tx",
                "2",        "--n-samples", "50",     "--out", file(kind + ".h5")};
    if (kind == "paths") words.insert(words.end(), {"--n-paths", "1"});
    done(words);
    const std::string info = done({"info", file(kind + ".h5")});
    EXPECT_TRUE(holds(info, "optimum   NMSE in dB")) << info;
    EXPECT_EQ(holds(info, "prior     the mixture"), kind != "paths");
  }
  EXPECT_TRUE(holds(refused({"generate", "scm", "--alpha", "1", "--out", file("x.h5")}),
                    "--alpha is for power-law"));
  EXPECT_TRUE(holds(refused({"generate", "power-law", "--alpha", "0", "--out", file("x.h5")}),
                    "alpha is 0"));
}

}  // namespace
}  // namespace chest
