// Message passing: exact on trees, equal to plain loops on any graph, alike on all processors.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <chest/random.hpp>
#include <chest/sim/coding/decoder.hpp>
#include <chest/sim/coding/nr_ldpc.hpp>

#include "sim/coding/decoder_kernels.hpp"
#include "tests/support/lcg_bits.hpp"
#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

/// Checks as lists of bits.
ParityCheck checks_of(std::uint32_t n, const std::vector<std::vector<std::uint32_t>>& checks) {
  ParityCheck H;
  H.n_rows = std::uint32_t(checks.size());
  H.n_columns = n;
  for (std::uint32_t row = 0; row < H.n_rows; ++row)
    for (const std::uint32_t column : checks[row]) H.circulants.push_back({row, column, 0});
  return H;
}

std::vector<float> random_llrs(Rng& rng, std::size_t n, double mean, double deviation) {
  std::vector<float> llrs(n);
  for (float& llr : llrs) llr = float(mean + deviation * rng.normal());
  return llrs;
}

TEST(LdpcDecoder, BeliefPropagationIsExactOnATree) {
  const ParityCheck H = checks_of(9, {{0, 1, 2}, {2, 3, 4, 5}, {5, 6}, {4, 7, 8}});
  Rng rng(1, {Purpose::test});
  for (const DecoderSchedule schedule : {DecoderSchedule::flooding, DecoderSchedule::layered}) {
    DecoderOptions options;
    options.schedule = schedule;
    options.iterations = 10;
    options.early_stop = false;
    options.clip = 50.0;
    LdpcDecoder decoder(H, options);
    for (int trial = 0; trial < 20; ++trial) {
      const std::vector<float> llrs = random_llrs(rng, 9, 0.5, trial < 10 ? 2.0 : 8.0);
      // Of all words, those that fulfil the checks.
      std::array<std::array<double, 2>, 9> sum{};
      for (unsigned word = 0; word < 512; ++word) {
        Bits bits(9);
        double log_p = 0.0;
        for (unsigned i = 0; i < 9; ++i) {
          bits[i] = word >> i & 1;
          log_p -= bits[i] != 0 ? llrs[i] : 0.0;
        }
        if (!H.holds(bits.data())) continue;
        for (unsigned i = 0; i < 9; ++i) sum[i][bits[i]] += std::exp(log_p);
      }
      Bits decided(9);
      std::vector<float> believed(9);
      decoder.decode(llrs.data(), decided.data());
      decoder.posterior(believed.data());
      for (unsigned i = 0; i < 9; ++i) {
        const double expected = std::log(sum[i][0] / sum[i][1]);
        EXPECT_NEAR(believed[i], expected, 1e-5 * (1.0 + std::abs(expected)));
        EXPECT_EQ(decided[i], expected < 0);
      }
    }
  }
}

/// Message passing in double, written from the definition: a message per edge.
std::vector<double> plain(const ParityCheck& H, const std::vector<float>& llrs,
                          const DecoderOptions& options, std::uint32_t n_rows) {
  const bool is_int8 = options.precision == DecoderPrecision::int8;
  const double step = is_int8 ? 4.0 : 1.0;
  const double clip = options.clip * step;
  std::vector<double> channel(llrs.size());
  for (std::size_t i = 0; i < llrs.size(); ++i) {
    channel[i] = std::clamp(llrs[i] * step, -clip, clip);
    if (is_int8) channel[i] = std::round(channel[i]);
  }
  struct Edge {
    std::size_t bit;
    double message;
  };
  std::vector<std::vector<Edge>> checks(std::size_t{n_rows} * H.z);
  for (const auto& c : H.circulants)
    for (std::uint32_t i = 0; c.row < n_rows && i < H.z; ++i)
      checks[std::size_t{c.row} * H.z + i].push_back(
          {std::size_t{c.column} * H.z + (i + c.shift) % H.z, 0.0});
  std::vector<double> sums = channel;
  for (unsigned iteration = 0; iteration < options.iterations; ++iteration) {
    const bool layered = options.schedule == DecoderSchedule::layered;
    std::vector<double> next = layered ? sums : channel;
    for (auto& edges : checks) {
      std::vector<double> in;
      for (const Edge& e : edges)
        in.push_back(std::clamp((layered ? next : sums)[e.bit] - e.message, -clip, clip));
      for (std::size_t e = 0; e < edges.size(); ++e) {
        double product = 1.0, least = clip, sign = 1.0;
        for (std::size_t other = 0; other < edges.size(); ++other) {
          if (other == e) continue;
          product *= std::tanh(in[other] / 2.0);
          least = std::min(least, std::abs(in[other]));
          if (std::signbit(in[other])) sign = -sign;
        }
        double out = std::clamp(2.0 * std::atanh(product), -clip, clip);
        if (options.kind == DecoderKind::min_sum)
          out = sign * (is_int8 ? std::floor((least * 16 * options.scale + 8) / 16)
                                : least * options.scale);
        if (options.kind == DecoderKind::offset_min_sum)
          out = sign * std::max(0.0, least - options.offset * step);
        next[edges[e].bit] += layered ? out - edges[e].message : out;
        edges[e].message = out;
      }
    }
    sums = next;
  }
  for (double& sum : sums) sum /= step;
  return sums;
}

TEST(LdpcDecoder, AllKindsDoWhatPlainLoopsDo) {
  Rng rng(2, {Purpose::test});
  for (const unsigned k : {30u, 400u}) {  // lifting sizes 5 and 52: below and above a vector
    const NrLdpc code(BaseGraph::bg2, k);
    for (const DecoderKind kind :
         {DecoderKind::bp, DecoderKind::min_sum, DecoderKind::offset_min_sum}) {
      for (const DecoderSchedule schedule : {DecoderSchedule::flooding, DecoderSchedule::layered}) {
        for (const DecoderPrecision precision :
             {DecoderPrecision::float32, DecoderPrecision::int8}) {
          if (kind == DecoderKind::bp && precision == DecoderPrecision::int8) continue;
          DecoderOptions options;
          options.kind = kind;
          options.schedule = schedule;
          options.precision = precision;
          options.iterations = 3;
          options.early_stop = false;
          options.clip = 15.0;
          LdpcDecoder decoder(code.parity_check(), options);
          const std::uint32_t n_rows = 9;
          const std::vector<float> llrs = random_llrs(rng, code.n_word(), 1.0, 2.5);
          Bits decided(code.n_word());
          std::vector<float> believed(code.n_word());
          for (int again = 0; again < 2; ++again) {  // nothing is left of the first call
            decoder.decode(llrs.data(), decided.data(), n_rows);
            decoder.posterior(believed.data());
            const std::vector<double> expected = plain(code.parity_check(), llrs, options, n_rows);
            const double allowed = precision == DecoderPrecision::int8 ? 0.0 : 2e-4;
            for (std::size_t i = 0; i < expected.size(); ++i)
              ASSERT_NEAR(believed[i], expected[i], allowed)
                  << k << " " << int(kind) << " " << int(schedule) << " " << int(precision);
          }
        }
      }
    }
  }
}

TEST(LdpcDecoder, EveryProcessorGivesTheSameBits) {
  const std::vector<const DecoderKernels*> kernels = decoder_kernels();
  ASSERT_STREQ(kernels.back()->name, "generic");
  Rng rng(3, {Purpose::test});
  constexpr std::uint32_t degree = 7, z = 50, padded = 64, stride = 192;
  std::array<std::uint32_t, degree> column{}, shift{};
  for (std::uint32_t e = 0; e < degree; ++e) {
    column[e] = e * stride;
    shift[e] = std::uint32_t(rng.index(z));
  }
  const auto run = [&](auto zero, auto zero_sum, auto function, std::uint64_t seed) {
    using T = decltype(zero);
    using Sum = decltype(zero_sum);
    Rng numbers(seed, {Purpose::test});
    std::vector<Sum> in(degree * stride, 0);
    for (std::uint32_t e = 0; e < degree; ++e)
      for (std::uint32_t i = 0; i < z; ++i)
        in[e * stride + i] = in[e * stride + z + i] = static_cast<Sum>(12.0 * numbers.normal());
    std::vector<Sum> out = in;
    std::vector<T> to_bits(degree * padded, 0), from_bits(degree * padded, 1),
        work((2 * degree + 2) * padded, 0);
    for (T& message : to_bits) message = static_cast<T>(3.0 * numbers.normal());
    std::vector<std::uint32_t> signs(padded);
    CheckRow<T, Sum> row{};
    row.degree = degree;
    row.z = z;
    row.padded = padded;
    row.column = column.data();
    row.shift = shift.data();
    row.to_bits = to_bits.data();
    row.in = in.data();
    row.out = out.data();
    row.from_bits = from_bits.data();
    row.work = work.data();
    row.signs = signs.data();
    row.clip = 20;
    row.scale = std::is_same_v<T, float> ? static_cast<T>(0.75f) : static_cast<T>(12);
    row.offset = 2;
    function(row);
    // Sums of all bits, and messages of all lanes.
    std::vector<Sum> result;
    for (std::uint32_t e = 0; e < degree; ++e) {
      for (std::uint32_t i = 0; i < 2 * z; ++i) result.push_back(out[e * stride + i]);
      for (std::uint32_t i = 0; i < z; ++i) result.push_back(to_bits[e * padded + i]);
    }
    return result;
  };
  const auto equal = [](const auto& a, const auto& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
  };
  const DecoderKernels& generic = *kernels.back();
  for (const DecoderKernels* other : kernels) {
    for (std::uint64_t seed = 1; seed < 20; ++seed) {
      for (const auto member :
           {&DecoderKernels::bp, &DecoderKernels::min_sum, &DecoderKernels::offset_min_sum})
        EXPECT_TRUE(
            equal(run(0.0f, 0.0f, other->*member, seed), run(0.0f, 0.0f, generic.*member, seed)))
            << other->name;
      for (const auto member :
           {&DecoderKernels::min_sum_int8, &DecoderKernels::offset_min_sum_int8})
        EXPECT_TRUE(equal(run(std::int8_t{0}, std::int16_t{0}, other->*member, seed),
                          run(std::int8_t{0}, std::int16_t{0}, generic.*member, seed)))
            << other->name;
    }
  }
}

TEST(LdpcDecoder, StopsWhenChecksHoldOrTheCallerAccepts) {
  const NrLdpc code(BaseGraph::bg2, 300);
  Bits word(code.n_word()), decided(code.n_word());
  code.encode(lcg_bits(1, 300).data(), word.data());
  std::vector<float> llrs(word.size());
  for (std::size_t i = 0; i < word.size(); ++i) llrs[i] = word[i] != 0 ? -5.0f : 5.0f;
  LdpcDecoder decoder(code.parity_check());
  LdpcDecoder::Result result = decoder.decode(llrs.data(), decided.data());
  EXPECT_EQ(result.iterations, 1u);
  EXPECT_TRUE(result.parity_holds);
  EXPECT_EQ(decided, word);
  // Noise, which no iteration makes a word.
  Rng rng(4, {Purpose::test});
  llrs = random_llrs(rng, word.size(), 0.0, 1.0);
  result = decoder.decode(llrs.data(), decided.data());
  EXPECT_EQ(result.iterations, 20u);
  EXPECT_FALSE(result.parity_holds);
  int asked = 0;
  result = decoder.decode(llrs.data(), decided.data(), 0, [&](const std::uint8_t* bits) {
    EXPECT_EQ(bits, decided.data());
    return ++asked == 3;
  });
  EXPECT_EQ(result.iterations, 3u);
  EXPECT_FALSE(result.parity_holds);
}

TEST(LdpcDecoder, RefusesOptionsOutOfRange) {
  const auto of = [](const auto& change) {
    DecoderOptions options;
    change(options);
    return options.why_invalid();
  };
  EXPECT_EQ(DecoderOptions{}.why_invalid(), "");
  EXPECT_EQ(of([](DecoderOptions& o) { o.precision = DecoderPrecision::int8; }),
            "bp has no int8, expected min-sum or offset-min-sum");
  EXPECT_EQ(of([](DecoderOptions& o) { o.iterations = 0; }), "iterations is 0, expected 1 .. 1000");
  EXPECT_EQ(of([](DecoderOptions& o) { o.clip = 61; }), "clip is 61, expected 1 .. 60");
  EXPECT_EQ(of([](DecoderOptions& o) { o.scale = 0; }), "scale is 0, expected above 0, up to 1");
  EXPECT_EQ(of([](DecoderOptions& o) { o.offset = -1; }), "offset is -1, expected 0 .. 10");
  EXPECT_EQ(error_of([] { decoder_kind_from_string("minsum"); }),
            "decoder: there is no kind 'minsum'; did you mean min-sum?");
  EXPECT_EQ(error_of([] {
              DecoderOptions options;
              options.iterations = 0;
              LdpcDecoder(ParityCheck{}, options);
            }),
            "decoder: iterations is 0, expected 1 .. 1000");
  // 251 checks of one bit.
  std::vector<std::vector<std::uint32_t>> checks;
  for (std::uint32_t i = 1; i < 252; ++i) checks.push_back({0, i});
  DecoderOptions options;
  options.kind = DecoderKind::min_sum;
  options.precision = DecoderPrecision::int8;
  EXPECT_EQ(error_of([&] { LdpcDecoder(checks_of(252, checks), options); }),
            "decoder: a bit has more than 250 checks, too many for int8; use float");
}

}  // namespace
}  // namespace chest::sim
