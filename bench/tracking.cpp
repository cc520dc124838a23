// Channels that move: what slots before the present one are worth (docs/tracking.md).
//
//   tracking MODEL [LINKS] [SLOTS]      of 16x4 channels: models/scm_16x4.h5; 30 links of 24 slots
//
// Links of the spatial channel model whose clusters stand still while their gains fade: an autoregression (markov) or
// 16 waves from all around the terminal (jakes), of correlation a from slot to slot. NMSE in dB over the slots from the
// eighth on: each slot alone; a Kalman filter with the covariance of 2000 other channels; tracked by the rules sum
// and mean with the true correlation; sum with the correlation measured from the link alone, and from all links; predicted
// over measured error of that; the Kalman filter that knows the clusters of every link (optimal where the fading is markov).
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <chest/channels/generator.hpp>
#include <chest/covariance.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/linear/tracking.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>

namespace chest {
namespace {

constexpr arma::uword n_rx = 16, n_tx = 4, n_lags = 16, first_counted = 8;

/// Fading of unit power and correlation a from slot to slot: [n_h, n_slots], and r_j.
struct Fading {
  std::string name;
  double a;

  /// 2 pi f_D T with J0 = a
  double phase() const {
    double low = 0.0, high = 2.404;
    for (int i = 0; i < 60; ++i) {
      const double mid = 0.5 * (low + high);
      (std::cyl_bessel_j(0.0, mid) > a ? low : high) = mid;
    }
    return low;
  }
  arma::cx_vec correlation() const {
    arma::cx_vec r = gauss_markov_correlation(a, n_lags);
    for (arma::uword j = 1; j < n_lags && name == "jakes"; ++j) {
      r(j) = std::cyl_bessel_j(0.0, static_cast<double>(j) * phase());
    }
    return r;
  }
  arma::cx_mat draw(arma::uword n_slots, Rng& rng) const {
    arma::cx_mat w = rng.cx_normal(n_rx * n_tx, n_slots);
    if (name == "markov") {
      for (arma::uword k = 1; k < n_slots; ++k) {
        w.col(k) = a * w.col(k - 1) + std::sqrt(1.0 - a * a) * w.col(k);
      }
      return w;
    }
    constexpr arma::uword n_waves = 16;
    w.zeros();
    const double x = phase();
    for (arma::uword i = 0; i < w.n_rows; ++i) {
      const double turn = rng.uniform();
      for (arma::uword m = 0; m < n_waves; ++m) {
        const arma::cx_double gain = rng.cx_normal() / std::sqrt(static_cast<double>(n_waves));
        const double step =
            x * std::cos(arma::datum::tau * (static_cast<double>(m) + turn) / n_waves);
        for (arma::uword k = 0; k < n_slots; ++k) {
          w(i, k) += gain * std::polar(1.0, step * static_cast<double>(k));
        }
      }
    }
    return w;
  }
};

struct Row {
  double error[7] = {}, predicted = 0.0, power = 0.0;
};

void print_row(const Fading& fading, double snr_db, const Estimator& estimator, arma::uword n_links,
               arma::uword n_slots, const arma::cx_mat& C) {
  const double sigma2 = from_db(-snr_db);
  const auto scm = make_scm({n_rx, n_tx, 3, 2.0, 35.0});
  const ChannelBlock clusters = scm->generate(77, 0, n_links);
  std::vector<arma::cx_mat> h(n_links), covariances(n_links);
  std::vector<Observation> links(n_links);
  std::vector<SlotProducts> products(n_links);
  for (arma::uword l = 0; l < n_links; ++l) {
    covariances[l] = arma::kron(chest::toeplitz(clusters.covariances.t_tx.col(l)),
                                chest::toeplitz(clusters.covariances.t_rx.col(l)));
    Rng rng(5, {Purpose::channel, 1, l});
    h[l] = covariance_factor(covariances[l]) * fading.draw(n_slots, rng);
    links[l].y = h[l] + rng.cx_normal(n_rx * n_tx, n_slots, sigma2);
    links[l].sigma2 = sigma2;
    products[l] = slot_products(links[l], n_lags);
  }
  SlotProducts all_products = products[0];
  for (arma::uword l = 1; l < n_links; ++l) all_products.add(products[l]);
  const arma::cx_vec measured = measured_correlation(all_products, sigma2);
  const arma::cx_vec r = fading.correlation();
  std::vector<Row> rows(n_links);
  parallel_for(n_links, 0, [&](std::size_t l) {
    const auto counted = [&](const arma::cx_mat& x) {
      return arma::accu(arma::square(arma::abs(x.tail_cols(n_slots - first_counted))));
    };
    const auto error = [&](const Estimate& estimate) { return counted(estimate.h - h[l]); };
    Row& row = rows[l];
    row.power = counted(h[l]);
    row.error[0] = error(estimator.estimate(links[l]));
    row.error[1] = error(kalman_filter(estimator.A(), C, fading.a, links[l]));
    row.error[2] = error(track(estimator, links[l], r, TrackingRule::sum));
    row.error[3] = error(track(estimator, links[l], r, TrackingRule::mean));
    row.error[4] = error(track(estimator, links[l], measured_correlation(products[l], sigma2)));
    const Estimate last = track(estimator, links[l], measured);
    row.error[5] = error(last);
    row.predicted = arma::accu(last.mse.tail(n_slots - first_counted));
    row.error[6] = error(kalman_filter(estimator.A(), covariances[l], fading.a, links[l]));
  });
  Row all;
  for (const Row& row : rows) {
    for (int i = 0; i < 7; ++i) all.error[i] += row.error[i];
    all.predicted += row.predicted;
    all.power += row.power;
  }
  std::printf("| %s %.3g | %g |", fading.name.c_str(), fading.a, snr_db);
  for (int i = 0; i < 6; ++i) std::printf(" %.2f |", to_db(all.error[i] / all.power));
  std::printf(" %.2f | %.2f |\n", all.predicted / all.error[5], to_db(all.error[6] / all.power));
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: tracking MODEL [LINKS] [SLOTS]\n");
    return 2;
  }
  const auto number = [&](int i, int otherwise) {
    return argc > i ? std::atoi(argv[i]) : otherwise;
  };
  const auto n_links = static_cast<arma::uword>(std::max(number(2, 30), 2));
  const auto n_slots = static_cast<arma::uword>(std::max(number(3, 24), 10));
  EstimatorContext known;
  known.n_rx = n_rx;
  known.n_tx = n_tx;
  known.A = make_identity_observation(n_rx, n_tx);
  known.models =
      std::make_shared<ModelStore>(std::vector<std::filesystem::path>{std::string(argv[1])});
  const auto estimator = make_estimator(parse_named_options("dmse"), known);
  const arma::cx_mat others = make_scm({n_rx, n_tx, 3, 2.0, 35.0})->generate(78, 0, 2000).h;
  const arma::cx_mat C = others * others.t() / 2000.0;
  std::printf(
      "| fading | snr_db | alone | kalman | sum | mean | sum, measured alone | sum, measured | "
      "predicted / measured | kalman, known clusters |\n");
  std::printf("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const char* name : {"markov", "jakes"}) {
    for (const double a : {0.998, 0.98, 0.9, 0.7, 0.3}) {
      for (const double snr_db : {-10.0, 0.0, 10.0, 20.0}) {
        print_row({name, a}, snr_db, *estimator, n_links, n_slots, C);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace chest

int main(int argc, char** argv) { return chest::run(argc, argv); }
