#pragma once

#include <ATen/ATen.h>

#include <cmath>

#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/model_file.hpp>

#include "network.hpp"

namespace chest {
inline namespace v0 {
namespace nn {

/// A network of some weights as a denoiser of angular planes at one level. Differentiable in weights and planes.
class LevelDenoiser {
 public:
  /// @param precision  of the convolutions
  LevelDenoiser(const NetworkModel& model, const at::Tensor& flat, double level,
                at::ScalarType precision)
      : network_(model.network, network_of(model.network, flat),
                 noise_embedding(model.network, model.schedule, level), level, precision, 0.0,
                 range_of(model.network, model.schedule, level)),
        gains_(prediction_gains(model.prediction, level)),
        x_gain_(1.0 / std::sqrt(1.0 + level)) {}

  /// @param x  angular planes
  /// @return   D in angular planes, and the network's deviation
  NetworkOutput operator()(const at::Tensor& x) const {
    NetworkOutput output =
        network_.forward((x * x_gain_).contiguous(at::MemoryFormat::ChannelsLast));
    output.o = x * gains_.z_gain + output.o * gains_.o_gain;
    return output;
  }

 private:
  LevelNetwork network_;
  PredictionGains gains_;
  double x_gain_;
};

}  // namespace nn
}  // namespace v0
}  // namespace chest
