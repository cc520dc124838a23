#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <cstdlib>
#include <fstream>
#include <vector>

#include <chest/channels/dataset.hpp>
#include <chest/error.hpp>

#include "tests/support/channel_fixtures.hpp"

namespace chest {
namespace {

using test::fixture;
using test::fixture_channels;
using test::message_of;
using test::TemporaryFolder;

struct Layout {
  std::string file, dataset, axes;
  arma::uword n_rx;
  std::string kind, expected_dataset, expected_axes;
  arma::cx_mat expected;
};

std::vector<Layout> layouts() {
  const arma::cx_mat h = fixture_channels(5, 4, 3);
  const arma::cx_mat simo = fixture_channels(5, 4, 1);
  const arma::cx_mat one = fixture_channels(1, 4, 3);
  return {
      {"matlab_chunked.mat", "", "", 0, "MATLAB v7.3", "/H_all", "trn", h},
      {"matlab_contiguous.mat", "", "", 0, "MATLAB v7.3", "/H", "trn", h},
      {"matlab_contiguous.mat", "H", "trn", 4, "MATLAB v7.3", "/H", "trn", h},
      {"matlab_simo.mat", "", "", 0, "MATLAB v7.3", "/H_all", "rn", simo},
      {"matlab_trailing_one.mat", "", "", 0, "MATLAB v7.3", "/H_all", "rn", simo},
      {"matlab_one_sample.mat", "", "tr", 0, "MATLAB v7.3", "/H", "tr", one},
      {"matlab_several.mat", "H_uplink", "", 0, "MATLAB v7.3", "/H_uplink", "trn", h},
      {"h5py.h5", "", "", 0, "h5py", "/channels", "nrt", h},
      {"h5py_gzip_double.h5", "", "", 0, "h5py", "/set/h", "nrt", h},
      {"h5py_long_axes.h5", "", "", 0, "h5py", "/h", "n0r0t00", h},
      {"h5py_bands.h5", "", "n0rt", 0, "h5py", "/h", "n0rt", h},
      {"h5py_pair.h5", "", "", 0, "h5py", "/coeff", "nrt", h},
      {"h5py_pair.h5", "coeff", "", 0, "h5py", "/coeff", "nrt", h},
      {"h5py_group_pair.h5", "", "", 0, "h5py", "/h", "nrt", h},
      {"h5py_group_pair.h5", "h", "", 0, "h5py", "/h", "nrt", h},
      {"h5py_trailing_two.h5", "", "", 0, "h5py", "/h", "nrtc", h},
      {"big_endian.npy", "", "", 0, "npy", "", "nrt", h},
      {"h5py_planes.h5", "h", "ncrt", 0, "h5py", "/h", "ncrt", h},
      {"octave_double.h5", "", "", 0, "Octave", "/H", "trn", h},
      {"octave_double.h5", "H", "", 0, "Octave", "/H", "trn", h},
      {"c64_v1.npy", "", "", 0, "npy", "", "nrt", h},
      {"c128_v2.npy", "", "", 0, "npy", "", "nrt", h},
      {"c64_v3.npy", "", "", 0, "npy", "", "nrt", h},
      {"fortran.npy", "", "", 0, "npy", "", "nrt", h},
      {"vectorised.npy", "", "", 4, "npy", "", "nv", h},
      {"vectorised.npy", "", "", 0, "npy", "", "nr", h},
      {"vectorised_fortran.npy", "", "", 4, "npy", "", "nv", h},
      {"stacked.npy", "", "0nr", 0, "npy", "", "0nr", simo},
      {"trailing_two.npy", "", "", 0, "npy", "", "nrtc", h},
  };
}

TEST(DatasetLayouts, HoldTheChannelsOfTheFixtures) {
  for (const Layout& layout : layouts()) {
    SCOPED_TRACE(layout.file + ":" + layout.dataset + " " + layout.axes);
    DatasetOptions options;
    options.dataset = layout.dataset;
    options.axes = layout.axes;
    options.n_rx = layout.n_rx;
    const Dataset dataset(fixture(layout.file), options);
    const DatasetInfo& info = dataset.info();
    EXPECT_EQ(info.kind, layout.kind);
    EXPECT_EQ(info.dataset, layout.expected_dataset);
    EXPECT_EQ(info.axes, layout.expected_axes);
    EXPECT_FALSE(info.type_name.empty());
    EXPECT_FALSE(info.has_covariances || info.has_prior);
    ASSERT_EQ(info.n_samples, layout.expected.n_cols);
    ASSERT_EQ(info.n_rx * info.n_tx, layout.expected.n_rows);
    // float32 rounds by at most 2^-25 of values below 1.
    EXPECT_TRUE(arma::approx_equal(dataset.read(0, info.n_samples), layout.expected, "absdiff",
                                   std::ldexp(1.0, -24)));
    if (info.n_samples > 4) {
      EXPECT_TRUE(arma::approx_equal(dataset.read(1, 3), layout.expected.cols(1, 3), "absdiff",
                                     std::ldexp(1.0, -24)));
    }
  }
}

TEST(DatasetLayouts, QuadrigaLibFollowsOrderAndSkipsSnapshotsWithoutPaths) {
  const Dataset dataset(fixture("quadriga_lib.h5"));
  const DatasetInfo& info = dataset.info();
  EXPECT_EQ(info.kind, "quadriga-lib");
  EXPECT_EQ(info.axes, "ptr");
  EXPECT_EQ(info.n_samples, 5u);
  EXPECT_EQ(info.n_rx, 4u);
  EXPECT_EQ(info.n_tx, 3u);
  EXPECT_EQ(info.n_skipped, 11u);  // 10 of channel_4, 1 of channel_5
  // Two float32 terms per entry.
  EXPECT_TRUE(arma::approx_equal(dataset.read(0, 5), fixture_channels(5, 4, 3), "absdiff", 1e-7));
}

TEST(DatasetLayouts, EveryRowOfTheAxesSeesTheSameSamplesInAnyBlocks) {
  const Dataset dataset(fixture("matlab_long.mat"));
  ASSERT_EQ(dataset.info().n_samples, 100'000u);
  const arma::cx_mat period = fixture_channels(7, 4, 3);
  const arma::uword n = dataset.info().n_samples;
  for (arma::uword first = 0; first < n; first += 7777) {
    const arma::uword count = std::min<arma::uword>(7777, n - first);
    const arma::cx_mat h = dataset.read(first, count);
    for (arma::uword k = 0; k < count; ++k) {
      const double error = arma::abs(h.col(k) - period.col((first + k) % 7)).max();
      ASSERT_LT(error, 1e-7) << "sample " << first + k;
    }
  }
  // One block over all slabs.
  const arma::cx_mat all = dataset.read(1, n - 1);
  EXPECT_LT(arma::abs(all.col(n - 2) - period.col((n - 1) % 7)).max(), 1e-7);
}

TEST(DatasetLayouts, LargeArraysAreReadInPieces) {
  // 48 MB, more than one piece; written sample by sample, value = index of the sample.
  const TemporaryFolder folder;
  const auto file = folder.path() / "large.npy";
  const std::size_t n = 750'000, n_h = 8;
  std::ofstream out(file, std::ios::binary);
  std::string header = "{'descr': '<c8', 'fortran_order': False, 'shape': (750000, 4, 2), }";
  header.resize(117, ' ');
  header += '\n';
  out << "\x93NUMPY" << '\x01' << '\x00' << static_cast<char>(header.size()) << '\x00' << header;
  std::vector<std::complex<float>> row(n_h);
  for (std::size_t k = 0; k < n; ++k) {
    std::fill(row.begin(), row.end(), std::complex<float>(static_cast<float>(k + 1)));
    out.write(reinterpret_cast<const char*>(row.data()), 8 * n_h);
  }
  out.close();
  DatasetOptions options;
  options.normalisation = Normalisation::factor;
  const arma::cx_mat h = Dataset(file, options).read(3, n - 3);
  EXPECT_EQ(h(0, 0), 4.0);
  EXPECT_EQ(h(7, n - 4), static_cast<double>(n));
  const arma::vec steps = arma::diff(arma::real(h.row(5)).t());
  EXPECT_EQ(steps.min(), 1.0);
  EXPECT_EQ(steps.max(), 1.0);
}

TEST(DatasetLayouts, NormalisationIsAppliedAndReported) {
  DatasetOptions options;
  options.normalisation = Normalisation::dataset;
  const Dataset dataset(fixture("path_loss.npy"), options);
  EXPECT_NEAR(dataset.info().scale, 1e5, 1e5 * 1e-6);
  EXPECT_LT(arma::abs(dataset.read(0, 5) - fixture_channels(5, 4, 3)).max(), 1e-6);
  options.normalisation = Normalisation::factor;
  options.factor = 2e5;
  EXPECT_NEAR(std::abs(Dataset(fixture("path_loss.npy"), options).read(2, 1)(0)), 2.0, 1e-6);
  options.normalisation = Normalisation::sample;
  const Dataset each(fixture("path_loss.npy"), options);
  EXPECT_EQ(each.info().scale, 1.0);
  EXPECT_NEAR(arma::norm(each.read(4, 1)), std::sqrt(12.0), 1e-12);
}

TEST(DatasetLayouts, NamesAreSplitAtTheColon) {
  const TemporaryFolder folder;
  const std::string file = (folder.path() / "a:b.h5").string();
  std::ofstream(file) << "x";
  using Pair = std::pair<std::filesystem::path, std::string>;
  EXPECT_EQ(split_dataset_name(file), Pair(file, ""));
  EXPECT_EQ(split_dataset_name(file + ":/set/h"), Pair(file, "/set/h"));
  EXPECT_EQ(split_dataset_name("missing.h5:H"), Pair("missing.h5", "H"));
  EXPECT_EQ(split_dataset_name("missing.h5"), Pair("missing.h5", ""));
}

TEST(DatasetLayouts, RealQuadrigaChannelsAreRead) {
  const char* reference = std::getenv("CHEST_REFERENCE_DIR");
  if (reference == nullptr) GTEST_SKIP() << "CHEST_REFERENCE_DIR is not set";
  const Dataset dataset(std::string(reference) + "/data/quadriga_umilos_32x4.mat");
  EXPECT_EQ(dataset.info().kind, "MATLAB v7.3");
  EXPECT_EQ(dataset.info().axes, "trn");
  EXPECT_EQ(dataset.info().n_samples, 4000u);
  EXPECT_EQ(dataset.info().n_rx, 32u);
  EXPECT_EQ(dataset.info().n_tx, 4u);
  const arma::cx_mat h = dataset.read(0, 4000);
  EXPECT_NEAR(arma::accu(arma::square(arma::abs(h))) / static_cast<double>(h.n_elem), 1.0, 1e-6);
}

}  // namespace
}  // namespace chest
