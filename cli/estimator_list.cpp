#include "estimator_list.hpp"

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace cli {

std::shared_ptr<const Estimator> make_for(const Catalog& catalog, const NamedOptions& spec,
                                          EstimatorContext known,
                                          std::shared_ptr<const ObservationOperator> A) {
  known.A = std::move(A);
  return catalog.make(spec, known);
}

sim::EstimatorFactory estimator_factory(const Catalog& catalog, const EstimatorContext& known) {
  return [&catalog, known](const std::string& spec,
                           const std::shared_ptr<const ObservationOperator>& A) {
    EstimatorContext here = known;
    if (A->pattern()) here.n_tx = A->pattern()->n_tx();
    const NamedOptions named = parse_named_options(spec);
    if (named.has("data"))
      refuse(spec +
             ": data is of transport blocks, estimated anew with what was decoded: 'chest link' "
             "over a grid");
    return make_for(catalog, named, here, A);
  };
}

std::string how_to_get_a_model(const std::string& kind) {
  return "chest fit " + kind + " --channels FILE --out MODEL.h5";
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
