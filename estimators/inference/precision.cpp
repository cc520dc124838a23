#include <chest/estimators/inference/precision.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <mutex>

#include <chest/error.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/inference/engine_denoiser.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>

#include "plane_network.hpp"

namespace chest {
inline namespace v0 {
namespace {

constexpr arma::uword most_channels = 64;

std::unique_ptr<Denoiser> denoiser_in(NetworkPrecision precision, const NetworkModel& model) {
  NetworkRunOptions run;
  run.engine = NetworkEngine::onednn;
  run.precision = precision;
  return make_engine_denoiser(model, run);
}

/// Noisy channels of one level.
struct Trial {
  double sigma2 = 0.0;
  arma::cx_mat h, y;
};

arma::cx_mat estimate(const Denoiser& denoiser, const Trial& trial, arma::uword n_steps) {
  const ReverseChain chain = log_snr_chain(trial.sigma2, DmseOptions{}.sigma2_end, n_steps);
  arma::cx_mat z = chain.start_scale * trial.y;
  denoiser.run(chain.steps, z);
  return z;
}

/// Squared error of n_steps calls, over all channels.
double error_of(const Denoiser& denoiser, const Trial& trial, arma::uword n_steps) {
  return arma::accu(squared_errors(estimate(denoiser, trial, n_steps), trial.h));
}

/// The largest value of each hidden layer, [n_hidden, n_levels].
arma::mat largest_values(const NetworkModel& model, const std::vector<Trial>& trials,
                         unsigned n_threads) {
  const inference::PlaneNetwork network(model, model.n_rx, model.n_tx,
                                        static_cast<double>(model.grid.plane_step));
  arma::mat out(network.n_hidden(), trials.size());
  parallel_for(trials.size(), n_threads, [&](std::size_t i) {
    const Trial& trial = trials[i];
    inference::Workspace workspace = network.make_workspace();
    inference::Level level = network.make_level();
    network.set_level(log_snr_chain(trial.sigma2, DmseOptions{}.sigma2_end, 1).steps.front(),
                      workspace, level);
    std::vector<float> largest(network.n_hidden(), 1e-6F);
    for (arma::uword k = 0; k < trial.y.n_cols; ++k) {
      network.put_channel(trial.y.colptr(k), workspace);
      network.see_largest(level, workspace, largest.data());
    }
    std::copy(largest.begin(), largest.end(), out.colptr(i));
  });
  return out;
}

bool ends_in_relu(const NetworkConfig& config) {
  return config.modulated.empty() || config.relu_after_modulation;
}

}  // namespace

bool has_fast_reduced_precision() { return inference::has_tile_instructions(); }

NetworkRunOptions choose_precision(const NetworkModel& model, NetworkRunOptions options) {
  const bool own = runs_on_own_engine(options);
  if (options.precision != NetworkPrecision::automatic) return options;
  options.precision = NetworkPrecision::float32;
  const PrecisionLosses& losses = model.precision;
  if (!own || losses.empty() || !has_fast_reduced_precision()) return options;
  constexpr double most_loss_db = 0.02;
  if (losses.bfloat16.max() < most_loss_db) options.precision = NetworkPrecision::bfloat16;
  if (!losses.int8.is_empty() && losses.int8.max() < most_loss_db) {
    options.precision = NetworkPrecision::int8;
  }
  return options;
}

PrecisionLosses measure_precision(const NetworkModel& model, const SampleReader& validation,
                                  std::uint64_t seed, unsigned n_threads,
                                  const RunControl& control) {
  if (validation.n_samples == 0 || validation.n_h() != model.n_rx * model.n_tx) {
    throw Error(ErrorKind::invalid_argument,
                "precision: there are " + std::to_string(validation.n_samples) +
                    " validation channels of " + std::to_string(validation.n_h()) +
                    " entries, expected some of " + std::to_string(model.n_rx * model.n_tx));
  }
  const SampleReader channels = spread(validation, most_channels);
  const auto range = model.sigma2_range();
  std::vector<Trial> trials;
  for (double snr_db = -15.0; snr_db <= 40.0; snr_db += 5.0) {
    Trial trial;
    trial.sigma2 = from_db(-snr_db);
    if (trial.sigma2 < range.first || trial.sigma2 > range.second) continue;
    trial.h = channels.read(0, channels.n_samples);
    Rng rng(seed, {Purpose::validation, 3000 + trials.size()});
    trial.y = trial.h + rng.cx_normal(trial.h.n_rows, trial.h.n_cols, trial.sigma2);
    trials.push_back(std::move(trial));
  }
  if (trials.empty()) {
    throw Error(ErrorKind::invalid_argument,
                "precision: the model was fitted for no SNR between -15 and 40 dB");
  }
  PrecisionLosses out;
  out.snr_db.set_size(trials.size());
  for (std::size_t i = 0; i < trials.size(); ++i) out.snr_db(i) = -to_db(trials[i].sigma2);
  out.bfloat16.set_size(trials.size());

  NetworkModel changed = model;
  constexpr std::array kept_shares{1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.2};
  const bool with_bytes = ends_in_relu(model.network);
  if (with_bytes) {
    out.int8.zeros(trials.size());
    const arma::mat largest = largest_values(model, trials, n_threads);
    const auto exact = denoiser_in(NetworkPrecision::float32, model);
    std::vector<arma::cx_mat> outputs(trials.size());
    parallel_for(trials.size(), n_threads,
                 [&](std::size_t i) { outputs[i] = estimate(*exact, trials[i], 1); });
    out.largest = largest;
    arma::vec least(trials.size());
    least.fill(arma::datum::inf);
    for (const double kept : kept_shares) {
      changed.precision = out;
      changed.precision.largest = kept * largest;
      const auto denoiser = denoiser_in(NetworkPrecision::int8, changed);
      parallel_for(trials.size(), n_threads, [&](std::size_t i) {
        const double error =
            arma::accu(squared_errors(estimate(*denoiser, trials[i], 1), outputs[i]));
        if (error >= least(i)) return;
        least(i) = error;
        out.largest.col(i) = kept * largest.col(i);
      });
      if (control.stopped()) {
        throw Error(ErrorKind::interrupted, "interrupted while precisions were measured");
      }
    }
    changed.precision = out;
  }
  const auto exact = denoiser_in(NetworkPrecision::float32, changed);
  const auto half = denoiser_in(NetworkPrecision::bfloat16, changed);
  const auto bytes = with_bytes ? denoiser_in(NetworkPrecision::int8, changed) : nullptr;
  parallel_for(trials.size(), n_threads, [&](std::size_t i) {
    const arma::uword n_steps = model.calibration.steps_at(trials[i].sigma2, 1);
    const double error = error_of(*exact, trials[i], n_steps);
    out.bfloat16(i) = to_db(error_of(*half, trials[i], n_steps) / error);
    if (bytes) out.int8(i) = to_db(error_of(*bytes, trials[i], n_steps) / error);
  });
  return out;
}

}  // namespace v0
}  // namespace chest
