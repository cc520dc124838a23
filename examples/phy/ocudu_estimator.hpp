/// chest behind a class of the shape of OCUDU's and srsRAN's port_channel_estimator: compute() from views of a resource
/// grid and the pilots, a results object that lives until the next compute(). It knows only chest.hpp.
///
/// One difference: those estimate each receive port by itself; a prior over the array needs all ports at once, so
/// compute() takes the ports of the configuration together and getters name the port.
#ifndef OCUDU_ESTIMATOR_HPP
#define OCUDU_ESTIMATOR_HPP

#include <chest.hpp>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

using cf_t = std::complex<float>;

/// Received resource elements.
class resource_grid_reader {
 public:
  virtual ~resource_grid_reader() = default;
  /// Subcarriers of a port and a symbol.
  virtual std::span<const cf_t> get_view(unsigned port, unsigned symbol) const = 0;
};

/// What is known of a slot of DM-RS type 1, single symbol, up to four layers: layers 0 and 1 share the even
/// subcarriers, 2 and 3 the odd ones, each pair told apart by the cover (+, -).
struct channel_estimator_configuration {
  std::vector<unsigned> rx_ports;
  unsigned nof_layers = 1;
  unsigned dmrs_symbol = 2;
  unsigned first_prb = 0, nof_prb = 0;
  float beta = 1.0F;  ///< amplitude of a layer's DM-RS
};

/// Of the last compute().
class channel_estimator_results {
 public:
  static constexpr unsigned re_per_prb = 12;

  /// Coefficients of a port and a layer on the subcarriers of the allocation, for any symbol of the slot.
  void get_symbol_ch_estimate(std::span<cf_t> out, unsigned port, unsigned layer) const {
    for (std::size_t k = 0; k < out.size(); ++k) out[k] = at(k / re_per_prb, port, layer);
  }
  /// Per resource element, at the grid's own scale; from the scatter of the pilots within each PRB.
  float get_noise_variance() const { return noise_variance_; }
  /// Power of a layer's reference signal, mean of the ports.
  float get_rsrp(unsigned layer) const {
    double power = 0.0;
    for (std::size_t prb = 0; prb < nof_prb_; ++prb) {
      for (unsigned port = 0; port < nof_ports_; ++port) power += std::norm(at(prb, port, layer));
    }
    return static_cast<float>(beta_ * beta_ * power / static_cast<double>(nof_prb_ * nof_ports_));
  }
  /// Mean energy of the received pilots.
  float get_epre() const { return epre_; }
  float get_snr() const { return (epre_ - noise_variance_) / noise_variance_; }
  /// Predicted error variance of a coefficient in a PRB; what an equaliser adds to the noise. NaN: not known.
  float get_error_variance(unsigned prb) const { return error_variance_[prb]; }
  /// Not measured here, which is something else than 0.
  std::optional<float> get_cfo_Hz() const { return std::nullopt; }

 private:
  friend class chest_channel_estimator;
  cf_t at(std::size_t prb, unsigned port, unsigned layer) const {
    return h_[(prb * nof_ports_ + port) * nof_layers_ + layer];
  }
  std::vector<cf_t> h_;  // [prb, port, layer]
  std::vector<float> error_variance_;
  std::size_t nof_prb_ = 0;
  unsigned nof_ports_ = 0, nof_layers_ = 0;
  float noise_variance_ = 0.0F, epre_ = 0.0F, beta_ = 1.0F;
};

/// For one worker. The channel is taken for constant over a PRB.
class chest_channel_estimator {
 public:
  static constexpr unsigned re_per_prb = 12, re_per_group = 4;

  /// @param max_nof_prb  memory is set aside for so many
  chest_channel_estimator(const chest_c::Model& model, unsigned max_nof_prb)
      : session_(model), n_rx_(model.info().n_rx), n_layers_(model.info().n_tx) {
    if (n_layers_ > 4) throw std::invalid_argument("DM-RS type 1 on one symbol has four layers");
    y_.resize(std::size_t{max_nof_prb} * n_rx_ * re_per_group);
    results_.h_.resize(std::size_t{max_nof_prb} * n_rx_ * n_layers_);
    results_.error_variance_.resize(max_nof_prb);
  }

  /// @param pilots  DM-RS without covers, of the subcarriers of the allocation, |pilot| = 1
  const channel_estimator_results& compute(const resource_grid_reader& grid,
                                           std::span<const cf_t> pilots,
                                           const channel_estimator_configuration& cfg) {
    const std::size_t n_re = std::size_t{cfg.nof_prb} * re_per_prb;
    if (cfg.rx_ports.size() != n_rx_ || cfg.nof_layers != n_layers_ || pilots.size() != n_re ||
        cfg.nof_prb == 0 || cfg.nof_prb > results_.error_variance_.size()) {
      throw std::invalid_argument("configuration does not fit the model or the allocation");
    }
    if (cfg.beta != beta_) set_covers(cfg.beta);
    // Per PRB and port, 4 values [port, pilot]: the mean of the three groups of four subcarriers.
    constexpr unsigned n_groups = re_per_prb / re_per_group;
    double scatter = 0.0, energy = 0.0;
    for (unsigned port = 0; port < n_rx_; ++port) {
      const std::span<const cf_t> row = grid.get_view(cfg.rx_ports[port], cfg.dmrs_symbol)
                                            .subspan(std::size_t{cfg.first_prb} * re_per_prb, n_re);
      for (unsigned prb = 0; prb < cfg.nof_prb; ++prb) {
        for (unsigned i = 0; i < re_per_group; ++i) {
          cf_t sum{};
          double squares = 0.0;
          for (unsigned group = 0; group < n_groups; ++group) {
            const unsigned k = prb * re_per_prb + group * re_per_group + i;
            const cf_t matched = row[k] * std::conj(pilots[k]);
            sum += matched;
            squares += std::norm(matched);
          }
          const cf_t mean = sum / static_cast<float>(n_groups);
          y_[(std::size_t{prb} * n_rx_ + port) * re_per_group + i] = mean;
          scatter += squares - n_groups * static_cast<double>(std::norm(mean));
          energy += squares;
        }
      }
    }
    const double n_means = static_cast<double>(cfg.nof_prb) * n_rx_ * re_per_group;
    results_.nof_prb_ = cfg.nof_prb;
    results_.nof_ports_ = n_rx_;
    results_.nof_layers_ = n_layers_;
    results_.beta_ = cfg.beta;
    results_.epre_ = static_cast<float>(energy / (n_groups * n_means));
    results_.noise_variance_ = static_cast<float>(scatter / ((n_groups - 1) * n_means));
    session_.estimate(y_.data(), cfg.nof_prb, results_.noise_variance_ / n_groups,
                      results_.h_.data(), results_.error_variance_.data());
    return results_;
  }

 private:
  /// P [layer, subcarrier of a group]: set-up, not once per slot.
  void set_covers(float beta) {
    std::vector<cf_t> P(std::size_t{n_layers_} * re_per_group);
    for (unsigned layer = 0; layer < n_layers_; ++layer) {
      const unsigned k = layer / 2;  // the first subcarrier of the pair
      P[layer * re_per_group + k] = beta;
      P[layer * re_per_group + k + 2] = layer % 2 == 0 ? beta : -beta;
    }
    session_.pilots(P.data(), re_per_group);
    beta_ = beta;
  }

  chest_c::Session session_;
  unsigned n_rx_, n_layers_;
  float beta_ = std::numeric_limits<float>::quiet_NaN();
  std::vector<cf_t> y_;  // [prb, port, pilot]
  channel_estimator_results results_;
};

#endif
