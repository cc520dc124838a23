#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include <chest/error.hpp>
#include <chest/parallel.hpp>

namespace chest::nn {

/// "auto", "cpu", "cuda" or "cuda:N".
/// @throws Error(invalid_argument) naming `who` if there is no such device; lists those there
at::Device device_from_string(const std::string& text, const std::string& who);

/// Runs action(); an exception of LibTorch (no memory on the device, say) leaves as Error(io)
/// without its stack trace.
template <class Action>
void with_torch_errors(const std::string& who, Action&& action) {
  try {
    action();
  } catch (const c10::Error& error) {
    throw Error(ErrorKind::io, who + ": LibTorch failed: " + error.what_without_backtrace());
  }
}

/// While one of these exists the BLAS library runs in the calling thread, and LibTorch's operations
/// do from here on: chest runs one worker per core, and an OpenMP team that is wider than the free
/// cores spins. LibTorch's number also holds for threads that it meets later; a program that uses
/// LibTorch beside chest sets its own number again where it needs one.
class OneTorchThread {
 public:
  OneTorchThread();

 private:
  OneBlasThread one_blas_thread_;
};

/// Channels of n_h entries per call of a network on a CPU: few enough for its caches (more lose up
/// to 2.6 times to page faults), enough to hide what a call costs.
inline std::int64_t cpu_micro_batch(std::int64_t n_h) {
  return std::clamp<std::int64_t>(8192 / n_h, 1, 32);
}

}  // namespace chest::nn
