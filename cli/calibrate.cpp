#include <algorithm>
#include <memory>
#include <ostream>

#include <chest/error.hpp>
#include <chest/spec.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/file.hpp>
#include <chest/sim/sweep.hpp>
#include <chest/text.hpp>

#include "args.hpp"
#include "calibration.hpp"

namespace chest::cli {
namespace {

/// What dmse chooses from, at most 50 calls each.
constexpr const char* default_candidates =
    "ep,ep:damping=0.3,iterations=30,diffpir,diffpir:walk=fresh,to=0.1,levels=10,runs=5,"
    "diffpir:start=sbl,from=0.3,levels=10,"
    "diffpir:start=sbl,from=1,levels=10,"
    "diffpir:start=sbl,from=3,to=0.01,levels=10,"
    "diffpir:start=omp,from=3,to=0.03,levels=10,"
    "diffpir:start=sbl,walk=fresh,from=1,to=0.001,levels=10,runs=5,"
    "diffpir:start=sbl,walk=fresh,from=3,to=0.03,levels=8,runs=6,"
    "diffpir:start=omp,walk=fresh,from=3,to=0.001,levels=10,runs=5,"
    "diffpir:start=omp,walk=fresh,from=10,to=0.03,levels=10,runs=5";

std::string default_pilots(arma::uword n_tx) {
  std::string text;
  for (const char* kind : {"qpsk", "dft"}) {
    for (arma::uword quarter = 1; quarter <= 3; ++quarter) {
      const arma::uword n = quarter * n_tx / 4;
      if (n == 0) continue;
      text += std::string(text.empty() ? "" : ",") + kind + ":" + std::to_string(n);
    }
    if (std::string(kind) == "qpsk") text += ",qpsk:" + std::to_string(n_tx);
  }
  return text;
}

/// The best estimator of every point of a sweep, pilots by pilots.
std::vector<SolverChoice> choices_of(const sim::Results& results) {
  std::vector<SolverChoice> choices;
  for (const sim::Row& row : sim::rows(results)) {
    if (choices.empty() || choices.back().pilots != row.pilots) {
      SolverChoice choice;
      choice.pilots = row.pilots;
      const auto pilots =
          std::find_if(results.pilots.begin(), results.pilots.end(),
                       [&](const sim::Pilots& each) { return each.name == row.pilots; });
      choice.P = pilots->P;
      choice.snr_db = arma::sort(arma::vec(results.snr_db));
      choice.solvers.resize(results.snr_db.size());
      choice.mse.set_size(results.snr_db.size());
      choice.mse.fill(arma::datum::inf);
      choices.push_back(std::move(choice));
    }
    SolverChoice& choice = choices.back();
    const arma::uword i = arma::index_min(arma::abs(choice.snr_db - row.snr_db));
    if (row.nmse >= choice.mse(i)) continue;
    choice.mse(i) = row.nmse;
    choice.solvers[i] = row.estimator;
  }
  return choices;
}

}  // namespace

int calibrate(const Args& args, std::ostream& out) {
  std::string file, to, snr = "-10:5:30", pilots, candidates = default_candidates, device = "cpu";
  unsigned threads = 0;
  std::uint64_t seed = 1;
  arma::uword n_channels = 64;
  bool force = false, bfloat16 = false;
  ChannelFlags channels;
  CommandLine line(
      "calibrate",
      "chest calibrate MODEL --channels FILE [--samples a:b] [--pilots LIST] [options]",
      "Measures a diffusion model on channels that it was not fitted on: the number of calls per "
      "SNR and the error of\neach call, and for pilots that do not decorrelate the best solver per "
      "SNR, which dmse then runs. Pilots are added\nto those calibrated before. Of new pilots, "
      "dmse takes the solver of those most like them.");
  auto flag = line.flags().add_options();
  flag("model", optional_field(file), "model of kind dmse; the word after calibrate");
  flag("out", optional_field(to), "where to write it; left out: MODEL itself");
  flag("force", po::bool_switch(&force), "replace an existing file --out");
  channels.add(line.flags());
  flag("pilots", optional_field(pilots),
       "as in chest sweep; left out: qpsk and dft with a quarter, half and three quarters of n_tx "
       "slots, and qpsk with n_tx; none: no solvers");
  flag("snr", field(snr), "SNRs of the choice, as in chest sweep");
  flag("candidates", field(candidates), "estimators to choose from, as in chest sweep");
  flag("n-channels", field(n_channels), "channels of the choice, spread over --samples");
  flag("seed", field(seed), "of the noise");
  flag("threads", field(threads), "worker threads; 0: all processors");
  flag("device", field(device), "cpu, cuda, cuda:N or auto");
  flag("bfloat16", po::bool_switch(&bfloat16), "convolve in bfloat16 while choosing");
  line.positional("model", 1);
  if (!line.parse(args, out)) return 0;
  line.require("model", "usage: chest calibrate MODEL --channels FILE");
  line.require("channels", "channels that the model was not fitted on");
  if (to.empty()) {
    to = file;
  } else {
    check_output(to, force);
  }
  sim::SweepOptions options;
  options.snr_db = parse_range(snr, "--snr");
  for (const NamedOptions& candidate : parse_named_options_list(candidates)) {
    if (candidate.name == "dmse") {
      throw Error(ErrorKind::invalid_argument,
                  "chest calibrate: --candidates names dmse, which is to choose among them");
    }
    options.estimators.push_back(candidate.text);
  }

  NetworkModel model = load_network_model(file);
  const Dataset dataset = channels.open();
  const DatasetInfo& info = dataset.info();
  if (info.n_rx != model.n_rx || info.n_tx != model.n_tx) {
    throw Error(ErrorKind::invalid_argument,
                "chest calibrate: the channels are " + std::to_string(info.n_rx) + "x" +
                    std::to_string(info.n_tx) + ", the model is for " + std::to_string(model.n_rx) +
                    "x" + std::to_string(model.n_tx));
  }
  const auto range = channels.range(dataset);
  const SampleReader held_out =
      subrange(dataset.samples(), range.first, range.second - range.first);
  TerminalControl terminal;
  calibrate_model(model, held_out, device, bfloat16, seed, n_threads(threads), terminal.control());
  print(model.calibration, out);
  // The solvers are tried with the model as it will be.
  save(to, model);

  options.pilots.clear();
  if (pilots.empty()) pilots = default_pilots(model.n_tx);
  if (pilots == "none") return 0;
  for (const std::string& text : split(pilots, ',')) {
    options.pilots.push_back(sim::parse_pilots(text));
  }
  options.seed = seed;
  options.n_threads = threads;
  options.block = 16;
  options.wall_clock = device != "cpu";
  EstimatorContext context;
  context.n_rx = model.n_rx;
  context.n_tx = model.n_tx;
  context.device = device;
  context.models = std::make_shared<ModelStore>(std::vector<std::filesystem::path>{to});
  const auto make = [&](const std::string& name,
                        const std::shared_ptr<const ObservationOperator>& A) {
    EstimatorContext here = context;
    here.A = A;
    NamedOptions spec = parse_named_options(name);
    if (bfloat16) spec.options["bfloat16"] = "";
    return std::shared_ptr<const Estimator>(make_estimator(spec, here));
  };
  const sim::Results results =
      sim::run_sweep(spread(held_out, n_channels), {}, make, options, terminal.control());
  if (!results.finished()) {
    throw Error(ErrorKind::interrupted, "chest calibrate: interrupted; " + to +
                                            " holds the calls per SNR, the solvers are as before");
  }
  for (SolverChoice& choice : choices_of(results)) {
    print(choice, out);
    model.solvers.put(std::move(choice));
  }
  save(to, model);
  return 0;
}

}  // namespace chest::cli
