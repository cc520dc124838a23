#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <chest/sim/sweep.hpp>
#include <chest/spec.hpp>

#include "flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// Where a run writes: a results file from which it continues, and what is made of it.
struct RunOutputs {
  std::string out, csv, plot;
  bool force = false;

  /// --out, --csv, --plot and --force.
  void add(CommandLine& line);
  /// The part of the run that --shard names; where auto found several processes, {shard} in the names becomes its number.
  /// @throws Error(invalid_argument)
  sim::Shard choose_shard(const std::string& text);
  /// @param csv_of  the CSV of a results file
  /// @return whether the figure is drawn: that of a run that continues is drawn at its end, so one
  ///         that is there is of the finished run, or not of this one at all
  /// @throws Error(invalid_argument) if a file is there that is not of this run
  bool check(const std::function<std::string(const std::string&)>& csv_of) const;
  /// @throws Error(interrupted) with what to do
  [[noreturn]] void refuse_unfinished() const;
};

/// Declares --shard.
void add_shard_flag(CommandLine& line, std::string& shard);

/// The model files of --model, and those that estimators name themselves.
std::vector<std::string> all_models(const std::vector<std::string>& models,
                                    const std::vector<NamedOptions>& estimators);
/// Adds what estimators make numbers from, by content: models, device, engine, options with their defaults.
void describe_estimators(const std::vector<std::string>& models,
                         const std::vector<NamedOptions>& estimators, const Catalog& catalog,
                         const EstimatorContext& known, nlohmann::ordered_json& json);

/// What `chest sweep` and `chest link` have in common: channels, models, points, outputs.
struct RunFlags {
  ChannelFlags channels;
  std::vector<std::string> models;
  RunOutputs outputs;
  std::string snr = "-10:5:20", pilots = "identity", estimators = "ls", shard = "1/1", side;
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
