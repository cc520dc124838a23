#include "commands.hpp"

#include <algorithm>
#include <sstream>

namespace chest {
inline namespace v0 {
namespace cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> table{
      {"generate", "write channels of a model: scm, gmm, power-law, paths, tdl, cdl and others",
       &generate},
      {"info", "say what a file of channels, a model or results holds", &info},
      {"fit", "fit the model of an estimator on channels: lmmse, gmm, dmse, vae", &fit},
      {"import", "turn published network weights into a model file", &import},
      {"export", "write a model as ONNX, safetensors or a diffusers scheduler", &export_model},
      {"calibrate", "choose the calls and solvers of a dmse model for SNRs and pilots", &calibrate},
      {"adapt", "fit a dmse model to a site from received pilots, without its channels", &adapt},
      {"estimators", "list the estimators, or the options of one", &estimators},
      {"estimate", "estimate channels from a file of received pilots", &estimate},
      {"sweep", "NMSE of estimators over SNR and pilots", &sweep},
      {"link", "bit errors and rate, on grids block errors, of a link that uses the estimates",
       &link},
      {"code", "block errors of a channel code on AWGN: 5G LDPC, or an alist file", &code},
      {"conformance", "the PUSCH requirements of 3GPP TS 38.104, with the margin of estimators",
       &conformance},
      {"pilots", "choose pilots for a prior, beforehand or by what is received", &pilots},
      {"sample", "draw new channels from a fitted prior", &sample},
      {"compare", "tell whether two files of channels differ", &compare},
      {"analyze", "say what a prior learned", &analyze},
      {"plot", "draw results with gnuplot", &plot},
      {"merge", "put the shards of a run together", &merge},
  };
  return table;
}

const Command& command_named(const std::string& name) {
  const auto found = std::find_if(commands().begin(), commands().end(),
                                  [&](const Command& command) { return command.name == name; });
  if (found != commands().end()) return *found;
  std::vector<std::string> names;
  for (const Command& command : commands()) names.push_back(command.name);
  if (name.rfind('-', 0) == 0)
    refuse("unknown option " + name + did_you_mean(name, {"--help", "--version"}));
  refuse("there is no command '" + name + "'" + did_you_mean(name, names));
}

CommandHelp help_of(const Command& command, const Catalog& catalog) {
  CommandHelp help;
  std::ostringstream nowhere;
  Context context{nowhere, catalog, [&](const CommandHelp& shown) { help = shown; }};
  command.run({"--help"}, context);
  return help;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
