#include <string>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/grid/grid_genie.hpp>
#include <chest/estimators/grid/grid_lmmse.hpp>
#include <chest/estimators/grid/grid_ls.hpp>
#include <chest/estimators/grid/plane_estimator.hpp>
#include <chest/estimators/linear/genie.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/nn/vae.hpp>
#include <chest/estimators/sparse/omp.hpp>
#include <chest/estimators/sparse/sbl.hpp>

#include "rows.hpp"

namespace chest {
inline namespace v0 {
namespace {

constexpr const char* fit_lmmse_command = "chest fit lmmse --channels FILE --out MODEL";

/// The C of a model of kind lmmse, or else the second moments that a diffusion model keeps.
ChannelCovariance need_covariance(const Maker& maker) {
  const std::string& named = maker.spec().file;
  const bool names_network = !named.empty() && maker.models().look_at(named).kind == "dmse";
  if (names_network || (named.empty() && maker.find_model("lmmse").empty())) {
    const std::string file = maker.find_model("dmse");
    if (!file.empty()) {
      const auto network = maker.models().get<NetworkModel>(
          file, [&] { return std::make_shared<const NetworkModel>(load_network_model(file)); });
      if (!network->second_moments.empty()) return network->second_moments;
      refuse(maker.spec().text + ": " + file +
             " is a diffusion model without second moments; run 'chest calibrate " + file +
             " --channels FILE', or give a model of kind lmmse (" + fit_lmmse_command + ")");
    }
  }
  return maker
      .need("lmmse", fit_lmmse_command, [](const auto& file) { return load_lmmse_model(file); })
      ->C;
}

std::unique_ptr<Estimator> make_lmmse_with(const Maker& maker, const LmmseOptions& options) {
  return make_lmmse(maker.context().A, need_covariance(maker), options);
}

CatalogRow with_snr(CatalogRow row) {
  row.takes_snr = true;
  return row;
}

}  // namespace

void add_grid_options(CatalogRow& row, std::vector<OptionInfo> options) {
  for (OptionInfo& option : options) {
    option.on_grid = true;
    row.entry.options.push_back(std::move(option));
  }
}

MixtureInUse need_mixture(const Maker& maker) {
  const std::string file = maker.find_model("gmm");
  if (!file.empty()) {
    const auto model = maker.models().get<GmmModel>(
        file, [&] { return std::make_shared<const GmmModel>(load_gmm_model(file)); });
    return {std::shared_ptr<const GaussianMixture>(model, &model->prior), file};
  }
  const std::shared_ptr<const GaussianMixture>& prior = maker.context().prior;
  if (!prior) {
    refuse(maker.spec().text +
           ": no mixture is known; give a model of kind gmm with --model MODEL (chest fit gmm), or "
           "channels that hold the mixture that they were drawn from (chest generate gmm)");
  }
  // The store keeps the object alive, so that no other one has its address.
  const std::string key =
      "mixture at " + std::to_string(reinterpret_cast<std::uintptr_t>(prior.get()));
  maker.models().get<GaussianMixture>(key, [&] { return prior; });
  return {prior, key};
}

std::unique_ptr<Estimator> make_lmmse_from(const Maker& maker) {
  return make_lmmse_with(maker, {});
}

std::unique_ptr<Estimator> make_gmm_from(const Maker& maker) {
  return make_gmm(maker.context().A, *need_mixture(maker).mixture);
}

void add_fitted_rows(Catalog& catalog) {
  CatalogRow ls = row("ls", "least squares, minimum norm when underdetermined",
                      [](const Maker& maker) { return make_ls(maker.context().A); });
  add_grid_options(ls, grid_ls_options.describe());
  ls.make_on_grid = [](const Maker& maker) {
    return make_grid_ls(maker.context().A, maker.options(grid_ls_options));
  };
  catalog.add(std::move(ls));
  CatalogRow lmmse = with_snr(row("lmmse", "linear MMSE with a fitted covariance", lmmse_options,
                                  make_lmmse_with, "lmmse"));
  add_grid_options(lmmse, grid_lmmse_options.describe());
  lmmse.make_on_grid = [](const Maker& maker) {
    const LmmseOptions options = maker.options(lmmse_options);
    if (options.diagonal_loading != 0.0) {
      refuse(maker.spec().text + ": loading is for matrices, these channels are grids");
    }
    const GridLmmseOptions on_grid = maker.options(grid_lmmse_options);
    if (on_grid.knows_profile()) {
      if (!maker.spec().file.empty()) {
        refuse(maker.spec().text + ": a known profile takes no model, leave out @" +
               maker.spec().file);
      }
      return make_grid_lmmse(maker.context().A, known_covariances(on_grid, maker.context().grid),
                             on_grid.order);
    }
    maker.need_model("lmmse", fit_lmmse_command);
    return make_grid_lmmse(maker.context().A, *maker.grid_statistics("lmmse"), on_grid);
  };
  catalog.add(std::move(lmmse));
  CatalogRow genie =
      row("genie", "LMMSE with the true covariance of every channel: a bound, not a method",
          [](const Maker& maker) {
            if (!maker.context().has_genie_covariances) {
              refuse(
                  "genie: the channels come without the covariances that they were drawn "
                  "with; generate them with covariances (chest generate scm) or leave genie "
                  "out");
            }
            return make_genie(maker.context().A);
          });
  genie.make_on_grid = [](const Maker& maker) {
    if (!maker.context().grid_covariance) {
      refuse(
          "genie: the channels come without the covariance that they were drawn with; generate "
          "them with it (chest generate tdl or cdl, not --normalise sample) or leave genie out");
    }
    return make_grid_genie(maker.context().A, *maker.context().grid_covariance);
  };
  catalog.add(std::move(genie));
  CatalogRow gmm =
      with_snr(row("gmm", "conditional mean of a Gaussian mixture, fitted or of the channel file",
                   make_gmm_from, "gmm"));
  add_grid_options(gmm, plane_options.describe());
  gmm.has_linear_differences = true;
  catalog.add(std::move(gmm));
  catalog.add(row("omp", "orthogonal matching pursuit over angles, without a fitted model",
                  omp_options, [](const Maker& maker, OmpOptions options) {
                    const EstimatorContext& context = maker.context();
                    options.rx_panel = context.rx_panel;
                    options.is_mixed = context.plane_step > 0.0;
                    return make_omp(context.A, context.n_rx, context.n_tx, options);
                  }));
  catalog.add(with_snr(
      row("sbl", "sparse Bayesian learning of the power over angles, without a fitted model",
          sbl_options, [](const Maker& maker, SblOptions options) {
            const EstimatorContext& context = maker.context();
            options.rx_panel = context.rx_panel;
            options.is_mixed = context.plane_step > 0.0;
            const PanelShape& panel = options.rx_panel;
            const bool is_panel = panel.rows > 1 && panel.columns > 1 && !options.is_mixed;
            if (is_panel && !maker.spec().has("oversampling")) {
              options.oversampling = SblOptions::panel_oversampling;
            }
            return make_sbl(context.A, context.n_rx, context.n_tx, options);
          })));
  catalog.add(with_snr(row(
      "vae", "LMMSE with a Gaussian per observation, from a variational autoencoder",
      [](const Maker& maker) {
        const auto model = maker.need("vae", "chest fit vae --channels FILE --out MODEL",
                                      [](const auto& file) { return load_vae_model(file); });
        return make_vae(maker.context().A, *model);
      },
      "vae")));
}

}  // namespace v0
}  // namespace chest
