#pragma once

#include <complex>
#include <string>
#include <vector>

namespace chest {
inline namespace v0 {
namespace sim {

/// Square QAM of unit mean power with Gray labels: QPSK, 16-QAM, 64-QAM, 256-QAM.
///
/// A label holds bits_per_symbol bits, the first half of them (the high ones) for the real part.
/// Each half picks one of the amplitudes -(L-1), .., -1, 1, .., L-1 (scaled), neighbours differ in
/// one bit.
class Modulation {
 public:
  /// "qpsk", "16qam", "64qam" or "256qam".  @throws Error(invalid_argument) naming the nearest otherwise
  explicit Modulation(const std::string& name);

  const std::string& name() const { return name_; }
  unsigned bits_per_symbol() const { return 2 * bits_; }
  /// Symbol of a label in 0 .. 2^bits_per_symbol - 1.
  std::complex<double> symbol(unsigned label) const;
  /// Label of the symbol nearest to s.
  unsigned nearest(std::complex<double> s) const;
  /// log P(b = 0 | s) - log P(b = 1 | s) of each bit, high bit first, for s = symbol + CN(0,
  /// variance) and equally likely symbols; exact, not max-log.
  /// @param llr  bits_per_symbol values
  void llrs(std::complex<double> s, double variance, double* llr) const;

 private:
  void llrs_of_part(double value, double variance, double* llr) const;
  unsigned nearest_level(double value) const;

  std::string name_;
  unsigned bits_ = 1;              ///< per real dimension
  double scale_ = 1.0;             ///< amplitude of level 1
  std::vector<double> amplitude_;  ///< by label half
};

/// Loss of one bit of value b at L = log P(0) - log P(1), in bits: log2(1 + exp(-(1 - 2 b) L)). Its
/// mean over all bits of a symbol, taken from bits_per_symbol, is the rate of bit-metric decoding
/// with these LLRs, right or wrong ones.  Source: [Martinez2009]
double bit_loss(bool b, double llr);

}  // namespace sim
}  // namespace v0
}  // namespace chest
