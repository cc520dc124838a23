#pragma once

#include <armadillo>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <chest/estimators/common/estimator.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/observation.hpp>
#include <chest/text.hpp>

namespace chest {

/// An option of an estimator, as it is written after the name: "dmse:steps=1".
struct CatalogOption {
  std::string name;
  std::string value;  ///< what may stand behind "=", for people; empty for a switch
  std::string help;
};

/// One row of the table of estimators.
struct CatalogEntry {
  std::string name;
  std::string summary;  ///< one line
  /// Kind of the model file that it needs: "lmmse", "gmm", "dmse", "vae"; empty: none.
  std::string model;
  std::vector<CatalogOption> options;
};

/// Every estimator that make_estimator() knows.
const std::vector<CatalogEntry>& estimator_catalog();

/// Model files of a run. Each is read once, however many estimators share it; what is costly to
/// prepare from one (a network on its device, an eigendecomposition) is kept too. Safe to share
/// between threads.
class ModelStore {
 public:
  /// @param files  looked at now: format, kind and sizes; values are read when an estimator asks
  /// @throws Error(io) or Error(format) if one is not a model file
  explicit ModelStore(const std::vector<std::filesystem::path>& files = {});
  ~ModelStore();

  /// What a file holds, for results and messages.
  struct Info {
    std::filesystem::path file;
    std::string kind;
    arma::uword n_rx = 0, n_tx = 0;
  };
  /// The files in the order given, then those named by specs ("dmse@FILE") so far.
  std::vector<Info> files() const;

  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// What estimators are made from.
struct EstimatorContext {
  std::shared_ptr<const ObservationOperator> A;
  arma::uword n_rx = 0, n_tx = 0;      ///< of the channels
  std::shared_ptr<ModelStore> models;  ///< null: no model files
  /// The mixture that the channels were drawn from, where it is known; else null. Contexts of one
  /// ModelStore that share this object share what is prepared from it.
  std::shared_ptr<const GaussianMixture> prior;
  std::string device = "cpu";          ///< where networks run
  bool has_genie_covariances = false;  ///< Observation::genie will be filled
};

/// Makes the estimator that `spec` names: "ls", "dmse:steps=1@model.h5". Its name() is spec.text.
/// @throws Error(invalid_argument) if estimator or option is unknown (the nearest is suggested), a
///         value is out of range, no model or several of the kind were given, its sizes are not
///         those of the channels, or the estimator cannot work on A
/// @throws Error(io), Error(format) if a model cannot be read
std::unique_ptr<Estimator> make_estimator(const NamedOptions& spec,
                                          const EstimatorContext& context);

}  // namespace chest
