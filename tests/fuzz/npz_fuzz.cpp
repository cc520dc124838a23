#include "tests/fuzz/open_and_read.hpp"

/// What follows the magic bytes of a zip archive.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chest::fuzz::open_and_read("PK\x03\x04" + std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
