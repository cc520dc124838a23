// Slots of DM-RS through chest_channel_estimator, as an upper PHY feeds its channel estimator.
//
//   c++ -std=c++20 ocudu_driver.cpp $(pkg-config --cflags --libs chest) -o ocudu_driver
//   ./ocudu_driver scm_16x4.h5 chest
#include "ocudu_estimator.hpp"

#include <cstdio>
#include <exception>

#include "program.h"

namespace {

class grid : public resource_grid_reader {
 public:
  grid(unsigned n_ports, std::size_t n_subcarriers)
      : n_subcarriers_(n_subcarriers), values_(14 * n_ports * n_subcarriers) {}
  std::span<cf_t> row(unsigned port, unsigned symbol) {
    return {values_.data() + (14 * port + symbol) * n_subcarriers_, n_subcarriers_};
  }
  std::span<const cf_t> get_view(unsigned port, unsigned symbol) const override {
    return {values_.data() + (14 * port + symbol) * n_subcarriers_, n_subcarriers_};
  }

 private:
  std::size_t n_subcarriers_;
  std::vector<cf_t> values_;
};

int run(const char* model_path, const char* program) {
  constexpr unsigned n_prb = 273, first_prb = 1, n_slots = 4, symbol = 2, re_per_prb = 12;
  constexpr float beta = 1.4125F;  // 3 dB: two code-division groups without data
  const chest_c::Model model(model_path);
  const unsigned n_rx = model.info().n_rx, n_tx = model.info().n_tx;
  // Six pilots of energy beta^2 tell of each coefficient in a PRB: this is 10 dB after despreading.
  const double snr_db = 10.0, sigma2 = 6.0 * beta * beta * 0.1;
  rng r = {9};
  const unsigned n = n_slots * n_prb, n_h = n_rx * n_tx;
  std::vector<cf_t> h(std::size_t{n} * n_h), h_hat(h.size());
  draw_channels(&r, static_cast<int>(n), static_cast<int>(n_rx), static_cast<int>(n_tx),
                reinterpret_cast<float*>(h.data()));

  channel_estimator_configuration cfg;
  for (unsigned port = 0; port < n_rx; ++port) cfg.rx_ports.push_back(port);
  cfg.nof_layers = n_tx;
  cfg.dmrs_symbol = symbol;
  cfg.first_prb = first_prb;
  cfg.nof_prb = n_prb;
  cfg.beta = beta;
  chest_channel_estimator estimator(model, n_prb);
  std::vector<cf_t> pilots(std::size_t{n_prb} * re_per_prb), coefficients(pilots.size());
  double noise_variance = 0.0, rsrp = 0.0, predicted = 0.0;
  for (unsigned slot = 0; slot < n_slots; ++slot) {
    for (cf_t& pilot : pilots) {
      pilot = {uniform(&r) < 0.5 ? -0.70710678F : 0.70710678F,
               uniform(&r) < 0.5 ? -0.70710678F : 0.70710678F};
    }
    grid received(n_rx, std::size_t{first_prb + n_prb} * re_per_prb);
    for (unsigned port = 0; port < n_rx; ++port) {
      const std::span<cf_t> row =
          received.row(port, symbol).subspan(std::size_t{first_prb} * re_per_prb);
      for (unsigned k = 0; k < row.size(); ++k) {
        const cf_t* of_prb = h.data() + ((slot * n_prb + k / re_per_prb) * n_rx + port) * n_tx;
        cf_t sum{};
        for (unsigned layer = k % 2 * 2; layer < n_tx && layer < k % 2 * 2 + 2; ++layer) {
          const bool minus = layer % 2 == 1 && k / 2 % 2 == 1;
          sum += (minus ? -beta : beta) * of_prb[layer];
        }
        const cf_t clean = sum * pilots[k];
        add_noise(&r, reinterpret_cast<const float*>(&clean), 1, sigma2,
                  reinterpret_cast<float*>(&row[k]));
      }
    }
    const channel_estimator_results& results = estimator.compute(received, pilots, cfg);
    noise_variance += results.get_noise_variance() / n_slots;
    rsrp += results.get_rsrp(0) / n_slots;
    for (unsigned prb = 0; prb < n_prb; ++prb) predicted += results.get_error_variance(prb) / n;
    for (unsigned port = 0; port < n_rx; ++port) {
      for (unsigned layer = 0; layer < n_tx; ++layer) {
        results.get_symbol_ch_estimate(coefficients, port, layer);
        for (unsigned prb = 0; prb < n_prb; ++prb) {
          h_hat[((slot * n_prb + prb) * n_rx + port) * n_tx + layer] =
              coefficients[prb * re_per_prb + 7];
        }
      }
    }
  }
  const double found = nmse_db(reinterpret_cast<const float*>(h_hat.data()),
                               reinterpret_cast<const float*>(h.data()), static_cast<int>(n * n_h));
  const double of_program =
      program_nmse_db(program, model_path, reinterpret_cast<const float*>(h.data()),
                      static_cast<int>(n), static_cast<int>(n_rx), static_cast<int>(n_tx), snr_db);
  std::printf(
      "%u slots of %u PRB: class %.2f dB (predicted %.2f dB), chest sweep %.2f dB; noise variance "
      "%.3f of %.3f, RSRP %.2f of %.2f\n",
      n_slots, n_prb, found, 10.0 * std::log10(predicted), of_program, noise_variance, sigma2, rsrp,
      beta * beta);
  // 1092 x 4 x 16 x 2 scattered values tell the noise variance to 0.3 %.
  const bool right = std::abs(found - of_program) < 0.1 &&
                     std::abs(noise_variance / sigma2 - 1.0) < 0.015 &&
                     std::abs(rsrp / (beta * beta) - 1.0) < 0.15;
  if (!right) std::fprintf(stderr, "ocudu_driver: expected the NMSE of chest sweep\n");
  return right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: ocudu_driver MODEL CHEST\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ocudu_driver: %s\n", error.what());
    return 1;
  }
}
