#pragma once

#include <iosfwd>

#include <chest/channels/dataset.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {
namespace cli {

/// What `chest info` says of channels on a grid: its axes, and the spreads of the channels over delay,
/// time and angle.
/// @param samples  of the dataset: those asked for, without bad ones
void print_grid(const Dataset& dataset, const SampleReader& samples, std::ostream& out);

}  // namespace cli
}  // namespace v0
}  // namespace chest
