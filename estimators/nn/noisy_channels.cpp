#include "noisy_channels.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/diffusion/named_methods.hpp>
#include <chest/estimators/prior/unbiased.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

/// Of the streams of random numbers; those of the draws are given by the caller.
constexpr std::uint64_t split_run = 1, fill_run = 2;
/// Share of the largest below which a squared singular value is none.
constexpr double least_gain = 1e-9;

}  // namespace

NoisyChannels::NoisyChannels(std::shared_ptr<const ObservationOperator> A,
                             const ReceivedPilots& pilots, std::shared_ptr<const Denoiser> original,
                             std::uint64_t seed, unsigned n_threads)
    : n_tx_(A->pilots()->n_rows), sigma2_(pilots.sigma2) {
  n_rx_ = A->n_h() / n_tx_;
  if (const auto gain = A->gram_scale()) {
    gains_ = arma::vec(n_tx_, arma::fill::value(*gain));
    const arma::cx_mat z = A->pseudo_inverse(pilots.y);
    z_ = arma::conv_to<arma::cx_fmat>::from(z);
    least_level_ = sigma2_.min() / *gain;
    power_ = std::max(arma::mean(arma::mean(squared_magnitudes(z), 0).t() - sigma2_ / *gain),
                      1e-3 * least_level_);
    const arma::vec levels = sigma2_ / *gain;
    fill_ = arma::conv_to<arma::cx_fmat>::from(
        by_levels(levels, n_h(), n_threads, [&](arma::uword first, arma::uword end) {
          return original->denoise(z.cols(first, end - 1), levels(first));
        }));
    return;
  }
  split(pilots, *A, seed);
  fill(A, pilots.y, original, seed, n_threads);
}

void NoisyChannels::split(const ReceivedPilots& pilots, const ObservationOperator& A,
                          std::uint64_t seed) {
  const arma::cx_mat& P = *A.pilots();
  hermitian_eigen(P * P.t(), gains_, U_);
  gains_.elem(arma::find(gains_ < least_gain * gains_.max())).zeros();
  // Y P^H u / l = H u + noise of variance sigma2 / l.
  arma::cx_mat filter = P.t() * U_;
  for (arma::uword i = 0; i < n_tx_; ++i) filter.col(i) *= gains_(i) > 0.0 ? 1.0 / gains_(i) : 0.0;
  const arma::uword n = pilots.y.n_cols, n_slots = P.n_cols;
  z_.set_size(n_h(), n);
  twin_.set_size(n_h(), n);
  double sum = 0.0;
  for (arma::uword k = 0; k < n; ++k) {
    Rng rng(seed, {Purpose::validation, split_run, k});
    const arma::cx_mat Y = arma::reshape(pilots.y.col(k), n_rx_, n_slots);
    const arma::cx_mat E = rng.cx_normal(n_rx_, n_slots, sigma2_(k));
    const arma::cx_mat one = (Y + E) * filter, other = (Y - E) * filter;
    z_.col(k) = arma::conv_to<arma::cx_fvec>::from(arma::vectorise(one));
    twin_.col(k) = arma::conv_to<arma::cx_fvec>::from(arma::vectorise(other));
    sum += std::real(arma::cdot(one, other));  // their noises are independent
  }
  const auto n_seen = static_cast<double>(arma::accu(gains_ > 0.0));
  least_level_ = 2.0 * sigma2_.min() / gains_.max();
  power_ = std::max(sum / (static_cast<double>(n * n_rx_) * n_seen), 1e-3 * least_level_);
}

void NoisyChannels::fill(const std::shared_ptr<const ObservationOperator>& A, const arma::cx_mat& y,
                         const std::shared_ptr<const Denoiser>& original, std::uint64_t seed,
                         unsigned n_threads) {
  const auto solver = make_diffpir(A, original);
  const arma::uword n_slots = A->pilots()->n_cols;
  const arma::cx_mat h =
      by_levels(sigma2_, n_h(), n_threads, [&](arma::uword first, arma::uword end) {
        Observation observation;
        observation.y = y.cols(first, end - 1);
        for (arma::uword k = first; k < end; ++k) {
          // The half that D is given: what it does not see must not know the other half's noise.
          Rng rng(seed, {Purpose::validation, split_run, k});
          observation.y.col(k - first) +=
              arma::vectorise(rng.cx_normal(n_rx_, n_slots, sigma2_(k)));
        }
        observation.sigma2 = 2.0 * sigma2_(first);
        observation.seed = seed + fill_run;
        observation.first_sample = first;
        return solver->estimate(observation).h;
      });
  fill_ = arma::conv_to<arma::cx_fmat>::from(in_basis(h));
}

arma::cx_mat NoisyChannels::in_basis(const arma::cx_mat& h) const {
  if (decorrelated()) return h;
  arma::cx_mat out(arma::size(h));
  for (arma::uword k = 0; k < h.n_cols; ++k) {
    out.col(k) = arma::vectorise(arma::reshape(h.col(k), n_rx_, n_tx_) * U_);
  }
  return out;
}

Examples NoisyChannels::draw(const arma::uvec& which, double level, ColumnNoise& noise,
                             bool rotate) const {
  const arma::uword n = which.n_elem;
  Examples out;
  arma::cx_rowvec turns(n, arma::fill::ones);
  for (arma::uword k = 0; k < n && rotate; ++k) {
    turns(k) = std::polar(1.0, 2.0 * arma::datum::pi * noise.of(k).uniform());
  }
  arma::cx_mat z = this->z(which);
  const arma::cx_mat estimates =
      arma::conv_to<arma::cx_mat>::from(arma::cx_fmat(fill_.cols(which)));
  if (decorrelated()) {
    arma::vec levels = sigma2(which);
    const arma::uvec below = arma::find(levels > level);
    out.seen.ones(n_tx_, n);
    for (const arma::uword k : below) {
      // Between the estimate, which is smoother than a channel, and what was seen, which is rougher.
      const double part = noise.of(k).uniform();
      z.col(k) = estimates.col(k) + part * (z.col(k) - estimates.col(k));
      levels(k) = level;
      out.seen.col(k).zeros();
    }
    Recorrupted pair = recorrupt(z, levels, level, noise);
    for (const arma::uword k : below) {
      arma::cx_vec m(n_h());
      noise.of(k).fill_cx_normal(m.memptr(), m.n_elem, level);
      pair.x.col(k) += m;
    }
    out.x = pair.x.each_row() % turns;
    out.target = pair.target.each_row() % turns;
    out.c = pair.c % out.seen.row(0).t();
    out.offset = pair.offset % out.seen.row(0).t();
  } else {
    out.seen.zeros(n_tx_, n);
    out.target = arma::conv_to<arma::cx_mat>::from(arma::cx_fmat(twin_.cols(which)));
    out.target.each_row() %= turns;
    out.c.zeros(n);
    out.offset.zeros(n);
    out.x.set_size(n_h(), n);
    arma::cx_mat m(n_rx_, n_tx_);
    for (arma::uword k = 0; k < n; ++k) {
      noise.of(k).fill_cx_normal(m.memptr(), m.n_elem);
      for (arma::uword i = 0; i < n_tx_; ++i) {
        const arma::span rows(i * n_rx_, (i + 1) * n_rx_ - 1);
        const double variance = gains_(i) > 0.0 ? 2.0 * sigma2_(which(k)) / gains_(i) : 0.0;
        if (gains_(i) > 0.0 && variance <= level) {
          out.seen(i, k) = 1.0;
          out.offset(k) += static_cast<double>(n_rx_) * variance;
          m.col(i) =
              arma::vectorise(z(rows, arma::span(k))) + std::sqrt(level - variance) * m.col(i);
        } else {
          m.col(i) = arma::vectorise(estimates(rows, arma::span(k))) + std::sqrt(level) * m.col(i);
        }
      }
      out.x.col(k) = turns(k) * arma::vectorise(m * U_.t());
    }
  }
  out.n_entries = static_cast<double>(n_rx_) * arma::sum(out.seen, 0).t();
  return out;
}

double check_noise(const ObservationOperator& A, arma::uword n_rx, const ReceivedPilots& pilots) {
  // Given h, |h + n|^2 is more than |n|^2 in distribution: the quietest tenth of all entries, in a domain
  // where channels are sparse, cannot be quieter than that of noise alone, -ln 0.9 sigma2.
  constexpr double tenth = 0.1, least_share = 0.8;
  const AngularTransform angular(n_rx, A.n_obs() / n_rx);
  arma::mat powers = squared_magnitudes(angular.forward(pilots.y));
  powers.each_row() /= pilots.sigma2.t();
  std::vector<double> all(powers.begin(), powers.end());
  const auto at = static_cast<std::ptrdiff_t>(tenth * static_cast<double>(all.size()));
  std::nth_element(all.begin(), all.begin() + at, all.end());
  const double part = all[static_cast<std::size_t>(at)] / -std::log1p(-tenth);
  if (all.size() < 1000 || part >= least_share) return part;
  refuse(
      "adapt: the observations hold less noise than is said of them, at most " +
      number_text(std::round(100.0 * part) / 100.0) +
      " of it: their quietest entries are quieter than noise alone; give the SNR that they have" +
      (part > 0.0 ? ", " + number_text(std::round(-10.0 * to_db(part)) / 10.0) +
                        " dB above what was given or more"
                  : ""));
}

}  // namespace nn
}  // namespace v0
}  // namespace chest
