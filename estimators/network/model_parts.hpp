#pragma once

#include <armadillo>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <chest/archive.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>

#include "settings.hpp"

namespace chest {
inline namespace v0 {

// What a model file may ask for, so that a damaged one cannot ask for all memory.
constexpr std::int64_t most_parameters = std::int64_t{1} << 26;
constexpr arma::uword most_noise_levels = 100'000;
constexpr std::uint64_t most_epochs = 10'000'000;

/// A vector, [n], n <= most.  @throws Error(format) if there is none, or a longer one
arma::vec read_vec(const ArchiveReader& archive, const std::string& dataset, std::uint64_t most);
void write_vec(ArchiveWriter& archive, const std::string& dataset, const arma::vec& values);

/// @throws Error(format) naming `file` if the betas are not those of a schedule
NoiseSchedule schedule_from(const std::filesystem::path& file, const arma::vec& betas);

/// What to_json() wrote.  @throws Error(format) if an entry is missing or not valid
NetworkConfig read_config(const std::filesystem::path& file, const Settings& network);

/// NetworkConfig::published() with other sizes.
/// @param pre, post  planes before and after each convolution, up to the modulated layer and from
///                   it on, as the code of [Fesl2024a] lists them: {2, 32, 64}, {64, 43, 22, 2}
/// @throws Error(format) if they do not lead from 2 planes to 2 planes
NetworkConfig published_config(const std::filesystem::path& file, const std::vector<int>& pre,
                               const std::vector<int>& post, int kernel, int embedding);

/// Sizes, layers and prediction that the sim_params.json of the code of [Fesl2024a] names; no weights.
/// @throws Error(format) naming what chest does not run
NetworkModel published_model(const std::filesystem::path& file, const Settings& params);
/// The schedule of its betas, or of sim_params where there are none.
/// @throws Error(format) if the two contradict each other, or neither says it
void set_published_schedule(NetworkModel& model, const std::filesystem::path& file,
                            const Settings& params, const arma::vec& betas);

/// The weights below `prefix`, in the order of network_layout() and under its names.
/// @param published_names  the file has them under the names of the code of [Fesl2024a]
/// @throws Error(format) if one is missing, of a wrong shape or not finite
std::vector<NamedTensor> read_network_weights(const ArchiveReader& archive,
                                              const std::string& prefix,
                                              const NetworkConfig& config, bool published_names);

struct SchedulerConfig;
/// @throws Error(format) if the configuration says other variances than the network has
void check_variances(const SchedulerConfig& config, const NetworkConfig& network,
                     const std::string& who);

}  // namespace v0
}  // namespace chest
