#pragma once

#include <armadillo>
#include <complex>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <chest/observation.hpp>
#include <chest/pilot_pattern.hpp>

namespace chest {
inline namespace v0 {

/// A raster of equal steps on which positions lie, some of its points perhaps left out: by a guard band, or
/// a subcarrier at zero frequency.
struct PilotRaster {
  double step = 0.0;    ///< 0: there is no raster of which at least half of the points are there
  arma::vec positions;  ///< of all its points, from the first position to the last
  arma::uvec observed;  ///< which of its points the positions are, ascending
  bool is_whole() const { return observed.n_elem == positions.n_elem; }
};
/// @param positions  ascending
PilotRaster raster_of(const arma::vec& positions);

/// What a pattern says of each port by itself: its channel at some subcarriers of some symbols,
///
///   z = h + n,   n ~ CN(0, noise sigma2 I),
///
/// least squares in every resource element, or over the elements of a code-division group, where the
/// channel is taken for constant and its position for their mean.
class PilotPlanes {
 public:
  /// @param who  for messages
  /// @throws Error(invalid_argument) if A is null or not that of a grid, a port's pilots do not have
  ///         the same subcarriers on each of its symbols, or ports share elements and cannot be told
  ///         apart by covers
  PilotPlanes(const std::string& who, std::shared_ptr<const ObservationOperator> A);

  struct Port {
    arma::vec subcarriers;  ///< ascending, [n_f]; between two of them for a group over both
    arma::vec symbols;      ///< ascending, [n_s]
    double noise = 1.0;     ///< variance of an entry's noise over sigma2
    /// Distance of neighbouring subcarriers where it is the same for all; 0: it is not, or one alone.
    double step = 0.0;
  };

  const ObservationOperator& A() const { return *A_; }
  const std::shared_ptr<const ObservationOperator>& shared_A() const { return A_; }
  const PilotPattern& pattern() const { return *A_->pattern(); }
  arma::uword n_rx() const { return n_rx_; }
  arma::uword n_ports() const { return ports_.size(); }
  const Port& port(arma::uword t) const { return ports_[t].port; }
  /// All ports have as many subcarriers and symbols, at the same distances and noise.
  bool same_for_all() const;

  /// z of port t from a column of y: [n_rx, n_f, n_s].
  void extract(const std::complex<double>* y, arma::uword t, arma::cx_cube& z) const;
  /// visit(f, h(:, t, f, s)) for every subcarrier f of a column h of channels; the pointer leads to the
  /// n_rx receive antennas.
  template <class Visit>
  void each_subcarrier(std::complex<double>* h, arma::uword t, arma::uword s,
                       const Visit& visit) const {
    const arma::uword n_subcarriers = pattern().grid.n_subcarriers;
    h += (s * n_subcarriers * n_ports() + t) * n_rx_;
    for (arma::uword f = 0; f < n_subcarriers; ++f, h += n_ports() * n_rx_) visit(f, h);
  }

 private:
  struct Term {
    arma::uword position;         ///< in the pattern
    arma::uword cell;             ///< of the plane, i_f + n_f i_s
    std::complex<double> weight;  ///< of y there
  };
  struct PortTerms {
    Port port;
    std::vector<Term> terms;
  };

  std::shared_ptr<const ObservationOperator> A_;
  arma::uword n_rx_;
  std::vector<PortTerms> ports_;
};

}  // namespace v0
}  // namespace chest
