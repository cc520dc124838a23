#pragma once

#include <functional>
#include <iosfwd>

#include "estimator_list.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

struct CommandHelp;

/// What every command is given by the program.
struct Context {
  std::ostream& out;  ///< results
  const Catalog& catalog;
  /// Takes what --help shows, in place of running the command.
  std::function<void(const CommandHelp&)> show_help;
  bool quiet = false;  ///< --quiet: no progress on stderr
};

}  // namespace cli
}  // namespace v0
}  // namespace chest
