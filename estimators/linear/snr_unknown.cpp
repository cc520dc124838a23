#include <chest/estimators/linear/snr_unknown.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/text.hpp>

#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/common/noise_search.hpp>

namespace chest {
inline namespace v0 {
namespace {

class NoiseBlind final : public Estimator {
 public:
  NoiseBlind(std::shared_ptr<const ObservationOperator> A,
             std::shared_ptr<const Estimator> estimator)
      : A_(std::move(A)),
        estimator_(std::move(estimator)),
        gain_(arma::accu(A_->squared_singular_values()) / static_cast<double>(A_->n_h())) {}

  std::string name() const override { return estimator_->name(); }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }
  bool reads_sigma2() const override { return false; }
  std::string method(double sigma2) const override { return estimator_->method(sigma2); }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const arma::cx_mat& y = observation.y;
    const arma::vec received = squared_norms(y) / static_cast<double>(A_->n_obs());
    std::vector<NoiseSearch> searches;
    for (arma::uword k = 0; k < y.n_cols; ++k) {
      // Nothing received: any level is as good as another.
      searches.emplace_back(received(k) > 0.0 ? to_db(received(k)) : 0.0);
    }
    out.sigma2.set_size(y.n_cols);
    arma::uword n_calls = 0;
    Estimate part;
    arma::cx_mat residual;
    for (bool searching = true; searching;) {
      std::map<double, std::vector<arma::uword>> by_level;
      for (arma::uword k = 0; k < y.n_cols; ++k) {
        if (!searches[k].done()) by_level[searches[k].level_db()].push_back(k);
      }
      searching = !by_level.empty();
      for (const auto& [level_db, columns] : by_level) {
        const arma::uvec chosen(columns);
        Observation some = observation.columns(chosen);
        some.sigma2 = from_db(level_db);
        estimator_->estimate(some, part);
        n_calls += part.nfe * chosen.n_elem;
        out.n_reset += part.n_reset;
        A_->apply(part.h, residual);
        residual -= some.y;
        const arma::vec em =
            (squared_norms(residual) + gain_ * part.mse) / static_cast<double>(A_->n_obs());
        if (!part.angular_mse.is_empty()) out.angular_mse.set_size(A_->n_h(), y.n_cols);
        if (!part.heads.is_empty()) out.heads.set_size(part.heads.n_rows, y.n_cols);
        for (arma::uword i = 0; i < chosen.n_elem; ++i) {
          const arma::uword k = chosen(i);
          // A channel whose error is not known at a level stays there.
          searches[k].add(em(i) > 0.0 ? to_db(em(i)) - level_db : 0.0);
          out.h.col(k) = part.h.col(i);
          out.mse(k) = part.mse(i);
          out.sigma2(k) = from_db(searches[k].found_db());
          if (!part.angular_mse.is_empty()) out.angular_mse.col(k) = part.angular_mse.col(i);
          if (!part.heads.is_empty()) out.heads.col(k) = part.heads.col(i);
        }
      }
    }
    out.nfe = y.n_cols == 0 ? 0 : (n_calls + y.n_cols / 2) / y.n_cols;
  }

  std::shared_ptr<const ObservationOperator> A_;
  std::shared_ptr<const Estimator> estimator_;
  double gain_;
};

class Misinformed final : public Estimator {
 public:
  Misinformed(std::shared_ptr<const Estimator> estimator, double error_db)
      : estimator_(std::move(estimator)), factor_(from_db(-error_db)) {}

  std::string name() const override { return estimator_->name(); }
  const ObservationOperator& A() const override { return estimator_->A(); }
  bool predicts_mse(double sigma2) const override {
    return estimator_->predicts_mse(sigma2 * factor_);
  }
  bool reads_sigma2() const override { return estimator_->reads_sigma2(); }
  std::string method(double sigma2) const override { return estimator_->method(sigma2 * factor_); }
  std::string warning(double sigma2) const override {
    return estimator_->warning(sigma2 * factor_);
  }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    Observation wrong = observation;
    wrong.sigma2 *= factor_;
    estimator_->estimate(wrong, out);
  }

  std::shared_ptr<const Estimator> estimator_;
  double factor_;
};

}  // namespace

std::unique_ptr<Estimator> make_noise_blind(std::shared_ptr<const ObservationOperator> A,
                                            std::shared_ptr<const Estimator> estimator) {
  check_given("noise-blind estimator", A.get());
  if (!estimator) {
    throw Error(ErrorKind::invalid_argument, "noise-blind estimator: the estimator is not given");
  }
  for (double level_db = -60.0; level_db <= 60.0; level_db += 1.0) {
    if (estimator->predicts_mse(from_db(level_db))) continue;
    refuse(estimator->name() + ": it predicts no error at an SNR of " + number_text(-level_db) +
           " dB, so the noise variance cannot be estimated; calibrate the model, or give the SNR");
  }
  return std::make_unique<NoiseBlind>(std::move(A), std::move(estimator));
}

std::unique_ptr<Estimator> make_misinformed(std::shared_ptr<const Estimator> estimator,
                                            double error_db) {
  if (!estimator || !std::isfinite(error_db)) {
    throw Error(ErrorKind::invalid_argument,
                "misinformed estimator: the estimator is not given or the error is not finite");
  }
  return std::make_unique<Misinformed>(std::move(estimator), error_db);
}

}  // namespace v0
}  // namespace chest
