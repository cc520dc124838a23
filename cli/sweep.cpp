#include <chest/sim/sweep.hpp>

#include "run_flags.hpp"

namespace chest::cli {

int sweep(const Args& args, std::ostream& out) {
  RunFlags flags;
  CommandLine line(
      "sweep",
      "chest sweep --channels FILE --estimators LIST [--model FILE ...] [--snr=RANGE] "
      "[--pilots LIST] --out FILE [options]",
      "NMSE of estimators over SNR and pilots. All estimators see the same channels and "
      "noise.\nEvery finished point is in the results file at once; the same command "
      "continues a run\nthat was stopped or killed." +
          estimator_help());
  flags.add(line);
  if (!line.parse(args, out)) return 0;
  return execute(line, flags, out, &sim::run_sweep);
}

}  // namespace chest::cli
