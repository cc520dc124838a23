#include <chest/estimators/inference/planned_estimator.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/common/noise_search.hpp>
#include <chest/estimators/diffusion/cycle_spinning.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/inference/precision.hpp>
#include <chest/metrics.hpp>
#include <chest/observation.hpp>

#include "buffer.hpp"
#include "kernels.hpp"
#include "plane_network.hpp"
#include "plane_transform.hpp"

namespace chest {
inline namespace v0 {

using inference::Buffer;
using inference::kernels;
using inference::Planes;
using inference::rounded_up;

PlannedEstimator::PlannedEstimator(arma::uword n_rx, arma::cx_mat P)
    : n_rx_(n_rx),
      P_(std::move(P)),
      gain_(arma::accu(arma::square(arma::abs(P_))) / static_cast<double>(P_.n_rows)) {}

PlannedEstimator::Outcome PlannedEstimator::estimate(const std::complex<float>* y, double sigma2,
                                                     PlannedWork& work,
                                                     std::complex<float>* h) const {
  return std::isnan(sigma2) ? estimate_blind(y, work, h) : do_estimate(y, sigma2, work, h);
}

PlannedEstimator::Outcome PlannedEstimator::estimate_blind(const std::complex<float>* y,
                                                           PlannedWork& work,
                                                           std::complex<float>* h) const {
  const arma::uword n_obs = n_rx_ * P_.n_cols;
  double received = 0.0;
  for (arma::uword i = 0; i < n_obs; ++i) received += static_cast<double>(std::norm(y[i]));
  received /= static_cast<double>(n_obs);
  NoiseSearch search(received > 0.0 ? to_db(received) : 0.0);
  Outcome out;
  unsigned nfe = 0;
  while (!search.done()) {
    const double level_db = search.level_db();
    out = do_estimate(y, from_db(level_db), work, h);
    nfe += out.nfe;
    double residual = 0.0;
    for (arma::uword p = 0; p < P_.n_cols; ++p) {
      for (arma::uword r = 0; r < n_rx_; ++r) {
        std::complex<double> sum = y[p * n_rx_ + r];
        for (arma::uword t = 0; t < P_.n_rows; ++t) {
          sum -= std::complex<double>(h[t * n_rx_ + r]) * P_(t, p);
        }
        residual += std::norm(sum);
      }
    }
    const double em = (residual + gain_ * out.mse) / static_cast<double>(n_obs);
    search.add(em > 0.0 ? to_db(em) - level_db : 0.0);
  }
  out.sigma2 = from_db(search.found_db());
  out.nfe = nfe;
  return out;
}

namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

/// A product with a matrix of complex doubles, in float32: rows are given, columns come out.
struct Matrix {
  std::size_t n_in = 0, n_out = 0, stride = 0;
  Buffer re, im;

  Matrix() = default;
  /// out_j = sum_i in_i m(i, j)
  explicit Matrix(const arma::cx_mat& m)
      : n_in(m.n_rows), n_out(m.n_cols), stride(rounded_up(m.n_cols)) {
    re = Buffer(n_in * stride);
    im = Buffer(n_in * stride);
    for (std::size_t i = 0; i < n_in; ++i) {
      for (std::size_t j = 0; j < n_out; ++j) {
        re[i * stride + j] = static_cast<float>(m(i, j).real());
        im[i * stride + j] = static_cast<float>(m(i, j).imag());
      }
    }
  }
  void apply(const float* in_re, const float* in_im, float* out_re, float* out_im) const {
    kernels().multiply({1, n_in, stride, in_re, in_im, n_in, re.data(), im.data(), stride, out_re,
                        out_im, stride});
  }
};

/// Y P^+ for columns of receive antennas.
class Decorrelation {
 public:
  Decorrelation() = default;
  Decorrelation(const arma::cx_mat& P, arma::uword n_rx)
      : n_rx_(n_rx),
        n_tx_(P.n_rows),
        n_pilots_(P.n_cols),
        width_(rounded_up(n_rx)),
        // The identity leaves y as it is, to the bit.
        is_identity_(
            P.n_rows == P.n_cols &&
            arma::approx_equal(P, arma::cx_mat(arma::size(P), arma::fill::eye), "absdiff", 0.0)),
        right_inverse_(arma::cx_mat(arma::pinv(P)).st()) {}

  std::size_t width() const { return width_; }
  /// Floats of the planes that hold y, and of those of the result.
  std::size_t y_plane() const { return n_pilots_ * width_; }
  std::size_t h_plane() const { return n_tx_ * width_; }

  /// Rows of receive antennas, one for each transmit antenna.
  void apply(const std::complex<float>* y, Planes y_planes, Planes out) const {
    const Planes to = is_identity_ ? out : y_planes;
    for (std::size_t p = 0; p < n_pilots_; ++p) {
      for (std::size_t r = 0; r < n_rx_; ++r, ++y) {
        to.re[p * width_ + r] = y->real();
        to.im[p * width_ + r] = y->imag();
      }
    }
    if (is_identity_) return;
    kernels().multiply({n_tx_, n_pilots_, width_, right_inverse_.re.data(),
                        right_inverse_.im.data(), right_inverse_.stride, y_planes.re, y_planes.im,
                        width_, out.re, out.im, width_});
  }

 private:
  std::size_t n_rx_ = 0, n_tx_ = 0, n_pilots_ = 0, width_ = 0;
  bool is_identity_ = false;
  Matrix
      right_inverse_;  ///< [n_tx, n_pilots]: rows are what a transmit antenna takes of each pilot
};

void store(const float* re, const float* im, std::size_t n_rows, std::size_t n, std::size_t stride,
           std::complex<float>* h) {
  for (std::size_t row = 0; row < n_rows; ++row) {
    for (std::size_t k = 0; k < n; ++k, ++h) *h = {re[row * stride + k], im[row * stride + k]};
  }
}

/// One real and one imaginary part.
struct Pair {
  Buffer re, im;
  Pair() = default;
  explicit Pair(std::size_t n) : re(n), im(n) {}
  Planes planes() { return {re.data(), im.data()}; }
};

void check_pilots(const std::string& who, const arma::cx_mat& P, arma::uword n_rx) {
  if (n_rx == 0 || P.is_empty() || !P.is_finite() || arma::abs(P).max() == 0.0) {
    throw Error(ErrorKind::invalid_argument,
                who + ": the pilots are " + std::to_string(P.n_rows) + "x" +
                    std::to_string(P.n_cols) + " for " + std::to_string(n_rx) +
                    " receive antennas; expected a finite matrix that is not 0");
  }
}

std::shared_ptr<const ObservationOperator> operator_of(const arma::cx_mat& P, arma::uword n_rx) {
  return make_kronecker_observation(P, n_rx);
}

// ---- least squares

struct LsWork final : PlannedWork {
  Pair y, h;
};

class PlannedLs final : public PlannedEstimator {
 public:
  PlannedLs(const arma::cx_mat& P, arma::uword n_rx)
      : PlannedEstimator(n_rx, P), decorrelation_(P, n_rx) {
    const arma::vec s2 = operator_of(P, n_rx)->squared_singular_values();
    if (s2.n_elem == n_rx * P.n_rows && s2.min() > 1e-20 * s2.max()) {
      noise_gain_ = arma::accu(1.0 / s2);
    }
  }
  std::string name() const override { return "ls"; }
  // The residual of least squares holds no noise where there are as many pilots as antennas.
  bool finds_noise() const override { return false; }
  std::unique_ptr<PlannedWork> make_work() const override {
    auto work = std::make_unique<LsWork>();
    work->y = Pair(decorrelation_.y_plane());
    work->h = Pair(decorrelation_.h_plane());
    return work;
  }

 private:
  Outcome do_estimate(const std::complex<float>* y, double sigma2, PlannedWork& work,
                      std::complex<float>* h) const override {
    auto& memory = static_cast<LsWork&>(work);
    decorrelation_.apply(y, memory.y.planes(), memory.h.planes());
    store(memory.h.re.data(), memory.h.im.data(), n_tx(), n_rx(), decorrelation_.width(), h);
    return {noise_gain_ > 0.0 ? sigma2 * noise_gain_ : unknown, sigma2, 0};
  }

  Decorrelation decorrelation_;
  double noise_gain_ = 0.0;
};

// ---- mixtures

/// One component as the pilots show it: u = V^H (y - A m) has independent entries of variance
/// d + sigma2, and h = m + G (u / (d + sigma2)).
struct Component {
  Matrix to_modes;            ///< y -> u
  Matrix to_channel;          ///< u / (d + sigma2) -> h
  std::vector<double> d, g2;  ///< variance of each mode, and ||column of G||^2
  Buffer y_re, y_im;          ///< A m, empty: 0
  Buffer h_re, h_im;          ///< m
  double trace = 0.0;
};

struct MixtureWork final : PlannedWork {
  Pair y, u, w, part, h;
  std::vector<double> log_weight;
  Buffer modes_re, modes_im;  ///< u of every component
  double level = -1.0;        ///< that the sums are of
  std::vector<double> log_det, error;
  Buffer inverse;  ///< 1 / (d + sigma2) of every component
};

/// The shares of components, from ln of what they weigh, in place.
void to_shares(std::vector<double>& log_weight) {
  const double most = *std::max_element(log_weight.begin(), log_weight.end());
  double sum = 0.0;
  for (double& value : log_weight) sum += value = std::exp(value - most);
  for (double& value : log_weight) value /= sum;
}
/// Components that weigh less leave no trace in float32.
constexpr double negligible_share = 1e-9;

class PlannedMixture final : public PlannedEstimator {
 public:
  PlannedMixture(const arma::cx_mat& P, arma::uword n_rx, const GaussianMixture& prior)
      : PlannedEstimator(n_rx, P), n_obs_(n_rx * P.n_cols), n_h_(n_rx * P.n_rows) {
    const auto A = operator_of(P, n_rx);
    for (arma::uword k = 0; k < prior.n_components(); ++k) {
      log_prior_.push_back(std::log(prior.weights(k)));
      const arma::cx_mat C = prior.covariance(k);
      const arma::cx_mat AC = A->apply(C);
      arma::vec d;
      arma::cx_mat V;
      hermitian_eigen(A->apply(arma::cx_mat(AC.t())), d, V);
      if (d.min() < -1e-8 * std::max(d.max(), 1e-300)) {
        throw Error(ErrorKind::numeric, "planned mixture: a covariance has a negative eigenvalue");
      }
      d.transform([](double value) { return std::max(value, 0.0); });
      Component part;
      const arma::cx_mat G = AC.t() * V;  // C A^H V
      part.to_modes = Matrix(arma::conj(V));
      part.to_channel = Matrix(G.st());
      part.d = arma::conv_to<std::vector<double>>::from(d);
      for (arma::uword j = 0; j < G.n_cols; ++j) {
        part.g2.push_back(std::pow(arma::norm(G.col(j)), 2));
      }
      part.trace = arma::trace(C).real();
      if (arma::abs(prior.means.col(k)).max() > 0.0) {
        const arma::cx_vec m = prior.means.col(k), Am = A->apply(prior.means.col(k));
        part.h_re = parts_of(m, true);
        part.h_im = parts_of(m, false);
        part.y_re = parts_of(Am, true);
        part.y_im = parts_of(Am, false);
      }
      components_.push_back(std::move(part));
    }
  }

  std::string name() const override { return components_.size() == 1 ? "lmmse" : "gmm"; }
  bool finds_noise() const override { return true; }

  std::unique_ptr<PlannedWork> make_work() const override {
    auto work = std::make_unique<MixtureWork>();
    const std::size_t obs = rounded_up(n_obs_), all = rounded_up(n_h_), n = components_.size();
    work->y = Pair(obs);
    work->u = Pair(obs);
    work->w = Pair(obs);
    work->part = Pair(all);
    work->h = Pair(all);
    work->log_weight.resize(n);
    work->log_det.resize(n);
    work->error.resize(n);
    work->inverse = Buffer(n * obs);
    work->modes_re = Buffer(n * obs);
    work->modes_im = Buffer(n * obs);
    return work;
  }

 private:
  static Buffer parts_of(const arma::cx_vec& values, bool real) {
    Buffer out(rounded_up(values.n_elem));
    for (arma::uword i = 0; i < values.n_elem; ++i) {
      out[i] = static_cast<float>(real ? values(i).real() : values(i).imag());
    }
    return out;
  }

  void prepare(double sigma2, MixtureWork& work) const {
    if (work.level == sigma2) return;
    const std::size_t obs = rounded_up(n_obs_);
    for (std::size_t k = 0; k < components_.size(); ++k) {
      const Component& part = components_[k];
      float* inverse = work.inverse.data() + k * obs;
      double log_det = 0.0, gained = 0.0;
      for (std::size_t j = 0; j < n_obs_; ++j) {
        const double variance = part.d[j] + sigma2;
        inverse[j] = static_cast<float>(1.0 / variance);
        log_det += std::log(variance);
        gained += part.g2[j] / variance;
      }
      work.log_det[k] = log_det;
      work.error[k] = std::max(part.trace - gained, 0.0);
    }
    work.level = sigma2;
  }

  Outcome do_estimate(const std::complex<float>* y, double sigma2, PlannedWork& memory,
                      std::complex<float>* h) const override {
    auto& work = static_cast<MixtureWork&>(memory);
    prepare(sigma2, work);
    const std::size_t obs = rounded_up(n_obs_), n = components_.size();
    for (std::size_t i = 0; i < n_obs_; ++i) {
      work.y.re[i] = y[i].real();
      work.y.im[i] = y[i].imag();
    }
    for (std::size_t k = 0; k < n; ++k) {
      const Component& part = components_[k];
      const float *from_re = work.y.re.data(), *from_im = work.y.im.data();
      if (part.y_re.size() > 0) {
        for (std::size_t i = 0; i < n_obs_; ++i) {
          work.u.re[i] = work.y.re[i] - part.y_re[i];
          work.u.im[i] = work.y.im[i] - part.y_im[i];
        }
        from_re = work.u.re.data();
        from_im = work.u.im.data();
      }
      float *re = work.modes_re.data() + k * obs, *im = work.modes_im.data() + k * obs;
      part.to_modes.apply(from_re, from_im, re, im);
      const float* inverse = work.inverse.data() + k * obs;
      double distance = 0.0;
      for (std::size_t j = 0; j < n_obs_; ++j) {
        distance += static_cast<double>((re[j] * re[j] + im[j] * im[j]) * inverse[j]);
      }
      work.log_weight[k] = log_prior_[k] - work.log_det[k] - distance;
    }
    to_shares(work.log_weight);
    // One by one to the mean and to the spread about it.  Source: [West1979]
    std::fill_n(work.h.re.data(), n_h_, 0.0F);
    std::fill_n(work.h.im.data(), n_h_, 0.0F);
    double so_far = 0.0, mse = 0.0;
    for (std::size_t k = 0; k < n; ++k) {
      const double share = work.log_weight[k];
      if (share < negligible_share) continue;
      const Component& part = components_[k];
      const float *re = work.modes_re.data() + k * obs, *im = work.modes_im.data() + k * obs;
      const float* inverse = work.inverse.data() + k * obs;
      for (std::size_t j = 0; j < n_obs_; ++j) {
        work.w.re[j] = re[j] * inverse[j];
        work.w.im[j] = im[j] * inverse[j];
      }
      part.to_channel.apply(work.w.re.data(), work.w.im.data(), work.part.re.data(),
                            work.part.im.data());
      const double total = so_far + share;
      const auto step = static_cast<float>(share / total);
      double distance = 0.0;
      const bool has_mean = part.h_re.size() > 0;
      for (std::size_t i = 0; i < n_h_; ++i) {
        const float x = work.part.re[i] + (has_mean ? part.h_re[i] : 0.0F) - work.h.re[i];
        const float z = work.part.im[i] + (has_mean ? part.h_im[i] : 0.0F) - work.h.im[i];
        distance += static_cast<double>(x * x + z * z);
        work.h.re[i] += step * x;
        work.h.im[i] += step * z;
      }
      mse += share * (work.error[k] + so_far / total * distance);
      so_far = total;
    }
    store(work.h.re.data(), work.h.im.data(), 1, n_h_, 0, h);
    return {mse, sigma2, 0};
  }

  std::size_t n_obs_, n_h_;
  std::vector<double> log_prior_;
  std::vector<Component> components_;
};

/// Covariances that are diagonal in angles, seen through pilots that decorrelate: every entry by itself.
struct SpectralWork final : PlannedWork {
  Pair y, z, scratch, h;
  Buffer power;
  std::vector<double> share, log_det, error;
  double level = -1.0;
  Buffer inverse;  ///< 1 / (v + noise) of every component
};

class PlannedSpectralMixture final : public PlannedEstimator {
 public:
  PlannedSpectralMixture(const arma::cx_mat& P, arma::uword n_rx, const GaussianMixture& prior,
                         double gain)
      : PlannedEstimator(n_rx, P),
        gain_(gain),
        decorrelation_(P, n_rx),
        transform_(P.n_rows, n_rx),
        variances_(prior.n_components() * transform_.plane()) {
    const auto& spectra = std::get<SpectralCovariances>(prior.structure).spectra;
    for (arma::uword k = 0; k < prior.n_components(); ++k) {
      log_prior_.push_back(std::log(prior.weights(k)));
      for (arma::uword t = 0; t < P.n_rows; ++t) {
        for (arma::uword r = 0; r < n_rx; ++r) {
          variances_[k * transform_.plane() + t * transform_.width() + r] =
              static_cast<float>(spectra(t * n_rx + r, k));
        }
      }
    }
  }

  std::string name() const override { return "gmm"; }
  bool finds_noise() const override { return true; }
  std::unique_ptr<PlannedWork> make_work() const override {
    auto work = std::make_unique<SpectralWork>();
    const std::size_t n = log_prior_.size(), plane = transform_.plane();
    work->y = Pair(decorrelation_.y_plane());
    work->z = Pair(plane);
    work->scratch = Pair(plane);
    work->h = Pair(plane);
    work->power = Buffer(plane);
    work->share.resize(n);
    work->log_det.resize(n);
    work->error.resize(n);
    work->inverse = Buffer(n * plane);
    return work;
  }

 private:
  template <class Visit>
  void for_entries(const Visit& visit) const {
    for (std::size_t t = 0; t < n_tx(); ++t) {
      for (std::size_t r = 0; r < n_rx(); ++r) visit(t * transform_.width() + r);
    }
  }

  void prepare(double noise, SpectralWork& work) const {
    if (work.level == noise) return;
    const std::size_t plane = transform_.plane();
    for (std::size_t k = 0; k < log_prior_.size(); ++k) {
      const float* v = variances_.data() + k * plane;
      float* inverse = work.inverse.data() + k * plane;
      double log_det = 0.0, error = 0.0;
      for_entries([&](std::size_t i) {
        const double variance = static_cast<double>(v[i]), sum = variance + noise;
        inverse[i] = static_cast<float>(1.0 / sum);
        log_det += std::log(sum);
        error += noise * variance / sum;
      });
      work.log_det[k] = log_det;
      work.error[k] = error;
    }
    work.level = noise;
  }

  Outcome do_estimate(const std::complex<float>* y, double sigma2, PlannedWork& memory,
                      std::complex<float>* h) const override {
    auto& work = static_cast<SpectralWork&>(memory);
    prepare(sigma2 / gain_, work);
    const std::size_t plane = transform_.plane();
    const Planes z = work.z.planes(), mean = work.h.planes();
    decorrelation_.apply(y, work.y.planes(), z);
    transform_.forward(z, work.scratch.planes());
    float* power = work.power.data();
    for (std::size_t i = 0; i < plane; ++i) power[i] = z.re[i] * z.re[i] + z.im[i] * z.im[i];
    for (std::size_t k = 0; k < log_prior_.size(); ++k) {
      const float* inverse = work.inverse.data() + k * plane;
      double distance = 0.0;
      for (std::size_t row = 0; row < n_tx(); ++row) {
        float sum = 0.0F;
        for (std::size_t i = row * transform_.width(); i < (row + 1) * transform_.width(); ++i) {
          sum += power[i] * inverse[i];
        }
        distance += static_cast<double>(sum);
      }
      work.share[k] = log_prior_[k] - work.log_det[k] - distance;
    }
    to_shares(work.share);
    std::fill_n(mean.re, plane, 0.0F);
    std::fill_n(mean.im, plane, 0.0F);
    double so_far = 0.0, mse = 0.0;
    for (std::size_t k = 0; k < log_prior_.size(); ++k) {
      if (work.share[k] < negligible_share) continue;
      const float *v = variances_.data() + k * plane, *inverse = work.inverse.data() + k * plane;
      const double total = so_far + work.share[k];
      const auto step = static_cast<float>(work.share[k] / total);
      double distance = 0.0;
      for (std::size_t i = 0; i < plane; ++i) {
        const float gain = v[i] * inverse[i];
        const float x = gain * z.re[i] - mean.re[i], w = gain * z.im[i] - mean.im[i];
        distance += static_cast<double>(x * x + w * w);
        mean.re[i] += step * x;
        mean.im[i] += step * w;
      }
      mse += work.share[k] * (work.error[k] + so_far / total * distance);
      so_far = total;
    }
    transform_.inverse(mean, work.scratch.planes());
    store(mean.re, mean.im, n_tx(), n_rx(), transform_.width(), h);
    return {mse, sigma2, 0};
  }

  double gain_;
  Decorrelation decorrelation_;
  inference::PlaneTransform transform_;
  std::vector<double> log_prior_;
  Buffer variances_;  ///< of every component, as planes
};

bool is_spectral(const arma::cx_mat& P, arma::uword n_rx, const GaussianMixture& prior) {
  const auto* spectral = std::get_if<SpectralCovariances>(&prior.structure);
  return spectral && spectral->oversampling == 1 && spectral->factors.empty() &&
         operator_of(P, n_rx)->gram_scale().has_value();
}

// ---- dmse

struct DmseWork final : PlannedWork {
  Pair y, z;
  Pair mean;  ///< of the chains so far, where there are several
  inference::Workspace network;
  std::vector<inference::Level> levels;
  double level = -1.0;  ///< that the levels are of
  std::size_t n_steps = 0;
};

class PlannedDmse final : public PlannedEstimator {
 public:
  PlannedDmse(const arma::cx_mat& P, arma::uword n_rx, const NetworkModel& model, double gain,
              NetworkPrecision precision)
      : PlannedEstimator(n_rx, P),
        gain_(gain),
        calibration_(model.calibration),
        decorrelation_(P, n_rx),
        network_(model, model.n_rx, model.n_tx, static_cast<double>(model.grid.plane_step),
                 precision),
        most_steps_(calibration_.empty() ? DmseOptions{}.n_steps : calibration_.n_steps.max()) {
    const arma::uword most = calibration_.n_spins.is_empty() ? 1 : calibration_.n_spins.max();
    ramps_.resize(most);
    for (arma::uword n = 2; n <= most; ++n) {
      if (!arma::any(calibration_.n_spins == n)) continue;
      const arma::cx_mat g = phase_ramps(model.n_rx, model.n_tx, n, model.grid.rx_panel.is_line());
      for (arma::uword k = 0; k < n; ++k) ramps_[n - 1].push_back(as_plane(g.col(k)));
    }
  }

  std::string name() const override { return "dmse"; }
  bool finds_noise() const override { return network_.predicts_error() || !calibration_.empty(); }
  std::unique_ptr<PlannedWork> make_work() const override {
    auto work = std::make_unique<DmseWork>();
    work->y = Pair(decorrelation_.y_plane());
    work->z = Pair(decorrelation_.h_plane());
    work->network = network_.make_workspace();
    if (ramps_.size() > 1) work->mean = Pair(network_.transform().plane());
    for (std::size_t i = 0; i < most_steps_; ++i) work->levels.push_back(network_.make_level());
    return work;
  }

 private:
  void prepare(double noise, DmseWork& work) const {
    if (work.level == noise) return;
    work.n_steps = log_snr_length(noise, sigma2_end_, calibration_.steps_at(noise, most_steps_));
    for (std::size_t i = 0; i < work.n_steps; ++i) {
      network_.set_level(log_snr_step(noise, sigma2_end_, work.n_steps, i), work.network,
                         work.levels[i]);
    }
    work.level = noise;
  }

  /// Between rows of receive antennas and the planes of the network.
  void turn(const float* from, std::size_t from_width, std::size_t n_rows, std::size_t n, float* to,
            std::size_t to_width) const {
    if (network_.rx_is_fast()) {
      std::copy_n(from, n_rows * from_width, to);  // the same width
      return;
    }
    for (std::size_t row = 0; row < n_rows; ++row) {
      for (std::size_t k = 0; k < n; ++k) to[k * to_width + row] = from[row * from_width + k];
    }
  }

  Outcome do_estimate(const std::complex<float>* y, double sigma2, PlannedWork& memory,
                      std::complex<float>* h) const override {
    auto& work = static_cast<DmseWork&>(memory);
    const double noise = sigma2 / gain_;
    prepare(noise, work);
    inference::Workspace& network = work.network;
    const inference::PlaneTransform& transform = network_.transform();
    const std::size_t width = decorrelation_.width();
    decorrelation_.apply(y, work.y.planes(), work.z.planes());
    turn(work.z.re.data(), width, n_tx(), n_rx(), network.z_re.data(), transform.width());
    turn(work.z.im.data(), width, n_tx(), n_rx(), network.z_im.data(), transform.width());
    const Planes z{network.z_re.data(), network.z_im.data()};
    const Planes scratch{network.re.data(), network.im.data()};
    const arma::uword n_spins = calibration_.spins_at(noise);
    Outcome out{unknown, sigma2, static_cast<unsigned>(work.n_steps * n_spins)};
    double predicted = 0.0, spread = 0.0;
    for (arma::uword k = 0; k < n_spins; ++k) {
      if (k > 0) {
        turn(work.z.re.data(), width, n_tx(), n_rx(), z.re, transform.width());
        turn(work.z.im.data(), width, n_tx(), n_rx(), z.im, transform.width());
        multiply(z, ramps_[n_spins - 1][k], 1.0F);
      }
      transform.forward(z, scratch);
      for (std::size_t i = 0; i < work.n_steps; ++i) {
        const bool error = i == 0 && network_.predicts_error();
        const double sum = network_.step(work.levels[i], error, network);
        if (error) predicted += sum;
      }
      transform.inverse(z, scratch);
      if (n_spins == 1) break;
      if (k > 0) multiply(z, ramps_[n_spins - 1][k], -1.0F);
      spread = add_to_mean(z, k, spread, work.mean);
    }
    if (n_spins > 1) {
      std::copy_n(work.mean.re.data(), work.mean.re.size(), z.re);
      std::copy_n(work.mean.im.data(), work.mean.im.size(), z.im);
    }
    if (network_.predicts_error()) {
      const double chains =
          predicted / static_cast<double>(n_spins) * calibration_.mse_ratio_at(noise);
      out.mse = error_of_mean(chains, spread);
    } else if (!calibration_.empty()) {
      out.mse = calibration_.mse_at(noise) * static_cast<double>(n_rx() * n_tx());
    }
    if (network_.rx_is_fast()) {
      store(z.re, z.im, n_tx(), n_rx(), transform.width(), h);
      return out;
    }
    turn(z.re, transform.width(), n_rx(), n_tx(), work.z.re.data(), width);
    turn(z.im, transform.width(), n_rx(), n_tx(), work.z.im.data(), width);
    store(work.z.re.data(), work.z.im.data(), n_tx(), n_rx(), width, h);
    return out;
  }

  /// A column [n_rx n_tx] as the planes of the network hold it; what pads them is 0.
  Pair as_plane(const arma::cx_vec& g) const {
    Pair out(network_.transform().plane());
    const std::size_t width = network_.transform().width();
    for (std::size_t t = 0; t < n_tx(); ++t) {
      for (std::size_t r = 0; r < n_rx(); ++r) {
        const std::size_t at = network_.rx_is_fast() ? t * width + r : r * width + t;
        out.re[at] = static_cast<float>(g(t * n_rx() + r).real());
        out.im[at] = static_cast<float>(g(t * n_rx() + r).imag());
      }
    }
    return out;
  }

  /// z <- z g, or z conj(g) with sign -1.
  static void multiply(const Planes& z, const Pair& g, float sign) {
    for (std::size_t i = 0; i < g.re.size(); ++i) {
      const float re = g.re[i], im = sign * g.im[i], x = z.re[i];
      z.re[i] = x * re - z.im[i] * im;
      z.im[i] = x * im + z.im[i] * re;
    }
  }

  /// Takes the k-th of several z into their mean. @return the spread of k + 1 from that of k
  double add_to_mean(const Planes& z, arma::uword k, double spread, Pair& mean) const {
    const std::size_t n = mean.re.size();
    if (k == 0) {
      std::copy_n(z.re, n, mean.re.data());
      std::copy_n(z.im, n, mean.im.data());
      return 0.0;
    }
    const auto share = 1.0F / static_cast<float>(k + 1);
    const std::size_t width = network_.transform().width();
    const std::size_t n_rows = network_.rx_is_fast() ? n_tx() : n_rx();
    const std::size_t n_fast = network_.rx_is_fast() ? n_rx() : n_tx();
    double distance = 0.0;
    for (std::size_t row = 0; row < n_rows; ++row) {
      for (std::size_t i = row * width; i < row * width + n_fast; ++i) {
        const float re = z.re[i] - mean.re[i], im = z.im[i] - mean.im[i];
        distance += static_cast<double>(re * re + im * im);
        mean.re[i] += share * re;
        mean.im[i] += share * im;
      }
    }
    return (1.0 - share) * (spread + share * distance);
  }

  double gain_;
  Calibration calibration_;
  Decorrelation decorrelation_;
  inference::PlaneNetwork network_;
  std::size_t most_steps_;
  std::vector<std::vector<Pair>> ramps_;  ///< of 1 (none), 2, ... chains
  double sigma2_end_ = DmseOptions{}.sigma2_end;
};

// ---- any other

struct AnyWork final : PlannedWork {
  Observation observation;
  Estimate estimate;
};

class PlannedAny final : public PlannedEstimator {
 public:
  PlannedAny(std::shared_ptr<const Estimator> estimator, arma::uword n_rx)
      : PlannedEstimator(n_rx, *estimator->A().pilots()), estimator_(std::move(estimator)) {}
  std::string name() const override { return estimator_->name(); }
  bool allocates_nothing() const override { return false; }
  bool finds_noise() const override {
    for (double level_db = -60.0; level_db <= 60.0; level_db += 1.0) {
      if (!estimator_->predicts_mse(from_db(level_db))) return false;
    }
    return true;
  }
  std::unique_ptr<PlannedWork> make_work() const override { return std::make_unique<AnyWork>(); }

 private:
  Outcome do_estimate(const std::complex<float>* y, double sigma2, PlannedWork& memory,
                      std::complex<float>* h) const override {
    auto& work = static_cast<AnyWork&>(memory);
    work.observation.sigma2 = sigma2;
    work.observation.y.set_size(n_rx() * n_pilots(), 1);
    for (arma::uword i = 0; i < work.observation.y.n_elem; ++i) work.observation.y(i) = y[i];
    estimator_->estimate(work.observation, work.estimate);
    for (arma::uword i = 0; i < work.estimate.h.n_elem; ++i) {
      h[i] = std::complex<float>(work.estimate.h(i));
    }
    return {work.estimate.mse.is_empty() ? unknown : work.estimate.mse(0), sigma2,
            static_cast<unsigned>(work.estimate.nfe)};
  }

  std::shared_ptr<const Estimator> estimator_;
};

void check_prior(const arma::cx_mat& P, arma::uword n_rx, const GaussianMixture& prior) {
  check_pilots("planned mixture", P, n_rx);
  if (const std::string why = prior.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "planned mixture: " + why);
  }
  if (prior.n_h() != n_rx * P.n_rows) {
    throw Error(ErrorKind::invalid_argument,
                "planned mixture: the prior has " + std::to_string(prior.n_h()) +
                    " entries, the channels have " + std::to_string(n_rx * P.n_rows));
  }
}

}  // namespace

std::unique_ptr<PlannedEstimator> make_planned_ls(const arma::cx_mat& P, arma::uword n_rx) {
  check_pilots("planned ls", P, n_rx);
  return std::make_unique<PlannedLs>(P, n_rx);
}

double planned_mixture_bytes(const arma::cx_mat& P, arma::uword n_rx,
                             const GaussianMixture& prior) {
  const auto n_obs = static_cast<double>(n_rx * P.n_cols), n_h = static_cast<double>(prior.n_h());
  const auto n = static_cast<double>(prior.n_components());
  constexpr double complex_float = 8.0;
  if (is_spectral(P, n_rx, prior)) return n * complex_float * n_h;
  return n * complex_float * n_obs * (n_obs + n_h);
}

std::unique_ptr<PlannedEstimator> make_planned_mixture(const arma::cx_mat& P, arma::uword n_rx,
                                                       const GaussianMixture& prior) {
  check_prior(P, n_rx, prior);
  if (is_spectral(P, n_rx, prior)) {
    return std::make_unique<PlannedSpectralMixture>(P, n_rx, prior,
                                                    *operator_of(P, n_rx)->gram_scale());
  }
  return std::make_unique<PlannedMixture>(P, n_rx, prior);
}

std::unique_ptr<PlannedEstimator> make_planned_dmse(const arma::cx_mat& P, arma::uword n_rx,
                                                    const NetworkModel& model,
                                                    NetworkPrecision precision) {
  check_pilots("planned dmse", P, n_rx);
  if (model.n_rx != n_rx || model.n_tx != P.n_rows) {
    throw Error(ErrorKind::invalid_argument,
                "planned dmse: the model is of channels " + std::to_string(model.n_rx) + "x" +
                    std::to_string(model.n_tx) + ", the pilots are for " + std::to_string(n_rx) +
                    "x" + std::to_string(P.n_rows));
  }
  check_is_prior(model, "planned dmse");
  const auto A = operator_of(P, n_rx);
  const double gain = decorrelation_gain("planned dmse", A.get());
  NetworkRunOptions run;
  run.engine = NetworkEngine::onednn;
  run.precision = precision;
  return std::make_unique<PlannedDmse>(P, n_rx, model, gain,
                                       choose_precision(model, run).precision);
}

std::unique_ptr<PlannedEstimator> make_planned(std::shared_ptr<const Estimator> estimator,
                                               arma::uword n_rx) {
  if (!estimator || !estimator->A().pilots()) {
    throw Error(ErrorKind::invalid_argument,
                "planned estimator: expected an estimator of pilots sent over all antennas");
  }
  return std::make_unique<PlannedAny>(std::move(estimator), n_rx);
}

}  // namespace v0
}  // namespace chest
