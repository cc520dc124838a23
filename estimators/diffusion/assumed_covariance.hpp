#pragma once

#include <armadillo>
#include <memory>
#include <utility>

#include <chest/angular.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/proper_derivative.hpp>

namespace chest {
inline namespace v0 {

/// Sigma at one state, and what it takes to solve with it.
class Covariance {
 public:
  virtual ~Covariance() = default;
  /// r2 when Sigma = r2 I; negative otherwise.
  virtual double isotropic() const { return -1.0; }
  /// Sigma w; real-linear.
  virtual arma::cx_mat times(const arma::cx_mat& w) const = 0;
};

class IsotropicCovariance final : public Covariance {
 public:
  explicit IsotropicCovariance(double r2) : r2_(r2) {}
  double isotropic() const override { return r2_; }
  arma::cx_mat times(const arma::cx_mat& w) const override { return r2_ * w; }

 private:
  double r2_;
};

class AngularCovariance final : public Covariance {
 public:
  /// @param v  one column for all samples, or one each
  AngularCovariance(const AngularTransform& transform, arma::mat v)
      : transform_(transform), v_(std::move(v)) {}
  arma::cx_mat times(const arma::cx_mat& w) const override {
    arma::cx_mat angular = transform_.forward(w);
    for (arma::uword k = 0; k < w.n_cols; ++k) {
      const auto v = v_.col(v_.n_cols == 1 ? 0 : k);
      angular.col(k) %= arma::conv_to<arma::cx_vec>::from(v);
    }
    return transform_.inverse(angular);
  }

 private:
  const AngularTransform& transform_;
  arma::mat v_;
};

class SpatialCovariance final : public Covariance {
 public:
  explicit SpatialCovariance(const arma::vec& v) : v_(arma::conv_to<arma::cx_vec>::from(v)) {}
  arma::cx_mat times(const arma::cx_mat& w) const override { return w.each_col() % v_; }

 private:
  arma::cx_vec v_;
};

class FullCovariance final : public Covariance {
 public:
  explicit FullCovariance(arma::cx_mat S) : S_(std::move(S)) {}
  arma::cx_mat times(const arma::cx_mat& w) const override { return S_ * w; }

 private:
  arma::cx_mat S_;
};

class TweedieCovariance final : public Covariance {
 public:
  TweedieCovariance(const DenoiserLinearization& at, double tau2, bool proper, arma::uword& n_calls)
      : at_(at), tau2_(tau2), proper_(proper), n_calls_(n_calls) {}
  arma::cx_mat times(const arma::cx_mat& w) const override {
    arma::cx_mat g;
    if (proper_) {
      g = proper_pull_back(at_, w);
    } else {
      at_.pull_back(w, g);
    }
    n_calls_ += proper_ ? 2 : 1;
    return tau2_ * g;
  }

 private:
  const DenoiserLinearization& at_;
  double tau2_;
  bool proper_;
  arma::uword& n_calls_;
};

}  // namespace v0
}  // namespace chest
