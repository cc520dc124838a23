#include <chest/estimators/common/weighted_mean.hpp>

#include <utility>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace {

class WeightedMean final : public Estimator {
 public:
  WeightedMean(std::shared_ptr<const Estimator> a, std::shared_ptr<const Estimator> b,
               std::function<double(double)> weight)
      : a_(std::move(a)), b_(std::move(b)), weight_(std::move(weight)) {}

  std::string name() const override { return a_->name(); }
  const ObservationOperator& A() const override { return a_->A(); }
  bool predicts_mse(double sigma2) const override {
    const double w = weight_(sigma2);
    return (w == 1.0 || a_->predicts_mse(sigma2)) && (w == 0.0 || b_->predicts_mse(sigma2));
  }
  std::string warning(double sigma2) const override {
    return weight_(sigma2) == 1.0 ? b_->warning(sigma2) : a_->warning(sigma2);
  }
  std::string method(double sigma2) const override {
    const double w = weight_(sigma2);
    if (w == 1.0) return b_->name();
    const std::string method = a_->method(sigma2);
    if (w == 0.0) return method;
    return method + (method.empty() ? "" : " and ") + b_->name();
  }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const double w = weight_(observation.sigma2);
    if (w == 1.0) return b_->estimate(observation, out);
    a_->estimate(observation, out);
    if (w == 0.0) return;
    const Estimate other = b_->estimate(observation);
    out.h = (1.0 - w) * out.h + w * other.h;
    out.nfe += other.nfe;
    if (other.mse.is_empty()) {
      out.mse.reset();
    } else if (!out.mse.is_empty()) {
      out.mse = (1.0 - w) * out.mse + w * other.mse;
    }
    out.angular_mse.reset();
    out.element_mse.reset();
    out.log_evidence.reset();
  }

  std::shared_ptr<const Estimator> a_, b_;
  std::function<double(double)> weight_;
};

}  // namespace

std::unique_ptr<Estimator> make_weighted_mean(std::shared_ptr<const Estimator> a,
                                              std::shared_ptr<const Estimator> b,
                                              std::function<double(double)> weight) {
  if (!a || !b || !weight) {
    throw Error(ErrorKind::invalid_argument, "weighted mean: an estimator or the weight is null");
  }
  if (a->A().n_h() != b->A().n_h() || a->A().n_obs() != b->A().n_obs()) {
    throw Error(ErrorKind::invalid_argument, "weighted mean: " + a->A().name() + " and " +
                                                 b->A().name() + " are of different size");
  }
  return std::make_unique<WeightedMean>(std::move(a), std::move(b), std::move(weight));
}

}  // namespace v0
}  // namespace chest
