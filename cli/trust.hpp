#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

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

/// What a model file says of channels that it saw, for seen_by().
/// @param hash  of the file of the channels
nlohmann::json channel_record(const DatasetInfo& channels, const SampleRange& samples,
                              const std::string& hash);

/// Adds the channels asked for to the tuning_data of a model (JSON), once.
void add_tuning_data(std::string& tuning_data, const DatasetInfo& channels,
                     const std::string& hash);

}  // namespace cli
}  // namespace v0
}  // namespace chest
