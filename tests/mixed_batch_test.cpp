// Estimates do not depend on what stands beside them in a batch, where `ep` settles for some channels and
// falls back for others: seen through the programs, and with an unknown noise level.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include <chest/archive.hpp>
#include <chest/channels/dataset.hpp>
#include <chest/random.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/sim/results.hpp>

#include "tests/support/program.hpp"

namespace chest {
namespace {

using Words = std::vector<std::string>;

/// Channels 6x4 of a mixture, its model, and observations with two pilots at 10 dB.
class MixedBatch : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    run({"generate", "gmm", "--n-rx", "6", "--n-tx", "4", "--n-samples", "150", "--seed", "3",
         "--out", file("h.h5")});
    run({"fit", "gmm", "--channels", file("h.h5"), "--components", "4", "--out", file("gmm.h5")});
    const Dataset channels(file("h.h5"));
    const sim::Pilots pilots = sim::make_pilots(sim::parse_pilots("dft:2"), 4, 1);
    for (const arma::uword n : {150, 100}) {
      ChannelFileOptions options;
      options.n_rx = 6;
      options.n_tx = 2;
      options.n_samples = n;
      options.single_precision = false;
      ChannelFileWriter writer(file("y" + std::to_string(n) + ".h5"), options);
      ChannelBlock block;
      block.h.set_size(12, n);
      const arma::cx_mat h = channels.read(0, n);
      for (arma::uword k = 0; k < n; ++k) {
        Rng rng(5, {Purpose::test, 0, k});
        block.h.col(k) =
            arma::vectorise(arma::reshape(h.col(k), 6, 4) * pilots.P + rng.cx_normal(6, 2, 0.1));
      }
      writer.append(block);
      writer.finish();
    }
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string file(const std::string& name) { return (*folder_ / name).string(); }
  static std::string run(const Words& words) {
    Program program(words);
    EXPECT_EQ(program.status(), 0) << program.err();
    return program.out();
  }
  /// The first 100 error variances of a file of estimates.
  static std::vector<double> error_variances(const std::string& observations,
                                             const std::string& estimator, const std::string& snr) {
    run({"estimate", "--observations", file(observations), "--pilots", "dft:2", "--n-tx", "4",
         "--estimator", estimator, "--model", file("gmm.h5"), "--snr", snr, "--out",
         file("estimates.h5"), "--force"});
    std::vector<double> variances =
        ArchiveReader(file("estimates.h5")).read_all<double>("/err_var");
    variances.resize(100);
    return variances;
  }
  /// The rows of a link: the estimator, and perfect knowledge.
  static std::vector<sim::Row> link(const std::string& estimator, const std::string& block) {
    run({"link", "--channels", file("h.h5"), "--pilots", "dft:2", "--snr", "10", "--estimators",
         estimator, "--model", file("gmm.h5"), "--block", block, "--out", file("link.h5"),
         "--force", "--quiet"});
    return sim::rows(sim::load_results(file("link.h5")));
  }
  static TemporaryFolder* folder_;
};
TemporaryFolder* MixedBatch::folder_ = nullptr;

/// Undamped and short, so that some channels do not settle.
const char* const ep = "ep(prior=gmm,damping=1,iterations=6)";

TEST_F(MixedBatch, OfChestEstimateIsThatOfSingleChannels) {
  // Samples 64 to 99 stand beside others in the two files.
  const std::vector<double> whole = error_variances("y150.h5", ep, "10");
  const std::vector<double> part = error_variances("y100.h5", ep, "10");
  int n_known = 0;
  for (std::size_t k = 0; k < 100; ++k) {
    EXPECT_EQ(std::isnan(whole[k]), std::isnan(part[k])) << k;
    if (std::isnan(whole[k])) continue;
    EXPECT_NEAR(whole[k], part[k], 1e-9) << k;
    n_known += k >= 64 ? 1 : 0;
  }
  EXPECT_GT(n_known, 0);
  EXPECT_LT(n_known, 36);
}

TEST_F(MixedBatch, OfChestLinkIsTheSameForAnyBlock) {
  const std::vector<sim::Row> small = link(ep, "7"), large = link(ep, "64");
  ASSERT_EQ(small.size(), 2u);
  ASSERT_EQ(large.size(), 2u);
  // The detector takes the error of each channel: without it, bits are decided otherwise.
  EXPECT_EQ(small[0].ber, large[0].ber);
  EXPECT_NEAR(small[0].nmse, large[0].nmse, 1e-9);
  EXPECT_GT(small[0].ber, small[1].ber);
}

TEST_F(MixedBatch, SettlesAndFallsBackWithAnUnknownNoiseLevel) {
  // Few pilots and an exact prior: `dmse` is `ep`.
  const std::string blind = "dmse:prior=gmm";
  const std::vector<double> whole = error_variances("y150.h5", blind, "unknown");
  const std::vector<double> part = error_variances("y100.h5", blind, "unknown");
  for (std::size_t k = 0; k < 100; ++k) EXPECT_NEAR(whole[k], part[k], 1e-9) << k;
}

}  // namespace
}  // namespace chest
