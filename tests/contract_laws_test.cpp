#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <chest/estimators/linear/ls.hpp>
#include <chest/testing/estimator_contract.hpp>
#include <functional>
#include <mutex>

#include "tests/support/scene.hpp"

namespace chest {
namespace {

/// LS that predicts every field of Estimate, then breaks one law.
class LawBreaker final : public Estimator {
 public:
  using Break = std::function<void(const Observation&, Estimate&)>;
  LawBreaker(std::shared_ptr<const ObservationOperator> A, Break broken)
      : A_(A), ls_(make_ls(std::move(A))), broken_(std::move(broken)) {}
  std::string name() const override { return "law breaker"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const arma::uword n = observation.y.n_cols;
    ls_->estimate(observation, out);
    out.sigma2 = arma::vec(n).fill(observation.sigma2);
    out.log_evidence = -arma::sum(arma::square(arma::abs(observation.y)), 0).t();
    out.angular_mse.reset();
    if (observation.per_angle) {
      out.angular_mse.set_size(A_->n_h(), n);
      out.angular_mse.each_row() = out.mse.t() / static_cast<double>(A_->n_h());
    }
    out.nfe = n == 0 ? 0 : 3;
    const std::lock_guard lock(mutex_);
    broken_(observation, out);
  }

  std::shared_ptr<const ObservationOperator> A_;
  std::unique_ptr<Estimator> ls_;
  Break broken_;
  mutable std::mutex mutex_;
};

/// Failures of the contract of a law breaker.
std::string failures(const LawBreaker::Break& broken) {
  Rng rng = test_rng(1);
  Scene scene;
  scene.A = make_identity_observation(4, 3);
  scene.h = rng.cx_normal(12, 5);
  observe(scene, 0.1, rng);
  testing::TestPartResultArray results;
  {
    testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ALL_THREADS, &results);
    expect_estimator_contract(LawBreaker(scene.A, broken), *scene.A, scene.observation, 1e-12);
  }
  std::string text;
  for (int i = 0; i < results.size(); ++i)
    text += std::string(results.GetTestPartResult(i).message()) + "\n";
  return text;
}

TEST(ContractLaws, HoldForAnEstimatorThatFillsEveryField) {
  EXPECT_EQ(failures([](const Observation&, Estimate&) {}), "");
}

TEST(ContractLaws, UnknownPredictionsOfSomeColumnsAreNoFailure) {
  EXPECT_EQ(failures([](const Observation& observation, Estimate& out) {
              for (arma::uword k = 0; k < out.mse.n_elem; ++k) {
                if (observation.y(0, k).real() < 0.0) {
                  out.mse(k) = arma::datum::nan;
                  if (!out.angular_mse.is_empty()) out.angular_mse.col(k).fill(arma::datum::nan);
                }
              }
            }),
            "");
}

// Each line breaks one law in one field; without the check of that field nothing is said.
TEST(ContractLaws, EveryFieldIsChecked) {
  const auto many = [](const Observation& observation) { return observation.y.n_cols > 1; };
  std::size_t calls = 0;
  const std::vector<std::tuple<std::string, std::string, LawBreaker::Break>> cases{
      {"h not finite", "h has entries",
       [](const Observation&, Estimate& out) {
         if (!out.h.is_empty()) out.h(0, 0) = arma::datum::nan;
       }},
      {"mse of a wrong size", "mse is [6, 1]",
       [](const Observation&, Estimate& out) { out.mse.resize(out.mse.n_elem + 1); }},
      {"mse not there", "predicts_mse",
       [](const Observation&, Estimate& out) { out.mse.reset(), out.angular_mse.reset(); }},
      {"mse negative", "mse is",
       [](const Observation&, Estimate& out) {
         if (!out.mse.is_empty()) out.mse(0) = -1.0;
       }},
      {"angular_mse unasked", "nobody asked",
       [](const Observation&, Estimate& out) { out.angular_mse.ones(12, out.h.n_cols); }},
      {"angular_mse without its sum", "add up to mse",
       [](const Observation&, Estimate& out) { out.angular_mse *= 2.0; }},
      {"sigma2 not positive", "sigma2 is",
       [](const Observation&, Estimate& out) { out.sigma2.zeros(); }},
      {"log_evidence not finite", "log_evidence is",
       [](const Observation&, Estimate& out) { out.log_evidence.fill(arma::datum::inf); }},
      {"asking for angles changes h", "per_angle changes more",
       [](const Observation& observation, Estimate& out) {
         if (observation.per_angle) out.h *= 1.1;
       }},
      {"batches differ in h", "h differs",
       [&](const Observation& observation, Estimate& out) {
         if (many(observation)) out.h *= 1.001;
       }},
      {"batches differ in mse", "mse differs",
       [&](const Observation& observation, Estimate& out) {
         if (many(observation)) out.mse.fill(arma::datum::nan), out.angular_mse.reset();
       }},
      {"batches differ in angular_mse", "angular_mse differs",
       [&](const Observation& observation, Estimate& out) {
         if (many(observation) && observation.per_angle) {
           out.angular_mse.row(0) *= 0.5;
           out.angular_mse.row(1) *= 1.5;
         }
       }},
      {"batches differ in sigma2", "sigma2 differs",
       [&](const Observation& observation, Estimate& out) {
         if (many(observation)) out.sigma2 *= 2.0;
       }},
      {"batches differ in log_evidence", "log_evidence differs",
       [&](const Observation& observation, Estimate& out) {
         if (many(observation)) out.log_evidence += 1.0;
       }},
      {"batches differ in nfe", "nfe of a batch",
       [&](const Observation& observation, Estimate& out) { out.nfe += many(observation); }},
      {"batches differ in n_reset", "n_reset of a batch",
       [&](const Observation& observation, Estimate& out) { out.n_reset = many(observation); }},
      {"sample numbers do not follow their columns", "another order",
       [](const Observation& observation, Estimate& out) {
         for (arma::uword k = 0; k < out.h.n_cols; ++k) {
           out.h.col(k) *= 1.0 + 0.1 * static_cast<double>(observation.first_sample + k);
         }
       }},
      {"order matters", "another order",
       [](const Observation&, Estimate& out) {
         if (out.h.n_cols > 2) out.h.col(0) *= 2.0;
       }},
      {"something is remembered", "the same call",
       [&](const Observation&, Estimate& out) {
         out.h *= 1.0 + 1e-3 * static_cast<double>(++calls);
       }},
      {"memory is replaced", "not reused",
       [](const Observation&, Estimate& out) {
         arma::cx_mat other = out.h;
         out.h = std::move(other);
       }},
  };
  for (const auto& [what, words, broken] : cases) {
    EXPECT_NE(failures(broken).find(words), std::string::npos) << what;
  }
}

}  // namespace
}  // namespace chest
