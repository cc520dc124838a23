#pragma once

#include <algorithm>
#include <cmath>

namespace chest {
inline namespace v0 {

/// The search for the noise variance of one channel: the fixed point of expectation maximisation,
///
///   level <- (||y - A h_hat||^2 + (||A||_F^2 / n_h) mse) / n_obs,
///
/// sped up by secants. Each round estimates at `level_db` and hands over the step that follows.
class NoiseSearch {
 public:
  /// No level further below the received power than this is looked for.
  static constexpr double deepest_db = 60.0;

  /// @param received_db  power of the received entries, the highest level that is looked for
  explicit NoiseSearch(double received_db = 0.0)
      : level_db_(on_grid(received_db)), highest_db_(received_db) {}

  /// To be tried next, -10 log10 of an SNR. Levels are told in steps, so that channels share calls.
  double level_db() const { return level_db_; }
  /// The best guess so far.
  double found_db() const { return found_db_; }
  bool done() const { return done_; }

  /// @param gap_db  the step of expectation maximisation from level_db(), minus it
  void add(double gap_db) {
    // The step itself, or the secant through the last two points where that goes further.
    double slope = -1.0;
    if (n_rounds_ > 0 && level_db_ != last_level_db_) {
      slope = std::clamp((gap_db - last_gap_db_) / (level_db_ - last_level_db_), -1.0, -0.1);
    }
    found_db_ = std::clamp(level_db_ - gap_db / slope, highest_db_ - deepest_db, highest_db_);
    last_level_db_ = level_db_;
    last_gap_db_ = gap_db;
    level_db_ = on_grid(found_db_);
    done_ = ++n_rounds_ == most_rounds || level_db_ == last_level_db_;
  }

 private:
  static constexpr double step_db = 0.25;  // half of it is forgiven
  static constexpr int most_rounds = 8;
  static double on_grid(double level_db) { return step_db * std::round(level_db / step_db); }

  double level_db_, highest_db_;
  double found_db_ = 0.0, last_level_db_ = 0.0, last_gap_db_ = 0.0;
  int n_rounds_ = 0;
  bool done_ = false;
};

}  // namespace v0
}  // namespace chest
