// Numbers that channels are stored as: HDF5 types and NumPy's, each with the same channels.
#include <gtest/gtest.h>
#include <hdf5.h>

#include <cmath>
#include <complex>
#include <cstring>
#include <fstream>
#include <vector>

#include <chest/channels/dataset.hpp>

#include "tests/support/channel_fixtures.hpp"

namespace chest {
namespace {

using test::fixture_channels;
using test::message_of;
using test::TemporaryFolder;

constexpr arma::uword n = 5, n_rx = 4, n_tx = 3;

/// Entries between -100 and 100 that small integers hold: [re, im] of H[k, r, t] in C order.
std::vector<double> whole_numbers() {
  std::vector<double> values;
  for (arma::uword i = 0; i < 2 * n * n_rx * n_tx; ++i)
    values.push_back(static_cast<double>((37 * i) % 201) - 100.0);
  return values;
}

arma::cx_mat as_columns(const std::vector<double>& values) {
  arma::cx_mat h(n_rx * n_tx, n);
  std::size_t i = 0;
  for (arma::uword k = 0; k < n; ++k)
    for (arma::uword r = 0; r < n_rx; ++r)
      for (arma::uword t = 0; t < n_tx; ++t, i += 2)
        h(t * n_rx + r, k) = {values[i], values[i + 1]};
  return h;
}

/// A dataset of a type, filled from doubles {r, i} or, with one part, from doubles.
void write(hid_t file, const std::string& name, hid_t type, const std::vector<hsize_t>& dims,
           hid_t memory, const double* values) {
  const hid_t space = H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr);
  const hid_t data =
      H5Dcreate2(file, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  EXPECT_GE(H5Dwrite(data, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0);
  H5Dclose(data);
  H5Sclose(space);
}

hid_t pair_of(hid_t part, const char* re, const char* im) {
  const std::size_t size = H5Tget_size(part);
  const hid_t type = H5Tcreate(H5T_COMPOUND, 2 * size);
  H5Tinsert(type, re, 0, part);
  H5Tinsert(type, im, size, part);
  return type;
}

hid_t float_of(std::size_t bits, std::size_t exponent, bool big_endian = false) {
  const hid_t type = H5Tcopy(bits == 128 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE);
  const std::size_t mantissa = bits - 1 - exponent;
  if (bits == 128) H5Tset_precision(type, 128);
  H5Tset_fields(type, bits - 1, mantissa, exponent, 0, mantissa);
  if (bits < 32) H5Tset_precision(type, bits);
  H5Tset_size(type, bits / 8);
  H5Tset_ebias(type, (std::size_t{1} << (exponent - 1)) - 1);
  if (big_endian) H5Tset_order(type, H5T_ORDER_BE);
  return type;
}

DatasetOptions any_power(const std::string& dataset = "") {
  DatasetOptions options;
  options.dataset = dataset;
  options.normalisation = Normalisation::factor;
  return options;
}

void expect_channels(const std::filesystem::path& file, const arma::cx_mat& h,
                     const std::string& what, const std::string& dataset = "") {
  try {
    const Dataset read(file, any_power(dataset));
    ASSERT_EQ(read.info().n_samples, h.n_cols) << what;
    EXPECT_EQ(read.info().n_rx * read.info().n_tx, h.n_rows) << what;
    EXPECT_LT(arma::norm(read.read(0, h.n_cols) - h), 1e-9 * arma::norm(h)) << what;
  } catch (const Error& error) {
    ADD_FAILURE() << what << ": " << error.what();
  }
}

TEST(DatasetTypes, EveryNumberOfHdf5InEveryForm) {
  const std::vector<double> values = whole_numbers();
  const arma::cx_mat h = as_columns(values);
  std::vector<double> re, im;
  for (std::size_t i = 0; i < values.size(); i += 2) {
    re.push_back(values[i]);
    im.push_back(values[i + 1]);
  }
  const std::pair<const char*, hid_t> types[] = {{"int8", H5Tcopy(H5T_STD_I8LE)},
                                                 {"int16", H5Tcopy(H5T_STD_I16LE)},
                                                 {"int16 BE", H5Tcopy(H5T_STD_I16BE)},
                                                 {"int32", H5Tcopy(H5T_STD_I32LE)},
                                                 {"int64", H5Tcopy(H5T_STD_I64LE)},
                                                 {"float16", float_of(16, 5)},
                                                 {"float16 BE", float_of(16, 5, true)},
                                                 {"bfloat16", float_of(16, 8)},
                                                 {"float32 BE", H5Tcopy(H5T_IEEE_F32BE)},
                                                 {"float64", H5Tcopy(H5T_IEEE_F64LE)},
                                                 {"long double", H5Tcopy(H5T_NATIVE_LDOUBLE)},
                                                 {"quadruple", float_of(128, 15)}};
  const TemporaryFolder folder;
  const auto path = folder.path() / "types.h5";
  const hid_t doubles = pair_of(H5T_NATIVE_DOUBLE, "r", "i");
  const std::vector<hsize_t> dims{n, n_rx, n_tx}, with_parts{n, n_rx, n_tx, 2};
  for (const auto& [name, type] : types) {
    ASSERT_GE(type, 0) << name;
    const auto create = [&] {
      return H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    };
    hid_t file = create();
    const hid_t compound = pair_of(type, "r", "i");
    write(file, "H", compound, dims, doubles, values.data());
    H5Tclose(compound);
    H5Fclose(file);
    expect_channels(path, h, std::string(name) + " compound");

    file = create();
    const hsize_t two = 2;
    const hid_t array = H5Tarray_create2(type, 1, &two);
    const hid_t double_array = H5Tarray_create2(H5T_NATIVE_DOUBLE, 1, &two);
    write(file, "H", array, dims, double_array, values.data());
    H5Tclose(array);
    H5Tclose(double_array);
    H5Fclose(file);
    expect_channels(path, h, std::string(name) + " H5T_ARRAY");

    file = create();
    write(file, "H_re", type, dims, H5T_NATIVE_DOUBLE, re.data());
    write(file, "H_im", type, dims, H5T_NATIVE_DOUBLE, im.data());
    H5Fclose(file);
    expect_channels(path, h, std::string(name) + " two datasets");
    expect_channels(path, h, std::string(name) + " two datasets, named", "H");

    file = create();
    write(file, "H", type, with_parts, H5T_NATIVE_DOUBLE, values.data());
    H5Fclose(file);
    expect_channels(path, h, std::string(name) + " axis of parts");
    H5Tclose(type);
  }
  H5Tclose(doubles);
}

TEST(DatasetTypes, UnsignedPartsAreNamedAsOffsetBinary) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "adc.h5";
  const std::vector<double> values(2 * n * n_rx * n_tx, 128.0);
  const auto create = [&] {
    return H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  };
  const auto complaint = [&] { return message_of([&] { Dataset(path, any_power()); }); };
  hid_t file = create();
  write(file, "H", H5T_STD_U8LE, {n, n_rx, n_tx, 2}, H5T_NATIVE_DOUBLE, values.data());
  H5Fclose(file);
  EXPECT_NE(complaint().find("/H holds uint8 (5, 4, 3, 2): unsigned real and imaginary parts are "
                             "offset binary"),
            std::string::npos)
      << complaint();
  file = create();
  const hid_t compound = pair_of(H5T_STD_U16LE, "r", "i");
  const hid_t doubles = pair_of(H5T_NATIVE_DOUBLE, "r", "i");
  write(file, "H", compound, {n, n_rx, n_tx}, doubles, values.data());
  H5Tclose(compound);
  H5Tclose(doubles);
  H5Fclose(file);
  EXPECT_NE(complaint().find("offset binary"), std::string::npos) << complaint();
}

TEST(DatasetTypes, InterleavedPartsAndUnknownMembersAreNamedWithTheRemedy) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "H.h5";
  const std::vector<double> values(2 * n * n_rx * n_tx, 1.0);
  hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  write(file, "x", H5T_STD_I16LE, {n, n_rx, 2 * n_tx}, H5T_NATIVE_DOUBLE, values.data());
  H5Fclose(file);
  for (const std::string dataset : {"", "x"}) {
    const std::string said = message_of([&] { Dataset(path, any_power(dataset)); });
    EXPECT_NE(said.find("H = x[..., 0::2] + 1j * x[..., 1::2]"), std::string::npos) << said;
  }
  file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t compound = pair_of(H5T_IEEE_F32LE, "x", "y");
  const hid_t doubles = pair_of(H5T_NATIVE_DOUBLE, "x", "y");
  write(file, "H", compound, {n, n_rx, n_tx}, doubles, values.data());
  H5Tclose(compound);
  H5Tclose(doubles);
  H5Fclose(file);
  EXPECT_NE(message_of([&] { Dataset(path, any_power()); }).find("{r, i} or {real, imag}"),
            std::string::npos);
}

/// A .npy file of the type and shape, with these bytes.
void write_npy(const std::filesystem::path& file, const std::string& descr,
               const std::string& shape, const std::string& bytes) {
  std::string header = "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }";
  header.resize(118, ' ');
  std::ofstream(file, std::ios::binary)
      << "\x93NUMPY" << '\x01' << '\x00' << static_cast<char>(header.size()) << '\x00' << header
      << bytes;
}

template <class T>
std::string bytes_of(const std::vector<double>& values, bool big_endian = false) {
  std::string out;
  for (const double value : values) {
    const T stored = static_cast<T>(value);
    std::string bytes(sizeof stored, '\0');
    std::memcpy(bytes.data(), &stored, sizeof stored);
    if (big_endian) std::reverse(bytes.begin(), bytes.end());
    out += bytes;
  }
  return out;
}

/// IEEE half precision of small whole numbers.
std::string halves_of(const std::vector<double>& values, bool big_endian = false) {
  std::string out;
  for (const double value : values) {
    int exponent = 0;
    const double mantissa = std::frexp(std::abs(value), &exponent);  // 0.5 <= mantissa < 1
    const unsigned bits =
        value == 0.0 ? 0u
                     : static_cast<unsigned>((value < 0.0 ? 0x8000 : 0) | (exponent + 14) << 10 |
                                             static_cast<int>((2.0 * mantissa - 1.0) * 1024.0));
    const char low = static_cast<char>(bits & 255), high = static_cast<char>(bits >> 8);
    out += big_endian ? std::string{high, low} : std::string{low, high};
  }
  return out;
}

TEST(DatasetTypes, EveryNumberOfNumPyInEveryForm) {
  const std::vector<double> values = whole_numbers();
  const arma::cx_mat h = as_columns(values);
  const TemporaryFolder folder;
  const auto path = folder.path() / "any.name";  // known by its first bytes
  const std::tuple<const char*, std::string> types[] = {
      {"|i1", bytes_of<std::int8_t>(values)},
      {"<i2", bytes_of<std::int16_t>(values)},
      {">i2", bytes_of<std::int16_t>(values, true)},
      {"<i4", bytes_of<std::int32_t>(values)},
      {">i8", bytes_of<std::int64_t>(values, true)},
      {"<f2", halves_of(values)},
      {">f2", halves_of(values, true)},
      {"<f4", bytes_of<float>(values)},
      {">f8", bytes_of<double>(values, true)},
      {"<f16", bytes_of<long double>(values)}};
  for (const auto& [type, bytes] : types) {
    const std::string quoted = "'" + std::string(type) + "'";
    write_npy(path, quoted, "(5, 4, 3, 2)", bytes);
    expect_channels(path, h, quoted);
    write_npy(path, "[('re', " + quoted + "), ('im', " + quoted + ")]", "(5, 4, 3)", bytes);
    expect_channels(path, h, quoted + " structured");
  }
  const std::tuple<const char*, std::string> complex_types[] = {
      {"'<c8'", bytes_of<float>(values)},
      {"'>c8'", bytes_of<float>(values, true)},
      {"'>c16'", bytes_of<double>(values, true)},
      {"'<c32'", bytes_of<long double>(values)}};
  for (const auto& [type, bytes] : complex_types) {
    write_npy(path, type, "(5, 4, 3)", bytes);
    expect_channels(path, h, type);
  }
  // The imaginary part first.
  std::vector<double> swapped = values;
  for (std::size_t i = 0; i < swapped.size(); i += 2) std::swap(swapped[i], swapped[i + 1]);
  write_npy(path, "[('i', '<f4'), ('r', '<f4')]", "(5, 4, 3)", bytes_of<float>(swapped));
  expect_channels(path, h, "{i, r}");
  // A subnormal half, 3 * 2^-24.
  write_npy(path, "'<f2'", "(1, 1, 2)", std::string("\x03\x00\x03\x80", 4));
  EXPECT_EQ(Dataset(path, any_power()).read(0, 1)(0, 0),
            std::complex<double>(std::ldexp(3.0, -24), -std::ldexp(3.0, -24)));
}

TEST(DatasetTypes, NumPyTypesThatAreNoChannels) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "H.npy";
  const auto complaint = [&](const std::string& descr) {
    write_npy(path, descr, "(5, 4, 3, 2)", std::string(4096, '\1'));
    return message_of([&] { Dataset(path, any_power()); }).substr(path.string().size() + 2);
  };
  EXPECT_EQ(complaint("'|u1'"),
            "holds uint8: unsigned real and imaginary parts are offset binary; subtract the middle "
            "of their range and save floats");
  EXPECT_NE(complaint("[('r', '<u2'), ('i', '<u2')]").find("offset binary"), std::string::npos);
  EXPECT_NE(complaint("[('x', '<f4'), ('y', '<f4')]").find("not one real and one imaginary part"),
            std::string::npos);
  EXPECT_NE(complaint("[('r', '<f4'), ('i', '<f8')]").find("structured"), std::string::npos);
  for (const char* type : {"'|b1'", "'<U4'", "'<f3'", "'<c4'", "'<f99'", "''", "'<'", "[",
                           "["
                           "'"})
    EXPECT_NE(complaint(type), "no error") << type;
}

}  // namespace
}  // namespace chest
