// Gains and delays of paths, read as channels on a grid.
#include <gtest/gtest.h>

#include <complex>
#include <numbers>
#include <string>
#include <vector>

#include <chest/archive.hpp>
#include <chest/channels/dataset.hpp>
#include <chest/error.hpp>
#include <chest/ofdm.hpp>
#include <chest/random.hpp>

#include "tests/support/channel_fixtures.hpp"
#include "tests/support/npz.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

using test::fixture;
using test::fixture_channels;
using test::message_of;
using test::TemporaryFolder;

using cx = std::complex<double>;

constexpr arma::uword n_samples = 5, n_rx = 3, n_tx = 2, n_paths = 4, n_symbols = 3;

/// Gains [r t, p, s] and delays of sample k; the last path pads.
Paths paths_of(arma::uword k) {
  Rng rng(7, {Purpose::test, 0, k});
  Paths paths;
  paths.gains.set_size(n_rx * n_tx, n_paths, n_symbols);
  rng.fill_cx_normal(paths.gains.memptr(), paths.gains.n_elem, 1.0 / 3.0);
  paths.delays.set_size(1, n_paths);
  for (arma::uword p = 0; p < n_paths; ++p) paths.delays(p) = 2e-6 * rng.uniform();
  paths.gains.tube(0, n_paths - 1, n_rx * n_tx - 1, n_paths - 1).zeros();
  paths.delays(n_paths - 1) = 0.0;
  return paths;
}

/// The sum over paths as the formula has it.
cx sum_over_paths(const Paths& paths, arma::uword i, arma::uword f, arma::uword s,
                  double spacing_hz) {
  cx sum = 0.0;
  for (arma::uword p = 0; p < paths.gains.n_cols; ++p) {
    const double delay = paths.delays(paths.delays.n_rows == 1 ? 0 : i, p);
    sum += paths.gains(i, p, paths.gains.n_slices == 1 ? 0 : s) *
           std::polar(1.0, -2.0 * std::numbers::pi * static_cast<double>(f) * spacing_hz * delay);
  }
  return sum;
}

arma::cx_vec direct(const Paths& paths, const GridAxes& grid) {
  const arma::uword n_pairs = paths.gains.n_rows;
  arma::cx_vec h(n_pairs * grid.n_elements());
  arma::uword at = 0;
  for (arma::uword s = 0; s < grid.n_symbols; ++s) {
    for (arma::uword f = 0; f < grid.n_subcarriers; ++f) {
      for (arma::uword i = 0; i < n_pairs; ++i)
        h(at++) = sum_over_paths(paths, i, f, s, grid.spacing_hz);
    }
  }
  return h;
}

arma::cx_vec on_grid(const Paths& paths, const GridAxes& grid) {
  arma::cx_vec h(paths.gains.n_rows * grid.n_elements());
  put_on_grid(paths, grid, h.memptr());
  return h;
}

DatasetOptions with_grid(const std::string& text, const std::string& axes = "") {
  DatasetOptions options;
  options.grid = parse_grid(text);
  options.axes = axes;
  options.normalisation = Normalisation::factor;
  return options;
}

std::string complaint(const std::filesystem::path& file, const DatasetOptions& options) {
  const std::string text = message_of([&] { Dataset(file, options).read(0, 1); });
  const std::size_t at = text.find(": ");
  return at == std::string::npos ? text : text.substr(at + 2);
}

/// a and tau of Sionna in HDF5: [n, 1, rx, 1, tx, paths, times] and [n, 1, 1, paths].
void write_sionna_h5(const std::filesystem::path& file, double padded_delay = -1.0) {
  std::vector<cx> a;
  std::vector<double> tau;
  for (arma::uword k = 0; k < n_samples; ++k) {
    const Paths paths = paths_of(k);
    for (arma::uword r = 0; r < n_rx; ++r)
      for (arma::uword t = 0; t < n_tx; ++t)
        for (arma::uword p = 0; p < n_paths; ++p)
          for (arma::uword s = 0; s < n_symbols; ++s) a.push_back(paths.gains(r + n_rx * t, p, s));
    for (arma::uword p = 0; p < n_paths; ++p)
      tau.push_back(p + 1 == n_paths ? padded_delay : paths.delays(p));
  }
  ArchiveWriter archive(file);
  archive.write("/a", {n_samples, 1, n_rx, 1, n_tx, n_paths, n_symbols}, a.data());
  archive.write("/tau", {n_samples, 1, 1, n_paths}, tau.data());
  archive.commit();
}

TEST(Paths, GeometricSequencesStayExactOverManySubcarriers) {
  arma::cx_vec x(20'000);
  const double cycles = 0.377123;
  fill_geometric(cycles, x.n_elem, x.memptr());
  for (arma::uword k = 0; k < x.n_elem; k += 371) {
    const double turns = static_cast<double>(k) * cycles;
    const double angle = 2.0 * std::numbers::pi * (turns - std::floor(turns));
    // The argument itself is rounded to about k 1e-16 cycles.
    EXPECT_LT(std::abs(x(k) - std::polar(1.0, angle)), 5e-11) << k;
    EXPECT_NEAR(std::abs(x(k)), 1.0, 1e-13) << k;
  }
}

TEST(Paths, OnAGridAreTheSumOverPaths) {
  const GridAxes grid = ofdm_grid(150, n_symbols, 30e3);
  Paths paths = paths_of(0);
  EXPECT_LT(max_difference(on_grid(paths, grid), direct(paths, grid)), 1e-11);
  const GridAxes two = ofdm_grid(150, 2, 30e3);
  EXPECT_LT(max_difference(on_grid(paths, two), direct(paths, two)), 1e-11);
  // Delays of their own for each antenna pair.
  Paths apart = paths;
  apart.delays = arma::repmat(paths.delays, n_rx * n_tx, 1);
  EXPECT_LT(max_difference(on_grid(apart, grid), on_grid(paths, grid)), 1e-11);
  Rng rng(3, {Purpose::test});
  apart.delays.imbue([&] { return 1e-6 * rng.uniform(); });
  EXPECT_LT(max_difference(on_grid(apart, grid), direct(apart, grid)), 1e-11);
  // One symbol of gains: the channel stands still.
  paths.gains = paths.gains.slices(0, 0).eval();
  EXPECT_LT(max_difference(on_grid(paths, grid), direct(paths, grid)), 1e-11);
}

TEST(Paths, LayoutsOfSionnaGiveTheSameChannels) {
  const TemporaryFolder folder;
  write_sionna_h5(folder.path() / "cir.h5");
  const Dataset dataset(folder.path() / "cir.h5", with_grid("40x2@15"));
  const DatasetInfo& info = dataset.info();
  EXPECT_EQ(info.axes, "n0r0tps");
  EXPECT_TRUE(info.has_paths);
  EXPECT_EQ(info.n_samples, n_samples);
  EXPECT_EQ(info.n_rx, n_rx);
  EXPECT_EQ(info.n_tx, n_tx);
  EXPECT_EQ(info.grid.text(), "40x2");
  EXPECT_EQ(info.grid.spacing_hz, 15e3);
  EXPECT_DOUBLE_EQ(info.grid.symbol_s, 1e-3 / 14.0);
  const arma::cx_mat h = dataset.read(0, n_samples);
  for (arma::uword k = 0; k < n_samples; ++k)
    EXPECT_LT(max_difference(h.col(k), direct(paths_of(k), info.grid)), 1e-12) << k;
  // All symbols where none are named.
  EXPECT_EQ(Dataset(folder.path() / "cir.h5", with_grid("40@15")).info().grid.text(), "40x3");
  const std::vector<Paths> paths = dataset.read_paths(2, 1);
  ASSERT_EQ(paths.size(), 1u);
  EXPECT_LT(max_difference(paths[0].delays, paths_of(2).delays), 1e-20);

  // One transmit antenna in a .npz, [n, rx, paths, times] and [n, paths], in single precision.
  std::vector<std::complex<float>> a;
  std::vector<float> tau;
  for (arma::uword k = 0; k < n_samples; ++k) {
    const Paths each = paths_of(k);
    for (arma::uword r = 0; r < n_rx; ++r)
      for (arma::uword p = 0; p < n_paths; ++p)
        for (arma::uword s = 0; s < n_symbols; ++s) a.emplace_back(each.gains(r, p, s));
    for (arma::uword p = 0; p < n_paths; ++p) tau.push_back(static_cast<float>(each.delays(p)));
  }
  test::write_zip(folder.path() / "cir.npz", {{"a.npy", test::npy_bytes("<c8", "(5, 3, 4, 3)", a)},
                                              {"tau.npy", test::npy_bytes("<f4", "(5, 4)", tau)}});
  const Dataset single(folder.path() / "cir.npz", with_grid("40x3@15"));
  EXPECT_EQ(single.info().kind, "npz");
  EXPECT_EQ(single.info().n_tx, 1u);
  const arma::cx_mat h_single = single.read(0, n_samples);
  for (arma::uword k = 0; k < n_samples; ++k) {
    const arma::cx_vec expected = direct(paths_of(k), single.info().grid);
    arma::cx_vec first_port;
    for (arma::uword e = 0; e < single.info().grid.n_elements(); ++e)
      first_port = arma::join_cols(first_port, expected.subvec(e * 6, e * 6 + 2));
    // Delays of 2 us in float turn the last subcarriers by about 40 15e3 1e-13 cycles.
    EXPECT_LT(max_difference(h_single.col(k), first_port), 1e-5) << k;
  }
}

TEST(Paths, BlocksGiveTheSameBits) {
  const TemporaryFolder folder;
  write_sionna_h5(folder.path() / "cir.h5");
  const Dataset dataset(folder.path() / "cir.h5", with_grid("33x3@30"));
  const arma::cx_mat all = dataset.read(0, n_samples);
  for (arma::uword k = 0; k < n_samples; ++k)
    EXPECT_TRUE(arma::all(dataset.read(k, 1).col(0) == all.col(k))) << k;
  EXPECT_EQ(max_difference(dataset.read(1, 3), all.cols(1, 3)), 0.0);
}

TEST(Paths, PowerIsNormalisedAsThatOfMatrices) {
  const TemporaryFolder folder;
  write_sionna_h5(folder.path() / "cir.h5");
  DatasetOptions options = with_grid("64x3@30");
  options.normalisation = Normalisation::sample;
  const arma::cx_mat h = Dataset(folder.path() / "cir.h5", options).read(0, n_samples);
  for (arma::uword k = 0; k < n_samples; ++k)
    EXPECT_NEAR(std::pow(arma::norm(h.col(k)), 2), static_cast<double>(h.n_rows), 1e-8);
  options.normalisation = Normalisation::dataset;
  const arma::cx_mat all = Dataset(folder.path() / "cir.h5", options).read(0, n_samples);
  EXPECT_NEAR(std::pow(arma::norm(all, "fro"), 2), static_cast<double>(all.n_elem), 1e-7);
}

TEST(Paths, FilesOfChestKeepGainsDelaysAndTheirGrid) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "paths.h5";
  ChannelFileOptions options;
  options.n_rx = n_rx;
  options.n_tx = n_tx;
  options.n_samples = n_samples;
  options.single_precision = false;
  options.grid = ofdm_grid(50, n_symbols, 30e3);
  options.n_paths = n_paths;
  options.n_path_symbols = n_symbols;
  ChannelFileWriter writer(file, options);
  ChannelBlock block;
  for (arma::uword k = 0; k < n_samples; ++k) block.paths.push_back(paths_of(k));
  writer.append(block);
  writer.finish();

  DatasetOptions as_stored;
  as_stored.normalisation = Normalisation::factor;
  const Dataset dataset(file, as_stored);
  EXPECT_EQ(dataset.info().kind, "chest");
  EXPECT_EQ(dataset.info().grid.text(), "50x3");
  EXPECT_EQ(dataset.info().grid.spacing_hz, 30e3);
  for (arma::uword k = 0; k < n_samples; ++k)
    EXPECT_LT(max_difference(dataset.read(k, 1), direct(paths_of(k), dataset.info().grid)), 1e-12);
  // --grid takes others, of the same gains.
  const Dataset cut(file, with_grid("200x2@60"));
  EXPECT_LT(max_difference(cut.read(1, 1), direct(paths_of(1), cut.info().grid)), 1e-11);
  ASSERT_EQ(cut.info().warnings.size(), 1u);
  EXPECT_NE(cut.info().warnings[0].find("stay 35.7 us apart, as they were made for 30 kHz"),
            std::string::npos);
  EXPECT_EQ(complaint(file, with_grid("50x4@30")),
            "/gains has gains of 3 symbols, --grid asks for 4");
}

TEST(Paths, OfQuadrigaLibBecomeGridsWhereOneIsAskedFor) {
  const auto file = fixture("quadriga_lib.h5");
  const std::string said = complaint(file, with_grid("8@30"));
  if (said != "no error") {
    // The fixture's paths have no delays.
    EXPECT_NE(said.find("/delay, which --grid needs"), std::string::npos) << said;
    return;
  }
  const Dataset dataset(file, with_grid("8@30"));
  EXPECT_EQ(dataset.info().grid.text(), "8x1");
  // At the carrier, f = 0, all is as without a grid.
  const arma::cx_mat h = dataset.read(0, 5);
  EXPECT_LT(max_difference(h.head_rows(12), fixture_channels(5, 4, 3)), 1e-7);
}

TEST(Paths, OfGridsThatAreStoredTheFirstElementsAreTaken) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "grid.h5";
  Rng rng(5, {Purpose::test});
  const arma::uword n_f = 6, n_s = 4;
  std::vector<cx> values(n_samples * n_rx * n_f * n_s);
  rng.fill_cx_normal(values.data(), values.size());
  ArchiveWriter archive(file);
  archive.write("/H", {n_samples, n_rx, n_f, n_s}, values.data());
  archive.commit();
  const Dataset whole(file, with_grid("@30", "nrfs"));
  EXPECT_EQ(whole.info().grid.text(), "6x4");
  EXPECT_EQ(whole.info().grid.spacing_hz, 30e3);
  const Dataset cut(file, with_grid("5x2@30", "nrfs"));
  EXPECT_EQ(cut.info().grid.text(), "5x2");
  const arma::cx_mat h = cut.read(0, n_samples);
  for (arma::uword k = 0; k < n_samples; ++k)
    for (arma::uword s = 0; s < 2; ++s)
      for (arma::uword f = 0; f < 5; ++f)
        for (arma::uword r = 0; r < n_rx; ++r)
          EXPECT_EQ(h((s * 5 + f) * n_rx + r, k), values[((k * n_rx + r) * n_f + f) * n_s + s]);
  EXPECT_EQ(complaint(file, with_grid("7@30", "nrfs")),
            "/H has grids of 6x4 elements, --grid asks for 7x1");
  EXPECT_EQ(complaint(fixture("h5py.h5"), with_grid("@30")),
            "/channels holds matrices, --grid is for grids (name their axes f and s with --axes) "
            "and for gains with delays");
}

TEST(Paths, BadInputIsExplained) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "cir.h5";
  write_sionna_h5(file);
  EXPECT_EQ(complaint(file, {}),
            "/a holds gains and delays of paths; name the grid that they are read on with --grid "
            "SUBCARRIERSxSYMBOLS@KHZ, for example --grid 624x14@30");
  EXPECT_EQ(complaint(file, with_grid("40x9@15")), "/a has gains of 3 symbols, --grid asks for 9");
  EXPECT_EQ(complaint(file, with_grid("4@15", "nprts")),
            "/a has 7 axes, (5, 1, 3, 1, 2, 4, 3), but --axes nprts names 5");
  EXPECT_EQ(complaint(file, with_grid("4@15", "n0r0ppt")),
            "/a --axes n0r0ppt: gains of paths have the axes n, r, t, p and s, each once, or an "
            "index");
  // Without tau there are no paths.
  ArchiveWriter archive(folder.path() / "no_tau.h5");
  const std::vector<cx> a(n_samples * n_rx * n_paths * n_symbols, 1.0);
  archive.write("/a", {n_samples, n_rx, n_paths, n_symbols}, a.data());
  archive.commit();
  EXPECT_NE(complaint(folder.path() / "no_tau.h5", with_grid("4@15")).find("beside them as tau"),
            std::string::npos);
  EXPECT_NE(complaint(folder.path() / "no_tau.h5", with_grid("4@15", "nrps"))
                .find("paths (p) become channels with their delays, an array tau beside a"),
            std::string::npos);
  // Delays of another number of paths.
  ArchiveWriter wrong(folder.path() / "wrong.h5");
  const std::vector<double> tau(n_samples * 2, 1e-7);
  wrong.write("/a", {n_samples, n_rx, n_paths, n_symbols}, a.data());
  wrong.write("/tau", {n_samples, 2}, tau.data());
  wrong.commit();
  EXPECT_EQ(complaint(folder.path() / "wrong.h5", with_grid("4@15")),
            "/a has the shape (5, 3, 4, 3) and delays of the shape (5, 2), expected [n, paths] = "
            "(5, 4) of them, with nothing but 1 in between");
  // A negative delay of a path with power.
  ArchiveWriter negative(folder.path() / "negative.h5");
  std::vector<double> delays(n_samples * n_paths, 1e-7);
  delays[1] = -2e-7;
  negative.write("/a", {n_samples, n_rx, n_paths, n_symbols}, a.data());
  negative.write("/tau", {n_samples, n_paths}, delays.data());
  negative.commit();
  EXPECT_EQ(complaint(folder.path() / "negative.h5", with_grid("4@15")),
            "/a has the delay -0.2 us of path 1 in sample 0 (counted from 0); delays are 0 or "
            "more, so add one delay to all");
}

TEST(Paths, PowerBeyondTheCyclicPrefixIsSaid) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "late.h5";
  ArchiveWriter archive(file);
  const std::vector<cx> a{1.0, 1.0};
  const std::vector<double> tau{1e-6, 4e-6};
  archive.write("/a", {1, 1, 2, 1}, a.data());
  archive.write("/tau", {1, 2}, tau.data());
  archive.commit();
  EXPECT_TRUE(Dataset(file, with_grid("4@15")).info().warnings.empty());
  const std::vector<std::string> warnings = Dataset(file, with_grid("4@30")).info().warnings;
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("50 % of the power comes more than the cyclic prefix (2.34 us at 30 "
                             "kHz) after the first path"),
            std::string::npos)
      << warnings[0];
}

TEST(ParseGrid, TakesWhatIsNamedAndExplainsWhatIsWrong) {
  const GridChoice all = parse_grid("624x14@30");
  EXPECT_EQ(all.n_subcarriers, 624u);
  EXPECT_EQ(all.n_symbols, 14u);
  EXPECT_EQ(all.spacing_hz, 30e3);
  EXPECT_EQ(parse_grid("624@15").n_symbols, 0u);
  EXPECT_EQ(parse_grid("@7.5").spacing_hz, 7.5e3);
  EXPECT_EQ(parse_grid("624x14").spacing_hz, 0.0);
  const std::string end = "; write SUBCARRIERSxSYMBOLS@KHZ, for example 624x14@30, 624@30 or @30";
  EXPECT_TRUE(refused([] { parse_grid("624x14x2@30"); }, "--grid: '624x14x2@30' is no grid" + end));
  EXPECT_TRUE(refused([] { parse_grid(""); }, "'' is no grid" + end));
  EXPECT_TRUE(refused([] { parse_grid("0x14@30"); },
                      "has '0' where a number of 1 or more is expected" + end));
  EXPECT_TRUE(refused([] { parse_grid("-3@30"); }, "has '-3' where a number"));
  EXPECT_TRUE(refused([] { parse_grid("624x@30"); }, "has '' where a number"));
  EXPECT_TRUE(refused([] { parse_grid("624x14@fast"); }, "'fast' is not a number"));
  EXPECT_TRUE(refused([] { parse_grid("624@0"); }, "has the spacing 0 kHz"));
}

TEST(SymbolTimes, AreThoseOfTheNormalCyclicPrefix) {
  for (const double spacing : {15e3, 30e3, 60e3}) {
    const auto per_ms = static_cast<arma::uword>(14.0 * spacing / 15e3);
    const arma::vec times = symbol_times(spacing, 0, 10 * per_ms + 1);
    // Ten milliseconds to the sample, and each half millisecond begins with the longer prefix.
    for (arma::uword k = 0; k <= 10; ++k)
      EXPECT_NEAR(times(k * per_ms), 1e-3 * static_cast<double>(k), 1e-15);
    EXPECT_NEAR(times(per_ms / 2) - times(per_ms / 2 - 1),
                (2048.0 + 144.0) / 2048.0 / spacing + 16.0 * spacing / 15e3 / 2048.0 / spacing,
                1e-15);
    EXPECT_NEAR(times(1) - times(0), (2048.0 + 144.0) / 2048.0 / spacing, 1e-15);
    EXPECT_EQ(max_difference(symbol_times(spacing, 17, 9), times.subvec(17, 25)), 0.0);
  }
}

}  // namespace
}  // namespace chest
