#include <chest/estimators/grid/plane_estimator.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <string>
#include <vector>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/common/level_cache.hpp>
#include <chest/estimators/grid/filters.hpp>
#include <chest/ofdm.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// r(k) of delays that are equally likely from first to last, over the length of a symbol without its
/// prefix.
arma::cx_vec even_delay_lags(arma::uword n, double first, double last) {
  arma::cx_vec r(n);
  for (arma::uword lag = 0; lag < n; ++lag) {
    const double x = std::numbers::pi * static_cast<double>(lag) * (last - first);
    r(lag) = std::polar(lag == 0 ? 1.0 : std::sin(x) / x,
                        -std::numbers::pi * static_cast<double>(lag) * (first + last));
  }
  return r;
}

/// Inputs of the filter over frequency: enough for the correlation of all but the shortest delays.
constexpr arma::uword n_window = 48;
/// Error of an estimate at the pilots over that of least squares, of which the filter over frequency
/// takes account. The remainder has the delays of the channel, and no filter takes it away.
constexpr double white_part = 0.03;
/// Of a model that was fitted with timing offsets: share of the power that the filter over frequency
/// takes to lie anywhere from half a cyclic prefix before the symbol to one and a half after its start,
/// where offsets may put it.
constexpr double offset_part = 0.3;
/// Planes of noisier observations are estimated as zero.
constexpr double most_noise = 1e3;

/// One uncorrelated plane of the pilot symbols.
struct Mode {
  double power;                 ///< l_i
  arma::cx_rowvec from_pilots;  ///< z of the plane from those of the symbols, [n_s]
  arma::cx_vec to_symbols;      ///< what a symbol has of it, [n_symbols]
};

class PlaneEstimator final : public Estimator {
 public:
  PlaneEstimator(std::shared_ptr<const PilotPlanes> planes, const GridStatistics& statistics,
                 const std::function<std::shared_ptr<const Estimator>(
                     std::shared_ptr<const ObservationOperator>)>& make_inner)
      : planes_(std::move(planes)),
        statistics_(statistics),
        filter_lags_(filter_lags(statistics)),
        filters_(4) {
    const PilotPlanes::Port& port = planes_->port(0);
    const std::shared_ptr<const ObservationOperator> identity =
        make_identity_observation(planes_->n_rx(), port.subcarriers.n_elem);
    inner_ = make_inner(identity);
    set_modes(statistics);
    if (!statistics.rx_panel.is_line()) mix_ = panel_mix(statistics.rx_panel, planes_->n_rx());
  }

  std::string name() const override { return inner_->name(); }
  const ObservationOperator& A() const override { return planes_->A(); }
  bool predicts_mse(double sigma2) const override {
    return inner_->predicts_mse(level(modes_.front(), sigma2));
  }
  std::string warning(double sigma2) const override {
    return inner_->warning(level(modes_.front(), sigma2));
  }
  std::string method(double sigma2) const override {
    return inner_->method(level(modes_.front(), sigma2));
  }

 private:
  /// Correlation over subcarriers that the filters are made for.
  static arma::cx_vec filter_lags(const GridStatistics& statistics) {
    if (statistics.most_step == 0) return statistics.r_f;
    constexpr double prefix = cyclic_prefix_part;
    return (1.0 - offset_part) * statistics.r_f +
           offset_part * even_delay_lags(statistics.r_f.n_elem, -0.5 * prefix, 1.5 * prefix);
  }

  /// sigma2 of a plane of power 1.
  double level(const Mode& mode, double sigma2) const {
    return sigma2 * planes_->port(0).noise / mode.power;
  }

  void set_modes(const GridStatistics& statistics) {
    const arma::vec& at = planes_->port(0).symbols;
    const arma::uword n_symbols = planes_->pattern().grid.n_symbols;
    arma::cx_vec r_t = statistics.r_t;
    if (r_t.n_elem == 1) r_t.ones(n_symbols);
    const arma::vec all = arma::regspace(0.0, static_cast<double>(n_symbols) - 1.0);
    arma::vec values;
    arma::cx_mat vectors;
    hermitian_eigen(toeplitz_covariance(r_t, at, at), values, vectors);
    const arma::cx_mat R_ap = toeplitz_covariance(r_t, all, at);
    // Largest first; what rounding left of the others is none.
    for (arma::uword i = values.n_elem; i-- > 0;) {
      if (values(i) < 1e-7 * values(values.n_elem - 1)) break;
      const arma::cx_vec u = vectors.col(i);
      modes_.push_back({values(i), u.t() / std::sqrt(values(i)), R_ap * u / std::sqrt(values(i))});
    }
  }

  /// Filters over frequency, one per port.
  using Filters = std::vector<AxisFilter>;
  std::shared_ptr<const Filters> filters_at(double plane_sigma2) const {
    return filters_.at(plane_sigma2, [&] {
      Filters filters;
      const double error = white_part * plane_sigma2 / (1.0 + plane_sigma2);
      for (arma::uword t = 0; t < planes_->n_ports(); ++t) {
        filters.push_back(wiener_filter(planes_->port(t).subcarriers,
                                        planes_->pattern().grid.n_subcarriers, filter_lags_, error,
                                        n_window));
      }
      return filters;
    });
  }

  void do_estimate(const Observation& observation, Estimate& out) const override {
    const arma::uword n = observation.y.n_cols, n_ports = planes_->n_ports();
    const PilotPlanes::Port& port = planes_->port(0);
    const arma::uword n_rx = planes_->n_rx(), n_f = port.subcarriers.n_elem;
    const arma::uword n_subcarriers = planes_->pattern().grid.n_subcarriers;
    const arma::uword n_symbols = planes_->pattern().grid.n_symbols;
    const bool predicts = !out.mse.is_empty();
    out.h.zeros();

    std::vector<Observation> modes(modes_.size());
    for (std::size_t i = 0; i < modes_.size(); ++i) {
      modes[i].y.set_size(n_rx * n_f, n * n_ports);
      modes[i].sigma2 = level(modes_[i], observation.sigma2);
      modes[i].seed = observation.seed;
      for (arma::uword k = 0; k < n; ++k) {
        for (arma::uword t = 0; t < n_ports; ++t) {
          modes[i].samples.push_back(observation.sample(k) * n_ports + t);
        }
      }
    }
    arma::cx_cube z;
    for (arma::uword k = 0; k < n; ++k) {
      for (arma::uword t = 0; t < n_ports; ++t) {
        planes_->extract(observation.y.colptr(k), t, z);
        for (arma::uword s = 0; s < z.n_slices && !mix_.is_empty(); ++s) {
          z.slice(s) = arma::cx_mat(mix_ * z.slice(s));
        }
        const arma::cx_mat by_symbol(z.memptr(), n_rx * n_f, z.n_slices, false, true);
        for (std::size_t i = 0; i < modes_.size(); ++i) {
          modes[i].y.col(k * n_ports + t) = by_symbol * modes_[i].from_pilots.st();
        }
      }
    }

    arma::vec known(n_symbols, arma::fill::zeros);  // of each symbol's power, what modes carry
    arma::cube errors;  // of each element, [n_ports n_subcarriers, n_symbols, n]
    if (predicts) errors.zeros(n_ports * n_subcarriers, n_symbols, n);
    Estimate found;
    arma::cx_mat filtered;
    for (std::size_t i = 0; i < modes_.size(); ++i) {
      const Mode& mode = modes_[i];
      if (modes[i].sigma2 > most_noise) continue;
      inner_->estimate(modes[i], found);
      out.nfe += found.nfe * n_ports;
      out.n_reset += found.n_reset;
      const arma::vec share = arma::square(arma::abs(mode.to_symbols));
      known += share;
      const std::shared_ptr<const Filters> filters = filters_at(modes[i].sigma2);
      for (arma::uword k = 0; k < n; ++k) {
        for (arma::uword t = 0; t < n_ports; ++t) {
          const arma::uword column = k * n_ports + t;
          const arma::cx_mat plane(found.h.colptr(column), n_rx, n_f, false, true);
          const AxisFilter& filter = (*filters)[t];
          if (mix_.is_empty()) {
            filter.apply(plane, filtered);
          } else {
            filter.apply(mix_.t() * plane, filtered);
          }
          for (arma::uword s = 0; s < n_symbols; ++s) {
            const std::complex<double> c = mode.to_symbols(s);
            planes_->each_subcarrier(out.h.colptr(k), t, s,
                                     [&](arma::uword f, std::complex<double>* h) {
                                       const std::complex<double>* from = filtered.colptr(f);
                                       for (arma::uword r = 0; r < n_rx; ++r) h[r] += c * from[r];
                                     });
          }
          if (!predicts) continue;
          const double error = found.mse.is_empty()
                                   ? arma::datum::nan
                                   : found.mse(column) / static_cast<double>(n_rx * n_f);
          for (arma::uword s = 0; s < n_symbols; ++s) {
            for (arma::uword f = 0; f < n_subcarriers; ++f) {
              errors(f * n_ports + t, s, k) += share(s) * (error + filter.variance(f));
            }
          }
        }
      }
    }
    if (!predicts) return;
    errors *= statistics_.error_ratio_at(modes.front().sigma2);
    if (observation.per_element) out.element_mse.set_size(errors.n_elem_slice, n);
    for (arma::uword k = 0; k < n; ++k) {
      for (arma::uword s = 0; s < n_symbols; ++s) {
        // No less than what its symbols say of a channel that moves.
        errors.slice(k).col(s) += std::max(0.0, 1.0 - known(s));
      }
      out.mse(k) = static_cast<double>(n_rx) * arma::accu(errors.slice(k));
      if (observation.per_element) out.element_mse.col(k) = arma::vectorise(errors.slice(k));
    }
  }

  std::shared_ptr<const PilotPlanes> planes_;
  GridStatistics statistics_;
  arma::cx_vec filter_lags_;
  arma::cx_mat mix_;  // of the receive antennas of a panel; empty for a line
  std::shared_ptr<const Estimator> inner_;
  std::vector<Mode> modes_;
  LevelCache<Filters> filters_;
};

}  // namespace

std::unique_ptr<Estimator> make_plane_estimator(
    std::shared_ptr<const PilotPlanes> planes, const GridStatistics& statistics,
    const std::function<
        std::shared_ptr<const Estimator>(std::shared_ptr<const ObservationOperator>)>& make_inner) {
  if (!planes->same_for_all()) {
    refuse(
        "the ports have pilots of different number, distance or energy; expected the same for "
        "all");
  }
  const arma::uword n_symbols = planes->pattern().grid.n_symbols;
  if (statistics.r_t.n_elem != 1 && statistics.r_t.n_elem < n_symbols) {
    refuse("the grid has " + std::to_string(n_symbols) + " symbols, the model knows " +
           std::to_string(statistics.r_t.n_elem) + "; fit it on grids of as many symbols");
  }
  return std::make_unique<PlaneEstimator>(std::move(planes), statistics, make_inner);
}

GridStatistics unfitted_statistics(arma::uword n_rx, const GridAxes& grid) {
  constexpr double prefix = cyclic_prefix_part, before = 0.1 * prefix;
  GridStatistics out;
  out.spacing_hz = grid.spacing_hz;
  out.symbol_s = grid.symbol_s;
  out.R_rx.eye(n_rx, n_rx);
  out.r_t.ones(1);
  out.r_f = even_delay_lags(grid.n_subcarriers, -before, prefix);
  return out;
}

}  // namespace v0
}  // namespace chest
