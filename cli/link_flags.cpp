#include "link_flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

void ReceiverFlags::add(CommandLine& line) {
  line.flag("detector", &detector, "NAME", "zf, lmmse, lmmse-irc, k-best[:N] or ep[:N]");
  line.flag("demapper", &demapper, "log-map|max-log", "LLRs from all symbols, or the nearest");
  line.flag("decoder", &decoder, "bp|min-sum|offset-min-sum", "what checks tell bits");
  line.flag("schedule", &schedule, "flooding|layered", "of the decoder");
  line.flag("precision", &precision, "float|int8", "of its messages; bp: float");
  line.flag("iterations", &iterations, "N", "of the decoder, at most");
  line.flag("no-error-variance", &no_error_variance, "the detector takes the estimates for exact");
}

void ReceiverFlags::fill(const CommandLine& line, sim::PuschOptions& options) const {
  options.detector = sim::parse_detector(detector);
  options.demapper = sim::demapper_kind_from_string(demapper);
  options.decoder.kind = sim::decoder_kind_from_string(decoder);
  options.decoder.schedule = sim::decoder_schedule_from_string(schedule);
  options.decoder.precision = sim::decoder_precision_from_string(precision);
  if (options.decoder.kind == sim::DecoderKind::bp && !line.given("precision"))
    options.decoder.precision = sim::DecoderPrecision::float32;
  options.decoder.iterations = iterations;
  options.error_variance = !no_error_variance;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
