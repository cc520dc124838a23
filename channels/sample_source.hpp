#pragma once

#include <armadillo>
#include <complex>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <chest/archive.hpp>
#include <chest/channels/dataset.hpp>

namespace chest {
inline namespace v0 {

/// Channels as one kind of file stores them, before scaling: what each layout implements.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  /// Samples first .. first + count - 1 as columns, [n_h, count]. Safe from threads.
  virtual void read(std::uint64_t first, std::uint64_t count, std::complex<double>* out) const = 0;

  /// Gains and delays of samples, where the file holds these.
  virtual std::vector<Paths> read_paths(std::uint64_t, std::uint64_t) const { return {}; }

  arma::uword n_h() const { return n_rx * n_tx * grid.n_elements(); }

  arma::uword n_samples = 0, n_rx = 0, n_tx = 0;
  GridAxes grid = {};
  arma::uword n_skipped = 0;
  bool has_paths = false;
  std::string dataset, kind, axes, type_name;  // as in DatasetInfo
  std::vector<std::string> warnings;           // as in DatasetInfo
};

/// How the two parts of a complex value lie in a block of a stored array.
enum class ComplexParts {
  interleaved,  ///< re, im, re, im ...
  planes,       ///< two arrays, all re before all im
  axis,         ///< an axis of length 2 among dims
  real          ///< no imaginary part
};

/// Where the program that wrote an array has the first axis of [n, n_rx, n_tx].
enum class AxisOrder {
  row_major,     ///< slowest: Python
  column_major,  ///< fastest, our last: MATLAB, Octave, Julia
  slices         ///< the same, but samples are slices of a cube or columns of a matrix: Armadillo
};

/// The most entries of H.
constexpr std::uint64_t n_h_most = std::uint64_t{1} << 22;

/// An array of complex values in a file, however it stores them. Blocks are read as real numbers,
/// with the parts of each complex value where `parts` says.
class StoredArray {
 public:
  virtual ~StoredArray() = default;
  virtual void read(const Hyperslab& slab, float* out) const = 0;
  virtual void read(const Hyperslab& slab, double* out) const = 0;

  std::vector<std::uint64_t> dims;   ///< C order of the bytes: slowest first
  std::vector<std::uint64_t> chunk;  ///< same rank; empty when contiguous
  ComplexParts parts = ComplexParts::interleaved;
  AxisOrder axis_order = AxisOrder::row_major;
  bool single = false;         ///< float holds the values exactly
  bool dims_reversed = false;  ///< people see the dims in reverse (.npy in Fortran order)
};

/// What an array of channels is called, for messages and DatasetInfo.
struct ArrayName {
  std::filesystem::path file;
  std::string dataset, kind, type_name;
  std::string doubt = {};  ///< why the order of the axes is not sure; empty: it is that of the kind
};

/// @throws Error(format) always: what is wrong with the array of this name
[[noreturn]] void fail(const ArrayName& name, const std::string& what);

/// Channels in an array whose axes are given or follow from its kind; reads whole chunks,
/// transposes in memory and keeps the last slabs.
/// @throws Error(format) if the axes do not fit
std::unique_ptr<SampleSource> make_array_source(std::unique_ptr<StoredArray> array,
                                                const ArrayName& name,
                                                const DatasetOptions& options);

/// NumPy .npy.
std::unique_ptr<SampleSource> open_npy(const std::filesystem::path& file,
                                       const DatasetOptions& options);
/// NumPy .npz: the array is found, or the one named in the options.
std::unique_ptr<SampleSource> open_npz(const std::filesystem::path& file,
                                       const DatasetOptions& options);
/// MATLAB v4 to v7: the variable is found, or the one named in the options.
std::unique_ptr<SampleSource> open_mat(const std::filesystem::path& file,
                                       const DatasetOptions& options);
/// HDF5 of chest, MATLAB, h5py or Octave: the dataset is found, or the one named in the options.
std::unique_ptr<SampleSource> open_hdf5(std::shared_ptr<const ArchiveReader> archive,
                                        const DatasetOptions& options);
/// Gains and delays of chest's own files.
std::unique_ptr<SampleSource> open_chest_paths(std::shared_ptr<const ArchiveReader> archive,
                                               const DatasetOptions& options);
/// Whether the file has the index of quadriga-lib.
bool is_quadriga_lib(const ArchiveReader& archive);
/// HDF5 of quadriga-lib: one sample per snapshot, the sum over its paths, or where a grid is given
/// the paths with their delays.
std::unique_ptr<SampleSource> open_quadriga_lib(std::shared_ptr<const ArchiveReader> archive,
                                                const DatasetOptions& options);

/// What to say of real values where no axis holds their two parts.
inline constexpr const char* complex_values_needed =
    "complex values are needed; where real and imaginary part are an axis of length 2, name it as "
    "c, for example --axes ncrt; where they alternate along an axis (I, Q, I, Q), take them apart "
    "first, in Python: H = x[..., 0::2] + 1j * x[..., 1::2]";

/// Axes of matrices [n_rx, n_tx] of MATLAB that are the elements of a cell array or array of structs: dims n first,
/// then those of an element in C order.
/// @throws Error(format) if an element is more than a matrix
std::string axes_of_elements(const std::vector<std::uint64_t>& dims, const ArrayName& name);

/// "(16, 64, 9000)"
std::string shape_text(const std::vector<std::uint64_t>& dims);

}  // namespace v0
}  // namespace chest
