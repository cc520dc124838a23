#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/diffusion/guidance.hpp>

namespace chest {
inline namespace v0 {

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
inline constexpr std::pair<WalkUpdate, const char*> walk_update_names[] = {
    {WalkUpdate::mean, "mean"},        {WalkUpdate::ancestral, "ancestral"},
    {WalkUpdate::ode, "ode"},          {WalkUpdate::heun, "heun"},
    {WalkUpdate::fresh, "fresh"},      {WalkUpdate::none, "none"},
    {WalkUpdate::langevin, "langevin"}};

const char* to_string(WalkUpdate update);

/// Spacing of the levels: even in log tau2, or in tau2^(1/14) as [Karras2022].
enum class WalkGrid { log, karras };
inline constexpr std::pair<WalkGrid, const char*> walk_grid_names[] = {
    {WalkGrid::log, "log"}, {WalkGrid::karras, "karras"}};

struct WalkOptions {
  WalkUpdate update = WalkUpdate::mean;
  WalkGrid grid = WalkGrid::log;
  arma::uword n_levels = 20;  ///< >= 1
  /// First and last level, cut to what the prior was fitted for. First 0: 400; 25 for fresh and none;
  /// 1 with a start.
  double tau2_first = 0.0, tau2_last = 1e-4;
  double zeta = 1.0;            ///< share of new noise in fresh, 0 .. 1
  arma::uword inner = 1;        ///< guidance per level: repeats, and steps in langevin; >= 1
  arma::uword n_runs = 1;       ///< runs that are averaged, >= 1
  arma::uword n_corrector = 0;  ///< Langevin steps after each step, but not in langevin
  double corrector_step = 0.2;  ///< e / tau2 of these; > 0
  double langevin_step = 0.15;  ///< e / tau2 of langevin, divided by max(1, s_max^2); > 0
  double langevin_noise = 1.0;  ///< of both; >= 0; 0: an ascent
  double churn = 0.0;           ///< of ode and heun: noise put in before each step, >= 0
  /// Where walks start, at tau2_first: its estimate, with noise of that level in walks that keep
  /// noise. Null: no estimate, at zero or in pure noise.
  std::shared_ptr<const Estimator> start{};
  std::string why_invalid() const;
};

inline constexpr auto walk_options = options_of<WalkOptions>(
    option("levels", &WalkOptions::n_levels, within(1, 100'000), "noise levels of the walk"),
    option("walk", &WalkOptions::update, walk_update_names, "how it goes from level to level"),
    option("start", &WalkOptions::start,
           "starts from the estimate of another estimator: sbl, omp, lmmse"),
    option("from", &WalkOptions::tau2_first, at_least(0), "first level, tau2")
        .default_is("0: 400; 25 for fresh and none; 1 with a start"),
    option("to", &WalkOptions::tau2_last, above(0), "last level, tau2"),
    option("runs", &WalkOptions::n_runs, within(1, 10'000), "walks that are averaged"),
    option("inner", &WalkOptions::inner, within(1, 10'000), "repeats per level"),
    option("zeta", &WalkOptions::zeta, within(0, 1), "share of new noise")
        .only_if([](const WalkOptions& o) { return o.update == WalkUpdate::fresh; }, "walk=fresh"),
    option("grid", &WalkOptions::grid, walk_grid_names, "spacing of the levels"),
    option("corrector", &WalkOptions::n_corrector, within(0, 10'000),
           "Langevin steps after each step"),
    option("churn", &WalkOptions::churn, at_least(0), "noise put in before each step")
        .only_if(
            [](const WalkOptions& o) {
              return o.update == WalkUpdate::ode || o.update == WalkUpdate::heun;
            },
            "walk=ode and walk=heun"));

/// Levels of a walk, descending.
/// @param range  what the prior was fitted for: the ends are cut to it
arma::vec walk_levels(const WalkOptions& options,
                      const std::optional<std::pair<double, double>>& range = {});

/// An estimator that walks down the noise levels with guidance, and gives the mean of the last m.
/// The noise depends on the observation's seed and the column's sample number, not on the batch. nfe counts forward and
/// backward passes of the network.
/// @throws Error(invalid_argument) if options are invalid
/// Source: [Song2021], [Karras2022], [Zhu2023]; docs/model.md
std::unique_ptr<Estimator> make_walk(std::shared_ptr<const Guidance> guidance,
                                     const WalkOptions& options = {});

}  // namespace v0
}  // namespace chest
