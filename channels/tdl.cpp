#include <cmath>
#include <numbers>
#include <vector>

#include <nlohmann/json.hpp>

#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/ofdm.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

#include "sample_source.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// Sinusoids of a tap. Their directions are equally spaced, so that the covariance is that of Jakes
/// up to J_n(2 pi doppler t), nothing until doppler t is near n / 2 pi.
constexpr arma::uword n_sinusoids = 32;

constexpr double two_pi = 2.0 * std::numbers::pi;

const char* correlation_name(MimoCorrelation correlation) {
  switch (correlation) {
    case MimoCorrelation::low:
      return "low";
    case MimoCorrelation::medium:
      return "medium";
    case MimoCorrelation::high:
      break;
  }
  return "high";
}

/// F F^H = R of a uniform linear array whose first and last antenna have the correlation `a`.
arma::cx_mat array_factor(double a, arma::uword n) {
  arma::cx_mat R(n, n);
  for (arma::uword j = 0; j < n; ++j) {
    for (arma::uword i = 0; i < n; ++i) {
      const double part = i == j ? 0.0 : (double(i) - double(j)) / (static_cast<double>(n) - 1.0);
      R(i, j) = i == j ? 1.0 : a == 0.0 ? 0.0 : std::pow(a, part * part);
    }
  }
  return a == 0.0 ? R : thin_factor(R);
}

class Tdl final : public ChannelGenerator {
 public:
  explicit Tdl(const TdlOptions& options)
      : options_(options), profile_(delay_profile(options.profile)) {
    if (options.profile.size() == 1) profile_.delays *= options.delay_spread_s;
    doppler_hz_ = profile_.doppler_hz > 0.0 ? profile_.doppler_hz : options.doppler_hz;
    const MimoCorrelation correlation = options.correlation;
    F_rx_ = array_factor(correlation == MimoCorrelation::low      ? 0.0
                         : correlation == MimoCorrelation::medium ? 0.3
                                                                  : 0.9,
                         options.n_rx);
    F_tx_ = array_factor(correlation == MimoCorrelation::low ? 0.0 : 0.9, options.n_tx);
  }

  arma::uword n_rx() const override { return options_.n_rx; }
  arma::uword n_tx() const override { return options_.n_tx; }
  GridAxes grid() const override { return options_.grid; }

  std::string describe() const override {
    nlohmann::ordered_json json{{"generator", "tdl"},
                                {"n_rx", options_.n_rx},
                                {"n_tx", options_.n_tx},
                                {"profile", options_.profile}};
    if (options_.profile.size() == 1) json["delay_spread_s"] = options_.delay_spread_s;
    json["doppler_hz"] = doppler_hz_;
    json["correlation"] = correlation_name(options_.correlation);
    json["slots"] = options_.n_slots;
    return json.dump();
  }

  ChannelBlock generate(std::uint64_t seed, std::uint64_t first, arma::uword count) const override {
    ChannelBlock block;
    for (arma::uword k = 0; k < count; ++k) block.paths.push_back(draw(seed, first + k));
    return block;
  }

  std::optional<GridCovariance> grid_covariance() const override {
    GridCovariance out;
    out.grid = options_.grid;
    out.n_rx = options_.n_rx;
    out.n_tx = options_.n_tx;
    out.rx.push_back(F_rx_);
    const arma::vec times = symbols(0);
    out.grid.n_symbols = times.n_elem;
    arma::cx_mat R_t(times.n_elem, times.n_elem);
    for (arma::uword j = 0; j < times.n_elem; ++j) {
      for (arma::uword i = 0; i < times.n_elem; ++i) {
        R_t(i, j) = ::j0(two_pi * doppler_hz_ * std::abs(times(i) - times(j)));
      }
    }
    const arma::cx_mat rayleigh = thin_factor(R_t);
    for (arma::uword l = 0; l < profile_.delays.n_elem; ++l) {
      const bool is_los = profile_.has_los && l == 0;
      out.paths.push_back({profile_.delays(l), 0,
                           std::sqrt(profile_.powers(l)) *
                               arma::kron(is_los ? line_of_sight(times) : rayleigh, F_tx_)});
    }
    return out;
  }

 private:
  /// Start of the symbols whose gains differ, of a slot.
  arma::vec symbols(std::uint64_t slot) const {
    const arma::uword n = options_.grid.n_symbols;
    if (doppler_hz_ == 0.0) return arma::vec(1, arma::fill::zeros);
    return symbol_times(options_.grid.spacing_hz, slot * n, n);
  }
  /// [n_times, 1]
  arma::cx_mat line_of_sight(const arma::vec& times) const {
    arma::cx_mat out(times.n_elem, 1);
    for (arma::uword s = 0; s < times.n_elem; ++s)
      out(s) = std::polar(1.0, two_pi * line_of_sight_doppler * doppler_hz_ * times(s));
    return out;
  }

  Paths draw(std::uint64_t seed, std::uint64_t sample) const {
    Rng rng(seed, {Purpose::channel, 0, sample / options_.n_slots});
    const arma::vec times = symbols(sample % options_.n_slots);
    const arma::uword n_pairs = F_rx_.n_cols * F_tx_.n_cols;
    Paths paths;
    paths.delays = profile_.delays.t();
    paths.gains.set_size(n_rx() * n_tx(), profile_.delays.n_elem, times.n_elem);
    arma::cx_mat g;  // of independent pairs, [n_pairs, n_times]
    for (arma::uword l = 0; l < profile_.delays.n_elem; ++l) {
      if (profile_.has_los && l == 0) {
        arma::cx_vec phases(n_pairs);
        phases.imbue([&] { return std::polar(1.0, two_pi * rng.uniform()); });
        g = phases * line_of_sight(times).st();
      } else if (doppler_hz_ == 0.0) {
        g = rng.cx_normal(n_pairs, 1);
      } else {
        const double turn = rng.uniform();
        arma::cx_mat waves(n_sinusoids, times.n_elem);
        for (arma::uword i = 0; i < n_sinusoids; ++i) {
          const double angle = two_pi * (static_cast<double>(i) + turn) / n_sinusoids;
          for (arma::uword s = 0; s < times.n_elem; ++s)
            waves(i, s) = std::polar(1.0, two_pi * doppler_hz_ * std::cos(angle) * times(s));
        }
        const arma::cx_mat weights = rng.cx_normal(n_pairs, n_sinusoids, 1.0 / n_sinusoids);
        // Time by time: a product of all rounds as it likes by their number.
        g.set_size(n_pairs, times.n_elem);
        for (arma::uword s = 0; s < times.n_elem; ++s) g.col(s) = weights * waves.col(s);
      }
      const double amplitude = std::sqrt(profile_.powers(l));
      for (arma::uword s = 0; s < times.n_elem; ++s) {
        const arma::cx_mat W = arma::reshape(g.col(s), F_rx_.n_cols, F_tx_.n_cols);
        paths.gains.slice(s).col(l) = amplitude * arma::vectorise(F_rx_ * W * F_tx_.st());
      }
    }
    return paths;
  }

  TdlOptions options_;
  DelayProfile profile_;
  double doppler_hz_ = 0.0;
  arma::cx_mat F_rx_, F_tx_;
};

class TdlMix final : public ChannelGenerator {
 public:
  explicit TdlMix(const std::vector<TdlOptions>& options) : n_slots_(options.front().n_slots) {
    for (const TdlOptions& each : options) {
      parts_.push_back(make_tdl(each));
      const Paths one = parts_.back()->generate(1, 0, 1).paths.front();
      n_paths_ = std::max<arma::uword>(n_paths_, one.gains.n_cols);
      n_symbols_ = std::max<arma::uword>(n_symbols_, one.gains.n_slices);
    }
  }

  arma::uword n_rx() const override { return parts_.front()->n_rx(); }
  arma::uword n_tx() const override { return parts_.front()->n_tx(); }
  GridAxes grid() const override { return parts_.front()->grid(); }

  std::string describe() const override {
    nlohmann::ordered_json json{{"generator", "tdl"}, {"n_rx", n_rx()}, {"n_tx", n_tx()}};
    for (const auto& part : parts_)
      json["in_turn"].push_back(nlohmann::ordered_json::parse(part->describe()));
    return json.dump();
  }

  ChannelBlock generate(std::uint64_t seed, std::uint64_t first, arma::uword count) const override {
    ChannelBlock block;
    for (std::uint64_t i = first; i < first + count; ++i) {
      const ChannelGenerator& part = *parts_[i / n_slots_ % parts_.size()];
      block.paths.push_back(padded(part.generate(seed, i, 1).paths.front()));
    }
    return block;
  }

 private:
  /// With paths without power up to n_paths_, and as many symbols as the others.
  Paths padded(const Paths& paths) const {
    Paths out;
    out.delays.zeros(1, n_paths_);
    out.delays.head_cols(paths.delays.n_cols) = paths.delays;
    out.gains.zeros(paths.gains.n_rows, n_paths_, n_symbols_);
    for (arma::uword s = 0; s < n_symbols_; ++s)
      out.gains.slice(s).head_cols(paths.gains.n_cols) =
          paths.gains.slice(std::min<arma::uword>(s, paths.gains.n_slices - 1));
    return out;
  }

  std::vector<std::unique_ptr<ChannelGenerator>> parts_;
  arma::uword n_slots_, n_paths_ = 0, n_symbols_ = 0;
};

}  // namespace

std::string TdlOptions::why_invalid() const {
  if (n_rx == 0 || n_tx == 0) return "n_rx and n_tx must be at least 1";
  if (n_slots == 0) return "the number of slots is 0, it must be at least 1";
  if (!(grid.spacing_hz > 0.0) || grid.n_elements() == 0)
    return "the grid is " + grid.text() + " at " + number_text(grid.spacing_hz) +
           " Hz, it must have subcarriers, symbols and a spacing";
  if (n_rx * n_tx > n_h_most || grid.n_elements() > n_h_most ||
      n_rx * n_tx * grid.n_elements() > n_h_most)
    return "one channel has " + size_text(n_rx, n_tx, grid) + " entries, expected at most " +
           std::to_string(n_h_most);
  if (!(delay_spread_s >= 0.0 && delay_spread_s < 1.0))
    return "the delay spread is " + number_text(delay_spread_s) + " s, it must be in 0 .. < 1 s";
  if (!(doppler_hz >= 0.0 && doppler_hz < 1e9))
    return "the Doppler is " + number_text(doppler_hz) + " Hz, it must be 0 or more";
  const DelayProfile known = delay_profile(profile);
  if (known.doppler_hz > 0.0 && doppler_hz > 0.0)
    return "profile " + profile + " names its Doppler, leave out the other one of " +
           number_text(doppler_hz) + " Hz";
  return {};
}

std::unique_ptr<ChannelGenerator> make_tdl(const TdlOptions& options) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("tdl: " + why);
  return std::make_unique<Tdl>(options);
}

std::unique_ptr<ChannelGenerator> make_tdl_mix(const std::vector<TdlOptions>& options) {
  if (options.empty()) refuse("tdl: there are no profiles");
  const TdlOptions& first = options.front();
  for (const TdlOptions& each : options) {
    const bool fits = each.n_rx == first.n_rx && each.n_tx == first.n_tx &&
                      each.grid.text() == first.grid.text() &&
                      each.grid.spacing_hz == first.grid.spacing_hz &&
                      each.n_slots == first.n_slots;
    if (!fits) refuse("tdl: profiles in turn have other antennas, grids or slots than the first");
  }
  return std::make_unique<TdlMix>(options);
}

}  // namespace v0
}  // namespace chest
