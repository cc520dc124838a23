#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/network/config.hpp>

namespace chest {
inline namespace v0 {

/// Names and dimensions of a network's arrays, in the order in which a fit keeps them; no values.
std::vector<NamedTensor> network_layout(const NetworkConfig& config);

/// The name that an array of NetworkConfig::published() has in its authors' code.
std::string published_name(const NetworkConfig& config, const std::string& name);

/// Number of values of an array of these dimensions.
std::int64_t n_values(const std::vector<std::int64_t>& dims);

/// Puts `weights` into the order of `layout`.
/// @throws Error(kind) if an array is missing, of a wrong shape or size, or not finite
std::vector<NamedTensor> arranged_weights(const std::vector<NamedTensor>& layout,
                                          const std::vector<NamedTensor>& weights, ErrorKind kind,
                                          const std::string& who);

void write_weights(ArchiveWriter& archive, const std::vector<NamedTensor>& weights);
/// The arrays of `layout` below `prefix`.
/// @throws Error(format) if one is missing, of a wrong shape or not finite
std::vector<NamedTensor> read_weights(const ArchiveReader& archive, const std::string& prefix,
                                      const std::vector<NamedTensor>& layout);

/// {"hidden": [..], ..}: in model files, checkpoints and provenance.
std::string to_json(const NetworkConfig& config);

}  // namespace v0
}  // namespace chest
