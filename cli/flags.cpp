#include "flags.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include <chest/error.hpp>
#include <chest/estimators/inference/precision.hpp>
#include <chest/file.hpp>
#include <chest/parallel.hpp>
#include <chest/text.hpp>

#include "terminal.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

/// More are a slip of the hand; each holds blocks of channels.
constexpr unsigned most_threads = 1024;

}  // namespace

std::vector<double> parse_range(const std::string& text, const std::string& what) {
  std::vector<double> out;
  for (const std::string& item : split(text, ',')) {
    const std::string part = trimmed(item);
    const std::vector<std::string> numbers = split(part, ':');
    if (numbers.size() == 1) {
      out.push_back(to_number(part, what));
      continue;
    }
    if (numbers.size() != 3) {
      refuse(what + ": '" + part + "' is not a range; write first:step:last, for example -10:5:20");
    }
    const double first = to_number(numbers[0], what);
    const double step = to_number(numbers[1], what);
    const double last = to_number(numbers[2], what);
    const double n = std::floor((last - first) / step + 1e-9);
    if (step == 0.0 || n < 0.0 || n > 1e5) {
      refuse(what + ": the range '" + part +
             "' is empty or endless; write first:step:last, for example -10:5:20");
    }
    const std::string reached = number_text(first + n * step);
    if (n == 0.0 && first != last) {
      refuse(what + ": the range '" + part + "' holds " + reached + " alone, its step is " +
             number_text(step) + "; write first:step:last, for example -10:5:20");
    }
    if (std::abs(first + n * step - last) > 1e-6 * std::abs(step)) {
      warn(what + ": the range '" + part + "' (first:step:last) ends at " + reached + ", before " +
           number_text(last));
    }
    // Multiplied, not accumulated: the same values as a list of them.
    for (double i = 0.0; i <= n; ++i) out.push_back(first + i * step);
  }
  return out;
}

SampleRange parse_samples(const std::string& text, arma::uword n_samples, const std::string& what) {
  const std::vector<std::string> ends = split(text, ':');
  if (ends.size() != 2) {
    refuse(what + ": '" + text + "' is not a sample range; write first:end, for example 8000:9000");
  }
  const arma::uword first = ends[0].empty() ? 0 : to_count(ends[0], what);
  const arma::uword end = ends[1].empty() ? n_samples : to_count(ends[1], what);
  const std::string there = std::to_string(n_samples) + " samples";
  if (first >= end) {
    refuse(what + ": the range '" + text + "' is empty; there are " + there);
  }
  if (end > n_samples) {
    refuse(what + ": the range '" + text + "' reaches beyond the end; there are " + there);
  }
  return {first, end};
}

PanelShape parse_panel(const std::string& text, const std::string& flag) {
  if (text.empty()) return {};
  const std::optional<PanelShape> panel = panel_from_text(text);
  if (!panel) {
    refuse(flag + ": '" + text + "' is not ROWSxCOLUMNSxPOLARISATIONS, for example 2x4x2");
  }
  constexpr arma::uword most = 4096;
  for (const arma::uword n : {panel->rows, panel->columns, panel->polarisations}) {
    if (n == 0 || n > most) {
      refuse(flag + ": '" + text + "' holds " + std::to_string(n) + ", expected 1 .. " +
             std::to_string(most));
    }
  }
  return *panel;
}

void ChannelFlags::add(CommandLine& line, const std::string& what) {
  line.section("channels");
  if (!what.empty()) line.flag("channels", &channels, "FILE[:DATASET]", what);
  line.flag("samples", &samples, "FIRST:END", "samples to use; either end may be left out")
      .default_text = "all";
  line.flag("skip-bad", &skip_bad,
            "leaves out those that are zero or not finite, instead of stopping");
  line.flag("normalise", &normalise, "none|dataset|sample|X",
            "power: as stored (near 1 per entry), one factor for all of --samples, "
            "||h||^2 = n_rx n_tx for each, or h times X");
  line.flag("scale", &scale, "X", "h times X, as --normalise X");
  line.flag(
      "axes", &axes, "LETTERS",
      "as in h5py: n sample, r receive, t transmit, f subcarrier, s symbol, p path, v vec(H), "
      "w by rows, c complex parts, or an index; left out: found");
  line.flag("grid", &grid, "FxS@KHZ",
            "F subcarriers, S symbols of gains with delays, or the first of a grid");
  line.flag("n-rx", &n_rx, "N", "receive antennas, for channels stored as vec(H)");
  line.flag("panel", &rx_panel, "RxCxP",
            "receive antennas: rows x columns x polarisations, rows first");
}

Dataset ChannelFlags::open_file() const {
  DatasetOptions options;
  const auto [file, dataset] = split_dataset_name(channels);
  options.dataset = dataset;
  options.axes = axes;
  if (!grid.empty()) options.grid = parse_grid(grid);
  options.n_rx = n_rx.value_or(0);
  options.rx_panel = parse_panel(rx_panel);
  options.normalisation = Normalisation::factor;
  return Dataset(file, options);
}

SampleChoice ChannelFlags::choice(const Dataset& dataset) const {
  SampleChoice choice;
  const SampleRange asked = range(dataset);
  choice.first = asked.first;
  choice.end = asked.end;
  choice.skip_bad = skip_bad;
  if (!scale.empty()) {
    if (normalise != "none") refuse("--normalise and --scale both say the factor; give one");
    choice.normalisation = Normalisation::factor;
    choice.factor = to_number(scale, "--scale");
  } else if (normalise == "dataset") {
    choice.normalisation = Normalisation::dataset;
  } else if (normalise == "sample") {
    choice.normalisation = Normalisation::sample;
  } else if (normalise != "none") {
    choice.normalisation = Normalisation::factor;
    try {
      choice.factor = to_number(normalise, "--normalise");
    } catch (const Error&) {
      refuse("--normalise: '" + normalise + "' is none of none, dataset, sample or a number");
    }
  }
  return choice;
}

Dataset ChannelFlags::open_silently() const {
  Dataset dataset = open_file();
  try {
    dataset.choose(choice(dataset));
  } catch (const Error&) {
    tell_doubts(dataset.info());
    throw;
  }
  tell_doubts(dataset.info());
  return dataset;
}

void tell_doubts(const DatasetInfo& info) {
  for (const std::string& warning : info.warnings) warn(warning);
}

void tell_left_out(const DatasetInfo& info) {
  if (info.bad.all.empty()) return;
  warn(info.file.string() + ": " + info.bad.text(info.asked.size()) + "; " +
       (info.bad.all.size() == 1 ? "it is" : "they are") + " left out");
}

Dataset ChannelFlags::open() const {
  Dataset dataset = open_silently();
  tell_left_out(dataset.info());
  return dataset;
}

SampleReader ChannelFlags::samples_of(const Dataset& dataset, const SampleRange& range) const {
  const SampleReader part = subrange(dataset.samples(), range.first, range.size());
  if (!skip_bad) return part;
  const DatasetInfo& info = dataset.info();
  const bool is_known = range.first == info.asked.first && range.end == info.asked.end;
  const BadSamples bad = is_known ? info.bad : dataset.find_bad(range);
  if (bad.all.size() == range.size()) {
    throw Error(ErrorKind::numeric, info.file.string() + ": of samples " + range.text() + ", " +
                                        bad.text(range.size()));
  }
  SampleSet left_out;
  for (const SampleRange& each : bad.all.ranges()) {
    for (arma::uword k = each.first; k < each.end; ++k) left_out.add(k - range.first);
  }
  return without(part, left_out);
}

SampleRange ChannelFlags::range(const Dataset& dataset) const {
  return parse_samples(samples, dataset.info().n_samples, "--samples");
}

void check_covariance_size(const DatasetInfo& info, const ChannelFlags& flags) {
  if (info.grid.is_grid()) return;  // a covariance along each axis
  const double n_h = static_cast<double>(info.n_rx * info.n_tx);
  const double bytes = 16.0 * n_h * n_h;
  if (bytes <= 0x1p30) return;
  double memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
                  static_cast<double>(::sysconf(_SC_PAGE_SIZE));
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) == 0) memory = std::min(memory, double(limit.rlim_cur));
  std::ostringstream text;
  text << std::setprecision(3) << info.file.string() << ": the covariance of channels " << info.n_rx
       << "x" << info.n_tx << " takes " << bytes / 1e9 << " GB";
  // It and the sum over a block of channels are there at the same time.
  if (2.0 * bytes > memory) {
    text << " twice, there are " << memory / 1e9 << " GB of memory; if the axes are not "
         << info.axes << ", name them with --axes";
    refuse(text.str());
  }
  if (flags.axes.empty() && !info.warnings.empty() && static_cast<double>(info.n_samples) < n_h) {
    text << ", from " << info.n_samples << " channels; if the axes are " << info.axes
         << ", say so with --axes";
    refuse(text.str());
  }
  warn(text.str());
}

void check_channels_fit(const DatasetInfo& info, arma::uword n_rx, arma::uword n_tx,
                        const std::string& whose) {
  if (info.n_rx == n_rx && info.n_tx == n_tx) return;
  std::string swapped = info.axes;
  for (char& letter : swapped) letter = letter == 'r' ? 't' : letter == 't' ? 'r' : letter;
  refuse("the channels are " + std::to_string(info.n_rx) + "x" + std::to_string(info.n_tx) + ", " +
         whose + " for " + std::to_string(n_rx) + "x" + std::to_string(n_tx) +
         (info.n_rx == n_tx && info.n_tx == n_rx && swapped != info.axes
              ? "; --axes " + swapped + " swaps the sides"
              : ""));
}

void CommonFlags::add(CommandLine& line, const std::string& seed_help, Networks networks) {
  line.section("running");
  line.flag("seed", &seed, "N", seed_help);
  line.flag("threads", &threads, "N", "worker threads; 0: one for each processor").most =
      most_threads;
  if (networks == Networks::none) return;
  line.flag("device", &device, "cpu|cuda|cuda:N|auto", "where networks run");
  if (networks == Networks::fits) return;
  line.flag("engine", &engine, "auto|onednn|torch", "on what: chest's own (onednn) or LibTorch");
}

NetworkRunOptions CommonFlags::network_run() const {
  NetworkRunOptions run;
  run.device = device;
  run.engine = engine_from_string(engine);
  return run;
}

void CommonFlags::choose_networks(EstimatorContext& context) const {
  const NetworkRunOptions run = network_run();
  context.device = run.device;
  context.engine = run.engine;
}

bool runs_fast_in_bfloat16(const std::string& device) {
  return device != "cpu" || has_fast_reduced_precision();
}

unsigned CommonFlags::n_threads() const { return threads == 0 ? available_threads() : threads; }

void check_output(const std::filesystem::path& file, bool force) {
  std::error_code error;
  // A link stays; what it leads to is written.
  const std::filesystem::path target = link_target(file);
  const std::filesystem::file_status there = std::filesystem::status(target, error);
  if (std::filesystem::is_directory(there)) {
    refuse(file.string() + ": is a folder, expected a file name");
  }
  if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there)) {
    refuse(file.string() +
           ": is a device or a pipe, which is written from start to end; expected a "
           "file name");
  }
  if (!force && std::filesystem::exists(there)) {
    refuse(file.string() + ": exists; give --force to replace it, or another name");
  }
  if (std::filesystem::exists(there) && ::access(target.c_str(), W_OK) != 0) {
    throw Error(ErrorKind::io, file.string() + ": is write-protected");
  }
  const std::filesystem::path folder = target.has_parent_path() ? target.parent_path() : ".";
  if (!std::filesystem::is_directory(folder, error)) {
    throw Error(ErrorKind::io, file.string() + ": there is no folder " + folder.string());
  }
  if (::access(folder.c_str(), W_OK) != 0) {
    throw Error(ErrorKind::io,
                file.string() + ": the folder " + folder.string() + " is not writable");
  }
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
