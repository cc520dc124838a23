#include <chest/estimators/diffusion/calibrate.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>
#include <string>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/common/interpolation.hpp>
#include <chest/estimators/diffusion/cycle_spinning.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr arma::uword most_channels = 256;
constexpr arma::uword block = 16;
constexpr double most_loss_db = 0.03;

struct Choice {
  arma::uword n_steps, n_spins;
  arma::uword n_calls() const { return n_steps * n_spins; }
};

/// In the order of their calls; of as many calls averages come first.
std::vector<Choice> choices_of(const CalibrationChoices& choices) {
  std::vector<Choice> out;
  for (arma::uword k = choices.max_spins; k > 0; --k) {
    for (arma::uword n = 1; n <= choices.max_steps; ++n) out.push_back({n, k});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Choice& a, const Choice& b) { return a.n_calls() < b.n_calls(); });
  return out;
}

/// The first whose error is within 0.03 dB of the least.
std::size_t cheapest(const arma::vec& mse) {
  const double least = mse.min();
  std::size_t i = 0;
  while (to_db(mse(i) / least) > most_loss_db) ++i;
  return i;
}

}  // namespace

arma::uword fewest_calls(const arma::vec& mse) { return cheapest(mse) + 1; }

arma::uvec choose_calls(const arma::mat& mse, const arma::uvec& calls, double mean_calls) {
  arma::uvec chosen(mse.n_cols);
  for (arma::uword level = 0; level < mse.n_cols; ++level) chosen(level) = cheapest(mse.col(level));
  const auto most = mean_calls * static_cast<double>(mse.n_cols);
  while (mean_calls > 0.0 && static_cast<double>(arma::accu(calls.elem(chosen))) > most) {
    double least_loss = arma::datum::inf;
    arma::uword at = 0, instead = 0;
    for (arma::uword level = 0; level < mse.n_cols; ++level) {
      const arma::uword now = chosen(level);
      for (arma::uword c = 0; c < now && calls(c) < calls(now); ++c) {
        const double loss =
            to_db(mse(c, level) / mse(now, level)) / static_cast<double>(calls(now) - calls(c));
        if (loss >= least_loss) continue;
        least_loss = loss;
        at = level;
        instead = c;
      }
    }
    if (least_loss == arma::datum::inf) break;  // one call everywhere
    chosen(at) = instead;
  }
  return chosen;
}

Calibration calibrate(const Denoiser& denoiser, const SampleReader& validation, std::uint64_t seed,
                      unsigned n_threads, const CalibrationChoices& choices,
                      const RunControl& control) {
  if (validation.n_samples == 0) {
    throw Error(ErrorKind::invalid_argument, "calibrate: no validation channels");
  }
  if (validation.n_h() != denoiser.n_h()) {
    throw Error(ErrorKind::invalid_argument,
                "calibrate: the validation channels have " + std::to_string(validation.n_h()) +
                    " entries, the denoiser is made for " + std::to_string(denoiser.n_h()));
  }
  if (choices.max_steps == 0 || choices.max_spins == 0) {
    throw Error(ErrorKind::invalid_argument,
                "calibrate: max_steps or max_spins is 0; expected at least 1");
  }
  if (choices.mean_calls != 0.0 && !(choices.mean_calls >= 1.0)) {
    throw Error(ErrorKind::invalid_argument, "calibrate: " + number_text(choices.mean_calls) +
                                                 " calls in the mean; expected at least 1");
  }
  const arma::vec snr_db = arma::regspace(-15.0, 5.0, 40.0);
  const double sigma2_end = DmseOptions{}.sigma2_end;
  const SampleReader channels = spread(validation, most_channels);
  const arma::uword n = channels.n_samples, n_rx = validation.n_rx;
  const arma::uword n_blocks = (n + block - 1) / block;
  const std::size_t n_items = n_blocks * snr_db.n_elem;
  const std::vector<Choice> all = choices_of(choices);
  std::vector<arma::cx_mat> ramps;  // of 1, 2, ... spins
  for (arma::uword k = 1; k <= choices.max_spins; ++k) {
    ramps.push_back(phase_ramps(n_rx, denoiser.n_h() / n_rx, k, choices.turns_rx));
  }
  // Of each choice: the error, that of its chains by themselves, and what is predicted for these.
  arma::cube errors(all.size(), snr_db.n_elem, n_blocks), of_chains = errors, predicted = errors;
  const bool predicts = denoiser.predicts_error();

  const auto start = std::chrono::steady_clock::now();
  std::size_t n_done = 0;
  std::atomic<bool> stopped{false};
  std::mutex mutex;
  parallel_for(n_items, n_threads, [&](std::size_t item) {
    if (stopped) return;
    const arma::uword i_block = item / snr_db.n_elem, i_snr = item % snr_db.n_elem;
    const arma::uword first = i_block * block, count = std::min(block, n - first);
    const arma::cx_mat h = channels.read(first, count);
    const double sigma2 = from_db(-snr_db(i_snr));
    Rng rng(seed, {Purpose::validation, 1 + i_snr, i_block});
    const arma::cx_mat y = h + rng.cx_normal(h.n_rows, count, sigma2);
    arma::cx_mat z;
    for (std::size_t c = 0; c < all.size(); ++c) {
      const ReverseChain chain = log_snr_chain(sigma2, sigma2_end, all[c].n_steps);
      z = chain.start_scale * y;
      DenoiserError error;
      const arma::vec apart = run_spun(denoiser, chain.steps, ramps[all[c].n_spins - 1], z,
                                       predicts ? &error : nullptr);
      if (predicts) predicted(c, i_snr, i_block) = arma::accu(error.mse);
      errors(c, i_snr, i_block) = arma::accu(squared_errors(z, h));
      of_chains(c, i_snr, i_block) = errors(c, i_snr, i_block) + arma::accu(apart);
    }
    const std::lock_guard lock(mutex);
    ++n_done;
    stopped = stopped || control.stopped();
    if (control.on_progress) {
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      const double fraction = static_cast<double>(n_done) / static_cast<double>(n_items);
      control.on_progress({fraction, seconds.count(), seconds.count() * (1.0 / fraction - 1.0),
                           "number of calls per SNR"});
    }
  });
  if (stopped) throw Error(ErrorKind::interrupted, "calibrate: stopped before it was complete");

  const double entries = static_cast<double>(n * validation.n_h());
  const arma::mat total = arma::mat(arma::sum(errors, 2)) / entries;
  const arma::mat chains = arma::mat(arma::sum(of_chains, 2)) / entries;
  const arma::mat said = arma::mat(arma::sum(predicted, 2)) / entries;
  if (!total.is_finite()) {
    throw Error(ErrorKind::numeric, "calibrate: the error is not finite; the denoiser is unusable");
  }
  Calibration calibration{snr_db, arma::uvec(snr_db.n_elem), arma::vec(snr_db.n_elem), {}, {}};
  if (predicts) calibration.mse_ratio.set_size(snr_db.n_elem);
  if (choices.max_spins > 1) calibration.n_spins.set_size(snr_db.n_elem);
  arma::uvec calls(all.size());
  for (arma::uword c = 0; c < calls.n_elem; ++c) calls(c) = all[c].n_calls();
  const arma::uvec chosen = choose_calls(total, calls, choices.mean_calls);
  for (arma::uword i_snr = 0; i_snr < snr_db.n_elem; ++i_snr) {
    const arma::uword c = chosen(i_snr);
    calibration.n_steps(i_snr) = all[c].n_steps;
    if (choices.max_spins > 1) calibration.n_spins(i_snr) = all[c].n_spins;
    calibration.mse(i_snr) = total(c, i_snr);
    if (predicts) calibration.mse_ratio(i_snr) = chains(c, i_snr) / said(c, i_snr);
  }
  if (!calibration.mse_ratio.is_finite()) {
    throw Error(ErrorKind::numeric, "calibrate: the predicted error is not finite");
  }
  return calibration;
}

namespace {

/// Of the calibrated SNR that is nearest.
arma::uword nearest(const arma::vec& snr_db, double sigma2) {
  return arma::index_min(arma::abs(snr_db + to_db(sigma2)));
}

}  // namespace

arma::uword Calibration::most_calls() const {
  if (empty()) return 0;
  return n_spins.is_empty() ? n_steps.max() : arma::uvec(n_steps % n_spins).max();
}

std::string Calibration::calls(arma::uword i) const {
  const std::string steps = std::to_string(n_steps(i));
  return n_spins.is_empty() || n_spins(i) == 1 ? steps : steps + " x " + std::to_string(n_spins(i));
}

arma::uword Calibration::steps_at(double sigma2, arma::uword otherwise) const {
  return empty() ? otherwise : n_steps(nearest(snr_db, sigma2));
}

arma::uword Calibration::spins_at(double sigma2) const {
  return n_spins.is_empty() ? 1 : n_spins(nearest(snr_db, sigma2));
}

Calibration Calibration::of_one_call() const {
  Calibration out = *this;
  out.n_steps.ones();
  out.n_spins.reset();
  return out;
}

double Calibration::mse_at(double sigma2) const {
  return empty() ? -1.0 : Between(snr_db, -to_db(sigma2)).of(mse);
}

double Calibration::mse_ratio_at(double sigma2) const {
  return mse_ratio.is_empty() ? 1.0 : Between(snr_db, -to_db(sigma2)).of(mse_ratio);
}

}  // namespace v0
}  // namespace chest
