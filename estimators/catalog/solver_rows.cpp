#include <chest/estimators/diffusion/coarse_to_fine.hpp>
#include <chest/estimators/diffusion/ep.hpp>
#include <chest/estimators/diffusion/named_methods.hpp>
#include <chest/estimators/diffusion/particles.hpp>
#include <chest/estimators/diffusion/red_diff.hpp>

#include "rows.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// A row that hands A, denoiser and options to a library function.
template <class Options, class... Entries>
CatalogRow solver_row(const char* name, const char* summary,
                      const OptionTable<Options, Entries...>& table,
                      std::unique_ptr<Estimator> (*make)(std::shared_ptr<const ObservationOperator>,
                                                         std::shared_ptr<const Denoiser>,
                                                         const Options&),
                      bool tunable = true) {
  return prior_row(
      name, summary, table,
      [make](const Maker& maker, const PriorInUse& prior, const Options& options) {
        return make(maker.context().A, prior.denoiser, options);
      },
      tunable);
}

std::unique_ptr<Estimator> make_ep_from(const Maker& maker, const PriorInUse& prior,
                                        EpOptions options) {
  if (!maker.spec().has("fallback")) options.fallback = maker.other_estimator("diffpir");
  options.errors = need_errors(maker, prior);
  options.n_rx = maker.context().n_rx;
  options.n_tx = maker.context().n_tx;
  if (options.variance != EpVariance::analytic && options.errors.angular.is_empty()) {
    refuse(maker.spec().text +
           ": the model does not know its errors per angle; run 'chest calibrate MODEL --channels "
           "FILE'");
  }
  return make_ep(maker.context().A, prior.denoiser, options);
}

std::unique_ptr<Estimator> make_opc_from(const Maker& maker, const PriorInUse& prior,
                                         OpcOptions options) {
  const auto uses = [&](VarianceKind kind) {
    return options.variance == kind || options.above == kind;
  };
  if (uses(VarianceKind::full)) {
    options.errors = *prior.full_errors();
    if (options.errors.full.empty()) {
      refuse(maker.spec().text +
             ": the model does not know the covariances of its errors; run 'chest calibrate MODEL "
             "--channels FILE --full'");
    }
  } else if (uses(VarianceKind::analytic) || uses(VarianceKind::angular) ||
             uses(VarianceKind::spatial)) {
    options.errors = *prior.errors();
  }
  options.n_rx = maker.context().n_rx;
  options.n_tx = maker.context().n_tx;
  return make_opc(maker.context().A, prior.denoiser, options);
}

}  // namespace

void add_solver_rows(Catalog& catalog) {
  catalog.add(prior_row("ep",
                        "expectation propagation between pilots and prior: any pilots, no gradient",
                        ep_options, make_ep_from));
  catalog.add(solver_row("diffpir", "proximal data steps between denoising steps (DiffPIR)",
                         diffpir_options, make_diffpir));
  catalog.add(solver_row("ddnm", "replaces what the pilots saw: for data without noise (DDNM)",
                         ddnm_options, make_ddnm));
  catalog.add(solver_row("dds", "conjugate-gradient data steps (DDS)", dds_options, make_dds));
  catalog.add(solver_row("dmps", "likelihood under a flat prior (DMPS)", dmps_options, make_dmps));
  catalog.add(solver_row("pigdm", "pseudo-inverse guidance through the network's gradient (PiGDM)",
                         pigdm_options, make_pigdm));
  catalog.add(solver_row("dps", "gradient of the residual's norm (DPS)", dps_options, make_dps));
  catalog.add(prior_row("opc",
                        "guidance with a covariance of choice (optimal posterior covariance)",
                        opc_options, make_opc_from));
  catalog.add(solver_row("flowchef",
                         "steers an ODE by the data's gradient, not through the network (FlowChef)",
                         flowchef_options, make_flowchef, false));
  catalog.add(solver_row("score",
                         "annealed Langevin with a scalar likelihood (score-based channel "
                         "estimation)",
                         score_options, make_score));
  catalog.add(solver_row("red-diff", "a point fitted to data and denoiser (RED-diff)",
                         red_diff_options, make_red_diff));
  catalog.add(solver_row("coarse-to-fine",
                         "stochastic ascent with a denoiser that is not told the noise level",
                         coarse_to_fine_options, make_coarse_to_fine, false));
  catalog.add(solver_row("smc", "weighted particles: a reference for small arrays",
                         particle_options, make_particles, false));
}

}  // namespace v0
}  // namespace chest
