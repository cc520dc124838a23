#pragma once

#include <armadillo>
#include <array>
#include <complex>
#include <cstddef>
#include <cstdint>

namespace chest {
inline namespace v0 {

/// What a random stream is drawn for. Streams of different purposes never overlap; the numbers are
/// part of every recorded result, so existing ones do not change.
enum class Purpose : std::uint64_t {
  channel = 1,
  pilots = 2,
  noise = 3,
  data_symbols = 4,
  data_noise = 5,
  training = 6,
  validation = 7,
  initial_weights = 8,
  estimator = 9,
  test = 100
};

/// Names one stream of random numbers below a seed, for example {noise, i_snr, i_sample}.
struct Stream {
  Purpose purpose;
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
};

/// Counter-based random numbers (Philox4x64-10 of Random123): the draws depend on seed and stream
/// alone, so a curve does not depend on the number of threads or shards.
///
/// A UniformRandomBitGenerator. Not for sharing between threads; cheap to make.
/// Source: [Salmon2011]
class Rng {
 public:
  using result_type = std::uint64_t;

  Rng(std::uint64_t seed, Stream stream);

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type{0}; }
  result_type operator()();

  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Uniform in {0 .. n - 1}, without bias.  @throws Error(invalid_argument) if n is 0
  std::uint64_t index(std::uint64_t n);
  /// N(0, 1).
  double normal();
  /// CN(0, 1): real and imaginary part of variance 1/2 each.
  std::complex<double> cx_normal();
  /// Fills n entries with iid CN(0, variance).
  void fill_cx_normal(std::complex<double>* out, std::size_t n, double variance = 1.0);
  /// [n_rows, n_cols] of iid CN(0, variance).
  arma::cx_mat cx_normal(arma::uword n_rows, arma::uword n_cols, double variance = 1.0);

 private:
  std::array<std::uint64_t, 2> key_;
  std::array<std::uint64_t, 4> counter_;
  std::array<std::uint64_t, 4> block_{};
  unsigned used_ = 4;
};

}  // namespace v0
}  // namespace chest
