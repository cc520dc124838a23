#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <chest/sim/coding/decoder.hpp>
#include <chest/sim/coding/nr_ldpc.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// A modulation and coding scheme.
struct Mcs {
  unsigned bits_per_symbol;
  double code_rate;  ///< target, below 1
};
/// Row `index` of table 1 (64-QAM), 2 (256-QAM) or 3 (low spectral efficiency), for PDSCH and for PUSCH without
/// transform precoding.
/// @throws Error(invalid_argument) if there is no such table, or no such row with a code rate
/// Source: 3GPP TS 38.214, tables 5.1.3.1-1 to -3
Mcs mcs_of(unsigned table, unsigned index);

/// Bits of a transport block.
/// @param n_re_per_block  data resource elements of a resource block; above 156 they count as 156
/// @param n_blocks        resource blocks
/// @throws Error(invalid_argument) if an argument is 0, n_layers is above 8, or the code rate is not in (0, 1)
/// Source: 3GPP TS 38.214, 5.1.3.2
std::size_t transport_block_size(unsigned n_re_per_block, unsigned n_blocks, const Mcs& mcs,
                                 unsigned n_layers);

/// One transport block on its way.
struct TransportConfig {
  std::size_t n_info_bits = 0;   ///< without CRC; as transport_block_size() gives them
  double code_rate = 0.5;        ///< target; with n_info_bits it chooses the base graph
  unsigned qm = 2;               ///< bits per symbol: 1, 2, 4, 6, 8
  unsigned n_layers = 1;         ///< 1 .. 8
  std::size_t n_coded_bits = 0;  ///< sent in one transmission, a multiple of qm n_layers

  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

/// What the receiver of a transport block keeps over its transmissions.
class SoftBuffer {
 public:
  /// Forgets all: before a new transport block.
  void clear();
  /// Information bits as last decided, [n_info_bits].
  const Bits& bits() const { return bits_; }

 private:
  friend class TransportBlock;
  std::vector<float> llrs_;           // of all code blocks, [n_blocks, n_buffer]
  std::vector<std::uint32_t> rows_;   // of checks that each block needs
  std::vector<std::uint8_t> passed_;  // whether the check of each block held
  Bits block_bits_;                   // [n_blocks, K']
  Bits bits_;
};

/// The way of transport blocks to coded bits and back: CRC, segmentation, LDPC, rate matching, concatenation; any
/// number of transmissions with incremental redundancy. One object serves one thread at a time and allocates nothing in
/// its calls.
/// Source: 3GPP TS 38.212, 6.2 and 7.2, without limited buffer and with all code blocks sent
class TransportBlock {
 public:
  /// @throws Error(invalid_argument) if the configuration or the options are invalid
  explicit TransportBlock(const TransportConfig& config, const DecoderOptions& decoder = {});

  const TransportConfig& config() const { return config_; }
  const NrLdpc& code() const { return code_; }  ///< of each code block
  unsigned n_code_blocks() const { return n_blocks_; }
  /// Bits of code block r that one transmission sends.
  std::size_t n_sent(unsigned r) const;

  /// @param bits  information bits, [n_info_bits]
  /// @param rv    redundancy version; usual are 0, 2, 3, 1
  /// @param out   coded bits, not scrambled; set to [n_coded_bits]
  /// @throws Error(invalid_argument) if the number of bits or rv is wrong
  void encode(const Bits& bits, unsigned rv, Bits& out);

  SoftBuffer make_buffer() const;

  struct Decoded {
    bool crc_ok;          ///< of the transport block and of all code blocks
    unsigned iterations;  ///< of all code blocks together
    unsigned n_decoded;   ///< code blocks that were decoded: those whose CRC had not held before
  };
  /// Adds a transmission to the buffer and decodes. Code blocks whose CRC holds stay as they are.
  /// @param llrs  log P(0) - log P(1), not scrambled any more, [n_coded_bits]
  /// @param coded_llrs  what is believed of the coded bits after decoding, [n_coded_bits]: +-1e6 where a CRC holds; may
  ///              be null
  /// @throws Error(invalid_argument) if rv is wrong or the buffer is of another configuration
  Decoded decode(const float* llrs, unsigned rv, SoftBuffer& buffer, float* coded_llrs = nullptr);

 private:
  TransportConfig config_;
  CrcKind crc_;
  unsigned n_blocks_;
  NrLdpc code_;
  LdpcDecoder decoder_;
  Bits bits_, block_, word_;
  std::vector<float> llrs_;
  LdpcDecoder::Acceptance accepts_;
};

}  // namespace sim
}  // namespace v0
}  // namespace chest
