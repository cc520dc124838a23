#pragma once

#include <armadillo>

#include <chest/estimators/common/estimator.hpp>
#include <chest/observation.hpp>

/// One channel in slot after slot: what earlier slots say of the latest one (docs/tracking.md).
///
/// The correlation from slot to slot is r_j = E[h_k conj(h_{k-j})] / E|h|^2 of an entry, r_0 = 1, and 0 from
/// n_lags on. A link is a series of slots in time order; observations carry their time as sample numbers,
/// so slots may be missing.
namespace chest {
inline namespace v0 {

/// r_j = a^j, j = 0 .. n_lags - 1: a Gauss-Markov channel, h_k = a h_{k-1} + sqrt(1 - a^2) w_k.
/// @throws Error(invalid_argument) if n_lags is 0 or |a| > 1
arma::cx_vec gauss_markov_correlation(arma::cx_double a, arma::uword n_lags);

/// Products of observations at all lags: what a correlation is measured from.
struct SlotProducts {
  arma::cx_vec sums;  ///< sum of y_{k-j}^H y_k over the pairs of slots that are j apart, [n_lags]
  arma::vec powers;   ///< sum of (||y_k||^2 + ||y_{k-j}||^2) / 2 over them, [n_lags]
  arma::vec pairs;    ///< their number, [n_lags]
  arma::uword n_obs = 0;

  /// Adds those of another link.  @throws Error(invalid_argument) if its sizes differ
  void add(const SlotProducts& link);
};
/// @throws Error(invalid_argument) if n_lags is 0 or the slots are not in time order
SlotProducts slot_products(const Observation& link, arma::uword n_lags);

/// The correlation that links have in common, [n_lags]:
///
///   r_j = c_j / (p_j - n_obs sigma2),   times 1 - (1 - |r_j|^2) min(1, 10 / pairs_j)
///
/// with c_j the mean product at lag j and p_j the mean power of the same slots, so that a channel that stands still has 1
/// whatever its power. The last factor is a margin for few slots, which look more alike than the next ones will; what noise
/// makes of r_j is shrunk by 1 - v / |r_j|^2, v its variance, to 0 where it could be noise alone.
/// |r_j| <= 1. Links whose phases turn differently have little in common.
arma::cx_vec measured_correlation(const SlotProducts& products, double sigma2);

/// Slots that are summed into one observation of the latest, z = sum_j w_j y_{k - lag_j}.
///
/// Given h_k, h_{k-j} = conj(r_j) h_k + e_j with E e e^H = S = R - r r^H per entry, so that
///
///   z = A h_k + A e + n,   sum_j w_j conj(r_j) = 1,   w = B^-1 r / (r^H B^-1 r) conjugated,   B = sigma2 I + directions P S
///
/// e counts as white noise of the observation: for channels without structure (C = I) z is a sufficient
/// statistic. Channels of few directions change within these alone, n_h / directions of them: there
/// the change is as much stronger, which makes the weights of old slots smaller.
struct SlotWeights {
  arma::cx_vec w;          ///< [n_slots], of the slot at lags(i)
  double sigma2 = 0.0;     ///< error variance of z per received entry
  double in_signal = 0.0;  ///< the same within the directions of the channel, >= sigma2
};
/// @param r          correlation, [n_lags]
/// @param lags       of the slots, distinct and below n_lags; 0, the latest, among them
/// @param power      P: of A h per received entry
/// @param directions n_h over the number of directions that the channel has, >= 1
SlotWeights slot_weights(const arma::cx_vec& r, const arma::uvec& lags, double sigma2, double power,
                         double directions);

/// How earlier slots are used.
enum class TrackingRule {
  sum,  ///< slots summed into one observation (SlotWeights)
  mean  ///< the last estimate is the mean of the next: the estimator sees the innovation
};

/// Estimates the slots of one link, each from itself and those before it.
///
///   sum    h_hat = estimate(z, sigma2 of z)
///   mean   h_hat = m + g estimate((y - A m) / g, sigma2 / g^2),   m = r_1 h_hat_{k-1},
///          g^2 = 1 - |r_1|^2 + |r_1|^2 mse_{k-1} / n_h, or more where y - A m is stronger than that explains
///
/// The number of directions follows from what the estimator predicts for the slots before. With r = (1, 0 ...) it is
/// the estimator's own estimate of each column. One call per slot.
/// @param estimator  at the scale E||h||^2 = n_h; one that predicts no mse sums the slots, with directions = 1
/// @param link       slots in time order
/// @param r          correlation, [n_lags]
/// @throws Error(invalid_argument) if r is empty, r(0) is not 1 or |r| > 1, the slots are not in time order, or
///         the rule is `mean` and the estimator predicts no mse
/// Source: [Li2025b] for the mean; docs/tracking.md
Estimate track(const Estimator& estimator, const Observation& link, const arma::cx_vec& r,
               TrackingRule rule = TrackingRule::sum);

/// The Kalman filter of a Gauss-Markov channel h_k = a h_{k-1} + sqrt(1 - |a|^2) w_k, w ~ CN(0, C), seen by
/// y_k = A h_k + n: the conditional mean of each slot given it and those before. O(n_h^3) per slot.
/// @param link  slots in time order, one per column, none missing
/// @throws Error(invalid_argument) if sizes differ or |a| > 1
/// Source: [Kay1993, ch. 13]
Estimate kalman_filter(const ObservationOperator& A, const arma::cx_mat& C, arma::cx_double a,
                       const Observation& link);

}  // namespace v0
}  // namespace chest
