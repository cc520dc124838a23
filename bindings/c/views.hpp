#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>

#include <chest/bfloat16.hpp>

#include "chest.h"

// Views of a caller's numbers: what is stored becomes values, and values what is stored.

namespace chest_views {

/// Whether an item with this sum of squares is one: squares of what is larger do not fit into float32, zero and
/// NaN are none.
inline bool can_be_estimated(double power) {
  constexpr double most = 1e36;
  return power > 0.0 && power < most;
}

inline bool is_complex(std::uint16_t type) { return type <= CHEST_CBF16; }
inline bool is_real(std::uint16_t type) { return type == CHEST_F32 || type == CHEST_F64; }

inline std::int16_t to_int16(float value) {
  if (std::isnan(value)) return 0;
  return static_cast<std::int16_t>(std::lrint(std::clamp(value, -32768.0F, 32767.0F)));
}

inline double scale_of(const chest_tensor& tensor) {
  if (tensor.scale != 0.0F) return static_cast<double>(tensor.scale);
  return tensor.dtype == CHEST_CI16 ? 1.0 / 32768.0 : 1.0;
}

/// A plane [n_rows, n_columns] of a view, its first element at `offset`; columns one after the other in
/// `out`.
inline void gather(const chest_tensor& from, std::int64_t offset, std::int64_t n_rows,
                   std::int64_t row_stride, std::int64_t n_columns, std::int64_t column_stride,
                   double factor, std::complex<float>* out) {
  const auto each = [&](auto value_at) {
    for (std::int64_t c = 0; c < n_columns; ++c) {
      std::int64_t at = offset + c * column_stride;
      for (std::int64_t r = 0; r < n_rows; ++r, at += row_stride) *out++ = value_at(at);
    }
  };
  const auto f = static_cast<float>(factor);
  switch (from.dtype) {
    case CHEST_CF32: {
      const auto* data = static_cast<const float*>(from.data);
      each([=](std::int64_t at) {
        return std::complex<float>(f * data[2 * at], f * data[2 * at + 1]);
      });
      break;
    }
    case CHEST_CF64: {
      const auto* data = static_cast<const double*>(from.data);
      each([=](std::int64_t at) {
        return std::complex<float>(static_cast<float>(factor * data[2 * at]),
                                   static_cast<float>(factor * data[2 * at + 1]));
      });
      break;
    }
    case CHEST_CI16: {
      const auto* data = static_cast<const std::int16_t*>(from.data);
      each([=](std::int64_t at) {
        return std::complex<float>(f * static_cast<float>(data[2 * at]),
                                   f * static_cast<float>(data[2 * at + 1]));
      });
      break;
    }
    default: {
      const auto* data = static_cast<const std::uint16_t*>(from.data);
      each([=](std::int64_t at) {
        return std::complex<float>(f * chest::from_bfloat16(data[2 * at]),
                                   f * chest::from_bfloat16(data[2 * at + 1]));
      });
    }
  }
}

inline void scatter(const chest_tensor& to, std::int64_t offset, std::int64_t n_rows,
                    std::int64_t row_stride, std::int64_t n_columns, std::int64_t column_stride,
                    double factor, const std::complex<float>* in) {
  const auto each = [&](auto put) {
    for (std::int64_t c = 0; c < n_columns; ++c) {
      std::int64_t at = offset + c * column_stride;
      for (std::int64_t r = 0; r < n_rows; ++r, at += row_stride) put(at, *in++);
    }
  };
  const auto f = static_cast<float>(factor);
  switch (to.dtype) {
    case CHEST_CF32: {
      auto* data = static_cast<float*>(to.data);
      each([=](std::int64_t at, std::complex<float> value) {
        data[2 * at] = f * value.real();
        data[2 * at + 1] = f * value.imag();
      });
      break;
    }
    case CHEST_CF64: {
      auto* data = static_cast<double*>(to.data);
      each([=](std::int64_t at, std::complex<float> value) {
        data[2 * at] = factor * static_cast<double>(value.real());
        data[2 * at + 1] = factor * static_cast<double>(value.imag());
      });
      break;
    }
    case CHEST_CI16: {
      auto* data = static_cast<std::int16_t*>(to.data);
      each([=](std::int64_t at, std::complex<float> value) {
        data[2 * at] = to_int16(f * value.real());
        data[2 * at + 1] = to_int16(f * value.imag());
      });
      break;
    }
    default: {
      auto* data = static_cast<std::uint16_t*>(to.data);
      each([=](std::int64_t at, std::complex<float> value) {
        data[2 * at] = chest::to_bfloat16(f * value.real());
        data[2 * at + 1] = chest::to_bfloat16(f * value.imag());
      });
    }
  }
}

inline double real_at(const chest_tensor& tensor, std::int64_t at) {
  if (tensor.dtype == CHEST_F64) {
    return scale_of(tensor) * static_cast<const double*>(tensor.data)[at];
  }
  return scale_of(tensor) * static_cast<double>(static_cast<const float*>(tensor.data)[at]);
}
inline void put_real(const chest_tensor& tensor, std::int64_t at, double value) {
  value /= scale_of(tensor);
  if (tensor.dtype == CHEST_F64) {
    static_cast<double*>(tensor.data)[at] = value;
  } else {
    static_cast<float*>(tensor.data)[at] = static_cast<float>(value);
  }
}

}  // namespace chest_views
