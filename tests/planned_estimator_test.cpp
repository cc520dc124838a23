#include <gtest/gtest.h>

#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/inference/engine_denoiser.hpp>
#include <chest/estimators/inference/planned_estimator.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/estimators/linear/snr_unknown.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/sparse/omp.hpp>
#include <chest/observation.hpp>
#include <chest/random.hpp>

#include "tests/support/network.hpp"
#include "tests/support/structured_mixture.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 4, n_tx = 3;

arma::cx_mat identity() { return arma::cx_mat(n_tx, n_tx, arma::fill::eye); }
arma::cx_mat few_pilots() { return Rng(5, {Purpose::test}).cx_normal(n_tx, 2); }
/// Orthogonal, of energy 2.
arma::cx_mat orthogonal() {
  arma::cx_mat Q, R;
  arma::qr(Q, R, Rng(6, {Purpose::test}).cx_normal(n_tx, n_tx));
  return std::sqrt(2.0) * Q;
}
std::shared_ptr<const ObservationOperator> through(const arma::cx_mat& P) {
  return make_kronecker_observation(P, n_rx);
}

/// The estimates of both for some y, and their predicted errors.
void expect_equal(const PlannedEstimator& planned, const Estimator& expected, double sigma2,
                  bool told = true) {
  const arma::uword n_obs = planned.n_rx() * planned.n_pilots(), n = 5;
  Observation observation;
  observation.y = Rng(7, {Purpose::test}).cx_normal(n_obs, n);
  observation.sigma2 = sigma2;
  const Estimate reference = expected.estimate(observation);
  const auto work = planned.make_work();
  for (arma::uword k = 0; k < n; ++k) {
    std::vector<std::complex<float>> y(n_obs), h(n_rx * n_tx);
    for (arma::uword i = 0; i < n_obs; ++i) y[i] = std::complex<float>(observation.y(i, k));
    const auto found = planned.estimate(y.data(), told ? sigma2 : NAN, *work, h.data());
    double most = 0.0;
    for (arma::uword i = 0; i < h.size(); ++i) {
      most = std::max(most, std::abs(std::complex<double>(h[i]) - reference.h(i, k)));
    }
    EXPECT_LT(most, 2e-5) << planned.name() << " at " << sigma2;
    if (reference.mse.is_empty()) {
      EXPECT_TRUE(std::isnan(found.mse)) << planned.name();
    } else {
      EXPECT_NEAR(found.mse / reference.mse(k), 1.0, 1e-4) << planned.name() << " at " << sigma2;
    }
    if (!told) {
      EXPECT_NEAR(found.sigma2 / reference.sigma2(k), 1.0, 1e-3) << planned.name();
    }
  }
}

TEST(PlannedEstimator, IsLeastSquares) {
  for (const arma::cx_mat& P : {identity(), orthogonal(), few_pilots()}) {
    expect_equal(*make_planned_ls(P, n_rx), *make_ls(through(P)), 0.3);
  }
}

TEST(PlannedEstimator, IsLmmseAndTheMixtureForAnyPilots) {
  for (const MixtureCovariance kind : mixture_covariances()) {
    const GaussianMixture prior = far_apart(kind);
    for (const arma::cx_mat& P : {identity(), orthogonal(), few_pilots()}) {
      for (const double sigma2 : {0.01, 1.0}) {
        const auto planned = make_planned_mixture(P, n_rx, prior);
        EXPECT_TRUE(planned->allocates_nothing());
        expect_equal(*planned, *make_gmm(through(P), prior), sigma2);
      }
    }
    const arma::cx_mat C = prior.covariance(0);
    const GaussianMixture one{arma::vec{1.0}, arma::cx_mat(n_rx * n_tx, 1, arma::fill::zeros), {C}};
    expect_equal(*make_planned_mixture(few_pilots(), n_rx, one),
                 *make_lmmse(through(few_pilots()), C), 0.1);
  }
}

TEST(PlannedEstimator, KnowsTheMeansOfAMixture) {
  GaussianMixture prior = far_apart(MixtureCovariance::full);
  prior.means = Rng(9, {Purpose::test}).cx_normal(n_rx * n_tx, 3);
  for (const arma::cx_mat& P : {identity(), few_pilots()}) {
    expect_equal(*make_planned_mixture(P, n_rx, prior), *make_gmm(through(P), prior), 0.2);
  }
}

TEST(PlannedEstimator, IsDmse) {
  NetworkModel model = random_network_model(n_rx, n_tx);
  const auto dmse_of = [&](const arma::cx_mat& P) {
    DmseOptions options;
    options.calibration = model.calibration;
    return make_dmse(through(P), make_engine_denoiser(model), options);
  };
  for (const char* calibrated : {"no", "yes", "with averages"}) {
    if (calibrated != std::string("no")) {
      model.calibration = {arma::vec{-10.0, 10.0}, arma::uvec{3, 1}, arma::vec{0.9, 0.1},
                           arma::vec{0.7, 1.3}};
    }
    if (calibrated == std::string("with averages")) model.calibration.n_spins = {2, 3};
    for (const arma::cx_mat& P : {identity(), orthogonal()}) {
      for (const double sigma2 : {1e-5, 0.1, 1.0, 20.0}) {
        expect_equal(*make_planned_dmse(P, n_rx, model), *dmse_of(P), sigma2);
      }
    }
  }
  EXPECT_THROW(make_planned_dmse(few_pilots(), n_rx, model), Error);
}

TEST(PlannedEstimator, FindsTheNoiseAsTheEstimatorsDo) {
  const GaussianMixture prior = far_apart(MixtureCovariance::dft);
  for (const arma::cx_mat& P : {identity(), orthogonal()}) {
    const auto blind = make_noise_blind(through(P), make_gmm(through(P), prior));
    expect_equal(*make_planned_mixture(P, n_rx, prior), *blind, 0.3, /*told=*/false);
  }
  EXPECT_FALSE(make_planned_ls(identity(), n_rx)->finds_noise());
}

TEST(PlannedEstimator, TakesAnyEstimator) {
  const auto P = few_pilots();
  const std::shared_ptr<const Estimator> omp = make_omp(through(P), n_rx, n_tx);
  const auto planned = make_planned(omp, n_rx);
  EXPECT_FALSE(planned->allocates_nothing());
  expect_equal(*planned, *omp, 0.3);
}

TEST(PlannedEstimator, RefusesWhatDoesNotFit) {
  const GaussianMixture prior = far_apart(MixtureCovariance::dft);
  EXPECT_THROW(make_planned_ls(arma::cx_mat(), n_rx), Error);
  EXPECT_THROW(make_planned_ls(arma::cx_mat(n_tx, 2, arma::fill::zeros), n_rx), Error);
  EXPECT_THROW(make_planned_mixture(identity(), n_rx + 1, prior), Error);
  EXPECT_THROW(make_planned_dmse(identity(), n_rx + 1, random_network_model(n_rx, n_tx)), Error);
}

}  // namespace
}  // namespace chest
