#pragma once

#include <armadillo>
#include <boost/program_options.hpp>
#include <chrono>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include <chest/channels/dataset.hpp>
#include <chest/provenance.hpp>
#include <chest/run_control.hpp>

namespace chest::cli {

namespace po = boost::program_options;

/// Words after the subcommand.
using Args = std::vector<std::string>;

/// A flag that fills `field`; its present value is the default shown by --help.
template <class T>
po::typed_value<T>* field(T& value) {
  return po::value<T>(&value)->default_value(value);
}
/// A flag that fills `field` and has no default to show.
template <class T>
po::typed_value<T>* optional_field(T& value) {
  return po::value<T>(&value);
}

/// The flags of one subcommand, also read as keys of --config FILE (INI); flags win.
class CommandLine {
 public:
  /// @param usage    "chest sweep --channels FILE --snr RANGE --out FILE [options]"
  /// @param summary  what it does, for --help
  CommandLine(std::string command, std::string usage, std::string summary);

  /// The flags, to be filled before parse().
  po::options_description& flags() { return flags_; }
  /// Takes words without a flag as values of the flag `name`, at most `most` of them; -1: any
  /// number.
  void positional(const std::string& name, int most);

  /// Fills the fields. False when --help was asked for and printed.
  /// @throws Error(invalid_argument) naming the flag, with the nearest one when it is unknown
  bool parse(const Args& args, std::ostream& out);

  /// Whether the flag was given, here or in the configuration file.
  bool given(const std::string& flag) const;
  /// @throws Error(invalid_argument) "chest sweep: --channels is missing; ..."
  void require(const std::string& flag, const std::string& hint) const;

  const std::string& command() const { return command_; }
  /// All values, defaults included, as JSON: what files record.
  std::string options_json() const;
  /// "chest sweep --channels ..." as typed, quoted for a shell.
  std::string command_line() const;
  Provenance provenance(std::uint64_t seed) const;

 private:
  std::string command_, usage_, summary_;
  po::options_description flags_;
  po::positional_options_description positional_;
  po::variables_map values_;
  Args args_;
};

/// "-10:5:20" (first:step:last) or "-10,0,10" or one number.
/// @throws Error(invalid_argument) naming `what`
std::vector<double> parse_range(const std::string& text, const std::string& what);

/// "8000:9000" (first:end), "8000:", ":100" as {first, end}.
/// @throws Error(invalid_argument) if it is empty or reaches beyond n_samples
std::pair<arma::uword, arma::uword> parse_samples(const std::string& text, arma::uword n_samples,
                                                  const std::string& what);

/// The flags that say which channels: --channels, --samples, --normalise, --axes, --n-rx.
struct ChannelFlags {
  std::string channels, samples = ":", normalise = "none", axes;
  arma::uword n_rx = 0;

  void add(po::options_description& flags);
  Dataset open() const;
  /// {first, end} of --samples.
  std::pair<arma::uword, arma::uword> range(const Dataset& dataset) const;
};

/// @throws Error(invalid_argument) if the file exists and `force` is false;  Error(io) if it cannot
/// be
///         written there
void check_output(const std::filesystem::path& file, bool force);

/// --threads: 0 means all processors.
unsigned n_threads(unsigned asked);

/// Progress on stderr: a line that is rewritten on a terminal, plain lines now and then otherwise;
/// stop requests from Ctrl-C and SIGTERM.
class TerminalControl {
 public:
  TerminalControl();
  ~TerminalControl();
  TerminalControl(const TerminalControl&) = delete;
  TerminalControl& operator=(const TerminalControl&) = delete;
  const RunControl& control() const { return control_; }
  bool interrupted() const;
  /// Reports `done` of `total` channels, at the rate seen since this object was made.
  void report_channels(arma::uword done, arma::uword total) const;

 private:
  RunControl control_;
  bool is_terminal_;
  bool line_open_ = false;
  double last_seconds_ = -1e9;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// One line on stderr.
void warn(const std::string& text);

int generate(const Args& args, std::ostream& out);
int info(const Args& args, std::ostream& out);
int fit(const Args& args, std::ostream& out);
int import(const Args& args, std::ostream& out);
int calibrate(const Args& args, std::ostream& out);
int estimate(const Args& args, std::ostream& out);
int sweep(const Args& args, std::ostream& out);
int link(const Args& args, std::ostream& out);
int pilots(const Args& args, std::ostream& out);
int plot(const Args& args, std::ostream& out);
int merge(const Args& args, std::ostream& out);

}  // namespace chest::cli
