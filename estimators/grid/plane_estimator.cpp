#include <chest/estimators/grid/plane_estimator.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <mutex>
#include <numbers>
#include <string>
#include <vector>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/common/level_cache.hpp>
#include <chest/estimators/grid/filters.hpp>
#include <chest/estimators/grid/grid_lmmse.hpp>
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
/// How often points of a raster that have no pilots are filled with what was estimated there.
constexpr int n_fillings = 4;

/// One uncorrelated plane of the pilot symbols.
struct Mode {
  double power;                 ///< l_i
  arma::cx_rowvec from_pilots;  ///< z of the plane from those of the symbols, [n_s]
  arma::cx_vec to_symbols;      ///< what a symbol has of it, [n_symbols]
};

using InnerMaker =
    std::function<std::shared_ptr<const Estimator>(std::shared_ptr<const ObservationOperator>)>;

/// The points of a plane: those of the pilots' raster, or the pilots where they have none.
PilotRaster points_of(const arma::vec& subcarriers) {
  PilotRaster raster = raster_of(subcarriers);
  if (raster.step > 0.0) return raster;
  raster.positions = subcarriers;
  raster.observed = arma::regspace<arma::uvec>(0, subcarriers.n_elem - 1);
  return raster;
}

/// Linear MMSE of planes [n_rx, n_columns], columns at these positions, from those that are observed.
std::unique_ptr<Estimator> linear_planes(const PilotRaster& points, const arma::cx_mat& R_rx,
                                         const arma::cx_vec& r_f) {
  PilotPattern pattern;
  const arma::uword n = points.observed.n_elem;
  pattern.grid.n_subcarriers = points.positions.n_elem;
  pattern.subcarrier = pattern.group = points.observed;
  pattern.symbol.zeros(n);
  pattern.x.ones(1, n);
  AxisCovariances covariances;
  covariances.R_rx = R_rx;
  covariances.frequency = [positions = points.positions, r_f](const arma::vec& a,
                                                              const arma::vec& b) {
    const auto at = [&](const arma::vec& columns) {
      return arma::vec(positions(arma::conv_to<arma::uvec>::from(columns)));
    };
    return toeplitz_covariance(r_f, at(a), at(b));
  };
  covariances.time = [](const arma::vec& a, const arma::vec& b) {
    return arma::cx_mat(a.n_elem, b.n_elem, arma::fill::ones);
  };
  return make_grid_lmmse(make_grid_observation(pattern, R_rx.n_rows), covariances);
}

class PlaneEstimator final : public Estimator {
 public:
  PlaneEstimator(std::shared_ptr<const PilotPlanes> planes, const GridStatistics& statistics,
                 const InnerMaker& make_inner, bool has_linear_differences)
      : planes_(std::move(planes)),
        statistics_(statistics),
        filter_lags_(filter_lags(statistics)),
        rx_per_plane_(statistics.R_rx.n_rows),
        points_(points_of(planes_->port(0).subcarriers)),
        filters_(4) {
    inner_ = make_inner(make_identity_observation(rx_per_plane_, points_.positions.n_elem));
    set_modes(statistics);
    if (!statistics.rx_panel.is_line()) mix_ = panel_mix(statistics.rx_panel, planes_->n_rx());
    const arma::cx_mat R_rx =
        mix_.is_empty() ? statistics.R_rx : arma::cx_mat(mix_ * statistics.R_rx * mix_.t());
    if (has_linear_differences && modes_.size() > 1) {
      PilotRaster whole = points_;
      whole.observed = arma::regspace<arma::uvec>(0, whole.positions.n_elem - 1);
      differences_ = linear_planes(whole, R_rx, statistics.r_f);
    }
    if (!points_.is_whole()) filler_ = linear_planes(points_, R_rx, statistics.r_f);
  }

  std::string name() const override { return inner_->name(); }
  const ObservationOperator& A() const override { return planes_->A(); }
  bool predicts_mse(double sigma2) const override {
    return is_linear(sigma2) || inner_->predicts_mse(level(modes_.front(), sigma2));
  }
  std::string warning(double sigma2) const override {
    return is_linear(sigma2) ? "" : inner_->warning(level(modes_.front(), sigma2));
  }
  std::string method(double sigma2) const override {
    return is_linear(sigma2) ? "lmmse" : inner_->method(level(modes_.front(), sigma2));
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
        filters.push_back(wiener_filter(points_of(planes_->port(t).subcarriers).positions,
                                        planes_->pattern().grid.n_subcarriers, filter_lags_, error,
                                        n_window));
      }
      return filters;
    });
  }

  /// Estimates planes whose columns between the pilots, where their raster has holes, are not observed: the
  /// holes are filled with what linear MMSE finds there, then again and again with what was estimated. Where
  /// that no longer changes, it is the most probable channel without them.
  void estimate_filled(const Estimator& inner, Observation& planes, Estimate& found) const {
    if (points_.is_whole()) return inner.estimate(planes, found);
    const arma::uword n_f = points_.positions.n_elem;
    std::vector<bool> is_hole(n_f, true);
    for (const arma::uword c : points_.observed) is_hole[c] = false;
    const auto fill = [&](const arma::cx_mat& h) {
      for (arma::uword k = 0; k < planes.y.n_cols; ++k) {
        for (arma::uword c = 0; c < n_f; ++c) {
          if (!is_hole[c]) continue;
          std::copy_n(h.colptr(k) + c * rx_per_plane_, rx_per_plane_,
                      planes.y.colptr(k) + c * rx_per_plane_);
        }
      }
    };
    Observation pilots;
    pilots.sigma2 = planes.sigma2;
    pilots.y.set_size(points_.observed.n_elem * rx_per_plane_, planes.y.n_cols);
    for (arma::uword k = 0; k < planes.y.n_cols; ++k) {
      for (arma::uword c = 0; c < points_.observed.n_elem; ++c) {
        std::copy_n(planes.y.colptr(k) + points_.observed(c) * rx_per_plane_, rx_per_plane_,
                    pilots.y.colptr(k) + c * rx_per_plane_);
      }
    }
    fill(filler_->estimate(pilots).h);
    arma::uword nfe = 0;
    for (int round = 0;; ++round) {
      inner.estimate(planes, found);
      nfe += found.nfe;
      if (round == n_fillings) break;
      fill(found.h);
    }
    found.nfe = nfe;
    // What is not observed is known less well.
    found.mse *= static_cast<double>(n_f) / static_cast<double>(points_.observed.n_elem);
  }

  /// Subcarriers over which the pilots lie.
  double band() const {
    return static_cast<double>(points_.positions.n_elem) * std::max(points_.step, 1.0);
  }

  /// Whether linear MMSE was measured to be better than the inner estimator here.
  bool is_linear(double sigma2) const {
    const double ratio =
        statistics_.linear_ratio_at(level(modes_.front(), sigma2), points_.step, band());
    return ratio < 1.0 && statistics_.r_f.n_elem >= planes_->pattern().grid.n_subcarriers;
  }
  const Estimator& linear() const {
    std::call_once(made_linear_, [&] {
      GridStatistics statistics = statistics_;
      const arma::uword n_symbols = planes_->pattern().grid.n_symbols;
      if (statistics.r_t.n_elem == 1) statistics.r_t.ones(n_symbols);
      linear_ = make_grid_lmmse(planes_->shared_A(), statistics);
    });
    return *linear_;
  }

  void do_estimate(const Observation& observation, Estimate& out) const override {
    if (is_linear(observation.sigma2)) return linear().estimate(observation, out);
    const arma::uword n = observation.y.n_cols, n_ports = planes_->n_ports();
    const PilotPlanes::Port& port = planes_->port(0);
    const arma::uword n_rx = planes_->n_rx(), n_f = points_.positions.n_elem;
    const arma::uword n_pilots = port.subcarriers.n_elem;
    const arma::uword n_subcarriers = planes_->pattern().grid.n_subcarriers;
    const arma::uword n_symbols = planes_->pattern().grid.n_symbols;
    const bool predicts = !out.mse.is_empty();
    // Planes of a port: one of all antennas, or one of each.
    const arma::uword n_planes = n_rx / rx_per_plane_;
    out.h.zeros();

    std::vector<Observation> modes(modes_.size());
    for (std::size_t i = 0; i < modes_.size(); ++i) {
      modes[i].y.zeros(rx_per_plane_ * n_f, n * n_ports * n_planes);
      modes[i].sigma2 = level(modes_[i], observation.sigma2);
      modes[i].seed = observation.seed;
      for (arma::uword k = 0; k < n; ++k) {
        for (arma::uword p = 0; p < n_ports * n_planes; ++p) {
          modes[i].samples.push_back(observation.sample(k) * n_ports * n_planes + p);
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
        const arma::cx_mat by_symbol(z.memptr(), n_rx * n_pilots, z.n_slices, false, true);
        for (std::size_t i = 0; i < modes_.size(); ++i) {
          const arma::cx_vec plane = by_symbol * modes_[i].from_pilots.st();
          for (arma::uword p = 0; p < n_planes; ++p) {
            std::complex<double>* to = modes[i].y.colptr((k * n_ports + t) * n_planes + p);
            for (arma::uword c = 0; c < n_pilots; ++c) {
              std::copy_n(plane.memptr() + c * n_rx + p * rx_per_plane_, rx_per_plane_,
                          to + points_.observed(c) * rx_per_plane_);
            }
          }
        }
      }
    }

    arma::vec known(n_symbols, arma::fill::zeros);  // of each symbol's power, what modes carry
    arma::cube errors;  // of each element, [n_ports n_subcarriers, n_symbols, n]
    if (predicts) errors.zeros(n_ports * n_subcarriers, n_symbols, n);
    Estimate found;
    arma::cx_mat plane(n_rx, n_f), filtered;
    for (std::size_t i = 0; i < modes_.size(); ++i) {
      const Mode& mode = modes_[i];
      if (modes[i].sigma2 > most_noise) continue;
      estimate_filled(i > 0 && differences_ ? *differences_ : *inner_, modes[i], found);
      out.nfe += found.nfe * n_ports;
      out.n_reset += found.n_reset;
      const arma::vec share = arma::square(arma::abs(mode.to_symbols));
      known += share;
      const std::shared_ptr<const Filters> filters = filters_at(modes[i].sigma2);
      for (arma::uword k = 0; k < n; ++k) {
        for (arma::uword t = 0; t < n_ports; ++t) {
          const arma::uword column = (k * n_ports + t) * n_planes;
          for (arma::uword p = 0; p < n_planes; ++p) {
            plane.rows(p * rx_per_plane_, (p + 1) * rx_per_plane_ - 1) =
                arma::cx_mat(found.h.colptr(column + p), rx_per_plane_, n_f, false, true);
          }
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
                                   : arma::accu(found.mse.subvec(column, column + n_planes - 1)) /
                                         static_cast<double>(n_rx * n_f);
          for (arma::uword s = 0; s < n_symbols; ++s) {
            for (arma::uword f = 0; f < n_subcarriers; ++f) {
              errors(f * n_ports + t, s, k) += share(s) * (error + filter.variance(f));
            }
          }
        }
      }
    }
    if (!predicts) return;
    errors *= statistics_.error_ratio_at(modes.front().sigma2, points_.step, band());
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
  arma::uword rx_per_plane_;
  arma::cx_mat mix_;  // of the receive antennas of a panel; empty for a line
  PilotRaster points_;
  std::shared_ptr<const Estimator> inner_;
  std::unique_ptr<Estimator> differences_;  // null: inner_ too
  std::unique_ptr<Estimator> filler_;       // of holes; null: there are none
  std::vector<Mode> modes_;
  LevelCache<Filters> filters_;
  mutable std::once_flag made_linear_;
  mutable std::unique_ptr<Estimator> linear_;
};

}  // namespace

std::unique_ptr<Estimator> make_plane_estimator(std::shared_ptr<const PilotPlanes> planes,
                                                const GridStatistics& statistics,
                                                const InnerMaker& make_inner,
                                                bool has_linear_differences) {
  if (!planes->same_for_all()) {
    refuse(
        "the ports have pilots of different number, distance or energy; expected the same for "
        "all");
  }
  const arma::uword n_rx = statistics.R_rx.n_rows;
  if (n_rx != planes->n_rx() && n_rx != 1) {
    refuse("the model has " + std::to_string(n_rx) + " receive antennas, the pilots " +
           std::to_string(planes->n_rx()));
  }
  const arma::uword n_symbols = planes->pattern().grid.n_symbols;
  if (statistics.r_t.n_elem != 1 && statistics.r_t.n_elem < n_symbols) {
    refuse("the grid has " + std::to_string(n_symbols) + " symbols, the model knows " +
           std::to_string(statistics.r_t.n_elem) + "; fit it on grids of as many symbols");
  }
  return std::make_unique<PlaneEstimator>(std::move(planes), statistics, make_inner,
                                          has_linear_differences);
}

arma::cx_vec doppler_lags(double doppler_hz, const GridAxes& grid) {
  const arma::vec all = arma::regspace(0.0, static_cast<double>(grid.n_symbols) - 1.0);
  return doppler_covariance(doppler_hz, grid)(all, arma::vec{0.0}).as_col();
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
