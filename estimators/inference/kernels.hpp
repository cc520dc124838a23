#pragma once

#include <cstddef>
#include <cstdint>

namespace chest {
inline namespace v0 {
namespace inference {

/// How the planes of a network's layers lie in memory: n_slow rows of n_fast floats, with the edges that
/// convolutions of reach `pad` read around them. The fast axis is contiguous, and a vector of the
/// processor holds neighbours along it.
struct PlaneShape {
  std::size_t n_slow = 0, n_fast = 0, pad = 0;
  std::size_t row = 0;    ///< floats from one row to the next
  std::size_t first = 0;  ///< of the entry (0, 0)
  std::size_t plane = 0;  ///< floats from one plane to the next, a multiple of 16
  /// Entries are worked on as one run over rows and the edges between them, where rows would leave
  /// vectors half empty.
  bool flat = false;
};

/// Entries of the edges that a convolution reads: up to `pad` of the shape.
struct EdgeReach {
  std::size_t slow = 0, fast = 0;
};

/// One layer at work: planes of `n_in` channels become planes of `n_out`.
struct Convolution {
  const PlaneShape* shape = nullptr;
  int n_in = 0, n_out = 0, n_taps = 0;
  /// Of each tap, relative to the output's entry, [n_taps].
  const std::ptrdiff_t* taps = nullptr;
  /// Blocks of outputs as output_block() counts them, each [n_in][n_taps][outputs of the block].
  const float* weights = nullptr;
  /// out = relu(gain (sum + map) + offset), [n_out]; map null: none.
  const float *gain = nullptr, *offset = nullptr, *map = nullptr;
  bool relu = false;
  const float* in = nullptr;  ///< with filled edges
  float* out = nullptr;       ///< edges and what follows rows are left undefined
};

/// out = a b, [n_rows, n_inner] times [n_inner, n_columns], complex, real and imaginary parts apart.
/// n_columns is a multiple of 16; a stride is the number of floats from one row to the next.
struct ComplexProduct {
  std::size_t n_rows = 0, n_inner = 0, n_columns = 0;
  const float *a_re = nullptr, *a_im = nullptr;
  std::size_t a_stride = 0;
  const float *b_re = nullptr, *b_im = nullptr;
  std::size_t b_stride = 0;
  float *out_re = nullptr, *out_im = nullptr;
  std::size_t out_stride = 0;
};

/// The inner loops for one kind of processor.
struct Kernels {
  const char* target;  ///< "AVX3", "AVX2" ..
  std::size_t lanes;   ///< floats of a vector
  void (*convolve)(const Convolution&);
  void (*multiply)(const ComplexProduct&);
  /// out_k = scale ln(1 + gain (re_k^2 + im_k^2)), k < n; n a multiple of 16
  void (*log_magnitude)(const float* re, const float* im, float gain, float scale, std::size_t n,
                        float* out);
  /// out_k = ln(1 + exp(max(in_k, least)))^2; n a multiple of 16; may be in place
  void (*squared_softplus)(const float* in, float least, std::size_t n, float* out);
};

/// Those of the processor that this runs on.
const Kernels& kernels();

/// Outputs of a block: blocks are as even as they can be, at most 6 outputs each.
constexpr int most_block_outputs = 6;
constexpr int n_output_blocks(int n_out) {
  return (n_out + most_block_outputs - 1) / most_block_outputs;
}
/// The first output of block b; that of block n_output_blocks() is n_out.
constexpr int first_output(int n_out, int b) { return b * n_out / n_output_blocks(n_out); }

}  // namespace inference
}  // namespace v0
}  // namespace chest
