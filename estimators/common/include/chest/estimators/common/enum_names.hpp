#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {

/// A table of the values of an enumeration and how they are written.
template <class Enum, std::size_t n>
using EnumNames = std::pair<Enum, const char*>[n];

template <class Enum, std::size_t n>
const char* name_of(const EnumNames<Enum, n>& table, Enum value) {
  for (const auto& [each, name] : table) {
    if (each == value) return name;
  }
  return "";
}

}  // namespace v0
}  // namespace chest
