#pragma once

#include <armadillo>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <chest/estimators/denoiser.hpp>
#include <chest/estimators/diffusion.hpp>
#include <chest/estimators/guidance.hpp>
#include <chest/estimators/solver_table.hpp>
#include <chest/provenance.hpp>
#include <chest/run_control.hpp>
#include <chest/samples.hpp>

namespace chest {

/// A named array of a network, float32, C order.
struct NamedTensor {
  std::string name;  ///< the name that PyTorch gives it: "cnn_pre.conv_pre0.weight"
  std::vector<std::int64_t> dims;
  std::vector<float> values;
};

/// Layers of a network: 3x3 convolutions with ReLU between them, modulated by the noise level,
///
///   features -> conv -> x (1 + scale) + shift -> ReLU -> ... -> conv -> o,   (scale, shift) linear
///   in sinusoidal features of the noise level.
///
/// The defaults are chest's own prior (docs/model.md says what each part is for, and
/// bench/prior_table.sh what it is worth); letter() is the network of the letter.
struct NetworkConfig {
  std::vector<int> hidden{32, 58, 41, 22};  ///< channels between the convolutions
  std::vector<int> modulated{0, 1, 2, 3};   ///< hidden layers that the noise level modulates
  int kernel = 3;                           ///< odd
  int embedding = 16;                       ///< features of the noise level, even
  bool relu_after_modulation = true;        ///< the letter has none there
  /// The noise level enters as its log SNR; otherwise as the index in the noise schedule.
  bool log_snr = true;
  bool circular = true;  ///< the angular domain is periodic; otherwise zeros around it
  /// Four more input planes, cos and sin of 2 pi k / N on either side: the prior may differ from
  /// angle to angle, which periodic edges alone would hide.
  bool position = true;
  bool magnitude = true;  ///< a third input plane: log(1 + |z|^2 / sigma2)
  bool gate = false;      ///< o = g x + c with complex outputs g, c; otherwise o = c
  /// One more output plane: the predicted error of each angular entry.
  bool variance = true;
  /// No additive constants and no noise level: D(c z) = c D(z), a blind denoiser for any level.
  /// Goes with no modulated layers, no planes beside the channel's, no gate and no variance, and
  /// with Prediction::epsilon.  Source: [Mohan2020], [Kadkhodaie2024]
  bool bias_free = false;
  /// Range of SNRs that the network is fitted for, when it is told the log SNR.
  double snr_low_db = -20.0, snr_high_db = 40.0;

  /// The letter's layers (55 025 parameters at any array size).
  static NetworkConfig letter();
  int n_inputs() const { return 2 + (magnitude ? 1 : 0) + (position ? 4 : 0); }
  int n_outputs() const { return 2 + (gate ? 2 : 0) + (variance ? 1 : 0); }
  std::int64_t n_parameters() const;
  std::string why_invalid() const;
  /// The same for channels of this size: periodic edges reach around an array once only.
  std::string why_invalid(arma::uword n_rx, arma::uword n_tx) const;
};

/// Reads "letter" or "chest" with options that change it: chest:hidden=48-64-32,kernel=5
/// or chest:gate,zero-padding. "chest" alone is the default.
/// @throws Error(invalid_argument) naming what is wrong and what there is
NetworkConfig parse_network(const std::string& text);

/// A fitted diffusion model: what `chest fit dmse` writes and the DMSE estimator runs.
struct NetworkModel {
  arma::uword n_rx = 0, n_tx = 0;
  NetworkConfig network;
  Prediction prediction = Prediction::velocity;
  /// Of the letter's rules, and of what a network without log_snr is told.
  NoiseSchedule schedule = NoiseSchedule::linear(100, 9.999000099991662e-5, 0.1);
  std::vector<NamedTensor> weights;  ///< what estimates run on: the averaged weights after a fit
  Calibration calibration;
  DenoiserErrors errors;  ///< of one call, with angular; empty when not measured
  SolverTable solvers;    ///< for pilots that do not decorrelate; empty when not calibrated
  /// Power normalisation of the fitting channels: "none", or "h * factor".
  double channel_scale = 1.0;
  arma::vec train_losses, validation_losses;  ///< per epoch
  std::string training_data;  ///< JSON: file, dataset, samples, hash; empty for imported weights
  Provenance provenance;
};

void save(const std::filesystem::path& file, const NetworkModel& model);
/// @throws Error(format) if the file is not a DMSE model or is damaged
NetworkModel load_network_model(const std::filesystem::path& file);

/// Reads the authors' checkpoint converted to HDF5: /state_dict/model.*, attribute sim_params.
/// @throws Error(format) if weights are missing or of a wrong shape
NetworkModel import_published_weights(const std::filesystem::path& file);

/// Where a network runs.
struct NetworkRunOptions {
  std::string device = "cpu";   ///< "auto", "cpu", "cuda", "cuda:N"
  arma::uword micro_batch = 0;  ///< channels per network call; 0: a good one for the device
  /// Convolutions in bfloat16: several times the speed where the processor has such instructions
  /// (AVX512_BF16, AMX, GPUs), slower elsewhere. Estimates change by about 0.3 % of sigma.
  bool bfloat16 = false;
};

/// The network as a denoiser of antenna-domain channels; the transform to the angular domain and
/// the VP scaling of its input happen inside. One intra-op thread: run several estimates side by
/// side.
/// @throws Error(invalid_argument) if there is no such device, or chest was built without LibTorch
std::unique_ptr<Denoiser> make_network_denoiser(const NetworkModel& model,
                                                const NetworkRunOptions& options = {});

/// What a fit makes small.
enum class FitObjective {
  nmse,       ///< the mean over noise levels of the log of the error: every SNR counts alike in dB
  prediction  ///< the mean squared error of the network's output, as the letter
};

FitObjective fit_objective_from_string(const std::string& text);

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

struct NetworkFitOptions {
  NetworkConfig network;
  Prediction prediction = Prediction::velocity;
  FitObjective objective = FitObjective::nmse;
  double learning_rate = 4e-3;  ///< Adam, > 0
  bool anneal = true;           ///< warm-up, then a cosine to zero at max_epochs or max_minutes
  Augmentation augmentation = Augmentation::phase;
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

  /// The letter's network and recipe: noise prediction, constant learning rate 1e-4, batches of
  /// 128.
  static NetworkFitOptions letter();
  std::string why_invalid() const;
};

/// Fits a network in the angular domain. Each micro-batch of a batch has one noise level, drawn
/// uniformly in dB (an index of the schedule without log_snr) from its own part of the range; noise
/// and levels depend on the seed alone. The error variance, where the network has one, is fitted
/// beside by its Gaussian log likelihood. Keeps the averaged weights of the best validation epoch.
/// A run that was stopped and resumed from its checkpoint gives the same model as an uninterrupted
/// one, unless max_minutes ends or anneals it.
///
/// Losses are in dB for FitObjective::nmse, and mean squares for FitObjective::prediction.
/// @throws Error(invalid_argument) if options or sizes do not fit;  Error(numeric) if the loss is
/// not
///         finite
/// Source: [Fesl2024a]; docs/model.md
NetworkModel fit_network(const SampleReader& train, const SampleReader& validation,
                         const NetworkFitOptions& options, const RunControl& control = {});

/// Chooses the number of calls per SNR (1 .. max_steps, -15:5:40 dB) by NMSE on validation
/// channels; records the error seen, and its ratio to what the denoiser predicts.
Calibration calibrate(const Denoiser& denoiser, const SampleReader& validation, std::uint64_t seed,
                      unsigned n_threads, arma::uword max_steps = 3,
                      const RunControl& control = {});

}  // namespace chest
