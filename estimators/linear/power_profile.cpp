#include <chest/estimators/linear/power_profile.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

void check_profiles(const char* who, const LogNormalPrior& prior, const arma::mat& q,
                    double least) {
  if (const std::string why = prior.why_invalid(); !why.empty()) {
    refuse(std::string(who) + ": " + why);
  }
  if (q.n_rows != prior.mean.n_elem) {
    refuse(std::string(who) + ": there are " + std::to_string(q.n_rows) + " rows, the prior has " +
           std::to_string(prior.mean.n_elem));
  }
  if (!q.is_empty() && !(q.is_finite() && q.min() >= least)) {
    refuse(std::string(who) + ": a value is " + number_text(q.min()) + ", expected positive ones");
  }
}

/// ln p given x = ln p + e, e_i of precision w_i: with B = I + W^1/2 C W^1/2, mean + C W^1/2 B^-1 W^1/2 (x - mean).
/// Precisions of 0 are allowed.
class LogDenoiser {
 public:
  LogDenoiser(const LogNormalPrior& prior, const arma::vec& precision)
      : prior_(prior), root_(arma::sqrt(precision)) {
    arma::mat B = prior.C;
    B.each_col() %= root_;
    B.each_row() %= root_.t();
    B.diag() += 1.0;
    if (!arma::chol(lower_, B, "lower")) {
      throw Error(ErrorKind::numeric, "power profile: the covariance of the prior is not positive");
    }
  }
  /// a of the mean, prior.mean + C a.
  /// @param pull  W (x - mean), so that x need not be finite where W is 0
  arma::vec weights(const arma::vec& pull) const {
    const arma::vec scaled = root_ % (prior_.C * pull);
    const arma::vec solved =
        arma::solve(arma::trimatu(lower_.t()), arma::solve(arma::trimatl(lower_), scaled));
    return pull - root_ % solved;
  }
  arma::vec variance() const {
    arma::mat half = prior_.C;
    half.each_col() %= root_;
    half = arma::solve(arma::trimatl(lower_), half);
    return arma::clamp(prior_.C.diag() - arma::sum(arma::square(half), 0).t(), 0.0,
                       arma::datum::inf);
  }

 private:
  const LogNormalPrior& prior_;
  arma::vec root_;
  arma::mat lower_;
};

}  // namespace

std::string LogNormalPrior::why_invalid() const {
  if (mean.is_empty() || C.n_rows != mean.n_elem || C.n_cols != mean.n_elem) {
    return "the prior has a mean of " + std::to_string(mean.n_elem) + " and a covariance of " +
           std::to_string(C.n_rows) + "x" + std::to_string(C.n_cols);
  }
  if (!mean.is_finite() || !C.is_finite()) return "the prior is not finite";
  return {};
}

LogNormalPrior fit_log_normal(const arma::mat& p) {
  if (p.n_cols < 2) {
    refuse("log-normal prior: " + std::to_string(p.n_cols) + " samples, expected at least 2");
  }
  if (!p.is_finite() || !(p.min() > 0.0)) {
    refuse("log-normal prior: a value is " + number_text(p.min()) + ", expected positive ones");
  }
  const auto n = static_cast<double>(p.n_cols);
  arma::mat u = arma::log(p);
  LogNormalPrior prior;
  prior.mean = arma::mean(u, 1);
  u.each_col() -= prior.mean;
  prior.C = u * u.t() / n;
  // Squares of what is off the diagonal, and the part of them that is error.
  const arma::mat error = (arma::square(u) * arma::square(u).t() / n - arma::square(prior.C)) / n;
  const double off = arma::accu(arma::square(prior.C)) - arma::accu(arma::square(prior.C.diag()));
  const double off_error = arma::accu(error) - arma::accu(error.diag());
  const double shrink = off > 0.0 ? std::clamp(off_error / off, 0.0, 1.0) : 0.0;
  const arma::vec diagonal = prior.C.diag();
  prior.C *= 1.0 - shrink;
  prior.C.diag() = diagonal;
  return prior;
}

arma::mat LogNormal::mean() const { return arma::exp(log_mean + 0.5 * log_variance); }

LogNormal denoise_log_normal(const LogNormalPrior& prior, const arma::mat& q, double noise) {
  check_profiles("log-normal denoiser", prior, q, std::numeric_limits<double>::min());
  if (!(noise > 0.0 && std::isfinite(noise))) {
    refuse("log-normal denoiser: noise is " + number_text(noise) +
           ", it must be positive and finite");
  }
  const LogDenoiser denoiser(prior, arma::vec(q.n_rows, arma::fill::value(1.0 / noise)));
  LogNormal out{arma::mat(arma::size(q)), arma::repmat(denoiser.variance(), 1, q.n_cols)};
  for (arma::uword k = 0; k < q.n_cols; ++k) {
    out.log_mean.col(k) =
        prior.mean + prior.C * denoiser.weights((arma::log(q.col(k)) - prior.mean) / noise);
  }
  return out;
}

LogNormal power_profile(const LogNormalPrior& prior, const arma::mat& q, arma::uword n_snapshots,
                        double sigma2) {
  check_profiles("power profile", prior, q, 0.0);
  if (n_snapshots == 0) refuse("power profile: 0 snapshots, expected at least 1");
  if (!(sigma2 >= 0.0 && std::isfinite(sigma2))) {
    refuse("power profile: sigma2 is " + number_text(sigma2) +
           ", it must be finite and not negative");
  }
  constexpr int most_steps = 1000;
  constexpr double settled = 1e-6, shortest = 1e-6, least_share = 0.1, no_gain = 1e-10;
  const auto n = static_cast<double>(n_snapshots);
  LogNormal out{arma::mat(arma::size(q)), arma::mat(arma::size(q))};
  for (arma::uword k = 0; k < q.n_cols; ++k) {
    // u = mean + C a, whose prior is a^T C a / 2.
    const auto log_mean = [&](const arma::vec& a) { return arma::vec(prior.mean + prior.C * a); };
    const auto cost = [&](const arma::vec& a, const arma::vec& u) {
      const arma::vec total = arma::exp(u) + sigma2;
      return n * arma::accu(arma::log(total) + q.col(k) / total) +
             0.5 * arma::dot(a, u - prior.mean);
    };
    arma::vec a(q.n_rows, arma::fill::zeros), u = prior.mean, precision;
    double now = cost(a, u);
    bool done = false;
    for (int step = 0; step < most_steps && !done; ++step) {
      const arma::vec p = arma::exp(u), total = p + sigma2;
      // The second derivative of -ln likelihood, and where it is small part of its mean.
      const arma::vec observed =
          p % (sigma2 + q.col(k) % (p - sigma2) / total) / arma::square(total);
      precision = n * arma::max(observed, least_share * arma::square(p / total));
      // W (x - mean), x where a Newton step of the likelihood alone leads
      const arma::vec pull =
          precision % (u - prior.mean) + n * p % (q.col(k) - total) / arma::square(total);
      const arma::vec towards = LogDenoiser(prior, precision).weights(pull) - a;
      // As far as the posterior grows.
      double length = 1.0;
      arma::vec next_a = a + towards, next_u = log_mean(next_a);
      double next = cost(next_a, next_u);
      while (!(next <= now) && length > shortest) {
        length *= 0.5;
        next_a = a + length * towards;
        next_u = log_mean(next_a);
        next = cost(next_a, next_u);
      }
      done = length <= shortest || arma::abs(next_u - u).max() < settled || now - next < no_gain;
      if (length <= shortest) break;
      a = next_a;
      u = next_u;
      now = next;
    }
    if (!done) throw Error(ErrorKind::numeric, "power profile: the steps do not settle");
    out.log_mean.col(k) = u;
    out.log_variance.col(k) = LogDenoiser(prior, precision).variance();
  }
  return out;
}

}  // namespace v0
}  // namespace chest
