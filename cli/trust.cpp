#include "trust.hpp"

#include <algorithm>
#include <limits>

#include <chest/archive.hpp>
#include <chest/error.hpp>

#include "terminal.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

using Json = nlohmann::json;

Json parsed(const std::string& text) { return Json::parse(text, nullptr, false); }

/// The range under a key such as "samples": "0:1500"; empty where there is none.
SampleRange range_in(const Json& record, const char* key) {
  try {
    return parse_samples(record.value(key, ""), std::numeric_limits<arma::uword>::max(), key);
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace

std::string Seen::text() const {
  return std::string(tuned ? "tuned" : "fitted") + " on samples " + samples.text() +
         " of these channels";
}

std::vector<Seen> seen_by(const std::filesystem::path& model, const DatasetInfo& channels,
                          const std::string& hash, const SampleRange& range) {
  const ArchiveReader archive(model);
  std::vector<Seen> all;
  const auto add = [&](const Json& record, const char* key, bool tuned) {
    if (!record.is_object() || record.value("hash", Json()) != hash ||
        record.value("dataset", Json()) != channels.dataset)
      return;
    const SampleRange saw = range_in(record, key);
    if (saw.overlaps(range))
      all.push_back(
          {model, tuned, {std::max(saw.first, range.first), std::min(saw.end, range.end)}});
  };
  const auto add_fit = [&](const Json& fit) {
    add(fit, "samples", false);
    add(fit, "validation", true);
    if (!fit.is_object()) return;
    for (const Json& record : fit.value("also", Json::array())) add(record, "samples", false);
  };
  const Json fitted = parsed(archive.text_attribute("/", "training_data").value_or(""));
  add_fit(fitted);
  // A model that was adapted saw what it was before.
  for (Json before = fitted; before.is_object() && before.contains("adapted");) {
    before = Json(before["adapted"].value("fitted_on", Json()));
    add_fit(before);
  }
  const Json tuned = parsed(archive.text_attribute("/", "tuning_data").value_or(""));
  if (tuned.is_array()) {
    for (const Json& record : tuned) add(record, "samples", true);
  }
  return all;
}

void warn_of(const Seen& seen) {
  warn(seen.model.string() + " was " + seen.text() +
       ": figures on them are better than on others; use --samples that it has not seen");
}

nlohmann::json channel_record(const DatasetInfo& channels, const SampleRange& samples,
                              const std::string& hash) {
  return {{"file", channels.file.filename().string()},
          {"dataset", channels.dataset},
          {"samples", samples.text()},
          {"normalise", to_string(channels.normalisation)},
          {"scale", channels.scale},
          {"hash", hash}};
}

void add_tuning_data(std::string& tuning_data, const DatasetInfo& channels,
                     const std::string& hash) {
  Json all = parsed(tuning_data);
  if (!all.is_array()) all = Json::array();
  const Json record = channel_record(channels, channels.asked, hash);
  if (std::find(all.begin(), all.end(), record) == all.end()) all.push_back(record);
  tuning_data = all.dump();
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
