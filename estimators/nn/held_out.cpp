#include "held_out.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <chest/error.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/diffusion/cycle_spinning.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/diffusion/named_methods.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/prior/unbiased.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

constexpr arma::uword most_judged = 8, n_below_noise = 3, block_size = 16;
/// Weight of the levels that can be judged in the loss.
constexpr double judged_share = 0.75;
/// Below this part of an error, or of the level, it is not told from 0.
constexpr double least_part = 0.02;
/// Of the streams of random numbers.
constexpr std::uint64_t judged_run = 1000, calibration_run = 2000, slots_run = 3000;

ColumnNoise column_noise(std::uint64_t seed, arma::uword first, arma::uword n, std::uint64_t run) {
  Observation keys;
  keys.y.set_size(1, n);
  keys.seed = seed;
  keys.first_sample = first;
  return ColumnNoise(keys, run);
}

std::string db_text(double linear) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", to_db(linear));
  return text;
}

std::string four_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

double standard_error(const arma::vec& values) {
  return values.n_elem < 2 ? arma::datum::inf
                           : arma::stddev(values) / std::sqrt(static_cast<double>(values.n_elem));
}

}  // namespace

HeldOut::HeldOut(const NoisyChannels& channels, std::shared_ptr<const Denoiser> original,
                 const std::pair<double, double>& range, std::uint64_t seed, unsigned n_threads)
    : channels_(channels), original_(std::move(original)), seed_(seed), n_threads_(n_threads) {
  const double least = std::max(channels.least_level(), range.first);
  if (!(least < range.second)) {
    refuse("adapt: the observations say something of noise levels from " +
           number_text(std::round(-100.0 * to_db(least)) / 100.0) +
           " dB down, the model knows those above " +
           number_text(std::round(-100.0 * to_db(range.second)) / 100.0) + " dB");
  }
  const double low = to_db(range.first), own = to_db(least), high = to_db(range.second);
  n_below_ = channels.least_level() > range.first ? n_below_noise : 0;
  levels_.set_size(n_below_ + most_judged);
  for (arma::uword i = 0; i < n_below_; ++i) {
    levels_(i) = from_db(low + (own - low) * (static_cast<double>(i) + 0.5) / n_below_noise);
  }
  for (arma::uword i = 0; i < most_judged; ++i) {
    levels_(n_below_ + i) =
        i == 0 ? least : from_db(own + (high - own) * static_cast<double>(i) / most_judged);
  }
  // Its own deviation from itself is none.
  before_ = errors(*original_);
  reference_ = means(before_);
  for (arma::uword l = n_below_; l < levels_.n_elem; ++l) {
    reference_(l) = std::max(reference_(l), least_part * std::min(levels_(l), channels.power()));
  }
}

SiteErrors HeldOut::errors(const Denoiser& denoiser) const {
  const arma::uword n = channels_.n(), n_levels = levels_.n_elem, n_rx = channels_.n_rx();
  const arma::uword n_blocks = (n + block_size - 1) / block_size;
  SiteErrors out{arma::mat(n, n_levels), arma::mat(n, n_levels), arma::vec(n_levels)};
  arma::mat moved(n_levels, n_blocks), unseen(n_levels, n_blocks);
  parallel_for(n_levels * n_blocks, n_threads_, [&](std::size_t item) {
    const arma::uword l = item / n_blocks, b = item % n_blocks, first = b * block_size;
    const arma::uword last = std::min(first + block_size, n) - 1;
    const double level = levels_(l);
    ColumnNoise noise = column_noise(seed_, first, last - first + 1, judged_run + l);
    const Examples examples =
        channels_.draw(arma::regspace<arma::uvec>(first, last), level, noise, false);
    const arma::cx_mat D = denoiser.denoise(examples.x, level);
    const arma::cx_mat in_basis = channels_.in_basis(D);
    const arma::mat squares = squared_magnitudes(in_basis - examples.target);
    const bool all_seen = arma::all(arma::vectorise(examples.seen) > 0.0);
    arma::mat differences;
    if (!all_seen) {
      differences =
          squared_magnitudes(in_basis - channels_.in_basis(original_->denoise(examples.x, level)));
    }
    double sum = 0.0;
    for (arma::uword k = 0; k < squares.n_cols; ++k) {
      double seen = -examples.offset(k);
      for (arma::uword t = 0; t < channels_.n_tx(); ++t) {
        const arma::span rows(t * n_rx, (t + 1) * n_rx - 1);
        if (examples.seen(t, k) > 0.0) {
          seen += arma::accu(squares(rows, arma::span(k)));
        } else {
          sum += arma::accu(differences(rows, arma::span(k)));
        }
      }
      out.seen(first + k, l) = seen;
      out.entries(first + k, l) = examples.n_entries(k);
    }
    const arma::uvec needs = arma::find(examples.c > 0.0);
    if (!needs.is_empty()) {
      const arma::vec traces = probed_traces(denoiser, examples.x, level, D, needs, noise);
      for (arma::uword i = 0; i < needs.n_elem; ++i) {
        out.seen(first + needs(i), l) += examples.c(needs(i)) * traces(i);
      }
    }
    moved(l, b) = sum;
    unseen(l, b) = static_cast<double>(squares.n_elem) - arma::accu(examples.n_entries);
  });
  for (arma::uword l = 0; l < n_levels; ++l) {
    const double entries = arma::accu(unseen.row(l));
    out.moved(l) = entries > 0.0 ? arma::accu(moved.row(l)) / entries : 0.0;
  }
  return out;
}

arma::vec HeldOut::means(const SiteErrors& errors) const {
  arma::vec out(levels_.n_elem);
  for (arma::uword l = 0; l < levels_.n_elem; ++l) {
    const double entries = arma::accu(errors.entries.col(l));
    out(l) = entries > 0.0 ? arma::accu(errors.seen.col(l)) / entries : arma::datum::nan;
  }
  return out;
}

double HeldOut::reference(double level) const {
  const arma::vec judged = levels_.tail(most_judged);
  const DenoiserErrors errors{judged, reference_.tail(most_judged)};
  return errors.at(level) * std::min(1.0, level / judged.front());
}

double HeldOut::loss(const SiteErrors& errors) const {
  const arma::vec mean = means(errors);
  const auto n_h = static_cast<double>(channels_.n_h() * channels_.n());
  double judged = 0.0, below = 0.0;
  for (arma::uword l = 0; l < levels_.n_elem; ++l) {
    const double reference = this->reference(levels_(l));
    const double drift = to_db(1.0 + errors.moved(l) / reference);
    if (l < n_below_) {
      below += drift / static_cast<double>(n_below_);
      continue;
    }
    const double part = arma::accu(errors.entries.col(l)) / n_h;
    const double change = to_db(std::max(mean(l) / reference, least_part));
    judged += (part * change + (1.0 - part) * drift) / static_cast<double>(most_judged);
  }
  return n_below_ == 0 ? judged : judged_share * judged + (1.0 - judged_share) * below;
}

void HeldOut::judge(const SiteErrors& after, Adaptation& out) const {
  const arma::uword n = channels_.n();
  const arma::vec mean_before = means(before_), mean_after = means(after);
  out.snr_db.set_size(most_judged);
  out.before.set_size(most_judged);
  out.after.set_size(most_judged);
  arma::vec scores(n, arma::fill::zeros);
  for (arma::uword i = 0; i < most_judged; ++i) {
    const arma::uword l = levels_.n_elem - 1 - i;
    out.snr_db(i) = -to_db(levels_(l));
    out.before(i) = std::max(mean_before(l), 0.0) / channels_.power();
    out.after(i) = std::max(mean_after(l), 0.0) / channels_.power();
    const double reference = this->reference(levels_(l));
    const double entries = arma::accu(after.entries.col(l)) / static_cast<double>(n);
    const arma::vec changes = (after.seen.col(l) - before_.seen.col(l)) / (reference * entries);
    scores += changes / static_cast<double>(most_judged);
    if (out.refusal.empty() &&
        !(arma::mean(changes) <= 3.0 * standard_error(changes) && changes.is_finite())) {
      out.refusal =
          "at " + number_text(std::round(10.0 * out.snr_db(i)) / 10.0) +
          " dB the observations that were kept back are estimated worse than before: NMSE " +
          db_text(out.after(i)) + " dB by an unbiased estimate, " + db_text(out.before(i)) +
          " dB before";
    }
  }
  out.change = arma::mean(scores);
  out.change_error = standard_error(scores);
  for (arma::uword l = 0; l < levels_.n_elem; ++l) {
    out.moved = std::max(out.moved, after.moved(l) / reference(levels_(l)));
  }
  if (out.refusal.empty() && !(out.change < -2.0 * out.change_error)) {
    char text[160];
    std::snprintf(
        text, sizeof text,
        "the observations that were kept back are not estimated better than before: their "
        "error changes by %+.2f %%, standard error %.2f %%",
        100.0 * out.change, 100.0 * out.change_error);
    out.refusal = text;
  }
}

arma::vec slot_errors(const ObservationOperator& A, const ReceivedPilots& pilots,
                      const std::shared_ptr<const Denoiser>& denoiser, std::uint64_t seed,
                      unsigned n_threads, double told) {
  constexpr arma::uword most = 64;
  const arma::cx_mat& P = *A.pilots();
  const arma::uword n_slots = P.n_cols, n_rx = A.n_h() / P.n_rows;
  if (n_slots < 2) return {};
  // A random half: a regular one would alias.
  Rng rng(seed, {Purpose::validation, slots_run});
  std::vector<arma::uword> order(n_slots);
  for (arma::uword i = 0; i < n_slots; ++i) order[i] = i;
  for (arma::uword i = n_slots; i > 1; --i) std::swap(order[i - 1], order[rng.index(i)]);
  const arma::uvec all(order);
  const arma::uvec used = arma::sort(all.head((n_slots + 1) / 2));
  const arma::uvec kept = arma::sort(all.tail(n_slots / 2));
  const arma::cx_mat P_kept = P.cols(kept);
  const auto solver = make_diffpir(make_kronecker_observation(P.cols(used), n_rx), denoiser);
  const arma::uword n = std::min(most, pilots.y.n_cols);
  const arma::cx_mat h =
      by_levels(pilots.sigma2.head(n), A.n_h(), n_threads, [&](arma::uword first, arma::uword end) {
        Observation observation;
        observation.y.set_size(n_rx * used.n_elem, end - first);
        for (arma::uword k = first; k < end; ++k) {
          const arma::cx_mat Y = arma::reshape(pilots.y.col(k), n_rx, n_slots);
          observation.y.col(k - first) = arma::vectorise(Y.cols(used));
        }
        observation.sigma2 = told * pilots.sigma2(first);
        observation.seed = seed;
        observation.first_sample = first;
        return solver->estimate(observation).h;
      });
  arma::vec errors(n);
  for (arma::uword k = 0; k < n; ++k) {
    const arma::cx_mat Y = arma::reshape(pilots.y.col(k), n_rx, n_slots);
    const arma::cx_mat H = arma::reshape(h.col(k), n_rx, P.n_rows);
    errors(k) = squared_norm(Y.cols(kept) - H * P_kept) / static_cast<double>(n_rx * kept.n_elem);
  }
  return errors;
}

void check_slots(const ObservationOperator& A, const ReceivedPilots& pilots,
                 const std::shared_ptr<const Denoiser>& original, std::uint64_t seed,
                 unsigned n_threads) {
  // Noise of one slot says nothing of another: whoever is told too little of it predicts them worse.
  constexpr double more = 4.0;
  const arma::vec as_said = slot_errors(A, pilots, original, seed, n_threads);
  if (as_said.is_empty()) return;
  const arma::vec with_more = slot_errors(A, pilots, original, seed, n_threads, more);
  const arma::vec gains = as_said - with_more;
  if (!(arma::mean(gains) > 3.0 * standard_error(gains))) return;
  refuse(
      "adapt: the observations seem to hold more noise than is said of them: the model predicts "
      "pilot slots better from the others when it is told 6 dB more, mean square left " +
      four_digits(arma::mean(with_more)) + ", " + four_digits(arma::mean(as_said)) +
      " as it was said; give the SNR that they have");
}

void judge_slots(const ObservationOperator& A, const ReceivedPilots& pilots,
                 const std::shared_ptr<const Denoiser>& before,
                 const std::shared_ptr<const Denoiser>& after, std::uint64_t seed,
                 unsigned n_threads, Adaptation& out) {
  out.slots_before = out.slots_after = out.slots_error = arma::datum::nan;
  const arma::vec errors_before = slot_errors(A, pilots, before, seed, n_threads);
  if (errors_before.is_empty()) return;
  const arma::vec errors_after = slot_errors(A, pilots, after, seed, n_threads);
  const arma::vec changes = errors_after - errors_before;
  out.slots_before = arma::mean(errors_before);
  out.slots_after = arma::mean(errors_after);
  out.slots_error = standard_error(changes);
  if (!out.refusal.empty() ||
      (changes.is_finite() && arma::mean(changes) <= 2.0 * out.slots_error)) {
    return;
  }
  out.refusal =
      "pilot slots that were kept back are predicted from the others worse than before: "
      "mean square of what is left " +
      four_digits(out.slots_after) + ", " + four_digits(out.slots_before) + " before";
}

void check_adaptation(const NetworkModel& model,
                      const std::shared_ptr<const ObservationOperator>& A,
                      const ReceivedPilots& fit, const ReceivedPilots& held_out,
                      const AdaptOptions& options, const RunControl& control) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse(why);
  if (!model.grid.empty()) refuse("adapt: the model is for grids, expected one for matrices");
  if (!A) refuse("adapt: A is null");
  if (!A->pilots()) refuse("adapt: A is " + A->name() + ", expected the identity or pilots");
  if (A->pilots()->n_rows != model.n_tx || A->n_h() != model.n_rx * model.n_tx) {
    refuse("adapt: A is " + A->name() + ", the model is for " + std::to_string(model.n_rx) + "x" +
           std::to_string(model.n_tx));
  }
  // With fewer, no standard error says anything.
  constexpr arma::uword fewest_to_fit = 1, fewest_held_out = 8;
  for (const ReceivedPilots* pilots : {&fit, &held_out}) {
    const arma::uword n = pilots->y.n_cols;
    const arma::uword fewest = pilots == &fit ? fewest_to_fit : fewest_held_out;
    const std::string which = pilots == &fit ? " observations to fit to" : " kept back";
    if (n < fewest) {
      refuse("adapt: there are " + std::to_string(n) + which + ", expected at least " +
             std::to_string(fewest));
    }
    if (pilots->y.n_rows != A->n_obs()) {
      refuse("adapt: y has " + std::to_string(pilots->y.n_rows) + " rows, A has " +
             std::to_string(A->n_obs()));
    }
    if (pilots->sigma2.n_elem != n || !pilots->sigma2.is_finite() ||
        !(pilots->sigma2.min() > 0.0)) {
      refuse("adapt: sigma2 has " + std::to_string(pilots->sigma2.n_elem) + " values for " +
             std::to_string(n) + which + "; expected one above 0 for each");
    }
    if (!pilots->y.is_finite()) {
      throw Error(ErrorKind::numeric, "adapt: y holds values that are not finite");
    }
    const double most_noise = check_noise(*A, model.n_rx, *pilots);
    constexpr double suspicious = 4.0;
    if (pilots == &fit && most_noise > suspicious && control.on_warning) {
      control.on_warning(
          "the quietest entries of the observations are " +
          number_text(std::round(10.0 * to_db(most_noise)) / 10.0) +
          " dB above the noise that is said of them: either the channels fill all angles, or there "
          "is more noise, which nothing here could tell from channels");
    }
  }
}

bool recalibrate(NetworkModel& model, const Denoiser& adapted, const Denoiser& original,
                 const NoisyChannels& channels, std::uint64_t seed, unsigned n_threads) {
  constexpr arma::uword most_channels = 256, most_steps = 3;
  if (!channels.decorrelated() || (model.calibration.empty() && model.errors.empty())) return false;
  const arma::uword n = std::min(most_channels, channels.n());
  const arma::uword n_blocks = (n + block_size - 1) / block_size;
  const double sigma2_end = DmseOptions{}.sigma2_end;
  const auto n_h = static_cast<double>(channels.n_h());

  // Levels of both tables; the mean errors of chains of 1, 2 .. calls, of the network before, as predicted, and the spreads
  // of the chains that are averaged, as many as before.
  Calibration& calibration = model.calibration;
  const arma::uword n_snr = calibration.snr_db.n_elem;
  const auto spins = [&](arma::uword l) {
    return l < n_snr && !calibration.n_spins.is_empty() ? calibration.n_spins(l) : arma::uword{1};
  };
  arma::vec levels(n_snr);
  for (arma::uword i = 0; i < n_snr; ++i) levels(i) = from_db(-calibration.snr_db(i));
  levels = arma::join_cols(levels, model.errors.sigma2);
  const arma::uword n_levels = levels.n_elem;
  constexpr arma::uword before = most_steps, predicted = before + 1, spreads = predicted + 1,
                        spread_before = spreads + most_steps;
  arma::cube sums(spread_before + 1, n_levels, n_blocks, arma::fill::zeros);
  arma::mat counts(n_levels, n_blocks, arma::fill::zeros);
  parallel_for(n_levels * n_blocks, n_threads, [&](std::size_t item) {
    const arma::uword l = item / n_blocks, b = item % n_blocks, first = b * block_size;
    const arma::uvec all = arma::regspace<arma::uvec>(first, std::min(first + block_size, n) - 1);
    const arma::uvec which = all(arma::find(2.0 * channels.sigma2(all) <= levels(l)));
    if (which.is_empty()) return;
    Observation keys;
    keys.y.set_size(1, which.n_elem);
    keys.seed = seed;
    for (const arma::uword k : which) keys.samples.push_back(k);
    ColumnNoise noise(keys, calibration_run + l);
    const Recorrupted pair = recorrupt(channels.z(which), channels.sigma2(which), levels(l), noise);
    const double offset = arma::accu(pair.offset);
    const arma::cx_mat ramps = phase_ramps(model.n_rx, channels.n_h() / model.n_rx, spins(l));
    for (arma::uword n_steps = 1; n_steps <= (l < n_snr ? most_steps : 1); ++n_steps) {
      const ReverseChain chain = log_snr_chain(levels(l), sigma2_end, n_steps);
      arma::cx_mat z = chain.start_scale * pair.x;
      DenoiserError error;
      const arma::vec spread =
          run_spun(adapted, chain.steps, ramps, z, n_steps == 1 ? &error : nullptr);
      sums(spreads + n_steps - 1, l, b) = arma::accu(spread);
      sums(n_steps - 1, l, b) = arma::accu(squared_errors(z, pair.target)) - offset;
      if (n_steps == 1) sums(predicted, l, b) = arma::accu(error.mse);
    }
    arma::cx_mat z = pair.x;
    sums(spread_before, l, b) = arma::accu(run_spun(original, {{levels(l), 0.0}}, ramps, z));
    sums(before, l, b) = arma::accu(squared_errors(z, pair.target)) - offset;
    counts(l, b) = n_h * static_cast<double>(which.n_elem);
  });
  const arma::vec count = arma::sum(counts, 1);
  arma::mat means = arma::sum(sums, 2);
  // An error that is not told from 0 is not known.
  std::vector<char> known(n_levels);
  for (arma::uword l = 0; l < n_levels; ++l) {
    means.col(l) /= std::max(count(l), 1.0);
    known[l] = count(l) > 0.0 &&
               means.col(l).subvec(0, l < n_snr ? most_steps - 1 : 0).min() >
                   least_part * std::min(levels(l), channels.power()) &&
               means(before, l) > 0.0;
  }

  // How much worse the network before is here than where it was calibrated, at the lowest known level.
  const auto growth_at = [&](arma::uword l, double there) {
    return std::max(1.0, means(before, l) / there);
  };
  bool any = false;
  double growth = 1.0, ratio_growth = 1.0;
  for (arma::uword i = n_snr; i-- > 0;) {
    if (!known[i]) continue;
    growth = growth_at(i, calibration.mse(i));
    if (!calibration.mse_ratio.is_empty() && means(predicted, i) > 0.0) {
      const double ratio = (means(before, i) + means(spread_before, i)) / means(predicted, i);
      ratio_growth = std::max(1.0, ratio / calibration.mse_ratio(i));
    }
    break;
  }
  for (arma::uword i = 0; i < n_snr; ++i) {
    if (!known[i]) {
      calibration.mse(i) *= growth;
      if (!calibration.mse_ratio.is_empty()) calibration.mse_ratio(i) *= ratio_growth;
      continue;
    }
    any = true;
    const arma::vec errors = means.col(i).head(most_steps);
    calibration.n_steps(i) = fewest_calls(errors);
    calibration.mse(i) = errors(calibration.n_steps(i) - 1);
    if (!calibration.mse_ratio.is_empty()) {
      calibration.mse_ratio(i) =
          (calibration.mse(i) + means(spreads + calibration.n_steps(i) - 1, i)) /
          means(predicted, i);
    }
  }
  // The errors of one call: sizes are known, their shapes over angles and antennas stay.
  DenoiserErrors& errors = model.errors;
  growth = 1.0;
  for (arma::uword i = 0; i < errors.sigma2.n_elem; ++i) {
    if (!known[n_snr + i]) continue;
    growth = growth_at(n_snr + i, errors.mse(i));
    break;
  }
  for (arma::uword i = 0; i < errors.sigma2.n_elem; ++i) {
    const double factor = known[n_snr + i] ? means(0, n_snr + i) / errors.mse(i) : growth;
    any = any || known[n_snr + i];
    errors.mse(i) *= factor;
    if (!errors.angular.is_empty()) errors.angular.col(i) *= factor;
    if (!errors.spatial.is_empty()) errors.spatial.col(i) *= factor;
    if (!errors.full.empty()) errors.full[i] *= factor;
  }
  return any;
}

}  // namespace nn
}  // namespace v0
}  // namespace chest
