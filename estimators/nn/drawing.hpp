#pragma once

#include <ATen/ATen.h>

#include <armadillo>
#include <memory>

#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_fit.hpp>

#include "fit_loop.hpp"

namespace chest {
inline namespace v0 {
namespace nn {

/// Channels that a network draws by the probability-flow ODE in first-order steps, as `chest sample --sampler ddim`
/// does. Differentiable in the weights.
/// @param model   its weights are not read
/// @param flat    weights, [n_parameters]
/// @param levels  noise variances, descending; a call at each
/// @param noise   planes CN(0, 1) of the angular domain, [n, 2, n_rx, n_tx]
at::Tensor drawn_channels(const NetworkModel& model, const at::Tensor& flat,
                          const arma::vec& levels, const at::Tensor& noise, bool bfloat16 = false);

/// ||x_i - y_j||^2 of planes [n, ..] and [m, ..], [n, m].
at::Tensor squared_distances(const at::Tensor& x, const at::Tensor& y);

/// Squared maximum mean discrepancy of two sets of planes, unbiased, with the kernel exp(-||x - y||^2 / width).
/// At least two of each.
/// Source: [Gretton2012]
at::Tensor squared_discrepancy(const at::Tensor& x, const at::Tensor& y, double width);

/// Makes the discrepancy small between channels that the network draws in options.unroll calls and those of a set, and
/// that between their magnitudes over angles; widths are medians of pairs.
/// @param model  network, prediction and schedule of the fit
/// @param train, validation  planes of the angular domain on the device of the fit
/// Source: [Aiello2023]
std::unique_ptr<Objective> make_drawing_objective(const NetworkFitOptions& options,
                                                  const NetworkModel& model,
                                                  const at::Tensor& train,
                                                  const at::Tensor& validation,
                                                  std::shared_ptr<const Processes> processes);

}  // namespace nn
}  // namespace v0
}  // namespace chest
