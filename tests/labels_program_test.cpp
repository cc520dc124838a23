// Fits that know classes, numbers or pilots, and what becomes of them in the program.
#include <gtest/gtest.h>

#include <chest/archive.hpp>
#include <chest/random.hpp>

#include "tests/support/npy.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 8, n_tx = 4, n_h = n_rx * n_tx;

TEST(Labels, InTheProgram) {
  const TemporaryFolder folder;
  const std::string channels = (folder / "h.h5").string(),
                    labels = (folder / "labels.npy").string();
  const std::string numbers = (folder / "numbers.npy").string(), y = (folder / "y.npy").string();
  const std::string out = (folder / "estimate.h5").string();
  const auto model = [&](const char* name) { return (folder / name).string(); };
  answer_of(
      {"generate", "scm", "--n-rx", "8", "--n-tx", "4", "--n-samples", "80", "--out", channels});
  test::write_npy(
      labels, arma::vec(arma::regspace(0, 79) - 2.0 * arma::floor(arma::regspace(0, 79) / 2.0)));
  test::write_npy(numbers, arma::vec(arma::regspace(1, 80)));
  test::write_npy(y, Rng(1, {Purpose::test}).cx_normal(n_h, 5), n_rx, n_tx);
  const auto fit = [&](std::vector<std::string> words) {
    words.insert(words.begin(),
                 {"fit", "dmse", "--channels", channels, "--epochs", "1", "--quiet"});
    return answer_of(words);
  };
  const std::string small = "chest:hidden=6-6";
  const std::string first = fit(
      {"--labels", labels, "--numbers", numbers, "--network", small, "--out", model("tells.h5")});
  if (first.find("without LibTorch") != std::string::npos) GTEST_SKIP() << first;
  answer_of({"estimate", "--observations", y, "--snr", "0", "--normalise", "dataset", "--model",
             model("tells.h5"), "--out", out, "--quiet"});
  const ArchiveReader estimate(out);
  EXPECT_EQ(estimate.info("/class_probability").dims, (std::vector<std::uint64_t>{5, 2}));
  EXPECT_EQ(estimate.info("/numbers").dims, (std::vector<std::uint64_t>{5, 1}));
  const std::vector<double> p = estimate.read_all<double>("/class_probability");
  for (std::size_t k = 0; k < 5; ++k) EXPECT_NEAR(p[2 * k] + p[2 * k + 1], 1.0, 1e-12);
  EXPECT_NE(answer_of({"info", model("tells.h5")}).find("which of 2 classes and 1 numbers"),
            std::string::npos);
  fit({"--labels", labels, "--network", small + ",told-class", "--out", model("told.h5")});
  const auto sweep = [&](const std::string& estimator) {
    return answer_of({"sweep", "--channels", channels, "--samples", "0:20", "--snr", "0", "--model",
                      model("told.h5"), "--estimators", estimator, "--quiet"});
  };
  EXPECT_NE(sweep("dmse:class=1").find("dmse:class=1"), std::string::npos);
  EXPECT_NE(sweep("dmse:class=2").find("it knows the classes 0 to 1"), std::string::npos);
  EXPECT_NE(sweep("dmse:guidance=1").find("class=N"), std::string::npos);
  EXPECT_NE(answer_of({"sample", model("told.h5"), "--class", "1", "--guidance", "1", "--n-samples",
                       "3", "--calls", "4", "--out", model("drawn.h5"), "--quiet"})
                .find("3 channels"),
            std::string::npos);
  // The estimator of two pilots, for these alone.
  fit({"--pilots", "qpsk:2", "--network", small, "--out", model("few.h5")});
  const auto few = [&](const std::string& pilots, const std::string& estimator) {
    return answer_of({"sweep", "--channels", channels, "--samples", "0:20", "--snr", "0",
                      "--pilots", pilots, "--model", model("few.h5"), "--estimators", estimator,
                      "--quiet"});
  };
  EXPECT_NE(few("qpsk:2", "dmse,dmse:consistency=soft").find("consistency=soft"),
            std::string::npos);
  EXPECT_NE(few("qpsk:3", "dmse").find("was fitted for 2 pilots of its own"), std::string::npos);
  EXPECT_NE(few("qpsk:2", "ep").find("is the estimator of its own pilots and no prior"),
            std::string::npos);
  // A prior goes on from another one, on two calls.
  EXPECT_NE(fit({"--start", model("told.h5"), "--labels", labels, "--unroll", "2", "--out",
                 model("on.h5")})
                .find("1 epochs"),
            std::string::npos);
  EXPECT_NE(fit({"--start", model("told.h5"), "--out", model("on2.h5")}).find("knows 2 classes"),
            std::string::npos);
  EXPECT_NE(fit({"--network", small + ",told-class", "--out", model("no.h5")})
                .find("told-class needs --labels FILE"),
            std::string::npos);
  EXPECT_NE(fit({"--augment", "phase,loud=3", "--out", model("no.h5")}).find("there is no 'loud'"),
            std::string::npos);
}

TEST(FurtherFiles, AreFittedOnAndRemembered) {
  const TemporaryFolder folder;
  const auto path = [&](const char* name) { return (folder / name).string(); };
  const auto draw = [&](const char* name, const std::vector<std::string>& more) {
    std::vector<std::string> words{"generate",    "scm", "--n-tx", "4",
                                   "--n-samples", "60",  "--out",  path(name)};
    words.insert(words.end(), more.begin(), more.end());
    return answer_of(words);
  };
  draw("a.h5", {"--n-rx", "8"});
  draw("b.h5", {"--n-rx", "8", "--seed", "2"});
  EXPECT_NE(draw("panel.h5", {"--rx-panel", "2x4x1"}).find("covariances of a panel are not kept"),
            std::string::npos);
  draw("large.h5", {"--n-rx", "16"});
  const auto fit = [&](const char* name, std::vector<std::string> words) {
    words.insert(words.begin(), {"fit", "dmse", "--channels", path("a.h5"), "--epochs", "1",
                                 "--network", "chest:hidden=6-6", "--quiet", "--out", path(name)});
    return answer_of(words);
  };
  const std::string first = fit("alone.h5", {});
  if (first.find("without LibTorch") != std::string::npos) GTEST_SKIP() << first;
  fit("both.h5", {"--also", path("b.h5")});
  const auto weights = [&](const char* name) {
    return ArchiveReader(path(name)).read_all<float>("/weights/conv0.weight");
  };
  EXPECT_NE(weights("both.h5"), weights("alone.h5"));
  draw("c.h5", {"--n-rx", "8", "--seed", "3"});
  fit("three.h5", {"--also", path("b.h5"), "--also", path("c.h5"), "--also", path("panel.h5")});
  EXPECT_NE(weights("three.h5"), weights("both.h5"));
  const auto sweep = [&](const char* name) {
    return answer_of({"sweep", "--channels", path("b.h5"), "--samples", "50:60", "--snr", "0",
                      "--model", path(name), "--estimators", "dmse", "--quiet"});
  };
  EXPECT_NE(sweep("both.h5").find("fitted on samples 50:60 of these channels"), std::string::npos);
  EXPECT_EQ(sweep("alone.h5").find("fitted on"), std::string::npos);

  // A line and a panel of as many antennas, in one model of their parts.
  fit("many.h5", {"--arrays", "4-8x2-4", "--also", path("panel.h5")});
  EXPECT_NE(answer_of({"info", path("many.h5")}).find("arrays 4-8x2-4"), std::string::npos);
  fit("lines.h5", {"--arrays", "4-8x2-4", "--also", path("b.h5")});
  EXPECT_NE(weights("many.h5"), weights("lines.h5"));

  EXPECT_NE(fit("no.h5", {"--also", path("large.h5")}).find("some are 8x4, others 16x4"),
            std::string::npos);
  EXPECT_NE(fit("no.h5", {"--also", path("b.h5"), "--labels", "l.npy"})
                .find("--also and --labels exclude each other"),
            std::string::npos);
  EXPECT_NE(answer_of({"fit", "gmm", "--channels", path("a.h5"), "--also", path("b.h5"), "--out",
                       path("no.h5")})
                .find("--also is for dmse, not for gmm"),
            std::string::npos);
}

}  // namespace
}  // namespace chest
