#include <chest/spec.hpp>

#include <gtest/gtest.h>

#include <set>

#include <chest/estimators/catalog/catalog.hpp>

#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

TEST(Spec, ReadsNamesOptionsAndFiles) {
  const NamedOptions spec = parse_named_options("dmse:steps=1,published@models/x.h5");
  EXPECT_EQ(spec.name, "dmse");
  EXPECT_EQ(spec.options.at("steps"), "1");
  EXPECT_EQ(spec.options.at("published"), "");
  EXPECT_EQ(spec.file, "models/x.h5");
  EXPECT_EQ(parse_named_options("dmse@\"a,b@c(.h5\"").file, "a,b@c(.h5");
  EXPECT_EQ(parse_named_options("ep(damping=0.3)@m.h5").file, "m.h5");
}

TEST(Spec, Nests) {
  const NamedOptions spec =
      parse_named_options("ep(fallback=diffpir(levels=5,lambda=2),damping=0.3)");
  EXPECT_EQ(spec.options.size(), 2u);
  const NamedOptions inner = parse_named_options(spec.options.at("fallback"));
  EXPECT_EQ(inner.name, "diffpir");
  EXPECT_EQ(inner.options.at("lambda"), "2");
  // Behind a colon the last option may have one of its own, and no other can be meant.
  EXPECT_EQ(parse_named_options("ep:damping=0.3,fallback=diffpir:levels=5").options.at("fallback"),
            "diffpir:levels=5");
  EXPECT_TRUE(refused([] { parse_named_options("ep:fallback=diffpir:levels=5,lambda=2"); },
                      "whose option is lambda=2? write fallback=diffpir(levels=5),lambda=2 or"));
}

TEST(Spec, TextsWithoutAnOptionKeepTheOthers) {
  for (const char* text : {"dmse:data=1", "dmse(steps=2,data=1,published)@\"a,b.h5\"",
                           "ep(fallback=dmse(steps=1)@a.h5,data=3)", "x:data=1,file='a,b@c.h5'"}) {
    const NamedOptions given = parse_named_options(text);
    const NamedOptions left = parse_named_options(text_without(given, "data"));
    auto expected = given.options;
    expected.erase("data");
    EXPECT_EQ(left.name, given.name);
    EXPECT_EQ(left.options, expected) << text;
    EXPECT_EQ(left.file, given.file) << text;
  }
}

TEST(Spec, RefusesWhatIsBroken) {
  EXPECT_TRUE(refused([] { parse_named_options(""); }, "a name is missing"));
  EXPECT_TRUE(refused([] { parse_named_options("ep(damping=1"); }, "'(' is not closed"));
  EXPECT_TRUE(refused([] { parse_named_options("ep)"); }, "')' without '('"));
  EXPECT_TRUE(refused([] { parse_named_options("ep(damping=1)x"); }, "may follow ')'"));
  EXPECT_TRUE(refused([] { parse_named_options("ep@\"a"); }, "a quotation is not closed"));
  EXPECT_TRUE(refused([] { parse_named_options("ep:damping=1,damping=2"); }, "given twice"));
  EXPECT_TRUE(refused([] { parse_named_options("ep:=1"); }, "an option is empty"));
  EXPECT_TRUE(refused([] { parse_named_options("ep@"); }, "no file name after '@'"));
}

TEST(Spec, ListsKeepOptionsWithTheirName) {
  const std::vector<NamedOptions> list =
      built_in().parse("ls,dmse:published,bfloat16,lmmse,ep(fallback=none,damping=1),gmm");
  ASSERT_EQ(list.size(), 5u);
  EXPECT_EQ(list[1].text, "dmse:published,bfloat16");
  EXPECT_EQ(list[2].name, "lmmse");
  EXPECT_EQ(list[3].text, "ep(fallback=none,damping=1)");
}

class Options : public testing::Test {
 protected:
  Options() {
    Rng rng = test_rng(1);
    context.A = make_kronecker_observation(rng.cx_normal(3, 2), 4);
    context.n_rx = 4;
    context.n_tx = 3;
    context.prior = std::make_shared<const GaussianMixture>(random_mixture(12, 2, rng));
  }
  void expect_refusal(const std::string& text, const std::string& says) {
    EXPECT_TRUE(refused([&] { make_estimator(parse_named_options(text), context); }, says)) << text;
  }
  EstimatorContext context;
};

TEST_F(Options, SwitchesTakeNoValue) {
  expect_refusal("pigdm:prior=gmm,legacy-weight=0", "legacy-weight is a switch, it takes no value");
  expect_refusal("ep:bfloat16=off", "bfloat16 is a switch");
}

TEST_F(Options, WithoutEffectAreRefused) {
  expect_refusal("diffpir:prior=gmm,zeta=0.5", "zeta has no effect here, it is for walk=fresh");
  expect_refusal("diffpir:prior=gmm,churn=1", "churn has no effect here, it is for walk=ode");
  expect_refusal("opc:prior=gmm,lambda=2", "lambda has no effect here, it is for variance=scaled");
  expect_refusal("opc:prior=gmm,switch=2", "switch has no effect here, it is for above=");
  expect_refusal("omp:sparsity=3,false_discovery=0.1", "false_discovery has no effect here");
  expect_refusal("ep:prior=gmm,bfloat16", "bfloat16 has no effect here, it is for prior=network");
  context.A = make_identity_observation(4, 3);
  expect_refusal("dmse:prior=gmm,probes=3", "probes has no effect here");
}

TEST_F(Options, OutsideTheirRangeAreRefused) {
  expect_refusal("omp:oversampling=65", "oversampling is 65, it must be 1 .. 64");
  expect_refusal("ep:prior=gmm,damping=0", "damping is 0, it must be > 0 and <= 1");
  expect_refusal("diffpir:prior=gmm,walk=run", "walk is 'run', there are mean, ancestral");
  expect_refusal("diffpir:prior=gmm,walk=langevin", "walk=langevin is the method score");
  expect_refusal("opc:prior=gmm,variance=fall", "variance is 'fall', there are zero");
  expect_refusal("opc:prior=gmm,variance=head", "does not predict its error per angle");
  expect_refusal("diffpir:prior=gmm,start=diffpir", "diffpir cannot be used by diffpir");
  expect_refusal("diffpir:prior=gmm,start=omq", "estimator 'omq' is unknown; did you mean omp?");
}

TEST_F(Options, NestedSpecificationsReachTheirEstimator) {
  const auto make = [&](const std::string& text) {
    return make_estimator(parse_named_options(text), context);
  };
  Rng rng = test_rng(2);
  Observation observation;
  observation.y = rng.cx_normal(8, 2);
  observation.sigma2 = 0.1;
  EXPECT_EQ(make("ep(prior=gmm,fallback=diffpir(levels=5,lambda=2),damping=0.3)")->name(),
            "ep(prior=gmm,fallback=diffpir(levels=5,lambda=2),damping=0.3)");
  EXPECT_EQ(make("diffpir(prior=gmm,start=omp(sparsity=2),levels=3)")->estimate(observation).nfe,
            3u);
  expect_refusal("diffpir(prior=gmm,start=omp(sparsty=2))", "option 'sparsty' of omp is unknown");
}

TEST(OptionTables, OfEveryEstimatorAreDescribedOnce) {
  for (const CatalogEntry& entry : built_in().entries()) {
    std::set<std::string> names;
    for (const OptionInfo& option : entry.options) {
      EXPECT_TRUE(names.insert(option.name).second) << entry.name << ":" << option.name;
      EXPECT_FALSE(option.help.empty()) << entry.name << ":" << option.name;
    }
    for (const std::string& name : built_in().names()) {
      EXPECT_EQ(names.count(name), 0u) << entry.name << ": option and estimator " << name;
    }
  }
}

TEST(Catalog, TakesRowsAndRefusesANameTwice) {
  Catalog catalog = built_in();
  const std::size_t n = catalog.entries().size();
  catalog.add(row("mine", "a row of mine", [](const Maker& maker) {
    return maker.catalog().make(parse_named_options("ls"), maker.context());
  }));
  EXPECT_EQ(catalog.entries().size(), n + 1);
  EstimatorContext context;
  context.A = make_identity_observation(2, 2);
  context.n_rx = context.n_tx = 2;
  EXPECT_EQ(catalog.make(parse_named_options("mine"), context)->name(), "mine");
  EXPECT_TRUE(refused(
      [&] {
        catalog.add(row("ls", "", [](const Maker&) { return std::unique_ptr<Estimator>(); }));
      },
      "there is an estimator ls already"));
  EXPECT_EQ(catalog.options_json(parse_named_options("omp:oversampling=8")),
            "{\"oversampling\": \"8\", \"sparsity\": \"0: as many as stand out of the noise\", "
            "\"false_discovery\": \"0.05\"}");
}

}  // namespace
}  // namespace chest
