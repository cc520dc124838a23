#include <gtest/gtest.h>

#include <chest/error.hpp>
#include <chest/estimators/common/weighted_mean.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>

#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest {
namespace {

TEST(WeightedMean, HasTheErrorOfBothLessTheirDistance) {
  const Scene scene = correlated_scene({.n_rx = 4, .n_tx = 3, .n_samples = 5, .sigma2 = 0.5});
  const std::shared_ptr<const Estimator> ls = make_ls(scene.A);
  const std::shared_ptr<const Estimator> lmmse =
      make_lmmse(scene.A, arma::eye<arma::cx_mat>(12, 12));
  const auto mean = make_weighted_mean(ls, lmmse, [](double sigma2) { return sigma2 * 0.6; });
  const Estimate a = ls->estimate(scene.observation), b = lmmse->estimate(scene.observation);
  const Estimate found = mean->estimate(scene.observation);
  const double w = 0.3;
  const auto squares = [](const arma::cx_mat& x) {
    return arma::rowvec(arma::sum(arma::square(arma::abs(x)), 0));
  };
  const arma::rowvec expected = (1.0 - w) * squares(a.h - scene.h) + w * squares(b.h - scene.h) -
                                w * (1.0 - w) * squares(a.h - b.h);
  EXPECT_LT(max_difference(squares(found.h - scene.h), expected), 1e-12);
  EXPECT_LT(max_difference(found.mse, (1.0 - w) * a.mse + w * b.mse), 1e-12);
  EXPECT_EQ(mean->method(0.5), "lmmse");
}

TEST(WeightedMean, RunsOneAloneAtEitherEnd) {
  const Scene scene = correlated_scene({.n_rx = 4, .n_tx = 3, .n_samples = 2, .sigma2 = 0.5});
  const std::shared_ptr<const Estimator> ls = make_ls(scene.A);
  const std::shared_ptr<const Estimator> lmmse =
      make_lmmse(scene.A, arma::eye<arma::cx_mat>(12, 12));
  for (const double w : {0.0, 1.0}) {
    const auto mean = make_weighted_mean(ls, lmmse, [w](double) { return w; });
    const Estimate expected = (w == 0.0 ? ls : lmmse)->estimate(scene.observation);
    EXPECT_EQ(max_difference(mean->estimate(scene.observation).h, expected.h), 0.0);
    EXPECT_EQ(mean->method(0.5), w == 0.0 ? "" : "lmmse");
  }
  EXPECT_TRUE(
      refused([&] { make_weighted_mean(ls, nullptr, [](double) { return 0.5; }); }, "null"));
  const Scene other = correlated_scene({.n_rx = 4, .n_tx = 2, .n_samples = 2});
  const std::shared_ptr<const Estimator> smaller = make_ls(other.A);
  EXPECT_TRUE(refused([&] { make_weighted_mean(ls, smaller, [](double) { return 0.5; }); },
                      "of different size"));
}

}  // namespace
}  // namespace chest
