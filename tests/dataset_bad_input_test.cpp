#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include <chest/channels/dataset.hpp>
#include <chest/channels/generator.hpp>
#include <chest/error.hpp>

#include "tests/support/channel_fixtures.hpp"

namespace chest {
namespace {

using test::fixture;
using test::message_of;
using test::TemporaryFolder;

/// What opening and reading all of a file says, without the name of the file in front.
std::string complaint_of(const std::filesystem::path& file, const DatasetOptions& options = {}) {
  const std::string message = message_of([&] {
    const Dataset dataset(file, options);
    dataset.read(0, dataset.info().n_samples);
  });
  const std::string prefix = file.string() + ": ";
  EXPECT_EQ(message.compare(0, prefix.size(), prefix), 0) << message;
  return message.substr(std::min(prefix.size(), message.size()));
}

std::string complaint(const std::string& name, const DatasetOptions& options = {}) {
  return complaint_of(fixture(name), options);
}

DatasetOptions with_dataset(const std::string& name) {
  DatasetOptions options;
  options.dataset = name;
  return options;
}

DatasetOptions with_axes(const std::string& axes) {
  DatasetOptions options;
  options.axes = axes;
  return options;
}

DatasetOptions with_n_rx(arma::uword n_rx) {
  DatasetOptions options;
  options.n_rx = n_rx;
  return options;
}

TEST(DatasetBadInput, FilesThatAreNotChannelFiles) {
  EXPECT_EQ(complaint("no_such_file.mat"), "there is no such file");
  const TemporaryFolder folder;
  EXPECT_EQ(complaint_of(folder.path()), "is a folder, expected a file of channels");
  const auto text = folder.path() / "text.h5";
  std::ofstream(text) << "estimator,pilots,snr_db\n";
  EXPECT_EQ(
      complaint_of(text),
      "is text (CSV or the like); load it, for example with numpy.loadtxt, and save the array "
      "of channels with np.save");
}

TEST(DatasetBadInput, TruncatedFiles) {
  const TemporaryFolder folder;
  for (const std::string name : {"matlab_chunked.mat", "h5py.h5", "c64_v1.npy"}) {
    const auto file = folder.path() / name;
    std::filesystem::copy_file(fixture(name), file);
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 200);
    const std::string said = complaint_of(file);
    if (name == "c64_v1.npy") {
      EXPECT_EQ(said,
                "claims the shape (5, 4, 3) of complex64, but holds 280 bytes of data; it is "
                "truncated");
    } else {
      EXPECT_EQ(said.find("is an HDF5 file that is truncated (truncated file: eof = "), 0u) << said;
    }
  }
  const auto header = folder.path() / "c128_v2.npy";
  std::filesystem::copy_file(fixture("c128_v2.npy"), header);
  std::filesystem::resize_file(header, 40);
  EXPECT_EQ(complaint_of(header), "ends within the header of a NumPy file; it is truncated");
  std::filesystem::resize_file(header, 9);
  EXPECT_EQ(complaint_of(header), "ends within the header of a NumPy file; it is truncated");
  const auto only_header = folder.path() / "userblock.mat";
  std::filesystem::copy_file(fixture("matlab_chunked.mat"), only_header);
  std::filesystem::resize_file(only_header, 512);
  EXPECT_EQ(complaint_of(only_header),
            "has the header of a MATLAB v7.3 file but no HDF5 content; it is truncated");
}

TEST(DatasetBadInput, DatasetsThatAreNotThereOrNotClear) {
  EXPECT_EQ(
      complaint("matlab_several.mat"),
      "several datasets could be the channels, there are /H_downlink (compound {real float32, "
      "imag float32} (3, 4, 5)) and /H_uplink (compound {real float32, imag float32} (3, 4, "
      "5)); name one, as FILE:DATASET");
  EXPECT_EQ(complaint("h5py.h5", with_dataset("H")),
            "there is no dataset /H, there are /channels (compound {r float32, i float32} (5, 4, "
            "3))");
  EXPECT_EQ(
      complaint("h5py_gzip_double.h5", with_dataset("set")),
      "/set is a group, expected a dataset; there are /set/h (compound {r float64, i float64} "
      "(5, 4, 3))");
  EXPECT_EQ(complaint("h5py_text.h5"),
            "no dataset of complex channels was found, there are /note (string ())");
  EXPECT_EQ(complaint("h5py_text.h5", with_dataset("note")),
            "/note holds string, expected complex values");
  EXPECT_EQ(complaint("c64_v1.npy", with_dataset("H")),
            "is a NumPy file with a single array, there is no H in it");
}

TEST(DatasetBadInput, RealWhereComplexIsNeeded) {
  const std::string needed =
      "complex values are needed; where real and imaginary part are an axis of length 2, name it "
      "as c, for example --axes ncrt; where they alternate along an axis (I, Q, I, Q), take them "
      "apart first, in Python: H = x[..., 0::2] + 1j * x[..., 1::2]";
  EXPECT_EQ(
      complaint("matlab_real.mat"),
      "no dataset of complex channels was found, there are /power (float64 (3, 4, 5)); " + needed);
  EXPECT_EQ(complaint("matlab_real.mat", with_dataset("power")),
            "/power holds float64 (3, 4, 5), " + needed);
  EXPECT_EQ(
      complaint("h5py_planes.h5"),
      "no dataset of complex channels was found, there are /h (float32 (5, 2, 4, 3)); " + needed);
  EXPECT_EQ(complaint("real.npy"), "holds float32 (5, 4), " + needed);
  EXPECT_EQ(complaint("integer.npy"), "holds int32 (5, 4), " + needed);
}

TEST(DatasetBadInput, TypesThatCannotBeRead) {
  EXPECT_EQ(complaint("octave_single.h5"),
            "/H was not written to its end: Octave cannot save complex single as HDF5; save "
            "double(H)");
  EXPECT_EQ(complaint("pickled.npy"),
            "holds pickled Python objects, expected one complex array; save that with np.save");
  EXPECT_EQ(complaint("structured.npy").find("has the shape (5), expected [n, n_rx, n_tx]"), 0u);
}

TEST(DatasetBadInput, WrongRankAndAxes) {
  EXPECT_EQ(complaint("h5py_rank_one.h5"),
            "no dataset of complex channels was found, there are /h (compound {r float32, i "
            "float32} (4))");
  EXPECT_EQ(complaint("h5py_rank_one.h5", with_dataset("h")),
            "/h has the shape (4), expected [n, n_rx, n_tx]; name each of its 1 axes with --axes, "
            "from n (sample; on several axes: all their combinations), r, t (antennas), f "
            "(subcarrier), s (OFDM symbol), v (vec(H), w: with the rows of H one after the other), "
            "c (real and imaginary part), or the index "
            "that is taken of any other axis, 0 for the first");
  EXPECT_EQ(
      complaint("h5py_bands.h5"),
      "/h has the shape (5, 2, 4, 3), expected [n, n_rx, n_tx]; name each of its 4 axes with "
      "--axes, from n (sample; on several axes: all their combinations), r, t (antennas), f "
      "(subcarrier), s (OFDM symbol), v (vec(H), w: with the rows of H one after the other), c "
      "(real and imaginary part), or "
      "the index that is taken of any other axis, 0 for the first; of paths or taps of one "
      "channel no index is wanted but their sum: save that, or their delays beside them as tau");
  EXPECT_EQ(complaint("h5py.h5", with_axes("nr")),
            "/channels has 3 axes, (5, 4, 3), but --axes nr names 2");
  EXPECT_EQ(
      complaint("h5py.h5", with_axes("nrx")),
      "/channels --axes nrx: unknown axis 'x', expected n, r, t, f, s, p, v, w, c or an index");
  EXPECT_EQ(complaint("h5py_bands.h5", with_axes("n2rt")),
            "/h --axes n2rt: index 2 of an axis of length 2, expected 0 .. 1");
  EXPECT_EQ(complaint("h5py.h5", with_axes("n,r,12")),
            "/channels --axes n,r,12: index 12 of an axis of length 3, expected 0 .. 2");
  EXPECT_EQ(complaint("h5py.h5", with_axes("nvw")),
            "/channels --axes nvw: the antennas are either r and t, or v or w for vec(H)");
  EXPECT_EQ(complaint("h5py.h5", with_axes("nrr")), "/channels --axes nrr: axis r is there twice");
  EXPECT_EQ(complaint("h5py.h5", with_axes("nvt")),
            "/channels --axes nvt: the antennas are either r and t, or v or w for vec(H)");
  EXPECT_EQ(complaint("h5py.h5", with_axes("nrc")),
            "/channels --axes nrc: axis c is for real arrays, this one is complex");
  DatasetOptions real = with_dataset("h");
  real.axes = "nr0t";
  EXPECT_EQ(complaint("h5py_planes.h5", real),
            "/h --axes nr0t: the array is real, one axis must be c, of length 2");
  EXPECT_EQ(complaint("quadriga_lib.h5", with_axes("nrt")),
            "is a quadriga-lib file, whose axes are fixed; leave out --axes nrt");
}

TEST(DatasetBadInput, NumbersOfAntennasThatDoNotFit) {
  EXPECT_EQ(complaint("h5py.h5", with_n_rx(8)),
            "/channels has n_rx = 4 (shape (5, 4, 3) read as nrt), expected 8");
  EXPECT_EQ(complaint("vectorised.npy", with_n_rx(5)),
            "has n_rx = 12 (shape (5, 12) read as nr), expected 5");
  EXPECT_EQ(complaint("vectorised.npy", with_axes("nv")),
            "holds vec(H), --axes nv: say how many n_rx there are");
  DatasetOptions both = with_axes("nv");
  both.n_rx = 5;
  EXPECT_EQ(complaint("vectorised.npy", both),
            "holds vec(H) of length 12, which is not a multiple of n_rx = 5");
  EXPECT_EQ(complaint("quadriga_lib.h5", with_n_rx(8)), "has n_rx = 4, expected 8");
}

TEST(DatasetBadInput, ValuesThatAreNotChannels) {
  EXPECT_EQ(complaint("nan.npy"),
            "sample 3 is not finite, first at entry [2, 1] of [n_rx, n_tx] (counted from 0); leave "
            "it out with --skip-bad or --samples");
  EXPECT_EQ(complaint("inf.npy"),
            "sample 3 is not finite, first at entry [2, 1] of [n_rx, n_tx] (counted from 0); leave "
            "it out with --skip-bad or --samples");
  EXPECT_EQ(complaint("zero.npy"),
            "sample 2 is all zero (counted from 0); leave it out with --skip-bad or --samples");
  EXPECT_EQ(
      complaint("path_loss.npy"),
      "the mean power per entry is 1e-10, expected near 1 (0.25 .. 4); choose --normalise "
      "dataset (one factor for all channels) or --normalise sample (every channel to the same "
      "power)");
  EXPECT_EQ(complaint("h5py_empty.h5", with_dataset("h")), "/h is empty, its shape is (0, 4, 3)");
  DatasetOptions negative;
  negative.normalisation = Normalisation::factor;
  negative.factor = -1.0;
  EXPECT_EQ(complaint("h5py.h5", negative), "the normalisation factor is -1, it must be positive");
}

TEST(DatasetBadInput, RangesBeyondTheEnd) {
  const Dataset dataset(fixture("h5py.h5"));
  const std::string file = fixture("h5py.h5");
  EXPECT_EQ(message_of([&] { dataset.read(3, 3); }),
            file + ": samples 3:6 were asked for, there are 5");
  EXPECT_EQ(message_of([&] { dataset.read(6, 0); }),
            file + ": samples 6:6 were asked for, there are 5");
  EXPECT_EQ(message_of([&] { dataset.read_covariances(4, 2); }),
            file + ": samples 4:6 were asked for, there are 5");
  EXPECT_EQ(dataset.read(5, 0).n_cols, 0u);
  const arma::uword huge = std::numeric_limits<arma::uword>::max();
  EXPECT_NE(message_of([&] { dataset.read(1, huge); }), "no error");
}

TEST(DatasetBadInput, OwnFilesOfALaterVersionOrWithCovariancesThatDoNotFit) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "later.h5";
  const auto write = [&](int version, std::uint64_t n_covariances) {
    ArchiveWriter archive(file);
    write_provenance(archive, "chest-channels", version, {});
    const std::vector<std::complex<double>> ones(4 * 2 * 2, 1.0);
    archive.write("/channels", {4, 2, 2}, ones.data());
    archive.write("/covariance/t_rx", {n_covariances, 2}, ones.data());
    archive.write("/covariance/t_tx", {n_covariances, 2}, ones.data());
    archive.commit();
  };
  write(2, 4);
  EXPECT_NE(complaint_of(file).find("version"), std::string::npos) << complaint_of(file);
  write(1, 3);
  EXPECT_EQ(complaint_of(file),
            "/covariance/t_rx is compound {r float64, i float64} (3, 2), expected complex (4, 2)");
  write(1, 4);
  EXPECT_EQ(Dataset(file).info().n_samples, 4u);
}

TEST(DatasetBadInput, ShapesThatTheFileCannotHold) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "claims.npy";
  const auto write = [&](const std::string& shape) {
    std::string header = "{'descr': '<c8', 'fortran_order': False, 'shape': " + shape + ", }";
    header.resize(118, ' ');
    std::ofstream(file, std::ios::binary)
        << "\x93NUMPY" << '\x01' << '\x00' << static_cast<char>(header.size()) << '\x00' << header
        << std::string(64, '\1');
  };
  write("(1000000000000, 64, 16)");
  EXPECT_EQ(complaint_of(file),
            "claims the shape (1000000000000, 64, 16) of complex64, but holds 64 bytes of data; it "
            "is truncated");
  write("(99999999999999999999999999, 2)");
  EXPECT_EQ(complaint_of(file), "has a NumPy header that chest does not understand");
  write("(0, 18446744073709551615)");
  EXPECT_NE(complaint_of(file), "no error");
  // Space for an HDF5 dataset that was never written: shape without data.
  const auto hollow = folder.path() / "hollow.h5";
  {
    ArchiveWriter archive(hollow);
    archive.create<std::complex<float>>("/h", {1000000, 64, 16}, true);
    archive.commit();
  }
  EXPECT_EQ(complaint_of(hollow),
            "/h claims (1000000, 64, 16) values of compound {r float32, i float32} but stores 0 "
            "bytes; the file is damaged, or was not completely written");
}

TEST(DatasetBadInput, FoundByFuzzing) {
  EXPECT_EQ(Dataset(fixture("cycles.h5")).info().dataset, "/h");
  EXPECT_EQ(complaint("hollow_compact.h5"),
            "/h claims (5, 4, 3) values but stores 0 bytes; the file is damaged");
}

}  // namespace
}  // namespace chest
