#include "schedule.hpp"

#include <algorithm>
#include <utility>

#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

Schedule::Schedule(Results& results, const SweepOptions& options, const Experiment& experiment,
                   const RunControl& control, std::function<void(const Results&)> write)
    : results_(results),
      options_(options),
      experiment_(experiment),
      control_(control),
      write_(std::move(write)),
      n_series_(results.n_series()),
      given_(results.done),
      prefix_(results.n_points(), Prefix{}) {
  for (arma::uword i = 0; i < results.n_points(); ++i) {
    prefix_[i].sums.assign(n_series_ * results.n_sums, 0.0);
    for (arma::uword b = 0; b < results.n_blocks() && results.used[i] == 0; ++b)
      n_units_ += results.in_shard(b) && !results.done[i * results.n_blocks() + b];
  }
  for (arma::uword i = 0; i < results.n_points(); ++i) advance(i);
}

bool Schedule::take(Unit& unit) {
  const std::lock_guard lock(mutex_);
  if (ended_ || control_.stopped()) {
    ended_ = true;
    return false;
  }
  const arma::uword n_blocks = results_.n_blocks();
  for (; i_point_ < results_.n_points(); ++i_point_, i_block_ = 0) {
    if (results_.used[i_point_] != 0) continue;
    for (; i_block_ < n_blocks; ++i_block_) {
      std::uint32_t& given = given_[i_point_ * n_blocks + i_block_];
      if (given || !results_.in_shard(i_block_)) continue;
      given = 1;
      unit = {i_point_, i_block_};
      return true;
    }
  }
  return false;
}

void Schedule::put(const Unit& unit, const std::vector<double>& sums,
                   const std::vector<double>& seconds, double seconds_total,
                   double seconds_in_decoders) {
  std::unique_lock lock(mutex_);
  results_.seconds_total += seconds_total;
  results_.seconds_in_decoders += seconds_in_decoders;
  for (double each : seconds) results_.seconds_in_estimators += each;
  ++n_put_;
  const arma::uword at = unit.i_point * results_.n_blocks() + unit.i_block;
  if (results_.used[unit.i_point] == 0) {
    std::copy(sums.begin(), sums.end(), results_.sums_of(unit.i_point, unit.i_block, 0));
    std::copy(seconds.begin(), seconds.end(),
              results_.seconds.begin() + std::ptrdiff_t(at * results_.estimators.size()));
    results_.done[at] = 1;
    advance(unit.i_point);
    point_waits_ = point_waits_ || results_.used[unit.i_point] != 0;
  }
  report(unit.i_point);
  if (!write_is_due()) return;

  const double start = this->seconds();
  writing_ = true;
  point_waits_ = false;
  const Results copy = results_;
  lock.unlock();
  try {
    write_(copy);
  } catch (...) {
    lock.lock();
    writing_ = false;
    throw;
  }
  lock.lock();
  writing_ = false;
  written_ = this->seconds();
  seconds_to_write_ = written_ - start;
}

void Schedule::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
}

void Schedule::write_now() {
  const std::lock_guard lock(mutex_);
  if (write_) write_(results_);
}

void Schedule::advance(arma::uword i_point) {
  if (results_.used[i_point] != 0) return;
  Prefix& prefix = prefix_[i_point];
  const arma::uword n_blocks = results_.n_blocks();
  const bool stops = options_.stop_rel > 0.0 || options_.stop_errors > 0;
  while (prefix.n_blocks < n_blocks) {
    const arma::uword b = prefix.n_blocks;
    if (results_.in_shard(b)) {
      if (!results_.done[i_point * n_blocks + b]) return;
      ++prefix.n_own;
      if (stops) {
        const double* sums = results_.sums_of(i_point, b, 0);
        for (std::size_t i = 0; i < prefix.sums.size(); ++i) prefix.sums[i] += sums[i];
      }
    }
    ++prefix.n_blocks;
    if (stops && prefix.n_own >= 4 && is_enough(prefix)) break;
  }
  results_.used[i_point] = std::uint32_t(prefix.n_blocks);
  // Blocks that other workers did beyond the end are not part of the point.
  for (arma::uword b = prefix.n_blocks; b < n_blocks; ++b) {
    const arma::uword at = i_point * n_blocks + b;
    if (results_.done[at])
      std::fill_n(results_.sums_of(i_point, b, 0), n_series_ * results_.n_sums, 0.0);
    std::fill_n(results_.seconds.begin() + std::ptrdiff_t(at * results_.estimators.size()),
                results_.estimators.size(), 0.0);
    if (!given_[at] && results_.in_shard(b)) --n_units_;
    results_.done[at] = 0;
  }
}

bool Schedule::is_enough(const Prefix& prefix) const {
  const auto all = [&](const auto& is_met) {
    for (arma::uword s = 0; s < n_series_; ++s)
      if (!is_met(prefix.sums.data() + s * results_.n_sums)) return false;
    return true;
  };
  if (options_.stop_rel > 0.0 && all([&](const double* sums) {
        return experiment_.relative_half_width(sums) <= options_.stop_rel;
      }))
    return true;
  return options_.stop_errors > 0 && all([&](const double* sums) {
           return experiment_.n_errors(sums) >= double(options_.stop_errors);
         });
}

void Schedule::report(arma::uword i_point) {
  if (!control_.on_progress || n_units_ == 0) return;
  const double now = seconds();
  const bool last = n_put_ >= n_units_;
  if (!last && now - reported_ < 0.1) return;
  reported_ = now;
  Progress progress;
  progress.fraction = std::min(1.0, double(n_put_) / double(n_units_));
  progress.seconds = now;
  progress.seconds_left = now * (1.0 - progress.fraction) / progress.fraction;
  const arma::uword n_snr = results_.snr_db.size();
  arma::uword n_finished = 0;
  for (std::uint32_t used : results_.used) n_finished += used != 0;
  progress.text = results_.pilots[i_point / n_snr].name + ", " +
                  number_text(results_.snr_db[i_point % n_snr]) + " dB, " +
                  std::to_string(n_finished) + " of " + std::to_string(results_.n_points()) +
                  " points done";
  control_.on_progress(progress);
}

bool Schedule::write_is_due() const {
  if (!write_ || writing_) return false;
  return seconds() - written_ >= (point_waits_ ? 20.0 * seconds_to_write_ : 30.0);
}

double Schedule::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
