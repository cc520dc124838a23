// Clustered delay lines: what is drawn against the closed form.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include <chest/channels/dataset.hpp>
#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/ofdm.hpp>

#include "tests/support/channel_fixtures.hpp"
#include "tests/support/grid_channels.hpp"
#include "tests/support/grid_covariance.hpp"
#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

CdlOptions small_cdl(const std::string& profile, const AntennaPanel& rx, const AntennaPanel& tx) {
  CdlOptions options;
  options.profile = profile;
  options.delay_spread_s = 300e-9;
  options.doppler_hz = 2000.0;
  options.rx = rx;
  options.tx = tx;
  options.grid = ofdm_grid(3, 2, 60e3);
  return options;
}

TEST(Cdl, MeasuredCovarianceIsTheClosedForm) {
  struct Case {
    const char* profile;
    AntennaPanel rx, tx;
  };
  for (const Case& each :
       {Case{"A", {1, 2, 2, true}, {1, 1, 2, false}}, Case{"C", {2, 1, 1, true}, {1, 2, 1, true}},
        Case{"D", {1, 2, 2, true}, {1, 1, 1, false}}}) {
    SCOPED_TRACE(each.profile);
    const CdlOptions options = small_cdl(each.profile, each.rx, each.tx);
    const auto generator = make_cdl(options);
    const arma::cx_mat C = test::dense(generator->grid_covariance()->on(options.grid));
    // Power 1 per entry, but for what factors leave out.
    EXPECT_NEAR(arma::trace(C).real(), static_cast<double>(C.n_rows), 1e-5);
    const arma::cx_mat h = test::draw_grids(*generator, 3, 0, 1000);
    for (arma::uword i = 0; i < h.n_rows; ++i) {
      // Correct code fails for one of some 150 values in ten million.
      const arma::cx_vec products = (h.row(i) % arma::conj(h.row(0))).st();
      EXPECT_TRUE(mean_is(arma::real(products), C(i, 0).real(), 1e-9)) << i;
      if (i > 0) {
        EXPECT_TRUE(mean_is(arma::imag(products), C(i, 0).imag(), 1e-9)) << i;
      }
    }
  }
}

TEST(Cdl, SlotsContinueAndSamplesDependOnSeedAndNumberAlone) {
  CdlOptions options = small_cdl("B", {1, 2, 1, true}, {1, 1, 1, false});
  options.grid = ofdm_grid(2, 28, 60e3);
  const arma::cx_mat two_slots = test::draw_grids(*make_cdl(options), 4, 3, 1);
  options.grid = ofdm_grid(2, 14, 60e3);
  options.n_slots = 2;
  const auto generator = make_cdl(options);
  const arma::cx_mat slots = test::draw_grids(*generator, 4, 6, 2);
  EXPECT_LT(max_difference(arma::vectorise(slots), two_slots), 1e-13);
  EXPECT_EQ(max_difference(test::draw_grids(*generator, 4, 7, 1), slots.col(1)), 0.0);
  EXPECT_GT(max_difference(test::draw_grids(*generator, 5, 7, 1), slots.col(1)), 0.1);
}

TEST(Cdl, OptionsThatDoNotFitAreExplained) {
  const auto with = [](const auto& change) {
    CdlOptions options = small_cdl("A", {1, 2, 1, true}, {});
    change(options);
    make_cdl(options);
  };
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.profile = "TDLA30"; }); },
                      "profile 'TDLA30' is unknown, there are A, B, C, D and E"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.rx.n_polarisations = 3; }); },
                      "a panel is 1x2x3:directional, it must have rows"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.grid = {}; }); }, "must have subcarriers"));
  EXPECT_TRUE(refused([] { parse_panel("4x8", {}); }, "panel '4x8' is none; write ROWSxCOLUMNSx"));
  EXPECT_TRUE(refused([] { parse_panel("4x8x2:round", {}); }, "panel '4x8x2:round' is none"));
  EXPECT_EQ(parse_panel("4x8x2:omni", {1, 1, 1, true}).text(), "4x8x2:omni");
  // One phase for both polarisations of the line of sight: no closed form.
  EXPECT_FALSE(make_cdl(small_cdl("D", {1, 1, 2, true}, {1, 1, 2, false}))->grid_covariance());
}

TEST(Cdl, GenieRunsOnFiles) {
  const test::TemporaryFolder folder;
  const std::string file = (folder.path() / "cdl.h5").string();
  Program generate({"generate", "cdl", "--profile", "C", "--rx-panel", "1x4x1", "--speed", "30",
                    "--grid", "48x4@30", "--n-samples", "50", "--out", file});
  ASSERT_EQ(generate.status(), 0) << generate.err();
  Program sweep({"sweep", "--channels", file, "--pilots", "comb:4,symbols=0-3", "--estimators",
                 "ls,genie", "--snr", "10"});
  ASSERT_EQ(sweep.status(), 0) << sweep.err();
  EXPECT_NE(sweep.out().find("genie"), std::string::npos);
}

}  // namespace
}  // namespace chest
