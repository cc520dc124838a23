#include <algorithm>
#include <chrono>
#include <memory>
#include <ostream>
#include <utility>

#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/common/enum_names.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/inference/precision.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/file.hpp>
#include <chest/sim/sweep.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

#include "calibration.hpp"
#include "commands.hpp"
#include "flags.hpp"
#include "terminal.hpp"
#include "trust.hpp"
#include "tuning.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

/// What dmse chooses from, at most 50 calls each.
constexpr const char* default_candidates =
    "lmmse,ep,ep:damping=0.3,iterations=30,ep:variance=angular,fallback=lmmse,"
    "diffpir,"
    "diffpir:walk=fresh,to=0.1,levels=10,runs=5,"
    "diffpir:start=lmmse,from=0.1,levels=8,"
    "diffpir:start=lmmse,from=0.3,levels=10,"
    "diffpir:start=lmmse,walk=fresh,from=1,to=0.1,levels=8,runs=5,"
    "diffpir:start=sbl,from=0.3,levels=10,"
    "diffpir:start=sbl,from=1,levels=10,"
    "diffpir:start=sbl,from=3,to=0.01,levels=10,"
    "diffpir:start=omp,from=3,to=0.03,levels=10,"
    "diffpir:start=sbl,walk=fresh,from=1,to=0.001,levels=10,runs=5,"
    "diffpir:start=sbl,walk=fresh,from=3,to=0.03,levels=8,runs=6,"
    "diffpir:start=omp,walk=fresh,from=3,to=0.001,levels=10,runs=5,"
    "diffpir:start=omp,walk=fresh,from=10,to=0.03,levels=10,runs=5";

/// Besides, for a network that predicts its error per angle.
constexpr const char* candidates_with_a_head =
    ",ep:variance=head,damping=0.1,iterations=5,fallback=lmmse,"
    "ep:variance=head,damping=0.2,iterations=10,fallback=lmmse";

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

struct CalibrateOptions {
  std::string file, to, snr = "-10:5:30", pilots, candidates = default_candidates;
  std::string methods, budgets = "ours,published";
  arma::uword n_channels = 64;
  double mean_calls = 0.0;
  bool force = false, bfloat16 = false, precision_only = false, full = false, solvers_only = false;
  ChannelFlags channels;
  CommonFlags common;
};

void declare(CommandLine& line, CalibrateOptions& o) {
  line.flag("model", &o.file, "FILE", "model of kind dmse; the word after calibrate");
  line.output("out", &o.to, "where to write it; left out: MODEL itself");
  line.flag("force", &o.force, "replaces an existing file --out");
  line.flag("precision-only", &o.precision_only,
            "measures only what less than float32 costs, and leaves the rest as it is");
  line.flag("full", &o.full,
            "also stores the covariances of the errors, for opc:variance=full; up to 256 entries");
  line.flag(
      "calls", &o.mean_calls, "X",
      "most calls of an estimate, in the mean over -15:5:40 dB; 0: the fewest within 0.03 dB of "
      "the best");
  o.channels.add(line);
  line.section("choice of solvers");
  line.flag("pilots", &o.pilots, "PILOTS",
            "as in chest sweep; none: no solvers; left out: qpsk and dft with a quarter, half and "
            "three quarters of n_tx slots, and qpsk with n_tx");
  line.flag("snr", &o.snr, "RANGE", "SNRs of the choice, in dB");
  line.flag(
      "solvers-only", &o.solvers_only,
      "chooses solvers, and leaves the rest as it is, but for second moments that are not there");
  line.flag("candidates", &o.candidates, "ESTIMATORS",
            "estimators to choose from, as in chest sweep")
      .default_text = "lmmse, ep, diffpir and settings of the two";
  line.flag("n-channels", &o.n_channels, "N", "channels of the choice, spread over --samples");
  line.section("other methods (what is measured above stays as it is)");
  line.flag(
      "method", &o.methods, "LIST",
      "finds the parameters of these methods instead, per pilots and SNR, which their option tuned "
      "then runs: " +
          enumerate(tunable_methods()));
  line.flag(
      "budget", &o.budgets, "LIST",
      "ours: at most 50 calls, as dmse; published: as many as where the method was published");
  o.common.add(line, "of the noise");
  line.flag("bfloat16", &o.bfloat16, "convolves in bfloat16 while choosing, where that is faster");
  line.positional("model", 1);
}

/// The estimators to choose from; dmse, which does the choosing, is not one of them.
std::vector<std::string> candidates_of(const CalibrateOptions& o, const Catalog& catalog) {
  std::vector<std::string> names;
  for (const NamedOptions& candidate : catalog.parse(o.candidates)) {
    if (candidate.name == "dmse") {
      refuse("--candidates names dmse, which is to choose among them");
    }
    names.push_back(candidate.text);
  }
  return names;
}

sim::SweepOptions sweep_options(const CalibrateOptions& o, const std::string& pilots,
                                const Catalog& catalog) {
  sim::SweepOptions options;
  options.snr_db = parse_range(o.snr, "--snr");
  options.estimators = candidates_of(o, catalog);
  options.pilots = sim::parse_pilots_list(pilots);
  options.seed = o.common.seed;
  options.n_threads = o.common.threads;
  options.block = 16;
  options.wall_clock = o.common.device != "cpu";
  return options;
}

/// Makes estimators with the model of a file.
sim::EstimatorFactory factory_of(const CalibrateOptions& o, const std::string& file,
                                 const NetworkModel& model, const Catalog& catalog) {
  EstimatorContext known;
  known.n_rx = model.n_rx;
  known.n_tx = model.n_tx;
  o.common.choose_networks(known);
  known.models = std::make_shared<ModelStore>(std::vector<std::filesystem::path>{file});
  return [known, bfloat16 = o.bfloat16, &catalog](
             const std::string& name, const std::shared_ptr<const ObservationOperator>& A) {
    NamedOptions spec = parse_named_options(name);
    if (bfloat16 && catalog.entry(spec.name).model == "dmse") spec.options["bfloat16"] = "";
    return std::shared_ptr<const Estimator>(make_for(catalog, spec, known, A));
  };
}

/// Tries the candidates with the model of the file o.to.
sim::Results try_solvers(const CalibrateOptions& o, const NetworkModel& model,
                         const SampleReader& held_out, const sim::SweepOptions& options,
                         const RunControl& control, const Catalog& catalog) {
  return sim::run_sweep(spread(held_out, o.n_channels), {}, factory_of(o, o.to, model, catalog),
                        options, control);
}

/// One method at one budget.
struct Search {
  std::string method;
  TuningBudget budget;
};

/// What --method and --budget ask for.
std::vector<Search> searches_of(const CalibrateOptions& o, const CommandLine& line) {
  for (const char* flag : {"candidates", "full", "precision-only"}) {
    if (line.given(flag)) refuse("--" + std::string(flag) + " is not for --method");
  }
  std::vector<TuningBudget> budgets;
  for (const std::string& word : split(o.budgets, ',')) {
    std::vector<std::string> names;
    std::size_t found = budgets.size();
    for (const auto& [budget, name] : tuning_budget_names) {
      names.emplace_back(name);
      if (word == name) budgets.push_back(budget);
    }
    if (budgets.size() == found) {
      refuse("--budget: '" + word + "' is unknown; expected " + enumerate(names));
    }
  }
  std::vector<Search> out;
  for (const std::string& method : split(o.methods, ',')) {
    for (const TuningBudget budget : budgets) {
      tuning_grid(method, budget);
      out.push_back({method, budget});
    }
  }
  return out;
}

/// The results of one point, in the order of `estimators`; infinite where one takes more calls than it may.
std::vector<double> errors_of(const sim::Results& results,
                              const std::vector<std::string>& estimators, TuningBudget budget) {
  std::vector<double> out(estimators.size(), arma::datum::inf);
  for (const sim::Row& row : sim::rows(results)) {
    const auto at = std::find(estimators.begin(), estimators.end(), row.estimator);
    const bool fits =
        budget == TuningBudget::published || row.nfe <= static_cast<double>(most_calls_of_ours);
    if (fits) out[static_cast<std::size_t>(at - estimators.begin())] = row.nmse;
  }
  return out;
}

/// Searches, and stores after each pilot matrix what was found.
void tune_methods(const CalibrateOptions& o, const std::vector<Search>& searches,
                  NetworkModel& model, const SampleReader& held_out, sim::SweepOptions options,
                  const TerminalControl& terminal, Context& context) {
  const sim::EstimatorFactory make = factory_of(o, o.file, model, context.catalog);
  const SampleReader channels = spread(held_out, o.n_channels);
  const std::vector<double> snr_db =
      arma::conv_to<std::vector<double>>::from(arma::sort(arma::vec(options.snr_db)).eval());
  const std::vector<sim::PilotSpec> pilots = options.pilots;
  const double n_points = static_cast<double>(searches.size() * pilots.size() * snr_db.size());
  double done = 0.0;
  // The search of a point has several sweeps: progress goes by points.
  RunControl control = terminal.control();
  const auto started = std::chrono::steady_clock::now();
  control.on_progress = {};
  for (const Search& search : searches) {
    const TuningGrid grid = tuning_grid(search.method, search.budget);
    for (const sim::PilotSpec& spec : pilots) {
      options.pilots = {spec};
      SolverChoice choice;
      choice.snr_db = arma::vec(snr_db);
      choice.mse.set_size(snr_db.size());
      for (std::size_t i = 0; i < snr_db.size(); ++i) {
        options.snr_db = {snr_db[i]};
        const auto trial = [&](const std::vector<std::string>& estimators) {
          options.estimators = estimators;
          const sim::Results results = sim::run_sweep(channels, {}, make, options, control);
          if (!results.finished()) {
            throw Error(ErrorKind::interrupted,
                        "interrupted; " + o.to + " holds the pilots that were finished");
          }
          choice.pilots = results.pilots.front().name;
          choice.P = results.pilots.front().P;
          return errors_of(results, estimators, search.budget);
        };
        const auto [found, error] = tune(search.method, grid, trial);
        choice.solvers.push_back(found);
        choice.mse(i) = error;
        done += 1.0;
        if (terminal.control().on_progress) {
          Progress progress;
          progress.fraction = done / n_points;
          progress.seconds =
              std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
          progress.seconds_left = progress.seconds * (1.0 / progress.fraction - 1.0);
          progress.text = search.method + ", " + choice.pilots;
          terminal.control().on_progress(progress);
        }
      }
      context.out << search.method << ":tuned=" << name_of(tuning_budget_names, search.budget)
                  << '\n';
      print(choice, context.out);
      model.tuned.at(search.method, search.budget).put(std::move(choice));
      save(o.to, model);
    }
  }
}

}  // namespace

int calibrate(const Args& args, Context& context) {
  CalibrateOptions o;
  CommandLine line(
      "calibrate", "MODEL --channels FILE --samples FIRST:END [options]",
      "Measures a diffusion model on channels that it was not fitted on: the number of "
      "calls per SNR and the error of each call; what less than float32 costs; and for "
      "pilots that mix the antennas "
      "the best solver per SNR, which dmse then runs. Pilots are added to those "
      "calibrated before. For other pilots, dmse takes the solver of the most similar "
      "ones.");
  declare(line, o);
  if (!line.parse(args, context)) return 0;
  o.bfloat16 = o.bfloat16 && runs_fast_in_bfloat16(o.common.device);
  line.require("model", "the model to calibrate");
  line.require("channels", "channels that the model was not fitted on");
  if (o.to.empty()) {
    o.to = o.file;
  } else {
    check_output(o.to, o.force);
  }
  NetworkModel model = load_network_model(o.file);
  if (model.network.side) {
    refuse(o.file + ": is told a side matrix of each channel; its fit has measured its error");
  }
  if (!model.P.is_empty() &&
      (o.full || o.precision_only || o.solvers_only || !o.methods.empty() || !o.pilots.empty())) {
    refuse(o.file +
           ": is the estimator of its own pilots, of which the error alone is measured; --full, "
           "--precision-only, --solvers-only, --method and --pilots are for priors");
  }
  // All that is asked for is understood before the first minute is spent.
  const bool is_grid = !model.grid.empty();
  if (o.full && (is_grid || model.n_rx * model.n_tx > most_entries_of_full_errors)) {
    refuse("--full is for matrices of at most " + std::to_string(most_entries_of_full_errors) +
           " entries, the model is for " +
           (is_grid ? std::string("grids") : size_text(model.n_rx, model.n_tx)));
  }
  if (is_grid && !o.pilots.empty() && o.pilots != "none") {
    refuse("--pilots: solvers are chosen for the pilots of matrices, the model is for grids");
  }
  if (line.given("budget") && o.methods.empty()) refuse("--budget is for --method");
  if (line.given("calls") &&
      (o.precision_only || o.solvers_only || !o.methods.empty() || !model.P.is_empty())) {
    refuse(
        "--calls chooses calls, which --precision-only, --solvers-only, --method and estimators of "
        "given pilots leave as they are");
  }
  if (o.mean_calls != 0.0 && !(o.mean_calls >= 1.0)) {
    refuse("--calls is " + number_text(o.mean_calls) + "; expected 0, or at least 1");
  }
  const std::vector<Search> searches =
      o.methods.empty() ? std::vector<Search>{} : searches_of(o, line);
  if (!searches.empty() && (is_grid || o.pilots == "none")) {
    refuse("--method needs the pilots of matrices" +
           std::string(is_grid ? ", the model is for grids" : ": --pilots is none"));
  }
  const bool chooses = o.pilots != "none" && !is_grid;
  if (o.solvers_only && (o.precision_only || o.full || !chooses)) {
    refuse("--solvers-only excludes --precision-only, --full, --pilots none and models of grids");
  }
  if (o.candidates == default_candidates && model.network.variance) {
    o.candidates += candidates_with_a_head;
  }
  const sim::SweepOptions options = sweep_options(
      o, chooses && !o.pilots.empty() ? o.pilots : default_pilots(model.n_tx), context.catalog);
  const Dataset dataset = o.channels.open();
  if (is_grid != dataset.info().grid.is_grid()) {
    refuse(std::string("the model is for ") + (is_grid ? "grids" : "matrices") +
           ", the channels are " +
           size_text(dataset.info().n_rx, dataset.info().n_tx, dataset.info().grid));
  }
  const bool is_for_many = !model.arrays.empty();
  if (!is_grid && !is_for_many) {
    check_channels_fit(dataset.info(), model.n_rx, model.n_tx, "the model is");
  }
  const SampleRange range = o.channels.range(dataset);
  const std::string hash = hash_file(dataset.info().file);
  for (const Seen& seen : seen_by(o.file, dataset.info(), hash, range)) {
    if (!seen.tuned) warn_of(seen);
  }
  const SampleReader channels = o.channels.samples_of(dataset, range);
  const SampleReader held_out = is_grid       ? plane_samples(channels, model.grid.plane_step)
                                : is_for_many ? first_antennas(channels, model.n_rx, model.n_tx)
                                              : channels;
  const TerminalControl terminal(context.quiet);
  if (!searches.empty()) {
    add_tuning_data(model.tuning_data, dataset.info(), hash);
    tune_methods(o, searches, model, held_out, options, terminal, context);
    return 0;
  }
  const arma::uword n_tx_before = model.n_tx;
  if (is_grid) {
    if (held_out.n_rx != model.n_rx) {
      refuse("the channels have " + std::to_string(held_out.n_rx) +
             " receive antennas, the model is for " + std::to_string(model.n_rx));
    }
    model.n_tx = held_out.n_tx;
  }

  CalibrationRun run = CalibrationRun::of(o.common, terminal.control());
  run.mean_calls = o.mean_calls;
  if (o.bfloat16) run.networks.precision = NetworkPrecision::bfloat16;
  if (!model.P.is_empty()) {
    calibrate_model(model, held_out, run);
    add_tuning_data(model.tuning_data, dataset.info(), hash);
    print(model.calibration, context.out);
    save(o.to, model);
    return 0;
  }
  if (!o.solvers_only) model.precision = {};  // what follows is measured in float32
  if (!o.precision_only && !o.solvers_only) calibrate_model(model, held_out, run, {}, o.full);
  // Those of the channels of the fit are of more channels.
  if (!o.precision_only && !is_grid && !is_for_many && model.second_moments.empty()) {
    model.second_moments = fit_structured_covariance(held_out, CovarianceKind::kronecker);
  }
  add_tuning_data(model.tuning_data, dataset.info(), hash);
  if (run.networks.device == "cpu" && !o.solvers_only) {
    model.precision = measure_precision(model, held_out, run.seed, run.n_threads, run.control);
    // Where bytes saturate was found for the largest arrays alone.
    if (is_for_many) model.precision.int8.reset();
  }
  if (!o.precision_only && !o.solvers_only) print(model.calibration, context.out);
  if (!o.solvers_only) print(model.precision, context.out);
  if (o.precision_only) model.n_tx = n_tx_before;
  // The solvers are tried with the model as it will be.
  save(o.to, model);
  if (o.precision_only) return 0;
  if (is_grid) {
    calibrate_grid_errors("dmse", o.to, model, Bands(o.channels, range, channels), run,
                          context.catalog);
  }
  if (!chooses) return 0;
  const sim::Results results =
      try_solvers(o, model, held_out, options, terminal.control(), context.catalog);
  if (!results.finished()) {
    throw Error(ErrorKind::interrupted,
                "interrupted; " + o.to + " holds the calls per SNR, the solvers are as before");
  }
  for (SolverChoice& choice : choices_of(results)) {
    print(choice, context.out);
    model.solvers.put(std::move(choice));
  }
  save(o.to, model);
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
