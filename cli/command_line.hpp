#pragma once

#include <armadillo>
#include <boost/program_options.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <chest/error.hpp>
#include <chest/provenance.hpp>
#include <chest/text.hpp>

#include "context.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// Words after the command.
using Args = std::vector<std::string>;

/// Where the value of a flag goes. A bool is a switch, a vector takes the flag several times, an
/// optional stays empty when the flag is not given.
using Field = std::variant<bool*, std::string*, std::vector<std::string>*, double*, int*, unsigned*,
                           unsigned long*, unsigned long long*, std::optional<arma::uword>*>;

struct Flag {
  std::string name;  ///< "snr", without dashes
  /// FILE, N, DB ..., or the words it takes: a|b|c, of which one must be given. Empty: a switch.
  /// Completion offers files where FILE is in it, and estimators for ESTIMATOR and ESTIMATORS. The
  /// files of FILE, FILE[:DATASET], PILOTS, ESTIMATOR and ESTIMATORS are read, see is_output.
  std::string placeholder;
  std::string help;
  std::string default_text;  ///< the field's value when the flag was declared; empty: none to show
  Field field;
  bool is_output = false;                                          ///< the file is written
  std::uint64_t most = std::numeric_limits<std::uint64_t>::max();  ///< of a whole number
};

/// Flags that --help shows together.
struct Section {
  std::string title;
  std::vector<Flag> flags;
};

/// All that --help, the manual and completion say of a command.
struct CommandHelp {
  std::string name, usage, summary;
  std::vector<Section> sections;
  std::string positional;  ///< the flag that takes words without a flag; empty: none
  const Flag* find(const std::string& flag) const;  ///< null: there is none
};

/// The flags of one command, also read as keys of --config FILE (INI); flags win. Every command has
/// --quiet, --config and --help.
class CommandLine {
 public:
  /// @param usage    what follows the command: "--channels FILE --snr RANGE --out FILE [options]"
  /// @param summary  what it does, in whole sentences
  CommandLine(const std::string& command, const std::string& usage, const std::string& summary);

  /// The flags declared from now on belong to this section of --help.
  void section(const std::string& title);
  /// Declares a flag; the present value of the field is its default.
  Flag& flag(const std::string& name, Field field, const std::string& placeholder,
             const std::string& help);
  Flag& flag(const std::string& name, bool* field, const std::string& help);
  /// Declares a flag for a file that the command writes.
  Flag& output(const std::string& name, std::string* field, const std::string& help);
  /// Takes words without a flag as values of the flag `name`, at most `most` of them; -1: any
  /// number. Called again, the words after those are for another flag.
  void positional(const std::string& name, int most);

  /// Fills the fields and context.quiet. False when --help was asked for and shown.
  /// @throws Error(invalid_argument) naming the flag, with the nearest one when it is unknown
  /// @throws what check_files() throws: no command writes what it reads
  bool parse(const Args& args, Context& context);

  /// Whether the flag was given, here or in the configuration file.
  bool given(const std::string& flag) const { return given_.count(flag) > 0; }
  /// @throws Error(invalid_argument) "--channels is missing: ...", "the word after fit is missing"
  void require(const std::string& flag, const std::string& meaning) const;

  const std::string& command() const { return help_.name; }
  /// "chest sweep --channels ..." as typed, quoted for a shell.
  std::string command_line() const;
  /// Command line, seed, and the values of all flags, defaults included.
  Provenance provenance(std::uint64_t seed) const;

 private:
  using Values = boost::program_options::variables_map;
  Values read(const Args& args, const CommandHelp& all) const;
  CommandHelp with_general_flags();

  CommandHelp help_;
  std::vector<std::pair<std::string, int>> words_;  ///< flags that take words, and how many
  Args args_;
  std::set<std::string> given_;
  std::string options_json_, config_;
  bool quiet_ = false, asked_for_help_ = false;
};

}  // namespace cli
}  // namespace v0
}  // namespace chest
