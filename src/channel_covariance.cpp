#include <chest/channel_covariance.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <utility>
#include <vector>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr CovarianceKind covariance_kinds[] = {CovarianceKind::full, CovarianceKind::kronecker,
                                               CovarianceKind::toeplitz, CovarianceKind::dft};

std::string shape_text(const arma::cx_mat& M) {
  return std::to_string(M.n_rows) + "x" + std::to_string(M.n_cols);
}

arma::cx_mat as_complex(const arma::mat& X) {
  return arma::cx_mat(X, arma::mat(arma::size(X), arma::fill::zeros));
}

/// The least size from 2 n - 1 on whose FFT is fast: factors 2, 3 and 5 alone.
arma::uword embedding_size(arma::uword n) {
  for (arma::uword m = 2 * n - 1;; ++m) {
    arma::uword rest = m;
    for (const arma::uword factor : {2u, 3u, 5u}) {
      while (rest % factor == 0) rest /= factor;
    }
    if (rest == 1) return m;
  }
}

/// Lags on a circle of m: offset d of n antennas at d mod m.
arma::cx_mat on_circles(const arma::cx_mat& lags, arma::uword m_rx, arma::uword m_tx) {
  const arma::uword n_rx = (lags.n_rows + 1) / 2, n_tx = (lags.n_cols + 1) / 2;
  arma::cx_mat out(m_rx, m_tx, arma::fill::zeros);
  for (arma::uword l = 0; l < lags.n_cols; ++l) {
    for (arma::uword k = 0; k < lags.n_rows; ++k) {
      out((k + m_rx - (n_rx - 1)) % m_rx, (l + m_tx - (n_tx - 1)) % m_tx) += lags(k, l);
    }
  }
  return out;
}

arma::mat spectrum_of(const arma::cx_mat& lags) {
  const arma::uword m_rx = embedding_size((lags.n_rows + 1) / 2);
  const arma::uword m_tx = embedding_size((lags.n_cols + 1) / 2);
  return arma::real(transposed_fft2(on_circles(lags, m_rx, m_tx), m_rx, m_tx));
}

/// Pairs of antennas of each offset: n - |d|, [2 n - 1].
arma::vec pairs_of(arma::uword n) {
  arma::vec out(2 * n - 1);
  for (arma::uword k = 0; k < out.n_elem; ++k) {
    out(k) = static_cast<double>(std::min(k + 1, 2 * n - 1 - k));
  }
  return out;
}

/// The part of the antennas that have a partner at each offset.
arma::cx_mat taper(arma::uword n_rx, arma::uword n_tx) {
  return as_complex(pairs_of(n_rx) * pairs_of(n_tx).t() / static_cast<double>(n_rx * n_tx));
}

template <class Visit>
void each_block(const SampleReader& samples, Visit&& visit) {
  constexpr arma::uword block = 256;
  for (arma::uword first = 0; first < samples.n_samples; first += block) {
    visit(samples.read(first, std::min(block, samples.n_samples - first)));
  }
}

const arma::cx_mat matrix_of(const arma::cx_mat& h, arma::uword k, arma::uword n_rx,
                             arma::uword n_tx) {
  return arma::cx_mat(const_cast<arma::cx_double*>(h.colptr(k)), n_rx, n_tx, false, true);
}

/// The least eigenvalue of C that `n_steps` of Lanczos find: one from above.
double least_eigenvalue(const ChannelCovariance& C, arma::uword n_steps) {
  Rng rng(1, {Purpose::validation, 3000});
  arma::cx_mat q = rng.cx_normal(C.n_h(), 1), before(C.n_h(), 1, arma::fill::zeros);
  q /= arma::norm(q);
  const arma::uword n = std::min(n_steps, C.n_h());
  arma::mat T(n, n, arma::fill::zeros);
  double beta = 0.0;
  for (arma::uword i = 0; i < n; ++i) {
    arma::cx_mat w = C.times(q) - beta * before;
    T(i, i) = std::real(arma::cdot(q, w));
    w -= T(i, i) * q;
    beta = arma::norm(w);
    // What is left is rounding: the eigenvalues found are all that the start holds.
    if (i + 1 == n || !(beta > 1e-13 * C.trace())) {
      T = arma::mat(T.submat(0, 0, i, i));
      break;
    }
    T(i, i + 1) = T(i + 1, i) = beta;
    before = q;
    q = w / beta;
  }
  arma::vec values;
  if (!arma::eig_sym(values, T)) {
    throw Error(ErrorKind::numeric, "covariance: the eigenvalues of a Toeplitz mean failed");
  }
  return values.min();
}

/// Means over pairs, drawn towards the sums over pairs until they are a covariance.
ChannelCovariance positive_toeplitz(const arma::cx_mat& means, double& weight) {
  constexpr arma::uword n_steps = 60;
  const arma::cx_mat sums = means % taper((means.n_rows + 1) / 2, (means.n_cols + 1) / 2);
  weight = 0.0;
  for (double next = 0x1p-10;; next *= 2.0) {
    ChannelCovariance C = ChannelCovariance::toeplitz((1.0 - weight) * means + weight * sums);
    if (weight == 1.0 || least_eigenvalue(C, n_steps) >= 0.0) return C;
    weight = next;
  }
}

ChannelCovariance fit_kronecker(const SampleReader& samples) {
  const arma::uword n_rx = samples.n_rx, n_tx = samples.n_tx;
  arma::cx_mat S_rx(n_rx, n_rx, arma::fill::zeros), S_tx(n_tx, n_tx, arma::fill::zeros);
  each_block(samples, [&](const arma::cx_mat& h) {
    for (arma::uword k = 0; k < h.n_cols; ++k) {
      const arma::cx_mat H = matrix_of(h, k, n_rx, n_tx);
      S_rx += H * H.t();
      S_tx += H.st() * arma::conj(H);
    }
  });
  const auto n = static_cast<double>(samples.n_samples);
  const double power = arma::trace(S_rx).real() / (n * static_cast<double>(n_rx * n_tx));
  if (!(power > 0.0)) {
    throw Error(ErrorKind::numeric, "covariance: the channels are all zero or not finite");
  }
  return ChannelCovariance::kronecker(S_rx / (n * static_cast<double>(n_tx)),
                                      S_tx / (n * static_cast<double>(n_rx) * power));
}

ChannelCovariance fit_toeplitz(const SampleReader& samples, double& weight) {
  const arma::uword n_rx = samples.n_rx, n_tx = samples.n_tx;
  const arma::uword m_rx = embedding_size(n_rx), m_tx = embedding_size(n_tx);
  arma::mat spectrum(m_tx, m_rx, arma::fill::zeros);
  each_block(samples, [&](const arma::cx_mat& h) {
    for (arma::uword k = 0; k < h.n_cols; ++k) {
      spectrum += squared_magnitudes(transposed_fft2(matrix_of(h, k, n_rx, n_tx), m_rx, m_tx));
    }
  });
  // sum over samples and i, j of H(i + d_rx, j + d_tx) conj(H(i, j)), on circles of m.
  const arma::cx_mat sums = inverse_of_transposed_fft2(as_complex(spectrum), m_rx, m_tx);
  const arma::vec pairs_rx = pairs_of(n_rx), pairs_tx = pairs_of(n_tx);
  arma::cx_mat means(2 * n_rx - 1, 2 * n_tx - 1);
  for (arma::uword l = 0; l < means.n_cols; ++l) {
    for (arma::uword k = 0; k < means.n_rows; ++k) {
      means(k, l) = sums((k + m_rx - (n_rx - 1)) % m_rx, (l + m_tx - (n_tx - 1)) % m_tx) /
                    (static_cast<double>(samples.n_samples) * pairs_rx(k) * pairs_tx(l));
    }
  }
  return positive_toeplitz(means, weight);
}

ChannelCovariance fit_dft(const SampleReader& samples) {
  arma::mat powers(samples.n_tx, samples.n_rx, arma::fill::zeros);
  each_block(samples, [&](const arma::cx_mat& h) {
    for (arma::uword k = 0; k < h.n_cols; ++k) {
      powers += squared_magnitudes(
          transposed_fft2(matrix_of(h, k, samples.n_rx, samples.n_tx), samples.n_rx, samples.n_tx));
    }
  });
  return ChannelCovariance::dft(
      powers.t() / static_cast<double>(samples.n_samples * samples.n_rx * samples.n_tx));
}

}  // namespace

const char* to_string(CovarianceKind kind) {
  switch (kind) {
    case CovarianceKind::full:
      return "full";
    case CovarianceKind::kronecker:
      return "kronecker";
    case CovarianceKind::toeplitz:
      return "toeplitz";
    case CovarianceKind::dft:
      break;
  }
  return "dft";
}

CovarianceKind covariance_kind_from_string(const std::string& text) {
  for (const CovarianceKind kind : covariance_kinds) {
    if (text == to_string(kind)) return kind;
  }
  throw Error(ErrorKind::invalid_argument,
              "covariance kind '" + text + "' is unknown: use full, kronecker, toeplitz or dft");
}

arma::cx_mat fft_of_columns(const arma::cx_mat& X, arma::uword n) {
  if (X.n_rows == 1) return arma::repmat(X, n, 1);
  return arma::fft(X, n);
}

arma::cx_mat ifft_of_columns(const arma::cx_mat& X) {
  if (X.n_rows == 1) return X;
  return arma::ifft(X);
}

arma::cx_mat transposed_fft2(const arma::cx_mat& X, arma::uword m_rx, arma::uword m_tx) {
  return fft_of_columns(fft_of_columns(X, m_rx).st(), m_tx);
}

arma::cx_mat inverse_of_transposed_fft2(const arma::cx_mat& Y, arma::uword n_rx, arma::uword n_tx) {
  const arma::cx_mat along_tx = ifft_of_columns(Y);
  const arma::cx_mat along_rx = ifft_of_columns(along_tx.head_rows(n_tx).st());
  return along_rx.head_rows(n_rx);
}

ChannelCovariance::ChannelCovariance(arma::cx_mat C) {
  if (C.n_rows != C.n_cols) {
    throw Error(ErrorKind::invalid_argument,
                "covariance: the matrix is " + shape_text(C) + ", expected a square one");
  }
  form_ = Full{std::move(C)};
}

ChannelCovariance ChannelCovariance::kronecker(arma::cx_mat C_rx, arma::cx_mat C_tx) {
  if (C_rx.n_rows != C_rx.n_cols || C_tx.n_rows != C_tx.n_cols || C_rx.is_empty() ||
      C_tx.is_empty()) {
    throw Error(ErrorKind::invalid_argument, "covariance: the factors are " + shape_text(C_rx) +
                                                 " and " + shape_text(C_tx) +
                                                 ", expected square ones");
  }
  ChannelCovariance out;
  out.n_rx_ = C_rx.n_rows;
  out.n_tx_ = C_tx.n_rows;
  out.form_ = Kronecker{0.5 * (C_rx + C_rx.t()), 0.5 * (C_tx + C_tx.t())};
  return out;
}

ChannelCovariance ChannelCovariance::toeplitz(const arma::cx_mat& lags) {
  if (lags.n_rows % 2 == 0 || lags.n_cols % 2 == 0) {
    throw Error(ErrorKind::invalid_argument, "covariance: the lags are " + shape_text(lags) +
                                                 ", expected [2 n_rx - 1, 2 n_tx - 1]");
  }
  ChannelCovariance out;
  out.n_rx_ = (lags.n_rows + 1) / 2;
  out.n_tx_ = (lags.n_cols + 1) / 2;
  Toeplitz form;
  form.lags = 0.5 * (lags + arma::conj(arma::fliplr(arma::flipud(lags))));
  form.spectrum = spectrum_of(form.lags);
  out.form_ = std::move(form);
  return out;
}

ChannelCovariance ChannelCovariance::dft(arma::mat powers) {
  if (powers.is_empty() || !powers.is_finite() || powers.min() < 0.0) {
    throw Error(ErrorKind::invalid_argument,
                "covariance: the powers of the angles are not given, below zero or not finite");
  }
  ChannelCovariance out;
  out.n_rx_ = powers.n_rows;
  out.n_tx_ = powers.n_cols;
  out.form_ = Dft{std::move(powers)};
  return out;
}

arma::uword ChannelCovariance::n_h() const {
  return kind() == CovarianceKind::full ? C().n_rows : n_rx_ * n_tx_;
}

double ChannelCovariance::trace() const {
  switch (kind()) {
    case CovarianceKind::full:
      return arma::trace(C()).real();
    case CovarianceKind::kronecker:
      return arma::trace(C_rx()).real() * arma::trace(C_tx()).real();
    case CovarianceKind::toeplitz:
      return static_cast<double>(n_h()) * lags()(n_rx_ - 1, n_tx_ - 1).real();
    case CovarianceKind::dft:
      break;
  }
  return arma::accu(powers());
}

bool ChannelCovariance::is_finite() const {
  switch (kind()) {
    case CovarianceKind::full:
      return C().is_finite();
    case CovarianceKind::kronecker:
      return C_rx().is_finite() && C_tx().is_finite();
    case CovarianceKind::toeplitz:
      return lags().is_finite();
    case CovarianceKind::dft:
      break;
  }
  return powers().is_finite();
}

arma::cx_mat ChannelCovariance::times(const arma::cx_mat& x) const {
  if (x.n_rows != n_h()) {
    throw Error(ErrorKind::invalid_argument, "covariance: x has " + std::to_string(x.n_rows) +
                                                 " rows, expected " + std::to_string(n_h()));
  }
  if (kind() == CovarianceKind::full) return C() * x;
  arma::cx_mat out(arma::size(x), arma::fill::none);
  const auto each = [&](auto&& product) {
    for (arma::uword k = 0; k < x.n_cols; ++k) {
      arma::cx_mat Y(out.colptr(k), n_rx_, n_tx_, false, true);
      Y = product(matrix_of(x, k, n_rx_, n_tx_));
    }
  };
  if (kind() == CovarianceKind::kronecker) {
    const arma::cx_mat C_tx_transposed = C_tx().st();
    each([&](const arma::cx_mat& X) { return arma::cx_mat(C_rx() * X * C_tx_transposed); });
    return out;
  }
  const bool circulant = kind() == CovarianceKind::dft;
  const arma::cx_mat gains =
      as_complex(circulant ? arma::mat(powers().t()) : std::get<Toeplitz>(form_).spectrum);
  each([&](const arma::cx_mat& X) {
    arma::cx_mat Z = transposed_fft2(X, gains.n_cols, gains.n_rows);
    Z %= gains;
    return inverse_of_transposed_fft2(Z, n_rx_, n_tx_);
  });
  return out;
}

ChannelCovariance ChannelCovariance::loaded(double loading) const {
  if (loading == 0.0) return *this;
  const auto of_matrix = [loading](arma::cx_mat C) {
    C.diag() += loading * arma::trace(C).real() / static_cast<double>(C.n_rows);
    return C;
  };
  switch (kind()) {
    case CovarianceKind::full:
      return ChannelCovariance(of_matrix(C()));
    case CovarianceKind::kronecker:
      return kronecker(of_matrix(C_rx()), of_matrix(C_tx()));
    case CovarianceKind::toeplitz: {
      arma::cx_mat more = lags();
      more(n_rx_ - 1, n_tx_ - 1) *= 1.0 + loading;
      return toeplitz(more);
    }
    case CovarianceKind::dft:
      break;
  }
  return dft(powers() + loading * arma::mean(arma::vectorise(powers())));
}

arma::mat ChannelCovariance::angular_powers() const {
  const auto along = [](const arma::cx_mat& C) {
    const arma::cx_mat F = dft_matrix(C.n_rows);
    return arma::vec(arma::real(arma::sum((F * C) % arma::conj(F), 1)));
  };
  switch (kind()) {
    case CovarianceKind::full:
      throw Error(ErrorKind::invalid_argument,
                  "covariance: a full matrix does not say what its antennas are");
    case CovarianceKind::kronecker:
      return along(C_rx()) * along(C_tx()).t();
    case CovarianceKind::toeplitz:
      return arma::real(transposed_fft2(on_circles(lags() % taper(n_rx_, n_tx_), n_rx_, n_tx_),
                                        n_rx_, n_tx_))
          .t();
    case CovarianceKind::dft:
      break;
  }
  return powers();
}

arma::cx_mat ChannelCovariance::dense() const {
  if (kind() == CovarianceKind::full) return C();
  if (kind() == CovarianceKind::kronecker) return arma::kron(C_tx(), C_rx());
  arma::cx_mat of_offsets;
  if (kind() == CovarianceKind::toeplitz) {
    of_offsets = lags();
  } else {
    // Offsets of a circle: d and d - n are the same.
    const arma::cx_mat circle = inverse_of_transposed_fft2(as_complex(powers().t()), n_rx_, n_tx_);
    of_offsets.set_size(2 * n_rx_ - 1, 2 * n_tx_ - 1);
    for (arma::uword l = 0; l < of_offsets.n_cols; ++l) {
      for (arma::uword k = 0; k < of_offsets.n_rows; ++k) {
        of_offsets(k, l) = circle((k + 1) % n_rx_, (l + 1) % n_tx_);
      }
    }
  }
  arma::cx_mat out(n_h(), n_h(), arma::fill::none);
  for (arma::uword j = 0; j < n_h(); ++j) {
    for (arma::uword i = 0; i < n_h(); ++i) {
      out(i, j) = of_offsets(n_rx_ - 1 + i % n_rx_ - j % n_rx_, n_tx_ - 1 + i / n_rx_ - j / n_rx_);
    }
  }
  return out;
}

ChannelCovariance fit_structured_covariance(const SampleReader& samples, CovarianceKind kind,
                                            double* weight) {
  if (samples.n_samples == 0) {
    throw Error(ErrorKind::invalid_argument, "covariance: there are no samples");
  }
  if (kind == CovarianceKind::full || samples.grid.is_grid()) {
    throw Error(ErrorKind::invalid_argument,
                "covariance: expected a structure, of channels that are matrices");
  }
  double found = 0.0;
  ChannelCovariance out = kind == CovarianceKind::kronecker  ? fit_kronecker(samples)
                          : kind == CovarianceKind::toeplitz ? fit_toeplitz(samples, found)
                                                             : fit_dft(samples);
  if (weight) *weight = found;
  return out;
}

void save(ArchiveWriter& archive, const std::string& group, const ChannelCovariance& C) {
  switch (C.kind()) {
    case CovarianceKind::full:
      archive.write(group + "/C", C.C());
      return;
    case CovarianceKind::kronecker:
      archive.write(group + "/C_rx", C.C_rx());
      archive.write(group + "/C_tx", C.C_tx());
      return;
    case CovarianceKind::toeplitz:
      archive.write(group + "/lags", C.lags());
      return;
    case CovarianceKind::dft:
      archive.write(group + "/powers", C.powers());
      return;
  }
}

ChannelCovariance load_channel_covariance(const ArchiveReader& archive, const std::string& group,
                                          CovarianceKind kind) {
  const bool whole = kind == CovarianceKind::full || archive.has(group + "/C");
  ChannelCovariance out;
  try {
    if (whole) {
      out = archive.read_cx_mat(group + "/C");
    } else if (kind == CovarianceKind::kronecker) {
      out = ChannelCovariance::kronecker(archive.read_cx_mat(group + "/C_rx"),
                                         archive.read_cx_mat(group + "/C_tx"));
    } else if (kind == CovarianceKind::toeplitz) {
      out = ChannelCovariance::toeplitz(archive.read_cx_mat(group + "/lags"));
    } else {
      out = ChannelCovariance::dft(archive.read_mat(group + "/powers"));
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::invalid_argument) throw;
    throw Error(ErrorKind::format, archive.file().string() + ": " + group + ": " + error.what());
  }
  if (!out.is_finite()) {
    throw Error(ErrorKind::format, archive.file().string() + ": the covariance is not finite");
  }
  return out;
}

}  // namespace v0
}  // namespace chest
