// CRC, base graphs, encoder and rate matching of 5G.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include <chest/sim/coding/nr_ldpc.hpp>

#include "tests/support/lcg_bits.hpp"
#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

Bits bits_of_text(const std::string& text) {
  Bits bits;
  for (const char c : text)
    for (int i = 7; i >= 0; --i) bits.push_back(static_cast<std::uint8_t>(c >> i & 1));
  return bits;
}

TEST(Crc, KnownChecks) {
  // The usual check word, from the catalogue of parametrised CRC algorithms.
  const Bits bits = bits_of_text("123456789");
  EXPECT_EQ(crc(CrcKind::crc24a, bits.data(), bits.size()), 0xCDE703u);
  EXPECT_EQ(crc(CrcKind::crc24b, bits.data(), bits.size()), 0x23EF52u);
  EXPECT_EQ(crc(CrcKind::crc16, bits.data(), bits.size()), 0x31C3u);
}

TEST(Crc, IsTheRemainderOfTheStandardsPolynomial) {
  // Exponents as 38.212 writes them.
  const std::pair<CrcKind, std::vector<int>> generators[] = {
      {CrcKind::crc24a, {24, 23, 18, 17, 14, 11, 10, 7, 6, 5, 4, 3, 1, 0}},
      {CrcKind::crc24b, {24, 23, 6, 5, 1, 0}},
      {CrcKind::crc24c, {24, 23, 21, 20, 17, 15, 13, 12, 8, 4, 2, 1, 0}},
      {CrcKind::crc16, {16, 12, 5, 0}},
      {CrcKind::crc11, {11, 10, 9, 5, 0}},
      {CrcKind::crc6, {6, 5, 0}}};
  for (const auto& [kind, exponents] : generators) {
    const unsigned length = crc_length(kind);
    for (const std::size_t n : {1u, 7u, 8u, 61u}) {
      Bits bits = lcg_bits(n, n);
      Bits rest = bits;
      rest.resize(n + length, 0);
      for (std::size_t i = 0; i < n; ++i) {
        if (rest[i] == 0) continue;
        for (const int e : exponents) rest[i + length - unsigned(e)] ^= 1;
      }
      bits.resize(n + length);
      append_crc(kind, bits.data(), n);
      EXPECT_TRUE(std::equal(bits.begin() + long(n), bits.end(), rest.begin() + long(n)));
      EXPECT_TRUE(crc_holds(kind, bits.data(), bits.size()));
      bits[n / 2] ^= 1;
      EXPECT_FALSE(crc_holds(kind, bits.data(), bits.size()));
    }
  }
}

TEST(NrLdpc, WordsAreThoseOfAnIndependentEncoder) {
  std::ifstream golden(CHEST_SOURCE_DIR "/tests/golden/coding/words.txt");
  unsigned graph, k, n, qm, rv, z, count = 0;
  std::string hash;
  while (golden >> graph >> k >> n >> qm >> rv >> z >> hash) {
    EXPECT_EQ(base_graph_of(k, double(k) / n), BaseGraph(graph)) << k << " " << n;
    const NrLdpc code(BaseGraph(graph), k);
    EXPECT_EQ(code.z(), z);
    Bits word(code.n_word()), sent(n);
    code.encode(lcg_bits(k, k).data(), word.data());
    code.match_rate(word.data(), rv, qm, n, sent.data());
    EXPECT_EQ(fnv_of(sent), hash) << k << " " << n << " " << qm << " " << rv;
    ++count;
  }
  EXPECT_EQ(count, 432u);
}

TEST(NrLdpc, WordsOfAllLiftingSizesFulfilAllChecks) {
  EXPECT_EQ(lifting_sizes().size(), 51u);
  for (const BaseGraph graph : {BaseGraph::bg1, BaseGraph::bg2}) {
    for (const unsigned z : lifting_sizes()) {
      // The most bits of this size, and one more than those of the next smaller one.
      const unsigned columns = graph == BaseGraph::bg1 ? 22 : 10;
      const unsigned k = columns * z;
      if (graph == BaseGraph::bg2 && k <= 640) continue;  // short blocks fill fewer columns
      const NrLdpc code(graph, k);
      EXPECT_EQ(code.z(), z);
      EXPECT_EQ(code.n_systematic(), k);
      Bits word(code.n_word());
      code.encode(lcg_bits(z, k).data(), word.data());
      EXPECT_TRUE(code.parity_check().holds(word.data())) << k;
      word[k + 5 * z] ^= 1;
      EXPECT_FALSE(code.parity_check().holds(word.data())) << k;
    }
  }
  for (const unsigned k : {1u, 2u, 20u, 192u, 193u, 560u, 561u, 640u}) {
    const NrLdpc code(BaseGraph::bg2, k);
    Bits word(code.n_word());
    code.encode(lcg_bits(k, k).data(), word.data());
    EXPECT_TRUE(code.parity_check().holds(word.data())) << k;
  }
}

TEST(NrLdpc, BaseGraphsAreChosenAsTheStandardSays) {
  EXPECT_EQ(base_graph_of(292, 0.9), BaseGraph::bg2);
  EXPECT_EQ(base_graph_of(293, 0.68), BaseGraph::bg1);
  EXPECT_EQ(base_graph_of(3824, 0.67), BaseGraph::bg2);
  EXPECT_EQ(base_graph_of(3825, 0.67), BaseGraph::bg1);
  EXPECT_EQ(base_graph_of(100'000, 0.25), BaseGraph::bg2);
}

TEST(NrLdpc, CombiningInvertsRateMatching) {
  for (const unsigned k : {30u, 500u, 3000u}) {
    const NrLdpc code(BaseGraph::bg2, k);
    Bits word(code.n_word());
    code.encode(lcg_bits(k, k).data(), word.data());
    const std::size_t n_buffer = code.n_buffer() - (code.n_systematic() - k);  // without filler
    for (const unsigned rv : {0u, 1u, 2u, 3u}) {
      // Twice around and a bit: each bit arrives two or three times.
      const std::size_t n = (2 * n_buffer + 24) / 12 * 12;
      Bits sent(n);
      code.match_rate(word.data(), rv, 4, n, sent.data());
      std::vector<float> llrs(n), buffer(code.n_buffer(), 0.0f);
      for (std::size_t i = 0; i < n; ++i) llrs[i] = sent[i] != 0 ? -1.0f : 1.0f;
      EXPECT_EQ(code.combine(llrs.data(), rv, 4, n, buffer.data()), code.parity_check().n_rows);
      std::size_t n_filler = 0;
      double sum = 0.0;
      for (std::size_t i = 0; i < buffer.size(); ++i) {
        const std::size_t at = i + 2 * code.z();
        if (at >= k && at < code.n_systematic()) {
          ++n_filler;
          EXPECT_EQ(buffer[i], 0.0f);
          continue;
        }
        EXPECT_EQ(buffer[i] < 0, word[at] == 1);
        EXPECT_GE(std::abs(buffer[i]), 2.0f);
        sum += std::abs(buffer[i]);
      }
      EXPECT_EQ(sum, double(n));
      EXPECT_EQ(n_filler, code.n_systematic() - std::max(k, 2 * code.z()));
    }
  }
}

TEST(NrLdpc, OnlyChecksOfReceivedParityAreNeeded) {
  const NrLdpc code(BaseGraph::bg2, 500);
  std::vector<float> llrs(4000, 1.0f), buffer(code.n_buffer());
  // Two columns are not sent: of 500 bits, 372; 628 are parity, of blocks of 64.
  EXPECT_EQ(code.combine(llrs.data(), 0, 1, 1000, buffer.data()), 10u);
  EXPECT_EQ(code.combine(llrs.data(), 0, 1, 372, buffer.data()), 4u);
  EXPECT_EQ(code.combine(llrs.data(), 0, 1, 372 + 64 * 5, buffer.data()), 5u);
  EXPECT_EQ(code.combine(llrs.data(), 0, 1, 373 + 64 * 5, buffer.data()), 6u);
}

TEST(NrLdpc, RefusesWhatCannotBe) {
  EXPECT_EQ(error_of([] { NrLdpc(BaseGraph::bg2, 3841); }),
            "nr_ldpc: a block of base graph 2 has 3841 bits, expected 1 .. 3840");
  const NrLdpc code(BaseGraph::bg1, 1000);
  Bits word(code.n_word()), sent(10);
  EXPECT_EQ(error_of([&] { code.match_rate(word.data(), 4, 2, 10, sent.data()); }),
            "nr_ldpc: rv is 4, expected 0 .. 3");
  EXPECT_EQ(error_of([&] { code.match_rate(word.data(), 0, 4, 10, sent.data()); }),
            "nr_ldpc: 10 bits are sent with 4 per symbol, expected a multiple");
}

}  // namespace
}  // namespace chest::sim
