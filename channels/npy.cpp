#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include <chest/error.hpp>
#include <chest/pair_names.hpp>
#include <chest/text.hpp>

#include "bytes.hpp"
#include "path_source.hpp"
#include "sample_source.hpp"

namespace chest {
inline namespace v0 {
namespace {

constexpr std::size_t header_bytes_most = std::size_t{1} << 20;
constexpr std::size_t rank_most = 32;

class FileBytes final : public Bytes {
 public:
  explicit FileBytes(const std::filesystem::path& path) : id_(::open(path.c_str(), O_RDONLY)) {
    name = path.string();
    if (id_ < 0) throw Error(ErrorKind::io, name + ": cannot be opened: " + std::strerror(errno));
    std::error_code error;
    size = std::filesystem::file_size(path, error);
  }
  ~FileBytes() override { ::close(id_); }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  void read(std::uint64_t offset, void* out, std::size_t n_bytes) const override {
    auto* to = static_cast<char*>(out);
    while (n_bytes > 0) {
      const ssize_t n = ::pread(id_, to, n_bytes, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw Error(ErrorKind::io, name + ": " + std::strerror(errno));
      if (n == 0) throw Error(ErrorKind::format, name + ": ends too early; it is truncated");
      offset += static_cast<std::uint64_t>(n);
      to += n;
      n_bytes -= static_cast<std::size_t>(n);
    }
  }

 private:
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

/// How one number of a NumPy array is stored.
struct NumberType {
  char kind = 0;          ///< i, u, f
  std::size_t bytes = 0;  ///< of one number
  bool big_endian = false;
  std::size_t parts = 1;      ///< 2: complex
  bool second_first = false;  ///< of a structured type: the imaginary part comes first
};

/// "<c8", ">i2", "|i1".
std::optional<NumberType> parse_type(const std::string& text) {
  if (text.size() < 3 || text.size() > 4 || std::string("<>|=").find(text[0]) == std::string::npos)
    return {};
  if (text.find_first_not_of("0123456789", 2) != std::string::npos) return {};
  NumberType type;
  type.kind = text[1];
  type.bytes = std::stoul(text.substr(2));
  type.big_endian = text[0] == '>';
  if (type.kind == 'c') {
    type.kind = 'f';
    type.parts = 2;
    type.bytes /= 2;
  }
  const auto one_of = [&](std::initializer_list<std::size_t> sizes) {
    return std::find(sizes.begin(), sizes.end(), type.bytes) != sizes.end();
  };
  if (type.kind == 'f' ? !one_of({2, 4, 8, 16})
                       : (type.kind != 'i' && type.kind != 'u') || !one_of({1, 2, 4, 8}))
    return {};
  return type;
}

/// "[('r', '<i2'), ('i', '<i2')]" as one complex value; empty when it is none.
std::optional<NumberType> parse_pair_type(const std::string& text) {
  const std::string list = text.substr(0, text.find(']'));
  std::vector<std::string> words;
  for (std::size_t at = list.find_first_of("'\""); at != std::string::npos;
       at = list.find_first_of("'\"", at + 1)) {
    const std::size_t end = list.find(list[at], at + 1);
    if (end == std::string::npos || words.size() > 4) return {};
    words.push_back(list.substr(at + 1, end - at - 1));
    at = end;
  }
  if (words.size() != 4 || words[1] != words[3]) return {};
  auto type = parse_type(words[1]);
  const bool in_order = complex_pair(words[0], words[2]).has_value();
  if (!type || type->parts != 1 || !(in_order || complex_pair(words[2], words[0]))) return {};
  type->parts = 2;
  type->second_first = !in_order;
  return type;
}

double half_value(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const double size = exponent == 31  ? (mantissa != 0 ? std::nan("") : HUGE_VAL)
                      : exponent == 0 ? std::ldexp(mantissa, -24)
                                      : std::ldexp(1024 + mantissa, exponent - 25);
  return bits >> 15 ? -size : size;
}

template <class Stored, class T>
void convert_as(const char* from, std::size_t n, T* to) {
  for (std::size_t i = 0; i < n; ++i) {
    Stored value;
    std::memcpy(&value, from + i * sizeof value, sizeof value);
    to[i] = static_cast<T>(value);
  }
}

/// n numbers in the byte order of this machine, as T.
template <class T>
void convert(const NumberType& type, const char* from, std::size_t n, T* to) {
  if (type.kind == 'f') {
    switch (type.bytes) {
      case 2:
        for (std::size_t i = 0; i < n; ++i) {
          std::uint16_t bits = 0;
          std::memcpy(&bits, from + 2 * i, 2);
          to[i] = static_cast<T>(half_value(bits));
        }
        return;
      case 4:
        return convert_as<float>(from, n, to);
      case 8:
        return convert_as<double>(from, n, to);
      default:
        return convert_as<long double>(from, n, to);
    }
  }
  switch (type.bytes) {
    case 1:
      return convert_as<std::int8_t>(from, n, to);
    case 2:
      return convert_as<std::int16_t>(from, n, to);
    case 4:
      return convert_as<std::int32_t>(from, n, to);
    default:
      return convert_as<std::int64_t>(from, n, to);
  }
}

class NpyArray final : public StoredArray {
 public:
  explicit NpyArray(std::unique_ptr<Bytes> bytes) : bytes_(std::move(bytes)) {
    const auto fail = [&](const std::string& what) -> void {
      throw Error(ErrorKind::format, bytes_->name + ": " + what);
    };
    const std::uint64_t file_bytes = bytes_->size;
    unsigned char start[12] = {};
    if (file_bytes < sizeof start) fail("ends within the header of a NumPy file; it is truncated");
    bytes_->read(0, start, sizeof start);
    if (std::memcmp(start, "\x93NUMPY", 6) != 0) fail("is not a NumPy array");
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
    bytes_->read(header_at, header.data(), header_bytes);

    const auto descr = value_of(header, "descr");
    const auto order = value_of(header, "fortran_order");
    const auto shape = value_of(header, "shape");
    const auto shape_dims = shape ? parse_shape(*shape) : std::nullopt;
    if (!descr || !order || !shape_dims) fail("has a NumPy header that chest does not understand");
    set_type(*descr, fail);

    dims = *shape_dims;
    dims_reversed = order->rfind("True", 0) == 0;
    if (dims_reversed) std::reverse(dims.begin(), dims.end());
    std::uint64_t n_bytes = type_.bytes * type_.parts;
    for (const std::uint64_t d : dims) {
      if (d != 0 && n_bytes > (file_bytes - data_at_) / d)
        fail("claims the shape " + shape_text(*shape_dims) + " of " + type_name + ", but holds " +
             std::to_string(file_bytes - data_at_) + " bytes of data; it is truncated");
      n_bytes *= d;
    }
  }

  std::string type_name;

  void read(const Hyperslab& slab, float* out) const override { read_runs(slab, out); }
  void read(const Hyperslab& slab, double* out) const override { read_runs(slab, out); }

 private:
  template <class Fail>
  void set_type(const std::string& descr, const Fail& fail) {
    const bool structured = !descr.empty() && descr.front() == '[';
    if (descr.empty() || (!structured && descr.front() != '\'' && descr.front() != '"'))
      fail("has a NumPy header that chest does not understand");
    const std::string text = structured ? descr.substr(0, descr.find(']') + 1)
                                        : descr.substr(1, descr.find(descr.front(), 1) - 1);
    if (text == "|O" || text == "O")
      fail("holds pickled Python objects, expected one complex array; save that with np.save");
    const auto type = structured ? parse_pair_type(text) : parse_type(text);
    if (!type)
      fail(structured ? "holds the structured NumPy type " + text +
                            ", whose fields are not one real and one imaginary part; save one "
                            "complex array of them"
                      : "holds values of type " + text +
                            ", complex values are needed: complex numbers, or floats or signed "
                            "integers with an axis of real and imaginary part");
    type_ = *type;
    if (type_.kind == 'u')
      fail("holds " + std::string(type_.parts == 2 ? "pairs of " : "") + "uint" +
           std::to_string(8 * type_.bytes) +
           ": unsigned real and imaginary parts are offset binary; subtract the middle of their "
           "range and save floats");
    if (type_.bytes == 16 && (LDBL_MANT_DIG != 64 || type_.big_endian))
      fail(
          "holds long doubles of a kind that this machine does not have; save it with "
          "astype('<c16')");
    parts = type_.parts == 2 ? ComplexParts::interleaved : ComplexParts::axis;
    single = type_.kind == 'f' ? type_.bytes <= 4 : type_.bytes <= 2;
    const bool one_complex = !structured && type_.parts == 2;
    type_name = (one_complex         ? "complex"
                 : type_.kind == 'f' ? "float"
                                     : "int") +
                std::to_string(8 * type_.bytes * (one_complex ? 2 : 1));
    if (structured) type_name = "pairs of " + type_name;
    if (type_.big_endian && type_.bytes > 1) type_name += ", big-endian";
  }

  template <class T>
  void read_runs(const Hyperslab& slab, T* out) const {
    // The last axes that are read whole, and the one before them, are consecutive bytes.
    std::size_t n_outer = dims.size();
    std::uint64_t run = 1;
    while (n_outer > 0) {
      --n_outer;
      run *= slab.count[n_outer];
      if (slab.count[n_outer] != dims[n_outer]) break;
    }
    std::vector<std::uint64_t> index(n_outer, 0);
    for (bool more = true; more;) {
      std::uint64_t at = 0;
      for (std::size_t d = 0; d < dims.size(); ++d)
        at = at * dims[d] + slab.first[d] + (d < n_outer ? index[d] : 0);
      read_numbers(at * type_.parts, run * type_.parts, out);
      out += run * type_.parts;
      more = false;
      for (std::size_t d = n_outer; d-- > 0 && !more;) {
        more = ++index[d] < slab.count[d];
        if (!more) index[d] = 0;
      }
    }
  }

  template <class T>
  void read_numbers(std::uint64_t first, std::uint64_t n, T* out) const {
    const bool as_stored = type_.kind == 'f' && type_.bytes == sizeof(T) && !type_.big_endian;
    if (as_stored) {
      bytes_->read(data_at_ + first * type_.bytes, out, n * type_.bytes);
    } else {
      constexpr std::uint64_t most = 1 << 15;  // even: pairs stay together
      std::vector<char> raw(std::min(n, most) * type_.bytes);
      for (std::uint64_t done = 0; done < n; done += most) {
        const std::uint64_t count = std::min(most, n - done);
        bytes_->read(data_at_ + (first + done) * type_.bytes, raw.data(), count * type_.bytes);
        if (type_.big_endian)
          for (std::uint64_t i = 0; i < count; ++i)
            std::reverse(raw.data() + i * type_.bytes, raw.data() + (i + 1) * type_.bytes);
        convert(type_, raw.data(), count, out + done);
      }
    }
    if (type_.second_first)
      for (std::uint64_t i = 0; i + 1 < n; i += 2) std::swap(out[i], out[i + 1]);
  }

  std::unique_ptr<Bytes> bytes_;
  std::uint64_t data_at_ = 0;
  NumberType type_;
};

/// Real and imaginary parts as two arrays.
class NpyPair final : public StoredArray {
 public:
  NpyPair(std::unique_ptr<NpyArray> re, std::unique_ptr<NpyArray> im)
      : re_(std::move(re)), im_(std::move(im)) {
    dims = re_->dims;
    dims_reversed = re_->dims_reversed;
    single = re_->single;
    parts = ComplexParts::planes;
  }
  void read(const Hyperslab& slab, float* out) const override { read_both(slab, out); }
  void read(const Hyperslab& slab, double* out) const override { read_both(slab, out); }

 private:
  template <class T>
  void read_both(const Hyperslab& slab, T* out) const {
    std::uint64_t n = 1;
    for (const std::uint64_t count : slab.count) n *= count;
    re_->read(slab, out);
    im_->read(slab, out + n);
  }

  std::unique_ptr<NpyArray> re_, im_;
};

/// An array of a .npz, or two of them that are its real and imaginary part.
struct NpzArray {
  std::string name, member, member_im;
};

/// The array of a .npz to read: the one named, or the only one that can be channels.
NpzArray choose_array(const std::filesystem::path& file, const std::string& wanted) {
  const auto fail = [&](const std::string& what) -> void {
    throw Error(ErrorKind::format, file.string() + ": " + what);
  };
  const auto ends_with = [](const std::string& text, const std::string& end) {
    return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
  };
  const std::string ending = ".npy";
  std::vector<std::string> names;
  bool is_torch = false;
  for (const std::string& member : list_zip(file)) {
    is_torch |= ends_with(member, "/data.pkl");
    if (ends_with(member, ending) && names.size() < 1000)
      names.push_back(member.substr(0, member.size() - ending.size()));
  }
  if (names.empty())
    fail(is_torch ? "is a file of PyTorch (.pt), which is a Python pickle in a zip archive and is "
                    "not run; load it with torch.load and save the channels with np.save"
                  : "is a zip archive without NumPy arrays; unpack it (unzip)");
  for (const std::string& name : names)
    if (name == wanted || name + ending == wanted) return {name, name + ending, ""};

  struct Found {
    std::string name, described;
    std::vector<std::uint64_t> dims;
    bool is_complex = false, is_reversed = false;
  };
  std::vector<Found> all;
  std::string complaint;
  for (const std::string& name : names) {
    try {
      const NpyArray array(open_zip_member(file, name + ending));
      all.push_back({name, name + " (" + array.type_name + " " + shape_text(array.dims) + ")",
                     array.dims, array.parts == ComplexParts::interleaved, array.dims_reversed});
    } catch (const Error& error) {
      if (complaint.empty()) complaint = error.what();
    }
  }
  std::vector<NpzArray> fitting, pairs;
  for (const Found& array : all) {
    if (array.dims.size() < 2 || std::count(array.dims.begin(), array.dims.end(), 0) > 0) continue;
    // Other real arrays are positions, gains, angles.
    if (array.is_complex || (array.dims.size() > 2 && array.dims.back() == 2))
      fitting.push_back({array.name, array.name + ending, ""});
    if (array.is_complex) continue;
    for (const Found& im : all) {
      const auto whole = complex_pair(array.name, im.name);
      if (whole && !im.is_complex && im.dims == array.dims && im.is_reversed == array.is_reversed)
        pairs.push_back(
            {whole->empty() ? array.name : *whole, array.name + ending, im.name + ending});
    }
  }
  if (!wanted.empty()) {
    for (const NpzArray& pair : pairs)
      if (pair.name == wanted) return pair;
    fail("there is no array " + wanted + ", there are " + enumerate(names));
  }
  if (fitting.empty()) fitting = pairs;
  if (fitting.size() == 1) return fitting[0];
  if (all.empty()) throw Error(ErrorKind::format, complaint);
  std::vector<std::string> described;
  for (const Found& array : all) described.push_back(array.described);
  fail((fitting.empty() ? "is a .npz without an array of complex channels, it holds "
                        : "is a .npz of several arrays that could be the channels, it holds ") +
       enumerate(described) +
       (fitting.empty() ? std::string("; ") + complex_values_needed
                        : "; name one, as FILE.npz:NAME"));
  return {};
}

/// Gains `a` and delays `tau` as Sionna has them; null where there are none.
std::unique_ptr<SampleSource> open_npz_paths(const std::filesystem::path& file,
                                             const DatasetOptions& options) {
  const std::vector<std::string> members = list_zip(file);
  const auto there = [&](const char* name) {
    return std::find(members.begin(), members.end(), name) != members.end();
  };
  if (!may_be_paths(options) || !there("a.npy") || !there("tau.npy")) return nullptr;
  auto gains = std::make_unique<NpyArray>(open_zip_member(file, "a.npy"));
  auto delays = std::make_unique<NpyArray>(open_zip_member(file, "tau.npy"));
  if (!are_paths(*gains, *delays, options)) return nullptr;
  const ArrayName name{file, "a", "npz", gains->type_name + " gains with delays tau"};
  return make_path_source(std::move(gains), std::move(delays), {}, name, options);
}

}  // namespace

std::unique_ptr<Bytes> open_file_bytes(const std::filesystem::path& file) {
  return std::make_unique<FileBytes>(file);
}

std::unique_ptr<SampleSource> open_npy(const std::filesystem::path& file,
                                       const DatasetOptions& options) {
  if (!options.dataset.empty())
    throw Error(ErrorKind::format, file.string() +
                                       ": is a NumPy file with a single array, there is no " +
                                       options.dataset + " in it");
  auto array = std::make_unique<NpyArray>(open_file_bytes(file));
  const ArrayName name{file, "", "npy", array->type_name};
  return make_array_source(std::move(array), name, options);
}

std::unique_ptr<SampleSource> open_npz(const std::filesystem::path& file,
                                       const DatasetOptions& options) {
  if (!reads_zip())
    throw Error(ErrorKind::format,
                file.string() +
                    ": is a .npz or another zip archive, and this chest was built without libzip; "
                    "save the one array of channels with np.save");
  if (auto paths = open_npz_paths(file, options)) return paths;
  const NpzArray chosen = choose_array(file, options.dataset);
  auto array = std::make_unique<NpyArray>(open_zip_member(file, chosen.member));
  const ArrayName name{file, chosen.name, "npz", array->type_name};
  if (chosen.member_im.empty()) return make_array_source(std::move(array), name, options);
  auto im = std::make_unique<NpyArray>(open_zip_member(file, chosen.member_im));
  return make_array_source(std::make_unique<NpyPair>(std::move(array), std::move(im)), name,
                           options);
}

}  // namespace v0
}  // namespace chest
