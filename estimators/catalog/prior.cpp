#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/error.hpp>
#include <chest/estimators/inference/precision.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>
#include <chest/text.hpp>

#include "rows.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// Errors of an exact denoiser on channels drawn from its own prior.
DenoiserErrors errors_of(const Denoiser& denoiser, const GaussianMixture& prior, arma::uword n_rx,
                         arma::uword n_tx, ErrorDetail detail) {
  const double work =
      static_cast<double>(prior.n_components()) * std::pow(static_cast<double>(prior.n_h()), 2.0);
  // Enough channels for 2 % of an error, and no minutes for large mixtures.
  constexpr double most_work = 2e8, fewest = 64.0, most = 2000.0;
  auto n = static_cast<arma::uword>(std::clamp(most_work / work, fewest, most));
  // A covariance wants more channels than it has rows.
  if (detail == ErrorDetail::full) n = std::max(n, 4 * prior.n_h());
  // The levels that solvers walk through: -26 to 50 dB.
  constexpr double log10_last = -5.0, log10_first = 2.6;
  constexpr arma::uword n_levels = 30;
  Rng rng(1, {Purpose::validation, 2000});
  return measure_errors(denoiser, samples_in_memory(draw(prior, n, rng), n_rx, n_tx),
                        arma::logspace(log10_last, log10_first, n_levels), 1, detail);
}

struct NetworkInUse {
  std::string file;
  std::shared_ptr<const NetworkModel> model;
  NetworkRunOptions run;
};

NetworkInUse find_network(const Maker& maker, const PriorOptions& options) {
  NetworkInUse use;
  use.file = maker.need_model(
      "dmse", "chest fit dmse --channels FILE --out MODEL' or 'chest import WEIGHTS --out MODEL");
  use.model = maker.models().get<NetworkModel>(
      use.file, [&] { return std::make_shared<const NetworkModel>(load_network_model(use.file)); });
  const arma::uword n_rx = maker.context().n_rx, n_tx = maker.context().n_tx;
  if (!use.model->arrays.empty() && (use.model->n_rx != n_rx || use.model->n_tx != n_tx)) {
    const std::string key = use.file + " for " + std::to_string(n_rx) + "x" + std::to_string(n_tx);
    use.model = maker.models().get<NetworkModel>(key, [&] {
      return std::make_shared<const NetworkModel>(for_array(*use.model, n_rx, n_tx));
    });
    use.file = key;
  }
  if (maker.spec().name != "dmse") {
    check_is_prior(*use.model, maker.spec().text + ": " + use.file);
  }
  use.run.device = maker.context().device;
  use.run.engine = maker.context().engine;
  if (options.bfloat16 && maker.spec().has("precision") &&
      options.precision != NetworkPrecision::bfloat16) {
    refuse(maker.spec().text + ": bfloat16 and precision=" + to_string(options.precision) +
           " exclude each other");
  }
  use.run.precision = options.bfloat16 ? NetworkPrecision::bfloat16 : options.precision;
  use.run = choose_precision(*use.model, use.run);
  return use;
}

PriorInUse network_in_use(const Maker& maker, const PriorOptions& options) {
  const auto [file, model, chosen] = find_network(maker, options);
  PriorInUse use;
  use.model = model;
  NetworkRunOptions run = chosen;
  std::string key = file + " on " + run.device + " by " + engine_in_use(run) +
                    (run.engine == NetworkEngine::automatic ? ", with derivatives" : "");
  if (maker.context().plane_step > 0.0) {
    run.n_columns = maker.context().n_tx;
    run.step = maker.context().plane_step;
    key += " for " + std::to_string(run.n_columns) + " columns, " + std::to_string(run.step);
  }
  if (options.which.empty()) {
    use.denoiser = maker.models().get<Denoiser>(key, [&] {
      return std::shared_ptr<const Denoiser>(make_network_denoiser(*use.model, run));
    });
  } else {
    const arma::uword which = to_count(options.which, maker.spec().text + ": class");
    key += " of class " + options.which + ", guidance " + std::to_string(options.guidance);
    use.denoiser = maker.models().get<Denoiser>(key, [&] {
      return std::shared_ptr<const Denoiser>(
          make_class_denoiser(*use.model, which, options.guidance, run));
    });
  }
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
  use.full_errors = [model = use.model] {
    return std::shared_ptr<const DenoiserErrors>(model, &model->errors);
  };
  return use;
}

}  // namespace

std::string Catalog::engine(const NamedOptions& spec, const EstimatorContext& context) const {
  if (entry(spec.name).model != "dmse") return {};
  const Maker maker(*this, spec, context);
  const PriorOptions options = maker.options(prior_options);
  if (options.kind != PriorKind::network) return {};
  return engine_in_use(find_network(maker, options).run);
}

PriorInUse prior_in_use(const Maker& maker) {
  const PriorOptions options = maker.options(prior_options);
  if (options.kind == PriorKind::network) return network_in_use(maker, options);
  PriorInUse use;
  std::string key;
  std::shared_ptr<const GaussianMixture> prior;
  ModelStore& models = maker.models();
  if (options.kind == PriorKind::gmm) {
    const MixtureInUse found = need_mixture(maker);
    key = found.key;
    prior = found.mixture;
    use.denoiser = models.get<Denoiser>(key, [&] {
      return std::shared_ptr<const Denoiser>(make_gaussian_mixture_denoiser(*prior));
    });
  } else {
    key = maker.need_model("lmmse", "chest fit lmmse --channels FILE --out MODEL");
    const auto model = models.get<LmmseModel>(
        key, [&] { return std::make_shared<const LmmseModel>(load_lmmse_model(key)); });
    prior = std::make_shared<const GaussianMixture>(gaussian_prior(model->C));
    use.denoiser = models.get<Denoiser>(key, [&] {
      return std::shared_ptr<const Denoiser>(prior->kind() == MixtureCovariance::full
                                                 ? make_gaussian_denoiser(prior->covariances[0])
                                                 : make_gaussian_mixture_denoiser(*prior));
    });
  }
  // Some estimators ask for the errors, most do not: measured when the first one does.
  const auto measured = [&](ErrorDetail detail) {
    return
        [&models, detail, key = key + (detail == ErrorDetail::full ? " with covariances" : ""),
         denoiser = use.denoiser, prior, n_rx = maker.context().n_rx, n_tx = maker.context().n_tx] {
          return models.get<DenoiserErrors>(key, [&] {
            return std::make_shared<const DenoiserErrors>(
                errors_of(*denoiser, *prior, n_rx, n_tx, detail));
          });
        };
  };
  use.errors = measured(ErrorDetail::angular);
  use.full_errors = measured(ErrorDetail::full);
  return use;
}

DenoiserErrors need_errors(const Maker& maker, const PriorInUse& prior) {
  const std::shared_ptr<const DenoiserErrors> known = prior.errors();
  if (known->empty()) {
    refuse(maker.spec().text +
           ": the model does not know its errors; run 'chest calibrate MODEL --channels FILE'");
  }
  return *known;
}

}  // namespace v0
}  // namespace chest
