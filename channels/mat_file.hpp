#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bytes.hpp"

namespace chest {
inline namespace v0 {

/// Where the numbers of an array stand in a file of MATLAB v4 to v7.
struct MatPart {
  std::uint64_t at = 0, n_bytes = 0;  ///< in the bytes of its variable, unpacked
  unsigned type = 0;                  ///< miINT8 ...
};

struct MatArrayInfo {
  std::string type;  ///< "double", "single", "int16" ...; "sparse matrix", "text", "object"
  std::vector<std::uint64_t> dims;  ///< as MATLAB shows them
  bool is_complex = false, is_number = false, is_unsigned = false;
  bool fits_float = false;  ///< float holds all values of its type
  MatPart re, im;
  std::size_t i_variable = 0;
  std::uint64_t n_values() const;  ///< product of dims, saturated
};

/// A name of the file, "H" or "s.H" of a struct, with the arrays that it has in all elements.
struct MatName {
  std::vector<MatArrayInfo> arrays;
  bool is_plain = true;       ///< one array, not the elements of a cell array or array of structs
  std::uint64_t n_empty = 0;  ///< elements that are empty, not among `arrays`
};

/// MATLAB v4 to v7 files, which are not HDF5: what they hold, and its numbers. All sizes are compared with the bytes that are there before anything is
/// allocated.
/// Source: MathWorks, MAT-File Format (v5 and its compressed form, v4).
class MatFile {
 public:
  /// @throws Error(format) if it is truncated or damaged
  explicit MatFile(const std::filesystem::path& file);

  bool is_v4() const { return is_v4_; }
  const std::map<std::string, MatName>& names() const { return names_; }
  /// The real, or the imaginary, parts of arrays of one name, one array after the other.
  template <class T>
  std::vector<T> read(const std::vector<MatArrayInfo>& arrays, bool imaginary) const;

 private:
  class Stream;
  struct Variable {
    std::uint64_t first = 0, end = 0;  ///< bytes of the file
    bool is_packed = false;
  };
  struct Element;

  [[noreturn]] void fail(const std::string& what) const;
  void list_v4();
  void list_v5();
  std::uint32_t number(const unsigned char* bytes) const;
  std::unique_ptr<Stream> open(const Variable& variable) const;
  Element read_element(Stream& from) const;
  /// The data of a short element: flags, dims, names.
  std::string read_small(Stream& from) const;
  void read_matrix(Stream& from, std::uint64_t n_bytes, const std::string& name, bool is_plain,
                   int depth);
  void add(const std::string& name, bool is_plain, MatArrayInfo array);

  std::unique_ptr<Bytes> bytes_;
  bool is_v4_ = false, is_big_endian_ = false;
  std::vector<Variable> variables_;
  std::map<std::string, MatName> names_;
  std::uint64_t n_arrays_ = 0;
};

}  // namespace v0
}  // namespace chest
