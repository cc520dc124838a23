#pragma once

#include <functional>
#include <string>

namespace chest {
inline namespace v0 {

/// State of a long computation, reported now and then.
struct Progress {
  double fraction = 0.0;      ///< done, 0 .. 1
  double seconds = 0.0;       ///< since the start
  double seconds_left = 0.0;  ///< estimated; negative when unknown
  std::string text;           ///< "epoch 12, loss 0.071, validation 0.069 (best)"
};

/// How a caller follows and stops a long computation. All may be empty. Called from the thread
/// that made the call or, under a lock, from its workers.
struct RunControl {
  std::function<void(const Progress&)> on_progress;
  std::function<bool()> stop_requested;  ///< true: end cleanly with what is done
  /// Told before the work starts what will be less than it could be: an SNR outside the range that
  /// a prior was fitted for.
  std::function<void(const std::string&)> on_warning;

  bool stopped() const { return stop_requested && stop_requested(); }
};

}  // namespace v0
}  // namespace chest
