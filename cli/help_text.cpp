#include "help_text.hpp"

#include <algorithm>
#include <ostream>
#include <sstream>

#include <chest/provenance.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

constexpr std::size_t width = 100;

/// Lines of at most `most` characters, the first one of at most `first`, broken at blanks.
std::vector<std::string> wrapped(const std::string& text, std::size_t most, std::size_t first) {
  std::vector<std::string> lines;
  for (const std::string& paragraph : split(text, '\n')) {
    std::string line;
    for (const std::string& word : split(paragraph, ' ')) {
      if (!line.empty() && line.size() + 1 + word.size() > (lines.empty() ? first : most)) {
        lines.push_back(line);
        line.clear();
      }
      line += line.empty() ? word : " " + word;
    }
    lines.push_back(line);
  }
  return lines;
}

std::string indented(const std::string& first, const std::string& text) {
  std::string out;
  for (const std::string& line : wrapped(text, width - first.size(), width - first.size())) {
    out += (out.empty() ? first : std::string(first.size(), ' ')) + line + "\n";
  }
  return out;
}

/// The value of an option in an example: its default, or the first word that it takes.
std::string example_value(const OptionInfo& option) {
  const auto is_word = [](const std::string& text) {
    return !text.empty() && text.find_first_of(" ,:()") == std::string::npos;
  };
  if (is_word(option.default_text)) return option.default_text;
  const std::size_t bar = option.placeholder.find('|');
  return bar == std::string::npos ? "" : option.placeholder.substr(0, bar);
}

}  // namespace

void print_entries(const std::vector<Entry>& entries, std::size_t column, std::ostream& out) {
  for (const Entry& entry : entries) {
    std::string start = "  " + entry.left + "  ";
    start.resize(std::max(start.size(), column), ' ');
    const std::vector<std::string> lines =
        wrapped(entry.right, width - column, width - start.size());
    for (std::size_t i = 0; i < lines.size(); ++i)
      out << (i == 0 ? start : std::string(column, ' ')) << lines[i] << '\n';
  }
}

std::string spelling(const Flag& flag) {
  if (flag.name == "help") return "-h, --help";
  return "--" + flag.name + (flag.placeholder.empty() ? "" : " " + flag.placeholder);
}

std::string help_with_default(const Flag& flag) {
  return flag.help + (flag.default_text.empty() ? "" : " (default " + flag.default_text + ")");
}

std::string spelling(const OptionInfo& option) {
  return option.name + (option.placeholder.empty() ? "" : "=" + option.placeholder);
}

std::string help_with_default(const OptionInfo& option) {
  std::string notes = option.range;
  if (!option.default_text.empty()) {
    notes += (notes.empty() ? "default " : "; default ") + option.default_text;
  }
  return (option.on_grid ? "on a grid: " : "") + option.help +
         (notes.empty() ? "" : " (" + notes + ")");
}

std::string example_of(const CatalogEntry& estimator) {
  for (const OptionInfo& option : estimator.options) {
    if (option.on_grid) continue;
    if (option.placeholder.empty()) return estimator.name + ":" + option.name;
    const std::string value = example_value(option);
    if (!value.empty()) return estimator.name + ":" + option.name + "=" + value;
  }
  return estimator.name;
}

std::string example_command(const CatalogEntry& estimator) {
  return "chest sweep --channels channels.h5" +
         std::string(estimator.model.empty() ? "" : " --model " + estimator.model + ".h5") +
         " --snr -10:5:20 \\\n    --estimators " + (estimator.name == "ls" ? "" : "ls,") +
         example_of(estimator) + " --out results.h5";
}

std::string command_text(const CommandHelp& help) {
  std::ostringstream out;
  out << indented("usage: ", help.usage) << '\n' << indented("", help.summary);
  for (const Section& section : help.sections) {
    out << '\n' << section.title << ":\n";
    std::vector<Entry> entries;
    for (const Flag& flag : section.flags)
      entries.push_back({spelling(flag), help_with_default(flag)});
    print_entries(entries, 26, out);
  }
  return out.str();
}

std::string program_text() {
  std::ostringstream out;
  out << "chest " << version() << ": MIMO channel estimation with a diffusion-model prior\n\n"
      << "usage: chest COMMAND [options]\n\n";
  std::vector<Entry> entries;
  for (const Command& command : commands()) entries.push_back({command.name, command.summary});
  print_entries(entries, 14, out);
  out << "\n";
  print_entries({{"chest help COMMAND", "the flags of a command; also chest COMMAND --help"},
                 {"chest --version", "the version, and what it was built with"}},
                24, out);
  out << "\nResults go to stdout, progress to stderr. Exit status: 0 done, 1 failed, 2 misused.\n";
  return out.str();
}

std::string version_text() {
  std::ostringstream out;
  out << "chest " << version() << " (" << commit() << ")\n";
  print_entries({{"LibTorch", CHEST_TORCH_VERSION},
                 {"Armadillo", CHEST_ARMADILLO_VERSION},
                 {"HDF5", CHEST_HDF5_VERSION},
                 {"compiler", CHEST_COMPILER}},
                13, out);
  return out.str();
}

std::string estimator_text(const CatalogEntry& estimator) {
  std::ostringstream out;
  out << indented("", estimator.name + ": " + estimator.summary) << '\n'
      << (estimator.model.empty() ? "needs no model file"
                                  : "needs a model file: " + how_to_get_a_model(estimator.model))
      << "\n\n";
  if (estimator.options.empty()) {
    out << "It has no options.\n";
  } else {
    out << "options, written " << estimator.name << ":OPTION,OPTION,...\n";
    std::vector<Entry> entries;
    for (const OptionInfo& option : estimator.options)
      entries.push_back({spelling(option), help_with_default(option)});
    print_entries(entries, 26, out);
  }
  out << "\nexample\n  " << example_command(estimator) << '\n';
  return out.str();
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
