#include <chest/pilot_pattern.hpp>

#include <algorithm>
#include <cmath>
#include <complex>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace {

class GridObservation final : public ObservationOperator {
 public:
  GridObservation(const PilotPattern& pattern, arma::uword n_rx, const std::string& name)
      : pattern_(pattern),
        n_rx_(n_rx),
        name_(name),
        energies_(arma::sum(arma::square(arma::abs(pattern.x)), 0).t()),
        elements_(pattern.symbol * pattern.grid.n_subcarriers + pattern.subcarrier) {}

  using ObservationOperator::adjoint;
  using ObservationOperator::apply;
  using ObservationOperator::pseudo_inverse;
  using ObservationOperator::ridge;

  arma::uword n_h() const override { return n_rx_ * pattern_.n_tx() * pattern_.grid.n_elements(); }
  arma::uword n_obs() const override { return n_rx_ * pattern_.n(); }
  std::string name() const override {
    return name_ + " on a grid of " + pattern_.grid.text() + " for " + std::to_string(n_rx_) + "x" +
           std::to_string(pattern_.n_tx()) + " antennas";
  }
  const PilotPattern* pattern() const override { return &pattern_; }

  void apply(const arma::cx_mat& h, arma::cx_mat& out) const override {
    check(h, n_h(), "h");
    out.zeros(n_obs(), h.n_cols);
    each([&](arma::uword p, arma::uword t, std::complex<double> x) {
      const arma::uword from = column(p, t) * n_rx_, to = p * n_rx_;
      for (arma::uword k = 0; k < h.n_cols; ++k) {
        const std::complex<double>* in = h.colptr(k) + from;
        std::complex<double>* y = out.colptr(k) + to;
        for (arma::uword r = 0; r < n_rx_; ++r) y[r] += in[r] * x;
      }
    });
  }

  void adjoint(const arma::cx_mat& y, arma::cx_mat& out) const override {
    back(y, arma::vec(pattern_.n(), arma::fill::ones), out);
  }

  void pseudo_inverse(const arma::cx_mat& y, arma::cx_mat& out) const override {
    back(y, 1.0 / energies_, out);
  }

  /// Every element is observed by itself, so A^H A is block diagonal with blocks of rank one.
  void ridge(const arma::cx_mat& y, double lambda, arma::cx_mat& out) const override {
    if (!(lambda >= 0.0)) {
      throw Error(ErrorKind::invalid_argument,
                  "ridge: lambda is " + std::to_string(lambda) + ", expected 0 or more");
    }
    back(y, 1.0 / (energies_ + lambda), out);
  }

  arma::vec squared_singular_values() const override {
    arma::vec values(std::min(n_h(), n_obs()), arma::fill::none);
    const arma::vec sorted = arma::sort(energies_, "descend");
    for (arma::uword i = 0; i < values.n_elem; ++i) values(i) = sorted(i / n_rx_);
    return values;
  }

  std::optional<double> gram_scale() const override {
    const bool observes_all = pattern_.n_tx() == 1 && pattern_.n() == pattern_.grid.n_elements();
    const double spread = energies_.max() - energies_.min();
    if (!observes_all || spread > 1e-12 * energies_.max()) return {};
    return energies_(0);
  }

 private:
  static void check(const arma::cx_mat& in, arma::uword n_rows, const char* what) {
    if (in.n_rows == n_rows) return;
    throw Error(ErrorKind::invalid_argument, std::string("grid observation: ") + what + " has " +
                                                 std::to_string(in.n_rows) + " rows, expected " +
                                                 std::to_string(n_rows));
  }

  /// Of the receive antennas of port t at position p, among the columns of a channel.
  arma::uword column(arma::uword p, arma::uword t) const {
    return elements_(p) * pattern_.n_tx() + t;
  }

  template <class Visit>
  void each(const Visit& visit) const {
    for (arma::uword p = 0; p < pattern_.n(); ++p) {
      for (arma::uword t = 0; t < pattern_.n_tx(); ++t) {
        if (pattern_.x(t, p) != 0.0) visit(p, t, pattern_.x(t, p));
      }
    }
  }

  /// h of each port at each position: gains(p) conj(x) y; 0 elsewhere.
  void back(const arma::cx_mat& y, const arma::vec& gains, arma::cx_mat& out) const {
    check(y, n_obs(), "y");
    out.zeros(n_h(), y.n_cols);
    each([&](arma::uword p, arma::uword t, std::complex<double> x) {
      const std::complex<double> gain = gains(p) * std::conj(x);
      const arma::uword from = p * n_rx_, to = column(p, t) * n_rx_;
      for (arma::uword k = 0; k < y.n_cols; ++k) {
        const std::complex<double>* in = y.colptr(k) + from;
        std::complex<double>* h = out.colptr(k) + to;
        for (arma::uword r = 0; r < n_rx_; ++r) h[r] = in[r] * gain;
      }
    });
  }

  PilotPattern pattern_;
  arma::uword n_rx_;
  std::string name_;
  arma::vec energies_;   // ||x_p||^2
  arma::uvec elements_;  // of the grid, subcarriers fastest
};

}  // namespace

double PilotPattern::energy() const {
  const arma::mat energies = arma::square(arma::abs(x));
  const double n_sent = static_cast<double>(arma::accu(energies > 0.0));
  return n_sent > 0.0 ? arma::accu(energies) / n_sent : 0.0;
}

std::string PilotPattern::why_invalid() const {
  if (n() == 0 || n_tx() == 0) return "the pattern has no pilots";
  if (subcarrier.n_elem != n() || symbol.n_elem != n() || group.n_elem != n())
    return "the pattern names " + std::to_string(subcarrier.n_elem) + " subcarriers, " +
           std::to_string(symbol.n_elem) + " symbols and " + std::to_string(group.n_elem) +
           " groups for " + std::to_string(n()) + " pilots";
  if (!x.is_finite()) return "a pilot is not finite";
  if (subcarrier.max() >= grid.n_subcarriers || symbol.max() >= grid.n_symbols)
    return "the pattern reaches subcarrier " + std::to_string(subcarrier.max()) + " and symbol " +
           std::to_string(symbol.max()) + ", the grid has " + grid.text() + " (counted from 0)";
  for (arma::uword p = 1; p < n(); ++p) {
    const bool ascending = symbol(p) > symbol(p - 1) ||
                           (symbol(p) == symbol(p - 1) && subcarrier(p) > subcarrier(p - 1));
    if (!ascending)
      return "positions " + std::to_string(p - 1) + " and " + std::to_string(p) +
             " are not in the order of symbols, then subcarriers, or are the same";
  }
  for (arma::uword p = 0; p < n(); ++p) {
    if (arma::norm(x.col(p)) == 0.0) return "no port sends in position " + std::to_string(p);
  }
  for (arma::uword t = 0; t < n_tx(); ++t) {
    if (arma::norm(x.row(t)) == 0.0)
      return "port " + std::to_string(t) + " has no pilots (ports are counted from 0)";
  }
  return {};
}

PilotPattern sent_pattern(const arma::cx_mat& x, const GridAxes& grid) {
  if (x.n_cols != grid.n_elements()) {
    throw Error(ErrorKind::invalid_argument,
                "pilots: what is sent has " + std::to_string(x.n_cols) +
                    " elements, the grid has " + std::to_string(grid.n_elements()));
  }
  const arma::uvec used = arma::find(arma::sum(arma::abs(x), 0) > 0.0);
  PilotPattern pattern;
  pattern.grid = grid;
  pattern.symbol = used / grid.n_subcarriers;
  pattern.subcarrier = used - pattern.symbol * grid.n_subcarriers;
  pattern.group.set_size(used.n_elem);
  for (arma::uword p = 0; p < used.n_elem; ++p) pattern.group(p) = p;
  pattern.x = x.cols(used);
  if (const std::string why = pattern.why_invalid(); !why.empty())
    throw Error(ErrorKind::invalid_argument, "pilots: " + why);
  return pattern;
}

std::unique_ptr<ObservationOperator> make_grid_observation(const PilotPattern& pattern,
                                                           arma::uword n_rx,
                                                           const std::string& name) {
  if (n_rx == 0) throw Error(ErrorKind::invalid_argument, "grid observation: n_rx is 0");
  if (const std::string why = pattern.why_invalid(); !why.empty())
    throw Error(ErrorKind::invalid_argument, name + ": " + why);
  return std::make_unique<GridObservation>(pattern, n_rx, name);
}

}  // namespace v0
}  // namespace chest
