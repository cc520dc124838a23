// Results as CSV and as a table for people.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include <chest/metrics.hpp>
#include <chest/sim/results.hpp>
#include <chest/text.hpp>

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

}  // namespace

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
  if (results.kind == ResultKind::link) return of_link;
  return results.grid.is_grid() ? of_grid : of_sweep;
}

std::string to_csv(const Results& results) {
  const bool link = results.kind == ResultKind::link;
  std::string text = "estimator,pilots";
  for (const Column& column : columns(results)) {
    if (link && std::string("ser") == column.name) text += ",modulation";
    text += std::string(",") + column.name;
  }
  text += ",seed,snr_definition,method,fitted_on\n";
  for (const Row& row : rows(results)) {
    text += csv_field(row.estimator) + "," + csv_field(row.pilots);
    for (const Column& column : columns(results)) {
      if (link && std::string("ser") == column.name) text += "," + row.modulation;
      text += "," + csv_number(column.value(row));
    }
    text += "," + std::to_string(results.provenance.seed) + "," + csv_field(snr_definition) + "," +
            csv_field(row.method) + "," + csv_field(row.fitted_on) + "\n";
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
