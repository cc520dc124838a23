#include <chest/sim/modulation.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

Modulation::Modulation(const std::string& name) : name_(name) {
  const std::vector<std::string> names{"qpsk", "16qam", "64qam", "256qam"};
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    const std::string near = chest::nearest(name, names);
    throw Error(ErrorKind::invalid_argument,
                "modulation: unknown name '" + name + "'" +
                    (near.empty() ? "" : ", did you mean " + near + "?") + " Known are " +
                    enumerate(names) + ".");
  }
  bits_ = unsigned(found - names.begin()) + 1;
  const unsigned n_levels = 1u << bits_;
  // Mean power of both dimensions: 2 (L^2 - 1) / 3 at level distance 2.
  scale_ = std::sqrt(1.5 / (double(n_levels) * n_levels - 1.0));
  amplitude_.resize(n_levels);
  for (unsigned level = 0; level < n_levels; ++level)
    amplitude_[level ^ (level >> 1)] = scale_ * (2.0 * level + 1.0 - n_levels);
}

std::complex<double> Modulation::symbol(unsigned label) const {
  return {amplitude_[label >> bits_], amplitude_[label & ((1u << bits_) - 1)]};
}

unsigned Modulation::nearest_level(double value) const {
  const double last = double(amplitude_.size()) - 1.0;
  const double level = std::clamp(std::round((value / scale_ + last) / 2.0), 0.0, last);
  const auto i = unsigned(level);
  return i ^ (i >> 1);
}

unsigned Modulation::nearest(std::complex<double> s) const {
  return nearest_level(s.real()) << bits_ | nearest_level(s.imag());
}

void Modulation::llrs_of_part(double value, double variance, double* llr) const {
  const unsigned n_levels = unsigned(amplitude_.size());
  std::array<double, 16> exponent{};
  for (unsigned label = 0; label < n_levels; ++label) {
    const double distance = value - amplitude_[label];
    exponent[label] = -distance * distance / variance;
  }
  for (unsigned bit = 0; bit < bits_; ++bit) {
    // Each sum is taken relative to its own largest term, so that far symbols do not underflow.
    const unsigned mask = 1u << (bits_ - 1 - bit);
    std::array<double, 2> top{-INFINITY, -INFINITY}, sum{};
    for (unsigned label = 0; label < n_levels; ++label) {
      double& of_value = top[(label & mask) != 0];
      of_value = std::max(of_value, exponent[label]);
    }
    for (unsigned label = 0; label < n_levels; ++label) {
      const bool b = (label & mask) != 0;
      sum[b] += std::exp(exponent[label] - top[b]);
    }
    llr[bit] = top[0] - top[1] + std::log(sum[0] / sum[1]);
  }
}

void Modulation::llrs(std::complex<double> s, double variance, double* llr) const {
  // Half of the noise falls on each real dimension: (2 variance / 2) is the divisor of the
  // exponent.
  llrs_of_part(s.real(), variance, llr);
  llrs_of_part(s.imag(), variance, llr + bits_);
}

double bit_loss(bool b, double llr) {
  const double wrong = b ? llr : -llr;
  // log(1 + exp(x)) without overflow.
  return (std::max(wrong, 0.0) + std::log1p(std::exp(-std::abs(wrong)))) / std::numbers::ln2;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
