// Links the installed package and runs one estimate: prints the NMSE of LS, which is the noise
// power.
#include <chest/channels/generator.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/metrics.hpp>
#include <chest/observation.hpp>
#include <chest/random.hpp>

#include <cstdio>
#include <memory>

int main() {
  const arma::cx_mat h = chest::make_rayleigh(8, 4)->generate(1, 0, 500).h;
  const std::shared_ptr<const chest::ObservationOperator> A =
      chest::make_identity_observation(8, 4);
  chest::Observation observation;
  observation.sigma2 = 0.1;
  observation.y = h + chest::Rng(1, {chest::Purpose::noise}).cx_normal(32, 500, 0.1);
  const chest::Estimate estimate = chest::make_ls(A)->estimate(observation);
  const double nmse = chest::nmse(estimate.h, h);
  std::printf("nmse %.4f\n", nmse);
  return nmse > 0.095 && nmse < 0.105 ? 0 : 1;
}
