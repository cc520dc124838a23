#include <chest/estimators/mixture/gmm.hpp>

#include <cmath>
#include <optional>
#include <utility>

#include <chest/archive.hpp>
#include <chest/error.hpp>

#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/mixture/components.hpp>
#include <chest/estimators/common/level_cache.hpp>
#include <chest/estimators/common/model_file.hpp>

namespace chest {
namespace {

// Components that count less than this leave no trace in double precision.
constexpr double negligible_share = 1e-17;

class Gmm final : public Estimator {
 public:
  Gmm(std::shared_ptr<const ObservationOperator> A, const GaussianMixture& prior)
      : A_(std::move(A)),
        gram_scale_(A_->gram_scale()),
        log_weights_(arma::log(prior.weights)),
        centre_(prior.means * prior.weights) {
    // A^+ y = h + n' says all that y says of h: A = I with noise of variance sigma2 / c.
    components_ = make_gmm_components(gram_scale_ ? nullptr : A_, prior);
  }

  using Estimator::estimate;

  std::string name() const override { return "gmm"; }

  void estimate(const Observation& observation, Estimate& out) const override {
    check_observation("gmm", *A_, observation);
    if (observation.y.n_cols == 0) {  // a row of a matrix without columns refers to no memory
      out.h.set_size(A_->n_h(), 0);
      out.mse.reset();
      out.nfe = 0;
      return;
    }
    const double sigma2 = gram_scale_ ? observation.sigma2 / *gram_scale_ : observation.sigma2;
    const auto prepared = levels_.at(sigma2, [&] {
      Prepared made{components_->at(sigma2, 1), {}};
      made.errors = made.level->errors();
      return made;
    });
    const arma::cx_mat y =
        components_->observations(gram_scale_ ? A_->pseudo_inverse(observation.y) : observation.y);

    // shares(k, j): ln of weight times likelihood, then the responsibility.
    arma::mat shares = prepared->level->log_densities(y);
    shares.each_col() += log_weights_;
    for (arma::uword j = 0; j < shares.n_cols; ++j) {
      shares.col(j) = arma::exp(shares.col(j) - shares.col(j).max());
      shares.col(j) /= arma::accu(shares.col(j));
    }

    // Posterior mean and covariance trace; the spread between components in the form
    // sum r |h_k - h_hat|^2 = sum r |h_k|^2 - |h_hat|^2, with h_k relative to the prior's mean.
    out.h.zeros(A_->n_h(), y.n_cols);
    out.mse.zeros(y.n_cols);
    for (arma::uword k = 0; k < shares.n_rows; ++k) {
      const arma::uvec members = arma::find(shares.row(k) > negligible_share);
      if (members.is_empty()) continue;
      arma::cx_mat h = prepared->level->conditional_means(k, y.cols(members));
      h.each_col() -= centre_;
      for (arma::uword i = 0; i < members.n_elem; ++i) {
        const double share = shares(k, members(i));
        out.h.col(members(i)) += share * h.col(i);
        out.mse(members(i)) += share * (prepared->errors(k) + power(h, i));
      }
    }
    for (arma::uword j = 0; j < y.n_cols; ++j) out.mse(j) -= power(out.h, j);
    out.h.each_col() += centre_;
    components_->to_channels(out.h);
    out.nfe = 0;
  }

 private:
  struct Prepared {
    std::unique_ptr<GmmLevel> level;
    arma::vec errors;
  };

  static double power(const arma::cx_mat& h, arma::uword j) {
    double sum = 0.0;
    for (const arma::cx_double& value : h.col(j)) sum += std::norm(value);
    return sum;
  }

  std::shared_ptr<const ObservationOperator> A_;
  std::optional<double> gram_scale_;
  arma::vec log_weights_;
  arma::cx_vec centre_;  ///< mean of the prior; where it is not zero, a basis of the antennas
  std::unique_ptr<GmmComponents> components_;
  LevelCache<Prepared> levels_{2};
};

constexpr int newest_version = 2;

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
    const arma::cx_mat C = prior.covariance(k);
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
  write_model_header(archive, "gmm", newest_version, header_of(model));
  archive.attribute("/", "n_samples", static_cast<std::int64_t>(model.n_samples));
  if (!model.log_likelihoods.is_empty()) {
    archive.write("/log_likelihoods", arma::mat(model.log_likelihoods));
  }
  save(archive, "/prior", model.prior);
  archive.commit();
}

GmmModel load_gmm_model(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  const ModelHeader header = read_model_header(archive, "gmm", newest_version);
  GmmModel model{
      header.n_rx,          header.n_tx,          load_gaussian_mixture(archive, "/prior"),
      header.channel_scale, header.training_data, header.provenance};
  model.n_samples =
      static_cast<arma::uword>(archive.integer_attribute("/", "n_samples").value_or(0));
  if (archive.has("/log_likelihoods")) {
    model.log_likelihoods = archive.read_mat("/log_likelihoods").as_col();
  }
  if (model.prior.n_h() != model.n_rx * model.n_tx) {
    throw Error(ErrorKind::format,
                file.string() + ": the mixture is for n_h = " + std::to_string(model.prior.n_h()) +
                    ", the file says " + std::to_string(model.n_rx) + "x" +
                    std::to_string(model.n_tx) + "; fit the model again");
  }
  return model;
}

}  // namespace chest
