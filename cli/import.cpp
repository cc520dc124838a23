#include <ostream>

#include <chest/error.hpp>
#include <chest/estimators/network/model_file.hpp>

#include "args.hpp"
#include "calibration.hpp"

namespace chest::cli {

int import(const Args& args, std::ostream& out) {
  std::string weights, file, device = "cpu";
  unsigned threads = 0;
  std::uint64_t seed = 1;
  bool force = false;
  ChannelFlags channels;
  CommandLine line(
      "import", "chest import WEIGHTS --out MODEL [--channels FILE --samples a:b]",
      "Turns the authors' weights (HDF5, /state_dict/model.*, attribute sim_params) into a "
      "model file. With channels,\nthe number of calls per SNR is calibrated on them; "
      "without, dmse runs 3 calls at every SNR.");
  auto flag = line.flags().add_options();
  flag("weights", optional_field(weights), "HDF5 file with the weights; the word after import");
  flag("out", optional_field(file), "model file to write (HDF5)");
  flag("force", po::bool_switch(&force), "replace an existing model");
  channels.add(line.flags());
  flag("seed", field(seed), "of the calibration's noise");
  flag("threads", field(threads), "worker threads of the calibration; 0: all processors");
  flag("device", field(device), "of the calibration: cpu, cuda, cuda:N or auto");
  line.positional("weights", 1);
  if (!line.parse(args, out)) return 0;
  line.require("weights", "usage: chest import WEIGHTS --out MODEL");
  line.require("out", "the model file to write");
  check_output(file, force);

  NetworkModel model = import_published_weights(weights);
  if (line.given("channels")) {
    const Dataset dataset = channels.open();
    const DatasetInfo& info = dataset.info();
    if (info.n_rx != model.n_rx || info.n_tx != model.n_tx) {
      throw Error(ErrorKind::invalid_argument,
                  "chest import: the channels are " + std::to_string(info.n_rx) + "x" +
                      std::to_string(info.n_tx) + ", the weights are for " +
                      std::to_string(model.n_rx) + "x" + std::to_string(model.n_tx));
    }
    const auto range = channels.range(dataset);
    TerminalControl terminal;
    calibrate_model(model, subrange(dataset.samples(), range.first, range.second - range.first),
                    device, false, seed, n_threads(threads), terminal.control());
  }
  model.provenance.command_line = line.command_line();
  save(file, model);
  out << file << ": dmse, " << model.n_rx << "x" << model.n_tx << ", "
      << model.network.n_parameters() << " parameters"
      << (model.calibration.empty() ? "" : ", calibrated") << '\n';
  return 0;
}

}  // namespace chest::cli
