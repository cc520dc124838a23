#pragma once

#include <functional>
#include <memory>
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
  /// Called once per block, before its estimates.
  virtual void begin(const Scene& scene) = 0;
  /// Adds what follows from one estimator's estimates.
  /// @param sums  [n_modulations, n_sums]; the first ErrorSums::count of each row are filled
  /// already
  virtual void measure(const Scene& scene, const Estimate& estimate, double* sums) = 0;
};

/// What distinguishes one kind of run from another.
struct Experiment {
  ResultKind kind = ResultKind::sweep;
  std::vector<std::string> modulations;
  arma::uword n_data = 0;
  arma::uword n_sums = ErrorSums::count;
  bool with_perfect = false;  ///< adds the estimator "perfect", h_hat = h
  bool per_element = false;   ///< asks for Estimate::element_mse
  std::string options;        ///< JSON object: further options that the numbers depend on
  std::function<std::unique_ptr<Meter>()> make_meter;  ///< empty: errors only
  /// Half the width of the interval over the value, from the sums of one series.
  std::function<double(const double*)> relative_half_width;
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
