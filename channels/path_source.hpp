#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <chest/paths.hpp>

#include "sample_source.hpp"

namespace chest {
inline namespace v0 {

/// Gains and delays as one kind of file stores them: what each layout of paths implements.
class PathReader {
 public:
  virtual ~PathReader() = default;
  /// Samples first .. first + count - 1, the first `n_symbols` symbols of each. Safe from threads.
  virtual std::vector<Paths> read(std::uint64_t first, std::uint64_t count) const = 0;

  arma::uword n_samples = 0, n_rx = 0, n_tx = 0;
  arma::uword n_symbols = 1;   ///< at first those stored; 1: the channel stands still
  std::uint64_t n_values = 1;  ///< gains of a sample, about: how many samples are read at a time
};

/// Channels on a grid from gains and delays, a few samples at a time.
/// @param own   grid of the file; spacing 0: it has none, and `choice` must name one
/// @param axes  of the gains, as in DatasetInfo
/// @throws Error(format) if no grid is known, it has too many symbols, or a delay is negative
std::unique_ptr<SampleSource> make_path_source(std::unique_ptr<PathReader> reader,
                                               const GridAxes& own, const GridChoice& choice,
                                               const ArrayName& name, const std::string& axes);

/// The same from two arrays. Axes of the gains are those of options.axes with p for the paths, or
/// [n, 1, rx, 1, tx, paths, times], or [n, rx, paths, times]; the delays have samples first, paths
/// last, and between them nothing but 1.
std::unique_ptr<SampleSource> make_path_source(std::unique_ptr<StoredArray> gains,
                                               std::unique_ptr<StoredArray> delays,
                                               const GridAxes& own, const ArrayName& name,
                                               const DatasetOptions& options);

/// Whether arrays a and tau of a file are read as gains and delays.
bool are_paths(const StoredArray& a, const StoredArray& tau, const DatasetOptions& options);
/// Whether the options leave it to the file what is read, or name a as gains.
bool may_be_paths(const DatasetOptions& options);

}  // namespace v0
}  // namespace chest
