#include <chest/text.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include <chest/error.hpp>

namespace chest {

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

std::string enumerate(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " and " : ", ";
    out += words[i];
  }
  return out;
}

std::string number_text(double value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

double to_number(const std::string& text, const std::string& what) {
  double value = 0.0;
  const char* end = text.data() + text.size();
  const char* begin = text.data() + (text.size() > 1 && text[0] == '+' && text[1] != '-' ? 1 : 0);
  const auto [rest, error] = std::from_chars(begin, end, value);
  if (text.empty() || error != std::errc{} || rest != end || !std::isfinite(value)) {
    throw Error(ErrorKind::invalid_argument, what + ": '" + text + "' is not a number");
  }
  return value;
}

unsigned long long to_count(const std::string& text, const std::string& what) {
  unsigned long long value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc{} || rest != end) {
    throw Error(ErrorKind::invalid_argument,
                what + ": '" + text + "' is not a whole number, 0 or more");
  }
  return value;
}

NamedOptions parse_named_options(const std::string& text) {
  NamedOptions out;
  out.text = text;
  std::string rest = text;
  if (const std::size_t at = rest.find('@'); at != std::string::npos) {
    out.file = rest.substr(at + 1);
    rest.resize(at);
    if (out.file.empty()) {
      throw Error(ErrorKind::invalid_argument, "'" + text + "': no file name after '@'");
    }
  }
  const std::size_t colon = rest.find(':');
  out.name = rest.substr(0, colon);
  if (out.name.empty()) {
    throw Error(ErrorKind::invalid_argument, "'" + text + "': a name is missing");
  }
  if (colon == std::string::npos) return out;
  for (const std::string& part : split(rest.substr(colon + 1), ',')) {
    const std::size_t equals = part.find('=');
    const std::string key = part.substr(0, equals);
    if (key.empty()) {
      throw Error(ErrorKind::invalid_argument, "'" + text + "': an option is empty");
    }
    const std::string value = equals == std::string::npos ? "" : part.substr(equals + 1);
    if (!out.options.emplace(key, value).second) {
      throw Error(ErrorKind::invalid_argument, "'" + text + "': option " + key + " is given twice");
    }
  }
  return out;
}

std::vector<NamedOptions> parse_named_options_list(const std::string& text) {
  std::vector<std::string> names;
  for (const std::string& part : split(text, ',')) {
    // "dmse:prior=gmm,steps=1": what has '=' before any ':' or '@' is an option of the one before.
    const std::size_t mark = part.find_first_of("=:@");
    const bool is_option = mark != std::string::npos && part[mark] == '=';
    if (is_option && !names.empty() && names.back().find('@') == std::string::npos &&
        names.back().find(':') != std::string::npos) {
      names.back() += "," + part;
    } else {
      names.push_back(part);
    }
  }
  std::vector<NamedOptions> out;
  for (const std::string& name : names) out.push_back(parse_named_options(name));
  return out;
}

}  // namespace chest
