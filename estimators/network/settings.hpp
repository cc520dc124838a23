#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <chest/archive.hpp>

namespace chest {
inline namespace v0 {

using Json = nlohmann::json;

/// @throws Error(format): "<file>: <what>"
[[noreturn]] void throw_format(const std::filesystem::path& file, const std::string& what);

/// The text of an attribute of the whole file.
/// @param expected  what it says, for the refusal
/// @throws Error(format) if there is none
std::string required_attribute(const ArchiveReader& archive, const std::string& name,
                               const std::string& expected);

/// Values in a JSON object that is an attribute of a file. Each throws Error(format) with the file
/// and the path of the entry, as in "unet_dict.mode", if there is none of its kind.
class Settings {
 public:
  /// @param text  of the attribute
  /// @throws Error(format) if it is not a JSON object
  Settings(const std::filesystem::path& file, const std::string& attribute,
           const std::string& text);

  bool has(const std::string& key) const { return json_.contains(key); }
  const Json& at(const std::string& path) const;
  /// A whole number, 1 .. most.
  std::int64_t count(const std::string& path, std::int64_t most) const;
  /// A list of whole numbers.
  std::vector<int> counts(const std::string& path) const;

  template <class T>
  T get(const std::string& path) const {
    try {
      return at(path).get<T>();
    } catch (const Json::exception&) {
      refuse(", entry " + path + ": " + at(path).dump() + " is not of the expected type");
    }
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const;

  std::filesystem::path file_;
  std::string attribute_;
  Json json_;
};

}  // namespace v0
}  // namespace chest
