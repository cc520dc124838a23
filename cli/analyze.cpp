#include <algorithm>
#include <cmath>
#include <functional>
#include <iomanip>
#include <map>
#include <memory>
#include <ostream>
#include <sstream>
#include <utility>

#include <nlohmann/json.hpp>

#include <chest/channels/dataset.hpp>
#include <chest/error.hpp>
#include <chest/estimators/analysis/flow.hpp>
#include <chest/estimators/analysis/jacobian.hpp>
#include <chest/estimators/analysis/memorise.hpp>
#include <chest/estimators/analysis/score.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/estimators/prior/exact.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/sim/figure.hpp>
#include <chest/sim/plot.hpp>
#include <chest/text.hpp>

#include "commands.hpp"
#include "flags.hpp"
#include "prior_model.hpp"
#include "terminal.hpp"
#include "trust.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

struct AnalyzeFlags {
  std::string kind, model, snr = "-10,0,10,20", steps, counts = "100,200,400", csv, plot;
  arma::uword n = 0, n_probes = 4, n_drawn = 64, fit_steps = 0;
  double g = 1.0, minutes = 0.0;
  bool force = false;
  ChannelFlags channels;
  CommonFlags common;
};

/// Numbers under named columns, and what else there is to say.
struct AnalysisTable {
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;
  std::vector<std::string> notes;
  sim::Figure figure;

  void add(std::vector<double> row) { rows.push_back(std::move(row)); }
  arma::vec column(std::size_t j) const {
    arma::vec out(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) out(i) = rows[i][j];
    return out;
  }
};

/// What an analysis works on.
struct AnalysisInput {
  const AnalyzeFlags& flags;
  const PriorModel& prior;
  SampleReader channels;  ///< as the prior takes them, all that were asked for
  std::vector<double> snr_db;
  unsigned n_threads;
  const TerminalControl& terminal;

  /// --n of them, spread; `usual` where that was not given.
  arma::cx_mat some(arma::uword usual) const {
    const SampleReader chosen = spread(channels, flags.n > 0 ? flags.n : usual);
    return chosen.read(0, chosen.n_samples);
  }
  std::vector<arma::uword> steps(const std::string& usual) const {
    std::vector<arma::uword> out;
    for (const std::string& part : split(flags.steps.empty() ? usual : flags.steps, ',')) {
      out.push_back(to_count(trimmed(part), "--steps"));
      if (out.back() == 0) refuse("--steps holds 0, expected 1 or more");
    }
    return out;
  }
  /// @throws Error(interrupted) after Ctrl-C
  void go_on() const {
    if (terminal.interrupted()) throw Error(ErrorKind::interrupted, "interrupted");
  }
  ScoreCheckOptions score_options() const {
    ScoreCheckOptions options;
    options.n_probes = flags.n_probes;
    options.seed = flags.common.seed;
    return options;
  }
};

sim::FigurePanel curve_panel(const std::string& title, const std::string& x, const std::string& y) {
  sim::FigurePanel panel;
  panel.title = title;
  panel.x_label = x;
  panel.y_label = y;
  return panel;
}

std::string at_snr(double snr_db) { return number_text(snr_db) + " dB"; }

// --- jacobian

AnalysisTable analyze_jacobian(const AnalysisInput& in) {
  const arma::cx_mat h = in.some(4);
  const std::size_t n_snr = in.snr_db.size(), n = h.n_cols;
  std::vector<JacobianReport> reports(n_snr * n);
  JacobianOptions options;
  options.n_probes = std::max<arma::uword>(in.flags.n_probes, 2);
  const ScoreCheckOptions noise = in.score_options();
  parallel_for(reports.size(), in.n_threads, [&](std::size_t i) {
    in.go_on();
    const double sigma2 = from_db(-in.snr_db[i / n]);
    const arma::uword k = i % n;
    const arma::cx_vec z = h.col(k) + report_noise(h.n_rows, n, sigma2, noise).col(k);
    reports[i] = analyse_jacobian(*in.prior.denoiser, h.col(k), z, sigma2, in.prior.n_rx,
                                  in.prior.n_tx, in.flags.common.seed + k, options);
  });
  AnalysisTable table;
  table.columns = {"snr_db",        "asymmetry",     "effective_rank", "largest",
                   "vectors_to_90", "spread_angles", "spread_antennas"};
  sim::FigurePanel shrinkage =
      curve_panel("shrinkage of the first channel", "eigenvector", "eigenvalue");
  sim::FigurePanel energy =
      curve_panel("energy of the clean channel in the leading vectors", "eigenvectors", "share");
  for (std::size_t s = 0; s < n_snr; ++s) {
    double asymmetry = 0.0, rank = 0.0, largest = 0.0, to_90 = 0.0, angles = 0.0, antennas = 0.0;
    for (std::size_t k = 0; k < n; ++k) {
      const JacobianReport& report = reports[s * n + k];
      asymmetry += report.asymmetry;
      rank += report.effective_rank;
      largest = std::max(largest, report.shrinkage.max());
      const arma::uvec enough = arma::find(report.energy >= 0.9, 1);
      to_90 += enough.is_empty() ? arma::datum::nan : 0.5 * double(enough(0) + 1);
      // The leading vectors, as many as pass.
      const auto leading = std::clamp<arma::uword>(
          static_cast<arma::uword>(std::lround(2.0 * report.effective_rank)), 1,
          report.spread_angles.n_elem);
      angles += arma::mean(report.spread_angles.head(leading));
      antennas += arma::mean(report.spread_antennas.head(leading));
    }
    const auto mean = [&](double sum) { return sum / double(n); };
    table.add({in.snr_db[s], mean(asymmetry), mean(rank), largest, mean(to_90), mean(angles),
               mean(antennas)});
    const JacobianReport& first = reports[s * n];
    const arma::vec x = arma::regspace(1.0, double(first.shrinkage.n_elem));
    shrinkage.curves.push_back({at_snr(in.snr_db[s]), x, first.shrinkage});
    energy.curves.push_back({at_snr(in.snr_db[s]), x, first.energy});
  }
  table.notes = {
      "means over " + std::to_string(n) +
          " channels; effective_rank: tr J, complex dimensions that pass",
      "vectors_to_90: pairs of eigenvectors that hold 90 % of the clean channel; - where the "
      "leading ones do not",
      "spread: entries over which the vectors that pass spread, in angles and over antennas; of " +
          std::to_string(in.prior.n_h())};
  table.figure.n_columns = 2;
  table.figure.panels = {shrinkage, energy};
  // High SNRs keep nearly all: their eigenvalues lie too close for vectors of their own.
  const std::size_t middle = (n_snr - 1) / 2;
  const JacobianReport& shown = reports[middle * n];
  for (arma::uword k = 0; k < std::min<arma::uword>(4, shown.angular.n_cols / 2); ++k) {
    sim::FigurePanel panel;
    panel.title = "eigenvector " + std::to_string(2 * k + 1) + " over angles at " +
                  at_snr(in.snr_db[middle]) + ", 30 dB of colour";
    panel.image =
        10.0 * arma::log10(arma::reshape(shown.angular.col(2 * k), in.prior.n_rx, in.prior.n_tx) /
                               shown.angular.col(2 * k).max() +
                           1e-12);
    panel.image_low = -30.0;
    panel.image_high = 0.0;
    table.figure.panels.push_back(std::move(panel));
  }
  return table;
}

// --- what is measured level by level

/// A row per SNR, computed by threads.
AnalysisTable by_snr(const AnalysisInput& in, std::vector<std::string> columns,
                     const std::function<std::vector<double>(double sigma2)>& row) {
  AnalysisTable table;
  table.columns = std::move(columns);
  table.columns.insert(table.columns.begin(), "snr_db");
  table.rows.resize(in.snr_db.size());
  parallel_for(in.snr_db.size(), in.n_threads, [&](std::size_t i) {
    in.go_on();
    table.rows[i] = row(from_db(-in.snr_db[i]));
    table.rows[i].insert(table.rows[i].begin(), in.snr_db[i]);
  });
  return table;
}

AnalysisTable analyze_conservativity(const AnalysisInput& in) {
  const arma::cx_mat h = in.some(40);
  AnalysisTable table = by_snr(
      in,
      {"asymmetry", "circulation", "stokes", "nmse_db", "nmse_conservative_db", "difference_db"},
      [&](double sigma2) -> std::vector<double> {
        const ConservativityReport report =
            measure_conservativity(*in.prior.denoiser, h, sigma2, in.score_options());
        return {report.asymmetry,
                report.circulation,
                report.stokes,
                to_db(report.nmse),
                to_db(report.nmse_conservative),
                std::max(to_db(report.difference), -200.0)};
      });
  table.notes = {
      "over " + std::to_string(h.n_cols) +
          " channels; asymmetry: ||J - J^T|| / ||J + J^T||, 0 for the derivative of a score",
      "circulation: around parallelograms of sides sigma sqrt(n_h), over the sides' integrals; "
      "stokes: what J - J^T says of it",
      "conservative: the gradient of the field's potential along rays from 0 as an estimate, and "
      "how far from D it is"};
  table.figure.n_columns = 1;
  sim::FigurePanel panel = curve_panel("how far from a gradient", "SNR in dB", "relative size");
  panel.log_y = true;
  for (std::size_t j = 1; j < 4; ++j) {
    panel.curves.push_back({table.columns[j], table.column(0), table.column(j)});
  }
  table.figure.panels = {panel};
  return table;
}

AnalysisTable analyze_dimension(const AnalysisInput& in) {
  const arma::cx_mat h = in.some(40);
  const auto n_h = static_cast<double>(in.prior.n_h());
  AnalysisTable table =
      by_snr(in, {"dimension_error", "dimension_trace", "singular_values", "gain_db"},
             [&](double sigma2) -> std::vector<double> {
               const DimensionReport report =
                   measure_dimension(*in.prior.denoiser, h, sigma2, in.score_options());
               return {report.error, report.trace, report.count, to_db(n_h / report.error)};
             });
  table.notes = {
      "of " + number_text(n_h) + " complex dimensions, over " + std::to_string(h.n_cols) +
          " channels; dimension_error: E||D - h||^2 / sigma2, dimension_trace: tr J",
      "singular_values: half the number above 1/2 of J of the first channel; - beyond n_h = 256",
      "gain_db: over least squares, n_h / dimension_error"};
  table.figure.n_columns = 1;
  sim::FigurePanel panel = curve_panel("effective dimension", "SNR in dB", "complex dimensions");
  panel.log_y = true;
  for (std::size_t j = 1; j < 4; ++j) {
    panel.curves.push_back({table.columns[j], table.column(0), table.column(j)});
  }
  table.figure.panels = {panel};
  return table;
}

AnalysisTable analyze_score(const AnalysisInput& in) {
  const arma::cx_mat h = in.some(200);
  const arma::cx_mat few = h.head_cols(std::min<arma::uword>(h.n_cols, 40));
  AnalysisTable table = by_snr(
      in, {"stein", "mean", "mse_predicted", "mse_measured", "asymmetry", "circulation"},
      [&](double sigma2) -> std::vector<double> {
        const ScoreReport report = test_score(*in.prior.denoiser, h, sigma2, in.score_options());
        const ConservativityReport curl =
            measure_conservativity(*in.prior.denoiser, few, sigma2, in.score_options());
        return {report.stein,    report.mean,    report.predicted,
                report.measured, curl.asymmetry, curl.circulation};
      });
  table.notes = {
      "over " + std::to_string(h.n_cols) +
          " channels, of a score: stein 1, mean near 1, mse_predicted = mse_measured, the rest 0",
      "stein: -E Re<f, z> / n_h of f = (D - z) / sigma2; mean: ||E f||^2 over what its noise makes "
      "of it",
      "mse_predicted: (sigma2 / 2) tr J / n_h, Tweedie's second formula; mse per entry"};
  table.figure.n_columns = 2;
  sim::FigurePanel mse = curve_panel("error per entry", "SNR in dB", "E||D - h||^2 / n_h");
  mse.log_y = true;
  mse.curves = {{"predicted", table.column(0), table.column(3)},
                {"measured", table.column(0), table.column(4)}};
  sim::FigurePanel laws = curve_panel("laws of a score", "SNR in dB", "");
  laws.curves = {{"stein", table.column(0), table.column(1)},
                 {"asymmetry", table.column(0), table.column(5)},
                 {"circulation", table.column(0), table.column(6)}};
  table.figure.panels = {mse, laws};
  return table;
}

// --- the flow

arma::cx_mat covariance_of(const AnalysisInput& in) {
  return in.prior.exact() ? second_moment(*in.prior.mixture) : arma::cx_mat();
}

AnalysisTable analyze_likelihood(const AnalysisInput& in) {
  const arma::cx_mat h = in.some(16);
  const auto n = static_cast<double>(h.n_cols), n_h = static_cast<double>(h.n_rows);
  FlowOptions options;
  options.n_probes = in.flags.n_probes;
  options.seed = in.flags.common.seed;
  options.C = covariance_of(in);
  options.trace = in.prior.exact() ? TraceRule::predicted
                  : h.n_rows <= 32 ? TraceRule::whole
                                   : TraceRule::probes;
  AnalysisTable table;
  table.columns = {"steps", "log_density", "per_entry", "sd", "exact", "rms_difference"};
  sim::FigurePanel panel =
      curve_panel("log density of each channel", "sample of those analysed", "nats per entry");
  for (const arma::uword n_steps : in.steps("50,100,200")) {
    options.n_steps = n_steps;
    arma::vec seen(h.n_cols);
    const arma::cx_mat z = flow_start(h, options, *in.prior.denoiser);
    parallel_for(h.n_cols, in.n_threads, [&](std::size_t k) {
      in.go_on();
      FlowOptions of_k = options;
      of_k.first_sample = k;
      seen(k) = flow_log_density(*in.prior.denoiser, z.cols(k, k), of_k)(0);
    });
    double exact = arma::datum::nan, difference = arma::datum::nan;
    if (in.prior.exact()) {
      const arma::vec known = mixture_log_density(*in.prior.mixture, z, options.tau2_low);
      exact = arma::mean(known);
      difference = std::sqrt(arma::mean(arma::square(seen - known)));
    }
    table.add({double(n_steps), arma::mean(seen), arma::mean(seen) / n_h,
               n > 1.0 ? arma::stddev(seen) : arma::datum::nan, exact, difference});
    panel.curves.push_back(
        {std::to_string(n_steps) + " steps", arma::regspace(0.0, n - 1.0), seen / n_h, true});
  }
  table.notes = {
      "nats, mean over " + std::to_string(h.n_cols) + " channels with noise of the lowest level, " +
          number_text(options.tau2_low) + " where the prior allows it",
      options.trace == TraceRule::probes
          ? "trace by " + std::to_string(options.n_probes) + " random directions a channel"
          : "trace exact"};
  table.figure.n_columns = 1;
  table.figure.panels = {panel};
  return table;
}

AnalysisTable analyze_invert(const AnalysisInput& in) {
  const arma::cx_mat h = in.some(16);
  FlowOptions options;
  options.seed = in.flags.common.seed;
  AnalysisTable table;
  table.columns = {"steps", "error_ddim", "error_bdia", "latent_power_ddim", "latent_power_bdia"};
  const std::vector<arma::uword> steps = in.steps("10,20,50,100");
  table.rows.resize(steps.size());
  parallel_for(steps.size(), in.n_threads, [&](std::size_t i) {
    in.go_on();
    FlowOptions of_i = options;
    of_i.n_steps = steps[i];
    const InversionReport report = measure_inversion(*in.prior.denoiser, h, in.flags.g, of_i);
    table.rows[i] = {double(steps[i]), report.ddim, report.bdia, report.latent_ddim,
                     report.latent_bdia};
  });
  table.notes = {"channels to noise and back, ||back - z|| / ||z|| over " +
                 std::to_string(h.n_cols) +
                 " channels with noise of the lowest level; power of the noise per entry, 1 where "
                 "it is white"};
  sim::FigurePanel panel = curve_panel("round trip", "steps", "relative error");
  panel.log_y = panel.log_x = true;
  panel.curves = {{"DDIM", table.column(0), table.column(1)},
                  {"BDIA, g = " + number_text(in.flags.g), table.column(0), table.column(2)}};
  table.figure.n_columns = 1;
  table.figure.panels = {panel};
  return table;
}

// --- memorise

/// The recipe that a network was fitted with, where its file tells.
NetworkFitOptions recipe_of(const NetworkModel& model) {
  NetworkFitOptions fit;
  fit.network = model.network;
  fit.prediction = model.prediction;
  const auto told = nlohmann::json::parse(model.provenance.options, nullptr, false);
  if (!told.is_object()) return fit;
  const auto number = [&](const char* key, double otherwise) {
    const auto it = told.find(key);
    if (it == told.end()) return otherwise;
    if (it->is_number()) return it->get<double>();
    return it->is_string() ? to_number(it->get<std::string>(), key) : otherwise;
  };
  const auto text = [&](const char* key, const std::string& otherwise) {
    const auto it = told.find(key);
    return it != told.end() && it->is_string() ? it->get<std::string>() : otherwise;
  };
  fit.learning_rate = number("learning-rate", fit.learning_rate);
  fit.batch = static_cast<arma::uword>(number("batch", double(fit.batch)));
  fit.ema_decay = number("ema", fit.ema_decay);
  fit.max_epochs = static_cast<arma::uword>(number("epochs", double(fit.max_epochs)));
  fit.patience = static_cast<arma::uword>(number("patience", double(fit.patience)));
  fit.objective = fit_objective_from_string(text("objective", "nmse"));
  fit.augmentation = augmentation_from_string(text("augment", "phase"));
  return fit;
}

/// Channels that a network was fitted on; 0: its file does not tell.
arma::uword n_fitted_on(const NetworkModel& model) {
  const auto told = nlohmann::json::parse(model.training_data, nullptr, false);
  if (!told.is_object() || !told.contains("samples") || !told["samples"].is_string()) return 0;
  const std::vector<std::string> ends = split(told["samples"].get<std::string>(), ':');
  if (ends.size() != 2) return 0;
  return to_count(ends[1], "samples") - to_count(ends[0], "samples");
}

/// The same channels again and again.
SampleReader repeated(const SampleReader& channels, arma::uword n_samples) {
  SampleReader out = channels;
  out.n_samples = n_samples;
  out.read = [channels](arma::uword first, arma::uword count) {
    arma::cx_mat h(channels.n_h(), count);
    for (arma::uword done = 0; done < count;) {
      const arma::uword at = (first + done) % channels.n_samples;
      const arma::uword n = std::min(channels.n_samples - at, count - done);
      h.cols(done, done + n - 1) = channels.read(at, n);
      done += n;
    }
    return h;
  };
  return out;
}

/// As many steps of the optimiser as MODEL's own fit had, or `steps` of them. An epoch has as many channels as there, few
/// ones several times, so that validations are as rare.
SampleReader for_steps(const SampleReader& channels, const NetworkModel& model, arma::uword steps,
                       NetworkFitOptions& fit) {
  constexpr arma::uword of_a_usual_fit = 4096;
  const arma::uword told = n_fitted_on(model);
  if (told == 0 && steps == 0) return channels;
  arma::uword n = std::max({told, of_a_usual_fit, channels.n_samples});
  const arma::uword total = steps > 0 ? steps * fit.batch : fit.max_epochs * told;
  n = std::max(std::min(n, total), fit.batch);
  fit.max_epochs = std::max<arma::uword>((total + n / 2) / n, 1);
  return repeated(channels, n);
}

std::unique_ptr<Denoiser> fit_like(const AnalysisInput& in, const SampleReader& channels,
                                   std::uint64_t seed) {
  const PriorModel& prior = in.prior;
  if (prior.kind == "lmmse") return make_gaussian_denoiser(fit_lmmse(channels).C.C());
  if (prior.kind == "gmm") {
    GmmFitOptions fit;
    fit.covariance = prior.mixture->kind();
    fit.n_components = std::min(prior.mixture->n_components(), channels.n_samples);
    if (const auto* sides = std::get_if<KroneckerCovariances>(&prior.mixture->structure)) {
      fit.n_components_rx = sides->rx.size();
      fit.n_components_tx = sides->tx.size();
    } else if (const auto* spectral = std::get_if<SpectralCovariances>(&prior.mixture->structure)) {
      if (!spectral->factors.empty()) fit.rank = spectral->factors.front().n_cols;
    }
    fit.seed = seed;
    fit.n_threads = in.n_threads;
    return make_gaussian_mixture_denoiser(fit_gmm(channels, fit, in.terminal.control()).prior);
  }
  NetworkFitOptions fit = recipe_of(*prior.network);
  fit.max_minutes = in.flags.minutes;
  fit.seed = seed;
  fit.n_threads = in.n_threads;
  fit.device = in.flags.common.device;
  const arma::uword n_validation = std::max<arma::uword>(channels.n_samples / 20, 1);
  const arma::uword n_fit = channels.n_samples - n_validation;
  if (n_fit == 0) refuse("one channel cannot be split into fitting and validation channels");
  const NetworkModel model =
      fit_network(for_steps(subrange(channels, 0, n_fit), *prior.network, in.flags.fit_steps, fit),
                  subrange(channels, n_fit, n_validation), fit, in.terminal.control());
  return make_network_denoiser(model, in.flags.common.network_run());
}

AnalysisTable analyze_memorise(const AnalysisInput& in) {
  if (!in.prior.grid.empty()) {
    refuse(in.prior.file.string() + ": is a model of grids; memorise fits models of matrices");
  }
  std::vector<arma::uword> counts;
  for (const std::string& part : split(in.flags.counts, ',')) {
    counts.push_back(to_count(trimmed(part), "--counts"));
  }
  const arma::uword most = *std::max_element(counts.begin(), counts.end());
  if (*std::min_element(counts.begin(), counts.end()) < 2)
    refuse("--counts: expected 2 channels or more");
  const arma::uword n = in.channels.n_samples;
  if (n < 2 * most + 2) {
    refuse("--counts: two sets of " + std::to_string(most) + " channels and some to test on are " +
           std::to_string(2 * most + 2) + " at least, there are " + std::to_string(n));
  }
  MemoriseOptions options;
  options.snr_db = in.snr_db;
  options.n_samples = in.flags.n_drawn;
  options.seed = in.flags.common.seed;
  options.n_threads = in.n_threads;
  if (in.flags.n > 0) options.most_channels = in.flags.n;
  const arma::uword n_test = std::min(n - 2 * most, options.most_channels);
  const arma::cx_mat test = in.channels.read(n - n_test, n_test);
  AnalysisTable table;
  table.columns = {"n",      "snr_db", "nmse_train_db",  "nmse_test_db", "disagreement_db",
                   "cosine", "copies", "cosine_samples", "cosine_train", "cosine_fresh"};
  sim::FigurePanel errors =
      curve_panel("two fits on disjoint channels", "channels of each fit", "dB");
  errors.log_x = true;
  std::map<double, std::vector<std::pair<double, const MemoriseLevel*>>> by_level;
  std::vector<MemoriseReport> reports(counts.size());
  for (std::size_t c = 0; c < counts.size(); ++c) {
    const SampleReader a = subrange(in.channels, 0, counts[c]);
    const SampleReader b = subrange(in.channels, most, counts[c]);
    const arma::cx_mat h_a = a.read(0, counts[c]), h_b = b.read(0, counts[c]);
    const auto fit_a = fit_like(in, a, in.flags.common.seed);
    const auto fit_b = fit_like(in, b, in.flags.common.seed + 1);
    in.go_on();
    MemoriseReport& report = reports[c];
    report = compare_fits({*fit_a, *fit_b, h_a, h_b, test}, in.prior.n_rx, in.prior.n_tx, options);
    for (const MemoriseLevel& level : report.levels) {
      table.add({double(counts[c]), level.snr_db, to_db(level.nmse_train), to_db(level.nmse_test),
                 to_db(level.disagreement), level.cosine, report.copies, report.cosine_samples,
                 report.cosine_train, report.cosine_fresh});
      by_level[level.snr_db].push_back({double(counts[c]), &level});
    }
    table.notes.push_back(std::to_string(counts[c]) + " channels: " +
                          (report.memorised()     ? "memorised"
                           : report.generalised() ? "generalised"
                                                  : "neither memorised nor agreed"));
  }
  for (const auto& [snr_db, points] : by_level) {
    arma::vec x(points.size()), test_db(points.size()), train_db(points.size()),
        apart(points.size());
    for (std::size_t i = 0; i < points.size(); ++i) {
      x(i) = points[i].first;
      test_db(i) = to_db(points[i].second->nmse_test);
      train_db(i) = to_db(points[i].second->nmse_train);
      apart(i) = to_db(points[i].second->disagreement);
    }
    errors.curves.push_back({"NMSE, test, " + at_snr(snr_db), x, test_db});
    errors.curves.push_back({"NMSE, train, " + at_snr(snr_db), x, train_db});
    errors.curves.push_back({"disagreement, " + at_snr(snr_db), x, apart});
  }
  table.notes.push_back(
      "memorised: over 5 % of the samples are copies, or the test error is 1 dB above that of "
      "training; generalised: the fits differ by 6 dB less than they err");
  table.figure.n_columns = 1;
  table.figure.panels = {errors};
  table.figure.panel_width = 6.0;
  table.figure.panel_height = 4.0;
  return table;
}

// --- the command

using Analysis = AnalysisTable (*)(const AnalysisInput&);
const std::map<std::string, Analysis>& analyses() {
  static const std::map<std::string, Analysis> table{{"jacobian", analyze_jacobian},
                                                     {"memorise", analyze_memorise},
                                                     {"conservativity", analyze_conservativity},
                                                     {"dimension", analyze_dimension},
                                                     {"likelihood", analyze_likelihood},
                                                     {"invert", analyze_invert},
                                                     {"score", analyze_score}};
  return table;
}

void declare(CommandLine& line, AnalyzeFlags& o) {
  line.flag("kind", &o.kind, "jacobian|memorise|conservativity|dimension|likelihood|invert|score",
            "what is analysed; the word after analyze");
  line.flag("model", &o.model, "FILE", "of kind lmmse, gmm or dmse; the word after it");
  line.flag("n", &o.n, "N", "channels, spread over those asked for; memorise: of each error")
      .default_text = "4 jacobian, 16 likelihood and invert, 200 score, 500 memorise, else 40";
  line.flag("snr", &o.snr, "DB", "not likelihood, invert: SNRs, first:step:last or a list");
  line.flag("probes", &o.n_probes, "N", "random directions per channel, where all are too many")
      .most = 10'000;
  line.flag("steps", &o.steps, "N,N", "likelihood, invert: steps of the flow").default_text =
      "50,100,200; invert: 10,20,50,100";
  line.flag("g", &o.g, "X", "invert: weight of the step before, > 0 and <= 1");
  line.flag("counts", &o.counts, "N,N", "memorise: channels of each of the two fits");
  line.flag("drawn", &o.n_drawn, "N", "memorise: samples drawn from each fit; 0: none").most =
      100'000;
  line.flag("fit-steps", &o.fit_steps, "N", "memorise: optimiser steps of each fit of dmse")
      .default_text = "those of MODEL's own fit, whatever --counts";
  line.flag("minutes", &o.minutes, "X", "memorise: limit of each fit of dmse; 0: none");
  o.channels.add(line);
  line.section("output");
  line.output("csv", &o.csv, "the table as CSV");
  line.output("plot", &o.plot, "figure of it");
  line.flag("force", &o.force, "replaces existing files");
  o.common.add(line, "of noise, directions, fits and samples");
  line.positional("kind", 1);
  line.positional("model", 1);
}

void check_meaning(const CommandLine& line, const AnalyzeFlags& o) {
  const auto only_for = [&](const std::string& flag, const std::vector<std::string>& kinds) {
    if (!line.given(flag) || std::find(kinds.begin(), kinds.end(), o.kind) != kinds.end()) return;
    refuse("--" + flag + " is for " + enumerate(kinds) + ", not for " + o.kind);
  };
  only_for("snr", {"jacobian", "memorise", "conservativity", "dimension", "score"});
  only_for("probes", {"jacobian", "conservativity", "dimension", "score", "likelihood"});
  only_for("steps", {"likelihood", "invert"});
  only_for("g", {"invert"});
  only_for("counts", {"memorise"});
  only_for("drawn", {"memorise"});
  only_for("minutes", {"memorise"});
  only_for("fit-steps", {"memorise"});
  if (!(o.minutes >= 0.0))
    refuse("--minutes is " + number_text(o.minutes) + ", expected 0 or more");
  if (o.n_probes == 0) refuse("--probes is 0, expected 1 or more");
}

std::string cell(double value, int digits) {
  if (std::isnan(value)) return "-";
  std::ostringstream text;
  text << std::setprecision(digits) << value;
  return text.str();
}

void print_table(const AnalysisTable& table, std::ostream& out) {
  std::vector<std::size_t> widths;
  for (std::size_t j = 0; j < table.columns.size(); ++j) {
    std::size_t width = table.columns[j].size();
    for (const auto& row : table.rows) width = std::max(width, cell(row[j], 4).size());
    widths.push_back(width + 2);
    out << std::setw(static_cast<int>(widths[j])) << table.columns[j];
  }
  out << '\n';
  for (const auto& row : table.rows) {
    for (std::size_t j = 0; j < row.size(); ++j) {
      out << std::setw(static_cast<int>(widths[j])) << cell(row[j], 4);
    }
    out << '\n';
  }
  for (const std::string& note : table.notes) out << note << '\n';
}

std::string csv_of(const AnalysisTable& table) {
  std::string out;
  for (const std::string& column : table.columns) out += (out.empty() ? "" : ",") + column;
  out += '\n';
  for (const auto& row : table.rows) {
    for (std::size_t j = 0; j < row.size(); ++j) out += (j ? "," : "") + number_text(row[j]);
    out += '\n';
  }
  return out;
}

}  // namespace

int analyze(const Args& args, Context& context) {
  AnalyzeFlags o;
  CommandLine line("analyze", "KIND MODEL --channels FILE [options]",
                   "Says what a prior learned: eigenvectors of its derivative, copies of what it "
                   "was fitted on, whether it is a score, its dimension, densities and inversion "
                   "(docs/analysis.md). Exact priors run through the same, with known answers.");
  declare(line, o);
  if (!line.parse(args, context)) return 0;
  line.require("kind",
               "jacobian, memorise, conservativity, dimension, likelihood, invert or score");
  line.require("model", "the prior to analyse");
  line.require("channels", "the channels to analyse it on");
  check_meaning(line, o);
  for (const std::string* file : {&o.csv, &o.plot}) {
    if (!file->empty()) check_output(*file, o.force);
  }
  if (!o.plot.empty()) sim::check_plot(o.plot);

  const PriorModel prior = load_prior_model(o.model, o.common);
  const Dataset dataset = o.channels.open();
  const SampleRange range = o.channels.range(dataset);
  const std::string hash = hash_file(dataset.info().file);
  if (o.kind != "memorise") {
    for (const Seen& seen : seen_by(o.model, dataset.info(), hash, range)) warn_of(seen);
  }
  const TerminalControl terminal(context.quiet);
  const AnalysisInput input{o,
                            prior,
                            prior.samples_of(o.channels.samples_of(dataset, range)),
                            parse_range(o.snr, "--snr"),
                            o.common.n_threads(),
                            terminal};
  AnalysisTable table = analyses().at(o.kind)(input);
  context.out << o.kind << " of " << o.model << " (" << prior.text() << ") on "
              << o.channels.channels << "\n\n";
  print_table(table, context.out);
  if (!o.csv.empty()) write_text_file(o.csv, csv_of(table));
  if (!o.plot.empty()) {
    table.figure.title = o.kind + " of " + prior.file.filename().string();
    sim::draw_figure(table.figure, o.plot);
  }
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
