#include <chest/file.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <random>
#include <tuple>
#include <vector>

#include <chest/error.hpp>
#include <chest/text.hpp>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace chest {
inline namespace v0 {
namespace {

std::string to_hex(XXH128_hash_t hash) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

constexpr const char* checksum_start = "\nchest xxh3-128 ";
constexpr const char* part_mark = ".part-";
constexpr std::uintmax_t most_checked_bytes = std::uintmax_t{256} << 20;

/// With errno for the reason.
Error writing_failed(const std::filesystem::path& file) {
  const std::string reason = errno != 0 ? std::string(": ") + std::strerror(errno) : "";
  return Error(ErrorKind::io, file.string() + ": writing failed" + reason);
}

/// Hash of the first n bytes of a file, or of all when it has fewer.
std::string hash_start(const std::filesystem::path& file, std::uintmax_t n) {
  std::ifstream in(file, std::ios::binary);
  if (!in || std::filesystem::is_directory(file)) {
    throw Error(ErrorKind::io, file.string() + ": cannot be read: " + std::strerror(errno));
  }
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              &XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::vector<char> buffer(1 << 20);
  while (in && n > 0) {
    in.read(buffer.data(),
            static_cast<std::streamsize>(std::min<std::uintmax_t>(n, buffer.size())));
    XXH3_128bits_update(state.get(), buffer.data(), static_cast<std::size_t>(in.gcount()));
    n -= static_cast<std::uintmax_t>(in.gcount());
  }
  if (in.bad()) throw Error(ErrorKind::io, file.string() + ": reading failed");
  return to_hex(XXH3_128bits_digest(state.get()));
}

}  // namespace

std::string hash_bytes(const void* bytes, std::size_t n) { return to_hex(XXH3_128bits(bytes, n)); }

std::string hash_file(const std::filesystem::path& file) {
  return hash_start(file, std::numeric_limits<std::uintmax_t>::max());
}

void append_checksum(const std::filesystem::path& file, const std::filesystem::path& name) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (error) throw Error(ErrorKind::io, name.string() + ": cannot be read: " + error.message());
  if (size > most_checked_bytes) return;
  const std::string line = checksum_start + hash_file(file) + "\n";
  errno = 0;
  std::ofstream out(file, std::ios::binary | std::ios::app);
  out << line << std::flush;
  if (!out) throw writing_failed(name);
}

bool checksum_holds(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (error) throw Error(ErrorKind::io, file.string() + ": cannot be read: " + error.message());
  const std::string start = checksum_start;
  const std::size_t line = start.size() + 33;
  if (size < line || size - line > most_checked_bytes) return true;
  std::string found(line, '\0');
  std::ifstream in(file, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(size - line));
  in.read(found.data(), static_cast<std::streamsize>(line));
  if (!in) throw Error(ErrorKind::io, file.string() + ": reading failed");
  if (found.compare(0, start.size(), start) != 0) return true;
  return found == start + hash_start(file, size - line) + "\n";
}

namespace {

/// What is before the random part of the names that this process gives to files under construction:
/// "<boot and process namespace>-<pid>-<start time>-". Two processes that can exist at one time
/// never share it. Empty where the system does not tell.
std::string owner_here() {
  std::ifstream boot("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(boot, id);
  std::error_code error;
  const std::filesystem::path pids = std::filesystem::read_symlink("/proc/self/ns/pid", error);
  if (id.empty() || error) return {};
  id += pids.string();
  return hash_bytes(id.data(), id.size()).substr(0, 12);
}

/// When a process started, in clock ticks since boot; empty when it cannot be read.
std::string start_of(long pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(in, stat);
  // Fields after the name of the program, which stands in brackets and may hold anything.
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return {};
  const std::vector<std::string> fields = split(stat.substr(name_end + 1), ' ');
  return fields.size() > 20 ? fields[20] : std::string();
}

/// Whether a process of this machine that is gone made a temporary file; `id` is what follows
/// ".part-" in its name. False in doubt, for example for files of other machines.
bool owner_is_gone(const std::string& id, const std::string& here) {
  const std::vector<std::string> parts = split(id, '-');
  if (parts.size() < 4 || here.empty() || parts[0] != here) return false;
  long pid = 0;
  const char* end = parts[1].data() + parts[1].size();
  if (std::from_chars(parts[1].data(), end, pid).ptr != end || pid <= 0) return false;
  if (::kill(static_cast<pid_t>(pid), 0) != 0) return errno == ESRCH;
  const std::string start = start_of(pid);
  return !start.empty() && !parts[2].empty() && start != parts[2];
}

void remove_leftovers(const std::filesystem::path& target, const std::string& here) {
  const std::filesystem::path folder = target.has_parent_path() ? target.parent_path() : ".";
  const std::string stem = target.filename().string() + part_mark;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.rfind(stem, 0) != 0 || !owner_is_gone(name.substr(stem.size()), here)) continue;
    std::error_code ignored;
    std::filesystem::remove(at->path(), ignored);
  }
}

/// Flushes a file to its device; errno says why when it fails.
bool synchronise(const std::filesystem::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool done = ::fsync(descriptor) == 0;
  const int error = errno;
  ::close(descriptor);
  errno = error;
  return done;
}

}  // namespace

std::filesystem::path link_target(const std::filesystem::path& file) {
  std::filesystem::path target = file;
  std::error_code error;
  // As many links in a row as Linux follows.
  for (int i = 0; i < 40 && std::filesystem::is_symlink(target, error); ++i) {
    std::filesystem::path next = std::filesystem::read_symlink(target, error);
    if (error) break;
    next = target.parent_path() / next;  // an absolute one replaces it
    // The links of /proc to pipes lead to no path.
    if (std::filesystem::exists(target, error) && !std::filesystem::exists(next, error)) break;
    target = next;
  }
  return target;
}

TemporaryFile::TemporaryFile(const std::filesystem::path& file)
    : name_(file), target_(link_target(file)) {
  struct stat there {};
  const bool replaces = ::stat(target_.c_str(), &there) == 0;
  if (replaces && !S_ISREG(there.st_mode)) {
    throw Error(ErrorKind::io, file.string() + ": cannot be created: it is " +
                                   (S_ISDIR(there.st_mode) ? "a folder" : "no file on a disk"));
  }
  const std::string here = owner_here();
  remove_leftovers(target_, here);
  const std::string owner = (here.empty() ? "0" : here) + "-" + std::to_string(::getpid()) + "-" +
                            start_of(::getpid()) + "-";
  std::random_device random;
  // A random part of 32 bits clashes once in billions of names; the kernel then says so.
  for (int attempt = 0; attempt < 16; ++attempt) {
    char draw[9];
    std::snprintf(draw, sizeof draw, "%08x", static_cast<unsigned>(random()));
    path_ = target_;
    path_ += part_mark + owner + draw;
    const int descriptor = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
      // Whoever may read the file that it replaces may read this one.
      if (replaces) std::ignore = ::fchmod(descriptor, there.st_mode & 07777);
      ::close(descriptor);
      return;
    }
    if (errno != EEXIST) break;
  }
  const std::string reason = std::strerror(errno);
  path_.clear();
  throw Error(ErrorKind::io, file.string() + ": cannot be created: " + reason);
}

TemporaryFile::~TemporaryFile() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove(path_, ignored);
}

void TemporaryFile::put_in_place() {
  if (!synchronise(path_) || std::rename(path_.c_str(), target_.c_str()) != 0)
    throw writing_failed(name_);
  path_.clear();
}

void write_text_file(const std::filesystem::path& file, const std::string& text) {
  TemporaryFile temporary(file);
  errno = 0;
  std::ofstream out(temporary.path(), std::ios::binary);
  out << text;
  out.close();
  if (!out) throw writing_failed(file);
  temporary.put_in_place();
}

}  // namespace v0
}  // namespace chest
