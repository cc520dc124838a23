#pragma once

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include <chest/estimators/network/vae_model.hpp>

#include "network.hpp"

namespace chest {
inline namespace v0 {
namespace nn {

/// q(z | y) = N(mean, diag exp(log_variance)), each [n, latent].
struct Latent {
  at::Tensor mean, log_variance;
};

/// F h given z: CN(mean, diag exp(log_c)).
struct AngularGaussian {
  at::Tensor mean;   ///< planes [n, 2, n_rx, n_tx]
  at::Tensor log_c;  ///< [n, 1, n_rx, n_tx]
};

/// What the encoder is told of observations, [n, n_vae_inputs, n_rx, n_tx].
/// @param planes    of A^+ y in the angular domain, [n, 2, n_rx, n_tx]
/// @param sigma2    its noise variance per observed direction, [n]
/// @param observed  share of the directions of h that A sees, (0, 1]
at::Tensor encoder_inputs(const at::Tensor& planes, const at::Tensor& sigma2, double observed);

/// Encoder and decoder. Differentiable in the weights.
class Vae {
 public:
  /// @param flat  weights in the order of vae_layout(), [n_parameters]
  Vae(const VaeConfig& config, arma::uword n_rx, arma::uword n_tx, const at::Tensor& flat);
  Latent encode(const at::Tensor& inputs) const;
  AngularGaussian decode(const at::Tensor& z) const;

 private:
  bool zero_mean_;
  std::vector<std::int64_t> n_rows_, n_cols_;  ///< sizes: full, half, ..
  std::vector<Layer> layers_;                  ///< encoder, then decoder
};

/// KL(q || N(0, I)) = 1/2 sum (mean^2 + variance - 1 - ln variance), [n].
at::Tensor kl_divergence(const Latent& q);
/// ln CN(h; mean, diag c) = -sum (ln pi + ln c + |h - mean|^2 / c), [n].
at::Tensor log_likelihood(const AngularGaussian& prior, const at::Tensor& h);
/// The evidence lower bound of each channel at z = mean + deviation eps, [n].
at::Tensor elbo(const Vae& vae, const at::Tensor& inputs, const at::Tensor& h,
                const at::Tensor& eps);

}  // namespace nn
}  // namespace v0
}  // namespace chest
