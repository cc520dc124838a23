#include "calibration.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <ostream>

#include <chest/error.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/metrics.hpp>
#include <chest/sim/sweep.hpp>
#include <chest/text.hpp>

#include "estimator_list.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

CalibrationRun CalibrationRun::of(const CommonFlags& common, const RunControl& control) {
  CalibrationRun run;
  run.device = common.device;
  run.seed = common.seed;
  run.n_threads = common.n_threads();
  run.control = control;
  return run;
}

void calibrate_model(NetworkModel& model, const SampleReader& held_out, const CalibrationRun& run) {
  const auto denoiser = make_network_denoiser(model, {run.device, 0, run.bfloat16});
  model.calibration = calibrate(*denoiser, held_out, run.seed, run.n_threads, 3, run.control);
  model.errors = {};
  // Solvers for pilots that mix the antennas, which read the errors, are for matrices.
  if (!model.grid.empty()) return;
  constexpr arma::uword most_channels = 256;
  const auto range = denoiser->sigma2_range();
  const arma::vec levels_db =
      arma::regspace(std::ceil(to_db(range->first)), 2.5, std::floor(to_db(range->second)));
  arma::vec levels(levels_db.n_elem);
  for (arma::uword i = 0; i < levels.n_elem; ++i) levels(i) = from_db(levels_db(i));
  model.errors = measure_errors(*denoiser, spread(held_out, most_channels), levels, run.seed,
                                ErrorDetail::angular, run.n_threads);
}

namespace {

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
  constexpr arma::uword per_prb = 12, few_prb[] = {4, 13}, most_prb = 273;
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

void measure_grid_errors(const std::string& kind, const std::filesystem::path& file,
                         GridStatistics& grid, const Bands& bands, const CalibrationRun& run,
                         const Catalog& catalog) {
  constexpr arma::uword most_channels = 128, last_symbol_of_two = 11;
  std::vector<arma::vec> ratios;
  std::vector<double> snr_db, subcarriers;
  for (const SampleReader& held_out : bands.readers()) {
    EstimatorContext known;
    known.n_rx = held_out.n_rx;
    known.n_tx = held_out.n_tx;
    known.grid = held_out.grid;
    known.rx_panel = held_out.rx_panel;
    known.device = run.device;
    known.models = std::make_shared<ModelStore>(std::vector<std::filesystem::path>{file});
    sim::SweepOptions options;
    options.snr_db = {-15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0};
    options.estimators = {run.bfloat16 ? kind + ":bfloat16" : kind};
    const bool two = held_out.grid.n_symbols > last_symbol_of_two;
    options.pilots = {sim::parse_pilots("comb:" + std::to_string(grid.plane_step) +
                                        (two ? ",symbols=2-11" : ""))};
    options.seed = run.seed;
    options.n_threads = run.n_threads;
    options.block = 4;
    options.wall_clock = run.device != "cpu";
    const sim::Results results =
        sim::run_sweep(spread(held_out, most_channels), {}, estimator_factory(catalog, known),
                       options, run.control);
    std::vector<double> here;
    snr_db.clear();
    for (const sim::Row& row : sim::rows(results)) {
      if (!(row.nmse_predicted > 0.0)) continue;
      // By the SNR of the planes: those of two symbols have the noise of their mean.
      snr_db.push_back(row.snr_db + to_db(two ? 2.0 : 1.0));
      const double band = static_cast<double>(held_out.grid.n_subcarriers);
      here.push_back(row.nmse / row.nmse_predicted *
                     grid.error_ratio_at(from_db(-snr_db.back()), band));
    }
    ratios.emplace_back(here);
    subcarriers.push_back(static_cast<double>(held_out.grid.n_subcarriers));
  }
  if (snr_db.empty()) return;
  grid.error_snr_db = snr_db;
  grid.error_subcarriers = subcarriers;
  grid.error_ratio.set_size(snr_db.size(), ratios.size());
  for (std::size_t i = 0; i < ratios.size(); ++i) {
    grid.error_ratio.col(i) = ratios[i];
  }
}

void print(const Calibration& calibration, std::ostream& out) {
  const auto flags = out.flags();
  const auto precision = out.precision();
  out << std::fixed << std::setprecision(2);
  for (arma::uword i = 0; i < calibration.snr_db.n_elem; ++i) {
    out << "  " << std::setw(6) << calibration.snr_db(i) << " dB: " << calibration.n_steps(i)
        << " calls, NMSE " << to_db(calibration.mse(i)) << " dB";
    if (!calibration.mse_ratio.is_empty()) {
      out << ", measured / predicted error " << calibration.mse_ratio(i);
    }
    out << '\n';
  }
  out.flags(flags);
  out.precision(precision);
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
