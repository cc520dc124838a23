#include <gtest/gtest.h>

#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/parallel.hpp>
#include <chest/spec.hpp>
#include <chest/testing/estimator_contract.hpp>
#include <set>

#include "tests/support/scene.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 4, n_tx = 3, n_samples = 5;

TEST(EstimatorContract, HoldsForEveryRowOfTheCatalog) {
  const OneBlasThread one_blas_thread;
  const TemporaryFolder folder;
  Rng rng = test_rng(1);
  LmmseModel lmmse;
  lmmse.n_rx = n_rx;
  lmmse.n_tx = n_tx;
  lmmse.n_samples = 100;
  lmmse.C = random_covariance(n_rx * n_tx, rng);
  save(folder / "lmmse.h5", lmmse);
  const GaussianMixture prior = random_mixture(n_rx * n_tx, 3, rng);
  save(folder / "gmm.h5", GmmModel{n_rx, n_tx, prior, 1.0, "", {}});

  EstimatorContext context;
  context.n_rx = n_rx;
  context.n_tx = n_tx;
  context.models = std::make_shared<ModelStore>(
      std::vector<std::filesystem::path>{folder / "lmmse.h5", folder / "gmm.h5"});
  context.has_genie_covariances = true;

  const std::vector<std::string> any_pilots{"ls",
                                            "lmmse",
                                            "lmmse:loading=0.1",
                                            "lmmse:iterative,tolerance=1e-12",
                                            "genie",
                                            "gmm",
                                            "lmmse:snr=+3",
                                            "gmm:snr=-3",
                                            "omp",
                                            "omp:sparsity=3,oversampling=3",
                                            "sbl",
                                            "sbl:iterations=3,oversampling=2,penalty=0",
                                            "sbl:snr=+3",
                                            "dmse:prior=gmm",
                                            "ep:prior=gmm",
                                            "ep:prior=lmmse,iterations=4,fallback=none",
                                            "ep:prior=gmm,variance=angular",
                                            "ep:prior=gmm,variance=rows,iterations=4",
                                            "diffpir:prior=gmm,levels=4",
                                            "diffpir:prior=gmm,levels=4,start=sbl,walk=fresh",
                                            "ddnm:prior=gmm,levels=4",
                                            "dds:prior=gmm,levels=4,cg=2",
                                            "dmps:prior=gmm,levels=4",
                                            "pigdm:prior=gmm,levels=4",
                                            "dps:prior=gmm,levels=4",
                                            "opc:prior=gmm,levels=4,variance=angular",
                                            "flowchef:prior=gmm,levels=4",
                                            "score:prior=gmm,levels=4",
                                            "red-diff:prior=gmm,iterations=5",
                                            "coarse-to-fine:prior=gmm,iterations=5",
                                            "smc:prior=gmm,particles=3,levels=4"};
  // The network's rows of dmse are in nn_estimator_contract_test.cpp.
  const std::vector<std::string> decorrelating{
      "dmse:prior=gmm,steps=3", "dmse:prior=lmmse", "dmse:prior=gmm,published",
      "dmse:prior=lmmse,published=full", "dmse:prior=gmm,snr=+3"};
  std::set<std::string> seen;

  const std::vector<std::shared_ptr<const ObservationOperator>> observations{
      make_identity_observation(n_rx, n_tx), make_kronecker_observation(dft_pilots(n_tx, 5), n_rx),
      make_kronecker_observation(dft_pilots(n_tx, 2), n_rx),
      make_kronecker_observation(rng.cx_normal(n_tx, 4), n_rx),
      make_dense_observation(rng.cx_normal(7, n_rx * n_tx))};
  for (const auto& A : observations) {
    context.A = A;
    Scene scene;
    scene.A = A;
    scene.h = draw(prior, n_samples, rng);
    observe(scene, 0.1, rng);
    scene.observation.genie = {arma::cx_mat(n_rx, n_samples, arma::fill::zeros),
                               arma::cx_mat(n_tx, n_samples, arma::fill::zeros)};
    scene.observation.genie.t_rx.row(0).fill(1.0);
    scene.observation.genie.t_rx.row(1) = 0.5 * arma::exp(rng.cx_normal(1, n_samples) * 0.1);
    scene.observation.genie.t_tx.row(0).fill(1.0);
    std::vector<std::string> specs = any_pilots;
    if (A->gram_scale()) specs.insert(specs.end(), decorrelating.begin(), decorrelating.end());
    for (const std::string& text : specs) {
      const NamedOptions spec = parse_named_options(text);
      if (spec.name == "genie" && A->pilots() == nullptr) continue;
      const auto estimator = make_estimator(spec, context);
      EXPECT_EQ(estimator->name(), text);
      EXPECT_EQ(estimator->warning(0.1).empty(), spec.name != "ddnm");
      expect_estimator_contract(*estimator, *A, scene.observation, 1e-10);
      seen.insert(spec.name);
    }
  }
  seen.insert("vae");  // in nn_vae_test.cpp
  for (const CatalogEntry& entry : built_in().entries()) {
    EXPECT_EQ(seen.count(entry.name), 1u) << entry.name << " has no row here";
  }
}

}  // namespace
}  // namespace chest
