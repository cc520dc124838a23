#include <chest/sim/pilot_design.hpp>

#include <cmath>
#include <complex>
#include <numbers>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

template <class Kind>
struct Name {
  Kind kind;
  const char* name;
};
constexpr Name<CandidateKind> candidate_names[] = {
    {CandidateKind::dft, "dft"},
    {CandidateKind::dft_oversampled, "dft-oversampled"},
    {CandidateKind::antennas, "antennas"},
    {CandidateKind::qpsk, "qpsk"}};
constexpr Name<PilotCriterion> criterion_names[] = {{PilotCriterion::trace, "trace"},
                                                    {PilotCriterion::entropy, "entropy"},
                                                    {PilotCriterion::variance, "variance"}};

template <class Names, class Kind>
const char* name_of(const Names& names, Kind kind) {
  for (const auto& entry : names)
    if (entry.kind == kind) return entry.name;
  return "";
}

template <class Names>
auto from_name(const Names& names, const char* what, const std::string& text) {
  std::vector<std::string> known;
  for (const auto& entry : names) {
    if (text == entry.name) return entry.kind;
    known.emplace_back(entry.name);
  }
  const std::string near = nearest(text, known);
  refuse("there is no " + std::string(what) + " '" + text + "'" +
         (near.empty() ? "." : ", did you mean " + near + "?") + " Known are " + enumerate(known) +
         ".");
}

void check_sigma2(double sigma2) {
  if (!(sigma2 > 0.0) || !std::isfinite(sigma2))
    refuse("sigma2 is " + number_text(sigma2) + ", expected > 0");
}

void check_count(arma::uword n_pilots, arma::uword n_candidates) {
  if (n_pilots == 0 || n_pilots > n_candidates)
    refuse("n_pilots is " + std::to_string(n_pilots) + ", expected 1 .. " +
           std::to_string(n_candidates) + ", the number of candidates");
}

/// n_rx of channels with n_h entries for pilots of n_tx entries.
arma::uword check_sizes(arma::uword n_h, const arma::cx_mat& P) {
  if (P.is_empty() || n_h == 0 || n_h % P.n_rows != 0)
    refuse("pilots are [" + std::to_string(P.n_rows) + ", " + std::to_string(P.n_cols) +
           "] for n_h = " + std::to_string(n_h) + ", expected [n_tx, n] with n_tx a part of n_h");
  return n_h / P.n_rows;
}

arma::uword check_covariance(const arma::cx_mat& C, const arma::cx_mat& P) {
  if (C.n_rows != C.n_cols)
    refuse("the covariance is " + std::to_string(C.n_rows) + "x" + std::to_string(C.n_cols) +
           ", expected a square one");
  return check_sizes(C.n_rows, P);
}

/// One received pilot under a Gaussian prior.
struct Look {
  arma::cx_mat B;  ///< A_c C, [n_rx, n_h]
  arma::cx_mat S;  ///< A_c C A_c^H + sigma2 I, [n_rx, n_rx]

  Look(const arma::cx_mat& C, const arma::cx_vec& p, double sigma2) {
    const arma::uword n_rx = C.n_rows / p.n_elem;
    B.zeros(n_rx, C.n_cols);
    S.zeros(n_rx, n_rx);
    for (arma::uword i = 0; i < p.n_elem; ++i)
      if (p(i) != 0.0) B += p(i) * C.rows(i * n_rx, (i + 1) * n_rx - 1);
    for (arma::uword i = 0; i < p.n_elem; ++i)
      if (p(i) != 0.0) S += std::conj(p(i)) * B.cols(i * n_rx, (i + 1) * n_rx - 1);
    S = 0.5 * (S + S.t());
    S.diag() += sigma2;
  }

  /// S = L L^H.
  arma::cx_mat L() const {
    arma::cx_mat L;
    if (!arma::chol(L, S, "lower"))
      throw Error(
          ErrorKind::numeric,
          "pilot design: A C A^H + sigma2 I is not positive definite: C is not a covariance");
    return L;
  }
  /// L^-1 B: C falls by F^H F.
  arma::cx_mat F() const { return arma::solve(arma::trimatl(L()), B, arma::solve_opts::fast); }
};

double total_power(const arma::cx_mat& values) {
  return arma::accu(arma::square(arma::abs(values)));
}

double criterion_of(const Look& look, double sigma2, PilotCriterion criterion) {
  switch (criterion) {
    case PilotCriterion::trace:
      return total_power(look.F());
    case PilotCriterion::entropy:
      return 2.0 * arma::accu(arma::log(arma::real(look.L().diag()))) -
             double(look.S.n_rows) * std::log(sigma2);
    case PilotCriterion::variance:
      break;
  }
  return arma::trace(look.S).real() - double(look.S.n_rows) * sigma2;
}

/// The candidate of the largest score that is not in `chosen`.
arma::uword best_of(arma::vec scores, const arma::uvec& chosen) {
  scores.elem(chosen).fill(-arma::datum::inf);
  return scores.index_max();
}

/// Pilots on their way to one channel after the other: what is received when a candidate is sent
/// depends on the candidate and the channel alone.
class Link {
 public:
  Link(const arma::cx_mat& h, const arma::cx_mat& candidates, double sigma2, std::uint64_t seed)
      : h_(h),
        candidates_(candidates),
        n_rx_(check_sizes(h.n_rows, candidates)),
        sigma2_(sigma2),
        seed_(seed) {
    check_sigma2(sigma2);
    if (h.is_empty()) refuse("there are no channels");
  }

  /// y of these candidates for channel k.
  arma::cx_vec receive(arma::uword k, const arma::uvec& chosen) const {
    const arma::cx_mat H = arma::reshape(h_.col(k), n_rx_, candidates_.n_rows);
    arma::cx_mat Y = H * candidates_.cols(chosen);
    for (arma::uword j = 0; j < chosen.n_elem; ++j) {
      Rng rng(seed_, {Purpose::noise, k, chosen(j)});
      Y.col(j) += rng.cx_normal(n_rx_, 1, sigma2_);
    }
    return arma::vectorise(Y);
  }
  std::shared_ptr<const ObservationOperator> observation(const arma::uvec& chosen) const {
    return make_kronecker_observation(candidates_.cols(chosen), n_rx_);
  }

 private:
  const arma::cx_mat& h_;
  const arma::cx_mat& candidates_;
  arma::uword n_rx_;
  double sigma2_;
  std::uint64_t seed_;
};

}  // namespace

const char* to_string(CandidateKind kind) { return name_of(candidate_names, kind); }
CandidateKind candidate_kind_from_string(const std::string& text) {
  return from_name(candidate_names, "kind of candidates", text);
}
const char* to_string(PilotCriterion criterion) { return name_of(criterion_names, criterion); }
PilotCriterion pilot_criterion_from_string(const std::string& text) {
  return from_name(criterion_names, "criterion", text);
}

arma::cx_mat pilot_candidates(CandidateKind kind, arma::uword n_tx, std::uint64_t seed) {
  if (n_tx == 0 || n_tx > 1024) refuse("n_tx is " + std::to_string(n_tx) + ", expected 1 .. 1024");
  PilotSpec spec;
  switch (kind) {
    case CandidateKind::dft:
      spec.kind = PilotKind::dft;
      break;
    case CandidateKind::qpsk:
      spec.kind = PilotKind::qpsk;
      spec.n_pilots = 4 * n_tx;
      break;
    case CandidateKind::antennas:
      break;
    case CandidateKind::dft_oversampled: {
      const arma::uword n = 4 * n_tx;
      arma::cx_mat P(n_tx, n);
      for (arma::uword j = 0; j < n; ++j)
        for (arma::uword i = 0; i < n_tx; ++i)
          P(i, j) = std::polar(1.0 / std::sqrt(double(n_tx)),
                               -2.0 * std::numbers::pi * double(i * j % n) / double(n));
      return P;
    }
  }
  return make_pilots(spec, n_tx, seed).P;
}

arma::vec pilot_scores(const arma::cx_mat& C, const arma::cx_mat& candidates, double sigma2,
                       PilotCriterion criterion, unsigned n_threads) {
  check_covariance(C, candidates);
  check_sigma2(sigma2);
  arma::vec scores(candidates.n_cols);
  parallel_for(candidates.n_cols, n_threads, [&](std::size_t c) {
    scores(c) = criterion_of(Look(C, candidates.col(c), sigma2), sigma2, criterion);
  });
  return scores;
}

PilotDesign design_pilots(const arma::cx_mat& C, const arma::cx_mat& candidates,
                          const PilotDesignOptions& options) {
  check_covariance(C, candidates);
  check_count(options.n_pilots, candidates.n_cols);
  const double power = arma::trace(C).real();
  arma::cx_mat left = C;
  PilotDesign design;
  design.nmse.set_size(options.n_pilots);
  for (arma::uword i = 0; i < options.n_pilots; ++i) {
    const arma::vec scores =
        pilot_scores(left, candidates, options.sigma2, options.criterion, options.n_threads);
    const arma::uword c = best_of(scores, design.chosen);
    const arma::cx_mat F = Look(left, candidates.col(c), options.sigma2).F();
    left -= F.t() * F;
    design.chosen.insert_rows(i, arma::uvec{c});
    design.nmse(i) = arma::trace(left).real() / power;
  }
  design.P = candidates.cols(design.chosen);
  return design;
}

arma::vec predicted_lmmse_nmse(const arma::cx_mat& C, const arma::cx_mat& P, double sigma2) {
  check_covariance(C, P);
  check_sigma2(sigma2);
  const double power = arma::trace(C).real();
  arma::cx_mat left = C;
  arma::vec nmse(P.n_cols);
  for (arma::uword i = 0; i < P.n_cols; ++i) {
    const arma::cx_mat F = Look(left, P.col(i), sigma2).F();
    left -= F.t() * F;
    nmse(i) = arma::trace(left).real() / power;
  }
  return nmse;
}

PosteriorSampler make_mixture_sampler(GaussianMixture prior, std::uint64_t seed) {
  if (const std::string why = prior.why_invalid(); !why.empty()) refuse(why);
  return [prior = std::move(prior), seed](const ObservationOperator& A, const arma::cx_vec& y,
                                          double sigma2, arma::uword n_particles,
                                          std::uint64_t stream) {
    Rng rng(seed, {Purpose::estimator, stream, A.n_obs()});
    return draw(mixture_posterior(prior, A, y, sigma2), n_particles, rng);
  };
}

PosteriorSampler make_estimator_sampler(EstimatorMaker make, std::uint64_t seed) {
  return [make = std::move(make), seed](const ObservationOperator& A, const arma::cx_vec& y,
                                        double sigma2, arma::uword n_particles,
                                        std::uint64_t stream) {
    Observation observation;
    observation.sigma2 = sigma2;
    // One y, a sample number for each draw.
    observation.seed = Rng(seed, {Purpose::estimator, stream, A.n_obs()})();
    observation.y = arma::repmat(y, 1, n_particles);
    // The estimator ends here, A does not.
    const std::shared_ptr<const ObservationOperator> alias(std::shared_ptr<void>(), &A);
    arma::cx_mat h = make(alias)->estimate(observation).h;
    const arma::cx_vec mean = arma::mean(h, 1);
    if (total_power(h.each_col() - mean) < 1e-9 * sigma2 * double(n_particles))
      refuse(
          "the estimator gives one estimate for one y; expected one that samples, as a walk with "
          "the update ancestral or fresh");
    return h;
  };
}

PilotScore make_particle_score(PosteriorSampler sampler, arma::cx_mat candidates,
                               PilotCriterion criterion, arma::uword n_particles) {
  if (criterion == PilotCriterion::trace)
    refuse("the criterion is trace, expected variance or entropy for particles");
  if (n_particles < 2)
    refuse("n_particles is " + std::to_string(n_particles) + ", expected 2 or more");
  return
      [=, sampler = std::move(sampler), candidates = std::move(candidates)](const Received& known) {
        const arma::cx_mat h = sampler(*known.A, known.y, known.sigma2, n_particles, known.stream);
        const arma::uword n_rx = check_sizes(h.n_rows, candidates);
        // Predictions of one candidate after the other, [n_rx, n_candidates] per particle.
        arma::cx_cube Y(n_rx, candidates.n_cols, n_particles);
        for (arma::uword i = 0; i < n_particles; ++i)
          Y.slice(i) = arma::reshape(h.col(i), n_rx, candidates.n_rows) * candidates;
        arma::vec scores(candidates.n_cols);
        const double n = double(n_particles);
        for (arma::uword c = 0; c < candidates.n_cols; ++c) {
          arma::mat d2(n_particles, n_particles, arma::fill::zeros);
          for (arma::uword i = 0; i < n_particles; ++i) {
            for (arma::uword j = 0; j < i; ++j) {
              const arma::cx_double *a = Y.slice_colptr(i, c), *b = Y.slice_colptr(j, c);
              double sum = 0.0;
              for (arma::uword r = 0; r < n_rx; ++r) sum += std::norm(a[r] - b[r]);
              d2(i, j) = d2(j, i) = sum;
            }
          }
          scores(c) =
              criterion == PilotCriterion::variance
                  ? arma::accu(d2) / (2.0 * n * n)
                  : -arma::mean(arma::log(arma::mean(arma::exp(d2 / (-2.0 * known.sigma2)), 1)));
        }
        return scores;
      };
}

PilotScore make_mixture_score(GaussianMixture prior, arma::cx_mat candidates) {
  if (const std::string why = prior.why_invalid(); !why.empty()) refuse(why);
  check_sizes(prior.n_h(), candidates);
  return [prior = std::move(prior), candidates = std::move(candidates)](const Received& known) {
    const GaussianMixture posterior = mixture_posterior(prior, *known.A, known.y, known.sigma2);
    const arma::cx_vec mean = posterior.means * posterior.weights;
    const arma::cx_mat C = second_moment(posterior) - mean * mean.t();
    return pilot_scores(C, candidates, known.sigma2, PilotCriterion::variance);
  };
}

arma::umat choose_pilots(const arma::cx_mat& h, const arma::cx_mat& candidates,
                         const PilotScore& score, const FeedbackOptions& options) {
  const Link link(h, candidates, options.sigma2, options.seed);
  check_count(options.n_pilots, candidates.n_cols);
  if (options.first >= candidates.n_cols)
    refuse("first is " + std::to_string(options.first) + ", expected 0 .. " +
           std::to_string(candidates.n_cols - 1));
  const auto scores_of = [&](arma::uword k, const arma::uvec& chosen) {
    arma::vec scores =
        score({link.observation(chosen), link.receive(k, chosen), options.sigma2, k});
    if (scores.n_elem != candidates.n_cols || scores.has_nan())
      throw Error(ErrorKind::numeric, "pilot design: the score of channel " + std::to_string(k) +
                                          " is not a number for each candidate");
    return scores;
  };
  if (!options.common) {
    arma::umat chosen(options.n_pilots, h.n_cols);
    chosen.row(0).fill(options.first);
    parallel_for(h.n_cols, options.n_threads, [&](std::size_t k) {
      for (arma::uword i = 1; i < options.n_pilots; ++i) {
        const arma::uvec sent = chosen.col(k).head(i);
        chosen(i, k) = best_of(scores_of(k, sent), sent);
      }
    });
    return chosen;
  }
  arma::uvec sent{options.first};
  arma::mat scores(candidates.n_cols, h.n_cols);
  for (arma::uword i = 1; i < options.n_pilots; ++i) {
    parallel_for(h.n_cols, options.n_threads,
                 [&](std::size_t k) { scores.col(k) = scores_of(k, sent); });
    sent.insert_rows(i, arma::uvec{best_of(arma::mean(scores, 1), sent)});
  }
  return sent;
}

arma::vec pilot_nmse(const arma::cx_mat& h, const arma::cx_mat& candidates,
                     const arma::umat& chosen, const arma::uvec& counts, const EstimatorMaker& make,
                     double sigma2, std::uint64_t seed, unsigned n_threads) {
  const Link link(h, candidates, sigma2, seed);
  if (chosen.n_cols != 1 && chosen.n_cols != h.n_cols)
    refuse("pilots are chosen for " + std::to_string(chosen.n_cols) + " channels, expected 1 or " +
           std::to_string(h.n_cols));
  if (chosen.is_empty() || chosen.max() >= candidates.n_cols)
    refuse("chosen pilots are not among the " + std::to_string(candidates.n_cols) + " candidates");
  if (counts.is_empty() || counts.min() == 0 || counts.max() > chosen.n_rows)
    refuse("counts are not in 1 .. " + std::to_string(chosen.n_rows) + ", the pilots chosen");

  // Channels that share their pilots share an estimator and go through it in blocks.
  const bool common = chosen.n_cols == 1;
  const arma::uword block = common ? 64 : 1, n_blocks = (h.n_cols + block - 1) / block;
  arma::mat errors(h.n_cols, counts.n_elem);
  for (arma::uword i = 0; i < counts.n_elem; ++i) {
    std::shared_ptr<const Estimator> shared;
    if (common) shared = make(link.observation(chosen.col(0).head(counts(i))));
    parallel_for(n_blocks, n_threads, [&](std::size_t b) {
      const arma::uword first = b * block, end = std::min(first + block, h.n_cols);
      const arma::uvec sent = chosen.col(common ? 0 : b).head(counts(i));
      const auto own = common ? shared : make(link.observation(sent));
      Observation observation;
      observation.sigma2 = sigma2;
      observation.first_sample = first;
      observation.y.set_size(sent.n_elem * (h.n_rows / candidates.n_rows), end - first);
      for (arma::uword k = first; k < end; ++k)
        observation.y.col(k - first) = link.receive(k, sent);
      errors.submat(first, i, end - 1, i) =
          squared_errors(own->estimate(observation).h, h.cols(first, end - 1));
    });
  }
  return arma::sum(errors, 0).t() / arma::accu(squared_norms(h));
}

arma::umat random_choice(arma::uword n_candidates, arma::uword n_pilots, arma::uword n_samples,
                         std::uint64_t seed) {
  check_count(n_pilots, n_candidates);
  arma::umat chosen(n_pilots, n_samples);
  for (arma::uword k = 0; k < n_samples; ++k) {
    Rng rng(seed, {Purpose::pilots, 1, k});
    arma::uvec all = arma::regspace<arma::uvec>(0, n_candidates - 1);
    for (arma::uword i = 0; i < n_pilots; ++i) {
      std::swap(all(i), all(i + rng.index(n_candidates - i)));
      chosen(i, k) = all(i);
    }
  }
  return chosen;
}

arma::uvec uniform_choice(arma::uword n_candidates, arma::uword n_pilots) {
  check_count(n_pilots, n_candidates);
  arma::uvec chosen(n_pilots);
  for (arma::uword i = 0; i < n_pilots; ++i) chosen(i) = i * n_candidates / n_pilots;
  return chosen;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
