#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <chest/sim/coding/parity_check.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// What a check tells its bits.
enum class DecoderKind {
  bp,             ///< belief propagation: the sum-product rule, exact
  min_sum,        ///< the smallest magnitude, times `scale`
  offset_min_sum  ///< the smallest magnitude, less `offset`
};
/// flooding: all checks with the bits of the last iteration; layered: each block row with what the
/// rows before it found, which needs about half of the iterations.
enum class DecoderSchedule { flooding, layered };
/// float32, or int8 messages of 1/4 with int16 sums (not for bp).
enum class DecoderPrecision { float32, int8 };

/// "bp", "min-sum", "offset-min-sum"; "flooding", "layered"; "float", "int8".
/// @throws Error(invalid_argument) naming those that there are
DecoderKind decoder_kind_from_string(const std::string& name);
DecoderSchedule decoder_schedule_from_string(const std::string& name);
DecoderPrecision decoder_precision_from_string(const std::string& name);

struct DecoderOptions {
  DecoderKind kind = DecoderKind::bp;
  DecoderSchedule schedule = DecoderSchedule::flooding;
  DecoderPrecision precision = DecoderPrecision::float32;
  unsigned iterations = 20;  ///< at most, 1 .. 1000
  double clip = 20.0;        ///< bound of LLRs and messages, 1 .. 60; with int8 at most 31.75
  double scale = 0.75;       ///< of min_sum, above 0, up to 1; with int8 in steps of 1/16
  double offset = 0.5;       ///< of offset_min_sum, 0 .. 10; with int8 in steps of 1/4
  bool early_stop = true;    ///< ends when all checks hold

  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

/// Message passing on the graph of a parity-check matrix. All lanes of a circulant are worked on
/// together; a call allocates nothing and gives the same bits on every x86-64 processor. One object
/// serves one thread at a time.
/// Sources: [Gallager1962], [Chen2005]
class LdpcDecoder {
 public:
  /// @throws Error(invalid_argument) if the options are invalid, or a bit has more than 250 checks
  ///         and the precision is int8
  explicit LdpcDecoder(const ParityCheck& H, const DecoderOptions& options = {});
  ~LdpcDecoder();
  LdpcDecoder(LdpcDecoder&&) noexcept;
  LdpcDecoder& operator=(LdpcDecoder&&) noexcept;

  struct Result {
    unsigned iterations;  ///< that were done
    bool parity_holds;    ///< of all checks used
  };
  /// Says whether the bits [n_bits] are accepted though some checks fail: a CRC.
  using Acceptance = std::function<bool(const std::uint8_t*)>;

  /// @param llrs    log P(0) - log P(1) of each bit, finite, [n_bits]
  /// @param bits    decisions, [n_bits]
  /// @param n_rows  block rows of checks to use, from the first on; 0: all
  /// @param accepts  asked after each iteration where checks fail; empty: checks alone decide
  Result decode(const float* llrs, std::uint8_t* bits, std::uint32_t n_rows = 0,
                const Acceptance& accepts = {});

  /// What the last call believes of each bit in the end, log P(0) - log P(1), [n_bits]: the channel and all checks.
  void posterior(float* llrs) const;

  class State;  // of decoder.cpp

 private:
  std::unique_ptr<State> state_;
};

}  // namespace sim
}  // namespace v0
}  // namespace chest
