#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <chest/run_control.hpp>
#include <chest/sim/coding/decoder.hpp>
#include <chest/sim/statistics.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// A channel code alone on the AWGN channel: random information bits, code, mapping of 5G, noise, exact LLRs,
/// decoder.
///
///   sigma2 = 1 / (Eb/N0 k/n m),  m bits per symbol of unit power
///
/// The code is NR LDPC of k bits without CRC, n of them sent with redundancy version 0 and bit interleaving; or the
/// one of an alist file.
struct CodeOptions {
  unsigned k = 0;               ///< information bits, 1 .. 8448; 0 with alist
  unsigned n = 0;               ///< sent bits, k < n <= 1000000; 0 with alist
  std::filesystem::path alist;  ///< empty: NR LDPC
  std::string modulation = "qpsk";
  std::vector<double> ebn0_db;  ///< distinct
  DecoderOptions decoder;
  std::uint64_t n_errors = 200;          ///< a point ends with this many block errors ...
  std::uint64_t max_blocks = 1'000'000;  ///< ... or this many blocks
  std::uint64_t seed = 1;
  unsigned n_threads = 1;

  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

/// Sums of one Eb/N0.
struct CodePoint {
  double ebn0_db = 0.0;
  std::uint64_t n_blocks = 0;
  std::uint64_t n_block_errors = 0;  ///< blocks with a wrong information bit
  std::uint64_t n_bit_errors = 0;    ///< wrong information bits
  std::uint64_t iterations = 0;
};

struct CodeResults {
  unsigned k = 0, n = 0;
  std::string modulation;
  std::vector<CodePoint> points;  ///< those that are finished
  bool finished = false;          ///< all of them are
};

/// Simulates point after point. A block depends on seed, Eb/N0 and its number; blocks count in groups of 16, in their
/// order: the same results for any number of threads.
/// @throws Error(invalid_argument) if the options do not go together;  as read_alist()
CodeResults run_code(const CodeOptions& options, const RunControl& control = {});

/// Columns k, n, modulation, ebn0_db, n_blocks, bler, bler_ci95_low, bler_ci95_high (binomial_interval), ber,
/// mean_iterations.
std::string to_csv(const CodeResults& results);
/// The same for people.
std::string to_table(const CodeResults& results);
/// BLER over Eb/N0; files as plot() of results takes them.  @throws as plot()
void plot(const CodeResults& results, const std::filesystem::path& file);

}  // namespace sim
}  // namespace v0
}  // namespace chest
