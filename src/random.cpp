#include <chest/random.hpp>

#include <cmath>

#include <Random123/philox.h>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {

Rng::Rng(std::uint64_t seed, Stream stream)
    : key_{seed, static_cast<std::uint64_t>(stream.purpose)},
      counter_{0, stream.major, stream.minor, 0} {}

Rng::result_type Rng::operator()() {
  if (used_ == 4) {
    const r123::Philox4x64::ctr_type counter = {
        {counter_[0], counter_[1], counter_[2], counter_[3]}};
    const r123::Philox4x64::key_type key = {{key_[0], key_[1]}};
    const auto block = r123::Philox4x64{}(counter, key);
    block_ = {block[0], block[1], block[2], block[3]};
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

double Rng::uniform() { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

std::uint64_t Rng::index(std::uint64_t n) {
  if (n == 0) throw Error(ErrorKind::invalid_argument, "Rng::index: n is 0, expected at least 1");
  // Draws below 2^64 mod n are rejected, so that every residue is as likely.
  const std::uint64_t reject = (~n + 1) % n;
  std::uint64_t draw = (*this)();
  while (draw < reject) draw = (*this)();
  return draw % n;
}

std::complex<double> Rng::cx_normal() {
  // Box-Muller: |z|^2 is exponential of mean 1 for CN(0, 1). 1 - u lies in (0, 1].
  const double radius = std::sqrt(-std::log(1.0 - uniform()));
  const double angle = 2.0 * M_PI * uniform();
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

double Rng::normal() { return std::sqrt(2.0) * cx_normal().real(); }

void Rng::fill_cx_normal(std::complex<double>* out, std::size_t n, double variance) {
  const double scale = std::sqrt(variance);
  for (std::size_t i = 0; i < n; ++i) out[i] = scale * cx_normal();
}

arma::cx_mat Rng::cx_normal(arma::uword n_rows, arma::uword n_cols, double variance) {
  arma::cx_mat out(n_rows, n_cols, arma::fill::none);
  fill_cx_normal(out.memptr(), out.n_elem, variance);
  return out;
}

}  // namespace v0
}  // namespace chest
