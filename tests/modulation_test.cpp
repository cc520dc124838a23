#include <gtest/gtest.h>

#include <cmath>

#include <chest/random.hpp>
#include <chest/sim/modulation.hpp>

#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

const char* const names[] = {"qpsk", "16qam", "64qam", "256qam"};

TEST(Modulation, HasUnitPowerAndRecognisesItsSymbols) {
  for (const char* name : names) {
    const Modulation modulation(name);
    const unsigned n = 1u << modulation.bits_per_symbol();
    double power = 0.0;
    for (unsigned label = 0; label < n; ++label) {
      power += std::norm(modulation.symbol(label)) / n;
      EXPECT_EQ(modulation.nearest(modulation.symbol(label)), label);
      EXPECT_EQ(modulation.nearest(modulation.symbol(label) * 1.01), label);
    }
    EXPECT_NEAR(power, 1.0, 1e-14);
  }
}

TEST(Modulation, NeighboursDifferInOneBit) {
  for (const char* name : names) {
    const Modulation modulation(name);
    const unsigned n = 1u << modulation.bits_per_symbol();
    double nearest = 10.0;
    for (unsigned a = 1; a < n; ++a)
      nearest = std::min(nearest, std::abs(modulation.symbol(a) - modulation.symbol(0)));
    for (unsigned a = 0; a < n; ++a)
      for (unsigned b = 0; b < a; ++b)
        if (std::abs(modulation.symbol(a) - modulation.symbol(b)) < 1.01 * nearest) {
          EXPECT_EQ(__builtin_popcount(a ^ b), 1) << name;
        }
  }
}

TEST(Modulation, FarSymbolsAreClamped) {
  const Modulation modulation("16qam");
  EXPECT_EQ(modulation.nearest({1e6, -1e6}), modulation.nearest({0.95, -0.95}));
}

TEST(Modulation, LlrsAreThoseOfAllSymbols) {
  // The definition, summed over the whole constellation.
  Rng rng(2, {Purpose::test});
  for (const char* name : names) {
    const Modulation modulation(name);
    const unsigned n_bits = modulation.bits_per_symbol();
    for (int trial = 0; trial < 50; ++trial) {
      const std::complex<double> s = rng.cx_normal();
      const double variance = 0.05 + rng.uniform();
      double llr[8];
      modulation.llrs(s, variance, llr);
      for (unsigned b = 0; b < n_bits; ++b) {
        double sum[2] = {0.0, 0.0};
        for (unsigned label = 0; label < 1u << n_bits; ++label)
          sum[(label >> (n_bits - 1 - b)) & 1] +=
              std::exp(-std::norm(s - modulation.symbol(label)) / variance);
        EXPECT_NEAR(llr[b], std::log(sum[0] / sum[1]), 1e-10 * (1.0 + std::abs(llr[b])));
      }
    }
  }
}

TEST(Modulation, LlrsStayFiniteAtAnySnr) {
  for (const char* name : names) {
    double llr[8];
    for (double variance : {1e-12, 1e12}) {
      const Modulation modulation(name);
      modulation.llrs({30.0, -0.01}, variance, llr);
      for (unsigned b = 0; b < modulation.bits_per_symbol(); ++b)
        EXPECT_TRUE(std::isfinite(llr[b]));
    }
  }
}

TEST(Modulation, BitLossIsZeroForSureBitsAndOneForUnknownOnes) {
  EXPECT_EQ(bit_loss(false, 0.0), 1.0);
  EXPECT_EQ(bit_loss(true, 0.0), 1.0);
  EXPECT_NEAR(bit_loss(false, 800.0), 0.0, 1e-300);
  EXPECT_NEAR(bit_loss(true, 800.0), 800.0 / std::log(2.0), 1e-9);
  EXPECT_NEAR(bit_loss(true, -1.0), std::log2(1.0 + std::exp(-1.0)), 1e-15);
}

TEST(Modulation, UnknownNamesAreExplained) {
  EXPECT_EQ(
      error_of([] { Modulation{"16-qam"}; }),
      "modulation: unknown name '16-qam', did you mean 16qam? Known are qpsk, 16qam, 64qam and "
      "256qam.");
}

}  // namespace
}  // namespace chest::sim
