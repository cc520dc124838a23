#pragma once

#include <armadillo>
#include <complex>
#include <cstdint>
#include <memory>
#include <string>

#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/run_options.hpp>
#include <chest/gaussian_mixture.hpp>

namespace chest {
inline namespace v0 {

/// Memory of the calls of one thread; what is in it is the estimator's own.
class PlannedWork {
 public:
  virtual ~PlannedWork() = default;
};

/// Estimates of one channel from float32 buffers, for pilots that were given when it was made: plan
/// once (make_planned_...), prepare once per thread (make_work()), then estimate as often as wanted.
///
///   const auto planned = make_planned_dmse(P, n_rx, load_network_model("models/scm_64x16.h5"));
///   const auto work = planned->make_work();
///   std::vector<std::complex<float>> h(planned->n_rx() * planned->n_tx());
///   const auto found = planned->estimate(y.data(), 0.1, *work, h.data());
///
/// Const, so threads share one; each has its own PlannedWork.
class PlannedEstimator {
 public:
  /// What an estimate comes with.
  struct Outcome {
    double mse = 0.0;     ///< predicted E||h_hat - h||^2; NaN where it is not known
    double sigma2 = 0.0;  ///< the noise variance that was used
    unsigned nfe = 0;     ///< calls of the network
  };

  virtual ~PlannedEstimator() = default;
  virtual std::string name() const = 0;
  arma::uword n_rx() const { return n_rx_; }
  arma::uword n_tx() const { return P_.n_rows; }
  arma::uword n_pilots() const { return P_.n_cols; }
  const arma::cx_mat& P() const { return P_; }
  /// Whether estimate() allocates nothing, locks nothing and throws nothing.
  virtual bool allocates_nothing() const { return true; }
  /// Whether the noise variance may be left unknown: the error is predicted at every level.
  virtual bool finds_noise() const = 0;

  virtual std::unique_ptr<PlannedWork> make_work() const = 0;
  /// @param y       [n_rx, n_pilots], columns one after the other, at the scale E||h||^2 = n_h
  /// @param sigma2  noise variance per entry of y, > 0; NaN: found from y (finds_noise())
  /// @param h       [n_rx, n_tx], columns one after the other
  Outcome estimate(const std::complex<float>* y, double sigma2, PlannedWork& work,
                   std::complex<float>* h) const;

 protected:
  PlannedEstimator(arma::uword n_rx, arma::cx_mat P);

 private:
  virtual Outcome do_estimate(const std::complex<float>* y, double sigma2, PlannedWork& work,
                              std::complex<float>* h) const = 0;
  Outcome estimate_blind(const std::complex<float>* y, PlannedWork& work,
                         std::complex<float>* h) const;

  arma::uword n_rx_;
  arma::cx_mat P_;
  double gain_;  ///< ||A||_F^2 / n_h
};

/// Least squares, as make_ls().
/// @param P  pilots, [n_tx, n_pilots]
/// @throws Error(invalid_argument) if P is empty or not finite
std::unique_ptr<PlannedEstimator> make_planned_ls(const arma::cx_mat& P, arma::uword n_rx);

/// The conditional mean of a mixture, as make_gmm(); LMMSE is that of one component. Any noise level costs
/// two products with matrices that were made for the pilots: memory 16 n_obs (n_obs + n_h) bytes per
/// component, less where the covariances are diagonal in angles (dft) and the pilots decorrelate.
/// @throws Error(invalid_argument) if sizes do not fit or the prior is invalid
std::unique_ptr<PlannedEstimator> make_planned_mixture(const arma::cx_mat& P, arma::uword n_rx,
                                                       const GaussianMixture& prior);
/// Bytes that it would take.
double planned_mixture_bytes(const arma::cx_mat& P, arma::uword n_rx, const GaussianMixture& prior);

/// The DMSE estimator with the model's calibration, as make_dmse() on the engine.
/// @param precision  as choose_precision()
/// @throws Error(invalid_argument) if P does not decorrelate, or the model does not fit
std::unique_ptr<PlannedEstimator> make_planned_dmse(
    const arma::cx_mat& P, arma::uword n_rx, const NetworkModel& model,
    NetworkPrecision precision = NetworkPrecision::automatic);

/// Any estimator through the same door. It allocates, and may throw.
std::unique_ptr<PlannedEstimator> make_planned(std::shared_ptr<const Estimator> estimator,
                                               arma::uword n_rx);

}  // namespace v0
}  // namespace chest
