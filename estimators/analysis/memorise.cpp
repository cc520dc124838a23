#include <chest/estimators/analysis/memorise.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include <chest/error.hpp>
#include <chest/estimators/diffusion/sampler.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr std::uint64_t memorise_stream = 3400;

/// A denoiser that someone else keeps.
std::shared_ptr<const Denoiser> borrowed(const Denoiser& denoiser) {
  return {&denoiser, [](const Denoiser*) {}};
}

/// |x^H y| / (||x|| ||y||) of all pairs of columns.
arma::mat cosines(const arma::cx_mat& x, const arma::cx_mat& y) {
  return arma::abs(arma::normalise(x).t() * arma::normalise(y));
}

/// Whether the nearest column, up to a common phase, is 3 times nearer than the next.
bool is_copy(const arma::cx_vec& x, const arma::cx_mat& of) {
  if (of.n_cols < 2) return false;
  const arma::rowvec inner = arma::abs(x.t() * of);
  arma::vec distances(of.n_cols);
  for (arma::uword k = 0; k < of.n_cols; ++k) {
    distances(k) = std::max(squared_norm(x) + squared_norm(of.col(k)) - 2.0 * inner(k), 0.0);
  }
  distances = arma::sort(distances);
  return std::sqrt(distances(0)) < std::sqrt(distances(1)) / 3.0;
}

arma::cx_mat some(const arma::cx_mat& h, arma::uword n) {
  return h.head_cols(std::min(n, h.n_cols));
}

MemoriseLevel level_of(const MemorisePair& pair, double snr_db, std::uint64_t index,
                       const MemoriseOptions& options) {
  const double sigma2 = from_db(-snr_db);
  const auto noisy = [&](const arma::cx_mat& h, std::uint64_t set) {
    Rng rng(options.seed, {Purpose::validation, memorise_stream + set, index});
    return arma::cx_mat(h + rng.cx_normal(h.n_rows, h.n_cols, sigma2));
  };
  MemoriseLevel out{snr_db};
  const arma::cx_mat h_a = some(pair.train_a, options.most_channels);
  const arma::cx_mat h_b = some(pair.train_b, options.most_channels);
  out.nmse_train = 0.5 * (nmse(pair.a.denoise(noisy(h_a, 0), sigma2), h_a) +
                          nmse(pair.b.denoise(noisy(h_b, 1), sigma2), h_b));
  const arma::cx_mat h = some(pair.test, options.most_channels), z = noisy(h, 2);
  const arma::cx_mat D_a = pair.a.denoise(z, sigma2), D_b = pair.b.denoise(z, sigma2);
  out.nmse_test = 0.5 * (nmse(D_a, h) + nmse(D_b, h));
  out.disagreement = squared_norm(D_a - D_b) / squared_norm(h);
  const arma::cx_mat r_a = z - D_a, r_b = z - D_b;
  out.cosine = std::real(arma::cdot(arma::vectorise(r_a), arma::vectorise(r_b))) /
               std::sqrt(squared_norm(r_a) * squared_norm(r_b));
  return out;
}

}  // namespace

bool MemoriseReport::memorised() const {
  return copies > 0.05 || std::any_of(levels.begin(), levels.end(), [](const MemoriseLevel& l) {
           return to_db(l.nmse_test) - to_db(l.nmse_train) > 1.0;
         });
}

bool MemoriseReport::generalised() const {
  return std::all_of(levels.begin(), levels.end(), [](const MemoriseLevel& l) {
    return to_db(l.disagreement) <= to_db(l.nmse_test) - 6.0;
  });
}

MemoriseReport compare_fits(const MemorisePair& pair, arma::uword n_rx, arma::uword n_tx,
                            const MemoriseOptions& options) {
  for (const arma::cx_mat* h : {&pair.train_a, &pair.train_b, &pair.test}) {
    if (h->n_cols == 0) refuse("memorise: a set of channels is empty");
    if (h->n_rows != pair.a.n_h() || h->n_rows != pair.b.n_h()) {
      refuse("memorise: channels of " + std::to_string(h->n_rows) + " entries, the priors have " +
             std::to_string(pair.a.n_h()) + " and " + std::to_string(pair.b.n_h()));
    }
  }
  MemoriseReport out;
  for (std::size_t i = 0; i < options.snr_db.size(); ++i) {
    out.levels.push_back(level_of(pair, options.snr_db[i], i, options));
  }
  if (options.n_samples == 0) return out;
  NamedOptions spec;
  spec.name = spec.text = "heun";
  arma::cx_mat samples[2];
  const Denoiser* const denoisers[] = {&pair.a, &pair.b};
  const arma::cx_mat* const trains[] = {&pair.train_a, &pair.train_b};
  arma::vec nearest(2 * options.n_samples);
  double n_copies = 0.0;
  for (arma::uword j = 0; j < 2; ++j) {
    SamplePrior prior;
    prior.denoiser = borrowed(*denoisers[j]);
    prior.n_rx = n_rx;
    prior.n_tx = n_tx;
    samples[j] = draw_samples(*make_sampler(spec, prior, options.n_calls), options.seed,
                              options.n_samples, options.n_threads);
    nearest.subvec(j * options.n_samples, (j + 1) * options.n_samples - 1) =
        arma::max(cosines(samples[j], *trains[j]), 1);
    for (arma::uword k = 0; k < options.n_samples; ++k) {
      n_copies += is_copy(samples[j].col(k), *trains[j]) ? 1.0 : 0.0;
    }
  }
  arma::vec same(options.n_samples);
  for (arma::uword k = 0; k < options.n_samples; ++k) {
    same(k) = arma::as_scalar(cosines(samples[0].col(k), samples[1].col(k)));
  }
  out.cosine_samples = arma::median(same);
  out.cosine_train = arma::median(nearest);
  out.cosine_fresh = arma::median(
      arma::vec(arma::max(cosines(some(pair.test, options.most_channels), pair.train_a), 1)));
  out.copies = n_copies / static_cast<double>(2 * options.n_samples);
  return out;
}

}  // namespace v0
}  // namespace chest
