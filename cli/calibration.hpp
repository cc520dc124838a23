#pragma once

#include <iosfwd>
#include <string>

#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/network/model_file.hpp>

namespace chest::cli {

/// Fills what a model knows of itself from channels that it was not fitted on: calls per SNR, and
/// the errors of one call.
void calibrate_model(NetworkModel& model, const SampleReader& held_out, const std::string& device,
                     bool bfloat16, std::uint64_t seed, unsigned n_threads,
                     const RunControl& control);

/// One line per SNR: calls, NMSE, and the measured over the predicted error where it was predicted.
void print(const Calibration& calibration, std::ostream& out);
/// One line per SNR: the solver and its NMSE.
void print(const SolverChoice& choice, std::ostream& out);

}  // namespace chest::cli
