#include <chest/cli/run.hpp>

#include <algorithm>
#include <exception>
#include <iostream>
#include <new>

#include <chest/error.hpp>
#include <chest/parallel.hpp>
#include <chest/provenance.hpp>
#include <chest/text.hpp>

#include "args.hpp"

namespace {

using chest::cli::Args;

struct Command {
  const char* name;
  const char* summary;
  int (*run)(const Args&, std::ostream&);
};

constexpr Command commands[] = {
    {"generate", "write channels of a model: scm, rayleigh, kronecker, gmm", &chest::cli::generate},
    {"info", "say what a file of channels, a model or results holds", &chest::cli::info},
    {"fit", "fit an estimator's model on channels: lmmse, gmm, dmse", &chest::cli::fit},
    {"import", "turn published weights into a model file", &chest::cli::import},
    {"calibrate", "choose calls and solvers of a model, for SNRs and pilots",
     &chest::cli::calibrate},
    {"estimate", "estimate channels from a file of received pilots", &chest::cli::estimate},
    {"sweep", "NMSE of estimators over SNR and pilots", &chest::cli::sweep},
    {"link", "SER, BER and rate of a link that uses the estimates", &chest::cli::link},
    {"pilots", "choose pilots for a prior, beforehand or by what is received", &chest::cli::pilots},
    {"plot", "draw results with gnuplot", &chest::cli::plot},
    {"merge", "put the shards of a run together", &chest::cli::merge},
};

void print_usage(std::ostream& out) {
  out << "chest " << chest::version() << " (" << chest::commit()
      << "): MIMO channel estimation with a diffusion-model prior\n\n"
         "usage: chest COMMAND [options]      chest COMMAND --help\n\n";
  for (const Command& command : commands) {
    out << "  " << command.name << std::string(12 - std::string(command.name).size(), ' ')
        << command.summary << '\n';
  }
  out << "\nResults go to stdout, progress to stderr. Exit status: 0 done, 1 failed, 2 misused.\n";
}

int run_command(const Args& words) {
  if (words.empty()) {
    print_usage(std::cerr);
    return 2;
  }
  const std::string& name = words.front();
  if (name == "--help" || name == "-h" || name == "help") {
    print_usage(std::cout);
    return 0;
  }
  if (name == "--version") {
    std::cout << "chest " << chest::version() << " (" << chest::commit() << ")\n";
    return 0;
  }
  const auto command = std::find_if(std::begin(commands), std::end(commands),
                                    [&](const Command& c) { return name == c.name; });
  if (command == std::end(commands)) {
    std::vector<std::string> names;
    for (const Command& c : commands) names.emplace_back(c.name);
    const std::string near = chest::nearest(name, names);
    std::cerr << "chest: there is no command " << name
              << (near.empty() ? "; see chest --help" : "; did you mean " + near + "?") << '\n';
    return 2;
  }
  const int status = command->run(Args(words.begin() + 1, words.end()), std::cout);
  std::cout.flush();
  if (!std::cout) {
    std::cerr << "chest: writing to stdout failed\n";
    return 1;
  }
  return status;
}

}  // namespace

namespace chest::cli {

int run(int argc, char** argv) {
  const chest::OneBlasThread one_blas_thread;
  try {
    return run_command(Args(argv + 1, argv + argc));
  } catch (const chest::Error& error) {
    std::cerr << "chest: " << error.what() << '\n';
    return error.kind() == chest::ErrorKind::invalid_argument ? 2 : 1;
  } catch (const std::bad_alloc&) {
    std::cerr << "chest: out of memory\n";
  } catch (const std::exception& error) {
    std::cerr << "chest: " << error.what() << '\n';
  }
  return 1;
}

}  // namespace chest::cli
