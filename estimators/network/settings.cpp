#include "settings.hpp"

#include <algorithm>
#include <cmath>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {

[[noreturn]] void throw_format(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorKind::format, file.string() + ": " + what);
}

std::string required_attribute(const ArchiveReader& archive, const std::string& name,
                               const std::string& expected) {
  const auto text = archive.text_attribute("/", name);
  if (!text) throw_format(archive.file(), "no attribute " + name + "; expected " + expected);
  return *text;
}

Settings::Settings(const std::filesystem::path& file, const std::string& attribute,
                   const std::string& text)
    : file_(file), attribute_(attribute), json_(Json::parse(text, nullptr, false)) {
  if (!json_.is_object()) refuse(" is not a JSON object; the file is damaged");
}

const Json& Settings::at(const std::string& path) const {
  const Json* node = &json_;
  for (const std::string& key : split(path, '.')) {
    if (!node->is_object() || !node->contains(key)) refuse(" has no entry " + path);
    node = &(*node)[key];
  }
  return *node;
}

std::int64_t Settings::count(const std::string& path, std::int64_t most) const {
  const Json& value = at(path);
  if (!value.is_number_integer() || value.get<double>() < 1 ||
      value.get<double>() > static_cast<double>(most)) {
    refuse(", entry " + path + " is " + value.dump() + "; expected 1 to " + std::to_string(most));
  }
  return value.get<std::int64_t>();
}

std::vector<int> Settings::counts(const std::string& path) const {
  const Json& values = at(path);
  const bool fits = values.is_array() && std::all_of(values.begin(), values.end(), [](auto& v) {
                      return v.is_number_integer() && std::abs(v.template get<double>()) < 1e9;
                    });
  if (!fits) refuse(", entry " + path + ": " + values.dump() + " is not a list of whole numbers");
  return values.get<std::vector<int>>();
}

void Settings::refuse(const std::string& what) const {
  throw_format(file_, "attribute " + attribute_ + what);
}

}  // namespace v0
}  // namespace chest
