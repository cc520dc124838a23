#include "training.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/metrics.hpp>
#include <chest/random.hpp>

#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include "device.hpp"
#include "drawing.hpp"
#include "fit_loop.hpp"
#include "network.hpp"
#include "processes.hpp"
#include "tensor_bridge.hpp"

namespace chest {
inline namespace v0 {
namespace nn {

namespace {

using Json = nlohmann::json;

constexpr std::int64_t fewest_validation_draws = 512;
constexpr std::int64_t most_validation_levels = 32;
/// Levels that share a running mean of their error.
constexpr std::size_t n_level_means = 40;
constexpr double level_mean_decay = 0.98;
/// Of the variance's log likelihood beside the error: small, so that it does not cost accuracy.
constexpr double variance_weight = 0.02;
/// Of what the heads tell, per channel, beside the error of an entry relative to its running mean.
constexpr double heads_weight = 0.1;

std::string hash_of(const at::Tensor& planes) {
  const at::Tensor bytes = planes.permute({0, 2, 3, 1}).contiguous();
  return hash_bytes(bytes.data_ptr<float>(), bytes.nbytes());
}

/// Sizes of cuts whose errors have running means of their own: over half the band, over a quarter ..
constexpr std::size_t n_cut_classes = 4;

/// One noise level of a fit.
struct Level {
  double sigma2;
  double position;  ///< 0 (cleanest) .. 1 in the range of the fit
};

/// Sizes of arrays the same: octaves of n_rx n_tx below the largest.
constexpr std::size_t n_array_classes = 12;

/// Part of a plane: rows first_row .. and columns first .. of an array, or columns first, first + step .. of the
/// subcarriers, and the phase from one subcarrier to the next that a timing offset gives them, in radians.
struct Cut {
  std::int64_t first_row = 0, n_rows = 0;
  /// In place of first_row: the antennas of each panel, int64 [n_panels, n_rows].
  at::Tensor rows = {};
  std::int64_t first = 0, n_columns = 0, step = 0;
  double ramp = 0.0;
  std::size_t size_class = 0;
};

/// Entries of what may be undefined.
at::Tensor some_of(const at::Tensor& values, const at::Tensor& which) {
  return values.defined() ? values.index_select(0, which.to(values.device())) : values;
}

// Eight noise levels in a batch, or more.
std::int64_t micro_batch_of(const NetworkFitOptions& options, const at::Tensor& planes) {
  const std::int64_t most =
      planes.is_cuda() ? 512 : cpu_micro_batch(planes.size(2) * planes.size(3));
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(options.batch) / 8, 1, most);
}

/// Labels of all channels of a set.
struct LabelTensors {
  at::Tensor classes;  ///< int64 [n]
  at::Tensor numbers;  ///< float32 [n, n_numbers], standardised
  at::Tensor side;     ///< angular planes on the device of the fit
};

/// Mean and deviation of each number over the channels of the fit.
struct NumberScale {
  arma::vec mean, deviation;
};

NumberScale scale_of(const arma::mat& numbers) {
  NumberScale scale{arma::vec(numbers.n_rows), arma::vec(numbers.n_rows)};
  for (arma::uword i = 0; i < numbers.n_rows; ++i) {
    const arma::rowvec row = numbers.row(i);
    const arma::vec known = row.elem(arma::find_finite(row));
    if (known.n_elem < 2 || !(arma::stddev(known) > 0.0)) {
      throw Error(ErrorKind::invalid_argument,
                  "fit: number " + std::to_string(i) +
                      " is the same for all channels, or known of none; there is nothing to learn");
    }
    scale.mean(i) = arma::mean(known);
    scale.deviation(i) = arma::stddev(known);
  }
  return scale;
}

LabelTensors label_tensors(const ChannelLabels& labels, const NumberScale& scale) {
  LabelTensors out;
  if (!labels.classes.empty()) out.classes = at::tensor(labels.classes);
  if (labels.numbers.n_rows == 0) return out;
  out.numbers = at::empty({static_cast<std::int64_t>(labels.numbers.n_cols),
                           static_cast<std::int64_t>(labels.numbers.n_rows)});
  float* next = out.numbers.data_ptr<float>();
  for (arma::uword k = 0; k < labels.numbers.n_cols; ++k) {
    for (arma::uword i = 0; i < labels.numbers.n_rows; ++i) {
      *next++ = static_cast<float>((labels.numbers(i, k) - scale.mean(i)) / scale.deviation(i));
    }
  }
  return out;
}

class DenoisingObjective final : public Objective {
 public:
  /// @param train, validation  planes of the angular domain on the device of the fit; with cuts those
  ///                           of angle_planes()
  DenoisingObjective(const NetworkFitOptions& options, const NoiseSchedule& schedule,
                     const at::Tensor& train, at::Tensor validation,
                     std::shared_ptr<const Processes> processes, LabelTensors train_labels,
                     LabelTensors validation_labels, const PanelShape& panel)
      : Objective(train, {.size = static_cast<std::int64_t>(options.batch),
                          .micro_batch = micro_batch_of(options, train),
                          .seed = options.seed,
                          .n_threads = train.is_cuda() ? 1 : options.n_threads,
                          .processes = std::move(processes)}),
        options_(options),
        schedule_(schedule),
        train_(train),
        validation_(std::move(validation)),
        train_labels_(std::move(train_labels)),
        validation_labels_(std::move(validation_labels)),
        panels_{panel} {
    if (!options_.arrays.empty()) know_panels();
    if (!options_.P.is_empty()) pilots_ = seen_through(options_.P, train.device());
    for (std::int64_t first = 0; first < validation_.size(0); first += micro_batch()) {
      power_ += validation_.narrow(0, first, std::min(micro_batch(), validation_.size(0) - first))
                    .square()
                    .sum()
                    .item<double>();
    }
    power_ /= static_cast<double>(validation_.numel());
  }

  double batch(FitState& state, at::Tensor& gradient) override {
    std::vector<double>& level_means = state.level_means;
    const std::int64_t n_parts = n_micro_batches(state), count = batch_size(state);
    std::vector<double> errors(n_parts);
    std::vector<Level> levels(n_parts);
    std::vector<std::size_t> means(n_parts);
    gradient = sum_gradients(state, [&](const MicroBatch& part, const at::Tensor& weights) {
      const std::size_t i = part.index;
      const std::int64_t n_channels = part.h.size(0);
      const Draws draws = draw(Purpose::training, state.epoch, part.begin, n_channels);
      levels[i] = level((static_cast<double>(i) + draws.level) / static_cast<double>(n_parts));
      const at::Tensor h =
          augmented(cut_out(part.h, draws.cut, some_of(train_panels_, part.which)), draws);
      LevelLabels labels = level_labels(train_labels_, part.which, draws);
      if (labels.side.defined()) labels.side = augmented(labels.side, draws);
      const LevelErrors found =
          errors_of(weights, h, draws, train_, levels[i].sigma2, options_.bfloat16, labels);
      const double n_entries = entries(draws.cut);
      errors[i] = found.squared.item<double>() / (static_cast<double>(n_channels) * n_entries);
      means[i] = mean_of(levels[i], draws.cut);
      // Of a part's mean per entry; parts count by their channels.
      double weight = 1.0;
      if (options_.objective == FitObjective::nmse) {
        const double mean = level_means[means[i]];
        weight = 1.0 / std::max(mean > 0.0 ? mean : errors[i], 1e-30);
      }
      at::Tensor loss = found.squared * (weight / (static_cast<double>(count) * n_entries));
      if (found.heads.defined()) {
        loss = loss + found.heads * (heads_weight / static_cast<double>(count));
      }
      if (found.log_likelihood.defined()) {
        loss = loss + found.log_likelihood *
                          (2.0 * variance_weight / (static_cast<double>(count) * n_entries));
      }
      return loss;
    });
    share_out(errors, levels, means);
    double loss = 0.0;
    for (std::int64_t i = 0; i < n_parts; ++i) {
      const auto n = static_cast<double>(std::min(micro_batch(), count - i * micro_batch()));
      loss += n * loss_of(errors[i], levels[i]);
      double& mean = level_means[means[i]];
      mean =
          mean > 0.0 ? level_mean_decay * mean + (1.0 - level_mean_decay) * errors[i] : errors[i];
    }
    return loss;
  }

  double validate(const at::Tensor& flat) const override {
    const std::int64_t n = validation_.size(0);
    const std::int64_t n_repeats = (fewest_validation_draws + n - 1) / n;
    const std::int64_t n_parts = (n * n_repeats + micro_batch() - 1) / micro_batch();
    const std::int64_t n_levels = std::min(most_validation_levels, n_parts);
    std::vector<double> errors(n_parts);
    in_workers(errors.size(), [&](std::size_t i) {
      const auto part = static_cast<std::int64_t>(i);
      const std::int64_t begin = part * micro_batch();
      const Draws draws = draw(Purpose::validation, 0, begin, micro_batch());
      const at::Tensor which = at::arange(begin, begin + micro_batch()).remainder(n);
      const at::Tensor h = cut_out(validation_.index_select(0, which.to(validation_.device())),
                                   draws.cut, some_of(validation_panels_, which));
      errors[i] = errors_of(flat, h, draws, validation_, validation_level(part, n_levels).sigma2,
                            false, level_labels(validation_labels_, which, draws))
                      .squared.item<double>() /
                  (static_cast<double>(micro_batch()) * entries(draws.cut));
    });
    processes().add_up(errors);
    std::vector<double> sums(n_levels), counts(n_levels);
    for (std::int64_t i = 0; i < n_parts; ++i) {
      sums[i % n_levels] += errors[i];
      counts[i % n_levels] += 1.0;
    }
    double loss = 0.0;
    for (std::int64_t i = 0; i < n_levels; ++i) {
      loss += loss_of(sums[i] / counts[i], validation_level(i, n_levels)) /
              static_cast<double>(n_levels);
    }
    return loss;
  }

 private:
  double entries(const Cut& cut) const {
    return static_cast<double>(2 * cut.n_rows * cut.n_columns);
  }

  struct Draws {
    double level = 0.0;    ///< 0 .. 1
    at::Tensor phase;      ///< radians, [n]
    unsigned mirrors = 0;  ///< bits: rx reversed, tx reversed, conjugate
    Cut cut;
    at::Tensor eps;
    at::Tensor gain;             ///< of each channel, [n]; undefined: 1
    at::Tensor turns;            ///< of each channel, angular bins, [n, 2]; undefined: 0
    std::vector<char> untold;    ///< whether the class or side matrix of a channel is left out
    double contamination = 0.0;  ///< part of the noise power
    std::vector<std::uint64_t> others;  ///< numbers that choose the channels of which it is
    at::Tensor other_phase;             ///< radians, [n]
  };

  LevelErrors errors_of(const at::Tensor& weights, const at::Tensor& h, const Draws& draws,
                        const at::Tensor& all, double sigma2, bool bfloat16,
                        const LevelLabels& labels) const {
    const at::Tensor eps = noise(draws, all);
    if (options_.unroll > 1) {
      return unrolled_errors(options_.network, options_.prediction, schedule_, weights, h, eps,
                             sigma2, options_.unroll, bfloat16, labels);
    }
    return level_errors(options_.network, options_.prediction, schedule_, weights, h, eps, sigma2,
                        bfloat16, static_cast<double>(draws.cut.step), labels,
                        pilots_ ? &*pilots_ : nullptr);
  }

  /// The noise of a micro-batch, of power 1, in part of other channels among `all`.
  at::Tensor noise(const Draws& draws, const at::Tensor& all) const {
    if (draws.others.empty()) return draws.eps;
    std::vector<std::int64_t> which;
    for (const std::uint64_t number : draws.others) {
      which.push_back(static_cast<std::int64_t>(number % static_cast<std::uint64_t>(all.size(0))));
    }
    const at::Tensor other = rotated(
        cut_out(
            all.index_select(0, at::tensor(which).to(all.device())), draws.cut,
            some_of(all.is_same(train_) ? train_panels_ : validation_panels_, at::tensor(which))),
        draws.other_phase.to(all.device()).view({-1, 1, 1, 1}));
    const double share = draws.contamination;
    // Channels have the power of the validation channels per entry, and two planes; noise that of 1/2 per plane.
    return draws.eps * std::sqrt(1.0 - share) + other * std::sqrt(share / (2.0 * power_));
  }

  LevelLabels level_labels(const LabelTensors& labels, const at::Tensor& which,
                           const Draws& draws) const {
    LevelLabels out;
    if (options_.network.told_class) {
      const at::Tensor classes = labels.classes.index_select(0, which);
      for (std::int64_t k = 0; k < classes.size(0); ++k) {
        const bool is_left_out = draws.untold[static_cast<std::size_t>(k)] != 0;
        out.told.push_back(is_left_out ? -1 : classes[k].item<std::int64_t>());
      }
    }
    if (options_.network.tells_class) {
      out.classes = labels.classes.index_select(0, which).to(validation_.device());
    }
    if (options_.network.numbers > 0) {
      out.numbers = labels.numbers.index_select(0, which).to(validation_.device());
    }
    if (options_.network.side) {
      const std::vector<float> kept(draws.untold.begin(), draws.untold.end());
      const at::Device device = validation_.device();
      out.side = labels.side.index_select(0, which.to(device)) *
                 (1.0 - at::tensor(kept).to(device).view({-1, 1, 1, 1}));
    }
    return out;
  }

  // What each process found of its parts, to all of them.
  void share_out(std::vector<double>& errors, std::vector<Level>& levels,
                 std::vector<std::size_t>& means) const {
    const std::size_t n = errors.size();
    if (processes().count() == 1) return;
    std::vector<double> all(4 * n);
    for (std::size_t i = 0; i < n; ++i) {
      if (!processes().has(i)) continue;
      all[i] = errors[i];
      all[n + i] = levels[i].sigma2;
      all[2 * n + i] = levels[i].position;
      all[3 * n + i] = static_cast<double>(means[i]);
    }
    processes().add_up(all);
    for (std::size_t i = 0; i < n; ++i) {
      errors[i] = all[i];
      levels[i] = {all[n + i], all[2 * n + i]};
      means[i] = static_cast<std::size_t>(all[3 * n + i]);
    }
  }

  // A level of the range, at 0 (cleanest) .. 1 of it: uniform in dB, or in the index.
  Level level(double position) const {
    const NetworkConfig& network = options_.network;
    if (network.log_snr) {
      return {from_db(-network.snr_high_db + position * (network.snr_high_db - network.snr_low_db)),
              position};
    }
    const auto n = schedule_.n_steps();
    return {schedule_.sigma2(std::min(n - 1, static_cast<arma::uword>(position * double(n)))),
            position};
  }
  Level validation_level(std::int64_t part, std::int64_t n_levels) const {
    return level((static_cast<double>(part % n_levels) + 0.5) / static_cast<double>(n_levels));
  }
  static std::size_t mean_of(const Level& level, const Cut& cut) {
    return cut.size_class * n_level_means +
           std::min(n_level_means - 1, static_cast<std::size_t>(level.position * n_level_means));
  }

  Cut draw_cut(Rng& rng) const {
    const GridCuts& cuts = options_.cuts;
    const std::int64_t n_all = validation_.size(3);
    Cut cut{.n_rows = validation_.size(2), .n_columns = n_all};
    if (!options_.arrays.empty()) return draw_array(rng);
    if (cuts.steps.empty()) return cut;
    cut.step = static_cast<std::int64_t>(cuts.steps[rng.index(cuts.steps.size())]);
    const double size = rng.uniform(), offset = 2.0 * rng.uniform() - 1.0;
    const bool is_part = rng.index(2) == 1, is_late = rng.index(2) == 1;
    std::int64_t n = n_all;
    if (is_part) {
      const double ratio =
          static_cast<double>(cuts.fewest_subcarriers) / static_cast<double>(n_all);
      n = std::llround(static_cast<double>(n_all) * std::pow(std::min(ratio, 1.0), size));
      cut.size_class = std::min<std::size_t>(
          n_cut_classes - 1,
          static_cast<std::size_t>(std::log2(static_cast<double>(n_all) / static_cast<double>(n))));
    }
    cut.n_columns = std::max<std::int64_t>(1, n / cut.step);
    const std::int64_t spare = n_all - (cut.n_columns - 1) * cut.step;
    cut.first = static_cast<std::int64_t>(rng.index(static_cast<std::uint64_t>(spare)));
    if (is_late) cut.ramp = 2.0 * M_PI * cuts.most_offset * offset;
    return cut;
  }

  /// Part of the arrays, its sizes uniform in octaves.
  Cut draw_array(Rng& rng) const {
    const auto draw_side = [&](arma::uword least, arma::uword most, std::int64_t n_all,
                               std::int64_t& first, std::int64_t& n) {
      const double ratio = static_cast<double>(most) / static_cast<double>(least);
      n = std::llround(static_cast<double>(least) * std::pow(ratio, rng.uniform()));
      first = static_cast<std::int64_t>(rng.index(static_cast<std::uint64_t>(n_all - n + 1)));
    };
    const ArrayRange& range = options_.arrays;
    Cut cut;
    if (sizes_.empty()) {
      draw_side(range.least_rx, range.most_rx, validation_.size(2), cut.first_row, cut.n_rows);
    } else {
      const std::vector<arma::uword>& octave = sizes_[rng.index(sizes_.size())];
      const arma::uword n = octave[rng.index(octave.size())];
      cut.n_rows = static_cast<std::int64_t>(n);
      std::vector<at::Tensor> rows;
      for (const PanelShape& panel : panels_) rows.push_back(draw_rows(rng, panel, n));
      cut.rows = at::stack(rows);
    }
    draw_side(range.least_tx, range.most_tx, validation_.size(3), cut.first, cut.n_columns);
    const double octaves = std::log2(static_cast<double>(range.most_rx * range.most_tx) /
                                     static_cast<double>(cut.n_rows * cut.n_columns));
    cut.size_class = std::min(n_array_classes - 1, static_cast<std::size_t>(octaves));
    return cut;
  }

  /// n antennas of a panel that are one too, or neighbours in a line.
  at::Tensor draw_rows(Rng& rng, const PanelShape& panel, arma::uword n) const {
    if (panel.is_line()) {
      const auto spare = static_cast<std::uint64_t>(validation_.size(2)) - n + 1;
      return at::arange(static_cast<std::int64_t>(n)) + static_cast<std::int64_t>(rng.index(spare));
    }
    const std::vector<PanelShape> parts = parts_of(panel, n);
    const PanelShape part = parts[rng.index(parts.size())];
    const PanelShape first{rng.index(panel.rows - part.rows + 1),
                           rng.index(panel.columns - part.columns + 1),
                           rng.index(panel.polarisations - part.polarisations + 1)};
    const std::vector<arma::uword> rows = antennas_of(panel, part, first);
    return at::tensor(std::vector<std::int64_t>(rows.begin(), rows.end()));
  }

  /// The angular planes of a cut.
  /// @param panels  which each channel has, int64 [n]; undefined: the first
  at::Tensor cut_out(const at::Tensor& h, const Cut& cut, const at::Tensor& panels = {}) const {
    if (!options_.arrays.empty()) {
      return to_angular(rows_of(h, cut, panels).narrow(3, cut.first, cut.n_columns).contiguous());
    }
    if (cut.step == 0) return h;
    at::Tensor columns =
        h.slice(3, cut.first, cut.first + (cut.n_columns - 1) * cut.step + 1, cut.step);
    if (cut.ramp != 0.0) {
      const at::Tensor phase =
          at::arange(cut.n_columns, h.options()) * (cut.ramp * static_cast<double>(cut.step));
      columns = rotated(columns, phase.view({1, 1, 1, -1}));
    }
    return to_delays(columns);
  }
  at::Tensor rows_of(const at::Tensor& h, const Cut& cut, const at::Tensor& panels) const {
    if (!cut.rows.defined()) return h.narrow(2, cut.first_row, cut.n_rows);
    const at::Tensor rows = cut.rows.to(h.device());
    if (!panels.defined()) return h.index_select(2, rows[0]);
    return h.gather(
        2,
        rows.index_select(0, panels).view({-1, 1, cut.n_rows, 1}).expand({-1, 2, -1, h.size(3)}));
  }

  /// The arrays that channels are cut to, where they are more than one line.
  void know_panels() {
    const auto number = [&](const PanelShape& panel) {
      const auto known = std::find(panels_.begin(), panels_.end(), panel);
      const std::int64_t which = known - panels_.begin();
      if (known == panels_.end()) panels_.push_back(panel);
      return which;
    };
    const auto numbers = [&](const at::Tensor& channels,
                             const NetworkFitOptions::LaterPanels& later) {
      at::Tensor out = at::zeros({channels.size(0)}, at::kLong);
      for (const auto& [first, panel] : later) {
        out.slice(0, static_cast<std::int64_t>(first)).fill_(number(panel));
      }
      return out.to(channels.device());
    };
    train_panels_ = numbers(train_, options_.later_panels);
    validation_panels_ = numbers(validation_, options_.later_validation_panels);
    if (panels_.size() == 1) train_panels_ = validation_panels_ = at::Tensor();
    if (panels_.size() == 1 && panels_.front().is_line()) return;
    std::map<int, std::vector<arma::uword>> octaves;
    for (const arma::uword n : common_sizes(panels_, options_.arrays)) {
      octaves[static_cast<int>(std::log2(static_cast<double>(n)))].push_back(n);
    }
    for (auto& [octave, sizes] : octaves) sizes_.push_back(std::move(sizes));
  }

  // In dB of NMSE, or the mean square itself.
  double loss_of(double error, const Level& level) const {
    if (options_.objective == FitObjective::prediction) return error;
    const double gain = prediction_gains(options_.prediction, level.sigma2).o_gain;
    return to_db(gain * gain * error / power_);
  }

  at::Tensor augmented(at::Tensor h, const Draws& draws) const {
    if (options_.augmentation == Augmentation::mirror) h = mirrored(h, draws.mirrors);
    if (options_.augmentation != Augmentation::none) {
      h = rotated(h, draws.phase.to(h.device()).view({-1, 1, 1, 1}));
    }
    if (draws.turns.defined()) h = turned(h, draws.turns);
    if (draws.gain.defined()) h = h * draws.gain.to(h.device()).view({-1, 1, 1, 1});
    return h;
  }

  // Level, phases and noise of positions begin .. begin + count - 1 of an epoch, each from its own
  // stream.
  Draws draw(Purpose purpose, std::int64_t epoch, std::int64_t begin, std::int64_t count) const {
    Draws draws;
    std::int64_t n_rx = 0, n_tx = 0;
    const at::Device device = validation_.device();
    arma::cx_mat eps;
    std::uint64_t device_seed = 0;
    std::vector<float> phases, gains, other_phases, turns;
    for (std::int64_t k = 0; k < count; ++k) {
      Rng rng(options_.seed, {purpose, static_cast<std::uint64_t>(epoch),
                              static_cast<std::uint64_t>(begin + k + 1)});
      phases.push_back(static_cast<float>(2.0 * M_PI * rng.uniform()));
      if (k == 0) {
        draws.level = rng.uniform();
        draws.mirrors = static_cast<unsigned>(rng.index(8));
      }
      if (k == 0) {
        draws.cut = draw_cut(rng);
        n_rx = draws.cut.n_rows;
        n_tx = options_.P.is_empty() ? draws.cut.n_columns
                                     : static_cast<std::int64_t>(options_.P.n_cols);
        if (!device.is_cuda()) eps.set_size(n_rx * n_tx, count);
      }
      if (k == 0 && device.is_cuda()) device_seed = rng();
      if (!device.is_cuda()) rng.fill_cx_normal(eps.colptr(k), eps.n_rows);
      draw_more(rng, draws, gains, other_phases, turns);
    }
    if (!gains.empty()) draws.gain = at::tensor(gains);
    if (!other_phases.empty()) draws.other_phase = at::tensor(other_phases);
    if (!turns.empty()) draws.turns = at::tensor(turns).view({-1, 2});
    draws.phase = at::tensor(phases);
    if (device.is_cuda()) {
      // A GPU would wait for noise drawn here.
      at::Generator generator = at::globalContext().defaultGenerator(device).clone();
      generator.set_current_seed(device_seed);
      draws.eps =
          at::randn({count, 2, n_rx, n_tx}, generator, validation_.options()).mul_(M_SQRT1_2);
    } else {
      draws.eps = planes_from_columns(eps, n_rx, n_tx, device);
    }
    return draws;
  }

  /// What only some fits draw for a channel, after all else: the others keep their numbers.
  void draw_more(Rng& rng, Draws& draws, std::vector<float>& gains,
                 std::vector<float>& other_phases, std::vector<float>& turns) const {
    if (options_.gain_db > 0.0) {
      const double change_db = options_.gain_db * (2.0 * rng.uniform() - 1.0);
      gains.push_back(static_cast<float>(std::sqrt(from_db(change_db))));
    }
    if (options_.contamination > 0.0) {
      if (draws.others.empty()) draws.contamination = options_.contamination * rng.uniform();
      draws.others.push_back(rng());
      other_phases.push_back(static_cast<float>(2.0 * M_PI * rng.uniform()));
    }
    if (options_.network.told_class || options_.network.side) {
      draws.untold.push_back(rng.uniform() < options_.untold);
    }
    for (int side = 0; side < 2 && options_.turn_bins > 0.0; ++side) {
      turns.push_back(static_cast<float>(options_.turn_bins * (2.0 * rng.uniform() - 1.0)));
    }
  }

  const NetworkFitOptions& options_;
  const NoiseSchedule& schedule_;
  at::Tensor train_, validation_;
  LabelTensors train_labels_, validation_labels_;
  std::vector<PanelShape> panels_;               // of the channels, to be cut
  at::Tensor train_panels_, validation_panels_;  // which each channel has; undefined: all the first
  std::vector<std::vector<arma::uword>> sizes_;  // by octave, of their parts; empty: any, of lines
  std::optional<SeenThrough> pilots_;
  double power_ = 0.0;  // of the validation channels, per entry
};

// Options of what is computed, and the data: what a checkpoint must agree with. Where and how fast
// it is computed (threads, device, bfloat16) may change, and so may the limits.
Json identity_of(const NetworkFitOptions& options) {
  Json json{{"network", Json::parse(to_json(options.network))},
            {"prediction", to_string(options.prediction)},
            {"objective", to_string(options.objective)},
            {"learning_rate", options.learning_rate},
            {"anneal", options.anneal},
            {"augmentation", to_string(options.augmentation)},
            {"batch", options.batch},
            {"ema_decay", options.ema_decay},
            {"seed", options.seed}};
  if (!options.cuts.steps.empty()) {
    json["cuts"] = {{"steps", options.cuts.steps},
                    {"fewest_subcarriers", options.cuts.fewest_subcarriers},
                    {"most_offset", options.cuts.most_offset}};
  }
  if (!options.arrays.empty()) json["arrays"] = options.arrays.text();
  if (options.gain_db > 0.0) json["gain_db"] = options.gain_db;
  if (options.contamination > 0.0) json["contamination"] = options.contamination;
  if (options.turn_bins > 0.0) json["turn_bins"] = options.turn_bins;
  if (options.network.told_class || options.network.side) json["untold"] = options.untold;
  if (options.unroll > 1) json["unroll"] = options.unroll;
  if (!options.P.is_empty()) {
    json["pilots"] =
        hash_bytes(options.P.memptr(), options.P.n_elem * sizeof(std::complex<double>));
  }
  // The learning rate depends on where the run ends.
  if (options.anneal) json["max_epochs"] = options.max_epochs;
  return json;
}

Json all_of(const NetworkFitOptions& options) {
  Json json = identity_of(options);
  json["max_epochs"] = options.max_epochs;
  json["max_minutes"] = options.max_minutes;
  json["patience"] = options.patience;
  json["n_threads"] = options.n_threads;
  json["device"] = options.device;
  json["processes"] = options.process.count;
  json["bfloat16"] = options.bfloat16;
  return json;
}

}  // namespace

namespace {

at::Tensor transformed(const SampleReader& samples, at::Tensor (*transform)(const at::Tensor&)) {
  constexpr arma::uword block = 1024;
  at::Tensor planes;
  for (arma::uword first = 0; first < samples.n_samples; first += block) {
    const arma::uword count = std::min(block, samples.n_samples - first);
    const arma::cx_mat h = samples.read(first, count);
    const at::Tensor part = transform(planes_from_columns(h, samples.n_rx, samples.n_tx, at::kCPU));
    if (!planes.defined()) {
      planes = at::empty(
          {static_cast<std::int64_t>(samples.n_samples), part.size(1), part.size(2), part.size(3)},
          part.options(), at::MemoryFormat::ChannelsLast);
    }
    planes.narrow(0, static_cast<std::int64_t>(first), part.size(0)).copy_(part);
  }
  return planes;
}

}  // namespace

at::Tensor antenna_planes(const SampleReader& samples) {
  return transformed(samples, [](const at::Tensor& h) { return h; });
}

at::Tensor angular_planes(const SampleReader& samples) { return transformed(samples, &to_angular); }

at::Tensor angle_planes(const SampleReader& samples) { return transformed(samples, &to_angles); }

at::Tensor rotated(const at::Tensor& h, const at::Tensor& phase) {
  const at::Tensor c = phase.cos(), s = phase.sin();
  const at::Tensor re = h.narrow(1, 0, 1), im = h.narrow(1, 1, 1);
  return at::cat({re * c - im * s, re * s + im * c}, 1);
}

void check_samples(const SampleReader& train, const SampleReader& validation) {
  if (train.n_samples == 0 || validation.n_samples == 0) {
    throw Error(ErrorKind::invalid_argument, "fit: " + std::to_string(train.n_samples) +
                                                 " channels to fit on and " +
                                                 std::to_string(validation.n_samples) +
                                                 " to validate with; expected at least 1 of each");
  }
  if (train.n_rx != validation.n_rx || train.n_tx != validation.n_tx || train.n_h() == 0) {
    throw Error(ErrorKind::invalid_argument,
                "fit: the fitting channels are " + std::to_string(train.n_rx) + "x" +
                    std::to_string(train.n_tx) + ", the validation channels " +
                    std::to_string(validation.n_rx) + "x" + std::to_string(validation.n_tx));
  }
}

at::Tensor mirrored(const at::Tensor& planes, unsigned mirrors) {
  // The conjugate is that of the bins -k on both sides; antennas in reverse order are the bins -k
  // times exp(j 2 pi k / N).
  at::Tensor h = planes;
  const bool conjugate = mirrors & 4;
  if (conjugate) h = at::cat({h.narrow(1, 0, 1), -h.narrow(1, 1, 1)}, 1);
  for (const std::int64_t dim : {2, 3}) {
    const bool reversed = mirrors >> (dim - 2) & 1;
    if (reversed != conjugate) h = h.flip(dim).roll(1, dim);
    if (!reversed) continue;
    const std::int64_t n = h.size(dim);
    const at::Tensor ramp = at::arange(n, h.options()) * (2.0 * M_PI / static_cast<double>(n));
    h = rotated(h, dim == 2 ? ramp.view({1, 1, n, 1}) : ramp.view({1, 1, 1, n}));
  }
  return h;
}

at::Tensor turned(const at::Tensor& planes, const at::Tensor& bins) {
  at::Tensor h = to_antenna(planes);
  for (const std::int64_t dim : {2, 3}) {
    const std::int64_t n = h.size(dim);
    const at::Tensor antennas = at::arange(n, h.options()) * (2.0 * M_PI / static_cast<double>(n));
    const at::Tensor ramps = bins.to(h.device()).select(1, dim - 2).view({-1, 1, 1, 1}) *
                             (dim == 2 ? antennas.view({1, 1, n, 1}) : antennas.view({1, 1, 1, n}));
    h = rotated(h, ramps);
  }
  return to_angular(h);
}

namespace {

/// The output for channels of several classes, each by the network of its class.
NetworkOutput outputs(const std::function<LevelNetwork(std::int64_t)>& network_of_class,
                      const std::vector<std::int64_t>& told, const at::Tensor& x,
                      const at::Tensor& side = {}) {
  std::set<std::int64_t> all(told.begin(), told.end());
  if (all.size() < 2) return network_of_class(told.empty() ? -1 : told.front()).forward(x, side);
  std::vector<at::Tensor> o, deviation, order;
  for (const std::int64_t which : all) {
    std::vector<std::int64_t> members;
    for (std::size_t k = 0; k < told.size(); ++k) {
      if (told[k] == which) members.push_back(static_cast<std::int64_t>(k));
    }
    order.push_back(at::tensor(members).to(x.device()));
    const at::Tensor part =
        x.index_select(0, order.back()).contiguous(at::MemoryFormat::ChannelsLast);
    const NetworkOutput of_class = network_of_class(which).forward(part);
    o.push_back(of_class.o);
    if (of_class.deviation.defined()) deviation.push_back(of_class.deviation);
  }
  const at::Tensor back = at::cat(order).argsort();
  NetworkOutput output;
  output.o = at::cat(o).index_select(0, back);
  if (!deviation.empty()) output.deviation = at::cat(deviation).index_select(0, back);
  return output;
}

/// Of what the heads tell, over the channels of which it is known.
at::Tensor head_errors(const NetworkConfig& config, const at::Tensor& heads,
                       const LevelLabels& labels) {
  at::Tensor sum = heads.sum() * 0.0;
  std::int64_t first = 0;
  if (config.tells_class) {
    const at::Tensor known = labels.classes.ge(0), which = labels.classes.clamp_min(0);
    const at::Tensor log_probability =
        heads.narrow(1, 0, config.classes).log_softmax(1).gather(1, which.unsqueeze(1)).squeeze(1);
    sum = sum - log_probability.masked_select(known).sum();
    first = config.classes;
  }
  if (config.numbers > 0) {
    const at::Tensor difference = heads.narrow(1, first, config.numbers) - labels.numbers;
    sum = sum + 0.5 * difference.masked_select(labels.numbers.isfinite()).square().sum();
  }
  return sum;
}

/// What is fitted beside the error.
/// @param squares  of h - D, without a gradient
/// @param prior_variance  that the predicted error is relative to: of a prior of power 1
void add_beside(const NetworkConfig& config, const NetworkOutput& output, const at::Tensor& squares,
                double prior_variance, const LevelLabels& labels, LevelErrors& errors) {
  if (output.deviation.defined()) {
    const at::Tensor relative = squares.sum(1, /*keepdim=*/true) / prior_variance;
    errors.log_likelihood =
        (2.0 * output.deviation.log() + relative / output.deviation.square()).sum();
  }
  if (output.heads.defined() && (labels.classes.defined() || labels.numbers.defined())) {
    errors.heads = head_errors(config, output.heads, labels);
  }
}

}  // namespace

SeenThrough seen_through(const arma::cx_mat& P, const at::Device& device) {
  const auto tensor_of = [&](const arma::cx_mat& m) {
    const arma::cx_mat rows = m.st();  // column-major: the rows of m in turn
    at::Tensor out =
        at::empty({static_cast<std::int64_t>(m.n_rows), static_cast<std::int64_t>(m.n_cols)},
                  at::kComplexDouble);
    std::copy(rows.begin(), rows.end(),
              reinterpret_cast<std::complex<double>*>(out.data_ptr<c10::complex<double>>()));
    return out.to(device, at::kComplexFloat);
  };
  const arma::cx_mat inverse = arma::pinv(P);
  return {tensor_of(P * inverse), tensor_of(inverse)};
}

LevelErrors unrolled_errors(const NetworkConfig& config, Prediction prediction,
                            const NoiseSchedule& schedule, const at::Tensor& flat,
                            const at::Tensor& h, const at::Tensor& eps, double sigma2,
                            std::size_t n_calls, bool bfloat16, const LevelLabels& labels) {
  const ReverseChain chain = log_snr_chain(sigma2, DmseOptions{}.sigma2_end, n_calls);
  const Network network = network_of(config, flat);
  at::Tensor z = (h + eps * std::sqrt(sigma2)) * chain.start_scale;
  LevelErrors errors;
  for (const ReverseStep& step : chain.steps) {
    const at::Tensor embedding = noise_embedding(config, schedule, step.sigma2);
    const at::Tensor x =
        (z / std::sqrt(1.0 + step.sigma2)).contiguous(at::MemoryFormat::ChannelsLast);
    const NetworkOutput output = outputs(
        [&](std::int64_t which) {
          return LevelNetwork(config, network, embedding, step.sigma2,
                              bfloat16 ? at::kBFloat16 : flat.scalar_type(), 0.0,
                              range_of(config, schedule, step.sigma2), which);
        },
        labels.told, x);
    const PredictionGains gains = prediction_gains(prediction, step.sigma2);
    const at::Tensor D = z * gains.z_gain + output.o * gains.o_gain;
    if (&step == &chain.steps.front()) {
      add_beside(config, output, (D - h).square().detach(), step.sigma2 / (1.0 + step.sigma2),
                 labels, errors);
    }
    z = D + (z - D) * step.keep;
  }
  const double gain = prediction_gains(prediction, sigma2).o_gain;
  errors.squared = (z - h).square().sum() / (gain * gain);
  return errors;
}

LevelErrors level_errors(const NetworkConfig& config, Prediction prediction,
                         const NoiseSchedule& schedule, const at::Tensor& flat, const at::Tensor& h,
                         const at::Tensor& eps, double sigma2, bool bfloat16, double step,
                         const LevelLabels& labels, const SeenThrough* pilots) {
  const double signal = std::sqrt(1.0 / (1.0 + sigma2)), noise = std::sqrt(sigma2 / (1.0 + sigma2));
  at::Tensor x, target = eps;
  if (pilots) {
    const at::Tensor z =
        complex_of(h).matmul(pilots->projection) * signal +
        complex_of(eps.contiguous(at::MemoryFormat::ChannelsLast)).matmul(pilots->inverse) * noise;
    x = to_angular(planes_of(z.contiguous())).contiguous(at::MemoryFormat::ChannelsLast);
    target = to_angular(h);
  } else {
    x = (h * signal + eps * noise).contiguous(at::MemoryFormat::ChannelsLast);
    if (prediction == Prediction::sample) target = h;
    if (prediction == Prediction::velocity) target = eps * signal - h * noise;
  }
  const Network network = network_of(config, flat);
  const at::Tensor embedding = noise_embedding(config, schedule, sigma2);
  const NetworkOutput output = outputs(
      [&](std::int64_t which) {
        return LevelNetwork(config, network, embedding, sigma2,
                            bfloat16 ? at::kBFloat16 : flat.scalar_type(), step,
                            range_of(config, schedule, sigma2), which);
      },
      labels.told, x, labels.side);
  const at::Tensor squares = (output.o - target).square();
  LevelErrors errors;
  errors.squared = squares.sum();
  // h - D = o_gain (o - target)
  const double gain = prediction_gains(prediction, sigma2).o_gain;
  add_beside(config, output, squares.detach() * (gain * gain),
             pilots ? 1.0 : sigma2 / (1.0 + sigma2), labels, errors);
  return errors;
}

/// Processes with other channels, options or checkpoints would end with a model of none of them.
static void check_same_start(const Processes& processes, const std::string& identity,
                             const FitState& state) {
  const std::string hash = hash_bytes(identity.data(), identity.size());
  std::vector<double> own{static_cast<double>(state.epoch), static_cast<double>(state.batch)};
  for (const char digit : hash) own.push_back(static_cast<double>(digit));
  std::vector<double> first = own;
  if (processes.rank() != 0) std::fill(first.begin(), first.end(), 0.0);
  processes.add_up(first);
  std::vector<double> differ{first == own ? 0.0 : 1.0};
  processes.add_up(differ);
  if (differ[0] == 0.0) return;
  throw Error(ErrorKind::invalid_argument,
              "fit: the processes do not start from the same channels, options and checkpoint; "
              "expected files that all of them see");
}

/// The heads tell the numbers themselves: their scale becomes part of the last layer.
static void unscale_numbers(const NetworkConfig& config, const NumberScale& scale,
                            std::vector<NamedTensor>& weights) {
  const std::string last = "conv" + std::to_string(config.hidden.size());
  for (NamedTensor& tensor : weights) {
    if (tensor.name != last + ".weight" && tensor.name != last + ".bias") continue;
    const auto n_out = static_cast<std::size_t>(tensor.dims.front());
    const std::size_t n_each = tensor.values.size() / n_out, first = n_out - scale.mean.n_elem;
    for (std::size_t i = 0; i < scale.mean.n_elem; ++i) {
      for (std::size_t k = 0; k < n_each; ++k) {
        float& value = tensor.values[(first + i) * n_each + k];
        value = static_cast<float>(value * scale.deviation(i));
        if (tensor.name == last + ".bias") value += static_cast<float>(scale.mean(i));
      }
    }
  }
}

static NetworkModel fit_checked(const SampleReader& train, const SampleReader& validation,
                                const NetworkFitOptions& options, const at::Device& device,
                                const RunControl& control, const ChannelLabels& train_labels,
                                const ChannelLabels& validation_labels) {
  const at::NoGradGuard no_gradients;

  NetworkModel model;
  model.n_rx = options.arrays.empty() ? train.n_rx : options.arrays.most_rx;
  model.n_tx = options.arrays.empty() ? train.n_tx : options.arrays.most_tx;
  model.network = options.network;
  model.prediction = options.prediction;

  model.arrays = options.arrays;
  model.P = options.P;

  const bool has_cuts = !options.cuts.steps.empty(), has_arrays = !options.arrays.empty();
  const bool has_pilots = !options.P.is_empty();
  const auto planes = has_arrays || has_pilots ? antenna_planes
                      : has_cuts               ? angle_planes
                                               : angular_planes;
  const at::Tensor train_planes = planes(train), validation_planes = planes(validation);
  Json identity = identity_of(options);
  if (has_arrays && !train.rx_panel.is_line()) identity["panel"] = train.rx_panel.text();
  for (const auto* later : {&options.later_panels, &options.later_validation_panels}) {
    for (const auto& [first_sample, panel] : *later) {
      identity["panels"].push_back({first_sample, panel.is_line() ? "line" : panel.text()});
    }
  }
  identity["fitting channels"] = hash_of(train_planes);
  identity["validation channels"] = hash_of(validation_planes);
  if (!train_labels.classes.empty()) {
    identity["classes"] =
        hash_bytes(train_labels.classes.data(), train_labels.classes.size() * sizeof(std::int64_t));
  }
  if (!train_labels.numbers.is_empty()) {
    identity["numbers"] =
        hash_bytes(train_labels.numbers.memptr(), train_labels.numbers.n_elem * sizeof(double));
  }
  const NumberScale scale = scale_of(train_labels.numbers);
  LabelTensors fitting_labels = label_tensors(train_labels, scale);
  LabelTensors validating_labels = label_tensors(validation_labels, scale);
  if (options.network.side) {
    fitting_labels.side = angular_planes(train_labels.side);
    validating_labels.side = angular_planes(validation_labels.side);
    identity["side matrices"] = hash_of(fitting_labels.side);
    fitting_labels.side = fitting_labels.side.to(device);
    validating_labels.side = validating_labels.side.to(device);
  }
  const std::vector<NamedTensor> layout = network_layout(options.network);
  const at::Tensor first = options.start.empty() ? initial_weights(layout, options.seed)
                                                 : flat_weights(layout, options.start);
  if (!options.start.empty()) {
    identity["start"] = hash_bytes(first.data_ptr<float>(), first.nbytes());
  }

  FitState state = initial_state(first.to(device));
  state.level_means.assign(n_level_means * (has_arrays ? n_array_classes
                                            : has_cuts ? n_cut_classes
                                                       : 1),
                           0.0);
  if (!options.checkpoint.empty() && std::filesystem::exists(options.checkpoint)) {
    load_checkpoint(options.checkpoint, identity.dump(), state);
  }
  const std::shared_ptr<const Processes> processes = meet(options.process);
  check_same_start(*processes, identity.dump(), state);
  const at::Tensor fitting = train_planes.to(device), validating = validation_planes.to(device);
  std::unique_ptr<Objective> objective;
  if (options.objective == FitObjective::discrepancy) {
    objective = make_drawing_objective(options, model, fitting, validating, processes);
  } else {
    objective = std::make_unique<DenoisingObjective>(options, model.schedule, fitting, validating,
                                                     processes, std::move(fitting_labels),
                                                     std::move(validating_labels), train.rx_panel);
  }
  FitLoop loop{.learning_rate = options.learning_rate,
               .anneal = options.anneal,
               .ema_decay = options.ema_decay,
               .max_epochs = options.max_epochs,
               .max_minutes = options.max_minutes,
               .patience = options.patience,
               .unit = options.objective == FitObjective::nmse ? "dB" : "",
               .save = {},
               .from_start = !options.start.empty()};
  if (!options.checkpoint.empty() && processes->rank() == 0) {
    loop.save = [&] { save_checkpoint(options.checkpoint, identity.dump(), state); };
  }
  run_fit(loop, *objective, state, control);

  model.weights = named_weights(network_layout(options.network), state.best);
  unscale_numbers(options.network, scale, model.weights);
  model.train_losses = arma::vec(state.train_losses);
  model.validation_losses = arma::vec(state.validation_losses);
  model.provenance.seed = options.seed;
  model.provenance.options = all_of(options).dump();
  return model;
}

}  // namespace nn

namespace {

void check_labels(const NetworkConfig& network, const ChannelLabels& labels,
                  const SampleReader& samples) {
  const arma::uword n = samples.n_samples;
  if (network.side) check_side("fit", labels.side, samples);
  const auto n_classes = static_cast<std::int64_t>(network.classes);
  const bool fits = labels.classes.size() == (n_classes > 0 ? n : 0) &&
                    labels.numbers.n_rows == static_cast<arma::uword>(network.numbers) &&
                    (network.numbers == 0 || labels.numbers.n_cols == n);
  if (!fits) {
    throw Error(ErrorKind::invalid_argument,
                "fit: classes of " + std::to_string(labels.classes.size()) + " channels and " +
                    std::to_string(labels.numbers.n_rows) + " numbers of " +
                    std::to_string(labels.numbers.n_cols) + "; expected " +
                    std::to_string(n_classes > 0 ? n : 0) + " and " +
                    std::to_string(network.numbers) + " of " +
                    std::to_string(network.numbers > 0 ? n : 0));
  }
  for (const std::int64_t which : labels.classes) {
    if (which < -1 || which >= n_classes) {
      throw Error(ErrorKind::invalid_argument,
                  "fit: there is a channel of class " + std::to_string(which) + "; expected 0 to " +
                      std::to_string(n_classes - 1) + ", or -1 where it is not known");
    }
  }
}

/// Whether arrays of many sizes can be cut out of the panels of the channels.
void check_panels(const SampleReader& train, const SampleReader& validation,
                  const NetworkFitOptions& options) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorKind::invalid_argument, "fit: arrays " + options.arrays.text() + ": " + why);
  };
  if (!(train.rx_panel == validation.rx_panel)) {
    refuse("the fitting and the validation channels have not the same panel");
  }
  std::vector<PanelShape> panels{train.rx_panel};
  const auto add = [&](const NetworkFitOptions::LaterPanels& later, arma::uword n_samples) {
    for (const auto& [first, panel] : later) {
      if (first >= n_samples) refuse("there is no channel " + std::to_string(first));
      panels.push_back(panel);
    }
  };
  add(options.later_panels, train.n_samples);
  add(options.later_validation_panels, validation.n_samples);
  for (const PanelShape& panel : panels) {
    if (!panel.is_line() && panel.n() != train.n_rx) {
      refuse("the panel " + panel.text() + " is not that of " + std::to_string(train.n_rx) +
             " antennas");
    }
  }
  const std::vector<arma::uword> sizes = common_sizes(panels, options.arrays);
  if (sizes.empty() || sizes.back() != options.arrays.most_rx) {
    refuse("no part of every panel has " + std::to_string(options.arrays.most_rx) + " antennas");
  }
}

}  // namespace

NetworkModel fit_network(const SampleReader& train, const SampleReader& validation,
                         const NetworkFitOptions& options, const RunControl& control,
                         const ChannelLabels& train_labels,
                         const ChannelLabels& validation_labels) {
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, why);
  }
  nn::check_samples(train, validation);
  check_labels(options.network, train_labels, train);
  check_labels(options.network, validation_labels, validation);
  if (!options.P.is_empty() && options.P.n_rows != train.n_tx) {
    throw Error(ErrorKind::invalid_argument,
                "fit: the pilots are for " + std::to_string(options.P.n_rows) +
                    " transmit antennas, the channels have " + std::to_string(train.n_tx));
  }
  const ArrayRange& arrays = options.arrays;
  const bool has_arrays = !arrays.empty();
  if (has_arrays && (arrays.most_rx > train.n_rx || arrays.most_tx > train.n_tx)) {
    throw Error(ErrorKind::invalid_argument,
                "fit: arrays " + arrays.text() + ": the channels are " +
                    std::to_string(train.n_rx) + "x" + std::to_string(train.n_tx) +
                    ", expected at least the largest of these");
  }
  if (has_arrays) {
    check_panels(train, validation, options);
  } else if (!options.later_panels.empty() || !options.later_validation_panels.empty()) {
    throw Error(ErrorKind::invalid_argument, "fit: several panels are for arrays of many sizes");
  }
  at::Device device = nn::device_from_string(options.device, "fit");
  if (options.process.count > 1 && device.is_cuda() &&
      options.device.find(':') == std::string::npos) {
    // A GPU for each process of a machine.
    device = nn::device_from_string("cuda:" + std::to_string(options.process.local_rank), "fit");
  }
  NetworkModel model;
  nn::with_torch("fit", device, [&] {
    model = nn::fit_checked(train, validation, options, device, control, train_labels,
                            validation_labels);
  });
  return model;
}

}  // namespace v0
}  // namespace chest
