#include <chest/estimators/diffusion/walk.hpp>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <chest/error.hpp>

#include <chest/estimators/common/column_noise.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/common/enum_names.hpp>
#include <chest/estimators/diffusion/guidance.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// Draws of a walk with a start, apart from those of the start itself.
constexpr std::uint64_t runs_after_start = std::uint64_t{1} << 32;

/// Sets columns with entries beyond any channel, or not finite, to 0 and marks them in `reset`.
void reset_diverged_columns(arma::cx_mat& z, std::vector<char>& reset) {
  constexpr double most_power = 1e12;
  for (arma::uword k = 0; k < z.n_cols; ++k) {
    bool diverged = false;
    for (const arma::cx_double& value : z.col(k)) {
      diverged = diverged || !(std::norm(value) < most_power);
    }
    if (!diverged) continue;
    z.col(k).zeros();
    reset[k] = 1;
  }
}

class WalkEstimator final : public Estimator {
 public:
  WalkEstimator(std::shared_ptr<const Guidance> guidance, const WalkOptions& options)
      : guidance_(std::move(guidance)),
        options_(options),
        largest_(guidance_->A().squared_singular_values().max()),
        levels_(walk_levels(options, guidance_->sigma2_range())) {}

  std::string name() const override { return guidance_->name(); }
  const ObservationOperator& A() const override { return guidance_->A(); }

  std::string warning(double sigma2) const override { return guidance_->warning(sigma2); }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    out.h.zeros();
    if (observation.y.n_cols == 0) return;
    std::vector<char> reset(observation.y.n_cols, 0);
    arma::cx_mat start(arma::size(out.h), arma::fill::zeros);
    if (options_.start) {
      Estimate first;
      options_.start->estimate(observation, first);
      start = std::move(first.h);
      out.nfe = first.nfe;
      out.n_reset = first.n_reset;
    }
    for (arma::uword run = 0; run < options_.n_runs; ++run) {
      ColumnNoise noise(observation, run + (options_.start ? runs_after_start : 0));
      out.h += walk_once(observation, start, noise, reset, out.nfe);
    }
    out.h /= static_cast<double>(options_.n_runs);
    out.n_reset += static_cast<arma::uword>(std::count(reset.begin(), reset.end(), 1));
  }

  arma::cx_mat walk_once(const Observation& observation, arma::cx_mat z, ColumnNoise& noise,
                         std::vector<char>& reset, arma::uword& n_calls) const {
    const WalkUpdate update = options_.update;
    if (update != WalkUpdate::mean && update != WalkUpdate::none) {
      // Without a start, h itself counts as noise.
      noise.add_to(z, levels_.front() + (options_.start ? 0.0 : 1.0));
    }
    Guided at;
    const auto guide = [&](const arma::cx_mat& state, double tau2) {
      guidance_->guide(state, tau2, observation, at);
      n_calls += at.calls;
    };
    const auto langevin = [&](double tau2, double step) {
      guide(z, tau2);
      z += (step / tau2) * (at.m - z);
      if (options_.langevin_noise > 0.0) noise.add_to(z, 2.0 * step * options_.langevin_noise);
      reset_diverged_columns(z, reset);
    };
    for (arma::uword i = 0; i < levels_.n_elem; ++i) {
      double tau2 = levels_(i);
      if (update == WalkUpdate::langevin) {
        const double step = options_.langevin_step * tau2 / std::max(1.0, largest_);
        for (arma::uword j = 0; j < options_.inner; ++j) langevin(tau2, step);
        if (i + 1 == levels_.n_elem) guide(z, tau2);
        continue;
      }
      if (options_.churn > 0.0 && i + 1 < levels_.n_elem) {
        const double more = 1.0 + std::min(options_.churn / static_cast<double>(levels_.n_elem),
                                           std::sqrt(2.0) - 1.0);
        noise.add_to(z, (more * more - 1.0) * tau2);
        tau2 *= more * more;
      }
      guide(z, tau2);
      for (arma::uword j = 1; j < options_.inner; ++j) {
        z = at.m;
        if (update == WalkUpdate::fresh) noise.add_to(z, tau2);
        guide(z, tau2);
      }
      if (i + 1 == levels_.n_elem) break;
      const double next = levels_(i + 1);
      step(z, at, tau2, next, observation, noise, n_calls);
      if (!at.push.is_empty()) z += guidance_->push_gain(next) * at.push;
      reset_diverged_columns(z, reset);
      for (arma::uword j = 0; j < options_.n_corrector; ++j) {
        langevin(next, options_.corrector_step * next);
      }
    }
    reset_diverged_columns(at.m, reset);
    return at.m;
  }

  /// The steps ancestral and fresh, z' = a0 z + a m + e, whose m and e the guidance has its say in.
  void step_with_shaped_noise(arma::cx_mat& z, Guided& at, double tau2, double next,
                              const Observation& observation, ColumnNoise& noise) const {
    const bool ancestral = options_.update == WalkUpdate::ancestral;
    const double keep = next / tau2;
    const double a0 = ancestral ? keep : std::sqrt((1.0 - options_.zeta) * keep);
    const double variance = ancestral ? next * (1.0 - keep) : next * options_.zeta;
    arma::cx_mat e(arma::size(z), arma::fill::zeros);
    noise.add_to(e, variance);
    guidance_->shape_step(1.0 - a0, variance, observation, at, e);
    z = a0 * z + (1.0 - a0) * at.m + e;
  }

  void step(arma::cx_mat& z, Guided& at, double tau2, double next, const Observation& observation,
            ColumnNoise& noise, arma::uword& n_calls) const {
    const double keep = next / tau2, root = std::sqrt(keep);
    if (guidance_->shapes_noise()) {
      step_with_shaped_noise(z, at, tau2, next, observation, noise);
      return;
    }
    switch (options_.update) {
      case WalkUpdate::ancestral:
        z = keep * z + (1.0 - keep) * at.m;
        noise.add_to(z, next * (1.0 - keep));
        return;
      case WalkUpdate::mean:
        z = keep * z + (1.0 - keep) * at.m;
        return;
      case WalkUpdate::ode:
        z = at.m + root * (z - at.m);
        return;
      case WalkUpdate::heun: {
        // z' = z + (s - tau) (slope there + slope here) / 2,  slope = (z - m) / tau.
        const arma::cx_mat euler = at.m + root * (z - at.m);
        Guided there;
        guidance_->guide(euler, next, observation, there);
        n_calls += there.calls;
        const double tau = std::sqrt(tau2), s = std::sqrt(next);
        z += 0.5 * (s - tau) * ((z - at.m) / tau + (euler - there.m) / s);
        return;
      }
      case WalkUpdate::fresh: {
        const double old = std::sqrt(1.0 - options_.zeta) * root;
        z = at.m + old * (z - at.m);
        if (options_.zeta > 0.0) noise.add_to(z, next * options_.zeta);
        return;
      }
      case WalkUpdate::none:
      case WalkUpdate::langevin:
        break;
    }
    z = at.m;
  }

  std::shared_ptr<const Guidance> guidance_;
  WalkOptions options_;
  double largest_;  ///< squared singular value of A
  arma::vec levels_;
};

}  // namespace

const char* to_string(WalkUpdate update) { return name_of(walk_update_names, update); }

std::string WalkOptions::why_invalid() const {
  if (const std::string why = walk_options.why_invalid(*this); !why.empty()) return why;
  if (tau2_first != 0.0 && tau2_first < tau2_last) {
    return "the first level, " + number_text(tau2_first) + ", lies below the last, " +
           number_text(tau2_last);
  }
  if (!above(0).holds(corrector_step)) {
    return "corrector_step is " + number_text(corrector_step) + ", it must be > 0";
  }
  if (!above(0).holds(langevin_step)) {
    return "langevin_step is " + number_text(langevin_step) + ", it must be > 0";
  }
  if (!at_least(0).holds(langevin_noise)) {
    return "langevin_noise is " + number_text(langevin_noise) + ", it must be >= 0";
  }
  if (churn > 0.0 && update != WalkUpdate::ode && update != WalkUpdate::heun) {
    return "churn is " + number_text(churn) + ", it is for the updates ode and heun";
  }
  return {};
}

arma::vec walk_levels(const WalkOptions& options,
                      const std::optional<std::pair<double, double>>& range) {
  double asked = options.tau2_first;
  if (asked == 0.0) {
    const bool fresh = options.update == WalkUpdate::fresh || options.update == WalkUpdate::none;
    asked = std::max(options.start ? 1.0 : fresh ? 25.0 : 400.0, options.tau2_last);
  }
  const double first = range ? std::min(asked, range->second) : asked;
  const double last =
      std::min(range ? std::max(options.tau2_last, range->first) : options.tau2_last, first);
  const arma::uword n = options.n_levels;
  arma::vec levels(n);
  // Interpolated in tau2^(1/14) as [Karras2022], or in its logarithm.
  constexpr double rho = 14.0;
  for (arma::uword i = 0; i < n; ++i) {
    const double share = n == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(n - 1);
    levels(i) = options.grid == WalkGrid::log
                    ? first * std::pow(last / first, share)
                    : std::pow((1.0 - share) * std::pow(first, 1.0 / rho) +
                                   share * std::pow(last, 1.0 / rho),
                               rho);
  }
  return levels;
}

std::unique_ptr<Estimator> make_walk(std::shared_ptr<const Guidance> guidance,
                                     const WalkOptions& options) {
  if (!guidance) throw Error(ErrorKind::invalid_argument, "walk: the guidance is not given");
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, guidance->name() + ": " + why);
  }
  const bool puts_in_noise = options.update == WalkUpdate::ancestral ||
                             (options.update == WalkUpdate::fresh && options.zeta > 0.0);
  if (guidance->shapes_noise() && !puts_in_noise) {
    refuse(guidance->name() + ": plus is for walks that put in noise, ancestral and fresh");
  }
  return std::make_unique<WalkEstimator>(std::move(guidance), options);
}

}  // namespace v0
}  // namespace chest
