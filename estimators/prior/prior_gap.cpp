#include <chest/estimators/prior/prior_gap.hpp>

#include <algorithm>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// n channels of first .. end - 1, evenly spread, in blocks.
template <class Function>
void for_each_block(const SampleReader& samples, arma::uword first, arma::uword end, arma::uword n,
                    Function&& function) {
  constexpr arma::uword block = 256;
  const SampleReader part = spread(subrange(samples, first, end - first), n);
  for (arma::uword at = 0; at < part.n_samples; at += block) {
    function(part.read(at, std::min(block, part.n_samples - at)));
  }
}

/// Mean power of the eight neighbours of each bin, cyclic.
arma::mat local_power(const arma::mat& power) {
  const arma::mat rows = arma::shift(power, 1, 0) + power + arma::shift(power, -1, 0);
  return (arma::shift(rows, 1, 1) + rows + arma::shift(rows, -1, 1) - power) / 8.0;
}

/// The error of the filter gain = l / (l + sigma2) on a signal of this power, and the gain itself.
struct Filtered {
  double error = 0.0, dimension = 0.0;
  void add(double power, double l, double sigma2) {
    const double gain = l / (l + sigma2);
    error += (1.0 - gain) * (1.0 - gain) * power + gain * gain * sigma2;
    dimension += gain;
  }
};

}  // namespace

PriorGap measure_prior_gap(const SampleReader& samples, const arma::vec& snr_db) {
  if (samples.n_samples < 10) {
    throw Error(ErrorKind::invalid_argument, "prior gap: " + std::to_string(samples.n_samples) +
                                                 " samples; expected 10 or more");
  }
  const arma::uword n_h = samples.n_h(), split = samples.n_samples * 4 / 5;
  arma::cx_mat C(n_h, n_h, arma::fill::zeros);
  PriorGap gap;
  gap.snr_db = snr_db;
  for_each_block(samples, 0, split, 4 * n_h, [&](const arma::cx_mat& h) {
    C += h * h.t();
    gap.n_fit += h.n_cols;
  });
  C /= static_cast<double>(gap.n_fit);
  arma::vec l;
  arma::cx_mat U;
  hermitian_eigen(C, l, U);
  l = arma::clamp(l, 0.0, arma::datum::inf);

  const AngularTransform transform(samples.n_rx, samples.n_tx);
  double total = 0.0;
  std::vector<Filtered> lmmse(snr_db.n_elem), local(snr_db.n_elem);
  for_each_block(samples, split, samples.n_samples, 512, [&](const arma::cx_mat& h) {
    const arma::mat in_basis = arma::square(arma::abs(arma::cx_mat(U.t() * h)));
    const arma::mat angular = arma::square(arma::abs(transform.forward(h)));
    gap.n_test += h.n_cols;
    total += arma::accu(angular);
    for (arma::uword k = 0; k < h.n_cols; ++k) {
      const arma::mat around =
          local_power(arma::reshape(angular.col(k), samples.n_rx, samples.n_tx));
      for (arma::uword s = 0; s < snr_db.n_elem; ++s) {
        const double sigma2 = from_db(-snr_db(s));
        for (arma::uword i = 0; i < n_h; ++i) {
          lmmse[s].add(in_basis(i, k), l(i), sigma2);
          local[s].add(angular(i, k), around(i), sigma2);
        }
      }
    }
  });
  const auto n = static_cast<double>(gap.n_test);
  gap.nmse_lmmse = gap.nmse_local = gap.dimension_lmmse = gap.dimension_local =
      arma::vec(snr_db.n_elem);
  for (arma::uword s = 0; s < snr_db.n_elem; ++s) {
    gap.nmse_lmmse(s) = lmmse[s].error / total;
    gap.nmse_local(s) = local[s].error / total;
    gap.dimension_lmmse(s) = lmmse[s].dimension / n;
    gap.dimension_local(s) = local[s].dimension / n;
  }
  return gap;
}

}  // namespace v0
}  // namespace chest
