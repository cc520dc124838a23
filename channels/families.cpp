#include <algorithm>
#include <cmath>
#include <complex>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <chest/angular.hpp>
#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// SNRs at which the least error is told.
arma::vec optimum_snrs() { return arma::regspace(-20.0, 5.0, 40.0); }
double noise_at(double snr_db) { return std::pow(10.0, -0.1 * snr_db); }

/// Channels that the least error is a mean over, where there is no closed form.
constexpr arma::uword n_measured = 400;
constexpr std::uint64_t optimum_stream = 2;

std::string why_bad_family(arma::uword n_rx, arma::uword n_tx, double alpha) {
  if (n_rx == 0 || n_tx == 0) return "n_rx and n_tx must be at least 1";
  if (!(alpha > 0.0) || alpha > 10.0) {
    return "alpha is " + number_text(alpha) + ", it must be > 0 and at most 10";
  }
  return {};
}

/// Independent angular entries of one of several powers: a mixture, dft.
class AngularFamily final : public ChannelGenerator {
 public:
  AngularFamily(std::string description, SpectralCovariances structure, bool closed_form)
      : description_(std::move(description)),
        structure_(std::move(structure)),
        transform_(structure_.n_rx, structure_.n_tx),
        closed_form_(closed_form) {}

  arma::uword n_rx() const override { return structure_.n_rx; }
  arma::uword n_tx() const override { return structure_.n_tx; }
  std::string describe() const override { return description_; }

  ChannelBlock generate(std::uint64_t seed, std::uint64_t first, arma::uword count) const override {
    ChannelBlock block;
    block.h.set_size(n_h(), count);
    for (arma::uword k = 0; k < count; ++k) {
      Rng rng(seed, {Purpose::channel, 0, first + k});
      const arma::uword i = rng.index(structure_.spectra.n_cols);
      rng.fill_cx_normal(block.h.colptr(k), n_h());
      block.h.col(k) %= arma::conv_to<arma::cx_vec>::from(arma::sqrt(structure_.spectra.col(i)));
    }
    transform_.inverse(block.h, block.h);
    return block;
  }

  std::optional<GaussianMixture> prior() const override {
    const arma::uword n = structure_.spectra.n_cols;
    GaussianMixture prior;
    prior.weights.set_size(n);
    prior.weights.fill(1.0 / static_cast<double>(n));
    prior.means.zeros(n_h(), n);
    prior.structure = structure_;
    return prior;
  }

  std::optional<OptimalErrors> optimum() const override {
    OptimalErrors out{optimum_snrs(), {}, "exact"};
    out.mse.set_size(out.snr_db.n_elem);
    for (arma::uword i = 0; i < out.mse.n_elem; ++i) {
      const double sigma2 = noise_at(out.snr_db(i));
      out.mse(i) = closed_form_ ? wiener(structure_.spectra.col(0), sigma2) : measured(sigma2);
    }
    return out;
  }

 private:
  arma::uword n_h() const { return structure_.spectra.n_rows; }

  static double wiener(const arma::vec& q, double sigma2) {
    return arma::mean(sigma2 * q / (q + sigma2));
  }

  /// Error of the conditional mean. E||h - m||^2 given z is known for each z, which has less spread than the
  /// error itself.
  double measured(double sigma2) const {
    const arma::uword n = structure_.spectra.n_cols;
    const arma::mat v = structure_.spectra + sigma2, gains = structure_.spectra / v;
    const arma::rowvec log_v = arma::sum(arma::log(v), 0);
    const arma::mat inverse = 1.0 / v;
    double sum = 0.0;
    for (arma::uword k = 0; k < n_measured; ++k) {
      Rng rng(1, {Purpose::channel, optimum_stream, k});
      const arma::uword truth = rng.index(n);
      arma::cx_vec z(n_h());
      rng.fill_cx_normal(z.memptr(), n_h());
      z %= arma::conv_to<arma::cx_vec>::from(arma::sqrt(v.col(truth)));
      const arma::vec power = arma::square(arma::abs(z));
      arma::rowvec shares = -log_v - power.t() * inverse;
      shares = arma::exp(shares - shares.max());
      shares /= arma::accu(shares);
      // Within the components, and of their means z times gain.
      const arma::vec mean_gain = gains * shares.t();
      const arma::vec square_gain = arma::square(gains) * shares.t();
      sum += sigma2 * arma::accu(mean_gain) +
             arma::accu(power % (square_gain - arma::square(mean_gain)));
    }
    return sum / static_cast<double>(n_measured * n_h());
  }

  std::string description_;
  SpectralCovariances structure_;
  AngularTransform transform_;
  bool closed_form_;
};

/// Bins from broadside, on a circle of n.
double bins_from_zero(arma::uword i, arma::uword n) {
  return static_cast<double>(std::min(i, n - i));
}

/// A random closed curve, value in units of its standard deviation, smooth of order alpha. [n]
arma::vec border(arma::uword n, double alpha, Rng& rng) {
  arma::vec c(n, arma::fill::zeros);
  double variance = 0.0;
  for (arma::uword k = 1; k <= n / 2; ++k) {
    const double scale = std::pow(static_cast<double>(k), -(alpha + 0.5));
    const std::complex<double> g = rng.cx_normal();
    variance += 0.5 * scale * scale;
    for (arma::uword i = 0; i < n; ++i) {
      const double angle =
          2.0 * arma::datum::pi * static_cast<double>(i * k) / static_cast<double>(n);
      c(i) += scale * (g.real() * std::cos(angle) + g.imag() * std::sin(angle));
    }
  }
  return variance > 0.0 ? arma::vec(c / std::sqrt(variance)) : c;
}

class PathChannels final : public ChannelGenerator {
 public:
  explicit PathChannels(const PathsOptions& options) : options_(options) {}

  arma::uword n_rx() const override { return options_.n_rx; }
  arma::uword n_tx() const override { return options_.n_tx; }
  std::string describe() const override {
    return nlohmann::json{{"generator", "paths"},
                          {"n_rx", options_.n_rx},
                          {"n_tx", options_.n_tx},
                          {"n_paths", options_.n_paths}}
        .dump();
  }

  ChannelBlock generate(std::uint64_t seed, std::uint64_t first, arma::uword count) const override {
    ChannelBlock block;
    block.h.zeros(options_.n_rx * options_.n_tx, count);
    const double scale = 1.0 / std::sqrt(static_cast<double>(options_.n_paths));
    for (arma::uword k = 0; k < count; ++k) {
      Rng rng(seed, {Purpose::channel, 0, first + k});
      for (arma::uword p = 0; p < options_.n_paths; ++p) {
        const std::complex<double> g = scale * rng.cx_normal();
        const double u = 2.0 * arma::datum::pi * rng.uniform();
        const double v = 2.0 * arma::datum::pi * rng.uniform();
        for (arma::uword t = 0; t < options_.n_tx; ++t) {
          for (arma::uword r = 0; r < options_.n_rx; ++r) {
            block.h(t * options_.n_rx + r, k) +=
                g * std::polar(1.0, u * static_cast<double>(r) + v * static_cast<double>(t));
          }
        }
      }
    }
    return block;
  }

  std::optional<OptimalErrors> optimum() const override {
    OptimalErrors out{optimum_snrs(), {}, "limit"};
    out.mse.set_size(out.snr_db.n_elem);
    const bool one_side = options_.n_rx == 1 || options_.n_tx == 1;
    const bool by_quadrature = one_side && options_.n_paths == 1 && n_h() > 1;
    if (by_quadrature) out.kind = "exact";
    const double dimensions =
        static_cast<double>(options_.n_paths) *
        ((options_.n_rx > 1 ? 0.5 : 0.0) + (options_.n_tx > 1 ? 0.5 : 0.0) + 1.0);
    for (arma::uword i = 0; i < out.mse.n_elem; ++i) {
      const double sigma2 = noise_at(out.snr_db(i));
      out.mse(i) =
          by_quadrature
              ? measured(sigma2)
              : std::min(dimensions / static_cast<double>(n_h()), 1.0 / (1.0 + sigma2)) * sigma2;
    }
    return out;
  }

 private:
  arma::uword n_h() const { return options_.n_rx * options_.n_tx; }

  /// Error of the conditional mean of one path on one side: given u, h is Gaussian along a(u), and the weight of u
  /// exp(|a^H z|^2 / (sigma2 (sigma2 + n))). The sum over u is as fine as the narrowest peak asks.
  double measured(double sigma2) const {
    const arma::uword n = n_h();
    const auto count = static_cast<double>(n);
    const double shrink = 1.0 / (sigma2 + count);
    double sum = 0.0;
    for (arma::uword k = 0; k < n_measured; ++k) {
      Rng rng(1, {Purpose::channel, optimum_stream, k});
      const std::complex<double> g = rng.cx_normal();
      const double u = 2.0 * arma::datum::pi * rng.uniform();
      arma::cx_vec z(n);
      for (arma::uword m = 0; m < n; ++m) {
        z(m) =
            g * std::polar(1.0, u * static_cast<double>(m)) + std::sqrt(sigma2) * rng.cx_normal();
      }
      const auto match = [&](double at) {
        const std::complex<double> turn = std::polar(1.0, -at);
        std::complex<double> out = 0.0, phase = 1.0;
        for (arma::uword m = 0; m < n; ++m, phase *= turn) out += phase * z(m);
        return out;
      };
      // Where the peaks are, then all of the circle or the surroundings of the highest.
      const auto coarse = static_cast<arma::uword>(8 * n);
      const double step = 2.0 * arma::datum::pi / static_cast<double>(coarse);
      double best = -1.0, peak = 0.0;
      for (arma::uword i = 0; i < coarse; ++i) {
        const double power = std::norm(match(step * static_cast<double>(i)));
        if (power > best) {
          best = power;
          peak = step * static_cast<double>(i);
        }
      }
      // Up the highest peak, by halved steps.
      for (double half = 0.5 * step; half > 1e-9; half *= 0.5) {
        for (const double at : {peak - half, peak + half}) {
          const double power = std::norm(match(at));
          if (power <= best) continue;
          best = power;
          peak = at;
          break;
        }
      }
      const double width = std::sqrt(6.0 * sigma2 * (sigma2 + count) / (best * count * count));
      const bool narrow = width < 0.5 * step;
      const auto n_points = static_cast<arma::uword>(
          narrow ? 80.0 : std::ceil(2.0 * arma::datum::pi / std::min(step, 0.5 * width)));
      const double from = narrow ? peak - 10.0 * width : 0.0;
      const double spacing =
          narrow ? 0.25 * width : 2.0 * arma::datum::pi / static_cast<double>(n_points);
      double weights = 0.0, squares = 0.0;
      arma::cx_vec mean(n, arma::fill::zeros);
      for (arma::uword i = 0; i < n_points; ++i) {
        const double at = from + spacing * static_cast<double>(i);
        const std::complex<double> along = match(at);
        const double weight = std::exp((std::norm(along) - best) * shrink / sigma2);
        if (weight < 1e-14) continue;
        const std::complex<double> gain = along * shrink, turn = std::polar(1.0, at);
        weights += weight;
        squares += weight * std::norm(gain) * count;
        std::complex<double> phase = weight * gain;
        for (arma::uword m = 0; m < n; ++m, phase *= turn) mean(m) += phase;
      }
      mean /= weights;
      // Var of the gain along a(u), and of the mean over u.
      sum += sigma2 * count * shrink + squares / weights - std::pow(arma::norm(mean), 2.0);
    }
    return sum / static_cast<double>(n_measured * n);
  }

  PathsOptions options_;
};

}  // namespace

std::string PowerLawOptions::why_invalid() const { return why_bad_family(n_rx, n_tx, alpha); }

std::unique_ptr<ChannelGenerator> make_power_law(const PowerLawOptions& options) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("power-law: " + why);
  const double sides = (options.n_rx > 1 ? 1.0 : 0.0) + (options.n_tx > 1 ? 1.0 : 0.0);
  arma::mat q(options.n_rx * options.n_tx, 1);
  for (arma::uword t = 0; t < options.n_tx; ++t) {
    for (arma::uword r = 0; r < options.n_rx; ++r) {
      const double distance =
          std::hypot(bins_from_zero(r, options.n_rx), bins_from_zero(t, options.n_tx));
      q(t * options.n_rx + r, 0) = std::pow(1.0 + distance, -(2.0 * options.alpha + sides));
    }
  }
  q /= arma::mean(q.col(0));
  const std::string description = nlohmann::json{
      {"generator", "power-law"},
      {"n_rx", options.n_rx},
      {"n_tx", options.n_tx},
      {"alpha", options.alpha}}.dump();
  return std::make_unique<AngularFamily>(
      description, SpectralCovariances{options.n_rx, options.n_tx, 1, q, {}}, true);
}

std::string RegionsOptions::why_invalid() const {
  if (n_components == 0) return "n_components is 0, it must be at least 1";
  if (n_rx < 2) return "n_rx is " + std::to_string(n_rx) + ", it must be at least 2";
  return why_bad_family(n_rx, n_tx, alpha);
}

std::unique_ptr<ChannelGenerator> make_regions(const RegionsOptions& options) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("regions: " + why);
  const double n_rx = static_cast<double>(options.n_rx);
  Rng rng(options.seed, {Purpose::channel, 1, 0});
  arma::mat spectra(options.n_rx * options.n_tx, options.n_components);
  for (arma::uword k = 0; k < options.n_components; ++k) {
    // Strong below the border, 20 dB weaker above: a quarter of the angles each way around the middle.
    const double middle = rng.uniform();
    const arma::vec c = border(options.n_tx, options.alpha, rng);
    for (arma::uword t = 0; t < options.n_tx; ++t) {
      const double width = std::clamp(0.25 + 0.1 * c(t), 0.0, 1.0);
      for (arma::uword r = 0; r < options.n_rx; ++r) {
        double away = std::abs(static_cast<double>(r) / n_rx - middle);
        away = std::min(away, 1.0 - away);
        spectra(t * options.n_rx + r, k) = 2.0 * away < width ? 1.0 : 0.01;
      }
    }
    spectra.col(k) /= arma::mean(spectra.col(k));
  }
  const std::string description =
      nlohmann::json{{"generator", "regions"}, {"n_rx", options.n_rx},
                     {"n_tx", options.n_tx},   {"n_components", options.n_components},
                     {"alpha", options.alpha}, {"mixture_seed", options.seed}}
          .dump();
  return std::make_unique<AngularFamily>(
      description, SpectralCovariances{options.n_rx, options.n_tx, 1, spectra, {}}, false);
}

std::string PathsOptions::why_invalid() const {
  if (n_paths == 0) return "n_paths is 0, it must be at least 1";
  return why_bad_family(n_rx, n_tx, 1.0);
}

std::unique_ptr<ChannelGenerator> make_paths(const PathsOptions& options) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("paths: " + why);
  return std::make_unique<PathChannels>(options);
}

}  // namespace v0
}  // namespace chest
