#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/sim/statistics.hpp>
#include <chest/sim/sweep.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// Clock of the timings: CPU time of the calling thread, which other programs do not change, or
/// wall clock for work done on a device.
double seconds_now(bool wall_clock);

/// One block of channels at one point, as every estimator sees it.
struct Scene {
  const arma::cx_mat& h;           ///< [n_h, n]
  const Observation& observation;  ///< of these channels
  const ObservationOperator& A;
  arma::uword n_rx, n_tx;
  std::uint64_t seed;
  std::uint64_t snr_stream;  ///< major number of the random streams of this SNR
  arma::uword i_pilots;      ///< which of the run's pilots
};

/// What a run measures beside the errors; one per worker, so it may keep buffers.
class Meter {
 public:
  virtual ~Meter() = default;
  /// Called first: adds what else the pilots receive.
  /// @param y  received pilots with their noise, [n_obs, n]
  /// @return   the variance per entry that receivers are told on top of the noise's
  virtual double disturb(const Scene& scene, arma::cx_mat& y);
  /// Called once per block, before its estimates.
  virtual void begin(const Scene& scene) = 0;
  /// Adds what follows from the estimates of one row.
  /// @param i_row     of Results::estimators
  /// @param estimate  changed only in Experiment::refined
  /// @param sums      [n_modulations, n_sums]; behind the first ErrorSums::count of each
  virtual void measure(const Scene& scene, arma::uword i_row, Estimate& estimate, double* sums) = 0;
  /// CPU time of the thread in decoders, in s, since the meter was made.
  virtual double decoding_seconds() const;
};

/// A row beside those of the estimators.
struct DerivedRow {
  std::string name;
  std::optional<arma::uword> of;  ///< the estimator whose estimates it is made from; empty: none
  /// Fills `out` from the channels and what the estimator found (for none: nothing).
  std::function<void(const Scene&, const Estimate& found, Estimate& out)> make;
};
/// "perfect", h_hat = h.
DerivedRow perfect_row();

/// What distinguishes one kind of run from another.
struct Experiment {
  ResultKind kind = ResultKind::sweep;
  std::vector<std::string> modulations;
  arma::uword n_data = 0;
  arma::uword n_sums = ErrorSums::count;
  std::vector<DerivedRow> derived;  ///< behind the estimators
  std::set<arma::uword> refined;    ///< rows whose estimates Meter::measure() improves
  bool per_element = false;         ///< asks for Estimate::element_mse
  std::string options;              ///< JSON object: further options that the numbers depend on
  std::function<std::unique_ptr<Meter>()> make_meter;  ///< empty: errors only
  /// Half the width of the interval over the value, from the sums of one series.
  std::function<double(const double*)> relative_half_width;
  /// Errors of the kind that SweepOptions::stop_errors counts, from the sums of one series.
  std::function<double(const double*)> n_errors;
};

/// The block loop that every Monte Carlo run shares: see run_sweep().
Results run_experiment(const SampleReader& samples, const CovarianceReader& covariances,
                       const EstimatorFactory& make_estimator, const SweepOptions& options,
                       const Experiment& experiment, const RunControl& control);

/// What differs first between the options of two commands, JSON objects as of Provenance::options: "seed is 2 here, 1 there";
/// empty when they are equal.
std::string options_difference(const std::string& here, const std::string& there);

/// What an earlier run of the command left in the file that `now` writes, as `now` continues it; empty: there is no such
/// file, or it is to be replaced.
/// @param load  reads it
/// @throws Error(invalid_argument) if it is of another command or shard, and what `load` throws
template <class Run, class Load>
std::optional<Run> earlier_part(const Run& now, const std::filesystem::path& out, bool force,
                                const Load& load) {
  if (out.empty() || force || !std::filesystem::exists(out)) return {};
  const std::string again = "; use --force to overwrite it or choose another --out";
  std::optional<Run> earlier;
  try {
    earlier = load(out);
  } catch (const Error& error) {
    throw Error(error.kind(), std::string(error.what()) + again);
  }
  std::string differs = options_difference(now.provenance.options, earlier->provenance.options);
  if (differs.empty() &&
      (now.shard.index != earlier->shard.index || now.shard.count != earlier->shard.count))
    differs = "shard is " + std::to_string(now.shard.index) + "/" +
              std::to_string(now.shard.count) + " here, " + std::to_string(earlier->shard.index) +
              "/" + std::to_string(earlier->shard.count) + " there";
  if (!differs.empty())
    throw Error(ErrorKind::invalid_argument,
                out.string() + ": holds results of another command (" + differs + ")" + again);
  earlier->provenance.command_line = now.provenance.command_line;
  earlier->provenance.made_by.clear();
  earlier->provenance.made_at.clear();
  return earlier;
}

/// "1.20 ms of CPU time per slot: 6 % in estimators, 19 % in decoders, 75 % elsewhere", behind an empty line.
/// @param n_slots  of all rows together
std::string time_text(double seconds, double in_estimators, double in_decoders, double n_slots);

/// What merge() asks of a shard before it takes its numbers.
struct ShardFacts {
  std::string options;  ///< Provenance::options
  Shard shard;
  bool finished = false;
  std::string unfit;  ///< what does not fit the first shard, "its number"; empty: all does
};
/// @throws Error(invalid_argument) if they are of different commands, one does not fit, is missing, given twice or not finished
void check_shards(const std::vector<ShardFacts>& shards);
/// Of a shard whose content does not fit the others.
Error unfit_shard(const Shard& shard, const std::string& what);

/// Major number of the random streams of an SNR: thousandths of a dB, so that a point does not
/// depend on its place in a list.
std::uint64_t snr_stream(double snr_db);

}  // namespace sim
}  // namespace v0
}  // namespace chest
