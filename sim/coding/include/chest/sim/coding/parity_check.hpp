#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include <chest/sim/coding/crc.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// A parity-check matrix made of circulants: blocks of z x z, each zero or a sum of identities that
/// are shifted to the right. Any binary matrix is one with z = 1.
struct ParityCheck {
  /// A shifted identity: bit row z + i of the checks meets bit column z + (i + shift) mod z of the word.
  struct Circulant {
    std::uint32_t row, column, shift;
  };
  std::uint32_t n_rows = 0, n_columns = 0;  ///< in blocks
  std::uint32_t z = 1;                      ///< lifting size
  std::vector<Circulant> circulants;        ///< by row, then column, then shift

  std::size_t n_checks() const { return std::size_t{n_rows} * z; }
  std::size_t n_bits() const { return std::size_t{n_columns} * z; }
  /// Whether word[0 .. n_bits) fulfils the first `rows` block rows of checks.
  bool holds(const std::uint8_t* word, std::uint32_t rows) const;
  bool holds(const std::uint8_t* word) const { return holds(word, n_rows); }
};

/// Reads a code from an alist file (MacKay's format: sizes, degrees, then the checks of each bit and
/// the bits of each check, counted from 1, short lines filled with zeros or not). Where the matrix
/// consists of circulants, it is stored with the largest such z, which is what makes decoding fast.
/// @throws Error(io) if the file cannot be read;  Error(format) with the first thing that is wrong:
///         a word that is no number, an index out of range or named twice, the two lists differ, a
///         degree that is not met, an end too early or words behind the end
ParityCheck read_alist(const std::filesystem::path& file);

/// Systematic words of any parity-check matrix, by elimination over GF(2) at construction: n_checks^2
/// n_bits / 64 word operations.
class GenericEncoder {
 public:
  /// @throws Error(invalid_argument) if the matrix has more than 16384 checks or 65536 bits, or leaves
  ///         no information bit
  explicit GenericEncoder(const ParityCheck& H);
  /// Information bits of a word: n_bits less the rank.
  std::size_t k() const { return information_.size(); }
  /// Where they stand in the word, ascending, [k].
  const std::vector<std::uint32_t>& information() const { return information_; }
  /// word[0 .. n_bits) of info[0 .. k).
  void encode(const std::uint8_t* info, std::uint8_t* word) const;

 private:
  std::vector<std::uint32_t> information_, pivots_;
  std::vector<std::uint64_t> rows_;  // a row per pivot: which information bits it is the sum of
  std::size_t words_ = 0;
};

}  // namespace sim
}  // namespace v0
}  // namespace chest
