#pragma once

#include <string>

#include "estimator_list.hpp"

namespace chest::cli {

/// A script for bash that completes commands, flags, their words and files, and estimators with
/// their options.
std::string bash_completion(const Catalog& catalog);

}  // namespace chest::cli
