#include "tiles.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <chest/bfloat16.hpp>

#if defined(__x86_64__) && defined(__linux__) && defined(__has_include)
#if __has_include(<amxbf16intrin.h>)
#define CHEST_WITH_AMX 1
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined vectors of its own headers for ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace chest {
inline namespace v0 {
namespace inference {

namespace {

float finished(const TileConvolution& c, std::size_t tile, std::size_t k, std::size_t at,
               const float* sums) {
  const std::size_t output = tile * tile_outputs + k;
  float value = c.scale ? c.scale[output] * sums[k] : sums[k];
  if (c.split_weights) value += c.scale ? c.scale[output + 8] * sums[k + 8] : sums[k + 8];
  if (c.map) value += c.map[at * c.n_tiles * tile_outputs + output];
  value = std::fma(value, c.gain[output], c.offset[output]);
  return c.relu ? std::max(value, 0.0F) : value;
}

/// A tile of sums becomes values in planes.
void finish_planes(const TileConvolution& c, std::size_t tile, std::size_t at, const float* sums) {
  const std::size_t n = std::min(tile_outputs, c.n_out - tile * tile_outputs);
  for (std::size_t k = 0; k < n; ++k) {
    float* out = static_cast<float*>(c.out_data) + (tile * tile_outputs + k) * c.plane + at;
    for (std::size_t m = 0; m < tile_entries; ++m) {
      out[m] = finished(c, tile, k, at + m, sums + m * tile_outputs);
    }
  }
}

/// The same for values that the next layer reads.
void finish_entries(const TileConvolution& c, std::size_t tile, std::size_t at, const float* sums) {
  const std::size_t first = tile * tile_outputs;
  for (std::size_t m = 0; m < tile_entries; ++m, sums += tile_outputs) {
    std::uint8_t* entry = static_cast<std::uint8_t*>(c.out_data) + (at + m) * c.out_stride;
    for (std::size_t k = 0; k < tile_outputs; ++k) {
      const float value = first + k < c.n_out ? finished(c, tile, k, at + m, sums) : 0.0F;
      if (c.out == TileElement::bfloat16) {
        const std::uint16_t half = to_bfloat16(value);
        std::memcpy(entry + 2 * (first + k), &half, sizeof(half));
      } else {
        const float level = std::nearbyint(value * c.out_scale);
        entry[first + k] = static_cast<std::uint8_t>(std::clamp(level, 0.0F, 255.0F));
      }
    }
  }
}

void by_numbers(const TileConvolution& c, std::size_t begin, std::size_t end) {
  for (std::size_t at = begin; at < end; at += tile_entries) {
    for (std::size_t tile = 0; tile < c.n_tiles; ++tile) {
      float sums[tile_entries * tile_outputs] = {};
      std::int32_t whole[tile_entries * tile_outputs] = {};
      const std::uint8_t* w = c.weights + tile * c.n_blocks * c.block_bytes * tile_outputs;
      for (std::size_t b = 0; b < c.n_blocks; ++b, w += c.block_bytes * tile_outputs) {
        for (std::size_t m = 0; m < tile_entries; ++m) {
          const std::uint8_t* x = c.in_data + (at + m) * c.in_stride + c.blocks[b];
          float* sum = sums + m * tile_outputs;
          std::int32_t* total = whole + m * tile_outputs;
          for (std::size_t q = 0; q < c.block_bytes / 4; ++q) {
            const std::uint8_t* row = w + q * tile_bytes;
            if (c.in == TileElement::byte) {
              for (std::size_t k = 0; k < tile_outputs; ++k) {
                for (std::size_t i = 0; i < 4; ++i) {
                  total[k] += static_cast<std::int32_t>(x[4 * q + i]) *
                              static_cast<std::int8_t>(row[4 * k + i]);
                }
              }
              continue;
            }
            for (std::size_t i = 0; i < 2; ++i) {
              std::uint16_t half = 0;
              std::memcpy(&half, x + 4 * q + 2 * i, sizeof(half));
              const float value = from_bfloat16(half);
              for (std::size_t k = 0; k < tile_outputs; ++k) {
                std::memcpy(&half, row + 4 * k + 2 * i, sizeof(half));
                sum[k] += value * from_bfloat16(half);
              }
            }
          }
        }
      }
      if (c.in == TileElement::byte) {
        std::transform(whole, whole + tile_entries * tile_outputs, sums,
                       [](std::int32_t n) { return static_cast<float>(n); });
      }
      if (c.out_stride == 0) {
        finish_planes(c, tile, at, sums);
      } else {
        finish_entries(c, tile, at, sums);
      }
    }
  }
}

void correlate_by_numbers(const TileCorrelation& c) {
  for (std::size_t t = 0; t < c.n_taps; ++t) {
    for (std::size_t p = 0; p < c.n_entries; ++p) {
      const std::uint16_t* pair = c.out + p / 2 * 2 * c.n_out + p % 2;
      for (std::size_t i = 0; i < c.n_in; ++i) {
        const float x =
            from_bfloat16(c.in[static_cast<std::ptrdiff_t>(i * c.in_plane + p) + c.taps[t]]);
        float* sums = c.sums + (t * c.n_in + i) * c.n_out;
        for (std::size_t o = 0; o < c.n_out; ++o) sums[o] += x * from_bfloat16(pair[2 * o]);
      }
    }
  }
}

void transpose_by_numbers(const std::uint16_t* entries, std::size_t stride, std::size_t n_entries,
                          std::size_t n_channels, std::uint16_t* planes, std::size_t plane) {
  for (std::size_t p = 0; p < n_entries; ++p) {
    for (std::size_t c = 0; c < n_channels; ++c) planes[c * plane + p] = entries[p * stride + c];
  }
}

void pair_by_numbers(const std::uint16_t* entries, std::size_t n_entries, std::size_t n_channels,
                     std::uint16_t* pairs) {
  for (std::size_t p = 0; p < n_entries; ++p) {
    for (std::size_t c = 0; c < n_channels; ++c) {
      pairs[(p / 2 * n_channels + c) * 2 + p % 2] = entries[p * n_channels + c];
    }
  }
}

void mask_by_numbers(const std::uint16_t* values, std::size_t n, std::uint16_t* gradients) {
  for (std::size_t k = 0; k < n; ++k) {
    if (static_cast<std::int16_t>(values[k]) <= 0) gradients[k] = 0;
  }
}

void add_up_by_numbers(const std::uint16_t* entries, std::size_t n_entries, std::size_t n_channels,
                       float* sums) {
  for (std::size_t p = 0; p < n_entries; ++p) {
    for (std::size_t c = 0; c < n_channels; ++c) {
      sums[c] += from_bfloat16(entries[p * n_channels + c]);
    }
  }
}

#ifdef CHEST_WITH_AMX

#define CHEST_AMX_CODE \
  __attribute__((target("amx-tile,amx-bf16,amx-int8,avx512f,avx512bw,avx512vl,avx512bf16")))

struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t n_rows[16] = {};
};

/// What 16 entries by 16 outputs have in common.
struct TileOutputs {
  __m512 gain, offset, scale;
};

CHEST_AMX_CODE inline TileOutputs load_outputs(const TileConvolution& c, std::size_t tile) {
  const std::size_t first = tile * tile_outputs;
  // A last tile may be all padding.
  const std::size_t n = c.n_out > first ? std::min(tile_outputs, c.n_out - first) : 0;
  const auto mask = static_cast<__mmask16>((1U << n) - 1U);
  return {_mm512_maskz_loadu_ps(mask, c.gain + first),
          _mm512_maskz_loadu_ps(mask, c.offset + first),
          c.scale ? _mm512_maskz_loadu_ps(mask, c.scale + first) : _mm512_set1_ps(1.0F)};
}

CHEST_AMX_CODE inline __m512 finished(const TileConvolution& c, const TileOutputs& o,
                                      const void* sums, const float* map) {
  __m512 value = c.in == TileElement::byte
                     ? _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums)), o.scale)
                     : _mm512_load_ps(sums);
  if (map) value = _mm512_add_ps(value, _mm512_loadu_ps(map));
  value = _mm512_fmadd_ps(value, o.gain, o.offset);
  return c.relu ? _mm512_max_ps(value, _mm512_setzero_ps()) : value;
}

/// One or two tiles of outputs of 16 entries.
template <int n_tiles>
CHEST_AMX_CODE inline void finish_tiles(const TileConvolution& c, const TileOutputs* outputs,
                                        std::size_t tile, std::size_t at,
                                        const float (*sums)[tile_entries][tile_outputs]) {
  const std::size_t map_stride = c.n_tiles * tile_outputs;
  const float* map = c.map ? c.map + at * map_stride + tile * tile_outputs : nullptr;
  const std::size_t size = c.out == TileElement::bfloat16 ? 2 : 1;
  std::uint8_t* out =
      static_cast<std::uint8_t*>(c.out_data) + at * c.out_stride + tile * tile_outputs * size;
  const __m512 out_scale = _mm512_set1_ps(c.out_scale);
  for (std::size_t m = 0; m < tile_entries; ++m, out += c.out_stride) {
    __m512 value[n_tiles];
    for (int t = 0; t < n_tiles; ++t) {
      value[t] = finished(c, outputs[t], sums[t][m], map ? map + t * tile_outputs : nullptr);
    }
    if (map) map += map_stride;
    if (c.out == TileElement::byte) {
      for (int t = 0; t < n_tiles; ++t) {
        const __m512i level = _mm512_cvtps_epi32(_mm512_mul_ps(value[t], out_scale));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + t * tile_outputs),
                         _mm512_cvtusepi32_epi8(_mm512_max_epi32(level, _mm512_setzero_si512())));
      }
    } else if (n_tiles == 2) {
      _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(value[n_tiles - 1], value[0]));
    } else {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), (__m256i)_mm512_cvtneps_pbh(value[0]));
    }
  }
}

/// n_rows times 16 entries by n_tiles times 16 outputs: sums in tiles 0 to 3, entries in 4 and 5, weights
/// in 6 and 7.
template <int n_rows, int n_tiles>
CHEST_AMX_CODE inline void multiply(const TileConvolution& c, std::size_t tile, std::size_t at,
                                    float (*sums)[tile_entries][tile_outputs]) {
  const std::size_t block = c.block_bytes * tile_outputs;
  const std::uint8_t* w = c.weights + tile * c.n_blocks * block;
  const std::uint8_t* w1 = w + c.n_blocks * block;
  const std::uint8_t* x = c.in_data + at * c.in_stride;
  const std::size_t next = tile_entries * c.in_stride;
  _tile_zero(0);
  if (n_tiles == 2) _tile_zero(1);
  if (n_rows == 2) _tile_zero(2);
  if (n_rows == 2 && n_tiles == 2) _tile_zero(3);
#define CHEST_MULTIPLY(product)                                           \
  for (std::size_t b = 0; b < c.n_blocks; ++b, w += block, w1 += block) { \
    const std::uint8_t* entries = x + c.blocks[b];                        \
    _tile_loadd(4, entries, c.in_stride);                                 \
    _tile_loadd(6, w, tile_bytes);                                        \
    product(0, 4, 6);                                                     \
    if (n_tiles == 2) _tile_loadd(7, w1, tile_bytes);                     \
    if (n_tiles == 2) product(1, 4, 7);                                   \
    if (n_rows == 2) _tile_loadd(5, entries + next, c.in_stride);         \
    if (n_rows == 2) product(2, 5, 6);                                    \
    if (n_rows == 2 && n_tiles == 2) product(3, 5, 7);                    \
  }
  if (c.in == TileElement::byte) {
    CHEST_MULTIPLY(_tile_dpbusd)
  } else {
    CHEST_MULTIPLY(_tile_dpbf16ps)
  }
#undef CHEST_MULTIPLY
  _tile_stored(0, sums[0], tile_bytes);
  if (n_tiles == 2) _tile_stored(1, sums[1], tile_bytes);
  if (n_rows == 2) _tile_stored(2, sums[2], tile_bytes);
  if (n_rows == 2 && n_tiles == 2) _tile_stored(3, sums[3], tile_bytes);
}

template <int n_tiles>
CHEST_AMX_CODE void outputs_of(const TileConvolution& c, std::size_t tile, std::size_t begin,
                               std::size_t end) {
  alignas(64) float sums[4][tile_entries][tile_outputs];
  TileOutputs outputs[n_tiles];
  for (int t = 0; t < n_tiles; ++t)
    outputs[t] = load_outputs(c, tile + static_cast<std::size_t>(t));
  for (std::size_t at = begin; at < end;) {
    const bool two = end - at > tile_entries;
    if (two) {
      multiply<2, n_tiles>(c, tile, at, sums);
    } else {
      multiply<1, n_tiles>(c, tile, at, sums);
    }
    for (std::size_t r = 0; r < (two ? 2U : 1U); ++r, at += tile_entries) {
      if (c.out_stride > 0) {
        finish_tiles<n_tiles>(c, outputs, tile, at, sums + 2 * r);
        continue;
      }
      for (std::size_t t = 0; t < static_cast<std::size_t>(n_tiles); ++t) {
        if (c.in == TileElement::byte) {
          float* values = sums[2 * r + t][0];
          for (std::size_t k = 0; k < tile_entries * tile_outputs; k += 16) {
            _mm512_store_ps(values + k, _mm512_cvtepi32_ps(_mm512_load_si512(values + k)));
          }
        }
        finish_planes(c, tile + t, at, sums[2 * r + t][0]);
      }
    }
  }
}

CHEST_AMX_CODE void by_tiles(const TileConvolution& c, std::size_t begin, std::size_t end) {
  TileShapes shapes;
  for (int t = 0; t < 8; ++t) {
    const bool entries = t == 4 || t == 5, weights = t >= 6;
    shapes.row_bytes[t] = static_cast<std::uint16_t>(entries ? c.block_bytes : tile_bytes);
    shapes.n_rows[t] = static_cast<std::uint8_t>(weights ? c.block_bytes / 4 : tile_entries);
  }
  _tile_loadconfig(&shapes);
  std::size_t tile = 0;
  for (; tile + 2 <= c.n_tiles; tile += 2) outputs_of<2>(c, tile, begin, end);
  if (tile < c.n_tiles) outputs_of<1>(c, tile, begin, end);
  _tile_release();
}

/// n_in times 16 inputs by n_out times 16 outputs: sums in tiles 0 to 3, inputs in 4 and 5, outputs in 6 and 7.
template <int n_in, int n_out>
CHEST_AMX_CODE inline void correlate_tiles(const TileCorrelation& c, std::size_t i, std::size_t o) {
  constexpr std::size_t step = 32;
  const std::size_t row = c.n_out * sizeof(float);
  for (std::size_t t = 0; t < c.n_taps; ++t) {
    const std::uint16_t* x = c.in + i * c.in_plane + c.taps[t];
    const std::uint16_t* x1 = x + tile_entries * c.in_plane;
    const std::uint16_t* y = c.out + 2 * o;
    float* sums = c.sums + (t * c.n_in + i) * c.n_out + o;
    float* sums1 = sums + tile_entries * c.n_out;
    _tile_loadd(0, sums, row);
    if (n_out == 2) _tile_loadd(1, sums + tile_outputs, row);
    if (n_in == 2) _tile_loadd(2, sums1, row);
    if (n_in == 2 && n_out == 2) _tile_loadd(3, sums1 + tile_outputs, row);
    for (std::size_t p = 0; p < c.n_entries;
         p += step, x += step, x1 += step, y += step * c.n_out) {
      _tile_loadd(4, x, c.in_plane * sizeof(std::uint16_t));
      _tile_loadd(6, y, row);
      _tile_dpbf16ps(0, 4, 6);
      if (n_out == 2) _tile_loadd(7, y + 2 * tile_outputs, row);
      if (n_out == 2) _tile_dpbf16ps(1, 4, 7);
      if (n_in == 2) _tile_loadd(5, x1, c.in_plane * sizeof(std::uint16_t));
      if (n_in == 2) _tile_dpbf16ps(2, 5, 6);
      if (n_in == 2 && n_out == 2) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, row);
    if (n_out == 2) _tile_stored(1, sums + tile_outputs, row);
    if (n_in == 2) _tile_stored(2, sums1, row);
    if (n_in == 2 && n_out == 2) _tile_stored(3, sums1 + tile_outputs, row);
  }
}

CHEST_AMX_CODE void correlate_by_tiles(const TileCorrelation& c) {
  TileShapes shapes;
  for (int t = 0; t < 8; ++t) {
    shapes.row_bytes[t] = tile_bytes;
    shapes.n_rows[t] = tile_entries;
  }
  _tile_loadconfig(&shapes);
  constexpr std::size_t two = 2 * tile_entries;
  for (std::size_t i = 0; i < c.n_in; i += two) {
    for (std::size_t o = 0; o < c.n_out; o += two) {
      const bool wide_in = i + two <= c.n_in, wide_out = o + two <= c.n_out;
      if (wide_in && wide_out) {
        correlate_tiles<2, 2>(c, i, o);
      } else if (wide_in) {
        correlate_tiles<2, 1>(c, i, o);
      } else if (wide_out) {
        correlate_tiles<1, 2>(c, i, o);
      } else {
        correlate_tiles<1, 1>(c, i, o);
      }
    }
  }
  _tile_release();
}

/// 16 channels of entries p and p + 1, side by side: what one pair of pair_entries() holds of them.
CHEST_AMX_CODE inline __m512i pair_of(const std::uint16_t* entry, const std::uint16_t* next) {
  const __m512i a =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(entry)));
  const __m512i b =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(next)));
  return _mm512_or_si512(a, _mm512_slli_epi32(b, 16));
}

CHEST_AMX_CODE void pair_by_vectors(const std::uint16_t* entries, std::size_t n_entries,
                                    std::size_t n_channels, std::uint16_t* pairs) {
  for (std::size_t p = 0; p < n_entries; p += 2) {
    for (std::size_t c = 0; c < n_channels; c += tile_outputs) {
      const std::uint16_t* entry = entries + p * n_channels + c;
      _mm512_storeu_si512(pairs + p * n_channels + 2 * c, pair_of(entry, entry + n_channels));
    }
  }
}

CHEST_AMX_CODE void transpose_by_vectors(const std::uint16_t* entries, std::size_t stride,
                                         std::size_t n_entries, std::size_t n_channels,
                                         std::uint16_t* planes, std::size_t plane) {
  constexpr int n = 16;
  for (std::size_t p = 0; p < n_entries; p += 2 * n) {
    for (std::size_t c = 0; c < n_channels; c += n) {
      __m512i a[n], b[n];
      for (int k = 0; k < n; ++k) {
        const std::uint16_t* entry = entries + (p + 2 * static_cast<std::size_t>(k)) * stride + c;
        a[k] = pair_of(entry, entry + stride);
      }
      // 16 x 16 pairs: by ones, by twos, by fours, by eights.
      for (int k = 0; k < n; k += 2) {
        b[k] = _mm512_unpacklo_epi32(a[k], a[k + 1]);
        b[k + 1] = _mm512_unpackhi_epi32(a[k], a[k + 1]);
      }
      for (int k = 0; k < n; k += 4) {
        a[k] = _mm512_unpacklo_epi64(b[k], b[k + 2]);
        a[k + 1] = _mm512_unpackhi_epi64(b[k], b[k + 2]);
        a[k + 2] = _mm512_unpacklo_epi64(b[k + 1], b[k + 3]);
        a[k + 3] = _mm512_unpackhi_epi64(b[k + 1], b[k + 3]);
      }
      for (int k = 0; k < 4; ++k) {
        b[k] = _mm512_shuffle_i32x4(a[k], a[k + 4], 0x88);
        b[k + 4] = _mm512_shuffle_i32x4(a[k], a[k + 4], 0xdd);
        b[k + 8] = _mm512_shuffle_i32x4(a[k + 8], a[k + 12], 0x88);
        b[k + 12] = _mm512_shuffle_i32x4(a[k + 8], a[k + 12], 0xdd);
      }
      for (int k = 0; k < 4; ++k) {
        a[k] = _mm512_shuffle_i32x4(b[k], b[k + 8], 0x88);
        a[k + 4] = _mm512_shuffle_i32x4(b[k + 4], b[k + 12], 0x88);
        a[k + 8] = _mm512_shuffle_i32x4(b[k], b[k + 8], 0xdd);
        a[k + 12] = _mm512_shuffle_i32x4(b[k + 4], b[k + 12], 0xdd);
      }
      for (int k = 0; k < n; ++k) {
        _mm512_storeu_si512(planes + (c + static_cast<std::size_t>(k)) * plane + p, a[k]);
      }
    }
  }
}

CHEST_AMX_CODE void mask_by_vectors(const std::uint16_t* values, std::size_t n,
                                    std::uint16_t* gradients) {
  std::size_t k = 0;
  for (; k + 32 <= n; k += 32) {
    const __mmask32 on =
        _mm512_cmpgt_epi16_mask(_mm512_loadu_si512(values + k), _mm512_setzero_si512());
    _mm512_storeu_si512(gradients + k, _mm512_maskz_loadu_epi16(on, gradients + k));
  }
  mask_by_numbers(values + k, n - k, gradients + k);
}

CHEST_AMX_CODE void add_up_by_vectors(const std::uint16_t* entries, std::size_t n_entries,
                                      std::size_t n_channels, float* sums) {
  for (std::size_t c = 0; c < n_channels; c += tile_outputs) {
    __m512 sum = _mm512_loadu_ps(sums + c);
    for (std::size_t p = 0; p < n_entries; ++p) {
      const __m512i wide = _mm512_cvtepu16_epi32(
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(entries + p * n_channels + c)));
      sum = _mm512_add_ps(sum, _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
    }
    _mm512_storeu_ps(sums + c, sum);
  }
}

bool find_tile_instructions() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned amx_bf16 = 1U << 22, amx_tile = 1U << 24, amx_int8 = 1U << 25;
  constexpr unsigned all = amx_bf16 | amx_tile | amx_int8, avx512_bf16 = 1U << 5;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & all) != all) return false;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) == 0 || (a & avx512_bf16) == 0) return false;
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl")) return false;
  // Linux keeps tiles for processes that ask.
  constexpr long request = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

#endif

constexpr TileGradientKernels gradients_by_numbers{correlate_by_numbers, transpose_by_numbers,
                                                   pair_by_numbers, mask_by_numbers,
                                                   add_up_by_numbers};

}  // namespace

#ifdef CHEST_WITH_AMX
const TileGradientKernels& tile_gradient_kernels(bool instructions) {
  static constexpr TileGradientKernels by_instructions{correlate_by_tiles, transpose_by_vectors,
                                                       pair_by_vectors, mask_by_vectors,
                                                       add_up_by_vectors};
  return instructions ? by_instructions : gradients_by_numbers;
}
bool has_tile_instructions() {
  static const bool found = find_tile_instructions();
  return found;
}
TileKernel tile_kernel(bool instructions) { return instructions ? by_tiles : by_numbers; }
#else
bool has_tile_instructions() { return false; }
const TileGradientKernels& tile_gradient_kernels(bool) { return gradients_by_numbers; }
TileKernel tile_kernel(bool) { return by_numbers; }
#endif

}  // namespace inference
}  // namespace v0
}  // namespace chest
