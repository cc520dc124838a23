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

/// The columns of a run, in the order of the CSV: those of a sweep or a link run, on matrices or on a
/// grid.
const std::vector<Column>& columns(const Results& results);

}  // namespace sim
}  // namespace v0
}  // namespace chest
