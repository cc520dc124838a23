#include <gtest/gtest.h>

#include <complex>
#include <string>
#include <vector>

#include <chest/channels/dataset.hpp>
#include <chest/error.hpp>
#include <chest/random.hpp>

#include "tests/support/channel_fixtures.hpp"
#include "tests/support/foreign_files.hpp"
#include "tests/support/program.hpp"

namespace chest {
namespace {

using test::fixture_channels;
using test::message_of;

/// Values of an array whose axes these letters name, slowest first: of fixture_channels, and 0 where
/// an index other than `taken` of an axis '0' would be read.
std::vector<std::complex<double>> values_of(const Dims& dims, const std::string& letters,
                                            hsize_t taken = 0) {
  hsize_t n_values = 1;
  for (const hsize_t n : dims) n_values *= n;
  std::vector<std::complex<double>> values;
  for (hsize_t i = 0; i < n_values; ++i) {
    hsize_t rest = i;
    double angle = 0.0;
    bool there = true;
    for (std::size_t d = dims.size(); d-- > 0; rest /= dims[d]) {
      const hsize_t at = rest % dims[d];
      if (letters[d] == '0') there &= at == taken;
      angle += double(at) * (letters[d] == 'n'   ? 0.7
                             : letters[d] == 'r' ? 1.3
                             : letters[d] == 't' ? 2.1
                                                 : 0.0);
    }
    values.push_back(there ? std::polar(1.0, angle) : 0.0);
  }
  return values;
}

arma::cx_mat all_of(const std::filesystem::path& file, const DatasetOptions& options = {}) {
  const Dataset dataset(file, options);
  return dataset.read(0, dataset.info().n_samples);
}

DatasetOptions with(const std::string& axes, arma::uword n_rx = 0) {
  DatasetOptions options;
  options.axes = axes;
  options.n_rx = n_rx;
  return options;
}

void expect_same(const arma::cx_mat& a, const arma::cx_mat& b) {
  ASSERT_EQ(arma::size(a), arma::size(b));
  EXPECT_LT(arma::abs(a - b).max(), 1e-12);
}

struct AxesTest : testing::Test {
  std::filesystem::path file(const std::string& name) const { return folder / name; }
  TemporaryFolder folder;
};

TEST_F(AxesTest, ColumnMajorWritersAreKnownByWhatTheyLeave) {
  // 24 channels of 8x4, as HDF5 shows an array [n, n_rx, n_tx] of a column-major program.
  const Dims dims{4, 8, 24};
  const auto values = values_of(dims, "trn");
  const Foreign jld2{"H",   "re",
                     "im",  false,
                     false, "HDF5-based Julia Data Format, version 0.1.1 (Julia 1.10.0 64-bit LE)"};
  write_hdf5(file("jld2.h5"), jld2, dims, values);
  const Dataset of_jld2(file("jld2.h5"));
  EXPECT_EQ(of_jld2.info().kind, "Julia");
  EXPECT_EQ(of_jld2.info().axes, "trn");
  EXPECT_TRUE(of_jld2.info().warnings.empty());
  expect_same(of_jld2.read(0, 24), fixture_channels(24, 8, 4));

  // HDF5.jl leaves one mark, which a row-major writer could leave too: said whatever the sizes.
  Foreign julia;
  julia.utf8_name = true;
  write_hdf5(file("julia.h5"), julia, dims, values);
  const Dataset of_julia(file("julia.h5"));
  EXPECT_EQ(of_julia.info().axes, "trn");
  expect_same(of_julia.read(0, 24), fixture_channels(24, 8, 4));
  ASSERT_EQ(of_julia.info().warnings.size(), 1u);
  EXPECT_NE(of_julia.info().warnings[0].find("read as 24 channels of 8x4 from axes trn"),
            std::string::npos)
      << of_julia.info().warnings[0];

  // A cube of Armadillo has its samples in slices, square or not; a matrix, in columns.
  const Foreign armadillo{"dataset", "real", "imag", false, false, ""};
  for (const hsize_t n_tx : {6, 3}) {
    const Dims cube{50, n_tx, 6};
    write_hdf5(file("cube.h5"), armadillo, cube, values_of(cube, "ntr"));
    const Dataset dataset(file("cube.h5"));
    EXPECT_EQ(dataset.info().kind, "Armadillo");
    EXPECT_TRUE(dataset.info().warnings.empty());
    expect_same(dataset.read(0, 50), fixture_channels(50, 6, n_tx));
  }
  const Dims columns{200, 12};
  write_hdf5(file("columns.h5"), armadillo, columns, values_of(columns, "nr"));
  expect_same(all_of(file("columns.h5"), with("", 12)), fixture_channels(200, 12, 1));
}

/// What is said of an array of these dims, as h5py shows them.
struct Doubt {
  std::string writer;
  Dims dims;
  std::string reading;  ///< in the first warning; empty: there is none
  std::string remedy;
};

TEST_F(AxesTest, DoubtsNameTheReadingAndTheRemedy) {
  const std::vector<Doubt> cases{
      // Ordinary files.
      {"h5py", {1000, 8, 4}, "", ""},
      {"h5py", {100, 8, 8}, "", ""},
      {"h5py", {100, 64, 16}, "", ""},
      {"h5py", {100, 4, 32}, "", ""},
      {"npy", {1000, 16, 16}, "", ""},
      {"npy", {100, 1, 16}, "", ""},
      {"npy", {5, 4, 3}, "", ""},
      {"npy", {1000, 64}, "", ""},
      {"matlab", {4, 8, 300}, "", ""},
      {"matlab", {16, 64, 1000}, "", ""},
      {"matlab", {64, 1000}, "", ""},
      // Column-major without a mark, samples last, one channel.
      {"h5py",
       {4, 8, 24},
       "4 channels of 8x24 from axes nrt",
       "--axes trn reads 24 channels of 8x4"},
      {"npy",
       {8, 4, 200},
       "8 channels of 4x200 from axes nrt",
       "--axes rtn reads 200 channels of 8x4"},
      {"npy",
       {64, 16, 50},
       "64 channels of 16x50 from axes nrt",
       "--axes rtn reads 50 channels of 64x16"},
      {"matlab",
       {200, 4, 8},
       "8 channels of 4x200 from axes trn",
       "--axes ntr reads 200 channels of 8x4"},
      {"matlab",
       {50, 16, 64},
       "64 channels of 16x50 from axes trn",
       "--axes ntr reads 50 channels of 64x16"},
      {"matlab",
       {20, 6, 6},
       "6 channels of 6x20 from axes trn",
       "--axes ntr reads 20 channels of 6x6"},
      {"npy",
       {1, 8, 200},
       "1 channel of 8x200 from axes nrt",
       "--axes rtn reads 200 channels of 1x8"},
      {"matlab",
       {16, 64},
       "64 channels of 16x1 from axes rn",
       "single channel of 64x16 is --axes tr"},
      {"npy", {64, 16}, "64 channels of 16x1 from axes nr", "single channel of 64x16 is --axes rt"},
      {"npy", {9000, 1024}, "9000 channels of 1024x1 from axes nr", "--n-rx"},
      {"npy", {300, 64, 256}, "300 channels of 64x256", "4.29 GB"},
      {"pair",
       {1000, 4, 8},
       "1000 channels of 4x8 from axes nrt",
       "--axes ntr reads 1000 channels of 8x4"},
      {"compound",
       {50, 6, 6},
       "50 channels of 6x6 from axes ntr",
       "--axes nrt reads 50 channels of 6x6"},
  };
  for (const Doubt& doubt : cases) {
    SCOPED_TRACE(doubt.writer + " " + shape_of(doubt.dims));
    std::filesystem::path path = file("H.h5");
    const auto values = values_of(doubt.dims, std::string(doubt.dims.size(), 'n'));
    Foreign how;
    if (doubt.writer == "npy") {
      path = file("H.npy");
      write_npy(path, doubt.dims, values);
    } else {
      if (doubt.writer == "matlab") how.user_block = "MATLAB 7.3 MAT-file";
      if (doubt.writer == "matlab" || doubt.writer == "compound") {
        how.re = "real";
        how.im = "imag";
      }
      how.pair = doubt.writer == "pair";
      write_hdf5(path, how, doubt.dims, values);
    }
    const std::vector<std::string> warnings = Dataset(path).info().warnings;
    if (doubt.reading.empty()) {
      EXPECT_TRUE(warnings.empty()) << warnings[0];
      continue;
    }
    ASSERT_EQ(warnings.size(), 1u);
    EXPECT_EQ(warnings[0].rfind(path.string() + ": read as " + doubt.reading, 0), 0u)
        << warnings[0];
    EXPECT_NE(warnings[0].find(doubt.remedy), std::string::npos) << warnings[0];
    // Whoever names the axes knows them.
    const std::string given = doubt.dims.size() == 3 ? "nrt" : "nr";
    EXPECT_TRUE(Dataset(path, with(given)).info().warnings.empty());
  }
}

TEST_F(AxesTest, AnyIndexAllIndicesAndRowMajorVecAreNamed) {
  const Dims dims{6, 4, 3, 14};
  write_npy(file("third.npy"), dims, values_of(dims, "nrt0", 3));
  expect_same(all_of(file("third.npy"), with("nrt3")), fixture_channels(6, 4, 3));
  write_npy(file("thirteenth.npy"), dims, values_of(dims, "nrt0", 13));
  expect_same(all_of(file("thirteenth.npy"), with("n,r,t,13")), fixture_channels(6, 4, 3));

  // Users x subcarriers as samples, the last axis fastest, as reshape does after moving the axes.
  const Dims grid{5, 4, 3, 7};
  auto values = values_of(grid, "nrtn");
  write_npy(file("grid.npy"), grid, values);
  write_hdf5(file("grid.h5"), {}, grid, values);
  arma::cx_mat expected(12, 35);
  for (arma::uword user = 0; user < 5; ++user)
    for (arma::uword k = 0; k < 7; ++k)
      expected.col(7 * user + k) =
          fixture_channels(1, 4, 3) * std::polar(1.0, 0.7 * double(user + k));
  for (const char* name : {"grid.npy", "grid.h5"}) {
    SCOPED_TRACE(name);
    const Dataset dataset(file(name), with("nrtn"));
    ASSERT_EQ(dataset.info().n_samples, 35u);
    expect_same(dataset.read(0, 35), expected);
    expect_same(dataset.read(5, 20), expected.cols(5, 24));
    expect_same(dataset.read(34, 1), expected.cols(34, 34));
  }
  // The same where the samples are the slowest axes, and on both sides of the antennas.
  const Dims slow{5, 7, 4, 3};
  write_npy(file("slow.npy"), slow, values_of(slow, "nnrt"));
  expect_same(all_of(file("slow.npy"), with("nnrt")), expected);
  expect_same(Dataset(file("slow.npy"), with("nnrt")).read(6, 3), expected.cols(6, 8));

  const Dims rows{9, 12};
  std::vector<std::complex<double>> row_major;
  for (const std::complex<double>& value : values_of({9, 4, 3}, "nrt")) row_major.push_back(value);
  write_npy(file("rows.npy"), rows, row_major);
  expect_same(all_of(file("rows.npy"), with("nw", 4)), fixture_channels(9, 4, 3));
  EXPECT_NE(message_of([&] { Dataset(file("rows.npy"), with("nw")); }).find("say how many n_rx"),
            std::string::npos);
}

TEST_F(AxesTest, OneAntennaAmongAxesOfLengthOneIsAskedForUnlessTheLayoutIsSionnas) {
  const auto axes_of_shape = [&](const Dims& dims) {
    write_npy(file("H.npy"), dims, values_of(dims, std::string(dims.size(), 'n')));
    const DatasetInfo info = Dataset(file("H.npy")).info();
    return info.axes + " " + std::to_string(info.n_rx) + "x" + std::to_string(info.n_tx);
  };
  EXPECT_EQ(axes_of_shape({300, 1, 16, 1, 1, 1, 1}), "n0r0000 16x1");
  EXPECT_EQ(axes_of_shape({300, 1, 1, 1, 16, 1, 1}), "n000t00 1x16");
  EXPECT_EQ(axes_of_shape({300, 16, 1, 1}), "nr00 16x1");
  for (const Dims& dims :
       std::vector<Dims>{{300, 1, 16, 1}, {300, 1, 1, 16}, {300, 1, 1, 16, 1, 1, 1}})
    EXPECT_NE(message_of([&] { axes_of_shape(dims); }).find("name each of its"), std::string::npos);
}

TEST_F(AxesTest, ValuesThatAreNotComplexChannelsOfZeroMeanAreNoticed) {
  Rng rng(1, {Purpose::test});
  const arma::cx_mat h = rng.cx_normal(12, 200);
  const auto warning = [&](const auto& value_of) {
    std::vector<std::complex<double>> values;
    for (const std::complex<double>& value : h) values.push_back(value_of(value));
    write_npy(file("H.npy"), Dims{200, 4, 3}, values);
    DatasetOptions options;
    options.normalisation = Normalisation::dataset;
    const std::vector<std::string> warnings = Dataset(file("H.npy"), options).info().warnings;
    return warnings.empty() ? "" : warnings.size() == 1 ? warnings[0] : "several";
  };
  using Value = std::complex<double>;
  EXPECT_EQ(warning([](Value x) { return x; }), "");
  // A strong direct path leaves a mean in each entry, but another phase in each.
  EXPECT_EQ(warning([](Value x) { return x + Value(0.4, -0.4); }), "");
  EXPECT_NE(warning([](Value x) { return Value(std::abs(x)); }).find("their amplitude"),
            std::string::npos);
  EXPECT_NE(warning([](Value x) { return Value(x.real()); }).find("imaginary part is zero"),
            std::string::npos);
  EXPECT_NE(warning([](Value x) { return Value(0.5, 0.5) + 0.01 * x; }).find("subtract 0.5"),
            std::string::npos);
  EXPECT_NE(warning([](Value x) { return Value(2.0, -2.0) + x; }).find("the mean"),
            std::string::npos);
}

/// Every command that reads channels or observations prints the doubt, also with --quiet.
TEST_F(AxesTest, EveryCommandSaysItsDoubts) {
  const Dims dims{4, 8, 24};
  write_hdf5(file("H.h5"), {}, dims, values_of(dims, "trn"));
  const std::string channels = file("H.h5").string();
  const auto at = [&](const std::string& name) { return file(name).string(); };
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"info", channels},
           {"info", channels, "--quiet"},
           {"sweep", "--quiet", "--channels", channels, "--snr", "10"},
           {"link", "--quiet", "--channels", channels, "--snr", "10"},
           {"fit", "lmmse", "--quiet", "--channels", channels, "--out", at("m.h5")},
           {"pilots", "--quiet", "--channels", channels, "--n-pilots", "2"},
           {"estimate", "--quiet", "--observations", channels, "--snr", "10", "--estimator", "ls",
            "--out", at("o.h5")}}) {
    SCOPED_TRACE(words[0]);
    Program program(words);
    // No linear detection has 24 streams on 8 antennas; the doubt comes first.
    EXPECT_EQ(program.status(), words[0] == "link" ? 2 : 0) << program.err();
    EXPECT_NE(program.err().find("chest: warning: " + channels +
                                 ": read as 4 channels of 8x24 from axes nrt"),
              std::string::npos)
        << program.err();
  }
  Program right({"info", channels, "--axes", "trn"});
  EXPECT_EQ(right.status(), 0);
  EXPECT_EQ(right.err(), "");
  EXPECT_NE(right.out().find("24 of 8x4"), std::string::npos) << right.out();
}

TEST_F(AxesTest, ALargeCovarianceIsNotMadeWithoutAWord) {
  const Dims dims{64, 16, 1000};
  write_npy(file("H.npy"), dims, values_of(dims, "nrt"));
  const std::string channels = file("H.npy").string();
  Program fit({"fit", "lmmse", "--channels", channels, "--out", file("m.h5").string()});
  EXPECT_EQ(fit.status(), 2);
  EXPECT_NE(fit.err().find("the covariance of channels 16x1000 takes 4.1 GB"), std::string::npos)
      << fit.err();
  Program info({"info", channels});
  EXPECT_EQ(info.status(), 0) << info.err();
  EXPECT_NE(info.out().find("a basis for each side"), std::string::npos) << info.out();
}

TEST_F(AxesTest, OneAntennaOnASideIsLikeAnyOther) {
  for (const auto& [n_rx, n_tx] :
       std::vector<std::pair<std::string, std::string>>{{"8", "1"}, {"1", "16"}, {"1", "1"}}) {
    const std::string channels = file(n_rx + "x" + n_tx + ".h5").string();
    Program generate({"generate", "scm", "--n-samples", "40", "--n-rx", n_rx, "--n-tx", n_tx,
                      "--out", channels});
    ASSERT_EQ(generate.status(), 0) << generate.err();
    Program info({"info", channels});
    EXPECT_EQ(info.status(), 0) << info.err();
    EXPECT_NE(info.out().find("40 of " + n_rx + "x" + n_tx), std::string::npos) << info.out();
  }
}

TEST_F(AxesTest, SwappedSidesAreNamedWithTheAxesThatSwapThem) {
  const Dims dims{100, 4, 2}, swapped{100, 2, 4};
  write_npy(file("a.npy"), dims, values_of(dims, "nrt"));
  write_npy(file("b.npy"), swapped, values_of(swapped, "ntr"));
  const std::string a = file("a.npy").string(), b = file("b.npy").string();
  Program fit({"fit", "lmmse", "--channels", a, "--out", file("m.h5").string()});
  ASSERT_EQ(fit.status(), 0) << fit.err();
  Program pilots({"pilots", "--channels", b, "--model", file("m.h5").string()});
  EXPECT_EQ(pilots.status(), 2);
  EXPECT_NE(pilots.err().find("for 4x2; --axes ntr swaps the sides"), std::string::npos)
      << pilots.err();
}

}  // namespace
}  // namespace chest
