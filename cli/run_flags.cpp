#include "run_flags.hpp"

#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>
#include <ostream>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/file.hpp>
#include <chest/sim/plot.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

#include "side.hpp"
#include "terminal.hpp"
#include "trust.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

/// Blocks that keep a device busy; on a processor, blocks that stay near its cache.
constexpr arma::uword block_on_device = 512, block_on_cpu = 64;
/// Entries of the channels of a block: its buffers stay below some hundred megabytes.
constexpr arma::uword most_entries = arma::uword{1} << 21;

arma::uword default_block(arma::uword n_h, bool on_device) {
  return std::clamp<arma::uword>(most_entries / n_h, 1, on_device ? block_on_device : block_on_cpu);
}

/// Whether a table holds nothing but lines of these results: an earlier part of the same run.
bool is_of_results(const std::string& csv, const std::string& results_file,
                   const std::function<std::string(const std::string&)>& csv_of) {
  std::vector<std::string> known;
  try {
    known = split(csv_of(results_file), '\n');
  } catch (const Error&) {
    return true;  // the run will say that it cannot continue from them
  }
  std::ifstream in(csv);
  for (std::string line; std::getline(in, line);)
    if (std::find(known.begin(), known.end(), line) == known.end()) return false;
  return true;
}

/// Warns of channels that models know already, and says for each estimator that uses such a model
/// what it saw: "fitted on samples 0:1500 of these channels".
nlohmann::ordered_json fitted_on(const DatasetInfo& info, const std::string& hash,
                                 const std::vector<std::string>& models,
                                 const std::vector<NamedOptions>& estimators,
                                 const Catalog& catalog, ModelStore& store) {
  nlohmann::ordered_json json;
  for (const std::string& model : models) {
    std::vector<std::string> texts;
    for (const Seen& seen : seen_by(model, info, hash, info.asked)) {
      warn_of(seen);
      texts.push_back(seen.text());
    }
    if (texts.empty()) continue;
    const std::string kind = store.look_at(model).kind;
    for (const NamedOptions& spec : estimators) {
      const bool uses =
          spec.file.empty() ? catalog.entry(spec.name).model == kind : spec.file == model;
      if (uses) json[spec.text] = enumerate(texts);
    }
  }
  return json;
}

/// What the numbers come from, by content: names may change, hashes do not.
std::string describe_inputs(const Dataset& dataset, const std::string& side,
                            const std::vector<std::string>& models,
                            const std::vector<NamedOptions>& estimators, const Catalog& catalog,
                            const EstimatorContext& known) {
  const DatasetInfo& info = dataset.info();
  nlohmann::ordered_json json;
  const std::string hash = hash_file(info.file);
  json["channels"] = {{"hash", hash},
                      {"dataset", info.dataset},
                      {"axes", info.axes},
                      {"normalisation", to_string(info.normalisation)},
                      {"scale", info.scale}};
  if (info.grid.is_grid())
    json["channels"]["grid"] = {{"n_subcarriers", info.grid.n_subcarriers},
                                {"n_symbols", info.grid.n_symbols},
                                {"spacing_hz", info.grid.spacing_hz}};
  if (!side.empty()) json["side"] = describe_side(side);
  describe_estimators(models, estimators, catalog, known, json);
  const auto seen = fitted_on(info, hash, models, estimators, catalog, *known.models);
  if (!seen.empty()) json["fitted_on"] = seen;
  return json.dump();
}

/// What the flags say of the run, but for the range of samples.
void fill_options(RunFlags& flags, const CommandLine& line, const Catalog& catalog) {
  sim::SweepOptions& options = flags.options;
  options.snr_db = parse_range(flags.snr, "--snr");
  options.pilots = sim::parse_pilots_list(flags.pilots);
  options.estimators.clear();
  for (const NamedOptions& spec : catalog.parse(flags.estimators))
    options.estimators.push_back(spec.text);
  options.seed = flags.common.seed;
  options.n_threads = flags.common.threads;
  options.shard = flags.outputs.choose_shard(flags.shard);
  const bool on_device = flags.common.device != "cpu";
  options.wall_clock = on_device;
  options.block = flags.block;
  options.command_line = line.command_line();
  options.out = flags.outputs.out;
  options.force = flags.outputs.force;
}

/// What estimators know of sizes, models and channels; A is left open.
EstimatorContext knowledge(const RunFlags& flags, const Dataset& dataset) {
  EstimatorContext known;
  known.n_rx = dataset.info().n_rx;
  known.n_tx = dataset.info().n_tx;
  known.grid = dataset.info().grid;
  known.rx_panel = dataset.info().rx_panel;
  known.models = std::make_shared<ModelStore>(
      std::vector<std::filesystem::path>(flags.models.begin(), flags.models.end()));
  if (std::optional<GaussianMixture> prior = dataset.prior())
    known.prior = std::make_shared<const GaussianMixture>(std::move(*prior));
  flags.common.choose_networks(known);
  known.has_genie_covariances = dataset.info().has_covariances;
  if (std::optional<GridCovariance> covariance = dataset.grid_covariance())
    known.grid_covariance = std::make_shared<const GridCovariance>(std::move(*covariance));
  return known;
}

}  // namespace

void add_shard_flag(CommandLine& line, std::string& shard) {
  line.flag("shard", &shard, "I/N|auto",
            "a part of the run for chest merge; auto: by Slurm or mpirun");
}

void RunOutputs::add(CommandLine& line) {
  line.output("out", &out, "results file (HDF5); an unfinished run continues from it");
  line.output("csv", &csv, "also the results as CSV");
  line.output("plot", &plot,
              "also a figure, a name in .svg, .png, .pdf, or .gp for gnuplot commands");
  line.flag("force", &force, "replaces existing files");
}

sim::Shard RunOutputs::choose_shard(const std::string& text) {
  if (text != "auto") return sim::parse_shard(text);
  const sim::Shard shard = sim::shard_of_environment();
  for (const auto& [name, value] :
       {std::pair{"--out", &out}, std::pair{"--csv", &csv}, std::pair{"--plot", &plot}}) {
    const std::string mark = "{shard}";
    const std::size_t at = value->find(mark);
    if (at != std::string::npos) {
      value->replace(at, mark.size(),
                     std::to_string(shard.index) + "-of-" + std::to_string(shard.count));
    } else if (shard.count > 1 && !value->empty()) {
      refuse(std::string(name) + " " + *value + ": " + std::to_string(shard.count) +
             " processes would write it; put {shard} into the name, as in part-{shard}.h5");
    }
  }
  return shard;
}

bool RunOutputs::check(const std::function<std::string(const std::string&)>& csv_of) const {
  std::error_code error;
  // The results file itself is checked by its content: it may be this command's unfinished run.
  const bool may_continue = !force && !out.empty() && std::filesystem::exists(out, error);
  if (!out.empty()) check_output(out, force || may_continue);
  if (!csv.empty()) {
    const bool is_own = may_continue && std::filesystem::is_regular_file(csv, error) &&
                        is_of_results(csv, out, csv_of);
    if (may_continue && !is_own && std::filesystem::is_regular_file(csv, error))
      refuse(csv + ": exists and holds other lines than " + out +
             "; give another name, or take it away");
    check_output(csv, force || is_own);
  }
  if (plot.empty()) return false;
  check_output(plot, force || may_continue);
  sim::check_plot(plot);
  if (!may_continue || !std::filesystem::exists(plot, error)) return true;
  warn(plot + " exists and stays as it is; chest plot " + out + " --out " + plot +
       " --force draws it again");
  return false;
}

void RunOutputs::refuse_unfinished() const {
  throw Error(
      ErrorKind::interrupted,
      std::string("interrupted") + (out.empty() ? "; with --out the run could be continued"
                                                : "; run the same command again to continue"));
}

std::vector<std::string> all_models(const std::vector<std::string>& models,
                                    const std::vector<NamedOptions>& estimators) {
  std::vector<std::string> all = models;
  for (const NamedOptions& spec : estimators)
    for (const std::string& file : files_of(spec))
      if (std::find(all.begin(), all.end(), file) == all.end()) all.push_back(file);
  return all;
}

void describe_estimators(const std::vector<std::string>& models,
                         const std::vector<NamedOptions>& estimators, const Catalog& catalog,
                         const EstimatorContext& known, nlohmann::ordered_json& json) {
  nlohmann::ordered_json options;
  for (const NamedOptions& spec : estimators)
    options[spec.text] = nlohmann::ordered_json::parse(catalog.options_json(spec));
  for (const std::string& model : models) json["models"].push_back(hash_file(model));
  json["device"] = known.device;
  for (const NamedOptions& spec : estimators) {
    const std::string engine = catalog.engine(spec, known);
    if (!engine.empty()) json["engine"][spec.text] = engine;
  }
  json["estimator_options"] = std::move(options);
}

void RunFlags::add(CommandLine& line) {
  channels.add(line);
  line.section("what is run");
  line.flag("estimators", &estimators, "ESTIMATORS",
            "as in ls,dmse:steps=1,dmse@other.h5; chest estimators lists them");
  line.flag("model", &models, "FILE", "model file of an estimator; may be repeated");
  line.flag("side", &side, "FILE[:DATASET]",
            "what else is known of each channel, for networks fitted with --side");
  line.flag("snr", &snr, "RANGE", "in dB: first:step:last, or a list");
  line.flag(
      "pilots", &pilots, "PILOTS",
      "identity, dft:N, hadamard:N, zadoff-chu:N, qpsk:N, file=P.h5[:DATASET]; grids: comb:K, "
      "block, dmrs, file=..");
  line.flag("pilot-power", &options.pilot_power, "X", "||p||^2 per pilot slot");
  line.flag("stop-rel", &options.stop_rel, "X",
            "ends points whose " + stops_at + " is known to +- this part (95 %); 0: none")
      .default_text = "";
  add_shard_flag(line, shard);
  line.section("output");
  outputs.add(line);
  common.add(line, "same seed, same numbers, for any number of threads and shards");
  line.flag("block", &block, "N", "samples per block; 0: 64, or 512 on a device").most =
      1'000'000'000;
}

int execute(const CommandLine& line, RunFlags& flags, Context& context,
            const std::function<std::optional<sim::Results>(
                const SampleReader&, const sim::CovarianceReader&, const sim::EstimatorFactory&,
                const sim::SweepOptions&, const RunControl&)>& run) {
  line.require("channels", "the file with the channels");
  sim::SweepOptions& options = flags.options;
  fill_options(flags, line, context.catalog);
  const bool draws = flags.outputs.check(
      [](const std::string& file) { return sim::to_csv(sim::load_results(file)); });
  const Dataset dataset = flags.channels.open();
  const SampleRange range = flags.channels.range(dataset);
  if (options.block == 0) {
    options.block = default_block(dataset.info().n_h(), flags.common.device != "cpu");
  }
  options.first = range.first;
  options.end = range.end;
  options.left_out = dataset.info().bad.all;
  const EstimatorContext known = knowledge(flags, dataset);
  const std::vector<NamedOptions> estimators = context.catalog.parse(flags.estimators);
  const std::vector<std::string> models = all_models(flags.models, estimators);
  if (!flags.side.empty()) {
    check_takes_side(models, *known.models);
    options.side = open_side(flags.side, dataset);
  }
  options.inputs = describe_inputs(dataset, flags.side, models, estimators, context.catalog, known);
  sim::CovarianceReader covariances;
  if (dataset.info().has_covariances)
    covariances = [&](arma::uword first, arma::uword count) {
      return dataset.read_covariances(first, count);
    };

  std::optional<sim::Results> found;
  {
    const TerminalControl terminal(context.quiet);
    RunControl control = terminal.control();
    control.on_warning = &warn;
    found = run(dataset.samples(), covariances, estimator_factory(context.catalog, known), options,
                control);
  }
  if (!found) return 0;
  const sim::Results& results = *found;
  write_csv_and_plot(results, flags.outputs.csv,
                     draws && results.finished() ? flags.outputs.plot : "");
  context.out << sim::to_table(results);
  if (!results.finished()) flags.outputs.refuse_unfinished();
  return 0;
}

void write_csv_and_plot(const sim::Results& results, const std::string& csv,
                        const std::string& plot) {
  if (!csv.empty()) write_text_file(csv, sim::to_csv(results));
  if (!plot.empty()) sim::plot({{"", results}}, plot);
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
