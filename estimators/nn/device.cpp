#include "device.hpp"

#include <ATen/Parallel.h>
#include <omp.h>
#include <torch/cuda.h>

#include <charconv>
#include <mutex>

#include <chest/error.hpp>
#include <chest/parallel.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

std::mutex tf32_mutex;
int n_tf32_scopes = 0;
bool tf32_before = false;

}  // namespace

at::Device device_from_string(const std::string& text, const std::string& who) {
  const auto n_cuda = static_cast<int>(torch::cuda::device_count());
  if (text == "cpu" || (text == "auto" && n_cuda == 0)) return at::Device(at::kCPU);
  if ((text == "auto" || text == "cuda") && n_cuda > 0) return at::Device(at::kCUDA, 0);
  if (text.starts_with("cuda:")) {
    const char* const end = text.data() + text.size();
    int index = -1;
    const auto [last, status] = std::from_chars(text.data() + 5, end, index);
    if (status == std::errc() && last == end && index >= 0 && index < n_cuda) {
      return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
    }
  }
  std::vector<std::string> there{"cpu"};
  for (int i = 0; i < n_cuda; ++i) there.push_back("cuda:" + std::to_string(i));
  throw Error(ErrorKind::invalid_argument,
              who + ": there is no device '" + text +
                  "'; expected auto or one of those here: " + enumerate(there));
}

OneTorchThread::OneTorchThread() : n_threads_(at::get_num_threads()) {
  omp_set_num_threads(1);  // after LibTorch's first look at this thread, in get_num_threads()
}

OneTorchThread::~OneTorchThread() { omp_set_num_threads(n_threads_); }

FullFloat32::FullFloat32(const at::Device& device) : is_gpu_(device.is_cuda()) {
  if (!is_gpu_) return;
  const std::lock_guard lock(tf32_mutex);
  if (n_tf32_scopes == 0) {
    tf32_before = at::globalContext().allowTF32CuDNN();
    at::globalContext().setAllowTF32CuDNN(false);
  }
  ++n_tf32_scopes;
}

FullFloat32::~FullFloat32() {
  if (!is_gpu_) return;
  const std::lock_guard lock(tf32_mutex);
  if (--n_tf32_scopes == 0) at::globalContext().setAllowTF32CuDNN(tf32_before);
}

}  // namespace nn
}  // namespace v0
}  // namespace chest
