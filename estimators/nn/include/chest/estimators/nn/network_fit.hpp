#pragma once

#include <armadillo>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/array_range.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/ofdm.hpp>
#include <chest/run_control.hpp>
#include <chest/samples.hpp>

namespace chest {
inline namespace v0 {

/// What a fit makes small.
enum class FitObjective {
  nmse,        ///< the mean over noise levels of the log of the error: every SNR counts alike in dB
  prediction,  ///< the mean squared error of the network's output, as [Fesl2024a]
  /// The maximum mean discrepancy between channels that the network draws in `unroll` calls and those of the fit, from
  /// the weights of a prior: for drawing channels, not for estimates.  Source: [Aiello2023]
  discrepancy
};

FitObjective fit_objective_from_string(const std::string& text);
const char* to_string(FitObjective objective);

/// Changes to the channels of a batch that leave channels as likely as before.
enum class Augmentation {
  none,
  phase,  ///< a random phase for each channel
  /// Also the antennas of either side in reverse order, and the conjugate, each for half of the
  /// micro-batches: for uniform linear arrays and directions as likely on both sides of broadside.
  mirror
};
Augmentation augmentation_from_string(const std::string& text);
const char* to_string(Augmentation augmentation);

/// Fitting on channels on a grid: every micro-batch sees another cut of the same planes, so that one
/// network serves all bandwidths and pilot distances.
struct GridCuts {
  /// Subcarriers from one column of a cut to the next; empty: the channels are matrices.
  std::vector<arma::uword> steps;
  arma::uword fewest_subcarriers = 48;  ///< of half of the cuts, which are parts of the band
  /// Most timing offset either way over the length of a symbol without its prefix, of half of the
  /// cuts: half of the prefix.
  double most_offset = 0.5 * cyclic_prefix_part;
};

/// One process of several that fit together, each with its part of every batch.
struct FitProcess {
  unsigned rank = 0, count = 1;  ///< this one of 0 .. count - 1
  unsigned local_rank = 0;       ///< among those of this machine: its GPU
  std::string address;           ///< of process 0, where all meet
  unsigned port = 0;
  bool joins_agent = false;  ///< the store at `address` is that of torchrun, not of process 0
  std::string run;           ///< of several runs at one store
};
/// As torchrun says it: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT. One process where WORLD_SIZE is
/// not set, or 1.
///
/// @param variable  in place of the environment
/// @throws Error(invalid_argument) naming the variable that is not there or out of its range
FitProcess fit_process_of_environment(const std::function<const char*(const char*)>& variable = {});
/// Whether this build can fit in several processes: its LibTorch has Gloo, and Gloo's headers were found.
bool can_fit_in_processes();

/// What is known of channels beside them.
struct ChannelLabels {
  std::vector<std::int64_t> classes;  ///< of each, 0 ..; -1: not known; empty: of none
  arma::mat numbers;                  ///< [n_numbers, n_samples], NaN: not known
  /// Another matrix of each, all 0 where it is not known (NetworkConfig::side); without samples: of none.
  SampleReader side = {};
};

struct NetworkFitOptions {
  NetworkConfig network;
  Prediction prediction = Prediction::velocity;
  FitObjective objective = FitObjective::nmse;
  double learning_rate = 4e-3;  ///< Adam, > 0
  bool anneal = true;           ///< warm-up, then a cosine to zero at max_epochs or max_minutes
  Augmentation augmentation = Augmentation::phase;
  /// Every channel is seen from an array that is turned: by up to so many angular bins on either side. For channels of few
  /// sites, whose directions would be learned by heart.
  double turn_bins = 0.0;
  /// Every channel is louder or weaker by up to so many dB: for receivers whose gain is not known exactly.
  double gain_db = 0.0;
  /// Most of the noise power that is another channel of the set, as pilots that others use too bring it, 0 .. 1; its
  /// part is drawn for each micro-batch. The noise level that the network is told is that of both.
  double contamination = 0.0;
  /// Fits NetworkModel::P: the estimator of these pilots. Needs Prediction::sample.
  arma::cx_mat P;
  /// Weights to begin with, of a fitted network of the same layers; empty: random ones. They stay where no epoch has a
  /// better validation loss.
  std::vector<NamedTensor> start;
  /// Calls of the estimate whose error is made small, through all of them: 1, or the network learns to be called so many
  /// times (docs/fitting.md).
  arma::uword unroll = 1;
  /// Part of the channels of a network that is told the class, or a side matrix, for which it is left out.
  double untold = 0.1;
  GridCuts cuts;
  /// Every micro-batch sees another part of the arrays, of any of these sizes, so that one network serves all;
  /// empty: the arrays as they are. Parts of lines are lines; those of a panel (SampleReader::rx_panel) are panels.
  ArrayRange arrays;
  /// Where the channels are joined() from several arrays: from which on they have another panel, ascending, and
  /// that one, PanelShape{} for a line. All then see parts of as many antennas. With `arrays` alone.
  using LaterPanels = std::vector<std::pair<arma::uword, PanelShape>>;
  LaterPanels later_panels = {}, later_validation_panels = {};
  arma::uword batch = 16;        ///< > 0
  double ema_decay = 0.998;      ///< averaging of the weights per step, 0 (off) .. < 1
  arma::uword max_epochs = 100;  ///< >= 1
  double max_minutes = 0.0;      ///< wall-clock limit of this run; 0: none
  arma::uword patience = 100;    ///< epochs without a better validation loss until it stops
  std::uint64_t seed = 1;
  unsigned n_threads = 1;
  std::string device = "cpu";
  /// Convolutions in bfloat16, all else in float32: see NetworkRunOptions.
  bool bfloat16 = false;
  std::filesystem::path checkpoint;  ///< written every epoch and resumed from; empty: none
  /// One of several that make the same calls with the same channels and options. All end with the same model, which
  /// is that of one process up to the rounding of sums; process 0 alone writes the checkpoint, all read it.
  FitProcess process;

  /// The network and recipe of [Fesl2024a]: noise prediction, constant learning rate 1e-4, batches
  /// of 128.
  static NetworkFitOptions published();
  std::string why_invalid() const;
};

/// Fits a network in the angular domain. Each micro-batch of a batch has one noise level, drawn
/// uniformly in dB (an index of the schedule without log_snr) from its own part of the range; noise
/// and levels depend on the seed alone. The error variance, where the network has one, is fitted
/// beside by its Gaussian log likelihood. Keeps the averaged weights of the best validation epoch.
/// A run that was stopped and resumed from its checkpoint gives the same model as an uninterrupted
/// one, unless max_minutes ends or anneals it.
///
/// On a grid (GridCuts) the channels are planes of all its subcarriers, plane_samples(samples, 1), and
/// the model is calibrated for planes of `plane_step` by the caller.
///
/// A network with heads, classes or side matrices reads them from the labels. What augmentation does to a channel it does
/// to the side matrix, whose phase against the channel is part of what it says.
///
/// Losses are in dB for FitObjective::nmse, and mean squares for FitObjective::prediction.
/// @throws Error(invalid_argument) if options or sizes do not fit;  Error(numeric) if the loss is
/// not
///         finite;  Error(io) if processes do not meet or lose each other
/// Source: [Fesl2024a]; docs/model.md
NetworkModel fit_network(const SampleReader& train, const SampleReader& validation,
                         const NetworkFitOptions& options, const RunControl& control = {},
                         const ChannelLabels& train_labels = {},
                         const ChannelLabels& validation_labels = {});

}  // namespace v0
}  // namespace chest
