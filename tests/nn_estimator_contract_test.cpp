#include <gtest/gtest.h>

#include <chest/estimators/network/model_file.hpp>
#include <chest/spec.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/testing/estimator_contract.hpp>

#include "tests/support/network.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

TEST(EstimatorContract, HoldsForDmseWithANetwork) {
  constexpr arma::uword n_rx = 6, n_tx = 4;
  const TemporaryFolder folder;
  NetworkModel model = random_network_model(n_rx, n_tx);
  model.calibration = {{0.0, 20.0}, {2, 1}, {0.4, 0.01}, {1.0, 2.0}};
  save(folder / "dmse.h5", model);
  EstimatorContext context;
  context.n_rx = n_rx;
  context.n_tx = n_tx;
  context.models =
      std::make_shared<ModelStore>(std::vector<std::filesystem::path>{folder / "dmse.h5"});
  Rng rng = test_rng(1);
  for (const arma::uword n_pilots : {0, 4, 6}) {
    Scene scene;
    if (n_pilots == 0) {
      scene.A = make_identity_observation(n_rx, n_tx);
    } else {
      scene.A = make_kronecker_observation(dft_pilots(n_tx, n_pilots), n_rx);
    }
    context.A = scene.A;
    scene.h = rng.cx_normal(n_rx * n_tx, 20);
    observe(scene, 0.5, rng);
    for (const std::string text :
         {"dmse", "dmse:steps=1", "dmse:steps=3", "dmse:published", "dmse:published=full"}) {
      const auto estimator = make_estimator(parse_named_options(text), context);
      EXPECT_EQ(estimator->name(), text);
      // Values of order 1 in single precision, through up to 30 calls.
      expect_estimator_contract(*estimator, *scene.A, scene.observation, 1e-4);
      EXPECT_EQ(estimator->warning(0.5), "");
      EXPECT_NE(estimator->warning(1e-6), "");
    }
  }
}

}  // namespace
}  // namespace chest
