#include <gtest/gtest.h>

#include "cli/calibration.hpp"

namespace chest {
namespace {

TEST(Calibration, GroupsWithOutliersAreLeftOutAtTheirSnr) {
  std::vector<cli::ErrorTable> groups(4);
  for (std::size_t g = 0; g < 4; ++g) {
    const auto x = static_cast<double>(g);
    groups[g][{"dmse", 0.0}] = {0.2 + 0.01 * x, 0.2};
    groups[g][{"dmse", 20.0}] = {g == 2 ? 0.5 : 0.001 * (1.0 + x), 0.002};
    groups[g][{"linear", 20.0}] = {g == 2 ? 0.6 : 0.003, 0.0};
  }
  const cli::ErrorTable found = cli::without_outliers(groups, "dmse", {0.0, 20.0});
  EXPECT_NEAR(found.at({"dmse", 0.0}).nmse, 0.215, 1e-12);
  // 1, 2 and 4 thousandths: the third is left out, for the other estimators too.
  EXPECT_NEAR(found.at({"dmse", 20.0}).nmse, 0.007 / 3.0, 1e-12);
  EXPECT_NEAR(found.at({"dmse", 20.0}).predicted, 0.002, 1e-12);
  EXPECT_NEAR(found.at({"linear", 20.0}).nmse, 0.003, 1e-12);
}

TEST(Calibration, WhatIsNotPredictedCountsAlike) {
  std::vector<cli::ErrorTable> groups(3);
  for (std::size_t g = 0; g < 3; ++g) groups[g][{"x", 10.0}] = {g == 0 ? 9.0 : 0.0, 0.0};
  EXPECT_NEAR(cli::without_outliers(groups, "x", {10.0}).at({"x", 10.0}).nmse, 3.0, 1e-12);
}

}  // namespace
}  // namespace chest
