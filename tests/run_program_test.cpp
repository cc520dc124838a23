// chest sweep, link, merge and plot as a user runs them.
#include <gtest/gtest.h>

#include <chest/archive.hpp>

#include <chrono>
#include <csignal>
#include <thread>

#include <chest/file.hpp>
#include <chest/sim/results.hpp>

#include "tests/support/program.hpp"
#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

using Words = std::vector<std::string>;

/// SCM channels 16x4, made once for all tests of this program.
class RunProgram : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    Program generate({"generate", "scm", "--n-rx", "16", "--n-tx", "4", "--n-samples", "2000",
                      "--out", file("channels.h5")});
    ASSERT_EQ(generate.status(), 0) << generate.err();
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string file(const std::string& name) { return (*folder_ / name).string(); }
  /// "sweep" on these channels, with more words.
  static Words words(const std::string& command, const Words& more) {
    Words all{command, "--channels", file("channels.h5")};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  /// stderr of a run that must end with this status.
  static std::string message(int status, const Words& all) {
    Program program(all);
    EXPECT_EQ(program.status(), status) << program.err();
    return program.err();
  }

 private:
  static TemporaryFolder* folder_;
};
TemporaryFolder* RunProgram::folder_ = nullptr;

TEST(MergeProgram, PutsAThousandShardsTogether) {
  // Names so long that the command line does not fit into an attribute of HDF5.
  const TemporaryFolder folder;
  const std::filesystem::path place = folder / std::string(80, 'd');
  std::filesystem::create_directory(place);
  SweepOptions options;
  options.pilots = {parse_pilots("dft:1")};
  options.snr_db = {10.0};
  options.estimators = {"ls"};
  options.block = 1;
  const SampleReader samples = rayleigh_samples(2, 1, 1000);
  const auto run = [&](Shard shard) {
    options.shard = shard;
    return run_sweep(samples, {}, &test_estimators, options);
  };
  Words words{"merge", "--out", (folder / "merged.h5").string()};
  for (arma::uword i = 1; i <= 1000; ++i) {
    words.push_back((place / ("shard_" + std::to_string(i) + ".h5")).string());
    save(words.back(), run({i, 1000}));
  }
  Program merge(words);
  ASSERT_EQ(merge.status(), 0) << merge.err();
  const Results merged = load_results(folder / "merged.h5");
  EXPECT_EQ(merged.sums, run({}).sums);
  EXPECT_GT(merged.provenance.command_line.size(), 65'536u);
  EXPECT_NE(merged.provenance.command_line.find("shard_1000.h5"), std::string::npos);
  Program info({"info", (folder / "merged.h5").string()});
  EXPECT_EQ(info.status(), 0) << info.err();
  EXPECT_NE(info.out().find("shard_1000.h5"), std::string::npos);
}

TEST_F(RunProgram, SweepContinuesAfterKill) {
  const auto sweep = [](const std::string& out) {
    return words("sweep", {"--estimators", "ls,genie", "--snr=-10:5:20", "--pilots", "dft:4,dft:6",
                           "--threads", "2", "--out", file(out)});
  };
  EXPECT_EQ(Program(sweep("whole.h5")).status(), 0);
  Program victim(sweep("killed.h5"));
  // Results are replaced in one step, so the file can be read while the run goes on.
  arma::uword n_finished = 0;
  for (int i = 0; i < 4000 && n_finished == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (!std::filesystem::exists(file("killed.h5"))) continue;
    for (std::uint32_t used : load_results(file("killed.h5")).used) n_finished += used != 0;
  }
  victim.signal(SIGKILL);
  EXPECT_EQ(victim.status(), -SIGKILL);
  ASSERT_GT(n_finished, 0u);
  EXPECT_FALSE(load_results(file("killed.h5")).finished());
  EXPECT_EQ(Program(sweep("killed.h5")).status(), 0);
  EXPECT_EQ(content_without_timings(file("killed.h5")), content_without_timings(file("whole.h5")));

  Words other = sweep("killed.h5");
  other.insert(other.end(), {"--seed", "2"});
  EXPECT_NE(message(2, other).find("holds results of another command (seed is 2 here, 1 there)"),
            std::string::npos);
}

TEST_F(RunProgram, SweepEndsCleanlyOnInterrupt) {
  const Words sweep = words("sweep", {"--estimators", "genie", "--snr=-20:1:40", "--block", "8",
                                      "--out", file("interrupted.h5")});
  Program program(sweep);
  while (!std::filesystem::exists(file("interrupted.h5")))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  program.signal(SIGINT);
  EXPECT_EQ(program.status(), 1);
  EXPECT_NE(program.err().find("sweep: interrupted; run the same command again to continue"),
            std::string::npos);
  EXPECT_NE(program.out().find("not finished"), std::string::npos);
  EXPECT_FALSE(load_results(file("interrupted.h5")).finished());
}

TEST_F(RunProgram, ShardsMergeToTheWhole) {
  const Words what{"--estimators", "ls,genie", "--snr", "0,10", "--pilots", "zadoff-chu:5"};
  const auto sweep = [&](const std::string& out, const Words& more) {
    Words all = words("sweep", what);
    all.insert(all.end(), {"--out", file(out)});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  EXPECT_EQ(Program(sweep("one.h5", {})).status(), 0);
  for (const std::string i : {"1", "2", "3"})
    EXPECT_EQ(Program(sweep("s" + i + ".h5", {"--shard", i + "/3"})).status(), 0);
  Program merge({"merge", file("s3.h5"), file("s1.h5"), file("s2.h5"), "--out", file("merged.h5"),
                 "--csv", file("merged.csv")});
  EXPECT_EQ(merge.status(), 0) << merge.err();
  EXPECT_EQ(content_without_timings(file("merged.h5")), content_without_timings(file("one.h5")));
  EXPECT_EQ(text_of(file("merged.csv")), to_csv(load_results(file("merged.h5"))));
  EXPECT_NE(message(2, {"merge", file("s1.h5"), "--out", file("no.h5")})
                .find("merge: shard 2/3 and 3/3 is missing"),
            std::string::npos);
}

TEST_F(RunProgram, TableCsvAndConfigFile) {
  write_text_file(file("sweep.ini"), "estimators=ls\nsnr=0,10\npilots=hadamard:4\n");
  Program sweep(words("sweep", {"--config", file("sweep.ini"), "--samples", "100:200", "--csv",
                                file("table.csv")}));
  EXPECT_EQ(sweep.status(), 0) << sweep.err();
  EXPECT_NE(sweep.out().find("pilots hadamard:4, effective SNR = snr_db +0.00 dB"),
            std::string::npos);
  const std::string csv = text_of(file("table.csv"));
  EXPECT_EQ(csv.rfind("estimator,pilots,n_pilots,", 0), 0u);
  EXPECT_NE(csv.find("\nls,hadamard:4,4,10,"), std::string::npos);
  EXPECT_NE(csv.find(",10,100,"), std::string::npos);  // effective SNR, n_samples
}

TEST_F(RunProgram, LinkHasPerfectKnowledgeLast) {
  Program link(
      words("link", {"--estimators", "ls,genie", "--snr", "10", "--pilots", "dft", "--modulation",
                     "qpsk,64qam", "--samples", "0:200", "--out", file("link.h5")}));
  EXPECT_EQ(link.status(), 0) << link.err();
  const std::vector<Row> all = rows(load_results(file("link.h5")));
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all[4].estimator, "perfect");
  EXPECT_LT(all[4].ber, all[0].ber);
  EXPECT_GT(all[5].rate_bits_per_use, all[1].rate_bits_per_use);
}

TEST_F(RunProgram, EstimatesWithAnUnknownSnr) {
  Program fit({"fit", "lmmse", "--channels", file("channels.h5"), "--out", file("lmmse.h5")});
  EXPECT_EQ(fit.status(), 0) << fit.err();
  Words estimate{"estimate",       "--observations", file("channels.h5"),
                 "--estimator",    "lmmse",          "--model",
                 file("lmmse.h5"), "--out",          file("estimates.h5")};
  Words unknown = estimate;
  unknown.insert(unknown.end(), {"--snr", "unknown"});
  Program run(unknown);
  EXPECT_EQ(run.status(), 0) << run.err();
  const ArchiveReader archive(file("estimates.h5"));
  const std::vector<double> sigma2 = archive.read_all<double>("/sigma2");
  ASSERT_EQ(sigma2.size(), 2000u);
  // The channels themselves are given: hardly any noise to be found.
  EXPECT_LT(arma::median(arma::vec(sigma2)), 0.05);
  EXPECT_EQ(archive.read_all<double>("/err_var").size(), 2000u);
  EXPECT_FALSE(archive.has("/err_var_angular"));
  estimate.insert(estimate.end(), {"--snr", "loud", "--force"});
  EXPECT_NE(message(2, estimate).find("--snr: 'loud' is not a number"), std::string::npos);
}

TEST_F(RunProgram, FitsAMixtureThatASweepUses) {
  const Words fit{"fit",          "gmm",    "--channels",   file("channels.h5"),
                  "--samples",    "0:1500", "--out",        file("gmm.h5"),
                  "--components", "16",     "--validation", "1500:"};
  Program program(fit);
  EXPECT_EQ(program.status(), 0) << program.err();
  EXPECT_NE(
      program.out().find("gmm, 16x4, 16 components, dft, 1039 parameters, from 1500 channels"),
      std::string::npos)
      << program.out();
  EXPECT_NE(program.out().find(", of channels 1500:2000 "), std::string::npos) << program.out();
  Program info({"info", file("gmm.h5")});
  EXPECT_EQ(info.status(), 0) << info.err();
  EXPECT_NE(info.out().find("16 components, dft"), std::string::npos) << info.out();
  Program sweep(
      words("sweep", {"--estimators", "ls,gmm@" + file("gmm.h5"), "--snr", "0", "--pilots",
                      "qpsk:2", "--samples", "1500:2000", "--out", file("gmm_sweep.h5")}));
  EXPECT_EQ(sweep.status(), 0) << sweep.err();
  const std::vector<Row> all = rows(load_results(file("gmm_sweep.h5")));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_LT(all[1].nmse, all[0].nmse);

  Words wrong = fit;
  wrong.insert(wrong.end(), {"--covariance", "circulant", "--force"});
  EXPECT_NE(message(2, wrong).find("expected full, kronecker, toeplitz, dft or factors"),
            std::string::npos);
  wrong[wrong.size() - 2] = "factors";
  wrong.insert(wrong.end(), {"--rank", "65"});
  EXPECT_NE(message(2, wrong).find("rank is 65, it must be at most 64"), std::string::npos);
}

TEST_F(RunProgram, BadInputIsExplainedBeforeWorkStarts) {
  const auto of_sweep = [](const Words& more) { return message(2, words("sweep", more)); };
  const auto expect_in = [](const std::string& part, const std::string& text) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  expect_in("chest sweep: --channels is missing", message(2, {"sweep"}));
  expect_in("unknown option --estimator; did you mean --estimators?",
            of_sweep({"--estimator", "ls"}));
  expect_in("did you mean genie?", of_sweep({"--estimators", "ls,geni"}));
  expect_in("pilots: unknown kind 'dct', did you mean dft?", of_sweep({"--pilots", "dct:8"}));
  expect_in("--snr: the range '10:5:0' is empty or endless", of_sweep({"--snr", "10:5:0"}));
  expect_in("--samples: the range '1990:2010' reaches beyond the end; there are 2000 samples",
            of_sweep({"--samples", "1990:2010"}));
  expect_in("shard is '3/2', expected i/n", of_sweep({"--shard", "3/2"}));
  expect_in("stop_rel does not go with shards", of_sweep({"--shard", "1/2", "--stop-rel", "0.1"}));
  expect_in("figure.jpg ends in '.jpg'", of_sweep({"--plot", file("figure.jpg")}));
  expect_in("modulation: unknown name '1024qam'",
            message(2, words("link", {"--modulation", "1024qam"})));
  expect_in("there is no folder", message(1, words("sweep", {"--out", file("no/results.h5")})));
  write_text_file(file("notes.csv"), "my notes\n");
  expect_in("notes.csv: exists; give --force to replace it",
            of_sweep({"--csv", file("notes.csv")}));
  EXPECT_EQ(text_of(file("notes.csv")), "my notes\n");
  std::filesystem::copy_file(file("channels.h5"), file("others.h5"));
  expect_in("expected a chest-results file",
            message(1, words("sweep", {"--out", file("others.h5")})));
  expect_in("expected a chest-results file",
            message(1, {"plot", file("channels.h5"), "--out", file("f.svg")}));
  expect_in("--x is 'ber', expected snr or n_pilots",
            message(2, {"plot", file("channels.h5"), "--out", file("f.svg"), "--x", "ber"}));
}

}  // namespace
}  // namespace chest::sim
