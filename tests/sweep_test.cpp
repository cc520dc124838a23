#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <set>

#include <chest/estimators/linear/genie.hpp>
#include <chest/metrics.hpp>
#include <chest/sim/sweep.hpp>

#include "tests/support/run.hpp"
#include "tests/support/statistics.hpp"

namespace chest::sim {
namespace {

/// 16x4 Rayleigh channels in 13 blocks, three SNRs, two choices of pilots, two estimators.
struct SmallRun {
  SampleReader samples = rayleigh_samples(8, 4, 200);
  SweepOptions options;

  SmallRun() {
    options.pilots = {parse_pilots("dft:8"), parse_pilots("qpsk:6")};
    options.snr_db = {-5.0, 2.5, 20.0};
    options.estimators = {"ls", "half"};
    options.block = 16;
    options.seed = 42;
  }
  Results operator()(const RunControl& control = {}) const {
    return run_sweep(samples, {}, &test_estimators, options, control);
  }
};

/// Everything that must not depend on threads, shards and interruptions.
void expect_equal(const Results& a, const Results& b) {
  EXPECT_EQ(a.provenance.options, b.provenance.options);
  EXPECT_EQ(a.sums, b.sums);
  EXPECT_EQ(a.done, b.done);
  EXPECT_EQ(a.used, b.used);
}

TEST(Sweep, LsMeetsItsClosedForm) {
  SweepOptions options;
  options.pilots = {parse_pilots("identity"), parse_pilots("dft:8"), parse_pilots("hadamard:4")};
  options.snr_db = {-5.0, 10.0};
  options.estimators = {"ls"};
  const SampleReader samples = rayleigh_samples(8, 4, 2000);
  const Results results = run_sweep(samples, {}, &test_estimators, options);
  const double power = arma::accu(squared_norms(samples.read(0, 2000)));
  ASSERT_EQ(rows(results).size(), 6u);
  for (const Row& row : rows(results)) {
    // ||h_hat - h||^2 is sigma2 n_tx / n_pilots / 2 times a chi-square of 2 n_h degrees: its mean
    // over 2000 channels has the relative deviation 1 / sqrt(2000 n_h). p_fail = 1e-6.
    const double sigma2 = from_db(-row.snr_db) * 4.0 / double(row.n_pilots);
    const double expected = sigma2 * 32.0 * 2000.0 / power;
    EXPECT_NEAR(row.nmse / expected, 1.0, 4.9 / std::sqrt(2000.0 * 32.0)) << row.pilots;
    EXPECT_NEAR(row.snr_effective_db, to_db(1.0 / sigma2), 1e-9);
    EXPECT_NEAR(row.nmse_predicted * power, sigma2 * 32.0 * 2000.0, 1e-6);
    // Signal and noise power of 64 000 entries and more: +- 4.9 / sqrt(64 000) = 2 % = 0.085 dB
    // each; the measured SNR also carries the deviation of the channel power from 1.
    EXPECT_NEAR(row.snr_measured_db, row.snr_db + to_db(power / 64000.0), 0.1);
    EXPECT_LT(row.nmse_ci95_low, row.nmse);
    EXPECT_GT(row.nmse_ci95_high, row.nmse);
    EXPECT_EQ(row.n_samples, 2000u);
    EXPECT_EQ(row.nfe, 0.0);
    EXPECT_GT(row.seconds_per_channel, 0.0);
  }
}

TEST(Sweep, RowsFollowFromOneBatchOfEstimates) {
  // The definition without the engine: one block, noise drawn by hand.
  SmallRun run;
  run.options.block = 200;
  run.options.pilots = {parse_pilots("dft:8")};
  run.options.snr_db = {2.5};
  const Results results = run();
  const arma::cx_mat h = run.samples.read(0, 200);
  const auto A = std::shared_ptr<ObservationOperator>(
      make_observation(make_pilots(parse_pilots("dft:8"), 4, 42), 8));
  Observation observation;
  observation.sigma2 = from_db(-2.5);
  observation.y = A->apply(h);
  for (arma::uword k = 0; k < 200; ++k)
    observation.y.col(k) += Rng(42, {Purpose::noise, 2500, k}).cx_normal(64, 1, observation.sigma2);
  const arma::cx_mat h_hat = make_ls(A)->estimate(observation).h;
  EXPECT_NEAR(rows(results)[0].nmse, chest::nmse(h_hat, h), 1e-12);
  EXPECT_NEAR(rows(results)[0].nmse_per_sample,
              arma::mean(squared_errors(h_hat, h) / squared_norms(h)), 1e-12);
  EXPECT_NEAR(rows(results)[1].nmse, chest::nmse(0.5 * h_hat, h), 1e-12);
}

TEST(Sweep, IsTheSameForAnyNumberOfThreads) {
  SmallRun run;
  const Results one = run();
  for (unsigned n_threads : {2u, 5u}) {
    run.options.n_threads = n_threads;
    expect_equal(one, run());
  }
}

TEST(Sweep, IsTheSameInShards) {
  const TemporaryFolder folder;
  SmallRun run;
  run.options.out = folder / "whole.h5";
  run();
  std::vector<Results> shards;
  for (arma::uword i = 3; i >= 1; --i) {
    run.options.shard = {i, 3};
    run.options.n_threads = unsigned(i);
    run.options.out = folder / ("shard" + std::to_string(i) + ".h5");
    run();
    shards.push_back(load_results(run.options.out));
  }
  save(folder / "merged.h5", merge(shards));
  EXPECT_EQ(content_without_timings(folder / "merged.h5"),
            content_without_timings(folder / "whole.h5"));
}

TEST(Sweep, IsTheSameWhenChannelsAreReadAgain) {
  SmallRun run;
  const Results kept = run();
  std::atomic<arma::uword> most{0}, reads{0};
  const SampleReader all = run.samples;
  run.samples.read = [&](arma::uword first, arma::uword count) {
    most = std::max(most.load(), count);
    ++reads;
    return all.read(first, count);
  };
  run.options.cache_bytes = 1000;
  expect_equal(kept, run());
  EXPECT_EQ(most, 16u);
  EXPECT_EQ(reads, 13u * 6u);
}

TEST(Sweep, PointsDoNotDependOnOtherPointsAndEstimators) {
  SmallRun run;
  const std::vector<Row> all = rows(run());
  run.options.snr_db = {20.0};
  run.options.pilots = {parse_pilots("qpsk:6")};
  run.options.estimators = {"half"};
  const std::vector<Row> one = rows(run());
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].nmse, all.back().nmse);
}

TEST(Sweep, PilotsSeeTheSameNoise) {
  // Unitary pilots turn the same noise, so LS has the same error.
  SmallRun run;
  run.options.pilots = {parse_pilots("identity"), parse_pilots("dft:4")};
  run.options.estimators = {"ls"};
  const std::vector<Row> all = rows(run());
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(all[i].nmse, all[i + 3].nmse, 1e-12);
}

TEST(Sweep, GenieGetsTheCovariancesOfItsChannels) {
  SampleReader samples = rayleigh_samples(4, 2, 40);
  std::vector<arma::uword> asked;
  const CovarianceReader covariances = [&](arma::uword first, arma::uword count) {
    asked.push_back(first);
    ToeplitzKroneckerCovariances out;
    out.t_rx = arma::cx_mat(4, count);
    out.t_tx = arma::cx_mat(2, count);
    out.t_rx.row(0).ones();
    out.t_tx.row(0).ones();
    return out;
  };
  SweepOptions options;
  options.snr_db = {0.0};
  options.estimators = {"genie"};
  options.block = 16;
  options.first = 4;
  const Results results = run_sweep(
      samples, covariances,
      [](const std::string&, const std::shared_ptr<const ObservationOperator>& A) {
        return std::shared_ptr<const Estimator>(make_genie(A));
      },
      options);
  EXPECT_EQ(asked, (std::vector<arma::uword>{4, 20, 36}));
  EXPECT_EQ(rows(results)[0].n_samples, 36u);
  EXPECT_LT(rows(results)[0].nmse, 0.7);  // 1/2 is the LMMSE of white channels at 0 dB
}

TEST(Sweep, StopsWhenTheIntervalIsNarrow) {
  SmallRun run;
  run.samples = rayleigh_samples(8, 4, 4000);
  run.options.stop_rel = 0.02;
  const Results one = run();
  run.options.n_threads = 3;
  expect_equal(one, run());
  for (const Row& row : rows(one)) {
    EXPECT_GE(row.n_samples, 64u);
    EXPECT_LT(row.n_samples, 4000u);
  }
  // The block before was not enough for every estimator.
  for (arma::uword i = 0; i < one.n_points(); ++i) {
    ASSERT_GT(one.used[i], 4u);
    Results shorter = one;
    shorter.used[i] -= 1;
    double widest = 0.0;
    for (const Row& row : rows(shorter))
      if (row.snr_db == one.snr_db[i % 3] && row.pilots == one.pilots[i / 3].name)
        widest = std::max(widest, (row.nmse_ci95_high - row.nmse) / row.nmse);
    EXPECT_GT(widest, 0.02);
  }
}

TEST(Sweep, ContinuesAfterAStopRequest) {
  const TemporaryFolder folder;
  SmallRun run;
  run.options.out = folder / "whole.h5";
  run();
  run.options.out = folder / "stopped.h5";
  int n_runs = 0;
  for (bool finished = false; !finished; ++n_runs) {
    int asked = 0;
    RunControl control;
    control.stop_requested = [&asked] { return ++asked > 11; };
    run.options.n_threads = 1 + unsigned(n_runs) % 2;
    const Results results = run(control);
    finished = results.finished();
    EXPECT_EQ(finished, rows(results).size() == 12u);
  }
  EXPECT_GT(n_runs, 5);
  EXPECT_EQ(content_without_timings(folder / "stopped.h5"),
            content_without_timings(folder / "whole.h5"));
}

TEST(Sweep, FinishedRunIsNotRepeated) {
  const TemporaryFolder folder;
  SmallRun run;
  run.options.out = folder / "results.h5";
  const Results first = run();
  run.samples.read = [](arma::uword, arma::uword) -> arma::cx_mat {
    throw Error(ErrorKind::io, "nothing is to be read");
  };
  expect_equal(first, run());
}

TEST(Sweep, RefusesResultsOfAnotherCommand) {
  const TemporaryFolder folder;
  SmallRun run;
  run.options.out = folder / "results.h5";
  run();
  const std::string file = run.options.out.string();
  run.options.seed = 43;
  EXPECT_EQ(error_of([&] { run(); }),
            file +
                ": holds results of another command (seed is 43 here, 42 there); use --force to "
                "overwrite it or choose another --out");
  run.options.seed = 42;
  run.options.inputs = R"({"channels": {"hash": "abc"}})";
  EXPECT_NE(error_of([&] { run(); }).find("inputs channels hash is abc here, absent there"),
            std::string::npos);
  run.options.inputs.clear();
  run.options.shard = {1, 2};
  EXPECT_NE(error_of([&] { run(); }).find("shard is 1/2 here, 1/1 there"), std::string::npos);
  run.options.force = true;
  run();
  EXPECT_EQ(load_results(run.options.out).shard.count, 2u);
}

TEST(Sweep, RefusesAFileThatIsNotItsOwn) {
  const TemporaryFolder folder;
  SmallRun run;
  run.options.out = folder / "notes.h5";
  write_text_file(run.options.out, "not HDF5");
  EXPECT_NE(error_of([&] { run(); }).find("use --force to overwrite it"), std::string::npos);
  run.options.out = folder / "missing" / "results.h5";
  EXPECT_NE(error_of([&] { run(); }).find("cannot be created"), std::string::npos);
}

TEST(Sweep, PassesOnWarningsOnceAndBeforeTheWork) {
  class Warning : public AlteredLs {
   public:
    using AlteredLs::AlteredLs;
    std::string warning(double sigma2) const override {
      return sigma2 > 1.0 ? "the noise is strong" : "";
    }
  };
  SmallRun run;
  run.options.estimators = {"warning"};
  std::vector<std::string> told;
  RunControl control;
  control.on_warning = [&](const std::string& text) { told.push_back(text); };
  control.on_progress = [&](const Progress&) { told.push_back("working"); };
  run_sweep(
      run.samples, {},
      [](const std::string& name, const std::shared_ptr<const ObservationOperator>& A) {
        return std::make_shared<Warning>(name, A, [](arma::cx_mat&) {});
      },
      run.options, control);
  ASSERT_GE(told.size(), 2u);
  EXPECT_EQ(told[0], "the noise is strong");
  EXPECT_EQ(told[1], "working");
}

TEST(Sweep, NamesTheEstimatorThatGivesNaN) {
  SmallRun run;
  run.options.estimators = {"ls", "broken"};
  run.options.first = 100;
  EXPECT_EQ(
      error_of([&] { run(); }),
      "estimator 'broken' gave a value that is not finite for channel 101 with pilots dft:8 at "
      "-5 dB");
}

TEST(Sweep, NamesTheChannelThatIsNotOne) {
  SmallRun run;
  arma::cx_mat h = run.samples.read(0, 200);
  h.col(77).zeros();
  run.samples = samples_in_memory(h, 8, 4);
  EXPECT_EQ(error_of([&] { run(); }),
            "sweep: channel 77 is all zero; leave it out of the sample range");
  h(3, 21) = arma::datum::nan;
  run.samples = samples_in_memory(h, 8, 4);
  EXPECT_EQ(error_of([&] { run(); }),
            "sweep: channel 21 holds values that are not finite; leave it out of the sample range");
}

TEST(Sweep, BadOptionsAreExplained) {
  const auto message = [](const std::function<void(SweepOptions&)>& spoil) {
    SmallRun run;
    spoil(run.options);
    return error_of([&] { run(); });
  };
  using O = SweepOptions;
  EXPECT_EQ(message([](O& o) { o.snr_db = {}; }),
            "sweep: snr_db is empty, expected at least one value");
  EXPECT_EQ(message([](O& o) { o.snr_db = {0, 5, 0}; }), "sweep: snr_db holds 0 dB twice");
  EXPECT_EQ(message([](O& o) { o.snr_db = {NAN}; }),
            "sweep: snr_db holds nan dB, expected -200 .. 200");
  EXPECT_EQ(message([](O& o) { o.estimators = {}; }),
            "sweep: estimators is empty, expected at least one");
  EXPECT_EQ(message([](O& o) {
              o.estimators = {"ls", "ls"};
            }),
            "sweep: estimators holds 'ls' twice");
  EXPECT_EQ(message([](O& o) { o.pilots.push_back(o.pilots[0]); }),
            "sweep: pilots dft:8 are given twice");
  EXPECT_EQ(message([](O& o) { o.block = 0; }), "sweep: block is 0, expected >= 1");
  EXPECT_EQ(message([](O& o) { o.end = 201; }),
            "sweep: samples 0:201 reach beyond the 200 channels there are");
  EXPECT_EQ(message([](O& o) { o.first = 10, o.end = 10; }),
            "sweep: samples 10:10 are empty, expected first < end");
  EXPECT_EQ(message([](O& o) {
              o.shard = {4, 3};
            }),
            "sweep: shard is 4/3, expected i/n with i = 1 .. n");
  EXPECT_EQ(message([](O& o) {
              o.shard = {1, 14};
            }),
            "sweep: 14 shards share 13 blocks of 16 samples; use fewer shards or smaller blocks");
  EXPECT_NE(message([](O& o) {
              o.shard = {1, 2}, o.stop_rel = 0.1;
            }).find("does not go with shards"),
            std::string::npos);
  EXPECT_NE(message([](O& o) { o.pilot_power = -1; }).find("expected > 0"), std::string::npos);
  EXPECT_NE(message([](O& o) { o.inputs = "[1"; }).find("is not a JSON object"), std::string::npos);
}

}  // namespace
}  // namespace chest::sim
