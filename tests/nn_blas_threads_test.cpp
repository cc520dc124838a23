// What calls a network finds its number of BLAS threads as it was.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/estimators/nn/vae.hpp>
#include <chest/observation.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>

#include "tests/support/network.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 4, n_tx = 2, n_h = n_rx * n_tx;

class NetworkBlasThreads : public testing::Test {
 protected:
  void SetUp() override {
    get_ = reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "openblas_get_num_threads"));
    const auto set =
        reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
    if (!get_ || !set) GTEST_SKIP() << "needs OpenBLAS";
    set(3);
  }
  void expect_back(const char* after) const { EXPECT_EQ(get_(), 3) << "after " << after; }
  /// Channels whose reader asserts that it is called inside a scope of one thread.
  SampleReader channels(std::uint64_t stream) {
    SampleReader samples =
        samples_in_memory(Rng(1, {Purpose::test, stream}).cx_normal(n_h, 200), n_rx, n_tx);
    samples.read = [this, read = samples.read](arma::uword first, arma::uword count) {
      n_wrong_ += get_() != 1;
      ++n_read_;
      return read(first, count);
    };
    return samples;
  }

  int (*get_)() = nullptr;
  int n_read_ = 0, n_wrong_ = 0;
};

TEST_F(NetworkBlasThreads, ComeBackAfterEveryCall) {
  NetworkConfig config;
  config.hidden = {8, 16, 8};
  config.modulated = {0, 1, 2};
  const auto denoiser = make_network_denoiser(random_network_model(n_rx, n_tx, config));
  expect_back("make_network_denoiser");
  const arma::cx_mat z = Rng(1, {Purpose::test}).cx_normal(n_h, 3);
  denoiser->denoise(z, 0.1);
  expect_back("denoise");
  arma::cx_mat out;
  denoiser->linearise(z, 0.1)->pull_back(z, out);
  expect_back("pull_back");

  NetworkFitOptions fit;
  fit.network = config;
  fit.max_epochs = 1;
  fit_network(channels(1), channels(2), fit);
  expect_back("fit_network");

  VaeFitOptions vae;
  vae.network.latent = 2;
  vae.network.hidden = {8, 8};
  vae.max_epochs = 1;
  const VaeModel model = fit_vae(channels(1), channels(2), vae);
  expect_back("fit_vae");
  const auto estimator = make_vae(make_identity_observation(n_rx, n_tx), model);
  Observation observation;
  observation.y = z;
  observation.sigma2 = 0.1;
  estimator->estimate(observation);
  expect_back("a vae's estimate");
  EXPECT_GT(n_read_, 0);
  EXPECT_EQ(n_wrong_, 0);
}

}  // namespace
}  // namespace chest
