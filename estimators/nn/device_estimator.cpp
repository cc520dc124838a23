#include <chest/estimators/nn/device_estimator.hpp>

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <list>
#include <string>
#include <vector>

#ifdef CHEST_WITH_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/diffusion/cycle_spinning.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/observation.hpp>
#include <chest/text.hpp>

#include "device.hpp"
#include "tensor_bridge.hpp"
#include "torch_chain.hpp"

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

constexpr const char* who = "device estimator";

/// Matrices [n_batch, n_columns, n_rows]: columns one after the other.
at::Tensor view_of(const std::complex<float>* values, std::int64_t n_batch, std::int64_t n_columns,
                   std::int64_t n_rows, const at::Device& device) {
  return at::from_blob(const_cast<std::complex<float>*>(values), {n_batch, n_columns, n_rows},
                       at::TensorOptions().dtype(at::kComplexFloat).device(device));
}

at::Tensor tensor_of(const arma::cx_mat& values, const at::Device& device) {
  const arma::cx_fmat single = arma::conv_to<arma::cx_fmat>::from(values);
  return view_of(single.memptr(), 1, static_cast<std::int64_t>(single.n_cols),
                 static_cast<std::int64_t>(single.n_rows), at::kCPU)
      .clone()
      .to(device);
}

class DeviceDmse final : public DeviceEstimator {
 public:
  DeviceDmse(const arma::cx_mat& P, arma::uword n_rx, const NetworkModel& model,
             const DeviceOptions& options, double gain)
      : n_rx_(static_cast<std::int64_t>(n_rx)),
        n_tx_(static_cast<std::int64_t>(P.n_rows)),
        n_pilots_(static_cast<std::int64_t>(P.n_cols)),
        gain_(gain),
        calibration_(model.calibration),
        predicts_error_(model.network.variance),
        graphs_(options.graphs),
        chain_(model, options.run),
        // h^T = conj(P) y^T / gain, and a tensor of a matrix is its transpose.
        decorrelation_(tensor_of(arma::conj(P).st() / gain, chain_.device())) {
    const arma::uword most = calibration_.n_spins.is_empty() ? 1 : calibration_.n_spins.max();
    for (arma::uword n = 1; n <= most; ++n) {
      const arma::cx_mat g = phase_ramps(n_rx, P.n_rows, n, model.grid.rx_panel.is_line());
      ramps_.push_back(
          tensor_of(g, chain_.device()).view({static_cast<std::int64_t>(n), n_tx_, n_rx_}));
    }
  }

  void estimate(const std::complex<float>* y, arma::uword n_batch, double sigma2,
                std::complex<float>* h, float* mse, void* stream) override {
    if (!y || !h) refuse(std::string(who) + ": y or h is null");
    if (!(sigma2 > 0.0 && std::isfinite(sigma2))) {
      refuse(std::string(who) + ": sigma2 is " + number_text(sigma2) +
             ", it must be positive and finite");
    }
    if (mse && !predicts_error_ && calibration_.empty()) {
      refuse(std::string(who) + ": this model does not predict its error");
    }
    if (stream && !chain_.device().is_cuda()) {
      refuse(std::string(who) + ": streams are of a GPU, this estimator runs on " +
             chain_.device().str());
    }
    if (n_batch == 0) return;
    const auto n = static_cast<std::int64_t>(n_batch);
    with_torch(who, chain_.device(), [&] {
      const c10::InferenceMode no_gradients;
      Buffers buffers{view_of(y, n, n_pilots_, n_rx_, chain_.device()),
                      view_of(h, n, n_tx_, n_rx_, chain_.device()),
                      {}};
      if (mse) {
        buffers.mse =
            at::from_blob(mse, {n}, at::TensorOptions().dtype(at::kFloat).device(chain_.device()));
      }
      run(buffers, sigma2 / gain_, stream);
    });
  }

 private:
  struct Buffers {
    at::Tensor y, h;  ///< [n, n_pilots, n_rx], [n, n_tx, n_rx]
    at::Tensor mse;   ///< [n]; undefined: not wanted
  };

  void compute(const Buffers& buffers, double noise) const {
    const std::int64_t n = buffers.y.size(0);
    const arma::uword n_spins = calibration_.spins_at(noise);
    const at::Tensor& ramps = ramps_[n_spins - 1];
    const auto k = static_cast<std::int64_t>(n_spins);
    // All chains of all items at once, [n k, n_tx, n_rx].
    const at::Tensor z = at::matmul(decorrelation_, buffers.y);
    const at::Tensor turned = k == 1 ? z : (z.unsqueeze(1) * ramps).view({n * k, n_tx_, n_rx_});
    at::Tensor z_ang = to_angular(planes_of(turned.transpose(1, 2)));
    const std::size_t n_steps =
        calibration_.steps_at(noise, static_cast<arma::uword>(DmseOptions{}.n_steps));
    at::Tensor predicted;
    const ReverseChain chain = log_snr_chain(noise, DmseOptions{}.sigma2_end, n_steps);
    for (std::size_t i = 0; i < chain.steps.size(); ++i) {
      const PreparedStep step = chain_.prepare(chain.steps[i]);
      const NetworkOutput output = TorchChain::advance(step, z_ang);
      if (i > 0 || !predicts_error_ || !buffers.mse.defined()) continue;
      predicted = output.deviation.square().sum({1, 2, 3}) * step.prior_variance;
    }
    const at::Tensor x =
        complex_of(to_antenna(z_ang)).transpose(1, 2).reshape({n, k, n_tx_, n_rx_});
    at::Tensor spread;
    if (k == 1) {
      buffers.h.copy_(x.squeeze(1));
    } else {
      const at::Tensor back = x * ramps.conj();
      const at::Tensor mean = back.mean(1);
      buffers.h.copy_(mean);
      if (buffers.mse.defined()) {
        spread = at::view_as_real(back - mean.unsqueeze(1)).square().sum({2, 3, 4}).mean(1);
      }
    }
    if (!buffers.mse.defined()) return;
    if (!predicts_error_) {
      buffers.mse.fill_(calibration_.mse_at(noise) * static_cast<double>(n_rx_ * n_tx_));
      return;
    }
    predicted = predicted.view({n, k}).mean(1) * calibration_.mse_ratio_at(noise);
    // error_of_mean()
    if (spread.defined())
      predicted = at::maximum(predicted - spread, predicted * chest::least_part_of_mean);
    buffers.mse.copy_(predicted);
  }

#ifdef CHEST_WITH_CUDA
  /// A batch size and level that was seen, and from the second time on what was recorded of it.
  struct Recorded {
    std::int64_t n;
    double noise;
    bool has_mse;
    Buffers buffers = {};
    std::unique_ptr<at::cuda::CUDAGraph> graph = {};
  };

  void run(const Buffers& buffers, double noise, void* stream) {
    if (!chain_.device().is_cuda()) return compute(buffers, noise);
    const c10::cuda::CUDAStreamGuard guard(
        stream ? c10::cuda::getStreamFromExternal(static_cast<cudaStream_t>(stream),
                                                  chain_.device().index())
               : c10::cuda::getDefaultCUDAStream(chain_.device().index()));
    if (!graphs_) return compute(buffers, noise);
    const std::int64_t n = buffers.y.size(0);
    const bool has_mse = buffers.mse.defined();
    for (auto at = recorded_.begin(); at != recorded_.end(); ++at) {
      if (at->n != n || at->noise != noise || at->has_mse != has_mse) continue;
      recorded_.splice(recorded_.begin(), recorded_, at);
      Recorded& found = recorded_.front();
      if (!found.graph) record(buffers, found);
      found.buffers.y.copy_(buffers.y, /*non_blocking=*/true);
      found.graph->replay();
      buffers.h.copy_(found.buffers.h, /*non_blocking=*/true);
      if (has_mse) buffers.mse.copy_(found.buffers.mse, /*non_blocking=*/true);
      return;
    }
    constexpr std::size_t most_recorded = 8;
    recorded_.push_front({n, noise, has_mse});
    if (recorded_.size() > most_recorded) recorded_.pop_back();
    // Prepares the levels, and warms up what chooses its algorithm at the first call.
    compute(buffers, noise);
  }

  void record(const Buffers& like, Recorded& out) {
    out.buffers = {like.y.clone(), at::empty_like(like.h),
                   out.has_mse ? at::empty_like(like.mse) : at::Tensor()};
    c10::cuda::getCurrentCUDAStream(chain_.device().index()).synchronize();
    // A recording needs a stream of its own.
    const c10::cuda::CUDAStreamGuard guard(
        c10::cuda::getStreamFromPool(false, chain_.device().index()));
    compute(out.buffers, out.noise);
    c10::cuda::getCurrentCUDAStream(chain_.device().index()).synchronize();
    auto graph = std::make_unique<at::cuda::CUDAGraph>();
    graph->capture_begin();
    compute(out.buffers, out.noise);
    graph->capture_end();
    out.graph = std::move(graph);
  }

  std::list<Recorded> recorded_;  // the last used first
#else
  void run(const Buffers& buffers, double noise, void* stream) {
    if (stream || chain_.device().is_cuda()) {
      refuse(std::string(who) + ": chest was built without CUDA's headers");
    }
    compute(buffers, noise);
  }
#endif

  std::int64_t n_rx_, n_tx_, n_pilots_;
  double gain_;
  Calibration calibration_;
  bool predicts_error_;
  [[maybe_unused]] bool graphs_;
  TorchChain chain_;
  at::Tensor decorrelation_;       // [1, n_tx, n_pilots]
  std::vector<at::Tensor> ramps_;  // of 1, 2, ... chains: [n, n_tx, n_rx]
};

}  // namespace
}  // namespace nn

std::unique_ptr<DeviceEstimator> make_device_dmse(const arma::cx_mat& P, arma::uword n_rx,
                                                  const NetworkModel& model,
                                                  const DeviceOptions& options) {
  const double gain = decorrelation_gain(nn::who, make_kronecker_observation(P, n_rx).get());
  check_is_prior(model, nn::who);
  if (model.n_rx != n_rx || model.n_tx != P.n_rows || !model.grid.empty()) {
    refuse(std::string(nn::who) + ": the model is not for matrices " + std::to_string(n_rx) + "x" +
           std::to_string(P.n_rows) + " and any pilots");
  }
  return std::make_unique<nn::DeviceDmse>(P, n_rx, model, options, gain);
}

bool built_with_cuda() {
#ifdef CHEST_WITH_CUDA
  return true;
#else
  return false;
#endif
}

}  // namespace v0
}  // namespace chest
