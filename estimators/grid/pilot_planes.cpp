#include <chest/estimators/grid/pilot_planes.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr double tolerance = 1e-9;

/// The positions in which a port sends, by group.
std::map<arma::uword, std::vector<arma::uword>> groups_of(const PilotPattern& pattern,
                                                          arma::uword t) {
  std::map<arma::uword, std::vector<arma::uword>> groups;
  for (arma::uword p = 0; p < pattern.n(); ++p) {
    if (pattern.x(t, p) != 0.0) groups[pattern.group(p)].push_back(p);
  }
  return groups;
}

/// @throws Error(invalid_argument) if another port cannot be told from port t in these positions
void check_orthogonal(const std::string& who, const PilotPattern& pattern, arma::uword t,
                      const std::vector<arma::uword>& positions) {
  for (arma::uword u = 0; u < pattern.n_tx(); ++u) {
    if (u == t) continue;
    std::complex<double> product = 0.0;
    double energy = 0.0;
    for (const arma::uword p : positions) {
      product += std::conj(pattern.x(t, p)) * pattern.x(u, p);
      energy += std::norm(pattern.x(t, p));
    }
    if (std::abs(product) <= tolerance * energy) continue;
    refuse(who + ": ports " + std::to_string(std::min(t, u)) + " and " +
           std::to_string(std::max(t, u)) +
           " send in the same resource elements and no cover tells them apart there (subcarrier " +
           std::to_string(pattern.subcarrier(positions.front())) + ", symbol " +
           std::to_string(pattern.symbol(positions.front())) + ")");
  }
}

/// Distance of neighbours; 0 where it differs.
double step_of(const arma::vec& positions) {
  if (positions.n_elem < 2) return 0.0;
  const arma::vec steps = arma::diff(positions);
  return steps.max() - steps.min() <= tolerance ? steps(0) : 0.0;
}

}  // namespace

PilotRaster raster_of(const arma::vec& positions) {
  PilotRaster raster;
  if (positions.n_elem < 2) return raster;
  // The mean position of a group of two may lie half a subcarrier off.
  constexpr double per_subcarrier = 2.0;
  std::uint64_t step = 0;
  std::vector<std::uint64_t> at{0};
  for (arma::uword i = 1; i < positions.n_elem; ++i) {
    const double distance = per_subcarrier * (positions(i) - positions(0));
    const double whole = std::round(distance);
    if (std::abs(distance - whole) > tolerance) return raster;
    at.push_back(static_cast<std::uint64_t>(whole));
    step = std::gcd(step, at.back());
  }
  const std::uint64_t n = at.back() / step + 1;
  if (n > 2 * positions.n_elem) return raster;
  raster.step = static_cast<double>(step) / per_subcarrier;
  raster.positions = positions(0) + raster.step * arma::regspace(0.0, static_cast<double>(n) - 1.0);
  raster.observed.set_size(positions.n_elem);
  for (arma::uword i = 0; i < positions.n_elem; ++i) raster.observed(i) = at[i] / step;
  return raster;
}

PilotPlanes::PilotPlanes(const std::string& who, std::shared_ptr<const ObservationOperator> A)
    : A_(std::move(A)), n_rx_(0) {
  const PilotPattern& pattern = pattern_of(who, A_.get());
  n_rx_ = A_->n_obs() / pattern.n();
  for (arma::uword t = 0; t < pattern.n_tx(); ++t) {
    // (symbol, subcarrier) of each group, whose order is that of the plane.
    std::map<std::pair<double, double>, std::vector<arma::uword>> cells;
    std::set<double> symbols, subcarriers;
    for (const auto& [group, positions] : groups_of(pattern, t)) {
      check_orthogonal(who, pattern, t, positions);
      double f = 0.0, s = 0.0;
      for (const arma::uword p : positions) {
        f += static_cast<double>(pattern.subcarrier(p));
        s += static_cast<double>(pattern.symbol(p));
      }
      const auto n = static_cast<double>(positions.size());
      cells[{s / n, f / n}] = positions;
      symbols.insert(s / n);
      subcarriers.insert(f / n);
    }
    if (cells.size() != symbols.size() * subcarriers.size()) {
      refuse(who + ": the pilots of port " + std::to_string(t) +
             " do not have the same subcarriers on each of their symbols");
    }
    PortTerms out;
    out.port.symbols = arma::vec(std::vector<double>(symbols.begin(), symbols.end()));
    out.port.subcarriers = arma::vec(std::vector<double>(subcarriers.begin(), subcarriers.end()));
    out.port.step = step_of(out.port.subcarriers);
    double most_energy = 0.0, least_energy = arma::datum::inf;
    arma::uword cell = 0;
    for (const auto& [at, positions] : cells) {
      double energy = 0.0;
      for (const arma::uword p : positions) energy += std::norm(pattern.x(t, p));
      for (const arma::uword p : positions) {
        out.terms.push_back({p, cell, std::conj(pattern.x(t, p)) / energy});
      }
      most_energy = std::max(most_energy, energy);
      least_energy = std::min(least_energy, energy);
      ++cell;
    }
    if (most_energy - least_energy > 1e-6 * most_energy) {
      refuse(who + ": the pilots of port " + std::to_string(t) +
             " have different energies; expected one for all");
    }
    out.port.noise = 1.0 / most_energy;
    ports_.push_back(std::move(out));
  }
}

bool PilotPlanes::same_for_all() const {
  const Port& first = port(0);
  return std::all_of(ports_.begin(), ports_.end(), [&](const PortTerms& each) {
    const Port& port = each.port;
    return port.subcarriers.n_elem == first.subcarriers.n_elem &&
           arma::approx_equal(port.symbols, first.symbols, "absdiff", tolerance) &&
           std::abs(port.noise - first.noise) <= tolerance * first.noise &&
           arma::approx_equal(arma::diff(port.subcarriers), arma::diff(first.subcarriers),
                              "absdiff", tolerance);
  });
}

void PilotPlanes::extract(const std::complex<double>* y, arma::uword t, arma::cx_cube& z) const {
  const PortTerms& from = ports_[t];
  z.zeros(n_rx_, from.port.subcarriers.n_elem, from.port.symbols.n_elem);
  for (const Term& term : from.terms) {
    const std::complex<double>* in = y + term.position * n_rx_;
    std::complex<double>* out = z.memptr() + term.cell * n_rx_;
    for (arma::uword r = 0; r < n_rx_; ++r) out[r] += term.weight * in[r];
  }
}

}  // namespace v0
}  // namespace chest
