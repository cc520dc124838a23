#pragma once

#include <armadillo>
#include <functional>
#include <string>
#include <vector>

#include <chest/grid.hpp>

namespace chest {
inline namespace v0 {

// n_h n_samples of real data sets is beyond 32 bits, and sizes go to files and back as 64.
static_assert(sizeof(arma::uword) == 8,
              "chest counts with 64 bits: compile Armadillo with ARMA_64BIT_WORD, its default");

/// Samples first .. end - 1.
struct SampleRange {
  arma::uword first = 0, end = 0;

  arma::uword size() const { return end - first; }
  bool overlaps(const SampleRange& other) const { return first < other.end && other.first < end; }
  std::string text() const { return std::to_string(first) + ":" + std::to_string(end); }
};

/// Sample numbers, kept as ranges: what was never written to a file is one of them.
class SampleSet {
 public:
  /// Adds a sample after all that are there already.
  void add(arma::uword sample);
  arma::uword size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// Ascending, not empty, with gaps between them.
  const std::vector<SampleRange>& ranges() const { return ranges_; }
  /// The parts of a range that hold none of these samples.
  std::vector<SampleRange> outside(const SampleRange& range) const;
  /// "3:7, 12", first:end as in --samples; the first ten ranges, then "...".
  std::string text() const;

 private:
  std::vector<SampleRange> ranges_;
  arma::uword size_ = 0;
};

/// Channels that can be read block by block, wherever they come from: what fitting and sweeping
/// take.
struct SampleReader {
  arma::uword n_rx = 0;
  arma::uword n_tx = 0;
  arma::uword n_samples = 0;
  /// Samples first .. first + count - 1 as columns, [n_h, count]. Safe to call from threads.
  std::function<arma::cx_mat(arma::uword first, arma::uword count)> read;
  GridAxes grid = {};
  PanelShape rx_panel = {};

  arma::uword n_h() const { return n_rx * n_tx * grid.n_elements(); }
};

/// A reader over columns in memory. Keeps a copy.
/// @throws Error(invalid_argument) if h does not have n_rx n_tx rows for each element of the grid
SampleReader samples_in_memory(arma::cx_mat h, arma::uword n_rx, arma::uword n_tx,
                               const GridAxes& grid = {});
/// Part of a reader.  @throws Error(invalid_argument) if it reaches beyond the end
SampleReader subrange(const SampleReader& samples, arma::uword first, arma::uword count);

/// One reader after another; what their antennas are is said of the first alone.
/// @throws Error(invalid_argument) if there are none, or their sizes differ
SampleReader joined(const std::vector<SampleReader>& parts);

/// A reader without some samples; those after them move up.
/// @param left_out  counted as in `samples`
SampleReader without(const SampleReader& samples, const SampleSet& left_out);

/// At most n samples, spread evenly over a reader: neighbours in a file may be correlated.
SampleReader spread(const SampleReader& samples, arma::uword n);

/// Whether `side` has a matrix for each of the samples, of their size.
/// @throws Error(invalid_argument) naming `who` otherwise
void check_side(const std::string& who, const SampleReader& side, const SampleReader& samples);

/// Sample covariance (1/n) sum h h^H, zero mean, read in blocks. [n_h, n_h]
/// @throws Error(invalid_argument) if there are no samples
arma::cx_mat sample_covariance(const SampleReader& samples);

}  // namespace v0
}  // namespace chest
