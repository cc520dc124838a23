#include <chest/sim/conformance.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <ostream>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/text.hpp>

#include "commands.hpp"
#include "flags.hpp"
#include "link_flags.hpp"
#include "run_flags.hpp"
#include "terminal.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

constexpr const char* shipped_model = "tdl_pusch.h5";

/// The model of tapped delay lines that comes with chest; empty: it is not there.
std::string find_shipped_model() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  std::vector<std::filesystem::path> places;
  if (!error) places.push_back(program.parent_path() / CHEST_MODELS_FROM_PROGRAM);
  places.emplace_back(CHEST_MODELS_OF_SOURCE);
  for (const std::filesystem::path& place : places)
    if (std::filesystem::is_regular_file(place / shipped_model, error))
      return (place / shipped_model).lexically_normal().string();
  return {};
}

}  // namespace

int conformance(const Args& args, Context& context) {
  sim::ConformanceOptions options;
  ReceiverFlags receiver;
  std::string cells = "5MHz-15kHz", estimators, shard = "1/1";
  std::vector<std::string> models;
  RunOutputs outputs;
  CommonFlags common;
  CommandLine line("conformance",
                   "[--cells LIST] [--estimators LIST] [--model FILE ...] [--out FILE] [options]",
                   "The PUSCH requirements of 3GPP TS 38.104 (docs/link.md): for every cell and "
                   "estimator the SNR "
                   "at which 70 % of the greatest throughput passes, and the margin to the SNR "
                   "that is required.");
  line.section("what is run");
  line.flag(
      "cells", &cells, "LIST",
      "all, or names as in 5MHz-15kHz-A3-1x2 (bandwidth, spacing, reference channel A3, A4 or "
      "A5, layers x receive antennas), also their beginnings");
  line.flag("estimators", &estimators, "ESTIMATORS",
            "a list as of chest sweep; lmmse without a model knows the cell's profile; perfect is "
            "the "
            "channel itself. Default: ls, lmmse, dmse where its model is there, perfect")
      .default_text = "";
  line.flag(
      "model", &models, "FILE",
      "model file of an estimator; may be repeated. Without one: models/tdl_pusch.h5 of chest");
  line.flag("slots", &options.n_slots, "N",
            "transport blocks at an SNR; retransmissions come on top");
  add_shard_flag(line, shard);
  line.section("receiver");
  receiver.add(line);
  line.section("output");
  outputs.add(line);
  common.add(line, "same seed, same numbers, for any number of threads and shards");
  if (!line.parse(args, context)) return 0;

  options.cells = sim::parse_cells(cells);
  if (models.empty()) {
    const std::string shipped = find_shipped_model();
    if (!shipped.empty()) models.push_back(shipped);
  }
  const auto store = std::make_shared<ModelStore>(
      std::vector<std::filesystem::path>(models.begin(), models.end()));
  const auto has_model = [&](const std::string& kind) {
    const std::vector<ModelStore::Info> files = store->files();
    return std::any_of(files.begin(), files.end(),
                       [&](const ModelStore::Info& info) { return info.kind == kind; });
  };
  if (estimators.empty())
    estimators = has_model("dmse") ? "ls,lmmse,dmse,perfect" : "ls,lmmse,perfect";
  // "perfect" is no row of the catalog: split around it.
  std::vector<NamedOptions> rows_of_catalog;
  for (const NamedOptions& spec : parse_named_options_list(estimators, [&] {
         std::vector<std::string> names = context.catalog.names();
         names.push_back("perfect");
         return names;
       }())) {
    options.estimators.push_back(spec.text);
    if (spec.name == "perfect") continue;
    context.catalog.entry(spec.name);
    rows_of_catalog.push_back(spec);
  }
  receiver.fill(line, options.receiver);
  options.seed = common.seed;
  options.n_threads = common.n_threads();
  options.shard = outputs.choose_shard(shard);
  const bool draws = outputs.check(
      [](const std::string& file) { return sim::to_csv(sim::load_conformance(file)); });
  options.out = outputs.out;
  options.force = outputs.force;
  options.command_line = line.command_line();
  EstimatorContext loaded;
  loaded.models = store;
  common.choose_networks(loaded);
  const auto known_of = [&](const sim::ConformanceCell& cell) {
    EstimatorContext known = loaded;
    known.n_rx = cell.n_rx;
    known.n_tx = cell.n_layers;
    known.grid = cell.grid();
    return known;
  };
  nlohmann::ordered_json inputs;
  describe_estimators(all_models(models, rows_of_catalog), rows_of_catalog, context.catalog,
                      known_of(options.cells.front()), inputs);
  options.inputs = inputs.dump();

  const sim::CellEstimatorFactory make =
      [&](const sim::ConformanceCell& cell, const std::string& name,
          const std::shared_ptr<const ObservationOperator>& A,
          const std::shared_ptr<const GridCovariance>& covariance) {
        EstimatorContext known = known_of(cell);
        known.grid_covariance = covariance;
        const bool by_profile = name == "lmmse" && !has_model("lmmse");
        const NamedOptions spec =
            parse_named_options(by_profile ? "lmmse:pdp=" + cell.profile : name);
        return make_for(context.catalog, spec, known, A);
      };
  sim::ConformanceResults results;
  {
    const TerminalControl terminal(context.quiet);
    RunControl control = terminal.control();
    control.on_warning = &warn;
    results = sim::run_conformance(options, make, control);
  }
  if (!outputs.csv.empty()) write_text_file(outputs.csv, sim::to_csv(results));
  if (draws && results.finished) sim::plot(results, outputs.plot);
  context.out << sim::to_table(results);
  if (!results.finished) outputs.refuse_unfinished();
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
