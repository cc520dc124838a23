#include <chest/sim/pusch.hpp>

#include <algorithm>
#include <cmath>

#include <chest/error.hpp>
#include <chest/sim/coding/scrambling.hpp>
#include <chest/text.hpp>

#include "engine.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

constexpr arma::uword most_layers = 4;
constexpr arma::uword most_symbols = 14;
constexpr arma::uword block_subcarriers = 12;

/// The product, without the standard's treatment of infinities.
std::complex<double> multiplied(std::complex<double> a, std::complex<double> b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

TransportConfig transport_of(const PuschOptions& options, const Mcs& mcs, arma::uword n_data,
                             arma::uword n_layers, const GridAxes& grid) {
  TransportConfig config;
  config.code_rate = mcs.code_rate;
  config.qm = mcs.bits_per_symbol;
  config.n_layers = static_cast<unsigned>(n_layers);
  config.n_coded_bits = n_data * n_layers * mcs.bits_per_symbol;
  config.n_info_bits = options.n_info_bits;
  if (config.n_info_bits == 0) {
    const arma::uword n_blocks = grid.n_subcarriers / block_subcarriers;
    const arma::uword n_re = std::max<arma::uword>(1, n_data / n_blocks);
    config.n_info_bits =
        transport_block_size(static_cast<unsigned>(n_re), static_cast<unsigned>(n_blocks), mcs,
                             static_cast<unsigned>(n_layers));
  }
  return config;
}

}  // namespace

DemapperKind demapper_kind_from_string(const std::string& name) {
  if (name == "log-map") return DemapperKind::log_map;
  if (name == "max-log") return DemapperKind::max_log;
  refuse("demapper is '" + name + "'" + did_you_mean(name, {"log-map", "max-log"}));
}

DecoderOptions link_decoder() {
  DecoderOptions decoder;
  decoder.kind = DecoderKind::offset_min_sum;
  decoder.schedule = DecoderSchedule::layered;
  decoder.precision = DecoderPrecision::int8;
  return decoder;
}

std::string PuschOptions::why_invalid() const {
  if (mcs_table < 1 || mcs_table > 3) return out_of_range("mcs_table", double(mcs_table), "1 .. 3");
  if (!mcs && !(code_rate > 0.0 && code_rate < 1.0))
    return out_of_range("code_rate", code_rate, "above 0, below 1");
  if (n_layers > most_layers) return out_of_range("n_layers", double(n_layers), "1 .. 4");
  if (n_transmissions < 1 || n_transmissions > 4)
    return out_of_range("n_transmissions", double(n_transmissions), "1 .. 4");
  if (layer_codes && n_transmissions > 1)
    return out_of_range("n_transmissions", double(n_transmissions), "1 with codes of layers");
  return decoder.why_invalid();
}

arma::uvec data_elements(const Pilots& pilots) {
  const PilotPattern& pattern = *pilots.pattern;
  const GridAxes& grid = pattern.grid;
  std::vector<bool> taken(grid.n_elements(), false);
  for (arma::uword p = 0; p < pattern.n(); ++p) {
    taken[pattern.symbol(p) * grid.n_subcarriers + pattern.subcarrier(p)] = true;
  }
  for (const arma::uword element : pattern.silent) taken[element] = true;
  std::vector<arma::uword> free;
  for (arma::uword element = 0; element < grid.n_elements(); ++element) {
    if (!taken[element]) free.push_back(element);
  }
  return arma::uvec(free);
}

PuschAllocation make_allocation(const PuschOptions& options, const Pilots& pilots, arma::uword n_rx,
                                arma::uword n_tx) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("link: " + why);
  const GridAxes& grid = pilots.pattern->grid;
  if (grid.n_symbols > most_symbols)
    refuse("link: the grid has " + std::to_string(grid.n_symbols) +
           " symbols, a transport block is sent over 1 .. 14; name them with --grid, as in " +
           std::to_string(grid.n_subcarriers) + "x14");
  if (grid.n_subcarriers < block_subcarriers)
    refuse("link: the grid has " + std::to_string(grid.n_subcarriers) +
           " subcarriers, expected a resource block of 12 or more");
  PuschAllocation out;
  out.n_layers = options.n_layers == 0 ? n_tx : options.n_layers;
  if (out.n_layers > n_tx)
    refuse("link: " + std::to_string(out.n_layers) + " layers are more than the " +
           std::to_string(n_tx) + " transmit antennas of the channels");
  if (out.n_layers > most_layers)
    refuse("link: the channels have " + std::to_string(n_tx) +
           " transmit antennas, data is sent from 1 .. 4; say from how many with --layers");
  if (out.n_layers > n_rx)
    refuse("link: " + std::to_string(out.n_layers) + " layers are more than the " +
           std::to_string(n_rx) + " receive antennas; linear detection needs as many");
  if (options.mcs) {
    out.mcs =
        mcs_of(options.mcs_table, static_cast<unsigned>(std::min<arma::uword>(*options.mcs, 99)));
  } else {
    out.mcs = {Modulation(options.modulation).bits_per_symbol(), options.code_rate};
  }
  out.pattern = pilots.pattern;
  out.elements = data_elements(pilots);
  if (out.elements.is_empty())
    refuse("link: pilots " + pilots.name + " leave no element of the grid of " + grid.text() +
           " for data");
  out.n_codewords = options.layer_codes ? out.n_layers : 1;
  out.transport = transport_of(options, out.mcs, out.elements.n_elem,
                               options.layer_codes ? 1 : out.n_layers, grid);
  if (out.transport.n_info_bits >= out.transport.n_coded_bits)
    refuse("link: a transport block of " + std::to_string(out.transport.n_info_bits) +
           " bits does not fit the " + std::to_string(out.transport.n_coded_bits) +
           " coded bits of the grid");
  if (const std::string why = out.transport.why_invalid(); !why.empty()) refuse("link: " + why);
  return out;
}

PuschChain::PuschChain(const PuschOptions& options, const PuschAllocation& allocation,
                       arma::uword n_rx, arma::uword n_tx)
    : options_(options),
      allocation_(allocation),
      n_rx_(n_rx),
      n_tx_(n_tx),
      qam_(allocation.mcs.bits_per_symbol),
      detector_(options.detector, allocation.mcs.bits_per_symbol, options.demapper),
      block_(allocation.transport, options.decoder),
      scrambling_(gold_sequence(scrambling_init(1, 0), allocation.n_coded_bits())),
      symbols_(allocation.elements.n_elem * allocation.n_layers),
      variances_(symbols_.size()),
      llrs_(allocation.n_coded_bits()),
      once_(block_.make_buffer()) {}

unsigned PuschChain::redundancy_version(arma::uword transmission) {
  constexpr unsigned versions[] = {0, 2, 3, 1};
  return versions[transmission % 4];
}

void PuschChain::draw_bits(Rng& rng, Bits& bits) const {
  bits.resize(allocation_.n_info_bits());
  fill_random(rng, bits);
}

void PuschChain::encode(const Bits& bits, arma::uword transmission, Bits& coded) {
  const unsigned rv = redundancy_version(transmission);
  if (allocation_.n_codewords == 1) {
    block_.encode(bits, rv, coded);
  } else {
    coded.resize(allocation_.n_coded_bits());
    const auto n = static_cast<std::ptrdiff_t>(allocation_.transport.n_info_bits);
    for (arma::uword w = 0; w < allocation_.n_codewords; ++w) {
      const auto first = bits.begin() + std::ptrdiff_t(w) * n;
      block_bits_.assign(first, first + n);
      block_.encode(block_bits_, rv, block_coded_);
      each_bit_of(w, [&](std::size_t i, std::size_t j) { coded[i] = block_coded_[j]; });
    }
  }
  scramble(scrambling_, coded.data());
}

void PuschChain::transmit(const Bits& coded, const std::complex<double>* h,
                          const std::complex<double>* noise, double sigma2,
                          std::complex<double>* y) {
  qam_.map(coded.data(), symbols_.size(), symbols_.data());
  const arma::uword L = allocation_.n_layers;
  const double data = 1.0 / std::sqrt(double(L)), amplitude = std::sqrt(sigma2);
  const std::complex<double>* s = symbols_.data();
  for (const arma::uword element : allocation_.elements) {
    const std::complex<double>* H = h + element * n_rx_ * n_tx_;
    for (arma::uword r = 0; r < n_rx_; ++r) y[r] = 0.0;
    for (arma::uword t = 0; t < L; ++t) {
      for (arma::uword r = 0; r < n_rx_; ++r) y[r] += multiplied(H[t * n_rx_ + r], s[t]);
    }
    for (arma::uword r = 0; r < n_rx_; ++r) y[r] = data * y[r] + amplitude * noise[r];
    y += n_rx_;
    noise += n_rx_;
    s += L;
  }
}

const std::vector<float>& PuschChain::detect(const std::complex<double>* h_hat,
                                             const double* err_var, double err_var_mean,
                                             const ReceivedSlot& received) {
  const arma::uword L = allocation_.n_layers;
  const bool whitens = options_.detector.kind == DetectorKind::lmmse_irc;
  if (whitens) {
    if (!received.pilots) refuse("link: the detector lmmse-irc needs the received pilots");
    interference_.fit(*allocation_.pattern, n_rx_, h_hat, err_var, err_var_mean, received.pilots,
                      received.sigma2);
  }
  // The symbols have the power 1 / L; detection is in units where it is 1.
  const double noise = received.sigma2 * double(L);
  const std::complex<double>* y = received.data;
  std::complex<double>* s = symbols_.data();
  double* variance = variances_.data();
  float* llr = llrs_.data();
  std::vector<std::complex<double>> scaled(n_rx_), white(n_rx_ * (L + 1));
  const double root = std::sqrt(double(L));
  const arma::uword n_subcarriers = allocation_.pattern->grid.n_subcarriers;
  for (const arma::uword element : allocation_.elements) {
    double extra = 0.0;
    if (options_.error_variance) {
      for (arma::uword t = 0; t < L; ++t) {
        const double e = err_var ? err_var[element * n_tx_ + t] : err_var_mean;
        if (std::isfinite(e) && e > 0.0) extra += e;  // one that is not known counts as none
      }
    }
    for (arma::uword r = 0; r < n_rx_; ++r) scaled[r] = root * y[r];
    const std::complex<double>* G = h_hat + element * n_rx_ * n_tx_;
    const std::complex<double>* seen = scaled.data();
    double s2 = noise + extra;
    if (whitens) {
      const arma::uword f = element % n_subcarriers;
      interference_.whiten(f, double(L), extra, G, L, white.data());
      interference_.whiten(f, double(L), extra, seen, 1, white.data() + L * n_rx_);
      G = white.data();
      seen = G + L * n_rx_;
      s2 = 1.0;
    }
    if (detector_.gives_llrs()) {
      detector_.llrs(G, seen, n_rx_, L, s2, llr);
      llr += L * qam_.bits_per_symbol();
    } else {
      detector_.symbols(G, seen, n_rx_, L, s2, s, variance);
      s += L;
      variance += L;
    }
    y += n_rx_;
  }
  if (!detector_.gives_llrs())
    qam_.demap(symbols_.data(), variances_.data(), symbols_.size(), options_.demapper,
               llrs_.data());
  return llrs_;
}

TransportBlock::Decoded PuschChain::decode(arma::uword transmission, SoftBuffer& buffer,
                                           float* coded_llrs) {
  descramble(scrambling_, llrs_.data());
  const unsigned rv = redundancy_version(transmission);
  TransportBlock::Decoded decoded{true, 0, 0};
  passed_.assign(allocation_.n_codewords, false);
  if (allocation_.n_codewords == 1) {
    decoded = block_.decode(llrs_.data(), rv, buffer, coded_llrs);
    found_ = buffer.bits();
    passed_[0] = decoded.crc_ok;
  } else {
    found_.clear();
    block_llrs_.resize(allocation_.transport.n_coded_bits);
    block_believed_.resize(block_llrs_.size());
    for (arma::uword w = 0; w < allocation_.n_codewords; ++w) {
      each_bit_of(w, [&](std::size_t i, std::size_t j) { block_llrs_[j] = llrs_[i]; });
      once_.clear();
      const TransportBlock::Decoded one = block_.decode(
          block_llrs_.data(), rv, once_, coded_llrs ? block_believed_.data() : nullptr);
      if (coded_llrs)
        each_bit_of(w, [&](std::size_t i, std::size_t j) { coded_llrs[i] = block_believed_[j]; });
      found_.insert(found_.end(), once_.bits().begin(), once_.bits().end());
      passed_[w] = one.crc_ok;
      decoded.crc_ok = decoded.crc_ok && one.crc_ok;
      decoded.iterations += one.iterations;
      decoded.n_decoded += one.n_decoded;
    }
  }
  if (coded_llrs) descramble(scrambling_, coded_llrs);
  return decoded;
}

bool PuschChain::receive(const Estimate& estimate, arma::uword k, const ReceivedSlot& received,
                         arma::uword transmission, const Bits& bits, const Bits& coded,
                         SoftBuffer& buffer, BlockSums& sums, float* coded_llrs) {
  const double* err_var =
      estimate.element_mse.is_empty() ? nullptr : estimate.element_mse.colptr(k);
  const double mean = estimate.mse.is_empty() ? 0.0 : estimate.mse(k) / double(estimate.h.n_rows);
  detect(estimate.h.colptr(k), err_var, mean, received);
  for (std::size_t b = 0; b < llrs_.size(); ++b)
    sums.coded_bit_errors += (llrs_[b] < 0.0f) != (coded[b] != 0);
  sums.coded_bits += double(llrs_.size());
  const double start = seconds_now(false);
  const TransportBlock::Decoded decoded = decode(transmission, buffer, coded_llrs);
  decoding_seconds_ += seconds_now(false) - start;
  sums.iterations += decoded.iterations;
  sums.n_decoded += decoded.n_decoded;
  sums.sent += double(allocation_.n_codewords);
  n_lost_ = 0;
  const auto n = static_cast<std::ptrdiff_t>(allocation_.transport.n_info_bits);
  for (std::size_t w = 0; w < passed_.size(); ++w) {
    const auto first = std::ptrdiff_t(w) * n;
    const bool is_right =
        std::equal(bits.begin() + first, bits.begin() + first + n, found_.begin() + first);
    n_lost_ += !(passed_[w] && is_right);
  }
  if (transmission == 0) sums.first_errors = double(n_lost_);
  return n_lost_ == 0;
}

void BlockSums::finish(arma::uword n_lost, arma::uword n_blocks, const Bits& sent_bits,
                       const Bits& found) {
  n = double(n_blocks);
  errors = double(n_lost);
  const double each = sent / n;
  sent_squared = n * each * each;
  sent_delivered = (n - errors) * each;
  bits = double(sent_bits.size());
  for (std::size_t i = 0; i < sent_bits.size(); ++i) bit_errors += found[i] != sent_bits[i];
}

BlockSums BlockSums::read(const double* values) {
  BlockSums sums;
  double* const members[count] = {&sums.n,
                                  &sums.errors,
                                  &sums.first_errors,
                                  &sums.sent,
                                  &sums.sent_squared,
                                  &sums.sent_delivered,
                                  &sums.bits,
                                  &sums.bit_errors,
                                  &sums.coded_bits,
                                  &sums.coded_bit_errors,
                                  &sums.iterations,
                                  &sums.n_decoded};
  for (std::size_t i = 0; i < count; ++i) *members[i] = values[i];
  return sums;
}

void BlockSums::write(double* values) const {
  const double all[count] = {
      n,          errors,     first_errors,     sent,       sent_squared, sent_delivered, bits,
      bit_errors, coded_bits, coded_bit_errors, iterations, n_decoded};
  std::copy_n(all, count, values);
}

void BlockSums::add(const BlockSums& other) {
  double mine[count], theirs[count];
  write(mine);
  other.write(theirs);
  for (std::size_t i = 0; i < count; ++i) mine[i] += theirs[i];
  *this = read(mine);
}

double BlockSums::throughput_error() const {
  if (n < 2.0) return arma::datum::nan;
  // Of d - r t over blocks, whose mean is 0: sum d^2 - 2 r sum d t + r^2 sum t^2, with d^2 = d.
  const double r = throughput();
  const double sum = (n - errors) - 2.0 * r * sent_delivered + r * r * sent_squared;
  return std::sqrt(std::max(sum, 0.0) / (n - 1.0) * n) / sent;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
