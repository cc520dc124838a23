#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/diffusion/solver_table.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/errors.hpp>

namespace chest {
inline namespace v0 {

/// Linear, sparse and mixture estimators, and the autoencoder.
void add_fitted_rows(Catalog& catalog);
void add_dmse_row(Catalog& catalog);
/// The solvers of the diffusion prior for any pilots.
void add_solver_rows(Catalog& catalog);

/// The noise variance that an estimator works with, other than the true one.
OptionInfo snr_option();
std::unique_ptr<Estimator> with_other_snr(const Maker& maker, std::unique_ptr<Estimator> estimator);

/// Options for the pilots of a grid.
void add_grid_options(CatalogRow& row, std::vector<OptionInfo> options);

/// How much of sparse Bayesian learning is in an estimate of planes.
struct SparsePartOptions {
  double weight = 0.0;
};
inline constexpr auto sparse_part_options =
    options_of<SparsePartOptions>(option("sparse", &SparsePartOptions::weight, within(0, 1),
                                         "part of 'sbl:penalty=0.2' in the mean with it")
                                      .default_is("as calibrated, 0 with other options"));
/// The estimator of planes and sparse Bayesian learning as their mean.
/// @param planes  of `estimator`
/// @param weight  of the latter, by sigma2
std::shared_ptr<const Estimator> with_sparse(std::shared_ptr<const Estimator> estimator,
                                             const EstimatorContext& planes,
                                             std::function<double(double)> weight);

/// LMMSE and the conditional mean of a mixture: also what dmse is on these priors.
std::unique_ptr<Estimator> make_lmmse_from(const Maker& maker);
std::unique_ptr<Estimator> make_gmm_from(const Maker& maker);

/// A mixture from a model file, or else the one that the channels were drawn from.
struct MixtureInUse {
  std::shared_ptr<const GaussianMixture> mixture;
  std::string key;  ///< in the ModelStore
};
MixtureInUse need_mixture(const Maker& maker);

/// What denoises.
enum class PriorKind { network, gmm, lmmse };
inline constexpr std::pair<PriorKind, const char*> prior_kind_names[] = {
    {PriorKind::network, "network"}, {PriorKind::gmm, "gmm"}, {PriorKind::lmmse, "lmmse"}};

inline constexpr std::pair<NetworkPrecision, const char*> precision_names[] = {
    {NetworkPrecision::automatic, "auto"},
    {NetworkPrecision::float32, "float32"},
    {NetworkPrecision::bfloat16, "bfloat16"},
    {NetworkPrecision::int8, "int8"}};

struct PriorOptions {
  PriorKind kind = PriorKind::network;
  NetworkPrecision precision = NetworkPrecision::automatic;
  bool bfloat16 = false;
  std::string which;
  double guidance = 0.0;
};
inline constexpr auto has_network = [](const PriorOptions& o) {
  return o.kind == PriorKind::network;
};
inline constexpr auto no_network = "prior=network; an exact prior is computed in double";
inline constexpr auto prior_options = options_of<PriorOptions>(
    option("prior", &PriorOptions::kind, prior_kind_names,
           "what denoises: the fitted network, or exactly"),
    option("precision", &PriorOptions::precision, precision_names,
           "of the network; auto: the fastest that costs less than 0.02 dB as calibrated")
        .only_if(has_network, no_network),
    option("bfloat16", &PriorOptions::bfloat16, "the same as precision=bfloat16")
        .only_if(has_network, no_network),
    option("class", &PriorOptions::which, "N",
           "of the channels, which a network fitted with --labels may be told")
        .only_if(has_network, no_network),
    option("guidance", &PriorOptions::guidance, any_value,
           "goes so many times beyond what the class changes: for samples, not for estimates")
        .only_if([](const PriorOptions& o) { return !o.which.empty(); }, "class=N"));

/// A prior and what is known of it.
struct PriorInUse {
  std::shared_ptr<const Denoiser> denoiser;
  std::shared_ptr<const NetworkModel> model;  ///< null for exact priors
  /// Its errors per level: those of the model, measured once on exact priors; empty when not known.
  std::function<std::shared_ptr<const DenoiserErrors>()> errors;
  /// The same with DenoiserErrors::full, which is empty where it is not known.
  std::function<std::shared_ptr<const DenoiserErrors>()> full_errors;
};
/// The prior that the spec asks for.
PriorInUse prior_in_use(const Maker& maker);
/// Its errors, where an estimator cannot do without them.
DenoiserErrors need_errors(const Maker& maker, const PriorInUse& prior);

/// What the model says that a method was tuned to.
struct TunedOptions {
  std::optional<TuningBudget> budget{};
};
inline constexpr auto tuned_options = options_of<TunedOptions>(
    option("tuned", &TunedOptions::budget, tuning_budget_names,
           "runs the parameters that chest calibrate --method chose, with so many calls"));

/// What a calibration chose, on the prior of the spec.
std::unique_ptr<Estimator> make_chosen(const Maker& maker, SolverChoice choice);
/// What a spec with `tuned` asks for.
std::unique_ptr<Estimator> make_tuned(const Maker& maker);

/// A row on a prior: its options are those of the table, `tuned` where chest calibrate --method knows it, then those of
/// the prior.
/// @param make  (const Maker&, const PriorInUse&, const Options&) -> std::unique_ptr<Estimator>
template <class Options, class... Entries, class Make>
CatalogRow prior_row(const std::string& name, const std::string& summary,
                     const OptionTable<Options, Entries...>& table, Make make,
                     bool tunable = true) {
  CatalogRow out;
  out.entry = {name, summary, "dmse", table.describe()};
  for (OptionInfo& option : tuned_options.describe()) {
    if (tunable) out.entry.options.push_back(std::move(option));
  }
  for (OptionInfo& option : prior_options.describe()) {
    out.entry.options.push_back(std::move(option));
  }
  out.make = [table, make](const Maker& maker) -> std::unique_ptr<Estimator> {
    if (maker.spec().has("tuned")) return make_tuned(maker);
    const Options options = maker.options(table);
    return make(maker, prior_in_use(maker), options);
  };
  return out;
}

}  // namespace v0
}  // namespace chest
