#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <string>

#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/observation.hpp>

namespace chest {

/// What a particle at z is taken to say of y.
enum class ParticlePotential {
  tweedie,    ///< CN(y; A D, sigma2 I + A (tau2 J) A^H): needs a gradient, 2 n_obs passes per level
  isotropic,  ///< CN(y; A D, sigma2 I + tau2 / (1 + tau2) A A^H)
  flat        ///< CN(y; A z, sigma2 I + tau2 A A^H)
};
const char* to_string(ParticlePotential potential);
ParticlePotential particle_potential_from_string(const std::string& text);

struct ParticleOptions {
  arma::uword n_particles = 16;  ///< >= 1
  arma::uword n_levels = 50;     ///< >= 1
  ParticlePotential potential = ParticlePotential::tweedie;
  double tau2_first = 400.0, tau2_last = 1e-4;  ///< cut to what the prior was fitted for
  std::uint64_t seed = 1;
  std::string why_invalid() const;
};

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

}  // namespace chest
