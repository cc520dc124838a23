#include <chest/estimators/prior/shifted.hpp>

#include <cmath>
#include <string>
#include <utility>

#include <chest/error.hpp>
#include <chest/text.hpp>

#include "checks.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// x = (h - mean) / sqrt(power) has the prior of another denoiser.
class ShiftedDenoiser final : public Denoiser {
 public:
  ShiftedDenoiser(std::shared_ptr<const Denoiser> denoiser, arma::cx_vec mean, double power)
      : denoiser_(std::move(denoiser)),
        mean_(std::move(mean)),
        power_(power),
        gain_(std::sqrt(power)) {}

  using Denoiser::denoise;

  std::string name() const override { return denoiser_->name() + " around a mean"; }
  arma::uword n_h() const override { return denoiser_->n_h(); }
  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    denoiser_->denoise(inside(z, sigma2), sigma2 / power_, out);
    outside(out);
  }
  bool predicts_error() const override { return denoiser_->predicts_error(); }
  bool predicts_angular_error() const override { return denoiser_->predicts_angular_error(); }
  void denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                          DenoiserError& error) const override {
    denoiser_->denoise_with_error(inside(z, sigma2), sigma2 / power_, out, error);
    outside(out);
    error.mse *= power_;
    error.angular *= power_;
  }
  std::optional<std::pair<double, double>> sigma2_range() const override {
    auto range = denoiser_->sigma2_range();
    if (range) range = {power_ * range->first, power_ * range->second};
    return range;
  }
  bool differentiable() const override { return denoiser_->differentiable(); }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    return std::make_unique<Linearization>(*this, z, sigma2);
  }
  bool blind() const override { return denoiser_->blind(); }
  void denoise_blind(const arma::cx_mat& z, arma::cx_mat& out) const override {
    denoiser_->denoise_blind(inside(z, 0.0), out);
    outside(out);
  }

 private:
  arma::cx_mat inside(const arma::cx_mat& z, double sigma2) const {
    check_denoiser_input("shifted denoiser", n_h(), z, sigma2);
    arma::cx_mat x = z;
    x.each_col() -= mean_;
    return x / gain_;
  }
  void outside(arma::cx_mat& x) const {
    x *= gain_;
    x.each_col() += mean_;
  }

  // The derivative is that of D_x: its argument and its value are scaled alike.
  class Linearization final : public DenoiserLinearization {
   public:
    Linearization(const ShiftedDenoiser& of, const arma::cx_mat& z, double sigma2)
        : inner_(of.denoiser_->linearise(of.inside(z, sigma2), sigma2 / of.power_)),
          D_(inner_->D()) {
      of.outside(D_);
    }
    const arma::cx_mat& D() const override { return D_; }
    void pull_back(const arma::cx_mat& w, arma::cx_mat& out) const override {
      inner_->pull_back(w, out);
    }

   private:
    std::unique_ptr<DenoiserLinearization> inner_;
    arma::cx_mat D_;
  };

  std::shared_ptr<const Denoiser> denoiser_;
  arma::cx_vec mean_;
  double power_, gain_;
};

}  // namespace

std::unique_ptr<Denoiser> make_shifted_denoiser(std::shared_ptr<const Denoiser> denoiser,
                                                const arma::cx_vec& mean, double power) {
  if (!denoiser) refuse("shifted denoiser: the denoiser is not given");
  if (mean.n_elem != denoiser->n_h() || !mean.is_finite()) {
    refuse("shifted denoiser: the mean has " + std::to_string(mean.n_elem) + " entries, expected " +
           std::to_string(denoiser->n_h()) + " finite ones");
  }
  if (!(power > 0.0 && std::isfinite(power))) {
    refuse("shifted denoiser: the power is " + number_text(power) +
           ", it must be positive and finite");
  }
  return std::make_unique<ShiftedDenoiser>(std::move(denoiser), mean, power);
}

}  // namespace v0
}  // namespace chest
