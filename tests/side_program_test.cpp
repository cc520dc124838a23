// What the program is told of channels beside pilots: fits, sweeps and estimates with --side.
#include <gtest/gtest.h>

#include <limits>

#include <chest/archive.hpp>
#include <chest/random.hpp>

#include "tests/support/npy.hpp"
#include "tests/support/program.hpp"
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

  // Sweeps read the matrix of each sample by its number, and those of others not at all.
  const auto sweep = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"sweep", "--channels", channels, "--samples", "20:40", "--snr",
                                 "0", "--model", model, "--estimators", "dmse", "--quiet"});
    const std::string answer = answer_of(words);
    return answer.substr(0, answer.find("seconds"));
  };
  const auto csv = [&](const std::string& name, std::vector<std::string> words) {
    words.insert(words.end(), {"--csv", file("row.csv"), "--force", "--side", name});
    sweep(words);
    const std::string text = text_of(file("row.csv"));
    const std::size_t row = text.find('\n') + 1;
    return text.substr(row, text.rfind(',') - row - 20);  // but for the time that it took
  };
  arma::cx_mat others = s;
  others.head_cols(20).fill(std::numeric_limits<double>::quiet_NaN());
  others.tail_cols(40).zeros();
  test::write_npy(file("others.npy"), others, n_rx, n_tx);
  test::write_npy(file("wrong.npy"), arma::cx_mat(arma::shift(s, 1, 1)), n_rx, n_tx);
  const auto nmse_of = [&](const std::string& row) {
    std::string rest = row;
    for (int column = 0; column < 7; ++column) rest = rest.substr(rest.find(',') + 1);
    return std::stod(rest);
  };
  const double told = nmse_of(csv(side, {}));
  EXPECT_EQ(nmse_of(csv(file("others.npy"), {})), told);
  EXPECT_NEAR(nmse_of(csv(side, {"--block", "7"})), told, 1e-12);
  EXPECT_GT(std::abs(nmse_of(csv(file("wrong.npy"), {})) - told), 1e-4);

  // Estimates too; a matrix that is not known is that of none.
  test::write_npy(file("y.npy"), h, n_rx, n_tx);
  const auto estimate = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words{
        "estimate", "--observations", file("y.npy"), "--snr", "10",           "--normalise",
        "1",        "--model",        model,         "--out", file("out.h5"), "--force",
        "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    const std::string answer = answer_of(words);
    EXPECT_EQ(answer.front(), '0') << answer;
    return arma::cx_vec(ArchiveReader(file("out.h5")).read_all<std::complex<double>>("/channels"));
  };
  const arma::cx_vec with = estimate({"--side", side}), without = estimate({}),
                     mixed = estimate({"--side", file("others.npy")});
  const auto of = [&](const arma::cx_vec& all, arma::uword k) {
    return arma::cx_vec(all.subvec(k * n_h, (k + 1) * n_h - 1));
  };
  EXPECT_GT(arma::norm(of(with, 0) - of(without, 0)), 1e-3);
  EXPECT_EQ(arma::norm(of(mixed, 0) - of(without, 0)), 0.0);
  EXPECT_EQ(arma::norm(of(mixed, 30) - of(with, 30)), 0.0);
  // At another scale, theirs comes with it.
  const arma::cx_vec half = estimate({"--side", side, "--normalise", "1"});
  EXPECT_EQ(arma::norm(half - with), 0.0);

  holds(sweep({"--estimators", "dmse:steps=2", "--side", side}), "is told a side matrix makes one");
  holds(sweep({"--pilots", "qpsk:2", "--side", side}), "does not decorrelate");
  holds(sweep({"--estimators", "ep"}), "is told a side matrix of each channel and is no prior");
  holds(answer_of({"sweep", "--channels", channels, "--snr", "0", "--estimators", "ls", "--side",
                   side, "--quiet"}),
        "none of the models is told side matrices");
  test::write_npy(file("few.npy"), s.head_cols(9), n_rx, n_tx);
  holds(sweep({"--side", file("few.npy")}), "there are 9 of 8x4 side matrices");
  holds(sweep({"--side", side, "--normalise", "sample"}), "side matrices have one scale");
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
