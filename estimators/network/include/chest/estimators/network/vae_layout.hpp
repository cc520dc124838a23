#pragma once

#include <cstdint>
#include <vector>

#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/vae_model.hpp>

namespace chest {
inline namespace v0 {

/// Input planes of the encoder: re, im, log magnitude, noise level, share of observed directions.
constexpr std::int64_t n_vae_inputs = 5;

/// Names and dimensions of the arrays of a VAE, as network_layout().
std::vector<NamedTensor> vae_layout(const VaeConfig& config, arma::uword n_rx, arma::uword n_tx);

}  // namespace v0
}  // namespace chest
