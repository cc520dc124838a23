// Power over delay: files of taps, and correlations.
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <fstream>
#include <string>

#include <chest/delay_profile.hpp>
#include <chest/error.hpp>

#include "tests/support/channel_fixtures.hpp"

namespace chest {
namespace {

/// Whether a call throws an Error of a file with this text in its message.
template <class Call>
testing::AssertionResult fails(Call&& call, const std::string& text) {
  try {
    call();
  } catch (const Error& error) {
    const bool is_of_file = error.kind() == ErrorKind::io || error.kind() == ErrorKind::format;
    if (is_of_file && std::string(error.what()).find(text) != std::string::npos)
      return testing::AssertionSuccess();
    return testing::AssertionFailure() << error.what();
  }
  return testing::AssertionFailure() << "did not fail";
}

TEST(DelayProfileFiles, HoldATapPerLine) {
  const test::TemporaryFolder folder;
  const std::string file = (folder.path() / "taps.txt").string();
  std::ofstream(file) << "# delay in ns, power in dB\n0, 0\n\n 50\t-10 # weaker\n100.5 -3.0103\r\n";
  const DelayProfile profile = read_delay_profile(file);
  ASSERT_EQ(profile.delays.n_elem, 3u);
  EXPECT_NEAR(profile.delays(2), 100.5e-9, 1e-18);
  EXPECT_NEAR(profile.powers(0), 1.0 / 1.6, 1e-6);
  EXPECT_NEAR(profile.powers(1), 0.1 / 1.6, 1e-6);
  EXPECT_NEAR(arma::accu(profile.powers), 1.0, 1e-12);
  EXPECT_FALSE(profile.has_los);

  const auto of_text = [&](const std::string& text) {
    std::ofstream(file) << text;
    read_delay_profile(file);
  };
  EXPECT_TRUE(fails([&] { of_text("0 0\n5\n"); }, "line 2: '5', expected a delay in ns and"));
  EXPECT_TRUE(fails([&] { of_text("0 zero\n"); }, "line 1: '0 zero', expected a delay in ns"));
  EXPECT_TRUE(fails([&] { of_text("\x89HDF 0\n"); }, "line 1: this is no text, expected"));
  EXPECT_TRUE(fails([&] { of_text("-1 0\n"); }, "expected a delay of 0 ns to 1 s"));
  EXPECT_TRUE(fails([&] { of_text("0 1e9\n"); }, "and a finite power"));
  EXPECT_TRUE(fails([&] { of_text("# none\n"); }, "no taps; expected a delay in ns"));
  EXPECT_TRUE(fails([&] { read_delay_profile(folder.path() / "none"); }, "cannot be read"));
  EXPECT_TRUE(fails([&] { read_delay_profile(folder.path()); }, "cannot be read"));
}

TEST(DelayProfileCorrelations, AreSumsOverTheTaps) {
  DelayProfile profile;
  profile.delays = {0.0, 1e-6};
  profile.powers = {0.75, 0.25};
  // A quarter of a turn of the second tap.
  const std::complex<double> found = frequency_correlation(profile, 250e3);
  EXPECT_LT(std::abs(found - std::complex<double>(0.75, -0.25)), 1e-12);
  // The first zero of J0.
  constexpr double zero = 2.404825557695773, two_pi = 6.283185307179586;
  EXPECT_LT(std::abs(time_correlation(profile, 100.0, zero / (two_pi * 100.0))), 1e-12);
  profile.has_los = true;
  const std::complex<double> of_los = time_correlation(profile, 100.0, -zero / (two_pi * 100.0));
  EXPECT_LT(std::abs(of_los - std::polar(0.75, -0.7 * zero)), 1e-12);
}

}  // namespace
}  // namespace chest
