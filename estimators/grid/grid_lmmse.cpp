#include <chest/estimators/grid/grid_lmmse.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <filesystem>
#include <numbers>
#include <string>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/delay_profile.hpp>
#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/ofdm.hpp>
#include <chest/text.hpp>

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

AxisBasis axis_basis(const AxisCovariances::Along& covariance, const arma::vec& at,
                     arma::uword n_all) {
  AxisBasis basis;
  arma::vec values;
  arma::cx_mat vectors;
  hermitian_eigen(covariance(at, at), values, vectors);
  const arma::uvec kept = arma::reverse(arma::find(values > 1e-9 * values.max()));
  basis.values = values(kept);
  basis.analysis = vectors.cols(kept).t();
  const arma::vec all = arma::regspace(0.0, static_cast<double>(n_all) - 1.0);
  basis.synthesis = covariance(all, at) * vectors.cols(kept);
  return basis;
}

class GridLmmse final : public Estimator {
 public:
  GridLmmse(std::shared_ptr<const ObservationOperator> A, const AxisCovariances& covariances)
      : planes_("lmmse", std::move(A)) {
    const GridAxes& grid = planes_.pattern().grid;
    hermitian_eigen(covariances.R_rx, space_values_, space_);
    space_values_.transform([](double v) { return std::max(v, 0.0); });
    for (arma::uword t = 0; t < planes_.n_ports(); ++t) {
      const PilotPlanes::Port& port = planes_.port(t);
      ports_.push_back({axis_basis(covariances.frequency, port.subcarriers, grid.n_subcarriers),
                        axis_basis(covariances.time, port.symbols, grid.n_symbols)});
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
          planes_.each_subcarrier(out.h.colptr(k), t, s,
                                  [&](arma::uword f, std::complex<double>* h) {
                                    std::copy_n(filtered.colptr(f), n_rx, h);
                                  });
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

/// M along one axis ('s' antennas, 'f' subcarriers, 't' symbols) of a cube [n_rx, n_f, n_s].
template <class T>
arma::Cube<T> along(char axis, const arma::Mat<T>& M, const arma::Cube<T>& in) {
  T* memory = const_cast<T*>(in.memptr());
  if (axis == 's') {
    const arma::Mat<T> flat(memory, in.n_rows, in.n_cols * in.n_slices, false, true);
    const arma::Mat<T> out = M * flat;
    return arma::Cube<T>(out.memptr(), M.n_rows, in.n_cols, in.n_slices);
  }
  if (axis == 't') {
    const arma::Mat<T> flat(memory, in.n_rows * in.n_cols, in.n_slices, false, true);
    const arma::Mat<T> out = flat * M.st();
    return arma::Cube<T>(out.memptr(), in.n_rows, in.n_cols, M.n_rows);
  }
  arma::Cube<T> out(in.n_rows, M.n_rows, in.n_slices);
  for (arma::uword s = 0; s < in.n_slices; ++s) out.slice(s) = in.slice(s) * M.st();
  return out;
}

arma::uword index_of(char axis, arma::uword r, arma::uword f, arma::uword s) {
  return axis == 's' ? r : axis == 'f' ? f : s;
}

/// One axis after another.
class GridLmmseInTurn final : public Estimator {
 public:
  GridLmmseInTurn(std::shared_ptr<const ObservationOperator> A, const AxisCovariances& covariances,
                  const std::string& order)
      : planes_("lmmse", std::move(A)) {
    for (const char axis : order) {
      if (axis != '-') order_.push_back(axis);
    }
    const GridAxes& grid = planes_.pattern().grid;
    AxisBasis space;
    arma::cx_mat vectors;
    hermitian_eigen(covariances.R_rx, space.values, vectors);
    space.values.transform([](double v) { return std::max(v, 0.0); });
    space.analysis = vectors.t();
    space.synthesis = vectors;
    space.synthesis.each_row() %= arma::conv_to<arma::cx_rowvec>::from(space.values.t());
    const arma::vec powers = arma::real(covariances.R_rx.diag());
    for (arma::uword t = 0; t < planes_.n_ports(); ++t) {
      const PilotPlanes::Port& port = planes_.port(t);
      std::vector<Axis> axes;
      for (const char letter : order_) {
        Axis axis{letter, space, powers};
        if (letter == 'f') {
          axis.basis = axis_basis(covariances.frequency, port.subcarriers, grid.n_subcarriers);
          axis.powers.ones(grid.n_subcarriers);
        } else if (letter == 't') {
          axis.basis = axis_basis(covariances.time, port.symbols, grid.n_symbols);
          axis.powers.ones(grid.n_symbols);
        }
        axes.push_back(std::move(axis));
      }
      ports_.push_back(std::move(axes));
    }
  }

  std::string name() const override { return "lmmse"; }
  const ObservationOperator& A() const override { return planes_.A(); }
  bool predicts_mse(double) const override { return true; }

 private:
  struct Axis {
    char letter;
    AxisBasis basis;
    arma::vec powers;  ///< r, of each position
  };
  /// A filter at one noise level.
  struct Pass {
    const Axis* axis;
    arma::cube gains;   ///< of each coefficient, 1 / (d + e)
    arma::cube scales;  ///< of each output, r / g; empty for the last
  };

  /// @param errors  of z on entry, of the estimates on return
  static std::vector<Pass> passes_of(const std::vector<Axis>& axes, arma::cube& errors) {
    std::vector<Pass> passes;
    for (const Axis& axis : axes) {
      const char letter = axis.letter;
      const AxisBasis& basis = axis.basis;
      // Errors are the same along the axis: they depend on those that filters ran over before.
      const arma::uword n_kept = basis.values.n_elem;
      Pass pass{&axis, {}, {}};
      pass.gains.set_size(letter == 's' ? n_kept : errors.n_rows,
                          letter == 'f' ? n_kept : errors.n_cols,
                          letter == 't' ? n_kept : errors.n_slices);
      for (arma::uword s = 0; s < pass.gains.n_slices; ++s) {
        for (arma::uword f = 0; f < pass.gains.n_cols; ++f) {
          for (arma::uword r = 0; r < pass.gains.n_rows; ++r) {
            const double e =
                errors(letter == 's' ? 0 : r, letter == 'f' ? 0 : f, letter == 't' ? 0 : s);
            pass.gains(r, f, s) = 1.0 / (basis.values(index_of(letter, r, f, s)) + e);
          }
        }
      }
      const bool is_last = &axis == &axes.back();
      const arma::mat squares = arma::square(arma::abs(basis.synthesis));
      arma::cube found = along(letter, squares, pass.gains);  // g
      errors.set_size(arma::size(found));
      if (!is_last) pass.scales.set_size(arma::size(found));
      for (arma::uword s = 0; s < found.n_slices; ++s) {
        for (arma::uword f = 0; f < found.n_cols; ++f) {
          for (arma::uword r = 0; r < found.n_rows; ++r) {
            const double power = axis.powers(index_of(letter, r, f, s)), g = found(r, f, s);
            const double left = std::max(0.0, power - g);
            // Where nothing is found, nothing is handed on.
            const double scale = g > 1e-12 * power ? power / g : 0.0;
            if (!is_last) pass.scales(r, f, s) = scale;
            errors(r, f, s) = is_last ? left : scale > 0.0 ? scale * left : power;
          }
        }
      }
      passes.push_back(std::move(pass));
    }
    return passes;
  }

  void do_estimate(const Observation& observation, Estimate& out) const override {
    const arma::uword n = observation.y.n_cols, n_ports = planes_.n_ports(), n_rx = planes_.n_rx();
    const GridAxes& grid = planes_.pattern().grid;
    const arma::uword n_subcarriers = grid.n_subcarriers, n_symbols = grid.n_symbols;
    arma::mat mean_errors(n_ports * n_subcarriers, n_symbols);
    arma::cx_cube z;
    for (arma::uword t = 0; t < n_ports; ++t) {
      const PilotPlanes::Port& port = planes_.port(t);
      arma::cube errors(n_rx, port.subcarriers.n_elem, port.symbols.n_elem);
      errors.fill(observation.sigma2 * port.noise);
      const std::vector<Pass> passes = passes_of(ports_[t], errors);
      for (arma::uword s = 0; s < n_symbols; ++s) {
        for (arma::uword f = 0; f < n_subcarriers; ++f) {
          mean_errors(f * n_ports + t, s) =
              arma::accu(errors.slice(s).col(f)) / static_cast<double>(n_rx);
        }
      }
      for (arma::uword k = 0; k < n; ++k) {
        planes_.extract(observation.y.colptr(k), t, z);
        for (const Pass& pass : passes) {
          const AxisBasis& basis = pass.axis->basis;
          const char letter = pass.axis->letter;
          const arma::cx_cube coefficients = along(letter, basis.analysis, z) % pass.gains;
          z = along(letter, basis.synthesis, coefficients);
          if (!pass.scales.is_empty()) z = arma::cx_cube(z % pass.scales);
        }
        for (arma::uword s = 0; s < n_symbols; ++s) {
          planes_.each_subcarrier(out.h.colptr(k), t, s,
                                  [&](arma::uword f, std::complex<double>* h) {
                                    std::copy_n(z.slice_colptr(s, f), n_rx, h);
                                  });
        }
      }
    }
    out.mse.fill(static_cast<double>(n_rx) * arma::accu(mean_errors));
    if (observation.per_element) {
      out.element_mse = arma::repmat(arma::vectorise(mean_errors), 1, n);
    }
  }

  PilotPlanes planes_;
  std::vector<char> order_;
  std::vector<std::vector<Axis>> ports_;  // the axes of each, in order
};

std::string order_text(GridLmmseOrder order) {
  for (const auto& [value, name] : grid_lmmse_order_names) {
    if (value == order) return name;
  }
  return {};
}

}  // namespace

std::string GridLmmseOptions::why_invalid() const { return grid_lmmse_options.why_invalid(*this); }

AxisCovariances axis_covariances(const GridStatistics& statistics) {
  return {statistics.R_rx,
          [r = statistics.r_f](const arma::vec& a, const arma::vec& b) {
            return toeplitz_covariance(r, a, b);
          },
          [r = statistics.r_t](const arma::vec& a, const arma::vec& b) {
            return toeplitz_covariance(r, a, b);
          }};
}

namespace {

template <class Correlation>
AxisCovariances::Along covariance_of(Correlation correlation) {
  return [correlation](const arma::vec& a, const arma::vec& b) {
    arma::cx_mat C(a.n_elem, b.n_elem, arma::fill::none);
    for (arma::uword j = 0; j < b.n_elem; ++j) {
      for (arma::uword i = 0; i < a.n_elem; ++i) C(i, j) = correlation(a(i), b(j));
    }
    return C;
  };
}

void check_spacing(const GridAxes& grid) {
  if (grid.spacing_hz > 0.0) return;
  refuse(
      "lmmse: delays and Doppler are known, but not the spacing of the subcarriers; name it as in "
      "--grid @30");
}

/// When a symbol begins, also between two.
class SymbolTimes {
 public:
  explicit SymbolTimes(const GridAxes& grid)
      : times_(symbol_times(grid.spacing_hz, 0, grid.n_symbols + 1)) {}
  double at(double symbol) const {
    const auto before = std::min(static_cast<arma::uword>(symbol), times_.n_elem - 2);
    const double part = symbol - static_cast<double>(before);
    return (1.0 - part) * times_(before) + part * times_(before + 1);
  }

 private:
  arma::vec times_;
};

AxisCovariances::Along time_covariance(const DelayProfile& profile, double doppler_hz,
                                       const GridAxes& grid) {
  check_spacing(grid);
  return covariance_of([profile, doppler_hz, times = SymbolTimes(grid)](double a, double b) {
    return time_correlation(profile, doppler_hz, times.at(a) - times.at(b));
  });
}

}  // namespace

AxisCovariances::Along doppler_covariance(double doppler_hz, const GridAxes& grid) {
  return time_covariance({}, doppler_hz, grid);
}

AxisCovariances known_covariances(const GridLmmseOptions& options, const GridAxes& grid) {
  if (!options.knows_profile()) refuse("lmmse: no profile is known");
  check_spacing(grid);
  const std::string name = options.pdp.empty() ? "exponential" : options.pdp;
  const double spacing = grid.spacing_hz, spread = 1e-9 * options.delay_spread_ns;
  AxisCovariances out;
  out.R_rx.ones(1, 1);
  DelayProfile profile;
  if (name == "exponential") {
    out.frequency = covariance_of([=](double a, double b) {
      return 1.0 / std::complex<double>(1.0, 2.0 * std::numbers::pi * (a - b) * spacing * spread);
    });
  } else if (name == "uniform") {
    out.frequency = covariance_of([=](double a, double b) {
      // From 0 to sqrt(12) times the rms spread.
      const double x = std::numbers::pi * (a - b) * spacing * std::sqrt(12.0) * spread;
      return std::polar(x == 0.0 ? 1.0 : std::sin(x) / x, -x);
    });
  } else {
    std::vector<std::string> names = delay_profile_names();
    const std::string base = name.substr(0, name.find('-'));
    const bool is_name = std::find(names.begin(), names.end(), base) != names.end();
    if (!is_name && !std::filesystem::exists(name)) {
      names.insert(names.end(), {"exponential", "uniform"});
      refuse("lmmse: pdp is '" + name + "', there is no such file and no such profile" +
             did_you_mean(base, names));
    }
    profile = is_name ? delay_profile(name) : read_delay_profile(name);
    if (is_name && name.size() == 1) {
      profile.delays *= spread;
    } else if (options.knows_delay_spread) {
      refuse("lmmse: delay-spread is for exponential, uniform and A to E, " + name +
             " has its own delays");
    }
    if (profile.doppler_hz > 0.0 && options.knows_doppler) {
      refuse("lmmse: pdp=" + name + " names its Doppler, leave out doppler");
    }
    out.frequency = covariance_of([profile, spacing](double a, double b) {
      return frequency_correlation(profile, spacing * (a - b));
    });
  }
  const double doppler = profile.doppler_hz > 0.0 ? profile.doppler_hz : options.doppler_hz;
  out.time = time_covariance(profile, doppler, grid);
  return out;
}

std::unique_ptr<Estimator> make_grid_lmmse(std::shared_ptr<const ObservationOperator> A,
                                           const AxisCovariances& covariances,
                                           GridLmmseOrder order) {
  const PilotPattern& pattern = pattern_of("lmmse", A.get());
  const arma::uword n_rx = A->n_obs() / pattern.n();
  AxisCovariances used = covariances;
  if (used.R_rx.n_rows == 1) used.R_rx.eye(n_rx, n_rx);
  if (used.R_rx.n_rows != n_rx) {
    refuse("lmmse: the model has " + std::to_string(used.R_rx.n_rows) +
           " receive antennas, the pilots " + std::to_string(n_rx));
  }
  if (order == GridLmmseOrder::joint) return std::make_unique<GridLmmse>(std::move(A), used);
  const std::string text = order_text(order);
  if (pattern.grid.n_symbols > 1 && text.find('t') == std::string::npos) {
    refuse("lmmse: order=" + text + " leaves symbols without an estimate, the grid has " +
           std::to_string(pattern.grid.n_symbols) + "; name t too, as in order=" + text + "-t");
  }
  return std::make_unique<GridLmmseInTurn>(std::move(A), used, text);
}

std::unique_ptr<Estimator> make_grid_lmmse(std::shared_ptr<const ObservationOperator> A,
                                           const GridStatistics& statistics,
                                           const GridLmmseOptions& options) {
  const GridAxes& grid = pattern_of("lmmse", A.get()).grid;
  if (options.knows_profile()) {
    return make_grid_lmmse(std::move(A), known_covariances(options, grid), options.order);
  }
  AxisCovariances covariances = axis_covariances(statistics);
  if (options.knows_doppler) covariances.time = doppler_covariance(options.doppler_hz, grid);
  const bool knows_time = options.knows_doppler || statistics.r_t.n_elem >= grid.n_symbols;
  if (statistics.r_f.n_elem < grid.n_subcarriers || !knows_time) {
    refuse("lmmse: the grid has " + grid.text() + " elements, the model knows " +
           std::to_string(statistics.r_f.n_elem) + "x" + std::to_string(statistics.r_t.n_elem) +
           "; fit it on grids as large");
  }
  return make_grid_lmmse(std::move(A), covariances, options.order);
}

}  // namespace v0
}  // namespace chest
