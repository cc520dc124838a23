#pragma once

#include <armadillo>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/observation.hpp>

/// The published solvers by name. Each is a guidance (how y enters a step) and a walk (how it goes down
/// the noise levels) with the defaults that suit it; docs/solvers.md compares them. All throw
/// Error(invalid_argument) if A or the denoiser is null, their sizes differ, options are invalid or the
/// denoiser lacks what the method needs.
namespace chest {
inline namespace v0 {

/// The walk that most of them make unless told otherwise.
WalkOptions walk_of(WalkUpdate update, arma::uword n_levels);

/// DiffPIR: proximal data steps between denoising steps.  Source: [Zhu2023]
struct DiffpirOptions {
  double lambda = 1.0;  ///< weight of the prior: Sigma = tau2 / lambda I
  WalkOptions walk = walk_of(WalkUpdate::mean, 20);
  std::string why_invalid() const;
};
inline constexpr auto diffpir_options = options_of<DiffpirOptions>(
    option("lambda", &DiffpirOptions::lambda, above(0), "the prior's weight"),
    group(&DiffpirOptions::walk, walk_options));
std::unique_ptr<Estimator> make_diffpir(std::shared_ptr<const ObservationOperator> A,
                                        std::shared_ptr<const Denoiser> denoiser,
                                        const DiffpirOptions& options = {});

/// DDNM: what the pilots saw replaces the prior's estimate: for data without noise.  Source: [Wang2023], also of DDNM+
struct DdnmOptions {
  bool plus = false;  ///< DDNM+: for data with noise, on the walks ancestral and fresh
  WalkOptions walk = walk_of(WalkUpdate::mean, 20);
  std::string why_invalid() const;
};
inline constexpr auto ddnm_options = options_of<DdnmOptions>(
    option("plus", &DdnmOptions::plus, "DDNM+: the noise of the data takes the place of the walk's")
        .only_if(
            [](const DdnmOptions& o) {
              return o.walk.update == WalkUpdate::ancestral || o.walk.update == WalkUpdate::fresh;
            },
            "walk=ancestral and walk=fresh"),
    group(&DdnmOptions::walk, walk_options));
std::unique_ptr<Estimator> make_ddnm(std::shared_ptr<const ObservationOperator> A,
                                     std::shared_ptr<const Denoiser> denoiser,
                                     const DdnmOptions& options = {});

/// DDS: conjugate-gradient data steps.  Source: [Chung2024]
struct DdsOptions {
  arma::uword cg_steps = 5;
  double gamma = 0.0;  ///< constant weight of the data; 0: tau2 / sigma2
  WalkOptions walk = walk_of(WalkUpdate::mean, 20);
  std::string why_invalid() const;
};
inline constexpr auto dds_options = options_of<DdsOptions>(
    option("cg", &DdsOptions::cg_steps, within(1, 10'000), "conjugate-gradient steps per level"),
    option("gamma", &DdsOptions::gamma, at_least(0), "constant weight of the data")
        .default_is("0: tau2 / sigma2"),
    group(&DdsOptions::walk, walk_options));
std::unique_ptr<Estimator> make_dds(std::shared_ptr<const ObservationOperator> A,
                                    std::shared_ptr<const Denoiser> denoiser,
                                    const DdsOptions& options = {});

/// DMPS: the likelihood under a flat prior.  Source: [Meng2023]
struct DmpsOptions {
  WalkOptions walk = walk_of(WalkUpdate::mean, 20);
  std::string why_invalid() const;
};
inline constexpr auto dmps_options =
    options_of<DmpsOptions>(group(&DmpsOptions::walk, walk_options));
std::unique_ptr<Estimator> make_dmps(std::shared_ptr<const ObservationOperator> A,
                                     std::shared_ptr<const Denoiser> denoiser,
                                     const DmpsOptions& options = {});

/// PiGDM: pseudo-inverse guidance through the denoiser's gradient.  Source: [Song2023]
struct PigdmOptions {
  bool legacy_weight = false;  ///< the extra weight of the published code; wrong for noisy data
  WalkOptions walk = walk_of(WalkUpdate::ancestral, 50);
  std::string why_invalid() const;
};
inline constexpr auto pigdm_options = options_of<PigdmOptions>(
    option("legacy-weight", &PigdmOptions::legacy_weight, "the extra weight of the published code"),
    group(&PigdmOptions::walk, walk_options));
std::unique_ptr<Estimator> make_pigdm(std::shared_ptr<const ObservationOperator> A,
                                      std::shared_ptr<const Denoiser> denoiser,
                                      const PigdmOptions& options = {});

/// DPS: pushed by the gradient of the residual's norm.  Source: [Chung2023]
struct DpsOptions {
  double step = 0.4;  ///< its zeta
  WalkOptions walk = walk_of(WalkUpdate::ancestral, 50);
  std::string why_invalid() const;
};
inline constexpr auto dps_options = options_of<DpsOptions>(
    option("step", &DpsOptions::step, above(0), "length of the gradient step, the method's zeta"),
    group(&DpsOptions::walk, walk_options));
std::unique_ptr<Estimator> make_dps(std::shared_ptr<const ObservationOperator> A,
                                    std::shared_ptr<const Denoiser> denoiser,
                                    const DpsOptions& options = {});

/// How OPC uses the observation.
enum class OpcType {
  gradient,  ///< type 1, through the denoiser's gradient
  proximal   ///< type 2
};
inline constexpr std::pair<OpcType, const char*> opc_type_names[] = {{OpcType::gradient, "1"},
                                                                     {OpcType::proximal, "2"}};

/// Optimal posterior covariance: guidance with a covariance of choice.  Source: [Peng2024]
struct OpcOptions {
  OpcType type = OpcType::proximal;
  VarianceKind variance = VarianceKind::analytic;
  double lambda = 1.0;  ///< of VarianceKind::scaled
  /// Another covariance for the levels tau2 > switch_tau2; none: one for all.
  std::optional<VarianceKind> above{};
  double switch_tau2 = 1.0;
  /// Conjugate-gradient steps where Sigma is not a multiple of I; 0: to the end, or 5 with the
  /// derivative of a fitted prior, which is symmetric to rounding only and costs a pass each.
  arma::uword cg_steps = 0;
  DenoiserErrors errors{};         ///< of analytic, angular, spatial and full
  arma::uword n_rx = 0, n_tx = 0;  ///< antennas for angular and head; 0: those of A's pilots
  WalkOptions walk = walk_of(WalkUpdate::mean, 20);
  std::string why_invalid() const;
};
inline constexpr auto opc_options = options_of<OpcOptions>(
    option("type", &OpcOptions::type, opc_type_names, "gradient (1) or proximal (2)"),
    option("variance", &OpcOptions::variance, variance_names, "covariance of h given z"),
    option("lambda", &OpcOptions::lambda, above(0), "Sigma = tau2 / lambda I")
        .only_if(
            [](const OpcOptions& o) {
              return o.variance == VarianceKind::scaled || o.above == VarianceKind::scaled;
            },
            "variance=scaled"),
    option("above", &OpcOptions::above, variance_names,
           "another covariance for the levels above switch"),
    option("switch", &OpcOptions::switch_tau2, above(0), "tau2 of that switch")
        .only_if([](const OpcOptions& o) { return o.above.has_value(); }, "above=KIND"),
    option("cg", &OpcOptions::cg_steps, within(0, 10'000),
           "conjugate-gradient steps where the covariance is not a multiple of I")
        .default_is("0: to the end; 5 with the derivative of a network"),
    group(&OpcOptions::walk, walk_options));
std::unique_ptr<Estimator> make_opc(std::shared_ptr<const ObservationOperator> A,
                                    std::shared_ptr<const Denoiser> denoiser,
                                    const OpcOptions& options);

/// FlowChef: steers an ODE by the data's gradient, not through the denoiser.  Source: [Patel2024]
struct FlowchefOptions {
  double step = 0.0;  ///< 0: 0.9 / (s_max^2 (1 + 5 sigma2))
  WalkOptions walk = walk_of(WalkUpdate::ode, 50);
  std::string why_invalid() const;
};
inline constexpr auto flowchef_options =
    options_of<FlowchefOptions>(option("step", &FlowchefOptions::step, at_least(0), "its strength")
                                    .default_is("0: 0.9 / (s_max^2 (1 + 5 sigma2))"),
                                group(&FlowchefOptions::walk, walk_options));
std::unique_ptr<Estimator> make_flowchef(std::shared_ptr<const ObservationOperator> A,
                                         std::shared_ptr<const Denoiser> denoiser,
                                         const FlowchefOptions& options = {});

/// Annealed Langevin with a scalar likelihood: score-based channel estimation.  Source: [Arvinte2023]
struct ScoreOptions {
  /// 2311 levels and 3 steps for each, 6933 calls. The published step is not taken over: it is for a network that is not
  /// told the level, which sees for itself how much noise is left.
  bool published = false;
  arma::uword n_levels = 50;  ///< unless published
  arma::uword inner = 3;      ///< steps per level
  double step = 0.15;         ///< step over tau2, divided by max(1, s_max^2)
  double noise = 0.01;        ///< of the steps: 1 samples, 0 ascends
  arma::uword n_runs = 1;
  std::string why_invalid() const;
};
inline constexpr auto score_is_free = [](const ScoreOptions& o) { return !o.published; };
inline constexpr auto score_options = options_of<ScoreOptions>(
    option("published", &ScoreOptions::published, "as many steps as published: 2311 levels of 3"),
    option("levels", &ScoreOptions::n_levels, within(1, 100'000), "noise levels of the walk")
        .only_if(score_is_free, "a walk that is not the published one"),
    option("inner", &ScoreOptions::inner, within(1, 10'000), "steps per level")
        .only_if(score_is_free, "a walk that is not the published one"),
    option("step", &ScoreOptions::step, above(0), "step over tau2"),
    option("noise", &ScoreOptions::noise, at_least(0), "noise of the steps; 1 samples"),
    option("runs", &ScoreOptions::n_runs, within(1, 10'000), "walks that are averaged"));
std::unique_ptr<Estimator> make_score(std::shared_ptr<const ObservationOperator> A,
                                      std::shared_ptr<const Denoiser> denoiser,
                                      const ScoreOptions& options = {});

}  // namespace v0
}  // namespace chest
