#include <chest/archive.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <type_traits>
#include <utility>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/file_kind.hpp>
#include <chest/pair_names.hpp>
#include <chest/text.hpp>

#include "hdf5_handles.hpp"
#include "hdf5_output.hpp"

namespace chest {
inline namespace v0 {
namespace {

std::string member_name(hid_t type, unsigned index) {
  char* raw = H5Tget_member_name(type, index);
  const std::string name = raw ? raw : "";
  H5free_memory(raw);
  return name;
}

/// Whether a type is a float that machines know: half, bfloat16, single, double, the 80 bits of x86
/// or quadruple, in either byte order. HDF5 can describe others, and in a damaged file does so, but
/// its conversions then leave their buffers.
bool is_known_float(hid_t type) {
  if (H5Tget_class(type) != H5T_FLOAT) return false;
  struct Form {
    std::size_t bits, exponent_at, exponent_bits, mantissa_bits, bias;
    bool first_bit_implied;
  };
  static constexpr Form forms[] = {
      {16, 10, 5, 10, 15, true},      {16, 7, 8, 7, 127, true},
      {32, 23, 8, 23, 127, true},     {64, 52, 11, 52, 1023, true},
      {80, 64, 15, 64, 16383, false}, {128, 112, 15, 112, 16383, true}};
  const H5T_order_t order = H5Tget_order(type);
  if ((order != H5T_ORDER_LE && order != H5T_ORDER_BE) || H5Tget_offset(type) != 0) return false;
  std::size_t sign_at = 0, exponent_at = 0, exponent_bits = 0, mantissa_at = 0, mantissa_bits = 0;
  if (H5Tget_fields(type, &sign_at, &exponent_at, &exponent_bits, &mantissa_at, &mantissa_bits) < 0)
    return false;
  const std::size_t size = H5Tget_size(type);
  for (const Form& form : forms) {
    const bool size_fits =
        form.bits == 80 ? size == 10 || size == 12 || size == 16 : 8 * size == form.bits;
    if (size_fits && H5Tget_precision(type) == form.bits && sign_at == form.bits - 1 &&
        exponent_at == form.exponent_at && exponent_bits == form.exponent_bits &&
        mantissa_at == 0 && mantissa_bits == form.mantissa_bits &&
        H5Tget_ebias(type) == form.bias &&
        H5Tget_norm(type) == (form.first_bit_implied ? H5T_NORM_IMPLIED : H5T_NORM_NONE))
      return true;
  }
  return false;
}

bool is_signed_integer(hid_t type) {
  return H5Tget_class(type) == H5T_INTEGER && H5Tget_size(type) <= 8 &&
         H5Tget_sign(type) == H5T_SGN_2;
}

/// A complex value as two numbers of one type: members of a compound, or an H5T_ARRAY of length 2.
struct ComplexForm {
  std::string re, im;  ///< names of the members; empty for an array
  Handle part;         ///< type of one number
};

std::optional<ComplexForm> complex_form(hid_t type) {
  ComplexForm form;
  const H5T_class_t kind = H5Tget_class(type);
  const std::size_t size = H5Tget_size(type);
  if (kind == H5T_ARRAY) {
    hsize_t length = 0;
    if (H5Tget_array_ndims(type) != 1 || H5Tget_array_dims2(type, &length) < 0 || length != 2)
      return {};
    form.part = Handle(H5Tget_super(type), &H5Tclose);
  } else if (kind == H5T_COMPOUND && H5Tget_nmembers(type) == 2 && size <= 64) {
    for (unsigned i = 0; i < 2; ++i) {
      Handle member(H5Tget_member_type(type, i), &H5Tclose);
      if (!member || H5Tget_member_offset(type, i) + H5Tget_size(member.get()) > size) return {};
      if (i == 1 && H5Tequal(member.get(), form.part.get()) <= 0) return {};
      form.part = std::move(member);
    }
    const std::string first = member_name(type, 0), second = member_name(type, 1);
    if (complex_pair(first, second)) {
      form.re = first;
      form.im = second;
    } else if (complex_pair(second, first)) {
      form.re = second;
      form.im = first;
    } else {
      return {};
    }
  } else {
    return {};
  }
  if (!form.part || !(is_known_float(form.part.get()) || is_signed_integer(form.part.get())))
    return {};
  return form;
}

bool is_object_reference(hid_t type) { return H5Tequal(type, H5T_STD_REF_OBJ) > 0; }

/// Whether float holds all values of a number's type.
bool fits_float(hid_t type) {
  const std::size_t size = H5Tget_size(type);
  return H5Tget_class(type) == H5T_FLOAT ? size <= 4 : size <= 2;
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
    case H5T_OPAQUE:
      return "opaque bytes";
    case H5T_ARRAY:
    case H5T_VLEN: {
      const Handle part(H5Tget_super(type), &H5Tclose);
      const std::string of = part && H5Tget_class(part.get()) != H5T_COMPOUND
                                 ? describe_type(part.get())
                                 : std::string("compounds");
      if (H5Tget_class(type) == H5T_VLEN) return "lists of " + of + " of any length";
      std::array<hsize_t, H5S_MAX_RANK> dims{};
      const int rank = H5Tget_array_dims2(type, dims.data());
      std::string text = "array of ";
      for (int d = 0; d < rank; ++d)
        text += (d > 0 ? " x " : "") + std::to_string(dims[static_cast<std::size_t>(d)]);
      return text + " " + of;
    }
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
      return is_known_float(type) ? ValueType::real : ValueType::other;
    case H5T_INTEGER:
      return H5Tget_size(type) <= 8 ? ValueType::integer : ValueType::other;
    case H5T_STRING:
      return ValueType::string;
    default:
      return complex_form(type) ? ValueType::complex : ValueType::other;
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

/// The first link on the way to a path that leads nowhere, in words; empty when there is none.
std::string broken_link(hid_t file, const std::string& path) {
  std::string walked;
  for (const std::string& part : split(path, '/')) {
    if (part.empty()) continue;
    walked += "/" + part;
    if (H5Lexists(file, walked.c_str(), H5P_DEFAULT) <= 0) return {};
    if (H5Oexists_by_name(file, walked.c_str(), H5P_DEFAULT) > 0) continue;
    H5L_info_t link;
    if (H5Lget_info(file, walked.c_str(), &link, H5P_DEFAULT) < 0 ||
        (link.type != H5L_TYPE_SOFT && link.type != H5L_TYPE_EXTERNAL) ||
        link.u.val_size > (std::size_t{1} << 16))
      return {};
    std::string value(link.u.val_size + 1, '\0');
    if (H5Lget_val(file, walked.c_str(), value.data(), link.u.val_size, H5P_DEFAULT) < 0) return {};
    if (link.type == H5L_TYPE_SOFT)
      return walked + " is a link to " + value.c_str() + ", which is not in the file";
    const char *target = nullptr, *object = nullptr;
    if (H5Lunpack_elink_val(value.data(), link.u.val_size, nullptr, &target, &object) < 0)
      return {};
    return walked + " is a link to " + object + " in the file " + target +
           ", which cannot be opened there; put that file beside this one";
  }
  return {};
}

/// What the last call of HDF5 says of its failure, innermost first. To be asked before the next call.
std::vector<std::string> error_stack() {
  std::vector<std::string> lines;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned, const H5E_error2_t* error, void* to) -> herr_t {
        static_cast<std::vector<std::string>*>(to)->emplace_back(error->desc ? error->desc : "");
        return 0;
      },
      &lines);
  return lines;
}

/// The line of an error stack that holds a text; empty when there is none.
std::string line_with(const std::vector<std::string>& stack, const std::string& text) {
  for (const std::string& line : stack)
    if (line.find(text) != std::string::npos) return line;
  return {};
}

std::string library_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return "HDF5 " + std::to_string(major) + "." + std::to_string(minor) + "." +
         std::to_string(release);
}

/// What to say of a part that a newer HDF5 wrote; empty when the stack speaks of something else.
std::string why_newer(const std::vector<std::string>& stack) {
  for (const char* phrase : {"bad version", "unknown version", "wrong version",
                             "bad superblock version", "unknown message"}) {
    if (const std::string line = line_with(stack, phrase); !line.empty())
      return "is in a form newer than the " + library_version() + " here knows (" + line +
             "): write it again with h5py.File(..., libver=('earliest', 'v110')), or convert it "
             "with a newer h5repack --low=0 --high=2; the complex type of HDF5 2.0 must become a "
             "compound {r, i}";
  }
  return {};
}

/// Names of filters by their registered numbers; empty for others.
/// Source: https://github.com/HDFGroup/hdf5_plugins/blob/master/docs/RegisteredFilterPlugins.md
std::string filter_name(H5Z_filter_t number) {
  static constexpr std::pair<H5Z_filter_t, const char*> names[] = {
      {1, "gzip"},     {4, "szip"},      {305, "lzo"},      {307, "bzip2"},
      {32000, "lzf"},  {32001, "blosc"}, {32004, "lz4"},    {32008, "bitshuffle"},
      {32013, "zfp"},  {32015, "zstd"},  {32017, "sz"},     {32018, "fcidecomp"},
      {32019, "jpeg"}, {32024, "sz3"},   {32026, "blosc2"}, {32028, "sperr"}};
  for (const auto& [known, name] : names)
    if (known == number) return name;
  return {};
}

/// Why a dataset cannot be read without a filter that is not here; empty when all are.
std::string missing_filters(hid_t creation) {
  std::string names;
  const int n = H5Pget_nfilters(creation);
  for (int i = 0; i < n; ++i) {
    unsigned flags = 0, config = 0;
    std::size_t n_values = 0;
    char own_name[64] = "";
    const H5Z_filter_t id = H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &n_values,
                                           nullptr, sizeof own_name, own_name, &config);
    if (id < 0 || H5Zfilter_avail(id) > 0) continue;
    own_name[sizeof own_name - 1] = '\0';
    const std::string name = filter_name(id).empty() ? own_name : filter_name(id);
    names += (names.empty() ? "" : ", ") + name + (name.empty() ? "" : " ") + "(number " +
             std::to_string(id) + ")";
  }
  if (names.empty()) return {};
  return "is compressed with the filter " + names +
         ", which is not installed: set HDF5_PLUGIN_PATH to a folder with its plugin (Python: pip "
         "install hdf5plugin; python -c 'import hdf5plugin; print(hdf5plugin.PLUGIN_PATH)'), or "
         "store the data with gzip where it can be read (h5repack -f GZIP=4 IN OUT)";
}

/// Where HDF5 looks for a file that another one names; empty when it is not there.
std::filesystem::path found_beside(const std::filesystem::path& file, const std::string& name,
                                   const char* prefix_variable) {
  std::vector<std::filesystem::path> folders;
  if (const char* prefix = std::getenv(prefix_variable))
    for (const std::string& folder : split(prefix, ':'))
      folders.emplace_back(folder.rfind("${ORIGIN}", 0) == 0
                               ? file.parent_path() / ("." + folder.substr(9))
                               : std::filesystem::path(folder));
  folders.push_back(file.parent_path());
  folders.emplace_back();
  const std::filesystem::path path = name;
  std::error_code error;
  for (const std::filesystem::path& folder : folders) {
    for (const std::filesystem::path& tail : {path, path.filename()}) {
      if (std::filesystem::exists(folder / tail, error)) return folder / tail;
    }
  }
  return {};
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
  mutable std::set<std::string> complete;  ///< datasets of parts that are all there

  void open();
  /// Paths of datasets below a group, and what is said of links that lead nowhere.
  struct Walk {
    std::vector<std::string> datasets, broken_links;
  };
  Walk walk(const std::string& group, std::size_t most) const;
  Handle open_dataset(const std::string& path) const;
  /// Refuses a dataset that is pieced together of others while one of them is not there: HDF5 reads
  /// its fill value in their place.
  void check_parts(hid_t creation, const std::string& path) const;
  [[noreturn]] void fail_read(hid_t dataset, const std::string& path,
                              const std::vector<std::string>& stack) const;
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
  if (!std::filesystem::is_regular_file(file, error)) {
    throw Error(ErrorKind::io, file.string() + ": is a pipe or a device, expected an HDF5 file");
  }
  switch (file_kind(file)) {
    case FileKind::hdf5:
      break;
    case FileKind::npy:
      impl_->fail("is a NumPy file, expected HDF5");
    case FileKind::zip:
      impl_->fail("is a zip archive (.npz, .pt, .zip), expected HDF5");
    case FileKind::matlab_5:
    case FileKind::matlab_4:
      impl_->fail(
          "is a MATLAB v4..v7 .mat file, which is not HDF5; save it in MATLAB with "
          "save(..., '-v7.3')");
    case FileKind::other: {
      const std::string what = describe_foreign_file(file);
      impl_->fail((what.empty() ? "" : what + "; it ") + "is not an HDF5 file");
    }
  }
  // The library does not survive every damage to what it decodes.
  if (!checksum_holds(file)) impl_->fail("is damaged: its content does not match its checksum");
  impl_->open();
}

void ArchiveReader::Impl::open() {
  handle = Handle(H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), &H5Fclose);
  if (handle) return;
  std::vector<std::string> stack = error_stack();
  const auto is_held = [&] {
    return !line_with(stack, "errno = " + std::to_string(EAGAIN) + ",").empty();
  };
#if H5_VERSION_GE(1, 10, 7)
  if (!line_with(stack, "unable to lock file").empty() && !is_held()) {
    // NFS and others have no locks: nothing there can tell of a writer.
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), &H5Pclose);
    H5Pset_file_locking(access.get(), false, true);
    handle = Handle(H5Fopen(file.c_str(), H5F_ACC_RDONLY, access.get()), &H5Fclose);
    if (handle) return;
    stack = error_stack();
  }
#endif
  if (const std::string line = line_with(stack, "unable to lock file"); !line.empty())
    fail((is_held() ? "is open for writing in another program, which has locked it; read it when "
                      "that has closed it, or set HDF5_USE_FILE_LOCKING=FALSE to read it as it is ("
                    : "cannot be locked, as on file systems without locks; set "
                      "HDF5_USE_FILE_LOCKING=FALSE (") +
         line + ")");
  const Superblock superblock = read_superblock(file);
  if (superblock.open_for_write)
    fail(
        "was not closed by its writer, which still has it open for writing or was killed; wait for "
        "it, or when no program writes it any more: h5clear -s " +
        file.string() + ", and look at how much it holds");
  if (superblock.version > 3)
    fail("is an HDF5 file of version " + std::to_string(superblock.version) +
         ", which is newer than " + "the " + library_version() +
         " here; write it with h5py.File(..., libver=('earliest', 'v110')), or convert it with a "
         "newer h5repack --low=0 --high=2");
  if (const std::string line = line_with(stack, "truncated file"); !line.empty())
    fail("is an HDF5 file that is truncated (" + line + "); copy or download it again");
  const std::string newer = why_newer(stack);
  fail(newer.empty() ? "is an HDF5 file that cannot be opened; it is truncated or damaged"
                     : "is an HDF5 file that " + newer);
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

ArchiveReader::Impl::Walk ArchiveReader::Impl::walk(const std::string& group,
                                                    std::size_t most) const {
  Walk out;
  // Each object once: hard links may form cycles, and so many of them that a bound on the depth
  // alone would not end the walk in a lifetime.
  std::set<std::pair<unsigned long, haddr_t>> visited;
  const auto visit = [&](const auto& self, const std::string& path, int depth) -> void {
    const Handle here(H5Gopen2(handle.get(), path.c_str(), H5P_DEFAULT), &H5Gclose);
    if (!here) fail("there is no group " + path);
    std::vector<std::string> names;
    hsize_t position = 0;
    H5Literate(here.get(), H5_INDEX_NAME, H5_ITER_INC, &position, &collect_name, &names);
    for (const std::string& name : names) {
      if (out.datasets.size() >= most) return;
      const std::string child = (path == "/" ? "" : path) + "/" + name;
      if (name == "#refs#" || name == "#subsystem#") continue;  // of MATLAB
      if (!exists(handle.get(), child)) {
        const std::string why = broken_link(handle.get(), child);
        if (!why.empty() && out.broken_links.size() < most) out.broken_links.push_back(why);
        continue;
      }
      // HDF5 1.10 does not survive asking for the information of some damaged objects that it then cannot open.
      const Handle opened(H5Oopen(handle.get(), child.c_str(), H5P_DEFAULT), &H5Oclose);
      H5O_info_t object;
      if (!opened || H5Oget_info(opened.get(), &object) < 0) {
        out.datasets.push_back(child);  // opening it says what is wrong
        continue;
      }
      if (!visited.insert({object.fileno, object.addr}).second) continue;
      if (object.type == H5O_TYPE_DATASET) out.datasets.push_back(child);
      if (object.type == H5O_TYPE_GROUP && depth < 16) self(self, child, depth + 1);
    }
  };
  H5O_info_t start;
  if (H5Oget_info_by_name(handle.get(), group.c_str(), &start, H5P_DEFAULT) >= 0) {
    visited.insert({start.fileno, start.addr});
  }
  visit(visit, group, 0);
  return out;
}

std::vector<std::string> ArchiveReader::list_datasets(const std::string& group,
                                                      std::size_t most) const {
  const Hdf5Scope scope;
  return impl_->walk(group, most).datasets;
}

std::vector<std::string> ArchiveReader::list_broken_links() const {
  const Hdf5Scope scope;
  return impl_->walk("/", 1000).broken_links;
}

std::vector<std::string> ArchiveReader::read_references(const std::string& dataset,
                                                        std::uint64_t most) const {
  const Hdf5Scope scope;
  const StoredDataset stored = info(dataset);
  const Handle handle = impl_->open_dataset(dataset);
  const Handle type(H5Dget_type(handle.get()), &H5Tclose);
  if (!is_object_reference(type.get()))
    impl_->fail(dataset + " holds " + stored.type_name + ", expected references");
  const std::uint64_t n = stored.n_values();
  if (n > most || (n > 4096 && n / 1100 > stored.stored_bytes))
    impl_->fail(dataset + " claims " + std::to_string(n) + " references, expected at most " +
                std::to_string(most));
  std::vector<hobj_ref_t> references(n);
  if (n > 0 &&
      H5Dread(handle.get(), H5T_STD_REF_OBJ, H5S_ALL, H5S_ALL, H5P_DEFAULT, references.data()) < 0)
    impl_->fail_read(handle.get(), dataset, error_stack());
  // By address: asking for the name of each would search the file each time.
  std::map<haddr_t, std::string> names;
  for (const std::string group : {"/", "/#refs#"}) {
    if (!is_group(group)) continue;
    for (const std::string& name : list(group)) {
      const std::string path = (group == "/" ? "" : group) + "/" + name;
      H5L_info_t link;
      if (H5Lget_info(impl_->handle.get(), path.c_str(), &link, H5P_DEFAULT) >= 0 &&
          link.type == H5L_TYPE_HARD)
        names.emplace(link.u.address, path);
    }
  }
  std::vector<std::string> out;
  for (const hobj_ref_t reference : references) {
    const auto at = names.find(reference);
    out.push_back(at == names.end() ? std::string() : at->second);
  }
  return out;
}

Handle ArchiveReader::Impl::open_dataset(const std::string& path) const {
  Handle dataset;
  if (exists(handle.get(), path)) {
    dataset = Handle(H5Dopen2(handle.get(), path.c_str(), H5P_DEFAULT), &H5Dclose);
    if (!dataset) {
      const std::string newer = why_newer(error_stack());
      fail(path + (newer.empty() ? " cannot be opened: it is a group, or damaged" : " " + newer));
    }
    // HDF5 1.10 reads a dataset that its header stores with too few bytes through a null pointer.
    const Handle creation(H5Dget_create_plist(dataset.get()), &H5Pclose);
    const H5D_layout_t layout = creation ? H5Pget_layout(creation.get()) : H5D_LAYOUT_ERROR;
    if ((layout == H5D_VIRTUAL ||
         (layout == H5D_CONTIGUOUS && H5Pget_external_count(creation.get()) > 0)) &&
        complete.count(path) == 0) {
      check_parts(creation.get(), path);
      complete.insert(path);
    }
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

void ArchiveReader::Impl::check_parts(hid_t creation, const std::string& path) const {
  std::vector<char> text(1 << 12), object(1 << 12);
  if (H5Pget_layout(creation) != H5D_VIRTUAL) {
    const int n = H5Pget_external_count(creation);
    for (int i = 0; i < n; ++i) {
      off_t offset = 0;
      hsize_t size = 0;
      H5Pget_external(creation, static_cast<unsigned>(i), text.size() - 1, text.data(), &offset,
                      &size);
      if (found_beside(file, text.data(), "HDF5_EXTFILE_PREFIX").empty())
        fail(path + " keeps its values in the file " + text.data() +
             ", which is not there; put it beside this one");
    }
    return;
  }
  std::size_t n = 0;
  H5Pget_virtual_count(creation, &n);
  std::string last;
  Handle other, source;
  for (std::size_t i = 0; i < n; ++i) {
    H5Pget_virtual_filename(creation, i, text.data(), text.size());
    H5Pget_virtual_dsetname(creation, i, object.data(), object.size());
    const std::string part = text.data(), name = object.data();
    // Numbered parts, "part%b.h5", are as many as there are.
    if ((part + name).find("%b") != std::string::npos) continue;
    const bool is_here = part == ".";
    const std::string said = path + " is a virtual dataset, a part of it is " + name +
                             (is_here ? "" : " in the file " + part);
    if (part + ":" + name != last) {
      last = part + ":" + name;
      if (!is_here) {
        const std::filesystem::path beside = found_beside(file, part, "HDF5_VDS_PREFIX");
        if (beside.empty()) fail(said + ", which is not there; put it beside this one");
        other = Handle(H5Fopen(beside.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), &H5Fclose);
        if (!other) fail(said + ", which cannot be opened; try chest info " + beside.string());
      }
      const hid_t where = is_here ? handle.get() : other.get();
      source = exists(where, name) ? Handle(H5Dopen2(where, name.c_str(), H5P_DEFAULT), &H5Dclose)
                                   : Handle();
      if (!source) fail(said + ", which does not hold it");
    }
    // HDF5 cuts what is taken of a source to the size that it has.
    const Handle filled(H5Pget_virtual_vspace(creation, i), &H5Sclose);
    const Handle taken(H5Pget_virtual_srcspace(creation, i), &H5Sclose);
    const Handle space(H5Dget_space(source.get()), &H5Sclose);
    if (H5Sget_select_type(taken.get()) == H5S_SEL_ALL
            ? H5Sget_select_npoints(filled.get()) > H5Sget_simple_extent_npoints(space.get())
            : H5Sget_select_npoints(filled.get()) > H5Sget_select_npoints(taken.get()))
      fail(said + ", which is only " + shape(extent(space.get())) +
           "; it was not completely written");
  }
}

void ArchiveReader::Impl::fail_read(hid_t dataset, const std::string& path,
                                    const std::vector<std::string>& stack) const {
  const Handle creation(H5Dget_create_plist(dataset), &H5Pclose);
  if (const std::string why = missing_filters(creation.get()); !why.empty()) fail(path + " " + why);
  if (const std::string line = line_with(stack, "required filter"); !line.empty())
    fail(path + ": reading failed, a filter is not installed (" + line +
         "); set HDF5_PLUGIN_PATH to a folder with its plugin");
  const std::string newer = why_newer(stack);
  fail(path + (newer.empty() ? ": reading failed; the file is truncated or damaged" +
                                   (stack.empty() ? "" : " (" + stack[0] + ")")
                             : " " + newer));
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
  if (const auto form = complex_form(type.get())) {
    out.fits_float = fits_float(form->part.get());
  } else if (out.type == ValueType::real || out.type == ValueType::integer) {
    out.fits_float = fits_float(type.get());
  }
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
    if (const std::string why = broken_link(impl_->handle.get(), dataset); !why.empty())
      impl_->fail(why);
    const std::vector<std::string> there = list_datasets("/", 20);
    impl_->fail("there is no dataset " + dataset +
                (there.empty() ? "; the file holds none" : "; there are " + enumerate(there)));
  }
  StoredDataset out = impl_->describe(handle.get(), dataset);
  // Not in describe: for chunked data this walks over the whole index.
  const Handle creation(H5Dget_create_plist(handle.get()), &H5Pclose);
  out.stored_bytes = creation && H5Pget_layout(creation.get()) == H5D_VIRTUAL
                         ? saturated_product({out.n_values(), out.bytes_per_value})
                         : H5Dget_storage_size(handle.get());
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
  Handle type = memory_type<T>();
  if (const auto form = complex_form(file_type.get())) {
    const hsize_t two = 2;
    type = form->re.empty() ? Handle(H5Tarray_create2(MemoryType<T>::real(), 1, &two), &H5Tclose)
                            : memory_type<T>(form->re, form->im);
  }
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
    impl_->fail_read(handle.get(), dataset, error_stack());
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
  std::shared_ptr<WriteState> state = std::make_shared<WriteState>();
  Handle handle;
  Handle create_groups;  // link creation: parents are made as needed

  [[noreturn]] void fail(const std::string& what) const {
    const std::string reason =
        state->error != 0 ? ": " + std::string(std::strerror(state->error)) : "";
    throw Error(ErrorKind::io, file.string() + ": " + what + reason);
  }
  /// HDF5 itself is told that every write succeeded.
  void check_written(const std::string& what) const {
    if (state->error != 0) fail("writing " + what + " failed");
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
  const Handle access = output_access(impl_->state);
  errno = 0;
  impl_->handle =
      Handle(H5Fcreate(impl_->temporary.path().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()),
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
  impl_->check_written("dataset " + dataset);
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
  impl_->check_written("dataset " + dataset);
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
  impl_->check_written("dataset " + dataset);
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
  check_written("attribute " + name + " of " + object);
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
  if (impl_->state->error != 0) impl_->fail("writing failed");
  append_checksum(impl_->temporary.path(), impl_->file);
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
