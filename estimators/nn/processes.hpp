#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include <chest/estimators/nn/network_fit.hpp>

namespace chest {
inline namespace v0 {
namespace nn {

/// The processes of one fit. What they add up is the same bits in each of them. All make the same calls in the same
/// order.
class Processes {
 public:
  virtual ~Processes() = default;
  std::size_t rank() const { return rank_; }
  std::size_t count() const { return count_; }
  /// Whether this process does part i of a work.
  bool has(std::size_t i) const { return i % count_ == rank_; }
  /// values becomes its sum over all processes.
  virtual void add_up(at::Tensor& values) const = 0;
  void add_up(std::vector<double>& values) const;

 protected:
  Processes(std::size_t rank, std::size_t count) : rank_(rank), count_(count) {}

 private:
  std::size_t rank_, count_;
};

/// Meets the others, which waits for them; one process does not.
/// @throws Error(invalid_argument) if this build has no Gloo;  Error(io) if they do not meet
std::shared_ptr<const Processes> meet(const FitProcess& process);

}  // namespace nn
}  // namespace v0
}  // namespace chest
