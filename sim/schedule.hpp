#pragma once

#include <armadillo>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include <chest/run_control.hpp>
#include <chest/sim/results.hpp>
#include <chest/sim/sweep.hpp>

#include "engine.hpp"

namespace chest {
inline namespace v0 {
namespace sim {

/// The state of a run that its workers share, the order in which they take its blocks, and when the
/// results are written. Every member may be called from any thread.
class Schedule {
 public:
  /// @param write  puts results where they are kept, without further locks of the schedule; one
  /// call
  ///               at a time, by the worker that put a block; may be empty
  Schedule(Results& results, const SweepOptions& options, const Experiment& experiment,
           const RunControl& control, std::function<void(const Results&)> write);

  struct Unit {
    arma::uword i_point, i_block;
  };

  /// The next block to do; false when there is none or the run ends.
  bool take(Unit& unit);
  /// Takes over the sums of a block, and writes the results when it is time. Others take and put
  /// meanwhile: what is written is a copy.
  void put(const Unit& unit, const std::vector<double>& sums, const std::vector<double>& seconds,
           double seconds_total, double seconds_in_decoders = 0.0);
  /// Ends the run for all workers.
  void end();
  /// Writes what is done; after the last worker ended.
  void write_now();

 private:
  using Clock = std::chrono::steady_clock;
  struct Prefix {
    arma::uword n_blocks = 0;  // leading blocks that are done or belong to other shards
    arma::uword n_own = 0;     // those of this shard
    std::vector<double> sums;  // over them, [n_series, n_sums]
  };

  /// Extends the leading blocks of a point and decides whether it is finished. Looks at them in
  /// order, so that the decision is that of a run with one thread.
  void advance(arma::uword i_point);
  /// Every series is known well enough, or has errors enough.
  bool is_enough(const Prefix& prefix) const;
  void report(arma::uword i_point);
  /// A finished point is written at once, unless points finish so fast that writing would take more
  /// than a twentieth of the time; an unfinished one twice a minute.
  bool write_is_due() const;
  double seconds() const;

  Results& results_;
  const SweepOptions& options_;
  const Experiment& experiment_;
  const RunControl& control_;
  const std::function<void(const Results&)> write_;
  const arma::uword n_series_;
  std::mutex mutex_;                  // of all below and of results_
  std::vector<std::uint32_t> given_;  // [n_points, n_blocks]: done or being done
  std::vector<Prefix> prefix_;
  arma::uword i_point_ = 0, i_block_ = 0;
  bool ended_ = false;
  std::size_t n_units_ = 0, n_put_ = 0;
  const Clock::time_point start_ = Clock::now();
  double reported_ = -1.0;
  bool writing_ = false;      // a worker writes its copy
  bool point_waits_ = false;  // a point was finished since the last copy
  double written_ = 0.0, seconds_to_write_ = 0.0;
};

}  // namespace sim
}  // namespace v0
}  // namespace chest
