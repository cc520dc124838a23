#include <chest/estimators/diffusion/few_pilots.hpp>

#include <utility>

#include <chest/error.hpp>
#include <chest/estimators/prior/solver_contract.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// D with its error, and with side matrices where there are any.
void denoise(const Denoiser& D, const arma::cx_mat& z, const arma::cx_mat& side, double sigma2,
             arma::cx_mat& out, DenoiserError& error) {
  if (side.is_empty()) {
    D.denoise_with_error(z, sigma2, out, error);
  } else {
    D.denoise_beside(z, side, sigma2, out, error);
  }
}

/// A network that is the estimator itself, in one call at the level sigma2 / gain.
class OneCall final : public Estimator {
 public:
  OneCall(std::shared_ptr<const ObservationOperator> A, std::shared_ptr<const Denoiser> denoiser,
          Calibration calibration, DataConsistency consistency, double gain)
      : A_(std::move(A)),
        denoiser_(std::move(denoiser)),
        calibration_(std::move(calibration)),
        consistency_(consistency),
        gain_(gain) {}

  std::string name() const override { return "dmse"; }
  const ObservationOperator& A() const override { return *A_; }
  // What a step towards the data makes of the error is not known.
  bool predicts_mse(double) const override {
    return consistency_ == DataConsistency::none && denoiser_->predicts_error();
  }
  std::string method(double) const override { return "1 call"; }
  std::string warning(double sigma2) const override {
    const auto range = denoiser_->sigma2_range();
    if (!range) return {};
    return outside_fitted_range(sigma2 / gain_, range->first, range->second);
  }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const double level = observation.sigma2 / gain_;
    DenoiserError error;
    error.per_angle = observation.per_angle;
    const arma::cx_mat none;
    denoise(*denoiser_, A_->pseudo_inverse(observation.y),
            denoiser_->takes_side() ? observation.side : none, level, out.h, error);
    out.nfe = 1;
    out.heads = std::move(error.heads);
    const double ratio = calibration_.mse_ratio_at(level);
    if (consistency_ == DataConsistency::none) {
      if (denoiser_->predicts_error()) out.mse = error.mse * ratio;
      if (observation.per_angle) out.angular_mse = error.angular * ratio;
      return;
    }
    const arma::cx_mat residual = observation.y - A_->apply(out.h);
    if (consistency_ == DataConsistency::hard) {
      out.h += A_->pseudo_inverse(residual);
      return;
    }
    for (arma::uword k = 0; k < residual.n_cols; ++k) {
      const double r2 = ratio * error.mse(k) / static_cast<double>(A_->n_h());
      out.h.col(k) += A_->ridge(residual.cols(k, k), observation.sigma2 / r2);
    }
  }

  std::shared_ptr<const ObservationOperator> A_;
  std::shared_ptr<const Denoiser> denoiser_;
  Calibration calibration_;
  DataConsistency consistency_;
  double gain_;
};

}  // namespace

bool same_pilots(const arma::cx_mat& P, const arma::cx_mat& other) {
  constexpr double rounding = 1e-6;
  return arma::size(P) == arma::size(other) &&
         arma::norm(P - other, "fro") <= rounding * arma::norm(P, "fro");
}

std::unique_ptr<Estimator> make_few_pilots(std::shared_ptr<const ObservationOperator> A,
                                           std::shared_ptr<const Denoiser> D,
                                           const Calibration& calibration,
                                           DataConsistency consistency) {
  check_solver("few pilots", A.get(), D.get());
  if (consistency == DataConsistency::soft && !D->predicts_error()) {
    refuse("few pilots: a soft step towards the data needs a network that predicts its error");
  }
  return std::make_unique<OneCall>(std::move(A), std::move(D), calibration, consistency, 1.0);
}

std::unique_ptr<Estimator> make_side_informed(std::shared_ptr<const ObservationOperator> A,
                                              std::shared_ptr<const Denoiser> D,
                                              const Calibration& calibration) {
  check_solver("side information", A.get(), D.get());
  if (!D->takes_side()) {
    refuse("side information: the " + D->name() + " takes no side matrices");
  }
  const double gain = decorrelation_gain("side information", A.get());
  return std::make_unique<OneCall>(std::move(A), std::move(D), calibration, DataConsistency::none,
                                   gain);
}

Calibration calibrate_few_pilots(const Denoiser& denoiser, const ObservationOperator& A,
                                 const SampleReader& validation, std::uint64_t seed,
                                 unsigned n_threads, const SampleReader& side) {
  if (validation.n_samples == 0 || validation.n_h() != denoiser.n_h() ||
      A.n_h() != denoiser.n_h()) {
    throw Error(ErrorKind::invalid_argument,
                "calibrate: " + std::to_string(validation.n_samples) + " channels of " +
                    std::to_string(validation.n_h()) + " entries and pilots for " +
                    std::to_string(A.n_h()) + ", the denoiser is made for " +
                    std::to_string(denoiser.n_h()));
  }
  if (side.n_samples > 0) check_side("calibrate", side, validation);
  const arma::vec snr_db = arma::regspace(-15.0, 5.0, 40.0);
  constexpr arma::uword most_channels = 256;
  const SampleReader channels = spread(validation, most_channels);
  const arma::cx_mat h = channels.read(0, channels.n_samples);
  arma::cx_mat known;
  if (side.n_samples > 0) known = spread(side, most_channels).read(0, channels.n_samples);
  const auto per_entry = 1.0 / static_cast<double>(h.n_elem);
  Calibration out{
      snr_db, arma::uvec(snr_db.n_elem, arma::fill::ones), arma::vec(snr_db.n_elem), {}};
  arma::vec predicted(snr_db.n_elem, arma::fill::zeros);
  parallel_for(snr_db.n_elem, n_threads, [&](std::size_t i) {
    const double sigma2 = from_db(-snr_db(i));
    Rng rng(seed, {Purpose::validation, 1 + i, 0});
    arma::cx_mat y = A.apply(h);
    y += rng.cx_normal(y.n_rows, y.n_cols, sigma2);
    arma::cx_mat D;
    DenoiserError error;
    denoise(denoiser, A.pseudo_inverse(y), known, sigma2, D, error);
    out.mse(i) = per_entry * arma::accu(squared_errors(D, h));
    if (denoiser.predicts_error()) predicted(i) = per_entry * arma::accu(error.mse);
  });
  if (!out.mse.is_finite() || !predicted.is_finite()) {
    throw Error(ErrorKind::numeric, "calibrate: the error is not finite; the denoiser is unusable");
  }
  if (denoiser.predicts_error()) out.mse_ratio = out.mse / predicted;
  return out;
}

}  // namespace v0
}  // namespace chest
