#pragma once

#include <cstdint>

#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/run_options.hpp>
#include <chest/run_control.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// Whether this processor multiplies bfloat16 and bytes by tiles (AMX), and lets this process do it.
bool has_fast_reduced_precision();

/// `options` with a precision that was left open decided: the fastest that costs less than 0.02 dB at every
/// SNR of the model's calibration, where this processor is faster with it; otherwise float32. LibTorch
/// computes in float32 unless it is told otherwise.
/// @throws Error(invalid_argument) if the engine cannot do what they ask for
NetworkRunOptions choose_precision(const NetworkModel& model, NetworkRunOptions options);

/// Measures what less than float32 costs: NMSE of estimates with the model's calls (model.calibration;
/// one where there is none) at -15:5:40 dB within what the model was fitted for. Finds how the values of
/// hidden layers are spread over bytes: what is cut off is chosen per SNR by how far the output of a call is from float32's.
/// @throws Error(invalid_argument) if the channels do not fit the model
PrecisionLosses measure_precision(const NetworkModel& model, const SampleReader& validation,
                                  std::uint64_t seed, unsigned n_threads,
                                  const RunControl& control = {});

}  // namespace v0
}  // namespace chest
