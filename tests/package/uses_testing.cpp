// The laws of an estimator, on an estimator of another project.
#include <chest/estimators/linear/ls.hpp>
#include <chest/observation.hpp>
#include <chest/random.hpp>
#include <chest/testing/estimator_contract.hpp>

#include <memory>

TEST(MyEstimator, KeepsTheContract) {
  const std::shared_ptr<const chest::ObservationOperator> A =
      chest::make_identity_observation(4, 2);
  chest::Observation observation;
  observation.sigma2 = 0.1;
  observation.y = chest::Rng(1, {chest::Purpose::test}).cx_normal(8, 5);
  chest::expect_estimator_contract(*chest::make_ls(A), *A, observation, 1e-12);
}
