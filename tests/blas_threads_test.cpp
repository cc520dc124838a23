// What calls chest finds its number of BLAS threads as it was.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <chest/estimators/mixture/gmm.hpp>
#include <chest/sim/link.hpp>

#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

int n_blas_threads() {
  static const auto get =
      reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "openblas_get_num_threads"));
  return get ? get() : 0;
}

class BlasThreads : public testing::Test {
 protected:
  void SetUp() override {
    const auto set =
        reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
    if (!set) GTEST_SKIP() << "needs OpenBLAS";
    set(3);
  }
  void TearDown() override { EXPECT_TRUE(n_blas_threads() == 3 || IsSkipped()); }

  /// LS that asserts that it runs with one thread.
  static std::shared_ptr<const Estimator> watching(
      const std::string& name, const std::shared_ptr<const ObservationOperator>& A) {
    return std::make_shared<AlteredLs>(name, A,
                                       [](arma::cx_mat&) { EXPECT_EQ(n_blas_threads(), 1); });
  }
};

TEST_F(BlasThreads, OfASweep) {
  SweepOptions options;
  options.pilots = {parse_pilots("dft:2")};
  options.snr_db = {0.0, 10.0};
  options.estimators = {"ls"};
  options.n_threads = 4;
  run_sweep(rayleigh_samples(4, 2, 300), {}, &watching, options);
  EXPECT_EQ(n_blas_threads(), 3);
  // Also after a failure.
  options.estimators = {"broken"};
  EXPECT_THROW(run_sweep(rayleigh_samples(4, 2, 300), {}, &test_estimators, options), Error);
}

TEST_F(BlasThreads, OfALinkRun) {
  LinkOptions options;
  options.run.snr_db = {0.0};
  options.run.estimators = {"ls"};
  run_link(rayleigh_samples(4, 2, 100), {}, &watching, options);
}

TEST_F(BlasThreads, OfAFit) {
  GmmFitOptions options;
  options.n_components = 2;
  options.max_iterations = 3;
  SampleReader samples = rayleigh_samples(4, 2, 200);
  int during = 0;
  samples.read = [&during, read = samples.read](arma::uword first, arma::uword count) {
    during = n_blas_threads();
    return read(first, count);
  };
  const GmmModel model = fit_gmm(samples, options);
  EXPECT_EQ(during, 1);
  EXPECT_EQ(n_blas_threads(), 3);
  during = 0;
  mean_log_likelihood(model.prior, samples, 2);
  EXPECT_EQ(during, 1);
}

}  // namespace
}  // namespace chest::sim
