#include <chest/estimators/linear/ls.hpp>

#include <utility>

#include <chest/estimators/common/contract.hpp>

namespace chest {
inline namespace v0 {
namespace {

class Ls final : public Estimator {
 public:
  explicit Ls(std::shared_ptr<const ObservationOperator> A) : A_(std::move(A)) {
    const arma::vec s2 = A_->squared_singular_values();
    const bool full_rank = s2.n_elem == A_->n_h() && s2.min() > 1e-20 * s2.max();
    if (full_rank) noise_gain_ = arma::accu(1.0 / s2);
  }

  std::string name() const override { return "ls"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return noise_gain_ > 0.0; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    A_->pseudo_inverse(observation.y, out.h);
    if (noise_gain_ > 0.0) out.mse.fill(observation.sigma2 * noise_gain_);
  }

  std::shared_ptr<const ObservationOperator> A_;
  double noise_gain_ = 0.0;  ///< tr((A^H A)^-1); 0 when A has not full column rank
};

}  // namespace

std::unique_ptr<Estimator> make_ls(std::shared_ptr<const ObservationOperator> A) {
  check_given("ls", A.get());
  return std::make_unique<Ls>(std::move(A));
}

}  // namespace v0
}  // namespace chest
