#include <algorithm>
#include <cmath>
#include <iomanip>
#include <memory>
#include <optional>
#include <ostream>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/metrics.hpp>
#include <chest/sim/pilot_design.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

#include "commands.hpp"
#include "flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
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
  std::string sampler = "gmm", estimator = "gmm";
  arma::uword n_pilots = 4, n_channels = 256, n_particles = 32;
  double snr_db = 10.0;
  CommonFlags common;
  bool compare = false, sequential = false, force = false;

  bool for_mixture() const { return prior == "mixture"; }
};

/// What the commands below work on.
struct Setting {
  explicit Setting(const Catalog& known_estimators) : catalog(known_estimators) {}

  const Catalog& catalog;
  PilotsFlags flags;
  double sigma2 = 0.1;
  unsigned n_threads = 1;
  CandidateKind kind{};
  PilotCriterion criterion{};
  arma::uword n_rx = 0, n_tx = 0;
  arma::cx_mat candidates;
  std::shared_ptr<const GaussianMixture> mixture;  ///< null: not known, or not asked for
  EstimatorContext known;
  arma::uvec counts;          ///< numbers of pilots that tables show
  arma::cx_mat C;             ///< covariance that pilots are chosen for
  std::string covariance_of;  ///< where it comes from, for people
  SampleReader samples;       ///< that pilots are chosen for
  arma::cx_mat h_test;        ///< channels of the tables; empty: none

  EstimatorMaker maker(const std::string& spec) const {
    return [this, named = parse_named_options(spec)](std::shared_ptr<const ObservationOperator> A) {
      return make_for(catalog, named, known, std::move(A));
    };
  }
  sim::PosteriorSampler sampler() const {
    if (flags.sampler == "gmm") return sim::make_mixture_sampler(*mixture, flags.common.seed);
    return sim::make_estimator_sampler(maker(flags.sampler), flags.common.seed);
  }
  arma::vec nmse(const arma::cx_mat& h, const arma::cx_mat& P, const arma::umat& chosen,
                 const arma::uvec& of, const EstimatorMaker& make) const {
    return sim::pilot_nmse(h, P, chosen, of, make, sigma2, flags.common.seed, n_threads);
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
             return choose(sim::random_choice(s.candidates.n_cols, s.flags.n_pilots, 1,
                                              s.flags.common.seed + i),
                           n);
           },
           n_random},
          {"every k-th candidate",
           [=, &s](arma::uword n, arma::uword) {
             return choose(sim::uniform_choice(s.candidates.n_cols, n), n);
           }},
          {"dft:N", [=](arma::uword n, arma::uword) { return kind(sim::PilotKind::dft, n, 0); }},
          {"qpsk:N",
           [=, &s](arma::uword n, arma::uword i) {
             return kind(sim::PilotKind::qpsk, n, s.flags.common.seed + i);
           },
           n_random}};
}

/// The table of --compare: what the covariance predicts, and what LMMSE reaches on test channels.
void compare(const Setting& s, const arma::cx_mat& designed, std::ostream& out) {
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
          return arma::as_scalar(sim::predicted_lmmse_nmse(s.C, P, s.sigma2).tail(1));
        });
  if (s.h_test.is_empty()) return;
  const EstimatorMaker lmmse = [&](std::shared_ptr<const ObservationOperator> A) {
    return std::shared_ptr<const Estimator>(make_lmmse(std::move(A), s.C));
  };
  print("LMMSE measured on " + std::to_string(s.h_test.n_cols) +
            " test channels, NMSE dB over the number of pilots:",
        [&](const arma::cx_mat& P) {
          const arma::uvec all = arma::regspace<arma::uvec>(0, P.n_cols - 1);
          return arma::as_scalar(s.nmse(s.h_test, P, all, arma::uvec{P.n_cols}, lmmse));
        });
}

const std::vector<std::string> known_policies{"designed", "random",  "uniform",
                                              "variance", "entropy", "exact-variance"};

/// The table of --sequential: each channel of the test gets its pilots one by one.
void feedback(const Setting& s, const arma::uvec& designed,
              const std::vector<std::string>& policies, std::ostream& out) {
  const arma::cx_mat& h = s.h_test;
  sim::FeedbackOptions options;
  options.n_pilots = s.flags.n_pilots;
  options.sigma2 = s.sigma2;
  options.first = designed(0);
  options.seed = s.flags.common.seed;
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
      chosen =
          sim::random_choice(s.candidates.n_cols, options.n_pilots, h.n_cols, s.flags.common.seed);
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

/// The rows of --sequential; exact-variance is left out where no mixture is known, unless it was
/// asked for.
std::vector<std::string> policies_of(const Setting& s, const CommandLine& line) {
  std::vector<std::string> policies;
  if (!s.flags.sequential) return policies;
  for (const std::string& policy : split(s.flags.policies, ',')) {
    if (std::find(known_policies.begin(), known_policies.end(), policy) == known_policies.end())
      refuse("there is no policy '" + policy + "'" + did_you_mean(policy, known_policies));
    if (policy == "exact-variance" && !s.mixture) {
      if (!line.given("policies")) continue;
      refuse("the policy exact-variance needs a mixture: --model MODEL of kind gmm");
    }
    policies.push_back(policy);
  }
  return policies;
}

void save_pilots(const std::string& file, const CommandLine& line, const Setting& s,
                 const arma::uvec& chosen) {
  ArchiveWriter archive(file);
  write_provenance(archive, "chest-pilots", 1, line.provenance(s.flags.common.seed));
  archive.write("/pilots", arma::cx_mat(s.candidates.cols(chosen)));
  archive.write("/chosen", arma::conv_to<arma::mat>::from(chosen));
  archive.commit();
}

void declare(CommandLine& line, PilotsFlags& flags) {
  flags.channels.add(line);
  line.section("choice");
  line.flag("n-pilots", &flags.n_pilots, "N", "pilot slots");
  line.flag("candidates", &flags.candidates, "dft|dft-oversampled|antennas|qpsk",
            "where pilots are chosen from; dft-oversampled: 4 beams per antenna");
  line.flag("prior", &flags.prior, "gaussian|mixture",
            "the covariance of the samples, or of --model; or the mean over samples of what a "
            "mixture leaves uncertain");
  line.flag("criterion", &flags.criterion, "trace|entropy|variance",
            "what is made small; trace: the error of LMMSE")
      .default_text = "trace; mixture: variance";
  line.flag("snr", &flags.snr_db, "DB", "SNR that the pilots are chosen for and compared at");
  line.flag("model", &flags.models, "FILE",
            "of kind lmmse or gmm: covariance or mixture; or of the kind that --sampler needs; may "
            "be repeated");
  line.flag("n-channels", &flags.n_channels, "N",
            "channels that --prior mixture takes the mean over");
  line.section("output");
  line.output("out", &flags.out, "where to write P, for --pilots file=P.h5");
  line.flag("force", &flags.force, "replaces an existing file");
  line.flag("compare", &flags.compare,
            "a table of LMMSE with these and other pilots: predicted, and measured on --test");
  line.flag("sequential", &flags.sequential,
            "a table of policies with feedback on the channels of --test");
  line.flag("test", &flags.test, "FIRST:END", "samples of the tables");
  line.flag("policies", &flags.policies, "LIST", "rows of --sequential");
  line.flag("sampler", &flags.sampler, "ESTIMATOR",
            "what draws from the posterior: gmm (exactly), or an estimator that samples, as "
            "diffpir:walk=fresh,levels=20");
  line.flag("n-particles", &flags.n_particles, "N", "draws from the posterior per choice");
  line.flag("estimator", &flags.estimator, "ESTIMATOR", "whose NMSE --sequential shows");
  flags.common.add(line, "same seed, same numbers, for any number of threads");
}

/// Refuses what does not go together before any file is read.
void check(PilotsFlags& flags) {
  if (!std::isfinite(flags.snr_db) || std::abs(flags.snr_db) > 200.0)
    refuse("--snr is " + number_text(flags.snr_db) + ", expected -200 .. 200 dB");
  if (flags.criterion.empty()) flags.criterion = flags.for_mixture() ? "variance" : "trace";
  if (flags.for_mixture() && flags.criterion == "trace")
    refuse("--criterion trace is for --prior gaussian; expected variance or entropy");
  if (flags.sequential && flags.test.empty())
    refuse("--sequential needs test channels; give --test FIRST:END");
  if (flags.n_channels == 0) refuse("--n-channels is 0, expected 1 or more");
  if (flags.n_particles < 2)
    refuse("--n-particles is " + std::to_string(flags.n_particles) + ", expected 2 or more");
  if (!flags.out.empty()) check_output(flags.out, flags.force);
}

/// Covariance and mixture: of the models, of the file of the channels.
void read_models(Setting& s, const Dataset& dataset) {
  const PilotsFlags& flags = s.flags;
  s.known.models = std::make_shared<ModelStore>(
      std::vector<std::filesystem::path>(flags.models.begin(), flags.models.end()));
  for (const ModelStore::Info& info : s.known.models->files()) {
    check_channels_fit(dataset.info(), info.n_rx, info.n_tx, info.file.string() + " is");
    if (info.kind == "gmm") {
      s.mixture = std::make_shared<const GaussianMixture>(load_gmm_model(info.file).prior);
    } else if (info.kind == "lmmse") {
      const ChannelCovariance C = load_lmmse_model(info.file).C;
      if (C.n_h() > most_formed_entries) {
        refuse(info.file.string() + ": the covariance of " + std::to_string(C.n_h()) +
               " entries is formed as a matrix here, which is done up to " +
               std::to_string(most_formed_entries));
      }
      s.C = C.dense();
    }
    if (info.kind == "gmm" || info.kind == "lmmse") s.covariance_of = info.file.string();
  }
  if (!s.mixture && (flags.sequential || flags.for_mixture())) {
    if (std::optional<GaussianMixture> own = dataset.prior())
      s.mixture = std::make_shared<const GaussianMixture>(std::move(*own));
  }
  s.known.prior = s.mixture;
  const bool exact = flags.sampler == "gmm" || flags.estimator == "gmm";
  if (!s.mixture && (flags.for_mixture() || (flags.sequential && exact)))
    refuse(std::string(flags.for_mixture() ? "--prior mixture" : "--sequential") +
           " knows no mixture; give --model MODEL of kind gmm, or channels of 'chest generate "
           "gmm'" +
           (flags.for_mixture() ? "" : ", or --sampler and --estimator that need none"));
  if (s.C.is_empty() && !s.covariance_of.empty()) s.C = second_moment(*s.mixture);
}

void read_test_channels(Setting& s, const Dataset& dataset, const SampleRange& chosen_for) {
  const PilotsFlags& flags = s.flags;
  if (flags.test.empty()) return;
  const SampleRange test = parse_samples(flags.test, dataset.info().n_samples, "--test");
  const bool fits_samples =
      flags.for_mixture() || (s.C.is_empty() && !(flags.sequential && s.mixture));
  if (fits_samples && test.overlaps(chosen_for))
    refuse("--test " + flags.test + " and --samples " + flags.channels.samples +
           " overlap; pilots are tried on channels that they were not chosen for");
  const SampleReader reader = flags.channels.samples_of(dataset, test);
  s.h_test = reader.read(0, reader.n_samples);
}

void find_covariance(Setting& s, const DatasetInfo& channels) {
  if (!s.C.is_empty()) return;
  check_covariance_size(channels, s.flags.channels);
  if (s.flags.sequential && s.mixture) {
    s.C = second_moment(*s.mixture);
    s.covariance_of = "the mixture";
  } else {
    s.C = sample_covariance(s.samples);
    s.covariance_of = std::to_string(s.samples.n_samples) + " channels";
  }
}

/// The candidates that become pilots, in their order.
arma::uvec choose(const Setting& s) {
  sim::PilotDesignOptions options;
  options.n_pilots = s.flags.n_pilots;
  options.sigma2 = s.sigma2;
  options.criterion = s.criterion;
  options.n_threads = s.n_threads;
  if (!s.flags.for_mixture()) return sim::design_pilots(s.C, s.candidates, options).chosen;
  options.n_pilots = 1;
  sim::FeedbackOptions common;
  common.n_pilots = s.flags.n_pilots;
  common.sigma2 = s.sigma2;
  common.first = sim::design_pilots(s.C, s.candidates, options).chosen(0);
  common.common = true;
  common.seed = s.flags.common.seed;
  common.n_threads = s.n_threads;
  const SampleReader some = spread(s.samples, s.flags.n_channels);
  return sim::choose_pilots(
      some.read(0, some.n_samples), s.candidates,
      sim::make_particle_score(s.sampler(), s.candidates, s.criterion, s.flags.n_particles),
      common);
}

void print_choice(const Setting& s, const arma::uvec& chosen, const arma::vec& nmse,
                  std::ostream& out) {
  const PilotsFlags& flags = s.flags;
  out << flags.n_pilots << " of " << s.candidates.n_cols << " candidates " << flags.candidates
      << " for channels " << s.n_rx << "x" << s.n_tx << " at " << flags.snr_db << " dB: prior "
      << flags.prior << ", criterion " << flags.criterion << ", covariance of " << s.covariance_of
      << '\n'
      << "pilot  candidate  NMSE dB that LMMSE has then\n"
      << std::fixed << std::setprecision(2);
  for (arma::uword i = 0; i < chosen.n_elem; ++i)
    out << std::setw(5) << i + 1 << std::setw(11) << chosen(i) << std::setw(9) << to_db(nmse(i))
        << '\n';
}

}  // namespace

int pilots(const Args& args, Context& context) {
  Setting s(context.catalog);
  PilotsFlags& flags = s.flags;
  CommandLine line(
      "pilots", "--channels FILE [--samples FIRST:END] --n-pilots N [--out P.h5] [options]",
      "Chooses pilots, one after the other, for the covariance of channels or for a mixture; "
      "--pilots file=P.h5 of chest sweep then sends them. With --sequential each test channel gets "
      "its next pilot by what was received from it, as beam sweeping with feedback can.");
  declare(line, flags);
  if (!line.parse(args, context)) return 0;
  line.require("channels", "the file with the channels");
  s.kind = sim::candidate_kind_from_string(flags.candidates);
  check(flags);
  s.criterion = sim::pilot_criterion_from_string(flags.criterion);
  s.sigma2 = from_db(-flags.snr_db);
  s.n_threads = flags.common.n_threads();

  const Dataset dataset = flags.channels.open();
  s.n_rx = s.known.n_rx = dataset.info().n_rx;
  s.n_tx = s.known.n_tx = dataset.info().n_tx;
  flags.common.choose_networks(s.known);
  const SampleRange range = flags.channels.range(dataset);
  s.samples = flags.channels.samples_of(dataset, range);
  s.candidates = sim::pilot_candidates(s.kind, s.n_tx, flags.common.seed);
  if (flags.n_pilots == 0 || flags.n_pilots > s.candidates.n_cols)
    refuse("--n-pilots is " + std::to_string(flags.n_pilots) + ", expected 1 .. " +
           std::to_string(s.candidates.n_cols) + ", the number of candidates " + flags.candidates);
  s.counts = shown_counts(flags.n_pilots);
  read_models(s, dataset);
  const std::vector<std::string> policies = policies_of(s, line);
  read_test_channels(s, dataset, range);
  find_covariance(s, dataset.info());

  const arma::uvec chosen = choose(s);
  const arma::cx_mat P = s.candidates.cols(chosen);
  print_choice(s, chosen, sim::predicted_lmmse_nmse(s.C, P, s.sigma2), context.out);
  if (!flags.out.empty()) save_pilots(flags.out, line, s, chosen);
  if (flags.compare) compare(s, P, context.out);
  if (flags.sequential) feedback(s, chosen, policies, context.out);
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
