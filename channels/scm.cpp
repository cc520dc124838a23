#include <chest/channels/generator.hpp>

#include <cmath>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

#include "kronecker_draw.hpp"

namespace chest {
inline namespace v0 {
namespace {

constexpr arma::uword points_per_antenna = 100;

std::string why_bad_spread(const std::string& name, double spread_deg) {
  if (spread_deg >= 0.1 && spread_deg <= 180.0) return {};
  return name + " is " + number_text(spread_deg) + ", it must be in 0.1 .. 180 degrees";
}

/// All that depends on the number of antennas and the spread alone.
class ScmSide {
 public:
  ScmSide(arma::uword n_antennas, double spread_deg)
      : n_antennas_(n_antennas), n_grid_(points_per_antenna * n_antennas), spread_deg_(spread_deg) {
    const arma::vec n = arma::regspace(0.0, static_cast<double>(n_grid_) - 1.0);
    const arma::vec u =
        arma::datum::tau * (n + 1.0 / 3.0) / static_cast<double>(n_grid_) - arma::datum::pi;
    angle_deg_ = arma::asin(u / arma::datum::pi) * (180.0 / arma::datum::pi);
    // Power per angle becomes power per spatial frequency: the derivative of asin(u / pi).
    jacobian_ = 360.0 / arma::sqrt(arma::datum::pi * arma::datum::pi - arma::square(u));
    // With n = 100 n2 + n1, exp(-j 2 pi m n / (100 M)) = exp(-j 2 pi m n2 / M) exp(-j 2 pi m n1 /
    // (100 M)): an M x M transform of the 100 interleaved spectra, then a sum over n1.
    const arma::vec lag = arma::regspace(0.0, static_cast<double>(n_antennas) - 1.0);
    const arma::mat coarse = lag * lag.t() * (arma::datum::tau / static_cast<double>(n_antennas));
    coarse_cos_ = arma::cos(coarse);
    coarse_sin_ = arma::sin(coarse);
    const arma::mat fine =
        n.head(points_per_antenna) * lag.t() * (arma::datum::tau / static_cast<double>(n_grid_));
    fine_ = arma::cx_mat(arma::cos(fine), -arma::sin(fine));
  }

  arma::vec power_spectrum(const arma::vec& gains, const arma::vec& angles_deg) const {
    const double b = spread_deg_ / std::sqrt(2.0);
    arma::vec f(n_grid_, arma::fill::zeros);
    for (arma::uword p = 0; p < gains.n_elem; ++p) {
      const double weight = gains[p] / (2.0 * b);
      for (arma::uword n = 0; n < n_grid_; ++n) {
        // Both angles are in [-90, 90], so that the wrapped distances are |a - b| and, to the image
        // behind the array, 180 - |a + b|.
        const double front = std::abs(angle_deg_[n] - angles_deg[p]);
        const double back = 180.0 - std::abs(angle_deg_[n] + angles_deg[p]);
        f[n] += weight * (std::exp(-front / b) + std::exp(-back / b));
      }
    }
    f %= jacobian_;
    f.clamp(0.0, static_cast<double>(n_grid_));
    return f / arma::mean(f);
  }

  arma::cx_vec covariance(const arma::vec& gains, const arma::vec& angles_deg) const {
    const arma::mat f =
        arma::reshape(power_spectrum(gains, angles_deg), points_per_antenna, n_antennas_);
    const arma::cx_mat interleaved(f * coarse_cos_, -(f * coarse_sin_));
    arma::cx_vec t = arma::sum(fine_ % interleaved, 0).st() / static_cast<double>(n_grid_);
    t[0] = t[0].real();
    return t;
  }

 private:
  arma::uword n_antennas_, n_grid_;
  double spread_deg_;
  arma::vec angle_deg_, jacobian_;     // [n_grid]
  arma::mat coarse_cos_, coarse_sin_;  // [n_antennas, n_antennas]
  arma::cx_mat fine_;                  // [100, n_antennas]
};

ScmSide checked_side(const arma::vec& gains, const arma::vec& angles_deg, double spread_deg,
                     arma::uword n_antennas) {
  if (n_antennas == 0) throw Error(ErrorKind::invalid_argument, "scm: there are no antennas");
  if (gains.n_elem == 0 || gains.n_elem != angles_deg.n_elem)
    throw Error(ErrorKind::invalid_argument, "scm: " + std::to_string(gains.n_elem) +
                                                 " gains and " + std::to_string(angles_deg.n_elem) +
                                                 " angles, expected one of each per path");
  if (!gains.is_finite() || gains.min() < 0.0 || std::abs(arma::accu(gains) - 1.0) > 1e-6)
    throw Error(
        ErrorKind::invalid_argument,
        "scm: gains must be positive with sum 1, their sum is " + number_text(arma::accu(gains)));
  if (!angles_deg.is_finite() || arma::abs(angles_deg).max() > 90.0)
    throw Error(ErrorKind::invalid_argument, "scm: angles must be in -90 .. 90 degrees");
  if (const std::string why = why_bad_spread("spread_deg", spread_deg); !why.empty())
    throw Error(ErrorKind::invalid_argument, "scm: " + why);
  return {n_antennas, spread_deg};
}

nlohmann::json record_of(const ScmOptions& options) {
  nlohmann::json json{{"generator", "scm"},
                      {"n_rx", options.n_rx},
                      {"n_tx", options.n_tx},
                      {"n_paths", options.n_paths},
                      {"spread_rx_deg", options.spread_rx_deg},
                      {"spread_tx_deg", options.spread_tx_deg}};
  if (!options.rx_panel.is_line()) json["rx_panel"] = options.rx_panel.text();
  return json;
}

class Scm final : public ChannelGenerator {
 public:
  explicit Scm(const ScmOptions& options)
      : options_(options),
        rx_(options.n_rx, options.spread_rx_deg),
        tx_(options.n_tx, options.spread_tx_deg) {}

  arma::uword n_rx() const override { return options_.n_rx; }
  arma::uword n_tx() const override { return options_.n_tx; }

  std::string describe() const override { return record_of(options_).dump(); }

  ChannelBlock generate(std::uint64_t seed, std::uint64_t first, arma::uword count) const override {
    ChannelBlock block;
    block.h.set_size(n_rx() * n_tx(), count);
    block.covariances.t_rx.set_size(n_rx(), count);
    block.covariances.t_tx.set_size(n_tx(), count);
    arma::vec gains(options_.n_paths), angles_rx(options_.n_paths), angles_tx(options_.n_paths);
    for (arma::uword k = 0; k < count; ++k) {
      Rng rng(seed, {Purpose::channel, 0, first + k});
      gains.imbue([&] { return rng.uniform(); });
      gains /= arma::accu(gains);
      angles_rx.imbue([&] { return 180.0 * rng.uniform() - 90.0; });
      angles_tx.imbue([&] { return 180.0 * rng.uniform() - 90.0; });
      const arma::cx_vec t_rx = rx_.covariance(gains, angles_rx);
      const arma::cx_vec t_tx = tx_.covariance(gains, angles_tx);
      block.h.col(k) =
          arma::vectorise(draw_kronecker(rng, toeplitz_factor(t_rx), toeplitz_factor(t_tx)));
      block.covariances.t_rx.col(k) = t_rx;
      block.covariances.t_tx.col(k) = t_tx;
    }
    return block;
  }

 private:
  ScmOptions options_;
  ScmSide rx_, tx_;
};

class ScmOfPanel final : public ChannelGenerator {
 public:
  explicit ScmOfPanel(const ScmOptions& options)
      : options_(options),
        rows_(options.rx_panel.rows, options.spread_rx_deg),
        columns_(options.rx_panel.columns, options.spread_rx_deg),
        tx_(options.n_tx, options.spread_tx_deg) {}

  arma::uword n_rx() const override { return options_.n_rx; }
  arma::uword n_tx() const override { return options_.n_tx; }
  PanelShape rx_panel() const override { return options_.rx_panel; }
  std::string describe() const override { return record_of(options_).dump(); }

  ChannelBlock generate(std::uint64_t seed, std::uint64_t first, arma::uword count) const override {
    const PanelShape& panel = options_.rx_panel;
    const arma::uword n_each = panel.rows * panel.columns, n_paths = options_.n_paths;
    ChannelBlock block;
    block.h.set_size(n_rx() * n_tx(), count);
    arma::vec gains(n_paths), along_rows(n_paths), along_columns(n_paths), angles_tx(n_paths);
    for (arma::uword k = 0; k < count; ++k) {
      Rng rng(seed, {Purpose::channel, 0, first + k});
      gains.imbue([&] { return rng.uniform(); });
      gains /= arma::accu(gains);
      for (arma::vec* angles : {&along_rows, &along_columns, &angles_tx}) {
        angles->imbue([&] { return 180.0 * rng.uniform() - 90.0; });
      }
      arma::cx_mat C(n_each, n_each, arma::fill::zeros);
      const arma::vec whole(1, arma::fill::ones);
      for (arma::uword p = 0; p < n_paths; ++p) {
        C += gains(p) * arma::kron(toeplitz(columns_.covariance(whole, along_columns.subvec(p, p))),
                                   toeplitz(rows_.covariance(whole, along_rows.subvec(p, p))));
      }
      const arma::cx_mat L_rx = covariance_factor(C);
      const arma::cx_mat L_tx = toeplitz_factor(tx_.covariance(gains, angles_tx));
      arma::cx_mat H(block.h.colptr(k), n_rx(), n_tx(), false, true);
      for (arma::uword p = 0; p < panel.polarisations; ++p) {
        H.rows(p * n_each, (p + 1) * n_each - 1) = draw_kronecker(rng, L_rx, L_tx);
      }
    }
    return block;
  }

 private:
  ScmOptions options_;
  ScmSide rows_, columns_, tx_;
};

}  // namespace

std::string ScmOptions::why_invalid() const {
  if (n_rx == 0 || n_tx == 0) return "n_rx and n_tx must be at least 1";
  if (!rx_panel.is_line() && rx_panel.n() != n_rx) {
    return "the panel " + rx_panel.text() + " has " + std::to_string(rx_panel.n()) +
           " antennas, n_rx is " + std::to_string(n_rx);
  }
  if (n_paths == 0) return "n_paths is 0, it must be at least 1";
  if (const std::string why = why_bad_spread("spread_rx_deg", spread_rx_deg); !why.empty())
    return why;
  return why_bad_spread("spread_tx_deg", spread_tx_deg);
}

std::unique_ptr<ChannelGenerator> make_scm(const ScmOptions& options) {
  if (const std::string why = options.why_invalid(); !why.empty())
    throw Error(ErrorKind::invalid_argument, "scm: " + why);
  if (!options.rx_panel.is_line()) return std::make_unique<ScmOfPanel>(options);
  return std::make_unique<Scm>(options);
}

arma::vec scm_power_spectrum(const arma::vec& gains, const arma::vec& angles_deg, double spread_deg,
                             arma::uword n_antennas) {
  return checked_side(gains, angles_deg, spread_deg, n_antennas).power_spectrum(gains, angles_deg);
}

arma::cx_vec scm_covariance(const arma::vec& gains, const arma::vec& angles_deg, double spread_deg,
                            arma::uword n_antennas) {
  return checked_side(gains, angles_deg, spread_deg, n_antennas).covariance(gains, angles_deg);
}

}  // namespace v0
}  // namespace chest
