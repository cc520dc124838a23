#pragma once

#include <armadillo>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace chest {
inline namespace v0 {

/// How the values of a stored dataset can be read.
enum class ValueType {
  real,     ///< float or double
  integer,  ///< any integer
  complex,  ///< compound of two numbers named as complex_pair() has it, r/i or real/imag for example, or an
            ///< array of two
  string,  ///< text
  other    ///< references, other compounds, opaque ...: not read by chest
};
/// "real", "complex" ...: for messages.
const char* to_string(ValueType type);

/// Shape and type of a stored dataset; reading it reads no values.
struct StoredDataset {
  std::vector<std::uint64_t> dims;   ///< C order: slowest first; empty for a scalar
  std::vector<std::uint64_t> chunk;  ///< chunk dimensions; empty when contiguous
  ValueType type = ValueType::other;
  std::size_t bytes_per_value = 0;  ///< size of one value before compression
  bool fits_float = false;  ///< numbers, or parts of complex values: float holds all of their type
  std::uint64_t stored_bytes = 0;  ///< what the file holds of it, compressed
  std::string type_name;           ///< for messages: "compound {real, imag} float32"
  std::uint64_t n_values() const;  ///< product of dims
};

/// A block of a stored dataset: first index and count in each dimension, C order.
struct Hyperslab {
  std::vector<std::uint64_t> first;
  std::vector<std::uint64_t> count;
};

/// Reads HDF5 files: ours, MATLAB v7.3, h5py, Octave, quadriga-lib. Not for sharing between threads
/// without a lock; separate readers may run side by side.
///
/// T below is double, float, std::complex<double>, std::complex<float>, std::int64_t or
/// std::uint32_t; HDF5 converts the precision. Buffers are in C order, the last index fastest.
class ArchiveReader {
 public:
  /// @throws Error(io)      if the file cannot be opened
  /// @throws Error(format)  if it is not HDF5 (what it is instead is named), locked by a writer or not closed by
  ///                        it, truncated, or newer than the HDF5 library
  explicit ArchiveReader(const std::filesystem::path& file);
  ~ArchiveReader();
  ArchiveReader(ArchiveReader&&) noexcept;
  ArchiveReader& operator=(ArchiveReader&&) noexcept;

  const std::filesystem::path& file() const;
  /// Whether a dataset or group of this path exists.
  bool has(const std::string& path) const;
  bool is_group(const std::string& path) const;
  /// Whether the name of an object is marked as UTF-8, as HDF5.jl and MATLAB's h5create mark all names
  /// and h5py only those that are not ASCII.
  bool has_utf8_name(const std::string& path) const;
  /// Names directly below a group, sorted; "/" is the root.
  std::vector<std::string> list(const std::string& group) const;
  /// Paths of all datasets below a group, depth first, at most `most`.
  std::vector<std::string> list_datasets(const std::string& group = "/",
                                         std::size_t most = 1000) const;
  /// A sentence for every link below the root that leads nowhere.
  std::vector<std::string> list_broken_links() const;
  /// Paths of the objects that a dataset of references names, as MATLAB has them for cells and arrays of structs; empty
  /// for what is neither in the root nor in /#refs#.
  /// @throws Error(format) if it holds no references, or more than `most`
  std::vector<std::string> read_references(const std::string& dataset,
                                           std::uint64_t most = std::uint64_t{1} << 20) const;

  /// @throws Error(format) if there is no such dataset; the message lists those there, or names the link that leads
  ///                       nowhere
  StoredDataset info(const std::string& dataset) const;
  /// Reads a block into `out`, which holds the product of `slab.count` values.
  /// @throws Error(format) if the type does not fit T, the block lies outside, or the data is
  /// damaged
  template <class T>
  void read(const std::string& dataset, const Hyperslab& slab, T* out) const;
  /// Reads all values.  @throws Error(format) also if there are more than `most`
  template <class T>
  std::vector<T> read_all(const std::string& dataset,
                          std::uint64_t most = std::uint64_t{1} << 31) const;
  /// A dataset of dims (rows, cols) as [rows, cols]; of dims (n) as [n, 1].
  arma::cx_mat read_cx_mat(const std::string& dataset) const;
  arma::mat read_mat(const std::string& dataset) const;
  /// Text dataset or scalar string.
  std::string read_text(const std::string& dataset) const;

  /// Attributes of a group or dataset ("/" is the file). Empty when there is none of that name or
  /// type.
  std::optional<std::string> text_attribute(const std::string& object,
                                            const std::string& name) const;
  std::optional<double> number_attribute(const std::string& object, const std::string& name) const;
  /// Exact, where a double is not; a value that is not an integer is truncated.
  std::optional<std::int64_t> integer_attribute(const std::string& object,
                                                const std::string& name) const;
  /// Names of the attributes.
  std::vector<std::string> list_attributes(const std::string& object) const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

/// Writes an HDF5 file and puts it in place in one step: until commit() the file of that name is
/// what it was before, and without commit() it stays so.
///
/// Creates parent groups as needed. Not for sharing between threads.
class ArchiveWriter {
 public:
  /// @throws Error(io) if the file cannot be created
  explicit ArchiveWriter(const std::filesystem::path& file);
  ~ArchiveWriter();
  ArchiveWriter(ArchiveWriter&&) noexcept;
  ArchiveWriter& operator=(ArchiveWriter&&) noexcept;

  /// Writes a dataset in one piece, C order. T as in ArchiveReader, complex as compound {r, i}.
  template <class T>
  void write(const std::string& dataset, const std::vector<std::uint64_t>& dims, const T* values);
  /// [rows, cols] as dims (rows, cols): h5py shows the same matrix.
  void write(const std::string& dataset, const arma::cx_mat& values);
  void write(const std::string& dataset, const arma::mat& values);
  void write_text(const std::string& dataset, const std::string& text);

  /// Makes an empty dataset to be filled by write_block; chunked and gzip-compressed (shuffle,
  /// level 4) when `compress`, else contiguous.
  template <class T>
  void create(const std::string& dataset, const std::vector<std::uint64_t>& dims,
              bool compress = false);
  template <class T>
  void write_block(const std::string& dataset, const Hyperslab& slab, const T* values);

  /// Sets an attribute of a dataset or group; the group is created if there is nothing of that
  /// path.
  void attribute(const std::string& object, const std::string& name, const std::string& value);
  void attribute(const std::string& object, const std::string& name, double value);
  void attribute(const std::string& object, const std::string& name, std::int64_t value);

  /// Flushes to disk and renames into place.  @throws Error(io), for example when no space is left
  void commit();

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace v0
}  // namespace chest
