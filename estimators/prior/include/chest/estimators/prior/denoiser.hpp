#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <chest/estimators/common/column_noise.hpp>

namespace chest {
inline namespace v0 {

/// One step of a noise-free reverse chain in variance-exploding (VE) coordinates:
///
///   z <- D(z, sigma2) + keep (z - D(z, sigma2))
///
/// keep = (sigma2_next / sigma2) is the posterior mean of DMSE; keep = 0 is Tweedie's formula and
/// ends a chain.  Source: [Fesl2024a]; docs/model.md
struct ReverseStep {
  double sigma2 = 0.0;  ///< noise variance per complex entry that the denoiser is told
  double keep = 0.0;
};

/// What a denoiser believes of its own error E||h - D(z, sigma2)||^2, and tells of the channel beside it, given z.
struct DenoiserError {
  arma::vec mse;  ///< summed over the entries, [n_samples]
  /// Of each entry of the angular domain (AngularTransform), [n_h, n_samples]. Filled when asked
  /// for with per_angle, by denoisers that know it; otherwise empty.
  arma::mat angular;
  bool per_angle = false;
  /// Of a network with heads: the probabilities of the classes, then the numbers that it tells, [n_heads, n_samples].
  arma::mat heads;
};

/// A denoiser at one z, with its derivative: D(z + d) = D + J d + K conj(d) to first order. For the
/// exact D, sigma2 J is the covariance of h given z, and sigma2 K its pseudo-covariance.
class DenoiserLinearization {
 public:
  virtual ~DenoiserLinearization() = default;
  /// D(z, sigma2), [n_h, n_samples]
  virtual const arma::cx_mat& D() const = 0;
  /// out = J^H w + K^T conj(w), [n_h, n_samples]: the gradient of Re<w, D> with respect to z as a
  /// complex number, one backward pass.
  virtual void pull_back(const arma::cx_mat& w, arma::cx_mat& out) const = 0;
};

/// The prior at work: D(z, sigma2) = E[h | h + sigma eps = z], eps ~ CN(0, I), for columns z.
/// Const, so threads share one instance.
class Denoiser {
 public:
  virtual ~Denoiser() = default;
  virtual std::string name() const = 0;
  virtual arma::uword n_h() const = 0;
  /// out = D(z, sigma2), [n_h, n_samples]; `out` may not be `z`.
  /// @throws Error(invalid_argument) if z does not have n_h rows or sigma2 is negative
  virtual void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const = 0;
  /// The same, and the error predicted for it where predicts_error().
  virtual void denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                                  DenoiserError& error) const;
  virtual bool predicts_error() const { return false; }
  /// Whether DenoiserError::angular is filled too.
  virtual bool predicts_angular_error() const { return false; }
  /// Runs a reverse chain in place. The default calls denoise() step by step; a network keeps z on
  /// its device between steps.
  /// @param error  of the first step, where it is wanted and predicts_error()
  virtual void run(const std::vector<ReverseStep>& steps, arma::cx_mat& z,
                   DenoiserError* error = nullptr) const;
  /// sigma2 from .. to that the prior was fitted for; empty when any level is exact.
  virtual std::optional<std::pair<double, double>> sigma2_range() const { return {}; }

  /// True when linearise() works.
  virtual bool differentiable() const { return false; }
  /// @throws Error(invalid_argument) unless differentiable()
  virtual std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                           double sigma2) const;
  /// True when denoise_blind() works.
  virtual bool blind() const { return false; }
  /// out = E[h | z] for a noise level that is not known, for columns z.
  /// @throws Error(invalid_argument) unless blind()
  virtual void denoise_blind(const arma::cx_mat& z, arma::cx_mat& out) const;
  /// True when denoise_beside() works.
  virtual bool takes_side() const { return false; }
  /// out = E[h | z, side], as denoise_with_error(), for columns side that are known of each channel: another matrix of its
  /// size. denoise() is without it.
  /// @param side  [n_h, n_samples]; a column of zeros: not known
  /// @throws Error(invalid_argument) unless takes_side(), or if sizes differ
  virtual void denoise_beside(const arma::cx_mat& z, const arma::cx_mat& side, double sigma2,
                              arma::cx_mat& out, DenoiserError& error) const;

  arma::cx_mat denoise(const arma::cx_mat& z, double sigma2) const;
};

/// The error of D at z by Tweedie's second-order formula, (sigma2 / 2) tr J with J the Jacobian of
/// D in 2 n_h real coordinates, from n_probes random directions (Hutchinson) and differences of D:
/// n_probes + 1 calls per channel. Exact in the mean for the exact D; for a learned one only as
/// good as its Jacobian.
/// @param D       D(z, sigma2) if it is known already, otherwise empty
/// @param noise   what the directions are drawn from, column by column
/// @return [n_samples], negative values cut to 0
/// Source: [Efron2011], [Hutchinson1990]; docs/model.md
arma::vec probed_error(const Denoiser& denoiser, const arma::cx_mat& z, double sigma2,
                       arma::uword n_probes, ColumnNoise& noise, const arma::cx_mat& D = {});

}  // namespace v0
}  // namespace chest
