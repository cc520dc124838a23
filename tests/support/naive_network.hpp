#pragma once

#include <algorithm>
#include <armadillo>
#include <chest/angular.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/metrics.hpp>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

namespace chest {

// A second implementation of the networks, in double, loops as the formulas read.
using NaivePlanes = std::vector<arma::mat>;

inline NaivePlanes naive_convolution(const NaivePlanes& x, const NamedTensor& weight,
                                     const NamedTensor& bias, bool circular) {
  const auto n_out = weight.dims[0], n_in = weight.dims[1];
  const auto kernel_rows = weight.dims[2], kernel_cols = weight.dims[3];
  const auto n_rows = static_cast<std::int64_t>(x[0].n_rows);
  const auto n_cols = static_cast<std::int64_t>(x[0].n_cols);
  NaivePlanes y(n_out, arma::mat(n_rows, n_cols));
  for (std::int64_t o = 0; o < n_out; ++o) {
    for (std::int64_t r = 0; r < n_rows; ++r) {
      for (std::int64_t c = 0; c < n_cols; ++c) {
        double sum = bias.values[o];
        for (std::int64_t i = 0; i < n_in; ++i) {
          for (std::int64_t u = 0; u < kernel_rows; ++u) {
            for (std::int64_t v = 0; v < kernel_cols; ++v) {
              std::int64_t row = r + u - kernel_rows / 2, col = c + v - kernel_cols / 2;
              if (circular) {
                row = (row % n_rows + n_rows) % n_rows;
                col = (col % n_cols + n_cols) % n_cols;
              }
              if (row < 0 || row >= n_rows || col < 0 || col >= n_cols) continue;
              sum += weight.values[((o * n_in + i) * kernel_rows + u) * kernel_cols + v] *
                     x[i](row, col);
            }
          }
        }
        y[o](r, c) = sum;
      }
    }
  }
  return y;
}

struct NaiveOutput {
  arma::cx_mat o;
  arma::mat deviation;  // empty without variance
};

inline NaiveOutput naive_network(const NetworkModel& model, const arma::cx_mat& X, double sigma2) {
  const NetworkConfig& config = model.network;
  const auto tensor = [&](const std::string& name) -> const NamedTensor& {
    for (const NamedTensor& candidate : model.weights) {
      if (candidate.name == name) return candidate;
    }
    throw std::logic_error(name);
  };
  std::vector<double> features;
  const int n = config.embedding / 2;
  for (int k = 0; k < n; ++k) {
    features.push_back(config.log_snr ? -to_db(sigma2) * (k + 1) * M_PI / 160.0
                                      : model.schedule.fractional_index(sigma2) *
                                            std::exp(-k * std::log(1e4) / (n - 1)));
  }
  const NamedTensor& weight = tensor("modulation.weight");
  const NamedTensor& bias = tensor("modulation.bias");
  const auto modulation = [&](std::size_t row) {
    double sum = bias.values[row];
    for (int k = 0; k < n; ++k) {
      sum += weight.values[row * 2 * n + k] * std::sin(features[k]);
      sum += weight.values[row * 2 * n + n + k] * std::cos(features[k]);
    }
    return sum;
  };
  NaivePlanes x{arma::real(X), arma::imag(X)};
  if (config.magnitude) {
    x.push_back(0.3 * arma::log1p(arma::square(arma::abs(X)) * (1.0 + sigma2) / sigma2));
  }
  if (config.position) {
    for (int side : {0, 1}) {
      for (int sine : {0, 1}) {
        arma::mat plane(arma::size(X));
        for (arma::uword r = 0; r < X.n_rows; ++r) {
          for (arma::uword c = 0; c < X.n_cols; ++c) {
            const double angle = side == 0 ? 2.0 * M_PI * double(r) / double(X.n_rows)
                                           : 2.0 * M_PI * double(c) / double(X.n_cols);
            plane(r, c) = sine ? std::sin(angle) : std::cos(angle);
          }
        }
        x.push_back(plane);
      }
    }
  }
  std::size_t first = 0;
  for (std::size_t i = 0; i <= config.hidden.size(); ++i) {
    const std::string layer = "conv" + std::to_string(i);
    x = naive_convolution(x, tensor(layer + ".weight"), tensor(layer + ".bias"), config.circular);
    const bool modulated = std::count(config.modulated.begin(), config.modulated.end(), i) > 0;
    if (modulated) {
      for (std::size_t c = 0; c < x.size(); ++c) {
        x[c] = x[c] * (1.0 + modulation(first + c)) + modulation(first + x.size() + c);
      }
      first += 2 * x.size();
    }
    if (i == config.hidden.size() || (modulated && !config.relu_after_modulation)) continue;
    for (arma::mat& plane : x) plane = arma::clamp(plane, 0.0, arma::datum::inf);
  }
  NaiveOutput output{arma::cx_mat(x[0], x[1]), {}};
  if (config.gate) output.o += arma::cx_mat(x[2], x[3]) % X;
  if (config.reverse_variance) {
    // By converted_variance(), at a trained level: of each part half.
    const auto i = static_cast<arma::uword>(std::lround(model.schedule.fractional_index(sigma2)));
    const arma::vec &betas = model.schedule.betas(), &abar = model.schedule.abar();
    const arma::uword of_least = std::max<arma::uword>(i, 1);
    const double least = betas(of_least) * (1.0 - abar(of_least - 1)) / (1.0 - abar(of_least));
    output.deviation.zeros(arma::size(X));
    for (const arma::mat& plane : {x[x.size() - 2], x[x.size() - 1]}) {
      const arma::mat log_reverse =
          (1.0 + plane) / 2.0 * std::log(betas(i)) + (1.0 - plane) / 2.0 * std::log(least);
      output.deviation += converted_variance(arma::exp(log_reverse), model.schedule, i) / 2.0;
    }
    output.deviation = arma::sqrt(output.deviation * (1.0 + sigma2) / sigma2);
  } else if (config.variance)
    output.deviation = arma::log1p(arma::exp(x.back()));
  return output;
}

// D by the naive network: x = F z / sqrt(1 + sigma2), D = F^H (z_gain F z + o_gain o), and its
// predicted error per angular entry.
inline arma::cx_mat naive_denoise(const NetworkModel& model, const arma::cx_mat& z, double sigma2,
                                  arma::mat* angular = nullptr) {
  const AngularTransform transform(model.n_rx, model.n_tx);
  arma::cx_mat out = transform.forward(z);
  if (angular) angular->set_size(arma::size(z));
  const PredictionGains gains = prediction_gains(model.prediction, sigma2);
  for (arma::uword k = 0; k < z.n_cols; ++k) {
    const arma::cx_mat Z = arma::reshape(out.col(k), model.n_rx, model.n_tx);
    const NaiveOutput found = naive_network(model, Z / std::sqrt(1.0 + sigma2), sigma2);
    out.col(k) = arma::vectorise(gains.z_gain * Z + gains.o_gain * found.o);
    if (angular) {
      angular->col(k) = arma::vectorise(arma::square(found.deviation)) * (sigma2 / (1.0 + sigma2));
    }
  }
  return transform.inverse(out);
}

}  // namespace chest
