#pragma once

#include <vector>

#include <chest/sim/results.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// A numeric column of the results: the one place that says what stands where.
struct Column {
  const char* name;
  double (*value)(const Row&);
  bool timing = false;
};

/// The columns of a sweep or link run, in the order of the CSV.
const std::vector<Column>& columns(ResultKind kind);

}  // namespace sim
}  // namespace v0
}  // namespace chest
