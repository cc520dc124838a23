#include "tests/fuzz/open_and_read.hpp"

/// What follows the header of a MATLAB v5 file, little-endian.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string file = "MATLAB 5.0 MAT-file";
  file.resize(124, ' ');
  file += std::string("\x00\x01IM", 4);
  chest::fuzz::open_and_read(file + std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
