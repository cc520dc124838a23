#pragma once

#include <hdf5.h>

#include <complex>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

namespace chest {
inline namespace v0 {

/// The serial HDF5 library is not always built thread-safe: every call into it happens inside an
/// Hdf5Scope. The lock orders chest's own calls; a host that calls HDF5 from other threads needs a
/// thread-safe build of it.
inline std::recursive_mutex& hdf5_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

/// Holds the lock and keeps HDF5 from printing, because errors become exceptions. At the end of the
/// outermost scope the calling thread has the error handler that its host installed. Scopes nest.
class Hdf5Scope {
 public:
  Hdf5Scope() : lock_(hdf5_mutex()) {
    H5Eauto_is_v2(H5E_DEFAULT, &is_v2_);
    if (is_v2_) {
      H5Eget_auto2(H5E_DEFAULT, &print_v2_, &data_);
      H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    } else {
      H5Eget_auto1(&print_v1_, &data_);
      H5Eset_auto1(nullptr, nullptr);
    }
  }
  ~Hdf5Scope() {
    if (is_v2_) {
      H5Eset_auto2(H5E_DEFAULT, print_v2_, data_);
    } else {
      H5Eset_auto1(print_v1_, data_);
    }
  }
  Hdf5Scope(const Hdf5Scope&) = delete;
  Hdf5Scope& operator=(const Hdf5Scope&) = delete;

 private:
  const std::lock_guard<std::recursive_mutex> lock_;
  unsigned is_v2_ = 1;
  H5E_auto2_t print_v2_ = nullptr;
  H5E_auto1_t print_v1_ = nullptr;
  void* data_ = nullptr;
};

/// Owns one HDF5 identifier. Closing it takes the lock, so an object that holds one may be moved
/// and destroyed anywhere.
class Handle {
 public:
  Handle() = default;
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() { reset(); }
  hid_t get() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }
  herr_t reset() {
    const hid_t id = std::exchange(id_, -1);
    if (id < 0) return 0;
    const Hdf5Scope scope;
    return close_(id);
  }

 private:
  hid_t id_ = -1;
  herr_t (*close_)(hid_t) = nullptr;
};

inline Handle complex_type(const std::string& re, const std::string& im, hid_t real,
                           std::size_t size) {
  Handle type(H5Tcreate(H5T_COMPOUND, 2 * size), &H5Tclose);
  H5Tinsert(type.get(), re.c_str(), 0, real);
  H5Tinsert(type.get(), im.c_str(), size, real);
  return type;
}

/// How the values of a C++ type lie in memory.
template <class T>
struct MemoryType;
template <>
struct MemoryType<double> {
  static constexpr bool is_complex = false;
  static hid_t real() { return H5T_NATIVE_DOUBLE; }
};
template <>
struct MemoryType<float> {
  static constexpr bool is_complex = false;
  static hid_t real() { return H5T_NATIVE_FLOAT; }
};
template <>
struct MemoryType<std::int64_t> {
  static constexpr bool is_complex = false;
  static hid_t real() { return H5T_NATIVE_INT64; }
};
template <>
struct MemoryType<std::uint32_t> {
  static constexpr bool is_complex = false;
  static hid_t real() { return H5T_NATIVE_UINT32; }
};
template <>
struct MemoryType<std::complex<double>> {
  static constexpr bool is_complex = true;
  static hid_t real() { return H5T_NATIVE_DOUBLE; }
};
template <>
struct MemoryType<std::complex<float>> {
  static constexpr bool is_complex = true;
  static hid_t real() { return H5T_NATIVE_FLOAT; }
};

template <class T>
Handle memory_type(const std::string& re = "r", const std::string& im = "i") {
  if constexpr (MemoryType<T>::is_complex) {
    return complex_type(re, im, MemoryType<T>::real(), sizeof(T) / 2);
  } else {
    return Handle(H5Tcopy(MemoryType<T>::real()), &H5Tclose);
  }
}

}  // namespace v0
}  // namespace chest
