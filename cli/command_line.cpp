#include "command_line.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/text.hpp>

#include "files.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

namespace po = boost::program_options;

std::string shell_quoted(const std::string& word) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string("-_=./:,@+%").find(c) != std::string::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string default_of(const Field& field) {
  return std::visit(
      [](const auto* value) -> std::string {
        using T = std::decay_t<decltype(*value)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return *value;
        } else if constexpr (std::is_same_v<T, double>) {
          return number_text(*value);
        } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          return std::to_string(*value);
        } else {
          return "";
        }
      },
      field);
}

template <class T>
T whole_number(const std::string& text, const std::string& flag, std::uint64_t most) {
  const unsigned long long value = to_count(text, flag);
  most = std::min(most, static_cast<std::uint64_t>(std::numeric_limits<T>::max()));
  if (value > most) refuse(flag + " is " + text + ", expected at most " + std::to_string(most));
  return static_cast<T>(value);
}

/// Whether `text` is the word, or "cuda:1" for the word "cuda:N".
bool is_word(const std::string& text, const std::string& word) {
  const std::size_t colon = word.find(':');
  if (colon == std::string::npos) return text == word;
  const std::string start = word.substr(0, colon + 1);
  return text.size() > start.size() && text.rfind(start, 0) == 0 &&
         text.find_first_not_of("0123456789", start.size()) == std::string::npos;
}

/// Refuses what is none of the words of a placeholder a|b|c. Others, as X|none, are looked at by
/// their command.
void check_word(const Flag& flag, const std::string& text) {
  const std::vector<std::string> words = split(flag.placeholder, '|');
  const auto is_free = [](const std::string& word) {
    return std::isupper(static_cast<unsigned char>(word[0])) != 0;
  };
  if (words.size() == 1 || std::any_of(words.begin(), words.end(), is_free)) return;
  const auto fits = [&](const std::string& word) { return is_word(text, word); };
  if (std::any_of(words.begin(), words.end(), fits)) return;
  std::string all = words[0];
  for (std::size_t i = 1; i + 1 < words.size(); ++i) all += ", " + words[i];
  refuse("--" + flag.name + " is '" + text + "', expected " + all + " or " + words.back());
}

void assign(const Flag& flag, const po::variable_value& given) {
  const std::string name = "--" + flag.name;
  std::visit(
      [&](auto* value) {
        using T = std::decay_t<decltype(*value)>;
        if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string> ||
                      std::is_same_v<T, std::vector<std::string>>) {
          *value = given.as<T>();
          if constexpr (std::is_same_v<T, std::string>) check_word(flag, *value);
        } else if constexpr (std::is_same_v<T, double>) {
          *value = to_number(given.as<std::string>(), name);
        } else if constexpr (std::is_same_v<T, std::optional<arma::uword>>) {
          *value = whole_number<arma::uword>(given.as<std::string>(), name, flag.most);
        } else {
          *value = whole_number<T>(given.as<std::string>(), name, flag.most);
        }
      },
      flag.field);
}

void put(nlohmann::json& json, const Flag& flag) {
  std::visit(
      [&](const auto* value) {
        using T = std::decay_t<decltype(*value)>;
        if constexpr (std::is_same_v<T, std::optional<arma::uword>>) {
          if (*value) json[flag.name] = **value;
        } else if constexpr (std::is_arithmetic_v<T>) {
          json[flag.name] = *value;
        } else {
          if (!value->empty()) json[flag.name] = *value;
        }
      },
      flag.field);
}

bool takes_value(const Flag* flag) { return flag != nullptr && !flag->placeholder.empty(); }

/// "--snr -10:5:20" as "--snr=-10:5:20": a negative number is a value, not a flag.
Args with_negative_values(const Args& args, const CommandHelp& help) {
  Args out;
  for (const std::string& word : args) {
    const bool is_negative =
        word.size() > 1 && word[0] == '-' && (word[1] == '.' || (word[1] >= '0' && word[1] <= '9'));
    const bool after_flag = !out.empty() && out.back().rfind("--", 0) == 0 &&
                            takes_value(help.find(out.back().substr(2)));
    if (is_negative && after_flag) {
      out.back() += "=" + word;
    } else {
      out.push_back(word);
    }
  }
  return out;
}

po::options_description boost_flags(const CommandHelp& help) {
  po::options_description out;
  for (const Section& section : help.sections) {
    for (const Flag& flag : section.flags) {
      const std::string name = flag.name == "help" ? "help,h" : flag.name;
      if (std::holds_alternative<bool*>(flag.field)) {
        out.add_options()(name.c_str(), po::bool_switch());
      } else if (std::holds_alternative<std::vector<std::string>*>(flag.field)) {
        out.add_options()(name.c_str(), po::value<std::vector<std::string>>()->composing());
      } else {
        out.add_options()(name.c_str(), po::value<std::string>());
      }
    }
  }
  return out;
}

[[noreturn]] void refuse_unknown(const std::string& flag, const CommandHelp& help) {
  std::vector<std::string> names;
  for (const Section& section : help.sections)
    for (const Flag& each : section.flags) names.push_back("--" + each.name);
  const std::string near = nearest(flag, names);
  refuse("unknown option " + flag +
         (near.empty() ? "; see chest " + help.name + " --help" : "; did you mean " + near + "?"));
}

/// The text of a file of flags, without a byte order mark.
std::string config_text(const std::string& file) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error))
    throw Error(ErrorKind::io, "--config " + file + " is a folder, expected a file");
  std::ifstream in(file, std::ios::binary);
  if (!in) throw Error(ErrorKind::io, "--config " + file + " cannot be read");
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (text.rfind("\xEF\xBB\xBF", 0) == 0) text.erase(0, 3);
  if (text.rfind("\xFF\xFE", 0) == 0 || text.rfind("\xFE\xFF", 0) == 0 ||
      text.find('\0') != std::string::npos)
    refuse("--config " + file + " is UTF-16 or no text; save it as UTF-8");
  return text;
}

/// What stands behind the '=': the text in quotes, or all before a remark, " # ...".
/// @return empty also where something follows the quotes
std::string config_value(const std::string& text) {
  if (text.empty() || text[0] == '#') return {};
  if (text[0] != '"' && text[0] != '\'')
    return trimmed(text.substr(0, std::min(text.find(" #"), text.find("\t#"))));
  const std::size_t end = text.find(text[0], 1);
  if (end == std::string::npos) return {};
  const std::string rest = trimmed(text.substr(end + 1));
  return rest.empty() || rest[0] == '#' ? text.substr(1, end - 1) : "";
}

/// Lines name=value, as if they had been typed as --name=value. A value may stand in quotes.
po::parsed_options parsed_config(const std::string& file, const po::options_description& flags,
                                 const CommandHelp& help) {
  po::parsed_options parsed(&flags);
  std::size_t n_line = 0;
  for (const std::string& each : split(config_text(file), '\n')) {
    ++n_line;
    const std::string line = trimmed(each);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    const std::size_t equals = line.find('=');
    const std::string name = trimmed(line.substr(0, equals));
    const std::string value =
        equals == std::string::npos ? "" : config_value(trimmed(line.substr(equals + 1)));
    if (line[0] == '[' || value.empty() || name.find_first_of(" \t") != std::string::npos)
      refuse("--config " + file + ": invalid line " + std::to_string(n_line) + ", '" + line +
             "'; expected name=value" + (line[0] == '[' ? ", without sections" : ""));
    po::option option;
    option.string_key = name.rfind("--", 0) == 0 ? name.substr(2) : name;
    if (flags.find_nothrow(option.string_key, false) == nullptr)
      refuse_unknown("--" + option.string_key, help);
    option.value = {value};
    parsed.options.push_back(std::move(option));
  }
  return parsed;
}

/// The flag that an error of Boost is about: "--snr" of "--snr=...".
std::string flag_of(const po::error_with_option_name& error) {
  std::string name = error.get_option_name();
  name = name.substr(0, name.find('='));
  return name.rfind('-', 0) == 0 ? name : "--" + name;
}

[[noreturn]] void refuse_syntax(const po::invalid_syntax& error, const CommandHelp& help) {
  const std::string name = flag_of(error);
  const Flag* flag = help.find(name.substr(std::min<std::size_t>(2, name.size())));
  if (flag == nullptr) refuse(error.what());
  if (!takes_value(flag)) refuse(name + " takes no value");
  refuse(name + " needs a value: " + name + " " + flag->placeholder);
}

}  // namespace

const Flag* CommandHelp::find(const std::string& flag) const {
  for (const Section& section : sections)
    for (const Flag& each : section.flags)
      if (each.name == flag) return &each;
  return nullptr;
}

CommandLine::CommandLine(const std::string& command, const std::string& usage,
                         const std::string& summary) {
  help_.name = command;
  help_.usage = "chest " + command + (usage.empty() ? "" : " " + usage);
  help_.summary = summary;
  section("options");
}

void CommandLine::section(const std::string& title) {
  if (!help_.sections.empty() && help_.sections.back().flags.empty()) help_.sections.pop_back();
  help_.sections.push_back({title, {}});
}

Flag& CommandLine::flag(const std::string& name, Field field, const std::string& placeholder,
                        const std::string& help) {
  Flag added;
  added.name = name;
  added.placeholder = placeholder;
  added.help = help;
  added.default_text = default_of(field);
  added.field = field;
  help_.sections.back().flags.push_back(std::move(added));
  return help_.sections.back().flags.back();
}

Flag& CommandLine::flag(const std::string& name, bool* field, const std::string& help) {
  return flag(name, Field(field), "", help);
}

Flag& CommandLine::output(const std::string& name, std::string* field, const std::string& help) {
  Flag& added = flag(name, field, "FILE", help);
  added.is_output = true;
  return added;
}

void CommandLine::positional(const std::string& name, int most) {
  if (words_.empty()) help_.positional = name;
  words_.push_back({name, most});
}

CommandHelp CommandLine::with_general_flags() {
  CommandHelp all = help_;
  if (all.sections.back().flags.empty()) all.sections.pop_back();
  all.sections.push_back(
      {"general",
       {{"quiet", "", "no progress on stderr; warnings and errors stay", "", &quiet_},
        {"config", "FILE", "reads flags from a file, one name=value per line; those typed here win",
         "", &config_},
        {"help", "", "shows this text", "", &asked_for_help_}}});
  return all;
}

CommandLine::Values CommandLine::read(const Args& args, const CommandHelp& all) const {
  const po::options_description flags = boost_flags(all);
  po::positional_options_description words;
  for (const auto& [name, most] : words_) words.add(name.c_str(), most);
  Values values;
  try {
    const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(with_negative_values(args, all))
                  .options(flags)
                  .positional(words)
                  .style(style)
                  .run(),
              values);
    if (values.count("config") && !values["help"].as<bool>()) {
      po::store(parsed_config(values["config"].as<std::string>(), flags, all), values);
    }
  } catch (const po::unknown_option& error) {
    refuse_unknown(flag_of(error), all);
  } catch (const po::too_many_positional_options_error&) {
    refuse("too many words without a flag; usage: " + all.usage);
  } catch (const po::multiple_occurrences& error) {
    refuse(flag_of(error) + " is given more than once");
  } catch (const po::invalid_syntax& error) {
    refuse_syntax(error, all);
  } catch (const po::error& error) {
    refuse(error.what());
  }
  return values;
}

bool CommandLine::parse(const Args& args, Context& context) {
  args_ = args;
  const CommandHelp all = with_general_flags();
  const Values values = read(args, all);
  if (values["help"].as<bool>()) {
    context.show_help(all);
    return false;
  }
  nlohmann::json json = nlohmann::json::object();
  for (const Section& section : all.sections) {
    for (const Flag& flag : section.flags) {
      const auto value = values.find(flag.name);
      if (value != values.end() && !value->second.defaulted()) {
        assign(flag, value->second);
        given_.insert(flag.name);
      }
      const bool says_how = flag.name == "help" || flag.name == "quiet";
      if (!says_how) put(json, flag);
    }
  }
  check_files(all, context.catalog);
  options_json_ = json.dump();
  context.quiet = context.quiet || quiet_;
  return true;
}

void CommandLine::require(const std::string& flag, const std::string& meaning) const {
  if (given(flag)) return;
  const bool is_word = flag == help_.positional;
  refuse((is_word ? "the word after " + command() : "--" + flag) + " is missing: " + meaning +
         "; see chest " + command() + " --help");
}

std::string CommandLine::command_line() const {
  std::string out = "chest " + command();
  for (const std::string& arg : args_) out += " " + shell_quoted(arg);
  return out;
}

Provenance CommandLine::provenance(std::uint64_t seed) const {
  Provenance out;
  out.command_line = command_line();
  out.seed = seed;
  out.options = options_json_;
  return out;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
