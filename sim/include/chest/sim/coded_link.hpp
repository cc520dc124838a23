#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <chest/sim/pusch.hpp>
#include <chest/sim/sweep.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// Another user on all elements of the grid, pilots among them: random QPSK from its first `rank` antennas, over the channel of
/// the sample half of the file away. Its mean power per receive antenna is that of the noise times the ratio; receivers are
/// told the sum of both for sigma2.
struct Interference {
  double ratio_db = 0.0;  ///< interference to noise, -50 .. 50
  arma::uword rank = 1;   ///< 1 .. n_tx
};
/// "10" or "10:2".  @throws Error(invalid_argument)
Interference parse_interference(const std::string& text);

/// Rows beside those of every estimator X.
struct BesideRows {
  /// "X+white": the channel with white Gaussian errors in place of X's, of the power that X's have in this sample on
  /// each port and symbol, which the detector is told: what remains to X is how its errors hang together and how well it knows them.
  bool white = false;
  /// "X+untold": the same estimates, taken for exact.
  bool untold = false;
  /// "X+dataN": blocks that are lost are estimated anew up to N times, each time with their data symbols, as the decoder
  /// believes them, as further pilots, and detected and decoded anew. 1 .. 9. The estimator "X:data=N" is that row
  /// alone.
  std::vector<arma::uword> data_rounds;
};
/// A list of white, untold, data1 .. data9.  @throws Error(invalid_argument) naming those that there are
BesideRows parse_beside(const std::string& list);

/// Transport blocks over channels on a grid: one sample of the channels is what one transmission sees. With n
/// transmissions n samples that follow each other in the run belong to one block; what is left at the end of a
/// block of the run is not used.
struct CodedLinkOptions {
  SweepOptions run;  ///< stop_rel looks at the BLER; `block` is rounded to whole transport blocks
  PuschOptions pusch;
  std::optional<Interference> interference;
  BesideRows beside;

  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

/// Block errors, throughput and bit errors beside the NMSE, over pilots and SNR; see run_sweep(). All estimators see the same
/// bits, channels and noise; a block that one has decoded is not sent again to it. The estimator "perfect" is
/// always the last one.
///
/// @throws as run_sweep(), and Error(invalid_argument) as make_allocation(), or if there are fewer samples than
///         transmissions of a block
Results run_coded_link(const SampleReader& samples, const CovarianceReader& covariances,
                       const EstimatorFactory& make_estimator, const CodedLinkOptions& options,
                       const RunControl& control = {});

/// Which transport block of a run is looked at.
struct ReplayChoice {
  double snr_db = 0.0;  ///< any, also one that the run does not have
  std::optional<arma::uword>
      block;  ///< in the order of the run, from 0; empty: the first that its first estimator loses
};
/// "4:17" or "4:lost".  @throws Error(invalid_argument)
ReplayChoice parse_replay(const std::string& text);

/// A transport block of a run with all that its receivers saw.
struct ReplayedBlock {
  struct Transmission {
    std::uint64_t sample = 0;
    Bits coded;                 ///< scrambled, [n_coded_bits]
    arma::cx_vec h;             ///< [n_h]
    arma::cx_mat pilots, data;  ///< received, [n_rx, n_pilots], [n_rx, n_data]
  };
  struct Reception {
    arma::cx_vec h_hat;       ///< [n_h]
    arma::vec err_var;        ///< [n_tx n_elements]; empty: not predicted
    std::vector<float> llrs;  ///< of the coded bits, descrambled, [n_coded_bits]
  };
  struct Row {
    std::string name;
    std::vector<Reception> receptions;  ///< of the transmissions that it needed
    Bits found;                         ///< [n_info_bits]
    bool delivered = false;
    BlockSums sums;
  };
  double snr_db = 0.0, sigma2 = 0.0;  ///< sigma2 as receivers are told
  arma::uword block = 0;
  std::string pilots;
  PuschAllocation allocation;
  arma::uword n_rx = 0, n_tx = 0;
  Bits bits;  ///< sent, [n_info_bits]
  std::vector<Transmission> transmissions;
  std::vector<Row> rows;
};

/// One block as run_coded_link() has it, bit for bit, with the first choice of pilots.
/// @throws as run_coded_link(), and Error(invalid_argument) if there is no such block, or none is lost
ReplayedBlock replay_coded_link(const SampleReader& samples, const CovarianceReader& covariances,
                                const EstimatorFactory& make_estimator,
                                const CodedLinkOptions& options, const ReplayChoice& choice,
                                const RunControl& control = {});
/// Writes it as an HDF5 file (docs/link.md).  @throws Error(io)
void save(const std::filesystem::path& file, const ReplayedBlock& replayed,
          const Provenance& provenance);
/// What it shows, for people: a line per row.
std::string to_text(const ReplayedBlock& replayed);

}  // namespace sim
}  // namespace v0
}  // namespace chest
