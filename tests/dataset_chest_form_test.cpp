#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include <chest/channels/dataset.hpp>
#include <chest/channels/generator.hpp>
#include <chest/error.hpp>

#include "tests/support/channel_fixtures.hpp"

namespace chest {
namespace {

using test::message_of;
using test::TemporaryFolder;

ChannelFileOptions options_for(const ChannelGenerator& generator, arma::uword n_samples) {
  ChannelFileOptions options;
  options.n_rx = generator.n_rx();
  options.n_tx = generator.n_tx();
  options.n_samples = n_samples;
  options.model = generator.describe();
  options.provenance.seed = 5;
  return options;
}

TEST(ChannelFile, IsReadBackAsItWasWritten) {
  const TemporaryFolder folder;
  ScmOptions scm;
  scm.n_rx = 6;
  scm.n_tx = 3;
  const auto generator = make_scm(scm);
  const ChannelBlock all = generator->generate(5, 0, 50);
  for (const bool single : {true, false}) {
    for (const bool compress : {true, false}) {
      const auto file = folder.path() / "channels.h5";
      ChannelFileOptions options = options_for(*generator, 50);
      options.single_precision = single;
      options.compress = compress;
      options.with_covariances = true;
      ChannelFileWriter writer(file, options);
      writer.append(generator->generate(5, 0, 20));
      writer.append(generator->generate(5, 20, 30));
      writer.finish();

      const Dataset dataset(file);
      const DatasetInfo& info = dataset.info();
      EXPECT_EQ(info.kind, "chest");
      EXPECT_EQ(info.dataset, "/channels");
      EXPECT_EQ(info.axes, "nrt");
      EXPECT_EQ(info.n_samples, 50u);
      EXPECT_EQ(info.n_rx, 6u);
      EXPECT_EQ(info.n_tx, 3u);
      EXPECT_EQ(info.model, generator->describe());
      EXPECT_TRUE(info.has_covariances);
      EXPECT_FALSE(info.has_prior);
      // float32 rounds by at most 2^-24 relative.
      const double tolerance = single ? std::ldexp(1.0, -24) * arma::abs(all.h).max() : 0.0;
      EXPECT_TRUE(arma::approx_equal(dataset.read(0, 50), all.h, "absdiff", tolerance));
      EXPECT_TRUE(arma::approx_equal(dataset.read(7, 30), all.h.cols(7, 36), "absdiff", tolerance));
      const ToeplitzKroneckerCovariances covariances = dataset.read_covariances(10, 5);
      EXPECT_TRUE(
          arma::approx_equal(covariances.t_rx, all.covariances.t_rx.cols(10, 14), "absdiff", 0.0));
      EXPECT_TRUE(
          arma::approx_equal(covariances.t_tx, all.covariances.t_tx.cols(10, 14), "absdiff", 0.0));
      EXPECT_FALSE(dataset.prior().has_value());
      EXPECT_EQ(dataset.read(50, 0).n_cols, 0u);
    }
  }
}

TEST(ChannelFile, KeepsThePrior) {
  const TemporaryFolder folder;
  const auto generator = make_cluster_mixture({});
  ChannelFileOptions options = options_for(*generator, 10);
  options.prior = generator->prior();
  ChannelFileWriter writer(folder.path() / "gmm.h5", options);
  writer.append(generator->generate(1, 0, 10));
  writer.finish();

  DatasetOptions twice;
  twice.normalisation = Normalisation::factor;
  twice.factor = 2.0;
  const auto prior = Dataset(folder.path() / "gmm.h5", twice).prior();
  ASSERT_TRUE(prior.has_value());
  EXPECT_TRUE(arma::approx_equal(prior->weights, options.prior->weights, "absdiff", 0.0));
  EXPECT_TRUE(arma::approx_equal(prior->covariances[3], 4.0 * options.prior->covariances[3],
                                 "absdiff", 1e-12));
}

TEST(ChannelFile, KeepsTheErrorVariancesOfEstimates) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "estimates.h5";
  const auto generator = make_rayleigh(2, 2);
  ChannelFileOptions options = options_for(*generator, 3);
  options.with_err_var = true;
  ChannelFileWriter writer(file, options);
  ChannelBlock block = generator->generate(1, 0, 3);
  EXPECT_EQ(message_of([&] { writer.append(block); }),
            file.string() + ": 0 error variances for 3 channels");
  block.err_var = {0.1, 0.2, 0.3};
  writer.append(block);
  writer.finish();
  EXPECT_EQ(ArchiveReader(file).read_all<double>("/err_var"), (std::vector<double>{0.1, 0.2, 0.3}));
}

TEST(ChannelFile, CovariancesAreScaledLikeTheChannels) {
  const TemporaryFolder folder;
  const auto generator = make_kronecker({});
  ChannelFileOptions options = options_for(*generator, 8);
  options.with_covariances = true;
  options.single_precision = false;
  ChannelFileWriter writer(folder.path() / "k.h5", options);
  const ChannelBlock block = generator->generate(1, 0, 8);
  writer.append(block);
  writer.finish();
  for (const Normalisation normalisation : {Normalisation::dataset, Normalisation::sample}) {
    DatasetOptions reading;
    reading.normalisation = normalisation;
    const Dataset dataset(folder.path() / "k.h5", reading);
    const arma::cx_mat h = dataset.read(0, 8);
    const ToeplitzKroneckerCovariances scaled = dataset.read_covariances(0, 8);
    for (arma::uword k = 0; k < 8; ++k) {
      const std::complex<double> factor = h(0, k) / block.h(0, k);
      EXPECT_NEAR(scaled.t_rx(0, k).real(), std::norm(factor), 1e-12);
      EXPECT_NEAR(scaled.t_tx(0, k).real(), 1.0, 1e-12);
    }
    const arma::vec power = arma::sum(arma::square(arma::abs(h)), 0).t() / 64.0 / 16.0;
    EXPECT_NEAR(arma::mean(power), 1.0, 1e-12);
    if (normalisation == Normalisation::sample) {
      EXPECT_NEAR(power.max(), 1.0, 1e-12);
      EXPECT_NEAR(power.min(), 1.0, 1e-12);
    }
  }
}

TEST(ChannelFile, IsNotThereBeforeItIsFinished) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "channels.h5";
  const auto generator = make_rayleigh(2, 2);
  {
    ChannelFileWriter writer(file, options_for(*generator, 10));
    writer.append(generator->generate(1, 0, 4));
    EXPECT_EQ(message_of([&] { writer.finish(); }),
              file.string() + ": finished after 4 of 10 channels");
    EXPECT_EQ(message_of([&] { writer.append(generator->generate(1, 4, 7)); }),
              file.string() + ": more than the 10 channels it was made for");
    EXPECT_EQ(message_of([&] {
                writer.append({arma::cx_mat(3, 1), {}, {}});
              }),
              file.string() + ": channels of 3 entries, expected 4");
  }
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ChannelFile, CanBeReadFromSeveralThreads) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "channels.h5";
  const auto generator = make_rayleigh(8, 4);
  ChannelFileOptions options = options_for(*generator, 4000);
  options.compress = true;
  ChannelFileWriter writer(file, options);
  writer.append(generator->generate(1, 0, 4000));
  writer.finish();
  const Dataset dataset(file);
  const arma::cx_mat all = dataset.read(0, 4000);
  std::vector<std::thread> threads;
  std::vector<int> equal(4, 1);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (arma::uword first = 100 * i; first + 130 < 4000; first += 400)
        equal[i] &= arma::approx_equal(dataset.read(first, 130), all.cols(first, first + 129),
                                       "absdiff", 0.0);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, std::vector<int>(4, 1));
}

}  // namespace
}  // namespace chest
