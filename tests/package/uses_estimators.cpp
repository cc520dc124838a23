// chest::estimators alone, linked statically into a shared library: LS of a received block, as a C function.
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/observation.hpp>

#include <memory>

/// The estimate of h = 1 from y = h, without noise: 1.
extern "C" __attribute__((visibility("default"))) double estimate_one() {
  const std::shared_ptr<const chest::ObservationOperator> A =
      chest::make_identity_observation(2, 1);
  chest::EstimatorContext context;
  context.A = A;
  context.n_rx = 2;
  context.n_tx = 1;
  chest::Observation observation;
  observation.sigma2 = 0.1;
  observation.y.ones(2, 1);
  const auto estimator = chest::make_estimator(chest::parse_named_options("ls"), context);
  return estimator->estimate(observation).h(0, 0).real();
}
