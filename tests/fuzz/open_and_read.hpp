#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include <chest/channels/dataset.hpp>
#include <chest/error.hpp>

namespace chest::fuzz {

/// A file of this process. With a name: HDF5 resolves the path, so that a descriptor alone will not do.
inline std::string path_of_bytes() {
  return (std::filesystem::temp_directory_path() / ("chest_fuzz_" + std::to_string(::getpid())))
      .string();
}

/// Opens the bytes as a file of channels and reads some of it. Whatever the bytes are, nothing but
/// an Error may come of it.
inline void open_and_read(const std::string& bytes) {
  static const std::string path = path_of_bytes();
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  DatasetOptions options;
  options.normalisation = Normalisation::factor;
  // The way of reading follows from the bytes too.
  switch (bytes.empty() ? 0 : static_cast<unsigned char>(bytes.back()) % 8) {
    case 0:
      options.axes = "trn";
      break;
    case 1:
      options.n_rx = 4;
      break;
    case 2:
      options.axes = "ncrt";
      break;
    case 3:
      options.normalisation = Normalisation::dataset;
      break;
    default:
      break;
  }
  try {
    const Dataset dataset(path, options);
    const arma::uword n = dataset.info().n_samples;
    dataset.read(0, std::min<arma::uword>(n, 3));
    dataset.read(n - 1, 1);
    dataset.read_covariances(0, std::min<arma::uword>(n, 2));
    dataset.prior();
  } catch (const Error&) {
  }
}

}  // namespace chest::fuzz
