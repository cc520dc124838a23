#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <tuple>
#include <utility>

#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/run_control.hpp>

#include "flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// How a calibration runs.
struct CalibrationRun {
  std::string device = "cpu";
  NetworkEngine engine = NetworkEngine::automatic;
  bool bfloat16 = false;
  std::uint64_t seed = 1;
  unsigned n_threads = 1;
  RunControl control;

  static CalibrationRun of(const CommonFlags& common, const RunControl& control);
};

/// Fills what a model knows of itself from channels that it was not fitted on: calls per SNR, and
/// the errors of one call.
void calibrate_model(NetworkModel& model, const SampleReader& held_out, const CalibrationRun& run);

/// GridStatistics::error_snr_db and error_ratio of a model of grids: the measured over the predicted error
/// of the estimator that has the name of its kind, with the model as it is in `file`, on channels that it
/// was not fitted on.
std::pair<arma::vec, arma::vec> measure_grid_errors(
    const std::string& kind, const std::filesystem::path& file, const GridStatistics& grid,
    const SampleReader& held_out, const CalibrationRun& run, const Catalog& catalog);
/// The same into the model and its file; nothing for a model without planes.
template <class Model>
void calibrate_grid_errors(const std::string& kind, const std::filesystem::path& file, Model& model,
                           const SampleReader& held_out, const CalibrationRun& run,
                           const Catalog& catalog) {
  if (model.grid.plane_step == 0) return;
  std::tie(model.grid.error_snr_db, model.grid.error_ratio) =
      measure_grid_errors(kind, file, model.grid, held_out, run, catalog);
  save(file, model);
}

/// One line per SNR: calls, NMSE, and the measured over the predicted error where it was predicted.
void print(const Calibration& calibration, std::ostream& out);
/// One line per SNR: the solver and its NMSE.
void print(const SolverChoice& choice, std::ostream& out);

}  // namespace cli
}  // namespace v0
}  // namespace chest
