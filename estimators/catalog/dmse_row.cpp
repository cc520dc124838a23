#include <utility>

#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/common/weighted_mean.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/few_pilots.hpp>
#include <chest/estimators/diffusion/solver_table.hpp>
#include <chest/estimators/grid/plane_estimator.hpp>
#include <chest/estimators/network/scheduler_config.hpp>
#include <chest/estimators/sparse/sbl.hpp>

#include "rows.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// What dmse runs on pilots that do not decorrelate where no calibration says otherwise.
constexpr const char* default_solver = "ep";

std::unique_ptr<Estimator> make_chosen_solver(const Maker& maker, const PriorInUse& prior) {
  SolverChoice choice{"", {}, {0.0}, {default_solver}, {1.0}};
  const arma::cx_mat* P = maker.context().A->pilots();
  if (prior.model && P) {
    if (const SolverChoice* found = prior.model->solvers.nearest(*P)) choice = *found;
  }
  return make_chosen(maker, std::move(choice));
}

struct FewPilotsOptions {
  DataConsistency consistency = DataConsistency::none;
};
constexpr auto few_pilots_options = options_of<FewPilotsOptions>(
    option("consistency", &FewPilotsOptions::consistency, data_consistency_names,
           "of a network that was fitted for its pilots: how far the estimate goes to what was "
           "received"));

/// @param which  of which network the spec speaks: "was fitted .."
void refuse_options_of_chains(const NamedOptions& spec, const std::string& which) {
  for (const OptionInfo& option : dmse_options.describe()) {
    if (spec.has(option.name)) {
      refuse(spec.text + ": " + option.name + " has no effect here, a network that " + which +
             " makes one call");
    }
  }
}

/// The estimator of a network that was fitted for its pilots.
std::unique_ptr<Estimator> make_few_pilots_from(const Maker& maker, const PriorInUse& prior) {
  const NamedOptions& spec = maker.spec();
  refuse_options_of_chains(spec, "was fitted for its pilots");
  const arma::cx_mat* P = maker.context().A->pilots();
  if (!P || !same_pilots(prior.model->P, *P)) {
    refuse(spec.text + ": the network was fitted for " + std::to_string(prior.model->P.n_cols) +
           " pilots of its own, and these are others; give --pilots, --pilot-power and --seed of "
           "its fit");
  }
  return make_few_pilots(maker.context().A, prior.denoiser, prior.model->calibration,
                         maker.options(few_pilots_options).consistency);
}

std::unique_ptr<Estimator> make_dmse_from(const Maker& maker) {
  const ObservationOperator& A = *maker.context().A;
  const NamedOptions& spec = maker.spec();
  // What can be wrong without a model is said before one is loaded.
  DmseOptions options = maker.options(dmse_options);
  const PriorKind kind = maker.options(prior_options).kind;
  for (const OptionInfo& option : dmse_options.describe()) {
    if (spec.has(option.name)) decorrelation_gain("dmse:" + option.name, &A);
  }
  if (spec.has("published") + spec.has("steps") + spec.has("scheduler") > 1) {
    refuse(spec.text + ": published, steps and scheduler exclude each other");
  }
  if (spec.has("probes") && kind != PriorKind::network) {
    refuse(spec.text + ": probes has no effect here, an exact prior predicts its error");
  }
  // An exact prior has its conditional mean in closed form for any pilots.
  if (!A.gram_scale() && kind == PriorKind::gmm) return make_gmm_from(maker);
  if (!A.gram_scale() && kind == PriorKind::lmmse) return make_lmmse_from(maker);
  const PriorInUse prior = prior_in_use(maker);
  if (prior.model && !prior.model->P.is_empty()) return make_few_pilots_from(maker, prior);
  if (spec.has("consistency")) {
    refuse(spec.text +
           ": consistency is for a network that was fitted for its pilots, see 'chest "
           "fit dmse --pilots PILOTS'");
  }
  if (prior.model && prior.model->network.side) {
    refuse_options_of_chains(spec, "is told a side matrix");
    return make_side_informed(maker.context().A, prior.denoiser, prior.model->calibration);
  }
  if (!A.gram_scale()) return make_chosen_solver(maker, prior);
  options.turns_rx = maker.context().mixed_panel().is_line();
  if (spec.has("probes") && prior.denoiser->predicts_error()) {
    refuse(spec.text + ": probes has no effect here, " + prior.denoiser->name() +
           " predicts its error itself");
  }
  if (prior.model) {
    options.calibration = prior.model->calibration;
    options.schedule = prior.model->schedule;
    if (!prior.model->scheduler.empty()) {
      const SchedulerConfig config =
          parse_scheduler_config(prior.model->scheduler, spec.text + ": the model's scheduler");
      options.spacing = config.spacing;
      options.steps_offset = config.steps_offset;
    }
  } else if (options.rule == ReverseRule::calibrated) {
    // One call of an exact denoiser is the conditional mean; no further call can better it.
    options.n_steps = 1;
  }
  return make_dmse(maker.context().A, prior.denoiser, options);
}

}  // namespace

std::shared_ptr<const Estimator> with_sparse(std::shared_ptr<const Estimator> estimator,
                                             const EstimatorContext& planes,
                                             std::function<double(double)> weight) {
  SblOptions options;
  // Best of 0.1 to 1 on links of UMi and a comb of 4, from -10 to 20 dB.
  options.penalty = 0.2;
  options.rx_panel = planes.rx_panel;
  options.is_mixed = true;
  return make_weighted_mean(std::move(estimator),
                            make_sbl(planes.A, planes.n_rx, planes.n_tx, options),
                            std::move(weight));
}

void add_dmse_row(Catalog& catalog) {
  CatalogRow dmse =
      row("dmse", "diffusion prior: a few calls, or for few pilots the calibrated solver",
          make_dmse_from, "dmse");
  dmse.entry.options = dmse_options.describe();
  for (OptionInfo& option : few_pilots_options.describe()) {
    dmse.entry.options.push_back(std::move(option));
  }
  for (OptionInfo& option : prior_options.describe()) {
    dmse.entry.options.push_back(std::move(option));
  }
  add_grid_options(dmse, plane_options.describe());
  add_grid_options(dmse, sparse_part_options.describe());
  dmse.chooses_linear = true;
  dmse.takes_sparse = true;
  dmse.takes_snr = true;
  catalog.add(std::move(dmse));
}

}  // namespace v0
}  // namespace chest
