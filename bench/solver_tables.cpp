// NMSE of every solver on a Gaussian mixture whose denoiser, and whose conditional mean E[h | y],
// are exact: what the rules are worth when the prior is not in question.
//
//   solver_tables [solvers|geometries|full|pilots ...]      all without arguments; some minutes
#include <chest/estimators/common/enum_names.hpp>
#include <chest/estimators/diffusion/coarse_to_fine.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/ep.hpp>
#include <chest/estimators/diffusion/guidance.hpp>
#include <chest/estimators/diffusion/particles.hpp>
#include <chest/estimators/diffusion/red_diff.hpp>
#include <chest/estimators/diffusion/walk.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/linear/ls.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/sim/pilot_design.hpp>
#include <cstdio>
#include <functional>
#include <set>

#include "tests/support/cluster_mixture.hpp"
#include "tests/support/scene.hpp"

namespace chest {
namespace {

using Estimators = std::vector<std::pair<std::string, std::function<std::unique_ptr<Estimator>()>>>;

/// A prior with all that solvers take from it.
struct Prior {
  GaussianMixture mixture;
  std::shared_ptr<const Denoiser> denoiser;
  DenoiserErrors errors;
  arma::cx_mat C;

  Prior(GaussianMixture of, arma::uword n_rx, arma::uword n_tx, ErrorDetail detail, Rng& rng)
      : mixture(std::move(of)), denoiser(make_gaussian_mixture_denoiser(mixture)) {
    errors = measure_errors(*denoiser, samples_in_memory(draw(mixture, 2000, rng), n_rx, n_tx),
                            arma::logspace(-5.0, 2.6, 40), 1, detail, 2);
    C.zeros(mixture.n_h(), mixture.n_h());
    for (const arma::cx_mat& each : mixture.covariances) {
      C += each / static_cast<double>(mixture.n_components());
    }
  }
};

double nmse_db(const arma::cx_mat& h_hat, const arma::cx_mat& h) {
  return to_db(arma::accu(arma::square(arma::abs(h_hat - h))) /
               arma::accu(arma::square(arma::abs(h))));
}

/// Columns on all processors.
double nmse_db(const Estimator& estimator, const Scene& scene) {
  const arma::uword n = scene.h.n_cols, block = 10;
  arma::cx_mat h_hat(arma::size(scene.h));
  parallel_for((n + block - 1) / block, 0, [&](std::size_t i) {
    Observation part = scene.observation;
    const arma::uword first = i * block, last = std::min(first + block, n) - 1;
    part.y = scene.observation.y.cols(first, last);
    h_hat.cols(first, last) = estimator.estimate(part).h;
  });
  return nmse_db(h_hat, scene.h);
}

/// Rows of a table: the same channels for all, new noise for every SNR.
void print_rows(const std::string& head, const Prior& prior,
                std::shared_ptr<const ObservationOperator> A, arma::uword n_channels,
                const std::function<Estimators()>& make, std::uint64_t seed) {
  const std::vector<double> snrs{0.0, 10.0, 20.0};
  std::vector<std::pair<std::string, std::vector<double>>> rows;
  for (std::size_t i = 0; i < snrs.size(); ++i) {
    Rng rng = test_rng(seed);
    Scene scene;
    scene.A = A;
    scene.h = draw(prior.mixture, n_channels, rng);
    Rng noise = test_rng(seed, 1 + i);
    observe(scene, from_db(-snrs[i]), noise);
    std::size_t row = 0;
    for (const auto& [name, factory] : make()) {
      if (i == 0) rows.push_back({name, {}});
      rows[row++].second.push_back(nmse_db(*factory(), scene));
    }
  }
  for (const auto& [name, values] : rows) {
    std::printf("| %s%s |", head.c_str(), name.c_str());
    for (const double value : values) std::printf(" %.1f |", value);
    std::printf("\n");
  }
  std::fflush(stdout);
}

void print_head(const char* first) {
  std::printf("| %s | 0 dB | 10 dB | 20 dB |\n|---|---|---|---|\n", first);
}

WalkOptions walk(WalkUpdate update, arma::uword n_runs) {
  WalkOptions options;
  options.update = update;
  options.n_levels = 50;
  options.n_runs = n_runs;
  if (update == WalkUpdate::fresh) {
    options.tau2_first = 25.0;
    options.n_levels = 40;
    options.inner = 4;
  }
  return options;
}

void solvers() {
  std::printf(
      "## Half as many pilots as antennas: 16 antennas, 8 random QPSK rows, 100 channels\n\n");
  Rng rng = test_rng(2026);
  const Prior prior(cluster_mixture(16, 16, 16, rng), 1, 16, ErrorDetail::full, rng);
  Prior angular = prior;
  angular.errors =
      measure_errors(*prior.denoiser, samples_in_memory(draw(prior.mixture, 2000, rng), 1, 16),
                     prior.errors.sigma2, 1, ErrorDetail::angular, 2);
  const auto A =
      std::shared_ptr<const ObservationOperator>(make_dense_observation(qpsk_rows(8, 16, rng)));
  const auto D = prior.denoiser;

  const auto with = [&](VarianceKind kind, double lambda = 1.0) {
    VarianceModel variance;
    variance.kind = kind;
    variance.lambda = lambda;
    variance.errors = kind == VarianceKind::angular ? angular.errors : prior.errors;
    variance.n_rx = 1;
    variance.n_tx = 16;
    return variance;
  };
  const auto proximal = [&](const VarianceModel& variance) {
    ProximalOptions options;
    options.variance = variance;
    return std::shared_ptr<const Guidance>(make_proximal_guidance(A, D, options));
  };
  const auto gradient = [&](const VarianceModel& variance, bool legacy = false) {
    GradientOptions options;
    options.variance = variance;
    options.legacy_weight = legacy;
    return std::shared_ptr<const Guidance>(make_gradient_guidance(A, D, options));
  };
  const auto dds = [&](double gamma) {
    ProximalOptions options;
    options.dds_steps = 5;
    options.dds_gamma = gamma;
    return std::shared_ptr<const Guidance>(make_proximal_guidance(A, D, options));
  };
  std::vector<std::pair<std::string, std::shared_ptr<const Guidance>>> guidances{
      {"PiGDM", gradient(with(VarianceKind::unit))},
      {"PiGDM, extra r2 weight", gradient(with(VarianceKind::unit), true)},
      {"Type I, analytic", gradient(with(VarianceKind::analytic))},
      {"Type I, full", gradient(with(VarianceKind::full))},
      {"Type II, unit", proximal(with(VarianceKind::unit))},
      {"Type II, DiffPIR lambda 1", proximal(with(VarianceKind::scaled))},
      {"Type II, DiffPIR lambda 7", proximal(with(VarianceKind::scaled, 7.0))},
      {"Type II, analytic", proximal(with(VarianceKind::analytic))},
      {"Type II, angular", proximal(with(VarianceKind::angular))},
      {"Type II, full", proximal(with(VarianceKind::full))},
      {"TMPD, proper", proximal(with(VarianceKind::tweedie_proper))},
      {"TMPD, real-stacked", proximal(with(VarianceKind::tweedie))},
      {"DMPS", make_flat_guidance(A, D)},
      {"DDS gamma 5", dds(5.0)},
      {"DPS zeta 0.4", make_dps_guidance(A, D, 0.4)},
      {"DPS zeta 1.6", make_dps_guidance(A, D, 1.6)}};
  ProximalOptions noise_free;
  noise_free.noise_free = true;
  guidances.push_back({"DDNM", make_proximal_guidance(A, D, noise_free)});

  print_head("method");
  print_rows(
      "", prior, A, 100,
      [&] {
        Estimators all{{"LS", [&] { return make_ls(A); }},
                       {"LMMSE", [&] { return make_lmmse(A, prior.C); }},
                       {"E[h given y]", [&] { return make_gmm(A, prior.mixture); }}};
        for (const auto& [name, guidance] : guidances) {
          const auto g = guidance;
          all.push_back({name + ", one ancestral sample",
                         [=] { return make_walk(g, walk(WalkUpdate::ancestral, 1)); }});
          all.push_back({name + ", 8 averaged",
                         [=] { return make_walk(g, walk(WalkUpdate::ancestral, 8)); }});
          all.push_back({name + ", mean", [=] { return make_walk(g, walk(WalkUpdate::mean, 1)); }});
          if (name == "PiGDM" || name == "Type II, DiffPIR lambda 1" || name == "DDNM") {
            all.push_back({name + ", fresh x4, one",
                           [=] { return make_walk(g, walk(WalkUpdate::fresh, 1)); }});
            all.push_back({name + ", fresh x4, 8 averaged",
                           [=] { return make_walk(g, walk(WalkUpdate::fresh, 8)); }});
          }
        }
        const auto flow = std::shared_ptr<const Guidance>(make_skip_gradient_guidance(A, D));
        all.push_back({"FlowChef, one", [=] { return make_walk(flow, walk(WalkUpdate::ode, 1)); }});
        all.push_back(
            {"FlowChef, 8 averaged", [=] { return make_walk(flow, walk(WalkUpdate::ode, 8)); }});
        for (const double noise : {1.0, 0.0}) {
          const auto score = std::shared_ptr<const Guidance>(make_flat_guidance(A, D, true));
          WalkOptions options = walk(WalkUpdate::langevin, 1);
          options.inner = 3;
          options.langevin_noise = noise;
          all.push_back(
              {noise > 0 ? "annealed Langevin, one sample" : "annealed Langevin, no noise",
               [=] { return make_walk(score, options); }});
        }
        all.push_back({"RED-diff", [&] { return make_red_diff(A, D); }});
        all.push_back({"coarse to fine, one", [&] { return make_coarse_to_fine(A, D); }});
        for (const ParticlePotential potential :
             {ParticlePotential::tweedie, ParticlePotential::isotropic, ParticlePotential::flat}) {
          ParticleOptions options;
          options.potential = potential;
          all.push_back(
              {std::string("SMC, 16 particles, ") + name_of(particle_potential_names, potential),
               [=, &A, &D] { return make_particles(A, D, options); }});
        }
        EpOptions ep;
        ep.errors = prior.errors;
        all.push_back({"EP, 20 calls", [=, &A, &D] { return make_ep(A, D, ep); }});
        ep.fallback = make_walk(proximal(with(VarianceKind::scaled)), walk(WalkUpdate::mean, 1));
        all.push_back({"EP, falling back", [=, &A, &D] { return make_ep(A, D, ep); }});
        return all;
      },
      5);
  std::printf("\n");
}

void geometries() {
  std::printf("## Pilots: NMSE in dB\n\n");
  Rng rng = test_rng(2027);
  const Prior line(cluster_mixture(16, 16, 16, rng), 1, 16, ErrorDetail::mse, rng);
  const Prior square(cluster_mixture_2d(8, 24, rng), 8, 8, ErrorDetail::mse, rng);
  const arma::cx_mat F = arma::fft(arma::cx_mat(16, 16, arma::fill::eye)) / 4.0;
  struct Case {
    std::string name;
    const Prior* prior;
    std::shared_ptr<const ObservationOperator> A;
  };
  const arma::uvec every_second = arma::regspace<arma::uvec>(0, 2, 14);
  arma::uvec random = arma::regspace<arma::uvec>(0, 15);
  for (arma::uword i = 15; i > 0; --i) std::swap(random(i), random(rng.index(i + 1)));
  random = arma::sort(random.head(8).eval());
  const std::vector<Case> cases{
      {"16 antennas, QPSK 4", &line, make_dense_observation(qpsk_rows(4, 16, rng))},
      {"16 antennas, QPSK 8", &line, make_dense_observation(qpsk_rows(8, 16, rng))},
      {"16 antennas, QPSK 12", &line, make_dense_observation(qpsk_rows(12, 16, rng))},
      {"16 antennas, every 2nd beam", &line, make_dense_observation(F.rows(every_second))},
      {"16 antennas, every 2nd antenna", &line, make_mask_observation(every_second, 16)},
      {"16 antennas, 8 random antennas", &line, make_mask_observation(random, 16)},
      {"8x8, QPSK 4 of 8", &square, make_kronecker_observation(qpsk_rows(4, 8, rng).st(), 8)}};
  print_head("pilots, method");
  for (const Case& c : cases) {
    const auto A = c.A;
    const auto D = c.prior->denoiser;
    print_rows(
        c.name + ", ", *c.prior, A, c.prior == &line ? 300 : 100,
        [&] {
          Estimators all{{"LMMSE", [&] { return make_lmmse(A, c.prior->C); }},
                         {"E[h given y]", [&] { return make_gmm(A, c.prior->mixture); }}};
          const auto type2 = std::shared_ptr<const Guidance>(make_proximal_guidance(A, D));
          EpOptions ep;
          ep.errors = c.prior->errors;
          all.push_back({"EP", [=] { return make_ep(A, D, ep); }});
          ep.fallback = make_walk(type2, walk(WalkUpdate::mean, 1));
          all.push_back({"EP, falling back", [=] { return make_ep(A, D, ep); }});
          all.push_back(
              {"Type II mean", [=] { return make_walk(type2, walk(WalkUpdate::mean, 1)); }});
          all.push_back({"Type II fresh x4, 8 averaged",
                         [=] { return make_walk(type2, walk(WalkUpdate::fresh, 8)); }});
          ProximalOptions tmpd;
          tmpd.variance.kind = VarianceKind::tweedie_proper;
          const auto tweedie = std::shared_ptr<const Guidance>(make_proximal_guidance(A, D, tmpd));
          all.push_back(
              {"TMPD mean", [=] { return make_walk(tweedie, walk(WalkUpdate::mean, 1)); }});
          return all;
        },
        7);
  }
  std::printf("\n");
}

/// Beams of 16 chosen with and without feedback: E[h | y] after 1 .. 8 of them, 10 dB.
void full() {
  std::printf("## As many pilots as antennas, A = I: one call against chains, 16 antennas\n\n");
  Rng rng = test_rng(2028);
  const Prior prior(cluster_mixture(16, 16, 16, rng), 1, 16, ErrorDetail::mse, rng);
  const auto A = std::shared_ptr<const ObservationOperator>(make_identity_observation(1, 16));
  print_head("method");
  print_rows(
      "", prior, A, 300,
      [&] {
        Estimators all{{"LS", [&] { return make_ls(A); }},
                       {"E[h given y]", [&] { return make_gmm(A, prior.mixture); }}};
        for (const arma::uword n : {1u, 3u, 10u, 50u}) {
          DmseOptions options;
          options.rule = ReverseRule::fixed_steps;
          options.n_steps = n;
          all.push_back({"mean chain, " + std::to_string(n) + (n == 1 ? " call" : " calls"),
                         [=, &A] { return make_dmse(A, prior.denoiser, options); }});
        }
        const auto type2 =
            std::shared_ptr<const Guidance>(make_proximal_guidance(A, prior.denoiser));
        for (const WalkUpdate update : {WalkUpdate::mean, WalkUpdate::ode, WalkUpdate::ancestral}) {
          all.push_back({std::string("Type II, ") + to_string(update) + ", 50 calls",
                         [=] { return make_walk(type2, walk(update, 1)); }});
        }
        return all;
      },
      9);
  std::printf("\n");
}

void pilots() {
  using namespace sim;
  std::printf("## Beams chosen one by one: 16 antennas, 16 DFT beams, 10 dB, 400 channels\n\n");
  Rng rng = test_rng(2028);
  const GaussianMixture prior = cluster_mixture(16, 16, 16, rng);
  const arma::cx_mat h = draw(prior, 400, rng), h_design = draw(prior, 400, rng);
  const arma::cx_mat candidates = pilot_candidates(CandidateKind::dft, 16, 1);
  FeedbackOptions options;
  options.n_threads = available_threads();
  const PilotDesign gaussian = design_pilots(
      second_moment(prior), candidates, {options.n_pilots, options.sigma2, PilotCriterion::trace});
  options.first = gaussian.chosen(0);
  const arma::uvec counts{1, 2, 3, 4, 6, 8};
  const EstimatorMaker make = [&](std::shared_ptr<const ObservationOperator> A) {
    return std::shared_ptr<const Estimator>(make_gmm(std::move(A), prior));
  };
  std::printf("| policy | 1 | 2 | 3 | 4 | 6 | 8 beams |\n|---|---|---|---|---|---|---|\n");
  const auto print = [&](const std::string& name, const arma::vec& nmse) {
    std::printf("| %s |", name.c_str());
    for (const double value : nmse) std::printf(" %.2f |", to_db(value));
    std::printf("\n");
    std::fflush(stdout);
  };
  const auto row = [&](const std::string& name, const arma::umat& chosen) {
    print(name, pilot_nmse(h, candidates, chosen, counts, make, options.sigma2, options.seed,
                           options.n_threads));
  };
  row("random", random_choice(16, 8, h.n_cols, 1));
  arma::vec uniform(counts.n_elem);
  for (arma::uword i = 0; i < counts.n_elem; ++i) {
    uniform(i) =
        arma::as_scalar(pilot_nmse(h, candidates, uniform_choice(16, counts(i)), counts.row(i),
                                   make, options.sigma2, options.seed, options.n_threads));
  }
  print("every k-th beam", uniform);
  row("designed, covariance", gaussian.chosen);
  const PosteriorSampler exact = make_mixture_sampler(prior, 1);
  const PilotScore variance = make_particle_score(exact, candidates, PilotCriterion::variance);
  FeedbackOptions common = options;
  common.common = true;
  row("designed, mean over particles", choose_pilots(h_design, candidates, variance, common));
  const auto feedback = [&](const std::string& name, const PilotScore& score) {
    row(name, choose_pilots(h, candidates, score, options));
  };
  feedback("variance", variance);
  feedback("entropy", make_particle_score(exact, candidates, PilotCriterion::entropy));
  feedback("exact variance", make_mixture_score(prior, candidates));
  feedback("variance, 16 draws",
           make_particle_score(exact, candidates, PilotCriterion::variance, 16));
  // Particles as a fitted prior has them: walks with the denoiser.
  const std::shared_ptr<const Denoiser> D = make_gaussian_mixture_denoiser(prior);
  const PosteriorSampler walks = make_estimator_sampler(
      [&](std::shared_ptr<const ObservationOperator> A) {
        WalkOptions walking = walk(WalkUpdate::fresh, 1);
        walking.n_levels = 20;
        walking.inner = 2;
        return std::shared_ptr<const Estimator>(
            make_walk(make_proximal_guidance(std::move(A), D), walking));
      },
      1);
  feedback("variance, 16 walks (fresh, 20 x 2)",
           make_particle_score(walks, candidates, PilotCriterion::variance, 16));
  feedback("entropy, 16 walks (fresh, 20 x 2)",
           make_particle_score(walks, candidates, PilotCriterion::entropy, 16));
  std::printf("\n");
}

}  // namespace
}  // namespace chest

int main(int argc, char** argv) {
  const chest::OneBlasThread one_blas_thread;
  const std::set<std::string> wanted(argv + 1, argv + argc);
  const std::vector<std::pair<std::string, void (*)()>> parts{{"solvers", chest::solvers},
                                                              {"geometries", chest::geometries},
                                                              {"full", chest::full},
                                                              {"pilots", chest::pilots}};
  for (const auto& [name, run] : parts) {
    if (wanted.empty() || wanted.count(name)) run();
  }
}
