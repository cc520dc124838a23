#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/samples.hpp>

#include "flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// A model file as a prior of channels, or of planes of channels on a grid.
struct PriorModel {
  std::filesystem::path file;
  std::string kind;                ///< "lmmse", "gmm" or "dmse"
  arma::uword n_rx = 0, n_tx = 0;  ///< of what is denoised: a channel or a plane
  std::shared_ptr<const Denoiser> denoiser;
  /// The prior of lmmse and gmm, whose denoiser is exact; null: a network.
  std::shared_ptr<const GaussianMixture> mixture;
  std::shared_ptr<const NetworkModel> network;  ///< null: an exact prior
  GridStatistics grid;                          ///< empty: a model of matrices

  bool exact() const { return mixture != nullptr; }
  arma::uword n_h() const { return n_rx * n_tx; }
  /// "gmm, 16x4"
  std::string text() const;
  /// The channels as the prior takes them: themselves or their planes.
  /// @throws Error(invalid_argument) if sizes differ
  SampleReader samples_of(const SampleReader& channels) const;
};

/// @param common  where a network runs, and what on
/// @throws Error(invalid_argument) if the model is of another kind, or has no plane
PriorModel load_prior_model(const std::filesystem::path& file, const CommonFlags& common);

}  // namespace cli
}  // namespace v0
}  // namespace chest
