#include <chest/estimators/analysis/compare.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <utility>

#include <chest/angular.hpp>
#include <chest/error.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// Streams below the seed.
enum : std::uint64_t { projections_stream = 3000, permutations_stream, noise_stream };

/// ||x_i - x_j||^2 of all columns; up to a common phase of each where `any_phase`.
arma::mat squared_distances(const arma::cx_mat& x, bool any_phase) {
  const arma::cx_mat gram = x.t() * x;
  const arma::vec norms = arma::real(gram.diag());
  arma::mat out =
      any_phase ? arma::mat(-2.0 * arma::abs(gram)) : arma::mat(-2.0 * arma::real(gram));
  out.each_col() += norms;
  out.each_row() += norms.t();
  out = arma::clamp(out, 0.0, arma::datum::inf);
  out.diag().zeros();
  return out;
}

/// Of the pairs i < j.
double median_of_pairs(const arma::mat& distances) {
  std::vector<double> pairs;
  for (arma::uword j = 1; j < distances.n_cols; ++j) {
    for (arma::uword i = 0; i < j; ++i) pairs.push_back(distances(i, j));
  }
  const auto middle = pairs.begin() + static_cast<std::ptrdiff_t>(pairs.size() / 2);
  std::nth_element(pairs.begin(), middle, pairs.end());
  return std::max(*middle, 1e-300);
}

/// Which of the pooled samples belong to a: 1 or 0.
using Labels = arma::vec;
using Statistic = std::function<double(const Labels&)>;

/// Unbiased, from the kernel of all pairs.
Statistic mmd_of(arma::mat distances, double b) {
  if (b == 0.0) b = median_of_pairs(distances);
  auto kernel = std::make_shared<arma::mat>(arma::exp(-distances / b));
  kernel->diag().zeros();
  const double all = arma::accu(*kernel);
  return [kernel, all](const Labels& in_a) {
    const arma::vec to_a = *kernel * in_a;
    const double n_a = arma::accu(in_a), n_b = static_cast<double>(in_a.n_elem) - n_a;
    const double aa = arma::dot(in_a, to_a), ab = arma::accu(to_a) - aa, bb = all - aa - 2.0 * ab;
    return aa / (n_a * (n_a - 1.0)) + bb / (n_b * (n_b - 1.0)) - 2.0 * ab / (n_a * n_b);
  };
}

/// Wasserstein-1 distance, averaged over the rows of `values`, [n_rows, n_pooled].
Statistic wasserstein_of(const arma::mat& values) {
  struct Sorted {
    arma::uvec order;
    arma::vec gaps;  // from each value to the next
  };
  auto rows = std::make_shared<std::vector<Sorted>>();
  for (arma::uword i = 0; i < values.n_rows; ++i) {
    const arma::rowvec row = values.row(i);
    Sorted sorted;
    sorted.order = arma::stable_sort_index(row.t());
    sorted.gaps = arma::diff(arma::vec(row.t()).elem(sorted.order));
    rows->push_back(std::move(sorted));
  }
  return [rows](const Labels& in_a) {
    const double n_a = arma::accu(in_a), n_b = static_cast<double>(in_a.n_elem) - n_a;
    double sum = 0.0;
    for (const Sorted& row : *rows) {
      double ahead = 0.0;
      for (arma::uword i = 0; i < row.gaps.n_elem; ++i) {
        const double label = in_a(row.order(i));
        ahead += label / n_a - (1.0 - label) / n_b;
        sum += std::abs(ahead) * row.gaps(i);
      }
    }
    return sum / static_cast<double>(rows->size());
  };
}

/// Total variation of mean spectra, each scaled to sum 1; `spectra` is [n_bins, n_pooled].
Statistic variation_of(arma::mat spectra) {
  auto shared = std::make_shared<arma::mat>(std::move(spectra));
  return [shared](const Labels& in_a) {
    arma::vec a = *shared * in_a, b = *shared * (1.0 - in_a);
    return 0.5 * arma::accu(arma::abs(a / arma::accu(a) - b / arma::accu(b)));
  };
}

Statistic neighbours_of(const arma::mat& distances) {
  auto nearest = std::make_shared<arma::uvec>(distances.n_cols);
  for (arma::uword j = 0; j < distances.n_cols; ++j) {
    arma::vec column = distances.col(j);
    column(j) = arma::datum::inf;
    (*nearest)(j) = column.index_min();
  }
  return [nearest](const Labels& in_a) {
    double same = 0.0;
    for (arma::uword j = 0; j < in_a.n_elem; ++j)
      same += in_a(j) == in_a((*nearest)(j)) ? 1.0 : 0.0;
    return same / static_cast<double>(in_a.n_elem);
  };
}

/// Share of the last n_b columns whose nearest of the first n_a is at under a third of the distance of the next.
double copies(const arma::mat& distances, arma::uword n_a, arma::uword n_b) {
  double found = 0.0;
  for (arma::uword j = n_a; j < n_a + n_b; ++j) {
    const arma::vec sorted = arma::sort(arma::vec(distances.col(j).head(n_a)));
    found += std::sqrt(sorted(0)) < std::sqrt(sorted(1)) / 3.0 ? 1.0 : 0.0;
  }
  return found / static_cast<double>(n_b);
}

/// Power over angles and delays of each sample.
struct Spectra {
  arma::mat rx, tx, delays;
  arma::mat magnitudes;  ///< of all angular entries
};
Spectra spectra_of(const arma::cx_mat& h, arma::uword n_rx, arma::uword n_tx,
                   const GridAxes& grid) {
  const arma::uword n_f = grid.n_subcarriers, n_s = grid.n_symbols;
  Spectra out;
  out.rx.zeros(n_rx, h.n_cols);
  out.tx.zeros(n_tx, h.n_cols);
  out.delays.zeros(n_f, h.n_cols);
  const arma::cx_mat F_f = dft_matrix(n_f);
  const AngularTransform transform(n_rx, n_tx);
  arma::cx_mat all(arma::size(h));
  for (arma::uword k = 0; k < h.n_cols; ++k) {
    arma::cx_mat element(const_cast<std::complex<double>*>(h.colptr(k)), n_rx * n_tx, n_f * n_s,
                         true);
    arma::cx_mat angular = transform.forward(element);
    for (arma::uword s = 0; s < n_s; ++s) {
      if (n_f == 1) break;
      // Delays: the inverse transform over subcarriers.
      angular.cols(s * n_f, (s + 1) * n_f - 1) =
          angular.cols(s * n_f, (s + 1) * n_f - 1) * arma::conj(F_f);
    }
    all.col(k) = arma::vectorise(angular);
    const arma::mat power = squared_magnitudes(angular);
    const arma::mat over_sides = arma::reshape(arma::sum(power, 1), n_rx, n_tx);
    out.rx.col(k) = arma::sum(over_sides, 1);
    out.tx.col(k) = arma::sum(over_sides, 0).t();
    const arma::rowvec over_f = arma::sum(power, 0);
    for (arma::uword i = 0; i < over_f.n_elem; ++i) out.delays(i % n_f, k) += over_f(i);
  }
  out.magnitudes = arma::abs(all);
  return out;
}

arma::mat means_of(const arma::mat& spectra, arma::uword n_a) {
  arma::mat out(spectra.n_rows, 2);
  out.col(0) = arma::sum(spectra.head_cols(n_a), 1);
  out.col(1) = arma::sum(spectra.tail_cols(spectra.n_cols - n_a), 1);
  out.col(0) /= arma::accu(out.col(0));
  out.col(1) /= arma::accu(out.col(1));
  return out;
}

std::unique_ptr<Denoiser> fitted(const arma::cx_mat& h, arma::uword n_rx,
                                 const CompareOptions& options) {
  const SampleReader reader = samples_in_memory(h, n_rx, h.n_rows / n_rx);
  if (options.estimator == CompareEstimator::lmmse)
    return make_gaussian_denoiser(fit_lmmse(reader).C.C());
  GmmFitOptions fit;
  fit.covariance = MixtureCovariance::dft;
  fit.n_components = std::clamp<arma::uword>(h.n_cols / 16, 1, 64);
  fit.max_iterations = 60;
  fit.n_threads = options.n_threads;
  return make_gaussian_mixture_denoiser(fit_gmm(reader, fit).prior);
}

std::vector<CrossNmse> cross_nmse(const arma::cx_mat& a, const arma::cx_mat& b, arma::uword n_rx,
                                  const CompareOptions& options) {
  const arma::uword n_a = a.n_cols / 2, n_b = b.n_cols / 2;
  const std::unique_ptr<Denoiser> of[] = {fitted(a.head_cols(n_a), n_rx, options),
                                          fitted(b.head_cols(n_b), n_rx, options)};
  const arma::cx_mat tests[] = {a.tail_cols(a.n_cols - n_a), b.tail_cols(b.n_cols - n_b)};
  std::vector<CrossNmse> out;
  for (std::size_t i = 0; i < options.snr_db.size(); ++i) {
    CrossNmse at{options.snr_db[i], arma::mat(2, 2)};
    const double sigma2 = from_db(-at.snr_db);
    for (arma::uword j = 0; j < 2; ++j) {
      Rng rng(options.seed, {Purpose::validation, noise_stream, i});
      const arma::cx_mat y = tests[j] + rng.cx_normal(tests[j].n_rows, tests[j].n_cols, sigma2);
      for (arma::uword k = 0; k < 2; ++k) at.nmse(k, j) = nmse(of[k]->denoise(y, sigma2), tests[j]);
    }
    out.push_back(at);
  }
  return out;
}

void check_sets(const arma::cx_mat& x, const arma::cx_mat& y, arma::uword fewest) {
  if (x.n_rows != y.n_rows) {
    refuse("compare: channels of " + std::to_string(x.n_rows) + " and " + std::to_string(y.n_rows) +
           " entries, expected the same");
  }
  if (x.n_cols < fewest || y.n_cols < fewest) {
    refuse("compare: " + std::to_string(std::min(x.n_cols, y.n_cols)) +
           " channels in a set, expected at least " + std::to_string(fewest));
  }
}

Labels first_are_a(arma::uword n_a, arma::uword n_b) {
  return arma::join_cols(arma::vec(n_a, arma::fill::ones), arma::vec(n_b, arma::fill::zeros));
}

}  // namespace

double squared_mmd(const arma::cx_mat& x, const arma::cx_mat& y, double b) {
  check_sets(x, y, 2);
  if (!(b >= 0.0)) refuse("mmd: the width is " + std::to_string(b) + ", expected 0 or more");
  return mmd_of(squared_distances(arma::join_rows(x, y), false),
                b)(first_are_a(x.n_cols, y.n_cols));
}

double wasserstein(const arma::vec& x, const arma::vec& y) {
  if (x.is_empty() || y.is_empty()) refuse("wasserstein: a set is empty");
  return wasserstein_of(arma::join_cols(x, y).t())(first_are_a(x.n_elem, y.n_elem));
}

double effective_rank(const arma::cx_mat& H) {
  const arma::vec s = arma::svd(H);
  const double all = arma::accu(arma::square(s));
  if (!(all > 0.0)) return 0.0;
  double entropy = 0.0;
  for (const double value : s) {
    const double share = value * value / all;
    if (share > 0.0) entropy -= share * std::log(share);
  }
  return std::exp(entropy);
}

double Comparison::corrected_p() const {
  double least = arma::datum::nan;
  double n = 0.0;
  for (const ComparisonRow& row : rows) {
    if (std::isnan(row.p)) continue;
    n += 1.0;
    least = std::isnan(least) ? row.p : std::min(least, row.p);
  }
  return std::min(least * n, 1.0);
}

Comparison compare_channels(const arma::cx_mat& a, const arma::cx_mat& b, arma::uword n_rx,
                            arma::uword n_tx, const GridAxes& grid, const CompareOptions& options) {
  check_sets(a, b, 4);
  const arma::uword n_h = n_rx * n_tx * grid.n_elements();
  if (a.n_rows != n_h) {
    refuse("compare: channels of " + std::to_string(a.n_rows) + " entries, expected " +
           size_text(n_rx, n_tx, grid));
  }
  if (options.n_projections == 0) refuse("compare: 0 projections, expected at least 1");
  const arma::uword n_a = a.n_cols, n_b = b.n_cols, n = n_a + n_b;
  const arma::cx_mat pooled = arma::join_rows(a, b);
  Comparison out;

  const Spectra spectra = spectra_of(pooled, n_rx, n_tx, grid);
  out.rx_angles = means_of(spectra.rx, n_a);
  out.tx_angles = means_of(spectra.tx, n_a);
  out.delays = means_of(spectra.delays, n_a);
  const arma::vec power = squared_norms(pooled) / static_cast<double>(n_h);
  arma::vec rank(n);
  for (arma::uword k = 0; k < n; ++k) {
    rank(k) = effective_rank(arma::reshape(pooled.col(k), n_rx, n_h / n_rx));
  }
  out.power_a = power.head(n_a);
  out.power_b = power.tail(n_b);
  out.rank_a = rank.head(n_a);
  out.rank_b = rank.tail(n_b);

  Rng rng(options.seed, {Purpose::validation, projections_stream});
  const arma::cx_mat directions = arma::normalise(rng.cx_normal(n_h, options.n_projections));
  const arma::mat nearness = squared_distances(pooled, true);

  std::vector<Statistic> statistics;
  const auto add = [&](const std::string& name, const std::string& meaning, Statistic statistic) {
    out.rows.push_back({name, meaning});
    statistics.push_back(std::move(statistic));
  };
  add("mmd2", "squared maximum mean discrepancy of the channels",
      mmd_of(squared_distances(pooled, false), 0.0));
  add("mmd2_angular", "the same of the angular magnitudes",
      mmd_of(squared_distances(arma::conv_to<arma::cx_mat>::from(spectra.magnitudes), false), 0.0));
  add("sliced_wasserstein", "mean distance over random projections",
      wasserstein_of(arma::real(directions.t() * pooled)));
  if (n_rx > 1)
    add("rx_angles", "variation of the power over receive angles", variation_of(spectra.rx));
  if (n_tx > 1) {
    add("tx_angles", "variation of the power over transmit angles", variation_of(spectra.tx));
  }
  if (grid.n_subcarriers > 1) {
    add("delays", "variation of the power over delays", variation_of(spectra.delays));
  }
  add("power", "distance of ||h||^2 / n_h", wasserstein_of(power.t()));
  add("rank", "distance of the effective rank", wasserstein_of(rank.t()));
  add("neighbours", "share with a nearest neighbour of their own set", neighbours_of(nearness));

  const Labels truth = first_are_a(n_a, n_b);
  arma::mat permuted(statistics.size(), options.n_permutations);
  parallel_for(options.n_permutations, options.n_threads, [&](std::size_t i) {
    Rng order(options.seed, {Purpose::validation, permutations_stream, i});
    Labels labels = truth;
    for (arma::uword k = n - 1; k > 0; --k) std::swap(labels(k), labels(order.index(k + 1)));
    for (std::size_t s = 0; s < statistics.size(); ++s) permuted(s, i) = statistics[s](labels);
  });
  for (std::size_t s = 0; s < statistics.size(); ++s) {
    ComparisonRow& row = out.rows[s];
    row.value = statistics[s](truth);
    if (options.n_permutations == 0) continue;
    const arma::rowvec values = permuted.row(s);
    row.alike = arma::mean(values);
    // Ties by rounding count as ties.
    const double level = row.value - 1e-12 * std::abs(row.value);
    row.p = (1.0 + static_cast<double>(arma::accu(values >= level))) /
            (1.0 + static_cast<double>(options.n_permutations));
  }
  out.rows.push_back(
      {"copies", "share of b that are near copies of one of a", copies(nearness, n_a, n_b)});

  if (options.estimator != CompareEstimator::none) {
    out.cross = cross_nmse(a, b, n_rx, options);
  }
  return out;
}

}  // namespace v0
}  // namespace chest
