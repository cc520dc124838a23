#include <chest/sim/coded_link.hpp>

#include <algorithm>
#include <limits>
#include <memory>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/random.hpp>

#include "engine.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// Transport blocks of the columns of a block of the run.
class TransportMeter final : public Meter {
 public:
  TransportMeter(const CodedLinkOptions& options, const std::vector<PuschAllocation>& allocations,
                 arma::uword n_rx, arma::uword n_tx)
      : n_transmissions_(options.pusch.n_transmissions) {
    for (const PuschAllocation& allocation : allocations)
      chains_.push_back(std::make_unique<PuschChain>(options.pusch, allocation, n_rx, n_tx));
  }

  void begin(const Scene& scene) override {
    PuschChain& chain = *chains_[scene.i_pilots];
    const arma::uword n = scene.h.n_cols / n_transmissions_ * n_transmissions_;
    bits_.resize(n / n_transmissions_);
    coded_.resize(n);
    received_.set_size(chain.n_received(), n);
    arma::cx_vec noise(chain.n_received());
    for (arma::uword k = 0; k < n; ++k) {
      Bits& bits = bits_[k / n_transmissions_];
      if (k % n_transmissions_ == 0) {
        Rng rng(scene.seed, {Purpose::data_symbols, scene.snr_stream, scene.observation.sample(k)});
        chain.draw_bits(rng, bits);
      }
      chain.encode(bits, k % n_transmissions_, coded_[k]);
      Rng(scene.seed, {Purpose::data_noise, scene.snr_stream, scene.observation.sample(k)})
          .fill_cx_normal(noise.memptr(), noise.n_elem);
      chain.transmit(coded_[k], scene.h.colptr(k), noise.memptr(), scene.observation.sigma2,
                     received_.colptr(k));
    }
  }

  void measure(const Scene& scene, const Estimate& estimate, double* sums) override {
    PuschChain& chain = *chains_[scene.i_pilots];
    SoftBuffer buffer = chain.make_buffer();
    BlockSums found = BlockSums::read(sums + ErrorSums::count);
    for (std::size_t block = 0; block < bits_.size(); ++block) {
      buffer.clear();
      BlockSums one;
      bool is_lost = true;
      for (arma::uword i = 0; i < n_transmissions_ && is_lost; ++i) {
        const arma::uword k = block * n_transmissions_ + i;
        const double sigma2 =
            estimate.sigma2.is_empty() ? scene.observation.sigma2 : estimate.sigma2(k);
        is_lost = !chain.receive(estimate, k, sigma2, received_.colptr(k), i, bits_[block],
                                 coded_[k], buffer, one);
      }
      one.finish(!is_lost, bits_[block], buffer.bits());
      found.add(one);
    }
    found.write(sums + ErrorSums::count);
  }

 private:
  const arma::uword n_transmissions_;
  std::vector<std::unique_ptr<PuschChain>> chains_;  // of each choice of pilots
  std::vector<Bits> bits_;                           // of the transport blocks
  std::vector<Bits> coded_;                          // of each column
  arma::cx_mat received_;                            // [n_rx n_data, n]
};

nlohmann::ordered_json described(const PuschOptions& options,
                                 const std::vector<PuschAllocation>& allocations) {
  nlohmann::ordered_json json;
  json["code_rate"] = allocations.front().mcs.code_rate;
  json["layers"] = allocations.front().n_layers;
  json["transmissions"] = options.n_transmissions;
  json["detector"] = options.detector == DetectorKind::zf ? "zf" : "lmmse";
  json["demapper"] = options.demapper == DemapperKind::max_log ? "max-log" : "log-map";
  json["error_variance"] = options.error_variance;
  const DecoderOptions& decoder = options.decoder;
  json["decoder"] = {{"kind", int(decoder.kind)},
                     {"schedule", int(decoder.schedule)},
                     {"precision", int(decoder.precision)},
                     {"iterations", decoder.iterations},
                     {"clip", decoder.clip},
                     {"scale", decoder.scale},
                     {"offset", decoder.offset}};
  for (const PuschAllocation& allocation : allocations)
    json["info_bits"].push_back(allocation.transport.n_info_bits);
  return json;
}

}  // namespace

Results run_coded_link(const SampleReader& samples, const CovarianceReader& covariances,
                       const EstimatorFactory& make_estimator, const CodedLinkOptions& options,
                       const RunControl& control) {
  if (!samples.grid.is_grid())
    refuse("link: transport blocks are sent over grids, these channels are matrices");
  if (const std::string why = options.run.why_invalid(); !why.empty()) refuse("link: " + why);
  const arma::uword n_transmissions = options.pusch.n_transmissions;
  SweepOptions run = options.run;
  run.block = std::max(run.block / std::max<arma::uword>(n_transmissions, 1), arma::uword{1}) *
              n_transmissions;
  const arma::uword end = run.end != 0 ? run.end : samples.n_samples;
  if (end < run.first + n_transmissions)
    refuse("link: " + std::to_string(end - std::min(end, run.first)) +
           " samples are fewer than the " + std::to_string(n_transmissions) +
           " transmissions of a transport block");
  std::vector<PuschAllocation> allocations;
  for (const PilotSpec& spec : run.pilots)
    allocations.push_back(make_allocation(
        options.pusch,
        make_grid_pilots(spec, samples.n_tx, samples.grid, run.seed, run.pilot_power), samples.n_rx,
        samples.n_tx));

  Experiment experiment;
  experiment.kind = ResultKind::coded_link;
  experiment.modulations = {NrQam(allocations.front().mcs.bits_per_symbol).name()};
  experiment.n_sums = ErrorSums::count + BlockSums::count;
  experiment.with_perfect = true;
  experiment.per_element = true;
  nlohmann::ordered_json json = described(options.pusch, allocations);
  json["modulations"] = experiment.modulations;
  experiment.options = json.dump();
  experiment.make_meter = [&] {
    return std::make_unique<TransportMeter>(options, allocations, samples.n_rx, samples.n_tx);
  };
  experiment.relative_half_width = [](const double* values) {
    const BlockSums sums = BlockSums::read(values + ErrorSums::count);
    if (sums.errors == 0.0) return std::numeric_limits<double>::infinity();
    const Interval interval = binomial_interval(sums.n, sums.errors);
    return (interval.high - interval.low) / 2.0 / sums.bler();
  };
  return run_experiment(samples, covariances, make_estimator, run, experiment, control);
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
