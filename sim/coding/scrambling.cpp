#include <chest/sim/coding/scrambling.hpp>

#include <string>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

Bits gold_sequence(std::uint32_t c_init, std::size_t n) {
  constexpr std::size_t skipped = 1600;
  std::uint32_t x1 = 1, x2 = c_init;  // bit i: x(now + i)
  Bits out;
  out.reserve(n);
  for (std::size_t i = 0; i < skipped + n; ++i) {
    if (i >= skipped) out.push_back(static_cast<std::uint8_t>((x1 ^ x2) & 1u));
    const std::uint32_t next1 = (x1 >> 3 ^ x1) & 1u;
    const std::uint32_t next2 = (x2 >> 3 ^ x2 >> 2 ^ x2 >> 1 ^ x2) & 1u;
    x1 = x1 >> 1 | next1 << 30;
    x2 = x2 >> 1 | next2 << 30;
  }
  return out;
}

std::uint32_t scrambling_init(unsigned n_rnti, unsigned n_id, unsigned q) {
  if (n_rnti > 65535)
    refuse("scrambling: n_rnti is " + std::to_string(n_rnti) + ", expected 0 .. 65535");
  if (n_id > 1023) refuse("scrambling: n_id is " + std::to_string(n_id) + ", expected 0 .. 1023");
  if (q > 1) refuse("scrambling: q is " + std::to_string(q) + ", expected 0 or 1");
  return n_rnti << 15 | q << 14 | n_id;
}

void scramble(const Bits& sequence, std::uint8_t* bits) {
  for (std::size_t i = 0; i < sequence.size(); ++i) bits[i] ^= sequence[i];
}

void descramble(const Bits& sequence, float* llrs) {
  for (std::size_t i = 0; i < sequence.size(); ++i) llrs[i] = sequence[i] != 0 ? -llrs[i] : llrs[i];
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
