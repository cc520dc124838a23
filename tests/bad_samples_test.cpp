// Samples that are no channels, and what is asked for: in the library and in the program.
#include <gtest/gtest.h>

#include <fstream>

#include <nlohmann/json.hpp>

#include <chest/archive.hpp>
#include <chest/channels/dataset.hpp>
#include <chest/random.hpp>
#include <chest/sim/results.hpp>

#include "tests/support/npy.hpp"
#include "tests/support/program.hpp"
#include "tests/support/run.hpp"

namespace chest {
namespace {

using Words = std::vector<std::string>;

constexpr arma::uword n = 300, n_rx = 4, n_tx = 2;

arma::cx_mat channels() {
  Rng rng(7, {Purpose::test});
  return rng.cx_normal(n_rx * n_tx, n);
}

DatasetOptions options_for(Normalisation normalisation, arma::uword first = 0, arma::uword end = 0,
                           bool skip_bad = false) {
  DatasetOptions options;
  options.normalisation = normalisation;
  options.first = first;
  options.end = end;
  options.skip_bad = skip_bad;
  return options;
}

std::string said(int status, const Words& words) {
  Program program(words);
  EXPECT_EQ(program.status(), status) << program.err();
  return program.out() + program.err();
}

TEST(SampleSet, KeepsRangesAndSaysThemAsSamplesDoes) {
  SampleSet set;
  for (const arma::uword k : {3, 4, 5, 6, 12}) set.add(k);
  EXPECT_EQ(set.size(), 5u);
  EXPECT_EQ(set.text(), "3:7, 12");
  std::string outside;
  for (const SampleRange& range : set.outside({4, 15})) outside += range.text() + " ";
  EXPECT_EQ(outside, "7:12 13:15 ");
  EXPECT_TRUE(set.outside({3, 7}).empty());
}

TEST(SampleSet, ReadersWithoutSomeSamplesReadTheOthersInAnyBlocks) {
  const arma::cx_mat h = channels();
  SampleSet set;
  for (const arma::uword k : {0, 3, 4, 5, 299}) set.add(k);
  const SampleReader reader = without(samples_in_memory(h, n_rx, n_tx), set);
  ASSERT_EQ(reader.n_samples, n - 5);
  arma::cx_mat expected = h;
  expected.shed_cols(arma::uvec{0, 3, 4, 5, 299});
  EXPECT_TRUE(arma::approx_equal(reader.read(0, n - 5), expected, "absdiff", 0.0));
  EXPECT_TRUE(arma::approx_equal(reader.read(2, 3), expected.cols(2, 4), "absdiff", 0.0));
  EXPECT_EQ(reader.read(n - 5, 0).n_cols, 0u);
}

TEST(BadSamples, OutsideOfThoseAskedForChangeNothing) {
  const TemporaryFolder folder;
  const arma::cx_mat good = channels();
  arma::cx_mat h = good;
  h.col(3).zeros();
  h(1, 7) = arma::datum::nan;
  h.cols(250, 299).fill(1e30);
  const auto file = folder / "h.npy", alone = folder / "alone.npy";
  test::write_npy(file, h, n_rx, n_tx);
  test::write_npy(alone, good.cols(10, 199), n_rx, n_tx);
  for (const Normalisation normalisation :
       {Normalisation::none, Normalisation::dataset, Normalisation::sample}) {
    const Dataset part(file, options_for(normalisation, 10, 200));
    const Dataset whole(alone, options_for(normalisation));
    EXPECT_TRUE(arma::approx_equal(part.read(10, 190), whole.read(0, 190), "absdiff", 0.0))
        << to_string(normalisation);
  }
}

TEST(BadSamples, AllAreCountedAndNamed) {
  const TemporaryFolder folder;
  arma::cx_mat h = channels();
  h.cols(3, 6).zeros();
  h.col(12).zeros();
  h(2, 20) = {0.0, arma::datum::inf};
  const auto file = folder / "h.npy";
  test::write_npy(file, h, n_rx, n_tx);
  const std::string all =
      "samples 3:7, 12 (5 of 300) are zero and sample 20 (1 of 300) is not finite";
  for (const Normalisation normalisation :
       {Normalisation::none, Normalisation::dataset, Normalisation::sample}) {
    EXPECT_EQ(sim::error_of([&] {
                const Dataset dataset(file, options_for(normalisation));
                dataset.read(0, n);
              }),
              file.string() + ": sample 3 is all zero (counted from 0); " + all +
                  "; leave them out with --skip-bad or --samples");
    const Dataset dataset(file, options_for(normalisation, 0, 0, true));
    EXPECT_EQ(dataset.info().bad.text(n), all);
  }
  EXPECT_EQ(sim::error_of([&] { Dataset(file, options_for(Normalisation::none, 13, 30)); }),
            file.string() +
                ": sample 20 is not finite, first at entry [2, 0] of [n_rx, n_tx] (counted from "
                "0); leave it out with --skip-bad or --samples");
  EXPECT_EQ(sim::error_of([&] { Dataset(file, options_for(Normalisation::none, 3, 7, true)); }),
            file.string() + ": all 4 samples are zero");
}

TEST(BadSamples, PowerIsThatOfTheOthers) {
  const TemporaryFolder folder;
  arma::cx_mat h = 3.0 * channels();
  h.cols(100, 299).zeros();
  test::write_npy(folder / "h.npy", h, n_rx, n_tx);
  const Dataset skipping(folder / "h.npy", options_for(Normalisation::dataset, 0, 0, true));
  const Dataset asked(folder / "h.npy", options_for(Normalisation::dataset, 0, 100));
  EXPECT_NEAR(skipping.info().scale, asked.info().scale, 1e-12 * asked.info().scale);
  EXPECT_EQ(skipping.info().bad.all.text(), "100:300");
}

TEST(BadSamples, TinyAndHugeOnesAreGood) {
  // Squares of these leave the range of double.
  const TemporaryFolder folder;
  const arma::cx_mat h = channels();
  for (const double scale : {1e-170, 1e-30, 1e170}) {
    test::write_npy(folder / "h.npy", arma::cx_mat(scale * h), n_rx, n_tx);
    for (const Normalisation normalisation : {Normalisation::dataset, Normalisation::sample}) {
      const Dataset dataset(folder / "h.npy", options_for(normalisation));
      arma::vec scales;
      const arma::cx_mat read = dataset.read(0, n, scales);
      EXPECT_NEAR(arma::accu(arma::square(arma::abs(read))) / double(h.n_elem), 1.0, 1e-12);
      EXPECT_LT(arma::abs(read.col(5) / scales(5) / scale - h.col(5)).max(), 1e-12);
    }
    EXPECT_NE(sim::error_of([&] { Dataset(folder / "h.npy"); }).find("choose --normalise dataset"),
              std::string::npos);
  }
}

TEST(BadSamples, OneThatIsLeftOutDoesNotChangeWhatTheOthersSee) {
  const arma::cx_mat h = channels();
  const SampleReader samples = samples_in_memory(h, n_rx, n_tx);
  arma::cx_mat holes = h;
  holes.col(70).fill(arma::datum::nan);
  const SampleReader bad = samples_in_memory(holes, n_rx, n_tx);
  sim::SweepOptions options;
  options.snr_db = {10.0};
  options.estimators = {"ls"};
  options.block = 1;
  const sim::Results whole = run_sweep(samples, {}, &sim::test_estimators, options);
  options.left_out.add(70);
  const sim::Results part = run_sweep(bad, {}, &sim::test_estimators, options);
  for (arma::uword k = 0; k < n; ++k) {
    // The error of LS is the noise: that of sample k is the same in both.
    for (arma::uword i = 0; i < part.n_sums; ++i)
      EXPECT_EQ(part.sums_of(0, k, 0)[i], k == 70 ? 0.0 : whole.sums_of(0, k, 0)[i]) << k;
  }
  EXPECT_EQ(sim::rows(part)[0].n_samples, n - 1);
  // Blocks of several, and shards of them.
  options.block = 64;
  const double nmse = sim::rows(run_sweep(bad, {}, &sim::test_estimators, options))[0].nmse;
  EXPECT_NEAR(nmse, sim::rows(part)[0].nmse, 1e-12);
  std::vector<sim::Results> shards;
  for (arma::uword i = 1; i <= 2; ++i) {
    options.shard = {i, 2};
    shards.push_back(run_sweep(bad, {}, &sim::test_estimators, options));
  }
  EXPECT_EQ(sim::rows(sim::merge(shards))[0].nmse, nmse);
}

TEST(BadSamplesProgram, EveryCommandAsksForTheSameAndSkipsTheSame) {
  const TemporaryFolder folder;
  arma::cx_mat h = channels();
  h.cols(50, 52).zeros();
  h(0, 60) = arma::datum::nan;
  const std::string file = (folder / "h.npy").string();
  test::write_npy(file, h, n_rx, n_tx);
  const std::string all =
      "samples 50:53 (3 of 300) are zero and sample 60 (1 of 300) is not finite";
  const std::vector<Words> commands{
      {"sweep", "--estimators", "ls", "--snr", "10"},
      {"link", "--estimators", "ls", "--snr", "10", "--n-data", "1"},
      {"fit", "lmmse", "--force", "--out", (folder / "lmmse.h5").string()},
      {"fit", "gmm", "--components", "1", "--force", "--out", (folder / "gmm.h5").string()},
      {"pilots", "--n-pilots", "1"}};
  for (Words words : commands) {
    words.insert(words.end(), {"--channels", file});
    EXPECT_NE(said(1, words).find(all), std::string::npos) << words[0];
    words.push_back("--skip-bad");
    EXPECT_NE(said(0, words).find(all + "; they are left out"), std::string::npos) << words[0];
    words.back() = "--samples=61:";
    EXPECT_EQ(said(0, words).find("not finite"), std::string::npos) << words[0];
  }
  EXPECT_NE(said(0, {"info", file}).find("bad       " + all), std::string::npos);
  // What is left out is recorded, and its number is not that of others.
  const std::string results = (folder / "results.h5").string();
  said(0, {"sweep", "--channels", file, "--estimators", "ls", "--snr", "10", "--skip-bad", "--out",
           results});
  EXPECT_EQ(sim::rows(sim::load_results(results))[0].n_samples, n - 4);
  EXPECT_NE(said(0, {"info", results}).find("left out  4 samples: 50:53, 60"), std::string::npos);
}

TEST(BadSamplesProgram, EstimatesOfThoseThatAreLeftOutAreNaN) {
  const TemporaryFolder folder;
  arma::cx_mat y = channels();
  y.cols(50, 52).zeros();
  const std::string file = (folder / "y.npy").string(), out = (folder / "h.h5").string();
  test::write_npy(file, y, n_rx, n_tx);
  const Words words{"estimate", "--observations", file, "--estimator", "ls", "--snr",
                    "20",       "--out",          out};
  EXPECT_NE(said(1, words).find("samples 50:53 (3 of 300) are zero"), std::string::npos);
  Words skipping = words;
  skipping.push_back("--skip-bad");
  said(0, skipping);
  DatasetOptions options = options_for(Normalisation::none, 0, 0, true);
  const Dataset estimates(out, options);
  ASSERT_EQ(estimates.info().n_samples, n);
  EXPECT_EQ(estimates.info().bad.text(n), "samples 50:53 (3 of 300) are not finite");
  EXPECT_LT(arma::abs(estimates.read(53, 100) - y.cols(53, 152)).max(), 1e-6);
  // A part of the observations is a part of the estimates.
  Words part = words;
  part.back() = (folder / "part.h5").string();
  part.push_back("--samples=100:120");
  said(0, part);
  const Dataset some(folder / "part.h5", options_for(Normalisation::factor));
  EXPECT_LT(arma::abs(some.read(0, 20) - estimates.read(100, 20)).max(), 1e-15);
}

}  // namespace
}  // namespace chest
