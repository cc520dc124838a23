// Files that are something else are named by their first bytes; .npy, .npz and .mat are read whatever their name.
#include <gtest/gtest.h>

#include <algorithm>
#include <complex>
#include <cstring>
#include <fstream>
#include <string>

#include <chest/archive.hpp>
#include <chest/channels/dataset.hpp>

#include "tests/support/channel_fixtures.hpp"
#include "tests/support/flip_bits.hpp"
#include "tests/support/program.hpp"
#include "tests/support/sanitized.hpp"

namespace chest {
namespace {

using Folder = test::TemporaryFolder;
using test::fixture;
using test::fixture_channels;
using test::message_of;
using namespace std::string_literals;

TEST(ForeignFiles, AreNamedByTheirFirstBytes) {
  const std::string padding(600, 'x');
  std::string tar(1024, '\0');
  tar.replace(0, 5, "H.npy").replace(257, 5, "ustar");
  const struct {
    std::string bytes, said;
  } files[] = {
      {"", "is empty (0 bytes)"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "git lfs pull"},
      {"\n <!DOCTYPE html><html><head>", "web page (HTML)"},
      {"<HTML>" + padding, "web page (HTML)"},
      {"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "XML"},
      {"\x1f\x8b\x08\0"s + padding, "gunzip"},
      {"BZh91AY" + padding, "bunzip2"},
      {"\xfd"
       "7zXZ\0"s +
           padding,
       "unxz"},
      {"\x28\xb5\x2f\xfd" + padding, "unzstd"},
      {"7z\xbc\xaf\x27\x1c" + padding, "7z x"},
      {"Rar!\x1a\x07\x01\0"s + padding, "unrar"},
      {tar, "tar xf"},
      {"PK\x05\x06"s + std::string(18, '\0'), "zip archive"},
      {"%PDF-1.7\n" + padding, "PDF"},
      {"\x89PNG\r\n\x1a\n" + padding, "PNG"},
      {"\x80\x04\x95\0\0"s + padding, "Python pickle"},
      {"SQLite format 3\0"s + padding, "SQLite"},
      {"PAR1" + padding, "Parquet"},
      {"CDF\x01\0\0"s + padding, "netCDF"},
      // Length 2, its masked CRC-32C, two bytes, a CRC of theirs that is not looked at.
      {"\x02\0\0\0\0\0\0\0\x78\x27\x0b\x34"s + "ab0000", "TFRecord"},
      {"# Created by Octave 7.3.0\n# name: H\n", "save -v7"},
      {"Octave-1-L\0"s + padding, "save -v7"},
      {"{\"H\": [1, 2]}", "JSON"},
      {"0.1,0.2\n0.3,0.4\n", "text (CSV"},
      {"\xef\xbb\xbfre;im\n1;2\n", "text (CSV"},
      {"\xff\xfe"
       "a\0,\0"s,
       "UTF-16"},
      {std::string(5000, '\0'), "zero bytes"},
      {"MATLAB 7.3 MAT-file, Platform: GLNXA64" + std::string(600, ' '), "truncated"},
      {"\x01\x02\x03\xfe\x9c" + padding, "np.fromfile"}};
  const Folder folder;
  const auto file = folder.path() / "channels.h5";
  for (const auto& [bytes, said] : files) {
    std::ofstream(file, std::ios::binary) << bytes;
    const std::string as_channels = message_of([&] { Dataset{file}; });
    EXPECT_NE(as_channels.find(said), std::string::npos) << as_channels << " / " << said;
    EXPECT_EQ(as_channels.find("damaged"), std::string::npos) << as_channels;
    const std::string as_hdf5 = message_of([&] { ArchiveReader{file}; });
    EXPECT_NE(as_hdf5.find("HDF5"), std::string::npos) << as_hdf5;
  }
}

struct Case {
  const char *file, *dataset, *kind, *expected_dataset, *axes;
  arma::cx_mat h;
  arma::uword n_skipped = 0;
};

void expect_read(const Case& expected) {
  DatasetOptions options;
  options.dataset = expected.dataset;
  options.normalisation = Normalisation::factor;
  const std::string what = std::string(expected.file) + ":" + expected.dataset;
  try {
    const Dataset read(fixture(expected.file), options);
    EXPECT_EQ(read.info().kind, expected.kind) << what;
    EXPECT_EQ(read.info().dataset, expected.expected_dataset) << what;
    EXPECT_EQ(read.info().axes, expected.axes) << what;
    EXPECT_EQ(read.info().n_skipped, expected.n_skipped) << what;
    ASSERT_EQ(read.info().n_samples, expected.h.n_cols) << what;
    const arma::cx_mat h = read.read(0, expected.h.n_cols);
    EXPECT_LT(arma::abs(h - expected.h).max(), 1e-6) << what;
    EXPECT_LT(arma::abs(read.read(2, 1) - expected.h.col(2)).max(), 1e-6) << what;
  } catch (const Error& error) {
    ADD_FAILURE() << what << ": " << error.what();
  }
}

std::string complaint(const std::string& name, const std::string& dataset = "") {
  DatasetOptions options;
  options.dataset = dataset;
  return message_of([&] { Dataset(fixture(name), options); }).substr(fixture(name).size() + 2);
}

TEST(ForeignFiles, CellsAndStructsOfMatricesOfOneSizeAreRead) {
  const arma::cx_mat h = fixture_channels(5, 4, 3);
  for (const Case& one : {Case{"matlab_cells.mat", "C", "MATLAB v7.3", "/C", "ntr", h, 1},
                          Case{"matlab_cells.mat", "C{:}", "MATLAB v7.3", "/C", "ntr", h, 1},
                          Case{"matlab_cells.mat", "u.H", "MATLAB v7.3", "/u/H", "ntr", h, 1},
                          Case{"matlab_cells.mat", "u(:).H", "MATLAB v7.3", "/u/H", "ntr", h, 1},
                          Case{"octave_cell.h5", "", "Octave", "/c", "ntr", h, 1},
                          Case{"octave_cell.h5", "c", "Octave", "/c", "ntr", h, 1}})
    expect_read(one);
  EXPECT_NE(complaint("matlab_cells.mat").find("several datasets"), std::string::npos);
  EXPECT_NE(complaint("matlab_cells_uneven.mat", "C").find("H = permute(cat(3, C{:}), [3 1 2])"),
            std::string::npos);
  EXPECT_NE(complaint("matlab_cells_uneven.mat", "u.H").find("cat(3, u.H)"), std::string::npos);
}

bool reads_npz() { return complaint("several.npz").find("without libzip") == std::string::npos; }

TEST(ForeignFiles, MatlabFilesBeforeV73AreRead) {
  const arma::cx_mat h = fixture_channels(5, 4, 3), simo = fixture_channels(5, 4, 1);
  const char* kind = "MATLAB v5 to v7";
  for (const Case& one : {Case{"matlab_v4.mat", "", "MATLAB v4", "H", "rn", simo},
                          Case{"matlab_v6.mat", "", kind, "H", "trn", h},
                          Case{"matlab_v7.mat", "", kind, "H", "trn", h},
                          Case{"matlab_v7.mat", "/H", kind, "H", "trn", h},
                          Case{"matlab_v7_struct.mat", "", kind, "s.H", "trn", h},
                          Case{"matlab_v7_struct.mat", "s.H", kind, "s.H", "trn", h},
                          Case{"matlab_v7_array.mat", "", kind, "u.H", "ntr", h},
                          Case{"matlab_v7_array.mat", "u(:).H", kind, "u.H", "ntr", h},
                          Case{"matlab_v7_cell.mat", "c{:}", kind, "c", "ntr", h, 1},
                          Case{"matlab_v7_pair.mat", "", kind, "H", "trn", h},
                          Case{"matlab_v7_several.mat", "b", kind, "b", "trn", h},
                          Case{"matlab_v7_int16.mat", "", kind, "I", "ctrn",
                               arma::cx_mat(arma::round(1000.0 * arma::real(h)),
                                            arma::round(1000.0 * arma::imag(h)))}})
    expect_read(one);
  EXPECT_EQ(complaint("matlab_v7_several.mat"),
            "several arrays could be the channels, there are a (complex double (5, 4, 3)) and b "
            "(complex double (5, 4, 3)); name one, as FILE:NAME");
  EXPECT_EQ(complaint("matlab_v7_several.mat", "e"), "e is an empty array");
  EXPECT_NE(complaint("matlab_v7_several.mat", "u").find("offset binary"), std::string::npos);
  EXPECT_NE(complaint("matlab_v7_several.mat", "zz").find("there is no array zz"),
            std::string::npos);
  EXPECT_NE(complaint("matlab_v7_sparse.mat").find("H = full(S)"), std::string::npos);
  EXPECT_NE(complaint("matlab_v7_uneven.mat").find("several sizes"), std::string::npos);
  EXPECT_NE(complaint("matlab_v7_struct.mat", "s").find("s is a struct, there are s.H"),
            std::string::npos);
}

std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 255);
  return bytes;
}

std::string big_endian(double value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

TEST(ForeignFiles, BigEndianMatlabFilesAreRead) {
  // H = [1+5i, 3+7i; 2+6i, 4+8i], as two samples of two antennas.
  std::string re, im;
  for (const double x : {1.0, 2.0, 3.0, 4.0}) {
    re += big_endian(x);
    im += big_endian(x + 4.0);
  }
  const auto words = [](std::initializer_list<std::uint32_t> values) {
    std::string bytes;
    for (const std::uint32_t value : values) bytes += big_endian(value);
    return bytes;
  };
  const std::string v4 = words({1000, 2, 2, 1, 2}) + "H\0"s + re + im;
  const std::string matrix = words({6, 8, 0x0806, 0}) + words({5, 8, 2, 2}) + words({1 << 16 | 1}) +
                             "H\0\0\0"s + words({9, 32}) + re + words({9, 32}) + im;
  std::string v5 = "MATLAB 5.0 MAT-file, Platform: SOL2";
  v5.resize(124, ' ');
  v5 += "\x01\0MI"s + words({14, static_cast<std::uint32_t>(matrix.size())}) + matrix;
  const Folder folder;
  for (const std::string& bytes : {v4, v5}) {
    const auto file = folder.path() / "H";
    std::ofstream(file, std::ios::binary) << bytes;
    DatasetOptions options;
    options.normalisation = Normalisation::factor;
    try {
      const arma::cx_mat h = Dataset(file, options).read(0, 2);
      EXPECT_EQ(h(0, 0), std::complex<double>(1.0, 5.0));
      EXPECT_EQ(h(1, 0), std::complex<double>(3.0, 7.0));
      EXPECT_EQ(h(0, 1), std::complex<double>(2.0, 6.0));
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

TEST(ForeignFiles, NpzIsReadWhereOneArrayFits) {
  if (!reads_npz()) GTEST_SKIP() << "built without libzip";
  const arma::cx_mat h = fixture_channels(5, 4, 3);
  for (const Case& one :
       {Case{"stored.npz", "", "npz", "H", "nrt", h}, Case{"stored.npz", "H", "npz", "H", "nrt", h},
        Case{"deflated.npz", "", "npz", "H", "nrt", h},
        Case{"deflated.npz", "H.npy", "npz", "H", "nrt", h},
        Case{"pair.npz", "", "npz", "H", "nrt", h},
        Case{"several.npz", "down", "npz", "down", "nrt", h}})
    expect_read(one);
  EXPECT_NE(complaint("several.npz").find("name one, as FILE.npz:NAME"), std::string::npos);
  EXPECT_EQ(complaint("stored.npz", "G"), "there is no array G, there are H and positions");
  EXPECT_NE(complaint("no_channels.npz").find("positions (float64 (5, 3))"), std::string::npos);
  const Folder folder;
  const auto cut = folder.path() / "cut.npz";
  std::filesystem::copy_file(fixture("stored.npz"), cut);
  std::filesystem::resize_file(cut, 900);
  EXPECT_NE(message_of([&] { Dataset{cut}; }).find("truncated or damaged"), std::string::npos);
}

TEST(ForeignFiles, InfoReadsWhatASweepReadsWhateverItsName) {
  const Folder folder;
  for (const std::string name : {"c64_v1.npy", "stored.npz", "matlab_v7.mat", "h5py.h5"}) {
    if (name == "stored.npz" && !reads_npz()) continue;
    const auto file = folder.path() / "channels";
    std::filesystem::copy_file(fixture(name), file,
                               std::filesystem::copy_options::overwrite_existing);
    Program info({"info", file.string()});
    EXPECT_EQ(info.status(), 0) << info.err();
    EXPECT_NE(info.out().find("5 of 4x3"), std::string::npos) << name << info.out();
  }
}

// The long run is tests/fuzz/flip_bits.cpp.
TEST(DamagedFiles, NoCopyWithFlippedBitsEndsTheReader) {
  for (const char* name :
       {"c64_v1.npy", "stored.npz", "deflated.npz", "matlab_v4.mat", "matlab_v6.mat",
        "matlab_v7.mat", "matlab_v7_array.mat", "h5py.h5", "matlab_cells.mat"}) {
    // HDF5 1.10.8 itself reads past what it allocated for damaged headers: unseen but by a sanitizer.
    if (is_sanitized && (name == std::string("h5py.h5") || name == std::string("matlab_cells.mat")))
      continue;
    const test::FlipReport report = test::flip_bits(fixture(name), 150, 2);
    for (const std::string& finding : report.ours) ADD_FAILURE() << name << ": " << finding;
  }
}

}  // namespace
}  // namespace chest
