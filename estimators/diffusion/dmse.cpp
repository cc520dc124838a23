#include <chest/estimators/diffusion/dmse.hpp>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/common/column_noise.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/diffusion/cycle_spinning.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/solver_contract.hpp>
#include <chest/metrics.hpp>

namespace chest {
inline namespace v0 {
namespace {

class Dmse final : public Estimator {
 public:
  Dmse(std::shared_ptr<const ObservationOperator> A, std::shared_ptr<const Denoiser> denoiser,
       const DmseOptions& options, double gram_scale)
      : A_(std::move(A)),
        denoiser_(std::move(denoiser)),
        options_(options),
        gram_scale_(gram_scale) {
    if (options.rule == ReverseRule::scheduler) {
      indices_ = inference_indices(options.schedule.n_steps(), options.n_steps, options.spacing,
                                   options.steps_offset);
    }
    // Turns are of an array, whose size pilots say.
    if (options.n_spins > 1 && !A_->pilots()) {
      throw Error(ErrorKind::invalid_argument,
                  "dmse: n_spins is " + std::to_string(options.n_spins) +
                      ", and the observation does not say the size of the array that is turned");
    }
    arma::uword most = std::max<arma::uword>(options.n_spins, 1);
    const arma::uvec& calibrated = options.calibration.n_spins;
    if (as_calibrated() && !calibrated.is_empty() && A_->pilots()) most = calibrated.max();
    ramps_.resize(most);
    for (arma::uword n = 2; n <= most; ++n) {
      if (as_calibrated() ? !arma::any(calibrated == n) : n < most) continue;
      const arma::uword n_tx = A_->pilots()->n_rows;
      ramps_[n - 1] = phase_ramps(A_->n_h() / n_tx, n_tx, n, options.turns_rx);
    }
  }

  std::string name() const override { return "dmse"; }
  const ObservationOperator& A() const override { return *A_; }

  bool predicts_mse(double sigma2) const override {
    return options_.n_probes > 0 || options_.calibration.mse_at(sigma2 / gram_scale_) > 0.0 ||
           (denoiser_->predicts_error() && !chain_for(sigma2 / gram_scale_).steps.empty());
  }

  std::string method(double sigma2) const override {
    const std::size_t n =
        chain_for(sigma2 / gram_scale_).steps.size() * spins_at(sigma2 / gram_scale_);
    return std::to_string(n) + (n == 1 ? " call" : " calls");
  }

  std::string warning(double sigma2) const override {
    const auto range = denoiser_->sigma2_range();
    if (!range) return {};
    return outside_fitted_range(sigma2 / gram_scale_, range->first, range->second);
  }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const double sigma2 = observation.sigma2 / gram_scale_;
    const ReverseChain chain = chain_for(sigma2);
    A_->pseudo_inverse(observation.y, out.h);
    if (chain.start_scale != 1.0) out.h *= chain.start_scale;
    const arma::uword n_spins = spins_at(sigma2);
    out.nfe = chain.steps.size() * n_spins;
    DenoiserError error;
    error.per_angle = observation.per_angle;
    const bool predicts = denoiser_->predicts_error() && !chain.steps.empty();
    if (!predicts && options_.n_probes > 0) {
      ColumnNoise noise(observation);
      error.mse = probed_error(*denoiser_, out.h, sigma2, options_.n_probes, noise);
      out.nfe += options_.n_probes + 1;
    }
    const arma::vec spread =
        run_spun(*denoiser_, chain.steps, ramps_[n_spins - 1], out.h, predicts ? &error : nullptr);
    const double mean = options_.calibration.mse_at(sigma2);
    if (error.mse.is_empty() && mean > 0.0) {
      error.mse.set_size(observation.y.n_cols);
      error.mse.fill(mean * static_cast<double>(A_->n_h()));
    } else if (predicts) {
      const double ratio = options_.calibration.mse_ratio_at(sigma2);
      error.mse *= ratio;
      error.angular *= ratio;
    }
    if (n_spins > 1 && (predicts || options_.n_probes > 0)) take_off(spread, error);
    if (!error.mse.is_empty()) out.mse = error.mse;
    if (observation.per_angle) out.angular_mse = std::move(error.angular);
    out.heads = std::move(error.heads);
  }

  bool as_calibrated() const {
    return options_.n_spins == 0 && options_.rule == ReverseRule::calibrated;
  }
  arma::uword spins_at(double sigma2) const {
    if (!as_calibrated()) return std::max<arma::uword>(options_.n_spins, 1);
    return A_->pilots() ? options_.calibration.spins_at(sigma2) : 1;
  }

  /// From the error of the chains to that of their mean, which is less by their spread.
  static void take_off(const arma::vec& spread, DenoiserError& error) {
    for (arma::uword k = 0; k < error.mse.n_elem; ++k) {
      const double chains = error.mse(k);
      error.mse(k) = error_of_mean(chains, spread(k));
      if (!error.angular.is_empty() && chains > 0.0) error.angular.col(k) *= error.mse(k) / chains;
    }
  }

  ReverseChain chain_for(double sigma2) const {
    switch (options_.rule) {
      case ReverseRule::published:
        return published_chain(options_.schedule, sigma2, false);
      case ReverseRule::published_full:
        return published_chain(options_.schedule, sigma2, true);
      case ReverseRule::scheduler:
        return scheduler_chain(options_.schedule, sigma2, indices_);
      case ReverseRule::fixed_steps:
        return log_snr_chain(sigma2, options_.sigma2_end, options_.n_steps);
      case ReverseRule::calibrated:
        break;
    }
    return log_snr_chain(sigma2, options_.sigma2_end,
                         options_.calibration.steps_at(sigma2, options_.n_steps));
  }

  std::shared_ptr<const ObservationOperator> A_;
  std::shared_ptr<const Denoiser> denoiser_;
  DmseOptions options_;
  double gram_scale_;
  arma::uvec indices_;               // of ReverseRule::scheduler
  std::vector<arma::cx_mat> ramps_;  // of 1 (none), 2, ... chains
};

}  // namespace

std::string DmseOptions::why_invalid() const {
  if (const std::string why = dmse_options.why_invalid(*this); !why.empty()) return why;
  if (!(sigma2_end > 0.0) || !std::isfinite(sigma2_end)) {
    return "sigma2_end is " + std::to_string(sigma2_end) + ", it must be positive and finite";
  }
  if (calibration.n_steps.n_elem != calibration.snr_db.n_elem ||
      calibration.mse.n_elem != calibration.snr_db.n_elem ||
      (!calibration.mse_ratio.is_empty() &&
       calibration.mse_ratio.n_elem != calibration.snr_db.n_elem)) {
    return "calibration holds " + std::to_string(calibration.snr_db.n_elem) + " SNRs, " +
           std::to_string(calibration.n_steps.n_elem) + " step counts and " +
           std::to_string(calibration.mse.n_elem) + " errors, the numbers must be equal";
  }
  if (!calibration.empty()) {
    if (!calibration.snr_db.is_sorted("strictascend")) {
      return "calibration has SNRs that do not ascend";
    }
    if (!calibration.n_spins.is_empty() &&
        (calibration.n_spins.n_elem != calibration.snr_db.n_elem ||
         calibration.n_spins.min() == 0 || calibration.n_spins.max() > most_spins)) {
      return "calibration has no number of chains from 1 to " + std::to_string(most_spins) +
             " for each SNR";
    }
    if (calibration.n_steps.min() == 0) return "calibration has a step count of 0, it must be >= 1";
    if (!(calibration.mse.min() > 0.0) || !calibration.mse.is_finite()) {
      return "calibration has an error that is not positive and finite";
    }
  }
  return {};
}

std::unique_ptr<Estimator> make_dmse(std::shared_ptr<const ObservationOperator> A,
                                     std::shared_ptr<const Denoiser> denoiser,
                                     const DmseOptions& options) {
  check_solver("dmse", A.get(), denoiser.get());
  const double gain = decorrelation_gain("dmse", A.get());
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "dmse: " + why);
  }
  return std::make_unique<Dmse>(std::move(A), std::move(denoiser), options, gain);
}

}  // namespace v0
}  // namespace chest
