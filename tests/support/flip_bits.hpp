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
#include <utility>
#include <vector>

#include "tests/fuzz/open_and_read.hpp"
#include "tests/support/sanitized.hpp"

namespace chest::test {

/// What reading damaged copies of a file came to.
struct FlipReport {
  std::uint64_t n_read = 0;      ///< copies that were tried
  std::uint64_t n_of_hdf5 = 0;   ///< ended by a signal, as h5dump is for the same copy
  std::uint64_t n_together = 0;  ///< only after others in one process, which HDF5 remembers
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

/// Reads copies first .. end - 1 in a child process that has 4 GiB, and 20 s of the processor for each: its status and number,
/// and in `at` the copy that it came to.
inline std::pair<int, pid_t> read_flipped(const std::string& bytes, std::uint64_t seed,
                                          std::uint64_t first, std::uint64_t end,
                                          volatile std::uint64_t* at) {
  *at = first;
  const pid_t child = ::fork();
  if (child == 0) {
    const itimerval seconds{{0, 0}, {20, 0}};
    const rlimit memory{std::uint64_t{4} << 30, std::uint64_t{4} << 30}, none{0, 0};
    if (!chest::is_sanitized) ::setrlimit(RLIMIT_AS, &memory);
    ::setrlimit(RLIMIT_CORE, &none);
    for (std::uint64_t k = first; k < end; ++k) {
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
  return {status, child};
}

/// Reads `n` damaged copies of a file.
inline FlipReport flip_bits(const std::filesystem::path& file, std::uint64_t n,
                            std::uint64_t seed) {
  std::ifstream in(file, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  const bool is_hdf5 = bytes.rfind("\x89HDF", 0) == 0 || bytes.rfind("MATLAB 7.3", 0) == 0;
  auto* at = static_cast<volatile std::uint64_t*>(::mmap(
      nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  FlipReport report;
  report.n_read = n;
  for (std::uint64_t next = 0; next < n;) {
    const auto left_by = [](pid_t child) {
      return std::filesystem::temp_directory_path() / ("chest_fuzz_" + std::to_string(child));
    };
    std::error_code ignored;
    const auto [ended, child] = read_flipped(bytes, seed, next, n, at);
    if (ended == 0) break;
    const std::uint64_t copy = *at;
    next = copy + 1;
    std::filesystem::remove(left_by(child), ignored);
    const auto [status, alone] = read_flipped(bytes, seed, copy, copy + 1, at);
    if (status == 0) {
      ++report.n_together;
      continue;
    }
    // A shell says 128 + signal, timeout 124.
    const std::string dump = "timeout 20 h5dump '" + left_by(alone).string() + "' > /dev/null 2>&1";
    const int dumped = is_hdf5 ? std::system(dump.c_str()) : 0;
    if (WIFSIGNALED(dumped) || WEXITSTATUS(dumped) >= 124) {
      ++report.n_of_hdf5;
    } else {
      report.ours.push_back("copy " + std::to_string(copy) + ": " +
                            (WIFSIGNALED(status)
                                 ? "signal " + std::to_string(WTERMSIG(status))
                                 : "status " + std::to_string(WEXITSTATUS(status))));
    }
    std::filesystem::remove(left_by(alone), ignored);
  }
  ::munmap(const_cast<std::uint64_t*>(at), sizeof(std::uint64_t));
  return report;
}

}  // namespace chest::test
