#include <chest/parallel.hpp>

#include <dlfcn.h>
#include <sched.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace chest {
inline namespace v0 {
namespace {

/// The two calls of a BLAS library that say how many threads it uses.
template <class Count>
struct ThreadCalls {
  Count (*get)() = nullptr;
  void (*set)(Count) = nullptr;

  static ThreadCalls find(const char* get_name, const char* set_name) {
    ThreadCalls calls;
    calls.get = reinterpret_cast<Count (*)()>(::dlsym(RTLD_DEFAULT, get_name));
    calls.set = reinterpret_cast<void (*)(Count)>(::dlsym(RTLD_DEFAULT, set_name));
    return calls;
  }
  /// Sets the number and returns the one before; 0 when the library is not there.
  Count exchange(Count n_threads) const {
    if (!get || !set) return 0;
    const Count before = get();
    if (before != n_threads) set(n_threads);
    return before;
  }
};

/// All libraries that may be there: their numbers of threads.
class BlasThreads {
 public:
  void enter() {
    const std::lock_guard lock(mutex_);
    if (n_inside_++ > 0) return;
    // Looked up each time: a library may have been loaded since.
    openblas_ = ThreadCalls<int>::find("openblas_get_num_threads", "openblas_set_num_threads");
    mkl_ = ThreadCalls<int>::find("MKL_Get_Max_Threads", "MKL_Set_Num_Threads");
    blis_ =
        ThreadCalls<std::int64_t>::find("bli_thread_get_num_threads", "bli_thread_set_num_threads");
    openblas_before_ = openblas_.exchange(1);
    mkl_before_ = mkl_.exchange(1);
    blis_before_ = blis_.exchange(1);
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    if (--n_inside_ > 0) return;
    openblas_.exchange(openblas_before_);
    mkl_.exchange(mkl_before_);
    blis_.exchange(blis_before_);
  }

 private:
  std::mutex mutex_;
  std::size_t n_inside_ = 0;
  ThreadCalls<int> openblas_, mkl_;
  ThreadCalls<std::int64_t> blis_;
  int openblas_before_ = 0, mkl_before_ = 0;
  std::int64_t blis_before_ = 0;
};

BlasThreads& blas_threads() {
  static BlasThreads threads;
  return threads;
}

}  // namespace

OneBlasThread::OneBlasThread() { blas_threads().enter(); }
OneBlasThread::~OneBlasThread() { blas_threads().leave(); }

unsigned available_threads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    const int n = CPU_COUNT(&set);
    if (n > 0) return static_cast<unsigned>(n);
  }
  const unsigned n = std::thread::hardware_concurrency();
  return n > 0 ? n : 1;
}

void parallel_for(std::size_t n, unsigned n_threads, const std::function<void(std::size_t)>& body) {
  if (n_threads <= 1 || n <= 1) {
    for (std::size_t i = 0; i < n; ++i) body(i);
    return;
  }
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto work = [&] {
    for (std::size_t i = next++; i < n; i = next++) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(failure_mutex);
        if (!failure) failure = std::current_exception();
        next = n;
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    try {
      for (unsigned t = 1; t < n_threads && t < n; ++t) workers.emplace_back(work);
    } catch (const std::system_error&) {
      // The machine has no more threads: those that run do the work.
    } catch (const std::bad_alloc&) {
    }
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace v0
}  // namespace chest
