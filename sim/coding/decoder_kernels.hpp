#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chest {
inline namespace v0 {
namespace sim {

/// One block row of checks, and where its messages are. T: float or int8; sums are float or int16.
/// Lanes are padded to full vectors: arrays of a message have `padded` entries, of which the first z are
/// lanes. The sums of a column stand there twice, one copy behind the other, so that lanes from any shift on are
/// in a row; `padded` entries may be touched behind each shift.
template <class T, class Sum>
struct CheckRow {
  std::uint32_t degree, z, padded;
  const std::uint32_t* column;  ///< first entry of each column in the sums, [degree]
  const std::uint32_t* shift;   ///< [degree]
  T* to_bits;                   ///< messages of the last iteration, replaced, [degree, padded]
  const Sum* in;                ///< LLRs of the bits that messages are taken from
  Sum* out;                     ///< LLRs that the new messages are added to
  bool layered;                 ///< out is in: the old messages are taken away
  T* from_bits;          ///< work space, [degree, padded]; lanes behind z hold finite numbers
  T* work;               ///< work space, [2 degree + 2, padded]
  std::uint32_t* signs;  ///< work space, [padded]
  T clip;
  T scale;  ///< int8: sixteenths
  T offset;
};
using FloatRow = CheckRow<float, float>;
using Int8Row = CheckRow<std::int8_t, std::int16_t>;

/// The loops of the decoder for one kind of processor.
struct DecoderKernels {
  const char* name;
  void (*bp)(const FloatRow&);
  void (*min_sum)(const FloatRow&);
  void (*offset_min_sum)(const FloatRow&);
  void (*min_sum_int8)(const Int8Row&);
  void (*offset_min_sum_int8)(const Int8Row&);
  /// Whether the signs of `in` fulfil the checks of the row.
  bool (*holds)(const FloatRow&);
  bool (*holds_int8)(const Int8Row&);
};

/// Those that this processor can run; the fastest first. All give the same bits.
std::vector<const DecoderKernels*> decoder_kernels();

}  // namespace sim
}  // namespace v0
}  // namespace chest
