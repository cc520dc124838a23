#include <chest/cli/run.hpp>

#include <csignal>
#include <exception>
#include <iostream>
#include <new>

#include <chest/error.hpp>
#include <chest/parallel.hpp>

#include "commands.hpp"
#include "completion.hpp"
#include "help_text.hpp"
#include "manual.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

int run_command(const Command& command, const Args& args, const Catalog& catalog) {
  Context context{std::cout, catalog,
                  [](const CommandHelp& help) { std::cout << command_text(help); }};
  return command.run(args, context);
}

int help(const Args& args, const Catalog& catalog) {
  if (args.empty()) {
    std::cout << program_text();
    return 0;
  }
  return run_command(command_named(args.front()), {"--help"}, catalog);
}

/// @param running  set to "chest COMMAND" once that is known, for messages
int run_words(const Args& words, const Catalog& catalog, std::string& running) {
  if (words.empty()) {
    std::cerr << program_text();
    return 2;
  }
  const std::string& name = words.front();
  const Args args(words.begin() + 1, words.end());
  if (name == "--help" || name == "-h" || name == "help") return help(args, catalog);
  if (name == "--version") {
    std::cout << version_text();
    return 0;
  }
  // For the build, which installs what these write.
  if (name == "--man" && args.size() == 1) {
    write_manual(args.front(), catalog);
    return 0;
  }
  if (name == "--bash-completion") {
    std::cout << bash_completion(catalog);
    return 0;
  }
  const Command& command = command_named(name);
  running += " " + name;
  return run_command(command, args, catalog);
}

}  // namespace

int run(int argc, char** argv, const Catalog& catalog) {
  // A file at the limit of its size and a pipe without a reader fail like a full disk, with a
  // sentence, and after what was computed is saved.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  const OneBlasThread one_blas_thread;
  std::string running = "chest";
  try {
    const int status = run_words(Args(argv + 1, argv + argc), catalog, running);
    std::cout.flush();
    if (std::cout) return status;
    std::cerr << running << ": writing to stdout failed\n";
  } catch (const Error& error) {
    std::cerr << running << ": " << error.what() << '\n';
    return error.kind() == ErrorKind::invalid_argument ? 2 : 1;
  } catch (const std::bad_alloc&) {
    std::cerr << running << ": out of memory\n";
  } catch (const std::exception& error) {
    std::cerr << running << ": " << error.what() << '\n';
  }
  return 1;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
