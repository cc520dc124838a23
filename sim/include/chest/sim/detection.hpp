#pragma once

#include <armadillo>
#include <complex>
#include <string>
#include <vector>

#include <chest/pilot_pattern.hpp>
#include <chest/sim/coding/qam.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// What finds the layers in what the antennas received.
enum class DetectorKind { lmmse, zf, lmmse_irc, k_best, ep };

struct DetectorOptions {
  DetectorKind kind = DetectorKind::lmmse;
  arma::uword effort = 0;  ///< survivors of k_best, 1 .. 256; iterations of ep, 1 .. 20; 0: 32 or 3

  arma::uword n_survivors() const { return effort == 0 ? 32 : effort; }
  arma::uword n_iterations() const { return effort == 0 ? 3 : effort; }
  /// As parse_detector() reads it.
  std::string text() const;
};
/// "zf", "lmmse", "lmmse-irc", "k-best", "ep", the last two also with their effort: "k-best:64".
/// @throws Error(invalid_argument) naming those that there are, or the range of the effort
DetectorOptions parse_detector(const std::string& text);

/// The values of the real (and imaginary) part of a constellation by label, the first of an axis' bits the highest.
std::vector<double> axis_levels(unsigned bits_per_symbol);

/// Linear detection of layers with the channel as the receiver believes it is.
///
///   y = G s + n,   cov n = s2 I,   unit-power symbols
///   lmmse   s_hat = D (G^H G / s2 + I)^-1 G^H y / s2, unbiased by D;  variance c / (1 - c), c the diagonal of the inverse
///   zf      s_hat = (G^H G)^-1 G^H y;                                variance s2 c, c the diagonal of the inverse
///
/// @param kind      zf; every other one: lmmse
/// @param G         [n_rx, n_layers], columns
/// @param s2        > 0
/// @param s_hat     [n_layers]
/// @param variance  [n_layers]; 1e12 where nothing can be known
void detect_layers(DetectorKind kind, const std::complex<double>* G, const std::complex<double>* y,
                   arma::uword n_rx, arma::uword n_layers, double s2, std::complex<double>* s_hat,
                   double* variance);

/// Detectors that know the constellation. One object serves one thread at a time.
///
/// ep: expectation propagation. Every symbol's prior is taken for a Gaussian, CN(g / l, 1 / l) with l = 1, g = 0 at first.
/// In turn the posterior N(mu, S), S = (G^H G / s2 + diag l)^-1, mu = S (G^H y / s2 + g), is found; without its own prior
/// a symbol is CN(t, h), 1 / h = 1 / S_ii - l_i, t / h = mu_i / S_ii - g_i; with the constellation in place of it it has mean m
/// and variance v, and the prior becomes, damped, that with which the Gaussian says the same: l_i = 1 / v - 1 / h, g_i = m / v -
/// t / h (kept where it would be negative). Found: t and h of the last round. Without rounds that is lmmse.
///
/// k_best: the n_survivors best partial vectors, layer by layer, of |Q^H y - R s|^2 with columns sorted for weak layers to
/// come last, real and imaginary part in turn; LLRs from the vectors that are left, over their best (max-log) or all (log-map).
/// A bit that is the same in all of them has the LLR 4, measured to lose the fewest blocks.
/// With as many survivors as there are vectors, both are those of maximum likelihood.
/// Source: [Cespedes2014] for ep; [Guo2006] for k_best, [Wuebben2001] for the order of columns
class LayerDetector {
 public:
  /// @throws Error(invalid_argument) if an effort is out of range
  LayerDetector(const DetectorOptions& options, unsigned bits_per_symbol, DemapperKind demapper);

  /// Whether llrs() is to be called; else symbols().
  bool gives_llrs() const { return options_.kind == DetectorKind::k_best; }
  /// Arguments as of detect_layers().
  void symbols(const std::complex<double>* G, const std::complex<double>* y, arma::uword n_rx,
               arma::uword n_layers, double s2, std::complex<double>* s_hat, double* variance);
  /// @param llrs  [n_layers bits_per_symbol]
  void llrs(const std::complex<double>* G, const std::complex<double>* y, arma::uword n_rx,
            arma::uword n_layers, double s2, float* llrs);

 private:
  struct Survivor {
    double metric;
    std::complex<double> rest;
    std::complex<double> symbol[4];
    unsigned label[4];
  };
  struct Candidate {
    double metric;
    unsigned short parent, label;
  };
  template <unsigned L>
  void propagate(const std::complex<double>* G, const std::complex<double>* y, arma::uword n_rx,
                 double s2, std::complex<double>* s_hat, double* variance) const;
  /// Survivors from candidates for an axis of a layer.
  void keep_best(arma::uword i_layer, bool is_real);

  DetectorOptions options_;
  DemapperKind demapper_;
  unsigned n_bits_;             // of an axis
  std::vector<double> levels_;  // of an axis, by label, the first bit the highest
  std::vector<Survivor> survivors_, parents_;
  std::vector<Candidate> candidates_;
  std::vector<std::complex<double>> Q_;
};

/// Covariance of noise and interference from what the pilots leave, for lmmse-irc: of windows of `window` subcarriers that
/// follow each other (the last has up to twice as many), over all symbols,
///
///   R = (1 - w) S + w tr(S) / n_rx I,   S = mean over pilots p of (e e^H + x^H P x I),   e = y_p - H_hat(f_p, s_p) x_p
///
/// with P the predicted error variances of H_hat: S is what an EM step finds for white errors of the estimate, so an estimator
/// that passes through its pilots, such as `ls`, says sigma2 I alone. w is the shrinkage of [Ledoit2004].
class InterferenceCovariance {
 public:
  static constexpr arma::uword window = 48;

  /// @param h_hat    [n_rx, n_tx, n_elements]
  /// @param err_var  [n_tx, n_elements]; null: `err_var_mean` everywhere
  /// @param y        received pilots, [n_rx, pattern.n()]
  /// @param sigma2   the least eigenvalue is that of a hundredth of it
  void fit(const PilotPattern& pattern, arma::uword n_rx, const std::complex<double>* h_hat,
           const double* err_var, double err_var_mean, const std::complex<double>* y,
           double sigma2);
  /// R of the window of a subcarrier.
  arma::cx_mat R(arma::uword subcarrier) const;
  /// to = (R scale + extra I)^-1/2 x, up to a unitary matrix that is the same for a subcarrier.
  void whiten(arma::uword subcarrier, double scale, double extra, const std::complex<double>* x,
              arma::uword n_columns, std::complex<double>* to) const;

 private:
  struct Part {
    arma::cx_mat U;
    arma::vec values;
  };
  const Part& part(arma::uword subcarrier) const;
  std::vector<Part> parts_;
};

}  // namespace sim
}  // namespace v0
}  // namespace chest
