// Delays and powers of TR 38.901, tables 7.7.2-1 to 5, and of TS 38.101-4, B.2.1.
#include <chest/delay_profile.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numbers>
#include <vector>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

struct Tap {
  double delay;     // of the unit below
  double power_db;  // not normalised
};

struct NamedProfile {
  const char* name;
  double unit_s;  // of the delays: 1 for those that are scaled
  bool has_los;
  std::vector<Tap> taps;
};

const std::vector<NamedProfile>& named_profiles() {
  constexpr double ns = 1e-9;
  static const std::vector<NamedProfile> profiles = {
      {"A", 1.0, false, {{0.0000, -13.4}, {0.3819, 0.0},   {0.4025, -2.2},  {0.5868, -4.0},
                         {0.4610, -6.0},  {0.5375, -8.2},  {0.6708, -9.9},  {0.5750, -10.5},
                         {0.7618, -7.5},  {1.5375, -15.9}, {1.8978, -6.6},  {2.2242, -16.7},
                         {2.1718, -12.4}, {2.4942, -15.2}, {2.5119, -10.8}, {3.0582, -11.3},
                         {4.0810, -12.7}, {4.4579, -16.2}, {4.5695, -18.3}, {4.7966, -18.9},
                         {5.0066, -16.6}, {5.3043, -19.9}, {9.6586, -29.7}}},
      {"B", 1.0, false, {{0.0000, 0.0},   {0.1072, -2.2},  {0.2155, -4.0}, {0.2095, -3.2},
                         {0.2870, -9.8},  {0.2986, -1.2},  {0.3752, -3.4}, {0.5055, -5.2},
                         {0.3681, -7.6},  {0.3697, -3.0},  {0.5700, -8.9}, {0.5283, -9.0},
                         {1.1021, -4.8},  {1.2756, -5.7},  {1.5474, -7.5}, {1.7842, -1.9},
                         {2.0169, -7.6},  {2.8294, -12.2}, {3.0219, -9.8}, {3.6187, -11.4},
                         {4.1067, -14.9}, {4.2790, -9.2},  {4.7834, -11.3}}},
      {"C", 1.0, false, {{0.0000, -4.4},  {0.2099, -1.2},  {0.2219, -3.5},  {0.2329, -5.2},
                         {0.2176, -2.5},  {0.6366, 0.0},   {0.6448, -2.2},  {0.6560, -3.9},
                         {0.6584, -7.4},  {0.7935, -7.1},  {0.8213, -10.7}, {0.9336, -11.1},
                         {1.2285, -5.1},  {1.3083, -6.8},  {2.1704, -8.7},  {2.7105, -13.2},
                         {4.2589, -13.9}, {4.6003, -13.9}, {5.4902, -15.8}, {5.6077, -17.1},
                         {6.3065, -16.0}, {6.6374, -15.7}, {7.0427, -21.6}, {8.6523, -22.8}}},
      {"D",
       1.0,
       true,
       {{0.000, -0.2},
        {0.000, -13.5},
        {0.035, -18.8},
        {0.612, -21.0},
        {1.363, -22.8},
        {1.405, -17.9},
        {1.804, -20.1},
        {2.596, -21.9},
        {1.775, -22.9},
        {4.042, -27.8},
        {7.937, -23.6},
        {9.424, -24.8},
        {9.708, -30.0},
        {12.525, -27.7}}},
      {"E",
       1.0,
       true,
       {{0.0000, -0.03},
        {0.0000, -22.03},
        {0.5133, -15.8},
        {0.5440, -18.1},
        {0.5630, -19.8},
        {0.5440, -22.9},
        {0.7112, -22.4},
        {1.9092, -18.6},
        {1.9293, -20.8},
        {1.9589, -22.6},
        {2.6426, -22.3},
        {3.7136, -25.6},
        {5.4524, -20.2},
        {12.0034, -29.8},
        {20.6519, -29.2}}},
      {"TDLA30",
       ns,
       false,
       {{0, -15.5},
        {10, 0.0},
        {15, -5.1},
        {20, -5.1},
        {25, -9.6},
        {50, -8.2},
        {65, -13.1},
        {75, -11.5},
        {105, -11.0},
        {135, -16.2},
        {150, -16.6},
        {290, -26.2}}},
      {"TDLB100",
       ns,
       false,
       {{0, 0.0},
        {10, -2.2},
        {20, -0.6},
        {30, -0.6},
        {35, -0.3},
        {45, -1.2},
        {55, -5.9},
        {120, -2.2},
        {170, -0.8},
        {245, -6.3},
        {330, -7.5},
        {480, -7.1}}},
      {"TDLC300",
       ns,
       false,
       {{0, -6.9},
        {65, 0.0},
        {70, -7.7},
        {190, -2.5},
        {195, -2.4},
        {200, -9.9},
        {240, -8.0},
        {325, -6.6},
        {520, -7.1},
        {1045, -13.0},
        {1510, -14.2},
        {2595, -16.0}}},
  };
  return profiles;
}

}  // namespace

DelayProfile delay_profile(const std::string& name) {
  // "TDLB100-400": the Doppler behind the dash.
  const std::size_t dash = name.find('-');
  const std::string base = name.substr(0, dash);
  std::vector<std::string> names;
  for (const NamedProfile& profile : named_profiles()) {
    names.emplace_back(profile.name);
    if (base != profile.name) continue;
    DelayProfile out;
    out.has_los = profile.has_los;
    out.delays.set_size(profile.taps.size());
    out.powers.set_size(profile.taps.size());
    for (arma::uword l = 0; l < profile.taps.size(); ++l) {
      out.delays(l) = profile.unit_s * profile.taps[l].delay;
      out.powers(l) = std::pow(10.0, profile.taps[l].power_db / 10.0);
    }
    out.powers /= arma::accu(out.powers);
    if (dash == std::string::npos) return out;
    if (profile.unit_s == 1.0) break;
    out.doppler_hz = to_number(name.substr(dash + 1), "profile " + name + ": the Doppler in Hz");
    return out;
  }
  refuse("profile '" + name + "' is unknown" + did_you_mean(base, names) + "; there are " +
         enumerate(names) + ", the last three also with a Doppler in Hz, as in TDLB100-400");
}

std::vector<std::string> delay_profile_names() {
  std::vector<std::string> names;
  for (const NamedProfile& profile : named_profiles()) names.emplace_back(profile.name);
  return names;
}

DelayProfile read_delay_profile(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in || std::filesystem::is_directory(file))
    throw Error(ErrorKind::io, file.string() + ": cannot be read");
  constexpr std::size_t most_taps = 100'000;
  std::vector<double> delays, powers;
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    line = trimmed(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    for (char& c : line)
      if (c == ',' || c == ';' || c == '\t') c = ' ';
    const std::size_t blank = line.find(' ');
    const std::string where = file.string() + ", line " + std::to_string(number);
    const auto is_text = [](unsigned char c) { return c >= ' ' && c < 127; };
    if (!std::all_of(line.begin(), line.end(), is_text))
      throw Error(ErrorKind::format,
                  where + ": this is no text, expected a delay in ns and a power in dB");
    try {
      if (blank == std::string::npos) refuse("one value");
      delays.push_back(1e-9 * to_number(line.substr(0, blank), "the delay"));
      powers.push_back(std::pow(10.0, to_number(trimmed(line.substr(blank)), "the power") / 10.0));
    } catch (const Error&) {
      throw Error(ErrorKind::format,
                  where + ": '" + line + "', expected a delay in ns and a power in dB");
    }
    if (!(delays.back() >= 0.0 && delays.back() < 1.0) || !std::isfinite(powers.back()))
      throw Error(ErrorKind::format,
                  where + ": '" + line + "', expected a delay of 0 ns to 1 s and a finite power");
    if (delays.size() > most_taps)
      throw Error(ErrorKind::format, where + ": more than " + std::to_string(most_taps) + " taps");
  }
  DelayProfile out;
  out.delays = delays;
  out.powers = powers;
  if (delays.empty() || !(arma::accu(out.powers) > 0.0))
    throw Error(ErrorKind::format,
                file.string() + ": no taps; expected a delay in ns and a power in dB per line");
  out.powers /= arma::accu(out.powers);
  return out;
}

std::complex<double> frequency_correlation(const DelayProfile& profile, double hz) {
  std::complex<double> sum = 0.0;
  for (arma::uword l = 0; l < profile.delays.n_elem; ++l)
    sum += std::polar(profile.powers(l), -2.0 * std::numbers::pi * hz * profile.delays(l));
  return sum;
}

std::complex<double> time_correlation(const DelayProfile& profile, double doppler_hz, double s) {
  const double turn = 2.0 * std::numbers::pi * doppler_hz * s;
  const double fading = ::j0(std::abs(turn));
  if (!profile.has_los) return fading;
  return std::polar(profile.powers(0), line_of_sight_doppler * turn) +
         (1.0 - profile.powers(0)) * fading;
}

}  // namespace v0
}  // namespace chest
