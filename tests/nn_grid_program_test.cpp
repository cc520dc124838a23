// A prior of one antenna from fit to sweep: other antennas, spacings, bandwidths and pilots than it was fitted on.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include <chest/archive.hpp>
#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/sim/results.hpp>

#include "tests/support/program.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

using Words = std::vector<std::string>;

class GridProgram : public testing::Test {
 protected:
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string run(const Words& words) const {
    Program program(words);
    EXPECT_EQ(program.status(), 0) << program.err();
    return program.out();
  }
  /// Rows of a sweep at 10 dB over channels of four antennas at 30 kHz, by estimator.
  std::map<std::string, sim::Row> sweep(const std::string& pilots, const std::string& estimators) {
    run({"sweep", "--channels", file("tdl.h5"), "--model", file("dmse.h5"), "--pilots", pilots,
         "--estimators", estimators, "--snr", "10", "--quiet", "--force", "--out", file("r.h5")});
    std::map<std::string, sim::Row> out;
    for (const sim::Row& row : sim::rows(sim::load_results(file("r.h5")))) out[row.estimator] = row;
    return out;
  }

  TemporaryFolder folder_;
};

TEST_F(GridProgram, APriorOfOneAntennaServesOtherCells) {
  run({"generate", "tdl", "--profile", "TDLA30-10,TDLB100-100", "--n-rx", "1", "--n-tx", "1",
       "--grid", "192x14@15", "--n-samples", "252", "--out", file("fit.h5"), "--quiet"});
  run({"fit", "dmse", "--channels", file("fit.h5"), "--network", "chest:hidden=16-16,embedding=8",
       "--comb", "2,4", "--epochs", "4", "--validation", "240:252", "--samples", "0:240", "--out",
       file("dmse.h5"), "--quiet"});
  // Steps of 2 and 4; 2, 4 and 13 PRB, the grid of the fit and 273 PRB.
  const GridStatistics known = read_grid_statistics(ArchiveReader(file("dmse.h5")), 1);
  EXPECT_TRUE(arma::all(known.error_steps == arma::vec{2, 2, 2, 2, 2, 4, 4, 4, 4, 4}));
  EXPECT_TRUE(arma::all(known.error_subcarriers ==
                        arma::vec{24, 48, 156, 192, 3276, 24, 48, 156, 192, 3276}));
  EXPECT_EQ(known.linear_ratio.n_cols, 10u);
  ASSERT_EQ(known.sparse_weight.n_cols, 10u);
  // Four epochs are few: at high SNR the paths of a delay line are better found by sbl.
  EXPECT_GT(known.sparse_weight.max(), 0.3);
  EXPECT_LE(known.sparse_weight.max(), 1.0);

  EXPECT_NE(run({"info", file("dmse.h5")})
                .find("grids of any number of receive antennas, each by itself, at 15 kHz and "
                      "multiples of it, pilots 2 to 4 subcarriers apart"),
            std::string::npos);

  run({"generate", "tdl", "--profile", "TDLB100-100", "--n-rx", "4", "--n-tx", "1", "--grid",
       "96x14@30", "--n-samples", "40", "--seed", "5", "--out", file("tdl.h5"), "--quiet"});
  const auto served =
      sweep("comb:2,symbols=2-11", "ls,dmse,dmse:doppler=100,lmmse:pdp=TDLB100-100,genie");
  EXPECT_LT(served.at("dmse").nmse, 0.5 * served.at("ls").nmse);
  EXPECT_NE(served.at("dmse").nmse, served.at("dmse:doppler=100").nmse);
  EXPECT_NEAR(served.at("dmse").nmse_predicted / served.at("dmse").nmse, 1.0, 0.4);
  EXPECT_NEAR(served.at("lmmse:pdp=TDLB100-100").nmse / served.at("genie").nmse, 1.0, 1e-3);
  // The mean with sbl, as calibrated and as told.
  const auto mean = sweep("comb:2,symbols=2-11", "dmse:sparse=0,dmse:sparse=0.5,dmse:sparse=1");
  EXPECT_EQ(mean.at("dmse:sparse=1").method, "sbl");
  EXPECT_EQ(mean.at("dmse:sparse=1").nfe, 0.0);
  EXPECT_NE(mean.at("dmse:sparse=0.5").method.find(" and sbl"), std::string::npos);
  const double with = mean.at("dmse:sparse=1").nmse, without = mean.at("dmse:sparse=0").nmse;
  EXPECT_LT(mean.at("dmse:sparse=0.5").nmse, 0.5 * (with + without));
  EXPECT_LT(served.at("dmse").nmse, 1.02 * std::min(with, without));
  // A wide comb is not for its planes, and whoever asks for the network there is told.
  EXPECT_EQ(sweep("comb:12,symbols=2-11", "dmse").at("dmse").method, "lmmse");
  Program program({"sweep", "--channels", file("tdl.h5"), "--model", file("dmse.h5"), "--pilots",
                   "comb:12,symbols=2-11", "--estimators", "dmse:steps=1", "--snr", "10"});
  EXPECT_EQ(program.status(), 2);
  EXPECT_NE(program.err().find("is for pilots 2 to 4 subcarriers apart, these are 24 apart"),
            std::string::npos)
      << program.err();
  // Spacings that are no multiple are refused.
  run({"generate", "tdl", "--n-rx", "4", "--n-tx", "1", "--grid", "24@20", "--n-samples", "2",
       "--out", file("other.h5"), "--quiet"});
  Program other({"sweep", "--channels", file("other.h5"), "--model", file("dmse.h5"), "--pilots",
                 "comb:2", "--estimators", "dmse", "--snr", "10"});
  EXPECT_EQ(other.status(), 2);
  EXPECT_NE(other.err().find("is for subcarriers 15 kHz apart and multiples of it"),
            std::string::npos)
      << other.err();
}

TEST_F(GridProgram, CombsOfFewerThanThePortsAreNotMeasured) {
  run({"generate", "tdl", "--n-rx", "2", "--n-tx", "3", "--grid", "48@30", "--n-samples", "40",
       "--out", file("fit.h5"), "--quiet"});
  run({"fit", "dmse", "--channels", file("fit.h5"), "--network", "chest:hidden=8-8,embedding=8",
       "--comb", "2,4", "--epochs", "1", "--out", file("dmse.h5"), "--quiet"});
  const GridStatistics known = read_grid_statistics(ArchiveReader(file("dmse.h5")), 2);
  EXPECT_TRUE(arma::all(known.error_steps == arma::vec{4, 4, 4}));
}

}  // namespace
}  // namespace chest
