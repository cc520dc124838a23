#include "tests/fuzz/open_and_read.hpp"

/// What follows the magic bytes of a .npy file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chest::fuzz::open_and_read("\x93NUMPY" + std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
