#include <gtest/gtest.h>

#include <chest/channels/generator.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/metrics.hpp>
#include <chest/observation.hpp>

#include "tests/support/refusal.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

double optimum_at(const ChannelGenerator& generator, double snr_db) {
  const OptimalErrors optimum = *generator.optimum();
  return optimum.mse(arma::index_min(arma::abs(optimum.snr_db - snr_db)));
}

/// E||h - D||^2 / n_h of each channel, pilots identity.
arma::vec errors_of(const ChannelGenerator& generator, const Denoiser& denoiser, double snr_db,
                    arma::uword n) {
  Rng rng = test_rng(1);
  const arma::cx_mat h = generator.generate(5, 0, n).h;
  const double sigma2 = from_db(-snr_db);
  const arma::cx_mat y = h + rng.cx_normal(h.n_rows, n, sigma2);
  return squared_errors(denoiser.denoise(y, sigma2), h) / double(h.n_rows);
}

TEST(Families, HavePowerOneAndDrawBySampleNumber) {
  const auto expect = [](const std::unique_ptr<ChannelGenerator>& generator) {
    const arma::uword n_h = generator->n_rx() * generator->n_tx();
    const arma::cx_mat h = generator->generate(1, 0, 3000).h;
    ASSERT_EQ(h.n_rows, n_h);
    // A single path has the power of one exponential variable: 3000 of them, risk 1e-6.
    EXPECT_NEAR(squared_norm(h) / double(h.n_elem), 1.0, 4.9 / std::sqrt(3000.0));
    EXPECT_LT(max_difference(generator->generate(1, 2990, 10).h, h.tail_cols(10)), 1e-13);
  };
  expect(make_power_law({8, 4, 1.0}));
  expect(make_regions({16, 8, 10, 1.0, 3}));
  expect(make_paths({8, 1, 1}));
  expect(make_paths({8, 4, 3}));
}

// Wiener's sum, and its slope over sigma^2, 2 alpha / (2 alpha + 1) on a line, 2 alpha / (2 alpha + 2) on a plane.
TEST(Families, PowerLawHasTheErrorAndTheSlopeOfWiener) {
  for (const double alpha : {0.5, 1.0, 2.0}) {
    const auto line = make_power_law({1024, 1, alpha});
    const double slope = std::log10(optimum_at(*line, 0.0) / optimum_at(*line, 20.0)) / 2.0;
    EXPECT_NEAR(slope, 2.0 * alpha / (2.0 * alpha + 1.0), 0.06) << alpha;
    // Rough planes have much of their power beyond the edge of this array.
    if (alpha < 1.0) continue;
    const auto plane = make_power_law({256, 256, alpha});
    const double slope_2d = std::log10(optimum_at(*plane, 0.0) / optimum_at(*plane, 20.0)) / 2.0;
    EXPECT_NEAR(slope_2d, 2.0 * alpha / (2.0 * alpha + 2.0), 0.08) << alpha;
  }
  const auto small = make_power_law({8, 4, 1.0});
  const auto denoiser = make_gaussian_mixture_denoiser(*small->prior());
  for (const double snr_db : {-10.0, 10.0}) {
    EXPECT_TRUE(
        mean_is(errors_of(*small, *denoiser, snr_db, 2000), optimum_at(*small, snr_db), 1e-6));
  }
}

// The exact conditional mean of the mixture in the file reaches what the file says, and LMMSE does not.
TEST(Families, RegionsHaveTheErrorOfTheirMixture) {
  const auto regions = make_regions({16, 8, 12, 1.0, 3});
  const auto exact = make_gaussian_mixture_denoiser(*regions->prior());
  const auto linear = make_gaussian_denoiser(second_moment(*regions->prior()));
  for (const double snr_db : {-10.0, 0.0, 10.0}) {
    const double told = optimum_at(*regions, snr_db);
    // 400 channels behind what is told, 1500 here: 3 % beyond the spread of the latter.
    const arma::vec errors = errors_of(*regions, *exact, snr_db, 1500);
    const double noise = 4.9 * arma::stddev(errors) * std::sqrt(1.0 / 1500.0 + 1.0 / 400.0);
    EXPECT_NEAR(arma::mean(errors), told, noise) << snr_db;
  }
  EXPECT_GT(arma::mean(errors_of(*regions, *linear, 0.0, 500)), 1.3 * optimum_at(*regions, 0.0));
  // Two powers, 20 dB apart.
  const GaussianMixture prior = *regions->prior();
  const arma::mat& spectra = std::get<SpectralCovariances>(prior.structure).spectra;
  EXPECT_NEAR(spectra.col(0).max() / spectra.col(0).min(), 100.0, 1e-9);
}

// Three real dimensions: 3 / 2 sigma2 at high SNR; the best linear error where noise rules. And in between the error
// of the mixture over a fine grid of directions.
TEST(Families, SinglePathHasThreeDimensions) {
  const auto path = make_paths({16, 1, 1});
  EXPECT_EQ(path->optimum()->kind, "exact");
  EXPECT_NEAR(16.0 * optimum_at(*path, 30.0) / 1e-3, 1.5, 0.1);
  EXPECT_NEAR(16.0 * optimum_at(*path, 20.0) / 1e-2, 1.5, 0.15);
  EXPECT_NEAR(optimum_at(*path, -20.0), 100.0 / 101.0, 0.03);
  GaussianMixture grid;
  const arma::uword n_directions = 512;
  grid.weights.set_size(n_directions);
  grid.weights.fill(1.0 / double(n_directions));
  grid.means.zeros(16, n_directions);
  for (arma::uword k = 0; k < n_directions; ++k) {
    arma::cx_vec a(16);
    for (arma::uword m = 0; m < 16; ++m) {
      a(m) = std::polar(1.0, 2.0 * arma::datum::pi * double(m * k) / double(n_directions));
    }
    grid.covariances.push_back(a * a.t());
  }
  const auto denoiser = make_gaussian_mixture_denoiser(grid);
  for (const double snr_db : {-5.0, 5.0}) {
    const arma::vec errors = errors_of(*path, *denoiser, snr_db, 600);
    const double noise = 4.9 * arma::stddev(errors) * std::sqrt(1.0 / 600.0 + 1.0 / 400.0);
    EXPECT_NEAR(arma::mean(errors), optimum_at(*path, snr_db), noise) << snr_db;
  }
}

TEST(Families, OfMorePathsOrSidesTellALimit) {
  const auto paths = make_paths({16, 4, 3});
  EXPECT_EQ(paths->optimum()->kind, "limit");
  EXPECT_NEAR(optimum_at(*paths, 40.0), 3.0 * 2.0 / 64.0 * 1e-4, 1e-12);
  EXPECT_NEAR(optimum_at(*make_paths({16, 1, 2}), 40.0), 3.0 / 16.0 * 1e-4, 1e-12);
}

TEST(Families, OptimumIsKeptInTheFileAndScaledWithTheChannels) {
  const TemporaryFolder folder;
  const auto generator = make_power_law({4, 2, 1.0});
  ChannelFileOptions options;
  options.n_rx = 4;
  options.n_tx = 2;
  options.n_samples = 50;
  options.optimum = generator->optimum();
  ChannelFileWriter writer(folder / "h.h5", options);
  writer.append(generator->generate(1, 0, 50));
  writer.finish();
  const Dataset plain(folder / "h.h5");
  EXPECT_LT(max_difference(plain.optimum()->mse, options.optimum->mse), 1e-15);
  EXPECT_EQ(plain.optimum()->kind, "exact");
  DatasetOptions scaled;
  scaled.normalisation = Normalisation::factor;
  scaled.factor = 1.5;
  const OptimalErrors told = *Dataset(folder / "h.h5", scaled).optimum();
  EXPECT_NEAR(told.snr_db(3), options.optimum->snr_db(3) - 20.0 * std::log10(1.5), 1e-12);
  EXPECT_NEAR(told.mse(3), 2.25 * options.optimum->mse(3), 1e-14);
}

TEST(Families, RefuseWhatIsNoFamily) {
  EXPECT_TRUE(refused([] { make_power_law({8, 1, 0.0}); }, "power-law: alpha is 0"));
  EXPECT_TRUE(refused([] { make_regions({8, 8, 0, 1.0, 1}); }, "regions: n_components is 0"));
  EXPECT_TRUE(refused([] { make_regions({1, 8, 4, 1.0, 1}); }, "regions: n_rx is 1"));
  EXPECT_TRUE(refused([] { make_paths({8, 1, 0}); }, "paths: n_paths is 0"));
  EXPECT_TRUE(refused([] { make_paths({0, 1, 1}); }, "paths: n_rx and n_tx"));
}

}  // namespace
}  // namespace chest
