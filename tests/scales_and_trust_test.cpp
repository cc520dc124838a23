// chest estimate at any scale, and what chest says of figures on channels that a model knows.
#include <gtest/gtest.h>

#include <chest/archive.hpp>
#include <chest/channels/dataset.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

#include "tests/support/npy.hpp"
#include "tests/support/program.hpp"

namespace chest {
namespace {

using Words = std::vector<std::string>;

/// SCM channels 16x4 and models of the first 1000, made once for all tests.
class ScalesAndTrust : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    said(0, {"generate", "scm", "--n-rx", "16", "--n-tx", "4", "--n-samples", "2000", "--out",
             file("channels.h5")});
    said(0, {"fit", "lmmse", "--channels", file("channels.h5"), "--samples", "0:1000", "--out",
             file("lmmse.h5")});
    said(0, {"fit", "gmm", "--components", "16", "--channels", file("channels.h5"), "--samples",
             "0:1000", "--out", file("gmm.h5")});
    h_ = Dataset(file("channels.h5")).read(1500, n);
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string file(const std::string& name) { return (*folder_ / name).string(); }
  static std::string said(int status, const Words& words) {
    Program program(words);
    EXPECT_EQ(program.status(), status) << program.err();
    return program.out() + program.err();
  }
  static bool says(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }

  /// y = scale_k (h_k + n_k), k = 0 .. n - 1.
  static void write_observations(double snr_db, const arma::vec& scales) {
    Rng rng(3, {Purpose::test});
    arma::cx_mat y = h_ + rng.cx_normal(h_.n_rows, n, from_db(-snr_db));
    y.each_row() %= arma::conv_to<arma::cx_rowvec>::from(scales.t());
    test::write_npy(file("y.npy"), y, 16, 4);
  }
  static Words estimate(const std::string& snr, const Words& more = {}) {
    Words words{"estimate", "--observations", file("y.npy"),  "--estimator",
                "gmm",      "--model",        file("gmm.h5"), "--snr",
                snr,        "--out",          file("out.h5"), "--force"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  /// NMSE in dB of the estimates over the scales of their observations.
  static double nmse_db(const arma::vec& scales) {
    DatasetOptions options;
    options.normalisation = Normalisation::factor;
    arma::cx_mat h = Dataset(file("out.h5"), options).read(0, n);
    h.each_row() %= arma::conv_to<arma::cx_rowvec>::from(1.0 / scales.t());
    return to_db(arma::accu(squared_errors(h, h_)) / arma::accu(squared_norms(h_)));
  }
  static double median_sigma2(const arma::vec& scales) {
    const arma::vec values(ArchiveReader(file("out.h5")).read_all<double>("/sigma2"));
    return arma::median(arma::vec(values / arma::square(scales)));
  }
  /// The mean of a dataset [n] of the estimates, over scale^2.
  static double mean_of(const std::string& name, const arma::vec& scales) {
    const arma::vec values(ArchiveReader(file("out.h5")).read_all<double>(name));
    return arma::mean(values / arma::square(scales));
  }

  static constexpr arma::uword n = 300;
  static TemporaryFolder* folder_;
  static arma::cx_mat h_;
};
TemporaryFolder* ScalesAndTrust::folder_ = nullptr;
arma::cx_mat ScalesAndTrust::h_;

arma::vec all(double scale) { return arma::vec(300, arma::fill::value(scale)); }

TEST_F(ScalesAndTrust, EstimatesAreTheSameAtAnyScaleAndComeBackAtIt) {
  for (const double snr_db : {20.0, 0.0}) {
    const std::string snr = std::to_string(int(snr_db));
    write_observations(snr_db, all(1.0));
    said(0, estimate(snr));
    const double nmse = nmse_db(all(1.0)), err_var = mean_of("/err_var", all(1.0));
    said(0, estimate("unknown"));
    const double blind_nmse = nmse_db(all(1.0));
    for (const double scale : {1e-6, 30.0}) {
      write_observations(snr_db, all(scale));
      said(0, estimate(snr, {"--normalise", "dataset"}));
      // The factor is found from the power of 300 channels with noise: 1 % off or so.
      EXPECT_NEAR(nmse_db(all(scale)), nmse, 0.05) << scale;
      EXPECT_NEAR(mean_of("/err_var", all(scale)) / err_var, 1.0, 0.05) << scale;
      said(0, estimate(snr, {"--scale", std::to_string(1.0 / scale)}));
      EXPECT_NEAR(nmse_db(all(scale)), nmse, 0.01) << scale;
      said(0, estimate("unknown", {"--normalise", "dataset"}));
      EXPECT_NEAR(nmse_db(all(scale)), blind_nmse, 0.3) << scale;
      EXPECT_NEAR(to_db(median_sigma2(all(scale))), -snr_db, 2.0) << scale;
    }
  }
}

TEST_F(ScalesAndTrust, EachObservationMayHaveItsOwn) {
  Rng rng(9, {Purpose::test});
  arma::vec scales(n);
  for (double& scale : scales) scale = std::exp(8.0 * (rng.uniform() - 0.5));
  write_observations(20.0, scales);
  said(0, estimate("20", {"--normalise", "sample"}));
  const double nmse = nmse_db(scales);
  EXPECT_LT(nmse, -18.0);  // single channels have up to some dB more or less than the mean
  const arma::vec recorded(ArchiveReader(file("out.h5")).read_all<double>("/scale"));
  // Up to the power of single channels.
  EXPECT_LT(arma::abs(arma::log(recorded % scales)).max(), 1.5);
  const std::string record =
      ArchiveReader(file("out.h5")).text_attribute("/", "observations").value_or("");
  EXPECT_TRUE(says(record, R"("normalisation":"sample")")) << record;
}

TEST_F(ScalesAndTrust, APowerThatContradictsTheSnrIsNotEstimatedInSilence) {
  for (const double scale : {1e-6, 0.3, 3.0, 30.0}) {
    write_observations(20.0, all(scale));
    EXPECT_TRUE(says(said(1, estimate("20")), "choose --normalise dataset")) << scale;
    EXPECT_TRUE(says(said(0, estimate("20", {"--scale", "1"})), "warning: ")) << scale;
  }
  write_observations(20.0, all(0.3));
  EXPECT_TRUE(says(said(1, estimate("unknown")), "choose --normalise dataset"));
  write_observations(20.0, all(30.0));
  EXPECT_TRUE(says(said(0, estimate("unknown")), "--normalise dataset finds the factor"));
  // Noise is part of what is expected.
  write_observations(-15.0, all(1.0));
  EXPECT_FALSE(says(said(0, estimate("-15")), "warning"));
  EXPECT_TRUE(says(said(1, estimate("20")), "expected near 1.01 "));
}

TEST_F(ScalesAndTrust, FiguresOnFittingChannelsAreMarked) {
  const Words sweep{"sweep",    "--channels",     file("channels.h5"),
                    "--model",  file("lmmse.h5"), "--estimators",
                    "ls,lmmse", "--snr",          "10",
                    "--force",  "--out",          file("r.h5"),
                    "--csv",    file("r.csv")};
  Words known = sweep;
  known.push_back("--samples=900:1100");
  const std::string text = said(0, known);
  EXPECT_TRUE(says(text, "lmmse.h5 was fitted on samples 900:1000 of these channels")) << text;
  EXPECT_TRUE(says(text_of(file("r.csv")), "\nlmmse,"));
  EXPECT_TRUE(says(text_of(file("r.csv")), ",fitted on samples 900:1000 of these channels\n"));
  EXPECT_TRUE(says(said(0, {"info", file("r.h5")}), "lmmse was fitted on samples 900:1000"));
  Words held_out = sweep;
  held_out.push_back("--samples=1000:1100");
  EXPECT_FALSE(says(said(0, held_out), "fitted on samples"));
  EXPECT_FALSE(says(text_of(file("r.csv")), "fitted on samples"));
  // The same channels under another name; other channels under this one.
  std::filesystem::copy_file(file("channels.h5"), file("copy.h5"));
  known[2] = file("copy.h5");
  EXPECT_TRUE(says(said(0, known), "fitted on samples 900:1000"));
  said(0, {"generate", "scm", "--n-rx", "16", "--n-tx", "4", "--n-samples", "1100", "--seed", "2",
           "--force", "--out", file("copy.h5")});
  EXPECT_FALSE(says(said(0, known), "fitted on samples"));
}

TEST_F(ScalesAndTrust, FewerSamplesThanDimensionsAreToldAndShrunk) {
  const Words fit{"fit",   "lmmse",        "--channels", file("channels.h5"), "--samples", "0:40",
                  "--out", file("few.h5"), "--force"};
  const std::string text = said(0, fit);
  EXPECT_TRUE(says(text, "fewer samples than dimensions: 40 channels of 64 entries")) << text;
  EXPECT_TRUE(says(text, "shrunk by 0.")) << text;
  Words raw = fit;
  raw.insert(raw.end(), {"--shrinkage", "none"});
  const std::string warned = said(0, raw);
  EXPECT_TRUE(says(warned, "fewer samples than dimensions")) << warned;
  EXPECT_FALSE(says(warned, "shrunk by")) << warned;
}

}  // namespace
}  // namespace chest
