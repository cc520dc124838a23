#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <chest/sim/coding/crc.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// c(0) .. c(n - 1), bits: the sum of two m-sequences of length 31, the second begun from c_init.
/// Source: 3GPP TS 38.211, 5.2.1
Bits gold_sequence(std::uint32_t c_init, std::size_t n);

/// Where the sequence of a PUSCH or of codeword q of a PDSCH begins.
/// @param n_rnti  0 .. 65535
/// @param n_id    0 .. 1023
/// @param q       0 .. 1; PUSCH: 0
/// @throws Error(invalid_argument) if one is out of its range
/// Source: 3GPP TS 38.211, 6.3.1.1 and 7.3.1.1
std::uint32_t scrambling_init(unsigned n_rnti, unsigned n_id, unsigned q = 0);

/// Adds the sequence to bits, [sequence.size()]; and its inverse, the LLRs of scrambled bits become
/// those of the bits.
void scramble(const Bits& sequence, std::uint8_t* bits);
void descramble(const Bits& sequence, float* llrs);

}  // namespace sim
}  // namespace v0
}  // namespace chest
