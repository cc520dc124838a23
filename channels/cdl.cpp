#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <chest/channels/generator.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/ofdm.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

#include "sample_source.hpp"

namespace chest {
inline namespace v0 {
namespace {

constexpr arma::uword n_rays = 20;
constexpr double degree = std::numbers::pi / 180.0;
constexpr double full_turn = 2.0 * std::numbers::pi;

/// Offsets of the rays of a cluster of rms spread 1.  Source: [3GPP38901, table 7.5-3]
constexpr std::array<double, 10> ray_offsets = {0.0447, 0.1413, 0.2492, 0.3715, 0.5129,
                                                0.6797, 0.8844, 1.1481, 1.5195, 2.1551};

double ray_offset(arma::uword m) { return (m % 2 == 0 ? 1.0 : -1.0) * ray_offsets[m / 2]; }

/// Angles of a cluster in degrees: azimuth and zenith at the base station and at the terminal.
struct ClusterAngles {
  double aod, aoa, zod, zoa;
};

struct ClusterProfile {
  const char* name;
  double spread_aod, spread_aoa, spread_zod, spread_zoa;  // of the rays of a cluster
  double xpr_db;
  std::vector<ClusterAngles> angles;  // of each path of delay_profile(name)
};

/// Source: [3GPP38901, tables 7.7.1-1 to 5]
const std::vector<ClusterProfile>& cluster_profiles() {
  static const std::vector<ClusterProfile> profiles = {
      {"A", 5, 11, 3, 3, 10, {{-178.1, 51.3, 50.2, 125.4},   {-4.2, -152.7, 93.2, 91.3},
                              {-4.2, -152.7, 93.2, 91.3},    {-4.2, -152.7, 93.2, 91.3},
                              {90.2, 76.6, 122.0, 94.0},     {90.2, 76.6, 122.0, 94.0},
                              {90.2, 76.6, 122.0, 94.0},     {121.5, -1.8, 150.2, 47.1},
                              {-81.7, -41.9, 55.2, 56.0},    {158.4, 94.2, 26.4, 30.1},
                              {-83.0, 51.9, 126.4, 58.8},    {134.8, -115.9, 171.6, 26.0},
                              {-153.0, 26.6, 151.4, 49.2},   {-172.0, 76.6, 157.2, 143.1},
                              {-129.9, -7.0, 47.2, 117.4},   {-136.0, -23.0, 40.4, 122.7},
                              {165.4, -47.2, 43.3, 123.2},   {148.4, 110.4, 161.8, 32.6},
                              {132.7, 144.5, 10.8, 27.2},    {-118.6, 155.3, 16.7, 15.2},
                              {-154.1, 102.0, 171.7, 146.0}, {126.5, -151.8, 22.7, 150.7},
                              {-56.2, 55.2, 144.9, 156.1}}},
      {"B", 10, 22, 3, 7, 8, {{9.3, -173.3, 105.8, 78.9},  {9.3, -173.3, 105.8, 78.9},
                              {9.3, -173.3, 105.8, 78.9},  {-34.1, 125.5, 115.3, 63.3},
                              {-65.4, -88.0, 119.3, 59.9}, {-11.4, 155.1, 103.2, 67.5},
                              {-11.4, 155.1, 103.2, 67.5}, {-11.4, 155.1, 103.2, 67.5},
                              {-67.2, -89.8, 118.2, 82.6}, {52.5, 132.1, 102.0, 66.3},
                              {-72.0, -83.6, 100.4, 61.6}, {74.3, 95.3, 98.3, 58.0},
                              {-52.2, 103.7, 103.4, 78.2}, {-50.5, -87.8, 102.5, 82.0},
                              {61.4, -92.5, 101.4, 62.4},  {30.6, -139.1, 103.0, 78.0},
                              {-72.5, -90.6, 100.0, 60.9}, {-90.6, 58.6, 115.2, 82.9},
                              {-77.6, -79.0, 100.5, 60.8}, {-82.6, 65.8, 119.6, 57.3},
                              {-103.6, 52.7, 118.7, 59.9}, {75.6, 88.7, 117.8, 60.1},
                              {-77.6, -60.4, 115.7, 62.3}}},
      {"C", 2, 15, 3, 7, 7, {{-46.6, -101.0, 97.2, 87.6},  {-22.8, 120.0, 98.6, 72.1},
                             {-22.8, 120.0, 98.6, 72.1},   {-22.8, 120.0, 98.6, 72.1},
                             {-40.7, -127.5, 100.6, 70.1}, {0.3, 170.4, 99.2, 75.3},
                             {0.3, 170.4, 99.2, 75.3},     {0.3, 170.4, 99.2, 75.3},
                             {73.1, 55.4, 105.2, 67.4},    {-64.5, 66.5, 95.3, 63.8},
                             {80.2, -48.1, 106.1, 71.4},   {-97.1, 46.9, 93.5, 60.5},
                             {-55.3, 68.1, 103.7, 90.6},   {-64.3, -68.7, 104.2, 60.1},
                             {-78.5, 81.5, 93.0, 61.0},    {102.7, 30.7, 104.2, 100.7},
                             {99.2, -16.4, 94.9, 62.3},    {88.8, 3.8, 93.1, 66.7},
                             {-101.9, -13.7, 92.2, 52.9},  {92.2, 9.7, 106.7, 61.8},
                             {93.3, 5.6, 93.0, 51.9},      {106.6, 0.7, 92.9, 61.7},
                             {119.5, -21.9, 105.2, 58.0},  {-123.8, 33.6, 107.8, 57.0}}},
      {"D",
       5,
       8,
       3,
       3,
       11,
       {{0.0, -180.0, 98.5, 81.5},
        {0.0, -180.0, 98.5, 81.5},
        {89.2, 89.2, 85.5, 86.9},
        {89.2, 89.2, 85.5, 86.9},
        {89.2, 89.2, 85.5, 86.9},
        {13.0, 163.0, 97.5, 79.4},
        {13.0, 163.0, 97.5, 79.4},
        {13.0, 163.0, 97.5, 79.4},
        {34.6, -137.0, 98.5, 78.2},
        {-64.5, 74.5, 88.4, 73.6},
        {-32.9, 127.7, 91.3, 78.3},
        {52.6, -119.6, 103.8, 87.0},
        {-132.1, -9.1, 80.3, 70.6},
        {77.2, -83.8, 86.5, 72.9}}},
      {"E",
       5,
       11,
       3,
       7,
       8,
       {{0.0, -180.0, 99.6, 80.4},
        {0.0, -180.0, 99.6, 80.4},
        {57.5, 18.2, 104.2, 80.4},
        {57.5, 18.2, 104.2, 80.4},
        {57.5, 18.2, 104.2, 80.4},
        {-20.1, 101.8, 99.4, 80.8},
        {16.2, 112.9, 100.8, 86.3},
        {9.3, -155.5, 98.8, 82.7},
        {9.3, -155.5, 98.8, 82.7},
        {9.3, -155.5, 98.8, 82.7},
        {19.0, -143.3, 100.8, 82.9},
        {32.7, -94.7, 96.4, 88.0},
        {0.5, 147.0, 98.9, 81.0},
        {55.9, -36.2, 95.6, 88.6},
        {57.6, -26.0, 104.6, 78.3}}},
  };
  return profiles;
}

const ClusterProfile* find_cluster_profile(const std::string& name) {
  for (const ClusterProfile& profile : cluster_profiles())
    if (name == profile.name) return &profile;
  return nullptr;
}

/// Power pattern of an element towards local angles in degrees.  Source: [3GPP38901, table 7.3-1]
double element_power(double azimuth, double zenith) {
  const double vertical = std::min(12.0 * std::pow((zenith - 90.0) / 65.0, 2), 30.0);
  const double horizontal = std::min(12.0 * std::pow(azimuth / 65.0, 2), 30.0);
  return std::pow(10.0, (8.0 - std::min(vertical + horizontal, 30.0)) / 10.0);
}

/// What a panel sends towards a direction in each polarisation: fields [theta, phi] of all
/// antennas, [n, 2].
arma::cx_mat panel_response(const AntennaPanel& panel, double azimuth, double zenith) {
  azimuth = std::remainder(azimuth, 360.0);
  zenith = std::abs(std::remainder(zenith, 360.0));  // beyond a pole it comes back
  const double amplitude = panel.directional ? std::sqrt(element_power(azimuth, zenith)) : 1.0;
  const double y = std::sin(zenith * degree) * std::sin(azimuth * degree);
  const double z = std::cos(zenith * degree);
  arma::cx_mat out(panel.n(), 2);
  arma::uword i = 0;
  for (arma::uword k = 0; k < panel.n_polarisations; ++k) {
    const double slant = panel.n_polarisations == 1 ? 0.0 : (k == 0 ? 45.0 : -45.0) * degree;
    for (arma::uword column = 0; column < panel.n_columns; ++column) {
      for (arma::uword row = 0; row < panel.n_rows; ++row, ++i) {
        const std::complex<double> at = std::polar(
            amplitude,
            std::numbers::pi * (static_cast<double>(column) * y + static_cast<double>(row) * z));
        out(i, 0) = std::cos(slant) * at;
        out(i, 1) = std::sin(slant) * at;
      }
    }
  }
  return out;
}

class Cdl final : public ChannelGenerator {
 public:
  explicit Cdl(const CdlOptions& options)
      : options_(options),
        profile_(*find_cluster_profile(options.profile)),
        delays_(delay_profile(options.profile)) {
    // The tables differ in the last delay of profile E.
    if (options.profile == "E") delays_.delays.back() = 20.6419;
    delays_.delays *= options.delay_spread_s;
    cross_ = std::pow(10.0, -profile_.xpr_db / 10.0);
    scale_ = 1.0 / std::sqrt(mean_power());
  }

  arma::uword n_rx() const override { return options_.rx.n(); }
  arma::uword n_tx() const override { return options_.tx.n(); }
  GridAxes grid() const override { return options_.grid; }
  PanelShape rx_panel() const override {
    const AntennaPanel& rx = options_.rx;
    if (rx.n_rows == 1 && rx.n_polarisations == 1) return {};
    return {rx.n_rows, rx.n_columns, rx.n_polarisations};
  }

  std::string describe() const override {
    nlohmann::ordered_json json{{"generator", "cdl"},
                                {"profile", options_.profile},
                                {"delay_spread_s", options_.delay_spread_s},
                                {"doppler_hz", options_.doppler_hz},
                                {"rx_panel", options_.rx.text()},
                                {"tx_panel", options_.tx.text()},
                                {"slots", options_.n_slots}};
    if (options_.any_direction) json["direction"] = "any";
    return json.dump();
  }

  ChannelBlock generate(std::uint64_t seed, std::uint64_t first, arma::uword count) const override {
    ChannelBlock block;
    for (arma::uword k = 0; k < count; ++k) block.paths.push_back(draw(seed, first + k));
    return block;
  }

  std::optional<GridCovariance> grid_covariance() const override {
    // Both polarisations of a line of sight share one phase: no product of the two sides.
    if (delays_.has_los && options_.rx.n_polarisations > 1 && options_.tx.n_polarisations > 1)
      return {};
    if (options_.any_direction && options_.doppler_hz > 0.0) return {};
    const arma::vec times = symbols(0);
    GridCovariance out;
    out.grid = options_.grid;
    out.grid.n_symbols = times.n_elem;
    out.n_rx = n_rx();
    out.n_tx = n_tx();
    for (arma::uword l = 0; l < n_clusters(); ++l) {
      const bool is_los = delays_.has_los && l == 0;
      const auto rx = is_los ? std::vector<arma::cx_mat>{base_station(l, 0, 0, true)}
                             : every_ray([&](arma::uword i, arma::uword j) {
                                 return base_station(l, i, j, false);
                               });
      const auto tx = is_los ? std::vector<arma::cx_mat>{terminal_over(l, 0, 0, true, times)}
                             : every_ray([&](arma::uword i, arma::uword j) {
                                 return terminal_over(l, i, j, false, times);
                               });
      for (arma::uword p = 0; p < 2; ++p) {
        const arma::cx_mat F_rx = mean_factor(rx, p);
        if (F_rx.is_empty()) continue;
        const arma::uword i_rx = out.rx.size();
        bool is_used = false;
        for (arma::uword q = 0; q < 2; ++q) {
          if (is_los && p != q) continue;
          const arma::cx_mat F_tx = mean_factor(tx, q);
          if (F_tx.is_empty()) continue;
          const double power = delays_.powers(l) * (p == q ? 1.0 : cross_);
          out.paths.push_back({delays_.delays(l), i_rx, scale_ * std::sqrt(power) * F_tx});
          is_used = true;
        }
        if (is_used) out.rx.push_back(F_rx);
      }
    }
    return out;
  }

 private:
  arma::uword n_clusters() const { return delays_.delays.n_elem; }

  arma::vec symbols(std::uint64_t slot) const {
    const arma::uword n = options_.grid.n_symbols;
    if (options_.doppler_hz == 0.0) return arma::vec(1, arma::fill::zeros);
    return symbol_times(options_.grid.spacing_hz, slot * n, n);
  }

  /// Fields of ray i in azimuth and j in zenith of cluster l, [n_rx, 2].
  arma::cx_mat base_station(arma::uword l, arma::uword i, arma::uword j, bool is_los) const {
    const ClusterAngles& at = profile_.angles[l];
    if (is_los) return panel_response(options_.rx, at.aod, at.zod);
    return panel_response(options_.rx, at.aod + profile_.spread_aod * ray_offset(i),
                          at.zod + profile_.spread_zod * ray_offset(j));
  }
  struct Ray {
    arma::cx_mat fields;  // [n_tx, 2]
    double doppler_hz;
  };
  /// Of movement, a unit vector; the base station is at -x of the terminal.
  using Direction = std::array<double, 3>;
  static constexpr Direction away{1.0, 0.0, 0.0};
  /// The same at the terminal, which faces the base station and moves in a direction.
  Ray terminal(arma::uword l, arma::uword i, arma::uword j, bool is_los,
               const Direction& moves = away) const {
    const ClusterAngles& at = profile_.angles[l];
    const double azimuth = at.aoa + (is_los ? 0.0 : profile_.spread_aoa * ray_offset(i));
    const double zenith = at.zoa + (is_los ? 0.0 : profile_.spread_zoa * ray_offset(j));
    const double across = options_.doppler_hz * std::sin(zenith * degree);
    return {panel_response(options_.tx, azimuth - 180.0, zenith),
            across * std::cos(azimuth * degree) * moves[0] +
                across * std::sin(azimuth * degree) * moves[1] +
                options_.doppler_hz * std::cos(zenith * degree) * moves[2]};
  }
  /// At all times, [n_tx n_times, 2].
  arma::cx_mat terminal_over(arma::uword l, arma::uword i, arma::uword j, bool is_los,
                             const arma::vec& times) const {
    const Ray ray = terminal(l, i, j, is_los);
    arma::cx_mat out(n_tx() * times.n_elem, 2);
    for (arma::uword s = 0; s < times.n_elem; ++s)
      out.rows(s * n_tx(), (s + 1) * n_tx() - 1) =
          ray.fields * std::polar(1.0, full_turn * ray.doppler_hz * times(s));
    return out;
  }

  template <class Response>
  static std::vector<arma::cx_mat> every_ray(const Response& response) {
    std::vector<arma::cx_mat> out;
    for (arma::uword i = 0; i < n_rays; ++i)
      for (arma::uword j = 0; j < n_rays; ++j) out.push_back(response(i, j));
    return out;
  }

  /// F with F F^H the mean of v v^H over fields v of one polarisation; empty where there is no power.
  static arma::cx_mat mean_factor(const std::vector<arma::cx_mat>& fields,
                                  arma::uword polarisation) {
    arma::cx_mat V(fields[0].n_rows, fields.size());
    for (std::size_t k = 0; k < fields.size(); ++k) V.col(k) = fields[k].col(polarisation);
    if (!(arma::abs(V).max() > 0.0)) return {};
    V /= std::sqrt(static_cast<double>(fields.size()));
    if (V.n_cols == 1) return V;
    arma::vec values;
    arma::cx_mat vectors;
    hermitian_eigen(V * V.t(), values, vectors);
    // What is left out is 90 dB below a cluster.
    const arma::uvec kept = arma::find(values > 1e-9 * values.max());
    const arma::vec roots = arma::sqrt(values(kept));
    return vectors.cols(kept) * arma::diagmat(arma::conv_to<arma::cx_vec>::from(roots));
  }

  /// Per entry, before scaling.
  double mean_power() const {
    const auto powers_of = [](const std::vector<arma::cx_mat>& fields) {
      arma::rowvec sum(2, arma::fill::zeros);
      for (const arma::cx_mat& each : fields) sum += arma::sum(arma::square(arma::abs(each)), 0);
      return arma::rowvec(sum / static_cast<double>(fields.size()));
    };
    double power = 0.0;
    for (arma::uword l = 0; l < n_clusters(); ++l) {
      if (delays_.has_los && l == 0) {
        power += delays_.powers(l) * arma::accu(arma::square(arma::abs(los_matrix())));
        continue;
      }
      const arma::rowvec rx = powers_of(
          every_ray([&](arma::uword i, arma::uword j) { return base_station(l, i, j, false); }));
      const arma::rowvec tx = powers_of(
          every_ray([&](arma::uword i, arma::uword j) { return terminal(l, i, j, false).fields; }));
      power += delays_.powers(l) *
               (rx(0) * tx(0) + rx(1) * tx(1) + cross_ * (rx(0) * tx(1) + rx(1) * tx(0)));
    }
    return power / static_cast<double>(n_rx() * n_tx());
  }

  /// [n_rx, n_tx]
  arma::cx_mat los_matrix() const {
    const arma::cx_mat a = base_station(0, 0, 0, true);
    const arma::cx_mat b = terminal(0, 0, 0, true).fields;
    return a.col(0) * b.col(0).st() - a.col(1) * b.col(1).st();
  }

  static std::array<arma::uword, n_rays> shuffled(Rng& rng) {
    std::array<arma::uword, n_rays> order{};
    for (arma::uword m = 0; m < n_rays; ++m) order[m] = m;
    for (arma::uword m = n_rays - 1; m > 0; --m) std::swap(order[m], order[rng.index(m + 1)]);
    return order;
  }

  Paths draw(std::uint64_t seed, std::uint64_t sample) const {
    Rng rng(seed, {Purpose::channel, 0, sample / options_.n_slots});
    const arma::vec times = symbols(sample % options_.n_slots);
    Direction moves = away;
    if (options_.any_direction) {
      Rng of_movement(seed, {Purpose::channel, 1, sample / options_.n_slots});
      const double azimuth = full_turn * of_movement.uniform();
      const double zenith = 0.5 * full_turn * of_movement.uniform();
      moves = {std::sin(zenith) * std::cos(azimuth), std::sin(zenith) * std::sin(azimuth),
               std::cos(zenith)};
    }
    Paths paths;
    paths.delays = delays_.delays.t();
    paths.gains.zeros(n_rx() * n_tx(), n_clusters(), times.n_elem);
    const auto phase = [&] { return std::polar(1.0, full_turn * rng.uniform()); };
    arma::cx_mat D(n_rx(), 2 * n_rays), B(n_tx(), 2 * n_rays), turned;
    std::array<double, n_rays> dopplers{};
    for (arma::uword l = 0; l < n_clusters(); ++l) {
      const double amplitude = scale_ * std::sqrt(delays_.powers(l));
      if (delays_.has_los && l == 0) {
        const arma::cx_vec gains = arma::vectorise(los_matrix()) * amplitude * phase();
        const double doppler = terminal(0, 0, 0, true, moves).doppler_hz;
        for (arma::uword s = 0; s < times.n_elem; ++s)
          paths.gains.slice(s).col(l) = gains * std::polar(1.0, full_turn * doppler * times(s));
        continue;
      }
      // Azimuths and zeniths of both sides are coupled at random.
      const auto aoa = shuffled(rng), zod = shuffled(rng), zoa = shuffled(rng);
      const double cross = std::sqrt(cross_);
      for (arma::uword m = 0; m < n_rays; ++m) {
        const arma::cx_mat a = base_station(l, m, zod[m], false);
        const Ray ray = terminal(l, aoa[m], zoa[m], false, moves);
        const std::complex<double> tt = phase(), tp = phase(), pt = phase(), pp = phase();
        D.col(2 * m) = a.col(0) * tt + a.col(1) * (cross * pt);
        D.col(2 * m + 1) = a.col(0) * (cross * tp) + a.col(1) * pp;
        B.cols(2 * m, 2 * m + 1) = ray.fields;
        dopplers[m] = ray.doppler_hz;
      }
      const double of_ray = amplitude / std::sqrt(static_cast<double>(n_rays));
      for (arma::uword s = 0; s < times.n_elem; ++s) {
        turned = B;
        for (arma::uword m = 0; m < n_rays; ++m)
          turned.cols(2 * m, 2 * m + 1) *=
              of_ray * std::polar(1.0, full_turn * dopplers[m] * times(s));
        paths.gains.slice(s).col(l) = arma::vectorise(D * turned.st());
      }
    }
    return paths;
  }

  CdlOptions options_;
  const ClusterProfile& profile_;
  DelayProfile delays_;
  double cross_ = 0.0;  // power of cross-polarisation
  double scale_ = 1.0;
};

}  // namespace

std::string AntennaPanel::text() const {
  return PanelShape{n_rows, n_columns, n_polarisations}.text() +
         (directional ? ":directional" : ":omni");
}

AntennaPanel parse_panel(const std::string& text, const AntennaPanel& defaults) {
  const auto refuse_it = [&] {
    refuse("panel '" + text +
           "' is none; write ROWSxCOLUMNSxPOLARISATIONS, for example 4x8x2, and where it is not "
           "as by default :directional or :omni behind it");
  };
  AntennaPanel panel = defaults;
  const std::vector<std::string> parts = split(text, ':');
  const std::optional<PanelShape> shape = panel_from_text(parts[0]);
  if (parts.size() > 2 || !shape) refuse_it();
  if (parts.size() == 2) {
    if (parts[1] != "directional" && parts[1] != "omni") refuse_it();
    panel.directional = parts[1] == "directional";
  }
  panel.n_rows = shape->rows;
  panel.n_columns = shape->columns;
  panel.n_polarisations = shape->polarisations;
  return panel;
}

std::string CdlOptions::why_invalid() const {
  if (find_cluster_profile(profile) == nullptr)
    return "profile '" + profile + "' is unknown, there are A, B, C, D and E";
  for (const AntennaPanel* panel : {&rx, &tx}) {
    const bool fits = panel->n_rows >= 1 && panel->n_columns >= 1 && panel->n_rows <= 65'536 &&
                      panel->n_columns <= 65'536 &&
                      (panel->n_polarisations == 1 || panel->n_polarisations == 2);
    if (!fits)
      return "a panel is " + panel->text() +
             ", it must have rows, columns and 1 or 2 polarisations";
  }
  if (n_slots == 0) return "the number of slots is 0, it must be at least 1";
  if (!(grid.spacing_hz > 0.0) || grid.n_elements() == 0)
    return "the grid is " + grid.text() + " at " + number_text(grid.spacing_hz) +
           " Hz, it must have subcarriers, symbols and a spacing";
  if (rx.n() * tx.n() > n_h_most || grid.n_elements() > n_h_most ||
      rx.n() * tx.n() * grid.n_elements() > n_h_most)
    return "one channel has " + size_text(rx.n(), tx.n(), grid) + " entries, expected at most " +
           std::to_string(n_h_most);
  if (!(delay_spread_s >= 0.0 && delay_spread_s < 1.0))
    return "the delay spread is " + number_text(delay_spread_s) + " s, it must be in 0 .. < 1 s";
  if (!(doppler_hz >= 0.0 && doppler_hz < 1e9))
    return "the Doppler is " + number_text(doppler_hz) + " Hz, it must be 0 or more";
  return {};
}

std::unique_ptr<ChannelGenerator> make_cdl(const CdlOptions& options) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("cdl: " + why);
  return std::make_unique<Cdl>(options);
}

}  // namespace v0
}  // namespace chest
