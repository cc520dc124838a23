#include <chest/archive.hpp>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <set>
#include <type_traits>
#include <utility>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/text.hpp>

#include "hdf5_handles.hpp"

namespace chest {
inline namespace v0 {
namespace {

struct ComplexMembers {
  std::string re, im;
};

std::string member_name(hid_t type, unsigned index) {
  char* raw = H5Tget_member_name(type, index);
  const std::string name = raw ? raw : "";
  H5free_memory(raw);
  return name;
}

/// Whether a type is a float that all machines know. HDF5 can describe others, and in a damaged
/// file does so, but its conversions then leave their buffers.
bool is_standard_float(hid_t type) {
  if (H5Tget_class(type) != H5T_FLOAT) return false;
  for (const hid_t standard : {H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_IEEE_F32BE, H5T_IEEE_F64BE}) {
    if (H5Tequal(type, standard) > 0) return true;
  }
  return false;
}

std::optional<ComplexMembers> complex_members(hid_t type) {
  if (H5Tget_class(type) != H5T_COMPOUND || H5Tget_nmembers(type) != 2) return {};
  const std::size_t size = H5Tget_size(type);
  if (size > 64) return {};  // two doubles and some padding
  ComplexMembers members;
  for (unsigned i = 0; i < 2; ++i) {
    const Handle member(H5Tget_member_type(type, i), &H5Tclose);
    if (!member || !is_standard_float(member.get())) return {};
    if (H5Tget_member_offset(type, i) + H5Tget_size(member.get()) > size) return {};
    const std::string name = member_name(type, i);
    std::string lower = name;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (lower == "r" || lower == "re" || lower == "real") members.re = name;
    if (lower == "i" || lower == "im" || lower == "imag") members.im = name;
  }
  if (members.re.empty() || members.im.empty()) return {};
  return members;
}

std::string describe_type(hid_t type) {
  const std::size_t bits = 8 * H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_FLOAT:
      return "float" + std::to_string(bits);
    case H5T_INTEGER:
      return (H5Tget_sign(type) == H5T_SGN_NONE ? "uint" : "int") + std::to_string(bits);
    case H5T_STRING:
      return "string";
    case H5T_REFERENCE:
      return "references";
    case H5T_ENUM:
      return "enumeration";
    case H5T_COMPOUND: {
      std::vector<std::string> names;
      const int n = H5Tget_nmembers(type);
      for (int i = 0; i < std::min(n, 8); ++i) {
        const auto index = static_cast<unsigned>(i);
        const Handle member(H5Tget_member_type(type, index), &H5Tclose);
        names.push_back(member_name(type, index) + " " +
                        (member && H5Tget_class(member.get()) != H5T_COMPOUND
                             ? describe_type(member.get())
                             : "..."));
      }
      std::string text = "compound {";
      for (std::size_t i = 0; i < names.size(); ++i) text += (i > 0 ? ", " : "") + names[i];
      return text + (n > 8 ? ", ...}" : "}");
    }
    default:
      return "a type chest does not read";
  }
}

ValueType classify(hid_t type) {
  switch (H5Tget_class(type)) {
    case H5T_FLOAT:
      return is_standard_float(type) ? ValueType::real : ValueType::other;
    case H5T_INTEGER:
      return H5Tget_size(type) <= 8 ? ValueType::integer : ValueType::other;
    case H5T_STRING:
      return ValueType::string;
    default:
      return complex_members(type) ? ValueType::complex : ValueType::other;
  }
}

std::vector<std::uint64_t> extent(hid_t space) {
  const int rank = H5Sget_simple_extent_ndims(space);
  std::vector<hsize_t> dims(static_cast<std::size_t>(std::max(rank, 0)));
  if (rank > 0) H5Sget_simple_extent_dims(space, dims.data(), nullptr);
  return {dims.begin(), dims.end()};
}

std::string shape(const std::vector<std::uint64_t>& dims) {
  std::string text = "(";
  for (std::size_t i = 0; i < dims.size(); ++i)
    text += (i > 0 ? ", " : "") + std::to_string(dims[i]);
  return text + ")";
}

std::uint64_t saturated_product(const std::vector<std::uint64_t>& factors) {
  std::uint64_t product = 1;
  for (const std::uint64_t factor : factors) {
    if (factor != 0 && product > std::numeric_limits<std::uint64_t>::max() / factor) {
      return std::numeric_limits<std::uint64_t>::max();
    }
    product *= factor;
  }
  return product;
}

// Text of a fixed- or variable-length string attribute or dataset; the reader differs, the rest is
// one.
template <class Read>
std::optional<std::string> read_string(hid_t type, hid_t space, const Read& read) {
  if (H5Tget_class(type) != H5T_STRING || H5Sget_simple_extent_npoints(space) != 1) return {};
  if (H5Tis_variable_str(type) > 0) {
    const Handle memory(H5Tcopy(H5T_C_S1), &H5Tclose);
    H5Tset_size(memory.get(), H5T_VARIABLE);
    H5Tset_cset(memory.get(), H5Tget_cset(type));
    char* raw = nullptr;
    if (read(memory.get(), &raw) < 0) return {};
    const std::string text = raw ? raw : "";
    H5Dvlen_reclaim(memory.get(), space, H5P_DEFAULT, &raw);
    return text;
  }
  const std::size_t size = H5Tget_size(type);
  if (size > (std::size_t{64} << 20)) return {};
  std::string text(size, '\0');
  if (read(type, text.data()) < 0) return {};
  text.resize(std::min(size, std::strlen(text.c_str())));
  if (H5Tget_strpad(type) == H5T_STR_SPACEPAD) text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

Handle text_type(const std::string& text) {
  Handle type(H5Tcopy(H5T_C_S1), &H5Tclose);
  H5Tset_size(type.get(), std::max<std::size_t>(text.size(), 1));
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  return type;
}

bool exists(hid_t file, const std::string& path) {
  if (path.empty() || path == "/") return true;
  // H5Lexists needs every parent to exist, so the path is walked.
  std::string walked;
  for (const std::string& part : split(path, '/')) {
    if (part.empty()) continue;
    walked += "/" + part;
    if (H5Lexists(file, walked.c_str(), H5P_DEFAULT) <= 0) return false;
    if (H5Oexists_by_name(file, walked.c_str(), H5P_DEFAULT) <= 0) return false;
  }
  return true;
}

/// Bytes of the longest text that becomes an attribute: HDF5's object headers hold 64 KiB each.
constexpr std::size_t longest_attribute = 60'000;

/// The text dataset that stands in for a longer one.
std::string long_attribute_path(const std::string& object, const std::string& name) {
  std::string path = "/attributes";
  for (const std::string& part : split(object, '/')) {
    if (!part.empty()) path += "/" + part;
  }
  return path + "/" + name;
}

herr_t collect_name(hid_t, const char* name, const H5L_info_t*, void* names) {
  auto& list = *static_cast<std::vector<std::string>*>(names);
  list.emplace_back(name);
  return 0;
}

herr_t collect_attribute(hid_t, const char* name, const H5A_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

}  // namespace

const char* to_string(ValueType type) {
  switch (type) {
    case ValueType::real:
      return "real";
    case ValueType::integer:
      return "integer";
    case ValueType::complex:
      return "complex";
    case ValueType::string:
      return "text";
    case ValueType::other:
      break;
  }
  return "other";
}

std::uint64_t StoredDataset::n_values() const { return saturated_product(dims); }

// ---------------------------------------------------------------------------------------------------
// Reading

struct ArchiveReader::Impl {
  std::filesystem::path file;
  Handle handle;

  Handle open_dataset(const std::string& path) const;
  /// All of a StoredDataset but stored_bytes.
  StoredDataset describe(hid_t dataset, const std::string& path) const;
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::format, file.string() + ": " + what);
  }
};

ArchiveReader::ArchiveReader(const std::filesystem::path& file) : impl_(std::make_unique<Impl>()) {
  const Hdf5Scope scope;
  impl_->file = file;
  std::error_code error;
  if (!std::filesystem::exists(file, error)) {
    throw Error(ErrorKind::io, file.string() + ": there is no such file");
  }
  if (std::filesystem::is_directory(file, error)) {
    throw Error(ErrorKind::io, file.string() + ": is a folder, expected an HDF5 file");
  }
  char head[128] = {};
  {
    std::ifstream in(file, std::ios::binary);
    if (!in)
      throw Error(ErrorKind::io, file.string() + ": cannot be opened: " + std::strerror(errno));
    in.read(head, sizeof head);
  }
  const std::string text(head, sizeof head);
  if (text.rfind("MATLAB 5.0 MAT-file", 0) == 0 && H5Fis_hdf5(file.c_str()) <= 0) {
    impl_->fail(
        "is a MATLAB v5..v7 .mat file, which is not HDF5; save it in MATLAB with "
        "save(..., '-v7.3')");
  }
  if (H5Fis_hdf5(file.c_str()) <= 0) {
    if (text.rfind("MATLAB 7.3 MAT-file", 0) == 0) {
      impl_->fail("has the header of a MATLAB v7.3 file but no HDF5 content; it is truncated");
    }
    impl_->fail("is not an HDF5 file");
  }
  // The library does not survive every damage to what it decodes.
  if (!checksum_holds(file)) impl_->fail("is damaged: its content does not match its checksum");
  impl_->handle = Handle(H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), &H5Fclose);
  if (!impl_->handle)
    impl_->fail("is an HDF5 file that cannot be opened; it is truncated or damaged");
}

ArchiveReader::~ArchiveReader() = default;
ArchiveReader::ArchiveReader(ArchiveReader&&) noexcept = default;
ArchiveReader& ArchiveReader::operator=(ArchiveReader&&) noexcept = default;

const std::filesystem::path& ArchiveReader::file() const { return impl_->file; }

bool ArchiveReader::has(const std::string& path) const {
  const Hdf5Scope scope;
  return exists(impl_->handle.get(), path);
}

bool ArchiveReader::is_group(const std::string& path) const {
  const Hdf5Scope scope;
  if (!exists(impl_->handle.get(), path)) return false;
  const Handle group(H5Gopen2(impl_->handle.get(), path.c_str(), H5P_DEFAULT), &H5Gclose);
  return static_cast<bool>(group);
}

bool ArchiveReader::has_utf8_name(const std::string& path) const {
  const Hdf5Scope scope;
  H5L_info_t link;
  return exists(impl_->handle.get(), path) &&
         H5Lget_info(impl_->handle.get(), path.c_str(), &link, H5P_DEFAULT) >= 0 &&
         link.cset == H5T_CSET_UTF8;
}

std::vector<std::string> ArchiveReader::list(const std::string& group) const {
  const Hdf5Scope scope;
  const Handle handle(H5Gopen2(impl_->handle.get(), group.c_str(), H5P_DEFAULT), &H5Gclose);
  if (!handle) impl_->fail("there is no group " + group);
  std::vector<std::string> names;
  hsize_t position = 0;
  H5Literate(handle.get(), H5_INDEX_NAME, H5_ITER_INC, &position, &collect_name, &names);
  return names;
}

std::vector<std::string> ArchiveReader::list_datasets(const std::string& group,
                                                      std::size_t most) const {
  const Hdf5Scope scope;
  std::vector<std::string> out;
  // Each object once: hard links may form cycles, and so many of them that a bound on the depth
  // alone would not end the walk in a lifetime.
  std::set<std::pair<unsigned long, haddr_t>> visited;
  const auto visit = [&](const auto& self, const std::string& path, int depth) -> void {
    for (const std::string& name : list(path)) {
      if (out.size() >= most) return;
      const std::string child = (path == "/" ? "" : path) + "/" + name;
      if (name == "#refs#" || !exists(impl_->handle.get(), child)) continue;
      H5O_info_t object;
      if (H5Oget_info_by_name(impl_->handle.get(), child.c_str(), &object, H5P_DEFAULT) < 0)
        continue;
      if (!visited.insert({object.fileno, object.addr}).second) continue;
      if (object.type == H5O_TYPE_DATASET) out.push_back(child);
      if (object.type == H5O_TYPE_GROUP && depth < 16) self(self, child, depth + 1);
    }
  };
  H5O_info_t start;
  if (H5Oget_info_by_name(impl_->handle.get(), group.c_str(), &start, H5P_DEFAULT) >= 0) {
    visited.insert({start.fileno, start.addr});
  }
  visit(visit, group, 0);
  return out;
}

Handle ArchiveReader::Impl::open_dataset(const std::string& path) const {
  Handle dataset;
  if (exists(handle.get(), path)) {
    dataset = Handle(H5Dopen2(handle.get(), path.c_str(), H5P_DEFAULT), &H5Dclose);
    if (!dataset) {
      fail(
          path +
          " cannot be opened: it is a group, damaged, or of a type that this HDF5 library does not "
          "know (the native complex type of HDF5 2.0; store a compound {r, i} instead)");
    }
    // HDF5 1.10 reads a dataset that its header stores with too few bytes through a null pointer.
    const Handle creation(H5Dget_create_plist(dataset.get()), &H5Pclose);
    const H5D_layout_t layout = creation ? H5Pget_layout(creation.get()) : H5D_LAYOUT_ERROR;
    if (layout == H5D_COMPACT || layout == H5D_CONTIGUOUS) {
      const Handle type(H5Dget_type(dataset.get()), &H5Tclose);
      const Handle space(H5Dget_space(dataset.get()), &H5Sclose);
      std::vector<std::uint64_t> factors = extent(space.get());
      factors.push_back(H5Tget_size(type.get()));
      const hsize_t stored = H5Dget_storage_size(dataset.get());
      const bool never_written = layout == H5D_CONTIGUOUS && stored == 0;
      if (H5Sget_simple_extent_type(space.get()) != H5S_NULL && !never_written &&
          stored < saturated_product(factors)) {
        fail(path + " claims " + shape(extent(space.get())) + " values but stores " +
             std::to_string(stored) + " bytes; the file is damaged");
      }
    }
  }
  return dataset;
}

StoredDataset ArchiveReader::Impl::describe(hid_t dataset, const std::string& path) const {
  const Handle type(H5Dget_type(dataset), &H5Tclose);
  const Handle space(H5Dget_space(dataset), &H5Sclose);
  if (!type || !space) fail(path + ": the type or shape is damaged");
  StoredDataset out;
  out.dims = extent(space.get());
  if (H5Sget_simple_extent_type(space.get()) == H5S_NULL) out.dims = {0};
  out.type = classify(type.get());
  out.bytes_per_value = H5Tget_size(type.get());
  out.type_name = describe_type(type.get());
  const Handle creation(H5Dget_create_plist(dataset), &H5Pclose);
  if (creation && H5Pget_layout(creation.get()) == H5D_CHUNKED) {
    std::vector<hsize_t> chunk(out.dims.size());
    if (H5Pget_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data()) > 0) {
      out.chunk.assign(chunk.begin(), chunk.end());
    }
  }
  return out;
}

StoredDataset ArchiveReader::info(const std::string& dataset) const {
  const Hdf5Scope scope;
  const Handle handle = impl_->open_dataset(dataset);
  if (!handle) {
    const std::vector<std::string> there = list_datasets("/", 20);
    impl_->fail("there is no dataset " + dataset +
                (there.empty() ? "; the file holds none" : "; there are " + enumerate(there)));
  }
  StoredDataset out = impl_->describe(handle.get(), dataset);
  // Not in describe: for chunked data this walks over the whole index.
  out.stored_bytes = H5Dget_storage_size(handle.get());
  return out;
}

template <class T>
void ArchiveReader::read(const std::string& dataset, const Hyperslab& slab, T* out) const {
  const Hdf5Scope scope;
  const Handle handle = impl_->open_dataset(dataset);
  const StoredDataset stored =
      handle ? impl_->describe(handle.get(), dataset) : info(dataset);  // info says what there is
  const bool fits = MemoryType<T>::is_complex ? stored.type == ValueType::complex
                    : std::is_floating_point_v<T>
                        ? stored.type == ValueType::real || stored.type == ValueType::integer
                        : stored.type == ValueType::integer;
  if (!fits) {
    impl_->fail(dataset + " holds " + stored.type_name + ", expected " +
                (MemoryType<T>::is_complex     ? "complex values"
                 : std::is_floating_point_v<T> ? "real values"
                                               : "integers"));
  }
  bool inside = slab.first.size() == stored.dims.size() && slab.count.size() == stored.dims.size();
  for (std::size_t d = 0; inside && d < stored.dims.size(); ++d) {
    inside = slab.first[d] <= stored.dims[d] && slab.count[d] <= stored.dims[d] - slab.first[d];
  }
  if (!inside) {
    impl_->fail(dataset + ": block " + shape(slab.count) + " from " + shape(slab.first) +
                " lies outside " + shape(stored.dims));
  }
  if (saturated_product(slab.count) == 0) return;

  const Handle file_type(H5Dget_type(handle.get()), &H5Tclose);
  const auto members = complex_members(file_type.get());
  const Handle type = members ? memory_type<T>(members->re, members->im) : memory_type<T>();
  const Handle file_space(H5Dget_space(handle.get()), &H5Sclose);
  const std::vector<hsize_t> first(slab.first.begin(), slab.first.end());
  const std::vector<hsize_t> count(slab.count.begin(), slab.count.end());
  Handle memory_space;
  if (count.empty()) {
    memory_space = Handle(H5Screate(H5S_SCALAR), &H5Sclose);
  } else {
    memory_space =
        Handle(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr), &H5Sclose);
    H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, first.data(), nullptr, count.data(),
                        nullptr);
  }
  if (H5Dread(handle.get(), type.get(), memory_space.get(), file_space.get(), H5P_DEFAULT, out) <
      0) {
    impl_->fail(dataset + ": reading failed; the file is truncated or damaged");
  }
}

template <class T>
std::vector<T> ArchiveReader::read_all(const std::string& dataset, std::uint64_t most) const {
  const StoredDataset stored = info(dataset);
  const std::uint64_t n = stored.n_values();
  if (n > most) {
    impl_->fail(dataset + " holds " + std::to_string(n) + " values, expected at most " +
                std::to_string(most));
  }
  // gzip packs at most about 1030 to 1; what claims more is damaged, and allocating it would not
  // end well.
  if (n > 4096 && n / 1100 > stored.stored_bytes) {
    impl_->fail(dataset + " claims " + std::to_string(n) + " values but stores " +
                std::to_string(stored.stored_bytes) + " bytes; the file is damaged");
  }
  std::vector<T> out(n);
  read(dataset, {std::vector<std::uint64_t>(stored.dims.size(), 0), stored.dims}, out.data());
  return out;
}

namespace {

template <class Matrix>
Matrix read_matrix(const ArchiveReader& reader, const std::string& dataset) {
  const StoredDataset stored = reader.info(dataset);
  if (stored.dims.empty() || stored.dims.size() > 2) {
    throw Error(ErrorKind::format, reader.file().string() + ": " + dataset + " has shape " +
                                       shape(stored.dims) + ", expected a matrix or vector");
  }
  const auto values = reader.read_all<typename Matrix::elem_type>(dataset);
  const arma::uword n_rows = stored.dims[0];
  const arma::uword n_cols = stored.dims.size() == 2 ? stored.dims[1] : 1;
  return Matrix(values.data(), n_cols, n_rows).st();
}

}  // namespace

arma::cx_mat ArchiveReader::read_cx_mat(const std::string& dataset) const {
  return read_matrix<arma::cx_mat>(*this, dataset);
}

arma::mat ArchiveReader::read_mat(const std::string& dataset) const {
  return read_matrix<arma::mat>(*this, dataset);
}

std::string ArchiveReader::read_text(const std::string& dataset) const {
  const Hdf5Scope scope;
  const StoredDataset stored = info(dataset);
  const Handle handle = impl_->open_dataset(dataset);
  const Handle type(H5Dget_type(handle.get()), &H5Tclose);
  const Handle space(H5Dget_space(handle.get()), &H5Sclose);
  const auto text = read_string(type.get(), space.get(), [&](hid_t memory, void* out) {
    return H5Dread(handle.get(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
  });
  if (!text) impl_->fail(dataset + " holds " + stored.type_name + ", expected one text");
  return *text;
}

namespace {

Handle open_attribute(hid_t file, const std::string& object, const std::string& name) {
  if (!exists(file, object)) return {};
  if (H5Aexists_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT) <= 0) return {};
  return Handle(H5Aopen_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                &H5Aclose);
}

}  // namespace

std::optional<std::string> ArchiveReader::text_attribute(const std::string& object,
                                                         const std::string& name) const {
  const Hdf5Scope scope;
  const Handle attribute = open_attribute(impl_->handle.get(), object, name);
  if (!attribute) {
    const std::string long_text = long_attribute_path(object, name);
    if (!exists(impl_->handle.get(), long_text) || is_group(long_text)) return {};
    if (info(long_text).type != ValueType::string) return {};
    return read_text(long_text);
  }
  const Handle type(H5Aget_type(attribute.get()), &H5Tclose);
  const Handle space(H5Aget_space(attribute.get()), &H5Sclose);
  if (!type || !space) return {};
  return read_string(type.get(), space.get(), [&](hid_t memory, void* out) {
    return H5Aread(attribute.get(), memory, out);
  });
}

namespace {

// One number, which HDF5 converts (and clamps) to the type of `value`.
template <class T>
std::optional<T> read_number(hid_t file, const std::string& object, const std::string& name) {
  const Handle attribute = open_attribute(file, object, name);
  if (!attribute) return {};
  const Handle type(H5Aget_type(attribute.get()), &H5Tclose);
  const Handle space(H5Aget_space(attribute.get()), &H5Sclose);
  if (!type || !space || H5Sget_simple_extent_npoints(space.get()) != 1) return {};
  const ValueType kind = classify(type.get());
  if (kind != ValueType::integer && kind != ValueType::real) return {};
  T value{};
  if (H5Aread(attribute.get(), MemoryType<T>::real(), &value) < 0) return {};
  return value;
}

}  // namespace

std::optional<double> ArchiveReader::number_attribute(const std::string& object,
                                                      const std::string& name) const {
  const Hdf5Scope scope;
  return read_number<double>(impl_->handle.get(), object, name);
}

std::optional<std::int64_t> ArchiveReader::integer_attribute(const std::string& object,
                                                             const std::string& name) const {
  const Hdf5Scope scope;
  return read_number<std::int64_t>(impl_->handle.get(), object, name);
}

std::vector<std::string> ArchiveReader::list_attributes(const std::string& object) const {
  const Hdf5Scope scope;
  std::vector<std::string> names;
  if (!exists(impl_->handle.get(), object)) return names;
  hsize_t position = 0;
  H5Aiterate_by_name(impl_->handle.get(), object.c_str(), H5_INDEX_NAME, H5_ITER_INC, &position,
                     &collect_attribute, &names, H5P_DEFAULT);
  const std::string long_texts = long_attribute_path(object, "");
  if (is_group(long_texts)) {
    for (const std::string& name : list(long_texts)) {
      if (!is_group(long_texts + name)) names.push_back(name);
    }
  }
  return names;
}

// ---------------------------------------------------------------------------------------------------
// Writing

struct ArchiveWriter::Impl {
  explicit Impl(const std::filesystem::path& target) : file(target), temporary(target) {}

  std::filesystem::path file;
  TemporaryFile temporary;  // outlives the handles below
  Handle handle;
  Handle create_groups;  // link creation: parents are made as needed

  [[noreturn]] void fail(const std::string& what) const {
    std::error_code error;
    const auto space = std::filesystem::space(
        file.parent_path().empty() ? std::filesystem::path(".") : file.parent_path(), error);
    const bool full = !error && space.available < (std::uintmax_t{1} << 16);
    throw Error(ErrorKind::io,
                file.string() + ": " + what + (full ? ": no space is left on the device" : ""));
  }
  Handle create_dataset(const std::string& path, const std::vector<std::uint64_t>& dims, hid_t type,
                        bool compress) const;
  /// Writes one scalar attribute; an existing one of that name is replaced.
  void write_attribute(const std::string& object, const std::string& name, hid_t type,
                       const void* value) const;
};

ArchiveWriter::ArchiveWriter(const std::filesystem::path& file)
    : impl_(std::make_unique<Impl>(file)) {
  const Hdf5Scope scope;
  errno = 0;
  impl_->handle =
      Handle(H5Fcreate(impl_->temporary.path().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
             &H5Fclose);
  if (!impl_->handle) {
    throw Error(ErrorKind::io, file.string() + ": cannot be created" +
                                   (errno != 0 ? ": " + std::string(std::strerror(errno)) : ""));
  }
  impl_->create_groups = Handle(H5Pcreate(H5P_LINK_CREATE), &H5Pclose);
  H5Pset_create_intermediate_group(impl_->create_groups.get(), 1);
}

ArchiveWriter::~ArchiveWriter() = default;
ArchiveWriter::ArchiveWriter(ArchiveWriter&&) noexcept = default;
ArchiveWriter& ArchiveWriter::operator=(ArchiveWriter&&) noexcept = default;

Handle ArchiveWriter::Impl::create_dataset(const std::string& path,
                                           const std::vector<std::uint64_t>& dims, hid_t type,
                                           bool compress) const {
  const std::vector<hsize_t> extent(dims.begin(), dims.end());
  const Handle space(
      extent.empty() ? H5Screate(H5S_SCALAR)
                     : H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr),
      &H5Sclose);
  const Handle creation(H5Pcreate(H5P_DATASET_CREATE), &H5Pclose);
  H5Pset_obj_track_times(creation.get(), false);  // the same content gives the same bytes
  if (compress && !extent.empty() && saturated_product(dims) > 0) {
    // Chunks of whole samples, about 1 MiB: as many as HDF5's default cache holds.
    std::vector<hsize_t> chunk = extent;
    const std::uint64_t per_sample =
        H5Tget_size(type) * (saturated_product(dims) / std::max<std::uint64_t>(dims[0], 1));
    chunk[0] =
        std::clamp<hsize_t>((1 << 20) / std::max<std::uint64_t>(per_sample, 1), 1, extent[0]);
    H5Pset_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data());
    H5Pset_shuffle(creation.get());
    H5Pset_deflate(creation.get(), 4);
  }
  Handle dataset(H5Dcreate2(handle.get(), path.c_str(), type, space.get(), create_groups.get(),
                            creation.get(), H5P_DEFAULT),
                 &H5Dclose);
  if (!dataset) fail("dataset " + path + " cannot be created");
  return dataset;
}

template <class T>
void ArchiveWriter::create(const std::string& dataset, const std::vector<std::uint64_t>& dims,
                           bool compress) {
  const Hdf5Scope scope;
  impl_->create_dataset(dataset, dims, memory_type<T>().get(), compress);
}

template <class T>
void ArchiveWriter::write_block(const std::string& dataset, const Hyperslab& slab,
                                const T* values) {
  const Hdf5Scope scope;
  const Handle handle(H5Dopen2(impl_->handle.get(), dataset.c_str(), H5P_DEFAULT), &H5Dclose);
  if (!handle) impl_->fail("there is no dataset " + dataset + " to write to");
  const Handle file_space(H5Dget_space(handle.get()), &H5Sclose);
  const std::vector<hsize_t> first(slab.first.begin(), slab.first.end());
  const std::vector<hsize_t> count(slab.count.begin(), slab.count.end());
  const Handle memory_space(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr),
                            &H5Sclose);
  if (H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, first.data(), nullptr, count.data(),
                          nullptr) < 0 ||
      H5Dwrite(handle.get(), memory_type<T>().get(), memory_space.get(), file_space.get(),
               H5P_DEFAULT, values) < 0) {
    impl_->fail("writing dataset " + dataset + " failed");
  }
}

template <class T>
void ArchiveWriter::write(const std::string& dataset, const std::vector<std::uint64_t>& dims,
                          const T* values) {
  const Hdf5Scope scope;
  const Handle type = memory_type<T>();
  const Handle handle = impl_->create_dataset(dataset, dims, type.get(), false);
  if (saturated_product(dims) == 0) return;
  if (H5Dwrite(handle.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
    impl_->fail("writing dataset " + dataset + " failed");
  }
}

void ArchiveWriter::write(const std::string& dataset, const arma::cx_mat& values) {
  const arma::cx_mat rows = values.st();
  write(dataset, {values.n_rows, values.n_cols}, rows.memptr());
}

void ArchiveWriter::write(const std::string& dataset, const arma::mat& values) {
  const arma::mat rows = values.t();
  write(dataset, {values.n_rows, values.n_cols}, rows.memptr());
}

void ArchiveWriter::write_text(const std::string& dataset, const std::string& text) {
  const Hdf5Scope scope;
  const Handle type = text_type(text);
  const Handle handle = impl_->create_dataset(dataset, {}, type.get(), false);
  const std::string padded = text.empty() ? std::string(1, '\0') : text;
  if (H5Dwrite(handle.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, padded.data()) < 0) {
    impl_->fail("writing dataset " + dataset + " failed");
  }
}

void ArchiveWriter::Impl::write_attribute(const std::string& object, const std::string& name,
                                          hid_t type, const void* value) const {
  const hid_t root = handle.get();
  if (!exists(root, object)) {
    const Handle group(
        H5Gcreate2(root, object.c_str(), create_groups.get(), H5P_DEFAULT, H5P_DEFAULT), &H5Gclose);
  }
  if (H5Aexists_by_name(root, object.c_str(), name.c_str(), H5P_DEFAULT) > 0) {
    H5Adelete_by_name(root, object.c_str(), name.c_str(), H5P_DEFAULT);
  }
  const std::string long_text = long_attribute_path(object, name);
  if (exists(root, long_text)) H5Ldelete(root, long_text.c_str(), H5P_DEFAULT);
  const Handle space(H5Screate(H5S_SCALAR), &H5Sclose);
  const Handle attribute(H5Acreate_by_name(root, object.c_str(), name.c_str(), type, space.get(),
                                           H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                         &H5Aclose);
  if (!attribute || H5Awrite(attribute.get(), type, value) < 0) {
    fail("writing attribute " + name + " of " + object + " failed");
  }
}

void ArchiveWriter::attribute(const std::string& object, const std::string& name,
                              const std::string& value) {
  const Hdf5Scope scope;
  const std::string padded = value.empty() ? std::string(1, '\0') : value;
  if (value.size() <= longest_attribute) {
    impl_->write_attribute(object, name, text_type(value).get(), padded.data());
    return;
  }
  // An empty attribute first: it makes the object and takes away what had this name.
  impl_->write_attribute(object, name, text_type("").get(), "");
  H5Adelete_by_name(impl_->handle.get(), object.c_str(), name.c_str(), H5P_DEFAULT);
  write_text(long_attribute_path(object, name), value);
}

void ArchiveWriter::attribute(const std::string& object, const std::string& name, double value) {
  const Hdf5Scope scope;
  impl_->write_attribute(object, name, H5T_NATIVE_DOUBLE, &value);
}

void ArchiveWriter::attribute(const std::string& object, const std::string& name,
                              std::int64_t value) {
  const Hdf5Scope scope;
  impl_->write_attribute(object, name, H5T_NATIVE_INT64, &value);
}

void ArchiveWriter::commit() {
  const Hdf5Scope scope;
  if (!impl_->handle) {
    throw Error(ErrorKind::invalid_argument, impl_->file.string() + ": is already committed");
  }
  impl_->create_groups.reset();
  if (H5Fflush(impl_->handle.get(), H5F_SCOPE_GLOBAL) < 0) impl_->fail("writing failed");
  if (impl_->handle.reset() < 0) impl_->fail("closing failed");
  try {
    append_checksum(impl_->temporary.path());
  } catch (const Error&) {
    impl_->fail("writing to the device failed");
  }
  impl_->temporary.put_in_place();
}

#define CHEST_INSTANTIATE(T)                                                                    \
  template void ArchiveReader::read<T>(const std::string&, const Hyperslab&, T*) const;         \
  template std::vector<T> ArchiveReader::read_all<T>(const std::string&, std::uint64_t) const;  \
  template void ArchiveWriter::write<T>(const std::string&, const std::vector<std::uint64_t>&,  \
                                        const T*);                                              \
  template void ArchiveWriter::create<T>(const std::string&, const std::vector<std::uint64_t>&, \
                                         bool);                                                 \
  template void ArchiveWriter::write_block<T>(const std::string&, const Hyperslab&, const T*);
CHEST_INSTANTIATE(double)
CHEST_INSTANTIATE(float)
CHEST_INSTANTIATE(std::int64_t)
CHEST_INSTANTIATE(std::uint32_t)
CHEST_INSTANTIATE(std::complex<double>)
CHEST_INSTANTIATE(std::complex<float>)
#undef CHEST_INSTANTIATE

}  // namespace v0
}  // namespace chest
