#pragma once

#include <hdf5.h>

#include <complex>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace chest {

/// Slowest axis first, as h5py and NumPy show them.
using Dims = std::vector<hsize_t>;

/// An HDF5 file as other programs leave it.
struct Foreign {
  std::string name = "H", re = "r", im = "i";
  bool utf8_name = false, pair = false;
  std::string user_block;  ///< text at the start of the file
};

inline void write_hdf5(const std::filesystem::path& file, const Foreign& how, const Dims& dims,
                       const std::vector<std::complex<double>>& values) {
  const hid_t creation = H5Pcreate(H5P_FILE_CREATE), link = H5Pcreate(H5P_LINK_CREATE);
  if (!how.user_block.empty()) H5Pset_userblock(creation, 512);
  if (how.utf8_name) H5Pset_char_encoding(link, H5T_CSET_UTF8);
  const hid_t out = H5Fcreate(file.c_str(), H5F_ACC_TRUNC, creation, H5P_DEFAULT);
  const hid_t space = H5Screate_simple(int(dims.size()), dims.data(), nullptr);
  const hid_t type = H5Tcreate(H5T_COMPOUND, 16);
  H5Tinsert(type, how.re.c_str(), 0, H5T_NATIVE_DOUBLE);
  H5Tinsert(type, how.im.c_str(), 8, H5T_NATIVE_DOUBLE);
  const auto write = [&](const std::string& name, hid_t of, const void* data) {
    const hid_t set = H5Dcreate2(out, name.c_str(), of, space, link, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite(set, of, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    H5Dclose(set);
  };
  if (how.pair) {
    std::vector<double> re, im;
    for (const std::complex<double>& value : values) {
      re.push_back(value.real());
      im.push_back(value.imag());
    }
    write(how.name + "_real", H5T_NATIVE_DOUBLE, re.data());
    write(how.name + "_imag", H5T_NATIVE_DOUBLE, im.data());
  } else {
    write(how.name, type, values.data());
  }
  H5Tclose(type);
  H5Sclose(space);
  H5Fclose(out);
  H5Pclose(link);
  H5Pclose(creation);
  if (!how.user_block.empty()) {
    std::fstream edit(file, std::ios::in | std::ios::out | std::ios::binary);
    edit << how.user_block;
  }
}

inline std::string shape_of(const Dims& dims) {
  std::string text;
  for (const hsize_t n : dims) text += std::to_string(n) + ", ";
  return "(" + text + ")";
}

template <class T>
void write_npy(const std::filesystem::path& file, const std::string& type, const std::string& shape,
               const std::vector<T>& values) {
  std::string header =
      "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
  header.resize(117, ' ');
  header += '\n';
  std::ofstream out(file, std::ios::binary);
  out << "\x93NUMPY" << '\x01' << '\x00' << static_cast<char>(header.size()) << '\x00' << header;
  out.write(reinterpret_cast<const char*>(values.data()),
            std::streamsize(sizeof(T) * values.size()));
}

inline void write_npy(const std::filesystem::path& file, const Dims& dims,
                      const std::vector<std::complex<double>>& values) {
  write_npy(file, "<c16", shape_of(dims), values);
}

}  // namespace chest
