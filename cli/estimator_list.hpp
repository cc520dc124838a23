#pragma once

#include <memory>
#include <string>
#include <vector>

#include <chest/estimators/catalog/catalog.hpp>
#include <chest/sim/sweep.hpp>

namespace chest::cli {

/// An option of an estimator, in words: `chest estimators NAME`, the manual and completion.
struct EstimatorOption {
  std::string name;
  std::string placeholder;   ///< N, X, NAME, a|b|c; empty: a switch
  std::string range;         ///< "1 .. 64"; empty: not known, or any
  std::string default_text;  ///< empty: none to show
  std::string help;
};

struct EstimatorInfo {
  std::string name;
  std::string summary;  ///< one line
  std::string model;    ///< kind of the model file that it needs; empty: none
  std::vector<EstimatorOption> options;
};

/// The estimators that the program knows.
class EstimatorTable {
 public:
  std::vector<EstimatorInfo> entries() const;
  /// Splits a list of names with options.
  std::vector<NamedOptions> parse(const std::string& list) const;
  /// @throws Error as make_estimator()
  std::unique_ptr<Estimator> make(const NamedOptions& spec, const EstimatorContext& context) const;
};

/// What `spec` names, for the observation A; all else is as in `known`.
std::shared_ptr<const Estimator> make_for(const EstimatorTable& catalog, const NamedOptions& spec,
                                          EstimatorContext known,
                                          std::shared_ptr<const ObservationOperator> A);
/// The same for the runs of sim/: from the text of a specification.
sim::EstimatorFactory estimator_factory(const EstimatorTable& catalog,
                                        const EstimatorContext& known);

/// The command that makes a model of this kind.
std::string how_to_get_a_model(const std::string& kind);

}  // namespace chest::cli
