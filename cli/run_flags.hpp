#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include <chest/sim/sweep.hpp>

#include "args.hpp"

namespace chest::cli {

/// What `chest sweep` and `chest link` have in common: channels, models, points, outputs.
struct RunFlags {
  ChannelFlags channels;
  std::vector<std::string> models;
  std::string out, csv, plot;
  std::string snr = "-10:5:20", pilots = "identity", estimators = "ls", shard = "1/1";
  std::string device = "cpu";
  arma::uword block = 0;
  sim::SweepOptions options;  ///< defaults, and the flags that fill it directly
  std::string stop_rel_help =
      "stop a point when the 95 % interval of the NMSE of every estimator is "
      "within +- this part; 0: use all samples";

  RunFlags() { options.n_threads = 0; }
  void add(CommandLine& line);
};

/// The estimators and their options, a line each, for --help.
std::string estimator_help();

/// Opens the channels, runs, and hands out the results: table on stdout, CSV and plot where asked
/// for.
/// @param run  run_sweep() or run_link() with everything but the options bound
/// @return the exit status
int execute(const CommandLine& line, RunFlags& flags, std::ostream& out,
            const std::function<sim::Results(const SampleReader&, const sim::CovarianceReader&,
                                             const sim::EstimatorFactory&, const sim::SweepOptions&,
                                             const RunControl&)>& run);

/// Writes CSV and plot of results; empty names are left out.
void write_csv_and_plot(const sim::Results& results, const std::string& csv,
                        const std::string& plot);

}  // namespace chest::cli
