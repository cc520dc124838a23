// The program with an estimator of your own: it stands in sweep, link, calibrate and start= beside those
// of chest, is compared on the same channels, pilots and noise, and has its options in --help.
//
//   your_own_estimator sweep --channels scm.h5 --estimators ls,shrunk:power=0.8,diffpir:start=shrunk
#include <memory>
#include <string>

#include <chest/cli/run.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/estimators/common/options.hpp>
#include <chest/estimators/linear/ls.hpp>

struct ShrunkOptions {
  double power = 1.0;  ///< E||h||^2 / n_h that is assumed
};
inline constexpr auto shrunk_options = chest::options_of<ShrunkOptions>(
    chest::option("power", &ShrunkOptions::power, chest::above(0), "mean power of an entry of h"));

/// Least squares shrunk by one scalar, the best one when nothing but p = E||h||^2 / n_h is known:
///
///   h_hat = A^+ y p / (p + v),   v = sigma2 tr((A^H A)^-1) / n_h, the error of A^+ y per entry
class Shrunk final : public chest::Estimator {
 public:
  Shrunk(std::shared_ptr<const chest::ObservationOperator> A, const ShrunkOptions& options)
      : ls_(chest::make_ls(std::move(A))), power_(options.power) {}

  std::string name() const override { return "shrunk"; }
  const chest::ObservationOperator& A() const override { return ls_->A(); }
  bool predicts_mse(double sigma2) const override { return ls_->predicts_mse(sigma2); }

 private:
  void do_estimate(const chest::Observation& observation, chest::Estimate& out) const override {
    ls_->estimate(observation, out);
    if (out.mse.is_empty()) return;  // fewer pilots than antennas: v depends on h
    const double n_h = static_cast<double>(A().n_h());
    const arma::vec gain = power_ / (power_ + out.mse / n_h);
    out.h.each_row() %= arma::conv_to<arma::cx_rowvec>::from(gain.t());
    out.mse %= gain;
  }

  std::unique_ptr<chest::Estimator> ls_;
  double power_;
};

int main(int argc, char** argv) {
  chest::Catalog catalog = chest::built_in();
  catalog.add(chest::row("shrunk", "least squares shrunk by one scalar", shrunk_options,
                         [](const chest::Maker& maker, const ShrunkOptions& options) {
                           return std::make_unique<Shrunk>(maker.context().A, options);
                         }));
  return chest::cli::run(argc, argv, catalog);
}
