#include <chest/sim/results.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/sim/modulation.hpp>
#include <chest/sim/statistics.hpp>
#include <chest/text.hpp>

#include "link_sums.hpp"

namespace chest::sim {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr int format_version = 1;

/// A numeric column of the results: the one place that says what stands where.
struct Column {
  const char* name;
  double (*value)(const Row&);
  bool timing = false;
};

const std::vector<Column>& columns(ResultKind kind) {
  static const std::vector<Column> of_sweep{
      {"n_pilots", [](const Row& row) { return double(row.n_pilots); }},
      {"snr_db", [](const Row& row) { return row.snr_db; }},
      {"snr_measured_db", [](const Row& row) { return row.snr_measured_db; }},
      {"snr_effective_db", [](const Row& row) { return row.snr_effective_db; }},
      {"n_samples", [](const Row& row) { return double(row.n_samples); }},
      {"nmse", [](const Row& row) { return row.nmse; }},
      {"nmse_db", [](const Row& row) { return row.nmse_db; }},
      {"nmse_ci95_low", [](const Row& row) { return row.nmse_ci95_low; }},
      {"nmse_ci95_high", [](const Row& row) { return row.nmse_ci95_high; }},
      {"nmse_per_sample", [](const Row& row) { return row.nmse_per_sample; }},
      {"nfe", [](const Row& row) { return row.nfe; }},
      {"seconds_per_channel", [](const Row& row) { return row.seconds_per_channel; }, true},
      {"nmse_predicted", [](const Row& row) { return row.nmse_predicted; }}};
  static const std::vector<Column> of_link = [] {
    std::vector<Column> all = of_sweep;
    const std::vector<Column> link{
        {"ser", [](const Row& row) { return row.ser; }},
        {"ber", [](const Row& row) { return row.ber; }},
        {"ber_ci95_low", [](const Row& row) { return row.ber_ci95_low; }},
        {"ber_ci95_high", [](const Row& row) { return row.ber_ci95_high; }},
        {"rate_bits_per_use", [](const Row& row) { return row.rate_bits_per_use; }},
        {"n_bits", [](const Row& row) { return row.n_bits; }}};
    all.insert(all.begin() + 5, link.begin(), link.end());
    return all;
  }();
  return kind == ResultKind::sweep ? of_sweep : of_link;
}

/// Shortest text that reads back as the same double; empty for NaN.
std::string number_text(double value) {
  if (std::isnan(value)) return {};
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return std::string(text, end);
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
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
  row.nmse_predicted = sums.n_predicted == sums.n ? sums.predicted / sums.p : nan;
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

std::string join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "\n") + line;
  return text;
}

std::vector<std::string> lines_of(const ArchiveReader& archive, const std::string& dataset) {
  const std::string text = archive.read_text(dataset);
  return text.empty() ? std::vector<std::string>{} : split(text, '\n');
}

std::string sum_names(const Results& results) {
  std::vector<std::string> names(ErrorSums::names.begin(), ErrorSums::names.end());
  if (results.kind == ResultKind::link) {
    for (const char* name : {"symbol_errors", "bit_errors", "bit_errors_squared"})
      names.push_back(name);
    for (arma::uword i = 0; i < results.n_tx; ++i)
      names.push_back("loss_of_stream_" + std::to_string(i));
  }
  return join(names);
}

}  // namespace

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
  for (arma::uword i = 0; i < results.n_points(); ++i) {
    if (results.used[i] == 0) continue;
    for (arma::uword e = 0; e < results.estimators.size(); ++e)
      for (arma::uword m = 0; m < results.n_modulations(); ++m)
        all.push_back(row_of(results, i, e, m));
  }
  return all;
}

std::string to_csv(const Results& results) {
  const bool link = results.kind == ResultKind::link;
  std::string text = "estimator,pilots";
  for (const Column& column : columns(results.kind)) {
    if (link && std::string("ser") == column.name) text += ",modulation";
    text += std::string(",") + column.name;
  }
  text += ",seed,snr_definition,method\n";
  for (const Row& row : rows(results)) {
    text += csv_field(row.estimator) + "," + csv_field(row.pilots);
    for (const Column& column : columns(results.kind)) {
      if (link && std::string("ser") == column.name) text += "," + row.modulation;
      text += "," + number_text(column.value(row));
    }
    text += "," + std::to_string(results.provenance.seed) + "," + csv_field(snr_definition) + "," +
            csv_field(row.method) + "\n";
  }
  return text;
}

std::string to_table(const Results& results) {
  const bool link = results.kind == ResultKind::link;
  const std::vector<Row> all = rows(results);
  std::string text = link ? "BER" : "NMSE in dB (sum ||h_hat - h||^2 / sum ||h||^2)";
  text += "; " + std::string(snr_definition) + "\n";
  char cell[96];
  const std::size_t per_point = results.n_series();
  const arma::uword n_snr = results.snr_db.size();
  std::vector<int> widths;
  for (const std::string& name : results.estimators)
    widths.push_back(std::max<int>(link ? 9 : 8, int(name.size())) + 2);
  for (arma::uword m = 0; m < results.n_modulations(); ++m) {
    std::size_t i_row = 0;
    for (arma::uword i = 0; i < results.n_points(); ++i) {
      if (i % n_snr == 0) {
        const Pilots& pilots = results.pilots[i / n_snr];
        std::snprintf(cell, sizeof cell, "%+.2f", to_db(pilots.gain()));
        text += "\npilots " + pilots.name + (link ? ", " + results.modulations[m] : "") +
                ", effective SNR = snr_db " + cell + " dB\n  snr_db";
        for (std::size_t e = 0; e < results.estimators.size(); ++e) {
          const std::string& name = results.estimators[e];
          text += std::string(std::size_t(widths[e]) - name.size(), ' ') + name;
        }
        text += "  n_samples\n";
      }
      std::snprintf(cell, sizeof cell, "%8g", results.snr_db[i % n_snr]);
      text += cell;
      if (results.used[i] == 0) {
        text += "  not finished\n";
        continue;
      }
      for (std::size_t e = 0; e < results.estimators.size(); ++e) {
        const Row& row = all[i_row + e * results.n_modulations() + m];
        if (link)
          std::snprintf(cell, sizeof cell, "%*.3e", widths[e], row.ber);
        else
          std::snprintf(cell, sizeof cell, "%*.2f", widths[e], row.nmse_db);
        text += cell;
      }
      std::snprintf(cell, sizeof cell, "%11llu\n",
                    static_cast<unsigned long long>(all[i_row].n_samples));
      text += cell;
      i_row += per_point;
    }
  }
  return text;
}

void save(const std::filesystem::path& file, const Results& results) {
  ArchiveWriter archive(file);
  write_provenance(archive, "chest-results", format_version, results.provenance);
  const bool link = results.kind == ResultKind::link;
  archive.attribute("/", "run", std::string(link ? "link" : "sweep"));
  archive.attribute("/", "finished", std::int64_t{results.finished()});
  archive.attribute("/", "command_hash", results.command_hash());
  archive.attribute("/", "snr_definition", std::string(snr_definition));
  const std::pair<const char*, arma::uword> counts[] = {{"n_rx", results.n_rx},
                                                        {"n_tx", results.n_tx},
                                                        {"first", results.first},
                                                        {"end", results.end},
                                                        {"block", results.block},
                                                        {"n_data", results.n_data},
                                                        {"shard_index", results.shard.index},
                                                        {"shard_count", results.shard.count}};
  for (const auto& [name, count] : counts) archive.attribute("/", name, std::int64_t(count));

  const std::uint64_t n_snr = results.snr_db.size(), n_estimators = results.estimators.size(),
                      n_pilots = results.pilots.size(), n_points = results.n_points(),
                      n_blocks = results.n_blocks();
  std::vector<std::string> pilot_names;
  for (std::size_t i = 0; i < n_pilots; ++i) {
    pilot_names.push_back(results.pilots[i].name);
    const std::string path = "/pilots/" + std::to_string(i);
    archive.write(path, results.pilots[i].P);
    archive.attribute(path, "name", results.pilots[i].name);
    archive.attribute(path, "identity", std::int64_t{results.pilots[i].identity});
  }
  archive.write_text("/axes/pilots", join(pilot_names));
  archive.write<double>("/axes/snr_db", {n_snr}, results.snr_db.data());
  archive.write_text("/axes/estimator", join(results.estimators));
  if (link) archive.write_text("/axes/modulation", join(results.modulations));
  archive.write_text("/results/method", join(results.methods));

  const std::vector<Row> all = rows(results);
  std::vector<std::uint64_t> dims{n_pilots, n_snr, n_estimators};
  if (link) dims.push_back(results.n_modulations());
  std::vector<double> values(n_points * results.n_series());
  for (const Column& column : columns(results.kind)) {
    std::size_t i_row = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = results.used[i / results.n_series()] ? column.value(all[i_row++]) : nan;
    archive.write<double>(std::string(column.timing ? "/timing/" : "/results/") + column.name, dims,
                          values.data());
  }

  archive.write<std::uint32_t>("/blocks/done", {n_points, n_blocks}, results.done.data());
  archive.write<std::uint32_t>("/blocks/used", {n_points}, results.used.data());
  archive.write<double>("/blocks/sums", {n_points, n_blocks, results.n_series(), results.n_sums},
                        results.sums.data());
  archive.write_text("/blocks/sum_names", sum_names(results));
  archive.write<double>("/timing/seconds", {n_points, n_blocks, n_estimators},
                        results.seconds.data());
  archive.attribute("/timing", "seconds_total", results.seconds_total);
  archive.attribute("/timing", "seconds_in_estimators", results.seconds_in_estimators);
  archive.attribute("/timing", "share_outside_estimators", results.share_outside_estimators());
  archive.commit();
}

Results load_results(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  Results results;
  results.provenance = read_provenance(archive, "chest-results", format_version);
  const auto damaged = [&](const std::string& what) {
    return Error(ErrorKind::format,
                 file.string() + ": is damaged: " + what + "; delete it and run the command again");
  };
  // What a file says it holds it must be long enough to hold: damaged sizes do not become memory.
  const std::uintmax_t file_bytes = std::filesystem::file_size(file);
  const auto check_bytes = [&](const std::string& path) {
    const StoredDataset info = archive.info(path);
    if (info.n_values() > file_bytes / std::max<std::size_t>(info.bytes_per_value, 1))
      throw damaged("dataset " + path + " is larger than the file");
  };
  const auto count = [&](const char* name, double least) {
    const std::optional<double> value = archive.number_attribute("/", name);
    if (!value || !(*value >= least && *value < 9e15))
      throw damaged(std::string("attribute ") + name + " is missing or out of range");
    return arma::uword(*value);
  };
  // The attribute is read as a double, which does not hold every seed; the options do.
  const auto options = nlohmann::json::parse(results.provenance.options, nullptr, false);
  if (!options.is_object() || !options.contains("seed") || !options["seed"].is_number_unsigned())
    throw damaged("attribute options does not hold the seed");
  results.provenance.seed = options["seed"];
  const std::string run = archive.text_attribute("/", "run").value_or("");
  if (run != "sweep" && run != "link") throw damaged("attribute run is '" + run + "'");
  results.kind = run == "link" ? ResultKind::link : ResultKind::sweep;
  results.n_rx = count("n_rx", 1);
  results.n_tx = count("n_tx", 1);
  results.first = count("first", 0);
  results.end = count("end", 1);
  results.block = count("block", 1);
  results.n_data = count("n_data", 0);
  results.shard.index = count("shard_index", 1);
  results.shard.count = count("shard_count", 1);
  if (results.first >= results.end || results.shard.index > results.shard.count)
    throw damaged("sample range or shard is empty");
  results.snr_db = archive.read_all<double>("/axes/snr_db", 1'000'000);
  results.estimators = lines_of(archive, "/axes/estimator");
  if (results.kind == ResultKind::link) results.modulations = lines_of(archive, "/axes/modulation");
  for (const std::string& name : results.modulations) Modulation{name};
  for (const std::string& name : lines_of(archive, "/axes/pilots")) {
    const std::string path = "/pilots/" + std::to_string(results.pilots.size());
    Pilots pilots;
    pilots.name = name;
    check_bytes(path);
    pilots.P = archive.read_cx_mat(path);
    pilots.identity = archive.number_attribute(path, "identity").value_or(0.0) == 1.0;
    if (pilots.P.n_rows != results.n_tx || pilots.P.is_empty())
      throw damaged("pilots " + name + " do not have n_tx rows");
    results.pilots.push_back(std::move(pilots));
  }
  results.methods.assign(results.n_points() * results.estimators.size(), "");
  if (archive.has("/results/method")) {
    results.methods = lines_of(archive, "/results/method");
    results.methods.resize(results.n_points() * results.estimators.size());
  }
  const std::uint64_t n_points = results.n_points(), n_blocks = results.n_blocks();
  const auto check = [&](const std::string& path, const std::vector<std::uint64_t>& dims) {
    check_bytes(path);
    if (archive.info(path).dims != dims)
      throw damaged("dataset " + path + " does not have the size of its axes");
  };
  const StoredDataset sums = archive.info("/blocks/sums");
  if (sums.dims.size() != 4) throw damaged("dataset /blocks/sums does not have four dimensions");
  results.n_sums = sums.dims[3];
  const arma::uword expected_sums =
      ErrorSums::count + (results.kind == ResultKind::link ? 3 + results.n_tx : 0);
  if (results.n_sums != expected_sums || n_points == 0 || results.n_series() == 0)
    throw damaged("axes are empty or sums are missing");
  check("/blocks/sums", {n_points, n_blocks, results.n_series(), results.n_sums});
  check("/blocks/done", {n_points, n_blocks});
  check("/blocks/used", {n_points});
  check("/timing/seconds", {n_points, n_blocks, results.estimators.size()});
  results.sums = archive.read_all<double>("/blocks/sums");
  results.done = archive.read_all<std::uint32_t>("/blocks/done");
  results.used = archive.read_all<std::uint32_t>("/blocks/used");
  results.seconds = archive.read_all<double>("/timing/seconds");
  for (std::uint32_t used : results.used)
    if (used > n_blocks) throw damaged("a point uses more blocks than there are");
  results.seconds_total = archive.number_attribute("/timing", "seconds_total").value_or(0.0);
  results.seconds_in_estimators =
      archive.number_attribute("/timing", "seconds_in_estimators").value_or(0.0);
  return results;
}

std::string difference(const Results& here, const Results& there) {
  if (here.provenance.options == there.provenance.options) return {};
  const auto flat = [](const Results& results) {
    const auto json = nlohmann::ordered_json::parse(results.provenance.options, nullptr, false);
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

Results merge(const std::vector<Results>& shards) {
  if (shards.empty()) throw Error(ErrorKind::invalid_argument, "merge: no results were given");
  Results merged = shards.front();
  const arma::uword n_shards = merged.shard.count;
  std::vector<bool> seen(n_shards, false);
  const auto name = [n_shards](arma::uword index) {
    return std::to_string(index) + "/" + std::to_string(n_shards);
  };
  for (const Results& shard : shards) {
    std::string differs = difference(merged, shard);
    if (differs.empty() && shard.shard.count != n_shards)
      differs = "number of shards is " + std::to_string(n_shards) + " here, " +
                std::to_string(shard.shard.count) + " there";
    if (!differs.empty())
      throw Error(ErrorKind::invalid_argument,
                  "merge: the results are not of one command (" + differs + ")");
    if (seen[shard.shard.index - 1])
      throw Error(ErrorKind::invalid_argument,
                  "merge: shard " + name(shard.shard.index) + " is given twice");
    if (!shard.finished())
      throw Error(ErrorKind::invalid_argument, "merge: shard " + name(shard.shard.index) +
                                                   " is not finished; run its command again");
    seen[shard.shard.index - 1] = true;
  }
  std::vector<std::string> missing;
  for (arma::uword i = 1; i <= n_shards; ++i)
    if (!seen[i - 1]) missing.push_back(name(i));
  if (!missing.empty())
    throw Error(ErrorKind::invalid_argument, "merge: shard " + enumerate(missing) +
                                                 " is missing; give the results of all shards");
  const std::size_t n_block_sums = merged.n_series() * merged.n_sums;
  const std::size_t n_estimators = merged.estimators.size();
  merged.shard = {};
  merged.seconds_total = merged.seconds_in_estimators = 0.0;
  for (const Results& shard : shards) {
    merged.seconds_total += shard.seconds_total;
    merged.seconds_in_estimators += shard.seconds_in_estimators;
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

}  // namespace chest::sim
