#include <gtest/gtest.h>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/sparse/sbl.hpp>
#include <chest/metrics.hpp>

#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 5, n_tx = 3;

SblOptions with(arma::uword iterations, arma::uword oversampling, double penalty) {
  SblOptions options;
  options.iterations = iterations;
  options.oversampling = oversampling;
  options.penalty = penalty;
  return options;
}

/// The definition, one covariance of all of y: what sbl computes by blocks.
class NaiveSbl {
 public:
  NaiveSbl(const ObservationOperator& A, const arma::cx_vec& y, double sigma2,
           const SblOptions& options)
      : y_(y), sigma2_(sigma2), penalty_(options.penalty) {
    const arma::cx_mat U = steering_vectors(n_rx, 1);
    D_ = arma::kron(steering_vectors(n_tx, options.oversampling), U);
    B_ = A.apply(D_);
    // An atom is (i, j), i first; a variance (a, j), a first.
    const arma::mat K =
        arma::square(arma::abs(U.t() * steering_vectors(n_rx, options.oversampling)));
    K_ = arma::kron(
        arma::mat(n_tx * options.oversampling, n_tx * options.oversampling, arma::fill::eye), K);
    arma::vec p(D_.n_cols);
    for (arma::uword m = 0; m < p.n_elem; ++m) {
      p(m) = std::norm(arma::cdot(B_.col(m), y)) / std::pow(arma::norm(B_.col(m)), 4);
    }
    v_ = (K_.t() * p) / arma::sum(arma::square(K_), 0).t();
  }

  void iterate() {
    const arma::cx_mat S_inverse = arma::inv(S());
    arma::vec fit(D_.n_cols), spread(D_.n_cols);
    for (arma::uword m = 0; m < D_.n_cols; ++m) {
      const arma::cx_vec s = S_inverse * B_.col(m);
      fit(m) = std::norm(arma::cdot(s, y_));
      spread(m) = arma::cdot(B_.col(m), s).real();
    }
    v_ %= arma::sqrt((K_.t() * fit) / (K_.t() * spread + penalty_ / v_));
  }

  /// -log p(y | v) + c sum log v but for a constant, what no step raises.
  double objective() const {
    const double log_det = std::real(arma::log_det(S()));
    return log_det + arma::cdot(y_, arma::solve(S(), y_)).real() +
           penalty_ * arma::accu(arma::log(v_));
  }

  arma::cx_mat C() const {
    return D_ * arma::diagmat(arma::conv_to<arma::cx_vec>::from(K_ * v_)) * D_.t();
  }

 private:
  arma::cx_mat S() const {
    const arma::cx_vec V = arma::conv_to<arma::cx_vec>::from(K_ * v_);
    arma::cx_mat S = B_ * arma::diagmat(V) * B_.t();
    S.diag() += sigma2_;
    return S;
  }

  arma::cx_vec y_;
  double sigma2_, penalty_;
  arma::cx_mat D_, B_;
  arma::mat K_;
  arma::vec v_;
};

std::vector<Scene> scenes(double sigma2) {
  std::vector<Scene> out;
  for (const arma::uword n_pilots : {0, 2, 4}) {
    out.push_back(correlated_scene(
        {.n_rx = n_rx, .n_tx = n_tx, .n_pilots = n_pilots, .n_samples = 2, .sigma2 = sigma2}));
  }
  Rng rng = test_rng(9);
  Scene dense = out.front();
  dense.A = make_dense_observation(rng.cx_normal(9, n_rx * n_tx));
  observe(dense, sigma2, rng);
  out.push_back(dense);
  return out;
}

TEST(Sbl, IsLmmseWithTheCovarianceThatTheDefinitionFinds) {
  for (const double sigma2 : {1.0, 0.01}) {
    for (const Scene& scene : scenes(sigma2)) {
      for (const SblOptions& options :
           {SblOptions(), with(0, 2, 0.0), with(1, 1, 0.5), with(4, 2, 0.0), with(7, 3, 2.0)}) {
        const Estimate estimate =
            make_sbl(scene.A, n_rx, n_tx, options)->estimate(scene.observation);
        for (arma::uword k = 0; k < 2; ++k) {
          NaiveSbl naive(*scene.A, scene.observation.y.col(k), sigma2, options);
          for (arma::uword i = 0; i < options.iterations; ++i) naive.iterate();
          Observation one = scene.observation;
          one.y = scene.observation.y.col(k);
          const Estimate expected = make_lmmse(scene.A, naive.C())->estimate(one);
          // Variances that are taken as zero are below 1e-12 of the largest.
          EXPECT_LT(max_difference(estimate.h.col(k), expected.h), 1e-8)
              << scene.A->name() << ", " << options.iterations << " iterations";
          EXPECT_NEAR(estimate.mse(k), expected.mse(0), 1e-8) << scene.A->name();
        }
      }
    }
  }
}

// With the test above: no iteration of sbl lowers the likelihood, penalised or not.
TEST(Sbl, NoIterationLowersTheLikelihood) {
  for (const double sigma2 : {1.0, 0.01}) {
    for (const Scene& scene : scenes(sigma2)) {
      for (const double penalty : {0.0, 0.5}) {
        NaiveSbl naive(*scene.A, scene.observation.y.col(0), sigma2, with(0, 2, penalty));
        for (int i = 0; i < 8; ++i) {
          const double before = naive.objective();
          naive.iterate();
          EXPECT_LT(naive.objective(), before + 1e-9 * std::abs(before))
              << scene.A->name() << ", iteration " << i << ", penalty " << penalty;
        }
      }
    }
  }
}

TEST(Sbl, ADenseMatrixOfPilotsIsThePilots) {
  for (const arma::uword n_pilots : {1, 2, 4}) {
    const Scene scene = correlated_scene({.n_rx = n_rx, .n_tx = n_tx, .n_pilots = n_pilots});
    const std::shared_ptr<const ObservationOperator> dense =
        make_dense_observation(scene.A->apply(arma::cx_mat(15, 15, arma::fill::eye)));
    const Estimate a = make_sbl(dense, n_rx, n_tx)->estimate(scene.observation);
    const Estimate b = make_sbl(scene.A, n_rx, n_tx)->estimate(scene.observation);
    EXPECT_LT(max_difference(a.h, b.h), 1e-8);
    EXPECT_LT(max_difference(a.mse, b.mse), 1e-8);
  }
}

// On the grid of orthogonal angles each has a problem of its own with the maximum of the likelihood
// at v = (|x|^2 - sigma2)_+, and h_hat = v / (v + sigma2) x.
TEST(Sbl, ConvergesToTheVarianceOfOneAngleByItself) {
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(n_rx, n_tx);
  const double sigma2 = 0.5;
  const arma::cx_mat y = test_rng(6).cx_normal(n_rx * n_tx, 1, 4.0);
  const Estimate estimate = make_sbl(A, n_rx, n_tx, with(2000, 1, 0.0))->estimate({y, sigma2});
  const AngularTransform transform(n_rx, n_tx);
  const arma::cx_mat x = transform.forward(y);
  arma::cx_mat expected = x;
  double mse = 0.0;
  for (arma::cx_double& value : expected) {
    const double v = std::max(0.0, std::norm(value) - sigma2);
    value *= v / (v + sigma2);
    mse += v * sigma2 / (v + sigma2);
  }
  EXPECT_LT(max_difference(transform.forward(estimate.h), expected), 1e-4);
  EXPECT_NEAR(estimate.mse(0), mse, 1e-3);
}

// Where A decorrelates, covariances are Toeplitz and solved as such; pilots a rounding away from it are not.
TEST(Sbl, ToeplitzCovariancesGiveWhatBlocksGive) {
  constexpr arma::uword rows = 4, columns = 24, n_pilots = 26;
  const arma::cx_mat exact = 1.5 * dft_matrix(n_pilots).rows(0, columns - 1);
  arma::cx_mat nearly = exact;
  nearly(3, 5) *= 1.0 + 1e-7;
  Rng rng = test_rng(12);
  for (const double sigma2 : {10.0, 0.1, 1e-3}) {
    Scene scene;
    scene.A = make_kronecker_observation(exact, rows);
    ASSERT_TRUE(scene.A->gram_scale());
    const std::shared_ptr<const ObservationOperator> other =
        make_kronecker_observation(nearly, rows);
    ASSERT_FALSE(other->gram_scale());
    // Three paths between the angles.
    scene.h.zeros(rows * columns, 3);
    for (const double angle : {0.31, -0.9, 2.0}) {
      const arma::vec m = arma::regspace(0.0, rows - 1.0), n = arma::regspace(0.0, columns - 1.0);
      const arma::cx_vec a(arma::cos(angle * m), arma::sin(angle * m));
      const arma::cx_vec b(arma::cos(2.1 * angle * n), arma::sin(2.1 * angle * n));
      scene.h += arma::kron(b, a) * rng.cx_normal(1, 3);
    }
    observe(scene, sigma2, rng);
    const Estimate a = make_sbl(scene.A, rows, columns)->estimate(scene.observation);
    const Estimate b = make_sbl(other, rows, columns)->estimate(scene.observation);
    EXPECT_LT(max_difference(a.h, b.h), 1e-5) << sigma2;
    EXPECT_LT(max_difference(a.mse, b.mse), 1e-4 * arma::max(b.mse)) << sigma2;
  }
}

TEST(Sbl, PassesPowerThroughWithoutNoiseAndNothingInNoiseOnly) {
  Scene scene = correlated_scene({.n_rx = n_rx, .n_tx = n_tx});
  const auto sbl = make_sbl(scene.A, n_rx, n_tx);
  scene.observation.sigma2 = 1e-9;
  EXPECT_LT(nmse(sbl->estimate(scene.observation).h, scene.observation.y), 1e-6);
  scene.observation.sigma2 = 1e9;
  EXPECT_LT(arma::abs(sbl->estimate(scene.observation).h).max(), 1e-6);
  scene.observation.sigma2 = 0.1;
  scene.observation.y.zeros();
  EXPECT_EQ(arma::abs(sbl->estimate(scene.observation).h).max(), 0.0);
}

TEST(Sbl, FindsAPathBetweenItsReceiveAnglesBetterWhenTheyLeakTogether) {
  // One path half-way between two columns of U, 32x4 antennas at 0 dB.
  Rng rng = test_rng(7);
  Scene scene;
  scene.A = make_identity_observation(32, 4);
  const arma::cx_mat path =
      arma::kron(steering_vectors(4, 1).col(1), steering_vectors(32, 2).col(5));
  scene.h = std::sqrt(128.0) * path * arma::sign(rng.cx_normal(1, 100));
  observe(scene, 1.0, rng);
  const auto error = [&](arma::uword oversampling) {
    const auto sbl = make_sbl(scene.A, 32, 4, with(10, oversampling, 0.5));
    return nmse(sbl->estimate(scene.observation).h, scene.h);
  };
  // 0.10 and 0.18 when this was written, with a spread of about 0.005.
  EXPECT_LT(error(4), 0.13);
  EXPECT_GT(error(1), 0.15);
}

TEST(Sbl, RefusesWhatDoesNotFitAndSaysWhy) {
  const std::shared_ptr<const ObservationOperator> A = make_identity_observation(4, 3);
  const auto error_of = [&](std::shared_ptr<const ObservationOperator> of, arma::uword rx,
                            const SblOptions& options) -> std::string {
    try {
      make_sbl(std::move(of), rx, 3, options);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
      return error.what();
    }
    return "(no error)";
  };
  EXPECT_EQ(error_of(nullptr, 4, {}), "sbl: A is not given");
  EXPECT_EQ(error_of(A, 5, {}),
            "sbl: the channels are 5x3, A (identity 4x3) is not for such channels");
  EXPECT_EQ(error_of(A, 4, with(3, 65, 0.5)), "sbl: oversampling is 65, it must be 1 .. 64");
  EXPECT_EQ(error_of(A, 4, with(3, 2, -1.0)), "sbl: penalty is -1, it must be >= 0");
  EXPECT_NE(error_of(A, 4, with(3, 2, NAN)).find("penalty is"), std::string::npos);
}

}  // namespace
}  // namespace chest
