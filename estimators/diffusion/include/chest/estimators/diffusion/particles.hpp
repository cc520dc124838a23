#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// What a particle at z is taken to say of y.
enum class ParticlePotential {
  tweedie,    ///< CN(y; A D, sigma2 I + A (tau2 J) A^H): needs a gradient, 2 n_obs passes per level
  isotropic,  ///< CN(y; A D, sigma2 I + tau2 / (1 + tau2) A A^H)
  flat        ///< CN(y; A z, sigma2 I + tau2 A A^H)
};
inline constexpr std::pair<ParticlePotential, const char*> particle_potential_names[] = {
    {ParticlePotential::tweedie, "tweedie"},
    {ParticlePotential::isotropic, "isotropic"},
    {ParticlePotential::flat, "flat"}};

struct ParticleOptions {
  arma::uword n_particles = 16;  ///< >= 1
  arma::uword n_levels = 50;     ///< >= 1
  /// None: tweedie where the prior is exact, isotropic where it was fitted (its Jacobian need not be a
  /// covariance) or has no gradient.
  std::optional<ParticlePotential> potential{};
  double tau2_first = 400.0, tau2_last = 1e-4;  ///< cut to what the prior was fitted for
  std::string why_invalid() const;
};

inline constexpr auto particle_options = options_of<ParticleOptions>(
    option("particles", &ParticleOptions::n_particles, within(1, 100'000), "particles per channel"),
    option("levels", &ParticleOptions::n_levels, within(1, 100'000), "noise levels"),
    option("potential", &ParticleOptions::potential, particle_potential_names,
           "what a particle says of y")
        .default_is("tweedie on exact priors, isotropic on networks"));

/// Weighted particles (twisted sequential Monte Carlo): every particle walks with guidance, and its
/// weight accounts for what guidance got wrong, so that the weighted mean tends to E[h | y] as
/// particles grow in number. Systematic resampling at an effective number below half. Gives ln p(y)
/// as Estimate::log_evidence. nfe counts forward and backward passes per channel.
///
/// @throws Error(invalid_argument) if sizes differ, options are invalid, or the potential needs a
/// gradient that the denoiser has not
/// Source: [Wu2023], [Chen2025]; docs/model.md
std::unique_ptr<Estimator> make_particles(std::shared_ptr<const ObservationOperator> A,
                                          std::shared_ptr<const Denoiser> denoiser,
                                          const ParticleOptions& options = {});

}  // namespace v0
}  // namespace chest
