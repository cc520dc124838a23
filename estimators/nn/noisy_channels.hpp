#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <chest/estimators/common/column_noise.hpp>
#include <chest/estimators/nn/network_adapt.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/observation.hpp>
#include <chest/parallel.hpp>

namespace chest {
inline namespace v0 {
namespace nn {

/// Inputs of a denoiser at one noise level, out of received pilots, with what is known of its error.
struct Examples {
  arma::cx_mat x;         ///< [n_h, n]
  arma::cx_mat target;    ///< of vec(H U), [n_h, n]; where nothing is seen, anything
  arma::mat seen;         ///< 1 for the columns of H U that the target is for, else 0; [n_tx, n]
  arma::vec c;            ///< of the divergence: see Recorrupted
  arma::vec offset;       ///< to be subtracted, over all seen entries, [n]
  arma::vec n_entries{};  ///< seen entries of each, [n]
};

/// Received pilots as noisy channels.
class NoisyChannels {
 public:
  /// @param original  whose estimates stand in for what the pilots do not see
  NoisyChannels(std::shared_ptr<const ObservationOperator> A, const ReceivedPilots& pilots,
                std::shared_ptr<const Denoiser> original, std::uint64_t seed, unsigned n_threads);

  arma::uword n_rx() const { return n_rx_; }
  arma::uword n_tx() const { return n_tx_; }
  arma::uword n_h() const { return n_rx_ * n_tx_; }
  arma::uword n() const { return z_.n_cols; }
  /// Whether the pilots see all of the channel with white noise.
  bool decorrelated() const { return U_.is_empty(); }
  /// U, [n_tx, n_tx]; empty: the identity.
  const arma::cx_mat& basis() const { return U_; }
  /// The lowest noise variance of x at which any of them says something.
  double least_level() const { return least_level_; }
  /// Noise variance of each as a channel; of decorrelated pilots.
  arma::vec sigma2(const arma::uvec& which) const { return sigma2_(which) / gains_.max(); }
  arma::cx_mat z(const arma::uvec& which) const {
    return arma::conv_to<arma::cx_mat>::from(arma::cx_fmat(z_.cols(which)));
  }
  /// Mean power per entry that the channels have where they are seen.
  double power() const { return power_; }

  /// @param noise   of the examples one by one
  /// @param rotate  turns each by a random phase: channels are as likely with any
  Examples draw(const arma::uvec& which, double level, ColumnNoise& noise, bool rotate) const;
  /// x and others in the basis: vec(H) -> vec(H U).
  arma::cx_mat in_basis(const arma::cx_mat& h) const;

 private:
  void split(const ReceivedPilots& pilots, const ObservationOperator& A, std::uint64_t seed);
  void fill(const std::shared_ptr<const ObservationOperator>& A, const arma::cx_mat& y,
            const std::shared_ptr<const Denoiser>& original, std::uint64_t seed,
            unsigned n_threads);

  arma::uword n_rx_ = 0, n_tx_ = 0;
  arma::cx_mat U_;
  arma::vec gains_;  ///< squared singular values, [n_tx]; 0: not seen
  arma::vec sigma2_;
  arma::cx_fmat z_;     ///< what is seen, of vec(H U), [n_h, n]
  arma::cx_fmat twin_;  ///< the same with independent noise, of pilots that do not decorrelate
  arma::cx_fmat fill_;  ///< estimates, of vec(H U), [n_h, n]
  double least_level_ = 0.0, power_ = 0.0;
};

/// Estimates of columns, one call for neighbours of the same noise level.
template <class Estimate>
arma::cx_mat by_levels(const arma::vec& sigma2, arma::uword n_h, unsigned n_threads,
                       Estimate&& estimate) {
  constexpr arma::uword most = 16;
  std::vector<std::pair<arma::uword, arma::uword>> blocks;  // first, end
  for (arma::uword first = 0; first < sigma2.n_elem;) {
    arma::uword end = first + 1;
    while (end < sigma2.n_elem && end - first < most && sigma2(end) == sigma2(first)) ++end;
    blocks.emplace_back(first, end);
    first = end;
  }
  arma::cx_mat out(n_h, sigma2.n_elem);
  parallel_for(blocks.size(), n_threads, [&](std::size_t b) {
    out.cols(blocks[b].first, blocks[b].second - 1) = estimate(blocks[b].first, blocks[b].second);
  });
  return out;
}

/// Noise that the observations can hold at most, over what is said of them: that of their quietest tenth of entries.
/// @throws Error(invalid_argument) if it is less than is said of them
double check_noise(const ObservationOperator& A, arma::uword n_rx, const ReceivedPilots& pilots);

}  // namespace nn
}  // namespace v0
}  // namespace chest
