#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

namespace chest {
inline namespace v0 {
namespace inference {

constexpr std::size_t vector_floats = 16;  ///< of the widest vectors: rows are multiples of it

constexpr std::size_t rounded_up(std::size_t n) {
  return (n + vector_floats - 1) / vector_floats * vector_floats;
}

/// Floats on a boundary of the widest vectors, zero at first.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t n) : n_(n) {
    if (n == 0) return;
    values_.reset(static_cast<float*>(::operator new(n * sizeof(float), alignment)));
    std::memset(values_.get(), 0, n * sizeof(float));
  }
  float* data() { return values_.get(); }
  const float* data() const { return values_.get(); }
  std::size_t size() const { return n_; }
  float& operator[](std::size_t i) { return values_.get()[i]; }
  float operator[](std::size_t i) const { return values_.get()[i]; }

 private:
  static constexpr std::align_val_t alignment{64};
  struct Release {
    void operator()(float* memory) const { ::operator delete(memory, alignment); }
  };
  std::unique_ptr<float, Release> values_;
  std::size_t n_ = 0;
};

}  // namespace inference
}  // namespace v0
}  // namespace chest
