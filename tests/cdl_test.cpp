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
  for (const bool any_direction : {false, true}) {
    CdlOptions options = small_cdl("B", {1, 2, 1, true}, {1, 1, 1, false});
    options.any_direction = any_direction;
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
}

TEST(Cdl, TerminalsMoveAwayOrInDirectionsThatAreDrawn) {
  // The line of sight alone, cluster 0 of D, whose rays arrive at zenith 81.5 degrees.
  CdlOptions options = small_cdl("D", {1, 1, 1, false}, {1, 1, 1, false});
  const double t = arma::vec(symbol_times(60e3, 0, 2))(1), zenith = arma::datum::pi * 81.5 / 180.0;
  const double turn = 2.0 * arma::datum::pi * options.doppler_hz * t;
  const auto turns = [&](arma::uword n) {
    arma::cx_vec out(n);
    const ChannelBlock block = make_cdl(options)->generate(1, 0, n);
    for (arma::uword k = 0; k < n; ++k) {
      const arma::cx_cube& gains = block.paths[k].gains;
      out(k) = gains(0, 0, 1) / gains(0, 0, 0);
    }
    return out;
  };
  for (const std::complex<double> value : turns(5))
    EXPECT_LT(std::abs(value - std::polar(1.0, -turn * std::sin(zenith))), 1e-12);

  options.any_direction = true;
  EXPECT_FALSE(make_cdl(options)->grid_covariance());
  // E exp(j turn r.v) over azimuths and zeniths of v, by the midpoint rule.
  double expected = 0.0;
  constexpr int n = 400;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      const double theta = arma::datum::pi * (i + 0.5) / n;
      const double phi = 2.0 * arma::datum::pi * (j + 0.5) / n;
      expected += std::cos(turn * (-std::sin(zenith) * std::sin(theta) * std::cos(phi) +
                                   std::cos(zenith) * std::cos(theta))) /
                  double(n * n);
    }
  const arma::cx_vec drawn = turns(4000);
  EXPECT_TRUE(mean_is(arma::real(drawn), expected, 1e-6));
  EXPECT_TRUE(mean_is(arma::imag(drawn), 0.0, 1e-6));  // as many come as go
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
