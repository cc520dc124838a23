// Estimates MIMO channels from pilots with the library, without the program: LS, LMMSE and DMSE on
// the same observations.
//
//   quickstart [MODEL]      MODEL: a dmse model for 16x4 channels, from scripts/demo.sh
#include <chest/channels/generator.hpp>
#include <chest/spec.hpp>
#include <chest/error.hpp>
#include <chest/spec.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>
#include <chest/sim/pilots.hpp>

#include <cstdio>
#include <exception>
#include <memory>
#include <vector>

int main(int argc, char** argv) try {
  // Channels H [n_rx, n_tx] as columns h = vec(H): some to fit on, others to estimate.
  const arma::uword n_rx = 16, n_tx = 4;
  const auto model = chest::make_scm({n_rx, n_tx});
  const arma::cx_mat h_train = model->generate(1, 0, 4000).h;
  const arma::cx_mat h = model->generate(2, 0, 500).h;

  // Y = H P + N with DFT pilots: A = P^T kron I, applied and never formed.
  const auto pilots = chest::sim::make_pilots(chest::sim::parse_pilots("dft:4"), n_tx, 1);
  const std::shared_ptr<const chest::ObservationOperator> A =
      chest::sim::make_observation(pilots, n_rx);
  chest::Observation observation;
  observation.sigma2 = chest::from_db(-5.0);  // 5 dB per receive antenna and pilot slot
  observation.y =
      A->apply(h) +
      chest::Rng(3, {chest::Purpose::noise}).cx_normal(A->n_obs(), h.n_cols, observation.sigma2);

  // Estimators share one interface: y -> h_hat, with a predicted error where there is one.
  std::vector<std::unique_ptr<chest::Estimator>> estimators;
  estimators.push_back(chest::make_ls(A));
  const auto fitted = chest::fit_lmmse(chest::samples_in_memory(h_train, n_rx, n_tx));
  estimators.push_back(chest::make_lmmse(A, fitted.C));
  if (argc > 1) {
    chest::EstimatorContext context;
    context.A = A;
    context.n_rx = n_rx;
    context.n_tx = n_tx;
    context.models =
        std::make_shared<chest::ModelStore>(std::vector<std::filesystem::path>{argv[1]});
    estimators.push_back(chest::make_estimator(chest::parse_named_options("dmse"), context));
  }
  for (const auto& estimator : estimators) {
    const chest::Estimate estimate = estimator->estimate(observation);
    std::printf("%-6s NMSE %6.2f dB\n", estimator->name().c_str(),
                chest::to_db(chest::nmse(estimate.h, h)));
  }
  return 0;
} catch (const chest::Error& error) {
  std::fprintf(stderr, "quickstart: %s\n", error.what());
  return 1;
}
