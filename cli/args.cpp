#include "args.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/parallel.hpp>
#include <chest/text.hpp>

namespace chest::cli {
namespace {

volatile std::sig_atomic_t stop_signal = 0;

void remember_signal(int signal) {
  stop_signal = signal;
  // A second Ctrl-C ends the program at once: outputs are put in place in one step.
  std::signal(signal, SIG_DFL);
}

std::string shell_quoted(const std::string& word) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string("-_=./:,@+%").find(c) != std::string::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
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

CommandLine::CommandLine(std::string command, std::string usage, std::string summary)
    : command_(std::move(command)),
      usage_(std::move(usage)),
      summary_(std::move(summary)),
      flags_("options", 100) {
  auto flag = flags_.add_options();
  flag("help,h", "this text");
  flag("config", po::value<std::string>(), "INI file with the same keys as the flags; flags win");
}

void CommandLine::positional(const std::string& name, int most) {
  positional_.add(name.c_str(), most);
}

bool CommandLine::parse(const Args& args, std::ostream& out) {
  args_ = args;
  const std::string who = "chest " + command_ + ": ";
  try {
    const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::store(
        po::command_line_parser(args).options(flags_).positional(positional_).style(style).run(),
        values_);
    if (values_.count("help")) {
      out << "usage: " << usage_ << "\n\n" << summary_ << "\n\n" << flags_;
      return false;
    }
    if (values_.count("config")) {
      const std::string file = values_["config"].as<std::string>();
      std::ifstream in(file);
      if (!in) throw Error(ErrorKind::io, who + "--config " + file + " cannot be read");
      po::store(po::parse_config_file(in, flags_), values_);
    }
    po::notify(values_);
  } catch (const po::unknown_option& error) {
    std::vector<std::string> names;
    for (const auto& option : flags_.options()) names.push_back("--" + option->long_name());
    std::string unknown = error.get_option_name();
    if (unknown.rfind('-', 0) != 0) unknown = "--" + unknown;
    const std::string near = nearest(unknown, names);
    throw Error(ErrorKind::invalid_argument,
                who + "unknown option " + unknown +
                    (near.empty() ? "; see chest " + command_ + " --help"
                                  : "; did you mean " + near + "?"));
  } catch (const po::too_many_positional_options_error&) {
    throw Error(ErrorKind::invalid_argument,
                who + "too many words without a flag; usage: " + usage_);
  } catch (const po::error& error) {
    throw Error(ErrorKind::invalid_argument, who + error.what());
  }
  return true;
}

bool CommandLine::given(const std::string& flag) const {
  return values_.count(flag) > 0 && !values_[flag].defaulted();
}

void CommandLine::require(const std::string& flag, const std::string& hint) const {
  if (values_.count(flag)) return;
  throw Error(ErrorKind::invalid_argument, "chest " + command_ + ": --" + flag + " is missing" +
                                               (hint.empty() ? "" : "; " + hint));
}

std::string CommandLine::options_json() const {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, value] : values_) {
    const auto put = [&json, key = name, &any = value.value()](auto type) {
      if (const auto* v = boost::any_cast<decltype(type)>(&any)) json[key] = *v;
    };
    put(std::string{});
    put(std::vector<std::string>{});
    put(bool{});
    put(double{});
    put(int{});
    put(unsigned{});
    put(static_cast<unsigned long>(0));
    put(static_cast<unsigned long long>(0));
  }
  return json.dump();
}

std::string CommandLine::command_line() const {
  std::string out = "chest " + command_;
  for (const std::string& arg : args_) out += " " + shell_quoted(arg);
  return out;
}

Provenance CommandLine::provenance(std::uint64_t seed) const {
  Provenance out;
  out.command_line = command_line();
  out.seed = seed;
  out.options = options_json();
  return out;
}

std::vector<double> parse_range(const std::string& text, const std::string& what) {
  std::vector<double> out;
  for (const std::string& part : split(text, ',')) {
    const std::vector<std::string> numbers = split(part, ':');
    if (numbers.size() == 1) {
      out.push_back(to_number(part, what));
      continue;
    }
    if (numbers.size() != 3) {
      throw Error(
          ErrorKind::invalid_argument,
          what + ": '" + part + "' is not a range; write first:step:last, for example -10:5:20");
    }
    const double first = to_number(numbers[0], what);
    const double step = to_number(numbers[1], what);
    const double last = to_number(numbers[2], what);
    const double n = std::floor((last - first) / step + 1e-9);
    if (step == 0.0 || n < 0.0 || n > 1e5) {
      throw Error(ErrorKind::invalid_argument,
                  what + ": the range '" + part +
                      "' is empty or endless; write first:step:last, for example -10:5:20");
    }
    // Multiplied, not accumulated: the same values as a list of them.
    for (double i = 0.0; i <= n; ++i) out.push_back(first + i * step);
  }
  return out;
}

std::pair<arma::uword, arma::uword> parse_samples(const std::string& text, arma::uword n_samples,
                                                  const std::string& what) {
  const std::vector<std::string> ends = split(text, ':');
  if (ends.size() != 2) {
    throw Error(
        ErrorKind::invalid_argument,
        what + ": '" + text + "' is not a sample range; write first:end, for example 8000:9000");
  }
  const arma::uword first = ends[0].empty() ? 0 : to_count(ends[0], what);
  const arma::uword end = ends[1].empty() ? n_samples : to_count(ends[1], what);
  const std::string there = std::to_string(n_samples) + " samples";
  if (first >= end) {
    throw Error(ErrorKind::invalid_argument,
                what + ": the range '" + text + "' is empty; there are " + there);
  }
  if (end > n_samples) {
    throw Error(ErrorKind::invalid_argument,
                what + ": the range '" + text + "' reaches beyond the end; there are " + there);
  }
  return {first, end};
}

void ChannelFlags::add(po::options_description& flags) {
  auto flag = flags.add_options();
  flag("channels", optional_field(channels),
       "FILE[:DATASET] with channels: chest, MATLAB v7.3, h5py, Octave, quadriga-lib or .npy");
  flag("samples", field(samples), "first:end of the samples to use");
  flag("normalise", field(normalise),
       "power: none (the stored power must be near 1 per entry), dataset, sample, or a factor for "
       "h");
  flag("axes", optional_field(axes),
       "order of the stored dimensions, as h5py shows them: n sample, r receive, t transmit, v "
       "vec(H), "
       "0 first index only; found when left out");
  flag("n-rx", optional_field(n_rx), "receive antennas, for channels stored as vec(H)");
}

Dataset ChannelFlags::open() const {
  DatasetOptions options;
  const auto [file, dataset] = split_dataset_name(channels);
  options.dataset = dataset;
  options.axes = axes;
  options.n_rx = n_rx;
  if (normalise == "dataset") {
    options.normalisation = Normalisation::dataset;
  } else if (normalise == "sample") {
    options.normalisation = Normalisation::sample;
  } else if (normalise != "none") {
    options.normalisation = Normalisation::factor;
    try {
      options.factor = to_number(normalise, "--normalise");
    } catch (const Error&) {
      throw Error(ErrorKind::invalid_argument,
                  "--normalise: '" + normalise + "' is none of none, dataset, sample or a number");
    }
  }
  return Dataset(file, options);
}

std::pair<arma::uword, arma::uword> ChannelFlags::range(const Dataset& dataset) const {
  return parse_samples(samples, dataset.info().n_samples, "--samples");
}

void check_output(const std::filesystem::path& file, bool force) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) {
    throw Error(ErrorKind::invalid_argument, file.string() + ": is a folder, expected a file name");
  }
  if (!force && std::filesystem::exists(file, error)) {
    throw Error(ErrorKind::invalid_argument,
                file.string() + ": exists; give --force to replace it, or another name");
  }
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  if (!std::filesystem::is_directory(folder, error)) {
    throw Error(ErrorKind::io, file.string() + ": there is no folder " + folder.string());
  }
  if (::access(folder.c_str(), W_OK) != 0) {
    throw Error(ErrorKind::io,
                file.string() + ": the folder " + folder.string() + " is not writable");
  }
}

unsigned n_threads(unsigned asked) { return asked == 0 ? available_threads() : asked; }

TerminalControl::TerminalControl() : is_terminal_(::isatty(STDERR_FILENO) == 1) {
  stop_signal = 0;
  std::signal(SIGINT, &remember_signal);
  std::signal(SIGTERM, &remember_signal);
  control_.stop_requested = [] { return stop_signal != 0; };
  control_.on_progress = [this](const Progress& progress) {
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
  };
}

TerminalControl::~TerminalControl() {
  if (line_open_) std::cerr << '\n';
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

bool TerminalControl::interrupted() const { return stop_signal != 0; }

void TerminalControl::report_channels(arma::uword done, arma::uword total) const {
  Progress progress;
  progress.fraction = static_cast<double>(done) / static_cast<double>(total);
  progress.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  progress.seconds_left = progress.seconds * (1.0 / progress.fraction - 1.0);
  progress.text = std::to_string(done) + " channels";
  control_.on_progress(progress);
}

void warn(const std::string& text) { std::cerr << "chest: warning: " << text << '\n'; }

}  // namespace chest::cli
