#include <chest/estimators/catalog/catalog.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/vae_model.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/nn/vae.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/estimators/diffusion/coarse_to_fine.hpp>
#include <chest/estimators/diffusion/ep.hpp>
#include <chest/estimators/linear/genie.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/estimators/linear/snr_unknown.hpp>
#include <chest/estimators/sparse/omp.hpp>
#include <chest/estimators/diffusion/particles.hpp>
#include <chest/estimators/diffusion/red_diff.hpp>
#include <chest/estimators/sparse/sbl.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/metrics.hpp>
#include <chest/provenance.hpp>
#include <chest/random.hpp>


namespace chest {
namespace {

ModelStore::Info look_at(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  // The version is judged by the reader of the kind.
  read_provenance(archive, "chest-model", std::numeric_limits<int>::max());
  ModelStore::Info info{file, archive.text_attribute("/", "kind").value_or(""), 0, 0};
  const auto size = [&](const char* name) {
    const double value = archive.number_attribute("/", name).value_or(0.0);
    if (!(value >= 1.0 && value <= 1e6)) {
      throw Error(ErrorKind::format,
                  file.string() + ": attribute " + name + " is missing or not a size");
    }
    return static_cast<arma::uword>(value);
  };
  if (info.kind.empty())
    throw Error(ErrorKind::format, file.string() + ": attribute kind is missing");
  info.n_rx = size("n_rx");
  info.n_tx = size("n_tx");
  return info;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string near = nearest(word, candidates);
  return near.empty() ? "" : " (did you mean " + near + "?)";
}

std::string array_size(arma::uword n_rx, arma::uword n_tx) {
  return std::to_string(n_rx) + "x" + std::to_string(n_tx);
}

}  // namespace

struct ModelStore::Impl {
  mutable std::mutex mutex;
  std::vector<Info> files;
  std::map<std::filesystem::path, std::shared_ptr<const LmmseModel>> lmmse;
  std::map<std::filesystem::path, std::shared_ptr<const GmmModel>> gmm;
  std::map<std::filesystem::path, std::shared_ptr<const NetworkModel>> network;
  std::map<std::filesystem::path, std::shared_ptr<const VaeModel>> vae;
  /// By file and device; the mixtures of channel files by the object, which is kept alive here.
  std::map<std::pair<std::filesystem::path, std::string>, std::shared_ptr<const Denoiser>>
      denoisers;
  std::map<std::shared_ptr<const GaussianMixture>, std::shared_ptr<const Denoiser>> prior_denoisers;
  /// Of exact denoisers, by the denoiser.
  std::map<std::shared_ptr<const Denoiser>, std::shared_ptr<const DenoiserErrors>> errors;

  /// The value of a map, made on first use.
  template <class Map, class Make>
  typename Map::mapped_type kept(Map& map, const typename Map::key_type& key, Make&& make) {
    const std::lock_guard lock(mutex);
    auto it = map.find(key);
    if (it == map.end()) it = map.emplace(key, make()).first;
    return it->second;
  }

  std::shared_ptr<const LmmseModel> lmmse_model(const std::filesystem::path& file) {
    return kept(lmmse, file,
                [&] { return std::make_shared<const LmmseModel>(load_lmmse_model(file)); });
  }
  std::shared_ptr<const GmmModel> gmm_model(const std::filesystem::path& file) {
    return kept(gmm, file, [&] { return std::make_shared<const GmmModel>(load_gmm_model(file)); });
  }
  std::shared_ptr<const NetworkModel> network_model(const std::filesystem::path& file) {
    return kept(network, file,
                [&] { return std::make_shared<const NetworkModel>(load_network_model(file)); });
  }
  std::shared_ptr<const VaeModel> vae_model(const std::filesystem::path& file) {
    return kept(vae, file, [&] { return std::make_shared<const VaeModel>(load_vae_model(file)); });
  }
};

ModelStore::ModelStore(const std::vector<std::filesystem::path>& files)
    : impl_(std::make_unique<Impl>()) {
  for (const std::filesystem::path& file : files) {
    const bool known = std::any_of(impl_->files.begin(), impl_->files.end(),
                                   [&](const Info& info) { return info.file == file; });
    if (!known) impl_->files.push_back(look_at(file));
  }
}

ModelStore::~ModelStore() = default;

std::vector<ModelStore::Info> ModelStore::files() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->files;
}

namespace {

/// One make_estimator() at work: the spec, what it may use, and the errors that both can raise.
class Maker {
 public:
  Maker(const NamedOptions& spec, const EstimatorContext& context)
      : spec_(spec), context_(context), models_(context.models) {
    if (!models_) models_ = std::make_shared<ModelStore>();
  }

  const NamedOptions& spec() const { return spec_; }
  const EstimatorContext& context() const { return context_; }
  ModelStore::Impl& models() const { return models_->impl(); }

  bool has(const std::string& option) const { return spec_.options.count(option) > 0; }
  /// Value of an option, `otherwise` when it is not given.
  std::string text(const std::string& option, const std::string& otherwise) const {
    const auto it = spec_.options.find(option);
    return it == spec_.options.end() ? otherwise : it->second;
  }
  double number(const std::string& option, double otherwise) const {
    return has(option) ? to_number(text(option, ""), spec_.name + ": " + option) : otherwise;
  }

  /// An option that is given: 1 .. most.
  arma::uword count(const std::string& option, unsigned long long most) const {
    const auto value = to_count(text(option, ""), spec_.name + ": " + option);
    if (value < 1 || value > most) {
      refuse(spec_.text + ": " + option + " is " + std::to_string(value) + ", it must be 1 .. " +
             std::to_string(most));
    }
    return value;
  }

  /// The model file of this kind: the one that the spec names, or the only one given; empty when
  /// none was given.  Its sizes are those of the channels.
  std::filesystem::path find_model(const std::string& kind) const {
    std::vector<ModelStore::Info> fitting;
    if (!spec_.file.empty()) {
      const std::lock_guard lock(models().mutex);
      std::vector<ModelStore::Info>& known = models().files;
      for (const ModelStore::Info& info : known) {
        if (info.file == spec_.file) fitting = {info};
      }
      if (fitting.empty()) {
        fitting = {look_at(spec_.file)};
        known.push_back(fitting.front());
      }
      if (fitting.front().kind != kind) {
        refuse(spec_.text + ": " + spec_.file + " is a model of kind " + fitting.front().kind +
               ", expected one of kind " + kind);
      }
    } else {
      for (const ModelStore::Info& info : models_->files()) {
        if (info.kind == kind) fitting.push_back(info);
      }
    }
    if (fitting.empty()) return {};
    if (fitting.size() > 1) {
      std::vector<std::string> names;
      for (const ModelStore::Info& info : fitting) names.push_back(info.file.string());
      refuse(spec_.text + ": " + std::to_string(names.size()) + " models of kind " + kind +
             " were given (" + enumerate(names) + "); name the one to use, as in " + spec_.text +
             "@" + names.front());
    }
    const ModelStore::Info& info = fitting.front();
    if (info.n_rx != context_.n_rx || info.n_tx != context_.n_tx) {
      refuse(spec_.text + ": the model " + info.file.string() + " is for " +
             array_size(info.n_rx, info.n_tx) + " channels, these are " +
             array_size(context_.n_rx, context_.n_tx) + "; fit a model on such channels");
    }
    return info.file;
  }
  /// The same, where one must be there.
  std::filesystem::path need_model(const std::string& kind, const std::string& how) const {
    std::filesystem::path file = find_model(kind);
    if (file.empty()) {
      refuse(spec_.text + ": no model of kind " + kind + " was given; make one with '" + how +
             "' and name it with --model MODEL");
    }
    return file;
  }
  std::shared_ptr<const LmmseModel> need_lmmse() const {
    return models().lmmse_model(need_model("lmmse", "chest fit lmmse --channels FILE --out MODEL"));
  }
  /// A mixture from a model file, or else the one that the channels were drawn from; the path is
  /// empty for the latter.
  std::pair<std::shared_ptr<const GaussianMixture>, std::filesystem::path> need_mixture() const {
    const std::filesystem::path file = find_model("gmm");
    if (!file.empty()) {
      const auto model = models().gmm_model(file);
      return {std::shared_ptr<const GaussianMixture>(model, &model->prior), file};
    }
    if (context_.prior) return {context_.prior, std::filesystem::path()};
    refuse(spec_.text + ": no mixture is known; give a model of kind gmm with --model MODEL " +
           "(chest fit gmm), or channels that hold the mixture that they were drawn from (chest " +
           "generate gmm)");
  }

 private:
  const NamedOptions& spec_;
  const EstimatorContext& context_;
  std::shared_ptr<ModelStore> models_;
};

std::unique_ptr<Estimator> make_ls_row(const Maker& maker) { return make_ls(maker.context().A); }

std::unique_ptr<Estimator> make_lmmse_row(const Maker& maker) {
  LmmseOptions options;
  options.diagonal_loading = maker.number("loading", options.diagonal_loading);
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("lmmse: " + why);
  return make_lmmse(maker.context().A, maker.need_lmmse()->C, options);
}

std::unique_ptr<Estimator> make_genie_row(const Maker& maker) {
  if (!maker.context().has_genie_covariances) {
    refuse(
        "genie: the channels come without the covariances that they were drawn with; generate them "
        "with covariances (chest generate scm) or leave genie out");
  }
  return make_genie(maker.context().A);
}

std::unique_ptr<Estimator> make_gmm_row(const Maker& maker) {
  return make_gmm(maker.context().A, *maker.need_mixture().first);
}

/// Errors of an exact denoiser on channels drawn from its own prior.
DenoiserErrors errors_of(const Denoiser& denoiser, const GaussianMixture& prior, arma::uword n_rx,
                         arma::uword n_tx) {
  const double work =
      static_cast<double>(prior.n_components()) * std::pow(static_cast<double>(prior.n_h()), 2.0);
  // Enough for 2 % of an error, and no minutes for large mixtures.
  const auto n = static_cast<arma::uword>(std::clamp(2e8 / work, 64.0, 2000.0));
  Rng rng(1, {Purpose::validation, 2000});
  return measure_errors(denoiser, samples_in_memory(draw(prior, n, rng), n_rx, n_tx),
                        arma::logspace(-5.0, 2.6, 30), 1, ErrorDetail::angular);
}

/// What denoises, and what is known of it.
struct PriorInUse {
  std::shared_ptr<const Denoiser> denoiser;
  std::shared_ptr<const NetworkModel> model;  ///< null for exact priors
  /// Its errors per level: those of the model, measured once on exact priors; empty when not known.
  std::function<std::shared_ptr<const DenoiserErrors>()> errors;

  std::shared_ptr<const DenoiserErrors> need_errors(const std::string& who) const {
    const std::shared_ptr<const DenoiserErrors> known = errors();
    if (known->empty()) {
      refuse(who +
             ": the model does not know its errors; run 'chest calibrate MODEL --channels "
             "FILE'");
    }
    return known;
  }
};

const CatalogOption prior_option{"prior", "network|gmm|lmmse",
                                 "what denoises: the fitted network (default), or exactly"};
const CatalogOption bfloat16_option{
    "bfloat16", "", "convolve in bfloat16, up to 5 times faster where the processor can"};

PriorInUse prior_in_use(const Maker& maker) {
  const std::string text = maker.spec().text;
  const std::string prior = maker.text("prior", "network");
  if (prior != "network" && maker.has("bfloat16")) {
    refuse(text + ": bfloat16 is for prior=network; an exact prior is computed in double");
  }
  const EstimatorContext& context = maker.context();
  ModelStore::Impl& models = maker.models();
  PriorInUse use;
  // Some estimators ask for the errors, most do not: measured when the first one does.
  const auto measured = [&](auto prior_of) {
    return [&models, &context, denoiser = use.denoiser, prior_of] {
      return models.kept(models.errors, denoiser, [&] {
        return std::make_shared<const DenoiserErrors>(
            errors_of(*denoiser, prior_of(), context.n_rx, context.n_tx));
      });
    };
  };
  if (prior == "network") {
    const std::filesystem::path file = maker.need_model(
        "dmse", "chest fit dmse --channels FILE --out MODEL' or 'chest import WEIGHTS --out MODEL");
    use.model = models.network_model(file);
    NetworkRunOptions run;
    run.device = context.device;
    run.bfloat16 = maker.has("bfloat16");
    const std::string place = context.device + (run.bfloat16 ? " bfloat16" : "");
    use.denoiser = models.kept(models.denoisers, {file, place}, [&] {
      return std::shared_ptr<const Denoiser>(make_network_denoiser(*use.model, run));
    });
    use.errors = [model = use.model] {
      const Calibration& calibration = model->calibration;
      if (!model->errors.empty() || calibration.empty()) {
        return std::shared_ptr<const DenoiserErrors>(model, &model->errors);
      }
      // A model of before the errors were measured: those of its few calls are near.
      const arma::vec levels = arma::exp10(-0.1 * calibration.snr_db);
      return std::make_shared<const DenoiserErrors>(
          DenoiserErrors{arma::reverse(levels), arma::reverse(calibration.mse)});
    };
  } else if (prior == "gmm") {
    const auto [mixture, file] = maker.need_mixture();
    const auto make = [&m = *mixture] {
      return std::shared_ptr<const Denoiser>(make_gaussian_mixture_denoiser(m));
    };
    use.denoiser = file.empty() ? models.kept(models.prior_denoisers, mixture, make)
                                : models.kept(models.denoisers, {file, ""}, make);
    use.errors = measured([mixture = mixture] { return *mixture; });
  } else if (prior == "lmmse") {
    const std::filesystem::path file =
        maker.need_model("lmmse", "chest fit lmmse --channels FILE --out MODEL");
    const auto model = models.lmmse_model(file);
    use.denoiser = models.kept(models.denoisers, {file, ""}, [&] {
      return std::shared_ptr<const Denoiser>(make_gaussian_denoiser(model->C));
    });
    use.errors = measured([model] {
      const arma::cx_mat mean(model->C.n_rows, 1, arma::fill::zeros);
      return GaussianMixture{arma::vec{1.0}, mean, {model->C}};
    });
  } else {
    refuse(text + ": prior '" + prior + "' is unknown" +
           did_you_mean(prior, {"network", "gmm", "lmmse"}) + "; there are network, gmm and lmmse");
  }
  return use;
}

/// An estimator that another one uses, on the same prior where it needs one.
std::shared_ptr<const Estimator> other_estimator(const Maker& maker, const std::string& text) {
  NamedOptions spec = parse_named_options(text);
  const CatalogEntry* entry = nullptr;
  for (const CatalogEntry& each : estimator_catalog()) {
    if (each.name == spec.name) entry = &each;
  }
  if (entry && entry->model == "dmse") {
    if (spec.name == maker.spec().name || spec.name == "dmse") {
      refuse(maker.spec().text + ": " + spec.name + " cannot be used by " + maker.spec().name);
    }
    spec.file = maker.spec().file;
    for (const CatalogOption& option : entry->options) {
      if ((option.name == "prior" || option.name == "bfloat16") && maker.has(option.name)) {
        spec.options[option.name] = maker.text(option.name, "");
      }
    }
  }
  return make_estimator(spec, maker.context());
}

// Options that walks share.
const CatalogOption levels_option{"levels", "N", "noise levels of the walk"};
const std::vector<CatalogOption> walk_options{
    levels_option,
    {"walk", "mean|ancestral|ode|heun|fresh|none", "how it goes from level to level"},
    {"start", "NAME", "starts from the estimate of another estimator: sbl, omp, lmmse"},
    {"from", "X", "first level, tau2 (default 400; 25 for fresh and none; 1 with a start)"},
    {"to", "X", "last level, tau2 (default 1e-4)"},
    {"runs", "N", "walks that are averaged (default 1)"},
    {"inner", "N", "repeats per level (default 1)"},
    {"zeta", "X", "share of new noise of walk=fresh, 0 .. 1 (default 1)"},
    {"grid", "log|karras", "spacing of the levels (default log)"},
    {"corrector", "N", "Langevin steps after each step (default 0)"},
    {"churn", "X", "noise put in before each step of ode and heun (default 0)"},
    prior_option,
    bfloat16_option};

std::vector<CatalogOption> with_walk_options(std::vector<CatalogOption> own) {
  own.insert(own.end(), walk_options.begin(), walk_options.end());
  return own;
}

std::unique_ptr<Estimator> walk_with(const Maker& maker, std::unique_ptr<Guidance> guidance,
                                     WalkUpdate update, arma::uword n_levels) {
  WalkOptions walk;
  walk.update = maker.has("walk") ? walk_update_from_string(maker.text("walk", "")) : update;
  if (walk.update == WalkUpdate::langevin && update != WalkUpdate::langevin) {
    refuse(maker.spec().text + ": walk=langevin is the estimator score");
  }
  walk.n_levels = maker.has("levels") ? maker.count("levels", 100'000) : n_levels;
  if (walk.update == WalkUpdate::fresh || walk.update == WalkUpdate::none) walk.tau2_first = 25.0;
  if (maker.has("start")) {
    walk.start = other_estimator(maker, maker.text("start", ""));
    walk.tau2_first = 1.0;
  }
  walk.tau2_first = maker.number("from", walk.tau2_first);
  walk.tau2_last = maker.number("to", walk.tau2_last);
  if (maker.has("runs")) walk.n_runs = maker.count("runs", 10'000);
  if (maker.has("inner")) walk.inner = maker.count("inner", 10'000);
  if (maker.has("corrector")) walk.n_corrector = maker.count("corrector", 10'000);
  walk.zeta = maker.number("zeta", walk.zeta);
  walk.churn = maker.number("churn", walk.churn);
  const std::string grid = maker.text("grid", "log");
  if (grid != "log" && grid != "karras") {
    refuse(maker.spec().text + ": grid is '" + grid + "', it must be log or karras");
  }
  if (grid == "karras") walk.grid = WalkGrid::karras;
  if (update == WalkUpdate::langevin) {
    walk.inner = maker.has("inner") ? walk.inner : 3;
    walk.langevin_step = maker.number("step", walk.langevin_step);
    walk.langevin_noise = maker.number("noise", 0.01);
  } else if (walk.n_corrector > 0) {
    walk.langevin_step = 0.2;
  }
  return make_walk(std::move(guidance), walk);
}

std::unique_ptr<Estimator> proximal_walk(const Maker& maker, const ProximalOptions& options) {
  return walk_with(maker,
                   make_proximal_guidance(maker.context().A, prior_in_use(maker).denoiser, options),
                   WalkUpdate::mean, 20);
}

std::unique_ptr<Estimator> make_diffpir_row(const Maker& maker) {
  ProximalOptions options;
  options.variance.lambda = maker.number("lambda", 1.0);
  return proximal_walk(maker, options);
}

std::unique_ptr<Estimator> make_ddnm_row(const Maker& maker) {
  ProximalOptions options;
  options.noise_free = true;
  return proximal_walk(maker, options);
}

std::unique_ptr<Estimator> make_dds_row(const Maker& maker) {
  ProximalOptions options;
  options.dds_steps = maker.has("cg") ? maker.count("cg", 10'000) : 5;
  options.dds_gamma = maker.number("gamma", 0.0);
  return proximal_walk(maker, options);
}

std::unique_ptr<Estimator> make_dmps_row(const Maker& maker) {
  return walk_with(maker, make_flat_guidance(maker.context().A, prior_in_use(maker).denoiser),
                   WalkUpdate::mean, 20);
}

std::unique_ptr<Estimator> make_pigdm_row(const Maker& maker) {
  GradientOptions options;
  options.legacy_weight = maker.has("legacy-weight");
  return walk_with(maker,
                   make_gradient_guidance(maker.context().A, prior_in_use(maker).denoiser, options),
                   WalkUpdate::ancestral, 50);
}

std::unique_ptr<Estimator> make_dps_row(const Maker& maker) {
  // zeta is DPS's own here.
  const double step = maker.number("step", 0.4);
  return walk_with(maker, make_dps_guidance(maker.context().A, prior_in_use(maker).denoiser, step),
                   WalkUpdate::ancestral, 50);
}

std::unique_ptr<Estimator> make_opc_row(const Maker& maker) {
  const PriorInUse prior = prior_in_use(maker);
  VarianceModel variance;
  variance.kind = variance_kind_from_string(maker.text("variance", "analytic"));
  variance.lambda = maker.number("lambda", 1.0);
  if (maker.has("above")) {
    variance.above = variance_kind_from_string(maker.text("above", ""));
    variance.switch_tau2 = maker.number("switch", 1.0);
  } else if (maker.has("switch")) {
    refuse(maker.spec().text + ": switch needs above, the variance for the levels above it");
  }
  for (const VarianceKind kind : {variance.kind, variance.above}) {
    if (kind == VarianceKind::analytic || kind == VarianceKind::angular ||
        kind == VarianceKind::full) {
      variance.errors = *prior.errors();
    }
  }
  variance.n_rx = maker.context().n_rx;
  variance.n_tx = maker.context().n_tx;
  // The gradient of a network is not symmetric to rounding, and each step costs a pass.
  const bool tweedie =
      variance.kind == VarianceKind::tweedie || variance.kind == VarianceKind::tweedie_proper;
  variance.cg_steps = maker.has("cg") ? maker.count("cg", 10'000) : prior.model && tweedie ? 5 : 0;
  const std::string type = maker.text("type", "2");
  if (type != "1" && type != "2") {
    refuse(maker.spec().text + ": type is '" + type + "', it must be 1 (gradient) or 2 (proximal)");
  }
  std::unique_ptr<Guidance> guidance;
  if (type == "1") {
    GradientOptions options;
    options.variance = variance;
    guidance = make_gradient_guidance(maker.context().A, prior.denoiser, options);
  } else {
    ProximalOptions options;
    options.variance = variance;
    guidance = make_proximal_guidance(maker.context().A, prior.denoiser, options);
  }
  return walk_with(maker, std::move(guidance), WalkUpdate::mean, 20);
}

std::unique_ptr<Estimator> make_flowchef_row(const Maker& maker) {
  return walk_with(maker,
                   make_skip_gradient_guidance(maker.context().A, prior_in_use(maker).denoiser,
                                               maker.number("step", 0.0)),
                   WalkUpdate::ode, 50);
}

std::unique_ptr<Estimator> make_score_row(const Maker& maker) {
  return walk_with(maker, make_flat_guidance(maker.context().A, prior_in_use(maker).denoiser, true),
                   WalkUpdate::langevin, 50);
}

std::unique_ptr<Estimator> make_red_diff_row(const Maker& maker) {
  RedDiffOptions options;
  if (maker.has("iterations")) options.n_iterations = maker.count("iterations", 100'000);
  options.lambda = maker.number("lambda", options.lambda);
  options.learning_rate = maker.number("rate", options.learning_rate);
  return make_red_diff(maker.context().A, prior_in_use(maker).denoiser, options);
}

std::unique_ptr<Estimator> make_coarse_to_fine_row(const Maker& maker) {
  CoarseToFineOptions options;
  if (maker.has("iterations")) options.most_iterations = maker.count("iterations", 100'000);
  options.step = maker.number("step", options.step);
  options.noise = maker.number("noise", options.noise);
  options.last_tau = maker.number("last", options.last_tau);
  return make_coarse_to_fine(maker.context().A, prior_in_use(maker).denoiser, options);
}

std::unique_ptr<Estimator> make_smc_row(const Maker& maker) {
  const PriorInUse prior = prior_in_use(maker);
  ParticleOptions options;
  if (maker.has("particles")) options.n_particles = maker.count("particles", 100'000);
  if (maker.has("levels")) options.n_levels = maker.count("levels", 100'000);
  options.potential = maker.has("potential")
                          ? particle_potential_from_string(maker.text("potential", ""))
                      : prior.model ? ParticlePotential::isotropic
                                    : ParticlePotential::tweedie;
  return make_particles(maker.context().A, prior.denoiser, options);
}

std::unique_ptr<Estimator> make_ep_row(const Maker& maker) {
  const PriorInUse prior = prior_in_use(maker);
  EpOptions options;
  if (maker.has("iterations")) options.n_iterations = maker.count("iterations", 100'000);
  options.damping = maker.number("damping", options.damping);
  const std::string fallback = maker.text("fallback", "diffpir");
  if (fallback != "none") options.fallback = other_estimator(maker, fallback);
  options.errors = *prior.need_errors(maker.spec().text);
  return make_ep(maker.context().A, prior.denoiser, options);
}

/// The solver that the model's calibration names at each noise level.
class ChosenSolver final : public Estimator {
 public:
  ChosenSolver(SolverChoice choice, std::map<std::string, std::shared_ptr<const Estimator>> solvers)
      : choice_(std::move(choice)), solvers_(std::move(solvers)) {}

  using Estimator::estimate;

  std::string name() const override { return "dmse"; }
  void estimate(const Observation& observation, Estimate& out) const override {
    const bool level = observation.sigma2 > 0.0 && std::isfinite(observation.sigma2);
    at(level ? observation.sigma2 : 1.0).estimate(observation, out);
  }
  std::string warning(double sigma2) const override { return at(sigma2).warning(sigma2); }
  std::string method(double sigma2) const override { return choice_.at(sigma2); }

 private:
  const Estimator& at(double sigma2) const { return *solvers_.at(choice_.at(sigma2)); }

  SolverChoice choice_;
  std::map<std::string, std::shared_ptr<const Estimator>> solvers_;
};

/// What dmse runs on pilots that do not decorrelate where no calibration says otherwise.
constexpr const char* default_solver = "ep";

std::unique_ptr<Estimator> make_chosen_solver(const Maker& maker, const PriorInUse& prior) {
  SolverChoice choice{"", {}, {0.0}, {default_solver}, {1.0}};
  const arma::cx_mat* P = maker.context().A->pilots();
  if (prior.model && P) {
    if (const SolverChoice* found = prior.model->solvers.nearest(*P)) choice = *found;
  }
  std::map<std::string, std::shared_ptr<const Estimator>> solvers;
  for (const std::string& solver : choice.solvers) {
    if (solvers.count(solver)) continue;
    solvers[solver] = other_estimator(maker, solver);
  }
  return std::make_unique<ChosenSolver>(std::move(choice), std::move(solvers));
}

std::unique_ptr<Estimator> make_dmse_row(const Maker& maker) {
  const ObservationOperator& A = *maker.context().A;
  const std::string text = maker.spec().text;
  // What can be wrong without a model is said before one is loaded.
  for (const char* option : {"steps", "published", "probes"}) {
    if (maker.has(option)) decorrelation_gain("dmse:" + std::string(option), &A);
  }
  DmseOptions options;
  if (maker.has("published")) {
    if (maker.has("steps")) refuse(text + ": published and steps exclude each other");
    const std::string which = maker.text("published", "");
    if (!which.empty() && which != "full") {
      refuse(text + ": published is '" + which + "', it stands alone or is 'full'");
    }
    options.rule = which.empty() ? ReverseRule::published : ReverseRule::published_full;
  }
  if (maker.has("steps")) {
    options.rule = ReverseRule::fixed_steps;
    options.n_steps = maker.count("steps", 100'000);
  }
  if (maker.has("probes")) options.n_probes = maker.count("probes", 10'000);
  // An exact prior has its conditional mean in closed form for any pilots.
  if (!A.gram_scale() && maker.text("prior", "") == "gmm") return make_gmm_row(maker);
  if (!A.gram_scale() && maker.text("prior", "") == "lmmse") return make_lmmse_row(maker);
  const PriorInUse prior = prior_in_use(maker);
  if (!A.gram_scale()) return make_chosen_solver(maker, prior);
  if (prior.model) {
    options.calibration = prior.model->calibration;
    options.schedule = prior.model->schedule;
  } else if (options.rule == ReverseRule::calibrated) {
    // One call of an exact denoiser is the conditional mean; no further call can better it.
    options.n_steps = 1;
  }
  return make_dmse(maker.context().A, prior.denoiser, options);
}

std::unique_ptr<Estimator> make_omp_row(const Maker& maker) {
  const EstimatorContext& context = maker.context();
  OmpOptions options;
  if (maker.has("oversampling")) options.oversampling = maker.count("oversampling", 64);
  if (maker.has("sparsity")) options.sparsity = maker.count("sparsity", 100'000);
  options.false_discovery = maker.number("false_discovery", options.false_discovery);
  if (maker.has("sparsity") && maker.has("false_discovery")) {
    refuse(maker.spec().text + ": sparsity and false_discovery exclude each other");
  }
  return make_omp(context.A, context.n_rx, context.n_tx, options);
}

std::unique_ptr<Estimator> make_sbl_row(const Maker& maker) {
  const EstimatorContext& context = maker.context();
  SblOptions options;
  if (maker.has("iterations")) options.iterations = maker.count("iterations", 100'000);
  if (maker.has("oversampling")) options.oversampling = maker.count("oversampling", 64);
  options.penalty = maker.number("penalty", options.penalty);
  return make_sbl(context.A, context.n_rx, context.n_tx, options);
}

std::unique_ptr<Estimator> make_vae_row(const Maker& maker) {
  const auto file = maker.need_model("vae", "chest fit vae --channels FILE --out MODEL");
  return make_vae(maker.context().A, *maker.models().vae_model(file));
}

// The noise variance that the estimator works with, other than the true one.
const CatalogOption snr_option{"snr", "unknown|+X|-X",
                               "estimates the noise variance itself, or is told an SNR X dB off"};

std::unique_ptr<Estimator> with_other_snr(const Maker& maker,
                                          std::unique_ptr<Estimator> estimator) {
  std::string text = maker.text("snr", "");
  if (text == "unknown") return make_noise_blind(maker.context().A, std::move(estimator));
  const bool signed_number = text.size() > 1 && (text[0] == '+' || text[0] == '-');
  if (!signed_number) {
    refuse(maker.spec().text + ": snr is '" + text +
           "', it must be unknown, or an error in dB with its sign: +3, -3");
  }
  if (text[0] == '+') text.erase(0, 1);
  return make_misinformed(std::move(estimator), to_number(text, maker.spec().name + ": snr"));
}

struct Row {
  CatalogEntry entry;
  std::unique_ptr<Estimator> (*make)(const Maker&);
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table{
      {{"ls", "least squares, minimum norm when underdetermined", "", {}}, make_ls_row},
      {{"lmmse",
        "linear MMSE with a fitted covariance",
        "lmmse",
        {{"loading", "X", "added to the diagonal of C, relative to its mean (default 0)"},
         snr_option}},
       make_lmmse_row},
      {{"genie", "LMMSE with the true covariance of every channel: a bound, not a method", "", {}},
       make_genie_row},
      {{"gmm",
        "conditional mean of a Gaussian mixture, from a model or from the channel file",
        "gmm",
        {snr_option}},
       make_gmm_row},
      {{"omp",
        "orthogonal matching pursuit over angles, without a fitted model",
        "",
        {{"oversampling", "N", "angles of the dictionary per antenna (default 4)"},
         {"sparsity", "N", "takes N atoms, whatever the noise"},
         {"false_discovery", "P", "part of the atoms that may be noise (default 0.05)"}}},
       make_omp_row},
      {{"sbl",
        "sparse Bayesian learning of the power over angles, without a fitted model",
        "",
        {{"iterations", "N", "updates of the variances (default 10)"},
         {"oversampling", "N", "angles per antenna (default 4)"},
         {"penalty", "X", "how sparse: 0 is maximum likelihood (default 0.5)"},
         snr_option}},
       make_sbl_row},
      {{"dmse",
        "diffusion prior: one to three calls for orthogonal pilots, otherwise the calibrated "
        "solver",
        "dmse",
        {{"steps", "N", "N calls on the log-SNR grid; 1 is Tweedie's formula"},
         {"published", "", "the letter's loop, as its code runs it (=full: as its equation reads)"},
         prior_option,
         {"probes", "N", "predicts the error of a prior that does not, from N random directions"},
         bfloat16_option,
         snr_option}},
       make_dmse_row},
      {{"ep",
        "expectation propagation between pilots and prior: any pilots, no gradient",
        "dmse",
        {{"iterations", "N", "calls (default 20)"},
         {"damping", "X", "share of the new messages (default 0.5)"},
         {"fallback", "NAME|none", "for channels that do not settle (default diffpir)"},
         prior_option,
         bfloat16_option}},
       make_ep_row},
      {{"diffpir", "proximal data steps between denoising steps (DiffPIR)", "dmse",
        with_walk_options({{"lambda", "X", "the prior's weight (default 1)"}})},
       make_diffpir_row},
      {{"ddnm", "replaces what the pilots saw: for data without noise (DDNM)", "dmse",
        walk_options},
       make_ddnm_row},
      {{"dds", "conjugate-gradient data steps (DDS)", "dmse",
        with_walk_options({{"cg", "N", "steps per level (default 5)"},
                           {"gamma", "X", "constant weight of the data (default tau2 / sigma2)"}})},
       make_dds_row},
      {{"dmps", "likelihood under a flat prior (DMPS)", "dmse", walk_options}, make_dmps_row},
      {{"pigdm", "pseudo-inverse guidance through the network's gradient (PiGDM)", "dmse",
        with_walk_options({{"legacy-weight", "", "the extra weight of the published code"}})},
       make_pigdm_row},
      {{"dps", "gradient of the residual's norm (DPS)", "dmse",
        with_walk_options({{"step", "X", "its zeta (default 0.4)"}})},
       make_dps_row},
      {{"opc", "guidance with a covariance of choice (optimal posterior covariance)", "dmse",
        with_walk_options(
            {{"type", "1|2", "gradient or proximal (default 2)"},
             {"variance", "zero|unit|scaled|analytic|angular|full|head|tweedie|tweedie-proper",
              "covariance of h given z (default analytic)"},
             {"lambda", "X", "of variance=scaled (default 1)"},
             {"above", "VARIANCE", "another one for the levels above switch"},
             {"switch", "X", "tau2 of that switch (default 1)"},
             {"cg", "N", "conjugate-gradient steps (default: to the end; 5 for a network)"}})},
       make_opc_row},
      {{"flowchef", "steers an ODE by the data's gradient, not through the network (FlowChef)",
        "dmse",
        with_walk_options(
            {{"step", "X", "its strength (default 0.9 / (s_max^2 (1 + 5 sigma2)))"}})},
       make_flowchef_row},
      {{"score",
        "annealed Langevin with a scalar likelihood (score-based channel estimation)",
        "dmse",
        {levels_option,
         {"inner", "N", "steps per level (default 3)"},
         {"step", "X", "step over tau2 (default 0.15)"},
         {"noise", "X", "noise of the steps; 1 samples (default 0.01)"},
         {"runs", "N", "walks that are averaged (default 1)"},
         prior_option,
         bfloat16_option}},
       make_score_row},
      {{"red-diff",
        "a point fitted to data and denoiser (RED-diff)",
        "dmse",
        {{"iterations", "N", "calls (default 150)"},
         {"lambda", "X", "weight of the prior (default 5 sigma2)"},
         {"rate", "X", "learning rate (default 0.1)"},
         prior_option,
         bfloat16_option}},
       make_red_diff_row},
      {{"coarse-to-fine",
        "stochastic ascent with a denoiser that is not told the noise level",
        "dmse",
        {{"iterations", "N", "at most (default 400)"},
         {"step", "X", "first share of the residual (default 0.05)"},
         {"noise", "X", "1 puts no noise in (default 0.3)"},
         {"last", "X", "residual at which it stops (default 0.02)"},
         prior_option,
         bfloat16_option}},
       make_coarse_to_fine_row},
      {{"smc",
        "weighted particles: a reference for small arrays",
        "dmse",
        {{"particles", "N", "default 16"},
         {"levels", "N", "default 50"},
         {"potential", "tweedie|isotropic|flat",
          "what a particle says of y (default isotropic for networks, else tweedie)"},
         prior_option,
         bfloat16_option}},
       make_smc_row},
      {{"vae",
        "LMMSE with the Gaussian that a fitted variational autoencoder gives for each observation",
        "vae",
        {snr_option}},
       make_vae_row}};
  return table;
}

/// An estimator under the name that the user gave it.
class Named final : public Estimator {
 public:
  Named(std::string name, std::unique_ptr<Estimator> estimator)
      : name_(std::move(name)), estimator_(std::move(estimator)) {}

  using Estimator::estimate;

  std::string name() const override { return name_; }
  void estimate(const Observation& observation, Estimate& out) const override {
    estimator_->estimate(observation, out);
  }
  std::string warning(double sigma2) const override { return estimator_->warning(sigma2); }
  std::string method(double sigma2) const override { return estimator_->method(sigma2); }

 private:
  std::string name_;
  std::unique_ptr<Estimator> estimator_;
};

}  // namespace

const std::vector<CatalogEntry>& estimator_catalog() {
  static const std::vector<CatalogEntry> entries = [] {
    std::vector<CatalogEntry> out;
    for (const Row& row : rows()) out.push_back(row.entry);
    return out;
  }();
  return entries;
}

std::unique_ptr<Estimator> make_estimator(const NamedOptions& spec,
                                          const EstimatorContext& context) {
  std::vector<std::string> names;
  const Row* found = nullptr;
  for (const Row& row : rows()) {
    names.push_back(row.entry.name);
    if (row.entry.name == spec.name) found = &row;
  }
  if (!found) {
    refuse("estimator '" + spec.name + "' is unknown" + did_you_mean(spec.name, names) +
           "; there are " + enumerate(names));
  }
  std::vector<std::string> options;
  for (const CatalogOption& option : found->entry.options) options.push_back(option.name);
  for (const auto& [option, value] : spec.options) {
    if (std::find(options.begin(), options.end(), option) != options.end()) continue;
    refuse(spec.text + ": option '" + option + "' is unknown" + did_you_mean(option, options) +
           "; " + spec.name + " has " + (options.empty() ? "none" : enumerate(options)));
  }
  if (!spec.file.empty() && found->entry.model.empty()) {
    refuse(spec.text + ": " + spec.name + " takes no model file");
  }
  check_given(spec.name, context.A.get());
  if (context.A->n_h() != context.n_rx * context.n_tx) {
    refuse(spec.name + ": the channels are " + array_size(context.n_rx, context.n_tx) + ", A (" +
           context.A->name() + ") is for n_h = " + std::to_string(context.A->n_h()));
  }
  const Maker maker(spec, context);
  std::unique_ptr<Estimator> estimator = found->make(maker);
  if (maker.has(snr_option.name)) estimator = with_other_snr(maker, std::move(estimator));
  return std::make_unique<Named>(spec.text, std::move(estimator));
}

}  // namespace chest
