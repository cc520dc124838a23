#include <algorithm>
#include <cmath>
#include <iomanip>
#include <ostream>
#include <sstream>

#include <chest/channels/dataset.hpp>
#include <chest/error.hpp>
#include <chest/estimators/analysis/compare.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/sim/figure.hpp>
#include <chest/sim/plot.hpp>
#include <chest/text.hpp>

#include "commands.hpp"
#include "flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

/// Pairs of channels are held in memory.
constexpr arma::uword most_compared = 20'000;

struct CompareFlags {
  std::vector<std::string> files;
  std::string samples_b = ":", estimator = "lmmse", snr = "0,10,20", csv, plot;
  arma::uword n = 1000, n_permutations = 200, n_projections = 64;
  bool force = false;
  ChannelFlags channels;
  CommonFlags common;
};

void declare(CommandLine& line, CompareFlags& o) {
  line.flag("files", &o.files, "FILE[:DATASET]",
            "the two files of channels; the words after compare");
  line.flag("n", &o.n, "N", "channels of each, at most, spread over those asked for").most =
      most_compared;
  line.flag("permutations", &o.n_permutations, "N", "of the test; 0: no p-values").most = 1'000'000;
  line.flag("projections", &o.n_projections, "N", "of the sliced distance").most = 100'000;
  line.flag("estimator", &o.estimator, "lmmse|gmm|none",
            "fitted on half of a file, tested on half of either");
  line.flag("snr", &o.snr, "DB", "SNRs of its NMSE: first:step:last or a list");
  o.channels.add(line, "");
  line.flag("samples-b", &o.samples_b, "FIRST:END", "samples of the second file").default_text =
      "all";
  line.section("output");
  line.output("csv", &o.csv, "the table as CSV");
  line.output("plot", &o.plot, "figure of spectra, power and rank");
  line.flag("force", &o.force, "replaces existing files");
  o.common.add(line, "of projections, permutations and noise", CommonFlags::Networks::none);
  line.positional("files", 2);
}

/// A set of channels, in memory.
struct ChannelSet {
  std::string name;
  arma::cx_mat h;
  arma::uword n_rx, n_tx;
  GridAxes grid;
};

ChannelSet read_set(const CompareFlags& o, const std::string& file, const std::string& samples) {
  ChannelFlags flags = o.channels;
  flags.channels = file;
  flags.samples = samples;
  const Dataset dataset = flags.open();
  const SampleReader reader = spread(flags.samples_of(dataset, flags.range(dataset)), o.n);
  return {file, reader.read(0, reader.n_samples), reader.n_rx, reader.n_tx, reader.grid};
}

std::string csv_of(const Comparison& comparison) {
  std::ostringstream out;
  out << "statistic,value,value_if_alike,p\n";
  for (const ComparisonRow& row : comparison.rows) {
    out << row.name << ',' << number_text(row.value) << ',' << number_text(row.alike) << ','
        << number_text(row.p) << '\n';
  }
  static constexpr const char* sets[] = {"a", "b"};
  for (const CrossNmse& cross : comparison.cross) {
    for (arma::uword k = 0; k < 2; ++k) {
      for (arma::uword j = 0; j < 2; ++j) {
        out << "nmse_db_fitted_on_" << sets[k] << "_tested_on_" << sets[j] << "_at_"
            << number_text(cross.snr_db) << "_db," << number_text(to_db(cross.nmse(k, j)))
            << ",nan,nan\n";
      }
    }
  }
  return out.str();
}

void print_comparison(const ChannelSet& a, const ChannelSet& b, const Comparison& comparison,
                      const std::string& estimator, std::ostream& out) {
  out << "a  " << a.name << ", " << a.h.n_cols << " channels " << size_text(a.n_rx, a.n_tx, a.grid)
      << "\nb  " << b.name << ", " << b.h.n_cols << " channels\n\n"
      << std::left << std::setw(20) << "statistic" << std::right << std::setw(12) << "value"
      << std::setw(12) << "if alike" << std::setw(9) << "p" << '\n';
  const auto number = [](double value) {
    std::ostringstream text;
    if (std::isnan(value)) return std::string("-");
    text << std::setprecision(4) << value;
    return text.str();
  };
  for (const ComparisonRow& row : comparison.rows) {
    out << std::left << std::setw(20) << row.name << std::right << std::setw(12)
        << number(row.value) << std::setw(12) << number(row.alike) << std::setw(9) << number(row.p)
        << "  " << row.meaning << '\n';
  }
  if (!comparison.cross.empty()) {
    out << "\nNMSE in dB of " << estimator << ", pilots identity\n"
        << std::setw(8) << "SNR" << std::setw(12) << "a on a" << std::setw(12) << "b on a"
        << std::setw(12) << "a on b" << std::setw(12) << "b on b"
        << "  (fitted on, tested on)\n"
        << std::fixed << std::setprecision(2);
    for (const CrossNmse& cross : comparison.cross) {
      out << std::setw(8) << number(cross.snr_db);
      for (const double value :
           {cross.nmse(0, 0), cross.nmse(1, 0), cross.nmse(0, 1), cross.nmse(1, 1)}) {
        out << std::setw(12) << to_db(value);
      }
      out << '\n';
    }
    out << std::defaultfloat;
  }
  const double p = comparison.corrected_p();
  if (std::isnan(p)) return;
  out << "\nthe least p times the number of tests is " << number(p)
      << (p < 0.05 ? ": the sets differ\n" : ": no difference was found\n");
}

sim::FigurePanel spectrum_panel(const std::string& title, const arma::mat& spectra) {
  sim::FigurePanel panel;
  panel.title = title;
  panel.x_label = "bin";
  panel.y_label = "share of the power in dB";
  const arma::vec x = arma::regspace(0.0, double(spectra.n_rows) - 1.0);
  for (arma::uword i = 0; i < 2; ++i) {
    panel.curves.push_back({i == 0 ? "a" : "b", x, 10.0 * arma::log10(spectra.col(i))});
  }
  return panel;
}

sim::FigurePanel distribution_panel(const std::string& title, const std::string& x_label,
                                    const arma::vec& a, const arma::vec& b) {
  sim::FigurePanel panel;
  panel.title = title;
  panel.x_label = x_label;
  panel.y_label = "share of channels below";
  for (const arma::vec* x : {&a, &b}) {
    panel.curves.push_back({x == &a ? "a" : "b", arma::sort(*x),
                            arma::linspace(1.0 / double(x->n_elem), 1.0, x->n_elem)});
  }
  return panel;
}

void draw(const ChannelSet& a, const ChannelSet& b, const Comparison& comparison,
          const std::string& file) {
  sim::Figure figure;
  figure.title = "a: " + a.name + "   b: " + b.name;
  if (a.n_rx > 1) {
    figure.panels.push_back(spectrum_panel("receive angles", comparison.rx_angles));
  }
  if (a.n_tx > 1) {
    figure.panels.push_back(spectrum_panel("transmit angles", comparison.tx_angles));
  }
  if (a.grid.n_subcarriers > 1) {
    figure.panels.push_back(spectrum_panel("delays", comparison.delays));
  }
  figure.panels.push_back(distribution_panel("power", "power per entry in dB",
                                             10.0 * arma::log10(comparison.power_a),
                                             10.0 * arma::log10(comparison.power_b)));
  figure.panels.push_back(
      distribution_panel("rank", "effective rank", comparison.rank_a, comparison.rank_b));
  sim::draw_figure(figure, file);
}

}  // namespace

int compare(const Args& args, Context& context) {
  CompareFlags o;
  CommandLine line("compare", "A B [options]",
                   "Says whether two files of channels hold draws of one distribution: distances "
                   "with a permutation test, and the NMSE of an estimator fitted on one and "
                   "tested on the other (docs/sampling.md).");
  declare(line, o);
  if (!line.parse(args, context)) return 0;
  line.require("files", "two files of channels");
  if (o.files.size() != 2) refuse("compare takes two files, A and B; one was given: " + o.files[0]);
  if (o.n_projections == 0) refuse("--projections is 0, expected 1 or more");
  for (const std::string* file : {&o.csv, &o.plot}) {
    if (!file->empty()) check_output(*file, o.force);
  }
  if (!o.plot.empty()) sim::check_plot(o.plot);
  CompareOptions options;
  options.n_permutations = o.n_permutations;
  options.n_projections = o.n_projections;
  options.estimator = o.estimator == "none"    ? CompareEstimator::none
                      : o.estimator == "lmmse" ? CompareEstimator::lmmse
                                               : CompareEstimator::gmm;
  options.snr_db = parse_range(o.snr, "--snr");
  options.seed = o.common.seed;
  options.n_threads = o.common.n_threads();

  const ChannelSet a = read_set(o, o.files[0], o.channels.samples);
  const ChannelSet b = read_set(o, o.files[1], o.samples_b);
  if (a.n_rx != b.n_rx || a.n_tx != b.n_tx || a.grid.text() != b.grid.text()) {
    refuse(a.name + " holds channels " + size_text(a.n_rx, a.n_tx, a.grid) + ", " + b.name + " " +
           size_text(b.n_rx, b.n_tx, b.grid));
  }
  const Comparison comparison = compare_channels(a.h, b.h, a.n_rx, a.n_tx, a.grid, options);
  print_comparison(a, b, comparison, o.estimator, context.out);
  if (!o.csv.empty()) write_text_file(o.csv, csv_of(comparison));
  if (!o.plot.empty()) draw(a, b, comparison, o.plot);
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
