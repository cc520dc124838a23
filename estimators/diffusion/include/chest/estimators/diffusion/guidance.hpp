#pragma once

#include <armadillo>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// The covariance of h given z that guidance assumes, Sigma.
enum class VarianceKind {
  zero,            ///< 0
  unit,            ///< tau2 / (1 + tau2) I: that of a white prior (PiGDM)
  scaled,          ///< tau2 / lambda I (DiffPIR)
  analytic,        ///< DenoiserErrors::mse I
  angular,         ///< DenoiserErrors::angular, diagonal in the angular domain
  spatial,         ///< DenoiserErrors::spatial, diagonal over the antennas
  full,            ///< DenoiserErrors::full
  head,            ///< what the denoiser predicts of its own error at z, diagonal in that domain
  tweedie,         ///< tau2 J and tau2 K: exact for the exact D, needs a gradient (TMPD)
  tweedie_proper,  ///< tau2 J alone
};
const char* to_string(VarianceKind kind);
inline constexpr std::pair<VarianceKind, const char*> variance_names[] = {
    {VarianceKind::zero, "zero"},       {VarianceKind::unit, "unit"},
    {VarianceKind::scaled, "scaled"},   {VarianceKind::analytic, "analytic"},
    {VarianceKind::angular, "angular"}, {VarianceKind::spatial, "spatial"},
    {VarianceKind::full, "full"},       {VarianceKind::head, "head"},
    {VarianceKind::tweedie, "tweedie"}, {VarianceKind::tweedie_proper, "tweedie-proper"}};

struct VarianceModel {
  VarianceKind kind = VarianceKind::scaled;
  double lambda = 1.0;  ///< of scaled, > 0
  /// Above this tau2 the model is `above` instead ("complete sampling"); infinity: never.
  double switch_tau2 = arma::datum::inf;
  VarianceKind above = VarianceKind::unit;
  /// Of analytic, angular, spatial and full.
  DenoiserErrors errors{};
  /// Conjugate-gradient steps where Sigma is not a multiple of I; 0: until the residual is 1e-12.
  arma::uword cg_steps = 0;
  /// Antennas of h for angular and head; 0: those of A's pilots.
  arma::uword n_rx = 0, n_tx = 0;
  std::string why_invalid() const;
};

/// What guidance says at one state.
struct Guided {
  arma::cx_mat m;         ///< estimate of E[h | z, y], [n_h, n_samples]
  arma::cx_mat push;      ///< added to the next state, times push_gain(); empty: nothing
  arma::uword calls = 0;  ///< of the network, forward and backward
  arma::cx_mat D;         ///< of guidance that shapes_noise(): what m was made of
};

/// How the observation enters a step at z = h + tau e: an estimate of E[h | z, y]. Const, so
/// threads share one instance.  Source: docs/model.md
class Guidance {
 public:
  virtual ~Guidance() = default;
  virtual std::string name() const = 0;
  virtual arma::uword n_h() const = 0;
  virtual const ObservationOperator& A() const = 0;
  /// Columns of z belong to columns of the observation.
  virtual void guide(const arma::cx_mat& z, double tau2, const Observation& observation,
                     Guided& out) const = 0;
  /// Factor of Guided::push on the way to level tau2_next.
  virtual double push_gain(double tau2_next) const;
  /// Whether a step puts in less noise where the observation has brought some already.
  virtual bool shapes_noise() const { return false; }
  /// Of such guidance: m and noise of the step z' = a0 z + a m + noise.
  /// @param a      weight of m in the step
  /// @param noise  white, of this `variance` per entry, and changed
  virtual void shape_step(double a, double variance, const Observation& observation, Guided& at,
                          arma::cx_mat& noise) const;
  /// As Estimator::warning().
  virtual std::string warning(double sigma2) const;
  /// Levels that the prior was fitted for; empty when any is exact.
  virtual std::optional<std::pair<double, double>> sigma2_range() const = 0;
};

struct ProximalOptions {
  VarianceModel variance;
  /// The data are taken as exact: m = A^+ y + (I - A^+ A) D (DDNM). Variances play no part.
  bool noise_free = false;
  /// DDNM+: the data are noisy, and their noise takes the place of the walk's. In the basis of A's singular vectors
  /// component i of the correction A^+ (y - A D) weighs lambda_i = min(1, s_i kappa / sigma), kappa^2 the variance
  /// that a step puts in over a^2, a the weight of m in it; and the step puts in a^2 lambda_i^2 sigma2 / s_i^2
  /// less there. For walks that put in noise.
  bool noise_aware = false;
  /// > 0: that many conjugate-gradient steps on (I + gamma A^H A) x = D + gamma A^H y from D
  /// (DDS) instead of the closed form, with gamma = r2 / sigma2.
  arma::uword dds_steps = 0;
  /// > 0: a constant gamma for DDS.
  double dds_gamma = 0.0;
};

/// Type II: the minimiser of ||y - A x||^2 / sigma2 + ||x - D||^2_{Sigma^-1},
///
///   m = D + Sigma A^H (sigma2 I + A Sigma A^H)^-1 (y - A D)
///
/// DiffPIR, DDNM, DDS and OPC's second type.  Source: [Zhu2023], [Wang2023], [Chung2024],
/// [Peng2024]
/// @throws Error(invalid_argument) if sizes differ, options are invalid, or Sigma needs what the
/// denoiser has not
std::unique_ptr<Guidance> make_proximal_guidance(std::shared_ptr<const ObservationOperator> A,
                                                 std::shared_ptr<const Denoiser> denoiser,
                                                 const ProximalOptions& options = {});

struct GradientOptions {
  VarianceModel variance{VarianceKind::unit};
  /// Multiplies the gradient by r2 once more, as the published PiGDM code does; wrong for noisy
  /// observations.
  bool legacy_weight = false;
};

/// Type I: m = D + tau2 (J^H w + K^T conj(w)),  w = A^H (sigma2 I + A Sigma A^H)^-1 (y - A D).
/// PiGDM, OPC's first type, TMPD.  Source: [Song2023], [Peng2024], [Boys2024]
/// @throws Error(invalid_argument) as above, and if the denoiser has no gradient
std::unique_ptr<Guidance> make_gradient_guidance(std::shared_ptr<const ObservationOperator> A,
                                                 std::shared_ptr<const Denoiser> denoiser,
                                                 const GradientOptions& options = {});

/// DPS: m = D, and each step is pushed by -zeta times the gradient of ||y - A D|| with respect to
/// x = z / sqrt(1 + tau2).  Source: [Chung2023]
/// @throws Error(invalid_argument) as above, and if zeta is not positive
std::unique_ptr<Guidance> make_dps_guidance(std::shared_ptr<const ObservationOperator> A,
                                            std::shared_ptr<const Denoiser> denoiser, double zeta);

/// The prior's part of the likelihood taken as flat: m = D + tau2 A^H (sigma2 I + tau2 A A^H)^-1
/// (y - A z) (DMPS); with `scalar`, m = D + tau2 A^H (y - A z) / (sigma2 + tau2), as the annealed
/// Langevin of [Arvinte2023].  Source: [Meng2023]
std::unique_ptr<Guidance> make_flat_guidance(std::shared_ptr<const ObservationOperator> A,
                                             std::shared_ptr<const Denoiser> denoiser,
                                             bool scalar = false);

/// FlowChef: m = D, and each step is pushed by c A^H (y - A D) in the coordinates z / (1 + tau) of
/// a rectified flow.
/// @param c  step; 0: 0.9 / (s_max^2 (1 + 5 sigma2)).  Source: [Patel2024]
std::unique_ptr<Guidance> make_skip_gradient_guidance(std::shared_ptr<const ObservationOperator> A,
                                                      std::shared_ptr<const Denoiser> denoiser,
                                                      double c = 0.0);

}  // namespace v0
}  // namespace chest
