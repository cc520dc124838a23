#include <chest/sim/link.hpp>

#include <algorithm>
#include <initializer_list>

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
  std::string mcs;
  CommandLine line(
      "link",
      "--channels FILE --estimators LIST [--modulation LIST] [--model FILE ...] "
      "[--snr RANGE] [--pilots LIST] --out FILE [options]",
      "Data over the same channels after the pilots, detected with the estimates and their error "
      "variances: over matrices uncoded streams (SER, BER, rate), over grids 5G transport blocks "
      "(BLER, throughput; docs/link.md). The last row of every point knows the channel.");
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
  line.flag("harq", &coded.pusch.n_transmissions, "N",
            "transmissions of a block at most, each over a sample");
  receiver.add(line);
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
  return execute(
      line, flags, context,
      [&](const SampleReader& samples, const sim::CovarianceReader& covariances,
          const sim::EstimatorFactory& make, const sim::SweepOptions& run,
          const RunControl& control) {
        if (!samples.grid.is_grid()) {
          refuse_flags(line,
                       {"code-rate", "mcs", "info-bits", "layers", "harq", "detector", "demapper",
                        "decoder", "schedule", "precision", "iterations"},
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
        return sim::run_coded_link(samples, covariances, make, coded, control);
      });
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
