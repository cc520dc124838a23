// Networks through chest sample and chest analyze: what works without a covariance, and what is refused.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include <chest/channels/dataset.hpp>
#include <chest/text.hpp>

#include "tests/support/program.hpp"

namespace chest {
namespace {

using Words = std::vector<std::string>;

constexpr const char* model = CHEST_SOURCE_DIR "/models/scm_16x4.h5";

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string output(const Words& words) {
  Program program(words);
  EXPECT_EQ(program.status(), 0) << program.err();
  return program.out();
}

std::string refusal(const Words& words) {
  Program program(words);
  EXPECT_EQ(program.status(), 2) << program.err();
  return program.err();
}

TEST(NetworkSampling, DrawsChannelsOfAboutTheRightPower) {
  const TemporaryFolder folder;
  const std::string out = (folder / "drawn.h5").string();
  EXPECT_TRUE(
      holds(output({"sample", model, "--n-samples", "32", "--out", out}), "32 channels 16x4"));
  const Dataset drawn(out);
  EXPECT_NEAR(drawn.rough_power(), 1.0, 0.5);
  const auto refused = [&](const std::string& sampler) {
    return refusal({"sample", model, "--n-samples", "2", "--sampler", sampler, "--out",
                    (folder / "no.h5").string()});
  };
  EXPECT_TRUE(holds(refused("shortest-path"), "use a model of kind lmmse or gmm"));
  EXPECT_TRUE(holds(refused("coarse-to-fine"), "bias-free"));
  EXPECT_TRUE(holds(refused("teleport"), "covariance of the prior is not known"));
  EXPECT_TRUE(holds(output({"sample", model, "--n-samples", "8", "--sampler", "teleport",
                            "--channels", out, "--out", (folder / "jumped.h5").string()}),
                    "by teleport"));
}

TEST(NetworkSampling, IsAnalysedAsExactPriorsAre) {
  const TemporaryFolder folder;
  const std::string channels = (folder / "h.h5").string();
  output({"generate", "scm", "--n-rx", "16", "--n-tx", "4", "--n-samples", "90", "--seed", "77",
          "--out", channels});
  const auto analysed = [&](const std::string& kind, const Words& more) {
    Words words{"analyze", kind, model, "--channels", channels};
    words.insert(words.end(), more.begin(), more.end());
    return output(words);
  };
  EXPECT_TRUE(holds(analysed("jacobian", {"--n", "1", "--snr", "10"}), "effective_rank"));
  EXPECT_TRUE(holds(analysed("conservativity", {"--n", "2", "--snr", "0"}), "asymmetry"));
  EXPECT_TRUE(holds(analysed("likelihood", {"--n", "1", "--steps", "2"}), "4 random directions"));
  EXPECT_TRUE(holds(analysed("invert", {"--n", "2", "--steps", "5"}), "error_bdia"));
  // Two fits of a small network of the same recipe.
  const std::string small = (folder / "small.h5").string();
  output({"fit", "dmse", "--channels", channels, "--network", "chest:hidden=8,modulated=0",
          "--epochs", "1", "--out", small});
  const std::string out = output({"analyze", "memorise", small, "--channels", channels, "--counts",
                                  "30", "--snr", "10", "--drawn", "4"});
  EXPECT_TRUE(holds(out, "30 channels: ")) << out;
  // As many steps as are asked for, whatever the number of channels is: one changes little, 300 fit.
  std::vector<double> nmse_db;
  for (const char* steps : {"1", "300"}) {
    const std::string csv = (folder / (std::string(steps) + ".csv")).string();
    output({"analyze", "memorise", small, "--channels", channels, "--counts", "30", "--snr", "0",
            "--drawn", "0", "--fit-steps", steps, "--csv", csv});
    std::ifstream in(csv);
    std::string line;
    while (std::getline(in, line) && line.rfind("30,", 0) != 0) continue;
    nmse_db.push_back(std::stod(split(line, ',').at(2)));
  }
  EXPECT_LT(nmse_db[1], nmse_db[0] - 0.15);
}

}  // namespace
}  // namespace chest
