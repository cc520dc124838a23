#include <chest/sim/code.hpp>

#include <ostream>

#include <chest/file.hpp>
#include <chest/sim/plot.hpp>

#include "commands.hpp"
#include "flags.hpp"
#include "terminal.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

int code(const Args& args, Context& context) {
  sim::CodeOptions options;
  std::string alist, ebn0 = "0:1:4", kind = "bp", schedule = "flooding", precision = "float";
  std::string csv, figure;
  bool force = false;
  CommonFlags common;
  CommandLine line("code", "--k N --n N [--modulation NAME] [--ebn0 RANGE] [--csv FILE] [options]",
                   "Block and bit errors of a channel code on AWGN: 5G LDPC of k information bits "
                   "(no CRC) with n sent (redundancy version 0), or any code of an alist file.");
  line.section("code");
  line.flag("k", &options.k, "N", "information bits, 1 .. 8448").default_text = "";
  line.flag("n", &options.n, "N", "sent bits, a multiple of the bits per symbol").default_text = "";
  line.flag("alist", &alist, "FILE", "a parity-check matrix in place of --k and --n");
  line.flag("modulation", &options.modulation, "bpsk|qpsk|16qam|64qam|256qam",
            "the mapping of 5G; LLRs are exact");
  line.section("decoder");
  line.flag("decoder", &kind, "bp|min-sum|offset-min-sum", "what checks tell bits");
  line.flag("schedule", &schedule, "flooding|layered",
            "all checks at once, or row by row, which needs half of the iterations");
  line.flag("precision", &precision, "float|int8", "of messages; int8 not with bp");
  line.flag("iterations", &options.decoder.iterations, "N",
            "at most; a block ends when all checks hold");
  line.flag("clip", &options.decoder.clip, "X", "bound of LLRs and messages");
  line.flag("scale", &options.decoder.scale, "X", "of the messages of min-sum");
  line.flag("offset", &options.decoder.offset, "X", "taken from the messages of offset-min-sum");
  line.section("what is run");
  line.flag("ebn0", &ebn0, "RANGE", "Eb/N0 in dB: first:step:last, or a list");
  line.flag("errors", &options.n_errors, "N", "block errors that end a point");
  line.flag("max-blocks", &options.max_blocks, "N", "blocks that end it too");
  line.section("output");
  line.output("csv", &csv, "also the results as CSV");
  line.output("plot", &figure,
              "also a figure, a name in .svg, .png, .pdf, or .gp for gnuplot commands");
  line.flag("force", &force, "replaces existing files");
  common.add(line, "same seed, same numbers, for any number of threads",
             CommonFlags::Networks::none);
  if (!line.parse(args, context)) return 0;
  if (alist.empty()) {
    line.require("k", "the number of information bits");
    line.require("n", "the number of sent bits");
  }
  options.alist = alist;
  options.ebn0_db = parse_range(ebn0, "--ebn0");
  options.decoder.kind = sim::decoder_kind_from_string(kind);
  options.decoder.schedule = sim::decoder_schedule_from_string(schedule);
  options.decoder.precision = sim::decoder_precision_from_string(precision);
  options.seed = common.seed;
  options.n_threads = common.n_threads();
  for (const std::string& file : {csv, figure})
    if (!file.empty()) check_output(file, force);
  if (!figure.empty()) sim::check_plot(figure);

  sim::CodeResults results;
  {
    const TerminalControl terminal(context.quiet);
    results = sim::run_code(options, terminal.control());
  }
  if (!csv.empty()) write_text_file(csv, sim::to_csv(results));
  if (!figure.empty() && results.finished) sim::plot(results, figure);
  context.out << sim::to_table(results);
  if (results.finished) return 0;
  throw Error(ErrorKind::interrupted, "interrupted; the points that were finished are shown");
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
