// Networks on the engine and on LibTorch, one thread: channels per second, and the multiplications of their
// convolutions per second beside those of oneDNN's own convolutions of the same sizes.
//
//   engine_bench --benchmark_filter=64x16
#include <benchmark/benchmark.h>

#include <chest/estimators/inference/precision.hpp>
#include <chest/estimators/network/run_options.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>

#include "tests/support/network.hpp"

#ifdef CHEST_BENCH_WITH_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace chest {
namespace {

double multiplications(const NetworkConfig& config, arma::uword n_h) {
  double n = 0.0;
  int n_in = config.n_inputs();
  for (std::size_t i = 0; i <= config.hidden.size(); ++i) {
    const int n_out = i < config.hidden.size() ? config.hidden[i] : config.n_outputs();
    n += n_in * n_out;
    n_in = n_out;
  }
  return n * config.kernel * config.kernel * static_cast<double>(n_h);
}

void count(benchmark::State& state, double multiplications_per_channel, arma::uword n_samples) {
  const auto n_channels = static_cast<double>(state.iterations()) * static_cast<double>(n_samples);
  state.counters["channels"] = {n_channels, benchmark::Counter::kIsRate};
  state.counters["GMAC"] = {1e-9 * n_channels * multiplications_per_channel,
                            benchmark::Counter::kIsRate};
}

void denoise(benchmark::State& state, arma::uword n_rx, arma::uword n_tx, arma::uword n_samples,
             const NetworkRunOptions& run) {
  NetworkModel model = random_network_model(n_rx, n_tx);
  if (run.precision == NetworkPrecision::int8) {
    const arma::cx_mat h = Rng(2, {Purpose::test}).cx_normal(n_rx * n_tx, 2);
    model.precision = measure_precision(model, samples_in_memory(h, n_rx, n_tx), 1, 1);
  }
  const auto denoiser = make_network_denoiser(model, run);
  const arma::cx_mat z = Rng(1, {Purpose::test}).cx_normal(n_rx * n_tx, n_samples);
  arma::cx_mat out;
  denoiser->denoise(z, 0.1, out);
  for (auto _ : state) denoiser->denoise(z, 0.1, out);
  count(state, multiplications(model.network, n_rx * n_tx), n_samples);
}

#ifdef CHEST_BENCH_WITH_ONEDNN
/// The convolutions of the network alone, in the layouts that oneDNN chooses.
void convolve(benchmark::State& state, arma::uword n_rx, arma::uword n_tx, arma::uword n_samples,
              dnnl::memory::data_type type) {
  using dnnl::memory;
  const NetworkConfig config;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  std::vector<dnnl::convolution_forward> layers;
  std::vector<std::unordered_map<int, memory>> arguments;
  int n_in = config.n_inputs();
  const auto n = static_cast<memory::dim>(n_samples), rows = static_cast<memory::dim>(n_rx),
             columns = static_cast<memory::dim>(n_tx);
  for (std::size_t i = 0; i <= config.hidden.size(); ++i) {
    const int n_out = i < config.hidden.size() ? config.hidden[i] : config.n_outputs();
    const auto any = [&](const memory::dims& dims) {
      return memory::desc(dims, type, memory::format_tag::any);
    };
    const dnnl::convolution_forward::desc what(
        dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
        any({n, n_in, rows, columns}), any({n_out, n_in, config.kernel, config.kernel}),
        any({n_out}), any({n, n_out, rows, columns}), {1, 1}, {1, 1}, {1, 1});
    const dnnl::convolution_forward::primitive_desc plan(what, engine);
    layers.emplace_back(plan);
    arguments.push_back({{DNNL_ARG_SRC, memory(plan.src_desc(), engine)},
                         {DNNL_ARG_WEIGHTS, memory(plan.weights_desc(), engine)},
                         {DNNL_ARG_BIAS, memory(plan.bias_desc(), engine)},
                         {DNNL_ARG_DST, memory(plan.dst_desc(), engine)}});
    for (auto& [key, value] : arguments.back()) {
      std::memset(value.get_data_handle(), 0, value.get_desc().get_size());
    }
    n_in = n_out;
  }
  for (auto _ : state) {
    for (std::size_t i = 0; i < layers.size(); ++i) layers[i].execute(stream, arguments[i]);
    stream.wait();
  }
  count(state, multiplications(config, n_rx * n_tx), n_samples);
}
#endif

const bool registered = [] {
  for (const auto& [n_rx, n_tx] : {std::pair<arma::uword, arma::uword>{64, 16}, {32, 4}, {16, 4}}) {
    for (const arma::uword n_samples : {1, 8, 64}) {
      const std::string size = "/" + std::to_string(n_rx) + "x" + std::to_string(n_tx) +
                               "/batch:" + std::to_string(n_samples);
      const auto add = [&](const std::string& name, const auto& work) {
        benchmark::RegisterBenchmark((name + size).c_str(), work)->Unit(benchmark::kMicrosecond);
      };
      using enum NetworkPrecision;
      for (const auto& [engine, precision] :
           {std::pair{NetworkEngine::onednn, float32}, std::pair{NetworkEngine::onednn, bfloat16},
            std::pair{NetworkEngine::onednn, int8}, std::pair{NetworkEngine::torch, float32},
            std::pair{NetworkEngine::torch, bfloat16}}) {
        NetworkRunOptions run;
        run.engine = engine;
        run.precision = precision;
        add(engine_in_use(run), [=, n_rx = n_rx, n_tx = n_tx](benchmark::State& state) {
          denoise(state, n_rx, n_tx, n_samples, run);
        });
      }
#ifdef CHEST_BENCH_WITH_ONEDNN
      add("convolutions float32", [=, n_rx = n_rx, n_tx = n_tx](benchmark::State& state) {
        convolve(state, n_rx, n_tx, n_samples, dnnl::memory::data_type::f32);
      });
      if (dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_bf16) {
        add("convolutions bfloat16", [=, n_rx = n_rx, n_tx = n_tx](benchmark::State& state) {
          convolve(state, n_rx, n_tx, n_samples, dnnl::memory::data_type::bf16);
        });
      }
#endif
    }
  }
  return true;
}();

}  // namespace
}  // namespace chest
