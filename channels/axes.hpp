#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sample_source.hpp"

namespace chest {
inline namespace v0 {

/// What a stored axis is: a letter of --axes, or '0' and the index that is taken of it.
struct Axis {
  char letter = '0';
  std::uint64_t index = 0;
};

/// The axes of an array, in the order in which h5py and NumPy show them.
struct Axes {
  std::string text;  ///< as given or assumed: "trn"
  std::vector<Axis> each;
  std::vector<std::string> doubts;  ///< what speaks against axes that were assumed; sentences
};

/// Reads --axes: "nrt5", or with commas where an index has two digits or more: "n,r,t,12".
/// @throws Error(format) if a letter is not known
std::vector<Axis> parse_axes(const std::string& text, const ArrayName& name);

/// The axes of options.axes, or those that follow from who wrote the array, checked against its
/// dims.
/// @throws Error(format) if they do not fit, or cannot be known
Axes axes_of(const StoredArray& array, const ArrayName& name, const DatasetOptions& options);

}  // namespace v0
}  // namespace chest
