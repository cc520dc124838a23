#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include <chest/error.hpp>

#include "bytes.hpp"

#ifdef CHEST_WITH_ZIP
#include <zip.h>
#endif

namespace chest {
inline namespace v0 {

#ifdef CHEST_WITH_ZIP

namespace {

constexpr std::uint64_t head_bytes = std::uint64_t{1} << 16;
constexpr std::uint64_t unpacked_bytes_most = std::uint64_t{4} << 30;
// deflate packs at most about 1032 to 1: what claims more is damaged.
constexpr std::uint64_t deflate_most = 1100;

struct CloseZip {
  void operator()(zip_t* archive) const { ::zip_discard(archive); }
};
struct CloseMember {
  void operator()(zip_file_t* member) const { ::zip_fclose(member); }
};
using Archive = std::unique_ptr<zip_t, CloseZip>;
using Member = std::unique_ptr<zip_file_t, CloseMember>;

Archive open_archive(const std::filesystem::path& file) {
  int code = 0;
  Archive archive(::zip_open(file.c_str(), ZIP_RDONLY, &code));
  if (archive) return archive;
  zip_error_t error;
  ::zip_error_init_with_code(&error, code);
  const std::string why = ::zip_error_strerror(&error);
  ::zip_error_fini(&error);
  throw Error(ErrorKind::format, file.string() + ": is a zip archive that cannot be opened (" +
                                     why + "); it is truncated or damaged");
}

class ZipMember final : public Bytes {
 public:
  ZipMember(const std::filesystem::path& file, const std::string& member)
      : archive_(open_archive(file)) {
    name = file.string() + ":" + member;
    const zip_int64_t index = ::zip_name_locate(archive_.get(), member.c_str(), 0);
    zip_stat_t stat;
    ::zip_stat_init(&stat);
    if (index < 0 ||
        ::zip_stat_index(archive_.get(), static_cast<zip_uint64_t>(index), 0, &stat) != 0)
      fail("is not in the archive");
    constexpr zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    if ((stat.valid & needed) != needed) fail("has no size; the archive is damaged");
    if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) != 0 && stat.encryption_method != ZIP_EM_NONE)
      fail("is encrypted; save it without a password");
    if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE)
      fail("is packed by method " + std::to_string(stat.comp_method) +
           ", expected stored or deflate, as np.savez and np.savez_compressed write");
    size = stat.size;
    std::error_code error;
    const std::uint64_t room = std::filesystem::file_size(file, error);
    if (stat.comp_size > room || size / deflate_most > stat.comp_size ||
        (stat.comp_method == ZIP_CM_STORE && size != stat.comp_size))
      fail("claims " + std::to_string(size) + " bytes from " + std::to_string(stat.comp_size) +
           " stored ones; the archive is damaged");
    member_.reset(::zip_fopen_index(archive_.get(), static_cast<zip_uint64_t>(index), 0));
    if (!member_) fail(std::string("cannot be opened: ") + ::zip_strerror(archive_.get()));
    if (stat.comp_method == ZIP_CM_STORE) return;
    if (size > unpacked_bytes_most)
      fail("holds " + std::to_string(size) +
           " bytes, too many to be unpacked in memory; unpack the archive (unzip) and read the "
           ".npy file in it");
    is_packed_ = true;
    // The header of an array is read without unpacking all of it.
    unpacked_.resize(std::min(size, head_bytes));
    read_here(unpacked_.data(), unpacked_.size());
  }

  void read(std::uint64_t offset, void* out, std::size_t n_bytes) const override {
    if (offset > size || n_bytes > size - offset) fail("ends too early; it is truncated");
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_packed_) {
      if (offset + n_bytes > unpacked_.size()) {
        const std::size_t done = unpacked_.size();
        unpacked_.resize(size);
        read_here(unpacked_.data() + done, size - done);
      }
      std::memcpy(out, unpacked_.data() + offset, n_bytes);
      return;
    }
    if (::zip_fseek(member_.get(), static_cast<zip_int64_t>(offset), SEEK_SET) != 0)
      fail("cannot be read; the archive is damaged");
    read_here(static_cast<char*>(out), n_bytes);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::format, name + ": " + what);
  }
  void read_here(char* to, std::uint64_t n_bytes) const {
    while (n_bytes > 0) {
      const zip_int64_t n = ::zip_fread(member_.get(), to, n_bytes);
      if (n <= 0) fail("cannot be unpacked; the archive is truncated or damaged");
      to += n;
      n_bytes -= static_cast<std::uint64_t>(n);
    }
  }

  Archive archive_;
  Member member_;  ///< closed before the archive
  bool is_packed_ = false;
  mutable std::vector<char> unpacked_;  ///< its head, and from the first read beyond that all of it
  mutable std::mutex mutex_;
};

}  // namespace

bool reads_zip() { return true; }

std::vector<std::string> list_zip(const std::filesystem::path& file) {
  const Archive archive = open_archive(file);
  std::vector<std::string> names;
  const zip_int64_t n = ::zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t i = 0; i < n; ++i)
    if (const char* name = ::zip_get_name(archive.get(), static_cast<zip_uint64_t>(i), 0))
      names.emplace_back(name);
  return names;
}

std::unique_ptr<Bytes> open_zip_member(const std::filesystem::path& file,
                                       const std::string& member) {
  return std::make_unique<ZipMember>(file, member);
}

#else

bool reads_zip() { return false; }
std::vector<std::string> list_zip(const std::filesystem::path&) { return {}; }
std::unique_ptr<Bytes> open_zip_member(const std::filesystem::path&, const std::string&) {
  return nullptr;
}

#endif

}  // namespace v0
}  // namespace chest
