#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <ostream>
#include <vector>

#include <nlohmann/json.hpp>

#include <chest/angular.hpp>
#include <chest/channels/dataset.hpp>
#include <chest/error.hpp>
#include <chest/estimators/diffusion/sampler.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/sim/figure.hpp>
#include <chest/sim/plot.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

#include "commands.hpp"
#include "flags.hpp"
#include "help_text.hpp"
#include "prior_model.hpp"
#include "terminal.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

/// Samples that are drawn together; fixed, so that threads do not change the rounding.
constexpr arma::uword samples_per_block = 64;
/// Samples of the figure, and the levels that it shows of each.
constexpr arma::uword n_drawn = 3, n_shown_levels = 6;

struct SampleFlags {
  std::string model, out, sampler = "dpm", plot, mean, reference;
  arma::uword n_samples = 1000, n_calls = 20;
  std::optional<arma::uword> which;
  double guidance = 0.0;
  bool list = false, double_precision = false, compress = false, force = false;
  ChannelFlags channels;
  CommonFlags common;
};

void declare(CommandLine& line, SampleFlags& o) {
  line.flag("model", &o.model, "FILE", "of kind lmmse, gmm or dmse; the word after sample");
  line.flag("n-samples", &o.n_samples, "N", "channels").most = 1'000'000'000;
  line.flag("sampler", &o.sampler, "NAME[:OPTIONS]", "how they are drawn; --list shows all");
  line.flag("calls", &o.n_calls, "N", "denoiser calls per channel, at most").most = 100'000;
  line.flag("class", &o.which, "N", "of the channels, for a network that was fitted to be told it");
  line.flag("guidance", &o.guidance, "X", "goes so many times beyond what the class changes");
  line.flag("mean", &o.mean, "FILE[:DATASET]",
            "mrs and boundary: channels that samples start around");
  line.flag("reference", &o.reference, "FILE[:DATASET]",
            "boundary: what the first of these really were, 64 are used");
  line.flag("list", &o.list, "shows the samplers and their options, and draws nothing");
  o.channels.add(line, "whose covariance starts the walks; left out: that of lmmse or gmm");
  line.section("output");
  line.output("out", &o.out, "file of channels to write (HDF5)");
  line.output("plot", &o.plot, "figure of the angular power of a few samples, level by level");
  line.flag("double", &o.double_precision, "stores complex128, not complex64");
  line.flag("compress", &o.compress, "gzips the channels");
  line.flag("force", &o.force, "replaces existing files");
  o.common.add(line, "same seed, same channels, for any number of threads");
  line.positional("model", 1);
}

void print_samplers(std::ostream& out) {
  for (const NamedSampler& sampler : samplers()) {
    out << sampler.name << ": " << sampler.summary << '\n';
    std::vector<Entry> entries;
    for (const OptionInfo& option : sampler.options) {
      entries.push_back({spelling(option), help_with_default(option)});
    }
    print_entries(entries, 20, out);
  }
}

/// What the sampler draws from: the prior, and with --channels the covariance of a network's.
SamplePrior sample_prior(const SampleFlags& o, const PriorModel& prior) {
  SamplePrior out;
  out.denoiser = prior.denoiser;
  out.n_rx = prior.n_rx;
  out.n_tx = prior.n_tx;
  out.mixture = prior.mixture;
  if (!o.channels.channels.empty()) {
    const Dataset dataset = o.channels.open();
    check_covariance_size(dataset.info(), o.channels);
    out.C = sample_covariance(
        prior.samples_of(o.channels.samples_of(dataset, o.channels.range(dataset))));
  } else if (prior.exact()) {
    out.C = second_moment(*prior.mixture);
  }
  const auto read = [&](const std::string& file, arma::uword most) {
    ChannelFlags flags;
    flags.channels = file;
    const Dataset dataset = flags.open();
    const SampleReader channels = prior.samples_of(dataset.samples());
    return channels.read(0, std::min(channels.n_samples, most));
  };
  constexpr arma::uword n_references = 64;
  if (!o.reference.empty()) out.reference = read(o.reference, n_references);
  if (!o.mean.empty()) {
    out.mean = read(o.mean, std::max(o.n_samples, out.reference.n_cols));
  }
  return out;
}

/// Antenna-domain planes of a grid as they are stored, unmixed.
arma::cx_mat stored(const PriorModel& prior, arma::cx_mat h) {
  if (prior.grid.empty() || prior.grid.rx_panel.is_line()) return h;
  const arma::cx_mat unmix = panel_mix(prior.grid.rx_panel, prior.n_rx).t();
  for (arma::uword k = 0; k < h.n_cols; ++k) {
    arma::cx_mat plane(h.colptr(k), prior.n_rx, prior.n_tx, false, true);
    plane = arma::cx_mat(unmix * plane);
  }
  return h;
}

/// Angular power of what the denoiser sees in the first samples, in dB below the strongest of each: a row of
/// images per sample, a column per level.
void draw_levels(const SampleFlags& o, const PriorModel& prior, const Sampler& sampler) {
  struct Shown {
    double tau2;
    arma::cx_mat D;
  };
  std::vector<Shown> all;
  const arma::uword n = std::min<arma::uword>(n_drawn, o.n_samples);
  sampler.draw(o.common.seed, 0, n, [&](const SampleState& state) {
    all.push_back({state.tau2, state.D});
  });
  const AngularTransform transform(prior.n_rx, prior.n_tx);
  sim::Figure figure;
  figure.title = "E[h | z] of " + std::to_string(n) + " samples by " + sampler.text() +
                 ", angular power in 30 dB below the strongest";
  const arma::uword n_levels = std::min<arma::uword>(n_shown_levels, all.size());
  figure.n_columns = n_levels;
  figure.panel_width = 1.7;
  const double shape = static_cast<double>(prior.n_rx) / static_cast<double>(prior.n_tx);
  figure.panel_height = 0.52 + 1.17 * std::clamp(shape, 0.4, 2.5);
  for (arma::uword k = 0; k < n; ++k) {
    const double most =
        squared_magnitudes(transform.forward(arma::cx_mat(all.back().D.col(k)))).max();
    for (arma::uword i = 0; i < n_levels; ++i) {
      const Shown& shown =
          all[n_levels == 1 ? all.size() - 1 : i * (all.size() - 1) / (n_levels - 1)];
      const arma::mat power = squared_magnitudes(transform.forward(arma::cx_mat(shown.D.col(k))));
      sim::FigurePanel panel;
      panel.title = "sigma2 " + number_text(std::round(100.0 * to_db(shown.tau2)) / 100.0) + " dB";
      panel.image = 10.0 * arma::log10(arma::reshape(power, prior.n_rx, prior.n_tx) / most + 1e-12);
      panel.image_low = -30.0;
      panel.image_high = 0.0;
      figure.panels.push_back(std::move(panel));
    }
  }
  sim::draw_figure(figure, o.plot);
}

}  // namespace

int sample(const Args& args, Context& context) {
  SampleFlags o;
  CommandLine line("sample", "MODEL --n-samples N --out FILE [options]",
                   "Draws new channels from a fitted prior, scaled to power 1 per entry as the "
                   "prior is, with a sampler of docs/sampling.md.");
  declare(line, o);
  if (!line.parse(args, context)) return 0;
  if (o.list) {
    print_samplers(context.out);
    return 0;
  }
  line.require("model", "the prior to draw from");
  line.require("out", "the file to write");
  if (o.n_samples == 0) refuse("--n-samples is 0, expected 1 or more");
  if (line.given("samples") && !line.given("channels"))
    refuse("--samples is for --channels, which is not given; --n-samples says how many are drawn");
  check_output(o.out, o.force);
  if (!o.plot.empty()) {
    check_output(o.plot, o.force);
    sim::check_plot(o.plot);
  }
  const NamedOptions spec = parse_named_options(o.sampler);
  const NamedSampler& named = sampler_named(spec.name);
  const SampleWalk walk = named.read(spec);
  if (!o.mean.empty() && !walk.needs_mean)
    refuse("--mean is for the samplers mrs and boundary, not for " + spec.name);
  if (!o.reference.empty() && walk.n_candidates == 0)
    refuse("--reference is for the sampler boundary, not for " + spec.name);
  if (walk.n_candidates > 0 && (o.mean.empty() || o.reference.empty()))
    refuse(spec.name +
           " needs --mean, channels to start around, and --reference, what the first of "
           "them really were");

  PriorModel prior = load_prior_model(o.model, o.common);
  if (line.given("guidance") && !o.which) refuse("--guidance goes with --class");
  if (o.which) {
    if (!prior.network) refuse("--class is for networks, " + o.model + " is " + prior.kind);
    prior.denoiser =
        make_class_denoiser(*prior.network, *o.which, o.guidance, o.common.network_run());
  }
  const auto sampler = make_sampler(spec, sample_prior(o, prior), o.n_calls);

  ChannelFileOptions file;
  file.n_rx = prior.n_rx;
  file.n_tx = prior.n_tx;
  if (!prior.grid.empty()) {
    file.grid.n_subcarriers = prior.n_tx;
    file.grid.spacing_hz = prior.grid.spacing_hz * static_cast<double>(prior.grid.plane_step);
    file.n_tx = 1;
    file.rx_panel = prior.grid.rx_panel;
  }
  file.n_samples = o.n_samples;
  file.single_precision = !o.double_precision;
  file.compress = o.compress;
  file.model = nlohmann::json{
      {"generator", "sample"},
      {"model", prior.file.filename().string()},
      {"model_hash", hash_file(prior.file)},
      {"kind", prior.kind},
      {"sampler", sampler->text()},
      {"calls", sampler->n_calls()},
      {"class", o.which ? nlohmann::json(*o.which) : nlohmann::json()},
      {"guidance", o.guidance},
      {"n_rx", prior.n_rx},
      {"n_tx",
       prior.n_tx}}.dump();
  file.provenance = line.provenance(o.common.seed);
  ChannelFileWriter writer(o.out, file);

  const TerminalControl terminal(context.quiet);
  const unsigned threads = o.common.n_threads();
  double power = 0.0;
  for (arma::uword first = 0; first < o.n_samples;) {
    const arma::uword left = o.n_samples - first;
    std::vector<arma::cx_mat> blocks(
        std::min<arma::uword>(threads, (left + samples_per_block - 1) / samples_per_block));
    parallel_for(blocks.size(), threads, [&](std::size_t i) {
      const arma::uword at = first + i * samples_per_block;
      blocks[i] = sampler->draw(o.common.seed, at, std::min(samples_per_block, o.n_samples - at));
    });
    for (arma::cx_mat& h : blocks) {
      power += squared_norm(h);
      first += h.n_cols;
      writer.append({stored(prior, std::move(h)), {}, {}});
    }
    if (terminal.interrupted()) {
      throw Error(ErrorKind::interrupted, "interrupted; nothing was written");
    }
    terminal.report_channels(first, o.n_samples);
  }
  writer.finish();
  if (!o.plot.empty()) draw_levels(o, prior, *sampler);
  power /= static_cast<double>(o.n_samples * prior.n_h());
  context.out << o.out << ": " << o.n_samples << " channels "
              << size_text(file.n_rx, file.n_tx, file.grid) << " by " << sampler->text() << ", "
              << sampler->n_calls() << " calls each, power "
              << number_text(std::round(1e4 * power) / 1e4) << '\n';
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
