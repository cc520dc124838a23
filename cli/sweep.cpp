#include <chest/sim/sweep.hpp>

#include "commands.hpp"
#include "run_flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

int sweep(const Args& args, Context& context) {
  RunFlags flags;
  CommandLine line("sweep",
                   "--channels FILE --estimators LIST [--model FILE ...] [--snr RANGE] "
                   "[--pilots LIST] --out FILE [options]",
                   "NMSE of estimators over SNR and pilots. All estimators see the same channels "
                   "and noise. Every finished point is in the results file at once; the same "
                   "command continues a run that was stopped or killed.");
  flags.add(line);
  if (!line.parse(args, context)) return 0;
  return execute(line, flags, context, &sim::run_sweep);
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
