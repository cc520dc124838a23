#pragma once

#include <armadillo>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/grid_covariance.hpp>
#include <chest/paths.hpp>
#include <chest/provenance.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// How the power of stored channels is brought to E||h||^2 = n_h. Explicit, and recorded in
/// results.
enum class Normalisation {
  none,     ///< as stored; refused when the mean power per entry is not near 1 (0.25 .. 4)
  dataset,  ///< one factor for the whole dataset, from the mean power of the samples asked for
  sample,   ///< every channel to ||h||^2 = n_h: removes path loss and fading of the total power
  factor    ///< one given factor
};

/// Which samples count, and how their power is treated. No sample outside first .. end - 1 changes
/// or stops anything.
struct SampleChoice {
  arma::uword first = 0, end = 0;  ///< asked for; end 0: to the last
  /// Finds the samples that are zero or not finite before the first is used: DatasetInfo::bad.
  bool skip_bad = false;
  Normalisation normalisation = Normalisation::none;
  double factor = 1.0;          ///< for Normalisation::factor
  double expected_power = 1.0;  ///< per entry: what `none` expects, `dataset` and `sample` reach
};

/// Samples that are no channels.
struct BadSamples {
  SampleSet zero, not_finite;
  SampleSet all;  ///< both

  /// "samples 3:7, 12 (5 of 50) are zero and sample 20 (1 of 50) is not finite"; empty: none.
  std::string text(arma::uword n_samples) const;
};

/// The grid that channels are read on; what is 0 is as the file has it.
struct GridChoice {
  arma::uword n_subcarriers = 0, n_symbols = 0;
  double spacing_hz = 0.0;

  bool given() const { return n_subcarriers > 0 || n_symbols > 0 || spacing_hz > 0.0; }
};
/// "624x14@30": subcarriers, symbols and their spacing in kHz; also "624@30", "624x14" and "@30".
/// @throws Error(invalid_argument)
GridChoice parse_grid(const std::string& text);

struct DatasetOptions : SampleChoice {
  std::string dataset;  ///< path inside the file; empty: found
  /// One letter per stored dimension, in the order in which h5py and NumPy show them: "n" sample
  /// (several: all their combinations, the last fastest), "r" and "t" antennas, "f" subcarrier, "s" OFDM symbol, "v" vec(H), "w"
  /// the rows of H one after the other, "c" real and imaginary part, or the index that is taken.
  /// "trn" is a MATLAB array [n, n_rx, n_tx], "n,r,t,12" its NumPy sibling at the 13th subcarrier,
  /// "nrfs" a grid of one transmit antenna. Of gains beside delays "p" is the path. Empty: from the
  /// kind of file (docs/formats.md).
  std::string axes;
  /// Gains and delays of paths become channels on this grid; of arrays that are grids it takes the
  /// first subcarriers and symbols, and names the spacing.
  GridChoice grid = {};
  arma::uword n_rx = 0;      ///< needed for vec(H), checked elsewhere; 0: from the file
  PanelShape rx_panel = {};  ///< the receive antennas, where they are a panel
  bool matrix =
      false;  ///< one matrix, complex or real, as its writer shows it, in place of samples
};

struct DatasetInfo {
  std::filesystem::path file;
  std::string dataset;    ///< path inside the file, empty for .npy
  std::string kind;       ///< who wrote it: "chest", "MATLAB v7.3", "h5py", "npy" ...
  std::string axes;       ///< assumed or given; "ptr" in quadriga-lib, p being the summed paths
  std::string type_name;  ///< stored type, for people
  arma::uword n_samples = 0, n_rx = 0, n_tx = 0;
  GridAxes grid = {};
  PanelShape rx_panel = {};   ///< as told by DatasetOptions::rx_panel or the file
  arma::uword n_skipped = 0;  ///< empty snapshots (quadriga-lib) or cells left out
  double scale = 1.0;         ///< h = scale * stored (Normalisation::sample: 1)
  Normalisation normalisation = Normalisation::none;
  SampleRange asked;  ///< the samples that count
  BadSamples bad;     ///< of those asked for; empty unless SampleChoice::skip_bad
  bool has_covariances = false;
  bool has_prior = false;
  bool has_paths = false;            ///< the file holds gains and delays
  bool has_grid_covariance = false;  ///< Dataset::grid_covariance()
  arma::uword n_h() const { return n_rx * n_tx * grid.n_elements(); }
  std::string model;  ///< generator and options, JSON, where chest generated the file
  /// Doubts about what was assumed (axes, complex values of zero mean), sentences for people.
  std::vector<std::string> warnings;
};

/// The least error of channels seen in noise, h + sigma eps.
struct OptimalErrors {
  arma::vec snr_db, mse;  ///< E||h - E[h | h + noise]||^2 / n_h at -10 log10 sigma2
  std::string kind;       ///< "exact", or "limit": of high SNR, cut to the best linear estimator
};

/// Channels stored in one file, read a block at a time (docs/formats.md). HDF5 in the forms of
/// chest, MATLAB v7.3, h5py, Octave and quadriga-lib, MATLAB v4 to v7, NumPy .npy and .npz. Reading is
/// safe from several threads.
class Dataset {
 public:
  /// @throws Error(io)      if the file cannot be read
  /// @throws Error(format)  if it is not of a known form, no dataset or more than one fits, values
  /// are
  ///                        not complex, or the power is not near 1 and not normalised
  explicit Dataset(const std::filesystem::path& file, const DatasetOptions& options = {});
  ~Dataset();
  Dataset(Dataset&&) noexcept;
  Dataset& operator=(Dataset&&) noexcept;

  const DatasetInfo& info() const;
  /// Chooses samples and their power again, as the constructor does.
  /// @throws Error(invalid_argument) beyond the end;  Error(format) if the power does not fit;
  ///         Error(numeric) if all samples asked for are bad, or one and skip_bad is off
  void choose(const SampleChoice& choice);
  /// Samples first .. first + count - 1 as columns vec(H), [n_rx n_tx, count], normalised.
  /// @throws Error(invalid_argument) beyond the end;  Error(numeric) naming all samples asked for
  ///         that are not finite or all zero, when one of them is read
  arma::cx_mat read(arma::uword first, arma::uword count) const;
  /// The same, and what each stored sample was multiplied by, [count].
  arma::cx_mat read(arma::uword first, arma::uword count, arma::vec& scales) const;
  /// Mean power per entry of what read() gives, from 1024 samples spread over those asked for.
  double rough_power() const;
  /// Reads a range and says which of its samples are zero or not finite.
  BadSamples find_bad(const SampleRange& range) const;
  /// The covariances that samples first .. first + count - 1 were drawn with; empty when the file
  /// has none. Scaled like the channels.
  ToeplitzKroneckerCovariances read_covariances(arma::uword first, arma::uword count) const;
  /// The mixture that the samples were drawn from, where the file holds it.
  std::optional<GaussianMixture> prior() const;
  /// The covariance that all samples were drawn with, on their grid, where the file holds it; scaled
  /// like the channels.
  std::optional<GridCovariance> grid_covariance() const;
  /// The least error on these channels, where the file holds it; scaled like the channels.
  std::optional<OptimalErrors> optimum() const;
  /// Gains and delays of samples first .. first + count - 1, as stored; empty where there are none.
  std::vector<Paths> read_paths(arma::uword first, arma::uword count) const;

  /// The dataset as a reader, bad samples included; this object must outlive it.
  SampleReader samples() const;

 private:
  friend arma::cx_mat read_matrix(const std::filesystem::path&, const std::string&);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A matrix in any of the files that Dataset reads, [rows, columns] as the program that wrote it shows
/// it (a MATLAB matrix is not transposed); real values and one axis will do.
/// @param dataset  path inside the file; empty: found
/// @throws Error as Dataset does;  Error(numeric) if values are not finite
arma::cx_mat read_matrix(const std::filesystem::path& file, const std::string& dataset);

/// "FILE" or "FILE:DATASET" (a colon that is part of an existing file name is kept, and of one that
/// is not there all but the last behind an ending: messages name the whole of C:\a.mat).
std::pair<std::filesystem::path, std::string> split_dataset_name(const std::string& text);

const char* to_string(Normalisation normalisation);

/// Channels to be written with what is known of them. A column of NaN keeps the place of a sample
/// that was left out.
struct ChannelBlock {
  arma::cx_mat h;                            ///< [n_h, n]; none where there are paths
  ToeplitzKroneckerCovariances covariances;  ///< empty when unknown
  arma::vec err_var;  ///< of estimates: E|h_hat - h|^2 per entry, [n]; empty when unknown
  arma::mat err_var_angular = {};  ///< the same of each angular entry, [n_rx n_tx, n]; or empty
  /// On a grid the same of each port and element, [n_tx n_subcarriers n_symbols, n]; or empty.
  arma::mat err_var_element = {};
  arma::mat heads = {};   ///< of estimates: Estimate::heads, [n_classes + n_numbers, n]; or empty
  arma::vec sigma2 = {};  ///< noise variance that the estimator found, [n]; or empty
  arma::vec scale = {};   ///< of the observations, each; [n], or empty
  std::vector<Paths> paths = {};  ///< gains and delays in place of h, as many paths in each
};

struct ChannelFileOptions {
  arma::uword n_rx = 0, n_tx = 0, n_samples = 0;
  GridAxes grid = {};
  bool single_precision = true;  ///< complex64 on disk
  bool compress = false;         ///< gzip + shuffle
  bool with_covariances = false;
  bool with_err_var = false, with_err_var_angular = false, with_err_var_element = false;
  bool with_sigma2 = false, with_scale = false;
  arma::uword n_classes = 0, n_numbers = 0;  ///< that a network tells of each channel
  std::string model;                         ///< JSON: generator and options
  std::string observations;  ///< JSON, of estimates: file, hash, normalisation, scale, samples
  std::optional<GaussianMixture> prior;
  /// Of gains and delays on the grid: how many paths, and symbols (1 or those of the grid).
  arma::uword n_paths = 0, n_path_symbols = 0;
  PanelShape rx_panel = {};  ///< the receive antennas, where they are a panel
  std::optional<GridCovariance> grid_covariance = {};
  std::optional<OptimalErrors> optimum = {};
  Provenance provenance;
};

/// Writes channels in chest's own form, block after block: /channels [n, n_rx, n_tx] complex {r,
/// i}, on a grid [n, n_rx, n_tx, n_subcarriers, n_symbols], /covariance/t_rx [n, n_rx],
/// /covariance/t_tx [n, n_tx], /err_var [n], /err_var_angular [n, n_rx, n_tx], /err_var_element [n, n_tx,
/// n_subcarriers, n_symbols], /class_probability [n, n_classes], /numbers [n, n_numbers], /sigma2 [n], /scale [n],
/// /prior; or gains and
/// delays, /gains [n, n_symbols, n_paths, n_tx, n_rx], /delays [n, n_paths]. In place only after
/// finish().
class ChannelFileWriter {
 public:
  ChannelFileWriter(const std::filesystem::path& file, const ChannelFileOptions& options);
  ~ChannelFileWriter();
  /// Appends.  @throws Error(invalid_argument) if sizes differ or there are more than n_samples
  void append(const ChannelBlock& block);
  /// @throws Error(invalid_argument) if fewer than n_samples were appended;  Error(io)
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace v0
}  // namespace chest
