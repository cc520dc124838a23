#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chest/error.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/observation.hpp>
#include <chest/parallel.hpp>
#include <string>
#include <vector>

#include "tests/support/statistics.hpp"

namespace chest {

/// The laws that every estimator keeps, on an observation of at least three columns.
/// @param tolerance  of estimates of one column in different batches: rounding of the precision
/// that
///                   the estimator works in
inline void expect_estimator_contract(const Estimator& estimator, const ObservationOperator& A,
                                      const Observation& observation, double tolerance) {
  SCOPED_TRACE(estimator.name() + " on " + A.name());
  const arma::uword n = observation.y.n_cols;
  const Estimate whole = estimator.estimate(observation);
  ASSERT_EQ(whole.h.n_rows, A.n_h());
  ASSERT_EQ(whole.h.n_cols, n);
  EXPECT_TRUE(whole.h.is_finite());
  EXPECT_TRUE(whole.mse.is_empty() || whole.mse.n_elem == n);
  EXPECT_TRUE(whole.mse.is_empty() || whole.mse.min() > 0.0);

  // The same call gives the same bits.
  EXPECT_EQ(max_difference(estimator.estimate(observation).h, whole.h), 0.0);

  // A batch is its columns one by one, into memory that held something else.
  Estimate out;
  out.h.ones(A.n_h() + 3, 2);
  out.mse.ones(5);
  out.nfe = 77;
  arma::uword most_calls = 0;
  for (arma::uword k = 0; k < n; ++k) {
    estimator.estimate(observation.columns({k}), out);
    EXPECT_LT(max_difference(out.h, whole.h.col(k)), tolerance);
    EXPECT_EQ(out.mse.n_elem, whole.mse.is_empty() ? 0u : 1u);
    if (!whole.mse.is_empty()) {
      EXPECT_NEAR(out.mse(0), whole.mse(k), tolerance * (1 + whole.mse(k)));
    }
    most_calls = std::max(most_calls, out.nfe);
  }
  // Channels of one batch may take different numbers of calls: the largest counts.
  EXPECT_EQ(most_calls, whole.nfe);

  // Memory of the right size is reused, not replaced.
  estimator.estimate(observation, out);
  const arma::cx_double* memory = out.h.memptr();
  estimator.estimate(observation, out);
  EXPECT_EQ(out.h.memptr(), memory);

  // Columns of h_hat permute with those of y.
  const arma::uvec order = arma::reverse(arma::regspace<arma::uvec>(0, n - 1));
  EXPECT_LT(max_difference(estimator.estimate(observation.columns(order)).h,
                           arma::cx_mat(whole.h.cols(order))),
            tolerance);

  // No columns, no work.
  const Estimate nothing = estimator.estimate(observation.columns(arma::uvec()));
  EXPECT_EQ(nothing.h.n_cols, 0u);

  // Threads share one instance.
  std::vector<double> difference(8);
  parallel_for(difference.size(), 4, [&](std::size_t i) {
    difference[i] = max_difference(estimator.estimate(observation).h, whole.h);
  });
  for (const double d : difference) EXPECT_LT(d, tolerance);

  Observation wrong = observation;
  wrong.y.resize(A.n_obs() + 1, n);
  try {
    estimator.estimate(wrong);
    ADD_FAILURE() << "took a y of too many rows";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    EXPECT_NE(std::string(error.what())
                  .find("y has " + std::to_string(A.n_obs() + 1) + " rows, A has " +
                        std::to_string(A.n_obs())),
              std::string::npos)
        << error.what();
  }
  for (const double sigma2 : {0.0, -1.0, double(NAN), double(INFINITY)}) {
    wrong = observation;
    wrong.sigma2 = sigma2;
    EXPECT_THROW(estimator.estimate(wrong), Error) << "took sigma2 = " << sigma2;
  }
}

}  // namespace chest
