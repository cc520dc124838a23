#include <chest/sim/sweep.hpp>

#include "engine.hpp"

namespace chest {
inline namespace v0 {
namespace sim {

Results run_sweep(const SampleReader& samples, const CovarianceReader& covariances,
                  const EstimatorFactory& make_estimator, const SweepOptions& options,
                  const RunControl& control) {
  Experiment experiment;
  experiment.relative_half_width = [](const double* sums) {
    return nmse_relative_half_width(ErrorSums::read(sums));
  };
  return run_experiment(samples, covariances, make_estimator, options, experiment, control);
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
