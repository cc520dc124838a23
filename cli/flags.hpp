#pragma once

#include <armadillo>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <chest/channels/dataset.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/network/run_options.hpp>
#include <chest/samples.hpp>

#include "command_line.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// "-10:5:20" (first:step:last) or "-10,0,10" or one number. Warns where a range ends before its last.
/// @throws Error(invalid_argument) naming `what`
std::vector<double> parse_range(const std::string& text, const std::string& what);

/// "8000:9000" (first:end), "8000:", ":100".
/// @throws Error(invalid_argument) if it is empty or reaches beyond n_samples
SampleRange parse_samples(const std::string& text, arma::uword n_samples, const std::string& what);

/// "2x4x2"; empty text: one line of antennas.  @throws Error(invalid_argument) otherwise
PanelShape parse_panel(const std::string& text, const std::string& flag = "--panel");

/// The flags that say which channels: --channels, --samples, --skip-bad, --normalise, --scale,
/// --axes, --grid, --panel, --n-rx.
struct ChannelFlags {
  std::string channels, samples = ":", normalise = "none", scale, axes, grid, rx_panel;
  std::optional<arma::uword> n_rx;
  bool skip_bad = false;

  /// @param what  help of --channels; empty: the command names its files otherwise
  void add(CommandLine& line, const std::string& what =
                                  "of chest, MATLAB, h5py, Octave, quadriga-lib, NumPy or Sionna");
  /// Says on stderr what --skip-bad leaves out.
  Dataset open() const;
  /// The same, but for that.
  Dataset open_silently() const;
  /// The file, before samples and power are chosen.
  Dataset open_file() const;
  SampleChoice choice(const Dataset& dataset) const;
  /// Part of the channels, without those that --skip-bad leaves out; `dataset` must outlive it.
  SampleReader samples_of(const Dataset& dataset, const SampleRange& range) const;
  /// That of --samples.
  SampleRange range(const Dataset& dataset) const;
};

/// Warns where the covariance of the channels takes more than 1 GiB.
/// @throws Error(invalid_argument) if it does not fit into memory, or if its size follows from axes
///         that were not given and there are fewer than n_h channels
void check_covariance_size(const DatasetInfo& info, const ChannelFlags& flags);
/// Says on stderr what DatasetInfo::warnings has.
void tell_doubts(const DatasetInfo& info);
/// Says on stderr what --skip-bad leaves out.
void tell_left_out(const DatasetInfo& info);

/// @throws Error(invalid_argument) if the channels are not n_rx x n_tx, the size of `whose`
void check_channels_fit(const DatasetInfo& info, arma::uword n_rx, arma::uword n_tx,
                        const std::string& whose);

/// What commands that compute have in common: --seed, --threads, --device.
struct CommonFlags {
  /// What the command does with networks.
  enum class Networks { none, fits, runs };

  std::uint64_t seed = 1;
  unsigned threads = 0;
  std::string device = "cpu", engine = "auto";

  /// @param seed_help  what is drawn from the seed
  void add(CommandLine& line, const std::string& seed_help, Networks networks = Networks::runs);
  /// --device and --engine.  @throws Error(invalid_argument) naming the engines that there are
  NetworkRunOptions network_run() const;
  /// The same for all estimators that are made from a context.
  void choose_networks(EstimatorContext& context) const;
  /// --threads; 0 means all processors.
  unsigned n_threads() const;
};

/// Whether networks estimate faster in bfloat16 than in float32: on a GPU, or a processor with tile instructions, in
/// whose place the engine has loops.
bool runs_fast_in_bfloat16(const std::string& device);

/// @throws Error(invalid_argument) if the file exists and `force` is false, or is no file on a disk
/// @throws Error(io) if it cannot be written there
void check_output(const std::filesystem::path& file, bool force);

}  // namespace cli
}  // namespace v0
}  // namespace chest
