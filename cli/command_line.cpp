#include "command_line.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/text.hpp>

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
T whole_number(const std::string& text, const std::string& flag) {
  const unsigned long long value = to_count(text, flag);
  const auto most = static_cast<unsigned long long>(std::numeric_limits<T>::max());
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
          *value = whole_number<arma::uword>(given.as<std::string>(), name);
        } else {
          *value = whole_number<T>(given.as<std::string>(), name);
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

/// The flag that an error of Boost is about: "--snr" of "--snr=...".
std::string flag_of(const po::error_with_option_name& error) {
  std::string name = error.get_option_name();
  name = name.substr(0, name.find('='));
  return name.rfind('-', 0) == 0 ? name : "--" + name;
}

[[noreturn]] void refuse_unknown(const std::string& flag, const CommandHelp& help) {
  std::vector<std::string> names;
  for (const Section& section : help.sections)
    for (const Flag& each : section.flags) names.push_back("--" + each.name);
  const std::string near = nearest(flag, names);
  refuse("unknown option " + flag +
         (near.empty() ? "; see chest " + help.name + " --help" : "; did you mean " + near + "?"));
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
  help_.sections.back().flags.push_back({name, placeholder, help, default_of(field), field});
  return help_.sections.back().flags.back();
}

Flag& CommandLine::flag(const std::string& name, bool* field, const std::string& help) {
  return flag(name, Field(field), "", help);
}

void CommandLine::positional(const std::string& name, int most) {
  help_.positional = name;
  most_words_ = most;
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
  if (most_words_ != 0) words.add(all.positional.c_str(), most_words_);
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
      const std::string file = values["config"].as<std::string>();
      std::ifstream in(file);
      if (!in) throw Error(ErrorKind::io, "--config " + file + " cannot be read");
      po::store(po::parse_config_file(in, flags), values);
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

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  const std::string near = nearest(word, known);
  return near.empty() ? "; there are " + enumerate(known) : "; did you mean " + near + "?";
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
