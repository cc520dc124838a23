#include <chest/sim/plot.hpp>

#include <ostream>

#include <chest/error.hpp>

#include "args.hpp"

namespace chest::cli {

int plot(const Args& args, std::ostream& out) {
  std::vector<std::string> files;
  std::string drawing, x = "snr";
  sim::PlotOptions options;
  bool force = false;
  CommandLine line(
      "plot", "chest plot RESULTS.h5 [MORE.h5 ...] --out FIGURE.svg [options]",
      "Draws results with gnuplot: the NMSE (or the BER of a link run) over SNR, a panel "
      "per choice of\npilots, or over the number of pilots, a panel per SNR.");
  auto flag = line.flags().add_options();
  flag("files", optional_field(files), "results files; the words without a flag");
  flag("out", optional_field(drawing), ".svg, .png, .pdf, or .gp for the gnuplot commands");
  flag("x", field(x), "snr or n_pilots");
  flag("title", optional_field(options.title), "above all panels");
  flag("force", po::bool_switch(&force), "replace an existing file");
  line.positional("files", -1);
  if (!line.parse(args, out)) return 0;
  line.require("files", "the results files to draw");
  line.require("out", "the figure to write");
  if (x != "snr" && x != "n_pilots")
    throw Error(ErrorKind::invalid_argument,
                "chest plot: --x is '" + x + "', expected snr or n_pilots");
  options.x = x == "snr" ? sim::PlotAxis::snr : sim::PlotAxis::n_pilots;
  check_output(drawing, force);
  sim::check_plot(drawing);

  std::vector<sim::NamedResults> results;
  for (const std::string& file : files)
    results.push_back({std::filesystem::path(file).stem().string(), sim::load_results(file)});
  sim::plot(results, drawing, options);
  out << drawing << '\n';
  return 0;
}

}  // namespace chest::cli
