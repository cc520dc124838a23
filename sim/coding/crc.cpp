#include <chest/sim/coding/crc.hpp>

#include <algorithm>
#include <array>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// A generator without its highest term, and the remainders of all bytes before L zeros.
struct CrcGenerator {
  unsigned length;
  std::uint32_t polynomial;
  std::array<std::uint32_t, 256> of_byte{};

  constexpr CrcGenerator(unsigned n, std::uint32_t g) : length(n), polynomial(g) {
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      std::uint32_t rest = 0;
      for (int i = 7; i >= 0; --i) rest = step(rest, byte >> i & 1u);
      of_byte[byte] = rest;
    }
  }
  constexpr std::uint32_t step(std::uint32_t rest, std::uint32_t bit) const {
    const std::uint32_t top = (rest >> (length - 1) & 1u) ^ bit;
    return ((rest << 1) & ((1u << length) - 1u)) ^ (top ? polynomial : 0u);
  }
};

constexpr std::array generators{CrcGenerator(24, 0x864CFB), CrcGenerator(24, 0x800063),
                                CrcGenerator(24, 0xB2B117), CrcGenerator(16, 0x1021),
                                CrcGenerator(11, 0x621),    CrcGenerator(6, 0x21)};

}  // namespace

void fill_random(Rng& rng, Bits& bits) {
  for (std::size_t i = 0; i < bits.size(); i += 64) {
    std::uint64_t word = rng();
    for (std::size_t b = i; b < std::min(i + 64, bits.size()); ++b, word >>= 1) bits[b] = word & 1u;
  }
}

unsigned crc_length(CrcKind kind) { return generators[std::size_t(kind)].length; }

std::uint32_t crc(CrcKind kind, const std::uint8_t* bits, std::size_t n) {
  const CrcGenerator& generator = generators[std::size_t(kind)];
  const unsigned length = generator.length;
  std::uint32_t rest = 0;
  std::size_t i = 0;
  if (length >= 8) {
    const std::uint32_t mask = (1u << length) - 1u;
    for (; i + 8 <= n; i += 8) {
      std::uint32_t byte = 0;
      for (std::size_t b = 0; b < 8; ++b) byte = byte << 1 | bits[i + b];
      rest = (rest << 8 & mask) ^ generator.of_byte[(rest >> (length - 8) ^ byte) & 255u];
    }
  }
  for (; i < n; ++i) rest = generator.step(rest, bits[i]);
  return rest;
}

void append_crc(CrcKind kind, std::uint8_t* bits, std::size_t n) {
  const std::uint32_t rest = crc(kind, bits, n);
  const unsigned length = crc_length(kind);
  for (unsigned i = 0; i < length; ++i) bits[n + i] = rest >> (length - 1 - i) & 1u;
}

bool crc_holds(CrcKind kind, const std::uint8_t* bits, std::size_t n) {
  return crc(kind, bits, n) == 0;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
