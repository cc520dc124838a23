#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include <chest/estimators/common/level_cache.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/run_options.hpp>

#include "network.hpp"

namespace chest {
inline namespace v0 {
namespace nn {

/// A step z <- z_gain z + o_gain network(x_gain z), with all that does not depend on z worked out.
struct PreparedStep {
  std::shared_ptr<const LevelNetwork> network;
  double x_gain, z_gain, o_gain;
  double prior_variance;  ///< times the square of NetworkOutput::deviation: the error of an entry
};

/// The network of a model on a device, prepared once per noise level. Threads share one.
class TorchChain {
 public:
  /// @throws Error(invalid_argument) if there is no such device
  TorchChain(const NetworkModel& model, const NetworkRunOptions& options);

  PreparedStep prepare(const ReverseStep& step) const;
  /// One step of angular planes [n, 2, n_rx, n_tx], in place; what the network gave.
  /// @param side  as LevelNetwork::forward()
  static NetworkOutput advance(const PreparedStep& step, at::Tensor& z_ang,
                               const at::Tensor& side = {});

  const at::Device& device() const { return device_; }

 private:
  LevelNetwork network_at(double sigma2) const;

  NetworkConfig config_;
  Prediction prediction_;
  bool of_pilots_;
  NoiseSchedule schedule_;
  double step_;  // subcarriers between columns, of planes of grids
  at::Device device_;
  at::ScalarType precision_;
  Network network_;
  LevelCache<LevelNetwork> levels_;
};

}  // namespace nn
}  // namespace v0
}  // namespace chest
