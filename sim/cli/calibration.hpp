#pragma once

#include <iosfwd>

#include <chest/estimators/diffusion.hpp>

namespace chest::cli {

/// One line per SNR: calls, NMSE, and the measured over the predicted error where it was predicted.
void print(const Calibration& calibration, std::ostream& out);

}  // namespace chest::cli
