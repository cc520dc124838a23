#include <chest/sim/link.hpp>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <ostream>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/sim/coded_link.hpp>
#include <chest/text.hpp>

#include "commands.hpp"
#include "link_flags.hpp"
#include "run_flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

/// @throws Error(invalid_argument) if one of these flags was given
void refuse_flags(const CommandLine& line, std::initializer_list<const char*> flags,
                  const std::string& why) {
  for (const char* flag : flags)
    if (line.given(flag)) refuse("--" + std::string(flag) + " " + why);
}

}  // namespace

int link(const Args& args, Context& context) {
  RunFlags flags;
  flags.stops_at = "BER (BLER)";
  sim::LinkOptions options;
  sim::CodedLinkOptions coded;
  ReceiverFlags receiver;
  std::string modulations = "qpsk";
  std::string mcs, interference, beside, replay, dump;
  CommandLine line(
      "link", "--channels FILE --estimators LIST [--snr RANGE] [--pilots LIST] [options]",
      "Data over the same channels after the pilots, detected with the estimates: uncoded streams "
      "over matrices, 5G transport blocks over grids (docs/link.md). The last row knows the "
      "channel.");
  line.section("link");
  line.flag("modulation", &modulations, "LIST", "of qpsk, 16qam, 64qam and 256qam; on grids one");
  line.flag("n-data", &options.n_data, "N", "data symbol vectors per channel; matrices only");
  line.section("transport blocks, on grids");
  line.flag("code-rate", &coded.pusch.code_rate, "X", "target, above 0, below 1");
  line.flag("mcs", &mcs, "[TABLE:]N",
            "in place of --modulation and --code-rate; tables 1, 2 (256-QAM), 3")
      .default_text = "";
  line.flag("info-bits", &coded.pusch.n_info_bits, "N",
            "of a transport block; 0: the size of 38.214");
  line.flag("layers", &coded.pusch.n_layers, "N",
            "transmit antennas that send data, 1 .. 4; 0: all");
  line.flag("layer-codes", &coded.pusch.layer_codes, "a transport block of its own for each layer");
  line.flag("harq", &coded.pusch.n_transmissions, "N",
            "transmissions of a block at most, each over a sample");
  receiver.add(line);
  line.flag("interference", &interference, "DB[:RANK]",
            "another user, over the noise, with so many antennas")
      .default_text = "";
  line.flag("beside", &beside, "LIST",
            "further rows of each estimator: white, untold, data1 .. (docs/link.md); X:data=N "
            "among the estimators is the row X+dataN alone")
      .default_text = "";
  line.flag("stop-errors", &flags.options.stop_errors, "N",
            "block errors of every row that end a point; 0: none");
  line.flag("replay", &replay, "SNR:BLOCK",
            "looks at one block: its number, or lost, the first that is")
      .default_text = "";
  line.output("dump", &dump, "where it is written: channels, received, estimates, LLRs, bits");
  flags.add(line);
  if (!line.parse(args, context)) return 0;
  options.modulations = split(modulations, ',');
  options.error_variance = !receiver.no_error_variance;
  if (!mcs.empty()) {
    const std::vector<std::string> parts = split("1:" + mcs, ':');
    if (parts.size() > 3)
      refuse("--mcs is '" + mcs + "', expected a row, or a table and a row as in 2:14");
    coded.pusch.mcs_table = static_cast<unsigned>(
        std::min<arma::uword>(to_count(parts[parts.size() - 2], "table of --mcs"), 99));
    coded.pusch.mcs = to_count(parts.back(), "row of --mcs");
  }
  receiver.fill(line, coded.pusch);
  if (!interference.empty()) coded.interference = sim::parse_interference(interference);
  if (!beside.empty()) coded.beside = sim::parse_beside(beside);
  if (dump.empty() != replay.empty())
    refuse("--replay and --dump go together: which block, and the file for it");
  if (!replay.empty()) {
    refuse_flags(line, {"out", "csv", "plot", "shard", "stop-rel", "stop-errors"},
                 "is of a whole run; --replay is of one block");
    check_output(dump, flags.outputs.force);
  }
  return execute(
      line, flags, context,
      [&](const SampleReader& samples, const sim::CovarianceReader& covariances,
          const sim::EstimatorFactory& make, const sim::SweepOptions& run,
          const RunControl& control) -> std::optional<sim::Results> {
        if (!samples.grid.is_grid()) {
          refuse_flags(line,
                       {"code-rate", "mcs", "info-bits", "layers", "layer-codes", "harq",
                        "detector", "demapper", "decoder", "schedule", "precision", "iterations",
                        "interference", "beside", "stop-errors"},
                       "is of transport blocks, which are sent over grids; these channels are "
                       "matrices");
          options.run = run;
          return sim::run_link(samples, covariances, make, options, control);
        }
        refuse_flags(line, {"n-data"},
                     "is for matrices; over a grid data takes the elements without pilots");
        if (!mcs.empty())
          refuse_flags(line, {"modulation", "code-rate"}, "is said by --mcs too; give one of them");
        if (options.modulations.size() != 1)
          refuse("--modulation names " + std::to_string(options.modulations.size()) +
                 " modulations, transport blocks have one");
        coded.pusch.modulation = options.modulations.front();
        coded.run = run;
        if (replay.empty()) return sim::run_coded_link(samples, covariances, make, coded, control);
        const sim::ReplayedBlock block = sim::replay_coded_link(samples, covariances, make, coded,
                                                                sim::parse_replay(replay), control);
        Provenance provenance;
        provenance.seed = run.seed;
        provenance.command_line = run.command_line;
        provenance.options = run.inputs;
        sim::save(dump, block, provenance);
        context.out << sim::to_text(block);
        return {};
      });
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
