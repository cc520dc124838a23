#include "engine.hpp"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

#include "schedule.hpp"

namespace chest {
inline namespace v0 {
namespace sim {

double seconds_now(bool wall_clock) {
  timespec now{};
  clock_gettime(wall_clock ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

double Meter::disturb(const Scene&, arma::cx_mat&) { return 0.0; }
double Meter::decoding_seconds() const { return 0.0; }

DerivedRow perfect_row() {
  DerivedRow row;
  row.name = "perfect";
  row.make = [](const Scene& scene, const Estimate&, Estimate& out) {
    out = {};
    out.h = scene.h;
    out.mse.zeros(scene.h.n_cols);
  };
  return row;
}

namespace {

/// A block of channels with what all points need of it.
struct ChannelBlockData {
  arma::cx_mat h;
  std::vector<std::uint64_t> samples;  // of each column; empty: they follow each other
  arma::vec p;                         // ||h||^2
  ToeplitzKroneckerCovariances genie;
  arma::cx_mat side;  // Observation::side
};

/// Reads blocks of the range; keeps them all when they are few.
class ChannelSource {
 public:
  ChannelSource(const SampleReader& samples, const CovarianceReader& covariances,
                const Results& results, const SweepOptions& options)
      : samples_(samples),
        covariances_(covariances),
        side_(options.side),
        results_(results),
        left_out_(options.left_out) {
    const double bytes = double(results.end - results.first) *
                         double(samples.n_h() + (has_side() ? side_.n_h() : 0)) *
                         sizeof(std::complex<double>);
    if (bytes > double(options.cache_bytes)) return;
    for (arma::uword i = 0; i < results.n_blocks(); ++i)
      kept_.push_back(results.in_shard(i) ? read(i) : ChannelBlockData{});
  }

  const ChannelBlockData& get(arma::uword i_block, ChannelBlockData& buffer) const {
    if (!kept_.empty()) return kept_[i_block];
    buffer = read(i_block);
    return buffer;
  }

 private:
  bool has_side() const { return side_.n_samples > 0; }

  ChannelBlockData read(arma::uword i_block) const {
    const arma::uword first = results_.first + i_block * results_.block;
    const arma::uword count = std::min(results_.block, results_.end - first);
    const std::vector<SampleRange> parts = left_out_.outside({first, first + count});
    if (parts.size() == 1 && parts.front().size() == count) return read_part(parts.front());
    ChannelBlockData data;
    data.h.set_size(samples_.n_h(), 0);
    if (has_side()) data.side.set_size(samples_.n_h(), 0);
    for (const SampleRange& range : parts) {
      const ChannelBlockData part = read_part(range);
      data.h.insert_cols(data.h.n_cols, part.h);
      data.p.insert_rows(data.p.n_elem, part.p);
      data.genie.t_rx.insert_cols(data.genie.t_rx.n_cols, part.genie.t_rx);
      data.genie.t_tx.insert_cols(data.genie.t_tx.n_cols, part.genie.t_tx);
      if (has_side()) data.side.insert_cols(data.side.n_cols, part.side);
      for (arma::uword k = range.first; k < range.end; ++k) data.samples.push_back(k);
    }
    return data;
  }

  ChannelBlockData read_part(const SampleRange& range) const {
    const arma::uword count = range.size();
    ChannelBlockData data;
    data.h = samples_.read(range.first, count);
    if (data.h.n_rows != samples_.n_h() || data.h.n_cols != count)
      throw Error(ErrorKind::invalid_argument, "sweep: reading samples " + range.text() + " gave " +
                                                   std::to_string(data.h.n_cols) + " channels of " +
                                                   std::to_string(data.h.n_rows) +
                                                   " entries, expected " + std::to_string(count) +
                                                   " of " + std::to_string(samples_.n_h()));
    data.p = squared_norms(data.h);
    for (arma::uword k = 0; k < count; ++k)
      if (!(data.p(k) > 0.0) || !std::isfinite(data.p(k)))
        throw Error(ErrorKind::numeric,
                    "sweep: channel " + std::to_string(range.first + k) +
                        (data.p(k) == 0.0 ? " is all zero" : " holds values that are not finite") +
                        "; leave it out of the sample range");
    if (covariances_) data.genie = covariances_(range.first, count);
    if (has_side()) data.side = side_.read(range.first, count);
    return data;
  }

  const SampleReader& samples_;
  const CovarianceReader& covariances_;
  const SampleReader& side_;
  const Results& results_;
  const SampleSet& left_out_;
  std::vector<ChannelBlockData> kept_;
};

nlohmann::ordered_json parse_object(const std::string& text, const char* what) {
  if (text.empty()) return nlohmann::ordered_json::object();
  auto object = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!object.is_object())
    throw Error(ErrorKind::invalid_argument,
                std::string("sweep: ") + what + " is not a JSON object: " + text);
  return object;
}

/// Everything that the numbers depend on.
std::string identity_of(const Results& results, const SweepOptions& options,
                        const Experiment& experiment) {
  nlohmann::ordered_json json;
  json["run"] = to_string(results.kind);
  json["chest"] = version();
  json["seed"] = options.seed;
  json["channels"] = size_text(results.n_rx, results.n_tx, results.grid);
  json["inputs"] = parse_object(options.inputs, "inputs");
  json["samples"] = std::to_string(results.first) + ":" + std::to_string(results.end);
  if (!options.left_out.empty())
    json["left_out"] = {{"n", options.left_out.size()}, {"samples", options.left_out.text()}};
  json["estimators"] = results.estimators;
  json["snr_db"] = results.snr_db;
  for (const Pilots& pilots : results.pilots)
    json["pilots"].push_back(pilots.name + " " +
                             hash_bytes(pilots.P.memptr(), pilots.P.n_elem * sizeof(pilots.P(0))));
  json["pilot_power"] = options.pilot_power;
  json["block"] = results.block;
  json["stop_rel"] = options.stop_rel;
  if (options.stop_errors > 0) json["stop_errors"] = options.stop_errors;
  json.update(parse_object(experiment.options, "options"));
  return json.dump();
}

/// One worker's buffers.
struct Workspace {
  ChannelBlockData buffer;
  Observation observation;
  arma::cx_mat noise;
  std::vector<Estimate> estimates;
  std::unique_ptr<Meter> meter;
  std::vector<double> sums, seconds;
};

class Run {
 public:
  Run(Results& results, const SweepOptions& options, const Experiment& experiment,
      const ChannelSource& source,
      const std::vector<std::shared_ptr<const ObservationOperator>>& observations,
      const std::vector<std::vector<std::shared_ptr<const Estimator>>>& estimators)
      : results_(results),
        options_(options),
        experiment_(experiment),
        source_(source),
        observations_(observations),
        estimators_(estimators) {}

  void work(Schedule& schedule) const {
    Workspace space;
    space.estimates.resize(results_.estimators.size());
    space.sums.resize(results_.n_series() * results_.n_sums);
    space.seconds.resize(results_.estimators.size());
    if (experiment_.make_meter) space.meter = experiment_.make_meter();
    double start = seconds_now(options_.wall_clock), decoded = 0.0;
    for (Schedule::Unit unit; schedule.take(unit);) {
      measure(unit, space);
      const double now = seconds_now(options_.wall_clock);
      const double decoding = space.meter ? space.meter->decoding_seconds() : 0.0;
      schedule.put(unit, space.sums, space.seconds, now - start, decoding - decoded);
      start = now;
      decoded = decoding;
    }
  }

 private:
  /// Fills the sums of one block and the time inside each estimator.
  void measure(const Schedule::Unit& unit, Workspace& space) const {
    const arma::uword n_snr = results_.snr_db.size();
    const arma::uword i_pilots = unit.i_point / n_snr;
    const double snr_db = results_.snr_db[unit.i_point % n_snr];
    const arma::uword first = results_.first + unit.i_block * results_.block;
    const ChannelBlockData& channels = source_.get(unit.i_block, space.buffer);
    const arma::cx_mat& h = channels.h;
    std::fill(space.sums.begin(), space.sums.end(), 0.0);
    std::fill(space.seconds.begin(), space.seconds.end(), 0.0);
    if (h.n_cols == 0) return;

    Observation& observation = space.observation;
    observation.sigma2 = from_db(-snr_db);
    observation.seed = options_.seed;
    observation.first_sample = first;
    observation.samples = channels.samples;
    observation.genie = channels.genie;
    observation.side = channels.side;
    observation.per_element = experiment_.per_element;
    observations_[i_pilots]->apply(h, observation.y);
    const double signal = arma::accu(squared_norms(observation.y));
    space.noise.set_size(arma::size(observation.y));
    const std::uint64_t stream = snr_stream(snr_db);
    for (arma::uword k = 0; k < h.n_cols; ++k)
      Rng(options_.seed, {Purpose::noise, stream, observation.sample(k)})
          .fill_cx_normal(space.noise.colptr(k), space.noise.n_rows, observation.sigma2);
    const double noise = arma::accu(squared_norms(space.noise));
    observation.y += space.noise;

    const Scene scene{
        h,      observation, *observations_[i_pilots], results_.n_rx, results_.n_tx, options_.seed,
        stream, i_pilots};
    if (space.meter) {
      // Told on top of what the noise has.
      observation.sigma2 += space.meter->disturb(scene, observation.y);
      space.meter->begin(scene);
    }
    const std::size_t n_estimators = estimators_[i_pilots].size();
    for (std::size_t i = 0; i < space.estimates.size(); ++i) {
      Estimate& estimate = space.estimates[i];
      space.seconds[i] = 0.0;
      if (i < n_estimators) {
        const double start = seconds_now(options_.wall_clock);
        estimators_[i_pilots][i]->estimate(observation, estimate);
        space.seconds[i] = seconds_now(options_.wall_clock) - start;
      } else {
        const DerivedRow& row = experiment_.derived[i - n_estimators];
        static const Estimate nothing;
        row.make(scene, row.of ? space.estimates[*row.of] : nothing, estimate);
      }

      ErrorSums sums;
      arma::vec e = squared_errors(estimate.h, h);
      for (arma::uword k = 0; k < e.n_elem; ++k)
        if (!std::isfinite(e(k)))
          throw Error(ErrorKind::numeric, "estimator '" + results_.estimators[i] +
                                              "' gave a value that is not finite for channel " +
                                              std::to_string(observation.sample(k)) +
                                              " with pilots " + results_.pilots[i_pilots].name +
                                              " at " + number_text(snr_db) + " dB");
      const arma::uword n_modulations = results_.n_modulations();
      double* row = space.sums.data() + i * n_modulations * results_.n_sums;
      if (space.meter) space.meter->measure(scene, i, estimate, row);
      if (experiment_.refined.contains(i)) e = squared_errors(estimate.h, h);
      add_errors(e, channels.p, sums);
      sums.signal = signal;
      sums.noise = noise;
      for (const double mse : estimate.mse) {
        if (!std::isfinite(mse)) continue;
        sums.n_predicted += 1.0;
        sums.predicted += mse;
      }
      sums.nfe = double(estimate.nfe) * double(h.n_cols);
      sums.n_reset = double(estimate.n_reset);
      for (arma::uword m = 0; m < n_modulations; ++m) sums.write(row + m * results_.n_sums);
    }
  }

  const Results& results_;
  const SweepOptions& options_;
  const Experiment& experiment_;
  const ChannelSource& source_;
  const std::vector<std::shared_ptr<const ObservationOperator>>& observations_;
  const std::vector<std::vector<std::shared_ptr<const Estimator>>>& estimators_;
};

}  // namespace

std::uint64_t snr_stream(double snr_db) {
  return static_cast<std::uint64_t>(std::llround(1000.0 * snr_db));
}

std::string SweepOptions::why_invalid() const {
  if (pilots.empty()) return "pilots is empty, expected at least one choice";
  if (!(pilot_power > 0.0) || !std::isfinite(pilot_power))
    return "pilot_power is " + number_text(pilot_power) + ", expected > 0";
  if (snr_db.empty()) return "snr_db is empty, expected at least one value";
  std::set<std::int64_t> levels;
  for (double snr : snr_db) {
    if (!std::isfinite(snr) || std::abs(snr) > 200.0)
      return "snr_db holds " + number_text(snr) + " dB, expected -200 .. 200";
    if (!levels.insert(std::llround(1000.0 * snr)).second)
      return "snr_db holds " + number_text(snr) + " dB twice";
  }
  if (estimators.empty()) return "estimators is empty, expected at least one";
  std::set<std::string> names;
  for (const std::string& name : estimators)
    if (!names.insert(name).second) return "estimators holds '" + name + "' twice";
  if (end != 0 && end <= first)
    return "samples " + std::to_string(first) + ":" + std::to_string(end) +
           " are empty, expected first < end";
  if (block == 0) return "block is 0, expected >= 1";
  if (!(stop_rel >= 0.0 && stop_rel < 1.0))
    return "stop_rel is " + number_text(stop_rel) + ", expected 0 .. 1";
  if (shard.count == 0 || shard.index == 0 || shard.index > shard.count)
    return "shard is " + std::to_string(shard.index) + "/" + std::to_string(shard.count) +
           ", expected i/n with i = 1 .. n";
  if ((stop_rel > 0.0 || stop_errors > 0) && shard.count > 1)
    return std::string(stop_rel > 0.0 ? "stop_rel" : "stop_errors") +
           " does not go with shards, because a shard does not know when the blocks of all "
           "are enough; give a number of samples instead";
  return {};
}

Results run_experiment(const SampleReader& samples, const CovarianceReader& covariances,
                       const EstimatorFactory& make_estimator, const SweepOptions& options,
                       const Experiment& experiment, const RunControl& control) {
  if (const std::string why = options.why_invalid(); !why.empty())
    throw Error(ErrorKind::invalid_argument, "sweep: " + why);
  if (options.stop_errors > 0 && !experiment.n_errors)
    refuse("sweep: stop_errors is for links of transport blocks, stop_rel for all");
  if (options.side.n_samples > 0) check_side("sweep", options.side, samples);
  const OneBlasThread one_blas_thread;

  Results results;
  results.kind = experiment.kind;
  results.snr_db = options.snr_db;
  for (double& snr : results.snr_db) snr += 0.0;  // no negative zero
  results.estimators = options.estimators;
  for (const DerivedRow& row : experiment.derived) results.estimators.push_back(row.name);
  results.modulations = experiment.modulations;
  results.n_rx = samples.n_rx;
  results.n_tx = samples.n_tx;
  results.first = options.first;
  results.grid = samples.grid;
  results.end = options.end != 0 ? options.end : samples.n_samples;
  results.block = options.block;
  results.n_data = experiment.n_data;
  results.n_sums = experiment.n_sums;
  results.shard = options.shard;
  if (results.end > samples.n_samples || results.first >= results.end)
    throw Error(ErrorKind::invalid_argument,
                "sweep: samples " + std::to_string(results.first) + ":" +
                    std::to_string(results.end) + " reach beyond the " +
                    std::to_string(samples.n_samples) + " channels there are");
  if (options.shard.count > results.n_blocks())
    throw Error(ErrorKind::invalid_argument,
                "sweep: " + std::to_string(options.shard.count) + " shards share " +
                    std::to_string(results.n_blocks()) + " blocks of " +
                    std::to_string(results.block) + " samples; use fewer shards or smaller blocks");
  for (const PilotSpec& spec : options.pilots)
    results.pilots.push_back(
        samples.grid.is_grid()
            ? make_grid_pilots(spec, samples.n_tx, samples.grid, options.seed, options.pilot_power)
            : make_pilots(spec, samples.n_tx, options.seed, options.pilot_power));
  std::set<std::string> names;
  for (const Pilots& pilots : results.pilots)
    if (!names.insert(pilots.name).second)
      throw Error(ErrorKind::invalid_argument, "sweep: pilots " + pilots.name + " are given twice");
  results.provenance.seed = options.seed;
  results.provenance.command_line = options.command_line;
  results.provenance.options = identity_of(results, options, experiment);
  const arma::uword n_cells = results.n_points() * results.n_blocks();
  results.sums.assign(n_cells * results.n_series() * results.n_sums, 0.0);
  results.done.assign(n_cells, 0);
  results.used.assign(results.n_points(), 0);
  results.seconds.assign(n_cells * results.estimators.size(), 0.0);
  results.methods.assign(results.n_points() * results.estimators.size(), "");
  if (auto earlier = earlier_part(results, options.out, options.force, &load_results))
    results = std::move(*earlier);

  std::vector<std::shared_ptr<const ObservationOperator>> observations;
  std::vector<std::vector<std::shared_ptr<const Estimator>>> estimators;
  std::set<std::string> warned;
  for (const Pilots& pilots : results.pilots) {
    observations.push_back(make_observation(pilots, samples.n_rx));
    estimators.emplace_back();
    for (const std::string& name : options.estimators) {
      estimators.back().push_back(make_estimator(name, observations.back()));
      for (std::size_t i = 0; i < results.snr_db.size(); ++i) {
        const double snr_db = results.snr_db[i];
        const arma::uword i_point = (estimators.size() - 1) * results.snr_db.size() + i;
        results.methods[i_point * results.estimators.size() + estimators.back().size() - 1] =
            estimators.back().back()->method(from_db(-snr_db));
        const std::string warning = estimators.back().back()->warning(from_db(-snr_db));
        if (!warning.empty() && warned.insert(warning).second && control.on_warning)
          control.on_warning(warning);
      }
    }
    for (std::size_t i = 0; i < experiment.derived.size(); ++i) {
      const std::optional<arma::uword> of = experiment.derived[i].of;
      if (!of) continue;
      for (std::size_t j = 0; j < results.snr_db.size(); ++j) {
        const arma::uword at =
            ((estimators.size() - 1) * results.snr_db.size() + j) * results.estimators.size();
        results.methods[at + options.estimators.size() + i] = results.methods[at + *of];
      }
    }
  }
  if (results.finished()) return results;

  const ChannelSource source(samples, covariances, results, options);
  // Written before the work starts: a place that cannot be written is found now.
  if (!options.out.empty()) save(options.out, results);
  // No more than there are blocks: each worker has buffers of its own.
  const unsigned n_workers = static_cast<unsigned>(
      std::min<arma::uword>(options.n_threads ? options.n_threads : available_threads(), n_cells));
  std::function<void(const Results&)> write;
  if (!options.out.empty()) write = [&](const Results& now) { save(options.out, now); };
  Schedule schedule(results, options, experiment, control, write);
  const Run run(results, options, experiment, source, observations, estimators);
  try {
    parallel_for(n_workers, n_workers, [&](std::size_t) {
      try {
        run.work(schedule);
      } catch (...) {
        schedule.end();
        throw;
      }
    });
  } catch (...) {
    try {
      schedule.write_now();
    } catch (const Error&) {
      // The first failure is the one to tell.
    }
    throw;
  }
  schedule.write_now();
  return results;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
