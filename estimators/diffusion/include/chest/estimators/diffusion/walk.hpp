#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/common/estimator.hpp>

namespace chest {

/// How a walk goes from level tau2 to the next one, s2, given m.
enum class WalkUpdate {
  ancestral,  ///< z' = (s2/tau2) z + (1 - s2/tau2) m + sqrt(s2 (tau2 - s2) / tau2) e
  ode,        ///< z' = m + (s/tau) (z - m): DDIM, Euler
  heun,       ///< the trapezoidal rule for the same
  mean,       ///< ancestral without its noise, from z = 0: exact for Gaussian priors on any grid
  fresh,      ///< z' = m + s (sqrt(1 - zeta) (z - m) / tau + sqrt(zeta) e)
  none,       ///< z' = m, from z = 0 (plug and play)
  langevin    ///< `inner` steps z += e (m - z) / tau2 + sqrt(2 e noise) CN(0, I) at each level
};
const char* to_string(WalkUpdate update);
WalkUpdate walk_update_from_string(const std::string& text);

enum class WalkGrid { log, karras };

struct WalkOptions {
  WalkUpdate update = WalkUpdate::mean;
  WalkGrid grid = WalkGrid::log;
  arma::uword n_levels = 20;  ///< >= 1
  /// First and last level, cut to what the prior was fitted for.
  double tau2_first = 400.0, tau2_last = 1e-4;
  double zeta = 1.0;       ///< share of new noise in fresh, 0 .. 1
  arma::uword inner = 1;   ///< steps per level: repeats in fresh and none, steps in langevin; >= 1
  arma::uword n_runs = 1;  ///< runs that are averaged, >= 1
  arma::uword n_corrector = 0;  ///< Langevin steps after each step, with e = langevin_step tau2
  double langevin_step = 0.15;  ///< e / tau2, divided by max(1, s_max^2) in langevin; > 0
  double langevin_noise = 1.0;  ///< >= 0; 0: an ascent
  double churn = 0.0;           ///< of ode and heun: noise put in before each step, >= 0
  /// Where walks start, at tau2_first: its estimate, with noise of that level in walks that keep
  /// noise. Null: no estimate, at zero or in pure noise.
  std::shared_ptr<const Estimator> start{};
  std::uint64_t seed = 1;  ///< of the noise, with the observation itself
  std::string why_invalid() const;
};

/// Levels of a walk, descending.
/// @param range  what the prior was fitted for: the ends are cut to it
arma::vec walk_levels(const WalkOptions& options,
                      const std::optional<std::pair<double, double>>& range = {});

/// An estimator that walks down the noise levels with guidance, and gives the mean of the last m.
/// The noise depends on the seed and on the column of y, not on the batch. nfe counts forward and
/// backward passes of the network.
/// @throws Error(invalid_argument) if options are invalid
/// Source: [Song2021], [Karras2022], [Zhu2023]; docs/model.md
std::unique_ptr<Estimator> make_walk(std::shared_ptr<const Guidance> guidance,
                                     const WalkOptions& options = {});

}  // namespace chest
