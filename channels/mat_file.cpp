#include "mat_file.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include <chest/error.hpp>
#include <chest/file_kind.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr std::uint64_t values_most = std::uint64_t{1} << 31;
constexpr std::uint64_t arrays_most = 1'000'000;
constexpr int depth_most = 16;

// Types of elements, "mi" in the description, and classes of arrays, "mx".
enum : unsigned {
  mi_int8 = 1,
  mi_uint8 = 2,
  mi_int16 = 3,
  mi_uint16 = 4,
  mi_int32 = 5,
  mi_uint32 = 6,
  mi_single = 7,
  mi_double = 9,
  mi_int64 = 12,
  mi_uint64 = 13,
  mi_matrix = 14,
  mi_compressed = 15
};
enum : unsigned { mx_cell = 1, mx_struct = 2, mx_char = 4, mx_sparse = 5, mx_double = 6 };

std::uint64_t size_of(unsigned type) {
  switch (type) {
    case mi_int8:
    case mi_uint8:
      return 1;
    case mi_int16:
    case mi_uint16:
      return 2;
    case mi_int32:
    case mi_uint32:
    case mi_single:
      return 4;
    case mi_double:
    case mi_int64:
    case mi_uint64:
      return 8;
    default:
      return 0;
  }
}

template <class Stored, class T>
void append_as(const std::vector<char>& bytes, bool swap, std::vector<T>& to) {
  for (std::size_t at = 0; at + sizeof(Stored) <= bytes.size(); at += sizeof(Stored)) {
    char one[sizeof(Stored)];
    std::memcpy(one, bytes.data() + at, sizeof one);
    if (swap) std::reverse(one, one + sizeof one);
    Stored value;
    std::memcpy(&value, one, sizeof value);
    to.push_back(static_cast<T>(value));
  }
}

template <class T>
void append(unsigned type, const std::vector<char>& bytes, bool swap, std::vector<T>& to) {
  switch (type) {
    case mi_int8:
      return append_as<std::int8_t>(bytes, swap, to);
    case mi_uint8:
      return append_as<std::uint8_t>(bytes, swap, to);
    case mi_int16:
      return append_as<std::int16_t>(bytes, swap, to);
    case mi_uint16:
      return append_as<std::uint16_t>(bytes, swap, to);
    case mi_int32:
      return append_as<std::int32_t>(bytes, swap, to);
    case mi_uint32:
      return append_as<std::uint32_t>(bytes, swap, to);
    case mi_single:
      return append_as<float>(bytes, swap, to);
    case mi_double:
      return append_as<double>(bytes, swap, to);
    case mi_int64:
      return append_as<std::int64_t>(bytes, swap, to);
    default:
      return append_as<std::uint64_t>(bytes, swap, to);
  }
}

std::string class_name(unsigned kind) {
  static constexpr const char* names[] = {"double", "single", "int8",   "uint8", "int16",
                                          "uint16", "int32",  "uint32", "int64", "uint64"};
  if (kind >= mx_double && kind < mx_double + 10) return names[kind - mx_double];
  return kind == mx_char ? "text" : kind == mx_sparse ? "sparse matrix" : "object";
}

}  // namespace

std::uint64_t MatArrayInfo::n_values() const {
  std::uint64_t n = dims.empty() ? 0 : 1;
  for (const std::uint64_t d : dims) {
    if (d != 0 && n > std::numeric_limits<std::uint64_t>::max() / d)
      return std::numeric_limits<std::uint64_t>::max();
    n *= d;
  }
  return n;
}

/// The bytes of one variable from its start on, unpacked.
class MatFile::Stream {
 public:
  Stream(const Bytes& bytes, const Variable& variable)
      : bytes_(bytes), at_(variable.first), end_(variable.end), is_packed_(variable.is_packed) {
    if (is_packed_ && ::inflateInit(&zip_) != Z_OK) fail();
  }
  ~Stream() {
    if (is_packed_) ::inflateEnd(&zip_);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  std::uint64_t position() const { return position_; }

  void read(void* out, std::uint64_t n) {
    auto* to = static_cast<unsigned char*>(out);
    if (!is_packed_) {
      if (n > end_ - at_) fail();
      bytes_.read(at_, to, n);
      at_ += n;
      position_ += n;
      return;
    }
    while (n > 0) {
      if (zip_.avail_in == 0) {
        const std::uint64_t more = std::min<std::uint64_t>(end_ - at_, sizeof buffer_);
        if (more == 0) fail();
        bytes_.read(at_, buffer_, more);
        at_ += more;
        zip_.next_in = buffer_;
        zip_.avail_in = static_cast<uInt>(more);
      }
      const uInt wanted = static_cast<uInt>(std::min<std::uint64_t>(n, 1u << 30));
      zip_.next_out = to;
      zip_.avail_out = wanted;
      const int state = ::inflate(&zip_, Z_NO_FLUSH);
      const uInt done = wanted - zip_.avail_out;
      to += done;
      n -= done;
      position_ += done;
      if (state == Z_STREAM_END ? n > 0 : state != Z_OK) fail();
    }
  }

  void skip(std::uint64_t n) {
    if (!is_packed_) {
      if (n > end_ - at_) fail();
      at_ += n;
      position_ += n;
      return;
    }
    for (char scratch[4096]; n > 0;) {
      const std::uint64_t some = std::min<std::uint64_t>(n, sizeof scratch);
      read(scratch, some);
      n -= some;
    }
  }

 private:
  [[noreturn]] void fail() const {
    throw Error(ErrorKind::format, bytes_.name +
                                       ": is a MATLAB .mat file whose content ends too early or "
                                       "cannot be unpacked; it is truncated or damaged");
  }

  const Bytes& bytes_;
  std::uint64_t at_, end_, position_ = 0;
  bool is_packed_;
  z_stream zip_{};
  unsigned char buffer_[1 << 14];
};

struct MatFile::Element {
  unsigned type = 0;
  std::uint64_t n_bytes = 0;
  std::uint64_t at = 0;      ///< of its data
  std::uint64_t padded = 0;  ///< bytes behind the tag
  std::string in_tag;        ///< data of up to four bytes
};

MatFile::MatFile(const std::filesystem::path& file) : bytes_(open_file_bytes(file)) {
  is_v4_ = file_kind(file) == FileKind::matlab_4;
  if (is_v4_) {
    list_v4();
  } else {
    list_v5();
  }
  if (names_.empty()) fail("is a MATLAB .mat file that holds no variable");
}

void MatFile::fail(const std::string& what) const {
  throw Error(ErrorKind::format, bytes_->name + ": " + what);
}

std::uint32_t MatFile::number(const unsigned char* bytes) const {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | bytes[is_big_endian_ ? i : 3 - i];
  return value;
}

std::unique_ptr<MatFile::Stream> MatFile::open(const Variable& variable) const {
  return std::make_unique<Stream>(*bytes_, variable);
}

void MatFile::add(const std::string& name, bool is_plain, MatArrayInfo array) {
  if (++n_arrays_ > arrays_most)
    fail("holds more than " + std::to_string(arrays_most) + " arrays; save the channels as one");
  MatName& entry = names_[name];
  entry.is_plain &= is_plain;
  if (!is_plain && array.n_values() == 0) {
    ++entry.n_empty;
  } else {
    entry.arrays.push_back(std::move(array));
  }
}

void MatFile::list_v4() {
  constexpr unsigned types[] = {mi_double, mi_single, mi_int32, mi_int16, mi_uint16, mi_uint8};
  unsigned char head[20];
  bytes_->read(0, head, 4);
  is_big_endian_ = head[0] == 0 && (head[2] != 0 || head[3] != 0);
  for (std::uint64_t at = 0; at + sizeof head <= bytes_->size;) {
    bytes_->read(at, head, sizeof head);
    const std::uint32_t form = number(head), n_name = number(head + 16);
    MatArrayInfo array;
    array.dims = {number(head + 4), number(head + 8)};
    array.is_complex = number(head + 12) != 0;
    const unsigned precision = form / 10 % 10, kind = form % 10;
    if (precision > 5 || kind > 2 || n_name == 0 || n_name > 4096 ||
        array.n_values() > values_most || n_name > bytes_->size - at - sizeof head)
      fail("is a MATLAB v4 file with a header that makes no sense at byte " + std::to_string(at) +
           "; it is damaged");
    std::string name(n_name, '\0');
    bytes_->read(at + sizeof head, name.data(), n_name);
    name.resize(std::strlen(name.c_str()));
    const std::uint64_t n_bytes = array.n_values() * size_of(types[precision]);
    const Variable variable{at + sizeof head + n_name, bytes_->size, false};
    if (n_bytes * (array.is_complex ? 2 : 1) > variable.end - variable.first)
      fail(name + " ends too early; the file is truncated");
    array.type = kind == 1 ? "text" : kind == 2 ? "sparse matrix" : "double";
    array.is_number = kind == 0;
    array.fits_float = precision == 1 || precision > 2;
    array.re = {0, n_bytes, types[precision]};
    array.im = {n_bytes, n_bytes, types[precision]};
    array.i_variable = variables_.size();
    variables_.push_back(variable);
    at = variable.first + n_bytes * (array.is_complex ? 2 : 1);
    add(name, true, std::move(array));
  }
}

void MatFile::list_v5() {
  unsigned char tag[8];
  bytes_->read(124, tag, 4);
  is_big_endian_ = tag[2] == 'M';
  for (std::uint64_t at = 128; at + sizeof tag <= bytes_->size;) {
    bytes_->read(at, tag, sizeof tag);
    const std::uint32_t type = number(tag), n_bytes = number(tag + 4);
    at += sizeof tag;
    if (n_bytes > bytes_->size - at)
      fail("is a MATLAB .mat file with a variable of " + std::to_string(n_bytes) +
           " bytes, of which " + std::to_string(bytes_->size - at) + " are there; it is truncated");
    if (type == mi_matrix || type == mi_compressed) {
      variables_.push_back({at, at + n_bytes, type == mi_compressed});
      const auto stream = open(variables_.back());
      std::uint64_t size = n_bytes;
      if (type == mi_compressed) {
        const Element element = read_element(*stream);
        size = element.type == mi_matrix ? element.n_bytes : 0;
      }
      read_matrix(*stream, size, "", true, 0);
    }
    at += n_bytes;
  }
}

MatFile::Element MatFile::read_element(Stream& from) const {
  unsigned char tag[8];
  from.read(tag, sizeof tag);
  const std::uint32_t first = number(tag);
  Element element;
  if (first >> 16 != 0) {  // a small one: type, length and up to four bytes in the tag itself
    element.type = first & 0xffff;
    element.n_bytes = first >> 16;
    if (element.n_bytes > 4) fail("has an element that makes no sense; it is damaged");
    element.at = from.position() - 4;
    element.in_tag.assign(reinterpret_cast<const char*>(tag) + 4, element.n_bytes);
    return element;
  }
  element.type = first;
  element.n_bytes = number(tag + 4);
  element.at = from.position();
  element.padded = element.type == mi_matrix ? element.n_bytes : (element.n_bytes + 7) / 8 * 8;
  return element;
}

std::string MatFile::read_small(Stream& from) const {
  const Element element = read_element(from);
  if (element.padded == 0) return element.in_tag;
  if (element.n_bytes > (1u << 20)) fail("has a name or shape that makes no sense; it is damaged");
  std::string bytes(element.padded, '\0');
  from.read(bytes.data(), bytes.size());
  bytes.resize(element.n_bytes);
  return bytes;
}

void MatFile::read_matrix(Stream& from, std::uint64_t n_bytes, const std::string& given,
                          bool is_plain, int depth) {
  if (depth > depth_most) fail("nests structs and cells too deeply; it is damaged");
  const std::uint64_t end = from.position() + n_bytes;
  const auto numbers = [&](const std::string& bytes) {
    std::vector<std::uint32_t> out;
    for (std::size_t at = 0; at + 4 <= bytes.size(); at += 4)
      out.push_back(number(reinterpret_cast<const unsigned char*>(bytes.data()) + at));
    return out;
  };
  MatArrayInfo array;
  array.i_variable = variables_.size() - 1;
  if (n_bytes == 0) {  // an element of a cell or struct that was never set
    array.type = "double";
    array.dims = {0, 0};
    array.is_number = true;
    if (depth > 0) add(given, is_plain, std::move(array));
    return;
  }
  const std::vector<std::uint32_t> flags = numbers(read_small(from));
  const unsigned kind = flags.empty() ? 0 : flags[0] & 0xff;
  array.type = class_name(kind);
  if (kind == 0 || kind > 15 || kind == 3) {  // objects, function handles and whatever comes later
    if (from.position() > end) fail("is longer than it says; it is damaged");
    from.skip(end - from.position());
    if (depth > 0) add(given, is_plain, std::move(array));
    return;
  }
  for (const std::uint32_t d : numbers(read_small(from))) array.dims.push_back(d);
  const std::string own_name = read_small(from);
  const std::string name = depth == 0 ? own_name : given;
  const std::uint64_t n = array.n_values();
  if (array.dims.size() < 2 || array.dims.size() > 32)
    fail(name + " has " + std::to_string(array.dims.size()) + " axes; the file is damaged");

  if (kind == mx_cell || kind == mx_struct) {
    std::vector<std::string> fields = {""};
    if (kind == mx_struct) {
      const std::vector<std::uint32_t> width = numbers(read_small(from));
      const std::string text = read_small(from);
      if (width.empty() || width[0] == 0 || width[0] > 4096)
        fail(name + " has field names that make no sense; the file is damaged");
      fields.clear();
      for (std::size_t at = 0; at + width[0] <= text.size(); at += width[0])
        fields.push_back("." + std::string(text.substr(at, width[0]).c_str()));
    }
    // Every element has a tag of its own, so there are no more than the bytes allow.
    for (std::uint64_t i = 0; i < n; ++i) {
      for (const std::string& field : fields) {
        const Element element = read_element(from);
        if (element.type != mi_matrix || element.padded > end - std::min(end, from.position()))
          fail(name + field + " makes no sense; the file is damaged");
        read_matrix(from, element.n_bytes, name + field, is_plain && n == 1, depth + 1);
      }
      if (fields.empty()) break;
    }
  } else {
    array.is_complex = (flags[0] & 0x0800) != 0;
    array.is_number = kind >= mx_double;
    array.is_unsigned = kind >= 9 && kind % 2 == 1;
    array.fits_float = kind >= 7 && kind <= 11;
    for (MatPart* part : {&array.re, &array.im}) {
      if (!array.is_number || (part == &array.im && !array.is_complex)) continue;
      const Element element = read_element(from);
      *part = {element.at, element.n_bytes, element.type};
      const std::uint64_t size = size_of(element.type);
      if (size == 0 || n > values_most || element.n_bytes != n * size ||
          element.padded > end - std::min(end, from.position()) + 7)
        fail(name + " claims " + std::to_string(n) + " values, but stores " +
             std::to_string(element.n_bytes) + " bytes; the file is truncated or damaged");
      from.skip(std::min(element.padded, end - from.position()));
    }
    add(name, is_plain, std::move(array));
  }
  if (from.position() > end) fail(name + " is longer than it says; the file is damaged");
  from.skip(end - from.position());
}

template <class T>
std::vector<T> MatFile::read(const std::vector<MatArrayInfo>& arrays, bool imaginary) const {
  std::vector<T> out;
  const std::uint16_t one = 1;
  const bool swap = (reinterpret_cast<const char&>(one) != 1) != is_big_endian_;
  std::unique_ptr<Stream> stream;
  std::size_t i_open = 0;
  for (const MatArrayInfo& array : arrays) {
    const MatPart& part = imaginary ? array.im : array.re;
    if (!stream || i_open != array.i_variable || stream->position() > part.at) {
      stream = open(variables_[array.i_variable]);
      i_open = array.i_variable;
    }
    stream->skip(part.at - stream->position());
    for (std::uint64_t done = 0; done < part.n_bytes;) {
      std::vector<char> bytes(std::min<std::uint64_t>(part.n_bytes - done, 1 << 16));
      stream->read(bytes.data(), bytes.size());
      append(part.type, bytes, swap, out);
      done += bytes.size();
    }
  }
  return out;
}

template std::vector<float> MatFile::read(const std::vector<MatArrayInfo>&, bool) const;
template std::vector<double> MatFile::read(const std::vector<MatArrayInfo>&, bool) const;

}  // namespace v0
}  // namespace chest
