#include <chest/estimators/grid/grid_genie.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <string>
#include <utility>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/paths.hpp>
#include <chest/pilot_pattern.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// More take too much memory.
constexpr arma::uword most_coefficients = 8192;
constexpr double most_bytes = 0x1p32;

arma::vec not_negative(arma::vec values) {
  values.transform([](double v) { return std::max(v, 0.0); });
  return values;
}

/// exp(-j 2 pi f spacing delay), [n_subcarriers]
arma::cx_vec steering(double delay_s, const GridAxes& grid) {
  arma::cx_vec e(grid.n_subcarriers);
  fill_geometric(-grid.spacing_hz * delay_s, grid.n_subcarriers, e.memptr());
  return e;
}

/// Where all paths share R_rx = E diag(l) E^H: H = E diag(sqrt(l)) X U^T with X of iid CN(0, 1), and
/// each row of E^H Y sees the same G = pilots times U.
class SharedGenie final : public Estimator {
 public:
  SharedGenie(std::shared_ptr<const ObservationOperator> A, const GridCovariance& covariance)
      : A_(std::move(A)), n_rx_(covariance.n_rx) {
    const PilotPattern& pattern = *A_->pattern();
    const arma::uword n_tx = covariance.n_tx, n_f = pattern.grid.n_subcarriers;
    const arma::cx_mat& F = covariance.rx[0];
    hermitian_eigen(F * F.t(), space_values_, space_);
    space_values_ = not_negative(space_values_);

    arma::uword n = 0;
    for (const GridCovariance::Path& path : covariance.paths) n += path.tx.n_cols;
    arma::cx_mat U(n_tx * pattern.grid.n_elements(), n, arma::fill::none);
    arma::uword column = 0;
    for (const GridCovariance::Path& path : covariance.paths) {
      const arma::cx_vec e = steering(path.delay_s, pattern.grid);
      for (arma::uword m = 0; m < path.tx.n_cols; ++m, ++column) {
        std::complex<double>* to = U.colptr(column);
        for (arma::uword s = 0; s < pattern.grid.n_symbols; ++s) {
          for (arma::uword f = 0; f < n_f; ++f) {
            for (arma::uword t = 0; t < n_tx; ++t) *to++ = path.tx(s * n_tx + t, m) * e(f);
          }
        }
      }
    }
    arma::cx_mat G(pattern.n(), n, arma::fill::zeros);
    for (arma::uword k = 0; k < n; ++k) {
      for (arma::uword p = 0; p < pattern.n(); ++p) {
        const std::complex<double>* at =
            U.colptr(k) + (pattern.symbol(p) * n_f + pattern.subcarrier(p)) * n_tx;
        for (arma::uword t = 0; t < n_tx; ++t) G(p, k) += pattern.x(t, p) * at[t];
      }
    }
    arma::cx_mat V;
    hermitian_eigen(G.t() * G, values_, V);
    values_ = not_negative(values_);
    analysis_ = arma::conj(G * V);
    synthesis_ = (U * V).st();
  }

  std::string name() const override { return "genie"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const arma::uword n_samples = observation.y.n_cols, n_positions = analysis_.n_rows;
    const double sigma2 = observation.sigma2;
    arma::mat gains(n_rx_, values_.n_elem);
    arma::rowvec lost(values_.n_elem, arma::fill::zeros);  // error of a coefficient, all antennas
    for (arma::uword k = 0; k < values_.n_elem; ++k) {
      for (arma::uword i = 0; i < n_rx_; ++i) {
        const double l = space_values_(i);
        gains(i, k) = l / (l * values_(k) + sigma2);
        lost(k) += sigma2 * gains(i, k);
      }
    }
    const auto gains_cx = arma::conv_to<arma::cx_mat>::from(gains);
    arma::cx_mat X;
    for (arma::uword k = 0; k < n_samples; ++k) {
      const arma::cx_mat Y(const_cast<std::complex<double>*>(observation.y.colptr(k)), n_rx_,
                           n_positions, false, true);
      X = space_.t() * Y * analysis_;
      X %= gains_cx;
      X = space_ * X;
      arma::cx_mat H(out.h.colptr(k), n_rx_, synthesis_.n_cols, false, true);
      H = X * synthesis_;
    }
    const arma::vec errors = (lost * arma::square(arma::abs(synthesis_))).t();
    out.mse.fill(arma::accu(errors));
    if (observation.per_element)
      out.element_mse = arma::repmat(errors / static_cast<double>(n_rx_), 1, n_samples);
  }

  std::shared_ptr<const ObservationOperator> A_;
  arma::uword n_rx_;
  arma::vec space_values_, values_;
  arma::cx_mat space_;
  arma::cx_mat analysis_;   ///< conj(G V), [n_positions, n]
  arma::cx_mat synthesis_;  ///< (U V)^T, [n, n_tx n_f n_s]
};

/// Paths of different covariances over the receive antennas: all coefficients at once, and the
/// estimate as gains of paths.
class PathGenie final : public Estimator {
 public:
  PathGenie(std::shared_ptr<const ObservationOperator> A, GridCovariance covariance)
      : A_(std::move(A)), covariance_(std::move(covariance)) {
    const PilotPattern& pattern = *A_->pattern();
    const arma::uword n_rx = covariance_.n_rx, n_tx = covariance_.n_tx;
    arma::uword n = 0;
    for (const GridCovariance::Path& path : covariance_.paths) {
      first_.push_back(n);
      n += covariance_.rx[path.rx].n_cols * path.tx.n_cols;
    }
    arma::cx_mat G(n_rx * pattern.n(), n, arma::fill::none);
    for (std::size_t l = 0; l < covariance_.paths.size(); ++l) {
      const GridCovariance::Path& path = covariance_.paths[l];
      const arma::cx_vec e = steering(path.delay_s, pattern.grid);
      // What is sent at each position, in the factor over transmit antennas and symbols.
      arma::cx_mat sent(pattern.n(), path.tx.n_cols, arma::fill::zeros);
      for (arma::uword m = 0; m < path.tx.n_cols; ++m) {
        for (arma::uword p = 0; p < pattern.n(); ++p) {
          for (arma::uword t = 0; t < n_tx; ++t)
            sent(p, m) += pattern.x(t, p) * path.tx(pattern.symbol(p) * n_tx + t, m);
          sent(p, m) *= e(pattern.subcarrier(p));
        }
      }
      const arma::cx_mat part = arma::kron(sent, covariance_.rx[path.rx]);
      G.cols(first_[l], first_[l] + part.n_cols - 1) = part;
    }
    hermitian_eigen(G.t() * G, values_, V_);
    values_ = not_negative(values_);
    analysis_ = (G * V_).t();
    // Power of V(:, k) on the grid, from the inner products of the paths.
    arma::cx_mat gram(n, n, arma::fill::none);
    for (std::size_t l = 0; l < covariance_.paths.size(); ++l) {
      for (std::size_t m = 0; m < covariance_.paths.size(); ++m) {
        const GridCovariance::Path &a = covariance_.paths[l], &b = covariance_.paths[m];
        const arma::cx_mat part =
            arma::kron(arma::cx_mat(a.tx.t() * b.tx),
                       arma::cx_mat(covariance_.rx[a.rx].t() * covariance_.rx[b.rx])) *
            arma::accu(steering(b.delay_s - a.delay_s, pattern.grid));
        gram.submat(first_[l], first_[m], first_[l] + part.n_rows - 1,
                    first_[m] + part.n_cols - 1) = part;
      }
    }
    powers_ = arma::real(arma::sum(arma::conj(V_) % (gram * V_), 0)).t();
  }

  std::string name() const override { return "genie"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const arma::uword n_samples = observation.y.n_cols;
    const double sigma2 = observation.sigma2;
    arma::cx_mat X = analysis_ * observation.y;
    X.each_col() /= arma::conv_to<arma::cx_vec>::from(values_ + sigma2);
    X = V_ * X;
    Paths paths;
    for (arma::uword k = 0; k < n_samples; ++k) synthesise(X.colptr(k), paths, out.h.colptr(k));
    const arma::vec lost = sigma2 / (values_ + sigma2);
    out.mse.fill(arma::dot(lost, powers_));
    if (observation.per_element) out.element_mse = arma::repmat(element_errors(lost), 1, n_samples);
  }

  /// The channel of coefficients of all paths, [n_rx n_tx n_f n_s].
  /// @param paths  memory
  void synthesise(const std::complex<double>* coefficients, Paths& paths,
                  std::complex<double>* out) const {
    const GridAxes& grid = A_->pattern()->grid;
    const arma::uword n_tx = covariance_.n_tx;
    paths.gains.set_size(covariance_.n_rx * n_tx, first_.size(), grid.n_symbols);
    paths.delays.set_size(1, first_.size());
    for (std::size_t l = 0; l < first_.size(); ++l) {
      const GridCovariance::Path& path = covariance_.paths[l];
      const arma::cx_mat& F = covariance_.rx[path.rx];
      const arma::cx_mat g(const_cast<std::complex<double>*>(coefficients) + first_[l], F.n_cols,
                           path.tx.n_cols, false, true);
      const arma::cx_mat gains = F * g * path.tx.st();  // [n_rx, n_tx n_symbols]
      for (arma::uword s = 0; s < grid.n_symbols; ++s)
        paths.gains.slice(s).col(l) = arma::vectorise(gains.cols(s * n_tx, (s + 1) * n_tx - 1));
      paths.delays(l) = path.delay_s;
    }
    put_on_grid(paths, grid, out);
  }

  /// Of each element and port, mean over the receive antennas, [n_tx n_f n_s].
  arma::vec element_errors(const arma::vec& lost) const {
    const GridAxes& grid = A_->pattern()->grid;
    const arma::uword n_rx = covariance_.n_rx, n_tx = covariance_.n_tx;
    arma::vec errors(n_tx * grid.n_elements(), arma::fill::zeros);
    Paths paths;
    arma::cx_mat h(n_rx, errors.n_elem);
    for (arma::uword k = 0; k < V_.n_cols; ++k) {
      synthesise(V_.colptr(k), paths, h.memptr());
      errors += lost(k) / static_cast<double>(n_rx) * arma::sum(arma::square(arma::abs(h)), 0).t();
    }
    return errors;
  }

  std::shared_ptr<const ObservationOperator> A_;
  GridCovariance covariance_;
  std::vector<arma::uword> first_;  ///< coefficient of each path
  arma::vec values_, powers_;
  arma::cx_mat V_, analysis_;
};

}  // namespace

std::unique_ptr<Estimator> make_grid_genie(std::shared_ptr<const ObservationOperator> A,
                                           const GridCovariance& covariance) {
  const PilotPattern& pattern = pattern_of("genie", A.get());
  if (const std::string why = covariance.why_invalid(); !why.empty()) refuse("genie: " + why);
  if (pattern.n_tx() != covariance.n_tx ||
      A->n_h() != covariance.n_rx * covariance.n_tx * pattern.grid.n_elements() ||
      pattern.grid.n_symbols != covariance.grid.n_symbols)
    refuse("genie: the covariance is for " +
           size_text(covariance.n_rx, covariance.n_tx, covariance.grid) + ", A (" + A->name() +
           ") for n_h = " + std::to_string(A->n_h()));
  const bool shared = covariance.rx.size() == 1;
  arma::uword n = 0;
  for (const GridCovariance::Path& path : covariance.paths)
    n += path.tx.n_cols * (shared ? 1 : covariance.rx[path.rx].n_cols);
  const double rows = static_cast<double>(shared ? covariance.n_tx * pattern.grid.n_elements()
                                                 : covariance.n_rx * pattern.n());
  if (n > most_coefficients || 32.0 * rows * static_cast<double>(n) > most_bytes)
    refuse("genie: the paths have " + std::to_string(n) + " independent coefficients for " +
           std::to_string(static_cast<arma::uword>(rows)) +
           " rows, too many to be solved for; take fewer subcarriers or symbols with --grid");
  if (shared) return std::make_unique<SharedGenie>(std::move(A), covariance);
  return std::make_unique<PathGenie>(std::move(A), covariance);
}

}  // namespace v0
}  // namespace chest
