// A whole sweep, as channels per second and as the part of its time spent outside the estimators:
// making noise, errors, sums and results files. Every channel counts once per SNR.
//
//   sweep_bench --benchmark_filter=genie
#include <benchmark/benchmark.h>

#include <chest/channels/generator.hpp>
#include <chest/estimators/linear/genie.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/parallel.hpp>
#include <chest/sim/link.hpp>
#include <chest/sim/sweep.hpp>

#include "tests/support/temporary_folder.hpp"

namespace chest::sim {
namespace {

struct Setting {
  arma::uword n_rx, n_tx, n_samples;
  std::vector<std::string> estimators;
  unsigned n_threads;
};

const ChannelBlock& channels_of(const Setting& setting) {
  static ChannelBlock block;
  if (block.h.n_rows != setting.n_rx * setting.n_tx || block.h.n_cols != setting.n_samples) {
    ScmOptions options;
    options.n_rx = setting.n_rx;
    options.n_tx = setting.n_tx;
    block = make_scm(options)->generate(1, 0, setting.n_samples);
  }
  return block;
}

void run(benchmark::State& state, const Setting& setting, bool with_link) {
  const ChannelBlock& channels = channels_of(setting);
  const SampleReader samples = samples_in_memory(channels.h, setting.n_rx, setting.n_tx);
  const arma::cx_mat C = channels.h * channels.h.t() / double(setting.n_samples);
  const CovarianceReader covariances = [&](arma::uword first, arma::uword count) {
    return ToeplitzKroneckerCovariances{channels.covariances.t_rx.cols(first, first + count - 1),
                                        channels.covariances.t_tx.cols(first, first + count - 1)};
  };
  const EstimatorFactory make = [&](const std::string& name,
                                    const std::shared_ptr<const ObservationOperator>& A) {
    std::shared_ptr<const Estimator> made;
    if (name == "ls") made = make_ls(A);
    if (name == "lmmse") made = make_lmmse(A, C);
    if (name == "genie") made = make_genie(A);
    return made;
  };
  LinkOptions options;
  options.run.snr_db = {-10.0, 0.0, 10.0, 20.0};
  options.run.estimators = setting.estimators;
  options.run.n_threads = setting.n_threads;
  options.run.force = true;
  options.modulations = {"16qam"};
  const TemporaryFolder folder;
  options.run.out = folder / "results.h5";
  double outside = 0.0;
  for (auto _ : state) {
    const Results results = with_link ? run_link(samples, covariances, make, options)
                                      : run_sweep(samples, covariances, make, options.run);
    outside += results.share_outside_estimators();
  }
  const double n = 4.0 * double(setting.n_samples) * double(state.iterations());
  state.counters["channels"] = benchmark::Counter(n, benchmark::Counter::kIsRate);
  state.counters["percent_outside"] = 100.0 * outside / double(state.iterations());
}

const int registered = [] {
  for (const auto& [n_rx, n_tx] : {std::pair<arma::uword, arma::uword>{64, 16}, {16, 4}}) {
    for (const std::vector<std::string>& estimators :
         {std::vector<std::string>{"ls"}, {"ls", "lmmse"}, {"ls", "lmmse", "genie"}}) {
      for (unsigned n_threads = 1; n_threads <= available_threads(); n_threads *= 2) {
        const Setting setting{n_rx, n_tx, 1024, estimators, n_threads};
        std::string name = std::to_string(n_rx) + "x" + std::to_string(n_tx) + "/" +
                           estimators.back() +
                           "/n_estimators:" + std::to_string(estimators.size()) +
                           "/threads:" + std::to_string(n_threads);
        for (bool with_link : {false, true})
          benchmark::RegisterBenchmark(
              ((with_link ? "link/" : "sweep/") + name).c_str(),
              [setting, with_link](benchmark::State& state) { run(state, setting, with_link); })
              ->Unit(benchmark::kMillisecond)
              ->UseRealTime();
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace chest::sim
