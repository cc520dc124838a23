#include <chest/estimators/common/estimator.hpp>

#include <cmath>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {

Observation Observation::columns(const arma::uvec& which) const {
  Observation out;
  out.y = y.cols(which);
  out.sigma2 = sigma2;
  out.seed = seed;
  out.per_angle = per_angle;
  out.per_element = per_element;
  out.samples.reserve(which.n_elem);
  for (const arma::uword k : which) out.samples.push_back(sample(k));
  if (!side.is_empty()) out.side = side.cols(which);
  if (!genie.empty()) out.genie = {genie.t_rx.cols(which), genie.t_tx.cols(which)};
  return out;
}

void Estimator::estimate(const Observation& observation, Estimate& out) const {
  const arma::uword n_h = A().n_h(), n_obs = A().n_obs(), n_samples = observation.y.n_cols;
  if (observation.y.n_rows != n_obs) {
    refuse(name() + ": y has " + std::to_string(observation.y.n_rows) + " rows, A has " +
           std::to_string(n_obs));
  }
  if (reads_sigma2() && !(observation.sigma2 > 0.0 && std::isfinite(observation.sigma2))) {
    refuse(name() + ": sigma2 is " + number_text(observation.sigma2) +
           ", it must be positive and finite");
  }
  if (!observation.samples.empty() && observation.samples.size() != n_samples) {
    refuse(name() + ": " + std::to_string(observation.samples.size()) +
           " sample numbers were given for " + std::to_string(n_samples) + " columns of y");
  }
  const arma::cx_mat& side = observation.side;
  if (!side.is_empty() && (side.n_rows != n_h || side.n_cols != n_samples)) {
    refuse(name() + ": side is " + std::to_string(side.n_rows) + "x" + std::to_string(side.n_cols) +
           ", expected " + std::to_string(n_h) + "x" + std::to_string(n_samples));
  }
  out.h.set_size(n_h, n_samples);
  if (predicts_mse(observation.sigma2)) {
    out.mse.set_size(n_samples);
    out.mse.fill(arma::datum::nan);
  } else {
    out.mse.reset();
  }
  out.angular_mse.reset();
  out.heads.reset();
  out.element_mse.reset();
  out.sigma2.reset();
  out.log_evidence.reset();
  out.nfe = 0;
  out.n_reset = 0;
  // Rows of a matrix without columns have no memory to refer to.
  if (n_samples == 0) return;
  do_estimate(observation, out);
  if (out.h.n_rows != n_h || out.h.n_cols != n_samples) {
    refuse(name() + ": its estimate is " + std::to_string(out.h.n_rows) + "x" +
           std::to_string(out.h.n_cols) + ", expected " + std::to_string(n_h) + "x" +
           std::to_string(n_samples));
  }
}

Estimate Estimator::estimate(const Observation& observation) const {
  Estimate out;
  estimate(observation, out);
  return out;
}

bool Estimator::predicts_mse(double) const { return false; }

bool Estimator::reads_sigma2() const { return true; }

std::string Estimator::warning(double) const { return {}; }

std::string Estimator::method(double) const { return {}; }

}  // namespace v0
}  // namespace chest
