#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>

#include <chest/error.hpp>
#include <chest/pair_names.hpp>
#include <chest/text.hpp>

#include "mat_file.hpp"
#include "sample_source.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// All the values of a name in memory, as float or double: all real parts, then all imaginary ones.
template <class T>
class MatArray final : public StoredArray {
 public:
  std::vector<T> re, im;

  void read(const Hyperslab& slab, float* out) const override { read_as(slab, out); }
  void read(const Hyperslab& slab, double* out) const override { read_as(slab, out); }

 private:
  template <class U>
  void read_as(const Hyperslab& slab, U* out) const {
    copy(re, slab, 0, 0, out);
    if (!im.empty()) copy(im, slab, 0, 0, out);
  }
  template <class U>
  void copy(const std::vector<T>& from, const Hyperslab& slab, std::size_t d, std::uint64_t at,
            U*& out) const {
    const std::uint64_t first = at * dims[d] + slab.first[d];
    if (d + 1 == dims.size()) {
      out = std::transform(from.begin() + static_cast<std::ptrdiff_t>(first),
                           from.begin() + static_cast<std::ptrdiff_t>(first + slab.count[d]), out,
                           [](T value) { return static_cast<U>(value); });
      return;
    }
    for (std::uint64_t i = 0; i < slab.count[d]; ++i) copy(from, slab, d + 1, first + i, out);
  }
};

constexpr const char* one_size =
    " has elements of several sizes or types; in MATLAB make one array of those that fit: H = "
    "permute(cat(3, ...), [3 1 2])";

bool is_uniform(const MatName& name) {
  const MatArrayInfo& first = name.arrays[0];
  return std::all_of(name.arrays.begin(), name.arrays.end(), [&](const MatArrayInfo& other) {
    return other.type == first.type && other.is_complex == first.is_complex &&
           other.dims == first.dims;
  });
}

std::string described(const MatArrayInfo& array) {
  return (array.is_complex ? "complex " : "") + array.type + " " + shape_text(array.dims);
}

/// Finds the channels among the names of a file.
class MatFinder {
 public:
  MatFinder(const std::filesystem::path& path, const MatFile& file)
      : path_(path), names_(file.names()) {
    for (const auto& [re, name] : names_) {
      if (!can_be_part(name)) continue;
      for (const auto& [im, other] : names_) {
        if (im == re || !can_be_part(other) || other.arrays.size() != name.arrays.size() ||
            other.arrays[0].dims != name.arrays[0].dims ||
            other.arrays[0].type != name.arrays[0].type)
          continue;
        if (const auto whole = complex_pair(re, im))
          pairs_[whole->empty() ? re : *whole] = {re, im};
      }
    }
  }

  /// Names of the real part, or of complex or other arrays, and of the imaginary part or empty.
  std::pair<std::string, std::string> parts(const std::string& name) const {
    const auto pair = pairs_.find(name);
    return pair == pairs_.end() ? std::make_pair(name, std::string()) : pair->second;
  }

  /// The one name that can be channels.
  /// @param matrix  a real matrix will do
  std::string found(bool matrix) const {
    std::vector<std::string> fitting;
    const auto take = [&](const auto& fits) {
      if (!fitting.empty()) return;
      for (const auto& [name, value] : names_)
        if (!value.arrays.empty() && value.arrays[0].is_number && is_uniform(value) &&
            value.arrays[0].n_values() > 1 && fits(value.arrays[0]))
          fitting.push_back(name);
    };
    take([](const MatArrayInfo& array) { return array.is_complex; });
    if (fitting.empty())
      for (const auto& [name, parts] : pairs_)
        if (names_.at(parts.first).arrays[0].n_values() > 1) fitting.push_back(name);
    take([](const MatArrayInfo& array) { return array.dims.size() > 2 && array.dims.back() == 2; });
    if (matrix) take([](const MatArrayInfo& array) { return array.dims.size() < 3; });
    if (fitting.size() == 1) return fitting[0];
    if (fitting.size() > 1)
      fail("several arrays could be the " + std::string(matrix ? "matrix" : "channels") + ", " +
           what_is_there(fitting) + "; name one, as FILE:NAME");
    for (const auto& [name, value] : names_) {
      if (value.arrays.empty()) continue;
      if (value.arrays[0].type == "sparse matrix") fail(name + why_sparse(name));
      if (value.arrays[0].is_complex && !is_uniform(value)) fail(name + one_size);
    }
    fail("no array of complex channels was found, " + what_is_there(all_names()));
  }

  /// "s.H" as MATLAB has it, "s(:).H", and "/s/H" as HDF5 would.
  std::string named(const std::string& wanted) const {
    std::string name;
    for (const char c : wanted) {
      if (c == '/') {
        if (!name.empty()) name += '.';
      } else if (std::string("(){}:").find(c) == std::string::npos) {
        name += c;
      }
    }
    const auto value = names_.find(name);
    if (pairs_.count(name) > 0 || (value != names_.end() && !value->second.arrays.empty()))
      return name;
    std::vector<std::string> below;
    for (const auto& [other, unused] : names_)
      if (other.rfind(name + ".", 0) == 0) below.push_back(other);
    if (!below.empty()) fail(name + " is a struct, " + what_is_there(below) + "; name one of them");
    fail("there is no array " + wanted + ", " + what_is_there(all_names()));
  }

  /// Refuses what cannot be read as channels.
  void check(const std::string& name, const DatasetOptions& options) const {
    const auto [re, im] = parts(name);
    const MatName& value = names_.at(re);
    const MatArrayInfo& first = value.arrays[0];
    if (first.type == "sparse matrix") fail(name + why_sparse(name));
    if (first.is_unsigned)
      fail(name + " holds " + described(first) +
           ": unsigned real and imaginary parts are offset binary; subtract the middle of their "
           "range and save doubles");
    if (!first.is_number) fail(name + " holds " + described(first) + ", expected complex values");
    if (first.n_values() == 0) fail(name + " is an empty array");
    if (!is_uniform(value)) fail(name + one_size);
    if (!first.is_complex && im.empty() && options.axes.empty() &&
        (first.dims.size() < 3 || first.dims.back() != 2) &&
        !(options.matrix && first.dims.size() < 3))
      fail(name + " holds " + described(first) + ", " + complex_values_needed);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::format, path_.string() + ": " + what);
  }

  static bool can_be_part(const MatName& name) {
    return !name.arrays.empty() && name.arrays[0].is_number && !name.arrays[0].is_complex &&
           !name.arrays[0].is_unsigned && is_uniform(name);
  }

  static std::string why_sparse(const std::string& name) {
    return " is a sparse matrix; in MATLAB: H = full(" + name +
           "); save('channels.mat', 'H', '-v7.3')";
  }

  std::vector<std::string> all_names() const {
    std::vector<std::string> all;
    for (const auto& [name, value] : names_) all.push_back(name);
    return all;
  }

  std::string what_is_there(const std::vector<std::string>& names) const {
    std::vector<std::string> words;
    for (const std::string& name : names) {
      if (words.size() == 10) {
        words.emplace_back("others");
        break;
      }
      const MatName& value = names_.at(parts(name).first);
      const std::size_t n = value.arrays.size();
      words.push_back(name + (n == 0 ? " (empty)"
                                     : " (" + (n > 1 ? std::to_string(n) + " times " : "") +
                                           described(value.arrays[0]) + ")"));
    }
    return "there are " + enumerate(words);
  }

  std::filesystem::path path_;
  const std::map<std::string, MatName>& names_;
  std::map<std::string, std::pair<std::string, std::string>> pairs_;
};

template <class T>
std::unique_ptr<SampleSource> read(const MatFile& file, const std::string& re,
                                   const std::string& im, ArrayName name,
                                   const DatasetOptions& options) {
  const MatName& value = file.names().at(re);
  const MatArrayInfo& first = value.arrays[0];
  const bool is_elements = !value.is_plain && value.arrays.size() > 1;
  auto array = std::make_unique<MatArray<T>>();
  array->single = sizeof(T) == 4;
  array->dims.assign(first.dims.rbegin(), first.dims.rend());
  if (is_elements) array->dims.insert(array->dims.begin(), value.arrays.size());
  array->axis_order = is_elements ? AxisOrder::row_major : AxisOrder::column_major;
  array->re = file.read<T>(value.arrays, false);
  if (first.is_complex) array->im = file.read<T>(value.arrays, true);
  if (!im.empty()) array->im = file.read<T>(file.names().at(im).arrays, false);
  array->parts = array->im.empty() ? ComplexParts::axis : ComplexParts::planes;
  DatasetOptions with_axes = options;
  if (is_elements && options.axes.empty()) with_axes.axes = axes_of_elements(array->dims, name);
  auto source = make_array_source(std::move(array), name, with_axes);
  source->n_skipped = value.n_empty;
  return source;
}

}  // namespace

std::unique_ptr<SampleSource> open_mat(const std::filesystem::path& path,
                                       const DatasetOptions& options) {
  const MatFile file(path);
  const MatFinder finder(path, file);
  const std::string name =
      options.dataset.empty() ? finder.found(options.matrix) : finder.named(options.dataset);
  finder.check(name, options);
  const auto [re, im] = finder.parts(name);
  const MatArrayInfo& first = file.names().at(re).arrays[0];
  const ArrayName as{path, name, file.is_v4() ? "MATLAB v4" : "MATLAB v5 to v7",
                     (first.is_complex ? "complex " : "") + first.type};
  return first.fits_float ? read<float>(file, re, im, as, options)
                          : read<double>(file, re, im, as, options);
}

}  // namespace v0
}  // namespace chest
