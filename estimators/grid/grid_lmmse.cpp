#include <chest/estimators/grid/grid_lmmse.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <string>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// One axis in the eigenvectors of its covariance at the pilots.
struct AxisBasis {
  arma::vec values;
  arma::cx_mat analysis;  ///< coefficients from the pilots, V^H, [n_kept, n_pilots]
  arma::cx_mat
      synthesis;  ///< everywhere from a coefficient over its eigenvalue, R_ap V, [n_all, n_kept]
};

AxisBasis axis_basis(const arma::cx_vec& r, const arma::vec& at, arma::uword n_all) {
  AxisBasis basis;
  arma::vec values;
  arma::cx_mat vectors;
  arma::eig_sym(values, vectors, toeplitz_covariance(r, at, at));
  const arma::uvec kept = arma::reverse(arma::find(values > 1e-9 * values.max()));
  basis.values = values(kept);
  basis.analysis = vectors.cols(kept).t();
  const arma::vec all = arma::regspace(0.0, static_cast<double>(n_all) - 1.0);
  basis.synthesis = toeplitz_covariance(r, all, at) * vectors.cols(kept);
  return basis;
}

class GridLmmse final : public Estimator {
 public:
  GridLmmse(std::shared_ptr<const ObservationOperator> A, const GridStatistics& statistics)
      : planes_("lmmse", std::move(A)) {
    const GridAxes& grid = planes_.pattern().grid;
    arma::eig_sym(space_values_, space_, statistics.R_rx);
    space_values_.transform([](double v) { return std::max(v, 0.0); });
    for (arma::uword t = 0; t < planes_.n_ports(); ++t) {
      const PilotPlanes::Port& port = planes_.port(t);
      ports_.push_back({axis_basis(statistics.r_f, port.subcarriers, grid.n_subcarriers),
                        axis_basis(statistics.r_t, port.symbols, grid.n_symbols)});
    }
  }

  std::string name() const override { return "lmmse"; }
  const ObservationOperator& A() const override { return planes_.A(); }
  bool predicts_mse(double) const override { return true; }

 private:
  struct PortBasis {
    AxisBasis frequency, time;
  };

  void do_estimate(const Observation& observation, Estimate& out) const override {
    const arma::uword n = observation.y.n_cols, n_ports = planes_.n_ports(), n_rx = planes_.n_rx();
    const GridAxes& grid = planes_.pattern().grid;
    const arma::uword n_subcarriers = grid.n_subcarriers, n_symbols = grid.n_symbols;
    arma::mat errors(n_ports * n_subcarriers, n_symbols);
    arma::cx_cube z;
    arma::cx_mat coefficients, filtered;
    for (arma::uword t = 0; t < n_ports; ++t) {
      const auto& [frequency, time] = ports_[t];
      const arma::uword n_d = frequency.values.n_elem, n_m = time.values.n_elem;
      const double sigma2 = observation.sigma2 * planes_.port(t).noise;
      // The part of a coefficient's power that is found, averaged over the antennas.
      arma::mat found(n_d, n_m, arma::fill::zeros);
      for (arma::uword i = 0; i < n_m; ++i) {
        for (arma::uword j = 0; j < n_d; ++j) {
          for (const double l : space_values_) {
            found(j, i) += l * l / (l * frequency.values(j) * time.values(i) + sigma2);
          }
        }
      }
      found /= static_cast<double>(n_rx);
      const arma::mat known = arma::square(arma::abs(frequency.synthesis)) * found *
                              arma::square(arma::abs(time.synthesis)).t();
      for (arma::uword s = 0; s < n_symbols; ++s) {
        for (arma::uword f = 0; f < n_subcarriers; ++f) {
          errors(f * n_ports + t, s) = std::max(0.0, 1.0 - known(f, s));
        }
      }
      for (arma::uword k = 0; k < n; ++k) {
        planes_.extract(observation.y.colptr(k), t, z);
        // In the basis of each axis in turn: antennas, subcarriers, then symbols.
        arma::cx_cube by_symbol(n_rx, n_d, z.n_slices);
        for (arma::uword s = 0; s < z.n_slices; ++s) {
          by_symbol.slice(s) = space_.t() * z.slice(s) * frequency.analysis.st();
        }
        arma::cx_cube modes(n_rx, n_d, n_m, arma::fill::zeros);
        for (arma::uword i = 0; i < n_m; ++i) {
          for (arma::uword s = 0; s < z.n_slices; ++s) {
            modes.slice(i) += time.analysis(i, s) * by_symbol.slice(s);
          }
          for (arma::uword j = 0; j < n_d; ++j) {
            for (arma::uword a = 0; a < n_rx; ++a) {
              const double l = space_values_(a);
              modes(a, j, i) *= l / (l * frequency.values(j) * time.values(i) + sigma2);
            }
          }
          modes.slice(i) = space_ * modes.slice(i);
        }
        for (arma::uword s = 0; s < n_symbols; ++s) {
          coefficients.zeros(n_rx, n_d);
          for (arma::uword i = 0; i < n_m; ++i)
            coefficients += time.synthesis(s, i) * modes.slice(i);
          filtered = coefficients * frequency.synthesis.st();
          std::complex<double>* h = out.h.colptr(k) + (s * n_subcarriers * n_ports + t) * n_rx;
          for (arma::uword f = 0; f < n_subcarriers; ++f, h += n_ports * n_rx) {
            std::copy_n(filtered.colptr(f), n_rx, h);
          }
        }
      }
    }
    out.mse.fill(static_cast<double>(n_rx) * arma::accu(errors));
    if (observation.per_element) {
      out.element_mse = arma::repmat(arma::vectorise(errors), 1, n);
    }
  }

  PilotPlanes planes_;
  arma::vec space_values_;
  arma::cx_mat space_;
  std::vector<PortBasis> ports_;
};

}  // namespace

std::unique_ptr<Estimator> make_grid_lmmse(std::shared_ptr<const ObservationOperator> A,
                                           const GridStatistics& statistics) {
  check_given("lmmse", A.get());
  if (!A->pattern()) refuse("lmmse: A (" + A->name() + ") is not the observation of a grid");
  const GridAxes& grid = A->pattern()->grid;
  if (statistics.r_f.n_elem < grid.n_subcarriers || statistics.r_t.n_elem < grid.n_symbols) {
    refuse("lmmse: the grid has " + grid.text() + " elements, the model knows " +
           std::to_string(statistics.r_f.n_elem) + "x" + std::to_string(statistics.r_t.n_elem) +
           "; fit it on grids as large");
  }
  return std::make_unique<GridLmmse>(std::move(A), statistics);
}

}  // namespace v0
}  // namespace chest
