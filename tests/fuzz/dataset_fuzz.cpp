#include "tests/fuzz/open_and_read.hpp"

/// Bytes of HDF5, .mat and .npy files.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chest::fuzz::open_and_read({reinterpret_cast<const char*>(data), size});
  return 0;
}
