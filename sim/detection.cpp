#include <chest/sim/detection.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// Of a symbol of which nothing is known.
constexpr double unknown_variance = 1e12;
constexpr arma::uword most_survivors = 256, most_rounds = 20;
/// LLR of a bit that is the same in all survivors.
constexpr double llr_of_missing = 4.0;
/// Of expectation propagation: least variance of a symbol, and the part of a round's prior that is taken.
constexpr double least_symbol_variance = 1e-3, damping = 0.7;

/// The product, without the standard's treatment of infinities.
std::complex<double> product(std::complex<double> a, std::complex<double> b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}
/// conj(a) b
std::complex<double> conj_product(std::complex<double> a, std::complex<double> b) {
  return {a.real() * b.real() + a.imag() * b.imag(), a.real() * b.imag() - a.imag() * b.real()};
}

/// The inverse of a Hermitian positive definite matrix, from the lower triangle, by its Cholesky factor.
template <arma::uword L>
struct SmallInverse {
  explicit SmallInverse(std::complex<double> (&A)[L][L]) {
    double inverse_diagonal[L];
    for (arma::uword i = 0; i < L; ++i) {
      for (arma::uword j = 0; j <= i; ++j) {
        std::complex<double> sum = A[i][j];
        for (arma::uword k = 0; k < j; ++k) sum -= product(A[i][k], std::conj(A[j][k]));
        if (i == j) {
          inverse_diagonal[i] = 1.0 / std::sqrt(std::max(sum.real(), 1e-300));
        } else {
          A[i][j] = sum * inverse_diagonal[j];
        }
      }
    }
    for (arma::uword j = 0; j < L; ++j) {
      W[j][j] = inverse_diagonal[j];
      for (arma::uword i = j + 1; i < L; ++i) {
        std::complex<double> sum = 0.0;
        for (arma::uword k = j; k < i; ++k) sum -= product(A[i][k], W[k][j]);
        W[i][j] = sum * inverse_diagonal[i];
      }
    }
  }
  /// x = A^-1 b, and the diagonal c of the inverse.
  void solve(const std::complex<double>* b, std::complex<double>* x, double* c) const {
    std::complex<double> half[L];
    for (arma::uword i = 0; i < L; ++i) {
      half[i] = 0.0;
      for (arma::uword k = 0; k <= i; ++k) half[i] += product(W[i][k], b[k]);
    }
    for (arma::uword i = 0; i < L; ++i) {
      x[i] = 0.0;
      c[i] = 0.0;
      for (arma::uword k = i; k < L; ++k) {
        x[i] += conj_product(W[k][i], half[k]);
        c[i] += std::norm(W[k][i]);
      }
    }
  }

  std::complex<double> W[L][L];  ///< the inverse of the factor, below; A^-1 = W^H W
};

/// b = G^H y / s2, A = G^H G / s2, its lower triangle. @return the largest diagonal entry
template <arma::uword L>
double normal_equations(const std::complex<double>* G, const std::complex<double>* y,
                        arma::uword n_rx, double s2, std::complex<double> (&A)[L][L],
                        std::complex<double>* b) {
  double largest = 0.0;
  const double scale = 1.0 / s2;
  for (arma::uword i = 0; i < L; ++i) {
    b[i] = 0.0;
    for (arma::uword r = 0; r < n_rx; ++r) b[i] += conj_product(G[i * n_rx + r], y[r]);
    b[i] *= scale;
    for (arma::uword j = 0; j <= i; ++j) {
      A[i][j] = 0.0;
      for (arma::uword r = 0; r < n_rx; ++r)
        A[i][j] += conj_product(G[i * n_rx + r], G[j * n_rx + r]);
      A[i][j] *= scale;
    }
    largest = std::max(largest, A[i][i].real());
  }
  return largest;
}

/// One layer: the maximum ratio.
void detect_one(const std::complex<double>* g, const std::complex<double>* y, arma::uword n_rx,
                double s2, std::complex<double>* s_hat, double* variance) {
  double gain = 0.0, re = 0.0, im = 0.0;
  for (arma::uword r = 0; r < n_rx; ++r) {
    gain += std::norm(g[r]);
    const std::complex<double> m = conj_product(g[r], y[r]);
    re += m.real();
    im += m.imag();
  }
  if (!(gain > s2 / unknown_variance)) {
    *s_hat = 0.0;
    *variance = unknown_variance;
    return;
  }
  *s_hat = {re / gain, im / gain};
  *variance = s2 / gain;
}

template <arma::uword L>
void detect_some(DetectorKind kind, const std::complex<double>* G, const std::complex<double>* y,
                 arma::uword n_rx, double s2, std::complex<double>* s_hat, double* variance) {
  std::complex<double> A[L][L], b[L];
  // In units where the noise has power 1; zero forcing has no identity but a bound on the condition.
  const double largest = normal_equations<L>(G, y, n_rx, s2, A, b);
  const double loading = kind == DetectorKind::zf ? std::max(largest, 1e-300) * 1e-12 : 1.0;
  for (arma::uword i = 0; i < L; ++i) A[i][i] += loading;
  double c[L];
  SmallInverse<L>(A).solve(b, s_hat, c);
  for (arma::uword i = 0; i < L; ++i) {
    if (kind == DetectorKind::zf) {
      variance[i] = std::min(c[i], unknown_variance);
      continue;
    }
    const double bias = 1.0 - c[i];
    if (bias > 1.0 / unknown_variance) {
      s_hat[i] /= bias;
      variance[i] = c[i] / bias;
    } else {
      s_hat[i] = 0.0;
      variance[i] = unknown_variance;
    }
  }
}

[[noreturn]] void refuse_layers(arma::uword n_layers) {
  refuse("link: n_layers is " + std::to_string(n_layers) + ", expected 1 .. 4");
}

constexpr std::pair<DetectorKind, const char*> detector_names[] = {
    {DetectorKind::zf, "zf"},
    {DetectorKind::lmmse, "lmmse"},
    {DetectorKind::lmmse_irc, "lmmse-irc"},
    {DetectorKind::k_best, "k-best"},
    {DetectorKind::ep, "ep"}};

}  // namespace

std::string DetectorOptions::text() const {
  for (const auto& [value, name] : detector_names)
    if (value == kind) return effort == 0 ? name : name + (":" + std::to_string(effort));
  return {};
}

DetectorOptions parse_detector(const std::string& text) {
  const std::vector<std::string> parts = split(text, ':');
  DetectorOptions options;
  std::vector<std::string> names;
  bool found = false;
  for (const auto& [value, name] : detector_names) {
    names.emplace_back(name);
    if (parts.front() != name) continue;
    options.kind = value;
    found = true;
  }
  if (!found) refuse("detector is '" + text + "'" + did_you_mean(parts.front(), names));
  if (parts.size() == 1) return options;
  const bool has_effort = options.kind == DetectorKind::k_best || options.kind == DetectorKind::ep;
  if (parts.size() > 2 || !has_effort)
    refuse("detector is '" + text + "', expected a name, or k-best:N or ep:N");
  options.effort = to_count(parts[1], "number in detector '" + text + "'");
  const arma::uword most = options.kind == DetectorKind::k_best ? most_survivors : most_rounds;
  if (options.effort < 1 || options.effort > most)
    refuse("detector is '" + text + "', expected " + parts[0] + ":1 .. " + parts[0] + ":" +
           std::to_string(most));
  return options;
}

std::vector<double> axis_levels(unsigned bits_per_symbol) {
  const NrQam qam(bits_per_symbol);
  const unsigned n_bits = bits_per_symbol / 2;
  std::vector<double> levels(std::size_t{1} << n_bits);
  std::vector<std::uint8_t> bits(bits_per_symbol);
  for (unsigned label = 0; label < levels.size(); ++label) {
    for (unsigned b = 0; b < n_bits; ++b)
      bits[2 * b] = bits[2 * b + 1] = (label >> (n_bits - 1 - b)) & 1u;
    std::complex<double> symbol;
    qam.map(bits.data(), 1, &symbol);
    levels[label] = symbol.real();
  }
  return levels;
}

void detect_layers(DetectorKind kind, const std::complex<double>* G, const std::complex<double>* y,
                   arma::uword n_rx, arma::uword n_layers, double s2, std::complex<double>* s_hat,
                   double* variance) {
  switch (n_layers) {
    case 1:
      return detect_one(G, y, n_rx, s2, s_hat, variance);
    case 2:
      return detect_some<2>(kind, G, y, n_rx, s2, s_hat, variance);
    case 3:
      return detect_some<3>(kind, G, y, n_rx, s2, s_hat, variance);
    case 4:
      return detect_some<4>(kind, G, y, n_rx, s2, s_hat, variance);
    default:
      refuse_layers(n_layers);
  }
}

LayerDetector::LayerDetector(const DetectorOptions& options, unsigned bits_per_symbol,
                             DemapperKind demapper)
    : options_(options),
      demapper_(demapper),
      n_bits_(bits_per_symbol / 2),
      levels_(axis_levels(bits_per_symbol)) {
  if (options.effort != 0) parse_detector(options.text());
  if (bits_per_symbol < 2) refuse("link: layers are detected for 2, 4, 6 or 8 bits per symbol");
}

template <unsigned L>
void LayerDetector::propagate(const std::complex<double>* G, const std::complex<double>* y,
                              arma::uword n_rx, double s2, std::complex<double>* s_hat,
                              double* variance) const {
  std::complex<double> gram[L][L], b[L], A[L][L], from[L], mu[L], g[L];
  normal_equations<L>(G, y, n_rx, s2, gram, b);
  double l[L], c[L];
  for (unsigned i = 0; i < L; ++i) l[i] = 1.0, g[i] = 0.0;
  for (arma::uword round = 0;; ++round) {
    for (unsigned i = 0; i < L; ++i) {
      for (unsigned j = 0; j <= i; ++j) A[i][j] = gram[i][j];
      A[i][i] += l[i];
      from[i] = b[i] + g[i];
    }
    SmallInverse<L>(A).solve(from, mu, c);
    for (unsigned i = 0; i < L; ++i) {
      const double bias = 1.0 - c[i] * l[i];
      if (!(bias > 1.0 / unknown_variance)) {
        s_hat[i] = 0.0;
        variance[i] = unknown_variance;
        continue;
      }
      const double h = c[i] / bias;
      const std::complex<double> t = (mu[i] - c[i] * g[i]) / bias;
      s_hat[i] = t;
      variance[i] = h;
      if (round == options_.n_iterations()) continue;
      // Moments over the levels of each axis.
      double mean[2], v = 0.0;
      for (int part = 0; part < 2; ++part) {
        const double at = part == 0 ? t.real() : t.imag();
        double nearest = std::numeric_limits<double>::infinity();
        for (const double x : levels_) nearest = std::min(nearest, (at - x) * (at - x));
        double sum = 0.0, first = 0.0, second = 0.0;
        for (const double x : levels_) {
          const double p = std::exp((nearest - (at - x) * (at - x)) / h);
          sum += p;
          first += p * x;
          second += p * x * x;
        }
        mean[part] = first / sum;
        v += std::max(0.0, second / sum - mean[part] * mean[part]);
      }
      v = std::max(v, least_symbol_variance);
      const double l_new = 1.0 / v - 1.0 / h;
      if (l_new < 0.0) continue;
      const std::complex<double> m(mean[0], mean[1]);
      l[i] = damping * l_new + (1.0 - damping) * l[i];
      g[i] = damping * (m / v - t / h) + (1.0 - damping) * g[i];
    }
    if (round == options_.n_iterations()) return;
  }
}

void LayerDetector::symbols(const std::complex<double>* G, const std::complex<double>* y,
                            arma::uword n_rx, arma::uword n_layers, double s2,
                            std::complex<double>* s_hat, double* variance) {
  if (options_.kind != DetectorKind::ep || n_layers == 1)
    return detect_layers(options_.kind, G, y, n_rx, n_layers, s2, s_hat, variance);
  switch (n_layers) {
    case 2:
      return propagate<2>(G, y, n_rx, s2, s_hat, variance);
    case 3:
      return propagate<3>(G, y, n_rx, s2, s_hat, variance);
    case 4:
      return propagate<4>(G, y, n_rx, s2, s_hat, variance);
    default:
      refuse_layers(n_layers);
  }
}

void LayerDetector::keep_best(arma::uword i_layer, bool is_real) {
  const auto better = [](const Candidate& a, const Candidate& b) {
    if (a.metric != b.metric) return a.metric < b.metric;
    return a.parent != b.parent ? a.parent < b.parent : a.label < b.label;
  };
  const std::size_t n = std::min<std::size_t>(options_.n_survivors(), candidates_.size());
  if (n < candidates_.size())
    std::nth_element(candidates_.begin(), candidates_.begin() + std::ptrdiff_t(n) - 1,
                     candidates_.end(), better);
  std::swap(survivors_, parents_);
  survivors_.resize(n);
  for (std::size_t k = 0; k < n; ++k) {
    const Candidate& from = candidates_[k];
    Survivor& to = survivors_[k];
    to = parents_[from.parent];
    to.metric = from.metric;
    const double level = levels_[from.label];
    if (is_real) {
      to.symbol[i_layer] = level;
      to.label[i_layer] = from.label;
    } else {
      to.symbol[i_layer] = {to.symbol[i_layer].real(), level};
      to.label[i_layer] = to.label[i_layer] << n_bits_ | from.label;
    }
  }
  candidates_.clear();
}

void LayerDetector::llrs(const std::complex<double>* G, const std::complex<double>* y,
                         arma::uword n_rx, arma::uword n_layers, double s2, float* llrs) {
  const arma::uword L = n_layers;
  if (L < 1 || L > 4) refuse_layers(L);
  // Q R of the sorted columns: the least that is left comes first, and is decided last.
  Q_.assign(G, G + n_rx * L);
  const double unit = 1.0 / std::sqrt(s2);
  for (std::complex<double>& q : Q_) q *= unit;
  arma::uword layer[4] = {0, 1, 2, 3};
  std::complex<double> R[4][4], z[4];
  const auto power = [&](arma::uword j) {
    double sum = 0.0;
    for (arma::uword r = 0; r < n_rx; ++r) sum += std::norm(Q_[j * n_rx + r]);
    return sum;
  };
  for (arma::uword i = 0; i < L; ++i) {
    arma::uword weakest = i;
    double least = power(i);
    for (arma::uword j = i + 1; j < L; ++j) {
      const double p = power(j);
      if (p < least) least = p, weakest = j;
    }
    if (weakest != i) {
      std::swap(layer[i], layer[weakest]);
      for (arma::uword r = 0; r < n_rx; ++r) std::swap(Q_[i * n_rx + r], Q_[weakest * n_rx + r]);
      for (arma::uword k = 0; k < i; ++k) std::swap(R[k][i], R[k][weakest]);
    }
    const double norm = std::sqrt(least);
    R[i][i] = norm;
    const double inverse = norm > 1e-150 ? 1.0 / norm : 0.0;
    z[i] = 0.0;
    for (arma::uword r = 0; r < n_rx; ++r) {
      Q_[i * n_rx + r] *= inverse;
      z[i] += conj_product(Q_[i * n_rx + r], y[r] * unit);
    }
    for (arma::uword j = i + 1; j < L; ++j) {
      R[i][j] = 0.0;
      for (arma::uword r = 0; r < n_rx; ++r)
        R[i][j] += conj_product(Q_[i * n_rx + r], Q_[j * n_rx + r]);
      for (arma::uword r = 0; r < n_rx; ++r) Q_[j * n_rx + r] -= product(R[i][j], Q_[i * n_rx + r]);
    }
  }

  survivors_.assign(1, {});
  candidates_.clear();
  for (arma::uword i = L; i-- > 0;) {
    const double gain = R[i][i].real();
    for (Survivor& survivor : survivors_) {
      survivor.rest = z[i];
      for (arma::uword j = i + 1; j < L; ++j) survivor.rest -= product(R[i][j], survivor.symbol[j]);
    }
    for (int part = 0; part < 2; ++part) {
      for (std::size_t k = 0; k < survivors_.size(); ++k) {
        const Survivor& survivor = survivors_[k];
        const double rest = part == 0 ? survivor.rest.real() : survivor.rest.imag();
        for (std::size_t label = 0; label < levels_.size(); ++label) {
          const double distance = rest - gain * levels_[label];
          candidates_.push_back({survivor.metric + distance * distance,
                                 static_cast<unsigned short>(k),
                                 static_cast<unsigned short>(label)});
        }
      }
      keep_best(i, part == 0);
    }
  }

  double best = std::numeric_limits<double>::infinity();
  for (const Survivor& survivor : survivors_) best = std::min(best, survivor.metric);
  for (arma::uword i = 0; i < L; ++i) {
    for (unsigned bit = 0; bit < 2 * n_bits_; ++bit) {
      // Even bits are of the real axis.
      const unsigned shift = (bit % 2 == 0 ? n_bits_ : 0u) + (n_bits_ - 1 - bit / 2);
      double found[2] = {std::numeric_limits<double>::infinity(),
                         std::numeric_limits<double>::infinity()};
      double sums[2] = {0.0, 0.0};
      for (const Survivor& survivor : survivors_) {
        const unsigned value = survivor.label[i] >> shift & 1u;
        found[value] = std::min(found[value], survivor.metric - best);
        if (demapper_ == DemapperKind::log_map) sums[value] += std::exp(best - survivor.metric);
      }
      double llr = 0.0;
      if (std::isinf(found[0])) {
        llr = -llr_of_missing;
      } else if (std::isinf(found[1])) {
        llr = llr_of_missing;
      } else if (demapper_ == DemapperKind::max_log) {
        llr = found[1] - found[0];
      } else {
        llr = std::log(std::max(sums[0], 1e-300)) - std::log(std::max(sums[1], 1e-300));
      }
      llrs[layer[i] * 2 * n_bits_ + bit] = static_cast<float>(llr);
    }
  }
}

void InterferenceCovariance::fit(const PilotPattern& pattern, arma::uword n_rx,
                                 const std::complex<double>* h_hat, const double* err_var,
                                 double err_var_mean, const std::complex<double>* y,
                                 double sigma2) {
  const arma::uword n_tx = pattern.n_tx(), n_subcarriers = pattern.grid.n_subcarriers;
  const arma::uword n_parts = std::max<arma::uword>(1, n_subcarriers / window);
  parts_.resize(n_parts);
  std::vector<std::vector<arma::cx_vec>> residuals(n_parts);
  arma::vec predicted(n_parts, arma::fill::zeros);
  for (arma::uword p = 0; p < pattern.n(); ++p) {
    const arma::uword element = pattern.symbol(p) * n_subcarriers + pattern.subcarrier(p);
    const arma::uword at = std::min(pattern.subcarrier(p) / window, n_parts - 1);
    arma::cx_vec e(y + p * n_rx, n_rx);
    const std::complex<double>* H = h_hat + element * n_rx * n_tx;
    for (arma::uword t = 0; t < n_tx; ++t) {
      const std::complex<double> x = pattern.x(t, p);
      for (arma::uword r = 0; r < n_rx; ++r) e(r) -= product(H[t * n_rx + r], x);
      const double v = err_var ? err_var[element * n_tx + t] : err_var_mean;
      if (std::isfinite(v) && v > 0.0) predicted(at) += v * std::norm(x);
    }
    residuals[at].push_back(std::move(e));
  }
  for (arma::uword i = 0; i < n_parts; ++i) {
    const double n = double(residuals[i].size());
    arma::cx_mat S(n_rx, n_rx, arma::fill::zeros);
    if (n > 0.0) {
      for (const arma::cx_vec& e : residuals[i]) S += e * e.t();
      S /= n;
      const double mean = arma::trace(S).real() / double(n_rx);
      arma::cx_mat D = S;
      D.diag() -= mean;
      double spread = 0.0;
      for (const arma::cx_vec& e : residuals[i]) {
        const double power = arma::cdot(e, e).real();
        spread += power * power - 2.0 * arma::cdot(e, S * e).real() +
                  arma::accu(arma::square(arma::abs(S)));
      }
      const double distance = arma::accu(arma::square(arma::abs(D)));
      const double w = distance > 0.0 ? std::min(1.0, spread / (n * n) / distance) : 1.0;
      S = (1.0 - w) * S;
      S.diag() += w * mean + predicted(i) / n;
    } else {
      S.diag() += sigma2;  // no pilot is here
    }
    hermitian_eigen(S, parts_[i].values, parts_[i].U);
    parts_[i].values.transform([&](double v) { return std::max(v, 1e-2 * sigma2); });
  }
}

const InterferenceCovariance::Part& InterferenceCovariance::part(arma::uword subcarrier) const {
  return parts_[std::min<arma::uword>(subcarrier / window, parts_.size() - 1)];
}

arma::cx_mat InterferenceCovariance::R(arma::uword subcarrier) const {
  const Part& of = part(subcarrier);
  return of.U * arma::diagmat(arma::conv_to<arma::cx_vec>::from(of.values)) * of.U.t();
}

void InterferenceCovariance::whiten(arma::uword subcarrier, double scale, double extra,
                                    const std::complex<double>* x, arma::uword n_columns,
                                    std::complex<double>* to) const {
  const Part& of = part(subcarrier);
  const arma::uword n_rx = of.values.n_elem;
  for (arma::uword i = 0; i < n_rx; ++i) {
    const double gain = 1.0 / std::sqrt(scale * of.values(i) + extra);
    const std::complex<double>* u = of.U.colptr(i);
    for (arma::uword c = 0; c < n_columns; ++c) {
      std::complex<double> sum = 0.0;
      for (arma::uword r = 0; r < n_rx; ++r) sum += conj_product(u[r], x[c * n_rx + r]);
      to[c * n_rx + i] = gain * sum;
    }
  }
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
