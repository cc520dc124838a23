#include <chest/estimators/linear/tracking.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

void check_time_order(const Observation& link) {
  for (arma::uword k = 1; k < link.y.n_cols; ++k) {
    if (link.sample(k) > link.sample(k - 1)) continue;
    refuse("tracking: slot " + std::to_string(link.sample(k)) + " comes after slot " +
           std::to_string(link.sample(k - 1)) + ", expected time order");
  }
}

/// |r| <= 1 with the same phase.
arma::cx_double within_unit_circle(arma::cx_double r) {
  const double size = std::abs(r);
  return size > 1.0 ? r / size : r;
}

/// S = R - r r^H of some lags, by its eigenvalues.
class LagCovariance {
 public:
  LagCovariance(const arma::cx_vec& r, arma::uvec lags) : lags_(std::move(lags)) {
    const arma::uword n = lags_.n_elem;
    r_.set_size(n);
    for (arma::uword i = 0; i < n; ++i) r_(i) = r(lags_(i));
    // E[h_{k-i} conj(h_{k-j})] = r_{j-i}
    arma::cx_mat S(n, n);
    for (arma::uword i = 0; i < n; ++i) {
      for (arma::uword j = 0; j < n; ++j) {
        const arma::cx_double of_pair =
            lags_(j) >= lags_(i) ? r(lags_(j) - lags_(i)) : std::conj(r(lags_(i) - lags_(j)));
        S(i, j) = of_pair - std::conj(r_(i)) * r_(j);
      }
    }
    hermitian_eigen(0.5 * (S + S.t()), l_, U_);
    // A measured R need not be positive: what is below zero says how far off the others may be.
    l_.clamp(std::max(0.0, -l_.min()), arma::datum::inf);
  }

  const arma::uvec& lags() const { return lags_; }

  SlotWeights weights(double sigma2, double power, double directions) const {
    SlotWeights out;
    if (lags_.n_elem == 1) {
      out.w.ones(1);
      out.sigma2 = out.in_signal = sigma2;
      return out;
    }
    // sum_j w_j conj(r_j) = 1, least w^T B conj(w)
    const arma::vec d = sigma2 + directions * power * l_;
    const arma::cx_vec x = U_ * ((U_.t() * arma::conj(r_)) / arma::conv_to<arma::cx_vec>::from(d));
    out.w = arma::conj(x) / std::real(arma::cdot(arma::conj(r_), x));
    const arma::cx_vec of_S = U_.t() * arma::conj(out.w);
    const double change = power * arma::dot(l_, arma::square(arma::abs(of_S)));
    const double noise = sigma2 * std::real(arma::cdot(out.w, out.w));
    out.sigma2 = noise + change;
    out.in_signal = noise + directions * change;
    return out;
  }

 private:
  arma::uvec lags_;
  arma::cx_vec r_;  ///< at the lags
  arma::vec l_;
  arma::cx_mat U_;
};

/// One link on its way through time.
class Track {
 public:
  Track(const Estimator& estimator, const Observation& link, const arma::cx_vec& r,
        TrackingRule rule)
      : estimator_(estimator),
        link_(link),
        r_(r),
        rule_(rule),
        n_h_(static_cast<double>(estimator.A().n_h())),
        power_(arma::accu(estimator.A().squared_singular_values()) /
               static_cast<double>(estimator.A().n_obs())) {}

  Estimate run() {
    Estimate out;
    const arma::uword n = link_.y.n_cols;
    out.h.set_size(estimator_.A().n_h(), n);
    for (k_ = 0; k_ < n; ++k_) {
      find_lags();
      Estimate one;
      if (k_ == 0 || lags_.n_elem == 1) {
        one = call(link_.y.col(k_), link_.sigma2);
        count_directions(one, link_.sigma2);
      } else {
        one = rule_ == TrackingRule::mean ? from_mean() : from_sum();
      }
      remember(one);
      append(one, out);
    }
    return out;
  }

 private:
  static constexpr double least_share = 1e-6;  ///< of the power, of what may change

  /// Lags of the slots from oldest_ to k_, which correlate with that at k_.
  void find_lags() {
    const auto lag = [this](arma::uword i) { return link_.sample(k_) - link_.sample(i); };
    while (lag(oldest_) >= r_.n_elem) ++oldest_;
    lags_.set_size(k_ - oldest_ + 1);
    for (arma::uword i = oldest_; i <= k_; ++i) lags_(i - oldest_) = lag(i);
    if (arma::all(arma::abs(r_.elem(lags_.head(lags_.n_elem - 1))) == 0.0)) {
      lags_ = arma::uvec{0};
      return;
    }
    if (!of_lags_ || of_lags_->lags().n_elem != lags_.n_elem ||
        arma::any(of_lags_->lags() != lags_)) {
      of_lags_.emplace(r_, lags_);
    }
  }

  Estimate call(const arma::cx_mat& y, double sigma2) const {
    Observation one = link_.columns(arma::uvec{k_});
    one.y = y;
    one.sigma2 = sigma2;
    return estimator_.estimate(one);
  }

  Estimate from_sum() {
    const SlotWeights slots = of_lags_->weights(link_.sigma2, power_, directions_);
    Estimate one = call(link_.y.cols(oldest_, k_) * slots.w, slots.sigma2);
    count_directions(one, slots.sigma2);
    one.mse *= slots.in_signal / slots.sigma2;
    return one;
  }

  /// n_h over the number of directions, d: each has power d, and an error of sigma2 d / (d + sigma2) of it is left
  /// at noise sigma2, so that mse / n_h = sigma2 / (d + sigma2).
  void count_directions(const Estimate& one, double sigma2) {
    if (one.mse.is_empty() || !(one.mse(0) > 0.0)) return;
    const double level = sigma2 / power_;
    directions_ = std::clamp(level * n_h_ / one.mse(0) - level, 1.0, n_h_);
  }

  Estimate from_mean() const {
    const arma::cx_double a = r_(lags_(lags_.n_elem - 2));
    const double a2 = std::norm(a);
    const arma::cx_mat m = a * last_;
    const arma::cx_mat rest = link_.y.col(k_) - estimator_.A().apply(m);
    const auto n_obs = static_cast<double>(rest.n_rows);
    // What y - A m has beyond noise and its spread, per entry of h.
    const double seen = std::pow(arma::norm(rest), 2) / n_obs / (1.0 + 2.0 / std::sqrt(n_obs));
    const double g2 =
        std::max({1.0 - a2 + a2 * last_mse_ / n_h_, (seen - link_.sigma2) / power_, least_share});
    Estimate one;
    // So weak that the estimator is not made for it: the prediction stays.
    const bool in_range =
        estimator_.warning(link_.sigma2 / g2).empty() || !estimator_.warning(link_.sigma2).empty();
    if (in_range) {
      one = call(rest / std::sqrt(g2), link_.sigma2 / g2);
      one.h = m + std::sqrt(g2) * one.h;
      if (one.mse.is_empty()) one.mse = arma::vec{n_h_};
      one.mse *= g2;
      one.angular_mse *= g2;
      one.element_mse *= g2;
    } else {
      one.h = m;
      one.mse = arma::vec{g2 * n_h_};
    }
    one.sigma2.reset();
    return one;
  }

  void remember(const Estimate& one) {
    last_ = one.h;
    last_mse_ = one.mse.is_finite() && !one.mse.is_empty() ? one.mse(0) : n_h_;
  }

  void append(const Estimate& one, Estimate& out) const {
    const arma::uword n = link_.y.n_cols;
    out.h.col(k_) = one.h;
    if (!one.mse.is_empty()) {
      if (out.mse.is_empty()) out.mse.set_size(n), out.mse.fill(arma::datum::nan);
      out.mse(k_) = one.mse(0);
    }
    const auto put = [&](const arma::mat& from, arma::mat& to) {
      if (from.is_empty()) return;
      if (to.is_empty()) to.set_size(from.n_rows, n), to.fill(arma::datum::nan);
      to.col(k_) = from;
    };
    put(one.angular_mse, out.angular_mse);
    put(one.heads, out.heads);
    put(one.element_mse, out.element_mse);
    out.nfe = std::max(out.nfe, one.nfe);
    out.n_reset += one.n_reset;
  }

  const Estimator& estimator_;
  const Observation& link_;
  const arma::cx_vec& r_;
  TrackingRule rule_;
  double n_h_, power_;
  arma::uword k_ = 0, oldest_ = 0;
  arma::uvec lags_;
  std::optional<LagCovariance> of_lags_;  ///< that of the present lags
  arma::cx_mat last_;
  double last_mse_ = 0.0, directions_ = 1.0;
};

}  // namespace

arma::cx_vec gauss_markov_correlation(arma::cx_double a, arma::uword n_lags) {
  if (n_lags == 0) refuse("tracking: 0 lags, expected at least 1");
  if (!(std::abs(a) <= 1.0)) {
    refuse("tracking: the correlation from slot to slot is " + number_text(std::abs(a)) +
           ", expected 0 .. 1");
  }
  arma::cx_vec r(n_lags);
  r(0) = 1.0;
  for (arma::uword j = 1; j < n_lags; ++j) r(j) = a * r(j - 1);
  return r;
}

SlotProducts slot_products(const Observation& link, arma::uword n_lags) {
  if (n_lags == 0) refuse("tracking: 0 lags, expected at least 1");
  check_time_order(link);
  SlotProducts out;
  out.sums.zeros(n_lags);
  out.powers.zeros(n_lags);
  out.pairs.zeros(n_lags);
  out.n_obs = link.y.n_rows;
  const arma::vec power = arma::sum(arma::square(arma::abs(link.y)), 0).t();
  for (arma::uword k = 0; k < link.y.n_cols; ++k) {
    for (arma::uword i = k + 1; i-- > 0;) {
      const std::uint64_t lag = link.sample(k) - link.sample(i);
      if (lag >= n_lags) break;
      out.sums(lag) += arma::cdot(link.y.col(i), link.y.col(k));
      out.powers(lag) += 0.5 * (power(i) + power(k));
      out.pairs(lag) += 1.0;
    }
  }
  return out;
}

void SlotProducts::add(const SlotProducts& link) {
  if (link.n_obs != n_obs || link.sums.n_elem != sums.n_elem) {
    refuse("tracking: the products of two links differ in size");
  }
  sums += link.sums;
  powers += link.powers;
  pairs += link.pairs;
}

arma::cx_vec measured_correlation(const SlotProducts& products, double sigma2) {
  constexpr double margin = 10.0, least_signal = 1e-3;
  const double noise = static_cast<double>(products.n_obs) * sigma2;
  arma::cx_vec r(products.sums.n_elem, arma::fill::zeros);
  r(0) = 1.0;
  for (arma::uword j = 1; j < r.n_elem; ++j) {
    const double pairs = products.pairs(j);
    if (pairs == 0.0) continue;
    const double signal = products.powers(j) / pairs - noise;
    // Nothing but noise: no slot says anything of another.
    if (!(signal > least_signal * noise)) continue;
    r(j) = within_unit_circle(products.sums(j) / (pairs * signal));
    r(j) *= 1.0 - (1.0 - std::norm(r(j))) * std::min(1.0, margin / pairs);
    const double by_noise = sigma2 * (noise + 2.0 * signal) / (pairs * signal * signal);
    r(j) *= std::max(0.0, 1.0 - by_noise / std::max(std::norm(r(j)), by_noise));
  }
  return r;
}

SlotWeights slot_weights(const arma::cx_vec& r, const arma::uvec& lags, double sigma2, double power,
                         double directions) {
  return LagCovariance(r, lags).weights(sigma2, power, directions);
}

Estimate track(const Estimator& estimator, const Observation& link, const arma::cx_vec& r,
               TrackingRule rule) {
  if (r.is_empty() || r(0) != 1.0 || !(arma::abs(r).max() <= 1.0 + 1e-9)) {
    refuse("tracking: the correlation must start with 1 and stay within it");
  }
  if (rule == TrackingRule::mean && !estimator.predicts_mse(link.sigma2)) {
    refuse("tracking: " + estimator.name() +
           " predicts no error, which the mean of the next slot needs; use the rule sum");
  }
  check_time_order(link);
  return Track(estimator, link, r, rule).run();
}

Estimate kalman_filter(const ObservationOperator& A, const arma::cx_mat& C, arma::cx_double a,
                       const Observation& link) {
  const arma::uword n_h = A.n_h();
  if (C.n_rows != n_h || C.n_cols != n_h || link.y.n_rows != A.n_obs()) {
    refuse("kalman: C is " + std::to_string(C.n_rows) + "x" + std::to_string(C.n_cols) +
           " and y has " + std::to_string(link.y.n_rows) + " rows, A is " +
           std::to_string(A.n_obs()) + "x" + std::to_string(n_h));
  }
  if (!(std::abs(a) <= 1.0)) {
    refuse("kalman: a is " + number_text(std::abs(a)) + ", expected 0 .. 1");
  }
  Estimate out;
  out.h.set_size(n_h, link.y.n_cols);
  out.mse.set_size(link.y.n_cols);
  arma::cx_mat P = C;
  arma::cx_vec h(n_h, arma::fill::zeros);
  for (arma::uword k = 0; k < link.y.n_cols; ++k) {
    if (k > 0) {
      P = std::norm(a) * P + (1.0 - std::norm(a)) * C;
      h *= a;
    }
    const arma::cx_mat AP = A.apply(P);
    arma::cx_mat S = A.apply(arma::cx_mat(AP.t()));
    S.diag() += link.sigma2;
    const arma::cx_mat K = arma::solve(0.5 * (S + S.t()), AP, arma::solve_opts::likely_sympd).t();
    h += K * (link.y.col(k) - A.apply(arma::cx_mat(h)));
    P -= K * AP;
    P = 0.5 * (P + P.t());
    out.h.col(k) = h;
    out.mse(k) = std::real(arma::trace(P));
  }
  return out;
}

}  // namespace v0
}  // namespace chest
