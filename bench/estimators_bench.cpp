// Channels per second of every estimator, on all processors that the process may use: one block of
// n_samples columns per thread, as a sweep does.  LMMSE and gmm are factored before the clock
// starts.
//
//   estimators_bench --benchmark_filter=dmse
#include <benchmark/benchmark.h>

#include <chest/angular.hpp>
#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/linear/genie.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/estimators/sparse/omp.hpp>
#include <chest/estimators/sparse/sbl.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/sim/pilots.hpp>
#include <functional>
#include <map>

#include "tests/support/network.hpp"

namespace chest {
namespace {

struct Setting {
  arma::uword n_rx, n_tx, n_samples;
  std::string pilots;
  double snr_db;
};

using MakeEstimator = std::function<std::unique_ptr<Estimator>(
    const Setting&, std::shared_ptr<const ObservationOperator>)>;

const ChannelBlock& channels_of(const Setting& setting) {
  static std::map<std::pair<arma::uword, arma::uword>, ChannelBlock> kept;
  ChannelBlock& block = kept[{setting.n_rx, setting.n_tx}];
  if (block.h.is_empty()) {
    ScmOptions options;
    options.n_rx = setting.n_rx;
    options.n_tx = setting.n_tx;
    block = make_scm(options)->generate(1, 0, 512);
  }
  return block;
}

arma::cx_mat covariance_of(const Setting& setting) {
  const arma::cx_mat& h = channels_of(setting).h;
  return h * h.t() / static_cast<double>(h.n_cols);
}

/// Four clusters: the covariances of four channels.
GaussianMixture mixture_of(const Setting& setting) {
  const ChannelBlock& channels = channels_of(setting);
  GaussianMixture prior;
  prior.weights = {0.25, 0.25, 0.25, 0.25};
  prior.means.zeros(setting.n_rx * setting.n_tx, 4);
  for (arma::uword k = 0; k < 4; ++k) {
    const arma::cx_vec t_rx = channels.covariances.t_rx.col(k);
    const arma::cx_vec t_tx = channels.covariances.t_tx.col(k);
    prior.covariances.push_back(arma::kron(chest::toeplitz(t_tx), chest::toeplitz(t_rx)));
  }
  return prior;
}

/// 64 components of kind dft, from one channel each: half its angular powers, half the mean of all.
GaussianMixture dft_mixture_of(const Setting& setting) {
  constexpr arma::uword n_components = 64;
  const arma::uword n_h = setting.n_rx * setting.n_tx;
  arma::mat powers(n_h, channels_of(setting).h.n_cols);
  const arma::cx_mat angular =
      AngularTransform(setting.n_rx, setting.n_tx).forward(channels_of(setting).h);
  for (arma::uword i = 0; i < powers.n_elem; ++i) powers(i) = std::norm(angular(i));
  const arma::vec mean = arma::mean(powers, 1) + 1e-4;
  GaussianMixture prior;
  prior.weights.set_size(n_components);
  prior.weights.fill(1.0 / n_components);
  prior.means.zeros(n_h, n_components);
  SpectralCovariances structure{setting.n_rx, setting.n_tx, 1, powers.head_cols(n_components), {}};
  structure.spectra.each_col() += mean;
  structure.spectra *= 0.5;
  prior.structure = structure;
  return prior;
}

void run(benchmark::State& state, const Setting& setting, const MakeEstimator& make) {
  const OneBlasThread one_blas_thread;
  const ChannelBlock& channels = channels_of(setting);
  const std::shared_ptr<const ObservationOperator> A = sim::make_observation(
      sim::make_pilots(sim::parse_pilots(setting.pilots), setting.n_tx, 1), setting.n_rx);
  std::unique_ptr<Estimator> estimator;
  try {
    estimator = make(setting, A);
  } catch (const Error& error) {
    state.SkipWithError(error.what());
    return;
  }
  const unsigned n_threads = available_threads();
  Observation observation;
  observation.sigma2 = from_db(-setting.snr_db);
  const arma::uword last = setting.n_samples - 1;
  observation.y =
      A->apply(channels.h.cols(0, last)) +
      Rng(1, {Purpose::noise}).cx_normal(A->n_obs(), setting.n_samples, observation.sigma2);
  observation.genie = {channels.covariances.t_rx.cols(0, last),
                       channels.covariances.t_tx.cols(0, last)};
  std::vector<Estimate> out(n_threads);
  const auto once = [&] {
    parallel_for(n_threads, n_threads,
                 [&](std::size_t i) { estimator->estimate(observation, out[i]); });
  };
  once();
  for (auto _ : state) once();
  state.SetItemsProcessed(
      static_cast<std::int64_t>(state.iterations() * n_threads * setting.n_samples));
  state.counters["nfe"] = static_cast<double>(out[0].nfe);
  state.counters["threads"] = n_threads;
}

DmseOptions rule(ReverseRule rule, arma::uword n_steps = 3) {
  DmseOptions options;
  options.rule = rule;
  options.n_steps = n_steps;
  return options;
}

MakeEstimator network(const DmseOptions& options, const NetworkConfig& config) {
  return [=](const Setting& setting, std::shared_ptr<const ObservationOperator> A) {
    return make_dmse(
        A, make_network_denoiser(random_network_model(setting.n_rx, setting.n_tx, config)),
        options);
  };
}

void add(const std::string& name, const Setting& setting, const MakeEstimator& make) {
  const std::string text = name + "/n_h:" + std::to_string(setting.n_rx * setting.n_tx) + "/" +
                           setting.pilots +
                           "/snr_db:" + std::to_string(static_cast<int>(setting.snr_db)) +
                           "/n_samples:" + std::to_string(setting.n_samples);
  benchmark::RegisterBenchmark(
      text.c_str(), [setting, make](benchmark::State& state) { run(state, setting, make); })
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

/// One thread and one call of a network, at a noise level that it was called at before or at a new
/// one, for which it has to be prepared.
void denoise(benchmark::State& state, arma::uword n_rx, arma::uword n_tx, arma::uword n_samples,
             bool is_new) {
  const auto denoiser = make_network_denoiser(random_network_model(n_rx, n_tx));
  const arma::cx_mat z = Rng(1, {Purpose::test}).cx_normal(n_rx * n_tx, n_samples);
  arma::cx_mat out;
  double sigma2 = 0.1;
  denoiser->denoise(z, sigma2, out);
  for (auto _ : state) {
    if (is_new) sigma2 *= 1.0 + 1e-9;
    denoiser->denoise(z, sigma2, out);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * n_samples));
}

const bool registered = [] {
  const MakeEstimator ls = [](const Setting&, auto A) { return make_ls(A); };
  const MakeEstimator lmmse = [](const Setting& s, auto A) {
    return make_lmmse(A, covariance_of(s));
  };
  const MakeEstimator genie = [](const Setting&, auto A) { return make_genie(A); };
  const MakeEstimator gmm = [](const Setting& s, auto A) { return make_gmm(A, mixture_of(s)); };
  const MakeEstimator dft_gmm = [](const Setting& s, auto A) {
    return make_gmm(A, dft_mixture_of(s));
  };
  const MakeEstimator omp = [](const Setting& s, auto A) { return make_omp(A, s.n_rx, s.n_tx); };
  const MakeEstimator sbl = [](const Setting& s, auto A) { return make_sbl(A, s.n_rx, s.n_tx); };
  const MakeEstimator exact_dmse = [](const Setting& s, auto A) {
    return make_dmse(A, make_gaussian_mixture_denoiser(mixture_of(s)),
                     rule(ReverseRule::fixed_steps, 1));
  };
  const MakeEstimator dft_dmse = [](const Setting& s, auto A) {
    return make_dmse(A, make_gaussian_mixture_denoiser(dft_mixture_of(s)),
                     rule(ReverseRule::fixed_steps, 1));
  };
  for (const auto& [n_rx, n_tx] : {std::pair<arma::uword, arma::uword>{16, 4}, {64, 16}}) {
    const std::string half = "dft:" + std::to_string(n_tx / 2);
    for (const std::string& pilots : {std::string("identity"), half}) {
      const Setting setting{n_rx, n_tx, 64, pilots, 0.0};
      add("ls", setting, ls);
      add("lmmse", setting, lmmse);
      add("genie", setting, genie);
      add("gmm", setting, gmm);
      add("gmm:dft_64", setting, dft_gmm);
      add("omp", setting, omp);
      add("sbl", setting, sbl);
    }
    add("dmse:prior=gmm", {n_rx, n_tx, 64, "identity", 0.0}, exact_dmse);
    add("dmse:prior=gmm:dft_64", {n_rx, n_tx, 64, "identity", 0.0}, dft_dmse);
    for (const double snr_db : {-10.0, 10.0}) {
      const Setting setting{n_rx, n_tx, 16, "identity", snr_db};
      add("dmse", setting, network(rule(ReverseRule::calibrated), {}));
      add("dmse:steps=1", setting, network(rule(ReverseRule::fixed_steps, 1), {}));
      add("dmse:published", setting,
          network(rule(ReverseRule::published), NetworkConfig::published()));
    }
    add("dmse", {n_rx, n_tx, 1, "identity", 0.0}, network(rule(ReverseRule::calibrated), {}));
    for (const arma::uword n_samples : {1, 64}) {
      for (const bool is_new : {false, true}) {
        const std::string text = std::string("denoise/level:") + (is_new ? "new" : "kept") +
                                 "/n_h:" + std::to_string(n_rx * n_tx) +
                                 "/n_samples:" + std::to_string(n_samples);
        benchmark::RegisterBenchmark(text.c_str(), [n_rx = n_rx, n_tx = n_tx, n_samples,
                                                    is_new](benchmark::State& state) {
          denoise(state, n_rx, n_tx, n_samples, is_new);
        })->Unit(benchmark::kMicrosecond);
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace chest
