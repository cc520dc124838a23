#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace chest {
inline namespace v0 {

/// The upper half of a float: 8 bits of significand.
inline float from_bfloat16(std::uint16_t half) {
  const std::uint32_t bits = static_cast<std::uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

/// Rounded to nearest, ties to even; NaN stays NaN.
inline std::uint16_t to_bfloat16(float value) {
  constexpr std::uint16_t not_a_number = 0x7fc0;
  if (std::isnan(value)) return not_a_number;
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits += 0x7fffU + ((bits >> 16) & 1U);
  return static_cast<std::uint16_t>(bits >> 16);
}

}  // namespace v0
}  // namespace chest
