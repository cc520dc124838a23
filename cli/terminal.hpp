#pragma once

#include <armadillo>
#include <chrono>
#include <string>

#include <chest/run_control.hpp>

namespace chest {
inline namespace v0 {
namespace cli {

/// Progress on stderr: a line that is rewritten on a terminal, plain lines now and then otherwise,
/// nothing when quiet; stop requests from Ctrl-C and SIGTERM.
class TerminalControl {
 public:
  explicit TerminalControl(bool quiet);
  ~TerminalControl();
  TerminalControl(const TerminalControl&) = delete;
  TerminalControl& operator=(const TerminalControl&) = delete;
  const RunControl& control() const { return control_; }
  bool interrupted() const;
  /// Reports `done` of `total` channels, at the rate seen since this object was made.
  void report_channels(arma::uword done, arma::uword total) const;

 private:
  void show(const Progress& progress);

  RunControl control_;
  bool is_terminal_;
  bool line_open_ = false;
  double last_seconds_ = -1e9;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// One line on stderr.
void warn(const std::string& text);

}  // namespace cli
}  // namespace v0
}  // namespace chest
