#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <chest/random.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// Bits, one per byte, each 0 or 1.
using Bits = std::vector<std::uint8_t>;

/// Random bits in place of all that there are, 64 from each number of the generator.
void fill_random(Rng& rng, Bits& bits);

/// The cyclic redundancy checks of 5G.
enum class CrcKind { crc24a, crc24b, crc24c, crc16, crc11, crc6 };

/// Parity bits of a check: 24, 16, 11 or 6.
unsigned crc_length(CrcKind kind);

/// The remainder of bits(D) D^L by the generator of the check; its highest bit is sent first.
/// @param bits  n values 0 or 1
/// Source: 3GPP TS 38.212, 5.1
std::uint32_t crc(CrcKind kind, const std::uint8_t* bits, std::size_t n);

/// Writes the L parity bits of bits[0 .. n) behind them: bits[n .. n + L).
void append_crc(CrcKind kind, std::uint8_t* bits, std::size_t n);

/// Whether the last L of n bits, parity bits included, are the check of those before them.
bool crc_holds(CrcKind kind, const std::uint8_t* bits, std::size_t n);

}  // namespace sim
}  // namespace v0
}  // namespace chest
