#include <chest/estimators/common/estimator.hpp>

namespace chest {

Estimate Estimator::estimate(const Observation& observation) const {
  Estimate out;
  estimate(observation, out);
  return out;
}

std::string Estimator::warning(double) const { return {}; }

std::string Estimator::method(double) const { return {}; }

}  // namespace chest
