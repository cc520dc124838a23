// Mapping, LLRs and scrambling of 5G.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>

#include <chest/random.hpp>
#include <chest/sim/coding/qam.hpp>
#include <chest/sim/coding/scrambling.hpp>

#include "sim/coding/qam_kernels.hpp"
#include "tests/support/lcg_bits.hpp"
#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

TEST(NrQam, SymbolsAndLlrsAreThoseOfAnIndependentMapper) {
  std::ifstream golden(CHEST_SOURCE_DIR "/tests/golden/coding/symbols.txt");
  std::string line;
  int count = 0;
  while (std::getline(golden, line)) {
    std::istringstream in(line);
    unsigned m = 0;
    in >> m;
    Bits bits(m);
    for (std::uint8_t& bit : bits) {
      int value = 0;
      in >> value;
      bit = static_cast<std::uint8_t>(value);
    }
    double re = 0, im = 0, y_re = 0, y_im = 0, variance = 0;
    in >> re >> im >> y_re >> y_im >> variance;
    const NrQam qam(m);
    std::complex<double> x;
    qam.map(bits.data(), 1, &x);
    EXPECT_NEAR(std::abs(x - std::complex<double>(re, im)), 0.0, 1e-10);
    const std::complex<double> y(y_re, y_im);
    for (const DemapperKind kind : {DemapperKind::log_map, DemapperKind::max_log}) {
      float llrs[8];
      qam.demap(&y, &variance, 1, kind, llrs);
      for (unsigned b = 0; b < m; ++b) {
        double expected = 0;
        in >> expected;
        EXPECT_NEAR(llrs[b], expected, 1e-5 * (1.0 + std::abs(expected))) << line;
      }
    }
    ++count;
  }
  EXPECT_EQ(count, 24);
}

TEST(NrQam, LlrsAreThoseOfTheOtherLinksAtAnySnr) {
  // The label of a symbol, real half first and inverted, there; in double, symbol by symbol.
  Rng rng(5, {Purpose::test});
  for (const char* name : {"qpsk", "16qam", "64qam", "256qam"}) {
    const NrQam qam(name);
    const Modulation modulation(name);
    const unsigned m = qam.bits_per_symbol();
    constexpr std::size_t n = 150;  // two groups of lanes and a part
    std::vector<std::complex<double>> received(n);
    std::vector<double> variances(n);
    for (std::size_t i = 0; i < n; ++i) {
      received[i] = 1.5 * rng.cx_normal();
      variances[i] = std::pow(10.0, 2.0 - 7.0 * rng.uniform());
    }
    std::vector<float> llrs(n * m);
    qam.demap(received.data(), variances.data(), n, DemapperKind::log_map, llrs.data());
    for (std::size_t i = 0; i < n; ++i) {
      double expected[8];
      modulation.llrs(received[i], variances[i], expected);
      // Distances are rounded to float32.
      const double allowed = 1e-5 + 2e-6 * 10.0 / variances[i];
      for (unsigned b = 0; b < m; ++b)
        EXPECT_NEAR(llrs[i * m + b], -expected[b / 2 + (b % 2) * m / 2], allowed);
    }
  }
}

TEST(NrQam, EveryProcessorGivesTheSameBits) {
  const std::vector<const QamKernel*> kernels = qam_kernels();
  ASSERT_STREQ(kernels.back()->name, "generic");
  Rng rng(6, {Purpose::test});
  for (unsigned n_bits = 1; n_bits <= QamAxis::most_bits; ++n_bits) {
    QamAxis axis{};
    axis.n_bits = n_bits;
    for (float& level : axis.level) level = float(rng.normal());
    for (float& value : axis.value) value = float(rng.normal());
    for (float& precision : axis.precision) precision = float(1000.0 * rng.uniform());
    QamAxis generic = axis;
    kernels.back()->demap(generic);
    for (const QamKernel* kernel : kernels) {
      QamAxis other = axis;
      kernel->demap(other);
      for (unsigned bit = 0; bit < n_bits; ++bit)
        EXPECT_EQ(std::memcmp(other.llr[bit], generic.llr[bit], sizeof other.llr[bit]), 0)
            << kernel->name;
    }
  }
}

TEST(NrQam, BpskLlrsAreTheClosedForm) {
  const NrQam qam("bpsk");
  EXPECT_EQ(qam.bits_per_symbol(), 1u);
  const Bits bits{0, 1};
  std::complex<double> x[2];
  qam.map(bits.data(), 2, x);
  const std::complex<double> one(std::sqrt(0.5), std::sqrt(0.5));
  EXPECT_NEAR(std::abs(x[0] - one), 0.0, 1e-15);
  EXPECT_NEAR(std::abs(x[1] + one), 0.0, 1e-15);
  const std::complex<double> y(0.3, -1.1);
  const double variance = 0.7;
  float llr = 0;
  qam.demap(&y, &variance, 1, DemapperKind::log_map, &llr);
  EXPECT_NEAR(llr, (std::norm(y + one) - std::norm(y - one)) / variance, 1e-6);
}

TEST(NrQam, UnknownOnesAreExplained) {
  EXPECT_EQ(error_of([] { NrQam("qpks"); }), "modulation: unknown name 'qpks'; did you mean qpsk?");
  EXPECT_EQ(error_of([] { NrQam(3u); }), "modulation: 3 bits per symbol, expected 1, 2, 4, 6 or 8");
}

TEST(Scrambling, DescramblingInvertsIt) {
  const Bits sequence = gold_sequence(scrambling_init(1, 500), 1000);
  const Bits bits = lcg_bits(3, 1000);
  Bits sent = bits;
  scramble(sequence, sent.data());
  EXPECT_NE(sent, bits);
  std::vector<float> llrs(1000);
  for (std::size_t i = 0; i < 1000; ++i) llrs[i] = sent[i] != 0 ? -2.0f : 2.0f;
  descramble(sequence, llrs.data());
  for (std::size_t i = 0; i < 1000; ++i) EXPECT_EQ(llrs[i] < 0, bits[i] == 1);
}

TEST(Scrambling, BeginsWhereTheStandardSays) {
  EXPECT_EQ(scrambling_init(65535, 1023), (65535u << 15) + 1023u);
  EXPECT_EQ(scrambling_init(2, 3, 1), (2u << 15) + (1u << 14) + 3u);
  EXPECT_EQ(error_of([] { scrambling_init(65536, 0); }),
            "scrambling: n_rnti is 65536, expected 0 .. 65535");
  EXPECT_EQ(error_of([] { scrambling_init(0, 1024); }),
            "scrambling: n_id is 1024, expected 0 .. 1023");
  EXPECT_EQ(error_of([] { scrambling_init(0, 0, 2); }), "scrambling: q is 2, expected 0 or 1");
}

}  // namespace
}  // namespace chest::sim
