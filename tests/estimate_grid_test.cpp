// chest estimate on grids, and patterns from files.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include <chest/archive.hpp>
#include <chest/channels/dataset.hpp>
#include <chest/estimators/grid/grid_ls.hpp>
#include <chest/sim/pilots.hpp>

#include "tests/support/npy.hpp"
#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

using Words = std::vector<std::string>;

class EstimateGrid : public testing::Test {
 protected:
  static constexpr arma::uword n_rx = 3, n_tx = 2, n = 5;
  static constexpr arma::uword n_elements = 12 * 4;

  EstimateGrid() {
    const sim::PilotSpec spec = sim::parse_pilots("comb:2,symbols=0-2");
    pilots_ = sim::make_grid_pilots(spec, n_tx, grid_, 3);
    A_ = sim::make_observation(pilots_, n_rx);
    Rng rng = test_rng(4);
    observation_.y = A_->apply(rng.cx_normal(n_rx * n_tx * n_elements, n));
    observation_.sigma2 = 0.1;
    observation_.per_element = true;
    write(observation_.y);
  }

  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  void write(const arma::cx_mat& y) const {
    test::write_npy(file("y.npy"), y, n_rx, pilots_.n_pilots());
  }
  Words words(const Words& more) const {
    Words out{"estimate", "--observations", file("y.npy"), "--axes",       "nrt",    "--snr",
              "10",       "--grid",         "12x4@30",     "--n-tx",       "2",      "--estimator",
              "ls",       "--quiet",        "--out",       file("out.h5"), "--force"};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }

  GridAxes grid_{12, 4, 30e3};
  sim::Pilots pilots_;
  std::shared_ptr<const ObservationOperator> A_;
  Observation observation_;
  TemporaryFolder folder_;
};

TEST_F(EstimateGrid, WritesWhatTheLibraryEstimates) {
  Program run(words({"--pilots", "comb:2,symbols=0-2", "--seed", "3", "--per-element"}));
  ASSERT_EQ(run.status(), 0) << run.err();
  EXPECT_EQ(run.out(), file("out.h5") + ": 5 estimates 3x2x12x4 by ls\n");
  const Estimate expected = make_grid_ls(A_)->estimate(observation_);

  DatasetOptions options;
  options.normalisation = Normalisation::factor;
  const Dataset written(file("out.h5"), options);
  EXPECT_EQ(written.info().axes, "nrtfs");
  EXPECT_EQ(written.info().grid.n_subcarriers, 12u);
  EXPECT_EQ(written.info().grid.n_symbols, 4u);
  // Stored as complex64.
  EXPECT_LT(arma::abs(written.read(0, n) - expected.h).max(), 1e-6 * arma::abs(expected.h).max());

  const ArchiveReader archive(file("out.h5"));
  const std::vector<double> err_var = archive.read_all<double>("/err_var");
  ASSERT_EQ(err_var.size(), n);
  EXPECT_NEAR(err_var[0], expected.mse(0) / double(n_rx * n_tx * n_elements), 1e-12);
  const std::vector<double> elements = archive.read_all<double>("/err_var_element");
  ASSERT_EQ(elements.size(), n * n_tx * n_elements);
  std::size_t i = 0;
  for (arma::uword k = 0; k < n; ++k) {
    for (arma::uword t = 0; t < n_tx; ++t) {
      for (arma::uword f = 0; f < 12; ++f) {
        for (arma::uword s = 0; s < 4; ++s) {
          ASSERT_EQ(elements[i++], expected.element_mse(t + n_tx * (f + 12 * s), k));
        }
      }
    }
  }
}

TEST_F(EstimateGrid, APatternInAFileIsThatPattern) {
  // [n_tx, n_subcarriers, n_symbols]
  arma::cx_mat sent(n_elements, n_tx, arma::fill::zeros);
  const PilotPattern& pattern = *pilots_.pattern;
  for (arma::uword p = 0; p < pattern.n(); ++p) {
    for (arma::uword t = 0; t < n_tx; ++t) {
      sent(pattern.subcarrier(p) + 12 * pattern.symbol(p), t) = pattern.x(t, p);
    }
  }
  test::write_npy(file("x.npy"), sent, 12, 4);
  const sim::PilotSpec spec = sim::parse_pilots("file=" + file("x.npy"));
  const sim::Pilots stored = sim::make_grid_pilots(spec, n_tx, grid_, 1, 4.0);
  EXPECT_EQ(stored.name, "file=x.npy");
  EXPECT_TRUE(arma::approx_equal(stored.pattern->x, 2.0 * pattern.x, "absdiff", 1e-15));
  EXPECT_TRUE(arma::all(stored.pattern->subcarrier == pattern.subcarrier));
  EXPECT_TRUE(arma::all(stored.pattern->symbol == pattern.symbol));

  Program from_comb(words({"--pilots", "comb:2,symbols=0-2", "--seed", "3"}));
  ASSERT_EQ(from_comb.status(), 0) << from_comb.err();
  const auto comb = ArchiveReader(file("out.h5")).read_all<std::complex<float>>("/channels");
  Program from_file(words({"--pilots", "file=" + file("x.npy")}));
  ASSERT_EQ(from_file.status(), 0) << from_file.err();
  const auto same = ArchiveReader(file("out.h5")).read_all<std::complex<float>>("/channels");
  EXPECT_EQ(comb, same);

  const GridAxes other{12, 5};
  EXPECT_TRUE(refused([&] { sim::make_grid_pilots(spec, n_tx, other, 1); },
                      "has pilots for 2 ports on a grid of 12x4, the channels have 2 transmit "
                      "antennas on 12x5"));
  // Both ports in the same elements, without covers.
  sent.col(1) = sent.col(0);
  test::write_npy(file("x.npy"), sent, 12, 4);
  const std::shared_ptr<const ObservationOperator> shared =
      sim::make_observation(sim::make_grid_pilots(spec, n_tx, grid_, 1), n_rx);
  EXPECT_TRUE(refused([&] { make_grid_ls(shared); }, "no cover tells them apart"));
  sent.col(1).zeros();
  test::write_npy(file("x.npy"), sent, 12, 4);
  EXPECT_TRUE(
      refused([&] { sim::make_grid_pilots(spec, n_tx, grid_, 1); }, "port 1 has no pilots"));
}

TEST_F(EstimateGrid, WhatIsLeftOutIsNotANumber) {
  arma::cx_mat y = observation_.y;
  y.col(2).zeros();
  write(y);
  Program run(words({"--pilots", "comb:2,symbols=0-2", "--skip-bad", "--per-element"}));
  ASSERT_EQ(run.status(), 0) << run.err();
  const ArchiveReader archive(file("out.h5"));
  const auto h = archive.read_all<std::complex<float>>("/channels");
  const std::vector<double> elements = archive.read_all<double>("/err_var_element");
  const std::size_t n_h = n_rx * n_tx * n_elements;
  for (std::size_t i = 0; i < h.size(); ++i) {
    ASSERT_EQ(std::isnan(h[i].real()), i / n_h == 2) << i;
  }
  for (std::size_t i = 0; i < elements.size(); ++i) {
    ASSERT_EQ(std::isnan(elements[i]), i / (n_tx * n_elements) == 2) << i;
  }
}

TEST_F(EstimateGrid, WhatDoesNotFitIsRefused) {
  const auto says = [&](const Words& more, const std::string& sentence) {
    Program run(words(more));
    EXPECT_EQ(run.status(), 2);
    EXPECT_NE(run.err().find(sentence), std::string::npos) << run.err();
  };
  says({"--pilots", "comb:2,symbols=0"},
       "the observations have 24 pilots, comb:2,symbols=0 of 2 transmit antennas has 12");
  says({"--pilots", "dft:4"}, "whose pilots are for example comb:4");
  Words matrices{"estimate", "--observations", file("y.npy"), "--axes", "nrt",   "--snr",      "10",
                 "--pilots", "comb:2",         "--estimator", "ls",     "--out", file("no.h5")};
  Program run(matrices);
  EXPECT_EQ(run.status(), 2);
  EXPECT_NE(run.err().find("are pilots of a grid; give its size"), std::string::npos) << run.err();
  for (const char* text : {"12x4@", "0x4", "1x1", "12x4x2", "12x4@0", "12y4"}) {
    matrices.insert(matrices.end(), {"--grid", text});
    Program wrong(matrices);
    EXPECT_EQ(wrong.status(), 2) << text;
    matrices.resize(matrices.size() - 2);
  }
}

}  // namespace
}  // namespace chest
