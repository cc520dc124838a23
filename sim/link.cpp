#include <chest/sim/link.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/random.hpp>
#include <chest/sim/modulation.hpp>

#include "engine.hpp"
#include "link_sums.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// Sends data over the channels of a block and detects it with each estimate. All estimators see
/// the same symbols and noise; each modulation takes its labels from the same random bits.
class LinkMeter : public Meter {
 public:
  explicit LinkMeter(const LinkOptions& options) : options_(options) {
    for (const std::string& name : options.modulations) modulations_.emplace_back(name);
  }

  void begin(const Scene& scene) override {
    const arma::uword n_tx = scene.n_tx, n_data = options_.n_data, n = scene.h.n_cols;
    const arma::uword n_symbols = n_tx * n_data;
    labels_.set_size(n_symbols, n);
    received_.resize(modulations_.size());
    for (arma::cx_mat& received : received_) received.set_size(scene.n_rx, n_data * n);
    arma::cx_mat symbols(n_tx, n_data), noise(scene.n_rx, n_data);
    for (arma::uword k = 0; k < n; ++k) {
      Rng bits(scene.seed, {Purpose::data_symbols, scene.snr_stream, scene.observation.sample(k)});
      for (arma::uword i = 0; i < n_symbols; ++i) labels_(i, k) = unsigned(bits.index(64));
      Rng(scene.seed, {Purpose::data_noise, scene.snr_stream, scene.observation.sample(k)})
          .fill_cx_normal(noise.memptr(), noise.n_elem, scene.observation.sigma2);
      const arma::cx_mat H = channel(scene.h, k, scene);
      for (std::size_t m = 0; m < modulations_.size(); ++m) {
        for (arma::uword i = 0; i < n_symbols; ++i)
          symbols(i) = modulations_[m].symbol(label(m, i, k)) / std::sqrt(double(n_tx));
        received_[m].cols(k * n_data, (k + 1) * n_data - 1) = H * symbols + noise;
      }
    }
  }

  void measure(const Scene& scene, arma::uword, Estimate& estimate, double* sums) override {
    const arma::uword n_tx = scene.n_tx, n_data = options_.n_data;
    const arma::uword n_sums = LinkSums::count(n_tx);
    for (arma::uword k = 0; k < scene.h.n_cols; ++k) {
      double sigma2 = estimate.sigma2.is_empty() ? scene.observation.sigma2 : estimate.sigma2(k);
      // An error that is not known counts as none, as for an estimator that predicts none.
      if (options_.error_variance && !estimate.mse.is_empty() && std::isfinite(estimate.mse(k)))
        sigma2 += std::max(0.0, estimate.mse(k)) / double(scene.n_rx * n_tx);
      detector_.prepare(channel(estimate.h, k, scene), sigma2);
      for (std::size_t m = 0; m < modulations_.size(); ++m) {
        const arma::cx_mat y(received_[m].colptr(k * n_data), scene.n_rx, n_data, false, true);
        detector_.detect(y, detected_);
        count(m, k, n_tx, sums + m * n_sums + ErrorSums::count);
      }
    }
  }

 private:
  static arma::cx_mat channel(const arma::cx_mat& h, arma::uword k, const Scene& scene) {
    return arma::cx_mat(const_cast<std::complex<double>*>(h.colptr(k)), scene.n_rx, scene.n_tx,
                        false, true);
  }

  unsigned label(std::size_t m, arma::uword i, arma::uword k) const {
    return unsigned(labels_(i, k)) & ((1u << modulations_[m].bits_per_symbol()) - 1);
  }

  void count(std::size_t m, arma::uword k, arma::uword n_tx, double* sums) {
    const Modulation& modulation = modulations_[m];
    const unsigned n_bits = modulation.bits_per_symbol();
    double symbol_errors = 0.0, bit_errors = 0.0;
    double llr[8];
    for (arma::uword i = 0; i < detected_.n_elem; ++i) {
      const arma::uword i_stream = i % n_tx;
      const unsigned sent = label(m, i, k);
      const double sinr = detector_.sinr()(i_stream);
      const unsigned wrong = modulation.nearest(detected_(i)) ^ sent;
      symbol_errors += wrong != 0;
      bit_errors += __builtin_popcount(wrong);
      if (sinr > 0.0)
        modulation.llrs(detected_(i), 1.0 / sinr, llr);
      else
        std::fill_n(llr, n_bits, 0.0);
      double loss = 0.0;
      for (unsigned b = 0; b < n_bits; ++b)
        loss += bit_loss((sent >> (n_bits - 1 - b)) & 1, llr[b]);
      sums[3 + i_stream] += loss;
    }
    sums[0] += symbol_errors;
    sums[1] += bit_errors;
    sums[2] += bit_errors * bit_errors;
  }

  const LinkOptions& options_;
  std::vector<Modulation> modulations_;
  arma::umat labels_;                   // [n_tx n_data, n]: six random bits per symbol
  std::vector<arma::cx_mat> received_;  // per modulation, [n_rx, n_data n]
  LinearDetector detector_;
  arma::cx_mat detected_;
};

}  // namespace

LinkFigures link_figures(const LinkSums& sums, double n_channels, double symbols_per_channel,
                         unsigned bits_per_symbol) {
  const double n_symbols = n_channels * symbols_per_channel;
  const double bits_per_channel = symbols_per_channel * bits_per_symbol;
  const double n_bits = n_channels * bits_per_channel;
  LinkFigures figures{};
  figures.ser = sums.symbol_errors() / n_symbols;
  figures.ber = sums.bit_errors() / n_bits;
  const Interval errors = mean_interval(n_channels, sums.bit_errors(), sums.bit_errors_squared());
  figures.ber_interval = {std::max(0.0, errors.low / bits_per_channel),
                          errors.high / bits_per_channel};
  if (sums.bit_errors() == 0.0) figures.ber_interval = {0.0, std::min(1.0, 3.0 / n_bits)};
  const double per_stream = n_symbols / double(sums.n_streams);
  for (arma::uword i = 0; i < sums.n_streams; ++i)
    figures.rate += std::max(0.0, bits_per_symbol - sums.loss(i) / per_stream);
  return figures;
}

std::string LinkOptions::why_invalid() const {
  if (modulations.empty())
    return "modulations is empty, expected at least one of qpsk, 16qam, 64qam";
  std::set<std::string> names;
  for (const std::string& name : modulations)
    if (!names.insert(name).second) return "modulations holds '" + name + "' twice";
  if (n_data == 0 || n_data > 100'000)
    return "n_data is " + std::to_string(n_data) + ", expected 1 .. 100000";
  return {};
}

void LinearDetector::prepare(const arma::cx_mat& H, double sigma2) {
  const double n_tx = double(H.n_cols);
  const arma::cx_mat G = H / std::sqrt(n_tx);
  arma::cx_mat gram = G.t() * G;
  gram.diag() += sigma2;
  arma::cx_mat M;
  if (!arma::inv_sympd(M, gram))
    throw Error(ErrorKind::numeric, "link: the detector's matrix H^H H + sigma2 I is singular");
  W_ = M * G.t();
  sinr_.set_size(H.n_cols);
  for (arma::uword i = 0; i < H.n_cols; ++i) {
    // s_hat = mu s + rest, the mean square error of the biased estimate is 1 - mu.
    const double mu = std::real(arma::as_scalar(W_.row(i) * G.col(i)));
    const double rest = sigma2 * std::real(M(i, i));
    if (mu > 1e-12) {
      sinr_(i) = mu / rest;
      W_.row(i) /= mu;
    } else {
      sinr_(i) = 0.0;
    }
  }
}

void LinearDetector::detect(const arma::cx_mat& y, arma::cx_mat& s_hat) const { s_hat = W_ * y; }

Results run_link(const SampleReader& samples, const CovarianceReader& covariances,
                 const EstimatorFactory& make_estimator, const LinkOptions& options,
                 const RunControl& control) {
  if (const std::string why = options.why_invalid(); !why.empty())
    throw Error(ErrorKind::invalid_argument, "link: " + why);
  if (samples.grid.is_grid())
    throw Error(ErrorKind::invalid_argument,
                "link: the channels are grids of " + samples.grid.text() +
                    " elements, data is sent over matrices; name one element with --axes, as in "
                    "n,r,t,0,0");
  if (samples.n_rx < samples.n_tx)
    throw Error(ErrorKind::invalid_argument,
                "link: channels have n_rx = " + std::to_string(samples.n_rx) +
                    " and n_tx = " + std::to_string(samples.n_tx) +
                    "; linear detection of n_tx streams needs n_rx >= n_tx");
  // Names are checked before work starts, by making them once.
  for (const std::string& name : options.modulations) Modulation{name};

  Experiment experiment;
  experiment.kind = ResultKind::link;
  experiment.modulations = options.modulations;
  experiment.n_data = options.n_data;
  experiment.n_sums = LinkSums::count(samples.n_tx);
  experiment.derived = {perfect_row()};
  nlohmann::ordered_json json;
  json["modulations"] = options.modulations;
  json["n_data"] = options.n_data;
  json["error_variance"] = options.error_variance;
  experiment.options = json.dump();
  experiment.make_meter = [&options] { return std::make_unique<LinkMeter>(options); };
  experiment.relative_half_width = [n_tx = samples.n_tx](const double* values) {
    const LinkSums sums(values, n_tx);
    // The ratio is the same per channel as per bit.
    const double errors = sums.bit_errors();
    if (errors == 0.0) return std::numeric_limits<double>::infinity();
    const Interval interval = mean_interval(values[0], errors, sums.bit_errors_squared());
    return (interval.high - interval.low) / 2.0 * values[0] / errors;
  };
  return run_experiment(samples, covariances, make_estimator, options.run, experiment, control);
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
