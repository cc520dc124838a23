#pragma once

#include <memory>
#include <string>
#include <utility>

#include <chest/estimators/common/options.hpp>
#include <chest/estimators/grid/pilot_planes.hpp>

namespace chest {
inline namespace v0 {

enum class FrequencyInterpolation { linear, nearest, dft };
enum class TimeInterpolation { linear, nearest, average };
inline constexpr std::pair<FrequencyInterpolation, const char*> frequency_interpolation_names[] = {
    {FrequencyInterpolation::linear, "linear"},
    {FrequencyInterpolation::nearest, "nearest"},
    {FrequencyInterpolation::dft, "dft"}};
inline constexpr std::pair<TimeInterpolation, const char*> time_interpolation_names[] = {
    {TimeInterpolation::linear, "linear"},
    {TimeInterpolation::nearest, "nearest"},
    {TimeInterpolation::average, "average"}};

struct GridLsOptions {
  FrequencyInterpolation frequency = FrequencyInterpolation::linear;
  TimeInterpolation time = TimeInterpolation::linear;
  /// Of the transform of the pilots; 0: half of them.
  arma::uword taps = 0;
  std::string why_invalid() const;
};
inline constexpr auto grid_ls_options = options_of<GridLsOptions>(
    option("interpolation", &GridLsOptions::frequency, frequency_interpolation_names,
           "from the pilots over frequency"),
    option("time", &GridLsOptions::time, time_interpolation_names,
           "from the pilot symbols to the others"),
    option("taps", &GridLsOptions::taps, at_least(0), "delays kept of the pilots' transform")
        .default_is("half of them")
        .only_if([](const GridLsOptions& o) { return o.frequency == FrequencyInterpolation::dft; },
                 "interpolation=dft"));

/// Least squares at the pilots, then straight lines (or the nearest value, or the strongest delays)
/// over frequency, then over time. Predicts the error that the noise causes, not that of the
/// interpolation.
/// @throws Error(invalid_argument) as PilotPlanes, or if dft is asked of pilots at unequal distances
std::unique_ptr<Estimator> make_grid_ls(std::shared_ptr<const ObservationOperator> A,
                                        const GridLsOptions& options = {});

}  // namespace v0
}  // namespace chest
