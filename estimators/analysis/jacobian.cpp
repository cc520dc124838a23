#include <chest/estimators/analysis/jacobian.hpp>

#include <algorithm>
#include <cmath>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr std::uint64_t jacobian_stream = 3100;

arma::cx_mat repeated(const arma::cx_vec& z, arma::uword n) { return arma::repmat(z, 1, n); }

/// Real coordinates of complex columns, and back.
arma::mat stacked(const arma::cx_mat& V) { return arma::join_cols(arma::real(V), arma::imag(V)); }
arma::cx_mat unstacked(const arma::mat& V) {
  const arma::uword n = V.n_rows / 2;
  return arma::cx_mat(V.head_rows(n), V.tail_rows(n));
}

/// Columns that a pass takes at once: a linearised network keeps its activations.
constexpr arma::uword columns_at_once = 64;

double participation(const arma::vec& power) {
  const double all = arma::accu(power);
  return all > 0.0 ? all * all / arma::accu(arma::square(power)) : 0.0;
}

/// (J_r + J_r^T) / 2 V.
arma::mat symmetric_product(const DenoiserDerivative& at, const arma::mat& V) {
  const arma::cx_mat columns = unstacked(V);
  arma::mat out = stacked(at.push(columns));
  if (at.has_pull()) out = 0.5 * (out + stacked(at.pull(columns)));
  return out;
}

void leading_by_iteration(const DenoiserDerivative& at, arma::uword n, arma::uword n_iterations,
                          Rng& rng, arma::vec& l, arma::mat& V) {
  // Some more directions than are asked for, whose errors are left out at the end.
  const arma::uword n_all = std::min<arma::uword>(n + 8, 2 * at.z().n_elem);
  arma::mat R;
  V = stacked(rng.cx_normal(at.z().n_elem, n_all));
  for (arma::uword i = 0; i < n_iterations; ++i) {
    arma::qr_econ(V, R, arma::mat(V));
    V = symmetric_product(at, V);
  }
  arma::qr_econ(V, R, arma::mat(V));
  arma::mat small = V.t() * symmetric_product(at, V);
  small = 0.5 * (small + small.t());
  arma::mat W;
  if (!arma::eig_sym(l, W, small)) {
    throw Error(ErrorKind::numeric, "jacobian: the eigenvalues were not found");
  }
  l = arma::reverse(l);
  V = V * arma::fliplr(W);
  const arma::uword kept = std::min<arma::uword>(n, l.n_elem);
  l = l.head(kept).eval();
  V = V.head_cols(kept).eval();
}

}  // namespace

DenoiserDerivative::DenoiserDerivative(const Denoiser& denoiser, const arma::cx_vec& z,
                                       double sigma2)
    : denoiser_(denoiser), z_(z), sigma2_(sigma2) {
  if (z.n_elem != denoiser.n_h()) {
    refuse("jacobian: z has " + std::to_string(z.n_elem) + " entries, the prior " +
           std::to_string(denoiser.n_h()));
  }
  if (!(sigma2 > 0.0)) refuse("jacobian: sigma2 is " + std::to_string(sigma2) + ", expected > 0");
}

arma::cx_mat DenoiserDerivative::push(const arma::cx_mat& V) const {
  arma::cx_mat out(arma::size(V)), ahead, behind;
  for (arma::uword first = 0; first < V.n_cols; first += columns_at_once) {
    const arma::uword last = std::min(first + columns_at_once, V.n_cols) - 1;
    arma::cx_mat steps = V.cols(first, last);
    // Steps of 1 % of the noise: far above the rounding of float32, small beside the noise.
    arma::vec lengths(steps.n_cols);
    for (arma::uword k = 0; k < steps.n_cols; ++k) {
      const double norm = arma::norm(steps.col(k));
      const double wanted = 0.01 * std::sqrt(sigma2_ * static_cast<double>(z_.n_elem));
      lengths(k) = norm > 0.0 ? wanted / norm : 1.0;
      steps.col(k) *= lengths(k);
    }
    const arma::cx_mat at = repeated(z_, steps.n_cols);
    denoiser_.denoise(at + steps, sigma2_, ahead);
    denoiser_.denoise(at - steps, sigma2_, behind);
    for (arma::uword k = 0; k < steps.n_cols; ++k) {
      out.col(first + k) = (ahead.col(k) - behind.col(k)) / (2.0 * lengths(k));
    }
  }
  return out;
}

arma::cx_mat DenoiserDerivative::pull(const arma::cx_mat& W) const {
  arma::cx_mat out(arma::size(W)), part;
  for (arma::uword first = 0; first < W.n_cols; first += columns_at_once) {
    const arma::uword last = std::min(first + columns_at_once, W.n_cols) - 1;
    denoiser_.linearise(repeated(z_, last - first + 1), sigma2_)
        ->pull_back(W.cols(first, last), part);
    out.cols(first, last) = part;
  }
  return out;
}

arma::mat DenoiserDerivative::bilinear(const arma::cx_mat& U, const arma::cx_mat& V) const {
  const arma::cx_mat of_U = has_pull() ? pull(U) : push(U);
  const arma::cx_mat of_V = has_pull() ? pull(V) : push(V);
  arma::mat out(U.n_cols, 2);
  for (arma::uword k = 0; k < U.n_cols; ++k) {
    // J^T u . v = u . J v; by push, v . J u and u . J v.
    const double first = std::real(arma::cdot(of_U.col(k), V.col(k)));
    const double second = std::real(arma::cdot(of_V.col(k), U.col(k)));
    out(k, 0) = has_pull() ? first : second;
    out(k, 1) = has_pull() ? second : first;
  }
  return out;
}

arma::mat DenoiserDerivative::matrix() const {
  const arma::uword n = z_.n_elem;
  const arma::cx_mat basis = unstacked(arma::mat(2 * n, 2 * n, arma::fill::eye));
  return has_pull() ? arma::mat(stacked(pull(basis)).t()) : stacked(push(basis));
}

JacobianReport analyse_jacobian(const Denoiser& denoiser, const arma::cx_vec& h,
                                const arma::cx_vec& z, double sigma2, arma::uword n_rx,
                                arma::uword n_tx, std::uint64_t seed,
                                const JacobianOptions& options) {
  const arma::uword n_h = denoiser.n_h();
  if (h.n_elem != n_h || n_rx * n_tx != n_h) {
    refuse("jacobian: h has " + std::to_string(h.n_elem) + " entries, " + std::to_string(n_rx) +
           "x" + std::to_string(n_tx) + " channels and the prior " + std::to_string(n_h));
  }
  const DenoiserDerivative at(denoiser, z, sigma2);
  JacobianReport report;
  arma::mat V;
  if (n_h <= options.most_whole) {
    const arma::mat J = at.matrix();
    report.asymmetry = arma::norm(J - J.t(), "fro") / arma::norm(J + J.t(), "fro");
    report.effective_rank = 0.5 * arma::trace(J);
    arma::vec l;
    if (!arma::eig_sym(l, V, 0.5 * (J + J.t()))) {
      throw Error(ErrorKind::numeric, "jacobian: the eigenvalues were not found");
    }
    report.shrinkage = arma::reverse(l);
    V = arma::fliplr(V).eval();
  } else {
    Rng rng(seed, {Purpose::validation, jacobian_stream});
    const arma::cx_mat U = rng.cx_normal(n_h, options.n_probes, 2.0);
    const arma::mat pairs = at.bilinear(U, rng.cx_normal(n_h, options.n_probes, 2.0));
    report.asymmetry = std::sqrt(arma::accu(arma::square(pairs.col(0) - pairs.col(1))) /
                                 arma::accu(arma::square(pairs.col(0) + pairs.col(1))));
    const arma::cx_mat JU = at.push(U);
    for (arma::uword k = 0; k < U.n_cols; ++k) {
      report.effective_rank += 0.5 * std::real(arma::cdot(U.col(k), JU.col(k)));
    }
    report.effective_rank /= static_cast<double>(U.n_cols);
    leading_by_iteration(at, 2 * options.n_leading, options.n_iterations, rng, report.shrinkage, V);
  }

  const arma::uword n = V.n_cols, n_kept = std::min<arma::uword>(n, 2 * options.n_leading);
  const arma::vec along = V.t() * stacked(h);
  report.energy = arma::cumsum(arma::square(along)) / squared_norm(h);
  const arma::cx_mat vectors = unstacked(V);
  const AngularTransform transform(n_rx, n_tx);
  const arma::mat antennas = squared_magnitudes(vectors);
  const arma::mat angles = squared_magnitudes(transform.forward(vectors));
  report.spread_angles.set_size(n);
  report.spread_antennas.set_size(n);
  for (arma::uword k = 0; k < n; ++k) {
    report.spread_angles(k) = participation(angles.col(k));
    report.spread_antennas(k) = participation(antennas.col(k));
  }
  report.angular = angles.head_cols(n_kept);
  return report;
}

}  // namespace v0
}  // namespace chest
