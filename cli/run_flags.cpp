#include "run_flags.hpp"

#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>
#include <ostream>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/spec.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/file.hpp>
#include <chest/sim/plot.hpp>
#include <chest/text.hpp>

namespace chest::cli {
namespace {

/// Blocks that keep a device busy; on a processor, blocks that stay near its cache.
constexpr arma::uword block_on_device = 512, block_on_cpu = 64;

bool is_own_csv(const std::string& file) {
  std::ifstream in(file);
  std::string start(17, '\0');
  in.read(start.data(), std::streamsize(start.size()));
  return start == "estimator,pilots,";
}

/// What the numbers come from, by content: names may change, hashes do not.
std::string describe_inputs(const Dataset& dataset, const std::vector<std::string>& models,
                            const std::string& device) {
  const DatasetInfo& info = dataset.info();
  nlohmann::ordered_json json;
  json["channels"] = {{"hash", hash_file(info.file)},
                      {"dataset", info.dataset},
                      {"axes", info.axes},
                      {"normalisation", to_string(info.normalisation)},
                      {"scale", info.scale}};
  for (const std::string& model : models) json["models"].push_back(hash_file(model));
  json["device"] = device;
  return json.dump();
}

}  // namespace

std::string estimator_help() {
  std::string text = "\n\nestimators:";
  for (const CatalogEntry& entry : built_in().entries()) {
    text += "\n  " + entry.name +
            std::string(8 - std::min<std::size_t>(entry.name.size(), 7), ' ') + entry.summary;
    for (const OptionInfo& option : entry.options) {
      text += "\n          " + entry.name + ":" + option.name +
              (option.placeholder.empty() ? "" : "=" + option.placeholder) + "  " + option.help;
    }
  }
  return text;
}

void RunFlags::add(CommandLine& line) {
  channels.add(line.flags());
  auto flag = line.flags().add_options();
  flag("estimators", field(estimators),
       "which, with options: ls,lmmse,genie,gmm,dmse,dmse:published,dmse:steps=1@model.h5");
  flag("model", optional_field(models)->composing(), "model file of an estimator; may be repeated");
  flag("snr", field(snr), "first:step:last or a list, in dB; write --snr=-10:5:20");
  flag("pilots", field(pilots),
       "list of identity, dft:N, hadamard:N, zadoff-chu:N, qpsk:N, file=P.h5[:DATASET]");
  flag("pilot-power", field(options.pilot_power), "||p||^2 per pilot slot");
  flag("out", optional_field(out), "results file (HDF5); an unfinished run continues from it");
  flag("csv", optional_field(csv), "the results as CSV");
  flag("plot", optional_field(plot), "the results as .svg, .png, .pdf, or .gp for gnuplot");
  flag("stop-rel", field(options.stop_rel), stop_rel_help.c_str());
  flag("shard", field(shard), "i/n: do the i-th of n parts; see chest merge");
  flag("device", field(device), "where networks run: auto, cpu, cuda, cuda:N");
  flag("threads", field(options.n_threads), "worker threads; 0: all processors");
  flag("block", field(block), "samples per block; 0: 64, or 512 on a device");
  flag("seed", field(options.seed),
       "same seed, same numbers, for any number of threads and shards");
  flag("force", po::bool_switch(&options.force), "replace existing files");
}

int execute(const CommandLine& line, RunFlags& flags, std::ostream& out,
            const std::function<sim::Results(const SampleReader&, const sim::CovarianceReader&,
                                             const sim::EstimatorFactory&, const sim::SweepOptions&,
                                             const RunControl&)>& run) {
  line.require("channels", "the file with the channels");
  sim::SweepOptions& options = flags.options;
  options.snr_db = parse_range(flags.snr, "--snr");
  options.pilots.clear();
  for (const std::string& text : split(flags.pilots, ','))
    options.pilots.push_back(sim::parse_pilots(text));
  const std::vector<NamedOptions> specs = built_in().parse(flags.estimators);
  options.estimators.clear();
  for (const NamedOptions& spec : specs) options.estimators.push_back(spec.text);
  options.shard = sim::parse_shard(flags.shard);
  const bool on_device = flags.device != "cpu";
  options.wall_clock = on_device;
  options.block = flags.block != 0 ? flags.block : on_device ? block_on_device : block_on_cpu;
  options.command_line = line.command_line();
  options.out = flags.out;
  // The results file itself is checked by its content: it may be this command's unfinished run.
  const bool may_continue =
      !options.force && !flags.out.empty() && std::filesystem::exists(flags.out);
  if (!flags.out.empty()) check_output(flags.out, options.force || may_continue);
  if (!flags.csv.empty())
    check_output(flags.csv, options.force || (may_continue && is_own_csv(flags.csv)));
  if (!flags.plot.empty()) {
    check_output(flags.plot, options.force || may_continue);
    sim::check_plot(flags.plot);
  }

  const Dataset dataset = flags.channels.open();
  std::tie(options.first, options.end) = flags.channels.range(dataset);
  std::vector<std::string> models = flags.models;
  for (const NamedOptions& spec : specs)
    if (!spec.file.empty() && std::find(models.begin(), models.end(), spec.file) == models.end())
      models.push_back(spec.file);
  EstimatorContext context;
  context.n_rx = dataset.info().n_rx;
  context.n_tx = dataset.info().n_tx;
  context.models = std::make_shared<ModelStore>(
      std::vector<std::filesystem::path>(flags.models.begin(), flags.models.end()));
  if (std::optional<GaussianMixture> prior = dataset.prior())
    context.prior = std::make_shared<const GaussianMixture>(std::move(*prior));
  context.device = flags.device;
  context.has_genie_covariances = dataset.info().has_covariances;
  const auto make = [&](const std::string& name,
                        const std::shared_ptr<const ObservationOperator>& A) {
    EstimatorContext here = context;
    here.A = A;
    return std::shared_ptr<const Estimator>(make_estimator(parse_named_options(name), here));
  };
  options.inputs = describe_inputs(dataset, models, flags.device);
  sim::CovarianceReader covariances;
  if (dataset.info().has_covariances)
    covariances = [&](arma::uword first, arma::uword count) {
      return dataset.read_covariances(first, count);
    };

  sim::Results results;
  {
    TerminalControl terminal;
    RunControl control = terminal.control();
    control.on_warning = &warn;
    results = run(dataset.samples(), covariances, make, options, control);
  }
  write_csv_and_plot(results, flags.csv, results.finished() ? flags.plot : "");
  out << sim::to_table(results);
  if (results.finished()) return 0;
  throw Error(ErrorKind::interrupted,
              line.command() + ": interrupted" +
                  (flags.out.empty() ? "; with --out the run could be continued"
                                     : "; run the same command again to continue"));
}

void write_csv_and_plot(const sim::Results& results, const std::string& csv,
                        const std::string& plot) {
  if (!csv.empty()) write_text_file(csv, sim::to_csv(results));
  if (!plot.empty()) sim::plot({{"", results}}, plot);
}

}  // namespace chest::cli
