#include <gtest/gtest.h>

#include <chest/error.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/parallel.hpp>
#include <filesystem>

#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/structured_covariance.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

constexpr CovarianceKind structures[] = {CovarianceKind::kronecker, CovarianceKind::toeplitz,
                                         CovarianceKind::dft};

/// Observations of channels [n_rx, n_tx] of every sort.
std::vector<std::shared_ptr<const ObservationOperator>> observations(arma::uword n_rx,
                                                                     arma::uword n_tx, Rng& rng) {
  const arma::uword n_h = n_rx * n_tx;
  std::vector<std::shared_ptr<const ObservationOperator>> out;
  out.push_back(make_identity_observation(n_rx, n_tx));
  out.push_back(make_kronecker_observation(dft_pilots(n_tx, n_tx + 2), n_rx));
  out.push_back(make_kronecker_observation(rng.cx_normal(n_tx, n_tx / 2), n_rx));
  out.push_back(make_kronecker_observation(rng.cx_normal(n_tx, n_tx + 1), n_rx));
  out.push_back(make_dense_observation(rng.cx_normal(n_h / 2, n_h)));
  out.push_back(make_mask_observation(arma::regspace<arma::uvec>(0, 3, n_h - 1), n_h));
  return out;
}

TEST(StructuredLmmse, EqualsTheDenseOneForAnyPilots) {
  const arma::uword n_rx = 6, n_tx = 4;
  Rng rng = test_rng(1);
  for (const CovarianceKind kind : structures) {
    const ChannelCovariance C = structured_covariance(kind, n_rx, n_tx, rng);
    for (const auto& A : observations(n_rx, n_tx, rng)) {
      LmmseOptions iterative;
      iterative.iterative = true;
      const auto dense = make_lmmse(A, C.dense());
      const auto own = make_lmmse(A, C), steps = make_lmmse(A, C, iterative);
      for (const double sigma2 : {1e-3, 0.1, 10.0}) {
        const Observation observation{rng.cx_normal(A->n_obs(), 5), sigma2};
        const Estimate expected = dense->estimate(observation);
        const Estimate found = own->estimate(observation), by_steps = steps->estimate(observation);
        const std::string where =
            std::string(to_string(kind)) + ", " + A->name() + ", " + std::to_string(sigma2);
        // Condition numbers up to 1e5: rounding.
        EXPECT_LT(max_difference(found.h, expected.h), 1e-9) << where;
        EXPECT_LT(max_difference(found.mse, expected.mse), 1e-9) << where;
        EXPECT_LT(max_difference(by_steps.h, expected.h), 1e-8) << where;
        // A standard error of 1 %, or that of 64 vectors for an error in few dimensions of 24.
        EXPECT_NEAR(by_steps.mse(0) / expected.mse(0), 1.0, 0.15) << where;
      }
    }
  }
}

TEST(StructuredLmmse, GradientsServeAnyCovariance) {
  Rng rng = test_rng(2);
  const std::shared_ptr<const ObservationOperator> A = make_dense_observation(rng.cx_normal(7, 12));
  const arma::cx_mat C = random_covariance(12, rng);
  LmmseOptions options;
  options.iterative = true;
  options.diagonal_loading = 0.1;
  const Observation observation{rng.cx_normal(7, 4), 0.05};
  LmmseOptions direct = options;
  direct.iterative = false;
  EXPECT_LT(max_difference(make_lmmse(A, C, options)->estimate(observation).h,
                           make_lmmse(A, C, direct)->estimate(observation).h),
            1e-8);
}

TEST(StructuredLmmse, AToleranceSaysHowFarTheGradientsGo) {
  Rng rng = test_rng(3);
  const ChannelCovariance C = structured_covariance(CovarianceKind::toeplitz, 12, 4, rng);
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(12, 4);
  const Observation observation{rng.cx_normal(48, 3), 0.01};
  const arma::cx_mat expected = make_lmmse(A, C.dense())->estimate(observation).h;
  LmmseOptions options;
  options.iterative = true;
  double before = 1.0;
  for (const double tolerance : {1e-2, 1e-5, 1e-8}) {
    options.tolerance = tolerance;
    const arma::cx_mat h = make_lmmse(A, C, options)->estimate(observation).h;
    // With A = I the estimate's error is below the residual.
    const double error = arma::norm(arma::cx_mat(h - expected), "fro");
    EXPECT_LT(error, tolerance * arma::norm(observation.y, "fro"));
    EXPECT_LT(error, before);
    before = error;
  }
}

TEST(StructuredLmmse, ProbesPredictTheErrorToAFewPartsInAHundred) {
  Rng rng = test_rng(4);
  const arma::uword n_rx = 16, n_tx = 8;
  const ChannelCovariance C = structured_covariance(CovarianceKind::toeplitz, n_rx, n_tx, rng);
  LmmseOptions options;
  options.iterative = true;
  for (const arma::uword n_pilots : {8u, 4u}) {
    const std::shared_ptr<const ObservationOperator> A =
        n_pilots == 8
            ? std::shared_ptr<const ObservationOperator>(make_identity_observation(n_rx, n_tx))
            : make_kronecker_observation(rng.cx_normal(n_tx, n_pilots), n_rx);
    for (const double sigma2 : {0.01, 0.3}) {
      const Observation observation{rng.cx_normal(A->n_obs(), 1), sigma2};
      const double expected = make_lmmse(A, C.dense())->estimate(observation).mse(0);
      EXPECT_NEAR(make_lmmse(A, C, options)->estimate(observation).mse(0) / expected, 1.0, 0.03)
          << n_pilots << " " << sigma2;
    }
  }
}

TEST(StructuredLmmse, ColumnsAndThreadsDoNotMatter) {
  Rng rng = test_rng(5);
  for (const CovarianceKind kind : structures) {
    const ChannelCovariance C = structured_covariance(kind, 8, 4, rng);
    LmmseOptions options;
    options.iterative = kind == CovarianceKind::toeplitz;
    const std::shared_ptr<const ObservationOperator> A =
        make_kronecker_observation(rng.cx_normal(4, 3), 8);
    const auto lmmse = make_lmmse(A, C, options);
    const arma::cx_mat y = rng.cx_normal(24, 16);
    const Estimate whole = lmmse->estimate({y, 0.1});
    std::vector<int> wrong(16, 0);
    parallel_for(wrong.size(), 4, [&](std::size_t k) {
      const Estimate one = lmmse->estimate({y.col(k), 0.1});
      wrong[k] =
          max_difference(one.h, arma::cx_mat(whole.h.col(k))) != 0.0 || one.mse(0) != whole.mse(k);
    });
    EXPECT_EQ(std::count(wrong.begin(), wrong.end(), 1), 0) << to_string(kind);
  }
}

TEST(StructuredLmmse, IsTheMixtureOfOneComponentOfItsStructure) {
  Rng rng = test_rng(6);
  for (const CovarianceKind kind : structures) {
    const ChannelCovariance C = structured_covariance(kind, 6, 4, rng);
    const std::shared_ptr<const ObservationOperator> A =
        make_kronecker_observation(rng.cx_normal(4, 2), 6);
    const Observation observation{rng.cx_normal(12, 4), 0.1};
    EXPECT_LT(max_difference(make_lmmse(A, C)->estimate(observation).h,
                             make_gmm(A, gaussian_prior(C))->estimate(observation).h),
              1e-9)
        << to_string(kind);
  }
}

TEST(StructuredLmmse, RefusesWhatDoesNotFitAndSaysWhy) {
  Rng rng = test_rng(7);
  const ChannelCovariance C = structured_covariance(CovarianceKind::dft, 6, 4, rng);
  // As many entries, other antennas.
  EXPECT_THROW(make_lmmse(make_identity_observation(8, 3), C), Error);
  EXPECT_THROW(make_lmmse(nullptr, C), Error);
  LmmseOptions options;
  options.tolerance = 0.0;
  EXPECT_THROW(make_lmmse(make_identity_observation(6, 4), C, options), Error);
  // Lags that are no covariance: an eigenvalue near -1.
  arma::cx_mat lags(11, 7, arma::fill::zeros);
  lags(5, 3) = 1.0;
  lags(6, 3) = lags(4, 3) = 1.0;
  options = {};
  for (const bool iterative : {false, true}) {
    options.iterative = iterative;
    try {
      make_lmmse(make_identity_observation(6, 4), ChannelCovariance::toeplitz(lags), options)
          ->estimate({rng.cx_normal(24, 2), 0.1});
      ADD_FAILURE() << iterative;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::numeric);
      EXPECT_NE(std::string(error.what()).find("not positive definite at sigma2 = 0.1"),
                std::string::npos)
          << error.what();
    }
  }
}

TEST(StructuredLmmseModel, IsSmallAndReadAsItWasWritten) {
  Rng rng = test_rng(8);
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "lmmse.h5";
  const arma::uword n_rx = 32, n_tx = 16;
  const SampleReader samples = samples_in_memory(rng.cx_normal(n_rx * n_tx, 100), n_rx, n_tx);
  for (const CovarianceKind kind : structures) {
    LmmseModel model = fit_lmmse(samples, kind);
    EXPECT_EQ(model.C.kind(), kind);
    save(file, model);
    const LmmseModel read = load_lmmse_model(file);
    EXPECT_EQ(read.kind, kind);
    EXPECT_EQ(read.shrinkage, model.shrinkage);
    EXPECT_EQ(max_difference(read.C.dense(), model.C.dense()), 0.0);
    // The matrix has 4 MB.
    EXPECT_LT(std::filesystem::file_size(file), 100'000u) << to_string(kind);
    EXPECT_EQ(ArchiveReader(file).integer_attribute("/", "format_version").value(), 2);
    EXPECT_THROW(fit_lmmse(samples, kind, Shrinkage::ledoit_wolf), Error);
  }
}

TEST(StructuredLmmseModel, OfABlockToeplitzMatrixInFullIsReadAsBefore) {
  Rng rng = test_rng(9);
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "old.h5";
  const ChannelCovariance C = structured_covariance(CovarianceKind::toeplitz, 6, 4, rng);
  LmmseModel model;
  model.n_rx = 6;
  model.n_tx = 4;
  model.kind = CovarianceKind::toeplitz;
  model.C = C.dense();
  save(file, model);
  EXPECT_EQ(ArchiveReader(file).integer_attribute("/", "format_version").value(), 1);
  const LmmseModel read = load_lmmse_model(file);
  EXPECT_EQ(read.kind, CovarianceKind::toeplitz);
  EXPECT_EQ(read.C.kind(), CovarianceKind::full);
  const std::shared_ptr<const ObservationOperator> A =
      make_kronecker_observation(rng.cx_normal(4, 2), 6);
  const Observation observation{rng.cx_normal(12, 3), 0.1};
  EXPECT_EQ(max_difference(make_lmmse(A, read.C)->estimate(observation).h,
                           make_lmmse(A, C.dense())->estimate(observation).h),
            0.0);
  // A file whose structure is for other antennas.
  model.C = ChannelCovariance::dft(arma::mat(4, 6, arma::fill::ones));
  model.kind = CovarianceKind::dft;
  save(file, model);
  EXPECT_THROW(load_lmmse_model(file), Error);
}

}  // namespace
}  // namespace chest
