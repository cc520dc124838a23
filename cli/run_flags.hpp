#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <chest/sim/sweep.hpp>

#include "flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// What `chest sweep` and `chest link` have in common: channels, models, points, outputs.
struct RunFlags {
  ChannelFlags channels;
  std::vector<std::string> models;
  std::string out, csv, plot;
  std::string snr = "-10:5:20", pilots = "identity", estimators = "ls", shard = "1/1";
  arma::uword block = 0;
  CommonFlags common;
  sim::SweepOptions options;      ///< defaults, and the flags that fill it directly
  std::string stops_at = "NMSE";  ///< what --stop-rel looks at

  void add(CommandLine& line);
};

/// Opens the channels, runs, and hands out the results: table on stdout, CSV and plot where asked
/// for.
/// @param run  run_sweep() or run_link() with everything but the options bound; empty: it showed what it found itself
/// @return the exit status
int execute(const CommandLine& line, RunFlags& flags, Context& context,
            const std::function<std::optional<sim::Results>(
                const SampleReader&, const sim::CovarianceReader&, const sim::EstimatorFactory&,
                const sim::SweepOptions&, const RunControl&)>& run);

/// Writes CSV and plot of results; empty names are left out.
void write_csv_and_plot(const sim::Results& results, const std::string& csv,
                        const std::string& plot);

}  // namespace cli
}  // namespace v0
}  // namespace chest
