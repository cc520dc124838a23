#include <chest/estimators/diffusion/calibrate.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>

#include <chest/error.hpp>
#include <chest/estimators/common/interpolation.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr arma::uword most_channels = 256;
constexpr arma::uword block = 16;

}  // namespace

arma::uword fewest_calls(const arma::vec& mse) {
  constexpr double most_loss_db = 0.03;
  const double least = mse.min();
  arma::uword n = 1;
  while (to_db(mse(n - 1) / least) > most_loss_db) ++n;
  return n;
}

Calibration calibrate(const Denoiser& denoiser, const SampleReader& validation, std::uint64_t seed,
                      unsigned n_threads, arma::uword max_steps, const RunControl& control) {
  if (validation.n_samples == 0) {
    throw Error(ErrorKind::invalid_argument, "calibrate: no validation channels");
  }
  if (validation.n_h() != denoiser.n_h()) {
    throw Error(ErrorKind::invalid_argument,
                "calibrate: the validation channels have " + std::to_string(validation.n_h()) +
                    " entries, the denoiser is made for " + std::to_string(denoiser.n_h()));
  }
  if (max_steps == 0) {
    throw Error(ErrorKind::invalid_argument, "calibrate: max_steps is 0; expected at least 1");
  }
  const arma::vec snr_db = arma::regspace(-15.0, 5.0, 40.0);
  const double sigma2_end = DmseOptions{}.sigma2_end;
  const SampleReader channels = spread(validation, most_channels);
  const arma::uword n = channels.n_samples;
  const arma::uword n_blocks = (n + block - 1) / block;
  const std::size_t n_items = n_blocks * snr_db.n_elem;
  arma::cube errors(max_steps, snr_db.n_elem, n_blocks);
  arma::mat predicted(snr_db.n_elem, n_blocks);
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
    for (arma::uword n_steps = 1; n_steps <= max_steps; ++n_steps) {
      const ReverseChain chain = log_snr_chain(sigma2, sigma2_end, n_steps);
      z = chain.start_scale * y;
      DenoiserError error;
      denoiser.run(chain.steps, z, predicts && n_steps == 1 ? &error : nullptr);
      if (predicts && n_steps == 1) predicted(i_snr, i_block) = arma::accu(error.mse);
      errors(n_steps - 1, i_snr, i_block) = arma::accu(squared_errors(z, h));
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

  const arma::cube sums = arma::sum(errors, 2);
  const arma::mat total = sums.slice(0) / static_cast<double>(n * validation.n_h());
  if (!total.is_finite()) {
    throw Error(ErrorKind::numeric, "calibrate: the error is not finite; the denoiser is unusable");
  }
  Calibration calibration{snr_db, arma::uvec(snr_db.n_elem), arma::vec(snr_db.n_elem), {}};
  for (arma::uword i_snr = 0; i_snr < snr_db.n_elem; ++i_snr) {
    const arma::uword n_steps = fewest_calls(total.col(i_snr));
    calibration.n_steps(i_snr) = n_steps;
    calibration.mse(i_snr) = total(n_steps - 1, i_snr);
  }
  if (predicts) {
    calibration.mse_ratio =
        calibration.mse / (arma::sum(predicted, 1) / static_cast<double>(n * validation.n_h()));
    if (!calibration.mse_ratio.is_finite()) {
      throw Error(ErrorKind::numeric, "calibrate: the predicted error is not finite");
    }
  }
  return calibration;
}

arma::uword Calibration::steps_at(double sigma2, arma::uword otherwise) const {
  if (empty()) return otherwise;
  const double at = -to_db(sigma2);
  arma::uword nearest = 0;
  for (arma::uword i = 1; i < snr_db.n_elem; ++i) {
    if (std::abs(snr_db(i) - at) < std::abs(snr_db(nearest) - at)) nearest = i;
  }
  return n_steps(nearest);
}

double Calibration::mse_at(double sigma2) const {
  return empty() ? -1.0 : Between(snr_db, -to_db(sigma2)).of(mse);
}

double Calibration::mse_ratio_at(double sigma2) const {
  return mse_ratio.is_empty() ? 1.0 : Between(snr_db, -to_db(sigma2)).of(mse_ratio);
}

}  // namespace v0
}  // namespace chest
