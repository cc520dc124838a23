#include <chest/sim/link.hpp>

#include <chest/text.hpp>

#include "run_flags.hpp"

namespace chest::cli {

int link(const Args& args, std::ostream& out) {
  RunFlags flags;
  flags.stop_rel_help =
      "stop a point when the 95 % interval of the BER of every estimator is within +- this part; "
      "0: "
      "use all samples";
  sim::LinkOptions options;
  std::string modulations = "qpsk";
  bool no_error_variance = false;
  CommandLine line("link",
                   "chest link --channels FILE --estimators LIST [--modulation LIST] [--model FILE "
                   "...] [--snr=RANGE] [--pilots LIST] --out FILE [options]",
                   "SER, BER and achievable rate of data sent over the same channels after the "
                   "pilots, one stream\nper transmit antenna, detected by linear MMSE with the "
                   "estimate and its error variance;\nperfect channel knowledge is the last row of "
                   "every point." +
                       estimator_help());
  flags.add(line);
  auto flag = line.flags().add_options();
  flag("modulation", field(modulations), "list of qpsk, 16qam, 64qam");
  flag("n-data", field(options.n_data), "data symbol vectors per channel");
  flag("no-error-variance", po::bool_switch(&no_error_variance),
       "the detector takes the estimate for exact");
  if (!line.parse(args, out)) return 0;
  options.modulations = split(modulations, ',');
  options.error_variance = !no_error_variance;
  return execute(line, flags, out,
                 [&](const SampleReader& samples, const sim::CovarianceReader& covariances,
                     const sim::EstimatorFactory& make, const sim::SweepOptions& run,
                     const RunControl& control) {
                   options.run = run;
                   return sim::run_link(samples, covariances, make, options, control);
                 });
}

}  // namespace chest::cli
