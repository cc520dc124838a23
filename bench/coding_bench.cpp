// Information bits per second and core of the LDPC decoder, encoder and demapper of 5G. The decoder is given ten iterations, all of
// which it takes: noise that is no word; times scale with the iterations. ocudu/ is the set-up of OCUDU's ldpc_decoder_benchmark: the
// largest lifting size, the most and the least that is sent of a word, six iterations.
//
//   coding_bench --benchmark_filter='decode/.*layered'
#include <benchmark/benchmark.h>

#include <cmath>
#include <optional>

#include <chest/random.hpp>
#include <chest/sim/coding/decoder.hpp>
#include <chest/sim/coding/nr_ldpc.hpp>
#include <chest/sim/coding/qam.hpp>
#include <chest/sim/coding/transport.hpp>

namespace chest::sim {
namespace {

struct CodeSize {
  const char* name;
  unsigned k, n;
  std::optional<BaseGraph> graph{};  // empty: that of 38.212
};
constexpr CodeSize sizes[] = {{"k:500/n:1000", 500, 1000}, {"k:8448/n:12672", 8448, 12672}};
constexpr CodeSize sizes_of_ocudu[] = {{"bg:1/n:9216", 8448, 9216, BaseGraph::bg1},
                                       {"bg:1/n:25344", 8448, 25344, BaseGraph::bg1},
                                       {"bg:2/n:4608", 3840, 4608, BaseGraph::bg2},
                                       {"bg:2/n:19200", 3840, 19200, BaseGraph::bg2}};

void count_bits(benchmark::State& state, double bits_per_call) {
  state.counters["bits"] =
      benchmark::Counter(bits_per_call * double(state.iterations()), benchmark::Counter::kIsRate);
}

void decode(benchmark::State& state, const CodeSize& size, const DecoderOptions& options) {
  const NrLdpc code(size.graph.value_or(base_graph_of(size.k, double(size.k) / size.n)), size.k);
  LdpcDecoder decoder(code.parity_check(), options);
  Rng rng(1, {Purpose::test});
  std::vector<float> llrs(size.n), buffer(code.n_buffer(), 0.0f), word(code.n_word());
  for (float& llr : llrs) llr = float(rng.normal());
  const unsigned rows = code.combine(llrs.data(), 0, 1, size.n, buffer.data());
  code.expand(buffer.data(), word.data());
  Bits bits(code.n_word());
  for (auto _ : state) {
    if (decoder.decode(word.data(), bits.data(), rows).iterations != options.iterations)
      state.SkipWithError("noise became a word");
  }
  count_bits(state, size.k);
}

void encode(benchmark::State& state, const CodeSize& size) {
  const NrLdpc code(base_graph_of(size.k, double(size.k) / size.n), size.k);
  Bits info(size.k, 1), word(code.n_word()), sent(size.n);
  for (auto _ : state) {
    code.encode(info.data(), word.data());
    code.match_rate(word.data(), 0, 4, size.n, sent.data());
    benchmark::DoNotOptimize(sent.data());
  }
  count_bits(state, size.k);
}

void demap(benchmark::State& state, const std::string& name, DemapperKind kind) {
  const NrQam qam(name);
  constexpr std::size_t n = 1000;
  Rng rng(1, {Purpose::test});
  std::vector<std::complex<double>> received(n);
  rng.fill_cx_normal(received.data(), n);
  const std::vector<double> variances(n, 0.1);
  std::vector<float> llrs(n * qam.bits_per_symbol());
  for (auto _ : state) {
    qam.demap(received.data(), variances.data(), n, kind, llrs.data());
    benchmark::DoNotOptimize(llrs.data());
  }
  count_bits(state, double(llrs.size()));
}

void register_decoder(const std::string& prefix, const CodeSize& size,
                      const DecoderOptions& options, const std::string& how) {
  benchmark::RegisterBenchmark(
      (prefix + size.name + "/" + how).c_str(),
      [size, options](benchmark::State& state) { decode(state, size, options); })
      ->Unit(benchmark::kMicrosecond);
}

const int registered = [] {
  for (const CodeSize& size : sizes) {
    for (const char* kind : {"bp", "min-sum", "offset-min-sum"})
      for (const char* schedule : {"flooding", "layered"})
        for (const char* precision : {"float", "int8"}) {
          DecoderOptions options;
          options.iterations = 10;
          options.kind = decoder_kind_from_string(kind);
          options.schedule = decoder_schedule_from_string(schedule);
          options.precision = decoder_precision_from_string(precision);
          if (!options.why_invalid().empty()) continue;
          register_decoder("decode/", size, options,
                           std::string(kind) + "/" + schedule + "/" + precision);
        }
    benchmark::RegisterBenchmark((std::string("encode/") + size.name).c_str(),
                                 [size](benchmark::State& state) { encode(state, size); })
        ->Unit(benchmark::kMicrosecond);
  }
  for (const CodeSize& size : sizes_of_ocudu) {
    for (const DecoderKind kind : {DecoderKind::min_sum, DecoderKind::offset_min_sum}) {
      DecoderOptions options;
      options.iterations = 6;
      options.kind = kind;
      options.schedule = DecoderSchedule::layered;
      options.precision = DecoderPrecision::int8;
      register_decoder("ocudu/", size, options,
                       kind == DecoderKind::min_sum ? "min-sum" : "offset-min-sum");
    }
  }
  for (const char* name : {"qpsk", "16qam", "64qam", "256qam"}) {
    benchmark::RegisterBenchmark(
        (std::string("demap/") + name + "/log-map").c_str(),
        [name](benchmark::State& state) { demap(state, name, DemapperKind::log_map); });
    benchmark::RegisterBenchmark(
        (std::string("demap/") + name + "/max-log").c_str(),
        [name](benchmark::State& state) { demap(state, name, DemapperKind::max_log); });
  }
  return 0;
}();

}  // namespace
}  // namespace chest::sim
