#include <chest/gaussian_mixture.hpp>

#include <cmath>

#include <chest/covariance.hpp>
#include <chest/error.hpp>

namespace chest {

std::string GaussianMixture::why_invalid() const {
  const arma::uword n = n_components();
  if (n == 0 || n_h() == 0) return "the mixture has no components";
  if (means.n_cols != n || covariances.size() != n) {
    return "the mixture has " + std::to_string(n) + " weights, " + std::to_string(means.n_cols) +
           " means and " + std::to_string(covariances.size()) + " covariances";
  }
  if (!weights.is_finite() || weights.min() < 0.0 || std::abs(arma::accu(weights) - 1.0) > 1e-6) {
    return "the mixture's weights are not probabilities";
  }
  if (!means.is_finite()) return "the mixture's means are not finite";
  for (arma::uword k = 0; k < n; ++k) {
    const arma::cx_mat& C = covariances[k];
    if (C.n_rows != n_h() || C.n_cols != n_h()) {
      return "covariance " + std::to_string(k) + " is " + std::to_string(C.n_rows) + "x" +
             std::to_string(C.n_cols) + ", expected " + std::to_string(n_h()) + "x" +
             std::to_string(n_h());
    }
    if (!C.is_finite()) return "covariance " + std::to_string(k) + " is not finite";
  }
  return "";
}

arma::cx_mat draw(const GaussianMixture& prior, arma::uword n_samples, Rng& rng) {
  std::vector<arma::cx_mat> factors(prior.n_components());
  const arma::vec cumulative = arma::cumsum(prior.weights);
  arma::cx_mat h = rng.cx_normal(prior.n_h(), n_samples);
  for (arma::uword j = 0; j < n_samples; ++j) {
    const double u = rng.uniform();
    arma::uword k = 0;
    while (k + 1 < prior.n_components() && u >= cumulative(k)) ++k;
    if (factors[k].is_empty()) factors[k] = covariance_factor(prior.covariances[k]);
    h.col(j) = prior.means.col(k) + factors[k] * h.col(j);
  }
  return h;
}

arma::cx_mat second_moment(const GaussianMixture& prior) {
  arma::cx_mat C(prior.n_h(), prior.n_h(), arma::fill::zeros);
  for (arma::uword k = 0; k < prior.n_components(); ++k) {
    C += prior.weights(k) * (prior.covariances[k] + prior.means.col(k) * prior.means.col(k).t());
  }
  return C;
}

void save(ArchiveWriter& archive, const std::string& group, const GaussianMixture& prior) {
  archive.write(group + "/weights", arma::mat(prior.weights));
  archive.write(group + "/means", prior.means);
  const std::uint64_t n_h = prior.n_h();
  const std::uint64_t n = prior.n_components();
  archive.create<std::complex<double>>(group + "/covariances", {n, n_h, n_h});
  for (std::uint64_t k = 0; k < n; ++k) {
    const arma::cx_mat rows = prior.covariances[k].st();  // C order on disk
    archive.write_block(group + "/covariances", {{k, 0, 0}, {1, n_h, n_h}}, rows.memptr());
  }
}

GaussianMixture load_gaussian_mixture(const ArchiveReader& archive, const std::string& group) {
  GaussianMixture prior;
  prior.weights = archive.read_mat(group + "/weights").as_col();
  prior.means = archive.read_cx_mat(group + "/means");
  const std::string name = group + "/covariances";
  const StoredDataset stored = archive.info(name);
  const std::uint64_t n_h = prior.means.n_rows;
  if (stored.dims != std::vector<std::uint64_t>{prior.weights.n_elem, n_h, n_h}) {
    throw Error(ErrorKind::format, archive.file().string() + ": " + name +
                                       " does not fit the means and weights beside it");
  }
  for (std::uint64_t k = 0; k < stored.dims[0]; ++k) {
    arma::cx_mat rows(n_h, n_h, arma::fill::none);
    archive.read(name, {{k, 0, 0}, {1, n_h, n_h}}, rows.memptr());
    prior.covariances.push_back(rows.st());
  }
  if (const std::string reason = prior.why_invalid(); !reason.empty()) {
    throw Error(ErrorKind::format, archive.file().string() + ": " + group + ": " + reason);
  }
  return prior;
}

}  // namespace chest
