#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include <chest/error.hpp>
#include <chest/parallel.hpp>

namespace chest {
inline namespace v0 {
namespace nn {

/// "auto", "cpu", "cuda" or "cuda:N".
/// @throws Error(invalid_argument) naming `who` if there is no such device; lists those there
at::Device device_from_string(const std::string& text, const std::string& who);

/// While one lives, LibTorch's operations in this thread run in it alone: chest runs one worker per
/// core, and an OpenMP team that is wider than the free cores spins. OpenMP keeps the number per
/// thread; at::set_num_threads() would set it for threads that LibTorch meets later, too.
class OneTorchThread {
 public:
  OneTorchThread();
  ~OneTorchThread();
  OneTorchThread(const OneTorchThread&) = delete;
  OneTorchThread& operator=(const OneTorchThread&) = delete;

 private:
  OneBlasThread one_blas_thread_;
  int n_threads_;  ///< of this thread before
};

/// While one lives and `device` is a GPU, cuDNN convolves in float32: TensorFloat-32 would cost
/// three digits. The switch is one for the whole process: the first scope of all threads sets it,
/// the last one puts it back.
class FullFloat32 {
 public:
  explicit FullFloat32(const at::Device& device);
  ~FullFloat32();
  FullFloat32(const FullFloat32&) = delete;
  FullFloat32& operator=(const FullFloat32&) = delete;

 private:
  bool is_gpu_;
};

/// Runs action() as OneTorchThread and FullFloat32 have it; an exception of LibTorch (no memory on
/// the device, say) leaves as Error(io) without its stack trace.
template <class Action>
void with_torch(const std::string& who, const at::Device& device, Action&& action) {
  try {
    const OneTorchThread one_thread;
    const FullFloat32 full(device);
    action();
  } catch (const c10::Error& error) {
    throw Error(ErrorKind::io, who + ": LibTorch failed: " + error.what_without_backtrace());
  }
}

/// Channels of n_h entries per call of a network on a CPU: few enough for its caches (more lose up
/// to 2.6 times to page faults), enough to hide what a call costs.
inline std::int64_t cpu_micro_batch(std::int64_t n_h) {
  return std::clamp<std::int64_t>(8192 / n_h, 1, 32);
}

}  // namespace nn
}  // namespace v0
}  // namespace chest
