#include <ostream>

#include <chest/error.hpp>
#include <chest/sim/plot.hpp>
#include <chest/sim/results.hpp>

#include "run_flags.hpp"

namespace chest::cli {

int merge(const Args& args, std::ostream& out) {
  std::vector<std::string> files;
  std::string merged_file, csv, plot_file;
  bool force = false;
  CommandLine line(
      "merge", "chest merge A.h5 B.h5 ... --out FILE [options]",
      "Puts the shards of a sweep or link run together. The file equals that of the run "
      "in one piece,\ntimings aside.");
  auto flag = line.flags().add_options();
  flag("files", optional_field(files), "results of all shards; the words without a flag");
  flag("out", optional_field(merged_file), "results file to write");
  flag("csv", optional_field(csv), "the results as CSV");
  flag("plot", optional_field(plot_file), "the results as .svg, .png, .pdf, or .gp for gnuplot");
  flag("force", po::bool_switch(&force), "replace existing files");
  line.positional("files", -1);
  if (!line.parse(args, out)) return 0;
  line.require("files", "the results files of all shards");
  line.require("out", "the file to write");
  for (const std::string& file : {merged_file, csv, plot_file})
    if (!file.empty()) check_output(file, force);
  if (!plot_file.empty()) sim::check_plot(plot_file);

  std::vector<sim::Results> shards;
  for (const std::string& file : files) shards.push_back(sim::load_results(file));
  sim::Results merged = sim::merge(shards);
  merged.provenance.command_line = line.command_line();
  sim::save(merged_file, merged);
  write_csv_and_plot(merged, csv, plot_file);
  out << sim::to_table(merged);
  return 0;
}

}  // namespace chest::cli
