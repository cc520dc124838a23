#include "terminal.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <sstream>

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

volatile std::sig_atomic_t stop_signal = 0;

void remember_signal(int signal) {
  stop_signal = signal;
  // A second Ctrl-C ends the program at once: outputs are put in place in one step.
  std::signal(signal, SIG_DFL);
}

std::string clock_time(double seconds) {
  const auto s = static_cast<long long>(std::lround(std::max(seconds, 0.0)));
  char text[64];
  if (s >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", s / 60, s % 60);
  }
  return text;
}

}  // namespace

TerminalControl::TerminalControl(bool quiet) : is_terminal_(::isatty(STDERR_FILENO) == 1) {
  stop_signal = 0;
  std::signal(SIGINT, &remember_signal);
  std::signal(SIGTERM, &remember_signal);
  control_.stop_requested = [] { return stop_signal != 0; };
  if (!quiet) control_.on_progress = [this](const Progress& progress) { show(progress); };
}

TerminalControl::~TerminalControl() {
  if (line_open_) std::cerr << '\n';
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

void TerminalControl::show(const Progress& progress) {
  // A terminal line ten times a second, a plain line every ten seconds, and the end always.
  const double wait = is_terminal_ ? 0.1 : 10.0;
  if (progress.seconds - last_seconds_ < wait && progress.fraction < 1.0) return;
  last_seconds_ = progress.seconds;
  std::ostringstream line;
  const int percent = static_cast<int>(100.0 * std::clamp(progress.fraction, 0.0, 1.0));
  if (is_terminal_) {
    const auto n = static_cast<std::size_t>(percent / 4);
    line << "\r\033[K[" << std::string(n, '#') << std::string(25 - n, ' ') << "] ";
  }
  line << percent << "%  " << progress.text;
  if (progress.seconds_left >= 0.0 && progress.fraction < 1.0) {
    line << "  " << clock_time(progress.seconds_left) << " left";
  }
  if (!is_terminal_) line << '\n';
  line_open_ = is_terminal_;
  std::cerr << line.str() << std::flush;
}

bool TerminalControl::interrupted() const { return stop_signal != 0; }

void TerminalControl::report_channels(arma::uword done, arma::uword total) const {
  if (!control_.on_progress) return;
  Progress progress;
  progress.fraction = static_cast<double>(done) / static_cast<double>(total);
  progress.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  progress.seconds_left = progress.seconds * (1.0 / progress.fraction - 1.0);
  progress.text = std::to_string(done) + " channels";
  control_.on_progress(progress);
}

void warn(const std::string& text) { std::cerr << "chest: warning: " << text << '\n'; }

}  // namespace cli
}  // namespace v0
}  // namespace chest
