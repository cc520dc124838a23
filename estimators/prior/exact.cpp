#include <chest/estimators/prior/exact.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/error.hpp>

#include "checks.hpp"

namespace chest {
namespace {

/// C = U diag(l) U^H; eigenvalues below zero by rounding are taken as zero.
void decompose(const arma::cx_mat& C, arma::vec& l, arma::cx_mat& U) {
  if (!hermitian_eigen(l, U, arma::cx_mat(0.5 * (C + C.t())))) {
    throw Error(ErrorKind::numeric, "denoiser: the eigendecomposition of a covariance failed");
  }
  l.transform([](double value) { return value > 0.0 ? value : 0.0; });
}

class GaussianDenoiser final : public Denoiser {
 public:
  explicit GaussianDenoiser(const arma::cx_mat& C) { decompose(C, l_, U_); }

  using Denoiser::denoise;

  std::string name() const override { return "Gaussian prior"; }
  arma::uword n_h() const override { return l_.n_elem; }

  bool predicts_error() const override { return true; }

  void denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                          DenoiserError& error) const override {
    denoise(z, sigma2, out);
    error.mse.set_size(z.n_cols);
    error.mse.fill(sigma2 == 0.0 ? 0.0 : sigma2 * arma::accu(l_ / (l_ + sigma2)));
    error.angular.reset();
  }

  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    check_denoiser_input("Gaussian denoiser", n_h(), z, sigma2);
    if (sigma2 == 0.0) {
      out = z;
      return;
    }
    arma::cx_mat w = U_.t() * z;
    w.each_col() %= arma::conv_to<arma::cx_vec>::from(l_ / (l_ + sigma2));
    out = U_ * w;
  }

  bool differentiable() const override { return true; }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    return std::make_unique<Linearization>(*this, z, sigma2);
  }

 private:
  // D is linear and Hermitian: its derivative is itself.
  class Linearization final : public DenoiserLinearization {
   public:
    Linearization(const GaussianDenoiser& of, const arma::cx_mat& z, double sigma2)
        : of_(of), sigma2_(sigma2), D_(of.Denoiser::denoise(z, sigma2)) {}
    const arma::cx_mat& D() const override { return D_; }
    void pull_back(const arma::cx_mat& w, arma::cx_mat& out) const override {
      of_.denoise(w, sigma2_, out);
    }

   private:
    const GaussianDenoiser& of_;
    double sigma2_;
    arma::cx_mat D_;
  };

  arma::vec l_;
  arma::cx_mat U_;
};

class GaussianMixtureDenoiser final : public Denoiser {
 public:
  explicit GaussianMixtureDenoiser(const GaussianMixture& prior)
      : log_weights_(arma::log(prior.weights)), means_(prior.means) {
    const arma::uword n_components = prior.n_components();
    l_.set_size(prior.n_h(), n_components);
    U_.resize(n_components);
    for (arma::uword k = 0; k < n_components; ++k) {
      arma::vec l;
      decompose(prior.covariance(k), l, U_[k]);
      l_.col(k) = l;
    }
  }

  using Denoiser::denoise;

  std::string name() const override { return "Gaussian mixture prior"; }
  arma::uword n_h() const override { return means_.n_rows; }

  bool predicts_error() const override { return true; }

  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    compute(z, sigma2, out, nullptr);
  }

  void denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                          DenoiserError& error) const override {
    error.angular.reset();
    compute(z, sigma2, out, &error.mse);
  }

  bool differentiable() const override { return true; }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    return std::make_unique<Linearization>(*this, z, sigma2);
  }

  bool blind() const override { return true; }
  void denoise_blind(const arma::cx_mat& z, arma::cx_mat& out) const override {
    check_denoiser_input("Gaussian-mixture denoiser", n_h(), z, 0.0);
    const arma::vec levels = arma::logspace(std::log10(4.0), -6.0, 24);
    std::vector<arma::cx_mat> D(levels.n_elem);
    arma::mat shares(levels.n_elem, z.n_cols);
    for (arma::uword i = 0; i < levels.n_elem; ++i) {
      const Posterior posterior = condition(z, levels(i));
      D[i] = posterior.mean();
      shares.row(i) = posterior.log_density;
    }
    normalise_log_weights(shares);
    out.zeros(n_h(), z.n_cols);
    for (arma::uword i = 0; i < levels.n_elem; ++i) {
      D[i].each_row() %= arma::conv_to<arma::cx_rowvec>::from(shares.row(i));
      out += D[i];
    }
  }

 private:
  /// h given z: what each component says, and how likely it is.
  struct Posterior {
    arma::mat shares;                 ///< [n_components, n_samples]
    std::vector<arma::cx_mat> means;  ///< of each component, [n_h, n_samples]
    arma::rowvec log_density;         ///< ln p(z) up to a constant

    arma::cx_mat mean() const {
      arma::cx_mat D(arma::size(means.front()), arma::fill::zeros);
      add(means, D);
      return D;
    }
    /// out += sum_k share_k terms_k.
    void add(const std::vector<arma::cx_mat>& terms, arma::cx_mat& out) const {
      for (std::size_t k = 0; k < terms.size(); ++k) {
        for (arma::uword j = 0; j < out.n_cols; ++j) {
          out.col(j) += shares(k, j) * terms[k].col(j);
        }
      }
    }
  };

  /// Columns of logarithms to columns of probabilities; the logarithm of their sums.
  static arma::rowvec normalise_log_weights(arma::mat& columns) {
    const arma::rowvec most = arma::max(columns, 0);
    columns.each_row() -= most;
    columns = arma::exp(columns);
    const arma::rowvec sums = arma::sum(columns, 0);
    columns.each_row() /= sums;
    return most + arma::log(sums);
  }

  /// C_k (C_k + sigma2 I)^-1 x.
  arma::cx_mat filter(arma::uword k, double sigma2, const arma::cx_mat& x) const {
    arma::cx_mat w = U_[k].t() * x;
    w.each_col() %= arma::conv_to<arma::cx_vec>::from(l_.col(k) / (l_.col(k) + sigma2));
    return U_[k] * w;
  }

  Posterior condition(const arma::cx_mat& z, double sigma2) const {
    const arma::uword n_components = log_weights_.n_elem;
    Posterior posterior;
    posterior.shares.set_size(n_components, z.n_cols);
    posterior.means.resize(n_components);
    for (arma::uword k = 0; k < n_components; ++k) {
      arma::cx_mat w = z;
      w.each_col() -= means_.col(k);
      w = U_[k].t() * w;
      const arma::vec v = l_.col(k) + sigma2;
      const double constant = log_weights_(k) - arma::accu(arma::log(v));
      for (arma::uword j = 0; j < z.n_cols; ++j) {
        double distance = 0.0;
        for (arma::uword i = 0; i < v.n_elem; ++i) {
          distance += std::norm(w(i, j)) / v(i);
          w(i, j) *= l_(i, k) / v(i);
        }
        posterior.shares(k, j) = constant - distance;
      }
      posterior.means[k] = U_[k] * w;
      posterior.means[k].each_col() += means_.col(k);
    }
    posterior.log_density = normalise_log_weights(posterior.shares);
    return posterior;
  }

  void compute(const arma::cx_mat& z, double sigma2, arma::cx_mat& out, arma::vec* mse) const {
    check_denoiser_input("Gaussian-mixture denoiser", n_h(), z, sigma2);
    if (mse) mse->zeros(z.n_cols);
    if (sigma2 == 0.0) {
      out = z;
      return;
    }
    const Posterior posterior = condition(z, sigma2);
    out = posterior.mean();
    if (!mse) return;
    // Variance within the components and of their means.
    for (arma::uword k = 0; k < log_weights_.n_elem; ++k) {
      const double within = sigma2 * arma::accu(l_.col(k) / (l_.col(k) + sigma2));
      for (arma::uword j = 0; j < z.n_cols; ++j) {
        (*mse)(j) += posterior.shares(k, j) *
                     (within + squared_norm(posterior.means[k].col(j) - out.col(j)));
      }
    }
  }

  // sigma2 (J^H w + K^T conj(w)) = Cov w + Pcov conj(w): within the components, and of their means.
  class Linearization final : public DenoiserLinearization {
   public:
    Linearization(const GaussianMixtureDenoiser& of, const arma::cx_mat& z, double sigma2)
        : of_(of), sigma2_(sigma2) {
      check_denoiser_input("Gaussian-mixture denoiser", of.n_h(), z, sigma2);
      if (!(sigma2 > 0.0)) {
        throw Error(ErrorKind::invalid_argument,
                    "Gaussian-mixture denoiser: linearised at sigma2 = 0, expected more");
      }
      posterior_ = of.condition(z, sigma2);
      D_ = posterior_.mean();
    }
    const arma::cx_mat& D() const override { return D_; }
    void pull_back(const arma::cx_mat& w, arma::cx_mat& out) const override {
      out.zeros(arma::size(D_));
      for (std::size_t k = 0; k < posterior_.means.size(); ++k) {
        const arma::cx_mat filtered = of_.filter(k, sigma2_, w);
        for (arma::uword j = 0; j < w.n_cols; ++j) {
          const auto mean = posterior_.means[k].col(j);
          const double along = 2.0 * std::real(arma::cdot(mean, w.col(j))) / sigma2_;
          out.col(j) += posterior_.shares(k, j) * (filtered.col(j) + along * mean);
        }
      }
      for (arma::uword j = 0; j < w.n_cols; ++j) {
        out.col(j) -= (2.0 * std::real(arma::cdot(D_.col(j), w.col(j))) / sigma2_) * D_.col(j);
      }
    }

   private:
    const GaussianMixtureDenoiser& of_;
    double sigma2_;
    Posterior posterior_;
    arma::cx_mat D_;
  };

  static double squared_norm(const arma::cx_vec& x) { return std::real(arma::cdot(x, x)); }

  arma::vec log_weights_;
  arma::cx_mat means_;           ///< [n_h, n_components]
  arma::mat l_;                  ///< eigenvalues, [n_h, n_components]
  std::vector<arma::cx_mat> U_;  ///< eigenvectors
};

}  // namespace

std::unique_ptr<Denoiser> make_gaussian_denoiser(const arma::cx_mat& C) {
  if (!C.is_square() || C.is_empty()) {
    throw Error(ErrorKind::invalid_argument, "Gaussian denoiser: C is " + std::to_string(C.n_rows) +
                                                 "x" + std::to_string(C.n_cols) +
                                                 ", it must be square");
  }
  return std::make_unique<GaussianDenoiser>(C);
}

std::unique_ptr<Denoiser> make_gaussian_mixture_denoiser(const GaussianMixture& prior) {
  if (const std::string why = prior.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "Gaussian-mixture denoiser: " + why);
  }
  return std::make_unique<GaussianMixtureDenoiser>(prior);
}

}  // namespace chest
