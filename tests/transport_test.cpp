// Transport blocks: sizes, schemes, and the way to coded bits and back.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include <chest/random.hpp>
#include <chest/sim/coding/scrambling.hpp>
#include <chest/sim/coding/transport.hpp>

#include "tests/support/lcg_bits.hpp"
#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

TEST(Transport, SizesOfTheReferenceChannelsOf38104) {
  // A3: QPSK 193/1024, A4: 16-QAM 658/1024, A5: 64-QAM 567/1024; 144 data elements per block.
  const Mcs a3{2, 193.0 / 1024}, a4{4, 658.0 / 1024}, a5{6, 567.0 / 1024};
  const unsigned blocks[] = {25, 52, 106, 273};
  const std::size_t of_a3[] = {1352, 2856, 5768, 14856}, of_a4[] = {9224, 19464, 38936, 100392},
                    of_a5[] = {12040, 25104, 50184, 131176};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(transport_block_size(144, blocks[i], a3, 1), of_a3[i]);
    EXPECT_EQ(transport_block_size(144, blocks[i], a4, 1), of_a4[i]);
    EXPECT_EQ(transport_block_size(144, blocks[i], a5, 1), of_a5[i]);
  }
}

TEST(Transport, SchemesAndSizesAreThoseOfAnIndependentImplementation) {
  std::ifstream golden(CHEST_SOURCE_DIR "/tests/golden/coding/sizes.txt");
  unsigned table, index, qm, n_blocks, n_re, layers, count = 0;
  double rate;
  std::size_t size;
  while (golden >> table >> index >> qm >> rate >> n_blocks >> n_re >> layers >> size) {
    const Mcs mcs = mcs_of(table, index);
    EXPECT_EQ(mcs.bits_per_symbol, qm) << table << " " << index;
    EXPECT_NEAR(mcs.code_rate * 1024, rate, 1e-2) << table << " " << index;
    EXPECT_EQ(transport_block_size(n_re, n_blocks, mcs, layers), size)
        << table << " " << index << " " << n_blocks << " " << n_re << " " << layers;
    ++count;
  }
  EXPECT_EQ(count, 430u);
}

TEST(Transport, CodedBitsAreThoseOfAnIndependentEncoder) {
  std::ifstream golden(CHEST_SOURCE_DIR "/tests/golden/coding/transport.txt");
  TransportConfig config;
  unsigned n_rnti, n_id, scrambled, n_blocks, count = 0;
  std::string hash;
  while (golden >> config.n_info_bits >> config.n_coded_bits >> config.code_rate >> config.qm >>
         config.n_layers >> n_rnti >> n_id >> scrambled >> n_blocks >> hash) {
    TransportBlock block(config);
    EXPECT_EQ(block.n_code_blocks(), n_blocks);
    Bits out;
    block.encode(lcg_bits(config.n_info_bits, config.n_info_bits), 0, out);
    if (scrambled != 0)
      scramble(gold_sequence(scrambling_init(n_rnti, n_id), out.size()), out.data());
    EXPECT_EQ(fnv_of(out), hash) << config.n_info_bits;
    ++count;
  }
  EXPECT_EQ(count, 20u);
}

DecoderOptions fast_decoder() {
  DecoderOptions options;
  options.kind = DecoderKind::min_sum;
  options.schedule = DecoderSchedule::layered;
  return options;
}

TEST(Transport, WhatIsSentIsDecoded) {
  // One and several blocks, shares that differ, fewer bits than the mother code and more.
  const TransportConfig configs[] = {{24, 0.2, 2, 1, 300},
                                     {1352, 193.0 / 1024, 2, 1, 7200},
                                     {9224, 658.0 / 1024, 4, 1, 14400},
                                     {18432, 658.0 / 1024, 4, 2, 28808}};
  for (const TransportConfig& config : configs) {
    TransportBlock block(config, fast_decoder());
    std::size_t sent = 0;
    for (unsigned r = 0; r < block.n_code_blocks(); ++r) sent += block.n_sent(r);
    EXPECT_EQ(sent, config.n_coded_bits);
    SoftBuffer buffer = block.make_buffer();
    const Bits bits = lcg_bits(5, config.n_info_bits);
    Bits coded;
    for (const unsigned rv : {0u, 3u}) {  // those that carry most information bits
      block.encode(bits, rv, coded);
      std::vector<float> llrs(coded.size()), believed(coded.size());
      for (std::size_t i = 0; i < coded.size(); ++i) llrs[i] = coded[i] != 0 ? -4.0f : 4.0f;
      buffer.clear();
      const TransportBlock::Decoded decoded =
          block.decode(llrs.data(), rv, buffer, believed.data());
      EXPECT_TRUE(decoded.crc_ok) << config.n_info_bits << " rv " << rv;
      EXPECT_EQ(buffer.bits(), bits);
      EXPECT_EQ(decoded.n_decoded, block.n_code_blocks());
      for (std::size_t i = 0; i < coded.size(); ++i)
        EXPECT_EQ(believed[i], coded[i] != 0 ? -1e6f : 1e6f);
      // The next transmission is not needed any more.
      EXPECT_EQ(block.decode(llrs.data(), 0, buffer).n_decoded, 0u);
    }
  }
}

TEST(Transport, NoiseIsNoBlock) {
  TransportBlock block({9224, 658.0 / 1024, 4, 1, 14400}, fast_decoder());
  SoftBuffer buffer = block.make_buffer();
  Rng rng(1, {Purpose::test});
  std::vector<float> llrs(14400), believed(14400);
  for (float& llr : llrs) llr = float(rng.normal());
  const TransportBlock::Decoded decoded = block.decode(llrs.data(), 0, buffer, believed.data());
  EXPECT_FALSE(decoded.crc_ok);
  EXPECT_EQ(decoded.iterations, 20u * block.n_code_blocks());
  for (const float llr : believed) EXPECT_LT(std::abs(llr), 1e5f);
}

TEST(Transport, EachTransmissionBringsRedundancy) {
  // QPSK at Es/N0 -0.9 dB: rate 0.64 is above the capacity, half of it is below.
  TransportBlock block({3752, 0.64, 2, 1, 5880}, fast_decoder());
  SoftBuffer buffer = block.make_buffer();
  Bits coded;
  int first = 0, second = 0;
  const double variance = std::pow(10.0, 0.09) / 2.0;  // per real part of unit power
  for (unsigned trial = 0; trial < 8; ++trial) {
    buffer.clear();
    const Bits bits = lcg_bits(trial, 3752);
    Rng rng(trial, {Purpose::test});
    for (const unsigned rv : {0u, 2u}) {
      block.encode(bits, rv, coded);
      std::vector<float> llrs(coded.size());
      for (std::size_t i = 0; i < coded.size(); ++i) {
        const double y =
            (coded[i] != 0 ? -1.0 : 1.0) * std::sqrt(0.5) + std::sqrt(variance) * rng.normal();
        llrs[i] = float(2.0 * std::sqrt(0.5) * y / variance);
      }
      const bool ok = block.decode(llrs.data(), rv, buffer).crc_ok;
      EXPECT_EQ(ok, buffer.bits() == bits);
      (rv == 0 ? first : second) += ok;
    }
  }
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 8);
}

TEST(Transport, RefusesWhatCannotBe) {
  EXPECT_EQ(error_of([] { mcs_of(4, 0); }), "mcs: there is no table 4, expected 1 .. 3");
  EXPECT_EQ(error_of([] { mcs_of(2, 28); }),
            "mcs: table 2 has no code rate for index 28, expected 0 .. 27");
  const auto of = [](const TransportConfig& config) {
    return error_of([&] { TransportBlock block(config); });
  };
  EXPECT_EQ(of({100, 0.5, 3, 1, 200}), "transport: qm is 3, expected 1, 2, 4, 6 or 8");
  EXPECT_EQ(of({100, 0.5, 2, 9, 200}), "transport: n_layers is 9, expected 1 .. 8");
  EXPECT_EQ(of({100, 1.5, 2, 1, 200}), "transport: code_rate is 1.5, expected above 0, below 1");
  EXPECT_EQ(of({100, 0.5, 4, 3, 200}),
            "transport: n_coded_bits is 200, expected a multiple of qm n_layers = 12, at least 12");
  EXPECT_EQ(of({9223, 0.6, 2, 1, 20000}),
            "transport: n_info_bits is 9223, expected a size that its 2 code blocks share equally, "
            "as transport_block_size() gives");
  TransportBlock block({100, 0.5, 2, 1, 200}), other({108, 0.5, 2, 1, 200});
  Bits out;
  EXPECT_EQ(error_of([&] { block.encode(Bits(99), 0, out); }),
            "transport: 99 bits are given, expected 100");
  SoftBuffer buffer = other.make_buffer();
  std::vector<float> llrs(200);
  EXPECT_EQ(
      error_of([&] { block.decode(llrs.data(), 0, buffer); }),
      "transport: the soft buffer is of another configuration; expected one of make_buffer()");
  EXPECT_NE(error_of([] { transport_block_size(144, 0, Mcs{2, 0.5}, 1); }), "");
  EXPECT_EQ(error_of([] {
              transport_block_size(144, 1, Mcs{2, 0.0}, 1);
            }),
            "transport: the code rate is 0, expected above 0, below 1");
}

}  // namespace
}  // namespace chest::sim
