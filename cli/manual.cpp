#include "manual.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/provenance.hpp>
#include <chest/text.hpp>

#include "commands.hpp"
#include "help_text.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

/// Text as man(7) takes it: no escapes, no requests, hyphens that can be copied.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '|') {
      out += "|\\:";  // a line may be broken here
    } else {
      out += c;
    }
  }
  if (!out.empty() && (out[0] == '.' || out[0] == '\'')) out.insert(0, "\\&");
  return out;
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

void begin(std::ostream& out, const std::string& name, const std::string& summary,
           const std::string& usage, const std::string& description) {
  out << ".\\\" Made by chest from its own tables.\n.TH " << roff(upper(name)) << " 1 \"\" \"chest "
      << roff(version()) << "\" \"User Commands\"\n.nh\n.ad l\n.SH NAME\n"
      << roff(name) << " \\- " << roff(summary) << "\n.SH SYNOPSIS\n"
      << roff(usage) << "\n.SH DESCRIPTION\n"
      << roff(description) << '\n';
}

void entry(std::ostream& out, const std::string& left, const std::string& right) {
  out << ".TP\n\\fB" << roff(left) << "\\fR\n" << roff(right) << '\n';
}

void end(std::ostream& out, const std::vector<std::string>& others) {
  out << ".SH EXIT STATUS\n";
  entry(out, "0", "done");
  entry(out, "1", "failed, or interrupted");
  entry(out, "2", "misused: a flag, a value or the sizes of files do not fit");
  out << ".SH SEE ALSO\n";
  for (std::size_t i = 0; i < others.size(); ++i) {
    out << ".BR " << roff(others[i]) << " (1)" << (i + 1 < others.size() ? " ,\n" : "\n");
  }
}

std::string page_of(const std::string& command) { return "chest-" + command; }

std::string program_page() {
  std::ostringstream out;
  begin(out, "chest", "MIMO channel estimation with a diffusion-model prior",
        "chest COMMAND [options]",
        "Complex channel samples fit a prior; estimators that use it are compared over pilots and "
        "SNR. Results go to stdout, progress to stderr.");
  out << ".SH COMMANDS\n";
  std::vector<std::string> pages;
  for (const Command& command : commands()) {
    entry(out, command.name, command.summary);
    pages.push_back(page_of(command.name));
  }
  entry(out, "help COMMAND", "the flags of a command; also chest COMMAND --help");
  out << ".SH OPTIONS\n";
  entry(out, "--version", "the version, and what it was built with");
  end(out, pages);
  return out.str();
}

/// The options of every estimator.
void estimators_section(std::ostream& out, const Catalog& catalog) {
  out << ".SH ESTIMATORS\n";
  for (const CatalogEntry& estimator : catalog.entries()) {
    out << ".SS " << roff(estimator.name) << '\n' << roff(estimator.summary) << ".\n";
    if (!estimator.model.empty()) {
      out << "Needs a model file: " << roff(how_to_get_a_model(estimator.model)) << ".\n";
    }
    for (const OptionInfo& option : estimator.options)
      entry(out, spelling(option), help_with_default(option));
    out << ".PP\n.RS 4\n.nf\n" << roff(example_command(estimator)) << "\n.fi\n.RE\n";
  }
}

std::string command_page(const Command& command, const Catalog& catalog) {
  const CommandHelp help = help_of(command, catalog);
  std::ostringstream out;
  begin(out, page_of(command.name), command.summary, help.usage, help.summary);
  out << ".SH OPTIONS\n";
  for (const Section& section : help.sections) {
    out << ".SS " << roff(section.title) << '\n';
    for (const Flag& flag : section.flags) entry(out, spelling(flag), help_with_default(flag));
  }
  if (command.name == "estimators") estimators_section(out, catalog);
  std::vector<std::string> others{"chest"};
  if (command.name != "estimators") others.push_back(page_of("estimators"));
  end(out, others);
  return out.str();
}

}  // namespace

void write_manual(const std::filesystem::path& folder, const Catalog& catalog) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Error(ErrorKind::io, folder.string() + ": " + error.message());
  write_text_file(folder / "chest.1", program_page());
  for (const Command& command : commands()) {
    write_text_file(folder / (page_of(command.name) + ".1"), command_page(command, catalog));
  }
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
