// A new estimator in one file, compared fairly with LS and LMMSE: the same channels, pilots and
// noise.
#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>
#include <chest/sim/pilots.hpp>
#include <cstdio>

/// Least squares shrunk by one scalar, the best one when nothing but E||h||^2 = n_h is known:
///
///   h_hat = A^+ y / (1 + v),   v = sigma2 tr((A^H A)^-1) / n_h, the error of A^+ y per entry
class ShrunkLs final : public chest::Estimator {
 public:
  explicit ShrunkLs(std::shared_ptr<const chest::ObservationOperator> A)
      : A_(std::move(A)), ls_(chest::make_ls(A_)) {}

  std::string name() const override { return "shrunk"; }
  const chest::ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double sigma2) const override { return ls_->predicts_mse(sigma2); }

 private:
  void do_estimate(const chest::Observation& observation, chest::Estimate& out) const override {
    ls_->estimate(observation, out);
    const double n_h = static_cast<double>(A_->n_h());
    const arma::vec v = out.mse / n_h;
    out.h.each_row() /= arma::conv_to<arma::cx_rowvec>::from(1.0 + v.t());
    out.mse = n_h * v / (1.0 + v);
  }

  std::shared_ptr<const chest::ObservationOperator> A_;
  std::unique_ptr<chest::Estimator> ls_;
};

int main() try {
  const arma::uword n_rx = 16, n_tx = 4;
  const auto model = chest::make_scm({n_rx, n_tx});
  const arma::cx_mat h = model->generate(2, 0, 1000).h;
  const auto fitted =
      chest::fit_lmmse(chest::samples_in_memory(model->generate(1, 0, 4000).h, n_rx, n_tx));
  const std::shared_ptr<const chest::ObservationOperator> A = chest::sim::make_observation(
      chest::sim::make_pilots(chest::sim::parse_pilots("dft:4"), n_tx, 1), n_rx);

  std::vector<std::unique_ptr<chest::Estimator>> estimators;
  estimators.push_back(chest::make_ls(A));
  estimators.push_back(std::make_unique<ShrunkLs>(A));
  estimators.push_back(chest::make_lmmse(A, fitted.C));

  std::printf("SNR [dB]");
  for (const auto& estimator : estimators) std::printf("%16s", estimator->name().c_str());
  std::printf("   NMSE [dB], measured (predicted)\n");
  for (const double snr_db : {-10.0, 0.0, 10.0, 20.0}) {
    chest::Observation observation;
    observation.sigma2 = chest::from_db(-snr_db);
    chest::Rng rng(3, {chest::Purpose::noise});
    observation.y = A->apply(h) + rng.cx_normal(A->n_obs(), h.n_cols, observation.sigma2);
    std::printf("%8.0f", snr_db);
    for (const auto& estimator : estimators) {
      const chest::Estimate estimate = estimator->estimate(observation);
      std::printf("%8.2f (%5.2f)", chest::to_db(chest::nmse(estimate.h, h)),
                  chest::to_db(arma::mean(estimate.mse) / static_cast<double>(A->n_h())));
    }
    std::printf("\n");
  }
  return 0;
} catch (const chest::Error& error) {
  std::fprintf(stderr, "your_own_estimator: %s\n", error.what());
  return 1;
}
