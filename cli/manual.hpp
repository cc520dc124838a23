#pragma once

#include <filesystem>

#include "estimator_list.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// Writes the manual, chest.1 and chest-COMMAND.1 for each command, in man(7) form into `folder`,
/// which is made where it is missing. The estimators are in chest-estimators.1.
/// @throws Error(io) if it cannot be written
void write_manual(const std::filesystem::path& folder, const Catalog& catalog);

}  // namespace cli
}  // namespace v0
}  // namespace chest
