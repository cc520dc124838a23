// Detectors of layers against closed forms and against all vectors of symbols.
#include <gtest/gtest.h>

#include <cmath>

#include <chest/ofdm.hpp>
#include <chest/random.hpp>
#include <chest/sim/coding/nr_ldpc.hpp>
#include <chest/sim/detection.hpp>
#include <chest/sim/pilots.hpp>

#include "tests/support/refusal.hpp"

namespace chest::sim {
namespace {

struct Sent {
  arma::cx_mat G;
  Bits bits;
  arma::cx_vec y;
};

Sent draw(Rng& rng, arma::uword n_rx, arma::uword L, unsigned qm, double s2) {
  Sent out;
  out.G = rng.cx_normal(n_rx, L);
  out.bits.resize(L * qm);
  for (std::uint8_t& b : out.bits) b = static_cast<std::uint8_t>(rng.index(2));
  arma::cx_vec s(L);
  NrQam(qm).map(out.bits.data(), L, s.memptr());
  out.y = out.G * s + std::sqrt(s2) * rng.cx_normal(n_rx, 1);
  return out;
}

/// LLRs of maximum likelihood, over all vectors.
std::vector<double> exhaustive(const Sent& sent, unsigned qm, double s2, bool max_log) {
  const arma::uword n_bits = sent.bits.size(), L = sent.G.n_cols;
  std::vector<double> best[2], sum[2];
  for (int v : {0, 1}) best[v].assign(n_bits, 1e300), sum[v].assign(n_bits, 0.0);
  Bits bits(n_bits);
  arma::cx_vec s(L);
  for (arma::uword word = 0; word < arma::uword{1} << n_bits; ++word) {
    for (arma::uword b = 0; b < n_bits; ++b) bits[b] = word >> b & 1u;
    NrQam(qm).map(bits.data(), L, s.memptr());
    const double d = std::pow(arma::norm(sent.y - sent.G * s), 2) / s2;
    for (arma::uword b = 0; b < n_bits; ++b) {
      best[bits[b]][b] = std::min(best[bits[b]][b], d);
      sum[bits[b]][b] += std::exp(-d);
    }
  }
  std::vector<double> llrs(n_bits);
  for (arma::uword b = 0; b < n_bits; ++b)
    llrs[b] = max_log ? best[1][b] - best[0][b] : std::log(sum[0][b] / sum[1][b]);
  return llrs;
}

TEST(Detection, KBestWithRoomForAllVectorsIsMaximumLikelihood) {
  Rng rng(1, {Purpose::test});
  struct Case {
    arma::uword n_rx, L;
    unsigned qm;
  };
  for (const Case c : {Case{1, 1, 8}, Case{2, 2, 4}, Case{4, 4, 2}, Case{3, 2, 4}, Case{5, 3, 2}}) {
    for (const DemapperKind demapper : {DemapperKind::max_log, DemapperKind::log_map}) {
      DetectorOptions options{DetectorKind::k_best, 256};
      LayerDetector detector(options, c.qm, demapper);
      ASSERT_TRUE(detector.gives_llrs());
      for (int repeat = 0; repeat < 5; ++repeat) {
        const double s2 = 0.3;
        const Sent sent = draw(rng, c.n_rx, c.L, c.qm, s2);
        std::vector<float> llrs(sent.bits.size());
        detector.llrs(sent.G.memptr(), sent.y.memptr(), c.n_rx, c.L, s2, llrs.data());
        const std::vector<double> exact =
            exhaustive(sent, c.qm, s2, demapper == DemapperKind::max_log);
        for (std::size_t b = 0; b < llrs.size(); ++b)
          EXPECT_NEAR(llrs[b], exact[b], 1e-4 * (1.0 + std::abs(exact[b])))
              << c.n_rx << "x" << c.L << ", " << c.qm << " bits, bit " << b;
      }
    }
  }
}

/// Wrong signs of LLRs of 4 layers on 4 antennas.
double wrong_bits(const DetectorOptions& options, unsigned qm, double s2, int n) {
  Rng rng(2, {Purpose::test});
  LayerDetector detector(options, qm, DemapperKind::max_log);
  double wrong = 0.0;
  for (int i = 0; i < n; ++i) {
    const Sent sent = draw(rng, 4, 4, qm, s2);
    std::vector<float> llrs(sent.bits.size());
    if (detector.gives_llrs()) {
      detector.llrs(sent.G.memptr(), sent.y.memptr(), 4, 4, s2, llrs.data());
    } else {
      arma::cx_vec s(4);
      arma::vec variance(4);
      detector.symbols(sent.G.memptr(), sent.y.memptr(), 4, 4, s2, s.memptr(), variance.memptr());
      NrQam(qm).demap(s.memptr(), variance.memptr(), 4, DemapperKind::max_log, llrs.data());
    }
    for (std::size_t b = 0; b < llrs.size(); ++b) wrong += (llrs[b] < 0) != (sent.bits[b] != 0);
  }
  return wrong / double(n) / 4.0 / qm;
}

TEST(Detection, MoreEffortFindsMoreBits) {
  // 16-QAM at 20 dB: lmmse about 5e-2 wrong bits, maximum likelihood about 5e-3; 800 vectors, 12800 bits, so that the factors asked
  // for here lie many standard errors away.
  const double s2 = 0.04;
  const int n = 800;
  const double lmmse = wrong_bits({DetectorKind::lmmse, 0}, 4, s2, n);
  const double ep = wrong_bits({DetectorKind::ep, 0}, 4, s2, n);
  const double few = wrong_bits({DetectorKind::k_best, 2}, 4, s2, n);
  const double many = wrong_bits({DetectorKind::k_best, 64}, 4, s2, n);
  EXPECT_LT(ep, 0.6 * lmmse);
  EXPECT_LT(many, 0.4 * lmmse);
  EXPECT_LT(many, few);
  EXPECT_LT(many, ep);
}

TEST(Detection, KBestSaysNoMoreOfABitThanItsListCan) {
  Rng rng(3, {Purpose::test});
  LayerDetector detector({DetectorKind::k_best, 1}, 4, DemapperKind::max_log);
  LayerDetector eight({DetectorKind::k_best, 8}, 4, DemapperKind::max_log);
  const Sent sent = draw(rng, 4, 4, 4, 1e-4);
  std::vector<float> one(16), some(16);
  detector.llrs(sent.G.memptr(), sent.y.memptr(), 4, 4, 1e-4, one.data());
  eight.llrs(sent.G.memptr(), sent.y.memptr(), 4, 4, 1e-4, some.data());
  for (std::size_t b = 0; b < 16; ++b) {
    EXPECT_EQ(one[b] < 0, sent.bits[b] != 0);
    EXPECT_EQ(std::abs(one[b]), 4.0f);  // a list of one knows no distance
    EXPECT_EQ(some[b] < 0, sent.bits[b] != 0);
    EXPECT_TRUE(std::isfinite(some[b]));
  }
}

TEST(Detection, NothingReceivedSaysNothing) {
  const arma::cx_mat G(4, 4, arma::fill::zeros);
  const arma::cx_vec y(4, arma::fill::ones);
  LayerDetector list({DetectorKind::k_best, 256}, 2, DemapperKind::log_map);
  std::vector<float> llrs(8);
  list.llrs(G.memptr(), y.memptr(), 4, 4, 0.1, llrs.data());
  for (const float llr : llrs) EXPECT_NEAR(llr, 0.0f, 1e-5f);
  LayerDetector ep({DetectorKind::ep, 0}, 6, DemapperKind::log_map);
  arma::cx_vec s(4);
  arma::vec variance(4);
  ep.symbols(G.memptr(), y.memptr(), 4, 4, 0.1, s.memptr(), variance.memptr());
  EXPECT_TRUE(s.is_finite());
  EXPECT_EQ(variance.min(), 1e12);
}

TEST(Detection, PropagationEqualsItsEquationsWrittenWithMatrices) {
  Rng rng(4, {Purpose::test});
  for (const arma::uword L : {2u, 3u, 4u}) {
    const double s2 = 0.1;
    const Sent sent = draw(rng, 5, L, 4, s2);
    const arma::vec levels = arma::vec{-3, -1, 1, 3} / std::sqrt(10.0);
    arma::vec l(L, arma::fill::ones), h(L);
    arma::cx_vec g(L, arma::fill::zeros), t(L);
    for (int round = 0;; ++round) {
      const arma::cx_mat S = arma::inv(arma::cx_mat(sent.G.t() * sent.G / s2) +
                                       arma::diagmat(arma::conv_to<arma::cx_vec>::from(l)));
      const arma::cx_vec mu = S * (sent.G.t() * sent.y / s2 + g);
      for (arma::uword i = 0; i < L; ++i) {
        const double c = S(i, i).real();
        h(i) = 1.0 / (1.0 / c - l(i));
        t(i) = h(i) * (mu(i) / c - g(i));
      }
      if (round == 2) break;
      for (arma::uword i = 0; i < L; ++i) {
        std::complex<double> m = 0.0;
        double second = 0.0, sum = 0.0;
        for (const double re : levels)
          for (const double im : levels) {
            const std::complex<double> x(re, im);
            const double p = std::exp(-std::norm(t(i) - x) / h(i));
            sum += p;
            m += p * x;
            second += p * std::norm(x);
          }
        m /= sum;
        const double v = std::max(second / sum - std::norm(m), 1e-3);
        const double next = 1.0 / v - 1.0 / h(i);
        if (next < 0.0) continue;
        l(i) = 0.7 * next + 0.3 * l(i);
        g(i) = 0.7 * (m / v - t(i) / h(i)) + 0.3 * g(i);
      }
    }
    LayerDetector detector({DetectorKind::ep, 2}, 4, DemapperKind::log_map);
    arma::cx_vec s(L);
    arma::vec variance(L);
    detector.symbols(sent.G.memptr(), sent.y.memptr(), 5, L, s2, s.memptr(), variance.memptr());
    for (arma::uword i = 0; i < L; ++i) {
      EXPECT_NEAR(std::abs(s(i) - t(i)), 0.0, 1e-8 * (1.0 + std::abs(t(i))));
      EXPECT_NEAR(variance(i), h(i), 1e-8 * h(i));
    }
  }
}

TEST(Detection, OneLayerHasNothingToPropagate) {
  Rng rng(5, {Purpose::test});
  const Sent sent = draw(rng, 3, 1, 6, 0.1);
  std::complex<double> s, other;
  double variance = 0.0, its = 0.0;
  LayerDetector ep({DetectorKind::ep, 0}, 6, DemapperKind::log_map);
  ep.symbols(sent.G.memptr(), sent.y.memptr(), 3, 1, 0.1, &s, &variance);
  detect_layers(DetectorKind::lmmse, sent.G.memptr(), sent.y.memptr(), 3, 1, 0.1, &other, &its);
  EXPECT_EQ(s, other);
  EXPECT_EQ(variance, its);
}

TEST(Detection, NamesAndEffortsAreRead) {
  for (const char* name : {"zf", "lmmse", "lmmse-irc", "k-best", "k-best:64", "ep", "ep:5"})
    EXPECT_EQ(parse_detector(name).text(), name);
  EXPECT_EQ(parse_detector("k-best:64").n_survivors(), 64u);
  EXPECT_EQ(parse_detector("ep:5").n_iterations(), 5u);
  EXPECT_TRUE(refused([] { parse_detector("kbest"); }, "did you mean k-best"));
  EXPECT_TRUE(refused([] { parse_detector("k-best:0"); }, "expected k-best:1 .. k-best:256"));
  EXPECT_TRUE(refused([] { parse_detector("ep:21"); }, "expected ep:1 .. ep:20"));
  EXPECT_TRUE(refused([] { parse_detector("lmmse:3"); }, "expected a name, or k-best:N or ep:N"));
  EXPECT_TRUE(refused([] { parse_detector("ep:two"); }, "number in detector 'ep:two'"));
  EXPECT_TRUE(refused(
      [] {
        LayerDetector({DetectorKind::ep, 99}, 4, DemapperKind::max_log);
      },
      "ep:1 .. ep:20"));
}

/// Pilots of one port on `n` subcarriers of two symbols.
PilotPattern pattern_on(arma::uword n) {
  return *make_grid_pilots(parse_pilots("comb:1,symbols=2-11"), 1, ofdm_grid(n, 14, 15e3), 1)
              .pattern;
}

TEST(Detection, TheInterferenceCovarianceIsThatOfTheResidual) {
  // Noise and one interferer that is the same everywhere; H_hat is exact, and its error 0.
  Rng rng(6, {Purpose::test});
  const PilotPattern pattern = pattern_on(1200);
  const arma::uword n_rx = 3;
  const arma::cx_mat h = rng.cx_normal(n_rx, pattern.grid.n_elements());
  const arma::cx_vec a = rng.cx_normal(n_rx, 1);
  const double sigma2 = 0.5;
  arma::cx_mat y(n_rx, pattern.n());
  arma::cx_mat sum(n_rx, n_rx, arma::fill::zeros), mean = sum;
  for (arma::uword p = 0; p < pattern.n(); ++p) {
    const arma::cx_vec n = a * rng.cx_normal(1, 1) + std::sqrt(sigma2) * rng.cx_normal(n_rx, 1);
    y.col(p) = h.col(pattern.symbol(p) * 1200 + pattern.subcarrier(p)) * pattern.x(0, p) + n;
    if (pattern.subcarrier(p) < InterferenceCovariance::window) sum += n * n.t();
  }
  sum /= 2.0 * InterferenceCovariance::window;
  InterferenceCovariance found;
  found.fit(pattern, n_rx, h.memptr(), nullptr, 0.0, y.memptr(), sigma2);
  // Shrinkage moves along the line to the multiple of the identity, by little.
  const arma::cx_mat R = found.R(0);
  const double trace = arma::trace(sum).real();
  EXPECT_NEAR(arma::trace(R).real(), trace, 1e-9 * trace);
  const double w = 1.0 - std::abs(R(0, 1)) / std::abs(sum(0, 1));
  EXPECT_GT(w, 0.0);
  EXPECT_LT(w, 0.1);
  const arma::cx_mat expected =
      (1.0 - w) * sum + w * trace / 3.0 * arma::eye<arma::cx_mat>(n_rx, n_rx);
  EXPECT_LT(arma::norm(R - expected), 1e-9 * trace);
  // All windows together: a a^H + sigma2 I, to 10 % where 2400 residuals are known to 2 %.
  for (arma::uword f = 0; f < 1200; f += InterferenceCovariance::window) mean += found.R(f) / 25.0;
  const arma::cx_mat truth = a * a.t() + sigma2 * arma::eye<arma::cx_mat>(n_rx, n_rx);
  EXPECT_LT(arma::norm(mean - truth), 0.1 * arma::norm(truth));

  // Whitening: (2 R + 0.3 I)^-1/2 up to a unitary matrix.
  const arma::cx_mat I = arma::eye<arma::cx_mat>(n_rx, n_rx);
  arma::cx_mat W(n_rx, n_rx);
  found.whiten(0, 2.0, 0.3, I.memptr(), n_rx, W.memptr());
  EXPECT_LT(arma::norm(W.t() * W * (2.0 * R + 0.3 * I) - I), 1e-9);
}

TEST(Detection, AnEstimateThroughItsPilotsLeavesThePredictedNoise) {
  Rng rng(7, {Purpose::test});
  const PilotPattern pattern = pattern_on(48);
  const arma::cx_mat y = rng.cx_normal(2, pattern.n());
  arma::cx_mat h(2, pattern.grid.n_elements(), arma::fill::zeros);
  for (arma::uword p = 0; p < pattern.n(); ++p)
    h.col(pattern.symbol(p) * 48 + pattern.subcarrier(p)) = y.col(p) / pattern.x(0, p);
  InterferenceCovariance found;
  found.fit(pattern, 2, h.memptr(), nullptr, 0.7, y.memptr(), 0.7);
  EXPECT_LT(arma::norm(found.R(5) - 0.7 * arma::eye<arma::cx_mat>(2, 2)), 1e-12);
  const arma::vec err_var(pattern.grid.n_elements(), arma::fill::value(0.4));
  found.fit(pattern, 2, h.memptr(), err_var.memptr(), 0.0, y.memptr(), 0.7);
  EXPECT_LT(arma::norm(found.R(5) - 0.4 * arma::eye<arma::cx_mat>(2, 2)), 1e-12);
}

}  // namespace
}  // namespace chest::sim
