#include <gtest/gtest.h>

#include <chest/error.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/snr_unknown.hpp>
#include <chest/metrics.hpp>

#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

// ln p(y | sigma2) of a Gaussian prior in the eigenbasis of C, up to a constant.
double log_likelihood(const arma::vec& l, const arma::vec& power, double sigma2) {
  return -arma::accu(arma::log(l + sigma2)) - arma::accu(power / (l + sigma2));
}

// A prior with room for the noise to show: eight of 32 dimensions hold all the power.
Scene sparse_scene(double sigma2, arma::uword n_samples) {
  Scene scene;
  scene.A = make_identity_observation(8, 4);
  Rng rng = test_rng(5);
  arma::cx_mat Q, R;
  arma::qr(Q, R, rng.cx_normal(32, 32));
  arma::vec l(32, arma::fill::zeros);
  l.head(8).fill(4.0);
  scene.C = Q * arma::diagmat(arma::conv_to<arma::cx_vec>::from(l)) * Q.t();
  scene.h = 2.0 * Q.cols(0, 7) * rng.cx_normal(8, n_samples);
  observe(scene, sigma2, rng);
  return scene;
}

TEST(NoiseBlind, FindsTheMaximumOfTheLikelihood) {
  for (const double snr_db : {-10.0, 0.0, 10.0, 25.0}) {
    const Scene scene = sparse_scene(from_db(-snr_db), 30);
    const std::shared_ptr<const Estimator> lmmse = make_lmmse(scene.A, scene.C);
    const Estimate found = make_noise_blind(scene.A, lmmse)->estimate(scene.observation);
    ASSERT_EQ(found.sigma2.n_elem, 30u);
    arma::vec l;
    arma::cx_mat U;
    arma::eig_sym(l, U, scene.C);
    l = arma::clamp(l, 0.0, arma::datum::inf);
    for (arma::uword k = 0; k < 30; ++k) {
      const arma::vec power =
          arma::square(arma::abs(arma::cx_vec(U.t() * scene.observation.y.col(k))));
      double best_db = 0.0, best = -arma::datum::inf;
      for (double db = -snr_db - 6.0; db < -snr_db + 6.0; db += 0.01) {
        const double value = log_likelihood(l, power, from_db(db));
        if (value > best) {
          best = value;
          best_db = db;
        }
      }
      // Levels are told on a grid of 0.25 dB.
      EXPECT_NEAR(to_db(found.sigma2(k)), best_db, 0.3) << snr_db << " dB, channel " << k;
    }
  }
}

TEST(NoiseBlind, LosesLittleToTheKnownLevel) {
  for (const double snr_db : {-10.0, 0.0, 10.0, 25.0}) {
    const Scene scene = sparse_scene(from_db(-snr_db), 400);
    const std::shared_ptr<const Estimator> lmmse = make_lmmse(scene.A, scene.C);
    Observation unknown = scene.observation;
    unknown.sigma2 = -1.0;  // not read
    const Estimate found = make_noise_blind(scene.A, lmmse)->estimate(unknown);
    const double ratio =
        nmse(found.h, scene.h) / nmse(lmmse->estimate(scene.observation).h, scene.h);
    // 24 empty dimensions tell the level to 20 %, and the filter is flat around its optimum.
    EXPECT_LT(ratio, 1.03) << snr_db;
    EXPECT_GT(ratio, 0.999) << snr_db;
    EXPECT_NEAR(arma::mean(found.sigma2) / scene.observation.sigma2, 1.0, 0.08) << snr_db;
    EXPECT_NEAR(arma::mean(found.mse) / (32.0 * nmse(found.h, scene.h)), 1.0, 0.15) << snr_db;
  }
}

TEST(NoiseBlind, WorksThroughPilotsAndForAnExactMixture) {
  Rng rng = test_rng(1);
  GaussianMixture prior = random_mixture(12, 4, rng);
  for (arma::cx_mat& C : prior.covariances) C *= 0.02;
  Scene scene;
  scene.A = make_kronecker_observation(dft_pilots(3, 9), 4);
  scene.h = draw(prior, 300, rng);
  observe(scene, 0.5, rng);
  const std::shared_ptr<const Estimator> gmm = make_gmm(scene.A, prior);
  const Estimate found = make_noise_blind(scene.A, gmm)->estimate(scene.observation);
  // 36 complex entries per channel: 17 % each, 1 % in the mean.
  EXPECT_NEAR(arma::mean(found.sigma2), 0.5, 0.05);
  EXPECT_LT(nmse(found.h, scene.h), 1.05 * nmse(gmm->estimate(scene.observation).h, scene.h));
}

TEST(NoiseBlind, DoesNotDependOnTheBlock) {
  const Scene scene = sparse_scene(0.1, 20);
  const auto blind = make_noise_blind(scene.A, make_lmmse(scene.A, scene.C));
  const Estimate together = blind->estimate(scene.observation);
  for (arma::uword k = 0; k < 20; ++k) {
    const Estimate alone =
        blind->estimate(scene.observation.columns({k}));
    EXPECT_LT(max_difference(alone.h, together.h.col(k)), 1e-12);
    EXPECT_NEAR(alone.sigma2(0), together.sigma2(k), 1e-12);
  }
}

TEST(NoiseBlind, RefusesAnEstimatorWithoutAPredictedError) {
  class Silent final : public Estimator {
   public:
    explicit Silent(std::shared_ptr<const ObservationOperator> A) : A_(std::move(A)) {}
    std::string name() const override { return "silent"; }
    const ObservationOperator& A() const override { return *A_; }

   private:
    void do_estimate(const Observation& observation, Estimate& out) const override {
      out.h = observation.y;
    }
    std::shared_ptr<const ObservationOperator> A_;
  };
  const Scene scene = sparse_scene(0.1, 2);
  EXPECT_THROW(make_noise_blind(scene.A, std::make_shared<Silent>(scene.A)), Error);
  EXPECT_THROW(make_noise_blind(scene.A, nullptr), Error);
}

TEST(Misinformed, IsToldTheOtherLevel) {
  const Scene scene = sparse_scene(0.1, 5);
  const std::shared_ptr<const Estimator> lmmse = make_lmmse(scene.A, scene.C);
  Observation other = scene.observation;
  other.sigma2 = 0.1 * from_db(-3.0);
  EXPECT_LT(max_difference(make_misinformed(lmmse, 3.0)->estimate(scene.observation).h,
                           lmmse->estimate(other).h),
            1e-14);
  EXPECT_THROW(make_misinformed(lmmse, arma::datum::nan), Error);
}

}  // namespace
}  // namespace chest
