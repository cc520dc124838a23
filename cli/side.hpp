#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <chest/channels/dataset.hpp>
#include <chest/estimators/catalog/model_store.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {
namespace cli {

/// The matrices of --side: one for each of the channels, stored at their scale.
/// @param text  FILE[:DATASET], whose axes are those of its kind of file
/// @param scale  what the channels are multiplied by, and so are these
/// @return  matrices, 0 where the stored one is zero or not finite: nothing is known
/// @throws Error(invalid_argument) if there are not as many as channels, of their size; Error as Dataset
SampleReader open_side(const std::string& text, const SampleReader& channels, double scale);
/// The same of the channels of a file; not with Normalisation::sample.
SampleReader open_side(const std::string& text, const Dataset& channels);

/// What results depend on.
nlohmann::ordered_json describe_side(const std::string& text);

/// @param models  of a run with --side
/// @throws Error(invalid_argument) if no network among them is told side matrices
void check_takes_side(const std::vector<std::string>& models, ModelStore& store);

}  // namespace cli
}  // namespace v0
}  // namespace chest
