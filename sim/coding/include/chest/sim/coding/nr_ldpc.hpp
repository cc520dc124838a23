#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <chest/sim/coding/parity_check.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// The two base graphs of 5G: 1 for long blocks of high rate, 2 for the others.
enum class BaseGraph { bg1 = 1, bg2 = 2 };

/// The base graph of n_info payload bits (without checks) at a code rate.
/// Source: 3GPP TS 38.212, 6.2.2 and 7.2.2
BaseGraph base_graph_of(std::size_t n_info, double code_rate);

/// Most bits of a code block, check included: 8448 and 3840.
unsigned most_block_bits(BaseGraph graph);

/// All lifting sizes, ascending: a 2^j of the table, 2 .. 384.
/// Source: 3GPP TS 38.212, table 5.3.2-1
const std::vector<unsigned>& lifting_sizes();

/// The LDPC code of one code block with its rate matching, without limited buffer.
///
///   word (columns of the graph times z):  n_info bits | filler, zeros that are not sent | parity
///   buffer:  the word without its first 2 z bits; E bits from k0(rv) on are sent, round and round
///
/// Const calls may run in several threads at once.
/// Source: 3GPP TS 38.212, 5.2.2, 5.3.2 and 5.4.2; golden words in tests/golden/coding
class NrLdpc {
 public:
  /// @param n_info  bits of the block, check included, 1 .. most_block_bits(graph)
  /// @throws Error(invalid_argument) if it is out of this range
  NrLdpc(BaseGraph graph, unsigned n_info);

  BaseGraph graph() const { return graph_; }
  unsigned n_info() const { return n_info_; }
  unsigned z() const { return H_.z; }           ///< lifting size
  unsigned n_systematic() const { return k_; }  ///< n_info and filler: 22 z or 10 z
  unsigned n_word() const { return n_word_; }   ///< 68 z or 52 z
  unsigned n_buffer() const { return n_word_ - 2 * z(); }
  const ParityCheck& parity_check() const { return H_; }

  /// word[0 .. n_word) of info[0 .. n_info).
  void encode(const std::uint8_t* info, std::uint8_t* word) const;

  /// The n_sent bits that are sent of a word, bit-interleaved for qm bits per symbol.
  /// @param rv  redundancy version, 0 .. 3
  /// @param qm  a divisor of n_sent; 1: no interleaving
  /// @param sent  [n_sent]
  /// @throws Error(invalid_argument) if rv, qm or n_sent is out of range
  void match_rate(const std::uint8_t* word, unsigned rv, unsigned qm, std::size_t n_sent,
                  std::uint8_t* sent) const;

  /// The same of numbers, such as LLRs, of the bits of a word.
  void match_rate(const float* word, unsigned rv, unsigned qm, std::size_t n_sent,
                  float* sent) const;

  /// The inverse: adds the LLRs of the n_sent bits to those of the buffer.
  /// @param llrs    log P(0) - log P(1), [n_sent]
  /// @param buffer  [n_buffer]; zero before the first transmission
  /// @return  block rows of parity_check() that the decoder needs: those behind them only define
  ///          parity bits of which nothing was received. A buffer of several transmissions needs the
  ///          most of them.
  unsigned combine(const float* llrs, unsigned rv, unsigned qm, std::size_t n_sent,
                   float* buffer) const;

  /// LLRs of the whole word for the decoder: 0 for what is never sent, sure zeros for filler.
  /// @param llrs  [n_word]
  void expand(const float* buffer, float* llrs) const;

 private:
  template <class Take>
  unsigned walk(unsigned rv, unsigned qm, std::size_t n_sent, const Take& take) const;

  BaseGraph graph_;
  unsigned n_info_, k_, n_word_;
  unsigned parity_shift_ = 0;  // of the first parity block in the sum of the core rows
  ParityCheck H_;
  std::vector<std::uint32_t> row_start_;  // of each row in H_.circulants
};

}  // namespace sim
}  // namespace v0
}  // namespace chest
