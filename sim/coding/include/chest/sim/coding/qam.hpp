#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <string>

#include <chest/sim/modulation.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// How LLRs are computed: log_map sums over all symbols, max_log takes the nearest of each kind.
enum class DemapperKind { log_map, max_log };

/// The mapping of bits onto symbols of 5G: BPSK to 256-QAM, unit mean power.
///
/// Even bits choose the real part, odd ones the imaginary part, by the Gray labels of Modulation
/// inverted (an even first bit of 0 is positive). BPSK sends (1 + j)(1 - 2 b) / sqrt(2).
/// Source: 3GPP TS 38.211, 5.1
class NrQam {
 public:
  /// "bpsk", "qpsk", "16qam", "64qam" or "256qam".  @throws Error(invalid_argument) otherwise
  explicit NrQam(const std::string& name);
  /// By bits per symbol: 1, 2, 4, 6 or 8.  @throws Error(invalid_argument) otherwise
  explicit NrQam(unsigned bits_per_symbol);

  const std::string& name() const { return name_; }
  unsigned bits_per_symbol() const { return bits_; }

  /// @param bits     [n_symbols * bits_per_symbol]
  /// @param symbols  [n_symbols]
  void map(const std::uint8_t* bits, std::size_t n_symbols, std::complex<double>* symbols) const;

  /// In float32, many symbols at once: log P(b = 0) - log P(b = 1) of equally likely symbols received as s + CN(0, variance).
  /// @param received   [n_symbols]
  /// @param variances  noise variance of each symbol, > 0, [n_symbols]
  /// @param llrs       [n_symbols * bits_per_symbol]
  void demap(const std::complex<double>* received, const double* variances, std::size_t n_symbols,
             DemapperKind kind, float* llrs) const;

 private:
  std::string name_;
  unsigned bits_;
  Modulation square_;  // QPSK for BPSK, which uses two of its symbols
};

}  // namespace sim
}  // namespace v0
}  // namespace chest
