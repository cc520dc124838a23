#include <chest/sim/coding/qam.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <chest/error.hpp>
#include <chest/text.hpp>

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
  const unsigned half = square_.bits_per_symbol() / 2;
  std::array<double, 8> of_label{};
  for (std::size_t i = 0; i < n_symbols; ++i, llrs += bits_) {
    square_.llrs(received[i], variances[i], of_label.data(), kind);
    if (bits_ == 1) {
      llrs[0] = static_cast<float>(-(of_label[0] + of_label[1]));
      continue;
    }
    for (unsigned b = 0; b < half; ++b) {
      llrs[2 * b] = static_cast<float>(-of_label[b]);
      llrs[2 * b + 1] = static_cast<float>(-of_label[half + b]);
    }
  }
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
