#pragma once

#include <cstddef>
#include <functional>

namespace chest {
inline namespace v0 {

/// Keeps the linear algebra below Armadillo in the calling thread while one of these exists: chest
/// is parallel over samples, and wider teams only wait for each other.
///
/// Objects may nest and overlap in any threads. The first one asks the BLAS library for its number
/// of threads and sets it to 1, the last one puts that number back. OpenBLAS, MKL and BLIS are
/// found among the libraries that the process has loaded; any other BLAS is left as it is. The
/// number belongs to the process: what the host computes elsewhere meanwhile runs in one thread
/// too, and a number that the host sets meanwhile is lost.
class OneBlasThread {
 public:
  OneBlasThread();
  ~OneBlasThread();
  OneBlasThread(const OneBlasThread&) = delete;
  OneBlasThread& operator=(const OneBlasThread&) = delete;
};

/// Number of processors this process may run on, at least 1.
unsigned available_threads();

/// Calls body(i) for i = 0 .. n - 1 on `n_threads` threads, each taking the next i. The first
/// exception ends the loop and is rethrown here.
void parallel_for(std::size_t n, unsigned n_threads, const std::function<void(std::size_t)>& body);

}  // namespace v0
}  // namespace chest
