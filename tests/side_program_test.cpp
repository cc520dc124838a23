// What the program is told of channels beside pilots: fits, sweeps and estimates with --side.
#include <gtest/gtest.h>

#include <algorithm>
#include <complex>
#include <limits>

#include <chest/archive.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

#include "tests/support/npy.hpp"
#include "tests/support/program.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 8, n_tx = 4, n_h = n_rx * n_tx, n = 80;

TEST(Side, InTheProgram) {
  const TemporaryFolder folder;
  const auto file = [&](const char* name) { return (folder / name).string(); };
  const std::string channels = file("h.npy"), side = file("side.npy"), model = file("side.h5");
  const auto holds = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  Rng rng(1, {Purpose::test});
  const arma::cx_mat s = rng.cx_normal(n_h, n),
                     h = 0.9 * s + std::sqrt(0.19) * rng.cx_normal(n_h, n);
  test::write_npy(channels, h, n_rx, n_tx);
  test::write_npy(side, s, n_rx, n_tx);
  const auto fit = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"fit", "dmse", "--channels", channels, "--side", side, "--epochs",
                                 "1", "--quiet", "--force", "--out"});
    return answer_of(words);
  };
  const std::string first = fit({model, "--network", "chest:hidden=6-6"});
  if (first.find("without LibTorch") != std::string::npos) GTEST_SKIP() << first;
  holds(answer_of({"info", model}), "told another matrix of each channel: --side FILE");

  const auto sweep = [&](const std::string& estimator, const std::vector<std::string>& more) {
    std::vector<std::string> words{
        "sweep",   "--channels", channels,       "--samples", "20:40",   "--snr",
        "0",       "--model",    model,          "--quiet",   "--force", "--estimators",
        estimator, "--csv",      file("row.csv")};
    words.insert(words.end(), more.begin(), more.end());
    return answer_of(words);
  };
  const auto nmse = [&](const std::vector<std::string>& more) {
    const std::string answer = sweep("dmse", more);
    EXPECT_EQ(answer.front(), '0') << answer;
    const std::string text = text_of(file("row.csv"));
    const std::vector<std::string> names = split(text.substr(0, text.find('\n')), ',');
    const auto column = std::find(names.begin(), names.end(), "nmse") - names.begin();
    return std::stod(split(text.substr(text.find('\n') + 1), ',').at(std::size_t(column)));
  };
  // The matrix of each sample is read by its number, and those of others not at all.
  arma::cx_mat others = s;
  others.head_cols(20).fill(std::numeric_limits<double>::quiet_NaN());
  others.tail_cols(40).zeros();
  test::write_npy(file("others.npy"), others, n_rx, n_tx);
  test::write_npy(file("wrong.npy"), arma::cx_mat(arma::shift(s, 1, 1)), n_rx, n_tx);
  const double told = nmse({"--side", side});
  EXPECT_EQ(nmse({"--side", file("others.npy")}), told);
  EXPECT_NEAR(nmse({"--side", side, "--block", "7"}), told, 1e-9);
  EXPECT_GT(std::abs(nmse({"--side", file("wrong.npy")}) - told), 1e-4);
  EXPECT_GT(std::abs(nmse({}) - told), 1e-4);

  // Estimates too; a matrix of zeros or NaN is none.
  test::write_npy(file("y.npy"), h, n_rx, n_tx);
  test::write_npy(file("half_y.npy"), 0.5 * h, n_rx, n_tx);
  test::write_npy(file("half_side.npy"), 0.5 * s, n_rx, n_tx);
  const auto estimate = [&](const char* y, const char* scale, const std::string& matrices) {
    std::vector<std::string> words{"estimate", "--observations", file(y),        "--snr",
                                   "10",       "--normalise",    scale,          "--model",
                                   model,      "--out",          file("out.h5"), "--force",
                                   "--quiet"};
    if (!matrices.empty()) words.insert(words.end(), {"--side", matrices});
    const std::string answer = answer_of(words);
    EXPECT_EQ(answer.front(), '0') << answer;
    const auto all = ArchiveReader(file("out.h5")).read_all<std::complex<double>>("/channels");
    return arma::cx_mat(all.data(), n_h, n);
  };
  const arma::cx_mat with = estimate("y.npy", "1", side), without = estimate("y.npy", "1", ""),
                     mixed = estimate("y.npy", "1", file("others.npy"));
  EXPECT_GT(max_difference(with.col(0), without.col(0)), 1e-3);
  EXPECT_EQ(max_difference(mixed.cols(0, 19), without.cols(0, 19)), 0.0);
  EXPECT_EQ(max_difference(mixed.cols(20, 39), with.cols(20, 39)), 0.0);
  EXPECT_EQ(max_difference(mixed.cols(40, n - 1), without.cols(40, n - 1)), 0.0);
  // Stored at the scale of the observations, whatever that is.
  const arma::cx_mat half = estimate("half_y.npy", "2", file("half_side.npy"));
  EXPECT_LT(max_difference(2.0 * half, with), 1e-5);

  const std::vector<std::string> beside{"--side", side};
  holds(sweep("dmse:steps=2", beside), "a network that is told a side matrix makes one call");
  holds(sweep("dmse", {"--pilots", "qpsk:2"}), "does not decorrelate");
  holds(sweep("ep", {}), "is told a side matrix of each channel and is no prior");
  holds(answer_of({"sweep", "--channels", channels, "--snr", "0", "--estimators", "ls", "--side",
                   side, "--quiet"}),
        "none of the models is told side matrices");
  test::write_npy(file("few.npy"), s.head_cols(9), n_rx, n_tx);
  holds(sweep("dmse", {"--side", file("few.npy")}), "there are 9 of 8x4 side matrices");
  holds(sweep("dmse", {"--side", side, "--normalise", "sample"}), "side matrices have one scale");
  holds(answer_of({"sample", model, "--out", file("drawn.h5")}), "is no prior");
  holds(answer_of({"calibrate", model, "--channels", channels}), "its fit has measured its error");
  holds(answer_of({"estimate", "--observations", file("y.npy"), "--snr", "0", "--model", model,
                   "--side", side, "--track", "auto", "--out", file("no.h5")}),
        "--track and --side both bring other slots");
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--pilots", "qpsk:2"},
                                                {"--arrays", "4-8x2-4"},
                                                {"--unroll", "2"},
                                                {"--network", "chest:bias-free"}}) {
    std::vector<std::string> all{file("no.h5")};
    all.insert(all.end(), words.begin(), words.end());
    const std::string answer = fit(all);
    EXPECT_EQ(answer.front(), '2') << answer;
    holds(answer, "side");
  }
  holds(fit({file("no.h5"), "--start", model}), "--side and --start exclude each other");
  holds(fit({file("no.h5"), "--normalise", "sample"}), "side matrices have one scale");
  holds(answer_of({"fit", "lmmse", "--channels", channels, "--side", side, "--out", file("no.h5")}),
        "--side is for dmse");
}

}  // namespace
}  // namespace chest
