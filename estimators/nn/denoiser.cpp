#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include <chest/error.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/network_denoiser_base.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/metrics.hpp>

#include "device.hpp"
#include "tensor_bridge.hpp"
#include "torch_chain.hpp"
#include "torch_denoiser.hpp"

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

/// D and the graph that led to it, by micro-batches.
class NetworkLinearization final : public DenoiserLinearization {
 public:
  struct Part {
    at::Tensor z, D;  ///< angular planes; z is where gradients arrive
  };

  NetworkLinearization(std::vector<Part> parts, arma::uword micro_batch, arma::cx_mat D,
                       arma::uword n_rx, arma::uword n_tx, const at::Device& device)
      : parts_(std::move(parts)),
        micro_batch_(micro_batch),
        D_(std::move(D)),
        n_rx_(n_rx),
        n_tx_(n_tx),
        device_(device) {}

  const arma::cx_mat& D() const override { return D_; }

  void pull_back(const arma::cx_mat& w, arma::cx_mat& out) const override {
    if (w.n_rows != D_.n_rows || w.n_cols != D_.n_cols) {
      throw Error(ErrorKind::invalid_argument,
                  "network denoiser: w is " + std::to_string(w.n_rows) + "x" +
                      std::to_string(w.n_cols) + ", expected " + std::to_string(D_.n_rows) + "x" +
                      std::to_string(D_.n_cols));
    }
    out.set_size(arma::size(D_));
    with_torch("network denoiser", device_, [&] {
      for (std::size_t i = 0; i < parts_.size(); ++i) {
        const arma::uword first = i * micro_batch_, last = first + parts_[i].z.size(0) - 1;
        arma::cx_mat columns = w.cols(first, last);
        const at::Tensor w_ang = to_angular(planes_from_columns(columns, n_rx_, n_tx_, device_));
        const at::Tensor g = torch::autograd::grad({parts_[i].D}, {parts_[i].z}, {w_ang},
                                                   /*retain_graph=*/true)
                                 .front();
        columns_from_planes(to_antenna(g), columns);
        out.cols(first, last) = columns;
      }
    });
  }

 private:
  std::vector<Part> parts_;
  arma::uword micro_batch_;
  arma::cx_mat D_;
  arma::uword n_rx_, n_tx_;
  at::Device device_;
};

class NetworkDenoiser final : public NetworkDenoiserBase {
 public:
  NetworkDenoiser(const NetworkModel& model, const NetworkRunOptions& options)
      : NetworkDenoiserBase(model,
                            model.n_rx * (options.n_columns > 0 ? options.n_columns : model.n_tx)),
        n_rx_(model.n_rx),
        n_tx_(options.n_columns > 0 ? options.n_columns : model.n_tx),
        micro_batch_(options.micro_batch),
        chain_(checked(model), options) {
    if (micro_batch_ == 0) {
      micro_batch_ = chain_.device().is_cuda() ? 512 : cpu_micro_batch(n_h());
    }
  }

  bool differentiable() const override { return true; }

  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    check_input(z, sigma2);
    std::unique_ptr<DenoiserLinearization> made;
    with_torch("network denoiser", chain_.device(), [&] {
      const PreparedStep step = chain_.prepare({sigma2, 0.0});
      arma::cx_mat D(arma::size(z));
      std::vector<NetworkLinearization::Part> parts;
      for (arma::uword first = 0; first < z.n_cols; first += micro_batch_) {
        const arma::uword last = std::min(first + micro_batch_, z.n_cols) - 1;
        arma::cx_mat columns = z.cols(first, last);
        at::Tensor z_ang = to_angular(planes_from_columns(columns, n_rx_, n_tx_, chain_.device()));
        z_ang.requires_grad_(true);
        at::Tensor D_ang =
            z_ang * step.z_gain + step.network->forward(z_ang * step.x_gain).o * step.o_gain;
        columns_from_planes(to_antenna(D_ang.detach()), columns);
        D.cols(first, last) = columns;
        parts.push_back({std::move(z_ang), std::move(D_ang)});
      }
      made = std::make_unique<NetworkLinearization>(std::move(parts), micro_batch_, std::move(D),
                                                    n_rx_, n_tx_, chain_.device());
    });
    return made;
  }

 private:
  void run_beside(const std::vector<ReverseStep>& steps, const arma::cx_mat* side, arma::cx_mat& z,
                  DenoiserError* error) const override {
    with_torch("network denoiser", chain_.device(), [&] { run_checked(steps, side, z, error); });
  }

  void run_checked(const std::vector<ReverseStep>& steps, const arma::cx_mat* side, arma::cx_mat& z,
                   DenoiserError* error) const {
    const c10::InferenceMode no_gradients;
    std::vector<PreparedStep> prepared;
    for (const ReverseStep& step : steps) prepared.push_back(chain_.prepare(step));

    if (error) {
      error->mse.set_size(config().variance ? z.n_cols : 0);
      error->angular.set_size(config().variance && error->per_angle ? z.n_rows : 0, z.n_cols);
      const int n_heads = config().variance ? config().n_heads() : 0;
      error->heads.set_size(static_cast<arma::uword>(n_heads), z.n_cols);
    }
    for (arma::uword first = 0; first < z.n_cols; first += micro_batch_) {
      const arma::uword count = std::min(micro_batch_, z.n_cols - first);
      arma::cx_mat columns(z.colptr(first), z.n_rows, count, /*copy_aux_mem=*/false,
                           /*strict=*/true);
      at::Tensor z_ang = to_angular(planes_from_columns(columns, n_rx_, n_tx_, chain_.device()));
      at::Tensor side_ang;
      if (side) {
        side_ang = to_angular(planes_from_columns(side->cols(first, first + count - 1), n_rx_,
                                                  n_tx_, chain_.device()));
      }
      for (const PreparedStep& step : prepared) {
        const NetworkOutput output = TorchChain::advance(step, z_ang, side_ang);
        if (error && config().variance && &step == &prepared.front()) {
          keep_error(output.deviation.square().mul_(step.prior_variance), first, *error);
          if (output.heads.defined()) {
            const at::Tensor heads = output.heads.to(at::kCPU, at::kDouble).contiguous();
            std::copy_n(heads.data_ptr<double>(), heads.numel(), error->heads.colptr(first));
          }
        }
      }
      columns_from_planes(to_antenna(z_ang), columns);
    }
    if (error && config().variance) odds_to_probabilities(error->heads);
  }

  static void keep_error(const at::Tensor& variance, arma::uword first, DenoiserError& error) {
    const at::Tensor sums = variance.sum({1, 2, 3}).to(at::kCPU, at::kDouble).contiguous();
    std::copy_n(sums.data_ptr<double>(), sums.numel(), error.mse.memptr() + first);
    if (error.angular.n_rows > 0) columns_from_plane(variance, error.angular.colptr(first));
  }

  /// The model, if its network fits its antennas.
  const NetworkModel& checked(const NetworkModel& model) const {
    if (n_rx_ == 0 || n_tx_ == 0) {
      throw Error(ErrorKind::invalid_argument, "network denoiser: the model names no antennas");
    }
    if (const std::string why = config().why_invalid(); !why.empty()) {
      throw Error(ErrorKind::invalid_argument, why);
    }
    return model;
  }

  arma::uword n_rx_, n_tx_;
  arma::uword micro_batch_;
  TorchChain chain_;
};

}  // namespace
}  // namespace nn

bool built_with_torch() { return true; }

std::unique_ptr<Denoiser> make_torch_denoiser(const NetworkModel& model,
                                              const NetworkRunOptions& options) {
  return std::make_unique<nn::NetworkDenoiser>(model, options);
}

}  // namespace v0
}  // namespace chest
