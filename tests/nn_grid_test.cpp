// Networks for planes of grids: fits over bandwidths and pilot distances, and denoisers of any width.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <complex>

#include <chest/covariance.hpp>
#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

#include "estimators/nn/tensor_bridge.hpp"
#include "estimators/nn/training.hpp"
#include "tests/support/refusal.hpp"

namespace chest {
namespace {

/// Two paths, the first at a short delay: planes over all subcarriers.
SampleReader planes(arma::uword n, std::uint64_t stream) {
  constexpr arma::uword n_rx = 4, n_f = 64;
  Rng rng(7, {Purpose::test, stream});
  arma::cx_mat h(n_rx * n_f, n);
  for (arma::uword k = 0; k < n; ++k) {
    const double delays[] = {0.01 * rng.uniform(), 0.02 + 0.01 * rng.uniform()};
    const arma::cx_mat gains = rng.cx_normal(n_rx, 2) * std::sqrt(0.5);
    for (arma::uword f = 0; f < n_f; ++f) {
      for (arma::uword r = 0; r < n_rx; ++r) {
        h(f * n_rx + r, k) = gains(r, 0) * std::polar(1.0, -2.0 * M_PI * delays[0] * double(f)) +
                             gains(r, 1) * std::polar(1.0, -2.0 * M_PI * delays[1] * double(f));
      }
    }
  }
  return samples_in_memory(std::move(h), n_rx, n_f);
}

NetworkFitOptions band_fit() {
  NetworkFitOptions options;
  options.network.hidden = {12, 12};
  options.network.modulated = {0, 1};
  options.network.embedding = 8;
  options.network.circle = 2;
  options.cuts.steps = {2, 4};
  options.cuts.fewest_subcarriers = 16;
  options.max_epochs = 2;
  return options;
}

TEST(GridNetworks, FitTheSameForAnyNumberOfThreadsAndServeAnyWidth) {
  NetworkFitOptions options = band_fit();
  NetworkModel model = fit_network(planes(600, 1), planes(100, 2), options);
  options.n_threads = 2;
  const NetworkModel again = fit_network(planes(600, 1), planes(100, 2), options);
  ASSERT_EQ(model.weights.size(), again.weights.size());
  for (std::size_t i = 0; i < model.weights.size(); ++i) {
    EXPECT_EQ(model.weights[i].values, again.weights[i].values) << model.weights[i].name;
  }
  // Half the noise's power at least is gone, at either distance and at widths never fitted.
  const SampleReader test = planes(200, 3);
  const arma::cx_mat all = test.read(0, 200);
  for (const arma::uword step : {2, 4}) {
    for (const arma::uword n_columns : {16, 11}) {
      arma::cx_mat h(4 * n_columns, 200);
      for (arma::uword c = 0; c < n_columns; ++c) {
        h.rows(4 * c, 4 * c + 3) = all.rows(4 * c * step, 4 * c * step + 3);
      }
      NetworkRunOptions run;
      run.n_columns = n_columns;
      run.step = double(step);
      const auto denoiser = make_network_denoiser(model, run);
      Rng rng(7, {Purpose::noise, 4});
      const arma::cx_mat z = h + rng.cx_normal(h.n_rows, h.n_cols);
      const double nmse =
          arma::accu(squared_errors(denoiser->denoise(z, 1.0), h)) / arma::accu(squared_norms(h));
      EXPECT_LT(nmse, 0.5) << step << " " << n_columns;
    }
  }
}

TEST(GridNetworks, APositionIsTheSameDelayAtAllDistances) {
  // The same delays and bandwidth at two distances: what the network is told of their position agrees.
  const NetworkModel model = fit_network(planes(40, 1), planes(10, 2), band_fit());
  const arma::cx_mat all = planes(1, 5).read(0, 1);
  const auto first_bin = [&](arma::uword step) {
    const arma::uword n_columns = 64 / step;
    arma::cx_mat z(4 * n_columns, 1, arma::fill::zeros);
    NetworkRunOptions run;
    run.n_columns = n_columns;
    run.step = double(step);
    const auto denoiser = make_network_denoiser(model, run);
    const arma::cx_mat D = denoiser->denoise(z, 1.0);
    const at::Tensor bins = nn::to_angular(nn::planes_from_columns(D, 4, n_columns, at::kCPU));
    // Far from the ends of the shorter circle the surroundings are the same.
    return bins.narrow(3, 3, 2).clone();
  };
  EXPECT_LT((first_bin(2) - first_bin(4)).abs().max().item<double>(), 1e-5);
}

TEST(GridNetworks, MatricesKeepTheirFits) {
  NetworkFitOptions options = band_fit();
  options.augmentation = Augmentation::mirror;
  EXPECT_TRUE(refused([&] { fit_network(planes(20, 1), planes(10, 2), options); },
                      "augmentation is mirror"));
  options = band_fit();
  options.cuts.steps = {0};
  EXPECT_TRUE(refused([&] { fit_network(planes(20, 1), planes(10, 2), options); }, "subcarrier"));
}

}  // namespace
}  // namespace chest
