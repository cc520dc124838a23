#pragma once

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/open_and_read.hpp"

namespace chest::test {

/// What reading damaged copies of a file came to.
struct FlipReport {
  std::uint64_t n_read = 0;     ///< copies that were tried
  std::uint64_t n_of_hdf5 = 0;  ///< ended by a signal, as h5dump is for the same copy
  std::vector<std::string>
      ours;  ///< ended by a signal, too slow or too large: "copy 17: signal 11"
};

/// Copy k of the bytes, with one to eight bits flipped; every second copy only in the first 4 KiB, where headers are.
inline std::string flipped(std::string bytes, std::uint64_t seed, std::uint64_t k) {
  std::mt19937_64 random(seed * 1'000'003 + k);
  const std::uint64_t end = std::min<std::uint64_t>(bytes.size(), k % 2 == 0 ? bytes.size() : 4096);
  for (std::uint64_t n = 1 + random() % 8; n > 0 && end > 0; --n) {
    char& byte = bytes[random() % end];
    byte = static_cast<char>(byte ^ (1 << random() % 8));
  }
  return bytes;
}

/// Reads `n` damaged copies of a file in child processes that have 4 GiB, and 20 s of the processor for each.
inline FlipReport flip_bits(const std::filesystem::path& file, std::uint64_t n,
                            std::uint64_t seed) {
  std::ifstream in(file, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  auto* at = static_cast<volatile std::uint64_t*>(::mmap(
      nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  FlipReport report;
  for (std::uint64_t k = 0; k < n;) {
    *at = k;
    const pid_t child = ::fork();
    if (child == 0) {
      const itimerval seconds{{0, 0}, {20, 0}};  // of the processor: others may share it
      const rlimit memory{std::uint64_t{4} << 30, std::uint64_t{4} << 30}, none{0, 0};
      ::setrlimit(RLIMIT_AS, &memory);
      ::setrlimit(RLIMIT_CORE, &none);
      for (; k < n; ++k) {
        *at = k;
        ::setitimer(ITIMER_PROF, &seconds, nullptr);
        chest::fuzz::open_and_read(flipped(bytes, seed, k));
      }
      std::error_code ignored;
      std::filesystem::remove(chest::fuzz::path_of_bytes(), ignored);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
      k = n;
      break;
    }
    k = *at + 1;
    const std::string left =
        (std::filesystem::temp_directory_path() / ("chest_fuzz_" + std::to_string(child))).string();
    const int dump = std::system(("timeout 20 h5dump '" + left + "' > /dev/null 2>&1").c_str());
    const bool is_hdf5 = bytes.compare(0, 4, "\x89HDF") == 0 || bytes.rfind("MATLAB 7.3", 0) == 0;
    // A shell says 128 + signal, timeout 124.
    if (is_hdf5 && (WIFSIGNALED(dump) || WEXITSTATUS(dump) >= 124)) {
      ++report.n_of_hdf5;
    } else {
      report.ours.push_back("copy " + std::to_string(*at) + ": " +
                            (WIFSIGNALED(status)
                                 ? "signal " + std::to_string(WTERMSIG(status))
                                 : "status " + std::to_string(WEXITSTATUS(status))));
    }
    std::error_code ignored;
    std::filesystem::remove(left, ignored);
  }
  report.n_read = n;
  ::munmap(const_cast<std::uint64_t*>(at), sizeof(std::uint64_t));
  return report;
}

}  // namespace chest::test
