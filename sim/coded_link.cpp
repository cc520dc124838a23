#include <chest/sim/coded_link.hpp>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <optional>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

#include "data_aided.hpp"
#include "engine.hpp"
#include "receiver_description.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// Of samples that belong to somebody else than the user: numbers of streams beyond those of any file.
constexpr std::uint64_t others = std::uint64_t{1} << 62;

/// What another user adds to the elements of a grid.
class Interferer {
 public:
  Interferer(const Interference& options, const SampleReader& samples, const SampleSet& left_out)
      : options_(options), samples_(samples), left_out_(left_out) {}

  double ratio() const { return from_db(options_.ratio_db); }
  /// [n_rx, n_elements], of power 1 per entry.
  void draw(const Scene& scene, arma::uword k, arma::cx_mat& out) const {
    const std::uint64_t sample = scene.observation.sample(k);
    const arma::uword n_elements = samples_.grid.n_elements(), n_rx = samples_.n_rx;
    const arma::cx_mat h = channel_beside(sample);
    const double part = std::sqrt(0.5 / double(options_.rank));
    Rng rng(scene.seed, {Purpose::data_symbols, scene.snr_stream, others + sample});
    out.zeros(n_rx, n_elements);
    for (arma::uword element = 0; element < n_elements; ++element) {
      for (arma::uword t = 0; t < options_.rank; ++t) {
        const std::uint64_t label = rng.index(4);
        const std::complex<double> s(label & 1u ? part : -part, label & 2u ? part : -part);
        const std::complex<double>* H = h.memptr() + (element * samples_.n_tx + t) * n_rx;
        for (arma::uword r = 0; r < n_rx; ++r) out(r, element) += H[r] * s;
      }
    }
  }

 private:
  /// The channel of the sample half of the file away, or of the next one that can be used.
  arma::cx_mat channel_beside(std::uint64_t sample) const {
    const arma::uword n = samples_.n_samples;
    for (arma::uword step = 0; step < n; ++step) {
      const arma::uword other = (arma::uword(sample) + n / 2 + step) % n;
      if (other == sample || left_out_.outside({other, other + 1}).empty()) continue;
      arma::cx_mat h = samples_.read(other, 1);
      if (h.is_finite()) return h;
    }
    refuse("link: an interferer needs another sample beside sample " + std::to_string(sample) +
           ", the channels have none");
  }

  Interference options_;
  const SampleReader& samples_;
  const SampleSet& left_out_;
};

/// A row that estimates with decoded data.
struct AidedRow {
  arma::uword rounds = 0;
  std::shared_ptr<const Estimator> whole;  // of whole_grid()
};
struct AidedRows {
  std::map<arma::uword, AidedRow> rows;  // by their place in the results
  const AidedRow* find(arma::uword i_row) const {
    const auto it = rows.find(i_row);
    return it == rows.end() ? nullptr : &it->second;
  }
};

/// What a block of a run is asked for.
struct Replay {
  std::size_t block;  // of its transport blocks
  ReplayedBlock found;
};

/// Transport blocks of the columns of a block of the run.
class TransportMeter final : public Meter {
 public:
  TransportMeter(const CodedLinkOptions& options, const std::vector<PuschAllocation>& allocations,
                 const SampleReader& samples, const AidedRows& aided, Replay* replay)
      : n_transmissions_(options.pusch.n_transmissions), aided_(aided), replay_(replay) {
    for (const PuschAllocation& allocation : allocations)
      chains_.push_back(
          std::make_unique<PuschChain>(options.pusch, allocation, samples.n_rx, samples.n_tx));
    if (options.interference)
      interferer_.emplace(*options.interference, samples, options.run.left_out);
  }

  double disturb(const Scene& scene, arma::cx_mat& y) override {
    noise_variance_ = scene.observation.sigma2;
    if (!interferer_) return 0.0;
    const double variance = noise_variance_ * interferer_->ratio(), root = std::sqrt(variance);
    const PilotPattern& pattern = *scene.A.pattern();
    const arma::uword n_subcarriers = pattern.grid.n_subcarriers, n_rx = scene.n_rx;
    interference_.resize(y.n_cols);
    for (arma::uword k = 0; k < y.n_cols; ++k) {
      arma::cx_mat& added = interference_[k];
      interferer_->draw(scene, k, added);
      added *= root;
      for (arma::uword p = 0; p < pattern.n(); ++p) {
        const arma::uword element = pattern.symbol(p) * n_subcarriers + pattern.subcarrier(p);
        for (arma::uword r = 0; r < n_rx; ++r) y(p * n_rx + r, k) += added(r, element);
      }
    }
    return variance;
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
      chain.transmit(coded_[k], scene.h.colptr(k), noise.memptr(), noise_variance_,
                     received_.colptr(k));
      if (interferer_)
        received_.col(k) += arma::vectorise(interference_[k].cols(chain.allocation().elements));
    }
  }

  double decoding_seconds() const override {
    double sum = 0.0;
    for (const auto& chain : chains_) sum += chain->decoding_seconds();
    return sum;
  }

  void measure(const Scene& scene, arma::uword i_row, Estimate& estimate, double* sums) override {
    PuschChain& chain = *chains_[scene.i_pilots];
    SoftBuffer buffer = chain.make_buffer();
    BlockSums found = BlockSums::read(sums + ErrorSums::count);
    const AidedRow* aided = aided_.find(i_row);
    if (aided) spread_error(scene, estimate);
    for (std::size_t block = 0; block < bits_.size(); ++block) {
      buffer.clear();
      BlockSums one;
      bool is_lost = true;
      ReplayedBlock::Row* replayed = replayed_row(scene, block, i_row);
      for (arma::uword i = 0; i < n_transmissions_ && is_lost; ++i) {
        const arma::uword k = block * n_transmissions_ + i;
        const double sigma2 =
            estimate.sigma2.is_empty() ? scene.observation.sigma2 : estimate.sigma2(k);
        const ReceivedSlot slot{received_.colptr(k), scene.observation.y.colptr(k), sigma2};
        if (aided) {
          is_lost = !receive_aided(scene, *aided, estimate, k, slot, i, bits_[block], buffer, one);
        } else {
          is_lost = !chain.receive(estimate, k, slot, i, bits_[block], coded_[k], buffer, one);
        }
        if (replayed) {
          ReplayedBlock::Reception reception{estimate.h.col(k), {}, chain.llrs()};
          if (!estimate.element_mse.is_empty()) {
            reception.err_var = estimate.element_mse.col(k);
          } else if (!estimate.mse.is_empty()) {
            reception.err_var.set_size(scene.n_tx * scene.A.pattern()->grid.n_elements());
            reception.err_var.fill(estimate.mse(k) / double(estimate.h.n_rows));
          }
          replayed->receptions.push_back(std::move(reception));
        }
      }
      one.finish(chain.n_lost(), chain.allocation().n_codewords, bits_[block], chain.found());
      found.add(one);
      if (replayed) {
        replayed->found = chain.found();
        replayed->delivered = !is_lost;
        replayed->sums = one;
      }
    }
    found.write(sums + ErrorSums::count);
  }

 private:
  /// Error variances of every element, from those of whole channels where they are not known.
  static void spread_error(const Scene& scene, Estimate& estimate) {
    if (!estimate.element_mse.is_empty()) return;
    const arma::uword n = scene.n_tx * scene.A.pattern()->grid.n_elements();
    estimate.element_mse.zeros(n, scene.h.n_cols);
    for (arma::uword k = 0; k < estimate.mse.n_elem; ++k)
      if (std::isfinite(estimate.mse(k)))
        estimate.element_mse.col(k).fill(estimate.mse(k) / double(estimate.h.n_rows));
  }

  /// One transmission, with rounds of estimation by what was decoded.
  bool receive_aided(const Scene& scene, const AidedRow& row, Estimate& estimate, arma::uword k,
                     const ReceivedSlot& slot, arma::uword transmission, const Bits& bits,
                     SoftBuffer& buffer, BlockSums& sums) {
    PuschChain& chain = *chains_[scene.i_pilots];
    const PuschAllocation& allocation = chain.allocation();
    const SoftBuffer before = buffer;
    const BlockSums sums_before = sums;
    const NrQam qam(allocation.mcs.bits_per_symbol);
    const std::size_t n_symbols = allocation.n_coded_bits() / qam.bits_per_symbol();
    std::vector<float> believed(allocation.n_coded_bits());
    std::vector<std::complex<double>> x(n_symbols);
    std::vector<double> v(n_symbols);
    BlockSums work;  // decoders of rounds that were not the last
    for (arma::uword round = 0;; ++round) {
      buffer = before;
      sums = sums_before;
      const bool delivered = chain.receive(estimate, k, slot, transmission, bits, coded_[k], buffer,
                                           sums, believed.data());
      if (delivered || round == row.rounds) {
        sums.iterations += work.iterations;
        sums.n_decoded += work.n_decoded;
        return delivered;
      }
      work.iterations += sums.iterations - sums_before.iterations;
      work.n_decoded += sums.n_decoded - sums_before.n_decoded;
      soft_symbols(qam, believed.data(), n_symbols, x.data(), v.data());
      estimate_with_data(*row.whole, allocation, scene.n_rx, scene.n_tx, slot, x.data(), v.data(),
                         scene.seed, scene.observation.sample(k),
                         {estimate.h.colptr(k), estimate.element_mse.colptr(k)});
    }
  }

  /// Where this row of this block is kept; null: nowhere.
  ReplayedBlock::Row* replayed_row(const Scene& scene, std::size_t block, arma::uword i_row) {
    if (!replay_ || replay_->block != block) return nullptr;
    ReplayedBlock& all = replay_->found;
    if (i_row == 0) {
      const PuschChain& chain = *chains_[scene.i_pilots];
      all.sigma2 = scene.observation.sigma2;
      all.allocation = chain.allocation();
      all.bits = bits_[block];
      all.transmissions.clear();
      all.rows.clear();
      for (arma::uword k = block * n_transmissions_; k < (block + 1) * n_transmissions_; ++k)
        all.transmissions.push_back(
            {scene.observation.sample(k), coded_[k], scene.h.col(k),
             arma::cx_mat(arma::reshape(scene.observation.y.col(k), scene.n_rx,
                                        scene.observation.y.n_rows / scene.n_rx)),
             arma::cx_mat(
                 arma::reshape(received_.col(k), scene.n_rx, received_.n_rows / scene.n_rx))});
    }
    all.rows.emplace_back();
    return &all.rows.back();
  }

  const arma::uword n_transmissions_;
  const AidedRows& aided_;
  Replay* const replay_;
  std::vector<std::unique_ptr<PuschChain>> chains_;  // of each choice of pilots
  std::vector<Bits> bits_;                           // of the transport blocks
  std::vector<Bits> coded_;                          // of each column
  arma::cx_mat received_;                            // [n_rx n_data, n]
  std::optional<Interferer> interferer_;
  double noise_variance_ = 0.0;             // without interference
  std::vector<arma::cx_mat> interference_;  // of each column, [n_rx, n_elements]
};

/// The channel with white errors as large as those of an estimator in each sample, port and symbol.
void make_white(const Scene& scene, const Estimate& found, Estimate& out) {
  const GridAxes& grid = scene.A.pattern()->grid;
  const arma::uword n_rx = scene.n_rx, n_tx = scene.n_tx, n_f = grid.n_subcarriers;
  out = {};
  out.h.set_size(arma::size(scene.h));
  out.mse.zeros(scene.h.n_cols);
  out.element_mse.set_size(n_tx * grid.n_elements(), scene.h.n_cols);
  for (arma::uword k = 0; k < scene.h.n_cols; ++k) {
    Rng(scene.seed, {Purpose::data_noise, scene.snr_stream, others + scene.observation.sample(k)})
        .fill_cx_normal(out.h.colptr(k), out.h.n_rows);
    for (arma::uword s = 0; s < grid.n_symbols; ++s) {
      for (arma::uword t = 0; t < n_tx; ++t) {
        const auto each_entry = [&](const auto& visit) {
          for (arma::uword f = 0; f < n_f; ++f) {
            const arma::uword first = ((s * n_f + f) * n_tx + t) * n_rx;
            for (arma::uword r = 0; r < n_rx; ++r) visit(first + r);
          }
        };
        double power = 0.0;
        each_entry([&](arma::uword i) { power += std::norm(found.h(i, k) - scene.h(i, k)); });
        const double variance = power / double(n_rx * n_f), root = std::sqrt(variance);
        each_entry([&](arma::uword i) { out.h(i, k) = scene.h(i, k) + root * out.h(i, k); });
        for (arma::uword f = 0; f < n_f; ++f)
          out.element_mse((s * n_f + f) * n_tx + t, k) = variance;
        out.mse(k) += power;
      }
    }
  }
}

void make_untold(const Scene&, const Estimate& found, Estimate& out) {
  out = found;
  out.mse.reset();
  out.element_mse.reset();
}

/// Rounds with decoded data that an estimator is asked for, and what is left of its text: "dmse:data=2".
struct DataRounds {
  arma::uword n = 0;
  std::string estimator;
};
DataRounds data_rounds_of(const std::string& text) {
  const NamedOptions spec = parse_named_options(text);
  if (!spec.has("data")) return {0, text};
  const std::string& value = spec.options.at("data");
  if (value.size() != 1 || value[0] < '1' || value[0] > '9')
    refuse(text + ": data is '" + value + "', expected 1 .. 9 rounds with decoded data");
  return {static_cast<arma::uword>(value[0] - '0'), text_without(spec, "data")};
}

/// A row that estimates with decoded data, by its place in the results, and the estimator that it is of.
struct DataRow {
  arma::uword row, of, n_rounds;
};

/// Rows beside those of the estimators, and which of all estimate with decoded data.
std::vector<DerivedRow> derived_rows(const CodedLinkOptions& options,
                                     std::vector<DataRow>& data_rows) {
  const std::vector<std::string>& names = options.run.estimators;
  std::vector<DerivedRow> rows;
  for (arma::uword i = 0; i < names.size(); ++i) {
    const std::string& name = names[i];
    if (const arma::uword n = data_rounds_of(name).n; n > 0) data_rows.push_back({i, i, n});
    if (options.beside.untold) rows.push_back({name + "+untold", i, make_untold});
    if (options.beside.white) rows.push_back({name + "+white", i, make_white});
    for (const arma::uword n : options.beside.data_rounds) {
      data_rows.push_back({names.size() + rows.size(), i, n});
      rows.push_back({name + "+data" + std::to_string(n), i,
                      [](const Scene&, const Estimate& found, Estimate& out) { out = found; }});
    }
  }
  rows.push_back(perfect_row());
  return rows;
}

AidedRows aided_rows(const std::vector<DataRow>& data_rows, const CodedLinkOptions& options,
                     const SampleReader& samples, const EstimatorFactory& make_estimator) {
  AidedRows out;
  std::map<arma::uword, std::shared_ptr<const Estimator>> wholes;
  std::shared_ptr<const ObservationOperator> A;
  for (const DataRow& each : data_rows) {
    if (!A) A = whole_grid(samples.grid, samples.n_rx);
    std::shared_ptr<const Estimator>& whole = wholes[each.of];
    if (!whole) whole = make_estimator(options.run.estimators[each.of], A);
    out.rows[each.row] = {each.n_rounds, whole};
  }
  return out;
}

nlohmann::ordered_json described(const CodedLinkOptions& all,
                                 const std::vector<PuschAllocation>& allocations) {
  const PuschOptions& options = all.pusch;
  nlohmann::ordered_json json;
  if (all.interference)
    json["interference"] = {{"ratio_db", all.interference->ratio_db},
                            {"rank", all.interference->rank}};
  json["code_rate"] = allocations.front().mcs.code_rate;
  json["layers"] = allocations.front().n_layers;
  json["transmissions"] = options.n_transmissions;
  describe_receiver(options, json);
  for (const PuschAllocation& allocation : allocations)
    json["info_bits"].push_back(allocation.transport.n_info_bits);
  return json;
}

}  // namespace

void describe_receiver(const PuschOptions& options, nlohmann::ordered_json& json) {
  json["detector"] = options.detector.text();
  json["demapper"] = options.demapper == DemapperKind::max_log ? "max-log" : "log-map";
  json["error_variance"] = options.error_variance;
  if (options.layer_codes) json["layer_codes"] = true;
  const DecoderOptions& decoder = options.decoder;
  json["decoder"] = {{"kind", int(decoder.kind)},
                     {"schedule", int(decoder.schedule)},
                     {"precision", int(decoder.precision)},
                     {"iterations", decoder.iterations},
                     {"clip", decoder.clip},
                     {"scale", decoder.scale},
                     {"offset", decoder.offset}};
}

Interference parse_interference(const std::string& text) {
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() > 2)
    refuse("interference is '" + text +
           "', expected its ratio to the noise in dB and its rank, "
           "as in 10:2");
  Interference out;
  out.ratio_db = to_number(parts[0], "interference");
  if (parts.size() == 2) out.rank = to_count(parts[1], "rank of interference '" + text + "'");
  return out;
}

BesideRows parse_beside(const std::string& list) {
  BesideRows rows;
  for (const std::string& name : split(list, ',')) {
    if (name == "white") {
      rows.white = true;
    } else if (name == "untold") {
      rows.untold = true;
    } else if (name.size() == 5 && name.rfind("data", 0) == 0 && name[4] >= '1' && name[4] <= '9') {
      rows.data_rounds.push_back(static_cast<arma::uword>(name[4] - '0'));
    } else {
      refuse("beside names '" + name + "'" + did_you_mean(name, {"white", "untold", "data1"}));
    }
  }
  return rows;
}

std::string CodedLinkOptions::why_invalid() const {
  if (interference) {
    if (!(std::abs(interference->ratio_db) <= 50.0))
      return out_of_range("interference", interference->ratio_db, "-50 .. 50 dB");
    if (interference->rank == 0) return out_of_range("rank of interference", 0.0, "1 .. n_tx");
  }
  if (const std::string why = pusch.why_invalid(); !why.empty()) return why;
  return run.why_invalid();
}

namespace {

/// A run before it starts.
struct CodedRun {
  CodedRun(const SampleReader& samples, const EstimatorFactory& of_catalog,
           const CodedLinkOptions& all)
      : options(all),
        make_estimator([of_catalog](const std::string& text,
                                    const std::shared_ptr<const ObservationOperator>& A) {
          return of_catalog(data_rounds_of(text).estimator, A);
        }) {
    if (!samples.grid.is_grid())
      refuse("link: transport blocks are sent over grids, these channels are matrices");
    if (const std::string why = options.why_invalid(); !why.empty()) refuse("link: " + why);
    if (options.interference && options.interference->rank > samples.n_tx)
      refuse("link: an interferer of rank " + std::to_string(options.interference->rank) +
             " needs as many transmit antennas, the channels have " + std::to_string(samples.n_tx));
    const arma::uword n_transmissions = options.pusch.n_transmissions;
    SweepOptions& run = options.run;
    run.block = std::max(run.block / std::max<arma::uword>(n_transmissions, 1), arma::uword{1}) *
                n_transmissions;
    if (run.end == 0) run.end = samples.n_samples;
    if (run.end < run.first + n_transmissions)
      refuse("link: " + std::to_string(run.end - std::min(run.end, run.first)) +
             " samples are fewer than the " + std::to_string(n_transmissions) +
             " transmissions of a transport block");
    for (const PilotSpec& spec : run.pilots)
      allocations.push_back(make_allocation(
          options.pusch,
          make_grid_pilots(spec, samples.n_tx, samples.grid, run.seed, run.pilot_power),
          samples.n_rx, samples.n_tx));

    experiment.kind = ResultKind::coded_link;
    experiment.modulations = {NrQam(allocations.front().mcs.bits_per_symbol).name()};
    experiment.n_sums = ErrorSums::count + BlockSums::count;
    std::vector<DataRow> data_rows;
    experiment.derived = derived_rows(options, data_rows);
    aided = aided_rows(data_rows, options, samples, make_estimator);
    for (const auto& [row, of_row] : aided.rows) experiment.refined.insert(row);
    experiment.per_element = true;
    nlohmann::ordered_json json = described(options, allocations);
    json["modulations"] = experiment.modulations;
    experiment.options = json.dump();
    experiment.relative_half_width = [](const double* values) {
      const BlockSums sums = BlockSums::read(values + ErrorSums::count);
      if (sums.errors == 0.0) return std::numeric_limits<double>::infinity();
      const Interval interval = binomial_interval(sums.n, sums.errors);
      return (interval.high - interval.low) / 2.0 / sums.bler();
    };
    experiment.n_errors = [](const double* values) {
      return BlockSums::read(values + ErrorSums::count).errors;
    };
  }

  CodedLinkOptions options;
  EstimatorFactory make_estimator;  ///< without data=N, which is the link's
  std::vector<PuschAllocation> allocations;
  AidedRows aided;
  Experiment experiment;
};

}  // namespace

Results run_coded_link(const SampleReader& samples, const CovarianceReader& covariances,
                       const EstimatorFactory& make_estimator, const CodedLinkOptions& options,
                       const RunControl& control) {
  CodedRun run(samples, make_estimator, options);
  run.experiment.make_meter = [&] {
    return std::make_unique<TransportMeter>(run.options, run.allocations, samples, run.aided,
                                            nullptr);
  };
  return run_experiment(samples, covariances, run.make_estimator, run.options.run, run.experiment,
                        control);
}

ReplayedBlock replay_coded_link(const SampleReader& samples, const CovarianceReader& covariances,
                                const EstimatorFactory& make_estimator,
                                const CodedLinkOptions& options, const ReplayChoice& choice,
                                const RunControl& control) {
  CodedRun all(samples, make_estimator, options);
  const SweepOptions& run = all.options.run;
  const arma::uword n_transmissions = options.pusch.n_transmissions;
  // As many transport blocks as the samples of a block of the run that are not left out.
  const auto n_in = [&](const SampleRange& range) {
    arma::uword n = 0;
    for (const SampleRange& part : run.left_out.outside(range)) n += part.size();
    return n / n_transmissions;
  };
  SweepOptions one = run;
  one.pilots.resize(1);
  one.snr_db = {choice.snr_db};
  one.stop_rel = 0.0;
  one.stop_errors = 0;
  one.shard = {};
  one.out.clear();
  one.n_threads = 1;
  arma::uword before = 0;
  for (arma::uword first = run.first; first < run.end; first += run.block) {
    one.first = first;
    one.end = std::min(first + run.block, run.end);
    const arma::uword n = n_in({one.first, one.end});
    for (arma::uword i = 0; i < n; ++i) {
      if (choice.block && before + i != *choice.block) continue;
      Replay replay{i, {}};
      all.experiment.make_meter = [&] {
        return std::make_unique<TransportMeter>(all.options, all.allocations, samples, all.aided,
                                                &replay);
      };
      const Results results =
          run_experiment(samples, covariances, all.make_estimator, one, all.experiment, control);
      if (!results.finished())
        throw Error(ErrorKind::interrupted, "link: the replay was interrupted");
      ReplayedBlock& found = replay.found;
      if (!choice.block && found.rows.front().delivered) continue;
      found.snr_db = choice.snr_db;
      found.block = before + i;
      found.pilots = results.pilots.front().name;
      found.n_rx = samples.n_rx;
      found.n_tx = samples.n_tx;
      for (std::size_t row = 0; row < found.rows.size(); ++row)
        found.rows[row].name = results.estimators[row];
      return std::move(found);
    }
    before += n;
  }
  if (!choice.block)
    refuse("link: " + run.estimators.front() + " loses none of the " + std::to_string(before) +
           " blocks at " + number_text(choice.snr_db) + " dB");
  refuse("link: there is no block " + std::to_string(*choice.block) + ", the run has " +
         std::to_string(before) + ", counted from 0");
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
