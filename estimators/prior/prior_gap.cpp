#include <chest/estimators/prior/prior_gap.hpp>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>

namespace chest {
inline namespace v0 {
namespace {

// Up to here the covariance is a whole matrix, whose eigenvalues take seconds.
constexpr arma::uword n_h_most_whole = 1024;
// Of the channels that a larger one is taken from, and in any block.
constexpr arma::uword entries_most = arma::uword{1} << 24, entries_per_block = arma::uword{1} << 20;

/// n channels of first .. end - 1, evenly spread, in blocks; stops when told to.
template <class Function>
void for_each_block(const SampleReader& samples, arma::uword first, arma::uword end, arma::uword n,
                    const RunControl& control, Function&& function) {
  const arma::uword block = std::clamp<arma::uword>(entries_per_block / samples.n_h(), 1, 256);
  const SampleReader part = spread(subrange(samples, first, end - first), n);
  for (arma::uword at = 0; at < part.n_samples; at += block) {
    if (control.stopped()) throw Error(ErrorKind::interrupted, "prior gap: interrupted");
    function(part.read(at, std::min(block, part.n_samples - at)));
  }
}

/// Mean power of the neighbours of each bin, cyclic: eight, or two where one side has one antenna.
arma::mat local_power(const arma::mat& power) {
  arma::mat sum = power;
  double n = 1.0;
  for (const arma::uword side : {0, 1}) {
    if ((side == 0 ? sum.n_rows : sum.n_cols) == 1) continue;
    sum = arma::mat(arma::shift(sum, 1, side) + sum + arma::shift(sum, -1, side));
    n *= 3.0;
  }
  return (sum - power) / (n - 1.0);
}

/// Where the entries of h are taken for uncorrelated, and their power there.
struct Basis {
  arma::cx_mat U;           ///< of the whole covariance; empty: one of each side
  arma::cx_mat U_rx, U_tx;  ///< h = vec(U_rx X U_tx^T)
  arma::vec l;

  /// |entries of h|^2 in the basis, [n_h, n_samples].
  arma::mat power(const arma::cx_mat& h) const {
    if (!U.is_empty()) return arma::square(arma::abs(arma::cx_mat(U.t() * h)));
    arma::mat out(arma::size(h), arma::fill::none);
    for (arma::uword k = 0; k < h.n_cols; ++k) {
      const arma::cx_mat H = arma::reshape(h.col(k), U_rx.n_rows, U_tx.n_rows);
      const arma::cx_mat X = U_rx.t() * H * arma::conj(U_tx);
      out.col(k) = arma::vectorise(arma::square(arma::abs(X)));
    }
    return out;
  }
};

/// Visits the channels that a covariance is taken from.
using EachBlock = std::function<void(const std::function<void(const arma::cx_mat&)>&)>;

Basis whole_basis(arma::uword n_h, double n_fit, const EachBlock& each) {
  Basis basis;
  arma::cx_mat C(n_h, n_h, arma::fill::zeros);
  each([&](const arma::cx_mat& h) { C += h * h.t(); });
  hermitian_eigen(arma::cx_mat(C / n_fit), basis.l, basis.U);
  basis.l = arma::clamp(basis.l, 0.0, arma::datum::inf);
  return basis;
}

Basis kronecker_basis(arma::uword n_rx, arma::uword n_tx, double n_fit, const EachBlock& each) {
  arma::cx_mat C_rx(n_rx, n_rx, arma::fill::zeros), C_tx(n_tx, n_tx, arma::fill::zeros);
  each([&](const arma::cx_mat& h) {
    for (arma::uword k = 0; k < h.n_cols; ++k) {
      const arma::cx_mat H = arma::reshape(h.col(k), n_rx, n_tx);
      C_rx += H * H.t();
      C_tx += H.st() * arma::conj(H);
    }
  });
  Basis basis;
  hermitian_eigen(C_rx, basis.l, basis.U_rx);
  hermitian_eigen(C_tx, basis.l, basis.U_tx);
  basis.l.zeros(n_rx * n_tx);
  each([&](const arma::cx_mat& h) { basis.l += arma::sum(basis.power(h), 1); });
  basis.l /= n_fit;
  return basis;
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

PriorGap measure_prior_gap(const SampleReader& samples, const arma::vec& snr_db,
                           const RunControl& control) {
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorKind::invalid_argument, "prior gap: " + what);
  };
  if (samples.n_samples < 10)
    refuse(std::to_string(samples.n_samples) + " samples; expected 10 or more");
  if (samples.n_h() < 2) refuse("one entry per channel; expected 2 or more");
  if (std::max(samples.n_rx, samples.n_tx) > PriorGap::most_antennas)
    refuse(std::to_string(std::max(samples.n_rx, samples.n_tx)) +
           " antennas on one side; expected at most " + std::to_string(PriorGap::most_antennas));
  const arma::uword n_h = samples.n_h(), split = samples.n_samples * 4 / 5;
  PriorGap gap;
  gap.snr_db = snr_db;
  gap.kronecker = n_h > n_h_most_whole;
  const arma::uword most = std::max<arma::uword>(entries_most / n_h, 1);
  gap.n_fit = std::min(split, gap.kronecker ? most : 4 * n_h);
  const EachBlock each = [&](const auto& visit) {
    for_each_block(samples, 0, split, gap.n_fit, control, visit);
  };
  const auto n_fit = static_cast<double>(gap.n_fit);
  const Basis basis = gap.kronecker ? kronecker_basis(samples.n_rx, samples.n_tx, n_fit, each)
                                    : whole_basis(n_h, n_fit, each);

  const AngularTransform transform(samples.n_rx, samples.n_tx);
  double total = 0.0;
  std::vector<Filtered> lmmse(snr_db.n_elem), local(snr_db.n_elem);
  const auto measure = [&](const arma::cx_mat& h) {
    const arma::mat in_basis = basis.power(h);
    const arma::mat angular = arma::square(arma::abs(transform.forward(h)));
    gap.n_test += h.n_cols;
    total += arma::accu(angular);
    for (arma::uword k = 0; k < h.n_cols; ++k) {
      const arma::mat around =
          local_power(arma::reshape(angular.col(k), samples.n_rx, samples.n_tx));
      for (arma::uword s = 0; s < snr_db.n_elem; ++s) {
        const double sigma2 = from_db(-snr_db(s));
        for (arma::uword i = 0; i < n_h; ++i) {
          lmmse[s].add(in_basis(i, k), basis.l(i), sigma2);
          local[s].add(angular(i, k), around(i), sigma2);
        }
      }
    }
  };
  for_each_block(samples, split, samples.n_samples, std::min<arma::uword>(512, most), control,
                 measure);
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
