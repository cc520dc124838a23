#include <chest/sim/results.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/sim/modulation.hpp>
#include <chest/sim/pusch.hpp>
#include <chest/sim/statistics.hpp>
#include <chest/text.hpp>

#include "engine.hpp"
#include "link_sums.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

void fill_coded(const BlockSums& sums, const std::string& modulation, Row& row) {
  row.modulation = modulation;
  row.n_blocks = sums.n;
  row.bler = sums.bler();
  const Interval bler = binomial_interval(sums.n, sums.errors);
  row.bler_ci95_low = bler.low;
  row.bler_ci95_high = bler.high;
  row.bler_first = sums.first_errors / sums.n;
  row.throughput = sums.throughput();
  const double half = 1.959963984540054 * sums.throughput_error();
  row.throughput_ci95_low = std::isnan(half) ? half : std::max(0.0, row.throughput - half);
  row.throughput_ci95_high = std::isnan(half) ? half : std::min(1.0, row.throughput + half);
  row.ber = sums.ber();
  row.coded_ber = sums.coded_bit_errors / sums.coded_bits;
  row.transmissions = sums.sent / sums.n;
  row.iterations = sums.n_decoded > 0.0 ? sums.iterations / sums.n_decoded : 0.0;
  row.info_bits = sums.bits / sums.n;
  row.code_rate = row.info_bits / (sums.coded_bits / sums.sent);
}

Row row_of(const Results& results, arma::uword i_point, arma::uword i_estimator,
           arma::uword i_modulation) {
  const arma::uword n_snr = results.snr_db.size();
  const arma::uword i_series = i_estimator * results.n_modulations() + i_modulation;
  const Pilots& pilots = results.pilots[i_point / n_snr];
  std::vector<double> total(results.n_sums, 0.0);
  double seconds = 0.0;
  for (arma::uword b = 0; b < results.used[i_point]; ++b) {
    const double* sums = results.sums_of(i_point, b, i_series);
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += sums[i];
    seconds +=
        results
            .seconds[(i_point * results.n_blocks() + b) * results.estimators.size() + i_estimator];
  }
  const ErrorSums sums = ErrorSums::read(total.data());

  Row row;
  row.estimator = results.estimators[i_estimator];
  row.pilots = pilots.name;
  row.n_pilots = pilots.n_pilots();
  row.snr_db = results.snr_db[i_point % n_snr];
  row.snr_measured_db = to_db(sums.signal / sums.noise);
  // Rounded to 1e-9 dB: -10 and not -9.999999999999998 for pilots of gain 1.
  row.snr_effective_db = std::round(1e9 * (row.snr_db + to_db(pilots.gain()))) / 1e9;
  row.n_samples = arma::uword(sums.n);
  row.nmse = nmse(sums);
  row.nmse_db = to_db(row.nmse);
  const Interval interval = nmse_interval(sums);
  row.nmse_ci95_low = interval.low;
  row.nmse_ci95_high = interval.high;
  row.nmse_per_sample = sums.ratio / sums.n;
  row.nfe = sums.nfe / sums.n;
  row.seconds_per_channel = seconds / sums.n;
  row.method = results.methods[i_point * results.estimators.size() + i_estimator];
  row.n_reset = arma::uword(sums.n_reset);
  row.nmse_predicted = sums.n_predicted == sums.n ? sums.predicted / sums.p : arma::datum::nan;
  if (results.grid.is_grid()) row.pilot_energy = pilots.gain();
  if (results.grid.is_grid() && results.kind == ResultKind::sweep)
    row.nmse_pilots = total[ErrorSums::count] / total[ErrorSums::count + 1];
  if (results.kind == ResultKind::coded_link)
    fill_coded(BlockSums::read(total.data() + ErrorSums::count), results.modulations.front(), row);
  if (results.kind == ResultKind::link) {
    row.modulation = results.modulations[i_modulation];
    const LinkSums link(total.data(), results.n_tx);
    const unsigned bits = Modulation(row.modulation).bits_per_symbol();
    const double symbols_per_channel = double(results.n_data * results.n_tx);
    const LinkFigures figures = link_figures(link, sums.n, symbols_per_channel, bits);
    row.ser = figures.ser;
    row.ber = figures.ber;
    row.ber_ci95_low = figures.ber_interval.low;
    row.ber_ci95_high = figures.ber_interval.high;
    row.rate_bits_per_use = figures.rate;
    row.n_bits = sums.n * symbols_per_channel * bits;
  }
  return row;
}

/// What of a shard does not fit itself or another one of the same command; empty when all does.
/// merge() copies by these sizes.
std::string why_unfit(const Results& shard, const Results& other) {
  const std::size_t n_cells = shard.n_points() * shard.n_blocks();
  if (shard.shard.index == 0 || shard.shard.index > shard.shard.count) return "its number";
  if (shard.kind != other.kind || shard.n_sums != other.n_sums) return "the kind of its sums";
  if (shard.n_rx != other.n_rx || shard.n_tx != other.n_tx ||
      shard.grid.n_subcarriers != other.grid.n_subcarriers ||
      shard.grid.n_symbols != other.grid.n_symbols)
    return "the size of its channels";
  if (shard.first != other.first || shard.end != other.end || shard.block != other.block)
    return "the range of its samples";
  if (shard.snr_db != other.snr_db) return "the axis snr_db";
  if (shard.estimators != other.estimators) return "the axis of its estimators";
  if (shard.modulations != other.modulations || shard.n_data != other.n_data)
    return "the axis of its modulations";
  bool same_pilots = shard.pilots.size() == other.pilots.size();
  for (std::size_t i = 0; same_pilots && i < shard.pilots.size(); ++i)
    same_pilots = shard.pilots[i].name == other.pilots[i].name &&
                  arma::size(shard.pilots[i].P) == arma::size(other.pilots[i].P);
  if (!same_pilots) return "the axis of its pilots";
  if (shard.sums.size() != n_cells * shard.n_series() * shard.n_sums ||
      shard.seconds.size() != n_cells * shard.estimators.size() || shard.done.size() != n_cells ||
      shard.methods.size() != shard.n_points() * shard.estimators.size() ||
      shard.used.size() != shard.n_points())
    return "the size of its data";
  for (std::uint32_t used : shard.used)
    if (used > shard.n_blocks()) return "the blocks of its points";
  if (shard.methods != other.methods) return "the methods of its estimators";
  return {};
}

}  // namespace

const char* to_string(ResultKind kind) {
  switch (kind) {
    case ResultKind::link:
      return "link";
    case ResultKind::coded_link:
      return "coded-link";
    case ResultKind::sweep:
      break;
  }
  return "sweep";
}

Shard parse_shard(const std::string& text) {
  const std::vector<std::string> parts = split(text, '/');
  Shard shard;
  if (parts.size() == 2) {
    shard.index = to_count(parts[0], "shard in '" + text + "'");
    shard.count = to_count(parts[1], "number of shards in '" + text + "'");
  }
  if (parts.size() != 2 || shard.index == 0 || shard.index > shard.count)
    throw Error(ErrorKind::invalid_argument,
                "shard is '" + text + "', expected i/n with i = 1 .. n, for example 2/3");
  return shard;
}

namespace {

/// One number of the environment; empty: not set.
std::optional<arma::uword> number_of(const std::function<const char*(const char*)>& variable,
                                     const char* name) {
  const char* text = variable(name);
  if (!text || !*text) return {};
  return static_cast<arma::uword>(to_count(text, name));
}

[[noreturn]] void refuse_shard(const std::string& what) {
  throw Error(ErrorKind::invalid_argument, "shard auto: " + what);
}

/// The processes that are started together: which of how many, from 0.
Shard process_of(const std::function<const char*(const char*)>& variable) {
  // mpirun in a job of Slurm: its own numbers are those of the processes. Slurm's are set in the script of a
  // job too, which is one process; a step that srun started has the number of its tasks.
  for (const auto& [rank_name, size_name] :
       {std::pair{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
        std::pair{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}}) {
    const auto size = number_of(variable, size_name);
    if (!size) continue;
    const auto rank = number_of(variable, rank_name);
    if (!rank) refuse_shard(std::string(size_name) + " is set and " + rank_name + " is not");
    if (*rank >= *size) {
      refuse_shard(std::string(rank_name) + " is " + std::to_string(*rank) + ", " + size_name +
                   " is " + std::to_string(*size));
    }
    return {*rank, *size};
  }
  return {0, 1};
}

/// The task of an array: which of how many, from 0.
Shard task_of(const std::function<const char*(const char*)>& variable) {
  const auto id = number_of(variable, "SLURM_ARRAY_TASK_ID");
  if (!id) return {0, 1};
  const auto count = number_of(variable, "SLURM_ARRAY_TASK_COUNT");
  const auto least = number_of(variable, "SLURM_ARRAY_TASK_MIN");
  const auto most = number_of(variable, "SLURM_ARRAY_TASK_MAX");
  if (!count || !least || !most) {
    refuse_shard("SLURM_ARRAY_TASK_ID is set, SLURM_ARRAY_TASK_COUNT, _MIN or _MAX is not");
  }
  const arma::uword step = *count > 1 ? (*most - *least) / (*count - 1) : 1;
  if (*most < *least || step == 0 || *least + (*count - 1) * step != *most || *id < *least ||
      *id > *most || (*id - *least) % step != 0) {
    refuse_shard("the tasks of the array are not a range: " + std::to_string(*count) +
                 " tasks from " + std::to_string(*least) + " to " + std::to_string(*most) +
                 ", this one is " + std::to_string(*id) +
                 "; start it as --array=1-8 or give --shard i/n");
  }
  return {(*id - *least) / step, *count};
}

}  // namespace

Shard shard_of_environment(const std::function<const char*(const char*)>& variable) {
  const auto found =
      variable ? variable : [](const char* name) -> const char* { return std::getenv(name); };
  const Shard task = task_of(found), process = process_of(found);
  return {task.index * process.count + process.index + 1, task.count * process.count};
}

bool Results::finished() const {
  return std::all_of(used.begin(), used.end(), [](std::uint32_t n) { return n != 0; });
}

double Results::share_outside_estimators() const {
  return seconds_total > 0.0 ? std::max(0.0, 1.0 - seconds_in_estimators / seconds_total) : 0.0;
}

std::string Results::command_hash() const {
  return hash_bytes(provenance.options.data(), provenance.options.size());
}

std::vector<Row> rows(const Results& results) {
  std::vector<Row> all;
  const auto options = nlohmann::json::parse(results.provenance.options, nullptr, false);
  const auto fitted_on = nlohmann::json::json_pointer("/inputs/fitted_on");
  const auto seen = options.is_object() ? options.value(fitted_on, nlohmann::json::object())
                                        : nlohmann::json::object();
  for (arma::uword i = 0; i < results.n_points(); ++i) {
    if (results.used[i] == 0) continue;
    for (arma::uword e = 0; e < results.estimators.size(); ++e)
      for (arma::uword m = 0; m < results.n_modulations(); ++m) {
        all.push_back(row_of(results, i, e, m));
        all.back().fitted_on = seen.value(all.back().estimator, "");
      }
  }
  return all;
}

std::string options_difference(const std::string& here, const std::string& there) {
  if (here == there) return {};
  const auto flat = [](const std::string& options) {
    const auto json = nlohmann::ordered_json::parse(options, nullptr, false);
    return json.is_discarded() ? nlohmann::ordered_json::object() : json.flatten();
  };
  const nlohmann::ordered_json mine = flat(here), theirs = flat(there);
  const auto show = [](const nlohmann::ordered_json& json, const std::string& key) {
    if (!json.contains(key)) return std::string("absent");
    return json[key].is_string() ? json[key].get<std::string>() : json[key].dump();
  };
  std::vector<std::string> keys;
  for (const auto& item : mine.items()) keys.push_back(item.key());
  for (const auto& item : theirs.items()) keys.push_back(item.key());
  for (const std::string& key : keys) {
    const std::string a = show(mine, key), b = show(theirs, key);
    if (a == b) continue;
    std::string name = key.substr(1);
    std::replace(name.begin(), name.end(), '/', ' ');
    return name + " is " + a + " here, " + b + " there";
  }
  return "the options are written differently";
}

std::string difference(const Results& here, const Results& there) {
  return options_difference(here.provenance.options, there.provenance.options);
}

Error unfit_shard(const Shard& shard, const std::string& what) {
  return Error(ErrorKind::invalid_argument, "merge: shard " + std::to_string(shard.index) + "/" +
                                                std::to_string(shard.count) +
                                                " does not fit the others in " + what +
                                                ", though its options do; its file is damaged");
}

void check_shards(const std::vector<ShardFacts>& shards) {
  if (shards.empty()) refuse("merge: no results were given");
  const arma::uword n_shards = shards.front().shard.count;
  const auto name = [n_shards](arma::uword index) {
    return std::to_string(index) + "/" + std::to_string(n_shards);
  };
  std::vector<bool> seen(n_shards, false);
  for (const ShardFacts& shard : shards) {
    std::string differs = options_difference(shards.front().options, shard.options);
    if (differs.empty() && shard.shard.count != n_shards)
      differs = "number of shards is " + std::to_string(n_shards) + " here, " +
                std::to_string(shard.shard.count) + " there";
    if (!differs.empty()) refuse("merge: the results are not of one command (" + differs + ")");
    if (!shard.unfit.empty()) throw unfit_shard(shard.shard, shard.unfit);
    if (shard.shard.index == 0 || shard.shard.index > n_shards)
      throw unfit_shard(shard.shard, "its number");
    if (seen[shard.shard.index - 1])
      refuse("merge: shard " + name(shard.shard.index) + " is given twice");
    if (!shard.finished)
      refuse("merge: shard " + name(shard.shard.index) + " is not finished; run its command again");
    seen[shard.shard.index - 1] = true;
  }
  std::vector<std::string> missing;
  for (arma::uword i = 1; i <= n_shards; ++i)
    if (!seen[i - 1]) missing.push_back(name(i));
  if (!missing.empty())
    refuse("merge: shard " + enumerate(missing) + " is missing; give the results of all shards");
}

Results merge(const std::vector<Results>& shards) {
  if (shards.empty()) refuse("merge: no results were given");
  Results merged = shards.front();
  if (merged.shard.count == 0 || merged.shard.count > merged.n_blocks())
    throw Error(ErrorKind::invalid_argument,
                "merge: the first results are shard " + std::to_string(merged.shard.index) + "/" +
                    std::to_string(merged.shard.count) + " of " +
                    std::to_string(merged.n_blocks()) + " blocks; their file is damaged");
  std::vector<ShardFacts> facts;
  for (const Results& shard : shards)
    facts.push_back(
        {shard.provenance.options, shard.shard, shard.finished(), why_unfit(shard, merged)});
  check_shards(facts);
  for (const Results& shard : shards) {
    if (shard.used != merged.used) throw unfit_shard(shard.shard, "the blocks of its points");
    for (arma::uword i = 0; i < shard.n_points(); ++i)
      for (arma::uword b = 0; b < shard.used[i]; ++b)
        if (shard.in_shard(b) && !shard.done[i * shard.n_blocks() + b])
          throw unfit_shard(shard.shard, "the blocks that are done");
  }
  const std::size_t n_block_sums = merged.n_series() * merged.n_sums;
  const std::size_t n_estimators = merged.estimators.size();
  merged.shard = {};
  merged.seconds_total = merged.seconds_in_estimators = merged.seconds_in_decoders = 0.0;
  for (const Results& shard : shards) {
    merged.seconds_total += shard.seconds_total;
    merged.seconds_in_estimators += shard.seconds_in_estimators;
    merged.seconds_in_decoders += shard.seconds_in_decoders;
    for (std::size_t cell = 0; cell < merged.done.size(); ++cell) {
      if (!shard.done[cell]) continue;
      merged.done[cell] = 1;
      std::copy_n(shard.sums.begin() + std::ptrdiff_t(cell * n_block_sums), n_block_sums,
                  merged.sums.begin() + std::ptrdiff_t(cell * n_block_sums));
      std::copy_n(shard.seconds.begin() + std::ptrdiff_t(cell * n_estimators), n_estimators,
                  merged.seconds.begin() + std::ptrdiff_t(cell * n_estimators));
    }
  }
  return merged;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
