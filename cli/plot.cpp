#include <chest/sim/plot.hpp>

#include <ostream>

#include <chest/error.hpp>
#include <chest/sim/conformance.hpp>

#include "commands.hpp"
#include "flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

int plot(const Args& args, Context& context) {
  std::vector<std::string> files;
  std::string drawing, x = "snr";
  sim::PlotOptions options;
  bool force = false;
  CommandLine line(
      "plot", "RESULTS.h5 [MORE.h5 ...] --out FIGURE.svg [options]",
      "Draws results with gnuplot: the NMSE (or the BER of a link run) over SNR, a "
      "panel per choice of pilots, or over the number of pilots, a panel per SNR; or the "
      "throughput of a conformance run, a panel per cell.");
  line.flag("files", &files, "FILE", "results files; the words without a flag");
  line.output("out", &drawing, "a name in .svg, .png, .pdf, or .gp for gnuplot commands");
  line.flag("x", &x, "snr|n_pilots", "what the figure is over");
  line.flag("title", &options.title, "TEXT", "above all panels");
  line.flag("force", &force, "replaces an existing file");
  line.positional("files", -1);
  if (!line.parse(args, context)) return 0;
  line.require("files", "the results files to draw");
  line.require("out", "the figure to write");
  options.x = x == "snr" ? sim::PlotAxis::snr : sim::PlotAxis::n_pilots;
  check_output(drawing, force);
  sim::check_plot(drawing);

  if (sim::is_conformance_file(files.front())) {
    if (files.size() > 1) refuse("results of chest conformance are drawn one file at a time");
    sim::plot(sim::load_conformance(files.front()), drawing);
    context.out << drawing << '\n';
    return 0;
  }
  std::vector<sim::NamedResults> results;
  for (const std::string& file : files)
    results.push_back({std::filesystem::path(file).stem().string(), sim::load_results(file)});
  sim::plot(results, drawing, options);
  context.out << drawing << '\n';
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
