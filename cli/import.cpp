#include <ostream>

#include <chest/estimators/catalog/model_store.hpp>
#include <chest/estimators/network/exchange.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/scheduler_config.hpp>
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
  ImportOptions options;
  std::string params, scheduler;
  bool force = false;
  ChannelFlags channels;
  CommonFlags common;
  CommandLine line(
      "import", "WEIGHTS --out MODEL [--channels FILE --samples FIRST:END] [options]",
      "Turns the weights of the published networks (.pt, safetensors, or HDF5 with "
      "/state_dict/model.* and sim_params), or a model that chest export wrote, into a "
      "model file. With channels, the number of calls per SNR is calibrated on them; "
      "without, dmse runs 3 calls at every SNR.");
  line.flag("weights", &weights, "FILE", "file with the weights; the word after import");
  line.flag("params", &params, "FILE",
            "sim_params.json of .pt and safetensors; left out: that beside the weights");
  line.flag(
      "scheduler", &scheduler, "FILE",
      "scheduler_config.json of diffusers: its betas and prediction in place of the weights'");
  line.output("out", &file, "model file to write (HDF5)");
  line.flag("force", &force, "replaces an existing model");
  channels.add(line);
  common.add(line, "of the noise that the calibration adds");
  line.positional("weights", 1);
  if (!line.parse(args, context)) return 0;
  line.require("weights", "the file with the weights");
  line.require("out", "the model file to write");
  check_output(file, force);

  if (scheduler.empty() && !line.given("channels") && is_model_in_safetensors(weights)) {
    restore_from_safetensors(weights, file);
    const ModelStore::Info restored = ModelStore().look_at(file);
    context.out << file << ": " << restored.kind << ", " << restored.n_rx << "x" << restored.n_tx
                << ", as it was exported\n";
    return 0;
  }
  options.params = params;
  options.scheduler = scheduler;
  if (!scheduler.empty()) {
    for (const std::string& doubt : read_scheduler_config(scheduler).doubts) warn(doubt);
  }
  NetworkModel model = import_network(weights, options);
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
