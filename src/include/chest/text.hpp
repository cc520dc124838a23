#pragma once

#include <map>
#include <string>
#include <vector>

namespace chest {

std::vector<std::string> split(const std::string& text, char separator);
/// The candidate nearest in edit distance, empty when none is near: "did you mean ...?".
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);
/// "a, b and c"
std::string enumerate(const std::vector<std::string>& words);
/// Shortest decimal text that reads back as the same double: "0.1", "1e-07", "inf", "nan".
std::string number_text(double value);
/// @throws Error(invalid_argument) naming `what` and the text when it is not a number
double to_number(const std::string& text, const std::string& what);
unsigned long long to_count(const std::string& text, const std::string& what);

/// A name with options: "dmse:steps=1@model.h5" is {dmse, {steps: 1}, model.h5}; "dmse:published"
/// is {dmse, {published: ""}, ""}.
struct NamedOptions {
  std::string name;
  std::map<std::string, std::string> options;
  std::string file;
  std::string text;  ///< as given
};
NamedOptions parse_named_options(const std::string& text);
/// Splits "ls,dmse:steps=1,gmm:components=32,kind=full": a part that is only an option
/// ("kind=full") belongs to the name before it.
std::vector<NamedOptions> parse_named_options_list(const std::string& text);

}  // namespace chest
