// The power of each angle of a link from few noisy snapshots, and linear MMSE with it (docs/sampling.md).
//
//   power_profile [LINKS]       400 links of 16x4 antennas; seconds
//
// Links of the spatial channel model; the prior is log-normal, fitted to the profiles of 2000 others. For each number of
// snapshots and SNR: error of the profile, sum (p_hat - p)^2 / sum p^2 in dB, and NMSE in dB of another snapshot by linear MMSE
// with it; the sample profile max(q - sigma2, 1e-3), the log-normal posterior's mean and its median; at the right the
// mean profile of all links, and the true one.
#include <cstdio>
#include <cstdlib>

#include <chest/angular.hpp>
#include <chest/channels/generator.hpp>
#include <chest/covariance.hpp>
#include <chest/estimators/linear/power_profile.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

namespace chest {
namespace {

constexpr arma::uword n_rx = 16, n_tx = 4;

/// E |F h|^2 of each link, [n_h, n_links], and a factor of its covariance.
struct Links {
  arma::mat profiles;
  std::vector<arma::cx_mat> factors;  ///< of the angular channel
};

Links draw_links(std::uint64_t seed, arma::uword n, bool with_factors) {
  const AngularTransform transform(n_rx, n_tx);
  const auto covariances = make_scm({n_rx, n_tx, 3, 2.0, 35.0})->generate(seed, 0, n).covariances;
  Links out;
  out.profiles.set_size(n_rx * n_tx, n);
  const arma::cx_mat F_rx = dft_matrix(n_rx), F_tx = dft_matrix(n_tx);
  for (arma::uword l = 0; l < n; ++l) {
    const arma::cx_vec t_rx = covariances.t_rx.col(l), t_tx = covariances.t_tx.col(l);
    const arma::cx_mat C_rx = F_rx * toeplitz(t_rx) * F_rx.t(),
                       C_tx = F_tx * toeplitz(t_tx) * F_tx.t();
    out.profiles.col(l) =
        arma::kron(arma::vec(arma::real(C_tx.diag())), arma::vec(arma::real(C_rx.diag())));
    if (with_factors)
      out.factors.push_back(arma::kron(covariance_factor(C_tx), covariance_factor(C_rx)));
  }
  out.profiles.clamp(1e-4, arma::datum::inf);
  return out;
}

/// NMSE in dB of linear MMSE whose angles have power p.
double lmmse_db(const arma::mat& p, const arma::cx_mat& z, const arma::cx_mat& x, double sigma2) {
  const arma::cx_mat error = arma::conv_to<arma::cx_mat>::from(p / (p + sigma2)) % z - x;
  return to_db(arma::accu(arma::square(arma::abs(error))) / arma::accu(arma::square(arma::abs(x))));
}

int run(int argc, char** argv) {
  const arma::uword n_links =
      argc > 1 ? static_cast<arma::uword>(std::max(std::atoi(argv[1]), 1)) : 400;
  const arma::mat others = draw_links(78, 2000, false).profiles;
  const LogNormalPrior prior = fit_log_normal(others);
  const Links links = draw_links(77, n_links, true);
  const arma::mat& p = links.profiles;
  const arma::mat common = arma::repmat(arma::mean(others, 1), 1, n_links);
  std::printf(
      "| snapshots | snr_db | profile: sample | log-normal | median | lmmse: sample | log-normal | "
      "median | mean profile | true profile |\n");
  std::printf("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const arma::uword n : {1U, 2U, 4U, 8U, 16U}) {
    for (const double snr_db : {-10.0, 0.0, 10.0, 20.0}) {
      const double sigma2 = from_db(-snr_db);
      arma::mat q(arma::size(p), arma::fill::zeros);
      arma::cx_mat x(arma::size(p)), z(arma::size(p));
      for (arma::uword l = 0; l < n_links; ++l) {
        Rng rng(6, {Purpose::channel, 2, l});
        for (arma::uword i = 0; i <= n; ++i) {
          x.col(l) = links.factors[l] * rng.cx_normal(p.n_rows, 1);
          z.col(l) = x.col(l) + rng.cx_normal(p.n_rows, 1, sigma2);
          if (i < n) q.col(l) += arma::square(arma::abs(z.col(l))) / static_cast<double>(n);
        }
      }
      const arma::mat sample = arma::clamp(q - sigma2, 1e-3, arma::datum::inf);
      const LogNormal found = power_profile(prior, q, n, sigma2);
      const arma::mat mean = found.mean(), median = arma::exp(found.log_mean);
      const auto off = [&](const arma::mat& p_hat) {
        return to_db(arma::accu(arma::square(p_hat - p)) / arma::accu(arma::square(p)));
      };
      std::printf("| %d | %g | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n",
                  static_cast<int>(n), snr_db, off(sample), off(mean), off(median),
                  lmmse_db(sample, z, x, sigma2), lmmse_db(mean, z, x, sigma2),
                  lmmse_db(median, z, x, sigma2), lmmse_db(common, z, x, sigma2),
                  lmmse_db(p, z, x, sigma2));
    }
  }
  return 0;
}

}  // namespace
}  // namespace chest

int main(int argc, char** argv) { return chest::run(argc, argv); }
