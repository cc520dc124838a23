#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>

#include <chest/error.hpp>

#include "sample_source.hpp"

namespace chest {
inline namespace v0 {
namespace {

constexpr std::size_t header_bytes_most = std::size_t{1} << 20;
constexpr std::size_t rank_most = 32;

class File {
 public:
  explicit File(const std::filesystem::path& path)
      : path_(path), id_(::open(path.c_str(), O_RDONLY)) {
    if (id_ < 0)
      throw Error(ErrorKind::io, path.string() + ": cannot be opened: " + std::strerror(errno));
  }
  ~File() { ::close(id_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void read(std::uint64_t offset, void* out, std::size_t n_bytes) const {
    auto* to = static_cast<char*>(out);
    while (n_bytes > 0) {
      const ssize_t n = ::pread(id_, to, n_bytes, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw Error(ErrorKind::io, path_.string() + ": " + std::strerror(errno));
      if (n == 0)
        throw Error(ErrorKind::format, path_.string() + ": ends too early; it is truncated");
      offset += static_cast<std::uint64_t>(n);
      to += n;
      n_bytes -= static_cast<std::size_t>(n);
    }
  }

 private:
  std::filesystem::path path_;
  int id_;
};

/// The header is a Python dictionary of three entries in any order; this reads the text after a
/// key.
std::optional<std::string> value_of(const std::string& header, const std::string& key) {
  for (const char quote : {'\'', '"'}) {
    const std::string quoted = quote + key + quote;
    std::size_t at = header.find(quoted);
    if (at == std::string::npos) continue;
    at = header.find_first_not_of(" :", at + quoted.size());
    if (at != std::string::npos) return header.substr(at);
  }
  return {};
}

std::optional<std::vector<std::uint64_t>> parse_shape(const std::string& text) {
  const std::size_t close = text.find(')');
  if (text.empty() || text[0] != '(' || close == std::string::npos) return {};
  std::vector<std::uint64_t> dims;
  bool in_number = false;
  for (std::size_t i = 1; i < close; ++i) {
    const char c = text[i];
    if (c >= '0' && c <= '9') {
      if (!in_number) dims.push_back(0);
      if (dims.size() > rank_most || dims.back() > std::numeric_limits<std::uint64_t>::max() / 16)
        return {};
      dims.back() = 10 * dims.back() + static_cast<std::uint64_t>(c - '0');
      in_number = true;
    } else if (c == ',' || c == ' ' || c == 'L') {  // Python 2 wrote 64L
      in_number = false;
    } else {
      return {};
    }
  }
  return dims;
}

class NpyArray final : public StoredArray {
 public:
  explicit NpyArray(const std::filesystem::path& path) : file_(path) {
    const auto fail = [&](const std::string& what) -> void {
      throw Error(ErrorKind::format, path.string() + ": " + what);
    };
    const std::uint64_t file_bytes = std::filesystem::file_size(path);
    unsigned char start[12] = {};
    if (file_bytes < sizeof start) fail("ends within the header of a NumPy file; it is truncated");
    file_.read(0, start, sizeof start);
    const unsigned major = start[6];
    if (major < 1 || major > 3)
      fail("is a NumPy file of version " + std::to_string(major) + ", expected 1, 2 or 3");
    const std::uint64_t header_at = major == 1 ? 10 : 12;
    std::uint64_t header_bytes = start[8] + 256u * start[9];
    if (major > 1) header_bytes += 65536ull * start[10] + 16777216ull * start[11];
    if (header_bytes > header_bytes_most)
      fail("claims a header of " + std::to_string(header_bytes) + " bytes; it is damaged");
    data_at_ = header_at + header_bytes;
    if (data_at_ > file_bytes) fail("ends within the header of a NumPy file; it is truncated");
    std::string header(header_bytes, '\0');
    file_.read(header_at, header.data(), header_bytes);

    const auto descr = value_of(header, "descr");
    const auto order = value_of(header, "fortran_order");
    const auto shape = value_of(header, "shape");
    const auto shape_dims = shape ? parse_shape(*shape) : std::nullopt;
    if (!descr || !order || !shape_dims) fail("has a NumPy header that chest does not understand");
    if (descr->empty() || (descr->front() != '\'' && descr->front() != '"'))
      fail("holds a structured NumPy type, expected complex64 or complex128");
    const std::string type = descr->substr(1, descr->find(descr->front(), 1) - 1);
    if (type == "|O" || type == "O")
      fail("holds pickled Python objects, expected one complex array; save that with np.save");
    if (!type.empty() && type[0] == '>')
      fail("is big-endian (" + type + "); save it with astype('<c8')");
    if (type == "<c8" || type == "<c16") {
      parts = ComplexParts::interleaved;
    } else if (type == "<f4" || type == "<f8") {
      parts = ComplexParts::axis;
    } else {
      fail("holds values of type " + type +
           ", complex values are needed: complex64, complex128, or floats with an axis of real and "
           "imaginary part");
    }
    single = type == "<c8" || type == "<f4";
    type_name = type == "<c8"    ? "complex64"
                : type == "<c16" ? "complex128"
                : type == "<f4"  ? "float32"
                                 : "float64";

    dims = *shape_dims;
    dims_reversed = order->rfind("True", 0) == 0;
    if (dims_reversed) std::reverse(dims.begin(), dims.end());
    value_bytes_ = type.back() == '6' ? 16 : type.back() == '8' ? 8 : 4;
    std::uint64_t bytes = value_bytes_;
    for (const std::uint64_t d : dims) {
      if (d != 0 && bytes > (file_bytes - data_at_) / d)
        fail("claims the shape " + shape_text(*shape_dims) + " of " + type_name + ", but holds " +
             std::to_string(file_bytes - data_at_) + " bytes of data; it is truncated");
      bytes *= d;
    }
  }

  std::string type_name;

  void read(const Hyperslab& slab, float* out) const override { read_runs(slab, out); }
  void read(const Hyperslab& slab, double* out) const override { read_runs(slab, out); }

 private:
  void read_runs(const Hyperslab& slab, void* out) const {
    // The last axes that are read whole, and the one before them, are consecutive bytes.
    std::size_t n_outer = dims.size();
    std::uint64_t run = 1;
    while (n_outer > 0) {
      --n_outer;
      run *= slab.count[n_outer];
      if (slab.count[n_outer] != dims[n_outer]) break;
    }
    std::vector<std::uint64_t> index(n_outer, 0);
    auto* to = static_cast<char*>(out);
    for (bool more = true; more;) {
      std::uint64_t at = 0;
      for (std::size_t d = 0; d < dims.size(); ++d)
        at = at * dims[d] + slab.first[d] + (d < n_outer ? index[d] : 0);
      file_.read(data_at_ + at * value_bytes_, to, run * value_bytes_);
      to += run * value_bytes_;
      more = false;
      for (std::size_t d = n_outer; d-- > 0 && !more;) {
        more = ++index[d] < slab.count[d];
        if (!more) index[d] = 0;
      }
    }
  }

  File file_;
  std::uint64_t data_at_ = 0;
  std::uint64_t value_bytes_ = 0;
};

}  // namespace

std::unique_ptr<SampleSource> open_npy(const std::filesystem::path& file,
                                       const DatasetOptions& options) {
  if (!options.dataset.empty())
    throw Error(ErrorKind::format, file.string() +
                                       ": is a NumPy file with a single array, there is no " +
                                       options.dataset + " in it");
  auto array = std::make_unique<NpyArray>(file);
  const ArrayName name{file, "", "npy", array->type_name};
  return make_array_source(std::move(array), name, options);
}

}  // namespace v0
}  // namespace chest
