#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "commands.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// A word and what it means.
struct Entry {
  std::string left, right;
};

/// "  left   right", the right side from column `column` on, or later behind a long left side, and
/// wrapped at 100 columns.
void print_entries(const std::vector<Entry>& entries, std::size_t column, std::ostream& out);

/// "--snr RANGE", "-h, --help".
std::string spelling(const Flag& flag);
/// The help with the default, where there is one to show.
std::string help_with_default(const Flag& flag);
/// "steps=N" or "published": how an option is written.
std::string spelling(const OptionInfo& option);
/// The help with range and default, where there are.
std::string help_with_default(const OptionInfo& option);
/// "dmse:steps=1": an estimator with one of its options.
std::string example_of(const CatalogEntry& estimator);
/// A sweep with it, on two lines.
std::string example_command(const CatalogEntry& estimator);

/// What `chest COMMAND --help` prints.
std::string command_text(const CommandHelp& help);
/// What `chest --help` prints.
std::string program_text();
/// What `chest --version` prints: chest and what it was built with.
std::string version_text();
/// What `chest estimators NAME` prints.
std::string estimator_text(const CatalogEntry& estimator);

}  // namespace cli
}  // namespace v0
}  // namespace chest
