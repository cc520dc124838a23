#include <chest/estimators/prior/compositions.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include <chest/error.hpp>
#include <chest/estimators/prior/denoiser.hpp>

#include "checks.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// Rows of x that belong to each part of a product.
class ProductDenoiser final : public Denoiser {
 public:
  explicit ProductDenoiser(std::vector<std::shared_ptr<const Denoiser>> parts)
      : parts_(std::move(parts)) {
    for (const auto& part : parts_) n_h_ += part->n_h();
  }

  using Denoiser::denoise;

  std::string name() const override {
    std::string text;
    for (const auto& part : parts_) text += (text.empty() ? "" : " beside ") + part->name();
    return text;
  }
  arma::uword n_h() const override { return n_h_; }
  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    check_denoiser_input("product denoiser", n_h_, z, sigma2);
    out.set_size(n_h_, z.n_cols);
    each([&](const Denoiser& part, const arma::span& rows) {
      out.rows(rows.a, rows.b) = part.denoise(z.rows(rows.a, rows.b), sigma2);
    });
  }
  bool differentiable() const override {
    bool all = true;
    for (const auto& part : parts_) all = all && part->differentiable();
    return all;
  }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    check_denoiser_input("product denoiser", n_h_, z, sigma2);
    return std::make_unique<Linearization>(*this, z, sigma2);
  }
  std::optional<std::pair<double, double>> sigma2_range() const override {
    std::optional<std::pair<double, double>> range;
    for (const auto& part : parts_) {
      const auto one = part->sigma2_range();
      if (!one) continue;
      range = range ? std::pair(std::max(range->first, one->first),
                                std::min(range->second, one->second))
                    : *one;
    }
    return range;
  }

 private:
  template <class Visit>
  void each(Visit&& visit) const {
    arma::uword first = 0;
    for (const auto& part : parts_) {
      visit(*part, arma::span(first, first + part->n_h() - 1));
      first += part->n_h();
    }
  }

  class Linearization final : public DenoiserLinearization {
   public:
    Linearization(const ProductDenoiser& of, const arma::cx_mat& z, double sigma2)
        : of_(of), D_(arma::size(z)) {
      of.each([&](const Denoiser& part, const arma::span& rows) {
        parts_.push_back(part.linearise(z.rows(rows.a, rows.b), sigma2));
        D_.rows(rows.a, rows.b) = parts_.back()->D();
      });
    }
    const arma::cx_mat& D() const override { return D_; }
    void pull_back(const arma::cx_mat& w, arma::cx_mat& out) const override {
      out.set_size(arma::size(D_));
      arma::cx_mat of_part;
      std::size_t i = 0;
      of_.each([&](const Denoiser&, const arma::span& rows) {
        parts_[i++]->pull_back(w.rows(rows.a, rows.b), of_part);
        out.rows(rows.a, rows.b) = of_part;
      });
    }

   private:
    const ProductDenoiser& of_;
    std::vector<std::unique_ptr<DenoiserLinearization>> parts_;
    arma::cx_mat D_;
  };

  std::vector<std::shared_ptr<const Denoiser>> parts_;
  arma::uword n_h_ = 0;
};

class SliceDenoiser final : public Denoiser {
 public:
  SliceDenoiser(std::shared_ptr<const Denoiser> denoiser, arma::uword n_slices)
      : denoiser_(std::move(denoiser)), n_slices_(n_slices) {}

  using Denoiser::denoise;

  std::string name() const override {
    return denoiser_->name() + " for each of " + std::to_string(n_slices_) + " slices";
  }
  arma::uword n_h() const override { return n_slices_ * denoiser_->n_h(); }
  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    check_denoiser_input("slice denoiser", n_h(), z, sigma2);
    denoiser_->denoise(apart(z), sigma2, out);
    out.reshape(n_h(), z.n_cols);
  }
  bool differentiable() const override { return denoiser_->differentiable(); }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    check_denoiser_input("slice denoiser", n_h(), z, sigma2);
    return std::make_unique<Linearization>(*this, z, sigma2);
  }
  std::optional<std::pair<double, double>> sigma2_range() const override {
    return denoiser_->sigma2_range();
  }

 private:
  /// The slices of all columns as columns: the same numbers in the same order.
  arma::cx_mat apart(const arma::cx_mat& x) const {
    return arma::reshape(x, denoiser_->n_h(), n_slices_ * x.n_cols);
  }

  class Linearization final : public DenoiserLinearization {
   public:
    Linearization(const SliceDenoiser& of, const arma::cx_mat& z, double sigma2)
        : of_(of),
          slices_(of.denoiser_->linearise(of.apart(z), sigma2)),
          D_(arma::reshape(slices_->D(), of.n_h(), z.n_cols)) {}
    const arma::cx_mat& D() const override { return D_; }
    void pull_back(const arma::cx_mat& w, arma::cx_mat& out) const override {
      slices_->pull_back(of_.apart(w), out);
      out.reshape(of_.n_h(), w.n_cols);
    }

   private:
    const SliceDenoiser& of_;
    std::unique_ptr<DenoiserLinearization> slices_;
    arma::cx_mat D_;
  };

  std::shared_ptr<const Denoiser> denoiser_;
  arma::uword n_slices_;
};

class GuidedDenoiser final : public Denoiser {
 public:
  GuidedDenoiser(std::shared_ptr<const Denoiser> D, std::shared_ptr<const Denoiser> without,
                 double weight)
      : D_(std::move(D)), without_(std::move(without)), weight_(weight) {}

  using Denoiser::denoise;

  std::string name() const override { return D_->name() + " with guidance"; }
  arma::uword n_h() const override { return D_->n_h(); }
  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    D_->denoise(z, sigma2, out);
    guide(z, sigma2, out);
  }
  void denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                          DenoiserError& error) const override {
    D_->denoise_with_error(z, sigma2, out, error);
    guide(z, sigma2, out);
  }
  bool predicts_error() const override { return D_->predicts_error(); }
  bool predicts_angular_error() const override { return D_->predicts_angular_error(); }
  std::optional<std::pair<double, double>> sigma2_range() const override {
    return D_->sigma2_range();
  }
  bool differentiable() const override {
    return D_->differentiable() && without_->differentiable();
  }
  std::unique_ptr<DenoiserLinearization> linearise(const arma::cx_mat& z,
                                                   double sigma2) const override {
    return std::make_unique<Linearization>(D_->linearise(z, sigma2), without_->linearise(z, sigma2),
                                           weight_);
  }

 private:
  class Linearization final : public DenoiserLinearization {
   public:
    Linearization(std::unique_ptr<DenoiserLinearization> with,
                  std::unique_ptr<DenoiserLinearization> without, double weight)
        : with_(std::move(with)), without_(std::move(without)), weight_(weight) {
      D_ = (1.0 + weight) * with_->D() - weight * without_->D();
    }
    const arma::cx_mat& D() const override { return D_; }
    void pull_back(const arma::cx_mat& w, arma::cx_mat& out) const override {
      arma::cx_mat of_without;
      with_->pull_back(w, out);
      without_->pull_back(w, of_without);
      out = (1.0 + weight_) * out - weight_ * of_without;
    }

   private:
    std::unique_ptr<DenoiserLinearization> with_, without_;
    double weight_;
    arma::cx_mat D_;
  };

  void guide(const arma::cx_mat& z, double sigma2, arma::cx_mat& D) const {
    if (weight_ == 0.0) return;
    D = (1.0 + weight_) * D - weight_ * without_->denoise(z, sigma2);
  }

  std::shared_ptr<const Denoiser> D_, without_;
  double weight_;
};

}  // namespace

std::unique_ptr<Denoiser> make_product_denoiser(
    std::vector<std::shared_ptr<const Denoiser>> parts) {
  if (parts.empty()) {
    throw Error(ErrorKind::invalid_argument, "product denoiser: there are no parts");
  }
  for (const auto& part : parts) {
    if (!part) throw Error(ErrorKind::invalid_argument, "product denoiser: a part is not given");
  }
  return std::make_unique<ProductDenoiser>(std::move(parts));
}

std::unique_ptr<Denoiser> make_slice_denoiser(std::shared_ptr<const Denoiser> denoiser,
                                              arma::uword n_slices) {
  if (!denoiser) {
    throw Error(ErrorKind::invalid_argument, "slice denoiser: the denoiser is not given");
  }
  if (n_slices == 0) {
    throw Error(ErrorKind::invalid_argument, "slice denoiser: n_slices is 0, expected at least 1");
  }
  return std::make_unique<SliceDenoiser>(std::move(denoiser), n_slices);
}

std::unique_ptr<Denoiser> make_guided_denoiser(std::shared_ptr<const Denoiser> D,
                                               std::shared_ptr<const Denoiser> without,
                                               double weight) {
  if (!D || !without || D->n_h() != without->n_h() || !std::isfinite(weight)) {
    throw Error(ErrorKind::invalid_argument,
                "guided denoiser: expected two denoisers of one size and a finite weight");
  }
  return std::make_unique<GuidedDenoiser>(std::move(D), std::move(without), weight);
}

}  // namespace v0
}  // namespace chest
