// The search behind `chest calibrate --method`.
#include "cli/tuning.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include <chest/estimators/catalog/catalog.hpp>
#include <chest/observation.hpp>
#include <chest/spec.hpp>

#include "tests/support/exact_prior.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

double number_of(const NamedOptions& spec, const std::string& option) {
  return std::stod(spec.options.at(option));
}

// Errors with one minimum, of which a parameter is hit by the list and another only between its values.
TEST(Tuning, FindsTheBestOfEachParameterAndThenBetween) {
  const cli::TuningGrid grid{{{{"levels=25"}},
                              {{"walk=mean", "walk=fresh,zeta=0.3"}},
                              {{"step=1", "step=0.1", "step=10"}, true}}};
  std::set<std::string> asked;
  const cli::Trial trial = [&](const std::vector<std::string>& estimators) {
    std::vector<double> errors;
    for (const std::string& text : estimators) {
      EXPECT_TRUE(asked.insert(text).second) << text << " was tried twice";
      const NamedOptions spec = parse_named_options(text);
      EXPECT_EQ(spec.name, "dps");
      EXPECT_EQ(spec.options.at("levels"), "25");
      const double walk = spec.options.at("walk") == "mean" ? 1.0 : 0.0;
      errors.push_back(2.0 + walk + std::abs(std::log(number_of(spec, "step") / 0.16)));
    }
    return errors;
  };
  const auto [found, error] = cli::tune("dps", grid, trial);
  EXPECT_EQ(found, "dps:levels=25,walk=fresh,zeta=0.3,step=0.16");
  EXPECT_NEAR(error, 2.0, 1e-12);
  EXPECT_EQ(asked.size(), 2u + 2u + 1u + 2u);
}

// A parameter whose best value shows only with that of a later one.
TEST(Tuning, ComesBackToWhatWasChosenFirst) {
  const cli::TuningGrid grid{{{{"inner=1", "inner=3"}}, {{"step=0.1", "step=1"}}}};
  const cli::Trial trial = [&](const std::vector<std::string>& estimators) {
    std::vector<double> errors;
    for (const std::string& text : estimators) {
      const NamedOptions spec = parse_named_options(text);
      const double inner = number_of(spec, "inner"), step = number_of(spec, "step");
      errors.push_back(step == 1.0 ? 2.0 - inner / 10.0 : 2.5 + inner / 10.0);
    }
    return errors;
  };
  EXPECT_EQ(cli::tune("score", grid, trial).first, "score:inner=3,step=1");
}

// What is chosen later takes the place of an option of the same name.
TEST(Tuning, LaterParametersReplaceEarlierOnes) {
  const cli::TuningGrid grid{{{{"levels=50,runs=1"}}, {{"", "variance=tweedie,levels=7"}}}};
  const auto [found, error] =
      cli::tune("opc", grid, [](const std::vector<std::string>& estimators) {
        std::vector<double> errors;
        for (const std::string& text : estimators) {
          errors.push_back(text.find("tweedie") == std::string::npos ? 1.0 : 0.5);
        }
        return errors;
      });
  EXPECT_EQ(found, "opc:levels=7,runs=1,variance=tweedie");
  EXPECT_EQ(error, 0.5);
}

// Every candidate on the way of a search that always finds the last value best, or the first, is one that can be made.
TEST(Tuning, GridsHoldWhatTheirMethodsTake) {
  constexpr arma::uword n_rx = 4, n_tx = 4;
  Rng rng = test_rng(1);
  EstimatorContext context;
  context.A = make_kronecker_observation(rng.cx_normal(n_tx, 2), n_rx);
  context.n_rx = n_rx;
  context.n_tx = n_tx;
  context.prior = std::make_shared<const GaussianMixture>(random_mixture(n_rx * n_tx, 2, rng));
  context.models = std::make_shared<ModelStore>();
  for (const std::string& method : cli::tunable_methods()) {
    for (const TuningBudget budget : {TuningBudget::ours, TuningBudget::published}) {
      for (const double sign : {1.0, -1.0}) {
        double n = 0.0;
        const cli::Trial trial = [&](const std::vector<std::string>& estimators) {
          std::vector<double> errors;
          for (const std::string& text : estimators) {
            SCOPED_TRACE(text);
            NamedOptions spec = parse_named_options(text);
            EXPECT_EQ(spec.name, method);
            spec.options["prior"] = "gmm";
            EXPECT_NO_THROW(make_estimator(spec, context));
            errors.push_back(sign * ++n);
          }
          return errors;
        };
        const auto [found, error] = cli::tune(method, cli::tuning_grid(method, budget), trial);
        EXPECT_EQ(parse_named_options(found).name, method);
        EXPECT_GE(n, 1.0);
        // Minutes, not hours.
        EXPECT_LE(n, 60.0) << method;
      }
    }
  }
  // And the other way round: who has the option can be tuned.
  std::vector<std::string> with_option;
  for (const CatalogEntry& entry : built_in().entries()) {
    for (const OptionInfo& option : entry.options) {
      if (option.name == "tuned") with_option.push_back(entry.name);
    }
  }
  std::sort(with_option.begin(), with_option.end());
  EXPECT_EQ(with_option, cli::tunable_methods());
  EXPECT_TRUE(refused([] { cli::tuning_grid("pigmd", TuningBudget::ours); }, "did you mean pigdm"));
}

// 2311 levels of three steps, and a call after the last.
TEST(Tuning, ScoreAsPublishedHasTheCallsOfItsPaper) {
  Rng rng = test_rng(2);
  EstimatorContext context;
  context.A = make_kronecker_observation(rng.cx_normal(2, 1), 2);
  context.n_rx = context.n_tx = 2;
  context.prior = std::make_shared<const GaussianMixture>(random_mixture(4, 2, rng));
  context.models = std::make_shared<ModelStore>();
  const auto make = [&](const std::string& text) {
    return make_estimator(parse_named_options(text), context);
  };
  Observation observation;
  observation.sigma2 = 0.1;
  observation.y = rng.cx_normal(2, 1);
  const Estimate published = make("score:published,prior=gmm")->estimate(observation);
  EXPECT_EQ(published.nfe, 2311u * 3u + 1u);
  const Estimate same = make("score:levels=2311,inner=3,prior=gmm")->estimate(observation);
  EXPECT_EQ(arma::norm(published.h - same.h, "fro"), 0.0);
  EXPECT_TRUE(refused([&] { make("score:published,levels=3,prior=gmm"); }, "levels"));
}

}  // namespace
}  // namespace chest
