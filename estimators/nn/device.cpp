#include "device.hpp"

#include <ATen/Parallel.h>
#include <torch/cuda.h>

#include <charconv>

#include <chest/error.hpp>
#include <chest/parallel.hpp>
#include <chest/text.hpp>

namespace chest::nn {

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

OneTorchThread::OneTorchThread() {
  thread_local bool done = false;  // OpenMP keeps the number per thread
  if (!done) at::set_num_threads(1);
  done = true;
}

}  // namespace chest::nn
