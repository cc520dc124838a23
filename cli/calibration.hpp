#pragma once

#include <iosfwd>
#include <string>

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
  bool bfloat16 = false;
  std::uint64_t seed = 1;
  unsigned n_threads = 1;
  RunControl control;

  static CalibrationRun of(const CommonFlags& common, const RunControl& control);
};

/// Fills what a model knows of itself from channels that it was not fitted on: calls per SNR, and
/// the errors of one call.
void calibrate_model(NetworkModel& model, const SampleReader& held_out, const CalibrationRun& run);

/// One line per SNR: calls, NMSE, and the measured over the predicted error where it was predicted.
void print(const Calibration& calibration, std::ostream& out);
/// One line per SNR: the solver and its NMSE.
void print(const SolverChoice& choice, std::ostream& out);

}  // namespace cli
}  // namespace v0
}  // namespace chest
