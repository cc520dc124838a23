#pragma once

#include <armadillo>
#include <string>
#include <utility>
#include <vector>

#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// Noise levels of a trained diffusion model: x_i = sqrt(abar_i) h + sqrt(1 - abar_i) eps, index
/// i = 0 (cleanest) .. n_steps - 1. In VE coordinates z = x / sqrt(abar), sigma2 = (1 - abar) /
/// abar.
class NoiseSchedule {
 public:
  /// beta linear from first to last, the schedule of [Fesl2024a] (100, 9.999000099991662e-5, 0.1).
  static NoiseSchedule linear(arma::uword n_steps, double beta_first, double beta_last);
  /// @throws Error(invalid_argument) if a beta lies outside (0, 1)
  explicit NoiseSchedule(arma::vec betas);

  arma::uword n_steps() const { return betas_.n_elem; }
  const arma::vec& betas() const { return betas_; }
  const arma::vec& abar() const { return abar_; }
  double sigma2(arma::uword i) const { return (1.0 - abar_(i)) / abar_(i); }
  double snr(arma::uword i) const { return 1.0 / sigma2(i); }
  /// argmin_i |snr(i) - snr| on the linear scale: the start index of [Fesl2024a].
  arma::uword nearest(double snr) const;
  /// Index at noise level sigma2, interpolated linearly in log SNR between the trained levels, and
  /// extrapolated not at all: clamped to 0 .. n_steps - 1.
  double fractional_index(double sigma2) const;

 private:
  arma::vec betas_, abar_;
};

/// What a network's output means. The minimiser is the same for all; the error weighting is not.
enum class Prediction { epsilon, sample, velocity };
const char* to_string(Prediction prediction);
Prediction prediction_from_string(const std::string& text);
/// h_hat = z_gain * z + o_gain * o from the network input z (VE) and output o, at noise level
/// sigma2: epsilon: z - sigma o;  sample: o;  velocity (v = sqrt(abar) eps - sqrt(1 - abar) h):
/// abar z - sqrt(1 - abar) o.
struct PredictionGains {
  double z_gain, o_gain;
};
PredictionGains prediction_gains(Prediction prediction, double sigma2);

/// Var[h | x_i] out of the variance of x_{i-1} given x_i, which networks with learned variances predict: the
/// posterior variance of the forward process is subtracted, and the square of the weight that h has in its mean
/// divided out,
///
///   v = (v_reverse - beta_i (1 - abar_{i-1}) / (1 - abar_i)) / c^2,   c = sqrt(abar_{i-1}) beta_i / (1 - abar_i)
///
/// For DenoiserError::angular of a denoiser around such a network, which opc:variance=head then reads.
/// @param reverse_variance  E|x - E x|^2 per complex entry; a network of real planes predicts half of it
/// @return  at least `floor`
/// @throws Error(invalid_argument) if there is no level i
/// Source: [Peng2024]
arma::mat converted_variance(const arma::mat& reverse_variance, const NoiseSchedule& schedule,
                             arma::uword i, double floor = 1e-6);

/// The same for networks whose output o says where the variance of x_{i-1} given x_i lies between the least and the most
/// that it can be, on a log scale ("learned_range" of diffusers):
///
///   log v_reverse = (1 + o)/2 log beta_i + (1 - o)/2 log b_i,   b_i = beta_i (1 - abar_{i-1}) / (1 - abar_i)
///
/// converted_variance() of it, in one formula:
///
///   v = most (exp(L (1 + o)/2) - k) / (exp(L) - k),   most = 1 - abar_i,  L = log(beta_i / b_i),  k = 1
///
/// so that o = 1 stands for a white prior of power 1 and o = -1 for 0. b_0 = 0: b_1 stands there for the least, and k = 0.
/// Source: [Nichol2021], [Peng2024]
struct VarianceRange {
  double most = 1.0, log_ratio = 1.0, k = 1.0;
  static constexpr double least = 1e-6;
  /// Var[h | z] per complex entry, at least `least` where `most` is more.
  double variance(double o) const;
};
/// At noise level sigma2: L and k are interpolated between the trained levels as the index is.
/// @param sigma2  0 or more
/// @throws Error(invalid_argument) if the schedule has fewer than 2 levels
VarianceRange variance_range(const NoiseSchedule& schedule, double sigma2);

/// A complete reverse chain: the start scale of the observation and the steps.
struct ReverseChain {
  double start_scale = 1.0;  ///< z = start_scale * (A^+ y)
  std::vector<ReverseStep> steps;
};

/// The loop of [Fesl2024a] bit for bit: start index i* = nearest(1 / sigma2), network calls at
/// i* - 1 .. 0. (The equation there starts at i*; the published code and results do not, and at
/// 40 dB it makes no call.)  Source: [Fesl2024a] and its code
/// @param include_start  also call at i*, as the equation there reads
ReverseChain published_chain(const NoiseSchedule& schedule, double sigma2,
                             bool include_start = false);

/// How diffusers spreads n inference steps over n_levels trained ones; [Lin2024], table 2.
enum class TimestepSpacing {
  leading,   ///< i floor(n_levels / n) + offset
  trailing,  ///< round(n_levels - i n_levels / n) - 1
  linspace   ///< round(i (n_levels - 1) / (n - 1))
};
inline constexpr std::pair<TimestepSpacing, const char*> timestep_spacing_names[] = {
    {TimestepSpacing::leading, "leading"},
    {TimestepSpacing::trailing, "trailing"},
    {TimestepSpacing::linspace, "linspace"}};

/// The indices of n steps, descending, as set_timesteps(n) of diffusers' DDPM scheduler has them.
/// @param offset  added to each index with TimestepSpacing::leading
/// @throws Error(invalid_argument) if n is not 1 .. n_levels or an index lies beyond them
arma::uvec inference_indices(arma::uword n_levels, arma::uword n, TimestepSpacing spacing,
                             arma::uword offset);

/// The loop of the scheduler in diffusers-dmse: from the entry of `indices` that is nearest to the trained level
/// whose SNR in dB is nearest, down to the last. The start is scaled as in published_chain().
/// @param indices  descending, as inference_indices()
ReverseChain scheduler_chain(const NoiseSchedule& schedule, double sigma2,
                             const arma::uvec& indices);

/// n_steps calls at levels uniform in log SNR from sigma2 down to sigma2_end, the last one to zero
/// noise. One step is Tweedie's formula. When sigma2 <= sigma2_end, one step.
ReverseChain log_snr_chain(double sigma2, double sigma2_end, arma::uword n_steps);
/// The number of steps of that chain, and one of them, 0 <= i < n_steps; nothing is allocated.
arma::uword log_snr_length(double sigma2, double sigma2_end, arma::uword n_steps);
ReverseStep log_snr_step(double sigma2, double sigma2_end, arma::uword n_steps, arma::uword i);

}  // namespace v0
}  // namespace chest
