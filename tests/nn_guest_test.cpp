// What a program that uses LibTorch beside chest has set for itself stays as it is.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include <chest/error.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/estimators/nn/vae.hpp>
#include <chest/parallel.hpp>

#include "estimators/nn/device.hpp"
#include "tests/support/network.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

constexpr int n_host_threads = 3;

/// Numbers of threads and TensorFloat-32 as a host sets them, and afterwards as they were.
class HostSettings {
 public:
  HostSettings() : n_threads_(at::get_num_threads()), tf32_(at::globalContext().allowTF32CuDNN()) {
    at::set_num_threads(n_host_threads);
    at::globalContext().setAllowTF32CuDNN(true);
  }
  ~HostSettings() {
    at::set_num_threads(n_threads_);
    at::globalContext().setAllowTF32CuDNN(tf32_);
  }

 private:
  int n_threads_;
  bool tf32_;
};

int n_threads_of_a_new_thread() {
  int n = 0;
  std::thread([&] { n = at::get_num_threads(); }).join();
  return n;
}

void expect_untouched(const char* after, const std::function<void()>& call) {
  SCOPED_TRACE(after);
  call();
  EXPECT_EQ(at::get_num_threads(), n_host_threads);
  EXPECT_EQ(n_threads_of_a_new_thread(), n_host_threads);
  EXPECT_TRUE(at::globalContext().allowTF32CuDNN());
}

void expect_untouched_by_networks(const std::string& device) {
  SCOPED_TRACE(device);
  constexpr arma::uword n_rx = 4, n_tx = 3, n_h = 12;
  Rng rng = test_rng(1);
  const arma::cx_mat z = rng.cx_normal(n_h, 5);
  const SampleReader samples = samples_in_memory(rng.cx_normal(n_h, 40), n_rx, n_tx);
  std::unique_ptr<Denoiser> denoiser;
  expect_untouched("make_network_denoiser", [&] {
    denoiser = make_network_denoiser(random_network_model(n_rx, n_tx), {.device = device});
  });
  expect_untouched("denoise", [&] { denoiser->denoise(z, 0.5); });
  expect_untouched("run", [&] {
    arma::cx_mat steps = z;
    denoiser->run({{0.5, 0.2}, {0.1, 0.0}}, steps);
  });
  std::unique_ptr<DenoiserLinearization> linearization;
  expect_untouched("linearise", [&] { linearization = denoiser->linearise(z, 0.5); });
  expect_untouched("pull_back", [&] {
    arma::cx_mat out;
    linearization->pull_back(z, out);
  });
  expect_untouched("a refused call",
                   [&] { EXPECT_THROW(denoiser->denoise(z.head_rows(n_h - 1), 0.5), Error); });
  // Threads of the host, known to LibTorch.
  parallel_for(6, 3, [&](std::size_t) {
    EXPECT_EQ(at::get_num_threads(), n_host_threads);
    denoiser->denoise(z, 0.5);
    EXPECT_EQ(at::get_num_threads(), n_host_threads);
  });
  NetworkFitOptions fit;
  fit.max_epochs = 2;
  fit.n_threads = 2;
  fit.device = device;
  int n_reports = 0;
  RunControl control;
  control.on_progress = [&](const Progress&) {
    ++n_reports;
    EXPECT_EQ(at::get_num_threads(), 1);
  };
  expect_untouched("fit_network", [&] { fit_network(samples, samples, fit, control); });
  EXPECT_GT(n_reports, 0);
  fit.learning_rate = 1e30;
  expect_untouched("a fit that fails",
                   [&] { EXPECT_THROW(fit_network(samples, samples, fit), Error); });
}

TEST(TorchGuest, LeavesTheHostsThreadsAndPrecision) {
  const HostSettings host;
  expect_untouched_by_networks("cpu");
  if (at::hasCUDA()) expect_untouched_by_networks("cuda");
}

TEST(TorchGuest, LeavesTheHostsThreadsAfterAVae) {
  const HostSettings host;
  constexpr arma::uword n_rx = 4, n_tx = 3, n_h = 12;
  Rng rng = test_rng(2);
  const SampleReader samples = samples_in_memory(rng.cx_normal(n_h, 40), n_rx, n_tx);
  VaeFitOptions options;
  options.network.latent = 2;
  options.network.hidden = {3, 4};
  options.max_epochs = 1;
  options.n_threads = 2;
  VaeModel model;
  expect_untouched("fit_vae", [&] { model = fit_vae(samples, samples, options); });
  std::unique_ptr<Estimator> estimator;
  expect_untouched("make_vae",
                   [&] { estimator = make_vae(make_identity_observation(n_rx, n_tx), model); });
  Observation observation;
  observation.y = rng.cx_normal(n_h, 5);
  observation.sigma2 = 0.5;
  expect_untouched("estimate", [&] { estimator->estimate(observation); });
}

TEST(TorchGuest, RunsOneThreadWhileAScopeLives) {
  const HostSettings host;
  {
    const nn::OneTorchThread outer;
    EXPECT_EQ(at::get_num_threads(), 1);
    EXPECT_EQ(n_threads_of_a_new_thread(), n_host_threads);
    { const nn::OneTorchThread inner; }
    EXPECT_EQ(at::get_num_threads(), 1);
  }
  EXPECT_EQ(at::get_num_threads(), n_host_threads);
}

TEST(TorchGuest, PutsTensorFloat32BackWithTheLastScope) {
  const HostSettings host;
  const auto allowed = [] { return at::globalContext().allowTF32CuDNN(); };
  const at::Device gpu(at::kCUDA, 0);
  std::optional<nn::FullFloat32> first, second;
  first.emplace(gpu);
  EXPECT_FALSE(allowed());
  std::thread([&] { second.emplace(gpu); }).join();
  first.reset();
  EXPECT_FALSE(allowed());
  second.reset();
  EXPECT_TRUE(allowed());
  at::globalContext().setAllowTF32CuDNN(false);
  first.emplace(gpu);
  first.reset();
  EXPECT_FALSE(allowed());
  at::globalContext().setAllowTF32CuDNN(true);
  const nn::FullFloat32 none(at::kCPU);
  EXPECT_TRUE(allowed());
}

}  // namespace
}  // namespace chest
