#include "estimator_list.hpp"

namespace chest::cli {
namespace {

/// "calls (default 20)" and "default 16" as help and default.
EstimatorOption described(const CatalogOption& option) {
  EstimatorOption out{option.name, option.value, "", "", option.help};
  const std::string mark = "default ";
  const std::size_t at = out.help.find(mark);
  if (at == 0) {
    out.default_text = out.help.substr(mark.size());
    out.help = "how many";
  } else if (at != std::string::npos && out.help[at - 1] == '(' && out.help.back() == ')') {
    out.default_text = out.help.substr(at + mark.size());
    out.default_text.pop_back();
    out.help.resize(at > 1 ? at - 2 : 0);
  }
  return out;
}

}  // namespace

std::vector<EstimatorInfo> EstimatorTable::entries() const {
  std::vector<EstimatorInfo> out;
  for (const CatalogEntry& entry : estimator_catalog()) {
    out.push_back({entry.name, entry.summary, entry.model, {}});
    for (const CatalogOption& option : entry.options) {
      out.back().options.push_back(described(option));
    }
  }
  return out;
}

std::vector<NamedOptions> EstimatorTable::parse(const std::string& list) const {
  return parse_named_options_list(list);
}

std::unique_ptr<Estimator> EstimatorTable::make(const NamedOptions& spec,
                                                const EstimatorContext& context) const {
  return make_estimator(spec, context);
}

std::shared_ptr<const Estimator> make_for(const EstimatorTable& catalog, const NamedOptions& spec,
                                          EstimatorContext known,
                                          std::shared_ptr<const ObservationOperator> A) {
  known.A = std::move(A);
  return catalog.make(spec, known);
}

sim::EstimatorFactory estimator_factory(const EstimatorTable& catalog,
                                        const EstimatorContext& known) {
  return [&catalog, known](const std::string& spec,
                           const std::shared_ptr<const ObservationOperator>& A) {
    return make_for(catalog, parse_named_options(spec), known, A);
  };
}

std::string how_to_get_a_model(const std::string& kind) {
  return "chest fit " + kind + " --channels FILE --out MODEL.h5";
}

}  // namespace chest::cli
