#include <chest/estimators/diffusion/solver_table.hpp>

#include <gtest/gtest.h>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

SolverChoice choice(const std::string& pilots, const arma::cx_mat& P) {
  return {pilots, P, {0.0, 10.0, 20.0}, {"ep", "diffpir", "tmpd"}, {0.3, 0.1, 0.02}};
}

/// Random QPSK pilots of unit power per slot, [n_tx, n_pilots].
arma::cx_mat qpsk(arma::uword n_tx, arma::uword n_pilots, Rng& rng) {
  return qpsk_rows(n_pilots, n_tx, rng).st();
}

TEST(SolverTable, FindsTheSamePilots) {
  Rng rng = test_rng(1);
  SolverTable table;
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(table.nearest(arma::cx_mat(4, 2, arma::fill::ones)), nullptr);
  std::vector<arma::cx_mat> P;
  for (int i = 0; i < 5; ++i) {
    P.push_back(qpsk(16, 8, rng));
    table.put(choice("draw " + std::to_string(i), P.back()));
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(table.nearest(P[i])->pilots, "draw " + std::to_string(i));
}

// Another draw is like the draws of its count, not like those of other counts or of a few beams.
TEST(SolverTable, FindsAnotherDrawOfAsManyPilots) {
  Rng rng = test_rng(2);
  SolverTable table;
  for (const arma::uword n : {4, 8, 12, 16}) {
    table.put(choice("qpsk:" + std::to_string(n), qpsk(16, n, rng)));
  }
  table.put(choice("dft:8", dft_pilots(16, 8)));
  arma::cx_mat antennas(16, 8, arma::fill::zeros);
  for (arma::uword i = 0; i < 8; ++i) antennas(2 * i, i) = 1.0;
  table.put(choice("antennas:8", antennas));
  for (int i = 0; i < 20; ++i) {
    for (const arma::uword n : {4, 8, 12, 16}) {
      EXPECT_EQ(table.nearest(qpsk(16, n, rng))->pilots, "qpsk:" + std::to_string(n));
    }
  }
  EXPECT_EQ(table.nearest(dft_pilots(16, 8))->pilots, "dft:8");
  EXPECT_EQ(table.nearest(qpsk(8, 8, rng)), nullptr);
}

TEST(SolverTable, ReplacesTheChoiceOfTheSamePilots) {
  Rng rng = test_rng(3);
  const arma::cx_mat P = qpsk(8, 4, rng), Q = qpsk(8, 4, rng);
  SolverTable table;
  table.put(choice("first", P));
  table.put(choice("other", Q));
  table.put(choice("again", P));
  ASSERT_EQ(table.choices.size(), 2u);
  EXPECT_EQ(table.choices[0].pilots, "again");
  EXPECT_EQ(table.choices[1].pilots, "other");
}

TEST(SolverTable, ChoosesAtTheNearestSnr) {
  const SolverChoice at = choice("any", arma::cx_mat(2, 1, arma::fill::ones));
  EXPECT_EQ(at.at(1.0), "ep");
  EXPECT_EQ(at.at(100.0), "ep");
  EXPECT_EQ(at.at(std::pow(10.0, -0.49)), "ep");
  EXPECT_EQ(at.at(std::pow(10.0, -0.51)), "diffpir");
  EXPECT_EQ(at.at(0.01), "tmpd");
  EXPECT_EQ(at.at(1e-9), "tmpd");
}

TEST(SolverTable, SaysWhatDoesNotFit) {
  SolverTable table;
  EXPECT_EQ(table.why_invalid(), "");
  table.put(choice("qpsk:2", arma::cx_mat(4, 2, arma::fill::ones)));
  EXPECT_EQ(table.why_invalid(), "");
  const auto why = [&](auto&& change) {
    SolverTable wrong = table;
    change(wrong.choices[0]);
    return wrong.why_invalid();
  };
  const auto says = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos && text.find("qpsk:2") != std::string::npos;
  };
  EXPECT_TRUE(says(why([](auto& c) { c.solvers.pop_back(); }), "numbers must be equal"));
  EXPECT_TRUE(says(why([](auto& c) { c.mse.resize(2); }), "numbers must be equal"));
  EXPECT_TRUE(says(why([](auto& c) { c.snr_db = arma::vec{0.0, 10.0, 10.0}; }), "do not ascend"));
  EXPECT_TRUE(says(why([](auto& c) { c.P.reset(); }), "empty or not finite"));
  EXPECT_TRUE(says(why([](auto& c) { c.P(0, 0) = arma::datum::nan; }), "empty or not finite"));
}

}  // namespace
}  // namespace chest
