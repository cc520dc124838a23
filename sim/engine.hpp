#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <chest/estimators/common/estimator.hpp>
#include <chest/sim/statistics.hpp>
#include <chest/sim/sweep.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// Clock of the timings: CPU time of the calling thread, which other programs do not change, or
/// wall clock for work done on a device.
double seconds_now(bool wall_clock);

/// One block of channels at one point, as every estimator sees it.
struct Scene {
  const arma::cx_mat& h;           ///< [n_h, n]
  const Observation& observation;  ///< of these channels
  const ObservationOperator& A;
  arma::uword n_rx, n_tx;
  std::uint64_t seed;
  std::uint64_t snr_stream;  ///< major number of the random streams of this SNR
  arma::uword i_pilots;      ///< which of the run's pilots
};

/// What a run measures beside the errors; one per worker, so it may keep buffers.
class Meter {
 public:
  virtual ~Meter() = default;
  /// Called first: adds what else the pilots receive.
  /// @param y  received pilots with their noise, [n_obs, n]
  /// @return   the variance per entry that receivers are told on top of the noise's
  virtual double disturb(const Scene& scene, arma::cx_mat& y);
  /// Called once per block, before its estimates.
  virtual void begin(const Scene& scene) = 0;
  /// Adds what follows from the estimates of one row.
  /// @param i_row     of Results::estimators
  /// @param estimate  changed only in rows that refine
  /// @param sums      [n_modulations, n_sums]; behind the first ErrorSums::count of each
  virtual void measure(const Scene& scene, arma::uword i_row, Estimate& estimate, double* sums) = 0;
};

/// A row beside those of the estimators.
struct DerivedRow {
  std::string name;
  std::optional<arma::uword> of;  ///< the estimator whose estimates it is made from; empty: none
  /// Fills `out` from the channels and what the estimator found (for none: nothing).
  std::function<void(const Scene&, const Estimate& found, Estimate& out)> make;
  bool refines = false;  ///< Meter::measure() improves its estimates
};
/// "perfect", h_hat = h.
DerivedRow perfect_row();

/// What distinguishes one kind of run from another.
struct Experiment {
  ResultKind kind = ResultKind::sweep;
  std::vector<std::string> modulations;
  arma::uword n_data = 0;
  arma::uword n_sums = ErrorSums::count;
  std::vector<DerivedRow> derived;  ///< behind the estimators
  bool per_element = false;         ///< asks for Estimate::element_mse
  std::string options;              ///< JSON object: further options that the numbers depend on
  std::function<std::unique_ptr<Meter>()> make_meter;  ///< empty: errors only
  /// Half the width of the interval over the value, from the sums of one series.
  std::function<double(const double*)> relative_half_width;
  /// Errors of the kind that SweepOptions::stop_errors counts, from the sums of one series.
  std::function<double(const double*)> n_errors;
};

/// The block loop that every Monte Carlo run shares: see run_sweep().
Results run_experiment(const SampleReader& samples, const CovarianceReader& covariances,
                       const EstimatorFactory& make_estimator, const SweepOptions& options,
                       const Experiment& experiment, const RunControl& control);

/// Major number of the random streams of an SNR: thousandths of a dB, so that a point does not
/// depend on its place in a list.
std::uint64_t snr_stream(double snr_db);

}  // namespace sim
}  // namespace v0
}  // namespace chest
