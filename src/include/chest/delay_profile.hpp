#pragma once

#include <armadillo>
#include <complex>
#include <filesystem>
#include <string>
#include <vector>

namespace chest {
inline namespace v0 {

/// Share of a profile's Doppler that its line of sight has, whose power does not fade.
inline constexpr double line_of_sight_doppler = 0.7;

/// Delays and powers of a profile.
struct DelayProfile {
  arma::vec delays;         ///< in s; of A to E for an rms delay spread of 1 s, nearly
  arma::vec powers;         ///< sum 1
  bool has_los = false;     ///< the first is the line of sight
  double doppler_hz = 0.0;  ///< named by the profile, TDLB100-400; 0: it names none
};

/// A to E of TR 38.901; TDLA30, TDLB100, TDLC300 of TS 38.101-4, also with a Doppler as in TDLB100-400.
/// @throws Error(invalid_argument) if there is no such profile
DelayProfile delay_profile(const std::string& name);
std::vector<std::string> delay_profile_names();

/// Of a text file with a tap per line, its delay in ns and its power in dB, between blanks or commas; what
/// follows a # is left out. Powers are scaled to the sum 1.
/// @throws Error(io) if it cannot be read;  Error(format) naming the line that is not such a tap
DelayProfile read_delay_profile(const std::filesystem::path& file);

/// E h(f + d) conj(h(f)) = sum_l P_l exp(-j 2 pi d tau_l), d in Hz.
std::complex<double> frequency_correlation(const DelayProfile& profile, double hz);
/// E h(t + d) conj(h(t)), d in s, for directions from all sides alike, J0(2 pi doppler d), but for the line
/// of sight, exp(j 2 pi 0.7 doppler d): the mean over the powers.
std::complex<double> time_correlation(const DelayProfile& profile, double doppler_hz, double s);

}  // namespace v0
}  // namespace chest
