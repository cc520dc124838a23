#include <chest/estimators/gmm.hpp>

#include <cmath>
#include <utility>
#include <vector>

#include <chest/archive.hpp>
#include <chest/error.hpp>

#include "contract.hpp"
#include "level_cache.hpp"
#include "model_file.hpp"

namespace chest {
namespace {

class Gmm final : public Estimator {
 public:
  Gmm(std::shared_ptr<const ObservationOperator> A, const GaussianMixture& prior)
      : A_(std::move(A)), log_weights_(arma::log(prior.weights)), means_(prior.means) {
    A_->apply(means_, A_means_);
    for (const arma::cx_mat& C : prior.covariances) {
      const arma::cx_mat hermitian = 0.5 * (C + C.t());
      traces_.push_back(arma::trace(hermitian).real());
      AC_.push_back(A_->apply(hermitian));
      S_.push_back(A_->apply(AC_.back().t()));
    }
  }

  using Estimator::estimate;

  std::string name() const override { return "gmm"; }

  void estimate(const Observation& observation, Estimate& out) const override {
    check_observation("gmm", *A_, observation);
    const arma::cx_mat& y = observation.y;
    const auto factors =
        factors_.at(observation.sigma2, [&] { return factorise(observation.sigma2); });
    const arma::uword n_components = log_weights_.n_elem, n_samples = y.n_cols;

    // shares(k, j) = ln of weight times likelihood, then the responsibility.
    arma::mat shares(n_components, n_samples);
    std::vector<arma::cx_mat> whitened(n_components);  // L^-1 (y - A m)
    for (arma::uword k = 0; k < n_components; ++k) {
      arma::cx_mat d = y;
      d.each_col() -= A_means_.col(k);
      whitened[k] = arma::solve(arma::trimatl((*factors)[k].L), d, arma::solve_opts::fast);
      for (arma::uword j = 0; j < n_samples; ++j) {
        double distance = 0.0;
        for (const arma::cx_double& value : whitened[k].col(j)) distance += std::norm(value);
        shares(k, j) = log_weights_(k) - (*factors)[k].log_det - distance;
      }
    }
    for (arma::uword j = 0; j < n_samples; ++j) {
      shares.col(j) = arma::exp(shares.col(j) - shares.col(j).max());
      shares.col(j) /= arma::accu(shares.col(j));
    }

    // Posterior mean and covariance trace; the spread between components in the form
    // sum r |h_k - h_hat|^2 = sum r |h_k|^2 - |h_hat|^2, with h_k relative to the prior's mean.
    const arma::cx_vec centre = means_ * arma::exp(log_weights_);
    out.h.zeros(A_->n_h(), n_samples);
    out.mse.zeros(n_samples);
    for (arma::uword k = 0; k < n_components; ++k) {
      const Factor& factor = (*factors)[k];
      arma::cx_mat h = factor.F.t() * whitened[k];
      h.each_col() += means_.col(k) - centre;
      for (arma::uword j = 0; j < n_samples; ++j) {
        const double share = shares(k, j);
        out.h.col(j) += share * h.col(j);
        double power = 0.0;
        for (const arma::cx_double& value : h.col(j)) power += std::norm(value);
        out.mse(j) += share * (traces_[k] - factor.explained + power);
      }
    }
    for (arma::uword j = 0; j < n_samples; ++j) {
      double power = 0.0;
      for (const arma::cx_double& value : out.h.col(j)) power += std::norm(value);
      out.mse(j) -= power;
    }
    out.h.each_col() += centre;
    out.nfe = 0;
  }

 private:
  struct Factor {
    arma::cx_mat L;          ///< S = L L^H
    arma::cx_mat F;          ///< L^-1 A C
    double log_det = 0.0;    ///< ln det S
    double explained = 0.0;  ///< tr(C A^H S^-1 A C)
  };

  std::vector<Factor> factorise(double sigma2) const {
    std::vector<Factor> factors(S_.size());
    for (std::size_t k = 0; k < S_.size(); ++k) {
      arma::cx_mat S = S_[k];
      S.diag() += sigma2;
      Factor& factor = factors[k];
      if (!arma::chol(factor.L, S, "lower")) {
        throw Error(ErrorKind::numeric,
                    "gmm: A C A^H + sigma2 I of component " + std::to_string(k) +
                        " is not positive definite at sigma2 = " + std::to_string(sigma2) +
                        ": its covariance is not one");
      }
      factor.F = arma::solve(arma::trimatl(factor.L), AC_[k], arma::solve_opts::fast);
      factor.log_det = 2.0 * arma::accu(arma::log(arma::real(factor.L.diag())));
      factor.explained = std::pow(arma::norm(factor.F, "fro"), 2);
    }
    return factors;
  }

  std::shared_ptr<const ObservationOperator> A_;
  arma::vec log_weights_;
  arma::cx_mat means_, A_means_;
  std::vector<double> traces_;        ///< tr(C)
  std::vector<arma::cx_mat> AC_, S_;  ///< A C, [n_obs, n_h]; A C A^H, [n_obs, n_obs]
  LevelCache<std::vector<Factor>> factors_{2};
};

constexpr int newest_version = 1;

}  // namespace

std::unique_ptr<Estimator> make_gmm(std::shared_ptr<const ObservationOperator> A,
                                    const GaussianMixture& prior) {
  check_given("gmm", A.get());
  if (const std::string why = prior.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "gmm: " + why);
  }
  if (prior.n_h() != A->n_h()) {
    throw Error(ErrorKind::invalid_argument,
                "gmm: the prior is for n_h = " + std::to_string(prior.n_h()) + ", A for " +
                    std::to_string(A->n_h()));
  }
  return std::make_unique<Gmm>(std::move(A), prior);
}

GaussianMixture mixture_posterior(const GaussianMixture& prior, const ObservationOperator& A,
                                  const arma::cx_vec& y, double sigma2) {
  if (const std::string why = prior.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "mixture_posterior: " + why);
  }
  if (prior.n_h() != A.n_h() || y.n_elem != A.n_obs() || !(sigma2 > 0.0)) {
    throw Error(ErrorKind::invalid_argument,
                "mixture_posterior: the prior is for n_h = " + std::to_string(prior.n_h()) +
                    ", y has " + std::to_string(y.n_elem) + " rows and sigma2 is " +
                    std::to_string(sigma2) + "; expected " + std::to_string(A.n_h()) + ", " +
                    std::to_string(A.n_obs()) + " and > 0");
  }
  GaussianMixture posterior;
  posterior.weights = arma::log(prior.weights);
  posterior.means = prior.means;
  const arma::cx_mat A_means = A.apply(prior.means);
  for (arma::uword k = 0; k < prior.n_components(); ++k) {
    const arma::cx_mat C = 0.5 * (prior.covariances[k] + prior.covariances[k].t());
    const arma::cx_mat AC = A.apply(C);
    arma::cx_mat S = A.apply(arma::cx_mat(AC.t())), L;
    S.diag() += sigma2;
    if (!arma::chol(L, S, "lower")) {
      throw Error(ErrorKind::numeric,
                  "mixture_posterior: A C A^H + sigma2 I of component " + std::to_string(k) +
                      " is not positive definite at sigma2 = " + std::to_string(sigma2) +
                      ": its covariance is not one");
    }
    const arma::cx_mat F = arma::solve(arma::trimatl(L), AC, arma::solve_opts::fast);
    const arma::cx_vec d =
        arma::solve(arma::trimatl(L), arma::cx_vec(y - A_means.col(k)), arma::solve_opts::fast);
    posterior.weights(k) -=
        2.0 * arma::accu(arma::log(arma::real(L.diag()))) + arma::accu(arma::square(arma::abs(d)));
    posterior.means.col(k) += F.t() * d;
    posterior.covariances.push_back(C - F.t() * F);
  }
  posterior.weights = arma::exp(posterior.weights - posterior.weights.max());
  posterior.weights /= arma::accu(posterior.weights);
  return posterior;
}

void save(const std::filesystem::path& file, const GmmModel& model) {
  ArchiveWriter archive(file);
  write_model_header(
      archive, "gmm", newest_version,
      {model.n_rx, model.n_tx, model.channel_scale, model.training_data, model.provenance});
  save(archive, "/prior", model.prior);
  archive.commit();
}

GmmModel load_gmm_model(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  const ModelHeader header = read_model_header(archive, "gmm", newest_version);
  GmmModel model{
      header.n_rx,          header.n_tx,          load_gaussian_mixture(archive, "/prior"),
      header.channel_scale, header.training_data, header.provenance};
  if (model.prior.n_h() != model.n_rx * model.n_tx) {
    throw Error(ErrorKind::format,
                file.string() + ": the mixture is for n_h = " + std::to_string(model.prior.n_h()) +
                    ", the file says " + std::to_string(model.n_rx) + "x" +
                    std::to_string(model.n_tx) + "; fit the model again");
  }
  return model;
}

}  // namespace chest
