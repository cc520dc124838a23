#pragma once

#include <armadillo>
#include <filesystem>
#include <string>
#include <vector>

#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/model_file.hpp>

namespace chest {
inline namespace v0 {

/// What a scheduler_config.json of diffusers says that concerns an estimate.
struct SchedulerConfig {
  NoiseSchedule schedule = NoiseSchedule::linear(1000, 1e-4, 0.02);
  Prediction prediction = Prediction::epsilon;
  TimestepSpacing spacing = TimestepSpacing::leading;
  arma::uword steps_offset = 0;
  std::string
      variance_type;  ///< "learned_range" of networks with reverse_variance; empty: not named
  std::string json;   ///< all entries, also those that chest has no use for
  /// What the configuration asks for and chest does not do, a sentence each: clip_sample, which is on where it
  /// is not named, would cut channels off.
  std::vector<std::string> doubts;
};

/// Reads the configuration of a DDPMScheduler, DMSEScheduler, DDIMScheduler or DPMSolverMultistepScheduler. betas
/// in double precision; where rescale_betas_zero_snr leaves no signal at the last level, abar there is 2^-24.
/// @param who  names the text in messages: a file
/// @throws Error(format) naming what is missing, of another class or out of range
SchedulerConfig parse_scheduler_config(const std::string& json, const std::string& who);
/// The same of a file.  @throws Error(io), Error(format)
SchedulerConfig read_scheduler_config(const std::filesystem::path& file);

/// The configuration of a model, JSON: a DDPMScheduler, which a DMSEScheduler reads as well, or what the model came
/// with. Betas that diffusers has no name for stand in trained_betas; nothing is clipped.
std::string scheduler_config_of(const NetworkModel& model);

}  // namespace v0
}  // namespace chest
