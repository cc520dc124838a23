#include <chest/sim/coding/qam.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <vector>

#include <chest/error.hpp>
#include <chest/text.hpp>

#include "qam_kernels.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

const std::vector<std::string>& qam_names() {
  static const std::vector<std::string> names{"bpsk", "qpsk", "16qam", "64qam", "256qam"};
  return names;
}

std::string qam_of(unsigned bits_per_symbol) {
  for (unsigned i = 0; i < qam_names().size(); ++i)
    if (bits_per_symbol == (i == 0 ? 1 : 2 * i)) return qam_names()[i];
  refuse("modulation: " + std::to_string(bits_per_symbol) +
         " bits per symbol, expected 1, 2, 4, 6 or 8");
}

const std::string& known_qam(const std::string& name) {
  if (std::find(qam_names().begin(), qam_names().end(), name) != qam_names().end()) return name;
  refuse("modulation: unknown name '" + name + "'" + did_you_mean(name, qam_names()));
}

}  // namespace

NrQam::NrQam(const std::string& name)
    : name_(known_qam(name)),
      bits_(name == "bpsk" ? 1 : Modulation(name).bits_per_symbol()),
      square_(name == "bpsk" ? "qpsk" : name) {}

NrQam::NrQam(unsigned bits_per_symbol) : NrQam(qam_of(bits_per_symbol)) {}

void NrQam::map(const std::uint8_t* bits, std::size_t n_symbols,
                std::complex<double>* symbols) const {
  const unsigned half = square_.bits_per_symbol() / 2;
  for (std::size_t i = 0; i < n_symbols; ++i, bits += bits_) {
    unsigned real = 0, imaginary = 0;
    for (unsigned b = 0; b < half; ++b) {
      real = real << 1 | (1u ^ bits[2 * b]);
      imaginary = imaginary << 1 | (1u ^ bits[bits_ == 1 ? 0 : 2 * b + 1]);
    }
    symbols[i] = square_.symbol(real << half | imaginary);
  }
}

void NrQam::demap(const std::complex<double>* received, const double* variances,
                  std::size_t n_symbols, DemapperKind kind, float* llrs) const {
  static const QamKernel& kernel = *qam_kernels().front();
  QamAxis axis;
  axis.n_bits = std::max(bits_ / 2, 1u);
  axis.max_log = kind == DemapperKind::max_log;
  const unsigned n_levels = 1u << axis.n_bits;
  for (unsigned label = 0; label < n_levels; ++label)
    axis.level[label] =
        static_cast<float>(square_.symbol((n_levels - 1 - label) << axis.n_bits).real());
  if (bits_ == 1) {
    axis.level[0] = 1.0f;
    axis.level[1] = -1.0f;
  }
  std::fill(std::begin(axis.value), std::end(axis.value), 0.0f);
  std::fill(std::begin(axis.precision), std::end(axis.precision), 1.0f);
  for (std::size_t first = 0; first < n_symbols; first += QamAxis::most_lanes) {
    const auto n = unsigned(std::min<std::size_t>(QamAxis::most_lanes, n_symbols - first));
    for (unsigned i = 0; i < n; ++i)
      axis.precision[i] = static_cast<float>(1.0 / variances[first + i]);
    for (unsigned part = 0; part < (bits_ == 1 ? 1u : 2u); ++part) {
      for (unsigned i = 0; i < n; ++i) {
        const std::complex<double> s = received[first + i];
        const double value = bits_ == 1  ? (s.real() + s.imag()) * std::sqrt(0.5)
                             : part == 0 ? s.real()
                                         : s.imag();
        axis.value[i] = static_cast<float>(value);
      }
      kernel.demap(axis);
      for (unsigned bit = 0; bit < axis.n_bits; ++bit)
        for (unsigned i = 0; i < n; ++i)
          llrs[(first + i) * bits_ + 2 * bit + part] = axis.llr[bit][i];
    }
  }
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
