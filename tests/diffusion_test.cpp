#include <gtest/gtest.h>

#include <chest/error.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/metrics.hpp>
#include <cmath>

#include "tests/support/golden.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

NoiseSchedule letter() { return NoiseSchedule::linear(100, 9.999000099991662e-5, 0.1); }

TEST(NoiseSchedule, OfTheLetterReachesFrom40ToMinus22Db) {
  const NoiseSchedule schedule = letter();
  EXPECT_EQ(schedule.n_steps(), 100u);
  EXPECT_NEAR(to_db(schedule.snr(0)), 40.0, 1e-9);
  EXPECT_NEAR(to_db(schedule.snr(99)), -22.48, 0.005);
  EXPECT_NEAR(schedule.abar()(1), (1 - schedule.betas()(0)) * (1 - schedule.betas()(1)), 1e-16);
}

TEST(NoiseSchedule, StartIndexIsThatOfTheLetter) {
  const EstimatorsGolden golden;
  const arma::vec snr_db = golden.real("/dmse/snr_db"), start = golden.real("/dmse/start");
  // The golden indices, and those that the published code gives in single precision.
  const arma::vec published{68, 52, 36, 23, 13, 7, 4, 1, 0};
  for (arma::uword i = 0; i < snr_db.n_elem; ++i) {
    EXPECT_EQ(static_cast<double>(letter().nearest(from_db(snr_db(i)))), start(i)) << snr_db(i);
    EXPECT_EQ(start(i), published(i)) << snr_db(i);
  }
}

TEST(NoiseSchedule, FractionalIndexIsExactAtTrainedLevelsAndLinearInLogSnrBetween) {
  const NoiseSchedule schedule = letter();
  for (arma::uword i = 0; i < 100; ++i) {
    EXPECT_DOUBLE_EQ(schedule.fractional_index(schedule.sigma2(i)), static_cast<double>(i));
  }
  const double between = std::sqrt(schedule.sigma2(7) * schedule.sigma2(8));
  EXPECT_NEAR(schedule.fractional_index(between), 7.5, 1e-12);
  EXPECT_EQ(schedule.fractional_index(1e-9), 0.0);
  EXPECT_EQ(schedule.fractional_index(1e9), 99.0);
  EXPECT_THROW(schedule.fractional_index(0.0), Error);
}

TEST(NoiseSchedule, RefusesBetasOutsideZeroToOne) {
  EXPECT_THROW(NoiseSchedule(arma::vec{}), Error);
  EXPECT_THROW(NoiseSchedule({0.1, 1.0}), Error);
  try {
    NoiseSchedule({0.1, -0.5});
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "noise schedule: beta 1 is -0.500000, it must lie between 0 and 1");
  }
}

TEST(Prediction, GainsRecoverTheChannelFromThePerfectOutput) {
  const double h = 1.3, eps = -0.4;
  for (const double sigma2 : {1e-4, 0.3, 20.0}) {
    const double z = h + std::sqrt(sigma2) * eps;
    const double abar = 1.0 / (1.0 + sigma2);
    const double velocity = std::sqrt(abar) * eps - std::sqrt(1.0 - abar) * h;
    const auto recovered = [&](Prediction prediction, double output) {
      const PredictionGains gains = prediction_gains(prediction, sigma2);
      return gains.z_gain * z + gains.o_gain * output;
    };
    EXPECT_NEAR(recovered(Prediction::epsilon, eps), h, 1e-14);
    EXPECT_NEAR(recovered(Prediction::sample, h), h, 1e-14);
    EXPECT_NEAR(recovered(Prediction::velocity, velocity), h, 1e-14);
  }
  for (const Prediction p : {Prediction::epsilon, Prediction::sample, Prediction::velocity}) {
    EXPECT_EQ(prediction_from_string(to_string(p)), p);
  }
  EXPECT_THROW(prediction_from_string("noise"), Error);
}

TEST(PublishedChain, CallsTheNetworkBelowTheStartIndexOnly) {
  const NoiseSchedule schedule = letter();
  const ReverseChain chain = published_chain(schedule, from_db(-20.0));  // start index 4
  ASSERT_EQ(chain.steps.size(), 4u);
  for (arma::uword j = 0; j < 4; ++j) EXPECT_EQ(chain.steps[j].sigma2, schedule.sigma2(3 - j));
  EXPECT_EQ(chain.steps.back().keep, 0.0);
  EXPECT_DOUBLE_EQ(chain.steps[0].keep, schedule.sigma2(2) / schedule.sigma2(3));
  EXPECT_EQ(published_chain(schedule, from_db(-20.0), true).steps.size(), 5u);
}

TEST(PublishedChain, MakesNoCallAt40DbAndReturnsTheScaledObservation) {
  const ReverseChain chain = published_chain(letter(), 1e-4);
  EXPECT_TRUE(chain.steps.empty());
  EXPECT_DOUBLE_EQ(chain.start_scale, std::sqrt(1e4 / (1.0 + 1e4)));
}

TEST(LogSnrChain, IsUniformInLogSnrAndEndsAtTheCleanestLevel) {
  const ReverseChain chain = log_snr_chain(1.0, 1e-4, 3);
  ASSERT_EQ(chain.steps.size(), 3u);
  EXPECT_EQ(chain.start_scale, 1.0);
  EXPECT_EQ(chain.steps[0].sigma2, 1.0);
  EXPECT_NEAR(chain.steps[1].sigma2, 1e-2, 1e-16);
  EXPECT_EQ(chain.steps[2].sigma2, 1e-4);
  EXPECT_NEAR(chain.steps[0].keep, 1e-2, 1e-16);
  EXPECT_NEAR(chain.steps[1].keep, 1e-2, 1e-16);
  EXPECT_EQ(chain.steps[2].keep, 0.0);
}

TEST(LogSnrChain, IsOneStepForOneCallOrBelowTheCleanestLevel) {
  for (const ReverseChain& chain : {log_snr_chain(0.5, 1e-4, 1), log_snr_chain(1e-5, 1e-4, 3)}) {
    ASSERT_EQ(chain.steps.size(), 1u);
    EXPECT_EQ(chain.steps[0].keep, 0.0);
  }
  EXPECT_EQ(log_snr_chain(1e-5, 1e-4, 3).steps[0].sigma2, 1e-5);
  EXPECT_THROW(log_snr_chain(1.0, 1e-4, 0), Error);
  EXPECT_THROW(log_snr_chain(-1.0, 1e-4, 1), Error);
}

TEST(Calibration, TakesTheNearestStepCountAndInterpolatesTheErrorInDb) {
  const Calibration calibration{{-10.0, 0.0, 10.0}, {2, 3, 1}, {0.5, 0.1, 0.02}, {}};
  EXPECT_EQ(calibration.steps_at(from_db(4.0), 7), 3u);   // -4 dB
  EXPECT_EQ(calibration.steps_at(from_db(30.0), 7), 2u);  // -30 dB
  EXPECT_EQ(calibration.steps_at(from_db(-30.0), 7), 1u);
  EXPECT_NEAR(calibration.mse_at(1.0), 0.1, 1e-15);
  EXPECT_NEAR(calibration.mse_at(from_db(5.0)), std::sqrt(0.5 * 0.1), 1e-12);
  EXPECT_EQ(calibration.mse_at(from_db(30.0)), 0.5);
  EXPECT_EQ(calibration.mse_at(from_db(-30.0)), 0.02);
  EXPECT_EQ(Calibration{}.steps_at(1.0, 7), 7u);
  EXPECT_LT(Calibration{}.mse_at(1.0), 0.0);
}

TEST(DmseOptions, NameTheFieldThatIsWrong) {
  DmseOptions options;
  EXPECT_EQ(options.why_invalid(), "");
  options.n_steps = 0;
  EXPECT_EQ(options.why_invalid(), "steps is 0, it must be 1 .. 100000");
  options.n_steps = 1;
  options.sigma2_end = -1.0;
  EXPECT_NE(options.why_invalid().find("sigma2_end"), std::string::npos);
  options.sigma2_end = 1e-4;
  for (const Calibration& wrong : {Calibration{{0.0, 5.0}, {1}, {0.1, 0.1}, {}},
                                   Calibration{{5.0, 0.0}, {1, 1}, {0.1, 0.1}, {}},
                                   Calibration{{0.0, 5.0}, {1, 0}, {0.1, 0.1}, {}},
                                   Calibration{{0.0, 5.0}, {1, 1}, {0.1, 0.0}, {}}}) {
    options.calibration = wrong;
    EXPECT_NE(options.why_invalid().find("calibration"), std::string::npos);
  }
}

}  // namespace
}  // namespace chest
