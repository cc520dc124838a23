#pragma once

#include <armadillo>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <chest/estimators/catalog/model_store.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/network/run_options.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/grid.hpp>
#include <chest/grid_covariance.hpp>
#include <chest/observation.hpp>
#include <chest/spec.hpp>

namespace chest {
inline namespace v0 {

class Catalog;
class Maker;

/// What estimators are made from.
struct EstimatorContext {
  std::shared_ptr<const ObservationOperator> A;
  arma::uword n_rx = 0, n_tx = 0;  ///< of the channels
  GridAxes grid = {};              ///< of the channels
  /// Subcarriers from one column to the next, where the channels are planes [n_rx, n_tx] of a grid of
  /// this spacing (make_plane_estimator()); 0: they are matrices or grids.
  double plane_step = 0.0;
  PanelShape rx_panel = {};  ///< the receive antennas, where they are a panel
  /// The panel that planes are mixed for (panel_mix()); that of matrices and grids is not.
  PanelShape mixed_panel() const { return plane_step > 0.0 ? rx_panel : PanelShape{}; }
  std::shared_ptr<ModelStore> models;  ///< null: no model files
  /// The mixture that the channels were drawn from, where it is known; else null. Contexts of one
  /// ModelStore that share this object share what is prepared from it.
  std::shared_ptr<const GaussianMixture> prior;
  std::string device = "cpu";                       ///< where networks run
  NetworkEngine engine = NetworkEngine::automatic;  ///< and what on
  bool has_genie_covariances = false;               ///< Observation::genie will be filled
  /// The covariance that channels on a grid were drawn with, where it is known; else null.
  std::shared_ptr<const GridCovariance> grid_covariance = {};
};

/// One estimator as people read it.
struct CatalogEntry {
  std::string name;
  std::string summary;  ///< one line
  /// Kind of the model file that it needs: "lmmse", "gmm", "dmse", "vae", or a kind of your own; empty:
  /// none.
  std::string model;
  std::vector<OptionInfo> options;
};

/// An entry and how its estimator is made.
struct CatalogRow {
  CatalogEntry entry;
  /// Reads its options from maker.spec(); everything else that can be wrong is checked before.
  std::function<std::unique_ptr<Estimator>(const Maker&)> make;
  /// The same for the pilots of a grid. Empty: `make` is asked for an estimator of planes, antennas x
  /// subcarriers (make_plane_estimator()).
  std::function<std::unique_ptr<Estimator>(const Maker&)> make_on_grid = {};
  /// On a grid, its prior is one of channels that their changes over time do not follow.
  bool has_linear_differences = false;
  /// On a grid, it runs linear MMSE on pilots that its model's planes are not for, and where the model's
  /// calibration found that to be better.
  bool chooses_linear = false;
  /// On a grid, it is the mean with sparse Bayesian learning as far as its model's calibration, or the option
  /// `sparse`, says.
  bool takes_sparse = false;
  /// It may be told to estimate the noise variance itself, or to believe a wrong one: option snr.
  bool takes_snr = false;
};

/// The table of estimators by name: a value, to which rows of your own can be added.
///
///   Catalog catalog = built_in();
///   catalog.add(row("shrunk", "least squares shrunk by one scalar", shrunk_options,
///                   [](const Maker& maker, const ShrunkOptions& options) {
///                     return make_shrunk(maker.context().A, options);
///                   }));
///   return cli::run(argc, argv, catalog);
class Catalog {
 public:
  /// @throws Error(invalid_argument) if the name is empty or taken
  void add(CatalogRow row);

  std::vector<CatalogEntry> entries() const;
  std::vector<std::string> names() const;
  /// The entry of a name.
  /// @throws Error(invalid_argument) if there is none; the nearest is suggested
  const CatalogEntry& entry(const std::string& name) const;
  /// Splits a list of names with options, "ls,dmse:published,bfloat16,lmmse".
  std::vector<NamedOptions> parse(const std::string& list) const;
  /// {"steps": "1", ...}: the options that `spec` runs with, defaults included, for provenance.
  /// @throws Error(invalid_argument) as entry()
  std::string options_json(const NamedOptions& spec) const;
  /// What the network of `spec` runs on (engine_in_use()); empty: it has none.
  /// @throws Error(invalid_argument) as entry(), or if the engine cannot do what `spec` asks for, or the
  ///         model is missing
  std::string engine(const NamedOptions& spec, const EstimatorContext& context) const;

  /// Makes the estimator that `spec` names: "ls", "dmse:steps=1@model.h5". Its name() is spec.text.
  /// @throws Error(invalid_argument) if estimator or option is unknown (the nearest is suggested), a
  ///         value is out of range or has no effect, no model or several of the kind were given, its
  ///         sizes are not those of the channels, or the estimator cannot work on A
  /// @throws Error(io), Error(format) if a model cannot be read
  std::unique_ptr<Estimator> make(const NamedOptions& spec, const EstimatorContext& context) const;

 private:
  const CatalogRow& find(const std::string& name) const;
  std::unique_ptr<Estimator> make_from(const CatalogRow& found, const Maker& maker) const;
  std::unique_ptr<Estimator> make_of_planes(const CatalogRow& found, const Maker& maker) const;

  std::vector<CatalogRow> rows_;
};

/// Every estimator of chest.
Catalog built_in();

/// built_in().make(spec, context)
std::unique_ptr<Estimator> make_estimator(const NamedOptions& spec,
                                          const EstimatorContext& context);

/// One Catalog::make() at work: the spec, what it may use, and the errors that all rows can raise.
class Maker {
 public:
  Maker(const Catalog& catalog, const NamedOptions& spec, const EstimatorContext& context);

  const NamedOptions& spec() const { return spec_; }
  const EstimatorContext& context() const { return context_; }
  /// The context with the models in use, for estimators that this one is made of.
  EstimatorContext shared_context() const;
  /// Never null.
  ModelStore& models() const { return *models_; }
  const Catalog& catalog() const { return catalog_; }

  /// What the spec says of a table's options; all else has its default.
  template <class Options, class... Entries>
  Options options(const OptionTable<Options, Entries...>& table, Options defaults = {}) const {
    table.read(spec_, defaults, [this](const std::string&, const std::string& text) {
      return other_estimator(text);
    });
    return defaults;
  }

  /// An estimator that this one uses, on the same prior where it needs one.
  std::shared_ptr<const Estimator> other_estimator(const std::string& text) const;
  /// The same of any name: what a model's calibration says to run.
  std::shared_ptr<const Estimator> on_same_prior(NamedOptions other) const;

  /// The model file of this kind: the one that the spec names, or the only one given; empty when
  /// none was given. Its sizes are those of the channels, and on a grid it is a model of grids.
  /// @throws Error(invalid_argument) if it is of another kind or size, or several were given
  std::string find_model(const std::string& kind) const;
  /// The same, where one must be there.
  /// @param how  commands that make one, for the message
  std::string need_model(const std::string& kind, const std::string& how) const;
  /// What the model of this kind says of the grid, at the spacing of the channels; of a kind that is
  /// empty, what any model says that was given. Null: none was given. A model of one antenna is for any
  /// number of them, each by itself; its R_rx stays that of one.
  std::shared_ptr<const GridStatistics> grid_statistics(const std::string& kind) const;
  /// The model of this kind, read once for all estimators of the ModelStore.
  /// @param load  reads it from a path
  template <class Load>
  auto need(const std::string& kind, const std::string& how, Load&& load) const {
    using Model = decltype(load(std::filesystem::path()));
    const std::string file = need_model(kind, how);
    return models_->get<Model>(file, [&] { return std::make_shared<const Model>(load(file)); });
  }

 private:
  /// @throws Error(invalid_argument) if a model does not fit the grid or the planes of the channels
  void check_grid_model(const ModelStore::Info& info) const;
  std::shared_ptr<const GridStatistics> at_spacing(
      const std::shared_ptr<const GridStatistics>& grid) const;

  const Catalog& catalog_;
  const NamedOptions& spec_;
  const EstimatorContext& context_;
  std::shared_ptr<ModelStore> models_;
};

/// A row whose options are one table.
/// @param make   (const Maker&, const Options&) -> std::unique_ptr<Estimator>
/// @param model  kind of the model file that it needs; empty: none
template <class Options, class... Entries, class Make>
CatalogRow row(const std::string& name, const std::string& summary,
               const OptionTable<Options, Entries...>& table, Make make,
               const std::string& model = "") {
  CatalogRow out;
  out.entry = {name, summary, model, table.describe()};
  out.make = [table, make](const Maker& maker) -> std::unique_ptr<Estimator> {
    return make(maker, maker.options(table));
  };
  return out;
}
/// A row without options.
/// @param make  (const Maker&) -> std::unique_ptr<Estimator>
template <class Make>
CatalogRow row(const std::string& name, const std::string& summary, Make make,
               const std::string& model = "") {
  CatalogRow out;
  out.entry = {name, summary, model, {}};
  out.make = std::move(make);
  return out;
}

}  // namespace v0
}  // namespace chest
