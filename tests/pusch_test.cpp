// Transport blocks over the elements of a grid: allocation, detection, the way there and back.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include <chest/metrics.hpp>
#include <chest/ofdm.hpp>
#include <chest/sim/pusch.hpp>

#include "tests/support/refusal.hpp"
#include "tests/support/statistics.hpp"

namespace chest::sim {
namespace {

Pilots pilots_of(const std::string& text, arma::uword n_tx = 1, arma::uword n_subcarriers = 24) {
  return make_grid_pilots(parse_pilots(text), n_tx, ofdm_grid(n_subcarriers, 14, 15e3), 1);
}

double q_function(double x) { return 0.5 * std::erfc(x / std::sqrt(2.0)); }

TEST(Pusch, DataTakesWhatPilotsLeave) {
  // Two symbols of 24 subcarriers with pilots on every second one; groups=2 keeps the others free too.
  EXPECT_EQ(data_elements(pilots_of("dmrs:symbols=2-11")).n_elem, 24u * 14 - 24);
  EXPECT_EQ(data_elements(pilots_of("dmrs:symbols=2-11,groups=1")).n_elem, 24u * 14 - 24);
  EXPECT_EQ(data_elements(pilots_of("dmrs:symbols=2-11,groups=2")).n_elem, 24u * 12);
  // Type 2: groups of two neighbours in every six.
  EXPECT_EQ(data_elements(pilots_of("dmrs:type=2,symbols=2,groups=2")).n_elem, 24u * 14 - 16);
  EXPECT_EQ(data_elements(pilots_of("dmrs:type=2,symbols=2,groups=3", 6)).n_elem, 24u * 13);
  EXPECT_EQ(data_elements(pilots_of("comb:4,symbols=3", 2)).n_elem, 24u * 14 - 12);
  const arma::uvec elements = data_elements(pilots_of("comb:4,symbols=0"));
  EXPECT_EQ(elements(0), 1u);  // ascending, counted along subcarriers
  EXPECT_EQ(elements(3), 5u);
}

TEST(Pusch, BlocksHaveTheSizesOfTheReferenceChannels) {
  // TS 38.104, annex A: A3, A4 and A5 over 25 resource blocks, 144 data elements in each.
  PuschOptions options;
  const Pilots pilots = pilots_of("dmrs:symbols=2-11,groups=2", 1, 300);
  options.code_rate = 193.0 / 1024.0;
  EXPECT_EQ(make_allocation(options, pilots, 2, 1).transport.n_info_bits, 1352u);
  options.modulation = "16qam";
  options.code_rate = 658.0 / 1024.0;
  EXPECT_EQ(make_allocation(options, pilots, 2, 1).transport.n_info_bits, 9224u);
  options.mcs = 20;  // 64-QAM, 567 / 1024
  const PuschAllocation a5 = make_allocation(options, pilots, 2, 1);
  EXPECT_EQ(a5.transport.n_info_bits, 12040u);
  EXPECT_EQ(a5.n_coded_bits(), 25u * 144 * 6);
}

TEST(Pusch, RefusesWhatCannotBeSent) {
  const Pilots pilots = pilots_of("dmrs:symbols=2-11", 2);
  const auto is_refused = [&](const std::string& text,
                              const std::function<void(PuschOptions&)>& change,
                              arma::uword n_rx = 2) {
    PuschOptions options;
    change(options);
    return refused([&] { make_allocation(options, pilots, n_rx, 2); }, text);
  };
  EXPECT_TRUE(is_refused("link: 3 layers are more than the 2 transmit antennas of the channels",
                         [](PuschOptions& o) { o.n_layers = 3; }));
  EXPECT_TRUE(is_refused(
      "more than the 1 receive antennas", [](PuschOptions&) {}, 1));
  EXPECT_TRUE(
      is_refused("link: n_layers is 5, expected 1 .. 4", [](PuschOptions& o) { o.n_layers = 5; }));
  EXPECT_TRUE(is_refused("link: n_transmissions is 5, expected 1 .. 4",
                         [](PuschOptions& o) { o.n_transmissions = 5; }));
  EXPECT_TRUE(is_refused("link: code_rate is 1, expected above 0, below 1",
                         [](PuschOptions& o) { o.code_rate = 1.0; }));
  EXPECT_TRUE(is_refused("expected 0 .. 28", [](PuschOptions& o) { o.mcs = 29; }));
  EXPECT_TRUE(
      is_refused("mcs_table is 4, expected 1 .. 3", [](PuschOptions& o) { o.mcs_table = 4; }));
  EXPECT_TRUE(is_refused("a transport block of 5000 bits does not fit the 1248 coded bits",
                         [](PuschOptions& o) { o.n_info_bits = 5000; }));
  EXPECT_TRUE(is_refused("qpsk", [](PuschOptions& o) { o.modulation = "psk"; }));
  EXPECT_TRUE(refused(
      [] { make_allocation({}, pilots_of("block:symbols=0-1-2-3-4-5-6-7-8-9-10-11-12-13"), 1, 1); },
      "leave no element of the grid of 24x14 for data"));
  const auto on_grid = [](arma::uword n_subcarriers, arma::uword n_symbols) {
    make_allocation({},
                    make_grid_pilots(parse_pilots("comb:4,symbols=0"), 1,
                                     ofdm_grid(n_subcarriers, n_symbols, 15e3), 1),
                    1, 1);
  };
  EXPECT_TRUE(refused([&] { on_grid(24, 28); }, "1 .. 14"));
  EXPECT_TRUE(refused([&] { on_grid(8, 14); }, "12 or more"));
  EXPECT_TRUE(refused([] { parse_detector("lmmsee"); }, "did you mean lmmse"));
  EXPECT_TRUE(refused([] { demapper_kind_from_string("maxlog"); }, "did you mean max-log"));
}

TEST(Pusch, DetectorsEqualTheirClosedForms) {
  Rng rng(1, {Purpose::test});
  for (arma::uword L = 1; L <= 4; ++L) {
    for (const double s2 : {1e-3, 0.3, 20.0}) {
      const arma::cx_mat G = rng.cx_normal(5, L);
      const arma::cx_vec y = rng.cx_normal(5, 1);
      arma::cx_vec s(L);
      arma::vec variance(L);
      const arma::cx_mat M = arma::inv(G.t() * G / s2 + arma::eye<arma::cx_mat>(L, L));
      const arma::cx_vec biased = M * G.t() * y / s2;
      detect_layers(DetectorKind::lmmse, G.memptr(), y.memptr(), 5, L, s2, s.memptr(),
                    variance.memptr());
      for (arma::uword i = 0; i < L; ++i) {
        const double c = M(i, i).real();
        EXPECT_NEAR(std::abs(s(i) - biased(i) / (1.0 - c)), 0.0, 1e-9 * (1.0 + std::abs(s(i))));
        EXPECT_NEAR(variance(i), c / (1.0 - c), 1e-9 * variance(i));
      }
      detect_layers(DetectorKind::zf, G.memptr(), y.memptr(), 5, L, s2, s.memptr(),
                    variance.memptr());
      const arma::cx_mat Z = arma::inv(G.t() * G);
      const arma::cx_vec zf = Z * G.t() * y;
      for (arma::uword i = 0; i < L; ++i) {
        EXPECT_NEAR(std::abs(s(i) - zf(i)), 0.0, 1e-8 * (1.0 + std::abs(s(i))));
        EXPECT_NEAR(variance(i), s2 * Z(i, i).real(), 1e-8 * variance(i));
      }
    }
  }
}

TEST(Pusch, NothingReceivedIsNothingKnown) {
  for (arma::uword L = 1; L <= 4; ++L) {
    const arma::cx_mat G(4, L, arma::fill::zeros);
    const arma::cx_vec y(4, arma::fill::ones);
    for (const DetectorKind kind : {DetectorKind::lmmse, DetectorKind::zf}) {
      arma::cx_vec s(L);
      arma::vec variance(L);
      detect_layers(kind, G.memptr(), y.memptr(), 4, L, 0.1, s.memptr(), variance.memptr());
      EXPECT_TRUE(s.is_finite());
      EXPECT_EQ(variance.min(), 1e12);
    }
  }
}

TEST(Pusch, TheVarianceOfLmmseIsTheErrorOfItsSymbols) {
  // Unbiased and of the predicted variance, for one channel and many symbols.
  Rng rng(2, {Purpose::test});
  const arma::cx_mat G = rng.cx_normal(3, 2);
  const double s2 = 0.2;
  const NrQam qam(4u);
  const arma::uword n = 20'000;
  arma::vec errors(n);
  arma::vec variance(2);
  for (arma::uword k = 0; k < n; ++k) {
    Bits bits(8);
    for (std::uint8_t& b : bits) b = static_cast<std::uint8_t>(rng.index(2));
    arma::cx_vec sent(2), found(2);
    qam.map(bits.data(), 2, sent.memptr());
    const arma::cx_vec y = G * sent + std::sqrt(s2) * rng.cx_normal(3, 1);
    detect_layers(DetectorKind::lmmse, G.memptr(), y.memptr(), 3, 2, s2, found.memptr(),
                  variance.memptr());
    errors(k) = std::norm(found(1) - sent(1));
  }
  EXPECT_TRUE(mean_is(errors, variance(1), 1e-6));
}

/// The part of wrong coded bits over a channel of ones with one antenna on each side.
double awgn_coded_ber(const std::string& modulation, double snr_db, unsigned n_blocks) {
  PuschOptions options;
  options.modulation = modulation;
  const PuschAllocation allocation = make_allocation(options, pilots_of("comb:2,symbols=0"), 1, 1);
  PuschChain chain(options, allocation, 1, 1);
  const arma::cx_vec h(24 * 14, arma::fill::ones);
  arma::cx_vec y(chain.n_received());
  Rng rng(3, {Purpose::test});
  double wrong = 0.0, all = 0.0;
  for (unsigned k = 0; k < n_blocks; ++k) {
    Bits bits, coded;
    chain.draw_bits(rng, bits);
    chain.encode(bits, 0, coded);
    const arma::cx_vec noise = rng.cx_normal(y.n_elem, 1);
    chain.transmit(coded, h.memptr(), noise.memptr(), from_db(-snr_db), y.memptr());
    const std::vector<float>& llrs =
        chain.detect(h.memptr(), nullptr, 0.0, {y.memptr(), nullptr, from_db(-snr_db)});
    for (std::size_t b = 0; b < llrs.size(); ++b) wrong += (llrs[b] < 0) != (coded[b] != 0);
    all += double(llrs.size());
  }
  return wrong / all;
}

TEST(Pusch, CodedBitsHaveTheErrorRateOfTheClosedFormOnAwgn) {
  // Gray labels: QPSK Q(sqrt(snr)); 16-QAM (3 Q(a) + 2 Q(3 a) - Q(5 a)) / 4 with a = sqrt(snr / 5). [Cho2002]
  // 200 blocks of 648 and 1296 bits; errors of one symbol may come in pairs: twice the variance of independent bits.
  const double z = normal_quantile_two_sided(1e-6);
  const double qpsk = q_function(std::sqrt(from_db(4.0)));
  EXPECT_NEAR(awgn_coded_ber("qpsk", 4.0, 200), qpsk, z * std::sqrt(2.0 * qpsk / (200.0 * 648)));
  const double a = std::sqrt(from_db(10.0) / 5.0);
  const double qam = (3.0 * q_function(a) + 2.0 * q_function(3.0 * a) - q_function(5.0 * a)) / 4.0;
  EXPECT_NEAR(awgn_coded_ber("16qam", 10.0, 200), qam, z * std::sqrt(2.0 * qam / (200.0 * 1296)));
}

TEST(Pusch, WithoutNoiseEveryLayerCountAndSchemeIsDecoded) {
  Rng rng(4, {Purpose::test});
  for (arma::uword L = 1; L <= 4; ++L) {
    for (const auto& [table, mcs] :
         std::vector<std::pair<unsigned, arma::uword>>{{1, 0}, {1, 10}, {1, 28}, {2, 27}, {3, 1}}) {
      for (const std::string decoder : {"bp", "offset-min-sum"}) {
        PuschOptions options;
        options.mcs_table = table;
        options.mcs = mcs;
        if (decoder == "bp") options.decoder = DecoderOptions{};
        const arma::uword n_rx = L + 1;
        const PuschAllocation allocation =
            make_allocation(options, pilots_of("dmrs:symbols=2", L), n_rx, L);
        PuschChain chain(options, allocation, n_rx, L);
        const arma::cx_vec h = rng.cx_normal(n_rx * L * 24 * 14, 1);
        const arma::cx_vec noise = rng.cx_normal(chain.n_received(), 1);
        arma::cx_vec y(noise.n_elem);
        Bits bits, coded;
        chain.draw_bits(rng, bits);
        chain.encode(bits, 0, coded);
        chain.transmit(coded, h.memptr(), noise.memptr(), 1e-8, y.memptr());
        chain.detect(h.memptr(), nullptr, 0.0, {y.memptr(), nullptr, 1e-8});
        SoftBuffer buffer = chain.make_buffer();
        buffer.clear();
        EXPECT_TRUE(chain.decode(0, buffer).crc_ok)
            << L << " layers, table " << table << ", " << mcs;
        EXPECT_EQ(buffer.bits(), bits);
      }
    }
  }
}

TEST(Pusch, LayersWithCodesOfTheirOwnAreLostOneByOne) {
  Rng rng(8, {Purpose::test});
  PuschOptions options;
  options.layer_codes = true;
  const PuschAllocation allocation = make_allocation(options, pilots_of("dmrs:symbols=2", 3), 4, 3);
  EXPECT_EQ(allocation.n_codewords, 3u);
  PuschOptions alone = options;
  alone.n_layers = 1;
  EXPECT_EQ(allocation.transport.n_info_bits,
            make_allocation(alone, pilots_of("dmrs:symbols=2", 3), 4, 3).transport.n_info_bits);
  PuschChain chain(options, allocation, 4, 3);
  arma::cx_mat h = rng.cx_normal(4 * 3, 24 * 14);
  h.rows(4, 7).zeros();  // nobody hears the second layer
  const arma::cx_vec noise = rng.cx_normal(chain.n_received(), 1);
  arma::cx_vec y(noise.n_elem);
  Bits bits, coded;
  chain.draw_bits(rng, bits);
  chain.encode(bits, 0, coded);
  EXPECT_EQ(coded.size(), 3 * allocation.transport.n_coded_bits);
  chain.transmit(coded, h.memptr(), noise.memptr(), 1e-8, y.memptr());
  Estimate estimate;
  estimate.h = arma::vectorise(h);
  SoftBuffer buffer = chain.make_buffer();
  BlockSums sums;
  EXPECT_FALSE(
      chain.receive(estimate, 0, {y.memptr(), nullptr, 1e-8}, 0, bits, coded, buffer, sums));
  EXPECT_EQ(chain.n_lost(), 1u);
  const auto n = std::ptrdiff_t(allocation.transport.n_info_bits);
  const Bits& found = chain.found();
  EXPECT_TRUE(std::equal(bits.begin(), bits.begin() + n, found.begin()));
  EXPECT_FALSE(std::equal(bits.begin() + n, bits.begin() + 2 * n, found.begin() + n));
  EXPECT_TRUE(std::equal(bits.begin() + 2 * n, bits.end(), found.begin() + 2 * n));
  sums.finish(chain.n_lost(), allocation.n_codewords, bits, found);
  EXPECT_EQ(sums.n, 3.0);
  EXPECT_EQ(sums.errors, 1.0);
  EXPECT_DOUBLE_EQ(sums.throughput(), 2.0 / 3.0);
  options.n_transmissions = 2;
  EXPECT_TRUE(refused([&] { make_allocation(options, pilots_of("dmrs:symbols=2", 3), 4, 3); },
                      "n_transmissions is 2, expected 1 with codes of layers"));
}

TEST(Pusch, RetransmissionsBringWhatWasMissing) {
  // Rate 0.8 at an SNR where one transmission cannot carry it (capacity 0.65 of 1.6 bits) and two carry 1.3, four 2.6.
  PuschOptions options;
  options.code_rate = 0.8;
  options.n_transmissions = 4;
  const PuschAllocation allocation = make_allocation(options, pilots_of("comb:2,symbols=0"), 1, 1);
  PuschChain chain(options, allocation, 1, 1);
  const arma::cx_vec h(24 * 14, arma::fill::ones);
  arma::cx_vec y(chain.n_received());
  Rng rng(5, {Purpose::test});
  const double sigma2 = from_db(2.5);
  std::vector<unsigned> decoded(4, 0);
  for (unsigned k = 0; k < 20; ++k) {
    Bits bits, coded;
    chain.draw_bits(rng, bits);
    SoftBuffer buffer = chain.make_buffer();
    buffer.clear();
    for (arma::uword i = 0; i < 4; ++i) {
      chain.encode(bits, i, coded);
      const arma::cx_vec noise = rng.cx_normal(y.n_elem, 1);
      chain.transmit(coded, h.memptr(), noise.memptr(), sigma2, y.memptr());
      chain.detect(h.memptr(), nullptr, 0.0, {y.memptr(), nullptr, sigma2});
      decoded[i] += chain.decode(i, buffer).crc_ok;
    }
  }
  EXPECT_EQ(decoded[0], 0u);
  EXPECT_EQ(decoded[1], 0u);
  EXPECT_GE(decoded[3], 19u);
}

TEST(Pusch, TheErrorVarianceLowersTheTrustInSymbols) {
  PuschOptions options;
  const PuschAllocation allocation = make_allocation(options, pilots_of("comb:2,symbols=0"), 1, 1);
  PuschChain chain(options, allocation, 1, 1);
  const arma::cx_vec h(24 * 14, arma::fill::ones);
  const arma::cx_vec y(chain.n_received(), arma::fill::ones);
  const arma::vec err_var(24 * 14, arma::fill::value(0.3));
  const ReceivedSlot slot{y.memptr(), nullptr, 0.1};
  const float exact = chain.detect(h.memptr(), nullptr, 0.0, slot)[0];
  // LLRs of QPSK are proportional to 1 over the variance: 0.1 against 0.1 + 0.3.
  EXPECT_NEAR(chain.detect(h.memptr(), nullptr, 0.3, slot)[0], exact / 4.0, 1e-4);
  EXPECT_NEAR(chain.detect(h.memptr(), err_var.memptr(), 0.0, slot)[0], exact / 4.0, 1e-4);
  options.error_variance = false;
  PuschChain trusting(options, allocation, 1, 1);
  EXPECT_EQ(trusting.detect(h.memptr(), err_var.memptr(), 0.3, slot)[0], exact);
}

TEST(Pusch, TheErrorOfTheThroughputIsThatOfTheJackknife) {
  Rng rng(6, {Purpose::test});
  std::vector<std::pair<double, double>> blocks;  // delivered, sent
  BlockSums sums;
  for (int k = 0; k < 400; ++k) {
    const double sent = 1.0 + double(rng.index(4));
    const bool lost = sent == 4.0 && rng.index(2) == 0;
    blocks.emplace_back(lost ? 0.0 : 1.0, sent);
    BlockSums one;
    one.n = 1.0;
    one.errors = lost;
    one.sent = sent;
    one.sent_squared = sent * sent;
    one.sent_delivered = lost ? 0.0 : sent;
    sums.add(one);
  }
  double d = 0.0, t = 0.0;
  for (const auto& [delivered, sent] : blocks) d += delivered, t += sent;
  EXPECT_DOUBLE_EQ(sums.throughput(), d / t);
  double spread = 0.0;
  for (const auto& [delivered, sent] : blocks) {
    const double without = (d - delivered) / (t - sent) - d / t;
    spread += without * without;
  }
  EXPECT_NEAR(sums.throughput_error(), std::sqrt(spread), 0.01 * std::sqrt(spread));
  double values[BlockSums::count];
  sums.write(values);
  EXPECT_EQ(BlockSums::read(values).throughput_error(), sums.throughput_error());
}

}  // namespace
}  // namespace chest::sim
