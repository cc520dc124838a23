#include <chest/estimators/denoiser.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/covariance.hpp>
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

}  // namespace

std::unique_ptr<DenoiserLinearization> Denoiser::linearise(const arma::cx_mat&, double) const {
  throw Error(ErrorKind::invalid_argument,
              name() + " has no gradient; use a method that needs none, as ep or diffpir");
}

void Denoiser::denoise_blind(const arma::cx_mat&, arma::cx_mat&) const {
  throw Error(ErrorKind::invalid_argument,
              name() + " must be told the noise level; use a network fitted with bias-free");
}

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

}  // namespace chest
