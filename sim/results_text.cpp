// Results as CSV and as a table for people.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include <chest/metrics.hpp>
#include <chest/sim/results.hpp>
#include <chest/text.hpp>

#include "engine.hpp"
#include "results_columns.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// Empty for NaN.
std::string csv_number(double value) { return std::isnan(value) ? "" : number_text(value); }

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

/// BLER of the gaps that are named.
constexpr double gap_bler = 0.1;

/// How many dB each estimator needs for the BLER, and what it closes of the gap from ls to perfect.
std::string gap_text(const Results& results, const std::vector<Row>& all) {
  std::string text;
  for (const Pilots& pilots : results.pilots) {
    const auto snr_of = [&](const std::string& name) {
      std::vector<std::pair<double, double>> curve;
      for (const Row& row : all)
        if (row.estimator == name && row.pilots == pilots.name)
          curve.emplace_back(row.snr_db, row.bler);
      return snr_at_bler(curve, gap_bler);
    };
    const double perfect = snr_of("perfect");
    std::string reference;  // the first ls
    for (const std::string& name : results.estimators)
      if (reference.empty() && (name == "ls" || name.rfind("ls:", 0) == 0)) reference = name;
    const double ls = snr_of(reference);
    char line[256];
    for (const std::string& name : results.estimators) {
      const double snr = snr_of(name);
      if (std::isnan(snr)) continue;
      std::snprintf(line, sizeof line, "\n%s: BLER 0.1 at %.2f dB", name.c_str(), snr);
      text += line;
      if (name == "perfect" || name == reference || !(ls > perfect)) continue;
      std::snprintf(line, sizeof line, ", closes %.0f %% of the %.2f dB from %s to perfect",
                    100.0 * (ls - snr) / (ls - perfect), ls - perfect, reference.c_str());
      text += line;
    }
  }
  return text.empty() ? text : text + "\n";
}

/// Where the time of a coded link went; empty where it was measured on a device, by the wall clock.
std::string link_time_text(const Results& results, const std::vector<Row>& all) {
  const auto options = nlohmann::json::parse(results.provenance.options, nullptr, false);
  const auto device = nlohmann::json::json_pointer("/inputs/device");
  if (options.is_object() && options.value(device, "cpu") != "cpu") return {};
  double n_slots = 0.0;
  for (const Row& row : all) n_slots += double(row.n_samples);
  // Files of before the decoders were timed say nothing of them.
  if (!(results.seconds_in_decoders > 0.0) || n_slots == 0.0) return {};
  // The time is of all blocks that are done, the rows are of those that their points used.
  double n_done = 0.0, n_used = 0.0;
  for (arma::uword i = 0; i < results.n_points(); ++i) {
    for (arma::uword b = 0; b < results.n_blocks(); ++b) {
      if (!results.done[i * results.n_blocks() + b]) continue;
      ++n_done;
      if (b < results.used[i]) ++n_used;
    }
  }
  n_slots *= n_done / n_used;
  return time_text(results.seconds_total, results.seconds_in_estimators,
                   results.seconds_in_decoders, n_slots);
}

}  // namespace

std::string time_text(double seconds, double in_estimators, double in_decoders, double n_slots) {
  char line[160];
  const double part = 100.0 / seconds;
  std::snprintf(
      line, sizeof line,
      "\n%.2f ms of CPU time per slot: %.0f %% in estimators, %.0f %% in decoders, %.0f %% "
      "elsewhere\n",
      1e3 * seconds / n_slots, part * in_estimators, part * in_decoders,
      part * (seconds - in_estimators - in_decoders));
  return line;
}

double snr_at_bler(std::vector<std::pair<double, double>> curve, double bler) {
  std::sort(curve.begin(), curve.end());
  for (std::size_t i = 1; i < curve.size(); ++i) {
    const auto [x0, y0] = curve[i - 1];
    const auto [x1, y1] = curve[i];
    if (!(y0 > bler && y1 <= bler)) continue;
    if (y1 <= 0.0) return arma::datum::nan;  // somewhere between
    const double part = std::log(y0 / bler) / std::log(y0 / y1);
    return x0 + part * (x1 - x0);
  }
  return arma::datum::nan;
}

const std::vector<Column>& columns(const Results& results) {
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
      {"nmse_predicted", [](const Row& row) { return row.nmse_predicted; }},
      {"n_reset", [](const Row& row) { return double(row.n_reset); }}};
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
  static const std::vector<Column> of_grid = [] {
    std::vector<Column> all = of_sweep;
    all.push_back({"nmse_pilots", [](const Row& row) { return row.nmse_pilots; }});
    all.push_back({"pilot_energy", [](const Row& row) { return row.pilot_energy; }});
    return all;
  }();
  static const std::vector<Column> of_coded = [] {
    std::vector<Column> all = of_sweep;
    const std::vector<Column> coded{
        {"bler", [](const Row& row) { return row.bler; }},
        {"bler_ci95_low", [](const Row& row) { return row.bler_ci95_low; }},
        {"bler_ci95_high", [](const Row& row) { return row.bler_ci95_high; }},
        {"bler_first", [](const Row& row) { return row.bler_first; }},
        {"throughput", [](const Row& row) { return row.throughput; }},
        {"throughput_ci95_low", [](const Row& row) { return row.throughput_ci95_low; }},
        {"throughput_ci95_high", [](const Row& row) { return row.throughput_ci95_high; }},
        {"ber", [](const Row& row) { return row.ber; }},
        {"coded_ber", [](const Row& row) { return row.coded_ber; }},
        {"transmissions", [](const Row& row) { return row.transmissions; }},
        {"iterations", [](const Row& row) { return row.iterations; }},
        {"n_blocks", [](const Row& row) { return row.n_blocks; }},
        {"info_bits", [](const Row& row) { return row.info_bits; }},
        {"code_rate", [](const Row& row) { return row.code_rate; }}};
    all.insert(all.begin() + 5, coded.begin(), coded.end());
    all.push_back({"pilot_energy", [](const Row& row) { return row.pilot_energy; }});
    return all;
  }();
  if (results.kind == ResultKind::link) return of_link;
  if (results.kind == ResultKind::coded_link) return of_coded;
  return results.grid.is_grid() ? of_grid : of_sweep;
}

std::string to_csv(const Results& results) {
  // The modulation stands before the first column of its kind of link.
  const std::string link = results.kind == ResultKind::link         ? "ser"
                           : results.kind == ResultKind::coded_link ? "bler"
                                                                    : "";
  std::string text = "estimator,pilots";
  for (const Column& column : columns(results)) {
    if (link == column.name) text += ",modulation";
    text += std::string(",") + column.name;
  }
  text += ",seed,snr_definition,method,fitted_on\n";
  for (const Row& row : rows(results)) {
    text += csv_field(row.estimator) + "," + csv_field(row.pilots);
    for (const Column& column : columns(results)) {
      if (link == column.name) text += "," + row.modulation;
      text += "," + csv_number(column.value(row));
    }
    text += "," + std::to_string(results.provenance.seed) + "," + csv_field(snr_definition) + "," +
            csv_field(row.method) + "," + csv_field(row.fitted_on) + "\n";
  }
  return text;
}

std::string to_table(const Results& results) {
  const bool coded = results.kind == ResultKind::coded_link;
  const bool link = results.kind == ResultKind::link || coded;
  const std::vector<Row> all = rows(results);
  std::string text = coded  ? "BLER after the last transmission"
                     : link ? "BER"
                            : "NMSE in dB (sum ||h_hat - h||^2 / sum ||h||^2)";
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
        text += coded ? "   n_blocks\n" : "  n_samples\n";
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
          std::snprintf(cell, sizeof cell, "%*.3e", widths[e], coded ? row.bler : row.ber);
        else
          std::snprintf(cell, sizeof cell, "%*.2f", widths[e], row.nmse_db);
        text += cell;
      }
      std::snprintf(cell, sizeof cell, "%11llu\n",
                    static_cast<unsigned long long>(coded ? all[i_row].n_blocks
                                                          : double(all[i_row].n_samples)));
      text += cell;
      i_row += per_point;
    }
  }
  if (coded) text += gap_text(results, all) + link_time_text(results, all);
  std::set<std::string> told;
  for (const Row& row : all)
    if (!row.fitted_on.empty() && told.insert(row.estimator).second)
      text += "\n" + row.estimator + " was " + row.fitted_on +
              ": its figures are better than on others\n";
  arma::uword n_reset = 0;
  for (const Row& row : all) n_reset += row.n_reset;
  if (n_reset > 0) {
    text += "\n" + std::to_string(n_reset) +
            " estimates left the range of numbers on the way and were set to 0 there (n_reset)\n";
  }
  return text;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
