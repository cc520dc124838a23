#pragma once

#include <armadillo>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <chest/estimators/common/options.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/spec.hpp>

/// New channels from a prior. A sampler is a walk from noise down to the channel without an observation;
/// the published ones are configurations of it (samplers()); docs/sampling.md compares them.
namespace chest {
inline namespace v0 {

/// What samples are drawn from.
struct SamplePrior {
  std::shared_ptr<const Denoiser> denoiser;
  arma::uword n_rx = 0, n_tx = 0;
  /// E[h h^H], [n_h, n_h]; walks then start in CN(0, C + tau2 I) and not in CN(0, (1 + tau2) I).
  /// Empty: not known.
  arma::cx_mat C;
  /// The exact prior, for a sampler that needs it; null: the denoiser is all there is.
  std::shared_ptr<const GaussianMixture> mixture;
  /// Sample i of mean-reverting walks starts from column i mod n_cols, [n_h, n]; empty: none given.
  arma::cx_mat mean;
  /// The channels that the first columns of `mean` are noisy or old versions of, for a start that is searched, [n_h, n];
  /// empty: none given.
  arma::cx_mat reference;
};

/// One walk: z <- step(z, D(z, tau2)) from level to level, last D(z, tau2). r = s / tau from one level to the next.
struct SampleWalk {
  /// How a step uses D.
  enum class Step {
    plain,      ///< D itself, extrapolated by `order`; eta of new noise
    heun,       ///< the mean slope of both ends of a step
    evodiff,    ///< probe and correction, weighted by their variance
    lml,        ///< the noise direction damped along its running mean
    gibbs,      ///< Langevin steps and moves of the level in between
    coarse,     ///< coarse to fine by a denoiser that is not told the level
    per_angle,  ///< a level of its own for each angle
    exact       ///< no walk: the mixture itself
  };
  Step step = Step::plain;
  WalkGrid grid = WalkGrid::log;
  double tau2_first = 0.0;      ///< 0: 400, or 1 from a mean, 4 in coarse
  double tau2_last = 1e-4;      ///< cut to the range of the prior, as tau2_first
  arma::uword order = 1;        ///< of the extrapolation of D over past levels, 1 .. 3
  double eta = 0.0;             ///< 0: the probability-flow ODE, 1: ancestral; others for order 1
  bool sde = false;             ///< the SDE in place of the ODE, in orders 1 and 2
  double churn = 0.0;           ///< noise put in before each step, >= 0
  arma::uword n_corrector = 0;  ///< Langevin steps at each level but the first
  double corrector_step = 0.2;  ///< e / tau2 of these
  double memory = 1e-3;         ///< lml: weight of the last direction in the running mean
  double damping = 0.1;         ///< lml: lambda / ||e||^2
  arma::uword sweeps = 0;       ///< gibbs: Langevin and level moves; 0: a fifth of the calls
  double langevin_step = 0.02;  ///< gibbs: e / tau2
  double coarse_noise = 0.3;    ///< coarse: beta; 1 puts no noise in
  bool needs_C = false;         ///< refuses priors whose covariance is not known
  bool needs_mean = false;      ///< starts at SamplePrior::mean
  /// > 0: instead of fresh noise every sample starts from mean + tau e with one e, the best of none and so many draws.
  arma::uword n_candidates = 0;

  std::string why_invalid() const;
};

/// The levels of a walk that steps from level to level, descending.
/// @param range  Denoiser::sigma2_range(): the ends are cut to it
arma::vec sample_levels(const SampleWalk& walk, arma::uword n_levels,
                        const std::optional<std::pair<double, double>>& range);

/// A named configuration.
struct NamedSampler {
  std::string name, summary;
  std::vector<OptionInfo> options;
  /// The walk that a spec of this name says.  @throws Error(invalid_argument)
  std::function<SampleWalk(const NamedOptions&)> read;
};

/// All of them: ddpm, ddim, euler, heun, dpm, evodiff, pc, lml, gibbs, coarse-to-fine, shortest-path, teleport, mrs,
/// boundary, exact.
const std::vector<NamedSampler>& samplers();
/// @throws Error(invalid_argument) suggesting the nearest name
const NamedSampler& sampler_named(const std::string& name);

/// What a walk is at: level and states of some samples.
struct SampleState {
  std::uint64_t first = 0;  ///< column k is sample first + k
  arma::uword level = 0;    ///< counted from 0
  double tau2 = 0.0;        ///< that D was told; of a level per angle its mean
  const arma::cx_mat& z;    ///< [n_h, count]
  const arma::cx_mat& D;    ///< [n_h, count]
};

/// Draws channels. Sample i depends on (seed, i) alone.
class Sampler {
 public:
  virtual ~Sampler() = default;
  /// As given: "dpm:order=3".
  virtual const std::string& text() const = 0;
  /// Calls of the denoiser per sample, at most.
  virtual arma::uword n_calls() const = 0;
  /// Samples first .. first + count - 1, [n_h, count].
  /// @param watch  told of every level, where given; called by this thread
  /// @throws Error(numeric) if a sample is not finite
  virtual arma::cx_mat draw(std::uint64_t seed, std::uint64_t first, arma::uword count,
                            const std::function<void(const SampleState&)>& watch = {}) const = 0;
};

/// A sampler of at most n_calls denoiser calls per sample.
///
///   plain, order 1   z' = c z + (1 - c) D + q e,   q = eta s sqrt(1 - r^2),  c = sqrt(s^2 - q^2) / tau
///   plain, order 2   D + (D - D_1) x / (2 x_1) in place of D,   x = ln(tau / s), x_1 of the step before
///   plain, order 3   the third-order exponential integrator of DPM-Solver++
///   sde              r^2 in place of r, and s sqrt(1 - r^2) e
///   heun             z' = z + (s - tau) (slope here + slope there) / 2,   slope = (z - D) / tau
///   evodiff          z' = z_e + (1 - r) / 2 [(1 - w) (D_s - D) + w (D - D_1) x / x_1], D_s seen at a probe of order 2,
///                    w in 0 .. 1 of least norm, for each sample; D_s is the D of the next step
///   lml              e = (z - D) / tau;  e' = e - m Re<m, e> / (lambda + ||m||^2), of the norm of e,  m the running mean
///   gibbs            ODE down to a level drawn for each sample; z += e (D - z) / tau2 + sqrt(2 e) noise and Metropolis
///                    moves of the level by ln p(z; tau2) (the denoiser must predict its error); ODE down from there
///   coarse           z += h (D - z) + noise, level read off the residual [Kadkhodaie2021]; the denoiser must be blind
///   per_angle        plain of order 1 with w_n^2 = (1 - a_n) / a_n,  a_n = (1 - l_n^(1 - u)) / (1 - l_n) at angle n of
///                    mean power l_n, u from 1 to 0; the prior must be a mixture, whose D is exact in coloured noise
///   exact            draws of the prior, which must be a mixture: no call
///
/// With n_candidates the walk is a function of the mean alone: e = argmin over 0 and the candidates of
/// sum_i ||reference_i - walk(mean_i + tau e)||^2 [Ma2024], found when the sampler is made.
///
/// Source: [Ho2020], [Song2021b], [Song2021], [Karras2022], [Lu2022], [Li2025], [Wang2025], [Kim2023], [Kadkhodaie2021], [Das2023],
/// [Wang2023b], [Li2025b], [Ma2024]; docs/sampling.md
/// @throws Error(invalid_argument) if the spec is not known, n_calls is too few for it, sizes differ, or the prior lacks
///         what the sampler needs
std::unique_ptr<Sampler> make_sampler(const NamedOptions& spec, SamplePrior prior,
                                      arma::uword n_calls);

/// n_samples channels by all threads, the same for any number of them. [n_h, n_samples]
arma::cx_mat draw_samples(const Sampler& sampler, std::uint64_t seed, arma::uword n_samples,
                          unsigned n_threads = 1);

}  // namespace v0
}  // namespace chest
