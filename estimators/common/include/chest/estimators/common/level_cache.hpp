#pragma once

#include <cstddef>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

namespace chest {
inline namespace v0 {

/// What an estimator prepares per noise level, kept for the levels used last. Threads that ask for
/// the same new level wait for one of them to prepare it.
template <class Prepared>
class LevelCache {
 public:
  /// @param n_kept  levels kept: enough for threads at the seam of two points of a sweep, few
  /// enough
  ///                that large filters do not fill the memory
  explicit LevelCache(std::size_t n_kept) : n_kept_(n_kept) {}

  /// The value for sigma2, from make() where it is not kept. An exception of make() reaches all
  /// that wait, and the next call tries again.
  template <class Make>
  std::shared_ptr<const Prepared> at(double sigma2, Make&& make) const {
    std::promise<Value> promise;
    std::shared_future<Value> found;
    {
      const std::lock_guard lock(mutex_);
      for (auto it = entries_.begin(); it != entries_.end(); ++it) {
        if (it->first != sigma2) continue;
        entries_.splice(entries_.begin(), entries_, it);
        found = it->second;
        break;
      }
      if (!found.valid()) {
        entries_.emplace_front(sigma2, promise.get_future().share());
        if (entries_.size() > n_kept_) entries_.pop_back();
      }
    }
    if (found.valid()) return found.get();
    try {
      Value value = std::make_shared<const Prepared>(make());
      promise.set_value(value);
      return value;
    } catch (...) {
      {
        const std::lock_guard lock(mutex_);
        entries_.remove_if([&](const auto& entry) { return entry.first == sigma2; });
      }
      promise.set_exception(std::current_exception());
      throw;
    }
  }

 private:
  using Value = std::shared_ptr<const Prepared>;

  std::size_t n_kept_;
  mutable std::mutex mutex_;
  mutable std::list<std::pair<double, std::shared_future<Value>>> entries_;
};

}  // namespace v0
}  // namespace chest
