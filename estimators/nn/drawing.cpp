#include "drawing.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/random.hpp>

#include <chest/estimators/diffusion/sampler.hpp>

#include "level_denoiser.hpp"
#include "tensor_bridge.hpp"
#include "training.hpp"

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

/// A discrepancy wants many channels at once, the memory of a gradient few.
constexpr std::int64_t most_drawn_at_once = 64, most_validated = 1024;
/// Over angles, which tell what the phases of a channel hide: where its power is.
at::Tensor magnitudes(const at::Tensor& planes) {
  // The root has no derivative at 0.
  constexpr double least = 1e-12;
  return (planes.square().sum(1, true) + least).sqrt();
}

/// The median of ||x_i - x_j||^2 over the pairs of a set.
double median_distance(const at::Tensor& planes) {
  return at::pdist(planes.flatten(1)).median().square().item<double>();
}

class DrawingObjective final : public Objective {
 public:
  DrawingObjective(const NetworkFitOptions& options, const NetworkModel& model,
                   const at::Tensor& train, const at::Tensor& validation,
                   std::shared_ptr<const Processes> processes)
      : Objective(train, {.size = static_cast<std::int64_t>(options.batch),
                          .micro_batch = std::min(static_cast<std::int64_t>(options.batch),
                                                  most_drawn_at_once),
                          .seed = options.seed,
                          .n_threads = train.is_cuda() ? 1 : options.n_threads,
                          .processes = std::move(processes)}),
        options_(options),
        model_(model),
        levels_(sample_levels(SampleWalk{}, options.unroll, model.sigma2_range())),
        validation_(validation.narrow(0, 0, std::min(validation.size(0), most_validated))) {
    if (validation_.size(0) < 2) {
      throw Error(ErrorKind::invalid_argument,
                  "fit: the objective discrepancy compares sets of channels, and there is 1 to "
                  "validate with; expected at least 2");
    }
    width_ = median_distance(validation_);
    magnitude_width_ = median_distance(magnitudes(validation_));
  }

  double batch(FitState& state, at::Tensor& gradient) override {
    const std::int64_t count = batch_size(state);
    std::vector<double> losses(static_cast<std::size_t>(n_micro_batches(state)));
    gradient = sum_gradients(state, [&](const MicroBatch& part, const at::Tensor& weights) {
      const std::int64_t n = part.h.size(0);
      at::Tensor phases;
      const at::Tensor drawn =
          draw(weights, noise(Purpose::training, state.epoch, part.begin, n, &phases),
               options_.bfloat16);
      // Of one channel there are no pairs.
      if (n < 2) return drawn.sum() * 0.0;
      const at::Tensor h =
          options_.augmentation == Augmentation::none ? part.h : rotated(part.h, phases);
      const at::Tensor loss = discrepancy(drawn, h);
      losses[part.index] = static_cast<double>(n) * loss.item<double>();
      return loss * (static_cast<double>(n) / static_cast<double>(count));
    });
    processes().add_up(losses);
    double sum = 0.0;
    for (const double loss : losses) sum += loss;
    return sum;
  }

  double validate(const at::Tensor& flat) const override {
    const std::int64_t n = validation_.size(0);
    const std::int64_t n_parts = (n + most_drawn_at_once - 1) / most_drawn_at_once;
    std::vector<at::Tensor> parts(static_cast<std::size_t>(n_parts));
    // The discrepancy is of all at once: every process draws them all.
    for (std::int64_t i = 0; i < n_parts; ++i) {
      const std::int64_t begin = i * most_drawn_at_once;
      parts[static_cast<std::size_t>(i)] =
          draw(flat, noise(Purpose::validation, 0, begin, std::min(most_drawn_at_once, n - begin)),
               false);
    }
    return discrepancy(at::cat(parts), validation_).item<double>();
  }

 private:
  at::Tensor discrepancy(const at::Tensor& drawn, const at::Tensor& h) const {
    return squared_discrepancy(drawn, h, width_) +
           squared_discrepancy(magnitudes(drawn), magnitudes(h), magnitude_width_);
  }

  at::Tensor draw(const at::Tensor& weights, const at::Tensor& noise, bool bfloat16) const {
    return drawn_channels(model_, weights, levels_, noise, bfloat16);
  }

  /// Of positions begin .. of an epoch, each from its own stream.
  /// @param phases  uniform ones too, [n, 1, 1, 1]
  at::Tensor noise(Purpose purpose, std::int64_t epoch, std::int64_t begin, std::int64_t count,
                   at::Tensor* phases = nullptr) const {
    const auto n_rx = static_cast<arma::uword>(validation_.size(2)),
               n_tx = static_cast<arma::uword>(validation_.size(3));
    arma::cx_mat out(n_rx * n_tx, static_cast<arma::uword>(count));
    std::vector<float> turns;
    for (arma::uword k = 0; k < out.n_cols; ++k) {
      Rng rng(options_.seed, {purpose, static_cast<std::uint64_t>(epoch),
                              static_cast<std::uint64_t>(begin) + k + 1});
      rng.fill_cx_normal(out.colptr(k), out.n_rows);
      turns.push_back(static_cast<float>(2.0 * M_PI * rng.uniform()));
    }
    if (phases) *phases = at::tensor(turns).to(validation_.device()).view({-1, 1, 1, 1});
    return planes_from_columns(out, n_rx, n_tx, validation_.device());
  }

  const NetworkFitOptions& options_;
  const NetworkModel& model_;
  arma::vec levels_;
  at::Tensor validation_;
  double width_ = 0.0, magnitude_width_ = 0.0;
};

}  // namespace

at::Tensor drawn_channels(const NetworkModel& model, const at::Tensor& flat,
                          const arma::vec& levels, const at::Tensor& noise, bool bfloat16) {
  const at::ScalarType precision = bfloat16 ? at::kBFloat16 : flat.scalar_type();
  at::Tensor z = noise * std::sqrt(1.0 + levels.front()), D;
  for (arma::uword i = 0; i < levels.n_elem; ++i) {
    D = LevelDenoiser(model, flat, levels(i), precision)(z).o;
    if (i + 1 < levels.n_elem) z = D + (z - D) * std::sqrt(levels(i + 1) / levels(i));
  }
  return D;
}

at::Tensor squared_distances(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor rows = x.flatten(1), columns = y.flatten(1).t();
  return (rows.square().sum(1, true) + columns.square().sum(0, true) - rows.matmul(columns) * 2.0)
      .clamp_min(0.0);
}

at::Tensor squared_discrepancy(const at::Tensor& x, const at::Tensor& y, double width) {
  const auto kernel = [width](const at::Tensor& a, const at::Tensor& b) {
    return (squared_distances(a, b) / -width).exp();
  };
  const auto of_pairs = [&](const at::Tensor& a) {
    const at::Tensor k = kernel(a, a);
    const auto n = static_cast<double>(a.size(0));
    return (k.sum() - k.diagonal().sum()) / (n * (n - 1.0));
  };
  return of_pairs(x) + of_pairs(y) - kernel(x, y).mean() * 2.0;
}

std::unique_ptr<Objective> make_drawing_objective(const NetworkFitOptions& options,
                                                  const NetworkModel& model,
                                                  const at::Tensor& train,
                                                  const at::Tensor& validation,
                                                  std::shared_ptr<const Processes> processes) {
  return std::make_unique<DrawingObjective>(options, model, train, validation,
                                            std::move(processes));
}

}  // namespace nn
}  // namespace v0
}  // namespace chest
