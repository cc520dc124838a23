#pragma once

#include <armadillo>
#include <complex>
#include <filesystem>
#include <fstream>
#include <string>

namespace chest::test {

/// Columns vec(H) as NumPy writes complex128 [n, n_rx, n_tx].
inline void write_npy(const std::filesystem::path& file, const arma::cx_mat& h, arma::uword n_rx,
                      arma::uword n_tx) {
  std::string header = "{'descr': '<c16', 'fortran_order': False, 'shape': (" +
                       std::to_string(h.n_cols) + ", " + std::to_string(n_rx) + ", " +
                       std::to_string(n_tx) + "), }";
  header.resize(117, ' ');
  std::ofstream out(file, std::ios::binary);
  out << "\x93NUMPY" << '\x01' << '\x00' << static_cast<char>(header.size() + 1) << '\x00' << header
      << '\n';
  for (arma::uword k = 0; k < h.n_cols; ++k)
    for (arma::uword r = 0; r < n_rx; ++r)
      for (arma::uword t = 0; t < n_tx; ++t) {
        const std::complex<double> value = h(r + n_rx * t, k);
        out.write(reinterpret_cast<const char*>(&value), sizeof value);
      }
}

/// One axis of real numbers, as NumPy writes float64 [n].
inline void write_npy(const std::filesystem::path& file, const arma::vec& values) {
  std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': (" +
                       std::to_string(values.n_elem) + ",), }";
  header.resize(117, ' ');
  std::ofstream out(file, std::ios::binary);
  out << "\x93NUMPY" << '\x01' << '\x00' << static_cast<char>(header.size() + 1) << '\x00' << header
      << '\n';
  out.write(reinterpret_cast<const char*>(values.memptr()),
            static_cast<std::streamsize>(values.n_elem * sizeof(double)));
}

}  // namespace chest::test
