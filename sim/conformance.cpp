#include <chest/sim/conformance.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/ofdm.hpp>
#include <chest/parallel.hpp>
#include <chest/paths.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

#include "conformance_search.hpp"
#include "engine.hpp"
#include "receiver_description.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

constexpr arma::uword cell_transmissions = 4;

struct Carrier {
  unsigned mhz, khz;
  arma::uword n_blocks;
  /// A3, A4, A5 with one layer on 2 and 4 antennas; A3, A4 with two layers.
  std::array<double, 10> snr_db;
};

constexpr std::array<Carrier, 7> carriers{
    {{5, 15, 25, {-2.3, -5.8, 10.1, 6.2, 12.3, 8.8, 1.0, -2.3, 18.2, 11.0}},
     {10, 15, 52, {-2.5, -6.0, 10.2, 6.3, 12.2, 8.6, 1.7, -2.0, 18.3, 11.2}},
     {20, 15, 106, {-2.1, -5.5, 10.0, 6.2, 12.4, 8.6, 2.1, -1.8, 18.3, 11.1}},
     {10, 30, 24, {-2.3, -5.6, 10.2, 6.4, 12.8, 8.6, 1.3, -2.2, 18.4, 11.2}},
     {20, 30, 51, {-2.9, -6.0, 10.2, 6.4, 12.5, 8.6, 1.3, -2.2, 18.1, 11.3}},
     {40, 30, 106, {-2.5, -5.8, 10.0, 6.3, 12.4, 8.5, 1.3, -2.3, 19.5, 11.3}},
     {100, 30, 273, {-2.8, -5.8, 10.2, 6.5, 13.0, 9.0, 1.4, -2.2, 19.2, 11.6}}}};

std::vector<ConformanceCell> all_cells() {
  struct Channel {
    const char* name;
    const char* profile;
    Mcs mcs;
  };
  const Channel channels[] = {{"A3", "TDLB100-400", {2, 193.0 / 1024.0}},
                              {"A4", "TDLC300-100", {4, 658.0 / 1024.0}},
                              {"A5", "TDLA30-10", {6, 567.0 / 1024.0}}};
  std::vector<ConformanceCell> cells;
  for (const Carrier& carrier : carriers) {
    for (std::size_t i = 0; i < carrier.snr_db.size(); ++i) {
      const Channel& channel = channels[i < 6 ? i / 2 : (i - 6) / 2];
      ConformanceCell cell;
      cell.n_layers = i < 6 ? 1 : 2;
      cell.n_rx = i % 2 == 0 ? 2 : 4;
      cell.name = std::to_string(carrier.mhz) + "MHz-" + std::to_string(carrier.khz) + "kHz-" +
                  channel.name + "-" + std::to_string(cell.n_layers) + "x" +
                  std::to_string(cell.n_rx);
      cell.spacing_hz = 1e3 * carrier.khz;
      cell.n_blocks = carrier.n_blocks;
      cell.profile = channel.profile;
      cell.mcs = channel.mcs;
      cell.snr_required_db = carrier.snr_db[i];
      cells.push_back(cell);
    }
  }
  return cells;
}

/// All that a cell needs, for any estimator and SNR.
struct CellScene {
  CellScene(const ConformanceCell& of, const ConformanceOptions& options)
      : cell(of), seed(options.seed), receiver(options.receiver) {
    receiver.n_transmissions = cell_transmissions;
    receiver.n_layers = cell.n_layers;
    receiver.mcs.reset();
    receiver.modulation = NrQam(cell.mcs.bits_per_symbol).name();
    receiver.code_rate = cell.mcs.code_rate;
    TdlOptions tdl;
    tdl.profile = cell.profile;
    tdl.n_rx = cell.n_rx;
    tdl.n_tx = cell.n_layers;
    tdl.grid = cell.grid();
    generator = make_tdl(tdl);
    const Pilots pilots = make_grid_pilots(parse_pilots(conformance_pilots), cell.n_layers,
                                           cell.grid(), seed, 1.0 / double(cell.n_layers));
    A = make_observation(pilots, cell.n_rx);
    allocation = make_allocation(receiver, pilots, cell.n_rx, cell.n_layers);
  }

  ConformanceCell cell;
  std::uint64_t seed;
  PuschOptions receiver;
  std::unique_ptr<ChannelGenerator> generator;
  std::shared_ptr<const ObservationOperator> A;
  PuschAllocation allocation;
};

/// Transport blocks of one worker.
class CellSimulator {
 public:
  explicit CellSimulator(const CellScene& scene)
      : scene_(scene),
        chain_(scene.receiver, scene.allocation, scene.cell.n_rx, scene.cell.n_layers),
        noise_(chain_.n_received()),
        received_(chain_.n_received()) {}

  /// Blocks first .. first + count - 1.
  BlockSums run(const Estimator* estimator, double snr_db, arma::uword first, arma::uword count) {
    const double start = seconds_now(false);
    const double sigma2 = from_db(-snr_db);
    std::vector<SoftBuffer> buffers(count, chain_.make_buffer());
    std::vector<Bits> bits(count);
    std::vector<BlockSums> blocks(count);
    std::vector<arma::uword> waiting(count);
    for (arma::uword b = 0; b < count; ++b) {
      waiting[b] = b;
      buffers[b].clear();
      Rng rng(scene_.seed, {Purpose::data_symbols, 0, first + b});
      chain_.draw_bits(rng, bits[b]);
    }
    for (arma::uword i = 0; i < cell_transmissions && !waiting.empty(); ++i) {
      observe(waiting, first, i, sigma2);
      if (estimator) {
        const double before = seconds_now(false);
        estimator->estimate(observation_, estimate_);
        estimating_ += seconds_now(false) - before;
      } else {
        estimate_ = {};
        estimate_.h = h_;
      }
      std::vector<arma::uword> lost;
      for (arma::uword k = 0; k < waiting.size(); ++k) {
        const arma::uword b = waiting[k];
        if (!pass(k, first + b, i, bits[b], buffers[b], sigma2, blocks[b])) lost.push_back(b);
      }
      waiting = std::move(lost);
    }
    BlockSums sums;
    std::vector<bool> lost(count, false);
    for (const arma::uword b : waiting) lost[b] = true;
    for (arma::uword b = 0; b < count; ++b) {
      blocks[b].finish(lost[b] ? 1 : 0, 1, bits[b], buffers[b].bits());
      sums.add(blocks[b]);
    }
    seconds_ += seconds_now(false) - start;
    n_sent_ += static_cast<std::uint64_t>(sums.sent);
    return sums;
  }

  /// Adds what was spent since the last call.
  void move_times(ConformanceResults& results) {
    results.seconds += std::exchange(seconds_, 0.0);
    results.seconds_in_estimators += std::exchange(estimating_, 0.0);
    const double decoding = chain_.decoding_seconds();
    results.seconds_in_decoders += decoding - std::exchange(decoding_, decoding);
    results.n_sent += std::exchange(n_sent_, 0);
  }

 private:
  static std::uint64_t sample(arma::uword block, arma::uword transmission) {
    return std::uint64_t{block} * cell_transmissions + transmission;
  }

  /// Channels and received pilots of the blocks that wait.
  void observe(const std::vector<arma::uword>& waiting, arma::uword first, arma::uword transmission,
               double sigma2) {
    const GridAxes grid = scene_.cell.grid();
    h_.set_size(scene_.cell.n_rx * scene_.cell.n_layers * grid.n_elements(), waiting.size());
    observation_.samples.clear();
    for (arma::uword k = 0; k < waiting.size(); ++k) {
      const std::uint64_t s = sample(first + waiting[k], transmission);
      observation_.samples.push_back(s);
      put_on_grid(scene_.generator->generate(scene_.seed, s, 1).paths.front(), grid, h_.colptr(k));
    }
    scene_.A->apply(h_, observation_.y);
    pilot_noise_.set_size(observation_.y.n_rows);
    for (arma::uword k = 0; k < waiting.size(); ++k) {
      Rng(scene_.seed, {Purpose::noise, 0, observation_.samples[k]})
          .fill_cx_normal(pilot_noise_.memptr(), pilot_noise_.n_elem);
      observation_.y.col(k) += std::sqrt(sigma2) * pilot_noise_;
    }
    observation_.sigma2 = sigma2;
    observation_.seed = scene_.seed;
    observation_.per_element = true;
  }

  /// Whether a block is decoded after its transmission in column k.
  bool pass(arma::uword k, arma::uword block, arma::uword transmission, const Bits& bits,
            SoftBuffer& buffer, double sigma2, BlockSums& sums) {
    chain_.encode(bits, transmission, coded_);
    Rng(scene_.seed, {Purpose::data_noise, 0, sample(block, transmission)})
        .fill_cx_normal(noise_.memptr(), noise_.n_elem);
    chain_.transmit(coded_, h_.colptr(k), noise_.memptr(), sigma2, received_.memptr());
    return chain_.receive(estimate_, k, {received_.memptr(), observation_.y.colptr(k), sigma2},
                          transmission, bits, coded_, buffer, sums);
  }

  const CellScene& scene_;
  PuschChain chain_;
  arma::cx_mat h_;  // [n_h, n]
  Observation observation_;
  Estimate estimate_;
  arma::cx_vec pilot_noise_, noise_, received_;
  Bits coded_;
  double seconds_ = 0.0, estimating_ = 0.0, decoding_ = 0.0;
  std::uint64_t n_sent_ = 0;
};

/// The crew of one cell.
struct Crew {
  Crew(const ConformanceCell& cell, const ConformanceOptions& options)
      : scene(cell, options),
        covariance(std::make_shared<const GridCovariance>(*scene.generator->grid_covariance())) {
    for (unsigned i = 0; i < options.n_threads; ++i) workers.emplace_back(scene);
  }

  CellScene scene;
  std::shared_ptr<const GridCovariance> covariance;
  std::vector<CellSimulator> workers;
};

/// A run at work: sends the blocks that its searches ask for, and keeps what is known in the results file.
class ConformanceRun {
 public:
  ConformanceRun(const ConformanceOptions& options, const RunControl& control,
                 ConformanceResults& results)
      : options_(options), control_(control), results_(results) {
    write();  // a place that cannot be written is found now
  }

  /// The sums of the first n blocks of a row; empty when the run was stopped.
  std::optional<BlockSums> sums(Crew& crew, const Estimator* estimator, arma::uword i_row,
                                double snr_db, arma::uword n) {
    if (auto known = known_sums(results_, i_row)(snr_db, n)) return known;
    ConformanceLook& look = open(i_row, snr_db, n);
    // Groups in their order, whichever worker did them.
    const arma::uword first = look.done;
    const arma::uword n_groups = (n - first + conformance_group - 1) / conformance_group;
    std::vector<std::optional<BlockSums>> parts(n_groups);
    std::mutex mutex;
    arma::uword next = 0, added = 0;
    parallel_for(crew.workers.size(), static_cast<unsigned>(crew.workers.size()),
                 [&](std::size_t w) {
                   for (;;) {
                     arma::uword group = 0;
                     {
                       const std::lock_guard lock(mutex);
                       if (!stopped_) stopped_ = control_.stopped();
                       if (stopped_ || next >= n_groups) return;
                       group = next++;
                     }
                     const arma::uword from = first + group * conformance_group;
                     const BlockSums part = crew.workers[w].run(
                         estimator, look.snr_db, from, std::min(conformance_group, n - from));
                     const std::lock_guard lock(mutex);
                     parts[group] = part;
                     crew.workers[w].move_times(results_);
                     for (; added < n_groups && parts[added]; ++added) {
                       look.sums.add(*parts[added]);
                       look.done = std::min(n, look.done + conformance_group);
                     }
                     if (seconds() - written_ >= 30.0) write();
                   }
                 });
    if (look.done < n) return {};
    // At once, unless looks take less than twenty times as long as writing.
    if (seconds() - written_ >= 20.0 * seconds_to_write_) write();
    return look.sums;
  }

  void write() {
    if (options_.out.empty()) return;
    const double start = seconds();
    save(options_.out, results_);
    written_ = seconds();
    seconds_to_write_ = written_ - start;
  }

  /// Tells that a row is finished.
  void report(const ConformanceRow& row, std::size_t n_rows) {
    ++n_found_;
    if (!control_.on_progress) return;
    Progress progress;
    const std::size_t n_left = n_rows - results_.rows.size();
    progress.fraction = double(results_.rows.size()) / double(n_rows);
    progress.seconds = seconds();
    progress.seconds_left = progress.seconds * double(n_left) / double(n_found_);
    progress.text = row.cell.name + ", " + row.estimator;
    control_.on_progress(progress);
  }

 private:
  /// The look of a row at an SNR, as far as it was taken; a new one begins with the blocks of one that wanted fewer.
  ConformanceLook& open(arma::uword i_row, double snr_db, arma::uword n) {
    ConformanceLook fresh;
    fresh.i_row = i_row;
    fresh.snr_db = 1e-3 * double(milli(snr_db));
    fresh.n = n;
    for (ConformanceLook& look : results_.looks) {
      if (look.i_row != i_row || milli(look.snr_db) != milli(snr_db)) continue;
      if (look.n == n) return look;
      if (look.n > n || look.done < look.n) continue;
      fresh.done = look.done;
      fresh.sums = look.sums;
    }
    results_.looks.push_back(fresh);
    return results_.looks.back();
  }

  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  const ConformanceOptions& options_;
  const RunControl& control_;
  ConformanceResults& results_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double written_ = 0.0, seconds_to_write_ = 0.0;
  std::size_t n_found_ = 0;
  bool stopped_ = false;
};

/// Everything that the numbers depend on.
std::string identity_of(const ConformanceOptions& options) {
  nlohmann::ordered_json json;
  json["run"] = "conformance";
  json["chest"] = version();
  json["seed"] = options.seed;
  auto inputs =
      nlohmann::ordered_json::parse(options.inputs.empty() ? "{}" : options.inputs, nullptr, false);
  if (!inputs.is_object()) refuse("conformance: inputs is not a JSON object: " + options.inputs);
  json["inputs"] = std::move(inputs);
  for (const ConformanceCell& cell : options.cells) json["cells"].push_back(cell.name);
  json["estimators"] = options.estimators;
  json["slots"] = options.n_slots;
  describe_receiver(options.receiver, json);
  return json.dump();
}

}  // namespace

GridAxes ConformanceCell::grid() const { return ofdm_grid(12 * n_blocks, 14, spacing_hz); }

const std::vector<ConformanceCell>& conformance_cells() {
  static const std::vector<ConformanceCell> cells = all_cells();
  return cells;
}

std::vector<ConformanceCell> parse_cells(const std::string& list) {
  if (list == "all") return conformance_cells();
  std::vector<std::string> names;
  for (const ConformanceCell& cell : conformance_cells()) names.push_back(cell.name);
  std::vector<ConformanceCell> out;
  std::set<std::string> seen;
  for (const std::string& name : split(list, ',')) {
    bool found = false;
    for (const ConformanceCell& cell : conformance_cells()) {
      if (cell.name != name && cell.name.rfind(name + "-", 0) != 0) continue;
      found = true;
      if (!seen.insert(cell.name).second)
        refuse("conformance: cell " + cell.name + " is named twice");
      out.push_back(cell);
    }
    if (!found) {
      const std::string near = nearest(name, names);
      refuse("conformance: there is no cell '" + name + "'; " +
             (near.empty() ? "expected all, or for example 5MHz-15kHz-A3-1x2"
                           : "did you mean " + near + "?"));
    }
  }
  return out;
}

std::string ConformanceOptions::why_invalid() const {
  if (cells.empty()) return "cells is empty, expected at least one";
  if (estimators.empty()) return "estimators is empty, expected at least one";
  std::set<std::string> names;
  for (const std::string& name : estimators)
    if (!names.insert(name).second) return "estimators holds '" + name + "' twice";
  if (n_slots < conformance_group || n_slots > 10'000'000)
    return "n_slots is " + std::to_string(n_slots) + ", expected 8 .. 10000000";
  if (n_threads == 0) return "n_threads is 0, expected 1 or more";
  if (shard.index == 0 || shard.index > shard.count)
    return "shard is " + std::to_string(shard.index) + "/" + std::to_string(shard.count) +
           ", expected i/n with i = 1 .. n";
  if (shard.count > cells.size())
    return std::to_string(shard.count) + " shards share " + std::to_string(cells.size()) +
           (cells.size() == 1 ? " cell" : " cells") + "; use fewer shards or name more cells";
  return receiver.why_invalid();
}

ConformanceResults run_conformance(const ConformanceOptions& options,
                                   const CellEstimatorFactory& make_estimator,
                                   const RunControl& control) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("conformance: " + why);
  const OneBlasThread one_blas_thread;
  ConformanceResults results;
  results.provenance.seed = options.seed;
  results.provenance.command_line = options.command_line;
  results.provenance.options = identity_of(options);
  results.cells = options.cells;
  results.estimators = options.estimators;
  results.n_slots = options.n_slots;
  results.shard = options.shard;
  if (auto earlier = earlier_part(results, options.out, options.force, &load_conformance))
    results = std::move(*earlier);
  find_rows(results);
  if (results.finished) return results;

  results.rows.clear();
  ConformanceRun run(options, control, results);
  std::size_t n_rows = 0;
  for (arma::uword i = 0; i < options.cells.size(); ++i)
    if (results.in_shard(i)) n_rows += options.estimators.size();
  std::set<std::string> warned;
  try {
    for (arma::uword i_cell = 0; i_cell < options.cells.size(); ++i_cell) {
      if (!results.in_shard(i_cell)) continue;
      const ConformanceCell& cell = options.cells[i_cell];
      std::optional<Crew> crew;
      for (arma::uword i = 0; i < options.estimators.size(); ++i) {
        const arma::uword i_row = i_cell * options.estimators.size() + i;
        ConformanceRow row = empty_row(results, i_row);
        if (find_snr(options.n_slots, known_sums(results, i_row), row)) {
          results.rows.push_back(std::move(row));
          continue;
        }
        if (!crew) crew.emplace(cell, options);
        std::shared_ptr<const Estimator> estimator;
        if (row.estimator != "perfect") {
          estimator = make_estimator(cell, row.estimator, crew->scene.A, crew->covariance);
          const std::string warning = estimator->warning(from_db(-cell.snr_required_db));
          if (!warning.empty() && warned.insert(warning).second && control.on_warning)
            control.on_warning(warning);
        }
        const AskSums ask = [&](double snr_db, arma::uword n) {
          return run.sums(*crew, estimator.get(), i_row, snr_db, n);
        };
        if (!find_snr(options.n_slots, ask, row)) {
          run.write();
          return results;
        }
        results.rows.push_back(std::move(row));
        run.report(results.rows.back(), n_rows);
      }
    }
  } catch (...) {
    try {
      run.write();
    } catch (const Error&) {
      // The first failure is the one to tell.
    }
    throw;
  }
  results.finished = true;
  run.write();
  return results;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
