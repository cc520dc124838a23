#pragma once

#include <armadillo>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/prior/denoiser.hpp>

namespace chest {
inline namespace v0 {

/// What denoisers of a network have in common, whatever they run on: all of Denoiser follows from run_beside().
class NetworkDenoiserBase : public Denoiser {
 public:
  using Denoiser::denoise;

  std::string name() const override { return "network"; }
  arma::uword n_h() const override { return n_h_; }

  std::optional<std::pair<double, double>> sigma2_range() const override { return sigma2_range_; }

  void denoise(const arma::cx_mat& z, double sigma2, arma::cx_mat& out) const override {
    out = z;
    run({{sigma2, 0.0}}, out);
  }
  void denoise_with_error(const arma::cx_mat& z, double sigma2, arma::cx_mat& out,
                          DenoiserError& error) const override {
    out = z;
    run({{sigma2, 0.0}}, out, &error);
  }
  void run(const std::vector<ReverseStep>& steps, arma::cx_mat& z,
           DenoiserError* error = nullptr) const override {
    for (const ReverseStep& step : steps) check_input(z, step.sigma2);
    if (!steps.empty()) run_beside(steps, nullptr, z, error);
  }
  bool takes_side() const override { return config_.side; }
  void denoise_beside(const arma::cx_mat& z, const arma::cx_mat& side, double sigma2,
                      arma::cx_mat& out, DenoiserError& error) const override {
    if (!takes_side()) return Denoiser::denoise_beside(z, side, sigma2, out, error);
    check_input(z, sigma2);
    if (arma::size(side) != arma::size(z)) {
      throw Error(ErrorKind::invalid_argument,
                  "network denoiser: side is " + std::to_string(side.n_rows) + "x" +
                      std::to_string(side.n_cols) + ", z is " + std::to_string(z.n_rows) + "x" +
                      std::to_string(z.n_cols));
    }
    out = z;
    run_beside({{sigma2, 0.0}}, &side, out, &error);
  }
  bool predicts_error() const override { return config_.variance; }
  bool predicts_angular_error() const override { return config_.variance; }

  /// A network without additive constants scales with its input: no level has to be told.
  bool blind() const override { return config_.bias_free; }
  void denoise_blind(const arma::cx_mat& z, arma::cx_mat& out) const override {
    if (!blind()) return Denoiser::denoise_blind(z, out);
    denoise(z, 1.0, out);
  }

 protected:
  NetworkDenoiserBase(const NetworkModel& model, arma::uword n_h)
      : config_(model.network), sigma2_range_(model.sigma2_range()), n_h_(n_h) {}

  const NetworkConfig& config() const { return config_; }

  /// Denoiser::run() of checked input.
  /// @param side  of a network that takes it, as denoise_beside(); null: not known
  virtual void run_beside(const std::vector<ReverseStep>& steps, const arma::cx_mat* side,
                          arma::cx_mat& z, DenoiserError* error) const = 0;

  /// What heads tell, [n_heads, n], of classes as log-odds, into probabilities.
  void odds_to_probabilities(arma::mat& heads) const {
    if (!config_.tells_class || heads.n_rows == 0) return;
    const auto n = static_cast<arma::uword>(config_.classes);
    for (arma::uword k = 0; k < heads.n_cols; ++k) {
      arma::vec odds = heads.submat(0, k, n - 1, k);
      odds = arma::exp(odds - odds.max());
      heads.submat(0, k, n - 1, k) = odds / arma::accu(odds);
    }
  }

  /// @throws Error(invalid_argument) if z does not have n_h() rows or sigma2 is not 0 or more
  void check_input(const arma::cx_mat& z, double sigma2) const {
    if (z.n_rows != n_h_) {
      throw Error(ErrorKind::invalid_argument,
                  "network denoiser: z has " + std::to_string(z.n_rows) +
                      " rows, the network is made for " + std::to_string(n_h_));
    }
    if (!(sigma2 >= 0.0) || !std::isfinite(sigma2)) {
      throw Error(ErrorKind::invalid_argument,
                  "network denoiser: sigma2 is " + std::to_string(sigma2) + "; expected 0 or more");
    }
  }

 private:
  NetworkConfig config_;
  std::pair<double, double> sigma2_range_;
  arma::uword n_h_;
};

}  // namespace v0
}  // namespace chest
