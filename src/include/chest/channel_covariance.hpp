#pragma once

#include <armadillo>
#include <string>
#include <variant>

#include <chest/archive.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// What is kept of a covariance of vec(H).
enum class CovarianceKind {
  full,       ///< all entries, [n_h, n_h]
  kronecker,  ///< C_tx kron C_rx
  toeplitz,  ///< block-Toeplitz, uniform linear arrays on both sides: one number per antenna offset
  dft        ///< block-circulant: diagonal in the angular domain (AngularTransform)
};
const char* to_string(CovarianceKind kind);
/// @throws Error(invalid_argument) naming those there are
CovarianceKind covariance_kind_from_string(const std::string& text);

/// C = E[h h^H] of h = vec(H), kept as the numbers that its structure leaves free, and applied by them.
/// Immutable, so threads share one instance.
class ChannelCovariance {
 public:
  ChannelCovariance() = default;
  /// Any C, [n_h, n_h].
  ChannelCovariance(arma::cx_mat C);  // NOLINT: a matrix is a covariance
  /// C = C_tx kron C_rx.  @throws Error(invalid_argument) unless both are square
  static ChannelCovariance kronecker(arma::cx_mat C_rx, arma::cx_mat C_tx);
  /// C[(i, k), (j, l)] = lags(n_rx - 1 + i - j, n_tx - 1 + k - l) for receive antennas i, j and
  /// transmit antennas k, l.
  /// @param lags  [2 n_rx - 1, 2 n_tx - 1]; made Hermitian, lags(-d) = conj(lags(d))
  /// @throws Error(invalid_argument) unless both sizes are odd
  static ChannelCovariance toeplitz(const arma::cx_mat& lags);
  /// C = F^H diag(powers) F.
  /// @param powers  E|H_ang|^2, [n_rx, n_tx]
  /// @throws Error(invalid_argument) if there are none, or one is below zero or not finite
  static ChannelCovariance dft(arma::mat powers);

  CovarianceKind kind() const { return static_cast<CovarianceKind>(form_.index()); }
  bool empty() const { return n_h() == 0; }
  arma::uword n_h() const;
  /// Antennas of either side; 0 where a full C does not say.
  arma::uword n_rx() const { return n_rx_; }
  arma::uword n_tx() const { return n_tx_; }
  double trace() const;
  bool is_finite() const;
  /// C x, [n_h, n], column by column. FFTs for toeplitz and dft, two small products for kronecker.
  /// @throws Error(invalid_argument) if x does not have n_h rows
  arma::cx_mat times(const arma::cx_mat& x) const;
  /// C + loading tr(C)/n_h I; of kronecker the same of each factor.
  ChannelCovariance loaded(double loading) const;
  /// The diagonal of F C F^H, [n_rx, n_tx]: the power of every angle, and the block-circulant matrix
  /// nearest to C.  @throws Error(invalid_argument) of a full C that does not know its antennas
  arma::mat angular_powers() const;
  /// All entries, [n_h, n_h].
  arma::cx_mat dense() const;

  // What is kept; each for its kind alone.
  const arma::cx_mat& C() const { return std::get<Full>(form_).C; }
  const arma::cx_mat& C_rx() const { return std::get<Kronecker>(form_).C_rx; }
  const arma::cx_mat& C_tx() const { return std::get<Kronecker>(form_).C_tx; }
  const arma::cx_mat& lags() const { return std::get<Toeplitz>(form_).lags; }
  const arma::mat& powers() const { return std::get<Dft>(form_).powers; }

 private:
  struct Full {
    arma::cx_mat C;
  };
  struct Kronecker {
    arma::cx_mat C_rx, C_tx;
  };
  struct Toeplitz {
    arma::cx_mat lags;
    /// Eigenvalues of a block-circulant matrix that has C as a corner, transposed: [m_tx, m_rx].
    arma::mat spectrum;
  };
  struct Dft {
    arma::mat powers;
  };

  std::variant<Full, Kronecker, Toeplitz, Dft> form_;  // in the order of CovarianceKind
  arma::uword n_rx_ = 0, n_tx_ = 0;
};

/// arma::fft and arma::ifft of every column, padded with zeros to n, of a matrix of one row too (which
/// Armadillo takes for a vector).
arma::cx_mat fft_of_columns(const arma::cx_mat& X, arma::uword n);
arma::cx_mat ifft_of_columns(const arma::cx_mat& X);

/// Unnormalised two-dimensional DFT of X, padded with zeros to [m_rx, m_tx], by FFT; transposed:
/// out(l, k) = sum_{i, j} X(i, j) exp(-j 2 pi (k i / m_rx + l j / m_tx)).
arma::cx_mat transposed_fft2(const arma::cx_mat& X, arma::uword m_rx, arma::uword m_tx);
/// The inverse of transposed_fft2(), 1 / (m_rx m_tx) included: the first n_rx x n_tx entries of it.
arma::cx_mat inverse_of_transposed_fft2(const arma::cx_mat& Y, arma::uword n_rx, arma::uword n_tx);

/// Estimates of the covariance of channels of zero mean, read in blocks; nothing of size n_h^2 is
/// formed.
///
///   kronecker  C_rx = mean(H H^H) / n_tx,   C_tx = mean(H^T H^*) / (n_rx mean|H|^2)
///   toeplitz   the mean over all samples and all pairs of antennas of one offset, by FFT. Such means
///              of few samples may be no covariance: they are then drawn towards the sums over the
///              pairs (divided by the number of all antennas), which are one, by the least of
///              weights 2^-k that leaves no eigenvalue below zero (Lanczos)
///   dft        mean|F h|^2
///
/// @param weight  null, or where the weight of the sums goes: 0 where the means are a covariance
/// @throws Error(invalid_argument) if there are no samples, they are of a grid, or kind is full
ChannelCovariance fit_structured_covariance(const SampleReader& samples, CovarianceKind kind,
                                            double* weight = nullptr);

/// Stores what is kept as datasets below `group` ("" or "/name"), docs/formats.md.
void save(ArchiveWriter& archive, const std::string& group, const ChannelCovariance& C);
/// @param kind  how C was estimated: one of all entries, "C", is read for any kind
/// @throws Error(format) if `group` does not hold one
ChannelCovariance load_channel_covariance(const ArchiveReader& archive, const std::string& group,
                                          CovarianceKind kind);

}  // namespace v0
}  // namespace chest
