// The search for 70 % throughput, and the results of chest conformance as a file, CSV, table and figure.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>

#include <nlohmann/json.hpp>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/text.hpp>

#include "conformance_search.hpp"
#include "engine.hpp"
#include "plot_drawing.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

constexpr const char* file_format = "chest-conformance";
constexpr int format_version = 1;
constexpr double coarse_step_db = 1.0, fine_step_db = 0.5;
constexpr double widest_search_db = 30.0;
constexpr std::array<const char*, BlockSums::count> sum_names{"blocks",
                                                              "block_errors",
                                                              "first_block_errors",
                                                              "transmissions",
                                                              "transmissions_squared",
                                                              "transmissions_of_delivered",
                                                              "bits",
                                                              "bit_errors",
                                                              "coded_bits",
                                                              "coded_bit_errors",
                                                              "iterations",
                                                              "decoded_code_blocks"};

std::string conformance_number(double value) { return std::isnan(value) ? "" : number_text(value); }
/// To thousandths of a dB.
double thousandths(double value) { return std::round(1e3 * value) / 1e3; }

}  // namespace

arma::uword few_slots(arma::uword n_slots) {
  return std::min(n_slots, std::max(n_slots / 8, conformance_group));
}

std::int64_t milli(double snr_db) { return std::llround(1e3 * snr_db); }

bool find_snr(arma::uword n_slots, const AskSums& ask, ConformanceRow& row) {
  const double required = row.cell.snr_required_db;
  std::map<std::int64_t, BlockSums> whole;  // by SNR: sums of all slots
  // The throughput of the first n blocks; NaN: not known.
  const auto throughput = [&](double snr_db, arma::uword n) {
    const std::optional<BlockSums> sums = ask(snr_db, n);
    if (sums && n == n_slots) whole[milli(snr_db)] = *sums;
    return sums ? sums->throughput() : arma::datum::nan;
  };
  const auto finish = [&](double snr_db, double half) {
    row.snr_db = snr_db;
    row.interval = {snr_db - half, snr_db + half};
    row.points.clear();
    for (const auto& [at, sums] : whole) row.points.push_back({1e-3 * double(at), sums});
    return true;
  };

  // Down from 2 dB below the requirement, or up.
  const arma::uword n_few = few_slots(n_slots);
  double at = required - 2.0;
  double found = throughput(at, n_few);
  if (std::isnan(found)) return false;
  const bool down = found >= required_throughput;
  double before = found;
  while (down == (found >= required_throughput)) {
    at += down ? -coarse_step_db : coarse_step_db;
    if (std::abs(at - required) > widest_search_db) return finish(arma::datum::nan, 0.0);
    before = found;
    found = throughput(at, n_few);
    if (std::isnan(found)) return false;
  }
  const double from = down ? found : before, to = down ? before : found;
  double low = down ? at : at - coarse_step_db;
  const double part = (required_throughput - from) / (to - from);
  low += fine_step_db * std::floor(part * coarse_step_db / fine_step_db);
  // The neighbours of 70 % with all slots.
  for (;;) {
    if (std::abs(low - required) > widest_search_db) return finish(arma::datum::nan, 0.0);
    const double below = throughput(low, n_slots);
    if (std::isnan(below)) return false;
    if (below >= required_throughput) {
      low -= fine_step_db;
      continue;
    }
    const double above = throughput(low + fine_step_db, n_slots);
    if (std::isnan(above)) return false;
    if (above < required_throughput) {
      low += fine_step_db;
      continue;
    }
    const double slope = (above - below) / fine_step_db;
    const BlockSums &a = whole.at(milli(low)), &b = whole.at(milli(low + fine_step_db));
    row.n_slots = static_cast<std::uint64_t>(a.sent + b.sent);
    return finish(low + (required_throughput - below) / slope,
                  two_sided_95 * 0.5 * (a.throughput_error() + b.throughput_error()) / slope);
  }
}

AskSums known_sums(const ConformanceResults& results, arma::uword i_row) {
  return [&results, i_row](double snr_db, arma::uword n) -> std::optional<BlockSums> {
    for (const ConformanceLook& look : results.looks)
      if (look.i_row == i_row && look.n == n && milli(look.snr_db) == milli(snr_db) &&
          look.done == n)
        return look.sums;
    return {};
  };
}

ConformanceRow empty_row(const ConformanceResults& results, arma::uword i_row) {
  ConformanceRow row;
  row.cell = results.cells[i_row / results.estimators.size()];
  row.estimator = results.estimators[i_row % results.estimators.size()];
  return row;
}

void find_rows(ConformanceResults& results) {
  results.rows.clear();
  results.finished = true;
  for (arma::uword i = 0; i < results.cells.size() * results.estimators.size(); ++i) {
    if (!results.in_shard(i / results.estimators.size())) continue;
    ConformanceRow row = empty_row(results, i);
    if (find_snr(results.n_slots, known_sums(results, i), row))
      results.rows.push_back(std::move(row));
    else
      results.finished = false;
  }
}

void save(const std::filesystem::path& file, const ConformanceResults& results) {
  ArchiveWriter archive(file);
  write_provenance(archive, file_format, format_version, results.provenance);
  archive.attribute("/", "finished", std::int64_t{results.finished});
  archive.attribute("/", "slots", std::int64_t(results.n_slots));
  archive.attribute("/", "shard_index", std::int64_t(results.shard.index));
  archive.attribute("/", "shard_count", std::int64_t(results.shard.count));
  const auto join = [](const auto& items, const auto& name_of) {
    std::string text;
    for (const auto& item : items) text += (text.empty() ? "" : "\n") + std::string(name_of(item));
    return text;
  };
  archive.write_text("/axes/cell", join(results.cells, [](const auto& cell) { return cell.name; }));
  archive.write_text("/axes/estimator",
                     join(results.estimators, [](const auto& name) { return name; }));

  const std::uint64_t n_estimators = results.estimators.size();
  const std::vector<std::uint64_t> dims{results.cells.size(), n_estimators};
  const std::vector<double> unknown(results.cells.size() * n_estimators, arma::datum::nan);
  std::vector<double> snr_db = unknown, low = unknown, high = unknown;
  for (const ConformanceRow& row : results.rows) {
    std::size_t i = 0;
    while (results.cells[i].name != row.cell.name) ++i;
    std::size_t e = 0;
    while (results.estimators[e] != row.estimator) ++e;
    snr_db[i * n_estimators + e] = row.snr_db;
    low[i * n_estimators + e] = row.interval.low;
    high[i * n_estimators + e] = row.interval.high;
  }
  archive.write<double>("/results/snr_at_70_percent_db", dims, snr_db.data());
  archive.write<double>("/results/snr_ci95_low", dims, low.data());
  archive.write<double>("/results/snr_ci95_high", dims, high.data());

  const std::uint64_t n = results.looks.size();
  std::vector<std::uint32_t> rows, wanted, done;
  std::vector<double> at, sums(n * BlockSums::count);
  for (std::uint64_t i = 0; i < n; ++i) {
    const ConformanceLook& look = results.looks[i];
    rows.push_back(static_cast<std::uint32_t>(look.i_row));
    wanted.push_back(static_cast<std::uint32_t>(look.n));
    done.push_back(static_cast<std::uint32_t>(look.done));
    at.push_back(look.snr_db);
    look.sums.write(sums.data() + i * BlockSums::count);
  }
  archive.write<std::uint32_t>("/looks/row", {n}, rows.data());
  archive.write<double>("/looks/snr_db", {n}, at.data());
  archive.write<std::uint32_t>("/looks/blocks", {n}, wanted.data());
  archive.write<std::uint32_t>("/looks/done", {n}, done.data());
  archive.write<double>("/looks/sums", {n, BlockSums::count}, sums.data());
  archive.write_text("/looks/sum_names", join(sum_names, [](const char* name) { return name; }));
  archive.attribute("/timing", "seconds_total", results.seconds);
  archive.attribute("/timing", "seconds_in_estimators", results.seconds_in_estimators);
  archive.attribute("/timing", "seconds_in_decoders", results.seconds_in_decoders);
  archive.attribute("/timing", "slots_sent", std::int64_t(results.n_sent));
  archive.commit();
}

bool is_conformance_file(const std::filesystem::path& file) {
  return ArchiveReader(file).text_attribute("/", "format").value_or("") == file_format;
}

ConformanceResults load_conformance(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  ConformanceResults results;
  results.provenance = read_provenance(archive, file_format, format_version);
  const auto damaged = [&](const std::string& what) {
    return Error(ErrorKind::format,
                 file.string() + ": is damaged: " + what + "; delete it and run the command again");
  };
  const auto options = nlohmann::json::parse(results.provenance.options, nullptr, false);
  if (!options.is_object() || !options.contains("seed") || !options["seed"].is_number_unsigned())
    throw damaged("attribute options does not hold the seed");
  results.provenance.seed = options["seed"];
  const auto count = [&](const std::string& object, const char* name, double least) {
    const std::optional<double> value = archive.number_attribute(object, name);
    if (!value || !(*value >= least && *value < 9e15))
      throw damaged(std::string("attribute ") + name + " is missing or out of range");
    return arma::uword(*value);
  };
  results.n_slots = count("/", "slots", double(conformance_group));
  results.shard = {count("/", "shard_index", 1), count("/", "shard_count", 1)};
  nlohmann::json names;
  for (const std::string& name : split(archive.read_text("/axes/cell"), '\n')) {
    const std::vector<ConformanceCell>& all = conformance_cells();
    const auto cell = std::find_if(all.begin(), all.end(),
                                   [&](const ConformanceCell& one) { return one.name == name; });
    if (cell == all.end()) throw damaged("there is no cell '" + name + "'");
    results.cells.push_back(*cell);
    names.push_back(name);
  }
  results.estimators = split(archive.read_text("/axes/estimator"), '\n');
  if (results.shard.index > results.shard.count || results.shard.count > results.cells.size())
    throw damaged("its shard is empty");
  const std::pair<const char*, nlohmann::json> said[] = {
      {"cells", names}, {"estimators", results.estimators}, {"slots", results.n_slots}};
  for (const auto& [name, value] : said)
    if (options.value(name, nlohmann::json()) != value)
      throw damaged(std::string("its ") + name + " is not that of the attribute options");

  // No row looks at more than some hundred SNRs.
  const std::uint64_t most = 1000 * results.cells.size() * results.estimators.size();
  const auto rows = archive.read_all<std::uint32_t>("/looks/row", most);
  const auto at = archive.read_all<double>("/looks/snr_db", most);
  const auto wanted = archive.read_all<std::uint32_t>("/looks/blocks", most);
  const auto done = archive.read_all<std::uint32_t>("/looks/done", most);
  const auto sums = archive.read_all<double>("/looks/sums", most * BlockSums::count);
  if (at.size() != rows.size() || wanted.size() != rows.size() || done.size() != rows.size() ||
      sums.size() != rows.size() * BlockSums::count)
    throw damaged("the datasets of /looks are of different sizes");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ConformanceLook look{rows[i], at[i], wanted[i], done[i],
                         BlockSums::read(sums.data() + i * BlockSums::count)};
    const bool fits = look.i_row < results.cells.size() * results.estimators.size() &&
                      results.in_shard(look.i_row / results.estimators.size()) &&
                      std::abs(look.snr_db) < 1e3 && look.done <= look.n &&
                      look.sums.n == double(look.done) && (i == 0 || rows[i - 1] <= rows[i]);
    if (!fits) throw damaged("look " + std::to_string(i) + " is out of range");
    results.looks.push_back(look);
  }
  results.seconds = archive.number_attribute("/timing", "seconds_total").value_or(0.0);
  results.seconds_in_estimators =
      archive.number_attribute("/timing", "seconds_in_estimators").value_or(0.0);
  results.seconds_in_decoders =
      archive.number_attribute("/timing", "seconds_in_decoders").value_or(0.0);
  results.n_sent = count("/timing", "slots_sent", 0);
  find_rows(results);
  return results;
}

ConformanceResults merge(const std::vector<ConformanceResults>& shards) {
  std::vector<ShardFacts> facts;
  for (const ConformanceResults& shard : shards)
    facts.push_back({shard.provenance.options, shard.shard, shard.finished, ""});
  check_shards(facts);
  ConformanceResults merged = shards.front();
  merged.shard = {};
  merged.looks.clear();
  merged.seconds = merged.seconds_in_estimators = merged.seconds_in_decoders = 0.0;
  merged.n_sent = 0;
  for (const ConformanceResults& shard : shards) {
    merged.looks.insert(merged.looks.end(), shard.looks.begin(), shard.looks.end());
    merged.seconds += shard.seconds;
    merged.seconds_in_estimators += shard.seconds_in_estimators;
    merged.seconds_in_decoders += shard.seconds_in_decoders;
    merged.n_sent += shard.n_sent;
  }
  std::stable_sort(merged.looks.begin(), merged.looks.end(),
                   [](const auto& a, const auto& b) { return a.i_row < b.i_row; });
  find_rows(merged);
  return merged;
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
  if (results.n_sent == 0) return text;
  return text + time_text(results.seconds, results.seconds_in_estimators,
                          results.seconds_in_decoders, double(results.n_sent));
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
