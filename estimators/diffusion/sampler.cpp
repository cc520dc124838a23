#include <chest/estimators/diffusion/sampler.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

#include <chest/estimators/common/column_noise.hpp>
#include <chest/estimators/prior/exact.hpp>

#include "langevin_gibbs.hpp"

namespace chest {
inline namespace v0 {
arma::vec sample_levels(const SampleWalk& walk, arma::uword n_levels,
                        const std::optional<std::pair<double, double>>& range) {
  WalkOptions options;
  options.grid = walk.grid;
  options.n_levels = n_levels;
  const double otherwise = walk.needs_mean ? 1.0 : 400.0;
  options.tau2_first = walk.tau2_first > 0.0 ? walk.tau2_first : otherwise;
  options.tau2_last = std::min(walk.tau2_last, options.tau2_first);
  return walk_levels(options, range);
}

namespace {

using Step = SampleWalk::Step;

// --- the table of names

constexpr auto level_options = options_of<SampleWalk>(
    option("from", &SampleWalk::tau2_first, at_least(0), "first level, tau2").default_is("0: 400"),
    option("to", &SampleWalk::tau2_last, above(0), "last level, tau2"),
    option("grid", &SampleWalk::grid, walk_grid_names, "spacing of the levels"));
/// Of names with a first level of their own.
constexpr auto own_level_options = options_of<SampleWalk>(
    option("from", &SampleWalk::tau2_first, above(0), "first level, tau2"),
    option("to", &SampleWalk::tau2_last, above(0), "last level, tau2"),
    option("grid", &SampleWalk::grid, walk_grid_names, "spacing of the levels"));
constexpr auto eta_option = option("eta", &SampleWalk::eta, within(0, 1), "share of new noise");
constexpr auto churn_option =
    option("churn", &SampleWalk::churn, at_least(0), "noise put in before each step");
constexpr auto order_option =
    option("order", &SampleWalk::order, within(1, 3), "of the extrapolation over levels");
// Before `order` in a table: an order that is given counts.
constexpr auto sde_option =
    option("sde", &SampleWalk::sde, "the SDE, with new noise, in place of the ODE; of order 2")
        .also([](SampleWalk& walk) {
          if (walk.sde) walk.order = std::min<arma::uword>(walk.order, 2);
        });
constexpr auto corrector_options = options_of<SampleWalk>(
    option("corrector", &SampleWalk::n_corrector, within(1, 1000), "Langevin steps per level"),
    option("size", &SampleWalk::corrector_step, between(0, 2), "of a Langevin step, over tau2"),
    eta_option);
constexpr auto lml_options = options_of<SampleWalk>(
    option("memory", &SampleWalk::memory, within(0, 1), "weight of the last direction"),
    option("damping", &SampleWalk::damping, above(0), "lambda over the squared norm"));
constexpr auto gibbs_options = options_of<SampleWalk>(
    option("sweeps", &SampleWalk::sweeps, within(0, 100'000), "Langevin steps and level moves")
        .default_is("0: a fifth of the calls"),
    option("size", &SampleWalk::langevin_step, between(0, 1), "of a Langevin step, over tau2"));
constexpr auto boundary_options =
    options_of<SampleWalk>(option("candidates", &SampleWalk::n_candidates, within(1, 100'000),
                                  "starts that are tried beside that without noise"));
constexpr auto coarse_options = options_of<SampleWalk>(
    option("noise", &SampleWalk::coarse_noise, up_to(0, 1), "1 puts no noise in"),
    option("from", &SampleWalk::tau2_first, at_least(0), "first level, tau2").default_is("0: 4"),
    option("to", &SampleWalk::tau2_last, above(0), "level at which it stops"));

/// A name whose options are some tables of SampleWalk.
template <class... Tables>
NamedSampler named(const std::string& name, const std::string& summary, const SampleWalk& preset,
                   const Tables&... tables) {
  NamedSampler out{name, summary, {}, {}};
  (
      [&](const auto& table) {
        for (OptionInfo& info : table.describe(preset)) out.options.push_back(std::move(info));
      }(tables),
      ...);
  out.read = [preset, tables...](const NamedOptions& spec) {
    SampleWalk walk = preset;
    (tables.read(spec, walk), ...);
    return walk;
  };
  return out;
}

template <class Change>
SampleWalk preset(Change&& change) {
  SampleWalk walk;
  change(walk);
  return walk;
}

void check_options(const NamedOptions& spec, const NamedSampler& sampler) {
  std::vector<std::string> known;
  for (const OptionInfo& option : sampler.options) known.push_back(option.name);
  for (const auto& [name, value] : spec.options) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    refuse(spec.text + ": there is no option '" + name + "'" + did_you_mean(name, known));
  }
  if (!spec.file.empty()) refuse(spec.text + ": a sampler has no file; the model is named before");
}

// --- what all walks do

/// Real part of <a, b> of two columns.
double inner(const arma::cx_mat& a, const arma::cx_mat& b, arma::uword k) {
  return std::real(arma::cdot(a.col(k), b.col(k)));
}

/// Samples that are drawn together, with their random numbers.
struct SampleBlock {
  std::uint64_t first;
  ColumnNoise noise;
  const std::function<void(const SampleState&)>& watch;

  void show(arma::uword level, double tau2, const arma::cx_mat& z, const arma::cx_mat& D) const {
    if (watch) watch({first, level, tau2, z, D});
  }
};

class WalkSampler : public Sampler {
 public:
  WalkSampler(std::string text, const SampleWalk& walk, SamplePrior prior, arma::uword n_calls)
      : text_(std::move(text)), walk_(walk), prior_(std::move(prior)), n_calls_(n_calls) {
    if (!prior_.C.is_empty()) {
      hermitian_eigen(prior_.C, l_, U_);
      l_.clamp(0.0, arma::datum::inf);
    }
  }

  const std::string& text() const override { return text_; }
  arma::uword n_calls() const override { return n_calls_; }

  arma::cx_mat draw(std::uint64_t seed, std::uint64_t first, arma::uword count,
                    const std::function<void(const SampleState&)>& watch) const override {
    Observation key;
    key.y.zeros(1, count);
    key.seed = seed;
    key.first_sample = first;
    SampleBlock samples{first, ColumnNoise(key), watch};
    arma::cx_mat h = count == 0 ? arma::cx_mat(n_h(), 0) : walk(samples);
    for (arma::uword k = 0; k < count; ++k) {
      if (h.col(k).is_finite()) continue;
      throw Error(ErrorKind::numeric, text_ + ": sample " + std::to_string(first + k) +
                                          " left the range of numbers; try a smaller first level "
                                          "(from) or more calls");
    }
    return h;
  }

 protected:
  virtual arma::cx_mat walk(SampleBlock& samples) const = 0;

  arma::uword n_h() const { return prior_.denoiser->n_h(); }

  arma::vec levels(arma::uword n) const {
    return sample_levels(walk_, n, prior_.denoiser->sigma2_range());
  }

  /// h + tau e for a prior that is taken for Gaussian, or the given mean + tau e.
  arma::cx_mat start(SampleBlock& samples, arma::uword count, double tau2) const {
    arma::cx_mat z(n_h(), count, arma::fill::zeros);
    if (walk_.needs_mean) {
      for (arma::uword k = 0; k < count; ++k) {
        z.col(k) = prior_.mean.col((samples.first + k) % prior_.mean.n_cols);
      }
      if (walk_.n_candidates > 0) {
        z.each_col() += std::sqrt(tau2) * boundary_;
      } else {
        samples.noise.add_to(z, tau2);
      }
    } else if (U_.is_empty()) {
      samples.noise.add_to(z, 1.0 + tau2);
    } else {
      samples.noise.add_to(z, 1.0);
      z.each_col() %= arma::conv_to<arma::cx_vec>::from(arma::sqrt(l_ + tau2));
      z = U_ * z;
    }
    return z;
  }

  std::string text_;
  SampleWalk walk_;
  SamplePrior prior_;
  arma::uword n_calls_;
  arma::vec l_;
  arma::cx_mat U_;         ///< C = U diag(l) U^H; empty: not known
  arma::cx_vec boundary_;  ///< e of a start that is searched
};

/// plain, heun, evodiff and lml: one state, level by level.
class LevelSampler final : public WalkSampler {
 public:
  LevelSampler(std::string text, const SampleWalk& walk, SamplePrior prior, arma::uword n_calls)
      : WalkSampler(std::move(text), walk, std::move(prior), n_calls) {
    const arma::uword per_step = (walk.step == Step::heun ? 2 : 1) + walk.n_corrector;
    const arma::uword n = (n_calls + per_step - 1) / per_step;
    levels_ = levels(n);
    n_calls_ = per_step * (n - 1) + 1;
    if (walk.n_candidates > 0) search_boundary();
  }

 private:
  /// The start of least error on the references.
  void search_boundary() {
    constexpr arma::uword most_references = 64;
    const arma::uword n = std::min({most_references, prior_.reference.n_cols, prior_.mean.n_cols});
    const arma::cx_mat h = prior_.reference.head_cols(n);
    Rng rng(1, {Purpose::estimator, 0});
    double least = arma::datum::inf;
    arma::cx_vec best(n_h(), arma::fill::zeros);
    for (arma::uword j = 0; j <= walk_.n_candidates; ++j) {
      boundary_ =
          j == 0 ? arma::cx_vec(n_h(), arma::fill::zeros) : arma::cx_vec(rng.cx_normal(n_h(), 1));
      const double error = squared_norm(draw(1, 0, n, {}) - h);
      if (error < least) {
        least = error;
        best = boundary_;
      }
    }
    boundary_ = best;
  }

  arma::cx_mat walk(SampleBlock& samples) const override {
    const Denoiser& denoiser = *prior_.denoiser;
    const arma::uword n = levels_.n_elem;
    arma::cx_mat z = start(samples, samples.noise.size(), levels_.front()), D;
    std::vector<Past> past;  // the last D, newest first
    arma::cx_mat direction;  // lml: that of the step before
    for (arma::uword i = 0; i < n; ++i) {
      double tau2 = levels_(i);
      if (i > 0) correct(z, tau2, samples);
      if (walk_.churn > 0.0 && i + 1 < n) {
        const double more =
            1.0 + std::min(walk_.churn / static_cast<double>(n), std::sqrt(2.0) - 1.0);
        samples.noise.add_to(z, (more * more - 1.0) * tau2);
        tau2 *= more * more;
      }
      // evodiff has seen D at the probe.
      if (walk_.step != Step::evodiff || i == 0) denoiser.denoise(z, tau2, D);
      samples.show(i, tau2, z, D);
      if (i + 1 == n) break;
      const double next = levels_(i + 1);
      switch (walk_.step) {
        case Step::heun:
          heun_step(z, D, tau2, next);
          break;
        case Step::evodiff:
          evodiff_step(z, D, tau2, next, past);
          break;
        case Step::lml:
          lml_step(z, D, tau2, next, direction);
          break;
        default:
          plain_step(z, D, tau2, next, past, samples);
      }
    }
    return D;
  }

  /// D of a level, and ln(tau / s) of the step from it.
  struct Past {
    arma::cx_mat D;
    double x;
  };

  void correct(arma::cx_mat& z, double tau2, SampleBlock& samples) const {
    arma::cx_mat D;
    for (arma::uword j = 0; j < walk_.n_corrector; ++j) {
      prior_.denoiser->denoise(z, tau2, D);
      z += walk_.corrector_step * (D - z);
      samples.noise.add_to(z, 2.0 * walk_.corrector_step * tau2);
    }
  }

  void plain_step(arma::cx_mat& z, const arma::cx_mat& D, double tau2, double next,
                  std::vector<Past>& past, SampleBlock& samples) const {
    const double x = 0.5 * std::log(tau2 / next);
    const double r = std::exp(-x);
    const auto order = std::min<std::size_t>(walk_.order, past.size() + 1);
    if (walk_.sde) {
      const double keep = r * r;
      arma::cx_mat m = D;
      if (order > 1) m += 0.5 * x / past[0].x * (D - past[0].D);
      z = keep * z + (1.0 - keep) * m;
      samples.noise.add_to(z, next * (1.0 - keep));
    } else if (order == 3) {
      const double r0 = past[0].x / x, r1 = past[1].x / x;
      const arma::cx_mat first = (D - past[0].D) / r0, second = (past[0].D - past[1].D) / r1;
      const arma::cx_mat curve = (first - second) / (r0 + r1);
      // Integrals of x exp(x (v - 1)) v^k over v in 0 .. 1. The published codes have half of the last, with which
      // the slope of the error is 2.
      const double a = std::expm1(-x), of_v = a / x + 1.0, of_v2 = 1.0 - 2.0 / x * of_v;
      z = r * z - a * D + of_v * (first + r0 * curve) + of_v2 * curve;
    } else {
      arma::cx_mat m = D;
      if (order == 2) m += 0.5 * x / past[0].x * (D - past[0].D);
      const double q2 = walk_.eta * walk_.eta * next * (1.0 - r * r);
      const double c = std::sqrt((next - q2) / tau2);
      z = c * z + (1.0 - c) * m;
      if (q2 > 0.0) samples.noise.add_to(z, q2);
    }
    if (walk_.order == 1) return;
    past.insert(past.begin(), {D, x});
    if (past.size() > 2) past.pop_back();
  }

  void heun_step(arma::cx_mat& z, const arma::cx_mat& D, double tau2, double next) const {
    const double tau = std::sqrt(tau2), s = std::sqrt(next);
    const arma::cx_mat slope = (z - D) / tau, euler = z + (s - tau) * slope;
    arma::cx_mat there;
    prior_.denoiser->denoise(euler, next, there);
    z += 0.5 * (s - tau) * (slope + (euler - there) / s);
  }

  void evodiff_step(arma::cx_mat& z, arma::cx_mat& D, double tau2, double next,
                    std::vector<Past>& past) const {
    const double x = 0.5 * std::log(tau2 / next), r = std::exp(-x);
    const arma::cx_mat euler = r * z + (1.0 - r) * D;
    arma::cx_mat before(arma::size(D), arma::fill::zeros);
    if (!past.empty()) before = x / past[0].x * (D - past[0].D);
    arma::cx_mat seen;
    prior_.denoiser->denoise(euler + 0.5 * (1.0 - r) * before, next, seen);
    const arma::cx_mat after = seen - D, between = after - before;
    z = euler;
    for (arma::uword k = 0; k < z.n_cols; ++k) {
      const double size = inner(between, between, k);
      const double w =
          past.empty() || size == 0.0 ? 0.0 : std::clamp(inner(between, after, k) / size, 0.0, 1.0);
      z.col(k) += 0.5 * (1.0 - r) * (after.col(k) - w * between.col(k));
    }
    past.assign(1, {D, x});
    D = seen;
  }

  void lml_step(arma::cx_mat& z, const arma::cx_mat& D, double tau2, double next,
                arma::cx_mat& before) const {
    const arma::cx_mat e = (z - D) / std::sqrt(tau2);
    arma::cx_mat turned = e;
    if (!before.is_empty()) {
      const arma::cx_mat m = walk_.memory * before + (1.0 - walk_.memory) * e;
      for (arma::uword k = 0; k < z.n_cols; ++k) {
        const double size = arma::norm(e.col(k));
        const double lambda = walk_.damping * size * size;
        turned.col(k) -= m.col(k) * (inner(m, e, k) / (lambda + inner(m, m, k)));
        const double left = arma::norm(turned.col(k));
        if (left > 0.0) turned.col(k) *= size / left;
      }
    }
    z = D + std::sqrt(next) * turned;
    before = e;
  }

  arma::vec levels_;
};

/// gibbs: down, around, down.
class GibbsSampler final : public WalkSampler {
 public:
  GibbsSampler(std::string text, const SampleWalk& walk, SamplePrior prior, arma::uword n_calls)
      : WalkSampler(std::move(text), walk, std::move(prior), n_calls) {
    sweeps_ = walk.sweeps > 0 ? walk.sweeps : std::max<arma::uword>(n_calls / 5, 1);
    const arma::uword around = 2 * sweeps_ + 1;
    if (n_calls < around + 3) {
      refuse(text_ + ": " + std::to_string(n_calls) + " calls, expected at least " +
             std::to_string(around + 3) + " (sweeps: " + std::to_string(sweeps_) + ")");
    }
    down_ = levels((n_calls - around - 1) / 2);
    // Neighbours are apart by what one state tells of its level.
    const double span = std::log(down_.front() / down_.back());
    const auto n = static_cast<arma::uword>(
        std::clamp(std::ceil(0.5 * span * std::sqrt(static_cast<double>(n_h()))), 4.0, 512.0));
    around_ = arma::exp(arma::linspace(std::log(down_.front()), std::log(down_.back()), n));
    n_calls_ = 2 * down_.n_elem + around + 1;
  }

 private:
  arma::cx_mat walk(SampleBlock& samples) const override {
    const arma::uword count = samples.noise.size();
    arma::cx_mat D;
    LeveledStates states{start(samples, count, down_.front()), arma::uvec(count)};
    for (arma::uword k = 0; k < count; ++k) {
      states.level(k) = samples.noise.of(k).index(around_.n_elem);
    }
    // Down to the level of each, which is the end of its last step.
    arma::uvec on = arma::find(arma::vec(around_.elem(states.level)) < down_.front());
    for (arma::uword i = 0; i < down_.n_elem && !on.is_empty(); ++i) {
      const arma::cx_mat z = states.z.cols(on);
      prior_.denoiser->denoise(z, down_(i), D);
      std::vector<arma::uword> still;
      for (arma::uword j = 0; j < on.n_elem; ++j) {
        const arma::uword k = on(j);
        const double end = around_(states.level(k));
        const bool further = i + 1 < down_.n_elem && down_(i + 1) > end;
        const double r = std::sqrt((further ? down_(i + 1) : end) / down_(i));
        states.z.col(k) = D.col(j) + r * (z.col(j) - D.col(j));
        if (further) still.push_back(k);
      }
      on = arma::conv_to<arma::uvec>::from(still);
    }
    langevin_gibbs(*prior_.denoiser, around_, walk_.langevin_step, sweeps_, states, samples.noise);
    D = denoise_leveled(*prior_.denoiser, around_, states);
    arma::vec tau2 = around_.elem(states.level);
    samples.show(0, arma::mean(tau2), states.z, D);
    for (arma::uword i = 1; i < down_.n_elem; ++i) {
      const arma::uvec above = arma::find(tau2 > down_(i));
      if (above.is_empty()) continue;
      arma::cx_mat z = states.z.cols(above), seen;
      for (arma::uword j = 0; j < above.n_elem; ++j) {
        const arma::uword k = above(j);
        z.col(j) = D.col(k) + std::sqrt(down_(i) / tau2(k)) * (z.col(j) - D.col(k));
        tau2(k) = down_(i);
      }
      prior_.denoiser->denoise(z, down_(i), seen);
      states.z.cols(above) = z;
      D.cols(above) = seen;
      samples.show(i, down_(i), states.z, D);
    }
    return D;
  }

  arma::uword sweeps_;
  arma::vec down_, around_;
};

/// coarse: the level is read off the residual.
class CoarseSampler final : public WalkSampler {
 public:
  CoarseSampler(std::string text, const SampleWalk& walk, SamplePrior prior, arma::uword n_calls)
      : WalkSampler(std::move(text), walk, std::move(prior), n_calls) {
    first_ = walk.tau2_first > 0.0 ? walk.tau2_first : 4.0;
    if (first_ < walk.tau2_last) {
      refuse(text_ + ": the first level, " + number_text(first_) + ", lies below the last, " +
             number_text(walk.tau2_last));
    }
    // The first share and, where that is not enough, the noise that end the walk after n_calls.
    const double wanted = 0.5 * std::log(walk.tau2_last / first_);
    noise_ = walk.coarse_noise;
    const auto steps = static_cast<double>(n_calls - 1);
    if (n_calls > 1 && steps * std::log1p(-std::min(noise_, 1.0 - 1e-12)) > wanted) {
      noise_ = -std::expm1(wanted / steps);
    }
    double low = 0.0, high = 1.0;
    for (int i = 0; i < 60; ++i) {
      share_ = 0.5 * (low + high);
      (decline(n_calls - 1) > wanted ? low : high) = share_;
    }
  }

 private:
  double share_at(arma::uword i) const {
    const auto t = static_cast<double>(i);
    return share_ * (t + 1.0) / (1.0 + share_ * t);
  }
  /// ln of what is left of tau after n steps.
  double decline(arma::uword n) const {
    double sum = 0.0;
    for (arma::uword i = 0; i < n; ++i) {
      sum += std::log1p(-std::min(noise_ * share_at(i), 1.0 - 1e-12));
    }
    return sum;
  }

  arma::cx_mat walk(SampleBlock& samples) const override {
    const arma::uword count = samples.noise.size();
    arma::cx_mat z = start(samples, count, first_), D;
    std::vector<char> ended(count, 0);
    for (arma::uword i = 0; i < n_calls_; ++i) {
      prior_.denoiser->denoise_blind(z, D);
      arma::vec tau2(count);
      for (arma::uword k = 0; k < count; ++k) {
        const double norm = arma::norm(D.col(k) - z.col(k));
        tau2(k) = norm * norm / static_cast<double>(n_h());
      }
      samples.show(i, arma::mean(tau2), z, D);
      if (i + 1 == n_calls_) break;
      const double share = share_at(i), kept = 1.0 - noise_ * share;
      const double gain = std::max(kept * kept - (1.0 - share) * (1.0 - share), 0.0);
      for (arma::uword k = 0; k < count; ++k) {
        ended[k] = ended[k] || !(tau2(k) > walk_.tau2_last) || !(tau2(k) < 4.0 * first_);
        if (ended[k]) continue;
        const double spread = std::sqrt(gain * tau2(k));
        for (arma::uword j = 0; j < z.n_rows; ++j) {
          z(j, k) += share * (D(j, k) - z(j, k)) + spread * samples.noise.of(k).cx_normal();
        }
      }
    }
    return D;
  }

  double first_, noise_, share_ = 0.5;
};

/// per_angle: coloured noise, whose exact D is that of the prior in coordinates where it is white.
class PerAngleSampler final : public WalkSampler {
 public:
  PerAngleSampler(std::string text, const SampleWalk& walk, SamplePrior prior, arma::uword n_calls)
      : WalkSampler(std::move(text), walk, std::move(prior), n_calls),
        transform_(prior_.n_rx, prior_.n_tx) {
    const GaussianMixture& mixture = *prior_.mixture;
    const double values =
        static_cast<double>(n_calls * mixture.n_components()) * static_cast<double>(n_h() * n_h());
    if (values > 0x1p27) {
      refuse(text_ + ": " + std::to_string(n_calls) + " levels of " +
             std::to_string(mixture.n_components()) + " covariances of size " +
             std::to_string(n_h()) + " take more than 2 GiB; take fewer calls");
    }
    const arma::cx_mat F = transform_.forward(arma::cx_mat(n_h(), n_h(), arma::fill::eye));
    const arma::cx_mat C = F * second_moment(mixture) * F.t();
    const arma::vec power = arma::real(C.diag());
    const arma::vec l = arma::clamp(power / arma::mean(power), 1e-3, arma::datum::inf);
    const double u_first = 1.0 - 2.5e-3, u_last = 1e-4;
    for (const double u : arma::linspace(u_first, u_last, n_calls)) {
      Level level;
      level.w2.set_size(n_h());
      for (arma::uword i = 0; i < n_h(); ++i) {
        const double a =
            std::abs(l(i) - 1.0) < 1e-9 ? 1.0 - u : (1.0 - std::pow(l(i), 1.0 - u)) / (1.0 - l(i));
        level.w2(i) = arma::mean(power) * (1.0 - a) / a;
      }
      level.power = power;
      GaussianMixture white{mixture.weights, F * mixture.means, {}};
      const arma::cx_vec w = arma::conv_to<arma::cx_vec>::from(1.0 / arma::sqrt(level.w2));
      white.means.each_col() %= w;
      for (arma::uword k = 0; k < mixture.n_components(); ++k) {
        const arma::cx_mat W = arma::diagmat(w);
        arma::cx_mat C_k = W * F * mixture.covariance(k) * F.t() * W;
        white.covariances.push_back(0.5 * (C_k + C_k.t()));
      }
      level.denoiser = make_gaussian_mixture_denoiser(white);
      levels_.push_back(std::move(level));
    }
  }

 private:
  struct Level {
    arma::vec w2, power;  ///< noise and channel per angle
    std::shared_ptr<const Denoiser> denoiser;
  };

  static arma::cx_vec complex_of(const arma::vec& x) {
    return arma::conv_to<arma::cx_vec>::from(x);
  }

  arma::cx_mat walk(SampleBlock& samples) const override {
    arma::cx_mat z(n_h(), samples.noise.size(), arma::fill::zeros), D;
    samples.noise.add_to(z, 1.0);
    z.each_col() %= complex_of(arma::sqrt(levels_[0].power + levels_[0].w2));
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      const Level& level = levels_[i];
      const arma::cx_vec w = complex_of(arma::sqrt(level.w2));
      arma::cx_mat white = z;
      white.each_col() /= w;
      level.denoiser->denoise(white, 1.0, D);
      D.each_col() %= w;
      if (samples.watch) {
        samples.show(i, arma::mean(level.w2), transform_.inverse(z), transform_.inverse(D));
      }
      if (i + 1 == levels_.size()) break;
      const arma::vec& next = levels_[i + 1].w2;
      const arma::vec q2 = walk_.eta * walk_.eta * next % (1.0 - next / level.w2);
      arma::cx_mat step = z - D;
      step.each_col() %= complex_of(arma::sqrt((next - q2) / level.w2));
      z = D + step;
      if (walk_.eta > 0.0) {
        arma::cx_mat e(arma::size(z), arma::fill::zeros);
        samples.noise.add_to(e, 1.0);
        e.each_col() %= complex_of(arma::sqrt(q2));
        z += e;
      }
    }
    return transform_.inverse(D);
  }

  AngularTransform transform_;
  std::vector<Level> levels_;
};

/// exact: what the others are held against.
class ExactSampler final : public WalkSampler {
 public:
  ExactSampler(std::string text, const SampleWalk& walk, SamplePrior prior)
      : WalkSampler(std::move(text), walk, std::move(prior), 0) {
    for (const arma::cx_mat& C : prior_.mixture->covariances) {
      factors_.push_back(covariance_factor(C));
    }
  }

 private:
  arma::cx_mat walk(SampleBlock& samples) const override {
    const GaussianMixture& mixture = *prior_.mixture;
    const arma::vec sums = arma::cumsum(mixture.weights);
    arma::cx_mat h(n_h(), samples.noise.size());
    for (arma::uword k = 0; k < h.n_cols; ++k) {
      Rng& rng = samples.noise.of(k);
      if (factors_.empty()) {
        h.col(k) = chest::draw(mixture, 1, rng);
        continue;
      }
      const double u = rng.uniform();
      arma::uword i = 0;
      while (i + 1 < sums.n_elem && u >= sums(i)) ++i;
      h.col(k) = mixture.means.col(i) + factors_[i] * rng.cx_normal(factors_[i].n_cols, 1);
    }
    samples.show(0, 0.0, h, h);
    return h;
  }

  std::vector<arma::cx_mat> factors_;  ///< empty: the mixture has a structure
};

}  // namespace

std::string SampleWalk::why_invalid() const {
  if (order < 1 || order > 3) return "order is " + std::to_string(order) + ", expected 1 .. 3";
  if (sde && order > 2) return "sde is for the orders 1 and 2, order is " + std::to_string(order);
  if (eta > 0.0 && order > 1) return "eta is for order 1, order is " + std::to_string(order);
  if (tau2_first != 0.0 && tau2_first < tau2_last) {
    return "the first level, " + number_text(tau2_first) + ", lies below the last, " +
           number_text(tau2_last);
  }
  return {};
}

const std::vector<NamedSampler>& samplers() {
  static const std::vector<NamedSampler> table{
      named("ddpm", "ancestral: the reverse Markov chain",
            preset([](SampleWalk& w) { w.eta = 1.0; }), level_options),
      named("ddim", "the probability-flow ODE by first-order steps", SampleWalk{},
            options_of<SampleWalk>(eta_option), level_options),
      named("euler", "the same ODE on the levels of Karras, with churn",
            preset([](SampleWalk& w) { w.grid = WalkGrid::karras; }),
            options_of<SampleWalk>(churn_option), level_options),
      named("heun", "second order in two calls a step, levels of Karras, with churn",
            preset([](SampleWalk& w) {
              w.step = Step::heun;
              w.grid = WalkGrid::karras;
            }),
            options_of<SampleWalk>(churn_option), level_options),
      named("dpm", "DPM-Solver++: exponential steps of order 1 to 3, ODE or SDE",
            preset([](SampleWalk& w) { w.order = 3; }),
            options_of<SampleWalk>(sde_option, order_option), level_options),
      named("evodiff", "second order, past and next D weighted by their variance",
            preset([](SampleWalk& w) { w.step = Step::evodiff; }), level_options),
      named("pc", "predictor-corrector: ancestral steps and Langevin steps",
            preset([](SampleWalk& w) {
              w.eta = 1.0;
              w.n_corrector = 1;
            }),
            corrector_options, level_options),
      named("lml", "Levenberg-Marquardt-Langevin: a damped noise direction",
            preset([](SampleWalk& w) { w.step = Step::lml; }), lml_options, level_options),
      named("gibbs", "denoising MCMC: Langevin-Gibbs over channel and noise level",
            preset([](SampleWalk& w) { w.step = Step::gibbs; }), gibbs_options, level_options),
      named("coarse-to-fine", "stochastic ascent by a denoiser that is not told the level",
            preset([](SampleWalk& w) { w.step = Step::coarse; }), coarse_options),
      named("shortest-path", "a noise level for each angle, along the shortest path",
            preset([](SampleWalk& w) { w.step = Step::per_angle; }),
            options_of<SampleWalk>(eta_option)),
      named("teleport", "starts where the prior stops being Gaussian, then dpm",
            preset([](SampleWalk& w) {
              w.order = 3;
              w.tau2_first = 31.6;
              w.needs_C = true;
            }),
            options_of<SampleWalk>(sde_option, order_option), own_level_options),
      named("mrs", "mean-reverting: starts around given channels, then dpm",
            preset([](SampleWalk& w) {
              w.order = 3;
              w.tau2_first = 1.0;
              w.needs_mean = true;
            }),
            options_of<SampleWalk>(sde_option, order_option), own_level_options),
      named("boundary",
            "one start for all, the best on given pairs, around given channels; then dpm",
            preset([](SampleWalk& w) {
              w.order = 3;
              w.tau2_first = 1.0;
              w.needs_mean = true;
              w.n_candidates = 32;
            }),
            boundary_options, options_of<SampleWalk>(order_option), own_level_options),
      named("exact", "draws of a mixture itself, without a walk: lmmse and gmm",
            preset([](SampleWalk& w) { w.step = Step::exact; })),
  };
  return table;
}

const NamedSampler& sampler_named(const std::string& name) {
  std::vector<std::string> names;
  for (const NamedSampler& sampler : samplers()) {
    if (sampler.name == name) return sampler;
    names.push_back(sampler.name);
  }
  refuse("there is no sampler '" + name + "'" + did_you_mean(name, names));
}

std::unique_ptr<Sampler> make_sampler(const NamedOptions& spec, SamplePrior prior,
                                      arma::uword n_calls) {
  const NamedSampler& sampler = sampler_named(spec.name);
  check_options(spec, sampler);
  const SampleWalk walk = sampler.read(spec);
  const std::string& who = spec.text;
  if (const std::string why = walk.why_invalid(); !why.empty()) refuse(who + ": " + why);
  if (!prior.denoiser) refuse(who + ": the denoiser is not given");
  const arma::uword n_h = prior.denoiser->n_h();
  if (n_h != prior.n_rx * prior.n_tx) {
    refuse(who + ": the denoiser is for n_h = " + std::to_string(n_h) + ", the channels are " +
           std::to_string(prior.n_rx) + "x" + std::to_string(prior.n_tx));
  }
  if (!prior.C.is_empty() && (prior.C.n_rows != n_h || prior.C.n_cols != n_h)) {
    refuse(who + ": C is " + std::to_string(prior.C.n_rows) + "x" + std::to_string(prior.C.n_cols) +
           ", expected " + std::to_string(n_h) + "x" + std::to_string(n_h));
  }
  if (n_calls == 0) refuse(who + ": 0 calls, expected at least 1");
  if (walk.needs_C && prior.C.is_empty()) {
    refuse(who + ": the covariance of the prior is not known; name channels of it");
  }
  if (walk.needs_mean && prior.mean.is_empty()) {
    refuse(who + ": there are no channels to start from; name them");
  }
  if (walk.needs_mean && prior.mean.n_rows != n_h) {
    refuse(who + ": the channels to start from have " + std::to_string(prior.mean.n_rows) +
           " entries, the prior has " + std::to_string(n_h));
  }
  if (walk.n_candidates > 0 && (prior.reference.is_empty() || prior.reference.n_rows != n_h)) {
    refuse(who +
           ": the start is searched on pairs of channels, and the channels that the first means "
           "belong to are not given; name them");
  }
  const Denoiser& denoiser = *prior.denoiser;
  switch (walk.step) {
    case Step::gibbs:
      if (!denoiser.predicts_error()) {
        refuse(who + ": " + denoiser.name() + " does not predict its error");
      }
      return std::make_unique<GibbsSampler>(who, walk, std::move(prior), n_calls);
    case Step::coarse:
      if (!denoiser.blind()) {
        refuse(who + ": " + denoiser.name() +
               " must be told the noise level; use a network fitted with bias-free");
      }
      return std::make_unique<CoarseSampler>(who, walk, std::move(prior), n_calls);
    case Step::exact:
      if (!prior.mixture) {
        refuse(who + ": " + denoiser.name() +
               " is no mixture; use a model of kind lmmse or gmm, or another sampler");
      }
      return std::make_unique<ExactSampler>(who, walk, std::move(prior));
    case Step::per_angle:
      if (!prior.mixture) {
        refuse(who + ": " + denoiser.name() +
               " knows one noise level for all angles; use a model of kind lmmse or gmm");
      }
      return std::make_unique<PerAngleSampler>(who, walk, std::move(prior), n_calls);
    default:
      return std::make_unique<LevelSampler>(who, walk, std::move(prior), n_calls);
  }
}

arma::cx_mat draw_samples(const Sampler& sampler, std::uint64_t seed, arma::uword n_samples,
                          unsigned n_threads) {
  // Fixed blocks: the rounding of a batch does not depend on the number of threads.
  constexpr arma::uword n_per_block = 64;
  const arma::uword n_blocks = (n_samples + n_per_block - 1) / n_per_block;
  std::vector<arma::cx_mat> parts(n_blocks);
  parallel_for(n_blocks, n_threads, [&](std::size_t i) {
    const arma::uword first = i * n_per_block;
    parts[i] = sampler.draw(seed, first, std::min(n_per_block, n_samples - first));
  });
  arma::cx_mat out;
  if (n_blocks == 0) return out;
  out.set_size(parts[0].n_rows, n_samples);
  for (arma::uword i = 0; i < n_blocks; ++i) {
    out.cols(i * n_per_block, i * n_per_block + parts[i].n_cols - 1) = parts[i];
  }
  return out;
}

}  // namespace v0
}  // namespace chest
