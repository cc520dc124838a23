#include <chest/estimators/prior/exact.hpp>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/mixture/components.hpp>
#include <chest/estimators/mixture/conditional_mean.hpp>
#include <chest/estimators/prior/denoiser.hpp>

#include "checks.hpp"

namespace chest {
inline namespace v0 {
namespace {

class GaussianDenoiser final : public Denoiser {
 public:
  explicit GaussianDenoiser(const arma::cx_mat& C) {
    hermitian_eigen(C, l_, U_);
    l_.clamp(0.0, arma::datum::inf);  // those below zero by rounding
  }

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

// The conditional mean of `gmm` where A = I.
class GaussianMixtureDenoiser final : public Denoiser {
 public:
  explicit GaussianMixtureDenoiser(const GaussianMixture& prior)
      : n_h_(prior.n_h()),
        log_weights_(arma::log(prior.weights)),
        components_(make_gmm_components(nullptr, prior)) {}

  using Denoiser::denoise;

  std::string name() const override { return "Gaussian mixture prior"; }
  arma::uword n_h() const override { return n_h_; }

  bool predicts_error() const override { return true; }

  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    arma::vec no_mse;
    compute(z, sigma2, false, out, no_mse);
  }

  void denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                          DenoiserError& error) const override {
    error.angular.reset();
    compute(z, sigma2, true, out, error.mse);
  }

  bool differentiable() const override { return true; }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    return std::make_unique<Linearization>(*this, z, sigma2);
  }

  bool blind() const override { return true; }
  void denoise_blind(const arma::cx_mat& z, arma::cx_mat& out) const override {
    check_denoiser_input(who, n_h(), z, 0.0);
    const arma::cx_mat y = components_->observations(z);
    out.zeros(n_h(), z.n_cols);
    // The mean over the levels so far, and ln of the sum of their densities.
    arma::rowvec log_sums(z.n_cols);
    log_sums.fill(-arma::datum::inf);
    arma::cx_mat D;
    arma::vec no_mse;
    for (const double sigma2 : arma::logspace(std::log10(4.0), -6.0, 24)) {
      arma::mat shares = arma::join_cols(
          log_sums, conditional_mean(*components_->at(sigma2, 1), log_weights_, y, {}, D, no_mse));
      log_sums = normalise_log_weights(shares);
      for (arma::uword j = 0; j < z.n_cols; ++j) {
        out.col(j) += shares(1, j) * (D.col(j) - out.col(j));
      }
    }
    components_->to_channels(out);
  }

 private:
  static constexpr const char* who = "Gaussian-mixture denoiser";

  void compute(const arma::cx_mat& z, double sigma2, bool with_mse, arma::cx_mat& out,
               arma::vec& mse) const {
    check_denoiser_input(who, n_h(), z, sigma2);
    if (sigma2 == 0.0) {
      out = z;
      mse.zeros(z.n_cols);
      return;
    }
    const auto level = components_->at(sigma2, 1);
    conditional_mean(*level, log_weights_, components_->observations(z),
                     with_mse ? level->errors() : arma::vec(), out, mse);
    components_->to_channels(out);
  }

  // sigma2 (J^H w + K^T conj(w)) = Cov w + Pcov conj(w): within the components, and of their means.
  class Linearization final : public DenoiserLinearization {
   public:
    Linearization(const GaussianMixtureDenoiser& of, const arma::cx_mat& z, double sigma2)
        : components_(*of.components_), sigma2_(sigma2) {
      check_denoiser_input(who, of.n_h(), z, sigma2);
      if (!(sigma2 > 0.0)) {
        throw Error(ErrorKind::invalid_argument,
                    std::string(who) + ": linearised at sigma2 = 0, expected more");
      }
      level_ = components_.at(sigma2, 1);
      const arma::cx_mat y = components_.observations(z);
      shares_ = responsibilities(*level_, of.log_weights_, y).shares;
      D_.zeros(arma::size(z));
      for_members(*level_, shares_, y,
                  [&](arma::uword k, const arma::uvec& columns, arma::cx_mat h) {
                    for (arma::uword i = 0; i < columns.n_elem; ++i) {
                      D_.col(columns(i)) += shares_(k, columns(i)) * h.col(i);
                    }
                    members_.push_back({k, columns, std::move(h)});
                  });
      for (Members& of_k : members_) of_k.offsets -= D_.cols(of_k.columns);
      components_.to_channels(D_);
    }
    const arma::cx_mat& D() const override { return D_; }
    void pull_back(const arma::cx_mat& w, arma::cx_mat& out) const override {
      const arma::cx_mat x = components_.observations(w);
      out.zeros(arma::size(D_));
      for (const auto& [k, columns, offsets] : members_) {
        const arma::cx_mat x_of_k = x.cols(columns), filtered = level_->filter(k, x_of_k);
        for (arma::uword i = 0; i < columns.n_elem; ++i) {
          const double along = 2.0 * std::real(arma::cdot(offsets.col(i), x_of_k.col(i))) / sigma2_;
          out.col(columns(i)) +=
              shares_(k, columns(i)) * (filtered.col(i) + along * offsets.col(i));
        }
      }
      components_.to_channels(out);
    }

   private:
    /// The columns that component k has a share in, and h_k - D of each.
    struct Members {
      arma::uword k;
      arma::uvec columns;
      arma::cx_mat offsets;
    };

    const GmmComponents& components_;
    double sigma2_;
    std::unique_ptr<GmmLevel> level_;
    arma::mat shares_;
    std::vector<Members> members_;
    arma::cx_mat D_;
  };

  arma::uword n_h_;
  arma::vec log_weights_;
  std::unique_ptr<GmmComponents> components_;
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

}  // namespace v0
}  // namespace chest
