#include <chest/sim/link.hpp>

#include <chest/text.hpp>

#include "commands.hpp"
#include "run_flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

int link(const Args& args, Context& context) {
  RunFlags flags;
  flags.stops_at = "BER";
  sim::LinkOptions options;
  std::string modulations = "qpsk";
  bool no_error_variance = false;
  CommandLine line("link",
                   "--channels FILE --estimators LIST [--modulation LIST] [--model FILE ...] "
                   "[--snr RANGE] [--pilots LIST] --out FILE [options]",
                   "SER, BER and achievable rate of data sent over the same channels after the "
                   "pilots, one stream per transmit antenna, detected by linear MMSE with the "
                   "estimate and its error variance. Perfect channel knowledge is the last row of "
                   "every point.");
  line.section("link");
  line.flag("modulation", &modulations, "LIST", "of qpsk, 16qam, 64qam and 256qam");
  line.flag("n-data", &options.n_data, "N", "data symbol vectors per channel");
  line.flag("no-error-variance", &no_error_variance, "the detector takes the estimates for exact");
  flags.add(line);
  if (!line.parse(args, context)) return 0;
  options.modulations = split(modulations, ',');
  options.error_variance = !no_error_variance;
  return execute(line, flags, context,
                 [&](const SampleReader& samples, const sim::CovarianceReader& covariances,
                     const sim::EstimatorFactory& make, const sim::SweepOptions& run,
                     const RunControl& control) {
                   options.run = run;
                   return sim::run_link(samples, covariances, make, options, control);
                 });
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
