#include <chest/estimators/grid/grid_ls.hpp>

#include <algorithm>
#include <complex>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/grid/filters.hpp>

namespace chest {
inline namespace v0 {
namespace {

AxisFilter average_filter(arma::uword n_in, arma::uword n_out) {
  AxisFilter filter;
  filter.first.zeros(n_out);
  filter.weights.set_size(n_in, n_out);
  filter.weights.fill(1.0 / static_cast<double>(n_in));
  filter.noise_gain.set_size(n_out);
  filter.noise_gain.fill(1.0 / static_cast<double>(n_in));
  return filter;
}

class GridLs final : public Estimator {
 public:
  GridLs(std::shared_ptr<const ObservationOperator> A, const GridLsOptions& options)
      : planes_("ls", std::move(A)) {
    const GridAxes& grid = planes_.pattern().grid;
    for (arma::uword t = 0; t < planes_.n_ports(); ++t) {
      const PilotPlanes::Port& port = planes_.port(t);
      frequency_.push_back(frequency_filter(port, grid.n_subcarriers, options));
      switch (options.time) {
        case TimeInterpolation::linear:
          time_.push_back(linear_filter(port.symbols, grid.n_symbols));
          break;
        case TimeInterpolation::nearest:
          time_.push_back(nearest_filter(port.symbols, grid.n_symbols));
          break;
        case TimeInterpolation::average:
          time_.push_back(average_filter(port.symbols.n_elem, grid.n_symbols));
          break;
      }
    }
  }

  std::string name() const override { return "ls"; }
  const ObservationOperator& A() const override { return planes_.A(); }
  bool predicts_mse(double) const override { return true; }

 private:
  static AxisFilter frequency_filter(const PilotPlanes::Port& port, arma::uword n_out,
                                     const GridLsOptions& options) {
    switch (options.frequency) {
      case FrequencyInterpolation::linear:
        return linear_filter(port.subcarriers, n_out);
      case FrequencyInterpolation::nearest:
        return nearest_filter(port.subcarriers, n_out);
      case FrequencyInterpolation::dft:
        break;
    }
    if (port.step == 0.0) {
      refuse("ls: interpolation=dft needs pilots at equal distances over frequency");
    }
    const arma::uword n = port.subcarriers.n_elem;
    const arma::uword taps = options.taps == 0 ? std::max<arma::uword>(1, n / 2) : options.taps;
    if (taps > n) {
      refuse("ls: taps is " + std::to_string(taps) + ", there are " + std::to_string(n) +
             " pilots over frequency");
    }
    return dft_filter(port.subcarriers, port.step, n_out, taps);
  }

  void do_estimate(const Observation& observation, Estimate& out) const override {
    const arma::uword n = observation.y.n_cols, n_ports = planes_.n_ports(), n_rx = planes_.n_rx();
    const GridAxes& grid = planes_.pattern().grid;
    const arma::uword n_subcarriers = grid.n_subcarriers, n_symbols = grid.n_symbols;
    arma::cx_cube z;
    arma::cx_mat filtered, all, by_symbol;
    double error = 0.0;
    for (arma::uword t = 0; t < n_ports; ++t) {
      const AxisFilter& frequency = frequency_[t];
      const AxisFilter& time = time_[t];
      error += observation.sigma2 * planes_.port(t).noise * arma::accu(frequency.noise_gain) *
               arma::accu(time.noise_gain);
      for (arma::uword k = 0; k < n; ++k) {
        planes_.extract(observation.y.colptr(k), t, z);
        by_symbol.set_size(n_rx * n_subcarriers, z.n_slices);
        for (arma::uword s = 0; s < z.n_slices; ++s) {
          frequency.apply(z.slice(s), filtered);
          std::copy_n(filtered.memptr(), filtered.n_elem, by_symbol.colptr(s));
        }
        time.apply(by_symbol, all);
        for (arma::uword s = 0; s < n_symbols; ++s) {
          planes_.each_subcarrier(out.h.colptr(k), t, s,
                                  [&](arma::uword f, std::complex<double>* h) {
                                    std::copy_n(all.colptr(s) + f * n_rx, n_rx, h);
                                  });
        }
      }
    }
    out.mse.fill(static_cast<double>(n_rx) * error);
    if (observation.per_element) {
      out.element_mse.set_size(n_ports * n_subcarriers * n_symbols, n);
      for (arma::uword s = 0, i = 0; s < n_symbols; ++s) {
        for (arma::uword f = 0; f < n_subcarriers; ++f) {
          for (arma::uword t = 0; t < n_ports; ++t, ++i) {
            out.element_mse.row(i).fill(observation.sigma2 * planes_.port(t).noise *
                                        frequency_[t].noise_gain(f) * time_[t].noise_gain(s));
          }
        }
      }
    }
  }

  PilotPlanes planes_;
  std::vector<AxisFilter> frequency_, time_;  // per port
};

}  // namespace

std::string GridLsOptions::why_invalid() const { return grid_ls_options.why_invalid(*this); }

std::unique_ptr<Estimator> make_grid_ls(std::shared_ptr<const ObservationOperator> A,
                                        const GridLsOptions& options) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("ls: " + why);
  return std::make_unique<GridLs>(std::move(A), options);
}

}  // namespace v0
}  // namespace chest
