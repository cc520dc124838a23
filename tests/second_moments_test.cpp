#include <gtest/gtest.h>

#include <chest/estimators/network/model_file.hpp>
#include <chest/metrics.hpp>
#include <string>
#include <vector>

#include "tests/support/network.hpp"
#include "tests/support/program.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

/// Runs the program, which has to succeed; what it prints.
std::string output(const std::vector<std::string>& words) {
  Program run(words);
  EXPECT_EQ(run.status(), 0) << run.err();
  return run.out();
}

// From channels to an estimate by second moments that stand in the diffusion model alone.
TEST(SecondMoments, AreMeasuredByCalibrateAndServeLmmseAndSolvers) {
  const TemporaryFolder folder;
  const std::string model = (folder / "dmse.h5").string(), channels = (folder / "h.h5").string();
  save(model, random_network_model(6, 4, parse_network("chest:hidden=4")));
  output({"generate", "scm", "--n-rx", "6", "--n-tx", "4", "--n-samples", "300", "--seed", "3",
          "--out", channels, "--quiet"});
  const std::vector<std::string> sweep{
      "sweep",    "--channels", channels,  "--samples", "200:240",
      "--pilots", "qpsk:2",     "--snr",   "10",        "--model",
      model,      "--quiet",    "--force", "--out",     (folder / "r.h5").string()};
  const auto with = [&](std::vector<std::string> words, const std::string& estimators) {
    words.insert(words.end(), {"--estimators", estimators});
    return words;
  };
  // Not there yet.
  Program before(with(sweep, "lmmse"));
  EXPECT_EQ(before.status(), 2);
  EXPECT_NE(before.err().find("run 'chest calibrate"), std::string::npos) << before.err();

  // A network of random weights: linear MMSE is the best of the candidates.
  const std::string chosen =
      output({"calibrate", model, "--channels", channels, "--samples", "0:200", "--pilots",
              "qpsk:2", "--snr", "10", "--candidates",
              "lmmse,diffpir:levels=3,ep:variance=angular,iterations=2,fallback=lmmse",
              "--n-channels", "20", "--quiet"});
  EXPECT_NE(chosen.find("10.00 dB: lmmse, NMSE"), std::string::npos) << chosen;
  EXPECT_NE(output({"info", model}).find("second moments as kronecker covariance"),
            std::string::npos);
  const NetworkModel calibrated = load_network_model(model);
  EXPECT_EQ(calibrated.second_moments.kind(), CovarianceKind::kronecker);
  EXPECT_EQ(calibrated.solvers.choices.at(0).solvers.at(0), "lmmse");

  // dmse runs what was chosen: the estimates of lmmse.
  const std::string table = output(with(sweep, "lmmse,dmse,diffpir:start=lmmse,levels=2"));
  EXPECT_NE(table.find("dmse"), std::string::npos);

  // Solvers alone: the rest stays as it is.
  output({"calibrate", model, "--channels", channels, "--samples", "0:100", "--pilots", "qpsk:1",
          "--snr", "10", "--candidates", "lmmse", "--n-channels", "10", "--solvers-only",
          "--quiet"});
  const NetworkModel again = load_network_model(model);
  EXPECT_EQ(again.solvers.choices.size(), 2u);
  EXPECT_EQ(max_difference(again.second_moments.dense(), calibrated.second_moments.dense()), 0.0);
  EXPECT_EQ(max_difference(again.errors.mse, calibrated.errors.mse), 0.0);
  EXPECT_EQ(max_difference(again.calibration.mse, calibrated.calibration.mse), 0.0);
  Program both({"calibrate", model, "--channels", channels, "--solvers-only", "--precision-only"});
  EXPECT_EQ(both.status(), 2);
  EXPECT_NE(both.err().find("--solvers-only excludes"), std::string::npos) << both.err();
}

}  // namespace
}  // namespace chest
