#include "calibration.hpp"

#include <cmath>
#include <iomanip>
#include <ostream>

#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/metrics.hpp>

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
  constexpr arma::uword most_channels = 256;
  const auto range = denoiser->sigma2_range();
  const arma::vec levels_db =
      arma::regspace(std::ceil(to_db(range->first)), 2.5, std::floor(to_db(range->second)));
  arma::vec levels(levels_db.n_elem);
  for (arma::uword i = 0; i < levels.n_elem; ++i) levels(i) = from_db(levels_db(i));
  model.errors = measure_errors(*denoiser, spread(held_out, most_channels), levels, run.seed,
                                ErrorDetail::angular, run.n_threads);
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
