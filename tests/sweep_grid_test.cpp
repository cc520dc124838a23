// Sweeps over grids, as the program runs them.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <chest/sim/results.hpp>

#include "tests/support/program.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

using Words = std::vector<std::string>;

class SweepGrid : public testing::Test {
 protected:
  SweepGrid() {
    run({"generate", "tdl", "--profile", "TDLA30", "--n-rx", "4", "--grid", "48x4@30",
         "--n-samples", "60", "--out", file("tdl.h5"), "--quiet"});
    run({"fit", "lmmse", "--channels", file("tdl.h5"), "--samples", "0:40", "--out",
         file("lmmse.h5"), "--quiet"});
    run({"fit", "gmm", "--channels", file("tdl.h5"), "--samples", "0:40", "--components", "2",
         "--out", file("gmm.h5"), "--quiet"});
  }

  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string run(const Words& words) const {
    Program program(words);
    EXPECT_EQ(program.status(), 0) << program.err();
    return program.out();
  }
  std::string refusal(const Words& words) const {
    Program program(words);
    EXPECT_NE(program.status(), 0);
    return program.err();
  }
  Words sweep(const Words& more) const {
    Words out{"sweep",        "--channels", file("tdl.h5"), "--model", file("lmmse.h5"), "--model",
              file("gmm.h5"), "--quiet",    "--samples",    "40:60",   "--snr",          "0,10"};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }

  TemporaryFolder folder_;
};

TEST_F(SweepGrid, GivesTheErrorsOfTheGridAndOfThePilots) {
  run(sweep({"--estimators", "ls,lmmse,gmm,sbl,omp,genie", "--pilots",
             "comb:4,symbols=0-3,comb:4,symbols=1", "--pilot-power", "2", "--out", file("r.h5"),
             "--csv", file("r.csv")}));
  std::ifstream in(file("r.csv"));
  std::string header;
  std::getline(in, header);
  EXPECT_NE(header.find(",nmse_pilots,pilot_energy,"), std::string::npos) << header;
  const std::vector<sim::Row> rows = sim::rows(sim::load_results(file("r.h5")));
  ASSERT_EQ(rows.size(), 2u * 2u * 6u);
  for (const sim::Row& row : rows) {
    EXPECT_NEAR(row.pilot_energy, 2.0, 1e-12);
    EXPECT_NEAR(row.snr_effective_db, row.snr_db + 3.0103, 1e-3);
    EXPECT_GT(row.nmse, 0.0);
    if (row.estimator != "ls") continue;
    // At the pilots least squares has the noise alone: 20 x 4 x 12 entries or more, six deviations.
    const double expected = std::pow(10.0, -0.1 * row.snr_db) / 2.0;
    EXPECT_NEAR(row.nmse_pilots / expected, 1.0, 0.3) << row.pilots;
  }
  for (std::size_t i = 0; i < rows.size(); i += 6) {
    EXPECT_LT(rows[i + 1].nmse, rows[i].nmse) << "lmmse beside ls";
    EXPECT_LT(rows[i + 5].nmse, 1.1 * rows[i + 1].nmse) << "genie beside lmmse";
    EXPECT_NEAR(rows[i + 5].nmse_predicted / rows[i + 5].nmse, 1.0, 0.5);
  }
}

TEST_F(SweepGrid, ShardsAndThreadsGiveTheSameSums) {
  const Words what{"--estimators", "ls,lmmse", "--pilots", "comb:2,symbols=1", "--block", "4"};
  const auto with = [&](Words more) {
    Words words = sweep(what);
    words.insert(words.end(), more.begin(), more.end());
    run(words);
  };
  with({"--out", file("one.h5"), "--threads", "1"});
  with({"--out", file("a.h5"), "--shard", "1/2", "--threads", "2"});
  with({"--out", file("b.h5"), "--shard", "2/2"});
  run({"merge", file("a.h5"), file("b.h5"), "--out", file("both.h5"), "--quiet"});
  const sim::Results one = sim::load_results(file("one.h5"));
  const sim::Results both = sim::load_results(file("both.h5"));
  EXPECT_EQ(one.sums, both.sums);
  EXPECT_EQ(one.grid.n_subcarriers, 48u);
  ASSERT_TRUE(one.pilots.front().pattern);
  EXPECT_EQ(one.pilots.front().pattern->n(), 24u);
}

TEST_F(SweepGrid, WhatDoesNotFitIsSaid) {
  const auto says = [&](const Words& more, const std::string& text) {
    const std::string message = refusal(sweep(more));
    EXPECT_NE(message.find(text), std::string::npos) << message;
  };
  says({"--estimators", "ls"}, "whose pilots are for example comb:4");
  says({"--estimators", "ls", "--pilots", "comb:4,symbols=4"}, "the grid has 4 (counted from 0)");
  says({"--estimators", "gmm", "--pilots", "comb:6,symbols=1"},
       "is for pilots 4 subcarriers apart, these are 6 apart");
  says({"--estimators", "ls", "--pilots", "comb:64"}, "needs more than the 48 subcarriers");
  says({"--estimators", "ls:interpolation=dft,taps=40", "--pilots", "comb:4"},
       "there are 12 pilots over frequency");
  says({"--estimators", "lmmse", "--grid", "96x4@30", "--pilots", "comb:4"},
       "the model knows 48x4");
  says({"--estimators", "lmmse", "--grid", "48x4@15", "--pilots", "comb:4"}, "30 kHz apart");
  says({"--estimators", "sbl", "--panel", "2x2x2", "--pilots", "comb:4"}, "has 8 antennas");
  const std::string matrices =
      refusal({"sweep", "--channels", file("tdl.h5"), "--grid", "1x1@30", "--model",
               file("lmmse.h5"), "--estimators", "lmmse", "--snr", "0", "--quiet"});
  EXPECT_NE(matrices.find("is for the grids of OFDM"), std::string::npos) << matrices;
}

}  // namespace
}  // namespace chest
