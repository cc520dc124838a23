#pragma once

#include <armadillo>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <chest/estimators/denoiser.hpp>
#include <chest/estimators/diffusion.hpp>
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

/// Layers of the letter's network; the defaults are its own (55 025 parameters at any array size).
struct NetworkConfig {
  std::vector<int> channels_pre{2, 32, 64};  ///< convolutions before the noise-level modulation
  std::vector<int> channels_post{64, 43, 22, 2};  ///< convolutions after it
  int kernel = 3;                                 ///< odd
  int embedding = 16;                             ///< sinusoidal features of the noise index, even
  std::string why_invalid() const;
};

/// A fitted diffusion model: what `chest fit dmse` writes and the DMSE estimator runs.
struct NetworkModel {
  arma::uword n_rx = 0, n_tx = 0;
  NetworkConfig network;
  Prediction prediction = Prediction::epsilon;
  NoiseSchedule schedule = NoiseSchedule::linear(100, 9.999000099991662e-5, 0.1);
  std::vector<NamedTensor> weights;  ///< what estimates run on: the averaged weights after a fit
  Calibration calibration;
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

struct NetworkFitOptions {
  NetworkConfig network;
  Prediction prediction = Prediction::epsilon;
  double learning_rate = 1e-4;   ///< Adam, > 0
  arma::uword batch = 128;       ///< > 0
  double ema_decay = 0.999;      ///< averaging of the weights per step, 0 (off) .. < 1
  arma::uword max_epochs = 500;  ///< >= 1
  double max_minutes = 0.0;      ///< wall-clock limit of this run; 0: none
  arma::uword patience = 20;     ///< epochs without a better validation loss until it stops
  std::uint64_t seed = 1;
  unsigned n_threads = 1;
  std::string device = "cpu";
  /// Convolutions in bfloat16, all else in float32: see NetworkRunOptions.
  bool bfloat16 = false;
  std::filesystem::path checkpoint;  ///< written every epoch and resumed from; empty: none
  std::string why_invalid() const;
};

/// Fits the noise-prediction network as the letter does, in the angular domain: for each channel of
/// a batch an index i, uniform, and eps ~ CN(0, I); loss mean |eps_hat - eps|^2. Keeps the weights
/// (and their moving average) of the best validation epoch. A run that was stopped and resumed from
/// its checkpoint gives the same model as an uninterrupted one.
/// @throws Error(invalid_argument) if options or sizes do not fit;  Error(numeric) if the loss is
/// not
///         finite
/// Source: [Fesl2024a]
NetworkModel fit_network(const SampleReader& train, const SampleReader& validation,
                         const NetworkFitOptions& options, const RunControl& control = {});

/// Chooses the number of calls per SNR (1 .. max_steps, -15:5:40 dB) by NMSE on validation channels
/// and records the error seen.
Calibration calibrate(const Denoiser& denoiser, const SampleReader& validation, std::uint64_t seed,
                      unsigned n_threads, arma::uword max_steps = 5,
                      const RunControl& control = {});

}  // namespace chest
