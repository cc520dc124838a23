#include <gtest/gtest.h>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/linear/genie.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/metrics.hpp>
#include <cstdlib>

#include "tests/support/golden.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

TEST(Genie, AgreesWithOneLargeInversePerChannel) {
  const EstimatorsGolden golden;
  const ToeplitzKroneckerCovariances known{golden.cx("/t_rx"), golden.cx("/t_tx")};
  for (const std::string& name : golden.pilot_cases) {
    const auto genie = make_genie(golden.observation(name));
    for (arma::uword i = 0; i < golden.sigma2.n_elem; ++i) {
      const std::string group = "/" + name + "/" + std::to_string(i) + "/";
      const Estimate estimate =
          genie->estimate({golden.cx(group + "y"), golden.sigma2(i), 1, 0, {}, known});
      EXPECT_LT(max_difference(estimate.h, golden.cx(group + "genie")), 1e-10) << group;
      EXPECT_LT(max_difference(estimate.mse, golden.real(group + "genie_mse")), 1e-10) << group;
    }
  }
}

// Even and odd array sides take different paths through the real eigenproblem.
TEST(Genie, EqualsLmmseWithTheSameCovarianceForAnyArraySize) {
  for (const auto& [n_rx, n_tx] : {std::pair{1, 1}, {2, 1}, {3, 2}, {8, 3}, {7, 5}}) {
    Rng rng = test_rng(5);
    arma::cx_mat t_rx(n_rx, 1, arma::fill::zeros), t_tx(n_tx, 1, arma::fill::zeros);
    for (int path = 0; path < 3; ++path) {
      const double u = 6.28 * rng.uniform(), v = 6.28 * rng.uniform();
      for (int i = 0; i < n_rx; ++i) t_rx(i, 0) += std::polar(0.3, u * i);
      for (int i = 0; i < n_tx; ++i) t_tx(i, 0) += std::polar(0.3, v * i);
    }
    t_rx(0, 0) += 0.1;
    t_tx(0, 0) += 0.1;
    const arma::cx_mat C = arma::kron(chest::toeplitz(t_tx.col(0)), chest::toeplitz(t_rx.col(0)));
    Scene scene;
    scene.A = make_kronecker_observation(rng.cx_normal(n_tx, 2), n_rx);
    scene.h = rng.cx_normal(n_rx * n_tx, 1);
    observe(scene, 0.2, rng);
    scene.observation.genie = {t_rx, t_tx};
    const Estimate genie = make_genie(scene.A)->estimate(scene.observation);
    const Estimate lmmse = make_lmmse(scene.A, C)->estimate(scene.observation);
    EXPECT_LT(max_difference(genie.h, lmmse.h), 1e-12) << n_rx << "x" << n_tx;
    EXPECT_NEAR(genie.mse(0), lmmse.mse(0), 1e-12);
  }
}

TEST(Genie, RefusesMissingOrMisshapenCovariancesAndDenseObservations) {
  const Scene scene = correlated_scene({});
  const auto genie = make_genie(scene.A);
  try {
    genie->estimate(scene.observation);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("come without the covariances"), std::string::npos);
  }
  Observation short_of_one = scene.observation;
  short_of_one.genie = {arma::cx_mat(4, 7, arma::fill::ones), arma::cx_mat(3, 7, arma::fill::ones)};
  EXPECT_THROW(genie->estimate(short_of_one), Error);
  EXPECT_THROW(make_genie(make_dense_observation(arma::cx_mat(4, 4, arma::fill::eye))), Error);
}

// Planes [n, 2, rows, columns] of the reference as columns vec(H).
arma::cx_mat read_planes(const ArchiveReader& archive, const std::string& name) {
  const StoredDataset stored = archive.info(name);
  const std::vector<float> values = archive.read_all<float>(name);
  const arma::uword n = stored.dims[0], rows = stored.dims[2],
                    columns = stored.dims.size() > 3 ? stored.dims[3] : 1;
  arma::cx_mat out(rows * columns, n);
  for (arma::uword k = 0; k < n; ++k) {
    for (arma::uword i = 0; i < rows; ++i) {
      for (arma::uword j = 0; j < columns; ++j) {
        const arma::uword at = (k * 2 * rows + i) * columns + j;
        out(i + rows * j, k) = {values[at], values[at + rows * columns]};
      }
    }
  }
  return out;
}

TEST(Genie, ReproducesTheReferenceLmmse) {
  const char* folder = std::getenv("CHEST_REFERENCE_DIR");
  if (!folder) GTEST_SKIP() << "CHEST_REFERENCE_DIR is not set: no reference data";
  const ArchiveReader archive(std::string(folder) + "/golden/golden_io.h5");
  const auto side = [&](const char* name, arma::uword n) {
    const std::vector<double> t = archive.read_all<double>(name);  // [16, 2, n]
    arma::cx_mat out(n, 16);
    for (arma::uword k = 0; k < 16; ++k) {
      for (arma::uword i = 0; i < n; ++i) out(i, k) = {t[2 * n * k + i], t[2 * n * k + n + i]};
    }
    return out;
  };
  const auto genie = make_genie(make_identity_observation(64, 16));
  for (const int snr_db : {-10, 0, 10, 20}) {
    const std::string group = "/snr_" + std::to_string(snr_db) + "dB/";
    const Observation observation{read_planes(archive, group + "y"),
                                  from_db(-snr_db),
                                  1,
                                  0,
                                  {},
                                  {side("/scm/t_bs", 64), side("/scm/t_ms", 16)}};
    // The reference is stored in single precision.
    EXPECT_LT(max_difference(genie->estimate(observation).h,
                             read_planes(archive, group + "est_genie_lmmse")),
              5e-5)
        << snr_db << " dB";
  }
}

}  // namespace
}  // namespace chest
