#include <chest/estimators/diffusion/dmse.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/error.hpp>
#include <chest/estimators/common/column_noise.hpp>
#include <chest/estimators/common/contract.hpp>
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
  }

  std::string name() const override { return "dmse"; }
  const ObservationOperator& A() const override { return *A_; }

  bool predicts_mse(double sigma2) const override {
    return options_.n_probes > 0 || options_.calibration.mse_at(sigma2 / gram_scale_) > 0.0 ||
           (denoiser_->predicts_error() && !chain_for(sigma2 / gram_scale_).steps.empty());
  }

  std::string method(double sigma2) const override {
    const std::size_t n = chain_for(sigma2 / gram_scale_).steps.size();
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
    out.nfe = chain.steps.size();
    DenoiserError error;
    error.per_angle = observation.per_angle;
    const bool predicts = denoiser_->predicts_error() && !chain.steps.empty();
    if (!predicts && options_.n_probes > 0) {
      ColumnNoise noise(observation);
      error.mse = probed_error(*denoiser_, out.h, sigma2, options_.n_probes, noise);
      out.nfe += options_.n_probes + 1;
    }
    denoiser_->run(chain.steps, out.h, predicts ? &error : nullptr);
    const double mean = options_.calibration.mse_at(sigma2);
    if (error.mse.is_empty() && mean > 0.0) {
      error.mse.set_size(observation.y.n_cols);
      error.mse.fill(mean * static_cast<double>(A_->n_h()));
    } else if (predicts) {
      const double ratio = options_.calibration.mse_ratio_at(sigma2);
      error.mse *= ratio;
      error.angular *= ratio;
    }
    if (!error.mse.is_empty()) out.mse = error.mse;
    if (observation.per_angle) out.angular_mse = std::move(error.angular);
    out.heads = std::move(error.heads);
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
  arma::uvec indices_;  // of ReverseRule::scheduler
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
