#include "hdf5_output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

namespace chest {
inline namespace v0 {
namespace {

/// Metadata that came after the first failure: HDF5 may ask for it again before it closes.
struct Kept {
  haddr_t at;
  std::vector<char> bytes;
};

struct OutputFile : H5FD_t {
  OutputFile(int open_descriptor, std::shared_ptr<WriteState> shared)
      : H5FD_t{}, descriptor(open_descriptor), state(std::move(shared)) {}

  int descriptor;
  std::shared_ptr<WriteState> state;
  haddr_t eoa = 0, eof = 0;
  std::vector<Kept> kept;
};

/// The state travels in the property list, which HDF5 copies and frees.
using Info = std::shared_ptr<WriteState>;

OutputFile& output(H5FD_t* file) { return *static_cast<OutputFile*>(file); }
const OutputFile& output(const H5FD_t* file) { return *static_cast<const OutputFile*>(file); }

/// Calls pread or pwrite until all is done.
/// @return errno; 0 when all is done, or no more is taken; `at`, `size` and `bytes` are what is left
template <class Call, class Bytes>
int transfer(const Call& call, int descriptor, haddr_t& at, std::size_t& size, Bytes& bytes) {
  while (size > 0) {
    const ssize_t n = call(descriptor, bytes, size, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return 0;
    at += static_cast<haddr_t>(n);
    bytes += n;
    size -= static_cast<std::size_t>(n);
  }
  return 0;
}

H5FD_t* open_output(const char* name, unsigned, hid_t access, haddr_t) try {
  const void* info = H5Pget_driver_info(access);
  if (info == nullptr) return nullptr;
  const int descriptor = ::open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) return nullptr;
  try {
    return new OutputFile(descriptor, *static_cast<const Info*>(info));
  } catch (...) {
    ::close(descriptor);
    return nullptr;
  }
} catch (...) {
  return nullptr;
}

herr_t close_output(H5FD_t* file) {
  OutputFile& out = output(file);
  // Some network file systems report a full disk only here.
  if (::close(out.descriptor) != 0 && out.state->error == 0) out.state->error = errno;
  delete &out;
  return 0;
}

void* copy_info(const void* info) {
  try {
    return new Info(*static_cast<const Info*>(info));
  } catch (...) {
    return nullptr;
  }
}

herr_t free_info(void* info) {
  delete static_cast<Info*>(info);
  return 0;
}

herr_t query(const H5FD_t*, unsigned long* flags) {
  // Those of HDF5's own driver, so that the files are the same.
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t get_eoa(const H5FD_t* file, H5FD_mem_t) { return output(file).eoa; }
herr_t set_eoa(H5FD_t* file, H5FD_mem_t, haddr_t at) {
  output(file).eoa = at;
  return 0;
}
haddr_t get_eof(const H5FD_t* file, H5FD_mem_t) { return output(file).eof; }

herr_t read_output(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t at, std::size_t size, void* buffer) {
  OutputFile& out = output(file);
  std::memset(buffer, 0, size);
  haddr_t from = at;
  std::size_t left = size;
  char* bytes = static_cast<char*>(buffer);
  if (const int error = transfer(::pread, out.descriptor, from, left, bytes);
      error != 0 && out.state->error == 0)
    out.state->error = error;
  for (const Kept& kept : out.kept) {
    const haddr_t first = std::max(at, kept.at);
    const haddr_t end = std::min<haddr_t>(at + size, kept.at + kept.bytes.size());
    if (first >= end) continue;
    std::memcpy(static_cast<char*>(buffer) + (first - at), kept.bytes.data() + (first - kept.at),
                end - first);
  }
  return 0;
}

herr_t write_output(H5FD_t* file, H5FD_mem_t type, hid_t, haddr_t at, std::size_t size,
                    const void* buffer) {
  OutputFile& out = output(file);
  out.eof = std::max<haddr_t>(out.eof, at + size);
  const char* bytes = static_cast<const char*>(buffer);
  if (out.state->error == 0) {
    out.state->error = transfer(::pwrite, out.descriptor, at, size, bytes);
    if (out.state->error == 0 && size > 0) out.state->error = ENOSPC;
    if (out.state->error == 0) return 0;
  }
  if (type == H5FD_MEM_DRAW) return 0;  // samples are not asked for again
  try {
    out.kept.push_back({at, {bytes, bytes + size}});
  } catch (...) {
    return -1;
  }
  return 0;
}

herr_t truncate_output(H5FD_t* file, hid_t, hbool_t) {
  OutputFile& out = output(file);
  if (out.eoa == out.eof) return 0;
  if (out.state->error == 0 && ::ftruncate(out.descriptor, static_cast<off_t>(out.eoa)) != 0)
    out.state->error = errno;
  out.eof = out.eoa;
  return 0;
}

/// HDF5's identifier of the driver; registered again after the host has closed the library.
hid_t driver() {
  static const H5FD_class_t description = [] {
    H5FD_class_t c{};
#if H5_VERSION_GE(1, 13, 0)
    c.version = H5FD_CLASS_VERSION;
    c.value = static_cast<H5FD_class_value_t>(0x6368);  // one of those that libraries may take
#endif
    c.name = "chest output";
    c.maxaddr = (haddr_t{1} << 62) - 1;
    c.fc_degree = H5F_CLOSE_WEAK;
    c.fapl_size = sizeof(Info);
    c.fapl_copy = &copy_info;
    c.fapl_free = &free_info;
    c.open = &open_output;
    c.close = &close_output;
    c.query = &query;
    c.get_eoa = &get_eoa;
    c.set_eoa = &set_eoa;
    c.get_eof = &get_eof;
    c.read = &read_output;
    c.write = &write_output;
    c.truncate = &truncate_output;
    const H5FD_mem_t free_lists[] = H5FD_FLMAP_DICHOTOMY;
    std::copy(std::begin(free_lists), std::end(free_lists), std::begin(c.fl_map));
    return c;
  }();
  static hid_t id = -1;
  if (id < 0 || H5Iget_type(id) != H5I_VFL) id = H5FDregister(&description);
  return id;
}

}  // namespace

Handle output_access(std::shared_ptr<WriteState> state) {
  const Hdf5Scope scope;
  Handle access(H5Pcreate(H5P_FILE_ACCESS), &H5Pclose);
  if (H5Pset_driver(access.get(), driver(), &state) < 0) return {};
  return access;
}

}  // namespace v0
}  // namespace chest
