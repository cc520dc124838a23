#include <chest/estimators/denoiser.hpp>

#include <cmath>
#include <utility>

#include <chest/error.hpp>
#include <chest/random.hpp>

namespace chest {
namespace {

void check_denoiser_input(const char* who, arma::uword n_h, const arma::cx_mat& z, double sigma2) {
  if (z.n_rows != n_h) {
    throw Error(ErrorKind::invalid_argument, std::string(who) + ": z has " +
                                                 std::to_string(z.n_rows) +
                                                 " rows, the prior has " + std::to_string(n_h));
  }
  if (!(sigma2 >= 0.0) || !std::isfinite(sigma2)) {
    throw Error(ErrorKind::invalid_argument, std::string(who) + ": sigma2 is " +
                                                 std::to_string(sigma2) +
                                                 ", it must be finite and not negative");
  }
}

/// C = U diag(l) U^H; eigenvalues below zero by rounding are taken as zero.
void decompose(const arma::cx_mat& C, arma::vec& l, arma::cx_mat& U) {
  if (!arma::eig_sym(l, U, arma::cx_mat(0.5 * (C + C.t())))) {
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

 private:
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

 private:
  void compute(const arma::cx_mat& z, double sigma2, arma::cx_mat& out, arma::vec* mse) const {
    check_denoiser_input("Gaussian-mixture denoiser", n_h(), z, sigma2);
    if (mse) mse->zeros(z.n_cols);
    if (sigma2 == 0.0) {
      out = z;
      return;
    }
    const arma::uword n_components = log_weights_.n_elem, n_samples = z.n_cols;
    // ln(weight_k p_k(z)) up to a constant, in the eigenbasis of each component.
    arma::mat log_terms(n_components, n_samples);
    std::vector<arma::cx_mat> filtered(n_components);
    for (arma::uword k = 0; k < n_components; ++k) {
      arma::cx_mat w = z;
      w.each_col() -= means_.col(k);
      w = U_[k].t() * w;
      const arma::vec v = l_.col(k) + sigma2;
      const double constant = log_weights_(k) - arma::accu(arma::log(v));
      for (arma::uword j = 0; j < n_samples; ++j) {
        double distance = 0.0;
        for (arma::uword i = 0; i < v.n_elem; ++i) {
          distance += std::norm(w(i, j)) / v(i);
          w(i, j) *= l_(i, k) / v(i);
        }
        log_terms(k, j) = constant - distance;
      }
      filtered[k] = U_[k] * w;
      filtered[k].each_col() += means_.col(k);
    }
    out.zeros(n_h(), n_samples);
    for (arma::uword j = 0; j < n_samples; ++j) {
      arma::vec share = arma::exp(log_terms.col(j) - log_terms.col(j).max());
      share /= arma::accu(share);
      for (arma::uword k = 0; k < n_components; ++k) out.col(j) += share(k) * filtered[k].col(j);
      if (!mse) continue;
      // Variance within the components and of their means.
      for (arma::uword k = 0; k < n_components; ++k) {
        const double within = sigma2 * arma::accu(l_.col(k) / (l_.col(k) + sigma2));
        (*mse)(j) += share(k) * (within + squared_norm(filtered[k].col(j) - out.col(j)));
      }
    }
  }

  static double squared_norm(const arma::cx_vec& x) { return std::real(arma::cdot(x, x)); }

  arma::vec log_weights_;
  arma::cx_mat means_;           ///< [n_h, n_components]
  arma::mat l_;                  ///< eigenvalues, [n_h, n_components]
  std::vector<arma::cx_mat> U_;  ///< eigenvectors
};

}  // namespace

void Denoiser::denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                                  DenoiserError& error) const {
  denoise(z, sigma2, out);
  error.mse.reset();
  error.angular.reset();
}

void Denoiser::run(const std::vector<ReverseStep>& steps, arma::cx_mat& z,
                   DenoiserError* error) const {
  arma::cx_mat denoised;
  for (const ReverseStep& step : steps) {
    if (error && &step == &steps.front()) {
      denoise_with_error(z, step.sigma2, denoised, *error);
    } else {
      denoise(z, step.sigma2, denoised);
    }
    // In place: a caller's memory stays its own.
    z -= denoised;
    z *= step.keep;
    z += denoised;
  }
}

arma::cx_mat Denoiser::denoise(const arma::cx_mat& z, double sigma2) const {
  arma::cx_mat out;
  denoise(z, sigma2, out);
  return out;
}

arma::vec probed_error(const Denoiser& denoiser, const arma::cx_mat& z, double sigma2,
                       arma::uword n_probes, std::uint64_t stream, const arma::cx_mat& D) {
  if (n_probes == 0) {
    throw Error(ErrorKind::invalid_argument, "probed error: n_probes is 0; expected at least 1");
  }
  // A step well above the rounding of float32 and well below the noise.
  const double step = 0.03 * std::sqrt(sigma2);
  const arma::cx_mat at_z = D.is_empty() ? denoiser.denoise(z, sigma2) : D;
  arma::vec traces(z.n_cols, arma::fill::zeros);
  arma::cx_mat directions(arma::size(z)), moved;
  for (arma::uword i = 0; i < n_probes; ++i) {
    Rng rng(0, {Purpose::estimator, stream, i});
    for (std::complex<double>& v : directions) {
      const std::uint64_t bits = rng();
      v = {bits & 1 ? 1.0 : -1.0, bits & 2 ? 1.0 : -1.0};
    }
    denoiser.denoise(z + step * directions, sigma2, moved);
    for (arma::uword k = 0; k < z.n_cols; ++k) {
      traces(k) += std::real(arma::cdot(directions.col(k), moved.col(k) - at_z.col(k))) / step;
    }
  }
  return arma::clamp(0.5 * sigma2 / static_cast<double>(n_probes) * traces, 0.0, arma::datum::inf);
}

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
