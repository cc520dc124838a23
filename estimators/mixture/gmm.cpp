#include <chest/estimators/mixture/gmm.hpp>

#include <cmath>
#include <optional>
#include <utility>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>

#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/common/level_cache.hpp>
#include <chest/estimators/common/model_file.hpp>
#include <chest/estimators/mixture/components.hpp>
#include <chest/estimators/mixture/conditional_mean.hpp>

namespace chest {
inline namespace v0 {
namespace {

class Gmm final : public Estimator {
 public:
  Gmm(std::shared_ptr<const ObservationOperator> A, const GaussianMixture& prior)
      : A_(std::move(A)), gram_scale_(A_->gram_scale()), log_weights_(arma::log(prior.weights)) {
    // A^+ y = h + n' says all that y says of h: A = I with noise of variance sigma2 / c.
    components_ = make_gmm_components(gram_scale_ ? nullptr : A_, prior);
  }

  std::string name() const override { return "gmm"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const double sigma2 = gram_scale_ ? observation.sigma2 / *gram_scale_ : observation.sigma2;
    const auto prepared = levels_.at(sigma2, [&] {
      Prepared made{components_->at(sigma2, 1), {}};
      made.errors = made.level->errors();
      return made;
    });
    const arma::cx_mat y =
        components_->observations(gram_scale_ ? A_->pseudo_inverse(observation.y) : observation.y);
    conditional_mean(*prepared->level, log_weights_, y, prepared->errors, out.h, out.mse);
    components_->to_channels(out.h);
  }

  struct Prepared {
    std::unique_ptr<GmmLevel> level;
    arma::vec errors;
  };

  std::shared_ptr<const ObservationOperator> A_;
  std::optional<double> gram_scale_;
  arma::vec log_weights_;
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
    posterior.weights(k) -= 2.0 * arma::accu(arma::log(arma::real(L.diag()))) + squared_norm(d);
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
      header.channel_scale, header.training_data, header.provenance,
      header.grid};
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

}  // namespace v0
}  // namespace chest
