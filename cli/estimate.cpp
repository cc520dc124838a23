#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <ostream>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/linear/tracking.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

#include "commands.hpp"
#include "flags.hpp"
#include "run_flags.hpp"
#include "side.hpp"
#include "terminal.hpp"
#include "trust.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

struct EstimateOptions {
  ChannelFlags observations;
  std::string snr, out, estimator = "dmse", pilots = "identity", grid, track, side;
  std::vector<std::string> models;
  double pilot_power = 1.0;
  std::optional<arma::uword> n_tx, n_slots;
  CommonFlags common;
  bool per_angle = false, per_element = false, compress = false, force = false;

  bool blind() const { return snr == "unknown"; }
  /// Not read by an estimator that finds its own.
  double sigma2() const { return blind() ? 1.0 : from_db(-to_number(snr, "--snr")); }
  /// "624x14@30": subcarriers, symbols (left out: 1), spacing in kHz (left out: not known).
  GridAxes grid_axes() const {
    GridAxes axes;
    if (grid.empty()) return axes;
    const GridChoice choice = parse_grid(grid);
    axes.n_subcarriers = choice.n_subcarriers;
    axes.n_symbols = std::max<arma::uword>(choice.n_symbols, 1);
    axes.spacing_hz = choice.spacing_hz;
    if (axes.n_elements() < 2) {
      refuse("--grid: '" + grid + "' is no grid of several elements; write for example 624x14@30");
    }
    return axes;
  }
};

void declare(CommandLine& line, EstimateOptions& o) {
  line.section("received pilots");
  line.flag("observations", &o.observations.channels, "FILE[:DATASET]", "received pilots");
  line.flag("samples", &o.observations.samples, "FIRST:END",
            "observations to use; either end may be left out")
      .default_text = "all";
  line.flag("skip-bad", &o.observations.skip_bad,
            "leaves out those that are zero or not finite, instead of stopping; their estimates "
            "are NaN");
  line.flag("axes", &o.observations.axes, "LETTERS",
            "order of the stored dimensions, as for --channels of chest sweep");
  line.flag("normalise", &o.observations.normalise, "none|dataset|sample|X",
            "power: as stored (refused where it contradicts E||h||^2 = n_h and --snr), brought "
            "there by one factor for all or by one for each, or y times X; estimates come back at "
            "the scale of the observations");
  line.flag("scale", &o.observations.scale, "X", "y times X, as --normalise X");
  line.flag("snr", &o.snr, "DB|unknown",
            "-10 log10(noise variance per received entry, at E||h||^2 = n_h); unknown: estimated "
            "for each channel");
  line.flag("pilots", &o.pilots, "PILOTS", "what was sent: identity, dft:16, file=P.h5 ...");
  line.flag("grid", &o.grid, "FxS@KHZ",
            "of pilots on a grid (comb:4,symbols=2-11, dmrs ...): its subcarriers, symbols and "
            "spacing, as in 624x14@30; observations are [n, n_rx, n_pilots] in the order of "
            "symbols, then subcarriers");
  line.flag("pilot-power", &o.pilot_power, "X", "||p||^2 per pilot slot");
  line.flag("n-tx", &o.n_tx, "N",
            "transmit antennas; left out: as many as pilots, or those of the model; on a grid 1");
  line.flag("panel", &o.observations.rx_panel, "RxCxP",
            "receive antennas: rows x columns x polarisations, rows first; left out: a line, on a "
            "grid the model's");
  line.section("estimator");
  line.flag("estimator", &o.estimator, "ESTIMATOR",
            "which, with options; chest estimators lists them");
  line.flag("model", &o.models, "FILE", "model file; may be repeated");
  line.flag("side", &o.side, "FILE[:DATASET]",
            "what else is known of each channel, [n, n_rx, n_tx] at the scale of the observations, "
            "for a network fitted with --side");
  line.flag(
      "track", &o.track, "auto|R",
      "the observations are slots of one channel in time order, and each is estimated from those "
      "before it too; R: correlation of the channel from slot to slot, auto: measured");
  line.flag("slots", &o.n_slots, "N", "of --track: N consecutive observations are one channel")
      .default_text = "all";
  line.section("output");
  line.output("out", &o.out, "file to write (HDF5)");
  line.flag("per-angle", &o.per_angle,
            "also the error variance of every angular entry, /err_var_angular [n, n_rx, n_tx]");
  line.flag("per-element", &o.per_element,
            "on a grid also the error variance of every element, /err_var_element [n, n_tx, "
            "n_subcarriers, n_symbols]");
  line.flag("compress", &o.compress, "gzips the estimates");
  line.flag("force", &o.force, "replaces an existing file");
  o.common.add(line, "of qpsk pilots, as in chest sweep");
}

/// The pilots that the observations were received from.
sim::Pilots sent_pilots(const EstimateOptions& options, arma::uword n_tx, arma::uword n_pilots) {
  sim::PilotSpec spec = sim::parse_pilots(options.pilots);
  if (const GridAxes grid = options.grid_axes(); grid.is_grid()) {
    sim::Pilots pilots =
        sim::make_grid_pilots(spec, n_tx, grid, options.common.seed, options.pilot_power);
    if (pilots.n_pilots() == n_pilots) return pilots;
    refuse("the observations have " + std::to_string(n_pilots) + " pilots, " + pilots.name +
           " of " + std::to_string(n_tx) + " transmit antennas has " +
           std::to_string(pilots.n_pilots()) +
           "; give --grid, --pilots and --n-tx as they were sent");
  }
  if (spec.is_grid()) {
    refuse(spec.text + " are pilots of a grid; give its size, as in --grid 624x14@30");
  }
  if (spec.n_pilots == 0 && spec.kind != sim::PilotKind::identity) spec.n_pilots = n_pilots;
  sim::Pilots pilots = sim::make_pilots(spec, n_tx, options.common.seed, options.pilot_power);
  if (pilots.n_pilots() != n_pilots) {
    refuse("the observations have " + std::to_string(n_pilots) + " pilot slots, " + pilots.name +
           " has " + std::to_string(pilots.n_pilots()) +
           "; give --pilots and --n-tx as they were sent");
  }
  return pilots;
}

/// What the estimator knows of pilots, sizes and models.
EstimatorContext knowledge(const EstimateOptions& options, const DatasetInfo& observations) {
  EstimatorContext known;
  known.models = std::make_shared<ModelStore>(
      std::vector<std::filesystem::path>(options.models.begin(), options.models.end()));
  const auto models = known.models->files();
  known.n_rx = observations.n_rx;
  known.grid = options.grid_axes();
  known.n_tx = options.n_tx.value_or(known.grid.is_grid() ? 1
                                     : models.empty() || !models.front().arrays.empty()
                                         ? observations.n_tx
                                         : models.front().n_tx);
  options.common.choose_networks(known);
  known.rx_panel = observations.rx_panel;
  known.A = sim::make_observation(sent_pilots(options, known.n_tx, observations.n_tx), known.n_rx);
  return known;
}

std::shared_ptr<const Estimator> estimator_of(const EstimateOptions& options,
                                              const EstimatorContext& known,
                                              const Catalog& catalog) {
  NamedOptions named = parse_named_options(options.estimator);
  if (options.blind() && !named.options.emplace("snr", "unknown").second) {
    refuse(named.text + " and --snr unknown both say which SNR to use");
  }
  std::shared_ptr<const Estimator> estimator = make_for(catalog, named, known, known.A);
  if (options.blind()) return estimator;
  if (const std::string text = estimator->warning(options.sigma2()); !text.empty()) warn(text);
  return estimator;
}

/// --side, for observations of so many samples.
SampleReader side_of(const EstimateOptions& options, arma::uword n_samples,
                     const EstimatorContext& known) {
  if (options.side.empty()) return {};
  check_takes_side(all_models(options.models, {parse_named_options(options.estimator)}),
                   *known.models);
  return open_side(options.side, {known.n_rx, known.n_tx, n_samples, {}, known.grid}, 1.0);
}

/// --track and --slots.
struct Tracking {
  static constexpr arma::uword n_lags = 16;
  bool on = false;
  std::uint64_t n_slots = std::numeric_limits<std::uint64_t>::max();
  std::optional<double> given;  ///< correlation from slot to slot; empty: measured

  explicit Tracking(const EstimateOptions& o) {
    if (o.track.empty()) {
      if (o.n_slots) refuse("--slots says how long --track follows a channel; give --track too");
      return;
    }
    on = true;
    if (o.n_slots) n_slots = *o.n_slots;
    if (n_slots < 2) refuse("--slots is " + std::to_string(n_slots) + ", expected at least 2");
    if (!o.side.empty()) refuse("--track and --side both bring other slots; give one");
    if (o.blind()) refuse("--track needs an SNR that is known; give --snr DB");
    if (o.observations.normalise == "sample") {
      refuse(
          "--track and --normalise sample: slots of one channel have one scale; "
          "give --normalise dataset");
    }
    if (o.track == "auto") return;
    given = to_number(o.track, "--track");
    if (!(*given >= 0.0 && *given <= 1.0)) {
      refuse("--track is " + o.track + ", expected auto or a correlation in 0 .. 1");
    }
  }
};

/// Power per received entry of channels with E[h h^H] = I.
double signal_power(const ObservationOperator& A) {
  return arma::accu(A.squared_singular_values()) / static_cast<double>(A.n_obs());
}

/// The observations that are used, and what their estimator is told of them.
class Received {
 public:
  /// @param side  of all observations; without samples: of none
  Received(const EstimateOptions& options, Dataset& dataset, const Estimator& estimator,
           SampleReader side)
      : options_(options),
        dataset_(dataset),
        estimator_(estimator),
        side_(std::move(side)),
        tracking_(options) {
    SampleChoice choice = options.observations.choice(dataset);
    const double signal = signal_power(estimator.A());
    choice.expected_power = signal + (options.blind() ? 0.0 : options.sigma2());
    if (options.blind() && choice.normalisation == Normalisation::none) {
      // Strong noise looks like a large scale; nothing looks like a small one.
      choice.normalisation = Normalisation::factor;
      dataset.choose(choice);
      warn_of_power(0.0, signal);
      choice.normalisation = Normalisation::none;
      choice.expected_power = std::max(signal, dataset.rough_power());
    }
    // Least squares alone is right at any scale: it is warned of its predicted errors.
    if (choice.normalisation == Normalisation::none && estimator.name() == "ls") {
      choice.normalisation = Normalisation::factor;
    }
    dataset.choose(choice);
    tell_left_out(dataset.info());
    if (choice.normalisation == Normalisation::factor) {
      warn_of_power(0.25 * choice.expected_power, choice.expected_power);
    }
    const DatasetInfo& info = dataset.info();
    for (const SampleRange& part : info.bad.all.outside(info.asked)) {
      for (arma::uword k = part.first; k < part.end; ++k) samples_.push_back(k);
    }
    if (tracking_.on) find_links();
    if (!options.blind() || choice.normalisation == Normalisation::none ||
        choice.normalisation == Normalisation::factor)
      return;
    // What is brought to the power of the signal has noise in it: the signal is too weak by as much.
    // Doubled at most, because an estimator far from its scale finds nothing but noise.
    double power = signal;
    for (int round = 0; round < most_rounds; ++round) {
      const double last = power;
      power = std::clamp(signal / std::max(1.0 - found_noise() / power, 1e-3), 0.5 * last,
                         std::min(2.0 * last, strongest_noise * signal));
      boost_ = std::sqrt(power / signal);
      if (std::abs(power / last - 1.0) < 0.02) break;
    }
  }

  const std::vector<std::uint64_t>& samples() const { return samples_; }
  const DatasetInfo& info() const { return dataset_.info(); }
  bool is_grid() const { return estimator_.A().pattern() != nullptr; }
  /// How many observations from i on are estimated together: all of a link, or a fixed block, so that
  /// estimates do not depend on the number of threads. Those of grids are large.
  std::size_t block_from(std::size_t i) const {
    if (tracking_.on) return links_[link_of(i) + 1] - i;
    constexpr std::size_t most = 64, most_entries = std::size_t{1} << 22;
    const std::size_t n_h = estimator_.A().n_h();
    const std::size_t n = is_grid() ? std::clamp<std::size_t>(most_entries / n_h, 1, most) : most;
    return std::min(n, samples_.size() - i);
  }
  /// "", or how slots were tracked.
  std::string tracking_text() const {
    return tracking_.on ? ", tracked over " + std::to_string(links_.size() - 1) +
                              (links_.size() == 2 ? " channel" : " channels") +
                              " with correlation " + rounded(next_slot_) + " from slot to slot"
                        : "";
  }
  /// What was estimated from, as JSON.
  std::string description(const EstimatorContext& known, const Catalog& catalog) const {
    const DatasetInfo& info = dataset_.info();
    const std::string hash = hash_file(info.file);
    nlohmann::ordered_json json{{"file", info.file.filename().string()},
                                {"dataset", info.dataset},
                                {"hash", hash},
                                {"samples", info.asked.text()},
                                {"normalisation", to_string(info.normalisation)}};
    if (info.normalisation != Normalisation::sample) json["scale"] = info.scale * boost_;
    if (!options_.side.empty()) json["side"] = describe_side(options_.side);
    if (!info.bad.all.empty())
      json["left_out"] = {{"n", info.bad.all.size()}, {"samples", info.bad.all.text()}};
    if (tracking_.on) {
      json["tracking"] = {{"correlation", next_slot_}, {"measured", !tracking_.given}};
      if (options_.n_slots) json["tracking"]["slots"] = *options_.n_slots;
    }
    const std::string engine = catalog.engine(parse_named_options(options_.estimator), known);
    if (!engine.empty()) json["engine"] = engine;
    for (const ModelStore::Info& model : known.models->files()) {
      for (const Seen& seen : seen_by(model.file, info, hash, info.asked)) {
        warn_of(seen);
        json["fitted_on"].push_back(seen.text());
      }
    }
    return json.dump();
  }

  /// Estimates of the observations i .. i + n - 1 of samples(), at their own scale.
  Estimate estimate(std::size_t i, std::size_t n, arma::vec& scales) const {
    Estimate out = scaled_estimate(i, n, scales);
    if (arma::all(scales == 1.0)) return out;
    const arma::vec squares = arma::square(scales);
    out.h.each_row() %= arma::conv_to<arma::cx_rowvec>::from(1.0 / scales.t());
    if (!out.mse.is_empty()) out.mse /= squares;
    if (!out.angular_mse.is_empty()) out.angular_mse.each_row() /= squares.t();
    if (!out.element_mse.is_empty()) out.element_mse.each_row() /= squares.t();
    if (!out.sigma2.is_empty()) out.sigma2 /= squares;
    return out;
  }

 private:
  /// Where the power is below `least`, or four times what is expected.
  void warn_of_power(double least, double expected) const {
    const double power = dataset_.rough_power();
    if (power >= least && power <= 4.0 * expected) return;
    char text[160];
    std::snprintf(text, sizeof text,
                  ": the mean power per received entry, scaled, is %.3g, expected near %.3g%s",
                  power, expected, options_.blind() ? " and the noise" : "");
    warn(info().file.string() + text + "; --normalise dataset finds the factor");
  }

  static constexpr int most_rounds = 10;
  static constexpr double strongest_noise = 30.0;  // and the signal, over the signal
  static constexpr std::size_t most_tried = 64, block = 16;

  static std::string rounded(double x) {
    char text[16];
    std::snprintf(text, sizeof text, "%.3f", x);
    return text;
  }

  std::size_t link_of(std::size_t i) const {
    return std::size_t(std::upper_bound(links_.begin(), links_.end(), i) - links_.begin()) - 1;
  }

  /// Where links start, and their correlation from slot to slot.
  void find_links() {
    for (std::size_t i = 0; i < samples_.size(); ++i) {
      const bool first =
          i == 0 || samples_[i] / tracking_.n_slots != samples_[i - 1] / tracking_.n_slots;
      if (first) links_.push_back(i);
    }
    links_.push_back(samples_.size());
    const std::size_t n_links = links_.size() - 1;
    if (n_links == 0) return;
    std::vector<SlotProducts> products(n_links);
    parallel_for(n_links, options_.common.n_threads(), [&](std::size_t l) {
      arma::vec scales;
      products[l] = slot_products(observation(links_[l], links_[l + 1] - links_[l], scales),
                                  Tracking::n_lags);
    });
    for (std::size_t l = 1; l < n_links; ++l) products[0].add(products[l]);
    correlation_ = measured_correlation(products[0], options_.sigma2());
    next_slot_ = std::abs(correlation_(1));
    if (!tracking_.given) {
      constexpr double few = 200.0;
      if (products[0].pairs(1) < few) {
        warn("--track auto: the correlation is measured from " +
             std::to_string(static_cast<int>(products[0].pairs(1))) +
             " pairs of slots alone; give it where it is known, as in --track 0.98");
      }
      return;
    }
    const double snr = signal_power(estimator_.A()) / options_.sigma2();
    const double n_products = products[0].pairs(1) * static_cast<double>(products[0].n_obs);
    const double error = std::sqrt((1.0 + 2.0 * snr) / n_products) / snr;
    if (*tracking_.given > next_slot_ + 0.02 + 4.0 * error) {
      warn("--track " + options_.track + ": the observations correlate by " + rounded(next_slot_) +
           " from slot to slot; estimates lag behind; --track auto takes what is measured");
    }
    next_slot_ = *tracking_.given;
    correlation_ = gauss_markov_correlation(next_slot_, Tracking::n_lags);
  }

  /// As read, times scales.
  Observation observation(std::size_t i, std::size_t n, arma::vec& scales) const {
    Observation observation;
    observation.samples.assign(samples_.begin() + std::ptrdiff_t(i),
                               samples_.begin() + std::ptrdiff_t(i + n));
    observation.y.set_size(estimator_.A().n_obs(), n);
    scales.set_size(n);
    if (side_.n_samples > 0) observation.side.set_size(side_.n_h(), n);
    for (std::size_t k = 0; k < n;) {
      std::size_t end = k + 1;
      while (end < n && observation.samples[end] == observation.samples[end - 1] + 1) ++end;
      arma::vec part;
      observation.y.cols(k, end - 1) = dataset_.read(observation.samples[k], end - k, part);
      scales.subvec(k, end - 1) = part;
      if (side_.n_samples > 0) {
        observation.side.cols(k, end - 1) = side_.read(observation.samples[k], end - k);
      }
      k = end;
    }
    if (boost_ != 1.0) {
      observation.y *= boost_;
      scales *= boost_;
    }
    if (side_.n_samples > 0) {
      observation.side.each_row() %= arma::conv_to<arma::cx_rowvec>::from(scales.t());
    }
    observation.sigma2 = options_.sigma2();
    observation.seed = options_.common.seed;
    observation.per_angle = options_.per_angle;
    observation.per_element = options_.per_element;
    return observation;
  }

  /// As estimated, of y times scales.
  Estimate scaled_estimate(std::size_t i, std::size_t n, arma::vec& scales) const {
    const Observation y = observation(i, n, scales);
    if (!tracking_.on) return estimator_.estimate(y);
    return track(estimator_, y, correlation_);
  }

  /// Noise variance that the estimator finds in some of the observations, at their present scale: the
  /// median, because a channel unlike the prior is taken for noise.
  double found_noise() const {
    const std::size_t n_blocks = std::min(most_tried, samples_.size() + block - 1) / block;
    std::vector<arma::vec> found(n_blocks);
    parallel_for(n_blocks, options_.common.n_threads(), [&](std::size_t b) {
      const std::size_t i = b * samples_.size() / n_blocks;
      arma::vec scales;
      found[b] = scaled_estimate(i, std::min(block, samples_.size() - i), scales).sigma2;
    });
    arma::vec all;
    for (const arma::vec& each : found) all.insert_rows(all.n_elem, each);
    return arma::median(all);
  }

  const EstimateOptions& options_;
  Dataset& dataset_;
  const Estimator& estimator_;
  SampleReader side_;
  Tracking tracking_;
  std::vector<std::uint64_t> samples_;
  std::vector<std::size_t> links_;  ///< where each starts in samples_, and their end
  arma::cx_vec correlation_;        ///< [n_lags]
  double next_slot_ = 0.0;          ///< |r_1|
  double boost_ = 1.0;              ///< of y, beyond what the dataset's own scale gives
};

/// One block of estimates.
struct Part {
  Estimate estimate;
  arma::vec scales;
};

/// Estimates the observations from i on, one block of them per thread.
std::vector<Part> estimate_blocks(const Received& received, std::size_t i, unsigned threads) {
  std::vector<std::size_t> starts;
  while (starts.size() < threads && i < received.samples().size()) {
    starts.push_back(i);
    i += received.block_from(i);
  }
  std::vector<Part> parts(starts.size());
  parallel_for(parts.size(), threads, [&](std::size_t b) {
    parts[b].estimate =
        received.estimate(starts[b], received.block_from(starts[b]), parts[b].scales);
  });
  return parts;
}

/// The network that tells of channels, among the models.
NetworkConfig network_of_heads(const EstimateOptions& options, const EstimatorContext& known) {
  const std::string named = parse_named_options(options.estimator).file;
  for (const ModelStore::Info& model : known.models->files()) {
    if (model.kind != "dmse" || (!named.empty() && model.file != named)) continue;
    // Loaded already, for the estimator.
    const auto loaded = known.models->get<NetworkModel>(model.file.string(), [&] {
      return std::make_shared<const NetworkModel>(load_network_model(model.file));
    });
    if (loaded->network.n_heads() > 0) return loaded->network;
  }
  return {};
}

/// What the file will hold, by what the first estimate has.
ChannelFileOptions file_options(const EstimateOptions& options, const EstimatorContext& known,
                                const Received& received, const Part& first, const Catalog& catalog,
                                const CommandLine& line) {
  const Estimate& estimate = first.estimate;
  ChannelFileOptions file;
  file.n_rx = known.n_rx;
  file.n_tx = known.n_tx;
  file.grid = known.grid;
  file.compress = options.compress;
  file.single_precision = first.scales.min() > 1e-30 && first.scales.max() < 1e30;
  file.with_err_var = !estimate.mse.is_empty();
  file.with_err_var_angular = !estimate.angular_mse.is_empty();
  file.with_err_var_element = !estimate.element_mse.is_empty();
  if (!estimate.heads.is_empty()) {
    const NetworkConfig network = network_of_heads(options, known);
    file.n_classes = network.tells_class ? static_cast<arma::uword>(network.classes) : 0;
    file.n_numbers = static_cast<arma::uword>(network.numbers);
  }
  file.with_sigma2 = !estimate.sigma2.is_empty();
  file.with_scale = received.info().normalisation == Normalisation::sample;
  file.n_samples = received.info().asked.size();
  file.observations = received.description(known, catalog);
  file.provenance = line.provenance(options.common.seed);
  return file;
}

/// Writes estimates in the order of their samples, and NaN for those between that were left out.
class EstimateWriter {
 public:
  EstimateWriter(const std::filesystem::path& name, const ChannelFileOptions& file,
                 const SampleRange& asked)
      : file_(file), writer_(name, file), next_(asked.first), end_(asked.end) {}

  /// @param samples  of each column
  void append(Part& part, const std::uint64_t* samples) {
    for (arma::uword k = 0; k < part.estimate.h.n_cols;) {
      fill_up_to(samples[k]);
      arma::uword last = k;
      while (last + 1 < part.estimate.h.n_cols && samples[last + 1] == samples[last] + 1) ++last;
      const arma::span columns(k, last);
      ChannelBlock block;
      block.h = part.estimate.h.cols(k, last);
      if (file_.with_err_var)
        block.err_var = part.estimate.mse(columns) / static_cast<double>(block.h.n_rows);
      if (file_.with_err_var_angular)
        block.err_var_angular = part.estimate.angular_mse.cols(k, last);
      if (file_.with_err_var_element)
        block.err_var_element = part.estimate.element_mse.cols(k, last);
      if (file_.n_classes + file_.n_numbers > 0) block.heads = part.estimate.heads.cols(k, last);
      if (file_.with_sigma2) block.sigma2 = part.estimate.sigma2(columns);
      if (file_.with_scale) block.scale = part.scales(columns);
      writer_.append(block);
      next_ += block.h.n_cols;
      k = last + 1;
    }
  }
  void finish() {
    fill_up_to(end_);
    writer_.finish();
  }

 private:
  void fill_up_to(arma::uword sample) {
    while (next_ < sample) {
      const arma::uword n_h = file_.n_rx * file_.n_tx * file_.grid.n_elements();
      const arma::uword n = std::min<arma::uword>(sample - next_, file_.grid.is_grid() ? 1 : 1024);
      ChannelBlock block;
      block.h = arma::cx_mat(n_h, n);
      block.h.fill({arma::datum::nan, arma::datum::nan});
      const arma::vec nan = arma::vec(n, arma::fill::value(arma::datum::nan));
      block.err_var = block.sigma2 = block.scale = nan;
      if (file_.with_err_var_angular)
        block.err_var_angular = arma::mat(n_h, n, arma::fill::value(arma::datum::nan));
      if (file_.with_err_var_element)
        block.err_var_element = arma::mat(n_h / file_.n_rx, n, arma::fill::value(arma::datum::nan));
      block.heads =
          arma::mat(file_.n_classes + file_.n_numbers, n, arma::fill::value(arma::datum::nan));
      writer_.append(block);
      next_ += n;
    }
  }

  ChannelFileOptions file_;
  ChannelFileWriter writer_;
  arma::uword next_, end_;
};

}  // namespace

int estimate(const Args& args, Context& context) {
  EstimateOptions options;
  CommandLine line("estimate",
                   "--observations FILE --snr DB --out FILE [--estimator NAME] [options]",
                   "Estimates channels from received pilots Y = H P + N, stored as "
                   "[n, n_rx, n_pilots] complex at the scale E||h||^2 = n_rx n_tx, or at any with "
                   "--normalise. Writes "
                   "/channels [n, n_rx, n_tx] and, where the estimator predicts it, /err_var [n], "
                   "the error variance per entry; with --snr unknown also /sigma2 [n].");
  declare(line, options);
  if (!line.parse(args, context)) return 0;
  line.require("observations", "a file with received pilots");
  line.require("snr", "the SNR in dB that belongs to the noise of the observations, or unknown");
  options.sigma2();
  line.require("out", "the file to write");
  check_output(options.out, options.force);

  Dataset dataset = options.observations.open_file();
  tell_doubts(dataset.info());
  const EstimatorContext known = knowledge(options, dataset.info());
  const auto estimator = estimator_of(options, known, context.catalog);
  const Received received(options, dataset, *estimator,
                          side_of(options, dataset.info().n_samples, known));
  const std::vector<std::uint64_t>& samples = received.samples();
  std::unique_ptr<EstimateWriter> writer;
  const TerminalControl terminal(context.quiet);
  for (std::size_t done = 0; done < samples.size();) {
    std::vector<Part> parts = estimate_blocks(received, done, options.common.n_threads());
    if (!writer) {
      const ChannelFileOptions file =
          file_options(options, known, received, parts[0], context.catalog, line);
      if (options.per_angle && !file.with_err_var_angular) {
        warn(estimator->name() +
             " does not know the error of single angles; /err_var_angular is left out");
      }
      if (options.per_element && !file.with_err_var_element) {
        warn(estimator->name() +
             " does not know the error of single elements; /err_var_element is left out");
      }
      writer = std::make_unique<EstimateWriter>(options.out, file, dataset.info().asked);
    }
    for (Part& part : parts) {
      writer->append(part, samples.data() + done);
      done += part.estimate.h.n_cols;
    }
    if (terminal.interrupted()) {
      throw Error(ErrorKind::interrupted, "interrupted; nothing was written");
    }
    terminal.report_channels(done, samples.size());
  }
  writer->finish();
  context.out << options.out << ": " << samples.size() << " estimates "
              << size_text(known.n_rx, known.n_tx, known.grid) << " by " << estimator->name()
              << received.tracking_text() << '\n';
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
