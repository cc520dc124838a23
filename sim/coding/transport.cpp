#include <chest/sim/coding/transport.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// Code rates times 1024; the bits per symbol change where `from` says.
struct McsTable {
  std::vector<double> rates;
  std::vector<std::pair<unsigned, unsigned>> from;  // first index, bits per symbol
};

const McsTable& mcs_table(unsigned table) {
  static const std::array<McsTable, 3> tables{
      McsTable{{120, 157, 193, 251, 308, 379, 449, 526, 602, 679, 340, 378, 434, 490, 553,
                616, 658, 438, 466, 517, 567, 616, 666, 719, 772, 822, 873, 910, 948},
               {{0, 2}, {10, 4}, {17, 6}}},
      McsTable{{120, 193, 308, 449, 602, 378, 434,   490, 553, 616, 658, 466, 517,   567,
                616, 666, 719, 772, 822, 873, 682.5, 711, 754, 797, 841, 885, 916.5, 948},
               {{0, 2}, {5, 4}, {11, 6}, {20, 8}}},
      McsTable{{30,  40,  50,  64,  78,  99,  120, 157, 193, 251, 308, 379, 449, 526, 602,
                340, 378, 434, 490, 553, 616, 438, 466, 517, 567, 616, 666, 719, 772},
               {{0, 2}, {15, 4}, {21, 6}}}};
  if (table < 1 || table > tables.size())
    refuse("mcs: there is no table " + std::to_string(table) + ", expected 1 .. 3");
  return tables[table - 1];
}

/// The sizes up to 3824 bits. (TS 38.214, table 5.1.3.2-1)
constexpr std::array small_sizes{
    24,   32,   40,   48,   56,   64,   72,   80,   88,   96,   104,  112,  120,  128,  136,  144,
    152,  160,  168,  176,  184,  192,  208,  224,  240,  256,  272,  288,  304,  320,  336,  352,
    368,  384,  408,  432,  456,  480,  504,  528,  552,  576,  608,  640,  672,  704,  736,  768,
    808,  848,  888,  928,  984,  1032, 1064, 1128, 1160, 1192, 1224, 1256, 1288, 1320, 1352, 1416,
    1480, 1544, 1608, 1672, 1736, 1800, 1864, 1928, 2024, 2088, 2152, 2216, 2280, 2408, 2472, 2536,
    2600, 2664, 2728, 2792, 2856, 2976, 3104, 3240, 3368, 3496, 3624, 3752, 3824};

constexpr std::size_t most_small = 3824;
constexpr unsigned block_crc_length = 24;

CrcKind crc_of(std::size_t n_info_bits) {
  return n_info_bits > most_small ? CrcKind::crc24a : CrcKind::crc16;
}

/// Code blocks that a transport block is cut into. (TS 38.212, 5.2.2)
std::size_t count_code_blocks(const TransportConfig& config) {
  const std::size_t b = config.n_info_bits + crc_length(crc_of(config.n_info_bits));
  const std::size_t most = most_block_bits(base_graph_of(config.n_info_bits, config.code_rate));
  if (b <= most) return 1;
  return (b + most - block_crc_length - 1) / (most - block_crc_length);
}

/// Bits of each code block, all checks included, times the number of blocks.
std::size_t segmented_bits(const TransportConfig& config) {
  const std::size_t c = count_code_blocks(config);
  return config.n_info_bits + crc_length(crc_of(config.n_info_bits)) +
         (c > 1 ? c * block_crc_length : 0);
}

const TransportConfig& usable(const TransportConfig& config) {
  if (const std::string why = config.why_invalid(); !why.empty()) refuse("transport: " + why);
  return config;
}

}  // namespace

Mcs mcs_of(unsigned table, unsigned index) {
  const McsTable& known = mcs_table(table);
  if (index >= known.rates.size())
    refuse("mcs: table " + std::to_string(table) + " has no code rate for index " +
           std::to_string(index) + ", expected 0 .. " + std::to_string(known.rates.size() - 1));
  Mcs mcs{2, known.rates[index] / 1024.0};
  for (const auto& [first, bits] : known.from)
    if (index >= first) mcs.bits_per_symbol = bits;
  return mcs;
}

std::size_t transport_block_size(unsigned n_re_per_block, unsigned n_blocks, const Mcs& mcs,
                                 unsigned n_layers) {
  constexpr unsigned most_re_per_block = 156;
  if (n_re_per_block == 0 || n_blocks == 0 || mcs.bits_per_symbol == 0 || n_layers == 0 ||
      n_layers > 8)
    refuse("transport: a block of " + std::to_string(n_blocks) + " resource blocks with " +
           std::to_string(n_re_per_block) + " elements each, " +
           std::to_string(mcs.bits_per_symbol) + " bits per symbol and " +
           std::to_string(n_layers) + " layers; expected 1 or more of each, up to 8 layers");
  if (!(mcs.code_rate > 0.0 && mcs.code_rate < 1.0))
    refuse("transport: the code rate is " + number_text(mcs.code_rate) +
           ", expected above 0, below 1");
  const double n_re = double(std::min(n_re_per_block, most_re_per_block)) * n_blocks;
  const double n_info = n_re * mcs.code_rate * mcs.bits_per_symbol * n_layers;
  if (n_info <= double(most_small)) {
    const int n = std::max(3, int(std::floor(std::log2(n_info))) - 6);
    const double step = std::ldexp(1.0, n);
    const double rounded = std::max(24.0, step * std::floor(n_info / step));
    return std::size_t(*std::lower_bound(small_sizes.begin(), small_sizes.end(), rounded));
  }
  const int n = int(std::floor(std::log2(n_info - 24.0))) - 5;
  const double step = std::ldexp(1.0, n);
  const auto rounded = std::size_t(std::max(3840.0, step * std::round((n_info - 24.0) / step)));
  const auto up = [](std::size_t a, std::size_t b) { return (a + b - 1) / b; };
  std::size_t c = 1;
  if (mcs.code_rate <= 0.25) {
    c = up(rounded + 24, 3816);
  } else if (rounded > 8424) {
    c = up(rounded + 24, 8424);
  }
  return 8 * c * up(rounded + 24, 8 * c) - 24;
}

std::string TransportConfig::why_invalid() const {
  if (n_info_bits < 1 || n_info_bits > 2'000'000)
    return out_of_range("n_info_bits", double(n_info_bits), "1 .. 2000000");
  if (!(code_rate > 0.0 && code_rate < 1.0))
    return out_of_range("code_rate", code_rate, "above 0, below 1");
  if (qm != 1 && qm != 2 && qm != 4 && qm != 6 && qm != 8)
    return out_of_range("qm", qm, "1, 2, 4, 6 or 8");
  if (n_layers < 1 || n_layers > 8) return out_of_range("n_layers", n_layers, "1 .. 8");
  const std::size_t unit = std::size_t{qm} * n_layers, c = count_code_blocks(*this);
  if (n_coded_bits < unit * c || n_coded_bits % unit != 0)
    return out_of_range("n_coded_bits", double(n_coded_bits),
                        "a multiple of qm n_layers = " + std::to_string(unit) + ", at least " +
                            std::to_string(unit * c));
  if (segmented_bits(*this) % c != 0)
    return out_of_range("n_info_bits", double(n_info_bits),
                        "a size that its " + std::to_string(c) +
                            " code blocks share equally, as transport_block_size() gives");
  return {};
}

void SoftBuffer::clear() {
  std::fill(llrs_.begin(), llrs_.end(), 0.0f);
  std::fill(rows_.begin(), rows_.end(), 0u);
  std::fill(passed_.begin(), passed_.end(), std::uint8_t{0});
}

TransportBlock::TransportBlock(const TransportConfig& config, const DecoderOptions& decoder)
    : config_(usable(config)),
      crc_(crc_of(config.n_info_bits)),
      n_blocks_(unsigned(count_code_blocks(config))),
      code_(base_graph_of(config.n_info_bits, config.code_rate),
            unsigned(segmented_bits(config) / n_blocks_)),
      decoder_(code_.parity_check(), decoder),
      bits_(config.n_info_bits + crc_length(crc_)),
      block_(code_.n_info()),
      word_(code_.n_word()),
      llrs_(code_.n_word()) {
  const CrcKind kind = n_blocks_ > 1 ? CrcKind::crc24b : crc_;
  // The short check would be right by chance too often when it is asked after each iteration.
  if (kind != CrcKind::crc16)
    accepts_ = [kind, n = code_.n_info()](const std::uint8_t* bits) {
      return crc_holds(kind, bits, n);
    };
}

std::size_t TransportBlock::n_sent(unsigned r) const {
  const std::size_t unit = std::size_t{config_.qm} * config_.n_layers;
  const std::size_t n_units = config_.n_coded_bits / unit;
  // The first blocks get the smaller share.
  const std::size_t n_smaller = n_blocks_ - n_units % n_blocks_;
  return unit * (n_units / n_blocks_ + (r < n_smaller ? 0 : 1));
}

void TransportBlock::encode(const Bits& bits, unsigned rv, Bits& out) {
  const std::size_t n_info = config_.n_info_bits;
  if (bits.size() != n_info)
    refuse("transport: " + std::to_string(bits.size()) + " bits are given, expected " +
           std::to_string(n_info));
  std::copy(bits.begin(), bits.end(), bits_.begin());
  append_crc(crc_, bits_.data(), n_info);
  out.resize(config_.n_coded_bits);
  const std::size_t n_own = bits_.size() / n_blocks_;
  std::uint8_t* sent = out.data();
  for (unsigned r = 0; r < n_blocks_; ++r) {
    std::copy_n(bits_.begin() + std::ptrdiff_t(r * n_own), n_own, block_.begin());
    if (n_blocks_ > 1) append_crc(CrcKind::crc24b, block_.data(), n_own);
    code_.encode(block_.data(), word_.data());
    code_.match_rate(word_.data(), rv, config_.qm, n_sent(r), sent);
    sent += n_sent(r);
  }
}

SoftBuffer TransportBlock::make_buffer() const {
  SoftBuffer buffer;
  buffer.llrs_.assign(std::size_t{n_blocks_} * code_.n_buffer(), 0.0f);
  buffer.rows_.assign(n_blocks_, 0);
  buffer.passed_.assign(n_blocks_, 0);
  buffer.block_bits_.assign(std::size_t{n_blocks_} * code_.n_info(), 0);
  buffer.bits_.assign(config_.n_info_bits, 0);
  return buffer;
}

TransportBlock::Decoded TransportBlock::decode(const float* llrs, unsigned rv, SoftBuffer& buffer,
                                               float* coded_llrs) {
  const std::size_t n = code_.n_buffer(), k = code_.n_info(), n_own = bits_.size() / n_blocks_;
  if (buffer.llrs_.size() != n_blocks_ * n || buffer.bits_.size() != config_.n_info_bits)
    refuse("transport: the soft buffer is of another configuration; expected one of make_buffer()");
  Decoded result{true, 0, 0};
  for (unsigned r = 0; r < n_blocks_; llrs += n_sent(r++)) {
    std::uint8_t* const own = buffer.block_bits_.data() + r * k;
    if (buffer.passed_[r] == 0) {
      float* const soft = buffer.llrs_.data() + r * n;
      buffer.rows_[r] =
          std::max(buffer.rows_[r], code_.combine(llrs, rv, config_.qm, n_sent(r), soft));
      code_.expand(soft, llrs_.data());
      const LdpcDecoder::Result decoded =
          decoder_.decode(llrs_.data(), word_.data(), buffer.rows_[r], accepts_);
      result.iterations += decoded.iterations;
      ++result.n_decoded;
      std::copy_n(word_.begin(), k, own);
      buffer.passed_[r] = crc_holds(n_blocks_ > 1 ? CrcKind::crc24b : crc_, own, k) ? 1 : 0;
    }
    result.crc_ok = result.crc_ok && buffer.passed_[r] != 0;
    if (coded_llrs != nullptr) {
      if (buffer.passed_[r] != 0) {
        constexpr float sure = 1e6f;
        code_.encode(own, word_.data());
        for (std::size_t i = 0; i < word_.size(); ++i) llrs_[i] = word_[i] != 0 ? -sure : sure;
      } else {
        decoder_.posterior(llrs_.data());
      }
      code_.match_rate(llrs_.data(), rv, config_.qm, n_sent(r), coded_llrs);
      coded_llrs += n_sent(r);
    }
    std::copy_n(own, n_own, bits_.begin() + std::ptrdiff_t(r * n_own));
  }
  if (result.crc_ok && !crc_holds(crc_, bits_.data(), bits_.size())) {
    // A check of some block held by chance: which one is not known.
    result.crc_ok = false;
    std::fill(buffer.passed_.begin(), buffer.passed_.end(), std::uint8_t{0});
  }
  std::copy_n(bits_.begin(), config_.n_info_bits, buffer.bits_.begin());
  return result;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
