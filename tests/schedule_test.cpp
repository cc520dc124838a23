// When a run's results are written, and what its workers do meanwhile.
#include "sim/schedule.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include <chest/error.hpp>

#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

/// A run of one estimator over `n_points` SNRs and `n_blocks` blocks, none of them done.
struct OpenRun {
  SweepOptions options;
  Experiment experiment;
  RunControl control;
  Results results;

  OpenRun(std::size_t n_points, arma::uword n_blocks) {
    options.pilots = {parse_pilots("dft:2")};
    for (std::size_t i = 0; i < n_points; ++i) options.snr_db.push_back(double(i));
    options.estimators = {"ls"};
    options.block = 1;
    results = run_sweep(rayleigh_samples(2, 2, n_blocks), {}, &test_estimators, options);
    results.sums.assign(results.sums.size(), 0.0);
    results.seconds.assign(results.seconds.size(), 0.0);
    results.done.assign(results.done.size(), 0);
    results.used.assign(results.used.size(), 0);
  }
  /// Does the next block; its sums are all `value`.
  bool step(Schedule& schedule, double value = 1.0) const {
    Schedule::Unit unit;
    if (!schedule.take(unit)) return false;
    schedule.put(unit, std::vector<double>(results.n_sums, value), {0.5}, 1.0);
    return true;
  }
};

TEST(Schedule, WorkersGoOnWhileResultsAreWritten) {
  OpenRun run(/*n_points=*/4, /*n_blocks=*/1);
  std::promise<void> writing, may_end;
  std::shared_future<void> end = may_end.get_future().share();
  std::atomic<int> n_writing{0}, most_writing{0}, n_written{0};
  Schedule schedule(run.results, run.options, run.experiment, run.control, [&](const Results& now) {
    most_writing = std::max(most_writing.load(), ++n_writing);
    // The copy does not change under the writer.
    const std::vector<double> sums = now.sums;
    if (n_written++ == 0) {
      writing.set_value();
      end.wait();
    }
    EXPECT_EQ(now.sums, sums);
    --n_writing;
  });
  std::thread writer(
      [&] { EXPECT_TRUE(run.step(schedule)); });  // a finished point: written at once
  writing.get_future().wait();
  // The writer holds no lock: another worker does all that is left.
  auto others = std::async(std::launch::async, [&] {
    int n = 0;
    while (run.step(schedule)) ++n;
    return n;
  });
  const bool went_on = others.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  EXPECT_TRUE(went_on) << "a worker waited for the writer";
  may_end.set_value();
  writer.join();
  EXPECT_EQ(others.get(), 3);
  schedule.write_now();
  EXPECT_EQ(most_writing, 1);
  EXPECT_EQ(n_written, 2);
  EXPECT_TRUE(run.results.finished());
}

TEST(Schedule, APointThatFinishesDuringAWriteIsWrittenAfterIt) {
  OpenRun run(/*n_points=*/3, /*n_blocks=*/2);
  std::vector<arma::uword> n_finished;
  Schedule* running = nullptr;
  bool inside = false;
  Schedule schedule(run.results, run.options, run.experiment, run.control, [&](const Results& now) {
    n_finished.push_back(0);
    for (std::uint32_t used : now.used) n_finished.back() += used != 0;
    if (inside) return;
    inside = true;  // the second point is finished while the first is written
    EXPECT_TRUE(run.step(*running) && run.step(*running));
  });
  running = &schedule;
  EXPECT_TRUE(run.step(schedule) && run.step(schedule));
  EXPECT_EQ(n_finished, (std::vector<arma::uword>{1}));
  // The next block finishes no point; the one that waits is written with it.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(run.step(schedule));
  EXPECT_EQ(n_finished, (std::vector<arma::uword>{1, 2}));
}

TEST(Schedule, AFailedWriteEndsThePutAndCanBeTriedAgain) {
  OpenRun run(2, 1);
  bool fails = true;
  int n_written = 0;
  Schedule schedule(run.results, run.options, run.experiment, run.control, [&](const Results&) {
    if (fails) throw Error(ErrorKind::io, "no space");
    ++n_written;
  });
  EXPECT_THROW(run.step(schedule), Error);
  fails = false;
  schedule.write_now();
  EXPECT_EQ(n_written, 1);
  EXPECT_EQ(run.results.used[0], 1u);  // what was put is not lost
}

}  // namespace
}  // namespace chest::sim
