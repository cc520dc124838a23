#include <ostream>

#include <chest/file.hpp>
#include <chest/sim/conformance.hpp>
#include <chest/sim/plot.hpp>
#include <chest/sim/results.hpp>

#include "commands.hpp"
#include "run_flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

int merge(const Args& args, Context& context) {
  std::vector<std::string> files;
  std::string merged_file, csv, plot_file;
  bool force = false;
  CommandLine line("merge", "A.h5 B.h5 ... --out FILE [options]",
                   "Puts the shards of a sweep, link or conformance run together. The file equals "
                   "that of the run in one piece, timings aside.");
  line.flag("files", &files, "FILE", "results of all shards; the words without a flag");
  line.output("out", &merged_file, "results file to write");
  line.output("csv", &csv, "also the results as CSV");
  line.output("plot", &plot_file,
              "also a figure, a name in .svg, .png, .pdf, or .gp for gnuplot commands");
  line.flag("force", &force, "replaces existing files");
  line.positional("files", -1);
  if (!line.parse(args, context)) return 0;
  line.require("files", "the results files of all shards");
  line.require("out", "the file to write");
  for (const std::string& file : {merged_file, csv, plot_file})
    if (!file.empty()) check_output(file, force);
  if (!plot_file.empty()) sim::check_plot(plot_file);

  if (sim::is_conformance_file(files.front())) {
    std::vector<sim::ConformanceResults> parts;
    for (const std::string& file : files) parts.push_back(sim::load_conformance(file));
    sim::ConformanceResults merged = sim::merge(parts);
    merged.provenance.command_line = line.command_line();
    sim::save(merged_file, merged);
    if (!csv.empty()) write_text_file(csv, sim::to_csv(merged));
    if (!plot_file.empty()) sim::plot(merged, plot_file);
    context.out << sim::to_table(merged);
    return 0;
  }
  std::vector<sim::Results> shards;
  for (const std::string& file : files) shards.push_back(sim::load_results(file));
  sim::Results merged = sim::merge(shards);
  merged.provenance.command_line = line.command_line();
  sim::save(merged_file, merged);
  write_csv_and_plot(merged, csv, plot_file);
  context.out << sim::to_table(merged);
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
