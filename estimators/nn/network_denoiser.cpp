#include <chest/estimators/nn/network_denoiser.hpp>

#include <memory>
#include <mutex>
#include <utility>

#include <chest/estimators/inference/engine_denoiser.hpp>

#include "torch_denoiser.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// The engine's estimates and LibTorch's derivatives, which are made when the first is asked for.
class EngineWithDerivatives final : public Denoiser {
 public:
  EngineWithDerivatives(const NetworkModel& model, const NetworkRunOptions& options)
      : engine_(make_engine_denoiser(model, options)), model_(model), options_(options) {}

  using Denoiser::denoise;

  std::string name() const override { return engine_->name(); }
  arma::uword n_h() const override { return engine_->n_h(); }
  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    engine_->denoise(z, sigma2, out);
  }
  void denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                          DenoiserError& error) const override {
    engine_->denoise_with_error(z, sigma2, out, error);
  }
  bool predicts_error() const override { return engine_->predicts_error(); }
  bool predicts_angular_error() const override { return engine_->predicts_angular_error(); }
  void run(const std::vector<ReverseStep>& steps, arma::cx_mat& z,
           DenoiserError* error) const override {
    engine_->run(steps, z, error);
  }
  std::optional<std::pair<double, double>> sigma2_range() const override {
    return engine_->sigma2_range();
  }
  bool blind() const override { return engine_->blind(); }
  void denoise_blind(const arma::cx_mat& z, arma::cx_mat& out) const override {
    engine_->denoise_blind(z, out);
  }

  bool differentiable() const override { return true; }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    std::call_once(made_, [&] { torch_ = make_torch_denoiser(model_, options_); });
    return torch_->linearise(z, sigma2);
  }

 private:
  std::unique_ptr<Denoiser> engine_;
  NetworkModel model_;
  NetworkRunOptions options_;
  mutable std::once_flag made_;
  mutable std::unique_ptr<Denoiser> torch_;
};

}  // namespace

std::unique_ptr<Denoiser> make_network_denoiser(const NetworkModel& model,
                                                const NetworkRunOptions& options) {
  const bool own = engine_in_use(options).rfind("onednn", 0) == 0;
  if (!own) return make_torch_denoiser(model, options);
  if (options.engine == NetworkEngine::automatic && built_with_torch()) {
    return std::make_unique<EngineWithDerivatives>(model, options);
  }
  return make_engine_denoiser(model, options);
}

}  // namespace v0
}  // namespace chest
