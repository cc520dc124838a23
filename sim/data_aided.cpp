#include "data_aided.hpp"

#include <algorithm>
#include <cmath>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// Calls of the estimator in a round.
constexpr int n_calls = 4;
/// How far the step may go beyond that of majorisation.
constexpr double most_step = 1.9;
/// Symbols weaker than that say nothing.
constexpr double least_power = 1e-3;

/// What is known to be sent in an element.
struct SentElement {
  arma::uword element;
  const std::complex<double>* y;
  std::complex<double> x[4];
  double v[4];
};

}  // namespace

void soft_symbols(const NrQam& qam, const float* llrs, std::size_t n_symbols,
                  std::complex<double>* mean, double* variance) {
  const std::vector<double> levels = axis_levels(qam.bits_per_symbol());
  const unsigned n_bits = qam.bits_per_symbol() / 2;
  for (std::size_t i = 0; i < n_symbols; ++i, llrs += 2 * n_bits) {
    double first[2] = {0.0, 0.0}, second = 0.0;
    for (unsigned part = 0; part < 2; ++part) {
      double one[4];  // P(bit = 1)
      for (unsigned b = 0; b < n_bits; ++b)
        one[b] = 1.0 / (1.0 + std::exp(std::clamp(double(llrs[2 * b + part]), -40.0, 40.0)));
      for (unsigned label = 0; label < levels.size(); ++label) {
        double p = 1.0;
        for (unsigned b = 0; b < n_bits; ++b)
          p *= (label >> (n_bits - 1 - b)) & 1u ? one[b] : 1.0 - one[b];
        first[part] += p * levels[label];
        second += p * levels[label] * levels[label];
      }
    }
    mean[i] = {first[0], first[1]};
    variance[i] = std::max(0.0, second - std::norm(mean[i]));
  }
}

std::shared_ptr<const ObservationOperator> whole_grid(const GridAxes& grid, arma::uword n_rx) {
  PilotPattern pattern;
  pattern.grid = grid;
  const arma::uvec all = arma::regspace<arma::uvec>(0, 1, grid.n_elements() - 1);
  pattern.symbol = all / grid.n_subcarriers;
  pattern.subcarrier = all - pattern.symbol * grid.n_subcarriers;
  pattern.group = all;
  pattern.x.ones(1, grid.n_elements());
  return make_grid_observation(pattern, n_rx);
}

void estimate_with_data(const Estimator& whole, const PuschAllocation& allocation, arma::uword n_rx,
                        arma::uword n_tx, const ReceivedSlot& received,
                        const std::complex<double>* x, const double* v, std::uint64_t seed,
                        std::uint64_t sample, const PortEstimates& estimates) {
  const PilotPattern& pattern = *allocation.pattern;
  const arma::uword n_elements = pattern.grid.n_elements(), L = allocation.n_layers;
  if (n_tx > 4) refuse("link: data as pilots is for 1 .. 4 transmit antennas");
  std::vector<SentElement> sent;
  for (arma::uword p = 0; p < pattern.n(); ++p) {
    SentElement one{};
    one.element = pattern.symbol(p) * pattern.grid.n_subcarriers + pattern.subcarrier(p);
    one.y = received.pilots + p * n_rx;
    for (arma::uword t = 0; t < n_tx; ++t) one.x[t] = pattern.x(t, p);
    sent.push_back(one);
  }
  const double amplitude = 1.0 / std::sqrt(double(L));
  for (arma::uword d = 0; d < allocation.elements.n_elem; ++d) {
    SentElement one{};
    one.element = allocation.elements(d);
    one.y = received.data + d * n_rx;
    for (arma::uword t = 0; t < L; ++t) {
      one.x[t] = amplitude * x[d * L + t];
      one.v[t] = v[d * L + t] / double(L);
    }
    sent.push_back(one);
  }
  arma::cx_mat h(estimates.h, n_rx * n_tx, n_elements, false, true);
  const arma::mat e(estimates.err_var, n_tx, n_elements);  // of the round before

  arma::cx_mat z(n_rx, n_elements), now(n_rx, n_elements);
  arma::vec precision(n_elements);
  Observation observation;
  observation.seed = seed;
  observation.per_element = true;
  Estimate found;
  for (arma::uword t = 0; t < L; ++t) {
    z.zeros();
    precision.zeros();
    double known = 0.0;  // precision, were symbols pilots with noise of their variance
    for (const SentElement& one : sent) {
      const double power = std::norm(one.x[t]) + one.v[t];
      if (power < least_power) continue;
      const std::complex<double>* H = h.colptr(one.element);
      double noise = received.sigma2;
      for (arma::uword u = 0; u < n_tx; ++u) {
        double gain = 0.0;
        for (arma::uword r = 0; r < n_rx; ++r) gain += std::norm(H[u * n_rx + r]);
        noise += one.v[u] * (gain / double(n_rx) + e(u, one.element));
      }
      known += std::norm(one.x[t]) / noise;
      const double re = one.x[t].real() / power, im = -one.x[t].imag() / power;
      for (arma::uword r = 0; r < n_rx; ++r) {
        std::complex<double> rest = one.y[r];
        for (arma::uword u = 0; u < n_tx; ++u)
          if (u != t) rest -= H[u * n_rx + r] * one.x[u];
        z(r, one.element) = {rest.real() * re - rest.imag() * im,
                             rest.real() * im + rest.imag() * re};
      }
      precision(one.element) = power / received.sigma2;
    }
    const double mean = arma::mean(precision),
                 w_0 = std::min(1.0 / mean, most_step / precision.max());
    if (!std::isfinite(w_0)) continue;
    const arma::vec step = w_0 * precision;
    for (arma::uword element = 0; element < n_elements; ++element)
      for (arma::uword r = 0; r < n_rx; ++r) now(r, element) = h(t * n_rx + r, element);
    observation.sigma2 = w_0;
    observation.samples = {sample * n_tx + t};
    observation.y.set_size(n_rx * n_elements, 1);
    const bool is_even = step.min() > 1.0 - 1e-9;
    for (int call = 0; call < (is_even ? 1 : n_calls); ++call) {
      for (arma::uword element = 0; element < n_elements; ++element)
        for (arma::uword r = 0; r < n_rx; ++r)
          observation.y(element * n_rx + r) =
              now(r, element) + step(element) * (z(r, element) - now(r, element));
      whole.estimate(observation, found);
      now = arma::reshape(found.h, n_rx, n_elements);
    }
    // Where symbols are less reliable than w_0 says, so is the estimate.
    const double doubt = double(n_elements) / (known * w_0);
    for (arma::uword element = 0; element < n_elements; ++element) {
      for (arma::uword r = 0; r < n_rx; ++r) h(t * n_rx + r, element) = now(r, element);
      const double error = found.element_mse.is_empty()
                               ? (found.mse.is_empty() ? 0.0 : found.mse(0) / double(now.n_elem))
                               : found.element_mse(element, 0);
      if (std::isfinite(error)) estimates.err_var[element * n_tx + t] = error * doubt;
    }
  }
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
