#pragma once

#include <string>
#include <vector>

namespace chest {
inline namespace v0 {

std::vector<std::string> split(const std::string& text, char separator);
/// With small letters for the capitals of ASCII.
std::string lower(std::string text);

/// Without blanks, tabs and carriage returns at both ends.
std::string trimmed(const std::string& text);
/// The candidate nearest in edit distance, empty when none is near: "did you mean ...?".
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);
/// "; did you mean dft?", or "; there are dft and qpsk" when nothing is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known);
/// "a, b and c"
std::string enumerate(const std::vector<std::string>& words);
/// Shortest decimal text that reads back as the same double: "0.1", "1e-07", "inf", "nan".
std::string number_text(double value);
/// "clip is 0.5, expected 1 .. 60": why an option cannot be used.
std::string out_of_range(const std::string& field, double value, const std::string& range);
/// @throws Error(invalid_argument) naming `what` and the text when it is not a number, or does not
///         fit; with the number that was meant, where there is a unit or a decimal comma
double to_number(const std::string& text, const std::string& what);
unsigned long long to_count(const std::string& text, const std::string& what);

}  // namespace v0
}  // namespace chest
