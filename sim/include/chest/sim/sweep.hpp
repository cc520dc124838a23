#pragma once

#include <armadillo>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/observation.hpp>
#include <chest/run_control.hpp>
#include <chest/samples.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/sim/results.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// What a Monte Carlo run over pilots x SNR goes through, and how.
///
/// Samples are cut into fixed blocks; noise depends on (seed, SNR in thousandths of a dB, sample)
/// alone; sums are added in the order of blocks. So the numbers depend neither on the number of
/// threads, nor on shards, nor on interruptions, and a point stays the same when others are added.
struct SweepOptions {
  std::vector<PilotSpec> pilots{PilotSpec{}};
  double pilot_power = 1.0;             ///< ||p||^2 per pilot slot, > 0
  std::vector<double> snr_db;           ///< distinct
  std::vector<std::string> estimators;  ///< as the factory knows them: "dmse:steps=1"
  arma::uword first = 0, end = 0;       ///< samples first .. end - 1; end 0: to the last
  SampleSet left_out;                   ///< of them, never read; the others keep their numbers
  arma::uword block = 64;               ///< samples per block, >= 1; changes rounding only
  std::uint64_t seed = 1;
  /// A point stops at the first block (from the fourth on) after which the 95 % interval of every
  /// estimator is narrower than +- this part of its value; 0: never. Not with shards, which do not
  /// know each other's blocks.
  double stop_rel = 0.0;
  /// The same after the first block with which every row has so many block errors; 0: never. Of links of transport
  /// blocks alone.
  arma::uword stop_errors = 0;
  Shard shard;
  unsigned n_threads = 1;  ///< 0: all processors
  /// Channels are kept in memory up to this size; longer ranges are read again for each point.
  std::size_t cache_bytes = std::size_t{128} << 20;
  /// Wall-clock instead of thread CPU time for Row::seconds_per_channel: estimators on a device.
  bool wall_clock = false;
  /// Results file: every finished point is there at once, and a run that was stopped or killed
  /// continues from it. Empty: none.
  std::filesystem::path out;
  bool force = false;  ///< overwrite results of another command
  /// Observation::side of each sample; without samples: none.
  SampleReader side;
  /// JSON object naming what the numbers come from (files and their hashes, device); part of the
  /// identity of the command.
  std::string inputs;
  std::string command_line;  ///< for the record

  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

/// Reads the covariances of samples first .. first + count - 1, for the genie; may be empty.
using CovarianceReader =
    std::function<ToeplitzKroneckerCovariances(arma::uword first, arma::uword count)>;

/// Makes the estimator of a name for one observation.
using EstimatorFactory = std::function<std::shared_ptr<const Estimator>(
    const std::string& name, const std::shared_ptr<const ObservationOperator>& A)>;

/// NMSE of estimators over pilots and SNR. All of them see the same channels and the same noise.
/// When stopped by `control`, returns with the finished points (and what is done of the others is
/// in the results file).
///
/// @param samples      channels with E||h||^2 = n_h
/// @param covariances  what the genie is told; may be empty
/// @throws Error(invalid_argument) if options or sizes do not fit, or `out` holds results of
/// another
///         command and force is off
/// @throws Error(numeric) naming the estimator, point and sample of the first value that is not
/// finite
/// @throws Error(io), Error(format) from files, and whatever the factory throws
Results run_sweep(const SampleReader& samples, const CovarianceReader& covariances,
                  const EstimatorFactory& make_estimator, const SweepOptions& options,
                  const RunControl& control = {});

}  // namespace sim
}  // namespace v0
}  // namespace chest
