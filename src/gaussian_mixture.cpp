#include <chest/gaussian_mixture.hpp>

#include <cmath>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

std::string size_of(const arma::SizeMat& size) {
  return std::to_string(size.n_rows) + "x" + std::to_string(size.n_cols);
}

// F^H diag(v) F with F the first n columns of the unitary DFT of size m = oversampling n, on both
// sides: the entry of antenna offset d is (1/m) sum_i v_i exp(j 2 pi i d / m).
arma::cx_mat from_spectrum(const SpectralCovariances& structure, const arma::vec& v) {
  const arma::uword n_rx = structure.n_rx, n_tx = structure.n_tx;
  const arma::uword m_rx = structure.oversampling * n_rx, m_tx = structure.oversampling * n_tx;
  const arma::mat grid = arma::reshape(v, m_rx, m_tx);
  const arma::cx_mat offsets =
      arma::conj(dft_matrix(m_rx)) * arma::cx_mat(grid, arma::zeros(m_rx, m_tx)) *
      arma::conj(dft_matrix(m_tx)) / std::sqrt(static_cast<double>(m_rx * m_tx));
  arma::cx_mat C(n_rx * n_tx, n_rx * n_tx, arma::fill::none);
  for (arma::uword j = 0; j < C.n_cols; ++j) {
    for (arma::uword i = 0; i < C.n_rows; ++i) {
      C(i, j) = offsets((m_rx + i % n_rx - j % n_rx) % m_rx, (m_tx + i / n_rx - j / n_rx) % m_tx);
    }
  }
  return 0.5 * (C + C.t());
}

struct Expand {
  const GaussianMixture& prior;
  arma::uword k;

  arma::cx_mat operator()(std::monostate) const { return prior.covariances[k]; }
  arma::cx_mat operator()(const SpectralCovariances& s) const {
    arma::cx_mat C = from_spectrum(s, s.spectra.col(k));
    if (!s.factors.empty()) {
      const arma::cx_mat W = AngularTransform(s.n_rx, s.n_tx).inverse(s.factors[k]);
      C += W * W.t();
    }
    return C;
  }
  arma::cx_mat operator()(const KroneckerCovariances& s) const {
    return arma::kron(s.tx[k / s.rx.size()], s.rx[k % s.rx.size()]);
  }
};

// Columns of white noise CN(0, I), [n_h, n], become draws of CN(0, C_k).
struct Colour {
  const GaussianMixture& prior;
  Rng& rng;  // of what a structure needs beyond n_h numbers per draw

  arma::cx_mat operator()(std::monostate, arma::uword k, const arma::cx_mat& white) const {
    const arma::cx_mat L = covariance_factor(prior.covariances[k]);
    // One by one: no draw depends on how many there are, down to the last bit.
    arma::cx_mat out(arma::size(white), arma::fill::none);
    for (arma::uword j = 0; j < white.n_cols; ++j) out.col(j) = L * white.col(j);
    return out;
  }
  arma::cx_mat operator()(const SpectralCovariances& s, arma::uword k,
                          const arma::cx_mat& white) const {
    const arma::uword m_rx = s.oversampling * s.n_rx, m_tx = s.oversampling * s.n_tx;
    arma::cx_mat x = s.oversampling == 1 ? white : rng.cx_normal(m_rx * m_tx, white.n_cols);
    const arma::vec amplitudes = arma::sqrt(s.spectra.col(k));
    x.each_col() %= arma::cx_vec(amplitudes, arma::zeros(amplitudes.n_elem));
    if (!s.factors.empty()) {
      x += s.factors[k] * rng.cx_normal(s.factors[k].n_cols, white.n_cols);
    }
    AngularTransform(m_rx, m_tx).inverse(x, x);
    if (s.oversampling == 1) return x;
    // The array is a corner of the one twice its size.
    arma::cx_mat out(arma::size(white), arma::fill::none);
    for (arma::uword j = 0; j < x.n_cols; ++j) {
      const arma::cx_mat whole(x.colptr(j), m_rx, m_tx, false, true);
      out.col(j) = arma::vectorise(whole.submat(0, 0, s.n_rx - 1, s.n_tx - 1));
    }
    return out;
  }
  arma::cx_mat operator()(const KroneckerCovariances& s, arma::uword k,
                          const arma::cx_mat& white) const {
    const arma::cx_mat L_rx = covariance_factor(s.rx[k % s.rx.size()]),
                       L_tx = covariance_factor(s.tx[k / s.rx.size()]);
    arma::cx_mat out(arma::size(white), arma::fill::none);
    for (arma::uword j = 0; j < white.n_cols; ++j) {
      out.col(j) =
          arma::vectorise(L_rx * arma::reshape(white.col(j), L_rx.n_rows, L_tx.n_rows) * L_tx.st());
    }
    return out;
  }
};

// Why the covariances do not fit n_h and the number of components.
struct Check {
  arma::uword n_h, n;

  std::string matrix(const std::string& what, const arma::cx_mat& C, arma::uword rows,
                     arma::uword cols) const {
    if (C.n_rows != rows || C.n_cols != cols) {
      return what + " is " + size_of(arma::size(C)) + ", expected " +
             size_of(arma::SizeMat(rows, cols));
    }
    return C.is_finite() ? "" : what + " is not finite";
  }

  std::string operator()(std::monostate) const { return {}; }
  std::string operator()(const SpectralCovariances& s) const {
    const arma::uword grid = s.oversampling * s.oversampling * n_h;
    if (s.n_rx * s.n_tx != n_h) {
      return "the spectra are for " + size_of(arma::SizeMat(s.n_rx, s.n_tx)) +
             " channels, the means have " + std::to_string(n_h) + " entries";
    }
    if (s.oversampling != 1 && s.oversampling != 2) {
      return "the oversampling is " + std::to_string(s.oversampling) + ", it must be 1 or 2";
    }
    if (s.spectra.n_rows != grid || s.spectra.n_cols != n) {
      return "the spectra are " + size_of(arma::size(s.spectra)) + ", expected " +
             size_of(arma::SizeMat(grid, n));
    }
    if (!s.spectra.is_finite() || s.spectra.min() < 0.0) {
      return "the spectra are not finite or below zero";
    }
    if (s.factors.empty()) return {};
    if (s.factors.size() != n || s.oversampling != 1) {
      return "there are " + std::to_string(s.factors.size()) + " factors for " + std::to_string(n) +
             " components with oversampling " + std::to_string(s.oversampling);
    }
    for (const arma::cx_mat& W : s.factors) {
      const std::string why = matrix("a factor", W, n_h, s.factors.front().n_cols);
      if (!why.empty()) return why;
    }
    return {};
  }
  std::string operator()(const KroneckerCovariances& s) const {
    if (s.rx.empty() || s.rx.size() * s.tx.size() != n) {
      return "there are " + std::to_string(s.rx.size()) + " receive and " +
             std::to_string(s.tx.size()) + " transmit covariances for " + std::to_string(n) +
             " components";
    }
    const arma::uword n_rx = s.rx.front().n_rows, n_tx = s.tx.front().n_rows;
    if (n_rx * n_tx != n_h) {
      return "the covariances are for " + size_of(arma::SizeMat(n_rx, n_tx)) +
             " channels, the means have " + std::to_string(n_h) + " entries";
    }
    for (const auto& [side, size] : {std::pair{&s.rx, n_rx}, std::pair{&s.tx, n_tx}}) {
      for (const arma::cx_mat& C : *side) {
        const std::string why = matrix("a covariance of one side", C, size, size);
        if (!why.empty()) return why;
      }
    }
    return {};
  }
};

// Matrices of one size as one dataset [n, n_rows, n_cols].
void write_matrices(ArchiveWriter& archive, const std::string& name,
                    const std::vector<arma::cx_mat>& matrices) {
  const std::uint64_t n = matrices.size(), n_rows = n ? matrices[0].n_rows : 0,
                      n_cols = n ? matrices[0].n_cols : 0;
  archive.create<std::complex<double>>(name, {n, n_rows, n_cols});
  for (std::uint64_t k = 0; k < n; ++k) {
    const arma::cx_mat rows = matrices[k].st();  // C order on disk
    archive.write_block(name, {{k, 0, 0}, {1, n_rows, n_cols}}, rows.memptr());
  }
}

std::vector<arma::cx_mat> read_matrices(const ArchiveReader& archive, const std::string& name) {
  const StoredDataset stored = archive.info(name);
  if (stored.dims.size() != 3) {
    throw Error(ErrorKind::format,
                archive.file().string() + ": " + name + " is not a list of matrices");
  }
  const auto& dims = stored.dims;
  std::vector<arma::cx_mat> matrices;
  for (std::uint64_t k = 0; k < dims[0]; ++k) {
    arma::cx_mat rows(dims[2], dims[1], arma::fill::none);
    archive.read(name, {{k, 0, 0}, {1, dims[1], dims[2]}}, rows.memptr());
    matrices.push_back(rows.st());
  }
  return matrices;
}

SpectralCovariances read_spectral(const ArchiveReader& archive, const std::string& group,
                                  MixtureCovariance kind) {
  const auto size = [&](const char* name) {
    const std::int64_t value = archive.integer_attribute(group, name).value_or(0);
    if (value < 1 || value > 1'000'000) {
      throw Error(ErrorKind::format, archive.file().string() + ": " + group + ": attribute " +
                                         name + " is missing or not a size");
    }
    return static_cast<arma::uword>(value);
  };
  SpectralCovariances structure;
  structure.n_rx = size("n_rx");
  structure.n_tx = size("n_tx");
  structure.oversampling = kind == MixtureCovariance::toeplitz ? 2 : 1;
  structure.spectra = archive.read_mat(group + "/spectra");
  const arma::uword n_grid =
      structure.oversampling * structure.oversampling * structure.n_rx * structure.n_tx;
  if (structure.spectra.n_rows != n_grid) {
    throw Error(ErrorKind::format, archive.file().string() + ": " + group + "/spectra has " +
                                       std::to_string(structure.spectra.n_rows) +
                                       " rows, expected " + std::to_string(n_grid));
  }
  if (kind == MixtureCovariance::factors) {
    structure.factors = read_matrices(archive, group + "/factors");
  }
  return structure;
}

}  // namespace

const std::vector<MixtureCovariance>& mixture_covariances() {
  static const std::vector<MixtureCovariance> kinds{
      MixtureCovariance::full, MixtureCovariance::kronecker, MixtureCovariance::toeplitz,
      MixtureCovariance::dft, MixtureCovariance::factors};
  return kinds;
}

const char* to_string(MixtureCovariance kind) {
  switch (kind) {
    case MixtureCovariance::full:
      return "full";
    case MixtureCovariance::kronecker:
      return "kronecker";
    case MixtureCovariance::toeplitz:
      return "toeplitz";
    case MixtureCovariance::dft:
      return "dft";
    case MixtureCovariance::factors:
      return "factors";
  }
  return "?";
}

MixtureCovariance mixture_covariance_from_string(const std::string& text) {
  std::vector<std::string> names;
  for (const MixtureCovariance kind : mixture_covariances()) {
    names.push_back(to_string(kind));
    if (text == names.back()) return kind;
  }
  throw Error(ErrorKind::invalid_argument,
              "covariance kind '" + text + "' is unknown: there are " + enumerate(names));
}

MixtureCovariance GaussianMixture::kind() const {
  if (std::holds_alternative<KroneckerCovariances>(structure)) return MixtureCovariance::kronecker;
  const auto* spectral = std::get_if<SpectralCovariances>(&structure);
  if (!spectral) return MixtureCovariance::full;
  if (spectral->oversampling == 2) return MixtureCovariance::toeplitz;
  return spectral->factors.empty() ? MixtureCovariance::dft : MixtureCovariance::factors;
}

arma::cx_mat GaussianMixture::covariance(arma::uword k) const {
  return std::visit(Expand{*this, k}, structure);
}

arma::uword GaussianMixture::n_parameters() const {
  const arma::uword n = n_components();
  arma::uword count = n - 1;
  if (const auto* spectral = std::get_if<SpectralCovariances>(&structure)) {
    count += spectral->spectra.n_elem;
    for (const arma::cx_mat& W : spectral->factors) count += 2 * W.n_elem;
  } else if (const auto* kronecker = std::get_if<KroneckerCovariances>(&structure)) {
    for (const arma::cx_mat& C : kronecker->rx) count += C.n_elem;
    for (const arma::cx_mat& C : kronecker->tx) count += C.n_elem;
  } else {
    count += n * n_h() * n_h();
    if (means.is_zero()) return count;
    count += 2 * means.n_elem;
  }
  return count;
}

GaussianMixture GaussianMixture::scaled(double factor) const {
  GaussianMixture out = *this;
  const double power = factor * factor;
  out.means *= factor;
  for (arma::cx_mat& C : out.covariances) C *= power;
  if (auto* spectral = std::get_if<SpectralCovariances>(&out.structure)) {
    spectral->spectra *= power;
    for (arma::cx_mat& W : spectral->factors) W *= factor;
  } else if (auto* kronecker = std::get_if<KroneckerCovariances>(&out.structure)) {
    for (arma::cx_mat& C : kronecker->rx) C *= power;
  }
  return out;
}

std::string GaussianMixture::why_invalid() const {
  const arma::uword n = n_components();
  if (n == 0 || n_h() == 0) return "the mixture has no components";
  const bool dense = std::holds_alternative<std::monostate>(structure);
  if (means.n_cols != n || covariances.size() != (dense ? n : 0)) {
    return "the mixture has " + std::to_string(n) + " weights, " + std::to_string(means.n_cols) +
           " means and " + std::to_string(covariances.size()) + " covariances" +
           (dense ? "" : " beside its structure");
  }
  if (!weights.is_finite() || weights.min() < 0.0 || std::abs(arma::accu(weights) - 1.0) > 1e-6) {
    return "the mixture's weights are not probabilities";
  }
  if (!means.is_finite()) return "the mixture's means are not finite";
  if (!dense && !means.is_zero()) return "a mixture with a structure has means other than zero";
  const Check check{n_h(), n};
  for (arma::uword k = 0; k < covariances.size(); ++k) {
    const std::string why =
        check.matrix("covariance " + std::to_string(k), covariances[k], n_h(), n_h());
    if (!why.empty()) return why;
  }
  return std::visit(check, structure);
}

GaussianMixture gaussian_prior(arma::cx_mat C) {
  const arma::cx_mat mean(C.n_rows, 1, arma::fill::zeros);
  return {arma::vec{1.0}, mean, {std::move(C)}};
}

GaussianMixture gaussian_prior(const ChannelCovariance& C) {
  const arma::cx_mat mean(C.n_h(), 1, arma::fill::zeros);
  if (C.kind() == CovarianceKind::kronecker) {
    return {arma::vec{1.0}, mean, {}, KroneckerCovariances{{C.C_rx()}, {C.C_tx()}}};
  }
  if (C.kind() == CovarianceKind::dft) {
    return {arma::vec{1.0},
            mean,
            {},
            SpectralCovariances{C.n_rx(), C.n_tx(), 1, arma::vectorise(C.powers()), {}}};
  }
  if (C.kind() == CovarianceKind::toeplitz && C.n_h() > most_formed_entries) {
    throw Error(ErrorKind::invalid_argument,
                "a block-Toeplitz covariance of " + std::to_string(C.n_h()) +
                    " entries is formed as a matrix here, which is done up to " +
                    std::to_string(most_formed_entries) + "; fit kronecker or dft");
  }
  return gaussian_prior(C.dense());
}

std::string describe(const GaussianMixture& prior) {
  std::string out = std::to_string(prior.n_components()) +
                    (prior.n_components() == 1 ? " component, " : " components, ") +
                    to_string(prior.kind());
  if (const auto* s = std::get_if<KroneckerCovariances>(&prior.structure)) {
    out += " of " + std::to_string(s->rx.size()) + " receive and " + std::to_string(s->tx.size()) +
           " transmit covariances";
  } else if (prior.kind() == MixtureCovariance::factors) {
    const auto& factors = std::get<SpectralCovariances>(prior.structure).factors;
    out += " of rank " + std::to_string(factors.front().n_cols);
  }
  return out + ", " + std::to_string(prior.n_parameters()) + " parameters";
}

arma::cx_mat draw(const GaussianMixture& prior, arma::uword n_samples, Rng& rng) {
  const arma::vec cumulative = arma::cumsum(prior.weights);
  arma::cx_mat h = rng.cx_normal(prior.n_h(), n_samples);
  std::vector<std::vector<arma::uword>> columns(prior.n_components());
  for (arma::uword j = 0; j < n_samples; ++j) {
    const double u = rng.uniform();
    arma::uword k = 0;
    while (k + 1 < prior.n_components() && u >= cumulative(k)) ++k;
    columns[k].push_back(j);
  }
  const Colour colour{prior, rng};
  for (arma::uword k = 0; k < columns.size(); ++k) {
    if (columns[k].empty()) continue;
    const arma::uvec of_k(columns[k]);
    arma::cx_mat x = std::visit(
        [&](const auto& structure) { return colour(structure, k, h.cols(of_k)); }, prior.structure);
    x.each_col() += prior.means.col(k);
    h.cols(of_k) = x;
  }
  return h;
}

arma::cx_mat second_moment(const GaussianMixture& prior) {
  arma::cx_mat C(prior.n_h(), prior.n_h(), arma::fill::zeros);
  for (arma::uword k = 0; k < prior.n_components(); ++k) {
    C += prior.weights(k) * (prior.covariance(k) + prior.means.col(k) * prior.means.col(k).t());
  }
  return C;
}

void save(ArchiveWriter& archive, const std::string& group, const GaussianMixture& prior) {
  archive.write(group + "/weights", arma::mat(prior.weights));
  archive.attribute(group, "covariance", std::string(to_string(prior.kind())));
  if (const auto* spectral = std::get_if<SpectralCovariances>(&prior.structure)) {
    archive.attribute(group, "n_rx", static_cast<std::int64_t>(spectral->n_rx));
    archive.attribute(group, "n_tx", static_cast<std::int64_t>(spectral->n_tx));
    archive.write(group + "/spectra", spectral->spectra);
    if (!spectral->factors.empty()) write_matrices(archive, group + "/factors", spectral->factors);
  } else if (const auto* kronecker = std::get_if<KroneckerCovariances>(&prior.structure)) {
    write_matrices(archive, group + "/rx", kronecker->rx);
    write_matrices(archive, group + "/tx", kronecker->tx);
  } else {
    archive.write(group + "/means", prior.means);
    write_matrices(archive, group + "/covariances", prior.covariances);
  }
}

GaussianMixture load_gaussian_mixture(const ArchiveReader& archive, const std::string& group) {
  const std::string where = archive.file().string() + ": " + group;
  GaussianMixture prior;
  prior.weights = archive.read_mat(group + "/weights").as_col();
  const arma::uword n = prior.weights.n_elem;
  MixtureCovariance kind;
  try {
    // Files of version 1 do not say: they hold whole covariances.
    kind = mixture_covariance_from_string(
        archive.text_attribute(group, "covariance").value_or("full"));
  } catch (const Error& error) {
    throw Error(ErrorKind::format, where + ": " + error.what());
  }
  if (kind == MixtureCovariance::full) {
    prior.means = archive.read_cx_mat(group + "/means");
    const std::uint64_t n_h = prior.means.n_rows;
    if (archive.info(group + "/covariances").dims != std::vector<std::uint64_t>{n, n_h, n_h}) {
      throw Error(ErrorKind::format, archive.file().string() + ": " + group +
                                         "/covariances does not fit the means and weights beside "
                                         "it");
    }
    prior.covariances = read_matrices(archive, group + "/covariances");
  } else if (kind == MixtureCovariance::kronecker) {
    KroneckerCovariances structure{read_matrices(archive, group + "/rx"),
                                   read_matrices(archive, group + "/tx")};
    if (structure.rx.empty() || structure.tx.empty()) {
      throw Error(ErrorKind::format, where + ": there are no covariances of one side");
    }
    prior.means.zeros(structure.rx[0].n_rows * structure.tx[0].n_rows, n);
    prior.structure = std::move(structure);
  } else {
    SpectralCovariances structure = read_spectral(archive, group, kind);
    prior.means.zeros(structure.n_rx * structure.n_tx, n);
    prior.structure = std::move(structure);
  }
  if (const std::string reason = prior.why_invalid(); !reason.empty()) {
    throw Error(ErrorKind::format, where + ": " + reason);
  }
  return prior;
}

}  // namespace v0
}  // namespace chest
