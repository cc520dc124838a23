#pragma once

#include <memory>
#include <string>
#include <vector>

#include <chest/estimators/catalog/catalog.hpp>
#include <chest/sim/sweep.hpp>

namespace chest {
inline namespace v0 {
namespace cli {

/// What `spec` names, for the observation A; all else is as in `known`.
std::shared_ptr<const Estimator> make_for(const Catalog& catalog, const NamedOptions& spec,
                                          EstimatorContext known,
                                          std::shared_ptr<const ObservationOperator> A);
/// The same for the runs of sim/: from the text of a specification.
sim::EstimatorFactory estimator_factory(const Catalog& catalog, const EstimatorContext& known);

/// The command that makes a model of this kind.
std::string how_to_get_a_model(const std::string& kind);

}  // namespace cli
}  // namespace v0
}  // namespace chest
