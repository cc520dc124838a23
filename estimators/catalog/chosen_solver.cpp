#include <algorithm>
#include <map>
#include <utility>

#include <chest/error.hpp>
#include <chest/estimators/common/enum_names.hpp>
#include <chest/text.hpp>

#include "rows.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// The solver that the model's calibration names at each noise level.
class ChosenSolver final : public Estimator {
 public:
  ChosenSolver(std::string name, SolverChoice choice,
               std::map<std::string, std::shared_ptr<const Estimator>> solvers)
      : name_(std::move(name)), choice_(std::move(choice)), solvers_(std::move(solvers)) {}

  std::string name() const override { return name_; }
  const ObservationOperator& A() const override { return solvers_.begin()->second->A(); }
  bool predicts_mse(double sigma2) const override { return at(sigma2).predicts_mse(sigma2); }
  std::string warning(double sigma2) const override { return at(sigma2).warning(sigma2); }
  std::string method(double sigma2) const override { return choice_.at(sigma2); }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    at(observation.sigma2).estimate(observation, out);
  }
  const Estimator& at(double sigma2) const { return *solvers_.at(choice_.at(sigma2)); }

  std::string name_;
  SolverChoice choice_;
  std::map<std::string, std::shared_ptr<const Estimator>> solvers_;
};

}  // namespace

std::unique_ptr<Estimator> make_chosen(const Maker& maker, SolverChoice choice) {
  std::map<std::string, std::shared_ptr<const Estimator>> solvers;
  for (const std::string& solver : choice.solvers) {
    if (solvers.count(solver)) continue;
    try {
      const NamedOptions chosen = parse_named_options(solver);
      if (chosen.name == "dmse" || chosen.has("tuned")) refuse("it would choose again");
      solvers[solver] = maker.on_same_prior(chosen);
    } catch (const Error& error) {
      throw Error(error.kind(), maker.spec().text + ": the calibrated solver '" + solver +
                                    "' cannot run: " + error.what());
    }
  }
  return std::make_unique<ChosenSolver>(maker.spec().name, std::move(choice), std::move(solvers));
}

std::unique_ptr<Estimator> make_tuned(const Maker& maker) {
  const NamedOptions& spec = maker.spec();
  const TuningBudget budget = *maker.options(tuned_options).budget;
  const PriorOptions prior = maker.options(prior_options);
  if (prior.kind != PriorKind::network) {
    refuse(spec.text + ": tuned is for prior=network, whose model file holds the parameters");
  }
  for (const auto& [option, value] : spec.options) {
    const std::vector<OptionInfo> beside = prior_options.describe();
    const bool fits = option == "tuned" ||
                      std::any_of(beside.begin(), beside.end(),
                                  [&](const OptionInfo& each) { return each.name == option; });
    if (!fits) {
      refuse(spec.text + ": tuned brings the parameters of " + spec.name + ", " + option +
             " cannot be given beside it");
    }
  }
  const PriorInUse use = prior_in_use(maker);
  const std::string how = "; run 'chest calibrate MODEL --method " + spec.name + " --budget " +
                          name_of(tuning_budget_names, budget) +
                          " --pilots PILOTS --channels FILE --samples FIRST:END'";
  const SolverTable* table = use.model->tuned.find(spec.name, budget);
  if (!table) refuse(spec.text + ": the model holds no tuned parameters of " + spec.name + how);
  const arma::cx_mat* P = maker.context().A->pilots();
  const SolverChoice* found = P ? table->nearest(*P) : nullptr;
  if (!found) {
    refuse(spec.text + ": the model holds no parameters of " + spec.name +
           " that were tuned for pilots like these" + how);
  }
  return make_chosen(maker, *found);
}

}  // namespace v0
}  // namespace chest
