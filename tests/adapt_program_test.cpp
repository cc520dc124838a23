// chest adapt: what it refuses before it needs LibTorch.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/npy.hpp"
#include "tests/support/program.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

TEST(AdaptRefusals, NameWhatIsWrong) {
  const TemporaryFolder folder;
  const std::string model = CHEST_SOURCE_DIR "/tests/golden/adapt/foreign.h5";
  const auto file = [&](const std::string& name) { return (folder / name).string(); };
  Rng rng = test_rng(1);
  test::write_npy(folder / "y.npy", rng.cx_normal(32, 60, 1.3), 8, 4);
  test::write_npy(folder / "narrow.npy", rng.cx_normal(32, 60, 1.3), 4, 8);
  test::write_npy(folder / "few_snr.npy", arma::vec(3, arma::fill::ones));
  test::write_npy(folder / "no_snr.npy", arma::vec(60, arma::fill::value(arma::datum::nan)));
  const auto refused = [&](const std::vector<std::string>& more, const std::string& expected) {
    std::vector<std::string> words{"adapt", model, "--out", file("out.h5"), "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    const std::string said = answer_of(words);
    EXPECT_TRUE(said[0] == '2' || said[0] == '1') << said;
    EXPECT_NE(said.find(expected), std::string::npos) << said;
    EXPECT_FALSE(std::filesystem::exists(file("out.h5")));
  };
  const auto with = [&](const std::vector<std::string>& more, const std::string& expected) {
    std::vector<std::string> words{"--observations", file("y.npy")};
    words.insert(words.end(), more.begin(), more.end());
    refused(words, expected);
  };
  refused({"--snr", "5"}, "--observations is missing");
  refused({"--observations", file("none.npy"), "--snr", "5"}, "none.npy");
  refused({"--observations", file("narrow.npy"), "--snr", "5"}, "4 receive antennas");
  with({}, "--snr is missing");
  with({"--snr", "five"}, "'five'");
  with({"--snr", "inf"}, "'inf' is not a number");
  with({"--snr", file("few_snr.npy")}, "holds 3 values, expected one for each of the 60");
  with({"--snr", file("no_snr.npy")}, "not finite");
  with({"--snr", "5", "--pilots", "dft:8"}, "4 pilot slots, dft:8");
  with({"--snr", "5", "--pilots", "comb:4"}, "pilots of a grid");
  with({"--snr", "5", "--layers", "first"}, "expected all or last");
  with({"--snr", "5", "--samples", "0:30", "--validation", "20:60"}, "overlap");
  with({"--snr", "5", "--epochs", "0"}, "adapt: max_epochs is 0");
  with({"--snr", "5", "--learning-rate", "-1"}, "adapt: learning_rate is -1");
}

TEST(AdaptRefusals, KeepTheModelThatTheyRead) {
  const std::string model = CHEST_SOURCE_DIR "/tests/golden/adapt/foreign.h5";
  const std::string said = answer_of(
      {"adapt", model, "--observations", "y.npy", "--snr", "5", "--out", model, "--force"});
  EXPECT_EQ(said[0], '2') << said;
  EXPECT_NE(said.find("would replace"), std::string::npos) << said;
}

}  // namespace
}  // namespace chest
