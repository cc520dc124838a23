#include <gtest/gtest.h>

#include <chest/archive.hpp>
#include <chest/sim/pilots.hpp>

#include "tests/support/foreign_files.hpp"
#include "tests/support/run.hpp"
#include "tests/support/statistics.hpp"

namespace chest::sim {
namespace {

Pilots make(const std::string& text, arma::uword n_tx, std::uint64_t seed = 1) {
  return make_pilots(parse_pilots(text), n_tx, seed);
}

constexpr double rounding = 1e-13;

TEST(Pilots, ColumnsHaveUnitPowerAndPAllRanks) {
  for (const std::string kind : {"dft", "hadamard", "zadoff-chu", "qpsk"}) {
    for (arma::uword n_tx : {1, 2, 3, 4, 7, 16}) {
      for (arma::uword n_pilots : {1, 2, 3, 5, 8, 16, 17, 33}) {
        const Pilots pilots = make(kind + ":" + std::to_string(n_pilots), n_tx);
        ASSERT_EQ(pilots.P.n_rows, n_tx);
        ASSERT_EQ(pilots.P.n_cols, n_pilots);
        const arma::rowvec power = arma::sum(arma::square(arma::abs(pilots.P)), 0);
        EXPECT_LT(arma::abs(power - 1.0).max(), rounding) << kind;
        EXPECT_NEAR(pilots.gain(), double(n_pilots) / double(n_tx), rounding);
        if (kind != "qpsk") {
          EXPECT_EQ(arma::rank(pilots.P), std::min(n_tx, n_pilots)) << kind << n_tx << n_pilots;
        }
      }
    }
  }
}

TEST(Pilots, RowsAreOrthogonalWithEnoughPilots) {
  for (const std::string text : {"dft:16", "dft:5", "dft:17", "zadoff-chu:17", "zadoff-chu:8",
                                 "zadoff-chu:5", "hadamard:8", "hadamard:16", "identity"}) {
    const Pilots pilots = make(text, 5 - (text == "identity"));
    const arma::cx_mat gram = pilots.P * pilots.P.t();
    EXPECT_LT(max_difference(
                  gram, arma::cx_mat(pilots.gain() * arma::eye<arma::cx_mat>(arma::size(gram)))),
              rounding)
        << text;
  }
}

TEST(Pilots, ColumnsAreOrthogonalWithFewPilots) {
  for (const std::string text : {"dft:8", "dft:5", "zadoff-chu:6", "hadamard:4"}) {
    const Pilots pilots = make(text, 16);
    const arma::cx_mat gram = pilots.P.t() * pilots.P;
    EXPECT_LT(max_difference(gram, arma::cx_mat(arma::eye<arma::cx_mat>(arma::size(gram)))),
              rounding)
        << text;
  }
}

TEST(Pilots, ObservationIsHP) {
  const Pilots pilots = make("zadoff-chu:7", 4);
  const arma::cx_mat H = Rng(3, {Purpose::test}).cx_normal(3, 4);
  const arma::cx_mat y = make_observation(pilots, 3)->apply(arma::vectorise(H));
  EXPECT_LT(max_difference(y, arma::cx_mat(arma::vectorise(H * pilots.P))), 1e-14);
  EXPECT_EQ(make_observation(make("identity", 4), 3)->gram_scale().value_or(0.0), 1.0);
}

TEST(Pilots, QpskDependsOnTheSeedAndIsNested) {
  const Pilots long_one = make("qpsk:16", 4, 7), short_one = make("qpsk:8", 4, 7);
  EXPECT_EQ(max_difference(arma::cx_mat(long_one.P.head_cols(8)), short_one.P), 0.0);
  EXPECT_GT(max_difference(long_one.P, make("qpsk:16", 4, 8).P), 0.1);
}

TEST(Pilots, PowerScalesTheGain) {
  EXPECT_NEAR(make_pilots(parse_pilots("dft:8"), 4, 1, 2.5).gain(), 2.5 * 2.0, rounding);
  const Pilots identity = make_pilots(parse_pilots("identity"), 4, 1, 2.5);
  EXPECT_NEAR(make_observation(identity, 3)->gram_scale().value_or(0.0), 2.5, rounding);
}

TEST(Pilots, StoredMatrixIsTakenAsItIs) {
  const TemporaryFolder folder;
  const arma::cx_mat P = Rng(5, {Purpose::test}).cx_normal(4, 6);
  {
    ArchiveWriter archive(folder / "P.h5");
    archive.write("/P", P);
    archive.write("/power", arma::mat(2, 2, arma::fill::ones));
    archive.commit();
  }
  const std::string file = (folder / "P.h5").string();
  EXPECT_EQ(max_difference(make("file=" + file, 4).P, P), 0.0);
  EXPECT_EQ(max_difference(make("file=" + file + ":/P", 4).P, P), 0.0);
  EXPECT_EQ(make("file=" + file, 4).name, "file=P.h5");
  EXPECT_NE(error_of([&] {
              make("file=" + file, 5);
            }).find("dimensions [4, 6], expected [n_tx, n_pilots] with n_tx = 5"),
            std::string::npos);
  EXPECT_NE(error_of([&] { make("file=" + file, 6); }).find("it looks transposed"),
            std::string::npos);
  // Real values are a matrix too, where they are named or alone.
  EXPECT_EQ(
      max_difference(make("file=" + file + ":/power", 2).P, arma::cx_mat(2, 2, arma::fill::ones)),
      0.0);
}

/// P as a row-major program and as a column-major one lay it out.
std::vector<std::complex<double>> rows_of(const arma::cx_mat& P) {
  const arma::cx_mat rows = P.st();
  return {rows.begin(), rows.end()};
}

TEST(Pilots, StoredMatrixIsTheOneThatItsWriterShows) {
  const TemporaryFolder folder;
  for (const arma::uword n_pilots : {4, 3}) {
    const arma::cx_mat P = Rng(5, {Purpose::test}).cx_normal(4, n_pilots);
    const std::vector<std::complex<double>> rows = rows_of(P), columns(P.begin(), P.end());
    const std::string file = (folder / "P.h5").string(), npy = (folder / "P.npy").string();
    const auto expect_read = [&](const std::string& name) {
      SCOPED_TRACE(name);
      EXPECT_EQ(max_difference(make("file=" + name, 4).P, P), 0.0);
    };
    Foreign python, pair, matlab, julia, armadillo;
    pair.pair = true;
    matlab.user_block = "MATLAB 7.3 MAT-file";
    matlab.re = armadillo.re = "real";
    matlab.im = armadillo.im = "imag";
    julia.user_block = "HDF5-based Julia Data Format, version 0.1.1";
    armadillo.name = "dataset";
    for (const Foreign& how : {python, pair}) {
      write_hdf5(file, how, {4, n_pilots}, rows);
      expect_read(file);
      expect_read(file + ":" + how.name);
    }
    for (const Foreign& how : {matlab, julia, armadillo}) {
      write_hdf5(file, how, {n_pilots, 4}, columns);
      expect_read(file);
    }
    write_npy(npy, Dims{4, n_pilots}, rows);
    expect_read(npy);
  }
  // Real values: -1 and 1 of a Hadamard matrix.
  const std::string npy = (folder / "real.npy").string();
  write_npy(npy, "<f8", "(2, 2)", std::vector<double>{1.0, 1.0, 1.0, -1.0});
  EXPECT_EQ(max_difference(make("file=" + npy, 2).P,
                           arma::conv_to<arma::cx_mat>::from(arma::mat{{1.0, 1.0}, {1.0, -1.0}})),
            0.0);
  // One antenna: one row, also without a second axis.
  write_npy(npy, Dims{3}, {1.0, -1.0, {0.0, 1.0}});
  EXPECT_EQ(make("file=" + npy, 1).P.n_cols, 3u);
  write_hdf5(npy, {}, {1, 1}, {1.0});
  EXPECT_EQ(make("file=" + npy, 1).P.n_cols, 1u);

  write_npy(npy, Dims{30, 4, 4}, std::vector<std::complex<double>>(480, 1.0));
  EXPECT_NE(error_of([&] {
              make("file=" + npy, 4);
            }).find("has the shape (30, 4, 4), expected one matrix, the same for all samples"),
            std::string::npos);
  write_hdf5(npy, {}, {30, 4, 4}, std::vector<std::complex<double>>(480, 1.0));
  EXPECT_NE(error_of([&] { make("file=" + npy, 4); }).find("/H has the shape (30, 4, 4)"),
            std::string::npos);
}

TEST(Pilots, OptionsInAListBelongToThePilotsBeforeThem) {
  std::vector<std::string> texts;
  for (const PilotSpec& spec :
       parse_pilots_list("comb:4,symbols=2-11,dmrs:type=2,symbols=3,block:symbols=0-1,dmrs")) {
    texts.push_back(spec.text);
  }
  EXPECT_EQ(texts, (std::vector<std::string>{"comb:4,symbols=2-11", "dmrs:type=2,symbols=3",
                                             "block:symbols=0-1", "dmrs"}));
}

TEST(Pilots, BadInputIsExplained) {
  EXPECT_EQ(error_of([] { parse_pilots("dtf:16"); }),
            "pilots: unknown kind 'dtf', did you mean dft? Known are identity, dft, hadamard, "
            "zadoff-chu, qpsk, comb, block, dmrs and file=FILE.");
  EXPECT_EQ(error_of([] { parse_pilots("dft:0"); }),
            "pilots: 'dft:0' asks for 0 pilots, expected 1 .. 4096");
  EXPECT_NE(error_of([] { parse_pilots("dft:x"); }).find("number of pilots in 'dft:x'"),
            std::string::npos);
  EXPECT_NE(error_of([] { parse_pilots("file="); }).find("names no file"), std::string::npos);
  EXPECT_NE(
      error_of([] { make("identity:8", 4); }).find("identity:8 does not fit channels of n_tx = 4"),
      std::string::npos);
  EXPECT_NE(error_of([] { make_pilots(parse_pilots("dft"), 4, 1, 0.0); }).find("expected > 0"),
            std::string::npos);
}

}  // namespace
}  // namespace chest::sim
