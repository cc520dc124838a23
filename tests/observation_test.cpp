#include <chest/observation.hpp>

#include <gtest/gtest.h>

#include <memory>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/random.hpp>

#include "tests/support/refusal.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 5, n_tx = 4;

arma::cx_mat random_matrix(arma::uword n_rows, arma::uword n_cols, std::uint64_t seed = 1) {
  return Rng(seed, {Purpose::test}).cx_normal(n_rows, n_cols);
}

struct Case {
  const char* name;
  std::shared_ptr<const ObservationOperator> A;
  arma::cx_mat matrix;  // what A is, formed
};

/// Differences along L slices of n entries.
arma::cx_mat differences(arma::uword n_slices, arma::uword n) {
  arma::cx_mat B(n_slices - 1, n_slices, arma::fill::zeros);
  for (arma::uword l = 0; l + 1 < n_slices; ++l) {
    B(l, l) = -1.0;
    B(l, l + 1) = 1.0;
  }
  return arma::kron(B, arma::cx_mat(n, n, arma::fill::eye));
}

/// What somebody else may write: apply and adjoint, nothing clever.
class MinimalObservation final : public ObservationOperator {
 public:
  explicit MinimalObservation(arma::cx_mat A) : A_(std::move(A)) {}
  arma::uword n_h() const override { return A_.n_cols; }
  arma::uword n_obs() const override { return A_.n_rows; }
  std::string name() const override { return "minimal"; }
  void apply(const arma::cx_mat& h, arma::cx_mat& out) const override { out = A_ * h; }
  void adjoint(const arma::cx_mat& y, arma::cx_mat& out) const override { out = A_.t() * y; }
  void pseudo_inverse(const arma::cx_mat& y, arma::cx_mat& out) const override {
    ObservationOperator::ridge(y, 0.0, out);
  }
  using ObservationOperator::adjoint;
  using ObservationOperator::apply;
  using ObservationOperator::ridge;
  arma::vec squared_singular_values() const override { return arma::square(arma::svd(A_)); }
  std::optional<double> gram_scale() const override { return {}; }

 private:
  arma::cx_mat A_;
};

std::vector<Case> cases() {
  const arma::cx_mat P_few = random_matrix(n_tx, 2), P_many = random_matrix(n_tx, 7, 2);
  const arma::cx_mat A = random_matrix(9, n_rx * n_tx, 3), tall = random_matrix(9, 5, 4);
  const arma::cx_mat I(n_rx, n_rx, arma::fill::eye), all(20, 20, arma::fill::eye);
  const arma::cx_mat low_rank = random_matrix(9, 4, 5) * random_matrix(4, 12, 6);
  const arma::uvec kept{3, 0, 17, 8};
  const std::shared_ptr<const ObservationOperator> few = make_kronecker_observation(P_few, n_rx),
                                                   beside = make_dense_observation(
                                                       random_matrix(few->n_obs(), 6, 7)),
                                                   wide = make_dense_observation(A);
  const arma::cx_mat few_matrix = arma::kron(P_few.st(), I), three(3, 3, arma::fill::eye);
  const std::shared_ptr<const ObservationOperator> mask = make_mask_observation(kept, 20);
  return {
      {"identity", make_identity_observation(n_rx, n_tx), all},
      {"few pilots", few, few_matrix},
      {"many pilots", make_kronecker_observation(P_many, n_rx), arma::kron(P_many.st(), I)},
      {"dense", wide, A},
      {"tall", make_dense_observation(tall), tall},
      {"low rank", make_dense_observation(low_rank), low_rank},
      {"mask", mask, all.rows(kept)},
      {"full mask", make_mask_observation(arma::regspace<arma::uvec>(19, -1, 0), 20),
       arma::reverse(all)},
      {"stacked", make_stacked_observation({few, beside}),
       arma::join_rows(few_matrix, random_matrix(few->n_obs(), 6, 7))},
      {"coupled slices", make_coupled_slices_observation(few, 3, 0.7),
       arma::join_cols(arma::kron(three, few_matrix), 0.7 * differences(3, few->n_h()))},
      {"coupled masks", make_coupled_slices_observation(mask, 3, 1.3),
       arma::join_cols(arma::kron(three, arma::cx_mat(all.rows(kept))), 1.3 * differences(3, 20))},
      {"slices that do not touch", make_coupled_slices_observation(few, 3, 0.0),
       arma::join_cols(arma::kron(three, few_matrix), 0.0 * differences(3, few->n_h()))},
      {"one slice", make_coupled_slices_observation(wide, 1, 2.0), A},
      {"user's", std::make_shared<MinimalObservation>(A), A}};
}

TEST(Observation, EveryKindIsItsMatrix) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    ASSERT_EQ(c.A->n_h(), c.matrix.n_cols);
    ASSERT_EQ(c.A->n_obs(), c.matrix.n_rows);
    const arma::cx_mat h = random_matrix(c.A->n_h(), 3), y = random_matrix(c.A->n_obs(), 3, 9);
    EXPECT_LT(arma::abs(c.A->apply(h) - c.matrix * h).max(), 1e-12);
    EXPECT_LT(arma::abs(c.A->adjoint(y) - c.matrix.t() * y).max(), 1e-12);
    EXPECT_LT(arma::abs(c.A->pseudo_inverse(y) - arma::pinv(c.matrix) * y).max(), 1e-10);
    const arma::vec s2 = arma::sort(arma::square(arma::svd(c.matrix)), "descend");
    EXPECT_LT(arma::abs(arma::sort(c.A->squared_singular_values(), "descend") - s2).max(), 1e-10);
  }
}

// (A^H A + lambda I)^-1 A^H y. Conjugate gradients end at a relative residual of 1e-12; the rest is
// the condition of A^H A + lambda I, below 1e3 here.
TEST(Observation, RidgeIsTheDenseFormula) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const arma::cx_mat y = random_matrix(c.A->n_obs(), 3, 9);
    for (const double lambda : {1e-3, 0.3, 40.0}) {
      arma::cx_mat G = c.matrix.t() * c.matrix;
      G.diag() += lambda;
      const arma::cx_mat expected = arma::solve(G, arma::cx_mat(c.matrix.t() * y));
      EXPECT_LT(arma::abs(c.A->ridge(y, lambda) - expected).max(), 1e-9 * (1.0 + 1e-3 / lambda))
          << lambda;
    }
    EXPECT_LT(arma::abs(c.A->ridge(y, 0.0) - arma::pinv(c.matrix) * y).max(), 1e-9);
  }
}

TEST(Observation, AdjointTurnsInnerProductsAround) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const arma::cx_mat h = random_matrix(c.A->n_h(), 2), y = random_matrix(c.A->n_obs(), 2, 9);
    EXPECT_LT(std::abs(arma::cdot(y, c.A->apply(h)) - arma::cdot(c.A->adjoint(y), h)), 1e-11);
  }
}

TEST(Observation, RidgeRefusesWhatHasNoMeaning) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const arma::cx_mat y = random_matrix(c.A->n_obs(), 1);
    EXPECT_TRUE(refused([&] { c.A->ridge(y, -1.0); }, "lambda is -1,"));
    EXPECT_TRUE(refused([&] { c.A->ridge(y, arma::datum::nan); }, "lambda is nan"));
    EXPECT_TRUE(refused([&] { c.A->ridge(random_matrix(c.A->n_obs() + 1, 1), 1.0); },
                        "y has " + std::to_string(c.A->n_obs() + 1) + " rows, expected " +
                            std::to_string(c.A->n_obs())));
  }
}

TEST(Observation, RefusesMasksStacksAndSlicesThatDoNotFit) {
  EXPECT_TRUE(refused([] { make_mask_observation({}, 4); }, "keeps no entry"));
  EXPECT_TRUE(refused([] { make_mask_observation({1, 4}, 4); }, "keeps entry 4 of 4"));
  EXPECT_TRUE(refused([] { make_mask_observation({1, 2, 1}, 4); }, "keeps an entry twice"));
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(3, 2),
                                                   B = make_identity_observation(2, 2);
  EXPECT_TRUE(refused([] { make_stacked_observation({}); }, "no parts"));
  EXPECT_TRUE(refused([&] { make_stacked_observation({A, nullptr}); }, "a part is not given"));
  EXPECT_TRUE(refused([&] { make_stacked_observation({A, B}); }, "parts of 6 and 4 rows"));
  EXPECT_TRUE(refused([] { make_coupled_slices_observation(nullptr, 2, 1.0); }, "not given"));
  EXPECT_TRUE(refused([&] { make_coupled_slices_observation(A, 0, 1.0); }, "n_slices is 0"));
  EXPECT_TRUE(refused([&] { make_coupled_slices_observation(A, 2, -1.0); }, "coupling is -1,"));
}

TEST(Observation, RefusesOtherRows) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    if (dynamic_cast<const MinimalObservation*>(c.A.get())) continue;
    EXPECT_THROW(c.A->apply(arma::cx_mat(c.A->n_h() + 1, 1)), Error);
    EXPECT_THROW(c.A->adjoint(arma::cx_mat(c.A->n_obs() + 1, 1)), Error);
    EXPECT_THROW(c.A->pseudo_inverse(arma::cx_mat(c.A->n_obs() + 1, 1)), Error);
  }
}

TEST(Observation, GramScaleIsThereExactlyForOrthogonalRows) {
  EXPECT_EQ(make_identity_observation(3, 2)->gram_scale(), 1.0);
  const arma::cx_mat F = dft_matrix(8);
  const auto full = make_kronecker_observation(F.rows(0, n_tx - 1), n_rx);
  ASSERT_TRUE(full->gram_scale());
  EXPECT_NEAR(*full->gram_scale(), 1.0, 1e-12);
  EXPECT_FALSE(make_kronecker_observation(F.submat(0, 0, n_tx - 1, 2), n_rx)->gram_scale());
  EXPECT_FALSE(make_kronecker_observation(random_matrix(n_tx, 8), n_rx)->gram_scale());
  EXPECT_NEAR(*make_dense_observation(2.0 * dft_matrix(4))->gram_scale(), 4.0, 1e-12);
}

TEST(Observation, RefusesUselessPilots) {
  EXPECT_THROW(make_kronecker_observation(arma::cx_mat(), 4), Error);
  EXPECT_THROW(make_kronecker_observation(arma::cx_mat(4, 2, arma::fill::zeros), 4), Error);
  EXPECT_THROW(make_kronecker_observation(random_matrix(4, 2), 0), Error);
  arma::cx_mat P = random_matrix(4, 2);
  P(1, 1) = arma::datum::nan;
  EXPECT_THROW(make_kronecker_observation(P, 4), Error);
  EXPECT_THROW(make_dense_observation(P), Error);
  EXPECT_THROW(make_identity_observation(0, 4), Error);
}

}  // namespace
}  // namespace chest
