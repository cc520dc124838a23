#include <chest/file.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <vector>

#include <chest/error.hpp>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace chest {
namespace {

std::string to_hex(XXH128_hash_t hash) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

constexpr const char* checksum_start = "\nchest xxh3-128 ";
constexpr std::uintmax_t most_checked_bytes = std::uintmax_t{256} << 20;

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

void append_checksum(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (error) throw Error(ErrorKind::io, file.string() + ": cannot be read: " + error.message());
  if (size > most_checked_bytes) return;
  std::ofstream out(file, std::ios::binary | std::ios::app);
  out << checksum_start << hash_file(file) << '\n' << std::flush;
  if (!out) throw Error(ErrorKind::io, file.string() + ": writing failed");
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

std::filesystem::path temporary_beside(const std::filesystem::path& file) {
  std::filesystem::path out = file;
  out += ".part-" + std::to_string(::getpid());
  return out;
}

void write_text_file(const std::filesystem::path& file, const std::string& text) {
  const std::filesystem::path temporary = temporary_beside(file);
  const auto fail = [&]() -> void {
    const std::string reason = std::strerror(errno);
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw Error(ErrorKind::io, file.string() + ": cannot be written: " + reason);
  };
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (descriptor < 0) fail();
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(descriptor, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      ::close(descriptor);
      fail();
    }
    done += static_cast<std::size_t>(n);
  }
  if (::fsync(descriptor) != 0 || ::close(descriptor) != 0) fail();
  if (std::rename(temporary.c_str(), file.c_str()) != 0) fail();
}

}  // namespace chest
