#pragma once

#include <armadillo>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <chest/grid.hpp>
#include <chest/provenance.hpp>
#include <chest/sim/pilots.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// What the SNR of every result means: the text of the column `snr_definition`.
inline constexpr const char* snr_definition =
    "snr_db = -10 log10(sigma2): per receive antenna and pilot slot for E||h||^2 = n_h";

/// sweep: errors alone; link: uncoded streams over matrices; coded_link: transport blocks over grids.
enum class ResultKind { sweep, link, coded_link };
/// "sweep", "link", "coded-link"
const char* to_string(ResultKind kind);

/// Part i of n of a run, i = 1 .. n: every n-th block of samples.
struct Shard {
  arma::uword index = 1;
  arma::uword count = 1;
};
/// Reads "2/3".  @throws Error(invalid_argument) unless 1 <= i <= n
Shard parse_shard(const std::string& text);
/// The part of this process among those that a cluster started, from their environment: tasks of a Slurm array,
/// each of as many processes as srun or Open MPI's mpirun starts; 1/1 outside of them.
/// @param variable  its value, null where it is not set; empty: std::getenv()
/// @throws Error(invalid_argument) if a variable is missing or is no number, or the numbers of the tasks of an array
///         are not a range (with or without a step)
Shard shard_of_environment(const std::function<const char*(const char*)>& variable = {});

/// All that a run of `chest sweep` or `chest link` produced: its axes, and its sums block by block,
/// from which every row is computed and shards are merged.
///
/// A point is one choice of pilots at one SNR, i_point = i_pilots * n_snr + i_snr. A series is one
/// estimator (sweep) or one estimator with one modulation (link), i_series = i_estimator *
/// n_modulations + i_modulation.
struct Results {
  ResultKind kind = ResultKind::sweep;
  Provenance provenance;  ///< options: JSON of all that the numbers depend on; equal: same command
  std::vector<Pilots> pilots;
  std::vector<double> snr_db;
  std::vector<std::string> estimators;
  std::vector<std::string> modulations;  ///< of a link run; of a coded link the one of its data
  arma::uword n_rx = 0, n_tx = 0;
  GridAxes grid;
  arma::uword first = 0, end = 0;  ///< samples first .. end - 1 of the channel file
  arma::uword block = 0;           ///< samples per block; the last may have fewer
  arma::uword n_data = 0;          ///< data symbol vectors per channel of a link run
  arma::uword n_sums = 0;          ///< sums per series and block
  /// Estimator::method() of each point and estimator, [n_points, n_estimators], C order.
  std::vector<std::string> methods;
  Shard shard;

  std::vector<double> sums;         ///< [n_points, n_blocks, n_series, n_sums], C order
  std::vector<std::uint32_t> done;  ///< [n_points, n_blocks]: 1 where sums are known
  /// Leading blocks that a finished point is made of, [n_points]; 0: not finished. A shard counts
  /// the blocks of the other shards too.
  std::vector<std::uint32_t> used;

  // Timings: the only part that differs between two runs of one command, with the attributes
  // command_line, made_at and made_by.
  std::vector<double> seconds;         ///< in each estimator, [n_points, n_blocks, n_estimators]
  double seconds_total = 0.0;          ///< of all workers, by the clock of `seconds`
  double seconds_in_estimators = 0.0;  ///< part of it spent inside the estimators
  double seconds_in_decoders = 0.0;    ///< CPU time in the decoders of a coded link

  arma::uword n_points() const { return pilots.size() * snr_db.size(); }
  arma::uword n_blocks() const { return block == 0 ? 0 : (end - first + block - 1) / block; }
  arma::uword n_modulations() const { return kind == ResultKind::link ? modulations.size() : 1; }
  arma::uword n_series() const { return estimators.size() * n_modulations(); }
  /// Whether block i belongs to this shard.
  bool in_shard(arma::uword i_block) const { return i_block % shard.count + 1 == shard.index; }
  const double* sums_of(arma::uword i_point, arma::uword i_block, arma::uword i_series) const {
    return sums.data() + ((i_point * n_blocks() + i_block) * n_series() + i_series) * n_sums;
  }
  double* sums_of(arma::uword i_point, arma::uword i_block, arma::uword i_series) {
    return sums.data() + ((i_point * n_blocks() + i_block) * n_series() + i_series) * n_sums;
  }
  /// Every point is finished.
  bool finished() const;
  /// Part of the workers' time that was spent outside the estimators, 0 .. 1: noise, errors, sums,
  /// results files (and the detection of a link run).
  double share_outside_estimators() const;
  /// Identity of the command: a hash of provenance.options.
  std::string command_hash() const;
};

/// One row of results.csv. Fields that do not apply or are not known are NaN.
struct Row {
  std::string estimator, pilots;
  arma::uword n_pilots = 0;
  double snr_db = 0;            ///< requested
  double snr_measured_db = 0;   ///< sum ||A h||^2 / sum ||n||^2
  double snr_effective_db = 0;  ///< Pilots::gain() / sigma2
  arma::uword n_samples = 0;
  double nmse = 0, nmse_db = 0;                  ///< sum ||h_hat - h||^2 / sum ||h||^2
  double nmse_ci95_low = 0, nmse_ci95_high = 0;  ///< linear
  double nmse_per_sample = 0;                    ///< mean of ||h_hat - h||^2 / ||h||^2
  double nfe = 0;                                ///< denoiser calls per channel
  double seconds_per_channel = 0;                ///< thread CPU time of the estimator
  double nmse_predicted = 0;                     ///< from Estimate::mse
  arma::uword n_reset =
      0;               ///< channels that left the range of numbers on the way (Estimate::n_reset)
  std::string method;  ///< what ran, where the estimator chooses
  // On a grid only:
  double nmse_pilots = 0;   ///< nmse of the entries that carry pilots
  double pilot_energy = 0;  ///< per pilot
  std::string fitted_on;    ///< the channels of the run that its model saw; empty: none known
  // Link runs only:
  std::string modulation;  ///< also of a coded link
  double ser = 0, ber = 0, ber_ci95_low = 0, ber_ci95_high = 0;
  double rate_bits_per_use = 0;  ///< over all streams
  double n_bits = 0;
  // Coded links only; `ber` is that of information bits after the last transmission:
  double bler = 0, bler_ci95_low = 0, bler_ci95_high = 0;  ///< after the last transmission
  double bler_first = 0;                                   ///< after the first one
  /// Delivered blocks over transmissions: the part of the greatest throughput.
  double throughput = 0, throughput_ci95_low = 0, throughput_ci95_high = 0;
  double coded_ber = 0;      ///< of the bits as received, before decoding
  double transmissions = 0;  ///< per block
  double iterations = 0;     ///< per decoded code block
  double n_blocks = 0;       ///< transport blocks
  double info_bits = 0;      ///< of a transport block
  double code_rate = 0;      ///< information bits over the coded bits of one transmission
};

/// Rows of the finished points: by pilots, then SNR, then estimator, then modulation.
std::vector<Row> rows(const Results& results);
/// The rows as CSV with a header line; docs/results.md names the columns.
std::string to_csv(const Results& results);
/// The finished points for people: one block per choice of pilots (and modulation), a line per SNR,
/// a column per estimator; NMSE in dB, the BER of a link run, or the BLER of a coded one with what each estimator closes of
/// the gap from ls to perfect, and where the time went.
std::string to_table(const Results& results);

/// Where a curve of (SNR in dB, BLER) first falls to a BLER, its logarithm on lines between the points; NaN if it does not,
/// or to a point without an error.
double snr_at_bler(std::vector<std::pair<double, double>> curve, double bler);

/// Writes results.h5 (docs/results.md), in place in one step.  @throws Error(io)
void save(const std::filesystem::path& file, const Results& results);
/// @throws Error(io), Error(format) if the file is not a results file or is damaged
Results load_results(const std::filesystem::path& file);

/// Empty when both are of one command, shards aside; otherwise what differs first: "seed is 2 here,
/// 1 there".
std::string difference(const Results& here, const Results& there);

/// Puts the shards of a run together: the result equals that of the run in one piece, timings
/// aside.
/// @throws Error(invalid_argument) if they are of different commands, one is missing, given twice
/// or
///         not finished
Results merge(const std::vector<Results>& shards);

}  // namespace sim
}  // namespace v0
}  // namespace chest
