// The results file, docs/results.md.
#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/sim/modulation.hpp>
#include <chest/sim/pusch.hpp>
#include <chest/sim/results.hpp>
#include <chest/sim/statistics.hpp>
#include <chest/text.hpp>

#include "results_columns.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

// Version 1 left out the first lines of /results/method while they were empty.
constexpr int format_version = 2;

/// A text dataset of n lines has n - 1 line breaks, empty lines included.
std::string join(const std::vector<std::string>& lines) {
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) text += (i > 0 ? "\n" : "") + lines[i];
  return text;
}

/// The lines of a column of names, none of which is empty.
std::vector<std::string> names_of(const ArchiveReader& archive, const std::string& dataset) {
  const std::string text = archive.read_text(dataset);
  return text.empty() ? std::vector<std::string>{} : split(text, '\n');
}

/// Lines of /results/method; empty when there are not n of them.
std::vector<std::string> methods_of(const ArchiveReader& archive, std::size_t n) {
  const bool first_version = archive.integer_attribute("/", "format_version") == 1;
  if (first_version && !archive.has("/results/method")) return std::vector<std::string>(n);
  std::vector<std::string> lines = split(archive.read_text("/results/method"), '\n');
  // What version 1 left out are the empty lines before the first other one: their number is known.
  if (first_version && lines.size() < n) lines.insert(lines.begin(), n - lines.size(), "");
  if (lines.size() != n) lines.clear();
  return lines;
}

std::string sum_names(const Results& results) {
  std::vector<std::string> names(ErrorSums::names.begin(), ErrorSums::names.end());
  if (results.kind == ResultKind::link) {
    for (const char* name : {"symbol_errors", "bit_errors", "bit_errors_squared"})
      names.push_back(name);
    for (arma::uword i = 0; i < results.n_tx; ++i)
      names.push_back("loss_of_stream_" + std::to_string(i));
  } else if (results.kind == ResultKind::coded_link) {
    names.insert(names.end(),
                 {"blocks", "block_errors", "first_block_errors", "transmissions",
                  "transmissions_squared", "transmissions_of_delivered", "bits", "bit_errors",
                  "coded_bits", "coded_bit_errors", "iterations", "decoded_code_blocks"});
  } else if (results.grid.is_grid()) {
    names.insert(names.end(), {"e_pilots", "p_pilots"});
  }
  return join(names);
}

/// Where the pilots of a grid stand: rows symbol, subcarrier and group of their code division.
void save_pattern(ArchiveWriter& archive, const std::string& path, const PilotPattern& pattern) {
  arma::mat positions(pattern.n(), 3);
  positions.col(0) = arma::conv_to<arma::vec>::from(pattern.symbol);
  positions.col(1) = arma::conv_to<arma::vec>::from(pattern.subcarrier);
  positions.col(2) = arma::conv_to<arma::vec>::from(pattern.group);
  archive.write(path + "_positions", positions);
}

/// Null if it is not there or does not fit.
std::shared_ptr<const PilotPattern> load_pattern(const ArchiveReader& archive,
                                                 const std::string& path, const arma::cx_mat& x,
                                                 const GridAxes& grid) {
  if (!archive.has(path + "_positions")) return nullptr;
  const arma::mat positions = archive.read_mat(path + "_positions");
  const bool fits = positions.n_rows == x.n_cols && positions.n_cols == 3 &&
                    positions.is_finite() && positions.min() >= 0.0 && positions.max() < 1e9;
  if (!fits) return nullptr;
  auto pattern = std::make_shared<PilotPattern>();
  pattern->grid = grid;
  pattern->symbol = arma::conv_to<arma::uvec>::from(positions.col(0));
  pattern->subcarrier = arma::conv_to<arma::uvec>::from(positions.col(1));
  pattern->group = arma::conv_to<arma::uvec>::from(positions.col(2));
  pattern->x = x;
  return pattern->why_invalid().empty() ? pattern : nullptr;
}

}  // namespace

void save(const std::filesystem::path& file, const Results& results) {
  for (const std::string& method : results.methods)
    if (method.find('\n') != std::string::npos)
      throw Error(ErrorKind::invalid_argument,
                  file.string() + ": the method '" + method +
                      "' of an estimator has a line break; expected one line");
  ArchiveWriter archive(file);
  write_provenance(archive, "chest-results", format_version, results.provenance);
  const bool link = results.kind == ResultKind::link;
  archive.attribute("/", "run", std::string(to_string(results.kind)));
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
  if (results.grid.is_grid()) {
    archive.attribute("/", "n_subcarriers", std::int64_t(results.grid.n_subcarriers));
    archive.attribute("/", "n_symbols", std::int64_t(results.grid.n_symbols));
    archive.attribute("/", "spacing_hz", results.grid.spacing_hz);
    archive.attribute("/", "symbol_s", results.grid.symbol_s);
  }

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
    if (results.pilots[i].pattern) save_pattern(archive, path, *results.pilots[i].pattern);
  }
  archive.write_text("/axes/pilots", join(pilot_names));
  archive.write<double>("/axes/snr_db", {n_snr}, results.snr_db.data());
  archive.write_text("/axes/estimator", join(results.estimators));
  if (!results.modulations.empty())
    archive.write_text("/axes/modulation", join(results.modulations));
  archive.write_text("/results/method", join(results.methods));

  const std::vector<Row> all = rows(results);
  std::vector<std::uint64_t> dims{n_pilots, n_snr, n_estimators};
  if (link) dims.push_back(results.n_modulations());
  std::vector<double> values(n_points * results.n_series());
  for (const Column& column : columns(results)) {
    std::size_t i_row = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] =
          results.used[i / results.n_series()] ? column.value(all[i_row++]) : arma::datum::nan;
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
  if (results.kind == ResultKind::coded_link)
    archive.attribute("/timing", "seconds_in_decoders", results.seconds_in_decoders);
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
  const auto is_run = [&](ResultKind kind) { return run == to_string(kind); };
  if (is_run(ResultKind::link))
    results.kind = ResultKind::link;
  else if (is_run(ResultKind::coded_link))
    results.kind = ResultKind::coded_link;
  else if (!is_run(ResultKind::sweep))
    throw damaged("attribute run is '" + run + "'");
  results.n_rx = count("n_rx", 1);
  results.n_tx = count("n_tx", 1);
  if (archive.number_attribute("/", "n_subcarriers")) {
    results.grid.n_subcarriers = count("n_subcarriers", 1);
    results.grid.n_symbols = count("n_symbols", 1);
    results.grid.spacing_hz = archive.number_attribute("/", "spacing_hz").value_or(0.0);
    results.grid.symbol_s = archive.number_attribute("/", "symbol_s").value_or(0.0);
  }
  results.first = count("first", 0);
  results.end = count("end", 1);
  results.block = count("block", 1);
  results.n_data = count("n_data", 0);
  results.shard.index = count("shard_index", 1);
  results.shard.count = count("shard_count", 1);
  if (results.first >= results.end || results.shard.index > results.shard.count ||
      results.shard.count > results.n_blocks())
    throw damaged("sample range or shard is empty");
  results.snr_db = archive.read_all<double>("/axes/snr_db", 1'000'000);
  results.estimators = names_of(archive, "/axes/estimator");
  if (results.kind != ResultKind::sweep)
    results.modulations = names_of(archive, "/axes/modulation");
  for (const std::string& name : results.modulations) Modulation{name};
  if (results.kind == ResultKind::coded_link && results.modulations.size() != 1)
    throw damaged("a coded link has " + std::to_string(results.modulations.size()) +
                  " modulations, expected one");
  for (const std::string& name : names_of(archive, "/axes/pilots")) {
    const std::string path = "/pilots/" + std::to_string(results.pilots.size());
    Pilots pilots;
    pilots.name = name;
    check_bytes(path);
    pilots.P = archive.read_cx_mat(path);
    pilots.identity = archive.number_attribute(path, "identity").value_or(0.0) == 1.0;
    if (pilots.P.n_rows != results.n_tx || pilots.P.is_empty())
      throw damaged("pilots " + name + " do not have n_tx rows");
    if (results.grid.is_grid()) {
      pilots.pattern = load_pattern(archive, path, pilots.P, results.grid);
      if (!pilots.pattern) throw damaged("pilots " + name + " are not on the grid");
    }
    results.pilots.push_back(std::move(pilots));
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
      ErrorSums::count + (results.kind == ResultKind::link         ? 3 + results.n_tx
                          : results.kind == ResultKind::coded_link ? BlockSums::count
                          : results.grid.is_grid()                 ? PilotSums::count
                                                                   : 0);
  // Version 1 did not count resets.
  const bool counts_resets = results.n_sums != expected_sums - 1;
  if ((counts_resets && results.n_sums != expected_sums) || n_points == 0 ||
      results.n_series() == 0)
    throw damaged("axes are empty or sums are missing");
  check("/blocks/sums", {n_points, n_blocks, results.n_series(), results.n_sums});
  check("/blocks/done", {n_points, n_blocks});
  check("/blocks/used", {n_points});
  check("/timing/seconds", {n_points, n_blocks, results.estimators.size()});
  results.methods = methods_of(archive, n_points * results.estimators.size());
  if (results.methods.empty()) throw damaged("dataset /results/method does not fit the axes");
  results.sums = archive.read_all<double>("/blocks/sums");
  if (!counts_resets) {
    std::vector<double> all;
    all.reserve(results.sums.size() / results.n_sums * expected_sums);
    for (auto row = results.sums.begin(); row != results.sums.end();
         row += static_cast<std::ptrdiff_t>(results.n_sums)) {
      all.insert(all.end(), row, row + (ErrorSums::count - 1));
      all.push_back(0.0);
      all.insert(all.end(), row + (ErrorSums::count - 1),
                 row + static_cast<std::ptrdiff_t>(results.n_sums));
    }
    results.sums = std::move(all);
    results.n_sums = expected_sums;
  }
  results.done = archive.read_all<std::uint32_t>("/blocks/done");
  results.used = archive.read_all<std::uint32_t>("/blocks/used");
  results.seconds = archive.read_all<double>("/timing/seconds");
  for (std::uint32_t used : results.used)
    if (used > n_blocks) throw damaged("a point uses more blocks than there are");
  const std::pair<const char*, nlohmann::json> said[] = {
      {"channels", size_text(results.n_rx, results.n_tx, results.grid)},
      {"samples", std::to_string(results.first) + ":" + std::to_string(results.end)},
      {"block", results.block},
      {"snr_db", results.snr_db},
  };
  for (const auto& [name, value] : said)
    if (options.value(name, nlohmann::json()) != value)
      throw damaged(std::string("its ") + name + " is not that of the attribute options");
  results.seconds_total = archive.number_attribute("/timing", "seconds_total").value_or(0.0);
  results.seconds_in_estimators =
      archive.number_attribute("/timing", "seconds_in_estimators").value_or(0.0);
  results.seconds_in_decoders =
      archive.number_attribute("/timing", "seconds_in_decoders").value_or(0.0);
  return results;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
