#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include <chest/sim/coding/crc.hpp>

namespace chest::sim {

/// The bits that tests/golden/coding/make_words.py encodes.
inline Bits lcg_bits(std::uint64_t seed, std::size_t n) {
  Bits bits(n);
  for (std::uint8_t& bit : bits) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    bit = static_cast<std::uint8_t>(seed >> 63);
  }
  return bits;
}

/// FNV-1a of the bits as bytes, 16 hexadecimal digits.
inline std::string fnv_of(const Bits& bits) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const std::uint8_t bit : bits) hash = (hash ^ bit) * 0x100000001B3u;
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

}  // namespace chest::sim
