#include <chest/observation.hpp>

#include <gtest/gtest.h>

#include <memory>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/random.hpp>

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

std::vector<Case> cases() {
  const arma::cx_mat P_few = random_matrix(n_tx, 2), P_many = random_matrix(n_tx, 7, 2);
  const arma::cx_mat A = random_matrix(9, n_rx * n_tx, 3);
  const arma::cx_mat I(n_rx, n_rx, arma::fill::eye);
  return {{"identity", make_identity_observation(n_rx, n_tx),
           arma::cx_mat(n_rx * n_tx, n_rx * n_tx, arma::fill::eye)},
          {"few pilots", make_kronecker_observation(P_few, n_rx), arma::kron(P_few.st(), I)},
          {"many pilots", make_kronecker_observation(P_many, n_rx), arma::kron(P_many.st(), I)},
          {"dense", make_dense_observation(A), A}};
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

TEST(Observation, RefusesOtherRows) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
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
