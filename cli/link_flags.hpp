#pragma once

#include <optional>
#include <string>

#include <chest/sim/pusch.hpp>

#include "command_line.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// The flags of the receiver of transport blocks: what `chest link` on grids and `chest conformance` have in common.
struct ReceiverFlags {
  std::string detector = "lmmse", demapper = "log-map";
  std::string decoder = "offset-min-sum", schedule = "layered", precision = "int8";
  unsigned iterations = 20;
  bool no_error_variance = false;

  void add(CommandLine& line);
  /// Fills detector, demapper, decoder and error_variance.
  /// @throws Error(invalid_argument)
  void fill(const CommandLine& line, sim::PuschOptions& options) const;
};

}  // namespace cli
}  // namespace v0
}  // namespace chest
