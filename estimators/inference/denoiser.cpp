#include <chest/estimators/inference/engine_denoiser.hpp>

#include <algorithm>
#include <mutex>
#include <utility>

#include <chest/estimators/network/network_denoiser_base.hpp>

#include <chest/estimators/inference/precision.hpp>

#include "plane_network.hpp"

namespace chest {
inline namespace v0 {
namespace inference {
namespace {

/// Memory for as many calls as run at once, kept for those that follow.
class WorkspacePool {
 public:
  explicit WorkspacePool(const PlaneNetwork& network) : network_(network) {}

  class Lease {
   public:
    explicit Lease(WorkspacePool& pool) : pool_(pool), workspace_(pool.take()) {}
    ~Lease() {
      const std::lock_guard lock(pool_.mutex_);
      pool_.free_.push_back(std::move(workspace_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace& operator*() const { return *workspace_; }

   private:
    WorkspacePool& pool_;
    std::unique_ptr<Workspace> workspace_;
  };

 private:
  std::unique_ptr<Workspace> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        std::unique_ptr<Workspace> workspace = std::move(free_.back());
        free_.pop_back();
        return workspace;
      }
      // Room for all to come back to: giving back cannot fail.
      free_.reserve(++n_made_);
    }
    return std::make_unique<Workspace>(network_.make_workspace());
  }

  const PlaneNetwork& network_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> free_;
  std::size_t n_made_ = 0;
};

class EngineDenoiser final : public NetworkDenoiserBase {
 public:
  EngineDenoiser(const NetworkModel& model, arma::uword n_columns, double step,
                 NetworkPrecision precision,
                 std::function<std::unique_ptr<Denoiser>()> make_derivatives)
      : NetworkDenoiserBase(model, model.n_rx * n_columns),
        network_(model, model.n_rx, n_columns, step, precision),
        pool_(network_),
        make_derivatives_(std::move(make_derivatives)) {}

  bool differentiable() const override { return bool(make_derivatives_); }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    if (!differentiable()) return Denoiser::linearise(z, sigma2);
    std::call_once(derivatives_made_, [&] { derivatives_ = make_derivatives_(); });
    return derivatives_->linearise(z, sigma2);
  }

 private:
  void run_beside(const std::vector<ReverseStep>& steps, const arma::cx_mat* side, arma::cx_mat& z,
                  DenoiserError* error) const override {
    const WorkspacePool::Lease lease(pool_);
    Workspace& workspace = *lease;
    std::vector<Level> levels;
    for (const ReverseStep& step : steps) {
      levels.push_back(network_.make_level());
      network_.set_level(step, workspace, levels.back());
    }
    const bool with_error = error && config().variance;
    if (error) {
      error->mse.set_size(with_error ? z.n_cols : 0);
      error->angular.set_size(with_error && error->per_angle ? z.n_rows : 0, z.n_cols);
      error->heads.set_size(workspace.heads.size(), z.n_cols);
    }
    for (arma::uword k = 0; k < z.n_cols; ++k) {
      const Planes planes{workspace.z_re.data(), workspace.z_im.data()};
      const Planes scratch{workspace.re.data(), workspace.im.data()};
      network_.put_channel(z.colptr(k), workspace);
      if (config().side) network_.put_side(side ? side->colptr(k) : nullptr, workspace);
      for (std::size_t i = 0; i < levels.size(); ++i) {
        const double sum = network_.step(levels[i], with_error && i == 0, workspace);
        if (!with_error || i > 0) continue;
        error->mse(k) = sum;
        if (!workspace.heads.empty()) {
          std::copy(workspace.heads.begin(), workspace.heads.end(), error->heads.colptr(k));
        }
        if (error->angular.n_rows == 0) continue;
        network_.for_entries([&](std::size_t at, arma::uword entry) {
          error->angular(entry, k) = static_cast<double>(workspace.error[at]);
        });
      }
      network_.transform().inverse(planes, scratch);
      network_.for_entries([&](std::size_t at, arma::uword entry) {
        z(entry, k) = {static_cast<double>(planes.re[at]), static_cast<double>(planes.im[at])};
      });
    }
    if (with_error) odds_to_probabilities(error->heads);
  }

  PlaneNetwork network_;
  mutable WorkspacePool pool_;
  std::function<std::unique_ptr<Denoiser>()> make_derivatives_;
  mutable std::once_flag derivatives_made_;
  mutable std::unique_ptr<Denoiser> derivatives_;
};

}  // namespace
}  // namespace inference

std::unique_ptr<Denoiser> make_engine_denoiser(
    const NetworkModel& model, const NetworkRunOptions& options,
    std::function<std::unique_ptr<Denoiser>()> make_derivatives) {
  const NetworkPrecision precision = choose_precision(model, options).precision;
  return std::make_unique<inference::EngineDenoiser>(
      model, options.n_columns > 0 ? options.n_columns : model.n_tx,
      options.step > 0.0 ? options.step : static_cast<double>(model.grid.plane_step), precision,
      std::move(make_derivatives));
}

const char* engine_target() { return inference::kernels().target; }

}  // namespace v0
}  // namespace chest
