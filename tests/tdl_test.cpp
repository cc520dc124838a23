// Tapped delay lines: the tables, and what is drawn against the closed form.
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>
#include <string>
#include <vector>

#include <chest/channels/dataset.hpp>
#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/ofdm.hpp>
#include <chest/text.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/channel_fixtures.hpp"
#include "tests/support/grid_channels.hpp"
#include "tests/support/grid_covariance.hpp"
#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

TdlOptions small(const std::string& profile = "C") {
  TdlOptions options;
  options.profile = profile;
  options.n_rx = 2;
  options.n_tx = 2;
  options.delay_spread_s = 300e-9;
  options.grid = ofdm_grid(8, 3, 60e3);
  return options;
}

double rms_delay_spread(const DelayProfile& profile) {
  const double mean = arma::dot(profile.powers, profile.delays);
  return std::sqrt(arma::dot(profile.powers, arma::square(profile.delays)) - mean * mean);
}

TEST(DelayProfiles, HaveUnitPowerAndTheirDelaySpread) {
  for (const char* name : {"A", "B", "C", "D", "E"}) {
    const DelayProfile profile = delay_profile(name);
    EXPECT_NEAR(arma::accu(profile.powers), 1.0, 1e-12);
    // The tables are scaled to an rms of 1, then rounded: 0.05 dB of the line of sight alone move that
    // of D by 0.5 %.
    EXPECT_NEAR(rms_delay_spread(profile), 1.0, profile.has_los ? 7e-3 : 1e-3) << name;
  }
  // Fixed profiles are simplified, on a raster of 5 ns: their names are not their exact spreads.
  EXPECT_NEAR(rms_delay_spread(delay_profile("TDLA30")), 30e-9, 1e-9);
  EXPECT_NEAR(rms_delay_spread(delay_profile("TDLB100")), 100e-9, 1e-9);
  EXPECT_NEAR(rms_delay_spread(delay_profile("TDLC300")), 300e-9, 2e-9);
  EXPECT_EQ(delay_profile("TDLB100-400").doppler_hz, 400.0);
  // K factors of 13.3 and 22 dB.
  const DelayProfile d = delay_profile("D"), e = delay_profile("E");
  EXPECT_TRUE(d.has_los && e.has_los);
  EXPECT_NEAR(10.0 * std::log10(d.powers(0) / d.powers(1)), 13.3, 1e-9);
  EXPECT_NEAR(10.0 * std::log10(e.powers(0) / e.powers(1)), 22.0, 1e-9);
  EXPECT_TRUE(refused([] { delay_profile("TDLB10"); }, "did you mean TDLB100?"));
  EXPECT_TRUE(refused([] { delay_profile("A-30"); }, "profile 'A-30' is unknown"));
}

TEST(Tdl, EverySampleDependsOnSeedAndNumberAlone) {
  TdlOptions options = small();
  options.doppler_hz = 300.0;
  const auto generator = make_tdl(options);
  const arma::cx_mat h = test::draw_grids(*generator, 9, 0, 5);
  EXPECT_EQ(max_difference(test::draw_grids(*generator, 9, 3, 2), h.cols(3, 4)), 0.0);
  EXPECT_GT(max_difference(test::draw_grids(*generator, 10, 0, 5), h), 0.1);
}

TEST(Tdl, SlotsContinueOneChannel) {
  TdlOptions options = small("TDLA30-300");
  options.grid = ofdm_grid(4, 28, 60e3);
  const arma::cx_mat two_slots = test::draw_grids(*make_tdl(options), 4, 6, 1);
  options.grid = ofdm_grid(4, 14, 60e3);
  options.n_slots = 2;
  const arma::cx_mat slots = test::draw_grids(*make_tdl(options), 4, 12, 2);
  // Times are the same numbers: so are the channels.
  EXPECT_EQ(max_difference(arma::vectorise(slots), two_slots), 0.0);
  // And the next one is another channel.
  EXPECT_GT(max_difference(test::draw_grids(*make_tdl(options), 4, 14, 1), slots.col(0)), 0.1);
}

/// Entries of the covariance that are looked at: each differs from entry 0 in other axes.
TEST(Tdl, MeasuredCovarianceIsTheClosedForm) {
  struct Case {
    const char* profile;
    double doppler_hz;
    MimoCorrelation correlation;
  };
  for (const Case& each :
       {Case{"C", 2000.0, MimoCorrelation::high}, Case{"D", 3000.0, MimoCorrelation::medium},
        Case{"B", 0.0, MimoCorrelation::low}}) {
    SCOPED_TRACE(each.profile);
    TdlOptions options = small(each.profile);
    options.doppler_hz = each.doppler_hz;
    options.correlation = each.correlation;
    const auto generator = make_tdl(options);
    const GridCovariance covariance = generator->grid_covariance()->on(options.grid);
    const arma::cx_mat C = test::dense(covariance);
    const arma::cx_mat h = test::draw_grids(*generator, 1, 0, 1800);
    for (arma::uword i = 0; i < h.n_rows; ++i) {
      EXPECT_NEAR(C(i, i).real(), 1.0, 1e-12);
      // Correct code fails for one of some 600 values in ten million.
      const arma::cx_vec products = (h.row(i) % arma::conj(h.row(0))).st();
      EXPECT_TRUE(mean_is(arma::real(products), C(i, 0).real(), 1e-10)) << i;
      if (i > 0) {
        EXPECT_TRUE(mean_is(arma::imag(products), C(i, 0).imag(), 1e-10)) << i;
      }
    }
  }
}

TEST(Tdl, TheClosedFormIsThatOfTheStandards) {
  TdlOptions options = small("TDLC300-600");
  options.n_rx = 4;
  options.n_tx = 2;
  options.correlation = MimoCorrelation::medium;
  const GridCovariance covariance = make_tdl(options)->grid_covariance()->on(options.grid);
  const arma::cx_mat C = test::dense(covariance);
  const DelayProfile profile = delay_profile("TDLC300");
  const arma::uword n_pairs = 8, n_f = options.grid.n_subcarriers;
  std::complex<double> R_f = 0.0;
  for (arma::uword l = 0; l < profile.delays.n_elem; ++l)
    R_f += std::polar(profile.powers(l), -2.0 * std::numbers::pi * 3.0 * 60e3 * profile.delays(l));
  EXPECT_LT(std::abs(C(3 * n_pairs, 0) - R_f), 1e-12);
  const arma::vec times = symbol_times(60e3, 0, 3);
  EXPECT_NEAR(C(2 * n_f * n_pairs, 0).real(), ::j0(2.0 * std::numbers::pi * 600.0 * times(2)),
              1e-9);
  // 36.101: four receive antennas a^(1/9), a^(4/9), a with a = 0.3, two transmit antennas 0.9.
  EXPECT_NEAR(C(1, 0).real(), std::pow(0.3, 1.0 / 9.0), 1e-9);
  EXPECT_NEAR(C(2, 0).real(), std::pow(0.3, 4.0 / 9.0), 1e-9);
  EXPECT_NEAR(C(3, 0).real(), 0.3, 1e-9);
  EXPECT_NEAR(C(4, 0).real(), 0.9, 1e-9);
}

TEST(Tdl, OptionsThatDoNotFitAreExplained) {
  const auto with = [](const auto& change) {
    TdlOptions options = small();
    change(options);
    make_tdl(options);
  };
  EXPECT_TRUE(
      refused([&] { with([](auto& o) { o.n_rx = 0; }); }, "n_rx and n_tx must be at least"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.n_slots = 0; }); }, "number of slots is 0"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.grid = {}; }); }, "must have subcarriers"));
  EXPECT_TRUE(
      refused([&] { with([](auto& o) { o.delay_spread_s = -1e-9; }); }, "the delay spread is"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.doppler_hz = -1.0; }); }, "the Doppler is -1 Hz"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.profile = "TDLB100-400", o.doppler_hz = 5.0; }); },
                      "names its Doppler"));
  EXPECT_TRUE(refused([&] { with([](auto& o) { o.profile = "F"; }); }, "profile 'F' is unknown"));
}

TEST(Tdl, ProfilesInTurnAreThoseOfEachAlone) {
  std::vector<TdlOptions> options{small("TDLA30-300"), small("C"), small("D")};
  options[2].doppler_hz = 200.0;
  for (TdlOptions& each : options) each.n_slots = 2;
  const auto mix = make_tdl_mix(options);
  // Slots 2 i and 2 i + 1 are of channel i, which is of profile i mod 3.
  const arma::cx_mat h = test::draw_grids(*mix, 3, 0, 8);
  for (arma::uword i = 0; i < 8; ++i) {
    const auto alone = make_tdl(options[i / 2 % 3]);
    EXPECT_LT(max_difference(h.col(i), test::draw_grids(*alone, 3, i, 1)), 1e-14) << i;
  }
  // Files hold as many paths and symbols of each.
  const ChannelBlock block = mix->generate(3, 0, 6);
  for (const Paths& paths : block.paths) {
    EXPECT_EQ(paths.gains.n_cols, 24u);
    EXPECT_EQ(paths.gains.n_slices, 3u);
    EXPECT_EQ(paths.delays.n_cols, 24u);
  }
  EXPECT_FALSE(mix->grid_covariance().has_value());
  EXPECT_NE(mix->describe().find("in_turn"), std::string::npos);
  options[1].n_rx = 3;
  EXPECT_TRUE(refused([&] { make_tdl_mix(options); }, "profiles in turn have other antennas"));
  EXPECT_TRUE(refused([] { make_tdl_mix({}); }, "there are no profiles"));
}

std::string output(const std::vector<std::string>& words) {
  Program program(words);
  EXPECT_EQ(program.status(), 0) << program.err();
  return program.out();
}

TEST(Tdl, AListIsEveryCombinationOfWhatItsProfilesLeaveOpen) {
  const test::TemporaryFolder folder;
  const std::string file = (folder.path() / "mix.h5").string();
  Program program({"generate", "tdl", "--profile", "TDLA30-10,TDLC300,A", "--delay-spread",
                   "30,300", "--doppler", "5,50", "--n-rx", "1", "--n-samples", "14", "--grid",
                   "12x2@30", "--out", file});
  EXPECT_EQ(program.status(), 0) << program.err();
  EXPECT_NE(program.err().find("have no covariance in common"), std::string::npos);
  // One, two Dopplers, two spreads by two Dopplers: after seven channels it begins again.
  const nlohmann::json model = nlohmann::json::parse(Dataset(file).info().model);
  std::vector<std::string> found;
  for (const auto& each : model.at("in_turn"))
    found.push_back(each.at("profile").get<std::string>() + " " +
                    number_text(std::round(1e9 * each.value("delay_spread_s", 0.0))) + " " +
                    number_text(each.at("doppler_hz").get<double>()));
  EXPECT_EQ(found, (std::vector<std::string>{"TDLA30-10 0 10", "TDLC300 0 5", "TDLC300 0 50",
                                             "A 30 5", "A 30 50", "A 300 5", "A 300 50"}));
}

TEST(Tdl, FilesSayWhatTheyHoldAndServeTheGenie) {
  const test::TemporaryFolder folder;
  const std::string file = (folder.path() / "tdl.h5").string();
  output({"generate", "tdl", "--profile", "TDLB100-400", "--n-rx", "4", "--n-samples", "200",
          "--grid", "240x14@30", "--out", file});
  const Dataset dataset(file);
  EXPECT_EQ(dataset.info().grid.text(), "240x14");
  EXPECT_TRUE(dataset.info().warnings.empty());
  const auto covariance = dataset.grid_covariance();
  ASSERT_TRUE(covariance.has_value());
  EXPECT_EQ(covariance->paths.size(), 12u);
  EXPECT_EQ(covariance->grid.n_symbols, 14u);

  const std::string said = output({"info", file});
  for (const char* part :
       {"channels  200 of 4x1x240x14 (n_rx x n_tx x subcarriers x symbols)\n",
        "grid      240 subcarriers 30 kHz apart, 14 symbols 35.7 us apart\n",
        "  delays    rms spread 100 ns, 99.8 % of the power from 0 ns to 480 ns\n",
        "  coherence |R_f| is 0.5 ", "  Doppler   up to ", "  angles    rms spread ",
        "  genie     the covariance of all channels is stored\n"})
    EXPECT_NE(said.find(part), std::string::npos) << part << said;
  EXPECT_EQ(said.find("learned prior"), std::string::npos);

  const std::string swept =
      output({"sweep", "--channels", file, "--samples", "0:20", "--pilots", "comb:4,symbols=2-11",
              "--estimators", "ls,genie", "--snr", "10"});
  EXPECT_NE(swept.find("genie"), std::string::npos);
  Program normalised({"sweep", "--channels", file, "--normalise", "sample", "--pilots", "comb:4",
                      "--estimators", "genie", "--snr", "10"});
  EXPECT_EQ(normalised.status(), 2);
  EXPECT_NE(normalised.err().find("without the covariance that they were drawn with"),
            std::string::npos);
  const auto refused_words = [&](std::vector<std::string> words, const std::string& sentence) {
    words.insert(words.begin(), "generate");
    words.insert(words.end(), {"--out", file + ".other"});
    Program program(words);
    EXPECT_EQ(program.status(), 2);
    EXPECT_EQ(program.err(), "chest generate: " + sentence + "\n");
  };
  refused_words({"scm", "--grid", "12@30"}, "--grid is for tdl and cdl, not for scm");
  refused_words({"tdl", "--rx-panel", "1x2x1"}, "--rx-panel is for scm and cdl, not for tdl");
  refused_words({"tdl", "--profile", "TDLA30", "--delay-spread", "30"},
                "--delay-spread is for the profiles A to E, TDLA30 has its own delays");
  refused_words({"tdl", "--speed", "3", "--doppler", "10"},
                "--doppler and --speed both say how fast channels change; give one");
  refused_words({"cdl", "--doppler", "3,10"}, "--doppler and --speed: cdl takes one, tdl a list");
  refused_words({"tdl", "--grid", "14"},
                "--grid: '14' must name subcarriers and spacing, as in 624x14@30");
}

}  // namespace
}  // namespace chest
