#include <gtest/gtest.h>

#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/metrics.hpp>
#include <chest/sim/pilot_design.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/text.hpp>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/program.hpp"
#include "tests/support/run.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"

namespace chest::sim {
namespace {

const std::vector<PilotCriterion> all_criteria{PilotCriterion::trace, PilotCriterion::entropy,
                                               PilotCriterion::variance};

/// C after these pilots, by the textbook.
arma::cx_mat posterior_covariance(const arma::cx_mat& C, const arma::cx_mat& P, double sigma2) {
  const arma::cx_mat A = arma::kron(
      arma::cx_mat(P.st()), arma::eye<arma::cx_mat>(C.n_rows / P.n_rows, C.n_rows / P.n_rows));
  const arma::cx_mat S = A * C * A.t() + sigma2 * arma::eye<arma::cx_mat>(A.n_rows, A.n_rows);
  return C - C * A.t() * arma::solve(S, A * C);
}

arma::uvec ranking(const arma::vec& scores) {
  return arma::sort_index(arma::sort_index(scores).eval());
}

TEST(PilotDesign, CandidatesHaveUnitPowerAndAreThoseOfThePilots) {
  for (const char* name : {"dft", "dft-oversampled", "antennas", "qpsk"}) {
    const arma::cx_mat P = pilot_candidates(candidate_kind_from_string(name), 8, 3);
    EXPECT_STREQ(to_string(candidate_kind_from_string(name)), name);
    EXPECT_LT(arma::abs(arma::sum(arma::square(arma::abs(P)), 0) - 1.0).max(), 1e-13) << name;
  }
  const arma::cx_mat dft = make_pilots(parse_pilots("dft"), 8, 1).P;
  const arma::cx_mat beams = pilot_candidates(CandidateKind::dft_oversampled, 8, 1);
  EXPECT_LT(max_difference(beams.cols(arma::regspace<arma::uvec>(0, 4, 31)).eval(), dft), 1e-14);
  EXPECT_LT(max_difference(pilot_candidates(CandidateKind::qpsk, 8, 3).head_cols(5).eval(),
                           make_pilots(parse_pilots("qpsk:5"), 8, 3).P),
            1e-15);
}

TEST(PilotDesign, CriteriaAndErrorsAreTheTextbookOnes) {
  Rng rng = test_rng(1);
  const arma::uword n_rx = 3, n_tx = 4;
  const double sigma2 = 0.3;
  const arma::cx_mat C = random_covariance(n_rx * n_tx, rng);
  const arma::cx_mat candidates = pilot_candidates(CandidateKind::dft_oversampled, n_tx, 1);
  const arma::vec trace = pilot_scores(C, candidates, sigma2, PilotCriterion::trace);
  const arma::vec entropy = pilot_scores(C, candidates, sigma2, PilotCriterion::entropy, 2);
  const arma::vec variance = pilot_scores(C, candidates, sigma2, PilotCriterion::variance);
  for (arma::uword c = 0; c < candidates.n_cols; ++c) {
    const arma::cx_mat A =
        arma::kron(arma::cx_mat(candidates.col(c).st()), arma::eye<arma::cx_mat>(n_rx, n_rx));
    const arma::cx_mat ACA = A * C * A.t();
    EXPECT_NEAR(trace(c),
                arma::trace(C - posterior_covariance(C, candidates.col(c), sigma2)).real(), 1e-12);
    EXPECT_NEAR(entropy(c), arma::log_det_sympd(arma::eye<arma::cx_mat>(n_rx, n_rx) + ACA / sigma2),
                1e-12);
    EXPECT_NEAR(variance(c), arma::trace(ACA).real(), 1e-12);
  }
  const arma::vec nmse = predicted_lmmse_nmse(C, candidates.head_cols(5), sigma2);
  for (arma::uword n = 1; n <= 5; ++n) {
    EXPECT_NEAR(nmse(n - 1) * arma::trace(C).real(),
                arma::trace(posterior_covariance(C, candidates.head_cols(n), sigma2)).real(),
                1e-11);
  }
}

TEST(PilotDesign, EachGreedyChoiceIsTheBestOfAllLeft) {
  Rng rng = test_rng(2);
  const double sigma2 = 0.2;
  const arma::cx_mat C = random_covariance(2 * 5, rng);
  const arma::cx_mat candidates = pilot_candidates(CandidateKind::qpsk, 5, 1);
  PilotDesignOptions options{6, sigma2, PilotCriterion::trace, 2};
  const PilotDesign design = design_pilots(C, candidates, options);
  for (arma::uword i = 0; i < options.n_pilots; ++i) {
    double best = arma::datum::inf;
    for (arma::uword c = 0; c < candidates.n_cols; ++c) {
      if (arma::any(design.chosen.head(i) == c)) continue;
      const arma::cx_mat P =
          arma::join_rows(candidates.cols(design.chosen.head(i)).eval(), candidates.col(c));
      best = std::min(best, arma::trace(posterior_covariance(C, P, sigma2)).real());
    }
    EXPECT_NEAR(design.nmse(i) * arma::trace(C).real(), best, 1e-11) << i;
  }
  EXPECT_EQ(arma::unique(design.chosen).eval().n_elem, options.n_pilots);
  EXPECT_LT(max_difference(design.P, candidates.cols(design.chosen).eval()), 1e-15);
}

// The Gaussian answer that is known: entropy ranks as the variance does, and the greedy choice is
// the largest a^H C_post a.
TEST(PilotDesign, ForOneReceiveAntennaEntropyRanksAsVariance) {
  Rng rng = test_rng(3);
  const arma::cx_mat C = cluster_mixture(16, 16, 16, rng).covariances[20];
  const arma::cx_mat candidates = pilot_candidates(CandidateKind::dft, 16, 1);
  const double sigma2 = 0.1;
  arma::cx_mat left = C;
  PilotDesignOptions options{5, sigma2, PilotCriterion::entropy, 1};
  const PilotDesign design = design_pilots(C, candidates, options);
  for (arma::uword i = 0; i < options.n_pilots; ++i) {
    const arma::vec entropy = pilot_scores(left, candidates, sigma2, PilotCriterion::entropy);
    const arma::vec variance = pilot_scores(left, candidates, sigma2, PilotCriterion::variance);
    EXPECT_TRUE(arma::all(ranking(entropy) == ranking(variance)));
    arma::vec left_power(16);
    for (arma::uword c = 0; c < 16; ++c) {
      const arma::cx_vec a = arma::conj(candidates.col(c));
      left_power(c) = arma::cdot(a, left * a).real();
      if (arma::any(design.chosen.head(i) == c)) left_power(c) = -1.0;
    }
    EXPECT_EQ(design.chosen(i), left_power.index_max());
    left = posterior_covariance(C, candidates.cols(design.chosen.head(i + 1)), sigma2);
  }
  // The same from particles: the two largest are well apart, 400 draws rank them.
  GaussianMixture prior;
  prior.weights = {1.0};
  prior.means.zeros(16, 1);
  prior.covariances = {C};
  const auto A = std::shared_ptr<const ObservationOperator>(
      make_kronecker_observation(candidates.col(design.chosen(0)), 1));
  const Received known{A, rng.cx_normal(1, 1), sigma2, 1};
  const PosteriorSampler sampler = make_mixture_sampler(prior, 1);
  const arma::vec exact = make_mixture_score(prior, candidates)(known);
  const arma::uvec wanted = ranking(exact);
  for (const PilotCriterion criterion : {PilotCriterion::variance, PilotCriterion::entropy}) {
    const arma::vec scores = make_particle_score(sampler, candidates, criterion, 400)(known);
    EXPECT_EQ(scores.index_max(), exact.index_max());
    const arma::vec a = arma::conv_to<arma::vec>::from(ranking(scores));
    const arma::vec b = arma::conv_to<arma::vec>::from(wanted);
    EXPECT_GT(arma::as_scalar(arma::cor(a, b)), 0.97) << to_string(criterion);
  }
}

TEST(PilotDesign, BeatsRandomPilotsOnCorrelatedChannels) {
  Rng rng = test_rng(4);
  const arma::cx_mat C =
      arma::kron(cluster_covariance(8, 0.3, 0.15), cluster_covariance(4, -0.2, 0.2));
  const arma::cx_mat h = covariance_factor(C) * rng.cx_normal(32, 400);
  const arma::cx_mat candidates = pilot_candidates(CandidateKind::dft_oversampled, 8, 1);
  const double sigma2 = 0.1;
  const EstimatorMaker lmmse = [&](std::shared_ptr<const ObservationOperator> A) {
    return std::shared_ptr<const Estimator>(make_lmmse(std::move(A), C));
  };
  const arma::uvec counts{3};
  const double random = arma::as_scalar(pilot_nmse(
      h, candidates, random_choice(candidates.n_cols, 3, h.n_cols, 1), counts, lmmse, sigma2, 1));
  for (const PilotCriterion criterion : all_criteria) {
    const PilotDesign design = design_pilots(C, candidates, {3, sigma2, criterion, 1});
    const double measured =
        arma::as_scalar(pilot_nmse(h, candidates, design.chosen, counts, lmmse, sigma2, 1));
    EXPECT_LT(to_db(measured), to_db(random) - 3.0) << to_string(criterion);
    // 400 channels: the ratio of measured to predicted has a standard error below 4 %.
    EXPECT_NEAR(measured / design.nmse(2), 1.0, 0.2) << to_string(criterion);
  }
}

TEST(PosteriorSampler, DrawsHaveTheMeanAndCovarianceOfThePosterior) {
  Rng rng = test_rng(7);
  const GaussianMixture prior = random_mixture(4, 3, rng);
  const Scene scene = mixture_scene(prior, {2, 2, 1, 1, 0.5, 8});
  const arma::cx_vec y = scene.observation.y.col(0);
  const GaussianMixture posterior = mixture_posterior(prior, *scene.A, y, 0.5);
  const arma::cx_vec mean = posterior.means * posterior.weights;
  const arma::cx_mat C = second_moment(posterior) - mean * mean.t();
  const arma::cx_mat h = make_mixture_sampler(prior, 1)(*scene.A, y, 0.5, 20'000, 3);
  // 4 directions, each checked in its mean and its variance: 12 checks of a risk of 1e-7 each.
  for (int i = 0; i < 4; ++i) {
    const arma::cx_vec u = arma::normalise(rng.cx_normal(4, 1));
    const arma::cx_rowvec seen = u.t() * (h - arma::repmat(mean, 1, h.n_cols));
    EXPECT_TRUE(mean_is(arma::real(seen).t(), 0.0, 1e-7));
    EXPECT_TRUE(mean_is(arma::imag(seen).t(), 0.0, 1e-7));
    EXPECT_TRUE(mean_is(arma::square(arma::abs(seen)).t(), arma::cdot(u, C * u).real(), 1e-7));
  }
  EXPECT_EQ(max_difference(h, make_mixture_sampler(prior, 1)(*scene.A, y, 0.5, 20'000, 3)), 0.0);
  EXPECT_GT(max_difference(h, make_mixture_sampler(prior, 1)(*scene.A, y, 0.5, 20'000, 4)), 0.1);
}

// A walk with the exact guidance of a white prior draws from the Gaussian posterior.
TEST(PosteriorSampler, TakesAnEstimatorThatSamples) {
  const auto denoiser =
      std::shared_ptr<const Denoiser>(make_gaussian_denoiser(arma::eye<arma::cx_mat>(4, 4)));
  const EstimatorMaker make = [&](std::shared_ptr<const ObservationOperator> A) {
    ProximalOptions proximal;
    proximal.variance.kind = VarianceKind::unit;
    WalkOptions walk;
    walk.update = WalkUpdate::ancestral;
    walk.n_levels = 300;
    return std::shared_ptr<const Estimator>(
        make_walk(make_proximal_guidance(std::move(A), denoiser, proximal), walk));
  };
  const auto A = make_kronecker_observation(pilot_candidates(CandidateKind::dft, 4, 1).col(1), 1);
  const arma::cx_vec y{arma::cx_double(1.0, -0.5)};
  const arma::cx_mat h = make_estimator_sampler(make, 1)(*A, y, 0.5, 4000, 1);
  ASSERT_EQ(h.n_cols, 4000u);
  const arma::cx_vec mean = A->adjoint(y) / 1.5;
  const arma::vec power =
      arma::sum(arma::square(arma::abs(h - arma::repmat(mean, 1, 4000))), 0).t();
  // tr(C_post) = 3 + 0.5 / 1.5. 300 levels: 2 % too little.
  EXPECT_NEAR(arma::mean(power), 3.0 + 1.0 / 3.0, 0.2);
  EXPECT_LT(arma::norm(arma::mean(h, 1) - mean), 0.15);
  const EstimatorMaker one = [&](std::shared_ptr<const ObservationOperator> of) {
    return std::shared_ptr<const Estimator>(
        make_lmmse(std::move(of), arma::eye<arma::cx_mat>(4, 4)));
  };
  EXPECT_NE(error_of([&] {
              make_estimator_sampler(one, 1)(*A, y, 0.5, 8, 1);
            }).find("expected one that samples"),
            std::string::npos);
}

/// 16 beams of one antenna row at 10 dB, as docs/measurements.md has it.
struct BeamSearch {
  GaussianMixture prior;
  arma::cx_mat h, candidates = pilot_candidates(CandidateKind::dft, 16, 1);
  FeedbackOptions options;

  explicit BeamSearch(arma::uword n_channels) {
    Rng rng = test_rng(10);
    prior = cluster_mixture(16, 16, 16, rng);
    h = draw(prior, n_channels, rng);
    options.n_pilots = 6;
    options.n_threads = 2;
  }
  double nmse_db(const arma::umat& chosen) const {
    const EstimatorMaker make = [&](std::shared_ptr<const ObservationOperator> A) {
      return std::shared_ptr<const Estimator>(make_gmm(std::move(A), prior));
    };
    return to_db(arma::as_scalar(
        pilot_nmse(h, candidates, chosen, arma::uvec{6}, make, options.sigma2, 1, 2)));
  }
};

TEST(ActivePilots, WithFeedbackAreFarBetterThanAtRandom) {
  const BeamSearch search(80);
  const double random = search.nmse_db(random_choice(16, 6, 80, 1));
  const PosteriorSampler sampler = make_mixture_sampler(search.prior, 1);
  const auto with = [&](const PilotScore& score) {
    return search.nmse_db(choose_pilots(search.h, search.candidates, score, search.options));
  };
  // Measured: 5 dB and more.
  EXPECT_LT(with(make_particle_score(sampler, search.candidates, PilotCriterion::variance)),
            random - 4.0);
  EXPECT_LT(with(make_particle_score(sampler, search.candidates, PilotCriterion::entropy)),
            random - 4.0);
  EXPECT_LT(with(make_mixture_score(search.prior, search.candidates)), random - 4.0);
}

TEST(ActivePilots, DoNotDependOnThreadsAndAreDistinct) {
  BeamSearch search(6);
  const PilotScore score = make_particle_score(make_mixture_sampler(search.prior, 1),
                                               search.candidates, PilotCriterion::variance, 8);
  search.options.first = 3;
  search.options.n_threads = 1;
  const arma::umat one = choose_pilots(search.h, search.candidates, score, search.options);
  search.options.n_threads = 3;
  EXPECT_TRUE(arma::approx_equal(
      one, choose_pilots(search.h, search.candidates, score, search.options), "absdiff", 0));
  EXPECT_TRUE(arma::all(one.row(0) == 3u));
  for (arma::uword k = 0; k < 6; ++k) {
    EXPECT_EQ(arma::unique(one.col(k)).eval().n_elem, 6u);
  }
  // A codebook: the same for all, so the first channel alone has another.
  search.options.common = true;
  const arma::umat common = choose_pilots(search.h, search.candidates, score, search.options);
  EXPECT_EQ(common.n_cols, 1u);
  EXPECT_EQ(arma::unique(common.col(0)).eval().n_elem, 6u);
}

TEST(PilotDesign, WrongInputIsNamed) {
  const arma::cx_mat C = arma::eye<arma::cx_mat>(8, 8);
  const arma::cx_mat candidates = pilot_candidates(CandidateKind::dft, 4, 1);
  const auto expect = [](const std::string& part, const std::string& text) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  expect("n_pilots is 5, expected 1 .. 4", error_of([&] {
           design_pilots(C, candidates, {5, 0.1, PilotCriterion::trace, 1});
         }));
  expect("sigma2 is 0", error_of([&] {
           design_pilots(C, candidates, {2, 0.0, PilotCriterion::trace, 1});
         }));
  expect("pilots are [3, 3] for n_h = 8",
         error_of([&] { design_pilots(C, pilot_candidates(CandidateKind::dft, 3, 1)); }));
  expect("criterion 'entropie', did you mean entropy?",
         error_of([] { pilot_criterion_from_string("entropie"); }));
  expect("'antenna', did you mean antennas?",
         error_of([] { candidate_kind_from_string("antenna"); }));
  expect("the criterion is trace",
         error_of([&] { make_particle_score({}, candidates, PilotCriterion::trace); }));
  GaussianMixture prior;
  prior.weights = {1.0};
  prior.means.zeros(8, 1);
  prior.covariances = {C};
  const auto A = make_kronecker_observation(candidates.col(0), 2);
  expect("y has 3 rows",
         error_of([&] { mixture_posterior(prior, *A, arma::cx_vec(3, arma::fill::zeros), 0.1); }));
}

/// chest pilots as a user runs it, on 2x8 channels.
class RunPilots : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    Program generate({"generate", "gmm", "--n-rx", "2", "--n-tx", "8", "--n-samples", "300",
                      "--n-components", "6", "--spread-tx-deg", "5", "--out", file("gmm.h5")});
    ASSERT_EQ(generate.status(), 0) << generate.err();
    Program plain({"generate", "scm", "--n-rx", "2", "--n-tx", "8", "--n-samples", "300", "--out",
                   file("scm.h5")});
    ASSERT_EQ(plain.status(), 0) << plain.err();
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string file(const std::string& name) { return (*folder_ / name).string(); }
  static std::string output(const std::vector<std::string>& words, int status = 0) {
    std::vector<std::string> all{"pilots"};
    all.insert(all.end(), words.begin(), words.end());
    Program program(all);
    EXPECT_EQ(program.status(), status) << program.err();
    return status == 0 ? program.out() : program.err();
  }

 private:
  static TemporaryFolder* folder_;
};
TemporaryFolder* RunPilots::folder_ = nullptr;

TEST_F(RunPilots, WritesPilotsThatASweepTakes) {
  const std::string text =
      output({"--channels", file("scm.h5"), "--samples", "0:200", "--test", "200:300", "--n-pilots",
              "3", "--candidates", "dft-oversampled", "--compare", "--out", file("P.h5")});
  EXPECT_NE(text.find("3 of 32 candidates dft-oversampled for channels 2x8"), std::string::npos)
      << text;
  EXPECT_NE(text.find("LMMSE measured on 100 test channels"), std::string::npos) << text;
  const Pilots pilots = make_pilots(parse_pilots("file=" + file("P.h5")), 8, 1);
  EXPECT_EQ(pilots.P.n_cols, 3u);
  EXPECT_LT(arma::abs(arma::sum(arma::square(arma::abs(pilots.P)), 0) - 1.0).max(), 1e-13);
  Program sweep({"sweep", "--channels", file("scm.h5"), "--pilots", "file=" + file("P.h5"), "--snr",
                 "10", "--estimators", "ls"});
  EXPECT_EQ(sweep.status(), 0) << sweep.err();
}

TEST_F(RunPilots, FeedbackIsTheSameForAnyNumberOfThreads) {
  const std::vector<std::string> words{"--channels", file("gmm.h5"), "--sequential",
                                       "--test",     "0:20",         "--n-pilots",
                                       "3",          "--threads"};
  auto one = words, three = words;
  one.push_back("1");
  three.push_back("3");
  const std::string text = output(one);
  EXPECT_EQ(text, output(three));
  for (const char* policy : {"random ", "uniform ", "variance ", "entropy ", "exact-variance "})
    EXPECT_NE(text.find(policy), std::string::npos) << text;
  const std::string walks = output({"--channels", file("gmm.h5"), "--sequential", "--test", "0:4",
                                    "--n-pilots", "2", "--policies", "variance", "--n-particles",
                                    "4", "--sampler", "diffpir:prior=gmm,walk=fresh,levels=5"});
  EXPECT_NE(walks.find("variance "), std::string::npos) << walks;
  const std::string codebook =
      output({"--channels", file("gmm.h5"), "--prior", "mixture", "--n-channels", "10",
              "--n-pilots", "3", "--out", file("codebook.h5")});
  EXPECT_NE(codebook.find("criterion variance"), std::string::npos) << codebook;
  EXPECT_EQ(make_pilots(parse_pilots("file=" + file("codebook.h5")), 8, 1).P.n_cols, 3u);
}

TEST_F(RunPilots, FeedbackNeedsNoMixtureWithASampler) {
  Program fit({"fit", "lmmse", "--channels", file("scm.h5"), "--samples", "0:200", "--out",
               file("lmmse.h5")});
  ASSERT_EQ(fit.status(), 0) << fit.err();
  const std::string text =
      output({"--channels", file("scm.h5"), "--model", file("lmmse.h5"), "--sequential", "--test",
              "200:210", "--n-pilots", "2", "--n-particles", "4", "--sampler",
              "diffpir:prior=lmmse,walk=ancestral,levels=5", "--estimator", "lmmse"});
  EXPECT_NE(text.find("\nlmmse on 10 test channels"), std::string::npos) << text;
  EXPECT_NE(text.find("\nentropy "), std::string::npos) << text;
  EXPECT_EQ(text.find("exact-variance"), std::string::npos) << text;
}

TEST_F(RunPilots, BadInputIsExplainedBeforeWorkStarts) {
  const auto expect = [](const std::string& part, std::vector<std::string> more,
                         const std::string& channels = "scm.h5") {
    more.insert(more.begin(), {"--channels", file(channels)});
    const std::string text = output(more, 2);
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  expect("--n-pilots is 9, expected 1 .. 8", {"--n-pilots", "9"});
  expect("criterion is 'trac', expected trace, entropy or variance", {"--criterion", "trac"});
  expect("candidates is 'dtf', expected dft, dft-oversampled", {"--candidates", "dtf"});
  expect("--snr: 'inf' is not a number", {"--snr", "inf"});
  expect("--sequential knows no mixture", {"--sequential", "--test", "0:10"});
  expect("--prior mixture knows no mixture", {"--prior", "mixture"});
  expect("--sequential needs test channels", {"--sequential"}, "gmm.h5");
  expect("did you mean entropy?", {"--sequential", "--test", "0:9", "--policies", "entrop"},
         "gmm.h5");
  expect("overlap", {"--samples", "0:200", "--test", "199:300", "--compare"});
  expect("criterion trace is for --prior gaussian", {"--prior", "mixture", "--criterion", "trace"},
         "gmm.h5");
}

}  // namespace
}  // namespace chest::sim
