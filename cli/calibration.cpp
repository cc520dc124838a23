#include "calibration.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>
#include <ostream>
#include <set>

#include <chest/error.hpp>
#include <chest/estimators/diffusion/few_pilots.hpp>
#include <chest/estimators/grid/grid_lmmse.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/metrics.hpp>
#include <chest/observation.hpp>
#include <chest/sim/sweep.hpp>
#include <chest/text.hpp>

#include "estimator_list.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

CalibrationRun CalibrationRun::of(const CommonFlags& common, const RunControl& control) {
  CalibrationRun run;
  run.networks = common.network_run();
  run.seed = common.seed;
  run.n_threads = common.n_threads();
  run.control = control;
  return run;
}

namespace {

/// Calls and errors for the least, the middle and the largest arrays of either side that the model serves.
void calibrate_sizes(NetworkModel& model, const SampleReader& held_out, const CalibrationRun& run) {
  constexpr arma::uword most_channels = 128;
  const auto sides = [](arma::uword least, arma::uword most) {
    const double middle = std::sqrt(static_cast<double>(least * most));
    return std::set<arma::uword>{least, static_cast<arma::uword>(std::llround(middle)), most};
  };
  CalibrationChoices choices;
  choices.mean_calls = run.mean_calls;
  model.sizes.clear();
  for (const arma::uword n_rx : sides(model.arrays.least_rx, model.arrays.most_rx)) {
    for (const arma::uword n_tx : sides(model.arrays.least_tx, model.arrays.most_tx)) {
      if (n_rx == model.n_rx && n_tx == model.n_tx) continue;  // model.calibration
      const SampleReader part = spread(first_antennas(held_out, n_rx, n_tx), most_channels);
      if (!model.arrays.holds(part.n_rx, n_tx)) continue;
      const auto denoiser = make_network_denoiser(for_array(model, part.n_rx, n_tx), run.networks);
      model.sizes.push_back(
          {part.n_rx, n_tx,
           calibrate(*denoiser, part, run.seed, run.n_threads, choices, run.control)});
    }
  }
}

}  // namespace

void calibrate_model(NetworkModel& model, const SampleReader& held_out, const CalibrationRun& run,
                     const SampleReader& side, bool full) {
  if (!model.P.is_empty() || model.network.side) {
    const auto network = make_network_denoiser(model, run.networks);
    const arma::cx_mat identity(model.n_tx, model.n_tx, arma::fill::eye);
    const auto A = make_kronecker_observation(model.network.side ? identity : model.P, model.n_rx);
    model.calibration = calibrate_few_pilots(*network, *A, held_out, run.seed, run.n_threads, side);
    return;
  }
  if (!model.arrays.empty()) calibrate_sizes(model, held_out, run);
  const auto denoiser = make_network_denoiser(model, run.networks);
  CalibrationChoices choices;
  choices.turns_rx = model.grid.rx_panel.is_line();
  choices.mean_calls = run.mean_calls;
  model.calibration = calibrate(*denoiser, held_out, run.seed, run.n_threads, choices, run.control);
  model.errors = {};
  // Solvers for pilots that mix the antennas, which read the errors, are for matrices.
  if (!model.grid.empty()) return;
  // A covariance wants several times as many channels as it has rows.
  constexpr arma::uword some_channels = 256, per_row = 8;
  const arma::uword n_channels =
      full ? std::max(some_channels, per_row * held_out.n_h()) : some_channels;
  const auto range = denoiser->sigma2_range();
  const arma::vec levels_db =
      arma::regspace(std::ceil(to_db(range->first)), 2.5, std::floor(to_db(range->second)));
  arma::vec levels(levels_db.n_elem);
  for (arma::uword i = 0; i < levels.n_elem; ++i) levels(i) = from_db(levels_db(i));
  model.errors = measure_errors(*denoiser, spread(held_out, n_channels), levels, run.seed,
                                full ? ErrorDetail::full : ErrorDetail::angular, run.n_threads);
}

namespace {

/// linear_ratio where linear MMSE cannot run.
constexpr double nothing_linear = 1e6;

/// The first subcarriers of channels on a grid.
SampleReader first_subcarriers(const SampleReader& samples, arma::uword n) {
  SampleReader out = samples;
  out.grid.n_subcarriers = n;
  out.read = [samples, n](arma::uword first, arma::uword count) {
    const arma::cx_mat h = samples.read(first, count);
    const arma::uword n_pairs = samples.n_rx * samples.n_tx, n_s = samples.grid.n_symbols;
    const arma::uword n_all = samples.grid.n_subcarriers;
    arma::cx_mat part(n_pairs * n * n_s, count);
    for (arma::uword k = 0; k < count; ++k) {
      for (arma::uword s = 0; s < n_s; ++s) {
        std::copy_n(h.colptr(k) + s * n_pairs * n_all, n_pairs * n,
                    part.colptr(k) + s * n_pairs * n);
      }
    }
    return part;
  };
  return out;
}

}  // namespace

Bands::Bands(const ChannelFlags& flags, const SampleRange& range, const SampleReader& samples) {
  constexpr arma::uword per_prb = 12, few_prb[] = {2, 4, 13}, most_prb = 273;
  const GridAxes& grid = samples.grid;
  for (const arma::uword prb : few_prb) {
    if (prb * per_prb < grid.n_subcarriers) {
      readers_.push_back(first_subcarriers(samples, prb * per_prb));
    }
  }
  readers_.push_back(samples);
  if (grid.n_subcarriers >= most_prb * per_prb || !(grid.spacing_hz > 0.0)) return;
  ChannelFlags wide = flags;
  wide.grid = std::to_string(most_prb * per_prb) + "x" + std::to_string(grid.n_symbols) + "@" +
              number_text(grid.spacing_hz / 1e3);
  wide.samples = range.text();
  try {
    wide_ = std::make_unique<Dataset>(wide.open_file());
    wide_->choose(wide.choice(*wide_));
  } catch (const Error&) {
    return;  // grids that were stored are as wide as they are
  }
  readers_.push_back(wide.samples_of(*wide_, range));
}

namespace {

ErrorTable table_of(const sim::Results& results) {
  ErrorTable out;
  for (const sim::Row& row : sim::rows(results)) {
    out[{row.estimator, row.snr_db}] = {row.nmse, row.nmse_predicted};
  }
  return out;
}

}  // namespace

ErrorTable without_outliers(const std::vector<ErrorTable>& groups, const std::string& estimator,
                            const std::vector<double>& snr_db) {
  ErrorTable out;
  for (const double snr : snr_db) {
    arma::vec ratios(groups.size());
    for (std::size_t g = 0; g < groups.size(); ++g) {
      const MeanErrors& one = groups[g].at({estimator, snr});
      ratios(g) = one.predicted > 0.0 ? one.nmse / one.predicted : 1.0;
    }
    const double most = 2.0 * arma::median(ratios);
    double n = 0.0;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      if (ratios(g) > most) continue;
      n += 1.0;
      for (const auto& [key, one] : groups[g]) {
        if (key.second != snr) continue;
        out[key].nmse += one.nmse;
        out[key].predicted += one.predicted;
      }
    }
    for (auto& [key, sum] : out) {
      if (key.second == snr) sum = {sum.nmse / n, sum.predicted / n};
    }
  }
  return out;
}

void measure_grid_errors(const std::string& kind, const std::filesystem::path& file,
                         GridStatistics& grid, const Bands& bands, const CalibrationRun& run,
                         const Catalog& catalog) {
  // Errors at high SNR are those of few channels with long delays: many channels, of the widest bands fewer.
  constexpr arma::uword most_channels = 256, most_subcarriers = 160'000, fewest_channels = 48;
  constexpr arma::uword last_symbol_of_two = 11, per_group = 16;
  // Sparse Bayesian learning takes part where it lowers the error by this.
  constexpr double sparse_gain_db = 0.1;
  const std::string linear = "linear";
  std::set<arma::uword> all_steps{grid.plane_step};
  if (grid.most_step > 0) all_steps.insert({grid.least_step, grid.most_step});
  // Each port has a comb of its own.
  std::erase_if(all_steps, [&](arma::uword step) { return step < bands.readers().front().n_tx; });
  std::vector<arma::vec> errors, linears, weights;
  std::vector<double> snr_db, steps, subcarriers;
  for (const SampleReader& held_out : bands.readers()) {
    EstimatorContext known;
    known.n_rx = held_out.n_rx;
    known.n_tx = held_out.n_tx;
    known.grid = held_out.grid;
    known.rx_panel = held_out.rx_panel;
    known.device = run.networks.device;
    known.engine = run.networks.engine;
    known.models = std::make_shared<ModelStore>(std::vector<std::filesystem::path>{file});
    const sim::EstimatorFactory of_catalog = estimator_factory(catalog, known);
    const auto make = [&](const std::string& name,
                          const std::shared_ptr<const ObservationOperator>& A)
        -> std::shared_ptr<const Estimator> {
      if (name == linear) return make_grid_lmmse(A, grid);
      return of_catalog(name, A);
    };
    sim::SweepOptions options;
    options.snr_db = {-15.0, -7.5, 0.0, 7.5, 15.0, 22.5, 30.0};
    const bool has_linear = kind == "dmse" && held_out.grid.n_subcarriers <= grid.r_f.n_elem;
    const bool bfloat16 = run.networks.precision == NetworkPrecision::bfloat16;
    const std::string alone = bfloat16 ? kind + ":bfloat16" : kind;
    const std::string half = alone + (bfloat16 ? "," : ":") + "sparse=0.5",
                      sparse = kind + ":sparse=1";
    const bool two = held_out.grid.n_symbols > last_symbol_of_two;
    options.seed = run.seed;
    options.n_threads = run.n_threads;
    options.block = 4;
    options.wall_clock = run.networks.device != "cpu";
    const arma::uword n_channels =
        std::clamp(most_subcarriers / held_out.grid.n_subcarriers, fewest_channels, most_channels);
    for (const arma::uword step : all_steps) {
      options.pilots = {
          sim::parse_pilots("comb:" + std::to_string(step) + (two ? ",symbols=2-11" : ""))};
      const bool has_sparse = kind == "dmse" && held_out.grid.n_subcarriers / step <=
                                                    GridStatistics::most_sparse_columns;
      options.estimators = {alone};
      if (has_linear) options.estimators.push_back(linear);
      if (has_sparse) options.estimators.insert(options.estimators.end(), {half, sparse});
      const SampleReader channels = spread(held_out, n_channels);
      const arma::uword n_groups = std::max<arma::uword>(channels.n_samples / per_group, 1);
      std::vector<ErrorTable> groups;
      for (arma::uword g = 0; g < n_groups; ++g) {
        options.first = g * channels.n_samples / n_groups;
        options.end = (g + 1) * channels.n_samples / n_groups;
        groups.push_back(table_of(sim::run_sweep(channels, {}, make, options, run.control)));
      }
      ErrorTable table = without_outliers(groups, alone, options.snr_db);
      const double band = static_cast<double>(held_out.grid.n_subcarriers);
      arma::vec error(options.snr_db.size(), arma::fill::ones), of_linear = error;
      arma::vec weight(options.snr_db.size(), arma::fill::zeros);
      snr_db.clear();
      // By the SNR of the planes: those of two symbols have the noise of their mean.
      for (const double snr : options.snr_db) snr_db.push_back(snr + to_db(two ? 2.0 : 1.0));
      of_linear.fill(nothing_linear);
      for (arma::uword i = 0; i < error.n_elem; ++i) {
        const double snr = options.snr_db[i];
        auto [nmse, predicted] = table.at({alone, snr});
        if (has_sparse) {
          const MeanErrors& other = table.at({sparse, snr});
          // That of the mean is half that of both less a quarter of their distance.
          const double distance = 2.0 * (nmse + other.nmse) - 4.0 * table.at({half, snr}).nmse;
          const double w = distance > 0.0
                               ? std::clamp(0.5 + (nmse - other.nmse) / (2.0 * distance), 0.0, 1.0)
                               : 0.0;
          const double of_mean = (1.0 - w) * nmse + w * other.nmse - w * (1.0 - w) * distance;
          if (of_mean < from_db(-sparse_gain_db) * nmse) {
            weight(i) = w;
            nmse = of_mean;
            predicted = (1.0 - w) * predicted + w * other.predicted;
          }
        }
        if (predicted > 0.0) error(i) = nmse / predicted;
        if (has_linear) of_linear(i) = table.at({linear, snr}).nmse / nmse;
      }
      errors.push_back(error);
      linears.push_back(of_linear);
      weights.push_back(weight);
      steps.push_back(static_cast<double>(step));
      subcarriers.push_back(band);
    }
  }
  // By steps, then bands.
  const arma::uvec order = arma::stable_sort_index(arma::vec(steps) * 1e9 + arma::vec(subcarriers));
  grid.error_snr_db = snr_db;
  grid.error_steps = arma::vec(steps)(order);
  grid.error_subcarriers = arma::vec(subcarriers)(order);
  grid.error_ratio.set_size(snr_db.size(), order.n_elem);
  grid.linear_ratio.set_size(snr_db.size(), order.n_elem);
  grid.sparse_weight.set_size(snr_db.size(), order.n_elem);
  for (arma::uword i = 0; i < order.n_elem; ++i) {
    grid.error_ratio.col(i) = errors[order(i)];
    grid.linear_ratio.col(i) = linears[order(i)];
    // Of planes that are too long for sbl to be measured as of the next shorter, by which those between go.
    const bool is_long = grid.error_subcarriers(i) / grid.error_steps(i) >
                         static_cast<double>(GridStatistics::most_sparse_columns);
    const bool has_shorter = i > 0 && grid.error_steps(i - 1) == grid.error_steps(i);
    grid.sparse_weight.col(i) =
        is_long && has_shorter ? arma::vec(grid.sparse_weight.col(i - 1)) : weights[order(i)];
  }
  if (kind != "dmse") {
    grid.linear_ratio.reset();
    grid.sparse_weight.reset();
  }
}

void print(const Calibration& calibration, std::ostream& out) {
  const auto flags = out.flags();
  const auto precision = out.precision();
  out << std::fixed << std::setprecision(2);
  for (arma::uword i = 0; i < calibration.snr_db.n_elem; ++i) {
    out << "  " << std::setw(6) << calibration.snr_db(i) << " dB: " << calibration.calls(i)
        << " calls, NMSE " << to_db(calibration.mse(i)) << " dB";
    if (!calibration.mse_ratio.is_empty()) {
      out << ", measured / predicted error " << calibration.mse_ratio(i);
    }
    out << '\n';
  }
  out.flags(flags);
  out.precision(precision);
}

void print(const PrecisionLosses& losses, std::ostream& out) {
  if (losses.empty()) return;
  const auto flags = out.flags();
  const auto digits = out.precision();
  out << std::fixed << std::setprecision(3) << "  against float32 at " << std::setprecision(0)
      << losses.snr_db.front() << " to " << losses.snr_db.back() << " dB: bfloat16 costs up to "
      << std::setprecision(3) << losses.bfloat16.max() << " dB";
  if (!losses.int8.is_empty()) out << ", int8 up to " << losses.int8.max() << " dB";
  out << '\n';
  out.flags(flags);
  out.precision(digits);
}

void print(const SolverChoice& choice, std::ostream& out) {
  const auto flags = out.flags();
  const auto precision = out.precision();
  out << std::fixed << std::setprecision(2) << "  solvers for pilots " << choice.pilots << ":\n";
  for (arma::uword i = 0; i < choice.snr_db.n_elem; ++i) {
    out << "  " << std::setw(6) << choice.snr_db(i) << " dB: " << choice.solvers[i] << ", NMSE "
        << to_db(choice.mse(i)) << " dB\n";
  }
  out.flags(flags);
  out.precision(precision);
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
