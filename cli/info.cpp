#include <algorithm>
#include <cmath>
#include <iomanip>
#include <ostream>

#include <nlohmann/json.hpp>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/catalog/model_store.hpp>
#include <chest/estimators/common/enum_names.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/vae_model.hpp>
#include <chest/estimators/prior/prior_gap.hpp>
#include <chest/file_kind.hpp>
#include <chest/metrics.hpp>
#include <chest/text.hpp>

#include "calibration.hpp"
#include "commands.hpp"
#include "flags.hpp"
#include "grid_info.hpp"
#include "terminal.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

// Power is what is asked about, so any power is shown.
constexpr const char* as_stored = "1";

void print_provenance(const Provenance& provenance, std::ostream& out) {
  out << "  made by   " << provenance.made_by << " at " << provenance.made_at << '\n';
  if (!provenance.command_line.empty()) out << "  command   " << provenance.command_line << '\n';
}

/// What of the record of results bears on their trust.
void print_reservations(const Provenance& provenance, std::ostream& out) {
  const auto options = nlohmann::json::parse(provenance.options, nullptr, false);
  if (!options.is_object()) return;
  const auto part = [&](const char* pointer) {
    return options.value(nlohmann::json::json_pointer(pointer), nlohmann::json::object());
  };
  const auto fitted_on = part("/inputs/fitted_on");
  for (const auto& [estimator, text] : fitted_on.items())
    out << "  trust     " << estimator << " was " << text.get<std::string>() << '\n';
  const auto left_out = part("/left_out");
  if (!left_out.empty())
    out << "  left out  " << left_out.value("n", 0) << " samples: " << left_out.value("samples", "")
        << '\n';
}

/// "channels 64x16", or what grids a model is for.
std::string sizes_text(const ModelStore::Info& info) {
  if (!info.arrays.empty()) return "arrays " + info.arrays.text();
  if (!info.grid) return "channels " + size_text(info.n_rx, info.n_tx);
  const GridStatistics& grid = *info.grid;
  std::string text = "grids of " + (info.n_rx == 1 ? "any number of" : std::to_string(info.n_rx)) +
                     " receive antennas" + (info.n_rx == 1 ? ", each by itself," : "");
  if (!grid.rx_panel.is_line()) text += " (panel " + grid.rx_panel.text() + ")";
  if (grid.spacing_hz > 0.0) {
    text += " at " + number_text(grid.spacing_hz / 1e3) + " kHz and multiples of it";
  }
  if (grid.most_step > 0) {
    text += ", pilots " + std::to_string(grid.least_step) + " to " +
            std::to_string(grid.most_step) + " subcarriers apart, any number of them";
  } else if (grid.plane_step > 0) {
    text += ", " + std::to_string(info.n_tx) + " pilots " + std::to_string(grid.plane_step) +
            " subcarriers apart";
  } else {
    text += ", up to " + std::to_string(grid.r_f.n_elem) + "x" + std::to_string(grid.r_t.n_elem);
  }
  return text;
}

/// What chest adapt left in the training_data of a model; empty: nothing.
std::string adapted_text(const std::string& training_data) {
  const auto data = nlohmann::json::parse(training_data, nullptr, false);
  if (!data.is_object() || !data.contains("adapted") || !data["adapted"].is_object()) return {};
  const auto& adapted = data["adapted"];
  return "from " + adapted.value("from", "") + " with " +
         std::to_string(adapted.value("observations", 0)) + " observations, pilots " +
         adapted.value("pilots", "") + " at " + adapted.value("snr", "") + "; calls and errors " +
         adapted.value("errors", "");
}

void print_model(const std::filesystem::path& file, const std::string& kind, std::ostream& out) {
  const std::string sizes = sizes_text(ModelStore().look_at(file));
  if (kind == "lmmse") {
    const LmmseModel model = load_lmmse_model(file);
    out << file.string() << ": model of lmmse, " << sizes << '\n'
        << "  C         " << (model.grid.empty() ? to_string(model.kind) : "along each axis")
        << ", from " << model.n_samples << " channels"
        << (model.shrinkage > 0.0
                ? (model.kind == CovarianceKind::full ? ", shrunk by " : ", towards sums by ") +
                      number_text(model.shrinkage)
                : "")
        << '\n'
        << "  data      " << model.training_data << '\n';
    print_provenance(model.provenance, out);
  } else if (kind == "gmm") {
    const GmmModel model = load_gmm_model(file);
    out << file.string() << ": model of gmm, " << sizes << '\n'
        << "  mixture   " << describe(model.prior) << '\n';
    if (!model.log_likelihoods.is_empty()) {
      out << "  fit       " << model.n_samples << " channels, " << model.log_likelihoods.n_elem - 1
          << " steps of EM, mean log-likelihood " << model.log_likelihoods.back() << '\n'
          << "  data      " << model.training_data << '\n';
    }
    print_provenance(model.provenance, out);
  } else if (kind == "vae") {
    const VaeModel model = load_vae_model(file);
    out << file.string() << ": model of vae, " << sizes << '\n'
        << "  network   " << model.n_parameters() << " parameters, latent " << model.network.latent
        << (model.network.zero_mean ? ", zero mean\n" : "\n") << "  fitted    for "
        << VaeConfig::snr_low_db << " to " << VaeConfig::snr_high_db << " dB\n";
    if (!model.validation_losses.is_empty()) {
      out << "  fit       " << model.validation_losses.n_elem << " epochs, best validation loss "
          << model.validation_losses.min() << " nats per entry\n";
    }
    out << "  data      " << model.training_data << '\n';
    print_provenance(model.provenance, out);
  } else {
    const NetworkModel model = load_network_model(file);
    const NoiseSchedule& schedule = model.schedule;
    out << file.string() << ": model of dmse, " << sizes << '\n'
        << "  network   " << model.network.n_parameters() << " parameters, prediction "
        << to_string(model.prediction) << '\n';
    if (model.network.told_class) {
      out << "  classes   " << model.network.classes << ", of which it may be told one: class=N\n";
    }
    if (model.network.n_heads() > 0) {
      out << "  tells     ";
      if (model.network.tells_class) out << "which of " << model.network.classes << " classes";
      if (model.network.tells_class && model.network.numbers > 0) out << " and ";
      if (model.network.numbers > 0) out << model.network.numbers << " numbers";
      out << ", beside the channel\n";
    }
    if (model.network.side) out << "  side      told another matrix of each channel: --side FILE\n";
    if (!model.P.is_empty()) {
      out << "  pilots    the estimator of " << model.P.n_cols << " pilots of its own\n";
    }
    if (model.network.log_snr) {
      out << "  fitted    for " << model.network.snr_low_db << " to " << model.network.snr_high_db
          << " dB\n";
    } else {
      out << "  schedule  " << schedule.n_steps() << " levels, " << to_db(schedule.snr(0)) << " to "
          << to_db(schedule.snr(schedule.n_steps() - 1)) << " dB\n";
    }
    if (model.validation_losses.n_elem > 0) {
      out << "  fit       " << model.validation_losses.n_elem << " epochs, best validation loss "
          << model.validation_losses.min() << '\n';
    }
    if (!model.training_data.empty()) out << "  data      " << model.training_data << '\n';
    const std::string adapted = adapted_text(model.training_data);
    if (!adapted.empty()) out << "  adapted   " << adapted << '\n';
    print_provenance(model.provenance, out);
    if (!model.second_moments.empty()) {
      out << "  moments   second moments as " << to_string(model.second_moments.kind())
          << " covariance, for lmmse\n";
    }
    if (model.calibration.empty()) {
      out << "  calls     not calibrated: 3 at every SNR\n";
    } else {
      out << (adapted.empty() ? "  calibration, on validation channels:\n" : "  calibration:\n");
      print(model.calibration, out);
      print(model.precision, out);
    }
    for (const SolverChoice& choice : model.solvers.choices) print(choice, out);
    for (const TunedMethod& tuned : model.tuned.methods) {
      out << "  " << tuned.method << ":tuned=" << name_of(tuning_budget_names, tuned.budget)
          << '\n';
      for (const SolverChoice& choice : tuned.table.choices) print(choice, out);
    }
  }
}

// What a learned prior could gain over LMMSE, for channels brought to power 1 per entry.
void print_gap(SampleReader samples, double power, const RunControl& control, std::ostream& out) {
  if (samples.n_samples < 10 || samples.n_h() < 2 || power <= 0.0) return;
  if (std::max(samples.n_rx, samples.n_tx) > PriorGap::most_antennas) {
    out << "  learned prior: left out above " << PriorGap::most_antennas << " antennas on a side\n";
    return;
  }
  const double factor = 1.0 / std::sqrt(power);
  samples.read = [read = samples.read, factor](arma::uword at, arma::uword count) {
    return arma::cx_mat(factor * read(at, count));
  };
  const PriorGap gap = measure_prior_gap(samples, {-10.0, 0.0, 10.0, 20.0}, control);
  const auto n_h = samples.n_h();
  out << "  learned prior: is there something to learn beyond the covariance? At power 1 per "
         "entry,\n"
         "    covariance of "
      << gap.n_fit << " channels"
      << (gap.kronecker ? " (a basis for each side: all entries together are too many)" : "")
      << ", figures of " << gap.n_test << " others:\n"
      << "    SNR dB   NMSE dB: LMMSE   local power    gap   effective dimension of " << n_h
      << ": LMMSE   local power\n";
  const auto flags = out.flags();
  const auto precision = out.precision();
  out << std::fixed << std::setprecision(1);
  for (arma::uword i = 0; i < gap.snr_db.n_elem; ++i) {
    const double lmmse = to_db(gap.nmse_lmmse(i)), local = to_db(gap.nmse_local(i));
    out << "    " << std::setw(6) << gap.snr_db(i) << std::setw(17) << lmmse << std::setw(14)
        << local << std::setw(7) << lmmse - local << std::setw(36) << gap.dimension_lmmse(i)
        << std::setw(14) << gap.dimension_local(i) << '\n';
  }
  const double at_zero = to_db(gap.nmse_lmmse(1) / gap.nmse_local(1));
  out << "    "
      << (at_zero > 3.0   ? "yes: single channels are far simpler than all together"
          : at_zero > 0.5 ? "some: expect a part of the gap"
                          : "no: these channels are close to Gaussian, fit an lmmse model")
      << '\n';
  if (gap.n_fit < (gap.kronecker ? 64 : 2 * n_h)) {
    out << "    few channels for a covariance of this size: LMMSE looks worse than it is\n";
  }
  out.flags(flags);
  out.precision(precision);
}

/// The least error of any estimator, at SNRs ten apart.
void print_optimum(const OptimalErrors& optimum, std::ostream& out) {
  out << "  optimum   NMSE in dB" << (optimum.kind == "exact" ? "" : ", the limit of high SNR")
      << ", pilots identity:";
  for (arma::uword i = 0; i < optimum.mse.n_elem; ++i) {
    if (std::fmod(std::round(optimum.snr_db(i)), 10.0) != 0.0) continue;
    out << ' ' << number_text(std::round(10.0 * to_db(optimum.mse(i))) / 10.0 + 0.0) << " at "
        << std::round(optimum.snr_db(i)) << " dB" << (i + 1 < optimum.mse.n_elem ? "," : "");
  }
  out << '\n';
}

/// Power per entry of channels, in each and on average.
struct Powers {
  double mean = 0.0, weakest = arma::datum::inf, strongest = 0.0;
  arma::uword n = 0;  ///< channels looked at
};

/// Looks at all channels, or at as many as have 2^28 entries.
Powers measure_powers(const SampleReader& samples, const TerminalControl& terminal) {
  constexpr arma::uword most = arma::uword{1} << 28, worth_telling = arma::uword{1} << 25;
  const arma::uword n_h = samples.n_h();
  const arma::uword block = std::clamp<arma::uword>((arma::uword{1} << 20) / n_h, 1, 512);
  const arma::uword n_blocks = (samples.n_samples + block - 1) / block;
  const arma::uword n_read = std::min(n_blocks, most / (n_h * block));
  Powers powers;
  for (arma::uword i = 0; i < n_read; ++i) {
    const arma::uword at = i * n_blocks / n_read * block;
    const arma::vec norms =
        squared_norms(samples.read(at, std::min(block, samples.n_samples - at)));
    powers.mean += arma::accu(norms);
    powers.weakest = std::min(powers.weakest, norms.min() / double(n_h));
    powers.strongest = std::max(powers.strongest, norms.max() / double(n_h));
    powers.n += norms.n_elem;
    if (terminal.interrupted()) throw Error(ErrorKind::interrupted, "interrupted");
    if (samples.n_samples * n_h > worth_telling && i + 1 < n_read)
      terminal.report_channels(powers.n, n_read * block);
  }
  powers.mean /= double(n_h * powers.n);
  return powers;
}

void print_channels(const ChannelFlags& flags, bool quiet, std::ostream& out) {
  const Dataset dataset = flags.open_silently();
  const DatasetInfo& info = dataset.info();
  const SampleRange range = flags.range(dataset);
  out << info.file.string() << ": channels, taken for " << info.kind << '\n'
      << "  dataset   " << (info.dataset.empty() ? "(the array)" : info.dataset) << ", "
      << info.type_name << ", axes " << info.axes << '\n'
      << "  channels  " << info.n_samples << " of " << size_text(info.n_rx, info.n_tx, info.grid)
      << (info.grid.is_grid() ? " (n_rx x n_tx x subcarriers x symbols)\n" : " (n_rx x n_tx)\n");
  if (info.n_skipped > 0) out << "  skipped   " << info.n_skipped << " empty snapshots\n";
  if (const std::string bad = info.bad.text(range.size()); !bad.empty())
    out << "  bad       " << bad << "; not in the figures below, and left out by --skip-bad\n";
  const SampleReader samples = flags.samples_of(dataset, range);
  const TerminalControl terminal(quiet);
  const Powers powers = measure_powers(samples, terminal);
  out << "  power     " << powers.mean << " per entry in samples " << range.text();
  if (powers.n < samples.n_samples) out << " (" << powers.n << " of them, evenly spread)";
  out << ", single channels " << to_db(powers.weakest) << " to " << to_db(powers.strongest)
      << " dB\n";
  if (flags.normalise != as_stored) {
    out << "  scaled    h = " << info.scale << " * stored (" << to_string(info.normalisation)
        << ")\n";
  }
  if (info.grid.is_grid()) print_grid(dataset, samples, out);
  if (info.has_grid_covariance) out << "  genie     the covariance of all channels is stored\n";
  if (info.has_covariances) out << "  genie     the covariance of each channel is stored\n";
  if (info.has_prior) out << "  prior     the mixture that the channels are drawn from is stored\n";
  if (const auto optimum = dataset.optimum()) print_optimum(*optimum, out);
  if (!info.model.empty()) out << "  model     " << info.model << '\n';
  if (!info.grid.is_grid()) print_gap(samples, powers.mean, terminal.control(), out);
}

}  // namespace

int info(const Args& args, Context& context) {
  ChannelFlags flags;
  CommandLine line("info", "FILE [options]",
                   "Says what a file holds: channels (axes, type, count, power, and whether a "
                   "learned prior can pay), a model or results.");
  flags.normalise = as_stored;
  flags.add(line);
  line.positional("channels", 1);
  if (!line.parse(args, context)) return 0;
  line.require("channels", "the file to look at");
  flags.skip_bad = true;
  if (line.given("scale") && !line.given("normalise")) flags.normalise = "none";

  std::ostream& out = context.out;
  const std::filesystem::path file = split_dataset_name(flags.channels).first;
  std::error_code error;
  if (std::filesystem::is_regular_file(file, error) && file_kind(file) == FileKind::hdf5) {
    const ArchiveReader archive(file);
    const std::string format = archive.text_attribute("/", "format").value_or("");
    if (format == "chest-model") {
      print_model(file, archive.text_attribute("/", "kind").value_or(""), out);
      return 0;
    }
    if (format == "chest-results" || format == "chest-conformance") {
      out << file.string() << ": results\n";
      const Provenance provenance = read_provenance(archive, format, 1000);
      print_provenance(provenance, out);
      print_reservations(provenance, out);
      return 0;
    }
  }
  print_channels(flags, context.quiet, out);
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
