#pragma once

#include <string>

#include "estimator_list.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// A script for bash that completes commands, flags, their words and files, and estimators with
/// their options.
std::string bash_completion(const Catalog& catalog);

}  // namespace cli
}  // namespace v0
}  // namespace chest
