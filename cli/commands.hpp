#pragma once

#include <string>
#include <vector>

#include "command_line.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// A command of the program: its name, one line on it, and the function that runs it and returns
/// the exit status.
struct Command {
  std::string name, summary;
  int (*run)(const Args&, Context&);
};

/// All of them, in the order of --help.
const std::vector<Command>& commands();
/// @throws Error(invalid_argument) suggesting the nearest name
const Command& command_named(const std::string& name);
/// What --help shows of a command.
CommandHelp help_of(const Command& command, const Catalog& catalog);

int generate(const Args& args, Context& context);
int info(const Args& args, Context& context);
int fit(const Args& args, Context& context);
int import(const Args& args, Context& context);
int export_model(const Args& args, Context& context);
int calibrate(const Args& args, Context& context);
int adapt(const Args& args, Context& context);
int estimate(const Args& args, Context& context);
int sweep(const Args& args, Context& context);
int link(const Args& args, Context& context);
int code(const Args& args, Context& context);
int conformance(const Args& args, Context& context);
int pilots(const Args& args, Context& context);
int sample(const Args& args, Context& context);
int compare(const Args& args, Context& context);
int analyze(const Args& args, Context& context);
int plot(const Args& args, Context& context);
int merge(const Args& args, Context& context);
int estimators(const Args& args, Context& context);

}  // namespace cli
}  // namespace v0
}  // namespace chest
