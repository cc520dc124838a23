#include <chest/spec.hpp>

#include <algorithm>
#include <filesystem>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// Walks over the characters of `text` that stand in no parentheses and no quotes.
/// @param stop  called with the position of each; true ends the walk there
/// @return the position where it ended, or the length of the text
/// @throws Error(invalid_argument) if parentheses or quotes do not close
template <class Stop>
std::size_t scan(const std::string& text, std::size_t from, Stop&& stop) {
  int depth = 0;
  char quote = 0;
  for (std::size_t i = from; i < text.size(); ++i) {
    const char c = text[i];
    if (quote) {
      if (c == quote) quote = 0;
      continue;
    }
    if (depth == 0 && stop(i)) return i;
    if (c == '"' || c == '\'') quote = c;
    if (c == '(') ++depth;
    if (c == ')' && --depth < 0) refuse("'" + text + "': ')' without '('");
  }
  if (quote) refuse("'" + text + "': a quotation is not closed");
  if (depth > 0) refuse("'" + text + "': '(' is not closed");
  return text.size();
}

std::size_t find_outside(const std::string& text, const std::string& characters,
                         std::size_t from = 0) {
  return scan(text, from,
              [&](std::size_t i) { return characters.find(text[i]) != std::string::npos; });
}

std::vector<std::string> split_outside(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t start = 0;; ++start) {
    const std::size_t end = find_outside(text, ",", start);
    parts.push_back(text.substr(start, end - start));
    if (end == text.size()) return parts;
    start = end;
  }
}

std::string unquoted(const std::string& text) {
  const bool whole = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
                     text.find(text.front(), 1) == text.size() - 1;
  return whole ? text.substr(1, text.size() - 2) : text;
}

void read_options(const std::string& list, NamedOptions& out) {
  const std::vector<std::string> parts = split_outside(list);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    const std::size_t equals = find_outside(part, "=");
    const std::string key = part.substr(0, equals);
    if (key.empty()) refuse("'" + out.text + "': an option is empty");
    const std::string value = equals == part.size() ? "" : part.substr(equals + 1);
    if (const std::size_t colon = find_outside(value, ":");
        colon < value.size() && i + 1 < parts.size()) {
      refuse("'" + out.text + "': whose option is " + parts[i + 1] + "? write " + key + "=" +
             value.substr(0, colon) + "(" + value.substr(colon + 1) + ")," + parts[i + 1] + " or " +
             key + "=" + value.substr(0, colon) + "(" + value.substr(colon + 1) + "," +
             parts[i + 1] + ")");
    }
    if (!out.options.emplace(key, unquoted(value)).second) {
      refuse("'" + out.text + "': option " + key + " is given twice");
    }
  }
}

/// Whether the last item is a name @FILE whose file name goes on behind the comma.
bool goes_on_as_file(const std::vector<std::string>& items, const std::string& part) {
  if (items.empty()) return false;
  const std::string& item = items.back();
  const std::size_t at = find_outside(item, "@");
  if (at >= item.size()) return false;
  const std::string file = item.substr(at + 1);
  std::error_code error;
  return !std::filesystem::exists(file, error) && std::filesystem::exists(file + "," + part, error);
}

}  // namespace

NamedOptions parse_named_options(const std::string& text) {
  NamedOptions out;
  out.text = text;
  scan(text, 0, [](std::size_t) { return false; });  // all of it closes
  std::string rest = text;
  if (const std::size_t at = find_outside(text, "@"); at < text.size()) {
    out.file = unquoted(text.substr(at + 1));
    rest.resize(at);
    if (out.file.empty()) refuse("'" + text + "': no file name after '@'");
  }
  const std::size_t mark = find_outside(rest, ":(");
  out.name = rest.substr(0, mark);
  if (out.name.empty()) refuse("'" + text + "': a name is missing");
  if (mark == rest.size()) return out;
  if (rest[mark] == ':') {
    read_options(rest.substr(mark + 1), out);
    return out;
  }
  // What stands in no parentheses after the first '(' stands behind the last ')'.
  if (scan(rest, mark, [&](std::size_t i) { return i > mark; }) < rest.size()) {
    refuse("'" + text + "': nothing but '@FILE' may follow ')'");
  }
  read_options(rest.substr(mark + 1, rest.size() - mark - 2), out);
  return out;
}

std::string text_without(const NamedOptions& spec, const std::string& option) {
  const auto quoted = [](const std::string& text) {
    if (text.find_first_of(",:=@()'\"") == std::string::npos) return text;
    const char quote = text.find('"') == std::string::npos ? '"' : '\'';
    return quote + text + quote;
  };
  std::string options;
  for (const auto& [key, value] : spec.options) {
    if (key == option) continue;
    options += (options.empty() ? "" : ",") + key;
    if (!value.empty()) options += "=" + quoted(value);
  }
  return spec.name + (options.empty() ? "" : "(" + options + ")") +
         (spec.file.empty() ? "" : "@" + quoted(spec.file));
}

std::vector<std::string> files_of(const NamedOptions& spec) {
  std::vector<std::string> files;
  if (!spec.file.empty()) files.push_back(spec.file);
  for (const auto& [option, value] : spec.options) {
    if (value.find('@') == std::string::npos) continue;
    const std::vector<std::string> more = files_of(parse_named_options(value));
    files.insert(files.end(), more.begin(), more.end());
  }
  return files;
}

std::vector<NamedOptions> parse_named_options_list(const std::string& text,
                                                   const std::vector<std::string>& names) {
  std::vector<std::string> items;
  for (const std::string& part : split_outside(text)) {
    const std::size_t mark = find_outside(part, "=:(@");
    const bool is_option = mark < part.size() && part[mark] == '=';
    const bool is_word = mark == part.size() && !part.empty() && !names.empty() &&
                         std::find(names.begin(), names.end(), part) == names.end();
    const bool takes_options = !items.empty() &&
                               find_outside(items.back(), "@") == items.back().size() &&
                               find_outside(items.back(), ":") < items.back().size();
    if (((is_option || is_word) && takes_options) || goes_on_as_file(items, part)) {
      items.back() += "," + part;
    } else {
      items.push_back(part);
    }
  }
  std::vector<NamedOptions> out;
  for (const std::string& item : items) out.push_back(parse_named_options(item));
  return out;
}

}  // namespace v0
}  // namespace chest
