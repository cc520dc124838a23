#include <chest/sim/sweep.hpp>

#include <complex>
#include <memory>

#include <chest/pilot_pattern.hpp>

#include "engine.hpp"

namespace chest {
inline namespace v0 {
namespace sim {

namespace {

/// Errors of the entries that carry pilots.
class PilotMeter final : public Meter {
 public:
  void begin(const Scene&) override {}

  void measure(const Scene& scene, arma::uword, Estimate& estimate, double* sums) override {
    const PilotPattern& pattern = *scene.A.pattern();
    PilotSums found;
    for (arma::uword p = 0; p < pattern.n(); ++p) {
      const arma::uword element =
          pattern.symbol(p) * pattern.grid.n_subcarriers + pattern.subcarrier(p);
      for (arma::uword t = 0; t < pattern.n_tx(); ++t) {
        if (pattern.x(t, p) == 0.0) continue;
        const arma::uword first = (element * pattern.n_tx() + t) * scene.n_rx;
        for (arma::uword k = 0; k < scene.h.n_cols; ++k) {
          const std::complex<double>* h = scene.h.colptr(k) + first;
          const std::complex<double>* h_hat = estimate.h.colptr(k) + first;
          for (arma::uword r = 0; r < scene.n_rx; ++r) {
            found.e += std::norm(h_hat[r] - h[r]);
            found.p += std::norm(h[r]);
          }
        }
      }
    }
    sums[ErrorSums::count] += found.e;
    sums[ErrorSums::count + 1] += found.p;
  }
};

}  // namespace

Results run_sweep(const SampleReader& samples, const CovarianceReader& covariances,
                  const EstimatorFactory& make_estimator, const SweepOptions& options,
                  const RunControl& control) {
  Experiment experiment;
  if (samples.grid.is_grid()) {
    experiment.n_sums = ErrorSums::count + PilotSums::count;
    experiment.make_meter = [] { return std::make_unique<PilotMeter>(); };
  }
  experiment.relative_half_width = [](const double* sums) {
    return nmse_relative_half_width(ErrorSums::read(sums));
  };
  return run_experiment(samples, covariances, make_estimator, options, experiment, control);
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
