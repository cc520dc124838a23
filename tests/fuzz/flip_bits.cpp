// Flips bits of files of channels and reads them: flip_bits COPIES FILE ...
// Status 1 when a copy ends by a signal, or takes over 20 s or 4 GiB, and is not one that h5dump of the same HDF5 library
// falls over too. `flip_bits show COPY FILE > damaged` writes a copy again.
#include "tests/support/flip_bits.hpp"

#include <iostream>

int main(int argc, char** argv) {
  constexpr std::uint64_t seed = 1;
  if (argc == 4 && std::string(argv[1]) == "show") {
    std::ifstream in(argv[3], std::ios::binary);
    std::cout << chest::test::flipped(std::string(std::istreambuf_iterator<char>(in), {}), seed,
                                      std::strtoull(argv[2], nullptr, 10));
    return 0;
  }
  bool is_fine = argc > 2;
  for (int i = 2; i < argc; ++i) {
    const auto report = chest::test::flip_bits(argv[i], std::strtoull(argv[1], nullptr, 10), seed);
    std::cout << argv[i] << ": " << report.n_read << " copies, " << report.n_of_hdf5
              << " that h5dump does not survive, " << report.n_together
              << " that end only after others in one process, " << report.ours.size()
              << " of chest's own" << std::endl;
    for (const std::string& finding : report.ours) std::cout << "  " << finding << '\n';
    is_fine &= report.ours.empty();
  }
  return is_fine ? 0 : 1;
}
