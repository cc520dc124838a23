#pragma once

#include <vector>

namespace chest {
inline namespace v0 {
namespace sim {

/// One real dimension of up to `most_lanes` symbols.
struct QamAxis {
  static constexpr unsigned most_lanes = 64, most_levels = 16, most_bits = 4;
  unsigned n_bits;  ///< of this dimension; 2^n_bits levels
  bool max_log;
  float level[most_levels];                 ///< by label, the first bit is the highest
  float value[most_lanes];                  ///< as received
  float precision[most_lanes];              ///< 1 / noise variance of the complex symbol
  float distance[most_levels][most_lanes];  ///< work space
  float llr[most_bits][most_lanes];         ///< log P(0) - log P(1)
};

struct QamKernel {
  const char* name;
  void (*demap)(QamAxis&);
};

/// Those that this processor can run; the fastest first. All give the same bits.
std::vector<const QamKernel*> qam_kernels();

}  // namespace sim
}  // namespace v0
}  // namespace chest
