#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <chest/channels/dataset.hpp>

#include "flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// Channels of a run that its model knows already: figures on them promise too much.
struct Seen {
  std::filesystem::path model;
  bool tuned = false;   ///< by validation or calibration; otherwise fitted
  SampleRange samples;  ///< that the model saw and the run uses

  std::string text() const;  ///< "fitted on samples 0:1500 of these channels"
};

/// What a run would find in training_data and tuning_data of a model file.
/// @param hash   of the file of the channels
/// @param range  samples that the run uses
std::vector<Seen> seen_by(const std::filesystem::path& model, const DatasetInfo& channels,
                          const std::string& hash, const SampleRange& range);

/// On stderr.
void warn_of(const Seen& seen);

/// Adds channels to the tuning_data of a model (JSON), once.
void add_tuning_data(std::string& tuning_data, const DatasetInfo& channels);

}  // namespace cli
}  // namespace v0
}  // namespace chest
