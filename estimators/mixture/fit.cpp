#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>

#include <chest/estimators/mixture/components.hpp>
#include <chest/estimators/mixture/conditional_mean.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr arma::uword block = 256;
// Shares below this are taken as zero, so that a channel costs only where it belongs.
constexpr double negligible_share = 1e-12;
// Members of a component, sum_n r_kn. What is left of one with fewer are shares just above the cut:
// a covariance divided by their sum would say more of the cut than of the channels.
constexpr double fewest_members = 1e-6;
// Steps of dft that the other kinds start from, and steps towards c within one step of toeplitz.
constexpr arma::uword n_warm_steps = 10, n_toeplitz_steps = 4;

/// Channels in the antenna or the angular domain.
struct Channels {
  arma::uword n_rx = 0, n_tx = 0;
  arma::cx_mat x;  ///< [n_h, n_samples]
};

arma::uword n_blocks(arma::uword n_samples) { return (n_samples + block - 1) / block; }

/// Calls body(first, last) for blocks of columns.
template <class Body>
void for_blocks(arma::uword n_samples, unsigned n_threads, const Body& body) {
  parallel_for(n_blocks(n_samples), n_threads, [&](std::size_t i) {
    body(i * block, std::min<arma::uword>((i + 1) * block, n_samples) - 1);
  });
}

/// Columns of ln w_k CN(h_n; 0, C_k) become shares; returns the mean of their ln sum.
double share_out(arma::mat& log_terms, unsigned n_threads) {
  arma::vec sums(n_blocks(log_terms.n_cols), arma::fill::zeros);
  for_blocks(log_terms.n_cols, n_threads, [&](arma::uword first, arma::uword last) {
    arma::mat columns = log_terms.cols(first, last);
    sums(first / block) = arma::accu(normalise_log_weights(columns));
    log_terms.cols(first, last) = columns;
  });
  log_terms.clean(negligible_share);
  return arma::accu(sums) / static_cast<double>(log_terms.n_cols);
}

/// ln CN(h_n; 0, C_k), [n_components, n_samples], for x in the basis of the prior's kind.
arma::mat log_densities(const GaussianMixture& prior, const arma::cx_mat& x, unsigned n_threads,
                        bool x_is_antenna_domain) {
  const auto components = make_gmm_components(nullptr, prior, NoiseLevels::one);
  const auto level = components->at(0.0, n_threads);
  const double constant = static_cast<double>(prior.n_h()) * std::log(arma::datum::pi);
  arma::mat out(prior.n_components(), x.n_cols);
  for_blocks(x.n_cols, n_threads, [&](arma::uword first, arma::uword last) {
    const arma::cx_mat columns = x.cols(first, last);
    out.cols(first, last) =
        level->log_densities(x_is_antenna_domain ? components->observations(columns) : columns) -
        constant;
  });
  return out;
}

/// Raises the eigenvalues of a Hermitian C to `floor`: the likeliest covariance for S = C that has
/// none below.
void raise_eigenvalues(arma::cx_mat& C, double floor) {
  arma::cx_mat L, above = C;
  above.diag() -= floor;
  if (arma::chol(L, above)) return;
  arma::vec l;
  arma::cx_mat U;
  hermitian_eigen(C, l, U);
  arma::cx_mat scaled = U;
  for (arma::uword j = 0; j < l.n_elem; ++j) scaled.col(j) *= std::sqrt(std::max(l(j), floor));
  C = scaled * scaled.t();
}

/// The channels that have a share r_n in a component: S = X X^H.
struct Members {
  arma::cx_mat X;  ///< [n_h, n_members], column n times sqrt(r_n / sum r)
  Members(const arma::cx_mat& x, const arma::rowvec& shares, double sum) {
    const arma::uvec members = arma::find(shares > 0.0);
    X = x.cols(members);
    for (arma::uword i = 0; i < members.n_elem; ++i)
      X.col(i) *= std::sqrt(shares(members(i)) / sum);
  }
};

/// What distinguishes the kinds: the covariances of the most likely mixture, or of a likelier one,
/// given the shares. Component k keeps what it is where it has no share.
class Maximiser {
 public:
  virtual ~Maximiser() = default;
  /// Makes room for the covariances and starts them from the shares.
  virtual void start(const arma::mat& shares, GaussianMixture& prior) = 0;
  virtual void maximise(const arma::mat& shares, GaussianMixture& prior) = 0;
};

/// Whether anything is left of a component with this sum_n r_kn.
bool alive(double sum) { return sum > fewest_members; }

class FullMaximiser final : public Maximiser {
 public:
  FullMaximiser(const Channels& channels, double floor, unsigned n_threads)
      : x_(channels.x), floor_(floor), n_threads_(n_threads) {}

  void start(const arma::mat& shares, GaussianMixture& prior) override {
    prior.covariances.assign(shares.n_rows,
                             floor_ * arma::cx_mat(x_.n_rows, x_.n_rows, arma::fill::eye));
    maximise(shares, prior);
  }

  void maximise(const arma::mat& shares, GaussianMixture& prior) override {
    parallel_for(shares.n_rows, n_threads_, [&](std::size_t k) {
      const double sum = arma::accu(shares.row(k));
      if (!alive(sum)) return;
      const Members members(x_, shares.row(k), sum);
      prior.covariances[k] = members.X * members.X.t();
    });
    parallel_for(shares.n_rows, n_threads_,
                 [&](std::size_t k) { raise_eigenvalues(prior.covariances[k], floor_); });
  }

 private:
  const arma::cx_mat& x_;
  double floor_;
  unsigned n_threads_;
};

class DftMaximiser final : public Maximiser {
 public:
  DftMaximiser(const Channels& angular, double floor, unsigned n_threads)
      : n_rx_(angular.n_rx),
        n_tx_(angular.n_tx),
        power_(squared_magnitudes(angular.x)),
        floor_(floor),
        n_threads_(n_threads) {}

  /// Spectra of channels drawn by the seed, smoothed and mixed with the mean of all: a first
  /// partition. One component: the mean.
  GaussianMixture first(arma::uword n_components, std::uint64_t seed) const {
    const arma::vec mean = arma::mean(power_, 1);
    SpectralCovariances structure{n_rx_, n_tx_, 1, arma::repmat(mean, 1, n_components), {}};
    Rng rng(seed, {Purpose::initial_weights});
    arma::uvec order = arma::regspace<arma::uvec>(0, power_.n_cols - 1);
    for (arma::uword k = 0; k < n_components; ++k) {
      std::swap(order(k), order(k + rng.index(order.n_elem - k)));
      structure.spectra.col(k) = 0.5 * (mean + smoothed(power_.col(order(k))));
    }
    structure.spectra.clamp(floor_, arma::datum::inf);
    GaussianMixture prior;
    prior.weights.set_size(n_components);
    prior.weights.fill(1.0 / static_cast<double>(n_components));
    prior.means.zeros(power_.n_rows, n_components);
    prior.structure = std::move(structure);
    return prior;
  }

  void start(const arma::mat& shares, GaussianMixture& prior) override { maximise(shares, prior); }

  void maximise(const arma::mat& shares, GaussianMixture& prior) override {
    arma::mat& spectra = std::get<SpectralCovariances>(prior.structure).spectra;
    const arma::mat S = sample_spectra(shares);
    for (arma::uword k = 0; k < shares.n_rows; ++k) {
      if (alive(arma::accu(shares.row(k))))
        spectra.col(k) = arma::clamp(S.col(k), floor_, arma::datum::inf);
    }
  }

  /// diag(F S_k F^H) of all components, [n_h, n_components].
  arma::mat sample_spectra(const arma::mat& shares) const {
    // Blocks of rows, so that each sum runs over all channels in one order.
    arma::mat out(power_.n_rows, shares.n_rows);
    const arma::mat turned = shares.t();
    for_blocks(power_.n_rows, n_threads_, [&](arma::uword first, arma::uword last) {
      out.rows(first, last) = power_.rows(first, last) * turned;
    });
    for (arma::uword k = 0; k < shares.n_rows; ++k) {
      const double sum = arma::accu(shares.row(k));
      if (alive(sum)) out.col(k) /= sum;
    }
    return out;
  }

 private:
  // Mean over the neighbouring angles, periodic.
  arma::vec smoothed(const arma::vec& spectrum) const {
    const arma::mat grid = arma::reshape(spectrum, n_rx_, n_tx_);
    arma::mat sum(arma::size(grid), arma::fill::zeros);
    for (const arma::uword d_tx : {n_tx_ - 1, n_tx_, n_tx_ + 1}) {
      for (const arma::uword d_rx : {n_rx_ - 1, n_rx_, n_rx_ + 1}) {
        for (arma::uword t = 0; t < n_tx_; ++t) {
          for (arma::uword r = 0; r < n_rx_; ++r) {
            sum(r, t) += grid((r + d_rx) % n_rx_, (t + d_tx) % n_tx_);
          }
        }
      }
    }
    return arma::vectorise(sum) / 9.0;
  }

  arma::uword n_rx_, n_tx_;
  arma::mat power_;  // [n_h, n_samples]
  double floor_;
  unsigned n_threads_;
};

class FactorsMaximiser final : public Maximiser {
 public:
  FactorsMaximiser(const Channels& angular, const DftMaximiser& dft, arma::uword rank, double floor,
                   std::uint64_t seed, unsigned n_threads)
      : x_(angular.x), dft_(dft), rank_(rank), floor_(floor), seed_(seed), n_threads_(n_threads) {}

  /// Half the power in random mixtures of the members' channels, half in the diagonal.
  void start(const arma::mat& shares, GaussianMixture& prior) override {
    auto& structure = std::get<SpectralCovariances>(prior.structure);
    structure.spectra = arma::clamp(0.5 * structure.spectra, floor_, arma::datum::inf);
    structure.factors.assign(shares.n_rows, arma::cx_mat(x_.n_rows, rank_, arma::fill::zeros));
    parallel_for(shares.n_rows, n_threads_, [&](std::size_t k) {
      const double sum = arma::accu(shares.row(k));
      if (!alive(sum)) return;
      const Members members(x_, shares.row(k), sum);
      Rng rng(seed_, {Purpose::initial_weights, 1, k});
      structure.factors[k] =
          members.X * rng.cx_normal(members.X.n_cols, rank_, 0.5 / static_cast<double>(rank_));
    });
    maximise(shares, prior);
  }

  void maximise(const arma::mat& shares, GaussianMixture& prior) override {
    auto& structure = std::get<SpectralCovariances>(prior.structure);
    const arma::mat S = dft_.sample_spectra(shares);
    parallel_for(shares.n_rows, n_threads_, [&](std::size_t k) {
      const double sum = arma::accu(shares.row(k));
      if (!alive(sum)) return;
      const Members members(x_, shares.row(k), sum);
      arma::cx_mat& W = structure.factors[k];
      arma::cx_mat D_W = W;  // D^-1 W
      D_W.each_col() /= arma::cx_vec(structure.spectra.col(k), arma::zeros(W.n_rows));
      arma::cx_mat M = W.t() * D_W;
      M.diag() += 1.0;
      // x = W z + e: beta h is the mean of z given h, I - beta W its covariance.
      const arma::cx_mat beta = arma::solve(M, D_W.t());
      const arma::cx_mat S_beta = members.X * (beta * members.X).t();
      arma::cx_mat z_power = beta * S_beta - beta * W;
      z_power.diag() += 1.0;
      z_power = 0.5 * (z_power + z_power.t());
      W = arma::solve(z_power, S_beta.t()).t();
      structure.spectra.col(k) = arma::clamp(
          S.col(k) - arma::sum(arma::real(W % arma::conj(S_beta)), 1), floor_, arma::datum::inf);
    });
  }

 private:
  const arma::cx_mat& x_;
  const DftMaximiser& dft_;
  arma::uword rank_;
  double floor_;
  std::uint64_t seed_;
  unsigned n_threads_;
};

class ToeplitzMaximiser final : public Maximiser {
 public:
  ToeplitzMaximiser(const Channels& channels, double floor, unsigned n_threads)
      : n_rx_(channels.n_rx),
        n_tx_(channels.n_tx),
        x_(channels.x),
        Q_rx_(dft_matrix(2 * n_rx_).eval().head_cols(n_rx_)),
        Q_tx_(dft_matrix(2 * n_tx_).eval().head_cols(n_tx_).st()),
        floor_(floor),
        n_threads_(n_threads) {}

  /// The mean periodogram of the members, which has their power.
  void start(const arma::mat& shares, GaussianMixture& prior) override {
    SpectralCovariances structure{n_rx_, n_tx_, 2, {}, {}};
    structure.spectra.set_size(4 * x_.n_rows, shares.n_rows);
    structure.spectra.fill(floor_);
    parallel_for(shares.n_rows, n_threads_, [&](std::size_t k) {
      const double sum = arma::accu(shares.row(k));
      if (!alive(sum)) return;
      const Members members(x_, shares.row(k), sum);
      structure.spectra.col(k) = arma::clamp(4.0 * powers(members.X), floor_, arma::datum::inf);
    });
    prior.structure = std::move(structure);
    maximise(shares, prior);
  }

  void maximise(const arma::mat& shares, GaussianMixture& prior) override {
    parallel_for(shares.n_rows, n_threads_, [&](std::size_t k) {
      const double sum = arma::accu(shares.row(k));
      if (!alive(sum)) return;
      const Members members(x_, shares.row(k), sum);
      for (arma::uword step = 0; step < n_toeplitz_steps; ++step) {
        arma::cx_mat L;
        if (!arma::chol(L, prior.covariance(k), "lower")) {
          throw Error(ErrorKind::numeric, "fit_gmm: covariance " + std::to_string(k) +
                                              " is not positive definite; raise the "
                                              "regularisation");
        }
        const arma::cx_mat L_inverse = arma::inv(arma::trimatl(L));
        const arma::vec seen = powers(L_inverse.t() * (L_inverse * members.X));
        const arma::vec expected = powers(L_inverse.t());
        auto c = std::get<SpectralCovariances>(prior.structure).spectra.col(k);
        c = arma::clamp(c % arma::sqrt(seen / expected), floor_, arma::datum::inf);
      }
    });
  }

 private:
  /// Squared magnitudes of Q X, summed over the columns, [4 n_h].
  arma::vec powers(const arma::cx_mat& X) const {
    arma::mat sums(2 * n_rx_, 2 * n_tx_, arma::fill::zeros);
    for (arma::uword j = 0; j < X.n_cols; ++j) {
      sums += squared_magnitudes(Q_rx_ * arma::reshape(X.col(j), n_rx_, n_tx_) * Q_tx_);
    }
    return arma::vectorise(sums);
  }

  arma::uword n_rx_, n_tx_;
  const arma::cx_mat& x_;
  arma::cx_mat Q_rx_, Q_tx_;  // [2 n_rx, n_rx], [n_tx, 2 n_tx]
  double floor_;
  unsigned n_threads_;
};

/// A part of a fit: its name in the progress, and where it begins and ends in the whole.
struct Stage {
  std::string name;
  double from = 0.0, to = 1.0;
};

/// A fit under way: what it was told, to whom it reports and who stops it.
class Run {
 public:
  Run(const GmmFitOptions& told, const RunControl& control) : options(told), control_(control) {}

  const GmmFitOptions& options;

  /// After step `i` of a stage.
  void report(const Stage& stage, arma::uword i, double log_likelihood) const {
    if (!control_.on_progress) return;
    Progress progress;
    progress.fraction = stage.from + (stage.to - stage.from) * static_cast<double>(i) /
                                         static_cast<double>(options.max_iterations);
    progress.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    // EM ends when it stands still, which cannot be foreseen.
    progress.seconds_left = -1.0;
    progress.text = stage.name + " step " + std::to_string(i) + ", log-likelihood " +
                    std::to_string(log_likelihood);
    control_.on_progress(progress);
  }
  bool stopped() const { return control_.stopped(); }

 private:
  const RunControl& control_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void update_weights(const arma::mat& shares, GaussianMixture& prior) {
  prior.weights = arma::sum(shares, 1) / static_cast<double>(shares.n_cols);
  prior.weights /= arma::accu(prior.weights);
}

/// Whether the last step was worth another.
bool rises(const std::vector<double>& values, const GmmFitOptions& options, arma::uword n_h) {
  if (values.size() < 2) return true;
  const double rise = values.back() - values[values.size() - 2];
  return rise >= options.tolerance * static_cast<double>(n_h);
}

/// EM from the covariances and weights in `prior`; the log-likelihoods.
std::vector<double> expectation_maximisation(const arma::cx_mat& x, Maximiser& maximiser,
                                             arma::uword max_iterations, const Run& run,
                                             const Stage& stage, GaussianMixture& prior) {
  const unsigned n_threads = run.options.n_threads;
  std::vector<double> values;
  for (arma::uword i = 0;; ++i) {
    arma::mat shares = log_densities(prior, x, n_threads, false);
    shares.each_col() += arma::log(prior.weights);
    values.push_back(share_out(shares, n_threads));
    run.report(stage, i, values.back());
    if (i == max_iterations || !rises(values, run.options, x.n_rows) || run.stopped()) {
      return values;
    }
    maximiser.maximise(shares, prior);
    update_weights(shares, prior);
  }
}

/// A mixture of every kind but kronecker, for channels in the antenna domain.
std::vector<double> fit_kind(const Channels& channels, MixtureCovariance kind,
                             arma::uword n_components, const Run& run, const Stage& stage,
                             GaussianMixture& prior) {
  const GmmFitOptions& options = run.options;
  const double floor = options.regularisation;
  Channels angular{channels.n_rx, channels.n_tx, arma::cx_mat(arma::size(channels.x))};
  const AngularTransform transform(channels.n_rx, channels.n_tx);
  for_blocks(channels.x.n_cols, options.n_threads, [&](arma::uword first, arma::uword last) {
    angular.x.cols(first, last) = transform.forward(arma::cx_mat(channels.x.cols(first, last)));
  });
  DftMaximiser dft(angular, floor, options.n_threads);
  prior = dft.first(n_components, options.seed);
  if (kind == MixtureCovariance::dft) {
    return expectation_maximisation(angular.x, dft, options.max_iterations, run, stage, prior);
  }
  expectation_maximisation(angular.x, dft, n_warm_steps, run, {"start:", stage.from, stage.from},
                           prior);
  arma::mat shares = log_densities(prior, angular.x, options.n_threads, false);
  shares.each_col() += arma::log(prior.weights);
  share_out(shares, options.n_threads);
  const auto go_on = [&](Maximiser& maximiser, const arma::cx_mat& x) {
    maximiser.start(shares, prior);
    return expectation_maximisation(x, maximiser, options.max_iterations, run, stage, prior);
  };
  if (kind == MixtureCovariance::factors) {
    FactorsMaximiser maximiser(angular, dft, options.rank, floor, options.seed, options.n_threads);
    return go_on(maximiser, angular.x);
  }
  angular.x.reset();
  if (kind == MixtureCovariance::toeplitz) {
    ToeplitzMaximiser maximiser(channels, floor, options.n_threads);
    return go_on(maximiser, channels.x);
  }
  prior.structure = {};
  FullMaximiser maximiser(channels, floor, options.n_threads);
  return go_on(maximiser, channels.x);
}

/// Koller's combination of one mixture per side; channels of power 1 per entry.
std::vector<double> fit_kronecker(const Channels& channels, const Run& run,
                                  GaussianMixture& prior) {
  const GmmFitOptions& options = run.options;
  const arma::uword n_rx = channels.n_rx, n_tx = channels.n_tx, n = channels.x.n_cols;
  GaussianMixture rx, tx;
  {
    const Channels columns{n_rx, 1, arma::reshape(channels.x, n_rx, n_tx * n)};
    fit_kind(columns, MixtureCovariance::full, options.n_components_rx, run,
             {"receive side,", 0.0, 0.6}, rx);
  }
  {
    Channels rows{n_tx, 1, arma::cx_mat(n_tx, n_rx * n)};
    for (arma::uword j = 0; j < n; ++j) {
      rows.x.cols(j * n_rx, (j + 1) * n_rx - 1) = arma::reshape(channels.x.col(j), n_rx, n_tx).st();
    }
    fit_kind(rows, MixtureCovariance::full, options.n_components_tx, run,
             {"transmit side,", 0.6, 0.9}, tx);
  }
  prior.weights = arma::vectorise(rx.weights * tx.weights.t());
  prior.means.zeros(n_rx * n_tx, prior.weights.n_elem);
  prior.structure = KroneckerCovariances{std::move(rx.covariances), std::move(tx.covariances)};

  const arma::mat densities = log_densities(prior, channels.x, options.n_threads, false);
  std::vector<double> values;
  for (arma::uword i = 0;; ++i) {
    arma::mat shares = densities;
    shares.each_col() += arma::log(prior.weights);
    values.push_back(share_out(shares, options.n_threads));
    run.report({"pairs,", 0.9, 1.0}, i, values.back());
    if (i == options.max_iterations || !rises(values, options, n_rx * n_tx) || run.stopped()) break;
    update_weights(shares, prior);
  }
  return values;
}

arma::cx_mat read_all(const SampleReader& samples) {
  arma::cx_mat h(samples.n_h(), samples.n_samples);
  for (arma::uword first = 0; first < samples.n_samples; first += block) {
    const arma::uword count = std::min(block, samples.n_samples - first);
    h.cols(first, first + count - 1) = samples.read(first, count);
  }
  return h;
}

std::string out_of_range(const std::string& field, const std::string& value,
                         const std::string& range) {
  return field + " is " + value + ", it must be " + range;
}

}  // namespace

std::string GmmFitOptions::why_invalid() const {
  const auto below_one = [](const char* field, arma::uword value) {
    return value == 0 ? out_of_range(field, "0", "at least 1") : std::string();
  };
  std::vector<std::string> reasons{below_one("max_iterations", max_iterations),
                                   below_one("n_threads", n_threads)};
  if (covariance == MixtureCovariance::kronecker) {
    reasons.push_back(below_one("n_components_rx", n_components_rx));
    reasons.push_back(below_one("n_components_tx", n_components_tx));
  } else {
    reasons.push_back(below_one("n_components", n_components));
  }
  if (covariance == MixtureCovariance::factors) reasons.push_back(below_one("rank", rank));
  if (!(regularisation > 0.0 && regularisation < 1.0)) {
    reasons.push_back(
        out_of_range("regularisation", std::to_string(regularisation), "above 0 and below 1"));
  }
  if (!(tolerance >= 0.0) || !std::isfinite(tolerance)) {
    reasons.push_back(
        out_of_range("tolerance", std::to_string(tolerance), "finite and not negative"));
  }
  for (const std::string& reason : reasons) {
    if (!reason.empty()) return reason;
  }
  return {};
}

GmmModel fit_gmm(const SampleReader& samples, const GmmFitOptions& options,
                 const RunControl& control) {
  const auto refuse = [](const std::string& why) {
    throw Error(ErrorKind::invalid_argument, "fit_gmm: " + why);
  };
  if (const std::string why = options.why_invalid(); !why.empty()) refuse(why);
  const bool kronecker = options.covariance == MixtureCovariance::kronecker;
  const auto check_count = [&](const char* field, arma::uword value, arma::uword most) {
    if (value > most) {
      refuse(out_of_range(field, std::to_string(value),
                          "at most " + std::to_string(most) + " for " +
                              std::to_string(samples.n_samples) + " channels " +
                              std::to_string(samples.n_rx) + "x" + std::to_string(samples.n_tx)));
    }
  };
  if (samples.n_samples == 0) refuse("there are no samples");
  if (kronecker) {
    check_count("n_components_rx", options.n_components_rx, samples.n_samples * samples.n_tx);
    check_count("n_components_tx", options.n_components_tx, samples.n_samples * samples.n_rx);
  } else {
    check_count("n_components", options.n_components, samples.n_samples);
  }
  if (options.covariance == MixtureCovariance::factors) {
    check_count("rank", options.rank, samples.n_h());
  }

  const OneBlasThread one_blas_thread;
  Channels channels{samples.n_rx, samples.n_tx, read_all(samples)};
  const double power = squared_norm(channels.x) / static_cast<double>(channels.x.n_elem);
  if (!(power > 0.0) || !std::isfinite(power)) {
    throw Error(ErrorKind::numeric,
                "fit_gmm: the mean power of the channels is " + std::to_string(power));
  }
  channels.x /= std::sqrt(power);  // the scales of the two sides of kronecker multiply

  GmmModel model;
  model.n_rx = samples.n_rx;
  model.n_tx = samples.n_tx;
  model.n_samples = samples.n_samples;
  const Run run(options, control);
  const std::vector<double> values =
      kronecker ? fit_kronecker(channels, run, model.prior)
                : fit_kind(channels, options.covariance, options.n_components, run,
                           {to_string(options.covariance)}, model.prior);
  model.prior = model.prior.scaled(std::sqrt(power));
  // ln p(h) of the channels as they are.
  model.log_likelihoods = arma::vec(values) - static_cast<double>(samples.n_h()) * std::log(power);
  return model;
}

double mean_log_likelihood(const GaussianMixture& prior, const SampleReader& samples,
                           unsigned n_threads) {
  std::string why = prior.why_invalid();
  if (why.empty() && samples.n_samples == 0) why = "there are no samples";
  if (why.empty() && samples.n_h() != prior.n_h()) {
    why = "the channels have " + std::to_string(samples.n_h()) + " entries, the prior is for " +
          std::to_string(prior.n_h());
  }
  if (!why.empty()) throw Error(ErrorKind::invalid_argument, "mean_log_likelihood: " + why);
  const OneBlasThread one_blas_thread;
  arma::mat terms = log_densities(prior, read_all(samples), n_threads, true);
  terms.each_col() += arma::log(prior.weights);
  return share_out(terms, n_threads);
}

}  // namespace v0
}  // namespace chest
