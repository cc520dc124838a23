#pragma once

#include <nlohmann/json.hpp>

#include <chest/sim/pusch.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// Adds all of a receiver that numbers depend on: detector, demapper, error_variance, layer_codes, decoder.
void describe_receiver(const PuschOptions& options, nlohmann::ordered_json& json);

}  // namespace sim
}  // namespace v0
}  // namespace chest
