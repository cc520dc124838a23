#pragma once

#include <algorithm>
#include <armadillo>
#include <cmath>
#include <exception>
#include <limits>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <chest/error.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// Parts of expect_estimator_contract().
namespace contract {

/// Largest |a - b| / (1 + |b|) over all entries, where NaN equals NaN; infinity when the sizes differ.
template <class Matrix>
double difference(const Matrix& a, const Matrix& b) {
  if (a.n_rows != b.n_rows || a.n_cols != b.n_cols) return std::numeric_limits<double>::infinity();
  double largest = 0.0;
  for (arma::uword i = 0; i < a.n_elem; ++i) {
    const bool a_unknown = a(i) != a(i), b_unknown = b(i) != b(i);
    if (a_unknown && b_unknown) continue;
    if (a_unknown || b_unknown) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, std::abs(a(i) - b(i)) / (1.0 + std::abs(b(i))));
  }
  return largest;
}

/// The columns `which` of every field; nfe and n_reset stay.
inline Estimate columns(const Estimate& estimate, const arma::uvec& which) {
  Estimate out = estimate;
  out.h = estimate.h.cols(which);
  if (!estimate.mse.is_empty()) out.mse = estimate.mse.elem(which);
  if (!estimate.angular_mse.is_empty()) out.angular_mse = estimate.angular_mse.cols(which);
  if (!estimate.sigma2.is_empty()) out.sigma2 = estimate.sigma2.elem(which);
  if (!estimate.log_evidence.is_empty()) out.log_evidence = estimate.log_evidence.elem(which);
  return out;
}

/// Empty, or the first field in which two estimates differ by more than the tolerance; nfe and
/// n_reset are not compared.
inline std::string differing_field(const Estimate& a, const Estimate& b, double tolerance) {
  const auto check = [&](const char* field, double d) {
    std::ostringstream text;
    if (d > tolerance) text << field << " differs by " << d << ", allowed is " << tolerance;
    return text.str();
  };
  std::string out = check("h", difference(a.h, b.h));
  if (out.empty()) out = check("mse", difference(a.mse, b.mse));
  if (out.empty()) out = check("angular_mse", difference(a.angular_mse, b.angular_mse));
  if (out.empty()) out = check("sigma2", difference(a.sigma2, b.sigma2));
  if (out.empty()) out = check("log_evidence", difference(a.log_evidence, b.log_evidence));
  return out;
}

/// What other calls may have left in an Estimate: every field has the wrong size and values that
/// nobody predicts.
inline Estimate used_before(arma::uword n_h, arma::uword n_samples) {
  Estimate out;
  out.h.ones(n_h + 3, n_samples + 2);
  out.mse = arma::vec(n_samples + 5).fill(-1.0);
  out.angular_mse = arma::mat(n_h + 1, n_samples + 4).fill(-1.0);
  out.sigma2 = arma::vec(n_samples + 6).fill(-1.0);
  out.log_evidence = arma::vec(n_samples + 7).fill(77.0);
  out.nfe = 7777;
  out.n_reset = 777;
  return out;
}

/// Sizes and ranges of every field of an estimate of n_samples channels; false when sizes are wrong.
inline bool expect_well_formed(const Estimate& estimate, arma::uword n_h, arma::uword n_samples,
                               bool per_angle) {
  bool sizes_fit = true;
  const auto expect_size = [&](const char* field, const auto& values, arma::uword n_rows,
                               arma::uword n_cols) {
    if (values.n_rows == n_rows && values.n_cols == n_cols) return;
    sizes_fit = false;
    ADD_FAILURE() << field << " is [" << values.n_rows << ", " << values.n_cols << "], it must be ["
                  << n_rows << ", " << n_cols << "]";
  };
  expect_size("h", estimate.h, n_h, n_samples);
  if (!estimate.mse.is_empty()) expect_size("mse", estimate.mse, n_samples, 1);
  if (!estimate.sigma2.is_empty()) expect_size("sigma2", estimate.sigma2, n_samples, 1);
  if (!estimate.log_evidence.is_empty()) {
    expect_size("log_evidence", estimate.log_evidence, n_samples, 1);
  }
  if (!estimate.angular_mse.is_empty()) {
    expect_size("angular_mse", estimate.angular_mse, n_h, n_samples);
    EXPECT_TRUE(per_angle) << "angular_mse is there though nobody asked for it";
  }
  if (!sizes_fit) return false;
  EXPECT_TRUE(estimate.h.is_finite()) << "h has entries that are not finite";
  for (const double mse : estimate.mse) {  // NaN: not known for this column
    EXPECT_FALSE(mse <= 0.0 || std::isinf(mse)) << "mse is " << mse;
  }
  for (const double sigma2 : estimate.sigma2) {
    EXPECT_TRUE(sigma2 > 0.0 && std::isfinite(sigma2)) << "sigma2 is " << sigma2;
  }
  for (const double log_evidence : estimate.log_evidence) {
    EXPECT_TRUE(std::isfinite(log_evidence)) << "log_evidence is " << log_evidence;
  }
  if (!estimate.angular_mse.is_empty()) {
    for (const double mse : estimate.angular_mse) {
      EXPECT_FALSE(mse < 0.0 || std::isinf(mse)) << "angular_mse is " << mse;
    }
    const arma::vec sums = arma::sum(estimate.angular_mse, 0).t();
    EXPECT_LT(difference(sums, estimate.mse), 1e-6) << "columns of angular_mse must add up to mse";
  }
  return true;
}

/// An observation that the estimator must refuse, with a sentence that has `words` in it.
inline void expect_refused(const Estimator& estimator, const Observation& observation,
                           const std::string& words) {
  try {
    estimator.estimate(observation);
    ADD_FAILURE() << "took what should be refused with \"" << words << "\"";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument) << error.what();
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

}  // namespace contract

/// Checks the laws that every estimator keeps, all fields of Estimate included:
///
///   * every field has its size and range; mse comes where predicts_mse() says so, angular_mse only
///     when asked for, and its columns add up to mse; asking changes nothing else
///   * the same call gives the same bits, also into an Estimate that another call has used, and in
///     several threads at once
///   * a batch is its columns one by one, in any order, each with its sample number; the batch's nfe is
///     the largest of theirs
///   * memory of the right size is reused; no columns give an estimate of no columns
///   * a y of a wrong number of rows, a wrong number of sample numbers, and a sigma2 that is not
///     positive and finite where it is read, are refused
///
///     TEST(MyEstimator, KeepsTheContract) {
///       expect_estimator_contract(*make_my_estimator(A), *A, observation, 1e-10);
///     }
///
/// @param observation  of A, at least three columns, not all equal
/// @param tolerance    of one column estimated in different batches, relative to 1 + |value|: rounding
///                     of the precision that the estimator works in
inline void expect_estimator_contract(const Estimator& estimator, const ObservationOperator& A,
                                      const Observation& observation, double tolerance) {
  SCOPED_TRACE(estimator.name() + " on " + A.name());
  const arma::uword n = observation.y.n_cols;
  ASSERT_GE(n, 3u) << "the laws want at least three columns";
  Observation plain = observation;
  plain.per_angle = false;
  Observation asking = observation;
  asking.per_angle = true;

  const Estimate whole = estimator.estimate(plain);
  const Estimate per_angle = estimator.estimate(asking);
  EXPECT_EQ(!whole.mse.is_empty(), estimator.predicts_mse(plain.sigma2))
      << "mse is given where predicts_mse() says so";
  if (!contract::expect_well_formed(whole, A.n_h(), n, false)) return;
  if (!contract::expect_well_formed(per_angle, A.n_h(), n, true)) return;
  Estimate without = per_angle;
  without.angular_mse.reset();
  EXPECT_EQ(contract::differing_field(without, whole, tolerance), "")
      << "per_angle changes more than angular_mse";

  Estimate out = contract::used_before(A.n_h(), n);
  estimator.estimate(asking, out);
  EXPECT_EQ(contract::differing_field(out, per_angle, 0.0), "") << "the same call, other values";
  EXPECT_EQ(out.nfe, per_angle.nfe);
  EXPECT_EQ(out.n_reset, per_angle.n_reset);
  out = contract::used_before(A.n_h(), n);
  estimator.estimate(plain, out);
  EXPECT_EQ(contract::differing_field(out, whole, 0.0), "") << "the same call, other values";
  EXPECT_EQ(out.nfe, whole.nfe);
  EXPECT_EQ(out.n_reset, whole.n_reset);

  const arma::cx_double* memory = out.h.memptr();
  estimator.estimate(plain, out);
  EXPECT_EQ(out.h.memptr(), memory) << "memory of the right size was not reused";

  arma::uword most_calls = 0, n_reset = 0;
  for (arma::uword k = 0; k < n; ++k) {
    const arma::uvec which{k};
    estimator.estimate(asking.columns(which), out);
    EXPECT_EQ(contract::differing_field(out, contract::columns(per_angle, which), tolerance), "")
        << "column " << k << " alone";
    most_calls = std::max(most_calls, out.nfe);
    n_reset += out.n_reset;
  }
  EXPECT_EQ(most_calls, per_angle.nfe) << "nfe of a batch is the largest of its columns";
  EXPECT_EQ(n_reset, per_angle.n_reset) << "n_reset of a batch is the sum over its columns";

  const arma::uvec order = arma::reverse(arma::regspace<arma::uvec>(0, n - 1));
  EXPECT_EQ(contract::differing_field(estimator.estimate(plain.columns(order)),
                                      contract::columns(whole, order), tolerance),
            "")
      << "columns in another order";

  const Estimate nothing = estimator.estimate(asking.columns(arma::uvec()));
  contract::expect_well_formed(nothing, A.n_h(), 0, true);

  std::vector<std::string> differing(4);
  std::vector<std::thread> threads;
  for (std::string& text : differing) {
    threads.emplace_back([&estimator, &plain, &whole, &text, tolerance] {
      try {
        text = contract::differing_field(estimator.estimate(plain), whole, tolerance);
      } catch (const std::exception& error) {
        text = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : differing) EXPECT_EQ(text, "") << "in several threads at once";

  Observation wrong = observation;
  wrong.y.resize(A.n_obs() + 1, n);
  contract::expect_refused(
      estimator, wrong,
      "y has " + std::to_string(A.n_obs() + 1) + " rows, A has " + std::to_string(A.n_obs()));
  wrong = observation;
  wrong.samples.assign(n + 1, 0);
  contract::expect_refused(estimator, wrong, std::to_string(n + 1) + " sample numbers");
  for (const double sigma2 : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                              std::numeric_limits<double>::infinity()}) {
    if (!estimator.reads_sigma2()) break;
    wrong = observation;
    wrong.sigma2 = sigma2;
    contract::expect_refused(estimator, wrong, "sigma2");
  }
}

}  // namespace v0
}  // namespace chest
