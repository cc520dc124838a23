#include <gtest/gtest.h>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/estimators/sparse/omp.hpp>
#include <chest/metrics.hpp>

#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

OmpOptions with(arma::uword oversampling, arma::uword sparsity) {
  OmpOptions options;
  options.oversampling = oversampling;
  options.sparsity = sparsity;
  return options;
}

/// The definition, with D formed and one least-squares fit per atom taken.
arma::cx_vec naive_omp(const ObservationOperator& A, arma::uword n_rx, arma::uword n_tx,
                       const arma::cx_vec& y, double sigma2, const OmpOptions& options) {
  const arma::cx_mat D = arma::kron(steering_vectors(n_tx, options.oversampling),
                                    steering_vectors(n_rx, options.oversampling));
  const arma::cx_mat AD = A.apply(D);
  std::vector<arma::uword> taken;
  arma::cx_vec r = y, fit(y.n_elem, arma::fill::zeros);
  const arma::uword most = options.sparsity ? options.sparsity : A.n_obs();
  while (taken.size() < most) {
    arma::uword best = 0;
    double best_power = -1.0;
    for (arma::uword m = 0; m < D.n_cols; ++m) {
      const double power = std::norm(arma::cdot(AD.col(m), r)) / std::pow(arma::norm(AD.col(m)), 2);
      if (power > best_power) {
        best_power = power;
        best = m;
      }
    }
    const double noise_atoms = options.false_discovery * static_cast<double>(taken.size() + 1);
    const double threshold = std::log(static_cast<double>(D.n_cols) / noise_atoms);
    if (!options.sparsity && best_power <= threshold * sigma2) break;
    taken.push_back(best);
    const arma::cx_mat Phi = AD.cols(arma::uvec(taken));
    const arma::cx_vec next = y - Phi * (arma::pinv(Phi) * y);
    const arma::cx_vec explained = r - next;
    const double power = std::pow(arma::norm(explained), 2);
    fit += std::max(0.0, 1.0 - sigma2 / power) * explained;
    r = next;
  }
  if (taken.empty()) return arma::cx_vec(D.n_rows, arma::fill::zeros);
  return D.cols(arma::uvec(taken)) * (arma::pinv(AD.cols(arma::uvec(taken))) * fit);
}

/// Scenes of the same channels seen through pilots, few and many, and through a dense A.
std::vector<Scene> scenes(double sigma2) {
  std::vector<Scene> out;
  for (const arma::uword n_pilots : {0, 2, 4}) {
    out.push_back(correlated_scene({.n_rx = 5, .n_tx = 3, .n_pilots = n_pilots, .sigma2 = sigma2}));
  }
  Rng rng = test_rng(9);
  Scene dense = out.front();
  dense.A = make_dense_observation(rng.cx_normal(9, 15));
  observe(dense, sigma2, rng);
  out.push_back(dense);
  return out;
}

TEST(Omp, EqualsTheDefinitionWithALeastSquaresFitPerAtom) {
  for (const double sigma2 : {0.5, 0.05, 0.001}) {
    for (const Scene& scene : scenes(sigma2)) {
      OmpOptions likely;
      likely.false_discovery = 0.5;
      for (const OmpOptions& options : {OmpOptions(), likely, with(2, 0), with(1, 4), with(3, 2)}) {
        const Estimate estimate = make_omp(scene.A, 5, 3, options)->estimate(scene.observation);
        for (arma::uword k = 0; k < estimate.h.n_cols; ++k) {
          const arma::cx_vec expected =
              naive_omp(*scene.A, 5, 3, scene.observation.y.col(k), sigma2, options);
          // Neighbouring atoms make fits of condition numbers up to 1e4.
          EXPECT_LT(max_difference(estimate.h.col(k), expected), 1e-9)
              << scene.A->name() << " oversampling " << options.oversampling << " sparsity "
              << options.sparsity << " sigma2 " << sigma2;
        }
      }
    }
  }
}

TEST(Omp, RecoversPathsOnItsGridFromFewPilots) {
  // Four paths apart from each other; 6 pilots for 8 transmit antennas.
  constexpr arma::uword n_rx = 16, n_tx = 8, oversampling = 2;
  const arma::cx_mat G_rx = steering_vectors(n_rx, oversampling);
  const arma::cx_mat G_tx = steering_vectors(n_tx, oversampling);
  arma::cx_mat X(G_rx.n_cols, G_tx.n_cols, arma::fill::zeros);
  X(3, 2) = {2.0, 1.0};
  X(12, 9) = {-1.0, 3.0};
  X(20, 14) = {0.0, -1.5};
  X(28, 6) = {1.0, 0.5};
  const arma::cx_vec h = arma::vectorise(G_rx * X * G_tx.st());
  Rng rng = test_rng(3);
  for (const arma::uword sparsity : {0, 4}) {
    const std::shared_ptr<const ObservationOperator> A =
        make_kronecker_observation(rng.cx_normal(n_tx, 6), n_rx);
    const arma::cx_mat y = A->apply(arma::cx_mat(h));
    const Estimate estimate =
        make_omp(A, n_rx, n_tx, with(oversampling, sparsity))->estimate({y, 1e-20});
    EXPECT_LT(max_difference(estimate.h, h), 1e-10) << sparsity;
    // And there are four: one less does not explain y.
    const Estimate three =
        make_omp(A, n_rx, n_tx, with(oversampling, 3))->estimate({y, 1e-20});
    EXPECT_GT(nmse(three.h, h), 0.01);
  }
}

TEST(Omp, LeavesAResidualOrthogonalToTheAtomsTaken) {
  for (const Scene& scene : scenes(1e-20)) {  // without noise nothing is shrunk
    const Estimate estimate = make_omp(scene.A, 5, 3, with(2, 3))->estimate(scene.observation);
    const arma::cx_mat fit = scene.A->apply(estimate.h);
    const arma::cx_mat r = scene.observation.y - fit;
    for (arma::uword k = 0; k < r.n_cols; ++k) {
      // The fit is a combination of the atoms taken.
      EXPECT_LT(std::abs(arma::cdot(fit.col(k), r.col(k))), 1e-12);
      EXPECT_LT(arma::norm(r.col(k)), arma::norm(scene.observation.y.col(k)));
    }
  }
}

TEST(Omp, ADenseMatrixOfPilotsIsThePilots) {
  // A single pilot sees all transmit angles alike, so which of them is taken is left to rounding.
  for (const arma::uword n_pilots : {2, 4}) {
    const Scene scene = correlated_scene({.n_rx = 5, .n_pilots = n_pilots});
    const std::shared_ptr<const ObservationOperator> dense =
        make_dense_observation(scene.A->apply(arma::cx_mat(15, 15, arma::fill::eye)));
    EXPECT_LT(max_difference(make_omp(dense, 5, 3)->estimate(scene.observation).h,
                             make_omp(scene.A, 5, 3)->estimate(scene.observation).h),
              1e-10);
  }
}

TEST(Omp, FindsAtomsInNoiseAloneAsOftenAsAllowed) {
  constexpr arma::uword n_samples = 4000;
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(8, 4);
  const arma::cx_mat y = test_rng(4).cx_normal(32, n_samples, 0.3);
  OmpOptions options = with(1, 0);  // orthogonal atoms: the first is found with a known probability
  options.false_discovery = 0.2;
  const arma::cx_mat h = make_omp(A, 8, 4, options)->estimate({y, 0.3}).h;
  arma::vec found(n_samples);
  for (arma::uword k = 0; k < n_samples; ++k) found(k) = arma::any(arma::abs(h.col(k)) > 0.0);
  // Each of 32 is above the threshold with probability t.  Correct code fails for one seed in a
  // million.
  const double t = options.false_discovery / 32.0;
  EXPECT_TRUE(mean_is(found, 1.0 - std::pow(1.0 - t, 32.0), 1e-6));
}

TEST(Omp, TakesNothingFromNothingAndKeepsClearOfAnglesThatPilotsDoNotSee) {
  // DFT pilots are orthogonal to the other columns of the grid.
  const std::shared_ptr<const ObservationOperator> A =
      make_kronecker_observation(arma::conj(dft_matrix(4).head_cols(2)), 3);
  Rng rng = test_rng(5);
  Observation observation{rng.cx_normal(6, 4), 1e-6};
  observation.y.col(2).zeros();
  const Estimate estimate = make_omp(A, 3, 4, with(2, 6))->estimate(observation);
  EXPECT_TRUE(estimate.h.is_finite());
  EXPECT_LT(arma::norm(estimate.h), 1e3);
  EXPECT_EQ(arma::norm(estimate.h.col(2)), 0.0);
}

TEST(Omp, RefusesWhatDoesNotFitAndSaysWhy) {
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(4, 3);
  const auto error_of = [&](std::shared_ptr<const ObservationOperator> of, arma::uword n_rx,
                            arma::uword n_tx, const OmpOptions& options) -> std::string {
    try {
      make_omp(std::move(of), n_rx, n_tx, options);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
      return error.what();
    }
    return "(no error)";
  };
  EXPECT_EQ(error_of(nullptr, 4, 3, {}), "omp: A is not given");
  EXPECT_EQ(error_of(A, 3, 4, {}),
            "omp: the channels are 3x4, A (identity 4x3) is not for such channels");
  EXPECT_EQ(error_of(A, 4, 3, with(0, 0)), "omp: oversampling is 0, it must be 1 .. 64");
  OmpOptions options;
  for (const double wrong : {0.0, 1.0, double(NAN)}) {
    options.false_discovery = wrong;
    EXPECT_NE(error_of(A, 4, 3, options).find("it must be > 0 and < 1"), std::string::npos);
  }
}

}  // namespace
}  // namespace chest
