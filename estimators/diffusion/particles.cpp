#include <chest/estimators/diffusion/particles.hpp>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/solver_contract.hpp>
#include <chest/metrics.hpp>

#include <chest/estimators/common/column_noise.hpp>
#include <chest/estimators/common/enum_names.hpp>
#include <chest/estimators/prior/proper_derivative.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// All particles of one channel at one level.
struct Cloud {
  arma::cx_mat z, D, m;  ///< states, denoised, and E[h | z, y] under the potential
  arma::vec potential;   ///< ln psi up to a constant
  arma::uword calls = 0;

  Cloud pick(const arma::uvec& which) const {
    return {z.cols(which), D.cols(which), m.cols(which), potential(which), 0};
  }
};

class Particles final : public Estimator {
 public:
  Particles(std::shared_ptr<const ObservationOperator> A, std::shared_ptr<const Denoiser> denoiser,
            const ParticleOptions& options)
      : A_(std::move(A)),
        denoiser_(std::move(denoiser)),
        options_(options),
        s2_(A_->squared_singular_values()) {
    WalkOptions grid;
    grid.n_levels = options.n_levels;
    grid.tau2_first = options.tau2_first;
    grid.tau2_last = options.tau2_last;
    levels_ = walk_levels(grid, denoiser_->sigma2_range());
  }

  std::string name() const override { return "smc"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const arma::uword n = observation.y.n_cols;
    out.log_evidence.set_size(n);
    ColumnNoise noise(observation);
    for (arma::uword k = 0; k < n; ++k) {
      arma::cx_vec h;
      out.nfe = run(observation.y.col(k), observation.sigma2, noise.of(k), h, out.mse(k),
                    out.log_evidence(k));
      out.h.col(k) = h;
    }
  }

  arma::uword run(const arma::cx_vec& y, double sigma2, Rng& rng, arma::cx_vec& h, double& mse,
                  double& log_evidence) const {
    const arma::uword n_particles = options_.n_particles;
    arma::uword n_calls = 0;
    Cloud cloud;
    cloud.z = rng.cx_normal(A_->n_h(), n_particles, 1.0 + levels_.front());
    arma::vec log_w(n_particles), weights(n_particles);
    log_w.fill(-std::log(static_cast<double>(n_particles)));
    log_evidence = -static_cast<double>(A_->n_obs()) * std::log(arma::datum::pi);
    arma::vec correction(n_particles, arma::fill::zeros);
    for (arma::uword i = 0;; ++i) {
      evaluate(cloud, y, sigma2, levels_(i));
      n_calls += cloud.calls;
      log_w += cloud.potential + correction;
      const double most = log_w.max();
      weights = arma::exp(log_w - most);
      const double sum = arma::accu(weights);
      log_evidence += most + std::log(sum);
      weights /= sum;
      if (i + 1 == levels_.n_elem) break;
      log_w = arma::log(arma::clamp(weights, 1e-300, 1.0));
      if (1.0 / arma::accu(arma::square(weights)) < 0.5 * static_cast<double>(n_particles)) {
        cloud = cloud.pick(resample(weights, rng));
        log_w.fill(-std::log(static_cast<double>(n_particles)));
      }
      // The step with guidance, and how much likelier it was than without.
      const double tau2 = levels_(i), next = levels_(i + 1), keep = next / tau2;
      const double variance = next * (1.0 - keep);
      const arma::cx_mat plain = keep * cloud.z + (1.0 - keep) * cloud.D;
      const arma::cx_mat guided = keep * cloud.z + (1.0 - keep) * cloud.m;
      cloud.z = guided + rng.cx_normal(guided.n_rows, guided.n_cols, variance);
      // Equal levels are one step of no length: it says nothing new.
      if (variance > 0.0) {
        correction = (squared_errors(cloud.z, guided) - squared_errors(cloud.z, plain)) / variance;
      } else {
        correction.zeros();
      }
      correction -= cloud.potential;
    }
    h = cloud.m * arma::conv_to<arma::cx_vec>::from(weights);
    mse =
        arma::dot(weights, squared_errors(cloud.m, arma::cx_mat(arma::repmat(h, 1, n_particles))));
    // Particles that agree have not shown less error than the last level.
    mse += levels_.back() * static_cast<double>(A_->n_h());
    return n_calls * n_particles;
  }

  /// One uniform draw for all: particle p is taken floor or ceil of n weights(p) times.
  arma::uvec resample(const arma::vec& weights, Rng& rng) const {
    arma::uvec picks(weights.n_elem);
    const double start = rng.uniform();
    double cumulative = weights(0);
    arma::uword p = 0;
    for (arma::uword i = 0; i < picks.n_elem; ++i) {
      const double at = (start + static_cast<double>(i)) / static_cast<double>(picks.n_elem);
      while (cumulative < at && p + 1 < weights.n_elem) cumulative += weights(++p);
      picks(i) = p;
    }
    return picks;
  }

  /// Fills D, m and potential of a cloud at level tau2.
  void evaluate(Cloud& cloud, const arma::cx_vec& y, double sigma2, double tau2) const {
    const arma::uword n_particles = cloud.z.n_cols;
    const arma::cx_mat Y = arma::repmat(y, 1, n_particles);
    cloud.potential.set_size(n_particles);
    if (options_.potential == ParticlePotential::tweedie) {
      const auto at = denoiser_->linearise(cloud.z, tau2);
      cloud.D = at->D();
      cloud.calls = 1 + 2 * A_->n_obs();
      tweedie(*at, Y, sigma2, tau2, cloud);
      return;
    }
    denoiser_->denoise(cloud.z, tau2, cloud.D);
    cloud.calls = 1;
    const bool flat = options_.potential == ParticlePotential::flat;
    const double r2 = flat ? tau2 : tau2 / (1.0 + tau2);
    const arma::cx_mat r = Y - A_->apply(flat ? cloud.z : cloud.D);
    const arma::cx_mat correction = A_->ridge(r, sigma2 / r2);
    cloud.m = cloud.D + correction;
    const arma::cx_mat explained = A_->apply(correction);
    double log_det = static_cast<double>(A_->n_obs() - s2_.n_elem) * std::log(sigma2);
    for (const double s2 : s2_) log_det += std::log(sigma2 + r2 * s2);
    for (arma::uword p = 0; p < n_particles; ++p) {
      // r^H (sigma2 I + r2 A A^H)^-1 r = r^H (r - A ridge(r)) / sigma2.
      cloud.potential(p) =
          -log_det - std::real(arma::cdot(r.col(p), r.col(p) - explained.col(p))) / sigma2;
    }
  }

  void tweedie(const DenoiserLinearization& at, const arma::cx_mat& Y, double sigma2, double tau2,
               Cloud& cloud) const {
    const arma::uword n_obs = A_->n_obs(), n_particles = Y.n_cols;
    // Columns of tau2 J A^H for every particle; J^H stands for J, which is Hermitian.
    const arma::cx_mat rows = A_->adjoint(arma::cx_mat(n_obs, n_obs, arma::fill::eye));
    arma::cx_cube CA(A_->n_h(), n_obs, n_particles);
    for (arma::uword j = 0; j < n_obs; ++j) {
      const arma::cx_mat w = arma::repmat(rows.col(j), 1, n_particles);
      const arma::cx_mat column = tau2 * proper_pull_back(at, w);
      for (arma::uword p = 0; p < n_particles; ++p) CA.slice(p).col(j) = column.col(p);
    }
    const arma::cx_mat r = Y - A_->apply(cloud.D);
    cloud.m = cloud.D;
    for (arma::uword p = 0; p < n_particles; ++p) {
      const arma::cx_mat S = A_->apply(arma::cx_mat(CA.slice(p)));
      // The derivative of a network need not be a covariance: what is negative counts as 0.
      arma::vec l;
      arma::cx_mat U;
      hermitian_eigen(S, l, U);
      l = arma::clamp(l, 0.0, arma::datum::inf) + sigma2;
      const arma::cx_vec c = U.t() * r.col(p);
      const arma::cx_vec weighted = c / arma::conv_to<arma::cx_vec>::from(l);
      cloud.m.col(p) += CA.slice(p) * (U * weighted);
      cloud.potential(p) = -arma::accu(arma::log(l)) - std::real(arma::cdot(c, weighted));
    }
  }

  std::shared_ptr<const ObservationOperator> A_;
  std::shared_ptr<const Denoiser> denoiser_;
  ParticleOptions options_;
  arma::vec s2_, levels_;
};

}  // namespace

std::string ParticleOptions::why_invalid() const {
  if (const std::string why = particle_options.why_invalid(*this); !why.empty()) return why;
  WalkOptions grid;
  grid.n_levels = n_levels;
  grid.tau2_first = tau2_first;
  grid.tau2_last = tau2_last;
  return grid.why_invalid();
}

std::unique_ptr<Estimator> make_particles(std::shared_ptr<const ObservationOperator> A,
                                          std::shared_ptr<const Denoiser> denoiser,
                                          const ParticleOptions& options) {
  check_solver("smc", A.get(), denoiser.get());
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "smc: " + why);
  }
  ParticleOptions chosen = options;
  if (!chosen.potential) {
    const bool exact = denoiser->differentiable() && !denoiser->sigma2_range();
    chosen.potential = exact ? ParticlePotential::tweedie : ParticlePotential::isotropic;
  }
  if (chosen.potential == ParticlePotential::tweedie) check_gradient("smc", *denoiser);
  return std::make_unique<Particles>(std::move(A), std::move(denoiser), chosen);
}

}  // namespace v0
}  // namespace chest
