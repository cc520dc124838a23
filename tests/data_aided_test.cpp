// Estimation with decoded symbols as pilots of unequal reliability.
#include "sim/data_aided.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include <chest/covariance.hpp>
#include <chest/estimators/grid/grid_lmmse.hpp>
#include <chest/ofdm.hpp>
#include <chest/random.hpp>

namespace chest::sim {
namespace {

TEST(DataAided, SoftSymbolsAreTheMomentsOverAllSymbols) {
  Rng rng(1, {Purpose::test});
  for (const unsigned qm : {2u, 4u, 6u, 8u}) {
    const NrQam qam(qm);
    std::vector<float> llrs(3 * qm);
    for (float& llr : llrs) llr = static_cast<float>(3.0 * rng.normal());
    std::complex<double> mean[3];
    double variance[3];
    soft_symbols(qam, llrs.data(), 3, mean, variance);
    for (int i = 0; i < 3; ++i) {
      std::complex<double> m = 0.0;
      double second = 0.0;
      for (unsigned word = 0; word < 1u << qm; ++word) {
        Bits bits(qm);
        double p = 1.0;
        for (unsigned b = 0; b < qm; ++b) {
          bits[b] = word >> b & 1u;
          const double llr = llrs[unsigned(i) * qm + b];
          p /= 1.0 + std::exp(bits[b] ? llr : -llr);
        }
        std::complex<double> s;
        qam.map(bits.data(), 1, &s);
        m += p * s;
        second += p * std::norm(s);
      }
      EXPECT_NEAR(std::abs(mean[i] - m), 0.0, 1e-9);
      EXPECT_NEAR(variance[i], second - std::norm(m), 1e-9);
    }
  }
}

TEST(DataAided, RoundsOfLinearMmseGoToThePosteriorWithUnequalVariances) {
  // One port, two antennas, a small grid: the exact estimate is a linear system of all elements.
  Rng rng(2, {Purpose::test});
  const GridAxes grid = ofdm_grid(12, 3, 15e3);
  const arma::uword n = grid.n_elements(), n_rx = 2;
  const Pilots pilots = make_grid_pilots(parse_pilots("comb:2,symbols=1"), 1, grid, 1);
  PuschAllocation allocation;
  allocation.pattern = pilots.pattern;
  allocation.elements = data_elements(pilots);
  allocation.n_layers = 1;
  GridLmmseOptions known;
  known.pdp = "TDLC300-100";
  const AxisCovariances axes = known_covariances(known, grid);
  const auto line = [](arma::uword k) { return arma::regspace(0.0, double(k) - 1.0); };
  const arma::cx_mat C =
      arma::kron(axes.time(line(3), line(3)), axes.frequency(line(12), line(12)));

  const double sigma2 = 0.2;
  arma::vec values;
  arma::cx_mat U;
  hermitian_eigen(C, values, U);
  const arma::cx_mat h =
      (U *
       arma::diagmat(arma::conv_to<arma::cx_vec>::from(arma::sqrt(arma::clamp(values, 0.0, 1e9)))) *
       rng.cx_normal(n, n_rx))
          .st();  // [n_rx, n]
  const arma::uword n_data = allocation.elements.n_elem;
  arma::cx_vec x(n_data);
  arma::vec v(n_data);
  arma::cx_mat y_data(n_rx, n_data), y_pilots(n_rx, pilots.pattern->n());
  arma::vec w(n, arma::fill::value(1e9));
  arma::cx_mat z(n_rx, n, arma::fill::zeros);
  const arma::cx_mat start(n_rx, n, arma::fill::ones);
  for (arma::uword d = 0; d < n_data; ++d) {
    v(d) = d % 3 == 0 ? 0.0 : 0.5;
    x(d) = std::polar(0.5 + 0.6 * rng.uniform(), 6.28 * rng.uniform());
    y_data.col(d) =
        h.col(allocation.elements(d)) * x(d) + std::sqrt(sigma2) * rng.cx_normal(n_rx, 1);
    const double power = std::norm(x(d)) + v(d);
    w(allocation.elements(d)) = sigma2 / power;
    z.col(allocation.elements(d)) = y_data.col(d) * std::conj(x(d)) / power;
  }
  for (arma::uword p = 0; p < pilots.pattern->n(); ++p) {
    const arma::uword element = pilots.pattern->symbol(p) * 12 + pilots.pattern->subcarrier(p);
    y_pilots.col(p) =
        h.col(element) * pilots.pattern->x(0, p) + std::sqrt(sigma2) * rng.cx_normal(n_rx, 1);
    w(element) = sigma2 / std::norm(pilots.pattern->x(0, p));
    z.col(element) = y_pilots.col(p) / pilots.pattern->x(0, p);
  }
  const arma::cx_mat exact =
      (C * arma::solve(C + arma::diagmat(arma::conv_to<arma::cx_vec>::from(w)), z.st())).st();

  const auto whole = make_grid_lmmse(whole_grid(grid, n_rx), axes);
  arma::cx_mat found = start;
  double last = arma::norm(found - exact, "fro");
  for (int round = 0; round < 4; ++round) {
    arma::mat errors(1, n, arma::fill::zeros);
    estimate_with_data(*whole, allocation, n_rx, 1, {y_data.memptr(), y_pilots.memptr(), sigma2},
                       x.memptr(), v.memptr(), 1, 0, {found.memptr(), errors.memptr()});
    EXPECT_GT(errors.min(), 0.0);
    EXPECT_LT(errors.max(), 1.0);
    const double distance = arma::norm(found - exact, "fro");
    EXPECT_LT(distance, std::max(0.5 * last, 1e-6));
    last = distance;
  }
  EXPECT_LT(last, 1e-6);
}

}  // namespace
}  // namespace chest::sim
