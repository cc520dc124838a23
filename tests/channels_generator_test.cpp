#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include <chest/archive.hpp>
#include <chest/channels/generator.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/random.hpp>

namespace chest {
namespace {

GaussianMixture two_components() {
  Rng rng(3, {Purpose::test});
  GaussianMixture prior;
  prior.weights = {0.3, 0.7};
  prior.means = rng.cx_normal(6, 2);
  for (int k = 0; k < 2; ++k) {
    const arma::cx_mat B = rng.cx_normal(6, 6);
    prior.covariances.push_back(B * B.t() / 6.0);
  }
  return prior;
}

std::vector<std::unique_ptr<ChannelGenerator>> small_generators() {
  std::vector<std::unique_ptr<ChannelGenerator>> out;
  ScmOptions scm;
  scm.n_rx = 4;
  scm.n_tx = 3;
  scm.spread_rx_deg = 30.0;
  out.push_back(make_scm(scm));
  out.push_back(make_rayleigh(3, 2));
  KroneckerOptions kronecker;
  kronecker.n_rx = 4;
  kronecker.n_tx = 3;
  out.push_back(make_kronecker(kronecker));
  ClusterMixtureOptions clusters;
  clusters.n_rx = 3;
  clusters.n_tx = 2;
  clusters.n_components = 3;
  clusters.spread_rx_deg = 35.0;
  out.push_back(make_cluster_mixture(clusters));
  out.push_back(make_mixture(two_components(), 3, 2));
  return out;
}

// |mean - expected| <= 6 standard errors: correct code fails for two values in a thousand million.
::testing::AssertionResult mean_is(const arma::vec& x, double expected) {
  const double error = 6.0 * arma::stddev(x) / std::sqrt(static_cast<double>(x.n_elem)) + 1e-12;
  if (std::abs(arma::mean(x) - expected) <= error) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "mean " << arma::mean(x) << ", expected " << expected << " within " << error;
}

// E[h h^H] of columns that are whitened, or of known covariance C.
void expect_covariance(const arma::cx_mat& h, const arma::cx_mat& C, const std::string& what) {
  for (arma::uword i = 0; i < h.n_rows; ++i) {
    for (arma::uword j = 0; j <= i; ++j) {
      const arma::cx_vec product = (h.row(i) % arma::conj(h.row(j))).st();
      EXPECT_TRUE(mean_is(arma::real(product), C(i, j).real())) << what << " " << i << " " << j;
      EXPECT_TRUE(mean_is(arma::imag(product), C(i, j).imag())) << what << " " << i << " " << j;
    }
  }
}

TEST(Scm, CovariancesEqualTheNumpyImplementation) {
  const ArchiveReader golden(CHEST_SOURCE_DIR "/tests/golden/scm.h5");
  for (const std::string& name : golden.list("/")) {
    const arma::vec gains = golden.read_mat(name + "/gains");
    const arma::vec angles = golden.read_mat(name + "/angles_deg");
    const double spread = golden.number_attribute(name, "spread_deg").value();
    const arma::cx_vec t = golden.read_cx_mat(name + "/t");
    const arma::vec f = golden.read_mat(name + "/power_spectrum");
    // Rounding of two orders of summation: a few eps times the largest of f, 100 n.
    EXPECT_LT(arma::abs(scm_covariance(gains, angles, spread, t.n_elem) - t).max(), 1e-12);
    EXPECT_LT(arma::abs(scm_power_spectrum(gains, angles, spread, t.n_elem) - f).max(), 1e-10);
  }
}

TEST(Scm, CovariancesEqualThoseOfThePublishedData) {
  const char* reference = std::getenv("CHEST_REFERENCE_DIR");
  if (reference == nullptr) GTEST_SKIP() << "CHEST_REFERENCE_DIR is not set";
  const ArchiveReader golden(std::string(reference) + "/golden/golden_io.h5");
  const arma::mat gains = golden.read_mat("/scm/gains");
  const struct {
    std::string side;
    double spread_deg;
    arma::uword n;
  } sides[] = {{"bs", 2.0, 64}, {"ms", 35.0, 16}};
  for (const auto& side : sides) {
    const arma::mat angles = golden.read_mat("/scm/angles_" + side.side + "_deg");
    const std::vector<double> t = golden.read_all<double>("/scm/t_" + side.side);
    for (arma::uword k = 0; k < 16; ++k) {
      const arma::cx_vec ours =
          scm_covariance(gains.row(k).t(), angles.row(k).t(), side.spread_deg, side.n);
      const double* re = t.data() + k * 2 * side.n;
      const arma::cx_vec expected(arma::vec(re, side.n), arma::vec(re + side.n, side.n));
      EXPECT_LT(arma::abs(ours - expected).max(), 1e-10) << side.side << " channel " << k;
    }
    const arma::vec f = golden.read_mat("/scm/psd_" + side.side + "_sample0");
    const arma::vec ours =
        scm_power_spectrum(gains.row(0).t(), angles.row(0).t(), side.spread_deg, side.n);
    EXPECT_LT(arma::abs(ours - f).max(), 1e-10 * f.max()) << side.side;
  }
}

TEST(Scm, APanelHasTheMeanCovarianceOfItsSides) {
  // Angles along rows and columns are independent, so that the mean over clusters is a product.
  ScmOptions options;
  options.n_rx = 12;
  options.n_tx = 2;
  options.spread_rx_deg = 20.0;
  options.rx_panel = {2, 3, 2};
  const auto panel = make_scm(options);
  EXPECT_EQ(panel->rx_panel().text(), "2x3x2");
  const ChannelBlock block = panel->generate(4, 0, 20'000);
  EXPECT_TRUE(block.covariances.empty());
  const auto mean_of_line = [](arma::uword n, double spread_deg) {
    arma::cx_vec sum(n, arma::fill::zeros);
    constexpr int n_angles = 3600;
    for (int i = 0; i < n_angles; ++i) {
      sum += scm_covariance({1.0}, {180.0 * (i + 0.5) / n_angles - 90.0}, spread_deg, n);
    }
    return arma::cx_mat(toeplitz(arma::cx_vec(sum / double(n_angles))));
  };
  const arma::cx_mat C_rx = arma::kron(arma::eye<arma::cx_mat>(2, 2),
                                       arma::kron(mean_of_line(3, 20.0), mean_of_line(2, 20.0)));
  expect_covariance(block.h, arma::kron(mean_of_line(2, options.spread_tx_deg), C_rx),
                    panel->describe());
  options.n_rx = 13;
  EXPECT_EQ(options.why_invalid(), "the panel 2x3x2 has 12 antennas, n_rx is 13");
}

TEST(Generators, WhitenedByTheirCovariancesSamplesAreWhite) {
  for (const auto& generator : small_generators()) {
    const ChannelBlock block = generator->generate(1, 0, 20'000);
    if (block.covariances.empty()) continue;
    arma::cx_mat white(arma::size(block.h));
    for (arma::uword k = 0; k < block.h.n_cols; ++k) {
      const arma::cx_mat L_rx = arma::chol(chest::toeplitz(block.covariances.t_rx.col(k)), "lower");
      const arma::cx_mat L_tx = arma::chol(chest::toeplitz(block.covariances.t_tx.col(k)), "lower");
      const arma::cx_mat H(block.h.colptr(k), generator->n_rx(), generator->n_tx());
      const arma::cx_mat half = arma::solve(arma::trimatl(L_rx), H);
      white.col(k) = arma::vectorise(arma::solve(arma::trimatl(L_tx), half.st()).st());
    }
    expect_covariance(white, arma::eye<arma::cx_mat>(white.n_rows, white.n_rows),
                      generator->describe());
  }
}

TEST(Generators, SamplesHaveTheMomentsOfTheirPrior) {
  for (const auto& generator : small_generators()) {
    const auto prior = generator->prior();
    if (!prior) continue;
    EXPECT_EQ(prior->why_invalid(), "") << generator->describe();
    const arma::cx_mat h = generator->generate(2, 0, 20'000).h;
    const arma::cx_vec mean = prior->means * prior->weights;
    arma::cx_mat C(h.n_rows, h.n_rows, arma::fill::zeros);
    for (arma::uword k = 0; k < prior->n_components(); ++k)
      C += prior->weights[k] *
           (prior->covariances[k] + prior->means.col(k) * prior->means.col(k).t());
    expect_covariance(h, C, generator->describe());
    for (arma::uword i = 0; i < h.n_rows; ++i) {
      EXPECT_TRUE(mean_is(arma::real(h.row(i)).t(), mean[i].real())) << generator->describe();
      EXPECT_TRUE(mean_is(arma::imag(h.row(i)).t(), mean[i].imag())) << generator->describe();
    }
  }
}

TEST(Generators, MeanPowerIsTheNumberOfEntries) {
  std::vector<std::unique_ptr<ChannelGenerator>> generators = small_generators();
  generators.pop_back();  // a given mixture has the power that it has
  generators.push_back(make_cluster_mixture({}));
  generators.push_back(make_kronecker({}));
  for (const auto& generator : generators) {
    const arma::cx_mat h = generator->generate(3, 0, 1000).h;
    const arma::vec power = arma::sum(arma::square(arma::abs(h)), 0).t();
    EXPECT_TRUE(mean_is(power, static_cast<double>(h.n_rows))) << generator->describe();
  }
}

TEST(Generators, ASampleDependsOnSeedAndIndexAlone) {
  for (const auto& generator : small_generators()) {
    const ChannelBlock whole = generator->generate(7, 5, 20);
    const ChannelBlock part = generator->generate(7, 17, 4);
    const ChannelBlock other = generator->generate(8, 5, 20);
    EXPECT_TRUE(arma::approx_equal(whole.h.cols(12, 15), part.h, "absdiff", 0.0));
    EXPECT_FALSE(arma::approx_equal(whole.h, other.h, "absdiff", 1e-3));
    EXPECT_TRUE(generator->generate(7, 5, 0).h.is_empty());
    if (whole.covariances.empty()) continue;
    EXPECT_TRUE(arma::approx_equal(whole.covariances.t_rx.cols(12, 15), part.covariances.t_rx,
                                   "absdiff", 0.0));
  }
}

TEST(Generators, DescribeThemselvesInJson) {
  for (const auto& generator : small_generators()) {
    const auto json = nlohmann::json::parse(generator->describe());
    EXPECT_TRUE(json.contains("generator"));
    EXPECT_EQ(json.at("n_rx"), generator->n_rx());
    EXPECT_EQ(json.at("n_tx"), generator->n_tx());
  }
}

template <class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    return error.what();
  }
  return "no error";
}

TEST(Generators, RefuseOptionsOutOfRange) {
  ScmOptions scm;
  scm.spread_rx_deg = 0.0;
  EXPECT_EQ(message_of([&] { make_scm(scm); }),
            "scm: spread_rx_deg is 0, it must be in 0.1 .. 180 degrees");
  scm = {};
  scm.n_paths = 0;
  EXPECT_EQ(message_of([&] { make_scm(scm); }), "scm: n_paths is 0, it must be at least 1");
  EXPECT_EQ(message_of([] { make_rayleigh(0, 4); }), "rayleigh: n_rx and n_tx must be at least 1");
  KroneckerOptions kronecker;
  kronecker.rho_tx = 1.0;
  EXPECT_EQ(message_of([&] { make_kronecker(kronecker); }),
            "kronecker: rho_tx is 1, it must be in 0 .. < 1");
  EXPECT_EQ(message_of([] { make_mixture(two_components(), 3, 3); }),
            "mixture: means have 6 rows, expected n_rx n_tx = 3 x 3");
  EXPECT_EQ(message_of([] {
              scm_covariance({0.5, 0.4}, {0.0, 10.0}, 2.0, 8);
            }),
            "scm: gains must be positive with sum 1, their sum is 0.9");
  EXPECT_EQ(message_of([] { scm_covariance({1.0}, {91.0}, 2.0, 8); }),
            "scm: angles must be in -90 .. 90 degrees");
}

}  // namespace
}  // namespace chest
