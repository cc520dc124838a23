#pragma once

#include <armadillo>
#include <complex>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <chest/estimators/common/estimator.hpp>
#include <chest/random.hpp>
#include <chest/sim/coding/qam.hpp>
#include <chest/sim/coding/transport.hpp>
#include <chest/sim/detection.hpp>
#include <chest/sim/pilots.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// "log-map", "max-log".  @throws Error(invalid_argument) naming those that there are
DemapperKind demapper_kind_from_string(const std::string& name);

/// Layered offset min-sum with int8 messages, at most 20 iterations: what receivers run.
DecoderOptions link_decoder();

/// A transport block over a grid, as a 5G PUSCH without transform precoding sends it.
struct PuschOptions {
  unsigned mcs_table = 1;           ///< 1 .. 3
  std::optional<arma::uword> mcs;   ///< row of the table; empty: modulation and code_rate
  std::string modulation = "qpsk";  ///< qpsk, 16qam, 64qam, 256qam
  double code_rate = 0.5;           ///< target, above 0, below 1
  std::size_t n_info_bits = 0;      ///< of a transport block; 0: as transport_block_size()
  arma::uword n_layers = 0;         ///< transmit antennas that send data, the first; 0: all. 1 .. 4
  arma::uword n_transmissions = 1;  ///< of a block, at most: redundancy versions 0, 2, 3, 1. 1 .. 4
  DetectorOptions detector;
  DemapperKind demapper = DemapperKind::log_map;
  bool error_variance = true;  ///< the detector is told err_var
  bool layer_codes = false;    ///< a transport block of its own for each layer, sent once
  DecoderOptions decoder = link_decoder();

  /// Empty when usable; otherwise one sentence naming the field, its value and its range.
  std::string why_invalid() const;
};

/// Where the data goes, and how much of it.
struct PuschAllocation {
  arma::uvec elements;  ///< s n_subcarriers + f of those that carry data, ascending
  arma::uword n_layers = 0;
  Mcs mcs{};
  TransportConfig transport;    ///< of each block
  arma::uword n_codewords = 1;  ///< blocks that are sent together: 1, or one for each layer
  std::shared_ptr<const PilotPattern> pattern;  ///< the pilots beside which the data stands
  std::size_t n_coded_bits() const { return n_codewords * transport.n_coded_bits; }
  std::size_t n_info_bits() const { return n_codewords * transport.n_info_bits; }
};

/// Elements of the grid that carry data, s n_subcarriers + f, ascending: those without pilots of any port, and
/// with `groups=N` of dmrs without its N code-division groups.
arma::uvec data_elements(const Pilots& pilots);

/// The data of options and pilots. The size of a block is that of 38.214 for the mean number of data elements in 12
/// subcarriers, rounded down.
/// @throws Error(invalid_argument) if options are invalid, the grid has more than 14 symbols or fewer than 12 subcarriers,
///         no element is left for data, there are more layers than antennas on either side, or the block does not fit
PuschAllocation make_allocation(const PuschOptions& options, const Pilots& pilots, arma::uword n_rx,
                                arma::uword n_tx);

/// Sums over transport blocks, as doubles in this order.
struct BlockSums {
  double n = 0;                 ///< transport blocks
  double errors = 0;            ///< of them lost after the last transmission
  double first_errors = 0;      ///< lost after the first transmission
  double sent = 0;              ///< transmissions
  double sent_squared = 0;      ///< sum over blocks of their squared number
  double sent_delivered = 0;    ///< sum of transmissions over delivered blocks
  double bits = 0;              ///< information bits
  double bit_errors = 0;        ///< wrong ones after the last transmission
  double coded_bits = 0;        ///< of all transmissions
  double coded_bit_errors = 0;  ///< wrong by the sign of their LLR
  double iterations = 0;        ///< of all decoders
  double n_decoded = 0;         ///< code blocks decoded

  static constexpr std::size_t count = 12;
  static BlockSums read(const double* values);
  void write(double* values) const;
  void add(const BlockSums& other);
  /// Completes the sums of blocks that were sent together after their last transmission.
  void finish(arma::uword n_lost, arma::uword n_blocks, const Bits& sent_bits, const Bits& found);

  double bler() const { return errors / n; }
  double ber() const { return bit_errors / bits; }
  /// Delivered blocks over transmissions: the part of the greatest throughput.
  double throughput() const { return (n - errors) / sent; }
  /// Its standard error by the delta method for a ratio of means; NaN for fewer than two blocks.
  double throughput_error() const;
};

/// What the antennas received of one slot.
struct ReceivedSlot {
  const std::complex<double>* data = nullptr;    ///< [n_rx, n_data]
  const std::complex<double>* pilots = nullptr;  ///< [n_rx, n_pilots]; lmmse-irc reads them
  double sigma2 = 0.0;  ///< variance of noise, and interference, as the receiver is told
};

/// Sender and receiver of transport blocks: CRC, segmentation, LDPC, rate matching, scrambling, mapping onto symbols, layers and
/// elements; detection, LLRs, descrambling, soft buffer, decoding. One object serves one thread at a time.
///
///   y = H s / sqrt(n_layers) + n   in every data element: total power 1
class PuschChain {
 public:
  PuschChain(const PuschOptions& options, const PuschAllocation& allocation, arma::uword n_rx,
             arma::uword n_tx);

  const PuschAllocation& allocation() const { return allocation_; }
  std::size_t n_received() const { return n_rx_ * allocation_.elements.n_elem; }
  static unsigned redundancy_version(arma::uword transmission);

  /// New transport blocks of random bits, one after the other.
  void draw_bits(Rng& rng, Bits& bits) const;
  /// Transmission 0, 1 .. of a block: its scrambled coded bits, [n_coded_bits].
  void encode(const Bits& bits, arma::uword transmission, Bits& coded);
  /// What the antennas receive of these bits, [n_rx, n_data].
  /// @param h       [n_rx, n_tx, n_elements]
  /// @param noise   of variance 1, [n_rx, n_data]; multiplied by sqrt(sigma2)
  void transmit(const Bits& coded, const std::complex<double>* h, const std::complex<double>* noise,
                double sigma2, std::complex<double>* y);
  /// LLRs of the scrambled coded bits, [n_coded_bits].
  /// @param err_var  error variance of an entry of h_hat for every port and element, [n_tx, n_elements]; null: `err_var_mean`
  /// @throws Error(invalid_argument) if the detector is lmmse_irc and there are no pilots
  const std::vector<float>& detect(const std::complex<double>* h_hat, const double* err_var,
                                   double err_var_mean, const ReceivedSlot& received);
  /// Descrambles what detect() found and decodes it with what the buffer holds.
  /// @param coded_llrs  what is believed of the scrambled coded bits after decoding, [n_coded_bits]; may be null
  /// With layer codes the buffer is not used.
  TransportBlock::Decoded decode(arma::uword transmission, SoftBuffer& buffer,
                                 float* coded_llrs = nullptr);
  /// Bits of all blocks that the last decode() found, and how many of these receive() found lost.
  const Bits& found() const { return found_; }
  arma::uword n_lost() const { return n_lost_; }
  /// LLRs of the coded bits that the last decode() took, descrambled.
  const std::vector<float>& llrs() const { return llrs_; }
  /// The receiver of one transmission: detect(), decode(), and what they add to the sums of its block.
  /// @param k      column of `estimate`, whose error variances are used where they are known
  /// @param coded  what encode() made of the bits
  /// @param coded_llrs  as of decode()
  /// @return whether all blocks are delivered: their CRC holds and their bits are right
  bool receive(const Estimate& estimate, arma::uword k, const ReceivedSlot& received,
               arma::uword transmission, const Bits& bits, const Bits& coded, SoftBuffer& buffer,
               BlockSums& sums, float* coded_llrs = nullptr);
  /// Thread CPU time that receive() spent in decoders.
  double decoding_seconds() const { return decoding_seconds_; }
  SoftBuffer make_buffer() const { return block_.make_buffer(); }

 private:
  PuschOptions options_;
  PuschAllocation allocation_;
  arma::uword n_rx_, n_tx_;
  /// visit(i, j): bit i of the coded bits is bit j of block w.
  template <class Visit>
  void each_bit_of(arma::uword w, const Visit& visit) const {
    const std::size_t qm = qam_.bits_per_symbol(), L = allocation_.n_layers;
    for (std::size_t j = 0; j < allocation_.transport.n_coded_bits; ++j)
      visit((j / qm * L + w) * qm + j % qm, j);
  }

  NrQam qam_;
  LayerDetector detector_;
  InterferenceCovariance interference_;
  TransportBlock block_;
  Bits scrambling_;
  std::vector<std::complex<double>> symbols_;
  std::vector<double> variances_;
  std::vector<float> llrs_;
  Bits found_, block_bits_, block_coded_;  // of all blocks; of one
  std::vector<bool> passed_;               // the check of each
  arma::uword n_lost_ = 0;
  std::vector<float> block_llrs_, block_believed_;
  SoftBuffer once_;
  double decoding_seconds_ = 0.0;
};

}  // namespace sim
}  // namespace v0
}  // namespace chest
