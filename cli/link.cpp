#include <chest/sim/link.hpp>

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
  flags.stops_at = "BER, or of the BLER of transport blocks,";
  sim::LinkOptions options;
  sim::CodedLinkOptions coded;
  ReceiverFlags receiver;
  std::string modulations = "qpsk";
  std::optional<arma::uword> mcs;
  CommandLine line(
      "link",
      "--channels FILE --estimators LIST [--modulation LIST] [--model FILE ...] "
      "[--snr RANGE] [--pilots LIST] --out FILE [options]",
      "Data over the same channels after the pilots, detected with the estimates and "
      "their error variances. Over matrices uncoded streams, one per transmit antenna: "
      "SER, BER and achievable rate. Over grids 5G transport blocks (docs/link.md): "
      "BLER and throughput. Perfect channel knowledge is the last row of every point.");
  line.section("link");
  line.flag("modulation", &modulations, "LIST", "of qpsk, 16qam, 64qam and 256qam; on grids one");
  line.flag("n-data", &options.n_data, "N", "data symbol vectors per channel; matrices only");
  line.section("transport blocks, on grids");
  line.flag("code-rate", &coded.pusch.code_rate, "X", "target, above 0, below 1");
  line.flag("mcs", &mcs, "N", "row of --mcs-table in place of --modulation and --code-rate");
  line.flag("mcs-table", &coded.pusch.mcs_table, "N", "1 (64-QAM), 2 (256-QAM), 3 (low rates)");
  line.flag("info-bits", &coded.pusch.n_info_bits, "N",
            "of a transport block; 0: the size of 38.214");
  line.flag("layers", &coded.pusch.n_layers, "N",
            "transmit antennas that send data, 1 .. 4; 0: all");
  line.flag("harq", &coded.pusch.n_transmissions, "N",
            "transmissions of a block, at most; each takes a sample of the channels");
  receiver.add(line);
  flags.add(line);
  if (!line.parse(args, context)) return 0;
  options.modulations = split(modulations, ',');
  options.error_variance = !receiver.no_error_variance;
  coded.pusch.mcs = mcs;
  receiver.fill(line, coded.pusch);
  return execute(
      line, flags, context,
      [&](const SampleReader& samples, const sim::CovarianceReader& covariances,
          const sim::EstimatorFactory& make, const sim::SweepOptions& run,
          const RunControl& control) {
        if (!samples.grid.is_grid()) {
          refuse_flags(line,
                       {"code-rate", "mcs", "mcs-table", "info-bits", "layers", "harq", "detector",
                        "demapper", "decoder", "schedule", "precision", "iterations"},
                       "is of transport blocks, which are sent over grids; these channels are "
                       "matrices");
          options.run = run;
          return sim::run_link(samples, covariances, make, options, control);
        }
        refuse_flags(line, {"n-data"},
                     "is for matrices; over a grid data takes the elements without pilots");
        if (mcs)
          refuse_flags(line, {"modulation", "code-rate"}, "is said by --mcs too; give one of them");
        if (!mcs) refuse_flags(line, {"mcs-table"}, "says nothing without --mcs");
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
