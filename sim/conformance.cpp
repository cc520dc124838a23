#include <chest/sim/conformance.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <set>

#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/ofdm.hpp>
#include <chest/parallel.hpp>
#include <chest/paths.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

#include "engine.hpp"
#include "plot_drawing.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

constexpr double required_throughput = 0.7;
constexpr arma::uword cell_transmissions = 4;
constexpr arma::uword cell_group = 8;  // transport blocks that are estimated together
constexpr double coarse_step_db = 1.0, fine_step_db = 0.5;
constexpr double widest_search_db = 30.0;
constexpr double two_sided_95 = 1.959963984540054;

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
    n_slots_ += static_cast<std::uint64_t>(sums.sent);
    return sums;
  }

  void add_times(ConformanceResults& results) const {
    results.seconds += seconds_;
    results.seconds_in_estimators += estimating_;
    results.seconds_in_decoders += chain_.decoding_seconds();
    results.n_slots += n_slots_;
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
  double seconds_ = 0.0, estimating_ = 0.0;
  std::uint64_t n_slots_ = 0;
};

/// One estimator in one cell.
class CellSearch {
 public:
  CellSearch(std::vector<CellSimulator>& workers, const Estimator* estimator, arma::uword n_slots,
             const RunControl& control)
      : workers_(workers), estimator_(estimator), n_slots_(n_slots), control_(control) {}

  /// @return false if the run was stopped
  bool find(ConformanceRow& row) {
    const double required = row.cell.snr_required_db;
    const arma::uword n_few = std::min(n_slots_, std::max(n_slots_ / 8, cell_group));
    // Down from 2 dB below the requirement, or up.
    double at = required - 2.0;
    bool passes = false, passed = false;
    for (bool is_first = true;; is_first = false) {
      if (std::abs(at - required) > widest_search_db) return finish_without(row);
      passed = passes;
      passes = throughput(at, n_few) >= required_throughput;
      if (stopped_) return false;
      if (!is_first && passes != passed) break;
      at += passes ? -coarse_step_db : coarse_step_db;
    }
    double low = passes ? at - coarse_step_db : at;
    const double from = throughput(low, n_few), to = throughput(low + coarse_step_db, n_few);
    const double part = (required_throughput - from) / (to - from);
    low += fine_step_db * std::floor(part * coarse_step_db / fine_step_db);
    for (;;) {
      if (std::abs(low - required) > widest_search_db) return finish_without(row);
      const double below = throughput(low, n_slots_);
      if (stopped_) return false;
      if (below >= required_throughput) {
        low -= fine_step_db;
        continue;
      }
      const double above = throughput(low + fine_step_db, n_slots_);
      if (stopped_) return false;
      if (above < required_throughput) {
        low += fine_step_db;
        continue;
      }
      const double slope = (above - below) / fine_step_db;
      row.snr_db = low + (required_throughput - below) / slope;
      const BlockSums &a = sums_at(low), &b = sums_at(low + fine_step_db);
      const double half =
          two_sided_95 * 0.5 * (a.throughput_error() + b.throughput_error()) / slope;
      row.interval = {row.snr_db - half, row.snr_db + half};
      row.n_slots = static_cast<std::uint64_t>(a.sent + b.sent);
      row.points = points();
      return true;
    }
  }

 private:
  struct Look {
    std::int64_t milli_db;
    arma::uword n;
    BlockSums sums;
  };

  bool finish_without(ConformanceRow& row) const {
    row.snr_db = row.interval.low = row.interval.high = arma::datum::nan;
    row.points = points();
    return true;
  }
  std::vector<ThroughputPoint> points() const {
    std::vector<ThroughputPoint> out;
    for (const Look& look : looks_)
      if (look.n == n_slots_) out.push_back({1e-3 * double(look.milli_db), look.sums});
    std::sort(out.begin(), out.end(),
              [](const auto& a, const auto& b) { return a.snr_db < b.snr_db; });
    return out;
  }
  static std::int64_t milli(double snr_db) { return std::llround(1e3 * snr_db); }
  const BlockSums& sums_at(double snr_db) const {
    return std::find_if(looks_.begin(), looks_.end(),
                        [&](const Look& look) { return look.milli_db == milli(snr_db); })
        ->sums;
  }

  /// Of the first n blocks or more.
  double throughput(double snr_db, arma::uword n) {
    auto look = std::find_if(looks_.begin(), looks_.end(),
                             [&](const Look& l) { return l.milli_db == milli(snr_db); });
    if (look == looks_.end()) look = looks_.insert(looks_.end(), {milli(snr_db), 0, {}});
    if (look->n < n) {
      // Groups in their order, whichever worker did them.
      const arma::uword n_groups = (n - look->n + cell_group - 1) / cell_group;
      std::vector<BlockSums> parts(n_groups);
      std::mutex mutex;
      arma::uword next = 0;
      const arma::uword done = look->n;
      parallel_for(workers_.size(), static_cast<unsigned>(workers_.size()), [&](std::size_t w) {
        for (;;) {
          arma::uword group = 0;
          {
            const std::lock_guard lock(mutex);
            if (!stopped_) stopped_ = control_.stopped();
            if (stopped_ || next >= n_groups) return;
            group = next++;
          }
          const arma::uword first = done + group * cell_group;
          parts[group] = workers_[w].run(estimator_, 1e-3 * double(look->milli_db), first,
                                         std::min(cell_group, n - first));
        }
      });
      for (const BlockSums& part : parts) look->sums.add(part);
      look->n = n;
    }
    return look->sums.throughput();
  }

  std::vector<CellSimulator>& workers_;
  const Estimator* estimator_;
  arma::uword n_slots_;
  const RunControl& control_;
  std::vector<Look> looks_;
  bool stopped_ = false;
};

std::string conformance_number(double value) { return std::isnan(value) ? "" : number_text(value); }
/// To thousandths of a dB.
double thousandths(double value) { return std::round(1e3 * value) / 1e3; }

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
  if (n_slots < cell_group || n_slots > 10'000'000)
    return "n_slots is " + std::to_string(n_slots) + ", expected 8 .. 10000000";
  if (n_threads == 0) return "n_threads is 0, expected 1 or more";
  return receiver.why_invalid();
}

ConformanceResults run_conformance(const ConformanceOptions& options,
                                   const CellEstimatorFactory& make_estimator,
                                   const RunControl& control) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("conformance: " + why);
  const OneBlasThread one_blas_thread;
  const auto start = std::chrono::steady_clock::now();
  ConformanceResults results;
  std::set<std::string> warned;
  for (const ConformanceCell& cell : options.cells) {
    const CellScene scene(cell, options);
    const auto covariance =
        std::make_shared<const GridCovariance>(*scene.generator->grid_covariance());
    std::vector<CellSimulator> workers;
    for (unsigned i = 0; i < options.n_threads; ++i) workers.emplace_back(scene);
    for (const std::string& name : options.estimators) {
      std::shared_ptr<const Estimator> estimator;
      if (name != "perfect") {
        estimator = make_estimator(cell, name, scene.A, covariance);
        const std::string warning = estimator->warning(from_db(-cell.snr_required_db));
        if (!warning.empty() && warned.insert(warning).second && control.on_warning)
          control.on_warning(warning);
      }
      ConformanceRow row;
      row.cell = cell;
      row.estimator = name;
      if (!CellSearch(workers, estimator.get(), options.n_slots, control).find(row)) return results;
      results.rows.push_back(std::move(row));
      if (!control.on_progress) continue;
      Progress progress;
      progress.fraction =
          double(results.rows.size()) / double(options.cells.size() * options.estimators.size());
      progress.seconds =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      progress.seconds_left = progress.seconds * (1.0 / progress.fraction - 1.0);
      progress.text = cell.name + ", " + name;
      control.on_progress(progress);
    }
    for (const CellSimulator& worker : workers) worker.add_times(results);
  }
  results.finished = true;
  return results;
}

std::string to_csv(const ConformanceResults& results) {
  std::string text = "cell,estimator,snr_required_db,snr_at_70_percent_db,margin_db,n_slots\n";
  for (const ConformanceRow& row : results.rows) {
    const bool quoted = row.estimator.find(',') != std::string::npos;
    text += row.cell.name + "," + (quoted ? "\"" + row.estimator + "\"" : row.estimator);
    for (const double value :
         {row.cell.snr_required_db, thousandths(row.snr_db), thousandths(row.margin_db())})
      text += "," + conformance_number(value);
    text += "," + std::to_string(row.n_slots) + "\n";
  }
  return text;
}

std::string to_table(const ConformanceResults& results) {
  std::size_t width = 9;
  for (const ConformanceRow& row : results.rows) width = std::max(width, row.estimator.size());
  char line[256];
  std::string text =
      "SNR in dB of all layers, per receive antenna and resource element, at 70 % of the greatest "
      "throughput\n";
  std::snprintf(line, sizeof line, "%-22s%-*s%10s%10s%10s%18s%10s\n", "cell", int(width + 2),
                "estimator", "required", "at 70 %", "margin", "95 % of margin", "slots");
  text += line;
  for (const ConformanceRow& row : results.rows) {
    std::snprintf(line, sizeof line, "%-22s%-*s%10.1f", row.cell.name.c_str(), int(width + 2),
                  row.estimator.c_str(), row.cell.snr_required_db);
    text += line;
    if (std::isnan(row.snr_db)) {
      text += "   not within 30 dB\n";
      continue;
    }
    std::snprintf(line, sizeof line, "%10.2f%10.2f%9.2f .. %5.2f%10llu\n", row.snr_db,
                  row.margin_db(), row.cell.snr_required_db - row.interval.high,
                  row.cell.snr_required_db - row.interval.low,
                  static_cast<unsigned long long>(row.n_slots));
    text += line;
  }
  if (results.n_slots == 0) return text;
  const double part = 100.0 / results.seconds;
  std::snprintf(
      line, sizeof line,
      "\n%.2f ms of CPU time per slot: %.0f %% in estimators, %.0f %% in decoders, %.0f %% "
      "elsewhere\n",
      1e3 * results.seconds / double(results.n_slots), part * results.seconds_in_estimators,
      part * results.seconds_in_decoders,
      part * (results.seconds - results.seconds_in_estimators - results.seconds_in_decoders));
  return text + line;
}

void plot(const ConformanceResults& results, const std::filesystem::path& file) {
  Drawing drawing;
  drawing.x_label = "SNR in dB";
  drawing.y_label = "throughput";
  const std::string requirement = "required";
  for (const ConformanceRow& row : results.rows) {
    if (drawing.panels.empty() || drawing.panels.back().title != row.cell.name) {
      drawing.panels.push_back({row.cell.name, {}});
      const double x = row.cell.snr_required_db;
      drawing.panels.back().curves[requirement] = {
          {x, required_throughput, required_throughput, required_throughput}};
    }
    if (std::find(drawing.entries.begin(), drawing.entries.end(), row.estimator) ==
        drawing.entries.end())
      drawing.entries.push_back(row.estimator);
    for (const ThroughputPoint& point : row.points) {
      const double y = point.sums.throughput();
      const double half = two_sided_95 * point.sums.throughput_error();
      drawing.panels.back().curves[row.estimator].push_back(
          {point.snr_db, y, std::max(0.0, y - half), std::min(1.0, y + half)});
    }
  }
  drawing.entries.push_back(requirement);
  draw(drawing, file, "");
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
