#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <chest/estimators/common/estimator.hpp>
#include <chest/grid_covariance.hpp>
#include <chest/provenance.hpp>
#include <chest/run_control.hpp>
#include <chest/sim/pusch.hpp>
#include <chest/sim/results.hpp>
#include <chest/sim/statistics.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// One requirement on the PUSCH of a base station: the SNR at which at least 70 % of the greatest throughput must pass.
struct ConformanceCell {
  std::string
      name;  ///< "5MHz-15kHz-A3-1x2": bandwidth, spacing, reference channel, layers x receive antennas
  double spacing_hz = 15e3;
  arma::uword n_blocks = 25;  ///< resource blocks
  std::string profile;        ///< "TDLB100-400"
  Mcs mcs{};
  arma::uword n_layers = 1, n_rx = 2;
  double snr_required_db = 0.0;

  /// 12 subcarriers of each resource block, 14 symbols.
  GridAxes grid() const;
};

/// All 70: fixed reference channels A3 (QPSK 193/1024, TDLB100-400), A4 (16-QAM 658/1024, TDLC300-100), A5 (64-QAM 567/1024,
/// TDLA30-10) over 7 carriers, low correlation.
/// Source: 3GPP TS 38.104, 8.2.1; reference channels annex A.3 to A.5
const std::vector<ConformanceCell>& conformance_cells();
/// "all", or names in a list. "5MHz-15kHz" alone names all cells that begin so.
/// @throws Error(invalid_argument) naming the nearest cell
std::vector<ConformanceCell> parse_cells(const std::string& list);

struct ConformanceOptions {
  std::vector<ConformanceCell> cells;
  std::vector<std::string> estimators;  ///< as the factory knows them; "perfect" is known here
  arma::uword n_slots =
      1000;               ///< transport blocks at an SNR, 8 or more; retransmissions come on top
  PuschOptions receiver;  ///< its detector, demapper, decoder and error_variance count
  std::uint64_t seed = 1;
  Shard shard;  ///< part i of n: every n-th cell
  unsigned n_threads = 1;
  /// Results file: a run that was stopped or killed continues from it. Empty: none.
  std::filesystem::path out;
  bool force = false;        ///< overwrite results of another command
  std::string inputs;        ///< as of SweepOptions
  std::string command_line;  ///< for the record

  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

/// What is known of one row at one SNR: sums over the first `done` of `n` transport blocks.
struct ConformanceLook {
  arma::uword i_row = 0;  ///< i_cell * n_estimators + i_estimator
  double snr_db = 0.0;    ///< whole thousandths
  arma::uword n = 0;      ///< blocks that the search wants
  arma::uword done = 0;
  BlockSums sums;
};

/// Throughput of an estimator at one SNR.
struct ThroughputPoint {
  double snr_db = 0.0;
  BlockSums sums;
};

struct ConformanceRow {
  ConformanceCell cell;
  std::string estimator;
  double snr_db =
      0.0;  ///< where the throughput is 70 %; NaN: nowhere within 30 dB of the requirement
  Interval interval{0, 0};              ///< of snr_db, 95 %
  std::uint64_t n_slots = 0;            ///< sent at the two SNRs that snr_db lies between
  std::vector<ThroughputPoint> points;  ///< with all slots, ascending

  double margin_db() const { return cell.snr_required_db - snr_db; }
};

struct ConformanceResults {
  Provenance provenance;  ///< options: JSON of all that the numbers depend on; equal: same command
  std::vector<ConformanceCell> cells;
  std::vector<std::string> estimators;
  arma::uword n_slots = 0;  ///< as of the options
  Shard shard;
  std::vector<ConformanceLook> looks;  ///< by row, then as the search asked for them
  // These follow from the looks.
  std::vector<ConformanceRow> rows;  ///< by cell, then estimator: those that are finished
  bool finished = false;             ///< all rows of this shard are
  // CPU time of the workers, in s, and what it was spent on: with the attributes command_line, made_at and made_by the only
  // part that differs between runs.
  double seconds = 0.0, seconds_in_estimators = 0.0, seconds_in_decoders = 0.0;
  std::uint64_t n_sent = 0;  ///< slots in all

  /// Whether a cell belongs to this shard.
  bool in_shard(arma::uword i_cell) const { return i_cell % shard.count + 1 == shard.index; }
};

/// Makes an estimator for the pilots of a cell.
/// @param covariance  of the channels of the cell, for estimators that know it
using CellEstimatorFactory = std::function<std::shared_ptr<const Estimator>(
    const ConformanceCell& cell, const std::string& name,
    const std::shared_ptr<const ObservationOperator>& A,
    const std::shared_ptr<const GridCovariance>& covariance)>;

/// DM-RS of these cells: type 1, symbols 2 and 11, no data beside them, 3 dB above the data.
inline constexpr const char* conformance_pilots = "dmrs:symbols=2-11,groups=2";

/// Looks for the SNR of 70 % throughput of every estimator in every cell: at first with an eighth of the slots in steps of
/// 1 dB, then with all on the two neighbours of a grid of 0.5 dB, between which it lies on a line.
///
/// Up to four transmissions, redundancy versions 0, 2, 3, 1, fading independent from slot to slot. SNR: of all layers
/// together, per receive antenna and resource element. Bits, fading and noise (but for its power) are the same for all
/// estimators and SNRs, and do not depend on the number of threads, on shards, or on interruptions.
/// When stopped by `control`, returns with the finished rows; what is known of the others is in the results file.
/// @throws Error(invalid_argument) if the options do not go together, or `out` holds results of another command and force is off
/// @throws Error(io), Error(format) from that file, and what the factory throws
ConformanceResults run_conformance(const ConformanceOptions& options,
                                   const CellEstimatorFactory& make_estimator,
                                   const RunControl& control = {});

/// Writes a results file (docs/link.md), in place in one step.  @throws Error(io)
void save(const std::filesystem::path& file, const ConformanceResults& results);
/// Whether a file says that it is one.  @throws Error(io), Error(format) if it is not HDF5
bool is_conformance_file(const std::filesystem::path& file);
/// @throws Error(io), Error(format) if it is no such file or is damaged
ConformanceResults load_conformance(const std::filesystem::path& file);
/// Puts the shards of a run together: the run in one piece, timings aside.
/// @throws Error(invalid_argument) if they are of different commands, one is missing, given twice or not finished
ConformanceResults merge(const std::vector<ConformanceResults>& shards);

/// Columns cell, estimator, snr_required_db, snr_at_70_percent_db, margin_db, n_slots. An SNR that was not found is empty.
std::string to_csv(const ConformanceResults& results);
/// The same for people, with the interval, and where the time went.
std::string to_table(const ConformanceResults& results);
/// Throughput over SNR, a panel for each cell; files as plot() of results takes them.  @throws as plot()
void plot(const ConformanceResults& results, const std::filesystem::path& file);

}  // namespace sim
}  // namespace v0
}  // namespace chest
