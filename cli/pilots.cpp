#include <algorithm>
#include <cmath>
#include <iomanip>
#include <memory>
#include <optional>
#include <ostream>

#include <chest/archive.hpp>
#include <chest/spec.hpp>
#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/metrics.hpp>
#include <chest/sim/pilot_design.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/text.hpp>

#include "args.hpp"

namespace chest::cli {
namespace {

using sim::CandidateKind;
using sim::EstimatorMaker;
using sim::PilotCriterion;

/// Draws that a random choice is the mean of.
constexpr arma::uword n_random = 4;

struct PilotsFlags {
  ChannelFlags channels;
  std::vector<std::string> models;
  std::string out, candidates = "dft", criterion, prior = "gaussian", test;
  std::string policies = "designed,random,uniform,variance,entropy,exact-variance";
  std::string sampler = "gmm", estimator = "gmm", device = "cpu";
  arma::uword n_pilots = 4, n_channels = 256, n_particles = 32;
  double snr_db = 10.0;
  std::uint64_t seed = 1;
  unsigned threads = 0;
  bool compare = false, sequential = false, force = false;
};

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  const std::string near = nearest(word, known);
  return near.empty() ? "; there are " + enumerate(known) : ", did you mean " + near + "?";
}

/// What the commands below work on.
struct Setting {
  PilotsFlags flags;
  double sigma2 = 0.1;
  unsigned n_threads = 1;
  CandidateKind kind{};
  PilotCriterion criterion{};
  arma::uword n_rx = 0, n_tx = 0;
  arma::cx_mat candidates;
  std::shared_ptr<const GaussianMixture> mixture;  ///< null: not known, or not asked for
  EstimatorContext context;
  arma::uvec counts;  ///< numbers of pilots that tables show

  EstimatorMaker maker(const std::string& spec) const {
    return [this, named = parse_named_options(spec)](
               std::shared_ptr<const ObservationOperator> A) -> std::shared_ptr<const Estimator> {
      EstimatorContext here = context;
      here.A = std::move(A);
      return make_estimator(named, here);
    };
  }
  sim::PosteriorSampler sampler() const {
    if (flags.sampler == "gmm") return sim::make_mixture_sampler(*mixture, flags.seed);
    return sim::make_estimator_sampler(maker(flags.sampler), flags.seed);
  }
  arma::vec nmse(const arma::cx_mat& h, const arma::cx_mat& P, const arma::umat& chosen,
                 const arma::uvec& of, const EstimatorMaker& make) const {
    return sim::pilot_nmse(h, P, chosen, of, make, sigma2, flags.seed, n_threads);
  }
};

/// Columns of a table: every number of pilots, or eight of them.
arma::uvec shown_counts(arma::uword n_pilots) {
  if (n_pilots <= 8) return arma::regspace<arma::uvec>(1, n_pilots);
  arma::uvec counts(8);
  for (arma::uword i = 0; i < 8; ++i) counts(i) = (i + 1) * n_pilots / 8;
  return counts;
}

class Table {
 public:
  Table(std::ostream& out, const std::string& first, const arma::uvec& counts) : out_(out) {
    out_ << std::left << std::setw(width) << first << std::right;
    for (const arma::uword n : counts) out_ << std::setw(8) << n;
    out_ << '\n';
  }
  void row(const std::string& name, const arma::vec& nmse) {
    out_ << std::left << std::setw(width) << name << std::right << std::fixed
         << std::setprecision(2);
    for (const double value : nmse) out_ << std::setw(8) << to_db(value);
    out_ << std::endl;
  }

 private:
  static constexpr int width = 22;
  std::ostream& out_;
};

/// Pilot matrices that do not come from a design, for each number of pilots.
struct Baseline {
  std::string name;
  std::function<arma::cx_mat(arma::uword n, arma::uword i_draw)> pilots;
  arma::uword n_draws = 1;
};

std::vector<Baseline> baselines(const Setting& s) {
  const auto choose = [&s](const arma::umat& chosen, arma::uword n) {
    return arma::cx_mat(s.candidates.cols(arma::uvec(chosen.col(0).head(n))));
  };
  const auto kind = [&s](sim::PilotKind of, arma::uword n, std::uint64_t seed) {
    sim::PilotSpec spec;
    spec.kind = of;
    spec.n_pilots = n;
    return sim::make_pilots(spec, s.n_tx, seed).P;
  };
  return {{"random candidates",
           [=, &s](arma::uword n, arma::uword i) {
             return choose(
                 sim::random_choice(s.candidates.n_cols, s.flags.n_pilots, 1, s.flags.seed + i), n);
           },
           n_random},
          {"every k-th candidate",
           [=, &s](arma::uword n, arma::uword) {
             return choose(sim::uniform_choice(s.candidates.n_cols, n), n);
           }},
          {"dft:N", [=](arma::uword n, arma::uword) { return kind(sim::PilotKind::dft, n, 0); }},
          {"qpsk:N",
           [=, &s](arma::uword n, arma::uword i) {
             return kind(sim::PilotKind::qpsk, n, s.flags.seed + i);
           },
           n_random}};
}

/// The table of --compare: what the covariance predicts, and what LMMSE reaches on test channels.
void compare(const Setting& s, const arma::cx_mat& C, const arma::cx_mat& designed,
             const arma::cx_mat& h_test, std::ostream& out) {
  const auto print = [&](const std::string& title, const auto& nmse_of) {
    out << '\n' << title << '\n';
    Table table(out, "pilots", s.counts);
    const auto row = [&](const Baseline& b) {
      arma::vec nmse(s.counts.n_elem, arma::fill::zeros);
      for (arma::uword i = 0; i < b.n_draws; ++i)
        for (arma::uword j = 0; j < s.counts.n_elem; ++j)
          nmse(j) += nmse_of(b.pilots(s.counts(j), i)) / double(b.n_draws);
      table.row(b.name, nmse);
    };
    row({"designed", [&](arma::uword n, arma::uword) { return designed.head_cols(n).eval(); }});
    for (const Baseline& b : baselines(s)) row(b);
  };
  print("LMMSE as the covariance predicts it, NMSE dB over the number of pilots:",
        [&](const arma::cx_mat& P) {
          return arma::as_scalar(sim::predicted_lmmse_nmse(C, P, s.sigma2).tail(1));
        });
  if (h_test.is_empty()) return;
  const EstimatorMaker lmmse = [&](std::shared_ptr<const ObservationOperator> A) {
    return std::shared_ptr<const Estimator>(make_lmmse(std::move(A), C));
  };
  print("LMMSE measured on " + std::to_string(h_test.n_cols) +
            " test channels, NMSE dB over the number of pilots:",
        [&](const arma::cx_mat& P) {
          const arma::uvec all = arma::regspace<arma::uvec>(0, P.n_cols - 1);
          return arma::as_scalar(s.nmse(h_test, P, all, arma::uvec{P.n_cols}, lmmse));
        });
}

const std::vector<std::string> known_policies{"designed", "random",  "uniform",
                                              "variance", "entropy", "exact-variance"};

/// The table of --sequential: each channel of the test gets its pilots one by one.
void feedback(const Setting& s, const arma::uvec& designed, const arma::cx_mat& h,
              const std::vector<std::string>& policies, std::ostream& out) {
  sim::FeedbackOptions options;
  options.n_pilots = s.flags.n_pilots;
  options.sigma2 = s.sigma2;
  options.first = designed(0);
  options.seed = s.flags.seed;
  options.n_threads = s.n_threads;
  const EstimatorMaker make = s.maker(s.flags.estimator);
  out << "\n"
      << s.flags.estimator << " on " << h.n_cols
      << " test channels, NMSE dB over the number of pilots:\n";
  Table table(out, "policy", s.counts);
  for (const std::string& policy : policies) {
    if (policy == "uniform") {
      arma::vec nmse(s.counts.n_elem);
      for (arma::uword j = 0; j < nmse.n_elem; ++j) {
        const arma::uvec chosen = sim::uniform_choice(s.candidates.n_cols, s.counts(j));
        nmse(j) = arma::as_scalar(s.nmse(h, s.candidates, chosen, arma::uvec{s.counts(j)}, make));
      }
      table.row(policy, nmse);
      continue;
    }
    arma::umat chosen;
    if (policy == "designed") {
      chosen = designed;
    } else if (policy == "random") {
      chosen = sim::random_choice(s.candidates.n_cols, options.n_pilots, h.n_cols, s.flags.seed);
    } else {
      const sim::PilotScore score =
          policy == "exact-variance"
              ? sim::make_mixture_score(*s.mixture, s.candidates)
              : sim::make_particle_score(s.sampler(), s.candidates,
                                         sim::pilot_criterion_from_string(policy),
                                         s.flags.n_particles);
      chosen = sim::choose_pilots(h, s.candidates, score, options);
    }
    table.row(policy, s.nmse(h, s.candidates, chosen, s.counts, make));
  }
}

std::vector<std::string> parse_policies(const PilotsFlags& flags, bool has_mixture, bool given) {
  std::vector<std::string> policies;
  for (const std::string& policy : split(flags.policies, ',')) {
    if (std::find(known_policies.begin(), known_policies.end(), policy) == known_policies.end())
      refuse("there is no policy '" + policy + "'" + did_you_mean(policy, known_policies));
    if (policy == "exact-variance" && !has_mixture) {
      if (given) refuse("the policy exact-variance needs a mixture: --model MODEL of kind gmm");
      continue;
    }
    policies.push_back(policy);
  }
  return policies;
}

void save_pilots(const std::string& file, const CommandLine& line, const Setting& s,
                 const arma::uvec& chosen) {
  ArchiveWriter archive(file);
  write_provenance(archive, "chest-pilots", 1, line.provenance(s.flags.seed));
  archive.write("/pilots", arma::cx_mat(s.candidates.cols(chosen)));
  archive.write("/chosen", arma::conv_to<arma::mat>::from(chosen));
  archive.commit();
}

}  // namespace

int pilots(const Args& args, std::ostream& out) {
  Setting s;
  PilotsFlags& flags = s.flags;
  CommandLine line(
      "pilots", "chest pilots --channels FILE [--samples a:b] --n-pilots N [--out P.h5] [options]",
      "Chooses pilots, one after the other, for the covariance of channels or for a mixture; "
      "--pilots file=P.h5 sends them\nin a sweep. With --sequential each test channel gets its "
      "next pilot by what was received of it, as beam sweeping\nwith feedback can.");
  auto flag = line.flags().add_options();
  flags.channels.add(line.flags());
  flag("n-pilots", field(flags.n_pilots), "pilot slots");
  flag("candidates", field(flags.candidates),
       "where pilots are chosen from: dft, dft-oversampled (4 beams per antenna), antennas, qpsk");
  flag("prior", field(flags.prior),
       "gaussian: the covariance of the samples, or of --model; mixture: the mean over samples of "
       "what a mixture leaves uncertain");
  flag("criterion", optional_field(flags.criterion),
       "trace (error of LMMSE; the default of gaussian), entropy or variance (the default of "
       "mixture)");
  flag("snr", field(flags.snr_db), "SNR in dB that the pilots are chosen for and compared at");
  flag("model", optional_field(flags.models)->composing(),
       "model of kind lmmse or gmm: covariance or mixture; of the kind that --sampler needs");
  flag("out", optional_field(flags.out), "where to write P, for --pilots file=P.h5");
  flag("compare", po::bool_switch(&flags.compare),
       "a table of LMMSE with these and other pilots: predicted, and measured on --test");
  flag("sequential", po::bool_switch(&flags.sequential),
       "a table of policies with feedback on the channels of --test");
  flag("test", optional_field(flags.test), "first:end of the samples of the tables");
  flag("policies", field(flags.policies), "rows of --sequential");
  flag("n-particles", field(flags.n_particles), "draws from the posterior per choice");
  flag("sampler", field(flags.sampler),
       "what draws them: gmm (exactly), or an estimator that samples, as "
       "diffpir:walk=fresh,levels=20");
  flag("estimator", field(flags.estimator), "whose NMSE --sequential shows");
  flag("n-channels", field(flags.n_channels), "channels that prior=mixture takes the mean over");
  flag("seed", field(flags.seed), "same seed, same numbers, for any number of threads");
  flag("threads", field(flags.threads), "worker threads; 0: all processors");
  flag("device", field(flags.device), "where networks run: auto, cpu, cuda, cuda:N");
  flag("force", po::bool_switch(&flags.force), "replace an existing file");
  if (!line.parse(args, out)) return 0;

  line.require("channels", "the file with the channels");
  if (!std::isfinite(flags.snr_db) || std::abs(flags.snr_db) > 200.0)
    refuse("--snr is " + std::to_string(flags.snr_db) + ", expected -200 .. 200 dB");
  s.sigma2 = from_db(-flags.snr_db);
  s.n_threads = n_threads(flags.threads);
  s.kind = sim::candidate_kind_from_string(flags.candidates);
  const bool for_mixture = flags.prior == "mixture";
  if (!for_mixture && flags.prior != "gaussian")
    refuse("--prior is '" + flags.prior + "'" + did_you_mean(flags.prior, {"gaussian", "mixture"}));
  if (flags.criterion.empty()) flags.criterion = for_mixture ? "variance" : "trace";
  s.criterion = sim::pilot_criterion_from_string(flags.criterion);
  if (for_mixture && s.criterion == PilotCriterion::trace)
    refuse("--criterion trace is for --prior gaussian; expected variance or entropy");
  if (flags.sequential && flags.test.empty())
    refuse("--sequential needs test channels; give --test first:end");
  if (flags.n_channels == 0) refuse("--n-channels is 0, expected 1 or more");
  if (flags.n_particles < 2)
    refuse("--n-particles is " + std::to_string(flags.n_particles) + ", expected 2 or more");
  if (!flags.out.empty()) check_output(flags.out, flags.force);

  const Dataset dataset = flags.channels.open();
  s.n_rx = s.context.n_rx = dataset.info().n_rx;
  s.n_tx = s.context.n_tx = dataset.info().n_tx;
  s.context.device = flags.device;
  const auto [first, end] = flags.channels.range(dataset);
  s.candidates = sim::pilot_candidates(s.kind, s.n_tx, flags.seed);
  if (flags.n_pilots == 0 || flags.n_pilots > s.candidates.n_cols)
    refuse("--n-pilots is " + std::to_string(flags.n_pilots) + ", expected 1 .. " +
           std::to_string(s.candidates.n_cols) + ", the number of candidates " + flags.candidates);
  s.counts = shown_counts(flags.n_pilots);

  s.context.models = std::make_shared<ModelStore>(
      std::vector<std::filesystem::path>(flags.models.begin(), flags.models.end()));
  arma::cx_mat C;
  std::string covariance_of;
  for (const ModelStore::Info& info : s.context.models->files()) {
    if (info.n_rx != s.n_rx || info.n_tx != s.n_tx)
      refuse(info.file.string() + " is for " + std::to_string(info.n_rx) + "x" +
             std::to_string(info.n_tx) + " channels, these are " + std::to_string(s.n_rx) + "x" +
             std::to_string(s.n_tx));
    if (info.kind == "gmm") {
      s.mixture = std::make_shared<const GaussianMixture>(load_gmm_model(info.file).prior);
    } else if (info.kind == "lmmse") {
      C = load_lmmse_model(info.file).C;
    }
    if (info.kind == "gmm" || info.kind == "lmmse") covariance_of = info.file.string();
  }
  if (!s.mixture && (flags.sequential || for_mixture)) {
    if (std::optional<GaussianMixture> own = dataset.prior())
      s.mixture = std::make_shared<const GaussianMixture>(std::move(*own));
  }
  s.context.prior = s.mixture;
  const bool exact = flags.sampler == "gmm" || flags.estimator == "gmm";
  if (!s.mixture && (for_mixture || (flags.sequential && exact)))
    refuse(
        std::string(for_mixture ? "--prior mixture" : "--sequential") +
        " knows no mixture; give --model MODEL of kind gmm, or channels of 'chest generate gmm'" +
        (for_mixture ? "" : ", or --sampler and --estimator that need none"));
  if (C.is_empty() && !covariance_of.empty()) C = second_moment(*s.mixture);
  const std::vector<std::string> policies =
      flags.sequential ? parse_policies(flags, s.mixture != nullptr, line.given("policies"))
                       : std::vector<std::string>{};
  arma::cx_mat h_test;
  if (!flags.test.empty()) {
    const auto [from, to] = parse_samples(flags.test, dataset.info().n_samples, "--test");
    const bool fits_samples = for_mixture || (C.is_empty() && !(flags.sequential && s.mixture));
    if (fits_samples && from < end && first < to)
      refuse("--test " + flags.test + " and --samples " + flags.channels.samples +
             " overlap; pilots are tried on channels that they were not chosen for");
    h_test = dataset.read(from, to - from);
  }
  const SampleReader samples = subrange(dataset.samples(), first, end - first);
  if (C.is_empty() && flags.sequential && s.mixture) {
    C = second_moment(*s.mixture);
    covariance_of = "the mixture";
  } else if (C.is_empty()) {
    C = sample_covariance(samples);
    covariance_of = std::to_string(samples.n_samples) + " channels";
  }

  sim::PilotDesignOptions options;
  options.n_pilots = flags.n_pilots;
  options.sigma2 = s.sigma2;
  options.criterion = s.criterion;
  options.n_threads = s.n_threads;
  arma::uvec chosen;
  if (for_mixture) {
    options.n_pilots = 1;
    sim::FeedbackOptions common;
    common.n_pilots = flags.n_pilots;
    common.sigma2 = s.sigma2;
    common.first = sim::design_pilots(C, s.candidates, options).chosen(0);
    common.common = true;
    common.seed = flags.seed;
    common.n_threads = s.n_threads;
    const SampleReader some = spread(samples, flags.n_channels);
    chosen = sim::choose_pilots(
        some.read(0, some.n_samples), s.candidates,
        sim::make_particle_score(s.sampler(), s.candidates, s.criterion, flags.n_particles),
        common);
  } else {
    chosen = sim::design_pilots(C, s.candidates, options).chosen;
  }
  const arma::cx_mat P = s.candidates.cols(chosen);
  const arma::vec nmse = sim::predicted_lmmse_nmse(C, P, s.sigma2);

  out << flags.n_pilots << " of " << s.candidates.n_cols << " candidates " << flags.candidates
      << " for channels " << s.n_rx << "x" << s.n_tx << " at " << flags.snr_db << " dB: prior "
      << flags.prior << ", criterion " << flags.criterion << ", covariance of " << covariance_of
      << '\n'
      << "pilot  candidate  NMSE dB that LMMSE has then\n"
      << std::fixed << std::setprecision(2);
  for (arma::uword i = 0; i < chosen.n_elem; ++i)
    out << std::setw(5) << i + 1 << std::setw(11) << chosen(i) << std::setw(9) << to_db(nmse(i))
        << '\n';
  if (!flags.out.empty()) save_pilots(flags.out, line, s, chosen);
  if (flags.compare) compare(s, C, P, h_test, out);
  if (flags.sequential) feedback(s, chosen, h_test, policies, out);
  return 0;
}

}  // namespace chest::cli
