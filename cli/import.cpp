#include <ostream>

#include <chest/estimators/network/model_file.hpp>
#include <chest/file.hpp>

#include "calibration.hpp"
#include "commands.hpp"
#include "flags.hpp"
#include "terminal.hpp"
#include "trust.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

int import(const Args& args, Context& context) {
  std::string weights, file;
  bool force = false;
  ChannelFlags channels;
  CommonFlags common;
  CommandLine line("import", "WEIGHTS --out MODEL [--channels FILE --samples FIRST:END] [options]",
                   "Turns published network weights (HDF5, /state_dict/model.*, attribute "
                   "sim_params) into a model file. With channels, the number of calls per SNR is "
                   "calibrated on them; without, dmse runs 3 calls at every SNR.");
  line.flag("weights", &weights, "FILE", "HDF5 file with the weights; the word after import");
  line.output("out", &file, "model file to write (HDF5)");
  line.flag("force", &force, "replaces an existing model");
  channels.add(line);
  common.add(line, "of the noise that the calibration adds");
  line.positional("weights", 1);
  if (!line.parse(args, context)) return 0;
  line.require("weights", "the file with the weights");
  line.require("out", "the model file to write");
  check_output(file, force);

  NetworkModel model = import_published_weights(weights);
  if (line.given("channels")) {
    const Dataset dataset = channels.open();
    check_channels_fit(dataset.info(), model.n_rx, model.n_tx, "the weights are");
    const TerminalControl terminal(context.quiet);
    calibrate_model(model, channels.samples_of(dataset, channels.range(dataset)),
                    CalibrationRun::of(common, terminal.control()));
    add_tuning_data(model.tuning_data, dataset.info(), hash_file(dataset.info().file));
  }
  model.provenance.command_line = line.command_line();
  save(file, model);
  context.out << file << ": dmse, " << model.n_rx << "x" << model.n_tx << ", "
              << model.network.n_parameters() << " parameters"
              << (model.calibration.empty() ? "" : ", calibrated") << '\n';
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
