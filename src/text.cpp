#include <chest/text.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  while (true) {
    const std::size_t end = text.find(separator, start);
    parts.push_back(text.substr(start, end - start));
    if (end == std::string::npos) return parts;
    start = end + 1;
  }
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  const auto distance = [](const std::string& a, const std::string& b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= b.size(); ++j) {
        const std::size_t above = row[j];
        row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
        diagonal = above;
      }
    }
    return row.back();
  };
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t d = distance(word, candidate);
    if (d < best_distance) {
      best = candidate;
      best_distance = d;
    }
  }
  return best;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  if (known.empty()) return "; there are none";
  const std::string near = nearest(word, known);
  return near.empty() ? "; there are " + enumerate(known) : "; did you mean " + near + "?";
}

std::string enumerate(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " and " : ", ";
    out += words[i];
  }
  return out;
}

std::string number_text(double value) {
  // Digits alone while they are few: 100000 and 0.0001, not 1e+05 and 1e-04.
  const double size = std::abs(value);
  const bool plain = value == 0.0 || (size >= 1e-4 && size < 1e15);
  char text[32];
  const auto end = plain ? std::to_chars(text, text + sizeof text, value, std::chars_format::fixed)
                         : std::to_chars(text, text + sizeof text, value);
  return std::string(text, end.ptr);
}

namespace {

/// The whole text as a finite number.
std::optional<double> number_in(const std::string& text) {
  double value = 0.0;
  const char* end = text.data() + text.size();
  const char* begin = text.data() + (text.size() > 1 && text[0] == '+' && text[1] != '-' ? 1 : 0);
  const auto [rest, error] = std::from_chars(begin, end, value);
  if (text.empty() || error != std::errc{} || rest != end || !std::isfinite(value)) return {};
  return value;
}

/// What may have been meant by a text that is no number; empty: nothing that shows.
std::string number_meant(std::string text) {
  const auto replace = [&text](const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    if (at != std::string::npos) text.replace(at, from.size(), to);
  };
  replace("\u2212", "-");  // the minus sign of typesetting, and a dash
  replace("\u2013", "-");
  replace(",", ".");
  // A unit: "10dB", "10 %".
  const std::size_t end = text.find_last_of("0123456789.");
  const bool is_percent = !text.empty() && text.back() == '%';
  if (end != std::string::npos) text.resize(end + 1);
  const std::optional<double> value = number_in(text);
  if (!value) return {};
  return is_percent ? number_text(*value / 100.0) : text;
}

}  // namespace

double to_number(const std::string& text, const std::string& what) {
  const std::optional<double> value = number_in(text);
  if (!value) {
    const std::string meant = number_meant(text);
    refuse(what + ": '" + text + "' is not a number" + (meant.empty() ? "" : "; write " + meant));
  }
  return *value;
}

unsigned long long to_count(const std::string& text, const std::string& what) {
  unsigned long long value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range && rest == end) {
    refuse(what + " is " + text + ", expected at most " +
           std::to_string(std::numeric_limits<unsigned long long>::max()));
  }
  if (text.empty() || error != std::errc{} || rest != end) {
    refuse(what + ": '" + text + "' is not a whole number, 0 or more");
  }
  return value;
}

std::string out_of_range(const std::string& field, double value, const std::string& range) {
  return field + " is " + number_text(value) + ", expected " + range;
}

}  // namespace v0
}  // namespace chest
