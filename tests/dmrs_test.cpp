// Demodulation reference signals of 5G. The sequence is compared with the recursion of TS 38.211, 5.2.1
// written down once more, positions with its tables, and whole patterns with sums over those of
// PUSCHConfig.dmrs_grid of sionna-no-rt 2.2.0:
//   CarrierConfig(n_size_grid=.., slot_number=..), PUSCHDMRSConfig(..), mapping_type="A",
//   symbol_allocation=[0, 14];  sum over k, l of grid[port, k, l] exp(j (0.37 k + 1.1 l))
// (all rows below and all durations 4 .. 14 of the tables were the same).
#include <gtest/gtest.h>

#include <algorithm>
#include <complex>
#include <set>
#include <string>
#include <vector>

#include <chest/estimators/grid/grid_ls.hpp>
#include <chest/sim/dmrs.hpp>
#include <chest/sim/pilots.hpp>

#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"

namespace chest::sim {
namespace {

using Words = std::vector<arma::uword>;

Words symbols_of(const PilotPattern& pattern) {
  const arma::uvec found = arma::unique(pattern.symbol);
  return {found.begin(), found.end()};
}

Pilots made(const std::string& text, arma::uword n_tx, const GridAxes& grid, double energy = 1.0) {
  return make_grid_pilots(parse_pilots(text), n_tx, grid, 1, energy);
}

TEST(Dmrs, TheSequenceIsTheSumOfTwoRecursions) {
  for (const std::uint32_t c_init : {0u, 1u, 131072u, 0x2badcafeu, 0x7fffffffu}) {
    constexpr std::size_t n = 200, skipped = 1600;
    std::vector<int> x1(skipped + n + 31, 0), x2(skipped + n + 31, 0);
    x1[0] = 1;
    for (int i = 0; i < 31; ++i) x2[std::size_t(i)] = int(c_init >> i & 1u);
    for (std::size_t i = 0; i < skipped + n; ++i) {
      x1[i + 31] = (x1[i + 3] + x1[i]) % 2;
      x2[i + 31] = (x2[i + 3] + x2[i + 2] + x2[i + 1] + x2[i]) % 2;
    }
    const std::vector<std::uint8_t> c = gold_sequence(c_init, n);
    ASSERT_EQ(c.size(), n);
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(int(c[i]), (x1[i + skipped] + x2[i + skipped]) % 2) << c_init << " at " << i;
    }
  }
}

TEST(Dmrs, PositionsAreThoseOfTheTables) {
  struct Row {
    arma::uword length, additional, first, last;  ///< durations
    Words symbols;
  };
  const std::vector<Row> rows = {{1, 0, 4, 14, {2}},           {1, 1, 4, 7, {2}},
                                 {1, 1, 8, 9, {2, 7}},         {1, 1, 10, 12, {2, 9}},
                                 {1, 1, 13, 14, {2, 11}},      {1, 2, 8, 9, {2, 7}},
                                 {1, 2, 10, 12, {2, 6, 9}},    {1, 2, 13, 14, {2, 7, 11}},
                                 {1, 3, 10, 11, {2, 6, 9}},    {1, 3, 12, 14, {2, 5, 8, 11}},
                                 {2, 0, 4, 14, {2, 3}},        {2, 1, 4, 9, {2, 3}},
                                 {2, 1, 10, 12, {2, 3, 8, 9}}, {2, 1, 13, 14, {2, 3, 10, 11}}};
  for (const Row& row : rows) {
    for (arma::uword duration = row.first; duration <= row.last; ++duration) {
      DmrsOptions options;
      options.length = row.length;
      options.additional = row.additional;
      options.duration = duration;
      EXPECT_EQ(symbols_of(make_dmrs_pattern(options, 1, {12, 14})), row.symbols) << duration;
    }
  }
  EXPECT_EQ(symbols_of(*made("dmrs:position=3,additional=1", 1, {12, 28}).pattern),
            (Words{3, 11, 17, 25}));
}

TEST(Dmrs, PatternsAreThoseOfAnotherProgram) {
  struct Row {
    DmrsOptions options;
    arma::uword n_blocks;
    std::vector<std::complex<double>> sums;
  };
  const auto options = [](arma::uword type, arma::uword length, Words ports, arma::uword groups,
                          arma::uword position, arma::uword additional, arma::uword n_id,
                          arma::uword n_scid, arma::uword slot) {
    DmrsOptions out;
    out.type = type;
    out.length = length;
    out.ports = std::move(ports);
    out.groups = groups;
    out.position = position;
    out.additional = additional;
    out.n_id = n_id;
    out.n_scid = n_scid;
    out.slot = slot;
    return out;
  };
  const std::vector<Row> rows = {
      {options(1, 1, {0, 1, 2, 3}, 2, 2, 1, 0, 0, 0),
       4,
       {{-2.528186507835, 1.509955832284},
        {-1.839085207234, -1.060261436672},
        {-2.903120746587, 0.493541856976},
        {-1.331222532185, -1.653552322535}}},
      {options(1, 2, {0, 3, 5, 6}, 2, 2, 1, 77, 1, 3),
       4,
       {{14.926552234902, 0.332832282294},
        {1.251207004726, -0.149648048877},
        {-4.885527192634, 2.759912092052},
        {-11.494331756279, 6.961670067884}}},
      {options(2, 1, {0, 1, 4, 5}, 3, 3, 2, 1007, 0, 9),
       5,
       {{-3.800072281173, 2.678119946113},
        {-0.407639699897, -1.015875141612},
        {-3.011647080524, -3.541589706654},
        {0.974729240187, -0.498071617943}}},
      {options(2, 2, {2, 5, 9, 11}, 3, 2, 1, 65535, 1, 1),
       4,
       {{9.967345053156, 10.437427450570},
        {6.513607464646, 0.141394313477},
        {-2.130979588829, -5.964309963193},
        {2.448000683740, -5.841349159009}}},
      {options(1, 1, {0}, 1, 2, 3, 1, 0, 0), 3, {{3.509238789091, 3.338627579447}}}};
  for (const Row& row : rows) {
    const PilotPattern pattern =
        make_dmrs_pattern(row.options, row.sums.size(), {12 * row.n_blocks, 14});
    ASSERT_EQ(pattern.why_invalid(), "");
    for (arma::uword t = 0; t < pattern.n_tx(); ++t) {
      std::complex<double> sum = 0.0;
      for (arma::uword p = 0; p < pattern.n(); ++p) {
        sum += pattern.x(t, p) * std::polar(1.0, 0.37 * double(pattern.subcarrier(p)) +
                                                     1.1 * double(pattern.symbol(p)));
      }
      EXPECT_LT(std::abs(sum - row.sums[t]), 1e-10) << "port " << t;
    }
  }
}

TEST(Dmrs, AGridWithinACarrierHasTheCarriersPilots) {
  const PilotPattern all = *made("dmrs:type=2,symbols=3", 6, {12 * 8, 14}).pattern;
  const PilotPattern part = *made("dmrs:type=2,symbols=3,start=5", 6, {12 * 3, 14}).pattern;
  const arma::uvec same = arma::find(all.subcarrier >= 60);
  ASSERT_EQ(same.n_elem, part.n());
  EXPECT_TRUE(arma::approx_equal(all.x.cols(same), part.x, "absdiff", 0.0));
}

TEST(Dmrs, PilotsHaveThePowerOfGroupsWithoutData) {
  for (const arma::uword groups : {1, 2, 3}) {
    const Pilots pilots =
        made("dmrs:type=2,symbols=2,groups=" + std::to_string(groups), 2, {24, 14}, 0.5);
    EXPECT_NEAR(pilots.gain(), 0.5 * double(groups), 1e-12);
  }
  EXPECT_NEAR(made("dmrs:symbols=2", 4, {24, 14}).gain(), 1.0, 1e-12);
}

// A channel that is the same for all elements is found without error: covers are orthogonal over a
// group, whatever the ports.
TEST(Dmrs, AllPortsOfAFlatChannelAreToldApart) {
  struct Row {
    std::string text;
    arma::uword n_tx;
  };
  for (const Row& row :
       {Row{"dmrs:type=1,symbols=2-11", 4}, Row{"dmrs:type=1,length=2,symbols=2-10", 8},
        Row{"dmrs:type=2,symbols=2", 6}, Row{"dmrs:type=2,length=2,symbols=2-10,groups=3", 12},
        Row{"dmrs:type=2,length=2,symbols=4,ports=11-0-7", 3}}) {
    const GridAxes grid{24, 14, 30e3};
    const Pilots pilots = made(row.text, row.n_tx, grid);
    const arma::uword n_rx = 2;
    const std::shared_ptr<const ObservationOperator> A = make_observation(pilots, n_rx);
    Rng rng = test_rng(5);
    const arma::cx_mat h = arma::repmat(rng.cx_normal(n_rx * row.n_tx, 1), grid.n_elements(), 1);
    Observation observation;
    observation.y = A->apply(h);
    observation.sigma2 = 0.1;
    const Estimate estimate = make_grid_ls(A)->estimate(observation);
    EXPECT_LT(arma::abs(estimate.h - h).max(), 1e-12) << row.text;
  }
}

TEST(Dmrs, WhatDoesNotFitIsRefused) {
  const GridAxes slot{24, 14};
  const auto says = [&](const std::string& text, arma::uword n_tx, const GridAxes& grid,
                        const std::string& what) {
    EXPECT_TRUE(refused([&] { made(text, n_tx, grid); }, what)) << text;
  };
  says("dmrs:type=3", 1, slot, "type is 3, expected 1 .. 2");
  says("dmrs:length=3", 1, slot, "length is 3, expected 1 .. 2");
  says("dmrs:groups=3", 1, slot, "groups is 3, expected 0 .. 2");
  says("dmrs:id=65536", 1, slot, "id is 65536, expected 0 .. 65535");
  says("dmrs", 5, slot, "port 4 is beyond the 4 ports");
  says("dmrs:type=2,length=2", 13, slot, "port 12 is beyond the 12 ports");
  says("dmrs:groups=1", 4, slot, "port 2 is in group 1");
  says("dmrs:ports=0-0", 2, slot, "port 0 is named twice");
  says("dmrs:ports=0-1", 3, slot, "2 ports are named");
  says("dmrs:symbols=14", 1, slot, "symbol 14 is outside the grid");
  says("dmrs:symbols=13,length=2", 1, {24, 28}, "in two slots");
  says("dmrs:symbols=2-3,length=2", 1, slot, "overlap");
  says("dmrs:symbols=2,position=3", 1, slot, "give one");
  says("dmrs:position=3,additional=3", 1, slot, "additional=3 is for position=2");
  says("dmrs:length=2,additional=2", 1, slot, "additional is 2, expected 0 .. 1");
  says("dmrs", 1, {24, 1}, "name the pilots' symbols");
  says("dmrs", 1, {24, 20}, "no whole slots");
  says("dmrs:symbols=0", 1, {2, 1}, "no pair of pilots fits");
  says("dmrs:tipe=1", 1, slot, "did you mean type?");
}

}  // namespace
}  // namespace chest::sim
